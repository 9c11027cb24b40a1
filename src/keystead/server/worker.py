"""A worker: carries requests from the listener through a front to the gate, and the answers back.

Everything that arrived in one turn of the loop is settled together. `Worker.handle` runs hot commands at once
and puts their answers aside; when the turn has nothing else to do, `_settle` makes all their records durable
with one write and one sync, checks that nothing they rest on has changed, and only then writes them to their
connections. So a request costs one list append here, and no future, task, thread or queue.

Commands that ask the store run on a small pool of threads. A change goes round twice: its intent is settled
first, then the pool makes the change, then its outcome is settled, then it is answered.

    handle -> front.read -> gate.handle ----------------------------.
                         -> gate.intend -> _settle -> pool: perform -+-> _settle -> reply
                         ->                           pool: perform -'
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from functools import partial
from itertools import count
from typing import Final

from keystead.core.errors import (
    AuditUnavailable,
    InvalidRequest,
    KeysteadError,
    Kind,
    ShuttingDown,
    StoreUnavailable,
    Throttled,
    TooLarge,
)
from keystead.core.ports import Random
from keystead.fronts.front import Asked, Front, Inquiry
from keystead.observe.metrics import OUTCOME_OF, Cell, Outcome, Slots
from keystead.server.health import Health, Tell
from keystead.server.http import Problem, ProblemKind
from keystead.server.listener import Exchange
from keystead.service.action import Mode
from keystead.service.entry import Entry
from keystead.service.gate import Answer, Gate, InternalError
from keystead.service.workingset import Loaded, NotLoaded, Wanted

TEND_SECONDS: Final = 0.25
# Of one request: more means that what it needs changes faster than it can be loaded. ReEncrypt by grants has up to
# eleven loads (access key; of each key alias, key, version, grants, the account's grants), and as many again after a
# change.
MOST_TRIES: Final = 32
MOST_LOADING: Final = 1024  # different things that are being loaded, per worker
MOST_WAITING: Final = 256  # requests in the pool or on their way to it, per worker
# What waits for somebody else's server may be asked by anybody, so it never has all threads of the slow pool, nor all
# places of those who wait.
MOST_ABROAD: Final = 4  # at once, per worker
MOST_QUEUED: Final = 64  # that wait to be among them


class Waiting:
    """A request whose answer waits for the next settlement."""

    __slots__ = ("answer", "asked", "exchange", "intent", "request", "tries")

    def __init__(
        self,
        exchange: Exchange,
        request: str,
        asked: Asked | None,
        answer: Answer,
        *,
        intent: bool,
        tries: int,
    ) -> None:
        self.exchange = exchange
        self.request = request
        self.asked = asked  # None for a request that no front understood
        self.answer = answer
        self.intent = intent
        self.tries = tries


class Worker:
    """See the module; the listener's application (`keystead.server.listener.Application`).

    Made and used on the loop's own thread. The pools are the worker's from now on: one for what asks the store, one for
    slow cryptography and what waits for somebody else's server. ``choose`` tells which front's protocol a request is
    in. ``on_fault`` hears of bugs, each with the id of the request
    that met it, if it was one; ``on_health`` of every change of the worker's health.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        choose: Callable[[Inquiry], Front],
        pool: Executor,
        slow_pool: Executor,
        random: Random,
        slots: Slots,
        slot: int,
        on_fault: Callable[[BaseException, str], None],
        on_health: Tell | None = None,
    ) -> None:
        self._gate = gate
        self._choose = choose
        self._pool = pool
        self._slow_pool = slow_pool
        self._slots = slots
        self._cells = slots.cells(slot)
        self._on_fault = on_fault
        self._loop = asyncio.get_running_loop()
        self._health = Health(slots, slot, gate, now=self._loop.time, tell=on_health)
        self._waiting: list[Waiting] = []
        self._loading: dict[Wanted, list[Callable[[Loaded | KeysteadError], None]]] = {}
        self._pooled = 0
        self._abroad = 0
        self._queued: deque[Callable[[], None]] = deque()
        self._arrived: deque[Callable[[], None]] = deque()  # what the pool's threads have for the loop's
        self._closing = False
        prefix = random(10).hex()
        self._prefix = f"{prefix[:8]}-{prefix[8:12]}-{prefix[12:16]}-{prefix[16:20]}-"
        self._numbers = count(int.from_bytes(random(4), "big"))
        self._operations = {operation: slots.request_cell(operation) for operation in slots.operations}
        self._tending: asyncio.TimerHandle
        self._tend()

    # The listener's side.

    def handle(self, exchange: Exchange) -> None:
        """Take a request; it is answered when its record is durable."""
        self._attend(exchange, 0)

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Record and answer a request that the listener could not take."""
        error: KeysteadError = InvalidRequest(problem.text)
        if problem.kind in (ProblemKind.HEADERS_TOO_LARGE, ProblemKind.BODY_TOO_LARGE):
            error = TooLarge(problem.text)
        entry = self._choose(exchange).describe(exchange, self._request())
        self._refused(exchange, entry, error, 0)

    def close(self) -> None:
        """Settle what is left; the listener has drained.

        A change that is being made is waited for, so that its outcome is on record; one that has only been
        announced is not begun any more.
        """
        self._closing = True
        self._tending.cancel()
        self._settle()
        for pool in (self._pool, self._slow_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        self._arrive()
        self._settle()

    # One request.

    def _request(self) -> str:
        """A request id in the form that AWS gives them."""
        return self._prefix + "%012x" % next(self._numbers)  # noqa: UP031 - the fastest way to twelve hex digits

    def _attend(self, exchange: Exchange, tries: int) -> None:
        request = self._request()
        gate = self._gate
        try:
            asked = self._choose(exchange).read(exchange, request)
            mode = gate.action(asked.command).mode
            if mode is Mode.HOT:
                answer = gate.handle(asked.caller, asked.command)
                one = Waiting(exchange, request, asked, answer, intent=False, tries=tries)
                if answer.later is None:
                    self._wait(one)
                else:
                    self._put_off(one)
            elif self._closing:
                raise ShuttingDown(STOPPING)
            elif self._pooled >= MOST_WAITING:
                raise Throttled("Too many requests are waiting for the store: try again later.")
            elif mode is Mode.SLOW and len(self._queued) >= MOST_QUEUED:
                raise Throttled("Too many requests are waiting for others' servers: try again later.")
            elif mode is Mode.WRITE:
                answer = gate.intend(asked.caller, asked.command)
                self._pooled += 1
                self._wait(Waiting(exchange, request, asked, answer, intent=True, tries=tries))
            else:
                gate.introduce(asked.caller)
                self._pooled += 1
                self._perform(exchange, request, asked, tries)
        except NotLoaded as missing:
            self._load(missing.wanted, exchange, tries)
        except AuditUnavailable as error:
            self._reply_error(exchange, request, error)
        except KeysteadError as error:
            self._refused(exchange, self._choose(exchange).describe(exchange, request), error, tries)
        except Exception as error:  # noqa: BLE001 - a bug must be answered, and must not stop the worker
            self._on_fault(error, request)
            internal = InternalError(type(error).__name__)
            self._refused(exchange, self._choose(exchange).describe(exchange, request), internal, tries)

    def _refused(self, exchange: Exchange, entry: Entry, error: KeysteadError, tries: int) -> None:
        """Record a request that did not become a command, and answer it when that is durable."""
        patient = not self._closing and len(self._loading) < MOST_LOADING
        try:
            answer = self._gate.refuse(entry, error, patient=patient)
        except NotLoaded as missing:
            self._fetch(missing.wanted, lambda _: self._refused(exchange, entry, error, tries))
        except AuditUnavailable as unavailable:
            self._reply_error(exchange, entry.request, unavailable)
        else:
            if tries >= MOST_TRIES:
                answer.refs = []  # the last word: whatever changes now, it is not asked again
            self._wait(Waiting(exchange, entry.request, None, answer, intent=False, tries=tries))

    def _wait(self, waiting: Waiting) -> None:
        if not self._waiting:
            self._loop.call_soon(self._settle)
        self._waiting.append(waiting)

    # Settling.

    def _settle(self) -> None:
        """The end of a turn: records durable, nothing changed, and only then the answers."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        withheld: Collection[Answer]
        blind: KeysteadError | None = None
        try:
            withheld = set(self._gate.settle([one.answer for one in waiting]))
        except AuditUnavailable as error:
            self._cells[Cell.AUDIT_FAILURES] += 1
            self._health.declare()
            self._fail(waiting, error)
            return
        except KeysteadError as error:
            # All is on record, but whether what it rests on has changed cannot be seen. A change that is
            # done, or announced, rests on nothing.
            blind, withheld = error, {one.answer for one in waiting if one.answer.refs}
        except Exception as fault:  # noqa: BLE001 - a bug must be answered; nothing else may leave
            self._on_fault(fault, "")
            self._fail(waiting, InternalError(type(fault).__name__))
            return
        self._cells[Cell.AUDIT_COMMITS] += 1
        self._cells[Cell.AUDIT_ENTRIES] += len(waiting)
        if self._health.blind != (blind is not None):
            self._health.blind = blind is not None
            self._health.declare()
        for one in waiting:
            try:
                if withheld and one.answer in withheld:
                    if blind is not None:
                        self._reply_error(one.exchange, one.request, blind, one.asked)
                    else:
                        self._again(one.exchange, one.tries)
                elif one.intent:
                    self._go_on(one)
                else:
                    self._reply(one)
            except Exception as fault:  # noqa: BLE001 - a bug costs one request, not its neighbours
                self._on_fault(fault, one.request)
                with contextlib.suppress(RuntimeError):  # it was answered already
                    one.exchange.reply(500, b"")

    def _fail(self, waiting: list[Waiting], error: KeysteadError) -> None:
        """Answer a whole turn with one error; nothing that was announced is begun."""
        for one in waiting:
            self._pooled -= one.intent
            self._reply_error(one.exchange, one.request, error, one.asked)

    def _go_on(self, one: Waiting) -> None:
        """Make the change whose intent is on record now."""
        if self._closing or one.asked is None:
            self._pooled -= 1
            self._reply_error(one.exchange, one.request, ShuttingDown(STOPPING), one.asked)
        else:
            self._perform(one.exchange, one.request, one.asked, one.tries)

    def _reply(self, one: Waiting) -> None:
        error, asked = one.answer.error, one.asked
        if isinstance(error, InternalError) and error.__cause__ is not None:  # a bug in an action
            self._on_fault(error.__cause__, one.request)
            error.__cause__ = None
        if error is not None or asked is None:
            self._reply_error(one.exchange, one.request, error or InternalError("no answer"), asked)
            return
        try:
            body = asked.write(one.answer.outcome())
        except Exception as fault:  # noqa: BLE001 - a bug must be answered
            self._on_fault(fault, one.request)
            self._reply_error(one.exchange, one.request, InternalError(type(fault).__name__), asked)
            return
        self._cells[self._operations[asked.operation]] += 1
        one.exchange.reply(200, body, self._choose(one.exchange).head(one.request, body))

    def _reply_error(
        self, exchange: Exchange, request: str, error: KeysteadError, asked: Asked | None = None
    ) -> None:
        operation = UNKNOWN if asked is None else asked.operation
        outcome = Outcome.INTERNAL if isinstance(error, InternalError) else OUTCOME_OF[error.kind]
        self._cells[self._operations[operation] + outcome] += 1
        front = self._choose(exchange)
        status, body = front.write_error(error, request)
        exchange.reply(status, body, front.head(request, body) + _told(error))

    def _again(self, exchange: Exchange, tries: int) -> None:
        """Ask once more, because what the answer rested on has changed meanwhile."""
        if tries >= MOST_TRIES:
            error = StoreUnavailable("What this request needs keeps changing: try again later.")
            self._refused(exchange, self._choose(exchange).describe(exchange, self._request()), error, tries)
        else:
            self._attend(exchange, tries + 1)

    # What takes long.

    def _put_off(self, one: Waiting) -> None:
        """Have the slow part of a hot command done on another thread."""
        refusal: KeysteadError | None = None
        if self._closing:
            refusal = ShuttingDown(STOPPING)
        elif self._pooled >= MOST_WAITING:
            refusal = Throttled("Too many slow operations are under way: try again later.")
        if refusal is not None:
            self._gate.abandon(one.answer, refusal)
            self._wait(one)
            return
        self._pooled += 1

        def work() -> None:
            self._deliver(partial(done, self._gate.work(one.answer)))

        def done(go_on: Callable[[], None]) -> None:
            self._pooled -= 1
            try:
                go_on()
                if one.answer.later is None:
                    self._wait(one)
                else:
                    self._put_off(one)
            except NotLoaded as missing:  # forgotten meanwhile: once more from the beginning
                self._load(missing.wanted, one.exchange, one.tries)
            except KeysteadError as error:
                self._reply_error(one.exchange, one.request, error, one.asked)

        self._slow_pool.submit(work)

    # What needs the store.

    def _perform(self, exchange: Exchange, request: str, asked: Asked, tries: int) -> None:
        mode = self._gate.action(asked.command).mode
        slow = mode is Mode.SLOW

        def work() -> None:
            self._deliver(partial(done, self._gate.perform(asked.caller, asked.command)))

        def done(answer: Answer) -> None:
            self._pooled -= 1
            if slow:
                self._abroad -= 1
                self._send()
            elif mode is Mode.WRITE:
                self._health.changed(answer.error)
            try:
                self._gate.record(answer)
            except KeysteadError as error:
                self._reply_error(exchange, request, error, asked)
            else:
                self._wait(Waiting(exchange, request, asked, answer, intent=False, tries=tries))

        if slow:
            self._queued.append(work)
            self._send()
        else:
            self._pool.submit(work)

    def _send(self) -> None:
        """Have those done who wait for somebody else's server, a few at once."""
        while self._queued and self._abroad < MOST_ABROAD and not self._closing:
            self._abroad += 1
            self._slow_pool.submit(self._queued.popleft())

    def _load(self, wanted: Wanted, exchange: Exchange, tries: int) -> None:
        """Fill the working set on another thread, then ask again. One load serves all who wait for it."""
        refusal: KeysteadError | None = None
        if wanted in self._loading:
            pass
        elif self._closing:
            refusal = ShuttingDown(STOPPING)
        elif len(self._loading) >= MOST_LOADING:  # strangers with made-up access keys must not fill the pool
            refusal = Throttled("Too many requests are waiting for the store: try again later.")
        if refusal is not None:
            self._refused(
                exchange, self._choose(exchange).describe(exchange, self._request()), refusal, tries
            )
            return

        def then(loaded: Loaded | KeysteadError) -> None:
            if isinstance(loaded, KeysteadError):
                entry = self._choose(exchange).describe(exchange, self._request())
                self._refused(exchange, entry, loaded, tries)
            else:
                self._again(exchange, tries)

        self._fetch(wanted, then)

    def _fetch(self, wanted: Wanted, then: Callable[[Loaded | KeysteadError], None]) -> None:
        """Fill the working set on another thread. What is being loaded already is not loaded twice."""
        queue = self._loading.get(wanted)
        if queue is not None:
            queue.append(then)
            return
        self._loading[wanted] = [then]

        def work() -> None:
            try:
                loaded: Loaded | KeysteadError = self._gate.working.load(wanted)
            except KeysteadError as error:
                loaded = error
            except Exception as error:  # noqa: BLE001 - a bug must be answered
                self._on_fault(error, "")
                loaded = InternalError(type(error).__name__)
            self._deliver(partial(done, loaded))

        def done(loaded: Loaded | KeysteadError) -> None:
            if isinstance(loaded, Loaded):
                self._gate.working.admit(loaded)
            for go_on in self._loading.pop(wanted):
                go_on(loaded)

        self._pool.submit(work)

    def _deliver(self, news: Callable[[], None]) -> None:
        """Have something done on the loop's thread; called on the pool's."""
        self._arrived.append(news)
        self._loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        while self._arrived:
            self._arrived.popleft()()

    # Housekeeping.

    def _tend(self) -> None:
        try:
            self._gate.tend()
            if self._health.blind and not self._waiting:  # else the next settlement finds out
                self._gate.settle(())
                self._health.blind = False
        except KeysteadError:
            self._health.blind = True
        except Exception as error:  # noqa: BLE001 - housekeeping must go on
            self._on_fault(error, "")
        self._health.declare()
        self._tending = self._loop.call_later(TEND_SECONDS, self._tend)


def _told(error: KeysteadError) -> bytes:
    """Header lines that tell a program what to do about an error, whatever its protocol calls it.

    The kind decides whether trying again makes sense; where it does, a client that has no pace of its own is given one.
    """
    again = b"Retry-After: 1\r\n" if error.kind is Kind.UNAVAILABLE or isinstance(error, Throttled) else b""
    return b"X-Keystead-Error: %b; kind=%b\r\n%b" % (error.code.encode(), error.kind.encode(), again)


STOPPING: Final = "The server is stopping: try again, and another one will answer."

UNKNOWN: Final = "Unknown"
"""The operation that requests are counted under which no front understood."""
