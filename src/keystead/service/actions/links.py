"""Linked servers (`keystead.service.linking`): what one of them may say here, and what it is told.

``LinkMember``, ``LinkStates`` and ``LinkMove`` are a linked server's, the others the jobs'. A linked
server may make replicas in Regions that are served here, under ids that nothing here has, and may change only keys
whose primary is in its own Regions. It never sees material that it has not sent, and cannot end a key here.
"""

import re
from base64 import b64encode
from dataclasses import replace
from typing import Final

from keystead.core import spec
from keystead.core.errors import AccessDenied, AlreadyExists, InvalidRequest, NotFound
from keystead.core.key import Event, Key, Rotation, State, Version, key_arn, version_binding
from keystead.core.policy import check_denials, default_key_policy, parse_key_policy
from keystead.core.ports import View
from keystead.service import linking, members
from keystead.service.actions.tags import check_tags
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.linking import (
    AT_ONCE,
    MOST_TAGS,
    VERSIONS_AT_ONCE,
    Known,
    MemberNews,
    MoveNews,
    Peer,
    VersionNews,
)
from keystead.service.results import Done
from keystead.service.results.kms import Acknowledged, GoneMembers, Moved, Telling, TellingMove

_KEY_ID: Final = re.compile(r"mrk-[0-9a-f]{32}")
_ROTATIONS: Final = (Rotation.FIRST, Rotation.AUTOMATIC, Rotation.ON_DEMAND)


# --- what a linked server says ---------------------------------------------------------------------------


def link_member(command: c.LinkMember, desk: Desk) -> Acknowledged:
    """Make a replica, take in versions of its material, and bring it to what its primary is like."""
    news = command.news
    desk.entry.key = key_arn(news.region, news.account, news.key_id)
    peer = _peer(desk, "keystead:LinkMember", news.region)
    _check_order(desk, peer, command.sent)
    _check_place(desk, peer, news)
    _check_names(news, desk)
    here = desk.tx.key(news.region, news.key_id)
    if here is None or here.state is State.DESTROYED:
        if here is not None and here.created >= news.created:
            return Acknowledged(0, gone=True)
        _check_unused(desk, peer, news)
        here = _make(desk, news)
    elif (here.account, here.spec, here.usage, here.members[:1]) != (
        news.account,
        news.spec,
        news.usage,
        tuple(news.members[:1]),
    ):
        raise _not_yours(news)
    held = _held(desk.tx, here)
    for version in news.versions:
        if version.number == held + 1:  # others are here already, or come too early and are sent again
            held = _take(desk, peer, here, version)
    if held >= news.current_version:
        _bring(desk, here, news)
    return Acknowledged(held)


def link_states(command: c.LinkStates, desk: Desk) -> GoneMembers:
    """Which replicas of the linked server's primaries have been destroyed here."""
    peer = _peer(desk, "keystead:LinkStates", command.region)
    found = (desk.tx.key(command.region, key_id) for key_id in command.key_ids)
    return GoneMembers(
        [
            key.id
            for key in found
            if key is not None
            and key.state is State.DESTROYED
            and key.multi_region
            and key.members[0] in peer.regions
        ]
    )


