"""What bad input gets: AWS's error, a clean or a closed connection, a record, never what is another's."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.e2e

HOST = "host: localhost\r\n"
CANARY = "do-not-say-this-back"


@pytest.fixture(scope="module")
def key(service: Any) -> str:
    """A key's id."""
    return str(service.call("CreateKey")["KeyMetadata"]["KeyId"])


@pytest.fixture(scope="module")
def refused(service: Any) -> Iterator[dict[str, set[str]]]:
    """Request ids of refusals with what the audit log may call them; looked up when all tests are done."""
    expected: dict[str, set[str]] = {}
    yield expected
    ends = service.ends(expected)
    wrong = {id_: end for id_, end in ends.items() if end.get("outcome", "Success") not in expected[id_]}
    assert not wrong


@pytest.fixture(scope="module", autouse=True)
def no_tracebacks(service: Any) -> Iterator[None]:
    """Whatever this module sent, nothing of it was a bug to the service."""
    yield
    said = service.said()
    assert "Traceback" not in said, said
    assert "met a bug" not in said, said
    metrics = service.look("/metrics").body.decode()
    faults = [line for line in metrics.splitlines() if line.startswith("keystead_faults_total{")]
    assert faults
    assert all(line.endswith(" 0") for line in faults), faults


def is_clean(wire: Any, service: Any) -> bool:
    """Whether the connection still serves the next request."""
    return bool(wire.ask(service.signer()("ListKeys")).status == 200)


UNSIGNED = f"POST / HTTP/1.1\r\n{HOST}x-amz-target: TrentService.ListKeys\r\ncontent-length: 2\r\n\r\n{{}}"
PRESIGNED = (
    "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Feu-central-1%2Fkms%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64
)

# What the audit log calls these errors.
RECORDED = {
    "IncompleteSignatureException": {"IncompleteSignature"},
    "InvalidSignatureException": {"InvalidSignature"},
    "MissingAuthenticationTokenException": {"NotAuthenticated"},
    "RequestEntityTooLargeException": {"TooLarge"},
    "SerializationException": {"Serialization"},
    "UnknownOperationException": {"UnknownOperation"},
    "UnrecognizedClientException": {"UnknownCredentials"},
    "ValidationException": {"InvalidRequest"},
}

