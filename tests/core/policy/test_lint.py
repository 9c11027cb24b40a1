"""What lint finds, code by code, and what it leaves alone."""

import json
from importlib import util
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.policy import default_key_policy, parse_identity_policy
from keystead.core.policy.actions import ACTIONS
from keystead.core.policy.lint import CODES, Finding, Holder, Kind, Policy, Severity, lint

ACCOUNT = "111122223333"
ROOT, ALICE = f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:user/alice"
ROLE, SESSION = f"arn:aws:iam::{ACCOUNT}:role/app", f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one"
ISSUER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com/ci"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd"
NEVER = "kms:RecipientAttestation:ImageSha384"  # no request has it


def beside(name: str) -> ModuleType:
    """A module from the file beside this one: test folders are not packages."""
    found = util.spec_from_file_location(f"policy_{name}", Path(__file__).with_name(f"{name}.py"))
    assert found is not None
    assert found.loader is not None
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


generate = beside("generate")


def allow(action: Any = "kms:Decrypt", resource: Any = KEY, **more: Any) -> dict[str, Any]:
    """A statement that allows; members that are None are left out."""
    whole = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {name: value for name, value in whole.items() if value is not None}


def deny(action: Any = "kms:Decrypt", resource: Any = KEY, **more: Any) -> dict[str, Any]:
    """A statement that denies."""
    return {**allow(action, resource, **more), "Effect": "Deny"}


def when(operator: str, key: str, value: Any = "x") -> dict[str, Any]:
    """A condition."""
    return {operator: {key: value}}


def to(who: Any = ALICE, action: Any = "kms:Decrypt", **more: Any) -> dict[str, Any]:
    """A statement of a key policy that allows."""
    return allow(action, "*", Principal=who if who == "*" else {"AWS": who}, **more)


OWNERS = to(ROOT, "kms:*")


def found(kind: Kind, *statements: dict[str, Any], version: str | None = "2012-10-17") -> list[Finding]:
    """What lint finds in one policy."""
    whole: dict[str, Any] = {"Statement": list(statements)}
    if version is not None:
        whole["Version"] = version
    return lint([Policy(kind, "p", json.dumps(whole))])


