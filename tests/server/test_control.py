"""The control plane: its application over ASGI and, once, the whole process's work over sockets."""

import asyncio
import contextlib
import functools
import http.client
import io
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from starlette.requests import ClientDisconnect
from typing_extensions import override

from keystead.core.errors import StoreUnavailable
from keystead.core.ports import Transaction
from keystead.core.query import ReaderStatus, SinkStatus
from keystead.core.witness import WitnessStatus
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.front import Asked, Inquiry
from keystead.fronts.native.front import ROWS, Native
from keystead.jobs.runner import Runner
from keystead.observe.log import Log
from keystead.observe.metrics import Cell, Outcome, Reason, Slots, State
from keystead.server import control
from keystead.server.control import BODY_BYTES, Office, Outlook, run
from keystead.server.health import SILENT_SECONDS, Signs
from keystead.server.space import LOW_BYTES, Space
from keystead.service.action import Action, Mode
from keystead.service.actions import ACTIONS
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.gate import Gate
from keystead.service.results import Result
from keystead.service.workingset import NotLoaded, Wanted
from keystead.store.memory import Memory
from keystead.testing.installation import EVERYTHING, REGION, Installation

SECRET_TEXT = "somebody's secret"
HOST = "127.0.0.1"


class FullStore(Memory):
    """A store whose disk may have no room for changes."""

    full = False

    @override
    @contextlib.contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        if self.full:
            raise StoreUnavailable("the disk is full")
        with super().transact(request) as tx:
            yield tx


