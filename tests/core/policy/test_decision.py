import json
from typing import Any

import pytest

from keystead.core.policy import (
    Question,
    Ruling,
    decide,
    default_key_policy,
    parse_identity_policy,
    parse_key_policy,
)

HERE, THERE = "111122223333", "444455556666"
ALICE, BOB, CAROL = (
    f"arn:aws:iam::{HERE}:user/alice",
    f"arn:aws:iam::{HERE}:user/bob",
    f"arn:aws:iam::{THERE}:user/carol",
)
ROOT = f"arn:aws:iam::{HERE}:root"
KEY = f"arn:aws:kms:eu-central-1:{HERE}:key/1234abcd"

Json = dict[str, Any]


def statement(effect: str = "Allow", action: Any = "kms:*", resource: Any = "*", **more: Any) -> Json:
    """One statement of an identity policy."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def of_key(principal: Any, effect: str = "Allow", action: Any = "kms:*", **more: Any) -> Json:
    """One statement of a key policy."""
    named = principal if principal == "*" else {"AWS": principal}
    return statement(effect, action, **{"Principal": named, **more})


def text(*statements: Json) -> str:
    """A policy with these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def asked(
    key_policy: list[Json] | None,
    identity_policy: list[Json],
    principal: str = ALICE,
    action: str = "kms:Encrypt",
    resource: str = KEY,
) -> Ruling:
    """The ruling on a key of the account HERE."""
    return decide(
        Question(
            principal=principal,
            account=principal.split(":")[4],
            identity_policy=parse_identity_policy(text(*identity_policy) if identity_policy else ""),
            action=action,
            resource=resource,
            key_policy=None if key_policy is None else parse_key_policy(text(*key_policy)),
            key_account="" if key_policy is None else HERE,
        )
    )


NO_KEY_POLICY = "because no resource-based policy allows the kms:Encrypt action"
NO_IDENTITY_POLICY = "because no identity-based policy allows the kms:Encrypt action"
KEY_DENY = "with an explicit deny in a resource-based policy"
IDENTITY_DENY = "with an explicit deny in an identity-based policy"
ALLOW, DENY = statement(Sid="may"), statement("Deny", Sid="may not")