def link_move(command: c.LinkMove, desk: Desk) -> Moved:
    """Make a replica here the primary, if it has all of the key and may be; the sender's members are replicas then."""
    news = command.news
    desk.entry.key = key_arn(news.region, news.account, news.key_id)
    peer = _peer(desk, "keystead:LinkMove", news.region)
    _check_order(desk, peer, command.sent)
    _check_place(desk, peer, news)
    here = desk.tx.key(news.region, news.key_id)
    if here is None or here.account != news.account or news.previous not in here.members:
        raise _not_yours(news)
    if here.primary:  # it was told before, and the answer was lost
        return Moved(here.state is not State.DESTROYED)
    if here.members[0] != news.previous:
        raise _not_yours(news)
    names = tuple(region for region, _ in news.members)
    if names[0] != here.region or sorted(names) != sorted(here.members):
        return Moved(False)
    theirs = [(region, created) for region, created in news.members if region in peer.regions]
    if len(theirs) + len(members.others(desk.tx, here)) + 1 != len(names):
        return Moved(False)  # one of the others here is not complete, or is on yet another server
    if here.state is not State.ENABLED or (here.current_version, _held(desk.tx, here)) != (
        news.current_version,
        news.current_version,
    ):
        return Moved(False)
    primary = replace(
        here,
        members=names,
        rotation_period_days=news.rotation_period_days,
        next_rotation=news.next_rotation,
        rotations_on_demand=news.rotations_on_demand,
    )
    for region, created in theirs:
        shadow = replace(_shadow_of(primary, region), created=created, next_rotation=None)
        desk.tx.put_key(shadow)
        linking.acknowledge(desk.tx, shadow, Known(primary.current_version, linking.digest(primary)))
    desk.save(primary)
    return Moved(True)


def _peer(desk: Desk, action: str, region: str) -> Peer:
    """The linked server that asks, if the configuration names it still, and of a Region that is served here."""
    desk.allow(action)
    peer = next((peer for peer in desk.peers if peer.principal == desk.caller.identity.arn), None)
    if peer is None:
        raise AccessDenied(f"{desk.caller.identity.arn} is not a linked server.")
    if region not in desk.regions:
        raise InvalidRequest(f"The Region {region} is not served here.")
    return peer


def _check_order(desk: Desk, peer: Peer, sent: int) -> None:
    """Refuse what was sent before what has been taken already: it may be a repetition, and not be true any more."""
    name = f"link-time {peer.name}"
    if sent <= int(desk.tx.setting(name) or 0):
        raise InvalidRequest("The request is older than one that was taken already.")
    desk.tx.put_setting(name, str(sent))


def _check_place(desk: Desk, peer: Peer, news: MemberNews | MoveNews) -> None:
    """Refuse what is not about a multi-Region key of this account that the linked server leads."""
    if news.account != desk.account:
        raise InvalidRequest(f"The account here is {desk.account}: linked servers have the same.")
    if _KEY_ID.fullmatch(news.key_id) is None:
        raise InvalidRequest("The id is not that of a multi-Region key.")
    leader = news.previous if isinstance(news, MoveNews) else news.members[0]
    if leader not in peer.regions:
        raise _not_yours(news)


def _check_names(news: MemberNews, desk: Desk) -> None:
    if news.region not in news.members[1:]:
        raise InvalidRequest("The replica's Region is not among the members.")
    if len(set(news.members)) != len(news.members):
        raise InvalidRequest("A Region is among the members twice.")
    spec.choose(news.spec, news.usage)
    parse_key_policy(news.policy)
    check_tags(tuple(news.tags), desk.quotas.tags_per_key)


def _check_unused(desk: Desk, peer: Peer, news: MemberNews) -> None:
    """Refuse an id that a key here has, other than one that the same primary leads."""
    for region in {*desk.regions, *peer.regions, *news.members}:
        key = desk.tx.key(region, news.key_id)
        if key is not None and key.state is not State.DESTROYED and key.members[:1] != (news.members[0],):
            raise _not_yours(news)


def _not_yours(news: MemberNews | MoveNews) -> AccessDenied:
    return AccessDenied(f"{key_arn(news.region, news.account, news.key_id)} is not led by the linked server.")


def _make(desk: Desk, news: MemberNews) -> Key:
    """The replica, still without material, and the shadow of its primary."""
    # Not in later news: a policy that was put when more was taken must not end the link.
    check_denials(parse_key_policy(news.policy))
    key = Key(
        id=news.key_id,
        account=news.account,
        region=news.region,
        spec=news.spec,
        usage=news.usage,
        state=State.CREATING,
        created=news.created,
        description=news.description,
        policy=news.policy,
        current_version=0,
        members=tuple(news.members),
    )
    desk.tx.put_key(key)
    for name, value in news.tags:
        desk.tx.put_tag(key.region, key.id, name, value)
    return key


