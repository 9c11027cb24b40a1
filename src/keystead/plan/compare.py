"""What it takes to make the account what is declared: the steps, in an order in which each of them can be taken.

Things come before what refers to them and go after it: policies, groups and providers before principals, principals
and templates before keys. A guardrail that gets looser is changed first, since it may deny what follows; one that is
new or gets stricter comes last, when everything is as it wants it. Every request by itself leaves the account in order,
so a plan that stops half-way has done the first half, and the next plan is the rest.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from enum import StrEnum
from typing import Any, Final

from keystead.core.policy import default_key_policy
from keystead.core.principal import GROUP, ROLE, SERVICE_ACCOUNT, USER
from keystead.core.template import policy_text, template
from keystead.plan.danger import dangers, loosened
from keystead.plan.present import Present, Record, of_key
from keystead.plan.things import (
    GUARDRAIL,
    KEY,
    POLICY,
    PRINCIPALS,
    PROVIDER,
    REQUIRED_TAGS,
    TEMPLATE,
    State,
    Thing,
    kind_of,
    localised,
    own_name,
    place_of,
    shown,
)

MADE: Final = "<the key that was just made>"
"""Stands for the id in the last answer that has one."""

CONTEXT: Final = 3  # lines around a difference


class Verb(StrEnum):
    """What a step does to a thing."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Request:
    """One operation of the native API, which is decided and recorded for itself."""

    operation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done to one thing."""

    verb: Verb
    thing: str
    before: Thing | None
    after: Thing | None
    requests: tuple[Request, ...]
    dangers: tuple[str, ...]

    @property
    def diff(self) -> list[str]:
        """The difference, line by line; each begins with a space, a plus, a minus or ``@@``."""
        return difference(self.before, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """See the module."""

    base: int  # the number of the newest revision, which the next must follow
    declared: State
    steps: tuple[Step, ...]
    refused: tuple[str, ...]  # what is declared and cannot be made so: nothing is applied while there is any
    by_hand: tuple[str, ...]  # what is left to people
    left_out: int  # keys that the caller may not see
    keys: Mapping[str, str]  # the ids of declared keys that are there, by name
    recorded: bool  # whether the last revision declares the same

    def count(self, verb: Verb) -> int:
        """How many steps create, change or delete."""
        return sum(step.verb is verb for step in self.steps)

    @property
    def summary(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{self.count(verb)} to {verb}" for verb in Verb)


def compare(declared: State, present: Present, record: Record) -> Plan:
    """The plan that makes the account what is declared."""
    declared = dict(sorted(localised(declared, present.account).items()))
    comparison = _Comparison(declared, present, record)
    steps = sorted(comparison.steps(), key=_order)
    return Plan(
        base=record.newest,
        declared=declared,
        steps=tuple(steps),
        refused=tuple(comparison.refused),
        by_hand=tuple(comparison.by_hand),
        left_out=present.left_out,
        keys=comparison.keys,
        recorded=record.newest == record.finished > 0 and record.state == declared,
    )


def difference(before: Thing | None, after: Thing | None) -> list[str]:
    """How two forms of a thing differ, as a unified diff without its head."""
    old, new = _lines(before), _lines(after)
    return list(unified_diff(old, new, n=CONTEXT, lineterm=""))[2:]


def _lines(thing: Thing | None) -> list[str]:
    if thing is None:
        return []
    return json.dumps(shown(thing), indent=2, sort_keys=True, ensure_ascii=False).splitlines()


class _Comparison:
    def __init__(self, declared: State, present: Present, record: Record) -> None:
        self.refused: list[str] = []
        self.by_hand: list[str] = []
        self.keys: dict[str, str] = {}
        self._declared = declared
        self._present = present
        self._record = record
        self._ids = {
            (region, alias.removeprefix("alias/")): key_id
            for (region, key_id), raw in present.keys.items()
            for alias in raw["aliases"]
        }

    def steps(self) -> Iterator[Step]:
        for name, after in self._declared.items():
            kind, before = kind_of(name), self._present.things.get(name)
            if kind == REQUIRED_TAGS:
                continue
            if kind == KEY:
                step = self._key(name, after)
            elif before is None:
                step = _step(Verb.CREATE, name, None, after, tuple(_created(name, after)))
            elif shown(before) != shown(after):
                step = _step(Verb.CHANGE, name, before, after, (_CHANGE[kind](name, before, after),))
            else:
                step = None
            if step is not None:
                yield step
        for name in sorted(self._record.managed - self._declared.keys()):
            before = self._present.things.get(name)
            if before is not None:
                kind = kind_of(name)
                yield _step(Verb.DELETE, name, before, None, (_DELETE[kind](name),))
                if kind == KEY:
                    region, _ = place_of(name)
                    key_id = self._ids[place_of(name)]
                    self.by_hand.append(
                        f"{name}: the key {key_id} stays, since keys are never deleted by a plan. When nothing hangs "
                        f"on it any more: aws kms schedule-key-deletion --region {region} --key-id {key_id}"
                    )

    # --- keys --------------------------------------------------------------------------------------------

    def _key(self, name: str, after: Thing) -> Step | None:
        region, alias = place_of(name)
        key_id, lost = self._ids.get((region, alias)), False
        if key_id is None:
            key_id, lost = self._lost(name, after), True
        if key_id is None:
            return _step(Verb.CREATE, name, None, after, tuple(_new_key(name, after)))
        raw = self._present.keys[region, key_id]
        twin = next(
            (each for each, is_id in self.keys.items() if (place_of(each)[0], is_id) == (region, key_id)), ""
        )
        if twin:
            self.refused.append(
                f"{name}: it is the same key as {twin}, {key_id}. Point one of the aliases elsewhere, or declare one "
                "name only"
            )
            return None
        self.keys[name] = key_id
        before = of_key(raw)
        (before,) = localised({name: before}, self._present.account).values()
        if not self._can_become(name, raw, before, after):
            return None
        requests = list(_changed_key(name, key_id, before, after, self._present.account))
        if lost:
            named = {"region": region, "name": f"alias/{alias}", "key_id": key_id}
            requests.insert(0, Request("CreateAlias", named))
        if not requests:
            return None
        return _step(Verb.CHANGE, name, None if lost else before, after, tuple(requests))

    def _lost(self, name: str, after: Thing) -> str | None:
        """The key that had the alias, or that was made by an attempt which stopped before it had one."""
        region, _ = place_of(name)
        known = self._record.keys.get(name, "")
        if (region, known) in self._present.keys:
            return known
        if not self._record.begun or after["template"]:
            return None
        wanted = {**shown(after), "rotation_days": None, "enabled": True}
        for (of_region, key_id), raw in self._present.keys.items():
            made_then = of_region == region and not raw["aliases"] and raw["created"] >= self._record.begun
            free = made_then and key_id not in self.keys.values()
            if free and localised({name: of_key(raw)}, self._present.account)[name] == wanted:
                return key_id
        return None

    def _can_become(self, name: str, raw: Mapping[str, Any], before: Thing, after: Thing) -> bool:
        for part in ("spec", "usage", "multi_region"):
            if before[part] != after[part]:
                self.refused.append(
                    f"{name}: a key's {part} is for ever: it is {before[part]} and cannot become {after[part]}. "
                    "Declare the key under a new name"
                )
                return False
        if before["template"] != after["template"] and after["template"]:
            self.refused.append(
                f"{name}: the key {raw['key_id']} was not made from the template {after['template']}. Declare it "
                "without the template, or the template's key under a new name"
            )
            return False
        if raw["state"] in ("PendingDeletion", "PendingReplicaDeletion"):
            self.refused.append(
                f"{name}: the key {raw['key_id']} is going to be deleted. Keep it with aws kms cancel-key-deletion "
                f"--region {raw['region']} --key-id {raw['key_id']}, or do not declare it"
            )
            return False
        disabled = not before.get("enabled", True) and not after["enabled"]
        if disabled and before["rotation_days"] != after["rotation_days"]:
            self.refused.append(
                f"{name}: the rotation of a disabled key cannot be changed. Declare it enabled, or leave its rotation"
            )
            return False
        return True


def _step(
    verb: Verb, name: str, before: Thing | None, after: Thing | None, requests: tuple[Request, ...]
) -> Step:
    return Step(
        verb=verb,
        thing=name,
        before=before,
        after=after,
        requests=requests,
        dangers=dangers(name, before, after),
    )


# --- in which order --------------------------------------------------------------------------------------

_PUT: Final = (PROVIDER, POLICY, GROUP, ROLE, SERVICE_ACCOUNT, USER, TEMPLATE, KEY)
_GONE: Final = (USER, SERVICE_ACCOUNT, ROLE, GROUP, POLICY, PROVIDER, KEY, TEMPLATE)


def _order(step: Step) -> tuple[int, int, str]:
    kind = kind_of(step.thing)
    if kind == GUARDRAIL:
        return (0 if step.before is not None and loosened(step.before, step.after) else 3), 0, step.thing
    if step.verb is Verb.DELETE:
        return 2, _GONE.index(kind), step.thing
    return 1, _PUT.index(kind), step.thing


# --- requests --------------------------------------------------------------------------------------------


def _text(policy: object) -> str:
    return "" if policy is None else policy_text(policy)


def _put_text(operation: str, name: str, after: Thing) -> Request:
    return Request(operation, {"name": own_name(name), "text": _text(after["policy"])})


def _put_template(name: str, after: Thing) -> Request:
    return Request("PutTemplate", {"name": own_name(name), "text": template(after).text})


def _named(name: str) -> dict[str, Any]:
    return {"kind": kind_of(name), "name": own_name(name)}


def _parts(thing: Thing) -> dict[str, Any]:
    """A principal's parts as the API takes them."""
    return {part: _text(value) if part in ("policy", "trust") else value for part, value in thing.items()}


