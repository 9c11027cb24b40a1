"""What policies mean, said once more as plainly as possible: loops over parsed JSON and nothing compiled.

`keystead.core.policy` is compared with this on random documents and questions (`test_against_the_specification`).
It is written from the IAM user guide and shares no code with what it checks. It is slow on purpose: each rule
stands where a reader of the documentation looks for it. Documents are taken to be well formed.

A question is a plain dict: ``principal``, ``account``, ``session_of``, ``action``, ``resource``, ``key_account``,
``context`` (names in any case), and the policies ``key``, ``identity`` (a list), ``boundary``, ``session`` (a
list), ``guardrails`` (a list), each a parsed JSON document or None.

Where grants have a say (`decided_with_grants`, `may_retire`) it has these as well: ``grants``, all that there are
now; ``given``, the encryption context; ``tokens``, the grant tokens that came with the request, and ``issued``, all
that were ever given out; ``wanted``, the grant that is to be made, or None. A grant is a plain dict: ``id``, ``key``
(an ARN), ``grantee``, ``retiring`` (ARNs, or empty), ``issuer`` (an account's root), ``operations``, ``equals``,
``subset`` (pairs, or empty for no such constraint), ``resource`` (the ARN of a ``SourceArn`` constraint, or empty).
"""

import base64
import ipaddress
import re
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

ONE, ANY = object(), object()  # the wildcards, once a text is taken apart


def listed(value: Any) -> list[Any]:
    """A value that may stand alone or in a list, as a list."""
    return list(value) if isinstance(value, list) else [value]


# --- texts with wildcards and variables ------------------------------------------------------------------


def values_of(question: Any, name: str) -> list[str]:
    """All values that the request has for a condition key; names are the same in upper and lower case."""
    found = []
    for key, value in question["context"].items():
        if key.lower() == name.lower():
            found += [value] if isinstance(value, str) else list(value)
    return found


def signs(text: str, question: Any, *, variables: bool, wildcards: bool) -> list[Any] | None:
    """The characters of a policy's text, wildcards as `ONE` and `ANY`, variables filled in; None without a value."""
    found: list[Any] = []
    while text:
        if variables and text[:4] in ("${*}", "${?}", "${$}"):
            found.append(text[2])
            text = text[4:]
        elif variables and text.startswith("${"):
            inside, text = text[2:].split("}", 1)
            name, comma, default = inside.partition(",")
            single = [v for k, v in question["context"].items() if k.lower() == name.strip().lower()]
            if len(single) == 1 and isinstance(single[0], str):
                found += single[0]
            elif comma:
                found += default.strip()[1:-1]
            else:
                return None
        else:
            found.append({"*": ANY, "?": ONE}.get(text[0], text[0]) if wildcards else text[0])
            text = text[1:]
    return found


def fits(wildcard: list[Any] | None, text: str) -> bool:
    """Whether these characters match all of a text: tried letter by letter, in a table."""
    if wildcard is None:
        return False
    reached = [True] + [False] * len(text)  # which beginnings of the text match what was read so far
    for sign in wildcard:
        following = [sign is ANY and reached[0]]
        for at, letter in enumerate(text):
            if sign is ANY:
                following.append(reached[at + 1] or following[at])
            else:
                following.append(reached[at] and (sign is ONE or sign == letter))
        reached = following
    return reached[len(text)]


def small(text: str) -> str:
    """The text with the letters A to Z in lower case, and no other letter changed."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)


# --- conditions ------------------------------------------------------------------------------------------


def number(text: str) -> Fraction | None:
    """A number, if the text is one."""
    return Fraction(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else None


def moment(text: str) -> Fraction | None:
    """Seconds since 1970 of a date or of such a number; four digits are a year."""
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?)?)?", text):
        return number(text)
    text += {4: "-01-01", 7: "-01"}.get(len(text), "")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return Fraction(round((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000), 1000)


def compared(operator: str, given: Fraction | None, wanted: Fraction | None) -> bool:
    """Two numbers or moments, by what the operator's name ends in."""
    if given is None or wanted is None:
        return False
    if operator.endswith("LessThan"):
        return given < wanted
    if operator.endswith("LessThanEquals"):
        return given <= wanted
    if operator.endswith("GreaterThan"):
        return given > wanted
    if operator.endswith("GreaterThanEquals"):
        return given >= wanted
    return given == wanted


def arn_fits(wanted: str, given: str, question: Any, *, variables: bool) -> bool:
    """Six parts with colons between, each compared with its own."""
    if variables and re.fullmatch(r"\$\{[^*?$}][^}]*\}", wanted):
        return given.count(":") >= 5 and fits(signs(wanted, question, variables=True, wildcards=False), given)
    # Colons inside a variable's name are not those between the parts.
    hidden = re.sub(r"\$\{[^}]*\}", lambda m: m.group().replace(":", "\0"), wanted) if variables else wanted
    patterns = [part.replace("\0", ":") for part in hidden.split(":", 5)]
    parts = given.split(":", 5)
    if len(parts) != 6:
        return False
    return all(
        fits(signs(pattern, question, variables=variables, wildcards=True), part)
        for pattern, part in zip(patterns, parts, strict=True)
    )


