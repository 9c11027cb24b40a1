"""XAES-256-GCM: AES-256-GCM with nonces long enough to be random.

AES-GCM's 96-bit nonce collides too soon when it is drawn at random: NIST allows 2^32 messages a key, and a
key of a busy service makes those in a day. XAES-256-GCM (https://c2sp.org/XAES-256-GCM) takes 192 bits: the
first half derives a fresh AES-256-GCM key, the second half is that key's nonce. A key may then seal 2^80
messages before a collision becomes as likely as 2^-32. The derivation is NIST SP 800-108r1 in counter mode
with CMAC-AES256, written out by the specification as three block encryptions, one of which is done once per
key. Every step below carries its number there.

XAES-256-GCM commits to no key; see :mod:`keystead.crypto.committing` for what Keystead seals with.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.secret import NeverCopied

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 24, 16

_M1_M2 = int.from_bytes(b"\x00\x01X\x00" + bytes(12) + b"\x00\x02X\x00" + bytes(12), "big")
# Multiplying by this writes a block beside itself: the nonce's half and K1 go into both of M1 and M2.
_TWICE = (1 << 128) + 1
_BLOCK_MASK = (1 << 128) - 1


class XAES256GCM(NeverCopied):
    """One XAES-256-GCM key, ready to use; for one thread at a time, whichever thread made it."""

    __slots__ = ("_encrypt_blocks", "_masked")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("an XAES-256-GCM key has 32 bytes")
        # ECB is the bare block cipher, which is what CMAC is made of; no message is encrypted with it.
        # Without padding the context has no state between blocks, so one serves for all messages.
        self._encrypt_blocks = Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update  # noqa: S305 -- see above
        # (1) L = AES(0), (2) K1 = L doubled in GF(2^128); without a branch on the secret bit.
        block = int.from_bytes(self._encrypt_blocks(bytes(16)), "big")
        k1 = ((block << 1) & _BLOCK_MASK) ^ (0b10000111 * (block >> 127))
        # The parts of (M1 xor K1) || (M2 xor K1) that are the same for all messages.
        self._masked = _M1_M2 ^ (k1 * _TWICE)

    def seal(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext and tag. ``nonce`` has 24 bytes and is used for no other message of this key."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError("an XAES-256-GCM nonce has 24 bytes")
        return self._gcm(nonce).encrypt(nonce[12:], plaintext, aad)  # (6)

    def open(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        """The plaintext, or `InvalidCiphertext`."""
        if len(nonce) != NONCE_BYTES:
            raise InvalidCiphertext
        try:
            return self._gcm(nonce).decrypt(nonce[12:], data, aad)  # (6)
        except InvalidTag:
            raise InvalidCiphertext from None

    def _gcm(self, nonce: bytes) -> AESGCM:
        # (3) to (5): both blocks in one call. The subkey is never in a variable that a traceback could show.
        blocks = (int.from_bytes(nonce[:12], "big") * _TWICE) ^ self._masked
        return AESGCM(self._encrypt_blocks(blocks.to_bytes(32, "big")))
