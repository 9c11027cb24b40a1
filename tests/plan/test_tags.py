"""Required tags: the guardrail decides as the check of keys does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.policy import Question, decide, parse_guardrail, parse_identity_policy
from keystead.plan import tags
from keystead.plan.things import text_of

ANYTHING = parse_identity_policy('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')
VALUES = ["", "a", "ab", "b", "a[b]", "*"]
SPECS = {"SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT", "HMAC_256": "GENERATE_VERIFY_MAC"}

_limits = st.one_of(
    st.sampled_from(["*", "?*", "a*", "a[b]", "?"]),
    st.lists(st.sampled_from(["a", "ab", "b*"]), min_size=1, max_size=2),
    st.builds(
        lambda values, only: {"values": values, "only": only},
        st.sampled_from([["a"], ["*"]]),
        st.sampled_from([{}, {"specs": ["HMAC_256"]}, {"usages": ["ENCRYPT_DECRYPT"]}]),
    ),
)
_required = st.dictionaries(st.sampled_from(["team", "Own er", "x"]), _limits, min_size=1, max_size=3)
_tags = st.dictionaries(st.sampled_from(["team", "TEAM", "Own er", "x", "more"]), st.sampled_from(VALUES))


def denied(required: dict[str, Any], action: str, spec: str, **values: Any) -> bool:
    """Whether the guardrail for these tags denies a request."""
    context = {"kms:keyspec": spec, "kms:keyusage": SPECS[spec], **values}
    question = Question(
        principal="arn:aws:iam::111122223333:user/u",
        account="111122223333",
        identity_policy=ANYTHING,
        guardrails=(parse_guardrail(text_of(tags.guardrail(required))),),
        action=action,
        resource="*",
        context=lambda: context,
    )
    return not decide(question).allowed


def of_request(given_tags: dict[str, str]) -> dict[str, Any]:
    """What conditions are told of the tags in a request."""
    found: dict[str, Any] = {"aws:tagkeys": tuple(given_tags)}
    for name, value in given_tags.items():
        key = f"aws:requesttag/{name.lower()}"
        found[key] = (*found.get(key, ()), value)
    return {
        name: value[0] if name != "aws:tagkeys" and len(value) == 1 else value
        for name, value in found.items()
    }


@given(_required, _tags, st.sampled_from(sorted(SPECS)))
def test_a_key_may_be_made_exactly_if_it_lacks_nothing(
    raw: dict[str, Any], given_tags: dict[str, str], spec: str
) -> None:
    """The guardrail and `lacking` say the same; of names that differ only in case none may be wrong."""
    required = {name: tags.normal(limits) for name, limits in raw.items()}
    lacks = tags.lacking(required, {"spec": spec, "usage": SPECS[spec], "tags": given_tags})
    is_denied = denied(required, "kms:CreateKey", spec, **of_request(given_tags))
    if len({name.lower() for name in given_tags}) == len(given_tags):
        assert is_denied == bool(lacks)
    else:
        assert is_denied >= bool(lacks)


@given(_required, _tags, st.sampled_from(sorted(SPECS)), st.data())
def test_no_change_of_tags_takes_a_key_out_of_order(
    raw: dict[str, Any], given_tags: dict[str, str], spec: str, data: st.DataObject
) -> None:
    """A key that has what it must has it still after any change that is let through."""
    required = {name: tags.normal(limits) for name, limits in raw.items()}
    key = {"spec": spec, "usage": SPECS[spec], "tags": given_tags}
    if tags.lacking(required, key):
        return
    more = data.draw(_tags.filter(bool))
    if not denied(required, "kms:TagResource", spec, **of_request(more)):
        assert not tags.lacking(required, {**key, "tags": {**given_tags, **more}})
    gone = data.draw(st.sets(st.sampled_from(["team", "Own er", "x", "more"]), min_size=1))
    if not denied(required, "kms:UntagResource", spec, **{"aws:tagkeys": tuple(gone)}):
        left = {name: value for name, value in given_tags.items() if name not in gone}
        assert not tags.lacking(required, {**key, "tags": left})


def test_what_must_be_there_need_not_be_touched() -> None:
    """Other tags may come and go, and a required one may get another value that it may have."""
    required = {"team": tags.normal(["a", "b"])}
    spec = "SYMMETRIC_DEFAULT"
    assert not denied(required, "kms:TagResource", spec, **of_request({"more": "x"}))
    assert not denied(required, "kms:TagResource", spec, **of_request({"team": "b"}))
    assert not denied(required, "kms:UntagResource", spec, **{"aws:tagkeys": ("more",)})
    assert denied(required, "kms:UntagResource", spec, **{"aws:tagkeys": ("more", "team")})


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("a*", {"only": {}, "values": ["a*"]}),
        (["b", "a"], {"only": {}, "values": ["a", "b"]}),
        ({"pattern": "x"}, {"only": {}, "values": ["x"]}),
        ({"only": {"usages": ["B", "A"]}}, {"only": {"usages": ["A", "B"]}, "values": ["?*"]}),
    ],
)
def test_a_required_tag_has_one_form(raw: Any, normal: Any) -> None:
    """However it was written."""
    assert tags.normal(raw) == normal


def test_a_name_without_letters_has_a_label_too() -> None:
    """Every statement is named, for whoever is denied by it."""
    labels = [each["Sid"] for each in tags.guardrail({"+": tags.normal("*")})["Statement"]]
    assert labels == ["TagMissing", "TagMisspelt", "TagRemoved"]
