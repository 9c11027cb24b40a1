"""The control plane: health, metrics and administration, on a port of its own.

    GET  /healthz   200 while this process answers
    GET  /readyz    200 while every process can do its work, else 503 and which cannot, and why; and what is wrong
                    though all can
    GET  /metrics   Prometheus text
    GET  /version
    POST /add-checkpoint   this installation as a witness of others' logs (`keystead.fronts.witness`), if it is one
    POST /v1/...    the native API (`keystead.fronts.native`), signed

If this process dies, cryptographic operations go on. It has a gate of its own, with its own audit log, which
lives on one thread (`Office`): administration is rare, and waits its turn there, while health and metrics
answer from the loop and touch neither store nor keys.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from typing_extensions import override

from keystead.core.errors import AuditUnavailable, KeysteadError, StoreUnavailable, TooLarge
from keystead.core.ports import Random
from keystead.core.query import ReaderStatus
from keystead.core.witness import WitnessStatus
from keystead.fronts.front import Asked, Front
from keystead.fronts.witness import LATEST, TARGET, WitnessFront
from keystead.jobs.issuers import Issuers
from keystead.jobs.ledger import Bookkeeper
from keystead.jobs.links import Links
from keystead.jobs.runner import Runner
from keystead.jobs.witnesses import Witnesses
from keystead.observe.log import Log
from keystead.observe.metrics import (
    OUTCOME_OF,
    Cell,
    Outcome,
    Reason,
    Slots,
    State,
    render,
    render_disks,
    render_reader,
    render_witnesses,
)
from keystead.server.health import Health, Signs, Tell
from keystead.server.processes import EX_OK, HEARTBEAT_SECONDS
from keystead.server.space import Space
from keystead.service.action import Mode
from keystead.service.gate import Answer, Gate, InternalError
from keystead.service.workingset import NotLoaded

BODY_BYTES: Final = 1_048_576  # a revision may hold a million (`keystead.service.actions.declared`)
TEND_SECONDS: Final = 0.25
SPACE_SECONDS: Final = 2.0  # between two looks at the disks
STALLED_SECONDS: Final = 10.0  # without housekeeping, until the office is said to be held up
MOST_TRIES: Final = 8
SLOW_THREADS: Final = 2  # for requests that wait for somebody else
PIN_SECONDS: Final = (
    10.0  # between two looks what the audit logs have: a start misses what is older than that
)
WITNESS_SECONDS: Final = 1.0  # between two looks whether a witness is to be asked
BUSY_SECONDS: Final = 30.0  # how long a request may wait for the office

T = TypeVar("T")

Reply = tuple[int, bytes, bytes]
"""The status, body and header lines of an answer."""

At = Callable[[Callable[[], Reply | None]], Reply | None]
"""Has something done on the office's thread, and waits for it."""


@dataclass(frozen=True, slots=True)
class Slow:
    """A request whose answer takes long: not for the office's thread (`Office.perform`)."""

    asked: Asked
    request: str


