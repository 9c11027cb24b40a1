"""ML-DSA keys (FIPS 204): signatures that a quantum computer does not forge. The context is empty.

EXTERNAL_MU is the 64-byte message representative of FIPS 204 algorithm 7, step 6, which the caller has
computed from the public key and the message; it is signed as it is. Keys are kept as their 32-byte seed.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA44PublicKey,
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
    MLDSA87PrivateKey,
    MLDSA87PublicKey,
)
from typing_extensions import override

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.message import EXTERNAL_MU, RAW, check_length, mismatch
from keystead.crypto.pkcs8 import dump, dump_public, load, load_public, reload

_PrivateKey = MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey
_PublicKey = MLDSA44PublicKey | MLDSA65PublicKey | MLDSA87PublicKey

_MU_BYTES = 64

_PRIVATE: Final[Mapping[str, type[_PrivateKey]]] = {
    "ML_DSA_44": MLDSA44PrivateKey,
    "ML_DSA_65": MLDSA65PrivateKey,
    "ML_DSA_87": MLDSA87PrivateKey,
}
_PUBLIC: Final[Mapping[str, type[_PublicKey]]] = {
    "ML_DSA_44": MLDSA44PublicKey,
    "ML_DSA_65": MLDSA65PublicKey,
    "ML_DSA_87": MLDSA87PublicKey,
}


class MlDsaPrivate(PrivateHalf):
    """Signs."""

    __slots__ = ("_key",)

    def __init__(self, key: _PrivateKey) -> None:
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return dump_public(self._key.public_key())

    @override
    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        return self._key.sign_mu(message) if _is_mu(algorithm, kind, message) else self._key.sign(message)


class MlDsaPublic(PublicHalf):
    """Verifies."""

    __slots__ = ("_key",)

    def __init__(self, key: _PublicKey) -> None:
        self._key = key

    @override
    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        verify = self._key.verify_mu if _is_mu(algorithm, kind, message) else self._key.verify
        try:
            verify(signature, message)
        except InvalidSignature:
            return False
        return True


def generate(spec: str) -> bytes:
    """A new private key."""
    return dump(_PRIVATE[spec].generate())


def check(spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key. It must hold the seed: the expanded form is not read."""
    key = load(der)
    if not isinstance(key, _PRIVATE[spec]):
        raise InvalidCiphertext
    return dump(key)


def private(spec: str, der: bytes) -> MlDsaPrivate:
    """The private half of what `generate` or `check` gave."""
    key = reload(der)
    if not isinstance(key, _PRIVATE[spec]):
        raise InvalidCiphertext
    return MlDsaPrivate(key)


def public(spec: str, der: bytes) -> MlDsaPublic:
    """The public half; `ValueError` if it is not one of that spec."""
    key = load_public(der)
    if not isinstance(key, _PUBLIC[spec]):
        raise ValueError("no public key of that spec")  # noqa: TRY004 -- it is the bytes that are wrong
    return MlDsaPublic(key)


def _is_mu(algorithm: str, kind: str, message: bytes) -> bool:
    if kind == EXTERNAL_MU:
        check_length(algorithm, message, _MU_BYTES)
        return True
    if kind != RAW:
        raise mismatch(algorithm, kind)
    return False
