r"""ArcSight's Common Event Format, version 0: one line of text.

``CEF:0|Keystead|Keystead|0.1.0|kms:Decrypt|Decrypt|5|rt=... outcome=denied ...``

A ``|`` or a backslash in the head has a backslash before it. In the extension so do ``=`` and the backslash, and line
feeds are written ``\n``. Other characters that end a line somewhere (the control characters, and Unicode's line ends)
become U+FFFD: no reader of CEF has a way to write them, and nobody can inject a line with them.
"""

import re
from collections.abc import Mapping
from typing import Final

from keystead import __version__
from keystead.bridges.renderings import facts
from keystead.bridges.renderings.facts import Event, Severity

_SEVERITIES: Final = {
    Severity.INFORMATIONAL: 1,
    Severity.LOW: 4,
    Severity.MEDIUM: 6,
    Severity.HIGH: 9,
}
_LONGEST: Final = 4000  # characters of a custom string

_CONTROL: Final = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_LINES: Final = re.compile("[\r\n]")


def render(data: bytes, event: str) -> bytes:
    """An entry as one line, without its end."""
    return line(facts.read(data, event)).encode()


def line(event: Event) -> str:
    """The line."""
    entry = event.entry
    who = facts.who(entry.principal)
    head = (
        "CEF:0",
        "Keystead",
        "Keystead",
        __version__,
        entry.action or "Unknown",
        facts.operation(entry.action),
        str(_SEVERITIES[facts.severity(entry)]),
    )
    address = facts.address(entry)
    told = {
        "rt": entry.time // 1000,
        "cat": facts.service(entry.action),
        "act": facts.operation(entry.action),
        "outcome": facts.result(entry).value,
        "reason": entry.outcome if facts.failure(entry) else "",
        "suid": entry.principal,
        "suser": f"{who.name}/{who.session}" if who.session else who.name,
        "src": address if "." in address else "",
        "c6a2": address if ":" in address else "",
        "c6a2Label": "source" if ":" in address else "",
        "shost": "" if address else entry.source,
        "externalId": event.id,
        "deviceExternalId": event.origin,
        "msg": facts.sentence(entry),
        **_custom(
            "cs",
            {
                "keyArn": entry.key,
                "requestId": entry.request,
                "decision": " ".join(filter(None, (entry.decision, entry.decided_by, entry.statement))),
                "accessKeyId": entry.access_key,
                "subject": entry.subject,
                "matched": " | ".join(entry.matched),
            },
        ),
        **_custom("cn", {"keyVersion": entry.version or "", "index": event.index}),
        **_custom("flexString", {"missing": entry.missing, "clientRequestId": entry.client_request}),
    }
    extension = " ".join(f"{key}={extend(str(value))}" for key, value in told.items() if value != "")
    return "|".join((*map(_heading, head), extension))


def _custom(prefix: str, told: Mapping[str, str | int]) -> dict[str, str | int]:
    """CEF's numbered members, each with a label that says what it is."""
    members: dict[str, str | int] = {}
    for number, (label, value) in enumerate(told.items(), 1):
        if value != "":
            members[f"{prefix}{number}"] = value
            members[f"{prefix}{number}Label"] = label
    return members


def _heading(text: str) -> str:
    """A part of the head: no reader finds a line's end in it, so those become spaces."""
    return _CONTROL.sub("\ufffd", _LINES.sub(" ", text)).replace("\\", "\\\\").replace("|", "\\|")


def extend(text: str) -> str:
    """A value of the extension."""
    text = _CONTROL.sub("\ufffd", text[:_LONGEST]).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")
