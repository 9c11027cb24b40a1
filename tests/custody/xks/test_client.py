"""The XKS client against a real proxy over TLS, well and out of order."""

import json
import logging
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystead.app.installation import SystemClock
from keystead.core.blob import unpack_outer
from keystead.core.errors import (
    CustodyUnavailable,
    InvalidCiphertext,
    InvalidKeyState,
    KeysteadError,
    KeyStoreInvalidState,
    XksKeyInvalidConfiguration,
    XksKeyNotFound,
)
from keystead.custody.xks.breaker import FAILURES
from keystead.custody.xks.client import MOST_PROXIES, REFUSALS, integrity_value
from keystead.testing.audit import TurnedClock

AAD = b"what binds it"
KNOWN = (
    CustodyUnavailable,
    InvalidCiphertext,
    InvalidKeyState,
    KeyStoreInvalidState,
    XksKeyInvalidConfiguration,
    XksKeyNotFound,
)


def test_what_it_seals_it_opens(room: Any) -> None:
    """Whatever the proxy's metadata; under the same associated data only."""
    for metadata in (None, b"", b"version=1", bytes(20)):
        room.proxy.metadata = metadata
        sealed = room.client.seal(room.asked(), b"plaintext", AAD)
        assert unpack_outer(sealed).metadata == (metadata or b"")
        assert b"plaintext" not in sealed
        assert room.client.open(room.asked(action="kms:Decrypt"), sealed, AAD) == b"plaintext"
        with pytest.raises(InvalidCiphertext) as told:
            room.client.open(room.asked(), sealed, b"other")
        assert str(told.value) == ""


def test_any_changed_byte_is_noticed(room: Any) -> None:
    """Lengths, metadata, initialization vector, tag and text are all authenticated, or make no sense."""
    sealed = room.client.seal(room.asked(), b"text", AAD)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(InvalidCiphertext):
            room.client.open(room.asked(), changed, AAD)


def test_the_proxy_is_told_for_whom_and_why(room: Any) -> None:
    """Principal, key, operation and request, by the names that its owner's rules are written in."""
    sealed = room.client.seal(room.asked(action="kms:ReEncryptTo"), b"x", AAD)
    room.client.open(room.asked(action="kms:ReEncryptFrom"), sealed, AAD)
    room.client.check_key(room.asked())
    assert room.diagnose() == ""
    operations = [asked["requestMetadata"]["kmsOperation"] for _, asked in room.proxy.requests]
    assert operations == ["ReEncrypt", "ReEncrypt", "CreateKey", "ConnectCustomKeyStore"]
    path, encrypt = room.proxy.requests[0]
    assert path == "/kms/xks/v1/keys/orders/encrypt"
    assert encrypt["requestMetadata"] == {
        "kmsOperation": "ReEncrypt",
        "kmsRequestId": "r-1",
        "awsPrincipalArn": "arn:aws:iam::111122223333:user/alice",
        "kmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd",
    }
    assert "kmsKeyArn" not in room.proxy.requests[2][1]["requestMetadata"]
    assert room.proxy.requests[3][1].keys() == {"requestMetadata"}


def test_connections_are_kept_and_made_anew(room: Any) -> None:
    """One handshake serves many requests; a connection that was closed meanwhile costs no request."""
    for _ in range(5):
        room.client.seal(room.asked(), b"x", AAD)
    assert room.proxy.connections == 1
    room.proxy.hang_up()
    assert room.client.seal(room.asked(), b"x", AAD)
    assert room.proxy.connections == 2


def test_a_key_must_be_an_enabled_aes_256_key(room: Any) -> None:
    """Before a KMS key is made of it."""
    room.client.check_key(room.asked())
    with pytest.raises(XksKeyNotFound, match="does not exist"):
        room.client.check_key(room.asked("nobodys"))
    room.proxy.disabled.add("orders")
    with pytest.raises(XksKeyInvalidConfiguration):
        room.client.check_key(room.asked())
    room.proxy.disabled.clear()
    for member, value in (("keySpec", "RSA_2048"), ("keyUsage", ["ENCRYPT"]), ("keyUsage", [])):
        room.proxy.spoils = lambda given, member=member, value=value: given.update({member: value})
        with pytest.raises(XksKeyInvalidConfiguration):
            room.client.check_key(room.asked())
    nonsense: list[tuple[str, Any]] = [("keyUsage", ["DECRYPT"] * 11), ("keyStatus", "ILL"), ("keySpec", 7)]
    for member, value in nonsense:
        room.proxy.spoils = lambda given, member=member, value=value: given.update({member: value})
        with pytest.raises(CustodyUnavailable):
            room.client.check_key(room.asked())


