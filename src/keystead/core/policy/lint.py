"""What is probably wrong with a policy, although it is well formed.

`lint` looks at policies one by one and at who holds them. Each finding has a code that is stable, says where it is and
how it is cured::

    >>> [finding.code for finding in lint([Policy(Kind.IDENTITY, "ops.json", text)])]
    ['PL001', 'PL013']

Nothing here decides anything: a policy with errors is obeyed as it is written. ``docs/guides/policies.md`` has a
section for each code.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from keystead.core.errors import MalformedPolicy
from keystead.core.policy import keys
from keystead.core.policy.actions import ACTIONS, USES, WRITES, having
from keystead.core.policy.conditions import Condition
from keystead.core.policy.document import (
    VERSIONS,
    Document,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
    parse_trust_policy,
)
from keystead.core.policy.reach import Held, reach, reaches
from keystead.core.policy.statement import Effect, Statement
from keystead.core.policy.wildcards import Live, Template, pattern


class Kind(StrEnum):
    """What a policy is for, which decides what may be wrong with it."""

    KEY = "key policy"
    IDENTITY = "identity policy"
    BOUNDARY = "permission boundary"
    SESSION = "session policy"
    GUARDRAIL = "guardrail"
    TRUST = "trust policy"


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"  # it gives away, or protects from nothing
    WARNING = "warning"  # it does not do what it seems to
    INFO = "info"  # it could be clearer


class Policy(NamedTuple):
    """A policy to look at: its JSON text under a name for the findings."""

    kind: Kind
    name: str
    text: str


class Holder(NamedTuple):
    """A principal with all that it holds."""

    name: str
    policies: tuple[Policy, ...]  # of its own, attached, and of its groups
    boundary: Policy | None = None
    guardrails: tuple[Policy, ...] = ()  # of its account


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is probably wrong."""

    policy: str  # the name of the policy, or of the principal
    place: int  # of the statement; -1: the whole
    code: str
    text: str
    severity: Severity
    statement: str  # the label; empty: the whole
    cure: str

    @property
    def line(self) -> str:
        """The finding in one line."""
        where = f"{self.policy} {self.statement}" if self.statement else self.policy
        return f"{where}: {self.severity} {self.code}: {self.text}. {self.cure}"


CODES: Final = {
    "PL000": ("is no policy", "Correct it: nothing of such a policy is obeyed."),
    "PL001": (
        "allows everything",
        "List the actions that are needed, or attach a built-in policy.",
    ),
    "PL002": (
        "uses every key",
        "Name the keys in Resource, or add a condition such as aws:ResourceTag.",
    ),
    "PL003": (
        "allows everybody",
        "Name the principals, or add a condition such as aws:PrincipalArn or kms:CallerAccount.",
    ),
    "PL004": (
        "allows all but a list",
        "Write the actions that are meant in Action: every new one is in NotAction's reach.",
    ),
    "PL005": ("no such action", "Correct the name; the reference of the policy language lists them."),
    "PL006": ("never matters", "Remove it, or narrow the other statement."),
    "PL007": ("always denied", "Remove it, or narrow the Deny."),
    "PL008": (
        "a condition key that no request has",
        "Leave the condition out until requests have the key.",
    ),
    "PL009": (
        "true without values",
        'Add "Null": {KEY: "false"}, so that a request must have values.',
    ),
    "PL010": (
        "a condition that some actions do not have",
        "Put these actions into a statement of their own, or drop IfExists.",
    ),
    "PL011": (
        "nobody can change it",
        "Add a statement that allows kms:PutKeyPolicy, to the account's root at best.",
    ),
    "PL012": (
        "an encryption context that may be left out",
        'Add "Null": {KEY: "false"}, or an operator that does not hold without it.',
    ),
    "PL013": (
        "uses keys and says who may",
        "Give the two to two principals, or deny one of them.",
    ),
    "PL014": (
        "a variable that is none",
        'Write "Version": "2012-10-17": older documents have no variables.',
    ),
    "PL015": ("an old version", 'Write "Version": "2012-10-17".'),
    "PL016": ("two statements with one Sid", "Give each its own, so that explanations tell them apart."),
    "PL017": (
        "anybody of an identity provider",
        "Add a condition on the token's subject, such as token.example.com:sub.",
    ),
}
"""Each code with what it is about and the cure."""