# Requests that are HTTP, but not what the API takes: the connection stays.
POLITE: dict[str, tuple[Any, int, str]] = {
    "unsigned": (lambda _: UNSIGNED.encode(), 400, "MissingAuthenticationTokenException"),
    "another scheme": (
        lambda _: UNSIGNED.replace(
            "content-length", f"authorization: Basic {CANARY}\r\ncontent-length"
        ).encode(),
        400,
        "IncompleteSignatureException",
    ),
    "presigned": (
        lambda _: f"GET {PRESIGNED} HTTP/1.1\r\n{HOST}\r\n".encode(),
        400,
        "IncompleteSignatureException",
    ),
    "not JSON": (lambda s: s("ListKeys", b'{"Limit": 1'), 400, "SerializationException"),
    "an array": (lambda s: s("ListKeys", b"[]"), 400, "SerializationException"),
    "no UTF-8": (lambda s: s("ListKeys", b'{"Marker": "\xff"}'), 400, "SerializationException"),
    "a number for a text": (lambda s: s("DescribeKey", {"KeyId": 1}), 400, "SerializationException"),
    "a text for a number": (lambda s: s("ListKeys", {"Limit": "1"}), 400, "SerializationException"),
    "a text for a map": (
        lambda s: s("Encrypt", {"KeyId": "x", "Plaintext": "eA==", "EncryptionContext": CANARY}),
        400,
        "SerializationException",
    ),
    "no base64": (
        lambda s: s("Encrypt", {"KeyId": "x", "Plaintext": f"{CANARY}!"}),
        400,
        "SerializationException",
    ),
    "deeply nested": (lambda s: s("ListKeys", b"[" * 50_000), 400, "SerializationException"),
    "nothing required": (lambda s: s("Encrypt"), 400, "ValidationException"),
    "out of range": (lambda s: s("ListKeys", {"Limit": 0}), 400, "ValidationException"),
    "another service's target": (
        lambda s: s("", extra={"x-amz-target": "AWSCognitoIdentityService.GetId"}),
        400,
        "UnknownOperationException",
    ),
    "no such operation": (lambda s: s("OpenSesame"), 400, "UnknownOperationException"),
    "no target": (lambda s: s(""), 400, "UnknownOperationException"),
    "another path": (lambda s: s("ListKeys", target="/keys"), 400, "UnknownOperationException"),
    "a GET": (lambda s: s("ListKeys", method="GET"), 400, "UnknownOperationException"),
    "an unsigned target": (
        lambda s: s("", unsigned={"x-amz-target": "TrentService.ListKeys"}),
        400,
        "InvalidSignatureException",
    ),
    "an unsigned payload": (
        lambda s: s("ListKeys", payload="UNSIGNED-PAYLOAD"),
        400,
        "InvalidSignatureException",
    ),
    "a payload hash that is not the body's": (
        lambda s: s("ListKeys", payload="0" * 64),
        400,
        "InvalidSignatureException",
    ),
    "six minutes ago": (
        lambda s: s("ListKeys", when=time.time() - 360),
        400,
        "InvalidSignatureException",
    ),
    "in six minutes": (
        lambda s: s("ListKeys", when=time.time() + 360),
        400,
        "InvalidSignatureException",
    ),
    "a session token that nobody gave": (
        lambda s: s("ListKeys", extra={"x-amz-security-token": CANARY}),
        400,
        "UnrecognizedClientException",
    ),
}


@pytest.mark.parametrize("name", POLITE)
def test_a_wrong_request_gets_aws_error_and_keeps_its_connection(
    service: Any, refused: Any, name: str
) -> None:
    """The error has AWS's type and status, is recorded, and the connection takes the next request."""
    make, status, error = POLITE[name]
    with service.wire() as wire:
        reply = wire.ask(make(service.signer()))
        assert (reply.status, reply.error) == (status, error), reply
        assert CANARY.encode() not in reply.body
        assert is_clean(wire, service)
    refused[reply.request] = RECORDED[error]


def head(*lines: str, method: str = "POST", target: str = "/", version: str = "HTTP/1.1") -> bytes:
    """The head of an unsigned request."""
    return "\r\n".join([f"{method} {target} {version}", HOST.strip(), *lines, "", ""]).encode()


