"""What can be asked hides what is in it."""

import msgspec
import pytest

from keystead.core.names import KeyReference
from keystead.service import commands as c
from keystead.service.actions import ACTIONS

CANARY = "canary-plaintext"
KEY = KeyReference("key-1")


@pytest.mark.parametrize("command", ACTIONS, ids=lambda command: command.__name__)
def test_a_command_shows_nothing_but_its_name(command: type[c.Command]) -> None:
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
        (c.PutPrincipalPolicy("alice", CANARY), "alice"),
        (c.SetAccessKeyStatus("AKIA1", enabled=False), "AKIA1"),
        (c.Encrypt(KEY, CANARY.encode()), "key-1"),
    ],
    ids=repr,
)
def test_a_command_says_what_it_is_about(command: c.Command, about: str) -> None:
    """Names only: no policy, no value, no plaintext."""
    assert command.about == about
