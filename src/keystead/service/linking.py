"""Linked servers: other installations, whose Regions multi-Region keys of this one may have members in.

A member on a linked server has a row here as well, its *shadow*: in its own Region, in the state ``Creating``
for as long as it lasts. Its Region is not served here, so nobody reaches it; it has no material. At the server of
the primary it stands for the replica that is to be made there or has been, with the policy, description and tags
that it is made with; at the server of a replica it stands for the primary.

The server of the primary leads. It tells the others (`MemberNews`) and keeps in a setting what each has
acknowledged (`Known`); as long as that is not what the primary is like now, there is something to tell. So what
is lost on the way is told again, and what is told twice changes nothing.

A linked server may do no more than `keystead.service.actions.links` lets it.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

import msgspec

from keystead.core.key import Key, State
from keystead.core.ports import Store, Transaction, View

AT_ONCE: Final = 100
VERSIONS_AT_ONCE: Final = 20
MOST_TAGS: Final = 1000

_Name = Annotated[str, msgspec.Meta(max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=8192)]
_TagName = Annotated[str, msgspec.Meta(max_length=128)]  # AWS KMS, "TagKeyType"
_Policy = Annotated[str, msgspec.Meta(max_length=32_768)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Peer(NamedTuple):
    """A linked server."""

    name: str
    principal: str  # ARN: whom its requests are those of
    regions: tuple[str, ...]
    identity: str  # for transfers


class VersionNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A version of a key, with its material in a message for the server that it goes to."""

    number: _Number
    material_id: _Name
    created: float
    rotation: _Name
    rotated: float | None
    message: bytes


class MemberNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """All that the server of a primary says of one of its replicas, to the server of that."""

    key_id: _Name
    account: _Name
    region: _Name  # of the replica
    spec: _Name
    usage: _Name
    created: float  # when the replica was asked for; another one in its place has another time
    description: _Text
    policy: _Policy
    tags: Annotated[list[tuple[_TagName, _Text]], msgspec.Meta(max_length=MOST_TAGS)]
    members: Annotated[list[_Name], msgspec.Meta(min_length=2, max_length=100)]
    current_version: _Number
    rotated: float | None  # when that became current
    rotation_period_days: _Days | None
    next_rotation: float | None
    rotations_on_demand: _Count
    versions: Annotated[list[VersionNews], msgspec.Meta(max_length=VERSIONS_AT_ONCE)]


class MoveNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """That a replica is to be the primary, from the server of the primary to the server of that replica."""

    key_id: _Name
    account: _Name
    region: _Name  # of the new primary
    previous: _Name  # and of the old one
    members: Annotated[list[tuple[_Name, float]], msgspec.Meta(min_length=2, max_length=100)]
    """The members in their new order, and when each of those at the sender's server was made."""
    current_version: _Number
    rotation_period_days: _Days | None
    next_rotation: float | None
    rotations_on_demand: _Count


class Known(msgspec.Struct, frozen=True, gc=False):
    """What the server of a member has acknowledged."""

    versions: int = 0  # it has all up to this one
    told: str = ""  # the `digest` of the state that it was told of


_known: Final = msgspec.json.Decoder(Known)


def is_shadow(key: Key) -> bool:
    """Whether a row stands for a member on a linked server.

    A member that a linked server is still making here is in that state too, and is no more for others to touch.
    """
    return key.multi_region and key.state is State.CREATING


def shadows(view: View, key: Key) -> list[Key]:
    """The members of a key that are on linked servers."""
    found = (view.key(region, key.id) for region in key.members if region != key.region)
    return [member for member in found if member is not None and is_shadow(member)]


def digest(key: Key) -> str:
    """One short text for all that the replicas share with their primary, besides the material itself."""
    shared = [
        key.members,
        key.current_version,
        key.rotation_period_days,
        key.next_rotation,
        key.rotations_on_demand,
    ]
    return sha256(msgspec.json.encode(shared)).hexdigest()


def known(view: View, shadow: Key) -> Known:
    """What the server of a shadow's member has acknowledged so far."""
    text = view.setting(_setting(shadow))
    return _known.decode(text) if text else Known()


def acknowledge(tx: Transaction, shadow: Key, now_known: Known) -> None:
    """Remember what the server of a shadow's member has acknowledged."""
    tx.put_setting(_setting(shadow), msgspec.json.encode(now_known).decode())


def _setting(shadow: Key) -> str:
    return f"link-member {shadow.ref}"


def target(view: View, key: Key) -> str:
    """The Region on a linked server that a primary is on its way to, if it is."""
    return view.setting(f"link-move {key.ref}") or "" if key.state is State.UPDATING else ""


def aim(tx: Transaction, key: Key, region: str) -> None:
    """Remember where a primary is on its way to; "" when it has arrived, or stays."""
    tx.put_setting(f"link-move {key.ref}", region)


def moving(store: Store, account: str, regions: tuple[str, ...]) -> list["Member"]:
    """The replicas in those Regions that are to be the primary."""
    with store.view() as view:
        return [
            Member(shadow.id, primary.region, shadow.region)
            for primary, shadow in _pairs(view, account, regions)
            if target(view, primary) == shadow.region
        ]


class Member(NamedTuple):
    """A replica on a linked server, and where its primary is."""

    key_id: str
    primary: str  # its Region
    region: str


def untold(store: Store, account: str, regions: tuple[str, ...]) -> list[Member]:
    """The replicas in those Regions whose server has not acknowledged what their primary is like."""
    with store.view() as view:
        return [
            Member(shadow.id, primary.region, shadow.region)
            for primary, shadow in _pairs(view, account, regions)
            if not settled(view, primary, shadow)
        ]


def settled(view: View, primary: Key, shadow: Key) -> bool:
    """Whether a replica's server has acknowledged all there is."""
    last = view.last_version(primary.region, primary.id)
    number = 0 if last is None else last.number
    return known(view, shadow) == Known(number, digest(primary))


def made(store: Store, account: str, region: str) -> list[Member]:
    """The replicas in a Region that their server has acknowledged: they may have been deleted there."""
    with store.view() as view:
        return [
            Member(shadow.id, primary.region, shadow.region)
            for primary, shadow in _pairs(view, account, (region,))
            if known(view, shadow).told
        ]


def _pairs(view: View, account: str, regions: tuple[str, ...]) -> Iterator[tuple[Key, Key]]:
    """The primaries that are here, each with a shadow in those Regions."""
    for region in regions:
        after = ""
        while page := view.keys(account, region, after, AT_ONCE):
            after = page[-1].id
            for shadow in page:
                primary = view.key(shadow.members[0], shadow.id) if is_shadow(shadow) else None
                if primary is not None and primary.region != region and not is_shadow(primary):
                    yield primary, shadow
