import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import MalformedPolicy
from keystead.core.policy import (
    MAX_BYTES,
    Document,
    Effect,
    check_denials,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
    parse_trust_policy,
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


ALLOW = statement(Sid="may")


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
        for name in ("Conditions", "effect", "CanonicalUser")
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
        having("Principal", {"CanonicalUser": "79a5"}),
        "Statement 0: Principal has an element that is not supported here: CanonicalUser.",
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
    assert parse_identity_policy("").statements == ()
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


def refused(policy: str, parse: Callable[[str], object] = parse_key_policy) -> str:
    """What is said of a policy that is refused."""
    with pytest.raises(MalformedPolicy) as refusal:
        parse(policy)
    return str(refusal.value)


def one(**changes: object) -> str:
    """A key policy of one statement with a Sid; members that become None are left out."""
    members = {**of_key(ALICE, "Deny", Sid="x"), **changes}
    return text({name: value for name, value in members.items() if value is not None})


NO_VALUES: list[object] = [[], {}, [[]], [{}]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"NotAction": "*"}, "has both Action and NotAction."),
        ({"NotResource": "*"}, "has both Resource and NotResource."),
        ({"NotPrincipal": {"AWS": BOB}}, "has both Principal and NotPrincipal."),
        ({"Action": None, "NotAction": []}, "NotAction must be a string or a list of strings."),
        ({"Resource": None, "NotResource": 1}, "NotResource must be a string or a list of strings."),
        (
            {"Principal": None, "NotPrincipal": {"AWS": BOB}, "Effect": "Allow"},
            "NotPrincipal goes with the Effect Deny only: it would allow everybody else in the world.",
        ),
        ({"Principal": None, "NotPrincipal": "*"}, "NotPrincipal must name principals, not *."),
        (
            {"Principal": None, "NotPrincipal": {"AWS": [BOB, "*"]}},
            "NotPrincipal must name principals, not *.",
        ),
        (
            {"Principal": {"Service": "*"}},
            'Principal must be the name of a service such as "backup.example.com".',
        ),
        (
            {"Principal": {"Federated": "x"}},
            "Principal must be the ARN of an identity provider, or its host name.",
        ),
        ({"Resource": "${"}, "Resource has a ${ that does not begin a policy variable."),
        (
            {"Resource": "arn:x:y:z:1:${s3:prefix}"},
            "Resource has a variable of an unknown condition key: s3:prefix.",
        ),
        (
            {"Resource": "arn:aws:kms:${aws:RequestedRegion}:1:key/x"},
            "Resource has a policy variable before the fifth colon of the ARN.",
        ),
        (
            {"Resource": "${aws:username}"},
            "Resource has a policy variable before the fifth colon of the ARN.",
        ),
        ({"Condition": []}, "Condition must be an object of operators."),
        ({"Condition": {"Bool": {}}}, "Condition: Bool must be an object of condition keys."),
        ({"Condition": {"Bool": "true"}}, "Condition: Bool must be an object of condition keys."),
        *(
            ({"Condition": {"StringLike": {key: "x"}}}, f"Condition has an unknown condition key: {key}.")
            for key in (
                "kms:keyspecs",
                "kms:EncryptionContext:",
                "aws:SourceVpce",
                "s3:prefix",
                "aws:PrincipalTag/",
                "",
            )
        ),
        (
            {"Condition": {"StringLike": {"aws:userid": "${kms:Nothing}"}}},
            "Condition: StringLike aws:userid has a variable of an unknown condition key: kms:Nothing.",
        ),
        *(
            (
                {"Condition": {"StringLike": {"aws:userid": value}}},
                "Condition: StringLike aws:userid must be a string or a list of strings.",
            )
            for value in NO_VALUES
        ),
    ],
)
def test_what_is_wrong_with_an_element_is_told(changes: Json, told: str) -> None:
    """With the statement, its Sid and the element."""
    joint = " " if told.startswith("has both") else ": "
    assert refused(one(**changes)) == f"Statement 0 (x){joint}{told}"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null"])
