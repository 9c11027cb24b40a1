"""Accepts connections, finds the requests in them, and writes the answers back in order.

The listener speaks keep-alive HTTP/1.1 (and 1.0) over TCP or TLS and knows nothing of keys. It gives
every request to its application as an `Exchange`; the application answers by `Exchange.reply`, at once or
later, in any order. What the listener promises in return:

* Answers of one connection leave in the order of its requests, each exactly once.
* A request that reached the application is answered, also while draining, unless its client left first
  or the drain deadline passed.
* A request that is malformed, oversized, slow or cut short reaches `Application.refuse`, never
  `Application.handle`, and ends its connection.
* Nothing grows without bound: not the head, the body, the pipeline, the unsent answers, nor the number
  of connections. Nothing waits without bound: see `Limits` for each deadline.

The cost of a request is what the design is about. There is no future, task, timer or lock per request. A
head is given to the parser in one piece, so that its callbacks are two C functions (`dict.__setitem__` and
`list.append`) and no Python runs per header. One timer per listener looks after all deadlines, and
timestamps are taken from its last run rather than from the clock.

    listener = Listener(application, Limits(), None)
    await listener.start(sock)
    ...
    await listener.drain(10.0)
"""

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Final, Protocol, cast

import httptools
from typing_extensions import override

from keystead.server import http
from keystead.server.http import Limits, Problem, ProblemKind

__all__ = ["Application", "Exchange", "Limits", "Listener", "Problem", "ProblemKind"]

# What a connection is doing. The order matters: from _DEAF on, what the client sends is thrown away.
_IDLE: Final = 0  # between requests: nothing of the next one has arrived
_HEAD: Final = 1  # a part of a head has arrived
_BODY: Final = 2  # the head is complete, the body is not
_DEAF: Final = 3  # no further request is taken; answers are still owed
_LINGERING: Final = 4  # the last answer is written; waiting for the client to read it and leave
_CLOSING: Final = 5  # the transport has been told to close once all is sent

_END_OF_HEAD: Final = b"\r\n\r\n"
_NO_END: Final = 3  # what `find(_END_OF_HEAD) + 4` is without one
_NOTHING: Final[tuple[bytes, bytes, dict[bytes, bytes]]] = (b"", b"", {})
_INTERNAL_ERROR: Final = 500