CASES: dict[str, tuple[list[Json] | None, list[Json], str, Ruling]] = {
    "the key policy names the caller": (
        [of_key(ALICE, Sid="alice")],
        [],
        ALICE,
        Ruling(True, "key-policy", "alice", ""),
    ),
    "the key policy names everybody": ([of_key("*")], [], ALICE, Ruling(True, "key-policy", "#0", "")),
    "everybody, as an AWS principal": ([of_key(["*"])], [], BOB, Ruling(True, "key-policy", "#0", "")),
    "the key policy names somebody else": (
        [of_key(BOB)],
        [],
        ALICE,
        Ruling(False, "none", "", NO_KEY_POLICY),
    ),
    "somebody else, and the caller's own policy allows": (
        [of_key(BOB)],
        [ALLOW],
        ALICE,
        Ruling(False, "none", "", NO_KEY_POLICY),
    ),
    "the root hands over and the caller's own policy allows": (
        [of_key(ROOT)],
        [ALLOW],
        ALICE,
        Ruling(True, "identity-policy", "may", ""),
    ),
    "the account's number hands over as its root does": (
        [of_key(HERE)],
        [ALLOW],
        ALICE,
        Ruling(True, "identity-policy", "may", ""),
    ),
    "the root hands over and nobody allows": (
        [of_key(ROOT)],
        [],
        ALICE,
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "the root of another account hands nothing over": (
        [of_key(THERE)],
        [ALLOW],
        ALICE,
        Ruling(False, "none", "", NO_KEY_POLICY),
    ),
    "the key policy denies the caller": (
        [of_key("*"), of_key(ALICE, "Deny", Sid="not alice")],
        [ALLOW],
        ALICE,
        Ruling(False, "key-policy", "not alice", KEY_DENY),
    ),
    "the key policy denies another": (
        [of_key(ALICE), of_key(BOB, "Deny")],
        [],
        ALICE,
        Ruling(True, "key-policy", "#0", ""),
    ),
    "the key policy denies the whole account": (
        [of_key(ALICE), of_key(ROOT, "Deny")],
        [],
        ALICE,
        Ruling(False, "key-policy", "#1", KEY_DENY),
    ),
    "the caller's own policy denies what the key policy allows": (
        [of_key(ALICE)],
        [ALLOW, DENY],
        ALICE,
        Ruling(False, "identity-policy", "may not", IDENTITY_DENY),
    ),
    "both deny, and the key policy's is told": (
        [of_key("*", "Deny")],
        [DENY],
        ALICE,
        Ruling(False, "key-policy", "#0", KEY_DENY),
    ),
    "another account is named and may": (
        [of_key(CAROL)],
        [ALLOW],
        CAROL,
        Ruling(True, "identity-policy", "may", ""),
    ),
    "another account's root is named and it may": (
        [of_key(f"arn:aws:iam::{THERE}:root")],
        [ALLOW],
        CAROL,
        Ruling(True, "identity-policy", "may", ""),
    ),
    "another account is named and its own policy is silent": (
        [of_key(CAROL)],
        [],
        CAROL,
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "everybody is named and another account's policy is silent": (
        [of_key("*")],
        [],
        CAROL,
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "another account may by its own policy alone": (
        [of_key(ROOT)],
        [ALLOW],
        CAROL,
        Ruling(False, "none", "", NO_KEY_POLICY),
    ),
    "no key, and the caller's own policy allows": (
        None,
        [ALLOW],
        ALICE,
        Ruling(True, "identity-policy", "may", ""),
    ),
    "no key, and the caller's own policy is silent": (
        None,
        [],
        ALICE,
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "no key, and the caller's own policy denies": (
        None,
        [ALLOW, DENY],
        ALICE,
        Ruling(False, "identity-policy", "may not", IDENTITY_DENY),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_who_may(case: str) -> None:
    """The ruling, the policy and statement that made it, and the words for the caller."""
    key_policy, identity_policy, principal, ruling = CASES[case]
    assert asked(key_policy, identity_policy, principal) == ruling


@pytest.mark.parametrize(
    ("wildcards", "action", "matches"),
    [
        ("kms:Encrypt", "kms:Encrypt", True),
        ("KMS:encrypt", "kms:Encrypt", True),
        ("kms:Encrypt", "kms:EncryptMore", False),
        ("kms:Encrypt", "akms:Encrypt", False),
        ("kms:*", "kms:Encrypt", True),
        ("*", "kms:Encrypt", True),
        ("kms:*crypt", "kms:ReEncrypt", True),
        ("kms:*crypt", "kms:ReEncryptFrom", False),
        ("kms:**En*t", "kms:ReEncrypt", True),
        ("kms:E?crypt", "kms:Encrypt", True),
        ("kms:E?crypt", "kms:Ecrypt", False),
        ("kms:?*", "kms:", False),
        ("kms:*", "kms:", True),
        ("kms.Encrypt", "kms:Encrypt", False),
        ("kms:(Encrypt)", "kms:Encrypt", False),
        ("kms:[E]ncrypt", "kms:[E]ncrypt", True),
        ("\\*", "\\anything", True),
        ("\\?", "?", False),
        ("\u212ams:*", "kms:Encrypt", False),
        (["kms:Decrypt", "kms:Encrypt"], "kms:Encrypt", True),
        (["kms:Dec", "kms:"], "kms:Encrypt", False),
        ("kms:*a*a", "kms:a", False),
        ("kms:*", "kms:two\nlines", True),
    ],
)
def test_which_actions_a_wildcard_matches(wildcards: str | list[str], action: str, matches: bool) -> None:
    """An asterisk is any text, a question mark one letter, the rest itself; upper and lower case are one."""
    assert asked(None, [statement(action=wildcards)], action=action).allowed is matches


@pytest.mark.parametrize(
    ("resource", "matches"),
    [
        ("*", True),
        (KEY, True),
        (KEY.upper(), False),
        (KEY.replace("1234", "????"), True),
        (f"arn:aws:kms:*:{HERE}:key/*", True),
        (f"arn:aws:kms:*:{THERE}:key/*", False),
        ([f"{KEY}5", f"{KEY[:-1]}?"], True),
    ],
)
def test_which_resources_a_wildcard_matches(resource: str | list[str], matches: bool) -> None:
    """Resources match with upper and lower case told apart."""
    assert asked(None, [statement(resource=resource)]).allowed is matches


@pytest.mark.parametrize(
    "wildcard", ["*?" * 30 + "!", "*0" * 20 + "!", "*" * 4000 + "!", "?*" * 20 + "0" + "*0" * 15 + "!"]
)
def test_no_wildcard_keeps_a_worker_busy(wildcard: str) -> None:
    """Many asterisks cost no more than their number: the first fit of each is kept."""
    # Backtracking would take longer than the universe has, and so than this test may. The resource is longer
    # than each wildcard's letters, or the engine would see at once that nothing can match.
    assert not asked([of_key("*", Resource=wildcard)], [], resource=KEY + "0" * 40).allowed


def test_the_policy_of_a_key_without_one_hands_over_to_the_account() -> None:
    """It is AWS's, to the letter, and leaves the decision to the account's identity policies."""
    policy = default_key_policy(HERE)
    assert json.loads(policy) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": ROOT},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    assert policy.startswith('{\n  "Version": "2012-10-17"')
    statements = json.loads(policy)["Statement"]
    assert asked(statements, [ALLOW]) == Ruling(True, "identity-policy", "may", "")
    assert not asked(statements, []).allowed