# What cannot be read in one way only, or not at all: answered once, then the connection closes.
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "ValidationException"),
    "bare line feeds": (b"POST / HTTP/1.1\nhost: x\n\n", 400, "ValidationException"),
    "two lengths": (head("content-length: 2", "content-length: 3") + b"{}", 400, "ValidationException"),
    "two equal lengths": (head("content-length: 2", "content-length: 2") + b"{}", 400, "ValidationException"),
    "a length that is no number": (head("content-length: 0x2") + b"{}", 400, "ValidationException"),
    "a negative length": (head("content-length: -1"), 400, "ValidationException"),
    "chunked": (head("transfer-encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n", 400, "ValidationException"),
    "chunked with a length": (
        head("transfer-encoding: chunked", "content-length: 4") + b"0\r\n\r\n",
        400,
        "ValidationException",
    ),
    "two targets": (
        head("x-amz-target: TrentService.ListKeys", "x-amz-target: TrentService.Decrypt"),
        400,
        "ValidationException",
    ),
    "no host": (b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 400, "ValidationException"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "ValidationException"),
    "another version": (head(version="HTTP/1.2"), 400, "ValidationException"),
    "no method": (head(method="FROBNICATE"), 400, "ValidationException"),
    "a folded header": (head("x-amz-meta: one", " two"), 400, "ValidationException"),
    "a blank in a header's name": (head("x-amz-meta : one"), 400, "ValidationException"),
    "a control character": (head("x-amz-meta: a\x00b"), 400, "ValidationException"),
    "a body too large": (head("content-length: 200000"), 413, "RequestEntityTooLargeException"),
    "a body far too large": (head(f"content-length: {'9' * 18}"), 413, "RequestEntityTooLargeException"),
    "a head too large": (head(f"x-amz-meta: {'x' * 20_000}"), 413, "RequestEntityTooLargeException"),
    "a head without an end": (b"POST /" + b"x" * 20_000, 413, "RequestEntityTooLargeException"),
    "too many headers": (head(*(f"x-{n}: x" for n in range(100))), 413, "RequestEntityTooLargeException"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_request_is_answered_once_and_ends_its_connection(
    service: Any, refused: Any, name: str
) -> None:
    """The error has AWS's type, is recorded, and nothing that follows is taken for a request."""
    data, status, error = BROKEN[name]
    with service.wire() as wire:
        reply = wire.ask(data + service.signer()("ListKeys"))
        assert (reply.status, reply.error) == (status, error), reply
        assert reply.headers["connection"] == "close"
        assert wire.ended()
    refused[reply.request] = RECORDED[error]


def test_a_truncated_request_is_refused(service: Any, refused: Any) -> None:
    """A client that stops inside its head or its body is told so, and nothing is done."""
    whole = service.signer()("CreateKey", {"Description": "truncated"})
    for cut in (10, whole.index(b"\r\n\r\n"), len(whole) - 1):
        with service.wire() as wire:
            wire.send(whole[:cut])
            wire.sock.shutdown(socket.SHUT_WR)
            reply = wire.reply()
            assert (reply.status, reply.error) == (400, "ValidationException")
            assert wire.ended()
        refused[reply.request] = {"InvalidRequest"}


def test_a_slow_request_is_refused_in_time(service: Any, refused: Any) -> None:
    """A head or a body that drips is refused after its deadline, however lively it is."""
    whole = service.signer()("CreateKey", {"Description": "x" * 200})
    body = whole.index(b"\r\n\r\n") + 4

    def drip(start: int) -> tuple[Any, bool]:
        with service.wire() as wire:
            wire.send(whole[:start])
            wire.sock.settimeout(0.5)
            for place in range(start, start + 60):  # half a minute, if nothing is said
                try:
                    return wire.reply(), wire.ended()
                except TimeoutError:
                    wire.send(whole[place : place + 1])
            pytest.fail("nothing came")

    with ThreadPoolExecutor() as pool:
        replies = list(pool.map(drip, [0, 20, body]))
    for reply, ended in replies:
        assert (reply.status, reply.error, ended) == (400, "ValidationException", True)
        refused[reply.request] = {"InvalidRequest"}


def test_neighbours_of_a_malformed_request_get_their_own_answers(service: Any, key: str) -> None:
    """In a pipeline the requests before a malformed one are answered as ever, those after it not at all."""
    sign = service.signer()
    good = [
        sign("Encrypt", {"KeyId": key, "Plaintext": base64.b64encode(bytes([n])).decode()}) for n in range(5)
    ]
    with service.wire() as wire:
        wire.send(b"".join(good) + head("content-length: x") + sign("CreateKey", {"Description": "smuggled"}))
        blobs = [wire.reply().value["CiphertextBlob"] for _ in good]
        broken = wire.reply()
        assert broken.error == "ValidationException"
        assert wire.ended()
    for number, blob in enumerate(blobs):
        opened = service.call("Decrypt", {"CiphertextBlob": blob})
        assert base64.b64decode(opened["Plaintext"]) == bytes([number])
    keys = service.call("ListKeys")["Keys"]
    described = [service.call("DescribeKey", {"KeyId": k["KeyId"]})["KeyMetadata"] for k in keys]
    assert "smuggled" not in {k["Description"] for k in described}


def test_refusals_in_a_pipeline_stay_in_their_places(service: Any, key: str) -> None:
    """Answers come in the order of the requests, whatever became of each and however long it took."""
    sign = service.signer()
    requests = {
        sign("ListKeys"): "",
        sign("ListKeys", b"{"): "SerializationException",
        sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="}): "",
        UNSIGNED.encode(): "MissingAuthenticationTokenException",
        sign("CreateKey", {"Description": "in a pipeline"}): "",
        sign("DescribeKey", {"KeyId": "alias/nobody"}): "NotFoundException",
        sign("OpenSesame"): "UnknownOperationException",
    }
    with service.wire() as wire:
        for _ in range(5):
            wire.send(b"".join(requests))
            assert [wire.reply().error for _ in requests] == list(requests.values())


def test_a_captured_request_cannot_be_turned_into_another(service: Any, refused: Any, key: str) -> None:
    """A signed DescribeKey sent again as ScheduleKeyDeletion, or with another body, does nothing."""
    captured = service.signer()("DescribeKey", {"KeyId": key})
    assert captured.count(b"DescribeKey") == 1
    for changed in (
        captured.replace(b"TrentService.DescribeKey", b"TrentService.ScheduleKeyDeletion"),
        captured.replace(b"TrentService.DescribeKey", b"TrentService.DisableKey"),
        captured.replace(key.encode(), key[::-1].encode()),
        captured.replace(b"POST / ", b"POST /?x=1 "),
        captured.replace(b"host: localhost", b"host: elsewhere"),
    ):
        with service.wire() as wire:
            reply = wire.ask(changed)
            assert reply.error == "InvalidSignatureException"
        refused[reply.request] = {"InvalidSignature"}
    assert service.call("DescribeKey", {"KeyId": key})["KeyMetadata"]["KeyState"] == "Enabled"


def test_an_old_client_is_served_and_sent_off(service: Any) -> None:
    """HTTP/1.0 is answered, and its connection closes after that unless it asked otherwise."""
    with service.wire() as wire:
        reply = wire.ask(service.signer()("ListKeys", version="HTTP/1.0"))
        assert reply.status == 200
        assert wire.ended()
    with service.wire() as wire:
        kept = service.signer()("ListKeys", version="HTTP/1.0", unsigned={"connection": "keep-alive"})
        assert wire.ask(kept).status == 200
        assert is_clean(wire, service)


def test_a_refusal_names_the_claimed_access_key_in_its_record(service: Any) -> None:
    """Who a forged request claimed to be is on record, and that it was not proven."""
    sign = service.signer(secret="x" * 40)
    with service.wire() as wire:
        reply = wire.ask(sign("Decrypt", {"CiphertextBlob": "eA=="}))
    assert reply.error == "InvalidSignatureException"
    record = service.ends([reply.request])[reply.request]
    assert (record["access_key"], record["action"]) == (sign.access_key, "kms:Decrypt")
    assert "principal" not in record
    assert record["source"] == "127.0.0.1"


def test_the_control_plane_refuses_and_records_likewise(service: Any, refused: Any) -> None:
    """Unsigned, unknown and malformed administration gets Keystead's own errors, each on record."""
    sign = service.signer(service="keystead")
    unsigned = b"POST /v1/ListPrincipals HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
    for data, status, code in (
        (unsigned, 403, "NotAuthenticated"),
        (sign("OpenSesame"), 404, "NotFound"),
        (sign("CreatePrincipal", b"{"), 400, "InvalidRequest"),
        (sign("CreatePrincipal", {"name": 1}), 400, "InvalidRequest"),
        (sign("CreatePrincipal", {"name": "x", "surprise": 1}), 400, "InvalidRequest"),
        (sign("ListPrincipals", when=time.time() - 360), 403, "InvalidSignature"),
        (service.signer()("ListKeys", target="/v1/ListPrincipals"), 403, "InvalidSignature"),
    ):
        with service.control_wire() as wire:
            reply = wire.ask(data)
        assert (reply.status, reply.error) == (status, code)
        refused[reply.request] = {code}
    with service.control_wire() as wire:
        assert wire.ask(sign("CreatePrincipal", {"name": "x" * 1_100_000})).status == 413


mutations = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["cut", "insert", "replace", "double"]), st.binary(max_size=8)
    ),
    min_size=1,
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=mutations)
def test_no_mutation_of_a_request_breaks_the_service(service: Any, key: str, changes: Any) -> None:
    """A valid request damaged anywhere gets an answer of ours or a closed connection, never a 5xx."""
    data = service.signer()("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    for where, how, piece in changes:
        place = int(where * len(data))
        if how == "cut":
            data = data[:place] + data[place + len(piece) :]
        elif how == "insert":
            data = data[:place] + piece + data[place:]
        elif how == "replace":
            data = data[:place] + piece + data[place + len(piece) :]
        else:
            data = data[:place] + data[max(0, place - 40) :]
    survives(service, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.binary(max_size=400))
def test_no_garbage_breaks_the_service(service: Any, data: bytes) -> None:
    """Bytes of any kind get an answer of ours or a closed connection, never a 5xx."""
    survives(service, data)


def survives(service: Any, data: bytes) -> None:
    """Send something, read whatever comes, and see that the service is still there."""
    with service.wire() as wire:
        wire.send(data)
        wire.sock.shutdown(socket.SHUT_WR)
        try:
            while True:
                assert wire.reply().status < 500
        except ConnectionError:
            assert service.call("ListKeys", {"Limit": 1}) is not None


AWS: Any = ServiceModel(Loader().load_service_model("kms", "service-2"))
# These take keys out of use, so they come when the others have had their turn.
ENDING = ("DisableKey", "PutKeyPolicy", "DeleteImportedKeyMaterial", "ScheduleKeyDeletion")
OPERATIONS = sorted(AWS.operation_names, key=lambda name: name in ENDING)
KINDS = (
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    ("RSA_2048", "SIGN_VERIFY"),
    ("RSA_2048", "ENCRYPT_DECRYPT"),
    ("ECC_NIST_P256", "KEY_AGREEMENT"),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
    ("ML_DSA_44", "SIGN_VERIFY"),
    ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ("HMAC_256", "GENERATE_VERIFY_MAC"),
)
EVERYBODY = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}}'
# What a member of another type may hold instead: each is JSON, or nearly.
WRONG = st.sampled_from([None, 1, -1, 1.5, True, "x", "\ud800", 2**70, [], ["x"], [None], {}, {"a": None}])


