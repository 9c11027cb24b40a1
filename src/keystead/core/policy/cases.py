"""Tests of policies: a table of who asks for what, and whether it must be allowed.

A table has the policies and the cases, as plain values that a JSON or YAML file gives::

    policies:
      principals:
        app: {arn: "arn:aws:iam::111122223333:user/app", identity: [KeysteadKeyUser]}
      keys:
        orders: {arn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", policy: orders.json}
    cases:
      - {who: app, action: [kms:Encrypt, kms:Decrypt], resource: orders, expect: allow}
      - {who: app, action: kms:PutKeyPolicy, resource: orders, expect: deny, because: identity-policy}

`read_table` parses it, `run` asks `keystead.core.policy.decide`, the function that decides for real, and says of each
case whether it came out as expected. Nothing is asked of a service. ``docs/guides/policies.md`` describes every member.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from keystead.core.errors import InvalidRequest, MalformedPolicy
from keystead.core.policy import keys
from keystead.core.policy.actions import ACTIONS
from keystead.core.policy.builtin import BUILT_IN, PREFIX
from keystead.core.policy.decision import (
    BOUNDARY,
    GUARDRAIL,
    IDENTITY_POLICY,
    KEY_POLICY,
    NONE,
    SESSION_POLICY,
    Question,
    Ruling,
    decide,
    folded,
)
from keystead.core.policy.document import Document, default_key_policy
from keystead.core.policy.lint import Holder, Kind, Policy, parse
from keystead.core.policy.wildcards import Value
from keystead.core.principal import is_principal_arn

Read = Callable[[str], str]
"""Gives the JSON text of a policy that a table names by its file; raises `InvalidRequest` if there is none."""

SOURCES: Final = (KEY_POLICY, IDENTITY_POLICY, BOUNDARY, SESSION_POLICY, GUARDRAIL, NONE)
"""What ``because`` may name."""

PARTS: Final = ("action", "principal", "resource", "condition")
"""What ``missing`` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A principal of a table. ``session_of`` is the ARN of its role, if it is a session."""

    name: str
    arn: str
    account: str
    session_of: str
    identity: tuple[Policy, ...]
    boundary: Policy | None
    sessions: tuple[Policy, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOf:
    """A key of a table."""

    name: str
    arn: str
    policy: Policy
    tags: Mapping[str, str]


class Case(NamedTuple):
    """One question of a table, and what must come out."""

    row: int  # in ``cases``, from 1
    who: str
    action: str
    resource: str  # as it was written
    question: Question
    allowed: bool
    because: str = ""  # the kind of policy that must decide, or be silent; empty: any
    missing: str = ""  # the part that a denial must lack; empty: any


class Table(NamedTuple):
    """A table, parsed."""

    principals: Mapping[str, Who]
    keys: Mapping[str, KeyOf]
    guardrails: tuple[Policy, ...]
    cases: tuple[Case, ...]

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All policies that it has, each once, but for the built-in ones."""
        found = dict.fromkeys(key.policy for key in self.keys.values())
        for who in self.principals.values():
            found |= dict.fromkeys((*who.identity, *who.sessions))
            found |= dict.fromkeys(() if who.boundary is None else (who.boundary,))
        built_in = {each.text for each in BUILT_IN.values()}
        return tuple(each for each in (*found, *self.guardrails) if each.text not in built_in)

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Its principals with what they hold."""
        return tuple(
            Holder(who.name, who.identity, who.boundary, self.guardrails) for who in self.principals.values()
        )


class Outcome(NamedTuple):
    """What came out of one case. ``problem`` is empty if that is what was expected."""

    case: Case
    ruling: Ruling
    problem: str


def is_table(raw: object) -> bool:
    """Whether values are a table of cases, and not a policy."""
    return isinstance(raw, dict) and "cases" in raw


def run(table: Table) -> Iterator[Outcome]:
    """Ask every case."""
    for case in table.cases:
        ruling = decide(case.question)
        yield Outcome(case, ruling, _problem(case, ruling))


def _problem(case: Case, ruling: Ruling) -> str:
    if ruling.allowed is not case.allowed:
        return f"expected {_verdict(allowed=case.allowed)}"
    lacked = ruling.missing
    silent = ruling.source if lacked is None else lacked.policy
    if case.because and case.because not in (ruling.source, silent):
        return f"expected because of {case.because}, not of {silent}"
    if case.missing and lacked is None:
        return f"expected a missing {case.missing}, not a statement that denies"
    if case.missing and lacked is not None and lacked.part != case.missing:
        return f"expected a missing {case.missing}, not {lacked.part}"
    return ""


def _verdict(*, allowed: bool) -> str:
    return "allow" if allowed else "deny"


# --- parsing ---------------------------------------------------------------------------------------------


def read_table(raw: object, read: Read) -> Table:
    """Parse a table; raises `InvalidRequest` with the place and what is wrong there."""
    table = _object(raw, "the table", ("policies", "cases"))
    policies = _object(table.get("policies"), "policies", ("principals", "keys", "guardrails"))
    guardrails = _policies(policies.get("guardrails", []), Kind.GUARDRAIL, "policies: guardrails", read)
    principals = {
        name: _who(name, member, read)
        for name, member in _members(policies.get("principals"), "policies: principals")
    }
    found_keys = {
        name: _key(name, member, read)
        for name, member in _members(policies.get("keys", {}), "policies: keys")
    }
    rows = table.get("cases")
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("cases: must be a list of at least one case")
    table_ = _Reading(principals, found_keys, guardrails)
    cases = tuple(case for number, row in enumerate(rows, 1) for case in table_.cases(number, row))
    return Table(principals, found_keys, guardrails, cases)


def _who(name: str, raw: object, read: Read) -> Who:
    where = f"policies: principals: {name}"
    member = _object(raw, where, ("arn", "session_of", "identity", "boundary", "session", "tags"))
    arn, role = _text(member, "arn", where), _text(member, "session_of", where, "")
    for each in (arn, *([role] if role else [])):
        if not is_principal_arn(each):
            raise InvalidRequest(f"{where}: {each[:200]} is not the ARN of a user, a role or a session")
    if ":assumed-role/" in arn and not role:
        raise InvalidRequest(f"{where}: a session must say by session_of which role it is of")
    boundary = member.get("boundary")
    return Who(
        name=name,
        arn=arn,
        account=arn.split(":")[4],
        session_of=role,
        identity=_policies(member.get("identity", []), Kind.IDENTITY, f"{where}: identity", read),
        boundary=None if boundary is None else _policy(boundary, Kind.BOUNDARY, f"{where}: boundary", read),
        sessions=_policies(member.get("session", []), Kind.SESSION, f"{where}: session", read),
        tags=_texts(member.get("tags", {}), f"{where}: tags"),
    )


def _key(name: str, raw: object, read: Read) -> KeyOf:
    where = f"policies: keys: {name}"
    member = _object(raw, where, ("arn", "policy", "tags"))
    arn = _text(member, "arn", where)
    if not arn.startswith("arn:aws:kms:") or arn.count(":") != _COLONS:
        raise InvalidRequest(f"{where}: {arn[:200]} is not the ARN of a key")
    if "policy" in member:
        policy = _policy(member["policy"], Kind.KEY, f"{where}: policy", read)
    else:
        policy = Policy(Kind.KEY, f"the default policy of {name}", default_key_policy(arn.split(":")[4]))
    return KeyOf(name=name, arn=arn, policy=policy, tags=_texts(member.get("tags", {}), f"{where}: tags"))


_COLONS: Final = 5  # of an ARN


def _policies(raw: object, kind: Kind, where: str, read: Read) -> tuple[Policy, ...]:
    listed = raw if isinstance(raw, list) else [raw]
    return tuple(_policy(each, kind, f"{where} {number}", read) for number, each in enumerate(listed, 1))


def _policy(raw: object, kind: Kind, where: str, read: Read) -> Policy:
    """A policy that is written out, or named: one that is built in, or a file."""
    if isinstance(raw, dict):
        policy = Policy(kind, where, json.dumps(raw))
    elif not isinstance(raw, str):
        raise InvalidRequest(f"{where}: must be a policy, the name of a built-in one, or a file")
    elif (built_in := BUILT_IN.get(raw) or BUILT_IN.get(PREFIX + raw)) is not None:
        policy = Policy(kind, raw.removeprefix(PREFIX), built_in.text)
    else:
        policy = Policy(kind, raw, read(raw))
    try:
        parse(policy)
    except MalformedPolicy as error:
        raise InvalidRequest(f"{where}: {error}") from None
    return policy


class _Reading:
    """A table whose policies have been read."""

    def __init__(
        self, principals: Mapping[str, Who], found_keys: Mapping[str, KeyOf], guardrails: tuple[Policy, ...]
    ) -> None:
        self._principals = principals
        self._keys = found_keys
        self._guardrails = tuple(map(parse, guardrails))
        self._documents = {name: parse(key.policy) for name, key in found_keys.items()}
        self._held: dict[
            str, tuple[Document, tuple[Document, ...], Document | None, tuple[Document, ...]]
        ] = {}
        for name, who in principals.items():
            first, *others = [parse(policy) for policy in who.identity] or [Document()]
            boundary = None if who.boundary is None else parse(who.boundary)
            self._held[name] = first, tuple(others), boundary, tuple(map(parse, who.sessions))

    def cases(self, number: int, raw: object) -> Iterator[Case]:
        """The cases of one row: one for each of who, action and resource, where it has lists."""
        where = f"case {number}"
        row = _object(raw, where, _ROW)
        expect = row.get("expect")
        if expect not in ("allow", "deny"):
            raise InvalidRequest(f"{where}: expect must be allow or deny")
        because = _one_of(row, "because", SOURCES, where)
        missing = _one_of(row, "missing", PARTS, where)
        if missing and expect == "allow":
            raise InvalidRequest(f"{where}: nothing is missing where it is allowed")
        context = _context(row, where)
        for who in _several(row, "who", where):
            if who not in self._principals:
                raise InvalidRequest(f"{where}: {who[:200]} is not one of the principals")
            for action in _several(row, "action", where):
                if action not in ACTIONS:
                    raise InvalidRequest(f"{where}: there is no action {action[:200]}")
                for resource in _several(row, "resource", where):
                    key = self._key(resource, where)
                    question = self._question(self._principals[who], action, resource, key, context)
                    yield Case(number, who, action, resource, question, expect == "allow", because, missing)

    def _key(self, resource: str, where: str) -> KeyOf | None:
        """The key that a resource is, by name or ARN; None for what is no key."""
        found = next((key for key in self._keys.values() if resource in (key.name, key.arn)), None)
        if found is None and (":key/" in resource or not resource.startswith(("arn:", "*"))):
            raise InvalidRequest(
                f"{where}: {resource[:200]} is not one of the keys, nor the ARN of something else"
            )
        return found

    def _question(
        self, who: Who, action: str, resource: str, key: KeyOf | None, context: Mapping[str, Value]
    ) -> Question:
        first, others, boundary, sessions = self._held[who.name]
        arn = resource if key is None else key.arn
        own = dict[str, Value](
            {
                "aws:PrincipalArn": who.session_of or who.arn,
                "aws:PrincipalAccount": who.account,
                "kms:CallerAccount": who.account,
                "aws:ResourceAccount": who.account if key is None else key.arn.split(":")[4],
                **{f"aws:PrincipalTag/{name}": value for name, value in who.tags.items()},
            }
        )
        if ":user/" in who.arn:
            own["aws:username"] = who.arn.rpartition("/")[2]
        if key is not None:
            own["aws:RequestedRegion"] = key.arn.split(":")[3]
            own |= {f"aws:ResourceTag/{name}": value for name, value in key.tags.items()}
        return Question(
            principal=who.arn,
            account=who.account,
            session_of=who.session_of,
            identity_policy=first,
            more_identity_policies=others,
            boundary=boundary,
            session_policies=sessions,
            guardrails=self._guardrails,
            action=action,
            resource=arn,
            key_policy=None if key is None else self._documents[key.name],
            key_account="" if key is None else key.arn.split(":")[4],
            context={**folded(own), **folded(context)},
        )


_ROW: Final = ("who", "action", "resource", "context", "encryption_context", "expect", "because", "missing")


def _context(row: Mapping[str, Any], where: str) -> dict[str, Value]:
    """The values of condition keys: those that are written, and those of the encryption context."""
    found: dict[str, Value] = {}
    for name, value in _members(row.get("context", {}), f"{where}: context"):
        if not keys.known(name):
            raise InvalidRequest(f"{where}: context: there is no condition key {name[:200]}")
        several = isinstance(value, list)
        texts = tuple(_scalar(each, f"{where}: context: {name}") for each in (value if several else [value]))
        found[name] = texts if several else texts[0]
    pairs = _texts(row.get("encryption_context", {}), f"{where}: encryption_context")
    if pairs:
        found["kms:EncryptionContextKeys"] = tuple(pairs)
    for folded_name in {name.lower() for name in pairs}:
        # Names that differ only in case share a condition key: then it has several values.
        values = tuple(value for name, value in pairs.items() if name.lower() == folded_name)
        found[f"kms:EncryptionContext:{folded_name}"] = values if len(values) > 1 else values[0]
    return found


def _several(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    value = row.get(name)
    listed = value if isinstance(value, list) else [value]
    found = [each for each in listed if isinstance(each, str) and each]
    if not found or len(found) != len(listed):
        raise InvalidRequest(f"{where}: {name} must be a text or a list of texts")
    return found


def _one_of(row: Mapping[str, Any], name: str, allowed: tuple[str, ...], where: str) -> str:
    value = row.get(name, "")
    if name in row and value not in allowed:
        raise InvalidRequest(f"{where}: {name} must be one of {', '.join(allowed)}")
    return str(value)


def _object(raw: object, where: str, known: Iterable[str]) -> dict[str, Any]:
    found = dict(_members(raw, where))
    unknown = sorted(set(found).difference(known))
    if unknown:
        raise InvalidRequest(f"{where}: {unknown[0][:200]} is not one of {', '.join(known)}")
    return found


def _members(raw: object, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(raw, dict) or not all(isinstance(name, str) for name in raw):
        raise InvalidRequest(f"{where}: must be an object whose members have names")
    return raw.items()


def _text(member: Mapping[str, Any], name: str, where: str, default: str | None = None) -> str:
    value = member.get(name, default)
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}: {name} must be a text")
    return value


def _texts(raw: object, where: str) -> dict[str, str]:
    return {name: _scalar(value, f"{where}: {name}") for name, value in _members(raw, where)}


def _scalar(value: object, where: str) -> str:
    """A value of a condition key, as requests have it: true and false, and numbers, as texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InvalidRequest(f"{where}: must be a text, a number, true or false")
