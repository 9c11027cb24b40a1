"""Principals: users, service accounts, roles and groups, and how all that one of them has is taken away.

What may be done to a principal is decided apart for each part, on the principal's ARN, so that policies can keep the
duties apart: who somebody is (``keystead:CreatePrincipal``, ``DeletePrincipal``), what it may do
(``PutPrincipalPolicy``: policy, attached policies, groups, boundary, trust, length of sessions), its tags
(``TagPrincipal``), whether it is enabled (``SetPrincipalStatus``). A request that touches several needs them all.
`keystead.service.safeguards` says what is refused whatever the policies allow.

A secret is given out once, when it is made. It is kept only wrapped by the custodian, because SigV4 and one-time
passwords need it for each check.
"""

import re
from base64 import b32encode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Final
from urllib.parse import quote, urlencode

from keystead.core.declaration import Kind
from keystead.core.errors import AlreadyExists, InvalidRequest, InvalidTag, LimitExceeded, NotFound
from keystead.core.policy import builtin, check_denials, parse_identity_policy, parse_trust_policy
from keystead.core.ports import Random, Transaction
from keystead.core.principal import (
    GROUP,
    HOUR,
    KINDS,
    ROLE,
    SERVICE_ACCOUNT,
    USER,
    AccessKey,
    Principal,
    mfa_binding,
    policy_arn,
    principal_arn,
)
from keystead.service.action import Action, Mode
from keystead.service.actions.tags import check_tags
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.identity import NewMfa, PrincipalDescription, PrincipalPage, Revoked
from keystead.service.safeguards import check_boundary, check_not_oneself, way_in_kept

AT_ONCE: Final = 1000
MEMBERS_SHOWN: Final = 100
MOST_ATTACHED: Final = 20
MOST_GROUPS: Final = 10
MOST_TAGS: Final = 50
TAG_NAME, TAG_VALUE = 128, 256  # characters (AWS IAM, "Tags for IAM resources")
LONGEST_SESSION: Final = 12 * HOUR
MFA_BYTES: Final = 20  # RFC 4226 recommends 160 bits
ISSUER: Final = "Keystead"  # as apps show it

NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
NAMED: Final = "1 to 64 letters, digits and the characters + = , . @ _ -"
_CALLED: Final = {USER: "user", SERVICE_ACCOUNT: "service account", ROLE: "role", GROUP: "group"}

_PARTS: Final[Mapping[str, str]] = {
    "policy": "keystead:PutPrincipalPolicy",
    "attached": "keystead:PutPrincipalPolicy",
    "groups": "keystead:PutPrincipalPolicy",
    "boundary": "keystead:PutPrincipalPolicy",
    "trust": "keystead:PutPrincipalPolicy",
    "session_seconds": "keystead:PutPrincipalPolicy",
    "tags": "keystead:TagPrincipal",
    "enabled": "keystead:SetPrincipalStatus",
}
"""The parts of a principal, and what may change each."""


def create_principal(command: i.CreatePrincipal, desk: Desk) -> PrincipalDescription:
    """Make a principal. What it is given from the start needs the same permission as later."""
    if command.kind in _CALLED and not NAME.fullmatch(command.name):
        raise InvalidRequest(f"A {_CALLED[command.kind]}'s name is {NAMED}")
    arn = allowed(desk, "keystead:CreatePrincipal", command.kind, command.name)
    blank = Principal(
        arn=arn,
        account=desk.account,
        name=command.name,
        created=desk.now,
        sessions_from=desk.tx.newest_change() + 1,  # sessions of an earlier one of that name stay over
    )
    wanted = _with(desk, blank, command)
    for action in dict.fromkeys(_PARTS[part] for part in _different(blank, wanted)):
        desk.allow(action, arn)
    if desk.tx.principal(arn) is not None:
        raise AlreadyExists(f"The {_CALLED[command.kind]} {command.name} already exists.")
    if command.kind == ROLE and not wanted.trust:
        raise InvalidRequest("A role has a trust policy, which says who may assume it: give one.")
    _check(desk, blank, wanted)
    check_boundary(desk, wanted)
    # Whatever waits for the name: it was granted when nobody had the name, or to somebody who had it before.
    forget_grants(desk.tx, arn)
    desk.tx.put_principal(wanted)
    return PrincipalDescription(wanted)


