"""Multi-Region keys: making replicas, and moving the primary (`keystead.service.members` says what they are).

The Regions of one server are one store, so a replica is complete in the transaction that makes it, with all
versions of the material. The answer says ``Creating`` all the same, as AWS KMS does and as clients expect.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

from keystead.core.errors import AlreadyExists, InvalidRequest, UnsupportedOperation
from keystead.core.key import Event, Key, Origin, Rotation, State, Version
from keystead.core.policy import check_denials, default_key_policy, parse_key_policy
from keystead.core.ports import View
from keystead.service import linking, members
from keystead.service.actions.tags import check_tags
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import KeyDescription, Replica

AT_ONCE: Final = 100

Ready = dict[int, tuple[Version, Version]]
"""For each version of the primary: what it was when it was carried over, and what came of it."""


def prepare_replica(command: c.ReplicateKey, desk: Desk) -> Ready:
    """Carry the material over, which takes seconds for thousands of versions."""
    key = _primary(command, desk)
    if desk.peer_in(command.region) is not None:  # it is sent there when it has been asked for
        return {}
    return {
        version.number: (version, members.carry(desk.custodian, key, version, command.region))
        for version in _versions(desk.tx, key)
    }


def replicate_key(command: c.ReplicateKey, desk: Desk) -> Replica:
    """Make a replica: the same key in another Region, with a policy, description and tags of its own."""
    key = _primary(command, desk)
    check_tags(command.tags, desk.quotas.tags_per_key)
    policy = default_key_policy(desk.account) if command.policy is None else command.policy
    linked = desk.peer_in(command.region) is not None
    replica = replace(
        key,
        region=command.region,
        state=State.CREATING
        if linked
        else State.PENDING_IMPORT
        if key.origin is Origin.EXTERNAL
        else State.ENABLED,
        created=desk.now,
        description=command.description,
        policy=policy,
        expires=None,
        next_rotation=None,
        members=(*key.members, command.region),
    )
    parsed = check_denials(parse_key_policy(policy))
    if not command.bypass_lockout_check:
        desk.refuse_lockout(parsed, replica.arn)
    desk.allow("kms:CreateKey", new=replica)
    if command.tags:
        desk.allow("kms:TagResource", replica.arn, replica)
    desk.entry.subject = replica.arn
    desk.tx.put_key(replica)
    if linked:
        linking.acknowledge(desk.tx, replica, linking.Known())
    ready = cast("Ready", desk.prepared)
    for version in () if linked else _versions(desk.tx, key):
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
    if command.region in key.members:
        if desk.peer_in(command.region) is not None:
            return _move_away(command, desk, key)
        if linking.shadows(desk.tx, key):
            raise UnsupportedOperation(
                f"{key.arn} has members on linked servers: its primary can move to one of their Regions only."
            )
    replica = desk.member(key, command.region, Event.MOVE, "kms:UpdatePrimaryRegion")
    desk.entry.key, desk.entry.subject = key.arn, replica.arn
    desk.save(replace(members.shared(key, replica), members=members.moved(key, replica.region)))
    return Done()


def _move_away(command: c.UpdatePrimaryRegion, desk: Desk, key: Key) -> Done:
    """Let the job move the primary to a linked server, which must have all there is of the key, and all its shadows."""
    elsewhere = linking.shadows(desk.tx, key)
    peer = desk.peer_in(command.region)
    if any(desk.peer_in(shadow.region) != peer for shadow in elsewhere):
        raise UnsupportedOperation(
            f"{key.arn} has members on more than one linked server: its primary cannot move to one of them."
        )
    for shadow in elsewhere:
        if not linking.settled(desk.tx, key, shadow):
            raise shadow.refusal(Event.MOVE)
    desk.entry.key, desk.entry.subject = key.arn, members.member_arn(key, command.region)
    linking.aim(desk.tx, key, command.region)
    desk.save(key.after(Event.MOVE))
    return Done()


def _primary(command: c.ReplicateKey, desk: Desk) -> Key:
    """The key to replicate, and whether it may be, there."""
    key = desk.key(command.key, Event.USE, "kms:ReplicateKey")
    members.check_primary(key)
    members.check_settled(desk.tx, key)
    if command.region in key.members:
        raise AlreadyExists(f"{members.member_arn(key, command.region)} already exists")
    linked = desk.peer_in(command.region)
    if linked is not None and key.origin is not Origin.AWS_KMS:
        raise UnsupportedOperation(
            f"{key.arn} origin is {key.origin}: only keys whose material was made by Keystead can have replicas on "
            "a linked server."
        )
    if desk.regions and command.region not in desk.regions and linked is None:
        served = ", ".join([*desk.regions, *(region for peer in desk.peers for region in peer.regions)])
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
