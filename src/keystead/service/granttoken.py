"""Grant tokens: what CreateGrant gives out, so that a grant can be used, or retired, by naming it.

In AWS KMS a token makes a grant work before it has spread to all servers. Here a grant is in force everywhere when
CreateGrant returns, so a token only names it. It is opaque and cannot be forged, and each one differs.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final, NamedTuple

from keystead.core.errors import InvalidGrantToken

TAG_BYTES: Final = 16
NONCE_BYTES: Final = 8

_NOT_OURS: Final = "The grant token is not one that this service gave out."


class Named(NamedTuple):
    """The grant that a token names."""

    region: str
    key_id: str
    grant_id: str


def make(secret: bytes, named: Named, nonce: bytes) -> str:
    """A token for a grant; ``nonce`` is 8 random bytes."""
    body = nonce + "/".join(named).encode()
    return _spelled(_tag(secret, body) + body)


def read(secret: bytes, token: str) -> Named:
    """The grant that a token names, whether it is there still or not; raises `InvalidGrantToken`."""
    try:
        raw = urlsafe_b64decode(token.encode())
    except (Base64Error, ValueError):
        raise InvalidGrantToken(_NOT_OURS) from None
    body = raw[TAG_BYTES:]
    # A decoder passes over what is not base64; a token has one spelling.
    if not hmac.compare_digest(raw[:TAG_BYTES], _tag(secret, body)) or _spelled(raw) != token:
        raise InvalidGrantToken(_NOT_OURS)
    return Named(*body[NONCE_BYTES:].decode().split("/"))


def _spelled(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode()


def _tag(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"grant token\0" + body, "sha256")[:TAG_BYTES]
