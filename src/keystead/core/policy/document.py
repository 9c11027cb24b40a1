"""Policy documents: from JSON to statements that are ready to be asked.

Everything is checked here, once, when a policy is put: whatever is not understood is refused with the statement
and the name of the element, because a statement that is half understood must never be half obeyed.

A document keeps for each action and resource the statements that speak of them, so that a decision looks at no
others, and for a key policy also by whom they name: what it costs does not grow with what a policy lists.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from keystead.core.errors import MalformedPolicy
from keystead.core.policy import keys
from keystead.core.policy.actions import misnamed, near
from keystead.core.policy.conditions import Condition, Unreadable, condition
from keystead.core.policy.statement import Effect, Memory, Ordered, Statement
from keystead.core.policy.wildcards import (
    Get,
    Live,
    Matcher,
    Template,
    Variable,
    matcher,
    needle,
    pattern,
    template,
    varying,
)

MAX_BYTES: Final = 32_768
"""The largest policy document (AWS KMS, "Resource quotas")."""

VERSION_DIGITS: Final = 12
"""Of a document's version: 48 bits tell an account's policies apart, and say which text to look for."""

MAX_SID: Final = 256
"""The longest statement id."""

VERSIONS: Final = ("2012-10-17", "2008-10-17")
"""Of the language. The second, which holds where none is named, has no policy variables."""

_ACTIONS_KEPT: Final = 1024  # for which one document keeps the statements; there are not that many
_CHOICES_KEPT: Final = 256  # of statements, for each of these

RESOURCES: Final = Memory(65_536)
"""Which statements are about a resource, for all documents together."""


class Selection:
    """The statements of one document about one action on some resource.

    Whether a resource's variables and the conditions hold as well is for each request to tell.
    """

    __slots__ = ("allows", "allows_to", "denies", "denies_but", "denies_to")

    def __init__(self, statements: Sequence[Statement]) -> None:
        allows = [s for s in statements if s.effect is Effect.ALLOW]
        denies = [s for s in statements if s.effect is Effect.DENY]
        self.allows = _ordered(allows)
        self.denies = _ordered(denies)
        self.denies_but = _ordered([s for s in denies if s.all_but])
        self.allows_to = _by_name(allows)
        self.denies_to = _by_name([s for s in denies if not s.all_but])


def _ordered(statements: Sequence[Statement]) -> Ordered | None:
    return Ordered(tuple(statements)) if statements else None


def _by_name(statements: Sequence[Statement]) -> Mapping[str, Ordered]:
    found: dict[str, list[int]] = {}
    for index, statement in enumerate(statements):
        for name in statement.principals:
            found.setdefault(name, []).append(index)
    # Names of the same statements share what these have.
    choices = {tuple(those) for those in found.values()}
    ordered = {choice: Ordered(tuple(statements[index] for index in choice)) for choice in choices}
    return {name: ordered[tuple(those)] for name, those in found.items()}


class _About:
    """The statements of one document about one action, and of those the ones about a resource.

    Which these are is told by bits, one for each statement of the document: many resources have the same.
    """

    __slots__ = ("_choices", "_statements")

    def __init__(self, statements: Sequence[tuple[int, Statement]]) -> None:
        self._statements = statements
        self._choices: OrderedDict[int, Selection] = OrderedDict()

    def on(self, covering: int) -> Selection:
        """Those that are among the ones about a resource."""
        found = self._choices.get(covering)
        if found is None:
            found = self._choices[covering] = Selection([s for bit, s in self._statements if bit & covering])
            if len(self._choices) > _CHOICES_KEPT:
                self._choices.popitem(last=False)
        return found


class Document:
    """A parsed policy."""

    __slots__ = (
        "_about",
        "_always",
        "_covering",
        "_covers",
        "_selections",
        "depends_on",
        "name",
        "statements",
        "version",
    )

    def __init__(self, statements: tuple[Statement, ...] = (), name: str = "", version: str = "") -> None:
        self.statements = statements
        self.version = version  # the beginning of its text's SHA-256, in hex: another text is another version
        self.name = name  # which one it is, for the explanation: an ARN, say
        self.depends_on: frozenset[str] = frozenset().union(*(s.keys for s in statements))
        """The condition keys, in lower case, that a decision by this policy may need."""
        self._covers = tuple(
            (1 << index, s.within, s.resources)
            for index, s in enumerate(statements)
            if s.resources is not None
        )
        self._always = sum(1 << index for index, s in enumerate(statements) if s.resources is None)
        self._covering: dict[str, int] = {}
        # Where all statements are about all resources, an action is enough to find them.
        self._selections: dict[str, Selection] = {}
        self._about: dict[str, _About] = {}

    def about(self, action: str, resource: str) -> Selection:
        """Its statements about an action on a resource."""
        if not self._covers:
            found = self._selections.get(action)
            if found is None:
                if len(self._selections) >= _ACTIONS_KEPT:
                    self._selections.clear()
                found = self._selections[action] = Selection([s for s in self.statements if s.about(action)])
            return found
        covering = self._covering.get(resource)
        if covering is None:
            covering = self._always
            for bit, within, covers in self._covers:
                if within in resource and covers(resource):
                    covering |= bit
            RESOURCES.keep(self._covering, resource, covering)
        about = self._about.get(action)
        if about is None:
            if len(self._about) >= _ACTIONS_KEPT:
                self._about.clear()
            about = self._about[action] = _About(
                [(1 << index, s) for index, s in enumerate(self.statements) if s.about(action)]
            )
        return about.on(covering)


def version_of(text: str) -> str:
    """The version of a policy that is written so."""
    return sha256(text.encode(errors="replace")).hexdigest()[:VERSION_DIGITS]


def parse_key_policy(text: str, name: str = "") -> Document:
    """A key policy; raises `MalformedPolicy` with what is wrong and where."""
    return _parse(text, name, _KEY)


def parse_identity_policy(text: str, name: str = "") -> Document:
    """A policy that names nobody; an empty text allows nothing.

    Permission boundaries and session policies are written in the same way.
    """
    return _parse(text, name, _IDENTITY) if text else Document(name=name)


def parse_trust_policy(text: str, name: str = "") -> Document:
    """A role's trust policy: who may assume it. It is about that role, so its statements have no Resource.

    Conditions may ask for the claims of a token (``token.example.com:sub``) of the identity providers that the
    statement names as ``Federated``.
    """
    document = _parse(text, name, _TRUST)
    for index, statement in enumerate(document.statements):
        if "*" in statement.principals and statement.effect is Effect.ALLOW:
            raise MalformedPolicy(
                f"{_where(index, statement.label)}: Principal must say who may assume the role; everybody is too many."
            )
    return document


def parse_guardrail(text: str, name: str = "") -> Document:
    """A guardrail of an account: a policy that names nobody and only denies."""
    document = _parse(text, name, _IDENTITY)
    for index, statement in enumerate(document.statements):
        if statement.effect is Effect.ALLOW:
            raise MalformedPolicy(
                f"{_where(index, statement.label)}: Effect must be Deny, because a guardrail gives nothing."
            )
    return document


def default_key_policy(account: str) -> str:
    """The policy of a key that was created without one (recorded from AWS KMS)."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [
                {
                    "Sid": "Enable IAM User Permissions",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        },
        indent=2,
    )


