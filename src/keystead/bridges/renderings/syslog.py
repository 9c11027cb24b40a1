r"""What syslog (RFC 5424) says around an event: its priority, and the structured data in front of the message.

``[keystead@32473 event="keystead-0123456789abcdef/w0/567" index="567" action="kms:Decrypt" outcome="Success" ...]``

The message itself is one of the `RENDERINGS`; the structured data has what a collector filters by without parsing it,
and the log's origin and index, by which it finds gaps. 32473 is the number that RFC 5612 sets aside for examples:
Keystead has none of its own.

In a value, ``"``, ``\`` and ``]`` have a backslash before them (RFC 5424, 6.3.3). Control characters and line ends
become U+FFFD, so that an event is one line for receivers that do not count its bytes.
"""

import re
from collections.abc import Mapping
from typing import Final

from keystead.bridges.renderings import facts
from keystead.bridges.renderings.facts import Event, Severity

SD_ID: Final = "keystead@32473"
FACILITY: Final = 13  # log audit

_SEVERITIES: Final = {
    Severity.INFORMATIONAL: 6,
    Severity.LOW: 5,  # notice
    Severity.MEDIUM: 4,  # warning
    Severity.HIGH: 3,  # error
}
_ESCAPED: Final = re.compile(r'["\\\]]')
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def priority(event: Event) -> int:
    """The number in the angle brackets that a message begins with."""
    return FACILITY * 8 + _SEVERITIES[facts.severity(event.entry)]


def structured_data(event: Event) -> bytes:
    """The element about an event."""
    entry = event.entry
    told = {
        "event": event.name,
        "id": event.id,
        "log": event.origin,
        "index": str(event.index),
        "action": entry.action,
        "outcome": entry.outcome or "Pending",
        "principal": entry.principal,
        "account": entry.account,
        "key": entry.key,
        "region": entry.region,
        "source": entry.source,
        "request": entry.request,
        "client_request": entry.client_request,
        "trace": entry.trace,
    }
    return element(SD_ID, {name: value for name, value in told.items() if value})


def element(sd_id: str, parameters: Mapping[str, str]) -> bytes:
    """An element of structured data; names are ours and need no escapes."""
    said = "".join(f' {name}="{escape(value)}"' for name, value in parameters.items())
    return f"[{sd_id}{said}]".encode()


def escape(value: str) -> str:
    """A value between quotation marks."""
    return _ESCAPED.sub(lambda found: "\\" + found[0], _CONTROL.sub("\ufffd", value))