def lint(policies: Iterable[Policy], holders: Iterable[Holder] = ()) -> list[Finding]:
    """All that is probably wrong, in the order of the policies' names, statements and codes.

    An identity policy that belongs to none of ``holders`` is taken to be all that somebody holds.
    """
    found = list[Finding]()
    held = set[Policy]()
    for holder in holders:
        held.update(holder.policies)
        found += _holds_both(holder)
    for policy in policies:
        found += _about(policy)
        if policy.kind is Kind.IDENTITY and policy not in held:
            found += _holds_both(Holder(policy.name, (policy,)))
    return sorted(set(found))


def parse(policy: Policy) -> Document:
    """The policy as its kind is parsed; raises `MalformedPolicy`."""
    if policy.kind is Kind.KEY:
        return parse_key_policy(policy.text, policy.name)
    if policy.kind is Kind.GUARDRAIL:
        return parse_guardrail(policy.text, policy.name)
    if policy.kind is Kind.TRUST:
        return parse_trust_policy(policy.text, policy.name)
    return parse_identity_policy(policy.text, policy.name)


class _Read:
    """One statement: what was written, what it was compiled to, and which actions it speaks of."""

    def __init__(self, place: int, raw: dict[str, Any], compiled: Statement) -> None:
        self.place = place
        self.raw = raw
        self.compiled = compiled
        self.label = compiled.label
        self.allows = compiled.effect is Effect.ALLOW
        self.written = _listed(raw.get("Action", raw.get("NotAction")))
        self.actions = frozenset(action for action in ACTIONS if compiled.about(action))
        # A trust policy has no resources: it is about its role.
        self.resources = _listed(raw.get("Resource", raw.get("NotResource", "*")))
        self.all_resources = "NotResource" not in raw and any(not text.strip("*") for text in self.resources)
        self.conditions = compiled.conditions

    def guarded(self, key: str) -> bool:
        """Whether a condition says that the request must have a key."""
        return any(
            each.operator == "Null" and each.key.lower() == key.lower() and each.wanted == ("false",)
            for each in self.conditions
        )


class _Whole(NamedTuple):
    """A policy that is well formed, taken apart."""

    policy: Policy
    raw: dict[str, Any]
    document: Document
    statements: tuple[_Read, ...]


Rule = Callable[[_Whole], Iterator[Finding]]


def _about(policy: Policy) -> Iterator[Finding]:
    """The findings in one policy."""
    try:
        document = parse(policy)
    except MalformedPolicy as error:
        yield Finding(policy.name, -1, "PL000", str(error).rstrip("."), Severity.ERROR, "", CODES["PL000"][1])
        return
    if not policy.text:  # no policy, which allows nothing
        return
    raw = json.loads(policy.text)
    written = raw["Statement"] if isinstance(raw["Statement"], list) else [raw["Statement"]]
    pairs = zip(written, document.statements, strict=True)
    whole = _Whole(policy, raw, document, tuple(_Read(i, r, c) for i, (r, c) in enumerate(pairs)))
    for rule in _RULES:
        yield from rule(whole)


def _finding(whole: _Whole, code: str, severity: Severity, text: str, at: _Read | None = None) -> Finding:
    place, label = (-1, "") if at is None else (at.place, at.label)
    return Finding(whole.policy.name, place, code, text, severity, label, CODES[code][1])


def _listed(value: Any) -> list[str]:  # noqa: ANN401 - parsed JSON
    return list(value) if isinstance(value, list) else [value]


# --- what gives too much ---------------------------------------------------------------------------------


_CEILINGS: Final = (Kind.BOUNDARY, Kind.SESSION, Kind.TRUST)
"""Kinds that allow no use by themselves, so that a wide Allow in one of them is only a high ceiling."""


def _everything(whole: _Whole) -> Iterator[Finding]:
    """PL001: an Allow of every action, to others than the account as a whole."""
    for each in whole.statements:
        wide = [text for text in each.written if _all_of_a_service(text)]
        if not each.allows or "Action" not in each.raw or not wide or whole.policy.kind in _CEILINGS:
            continue
        if whole.policy.kind is Kind.KEY and all(map(_is_account, each.compiled.principals)):
            continue  # it leaves the key to the account's own policies
        severity = Severity.WARNING if each.conditions else Severity.ERROR
        yield _finding(whole, "PL001", severity, f"it allows {wide[0]}", each)