def _held(view: View, key: Key) -> int:
    """The number up to which a replica has all versions of the material."""
    if key.current_version:
        last = view.last_version(key.region, key.id)
        return 0 if last is None else last.number
    held = 0  # it is being made, and may be so in the place of a destroyed one
    while page := view.versions(key.region, key.id, held, AT_ONCE):
        for version in page:
            if not version.handle:
                return held
            held = version.number
    return held


def _take(desk: Desk, peer: Peer, key: Key, news: VersionNews) -> int:
    """Take charge of the material of the next version; returns its number."""
    if news.rotation not in _ROTATIONS:
        raise InvalidRequest("A version is the first, or that of an automatic rotation or of one on demand.")
    label = version_binding(key.id, news.number)
    about = members.transfer_label(replace(key, region=key.members[0]), news.number, key.region)
    material = desk.custodian.receive(key.account, label, key.spec, news.message, peer.identity, about)
    if material.id != news.material_id:
        raise AlreadyExists(f"The material of version {news.number} is not what the request says.")
    version = Version(
        region=key.region,
        key_id=key.id,
        number=news.number,
        handle=material.handle,
        material_id=material.id,
        created=news.created,
        rotation=Rotation(news.rotation),
        rotated=news.rotated,
        public_key=b64encode(material.public_key).decode(),
    )
    members.keep(desk.tx, version)
    return news.number


def _bring(desk: Desk, key: Key, news: MemberNews) -> None:
    """Give a replica that has all the material what it shares with its primary."""
    following = replace(
        key.after(Event.RECEIVE) if key.state is State.CREATING else key,
        members=tuple(news.members),
        current_version=max(key.current_version, news.current_version),
        rotation_period_days=news.rotation_period_days,
        rotations_on_demand=news.rotations_on_demand,
    )
    if following != key:
        desk.tx.put_key(following)
    version = desk.tx.version(key.region, key.id, following.current_version)
    if version is not None and version.rotated != news.rotated:
        desk.tx.put_version(replace(version, rotated=news.rotated))
    primary = replace(_shadow_of(following, news.members[0]), next_rotation=news.next_rotation)
    if desk.tx.key(primary.region, primary.id) != primary:
        desk.tx.put_key(primary)


def _shadow_of(key: Key, region: str) -> Key:
    """The shadow of another member of a key, without anything that is that member's own."""
    return replace(
        key,
        region=region,
        state=State.CREATING,
        description="",
        policy=default_key_policy(key.account),
        deletion_date=None,
        deletion_window_days=None,
    )


# --- what a linked server is told ------------------------------------------------------------------------


def tell_member(command: c.TellMember, desk: Desk) -> Telling:
    """All that the server of a replica is to know, with the next versions that it lacks."""
    key = desk.key(command.key, Event.READ, "keystead:TellMember", by_key_policy=False)
    shadow = _shadow(desk, key, command.region)
    peer = desk.peer_in(shadow.region)
    if peer is None:
        raise NotFound(f"No linked server serves the Region {shadow.region}.")
    known = linking.known(desk.tx, shadow)
    current = desk.tx.version(key.region, key.id, key.current_version)
    desk.entry.subject = shadow.arn
    news = MemberNews(
        key_id=key.id,
        account=key.account,
        region=shadow.region,
        spec=key.spec,
        usage=key.usage,
        created=shadow.created,
        description=shadow.description,
        policy=shadow.policy,
        tags=desk.tx.tags(shadow.region, shadow.id, "", MOST_TAGS),
        members=list(key.members),
        current_version=key.current_version,
        rotated=None if current is None else current.rotated,
        rotation_period_days=key.rotation_period_days,
        next_rotation=key.next_rotation,
        rotations_on_demand=key.rotations_on_demand,
        versions=[
            VersionNews(
                number=version.number,
                material_id=version.material_id,
                created=version.created,
                rotation=version.rotation,
                rotated=version.rotated,
                message=desk.custodian.send(
                    key.account,
                    version.handle,
                    version_binding(key.id, version.number),
                    key.spec,
                    peer.identity,
                    members.transfer_label(key, version.number, shadow.region),
                ),
            )
            for version in desk.tx.versions(key.region, key.id, known.versions, VERSIONS_AT_ONCE)
        ],
    )
    return Telling(news, linking.digest(key))


