"""ML-KEM-512 keys (FIPS 203), by a library that is not installed unasked.

`cryptography` leaves ML-KEM-512 out; pqcrypto has it, and docs/adr/0010 says why it is an extra. It is
imported when the first such key is made or used; without it everything here is `UnsupportedOperation`.

Keys are in RFC 9935's form. All lengths are fixed, so DER is a constant before the key:

    PKCS #8: 30 82 LLLL  02 01 00  30 0b 06 09 <OID>  04 82 LLLL  04 82 LLLL  expanded key (1632)
    public:  30 82 LLLL            30 0b 06 09 <OID>  03 82 LLLL  00          public key (800)

The expanded key is FIPS 203's ``dk``: it holds the public key and that key's hash, which pqcrypto compares
each time, as section 7.3 wants it.
"""

from importlib import import_module
from typing import Any, Final

from typing_extensions import override

from keystead.core.errors import InvalidCiphertext, UnsupportedOperation
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.secret import Secret

_ALGORITHM: Final = bytes.fromhex("300b0609608648016503040401")  # id-alg-ml-kem-512
_EXPANDED_BYTES, _PUBLIC_BYTES = 1632, 800
_PUBLIC_AT = 768  # dk = dk_PKE (768) || ek (800) || H(ek) (32) || z (32)


def _long(tag: bytes, content_bytes: int) -> bytes:
    return tag + b"\x82" + content_bytes.to_bytes(2, "big")


_PRIVATE_HEAD: Final = (
    _long(b"\x30", 3 + len(_ALGORITHM) + 8 + _EXPANDED_BYTES)
    + b"\x02\x01\x00"
    + _ALGORITHM
    + _long(b"\x04", 4 + _EXPANDED_BYTES)
    + _long(b"\x04", _EXPANDED_BYTES)
)
_PUBLIC_HEAD: Final = (
    _long(b"\x30", len(_ALGORITHM) + 5 + _PUBLIC_BYTES)
    + _ALGORITHM
    + _long(b"\x03", 1 + _PUBLIC_BYTES)
    + b"\x00"
)


class MlKem512Private(PrivateHalf):
    """Decapsulates."""

    __slots__ = ("_key", "_pqcrypto")

    def __init__(self, key: Secret) -> None:
        self._pqcrypto = _library()
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return _PUBLIC_HEAD + self._key.reveal()[_PUBLIC_AT : _PUBLIC_AT + _PUBLIC_BYTES]

    @override
    def decapsulate(self, ciphertext: bytes) -> bytes:
        try:
            secret: bytes = self._pqcrypto.decaps(self._key.reveal(), ciphertext)
        except ValueError:  # of the length, or of a key that `check` has refused before
            raise InvalidCiphertext from None
        return secret


class MlKem512Public(PublicHalf):
    """Encapsulates."""

    __slots__ = ("_key", "_pqcrypto")

    def __init__(self, key: bytes) -> None:
        self._pqcrypto = _library()
        self._key = key

    @override
    def encapsulate(self) -> tuple[bytes, bytes]:
        ciphertext, secret = self._pqcrypto.encaps(self._key)
        return secret, ciphertext


def generate(_spec: str) -> bytes:
    """A new private key."""
    _, expanded = _library().keygen()
    return _PRIVATE_HEAD + bytes(expanded)


def check(spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key. It must be expanded, and what it decapsulates must be right."""
    half = private(spec, der)
    try:
        secret, ciphertext = public(spec, half.public_key).encapsulate()
    except ValueError:  # its public key is out of range
        raise InvalidCiphertext from None
    if half.decapsulate(ciphertext) != secret:
        raise InvalidCiphertext
    return der


def private(_spec: str, der: bytes) -> MlKem512Private:
    """The private half of what `generate` or `check` gave."""
    if not der.startswith(_PRIVATE_HEAD) or len(der) != len(_PRIVATE_HEAD) + _EXPANDED_BYTES:
        raise InvalidCiphertext
    return MlKem512Private(Secret(der[len(_PRIVATE_HEAD) :]))


def public(_spec: str, der: bytes) -> MlKem512Public:
    """The public half; `ValueError` if it is not one of that spec."""
    if not der.startswith(_PUBLIC_HEAD) or len(der) != len(_PUBLIC_HEAD) + _PUBLIC_BYTES:
        raise ValueError("no ML-KEM-512 public key")
    return MlKem512Public(der[len(_PUBLIC_HEAD) :])


def _library() -> Any:  # noqa: ANN401 -- pqcrypto has no types, and makes this module at run time
    try:
        import_module("pqcrypto.kem")
    except ImportError:
        raise UnsupportedOperation(
            "ML_KEM_512 needs the package pqcrypto, which is not installed: pip install 'keystead[ml-kem-512]'"
        ) from None
    return import_module("pqcrypto.kem.ml_kem_512")
