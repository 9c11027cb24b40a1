import json
from typing import Any

import pytest

from keystead.core.errors import MalformedPolicy
from keystead.core.policy import Question, decide, folded, parse_identity_policy
from keystead.core.policy.wildcards import template

HERE = "111122223333"
ALICE = f"arn:aws:iam::{HERE}:user/alice"


def holds(
    operator: str,
    wanted: Any,
    given: Any,
    effect: str = "Allow",
    *,
    version: str | None = "2012-10-17",
    **more: Any,
) -> bool:
    """Whether a condition on one key holds for a request with that value, or without the key for None."""
    ask = {"Action": "*", "Resource": "*"}
    statement = {**ask, "Effect": effect, "Condition": {operator: {"kms:EncryptionContext:x": wanted}}}
    everything = {**ask, "Effect": "Allow"} if effect == "Deny" else statement
    policy = {"Statement": [everything, statement], **({"Version": version} if version else {})}
    context = {**more, **({} if given is None else {"kms:EncryptionContext:X": given})}
    question = Question(
        principal=ALICE,
        account=HERE,
        identity_policy=parse_identity_policy(json.dumps(policy)),
        action="kms:Decrypt",
        resource="*",
        context=folded(context),
    )
    return decide(question).allowed is (effect == "Allow")


