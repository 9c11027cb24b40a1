"""Multi-Region keys: making replicas, and moving the primary (`keystead.service.members` says what they are).

The Regions of one server are one store, so a replica is complete in the transaction that makes it, with all
versions of the material. The answer says ``Creating`` all the same, as AWS KMS does and as clients expect.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

from keystead.core.errors import AlreadyExists, InvalidRequest, MalformedPolicy
from keystead.core.key import Event, Key, Origin, Rotation, State, Version
from keystead.core.policy import check_denials, default_key_policy, parse_key_policy
from keystead.core.ports import View
from keystead.service import commands as c
from keystead.service import members
from keystead.service.actions.keys import LOCKED_OUT
from keystead.service.actions.tags import check_tags
from keystead.service.desk import Desk, unknown_key
from keystead.service.results import Done, KeyDescription, Replica

AT_ONCE: Final = 100

Ready = dict[int, tuple[Version, Version]]
"""For each version of the primary: what it was when it was carried over, and what came of it."""


def prepare_replica(command: c.ReplicateKey, desk: Desk) -> Ready:
    """Carry the material over, which takes seconds for thousands of versions."""
    key = _primary(command, desk)
    return {
        version.number: (version, members.carry(desk.custodian, key, version, command.region))
        for version in _versions(desk.tx, key)
    }


def replicate_key(command: c.ReplicateKey, desk: Desk) -> Replica:
    """Make a replica: the same key in another Region, with a policy, description and tags of its own."""
    key = _primary(command, desk)
    check_tags(command.tags, desk.quotas.tags_per_key)
    policy = default_key_policy(desk.account) if command.policy is None else command.policy
    replica = replace(
        key,
        region=command.region,
        state=State.PENDING_IMPORT if key.origin is Origin.EXTERNAL else State.ENABLED,
        created=desk.now,
        description=command.description,
        policy=policy,
        expires=None,
        next_rotation=None,
        members=(*key.members, command.region),
    )
    parsed = check_denials(parse_key_policy(policy))
    if not command.bypass_lockout_check and not desk.would_allow(parsed, "kms:PutKeyPolicy", replica.arn):
        raise MalformedPolicy(LOCKED_OUT)
    desk.allow("kms:CreateKey")
    if command.tags:
        desk.allow("kms:TagResource", replica.arn)
    desk.entry.subject = replica.arn
    desk.tx.put_key(replica)
    ready = cast("Ready", desk.prepared)
    for version in _versions(desk.tx, key):
        was, carried = ready.get(version.number, (None, version))
        if was != version:  # it was made, brought or taken away meanwhile
            carried = members.carry(desk.custodian, key, version, command.region)
        members.keep(desk.tx, carried)
    for name, value in command.tags:
        desk.tx.put_tag(replica.region, replica.id, name, value)
    desk.save(replace(key, members=replica.members))
    shown = replace(replica, state=State.CREATING)
    return Replica(KeyDescription(shown, None), policy, sorted(command.tags))


def update_primary_region(command: c.UpdatePrimaryRegion, desk: Desk) -> Done:
    """Make a replica the primary; the primary becomes a replica, and both may be used all the time."""
    key = desk.key(command.key, Event.READ, "kms:UpdatePrimaryRegion")
    key.after(Event.MOVE)
    members.check_primary(key)
    if command.region == key.region:
        raise InvalidRequest(f"{key.arn} is the primary key already: name the Region of one of its replicas.")
    replica = desk.member(key, command.region, Event.MOVE, "kms:UpdatePrimaryRegion")
    desk.entry.key, desk.entry.subject = key.arn, replica.arn
    rest = tuple(region for region in key.members if region not in (key.region, replica.region))
    desk.save(replace(members.shared(key, replica), members=(replica.region, key.region, *rest)))
    return Done()


def _primary(command: c.ReplicateKey, desk: Desk) -> Key:
    """The key to replicate, and whether it may be, there."""
    key = desk.key(command.key, Event.USE, "kms:ReplicateKey")
    if key.account != desk.account:  # AWS KMS, ReplicateKey: "Cross-account use: No"
        raise unknown_key(desk.caller, "kms:ReplicateKey", key.account, key.arn)
    members.check_primary(key)
    if command.region in key.members:
        raise AlreadyExists(f"{members.member_arn(key, command.region)} already exists")
    if desk.regions and command.region not in desk.regions:
        served = ", ".join(desk.regions)
        raise InvalidRequest(
            f"The Region {command.region} is not served here. A key can be replicated to: {served}."
        )
    return key


def _versions(view: View, key: Key) -> Iterator[Version]:
    """The versions of a key, those that have no material any more too, but not what waits for a rotation."""
    after = 0
    while page := view.versions(key.region, key.id, after, AT_ONCE):
        yield from (version for version in page if version.rotation is not Rotation.PENDING)
        after = page[-1].number