def _all_of_a_service(text: str) -> bool:
    return not text.strip("*") or (text.partition(":")[2] != "" and not text.partition(":")[2].strip("*"))


def _is_account(principal: str) -> bool:
    return principal.endswith(":root") or principal.isdecimal()


def _every_key(whole: _Whole) -> Iterator[Finding]:
    """PL002: an identity policy that uses keys without saying which; one that allows everything has PL001."""
    for each in whole.statements:
        if any(map(_all_of_a_service, each.written)):
            continue
        uses = each.actions & USES - {"kms:GenerateRandom"}  # which involves no key
        if whole.policy.kind is Kind.IDENTITY and each.allows and each.all_resources and uses:
            if each.conditions:
                continue
            yield _finding(
                whole,
                "PL002",
                Severity.WARNING,
                f"it allows {_some(uses)} with every key of the account",
                each,
            )


_LIMITING: Final = (
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principaltag/",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:userid",
    "aws:username",
    "kms:calleraccount",
)


def _everybody(whole: _Whole) -> Iterator[Finding]:
    """PL003: an Allow for everybody in the world."""
    for each in whole.statements:
        if each.allows and "*" in each.compiled.principals and not any(map(_limits, each.conditions)):
            yield _finding(
                whole, "PL003", Severity.ERROR, f"it allows {_some(each.actions)} to everybody", each
            )


def _limits(condition: Condition) -> bool:
    return condition.key.lower().startswith(_LIMITING) and _says_which(condition)


def _says_which(condition: Condition) -> bool:
    """Whether a condition says which value it must be: not which it must not be, nor only if there is one."""
    quantifier, _, name = condition.operator.rpartition(":")
    return (
        name != "Null"
        and quantifier != "ForAllValues"
        and not name.endswith("IfExists")
        and "Not" not in name
        and all(text.strip("*:") for text in condition.wanted)
    )


def _any_subject(whole: _Whole) -> Iterator[Finding]:
    """PL017: a trust policy that takes any token of an issuer, whoever it is about."""
    for each in whole.statements if whole.policy.kind is Kind.TRUST else ():
        federated = sorted(name for name in each.compiled.principals if ":oidc-provider/" in name)
        if each.allows and federated and not any(map(_names_subject, each.conditions)):
            text = f"it trusts every token of {federated[0].partition('/')[2]}"
            yield _finding(whole, "PL017", Severity.ERROR, text, each)


def _names_subject(condition: Condition) -> bool:
    return condition.key.endswith(":sub") and _says_which(condition)


def _all_but(whole: _Whole) -> Iterator[Finding]:
    """PL004: an Allow of all actions but some."""
    for each in whole.statements:
        if each.allows and "NotAction" in each.raw and whole.policy.kind not in _CEILINGS:
            left = len(each.actions)
            yield _finding(
                whole,
                "PL004",
                Severity.WARNING,
                f"it allows all but {_some(each.written)}: {left} actions",
                each,
            )


# --- what does nothing -----------------------------------------------------------------------------------


def _no_such_action(whole: _Whole) -> Iterator[Finding]:
    """PL005: an action that does not exist. Where that protects from nothing it is an error."""
    for each in whole.statements:
        protects = each.allows is ("NotAction" in each.raw)
        for text in each.written:
            # As the statement would match it, had it this text alone.
            alone = pattern([Template((Live(text.lower()),))])
            if not any(alone.fullmatch(action.lower()) for action in ACTIONS):
                hint = f", since it is decided about {_TWO[text.lower()]}" if text.lower() in _TWO else ""
                severity = Severity.ERROR if protects else Severity.WARNING
                yield _finding(whole, "PL005", severity, f"no action is called {text}{hint}", each)


_TWO: Final = {"kms:reencrypt": "kms:ReEncryptFrom and kms:ReEncryptTo"}