class Exchange:
    """One request, and the place for its answer."""

    __slots__ = ("_answer", "_connection", "_keep_alive", "body", "headers", "method", "target")

    def __init__(
        self,
        connection: "_Connection",
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bytes | None,
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.headers = headers  # names in lower case
        self.body = body
        self._keep_alive = keep_alive  # the header line that says so, or None to close afterwards
        self._answer: tuple[int, bytes, bytes] | None = None

    @property
    def peer(self) -> str:
        """The client's IP address."""
        return self._connection.peer

    @property
    def secure(self) -> bool:
        """Whether the request came over TLS."""
        return self._connection.secure

    def reply(self, status: int, body: bytes, headers: bytes = b"") -> None:
        r"""Answer the request; exactly once.

        `headers` are further header lines, encoded as `b"name: value\r\n"` each. The listener adds the
        length, the date and what becomes of the connection. After the client has left this does nothing.
        """
        if self._answer is not None:
            raise RuntimeError("this exchange has been answered already")
        self._answer = (status, body, headers)
        connection = self._connection
        if not connection.corked:
            connection.answered(self)


class Application(Protocol):
    """What answers the requests."""

    def handle(self, exchange: Exchange) -> None:
        """Take a request; it must end in `exchange.reply`, now or later, on the listener's thread."""
        ...

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Record and answer a request that the listener refused.

        It must end in `exchange.reply` too, and the connection closes after that. The exchange holds as
        much of the request as was understood, which may be nothing.
        """
        ...


class Listener:
    """Serves one listening socket.

    `now` dates the answers; `on_fault` hears of exceptions that come out of the application.
    """

    def __init__(
        self,
        app: Application,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
        *,
        now: Callable[[], float] = time.time,
        on_fault: Callable[[Exception], None] | None = None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.connections = 0  # accepted since the start
        self.requests = 0  # that reached `Application.handle`
        self.refused = 0  # that reached `Application.refuse`, and connections over the limit
        self.faults = 0  # exceptions that came out of the application
        self.open: set[_Connection] = set()
        self.draining = False
        self.tick = 0.0  # the loop's time at the last sweep
        self.date = b""
        self._ssl_context = ssl_context
        self._now = now
        self._on_fault = on_fault
        self._loop: asyncio.AbstractEventLoop
        self._sock: socket.socket
        self._server: asyncio.Server
        self._sweeper: asyncio.TimerHandle
        self._all_gone: asyncio.Event

    @property
    def secure(self) -> bool:
        """Whether connections are TLS."""
        return self._ssl_context is not None

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept on a bound socket, which is the listener's from now on."""
        self._loop = asyncio.get_running_loop()
        self._all_gone = asyncio.Event()
        self._sock = sock
        sock.setblocking(False)
        self._sweep()
        # The server closes the socket that it is given; `drain` still needs ours after that.
        self._server = await self._loop.create_server(
            lambda: _Connection(self),
            sock=sock.dup(),
            backlog=self.limits.backlog_connections,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self.limits.handshake_seconds if self.secure else None,
            ssl_shutdown_timeout=self.limits.linger_seconds if self.secure else None,
        )

    async def drain(self, seconds: float) -> None:
        """Stop accepting, answer what has arrived, and return when every connection is gone.

        (1) What waits in the socket's backlog is accepted: those clients believe they are connected.
        (2) From here on the last answer of each connection says that it closes. (3) Clients that keep a
        connection get a moment to send what was on its way; then idle connections are closed. (4) When
        `seconds` have passed, whoever is left is cut off.
        """
        deadline = self._loop.time() + seconds
        self._server.close()
        await self._accept_backlog()
        self._sock.close()
        self.draining = True
        # A connection that has just been accepted is announced one turn of the loop later.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self._gone_within(min(self.limits.drain_grace_seconds, seconds))
        for connection in list(self.open):
            connection.retire()
        await self._gone_within(deadline - self._loop.time())
        for connection in list(self.open):
            connection.abort()
        await self._gone_within(1.0)  # an aborted transport reports its end within a turn or two
        self._sweeper.cancel()

    def report(self, fault: Exception) -> None:
        """Note an exception that came out of the application: a bug in it."""
        self.faults += 1
        if self._on_fault is not None:
            self._on_fault(fault)

    def admit(self, connection: "_Connection") -> bool:
        """Take a new connection into the books, unless there are too many already."""
        self.connections += 1
        full = len(self.open) >= self.limits.connections
        self.open.add(connection)
        self.refused += full
        return not full

    def forget(self, connection: "_Connection") -> None:
        """Take a connection that ended out of the books."""
        self.open.discard(connection)
        if not self.open:
            self._all_gone.set()

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back when this turn of the loop has done its other work."""
        self._loop.call_soon(callback)

    def _sweep(self) -> None:
        self.tick = tick = self._loop.time()
        self.date = b"Date: %s\r\n" % formatdate(self._now(), usegmt=True).encode()
        for connection in list(self.open):
            connection.check(tick)
        self._sweeper = self._loop.call_later(self.limits.sweep_seconds, self._sweep)

    async def _accept_backlog(self) -> None:
        accepted = []
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:  # the backlog is empty, or there are no descriptors left for more
                break
            accepted.append(
                self._loop.connect_accepted_socket(
                    lambda: _Connection(self),
                    sock,
                    ssl=self._ssl_context,
                    ssl_handshake_timeout=self.limits.handshake_seconds if self.secure else None,
                    ssl_shutdown_timeout=self.limits.linger_seconds if self.secure else None,
                )
            )
        # A client that left, or whose handshake fails, concerns nobody else.
        await asyncio.gather(*accepted, return_exceptions=True)

    async def _gone_within(self, seconds: float) -> None:
        self._all_gone.clear()
        if self.open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), max(seconds, 0.0))


class _Connection(asyncio.Protocol):
    """One client's connection: bytes to exchanges, answers to bytes."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_ended",
        "_expecting",
        "_head",
        "_keep_alive",
        "_length",
        "_listener",
        "_missing",
        "_parser",
        "_parser_owed",
        "_paused",
        "_phase",
        "_pieces",
        "_queue",
        "_raw",
        "_since",
        "_stalled",
        "_targets",
        "_transport",
        "corked",
        "peer",
        "secure",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport
        self.peer = ""
        self.secure = listener.secure
        self.corked = False  # requests are being taken: answers are written when that is done
        self._queue: deque[Exchange] = deque()  # taken and not yet written, in order
        self._phase = _IDLE
        self._since = listener.tick  # when the phase began
        self._buffer = b""  # received and not yet taken
        self._head = _NOTHING  # of the request that is being taken
        self._keep_alive: bytes | None = None
        self._length = 0  # of its body
        self._missing = 0  # bytes of that body, when a part of it waits in _pieces
        self._pieces: list[bytes] = []
        self._expecting = False  # the client waits for 100 Continue before it sends the body
        self._paused = False  # reading, because the client is ahead of the answers
        self._stalled = False  # writing, because the client does not read
        self._ended = False  # the client has said that it will send no more
        self._raw: dict[bytes, bytes]
        self._targets: list[bytes]
        self._parser: httptools.HttpRequestParser
        self._parser_owed: bool  # it waits for a body's bytes before it takes the next head
        self._renew_parser()

    # ---- what the transport tells ----

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._listener.limits.write_buffer_bytes)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        if not self._listener.admit(self):
            self._transport.write(http.OVERLOADED)
            self._part()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.corked = True  # for good: answers that still come are dropped
        if self._phase in {_HEAD, _BODY}:
            self._refuse(http.TRUNCATED)
        self._phase = _CLOSING
        self._queue.clear()
        self._buffer = b""
        self._listener.forget(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._phase >= _DEAF:
            return
        if self._missing > 0:
            # Joined once, when it is whole: a body in many small pieces must not cost their square.
            self._pieces.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        elif self._buffer:
            data = self._buffer + data
        self._buffer = data
        self._pump()

    @override
    def eof_received(self) -> bool:
        self._ended = True
        if self._phase < _DEAF:
            self._pump()
        # A client that has sent its requests and closed its half still gets the answers. TLS has no halves.
        return bool(self._queue) and not self.secure

    @override
    def pause_writing(self) -> None:
        self._stalled = True
        self._since = self._listener.tick

    @override
    def resume_writing(self) -> None:
        self._stalled = False
        self._since = self._listener.tick
        if self._may_go_on():
            self._pump()

    # ---- what the listener asks ----

    def check(self, now: float) -> None:
        """End what has taken too long. Timestamps are up to one sweep old, so one is allowed on top."""
        limits = self._listener.limits
        waited = now - self._since - limits.sweep_seconds
        phase = self._phase
        if self._stalled or phase == _CLOSING:
            if waited >= limits.write_seconds:
                self.abort()
        elif phase == _HEAD and not self._paused:
            if waited >= limits.head_seconds:
                self._refuse(http.HEAD_TOO_SLOW)
        elif phase == _BODY:
            if waited >= limits.body_seconds:
                self._refuse(http.BODY_TOO_SLOW)
        elif (phase == _IDLE and not self._queue and waited >= limits.idle_seconds) or (
            phase == _LINGERING and waited >= limits.linger_seconds
        ):
            self._leave()

    def retire(self) -> None:
        """Close if idle. What has begun goes on, and its last answer says that the connection closes."""
        if self._phase != _IDLE or self._queue:
            return
        # Closing over unread bytes would reset the connection under a request that has arrived.
        sock = self._transport.get_extra_info("socket")
        (unread,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))
        if unread:
            self._listener.soon(self.retire)
        else:
            self._leave()

    def abort(self) -> None:
        """Cut the connection, whatever is owed on it."""
        self._transport.abort()

    # ---- requests in ----

    def _pump(self) -> None:
        """Take requests and write answers until neither can go on."""
        while True:
            self.corked = True
            try:
                self._take()
            except http.RefusedError as refused:
                self._refuse(refused.problem)
            self.corked = False
            if not self._flush():
                return

    def _take(self) -> None:
        """Take every complete request out of the buffer, unless the client is too far ahead."""
        listener = self._listener
        queue = self._queue
        while self._buffer:
            # (1) Enough is owed already: leave the rest where it is, and read no more.
            if self._stalled or len(queue) >= listener.limits.pipelined_requests:
                self._paused = True
                self._transport.pause_reading()
                return
            # (2) The head, in one piece.
            if self._phase != _BODY and not self._take_head():
                break
            # (3) The body, as long as the head says.
            buffer, length = self._buffer, self._length
            if len(buffer) < length:
                self._await_body()
                break
            body = buffer if len(buffer) == length else buffer[:length]
            self._buffer = buffer[length:]
            if self._parser_owed:
                self._parser_owed = False
                self._parser.feed_data(body)
            # (4) To the application.
            keep_alive = self._keep_alive
            exchange = Exchange(self, *self._head, body, keep_alive)
            self._phase = _IDLE
            self._head = _NOTHING
            self._expecting = False
            queue.append(exchange)
            listener.requests += 1
            try:
                listener.app.handle(exchange)
            except Exception as fault:  # noqa: BLE001 - a bug costs one request, not the worker
                self._failed(exchange, fault, _INTERNAL_ERROR)
            if keep_alive is None:
                self._phase = _DEAF
                self._buffer = b""
                return
        if self._ended and self._phase in {_HEAD, _BODY}:
            raise http.RefusedError(http.TRUNCATED)

    def _take_head(self) -> bool:
        """Parse the head at the start of the buffer; false when it is not complete."""
        limits = self._listener.limits
        data = self._buffer
        if data[0] in b"\r\n":
            # RFC 9112 section 2.2: some clients send an empty line after a body.
            data = data.lstrip(b"\r\n")
            if not data:
                self._buffer = b""
                return False
        end = data.find(_END_OF_HEAD) + 4
        if max(end, len(data) if end == _NO_END else 0) > limits.head_bytes:
            raise http.RefusedError(http.HEAD_TOO_LARGE)
        if end == _NO_END:
            http.require_plausible(data)
            self._buffer = data
            if self._phase == _IDLE:
                self._phase = _HEAD
                self._since = self._listener.tick
            return False
        self._buffer = data[end:]
        self._parse_head(data if end == len(data) else data[:end])
        self._phase = _BODY
        return True

    def _parse_head(self, head: bytes) -> None:
        """Parse and judge one whole head."""
        limits = self._listener.limits
        parser, raw, targets = self._parser, self._raw, self._targets
        # (1) The grammar is llhttp's.
        try:
            parser.feed_data(head)
            upgrade = False
        except httptools.HttpParserUpgrade:
            upgrade = True  # there is nothing here to upgrade to: it is a request like any other
            self._renew_parser()
        except httptools.HttpParserError as error:
            target = targets[0] if targets else b""
            self._head = (b"", target, {name.lower(): value for name, value in raw.items()})
            unknown = isinstance(error, httptools.HttpParserInvalidMethodError) and http.names_a_method(head)
            raise http.RefusedError(http.UNKNOWN_METHOD if unknown else http.MALFORMED) from None
        headers = {name.lower(): value for name, value in raw.items()}
        raw.clear()
        self._head = (parser.get_method(), targets.pop(), headers)
        # (2) One value for each name, without the white space around it.
        lines = head.count(b"\r\n") - 2
        if lines > limits.header_lines:
            raise http.RefusedError(http.TOO_MANY_HEADERS)
        if len(headers) != lines or b" \r\n" in head or b"\t\r\n" in head:
            headers = http.join_repeated(head)
            self._head = (*self._head[:2], headers)
        # (3) Where the request ends, and what happens after it.
        self._keep_alive = http.judge(head, headers)
        self._length = length = http.body_length(headers, limits.body_bytes)
        self._expecting = b"expect" in headers
        self._parser_owed = length > 0 and not upgrade

    def _await_body(self) -> None:
        self._since = self._listener.tick
        self._missing = self._length - len(self._buffer)
        if self._buffer:
            self._pieces.append(self._buffer)
            self._buffer = b""
            self._expecting = False
        elif self._expecting and not self._queue:
            self._continue()

    def _continue(self) -> None:
        self._expecting = False
        self._since = self._listener.tick
        self._transport.write(http.CONTINUE)

    def _refuse(self, problem: Problem) -> None:
        """Tell the application of a request that is refused, and take no other after it."""
        self._phase = _DEAF
        self._buffer = b""
        self._pieces.clear()
        self._missing = 0
        self._expecting = False
        exchange = Exchange(self, *self._head, b"", None)
        self._queue.append(exchange)
        self._listener.refused += 1
        try:
            self._listener.app.refuse(exchange, problem)
        except Exception as fault:  # noqa: BLE001 - as in _take
            self._failed(exchange, fault, problem.status)

    def _failed(self, exchange: Exchange, fault: Exception, status: int) -> None:
        self._listener.report(fault)
        if exchange._answer is None:  # noqa: SLF001 - the two classes are one mechanism
            exchange.reply(status, b"")

    def _renew_parser(self) -> None:
        # Both callbacks are C functions of plain containers, and neither leads back to the connection.
        self._raw = {}
        self._targets = []
        self._parser_owed = False
        self._parser = httptools.HttpRequestParser(
            SimpleNamespace(on_header=self._raw.__setitem__, on_url=self._targets.append)
        )

    # ---- answers out ----

    def answered(self, exchange: Exchange) -> None:
        """Write what is ready, now that this exchange has its answer."""
        queue = self._queue
        if queue[0] is not exchange:
            return  # an earlier one is still owed
        if len(queue) > 1:
            # Its neighbours are probably answered in the same turn: then one write serves them all.
            self._listener.soon(self._flush_and_go_on)
        else:
            self._flush_and_go_on()

    def _flush_and_go_on(self) -> None:
        if self._flush():
            self._pump()

    def _flush(self) -> bool:
        """Write the answers whose turn it is; true when more requests may be taken after that."""
        queue = self._queue
        listener = self._listener
        out: list[bytes] = []
        last = False
        while queue and (answer := queue[0]._answer) is not None:  # noqa: SLF001 - as in _failed
            exchange = queue.popleft()
            status, body, headers = answer
            keep_alive = exchange._keep_alive  # noqa: SLF001 - as in _failed
            if keep_alive is None or (
                listener.draining and self._phase == _IDLE and not queue and not self._buffer
            ):
                keep_alive = b"Connection: close\r\n"
                last = True
            # In capitals, as everybody writes it: libmongocrypt finds it in no other way.
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            if exchange.method == b"HEAD":
                body = b""
            out += (http.status_line(status), listener.date, keep_alive, headers, length, body)
        if out:
            if self._phase == _IDLE and not queue:
                self._since = listener.tick
            self._transport.write(b"".join(out))
        if last:
            self._part()
            return False
        if not queue:
            if self._ended and not self._buffer:
                self._leave()
            elif self._expecting and self._phase == _BODY:
                self._continue()
        return self._may_go_on()

    def _may_go_on(self) -> bool:
        """Whether reading was paused and need not be any longer; it is resumed then."""
        if (
            not self._paused
            or self._stalled
            or self._phase >= _DEAF
            or len(self._queue) >= self._listener.limits.pipelined_requests
        ):
            return False
        self._paused = False
        self._since = self._listener.tick
        self._transport.resume_reading()
        return True

    def _part(self) -> None:
        """End the connection after its last answer, so that the client gets to read that answer.

        Closing a socket over unread bytes makes the kernel send a reset, which may overtake the answer.
        So our half is closed, what still comes is thrown away, and the rest closes when the client does.
        With TLS the transport does the like by its own closing handshake.
        """
        if self._ended or self.secure:
            self._leave()
        else:
            self._phase = _LINGERING
            self._since = self._listener.tick
            self._transport.write_eof()

    def _leave(self) -> None:
        self._phase = _CLOSING
        self._since = self._listener.tick
        self._transport.close()
