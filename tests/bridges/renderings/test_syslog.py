"""Priority and structured data of syslog messages, read back as RFC 5424 says."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.renderings.samples import DENIED, EVENT, STOPPED, USED
from keystead.bridges.renderings import syslog
from keystead.bridges.renderings.facts import Event, read
from keystead.service.entry import Entry, encode, event_id

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def event(entry: Entry) -> Event:
    """The event of an entry."""
    return read(encode(entry), EVENT)


def parse(data: bytes) -> tuple[str, dict[str, str]]:
    """The id and the parameters of one element (RFC 5424, 6.3)."""
    text = data.decode()
    whole = re.fullmatch(r'\[([^ =\]"]+)((?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*)\]', text)
    assert whole is not None, text
    found = re.findall(r' ([^ =\]"]+)="((?:[^"\\\]]|\\.)*)"', whole[2])
    return whole[1], {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in found}


def test_a_collector_can_filter_without_reading_the_message() -> None:
    """Who, what, with which key, how it ended, and where it stands."""
    sd_id, parameters = parse(syslog.structured_data(event(USED)))
    assert sd_id == "keystead@32473"
    assert parameters == {
        "event": EVENT,
        "id": event_id(EVENT),
        "log": EVENT.rpartition("/")[0],
        "index": "567",
        "action": "kms:Decrypt",
        "outcome": "Success",
        "principal": USED.principal,
        "account": USED.account,
        "key": USED.key,
        "region": USED.region,
        "source": USED.source,
        "request": USED.request,
        "client_request": USED.client_request,
        "trace": USED.trace,
    }


def test_what_is_not_known_is_left_out_and_an_intent_is_pending() -> None:
    """No parameter is empty."""
    pending = msgspec.structs.replace(STOPPED, outcome="")
    assert parse(syslog.structured_data(event(pending)))[1] == {
        "event": EVENT,
        "id": event_id(EVENT),
        "log": EVENT.rpartition("/")[0],
        "index": "567",
        "action": "keystead:AuditStopped",
        "outcome": "Pending",
    }


@pytest.mark.parametrize(("entry", "priority"), [(USED, 110), (DENIED, 108), (STOPPED, 107)])
def test_a_priority_is_the_audit_facility_and_the_severity(entry: Entry, priority: int) -> None:
    """Facility 13; informational, warning and error."""
    assert syslog.priority(event(entry)) == priority


@given(
    st.lists(st.sampled_from(['"', "\\", "]", "[", "\n", "\x00", "=", " ", "\u2028", "é"])).map("".join)
    | st.text()
)
def test_no_value_escapes_its_quotation_marks(value: str) -> None:
    """Whatever it is, it comes back, but for characters that end a line somewhere."""
    value = value.encode(errors="replace").decode()
    element = syslog.element("x@32473", {"a": value, "b": "end"})
    assert len(element.decode().splitlines()) == 1
    assert parse(element) == ("x@32473", {"a": CONTROL.sub("\ufffd", value), "b": "end"})