DAY = "2026-01-31T00:00:00Z"
ROLE = f"arn:aws:iam::{HERE}:role/app"
CASES: list[tuple[str, Any, Any, bool]] = [
    # Texts (IAM user guide, "String condition operators").
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", ["a", "b"], "b", True),
    ("StringEquals", "", "", True),
    ("StringEquals", True, "true", True),
    ("StringEquals", 7, "7", True),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", ["a", "b"], "c", True),
    ("StringEqualsIgnoreCase", "Straße", "STRASSE", True),
    ("StringEqualsIgnoreCase", ["a", "b"], "B", True),
    ("StringEqualsIgnoreCase", "a*", "AB", False),
    ("StringNotEqualsIgnoreCase", "a", "A", False),
    ("StringNotEqualsIgnoreCase", "a", "b", True),
    ("StringLike", "pay*", "payroll", True),
    ("StringLike", "pay*", "Payroll", False),
    ("StringLike", "p?y", "pay", True),
    ("StringLike", "p?y", "paay", False),
    ("StringLike", "*roll*", "payroll", True),
    ("StringLike", ["x", "*"], "anything", True),
    ("StringLike", "a\nb*", "a\nb\nc", True),
    ("StringNotLike", "pay*", "payroll", False),
    ("StringNotLike", ["pay*", "tax"], "food", True),
    # Numbers.
    ("NumericEquals", "7", "7.0", True),
    ("NumericEquals", 7, "007", True),
    ("NumericEquals", "7", "seven", False),
    ("NumericNotEquals", "7", "8", True),
    ("NumericNotEquals", "7", "+7", False),
    ("NumericNotEquals", "7", "seven", True),
    ("NumericLessThan", "7", "6.9", True),
    ("NumericLessThan", "7", "7", False),
    ("NumericLessThanEquals", "7", "7", True),
    ("NumericGreaterThan", "-7", "-6", True),
    ("NumericGreaterThan", "7", "7", False),
    ("NumericGreaterThan", ["7", "3"], "4", True),
    ("NumericGreaterThanEquals", "7", "7", True),
    ("NumericGreaterThanEquals", "9007199254740993", "9007199254740992", False),
    ("NumericEquals", "7", "1e1000000", False),
    # Dates.
    ("DateEquals", "2026-01-31", DAY, True),
    ("DateEquals", "2026-01-31T01:00:00+01:00", DAY, True),
    ("DateEquals", "2026-01-30T22:30:00-01:30", DAY, True),
    ("DateEquals", "1769817600", DAY, True),
    ("DateEquals", "2026", "2026-01-01T00:00Z", True),
    ("DateEquals", "2026-02", "2026-02-01", True),
    ("DateEquals", "2024-02-29", "1709164800", True),
    ("DateNotEquals", "2026-01-31", DAY, False),
    ("DateNotEquals", "2026-01-31", "yesterday", True),
    ("DateLessThan", "2026-01-31T00:00:00.5Z", DAY, True),
    ("DateLessThan", "2026-01-31", DAY, False),
    ("DateLessThan", "2026-01-31", "2026-13-01", False),
    ("DateLessThan", "2026-01-31", "2025-01-01T24:00Z", False),
    ("DateLessThan", "2026-01-31", "2025-01-01T00:60Z", False),
    ("DateLessThanEquals", "2026-01-31", DAY, True),
    ("DateGreaterThan", "1969", "-1", True),
    ("DateGreaterThan", "2026-01-31", DAY, False),
    ("DateGreaterThanEquals", "2026-01-31", DAY, True),
    # Truth, bytes, and whether there is anything.
    ("Bool", "true", "true", True),
    ("Bool", True, "True", True),
    ("Bool", "false", "true", False),
    ("Bool", "true", "1", False),
    ("BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "BinaryValueInBase64", True),
    ("BinaryEquals", ["YQ==", "Yg=="], "b", True),
    ("BinaryEquals", "YQ==", "b", False),
    ("BinaryEquals", "YQ==", "\ud800", False),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", False, "x", True),
    ("Null", False, None, False),
    ("Null", "true", (), True),
    ("Null", "false", "", True),
    ("Null", ["true", "false"], "x", True),
    # Addresses.
    ("IpAddress", "203.0.113.0/24", "203.0.113.77", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.1", False),
    ("IpAddress", "203.0.113.5", "203.0.113.5", True),
    ("IpAddress", "203.0.113.5/24", "203.0.113.77", True),
    ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::1", True),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.77", True),
    ("IpAddress", "0.0.0.0/0", "2001:db8::1", False),
    ("IpAddress", "203.0.113.0/24", "unix", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.77", False),
    ("NotIpAddress", ["203.0.113.0/24", "198.51.100.0/24"], "192.0.2.1", True),
    # ARNs, part by part.
    ("ArnEquals", ALICE, ALICE, True),
    ("ArnEquals", f"arn:aws:iam::{HERE}:user/*", ALICE, True),
    ("ArnLike", "arn:aws:iam::*:user/alice", ALICE, True),
    ("ArnLike", "arn:aws:*:*:*:*", ALICE, True),
    ("ArnLike", "arn:aws:iam:*:user/alice:", ALICE, False),
    ("ArnLike", f"arn:aws:iam::{HERE[:-1]}?:user/alice", ALICE, True),
    ("ArnLike", ALICE.replace("alice", "Alice"), ALICE, False),
    ("ArnLike", f"arn:aws:iam::{HERE}:*", f"{ALICE}:more:parts", True),
    ("ArnLike", "arn:aws:iam::*:root", f"arn:aws:iam::{HERE}:user/x:root", False),
    ("ArnLike", "arn:aws:*:*:*:*", "alice", False),
    ("ArnNotEquals", ALICE, ROLE, True),
    ("ArnNotLike", f"arn:aws:iam::{HERE}:user/*", ALICE, False),
    ("ArnNotLike", f"arn:aws:iam::{HERE}:user/*", "alice", True),
    # A request without the key.
    *(
        (name, "7", None, False)
        for name in ("StringEquals", "StringLike", "NumericEquals", "NumericLessThan")
    ),
    *((name, "true", None, False) for name in ("Bool", "BinaryEquals", "StringEqualsIgnoreCase")),
    ("DateLessThan", "2026", None, False),
    ("IpAddress", "0.0.0.0/0", None, False),
    ("ArnLike", "arn:*:*:*:*:*", None, False),
    *(
        (name, "7", None, True)
        for name in ("StringNotEquals", "StringNotLike", "NumericNotEquals", "DateNotEquals")
    ),
    ("StringNotEqualsIgnoreCase", "a", None, True),
    ("NotIpAddress", "0.0.0.0/0", None, True),
    ("ArnNotEquals", "arn:*:*:*:*:*", None, True),
    ("ArnNotLike", "arn:*:*:*:*:*", None, True),
    # ...IfExists (IAM user guide, "...IfExists condition operators").
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "a", True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEqualsIfExists", "a", None, True),
    ("NumericLessThanIfExists", "7", None, True),
    ("BoolIfExists", "true", "false", False),
    ("ForAnyValue:StringEqualsIfExists", "a", None, True),
    ("ForAnyValue:StringEqualsIfExists", "a", (), True),
    ("ForAnyValue:StringEqualsIfExists", "a", ("b",), False),
    # Keys with several values (IAM user guide, "Multivalued context keys").
    ("ForAllValues:StringEquals", ["a", "b", "c"], ("a", "b"), True),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "x"), False),
    ("ForAllValues:StringEquals", "a", "a", True),
    ("ForAllValues:StringEquals", "a", None, True),
    ("ForAllValues:StringEquals", "a", (), True),
    ("ForAllValues:StringEquals", "a", "", True),
    ("ForAllValues:StringEquals", "a", ("", "x"), False),
    ("ForAllValues:StringNotEquals", ["a", "b"], ("c", "d"), True),
    ("ForAllValues:StringNotEquals", ["a", "b"], ("c", "a"), False),
    ("ForAllValues:StringNotEquals", "a", None, True),
    ("ForAnyValue:StringEquals", ["a", "b"], ("x", "b"), True),
    ("ForAnyValue:StringEquals", "a", ("x", "y"), False),
    ("ForAnyValue:StringEquals", "a", None, False),
    ("ForAnyValue:StringEquals", "", "", False),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "c"), True),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "b"), False),
    ("ForAnyValue:StringNotEquals", "a", None, False),
    ("ForAnyValue:StringLike", "pay*", ("tax", "payroll"), True),
    ("ForAllValues:ArnLike", "arn:aws:iam::*:*", (ALICE, ROLE), True),
]


