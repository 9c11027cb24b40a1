"""Accounts: each owns keys and principals of its own, and knows nothing of the others' (ADR 6).

They are made from the installation's first account. An account has a key-encryption key of its own under the root, so
what is sealed for one opens for no other, a first administrator, and a principal that the scheduled jobs ask as.
"""

from collections.abc import Mapping
from typing import Final

from keystead.core.errors import DataDamaged, InvalidRequest
from keystead.core.policy import builtin
from keystead.core.principal import INSTALLATION, Account, Principal, service_arn, user_arn
from keystead.service.action import Action, Mode
from keystead.service.actions.access_keys import make_access_key
from keystead.service.actions.guardrails import check_first_account
from keystead.service.actions.principals import NAME, NAMED
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.results.identity import AccountPage, NewAccount

ADMIN: Final = "admin"
JOBS: Final = "jobs"
_ID_BYTES: Final = 8
_ID_DIGITS: Final = 12


def create_account(command: i.CreateAccount, desk: Desk) -> NewAccount:
    """A new account with its first administrator; usable on every worker when it returns."""
    desk.allow("keystead:CreateAccount")
    check_first_account(desk)
    if not NAME.fullmatch(command.name):
        raise InvalidRequest(f"An account's name is {NAMED}")
    jobs = desk.tx.principal(service_arn(desk.account, JOBS))
    if jobs is None:
        raise DataDamaged("the jobs' principal is missing from the store: restore it from a backup")
    account = Account(id=_free_id(desk), name=command.name, created=desk.now)
    desk.entry.subject = account.id
    wrapped = desk.custodian.enroll(account.id)
    desk.custodian.admit(account.id, wrapped)  # if this is not committed, it is a key that nothing uses
    administrator = Principal(
        arn=user_arn(account.id, ADMIN),
        account=account.id,
        name=ADMIN,
        created=desk.now,
        attached=(builtin.ADMINISTRATOR,),
    )
    desk.tx.put_account(account)
    desk.tx.put_account_key(account.id, wrapped)
    desk.tx.put_principal(administrator)
    desk.tx.put_principal(
        Principal(
            arn=service_arn(account.id, JOBS),
            account=account.id,
            name=JOBS,
            created=desk.now,
            policy=jobs.policy,
        )
    )
    access_key, secret = make_access_key(desk, administrator)
    return NewAccount(account, administrator, access_key, secret)


def list_accounts(command: i.ListAccounts, desk: Desk) -> AccountPage:
    """The accounts by id."""
    desk.allow("keystead:ListAccounts")
    check_first_account(desk)
    accounts, marker = desk.page(
        "accounts", command.marker, command.limit, desk.tx.accounts, lambda account: account.id
    )
    return AccountPage(accounts, marker)


def _free_id(desk: Desk) -> str:
    """Twelve digits that no account has."""
    while True:
        drawn = f"{int.from_bytes(desk.random(_ID_BYTES), 'big') % 10**_ID_DIGITS:012d}"
        if drawn != INSTALLATION and desk.tx.account(drawn) is None:
            return drawn


ACTIONS: Final[Mapping[type[Command], Action]] = {
    i.CreateAccount: Action("keystead:CreateAccount", Mode.WRITE, create_account),
    i.ListAccounts: Action("keystead:ListAccounts", Mode.READ, list_accounts),
}
