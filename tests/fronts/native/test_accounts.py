"""What the native API takes and says of accounts."""

from collections.abc import Callable
from typing import Any

from keystead.core.principal import user_arn
from keystead.testing.installation import ACCOUNT, Installation


def test_an_account_is_made_and_listed(house: Installation, call: Callable[..., Any]) -> None:
    """The answer has its administrator's access key with the secret, and no list has it."""
    made = call("CreateAccount", name="second")
    admin = user_arn(made["id"], "admin")
    assert (made["name"], made["administrator"]) == ("second", admin)
    assert made["access_key"]["principal"] == admin
    assert len(made["access_key"]["secret_access_key"]) == 40
    now = house.clock.now()
    listed = call("ListAccounts")
    second = {"id": made["id"], "name": "second", "created": now}
    assert listed["accounts"] == sorted(
        [{"id": ACCOUNT, "name": "main", "created": now}, second], key=lambda account: account["id"]
    )
    with house.store.view() as view:
        assert view.principal(admin) is not None
