import pytest

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.pkcs8 import load, load_public

# A private and a public key of an algorithm that nobody has (2.999), in otherwise right forms.
UNKNOWN_PRIVATE = bytes.fromhex("300d 020100 3004 06028837 0402 0400")
UNKNOWN_PUBLIC = bytes.fromhex("300a 3004 06028837 0302 0000")


def test_an_unknown_algorithm_is_no_key() -> None:
    """Neither a private nor a public key of an algorithm that nobody knows, and no other kind of error."""
    with pytest.raises(InvalidCiphertext):
        load(UNKNOWN_PRIVATE)
    with pytest.raises(ValueError, match=r"."):
        load_public(UNKNOWN_PUBLIC)


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x31\x03\x02\x01\x00", b"\x30\x84", b"\x30\x03\x02\x01\x00"])
def test_what_does_not_begin_as_pkcs8_is_not_parsed(der: bytes) -> None:
    """A SEQUENCE with a version and then an algorithm."""
    with pytest.raises(InvalidCiphertext):
        load(der)
