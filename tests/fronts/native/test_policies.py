"""What the native API takes and says of named policies."""

from collections.abc import Callable
from typing import Any

from keystead.core.policy.builtin import AUDITOR, BUILT_IN
from keystead.core.principal import policy_arn, user_arn
from keystead.testing.installation import ACCOUNT, EVERYTHING, Installation


def test_the_life_of_a_policy(house: Installation, call: Callable[..., Any]) -> None:
    """It is made, shown with who has it, listed with the built-in ones, and removed."""
    now = house.clock.now()
    policy = {
        "arn": policy_arn(ACCOUNT, "all"),
        "name": "all",
        "text": EVERYTHING,
        "built_in": False,
        "description": "",
        "created": now,
        "updated": now,
    }
    assert call("PutPolicy", name="all", text=EVERYTHING) == policy
    call("CreatePrincipal", name="carol", attached=["all"])
    assert call("DescribePolicy", name="all") == {**policy, "attached_to": [user_arn(ACCOUNT, "carol")]}
    listed = call("ListPolicies")
    assert (listed["policies"][0], listed["marker"]) == (policy, "")
    assert len(listed["policies"]) == 1 + len(BUILT_IN)
    call("DeletePrincipal", name="carol")
    assert call("DeletePolicy", name="all") == {}


def test_a_built_in_policy_says_what_it_is_for(call: Callable[..., Any]) -> None:
    """It has no dates."""
    shown = call("DescribePolicy", name=AUDITOR)
    assert shown == {
        "arn": AUDITOR,
        "name": "KeysteadAuditor",
        "text": BUILT_IN[AUDITOR].text,
        "built_in": True,
        "description": BUILT_IN[AUDITOR].description,
        "created": 0.0,
        "updated": 0.0,
        "attached_to": [],
    }
