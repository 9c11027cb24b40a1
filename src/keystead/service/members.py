"""The members of a multi-Region key: one key in several Regions, and what they have in common.

Each member is a key of its own, with its own policy, description, tags, aliases, grants, state and deletion.
They share the id, the spec, the usage, the origin, the material in all its versions, the rotation settings and
the list of members, and in all of that the *primary* leads: whatever is changed there is changed in its
replicas by the same transaction (`follow`, `share`).

Material goes from one Region to another sealed and signed, even within one server (`carry`): a Region need not
have the same custodian as another, and there is one way only. An owner's own material does not go: AWS KMS has
the owner import the same bytes in every Region (`keystead.service.actions.imports`).

Members may also be on linked servers (`keystead.service.linking`). Of those a row is here that takes no part in
this, and a rotation is in force only when each of their servers has the new material (`finish_rotation`).

The date of the next automatic rotation is kept with the primary alone, which is the one that rotates.
"""

from base64 import b64encode
from dataclasses import replace
from typing import Final

from keystead.core.errors import DataDamaged, InvalidCiphertext, InvalidKeyState, UnsupportedOperation
from keystead.core.key import Event, Key, Origin, State, Version, binding, key_arn, version_binding
from keystead.core.ports import Custodian, Transaction, View
from keystead.service.linking import is_shadow, known, shadows, target

DAY: Final = 86_400.0


def replicas(key: Key) -> tuple[str, ...]:
    """The Regions that replicas of a key are in, when the key is a primary."""
    return key.members[1:] if key.primary else ()


def check_primary(key: Key) -> None:
    """Refuse a replica, or a key of a single Region, where a primary is needed."""
    if not key.primary:
        raise UnsupportedOperation(f"{key.arn} is not a multi-region primary key.")


def check_settled(view: View, key: Key) -> None:
    """Refuse a primary that is moving to a linked server, where a change would not arrive there any more."""
    if target(view, key):
        raise InvalidKeyState(f"{key.arn} is updating.")


def others(view: View, key: Key) -> list[Key]:
    """The other members of a key that are here. Those on linked servers are told by a job."""
    found = (view.key(region, key.id) for region in key.members if region != key.region)
    return [member for member in found if member is not None and not is_shadow(member)]


def with_date(view: View, key: Key) -> Key:
    """A replica with the date of the next rotation, which is its primary's."""
    if not key.multi_region or key.primary:
        return key
    primary = view.key(key.members[0], key.id)
    return key if primary is None else replace(key, next_rotation=primary.next_rotation)


def follow(tx: Transaction, key: Key) -> None:
    """Bring the replicas to what they share with their primary, whose new form ``key`` is."""
    for replica in others(tx, key):
        following = replace(shared(key, replica), next_rotation=None)
        if following != replica:
            tx.put_key(following)


def shared(key: Key, member: Key) -> Key:
    """``member`` with all that it shares with ``key``, which leads."""
    return replace(
        member,
        members=key.members,
        current_version=key.current_version,
        rotation_period_days=key.rotation_period_days,
        next_rotation=key.next_rotation,
        rotations_on_demand=key.rotations_on_demand,
    )


def share(tx: Transaction, custodian: Custodian, key: Key, version: Version) -> None:
    """Give the replicas a new version of their primary's material."""
    for replica in others(tx, key):
        keep(tx, carry(custodian, key, version, replica.region))


def keep(tx: Transaction, version: Version) -> None:
    """Store a version, in the place of a destroyed replica's if there has been one."""
    if tx.version(version.region, version.key_id, version.number) is None:
        tx.add_version(version)
    else:
        tx.put_version(version)


def carry(custodian: Custodian, key: Key, version: Version, region: str) -> Version:
    """A version of a key for another Region of this server: the same material under a handle of its own."""
    if not version.handle or key.origin is Origin.EXTERNAL:
        return replace(version, region=region, handle="", valid_to=None, description="")
    label, here = version_binding(key.id, version.number), custodian.transfer_identity
    about = transfer_label(key, version.number, region)
    message = custodian.send(key.account, version.handle, label, key.spec, here, about)
    try:
        material = custodian.receive(key.account, label, key.spec, message, here, about)
    except InvalidCiphertext:
        raise DataDamaged(f"Material of {key.arn} did not arrive in {region}: ask for it again.") from None
    return replace(
        version, region=region, handle=material.handle, public_key=b64encode(material.public_key).decode()
    )


def transfer_label(key: Key, number: int, region: str) -> bytes:
    """What a message with material says it is: which version of which key, from where and to where."""
    return binding("transfer", key.account, key.id, str(number), key.spec, key.usage, key.region, region)


def leave(tx: Transaction, key: Key, now: float) -> None:
    """Take a replica that is being destroyed out of the others' lists; the last to go lets its primary follow.

    A rotation may have waited for it alone. And with the last replica here of a primary on a linked server goes that
    one's shadow.
    """
    primary = tx.key(key.members[0], key.id) if key.multi_region and not key.primary else None
    if primary is not None and not is_shadow(primary):  # who leads knows all members; a shadow was not told
        key = replace(key, members=primary.members)
    left = tuple(region for region in key.members if region != key.region)
    for member in others(tx, key):
        member = replace(member, members=left)  # noqa: PLW2901 - its new form
        if member.state is State.PENDING_REPLICA_DELETION and len(left) == 1:
            days = member.deletion_window_days or 0
            member = replace(  # noqa: PLW2901 - as above
                member.after(Event.LAST_REPLICA_GONE),
                deletion_date=now + days * DAY,
                deletion_window_days=None,
            )
        tx.put_key(member)
    rest = others(tx, replace(key, members=left))
    for member in rest:
        if member.primary:
            finish_rotation(tx, member, now)
    if primary is not None and is_shadow(primary) and not rest:
        tx.put_key(replace(primary, state=State.DESTROYED))


def finish_rotation(tx: Transaction, key: Key, now: float) -> Key:
    """The key on the version that it is about to rotate to, if all linked servers have that; stored with it."""
    last = tx.last_version(key.region, key.id)
    if key.origin is not Origin.AWS_KMS or last is None or last.number == key.current_version:
        return key
    if any(known(tx, shadow).versions < last.number for shadow in shadows(tx, key)):
        return key
    found = (tx.version(member.region, key.id, last.number) for member in (key, *others(tx, key)))
    for version in [version for version in found if version is not None]:
        tx.put_version(replace(version, rotated=now))
    key = replace(key, current_version=last.number)
    tx.put_key(key)
    follow(tx, key)
    return key


def moved(key: Key, region: str) -> tuple[str, ...]:
    """The members of a primary in the order that they have when the one in ``region`` leads."""
    return (region, key.region, *(each for each in key.members if each not in (key.region, region)))


def member_arn(key: Key, region: str) -> str:
    """The ARN of the member of a key in a Region."""
    return key_arn(region, key.account, key.id)
