"""Private and public keys as bytes: PKCS #8 (RFC 5208, RFC 5958) and SubjectPublicKeyInfo (RFC 5280), in DER.

`load` is for keys that somebody else made: it takes PKCS #8 only, unencrypted, and fails as
`InvalidCiphertext` without a word about why. `reload` is for keys that `dump` wrote and that have been
authenticated since. Neither tests RSA's primes, which takes long and for a huge key very long: that is done in
:mod:`keystead.crypto.rsa`, when the size is known to be right.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from keystead.core.errors import InvalidCiphertext

_VERSIONS = (b"\x02\x01\x00\x30", b"\x02\x01\x01\x30")  # version v1 or v2, then the algorithm's SEQUENCE


def dump(key: PrivateKeyTypes) -> bytes:
    """A private key as PKCS #8."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load(der: bytes) -> PrivateKeyTypes:
    """A stranger's private key."""
    if not _is_pkcs8(der):
        raise InvalidCiphertext
    try:
        return reload(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidCiphertext from None


def reload(der: bytes) -> PrivateKeyTypes:
    """A private key that `dump` wrote."""
    return load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)


def dump_public(key: PublicKeyTypes) -> bytes:
    """A public key as SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load_public(der: bytes) -> PublicKeyTypes:
    """A public key, or `ValueError`."""
    try:
        return load_der_public_key(der)
    except UnsupportedAlgorithm:
        raise ValueError("an unknown kind of public key") from None


def _is_pkcs8(der: bytes) -> bool:
    # The parser also takes PKCS #1 and SEC 1 keys, which have no algorithm after their version.
    if der[:1] != b"\x30":
        return False
    length = der[1:2]
    header = 2 + (length[0] & 0x7F if length >= b"\x80" else 0)
    return der[header : header + 4] in _VERSIONS