def _create_principal(name: str, after: Thing) -> Request:
    parts = {part: value for part, value in _parts(after).items() if part != "enabled"}
    return Request("CreatePrincipal", {**_named(name), **parts})


def _created(name: str, after: Thing) -> Iterator[Request]:
    yield _CREATE[kind_of(name)](name, after)
    if kind_of(name) in PRINCIPALS and not after["enabled"]:
        yield Request("UpdatePrincipal", {**_named(name), "enabled": False})


def _update_principal(name: str, before: Thing, after: Thing) -> Request:
    changed = {part: value for part, value in _parts(after).items() if before.get(part) != after[part]}
    return Request("UpdatePrincipal", {**_named(name), **changed})


def _provider(operation: str, name: str, after: Thing) -> Request:
    return Request(operation, {"url": own_name(name), **after})


_CREATE: Final = {
    POLICY: lambda name, after: _put_text("PutPolicy", name, after),
    GUARDRAIL: lambda name, after: _put_text("PutGuardrail", name, after),
    TEMPLATE: _put_template,
    PROVIDER: lambda name, after: _provider("CreateProvider", name, after),
    **dict.fromkeys(PRINCIPALS, _create_principal),
}
_CHANGE: Final = {
    POLICY: lambda name, _, after: _put_text("PutPolicy", name, after),
    GUARDRAIL: lambda name, _, after: _put_text("PutGuardrail", name, after),
    TEMPLATE: lambda name, _, after: _put_template(name, after),
    PROVIDER: lambda name, _, after: _provider("UpdateProvider", name, after),
    **dict.fromkeys(PRINCIPALS, _update_principal),
}
_DELETE: Final = {
    POLICY: lambda name: Request("DeletePolicy", {"name": own_name(name)}),
    GUARDRAIL: lambda name: Request("DeleteGuardrail", {"name": own_name(name)}),
    TEMPLATE: lambda name: Request("DeleteTemplate", {"name": own_name(name)}),
    PROVIDER: lambda name: Request("DeleteProvider", {"url": own_name(name)}),
    KEY: lambda name: Request("DeleteAlias", _alias(name)),
    **dict.fromkeys(PRINCIPALS, lambda name: Request("DeletePrincipal", _named(name))),
}


