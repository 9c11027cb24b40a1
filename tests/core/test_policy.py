import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.errors import MalformedPolicy
from keystead.core.policy import (
    MAX_BYTES,
    Document,
    Effect,
    Question,
    Ruling,
    decide,
    default_key_policy,
    parse_identity_policy,
    parse_key_policy,
)

# Test folders are not packages, so the specification is taken from the file beside this one.
_found = importlib.util.spec_from_file_location("policy_spec", Path(__file__).with_name("policy_spec.py"))
assert _found is not None
assert _found.loader is not None
policy_spec = importlib.util.module_from_spec(_found)
_found.loader.exec_module(policy_spec)

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


def malformed(change: Callable[[Json], object]) -> str:
    """A good key policy with one thing changed."""
    document = json.loads(text(of_key(ALICE)))
    change(document)
    return json.dumps(document)


def having(name: str, value: object) -> str:
    """A good key policy whose statement has another value for one member."""
    return malformed(lambda document: document["Statement"][0].update({name: value}))


ONE = 'Statement 0: Principal must be "*" or an object such as {"AWS": "ARN"}.'
WHOM = (
    "Statement 0: Principal must be an ARN of a user, a role or an account's root, an account number, "
    "or * alone."
)
NOT_EFFECTS: list[object] = ["allow", "", None, []]
NOT_STRINGS: list[object] = ["", [], None, 1, {}, ["kms:*", ""], ["kms:*", 1], [["kms:*"]]]
NOT_PRINCIPALS: list[object] = [ALICE, {}, [], ["*"], None]
BROKEN: list[tuple[str, str]] = [
    ("", "The policy is not valid JSON."),
    ("{", "The policy is not valid JSON."),
    ("[" * 30_000, "The policy is not valid JSON."),
    ("1" * 5000, "The policy is not valid JSON."),
    ("[]", "The policy must be a JSON object."),
    ('"*"', "The policy must be a JSON object."),
    ('{"Id": "a", "Id": "b"}', "The policy has an object with two members of the same name."),
    (
        text(of_key(ALICE)).replace('"Effect"', '"Effect": "Deny", "Effect"'),
        "The policy has an object with two members of the same name.",
    ),
    (
        malformed(lambda d: d.update(Condition={})),
        "The policy has an element that is not supported here: Condition.",
    ),
    (malformed(lambda d: d.update(Version="2020-01-01")), "The policy's Version must be 2012-10-17."),
    (malformed(lambda d: d.update(Version=[])), "The policy's Version must be 2012-10-17."),
    (malformed(lambda d: d.update(Id=1)), "The policy's Id must be a string."),
    (malformed(lambda d: d.pop("Statement")), "The policy must have a Statement."),
    (malformed(lambda d: d.update(Statement=[])), "The policy must have a Statement."),
    (malformed(lambda d: d.update(Statement="all")), "The policy must have a Statement."),
    (malformed(lambda d: d["Statement"].append("all")), "Statement 1 must be a JSON object."),
    *(
        (
            having(name, {}),
            f"Statement 0 has an element that is not supported here: {name}.",
        )
        for name in ("Condition", "NotAction", "NotPrincipal", "NotResource", "effect")
    ),
    *(
        (
            having("Sid", sid),
            "Statement 0: Sid must be a string of at most 256 printable characters.",
        )
        for sid in (1, None, "x" * 257, "a\nb", "\ud800", "\u202e")
    ),
    *(
        (
            having("Effect", effect),
            "Statement 0: Effect must be Allow or Deny.",
        )
        for effect in NOT_EFFECTS
    ),
    (malformed(lambda d: d["Statement"][0].pop("Effect")), "Statement 0: Effect must be Allow or Deny."),
    *(
        (
            having(name, value),
            f"Statement 0: {name} must be a string or a list of strings.",
        )
        for name in ("Action", "Resource")
        for value in NOT_STRINGS
    ),
    (malformed(lambda d: d["Statement"][0].pop("Principal")), ONE),
    *((having("Principal", value), ONE) for value in NOT_PRINCIPALS),
    (
        having("Principal", {"Service": "s3.amazonaws.com"}),
        "Statement 0: Principal has an element that is not supported here: Service.",
    ),
    (
        having("Principal", {"AWS": []}),
        "Statement 0: Principal must be a string or a list of strings.",
    ),
    *(
        (having("Principal", {"AWS": ["*", name]}), WHOM)
        for name in (
            "alice",
            "11112222333",
            "1111222233334",
            "\u0661" * 12,
            f"arn:aws:iam::{HERE}:user/*",
            f"arn:aws:iam::{HERE}:user/",
            f"arn:aws:iam::{HERE}:group/admins",
            f"arn:aws:iam::{HERE}:root\n",
            f"arn:aws-cn:iam::{HERE}:root",
            f"arn:aws:iam::{HERE}:user/\u017f",
        )
    ),
]


