"""Forms against botocore's own serializer, and what may not be read in two ways."""

from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import QuerySerializer
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidRequest, TooLarge
from keystead.fronts.aws.sts import form, model
from keystead.fronts.aws.sts.form import MAX_BYTES, MAX_PARAMETERS, MalformedQueryError, read, split

AWS: Any = ServiceModel(Loader().load_service_model("sts", "service-2"))
SERIALIZER: Any = QuerySerializer()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
tags = st.lists(st.fixed_dictionaries({"Key": texts, "Value": texts}), max_size=5)
requests = st.fixed_dictionaries(
    {"RoleArn": texts, "RoleSessionName": texts},
    optional={
        "DurationSeconds": st.integers(-(10**8), 10**8),
        "Policy": texts,
        "PolicyArns": st.lists(st.fixed_dictionaries({"arn": texts}), max_size=3),
        "Tags": tags,
        "TransitiveTagKeys": st.lists(texts, max_size=5),
        "ExternalId": texts,
        "SourceIdentity": texts,
    },
)


@given(request=requests)
def test_what_botocore_writes_is_read(request: dict[str, Any]) -> None:
    """Every member of every value, however it is escaped; an empty list is a list."""
    sent = SERIALIZER.serialize_to_request(request, AWS.operation_model("AssumeRole"))
    parameters = split(urlencode(sent["body"]).encode())
    assert (parameters.pop("Action"), parameters.pop("Version")) == ("AssumeRole", "2011-06-15")
    taken = read(model.AssumeRoleRequest, parameters)
    simple = {"RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId", "SourceIdentity"}
    assert {name: getattr(taken, name) for name in simple} == {name: request.get(name) for name in simple}
    assert [(tag.Key, tag.Value) for tag in taken.Tags or ()] == [
        (tag["Key"], tag["Value"]) for tag in request.get("Tags", ())
    ]
    assert taken.TransitiveTagKeys == request.get("TransitiveTagKeys")
    assert [each.arn for each in taken.PolicyArns or ()] == [
        each["arn"] for each in request.get("PolicyArns", ())
    ]


@given(junk=st.binary(max_size=100))
def test_any_bytes_are_a_form_or_refused(junk: bytes) -> None:
    """Nothing else happens."""
    try:
        parameters = split(junk)
    except MalformedQueryError:
        return
    assert all(isinstance(each, str) for pair in parameters.items() for each in pair)


@pytest.mark.parametrize(
    "sent",
    [
        b"Action=A&Action=A",
        b"Action=A&Action=B",
        b"Action=A&A%63tion=A",
        b"Action",
        b"a=1&&b=2",
        b"a=%ff",
        "a=ü".encode(),
        "&".join(f"p{n}=1" for n in range(MAX_PARAMETERS + 1)).encode(),
    ],
)
def test_forms_that_are_not_well_formed(sent: bytes) -> None:
    """A parameter twice, also if it is escaped; no value; bytes that are no text; too many."""
    with pytest.raises(MalformedQueryError):
        split(sent)


def test_a_form_has_a_size() -> None:
    """It is not looked at if it is larger."""
    assert len(split(b"a=" + b"x" * (MAX_BYTES - 2))["a"]) == MAX_BYTES - 2
    with pytest.raises(TooLarge, match="65,536"):
        split(b"a=" + b"x" * (MAX_BYTES - 1))


@pytest.mark.parametrize(
    "name",
    [
        "policy",
        "Policy.member.1",
        "Tags.member.3.Key",
        "Tags.member.01.Key",
        "Tags.member.0.Key",
        "Tags.member.-1.Key",
        "Tags.member.2.Name",
        "Tags.1.Key",
        "Tags",
        "Tags.member.1",
        "TransitiveTagKeys.member.2",
        "RoleArn.member.1",
        "",
    ],
)
def test_a_parameter_that_is_not_the_operation_s_is_refused(name: str) -> None:
    """A limit that is misspelled is not a limit that is missing; a list has no gaps and one way to count."""
    parameters = {"RoleArn": "x", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v", name: "?"}
    with pytest.raises(InvalidRequest, match=rf"^Unknown parameter: '{name}'$"):
        read(model.AssumeRoleRequest, parameters)


def test_a_parameter_with_a_long_name_is_not_said_back() -> None:
    """Only its beginning."""
    with pytest.raises(InvalidRequest) as raised:
        read(model.GetCallerIdentityRequest, {"x" * 10_000: ""})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", " 900", "९००", "9" * 10, "+900", "0x384"])
def test_a_number_is_written_in_one_way(text: str) -> None:
    """Whole and in ASCII digits."""
    with pytest.raises(InvalidRequest, match="at 'DurationSeconds' must be a whole number"):
        read(model.GetSessionTokenRequest, {"DurationSeconds": text})


def test_what_was_given_stays_as_it_was() -> None:
    """Reading takes nothing out of the caller's parameters."""
    parameters = {"DurationSeconds": "900"}
    assert read(model.GetSessionTokenRequest, parameters).DurationSeconds == 900
    assert parameters == {"DurationSeconds": "900"}
    assert form.split(b"") == {}
