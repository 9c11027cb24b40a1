"""JSON objects and base64url as the specifications have them, and nothing that merely looks like them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, NoReturn


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 with each member once and finite numbers; `ValueError` for anything else."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
        # Halves of characters and infinite numbers are found where they would do harm: on the way out.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - to callers it is malformed like the rest
    return value


def read_base64(text: str) -> bytes:
    """Base64url without padding (RFC 7515, section 2); `ValueError` for any other spelling of the same bytes."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != text.encode():
        raise ValueError("it is not base64url without padding")
    return data


def _once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member stands twice")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("it has a number that is none")
