"""The circumstances of a request: what the conditions of policies may ask about it.

The gate and the desk hand a function that makes one to `keystead.core.policy.decide`, which calls it only if a
condition that may matter needs a value. So a request that no condition speaks of pays nothing for it, and a
decision that took a value is never remembered for another request (`Ruling.cacheable`).

``docs/reference/policy-language.md`` lists the keys. A key that has no value here is one that the request lacks.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from keystead.core import spec
from keystead.core.errors import KeysteadError
from keystead.core.grant import Grant
from keystead.core.key import Key
from keystead.core.policy.wildcards import Value
from keystead.core.principal import Session
from keystead.core.spec import SYMMETRIC
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.entry import Entry

Pairs = Sequence[tuple[str, str]]

_MICRO: Final = 1_000_000
_ENCRYPTING: Final = frozenset(
    {
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:GenerateDataKeyPair",
        "kms:GenerateDataKeyPairWithoutPlaintext",
    }
)


class Circumstances:
    """See the module. ``tags`` and ``aliases`` are those of the key, asked for only if they are needed.

    ``grant`` is the one that is to be retired, ``context`` the encryption context of a cryptographic request.
    """

    __slots__ = (
        "_known",
        "action",
        "alias",
        "aliases",
        "caller",
        "claims",
        "command",
        "context",
        "entry",
        "grant",
        "key",
        "resource_account",
        "tags",
    )

    def __init__(
        self,
        *,
        caller: Caller,
        entry: Entry,
        action: str,
        command: Command | None = None,
        key: Key | None = None,
        alias: str = "",
        context: Mapping[str, str] | None = None,
        grant: Grant | None = None,
        tags: Callable[[], Pairs] = tuple,
        aliases: Callable[[], Sequence[str]] = tuple,
        claims: Mapping[str, Value] = MappingProxyType({}),
        resource_account: str = "",
    ) -> None:
        self.caller = caller
        self.entry = entry
        self.action = action
        self.command = command
        self.key = key
        self.alias = alias
        self.context = context or {}
        self.grant = grant
        self.tags = tags
        self.aliases = aliases
        self.claims = claims  # of the caller's token, by condition key in lower case
        self.resource_account = resource_account or (key.account if key else caller.identity.account)
        # What was asked for already, so that each value is found once for all policies and statements.
        self._known: dict[str, Value | None] = {}

    def get(self, name: str, /) -> Value | None:
        """The value of the condition key with this name, in lower case."""
        known = self._known
        if name in known:
            return known[name]
        fixed = _KEYS.get(name)
        value = self._by_family(name) if fixed is None else fixed(self)
        known[name] = value
        return value

    def _by_family(self, name: str) -> Value | None:
        known = self._known
        for family, pairs in _FAMILIES.items():
            if name.startswith(family):
                if family not in known:
                    known[family] = None  # which is no key's name: it says that the family is known
                    _add(known, family, pairs(self))
                return known.get(name)
        return self.claims.get(name)

    def member(self, name: str, *actions: str) -> object:
        """A member of the command, if it is that of one of these actions."""
        return getattr(self.command, name, None) if self.action in actions else None

    @property
    def granted(self) -> c.CreateGrant | Grant | None:
        """The grant that is to be made, or to be retired."""
        return self.command if isinstance(self.command, c.CreateGrant) else self.grant

    @property
    def pairs(self) -> Mapping[str, str]:
        """The encryption context; of a grant that is to be made or to be retired, what its constraint demands."""
        granted = self.granted
        if granted is None:
            return self.context
        return {**(granted.context_subset or {}), **(granted.context_equals or {})}

    @property
    def moment(self) -> datetime:
        """When the request came."""
        return datetime.fromtimestamp(self.entry.time / _MICRO, UTC)


def _add(known: dict[str, Value | None], family: str, pairs: Pairs) -> None:
    """Add all that a family has."""
    for end, value in pairs:
        name = family + end.lower()
        before = known.get(name)
        # Names that differ only in case share a condition key: then it has several values.
        if before is None:
            known[name] = value
        else:
            known[name] = (*((before,) if isinstance(before, str) else before), value)


Fixed = Callable[[Circumstances], Value | None]


def _text(value: object) -> str | None:
    """How a policy writes what a command or key has; what is empty is not there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _of_command(name: str, *actions: str) -> Fixed:
    return lambda at: _text(at.member(name, *actions))


def _of_key(name: str, new: Callable[[c.CreateKey], object]) -> Fixed:
    """A property of the key, or of the one to be made."""

    def value(at: Circumstances) -> Value | None:
        if at.key is not None:
            return _text(getattr(at.key, name))
        return _text(new(at.command)) if isinstance(at.command, c.CreateKey) else None

    return value


