import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keystead.core.errors import InvalidRequest
from keystead.crypto.edwards import EdwardsPrivate, EdwardsPublic
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
SPEC = "ECC_NIST_EDWARDS25519"
PURE, PREHASHED = "ED25519_SHA_512", "ED25519_PH_SHA_512"

# RFC 8032 section 7.3
RFC_SECRET = "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"
RFC_SIGNATURE = (
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
    "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)


def test_published_signatures(record_property: Callable[[str, object], None]) -> None:
    """Every line of the reference implementation's file is signed to the byte, and verifies."""
    count = 0
    path = Path(cryptography_vectors.__file__).parent / "asymmetric" / "Ed25519" / "sign.input"
    for line in path.read_text().splitlines():
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        assert (
            EdwardsPrivate(Ed25519PrivateKey.from_private_bytes(secret[:32])).sign(PURE, "RAW", message)
            == signed[:64]
        )
        key = EdwardsPublic(Ed25519PublicKey.from_public_bytes(public))
        assert key.verify(PURE, "RAW", message, signed[:64])
        assert not key.verify(PURE, "RAW", message, bytes([signed[0] ^ 1]) + signed[1:64])
        count += 1
    record_property("vectors", count)
    assert count >= 1000


def test_the_rfc_s_prehashed_signature() -> None:
    """Ed25519ph of "abc" is RFC 8032's, and verifies."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_SECRET))

    assert EdwardsPrivate(key)._sign_prehashed(b"abc").hex() == RFC_SIGNATURE
    assert EdwardsPublic(key.public_key())._verify_prehashed(b"abc", bytes.fromhex(RFC_SIGNATURE))


def test_the_two_algorithms_are_apart(pair: Both) -> None:
    """A signature of the same 64 bytes with one is none with the other."""
    private, public = pair(SPEC)
    message = bytes(range(64))
    pure, prehashed = private.sign(PURE, "RAW", message), private.sign(PREHASHED, "DIGEST", message)

    assert public.verify(PREHASHED, "DIGEST", message, prehashed)
    assert not public.verify(PURE, "RAW", message, prehashed)
    assert not public.verify(PREHASHED, "DIGEST", message, pure)
    assert not public.verify(PREHASHED, "DIGEST", message[::-1], prehashed)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(PURE, "DIGEST"), (PURE, "EXTERNAL_MU"), (PREHASHED, "RAW"), (PREHASHED, "EXTERNAL_MU")],
)
def test_each_algorithm_has_one_type_of_message(pair: Both, algorithm: str, kind: str) -> None:
    """The other types are refused, by both halves, with both names in the text."""
    private, public = pair(SPEC)
    text = rf"^MessageType {kind} is not compatible with algorithm {algorithm}\.$"

    with pytest.raises(InvalidRequest, match=text):
        private.sign(algorithm, kind, bytes(64))
    with pytest.raises(InvalidRequest, match=text):
        public.verify(algorithm, kind, bytes(64), bytes(64))


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_digest_has_64_bytes(pair: Both, length: int) -> None:
    """It is SHA-512's."""
    private, public = pair(SPEC)
    text = rf"^Digest is invalid length for algorithm {PREHASHED}\.$"

    with pytest.raises(InvalidRequest, match=text):
        private.sign(PREHASHED, "DIGEST", bytes(length))
    with pytest.raises(InvalidRequest, match=text):
        public.verify(PREHASHED, "DIGEST", bytes(length), bytes(64))


def test_libsodium_is_loaded_only_by_who_needs_it() -> None:
    """Signing with Ed25519 itself, and loading every family, leaves PyNaCl and pqcrypto where they are."""
    program = (
        "import sys\n"
        "from keystead.crypto.keypair import generate, open_private\n"
        "key = open_private('ECC_NIST_EDWARDS25519', generate('ECC_NIST_EDWARDS25519')[0])\n"
        "key.sign('ED25519_SHA_512', 'RAW', b'')\n"
        "assert not {'nacl', 'pqcrypto'} & set(sys.modules)\n"
        "key.sign('ED25519_PH_SHA_512', 'DIGEST', bytes(64))\n"
        "assert 'nacl' in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
