"""What the native API takes and says of guardrails."""

from collections.abc import Callable
from typing import Any

import pytest

from keystead.testing.installation import Installation

DENY = '{"Statement": {"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}}'


@pytest.mark.parametrize("scope", ["account", "installation"])
def test_the_life_of_a_guardrail(house: Installation, call: Callable[..., Any], scope: str) -> None:
    """It is made, shown, listed under its scope, and removed; the account's is what is meant by default."""
    given = {} if scope == "account" else {"scope": scope}
    now = house.clock.now()
    guardrail = {"scope": scope, "name": "keep", "text": DENY, "created": now, "updated": now}
    assert call("PutGuardrail", name="keep", text=DENY, **given) == guardrail
    assert call("DescribeGuardrail", name="keep", **given) == guardrail
    assert call("ListGuardrails", **given) == {"guardrails": [guardrail], "marker": ""}
    other = "installation" if scope == "account" else "account"
    assert call("ListGuardrails", scope=other) == {"guardrails": [], "marker": ""}
    assert call("DeleteGuardrail", name="keep", **given) == {}
