"""The decision: what the policies that have a say come to, and why.

`decide` follows AWS's evaluation (IAM user guide, "Policy evaluation logic"):

1. an explicit Deny in any policy wins: in a guardrail, the key policy, an identity policy, the permission
   boundary or a session policy. In a key policy a Deny that names an account denies everybody in it;
2. within one account, a key policy that names the caller itself allows. "Itself" is, of a user, its ARN or ``*``;
   of a session, the *session's* ARN. Nothing that is merely silent takes this away again: no identity policy,
   no boundary, no session policy;
3. within one account, a key policy that names the *role* of the caller's session, or ``*``, allows as well, but
   only what the boundary and the session policies allow too;
4. within one account, a key policy that names the *account* leaves it to the account: an identity policy must
   allow, and so must the boundary and the session policies;
5. across accounts the key policy must allow in one of these ways, and an identity policy, the boundary and the
   session policies must all allow;
6. where no key is involved, an identity policy, the boundary and the session policies must allow;
7. everything else is denied. Of several session policies one that allows is enough; there are as many layers as
   there are kinds of policy, and a kind that is not there limits nothing.

``NotPrincipal`` in a Deny spares a caller only if everything the caller is has been named: the account and the
user, or the account, the role and the session. As in AWS, it spares nobody who has a permission boundary.

Grants are no policies. The gate tries them where ``Ruling.source`` is ``none``: nothing allowed, nothing denied.
A session whose boundary or session policies are silent gets another source, since they limit a grant to its role
just as they limit a key policy that names it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from keystead.core.policy.conditions import Condition
from keystead.core.policy.document import Document
from keystead.core.policy.statement import Effect, Ordered, Statement
from keystead.core.policy.wildcards import Get, Value

KEY_POLICY: Final = "key-policy"
IDENTITY_POLICY: Final = "identity-policy"
BOUNDARY: Final = "permission-boundary"
SESSION_POLICY: Final = "session-policy"
GUARDRAIL: Final = "guardrail"
NONE: Final = "none"

_AWS_NAMES: Final = {
    KEY_POLICY: "resource-based policy",
    IDENTITY_POLICY: "identity-based policy",
    BOUNDARY: "permissions boundary",
    SESSION_POLICY: "session policy",
    GUARDRAIL: "service control policy",
}


class Values(Protocol):
    """Gives the values of condition keys; a mapping is one."""

    def get(self, name: str, /) -> Value | None:
        """The value of the key with this name, in lower case; None if the request has none."""


def folded(values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Values whose keys are written in any case, as `Question.context` wants them."""
    return {name.lower(): value for name, value in values.items()}


# Not frozen: a question is made for each request, and to freeze it would take longer than to answer it.
@dataclass(slots=True, kw_only=True)
class Question:
    """What `decide` is asked. ``key_policy`` is None where no key is involved."""

    principal: str  # ARN; of a session, the session's
    account: str  # the principal's
    identity_policy: Document
    action: str  # "kms:Encrypt"
    resource: str  # ARN, or "*"
    key_policy: Document | None = None
    key_account: str = ""
    session_of: str = ""  # the ARN of the role or user whose session the principal is, if it is one
    more_identity_policies: tuple[Document, ...] = ()  # attached ones, and those of its groups
    boundary: Document | None = None
    session_policies: tuple[Document, ...] = ()  # none: the session is not limited
    guardrails: tuple[Document, ...] = ()  # of the principal's account
    context: Values | Callable[[], Values] | None = None  # a function is called once, if at all

    def others(self) -> Iterable[tuple[str, Document]]:
        """The policies that few have: further identity policies, the boundary, the session's."""
        if not self.more_identity_policies and self.boundary is None and not self.session_policies:
            return ()
        found = [(IDENTITY_POLICY, document) for document in self.more_identity_policies]
        if self.boundary is not None:
            found.append((BOUNDARY, self.boundary))
        found += [(SESSION_POLICY, document) for document in self.session_policies]
        return found


