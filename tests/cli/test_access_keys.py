"""`keystead access-key`: what people see of access keys."""

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_the_life_of_an_access_key(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """Its secret is shown when it is made and never again; disabled, it is refused."""
    made = value("principal", "create", "reader", "--access-key")["access_key"]
    assert "secret_access_key" not in json.dumps(value("access-key", "list", "reader"))
    assert made["secret_access_key"] not in ask("access-key", "list", "reader").out
    own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    denied = ask("principal", "list", **own)
    assert (denied.code, denied.out) == (1, "")
    assert denied.err.startswith("keystead: AccessDenied: ")
    assert ask("access-key", "disable", made["access_key_id"]).code == 0
    assert ask("principal", "list", **own).err.startswith("keystead: UnknownCredentials: ")
    assert "disabled" in ask("access-key", "list", "reader").out
    assert ask("access-key", "enable", made["access_key_id"]).code == 0
    assert ask("principal", "list", **own).err.startswith("keystead: AccessDenied: ")
    assert ask("access-key", "delete", made["access_key_id"], "--yes").code == 0
    assert value("access-key", "list", "reader") == []
    assert "AWS_SECRET_ACCESS_KEY=" in ask("access-key", "create", "reader").out


@pytest.mark.parametrize("command", ["enable", "disable", "delete --yes"])
def test_an_access_key_that_is_not_there(command: str, ask: Callable[..., Any]) -> None:
    """What to do next is said with it."""
    ended = ask("access-key", *command.split(), "AKIANOSUCH")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "keystead: NotFound: There is no access key AKIANOSUCH. "
        "List them with: keystead access-key list NAME\n"
    )


def test_an_access_key_is_rotated(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """The new one works, the old one is told with its last use, and with a third the oldest is named."""
    account = "--kind", "service-account"
    policy = '{"Statement": {"Effect": "Allow", "Action": "keystead:ListPrincipals", "Resource": "*"}}'
    made = value("principal", "create", "billing", *account, "--policy", policy, "--access-key")["access_key"]
    own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    assert "never used" in ask("access-key", "list", "billing", *account).out
    assert ask("principal", "list", **own).code == 0

    new = ask("access-key", "rotate", "billing", *account)
    assert "AWS_SECRET_ACCESS_KEY=" in new.out
    (old,) = [line for line in new.out.splitlines() if line.startswith(made["access_key_id"])]
    assert "enabled" in old
    assert old.endswith("for keystead:ListPrincipals")
    refused = ask("access-key", "rotate", "billing", *account, "--disable-old", "--yes")
    assert refused.code == 1
    assert f"the oldest is {made['access_key_id']}, last used" in refused.err

    assert ask("access-key", "delete", made["access_key_id"], "--yes").code == 0
    (second,) = value("access-key", "list", "billing", *account)
    asked = ask("access-key", "rotate", "billing", *account, "--disable-old")
    assert asked.code == 1
    assert f"Disable {second['access_key_id']} as soon as" in asked.err
    last = value("access-key", "rotate", "billing", *account, "--disable-old", "--yes")
    assert [(key["access_key_id"], key["enabled"]) for key in last["old"]] == [
        (second["access_key_id"], False)
    ]
    states = {
        key["access_key_id"]: key["enabled"] for key in value("access-key", "list", "billing", *account)
    }
    assert states == {second["access_key_id"]: False, last["access_key_id"]: True}
    assert ask("access-key", "delete", last["access_key_id"]).err.endswith("stopped\n")


def test_a_last_use_that_cannot_be_told_is_said_to_be() -> None:
    """It is another thing than never."""
    from keystead.cli.access_keys import _line  # noqa: PLC0415 - the one line that no healthy service gives

    key = {
        "access_key_id": "AKIAX",
        "created": 0.0,
        "enabled": True,
        "last_used": None,
        "tracked_since": None,
    }
    assert _line(key).endswith("last use cannot be told now")