@pytest.mark.parametrize(("operator", "wanted", "given", "expected"), CASES)
def test_what_each_operator_holds_for(operator: str, wanted: Any, given: Any, expected: bool) -> None:
    """The table of operators, as the IAM user guide has it; the same in an Allow and in a Deny."""
    assert holds(operator, wanted, given) is expected
    assert holds(operator, wanted, given, "Deny") is expected


@pytest.mark.parametrize(
    ("operator", "given", "allow", "deny"),
    [
        ("StringEquals", ("a", "b"), False, True),
        ("StringEquals", ("a", "a"), True, True),
        ("StringEquals", ("b", "c"), False, False),
        ("StringNotEquals", ("a", "b"), False, True),
        ("StringNotEquals", ("b", "c"), True, True),
        ("StringEquals", (), False, False),
        ("StringNotEquals", (), True, True),
        ("NumericEquals", ("1", "2"), False, False),
    ],
)
def test_several_values_without_a_set_operator_open_nothing(
    operator: str, given: tuple[str, ...], allow: bool, deny: bool
) -> None:
    """An Allow must hold for each of the values, a Deny for any: one more value gives nobody more."""
    wanted = "a" if operator.startswith("String") else "7"
    assert holds(operator, wanted, given) is allow
    assert holds(operator, wanted, given, "Deny") is deny


