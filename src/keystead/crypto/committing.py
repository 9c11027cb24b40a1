"""Authenticated encryption that opens under one key only: what Keystead seals with.

AES-GCM, and so XAES-256-GCM, authenticates a ciphertext to whoever has *the* key, but does not say *which*
key: who knows two keys can make one ciphertext that opens correctly under both, to different plaintexts
("invisible salamanders": Dodis, Grubbs, Ristenpart and Woodage, CRYPTO 2018, https://eprint.iacr.org/2019/016;
Albertini et al., USENIX Security 2022, https://eprint.iacr.org/2020/1456). Then a rotation's re-encryption
can change a plaintext, two auditors can read different documents out of one ciphertext, and a passphrase can
be found by halving ("partitioning oracles": Len, Grubbs and Ristenpart, USENIX Security 2021,
https://eprint.iacr.org/2020/1491). ``tests/crypto/test_committing.py`` makes a salamander.

So each sealed message carries a commitment: HMAC-SHA256 of its nonce, under a key of its own. Another key
that gives the same commitment would be a collision of SHA-256. It commits to the key and the nonce, not to
the associated data; those are authenticated to everybody who does not have the key, and only custody has it.

    nonce (24) || commitment (32) || ciphertext || tag (16)

    encryption key = HKDF-SHA256(material, "keystead <purpose> encryption v1")
    commitment key = HKDF-SHA256(material, "keystead <purpose> commitment v1")
    commitment     = HMAC-SHA256(commitment key, nonce)
    ciphertext||tag = XAES-256-GCM(encryption key, nonce, plaintext, aad = commitment || aad)

The purpose keeps uses apart: a key that wraps keys cannot be made to open data, even if the same bytes were
ever used for both.
"""

import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from keystead.core.errors import InvalidCiphertext
from keystead.core.ports import Random
from keystead.crypto.aead import KEY_BYTES, NONCE_BYTES, TAG_BYTES, XAES256GCM
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.secret import NeverCopied, Secret

COMMITMENT_BYTES = 32
OVERHEAD_BYTES = NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES

DATA, KEY_WRAP = b"data", b"key wrap"  # the purposes

_TEXT_AT = NONCE_BYTES + COMMITMENT_BYTES


class CommittingCipher(NeverCopied):
    """One key version, ready to use (`keystead.core.ports.Cipher`); for one thread at a time."""

    __slots__ = ("_commitment", "_random", "_xaes")

    def __init__(self, material: Secret, random: Random, purpose: bytes = DATA) -> None:
        if len(material.reveal()) != KEY_BYTES:
            raise ValueError("key material has 32 bytes")
        self._random = random
        self._xaes = XAES256GCM(
            hkdf_sha256(material.reveal(), b"keystead " + purpose + b" encryption v1", KEY_BYTES)
        )
        # Keyed once and copied for every message: a new HMAC would cost several times as much.
        self._commitment = HMAC(
            hkdf_sha256(material.reveal(), b"keystead " + purpose + b" commitment v1", KEY_BYTES), SHA256()
        )

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Nonce, commitment, ciphertext and tag, under a fresh nonce."""
        nonce = self._random(NONCE_BYTES)
        mac = self._commitment.copy()
        mac.update(nonce)
        commitment = mac.finalize()
        # The commitment has a fixed length and comes first, so no two (commitment, aad) run into each other.
        return nonce + commitment + self._xaes.seal(nonce, plaintext, commitment + aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext, or `InvalidCiphertext` whatever the reason."""
        nonce, commitment = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:_TEXT_AT]
        mac = self._commitment.copy()
        mac.update(nonce)
        if not hmac.compare_digest(mac.finalize(), commitment):  # cut short is unequal as well
            raise InvalidCiphertext
        return self._xaes.open(nonce, sealed[_TEXT_AT:], commitment + aad)