@dataclass(slots=True)
class Posted:
    """A request to the native API (`keystead.fronts.front.Inquiry`)."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    secure: bool


class Office:
    """The control plane's own gate, on one thread; every method runs there."""

    def __init__(
        self,
        *,
        gate: Gate,
        front: Front,
        runner: Runner,
        random: Random,
        slots: Slots,
        slot: int,
        log: Log,
        close: Callable[[], None],
        links: Links | None = None,
        issuers: Issuers | None = None,
        bookkeeper: Bookkeeper | None = None,
        pin: Callable[[], None] | None = None,
        reader: Callable[[], ReaderStatus] | None = None,
        witness: WitnessFront | None = None,
        witnesses: Witnesses | None = None,
        now: Callable[[], float] = time.monotonic,
        on_health: Tell | None = None,
    ) -> None:
        self.witness = witness  # of others' logs
        self.witnesses = witnesses  # of this installation's logs
        self.reader = reader  # how the process fares that answers questions about the audit
        self.links = links  # runs on a thread of its own, as
        self.issuers = issuers
        self.bookkeeper = bookkeeper
        self.pin = pin  # notes what the audit logs have, for the next start; on a thread of its own as well
        self._gate = gate
        self._front = front
        self._runner = runner
        self._random = random
        self._health = Health(slots, slot, gate, now=now, tell=on_health)
        self.now = now
        self.tended = now()  # when the office's thread last came to its housekeeping
        self._slots = slots
        self._cells = slots.cells(slot)
        self._log = log
        self._close = close

    def answer(self, posted: Posted) -> Reply | Slow:
        """What answers a request."""
        request = self._request()
        try:
            # A credential that was revoked elsewhere is not known here any more.
            self._gate.working.catch_up()
            asked = self._loaded(lambda: self._front.read(posted, request))
            self._loaded(lambda: self._gate.introduce(asked.caller))
        except KeysteadError as error:
            return self._refused(posted, request, error)
        except Exception as fault:  # noqa: BLE001 - a bug must be answered, and its text stays here
            return self._refused(posted, request, self._fault(fault, request))
        if self._gate.action(asked.command).mode is Mode.SLOW:
            return Slow(asked, request)
        return self._written(asked, request, lambda: self._gate.ask(asked.caller, asked.command))

    def perform(self, slow: Slow, at: At) -> Reply:
        """What answers a slow request. For any thread but the office's, where only the record is made."""
        for tries in count(1):
            answer = self._gate.perform(slow.asked.caller, slow.asked.command)
            reply = at(partial(self._settled, slow, answer, tries == MOST_TRIES))
            if reply is not None:
                return reply
        raise AssertionError  # there is no last number

    def _settled(self, slow: Slow, answer: Answer, last: bool) -> Reply | None:  # noqa: FBT001 - for `partial`
        """The reply, once it is on record; None if it may not leave, because what it rests on has changed."""
        try:
            self._gate.record(answer)
            if self._gate.settle([answer]):
                if not last:
                    return None
                raise StoreUnavailable("What this request needs keeps changing: try again later.")
        except KeysteadError as error:
            return self._failed(slow.asked.operation, slow.request, error)
        return self._written(slow.asked, slow.request, lambda: answer)

    def _written(self, asked: Asked, request: str, ask: Callable[[], Answer]) -> Reply:
        """The answer in the protocol's form, or what went wrong."""
        try:
            answer = ask()
            if self._gate.action(asked.command).mode is Mode.WRITE:
                self._health.changed(answer.error)
            body = asked.write(answer.outcome())
        except KeysteadError as error:
            return self._failed(asked.operation, request, error)
        except Exception as fault:  # noqa: BLE001 - as above
            return self._failed(asked.operation, request, self._fault(fault, request))
        self._cells[self._slots.request_cell(asked.operation)] += 1
        return 200, body, self._front.head(request, body)

    def refuse(self, posted: Posted, error: KeysteadError) -> Reply:
        """Record and answer a request that could not be taken."""
        return self._refused(posted, self._request(), error)

    def busy(self) -> Reply:
        """What is said when the office does not come to a request in time. The one method for any thread."""
        error = StoreUnavailable(
            f"No answer within {BUSY_SECONDS:.0f} seconds. Look whether it was done before you try again."
        )
        status, body = self._front.write_error(error, "")
        return status, body, self._front.head("", body)

    def tend(self) -> None:
        """Housekeeping, a few times a second."""
        self._gate.tend()
        self._health.declare()
        self.tended = self.now()

    def run_jobs(self) -> None:
        """Do what is due."""
        self._runner.run_once()

    def close(self) -> None:
        """Sign a last checkpoint and let go."""
        self._close()

    def _loaded(self, read: Callable[[], T]) -> T:
        """What ``read`` returns, once the working set holds what it needs."""
        for _ in range(MOST_TRIES):
            try:
                return read()
            except NotLoaded as missing:
                self._gate.working.admit(self._gate.working.load(missing.wanted))
        raise StoreUnavailable("What this request needs keeps changing: try again later.")

    def _request(self) -> str:
        return f"ctl-{self._random(12).hex()}"

    def _fault(self, fault: BaseException, request: str) -> InternalError:
        """Tell the operator of a bug; its text stays here."""
        self._cells[Cell.FAULTS] += 1
        self._log.fault("a request met a bug", fault, request=request)
        return InternalError(type(fault).__name__)

    def _refused(self, posted: Posted, request: str, error: KeysteadError) -> Reply:
        try:
            entry = self._front.describe(posted, request)
            self._gate.settle([self._loaded(lambda: self._gate.refuse(entry, error, patient=True))])
        except KeysteadError as unavailable:
            error = unavailable
        return self._failed("Unknown", request, error)

    def _failed(self, operation: str, request: str, error: KeysteadError) -> Reply:
        if isinstance(error, InternalError) and error.__cause__ is not None:  # a bug in an action
            self._fault(error.__cause__, request)
            error.__cause__ = None
        if isinstance(error, AuditUnavailable):
            self._cells[Cell.AUDIT_FAILURES] += 1
            self._health.declare()
        outcome = Outcome.INTERNAL if isinstance(error, InternalError) else OUTCOME_OF[error.kind]
        self._cells[self._slots.request_cell(operation) + outcome] += 1
        status, body = self._front.write_error(error, request)
        return status, body, self._front.head(request, body)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's SIGTERM is `run`'s to handle."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    make_office: Callable[[], Office],
    sock: socket.socket,
    *,
    slots: Slots,
    slot: int,
    version: str,
    jobs_seconds: float,
    log: Log,
    space: Space | None = None,
) -> int:
    """Serve the control plane on a bound socket until SIGTERM; returns the exit code."""
    return asyncio.run(_run(make_office, sock, slots, slot, version, jobs_seconds, log, space or Space([])))


