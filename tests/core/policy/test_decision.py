import json
import re
from hashlib import sha256
from typing import Any

import pytest

from keystead.core.policy import (
    Document,
    Missing,
    Question,
    Ruling,
    decide,
    default_key_policy,
    folded,
    parse_guardrail,
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


ROLE = f"arn:aws:iam::{HERE}:role/app"
SESSION = f"arn:aws:sts::{HERE}:assumed-role/app/one"
ROOT_THERE = f"arn:aws:iam::{THERE}:root"
SERVICE = "backup.example.com"
BOUNDARY = "because no permissions boundary allows the kms:Encrypt action"
SESSION_SILENT = "because no session policy allows the kms:Encrypt action"
SILENT = statement(action="kms:Sign")


def identity(*statements: Json) -> Document:
    """A policy that names nobody."""
    return parse_identity_policy(text(*statements))


def ruled(key_policy: list[Json] | None, policies: list[Json], principal: str = ALICE, **more: Any) -> Ruling:
    """The ruling where more kinds of policy have a say; a session is one of the role ROLE."""
    account = more.pop("account", principal.split(":")[4] if ":" in principal else HERE)
    return decide(
        Question(
            principal=principal,
            account=account,
            session_of=more.pop("session_of", ROLE if principal == SESSION else ""),
            identity_policy=identity(*policies) if policies else Document(),
            action="kms:Encrypt",
            resource=KEY,
            key_policy=None if key_policy is None else parse_key_policy(text(*key_policy)),
            key_account="" if key_policy is None else HERE,
            **more,
        )
    )


LAYERS: dict[str, tuple[Ruling, Ruling]] = {
    "a boundary limits what identity policies allow": (
        ruled(None, [ALLOW], boundary=identity(SILENT)),
        Ruling(False, "none", "", BOUNDARY),
    ),
    "a boundary gives nothing": (
        ruled(None, [], boundary=identity(ALLOW)),
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "boundary and identity policy allow": (
        ruled(None, [ALLOW], boundary=identity(statement())),
        Ruling(True, "identity-policy", "may", ""),
    ),
    "a boundary denies": (
        ruled([of_key(ALICE)], [ALLOW], boundary=identity(statement(), statement("Deny"))),
        Ruling(False, "permission-boundary", "#1", "with an explicit deny in a permissions boundary"),
    ),
    "a boundary limits what a key policy leaves to the account": (
        ruled([of_key(ROOT)], [ALLOW], boundary=identity(SILENT)),
        Ruling(False, "none", "", BOUNDARY),
    ),
    "a boundary does not limit what a key policy gives a user": (
        ruled([of_key(ALICE)], [], boundary=identity(SILENT)),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "across accounts it does": (
        ruled([of_key(CAROL)], [ALLOW], CAROL, boundary=identity(SILENT)),
        Ruling(False, "none", "", BOUNDARY),
    ),
    "a key policy names the session, and its session policy is silent": (
        ruled(
            [of_key(SESSION)], [], SESSION, session_policies=(identity(SILENT),), boundary=identity(SILENT)
        ),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "a key policy names the role, and the session policy is silent": (
        ruled([of_key(ROLE)], [ALLOW], SESSION, session_policies=(identity(SILENT),)),
        Ruling(False, "session-policy", "", SESSION_SILENT),
    ),
    "a key policy names the role, and the boundary is silent": (
        ruled([of_key(ROLE)], [ALLOW], SESSION, boundary=identity(SILENT)),
        Ruling(False, "permission-boundary", "", BOUNDARY),
    ),
    "a key policy names the role, and its session has no session policy": (
        ruled([of_key(ROLE)], [], SESSION),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "a key policy names everybody, and the session policy is silent": (
        ruled([of_key("*")], [], SESSION, session_policies=(identity(SILENT),)),
        Ruling(False, "session-policy", "", SESSION_SILENT),
    ),
    "a key policy names everybody, and the session policy allows": (
        ruled([of_key("*")], [], SESSION, session_policies=(identity(ALLOW), identity(SILENT))),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "one of several session policies allows": (
        ruled([of_key(ROLE)], [], SESSION, session_policies=(identity(SILENT), identity(ALLOW))),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "one of several session policies denies": (
        ruled([of_key(SESSION)], [], SESSION, session_policies=(identity(ALLOW), identity(DENY))),
        Ruling(False, "session-policy", "may not", "with an explicit deny in a session policy"),
    ),
    "a grant to its role cannot lift a session's own limit": (
        ruled([of_key(BOB)], [], SESSION, session_policies=(identity(SILENT),)),
        Ruling(False, "session-policy", "", SESSION_SILENT),
    ),
    "the account is named, and identity and session policy allow": (
        ruled([of_key(ROOT)], [ALLOW], SESSION, session_policies=(identity(ALLOW),)),
        Ruling(True, "identity-policy", "may", ""),
    ),
    "the key policy denies the role of a session": (
        ruled([of_key(SESSION), of_key(ROLE, "Deny")], [ALLOW], SESSION),
        Ruling(False, "key-policy", "#1", KEY_DENY),
    ),
    "a guardrail denies, whoever allows": (
        ruled([of_key(ALICE)], [ALLOW], guardrails=(parse_guardrail(text(DENY)),)),
        Ruling(False, "guardrail", "may not", "with an explicit deny in a service control policy"),
    ),
    "a guardrail about something else": (
        ruled(None, [ALLOW], guardrails=(parse_guardrail(text(statement("Deny", "kms:Sign"))),)),
        Ruling(True, "identity-policy", "may", ""),
    ),
    "a second identity policy allows": (
        ruled(None, [SILENT], more_identity_policies=(identity(SILENT), identity(ALLOW))),
        Ruling(True, "identity-policy", "may", ""),
    ),
    "a second identity policy denies": (
        ruled(None, [ALLOW], more_identity_policies=(identity(DENY),)),
        Ruling(False, "identity-policy", "may not", IDENTITY_DENY),
    ),
    "the root user is named by its own ARN": (
        ruled([of_key(ROOT)], [], ROOT),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "a service is named": (
        ruled([{**of_key("*"), "Principal": {"Service": SERVICE}}], [], SERVICE),
        Ruling(True, "key-policy", "#0", ""),
    ),
    "all actions but another": (
        ruled(None, [{"Effect": "Allow", "NotAction": "kms:Decrypt", "Resource": "*"}]),
        Ruling(True, "identity-policy", "#0", ""),
    ),
    "all actions but this": (
        ruled(None, [{"Effect": "Allow", "NotAction": "kms:Enc*", "Resource": "*"}]),
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "all resources but another": (
        ruled(None, [{"Effect": "Allow", "Action": "*", "NotResource": f"{KEY}5"}]),
        Ruling(True, "identity-policy", "#0", ""),
    ),
    "all resources but this": (
        ruled(None, [{"Effect": "Allow", "Action": "*", "NotResource": [KEY, f"{KEY}5"]}]),
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
    "all resources but every one": (
        ruled(None, [{"Effect": "Allow", "Action": "*", "NotResource": "*"}]),
        Ruling(False, "none", "", NO_IDENTITY_POLICY),
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_what_the_layers_come_to(case: str) -> None:
    """Boundaries, session policies, guardrails and several identity policies, as AWS's evaluation has them."""
    ruling, expected = LAYERS[case]
    assert ruling == expected


@pytest.mark.parametrize(
    ("spared", "principal", "more", "denied"),
    [
        ([ALICE, ROOT], ALICE, {}, False),
        ([ALICE, HERE], ALICE, {}, False),
        ([ALICE], ALICE, {}, True),
        ([ROOT], ALICE, {}, True),
        ([BOB, ROOT], ALICE, {}, True),
        ([ALICE, ROOT_THERE], ALICE, {}, True),
        ([SESSION, ROLE, ROOT], SESSION, {}, False),
        ([ROLE, ROOT], SESSION, {}, True),
        ([SESSION, ROOT], SESSION, {}, True),
        ([ALICE, ROOT], ALICE, {"boundary": identity(statement())}, True),
    ],
)
def test_whom_a_not_principal_spares(spared: list[str], principal: str, more: Json, denied: bool) -> None:
    """Only a caller of whom everything is listed, and none who has a boundary, as in AWS."""
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": spared}}
    ruling = ruled([of_key([ALICE, SESSION]), deny], [], principal, **more)
    assert ruling == (
        Ruling(False, "key-policy", "#1", KEY_DENY) if denied else Ruling(True, "key-policy", "#0", "")
    )


def test_a_resource_may_hold_a_variable() -> None:
    """It becomes the caller's; without a value it matches no resource, in a NotResource either."""
    mine = statement(resource=[f"arn:aws:iam::{HERE}:user/${{aws:username}}", "arn:x"], action="keystead:*")
    question = Question(
        principal=ALICE,
        account=HERE,
        identity_policy=identity(mine),
        action="keystead:CreateAccessKey",
        resource=ALICE,
        context={"aws:username": "alice"},
    )
    assert decide(question).allowed
    question.resource = BOB
    assert not decide(question).allowed
    question.resource = "arn:x"
    assert decide(question).allowed
    question.context, question.resource = None, f"arn:aws:iam::{HERE}:user/"
    assert not decide(question).allowed
    assert decide(question).missing == Missing("identity-policy", "#0", "resource")
    del mine["Resource"]
    question.identity_policy = identity(
        {**mine, "NotResource": f"arn:aws:iam::{HERE}:user/${{aws:username}}"}
    )
    assert decide(question).allowed


ON_PAYROLL = {"StringEquals": {"kms:EncryptionContext:app": "payroll"}}


def test_the_values_of_a_request_are_asked_for_only_if_a_condition_needs_them() -> None:
    """Who asks hands over a function; it is called at most once, and not for statements about others."""
    calls = []

    def context() -> Json:
        calls.append(1)
        return {"kms:encryptioncontext:app": "payroll"}

    plain = [
        of_key(ALICE),
        of_key(BOB, Condition=ON_PAYROLL),
        of_key("*", "Deny", "kms:Sign", Condition=ON_PAYROLL),
    ]
    ruling = ruled(plain, [], context=context)
    assert (ruling.allowed, ruling.cacheable, calls) == (True, True, [])
    conditional = [of_key("*", "Deny", Condition={"Null": {"kms:EncryptionContext:app": "true"}}), *plain[1:]]
    ruling = ruled(conditional, [], BOB, context=context)
    assert (ruling.allowed, ruling.cacheable, calls) == (True, False, [1])
    refusal = ruled(conditional, [], BOB)
    assert (refusal.allowed, refusal.cacheable) == (False, False)
    silence = ruled(plain, [], BOB)
    assert (silence.allowed, silence.source, silence.cacheable) == (False, "none", False)
    assert ruled(plain, [], CAROL).cacheable


def test_a_document_knows_which_values_it_may_need() -> None:
    """By the names of the condition keys in lower case, those of its variables too."""
    policy = text(of_key(ALICE), of_key(BOB, Condition={"StringEquals": {"aws:SourceArn": "${aws:userid}"}}))
    assert parse_key_policy(policy).depends_on == {"aws:sourcearn", "aws:userid"}
    assert identity(statement(resource="a:b:c:d:e:${aws:username}")).depends_on == {"aws:username"}
    assert identity(ALLOW).depends_on == frozenset()


def test_names_of_keys_in_any_case_are_folded() -> None:
    """A mapping with the names that people write becomes what a question takes."""
    assert folded({"aws:SourceIp": "::1", "aws:TagKeys": ("A",)}) == {
        "aws:sourceip": "::1",
        "aws:tagkeys": ("A",),
    }


def test_a_ruling_names_all_statements_that_it_took() -> None:
    """By kind of policy, the document's name and the statement's label."""
    ruling = ruled(
        [of_key(ROOT, Sid="root")],
        [],
        SESSION,
        more_identity_policies=(parse_identity_policy(text(ALLOW), "arn:x"),),
        boundary=identity(statement()),
        session_policies=(identity(statement(Sid="session")),),
    )
    assert [matched[:3] for matched in ruling.matched] == [
        ("key-policy", "", "root"),
        ("identity-policy", "arn:x", "may"),
        ("permission-boundary", "", "#0"),
        ("session-policy", "", "session"),
    ]
    assert ruling.explain() == (
        "allowed by key-policy root, identity-policy arn:x may, permission-boundary #0, session-policy session"
    )
    role = ruled([of_key(ROLE)], [], SESSION, session_policies=(identity(ALLOW),))
    assert role.explain() == "allowed by key-policy #0, session-policy may"
    assert ruled([of_key("*", "Deny")], []).explain() == "denied by key-policy #0"
    assert Ruling(True, "grant", "0123", "").explain() == "allowed by grant 0123"


def test_a_ruling_says_which_version_of_a_policy_it_took() -> None:
    """A version is the beginning of the SHA-256 of the policy's text, as it was put."""
    policy = text(ALLOW)
    version = sha256(policy.encode()).hexdigest()[:12]
    ruling = ruled(
        [of_key(ROOT, Sid="root")], [], more_identity_policies=(parse_identity_policy(policy, "arn:x"),)
    )
    of_the_key, of_the_caller = ruling.told
    assert of_the_caller == f"identity-policy arn:x@{version} may"
    assert re.fullmatch("key-policy @[0-9a-f]{12} root", of_the_key)
    assert ruled([of_key(ROOT)], []).told == ()


MISSING: dict[str, tuple[Ruling, Missing, str]] = {
    "nobody speaks of the action": (
        ruled([of_key(ALICE, action="kms:Sign"), of_key("*", "Deny", "kms:Sign")], []),
        Missing("key-policy"),
        "no statement of the key-policy is about the action",
    ),
    "another is named": (
        ruled([of_key(BOB, Sid="bob")], [ALLOW]),
        Missing("key-policy", "bob", "principal"),
        "key-policy statement bob: another principal",
    ),
    "another resource comes closer than another principal": (
        ruled([of_key(BOB), of_key(ALICE, Resource="arn:other"), of_key(CAROL)], []),
        Missing("key-policy", "#1", "resource"),
        "key-policy statement #1: another resource",
    ),
    "one condition comes closer than two, and says what it wants": (
        ruled(
            [
                of_key(ALICE, Condition={**ON_PAYROLL, "Bool": {"aws:SecureTransport": "true"}}),
                of_key(
                    ALICE,
                    Condition={"Null": {"aws:SourceArn": "true"}, "StringLike": {"aws:SourceIp": ["a", "b"]}},
                ),
            ],
            [],
            context={"aws:sourceip": "secret"},
        ),
        Missing("key-policy", "#1", "condition", ("StringLike aws:SourceIp: a or b",)),
        "key-policy statement #1: StringLike aws:SourceIp: a or b",
    ),
    "an identity policy is silent": (
        ruled([of_key(ROOT)], [SILENT], more_identity_policies=(identity(statement(resource="arn:other")),)),
        Missing("identity-policy", "#0", "resource"),
        "identity-policy statement #0: another resource",
    ),
    "a boundary is silent": (
        ruled(None, [ALLOW], boundary=identity(SILENT)),
        Missing("permission-boundary"),
        "no statement of the permission-boundary is about the action",
    ),
    "a session policy is silent": (
        ruled([of_key(ROLE)], [], SESSION, session_policies=(identity(statement(Condition=ON_PAYROLL)),)),
        Missing("session-policy", "#0", "condition", ("StringEquals kms:EncryptionContext:app: payroll",)),
        "session-policy statement #0: StringEquals kms:EncryptionContext:app: payroll",
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_a_denial_by_silence_names_the_smallest_thing_that_was_missing(case: str) -> None:
    """The statement that comes closest and what of it failed; never what the caller sent."""
    ruling, missing, line = MISSING[case]
    assert not ruling.allowed
    assert ruling.missing == missing
    assert ruling.explain() == f"denied: {line}"


def test_what_was_missing_is_told_without_what_was_wanted() -> None:
    """In the audit, say, which more people may read than the policy."""
    briefs = {case: missing.brief for case, (ruling, _, _) in MISSING.items() if (missing := ruling.missing)}
    assert briefs["one condition comes closer than two, and says what it wants"] == (
        "key-policy statement #1: StringLike aws:SourceIp"
    )
    assert briefs["another is named"] == "key-policy statement bob: another principal"
    assert briefs["nobody speaks of the action"] == "no statement of the key-policy is about the action"


def test_what_is_allowed_or_denied_by_a_statement_misses_nothing() -> None:
    """Only silence lacks something."""
    assert ruled([of_key("*")], []).missing is None
    assert ruled([of_key("*", "Deny")], []).missing is None


@pytest.mark.parametrize("resource", ["*", "kms:?*"])
@pytest.mark.parametrize("varied", ["action", "resource"])
def test_a_document_keeps_statements_for_a_bounded_number_of_questions(varied: str, resource: str) -> None:
    """Whatever is asked of it, it does not grow for ever, and it goes on answering right."""
    policy = identity(statement(**{"resource": resource, varied: "kms:1*"}))
    found = []
    for number in range(2000):
        names: dict[str, Any] = {"action": "kms:1", "resource": "kms:1", varied: f"kms:{number}"}
        question = Question(principal=ALICE, account=HERE, identity_policy=policy, **names)
        found.append(decide(question).allowed)
    assert found == [str(number).startswith("1") for number in range(2000)]
    assert len(policy._selections) <= 1024
    assert len(policy._about) <= 1024
