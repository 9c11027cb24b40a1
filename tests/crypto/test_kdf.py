import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import ConfigError
from keystead.crypto.kdf import Argon2Parameters, argon2id, hkdf_sha256

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "argon2id.json").read_text())["vectors"]


def test_rfc_5869_vector_without_salt_comes_out() -> None:
    """RFC 5869 appendix A.3, the vector with neither salt nor info."""
    assert hkdf_sha256(b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=80), st.integers(1, 100))
def test_hkdf_agrees_with_the_rfc_written_out(key: bytes, info: bytes, length: int) -> None:
    """Extract and expand of RFC 5869 section 2, on Python's own HMAC, give the same bytes."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    block, output = b"", b""
    for counter in range(1, 5):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        output += block

    assert hkdf_sha256(key, info, length) == output[:length]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['memory_kib']}-{v['iterations']}-{v['lanes']}")
def test_reference_vectors_of_argon2id_come_out(vector: dict[str, Any]) -> None:
    """The reference implementation's own test vectors."""
    parameters = Argon2Parameters(
        memory_kib=vector["memory_kib"], iterations=vector["iterations"], lanes=vector["lanes"]
    )

    key = argon2id(vector["passphrase"].encode(), vector["salt"].encode(), parameters)

    assert key.hex() == vector["key"]


def test_the_defaults_are_the_second_recommended_option() -> None:
    """RFC 9106 section 4: 64 MiB, three passes, four lanes."""
    assert Argon2Parameters() == Argon2Parameters(memory_kib=2**16, iterations=3, lanes=4)


@pytest.mark.parametrize(
    ("costs", "named"),
    [
        ({"memory_kib": 2**30}, "memory_kib is 1073741824"),
        ({"memory_kib": 2**21 + 1}, "memory_kib"),
        ({"memory_kib": 31, "lanes": 4}, "memory_kib is 31"),
        ({"memory_kib": -1}, "memory_kib"),
        ({"iterations": 0}, "iterations"),
        ({"iterations": 33}, "iterations"),
        ({"lanes": 0}, "lanes"),
        ({"lanes": 17}, "lanes"),
    ],
)
def test_costs_out_of_bounds_are_refused_before_they_are_paid(costs: dict[str, int], named: str) -> None:
    """A slot cannot ask for a terabyte, a week, or for less than Argon2 needs."""
    with pytest.raises(ConfigError, match=named):
        Argon2Parameters(**costs)


@pytest.mark.parametrize(
    "costs",
    [
        {"memory_kib": 32},
        {"memory_kib": 2**21},
        {"iterations": 1},
        {"iterations": 32},
        {"lanes": 1},
        {"lanes": 16},
    ],
)
def test_costs_at_the_bounds_are_taken(costs: dict[str, int]) -> None:
    """The bounds themselves are allowed."""
    assert all(getattr(Argon2Parameters(**costs), name) == value for name, value in costs.items())


def test_keys_for_different_purposes_have_nothing_in_common() -> None:
    """`info` separates: a key for one use is not a prefix of one for another."""
    one, other = hkdf_sha256(bytes(32), b"one", 64), hkdf_sha256(bytes(32), b"other", 64)

    assert one[:8] != other[:8]
    assert hashlib.sha256(one).digest() != hashlib.sha256(other).digest()
