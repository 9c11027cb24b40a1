"""What somebody should look at twice before a plan is carried out: what takes rights away, and what takes limits away.

A text says what may stop working, or what is not prevented any more. It is told from the declarations alone, so it may
warn of more than will happen: a right that is taken from one policy may stand in another.
"""

from collections.abc import Iterator
from typing import Any, Final

from keystead.plan.things import GUARDRAIL, KEY, POLICY, PRINCIPALS, PROVIDER, Thing, kind_of, text_of

_POLICIES: Final = ("policy", "trust")


def dangers(name: str, before: Thing | None, after: Thing | None) -> tuple[str, ...]:
    """What is dangerous about a change of a thing; None stands for its not being there."""
    return tuple(dict.fromkeys(_found(kind_of(name), before, after)))


def loosened(before: Thing | None, after: Thing | None) -> bool:
    """Whether a guardrail denies nothing that it did not deny before."""
    return _statements(after, "policy") <= _statements(before, "policy")


def _found(kind: str, before: Thing | None, after: Thing | None) -> Iterator[str]:
    if before is None:
        if kind == GUARDRAIL:
            yield "a guardrail denies everybody in the account"
        return
    if kind == GUARDRAIL:
        if after is None:
            yield "a guardrail is removed: what it denied is not prevented any more"
        elif _statements(before, "policy") - _statements(after, "policy"):
            yield "a guardrail loses statements: what they denied is not prevented any more"
        if _statements(after, "policy") - _statements(before, "policy"):
            yield "a guardrail denies everybody in the account more"
    elif after is None:
        if kind in PRINCIPALS:
            yield f"a {kind} is deleted, with all that it may do"
        elif kind == PROVIDER:
            yield "a provider is deleted: nobody comes with its tokens any more"
        elif kind == KEY:
            yield "an alias is deleted: who names the key by it does not find it"
        return
    else:
        yield from _changed(kind, before, after)


def _changed(kind: str, before: Thing, after: Thing) -> Iterator[str]:
    whose = {KEY: "of the key's policy", POLICY: "of a policy"}.get(kind, f"of the {kind}'s policy")
    for part in _POLICIES:
        lost = _statements(before, part) - _statements(after, part)
        won = _statements(after, part) - _statements(before, part)
        what = "of who may assume the role" if part == "trust" else whose
        if any(allows for allows, _ in lost):
            yield f"statements {what} that allow are gone"
        if any(not allows for allows, _ in won):
            yield f"there are new statements {what} that deny"
        if any(not allows for allows, _ in lost):
            yield f"statements {what} that deny are gone"
    for part in ("attached", "groups"):
        gone = sorted(set(before.get(part, ())) - set(after.get(part, ())))
        if gone:
            yield f"the {kind} loses {', '.join(gone)}"
    if before.get("boundary", "") != after.get("boundary", ""):
        yield (
            "the permission boundary is another"
            if after.get("boundary")
            else "the permission boundary is removed"
        )
    if before.get("enabled", True) and not after.get("enabled", True):
        yield f"the {kind} is disabled: what uses it stops"
    if before.get("rotation_days") and not after.get("rotation_days"):
        yield "the key does not rotate by itself any more"


def _statements(thing: Thing | None, part: str) -> set[tuple[bool, str]]:
    """The statements of a policy of a thing: whether each allows, and its text in one form."""
    policy: Any = (thing or {}).get(part)
    if not isinstance(policy, dict):
        return set()
    raw = policy.get("Statement", [])
    return {
        (each.get("Effect") == "Allow", text_of(each))
        for each in (raw if isinstance(raw, list) else [raw])
        if isinstance(each, dict)
    }
