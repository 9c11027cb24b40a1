"""`keystead account`: accounts beside the first."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_an_account_is_made_and_its_administrator_gets_to_work(
    ask: Callable[..., Any], value: Callable[..., Any]
) -> None:
    """With the access key that is shown this once; it is listed, and lists none itself."""
    made = value("account", "create", "second")
    key = made["access_key"]
    own = {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
    listed = ask("principal", "list", **own).out
    assert listed.startswith(f"arn:aws:iam::{made['id']}:user/admin")
    assert {one["name"] for one in value("account", "list")} == {"main", "second"}
    assert f"{made['id']}  " in ask("account", "list").out
    assert ask("account", "list", **own).err.startswith("keystead: AccessDenied: Only a principal")
    told = ask("account", "create", "third").out
    assert "AWS_SECRET_ACCESS_KEY=" in told
