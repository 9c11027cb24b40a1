"""Where randomness comes from, and what it must show before the first key is made.

`system_random` is the kernel's generator, and it is handed down as an argument from the composition root,
so that tests can repeat a run. Kernels have had bad days (snapshots of virtual machines, sandboxes without
an entropy source, a library preloaded over getrandom), and a bad generator is silent, so each start looks at
a sample: the two health tests of NIST SP 800-90B section 4.4, and whether two answers are the same. This
finds a source that is broken, not one that is clever: no test of the output can prove randomness.
"""

import os
from collections.abc import Iterable

from keystead.core.errors import CustodyUnavailable
from keystead.core.ports import Random

SAMPLE_BYTES = 4096  # SP 800-90B section 4.3 wants at least 1,024 samples at start

# For samples with the full 8 bits of min-entropy a byte, and a false alarm in one of 2^40 tests (the
# rarest that section 4.4 recommends): we look at every start of every process, and each alarm is an outage.
REPETITION_CUTOFF = 6  # 4.4.1: 1 + ceil(40 / 8)
PROPORTION_WINDOW = 512  # 4.4.2: for samples of more than two values
PROPORTION_CUTOFF = 19  # 4.4.2: 1 + critbinom(512, 2^-8, 1 - 2^-40); the test computes it

_CURE = (
    "no key is made from it. Check that /dev/urandom and getrandom(2) are the kernel's own (containers, "
    "sandboxes, LD_PRELOAD), restart the machine if it was restored from a snapshot, then start again"
)


def system_random(count: int) -> bytes:
    """``count`` bytes from the operating system's generator."""
    return os.urandom(count)


def exactly(random: Random, count: int) -> bytes:
    """``count`` bytes, or `CustodyUnavailable`: a key must never be short because its source was."""
    try:
        data = random(count)
    except OSError as error:
        raise CustodyUnavailable(f"the random source cannot be read ({error.strerror}): {_CURE}") from None
    if len(data) != count:
        raise CustodyUnavailable(f"the random source gave {len(data)} bytes instead of {count}: {_CURE}")
    return data


def startup_health_test(random: Random) -> None:
    """Return if ``random`` looks like a random source; raise `CustodyUnavailable` with the cure if not."""
    first, second = exactly(random, SAMPLE_BYTES), exactly(random, SAMPLE_BYTES)
    if first == second:
        raise CustodyUnavailable(f"the random source gave the same {SAMPLE_BYTES} bytes twice: {_CURE}")
    sample = first + second
    if longest_repetition(sample) >= REPETITION_CUTOFF:
        raise CustodyUnavailable(f"the random source repeats itself (repetition count test): {_CURE}")
    if highest_proportion(sample) >= PROPORTION_CUTOFF:
        raise CustodyUnavailable(f"the random source prefers a value (adaptive proportion test): {_CURE}")


def longest_repetition(sample: bytes) -> int:
    """SP 800-90B section 4.4.1: how often a value comes in a row, at most."""
    longest, count, previous = 0, 0, -1
    for value in sample:
        count = count + 1 if value == previous else 1
        longest, previous = max(longest, count), value
    return longest


def highest_proportion(sample: bytes) -> int:
    """SP 800-90B section 4.4.2: how often a window's first value comes in that window, at most."""
    starts: Iterable[int] = range(0, len(sample) - PROPORTION_WINDOW + 1, PROPORTION_WINDOW)
    return max(sample.count(sample[at], at, at + PROPORTION_WINDOW) for at in starts)
