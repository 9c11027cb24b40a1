"""`keystead policy put|show|list|delete`: policies that are attached by name."""

from collections.abc import Callable
from typing import Any

import pytest

from keystead.core.policy.builtin import AUDITOR, BUILT_IN

pytestmark = pytest.mark.e2e

POLICY = '{"Statement": {"Effect": "Allow", "Action": "kms:List*", "Resource": "*"}}'


def test_the_life_of_a_policy(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """It is put, shown with who has it, listed beside the built-in ones, and removed when nobody has it."""
    told = ask("policy", "put", "readers", POLICY).out
    arn = told.removeprefix("In force: ").strip()
    assert arn.endswith(":policy/readers")
    user = value("principal", "create", "carol", "--attach", "readers")["arn"]
    shown = ask("policy", "show", "readers").out
    assert f"  has it  {user}\n{POLICY}\n" in shown
    assert [one["arn"] for one in value("policy", "list")] == [arn, *sorted(BUILT_IN)]
    assert f"{AUDITOR}  {BUILT_IN[AUDITOR].description}" in ask("policy", "list").out
    assert ask("policy", "delete", "readers").err.endswith("stopped\n")
    assert ask("policy", "delete", "readers", "--yes").err.startswith("keystead: InvalidRequest: The policy")
    assert ask("principal", "delete", "carol", "--yes").code == 0
    assert ask("policy", "delete", "readers", "--yes").out == "Deleted readers\n"
    assert ask("policy", "show", "readers").err.startswith("keystead: NotFound: ")


def test_a_built_in_policy_is_shown_with_what_it_is_for(ask: Callable[..., Any]) -> None:
    """By its ARN; it cannot be replaced."""
    assert BUILT_IN[AUDITOR].description in ask("policy", "show", AUDITOR).out
    assert ask("policy", "put", AUDITOR, POLICY).err.startswith("keystead: Reserved: ")
    assert ask("policy", "put", "x", "no-such-file.json").code == 2
