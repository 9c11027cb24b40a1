"""Templates: what they let through, and what they never do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidRequest
from keystead.core.template import (
    check_template,
    is_template_name,
    parse_template,
    policy_text,
    template,
    template_arn,
)

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:role/<<team>>"},
            "Action": ["kms:Decrypt"],
            "Resource": "*",
        },
    ],
}
FULL = {
    "alias": "alias/app/<<name>>",
    "description": "Key of <<name>> (<<team>>)",
    "multi_region": True,
    "parameters": {"team": ["payments", "risk-*"]},
    "policy": POLICY,
    "rotation_days": 180,
    "spec": "SYMMETRIC_DEFAULT",
    "tags": {"team": "<<team>>", "kind": "app"},
    "usage": "ENCRYPT_DECRYPT",
}


def test_a_key_gets_its_name_and_parameters_everywhere() -> None:
    """In the alias, the description, the tags and the policy, and what has no place stays as it is."""
    shape = template(FULL).shape("checkout", {"team": "risk-eu"})
    assert (shape.alias, shape.description) == ("alias/app/checkout", "Key of checkout (risk-eu)")
    assert shape.tags == (("kind", "app"), ("team", "risk-eu"))
    assert (shape.spec, shape.usage) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert (shape.multi_region, shape.rotation_days) == (True, 180)
    assert shape.policy is not None
    assert json.loads(shape.policy) == json.loads(json.dumps(POLICY).replace("<<team>>", "risk-eu"))


def test_an_empty_template_is_a_plain_key() -> None:
    """Everything may be left out: then a key is as AWS makes one, under its own name."""
    shape = parse_template("{}").shape("a/b", {})
    assert (shape.alias, shape.policy, shape.tags, shape.rotation_days) == ("alias/a/b", None, (), None)
    assert (shape.spec, shape.usage, shape.multi_region) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", False)


def test_a_template_has_one_form() -> None:
    """What is written out and what is left open are the same text, and it reads back as itself."""
    assert template({}).text == template({"alias": "<<name>>", "tags": {}, "policy": None}).text
    full = template(FULL)
    assert parse_template(full.text) == full
    assert template(full.members) == full


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("a b", {"team": "payments"}, "A key's name is 1 to 200"),
        ("", {"team": "payments"}, "A key's name is 1 to 200"),
        ("a", {}, "The template needs the parameter team: payments or risk-*."),
        ("a", {"team": "sales"}, "The parameter team must be payments or risk-*."),
        ("a", {"team": "risk-*"}, "The parameter team must be payments or risk-*."),
        ("a", {"team": "risk-${aws:username}"}, "The parameter team must be payments or risk-*."),
        ("a", {"team": "risk-\n"}, "The parameter team must be payments or risk-*."),
        ("a", {"team": "payments", "size": "1"}, "The template has no parameter size to be given."),
        ("a", {"team": "payments", "name": "b"}, "The template has no parameter name to be given."),
        ("x" * 200, {"team": "risk-" + "r" * 120}, None),
    ],
)
def test_what_a_key_may_be_asked_for_with(name: str, parameters: dict[str, str], told: str | None) -> None:
    """Only what the patterns let through, and never a sign that means something in a policy."""
    if told is None:
        assert template(FULL).shape(name, parameters).tags[1][1] == parameters["team"]
        return
    with pytest.raises(InvalidRequest) as caught:
        template(FULL).shape(name, parameters)
    assert str(caught.value).startswith(told)


def test_a_template_may_say_which_names_there_are() -> None:
    """The name is a parameter like others."""
    narrow = template({"parameters": {"name": "web-[0-9]"}})
    assert narrow.shape("web-3", {}).alias == "alias/web-3"
    with pytest.raises(InvalidRequest, match=r"The parameter name must be web-\[0-9\]"):
        narrow.shape("web-x", {})


def test_an_alias_that_cannot_be_is_refused() -> None:
    """A parameter may hold what an alias may not, and AWS's own names are nobody's."""
    dotted = template({"alias": "<<name>>/<<team>>", "parameters": {"team": ["a", "a.b"]}})
    with pytest.raises(InvalidRequest, match=r"alias/x/a\.b is no name that a key may have"):
        dotted.shape("x", {"team": "a.b"})
    with pytest.raises(InvalidRequest, match="alias/aws/s3 is no name"):
        template({}).shape("aws/s3", {})


def test_places_that_never_end_are_text() -> None:
    """A description of beginnings, as long as it may be, is read once and not once for each of them."""
    beginnings = "<" * 8192
    assert template({"description": beginnings, "policy": None}).shape("x", {}).description == beginnings
    found = template({"tags": {"a": "<" * 60_000}})
    assert found.shape("x", {}).tags == (("a", "<" * 60_000),)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"aliass": 1}, "The template has a member that is not known: aliass."),
        ({"alias": "app"}, "The template's alias must be a text that has <<name>>."),
        ({"alias": 1}, "The template's alias must be"),
        ({"description": None}, "The template's description must be a text."),
        ({"tags": []}, "The template's tags must be an object of texts."),
        ({"tags": {"a": 1}}, "The template's tags must be an object of texts."),
        ({"multi_region": "no"}, "The template's multi_region must be true or false."),
        ({"spec": 1}, "The template's spec and usage must be texts."),
        ({"spec": "RSA_1024"}, "The template's spec or usage is wrong: KeySpec RSA_1024"),
        ({"spec": "HMAC_256"}, "The template's spec or usage is wrong: You must specify a KeyUsage"),
        ({"rotation_days": 30}, "The template's rotation_days must be from 90 to 2560."),
        ({"rotation_days": True}, "The template's rotation_days must be from 90 to 2560."),
        (
            {"rotation_days": 90, "spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC"},
            "The template's only keys of spec SYMMETRIC_DEFAULT rotate.",
        ),
        ({"policy": "{}"}, "The template's policy must be an object."),
        ({"parameters": []}, "The template's parameters must be an object."),
        ({"parameters": {"Team": "*"}}, "The template's parameters have names of small letters"),
        ({"parameters": {"team": []}}, "The template's parameter team must have a pattern"),
        ({"parameters": {"team": [""]}}, "The template's parameter team must have a pattern"),
        ({"parameters": {f"p{n}": "*" for n in range(21)}}, "The template's parameters must be at most 20."),
        ({"description": "<<team>>"}, "The template's parameters have nothing for the place <<team>>."),
        ({"description": "<<<name>>"}, "The template's parameters have nothing for the place <<<name>>."),
        ({"policy": {"Id": ["<<x>>"]}}, "The template's parameters have nothing for the place <<x>>."),
        ({"policy": {}}, "No key can be made, for example of the name 'example': The policy must have"),
        (
            {"parameters": {"team": "*"}, "policy": {"Statement": 1}},
            "No key can be made, for example of the name 'example', team 'x':",
        ),
    ],
)
def test_a_template_that_could_not_be_used_is_refused(raw: dict[str, Any], told: str) -> None:
    """At once, and with what is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        template(raw)
    assert str(caught.value).startswith(told)


