"""What a policy means, said once more as plainly as possible: loops over parsed JSON and nothing compiled.

`keystead.core.policy` is compared with this on random documents and questions. It is slow on purpose: each
rule stands where a reader of AWS's documentation looks for it.
"""

from typing import Any


def listed(value: Any) -> list[Any]:
    """A value that may stand alone or in a list, as a list."""
    return list(value) if isinstance(value, list) else [value]


def fits(wildcard: str, text: str) -> bool:
    """Whether a text with ``*`` and ``?`` matches all of another: tried letter by letter, in a table."""
    reached = [True] + [False] * len(text)  # which beginnings of the text match what was read so far
    for sign in wildcard:
        following = [sign == "*" and reached[0]]
        for at, letter in enumerate(text):
            if sign == "*":
                following.append(reached[at + 1] or following[at])
            else:
                following.append(reached[at] and sign in ("?", letter))
        reached = following
    return reached[len(text)]


def small(text: str) -> str:
    """The text with the letters A to Z in lower case, and no other letter changed."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)


def speaks(statement: dict[str, Any], action: str, resource: str) -> bool:
    """Whether a statement is about this action on this resource."""
    about_action = any(fits(small(wildcard), small(action)) for wildcard in listed(statement["Action"]))
    about_resource = any(fits(wildcard, resource) for wildcard in listed(statement["Resource"]))
    return about_action and about_resource


def names(statement: dict[str, Any]) -> list[Any]:
    """The principals that a statement of a key policy names."""
    principal = statement["Principal"]
    return ["*"] if principal == "*" else listed(principal["AWS"])


def allowed(
    key_policy: dict[str, Any] | None,
    identity_policy: dict[str, Any] | None,
    principal: str,
    accounts: tuple[str, str],  # the principal's and the key's
    asked: tuple[str, str],  # action and resource
) -> bool:
    """Whether the principal may."""
    account, key_account = accounts
    denied = direct = delegated = by_identity = False
    for statement in listed(identity_policy["Statement"]) if identity_policy else []:
        if speaks(statement, *asked):
            if statement["Effect"] == "Deny":
                denied = True
            else:
                by_identity = True
    for statement in listed(key_policy["Statement"]) if key_policy else []:
        if speaks(statement, *asked):
            named = principal in names(statement) or "*" in names(statement)
            account_named = account in names(statement) or f"arn:aws:iam::{account}:root" in names(statement)
            if statement["Effect"] == "Deny":
                denied = denied or named or account_named
            else:
                direct = direct or named
                delegated = delegated or account_named
    if denied:
        return False
    if key_policy is None:
        return by_identity
    if account == key_account:
        return direct or (delegated and by_identity)
    return (direct or delegated) and by_identity