NAMED: dict[str, Any] = {"aws:username": "alice", "aws:PrincipalTag/Team": "red*", "aws:PrincipalArn": ALICE}


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        ("StringEquals", "${aws:username}", "alice", True),
        ("StringEquals", "x-${AWS:UserName}-y", "x-alice-y", True),
        ("StringEquals", ["b", "${aws:username}"], "alice", True),
        ("StringEquals", "${aws:username}", "bob", False),
        ("StringEqualsIgnoreCase", "${aws:username}", "ALICE", True),
        ("StringEqualsIgnoreCase", "${aws:userid}", "ALICE", False),
        ("StringEqualsIgnoreCase", ["b", "${aws:username}"], "B", True),
        ("StringLike", "${aws:username}/*", "alice/home", True),
        ("StringLike", "${aws:PrincipalTag/team}", "red*", True),
        ("StringLike", "${aws:PrincipalTag/team}", "redder", False),
        ("StringLike", "${aws:PrincipalTag/team}*", "redder", False),
        ("StringLike", "${aws:PrincipalTag/team}*", "red*der", True),
        ("StringLike", ["x*", "${aws:username}?"], "alice2", True),
        ("StringLike", "a${*}b*", "a*bc", True),
        ("StringLike", "a${*}b*", "axbc", False),
        ("StringLike", "${?}", "?", True),
        ("StringLike", "${?}", "x", False),
        ("StringEquals", "${$}{aws:username}", "${aws:username}", True),
        ("StringEquals", "${*}", "*", True),
        # A variable without a value, or with several.
        ("StringEquals", "${aws:userid}", "alice", False),
        ("StringLike", "${aws:userid}*", "alice", False),
        ("StringNotEquals", "${aws:userid}", "alice", True),
        ("StringNotLike", "${aws:userid}*", "alice", True),
        ("StringEquals", "${aws:TagKeys}", "a", False),
        # A default.
        ("StringEquals", "${aws:userid, 'none'}", "none", True),
        ("StringEquals", "${aws:username, 'none'}", "none", False),
        ("StringLike", "${ aws:userid , 'a*' }", "a*", True),
        ("StringLike", "${aws:userid, 'a*'}", "ab", False),
        ("StringEquals", "${aws:userid, ''}", "", True),
        # ARNs.
        ("ArnEquals", "${aws:PrincipalArn}", ALICE, True),
        ("ArnEquals", "${aws:PrincipalArn}", ROLE, False),
        ("ArnEquals", "${aws:userid}", ROLE, False),
        ("ArnEquals", "${aws:username}", "alice", False),
        ("ArnLike", f"arn:aws:iam::{HERE}:user/${{aws:username}}", ALICE, True),
        ("ArnLike", f"arn:aws:iam::{HERE}:${{aws:userid, 'user'}}/*", ALICE, True),
        ("ArnLike", f"arn:aws:iam::{HERE}:user/${{aws:PrincipalTag/team}}", f"{ALICE[:-5]}redder", False),
    ],
)
def test_what_policy_variables_become(operator: str, wanted: Any, given: str, expected: bool) -> None:
    """They become the request's values, to the letter; one without a value matches nothing."""
    more: dict[str, Any] = {**NAMED, "aws:TagKeys": ("a",)}
    assert holds(operator, wanted, given, **more) is expected


@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_the_older_version_of_the_language_has_no_variables(version: str | None) -> None:
    """There, and where no version is named, they are texts like others."""
    assert holds("StringEquals", "${aws:username}", "${aws:username}", version=version, **NAMED)
    assert not holds("StringEquals", "${aws:username}", "alice", version=version, **NAMED)
    assert holds("StringLike", "${*}", "${anything}", version=version, **NAMED)