def codes(kind: Kind, *statements: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Code, severity and statement of what lint finds."""
    return [(each.code, each.severity.value, each.statement) for each in found(kind, *statements)]


SOUND: dict[str, tuple[Kind, tuple[dict[str, Any], ...]]] = {
    "one key": (Kind.IDENTITY, (allow(["kms:Encrypt", "kms:Decrypt"]),)),
    "owners and a user": (Kind.KEY, (OWNERS, to(ALICE))),
    "reading everything": (Kind.IDENTITY, (allow(["kms:List*", "kms:Describe*"], "*"),)),
    "random numbers": (Kind.IDENTITY, (allow("kms:GenerateRandom", "*"),)),
    "every key under a condition": (
        Kind.IDENTITY,
        (allow("kms:Decrypt", "*", Condition=when("StringEquals", "aws:ResourceTag/team")),),
    ),
    "an account number": (Kind.KEY, (to(ACCOUNT, "kms:*"),)),
    "a ceiling of everything": (Kind.BOUNDARY, (allow("kms:*", "*"), deny("kms:ScheduleKeyDeletion", "*"))),
    "a session with all but": (Kind.SESSION, (allow(None, "*", NotAction="kms:Decrypt"),)),
    "a guardrail": (
        Kind.GUARDRAIL,
        (deny(None, "*", NotAction="kms:*"), deny("kms:*", "*", NotResource=None)),
    ),
    "everybody of an account": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("StringEquals", "kms:CallerAccount", ACCOUNT))),
    ),
    "a set that must have values": (
        Kind.IDENTITY,
        (
            allow(
                "kms:TagResource",
                Condition={
                    "ForAllValues:StringEquals": {"aws:TagKeys": "a"},
                    "Null": {"aws:TagKeys": "false"},
                },
            ),
        ),
    ),
    "a role's trust": (
        Kind.TRUST,
        (
            {"Effect": "Allow", "Principal": {"AWS": ALICE}, "Action": "sts:AssumeRole"},
            {
                "Effect": "Allow",
                "Principal": {"Federated": ISSUER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": when("StringLike", "token.example.com/ci:sub", "repo:acme/*"),
            },
        ),
    ),
    "an encryption context that must be there": (
        Kind.IDENTITY,
        (allow(Condition=when("StringEquals", "kms:EncryptionContext:app")),),
    ),
}

CASES: dict[str, tuple[Kind, tuple[dict[str, Any], ...], list[tuple[str, str, str]]]] = {
    # PL001, and with it PL013
    "everything": (
        Kind.IDENTITY,
        (allow("*", "*"),),
        [("PL013", "error", ""), ("PL001", "error", "#0")],
    ),
    "everything of keys": (
        Kind.IDENTITY,
        (allow(["kms:ListKeys", "kms:**"], KEY),),
        [("PL013", "error", ""), ("PL001", "error", "#0")],
    ),
    "everything under a condition": (
        Kind.KEY,
        (to(ALICE, "kms:*", Sid="A", Condition=when("Bool", "aws:SecureTransport", "true")),),
        [("PL013", "error", ""), ("PL001", "warning", "A")],
    ),
    # PL002
    "every key": (Kind.IDENTITY, (allow("kms:Decrypt", [KEY, "*"]),), [("PL002", "warning", "#0")]),
    # PL003
    "everybody": (Kind.KEY, (OWNERS, to("*")), [("PL003", "error", "#1")]),
    "everybody but": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("StringNotEquals", "kms:CallerAccount"))),
        [("PL003", "error", "#1")],
    ),
    "everybody whose account is any": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("StringLike", "kms:CallerAccount", "*"))),
        [("PL003", "error", "#1")],
    ),
    "everybody, if the account is known": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("StringEqualsIfExists", "kms:CallerAccount"))),
        [("PL003", "error", "#1")],
    ),
    "everybody with an account": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("Null", "kms:CallerAccount", "false"))),
        [("PL003", "error", "#1")],
    ),
    "everybody with an algorithm": (
        Kind.KEY,
        (OWNERS, to("*", Condition=when("StringEquals", "kms:EncryptionAlgorithm"))),
        [("PL003", "error", "#1")],
    ),
    # PL004
    "all but": (
        Kind.IDENTITY,
        (
            allow(None, "arn:aws:kms:*:*:key/1", NotAction=["kms:*crypt*", "kms:Gen*", "kms:Sign"]),
            deny("*", "*"),
        ),
        [("PL004", "warning", "#0"), ("PL007", "warning", "#0")],
    ),
    # PL005
    "an action that is none": (
        Kind.IDENTITY,
        (allow(["kms:Decrypt", "s3:GetObject"]),),
        [("PL005", "warning", "#0")],
    ),
    "a denial of nothing": (Kind.GUARDRAIL, (deny(["kms:Decyrpt"]),), [("PL005", "error", "#0")]),
    "a denial of all but nothing": (
        Kind.GUARDRAIL,
        (deny(None, NotAction="kms:Decyrpt"),),
        [("PL005", "warning", "#0")],
    ),
    # PL006
    "the same twice": (Kind.IDENTITY, (allow(), allow()), [("PL006", "warning", "#1")]),
    "narrower before wider": (
        Kind.IDENTITY,
        (allow(Sid="A"), allow("kms:*crypt", "arn:aws:kms:*", Sid="B")),
        [("PL006", "warning", "A")],
    ),
    "narrower by a condition": (
        Kind.IDENTITY,
        (allow(Condition=when("Bool", "aws:SecureTransport", "true")), allow()),
        [("PL006", "warning", "#0")],
    ),
    "the same under one condition": (
        Kind.IDENTITY,
        (
            allow(Condition=when("Bool", "aws:SecureTransport", "true")),
            allow(["kms:Decrypt", "kms:Encrypt"], Condition=when("Bool", "aws:SecureTransport", "true")),
        ),
        [("PL006", "warning", "#0")],
    ),
    "a user beside everybody": (
        Kind.KEY,
        (
            OWNERS,
            to(ALICE),
            to("*", Condition=None),
            deny("kms:Sign", "*", Principal="*"),
            deny("kms:Sign", "*", Principal={"AWS": SESSION}),
        ),
        [("PL006", "warning", "#1"), ("PL003", "error", "#2"), ("PL006", "warning", "#4")],
    ),
    "all but the same": (
        Kind.IDENTITY,
        (
            allow(None, None, NotResource=KEY, Action="kms:Sign"),
            allow(None, None, NotResource=[KEY], Action="kms:Sign"),
        ),
        [("PL006", "warning", "#1")],
    ),
    "a variable beside everything": (
        Kind.IDENTITY,
        (allow("kms:DescribeKey", f"{KEY}${{aws:username}}"), allow("kms:DescribeKey", "*")),
        [("PL006", "warning", "#0")],
    ),
    "the same for all but the same": (
        Kind.KEY,
        (
            OWNERS,
            *2 * [{"Effect": "Deny", "NotPrincipal": {"AWS": ALICE}, "Action": "kms:Sign", "Resource": "*"}],
        ),
        [("PL006", "warning", "#2")],
    ),
    # PL007
    "an Allow that is denied": (
        Kind.KEY,
        (OWNERS, to(ALICE, "kms:Sign"), deny("kms:S*", "*", Principal={"AWS": [ALICE, ROLE]})),
        [("PL007", "warning", "#1")],
    ),
    # PL008
    "an Allow that waits": (
        Kind.IDENTITY,
        (allow(Condition=when("StringEquals", NEVER)),),
        [("PL008", "warning", "#0")],
    ),
    "an Allow that does not wait": (
        Kind.IDENTITY,
        (allow(Condition=when("StringNotEquals", NEVER)),),
        [("PL008", "warning", "#0")],
    ),
    "a Deny that never comes": (
        Kind.GUARDRAIL,
        (deny(Condition=when("StringEquals", NEVER)),),
        [("PL008", "error", "#0")],
    ),
    "a Deny that always comes": (
        Kind.GUARDRAIL,
        (deny(Condition=when("StringNotEquals", NEVER)),),
        [("PL008", "info", "#0")],
    ),
    # PL009
    "a set that may be empty": (
        Kind.IDENTITY,
        (allow("kms:TagResource", Condition=when("ForAllValues:StringEquals", "aws:TagKeys")),),
        [("PL009", "warning", "#0")],
    ),
    "a set that must be empty": (
        Kind.IDENTITY,
        (
            allow(
                "kms:TagResource",
                Condition={
                    "ForAllValues:StringEquals": {"aws:TagKeys": "a"},
                    "Null": {"aws:TagKeys": "true"},
                },
            ),
        ),
        [("PL009", "warning", "#0")],
    ),
    # PL010
    "a key that one of two actions has": (
        Kind.IDENTITY,
        (
            allow(
                ["kms:Sign", "kms:GetPublicKey"],
                Condition=when("StringEqualsIfExists", "kms:SigningAlgorithm"),
            ),
        ),
        [("PL010", "warning", "#0")],
    ),
    # PL011
    "nobody may change it": (
        Kind.KEY,
        (to(ALICE, ["kms:Decrypt", "kms:Encrypt"]),),
        [("PL011", "error", "")],
    ),
    "everybody is denied to change it": (
        Kind.KEY,
        (OWNERS, deny("kms:Put*", "*", Principal="*")),
        [("PL011", "error", "")],
    ),
    # PL012
    "a context if there is one": (
        Kind.IDENTITY,
        (allow(Condition=when("StringEqualsIfExists", "kms:EncryptionContext:app")),),
        [("PL012", "warning", "#0")],
    ),
    "names of a context if there are any": (
        Kind.IDENTITY,
        (allow(Condition=when("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "app")),),
        [("PL012", "warning", "#0")],
    ),
    # PL013
    "a user and a writer in one": (
        Kind.KEY,
        (OWNERS, to(ALICE, "kms:Decrypt"), to([ALICE, ROLE], "kms:CreateGrant")),
        [("PL013", "error", "")],
    ),
    "everybody is both": (
        Kind.KEY,
        (
            OWNERS,
            to("*", ["kms:Decrypt", "kms:PutKeyPolicy"], Condition=when("StringEquals", "kms:CallerAccount")),
        ),
        [("PL013", "error", "")],
    ),
    "one of the two is denied": (
        Kind.KEY,
        (
            OWNERS,
            to(ALICE, ["kms:Decrypt", "kms:CreateGrant", "kms:Encrypt"]),
            deny("kms:Cr*", "*", Principal={"AWS": ALICE}),
        ),
        [],
    ),
    # PL016
    "two with one Sid": (
        Kind.IDENTITY,
        (allow(Sid="A"), allow("kms:Encrypt", Sid="A")),
        [("PL016", "warning", "A")],
    ),
    # PL017
    "any token of an issuer": (
        Kind.TRUST,
        (
            {
                "Effect": "Allow",
                "Principal": {"Federated": ISSUER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": when("StringEquals", "token.example.com/ci:aud", "keystead"),
            },
        ),
        [("PL017", "error", "#0")],
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    """Policies as they should be are left alone."""
    kind, statements = SOUND[name]
    assert [each.line for each in found(kind, *statements)] == []


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_found(name: str) -> None:
    """Each mistake has its code, its severity and its statement, and nothing else is found."""
    kind, statements, expected = CASES[name]
    assert codes(kind, *statements) == expected


NOT_COVERED: dict[str, tuple[Kind, tuple[dict[str, Any], ...]]] = {
    "another key": (Kind.IDENTITY, (allow(), allow("kms:Decrypt", KEY[:-1]))),
    "a wider resource by a question mark": (Kind.IDENTITY, (allow(), allow("kms:Decrypt", KEY[:-1] + "?"))),
    "a variable may be anything": (
        Kind.IDENTITY,
        (allow("kms:ListGrants", f"{KEY}/${{aws:username}}"), allow("kms:ListGrants", f"{KEY}/$*")),
    ),
    "all but a key": (
        Kind.IDENTITY,
        (allow(None, None, Action="kms:Sign", NotResource=KEY), allow("kms:Sign", KEY)),
    ),
    "another condition": (
        Kind.IDENTITY,
        (
            allow(Condition=when("Bool", "aws:SecureTransport", "true")),
            allow(Condition=when("IpAddress", "aws:SourceIp", "203.0.113.0/24")),
        ),
    ),
    "a denial under a condition": (
        Kind.IDENTITY,
        (allow(), deny(Condition=when("Bool", "aws:SecureTransport", "false"))),
    ),
    "a denial for another user": (Kind.KEY, (OWNERS, to(ALICE), deny("kms:*", "*", Principal={"AWS": ROLE}))),
    "a denial for all but": (
        Kind.KEY,
        (
            OWNERS,
            to(ALICE),
            {"Effect": "Deny", "NotPrincipal": {"AWS": ALICE}, "Action": "kms:Decrypt", "Resource": "*"},
        ),
    ),
    # A session that is named itself is not limited by its session policies; one of everybody is.
    "a session beside everybody": (
        Kind.KEY,
        (OWNERS, to(SESSION), to("*", Condition=None, Action="kms:Decrypt")),
    ),
}


@pytest.mark.parametrize("name", NOT_COVERED)
def test_a_statement_that_may_matter_is_not_called_superfluous(name: str) -> None:
    """Where it is not certain that another statement says it all, nothing is said."""
    kind, statements = NOT_COVERED[name]
    assert {"PL006", "PL007"}.isdisjoint(each.code for each in found(kind, *statements))


def test_an_action_that_is_decided_as_two_is_explained() -> None:
    """Nothing is decided about `kms:ReEncrypt`, and the finding says about what."""
    (finding,) = found(Kind.GUARDRAIL, deny("kms:ReEncrypt"))
    assert "since it is decided about kms:ReEncryptFrom and kms:ReEncryptTo" in finding.text


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_an_old_version_has_no_variables(version: str | None) -> None:
    """A variable there is a text, so a Deny with one is an error; without one the version is only mentioned."""
    variable = f"{KEY}${{aws:username}}"
    kinds = {
        Kind.IDENTITY: allow("kms:Decrypt", variable),
        Kind.GUARDRAIL: deny("kms:Decrypt", variable),
        Kind.SESSION: allow(),
    }
    told = {kind: found(kind, statement, version=version)[0] for kind, statement in kinds.items()}
    assert [(each.code, each.severity) for each in told.values()] == [
        ("PL014", Severity.WARNING),
        ("PL014", Severity.ERROR),
        ("PL015", Severity.INFO),
    ]
    assert (version or "without a Version") in told[Kind.SESSION].text


def test_a_policy_that_is_none_is_an_error() -> None:
    """What cannot be parsed is told as it would be when it is put, whatever its kind, and nothing else is."""
    texts = {
        Kind.KEY: json.dumps({"Statement": [allow()]}),
        Kind.IDENTITY: "{",
        Kind.GUARDRAIL: json.dumps({"Statement": [allow()]}),
        Kind.TRUST: json.dumps({"Statement": [to("*")]}),
    }
    policies = [Policy(kind, kind.value, text) for kind, text in texts.items()]
    findings = lint(policies)
    assert [each.code for each in findings] == ["PL000"] * 4
    assert findings[1].line == (
        "identity policy: error PL000: The policy is not valid JSON. Correct it: nothing of such a policy is obeyed."
    )


def test_an_empty_identity_policy_is_sound() -> None:
    """It allows nothing, which is nothing wrong."""
    assert lint([Policy(Kind.IDENTITY, "p", "")]) == []


def test_a_statement_alone_is_as_good_as_a_list_of_one() -> None:
    """`Statement` may be an object."""
    text = json.dumps({"Version": "2012-10-17", "Statement": allow("kms:Decrypt", "*")})
    assert [each.code for each in lint([Policy(Kind.IDENTITY, "p", text)])] == ["PL002"]


def of_identity(name: str, *statements: dict[str, Any]) -> Policy:
    """An identity policy, or what is written like one."""
    return Policy(Kind.IDENTITY, name, json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def test_who_holds_both_is_found_by_all_that_they_hold() -> None:
    """Two policies that are sound one by one are not together; a boundary or a guardrail can part them again."""
    use, write = of_identity("use", allow()), of_identity("write", allow("kms:PutKeyPolicy"))
    no_use = Policy(Kind.GUARDRAIL, "g", json.dumps({"Version": "2012-10-17", "Statement": deny("*", "*")}))
    boundary = of_identity("ceiling", allow("kms:Decrypt", "*"))._replace(kind=Kind.BOUNDARY)

    assert lint([use, write]) == []
    (finding,) = lint([use, write], [Holder("alice", (use, write))])
    assert finding.line == (
        "alice: error PL013: its holder reaches uses (kms:Decrypt) and writing (kms:PutKeyPolicy). "
        "Give the two to two principals, or deny one of them."
    )
    assert lint([use, write], [Holder("alice", (use, write), boundary)]) == []
    assert lint([use, write], [Holder("alice", (use, write), guardrails=(no_use,))]) == []


def test_a_policy_that_somebody_holds_is_not_judged_alone() -> None:
    """What its holder's boundary takes away counts; a policy without a known holder is all that somebody has."""
    both = of_identity("both", allow(["kms:Decrypt", "kms:PutKeyPolicy"]))
    boundary = of_identity("ceiling", allow("kms:Decrypt", "*"))
    assert [each.code for each in lint([both])] == ["PL013"]
    assert lint([both], [Holder("alice", (both,), boundary)]) == []


def test_a_holder_of_what_is_no_policy_is_told_once() -> None:
    """The policy is the finding; what its holder reaches cannot be said."""
    broken = Policy(Kind.IDENTITY, "p", "{")
    assert [each.code for each in lint([broken], [Holder("alice", (broken,))])] == ["PL000"]


def test_findings_are_in_the_order_of_policies_and_statements() -> None:
    """The same policies in another order give the same list."""
    policies = [
        of_identity(name, allow("kms:Decrypt", "*"), allow("s3:*"), allow("kms:Decrypt", "*"))
        for name in "ba"
    ]
    findings = lint(policies)
    assert [(each.policy, each.place, each.code) for each in findings] == [
        (name, place, code)
        for name in "ab"
        for place, code in [(0, "PL002"), (1, "PL001"), (1, "PL005"), (2, "PL002"), (2, "PL006")]
    ]
    assert lint(policies[::-1]) == findings


def test_many_names_are_told_by_a_few(checkout: Path) -> None:
    """A finding is one line, however many actions it is about."""
    (finding,) = found(Kind.IDENTITY, allow("kms:*crypt*", "*"))
    assert finding.text == "it allows kms:Decrypt, kms:Encrypt and 2 more with every key of the account"
    assert finding.severity is Severity.WARNING


def test_every_code_has_its_section_in_the_guide(checkout: Path) -> None:
    """Whoever looks a code up finds it, with the words that the code has for it."""
    page = (checkout / "docs" / "guides" / "policies.md").read_text()
    assert [code for code, (about, _) in CODES.items() if f"### {code}: {about}\n" not in page] == []
    assert page.count("\n### PL") == len(CODES)


@given(st.randoms(use_true_random=False))
def test_any_policy_can_be_looked_at(random: Random) -> None:
    """Random policies of every kind give findings with codes that exist, and the same ones each time."""
    kinds: dict[Kind, dict[str, Any]] = {
        Kind.KEY: {"of_key": True},
        Kind.IDENTITY: {},
        Kind.GUARDRAIL: {"effect": "Deny"},
    }
    policies = [
        Policy(kind, kind.value, json.dumps(generate.document(random, **of))) for kind, of in kinds.items()
    ]
    findings = lint(policies)
    assert {each.code for each in findings} <= set(CODES)
    assert findings == lint(policies)


@given(st.randoms(use_true_random=False))
def test_what_never_matters_can_be_left_out(random: Random) -> None:
    """Without the statements that another one covers, a policy still allows and denies the same."""
    document = generate.document(random)
    text = json.dumps(document)
    shadowed = {each.place for each in lint([Policy(Kind.IDENTITY, "p", text)]) if each.code == "PL006"}
    if not shadowed:
        return
    left = [s for place, s in enumerate(document["Statement"]) if place not in shadowed]
    before, after = (
        parse_identity_policy(text),
        parse_identity_policy(json.dumps({**document, "Statement": left})),
    )
    for action in (*generate.ACTIONS, "kms:Sign"):
        for resource in (generate.KEY, generate.ALIAS, "*"):
            for _ in range(3):
                get = {name.lower(): v for name, v in generate.request(random)["context"].items()}.get
                assert effects(before, action, resource, get) == effects(after, action, resource, get)


def effects(document: Any, action: str, resource: str, get: Any) -> set[str]:
    """What a policy does to a request: the effects of the statements that hold."""
    return {
        statement.effect.value
        for statement in document.statements
        if statement.about(action)
        and (statement.resources is None or statement.resources(resource))
        and (statement.open_resources is None or statement.open_resources(resource, get))
        and all(test(get) for test in statement.tests)
    }


def test_the_actions_of_a_statement_are_those_of_the_table() -> None:
    """What a wildcard means is what there is: a new action is covered as soon as it has a class."""
    assert codes(Kind.IDENTITY, allow("kms:Tag*"), allow("kms:TagResource")) == [("PL006", "warning", "#1")]
    assert "kms:TagResource" in ACTIONS


def test_the_default_key_policy_is_sound() -> None:
    """The policy of a key that was made without one has no findings."""
    assert lint([Policy(Kind.KEY, "p", default_key_policy(ACCOUNT))]) == []