CREATING = {
    "InvalidStateException": XksKeyInvalidConfiguration,
    "InvalidKeyUsageException": XksKeyInvalidConfiguration,
    "KeyNotFoundException": XksKeyNotFound,
    "AccessDeniedException": InvalidKeyState,
    "AuthenticationFailedException": KeyStoreInvalidState,
    "InvalidUriPathException": KeyStoreInvalidState,
    "UnsupportedOperationException": KeyStoreInvalidState,
}
OPENING = {
    **dict.fromkeys(CREATING, InvalidKeyState),
    "InvalidCiphertextException": InvalidCiphertext,
}
SEALING = dict.fromkeys(CREATING, InvalidKeyState)


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_its_meaning(room: Any, name: str) -> None:
    """For who creates a key, encrypts or decrypts; what only the proxy can mend is worth another try."""
    sealed = room.client.seal(room.asked(), b"x", AAD)
    secret = "s3cret text of the proxy"
    body = json.dumps({"errorName": name, "errorMessage": secret}).encode()
    room.proxy.says = (int(REFUSALS[name].status), body)
    calls: list[tuple[dict[str, Any], Callable[[], object]]] = [
        (CREATING, lambda: room.client.check_key(room.asked())),
        (SEALING, lambda: room.client.seal(room.asked(), b"x", AAD)),
        (OPENING, lambda: room.client.open(room.asked(), sealed, AAD)),
    ]
    for table, call in calls:
        with pytest.raises(KeysteadError) as told:
            call()
        assert type(told.value) is table.get(name, CustodyUnavailable)
        assert secret not in str(told.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, InvalidKeyState),
        (403, InvalidKeyState),
        (404, InvalidKeyState),
        *(
            (status, CustodyUnavailable)
            for status in (201, 204, 302, 400, 405, 418, 429, 500, 501, 502, 503, 504)
        ),
    ],
)
def test_a_refusal_without_a_name_counts_by_its_status(
    room: Any, status: int, kind: type[KeysteadError]
) -> None:
    """A load balancer knows nothing of the API; a name that does not go with its status counts for nothing."""
    for body in (b"", b"<html>", b'{"errorName": 5}', b'{"errorName": "InvalidCiphertextException2"}', b"["):
        room.proxy.says = (status, b"" if status == 204 else body)
        with pytest.raises(kind):
            room.another().seal(room.asked(), b"x", AAD)
    room.proxy.says = (500, b'{"errorName": "KeyNotFoundException"}')
    with pytest.raises(CustodyUnavailable):
        room.another().seal(room.asked(), b"x", AAD)


SPOILT: list[dict[str, Any]] = [
    {"ciphertext": b64encode(b"longer than it was").decode()},
    {"ciphertext": "not base64!"},
    {"ciphertext": None},
    {"initializationVector": b64encode(bytes(13)).decode()},
    {"initializationVector": ""},
    {"authenticationTag": b64encode(bytes(12)).decode()},
    {"ciphertextMetadata": b64encode(bytes(21)).decode()},
    {"ciphertextDataIntegrityValue": b64encode(bytes(32)).decode()},
    {"ciphertextDataIntegrityValue": ""},
    {"ciphertextDataIntegrityValue": 5},
]


@pytest.mark.parametrize("change", SPOILT, ids=str)
def test_an_answer_that_is_not_right_is_none(room: Any, change: dict[str, Any]) -> None:
    """Lengths are checked and the integrity value is computed: a blob that nobody can open must not get out."""
    room.proxy.spoils = lambda given: given.update(change)
    with pytest.raises(CustodyUnavailable, match="something that the XKS API does not have"):
        room.client.seal(room.asked(), b"x", AAD)


def test_a_proxy_may_leave_the_integrity_value_out(room: Any) -> None:
    """Older ones do not know it."""
    room.proxy.spoils = lambda given: given.pop("ciphertextDataIntegrityValue", None)
    sealed = room.client.seal(room.asked(), b"x", AAD)
    assert room.client.open(room.asked(), sealed, AAD) == b"x"
    room.proxy.spoils = lambda given: given.update(plaintext=b64encode(b"xx").decode())
    with pytest.raises(CustodyUnavailable):
        room.client.open(room.asked(), sealed, AAD)


