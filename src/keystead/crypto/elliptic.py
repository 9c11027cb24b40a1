"""Keys on NIST's curves and secp256k1: ECDSA (FIPS 186-5, signatures in DER) and ECDH (NIST SP 800-56A).

The secret of ECDH is the X coordinate of the shared point, padded to the length of the field. A public key
that is not on the key's own curve would let its sender learn the private key bit by bit, so it is refused.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from keystead.core.errors import InvalidCiphertext, InvalidRequest
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.message import hashing
from keystead.crypto.pkcs8 import dump, dump_public, load, load_public, reload

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}


class EllipticPrivate(PrivateHalf):
    """Signs and agrees."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return dump_public(self._key.public_key())

    @override
    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashing(algorithm, kind, message)))

    @override
    def agree(self, public_key: bytes) -> bytes:
        try:
            peer = load_public(public_key)  # on its curve, or it does not load
        except ValueError:
            raise InvalidRequest("") from None
        if not isinstance(peer, ec.EllipticCurvePublicKey) or peer.curve.name != self._key.curve.name:
            raise InvalidRequest("")
        return self._key.exchange(ec.ECDH(), peer)


class EllipticPublic(PublicHalf):
    """Verifies."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    @override
    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        digest = hashing(algorithm, kind, message)
        try:
            self._key.verify(signature, message, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True


def generate(spec: str) -> bytes:
    """A new private key."""
    return dump(ec.generate_private_key(_CURVES[spec]))


def check(spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key: its public point is computed anew and written with it."""
    key = load(der)  # the scalar is in range and the point, if given, is its own
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVES[spec].name:
        raise InvalidCiphertext
    return dump(ec.derive_private_key(key.private_numbers().private_value, _CURVES[spec]))


def private(spec: str, der: bytes) -> EllipticPrivate:
    """The private half of what `generate` or `check` gave."""
    key = reload(der)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVES[spec].name:
        raise InvalidCiphertext
    return EllipticPrivate(key)


def public(spec: str, der: bytes) -> EllipticPublic:
    """The public half; `ValueError` if it is not one of that spec."""
    key = load_public(der)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVES[spec].name:
        raise ValueError("no public key on that curve")
    return EllipticPublic(key)