async def _run(
    make_office: Callable[[], Office],
    sock: socket.socket,
    slots: Slots,
    slot: int,
    version: str,
    jobs_seconds: float,
    log: Log,
    space: Space,
) -> int:
    loop = asyncio.get_running_loop()
    # uvicorn sends head and body one after the other, and the second would wait 40 ms for the client's word that it has
    # the first. Connections have what their listener has.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = ThreadPoolExecutor(1, thread_name_prefix="office")
    office = await loop.run_in_executor(thread, make_office)
    outlook = Outlook(office, slots, slot, Signs(slots, now=office.now), space)
    config = uvicorn.Config(
        _application(office, thread, outlook, version),
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=1000,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    server = _Server(config)
    loop.add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)

    async def every(seconds: float, work: Callable[[], object], where: ThreadPoolExecutor = thread) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await loop.run_in_executor(where, work)
            except Exception as fault:  # noqa: BLE001 - housekeeping must go on
                log.fault("the control plane's housekeeping met a bug", fault)

    async def beat() -> None:
        while True:
            slots.beat(slot)
            outlook.signs.look()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    tasks = [
        asyncio.create_task(beat()),
        asyncio.create_task(every(TEND_SECONDS, office.tend)),
        asyncio.create_task(every(jobs_seconds, office.run_jobs)),
        # A thread of its own: a disk that hangs would hold up the office.
        asyncio.create_task(
            every(SPACE_SECONDS, space.look, ThreadPoolExecutor(1, thread_name_prefix="space"))
        ),
    ]

    def at(work: Callable[[], T]) -> T:
        return thread.submit(work).result()

    for name, job in (
        ("links", office.links),
        ("issuers", office.issuers),
        ("bookkeeper", office.bookkeeper),
    ):
        if job is not None:
            own = ThreadPoolExecutor(1, thread_name_prefix=name)
            tasks.append(asyncio.create_task(every(jobs_seconds, partial(job.run_once, at), own)))
    if office.pin is not None:
        own = ThreadPoolExecutor(1, thread_name_prefix="pins")
        tasks.append(asyncio.create_task(every(PIN_SECONDS, office.pin, own)))
    if office.witnesses is not None:
        own = ThreadPoolExecutor(1, thread_name_prefix="witnesses")
        tasks.append(asyncio.create_task(every(WITNESS_SECONDS, office.witnesses.run_once, own)))
    await server.serve(sockets=[sock])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.run_in_executor(thread, office.close)
    return EX_OK


def _application(
    office: Office,
    thread: ThreadPoolExecutor,
    outlook: "Outlook",
    version: str,
) -> Starlette:
    slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow")

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        ready, body = outlook.readiness()
        return Response(msgspec.json.encode(body), 200 if ready else 503, media_type="application/json")

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(outlook.measured(version), media_type="text/plain; version=0.0.4")

    async def show_version(_: Request) -> Response:
        return Response(msgspec.json.encode({"version": version}), media_type="application/json")

    async def native(request: Request) -> Response:
        target = request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        posted = Posted(
            method=request.method.encode(),
            target=target,
            headers=_headers(request),
            body=b"",
            peer=request.client.host if request.client else "",
            secure=request.url.scheme == "https",
        )
        work: Callable[[], Reply | Slow] = partial(office.answer, posted)
        try:
            posted.body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except TooLarge as error:
            work = partial(office.refuse, posted, error)
        try:
            status, answer, lines = await asyncio.wait_for(
                _answered(office, work, thread, slow), BUSY_SECONDS
            )
        except TimeoutError:
            status, answer, lines = office.busy()
        headers = dict(line.split(": ", 1) for line in lines.decode().splitlines())
        return Response(answer, status, headers)

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/version", show_version),
        Route("/v1/{operation}", native, methods=["POST"]),
    ]
    if office.witness is not None:
        routes += _witnessing(office.witness)
    return Starlette(routes=routes)


