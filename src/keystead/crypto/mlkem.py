"""ML-KEM-768 and ML-KEM-1024 keys (FIPS 203): agreeing on a secret in a way that a quantum computer does not undo.

Whoever has the public key *encapsulates*: draws a 32-byte secret and a ciphertext that holds it. The private
key *decapsulates*. A ciphertext that was tampered with gives another, unpredictable secret and no error
("implicit rejection"), so that nobody learns from trying; only a wrong length is an error. Keys are kept as
their 64-byte seed. For ML-KEM-512 see :mod:`keystead.crypto.mlkem512`.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from typing_extensions import override

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.pkcs8 import dump, dump_public, load, load_public, reload

_PrivateKey = MLKEM768PrivateKey | MLKEM1024PrivateKey
_PublicKey = MLKEM768PublicKey | MLKEM1024PublicKey

_PRIVATE: Final[Mapping[str, type[_PrivateKey]]] = {
    "ML_KEM_768": MLKEM768PrivateKey,
    "ML_KEM_1024": MLKEM1024PrivateKey,
}
_PUBLIC: Final[Mapping[str, type[_PublicKey]]] = {
    "ML_KEM_768": MLKEM768PublicKey,
    "ML_KEM_1024": MLKEM1024PublicKey,
}


class MlKemPrivate(PrivateHalf):
    """Decapsulates."""

    __slots__ = ("_key",)

    def __init__(self, key: _PrivateKey) -> None:
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return dump_public(self._key.public_key())

    @override
    def decapsulate(self, ciphertext: bytes) -> bytes:
        try:
            return self._key.decapsulate(ciphertext)
        except ValueError:  # of the length
            raise InvalidCiphertext from None


class MlKemPublic(PublicHalf):
    """Encapsulates."""

    __slots__ = ("_key",)

    def __init__(self, key: _PublicKey) -> None:
        self._key = key

    @override
    def encapsulate(self) -> tuple[bytes, bytes]:
        return self._key.encapsulate()


def generate(spec: str) -> bytes:
    """A new private key."""
    return dump(_PRIVATE[spec].generate())


def check(spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key. It must hold the seed: the expanded form is not read."""
    key = load(der)
    if not isinstance(key, _PRIVATE[spec]):
        raise InvalidCiphertext
    return dump(key)


def private(spec: str, der: bytes) -> MlKemPrivate:
    """The private half of what `generate` or `check` gave."""
    key = reload(der)
    if not isinstance(key, _PRIVATE[spec]):
        raise InvalidCiphertext
    return MlKemPrivate(key)


def public(spec: str, der: bytes) -> MlKemPublic:
    """The public half; `ValueError` if it is not one of that spec."""
    key = load_public(der)
    if not isinstance(key, _PUBLIC[spec]):
        raise ValueError("no public key of that spec")  # noqa: TRY004 -- it is the bytes that are wrong
    return MlKemPublic(key)
