"""Policies with names of their own, which are attached to principals or are their permission boundaries.

A new text is in force wherever the policy is attached when the answer comes. The built-in ones
(`keystead.core.policy.builtin`) are among those that are listed; they come with the release and cannot be changed.
"""

from collections.abc import Mapping
from typing import Final

from keystead.core.declaration import Declaration, Kind
from keystead.core.errors import AccessDenied, InvalidRequest, NotFound, Reserved
from keystead.core.policy import builtin, check_denials, parse_identity_policy
from keystead.core.principal import policy_arn
from keystead.service.action import Action, Mode
from keystead.service.actions.principals import NAME, NAMED
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.identity import PolicyPage, PolicyText
from keystead.service.safeguards import own_boundary, way_in_kept

SHOWN: Final = 100  # of the principals that a policy is attached to


def put_policy(command: i.PutPolicy, desk: Desk) -> PolicyText:
    """Make a policy, or replace its text wherever it is attached."""
    arn, name = _allowed(desk, "keystead:PutPolicy", command.name)
    _check_own(desk, arn)
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"A policy's name is {NAMED}")
    if not command.text:
        raise InvalidRequest("A policy has a text: give one, or delete the policy.")
    check_denials(parse_identity_policy(command.text))
    if arn == own_boundary(desk):
        raise AccessDenied(f"{arn} is your permission boundary: somebody without it must change it.")
    old = desk.tx.declaration(desk.account, Kind.POLICY, name)
    new = Declaration(
        account=desk.account,
        kind=Kind.POLICY,
        name=name,
        text=command.text,
        created=desk.now if old is None else old.created,
        updated=desk.now,
    )
    with way_in_kept(desk):
        desk.tx.put_declaration(new)
    return _told(new)


def describe_policy(command: i.DescribePolicy, desk: Desk) -> PolicyText:
    """One policy, and the first of those that it is attached to or bounds."""
    arn, name = _allowed(desk, "keystead:DescribePolicy", command.name)
    policy = _built_in(arn) if arn in builtin.BUILT_IN else _told(_existing(desk, arn, name))
    # A built-in policy is attached in every account, and each sees its own principals.
    under = [each.arn for each in desk.tx.principals_under(arn, SHOWN) if each.account == desk.account]
    policy.attached_to = tuple(under)
    return policy


def list_policies(command: i.ListPolicies, desk: Desk) -> PolicyPage:
    """The account's policies and the built-in ones, in the order of their ARNs."""
    desk.allow("keystead:ListPolicies")
    prefix = policy_arn(desk.account, "")

    def fetch(after: str, count: int) -> list[PolicyText]:
        found: list[PolicyText] = []
        if after < builtin.PREFIX:  # the account's come first: digits are before letters
            name = after.removeprefix(prefix)
            found = [_told(each) for each in desk.tx.declarations(desk.account, Kind.POLICY, name, count)]
        found += [_built_in(arn) for arn in sorted(builtin.BUILT_IN) if arn > after]
        return found[:count]

    policies, marker = desk.page("policies", command.marker, command.limit, fetch, lambda each: each.arn)
    return PolicyPage(policies, marker)


def delete_policy(command: i.DeletePolicy, desk: Desk) -> Done:
    """Remove a policy that nobody has."""
    arn, name = _allowed(desk, "keystead:DeletePolicy", command.name)
    _check_own(desk, arn)
    _existing(desk, arn, name)
    under = desk.tx.principals_under(arn, 1)
    if under:
        raise InvalidRequest(
            f"The policy {name} is still attached to {under[0].arn}, or is its boundary: take it away from there "
            f"first. All that have it are shown by: keystead policy show {name}"
        )
    desk.tx.delete_declaration(desk.account, Kind.POLICY, name)
    return Done()


def _allowed(desk: Desk, action: str, name: str) -> tuple[str, str]:
    """The ARN and the name of a policy, once the caller may do ``action`` to it."""
    arn = name if name.startswith("arn:") else policy_arn(desk.account, name)
    desk.entry.subject = arn
    desk.allow(action, arn)
    return arn, arn.partition(":policy/")[2]


def _check_own(desk: Desk, arn: str) -> None:
    if arn in builtin.BUILT_IN:
        raise Reserved(f"{arn} is built in: make a policy of your own.")
    if not arn.startswith(policy_arn(desk.account, "")):
        raise InvalidRequest(f"{arn} is not the ARN of a policy of this account.")


def _existing(desk: Desk, arn: str, name: str) -> Declaration:
    found = desk.tx.declaration(desk.account, Kind.POLICY, name)
    if found is None or arn != policy_arn(desk.account, name):
        raise NotFound(f"There is no policy {arn}. List them with: keystead policy list")
    return found


def _told(declaration: Declaration) -> PolicyText:
    return PolicyText(
        arn=policy_arn(declaration.account, declaration.name),
        name=declaration.name,
        text=declaration.text,
        built_in=False,
        created=declaration.created,
        updated=declaration.updated,
    )


def _built_in(arn: str) -> PolicyText:
    policy = builtin.BUILT_IN[arn]
    return PolicyText(arn, arn.removeprefix(builtin.PREFIX), policy.text, True, policy.description)


ACTIONS: Final[Mapping[type[Command], Action]] = {
    i.PutPolicy: Action("keystead:PutPolicy", Mode.WRITE, put_policy),
    i.DescribePolicy: Action("keystead:DescribePolicy", Mode.READ, describe_policy),
    i.ListPolicies: Action("keystead:ListPolicies", Mode.READ, list_policies),
    i.DeletePolicy: Action("keystead:DeletePolicy", Mode.WRITE, delete_policy),
}
