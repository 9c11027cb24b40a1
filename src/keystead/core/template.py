"""Key templates: what the keys are like that people may have made for them by a name.

A template is a JSON object. Where its description, tags, policy and alias have ``<<name>>``, a key gets its own name,
and so with every other parameter::

    {
      "alias": "app/<<name>>",
      "tags": {"team": "<<team>>"},
      "parameters": {"team": ["payments", "risk-*"]}
    }

What may stand for a parameter is a list of patterns (``*``, ``?`` and ``[a-z]``, as in file names). Whatever they let
through has letters, digits and a few signs only: nobody gets an asterisk or a policy variable into a key's policy by
asking for a key. A parameter takes the place of text within a string and never of JSON itself.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from keystead.core import spec
from keystead.core.errors import InvalidRequest, KeysteadError
from keystead.core.policy import check_denials, parse_key_policy

MOST_BYTES: Final = 65_536
PERIOD_DAYS: Final = range(90, 2561)
"""How often a key may rotate (AWS KMS, "Rotation period")."""

MEMBERS: Final = (
    "alias",
    "description",
    "multi_region",
    "parameters",
    "policy",
    "rotation_days",
    "spec",
    "tags",
    "usage",
)

_TEMPLATE_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
# The search for an end stops at the next beginning, so that a text of beginnings is not read once for each of them.
_PLACE: Final = re.compile(r"<<((?:(?!<<|>>).)*)>>")
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9/_-]{1,200}")
_VALUE: Final = re.compile(r"[A-Za-z0-9_+=,.@:/ -]{1,128}")
_ALIAS: Final = re.compile(r"[A-Za-z0-9/_-]{1,250}")
_MOST_PARAMETERS: Final = 20
_MOST_PATTERNS: Final = 100
_LONGEST_PATTERN: Final = 128
_CLASS: Final = re.compile(r"\[([^]])[^]]*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a key is to be like. ``alias`` begins with ``alias/``; ``policy`` is JSON text, None for the default."""

    alias: str
    spec: str
    usage: str
    description: str
    multi_region: bool
    policy: str | None
    rotation_days: int | None
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template that was read. Texts still have their places."""

    alias: str
    spec: str
    usage: str
    description: str
    multi_region: bool
    policy: Any  # JSON, None for the default
    rotation_days: int | None
    tags: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, tuple[str, ...]], ...]  # each with its patterns

    @property
    def text(self) -> str:
        """The template as JSON with all that it leaves open filled in: one form for one meaning."""
        return json.dumps(self.members, sort_keys=True, separators=(",", ":"))

    @property
    def members(self) -> dict[str, Any]:
        """The same, as JSON's values."""
        return {
            "alias": self.alias,
            "description": self.description,
            "multi_region": self.multi_region,
            "parameters": {name: list(patterns) for name, patterns in self.parameters},
            "policy": self.policy,
            "rotation_days": self.rotation_days,
            "spec": self.spec,
            "tags": dict(self.tags),
            "usage": self.usage,
        }

    def shape(self, name: str, parameters: Mapping[str, str]) -> Shape:
        """The key of that name; raises `InvalidRequest` for what the template does not let through."""
        if not _KEY_NAME.fullmatch(name):
            raise InvalidRequest("A key's name is 1 to 200 letters, digits and the characters / _ -")
        known = dict(self.parameters)
        given = {**parameters, "name": name}
        unknown = sorted(parameters.keys() - known.keys())
        if unknown or "name" in parameters:
            raise InvalidRequest(f"The template has no parameter {(*unknown, 'name')[0][:32]} to be given.")
        for each, patterns in known.items():
            value = given.get(each)
            if value is None:
                raise InvalidRequest(f"The template needs the parameter {each}: {_choice(patterns)}.")
            if not _VALUE.fullmatch(value) or not any(fnmatchcase(value, one) for one in patterns):
                raise InvalidRequest(f"The parameter {each} must be {_choice(patterns)}.")
        alias = _filled(self.alias, given)
        if not _ALIAS.fullmatch(alias) or alias.startswith("aws/"):
            raise InvalidRequest(f"alias/{alias} is no name that a key may have.")
        filled = _everywhere(self.policy, lambda text: _filled(text, given))
        return Shape(
            alias=f"alias/{alias}",
            spec=self.spec,
            usage=self.usage,
            description=_filled(self.description, given),
            multi_region=self.multi_region,
            policy=None if filled is None else policy_text(filled),
            rotation_days=self.rotation_days,
            tags=tuple((each, _filled(value, given)) for each, value in self.tags),
        )


def parse_template(text: str) -> Template:
    """A template from its JSON text; raises `InvalidRequest` with what is wrong."""
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise InvalidRequest(f"The template is larger than {MOST_BYTES} bytes.")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("The template is not valid JSON.") from None
    if not isinstance(raw, dict):
        raise InvalidRequest("The template must be a JSON object.")
    return template(raw)


