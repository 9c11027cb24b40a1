from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.errors import InvalidCiphertext, UnsupportedOperation
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.importing import unwrap_material, wrap_for
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
SPEC = "RSA_2048"
DIRECT = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
HYBRID = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
@pytest.mark.parametrize("algorithm", DIRECT + HYBRID)
def test_what_was_wrapped_is_unwrapped(pair: Both, spec: str, algorithm: str) -> None:
    """Every wrapping key and algorithm; the hybrid ones also for what RSA alone cannot hold."""
    private, public = pair(spec)
    for material in (bytes(32), bytes(28), bytes(2400)):
        if algorithm in HYBRID or len(material) < 100:
            wrapped = wrap_for(spec, public.der, algorithm, material)
            assert unwrap_material(private, spec, algorithm, wrapped) == material


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_nist_aes_kwp(
    pair: Both,
    vectors: Callable[[str], Iterator[dict[str, str]]],
    record_property: Callable[[str, object], None],
    bits: int,
) -> None:
    """NIST's AES-KWP blobs behind a key that RSA wrapped: the right ones open, the wrong ones do not."""
    private, public = pair(SPEC)
    opened = failed = 0
    for row in vectors(f"keywrap/kwtestvectors/KWP_AD_{bits}.txt"):
        if "C" not in row:
            continue
        data = public.encrypt("RSAES_OAEP_SHA_256", bytes.fromhex(row["K"])) + bytes.fromhex(row["C"])
        if "FAIL" in row:
            with pytest.raises(InvalidCiphertext):
                unwrap_material(private, SPEC, "RSA_AES_KEY_WRAP_SHA_256", data)
            failed += 1
        else:
            assert unwrap_material(private, SPEC, "RSA_AES_KEY_WRAP_SHA_256", data).hex() == row["P"]
            opened += 1
    record_property("vectors", opened + failed)
    assert opened >= 300
    assert failed >= 60


@given(data=st.data(), algorithm=st.sampled_from(DIRECT + HYBRID))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_changed_bit_does_not_unwrap(pair: Both, data: st.DataObject, algorithm: str) -> None:
    """Wherever it is, and without a word."""
    private, public = pair(SPEC)
    wrapped = bytearray(wrap_for(SPEC, public.der, algorithm, bytes(32)))
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidCiphertext) as caught:
        unwrap_material(private, SPEC, algorithm, bytes(wrapped))
    assert str(caught.value) == ""


def test_a_blob_of_any_other_form_is_refused(pair: Both) -> None:
    """Cut at every joint, wrapped for another size, or with a key that is none of AES's."""
    private, public = pair(SPEC)
    algorithm = "RSA_AES_KEY_WRAP_SHA_256"
    wrapped = wrap_for(SPEC, public.der, algorithm, bytes(32))
    odd = public.encrypt("RSAES_OAEP_SHA_256", bytes(20)) + aes_key_wrap_with_padding(bytes(32), bytes(32))

    for wrong in (b"", wrapped[:255], wrapped[:256], wrapped[:264], wrapped[:-1], wrapped + bytes(8), odd):
        with pytest.raises(InvalidCiphertext):
            unwrap_material(private, SPEC, algorithm, wrong)
    with pytest.raises(InvalidCiphertext):
        unwrap_material(private, "RSA_3072", algorithm, wrapped)


@pytest.mark.parametrize("algorithm", ["RSAES_PKCS1_V1_5", "SM2PKE", ""])
def test_no_other_algorithm_unwraps(pair: Both, algorithm: str) -> None:
    """PKCS #1 v1.5 tells too much, and SM2 is for China."""
    private, _ = pair(SPEC)

    with pytest.raises(UnsupportedOperation, match=f"WrappingAlgorithm {algorithm} is not supported"):
        unwrap_material(private, SPEC, algorithm, bytes(256))
