"""The desk: one store transaction for one request, with the checks an action must make.

An action of mode READ or WRITE gets a desk instead of open keys. `Desk.key` finds the key that the caller
named, decides by policy and checks the state, in that order (AWS KMS checks permission first), on records
read inside the same transaction: what it allows cannot have been revoked before the commit.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from keystead.core.errors import AccessDenied, MalformedPolicy, NotFound, UnknownCredentials
from keystead.core.grant import Grant, permitting
from keystead.core.key import (
    Alias,
    Event,
    Key,
    Rotation,
    State,
    Version,
    key_arn,
    key_ref,
    version_binding,
)
from keystead.core.ledger import AccountLogs, Retention
from keystead.core.names import KeyReference
from keystead.core.policy import (
    Document,
    Matched,
    Question,
    Ruling,
    decide,
    parse_identity_policy,
    parse_key_policy,
)
from keystead.core.ports import (
    Custodian,
    ExternalKeys,
    IdentityTokens,
    Journal,
    Material,
    Random,
    Records,
    Transaction,
    Usage,
)
from keystead.core.principal import root_arn
from keystead.core.subject import Subject, lookup
from keystead.service import granttoken, linking, marker, members
from keystead.service.accounts import CROSS_ACCOUNT, open_account
from keystead.service.caller import ANONYMOUS, Caller, Identity
from keystead.service.circumstances import Circumstances
from keystead.service.commands import Command
from keystead.service.entry import Entry
from keystead.service.guesses import Guesses
from keystead.service.identities import identify, lives
from keystead.service.quotas import Quotas
from keystead.service.results.kms import KeyDescription
from keystead.service.sessiontoken import SessionTokens
from keystead.service.workingset import GRANTS_OF_ONE_GRANTEE

T = TypeVar("T")

MISSING_CHARACTERS: Final = 1000  # of what a denial lacked, in its entry

ALL_OF_A_KEY: Final = 10_000  # tags or aliases: more than the quotas let anybody make

LOCKED_OUT: Final = "The new key policy will not allow you to update the key policy in the future."

_ANYTHING: Final = parse_identity_policy('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')


class Desk:
    """See the module. One per request, on one thread."""

    def __init__(
        self,
        *,
        caller: Caller,
        tx: Transaction,
        entry: Entry,
        now: float,
        custodian: Custodian,
        external: ExternalKeys,
        random: Random,
        quotas: Quotas,
        usage: Usage,
        tokens: IdentityTokens,
        journal: Journal,
        records: Records,
        account_logs: AccountLogs,
        retention: Retention,
        redactable: frozenset[str],
        guesses: Guesses,
        marker_key: bytes,
        regions: tuple[str, ...] = (),
        peers: tuple[linking.Peer, ...] = (),
        prepared: object = None,
        command: Command | None = None,
    ) -> None:
        self.caller = caller
        self.tx = tx
        self.entry = entry
        self.now = now
        self.custodian = custodian
        self.external = external
        self.random = random
        self.quotas = quotas
        self.usage = usage
        self.tokens = tokens  # of identity providers
        self.journal = journal
        self.records = records
        self.account_logs = account_logs
        self.retention = retention
        self.redactable = redactable  # members of entries that hold commitments
        self.guesses = guesses  # at one-time passwords
        self.regions = regions  # that are served here; none: any
        self.peers = peers  # linked servers
        self.prepared = prepared  # what the action's first part returned
        self.refs: list[str] = [caller.access_key, *caller.identity.refs]
        self._command = command
        self._marker_key = marker_key
        self.identity = self._current_identity()
        if self.identity is not caller.identity:  # it may rest on more than it did: a group, a policy
            self.refs += self.identity.refs
        open_account(custodian, tx, self.account)

    @property
    def account(self) -> str:
        """The caller's account."""
        return self.caller.identity.account

    @property
    def region(self) -> str:
        """The region the caller addresses."""
        return self.caller.region

    def peer_in(self, region: str) -> linking.Peer | None:
        """The linked server that serves a Region."""
        return next((peer for peer in self.peers if region in peer.regions), None)

    def allow(self, action: str, resource: str = "*", new: Key | None = None) -> None:
        """Decide an action that involves no key, or one that is ``new`` and has no say yet; or raise `AccessDenied`."""
        ruling = decide(self._question(action, resource, None, "", new))
        note(self.entry, ruling)
        if not ruling.allowed:
            raise denied(self.caller, action, resource, ruling.reason)

    def key(
        self,
        reference: KeyReference,
        event: Event,
        action: str,
        *,
        by_alias: bool = False,
        by_key_policy: bool = True,
        tokens: Sequence[str] = (),
        suits: Callable[[Grant], bool] | None = None,
    ) -> Key:
        """The key the caller named, once it may do ``action`` and the key's state allows ``event``.

        ``by_alias`` says whether the operation takes alias names (only some do, AWS KMS "KeyId").
        ``by_key_policy=False`` leaves the decision to the caller's identity policy alone. Only the jobs'
        actions use it: they carry out what the key's own policy allowed when it was asked for.
        ``suits`` says which of the caller's grants may stand in for a policy; all may unless it is given.
        """
        for token in tokens:
            self.grant_named(token)
        key = self._find(reference, action, by_alias=by_alias)
        return self._permit(key, reference, event, action, by_key_policy=by_key_policy, suits=suits)

    def retirable(self, reference: KeyReference, grant_id: str) -> Grant:
        """The grant, once the caller may retire it; the key's state does not matter.

        Who may is said by the grant itself, unless a policy denies it, and beside that by the policies. Another
        grant of the caller's has no say: RetireGrant in a grant means that grant.
        """
        action = "kms:RetireGrant"
        key = self._find(reference, action, by_alias=False)
        grant = self.tx.grant(key.region, key.id, grant_id)
        ruling = decide(self._about(key, reference, action, parse_key_policy(key.policy), grant))
        if ruling.source == "none" and grant is not None and self._may_end(grant, key):
            ruling = _granted(grant)
        if grant is None and (ruling.allowed or key.account == self.account):
            raise NotFound(f"Grant ID {grant_id} not found")
        note(self.entry, ruling)
        if grant is None or not ruling.allowed:
            raise refused_key(self.caller, action, reference, key.arn, ruling)
        return grant

    def member(self, key: Key, region: str, event: Event, action: str) -> Key:
        """Another member of a multi-Region key, once the caller may do ``action`` with it as well."""
        reference = KeyReference(key.id, account=key.account, region=region)
        found = self.tx.key(region, key.id)
        if found is None or region not in key.members:
            raise unknown_key(self.caller, action, key.account, key_arn(region, key.account, key.id))
        return self._permit(found, reference, event, action, by_key_policy=True)

    def save(self, key: Key) -> Key:
        """Store the new form of a key; what the members of a multi-Region key share follows its primary."""
        self.tx.put_key(key)
        if key.primary:
            members.follow(self.tx, key)
        return key

    def new_version(self, key: Key, rotation: Rotation, material: Material | None = None) -> Version:
        """Fresh material for a key, or the given one, stored as its next version (the first for a new key)."""
        number = 1 if rotation is Rotation.FIRST else key.current_version + 1
        if material is None:
            material = self.custodian.generate(key.account, version_binding(key.id, number), key.spec)
        rotates = rotation in (Rotation.AUTOMATIC, Rotation.ON_DEMAND)
        at_once = rotates and not linking.shadows(self.tx, key)
        version = Version(
            region=key.region,
            key_id=key.id,
            number=number,
            handle=material.handle,
            material_id=material.id,
            created=self.now,
            rotation=rotation,
            rotated=self.now if at_once else None,
            public_key=b64encode(material.public_key).decode(),
        )
        self.tx.add_version(version)
        members.share(self.tx, self.custodian, key, version)
        self.entry.version = number
        return version

    def rotate(self, key: Key, rotation: Rotation) -> Key:
        """The key on fresh material; every older version stays for decryption.

        With members on linked servers the material is current only when all of them have it.
        """
        version = self.new_version(key, rotation)
        number = version.number if version.rotated is not None else key.current_version
        return self.save(replace(key, current_version=number))

    def destroy(self, account: str, handle: str) -> None:
        """Erase material, unless this is a dry run: what a custodian has erased comes back with no transaction."""
        if not self.entry.dry_run:
            self.custodian.destroy(account, handle)

    def describe(self, key: Key) -> KeyDescription:
        """A key with what stands elsewhere."""
        material = self.tx.version(key.region, key.id, key.current_version)
        if not key.key_store:
            return KeyDescription(key, material)
        self.refs.append(key.key_store)
        return KeyDescription(key, material, self.tx.key_store(key.key_store))

    def subject(self, member: str, value: str) -> Subject | None:
        """The subject of the audit that is that value of a member of entries."""
        return self.tx.subject(lookup(self._marker_key, member, value))

    def session_tokens(self) -> SessionTokens:
        """What makes the tokens of sessions."""
        return SessionTokens(self._marker_key)

    def grant_named(self, token: str) -> granttoken.Named:
        """The grant that a token names; raises `InvalidGrantToken`."""
        return granttoken.read(self._marker_key, token)

    def grant_token(self, grant: Grant) -> str:
        """A new token for a grant."""
        named = granttoken.Named(grant.region, grant.key_id, grant.id)
        return granttoken.make(self._marker_key, named, self.random(granttoken.NONCE_BYTES))

    def alias_of(self, name: str) -> Alias | None:
        """The alias of that name in the caller's account and region."""
        self.refs.append(self.alias_arn(name))
        return self.tx.alias(self.account, self.region, name)

    def alias_arn(self, name: str) -> str:
        """The ARN of an alias of the caller's account and region."""
        return f"arn:aws:kms:{self.region}:{self.account}:{name}"

    def page(
        self,
        place: str,
        marker_text: str,
        limit: int,
        fetch: Callable[[str, int], Sequence[T]],
        name: Callable[[T], str],
    ) -> tuple[list[T], str]:
        """One page of a list and the marker of the next (empty on the last).

        ``fetch(after, count)`` returns that many items after the one named ``after``.
        """
        place = f"{place} {self.account} {self.region}"
        after = marker.read(self._marker_key, place, marker_text)
        items = list(fetch(after, limit + 1))
        if len(items) <= limit:
            return items, ""
        return items[:limit], marker.make(self._marker_key, place, name(items[limit - 1]))

    def make_marker(self, place: str, last: str) -> str:
        """The marker that goes on after ``last`` in a list that is not the store's."""
        return marker.make(self._marker_key, f"{place} {self.account} {self.region}", last)

    def read_marker(self, place: str, text: str) -> str:
        """What such a marker goes on after; empty for an empty one."""
        return marker.read(self._marker_key, f"{place} {self.account} {self.region}", text)

    def vouch(self, command: Command) -> "Desk":
        """This desk for a command that is part of another one, which the caller was found to be allowed to ask.

        The part need not be allowed to the caller by itself. What is denied stays denied: by guardrails, by the
        caller's own policies, its boundary, what limits its session, and the key's policy.
        """
        part, identity = copy(self), copy(self.identity)
        identity.policy, identity.more = _ANYTHING, (self.identity.policy, *self.identity.more)
        part.identity = identity
        part._command = command  # noqa: SLF001 - the copy is a desk like this one
        return part

    def sees(self, key: Key, *actions: str) -> bool:
        """Whether the caller may do all of ``actions``, which only look, to a key; nothing is noted of it."""
        self.refs.append(key.ref)
        policy, reference = parse_key_policy(key.policy), KeyReference(key.id)
        for action in actions:
            ruling = decide(self._about(key, reference, action, policy))
            if ruling.source == "none":  # neither allowed nor denied: a grant may allow it
                ruling = self._by_grant(key, reference, action, None) or ruling
            if not ruling.allowed:
                return False
        return True

    def refuse_lockout(self, policy: Document, arn: str) -> None:
        """Refuse a key policy under which the caller could never put another, with the statement to add.

        What the caller's own identity policies say does not count: they can be changed without the key's policy
        (AWS KMS, "Default key policy").
        """
        action = "kms:PutKeyPolicy"
        question = replace(
            self._question(action, arn, policy, self.account),
            identity_policy=_ANYTHING,
            more_identity_policies=(),
        )
        ruling = decide(question)
        if not ruling.allowed:
            raise MalformedPolicy(
                f"{LOCKED_OUT} {_way_in(ruling, self.identity)} If it is meant so, set "
                "BypassPolicyLockoutSafetyCheck."
            )

    def _current_identity(self) -> Identity:
        """The caller's identity as this transaction sees it.

        The signature was checked against what this process knew then. What was revoked meanwhile, elsewhere,
        is seen here at the latest, so that nobody changes anything with an access key that is gone.
        """
        caller = self.caller
        identity, session = caller.identity, caller.identity.session
        if caller.auth == ANONYMOUS:
            return identity
        principal = self.tx.principal(identity.principal)
        proven = True
        if session is not None:
            proven = lives(self.tx, session, self.now)
        elif caller.access_key:  # the jobs have none
            access_key = self.tx.access_key(caller.access_key)
            proven = access_key is not None and access_key.enabled and access_key.principal == identity.arn
        if principal is None or not principal.enabled or not proven:
            raise UnknownCredentials("The security token included in the request is invalid.")
        return identify(self.tx, principal, session)

    def _permit(
        self,
        key: Key,
        reference: KeyReference,
        event: Event,
        action: str,
        *,
        by_key_policy: bool,
        suits: Callable[[Grant], bool] | None = None,
    ) -> Key:
        policy = parse_key_policy(key.policy) if by_key_policy else None
        ruling = decide(self._about(key, reference, action, policy))
        if ruling.source == "none":  # neither allowed nor denied: a grant may allow it
            ruling = self._by_grant(key, reference, action, suits) or ruling
        note(self.entry, ruling)
        if not ruling.allowed:
            raise refused_key(self.caller, action, reference, key.arn, ruling)
        key.after(event)
        return key

    def _by_grant(
        self, key: Key, reference: KeyReference, action: str, suits: Callable[[Grant], bool] | None
    ) -> Ruling | None:
        """What a grant allows the caller, or its account and that the caller."""
        account = root_arn(self.account)
        for grantee in dict.fromkeys((*self._names, account)):
            grants = filter(suits, self.tx.grants(key.region, key.id, grantee, "", GRANTS_OF_ONE_GRANTEE))
            ruling = by_grant(grants, action, None)
            if ruling is not None and (grantee != account or self._by_account(key, reference, action)):
                return ruling
        return None

    def _may_end(self, grant: Grant, key: Key) -> bool:
        """Whether the grant lets the caller retire it: whom it names, or the account that it was issued in."""
        enders = {grant.retiring, grant.grantee if grant.permits("RetireGrant", None) else ""}
        if not enders.isdisjoint(self._names):
            return True
        account = root_arn(self.account)
        return account in (enders | {grant.issuer}) and self._by_account(
            key, KeyReference(key.id), "kms:RetireGrant", grant
        )

    @property
    def _names(self) -> tuple[str, str]:
        """What a grant may call the caller: a session, and its role."""
        return self.identity.arn, self.identity.principal

    def _by_account(self, key: Key, reference: KeyReference, action: str, grant: Grant | None = None) -> bool:
        """Whether the caller's account, which may do ``action`` to the key, lets the caller do it."""
        return decide(self._about(key, reference, action, None, grant)).allowed

    def _about(
        self,
        key: Key,
        reference: KeyReference,
        action: str,
        policy: Document | None,
        grant: Grant | None = None,
    ) -> Question:
        """The question whether the caller may do ``action`` to a key, with all that conditions ask of it.

        ``grant`` is the one that is to be retired, if that is what is asked.
        """
        question = self._question(action, key.arn, policy, key.account)
        question.context = lambda: Circumstances(
            caller=self.caller,
            entry=self.entry,
            action=action,
            command=self._command,
            key=key,
            alias=reference.name if reference.is_alias else "",
            grant=grant,
            tags=lambda: self.tx.tags(key.region, key.id, "", ALL_OF_A_KEY),
            aliases=lambda: [
                alias.name for alias in self.tx.aliases(key.account, key.region, key.id, "", ALL_OF_A_KEY)
            ],
        )
        return question

    def _find(self, reference: KeyReference, action: str, *, by_alias: bool) -> Key:
        account, region = reference.account or self.account, reference.region or self.region
        if region != self.region:
            raise NotFound(f"Invalid arn {region}")
        key_id = reference.name
        if account != self.account and action not in CROSS_ACCOUNT:
            arn = self.entry.key = key_arn(region, account, key_id)
            raise unknown_key(self.caller, action, account, arn)
        if reference.is_alias:
            if not by_alias:
                raise NotFound(f"Invalid keyId '{reference.name}'")
            alias = self.tx.alias(account, region, reference.name)
            arn = self.entry.subject = f"arn:aws:kms:{region}:{account}:{reference.name}"
            self.refs.append(arn)
            if alias is None:
                raise unknown_key(self.caller, action, account, arn)
            key_id = alias.key_id
        self.refs.append(key_ref(region, key_id))
        arn = self.entry.key = key_arn(region, account, key_id)
        key = self.tx.key(region, key_id)
        if key is None or key.account != account or key.state is State.DESTROYED:
            raise unknown_key(self.caller, action, account, arn)
        open_account(self.custodian, self.tx, account)
        return key

    def _question(
        self, action: str, resource: str, policy: Document | None, key_account: str, new: Key | None = None
    ) -> Question:
        context = partial(
            Circumstances,
            caller=self.caller,
            entry=self.entry,
            action=action,
            command=self._command,
            key=new,
        )
        return asked_by(self.identity, action, resource, context, policy, key_account)


def asked_by(
    identity: Identity,
    action: str,
    resource: str,
    context: Callable[[], Circumstances],
    key_policy: Document | None = None,
    key_account: str = "",
) -> Question:
    """The question whether somebody may do ``action``."""
    return Question(
        principal=identity.arn,
        account=identity.account,
        session_of=identity.session_of,
        identity_policy=identity.policy,
        more_identity_policies=identity.more,
        boundary=identity.boundary,
        session_policies=identity.session_policies,
        guardrails=identity.guardrails,
        action=action,
        resource=resource,
        key_policy=key_policy,
        key_account=key_account,
        context=context,
    )


def _way_in(ruling: Ruling, identity: Identity) -> str:
    """What to change in a key policy that would lock somebody out, or what else is in the way."""
    if ruling.source == "key-policy":
        return (
            f"Statement {ruling.statement} denies it to you: name others there, or add a condition that spares "
            f"{identity.principal}."
        )
    if ruling.source != "none":
        return f"Your {ruling.source.replace('-', ' ')} does not allow it: ask with other credentials."
    statement = {
        "Sid": "KeepAdministration",
        "Effect": "Allow",
        "Principal": {"AWS": identity.principal},
        "Action": ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy"],
        "Resource": "*",
    }
    return f"Add this statement: {json.dumps(statement)}."


def note(entry: Entry, ruling: Ruling) -> None:
    """Write into the entry how it was decided."""
    entry.decision = "Allow" if ruling.allowed else "Deny"
    entry.decided_by = ruling.source
    entry.statement = ruling.statement
    entry.matched += ruling.told
    if not ruling.allowed and (missing := ruling.missing) is not None:
        entry.missing = missing.brief[:MISSING_CHARACTERS]


def by_grant(grants: Iterable[Grant], action: str, context: Mapping[str, str] | None) -> Ruling | None:
    """The ruling of the first of the caller's grants on a key that permits it, if any does."""
    grant = permitting(grants, action, context)
    if grant is None:
        return None
    return _granted(grant)


def _granted(grant: Grant) -> Ruling:
    return Ruling(True, "grant", grant.id, "", (Matched("grant", "", grant.id),))


def denied(caller: Caller, action: str, resource: str, reason: str) -> AccessDenied:
    """The refusal, in AWS's words, which say which kind of policy was missing or denied."""
    return AccessDenied(
        f"User: {caller.identity.arn} is not authorized to perform: {action} on resource: {resource} {reason}"
    )


def refused_key(
    caller: Caller, action: str, reference: KeyReference, arn: str, ruling: Ruling
) -> AccessDenied:
    """The refusal of a key that exists: with the reason, unless it is another account's."""
    account = reference.account or caller.identity.account
    if account == caller.identity.account:
        return denied(caller, action, arn, ruling.reason)
    if reference.is_alias:  # which key it leads to is not for a stranger to know
        arn = f"arn:aws:kms:{caller.region}:{account}:{reference.name}"
    return denied(caller, action, arn, _STRANGERS_REASON)


def unknown_key(caller: Caller, action: str, account: str, arn: str) -> NotFound | AccessDenied:
    """What is said of a key or alias that is not there.

    A stranger must not learn which keys another account has: to them, unknown looks like forbidden.
    """
    if account != caller.identity.account:
        return denied(caller, action, arn, _STRANGERS_REASON)
    if ":key/" in arn:
        return NotFound(f"Key '{arn}' does not exist")
    return NotFound(f"Alias {arn} is not found.")


# AWS's words for a foreign key, which leave open what of it is true.
_STRANGERS_REASON: Final = (
    "because the resource does not exist in this Region, no resource-based policies allow access, or a "
    "resource-based policy explicitly denies access"
)
