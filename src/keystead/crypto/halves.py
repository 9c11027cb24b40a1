"""The two halves of an asymmetric key, and what they refuse by default.

Each family of keys (RSA, elliptic curves, ...) is one module with the same four functions, named in
`Family`. Its halves override what such keys can do; what they cannot is refused here. Callers hold keys to
their usage long before, so whoever meets these refusals has a mistake to mend.
"""

from typing import Protocol

from typing_extensions import override

from keystead.core.errors import InvalidKeyUsage
from keystead.crypto.secret import NeverCopied


class PrivateHalf(NeverCopied):
    """Implements `keystead.core.ports.KeyPair` by refusing everything."""

    __slots__ = ()

    @property
    def public_key(self) -> bytes:
        """The public half: SubjectPublicKeyInfo in DER."""
        raise InvalidKeyUsage("this key has no public half")

    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        """The signature of a message."""
        raise InvalidKeyUsage(
            f"this key does not sign with {algorithm} (message type {kind}, {len(message)} bytes)"
        )

    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        """The plaintext of a ciphertext."""
        raise InvalidKeyUsage(f"this key does not decrypt with {algorithm} ({len(ciphertext)} bytes)")

    def agree(self, public_key: bytes) -> bytes:
        """The secret shared with another's public key."""
        raise InvalidKeyUsage(f"this key does not agree on secrets ({len(public_key)} bytes)")

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret inside a ciphertext."""
        raise InvalidKeyUsage(f"this key does not decapsulate ({len(ciphertext)} bytes)")

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class PublicHalf:
    """A public key that refuses everything."""

    __slots__ = ()

    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        """Whether the signature is one of this message."""
        raise InvalidKeyUsage(
            f"this key does not verify {algorithm} (message type {kind}, {len(message)} and {len(signature)} bytes)"
        )

    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        """The ciphertext of a plaintext."""
        raise InvalidKeyUsage(f"this key does not encrypt with {algorithm} ({len(plaintext)} bytes)")

    def encapsulate(self) -> tuple[bytes, bytes]:
        """A fresh secret and the ciphertext that holds it."""
        raise InvalidKeyUsage("this key does not encapsulate")


class Family(Protocol):
    """What the module of a family of keys has. All DER is PKCS #8 for private keys, SubjectPublicKeyInfo for public."""

    def generate(self, spec: str) -> bytes:
        """A new private key."""
        ...

    def check(self, spec: str, der: bytes) -> bytes:
        """The one form of a stranger's private key; `InvalidCiphertext` if it is not a sound one of that spec."""
        ...

    def private(self, spec: str, der: bytes) -> PrivateHalf:
        """The private half of what `generate` or `check` gave."""
        ...

    def public(self, spec: str, der: bytes) -> PublicHalf:
        """The public half; `ValueError` if it is not one of that spec."""
        ...
