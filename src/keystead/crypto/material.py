"""Key material of every spec, as the bytes that custody keeps.

SYMMETRIC_DEFAULT has 32 bytes, HMAC keys as many as their code (`keystead.core.spec.HMAC_BYTES`), asymmetric
keys are in the form of :mod:`keystead.crypto.keypair`. Its *id* tells equal material from different and
nothing else about it: HKDF, with a label for each spec, so that the same 32 bytes as an AES key and as an HMAC
key have nothing to do with each other.
"""

from typing import NamedTuple

from keystead.core.errors import InvalidCiphertext
from keystead.core.ports import Random
from keystead.core.spec import HMAC_BYTES, SYMMETRIC
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.keypair import check_private, generate
from keystead.crypto.random import exactly
from keystead.crypto.secret import Secret

SYMMETRIC_BYTES = 32


class KeyMaterial(NamedTuple):
    """The bytes to keep, and the public key of an asymmetric spec."""

    secret: Secret
    public_key: bytes = b""


def fresh(spec: str, random: Random) -> KeyMaterial:
    """New material of that spec; ``random`` gives the bytes of symmetric and HMAC keys."""
    if spec == SYMMETRIC or spec in HMAC_BYTES:
        return KeyMaterial(Secret(exactly(random, _length(spec))))
    private, public = generate(spec)
    return KeyMaterial(Secret(private), public)


def checked(spec: str, material: bytes) -> KeyMaterial:
    """A stranger's material, in our form; `InvalidCiphertext` if it is not material of that spec."""
    if spec == SYMMETRIC or spec in HMAC_BYTES:
        if len(material) != _length(spec):
            raise InvalidCiphertext
        return KeyMaterial(Secret(material))
    private, public = check_private(spec, material)
    return KeyMaterial(Secret(private), public)


def identify(spec: str, secret: Secret) -> str:
    """The material's id: 64 hex digits."""
    label = b"keystead material id v1" if spec == SYMMETRIC else b"keystead material id v1 " + spec.encode()
    return hkdf_sha256(secret.reveal(), label, 32).hex()


def _length(spec: str) -> int:
    return HMAC_BYTES.get(spec, SYMMETRIC_BYTES)