def test_the_integrity_value_is_the_specifications() -> None:
    """XKS, "Appendix C": its example."""
    made = integrity_value(
        b"project=nile,department=marketing",
        b"key_version=1",
        bytes.fromhex("1ccae5470f39700254779031"),
        bytes.fromhex("821c642b5b71783367deaf18"),
        bytes.fromhex("bc1c4dda7707d6812447c5955e99b261"),
    )
    assert made.hex() == "a8703f2260bd8791ec2d15ea0b23e65a0631eedcf2a13a65cc82db3f47cf5ec7"


@given(
    st.one_of(
        st.tuples(st.integers(200, 599), st.binary(max_size=200)),
        st.tuples(
            st.sampled_from([200, 400, 401, 403, 404, 429, 500, 501, 503]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.text(max_size=8)
                | st.sampled_from(list(REFUSALS)),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(
                            [
                                "ciphertext",
                                "initializationVector",
                                "authenticationTag",
                                "plaintext",
                                "errorName",
                            ]
                        )
                        | st.text(max_size=4),
                        inner,
                        max_size=5,
                    )
                ),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
        ),
    )
)
@example((200, b"[" * 5000))
@example((200, b'{"plaintext": "\xff"}'))
@example((200, b'{"plaintext": "\\ud800"}'))
@example((200, b'{"plaintext": ' + b"9" * 5000 + b"}"))
def test_whatever_a_proxy_says_is_a_right_answer_or_a_known_error(
    shared_room: Any, said: tuple[int, bytes]
) -> None:
    """Nothing that it says is a bug of ours, and none of its words come back in an error."""
    shared_room.proxy.says = said
    client = shared_room.another()
    sealed = bytes((12, 0)) + bytes(12) + bytes(16) + b"x"
    calls: list[Callable[[], object]] = [
        lambda: client.seal(shared_room.asked(), b"x", AAD),
        lambda: client.open(shared_room.asked(), sealed, AAD),
        lambda: client.check_key(shared_room.asked()),
    ]
    for call in calls:
        try:
            call()
        except KNOWN as error:
            assert (error.__cause__, error.__context__) == (None, None)  # noqa: PT017 - it need not fail
    assert shared_room.diagnose(client) in {"", *(row.problem.value for row in REFUSALS.values())}


def test_a_proxy_that_fails_again_and_again_is_left_alone(room: Any) -> None:
    """Then calls fail at once, without asking it; when it is back, one probe finds out. The operator is told."""
    clock = TurnedClock()
    clock.time = SystemClock.now()
    client = room.another(clock=clock)
    room.proxy.says = (503, b"")
    for _ in range(FAILURES):
        with pytest.raises(CustodyUnavailable, match="no answer from its key manager"):
            client.seal(room.asked(), b"x", AAD)
    assert room.told == [("cks-0123456789abcdef0", "open")]
    room.proxy.says = None
    with pytest.raises(CustodyUnavailable, match="has not answered several times"):
        client.seal(room.asked(), b"x", AAD)
    assert room.proxy.requests == []
    client.seal(room.asked(id="cks-another"), b"x", AAD)  # another key store is another matter
    clock.time += 2
    client.seal(room.asked(), b"x", AAD)
    assert room.told[1:] == [("cks-0123456789abcdef0", "closed")]


def test_a_refusal_is_an_answer(room: Any) -> None:
    """A proxy that refuses works: whose key was revoked does not stop the others' keys."""
    room.proxy.disabled.add("orders")
    room.proxy.keys["others"] = bytes(32)
    for _ in range(2 * FAILURES):
        with pytest.raises(InvalidKeyState, match="not enabled"):
            room.client.seal(room.asked(), b"x", AAD)
    assert room.client.seal(room.asked("others"), b"x", AAD)


def test_a_health_check_goes_through_whatever_was(room: Any) -> None:
    """Somebody is mending things: a good answer lets everybody in at once."""
    room.proxy.says = (500, b"")
    for _ in range(FAILURES):
        with pytest.raises(CustodyUnavailable):
            room.client.seal(room.asked(), b"x", AAD)
    assert room.diagnose() == "XKS_PROXY_INVALID_RESPONSE"
    room.proxy.says = None
    assert room.diagnose() == ""
    assert room.client.seal(room.asked(), b"x", AAD)