@pytest.mark.parametrize(("policy", "told"), BROKEN)
def test_what_is_wrong_with_a_policy_is_told(policy: str, told: str) -> None:
    """A policy that is not understood is refused when it is put, and the text says what and where."""
    with pytest.raises(MalformedPolicy) as refusal:
        parse_key_policy(policy)
    assert str(refusal.value) == told


def test_an_identity_policy_names_nobody() -> None:
    """It is about whoever has it, so a Principal in it is refused; without a text it allows nothing."""
    with pytest.raises(MalformedPolicy, match="not supported here: Principal"):
        parse_identity_policy(text(of_key(ALICE)))
    assert parse_identity_policy("") == Document()
    assert parse_identity_policy(text(ALLOW)).statements[0].principals == frozenset()


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_policy_of_32768_bytes_is_taken_and_one_more_is_not(letter: str) -> None:
    """The limit counts bytes of UTF-8, not letters."""
    frame = text(statement(resource=["*", "?"])).encode()
    room = MAX_BYTES - len(frame) + 1
    filled = letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode()))
    whole = frame.decode().replace("?", filled)
    assert len(whole.encode()) == MAX_BYTES
    assert len(parse_identity_policy(whole).statements) == 1
    with pytest.raises(MalformedPolicy) as refusal:
        parse_identity_policy(whole + " ")
    assert str(refusal.value) == "The policy is larger than 32768 bytes."


@pytest.mark.parametrize("version", ["2012-10-17", "2008-10-17", None])
def test_a_version_of_the_language_may_be_left_out(version: str | None) -> None:
    """Both versions that AWS knows are read alike here, and so is a policy that names none."""
    document: Json = {"Id": "mine", "Statement": of_key(ALICE, Sid="s" * 256)}
    if version is not None:
        document["Version"] = version
    (only,) = parse_key_policy(json.dumps(document)).statements
    assert (only.label, only.effect, only.principals) == ("s" * 256, Effect.ALLOW, frozenset({ALICE}))


def test_statements_without_a_sid_are_called_by_their_place() -> None:
    """The audit names the statement that decided, also where nobody has named it."""
    parsed = parse_key_policy(text(of_key(ALICE), of_key(BOB, Sid=""), of_key(CAROL, Sid="c")))
    assert [s.label for s in parsed.statements] == ["#0", "#1", "c"]


@pytest.mark.parametrize(
    "principal",
    [
        HERE,
        ROOT,
        ALICE,
        "*",
        f"arn:aws:iam::{HERE}:user/team/a+=,.@_-1",
        f"arn:aws:iam::{HERE}:role/service/deploy",
        f"arn:aws:sts::{HERE}:assumed-role/deploy/session",
        f"arn:aws:iam::{HERE}:service/jobs",
    ],
)
def test_whom_a_key_policy_may_name(principal: str) -> None:
    """Users, roles, sessions, parts of the service, accounts, and everybody."""
    assert parse_key_policy(text(of_key(principal))).statements[0].principals == {principal}


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


