"""The built-in policies: what each is for, and the proof that none brings use and writing together."""

import json
import re
from itertools import chain, combinations
from pathlib import Path

import pytest

from keystead.core.policy import Question, decide, default_key_policy, parse_identity_policy, parse_key_policy
from keystead.core.policy.actions import ACTIONS, USES, WRITES, Class, of
from keystead.core.policy.builtin import (
    ADMINISTRATOR,
    AUDITOR,
    BUILT_IN,
    KEY_ADMINISTRATOR,
    KEY_USER,
    OPERATOR,
    PREFIX,
)
from keystead.core.policy.lint import Kind, Policy, Severity, lint
from keystead.core.policy.reach import Held, reach, reaches

ORDINARY = (KEY_ADMINISTRATOR, KEY_USER, AUDITOR, OPERATOR)
COMBINATIONS = list(chain.from_iterable(combinations(ORDINARY, size) for size in range(1, 5)))
ACCOUNT = "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd"
DOCUMENTS = {arn: parse_identity_policy(policy.text, arn) for arn, policy in BUILT_IN.items()}
GENEROUS = parse_key_policy(
    json.dumps(
        {"Statement": {"Effect": "Allow", "Principal": {"AWS": ALICE}, "Action": "*", "Resource": "*"}}
    )
)


def allowed(arn: str, action: str) -> bool:
    """Whether somebody who holds a built-in policy may do something with a key of the default policy."""
    key_policy = parse_key_policy(default_key_policy(ACCOUNT)) if action.startswith("kms:") else None
    return decide(
        Question(
            principal=ALICE,
            account=ACCOUNT,
            identity_policy=DOCUMENTS[arn],
            action=action,
            resource=KEY,
            key_policy=key_policy,
            key_account=ACCOUNT,
        )
    ).allowed


def test_there_are_five_under_the_name_of_aws_itself() -> None:
    """Their ARNs are no account's, so nobody can make or change one, and each says what it is for."""
    assert set(BUILT_IN) == {ADMINISTRATOR, *ORDINARY}
    for arn, policy in BUILT_IN.items():
        assert arn.startswith(PREFIX)
        assert policy.description.endswith(".")


@pytest.mark.parametrize(
    "held", COMBINATIONS, ids=lambda held: "+".join(arn.removeprefix(PREFIX) for arn in held)
)
def test_nobody_with_ordinary_policies_reaches_both_a_use_and_writing(held: tuple[str, ...]) -> None:
    """Of any of the four, alone or together, and with a key policy that allows their holder everything.

    That is more than what the policies give: a key policy or a grant that names the holder does not undo it.
    """
    reached = reach(Held(identity=tuple(DOCUMENTS[arn] for arn in held), key_policies=(GENEROUS,)))
    assert not (reached & USES and reached & WRITES)


def test_the_administrator_is_the_exception() -> None:
    """It reaches everything, and so both."""
    assert reaches(DOCUMENTS[ADMINISTRATOR]) == set(ACTIONS)


@pytest.mark.parametrize(
    ("arn", "may", "may_not"),
    [
        (
            KEY_ADMINISTRATOR,
            of(Class.MANAGE, Class.POLICY_WRITE) - {"kms:CreateGrant"}
            | {"kms:DescribeKey", "kms:ListGrants"},
            USES | of(Class.IDENTITY_WRITE, Class.SERVICE, Class.SESSION) | {"kms:CreateGrant"},
        ),
        (
            KEY_USER,
            USES | {"kms:DescribeKey", "kms:GetPublicKey", "kms:ListKeys", "kms:ListAliases"},
            WRITES | of(Class.MANAGE, Class.OPERATE, Class.SERVICE, Class.SESSION),
        ),
        (AUDITOR, of(Class.READ), set(ACTIONS) - of(Class.READ)),
        (
            OPERATOR,
            of(Class.OPERATE) | {"kms:DescribeCustomKeyStores"},
            set(ACTIONS) - of(Class.OPERATE) - {"kms:DescribeCustomKeyStores"},
        ),
        (ADMINISTRATOR, set(ACTIONS) - {"kms:ReEncrypt"}, set()),
    ],
    ids=lambda value: value.removeprefix(PREFIX) if isinstance(value, str) else "",
)
def test_what_each_may_do(arn: str, may: frozenset[str], may_not: frozenset[str]) -> None:
    """What a built-in policy is for is allowed by the evaluator, and what it is not for is denied."""
    assert [action for action in sorted(may) if not allowed(arn, action)] == []
    assert [action for action in sorted(may_not) if allowed(arn, action)] == []


@pytest.mark.parametrize("arn", BUILT_IN)
def test_lint_finds_nothing_in_them_that_is_not_meant(arn: str) -> None:
    """The user of keys may use all of an account's keys, and the administrator is everything; no other finding."""
    meant = {
        KEY_USER: [("PL002", Severity.WARNING)],
        ADMINISTRATOR: [("PL013", Severity.ERROR), ("PL001", Severity.ERROR)],
    }
    found = lint([Policy(Kind.IDENTITY, arn, BUILT_IN[arn].text)])
    assert [(finding.code, finding.severity) for finding in found] == meant.get(arn, [])


@pytest.mark.parametrize("arn", BUILT_IN)
def test_they_are_as_small_as_any_policy_may_be(arn: str) -> None:
    """A built-in policy's text would be accepted of anybody else, and names actions that exist only."""
    assert len(BUILT_IN[arn].text) < 8192
    named = [
        a for s in json.loads(BUILT_IN[arn].text)["Statement"] for a in s["Action"] if s["Action"] != "*"
    ]
    assert [action for action in named if action not in ACTIONS] == []


def test_the_guide_says_what_each_is_for(checkout: Path) -> None:
    """Each has its row in the guide, and nothing else has one."""
    page = (checkout / "docs" / "guides" / "policies.md").read_text()
    rows = re.findall(r"^\| `(Keystead\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(PREFIX + name for name in rows) == sorted(BUILT_IN)
