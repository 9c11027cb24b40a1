"""Making keys, looking at them, and their life up to the end."""

from dataclasses import replace
from typing import Final, NamedTuple, cast
from uuid import UUID

from keystead.core import spec
from keystead.core.errors import InvalidKeyState, InvalidRequest
from keystead.core.key import Event, Key, Origin, Rotation, State, version_binding
from keystead.core.policy import check_denials, default_key_policy, parse_key_policy
from keystead.core.ports import Material
from keystead.service import members
from keystead.service.actions import imports, keystores
from keystead.service.actions.tags import check_tags
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import DeletionScheduled, KeyDescription, KeyPage

DAY: Final = 86_400.0
WINDOW_DAYS: Final = range(7, 31)
AT_ONCE: Final = 100


class NewKey(NamedTuple):
    """What `prepare_key` has ready: the id and, of a key that is not waiting for its owner's, the material."""

    id: str
    material: Material | None


def prepare_key(command: c.CreateKey, desk: Desk) -> NewKey:
    """Make the material of a new key, which takes up to seconds for RSA."""
    desk.allow("kms:CreateKey")
    spec_name, _ = spec.choose(command.spec, command.usage)
    keystores.check_new_key(command, spec_name, desk)
    key_id = (
        f"mrk-{desk.random(16).hex()}"
        if command.multi_region
        else str(UUID(bytes=desk.random(16), version=4))
    )
    if command.origin is Origin.EXTERNAL:
        return NewKey(key_id, None)
    return NewKey(key_id, desk.custodian.generate(desk.account, version_binding(key_id, 1), spec_name))


def create_key(command: c.CreateKey, desk: Desk) -> KeyDescription:
    """Make a key with its first material, or one that waits for its owner's."""
    desk.allow("kms:CreateKey")
    spec_name, usage = spec.choose(command.spec, command.usage)
    check_tags(command.tags, desk.quotas.tags_per_key)
    keystores.claim_outer_key(command, spec_name, desk)
    new = cast("NewKey", desk.prepared)
    key = Key(
        id=new.id,
        account=desk.account,
        region=desk.region,
        spec=spec_name,
        usage=usage,
        state=State.ENABLED if new.material else State.PENDING_IMPORT,
        created=desk.now,
        description=command.description,
        policy=default_key_policy(desk.account) if command.policy is None else command.policy,
        origin=command.origin,
        current_version=1 if new.material else 0,
        members=(desk.region,) if command.multi_region else (),
        key_store=command.key_store,
        outer_key=command.outer_key,
    )
    policy = check_denials(parse_key_policy(key.policy))
    if not command.bypass_lockout_check:
        desk.refuse_lockout(policy, key.arn)
    if command.tags:  # AWS KMS, "Tagging permissions": tags of a new key need a permission of their own
        desk.allow("kms:TagResource", key.arn, key)
    desk.entry.key = key.arn
    desk.save(key)
    if new.material:
        desk.new_version(key, Rotation.FIRST, new.material)
    for name, value in command.tags:
        desk.tx.put_tag(key.region, key.id, name, value)
    return desk.describe(key)


def describe_key(command: c.DescribeKey, desk: Desk) -> KeyDescription:
    """Look at a key."""
    return desk.describe(
        desk.key(command.key, Event.READ, "kms:DescribeKey", by_alias=True, tokens=command.tokens)
    )


def list_keys(command: c.ListKeys, desk: Desk) -> KeyPage:
    """The account's keys in the caller's region."""
    desk.allow("kms:ListKeys")
    keys, marker = desk.page(
        "keys",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.keys(desk.account, desk.region, after, count),
        lambda key: key.id,
    )
    return KeyPage(keys, marker)


def enable_key(command: c.EnableKey, desk: Desk) -> Done:
    """Let a key be used again."""
    key = desk.key(command.key, Event.ENABLE, "kms:EnableKey")
    desk.save(key.after(Event.ENABLE))
    return Done()


def disable_key(command: c.DisableKey, desk: Desk) -> Done:
    """Stop all use of a key; in force when it returns."""
    key = desk.key(command.key, Event.DISABLE, "kms:DisableKey")
    desk.save(key.after(Event.DISABLE))
    return Done()


def schedule_key_deletion(command: c.ScheduleKeyDeletion, desk: Desk) -> DeletionScheduled:
    """Stop all use of a key and destroy it when the window ends, unless that is cancelled."""
    if command.window_days not in WINDOW_DAYS:
        raise InvalidRequest("PendingWindowInDays must be between 7 and 30 (inclusive)")
    key = desk.key(command.key, Event.SCHEDULE_DELETION, "kms:ScheduleKeyDeletion")
    if members.replicas(key):  # AWS KMS, "Deleting multi-Region keys": the primary goes last
        key = replace(key.after(Event.AWAIT_REPLICAS), deletion_window_days=command.window_days)
    else:
        date = desk.now + command.window_days * DAY
        key = replace(key.after(Event.SCHEDULE_DELETION), deletion_date=date)
    return DeletionScheduled(desk.save(key), command.window_days)


def cancel_key_deletion(command: c.CancelKeyDeletion, desk: Desk) -> DeletionScheduled:
    """Keep a key after all; it comes back disabled, or waiting for its material if that is gone."""
    key = desk.key(command.key, Event.CANCEL_DELETION, "kms:CancelKeyDeletion")
    key = replace(key.after(Event.CANCEL_DELETION), deletion_date=None, deletion_window_days=None)
    if key.origin is Origin.EXTERNAL and not imports.complete(desk, key):
        key = key.after(Event.LOSE)
    key = desk.save(key)
    return DeletionScheduled(key)


def destroy_key(command: c.DestroyKey, desk: Desk) -> Done:
    """Carry out a deletion: material, aliases and tags go, the id stays used for ever."""
    key = desk.key(command.key, Event.DESTROY, "keystead:DestroyKey", by_key_policy=False)
    if key.deletion_date is None or key.deletion_date > desk.now:
        raise InvalidKeyState(f"{key.arn} is pending deletion until its window ends.")
    for version in desk.tx.erase_versions(key.region, key.id):
        # Before the commit on purpose: if the commit fails, the deletion is due still and is tried again,
        # and erasing what is gone succeeds. The other order could leave material behind for ever.
        if version.handle:
            desk.destroy(key.account, version.handle)
    # All of them, whatever the quotas are by now.
    while aliases := desk.tx.aliases(key.account, key.region, key.id, "", AT_ONCE):
        for alias in aliases:
            desk.tx.delete_alias(alias.account, alias.region, alias.name)
    while tags := desk.tx.tags(key.region, key.id, "", AT_ONCE):
        for name, _ in tags:
            desk.tx.delete_tag(key.region, key.id, name)
    while grants := desk.tx.grants(key.region, key.id, None, "", AT_ONCE):
        for grant in grants:
            desk.tx.delete_grant(key.region, key.id, grant.id)
    members.leave(desk.tx, key, desk.now)
    desk.save(replace(key.after(Event.DESTROY), description=""))
    return Done()


def update_key_description(command: c.UpdateKeyDescription, desk: Desk) -> Done:
    """Replace a key's description."""
    key = desk.key(command.key, Event.CONFIGURE, "kms:UpdateKeyDescription")
    desk.save(replace(key, description=command.description))
    return Done()
