"""AWS STS's operations: sessions of roles and of users.

A session is nothing that is stored: its token says all of it (`keystead.service.sessiontoken`). So to make one changes
nothing, unless a one-time password is shown, which is used up by that.

Who may assume a role is said by its *trust policy*, which stands where a key's own policy stands for a key: within
one account it is enough that it names the caller, and across accounts an identity policy must allow as well. A role
that is not there, one that is disabled and one that is forbidden look alike to everybody.

Whom an identity provider vouches for has no policies of its own. What asks is the provider, and only a statement that
names it as ``Federated`` lets it in, on the terms that the statement sets for the token's claims.

A session says by whom it was opened: the user that began, the roles whose sessions came between, and the access key
that the first was opened with. To take one of these away is to end it, however often it was renewed (`lives`).
"""

import re
from base64 import b32encode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from keystead.core.declaration import Kind, declaration_ref
from keystead.core.errors import AccessDenied, DryRun, InvalidIdentityToken, InvalidRequest, MalformedPolicy
from keystead.core.policy import (
    Document,
    Ruling,
    builtin,
    check_denials,
    decide,
    parse_identity_policy,
    parse_trust_policy,
)
from keystead.core.policy.wildcards import Value
from keystead.core.principal import (
    HOUR,
    ROLE,
    SERVICE_ACCOUNT,
    USER,
    Principal,
    Provider,
    Session,
    issuer_name,
    mfa_binding,
    policy_arn,
    provider_arn,
    session_arn,
)
from keystead.crypto.totp import step_of
from keystead.service.action import Action, Mode
from keystead.service.actions.crypt import WOULD_SUCCEED
from keystead.service.caller import Identity
from keystead.service.circumstances import Circumstances
from keystead.service.commands import Command
from keystead.service.commands import sts as c
from keystead.service.desk import Desk, asked_by, denied, note
from keystead.service.identities import identify, unique_id
from keystead.service.results.sts import CallerIdentity, Credentials, NewSession
from keystead.service.sessiontoken import MAX_CHARACTERS

if TYPE_CHECKING:
    from keystead.service.gate import Visit

ASSUME: Final = "sts:AssumeRole"
FEDERATE: Final = "sts:AssumeRoleWithWebIdentity"
TAG: Final = "sts:TagSession"
SET_SOURCE: Final = "sts:SetSourceIdentity"

OWN_SECONDS: Final = 43_200  # of a user's session, unless asked otherwise (AWS STS, "GetSessionToken")
MOST_POLICIES: Final = 10  # by name (AWS STS, "PolicyArns")
MOST_TAGS: Final = 50  # AWS STS, "Tags"
MOST_OPENERS: Final = (
    8  # users and roles that a chain goes through; each is looked at when a session is checked
)
RESERVED: Final = "aws:"
SOURCE_CLAIM: Final = "https://aws.amazon.com/source_identity"
MOST_SUBJECT: Final = 255  # characters of a token's subject go into the record
MOST_ISSUER: Final = 255  # characters of a claimed issuer are said back

# AWS's words.
_NOT_AUTHORIZED: Final = f"Not authorized to perform {FEDERATE}"
_BOTH: Final = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
_NO_DEVICE: Final = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid "
    "and associated with this user."
)
_WRONG_CODE: Final = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
_TOO_MANY: Final = (
    "MultiFactorAuthentication failed, too many invalid one time pass codes. Try again in five minutes."
)
_NO_OPENER: Final = (
    "This session was opened before sessions said by whom: open it anew with an access key, and assume the role from "
    "the new one."
)

_trust: Final = lru_cache(1024)(parse_trust_policy)

C = TypeVar("C", c.AssumeRole, c.AssumeRoleWithMfa)


def get_caller_identity(_command: c.GetCallerIdentity, visit: "Visit") -> CallerIdentity:
    """Who the caller is; nobody needs leave to know that of themselves."""
    identity = visit.caller.identity
    return CallerIdentity(identity.user_id, identity.account, identity.arn)


def assume_role(command: c.AssumeRole, desk: Desk) -> NewSession:
    """A session of a role."""
    return _assume(command, desk, mfa=False)


