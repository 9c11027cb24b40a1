"""`keystead guardrail`: what nobody may do."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

DENY = (
    '{"Statement": {"Sid": "Keep", "Effect": "Deny", "Action": "keystead:DeletePrincipal", "Resource": "*"}}'
)


@pytest.mark.parametrize("scope", ["account", "installation"])
def test_the_life_of_a_guardrail(ask: Callable[..., Any], value: Callable[..., Any], scope: str) -> None:
    """It binds the administrator who made it, until it is removed; one for every account is asked about."""
    where = "--scope", scope
    value("principal", "create", "carol")
    if scope == "installation":
        assert ask("guardrail", "put", "keep", DENY, *where).err.endswith("stopped\n")
        assert value("guardrail", "list") == []
    put = ask("guardrail", "put", "keep", DENY, *where, "--yes")
    assert put.out == f"In force: keep, for everybody in the {scope}\n"
    assert ask("principal", "delete", "carol", "--yes").err.startswith("keystead: AccessDenied: ")
    assert [(one["name"], one["scope"]) for one in value("guardrail", "list")] == [("keep", scope)]
    assert ask("guardrail", "list").out.startswith(f"keep  {scope}  changed ")
    assert ask("guardrail", "show", "keep", *where).out.endswith(f"{DENY}\n")
    assert ask("guardrail", "delete", "keep", *where).err.endswith("stopped\n")
    assert ask("guardrail", "delete", "keep", *where, "--yes").out == "Deleted keep\n"
    assert ask("principal", "delete", "carol", "--yes").code == 0
