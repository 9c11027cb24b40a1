"""Things: what can be declared, each under a name and with its properties in one normal form.

The name is the kind and the thing's own name, ``policy/readers``; of a key its Region and its alias as well,
``key/eu-central-1/app/web``. Properties are JSON's values. A policy is its JSON object, so that two texts that say the
same are the same; what is left open is filled in with what it stands for, so that two declarations of one thing are
equal exactly if they mean the same.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from keystead.core.policy import default_key_policy
from keystead.core.principal import GROUP, HOUR, ROLE, SERVICE_ACCOUNT, USER

Thing = dict[str, Any]
State = dict[str, Thing]

POLICY: Final = "policy"
GUARDRAIL: Final = "guardrail"
PROVIDER: Final = "provider"
TEMPLATE: Final = "template"
KEY: Final = "key"
REQUIRED_TAGS: Final = "required-tags"
"""Nothing on the server: it becomes a guardrail, and is remembered for `keystead.plan.drift`."""

PRINCIPALS: Final = (GROUP, ROLE, SERVICE_ACCOUNT, USER)

_OF_MEMBERS: Final[Thing] = {
    "attached": [],
    "boundary": "",
    "enabled": True,
    "groups": [],
    "policy": None,
    "tags": {},
}
DEFAULTS: Final[Mapping[str, Thing]] = {
    POLICY: {},
    GUARDRAIL: {},
    PROVIDER: {"authorities": ""},
    USER: _OF_MEMBERS,
    SERVICE_ACCOUNT: _OF_MEMBERS,
    GROUP: {"attached": [], "enabled": True, "policy": None, "tags": {}},
    ROLE: {
        "attached": [],
        "boundary": "",
        "enabled": True,
        "policy": None,
        "session_seconds": HOUR,
        "tags": {},
    },
    KEY: {
        "description": "",
        "enabled": True,
        "multi_region": False,
        "policy": None,
        "rotation_days": None,
        "tags": {},
        "template": "",
    },
}
"""What is meant by a property that is left open."""

UNSHOWN: Final = frozenset({"parameters", "named"})
"""Properties of a declared key that the server does not show: how its template is asked for it."""


def kind_of(name: str) -> str:
    """The kind of the thing with that name."""
    return name.partition("/")[0]


def own_name(name: str) -> str:
    """The thing's own name."""
    return name.partition("/")[2]


def place_of(name: str) -> tuple[str, str]:
    """The Region and the alias, without ``alias/``, of the key with that name."""
    region, _, alias = own_name(name).partition("/")
    return region, alias


def key_name(region: str, alias: str) -> str:
    """The name of a key; ``alias`` may begin with ``alias/``."""
    return f"{KEY}/{region}/{alias.removeprefix('alias/')}"


def shown(thing: Thing | None) -> Thing:
    """The properties that are compared."""
    return {name: value for name, value in (thing or {}).items() if name not in UNSHOWN}


def text_of(policy: object) -> str:
    """A policy's text in one form; empty for none."""
    return "" if policy is None else json.dumps(policy, sort_keys=True)


def localised(state: State, account: str) -> State:
    """A state whose ARNs of the account's own policies and groups are their names, as things are named here."""
    prefix = f"arn:aws:iam::{account}:"

    def short(value: str) -> str:
        return value.removeprefix(f"{prefix}policy/").removeprefix(f"{prefix}group/")

    found = {}
    for name, thing in state.items():
        changed = dict(thing)
        for list_of in {"attached", "groups"} & thing.keys():
            changed[list_of] = sorted({short(each) for each in thing[list_of]})
        if "boundary" in thing:
            changed["boundary"] = short(thing["boundary"])
        if kind_of(name) == KEY and changed["policy"] == json.loads(default_key_policy(account)):
            changed["policy"] = None
        found[name] = changed
    return found