def same(operator: str, wanted: str, given: str, question: Any, *, variables: bool) -> bool:
    """Whether one value of the request matches one wanted value, by the positive form of the operator."""
    if operator.startswith("Numeric"):
        return compared(operator, number(given), number(wanted))
    if operator.startswith("Date"):
        return compared(operator, moment(given), moment(wanted))
    if operator == "Bool":
        return given.lower() == wanted.lower()
    if operator == "BinaryEquals":
        return given.encode() == base64.b64decode(wanted)
    if operator == "IpAddress":
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address in ipaddress.ip_network(wanted, strict=False)
    if operator.startswith("Arn"):
        return arn_fits(wanted, given, question, variables=variables)
    text = signs(wanted, question, variables=variables, wildcards=operator == "StringLike")
    if operator == "StringEqualsIgnoreCase":
        return text is not None and "".join(text).casefold() == given.casefold()
    return fits(text, given)


def condition_holds(
    name: str, key: str, wanted: list[Any], effect: str, question: Any, *, variables: bool
) -> bool:
    """One operator, one key."""
    values = values_of(question, key)
    if name == "Null":
        return any((str(w).lower() == "true") == (not values) for w in wanted)
    quantifier, _, operator = name.rpartition(":")
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    negated = "Not" in operator
    positive = operator.replace("Not", "")
    texts = [w if isinstance(w, str) else str(w).lower() for w in wanted]

    def passes(value: str) -> bool:
        return any(same(positive, w, value, question, variables=variables) for w in texts) != negated

    if quantifier == "ForAllValues":
        return not any(values) or all(passes(value) for value in values)
    if not values and if_exists:
        return True
    if quantifier == "ForAnyValue":
        return any(values) and any(passes(value) for value in values)
    if not values:
        return negated
    if effect == "Deny":
        return any(passes(value) for value in values)
    return all(passes(value) for value in values)


# --- statements ------------------------------------------------------------------------------------------


def speaks(document: Any, statement: Any, question: Any) -> bool:
    """Whether a statement is about this request: its action, its resource and its conditions."""
    variables = document.get("Version") == "2012-10-17"
    actions = listed(statement.get("Action", statement.get("NotAction")))
    about = any(
        fits(signs(small(a), question, variables=False, wildcards=True), small(question["action"]))
        for a in actions
    )
    if about == ("NotAction" in statement):
        return False
    resources = listed(statement.get("Resource", statement.get("NotResource")))
    about = any(
        fits(signs(r, question, variables=variables, wildcards=True), question["resource"]) for r in resources
    )
    if about == ("NotResource" in statement):
        return False
    for operator, block in statement.get("Condition", {}).items():
        for key, wanted in block.items():
            if not condition_holds(
                operator, key, listed(wanted), statement["Effect"], question, variables=variables
            ):
                return False
    return True


def names(who: Any) -> list[str]:
    """The names in a Principal or NotPrincipal."""
    return ["*"] if who == "*" else [name for kind in who.values() for name in listed(kind)]


def account_of(question: Any) -> list[str]:
    """How the caller's account may be named."""
    return [question["account"], f"arn:aws:iam::{question['account']}:root"]


def how_named(statement: Any, question: Any) -> set[str]:
    """As what the caller is named by a statement: itself, role (of its session), account; or not at all."""
    found = set()
    session_of = question["session_of"]
    if "NotPrincipal" in statement:
        but = names(statement["NotPrincipal"])
        spared = (
            question["principal"] in but
            and (not session_of or session_of in but)
            and any(name in but for name in account_of(question))
            and question["boundary"] is None
        )
        return set() if spared else {"itself"}
    who = names(statement["Principal"])
    if question["principal"] in who:
        found.add("itself")
    if "*" in who:
        found.add("role" if session_of else "itself")
    if session_of and session_of in who:
        found.add("role")
    if any(name in who for name in account_of(question)):
        found.add("account")
    return found


def having(document: Any, effect: str, question: Any) -> list[Any]:
    """The statements of a document that have this effect on the request; whom they name is not looked at."""
    if document is None:
        return []
    return [
        s for s in listed(document["Statement"]) if s["Effect"] == effect and speaks(document, s, question)
    ]


# --- the decision ----------------------------------------------------------------------------------------


