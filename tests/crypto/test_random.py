import hashlib
import itertools
import os
from collections.abc import Callable
from fractions import Fraction
from math import ceil, comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import CustodyUnavailable
from keystead.crypto.random import (
    PROPORTION_CUTOFF,
    PROPORTION_WINDOW,
    REPETITION_CUTOFF,
    SAMPLE_BYTES,
    exactly,
    highest_proportion,
    longest_repetition,
    startup_health_test,
    system_random,
)


def pattern(make: Callable[[int], int]) -> Callable[[int], bytes]:
    """A source whose n-th byte since its start is ``make(n)``."""
    counter = itertools.count()
    return lambda count: bytes(make(next(counter)) & 0xFF for _ in range(count))


def noise(n: int) -> int:
    """A byte that looks random, the same for the same n."""
    return hashlib.sha256(n.to_bytes(8, "big")).digest()[0]


def test_the_system_source_gives_what_it_is_asked() -> None:
    """So many bytes, and never the same."""
    assert [len(system_random(n)) for n in (0, 1, 24, 4096)] == [0, 1, 24, 4096]
    assert system_random(32) != system_random(32)


def test_a_good_source_passes() -> None:
    """The kernel's generator and an even, unrepeated stream pass."""
    startup_health_test(system_random)
    startup_health_test(pattern(noise))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (bytes, "same 4096 bytes twice"),
        (lambda n: hashlib.shake_128(b"seed").digest(n), "same 4096 bytes twice"),
        (pattern(lambda n: n // SAMPLE_BYTES), "repetition count"),
        (pattern(lambda n: 0 if 100 <= n < 106 else noise(n)), "repetition count"),
        (pattern(lambda n: 7 if n % 20 == 0 else noise(n)), "adaptive proportion"),
        (pattern(lambda n: noise(n) & 15), "adaptive proportion"),
        (lambda n: os.urandom(n - 1), "4095 bytes instead of 4096"),
        (lambda n: os.urandom(n + 1), "4097 bytes instead of 4096"),
    ],
    ids=["zeros", "fixed-seed", "constant", "stuck-once", "biased", "four-bits", "short", "long"],
)
def test_a_bad_source_is_refused_with_the_cure(source: Callable[[int], bytes], told: str) -> None:
    """Constant, repeating, biased, narrow and short sources are refused, and the text says what to check."""
    with pytest.raises(
        CustodyUnavailable, match=rf"{told}.*no key is made from it\. Check that /dev/urandom"
    ):
        startup_health_test(source)


def test_a_source_that_cannot_be_read_is_unavailable() -> None:
    """The operating system's error becomes ours, with its reason."""

    def broken(_: int) -> bytes:
        raise OSError(38, "Function not implemented")

    with pytest.raises(CustodyUnavailable, match="Function not implemented"):
        exactly(broken, 32)


def test_the_cutoffs_are_those_of_the_standard() -> None:
    """SP 800-90B sections 4.4.1 and 4.4.2 at H = 8 and alpha = 2^-40, computed exactly."""
    alpha, p = Fraction(1, 2**40), Fraction(1, 256)
    below, critical = Fraction(0), 0
    for critical in range(PROPORTION_WINDOW):
        below += comb(PROPORTION_WINDOW, critical) * p**critical * (1 - p) ** (PROPORTION_WINDOW - critical)
        if below >= 1 - alpha:
            break

    assert 1 + ceil(40 / 8) == REPETITION_CUTOFF
    assert 1 + critical == PROPORTION_CUTOFF
    assert SAMPLE_BYTES >= 1024


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1))
def test_repetition_is_the_longest_run(runs: list[tuple[int, int]]) -> None:
    """Counted the other way, by grouping, the longest run is the same."""
    sample = b"".join(bytes([value]) * count for value, count in runs)

    assert longest_repetition(sample) == max(len(list(group)) for _, group in itertools.groupby(sample))


def test_proportion_looks_at_whole_windows_only() -> None:
    """Each window is judged by its first value, and a rest shorter than a window is left out."""
    window = bytes([9] + [n % 8 for n in range(PROPORTION_WINDOW - 1)])

    assert highest_proportion(window) == 1
    assert highest_proportion(window + bytes([5] * 30) + bytes([n % 5 for n in range(482)])) == 30
    assert highest_proportion(window + bytes([5] * 511)) == 1
