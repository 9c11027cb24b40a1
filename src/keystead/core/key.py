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

from keystead.core.errors import InvalidKeyState, InvalidKeyUsage, KeyDisabled, KeysteadError, NotFound


class State(StrEnum):
    """The states of AWS KMS that a key can be in, by AWS's names, and the end."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    DESTROYED = "Destroyed"  # the row stays as a tombstone: an id is never used again


class Event(StrEnum):
    """What may happen to a key."""

    USE = "use"  # a cryptographic operation, or new material for one
    READ = "read"
    CONFIGURE = "configure"  # tags, description, a new alias
    SET_POLICY = "set policy"
    SET_ROTATION = "set rotation"
    ENABLE = "enable"
    DISABLE = "disable"
    SCHEDULE_DELETION = "schedule deletion"
    CANCEL_DELETION = "cancel deletion"
    DESTROY = "destroy"


# One line per legal move (AWS KMS developer guide, "Key states of AWS KMS keys").
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.ENABLED, Event.USE): State.ENABLED,
    (State.ENABLED, Event.READ): State.ENABLED,
    (State.ENABLED, Event.CONFIGURE): State.ENABLED,
    (State.ENABLED, Event.SET_POLICY): State.ENABLED,
    (State.ENABLED, Event.SET_ROTATION): State.ENABLED,
    (State.ENABLED, Event.ENABLE): State.ENABLED,
    (State.ENABLED, Event.DISABLE): State.DISABLED,
    (State.ENABLED, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.DISABLED, Event.READ): State.DISABLED,
    (State.DISABLED, Event.CONFIGURE): State.DISABLED,
    (State.DISABLED, Event.SET_POLICY): State.DISABLED,
    (State.DISABLED, Event.ENABLE): State.ENABLED,
    (State.DISABLED, Event.DISABLE): State.DISABLED,
    (State.DISABLED, Event.SCHEDULE_DELETION): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.READ): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.SET_POLICY): State.PENDING_DELETION,
    (State.PENDING_DELETION, Event.CANCEL_DELETION): State.DISABLED,
    (State.PENDING_DELETION, Event.DESTROY): State.DESTROYED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One customer key, without its material. Times are Unix seconds."""

    id: str
    account: str  # 12 digits
    region: str
    spec: str
    usage: str
    state: State
    created: float
    description: str = ""
    policy: str  # the JSON text as it was put, kept to the letter
    current_version: int = 1
    deletion_date: float | None = None  # set while the state is PENDING_DELETION
    rotation_period_days: int | None = None  # None: automatic rotation is off
    next_rotation: float | None = None
    rotations_on_demand: int = 0

    @property
    def arn(self) -> str:
        """The key's Amazon Resource Name."""
        return f"arn:aws:kms:{self.region}:{self.account}:key/{self.id}"

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

    def refusal(self, event: Event) -> KeysteadError:
        """The error for a move that is not in the table, in AWS's words."""
        if self.state is State.DESTROYED:
            return NotFound(f"Key '{self.arn}' does not exist")
        if event is Event.CANCEL_DELETION:
            return InvalidKeyState(f"{self.arn} is not pending deletion.")
        if self.state is State.DISABLED:
            return KeyDisabled(f"{self.arn} is disabled.")
        if self.state is State.PENDING_DELETION:
            return InvalidKeyState(f"{self.arn} is pending deletion.")
        return InvalidKeyState(f"{self.arn} is {self.state}: cannot {event}.")


class Rotation(StrEnum):
    """Why a version was made."""

    FIRST = "FIRST"  # with the key
    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a key's material."""

    key_id: str
    number: int  # from 1, never used twice
    handle: str  # what the custodian calls the material; empty once it is destroyed
    material_id: str  # 64 hex digits, the same for the same bytes
    created: float
    rotation: Rotation


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


def binding(purpose: str, *names: str) -> bytes:
    """The label that ties wrapped material to its place: the same bytes open nowhere else.

    Lengths stand before the parts, so no two different lists of parts give the same label.
    """
    parts = [part.encode() for part in ("keystead", purpose, *names)]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def version_binding(key_id: str, number: int) -> bytes:
    """The binding of one version of a key's material."""
    return binding("key-version", key_id, str(number))