def _new_usage(command: c.CreateKey) -> str | None:
    try:
        return spec.choose(command.spec, command.usage)[1]
    except KeysteadError:  # the request will be refused for it, and not for the policy
        return command.usage


def _username(at: Circumstances) -> str | None:
    _, user, path = at.caller.identity.arn.partition(":user/")
    return path.rpartition("/")[2] if user else None


_TYPES: Final = {"user": "User", "role": "AssumedRole", "service-account": "ServiceAccount", "": "Anonymous"}


def _principal_type(at: Circumstances) -> str | None:
    kind = at.caller.identity.principal.rpartition(":")[2].partition("/")[0]
    return _TYPES.get(kind)


def _of_session(value: Callable[[Session, Circumstances], Value | None]) -> Fixed:
    """Something of the caller's session, if it has one."""

    def found(at: Circumstances) -> Value | None:
        session = at.caller.identity.session
        return None if session is None else value(session, at)

    return found


def _mfa_age(session: Session, at: Circumstances) -> str | None:
    return str(int(at.entry.time / _MICRO - session.mfa)) if session.mfa else None


def _encryption_algorithm(at: Circumstances) -> str | None:
    if at.action not in _ENCRYPTING:
        return None
    name = "source_algorithm" if at.action == "kms:ReEncryptFrom" else "algorithm"
    return getattr(at.command, name, SYMMETRIC)


def _multi_region_type(at: Circumstances) -> str | None:
    if at.key is None:  # a multi-Region key is made as a primary
        return "PRIMARY" if isinstance(at.command, c.CreateKey) and at.command.multi_region else None
    if not at.key.multi_region:
        return None
    return "PRIMARY" if at.key.primary else "REPLICA"


def _primary_region(at: Circumstances) -> str | None:
    if at.action == "kms:UpdatePrimaryRegion":
        return _text(at.member("region", at.action))
    return at.key.members[0] if at.key is not None and at.key.multi_region else None


def _same_key(at: Circumstances) -> str | None:
    """Whether ReEncrypt stays on one key, asked about the key that it leaves and about the one it goes to."""
    if at.key is None or not isinstance(at.command, c.ReEncrypt):
        return None
    if at.action == "kms:ReEncryptTo":
        return _text(at.entry.from_key == at.key.arn)
    target = at.command.key
    here = (target.account or at.caller.identity.account) == at.key.account
    return _text(here and (target.name in at.aliases() if target.is_alias else target.name == at.key.id))


def _request_tags(at: Circumstances) -> Pairs:
    found: Pairs | None = getattr(at.command, "tags", None)
    return found or ()


def _tag_keys(at: Circumstances) -> tuple[str, ...]:
    if isinstance(at.command, c.UntagResource):
        return at.command.names
    return tuple(name for name, _ in _request_tags(at))


def _grant_operations(at: Circumstances) -> tuple[str, ...] | None:
    return at.command.operations if isinstance(at.command, c.CreateGrant) else None


def _grant_principal(name: str) -> Fixed:
    """The one that a grant to be made names, a principal or a service."""

    def value(at: Circumstances) -> str | None:
        if not isinstance(at.command, c.CreateGrant):
            return None
        return _text(getattr(at.command, name) or getattr(at.command, f"{name}_service"))

    return value


def _grant_constraint(at: Circumstances) -> str | None:
    granted = at.granted
    if granted is None:
        return None
    if granted.context_equals:
        return "EncryptionContextEquals"
    return "EncryptionContextSubset" if granted.context_subset else None


def _expiration(at: Circumstances) -> str | None:
    if not isinstance(at.command, c.ImportKeyMaterial):
        return None
    return "KEY_MATERIAL_DOES_NOT_EXPIRE" if at.command.valid_to is None else "KEY_MATERIAL_EXPIRES"


def _valid_to(at: Circumstances) -> str | None:
    if not isinstance(at.command, c.ImportKeyMaterial) or at.command.valid_to is None:
        return None
    return f"{at.command.valid_to:.6f}"


_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_spec: Final = _of_key("spec", lambda command: command.spec)
_usage: Final = _of_key("usage", _new_usage)

