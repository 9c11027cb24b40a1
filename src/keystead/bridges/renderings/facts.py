"""What every rendering needs to know about an entry, and the entry does not say in so many words.

An entry names an action; whoever watches wants to know whether that made, read, changed or deleted something. It names
an ARN; they want to know whether that is a person, a program or a session. It has an error's code; they want to know
how bad that is. These answers are the same for all forms, so they are here.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

import msgspec

from keystead.core import errors
from keystead.core.errors import Kind
from keystead.core.principal import role_arn
from keystead.service.entry import CRYPTOGRAPHIC, OK, Entry, decode, event_id

OURS: Final = "keystead.internal"
"""The service that our own actions are asked of, where others have a domain name."""

_MICRO: Final = 1_000_000
_PARTS: Final = 6  # of an ARN
_SOURCES: Final = {"kms": "kms.amazonaws.com", "sts": "sts.amazonaws.com"}


class Event(msgspec.Struct, frozen=True):
    """An entry and where it stands."""

    entry: Entry
    origin: str  # of the log: "keystead-0123456789abcdef/w0"
    index: int

    @property
    def name(self) -> str:
        """What it is called, for ever."""
        return f"{self.origin}/{self.index}"

    @property
    def id(self) -> str:
        """The same as a UUID."""
        return event_id(self.name)


def read(data: bytes, event: str) -> Event:
    """The event of an entry's bytes; ``event`` is its name."""
    origin, _, index = event.rpartition("/")
    return Event(decode(data), origin, int(index))


class _Stage(msgspec.Struct):
    """The one member that says whether an entry only announces."""

    stage: str = ""


_read_stage = msgspec.json.Decoder(_Stage).decode


def announces(data: bytes) -> bool:
    """Whether an entry is an intent: what it is about will be told by its outcome."""
    return _read_stage(data).stage == "intent"


# --- what was asked --------------------------------------------------------------------------------------


class Doing(StrEnum):
    """What an action does to what it is about."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    USE = "use"  # a key; or a session is opened
    OTHER = "other"


_VERBS: Final[Mapping[str, Doing]] = {
    **dict.fromkeys(("Create", "Ensure", "Init", "Replicate", "Add"), Doing.CREATE),
    **dict.fromkeys(
        (
            *("Describe", "Explain", "Fetch", "Foresee", "Get", "LinkStates", "List", "Plan"),
            *("Prove", "Query", "Search", "Simulate", "Tell"),
        ),
        Doing.READ,
    ),
    **dict.fromkeys(
        (
            *("Audit", "Cancel", "Close", "Connect", "Disable", "Disconnect", "Enable", "Import", "Lift"),
            *("Link", "MemberTold", "MoveTold", "Prune", "Put", "Redact", "Refresh", "Rotate", "Set"),
            *("Tag", "Untag", "Update"),
        ),
        Doing.UPDATE,
    ),
    **dict.fromkeys(
        ("Delete", "Destroy", "Expire", "Remove", "Retire", "Revoke", "ScheduleKeyDeletion"), Doing.DELETE
    ),
    **dict.fromkeys(("AssumeRole", "GenerateRandom", "GetSessionToken"), Doing.USE),
}
"""What the names of operations begin with; of several the longest counts."""

_BY_LENGTH: Final = sorted(_VERBS, key=len, reverse=True)


def doing(action: str) -> Doing:
    """What an action does."""
    if action in CRYPTOGRAPHIC:
        return Doing.USE
    name = action.partition(":")[2]
    return next((_VERBS[verb] for verb in _BY_LENGTH if name.startswith(verb)), Doing.OTHER)


def changes_nothing(action: str) -> bool:
    """Whether an action leaves everything as it was: what CloudTrail calls read-only, uses of keys included."""
    return doing(action) in (Doing.READ, Doing.USE)


def service(action: str) -> str:
    """The domain name of the service that an action is asked of, as AWS's events have it."""
    return _SOURCES.get(action.partition(":")[0], OURS)


def operation(action: str) -> str:
    """The action without its service; of what was not understood there is none."""
    return action.partition(":")[2] or "Unknown"


_SESSIONS: Final = frozenset({"sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:GetSessionToken"})
_UNPROVEN: Final = frozenset(
    error.code
    for error in (
        errors.NotAuthenticated,
        errors.IncompleteSignature,
        errors.InvalidSignature,
        errors.UnknownCredentials,
        errors.ExpiredToken,
    )
)


def authenticates(entry: Entry) -> bool:
    """Whether it is about who somebody is: a session was asked for, or a signature did not hold."""
    return entry.action in _SESSIONS or (not entry.principal and entry.outcome in _UNPROVEN)


# --- how it ended ----------------------------------------------------------------------------------------


class Result(StrEnum):
    """How a request ended."""

    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"
    PENDING = "pending"  # it is not known yet, and never will be if the process was killed


class Severity(StrEnum):
    """How much somebody should mind."""

    INFORMATIONAL = "Informational"
    LOW = "Low"  # a mistake of the caller's
    MEDIUM = "Medium"  # somebody asked for what they may not have
    HIGH = "High"  # the service cannot do its work


_FAMILY: Final = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.KeysteadError) and "code" in vars(error)
]