def update_principal(command: i.UpdatePrincipal, desk: Desk) -> PrincipalDescription:
    """Change parts of a principal; in force when it returns."""
    arn = principal_named(desk, command.kind, command.name)
    parts = [part for part in _PARTS if getattr(command, part) is not None]
    if not parts:
        raise InvalidRequest("Say what is to be changed.")
    for action in dict.fromkeys(_PARTS[part] for part in parts):
        desk.allow(action, arn)
    old = existing(desk, arn)
    new = _with(desk, old, command)
    if not new.enabled:
        check_not_oneself(desk, arn, "disable")
    if new.kind == ROLE and not new.trust:
        raise InvalidRequest(
            "A role has a trust policy, which says who may assume it: replace it with another."
        )
    _check(desk, old, new)
    check_boundary(desk, old, new)
    with way_in_kept(desk):
        desk.tx.put_principal(new)
    return PrincipalDescription(new)


def put_principal_policy(command: i.PutPrincipalPolicy, desk: Desk) -> Done:
    """Replace a principal's identity policy; in force when it returns."""
    update_principal(i.UpdatePrincipal(command.name, command.kind, policy=command.policy), desk)
    return Done()


def describe_principal(command: i.DescribePrincipal, desk: Desk) -> PrincipalDescription:
    """One principal, and of a group the first of its members."""
    arn = allowed(desk, "keystead:DescribePrincipal", command.kind, command.name)
    found = existing(desk, arn)
    members = desk.tx.members(arn, "", MEMBERS_SHOWN) if found.kind == GROUP else []
    return PrincipalDescription(found, tuple(member.arn for member in members))


def list_principals(command: i.ListPrincipals, desk: Desk) -> PrincipalPage:
    """The account's principals in the order of their ARNs, of one kind or all."""
    desk.allow("keystead:ListPrincipals")
    first = principal_named(desk, command.kind, "") if command.kind else ""

    def fetch(after: str, count: int) -> list[Principal]:
        found = desk.tx.principals(desk.account, after or first, count)
        return list(takewhile(lambda each: each.arn.startswith(first), found))

    principals, marker = desk.page(
        f"principals {command.kind}", command.marker, command.limit, fetch, lambda principal: principal.arn
    )
    return PrincipalPage(principals, marker)


def delete_principal(command: i.DeletePrincipal, desk: Desk) -> Done:
    """Remove a principal, its access keys, and it from all grants; in force when it returns."""
    arn = allowed(desk, "keystead:DeletePrincipal", command.kind, command.name)
    check_not_oneself(desk, arn, "delete")
    found = existing(desk, arn)
    member = next(iter(desk.tx.members(arn, "", 1)), None) if found.kind == GROUP else None
    if member is not None:
        raise InvalidRequest(
            f"The group {command.name} still has members, such as {member.arn}: take them out of it first, with "
            f"keystead principal update NAME --leave {command.name}"
        )
    check_boundary(desk, found)
    with way_in_kept(desk):
        # What it had by grants goes with it: one that is made anew under that name must not find it again.
        forget_grants(desk.tx, arn)
        desk.tx.delete_principal(arn)
    return Done()


def revoke_principal(command: i.RevokePrincipal, desk: Desk) -> Revoked:
    """End every session, access key and grant of a principal in one transaction, so that all workers see all of it.

    The grants to a role's sessions are among them. Those that it may only retire are others' permissions, and stay.
    """
    arn = allowed(desk, "keystead:RevokePrincipal", command.kind, command.name)
    found, keys = _revocable(desk, arn)
    check_not_oneself(desk, arn, "revoke")
    check_boundary(desk, found)
    revoked = replace(
        found, sessions_from=desk.tx.newest_change() + 1, enabled=found.enabled and not command.disable
    )
    with way_in_kept(desk):
        desk.tx.put_principal(revoked)
        for key in keys:
            desk.tx.put_access_key(replace(key, enabled=False))
        grants = _end_grants(desk.tx, arn)
    return Revoked(revoked, tuple(key.id for key in keys), grants)


def foresee_revocation(command: i.ForeseeRevocation, desk: Desk) -> Revoked:
    """What it would end to revoke a principal, the grants counted to a bound; nothing is changed."""
    arn = allowed(desk, "keystead:ForeseeRevocation", command.kind, command.name)
    found, keys = _revocable(desk, arn)
    return Revoked(found, tuple(key.id for key in keys), len(desk.tx.grants_to(arn, AT_ONCE)))


