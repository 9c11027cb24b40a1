"""A customer key: what it is, and the only ways it may change.

A key has a *state*. Whatever is asked of a key is an *event*, and `TRANSITIONS` lists every event that
each state allows with the state that follows. A pair that is not in the table is refused, so a new
state or event is safe until somebody decides otherwise. ``docs/reference/key-states.md`` is drawn from
this table, and the state machine test walks it.

    >>> key.after(Event.DISABLE).state
    <State.DISABLED: 'Disabled'>

Key *material* lives in versions: rotation adds one and makes it current, and every older one still
decrypts. Version numbers are never used twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from keystead.core.errors import (
    InvalidKeyState,
    InvalidKeyUsage,
    KeyDisabled,
    KeysteadError,
    NotFound,
    UnsupportedOperation,
)


class State(StrEnum):
    """The states of AWS KMS that a key can be in, by AWS's names, and the end."""

    CREATING = "Creating"  # a replica whose material has not arrived yet
    PENDING_IMPORT = "PendingImport"  # waits for its owner's material
    ENABLED = "Enabled"
    DISABLED = "Disabled"
    UPDATING = "Updating"  # changes its primary Region; may be used meanwhile
    PENDING_DELETION = "PendingDeletion"
    PENDING_REPLICA_DELETION = "PendingReplicaDeletion"  # a primary that waits for its replicas to go
    DESTROYED = "Destroyed"  # the row stays as a tombstone: an id is never used again


class Event(StrEnum):
    """What may happen to a key."""

    USE = "use"  # a cryptographic operation, a grant, a replica, or new material for one
    READ = "read"
    CONFIGURE = "configure"  # tags, description, a new alias
    SET_POLICY = "set policy"  # and ending a grant: what may be done to a key whatever its state
    SET_ROTATION = "set rotation"
    ENABLE = "enable"
    DISABLE = "disable"
    RECEIVE = "receive material"  # what a replica is made of has arrived
    IMPORT = "import material"
    LOSE = "lose material"  # imported material is deleted or expires
    MOVE = "move primary"  # another Region is to be the primary
    MOVED = "primary moved"
    SCHEDULE_DELETION = "schedule deletion"
    AWAIT_REPLICAS = "await replica deletion"  # the same, for a primary that has replicas
    LAST_REPLICA_GONE = "last replica gone"
    CANCEL_DELETION = "cancel deletion"
    DESTROY = "destroy"


# One line per legal move (AWS KMS developer guide, "Key states of AWS KMS keys").
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.CREATING, Event.READ): State.CREATING,
    (State.CREATING, Event.RECEIVE): State.ENABLED,
    (State.CREATING, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.PENDING_IMPORT, Event.READ): State.PENDING_IMPORT,
    (State.PENDING_IMPORT, Event.CONFIGURE): State.PENDING_IMPORT,
    (State.PENDING_IMPORT, Event.SET_POLICY): State.PENDING_IMPORT,
    (State.PENDING_IMPORT, Event.IMPORT): State.ENABLED,
    (State.PENDING_IMPORT, Event.LOSE): State.PENDING_IMPORT,
    (State.PENDING_IMPORT, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.PENDING_IMPORT, Event.AWAIT_REPLICAS): State.PENDING_REPLICA_DELETION,
    (State.ENABLED, Event.USE): State.ENABLED,
    (State.ENABLED, Event.READ): State.ENABLED,
    (State.ENABLED, Event.CONFIGURE): State.ENABLED,
    (State.ENABLED, Event.SET_POLICY): State.ENABLED,
    (State.ENABLED, Event.SET_ROTATION): State.ENABLED,
    (State.ENABLED, Event.ENABLE): State.ENABLED,
    (State.ENABLED, Event.DISABLE): State.DISABLED,
    (State.ENABLED, Event.IMPORT): State.ENABLED,
    (State.ENABLED, Event.LOSE): State.PENDING_IMPORT,
    (State.ENABLED, Event.MOVE): State.UPDATING,
    (State.ENABLED, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.ENABLED, Event.AWAIT_REPLICAS): State.PENDING_REPLICA_DELETION,
    (State.DISABLED, Event.READ): State.DISABLED,
    (State.DISABLED, Event.CONFIGURE): State.DISABLED,
    (State.DISABLED, Event.SET_POLICY): State.DISABLED,
    (State.DISABLED, Event.ENABLE): State.ENABLED,
    (State.DISABLED, Event.DISABLE): State.DISABLED,
    (State.DISABLED, Event.IMPORT): State.DISABLED,
    (State.DISABLED, Event.LOSE): State.PENDING_IMPORT,
    (State.DISABLED, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.DISABLED, Event.AWAIT_REPLICAS): State.PENDING_REPLICA_DELETION,
    (State.UPDATING, Event.USE): State.UPDATING,
    (State.UPDATING, Event.READ): State.UPDATING,
    (State.UPDATING, Event.SET_POLICY): State.UPDATING,
    (State.UPDATING, Event.MOVED): State.ENABLED,
    (State.PENDING_DELETION, Event.READ): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.SET_POLICY): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.LOSE): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.CANCEL_DELETION): State.DISABLED,
    (State.PENDING_DELETION, Event.DESTROY): State.DESTROYED,
    (State.PENDING_REPLICA_DELETION, Event.READ): State.PENDING_REPLICA_DELETION,
    (State.PENDING_REPLICA_DELETION, Event.SET_POLICY): State.PENDING_REPLICA_DELETION,
    (State.PENDING_REPLICA_DELETION, Event.LOSE): State.PENDING_REPLICA_DELETION,
    (State.PENDING_REPLICA_DELETION, Event.LAST_REPLICA_GONE): State.PENDING_DELETION,
    (State.PENDING_REPLICA_DELETION, Event.CANCEL_DELETION): State.DISABLED,
}