class Bench:
    """An office with its application; one worker's row of counters stands beside its own."""

    def __init__(
        self, front: type[Native] = Native, store: Memory | None = None, house: Installation | None = None
    ) -> None:
        self.house = house or Installation(store)
        self.slots = Slots(["w0", "control"], [*ROWS, "Unknown"])
        self.said = io.StringIO()
        self.log = Log(self.said, "json", self.house.clock.now)
        self.health: list[tuple[State, Reason, str]] = []
        self.jobs_looked = 0
        self.closed = False
        self.front = front
        self.thread = ThreadPoolExecutor(1)
        self.office = self.make_office()
        self.free = 1 << 40
        self.flags = 0
        self.space = Space([Path("/data")], self._statvfs)
        signs = Signs(self.slots, now=self.house.clock.monotonic)
        outlook = Outlook(self.office, self.slots, 1, signs, self.space)
        self.application = control._application(self.office, self.thread, outlook, "1.2.3")

    def make_office(self) -> Office:
        """What the control process makes on its office's thread."""
        self.gate = self.house.gate("control")
        return Office(
            gate=self.gate,
            front=self.front(
                credentials=Credentials(self.gate, self.house.clock),
                clock=self.house.clock,
                help_url="https://help",
            ),
            runner=Runner(
                gate=self.gate,
                look=self._look,
                caller=lambda request, _region, _account: self.house.caller(request),
                random=self.house.random,
                log=self.log,
            ),
            random=self.house.random,
            slots=self.slots,
            slot=1,
            log=self.log,
            close=self._close,
            now=self.house.clock.monotonic,
            on_health=lambda *said: self.health.append(said),
        )

    def signed(
        self,
        target: str,
        body: bytes,
        *,
        service: str = "keystead",
        who: tuple[str, str] | None = None,
        host: str = HOST,
    ) -> dict[str, str]:
        """The headers of a signed request."""
        access_key_id, secret = who or self.house.admin
        return sign(
            "POST",
            host,
            target,
            {"content-type": "application/json"},
            body,
            credentials=Credential(access_key_id, Secret(secret.encode())),
            region=REGION,
            service=service,
            now=self.house.clock.now(),
        )

    def client(self) -> httpx.AsyncClient:
        """A client of the application."""
        transport = httpx.ASGITransport(self.application, client=("192.0.2.1", 5000))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}")

    async def get(self, path: str) -> httpx.Response:
        """GET a page."""
        async with self.client() as client:
            return await client.get(path)

    async def post(self, operation: str, members: Any = None, **how: Any) -> httpx.Response:
        """A signed request to the native API."""
        body = json.dumps(members or {}).encode()
        target = f"/v1/{operation}"
        async with self.client() as client:
            return await client.post(target, content=body, headers=self.signed(target, body, **how))

    def records(self, request: str) -> list[tuple[str, str, str]]:
        """Action, stage and outcome of the durable records of a request."""
        found = [entry for entry in self.house.entries("control") if entry.request == request]
        return [(entry.action, entry.stage, entry.outcome) for entry in found]

    def count(self, operation: str, outcome: Outcome) -> int:
        """A counter of requests."""
        return self.slots.read(1, self.slots.request_cell(operation) + outcome)

    def _look(self, _: int) -> list[Any]:
        self.jobs_looked += 1
        return []

    def _close(self) -> None:
        self.closed = True
        self.house.logs["control"].close()

    def _statvfs(self, _: Path) -> os.statvfs_result:
        if self.free < 0:
            raise OSError(5, "Input/output error")
        return os.statvfs_result((4096, 4096, 1 << 48, self.free, self.free, 0, 0, 0, self.flags, 255))


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on a loop of its own."""

    @functools.wraps(test)
    def with_loop(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))  # type: ignore[arg-type]  # tests are coroutines

    return with_loop


class Committing(Installation):
    """An installation whose gates write commitments to sources."""

    @override
    def gate(self, slot: str = "w0", **more: Any) -> Gate:
        return super().gate(slot, **{**more, "redactable": frozenset({"source"})})


@on_loop
async def test_what_asks_the_control_plane_is_committed_to_as_well() -> None:
    """A refusal, a change, and a slow question."""
    bench = Bench(house=Committing())
    assert (await bench.get("/v1/ListPrincipals")).status_code == 405
    async with bench.client() as client:
        assert (await client.post("/v1/ListPrincipals", content=b"{}")).status_code == 403
    assert (await bench.post("CreatePrincipal", {"name": "alice"})).status_code == 200
    assert (await bench.post("QueryAudit")).status_code == 200
    with bench.house.store.view() as view:
        kept = {each.commitment: each.value for each in view.subjects("source", "", 10)}
    assert len(kept) == 1
    entries = bench.house.entries("control")
    assert [entry.outcome for entry in entries] == ["NotAuthenticated", "", "Success", "Success"]
    assert {entry.source for entry in entries} == set(kept)


# --- health and metrics ------------------------------------------------------------------------------------


@on_loop
async def test_healthz_answers_while_the_process_does() -> None:
    """It says nothing but that."""
    answer = await Bench().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@on_loop
async def test_readyz_says_which_process_cannot_work_and_why() -> None:
    """It is 200 only when every process has said that it can work."""
    bench = Bench()
    answer = await bench.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["processes"]["w0"] == {"state": "unknown", "reason": "none"}

    for slot in range(2):
        bench.slots.declare(slot, State.GREEN)
    answer = await bench.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)

    bench.slots.declare(0, State.RED, Reason.AUDIT_UNAVAILABLE)
    answer = await bench.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "processes": {
            "w0": {"state": "red", "reason": "audit-unavailable"},
            "control": {"state": "green", "reason": "none"},
        },
        "warnings": [],
    }


@on_loop
async def test_a_warning_leaves_the_service_ready_and_is_told() -> None:
    """A process that works with a warning is ready; the body and the metric say what is wrong."""
    bench = Bench()
    bench.slots.declare(0, State.YELLOW, Reason.AUDIT_DEGRADED)
    bench.slots.declare(1, State.GREEN)
    answer = await bench.get("/readyz")
    assert (answer.status_code, answer.json()["warnings"]) == (200, ["w0: audit-degraded"])
    assert answer.json()["processes"]["w0"] == {"state": "yellow", "reason": "audit-degraded"}
    page = (await bench.get("/metrics")).text
    assert 'keystead_process_health{process="w0",reason="audit-degraded"} 3' in page.splitlines()


@on_loop
async def test_a_process_without_a_sign_of_life_is_not_ready() -> None:
    """What it last said of itself does not count, until it moves again."""
    bench = Bench()
    for slot in range(2):
        bench.slots.declare(slot, State.GREEN)
    bench.house.clock.time += SILENT_SECONDS + 0.1
    bench.slots.beat(1)
    answer = await bench.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["processes"] == {
        "w0": {"state": "red", "reason": "not-answering"},
        "control": {"state": "green", "reason": "none"},
    }
    page = (await bench.get("/metrics")).text
    assert 'keystead_process_health{process="w0",reason="not-answering"} 2' in page.splitlines()
    bench.slots.beat(0)
    assert (await bench.get("/readyz")).status_code == 200


@on_loop
async def test_an_office_that_is_held_up_is_a_warning() -> None:
    """Administration waits while the office's thread does; keys are used meanwhile."""
    bench = Bench()
    bench.slots.declare(0, State.GREEN)
    bench.office.tend()
    bench.house.clock.time += control.STALLED_SECONDS + 0.1
    for slot in range(2):
        bench.slots.beat(slot)
    answer = await bench.get("/readyz")
    assert (answer.status_code, answer.json()["warnings"]) == (200, ["control: not-answering"])
    bench.office.tend()
    assert (await bench.get("/readyz")).json()["warnings"] == []