def enable_mfa(command: i.EnableMfa, desk: Desk) -> NewMfa:
    """Give a user time-based one-time passwords (RFC 6238); the secret is in the answer and nowhere else."""
    arn = allowed(desk, "keystead:EnableMfa", USER, command.name)
    user = existing(desk, arn)
    if user.mfa:
        raise AlreadyExists(
            f"The user {command.name} has one-time passwords already: disable them first, and then enable new ones."
        )
    check_boundary(desk, user)
    secret = desk.random(MFA_BYTES)
    protected = desk.custodian.protect(desk.account, secret, mfa_binding(arn))
    enrolled = replace(user, mfa=protected, mfa_step=0)
    desk.tx.put_principal(enrolled)
    told = b32encode(secret).decode().rstrip("=")
    label = quote(f"{ISSUER}:{command.name}@{desk.account}", safe=":@")
    query = urlencode({"secret": told, "issuer": ISSUER, "algorithm": "SHA1", "digits": 6, "period": 30})
    serial = f"arn:aws:iam::{desk.account}:mfa/{command.name}"
    return NewMfa(enrolled, serial, told, f"otpauth://totp/{label}?{query}")


def disable_mfa(command: i.DisableMfa, desk: Desk) -> Done:
    """Take a user's one-time passwords away; what needs one it may not do then."""
    arn = allowed(desk, "keystead:DisableMfa", USER, command.name)
    user = existing(desk, arn)
    check_boundary(desk, user)
    desk.tx.put_principal(replace(user, mfa="", mfa_step=0))
    return Done()


def new_credentials(random: Random) -> tuple[str, str]:
    """An access key id and a secret in AWS's forms: AKIA and 16 characters; 40 characters, 240 bits."""
    return "AKIA" + b32encode(random(10)).decode(), b64encode(random(30)).decode()


def principal_named(desk: Desk, kind: str, name: str) -> str:
    """The ARN of a principal of the account."""
    if kind not in KINDS:
        raise InvalidRequest(f"A principal is of kind {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    arn = desk.entry.subject = principal_arn(desk.account, kind, name)
    return arn


def allowed(desk: Desk, action: str, kind: str, name: str) -> str:
    """The ARN of a principal of the account, once the caller may do ``action`` to it."""
    arn = principal_named(desk, kind, name)
    desk.allow(action, arn)
    return arn


def existing(desk: Desk, arn: str) -> Principal:
    """The principal with that ARN; raises `NotFound`."""
    principal = desk.tx.principal(arn)
    if principal is None:
        raise NotFound(f"There is no principal {arn}. List them with: keystead principal list")
    return principal


def forget_grants(tx: Transaction, arn: str) -> None:
    """Take a principal, and a role's sessions, out of all grants: end what it was granted, let it retire no other."""
    _end_grants(tx, arn)
    while grants := tx.grants_retired_by(arn, AT_ONCE):
        for grant in grants:
            tx.put_grant(replace(grant, retiring=""))  # the grantee's permissions stay


def _with(desk: Desk, principal: Principal, command: i.CreatePrincipal | i.UpdatePrincipal) -> Principal:
    """The principal with what the command gives; policies and groups become ARNs, each once."""
    given = {part: value for part in _PARTS if (value := getattr(command, part, None)) is not None}
    as_policy, as_group = partial(policy_arn, desk.account), partial(principal_arn, desk.account, GROUP)
    if "attached" in given:
        given["attached"] = _arns(given["attached"], as_policy)
    if "groups" in given:
        given["groups"] = _arns(given["groups"], as_group)
    if given.get("boundary"):
        (given["boundary"],) = _arns([given["boundary"]], as_policy)
    return replace(principal, **given)


def _arns(names: Iterable[str], arn: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name if name.startswith("arn:") else arn(name) for name in names))


def _different(old: Principal, new: Principal) -> list[str]:
    return [part for part in _PARTS if getattr(old, part) != getattr(new, part)]


def _check(desk: Desk, old: Principal, new: Principal) -> None:
    """Refuse what is new of a principal and is not in order."""
    different = _different(old, new)
    for part, check in _CHECKS.items():
        if part in different:
            check(desk, new)


def _check_policy(_: Desk, principal: Principal) -> None:
    check_denials(parse_identity_policy(principal.policy))


def _check_attached(desk: Desk, principal: Principal) -> None:
    if len(principal.attached) > MOST_ATTACHED:
        raise LimitExceeded(f"At most {MOST_ATTACHED} policies can be attached to one principal.")
    for arn in principal.attached:
        _check_there(desk, arn)


def _check_boundary_policy(desk: Desk, principal: Principal) -> None:
    if principal.kind == GROUP:
        raise InvalidRequest("A group has no permission boundary: give one to its members.")
    if principal.boundary:
        _check_there(desk, principal.boundary)


