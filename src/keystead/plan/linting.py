"""What is probably wrong with the policies that are declared, or that are live, although they are well formed.

`keystead.core.policy.lint` looks at one policy and at who holds it. A directory or an account knows more than a policy
alone: which principals have it, in which groups they are, and what limits them.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from keystead.core.policy import builtin
from keystead.core.policy.lint import Finding, Holder, Kind, Policy, lint
from keystead.core.principal import GROUP
from keystead.plan.present import Present, of_key
from keystead.plan.things import (
    GUARDRAIL,
    KEY,
    POLICY,
    PRINCIPALS,
    TEMPLATE,
    State,
    Thing,
    key_name,
    kind_of,
    localised,
    text_of,
)

_KINDS: Final = {GUARDRAIL: Kind.GUARDRAIL, KEY: Kind.KEY}


def findings(state: State) -> list[Finding]:
    """The findings about all policies of a state and about who holds them, named as things are."""
    return lint(policies(state), _holders(state))


def live(present: Present) -> State:
    """All that is in an account, declared or not: each key once, by its first alias or else by its id."""
    keys = {
        key_name(region, next(iter(raw["aliases"]), key_id)): of_key(raw)
        for (region, key_id), raw in present.keys.items()
    }
    others = {name: thing for name, thing in present.things.items() if kind_of(name) != KEY}
    return {**others, **localised(keys, present.account)}


def policies(state: State) -> Iterator[Policy]:
    """The policies of a state; those that a key has unasked, or that are built in, are not among them."""
    bounding = {f"{POLICY}/{thing['boundary']}" for thing in state.values() if thing.get("boundary")}
    for name, thing in state.items():
        # A template's policy still has its places; those of its keys are looked at.
        if thing.get("policy") is not None and kind_of(name) != TEMPLATE:
            kind = _KINDS.get(kind_of(name), Kind.BOUNDARY if name in bounding else Kind.IDENTITY)
            yield Policy(kind, name, text_of(thing["policy"]))
        if thing.get("trust") is not None:
            yield Policy(Kind.TRUST, f"{name} (trust)", text_of(thing["trust"]))


def _holders(state: State) -> Iterator[Holder]:
    guardrails = tuple(
        Policy(Kind.GUARDRAIL, name, text_of(thing["policy"]))
        for name, thing in state.items()
        if kind_of(name) == GUARDRAIL
    )
    for name, thing in state.items():
        if kind_of(name) not in PRINCIPALS or kind_of(name) == GROUP:
            continue
        held = [*_held(state, name, thing)]
        for group in thing.get("groups", ()):
            held += _held(state, f"{GROUP}/{group}", state.get(f"{GROUP}/{group}", {}))
        boundary = next(_named(state, [thing["boundary"]], Kind.BOUNDARY), None)
        yield Holder(name, tuple(dict.fromkeys(held)), boundary, guardrails)


def _held(state: State, name: str, thing: Thing) -> Iterator[Policy]:
    if thing.get("policy") is not None:
        yield Policy(Kind.IDENTITY, name, text_of(thing["policy"]))
    yield from _named(state, thing.get("attached", ()), Kind.IDENTITY)


def _named(state: State, names: Iterable[str], kind: Kind) -> Iterator[Policy]:
    """The policies of these names, declared or built in; what is managed elsewhere is not known here."""
    for each in names:
        name = f"{POLICY}/{each}"
        if name in state:
            yield Policy(kind, name, text_of(state[name]["policy"]))
        elif each in builtin.BUILT_IN:
            yield Policy(kind, each, builtin.BUILT_IN[each].text)
