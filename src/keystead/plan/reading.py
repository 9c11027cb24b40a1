"""From documents to a `State`: strict, complete, and without asking anybody.

Every problem is found before anything is said: a member that is not known, a policy that does not parse, a name that
leads nowhere, two things of one name, a key that lacks a required tag. Each is told with its file and line.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from keystead.core import spec
from keystead.core.errors import InvalidRequest, KeysteadError
from keystead.core.policy import Document as Policy
from keystead.core.policy import (
    builtin,
    check_denials,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
    parse_trust_policy,
)
from keystead.core.principal import GROUP, HOUR, KINDS, ROLE, SERVICE_ACCOUNT, USER
from keystead.core.template import PERIOD_DAYS, Shape, Template, check_template, template
from keystead.plan import tags, things
from keystead.plan.documents import Directory, Document, Undeclarable, nearest
from keystead.plan.things import (
    DEFAULTS,
    GUARDRAIL,
    KEY,
    POLICY,
    PROVIDER,
    REQUIRED_TAGS,
    TEMPLATE,
    State,
    Thing,
    key_name,
    kind_of,
    own_name,
    text_of,
)

ACCOUNT: Final = "account"
"""A document that says which account a directory is of."""

MOST_DOCUMENTS: Final = 10_000
LONGEST_SESSION: Final = 12 * HOUR
TAG_NAME, TAG_VALUE = 128, 256

_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_ALIAS: Final = re.compile(r"[A-Za-z0-9/_-]{1,250}")
_REGION: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DIGITS: Final = re.compile(r"[0-9]{12}")
_POLICY_FILE: Final = (".json", ".yaml", ".yml")

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    ACCOUNT: frozenset({"id"}),
    POLICY: frozenset({"name", "policy"}),
    GUARDRAIL: frozenset({"name", "policy"}),
    PROVIDER: frozenset({"url", "audiences", "authorities"}),
    TEMPLATE: frozenset(
        {"name", "alias", "description", "multi_region", "parameters", "policy", "rotation_days"}
        | {"spec", "tags", "usage"}
    ),
    KEY: frozenset(
        {"name", "region", "description", "enabled", "multi_region", "parameters", "policy", "rotation_days"}
        | {"spec", "tags", "template", "usage"}
    ),
    REQUIRED_TAGS: frozenset({"name", "tags"}),
    USER: frozenset({"name", *DEFAULTS[USER]}),
    SERVICE_ACCOUNT: frozenset({"name", *DEFAULTS[SERVICE_ACCOUNT]}),
    ROLE: frozenset({"name", "trust", *DEFAULTS[ROLE]}),
    GROUP: frozenset({"name", *DEFAULTS[GROUP]}),
}
_OF_TEMPLATES: Final = frozenset({"name", "region", "enabled", "template", "parameters"})


class Declared:
    """What a directory declares: the state, and the account that it says it is of, if it does."""

    def __init__(self, state: State, account: str) -> None:
        self.state = state
        self.account = account


def read(directory: Directory, region: str) -> Declared:
    """What a directory declares; raises `Undeclarable` with all that is wrong. Keys are in ``region`` by default."""
    return _Reading(directory, region).read()


class _Problem(Exception):
    """Something is wrong at a place; the document is left out."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")