def decided(question: Any) -> tuple[bool, str]:
    """Whether the caller may, and which kind of policy decided; "none" where all were silent."""
    key, boundary = question["key"], question["boundary"]
    # An explicit deny anywhere.
    for guardrail in question["guardrails"]:
        if having(guardrail, "Deny", question):
            return False, "guardrail"
    if any(how_named(s, question) for s in having(key, "Deny", question)):
        return False, "key-policy"
    for kind, documents in (
        ("identity-policy", question["identity"]),
        ("permission-boundary", [boundary]),
        ("session-policy", question["session"]),
    ):
        if any(having(document, "Deny", question) for document in documents):
            return False, kind
    # What each side says.
    by_key = set()
    for statement in having(key, "Allow", question):
        by_key |= how_named(statement, question)
    by_identity = any(having(document, "Allow", question) for document in question["identity"])
    by_boundary = boundary is None or bool(having(boundary, "Allow", question))
    by_session = not question["session"] or any(having(d, "Allow", question) for d in question["session"])
    same_account = key is not None and question["account"] == question["key_account"]
    # Within one account, a resource-based policy that names the user or the session itself is enough.
    if same_account and "itself" in by_key:
        return True, "key-policy"
    # A session has no more than its boundary and session policies, a grant to its role included.
    if question["session_of"] and not by_boundary:
        return False, "permission-boundary"
    if question["session_of"] and not by_session:
        return False, "session-policy"
    # Within one account, a resource-based policy that names the role is limited by those two alone.
    if same_account and "role" in by_key and by_boundary and by_session:
        return True, "key-policy"
    # Otherwise all sides must allow.
    if (key is None or by_key) and by_identity and by_boundary and by_session:
        return True, "identity-policy"
    return False, "none"


# --- grants ----------------------------------------------------------------------------------------------

CRYPTOGRAPHIC = (  # "Encryption context": the operations that take one; a constraint says nothing about others
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
)


def root_of(question: Any) -> str:
    """The ARN that stands for the caller's account."""
    return f"arn:aws:iam::{question['account']}:root"


def lets(grant: Any, question: Any) -> bool:
    """Whether a grant is about this request: its key, its operation and the encryption context."""
    operation = question["action"].split(":")[1]
    if grant["key"] != question["resource"] or operation not in grant["operations"]:
        return False
    if grant["resource"]:  # only for what a service asks for on behalf of that resource, and none is here
        return False
    if operation in CRYPTOGRAPHIC:
        given = question["given"] or {}
        # "Must match exactly": no pair less, none more, none in another case.
        if grant["equals"] and sorted(given.items()) != sorted(grant["equals"].items()):
            return False
        for name, value in grant["subset"].items():  # "Must include": there may be others beside.
            if name not in given or given[name] != value:
                return False
    return True


def passes_on(grant: Any, wanted: Any) -> bool:
    """Whether who may make grants by this grant may make that one: no more operations, no weaker constraint."""
    for operation in wanted["operations"]:
        if operation not in grant["operations"]:
            return False
    if grant["equals"] and sorted(wanted["equals"].items()) != sorted(grant["equals"].items()):
        return False
    for name, value in grant["subset"].items():
        # An exact constraint that has the pair sees to it just as well.
        if wanted["subset"].get(name) != value and wanted["equals"].get(name) != value:
            return False
    return True


def account_lets(question: Any) -> bool:
    """Whether the caller may what its account may: as if the key's policy said no more than that the account may."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": root_of(question)},
        "Action": "*",
        "Resource": "*",
    }
    allowed, _ = decided({**question, "key": {"Statement": statement}})
    return allowed


def decided_with_grants(question: Any) -> tuple[bool, str, list[str]]:
    """Whether the caller may, what decided, and the ids of all grants that allow it, if grants do.

    What decided is "" where nothing is decided: a grant token that nobody was given is refused before that. Any other
    token adds nothing, not even that of a grant that would allow it: a grant counts from when it is made until it is
    revoked or retired, with its token and without it.
    """
    if any(token not in question["issued"] for token in question["tokens"]):
        return False, "", []
    allowed, kind = decided(question)
    # A grant is asked only where all policies were silent. So an explicit deny of any kind is stronger: a guardrail's,
    # the key policy's, an identity policy's, the boundary's, a session policy's. And a session has no more than its
    # boundary and session policies allow. A user's boundary that is merely silent takes away nothing it was granted.
    if allowed or kind != "none":
        return allowed, kind, []
    found = []
    for grant in question["grants"]:
        if not lets(grant, question):
            continue
        if question["wanted"] is not None and not passes_on(grant, question["wanted"]):
            continue
        to_itself = grant["grantee"] == question["principal"]
        to_its_role = bool(question["session_of"]) and grant["grantee"] == question["session_of"]
        to_its_account = grant["grantee"] == root_of(question) and account_lets(question)
        if to_itself or to_its_role or to_its_account:
            found.append(grant["id"])
    return (True, "grant", found) if found else (False, "none", [])


def may_retire(question: Any, grant: Any) -> tuple[bool, str, list[str]]:
    """The same about retiring this grant, in which other grants have no say.

    RetireGrant, "Required permissions": the retiring principal; the grantee if RetireGrant is an operation of the
    grant; the account in which the grant was issued, which leaves it to its policies.
    """
    allowed, kind = decided(question)
    if allowed or kind != "none":
        return allowed, kind, []
    enders = [grant["retiring"]]
    if "RetireGrant" in grant["operations"] and not grant["resource"]:
        enders.append(grant["grantee"])
    for ender in enders:
        if ender and ender in (question["principal"], question["session_of"]):
            return True, "grant", [grant["id"]]
    if root_of(question) in [*enders, grant["issuer"]] and account_lets(question):
        return True, "grant", [grant["id"]]
    return False, "none", []
