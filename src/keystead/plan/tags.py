"""Required tags: which tags every key must have, as a guardrail that the server enforces.

``required-tags`` gives for each tag what its value may be, and can limit that to keys of some specs or usages. What
becomes of it denies to make a key without the tag or with another value, to give the tag another value, and to take it
away. It denies everybody in the account, whatever their policies and the keys' say.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import translate
from typing import Any, Final

from keystead.plan.things import Thing

_ANY: Final = ["?*"]
_WORD: Final = re.compile(r"[^A-Za-z0-9]+")
_MAKING: Final = ["kms:CreateKey", "kms:ReplicateKey"]


def guardrail(required: Mapping[str, Thing]) -> Thing:
    """The guardrail for required tags: by name what each may be (``values``), and of what keys (``only``)."""
    return {
        "Version": "2012-10-17",
        "Statement": [statement for name in sorted(required) for statement in _of(name, required[name])],
    }


def normal(raw: object) -> Thing:
    """One required tag in its normal form, from a pattern, a list of values, or an object of both kinds of limits."""
    found = {"values": raw} if isinstance(raw, str | list) else dict(raw) if isinstance(raw, Mapping) else {}
    values = found.get("values", found.get("pattern", _ANY))
    only = found.get("only", {})
    return {
        "only": {name: sorted(only[name]) for name in sorted(only)},
        "values": [values] if isinstance(values, str) else sorted(values),
    }


def lacking(required: Mapping[str, Thing], key: Mapping[str, Any]) -> list[str]:
    """What a key lacks, in words: ``key`` has a spec, a usage and tags."""
    found = []
    for name in sorted(required):
        only, values = required[name]["only"], required[name]["values"]
        if key["spec"] not in only.get("specs", [key["spec"]]):
            continue
        if key["usage"] not in only.get("usages", [key["usage"]]):
            continue
        value = key["tags"].get(name)
        if value is None:
            found.append(f"has no tag {name}")
        elif not any(_like(pattern).fullmatch(value) for pattern in values):
            found.append(f"has the tag {name} with the value {value!r}, which is not {' or '.join(values)}")
    return found


def _of(name: str, required: Thing) -> Iterator[Thing]:
    only, values = required["only"], required["values"]
    limits = {}
    if "specs" in only:
        limits["kms:KeySpec"] = only["specs"]
    if "usages" in only:
        limits["kms:KeyUsage"] = only["usages"]
    for_keys = {"StringEquals": limits} if limits else {}
    label = "".join(word.capitalize() for word in _WORD.split(name)) or "Tag"
    tag = f"aws:RequestTag/{name}"
    yield _deny(f"{label}Missing", _MAKING, {**for_keys, "Null": {tag: "true"}})
    # The condition key of a tag does not tell capitals from small letters, and the names of tags do.
    yield _deny(
        f"{label}Misspelt", _MAKING, {**for_keys, "ForAllValues:StringNotEquals": {"aws:TagKeys": name}}
    )
    if values != ["*"]:
        wrong = {"StringNotLike": {tag: values}}
        yield _deny(f"{label}Wrong", _MAKING, {**for_keys, **wrong})
        yield _deny(f"{label}Changed", ["kms:TagResource"], {**for_keys, "Null": {tag: "false"}, **wrong})
    kept = {"ForAnyValue:StringEquals": {"aws:TagKeys": name}}
    yield _deny(f"{label}Removed", ["kms:UntagResource"], {**for_keys, **kept})


def _deny(label: str, actions: list[str], condition: Thing) -> Thing:
    return {"Sid": label, "Effect": "Deny", "Action": actions, "Resource": "*", "Condition": condition}


def _like(pattern: str) -> re.Pattern[str]:
    """A pattern as policies have it: brackets mean themselves."""
    return re.compile(translate(pattern.replace("[", "[[]")))
