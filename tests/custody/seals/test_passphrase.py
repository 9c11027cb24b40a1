from pathlib import Path

import pytest

from keystead.core.errors import SealError
from keystead.crypto.kdf import Argon2Parameters, argon2id
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets
from keystead.custody.seals import passphrase

CHEAP: dict[str, str | int] = {"memory_kib": 32, "iterations": 1, "lanes": 1}
STORED = CHEAP | {"salt": "00" * 16}
WORDS = "correct horse battery"


def variable(value: str = WORDS) -> LocalSecrets:
    """A passphrase in its variable."""
    return LocalSecrets({"KEYSTEAD_PASSPHRASE": value})


def person(*answers: str) -> tuple[LocalSecrets, list[str]]:
    """Somebody who answers so, and what they were asked."""
    asked: list[str] = []
    given = iter(answers)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return next(given)

    return LocalSecrets({}, ask), asked


def test_the_key_is_argon2id_of_the_passphrase() -> None:
    """Salt and costs are the slot's; the salt is the source's 16 bytes."""
    parameters, key = passphrase.new(variable(), lambda count: b"s" * count, CHEAP)

    costs = Argon2Parameters(memory_kib=32, iterations=1, lanes=1)
    assert parameters == CHEAP | {"salt": (b"s" * 16).hex()}
    assert key.reveal() == argon2id(WORDS.encode(), b"s" * 16, costs)
    assert passphrase.key(parameters, variable()) == key
    assert passphrase.key(parameters, variable(WORDS + "!")) != key


def test_the_default_costs_are_those_recommended() -> None:
    """Without options a guess costs 64 MiB and three passes."""
    parameters, _ = passphrase.new(variable(), system_random, {})

    assert (parameters["memory_kib"], parameters["iterations"], parameters["lanes"]) == (65536, 3, 4)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_may_hold_it(tmp_path: Path, end: str) -> None:
    """A mounted secret works; the line end that editors add is not part of the passphrase."""
    (tmp_path / "secret").write_bytes((WORDS + end).encode())
    secrets = LocalSecrets({"KEYSTEAD_PASSPHRASE_FILE": str(tmp_path / "secret")})

    assert passphrase.key(STORED, secrets) == passphrase.key(STORED, variable())


def test_only_one_line_end_is_taken_away(tmp_path: Path) -> None:
    """Spaces and further line ends are the passphrase's own."""
    (tmp_path / "secret").write_bytes(f" {WORDS}\n\n".encode())
    secrets = LocalSecrets({"KEYSTEAD_PASSPHRASE_FILE": str(tmp_path / "secret")})

    assert passphrase.key(STORED, secrets) == passphrase.key(STORED, variable(f" {WORDS}\n"))


def test_the_variable_comes_before_the_file_and_a_person() -> None:
    """What is set nearest wins, and nobody is asked."""
    asking, asked = person(WORDS)
    secrets = LocalSecrets(
        {"KEYSTEAD_PASSPHRASE": WORDS, "KEYSTEAD_PASSPHRASE_FILE": "/nonexistent"}, asking.ask
    )

    assert passphrase.key(STORED, secrets) == passphrase.key(STORED, variable())
    assert asked == []


def test_a_person_is_asked_once_to_open_and_twice_to_make() -> None:
    """A new passphrase is typed again, so that a slip does not lock the slot."""
    opening, asked = person(WORDS)
    assert passphrase.key(STORED, opening) == passphrase.key(STORED, variable())
    assert asked == ["Passphrase: "]

    making, asked = person(WORDS, WORDS)
    parameters, key = passphrase.new(making, system_random, CHEAP)
    assert asked == ["New passphrase: ", "The same again: "]
    assert passphrase.key(parameters, variable()) == key

    slipped, _ = person(WORDS, WORDS + " ")
    with pytest.raises(SealError, match="the two passphrases differ"):
        passphrase.new(slipped, system_random, CHEAP)


def test_the_same_letters_are_the_same_passphrase() -> None:
    """A letter typed as one character or as letter and accent gives the same key."""
    composed, decomposed = "p\u00e4ssword f\u00fcr uns", "pa\u0308ssword fu\u0308r uns"

    assert passphrase.key(STORED, variable(composed)) == passphrase.key(STORED, variable(decomposed))


def test_bytes_that_are_no_text_work_as_well(tmp_path: Path) -> None:
    """Random bytes in a file are a passphrase, and the same bytes in the variable are the same one."""
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x80 random")
    from_file = LocalSecrets({"KEYSTEAD_PASSPHRASE_FILE": str(tmp_path / "secret")})

    assert passphrase.key(STORED, from_file) == passphrase.key(STORED, variable("\udcff\udcfe\udc80 random"))


def test_nothing_to_take_it_from_is_told() -> None:
    """The three ways are named."""
    with pytest.raises(
        SealError, match=r"missing secret: set KEYSTEAD_PASSPHRASE, or KEYSTEAD_PASSPHRASE_FILE .*terminal"
    ):
        passphrase.key(STORED, LocalSecrets({}))


@pytest.mark.parametrize("secrets", [variable(""), person("")[0]])
def test_an_empty_passphrase_is_a_missing_one(secrets: LocalSecrets) -> None:
    """A variable that is set to nothing is not a secret."""
    with pytest.raises(SealError, match="missing secret: the passphrase is empty"):
        passphrase.key(STORED, secrets)


def test_a_new_passphrase_has_a_least_length() -> None:
    """Short ones are refused when a slot is made; a slot that exists opens with what it was made with."""
    with pytest.raises(SealError, match="at least 8 characters"):
        passphrase.new(variable("1234567"), system_random, CHEAP)
    assert passphrase.new(variable("12345678"), system_random, CHEAP)
    assert passphrase.key(STORED, variable("short")).reveal()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"memory_kib": 2**30}, "memory_kib is 1073741824"),
        ({"iterations": 10**9}, "iterations is 1000000000"),
        ({"lanes": 0}, "lanes is 0"),
        ({"lanes": "1"}, "'lanes' is missing or is not a whole number"),
        ({"salt": "zz" * 16}, "'salt' is not 16 bytes"),
        ({"salt": "00" * 15}, "'salt' is not 16 bytes"),
        ({"salt": 5}, "'salt' is missing or is not text"),
    ],
)
def test_a_damaged_slot_costs_nothing(change: dict[str, str | int], told: str) -> None:
    """Parameters are checked before anything is derived or anybody asked, and the cure is the backup."""
    secrets, asked = person(WORDS)

    with pytest.raises(SealError, match=f"{told}.*restore the slot from a backup"):
        passphrase.key(STORED | change, secrets)
    assert asked == []


def test_costs_are_checked_before_anybody_types() -> None:
    """A new slot with impossible costs is refused at once."""
    secrets, asked = person(WORDS, WORDS)

    with pytest.raises(SealError, match="iterations is 33"):
        passphrase.new(secrets, system_random, CHEAP | {"iterations": 33})
    assert asked == []
