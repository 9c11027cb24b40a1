"""Ed25519 keys (RFC 8032), with two algorithms.

``ED25519_SHA_512`` is Ed25519 and takes the message (RAW). ``ED25519_PH_SHA_512`` is Ed25519ph over what the
caller calls the DIGEST: AWS KMS hands that to Ed25519ph as its *message*, which hashes it once more. A
signature is therefore Ed25519ph of the 64 bytes, not of the message that they are the SHA-512 of.

`cryptography` has no Ed25519ph; libsodium does, through PyNaCl, imported when the first such signature is
made or checked (docs/adr/0010).
"""

from importlib import import_module
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from typing_extensions import override

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.message import DIGEST, RAW, check_length, mismatch
from keystead.crypto.pkcs8 import dump, dump_public, load, load_public, reload

_PREHASHED: Final = "ED25519_PH_SHA_512"
_DIGEST_BYTES, _SIGNATURE_BYTES = 64, 64


class EdwardsPrivate(PrivateHalf):
    """Signs."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return dump_public(self._key.public_key())

    @override
    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        if not _prehashes(algorithm, kind, message):
            return self._key.sign(message)
        return self._sign_prehashed(message)

    def _sign_prehashed(self, message: bytes) -> bytes:
        sodium, state = _ed25519ph(message)
        secret = self._key.private_bytes_raw() + self._key.public_key().public_bytes_raw()  # libsodium's form
        signature: bytes = sodium.crypto_sign_ed25519ph_final_create(state, secret)
        return signature


class EdwardsPublic(PublicHalf):
    """Verifies."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @override
    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        if _prehashes(algorithm, kind, message):
            return self._verify_prehashed(message, signature)
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _verify_prehashed(self, message: bytes, signature: bytes) -> bool:
        if len(signature) != _SIGNATURE_BYTES:
            return False
        sodium, state = _ed25519ph(message)
        try:
            sodium.crypto_sign_ed25519ph_final_verify(state, signature, self._key.public_bytes_raw())
        except import_module("nacl.exceptions").BadSignatureError:
            return False
        return True


def generate(_spec: str) -> bytes:
    """A new private key."""
    return dump(Ed25519PrivateKey.generate())


def check(_spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key."""
    key = load(der)
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidCiphertext
    return dump(key)


def private(_spec: str, der: bytes) -> EdwardsPrivate:
    """The private half of what `generate` or `check` gave."""
    key = reload(der)
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidCiphertext
    return EdwardsPrivate(key)


def public(_spec: str, der: bytes) -> EdwardsPublic:
    """The public half; `ValueError` if it is not one of that spec."""
    key = load_public(der)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("no Ed25519 public key")  # noqa: TRY004 -- it is the bytes that are wrong
    return EdwardsPublic(key)


def _prehashes(algorithm: str, kind: str, message: bytes) -> bool:
    if algorithm == _PREHASHED:
        if kind != DIGEST:
            raise mismatch(algorithm, kind)
        check_length(algorithm, message, _DIGEST_BYTES)
        return True
    if kind != RAW:
        raise mismatch(algorithm, kind)
    return False


def _ed25519ph(message: bytes) -> tuple[Any, Any]:
    sodium = import_module("nacl.bindings")
    state = sodium.crypto_sign_ed25519ph_state()
    sodium.crypto_sign_ed25519ph_update(state, message)
    return sodium, state