def assume_role_with_mfa(command: c.AssumeRoleWithMfa, desk: Desk) -> NewSession:
    """The same, after a one-time password; it counts for the trust policy, and not for the session (as in AWS)."""
    desk.entry.subject = command.role
    _show(command.serial, command.code, desk)
    return _assume(command, desk, mfa=True)


def get_session_token(command: c.GetSessionToken, desk: Desk) -> NewSession:
    """A session of the caller's own."""
    _may_have_its_own(desk)
    return _own(command, desk, mfa=0.0)


def get_session_token_with_mfa(command: c.GetSessionTokenWithMfa, desk: Desk) -> NewSession:
    """The same, after a one-time password, which the session remembers."""
    _may_have_its_own(desk)
    _show(command.serial, command.code, desk)
    return _own(command, desk, mfa=desk.now)


def assume_role_with_web_identity(command: c.AssumeRoleWithWebIdentity, desk: Desk) -> NewSession:
    """A session of a role for whom an identity provider vouches."""
    entry = desk.entry
    entry.subject = command.role
    # (1) Whose token it claims to be, and whether the role's account trusts that issuer.
    issuer = desk.tokens.issuer(command.token)
    name = provider_arn(command.role.split(":")[4], issuer)
    desk.refs.append(name)
    provider = desk.tx.provider(name)
    if provider is None:
        raise InvalidIdentityToken(
            f"No OpenIDConnect provider found in your account for {issuer[:MOST_ISSUER]}"
        )
    # (2) Whether it is.
    claims = desk.tokens.verify(provider, command.token)
    subject = str(claims["sub"])
    entry.principal, entry.account = provider.arn, provider.account
    entry.subject = f"{command.role} {subject[:MOST_SUBJECT]}"
    # (3) Whether the role lets this one in.
    role = _role(desk, command.role)
    if role is None:
        note(entry, Ruling(False, "none", "", ""))
        raise AccessDenied(_NOT_AUTHORIZED)
    source_identity = _claimed_source(claims)
    identity = _federated(desk, provider, role)
    at = Circumstances(
        caller=desk.caller,
        entry=entry,
        action=ASSUME,
        command=c.AssumeRole(role.arn, command.session_name, source_identity=source_identity),
        tags=lambda: role.tags,
        claims=_named(provider, claims),
        resource_account=role.account,
    )
    for action in (FEDERATE, *((SET_SOURCE,) if source_identity else ())):
        ruling = _ruling(identity, role, action, at)
        note(entry, ruling)
        if not ruling.allowed:
            raise AccessDenied(_NOT_AUTHORIZED)
    # (4) The session.
    opened = _open(
        desk,
        role,
        command.session_name,
        _seconds(command.seconds, role, chained=False),
        _limits(desk, role, command.policy, command.policies),
        provider=provider.arn,
        source_identity=source_identity,
    )
    entry.subject = f"{opened.arn} {subject[:MOST_SUBJECT]}"
    opened.subject, opened.provider = subject, provider.url
    audiences = claims["aud"] if isinstance(claims["aud"], tuple) else (claims["aud"],)
    opened.audience = next(each for each in provider.audiences if each in audiences)
    return opened


# --- roles -----------------------------------------------------------------------------------------------


def _assume(command: C, desk: Desk, *, mfa: bool) -> NewSession:
    caller = desk.identity
    desk.entry.subject = command.role
    # (1) Who is one that may assume roles, and what its session hands on.
    if _kind(caller) not in (USER, SERVICE_ACCOUNT, ROLE):
        raise AccessDenied("Roles may not be assumed by root accounts.")
    openers, opened_with = _openers(desk)
    command = _inherited(command, caller.session)
    # (2) Whether the role lets it, with these tags and this source identity.
    role = _role(desk, command.role)
    if role is None:
        note(desk.entry, Ruling(False, "none", "", ""))
        raise _refused(caller, ASSUME, command.role)
    at = (_WithMfa if mfa else Circumstances)(
        caller=msgspec.structs.replace(desk.caller, identity=caller),
        entry=desk.entry,
        action=ASSUME,
        command=command,
        tags=lambda: role.tags,
        resource_account=role.account,
    )
    for action, needed in ((ASSUME, True), (TAG, command.tags), (SET_SOURCE, command.source_identity)):
        if needed:
            ruling = _ruling(caller, role, action, at)
            note(desk.entry, ruling)
            if not ruling.allowed:
                raise _refused(caller, action, role.arn)
    # (3) The session.
    opened = _open(
        desk,
        role,
        command.session_name,
        _seconds(command.seconds, role, chained=bool(caller.session_of)),
        _limits(desk, role, command.policy, command.policies),
        tags=_spelled(command.tags, role),
        transitive=_spelled_names(command.transitive, role),
        source_identity=command.source_identity,
        openers=openers,
        opened_with=opened_with,
    )
    desk.entry.subject = opened.arn
    return opened