def test_a_denial_that_could_never_apply_is_refused_of_a_new_template_only() -> None:
    """One that was put before there was such a rule can still be read, compared and replaced."""
    denial = {**POLICY["Statement"][0], "Effect": "Deny", "Action": "kms:ReEncrypt"}  # type: ignore[dict-item]  # a statement
    stored = parse_template(json.dumps({"policy": {**POLICY, "Statement": [denial]}}))
    with pytest.raises(InvalidRequest, match="would never deny kms:ReEncrypt"):
        check_template(stored)
    assert check_template(template(FULL)) == template(FULL)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"description": "' + "x" * 70_000 + '"}'])
def test_what_is_no_template_is_refused(text: str) -> None:
    """Not an object, not JSON, or too much of it."""
    with pytest.raises(InvalidRequest, match="The template"):
        parse_template(text)


def test_numbers_and_truth_in_a_policy_stay_what_they_are() -> None:
    """Only texts have places."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                **POLICY["Statement"][0],  # type: ignore[dict-item]  # a statement
                "Condition": {"Bool": {"aws:SecureTransport": True}},
            }
        ],
    }
    shape = template({"policy": policy}).shape("x", {})
    assert shape.policy is not None
    assert json.loads(shape.policy) == policy


def test_a_large_policy_is_written_without_spaces() -> None:
    """So that what fits as it is counted is not refused for its form."""
    assert policy_text({"a": 1}) == '{\n  "a": 1\n}'
    large = {"a": ["x" * 10] * 2_000}
    assert policy_text(large) == json.dumps(large, separators=(",", ":"))


@given(st.text(max_size=40))
def test_whatever_is_asked_for_never_reaches_a_policy_with_a_sign_of_its_language(value: str) -> None:
    """No asterisk, question mark, dollar or quote comes in through a parameter."""
    open_template = template({**FULL, "parameters": {"team": "*"}})
    try:
        shape = open_template.shape("x", {"team": value})
    except InvalidRequest:
        return
    assert not set(shape.tags[1][1]) & set("*?$\"'\\{}<>\n")
    assert json.loads(shape.policy or "") == json.loads(json.dumps(POLICY).replace("<<team>>", value))


@pytest.mark.parametrize(
    ("text", "is_name"), [("web", True), ("a.b-c_d", True), ("", False), ("a/b", False), ("x" * 65, False)]
)
def test_names_of_templates(text: str, is_name: bool) -> None:
    """Nothing that means something in an ARN."""
    assert is_template_name(text) is is_name
    assert template_arn("111122223333", "web") == "arn:aws:iam::111122223333:template/web"
