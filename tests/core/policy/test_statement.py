"""The first statement that holds is found among many as it would be one by one, and what is remembered is bounded."""

import json
from typing import Any

import pytest

from keystead.core.policy import Question, Ruling, decide, document, parse_identity_policy, parse_key_policy
from keystead.core.policy import statement as statements
from keystead.core.policy.statement import LONGEST, Memory

HERE = "111122223333"
ALICE, BOB = f"arn:aws:iam::{HERE}:user/alice", f"arn:aws:iam::{HERE}:user/bob"
ROOT = f"arn:aws:iam::{HERE}:root"
KEY = f"arn:aws:kms:eu-central-1:{HERE}:key/1234abcd"
APP, OWNER = "kms:EncryptionContext:app", "kms:EncryptionContext:owner"


def policy(*these: dict[str, Any]) -> str:
    """Statements that allow everything but for what these say."""
    common = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**common, **each} for each in these]})


def asked(text: str, values: dict[str, Any] | None = None, resource: str = KEY) -> Question:
    """Alice's question, where an identity policy decides."""
    return Question(
        principal=ALICE,
        account=HERE,
        identity_policy=parse_identity_policy(text),
        action="kms:Encrypt",
        resource=resource,
        context={} if values is None else {name.lower(): value for name, value in values.items()},
    )


def ruled(question: Question) -> Ruling:
    """The ruling, which is the same when something is remembered of the first time."""
    first = decide(question)
    again = decide(question)
    assert (first, first.matched, first.missing) == (again, again.matched, again.missing)
    return first


def test_the_oldest_entry_of_all_dictionaries_goes_first() -> None:
    """The bound is for all of them together, and what is gone already does no harm."""
    memory, one, two = Memory(2), dict[str, int](), dict[str, int]()
    assert memory.keep(one, "a", 1) == 1
    memory.keep(two, "a", 2)
    memory.keep(one, "b", 3)
    assert (one, two, len(memory)) == ({"b": 3}, {"a": 2}, 2)
    two.clear()
    memory.keep(one, "c", 4)
    assert (one, two) == ({"b": 3, "c": 4}, {})


def conditions(operator: str, key: str, *wanted: str) -> str:
    """A policy of a statement for each wanted text."""
    return policy(*({"Condition": {operator: {key: each}}} for each in wanted))


LONG = "x" * (LONGEST + 1)


@pytest.mark.parametrize(
    ("text", "values", "label"),
    [
        (conditions("StringEquals", APP, "a", "b", "b"), {APP: "b"}, "#1"),
        (conditions("StringEquals", APP, "a", "b"), {APP: "c"}, ""),
        (conditions("StringEquals", APP, "a", "b"), {APP: ("b", "b")}, "#1"),
        (conditions("StringEquals", APP, "a", "b"), {APP: ("a", "b")}, ""),
        (conditions("StringEquals", APP, "a", "b"), {}, ""),
        (conditions("StringEqualsIfExists", APP, "a", "b"), {}, "#0"),
        (conditions("StringNotEquals", APP, "a", "b"), {APP: "a"}, "#1"),
        (conditions("StringLike", APP, "a*", "x*y*", "x*"), {APP: LONG}, "#2"),
        (conditions("StringLike", APP, "a*", "*"), {APP: "b"}, "#1"),
        (conditions("StringNotLike", APP, "b*", "a*"), {APP: "b"}, "#1"),
        (conditions("Null", APP, "true", "false"), {APP: "b"}, "#1"),
        (conditions("StringEquals", OWNER, "${aws:username}x", "${aws:username}"), {OWNER: "a"}, ""),
        (
            conditions("StringEquals", OWNER, "${aws:username}x", "${aws:username}"),
            {OWNER: "a", "aws:username": "a"},
            "#1",
        ),
        (
            conditions("StringLike", OWNER, "${aws:username}x*", "${aws:username}*"),
            {OWNER: LONG, "aws:username": "x"},
            "#0",
        ),
        (
            conditions("StringLike", OWNER, "${aws:username}y*", "${aws:username}*"),
            {OWNER: ("xa", "xb"), "aws:username": "x"},
            "#1",
        ),
        (conditions("DateLessThan", "aws:CurrentTime", "2025", "2027"), {"aws:CurrentTime": "2026"}, "#1"),
    ],
)
def test_statements_that_ask_of_the_same_values(text: str, values: dict[str, Any], label: str) -> None:
    """The first that holds is taken, however many values there are, and if there is none."""
    assert ruled(asked(text, values)).statement == label


def test_one_statement_may_ask_of_a_value_twice() -> None:
    """Both of its conditions must hold, and with another statement's condition on another key as well."""
    both = {
        "Condition": {
            "StringLike": {APP: "a*"},
            "StringNotEquals": {APP: "ab"},
            "Bool": {"aws:SecureTransport": "true"},
        }
    }
    text = policy(both, {"Condition": {"StringEquals": {APP: "ab"}}})
    secure = {"aws:SecureTransport": "true"}
    assert ruled(asked(text, {APP: "aa", **secure})).statement == "#0"
    assert ruled(asked(text, {APP: "ab", **secure})).statement == "#1"
    assert ruled(asked(text, {APP: "aa"})).statement == ""


