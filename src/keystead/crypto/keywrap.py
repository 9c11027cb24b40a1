"""One key under another: how key material is stored.

    version (1, = 1) || nonce (24) || commitment (32) || wrapped material || tag (16)

The sealing is :mod:`keystead.crypto.committing` with the purpose "key wrap". It must commit to its key: a
wrapped root key that opened under two passphrases' keys would tell a guesser more per try than one guess is
worth. ``aad`` says what the material is for; build it with `binding`, so that no two meanings share bytes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from keystead.core.errors import InvalidCiphertext
from keystead.core.ports import Random
from keystead.crypto.committing import KEY_WRAP, CommittingCipher
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret

VERSION = b"\x01"


def wrap(kek: Secret, material: Secret, aad: bytes, random: Random) -> bytes:
    """``material`` under the key-encryption key ``kek``."""
    return VERSION + CommittingCipher(kek, random, KEY_WRAP).seal(material.reveal(), VERSION + aad)


def unwrap(kek: Secret, wrapped: bytes, aad: bytes) -> Secret:
    """The material that `wrap` wrapped under the same key and ``aad``, or `InvalidCiphertext`."""
    if wrapped[:1] != VERSION:
        raise InvalidCiphertext
    cipher = CommittingCipher(kek, system_random, KEY_WRAP)  # opening draws no randomness
    return Secret(cipher.open(wrapped[1:], VERSION + aad))


def binding(*parts: str | bytes) -> bytes:
    """Associated data from parts, each with its length before it: no two lists of parts give the same."""
    encoded = (part.encode() if isinstance(part, str) else part for part in parts)
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def to_text(data: bytes) -> str:
    """Wrapped material as base64url, as it stands in the store."""
    return urlsafe_b64encode(data).decode("ascii")


def from_text(text: str) -> bytes:
    """The reverse of `to_text`; `InvalidCiphertext` for any other text, even if it decodes as well."""
    try:
        data = urlsafe_b64decode(text)
    except ValueError:
        raise InvalidCiphertext from None
    if to_text(data) != text:
        raise InvalidCiphertext
    return data
