"""The load generator: one thread, non-blocking sockets, an epoll.

It shares the machine with the server that it measures, so it must cost little: requests are bytes made
beforehand, and of an answer only the status and the length are looked at. Its own cost is reported beside
the server's.

    load = closed(address, requests, connections=64, seconds=2.0)
    load.rate, load.percentile(99), load.errors

The last good answer of every connection is kept with its request (`Load.samples`), so that what came back
under load can be checked for real afterwards.
"""

import ctypes
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, NamedTuple, Self

Address = tuple[str, int]

OK: Final = 200
DRAIN_SECONDS: Final = 1.0  # after the end of an open loop, for answers that are still owed
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0  # for requests that prepare a measurement

_END_OF_HEAD: Final = b"\r\n\r\n"
_GOOD: Final = b"HTTP/1.1 200"
_RECEIVE: Final = 16_384
_PR_SET_TIMERSLACK: Final = 29  # from <sys/prctl.h>


class Request(NamedTuple):
    """A request as it is sent, and what its answer is checked with."""

    wire: bytes
    expected: bytes = b""


class Sample(NamedTuple):
    """A request and the body that answered it."""

    request: Request
    body: bytes


@dataclass(slots=True)
class Load:
    """What one load came to. Latencies are in seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the generator itself
    latencies: list[float] = field(default_factory=list)  # of good answers
    errors: Counter[str] = field(default_factory=Counter)  # by status, or by what happened to the connection
    unanswered: int = 0  # requests of an open loop that fell due and got no answer in time
    samples: list[Sample] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Good answers."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that so many percent of good answers did not exceed (nearest rank), 0 without any."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        rank = -(-len(ordered) * percent // 100)
        return ordered[max(0, int(rank) - 1)]


class _Connection:
    """One connection with at most one request under way."""

    __slots__ = ("body", "given", "pieces", "receive", "request", "send", "since", "sock")

    def __init__(self, address: Address) -> None:
        self.sock = sock = socket.create_connection(address, timeout=CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.receive = sock.recv
        self.send = sock.send
        self.since = 0.0  # when the request was sent, or was due
        self.request = Request(b"")  # under way
        self.pieces = b""  # of an answer that has not come whole
        self.given = Request(b"")  # the last one that was answered well, with its answer
        self.body = b""

    def ask(self, request: Request, since: float) -> None:
        self.request = request
        self.since = since
        wire = request.wire
        sent = self.send(wire)
        if sent < len(wire):
            # The socket's buffer is larger than any request, and empty: nothing is under way on it.
            raise ConnectionError("a request did not fit into the socket's buffer")

    def take(self) -> str | None:
        """Receive; None while the answer is not whole, "" for a good one, else what was wrong."""
        data = self.receive(_RECEIVE)
        if not data:
            raise ConnectionResetError("closed")
        if self.pieces:
            data = self.pieces + data
            self.pieces = b""
        end = data.find(_END_OF_HEAD) + 4
        if end == 3:  # there is none
            self.pieces = data
            return None
        # Both spellings are looked for, because lowering the whole head costs more.
        at = data.find(b"ontent-length: ", 0, end)
        if at < 0:
            at = data.find(b"ontent-Length: ", 0, end)
        if at < 0:
            raise ConnectionError("an answer without a length")
        missing = end + int(data[at + 15 : data.find(b"\r", at)]) - len(data)
        if missing > 0:
            self.pieces = data
            return None
        if missing < 0:
            raise ConnectionError("more was answered than was asked")
        if data.startswith(_GOOD):
            self.given = self.request
            self.body = data
            return ""
        return data[9:12].decode("latin-1")

    def sample(self) -> Sample:
        return Sample(self.given, self.body.partition(_END_OF_HEAD)[2])


class _Pool:
    """The connections of one load, by file descriptor, and the epoll that watches them."""

    def __init__(self, address: Address, connections: int) -> None:
        self._address = address
        self._of: dict[int, _Connection] = {}
        self.epoll = select.epoll(connections)
        for _ in range(connections):
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._of.values():
            connection.sock.close()
        self.epoll.close()

    @property
    def by_descriptor(self) -> dict[int, _Connection]:
        """All connections that are open; the same dictionary for good."""
        return self._of

    def replace(self, descriptor: int) -> _Connection:
        """Open a new connection instead of one that ended."""
        old = self._of.pop(descriptor)
        self.epoll.unregister(descriptor)
        old.sock.close()
        return self._open()

    def samples(self) -> list[Sample]:
        """The last good answer of each connection."""
        return [connection.sample() for connection in self._of.values() if connection.body]

    def _open(self) -> _Connection:
        connection = _Connection(self._address)
        descriptor = connection.sock.fileno()
        self._of[descriptor] = connection
        self.epoll.register(descriptor, select.EPOLLIN)
        return connection


def closed(address: Address, requests: Sequence[Request], *, connections: int, seconds: float) -> Load:
    """Keep every connection busy for so long."""
    load = Load()
    note, errors = load.latencies.append, load.errors
    clock = time.perf_counter
    following = cycle(requests).__next__
    with _Pool(address, connections) as pool:
        of, poll = pool.by_descriptor, pool.epoll.poll
        cpu, start = time.process_time(), clock()
        end, now = start + seconds, start
        free = list(of.values())
        while now < end:
            # (1) Whoever is free asks. Not each as soon as its answer is taken: on a shared core every
            # request wakes the server, which would then serve the same few connections again and again.
            for connection in free:
                try:
                    connection.ask(following(), clock())
                except OSError as error:
                    errors[_name(error)] += 1
                    pool.replace(connection.sock.fileno()).ask(following(), clock())
            free.clear()
            # (2) All answers that have come are taken.
            for descriptor, _ in poll(end - now):
                connection = of[descriptor]
                try:
                    fault = connection.take()
                except OSError as error:
                    fault = _name(error)
                    connection = pool.replace(descriptor)
                if fault is None:
                    continue
                if fault:
                    errors[fault] += 1
                else:
                    note(clock() - connection.since)
                free.append(connection)
            now = clock()
        load.seconds = now - start
        load.cpu_seconds = time.process_time() - cpu
        load.samples = pool.samples()
    return load


def open_loop(
    address: Address, requests: Sequence[Request], *, rate: float, connections: int, seconds: float
) -> Load:
    """Ask so many times a second, evenly, whatever becomes of the answers.

    A request that is due while all connections are busy waits for one, and its waiting counts.
    """
    load = Load()
    note, errors = load.latencies.append, load.errors
    clock = time.perf_counter
    following = cycle(requests).__next__
    total = max(1, int(rate * seconds))
    _fine_timers()
    with _Pool(address, connections) as pool:
        of, epoll = pool.by_descriptor, pool.epoll
        idle = deque(of.values())
        cpu, start = time.process_time(), clock()
        last = start + seconds + DRAIN_SECONDS
        asked = answered = 0
        due, now = start, start
        while answered < total and now < last:
            # (1) Ask what is due, as long as there is a connection to ask on.
            while due <= now and asked < total and idle:
                idle.popleft().ask(following(), due)
                asked += 1
                due = start + asked / rate
            # (2) Wait for an answer, or until the next one is due.
            wake = due if asked < total and idle else last
            # An epoll's own timeout counts milliseconds, a select's microseconds.
            select.select([epoll], [], [], max(0.0, wake - clock()))
            for descriptor, _ in epoll.poll(0):
                connection = of[descriptor]
                try:
                    fault = connection.take()
                except OSError as error:
                    fault = _name(error)
                    connection = pool.replace(descriptor)
                if fault is None:
                    continue
                answered += 1
                if fault:
                    errors[fault] += 1
                else:
                    note(clock() - connection.since)
                idle.append(connection)
            now = clock()
        load.seconds = now - start
        load.cpu_seconds = time.process_time() - cpu
        load.unanswered = total - answered
        load.samples = pool.samples()
    return load


def ask(address: Address, requests: Sequence[Request]) -> Iterator[tuple[int, bytes]]:
    """Ask one after the other on one connection; the status and body of each answer."""
    with closing(socket.create_connection(address, timeout=ANSWER_SECONDS)) as sock:
        for request in requests:
            sock.sendall(request.wire)
            with sock.makefile("rb") as reader:
                status = int(reader.readline().split(b" ")[1])
                length = 0
                while (line := reader.readline().rstrip()) != b"":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                body = reader.read(length)
            yield status, body


def _name(error: OSError) -> str:
    return type(error).__name__ if type(error) is not OSError else f"OSError {error.errno}"


def _fine_timers() -> None:
    """Let waits of this thread end within a microsecond, instead of the 50 that Linux allows itself."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0)
