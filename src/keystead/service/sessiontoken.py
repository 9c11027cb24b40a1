"""Session tokens: temporary credentials that carry all that the server must know of them.

A token is the session (`keystead.core.principal.Session`) and its secret access key, sealed under a key that every
process of the installation has (XAES-256-GCM). So a session costs no row in the store and is good everywhere at once.
To revoke one is to say from when on its principal's sessions count. ``docs/formats/session-token.md`` has the bytes.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

import msgspec

from keystead.core.errors import InvalidCiphertext, PolicyTooLarge
from keystead.core.ports import Random
from keystead.core.principal import Session
from keystead.crypto.aead import NONCE_BYTES, XAES256GCM
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.secret import Secret

MAX_CHARACTERS: Final = 8192
"""The longest token: with all else it must fit into a request's head."""
MAX_BYTES: Final = 65_536
"""Of a session, before it is packed."""

_VERSION: Final = b"\x01"
_SECRET_BYTES: Final = 40
_PURPOSE: Final = b"keystead session token v1"


class SessionTokens:
    """Makes and reads tokens. For one thread at a time."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        """``key`` is a key of the installation's; what is used here is made from it."""
        self._aead = XAES256GCM(hkdf_sha256(key, _PURPOSE, 32))

    def make(self, session: Session, secret: bytes, random: Random) -> str:
        """The token of a session whose secret access key has 40 characters.

        Raises `PolicyTooLarge` when the session's policies and tags do not fit into one.
        """
        plain = msgspec.json.encode(session)
        if len(plain) > MAX_BYTES:
            raise PolicyTooLarge(_TOO_LARGE)
        nonce = random(NONCE_BYTES)
        sealed = self._aead.seal(nonce, secret + zlib.compress(plain), _PURPOSE)
        token = urlsafe_b64encode(_VERSION + nonce + sealed).decode()
        if len(token) > MAX_CHARACTERS:
            raise PolicyTooLarge(_TOO_LARGE)
        return token

    def read(self, token: bytes) -> tuple[Session, Secret] | None:
        """The session of a token and its secret access key; None for what is no token of ours."""
        if len(token) > MAX_CHARACTERS:
            return None
        try:
            raw = urlsafe_b64decode(token)
            if raw[:1] != _VERSION or urlsafe_b64encode(raw) != token:  # a token has one spelling
                return None
            body = raw[1 + NONCE_BYTES :]
            plain = self._aead.open(raw[1 : 1 + NONCE_BYTES], body, _PURPOSE)
        except (Base64Error, ValueError, InvalidCiphertext):
            return None
        session = msgspec.json.decode(zlib.decompress(plain[_SECRET_BYTES:]), type=Session)
        return session, Secret(plain[:_SECRET_BYTES])


_TOO_LARGE: Final = "The session's policies and tags are too large together: use fewer or shorter ones."
