"""Whole logs in one of the forms: every change once, by its outcome."""

import json

import msgspec
import pytest

from bridges.renderings.samples import USED
from keystead.bridges.renderings import history
from keystead.core.errors import AuditDamaged
from keystead.service.entry import Entry, encode

CHANGE = msgspec.structs.replace(USED, action="kms:DisableKey", request="change")
INTENT = msgspec.structs.replace(CHANGE, stage="intent", outcome="", time=1)
OUTCOME = msgspec.structs.replace(CHANGE, stage="outcome", time=4)
LOST = msgspec.structs.replace(INTENT, request="lost", time=2)
USE = msgspec.structs.replace(USED, time=3)


def named(*entries: Entry) -> list[tuple[str, bytes]]:
    """Entries with the names of their events."""
    return [(f"keystead-1/w0/{index}", encode(entry)) for index, entry in enumerate(entries)]


LOG = named(INTENT, LOST, USE, OUTCOME)


def indexes(form: str = "cloudtrail", **more: int | bool) -> list[int]:
    """Which entries of the log are rendered."""
    made = [json.loads(each) for each in history.render(LOG, form, **more)]  # type: ignore[arg-type] # by name
    return [each["index"] if form == "keystead" else each["additionalEventData"]["index"] for each in made]


def test_a_change_is_told_once() -> None:
    """By its outcome; its intent is passed over, and so is one that never got an outcome."""
    assert indexes() == [2, 3]


def test_what_is_pending_is_told_when_it_is_asked_for() -> None:
    """At the end, since only then is it known."""
    assert indexes(pending=True) == [2, 3, 1]


def test_our_own_form_has_every_entry() -> None:
    """In the log's order, so that whoever keeps them can prove that none is missing."""
    assert indexes("keystead") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [(3, None, [2, 3]), (4, None, [3]), (None, 4, [2]), (3, 4, [2]), (5, None, [])],
)
def test_a_span_of_time_has_its_beginning_and_not_its_end(
    since: int | None, until: int | None, found: list[int]
) -> None:
    """So that spans which follow each other have everything once."""
    made = [json.loads(each) for each in history.render(LOG, "cloudtrail", since=since, until=until)]
    assert [each["additionalEventData"]["index"] for each in made] == found


def test_an_outcome_after_the_span_still_settles_the_intent() -> None:
    """What is pending is what the log does not settle, not what the span leaves out."""
    made = history.render(LOG, "cloudtrail", until=3, pending=True)
    assert [json.loads(each)["requestID"] for each in made] == ["lost"]


def test_what_is_no_entry_is_named() -> None:
    """By the name of its event."""
    with pytest.raises(AuditDamaged, match="keystead-1/w0/0 is not an audit entry"):
        list(history.render([("keystead-1/w0/0", b"?")], "cef"))
