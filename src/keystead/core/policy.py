"""Policies: who may do what, in AWS's policy language, and one function that decides.

Two documents have a say. The *key policy* belongs to a key and names principals. The *identity policy*
belongs to a principal. `decide` puts them together as AWS does:

1. an explicit Deny in either wins;
2. the key policy allows the principal by its own ARN or ``*``: allowed, within one account;
3. the key policy allows the *account* (its root ARN or number), and the identity policy allows the
   action: allowed. This is how a key policy hands the decision to the account's own policies;
4. from another account, both documents must allow;
5. where no key is involved, the identity policy alone decides;
6. everything else is denied.

This first cut knows ``Effect``, ``Principal``, ``Action`` and ``Resource`` with the wildcards ``*`` and
``?``. A document that uses more (``Condition``, ``NotAction``, ...) is refused when it is put, with the
element's name: a statement that is not understood must never be half obeyed.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from keystead.core.errors import MalformedPolicy

MAX_BYTES: Final = 32_768
"""The largest policy document (AWS KMS, "Resource quotas")."""

MAX_SID: Final = 256
"""The longest statement id."""

VERSIONS: Final = ("2012-10-17", "2008-10-17")


class Effect(StrEnum):
    """What a statement does when it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; patterns are compiled, principals are compared as text."""

    label: str  # the Sid, or #index from 0
    effect: Effect
    principals: frozenset[str]  # ARNs, account numbers or "*"; empty in an identity policy
    actions: re.Pattern[str]
    resources: re.Pattern[str]

    def applies(self, action: str, resource: str) -> bool:
        """Whether the statement speaks of this action on this resource."""
        return bool(self.actions.fullmatch(action) and self.resources.fullmatch(resource))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed policy."""

    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `decide` is asked. ``key_policy`` is None where no key is involved."""

    principal: str  # ARN
    account: str  # the principal's
    identity_policy: Document
    action: str  # "kms:Encrypt"
    resource: str  # ARN, or "*"
    key_policy: Document | None = None
    key_account: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer, with what made it: which policy and which statement, or what was missing."""

    allowed: bool
    source: str  # key-policy, identity-policy, none
    statement: str  # the label of the statement that decided; empty when none did
    reason: str  # how AWS ends the sentence "... is not authorized to perform: ...", empty when allowed


def decide(question: Question) -> Ruling:
    """Allow or deny one action; see the module's six rules."""
    key_policy = question.key_policy
    own = {question.principal, "*"}
    account = {f"arn:aws:iam::{question.account}:root", question.account}
    matching_key = () if key_policy is None else _matching(key_policy, question)
    matching_identity = _matching(question.identity_policy, question)

    # (1) an explicit deny wins.
    for statement in matching_key:
        if statement.effect is Effect.DENY and statement.principals & (own | account):
            return Ruling(
                False, "key-policy", statement.label, "with an explicit deny in a resource-based policy"
            )
    for statement in matching_identity:
        if statement.effect is Effect.DENY:
            return Ruling(
                False, "identity-policy", statement.label, "with an explicit deny in an identity-based policy"
            )

    by_identity = next((s for s in matching_identity if s.effect is Effect.ALLOW), None)
    missing_identity = f"because no identity-based policy allows the {question.action} action"
    # (5) no key: the identity policy alone decides.
    if key_policy is None:
        if by_identity is None:
            return Ruling(False, "none", "", missing_identity)
        return Ruling(True, "identity-policy", by_identity.label, "")

    allows = [s for s in matching_key if s.effect is Effect.ALLOW]
    direct = next((s for s in allows if s.principals & own), None)
    delegated = next((s for s in allows if s.principals & account), None)
    if question.account == question.key_account:
        # (2) the key policy names the principal.
        if direct is not None:
            return Ruling(True, "key-policy", direct.label, "")
        # (3) the key policy hands over to the account's policies.
        if delegated is not None and by_identity is not None:
            return Ruling(True, "identity-policy", by_identity.label, "")
        if delegated is not None:
            return Ruling(False, "none", "", missing_identity)
    # (4) another account: both must allow.
    elif direct or delegated:
        if by_identity is not None:
            return Ruling(True, "identity-policy", by_identity.label, "")
        return Ruling(False, "none", "", missing_identity)
    # (6) everything else.
    return Ruling(False, "none", "", f"because no resource-based policy allows the {question.action} action")


def parse_key_policy(text: str) -> Document:
    """A key policy; raises `MalformedPolicy` with what is wrong and where."""
    return _parse(text, with_principals=True)


