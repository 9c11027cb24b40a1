"""Principals and access keys: Keystead's own operations, asked through the control API.

A secret is given out once, when its access key is made. It is kept only wrapped by the custodian, because
SigV4 needs it to check a signature.
"""

import re
from base64 import b32encode, b64encode
from dataclasses import replace
from typing import Final

from keystead.core.errors import AlreadyExists, InvalidRequest, LimitExceeded, NotFound
from keystead.core.policy import check_denials, parse_identity_policy
from keystead.core.ports import Random
from keystead.core.principal import AccessKey, Principal, secret_binding, user_arn
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.identity import AccessKeyList, NewAccessKey, PrincipalDescription, PrincipalPage

AT_ONCE: Final = 1000
_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


def create_principal(command: i.CreatePrincipal, desk: Desk) -> PrincipalDescription:
    """Make a user."""
    if not _NAME.fullmatch(command.name):
        raise InvalidRequest("A user's name is 1 to 64 letters, digits and the characters + = , . @ _ -")
    arn = _allowed(desk, "keystead:CreatePrincipal", command.name)
    if desk.tx.principal(arn) is not None:
        raise AlreadyExists(f"The user {command.name} already exists.")
    check_denials(parse_identity_policy(command.policy))
    principal = Principal(
        arn=arn, account=desk.account, name=command.name, created=desk.now, policy=command.policy
    )
    desk.tx.put_principal(principal)
    return PrincipalDescription(principal)


def put_principal_policy(command: i.PutPrincipalPolicy, desk: Desk) -> Done:
    """Replace a user's identity policy; in force when it returns."""
    arn = _allowed(desk, "keystead:PutPrincipalPolicy", command.name)
    check_denials(parse_identity_policy(command.policy))
    desk.tx.put_principal(replace(_existing(desk, arn), policy=command.policy))
    return Done()


def delete_principal(command: i.DeletePrincipal, desk: Desk) -> Done:
    """Remove a user, its access keys and what it was granted; in force when it returns."""
    arn = _allowed(desk, "keystead:DeletePrincipal", command.name)
    if arn == desk.caller.identity.arn:
        raise InvalidRequest("You cannot delete the user you are signed in as: use another one.")
    _existing(desk, arn)
    # What it was granted goes with it: a user that is made anew under that name must not find it again.
    while grants := desk.tx.grants_to(arn, AT_ONCE):
        for grant in grants:
            desk.tx.delete_grant(grant.region, grant.key_id, grant.id)
    desk.tx.delete_principal(arn)
    return Done()


def list_principals(command: i.ListPrincipals, desk: Desk) -> PrincipalPage:
    """The account's principals in the order of their ARNs."""
    desk.allow("keystead:ListPrincipals")
    principals, marker = desk.page(
        "principals",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.principals(desk.account, after, count),
        lambda principal: principal.arn,
    )
    return PrincipalPage(principals, marker)


def create_access_key(command: i.CreateAccessKey, desk: Desk) -> NewAccessKey:
    """A new access key; its secret is in the answer and nowhere else in the clear."""
    arn = _allowed(desk, "keystead:CreateAccessKey", command.name)
    _existing(desk, arn)
    quota = desk.quotas.access_keys_per_principal
    if len(desk.tx.access_keys(arn)) >= quota:
        raise LimitExceeded(f"The user has {quota} access keys: the quota is reached. Delete one first.")
    access_key_id, secret = new_credentials(desk.random)
    access_key = AccessKey(
        id=access_key_id,
        principal=arn,
        protected=desk.custodian.protect(desk.account, secret.encode(), secret_binding(access_key_id)),
        created=desk.now,
    )
    desk.tx.put_access_key(access_key)
    desk.entry.subject = f"{arn} {access_key_id}"
    return NewAccessKey(access_key, secret)


def new_credentials(random: Random) -> tuple[str, str]:
    """An access key id and a secret in AWS's forms: AKIA and 16 characters; 40 characters, 240 bits."""
    return "AKIA" + b32encode(random(10)).decode(), b64encode(random(30)).decode()


def set_access_key_status(command: i.SetAccessKeyStatus, desk: Desk) -> Done:
    """Enable or disable an access key; in force when it returns."""
    access_key = _access_key(desk, "keystead:SetAccessKeyStatus", command.access_key_id)
    desk.tx.put_access_key(replace(access_key, enabled=command.enabled))
    return Done()


def delete_access_key(command: i.DeleteAccessKey, desk: Desk) -> Done:
    """Remove an access key; in force when it returns."""
    access_key = _access_key(desk, "keystead:DeleteAccessKey", command.access_key_id)
    desk.tx.delete_access_key(access_key.id)
    return Done()


def list_access_keys(command: i.ListAccessKeys, desk: Desk) -> AccessKeyList:
    """A user's access keys, without their secrets."""
    arn = _allowed(desk, "keystead:ListAccessKeys", command.name)
    _existing(desk, arn)
    return AccessKeyList(desk.tx.access_keys(arn))


def _allowed(desk: Desk, action: str, name: str) -> str:
    """The ARN of the user of that name, once the caller may do ``action`` to it."""
    arn = user_arn(desk.account, name)
    desk.entry.subject = arn
    desk.allow(action, arn)
    return arn


def _existing(desk: Desk, arn: str) -> Principal:
    principal = desk.tx.principal(arn)
    if principal is None:
        raise NotFound(f"There is no principal {arn}. List them with: keystead principal list")
    return principal


def _access_key(desk: Desk, action: str, access_key_id: str) -> AccessKey:
    """The access key, once the caller may do ``action`` to its owner; unknown and foreign ones look alike."""
    access_key = desk.tx.access_key(access_key_id)
    owner = None if access_key is None else desk.tx.principal(access_key.principal)
    known = access_key is not None and owner is not None and owner.account == desk.account
    arn = owner.arn if known and owner is not None else user_arn(desk.account, "?")
    desk.entry.subject = f"{arn} {access_key_id}"
    desk.allow(action, arn)
    if access_key is None or not known:
        raise NotFound(f"There is no access key {access_key_id}.")
    return access_key
