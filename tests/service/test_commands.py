"""What can be asked hides what is in it."""

import msgspec
import pytest

from keystead.core.names import KeyReference
from keystead.service.actions import ACTIONS
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c

CANARY = "canary-plaintext"
KEY = KeyReference("key-1")


@pytest.mark.parametrize("command", ACTIONS, ids=lambda command: command.__name__)
def test_a_command_shows_nothing_but_its_name(command: type[Command]) -> None:
    """Whatever the members hold, `repr` and `str` say the type only."""
    required = [f for f in msgspec.structs.fields(command) if f.required]
    made = command(**{field.name: CANARY for field in required})
    assert repr(made) == str(made) == f"<{command.__name__}>"


def test_a_command_cannot_be_changed() -> None:
    """What was authorized is what is run."""
    command = c.Encrypt(KEY, b"x")
    with pytest.raises(AttributeError):
        command.plaintext = b"y"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("command", "about"),
    [
        (c.CreateKey(description=CANARY), ""),
        (c.DisableKey(KEY), "key-1"),
        (c.DescribeKey(KeyReference("alias/x", is_alias=True)), "alias/x"),
        (c.CreateAlias("alias/x", KEY), "key-1 alias/x"),
        (c.DeleteAlias("alias/x"), "alias/x"),
        (c.ListAliases(), ""),
        (c.TagResource(KEY, (("name", CANARY),)), "key-1"),
        (i.PutPrincipalPolicy("alice", CANARY), "alice"),
        (i.SetAccessKeyStatus("AKIA1", enabled=False), "AKIA1"),
        (c.Encrypt(KEY, CANARY.encode()), "key-1"),
    ],
    ids=repr,
)
def test_a_command_says_what_it_is_about(command: Command, about: str) -> None:
    """Names only: no policy, no value, no plaintext."""
    assert command.about == about