def _shadowed(whole: _Whole) -> Iterator[Finding]:
    """PL006: a statement that another one says already."""
    for each in whole.statements:
        for other in whole.statements:
            if other is each or other.allows is not each.allows or not _covers(other, each):
                continue
            if _covers(each, other) and each.place < other.place:
                continue  # of two that say the same, the later one
            text = f"statement {other.label} says all that it says"
            yield _finding(whole, "PL006", Severity.WARNING, text, each)
            break


def _beaten(whole: _Whole) -> Iterator[Finding]:
    """PL007: an Allow that the same policy denies."""
    for each in whole.statements if whole.policy.kind is not Kind.GUARDRAIL else ():
        for other in whole.statements:
            if each.allows and not other.allows and not other.conditions and _covers(other, each):
                text = f"statement {other.label} denies all that it allows"
                yield _finding(whole, "PL007", Severity.WARNING, text, each)
                break


def _covers(wide: _Read, narrow: _Read) -> bool:
    """Whether ``wide`` holds in every request in which ``narrow`` does."""
    if not narrow.actions or not narrow.actions <= wide.actions:
        return False
    conditions = wide.raw.get("Condition", {})
    if conditions and (wide.allows is not narrow.allows or conditions != narrow.raw.get("Condition")):
        return False
    return _covers_who(wide.compiled, narrow.compiled) and _covers_which(wide, narrow)


def _covers_who(wide: Statement, narrow: Statement) -> bool:
    if wide.all_but or narrow.all_but:
        return (wide.all_but, wide.principals) == (narrow.all_but, narrow.principals)
    if wide.principals >= narrow.principals:
        return True
    # Everybody; but a session that is named itself is not limited by its session policies, as everybody is.
    named = any(":assumed-role/" in name or ":federated-user/" in name for name in narrow.principals)
    return "*" in wide.principals and (wide.effect is Effect.DENY or not named)


def _covers_which(wide: _Read, narrow: _Read) -> bool:
    if wide.all_resources:
        return True
    negated = "NotResource" in wide.raw
    if negated or "NotResource" in narrow.raw:
        return negated is ("NotResource" in narrow.raw) and set(wide.resources) == set(narrow.resources)
    return all(any(_contains(w, text) for w in wide.resources) for text in narrow.resources)


def _contains(wide: str, narrow: str) -> bool:
    """Whether a resource's text matches all that another one matches; false if that is not easily told."""
    if wide == narrow:
        return True
    if "${" in wide or "${" in narrow or "?" in wide:
        return False
    # An asterisk of the narrow one can only be taken by one of the wide one, so it counts as any character.
    return pattern([Template((Live(wide),))]).fullmatch(narrow) is not None


def _unfilled(whole: _Whole) -> Iterator[Finding]:
    """PL008: a condition on what no request has yet."""
    for each in whole.statements:
        for condition in each.conditions:
            if keys.filled(condition.key):
                continue
            always = condition.test(_nothing)
            if each.allows:
                severity, then = Severity.WARNING, "limits nothing" if always else "allows nothing"
            else:
                severity = Severity.INFO if always else Severity.ERROR
                then = "denies always" if always else "never denies"
            text = f"no request has {condition.key} yet, so it {then}"
            yield _finding(whole, "PL008", severity, text, each)


def _nothing(_name: str) -> None:
    """The values of a request that has none."""


# --- what is open at one side ----------------------------------------------------------------------------


def _empty_sets(whole: _Whole) -> Iterator[Finding]:
    """PL009: a set operator that holds when there is nothing to look at."""
    for each in whole.statements if whole.policy.kind is not Kind.GUARDRAIL else ():
        for condition in each.conditions:
            if (
                each.allows
                and condition.operator.startswith("ForAllValues:")
                and not _of_context(condition)
                and not each.guarded(condition.key)
            ):
                text = f"{condition.operator} {condition.key} holds for a request without any"
                yield _finding(whole, "PL009", Severity.WARNING, text, each)


def _not_of_the_action(whole: _Whole) -> Iterator[Finding]:
    """PL010: an ...IfExists that does not limit some of the actions, since they never have the key."""
    for each in whole.statements:
        for condition in each.conditions:
            having_it = having(condition.key)
            if not each.allows or not condition.operator.endswith("IfExists") or having_it is None:
                continue
            if without := each.actions - having_it:
                text = f"{condition.key} does not limit {_some(without)}, which never has it"
                yield _finding(whole, "PL010", Severity.WARNING, text, each)


