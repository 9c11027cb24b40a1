import pytest

from keystead.core.errors import InvalidRequest, UnsupportedOperation
from keystead.core.spec import (
    DATA_KEY_BYTES,
    HMAC_BYTES,
    RSA_BITS,
    SPECS,
    algorithms,
    choose,
)


def test_a_usage_that_is_not_given_is_encryption_for_the_symmetric_spec() -> None:
    """AWS's default usage, and the one usage of the symmetric spec."""
    assert choose("SYMMETRIC_DEFAULT", None) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert choose("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


@pytest.mark.parametrize("spec", [name for name in SPECS if name != "SYMMETRIC_DEFAULT"])
def test_every_other_spec_needs_a_usage(spec: str) -> None:
    """The text is AWS's."""
    with pytest.raises(InvalidRequest) as told:
        choose(spec, None)
    assert str(told.value) == (
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    )


@pytest.mark.parametrize("spec", ["SM2", "", "symmetric_default", "RSA_1024"])
@pytest.mark.parametrize("usage", [None, "SIGN_VERIFY"])
def test_a_spec_that_is_not_made_here_is_named(spec: str, usage: str | None) -> None:
    """The caller learns that the spec is not supported, whatever usage goes with it."""
    with pytest.raises(UnsupportedOperation) as told:
        choose(spec, usage)
    assert str(told.value) == f"KeySpec {spec} is not supported in this Region."


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
        ("RSA_2048", "KEY_AGREEMENT"),
        ("ECC_NIST_P256", "ENCRYPT_DECRYPT"),
        ("ECC_SECG_P256K1", "KEY_AGREEMENT"),
        ("HMAC_256", "SIGN_VERIFY"),
        ("ML_DSA_65", "ENCAPSULATE_DECAPSULATE"),
        ("ML_KEM_768", "encapsulate_decapsulate"),
    ],
)
def test_a_usage_that_the_spec_does_not_have_is_refused(spec: str, usage: str) -> None:
    """A key cannot be made for what its spec cannot do; the text is AWS's."""
    with pytest.raises(InvalidRequest) as told:
        choose(spec, usage)
    assert str(told.value) == f"KeyUsage {usage} is not compatible with KeySpec {spec}"


def test_every_spec_and_usage_in_the_table_can_be_chosen() -> None:
    """What the table lists is what can be made, and each usage has an algorithm."""
    for name, spec in SPECS.items():
        assert [choose(name, usage)[1] for usage in spec.usages] == list(spec.usages)
        assert all(algorithms(name, usage) for usage in spec.usages)


def test_only_key_pairs_are_asymmetric() -> None:
    """Neither the symmetric spec nor an HMAC key has a public half."""
    assert {name for name, spec in SPECS.items() if not spec.asymmetric} == {"SYMMETRIC_DEFAULT", *HMAC_BYTES}


def test_lengths_are_those_of_the_names() -> None:
    """A data key's, an HMAC key's and an RSA key's spec says its bits."""
    assert {name: size * 8 for name, size in DATA_KEY_BYTES.items()} == {"AES_256": 256, "AES_128": 128}
    assert {f"HMAC_{size * 8}" for size in HMAC_BYTES.values()} == set(HMAC_BYTES)
    assert {f"RSA_{bits}" for bits in RSA_BITS.values()} == set(RSA_BITS)
