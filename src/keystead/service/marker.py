"""Pagination markers: where a list goes on, opaque to the caller and not to be forged.

A marker is bound to the list, the account and the region it was made for, so it shows nobody else's names.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

from keystead.core.errors import InvalidMarker

TAG_BYTES: Final = 16


def make(secret: bytes, place: str, last: str) -> str:
    """The marker that continues after ``last`` in the list named ``place``."""
    return urlsafe_b64encode(_tag(secret, place, last.encode()) + last.encode()).decode()


def read(secret: bytes, place: str, marker: str) -> str:
    """The name to continue after; empty for an empty marker, `InvalidMarker` for one not made here."""
    if not marker:
        return ""
    try:
        raw = urlsafe_b64decode(marker.encode())
        last = raw[TAG_BYTES:].decode()
    except (Base64Error, ValueError):
        raise InvalidMarker("The marker is not one that this list gave out.") from None
    if not hmac.compare_digest(raw[:TAG_BYTES], _tag(secret, place, last.encode())):
        raise InvalidMarker("The marker is not one that this list gave out.")
    return last


def _tag(secret: bytes, place: str, last: bytes) -> bytes:
    return hmac.digest(secret, place.encode() + b"\0" + last, "sha256")[:TAG_BYTES]
