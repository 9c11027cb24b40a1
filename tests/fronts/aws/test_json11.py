"""AWS's protocol before real gates: who asks, what, and how it is answered."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from zlib import crc32

import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import JSONParser
from hypothesis import given
from hypothesis import strategies as st

from arrived import Arrived
from keystead.core.errors import (
    AuditUnavailable,
    InvalidSignature,
    KeysteadError,
    NotAuthenticated,
    NotFound,
    UnknownCredentials,
)
from keystead.core.key import State
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws import model
from keystead.fronts.aws.credentials import Credentials as Ring
from keystead.fronts.aws.errors import UnknownOperationError
from keystead.fronts.aws.json11 import PREFIX, Json11
from keystead.fronts.aws.operations import ROWS
from keystead.fronts.aws.shapes import Structure
from keystead.fronts.front import Asked
from keystead.service.action import Mode
from keystead.service.entry import Entry
from keystead.service.gate import InternalError
from keystead.service.results import kms as r
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, REGION, Installation

AWS: Any = ServiceModel(Loader().load_service_model("kms", "service-2"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
POLICY = """{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"""


class Endpoint:
    """One front and one gate, asked one request after the other."""

    def __init__(self, regions: tuple[str, ...] = ()) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        self.front = Json11(
            credentials=Ring(self.gate, self.house.clock), clock=self.house.clock, regions=regions
        )
        self._numbers = 0

    def request(
        self,
        operation: str,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        target: str = "/",
        region: str = REGION,
        service: str = "kms",
        headers: Mapping[str, str] | None = None,
        who: tuple[str, str] | None = None,
    ) -> Arrived:
        """A signed request."""
        access_key_id, secret = who or self.house.admin
        signed = sign(
            method,
            "kms.localhost",
            target,
            {"X-Amz-Target": f"TrentService.{operation}", **(headers or {})},
            body,
            credentials=Credential(access_key_id, Secret(secret.encode())),
            region=region,
            service=service,
            now=self.house.clock.now(),
        )
        return Arrived.sent(method, target, signed, body)

    def read(self, request: Arrived) -> Asked:
        """What the front understands, once the working set holds what it needs."""
        while True:
            try:
                return self.front.read(request, "r-0")
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))

    def answer(self, request: Arrived) -> tuple[int, bytes]:
        """The status and body, as a worker would come to them."""
        self._numbers += 1
        name = f"r-{self._numbers}"
        while True:
            try:
                asked = self.front.read(request, name)
                if self.gate.action(asked.command).mode is Mode.HOT:
                    answer = self.gate.handle(asked.caller, asked.command)
                    while answer.later is not None:
                        self.gate.work(answer)()
                    self.gate.settle([answer])
                else:
                    answer = self.gate.ask(asked.caller, asked.command)
                return 200, asked.write(answer.outcome())
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))
            except KeysteadError as error:
                return self.front.write_error(error, "r-0")

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        """A successful answer, as botocore reads it."""
        status, body = self.answer(self.request(operation, json.dumps(members).encode()))
        assert status == 200, (operation, body)
        output = AWS.operation_model(operation).output_shape
        parsed: dict[str, Any] = JSONParser().parse({"status_code": 200, "headers": {}, "body": body}, output)
        parsed.pop("ResponseMetadata")
        return parsed


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    """One for all tests that leave nothing behind that matters."""
    return Endpoint()


# --- who is asking ---------------------------------------------------------------------------------------


def test_a_request_signed_by_botocore_is_understood(endpoint: Endpoint) -> None:
    """What boto3 sends becomes the same caller and command as what our own signer sends."""
    access_key_id, secret = endpoint.house.admin
    request = AWSRequest(
        "POST",
        "http://localhost:8900/",
        headers={"X-Amz-Target": "TrentService.GenerateRandom", "Content-Type": "application/x-amz-json-1.1"},
        data=b'{"NumberOfBytes": 8}',
    )
    now = datetime.fromtimestamp(endpoint.house.clock.now(), UTC)
    with patch("botocore.auth.get_current_datetime", lambda: now):
        SigV4Auth(Credentials(access_key_id, secret), "kms", REGION).add_auth(request)
    request.headers["Host"] = "localhost:8900"
    asked = endpoint.read(Arrived.sent("POST", "/", dict(request.headers.items()), b'{"NumberOfBytes": 8}'))

    assert asked.operation == "GenerateRandom"
    assert asked.caller.identity.arn == f"arn:aws:iam::{ACCOUNT}:user/admin"
    assert (asked.caller.access_key, asked.caller.region) == (access_key_id, REGION)
    assert (asked.caller.auth, asked.caller.source) == ("sigv4", "192.0.2.1")
    assert endpoint.read(endpoint.request("GenerateRandom", b'{"NumberOfBytes": 8}')).command == asked.command


@pytest.mark.parametrize(
    ("what", "differently"),
    [
        ("an operation that does not exist", {"operation": "Nonsense"}),
        ("another method", {"method": "GET"}),
        ("another path", {"target": "//"}),
        ("a body that is no JSON", {"body": b"{"}),
        ("a body that is not allowed", {"body": b'{"NumberOfBytes": 0}'}),
        ("a region that is not served", {"region": "us-east-1"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stranger_is_told_nothing_else(what: str, differently: dict[str, Any]) -> None:
    """Whatever else is wrong with a request, without a proof of who asks the answer is only about that."""
    endpoint = Endpoint(regions=(REGION,))
    arguments: dict[str, Any] = {"operation": "GenerateRandom", **differently}
    unsigned = endpoint.request(**arguments)
    del unsigned.headers[b"authorization"]
    with pytest.raises(NotAuthenticated):
        endpoint.read(unsigned)
    with pytest.raises(UnknownCredentials):
        endpoint.read(endpoint.request(**arguments, who=("AKIANOBODY", "secret")))
    with pytest.raises(InvalidSignature):
        endpoint.read(endpoint.request(**arguments, who=(endpoint.house.admin[0], "wrong")))
    # And whoever has proved it is told.
    with pytest.raises(KeysteadError) as told:
        endpoint.read(endpoint.request(**arguments))
    assert not isinstance(told.value, NotAuthenticated | UnknownCredentials | InvalidSignature), what


def test_a_signature_for_another_service_is_refused(endpoint: Endpoint) -> None:
    """A request for Keystead's own API cannot be sent again as one for AWS's."""
    with pytest.raises(InvalidSignature, match="correct service: 'kms'"):
        endpoint.read(endpoint.request("ListKeys", service="keystead"))


def test_a_credential_that_is_replaced_is_looked_up_again() -> None:
    """The front's own form of a credential goes with the one in the working set."""
    endpoint = Endpoint()
    first = endpoint.read(endpoint.request("ListKeys")).caller.identity
    assert endpoint.read(endpoint.request("ListKeys")).caller.identity is first
    with endpoint.house.store.transact("x") as tx:
        principal = tx.principal(first.arn)
        assert principal is not None
        tx.put_principal(principal)
    endpoint.gate.working.catch_up()

    assert endpoint.read(endpoint.request("ListKeys")).caller.identity is not first


# --- what is asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["Nonsense", "", "encrypt", "Encrypt ", "Encrypt.Decrypt"])
def test_an_unknown_target_is_an_unknown_operation(endpoint: Endpoint, target: str) -> None:
    """A target names an operation to the letter."""
    request = endpoint.request(target)
    request.headers[b"x-amz-target"] = request.headers[b"x-amz-target"].strip()
    if target == "Encrypt ":
        request.headers[b"x-amz-target"] += b"\xa0"
        with pytest.raises(InvalidSignature):
            endpoint.read(request)
        return
    with pytest.raises(UnknownOperationError):
        endpoint.read(request)


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/"), ("PUT", "/"), ("POST", "//"), ("POST", "/./"), ("POST", "/?x=1")]
)
def test_only_a_post_to_the_root_is_an_operation(endpoint: Endpoint, method: str, target: str) -> None:
    """Other methods and addresses are no operations, though their signatures are good."""
    with pytest.raises(UnknownOperationError):
        endpoint.read(endpoint.request("ListKeys", method=method, target=target))