class _Form(NamedTuple):
    """What the statements of one kind of policy may have."""

    principals: bool
    resources: bool
    claims: bool  # conditions on the claims of tokens


_KEY: Final = _Form(principals=True, resources=True, claims=False)
_IDENTITY: Final = _Form(principals=False, resources=True, claims=False)
_TRUST: Final = _Form(principals=True, resources=False, claims=True)


def _parse(text: str, name: str, form: _Form) -> Document:
    # No character has fewer bytes in UTF-8 than one, so what is counted here can be looked at at once.
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise MalformedPolicy(f"The policy is larger than {MAX_BYTES} bytes.")
    try:
        document = json.loads(text, object_pairs_hook=_no_member_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MalformedPolicy("The policy is not valid JSON.") from None
    if not isinstance(document, dict):
        raise MalformedPolicy("The policy must be a JSON object.")
    _only(document, {"Version", "Id", "Statement"}, "The policy")
    version = document.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise MalformedPolicy(f"The policy's Version must be {VERSIONS[0]}.")
    if not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy("The policy's Id must be a string.")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("The policy must have a Statement.")
    variables = version == VERSIONS[0]
    return Document(
        tuple(_statement(s, i, form, variables=variables) for i, s in enumerate(statements)),
        name,
        version_of(text),
    )


def _no_member_twice(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of two members with one name, readers differ on which counts, so there may be one only."""
    found = dict(members)
    if len(found) != len(members):
        raise MalformedPolicy("The policy has an object with two members of the same name.")
    return found


def _no_constant(name: str) -> object:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)


def _where(index: int, label: str) -> str:
    return f"Statement {index}" if label == f"#{index}" else f"Statement {index} ({label})"


def _statement(
    raw: Any,  # noqa: ANN401 - parsed JSON
    index: int,
    form: _Form,
    *,
    variables: bool,
) -> Statement:
    where = f"Statement {index}"
    if not isinstance(raw, dict):
        raise MalformedPolicy(f"{where} must be a JSON object.")
    known = (
        _ELEMENTS | (_WHO if form.principals else frozenset()) | (_WHICH if form.resources else frozenset())
    )
    _only(raw, known, where)
    sid = raw.get("Sid", "")
    # It is written into the audit entry of every decision it makes, so it must be short and writable.
    if not isinstance(sid, str) or len(sid) > MAX_SID or not sid.isprintable():
        raise MalformedPolicy(f"{where}: Sid must be a string of at most {MAX_SID} printable characters.")
    label = sid or f"#{index}"
    where = _where(index, label)
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicy(f"{where}: Effect must be Allow or Deny.")
    who, all_but = _principals(raw, where, effect) if form.principals else (frozenset[str](), False)
    what, not_actions = _either(raw, "Action", where)
    which, not_resources = _either(raw, "Resource", where) if form.resources else (["*"], False)
    resources, within, open_resources, needed = _resources(
        which, where, negated=not_resources, variables=variables
    )
    issuers = _issuers(who) if form.claims else ()
    conditions = _conditions(
        raw.get("Condition", {}), where, issuers, variables=variables, deny=effect == "Deny"
    )
    return Statement(
        label=label,
        effect=Effect(effect),
        principals=who,
        all_but=all_but,
        # ASCII, because without it a Kelvin sign would be the K of "kms".
        actions=pattern((Template((Live(w),)) for w in what), re.IGNORECASE | re.ASCII),
        not_actions=not_actions,
        resources=resources,
        within=within,
        open_resources=open_resources,
        open_keys=needed,
        conditions=conditions,
        tests=tuple(each.test for each in conditions),
        keys=needed.union(*(each.keys for each in conditions)),
        fixed=open_resources is None and not conditions,
        misnamed=tuple(filter(misnamed, what)) if effect == "Deny" and not not_actions else (),
    )


_ELEMENTS: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Condition"})
_WHICH: Final = frozenset({"Resource", "NotResource"})
_WHO: Final = frozenset({"Principal", "NotPrincipal"})


def _only(found: dict[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(found).difference(known))
    if unknown:
        raise MalformedPolicy(f"{where} has an element that is not supported here: {unknown[0]}.")


def _either(raw: dict[str, Any], name: str, where: str) -> tuple[list[str], bool]:
    """The texts of an element or of its opposite, and whether it was the opposite."""
    opposite = f"Not{name}"
    if name in raw and opposite in raw:
        raise MalformedPolicy(f"{where} has both {name} and {opposite}.")
    negated = opposite in raw
    found = opposite if negated else name
    return _strings(raw.get(found), f"{where}: {found}"), negated


def _strings(raw: Any, what: str) -> list[str]:  # noqa: ANN401 - parsed JSON
    values = [raw] if isinstance(raw, str) else raw
    if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
        raise MalformedPolicy(f"{what} must be a string or a list of strings.")
    return values


# --- who -------------------------------------------------------------------------------------------------


def _principals(raw: dict[str, Any], where: str, effect: str) -> tuple[frozenset[str], bool]:
    """The principals that a statement names, and whether it is about all others."""
    if "Principal" in raw and "NotPrincipal" in raw:
        raise MalformedPolicy(f"{where} has both Principal and NotPrincipal.")
    if "NotPrincipal" not in raw:
        return _named(raw.get("Principal"), f"{where}: Principal"), False
    if effect != "Deny":
        raise MalformedPolicy(
            f"{where}: NotPrincipal goes with the Effect Deny only: it would allow everybody else in the world."
        )
    names = _named(raw["NotPrincipal"], f"{where}: NotPrincipal")
    if "*" in names:
        raise MalformedPolicy(f"{where}: NotPrincipal must name principals, not *.")
    return names, True


def _named(raw: Any, what: str) -> frozenset[str]:  # noqa: ANN401 - parsed JSON
    if raw == "*":
        return frozenset("*")
    if not isinstance(raw, dict) or not raw:
        raise MalformedPolicy(f'{what} must be "*" or an object such as {{"AWS": "ARN"}}.')
    _only(raw, _KINDS, what)
    found = set[str]()
    for kind, value in raw.items():
        form, must = _KINDS[kind]
        names = _strings(value, what)
        if not all(form.fullmatch(name) for name in names):
            raise MalformedPolicy(f"{what} must be {must}.")
        found.update(names)
    return frozenset(found)


_KINDS: Final = {
    "AWS": (
        re.compile(
            r"\*|\d{12}|arn:aws:iam::\d{12}:(root|(user|role|service(-account)?)/[\w+=,.@/-]+)"
            r"|arn:aws:sts::\d{12}:(assumed-role|federated-user)/[\w+=,.@/-]+",
            re.ASCII,
        ),
        "an ARN of a user, a role or an account's root, an account number, or * alone",
    ),
    "Service": (
        re.compile(r"[\w-]+(\.[\w-]+)+", re.ASCII),
        'the name of a service such as "backup.example.com"',
    ),
    "Federated": (
        re.compile(r"arn:aws:iam::\d{12}:(saml|oidc)-provider/[\w+=,.@:/-]+|[\w-]+(\.[\w-]+)+", re.ASCII),
        "the ARN of an identity provider, or its host name",
    ),
}


# --- which resources -------------------------------------------------------------------------------------


def _resources(
    texts: list[str], where: str, *, negated: bool, variables: bool
) -> tuple[Matcher | None, str, Callable[[str, Get], bool] | None, frozenset[str]]:
    """What tells which resources a statement is about.

    That is a test with a text that is in all of them, or a test that needs values and which values.
    """
    element = f"{where}: {'NotResource' if negated else 'Resource'}"
    templates = []
    for text in texts:
        try:
            each = template(text, variables=variables)
        except ValueError:
            raise MalformedPolicy(f"{element} has a ${{ that does not begin a policy variable.") from None
        _check_keys(each, element)
        if each.keys and not _after_the_fifth_colon(each):
            raise MalformedPolicy(f"{element} has a policy variable before the fifth colon of the ARN.")
        templates.append(each)
    needed = frozenset[str]().union(*(each.keys for each in templates))
    plain = matcher([each for each in templates if not each.keys])
    if plain is None:
        return ((lambda _: False) if negated else None), "", None, frozenset()
    if not needed and negated:
        return (lambda text: not plain(text)), "", None, frozenset()
    if not needed:
        return plain, needle(templates[0]) if len(templates) == 1 else "", None, frozenset()
    filled = [varying(each, wildcards=True) for each in templates if each.keys]

    def matches(text: str, get: Get) -> bool:
        return (bool(plain(text)) or any(fits(text, get) for fits in filled)) is not negated

    return None, "", matches, needed


def _after_the_fifth_colon(each: Template) -> bool:
    return not any(part.keys for part in each.split()[:5])


def _check_keys(each: Template, element: str) -> None:
    for piece in each.pieces:
        if isinstance(piece, Variable) and not keys.known(piece.name):
            raise MalformedPolicy(
                f"{element} has a variable of an unknown condition key: {piece.name[:100]}."
            )


def check_denials(document: Document) -> Document:
    """Refuse a Deny that could never apply: it waits for a condition key that no request has yet, or for no action.

    An Allow that waits for one allows nothing, which is safe; a Deny that never denies is not. It is checked when a
    policy is put, and not when one that is stored is read.

    Wildcards may match nothing, and other services' actions are theirs to name: policies from AWS have both.
    """
    for statement in document.statements:
        for name in statement.misnamed:
            alike = " or ".join(near(name))
            hint = f"Did you mean {alike}?" if alike else "The reference of the policy language lists them."
            raise MalformedPolicy(
                f"Statement {statement.label} would never deny {name[:100]}: no action is called that. {hint}"
            )
        for each in statement.conditions if statement.effect is Effect.DENY else ():
            if not keys.filled(each.key) and not each.test(_nothing):
                raise MalformedPolicy(
                    f"Statement {statement.label} would never deny: no request has {each.key} yet. Write the condition "
                    "so that it holds where the key is missing (a negated operator, or one that ends in IfExists), or "
                    "leave it out."
                )
    return document


def _nothing(_name: str) -> None:
    """The values of a request that has none."""


# --- conditions ------------------------------------------------------------------------------------------


def _issuers(who: Iterable[str]) -> tuple[str, ...]:
    """What the names of claims begin with, for the identity providers among these principals, in lower case."""
    return tuple(
        f"{name.partition('oidc-provider/')[2]}:".lower() for name in who if "oidc-provider/" in name
    )


def _conditions(
    raw: Any,  # noqa: ANN401 - parsed JSON
    where: str,
    issuers: tuple[str, ...],
    *,
    variables: bool,
    deny: bool,
) -> tuple[Condition, ...]:
    element = f"{where}: Condition"
    if not isinstance(raw, dict):
        raise MalformedPolicy(f"{element} must be an object of operators.")
    found = []
    for name, wanted in raw.items():
        if not isinstance(wanted, dict) or not wanted:
            raise MalformedPolicy(f"{element}: {name[:100]} must be an object of condition keys.")
        for key, values in wanted.items():
            what = f"{element}: {name[:100]} {key[:100]}"
            if not keys.known(key) and not _is_claim(key, issuers):
                raise MalformedPolicy(f"{element} has an unknown condition key: {key[:100]}.")
            texts = _condition_values(values, what)
            try:
                compiled = condition(name, key, texts, variables=variables, deny=deny)
                if (
                    compiled is not None
                    and variables
                    and name.rpartition(":")[2].startswith(("String", "Arn"))
                ):
                    for text in texts:
                        _check_keys(template(text, variables=True), what)
            except Unreadable as error:
                raise MalformedPolicy(f"{what} {error}.") from None
            if compiled is None:
                raise MalformedPolicy(f"{element} has an unknown operator: {name[:100]}.")
            found.append(compiled)
    return tuple(found)


def _is_claim(key: str, issuers: tuple[str, ...]) -> bool:
    folded = key.lower()
    return any(folded.startswith(issuer) and len(folded) > len(issuer) for issuer in issuers)


def _condition_values(raw: Any, what: str) -> list[str]:  # noqa: ANN401 - parsed JSON
    values = raw if isinstance(raw, list) else [raw]
    if not values or not all(isinstance(value, str | bool | int | float) for value in values):
        raise MalformedPolicy(f"{what} must be a string or a list of strings.")
    return [json.dumps(value) if not isinstance(value, str) else value for value in values]