def test_a_bug_of_ours_leaves_the_breaker_usable(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends a probe, it has ended."""
    clock = TurnedClock()
    clock.time = SystemClock.now()
    client = room.another(clock=clock)
    with monkeypatch.context() as patch:
        patch.setattr("keystead.custody.xks.client.Outer", None)
        for _ in range(FAILURES):
            with pytest.raises(TypeError):
                client.seal(room.asked(), b"x", AAD)
    clock.time += 2
    assert client.seal(room.asked(), b"x", AAD)


@pytest.mark.parametrize(
    ("managers", "problem"),
    [
        (["ACTIVE"], ""),
        (["UNAVAILABLE", "DEGRADED"], ""),
        (["UNAVAILABLE", "UNAVAILABLE"], "XKS_PROXY_NOT_REACHABLE"),
        ([], "XKS_PROXY_INVALID_RESPONSE"),
        (["ACTIVE"] * 11, "XKS_PROXY_INVALID_RESPONSE"),
        (["FINE"], "XKS_PROXY_INVALID_RESPONSE"),
    ],
)
def test_health_is_that_of_the_key_managers(room: Any, managers: list[str], problem: str) -> None:
    """One that can serve is enough."""
    room.proxy.managers = managers
    assert room.diagnose() == problem


def test_each_thing_that_is_wrong_with_a_proxy_has_its_name(room: Any) -> None:
    """AWS's ConnectionErrorCode tells the operator where to look."""
    assert room.diagnose(secret="x" * 43) == "INVALID_CREDENTIALS"
    assert room.diagnose(access_key_id="A" * 20) == "INVALID_CREDENTIALS"
    assert room.diagnose(path="/other/kms/xks/v1") == "XKS_PROXY_INVALID_CONFIGURATION"
    assert room.diagnose(endpoint="https://127.0.0.1") == "XKS_PROXY_INVALID_TLS_CONFIGURATION"
    assert room.diagnose(endpoint="https://nobody.invalid") == "XKS_PROXY_NOT_REACHABLE"
    assert room.diagnose(endpoint="https://localhost:1") == "XKS_PROXY_NOT_REACHABLE"
    room.proxy.spoils = lambda given: given.update(xksProxyFleetSize=0)
    assert room.diagnose() == "XKS_PROXY_INVALID_RESPONSE"
    room.proxy.spoils = lambda given: given.pop("ekmVendor")
    assert room.diagnose() == "XKS_PROXY_INVALID_RESPONSE"
    room.proxy.says = (403, b"")
    assert room.diagnose() == "XKS_PROXY_ACCESS_DENIED"
    room.proxy.says = None
    room.proxy.delay = 0.3
    assert room.diagnose(room.another(seconds=0.1)) == "XKS_PROXY_TIMED_OUT"
    room.proxy.stop()
    assert room.diagnose() == "XKS_PROXY_NOT_REACHABLE"


def test_many_threads_share_one_client(room: Any) -> None:
    """Eight at once, each with its own plaintexts; no answer goes to another."""

    def work(number: int) -> None:
        for turn in range(20):
            text = f"{number} {turn}".encode()
            sealed = room.client.seal(room.asked(), text, AAD)
            assert room.client.open(room.asked(), sealed, AAD) == text

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(8)]:
            done.result()
    assert room.proxy.connections <= 8


def test_connections_to_the_oldest_of_many_proxies_are_let_go(room: Any) -> None:
    """So their number is bounded; the oldest simply connects anew."""
    room.client.seal(room.asked(), b"x", AAD)
    for number in range(MOST_PROXIES):
        with pytest.raises(CustodyUnavailable):
            room.client.seal(room.asked(endpoint="https://localhost:1", id=f"cks-{number}"), b"x", AAD)
    assert room.client.seal(room.asked(), b"x", AAD)
    assert room.proxy.connections == 2


def test_no_secret_is_shown(room: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log, an error or a repr: neither plaintext nor the credential."""
    caplog.set_level(logging.DEBUG)
    canary = b"canary plaintext"
    room.client.seal(room.asked(), canary, AAD)
    room.proxy.says = (200, canary)
    with pytest.raises(CustodyUnavailable) as told:
        room.client.seal(room.asked(), canary, AAD)
    shown = f"{told.value!r} {room.asked()!r} {caplog.text}"
    assert "canary" not in shown
    assert room.proxy.secret not in shown
