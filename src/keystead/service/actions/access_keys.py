"""Access keys: long-term credentials of users and service accounts.

A principal may have two, one in use and one to change to (AWS IAM, "Managing access keys"). One that is disabled or
removed signs nothing any more, on any worker, when the answer comes.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from keystead.core.errors import AuditUnavailable, InvalidRequest, LimitExceeded, NotFound
from keystead.core.ports import LastUse
from keystead.core.principal import (
    SERVICE_ACCOUNT,
    USER,
    AccessKey,
    Principal,
    secret_binding,
    user_arn,
)
from keystead.service.action import Action, Mode
from keystead.service.actions.principals import allowed, existing, new_credentials
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.identity import AccessKeyList, NewAccessKey
from keystead.service.safeguards import check_boundary, way_in_kept


def create_access_key(command: i.CreateAccessKey, desk: Desk) -> NewAccessKey:
    """A new access key; its secret is in the answer and nowhere else in the clear."""
    arn = allowed(desk, "keystead:CreateAccessKey", command.kind, command.name)
    principal = existing(desk, arn)
    if principal.kind not in (USER, SERVICE_ACCOUNT):
        raise InvalidRequest(
            f"A {principal.kind} has no access keys: a user or a service account has, and a role is assumed."
        )
    check_boundary(desk, principal)
    keys = sorted(desk.tx.access_keys(arn), key=lambda key: key.created)
    quota = desk.quotas.access_keys_per_principal
    if len(keys) >= quota:
        raise LimitExceeded(
            f"The {principal.kind} has {quota} access keys: the quota is reached. Delete one first; the oldest is "
            f"{keys[0].id}, {_used(last_use(desk, keys[0]))}."
        )
    new, secret = make_access_key(desk, principal)
    desk.entry.subject = f"{arn} {new.id}"
    return NewAccessKey(new, secret)


def make_access_key(desk: Desk, principal: Principal) -> tuple[AccessKey, str]:
    """An access key for a principal, stored, and its secret."""
    access_key_id, secret = new_credentials(desk.random)
    access_key = AccessKey(
        id=access_key_id,
        principal=principal.arn,
        protected=desk.custodian.protect(principal.account, secret.encode(), secret_binding(access_key_id)),
        created=desk.now,
    )
    desk.tx.put_access_key(access_key)
    return access_key, secret


def set_access_key_status(command: i.SetAccessKeyStatus, desk: Desk) -> Done:
    """Enable or disable an access key; in force when it returns."""
    access_key = _access_key(desk, "keystead:SetAccessKeyStatus", command.access_key_id)
    with way_in_kept(desk):
        desk.tx.put_access_key(replace(access_key, enabled=command.enabled))
    return Done()


def delete_access_key(command: i.DeleteAccessKey, desk: Desk) -> Done:
    """Remove an access key; in force when it returns."""
    access_key = _access_key(desk, "keystead:DeleteAccessKey", command.access_key_id)
    with way_in_kept(desk):
        desk.tx.delete_access_key(access_key.id)
    return Done()


def list_access_keys(command: i.ListAccessKeys, desk: Desk) -> AccessKeyList:
    """A principal's access keys, without their secrets, and when each was last used."""
    arn = allowed(desk, "keystead:ListAccessKeys", command.kind, command.name)
    existing(desk, arn)
    keys = desk.tx.access_keys(arn)
    return AccessKeyList(keys, [last_use(desk, key) for key in keys])


def last_use(desk: Desk, access_key: AccessKey) -> LastUse | None:
    """When an access key was last used; None where the audit logs cannot say it now."""
    try:
        return desk.usage.last_of_access_key(access_key.id)
    except AuditUnavailable:
        return None


def _used(last: LastUse | None) -> str:
    if last is None:
        return "whose last use cannot be told now"
    if last.use is None:
        return "which was never used"
    return f"last used {datetime.fromtimestamp(last.use.time, UTC):%Y-%m-%d %H:%M} UTC for {last.use.action}"


def _access_key(desk: Desk, action: str, access_key_id: str) -> AccessKey:
    """The access key, once the caller may do ``action`` to its owner; unknown and foreign ones look alike."""
    access_key = desk.tx.access_key(access_key_id)
    owner = None if access_key is None else desk.tx.principal(access_key.principal)
    known = access_key is not None and owner is not None and owner.account == desk.account
    arn = owner.arn if known and owner is not None else user_arn(desk.account, "?")
    desk.entry.subject = f"{arn} {access_key_id}"
    desk.allow(action, arn)
    if access_key is None or owner is None or not known:
        raise NotFound(
            f"There is no access key {access_key_id}. List them with: keystead access-key list NAME"
        )
    check_boundary(desk, owner)
    return access_key


ACTIONS: Final[Mapping[type[Command], Action]] = {
    i.CreateAccessKey: Action("keystead:CreateAccessKey", Mode.WRITE, create_access_key),
    i.SetAccessKeyStatus: Action("keystead:SetAccessKeyStatus", Mode.WRITE, set_access_key_status),
    i.DeleteAccessKey: Action("keystead:DeleteAccessKey", Mode.WRITE, delete_access_key),
    i.ListAccessKeys: Action("keystead:ListAccessKeys", Mode.READ, list_access_keys),
}
