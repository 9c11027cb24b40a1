import inspect

import pytest

from keystead.core import errors
from keystead.core.errors import AuditDamaged, KeysteadError, Kind

FAMILY = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, KeysteadError) and error is not KeysteadError
]


@pytest.mark.parametrize("error", FAMILY)
def test_every_error_has_a_kind_and_its_own_name_as_code(error: type[KeysteadError]) -> None:
    """A program can match on the code and act on the kind without knowing the class."""
    assert isinstance(error.kind, Kind)
    assert error.code == error.__name__


def test_codes_are_unique_and_every_kind_is_in_use() -> None:
    """No two errors share a code, and no kind is there for nothing."""
    assert len({error.code for error in FAMILY}) == len(FAMILY) > 30
    assert {error.kind for error in FAMILY} == set(Kind)


def test_every_error_is_of_the_one_family_and_has_no_children() -> None:
    """The family is flat, so a front's table needs no order."""
    assert {error.__base__ for error in FAMILY} == {KeysteadError}


def test_every_error_says_what_it_means() -> None:
    """The docstring is the text of last resort, so each class has its own."""
    texts = [error.__doc__ for error in FAMILY]
    assert all(texts)
    assert len(set(texts)) == len(texts)


def test_the_message_is_what_was_said() -> None:
    """An error's text is the message it was raised with, and nothing when it was raised without."""
    assert str(errors.NotFound("Key 'x' does not exist")) == "Key 'x' does not exist"
    assert str(errors.InvalidCiphertext()) == ""


def test_damage_of_an_audit_log_lists_where() -> None:
    """The error carries, for each log, the first thing wrong; without a list it carries none."""
    found = (("w0", 7, "tile/0/000", "the hash differs"),)
    error = AuditDamaged("the log does not check out", found)
    assert (str(error), error.damage) == ("the log does not check out", found)
    assert AuditDamaged("the log does not check out").damage == ()
