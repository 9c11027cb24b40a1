from collections.abc import Callable, Iterator
from hashlib import shake_256
from pathlib import Path

import cryptography_vectors
import pytest

from keystead.core.errors import InvalidCiphertext, InvalidRequest
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import check_private, open_private
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
Der = Callable[[str], tuple[bytes, bytes]]
ALGORITHM = "ML_DSA_SHAKE_256"
SPECS = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")


def mu(public: bytes, message: bytes, context: bytes = b"") -> bytes:
    """FIPS 204 algorithm 2, line 10, and algorithm 7, line 6."""
    framed = bytes([0, len(context)]) + context + message
    return shake_256(shake_256(public).digest(64) + framed).digest(64)


@pytest.mark.parametrize("spec", SPECS)
def test_nist_known_answers(
    der: Der,
    vectors: Callable[[str], Iterator[dict[str, str]]],
    record_property: Callable[[str, object], None],
    spec: str,
) -> None:
    """Seeds give NIST's public keys, whose signatures verify. They have contexts, so they enter as EXTERNAL_MU."""
    private, public = der(spec)
    count = 0
    for row in vectors(f"asymmetric/MLDSA/kat_{spec.replace('ML_DSA', 'MLDSA')}_det_pure.rsp"):
        seed, pk, message, context = (bytes.fromhex(row[name]) for name in ("xi", "pk", "msg", "ctx"))
        signature = bytes.fromhex(row["sm"])[: int(row["smlen"]) - len(message)]
        key = open_private(spec, private[:-32] + seed)
        assert key.public_key == public[: -len(pk)] + pk
        verifying = PublicKey(spec, key.public_key)
        assert verifying.verify(ALGORITHM, "EXTERNAL_MU", mu(pk, message, context), signature)
        assert not verifying.verify(ALGORITHM, "EXTERNAL_MU", mu(pk, message), signature)
        assert not verifying.verify(ALGORITHM, "RAW", message, signature)
        count += 1
    record_property("vectors", count)
    assert count >= 100


@pytest.mark.parametrize("spec", SPECS)
def test_a_message_and_its_representative_are_the_same_to_sign(pair: Both, spec: str) -> None:
    """RAW has the empty context; what the caller makes of it as EXTERNAL_MU is the same signature's message."""
    private, public = pair(spec)
    representative = mu(public.der[22:], b"text")

    assert public.verify(ALGORITHM, "EXTERNAL_MU", representative, private.sign(ALGORITHM, "RAW", b"text"))
    assert public.verify(ALGORITHM, "RAW", b"text", private.sign(ALGORITHM, "EXTERNAL_MU", representative))
    assert not public.verify(ALGORITHM, "RAW", representative, private.sign(ALGORITHM, "RAW", b"text"))


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_representative_has_64_bytes(pair: Both, length: int) -> None:
    """Any other length is refused by both halves."""
    private, public = pair("ML_DSA_44")
    text = rf"^Digest is invalid length for algorithm {ALGORITHM}\.$"

    with pytest.raises(InvalidRequest, match=text):
        private.sign(ALGORITHM, "EXTERNAL_MU", bytes(length))
    with pytest.raises(InvalidRequest, match=text):
        public.verify(ALGORITHM, "EXTERNAL_MU", bytes(length), b"")


def test_a_digest_is_refused(pair: Both) -> None:
    """ML-DSA has no digest, however long it is."""
    private, public = pair("ML_DSA_44")
    text = rf"^MessageType DIGEST is not compatible with algorithm {ALGORITHM}\.$"

    with pytest.raises(InvalidRequest, match=text):
        private.sign(ALGORITHM, "DIGEST", bytes(64))
    with pytest.raises(InvalidRequest, match=text):
        public.verify(ALGORITHM, "DIGEST", bytes(64), b"")


def test_a_key_without_its_seed_is_refused() -> None:
    """The expanded form cannot be turned back into the one form that we keep."""
    folder = Path(cryptography_vectors.__file__).parent / "asymmetric" / "MLDSA"

    with pytest.raises(InvalidCiphertext):
        check_private("ML_DSA_65", (folder / "mldsa65_noseed_priv.der").read_bytes())
