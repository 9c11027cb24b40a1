"""Wrong one-time passwords are counted, and forgotten."""

import pytest

from keystead.service import guesses
from keystead.service.guesses import MOST, SECONDS, Guesses


def wrong(counted: Guesses, who: str, *times: float) -> None:
    """Somebody guesses wrong at these times."""
    for each in times:
        counted.wrong(who, each)


def test_five_wrong_ones_within_five_minutes_are_too_many() -> None:
    """Four are not, and nobody else pays for them."""
    counted = Guesses()
    assert not counted.too_many("bob", 0.0)
    wrong(counted, "bob", 0.0, 1.0, 2.0, 3.0)
    assert not counted.too_many("bob", 3.0)
    wrong(counted, "bob", 4.0)
    assert counted.too_many("bob", 4.0)
    assert counted.too_many("bob", SECONDS - 0.1)
    assert not counted.too_many("alice", 4.0)


def test_the_oldest_of_five_counts() -> None:
    """When it is five minutes old there is one guess again, and after that one the next has to wait for its turn."""
    counted = Guesses()
    wrong(counted, "bob", 0.0, 100.0, 200.0, 250.0, 290.0)
    assert not counted.too_many("bob", SECONDS)
    wrong(counted, "bob", SECONDS)
    assert counted.too_many("bob", SECONDS)
    assert not counted.too_many("bob", SECONDS + 100.0)


def test_a_right_one_is_a_new_beginning() -> None:
    """Whoever has the device may be clumsy again."""
    counted = Guesses()
    wrong(counted, "bob", *map(float, range(MOST)))
    counted.right("bob")
    assert not counted.too_many("bob", 5.0)
    counted.right("bob")


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more, those whose last guess is the oldest are forgotten."""
    monkeypatch.setattr(guesses, "PRINCIPALS", 2)
    counted = Guesses()
    for who in ("alice", "bob"):
        wrong(counted, who, *map(float, range(MOST)))
    wrong(counted, "alice", 6.0)
    wrong(counted, "carol", 7.0)
    assert [counted.too_many(who, 7.0) for who in ("alice", "bob", "carol")] == [True, False, False]
