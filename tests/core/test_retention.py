"""How long entries are kept."""

from math import inf

import pytest

from keystead.core.ledger import Removable
from keystead.core.retention import DAY, Durations, Hold, Kept


@pytest.mark.parametrize(
    ("kept", "until"), [(Kept.USES, 30 * DAY + 5.0), (Kept.READS, inf), (Kept.CHANGES, inf)]
)
def test_until_when_an_entry_is_kept(kept: Kept, until: float) -> None:
    """Its class's days after it was made; for ever without any."""
    assert Durations({Kept.USES: 30, Kept.READS: 0}).until(kept, 5_000_000) == until


@pytest.mark.parametrize(
    ("days", "shortest"), [({}, 0), ({Kept.USES: 0}, 0), ({Kept.USES: 30, Kept.CHANGES: 7, Kept.READS: 0}, 7)]
)
def test_the_shortest_duration(days: dict[Kept, int], shortest: int) -> None:
    """The fewest days that anything is kept, and 0 when everything is kept for ever."""
    assert Durations(days).shortest == shortest


def test_what_a_hold_holds() -> None:
    """A key, if it names one, and else the account."""
    assert Hold("h", "111111111111", "", "why", 0.0, "arn").holds == "111111111111"
    assert Hold("h", "111111111111", "arn:key", "why", 0.0, "arn").holds == "arn:key"


def test_what_may_be_removed_in_words() -> None:
    """Each range with its log, and how many entries that is in all."""
    removable = Removable({"w0": (range(256), range(512, 1024)), "w1": (range(256),)}, more=False)
    assert removable.told() == ["w0/0-255", "w0/512-1023", "w1/0-255"]
    assert removable.entries == 1024
