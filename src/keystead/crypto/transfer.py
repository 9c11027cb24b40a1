"""Key material on its way between Regions: sealed for the one that takes it, signed by the one that sends it.

Every installation has two key pairs for this, which are made from its root key (`TransferKeys`): one to sign with
(Ed25519) and one to be sealed for (HPKE, RFC 9180, with the hybrid KEM of ML-KEM-768 and X25519, so that what
is recorded on the way today stays closed to a quantum computer). Their public halves together are a
`TransferIdentity`, one line of text to hand out:

    keystead-transfer-1:<base64url of the verifying key (32) and the sealing key (1,184 + 32)>

A message is

    version (1, = 1) || Ed25519 signature (64) || HPKE encapsulated key || ciphertext and tag

The signature covers all that follows it and the *context*, which is also HPKE's ``info``: the label of this
format, both identities, and what the caller says the material is (key, version, spec, Regions). So a message
opens for its recipient only, from its sender only, and as what it was sent as only. ``docs/formats/key-transfer.md``
describes it.
"""

from hashlib import sha256

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from typing_extensions import override

from keystead.core.errors import ConfigError, InvalidCiphertext
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.keywrap import binding, from_text, to_text
from keystead.crypto.secret import NeverCopied, Secret

VERSION = b"\x01"
PREFIX = "keystead-transfer-1:"
SIGNATURE_BYTES = 64

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_LABEL = "keystead key transfer v1"
_STATEMENT = "keystead link statement v1"
_RAW, _MLKEM_BYTES = 32, 1184


class TransferIdentity:
    """The public halves: whom to seal for, and whose signature to believe."""

    __slots__ = ("_seal", "_verify", "raw")

    def __init__(self, raw: bytes) -> None:
        """Read the three public keys one after the other; `ValueError` unless they are."""
        if len(raw) != _RAW + _MLKEM_BYTES + _RAW:
            message = "not the length of the three keys"
            raise ValueError(message)
        self.raw = raw
        self._verify = Ed25519PublicKey.from_public_bytes(raw[:_RAW])
        self._seal = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[_RAW:-_RAW]),
            X25519PublicKey.from_public_bytes(raw[-_RAW:]),
        )

    @classmethod
    def from_text(cls, text: str) -> "TransferIdentity":
        """What `text` wrote; `ConfigError` for anything else."""
        try:
            if not text.startswith(PREFIX):
                raise InvalidCiphertext
            return cls(from_text(text[len(PREFIX) :]))
        except (InvalidCiphertext, ValueError):
            raise ConfigError(
                f"an identity for transfers is one text that begins with {PREFIX}: copy it whole"
            ) from None

    @property
    def text(self) -> str:
        """One line to hand out."""
        return PREFIX + to_text(self.raw)

    @override
    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, TransferIdentity) else NotImplemented

    @override
    def __hash__(self) -> int:
        return hash(self.raw)

    def seal(self, secret: Secret, context: bytes) -> bytes:
        """HPKE for this identity."""
        return _SUITE.encrypt(secret.reveal(), self._seal, info=context)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this identity's."""
        try:
            self._verify.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def said(self, statement: bytes, signature: bytes) -> bool:
        """Whether this identity has vouched for a statement (`TransferKeys.vouch`)."""
        return self.verify(signature, binding(_STATEMENT, statement))


class TransferKeys(NeverCopied):
    """The private halves of one installation."""

    __slots__ = ("_open", "_sign", "identity")

    def __init__(self, root: Secret) -> None:
        """Derive them: nothing is stored, and whoever has the root key has everything anyhow."""
        sign = hkdf_sha256(root.reveal(), b"keystead transfer signing v1", 32)
        mlkem = hkdf_sha256(root.reveal(), b"keystead transfer ml-kem-768 v1", 64)
        x25519 = hkdf_sha256(root.reveal(), b"keystead transfer x25519 v1", 32)
        self._sign = Ed25519PrivateKey.from_private_bytes(sign)
        mlkem_key = MLKEM768PrivateKey.from_seed_bytes(mlkem)
        x25519_key = X25519PrivateKey.from_private_bytes(x25519)
        self._open = hpke.MLKEM768X25519PrivateKey(mlkem_key, x25519_key)
        self.identity = TransferIdentity(
            self._sign.public_key().public_bytes_raw()
            + mlkem_key.public_key().public_bytes_raw()
            + x25519_key.public_key().public_bytes_raw()
        )

    def send(self, secret: Secret, recipient: TransferIdentity, about: bytes) -> bytes:
        """A message that only ``recipient`` opens, and only as what ``about`` says."""
        context = _context(self.identity, recipient, about)
        sealed = recipient.seal(secret, context)
        return VERSION + self._sign.sign(binding(context, sealed)) + sealed

    def vouch(self, statement: bytes) -> bytes:
        """A signature of what this installation says to another. It is never one of a message with material."""
        return self._sign.sign(binding(_STATEMENT, statement))

    def receive(self, message: bytes, sender: TransferIdentity, about: bytes) -> Secret:
        """What ``sender`` sent to this installation; `InvalidCiphertext` for everything else."""
        signature, sealed = message[1 : 1 + SIGNATURE_BYTES], message[1 + SIGNATURE_BYTES :]
        context = _context(sender, self.identity, about)
        if message[:1] != VERSION or not sender.verify(signature, binding(context, sealed)):
            raise InvalidCiphertext
        try:
            return Secret(_SUITE.decrypt(sealed, self._open, info=context))
        except (InvalidTag, ValueError):
            raise InvalidCiphertext from None


def _context(sender: TransferIdentity, recipient: TransferIdentity, about: bytes) -> bytes:
    return binding(_LABEL, sha256(sender.raw).digest(), sha256(recipient.raw).digest(), about)
