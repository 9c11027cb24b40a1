"""In which order steps are taken, and what the difference between two forms of a thing looks like."""

from typing import Any

from keystead.plan.compare import Plan, Step, Verb, compare, difference
from keystead.plan.present import Present, Record
from keystead.plan.things import localised

ACCOUNT = "111122223333"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Sign", "Resource": "*"}]}
DENY = {"Effect": "Deny", "Action": "kms:Sign", "Resource": "*"}
USER = {"attached": [], "boundary": "", "enabled": True, "groups": [], "policy": None, "tags": {}}
GROUP = {"attached": [], "enabled": True, "policy": None, "tags": {}}


def guardrail(*actions: str) -> dict[str, Any]:
    """A guardrail with a statement for each action."""
    return {"policy": {"Statement": [{**DENY, "Action": action} for action in actions]}}


def plan(declared: dict[str, Any], present: dict[str, Any], managed: frozenset[str] = frozenset()) -> Plan:
    """The plan from one state to another."""
    return compare(
        declared,
        Present(account=ACCOUNT, things=localised(present, ACCOUNT), keys={}, left_out=0),
        Record(newest=0, finished=0, state={}, managed=managed or frozenset(present), keys={}),
    )


def names(steps: tuple[Step, ...]) -> list[str]:
    """The steps in words."""
    return [f"{step.verb} {step.thing}" for step in steps]


def test_things_come_before_what_refers_to_them_and_go_after_it() -> None:
    """Policies, groups, principals and keys in one order, and back in the other."""
    there = {
        "user/u": {**USER, "attached": ["p"], "groups": ["g"]},
        "group/g": {**GROUP, "attached": ["p"]},
        "policy/p": {"policy": ALLOW},
        "guardrail/a": guardrail("kms:Sign"),
    }
    assert names(plan(there, {}).steps) == [
        "create policy/p",
        "create group/g",
        "create user/u",
        "create guardrail/a",
    ]
    assert names(plan({}, there).steps) == [
        "delete guardrail/a",
        "delete user/u",
        "delete group/g",
        "delete policy/p",
    ]


def test_what_is_detached_is_detached_before_it_goes() -> None:
    """A user that loses a policy loses it before the policy is deleted."""
    there = {"user/u": {**USER, "attached": ["p"]}, "policy/p": {"policy": ALLOW}}
    found = plan({"user/u": USER}, there)
    assert names(found.steps) == ["change user/u", "delete policy/p"]
    assert found.steps[0].requests[0].arguments == {"kind": "user", "name": "u", "attached": []}
    assert found.summary == "0 to create, 1 to change, 1 to delete"


def test_guardrails_are_loosened_first_and_tightened_last() -> None:
    """So that none is in the way of a step, neither the old one nor the new."""
    there = {f"guardrail/{name}": guardrail("kms:A", "kms:B") for name in ("loose", "tight", "other", "gone")}
    declared = {
        "guardrail/loose": guardrail("kms:A"),
        "guardrail/tight": guardrail("kms:A", "kms:B", "kms:C"),
        "guardrail/other": guardrail("kms:C"),
        "guardrail/new": guardrail("kms:D"),
        "user/u": USER,
    }
    assert names(plan(declared, there).steps) == [
        "delete guardrail/gone",
        "change guardrail/loose",
        "create user/u",
        "create guardrail/new",
        "change guardrail/other",
        "change guardrail/tight",
    ]


def test_a_principal_that_is_made_disabled_is_disabled_at_once() -> None:
    """Its making says nothing of that, so a second request does."""
    (step,) = plan({"user/u": {**USER, "enabled": False}}, {}).steps
    assert [request.operation for request in step.requests] == ["CreatePrincipal", "UpdatePrincipal"]
    assert step.requests[1].arguments == {"kind": "user", "name": "u", "enabled": False}


def test_providers_are_changed_whole() -> None:
    """Audiences and certificates together."""
    old = {"audiences": ["a"], "authorities": ""}
    new = {"audiences": ["a", "b"], "authorities": ""}
    url = "https://issuer.example/x"
    (made,) = plan({f"provider/{url}": old}, {}).steps
    assert (made.requests[0].operation, made.requests[0].arguments) == ("CreateProvider", {"url": url, **old})
    (changed,) = plan({f"provider/{url}": new}, {f"provider/{url}": old}).steps
    assert (changed.requests[0].operation, changed.requests[0].arguments) == (
        "UpdateProvider",
        {"url": url, **new},
    )
    (gone,) = plan({}, {f"provider/{url}": old}).steps
    assert (gone.requests[0].operation, gone.requests[0].arguments) == ("DeleteProvider", {"url": url})


def test_a_template_that_changes_is_put_again() -> None:
    """Before its keys are ensured."""
    old: dict[str, Any] = {"alias": "<<name>>", "description": "", "multi_region": False, "parameters": {}}
    old |= {"policy": None, "rotation_days": None, "spec": "SYMMETRIC_DEFAULT", "tags": {}}
    old["usage"] = "ENCRYPT_DECRYPT"
    (step,) = plan({"template/t": {**old, "description": "x"}}, {"template/t": old}).steps
    assert (step.verb, step.requests[0].operation) == (Verb.CHANGE, "PutTemplate")


def test_the_accounts_own_arns_are_names() -> None:
    """However a policy or a group was named, the same one is no difference."""
    there = {
        "user/u": {
            **USER,
            "attached": [f"arn:aws:iam::{ACCOUNT}:policy/p"],
            "groups": [f"arn:aws:iam::{ACCOUNT}:group/g"],
            "boundary": f"arn:aws:iam::{ACCOUNT}:policy/b",
        }
    }
    assert plan({"user/u": {**USER, "attached": ["p"], "groups": ["g"], "boundary": "b"}}, there).steps == ()
    assert (
        len(plan({"user/u": {**USER, "attached": ["arn:aws:iam::999999999999:policy/p"]}}, there).steps) == 1
    )


def test_a_difference_shows_what_is_around_it() -> None:
    """Like `diff -u`, of the properties in one form; the form of a policy's text is none."""
    assert difference({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 3]}, "a": 1}) == [
        "@@ -3,7 +3,7 @@",
        '   "b": {',
        '     "c": [',
        "       1,",
        "-      2",
        "+      3",
        "     ]",
        "   }",
        " }",
    ]
    assert difference(None, {"a": 1}) == ["@@ -0,0 +1,3 @@", "+{", '+  "a": 1', "+}"]
    assert difference({"a": 1, "parameters": {}}, {"a": 1, "parameters": {"x": "y"}}) == []