def _check_there(desk: Desk, arn: str) -> None:
    """Refuse a policy that is neither the account's nor built in."""
    if arn in builtin.BUILT_IN:
        return
    head, _, name = arn.partition(":policy/")
    if f"{head}:policy/" != policy_arn(desk.account, "") or not desk.tx.declaration(
        desk.account, Kind.POLICY, name
    ):
        raise NotFound(f"There is no policy {arn} in this account. List them with: keystead policy list")


def _check_groups(desk: Desk, principal: Principal) -> None:
    if principal.kind not in (USER, SERVICE_ACCOUNT):
        raise InvalidRequest(f"A {principal.kind} is in no groups: users and service accounts are.")
    if len(principal.groups) > MOST_GROUPS:
        raise LimitExceeded(f"A principal can be in {MOST_GROUPS} groups at most.")
    for arn in principal.groups:
        group = desk.tx.principal(arn)
        if group is None or group.kind != GROUP or group.account != desk.account:
            raise NotFound(f"There is no group {arn}. List them with: keystead group list")


def _check_trust(_: Desk, principal: Principal) -> None:
    if principal.kind != ROLE:
        raise InvalidRequest("Only a role has a trust policy: nobody assumes anything else.")
    check_denials(parse_trust_policy(principal.trust))


def _check_session_seconds(_: Desk, principal: Principal) -> None:
    if principal.kind != ROLE:
        raise InvalidRequest("Only a role says how long its sessions may last.")
    if not HOUR <= principal.session_seconds <= LONGEST_SESSION:
        raise InvalidRequest(f"A session lasts from {HOUR} to {LONGEST_SESSION} seconds at most: choose one.")


def _check_principal_tags(_: Desk, principal: Principal) -> None:
    check_tags(principal.tags, MOST_TAGS)
    names = {name.lower() for name, _ in principal.tags}
    if len(names) != len(principal.tags):
        raise InvalidTag("Duplicate tag keys: those of a principal differ by more than case.")
    for name, value in principal.tags:
        if not 1 <= len(name) <= TAG_NAME or len(value) > TAG_VALUE:
            raise InvalidTag(
                f"A tag has 1 to {TAG_NAME} characters as its name and at most {TAG_VALUE} as its value."
            )


_CHECKS: Final[Mapping[str, Callable[[Desk, Principal], None]]] = {
    "policy": _check_policy,
    "attached": _check_attached,
    "groups": _check_groups,
    "boundary": _check_boundary_policy,
    "trust": _check_trust,
    "session_seconds": _check_session_seconds,
    "tags": _check_principal_tags,
}


def _end_grants(tx: Transaction, arn: str) -> int:
    """Remove what a principal, and a role's sessions, were granted; returns how many grants there were."""
    ended = 0
    while grants := tx.grants_to(arn, AT_ONCE):
        for grant in grants:
            tx.delete_grant(grant.region, grant.key_id, grant.id)
        ended += len(grants)
    return ended


def _revocable(desk: Desk, arn: str) -> tuple[Principal, list[AccessKey]]:
    """A principal that can have credentials, and its enabled access keys."""
    found = existing(desk, arn)
    if found.kind == GROUP:
        raise InvalidRequest("A group has no credentials: revoke its members, or disable the group.")
    return found, [key for key in desk.tx.access_keys(arn) if key.enabled]


ACTIONS: Final[Mapping[type[Command], Action]] = {
    i.CreatePrincipal: Action("keystead:CreatePrincipal", Mode.WRITE, create_principal),
    i.UpdatePrincipal: Action("keystead:UpdatePrincipal", Mode.WRITE, update_principal),
    i.PutPrincipalPolicy: Action("keystead:PutPrincipalPolicy", Mode.WRITE, put_principal_policy),
    i.DescribePrincipal: Action("keystead:DescribePrincipal", Mode.READ, describe_principal),
    i.ListPrincipals: Action("keystead:ListPrincipals", Mode.READ, list_principals),
    i.DeletePrincipal: Action("keystead:DeletePrincipal", Mode.WRITE, delete_principal),
    i.RevokePrincipal: Action("keystead:RevokePrincipal", Mode.WRITE, revoke_principal),
    i.ForeseeRevocation: Action("keystead:ForeseeRevocation", Mode.READ, foresee_revocation),
    i.EnableMfa: Action("keystead:EnableMfa", Mode.WRITE, enable_mfa),
    i.DisableMfa: Action("keystead:DisableMfa", Mode.WRITE, disable_mfa),
}