class _Reading:
    def __init__(self, directory: Directory, region: str) -> None:
        self._directory = directory
        self._region = region
        self._problems: list[str] = []
        self._state: State = {}
        self._from: dict[str, Document] = {}
        self._account = ""
        self._fetched: set[str] = set()  # files that documents took policies from
        self._required: dict[str, Thing] = {}

    def read(self) -> Declared:
        unclear: list[Document] = []
        documents = [each for of_file in self._directory.documents.values() for each in of_file]
        if len(documents) > MOST_DOCUMENTS:
            raise Undeclarable([f"There are more than {MOST_DOCUMENTS} documents."])
        keys: list[Document] = []
        for document in documents:
            kind = document.value.get("kind") if isinstance(document.value, dict) else None
            if kind is None:
                unclear.append(document)
            elif kind == KEY:
                keys.append(document)  # after the templates that they are made from
            else:
                self._take(document)
        for document in keys:
            self._take(document)
        for document in unclear:
            if document.file not in self._fetched:
                self._problems.append(f"{document.place()}: the document has no kind")
        for name, thing in self._state.items():
            self._check_references(name, thing)
        for name, thing in self._state.items():
            if kind_of(name) == KEY:
                for text in tags.lacking(self._required, thing):
                    self._problems.append(f"{self._from[name].place('tags')}: the key {text}")
        if self._problems:
            raise Undeclarable(sorted(self._problems))
        return Declared(dict(sorted(self._state.items())), self._account)

    def _take(self, document: Document) -> None:
        value = document.value
        kind = value["kind"]
        try:
            if not isinstance(kind, str) or kind not in _READERS:
                raise _Problem(
                    document.place("kind"), f"there is no kind {kind}{nearest(str(kind), tuple(_READERS))}"
                )
            for member in value:
                if member != "kind" and member not in _MEMBERS[kind]:
                    hint = nearest(str(member), sorted(_MEMBERS[kind]))
                    self._problems.append(f"{document.place(member)}: a {kind} has no member {member}{hint}")
            found = dict(_READERS[kind](self, document))
        except _Problem as problem:
            self._problems.append(str(problem))
            return
        for name, thing in found.items():
            if name in self._state:
                self._problems.append(
                    f"{document.place()}: {name} is declared already at {self._from[name].place()}"
                )
                continue
            self._state[name], self._from[name] = thing, document

    # --- kinds -------------------------------------------------------------------------------------------

    def read_account(self, document: Document) -> Iterator[tuple[str, Thing]]:
        number = str(document.value.get("id", ""))
        if not _DIGITS.fullmatch(number):
            raise _Problem(document.place("id"), "an account's id has twelve digits")
        if self._account and self._account != number:
            raise _Problem(document.place("id"), f"the directory is of account {self._account} already")
        self._account = number
        yield from ()

    def read_policy(self, document: Document) -> Iterator[tuple[str, Thing]]:
        yield (
            f"{POLICY}/{self._name(document)}",
            {"policy": self._policy(document, parse_identity_policy, needed=True)},
        )

    def read_guardrail(self, document: Document) -> Iterator[tuple[str, Thing]]:
        yield (
            f"{GUARDRAIL}/{self._name(document)}",
            {"policy": self._policy(document, parse_guardrail, needed=True)},
        )

    def read_principal(self, document: Document) -> Iterator[tuple[str, Thing]]:
        kind = document.value["kind"]
        defaults, value = DEFAULTS[kind], document.value
        thing: Thing = {
            "attached": sorted(set(self._texts(document, "attached"))),
            "enabled": self._truth(document, "enabled", default=True),
            "policy": self._policy(document, parse_identity_policy),
            "tags": self._tags(document, "tags"),
        }
        if "groups" in defaults:
            thing["groups"] = sorted(set(self._texts(document, "groups")))
        if "boundary" in defaults:
            thing["boundary"] = self._text(document, "boundary")
        if kind == ROLE:
            thing["trust"] = self._policy(document, parse_trust_policy, "trust", needed=True)
            seconds = value.get("session_seconds", HOUR)
            if type(seconds) is not int or not HOUR <= seconds <= LONGEST_SESSION:
                raise _Problem(
                    document.place("session_seconds"),
                    f"session_seconds is a number from {HOUR} to {LONGEST_SESSION}",
                )
            thing["session_seconds"] = seconds
        yield f"{kind}/{self._name(document)}", thing

    def read_provider(self, document: Document) -> Iterator[tuple[str, Thing]]:
        url = self._text(document, "url")
        if not url.startswith(("https://", "http://")) or len(url) > 255:  # noqa: PLR2004 - AWS's bound
            raise _Problem(document.place("url"), "url is the issuer's address, https://...")
        audiences = self._texts(document, "audiences")
        if not audiences:
            raise _Problem(document.place("audiences"), "a provider has audiences: whom its tokens are for")
        authorities = self._text(document, "authorities")
        if authorities and "-----BEGIN" not in authorities:
            if authorities not in self._directory.texts:
                raise _Problem(
                    document.place("authorities"), f"there is no file {authorities} with certificates"
                )
            authorities = self._directory.texts[authorities]
        yield f"{PROVIDER}/{url}", {"audiences": sorted(set(audiences)), "authorities": authorities}

    def read_template(self, document: Document) -> Iterator[tuple[str, Thing]]:
        raw = {name: value for name, value in document.value.items() if name in _MEMBERS[TEMPLATE] - {"name"}}
        if isinstance(raw.get("policy"), str):
            raw["policy"] = self._fetch(document, "policy")
        if "tags" in raw:
            raw["tags"] = self._tags(document, "tags")
        try:
            yield f"{TEMPLATE}/{self._name(document)}", check_template(template(raw)).members
        except InvalidRequest as error:
            raise _Problem(document.place(), str(error)) from None

    def read_key(self, document: Document) -> Iterator[tuple[str, Thing]]:
        value = document.value
        region = self._text(document, "region") or self._region
        if not _REGION.fullmatch(region):
            raise _Problem(document.place("region"), f"{region} is no Region")
        name = self._text(document, "name").removeprefix("alias/")
        enabled = self._truth(document, "enabled", default=True)
        if "template" in value:
            shape, more = self._shape(document, name)
            thing = _of_shape(shape)
            yield key_name(region, shape.alias), {**thing, **more, "enabled": enabled}
            return
        if not _ALIAS.fullmatch(name) or name.startswith("aws/"):
            raise _Problem(
                document.place("name"), "a key's name is 1 to 250 letters, digits and the characters / _ -"
            )
        if "parameters" in value:
            raise _Problem(document.place("parameters"), "only a key with a template has parameters")
        usage = value.get("usage")
        try:
            spec_name, usage_name = spec.choose(self._text(document, "spec") or spec.SYMMETRIC, usage)
        except KeysteadError as error:
            raise _Problem(document.place("spec"), str(error)) from None
        days = value.get("rotation_days")
        if days is not None and (type(days) is not int or days not in PERIOD_DAYS):
            raise _Problem(
                document.place("rotation_days"),
                f"rotation_days is a number from {PERIOD_DAYS[0]} to {PERIOD_DAYS[-1]}",
            )
        if days is not None and spec_name != spec.SYMMETRIC:
            raise _Problem(
                document.place("rotation_days"), f"only keys of spec {spec.SYMMETRIC} rotate by themselves"
            )
        yield (
            key_name(region, name),
            {
                "description": self._text(document, "description"),
                "enabled": enabled,
                "multi_region": self._truth(document, "multi_region", default=False),
                "policy": self._policy(document, parse_key_policy),
                "rotation_days": days,
                "spec": spec_name,
                "tags": self._tags(document, "tags"),
                "template": "",
                "usage": usage_name,
            },
        )

    def read_required_tags(self, document: Document) -> Iterator[tuple[str, Thing]]:
        if self._required:
            raise _Problem(document.place(), "there are required-tags already: put them together")
        name = self._text(document, "name") or REQUIRED_TAGS
        raw = document.value.get("tags")
        if not isinstance(raw, dict) or not raw:
            raise _Problem(document.place("tags"), "tags has for each required tag what its value may be")
        for tag, limits in raw.items():
            _check_required(document, tag, limits)
        required = {tag: tags.normal(limits) for tag, limits in raw.items()}
        policy = tags.guardrail(required)
        try:
            parse_guardrail(text_of(policy))
        except KeysteadError as error:
            raise _Problem(document.place("tags"), str(error)) from None
        self._required = required
        yield f"{REQUIRED_TAGS}/{name}", {"tags": required}
        yield f"{GUARDRAIL}/{name}", {"policy": policy}

    # --- members -----------------------------------------------------------------------------------------

    def _name(self, document: Document) -> str:
        name = document.value.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            kind = document.value["kind"]
            raise _Problem(
                document.place("name"),
                f"a {kind} has a name of 1 to 64 letters, digits and the characters + = , . @ _ -",
            )
        return name

    def _text(self, document: Document, member: str) -> str:
        value = document.value.get(member, "")
        if not isinstance(value, str):
            raise _Problem(document.place(member), f"{member} is a text")
        return value

    def _texts(self, document: Document, member: str) -> list[str]:
        value = document.value.get(member, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise _Problem(document.place(member), f"{member} is a list of texts")
        return value

    def _truth(self, document: Document, member: str, *, default: bool) -> bool:
        value = document.value.get(member, default)
        if not isinstance(value, bool):
            raise _Problem(document.place(member), f"{member} is true or false")
        return value

    def _tags(self, document: Document, member: str) -> dict[str, str]:
        value = document.value.get(member, {})
        if not isinstance(value, dict):
            raise _Problem(document.place(member), f"{member} is an object of names and values")
        for name, text in value.items():
            if not isinstance(text, str):
                raise _Problem(
                    document.place(member, name), f"the value of {name} is a text: put it in quotes"
                )
            if not 1 <= len(name) <= TAG_NAME or len(text) > TAG_VALUE or name.lower().startswith("aws:"):
                raise _Problem(document.place(member, name), f"{name} is no tag that can be given")
        return dict(sorted(value.items()))

    def _policy(
        self,
        document: Document,
        parse: Callable[[str], Policy],
        member: str = "policy",
        *,
        needed: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON's values
        value = document.value.get(member)
        if value is None:
            if needed:
                raise _Problem(document.place(), f"a {document.value['kind']} has a {member}")
            return None
        if isinstance(value, str):
            value = self._fetch(document, member)
        try:
            check_denials(parse(text_of(value)))
        except KeysteadError as error:
            raise _Problem(document.place(member), str(error)) from None
        return value

    def _fetch(self, document: Document, member: str) -> Any:  # noqa: ANN401 - as above
        """The policy in the file that a member names."""
        file = document.value[member]
        found = self._directory.documents.get(file, ()) if file.endswith(_POLICY_FILE) else ()
        if len(found) != 1:
            files = sorted(self._directory.documents)
            raise _Problem(
                document.place(member), f"there is no file {file} with one policy{nearest(file, files)}"
            )
        self._fetched.add(file)
        return found[0].value

    def _shape(self, document: Document, name: str) -> tuple[Shape, Thing]:
        for member in document.value.keys() - _OF_TEMPLATES - {"kind"}:
            if member in _MEMBERS[KEY]:
                raise _Problem(document.place(member), f"a key with a template has no {member} of its own")
        wanted = self._text(document, "template")
        raw = self._state.get(f"{TEMPLATE}/{wanted}")
        if raw is None:
            known = [own_name(each) for each in self._state if kind_of(each) == TEMPLATE]
            raise _Problem(
                document.place("template"), f"there is no template {wanted}{nearest(wanted, known)}"
            )
        parameters = document.value.get("parameters", {})
        if not isinstance(parameters, dict) or not all(isinstance(each, str) for each in parameters.values()):
            raise _Problem(document.place("parameters"), "parameters is an object of texts")
        made: Template = template(raw)
        try:
            shape = made.shape(name, parameters)
            if shape.policy is not None:
                check_denials(parse_key_policy(shape.policy))
        except KeysteadError as error:
            raise _Problem(document.place("parameters"), str(error)) from None
        return shape, {
            "template": wanted,
            "named": name,
            "parameters": dict(sorted(parameters.items())),
        }

    # --- references --------------------------------------------------------------------------------------

    def _check_references(self, name: str, thing: Thing) -> None:
        if kind_of(name) not in things.PRINCIPALS:
            return
        document = self._from[name]
        policies = [own_name(each) for each in self._state if kind_of(each) == POLICY]
        groups = [own_name(each) for each in self._state if kind_of(each) == GROUP]
        thing["attached"] = sorted(
            self._reference(document, "attached", each, policies) for each in thing["attached"]
        )
        if thing.get("boundary"):
            thing["boundary"] = self._reference(document, "boundary", thing["boundary"], policies)
        for each in thing.get("groups", ()):
            if not each.startswith("arn:") and each not in groups:
                self._problems.append(
                    f"{document.place('groups')}: there is no group {each}{nearest(each, groups)}"
                )

    def _reference(self, document: Document, member: str, wanted: str, known: Sequence[str]) -> str:
        """A policy as things name it: by its name, or by its ARN if it is built in."""
        built_in = wanted if wanted.startswith("arn:") else f"{builtin.PREFIX}{wanted}"
        if wanted in known:
            return wanted
        if built_in in builtin.BUILT_IN:
            return built_in
        if not wanted.startswith("arn:") or wanted.startswith(builtin.PREFIX):
            names = [*known, *(each.removeprefix(builtin.PREFIX) for each in builtin.BUILT_IN)]
            hint = nearest(wanted.removeprefix(builtin.PREFIX), names)
            self._problems.append(f"{document.place(member)}: there is no policy {wanted}{hint}")
        return wanted


def _of_shape(shape: Shape) -> Thing:
    return {
        "description": shape.description,
        "multi_region": shape.multi_region,
        "policy": None if shape.policy is None else json.loads(shape.policy),
        "rotation_days": shape.rotation_days,
        "spec": shape.spec,
        "tags": dict(shape.tags),
        "usage": shape.usage,
    }


def _check_required(document: Document, tag: str, limits: object) -> None:
    """Refuse a required tag whose limits are none."""
    place = document.place("tags", tag)
    if not 1 <= len(tag) <= TAG_NAME or tag.lower().startswith("aws:"):
        raise _Problem(place, f"{tag} is no tag that can be given")
    if isinstance(limits, dict):
        unknown = sorted(limits.keys() - {"values", "pattern", "only"})
        if unknown:
            hint = nearest(unknown[0], ("values", "pattern", "only"))
            raise _Problem(
                document.place("tags", tag, unknown[0]), f"a required tag has no {unknown[0]}{hint}"
            )
        if "values" in limits and "pattern" in limits:
            raise _Problem(place, "a required tag has values or a pattern, not both")
        only = limits.get("only", {})
        if not isinstance(only, dict) or not only.keys() <= {"specs", "usages"}:
            raise _Problem(place, "only has specs, usages, or both")
        known = {
            "specs": set(spec.SPECS),
            "usages": {use for each in spec.SPECS.values() for use in each.usages},
        }
        for name, those in only.items():
            if not isinstance(those, list) or not those or not set(those) <= known[name]:
                raise _Problem(place, f"only: {name} is a list of what keys can have")
        limits = limits.get("values", limits.get("pattern", "?*"))
    values = [limits] if isinstance(limits, str) else limits
    if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
        raise _Problem(place, f"what {tag} may be is a pattern or a list of values")


_Reader = Callable[[_Reading, Document], Iterator[tuple[str, Thing]]]

_READERS: Final[Mapping[str, _Reader]] = {
    ACCOUNT: _Reading.read_account,
    POLICY: _Reading.read_policy,
    GUARDRAIL: _Reading.read_guardrail,
    PROVIDER: _Reading.read_provider,
    TEMPLATE: _Reading.read_template,
    KEY: _Reading.read_key,
    REQUIRED_TAGS: _Reading.read_required_tags,
    **dict.fromkeys(KINDS, _Reading.read_principal),
}
