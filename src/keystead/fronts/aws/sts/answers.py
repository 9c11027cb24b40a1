"""Answers: structures of the model as XML."""

import re
from datetime import UTC, datetime
from typing import Any, Final
from xml.sax.saxutils import escape

import msgspec

from keystead.fronts.aws.shapes import Structure

VERSION: Final = "2011-06-15"
NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"

_NO_CHARACTER: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not have ("Characters", section 2.2)."""


def answer(operation: str, result: Structure, request: str) -> bytes:
    """The body that tells of a result."""
    return (
        f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>{_inner(result)}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def failure(fault: str, code: str, message: str, request: str) -> bytes:
    """The body that tells of an error."""
    return (
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{fault}</Type><Code>{code}</Code>'
        f"<Message>{_text(message)}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
    ).encode()


def _inner(structure: Structure) -> str:
    parts = []
    for field in msgspec.structs.fields(structure):
        value = getattr(structure, field.name)
        if value is not None:
            parts.append(f"<{field.name}>{_value(value)}</{field.name}>")
    return "".join(parts)


def _value(value: Any) -> str:  # noqa: ANN401 - any of the model's
    if isinstance(value, Structure):
        return _inner(value)
    if isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _text(str(value))


def _text(text: str) -> str:
    return escape(_NO_CHARACTER.sub("\ufffd", text))