@pytest.mark.parametrize(
    ("free", "flags", "trouble"),
    [
        (1 << 40, 0, ""),
        (LOW_BYTES // 4096, 0, ""),
        (LOW_BYTES // 4096 - 1, 0, "less than 256 MiB are free"),
        (1 << 40, os.ST_RDONLY, "the file system is read-only"),
        (-1, 0, "it cannot be looked at: Input/output error"),
    ],
)
@on_loop
async def test_readyz_warns_of_a_disk_that_fills_up(free: int, flags: int, trouble: str) -> None:
    """There is a line for each file system, and its room among the metrics."""
    bench = Bench()
    bench.free, bench.flags = free, flags
    assert "disks" not in (await bench.get("/readyz")).json()
    bench.space.look()
    answer = (await bench.get("/readyz")).json()
    room = {
        "state": "yellow" if trouble else "green",
        "free_bytes": None if free < 0 else free * 4096,
        "trouble": trouble,
    }
    assert answer["disks"] == {"/data": room}
    assert answer["warnings"] == ([f"/data: {trouble}"] if trouble else [])
    samples = re.findall(
        r'^keystead_disk_free_bytes\{path="/data"\} (\d+)$', (await bench.get("/metrics")).text, re.MULTILINE
    )
    assert samples == ([] if free < 0 else [str(free * 4096)])


@on_loop
async def test_readyz_warns_of_the_readers_and_the_witnesses_troubles() -> None:
    """What nobody's keys wait for, and what an operator has to know all the same."""
    bench = Bench()
    siem = SinkStatus(lag_entries=5, lag_seconds=61.0, trouble="refused")
    status = ReaderStatus(running=True, sinks={"siem": siem})
    bench.office.reader = lambda: status
    bench.office.witnesses = Mock(statuses=lambda: {"far": WitnessStatus({"w0": 3}, trouble="unreachable")})
    answer = (await bench.get("/readyz")).json()
    assert answer["reader"]["state"] == "yellow"
    assert answer["reader"]["sinks"]["siem"] == {
        "lag_entries": 5,
        "lag_seconds": 61.0,
        "trouble": "refused",
    }
    assert answer["witnesses"]["far"] == {"state": "yellow", "trouble": "unreachable", "lag_entries": 3}
    assert answer["warnings"] == ["reader: the sink siem: refused", "witness far: unreachable"]

    status = ReaderStatus()
    bench.office.witnesses = None
    assert (await bench.get("/readyz")).json()["warnings"] == ["reader: the reader is not running"]
    status = ReaderStatus(running=True)
    assert (await bench.get("/readyz")).json()["warnings"] == []


@on_loop
async def test_a_store_that_takes_no_change_is_a_warning() -> None:
    """It is counted and told, and taken back by the next change that is made."""
    store = FullStore()
    bench = Bench(store=store)
    store.full = True
    answer = await bench.post("CreatePrincipal", {"name": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (503, "StoreUnavailable")
    assert bench.slots.health(1) == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    assert bench.slots.read(1, Cell.STORE_REFUSALS) == 1
    store.full = False
    assert (await bench.post("CreatePrincipal", {"name": "somebody"})).status_code == 200
    assert bench.slots.health(1) == (State.GREEN, Reason.NONE)
    assert [said[:2] for said in bench.health] == [
        (State.YELLOW, Reason.STORE_REFUSES_CHANGES),
        (State.GREEN, Reason.NONE),
    ]


@on_loop
async def test_metrics_are_prometheus_text() -> None:
    """What all processes count comes out in one page."""
    bench = Bench()
    await bench.post("ListPrincipals")
    answer = await bench.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'keystead_requests_total{operation="ListPrincipals",outcome="ok"} 1' in answer.text.splitlines()
    assert (await bench.get("/version")).json() == {"version": "1.2.3"}


# --- administration ----------------------------------------------------------------------------------------


@on_loop
async def test_an_administrator_makes_an_access_key() -> None:
    """The answer has the secret; the log has intent and outcome under the request id, and no secret."""
    bench = Bench()
    bench.house.user("alice")
    answer = await bench.post("CreateAccessKey", {"name": "alice"})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert bench.records(answer.headers["x-request-id"]) == [
        ("keystead:CreateAccessKey", "intent", ""),
        ("keystead:CreateAccessKey", "outcome", "Success"),
    ]
    assert answer.json()["secret_access_key"] not in str(bench.house.entries("control"))
    assert {entry.source for entry in bench.house.entries("control")} == {"192.0.2.1"}
    assert bench.count("CreateAccessKey", Outcome.OK) == 1


@on_loop
async def test_a_refusal_of_the_gate_is_recorded_and_counted() -> None:
    """Once as intent and once as what became of it."""
    bench = Bench()
    answer = await bench.post("CreatePrincipal", {"name": "x"}, who=bench.house.user("nobody"))

    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")
    assert [outcome for *_, outcome in bench.records(answer.headers["x-request-id"])] == [
        "",
        "AccessDenied",
    ]
    assert bench.count("CreatePrincipal", Outcome.DENIED) == 1


@pytest.mark.parametrize(
    ("how", "operation", "status", "code"),
    [
        ({"service": "kms"}, "ListPrincipals", 403, "InvalidSignature"),
        ({"who": ("AKIANOBODY", "x")}, "ListPrincipals", 403, "UnknownCredentials"),
        ({}, "Nonsense", 404, "NotFound"),
        ({}, "SetAccessKeyStatus", 400, "InvalidRequest"),
    ],
)
@on_loop
async def test_what_is_refused_at_the_door_is_recorded(
    how: dict[str, Any], operation: str, status: int, code: str
) -> None:
    """A wrong scope, a stranger, an operation that does not exist, a body that does not fit."""
    bench = Bench()
    answer = await bench.post(operation, **how)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    ((action, stage, outcome),) = bench.records(answer.headers["x-request-id"])
    assert (action, stage, outcome) == (f"keystead:{operation}" if operation in ROWS else "", "", code)
    assert sum(bench.count("Unknown", each) for each in Outcome) == 1


@on_loop
async def test_an_unsigned_request_is_refused() -> None:
    """And so is one whose header came twice, since no signature survives that."""
    bench = Bench()
    async with bench.client() as client:
        unsigned = await client.post("/v1/ListPrincipals", content=b"{}")
        headers = bench.signed("/v1/ListPrincipals", b"{}")
        again = [*headers.items(), ("x-amz-date", headers["x-amz-date"])]
        twice = await client.post("/v1/ListPrincipals", content=b"{}", headers=again)

    assert (unsigned.status_code, unsigned.json()["code"]) == (403, "NotAuthenticated")
    assert twice.status_code == 403
    assert bench.records(unsigned.headers["x-request-id"]) == [
        ("keystead:ListPrincipals", "", "NotAuthenticated")
    ]


@on_loop
async def test_a_query_is_no_part_of_an_operation() -> None:
    """It is signed with the rest, and then it is not what the API has."""
    bench = Bench()
    target = "/v1/ListPrincipals?limit=1"
    async with bench.client() as client:
        answer = await client.post(target, content=b"{}", headers=bench.signed(target, b"{}"))
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


@on_loop
async def test_a_revoked_access_key_is_refused_at_once() -> None:
    """Also when another process revoked it."""
    bench = Bench()
    alice = bench.house.user("alice", EVERYTHING)
    assert (await bench.post("ListPrincipals", who=alice)).status_code == 200
    other = bench.house.gate("w0")
    other.ask(bench.house.caller("r"), i.SetAccessKeyStatus(alice[0], False)).outcome()

    answer = await bench.post("ListPrincipals", who=alice)
    assert (answer.status_code, answer.json()["code"]) == (403, "UnknownCredentials")


@on_loop
async def test_a_body_has_a_bound() -> None:
    """What is larger is not read to its end, and recorded as refused."""
    bench = Bench()

    async def endless() -> Any:
        while True:
            yield b" " * 65_536

    async with bench.client() as client:
        answer = await client.post("/v1/ListPrincipals", content=endless())
        body = b" " * (BODY_BYTES - 2) + b"{}"
        largest = await client.post(
            "/v1/ListPrincipals", content=body, headers=bench.signed("/v1/ListPrincipals", body)
        )

    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")
    assert bench.records(answer.headers["x-request-id"]) == [("keystead:ListPrincipals", "", "TooLarge")]
    assert largest.status_code == 200


@on_loop
async def test_a_client_that_leaves_in_the_middle_harms_nobody() -> None:
    """Nothing is asked of the office for it."""
    bench = Bench()
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/ListPrincipals",
        "raw_path": b"/v1/ListPrincipals",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    try:
        await bench.application(scope, receive, send)
    except ClientDisconnect:
        pytest.fail("the web framework would write a traceback")
    assert bench.house.entries("control") == []


@on_loop
async def test_other_addresses_are_not_there() -> None:
    """Only the pages and operations listed exist, each with its method."""
    bench = Bench()
    for path in ("/", "/v1/", "/v1/a/b", "/docs"):
        assert (await bench.get(path)).status_code == 404, path
    assert (await bench.get("/v1/ListPrincipals")).status_code == 405


# --- what goes wrong ---------------------------------------------------------------------------------------


@on_loop
async def test_without_a_log_nothing_is_changed_or_told() -> None:
    """A change, a read and a refusal are all 503 while nothing can be recorded; then all is well again."""
    bench = Bench()
    assert (await bench.post("ListPrincipals")).status_code == 200
    bench.house.audit.stop_disk()
    answers = [
        await bench.post("CreatePrincipal", {"name": "x"}),
        await bench.post("ListPrincipals"),
        await bench.post("ListPrincipals", who=("AKIANOBODY", "x")),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(503, "AuditUnavailable")] * 3
    bench.office.tend()
    assert bench.slots.health(1) == (State.RED, Reason.AUDIT_UNAVAILABLE)

    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.office.tend()
    assert bench.slots.health(1) == (State.GREEN, Reason.NONE)
    names = {p["name"] for p in (await bench.post("ListPrincipals")).json()["principals"]}
    assert names == {"admin", "jobs"}


class BrokenReading(Native):
    """A front with a bug in its parser."""

    @override
    def read(self, inquiry: Inquiry, request: str) -> Asked:
        raise ValueError(SECRET_TEXT)


class BrokenAnswers(Native):
    """A front that cannot write its answers."""

    @override
    def read(self, inquiry: Inquiry, request: str) -> Asked:
        asked = super().read(inquiry, request)

        def broken(_: Result) -> bytes:
            raise ValueError(SECRET_TEXT)

        return Asked(asked.operation, asked.caller, asked.command, broken)


@pytest.mark.parametrize(
    ("front", "operation"), [(BrokenReading, "Unknown"), (BrokenAnswers, "ListPrincipals")]
)
@on_loop
async def test_a_bug_is_a_silent_500(front: type[Native], operation: str) -> None:
    """It is counted, the operator is told where it is, and its text is nowhere."""
    bench = Bench(front)
    answer = await bench.post("ListPrincipals")

    told = {"code": "Internal", "request": answer.headers["x-request-id"]}
    assert (answer.status_code, answer.json()) == (500, told)
    assert bench.count(operation, Outcome.INTERNAL) == 1
    assert bench.slots.read(1, Cell.FAULTS) == 1
    told = json.loads(bench.said.getvalue())
    assert (told["error"], told["file"]) == ("ValueError", __file__)
    assert SECRET_TEXT not in bench.said.getvalue() + str(bench.house.entries("control"))
    if front is BrokenReading:
        assert bench.records(answer.headers["x-request-id"]) == [("keystead:ListPrincipals", "", "Internal")]


@on_loop
async def test_a_bug_in_an_action_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gate met is told to the operator like any other bug, and to nobody else."""
    bench = Bench()

    def broken(_command: object, _desk: object) -> Result:
        raise ValueError(SECRET_TEXT)

    listing: type[Command] = i.ListPrincipals
    monkeypatch.setitem(ACTIONS, listing, Action("keystead:ListPrincipals", Mode.READ, broken))
    answer = await bench.post("ListPrincipals")

    told = {"code": "Internal", "request": answer.headers["x-request-id"]}
    assert (answer.status_code, answer.json()) == (500, told)
    assert bench.slots.read(1, Cell.FAULTS) == 1
    told = json.loads(bench.said.getvalue())
    assert (told["error"], told["file"]) == ("ValueError", __file__)
    assert SECRET_TEXT not in bench.said.getvalue() + str(bench.house.entries("control"))


class NeverLoaded(Native):
    """A front that always lacks something."""

    @override
    def read(self, inquiry: Inquiry, request: str) -> Asked:
        raise NotLoaded(Wanted("access-key", "AKIA"))


@on_loop
async def test_what_can_never_be_loaded_is_given_up() -> None:
    """The office is not lost to one request."""
    answer = await Bench(NeverLoaded).post("ListPrincipals")
    assert (answer.status_code, answer.json()["code"]) == (503, StoreUnavailable.code)


@on_loop
async def test_an_office_that_does_not_come_to_a_request_is_said_to_be_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client is told to look before it tries again, and what waited is not begun any more."""
    bench = Bench()
    monkeypatch.setattr(control, "BUSY_SECONDS", 0.05)
    leave = threading.Event()
    bench.thread.submit(leave.wait)
    answer = await bench.post("CreatePrincipal", {"name": "x"})
    leave.set()

    assert (answer.status_code, answer.json()["code"]) == (503, StoreUnavailable.code)
    assert "Look whether it was done" in answer.json()["detail"]
    await asyncio.get_running_loop().run_in_executor(bench.thread, int)  # all before it is done
    assert bench.house.entries("control") == []


# --- the whole process -------------------------------------------------------------------------------------


def test_the_process_serves_does_its_jobs_and_stops_in_order() -> None:
    """It beats, answers on its socket, looks for due work, survives bugs in it, and closes at SIGTERM."""
    bench = Bench()
    bench.house.logs["control"].close()
    sock = socket.create_server((HOST, 0))
    port = sock.getsockname()[1]
    seen: dict[str, Any] = {}
    broken = ValueError(SECRET_TEXT)

    def ask(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=20)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def client() -> None:
        try:
            seen["health"] = ask("GET", "/healthz")
            body = b"{}"
            headers = bench.signed("/v1/ListPrincipals", body, host=f"{HOST}:{port}")
            seen["listed"] = ask("POST", "/v1/ListPrincipals", body, headers)
            deadline = time.monotonic() + 20
            while (bench.jobs_looked < 2 or bench.slots.health(1)[0] is not State.GREEN) and (
                time.monotonic() < deadline
            ):
                time.sleep(0.01)
            seen["beats"] = bench.slots.pulse(1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def make_office() -> Office:
        office = bench.make_office()
        look = bench._look

        def sometimes(limit: int) -> list[Any]:
            if bench.jobs_looked == 0:
                bench.jobs_looked += 1
                raise broken
            return look(limit)

        office._runner._look = sometimes
        return office

    thread = threading.Thread(target=client)
    thread.start()
    code = run(
        make_office, sock, slots=bench.slots, slot=1, version="1.2.3", jobs_seconds=0.05, log=bench.log
    )
    thread.join()

    assert code == 0
    assert seen["health"][:2] == (200, b"ok\n")
    assert seen["listed"][0] == 200
    assert "server" not in seen["listed"][2]
    assert seen["beats"] > 0
    assert bench.jobs_looked >= 2
    assert [json.loads(line)["error"] for line in bench.said.getvalue().splitlines()] == ["ValueError"]
    assert bench.closed