ACTIONS = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "keystead:Rotate"]
OTHER = f"arn:aws:kms:eu-central-1:{HERE}:key/9876fedc"
wildcards = st.one_of(
    st.sampled_from([*ACTIONS, "*", "kms:*", "KMS:?ncrypt", "*crypt*", KEY, OTHER, f"{KEY[:-4]}????"]),
    st.text("kms:EncrypDt*?\\.+1/\u017f\u212a", min_size=1, max_size=6),
)
# Every other one matches all, or few questions would hang on who is named where.
some_wildcards = st.one_of(st.just("*"), st.just("*"), wildcards, st.lists(wildcards, min_size=1, max_size=3))
principals = st.sampled_from([ALICE, BOB, CAROL, ROOT, HERE, THERE, f"arn:aws:iam::{THERE}:root", "*"])
identity_statements = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": some_wildcards,
        "Resource": some_wildcards,
    }
)
key_statements = st.builds(
    lambda body, principal: {**body, "Principal": principal},
    identity_statements,
    st.one_of(
        st.just("*"),
        st.builds(lambda names: {"AWS": names}, st.lists(principals, min_size=1, max_size=3)),
        st.builds(lambda name: {"AWS": name}, principals),
    ),
)


def documents(statements: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Policies of a few statements, or of one that stands alone."""
    some = st.one_of(statements, st.lists(statements, min_size=1, max_size=4))
    return st.builds(lambda found: {"Version": "2012-10-17", "Statement": found}, some)


@settings(max_examples=2000)
@given(
    st.none() | documents(key_statements),
    st.none() | documents(identity_statements),
    st.sampled_from([ALICE, BOB, CAROL]),
    st.sampled_from([HERE, THERE]),
    st.sampled_from(ACTIONS) | st.text("kms:EncrypDt\u017f\u212a\n", max_size=6),
    st.sampled_from([KEY, OTHER, "*"]) | st.text("kms:*?\\.+1/\n", max_size=6),
)
def test_random_policies_mean_what_the_plain_specification_says(
    key_policy: Json | None,
    identity_policy: Json | None,
    principal: str,
    key_account: str,
    action: str,
    resource: str,
) -> None:
    """Whatever the documents say, the compiled decision is the one that plain loops come to."""
    account = principal.split(":")[4]
    ruling = decide(
        Question(
            principal=principal,
            account=account,
            identity_policy=parse_identity_policy(json.dumps(identity_policy) if identity_policy else ""),
            action=action,
            resource=resource,
            key_policy=parse_key_policy(json.dumps(key_policy)) if key_policy else None,
            key_account=key_account if key_policy else "",
        )
    )
    expected = policy_spec.allowed(
        key_policy, identity_policy, principal, (account, key_account), (action, resource)
    )
    assert ruling.allowed is expected
    assert (ruling.reason == "") is ruling.allowed
    assert (ruling.source == "none") is (ruling.statement == "")


@settings(max_examples=500)
@given(st.text("ab*?\\.(", max_size=8), st.text("ab*?\\.(\n", max_size=10))
def test_random_wildcards_match_what_the_plain_specification_says(wildcard: str, resource: str) -> None:
    """Every wildcard text matches exactly the texts that trying letter by letter finds."""
    ruling = asked(None, [statement(resource="!" + wildcard)], resource="!" + resource)
    assert ruling.allowed is policy_spec.fits("!" + wildcard, "!" + resource)


@given(st.text(max_size=60) | st.from_regex(r"\{[\"\[\]{}:,*A-Za-z]*\}"))
def test_any_text_is_a_policy_or_refused(policy: str) -> None:
    """Nothing that somebody puts as a policy raises anything else."""
    for parse in (parse_key_policy, parse_identity_policy):
        try:
            document = parse(policy)
        except MalformedPolicy as error:
            assert str(error)  # noqa: PT017 - every refusal says why
        else:
            assert isinstance(document, Document)
