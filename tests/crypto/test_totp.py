"""One-time passwords against RFC 6238's own, and what counts as one now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.crypto.totp import STEP_SECONDS, password, step_of

SECRET = b"12345678901234567890"  # of RFC 6238, appendix B
# The RFC's passwords have eight digits; those of six are their ends (RFC 4226, section 5.3).
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]


@pytest.mark.parametrize(("time", "known"), VECTORS)
def test_the_passwords_of_the_rfc(time: int, known: str) -> None:
    """RFC 6238, appendix B, SHA-1."""
    assert password(SECRET, time // STEP_SECONDS) == known[2:]
    assert step_of(SECRET, known[2:], float(time)) == time // STEP_SECONDS


@given(
    secret=st.binary(min_size=10, max_size=64),
    step=st.integers(min_value=2, max_value=2**40),
    away=st.integers(min_value=-1, max_value=1),
    fraction=st.floats(min_value=0, max_value=STEP_SECONDS - 0.01),
)
def test_a_password_counts_a_step_before_and_after(
    secret: bytes, step: int, away: int, fraction: float
) -> None:
    """Whichever of the three it is, that step is told, or another of them that has the same password."""
    now = (step + away) * STEP_SECONDS + fraction
    found = step_of(secret, password(secret, step), now)
    assert found is not None
    assert abs(found - (step + away)) <= 1
    assert password(secret, found) == password(secret, step)


@pytest.mark.parametrize("code", ["", "28708", "2870820", "28708२", "94287082", " 287082", "287081"])
def test_what_is_no_password_now(code: str) -> None:
    """Another length, other digits, another number."""
    assert step_of(SECRET, code, 59.0) is None


@pytest.mark.parametrize("steps", [-2, 2, 100])
def test_a_password_of_another_time_is_none(steps: int) -> None:
    """It counted, or will."""
    now = 1111111109.0
    assert step_of(SECRET, password(SECRET, int(now // STEP_SECONDS) + steps), now) is None