@pytest.mark.parametrize(("team", "label"), [("1234", "#1"), ("12", ""), (None, "")])
def test_resources_with_the_same_variables(team: str | None, label: str) -> None:
    """They are told by the resource and by what the variables become."""
    before = f"arn:aws:kms:*:{HERE}:key/${{aws:PrincipalTag/team}}"
    text = policy({"Resource": f"{before}x*"}, {"Resource": f"{before}abcd"})
    values = {} if team is None else {"aws:PrincipalTag/team": team}
    assert ruled(asked(text, values)).statement == label
    assert ruled(asked(text, values, f"{KEY}x")).statement == ""


def test_resources_that_only_one_statement_asks_for() -> None:
    """They count beside the conditions that it shares with others."""
    shared = {"Condition": {"StringEquals": {APP: "a"}}}
    text = policy({"Resource": f"arn:aws:kms:*:{HERE}:key/${{aws:username}}", **shared}, shared)
    assert ruled(asked(text, {APP: "a", "aws:username": "1234abcd"})).statement == "#0"
    assert ruled(asked(text, {APP: "a", "aws:username": "alice"})).statement == "#1"


@pytest.mark.parametrize(("app", "label"), [("a", "#2"), ("b", "#1"), ("c", "#3")])
def test_those_who_are_spared_are_left_out_of_what_is_shared(app: str, label: str) -> None:
    """A Deny with a NotPrincipal that spares the caller does not count, whatever its condition says."""

    def deny(who: list[str], *wanted: str) -> dict[str, Any]:
        found = {"Effect": "Deny", "NotPrincipal": {"AWS": who}}
        return {**found, "Condition": {"StringEquals": {APP: list(wanted)}}} if wanted else found

    text = policy(deny([ALICE, ROOT], "a", "b"), deny([BOB], "b"), deny([BOB], "a", "b"), deny([BOB]))
    question = asked("", {APP: app})
    question.key_policy, question.key_account = parse_key_policy(text), HERE
    assert ruled(question).statement == label


def test_what_is_known_of_resources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the answers stay right, and for all policies together no more is kept."""
    memory = Memory(10)
    monkeypatch.setattr(document, "RESOURCES", memory)
    questions = [asked(policy({"Resource": ["kms:*1", "kms:7"]})) for _ in range(3)]
    for number in range(100):
        for question in questions:
            question.resource = f"kms:{number}"
            assert decide(question).allowed is (str(number).endswith("1") or number == 7)
    assert len(memory) == 10
    assert sum(len(question.identity_policy._covering) for question in questions) == 10


def test_choices_of_statements_are_bounded() -> None:
    """A policy that lists hundreds of keys, each in a statement of its own, keeps some of them ready."""
    question = asked(policy(*({"Resource": f"kms:{number}"} for number in range(400))))
    for number in (*range(400), *range(400)):
        question.resource = f"kms:{number}"
        assert decide(question).statement == f"#{number}"
    assert [len(about._choices) for about in question.identity_policy._about.values()] == [256]


def test_what_is_known_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the answers stay right."""
    memory = Memory(10)
    monkeypatch.setattr(statements, "VALUES", memory)
    question = asked(conditions("StringLike", APP, "a*", "b*"))
    for number in range(50):
        question.context = {APP.lower(): f"b{number}"}
        assert decide(question).statement == "#1"
    assert len(memory) == 10


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        ("${aws:username}*c*e", True),
        ("${aws:username}*c*cde", False),
        ("${aws:username}*x*e", False),
        ("x${aws:username}*c*e", False),
        ("*${aws:username}*", True),
        ("*${aws:username}", False),
        ("${aws:username}${aws:username, 'x'}", False),
        ("${aws:username}?c*", True),
        ("${aws:userid}?c*", False),
        ("${aws:userid}*c*", False),
        ("${aws:userid, 'a'}*", True),
    ],
)
def test_texts_with_variables_and_asterisks(wanted: str, holds: bool) -> None:
    """The parts between the asterisks come one after another, and none twice."""
    text = conditions("StringLike", OWNER, wanted)
    assert ruled(asked(text, {OWNER: "abcde", "aws:username": "a"})).allowed is holds


def test_expressions_for_texts_with_variables_are_bounded() -> None:
    """Where hundreds of callers are compared by expressions, the answers stay right."""
    question = asked(conditions("StringLike", OWNER, "${aws:username}?"))
    for number in range(300):
        question.context = {OWNER.lower(): f"{number}a", "aws:username": str(number)}
        assert decide(question).allowed
        question.context["aws:username"] = "x"
        assert not decide(question).allowed