def member_told(command: c.MemberTold, desk: Desk) -> Done:
    """Remember what the server of a replica has acknowledged; a rotation may have waited for that."""
    key = desk.key(command.key, Event.READ, "keystead:MemberTold", by_key_policy=False)
    shadow = replace(_shadow(desk, key, command.region), members=key.members)
    desk.entry.subject = shadow.arn
    if not command.gone:
        linking.acknowledge(desk.tx, shadow, Known(command.versions, command.told))
        members.finish_rotation(desk.tx, key, desk.now)
        return Done()
    if linking.target(desk.tx, key) == shadow.region:  # it cannot be the primary any more
        linking.aim(desk.tx, key, "")
        desk.tx.put_key(key.after(Event.MOVED))
    for name, _ in desk.tx.tags(shadow.region, shadow.id, "", MOST_TAGS):
        desk.tx.delete_tag(shadow.region, shadow.id, name)
    linking.acknowledge(desk.tx, shadow, Known())
    desk.tx.put_key(replace(shadow, state=State.DESTROYED, description=""))
    members.leave(desk.tx, shadow, desk.now)
    return Done()


def tell_move(command: c.TellMove, desk: Desk) -> TellingMove:
    """All that the server of the new primary is to know: it has the material already."""
    key = desk.key(command.key, Event.READ, "keystead:TellMove", by_key_policy=False)
    shadow = _target(desk, key, command.region)
    desk.entry.subject = shadow.arn
    found = ((region, desk.tx.key(region, key.id)) for region in members.moved(key, shadow.region))
    return TellingMove(
        MoveNews(
            key_id=key.id,
            account=key.account,
            region=shadow.region,
            previous=key.region,
            members=[(region, 0.0 if member is None else member.created) for region, member in found],
            current_version=key.current_version,
            rotation_period_days=key.rotation_period_days,
            next_rotation=key.next_rotation,
            rotations_on_demand=key.rotations_on_demand,
        )
    )


def move_told(command: c.MoveTold, desk: Desk) -> Done:
    """The primary is a replica now, and its server tells nobody any more; or it stays what it was."""
    key = desk.key(command.key, Event.READ, "keystead:MoveTold", by_key_policy=False)
    target = _target(desk, key, command.region)
    desk.entry.subject = target.arn
    linking.aim(desk.tx, key, "")
    settled = key.after(Event.MOVED)
    if not command.moved:
        desk.save(settled)
        return Done()
    names = members.moved(key, target.region)
    for shadow in linking.shadows(desk.tx, key):
        linking.acknowledge(desk.tx, shadow, Known())
        desk.tx.put_key(replace(shadow, state=State.DESTROYED, description=""))
    for member in (*members.others(desk.tx, key), settled):
        desk.tx.put_key(replace(member, members=names, next_rotation=None))
    desk.tx.put_key(replace(_shadow_of(settled, target.region), members=names))
    return Done()


def _target(desk: Desk, key: Key, region: str) -> Key:
    """The shadow that a primary is on its way to."""
    if linking.target(desk.tx, key) != region:
        raise NotFound(f"{key.arn} does not move to {region}.")
    return _shadow(desk, key, region)


def _shadow(desk: Desk, key: Key, region: str) -> Key:
    members.check_primary(key)
    found = next((each for each in linking.shadows(desk.tx, key) if each.region == region), None)
    if found is None:
        raise NotFound(f"{key.arn} has no member on a linked server in {region}.")
    return found