def test_a_condition_wants_no_number_that_json_does_not_have(value: str) -> None:
    """Python would read some of them."""
    policy = one(Condition={"NumericLessThan": {"aws:EpochTime": 7}}).replace("7}", f"{value}}}")
    assert refused(policy) in (
        "The policy is not valid JSON.",
        "Statement 0 (x): Condition: NumericLessThan aws:EpochTime must be a string or a list of strings.",
    )


def test_what_a_policy_may_hold_besides() -> None:
    """Services, identity providers, conditions that say nothing, and keys in any case."""
    principal = {
        "AWS": [f"arn:aws:sts::{HERE}:federated-user/a"],
        "Service": "backup.example.com",
        "Federated": ["idp.example.com", f"arn:aws:iam::{HERE}:oidc-provider/idp.example.com/x"],
    }
    (parsed,) = parse_key_policy(one(Principal=principal, Condition={})).statements
    assert len(parsed.principals) == 4
    assert parsed.fixed
    assert parsed.conditions == ()
    (parsed,) = parse_key_policy(one(Condition={"Bool": {"AWS:securetransport": True}})).statements
    (condition,) = parsed.conditions
    assert (condition.operator, condition.key, condition.wanted) == ("Bool", "AWS:securetransport", ("true",))
    assert not parsed.fixed
    assert parsed.keys == {"aws:securetransport"}


def test_a_guardrail_only_denies() -> None:
    """An Allow in it would look as if it gave something."""
    assert parse_guardrail(text(statement("Deny")), "g").name == "g"
    assert refused(text(statement("Deny"), ALLOW), parse_guardrail) == (
        "Statement 1 (may): Effect must be Deny, because a guardrail gives nothing."
    )
    assert "not supported here: Principal" in refused(text(of_key(ALICE, "Deny")), parse_guardrail)


def test_a_trust_policy_says_who() -> None:
    """Everybody is too many to assume a role, but may be denied it."""
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    with pytest.raises(MalformedPolicy, match="Principal must say who may assume the role"):
        parse_trust_policy(json.dumps({"Statement": statement}))
    denied = parse_trust_policy(json.dumps({"Statement": {**statement, "Effect": "Deny"}}))
    assert denied.statements[0].principals == {"*"}


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (
            "kms:ReEncrypt",
            "kms:ReEncrypt: no action is called that. Did you mean kms:ReEncryptFrom or kms:ReEncryptTo?",
        ),
        (
            ["kms:Sign", "sts:Nothing"],
            "sts:Nothing: no action is called that. The reference of the policy language lists them.",
        ),
    ],
)
def test_a_denial_of_no_action_is_refused(action: Any, told: str) -> None:
    """It looks as if it protected something; the actions that were meant are named."""
    for parse in (parse_identity_policy, parse_guardrail):
        denial = parse(text(statement("Deny", action, Sid="No")))  # one that is stored is read
        with pytest.raises(MalformedPolicy) as caught:
            check_denials(denial)
        assert str(caught.value) == f"Statement No would never deny {told}"
    with pytest.raises(MalformedPolicy, match="would never deny"):
        check_denials(parse_key_policy(text(of_key(ALICE, "Deny", action))))


@pytest.mark.parametrize(
    "action", ["kms:ReEncrypt*", "kms:Nothing?", "s3:GetObject", "sts:AssumeRoleWithSAML"]
)
def test_a_denial_as_aws_has_it_is_taken(action: str) -> None:
    """Wildcards may match nothing, and what only AWS has cannot be asked for here."""
    check_denials(parse_identity_policy(text(statement("Deny", action))))


def test_a_wrong_name_is_taken_where_it_opens_nothing() -> None:
    """An Allow of it allows nothing, and a Deny of all but it denies more."""
    check_denials(parse_key_policy(text(of_key(ALICE, "Allow", "kms:ReEncrypt"))))
    spare = {"Effect": "Deny", "NotAction": "kms:ReEncrypt", "Resource": "*"}
    check_denials(parse_identity_policy(text(spare)))
