"""Tables of cases: what they ask, what they tell, and what is refused in them."""

import json
from typing import Any

import pytest

from keystead.core.errors import InvalidRequest
from keystead.core.policy.builtin import BUILT_IN, KEY_USER
from keystead.core.policy.cases import SOURCES, Table, is_table, read_table, run
from keystead.core.policy.lint import Kind, lint

ACCOUNT, OTHER = "111122223333", "444455556666"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ROLE, SESSION = f"arn:aws:iam::{ACCOUNT}:role/app", f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd"


def policy(effect: str = "Allow", action: Any = "kms:Decrypt", **more: Any) -> dict[str, Any]:
    """A policy of one statement."""
    statement = {"Sid": "One", "Effect": effect, "Action": action, "Resource": "*", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def table(
    *cases: dict[str, Any],
    alice: dict[str, Any] | None = None,
    orders: dict[str, Any] | None = None,
    files: dict[str, str] | None = None,
    **policies: Any,
) -> Table:
    """A table about alice and the key orders; files are what its policies may be named by."""

    def read(name: str) -> str:
        if name not in (files or {}):
            raise InvalidRequest(f"{name}: no such file")
        return (files or {})[name]

    members = {
        "principals": {"alice": {"arn": ALICE, **(alice or {})}},
        "keys": {"orders": {"arn": KEY, **(orders or {})}},
        **policies,
    }
    return read_table({"policies": members, "cases": list(cases)}, read)


def case(expect: str = "allow", **more: Any) -> dict[str, Any]:
    """A row: alice decrypts with orders."""
    return {"who": "alice", "action": "kms:Decrypt", "resource": "orders", "expect": expect, **more}


def problems(*cases: dict[str, Any], **of: Any) -> list[str]:
    """What is not as expected, of each case."""
    return [outcome.problem for outcome in run(table(*cases, **of))]


def test_each_case_is_decided_by_the_policies_of_the_table() -> None:
    """Without an own policy nothing is allowed, with one it is; the key's policy is the default one."""
    assert problems(case("deny"), case()) == ["", "expected allow"]
    assert problems(case("deny"), case(), alice={"identity": policy()}) == ["expected deny", ""]


def test_a_row_with_lists_is_a_case_for_each() -> None:
    """Who, action and resource may be lists; the outcomes tell which of them it was."""
    rows = table(
        case(who=["alice", "bob"], action=["kms:Decrypt", "kms:Encrypt"], resource=["orders", "*"]),
        principals={"alice": {"arn": ALICE}, "bob": {"arn": ROLE}},
    )
    assert [(each.row, each.who, each.action, each.resource) for each in rows.cases] == [
        (1, who, action, resource)
        for who in ("alice", "bob")
        for action in ("kms:Decrypt", "kms:Encrypt")
        for resource in ("orders", "*")
    ]


def test_every_kind_of_policy_has_its_say() -> None:
    """Identity policies, boundary, session policies, guardrails and key policy: each alone changes the outcome."""
    wide = {"identity": [policy(action="kms:Encrypt"), policy()]}
    of_key = policy("Deny", Principal={"AWS": ALICE})
    everything = {"identity": [policy()], "boundary": policy()}
    assert problems(case(because="identity-policy"), alice=wide) == [""]
    assert problems(case(because="identity-policy"), alice=everything) == [""]
    assert problems(case("deny"), alice={**wide, "boundary": policy(action="kms:Sign")}) == [""]
    assert problems(case("deny", because="guardrail"), alice=wide, guardrails=[policy("Deny")]) == [""]
    assert problems(case("deny", because="key-policy"), alice=wide, orders={"policy": of_key}) == [""]
    session = {"arn": SESSION, "session_of": ROLE, **wide}
    assert problems(case(), alice=session) == [""]
    limited = {**session, "session": [policy(action="kms:Sign"), policy(action="kms:Encrypt")]}
    assert problems(case("deny", because="session-policy"), alice=limited) == [""]


def test_policies_are_written_out_built_in_or_files() -> None:
    """A name is that of a built-in policy, with or without its ARN, and else that of a file."""
    files = {"mine.json": json.dumps(policy())}
    for identity in (policy(), "KeysteadKeyUser", KEY_USER, "mine.json", ["mine.json"]):
        assert problems(case(), alice={"identity": identity}, files=files) == [""]


def test_because_is_the_kind_that_decided_or_was_silent() -> None:
    """For a denial by silence, it names the policy that should have spoken; `none` stands for any silence."""
    of_key = {"policy": policy(action="kms:Sign", Principal={"AWS": ALICE})}
    assert problems(case("deny", because="identity-policy"), case("deny", because="none")) == ["", ""]
    assert problems(case("deny", because="key-policy"), orders=of_key) == [""]
    assert problems(case("deny", because="key-policy")) == [
        "expected because of key-policy, not of identity-policy"
    ]
    assert problems(case("deny", because="none"), guardrails=policy("Deny")) == [
        "expected because of none, not of guardrail"
    ]


@pytest.mark.parametrize(
    ("part", "identity"),
    [
        ("action", policy(action="kms:Sign")),
        ("resource", policy(Resource="arn:aws:kms:*:*:key/other")),
        ("condition", policy(Condition={"Bool": {"aws:SecureTransport": "true"}})),
    ],
)
def test_missing_is_what_a_denial_lacked(part: str, identity: dict[str, Any]) -> None:
    """The part of the nearest statement that did not match is compared."""
    another = "condition" if part == "action" else "action"
    assert problems(
        case("deny", missing=part), case("deny", missing=another), alice={"identity": identity}
    ) == ["", f"expected a missing {another}, not {part}"]


def test_nothing_is_missing_where_a_statement_denies() -> None:
    """A denial by a statement lacks nothing."""
    (problem,) = problems(case("deny", missing="action"), guardrails=policy("Deny"))
    assert problem == "expected a missing action, not a statement that denies"


def conditions(values: dict[str, Any]) -> dict[str, Any]:
    """An identity policy that allows if all these condition keys have these values."""
    return {"identity": policy(Condition={"StringEquals": values})}


def test_the_values_of_the_caller_and_the_key_are_known() -> None:
    """Who asks, for which key and in which Region, and the tags of both, need not be written into each case."""
    known = {
        "aws:PrincipalArn": ALICE,
        "aws:PrincipalAccount": ACCOUNT,
        "kms:CallerAccount": ACCOUNT,
        "aws:ResourceAccount": OTHER,
        "aws:username": "alice",
        "aws:RequestedRegion": "eu-central-1",
        "aws:PrincipalTag/team": "ops",
        "aws:ResourceTag/stage": "1",
    }
    arn = KEY.replace(ACCOUNT, OTHER)
    orders = {"arn": arn, "tags": {"stage": 1}, "policy": policy(Principal={"AWS": ACCOUNT})}
    alice = {**conditions(known), "tags": {"team": "ops"}}
    assert problems(case(), case(resource=arn), alice=alice, orders=orders) == ["", ""]
    session = conditions({"aws:PrincipalArn": ROLE, "aws:ResourceAccount": ACCOUNT})
    created = case(action="kms:CreateKey", resource="*")
    session["identity"]["Statement"][0]["Action"] = "kms:CreateKey"
    assert problems(created, alice={"arn": SESSION, "session_of": ROLE, **session}) == [""]


def test_a_case_brings_values_of_its_own() -> None:
    """They count before what is known; numbers and booleans are texts, lists are several values."""
    alice = {
        "identity": policy(
            Condition={
                "Bool": {"aws:SecureTransport": "true"},
                "NumericEquals": {"kms:RotationPeriodInDays": "30.5"},
                "ForAnyValue:StringEquals": {"aws:TagKeys": "b"},
                "StringEquals": {"aws:username": "somebody else"},
            }
        )
    }
    context = {
        "aws:securetransport": True,
        "kms:RotationPeriodInDays": 30.5,
        "aws:TagKeys": ["a", "b"],
        "aws:UserName": "somebody else",
    }
    assert problems(case(context=context), case("deny"), alice=alice) == ["", ""]


def test_an_encryption_context_fills_its_keys() -> None:
    """Each pair has a value, all names are one key, and names that differ in case only share a value."""
    alice = conditions({"kms:EncryptionContext:app": "payroll", "kms:EncryptionContextKeys": "app"})
    assert problems(
        case(encryption_context={"app": "payroll"}),
        case("deny", encryption_context={"app": "payroll", "more": "x"}),
        case("deny", encryption_context={"app": "payroll", "App": "x"}),
        alice=alice,
    ) == ["", "", ""]


def test_lint_can_look_at_a_table() -> None:
    """A table has its own policies once each, and its principals with what they hold; not the built-in ones."""
    read = table(
        case(),
        alice={"identity": ["KeysteadKeyUser", policy()], "boundary": policy(), "session": policy()},
        guardrails=policy("Deny", "kms:CreateGrant"),
        principals={
            "alice": {
                "arn": ALICE,
                "identity": ["KeysteadKeyUser", policy(action="kms:Sign")],
                "boundary": policy(),
            },
            "bob": {"arn": ROLE, "session": "KeysteadAuditor"},
        },
    )
    assert [(each.kind, each.name) for each in read.policies] == [
        (Kind.KEY, "the default policy of orders"),
        (Kind.IDENTITY, "policies: principals: alice: identity 2"),
        (Kind.BOUNDARY, "policies: principals: alice: boundary"),
        (Kind.GUARDRAIL, "policies: guardrails 1"),
    ]
    alice, bob = read.holders
    assert (alice.name, [each.name for each in alice.policies]) == (
        "alice",
        ["KeysteadKeyUser", "policies: principals: alice: identity 2"],
    )
    assert alice.policies[0].text == BUILT_IN[KEY_USER].text
    assert (bob.policies, bob.boundary, bob.guardrails) == ((), None, read.guardrails)
    assert [each.code for each in lint(read.policies, read.holders)] == ["PL002"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no cases": ({"cases": []}, "cases: must be a list of at least one case"),
    "cases that are none": ({"cases": {"a": 1}}, "cases: must be a list of at least one case"),
    "a case that is none": ({"cases": ["a"]}, "case 1: must be an object whose members have names"),
    "a member too many": ({"case": []}, "the table: case is not one of policies, cases"),
    "nobody": ({"policies": {}}, "policies: principals: must be an object whose members have names"),
    "a misspelt member": (
        {"cases": [case(resources="*")]},
        "case 1: resources is not one of who, action, resource, context, encryption_context, expect, because, missing",
    ),
    "a stranger": ({"cases": [case(), case(who="mallory")]}, "case 2: mallory is not one of the principals"),
    "no action": ({"cases": [case(action="kms:Decypt")]}, "case 1: there is no action kms:Decypt"),
    "an empty list": ({"cases": [case(action=[])]}, "case 1: action must be a text or a list of texts"),
    "a number": ({"cases": [case(resource=[1])]}, "case 1: resource must be a text or a list of texts"),
    "an unknown key": (
        {"cases": [case(resource="order")]},
        "case 1: order is not one of the keys, nor the ARN of something else",
    ),
    "an unknown key's ARN": (
        {"cases": [case(resource=f"{KEY}5")]},
        f"case 1: {KEY}5 is not one of the keys, nor the ARN of something else",
    ),
    "neither": ({"cases": [case("maybe")]}, "case 1: expect must be allow or deny"),
    "an unknown source": (
        {"cases": [case(because="me")]},
        f"case 1: because must be one of {', '.join(SOURCES)}",
    ),
    "an unknown part": (
        {"cases": [case("deny", missing=["action"])]},
        "case 1: missing must be one of action, principal, resource, condition",
    ),
    "nothing is missing": (
        {"cases": [case(missing="action")]},
        "case 1: nothing is missing where it is allowed",
    ),
    "an unknown condition key": (
        {"cases": [case(context={"aws:SourceIP2": "x"})]},
        "case 1: context: there is no condition key aws:SourceIP2",
    ),
    "a value that is none": (
        {"cases": [case(context={"aws:SourceIp": None})]},
        "case 1: context: aws:SourceIp: must be a text, a number, true or false",
    ),
    "a context that is none": (
        {"cases": [case(encryption_context={"a": ["b"]})]},
        "case 1: encryption_context: a: must be a text, a number, true or false",
    ),
    "no ARN": (
        {"policies": {"principals": {"bob": {"arn": "bob"}}}},
        "policies: principals: bob: bob is not the ARN of a user, a role or a session",
    ),
    "no ARN at all": (
        {"policies": {"principals": {"bob": {}}}},
        "policies: principals: bob: arn must be a text",
    ),
    "a session of nobody": (
        {"policies": {"principals": {"bob": {"arn": SESSION}}}},
        "policies: principals: bob: a session must say by session_of which role it is of",
    ),
    "no key": (
        {"policies": {"principals": {}, "keys": {"k": {"arn": ALICE}}}},
        f"policies: keys: k: {ALICE} is not the ARN of a key",
    ),
    "an alias of six colons": (
        {"policies": {"principals": {}, "keys": {"k": {"arn": f"{KEY}:1"}}}},
        f"policies: keys: k: {KEY}:1 is not the ARN of a key",
    ),
    "a policy that is none": (
        {"policies": {"principals": {"bob": {"arn": ROLE, "identity": [{}]}}}},
        "policies: principals: bob: identity 1: The policy must have a Statement.",
    ),
    "a policy of another kind": (
        {"policies": {"principals": {"bob": {"arn": ROLE, "boundary": 7}}}},
        "policies: principals: bob: boundary: must be a policy, the name of a built-in one, or a file",
    ),
    "a guardrail that allows": (
        {"policies": {"principals": {}, "guardrails": [policy()]}},
        "policies: guardrails 1: Statement 0 (One): Effect must be Deny, because a guardrail gives nothing.",
    ),
    "a file that is not there": (
        {"policies": {"principals": {"bob": {"arn": ROLE, "identity": "gone.json"}}}},
        "gone.json: no such file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_with_its_place(name: str) -> None:
    """A case that asked something else than it seems to would be worse than none."""
    raw, refusal = REFUSED[name]
    sound = {"policies": {"principals": {"alice": {"arn": ALICE}}, "keys": {"orders": {"arn": KEY}}}}

    def read(file: str) -> str:
        raise InvalidRequest(f"{file}: no such file")

    with pytest.raises(InvalidRequest) as refused:
        read_table({**sound, "cases": [case()], **raw}, read)
    assert str(refused.value) == refusal


@pytest.mark.parametrize(
    ("raw", "is_one"), [({"cases": []}, True), ({"Statement": []}, False), ([], False), ("cases", False)]
)
def test_a_table_is_told_from_a_policy_by_its_cases(raw: object, *, is_one: bool) -> None:
    """No policy has a member of that name."""
    assert is_table(raw) is is_one