def parse_identity_policy(text: str) -> Document:
    """An identity policy; an empty text allows nothing."""
    return _parse(text, with_principals=False) if text else Document()


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


def _matching(document: Document, question: Question) -> tuple[Statement, ...]:
    return tuple(s for s in document.statements if s.applies(question.action, question.resource))


def _parse(text: str, *, with_principals: bool) -> Document:
    # No character has fewer bytes in UTF-8 than one, so what is counted here can be looked at at once.
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise MalformedPolicy(f"The policy is larger than {MAX_BYTES} bytes.")
    try:
        document = json.loads(text, object_pairs_hook=_no_member_twice)
    except (ValueError, RecursionError):
        raise MalformedPolicy("The policy is not valid JSON.") from None
    if not isinstance(document, dict):
        raise MalformedPolicy("The policy must be a JSON object.")
    _only(document, {"Version", "Id", "Statement"}, "The policy")
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise MalformedPolicy(f"The policy's Version must be {VERSIONS[0]}.")
    if not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy("The policy's Id must be a string.")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("The policy must have a Statement.")
    return Document(
        tuple(_statement(s, i, with_principals=with_principals) for i, s in enumerate(statements))
    )


def _no_member_twice(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of two members with one name, readers differ on which counts, so there may be one only."""
    found = dict(members)
    if len(found) != len(members):
        raise MalformedPolicy("The policy has an object with two members of the same name.")
    return found


def _statement(raw: Any, index: int, *, with_principals: bool) -> Statement:  # noqa: ANN401 - parsed JSON
    where = f"Statement {index}"
    if not isinstance(raw, dict):
        raise MalformedPolicy(f"{where} must be a JSON object.")
    allowed = {"Sid", "Effect", "Action", "Resource"} | ({"Principal"} if with_principals else set())
    _only(raw, allowed, where)
    sid = raw.get("Sid", "")
    # It is written into the audit entry of every decision it makes, so it must be short and writable.
    if not isinstance(sid, str) or len(sid) > MAX_SID or not sid.isprintable():
        raise MalformedPolicy(f"{where}: Sid must be a string of at most {MAX_SID} printable characters.")
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicy(f"{where}: Effect must be Allow or Deny.")
    return Statement(
        label=sid or f"#{index}",
        effect=Effect(effect),
        principals=_principals(raw.get("Principal"), where) if with_principals else frozenset(),
        # ASCII, because without it a Kelvin sign would be the K of "kms".
        actions=_pattern(_strings(raw.get("Action"), f"{where}: Action"), re.IGNORECASE | re.ASCII),
        resources=_pattern(_strings(raw.get("Resource"), f"{where}: Resource"), re.NOFLAG),
    )


def _only(found: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise MalformedPolicy(f"{where} has an element that is not supported here: {unknown[0]}.")


def _principals(raw: Any, where: str) -> frozenset[str]:  # noqa: ANN401 - parsed JSON
    if raw == "*":
        return frozenset("*")
    if not isinstance(raw, dict) or not raw:
        raise MalformedPolicy(f'{where}: Principal must be "*" or an object such as {{"AWS": "ARN"}}.')
    _only(raw, {"AWS"}, f"{where}: Principal")
    names = _strings(raw["AWS"], f"{where}: Principal")
    for name in names:
        if not _PRINCIPAL.fullmatch(name):
            raise MalformedPolicy(
                f"{where}: Principal must be an ARN of a user, a role or an account's root, an account number, "
                "or * alone."
            )
    return frozenset(names)


_PRINCIPAL = re.compile(
    r"\*|\d{12}|arn:aws:(iam|sts)::\d{12}:(root|(user|role|assumed-role|service)/[\w+=,.@/-]+)", re.ASCII
)


def _strings(raw: Any, what: str) -> list[str]:  # noqa: ANN401 - parsed JSON
    values = [raw] if isinstance(raw, str) else raw
    if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
        raise MalformedPolicy(f"{what} must be a string or a list of strings.")
    return values


def _pattern(wildcards: list[str], flags: re.RegexFlag) -> re.Pattern[str]:
    """One pattern that matches whatever any of the wildcard texts matches."""
    return re.compile("|".join(f"(?:{_expression(text)})" for text in wildcards), flags | re.DOTALL)


def _expression(wildcard: str) -> str:
    """The regular expression for a wildcard text, without backtracking.

    Between two asterisks the first place where the text fits is always good enough, and the atomic group tells
    the engine never to look for a second. Plain ``.*`` would try them all: a policy of twenty asterisks could
    keep a process busy for years.
    """
    first, *others = (re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", wildcard))
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last
