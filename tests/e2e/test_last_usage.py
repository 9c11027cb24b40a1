"""GetKeyLastUsage with a real client on two workers: exact, at once, whatever was killed or restarted."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def running(own_service: Any) -> Iterator[Any]:
    """A service of the test's own."""
    own_service.start()
    yield own_service
    own_service.stop()


def wires(service: Any, stack: ExitStack) -> list[Any]:
    """Connections to both workers."""
    found: list[Any] = []
    open_ones: list[str] = []
    for _ in range(60):
        found.append(stack.enter_context(service.wire()))
        threading.Event().wait(0.05)
        open_ones = re.findall(
            r"keystead_connections_open\{process=\"w\d\"\} (\d+)", service.look("/metrics").body.decode()
        )
        if len(found) >= 4 and len(open_ones) == 2 and "0" not in open_ones:
            return found
    raise AssertionError(open_ones)


def used(kms: Any, key: str) -> dict[str, Any]:
    """What AWS's client reads."""
    return dict(kms.get_key_last_usage(KeyId=key)["KeyLastUsage"])


def test_a_use_is_told_as_aws_does(running: Any) -> None:
    """An unused key has an empty element; a use is told by the ids that the client was given."""
    kms = running.client()
    key = kms.create_key()["KeyMetadata"]
    unused = kms.get_key_last_usage(KeyId=key["KeyId"])
    assert unused["KeyLastUsage"] == {}
    assert unused["KeyId"] == key["Arn"]
    assert unused["KeyCreationDate"] == unused["TrackingStartDate"] == key["CreationDate"]
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    told = used(kms, key["Arn"])
    assert told["Operation"] == "Encrypt"
    assert told["KmsRequestId"] == sealed["ResponseMetadata"]["RequestId"]
    assert told["Timestamp"] >= key["CreationDate"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", told["CloudTrailEventId"])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    moved = kms.re_encrypt(CiphertextBlob=sealed["CiphertextBlob"], DestinationKeyId=other)
    request = moved["ResponseMetadata"]["RequestId"]
    for one in (key["KeyId"], other):
        assert (used(kms, one)["Operation"], used(kms, one)["KmsRequestId"]) == ("ReEncrypt", request)


def test_a_use_through_one_worker_is_seen_through_the_other_at_once(running: Any) -> None:
    """Whoever is asked, on whatever connection, tells of the use that was answered last."""
    key = running.call("CreateKey")["KeyMetadata"]["KeyId"]
    sign = running.signer()
    with ExitStack() as stack:
        connections = wires(running, stack)
        for turn in range(60):
            wire = connections[turn % len(connections)]
            request = wire.ask(sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})).request
            for other in connections:
                found = other.ask(sign("GetKeyLastUsage", {"KeyId": key}))
                assert found.status == 200
                assert found.value["KeyLastUsage"]["KmsRequestId"] == request


def test_it_survives_kill_minus_9_of_a_worker_and_of_all(running: Any) -> None:
    """What was answered just before is told afterwards, whether an index had it or not."""
    key = running.call("CreateKey")["KeyMetadata"]["KeyId"]
    for turn in range(3):
        kms = running.client()
        sealed = kms.encrypt(KeyId=key, Plaintext=b"x")
        request = sealed["ResponseMetadata"]["RequestId"]
        if turn == 0:
            for name in ("w0", "w1"):
                os.kill(running.child(name), signal.SIGKILL)
            running.until(running.ready)
        elif turn == 1:
            running.kill()
            running.start()
        else:
            running.stop()
            running.start()
        assert used(running.client(), key)["KmsRequestId"] == request


def test_fewer_workers_and_lost_or_damaged_indexes_change_nothing(running: Any) -> None:
    """The log of a worker that is no more counts; an index that is gone is made again from the log."""
    keys = [running.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(8)]
    sign = running.signer()
    expected = {}
    with ExitStack() as stack:
        for wire in wires(running, stack):
            for key in keys:
                expected[key] = wire.ask(sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})).request
    running.stop()
    running.verify()
    logs = {record["request"] for record in running.records() if record.get("request") in expected.values()}
    assert logs == set(expected.values())
    (running.audit / "w0" / "usage.db").unlink()
    (running.audit / "w1" / "usage.db").write_bytes(b"damaged")
    running.workers = 1
    running.start()
    for _ in range(2):
        kms = running.client()
        assert {key: used(kms, key)["KmsRequestId"] for key in keys} == expected
        running.until(lambda: (running.audit / "w1" / "usage.db").stat().st_size > 7)
    (running.audit / "w0" / "usage.db").unlink()
    assert {key: used(running.client(), key)["KmsRequestId"] for key in keys} == expected
    running.call("Encrypt", {"KeyId": keys[0], "Plaintext": "eA=="})
    running.until((running.audit / "w0" / "usage.db").exists)