_DELETING = (State.PENDING_DELETION, State.PENDING_REPLICA_DELETION)
_PASSING = (State.CREATING, State.UPDATING)


class Origin(StrEnum):
    """Where a key's material comes from, by AWS's names."""

    AWS_KMS = "AWS_KMS"  # made here
    EXTERNAL = "EXTERNAL"  # imported
    EXTERNAL_KEY_STORE = "EXTERNAL_KEY_STORE"  # outside, behind an XKS proxy
    AWS_CLOUDHSM = "AWS_CLOUDHSM"  # in an HSM of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One customer key, without its material. Times are Unix seconds.

    Named by Region and id: the members of a multi-Region key have one id.
    """

    id: str
    account: str  # 12 digits
    region: str
    spec: str
    usage: str
    state: State
    created: float
    description: str = ""
    policy: str  # the JSON text as it was put, kept to the letter
    origin: Origin = Origin.AWS_KMS
    current_version: int = 1  # 0: there is no material yet
    expires: float | None = None  # when the first of its imported materials does
    deletion_date: float | None = None  # set while the state is PENDING_DELETION
    deletion_window_days: int | None = None  # set while the state is PENDING_REPLICA_DELETION
    rotation_period_days: int | None = None  # None: automatic rotation is off
    next_rotation: float | None = None
    rotations_on_demand: int = 0
    members: tuple[str, ...] = ()  # of a multi-Region key: its Regions, the primary's first
    key_store: str = ""  # the id of its custom key store
    outer_key: str = ""  # the id of the key behind the XKS proxy

    @property
    def arn(self) -> str:
        """The key's Amazon Resource Name."""
        return key_arn(self.region, self.account, self.id)

    @property
    def ref(self) -> str:
        """Its name in the change feed."""
        return key_ref(self.region, self.id)

    @property
    def multi_region(self) -> bool:
        """Whether it may have replicas or is one."""
        return bool(self.members)

    @property
    def primary(self) -> bool:
        """Whether a multi-Region key is the primary."""
        return self.members[:1] == (self.region,)

    def after(self, event: Event) -> "Key":
        """The key once ``event`` has happened to it; raises what the caller is told if it may not."""
        try:
            state = TRANSITIONS[self.state, event]
        except KeyError:
            raise self.refusal(event) from None
        return self if state is self.state else replace(self, state=state)

    def wrong_usage(self, action: str) -> InvalidKeyUsage:
        """The error for an action that the key's usage does not include."""
        operation = action.removeprefix("kms:")
        return InvalidKeyUsage(f"{self.arn} key usage is {self.usage} which is not valid for {operation}.")

    def wrong_origin(self) -> UnsupportedOperation:
        """The error for an operation that keys of its origin do not have."""
        return UnsupportedOperation(
            f"{self.arn} origin is {self.origin} which is not valid for this operation."
        )

    def refusal(self, event: Event) -> KeysteadError:
        """The error for a move that is not in the table, in AWS's words."""
        if self.state is State.DESTROYED:
            return NotFound(f"Key '{self.arn}' does not exist")
        if event is Event.CANCEL_DELETION:
            return InvalidKeyState(f"{self.arn} is not pending deletion.")
        if self.state is State.DISABLED:
            return KeyDisabled(f"{self.arn} is disabled.")
        if self.state in _DELETING:
            return InvalidKeyState(f"{self.arn} is pending deletion.")
        if self.state is State.PENDING_IMPORT:
            return InvalidKeyState(f"{self.arn} is pending import.")
        if self.state in _PASSING:
            return InvalidKeyState(f"{self.arn} is {self.state.lower()}.")
        return InvalidKeyState(f"{self.arn} is {self.state}: cannot {event}.")


class Rotation(StrEnum):
    """Why a version was made, or made current."""

    FIRST = "FIRST"  # with the key, or the first that was imported
    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"
    PENDING = "PENDING"  # imported, or on its way to the replicas: not current yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a key's material. One whose number is above the key's current version is pending."""

    region: str
    key_id: str
    number: int  # from 1, never used twice
    handle: str  # what the custodian calls the material; empty once it is destroyed, deleted or expired
    material_id: str  # 64 hex digits, the same for the same bytes
    created: float
    rotation: Rotation
    rotated: float | None = None  # when it became current; None for the first and for a pending one
    public_key: str = ""  # SubjectPublicKeyInfo in DER, base64; empty where there is none
    valid_to: float | None = None  # of imported material: when it expires
    description: str = ""  # of imported material


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a key within one account and region; ``name`` begins with ``alias/``."""

    account: str
    region: str
    name: str
    key_id: str
    created: float
    updated: float

    @property
    def arn(self) -> str:
        """The alias's Amazon Resource Name."""
        return f"arn:aws:kms:{self.region}:{self.account}:{self.name}"


def key_arn(region: str, account: str, key_id: str) -> str:
    """The ARN of a key."""
    return f"arn:aws:kms:{region}:{account}:key/{key_id}"


def key_ref(region: str, key_id: str) -> str:
    """The name of a key in the change feed and in the working set."""
    return f"{region}/{key_id}"


def binding(purpose: str, *names: str) -> bytes:
    """The label that ties wrapped material to its place: the same bytes open nowhere else.

    Lengths stand before the parts, so no two different lists of parts give the same label.
    """
    parts = [part.encode() for part in ("keystead", purpose, *names)]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def version_binding(key_id: str, number: int) -> bytes:
    """The binding of one version of a key's material."""
    return binding("key-version", key_id, str(number))