def test_only_configured_regions_are_served() -> None:
    """With regions configured, a signature for another one is answered so; without, every one is served."""
    with pytest.raises(NotFound, match="us-east-1"):
        Endpoint(regions=(REGION,)).read(Endpoint(regions=(REGION,)).request("ListKeys", region="us-east-1"))
    assert Endpoint(regions=(REGION,)).read(Endpoint(regions=(REGION,)).request("ListKeys")).operation
    everywhere = Endpoint()
    assert everywhere.read(everywhere.request("ListKeys", region="us-east-1")).caller.region == "us-east-1"


def test_every_operation_of_aws_has_a_row() -> None:
    """A new botocore with a new operation shows here, by its name."""
    assert sorted(model.OPERATIONS.keys() - ROWS.keys()) == []


def test_every_row_is_an_operation_of_aws() -> None:
    """No row is misspelt."""
    assert ROWS.keys() <= model.OPERATIONS.keys()


# --- round trips -----------------------------------------------------------------------------------------


def use(call: Callable[..., dict[str, Any]], key: str, arn: str) -> str:
    """Every cryptographic operation with one key; a blob that opens to `hello`, in base64."""
    sealed = call("Encrypt", KeyId=key, Plaintext="aGVsbG8=", EncryptionContext={"a": "b"})
    assert sealed["KeyId"] == arn
    blob = b64encode(sealed["CiphertextBlob"]).decode()
    opened = call("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "b"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"hello", arn)
    moved = call(
        "ReEncrypt", CiphertextBlob=blob, SourceEncryptionContext={"a": "b"}, DestinationKeyId=f"{arn}"
    )
    again = b64encode(moved["CiphertextBlob"]).decode()
    assert (moved["SourceKeyId"], moved["KeyId"]) == (arn, arn)
    assert call("Decrypt", CiphertextBlob=again, KeyId=arn)["Plaintext"] == b"hello"
    data_key = call("GenerateDataKey", KeyId=key, KeySpec="AES_128")
    assert len(data_key["Plaintext"]) == 16
    wrapped = b64encode(data_key["CiphertextBlob"]).decode()
    assert call("Decrypt", CiphertextBlob=wrapped)["Plaintext"] == data_key["Plaintext"]
    silent = call("GenerateDataKeyWithoutPlaintext", KeyId=key, NumberOfBytes=64)
    assert "Plaintext" not in silent
    wrapped = b64encode(silent["CiphertextBlob"]).decode()
    assert len(call("Decrypt", CiphertextBlob=wrapped)["Plaintext"]) == 64
    assert len(call("GenerateRandom", NumberOfBytes=20)["Plaintext"]) == 20
    return again


def test_the_life_of_a_key_goes_round() -> None:
    """By every operation on a symmetric key, read as botocore reads it; `tests/e2e/test_every_operation.py` has all."""
    endpoint = Endpoint()
    call = endpoint.call

    made = call("CreateKey", Description="first", Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]
    key, arn = made["KeyId"], made["Arn"]
    assert made["AWSAccountId"] == ACCOUNT
    assert made["KeyState"] == "Enabled"
    assert made["CreationDate"].timestamp() == endpoint.house.clock.now()
    assert call("DescribeKey", KeyId=key)["KeyMetadata"] == made
    assert call("ListKeys") == {"Keys": [{"KeyId": key, "KeyArn": arn}], "Truncated": False}

    again = use(call, key, arn)

    assert call("CreateAlias", AliasName="alias/a", TargetKeyId=key) == {}
    assert call("UpdateAlias", AliasName="alias/a", TargetKeyId=key) == {}
    (alias,) = call("ListAliases", KeyId=key)["Aliases"]
    assert (alias["AliasName"], alias["TargetKeyId"]) == ("alias/a", key)
    assert call("DescribeKey", KeyId="alias/a")["KeyMetadata"]["KeyId"] == key
    assert call("DeleteAlias", AliasName="alias/a") == {}
    assert call("TagResource", KeyId=key, Tags=[{"TagKey": "b", "TagValue": ""}]) == {}
    assert call("UntagResource", KeyId=key, TagKeys=["a"]) == {}
    assert call("ListResourceTags", KeyId=key)["Tags"] == [{"TagKey": "b", "TagValue": ""}]
    assert call("UpdateKeyDescription", KeyId=key, Description="") == {}
    assert call("PutKeyPolicy", KeyId=key, Policy=POLICY) == {}
    assert call("GetKeyPolicy", KeyId=key) == {"Policy": POLICY, "PolicyName": "default"}
    assert call("ListKeyPolicies", KeyId=key)["PolicyNames"] == ["default"]

    assert call("EnableKeyRotation", KeyId=key, RotationPeriodInDays=90) == {}
    status = call("GetKeyRotationStatus", KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert status["NextRotationDate"].timestamp() == endpoint.house.clock.now() + 90 * 86_400
    assert call("RotateKeyOnDemand", KeyId=key) == {"KeyId": arn}
    (rotation,) = call("ListKeyRotations", KeyId=key)["Rotations"]
    assert (rotation["RotationType"], rotation["KeyMaterialState"]) == ("ON_DEMAND", "CURRENT")
    everything = call("ListKeyRotations", KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert ["RotationType" in each for each in everything] == [False, True]
    assert call("Decrypt", CiphertextBlob=again)["Plaintext"] == b"hello"  # by the version before
    assert call("DisableKeyRotation", KeyId=key) == {}
    assert call("GetKeyRotationStatus", KeyId=key) == {"KeyId": arn, "KeyRotationEnabled": False}

    assert call("DisableKey", KeyId=key) == {}
    assert call("EnableKey", KeyId=key) == {}
    gone = call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    assert (gone["KeyState"], gone["PendingWindowInDays"], gone["KeyId"]) == ("PendingDeletion", 7, arn)
    assert call("GetKeyRotationStatus", KeyId=key)["KeyRotationEnabled"] is False
    assert call("CancelKeyDeletion", KeyId=key) == {"KeyId": arn}
    assert call("DescribeKey", KeyId=key)["KeyMetadata"]["Enabled"] is False


def test_lists_come_in_pages(endpoint: Endpoint) -> None:
    """A marker leads to the next page, and there is none on the last."""
    endpoint = Endpoint()
    keys = sorted(endpoint.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(3))
    found: list[str] = []
    page = endpoint.call("ListKeys", Limit=2)
    assert page["Truncated"] is True
    found += [key["KeyId"] for key in page["Keys"]]
    page = endpoint.call("ListKeys", Limit=2, Marker=page["NextMarker"])
    assert page["Truncated"] is False
    assert "NextMarker" not in page
    found += [key["KeyId"] for key in page["Keys"]]

    assert found == keys


KEY = "12345678-1234-4234-8234-123456789012"


@pytest.mark.parametrize(
    ("operation", "members", "error", "text"),
    [
        ("Decrypt", {"CiphertextBlob": "AA==", "EncryptionAlgorithm": "SM2PKE"}, "Validation", "KeyId is"),
        ("Decrypt", {}, "Validation", "Value null at 'ciphertextBlob'"),
        ("Decrypt", {"DryRun": True}, "Validation", "Value null at 'ciphertextBlob'"),
        ("Decrypt", {"CiphertextBlob": "AA==", "Recipient": {}}, "Validation", "Recipient"),
        ("ReEncrypt", {"DestinationKeyId": KEY}, "Validation", "Value null at 'ciphertextBlob'"),
        ("GenerateDataKey", {"KeyId": KEY}, "Validation", "either number of bytes or key spec"),
        ("GenerateDataKey", {"KeyId": KEY, "KeySpec": "AES_256", "NumberOfBytes": 1}, "Validation", "either"),
        ("GenerateRandom", {}, "Validation", "NumberOfBytes is required"),
        ("GenerateRandom", {"NumberOfBytes": 1, "CustomKeyStoreId": "x"}, "UnsupportedOperation", "stores"),
        ("CreateKey", {"KeySpec": "RSA_2048"}, "Validation", "You must specify a KeyUsage"),
        ("CreateKey", {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperation", "SM2"),
        ("CreateKey", {"KeySpec": "HMAC_256", "CustomerMasterKeySpec": "RSA_2048"}, "Validation", "same"),
        ("ListKeys", {"Limit": 1001}, "Validation", "less than or equal to 1000"),
        ("ListAliases", {"Limit": 101}, "Validation", "less than or equal to 100"),
        ("ListResourceTags", {"KeyId": KEY, "Limit": 51}, "Validation", "less than or equal to 50"),
        ("GetKeyPolicy", {"KeyId": KEY, "PolicyName": "other"}, "NotFound", "No such policy"),
        ("PutKeyPolicy", {"KeyId": KEY, "PolicyName": "other", "Policy": "{}"}, "NotFound", "No such policy"),
        ("DescribeKey", {"KeyId": "key/?"}, "NotFound", "Invalid keyId"),
        ("DescribeKey", {"KeyId": KEY}, "NotFound", "does not exist"),
        ("ListKeys", {"ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM"]}, "UnsupportedOperation", "not shared"),
        ("ListKeys", {"Marker": "made-up"}, "InvalidMarker", "marker"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_say_is_refused_in_aws_words(
    endpoint: Endpoint, operation: str, members: dict[str, Any], error: str, text: str
) -> None:
    """Members that do not go together, limits that are narrower, and what is not built."""
    status, body = endpoint.answer(endpoint.request(operation, json.dumps(members).encode()))
    told = json.loads(body)

    assert (status, told["__type"]) == (400, f"{error}Exception")
    assert text in told["message"]


@pytest.mark.parametrize(
    "members",
    [
        {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]},
        {"DryRun": True},
    ],
    ids=["without a ciphertext", "with one"],
)
def test_a_dry_run_says_that_it_would_succeed(members: dict[str, Any]) -> None:
    """Also without the ciphertext, where the request says that it is left out on purpose."""
    endpoint = Endpoint()
    key = endpoint.call("CreateKey")["KeyMetadata"]["KeyId"]
    if "DryRunModifiers" not in members:
        blob = endpoint.call("Encrypt", KeyId=key, Plaintext="AA==")["CiphertextBlob"]
        members = {**members, "CiphertextBlob": b64encode(blob).decode()}
    keys = {"Decrypt": {"KeyId": key}, "ReEncrypt": {"SourceKeyId": key, "DestinationKeyId": key}}
    for operation, named in keys.items():
        body = json.dumps({**members, **named}).encode()
        status, told = endpoint.answer(endpoint.request(operation, body))
        assert (status, json.loads(told)["__type"]) == (400, "DryRunOperationException")


# --- answers ---------------------------------------------------------------------------------------------

BLOBS = st.binary(max_size=100)
ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}"
MATERIAL = "a" * 64


@given(blob=BLOBS, plaintext=BLOBS)
def test_answers_written_by_hand_are_those_of_the_model(blob: bytes, plaintext: bytes) -> None:
    """The four hot answers are byte for byte what the model's own encoder writes."""
    encode = msgspec.json.encode
    assert ROWS["Encrypt"].write(r.Encrypted(ARN, blob)) == encode(
        model.EncryptResponse(CiphertextBlob=blob, KeyId=ARN, EncryptionAlgorithm="SYMMETRIC_DEFAULT"),
        order="sorted",
    )
    assert ROWS["Decrypt"].write(r.Decrypted(ARN, plaintext, MATERIAL)) == encode(
        model.DecryptResponse(
            KeyId=ARN, Plaintext=plaintext, EncryptionAlgorithm="SYMMETRIC_DEFAULT", KeyMaterialId=MATERIAL
        ),
        order="sorted",
    )
    assert ROWS["GenerateDataKey"].write(r.DataKey(ARN, blob, MATERIAL, plaintext)) == encode(
        model.GenerateDataKeyResponse(
            CiphertextBlob=blob, Plaintext=plaintext, KeyId=ARN, KeyMaterialId=MATERIAL
        ),
        order="sorted",
    )
    assert ROWS["GenerateDataKeyWithoutPlaintext"].write(r.DataKey(ARN, blob, MATERIAL)) == encode(
        model.GenerateDataKeyWithoutPlaintextResponse(CiphertextBlob=blob, KeyId=ARN, KeyMaterialId=MATERIAL),
        order="sorted",
    )


def test_an_answer_carries_its_request_id_and_checksum(endpoint: Endpoint) -> None:
    """The head names the protocol's media type, the request, and the checksum of the body."""
    assert endpoint.front.head("r-1", b"{}").decode().splitlines() == [
        "Content-Type: application/x-amz-json-1.1",
        "x-amzn-RequestId: r-1",
        f"x-amz-crc32: {crc32(b'{}')}",
    ]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (NotFound("gone"), 400, {"__type": "NotFoundException", "message": "gone"}),
        (InternalError("ValueError"), 500, {"__type": "KMSInternalException"}),
        (
            AuditUnavailable("no disk"),
            503,
            {"__type": "ServiceUnavailableException", "message": "AuditUnavailable: no disk"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_written_as_aws_does(
    endpoint: Endpoint, error: KeysteadError, status: int, told: dict[str, str]
) -> None:
    """A type, a message where there may be one, and a status that SDKs act on."""
    assert endpoint.front.write_error(error, "r-1") == (status, msgspec.json.encode(told))


# --- what can be recorded of a request that was refused --------------------------------------------------


def test_a_refused_request_is_described_by_what_it_claims_and_nothing_more(endpoint: Endpoint) -> None:
    """The claimed access key, the operation's name, where it came from: no principal, no way of proof."""
    request = endpoint.request(
        "Encrypt", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, who=("AKIACLAIMED", "x")
    )
    assert endpoint.front.describe(request, "r-9") == Entry(
        access_key="AKIACLAIMED", action="kms:Encrypt", request="r-9", source="192.0.2.1", trace=TRACE
    )


HEADER = st.sampled_from([b"authorization", b"x-amz-target", b"traceparent", b"host", b"x"])
VALUE = st.binary(max_size=60) | st.sampled_from(
    [
        b"AWS4-HMAC-SHA256 Credential=AKIA/20260101/x/kms/aws4_request, SignedHeaders=host, Signature=00",
        b"Credential=" + b"A" * 500 + b"/x",
        PREFIX + b"Encrypt",
        f"00-{TRACE}-{PARENT}-01".encode(),
    ]
)


@given(headers=st.dictionaries(HEADER, VALUE), target=st.binary(max_size=20))
def test_whatever_a_stranger_sends_can_be_described(headers: dict[bytes, bytes], target: bytes) -> None:
    """No bytes make it fail, and what is taken from them has a form and a bound."""
    request = Arrived.sent("POST", "/", {}, b"")
    request.headers, request.target = headers, target
    house = Installation()
    entry = Json11(credentials=Ring(house.gate(), house.clock), clock=house.clock, regions=()).describe(
        request, "r"
    )

    assert entry.principal == entry.auth == entry.account == entry.key == entry.region == ""
    assert len(entry.access_key) <= 128
    assert entry.action in {"", "kms:Encrypt"}
    assert entry.trace in {"", TRACE}


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", TRACE),
        (f"cc-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-01-not-in-this-version", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"cc-{TRACE}-{PARENT}-01.", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{'g' * 32}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE[:31]}-{PARENT}-01", ""),
        (f"00-{TRACE}-{PARENT}", ""),
        (TRACE, ""),
        ("", ""),
    ],
)
def test_a_trace_id_is_taken_only_from_a_good_traceparent(
    endpoint: Endpoint, header: str, trace: str
) -> None:
    """W3C Trace Context 3.2: 32 lower-case hex digits, not all zero; later versions may say more."""
    request = endpoint.request("ListKeys", headers={"traceparent": header})
    assert endpoint.read(request).caller.trace == trace
    assert endpoint.front.describe(request, "r").trace == trace


# --- whatever is sent ------------------------------------------------------------------------------------

ROOM = Endpoint()
ROOM_KEY = ROOM.call("CreateKey")["KeyMetadata"]["KeyId"]
ROOM.call("CreateAlias", AliasName="alias/room", TargetKeyId=ROOM_KEY)
ROOM_BLOB = b64encode(ROOM.call("Encrypt", KeyId=ROOM_KEY, Plaintext="AA==")["CiphertextBlob"]).decode()

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(
        [ROOM_KEY, "alias/room", ROOM_BLOB, POLICY, "default", f"{ROOM_KEY}\x00", "alias/aws/x", "A" * 9000]
    )
)
ANYTHING = st.recursive(
    SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
)


def values(shape: Any, name: str) -> st.SearchStrategy[Any]:
    """Values of one of AWS's shapes, most of them allowed."""
    if "Policy" in name and shape.type_name == "string":
        return st.sampled_from([POLICY, "default", "{}", ""]) | st.text(max_size=50)
    if "Alias" in name:
        return st.sampled_from(["alias/room", "alias/new", "alias/", "room", "alias/aws/s3", "alias/a:b"])
    if "KeyId" in name:
        arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
        return st.sampled_from(
            [ROOM_KEY, f"{arn}key/{ROOM_KEY}", f"{arn}alias/room", "alias/room", KEY, "x", "arn:aws:kms:::"]
        )
    match shape.type_name:
        case "string" if shape.enum:
            return st.sampled_from([*shape.enum, "OTHER"])
        case "string":
            return st.text(max_size=40)
        case "integer":
            return st.sampled_from([0, 1, 7, 32, 90, 1000, 1024, 2**31, -1])
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.sampled_from([0, 1, 1.5e9, 4e9, 1e300, -1])
        case "blob":
            return st.sampled_from([ROOM_BLOB, "", "AA==", "?", "A" * 8000]) | st.binary(max_size=200).map(
                lambda data: b64encode(data).decode()
            )
        case "list":
            return st.lists(values(shape.member, name), max_size=3)
        case "map":
            return st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4)
        case _:
            return members(shape)


def members(shape: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A structure of AWS's with all members that it must have and some of the others."""
    each = {name: values(member, name) for name, member in shape.members.items()}
    needed = {name: each.pop(name) for name in shape.required_members}
    return st.fixed_dictionaries(needed, optional=each)


@st.composite
def bodies(draw: st.DrawFn, operation: str) -> bytes:
    """A body for an operation: mostly with the right types, else with some wrong, or anything at all."""
    shape = AWS.operation_model(operation).input_shape
    kind = draw(st.sampled_from(["good"] * 6 + ["spoiled", "lacking", "anything", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(max_size=60))
    if kind == "anything":
        return json.dumps(draw(ANYTHING)).encode()
    value = draw(members(shape))
    if kind in {"spoiled", "lacking"} and shape.members:
        name = draw(st.sampled_from(sorted(shape.members)))
        value.pop(name, None)
        if kind == "spoiled":
            value[name] = draw(ANYTHING)
    return json.dumps(value).encode()


def outputs(operation: str) -> type[Structure] | None:
    """The model's type of an operation's answers."""
    found: type[Structure] | None = model.OPERATIONS[operation].output
    return found


@pytest.mark.parametrize("operation", sorted(ROWS))
@given(data=st.data())
def test_no_body_makes_an_operation_fail_by_a_bug(operation: str, data: st.DataObject) -> None:
    """A signed request with any JSON is answered as the model says, or refused: never a 500."""
    with ROOM.house.store.transact("restore") as tx:  # what earlier examples did to the key
        key = tx.key(REGION, ROOM_KEY)
        assert key is not None
        tx.put_key(replace(key, state=State.ENABLED, deletion_date=None, rotations_on_demand=0))
    status, answer = ROOM.answer(ROOM.request(operation, data.draw(bodies(operation))))

    assert status in {200, 400, 413}, answer
    if status != 200:
        assert json.loads(answer)["__type"].endswith("Exception")
    elif (output := outputs(operation)) is None:
        assert answer == b""
    else:
        msgspec.json.decode(answer, type=output)


def test_plaintexts_come_back_from_the_largest_to_the_smallest(endpoint: Endpoint) -> None:
    """A plaintext of 4,096 bytes is the largest; an empty one is refused as by AWS."""
    endpoint = Endpoint()
    key = endpoint.call("CreateKey")["KeyMetadata"]["KeyId"]
    for size in (1, 4096):
        plaintext = b64encode(b"x" * size).decode()
        blob = endpoint.call("Encrypt", KeyId=key, Plaintext=plaintext)["CiphertextBlob"]
        opened = endpoint.call("Decrypt", CiphertextBlob=b64encode(blob).decode())["Plaintext"]
        assert opened == b64decode(plaintext)
    for size in (0, 4097):
        body = json.dumps({"KeyId": key, "Plaintext": b64encode(b"x" * size).decode()}).encode()
        status, told = endpoint.answer(endpoint.request("Encrypt", body))
        assert (status, json.loads(told)["__type"]) == (400, "ValidationException")


@pytest.mark.parametrize(("value", "dry"), [("true", True), ("1", True), ("", True), ("false", False)])
def test_a_dry_run_is_asked_for_by_a_signed_header(value: str, dry: bool) -> None:
    """Any value but `false` counts: what is not understood must not change anything."""
    endpoint = Endpoint()
    asked = endpoint.read(endpoint.request("ListKeys", headers={"x-amz-meta-dry-run": value}))
    assert asked.caller.dry_run is dry
    assert not endpoint.read(endpoint.request("ListKeys")).caller.dry_run


def test_what_a_client_says_of_itself_is_cut() -> None:
    """It may end up in the values of conditions, so it has a bound."""
    endpoint = Endpoint()
    headers = {"user-agent": "x" * 300, "x-amz-meta-change-ticket": "CHG-1"}
    caller = endpoint.read(endpoint.request("ListKeys", headers=headers)).caller
    assert (caller.agent, caller.ticket) == ("x" * 256, "CHG-1")


@pytest.mark.parametrize(
    ("value", "kept"), [("7f3a/build-12", "7f3a/build-12"), ("a b", ""), ("x" * 129, ""), ("", "")]
)
def test_the_clients_own_request_id_is_recorded(endpoint: Endpoint, value: str, kept: str) -> None:
    """Of a request that is refused as well; what is not in a form to be kept is left out."""
    request = endpoint.request("ListKeys", headers={"x-request-id": value})
    assert endpoint.read(request).caller.client_request == kept
    assert endpoint.front.describe(request, "r").client_request == kept