def _openers(desk: Desk) -> tuple[tuple[str, ...], str]:
    """By whom a session is opened that the caller opens now, and with which access key it all began."""
    caller, session = desk.identity, desk.identity.session
    if session is None:
        return (caller.principal,), desk.caller.access_key
    if not session.openers and not session.provider:  # it is from before sessions said so
        raise AccessDenied(_NO_OPENER)
    # A role that assumes itself again and again is there once: no chain is too long only because it goes on.
    openers = tuple(dict.fromkeys((*session.openers, session.principal)))
    if len(openers) > MOST_OPENERS:
        raise InvalidRequest(
            f"The chain of sessions would go through more than {MOST_OPENERS} users and roles: assume the role from a "
            "session that is nearer to its beginning."
        )
    return openers, session.opened_with


def _refused(caller: Identity, action: str, role: str) -> AccessDenied:
    """AWS's words, which are the same whatever was missing."""
    return AccessDenied(f"User: {caller.arn} is not authorized to perform: {action} on resource: {role}")


def _role(desk: Desk, arn: str) -> Principal | None:
    """The role of that ARN, if there is one that is enabled."""
    desk.refs.append(arn)
    found = desk.tx.principal(arn)
    return found if found is not None and found.kind == ROLE and found.enabled else None


def _kind(identity: Identity) -> str:
    return identity.principal.rpartition(":")[2].partition("/")[0]


def _ruling(identity: Identity, role: Principal, action: str, at: Circumstances) -> Ruling:
    """Whether somebody may do ``action`` to a role."""
    trust = _trust(role.trust, role.arn) if role.trust else Document(name=role.arn)
    return decide(asked_by(identity, action, role.arn, lambda: at, trust, role.account))


class _WithMfa(Circumstances):
    """The circumstances of a request that came with a one-time password."""

    __slots__ = ()

    @override
    def get(self, name: str, /) -> Value | None:
        return _SHOWN.get(name) or super().get(name)


_SHOWN: Final[Mapping[str, str]] = {"aws:multifactorauthage": "0", "aws:multifactorauthpresent": "true"}


