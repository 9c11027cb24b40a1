"""What there is on the server now, read through the native API, in the normal form of `keystead.plan.things`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keystead.core.errors import InvalidRequest
from keystead.core.principal import ROLE
from keystead.core.template import parse_template
from keystead.plan.things import (
    DEFAULTS,
    GUARDRAIL,
    POLICY,
    PRINCIPALS,
    PROVIDER,
    TEMPLATE,
    State,
    Thing,
    key_name,
    localised,
)

Ask = Callable[..., dict[str, Any]]
"""One operation of the native API: its name, and what it takes as keyword arguments."""

FORM: Final = 1
"""Of what a revision's state holds."""

PAGE: Final = 100
_FURTHEST: Final = 100  # revisions that are looked at for the last that was finished

_ENABLED: Final[Mapping[str, bool]] = {"Enabled": True, "Updating": True, "Disabled": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """See the module. ``keys`` has all that is told of each key, by its ARN's Region and id."""

    account: str
    things: State
    keys: Mapping[tuple[str, str], Mapping[str, Any]]
    left_out: int  # keys that the caller may not see


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the revisions say. ``state`` is that of the last one that was finished."""

    newest: int  # its number, 0 when there is none
    finished: int  # the number of the last that was
    state: State
    managed: frozenset[str]  # names of all things that this one and those begun after it have
    keys: Mapping[str, str]  # the ids of the keys that were ever declared, by name
    begun: float = 0.0  # when the newest one was, if it was not finished
    by: str = ""


def look(ask: Ask, regions: Iterable[str]) -> Present:
    """Read what there is, with the keys of those Regions."""
    things: State = {}
    for raw in _all(ask, "ListPolicies", "policies"):
        if not raw["built_in"]:
            things[f"{POLICY}/{raw['name']}"] = {"policy": _policy(raw["text"])}
    for raw in _all(ask, "ListPrincipals", "principals"):
        kind = raw["arn"].split(":", 5)[5].partition("/")[0]
        if kind in PRINCIPALS:  # and not a part of the service itself
            things[f"{kind}/{raw['name']}"] = _principal(kind, raw)
    for raw in _all(ask, "ListGuardrails", "guardrails"):
        things[f"{GUARDRAIL}/{raw['name']}"] = {"policy": _policy(raw["text"])}
    for raw in _all(ask, "ListProviders", "providers"):
        things[f"{PROVIDER}/{raw['url']}"] = {
            "audiences": sorted(raw["audiences"]),
            "authorities": raw["authorities"],
        }
    for raw in _all(ask, "ListTemplates", "templates"):
        things[f"{TEMPLATE}/{raw['name']}"] = parse_template(raw["text"]).members
    account, left_out = "", 0
    keys = {}
    for region in sorted(set(regions)):
        for page in _pages(ask, "ListKeyStates", region=region):
            account, left_out = page["account"], left_out + page["left_out"]
            for raw in page["keys"]:
                keys[raw["region"], raw["key_id"]] = raw
                for alias in raw["aliases"]:
                    things[key_name(region, alias)] = of_key(raw)
    return Present(account=account, things=localised(things, account), keys=keys, left_out=left_out)


def of_key(raw: Mapping[str, Any]) -> Thing:
    """The thing that a key is. A key that is neither enabled nor disabled has a ``state`` instead of ``enabled``."""
    thing = {
        "description": raw["description"],
        "multi_region": raw["multi_region"],
        "policy": _policy(raw["policy"]),
        "rotation_days": raw["rotation_days"],
        "spec": raw["spec"],
        "tags": dict(sorted(raw["tags"].items())),
        "template": raw["template"],
        "usage": raw["usage"],
    }
    if raw["state"] in _ENABLED:
        thing["enabled"] = _ENABLED[raw["state"]]
    else:
        thing["state"] = raw["state"]
    return thing


def record(ask: Ask) -> Record:
    """What the revisions say of what was declared until now."""
    newest = ask("DescribeRevision", number=0)
    number, managed = newest["number"], set[str]()
    revision = newest
    while revision["number"] and not revision["finished"]:
        managed |= things_of(revision).keys()
        before = revision["number"] - 1
        if not before or number - before >= _FURTHEST:
            revision = {"number": 0, "state": {}}
        else:
            revision = ask("DescribeRevision", number=before)
    state = things_of(revision)
    return Record(
        newest=number,
        finished=revision["number"],
        state=state,
        managed=frozenset(managed | state.keys()),
        keys=newest["keys"],
        begun=0.0 if not number or newest["finished"] else newest["created"],
        by=newest["by"],
    )


def things_of(revision: Mapping[str, Any]) -> State:
    """What a revision declares."""
    state = revision["state"]
    if state and state.get("form") != FORM:
        raise InvalidRequest(
            f"Revision {revision['number']} is in a form that this version does not know: use a newer one."
        )
    found: State = state.get("things", {})
    return found


def _principal(kind: str, raw: Mapping[str, Any]) -> Thing:
    thing = {name: raw[name] for name in DEFAULTS[kind]}
    thing["policy"] = _policy(raw["policy"])
    thing["tags"] = dict(sorted(raw["tags"].items()))
    if kind == ROLE:
        thing["trust"] = _policy(raw["trust"])
    return thing


def _policy(text: str) -> Any:  # noqa: ANN401 - JSON's values
    return json.loads(text) if text else None


def _all(ask: Ask, operation: str, member: str) -> Iterator[dict[str, Any]]:
    for page in _pages(ask, operation):
        yield from page[member]


def _pages(ask: Ask, operation: str, **arguments: object) -> Iterator[dict[str, Any]]:
    marker = ""
    while True:
        page = ask(operation, limit=PAGE, marker=marker, **arguments)
        yield page
        marker = page["marker"]
        if not marker:
            return
