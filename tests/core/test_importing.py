"""Import offers: the token that names one, and which wrapping goes with which material."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidImportToken, UnsupportedOperation
from keystead.core.importing import ImportOffer, check_wrapping, make_token, offer_binding, read_token
from keystead.core.spec import SPECS

ALGORITHMS = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
SIZES = ("RSA_2048", "RSA_3072", "RSA_4096")


def offer(offer_id: str, valid_to: float) -> ImportOffer:
    """An offer of which only these count."""
    return ImportOffer(
        id=offer_id,
        region="eu-central-1",
        key_id="k",
        principal="p",
        algorithm=ALGORITHMS[0],
        wrapping_spec=SIZES[0],
        handle="h",
        valid_to=valid_to,
    )


@given(st.binary(min_size=16, max_size=16), st.floats(0, 1e11))
def test_a_token_names_its_offer_and_its_end(offer_id: bytes, valid_to: float) -> None:
    """What goes in comes out, the end to the millisecond, and there is nothing else in it."""
    token = make_token(offer(offer_id.hex(), valid_to))
    assert len(token) == 28
    named = read_token(token)
    assert named.id == offer_id.hex()
    assert named.valid_to == pytest.approx(valid_to, abs=0.001)


@given(st.binary(max_size=40).filter(lambda token: len(token) != 28 or token[:4] != b"KSI\x01"))
def test_anything_else_is_no_token(token: bytes) -> None:
    """Any other length or beginning."""
    with pytest.raises(InvalidImportToken):
        read_token(token)


def test_offers_have_bindings_of_their_own() -> None:
    """No wrapping key opens in the place of another offer's."""
    assert offer_binding("a") != offer_binding("b")


def allowed(spec: str) -> list[str]:
    """What may be chosen for material of that spec."""
    found = []
    for algorithm in ALGORITHMS:
        for size in SIZES:
            try:
                check_wrapping(spec, algorithm, size)
            except UnsupportedOperation:
                continue
            found.append(f"{algorithm} {size}")
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_each_kind_of_material_has_its_ways_of_wrapping(spec: str) -> None:
    """Short material goes straight under RSA, RSA keys only under AES, and elliptic and ML keys either way."""
    straight = [f"{algorithm} {size}" for algorithm in ALGORITHMS[:2] for size in SIZES]
    hybrid = [f"{algorithm} {size}" for algorithm in ALGORITHMS[2:] for size in SIZES]
    if spec == "SYMMETRIC_DEFAULT" or spec.startswith("HMAC_"):
        expected = straight
    elif spec.startswith("RSA_"):
        expected = hybrid
    else:
        expected = straight + hybrid
    if spec == "ECC_NIST_P521":  # a private key of 241 bytes is too long for 2,048 bits
        expected = [way for way in expected if not (way.startswith("RSAES") and way.endswith("2048"))]
    assert allowed(spec) == expected


@pytest.mark.parametrize(
    ("algorithm", "size", "told"),
    [
        ("RSAES_PKCS1_V1_5", "RSA_2048", "WrappingAlgorithm RSAES_PKCS1_V1_5 is not supported."),
        ("SM2PKE", "RSA_2048", "WrappingAlgorithm SM2PKE is not supported."),
        ("SM2PKE", "SM2", "WrappingKeySpec SM2 is not supported in this Region."),
        (
            "RSA_AES_KEY_WRAP_SHA_1",
            "RSA_2048",
            "WrappingAlgorithm RSA_AES_KEY_WRAP_SHA_1 is not supported for key material of KeySpec SYMMETRIC_DEFAULT.",
        ),
    ],
)
def test_a_refusal_names_what_is_not_supported(algorithm: str, size: str, told: str) -> None:
    """What AWS has retired, what is for China only, and what does not go with the key."""
    with pytest.raises(UnsupportedOperation) as refused:
        check_wrapping("SYMMETRIC_DEFAULT", algorithm, size)
    assert str(refused.value) == told
