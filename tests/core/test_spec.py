import pytest

from keystead.core.errors import InvalidRequest, UnsupportedOperation
from keystead.core.spec import DATA_KEY_BYTES, SPECS, choose


def test_a_usage_that_is_not_given_is_encryption() -> None:
    """AWS's default usage, and the one usage of the symmetric spec."""
    assert choose("SYMMETRIC_DEFAULT", None) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert choose("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "HMAC_256", "SM2", "", "symmetric_default"])
@pytest.mark.parametrize("usage", [None, "SIGN_VERIFY"])
def test_a_spec_that_is_not_made_here_is_named(spec: str, usage: str | None) -> None:
    """The caller learns that the spec is not supported, whatever usage goes with it."""
    with pytest.raises(UnsupportedOperation) as told:
        choose(spec, usage)
    assert str(told.value) == f"KeySpec {spec} is not supported by this version of Keystead."


@pytest.mark.parametrize("usage", ["SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "encrypt_decrypt"])
def test_a_usage_that_the_spec_does_not_have_is_refused(usage: str) -> None:
    """A key cannot be made for what its spec cannot do; the text is AWS's."""
    with pytest.raises(InvalidRequest) as told:
        choose("SYMMETRIC_DEFAULT", usage)
    assert str(told.value) == f"KeyUsage {usage} is not compatible with KeySpec SYMMETRIC_DEFAULT"


def test_every_spec_and_usage_in_the_table_can_be_chosen() -> None:
    """What the table lists is what can be made."""
    for name, spec in SPECS.items():
        assert [choose(name, usage)[1] for usage in spec.usages] == list(spec.usages)
        assert spec.encryption_algorithms


def test_data_keys_have_the_length_of_their_name() -> None:
    """A data key's spec says its bits."""
    assert {name: size * 8 for name, size in DATA_KEY_BYTES.items()} == {"AES_256": 256, "AES_128": 128}