def _alias(name: str) -> dict[str, Any]:
    region, alias = place_of(name)
    return {"region": region, "name": f"alias/{alias}"}


def _new_key(name: str, after: Thing) -> Iterator[Request]:
    region, _ = place_of(name)
    if after["template"]:
        yield _ensure(name, after)
    else:
        made = {part: after[part] for part in ("spec", "usage", "description", "tags", "multi_region")}
        policy = {} if after["policy"] is None else {"policy": _text(after["policy"])}
        yield Request("CreateKey", {"region": region, **made, **policy})
        yield Request("CreateAlias", {**_alias(name), "key_id": MADE})
        if after["rotation_days"] is not None:
            yield _rotation(region, MADE, after)
    if not after["enabled"]:
        yield Request("DisableKey", {"region": region, "key_id": MADE})


def _changed_key(name: str, key_id: str, before: Thing, after: Thing, account: str) -> Iterator[Request]:
    region, _ = place_of(name)
    key = {"region": region, "key_id": key_id}
    was_enabled = before.get("enabled", after["enabled"])
    if after["enabled"] and not was_enabled:  # first, because a disabled key's rotation cannot be changed
        yield Request("EnableKey", key)
    parts = ("description", "tags", "rotation_days", "policy")
    if after["template"]:
        if any(before[part] != after[part] for part in parts):
            yield _ensure(name, after)
    else:
        yield from _changed_parts(key, before, after)
    if was_enabled and not after["enabled"]:
        yield Request("DisableKey", key)
    # Last, because after it the key's policy may deny what came before.
    if not after["template"] and before["policy"] != after["policy"]:
        policy = default_key_policy(account) if after["policy"] is None else _text(after["policy"])
        yield Request("PutKeyPolicy", {**key, "policy": policy})


def _changed_parts(key: Mapping[str, str], before: Thing, after: Thing) -> Iterator[Request]:
    if before["description"] != after["description"]:
        yield Request("UpdateKeyDescription", {**key, "description": after["description"]})
    put = {name: value for name, value in after["tags"].items() if before["tags"].get(name) != value}
    if put:
        yield Request("TagResource", {**key, "tags": put})
    gone = sorted(before["tags"].keys() - after["tags"].keys())
    if gone:
        yield Request("UntagResource", {**key, "names": gone})
    if before["rotation_days"] != after["rotation_days"]:
        if after["rotation_days"] is None:
            yield Request("DisableKeyRotation", dict(key))
        else:
            yield _rotation(key["region"], key["key_id"], after)


def _rotation(region: str, key_id: str, after: Thing) -> Request:
    return Request(
        "EnableKeyRotation", {"region": region, "key_id": key_id, "period_days": after["rotation_days"]}
    )


def _ensure(name: str, after: Thing) -> Request:
    region, _ = place_of(name)
    return Request(
        "EnsureKey",
        {
            "region": region,
            "template": after["template"],
            "name": after["named"],
            "parameters": after["parameters"],
        },
    )
