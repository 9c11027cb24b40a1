"""Guardrails: policies that only deny, and deny everybody in an account, or in the whole installation.

They are in force on every worker when PutGuardrail returns. The installation's own are made from its first account
only, and limit that account as well. A guardrail that would keep its maker from changing it again is refused, and so
is one that closes the account's last way in (`keystead.service.safeguards`).
"""

from collections.abc import Mapping
from typing import Final

from keystead.core.declaration import Declaration, Kind
from keystead.core.errors import AccessDenied, InvalidRequest, NotFound
from keystead.core.policy import check_denials, parse_guardrail
from keystead.core.principal import INSTALLATION
from keystead.service.action import Action, Mode
from keystead.service.actions.principals import NAME, NAMED
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.identities import identify
from keystead.service.results import Done
from keystead.service.results.identity import GuardrailPage, GuardrailText
from keystead.service.safeguards import asking, ruling, way_in_kept

ACCOUNT_WIDE: Final = "account"
INSTALLATION_WIDE: Final = "installation"
_CHANGES: Final = ("keystead:PutGuardrail", "keystead:DeleteGuardrail")


def put_guardrail(command: i.PutGuardrail, desk: Desk) -> GuardrailText:
    """Make a guardrail, or replace its text; in force when it returns."""
    account, arn = _allowed(desk, "keystead:PutGuardrail", command.scope, command.name)
    if not NAME.fullmatch(command.name):
        raise InvalidRequest(f"A guardrail's name is {NAMED}")
    check_denials(parse_guardrail(command.text))
    old = desk.tx.declaration(account, Kind.GUARDRAIL, command.name)
    new = Declaration(
        account=account,
        kind=Kind.GUARDRAIL,
        name=command.name,
        text=command.text,
        created=desk.now if old is None else old.created,
        updated=desk.now,
    )
    with way_in_kept(desk):
        desk.tx.put_declaration(new)
        _check_maker(desk, arn)
    return GuardrailText(new)


def describe_guardrail(command: i.DescribeGuardrail, desk: Desk) -> GuardrailText:
    """One guardrail."""
    account, arn = _allowed(desk, "keystead:DescribeGuardrail", command.scope, command.name)
    return GuardrailText(_existing(desk, account, arn, command.name))


def list_guardrails(command: i.ListGuardrails, desk: Desk) -> GuardrailPage:
    """The guardrails of one scope, by name. Those of the installation limit everybody, so every account sees them."""
    desk.allow("keystead:ListGuardrails")
    account = _account(desk, command.scope)
    guardrails, marker = desk.page(
        f"guardrails {command.scope}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.declarations(account, Kind.GUARDRAIL, after, count),
        lambda each: each.name,
    )
    return GuardrailPage(guardrails, marker)


def delete_guardrail(command: i.DeleteGuardrail, desk: Desk) -> Done:
    """Remove a guardrail; out of force when it returns."""
    account, arn = _allowed(desk, "keystead:DeleteGuardrail", command.scope, command.name)
    _existing(desk, account, arn, command.name)
    desk.tx.delete_declaration(account, Kind.GUARDRAIL, command.name)
    return Done()


def check_first_account(desk: Desk) -> None:
    """Refuse what only the installation's first account may do."""
    if desk.account != desk.tx.setting("account"):
        raise AccessDenied("Only a principal of the installation's first account may do that.")


def _account(desk: Desk, scope: str) -> str:
    if scope not in (ACCOUNT_WIDE, INSTALLATION_WIDE):
        raise InvalidRequest(f"The scope of a guardrail is {ACCOUNT_WIDE} or {INSTALLATION_WIDE}.")
    return desk.account if scope == ACCOUNT_WIDE else INSTALLATION


def _allowed(desk: Desk, action: str, scope: str, name: str) -> tuple[str, str]:
    """The account and the ARN of a guardrail, once the caller may do ``action`` to it."""
    account = _account(desk, scope)
    arn = desk.entry.subject = f"arn:aws:iam::{account}:guardrail/{name}"
    desk.allow(action, arn)
    if account == INSTALLATION and action in _CHANGES:
        check_first_account(desk)
    return account, arn


def _check_maker(desk: Desk, arn: str) -> None:
    """Refuse a guardrail under which its maker could not change it again."""
    identity = identify(desk.tx, asking(desk), desk.caller.identity.session)
    for action in _CHANGES:
        found = ruling(desk, identity, action, arn)
        if not found.allowed:
            raise InvalidRequest(
                f"Under this guardrail you could not change or remove it: its statement {found.statement} denies you "
                f"{action}. Spare yourself there, for example with a condition on aws:PrincipalArn."
            )


def _existing(desk: Desk, account: str, arn: str, name: str) -> Declaration:
    found = desk.tx.declaration(account, Kind.GUARDRAIL, name)
    if found is None:
        raise NotFound(f"There is no guardrail {arn}. List them with: keystead guardrail list")
    return found


ACTIONS: Final[Mapping[type[Command], Action]] = {
    i.PutGuardrail: Action("keystead:PutGuardrail", Mode.WRITE, put_guardrail),
    i.DescribeGuardrail: Action("keystead:DescribeGuardrail", Mode.READ, describe_guardrail),
    i.ListGuardrails: Action("keystead:ListGuardrails", Mode.READ, list_guardrails),
    i.DeleteGuardrail: Action("keystead:DeleteGuardrail", Mode.WRITE, delete_guardrail),
}
