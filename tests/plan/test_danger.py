"""What is told to be looked at twice."""

from typing import Any

import pytest

from keystead.plan.danger import dangers, loosened

ALLOW = {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}
MORE = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "kms:Sign", "Resource": "*"}


def policy(*statements: Any) -> dict[str, Any]:
    """A thing with such a policy."""
    return {"policy": {"Statement": list(statements)}}


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("policy/p", None, policy(ALLOW), ()),
        ("policy/p", policy(ALLOW), policy(ALLOW, MORE), ()),
        ("policy/p", policy(ALLOW, MORE), policy(ALLOW), ("statements of a policy that allow are gone",)),
        ("policy/p", policy(ALLOW), policy(ALLOW, DENY), ("there are new statements of a policy that deny",)),
        ("policy/p", policy(ALLOW, DENY), policy(ALLOW), ("statements of a policy that deny are gone",)),
        ("policy/p", {"policy": {"Statement": ALLOW}}, policy(ALLOW), ()),
        ("policy/p", policy(ALLOW), None, ()),
        ("user/u", None, {"policy": None}, ()),
        ("user/u", policy(ALLOW), {"policy": None}, ("statements of the user's policy that allow are gone",)),
        ("user/u", {"attached": ["a", "b"]}, {"attached": ["b"]}, ("the user loses a",)),
        ("user/u", {"groups": ["a", "b"]}, {"groups": []}, ("the user loses a, b",)),
        ("user/u", {"boundary": ""}, {"boundary": "b"}, ("the permission boundary is another",)),
        ("user/u", {"boundary": "b"}, {"boundary": ""}, ("the permission boundary is removed",)),
        ("user/u", {"enabled": True}, {"enabled": False}, ("the user is disabled: what uses it stops",)),
        ("user/u", {"enabled": False}, {"enabled": True}, ()),
        ("role/r", {"a": 1}, None, ("a role is deleted, with all that it may do",)),
        (
            "role/r",
            {"trust": {"Statement": [ALLOW]}},
            {"trust": {"Statement": [MORE]}},
            ("statements of who may assume the role that allow are gone",),
        ),
        ("provider/x", {}, None, ("a provider is deleted: nobody comes with its tokens any more",)),
        ("template/x", {}, None, ()),
        ("key/r/k", {"enabled": True}, {"enabled": False}, ("the key is disabled: what uses it stops",)),
        ("key/r/k", policy(ALLOW), policy(MORE), ("statements of the key's policy that allow are gone",)),
        (
            "key/r/k",
            {"rotation_days": 90},
            {"rotation_days": None},
            ("the key does not rotate by itself any more",),
        ),
        ("key/r/k", {}, None, ("an alias is deleted: who names the key by it does not find it",)),
        ("guardrail/g", None, policy(DENY), ("a guardrail denies everybody in the account",)),
        (
            "guardrail/g",
            policy(DENY),
            None,
            ("a guardrail is removed: what it denied is not prevented any more",),
        ),
        (
            "guardrail/g",
            policy(DENY),
            policy({**DENY, "Action": "kms:Verify"}),
            (
                "a guardrail loses statements: what they denied is not prevented any more",
                "a guardrail denies everybody in the account more",
            ),
        ),
    ],
)
def test_what_takes_rights_or_limits_away_is_told(
    name: str, before: Any, after: Any, told: tuple[str, ...]
) -> None:
    """And nothing else is, so that people go on reading it."""
    assert dangers(name, before, after) == told


def test_a_guardrail_is_looser_if_it_has_no_new_statement() -> None:
    """One that has other ones is not: what it denies now may be in the way of nothing, or of something."""
    assert loosened(policy(DENY), None)
    assert loosened(policy(DENY, ALLOW), policy(DENY))
    assert not loosened(policy(DENY), policy(MORE))
    assert not loosened(None, policy(DENY))