def test_a_variable_that_never_ends_is_refused_at_once() -> None:
    """Whatever stands in it, and be it as long as a policy may be: an expression that goes back would take for ever."""
    for filling in (" ", " ,", "a", "a, ' ", "${", " ${a "):
        text = "${" + filling * (30_000 // len(filling))
        with pytest.raises(ValueError, match=r"\$\{"):
            template(text, variables=True)


@pytest.mark.parametrize("text", ["${}", "${ }", "${,'a'}"])
def test_a_variable_has_a_name(text: str) -> None:
    """Blanks are none."""
    with pytest.raises(ValueError, match=r"\$\{"):
        template(text, variables=True)


def test_a_template_that_becomes_many_texts_keeps_few_of_them() -> None:
    """The expressions that are kept for one text are bounded, and it still matches what it should."""
    policy = {"Action": "*", "Resource": "*", "Effect": "Allow"}
    condition = {"StringLike": {"kms:EncryptionContext:x": "${aws:username}-?"}}
    document = {"Version": "2012-10-17", "Statement": {**policy, "Condition": condition}}
    identity_policy = parse_identity_policy(json.dumps(document))
    for number in [*range(600), *range(590, 600)]:
        question = Question(
            principal=ALICE,
            account=HERE,
            identity_policy=identity_policy,
            action="kms:Decrypt",
            resource="*",
            context={"aws:username": f"u{number}", "kms:encryptioncontext:x": f"u{number}-a"},
        )
        assert decide(question).allowed


TRUE = "must be true or false"
ARN = "must be an ARN, of six parts with colons between, or one variable"
NUMBER = "must be a number"
DATE = "must be a date such as 2026-01-31T08:00:00Z, or seconds since 1970"
ADDRESS = "must be an IP address or a network such as 203.0.113.0/24"
VARIABLE = "has a ${ that does not begin a policy variable"


@pytest.mark.parametrize(
    ("operator", "value", "told"),
    [
        *(("NumericLessThan", value, NUMBER) for value in ("", "x", "1e3", "0x1", "1.", "\u0661", "1" * 41)),
        *(
            ("DateLessThan", value, DATE)
            for value in ("", "x", "2026-13-01", "2026-02-30", "2026-01-01T08:00:00")
        ),
        ("DateLessThan", "2026-01-01T08:00:60Z", DATE),
        ("DateLessThan", "2026-01-01T08:00:00+01:60", DATE),
        ("DateLessThan", "0000-01-01", DATE),
        *(("Bool", value, TRUE) for value in ("yes", "", "${aws:username}", 1)),
        *(("Null", value, TRUE) for value in ("yes", "")),
        *(("BinaryEquals", value, "must be base64") for value in ("a", "!!!!", "é")),
        *(
            ("IpAddress", value, ADDRESS)
            for value in ("", "203.0.113.0/33", "203.0.113", "::1/129", "localhost")
        ),
        *(
            ("ArnLike", value, ARN)
            for value in ("", "*", "alice", "arn:aws:iam::1", "aws:arn:iam::1:x", "${*}")
        ),
        ("ArnLike", "${aws:username}:aws:iam::1:x", ARN),
        ("ArnLike", "arn${aws:username}:aws:iam::1:x", ARN),
        *(("StringLike", value, VARIABLE) for value in ("${", "${}", "${aws:username", "${a, b}")),
    ],
)
def test_values_that_an_operator_does_not_take_are_refused(operator: str, value: Any, told: str) -> None:
    """When the policy is put, with the operator, the key and what it should be."""
    for form in (operator, f"ForAnyValue:{operator}IfExists") if operator != "Null" else ("Null",):
        with pytest.raises(MalformedPolicy) as refusal:
            holds(form, [value], "x")
        assert str(refusal.value) == f"Statement 0: Condition: {form} kms:EncryptionContext:x {told}."


@pytest.mark.parametrize(
    "operator",
    [
        "StringEqual",
        "stringequals",
        "NullIfExists",
        "ForAllValues:Null",
        "ForEach:StringEquals",
        ":StringEquals",
        "",
    ],
)
def test_operators_that_do_not_exist_are_refused(operator: str) -> None:
    """When the policy is put, with their name."""
    with pytest.raises(MalformedPolicy) as refusal:
        holds(operator, "true", "x")
    assert str(refusal.value) == f"Statement 0: Condition has an unknown operator: {operator}."
