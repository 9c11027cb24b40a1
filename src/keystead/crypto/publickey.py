"""The public half of an asymmetric key, as it is stored beside its key: no secret, and used without custody."""

from keystead.core.errors import DataDamaged
from keystead.crypto.keypair import FAMILIES


class PublicKey:
    """A public key of a spec, from its SubjectPublicKeyInfo; safe to use from many threads.

    What a spec does not do is `InvalidKeyUsage`; holding a key to its usage is the caller's.
    """

    __slots__ = ("_half", "der", "spec")

    def __init__(self, spec: str, der: bytes) -> None:
        self.spec = spec
        self.der = der
        try:
            self._half = FAMILIES[spec].public(spec, der)
        except ValueError:
            raise DataDamaged(
                f"the stored public key is not one of spec {spec}: restore it from a backup"
            ) from None

    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        """Whether it is this key's signature; `InvalidRequest` if the message is not in the form that ``kind`` says."""
        return self._half.verify(algorithm, kind, message, signature)

    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        """RSA-OAEP; `InvalidRequest` if the plaintext is too long."""
        return self._half.encrypt(algorithm, plaintext)

    def encapsulate(self) -> tuple[bytes, bytes]:
        """ML-KEM: a fresh 32-byte secret, and the ciphertext that holds it."""
        return self._half.encapsulate()