_KEYS: Final[Mapping[str, Fixed]] = {
    "aws:currenttime": lambda at: _moment(at.entry.time / _MICRO),
    "aws:epochtime": lambda at: str(at.entry.time // _MICRO),
    "aws:federatedprovider": _of_session(lambda session, _: session.provider or None),
    "aws:multifactorauthage": _of_session(_mfa_age),
    "aws:multifactorauthpresent": _of_session(lambda session, _: _text(session.mfa > 0)),
    "aws:principalaccount": lambda at: at.caller.identity.account or None,
    "aws:principalarn": lambda at: at.caller.identity.principal or None,
    "aws:principalisawsservice": lambda _: "false",
    "aws:principaltype": _principal_type,
    "aws:requestedregion": lambda at: at.caller.region or None,
    "aws:resourceaccount": lambda at: at.resource_account or None,
    "aws:securetransport": lambda at: _text(at.caller.secure),
    "aws:sourceidentity": _of_session(lambda session, _: session.source_identity or None),
    "aws:sourceip": lambda at: at.caller.source or None,
    "aws:tagkeys": _tag_keys,
    "aws:tokenissuetime": _of_session(lambda session, _: _moment(session.issued)),
    "aws:useragent": lambda at: at.caller.agent or None,
    "aws:userid": lambda at: at.caller.identity.user_id or None,
    "aws:username": _username,
    "aws:viaawsservice": lambda _: "false",
    "keystead:changeticket": lambda at: at.caller.ticket or None,
    "keystead:dayofweek": lambda at: _DAYS[at.moment.weekday()],
    "keystead:timeofday": lambda at: at.moment.strftime("%H%M"),
    "kms:bypasspolicylockoutsafetycheck": _of_command(
        "bypass_lockout_check", "kms:CreateKey", "kms:PutKeyPolicy", "kms:ReplicateKey"
    ),
    "kms:calleraccount": lambda at: at.caller.identity.account,
    "kms:customermasterkeyspec": _spec,
    "kms:customermasterkeyusage": _usage,
    "kms:datakeypairspec": _of_command(
        "spec", "kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext"
    ),
    "kms:encryptionalgorithm": _encryption_algorithm,
    "kms:encryptioncontextkeys": lambda at: tuple(at.pairs),
    "kms:expirationmodel": _expiration,
    "kms:grantconstrainttype": _grant_constraint,
    "kms:grantisforawsresource": lambda _: "false",
    "kms:grantoperations": _grant_operations,
    "kms:granteeprincipal": _grant_principal("grantee"),
    "kms:keyagreementalgorithm": _of_command("algorithm", "kms:DeriveSharedSecret"),
    "kms:keyorigin": _of_key("origin", lambda command: command.origin),
    "kms:keyspec": _spec,
    "kms:keyusage": _usage,
    "kms:macalgorithm": _of_command("algorithm", "kms:GenerateMac", "kms:VerifyMac"),
    "kms:messagetype": _of_command("kind", "kms:Sign", "kms:Verify"),
    "kms:multiregion": _of_key("multi_region", lambda command: command.multi_region),
    "kms:multiregionkeytype": _multi_region_type,
    "kms:primaryregion": _primary_region,
    "kms:reencryptonsamekey": _same_key,
    "kms:replicaregion": _of_command("region", "kms:ReplicateKey"),
    "kms:requestalias": lambda at: at.alias or None,
    "kms:resourcealiases": lambda at: tuple(at.aliases()),
    "kms:retiringprincipal": _grant_principal("retiring"),
    "kms:rotationperiodindays": _of_command("period_days", "kms:EnableKeyRotation"),
    "kms:schedulekeydeletionpendingwindowindays": _of_command("window_days", "kms:ScheduleKeyDeletion"),
    "kms:signingalgorithm": _of_command("algorithm", "kms:Sign", "kms:Verify"),
    "kms:validto": _valid_to,
    "kms:wrappingalgorithm": _of_command("algorithm", "kms:GetParametersForImport"),
    "kms:wrappingkeyspec": _of_command("wrapping_spec", "kms:GetParametersForImport"),
    "sts:externalid": _of_command("external_id", "sts:AssumeRole"),
    "sts:rolesessionname": _of_command("session_name", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"),
    "sts:sourceidentity": _of_command("source_identity", "sts:AssumeRole", "sts:SetSourceIdentity"),
    "sts:transitivetagkeys": lambda at: getattr(at.command, "transitive", ()) or None,
}

_FAMILIES: Final[Mapping[str, Callable[[Circumstances], Pairs]]] = {
    "aws:principaltag/": lambda at: at.caller.identity.tags,
    "kms:encryptioncontext:": lambda at: tuple(at.pairs.items()),
    "aws:requesttag/": _request_tags,
    "aws:resourcetag/": lambda at: at.tags(),
}
