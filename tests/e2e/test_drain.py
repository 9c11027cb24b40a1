"""Stopping in order, restarting a worker: what was asked is answered once, and what was answered stays."""

import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from typing import Any

import pytest
from typing_extensions import override

from keystead.audit.verify import verify

pytestmark = pytest.mark.e2e

CLIENTS = 6
PIPELINED = 8


class Client(threading.Thread):
    """Sends pipelines of uses and changes, each with a trace id, until the service ends the connection."""

    def __init__(self, service: Any, key: str) -> None:
        super().__init__()
        self.service = service
        self.key = key
        self.sign = service.signer()
        self.sent: list[str] = []
        self.answered: list[str] = []  # traces, in the order of the answers
        self.requests: list[str] = []
        self.closed = False  # the service said that it would close the connection
        self.faults: list[Any] = []

    @override
    def run(self) -> None:
        with self.service.wire() as wire:
            try:
                while True:
                    traces = [secrets.token_hex(16) for _ in range(PIPELINED)]
                    self.sent += traces
                    wire.send(b"".join(map(self.request, traces)))
                    for trace in traces:
                        reply = wire.reply()
                        if reply.error:
                            self.faults.append(reply)
                        self.answered.append(trace)
                        self.requests.append(reply.request)
                        self.closed = reply.headers.get("connection") == "close"
            except OSError:
                return

    def request(self, trace: str) -> bytes:
        """Mostly an Encrypt, now and then a change."""
        extra = {"traceparent": f"00-{trace}-{'1' * 16}-01"}
        if trace.startswith("0"):
            return bytes(self.sign("CreateKey", {"Description": trace}, extra=extra))
        return bytes(self.sign("Encrypt", {"KeyId": self.key, "Plaintext": "eA=="}, extra=extra))


@pytest.mark.parametrize("number", range(3))
def test_a_stop_under_load_answers_what_was_asked_and_nothing_twice(own_service: Any, number: int) -> None:
    """After SIGTERM all that was done was answered, in order and once; the last checkpoint covers it all."""
    service = own_service
    service.start()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    clients = [Client(service, key) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(random.uniform(0.3, 0.8))  # noqa: S311 - when to stop is no secret
    assert service.stop() == 0, service.said()
    for client in clients:
        client.join(30)
        assert not client.is_alive()
    # (1) Each connection: answers in order, without a gap, and its end announced by the last of them.
    for client in clients:
        assert not client.faults
        assert client.answered
        assert client.answered == client.sent[: len(client.answered)]
        assert client.closed
    # (2) The log: what was answered is in it, and what is in it was answered. Once.
    records = service.records()
    ends = Counter(r["request"] for r in records if r.get("request") and r.get("stage") != "intent")
    assert set(ends.values()) == {1}
    answered = {trace for client in clients for trace in client.answered}
    done = Counter(r["trace"] for r in records if r.get("trace") and r.get("stage") != "intent")
    assert set(done) == answered
    # A use whose answer was withheld, because what it rested on had changed, was used again and has two
    # records; a change is made once.
    changes = Counter(r["trace"] for r in records if r.get("trace") and r.get("stage") == "outcome")
    assert set(changes.values()) == {1}
    assert {request for client in clients for request in client.requests} <= set(ends)
    # (3) The checkpoints: nothing is left beyond them.
    service.verify()
    vkey = (service.data / "audit.vkey").read_text().strip()
    report = verify(service.audit, vkey)
    assert [(log.tail, log.torn) for log in report.logs] == [(0, 0)] * 3


def test_an_idle_service_stops_at_once_and_starts_as_it_was(own_service: Any) -> None:
    """Idle connections do not hold up a stop, and a start after it finds nothing to mend."""
    service = own_service
    service.start()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    with service.wire() as wire, service.control_wire() as other:
        assert wire.ask(service.signer()("ListKeys")).status == 200
        assert other.ask(service.signer(service="keystead")("ListPrincipals")).status == 200
        assert service.stop() == 0
        assert wire.ended()
    before = service.records()
    service.start()
    assert service.call("DescribeKey", {"KeyId": key})["KeyMetadata"]["KeyId"] == key
    assert service.stop() == 0
    after = service.records()
    assert [r["action"] for r in after if r not in before] == ["kms:DescribeKey"]


def test_a_killed_worker_is_replaced_and_whoever_connects_meanwhile_is_served(own_service: Any) -> None:
    """Connections that are made while a worker is down wait for the next one, and the others go on."""
    service = own_service
    service.start()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    request = service.signer()("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    for name in ("w0", "w1", "w0"):
        before = service.children()
        os.kill(service.child(name), signal.SIGKILL)
        wires = [service.wire() for _ in range(20)]
        for wire in wires:
            wire.send(request)
        assert [wire.reply().status for wire in wires] == [200] * 20
        for wire in wires:
            wire.close()
        service.until(lambda: len(service.children()) == 3 and service.ready())
        assert len(set(before) - set(service.children())) == 1
    restarts = [
        line for line in service.look("/metrics").body.decode().splitlines() if "restarts_total{" in line
    ]
    assert [int(line.split()[-1]) for line in restarts] == [2, 1, 0]
    assert service.stop() == 0
    service.verify()


def test_a_killed_control_process_stops_no_use_of_keys(own_service: Any) -> None:
    """The data plane goes on without the control plane, which comes back by itself."""
    service = own_service
    service.start()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    control = service.child("control")
    os.kill(control, signal.SIGKILL)
    service.until(lambda: control not in service.children())
    service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    service.until(service.ready)
    assert service.administer("ListPrincipals")["principals"]
    assert service.stop() == 0


def test_a_hanging_worker_is_noticed_killed_and_replaced(own_service: Any) -> None:
    """A worker that stops giving signs of life is killed after ten seconds, and its clients are served."""
    service = own_service
    service.start()
    worker = service.child("w1")
    os.kill(worker, signal.SIGSTOP)
    service.until(lambda: worker not in service.children(), 30)
    assert "gives no sign of life" in service.said()
    service.until(service.ready)
    for _ in range(10):
        service.call("ListKeys")
    assert service.stop() == 0