def _context_left_out(whole: _Whole) -> Iterator[Finding]:
    """PL012: an Allow for an encryption context that also holds without one."""
    for each in whole.statements:
        for condition in each.conditions:
            if (
                each.allows
                and _of_context(condition)
                and condition.operator != "Null"
                and condition.test(_nothing)
                and not each.guarded(condition.key)
            ):
                text = f"{condition.operator} {condition.key} holds for a request without it"
                yield _finding(whole, "PL012", Severity.WARNING, text, each)


def _of_context(condition: Condition) -> bool:
    return condition.key.lower().startswith("kms:encryptioncontext")


# --- what the whole comes to -----------------------------------------------------------------------------


def _locked(whole: _Whole) -> Iterator[Finding]:
    """PL011: a key policy that leaves nobody able to change it."""
    if whole.policy.kind is Kind.KEY and "kms:PutKeyPolicy" not in reaches(whole.document):
        yield _finding(whole, "PL011", Severity.ERROR, "nobody may change this policy again")


def _named_with_both(whole: _Whole) -> Iterator[Finding]:
    """PL013 in a key policy: somebody whom it names for a use and for writing."""
    if whole.policy.kind is not Kind.KEY:
        return
    named = frozenset[str]().union(*(s.principals for s in whole.document.statements if not s.all_but))
    for name in sorted(named):
        if _is_account(name):
            continue
        # What is said to this one, as if it were a policy of its own.
        about = (
            s for s in whole.document.statements if not s.all_but and not {name, "*"}.isdisjoint(s.principals)
        )
        theirs = Document(tuple(replace(s, principals=frozenset()) for s in about))
        who = "everybody" if name == "*" else name
        if both := _both(reaches(theirs)):
            yield _finding(whole, "PL013", Severity.ERROR, f"{who} reaches {both}")


def _holds_both(holder: Holder) -> Iterator[Finding]:
    """PL013: a principal whose policies come to a use and to writing."""
    try:
        held = Held(
            identity=tuple(map(parse, holder.policies)),
            boundary=None if holder.boundary is None else parse(holder.boundary),
            guardrails=tuple(map(parse, holder.guardrails)),
        )
    except MalformedPolicy:  # that is PL000 of the policy
        return
    if both := _both(reach(held)):
        cure = CODES["PL013"][1]
        yield Finding(holder.name, -1, "PL013", f"its holder reaches {both}", Severity.ERROR, "", cure)


def _both(reached: frozenset[str]) -> str:
    uses, writes = reached & USES, reached & WRITES
    return f"uses ({_some(uses)}) and writing ({_some(writes)})" if uses and writes else ""


# --- how it is written -----------------------------------------------------------------------------------


def _version(whole: _Whole) -> Iterator[Finding]:
    """PL014 and PL015: a version without variables."""
    if whole.raw.get("Version") == VERSIONS[0]:
        return
    version = whole.raw.get("Version")
    what = "without a Version" if version is None else f"of version {version}"
    variables = [each for each in whole.statements if "${" in json.dumps(each.raw)]
    for each in variables:
        severity = Severity.WARNING if each.allows else Severity.ERROR
        yield _finding(whole, "PL014", severity, f"in a policy {what} a ${{ is no variable", each)
    if not variables:
        yield _finding(whole, "PL015", Severity.INFO, f"a policy {what} has no variables")


def _same_sid(whole: _Whole) -> Iterator[Finding]:
    """PL016: two statements that an explanation could not tell apart."""
    seen = set[str]()
    for each in whole.statements:
        if each.label in seen:
            yield _finding(whole, "PL016", Severity.WARNING, "another statement has the same Sid", each)
        seen.add(each.label)


def _some(names: Iterable[str]) -> str:
    """A few of the names, and how many more."""
    listed = sorted(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


_SHOWN: Final = 2

_RULES: Final[Sequence[Rule]] = (
    _everything,
    _every_key,
    _everybody,
    _any_subject,
    _all_but,
    _no_such_action,
    _shadowed,
    _beaten,
    _unfilled,
    _empty_sets,
    _not_of_the_action,
    _locked,
    _context_left_out,
    _named_with_both,
    _version,
    _same_sid,
)
