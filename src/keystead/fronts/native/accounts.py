"""Accounts of the installation."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.core.principal import Account
from keystead.fronts.native.principals import access_key_members
from keystead.fronts.native.row import Name, Page, Row
from keystead.service.commands import identity as i
from keystead.service.results import identity as ri


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


def _account(account: Account) -> dict[str, object]:
    return {"id": account.id, "name": account.name, "created": account.created}


def _new(result: ri.NewAccount) -> dict[str, object]:
    key = {**access_key_members(result.access_key), "secret_access_key": result.secret}
    return {**_account(result.account), "administrator": result.administrator.arn, "access_key": key}


ROWS: Final[Mapping[str, Row]] = {
    "CreateAccount": Row(_Named, lambda t: i.CreateAccount(t.name), _new),
    "ListAccounts": Row(
        Page,
        lambda t: i.ListAccounts(t.limit, t.marker),
        lambda page: {"accounts": [_account(each) for each in page.accounts], "marker": page.marker},
    ),
}