def _witnessing(witness: WitnessFront) -> list[Route]:
    """The operations of a witness, on a thread of their own: they wait for the disk."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="witness")

    async def add_checkpoint(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except TooLarge as error:
            return PlainTextResponse(f"{error}\n", 413)
        loop = asyncio.get_running_loop()
        status, kind, text = await loop.run_in_executor(thread, witness.answer, body)
        return Response(text, status, {"content-type": kind})

    async def latest(request: Request) -> Response:
        loop = asyncio.get_running_loop()
        digest = request.path_params["digest"]
        status, kind, text = await loop.run_in_executor(thread, witness.latest, digest)
        return Response(text, status, {"content-type": kind})

    return [Route(TARGET, add_checkpoint, methods=["POST"]), Route(LATEST, latest)]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be seen of all processes, disks and helpers from here."""

    office: Office
    slots: Slots
    slot: int  # the control process's own
    signs: Signs
    space: Space

    def health(self, slot: int) -> tuple[State, Reason]:
        """Whether a process can do its work."""
        state, reason = self.signs.health(slot)
        held_up = self.office.now() - self.office.tended > STALLED_SECONDS
        if slot == self.slot and state is State.GREEN and held_up:
            return State.YELLOW, Reason.NOT_ANSWERING
        return state, reason

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether every process can do its work, what each says of itself, and what is wrong though all can."""
        states = {name: self.health(slot) for slot, name in enumerate(self.slots.processes)}
        ready = all(state in (State.GREEN, State.YELLOW) for state, _ in states.values())
        warnings = [
            f"{name}: {reason.label}" for name, (state, reason) in states.items() if state is State.YELLOW
        ]
        body: dict[str, object] = {
            "ready": ready,
            "processes": {
                name: {"state": state.name.lower(), "reason": reason.label}
                for name, (state, reason) in states.items()
            },
        }
        # No key waits for what follows: what it says is a warning.
        if rooms := self.space.rooms():
            body["disks"] = {
                path: {"state": "yellow" if room.trouble else "green", **room._asdict()}
                for path, room in rooms.items()
            }
            warnings += [f"{path}: {room.trouble}" for path, room in rooms.items() if room.trouble]
        if self.office.reader is not None:
            body["reader"] = reader = _told_of(self.office.reader())
            warnings += [f"reader: {reader['trouble']}"] if reader["trouble"] else []
        if self.office.witnesses is not None:
            body["witnesses"] = told = _told_of_witnesses(self.office.witnesses.statuses())
            warnings += [f"witness {name}: {one['trouble']}" for name, one in told.items() if one["trouble"]]
        return ready, {**body, "warnings": warnings}

    def measured(self, version: str) -> str:
        """All metrics that there are."""
        text = render(self.slots, version, self.health)
        rooms = self.space.rooms().items()
        text += render_disks({path: room.free_bytes for path, room in rooms if room.free_bytes is not None})
        if self.office.reader is not None:
            text += render_reader(self.office.reader())
        if self.office.witnesses is not None:
            text += render_witnesses(self.office.witnesses.statuses())
        return text


def _told_of_witnesses(statuses: Mapping[str, WitnessStatus]) -> dict[str, dict[str, object]]:
    """What is said of the witnesses: green, or yellow with what is wrong."""
    return {
        name: {
            "state": "yellow" if status.trouble else "green",
            "trouble": status.trouble,
            "lag_entries": sum(status.lag.values()),
        }
        for name, status in statuses.items()
    }


def _told_of(status: ReaderStatus) -> dict[str, object]:
    """What is said of the reader: green, or yellow with what is wrong."""
    wrong = [
        status.trouble,
        *(f"the sink {name}: {sink.trouble}" for name, sink in status.sinks.items() if sink.trouble),
    ]
    told = "; ".join(filter(None, wrong))
    fine = status.running and not told
    return {
        "state": "green" if fine else "yellow",
        "trouble": told or ("" if status.running else "the reader is not running"),
        "lag_entries": status.lag_entries,
        "lag_seconds": status.lag_seconds,
        "sinks": {
            name: {"lag_entries": sink.lag_entries, "lag_seconds": sink.lag_seconds, "trouble": sink.trouble}
            for name, sink in status.sinks.items()
        },
    }


async def _answered(
    office: Office, work: Callable[[], Reply | Slow], thread: ThreadPoolExecutor, slow: ThreadPoolExecutor
) -> Reply:
    """What the office answers; what is slow keeps no other request from it."""
    loop = asyncio.get_running_loop()
    reply = await loop.run_in_executor(thread, work)
    if not isinstance(reply, Slow):
        return reply
    return await loop.run_in_executor(slow, office.perform, reply, lambda step: thread.submit(step).result())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise TooLarge(f"A request body may be {BODY_BYTES} bytes.")
    return bytes(body)


def _headers(request: Request) -> dict[bytes, bytes]:
    """Headers by lower-case name. Values of a name that came twice are joined: no signature survives that."""
    headers: dict[bytes, bytes] = {}
    for name, value in request.scope["headers"]:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers
