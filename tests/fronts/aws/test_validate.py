"""Parsing bodies and holding them against AWS's model."""

import base64
import json
import re
from typing import Any, ClassVar, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.errors import InvalidRequest
from keystead.fronts.aws.errors import SerializationError
from keystead.fronts.aws.model import (
    OPERATIONS,
    EncryptRequest,
    GenerateDataKeyRequest,
    ListKeysRequest,
    Tag,
    TagResourceRequest,
)
from keystead.fronts.aws.shapes import Operation, Structure
from keystead.fronts.aws.validate import parse, validate

CONTEXT = {"purpose": "test", "unicode": "\N{SNOWMAN}"}


def refusal(name: str, members: dict[str, Any]) -> str:
    """What is said of a request with these members, which must be wrong."""
    operation = OPERATIONS[name]
    request = parse(operation, json.dumps(members).encode())
    with pytest.raises(InvalidRequest) as refused:
        validate(operation, request)
    return str(refused.value)


def blob(data: bytes) -> str:
    """Bytes as they are on the wire."""
    return base64.b64encode(data).decode()


def test_a_body_becomes_a_typed_request() -> None:
    """Strings, blobs, maps, lists and booleans arrive as such; what is unknown is ignored, null is absent."""
    body = {
        "KeyId": "alias/app",
        "Plaintext": blob(b"\x00\xff"),
        "EncryptionContext": CONTEXT,
        "GrantTokens": ["t"],
        "EncryptionAlgorithm": None,
        "DryRun": True,
        "Unheard": {"of": [1, None]},
    }

    request = parse(OPERATIONS["Encrypt"], json.dumps(body).encode())

    assert request == EncryptRequest(
        KeyId="alias/app", Plaintext=b"\x00\xff", EncryptionContext=CONTEXT, GrantTokens=["t"], DryRun=True
    )
    validate(OPERATIONS["Encrypt"], request)


@pytest.mark.parametrize("body", [b"", b"{}", b" { } ", b'{"Limit":null}', b'{"limit":5}'])
def test_no_members_is_an_empty_request(body: bytes) -> None:
    """An empty body, an empty object, null members and names in another case are no members."""
    operation = OPERATIONS["ListKeys"]

    assert parse(operation, body) == ListKeysRequest()
    validate(operation, ListKeysRequest())


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"{}{}",
        b"[]",
        b"null",
        b'"text"',
        b'{"KeyId":5}',
        b'{"KeyId":["a"]}',
        b'{"KeyId":{"a":"b"}}',
        b'{"Plaintext":"no base64!"}',
        b'{"Plaintext":"aGk"}',
        b'{"Plaintext":5}',
        b'{"DryRun":"true"}',
        b'{"DryRun":1}',
        b'{"EncryptionContext":{"a":1}}',
        b'{"EncryptionContext":{"a":null}}',
        b'{"EncryptionContext":[]}',
        b'{"GrantTokens":"t"}',
        b'{"GrantTokens":[null]}',
        b'{"KeyId":"\xff"}',
        b'{"KeyId":"\\ud800"}',
        b'{"KeyId":NaN}',
        b'{"Unheard":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"Unheard":' + b'{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_json_of_the_right_types_is_a_serialization_error(body: bytes) -> None:
    """Malformed JSON, an array, a wrong type, bad base64, bad UTF-8, bottomless nesting: all the same."""
    with pytest.raises(SerializationError) as refused:
        parse(OPERATIONS["Encrypt"], body)

    assert 0 < len(str(refused.value)) < 200


@pytest.mark.parametrize("limit", ['"5"', "5.0", "5.5", "1e2", "true", "9" * 10_000])
def test_an_integer_is_a_number_without_a_point(limit: str) -> None:
    """Strings, fractions, booleans and endless numbers are no integers."""
    with pytest.raises(SerializationError):
        parse(OPERATIONS["ListKeys"], f'{{"Limit":{limit}}}'.encode())


def test_a_parse_error_does_not_say_the_value_back() -> None:
    """A plaintext in the wrong place does not come back in the error."""
    with pytest.raises(SerializationError) as refused:
        parse(OPERATIONS["Encrypt"], b'{"Plaintext":"hunter2!","DryRun":"hunter2"}')

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "members", "failures"),
    [
        ("Encrypt", {"Plaintext": "eA=="}, ["null at 'keyId' | not be null"]),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": ""},
            ["at 'plaintext' | have length greater than or equal to 1"],
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": blob(b"x" * 4097)},
            ["at 'plaintext' | have length less than or equal to 4096"],
        ),
        (
            "Decrypt",
            {"CiphertextBlob": blob(b"x" * 6145)},
            [
                (
                    "'java.nio.HeapByteBuffer[pos=0 lim=6145 cap=6145]' at 'ciphertextBlob' | "
                    "have length less than or equal to 6144"
                )
            ],
        ),
        (
            "GenerateDataKey",
            {"KeyId": "k", "NumberOfBytes": 0, "KeySpec": "AES_512"},
            [
                "'0' at 'numberOfBytes' | have value greater than or equal to 1",
                "'AES_512' at 'keySpec' | satisfy enum value set: [AES_256, AES_128]",
            ],
        ),
        ("ListKeys", {"Limit": 1001}, ["'1001' at 'limit' | have value less than or equal to 1000"]),
        ("ListKeys", {"Limit": 0}, ["'0' at 'limit' | have value greater than or equal to 1"]),
        (
            "CreateAlias",
            {"AliasName": "alias/@", "TargetKeyId": "k"},
            ["'alias/@' at 'aliasName' | satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"],
        ),
        (
            "CreateAlias",
            {"AliasName": "alias/x\n", "TargetKeyId": "k"},
            ["'alias/x\n' at 'aliasName' | satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"],
        ),
        (
            "CreateAlias",
            {"AliasName": "", "TargetKeyId": "k"},
            [
                "'' at 'aliasName' | have length greater than or equal to 1",
                "'' at 'aliasName' | satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
            ],
        ),
        (
            "GetKeyPolicy",
            {"KeyId": "k", "PolicyName": "d\xe9fault"},
            ["'d\xe9fault' at 'policyName' | satisfy regular expression pattern: [\\w]+"],
        ),
        (
            "TagResource",
            {"KeyId": "k", "Tags": [{"TagKey": "a" * 129, "TagValue": ""}, {"TagKey": "b"}]},
            [
                f"'{'a' * 129}' at 'tags.1.member.tagKey' | have length less than or equal to 128",
                "null at 'tags.2.member.tagValue' | not be null",
            ],
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": "eA==", "GrantTokens": ["good", ""]},
            [
                (
                    "'[good, ]' at 'grantTokens' | satisfy constraint: [Member must have length less than or "
                    "equal to 8192, Member must have length greater than or equal to 1]"
                )
            ],
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": "eA==", "GrantTokens": ["t"] * 11},
            ["'[t, t, t, t, t, t, t, t, t, t, t]' at 'grantTokens' | have length less than or equal to 10"],
        ),
        (
            "Decrypt",
            {"DryRunModifiers": ["NOTHING"]},
            [
                (
                    "'[NOTHING]' at 'dryRunModifiers' | satisfy constraint: "
                    "[Member must satisfy enum value set: [IGNORE_CIPHERTEXT]]"
                )
            ],
        ),
        (
            "Decrypt",
            {"Recipient": {"KeyEncryptionAlgorithm": "ROT13"}},
            ["'ROT13' at 'recipient.keyEncryptionAlgorithm' | satisfy enum value set: [RSAES_OAEP_SHA_256]"],
        ),
        (
            "CreateCustomKeyStore",
            {"CustomKeyStoreName": "s", "KeyStorePassword": "short"},
            ["at 'keyStorePassword' | have length greater than or equal to 7"],
        ),
        ("UntagResource", {}, ["null at 'keyId' | not be null", "null at 'tagKeys' | not be null"]),
    ],
)
def test_what_is_wrong_is_said_as_aws_does(name: str, members: dict[str, Any], failures: list[str]) -> None:
    """Each broken constraint is counted and named by its member's path, the value shown unless sensitive."""
    count = f"{len(failures)} validation error{'s' if len(failures) > 1 else ''} detected"
    said = "; ".join(
        f"Value {failure.replace(' | ', ' failed to satisfy constraint: Member must ')}"
        for failure in failures
    )

    assert refusal(name, members) == f"{count}: {said}"


def test_a_long_value_is_not_said_back_in_full() -> None:
    """A value of megabytes does not become an answer of megabytes."""
    said = refusal("CreateAlias", {"AliasName": "@" * 1_000_000, "TargetKeyId": "k"})

    assert len(said) < 4000


def test_many_wrong_things_are_not_all_said() -> None:
    """A body of a hundred thousand empty tags does not become an answer of megabytes."""
    said = refusal("TagResource", {"KeyId": "k", "Tags": [{}] * 100_000})

    assert said.startswith("50 validation errors detected: ")
    assert len(said) < 10_000


def test_a_structure_made_in_code_is_held_to_the_same() -> None:
    """Validation does not depend on where the request came from."""
    validate(OPERATIONS["TagResource"], TagResourceRequest(KeyId="k", Tags=[Tag(TagKey="a", TagValue="")]))
    with pytest.raises(InvalidRequest, match=r"numberOfBytes.*1024"):
        validate(OPERATIONS["GenerateDataKey"], GenerateDataKeyRequest(KeyId="k", NumberOfBytes=1025))


class _Free(Structure):
    """A member that may be anything, but must be there, and one that need not; AWS has none such yet."""

    required: ClassVar[tuple[str, ...]] = ("Must",)
    Must: dict[str, str] | None = None
    May: bool | None = None


def test_a_member_without_constraints_may_still_be_required() -> None:
    """Required and constrained are two things."""
    operation = Operation("Free", _Free, None, "")

    validate(operation, _Free(Must={}))
    with pytest.raises(InvalidRequest, match="Value null at 'must'"):
        validate(operation, _Free(May=True))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a member's type, allowed and not."""
    origin, args = get_origin(kind), get_args(kind)
    if args and type(None) in args:
        return st.none() | values(args[0])
    if origin is list:
        return st.lists(values(args[0]), max_size=12)
    if origin is dict:
        return st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
    if args:
        rule = args[1]
        likely = st.sampled_from(rule.enum) if getattr(rule, "enum", ()) else st.nothing()
        return likely | values(args[0])
    if kind is str:
        return st.sampled_from(["", "a", "alias/x", "0" * 12, "z" * 200, "a" * 70_000]) | st.text(max_size=5)
    if kind is bytes:
        return st.sampled_from([b"", b"x" * 7000]) | st.binary(max_size=5)
    if kind is int:
        return st.integers(-2, 3000)
    return st.from_type(kind) if kind in {bool, float} else structures(kind)


def structures(kind: type[Structure]) -> st.SearchStrategy[Structure]:
    """Structures of a type with any members."""
    return st.builds(kind, **{field.name: values(field.type) for field in msgspec.structs.fields(kind)})


def broken(kind: Any, value: Any, *, required: bool) -> bool:
    """Whether a value breaks the model's constraints; the plainest reading of them, to compare with."""
    if value is None:
        return required
    args = get_args(kind)
    if type(None) in args:
        kind, args = args[0], get_args(args[0])
    origin = get_origin(kind)
    if isinstance(value, Structure):
        return any(
            broken(field.type, getattr(value, field.name), required=field.name in value.required)
            for field in msgspec.structs.fields(type(value))
        )
    if origin is list:
        return any(broken(args[0], item, required=True) for item in value)
    if not args or origin is dict:
        return False
    bare, rule = args
    size = value if isinstance(value, int) else len(value)
    within = (rule.min is None or rule.min <= size) and (rule.max is None or size <= rule.max)
    listed = not getattr(rule, "enum", ()) or value in rule.enum
    pattern = getattr(rule, "pattern", None)
    matches = pattern is None or re.fullmatch(pattern, value, re.ASCII) is not None
    return not (within and listed and matches) or broken(bare, value, required=True)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=20)
@given(data=st.data())
def test_the_quick_check_and_the_plain_reading_agree(name: str, data: st.DataObject) -> None:
    """Whatever the request, it is refused, with a reason for each, exactly if it breaks a constraint."""
    operation = OPERATIONS[name]
    request = data.draw(structures(operation.input))

    try:
        validate(operation, request)
        said = ""
    except InvalidRequest as refused:
        said = str(refused)

    assert bool(said) is broken(operation.input, request, required=True)
    if said:
        count, _, failures = said.partition(" validation error")
        assert failures.count("failed to satisfy constraint: ") == int(count) > 0
