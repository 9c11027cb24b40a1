"""What a policy can reach: the actions that it allows in at least one request, as far as can be told without one.

The answer is never too small. For an Allow, all conditions are taken to hold and all resources to exist. Of the
denials only those count that always apply: without a condition and on every resource, in a key policy for everybody.
So an action that is *not* reached is one that nobody gets by these policies, whatever the request is; that is a proof,
and a test compares it with `decide` on random policies.

    >>> reaches(parse_identity_policy(text)) & USES
    frozenset()
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from keystead.core.policy.actions import ACTIONS
from keystead.core.policy.document import Document
from keystead.core.policy.statement import Effect, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The policies that have a say about one principal.

    ``key_policies`` are those that may name it; what they allow does not need the principal's own policies.
    """

    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    sessions: tuple[Document, ...] = ()
    guardrails: tuple[Document, ...] = ()
    key_policies: tuple[Document, ...] = ()


def reaches(document: Document, actions: Collection[str] = tuple(ACTIONS)) -> frozenset[str]:
    """The actions that one policy by itself allows in at least one request."""
    return _allowed(document, actions) - _denied((document,), actions)


def reach(held: Held, actions: Collection[str] = tuple(ACTIONS)) -> frozenset[str]:
    """The actions that these policies together allow in at least one request."""
    found = frozenset[str]().union(*(_allowed(document, actions) for document in held.identity))
    if held.boundary is not None:
        found &= _allowed(held.boundary, actions)
    if held.sessions:
        found &= frozenset[str]().union(*(_allowed(document, actions) for document in held.sessions))
    # A key policy that names a user is not limited by the user's boundary, nor one that names a session by the
    # session's policies.
    found = found.union(*(reaches(document, actions) for document in held.key_policies))
    above = () if held.boundary is None else (held.boundary,)
    return found - _denied((*held.identity, *above, *held.sessions, *held.guardrails), actions)


def always_denies(statement: Statement) -> bool:
    """Whether a statement denies its actions to everybody it may concern, in every request."""
    return (
        statement.effect is Effect.DENY
        and statement.fixed
        and statement.resources is None
        and not statement.all_but
        and (not statement.principals or "*" in statement.principals)
    )


def _allowed(document: Document, actions: Iterable[str]) -> frozenset[str]:
    allows = [statement for statement in document.statements if statement.effect is Effect.ALLOW]
    return frozenset(action for action in actions if any(statement.about(action) for statement in allows))


def _denied(documents: Iterable[Document], actions: Iterable[str]) -> frozenset[str]:
    denies = [s for document in documents for s in document.statements if always_denies(s)]
    return frozenset(action for action in actions if any(statement.about(action) for statement in denies))