class Known(NamedTuple):
    """What a caller who is not a stranger would ask with."""

    texts: dict[str, list[str]]  # by how a member's name ends
    blobs: list[bytes]


@pytest.fixture(scope="module")
def known(service: Any) -> Known:
    """Keys of every kind, a grant, a custom key store, and blobs that are right somewhere."""

    def new(**options: Any) -> Any:
        return service.call("CreateKey", options)["KeyMetadata"]

    made = [new(KeySpec=spec, KeyUsage=usage) for spec, usage in KINDS]
    made += [new(Origin="EXTERNAL"), new(MultiRegion=True)]
    ids = [str(key["KeyId"]) for key in made]
    user = f"arn:aws:iam::{made[0]['AWSAccountId']}:user/admin"
    blob = service.call("Encrypt", {"KeyId": ids[0], "Plaintext": "eA=="})["CiphertextBlob"]
    public = service.call("GetPublicKey", {"KeyId": ids[3]})["PublicKey"]
    secret = service.call("Encapsulate", {"KeyId": ids[6], "EncapsulationAlgorithm": "ML_KEM"})
    offer = {"KeyId": ids[-2], "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    token = service.call("GetParametersForImport", offer)["ImportToken"]
    grant = service.call(
        "CreateGrant", {"KeyId": ids[0], "GranteePrincipal": user, "Operations": ["Decrypt"]}
    )
    service.call("CreateAlias", {"AliasName": "alias/known", "TargetKeyId": ids[0]})
    texts = {
        "KeyId": [*ids, str(made[0]["Arn"]), "alias/known", "mrk-" + "0" * 32],
        "AliasName": ["alias/known", "alias/new", "alias/aws/x"],
        "Principal": [user, user.replace("user/admin", "root"), "arn:", "*"],
        "GrantId": [str(grant["GrantId"])],
        "GrantTokens": [str(grant["GrantToken"])],
        "Policy": [EVERYBODY, "{}", "[]", '{"Statement": [null]}', "[" * 1000, "\0"],
        "PolicyName": ["default"],
        "Region": ["us-east-1", "eu-west-1", "xx-nowhere-9"],
        "Endpoint": ["https://127.0.0.1", "https://[::1]:1", "https://localhost:1"],
        "Path": ["/kms/xks/v1"],
    }
    real = [base64.b64decode(text) for text in (blob, public, secret["SharedSecretCiphertextBlob"], token)]
    return Known(texts, [*real, b"", b"\0", bytes(256)])


def requests(shape: Any, known: Known, name: str = "") -> st.SearchStrategy[Any]:
    """What AWS's model has for a member, at and beyond its limits, and now and then of another type."""
    return mostly(rightly(shape, known, name), WRONG)


def mostly(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The one, and one time of sixteen or so the other."""
    return st.integers(0, 15).flatmap(lambda chance: seldom if chance == 15 else usual)


def rightly(shape: Any, known: Known, name: str) -> st.SearchStrategy[Any]:
    """Values of the right type."""
    low, high = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 256))
    sizes = st.sampled_from([max(low - 1, 0), low, high, high + 1])
    match shape.type_name:
        case "structure":
            inner = {member: requests(of, known, member) for member, of in shape.members.items()}
            must = {member: inner.pop(member) for member in shape.required_members}
            return st.fixed_dictionaries(must, optional=inner)
        case "list":
            return st.lists(requests(shape.member, known, name), max_size=3)
        case "map":
            return st.dictionaries(
                st.sampled_from(["a", "\u00e9", ""]), requests(shape.value, known), max_size=2
            )
        case "blob":
            real = st.sampled_from(known.blobs)
            blobs = real | st.builds(damaged, real, st.integers(0, 8191)) | sizes.map(bytes)
            return blobs.map(lambda blob: base64.b64encode(blob).decode())
        case "integer":
            return st.sampled_from([low - 1, low, high, high + 1, 0, 2**31, 2**63])
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.sampled_from([0, -1, 2e9, 1e30, 1e308, 1e-300, time.time() + 1000])
        case _:
            if shape.enum:
                return st.sampled_from(shape.enum)
            likely = [text for end, texts in known.texts.items() if name.endswith(end) for text in texts]
            others = st.sampled_from(["x", "", "\u00e9" * 30, "\0"]) | sizes.map(lambda size: "a" * size)
            return mostly(st.sampled_from(likely), others) if likely else others


def damaged(blob: bytes, bit: int) -> bytes:
    """A blob with one bit changed."""
    if not blob:
        return blob
    place = bit // 8 % len(blob)
    return blob[:place] + bytes([blob[place] ^ (1 << bit % 8)]) + blob[place + 1 :]


@pytest.mark.parametrize("examples", [10, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_signed_request_breaks_the_service(
    service: Any, known: Known, operation: str, examples: int
) -> None:
    """Whatever AWS's model lets a caller say, and somewhat more, gets an answer of AWS's and in time."""

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(body=requests(AWS.operation_model(operation).input_shape, known))
    def ask(body: Any) -> None:
        data = json.dumps(body).encode()
        with service.wire() as wire:
            reply = wire.ask(service.signer()(operation, data))
        assert reply.status < 500, reply

    ask()