class Matched(NamedTuple):
    """A statement that had a part in a decision."""

    policy: str  # key-policy, identity-policy, permission-boundary, session-policy, guardrail
    name: str  # of the document, if it has one
    statement: str  # the label
    version: str = ""  # of the document


@dataclass(frozen=True, slots=True)
class Missing:
    """The smallest thing that would have made the difference."""

    policy: str  # the kind of policy that is silent
    statement: str = ""  # the label of the statement that comes closest; empty if none is about the action
    part: str = "action"  # what of it does not match: action, principal, resource, condition
    conditions: tuple[str, ...] = ()  # those that failed: operator, key and what is wanted
    names: tuple[str, ...] = field(default=(), compare=False)  # the same, without what is wanted

    @property
    def text(self) -> str:
        """The same in one line."""
        return self._line(self.conditions)

    @property
    def brief(self) -> str:
        """The same without what the policy wants, which is not for everybody who may read the audit."""
        return self._line(self.names)

    def _line(self, conditions: tuple[str, ...]) -> str:
        if not self.statement:
            return f"no statement of the {self.policy} is about the action"
        if conditions:
            return f"{self.policy} statement {self.statement}: {'; '.join(conditions)}"
        return f"{self.policy} statement {self.statement}: another {self.part}"


# Not frozen, for the same reason as `Question`. Nobody changes one.
@dataclass(slots=True)
class Ruling:
    """The answer, with what made it."""

    allowed: bool
    source: str  # the kind of policy that decided, "none" if all were silent, "grant"
    statement: str  # the label of the statement that decided; empty when none did
    reason: str  # how AWS ends the sentence "... is not authorized to perform: ...", empty when allowed
    matched: tuple[Matched, ...] = field(default=(), compare=False)  # all statements that it took
    cacheable: bool = field(default=True, compare=False)  # no condition and no variable had a part in it
    _near: "_Near | None" = field(default=None, compare=False, repr=False)
    _told: tuple[str, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def told(self) -> tuple[str, ...]:
        """The statements that it took, each as ``kind name@version label``, as an audit entry has them."""
        if self._told is None:
            self._told = tuple(f"{m.policy} {m.name}@{m.version} {m.statement}" for m in self.matched)
        return self._told

    @property
    def missing(self) -> Missing | None:
        """What a denial by silence lacked; None if it was allowed or denied by a statement."""
        return None if self._near is None else self._near.missing()

    def explain(self) -> str:
        """One line for the audit and the operator: the statements that decided, or what was missing."""
        if (missing := self.missing) is not None:
            return f"denied: {missing.text}"
        by = ", ".join(f"{m.policy} {m.name + ' ' if m.name else ''}{m.statement}" for m in self.matched)
        return f"{'allowed' if self.allowed else 'denied'} by {by or f'{self.source} {self.statement}'}"


def decide(question: Question) -> Ruling:
    """Allow or deny one action; see the module's rules."""
    asked = _Asked(question)
    key_policy = question.key_policy
    action = question.action

    # (1) an explicit deny wins.
    denied = asked.denied()
    if denied is not None:
        kind, document, statement = denied
        return Ruling(
            False,
            kind,
            statement.label,
            f"with an explicit deny in a {_AWS_NAMES[kind]}" if kind != IDENTITY_POLICY else _IDENTITY_DENY,
            (Matched(kind, document.name, statement.label, document.version),),
            not asked.conditional,
        )

    # (2) the key policy names the caller itself.
    delegated: Statement | None = None
    named: Statement | None = None
    here = key_policy is None or question.account == question.key_account
    if key_policy is not None:
        allows = key_policy.about(action, question.resource).allows_to
        direct = asked.first_to(asked.itself, allows)
        if here and direct is not None:
            return Ruling(
                True,
                KEY_POLICY,
                direct.label,
                "",
                (Matched(KEY_POLICY, key_policy.name, direct.label, key_policy.version),),
                not asked.conditional,
            )
        named = direct or asked.first_to(asked.role, allows)
        if named is None or not here:
            delegated = named or asked.first_to(asked.account, allows)

    # The layers that must allow as well.
    silent: str | None = None
    above: tuple[Matched, ...] = ()
    if question.boundary is not None or question.session_policies:
        layers = asked.ceilings()
        silent = next((kind for kind, _, found in layers if found is None), None)
        above = tuple(
            Matched(kind, doc.name, s.label, doc.version) for kind, doc, s in layers if s is not None
        )
    if silent is not None and question.session_of:
        return asked.nothing(silent, silent)
    # (3) it names the role of the caller's session; no boundary and no session policy is silent.
    if here and named is not None and key_policy is not None:
        by = (Matched(KEY_POLICY, key_policy.name, named.label, key_policy.version), *above)
        return Ruling(True, KEY_POLICY, named.label, "", by, not asked.conditional)
    if key_policy is not None and delegated is None:
        return asked.nothing(KEY_POLICY, NONE)
    # (4), (5), (6) an identity policy allows, and all layers do.
    found = asked.by_identity()
    if found is None:
        return asked.nothing(IDENTITY_POLICY, NONE)
    if silent is not None:
        return asked.nothing(silent, NONE)
    document, statement = found
    by = (Matched(IDENTITY_POLICY, document.name, statement.label, document.version), *above)
    if key_policy is not None and delegated is not None:
        by = (Matched(KEY_POLICY, key_policy.name, delegated.label, key_policy.version), *by)
    return Ruling(True, IDENTITY_POLICY, statement.label, "", by, not asked.conditional)


_IDENTITY_DENY: Final = "with an explicit deny in an identity-based policy"
_NOTHING: Final[Mapping[str, Value]] = {}


class _Asked:
    """One question under way."""

    __slots__ = ("_get", "account", "conditional", "itself", "question", "role")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.conditional = False  # whether the request's values were asked for
        self._get: Get | None = None
        # What the caller is called in a key policy.
        self.itself: tuple[str, ...]
        self.role: tuple[str, ...]
        if question.session_of:
            self.itself, self.role = (question.principal,), (question.session_of, "*")
        else:
            self.itself, self.role = (question.principal, "*"), ()
        self.account = (f"arn:aws:iam::{question.account}:root", question.account)

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the caller."""
        return (*self.itself, *self.role, *self.account)

    def get(self) -> Get:
        """What gives the values of condition keys."""
        self.conditional = True
        if self._get is None:
            context = self.question.context
            values = context() if callable(context) else context
            self._get = _NOTHING.get if values is None else values.get
        return self._get

    def first(self, among: Ordered | None) -> Statement | None:
        """The first of these statements, all about action and resource, of which the rest holds as well."""
        if among is None:
            return None
        return among.fixed or among.first(self._get or self.get(), self.question.resource)

    def first_to(self, names: Iterable[str], statements: Mapping[str, Ordered]) -> Statement | None:
        """The same, of those that name one of these."""
        for name in names:
            those = statements.get(name)
            if those is not None:
                found = self.first(those)
                if found is not None:
                    return found
        return None

    def denied(self) -> tuple[str, Document, Statement] | None:
        """The first Deny that applies."""
        question = self.question
        action, resource = question.action, question.resource
        for document in question.guardrails:
            if (found := self.first(document.about(action, resource).denies)) is not None:
                return GUARDRAIL, document, found
        key_policy = question.key_policy
        if key_policy is not None and (about := key_policy.about(action, resource)).denies is not None:
            found = self.first_to(self.names, about.denies_to)
            if found is None and about.denies_but is not None:
                found = self._first_unspared(about.denies_but)
            if found is not None:
                return KEY_POLICY, key_policy, found
        denies = question.identity_policy.about(action, resource).denies
        if denies is not None and (found := self.first(denies)) is not None:
            return IDENTITY_POLICY, question.identity_policy, found
        for kind, document in question.others():
            if (found := self.first(document.about(action, resource).denies)) is not None:
                return kind, document, found
        return None

    def _first_unspared(self, among: Ordered) -> Statement | None:
        """The first of these statements with a NotPrincipal that does not spare the caller."""
        spared = sum(1 << index for index, each in enumerate(among.statements) if self._spared(each))
        for index, each in enumerate(among.statements):
            if not spared >> index & 1:
                # Before a statement that holds anyway, nothing is asked of the request.
                return each if each.fixed else among.first(self.get(), self.question.resource, spared)
        return None

    def _spared(self, statement: Statement) -> bool:
        """Whether a NotPrincipal names all that the caller is."""
        question = self.question
        listed = statement.principals
        return (
            question.boundary is None
            and question.principal in listed
            and not listed.isdisjoint(self.account)
            and (not question.session_of or question.session_of in listed)
        )

    def by_identity(self) -> tuple[Document, Statement] | None:
        """The first Allow of the identity policies that applies."""
        question = self.question
        action, resource = question.action, question.resource
        if (found := self.first(question.identity_policy.about(action, resource).allows)) is not None:
            return question.identity_policy, found
        for document in question.more_identity_policies:
            if (found := self.first(document.about(action, resource).allows)) is not None:
                return document, found
        return None

    def ceilings(self) -> list[tuple[str, Document, Statement | None]]:
        """The boundary and the session policies, each kind with the statement that allows, if any does."""
        question = self.question
        layers: list[tuple[str, Document, Statement | None]] = []
        if (boundary := question.boundary) is not None:
            layers.append(
                (BOUNDARY, boundary, self.first(boundary.about(question.action, question.resource).allows))
            )
        for document in question.session_policies:
            found = self.first(document.about(question.action, question.resource).allows)
            if layers and layers[-1][0] == SESSION_POLICY:
                layers.pop()
            layers.append((SESSION_POLICY, document, found))
            if found is not None:
                break
        return layers

    def nothing(self, kind: str, source: str) -> Ruling:
        """The denial because a kind of policy is silent."""
        article = "no " + _AWS_NAMES[kind]
        return Ruling(
            False,
            source,
            "",
            f"because {article} allows the {self.question.action} action",
            (),
            not self.conditional,
            _Near(kind, self),
        )


class _Near:
    """What is needed to find out, if somebody asks, what a denial lacked.

    The values of the request are held only if the decision took them: one that is kept must keep no request.
    """

    __slots__ = ("_action", "_documents", "_get", "_kind", "_names", "_resource")

    def __init__(self, kind: str, asked: _Asked) -> None:
        question = asked.question
        self._kind = kind
        self._action = question.action
        self._resource = question.resource
        self._get: Get = asked.get() if asked.conditional else _NOTHING.get
        self._names: tuple[str, ...] | None = None
        if kind == KEY_POLICY and question.key_policy is not None:
            self._documents: tuple[Document, ...] = (question.key_policy,)
            self._names = asked.names
        else:
            all_ = ((IDENTITY_POLICY, question.identity_policy), *question.others())
            self._documents = tuple(document for k, document in all_ if k == kind)

    def missing(self) -> Missing:
        """The statement that comes closest, and what of it does not match."""
        best: tuple[int, int, Missing] | None = None
        for document in self._documents:
            for statement in document.statements:
                if statement.effect is Effect.ALLOW and statement.about(self._action):
                    rank, failed, missing = self._lacks(statement)
                    if best is None or (rank, -failed) > (best[0], -best[1]):
                        best = rank, failed, missing
        return Missing(self._kind) if best is None else best[2]

    def _lacks(self, statement: Statement) -> tuple[int, int, Missing]:
        label, kind = statement.label, self._kind
        if self._names is not None and statement.principals.isdisjoint(self._names):
            return 0, 0, Missing(kind, label, "principal")
        covers, open_covers = statement.resources, statement.open_resources
        if (covers is not None and not covers(self._resource)) or (
            open_covers is not None and not open_covers(self._resource, self._get)
        ):
            return 1, 0, Missing(kind, label, "resource")
        failed: tuple[Condition, ...] = tuple(c for c in statement.conditions if not c.test(self._get))
        texts, names = tuple(c.text for c in failed), tuple(f"{c.operator} {c.key}" for c in failed)
        return 2, len(failed), Missing(kind, label, "condition", texts, names)