def template(raw: Mapping[str, Any]) -> Template:
    """A template from the members of its JSON object; raises `InvalidRequest` with what is wrong."""
    unknown = sorted(set(raw).difference(MEMBERS))
    if unknown:
        raise InvalidRequest(f"The template has a member that is not known: {unknown[0][:64]}.")
    alias = raw.get("alias", "<<name>>")
    description = raw.get("description", "")
    tags = raw.get("tags", {})
    _require(isinstance(alias, str) and "<<name>>" in alias, "alias must be a text that has <<name>>")
    _require(isinstance(description, str) and len(description) <= 8192, "description must be a text")  # noqa: PLR2004 - AWS's bound
    _require(
        isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values()),
        "tags must be an object of texts",
    )
    multi_region = raw.get("multi_region", False)
    _require(isinstance(multi_region, bool), "multi_region must be true or false")
    spec_name, usage = _spec_and_usage(raw)
    rotation = raw.get("rotation_days")
    _require(
        rotation is None or (type(rotation) is int and rotation in PERIOD_DAYS),
        f"rotation_days must be from {PERIOD_DAYS[0]} to {PERIOD_DAYS[-1]}",
    )
    _require(rotation is None or spec_name == spec.SYMMETRIC, f"only keys of spec {spec.SYMMETRIC} rotate")
    policy = raw.get("policy")
    _require(policy is None or isinstance(policy, dict), "policy must be an object")
    found = Template(
        alias=alias.removeprefix("alias/"),
        spec=spec_name,
        usage=usage,
        description=description,
        multi_region=multi_region,
        policy=policy,
        rotation_days=rotation,
        tags=tuple(sorted(tags.items())),
        parameters=_parameters(raw.get("parameters", {})),
    )
    _try(found, parse_key_policy)
    return found


def check_template(found: Template) -> Template:
    """Refuse a template whose keys would have a Deny that could never apply; of those that are put, as policies are."""
    _try(found, lambda policy: check_denials(parse_key_policy(policy)))
    return found


def is_template_name(text: str) -> bool:
    """Whether a template may have that name."""
    return _TEMPLATE_NAME.fullmatch(text) is not None


def template_arn(account: str, name: str) -> str:
    """The ARN of a template."""
    return f"arn:aws:iam::{account}:template/{name}"


def policy_text(policy: object) -> str:
    """A policy as it is put: for people to read, unless it would be too large that way."""
    text = json.dumps(policy, indent=2, sort_keys=True, ensure_ascii=False)
    if len(text) <= _READABLE:
        return text
    return json.dumps(policy, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


_READABLE: Final = 16_384  # a policy may have twice that; whatever is longer is written without spaces


def _require(true: bool, must: str) -> None:  # noqa: FBT001 - as `assert` takes it
    if not true:
        raise InvalidRequest(f"The template's {must}.")


def _spec_and_usage(raw: Mapping[str, Any]) -> tuple[str, str]:
    named, usage = raw.get("spec", spec.SYMMETRIC), raw.get("usage")
    _require(
        isinstance(named, str) and (usage is None or isinstance(usage, str)),
        "spec and usage must be texts",
    )
    try:
        return spec.choose(named, usage)
    except KeysteadError as error:
        raise InvalidRequest(f"The template's spec or usage is wrong: {error}") from None


def _parameters(raw: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    _require(isinstance(raw, dict), "parameters must be an object")
    assert isinstance(raw, dict)  # noqa: S101 - as was required
    _require(len(raw) <= _MOST_PARAMETERS, f"parameters must be at most {_MOST_PARAMETERS}")
    found = []
    for name, given in sorted(raw.items()):
        _require(
            _PARAMETER.fullmatch(name) is not None,
            "parameters have names of small letters, digits and _, at most 32",
        )
        patterns = [given] if isinstance(given, str) else given
        _require(
            isinstance(patterns, list)
            and 0 < len(patterns) <= _MOST_PATTERNS
            and all(isinstance(one, str) and 0 < len(one) <= _LONGEST_PATTERN for one in patterns),
            f"parameter {name} must have a pattern, or a list of at most {_MOST_PATTERNS}",
        )
        found.append((name, tuple(patterns)))
    return tuple(found)


def _try(found: Template, check: Callable[[str], object]) -> None:
    """Make a key of examples, so that a template that could never be used is refused at once."""
    known = {name for name, _ in found.parameters} | {"name"}
    texts = [found.alias, found.description, *(value for _, value in found.tags), *_texts(found.policy)]
    for text in texts:
        for place in _PLACE.findall(text):
            _require(place in known, f"parameters have nothing for the place <<{place[:64]}>>")
    examples = {name: _example(patterns[0]) for name, patterns in found.parameters}
    name = examples.pop("name", "example")
    try:
        shape = found.shape(name, examples)
        if shape.policy is not None:
            check(shape.policy)
    except KeysteadError as error:
        with_ = "".join(f", {each} {value!r}" for each, value in sorted(examples.items()))
        raise InvalidRequest(
            f"No key can be made, for example of the name {name!r}{with_}: {error}"
        ) from None


def _example(pattern: str) -> str:
    """A text that a pattern lets through, if that is simple to tell."""
    return _CLASS.sub(r"\1", pattern).replace("?", "x").replace("*", "x")


def _choice(patterns: tuple[str, ...]) -> str:
    return " or ".join(patterns)


def _filled(text: str, given: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: given[place[1]], text)


def _texts(value: object) -> Iterator[str]:
    """The texts in a JSON value."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON's values
    """A JSON value with all its texts changed; names of members stay as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_everywhere(each, change) for each in value]
    if isinstance(value, dict):
        return {name: _everywhere(each, change) for name, each in value.items()}
    return value
