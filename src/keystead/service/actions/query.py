"""Asking the audit: who did what, and what somebody can reach.

An account sees what its own principals did and what others did with its keys, as with `ExplainDecision`; of both only
what its own policies had to say. The installation's first account may ask about everything. That somebody asked, and
what, is itself in the audit.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace as altered
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace

from keystead.core.errors import InvalidMarker, InvalidRequest, NotFound
from keystead.core.grant import Grant
from keystead.core.key import Key, key_arn
from keystead.core.names import KeyReference
from keystead.core.policy import decide, parse_key_policy
from keystead.core.policy.decision import Ruling
from keystead.core.principal import Principal, root_arn
from keystead.core.query import DIMENSIONS, MOST_ROWS, Count, Place, Question
from keystead.core.subject import SOURCE
from keystead.service.action import Action, Mode
from keystead.service.actions.guardrails import check_first_account
from keystead.service.caller import Identity
from keystead.service.circumstances import Circumstances
from keystead.service.commands import Command
from keystead.service.commands import query as c
from keystead.service.concerns import hide
from keystead.service.desk import Desk, asked_by
from keystead.service.entry import Entry
from keystead.service.identities import identify
from keystead.service.results.query import Event, Events, Openable, Reach
from keystead.service.subjects import MOST_LOOKED_AT, committed, disclose, listed, show
from keystead.service.workingset import GRANTS_OF_ONE_GRANTEE

SECONDS: Final = 10.0  # that a question may take
SUBJECT_CHARACTERS: Final = 500
MOST_SOURCES: Final = 5_000  # that are committed to, of one network
MOST_KEYS: Final = 10_000  # that are looked at for what somebody could open
_PAGE: Final = 500
_LIST: Final = "audit"

OPENING: Final = ("kms:Decrypt", "kms:ReEncryptFrom", "kms:Decapsulate", "kms:DeriveSharedSecret")
"""The actions that give out what a key protects; each by the actions of its entries."""

_ENTRIES: Final = ("kms:Decrypt", "kms:ReEncrypt", "kms:Decapsulate", "kms:DeriveSharedSecret")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TOLD: Final = (
    *("principal", "version", "context", "action", "outcome", "decision", "source", "account", "access_key"),
    *("request", "trace", "since", "until", "uses", "everything", "by"),
)


def query_audit(command: c.QueryAudit, desk: Desk) -> Events:
    """The entries that concern the caller's account and are asked about, or how many there are."""
    desk.entry.subject = _text(command, desk)
    desk.allow("keystead:QueryAudit")
    if command.everything:
        check_first_account(desk)
    question = _question(command, desk)
    committed_to, missing = _commitments(command.source, desk)
    after = _after(desk.read_marker(_LIST, command.marker))
    answered = desk.records.ask(altered(question, after=after, sources=committed_to), SECONDS)
    entries = [msgspec.convert(row.entry, Entry) for row in answered.rows]
    disclosed = disclose(desk.tx, (each for entry in entries for each in committed(entry)))
    events = []
    for row, entry in zip(answered.rows, entries, strict=True):
        if not command.everything:
            hide(entry, desk.account)
        if not command.as_written:
            show(entry, disclosed)
        events.append(Event(f"{answered.origin}/{row.log}/{row.index}", entry))
    after = answered.after
    return Events(
        question.by,
        events,
        list(answered.counts),
        "" if after is None else desk.make_marker(_LIST, f"{after.time} {after.log} {after.index}"),
        answered.more,
        "; ".join(filter(None, [answered.missing, missing])),
        disclosed,
    )


def audit_reach(command: c.AuditReach, desk: Desk) -> Reach:
    """What a principal of the caller's account has opened, with which versions of which keys, and what it could.

    What it did is what the audit says. What it could is decided anew for every key of the account in the Region that
    the caller addresses, by what policies and grants say now, without an encryption context; where a condition alone
    stands in the way, the condition is told.
    """
    desk.entry.subject = command.principal[:SUBJECT_CHARACTERS]
    desk.allow("keystead:QueryAudit")
    _check_times(command.since, command.until)
    principal = desk.tx.principal(command.principal)
    if principal is None or principal.account != desk.account:
        raise NotFound(f"There is no principal {command.principal} in this account.")
    did: list[Count] = []
    more, missing = False, ""
    for action in _ENTRIES:
        answered = desk.records.ask(
            Question(
                concerning=desk.account,
                principal=principal.arn,
                action=action,
                uses=True,
                since=command.since,
                until=command.until,
                by=("key", "version", "action"),
                limit=command.limit,
            ),
            SECONDS,
        )
        did += answered.counts
        more, missing = more or answered.more, answered.missing
    keys = 0
    could: list[Openable] = []
    identity = identify(desk.tx, principal)
    for key in _keys(desk) if principal.enabled else ():
        keys += 1
        if keys > MOST_KEYS:
            missing = "; ".join(filter(None, [missing, f"only {MOST_KEYS:,} keys were looked at"]))
            break
        could += _openable(desk, principal, identity, key)
    return Reach(did, could, more, min(keys, MOST_KEYS), missing)


def _question(command: c.QueryAudit, desk: Desk) -> Question:
    """The question, parsed, and bounded to what the caller may see."""
    if not 1 <= command.limit <= MOST_ROWS:
        raise InvalidRequest(f"The limit is from 1 to {MOST_ROWS}.")
    _check_times(command.since, command.until)
    if command.context and _DIGEST.fullmatch(command.context) is None:
        raise InvalidRequest("The context is asked for by its SHA-256, as 64 hexadecimal digits.")
    if command.source:
        try:
            ipaddress.ip_network(command.source, strict=False)
        except ValueError:
            raise InvalidRequest("The source is an address, or a network such as 10.0.0.0/8.") from None
    unknown = sorted(set(command.by) - set(DIMENSIONS))
    if unknown:
        raise InvalidRequest(f"Entries are counted by {', '.join(DIMENSIONS)}, and not by {unknown[0]}.")
    if command.version and command.key is None:
        raise InvalidRequest("A version is a key's: name the key.")
    return Question(
        concerning="" if command.everything else desk.account,
        since=command.since,
        until=command.until,
        principal=command.principal,
        access_key=command.access_key,
        account=command.account,
        key="" if command.key is None else _key(command.key, desk),
        version=command.version,
        context=command.context,
        action=command.action,
        outcome=command.outcome,
        decision=command.decision,
        source=command.source,
        request=command.request,
        trace=command.trace,
        uses=command.uses,
        by=tuple(dict.fromkeys(command.by)),
        oldest_first=command.oldest_first,
        limit=command.limit,
    )


def _check_times(since: int, until: int) -> None:
    """Refuse a time in which nothing can be: to find nothing there would say that there was nothing."""
    if until and until <= since:
        raise InvalidRequest("The time that is asked about ends before it begins: until must be after since.")


def _key(reference: KeyReference, desk: Desk) -> str:
    """The ARN of a key, which need not be there any more: the audit outlives it."""
    account, region = reference.account or desk.account, reference.region or desk.region
    if not reference.is_alias:
        return key_arn(region, account, reference.name)
    if (account, region) != (desk.account, desk.region):
        raise NotFound("An alias of another account or region is not known here: name the key by its ARN.")
    alias = desk.alias_of(reference.name)
    if alias is None:
        raise NotFound(f"Alias {desk.alias_arn(reference.name)} is not found.")
    return key_arn(region, account, alias.key_id)


def _after(text: str) -> Place | None:
    if not text:
        return None
    try:
        time, log, index = text.split(" ")
        return Place(time=int(time), log=log, index=int(index))
    except ValueError:
        raise InvalidMarker("The marker is not one that this list gave out.") from None


def _commitments(source: str, desk: Desk) -> tuple[tuple[str, ...], str]:
    """What entries may hold instead of an address, or of those in a network; and what was not looked at, in words."""
    if not source:
        return (), ""
    network = ipaddress.ip_network(source, strict=False)
    if network.num_addresses == 1:
        subject = desk.subject(SOURCE, str(network.network_address)) or desk.subject(SOURCE, source)
        return () if subject is None else (subject.commitment,), ""
    found: list[str] = []
    for number, subject in enumerate(listed(desk.tx, SOURCE)):
        if number == MOST_LOOKED_AT:
            return tuple(
                found
            ), f"only {MOST_LOOKED_AT:,} of the addresses that are committed to were looked at"
        if not _within(subject.value, network):
            continue
        if len(found) == MOST_SOURCES:
            raise InvalidRequest(
                f"More than {MOST_SOURCES:,} addresses are in that network: ask about a smaller one."
            )
        found.append(subject.commitment)
    return tuple(found), ""


def _within(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False


def _source(source: str, desk: Desk) -> str:
    """The address or network of a question, as it may be written down."""
    if SOURCE not in desk.redactable:
        return source
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        return "?"
    return str(network) if network.num_addresses > 1 else " ".join(_commitments(source, desk)[0]) or "?"


def _text(command: c.QueryAudit, desk: Desk) -> str:
    """The question as the audit has it, within bounds."""
    parts = [] if command.key is None else [f"key={command.key.name}"]
    for name in _TOLD:
        value = getattr(command, name)
        if value and name == "source":
            value = _source(value, desk)
        if value:
            parts.append(f"{name}={','.join(value) if isinstance(value, tuple) else value}")
    return " ".join(parts)[:SUBJECT_CHARACTERS]


def _keys(desk: Desk) -> Iterator[Key]:
    after = ""
    while page := desk.tx.keys(desk.account, desk.region, after, _PAGE):
        yield from page
        after = page[-1].id


def _openable(desk: Desk, principal: Principal, identity: Identity, key: Key) -> Iterator[Openable]:
    """What of a key a principal could open now."""
    policy = parse_key_policy(key.policy)
    caller = replace(desk.caller, identity=identity)
    for action in OPENING:
        if not _suits(key, action):
            continue
        context = partial(Circumstances, caller=caller, entry=desk.entry, action=action, key=key)
        ruling = decide(asked_by(identity, action, key.arn, context, policy, key.account))
        if ruling.allowed:
            yield Openable(key.arn, action, ruling.source, "")
            continue
        if ruling.source != "none":
            continue  # it is denied, whatever else allows it
        grants, rulings = _grants(desk, principal.arn, key, action), [ruling]
        to_account = _grants(desk, root_arn(principal.account), key, action)
        if to_account:  # for those of the account whom its policies let
            by_account = decide(asked_by(identity, action, key.arn, context, None, key.account))
            grants += to_account if by_account.allowed else []
            rulings.append(by_account)
        if grants:
            grant = min(grants, key=lambda grant: grant.constrained)
            bound = f"grant {grant.id}: an encryption context" if grant.constrained else ""
            yield Openable(key.arn, action, "grant", bound)
        elif condition := next(filter(None, map(_condition, rulings)), ""):
            yield Openable(key.arn, action, "condition", condition)


def _suits(key: Key, action: str) -> bool:
    """Whether a key of its usage can do that at all."""
    usages: Mapping[str, str] = {
        "kms:Decapsulate": "ENCAPSULATE_DECAPSULATE",
        "kms:DeriveSharedSecret": "KEY_AGREEMENT",
    }
    return key.usage == usages.get(action, "ENCRYPT_DECRYPT")


def _condition(ruling: Ruling) -> str:
    """The condition that alone stands in the way; empty when it is something else."""
    missing = ruling.missing
    return missing.brief if missing is not None and missing.conditions else ""


def _grants(desk: Desk, grantee: str, key: Key, action: str) -> list[Grant]:
    """The grants that let their grantee do it, in any encryption context if there is one."""
    operation = action.removeprefix("kms:")
    found = desk.tx.grants(key.region, key.id, grantee, "", GRANTS_OF_ONE_GRANTEE)
    return [grant for grant in found if grant.includes(operation)]


ACTIONS: dict[type[Command], Action] = {
    c.QueryAudit: Action("keystead:QueryAudit", Mode.SLOW, query_audit),
    c.AuditReach: Action("keystead:QueryAudit", Mode.SLOW, audit_reach),
}
