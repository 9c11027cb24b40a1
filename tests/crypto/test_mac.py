import copy
import hmac
import pickle
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.crypto.mac import MacKey, verify
from keystead.crypto.secret import Secret

BITS = ("224", "256", "384", "512")


@pytest.mark.parametrize("bits", BITS)
def test_rfc_4231(
    vectors: Callable[[str], Iterator[dict[str, str]]],
    record_property: Callable[[str, object], None],
    bits: str,
) -> None:
    """The published codes, whole; the one that RFC 4231 cuts short is the beginning of ours."""
    count = 0
    for row in vectors(f"HMAC/rfc-4231-sha{bits}.txt"):
        if "MD" in row:
            code = MacKey(Secret(bytes.fromhex(row["Key"]))).mac(
                f"HMAC_SHA_{bits}", bytes.fromhex(row["Msg"])
            )
            assert code.hex() == row["MD"]
            count += 1
    record_property("vectors", count)
    assert count >= 5


@given(key=st.binary(min_size=28, max_size=64), message=st.binary(max_size=200), bits=st.sampled_from(BITS))
def test_it_is_hmac(key: bytes, message: bytes, bits: str) -> None:
    """The standard library's code is ours, and verifies."""
    code = MacKey(Secret(key)).mac(f"HMAC_SHA_{bits}", message)

    assert code == hmac.digest(key, message, f"sha{bits}")
    assert verify(MacKey(Secret(key)), f"HMAC_SHA_{bits}", message, code)


def test_only_the_whole_code_verifies() -> None:
    """Cut, lengthened, empty, changed, of another message, key or algorithm: wrong."""
    key = MacKey(Secret(bytes(64)))
    code = key.mac("HMAC_SHA_512", b"text")

    for wrong in (b"", code[:1], code[:32], code[:-1], code + b"\0", code[:-1] + bytes([code[-1] ^ 1])):
        assert not verify(key, "HMAC_SHA_512", b"text", wrong)
    assert not verify(key, "HMAC_SHA_512", b"test", code)
    assert not verify(MacKey(Secret(b"\1" * 64)), "HMAC_SHA_512", b"text", code)
    assert not verify(key, "HMAC_SHA_256", b"text", code[:32])


def test_a_key_is_neither_shown_nor_copied() -> None:
    """Its text is its class's name, and copying and pickling are refused."""
    key = MacKey(Secret(b"canary-canary-canary-canary!"))

    assert repr(key) == str(key) == "<MacKey>"
    for take_apart in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never copied"):
            take_apart(key)