def _seconds(asked: int | None, role: Principal, *, chained: bool) -> int:
    """How long a session lasts. One that a session of another role has opened lasts an hour at most."""
    if asked is None:
        return min(HOUR, role.session_seconds)
    if asked > role.session_seconds:
        raise InvalidRequest(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    if chained and asked > HOUR:
        raise InvalidRequest(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    return asked


class _Limits(NamedTuple):
    """What a session may do at most, beside what its role may."""

    policies: tuple[str, ...]
    attached: tuple[str, ...]


def _limits(desk: Desk, role: Principal, policy: str, names: Iterable[str]) -> _Limits:
    """The session's own policies, once they are found to be some."""
    if policy:
        check_denials(parse_identity_policy(policy))
    attached = tuple(dict.fromkeys(names))
    if len(attached) > MOST_POLICIES:
        raise InvalidRequest(f"PolicyArns has more than {MOST_POLICIES} policies.")
    for arn in attached:
        if arn in builtin.BUILT_IN:
            continue
        name = arn.partition(":policy/")[2]
        desk.refs.append(declaration_ref(role.account, Kind.POLICY, name))
        found = desk.tx.declaration(role.account, Kind.POLICY, name)
        if found is None or arn != policy_arn(role.account, name):
            raise MalformedPolicy(f"The account of the role has no policy {arn}.")
    return _Limits((policy,) if policy else (), attached)


# --- tags and the source identity ------------------------------------------------------------------------


def _inherited(command: C, session: Session | None) -> C:
    """The command with what the caller's session hands on to the next one of the chain."""
    handed: tuple[tuple[str, str], ...] = ()
    source = command.source_identity
    if source.startswith(RESERVED):
        raise InvalidRequest(f"SourceIdentity must not begin with {RESERVED}")
    if session is not None:
        handed = tuple((name, value) for name, value in session.tags if name in session.transitive)
        if source and session.source_identity and source != session.source_identity:
            raise InvalidRequest("The source identity of the calling session cannot be changed.")
        source = source or session.source_identity
    # Names are the same in upper and lower case (AWS STS, "Tags").
    given = [name.lower() for name, _ in command.tags]
    if len(set(given)) != len(given):
        raise InvalidRequest("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(name.startswith(RESERVED) for name in given):
        raise InvalidRequest(f"Tag keys must not begin with {RESERVED}, which is reserved.")
    if not {name.lower() for name, _ in handed}.isdisjoint(given):
        raise InvalidRequest(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key "
            "from the calling session."
        )
    tags = (*handed, *command.tags)
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(
            f"A session has at most {MOST_TAGS} tags, those of the calling session included."
        )
    names = {name for name, _ in tags}
    if not names.issuperset(command.transitive):
        raise InvalidRequest("The specified transitive tag key must be included in the requested tags.")
    transitive = tuple(dict.fromkeys((*(name for name, _ in handed), *command.transitive)))
    return msgspec.structs.replace(command, tags=tags, transitive=transitive, source_identity=source)


def _spelled(tags: c.Pairs, role: Principal) -> c.Pairs:
    """Session tags under the names that the role's own have, where they differ only in case, to take their place."""
    spelling = {name.lower(): name for name, _ in role.tags}
    return tuple((spelling.get(name.lower(), name), value) for name, value in tags)


def _spelled_names(names: tuple[str, ...], role: Principal) -> tuple[str, ...]:
    return tuple(name for name, _ in _spelled(tuple((name, "") for name in names), role))


# --- identity providers ----------------------------------------------------------------------------------


def _federated(desk: Desk, provider: Provider, role: Principal) -> Identity:
    """The provider as one who asks: it has no policy of its own, but the account's guardrails hold for it."""
    own = identify(desk.tx, role)
    desk.refs += own.refs
    return Identity(provider.arn, role.account, Document(), guardrails=own.guardrails)


def _named(provider: Provider, claims: Mapping[str, Value]) -> dict[str, Value]:
    """The claims by the names that conditions ask for them, which are the same in upper and lower case."""
    issuer = issuer_name(provider.url)
    named = {f"{issuer}:{claim}".lower(): value for claim, value in claims.items()}
    if len(named) != len(claims):
        raise InvalidIdentityToken("The token has two claims whose names differ only in case.")
    return named


def _claimed_source(claims: Mapping[str, Value]) -> str:
    """The source identity that the issuer has put into the token, if it has."""
    claimed = claims.get(SOURCE_CLAIM)
    if claimed is None:
        return ""
    if not isinstance(claimed, str) or _SOURCE.fullmatch(claimed) is None or claimed.startswith(RESERVED):
        raise InvalidIdentityToken(f"The token's claim {SOURCE_CLAIM} is not a source identity.")
    return claimed


_SOURCE: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)  # AWS STS, "SourceIdentity"


# --- sessions of one's own -------------------------------------------------------------------------------


def _may_have_its_own(desk: Desk) -> None:
    """Refuse unless the caller has long-term credentials. It needs no leave, but may be denied."""
    caller = desk.identity
    desk.entry.subject = caller.arn
    if caller.session is not None or _kind(caller) not in (USER, SERVICE_ACCOUNT):
        raise AccessDenied("Cannot call GetSessionToken with session credentials")
    at = Circumstances(caller=desk.caller, entry=desk.entry, action="sts:GetSessionToken")
    ruling = decide(asked_by(caller, "sts:GetSessionToken", "*", lambda: at))
    if not ruling.allowed and ruling.matched:
        note(desk.entry, ruling)
        raise denied(desk.caller, "sts:GetSessionToken", "*", ruling.reason)


def _own(command: c.GetSessionToken, desk: Desk, *, mfa: float) -> NewSession:
    caller = desk.identity
    session = Session(
        access_key=_access_key_id(desk),
        arn=caller.arn,
        principal=caller.arn,
        user_id=caller.user_id,
        issued=desk.now,
        epoch=desk.entry.epoch,
        expires=_end(desk, OWN_SECONDS if command.seconds is None else command.seconds),
        mfa=mfa,
        openers=(caller.arn,),
        opened_with=desk.caller.access_key,
    )
    return NewSession(_credentials(desk, session), arn=session.arn)


def _show(serial: str, code: str, desk: Desk) -> None:
    """Take a one-time password of the caller's, which is used up by it; raises `AccessDenied`."""
    arn = desk.identity.principal
    principal = desk.tx.principal(arn)
    if not serial or not code:
        raise AccessDenied(_BOTH)
    if principal is None or not principal.mfa or serial != serial_of(principal):
        raise AccessDenied(_NO_DEVICE)
    if desk.guesses.too_many(arn, desk.now):
        raise AccessDenied(_TOO_MANY)
    secret = desk.custodian.reveal(principal.account, principal.mfa, mfa_binding(arn))
    step = step_of(secret, code, desk.now)
    if step is None or step <= principal.mfa_step:
        desk.guesses.wrong(arn, desk.now)
        raise AccessDenied(_WRONG_CODE)
    desk.guesses.right(arn)
    desk.tx.put_principal(replace(principal, mfa_step=step))


def serial_of(principal: Principal) -> str:
    """What requests call the device that shows a principal's one-time passwords."""
    return f"arn:aws:iam::{principal.account}:mfa/{principal.name}"


# --- tokens ----------------------------------------------------------------------------------------------


def _open(
    desk: Desk,
    role: Principal,
    name: str,
    seconds: int,
    limits: _Limits,
    *,
    tags: c.Pairs = (),
    transitive: tuple[str, ...] = (),
    source_identity: str = "",
    provider: str = "",
    openers: tuple[str, ...] = (),
    opened_with: str = "",
) -> NewSession:
    """A new session of a role, with its credentials."""
    session = Session(
        access_key=_access_key_id(desk),
        arn=session_arn(role.account, role.name, name),
        principal=role.arn,
        user_id=f"{unique_id(role)}:{name}",
        issued=desk.now,
        epoch=desk.entry.epoch,
        expires=_end(desk, seconds),
        policies=limits.policies,
        attached=limits.attached,
        tags=tags,
        transitive=transitive,
        source_identity=source_identity,
        provider=provider,
        openers=openers,
        opened_with=opened_with,
    )
    credentials = _credentials(desk, session)
    carries = bool(tags or limits.policies or limits.attached)
    return NewSession(
        credentials,
        role_id=session.user_id,
        arn=session.arn,
        packed=-(-100 * len(credentials.token) // MAX_CHARACTERS) if carries else None,
        source_identity=source_identity,
    )


def _access_key_id(desk: Desk) -> str:
    """In AWS's form: ASIA and 16 characters."""
    return "ASIA" + b32encode(desk.random(10)).decode()


def _end(desk: Desk, seconds: int) -> float:
    """When a session that lasts so long is over: a whole second, as the answer says it."""
    return float(int(desk.now) + seconds)


def _credentials(desk: Desk, session: Session) -> Credentials:
    # To open a session changes nothing, but a dry run that gives credentials out is none.
    if desk.entry.dry_run:
        raise DryRun(WOULD_SUCCEED)
    secret = b64encode(desk.random(30)).decode()
    token = desk.session_tokens().make(session, secret.encode(), desk.random)
    return Credentials(session.access_key, secret, token, session.expires)


ACTIONS: Final[Mapping[type[Command], Action]] = {
    c.GetCallerIdentity: Action("sts:GetCallerIdentity", Mode.HOT, get_caller_identity),
    c.AssumeRole: Action(ASSUME, Mode.READ, assume_role),
    c.AssumeRoleWithMfa: Action(ASSUME, Mode.WRITE, assume_role_with_mfa),
    c.AssumeRoleWithWebIdentity: Action(FEDERATE, Mode.SLOW, assume_role_with_web_identity),
    c.GetSessionToken: Action("sts:GetSessionToken", Mode.READ, get_session_token),
    c.GetSessionTokenWithMfa: Action("sts:GetSessionToken", Mode.WRITE, get_session_token_with_mfa),
}
"""A row for each command; `keystead.service.actions` takes them in."""