KINDS: Final[Mapping[str, Kind]] = {
    **{error.code: error.kind for error in _FAMILY},
    # Of the fronts and of the service itself.
    "InvalidAction": Kind.INVALID,
    "MalformedQuery": Kind.INVALID,
    "Serialization": Kind.INVALID,
    "UnknownOperation": Kind.INVALID,
    "Internal": Kind.UNAVAILABLE,
    "Interrupted": Kind.UNAVAILABLE,
}
"""What class of failure an outcome is."""

_TEXTS: Final[Mapping[str, str]] = {
    **{error.code: str(error.__doc__).partition("\n")[0] for error in _FAMILY},
    "Interrupted": "The process ended before the change was made.",
    "Internal": "An internal error.",
}

_SEVERITIES: Final[Mapping[Kind, Severity]] = {
    Kind.DENIED: Severity.MEDIUM,
    Kind.UNAVAILABLE: Severity.HIGH,
}


def result(entry: Entry) -> Result:
    """How it ended."""
    if not entry.outcome:
        return Result.PENDING
    if entry.outcome == OK:
        return Result.SUCCESS
    return Result.DENIED if KINDS.get(entry.outcome) is Kind.DENIED else Result.FAILURE


def severity(entry: Entry) -> Severity:
    """How much somebody should mind."""
    if entry.outcome in ("", OK):
        return Severity.INFORMATIONAL
    return _SEVERITIES.get(KINDS.get(entry.outcome, Kind.UNAVAILABLE), Severity.LOW)


def failure(entry: Entry) -> str:
    """Why it failed, in a sentence; empty when it did not.

    The entry has the code and not the text, so the sentence is made anew: for a denial as AWS words it, for the rest as
    the code is described.
    """
    if entry.outcome in ("", OK):
        return ""
    if entry.outcome == errors.AccessDenied.code:
        on = entry.key or entry.subject.partition(" ")[0] or "*"
        return f"User: {entry.principal} is not authorized to perform: {entry.action} on resource: {on}{_why(entry)}"
    return _TEXTS.get(entry.outcome, entry.outcome)


_DENIERS: Final = {
    "guardrail": "a service control policy",
    "identity-policy": "an identity-based policy",
    "key-policy": "a resource-based policy",
    "permission-boundary": "a permissions boundary",
    "session-policy": "a session policy",
}


def _why(entry: Entry) -> str:
    """What denied it, when a statement did; that nothing allowed it can have many reasons, and `missing` says which."""
    denier = _DENIERS.get(entry.decided_by)
    return f" with an explicit deny in {denier}" if denier and entry.statement else ""


def sentence(entry: Entry) -> str:
    """The whole of it for people, in one line."""
    on = entry.key or entry.subject
    who = entry.principal or (
        f"somebody with access key {entry.access_key}" if entry.access_key else "somebody"
    )
    about = f" on {on}" if on else ""
    return (
        f"{who}: {entry.action or 'a request that was not understood'}{about}: {entry.outcome or 'pending'}"
    )


# --- who -------------------------------------------------------------------------------------------------


class Who(msgspec.Struct, frozen=True):
    """Who asked, taken from an ARN."""

    kind: str  # user, service-account, role, assumed-role, root, service, oidc-provider; "" is nobody that is known
    arn: str = ""
    account: str = ""
    name: str = ""
    role: str = ""  # of a session: the ARN of the role
    session: str = ""  # its name


def who(arn: str) -> Who:
    """Whose ARN it is. What is no ARN, as in ``local:uid=0``, is only a name."""
    parts = arn.split(":", 5)
    if len(parts) < _PARTS:
        return Who("", name=arn)
    account = parts[4]
    kind, _, name = parts[5].partition("/")
    if kind != "assumed-role":
        return Who(kind, arn, account, name)
    role, _, session = name.partition("/")
    return Who(kind, arn, account, role, role_arn(account, role), session)


# --- what about ------------------------------------------------------------------------------------------


class Thing(msgspec.Struct, frozen=True):
    """Something a request was about."""

    arn: str
    kind: str  # key, alias, user, role, ...
    account: str
    region: str
    name: str


def things(entry: Entry) -> Iterator[Thing]:
    """All that it was about and that has an ARN: keys first, each once."""
    for arn in dict.fromkeys((entry.key, entry.from_key, entry.subject.partition(" ")[0])):
        parts = arn.split(":", 5)
        if parts[0] == "arn" and len(parts) == _PARTS:
            _, _, _, region, account, rest = parts
            kind, _, name = rest.partition("/")
            yield Thing(arn, kind, account, region, name or kind)


def account_of(entry: Entry) -> str:
    """Whose event it is: the caller's account, or the key's when nobody knows who called."""
    return entry.account or next((thing.account for thing in things(entry)), "")


def address(entry: Entry) -> str:
    """The network address it came from, if it is one."""
    try:
        return str(ip_address(entry.source.partition("%")[0]))
    except ValueError:
        return ""


# --- when ------------------------------------------------------------------------------------------------


def timestamp(microseconds: int, timespec: str = "microseconds") -> str:
    """A moment in UTC, as RFC 3339 has it."""
    seconds, rest = divmod(microseconds, _MICRO)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def dense(members: Mapping[str, object]) -> dict[str, object]:
    """The members that say something: those that are empty, zero or false go."""
    return {name: value for name, value in members.items() if value}
