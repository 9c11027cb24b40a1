"""The listener, as clients see it: raw bytes in, raw bytes out, on real sockets."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from keystead.server.listener import Application, Exchange, Limits, Listener, Problem, ProblemKind
from keystead.server.processes import bind
from keystead.server.tls import Certificates

PATIENCE = 10.0  # seconds after which a test that hangs fails


@dataclass
class Recorder:
    """An application that remembers what it saw and says what it was sent."""

    handled: list[Exchange] = field(default_factory=list)
    refused: list[tuple[Exchange, Problem]] = field(default_factory=list)
    holding: bool = False  # whether answers wait until the test gives them

    def handle(self, exchange: Exchange) -> None:
        """Echo the target and the body, unless the test wants to answer itself."""
        self.handled.append(exchange)
        if not self.holding:
            echo(exchange)

    def has_handled(self, number: int) -> bool:
        """Whether exactly so many requests have come in."""
        return len(self.handled) == number

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Answer with the problem's own text."""
        self.refused.append((exchange, problem))
        exchange.reply(problem.status, problem.text.encode())


def echo(exchange: Exchange) -> None:
    """Answer with the target and the body, so that a reader can tell whose answer it is."""
    exchange.reply(200, exchange.target + b"=" + exchange.body)


@dataclass
class Service:
    """A running listener."""

    listener: Listener
    app: Application
    port: int
    faults: list[Exception]

    async def connect(self, tls: ssl.SSLContext | None = None) -> "Client":
        """A client's connection to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        return Client(reader, writer)

    async def ask(self, raw: bytes, *, half_close: bool = True) -> bytes:
        """Send bytes on a new connection and read until the server closes it."""
        client = await self.connect()
        client.send(raw)
        if half_close:
            client.writer.write_eof()
        return await client.rest()


@dataclass
class Client:
    """A connection that sends and reads bytes as told."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, raw: bytes) -> None:
        """Send bytes."""
        self.writer.write(raw)

    async def answer(self) -> bytes:
        """Read one whole answer."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"Content-Length: (\d+)", head)
            return head + await self.reader.readexactly(int(found[1]) if found else 0)

    async def rest(self) -> bytes:
        """Read until the server closes, then close too."""
        try:
            async with asyncio.timeout(PATIENCE):
                data = await self.reader.read()
        except ConnectionResetError:
            data = b"reset"
        await self.leave()
        return data

    def stop_reading(self) -> None:
        """Let what the server sends pile up."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_again(self) -> None:
        """Take what has piled up."""
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    async def leave(self) -> None:
        """Close."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    app: Application, limits: Limits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Service]:
    """A listener on a free port, cut off at the end."""
    (sock,) = bind("127.0.0.1", 0, 1)
    port = sock.getsockname()[1]
    faults: list[Exception] = []
    listener = Listener(app, limits or Limits(), tls, now=lambda: 0.0, on_fault=faults.append)
    await listener.start(sock)
    try:
        yield Service(listener, app, port, faults)
    finally:
        await listener.drain(0.0)


def reset(client: Client) -> None:
    """Leave with a reset, as a killed process behind a firewall does."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is not a coroutine's doing
            await asyncio.sleep(0.005)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the loop that the server uses."""
    uvloop.run(main)


def statuses(answers: bytes) -> list[int]:
    """The statuses of the answers in a stream."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def bodies(answers: bytes) -> list[bytes]:
    """The bodies of the answers in a stream."""
    found = []
    while answers:
        head, _, answers = answers.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append(answers[:length])
        answers = answers[length:]
    return found


POST = b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /%d HTTP/1.1\r\nHost: k\r\n\r\n"


# ---- what is served ----


SERVED: dict[str, tuple[bytes, list[tuple[bytes, bytes, bytes]]]] = {
    "a request without a body": (b"GET /a HTTP/1.1\r\nHost: k\r\n\r\n", [(b"GET", b"/a", b"")]),
    "a request with a body": (POST, [(b"POST", b"/", b"hello")]),
    "a body of no bytes": (
        b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: 0\r\n\r\n",
        [(b"POST", b"/", b"")],
    ),
    "a body that looks like a request": (
        b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        [(b"POST", b"/", b"GET / HTTP/1.1\r\n\r\n")],
    ),
    "a pipeline of three": (
        GET % 1 + POST + GET % 3,
        [(b"GET", b"/1", b""), (b"POST", b"/", b"hello"), (b"GET", b"/3", b"")],
    ),
    "an empty line before the request line": (b"\r\n" + POST, [(b"POST", b"/", b"hello")]),
    "an empty line after the body": (
        POST + b"\r\n" + POST,
        [(b"POST", b"/", b"hello"), (b"POST", b"/", b"hello")],
    ),
    "nothing but an empty line": (b"\r\n", []),
    "a wish to upgrade, which is not granted": (
        b"POST / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 2\r\n\r\nhi" + POST,
        [(b"POST", b"/", b"hi"), (b"POST", b"/", b"hello")],
    ),
    "a method of WebDAV": (b"PROPFIND /a HTTP/1.1\r\nHost: k\r\n\r\n", [(b"PROPFIND", b"/a", b"")]),
    "a whole URL as target": (
        b"GET http://k/a?b HTTP/1.1\r\nHost: k\r\n\r\n",
        [(b"GET", b"http://k/a?b", b"")],
    ),
    "HTTP/1.0 without a host": (b"GET /a HTTP/1.0\r\n\r\n", [(b"GET", b"/a", b"")]),
    "what follows a request that closes is not read": (
        b"GET /a HTTP/1.1\r\nHost: k\r\nConnection: x, Close\r\n\r\n" + POST,
        [(b"GET", b"/a", b"")],
    ),
    "what follows a request of HTTP/1.0 is not read": (
        b"GET /a HTTP/1.0\r\n\r\n" + POST,
        [(b"GET", b"/a", b"")],
    ),
    "HTTP/1.0 that asks to stay": (
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + POST,
        [(b"GET", b"/a", b""), (b"POST", b"/", b"hello")],
    ),
}


@pytest.mark.parametrize("sentence", SERVED)
def test_a_good_request_reaches_the_application(sentence: str) -> None:
    """Each form of a good request is handled as what it is, and answered."""
    raw, expected = SERVED[sentence]

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            answers = await service.ask(raw)
        assert [(x.method, x.target, x.body) for x in app.handled] == expected
        assert bodies(answers) == [target + b"=" + body for _, target, body in expected]
        assert app.refused == []
        assert (service.listener.requests, service.listener.refused) == (len(expected), 0)

    run(main())


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_a_request_may_arrive_in_any_pieces(size: int) -> None:
    """How the bytes are cut into packets changes nothing."""
    raw = GET % 1 + POST + POST + GET % 2

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            client = await service.connect()
            for at in range(0, len(raw), size):
                client.send(raw[at : at + size])
                await asyncio.sleep(0.0005)
            client.writer.write_eof()
            assert bodies(await client.rest()) == [b"/1=", b"/=hello", b"/=hello", b"/2="]

    run(main())


def test_a_request_tells_who_asks_and_how() -> None:
    """The exchange has the client's address, the headers with names in lower case, and their plain values."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            await service.ask(
                b"GET / HTTP/1.1\r\nHOST: k \t\r\nX-Empty:\r\nAccept: a\r\naccept:  b\r\nX-A: \tv w\r\n\r\n"
            )
        (exchange,) = app.handled
        assert (exchange.peer, exchange.secure) == ("127.0.0.1", False)
        assert exchange.headers == {b"host": b"k", b"x-empty": b"", b"accept": b"a, b", b"x-a": b"v w"}

    run(main())


def test_an_answer_has_status_date_headers_length_and_body() -> None:
    """The bytes of an answer are exactly these."""

    class Teapot(Recorder):
        @override
        def handle(self, exchange: Exchange) -> None:
            exchange.reply(418 if exchange.target == b"/1" else 299, b"tea", b"x-a: b\r\n")

    date = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"

    async def main() -> None:
        async with serving(Teapot()) as service:
            head = b"HEAD /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            assert await service.ask(GET % 1 + head + b"GET /2 HTTP/1.0\r\n\r\n") == (
                b"HTTP/1.1 418 I'm a Teapot\r\n" + date + b"x-a: b\r\nContent-Length: 3\r\n\r\ntea"
                b"HTTP/1.1 299 Status\r\n" + date + b"Connection: keep-alive\r\nx-a: b\r\n"
                b"Content-Length: 3\r\n\r\n"
                b"HTTP/1.1 299 Status\r\n" + date + b"Connection: close\r\nx-a: b\r\n"
                b"Content-Length: 3\r\n\r\ntea"
            )

    run(main())


# ---- what is refused ----


def _with(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: k", *lines, b"", b""))


SMALL = Limits(head_bytes=400, header_lines=8, body_bytes=100)
REFUSED: dict[str, tuple[bytes, int]] = {
    "noise": (b"\x00\xff\x00\xff", 400),
    "a TLS greeting on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a line that ends in a bare newline": (b"GET / HTTP/1.1\nHost: k\n", 400),
    "a head with bare newlines": (b"GET / HTTP/1.1\nHost: k\n\r\n\r\n", 400),
    "a carriage return in a value": (_with(b"X-A: b\rc"), 400),
    "a zero byte in a value": (_with(b"X-A: b\0c"), 400),
    "a folded header": (_with(b"X-A: b", b" c"), 400),
    "a folded header before the others": (b"POST / HTTP/1.1\r\n X-A: b\r\nHost: k\r\n\r\n", 400),
    "white space before the colon": (_with(b"Content-Length : 5"), 400),
    "a header without a name": (_with(b": b"), 400),
    "a header without a colon": (_with(b"X-A"), 400),
    "a space inside the target": (b"GET /a b HTTP/1.1\r\nHost: k\r\n\r\n", 400),
    "a target beyond ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: k\r\n\r\n", 400),
    "a method in lower case": (b"get / HTTP/1.1\r\nHost: k\r\n\r\n", 400),
    "a method with digits": (b"G3T / HTTP/1.1\r\nHost: k\r\n\r\n", 400),
    "a method that does not exist": (b"FETCH / HTTP/1.1\r\nHost: k\r\n\r\n", 501),
    "a request line without a version": (b"GET /\r\nHost: k\r\n\r\n", 505),
    "HTTP/0.9 with its number": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: k\r\n\r\n", 400),
    "HTTP/2 without asking": (b"GET / HTTP/2.0\r\nHost: k\r\n\r\n", 505),
    "another protocol": (b"GET / RTSP/1.0\r\nHost: k\r\n\r\n", 505),
    "no host": (b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400),
    "two hosts": (_with(b"host: k"), 400),
    "two signatures": (_with(b"Authorization: a", b"AUTHORIZATION: a"), 400),
    "two signatures with other headers between": (
        _with(b"Authorization: a", b"A: b", b"authorization: a"),
        400,
    ),
    "two content types": (_with(b"Content-Type: a", b"Content-Type: b"), 400),
    "two targets of the API": (_with(b"X-Amz-Target: a", b"x-amz-target: b"), 400),
    "two equal dates": (_with(b"X-Amz-Date: a", b"X-Amz-Date: a"), 400),
    "two equal lengths": (_with(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400),
    "two different lengths": (_with(b"Content-Length: 5", b"content-length: 6") + b"hello!", 400),
    "a list of lengths": (_with(b"Content-Length: 5, 5") + b"hello", 400),
    "a length with a sign": (_with(b"Content-Length: +5") + b"hello", 400),
    "a negative length": (_with(b"Content-Length: -5") + b"hello", 400),
    "a length in another base": (_with(b"Content-Length: 0x5") + b"hello", 400),
    "an empty length": (_with(b"Content-Length:"), 400),
    "a length beyond 64 bits": (_with(b"Content-Length: 99999999999999999999"), 400),
    "a length of twenty digits that is a small number": (_with(b"Content-Length: 00000000000000000005"), 413),
    "a chunked body": (_with(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", 501),
    "a transfer coding nobody knows": (_with(b"Transfer-Encoding: x"), 400),
    "a transfer coding hidden by white space": (_with(b"Transfer-Encoding:\tchunked\t"), 400),
    "both a length and a transfer coding": (
        _with(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "an expectation nobody knows": (_with(b"Expect: 200-ok"), 417),
    "a body over the limit": (_with(b"Content-Length: 101"), 413),
    "a body over the limit that comes along": (_with(b"Content-Length: 9999") + b"x" * 9999, 413),
    "too many headers": (_with(*(b"X-%d: b" % n for n in range(8))), 431),
    "a head over the limit": (_with(b"X-A: " + b"b" * 400), 431),
    "a head over the limit without an end": (b"GET / HTTP/1.1\r\nX-A: " + b"b" * 400, 431),
    "a target over the limit": (b"GET /" + b"a" * 400, 431),
}


@pytest.mark.parametrize("after", [b"", POST], ids=["alone", "followed"])
@pytest.mark.parametrize("sentence", REFUSED)
def test_a_bad_request_is_refused_once_and_ends_the_connection(sentence: str, after: bytes) -> None:
    """It never reaches `handle`; its client gets one answer and the end; the server goes on."""
    raw, status = REFUSED[sentence]

    async def main() -> None:
        app = Recorder()
        async with serving(app, SMALL) as service:
            answers = await service.ask(GET % 1 + raw + after, half_close=False)
            assert statuses(answers) == [200, status]
            assert answers.count(b"Connection: close") == 1
            assert [exchange.target for exchange in app.handled] == [b"/1"]
            assert [problem.status for _, problem in app.refused] == [status]
            assert statuses(await service.ask(POST)) == [200]
        assert (service.listener.requests, service.listener.refused) == (2, 1)

    run(main())


CUT_SHORT: dict[str, bytes] = {
    "inside the request line": b"POST /a",
    "inside the head": b"POST /a HTTP/1.1\r\nHost: k\r\n",
    "before the body": b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 5\r\n\r\n",
    "inside the body": b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 5\r\n\r\nhel",
}


@pytest.mark.parametrize("sentence", CUT_SHORT)
def test_a_request_cut_short_is_refused_and_told(sentence: str) -> None:
    """A client that closes its half too early still reads why."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            assert statuses(await service.ask(POST + CUT_SHORT[sentence])) == [200, 400]
        assert [problem.kind for _, problem in app.refused] == [ProblemKind.TRUNCATED]
        assert len(app.handled) == 1

    run(main())


@pytest.mark.parametrize("sentence", CUT_SHORT)
def test_a_client_that_vanishes_inside_a_request_is_recorded(sentence: str) -> None:
    """A reset in the middle of a request reaches `refuse`, and its answer goes nowhere without harm."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            client = await service.connect()
            client.send(CUT_SHORT[sentence])
            await until(lambda: any(c._phase for c in service.listener.open))
            reset(client)
            await until(lambda: bool(app.refused))
            await until(lambda: not service.listener.open)
        assert [problem.kind for _, problem in app.refused] == [ProblemKind.TRUNCATED]

    run(main())


def test_a_refusal_holds_what_was_understood() -> None:
    """The application can record the method, target and headers of a refused request as far as they go."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            await service.ask(b"POST /a HTTP/1.1\r\nHost: k\r\nX-A: b\r\nContent-Length: +5\r\n\r\n")
            await service.ask(b"POST /b HTTP/1.1\r\nHost: k\r\nContent-Length: 999999\r\n\r\n")
            await service.ask(b"\0")
        assert [(x.method, x.target, sorted(x.headers)) for x, _ in app.refused] == [
            (b"", b"/a", [b"host", b"x-a"]),
            (b"POST", b"/b", [b"content-length", b"host"]),
            (b"", b"", []),
        ]

    run(main())


# ---- 100-continue ----


EXPECTING = b"POST /a HTTP/1.1\r\nHost: k\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"


def test_a_client_that_asks_whether_to_send_its_body_is_told_to() -> None:
    """A client such as botocore may wait for 100 Continue; it comes once, and before the answer."""

    async def main() -> None:
        async with serving(Recorder()) as service:
            client = await service.connect()
            for _ in range(2):
                client.send(EXPECTING)
                assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.send(b"hello")
                assert bodies(await client.answer()) == [b"/a=hello"]
            await client.leave()

    run(main())


def test_a_body_that_is_on_its_way_needs_no_invitation() -> None:
    """When the body, or its beginning, came along with the head, no 100 Continue is sent."""

    async def main() -> None:
        async with serving(Recorder()) as service:
            assert statuses(await service.ask(EXPECTING + b"hello")) == [200]
            client = await service.connect()
            client.send(EXPECTING + b"he")
            await asyncio.sleep(0.02)
            client.send(b"llo")
            client.writer.write_eof()
            assert statuses(await client.rest()) == [200]

    run(main())


def test_an_invitation_waits_for_its_turn() -> None:
    """100 Continue must not come before the answer to an earlier request."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(GET % 1 + EXPECTING)
            await until(lambda: bool(app.handled))
            echo(app.handled[0])
            assert statuses(await client.answer()) == [200]
            assert statuses(await client.reader.readuntil(b"\r\n\r\n")) == [100]
            client.send(b"hello")
            await until(lambda: len(app.handled) == 2)
            echo(app.handled[1])
            assert bodies(await client.answer()) == [b"/a=hello"]
            await client.leave()

    run(main())


# ---- order ----


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
def test_answers_leave_in_the_order_of_the_requests(order: tuple[int, ...]) -> None:
    """Whatever order the application answers in, also over several turns of the loop."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(b"".join(GET % n for n in range(4)))
            client.writer.write_eof()
            await until(lambda: len(app.handled) == 4)
            for n in order:
                echo(app.handled[n])
                await asyncio.sleep(0.002 * (n % 2))
            assert bodies(await client.rest()) == [b"/0=", b"/1=", b"/2=", b"/3="]

    run(main())


def test_answers_given_together_leave_in_one_write() -> None:
    """A group of answers to one connection costs one system call."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(b"".join(GET % n for n in range(10)))
            await until(lambda: len(app.handled) == 10)
            (connection,) = service.listener.open
            transport = CountingTransport(connection._transport)
            connection._transport = cast("asyncio.Transport", transport)
            for exchange in reversed(app.handled):
                echo(exchange)
            assert [await client.answer() for _ in range(10)]
            assert transport.writes == 1
            await client.leave()

    run(main())


@dataclass
class CountingTransport:
    """A transport that counts writes."""

    inner: Any
    writes: int = 0

    def write(self, data: bytes) -> None:
        """Count and pass on."""
        self.writes += 1
        self.inner.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_second_answer_is_a_bug_that_is_seen() -> None:
    """An exchange is answered exactly once; a second reply raises and sends nothing."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            answers = await service.ask(POST)
            with pytest.raises(RuntimeError, match="answered already"):
                app.handled[0].reply(200, b"again")
        assert bodies(answers) == [b"/=hello"]

    run(main())


def test_an_answer_after_the_client_left_goes_nowhere() -> None:
    """The application need not know that its client has gone."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(GET % 1 + GET % 2)
            await until(lambda: len(app.handled) == 2)
            reset(client)
            await until(lambda: not service.listener.open)
            for exchange in app.handled:
                echo(exchange)
            assert statuses(await service.ask(b"")) == []
        assert app.refused == []

    run(main())


def test_answers_that_become_ready_over_several_turns_still_leave_in_order() -> None:
    """A write that serves several answers may find that some of them have left already."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(GET % 1 + GET % 2)
            await until(lambda: len(app.handled) == 2)
            echo(app.handled[0])  # its write waits for the end of this turn
            echo(app.handled[1])
            assert [bodies(await client.answer()) for _ in range(2)] == [[b"/1="], [b"/2="]]
            client.send(GET % 3)
            await until(lambda: len(app.handled) == 3)
            echo(app.handled[2])
            assert bodies(await client.answer()) == [b"/3="]
            await client.leave()

    run(main())


def test_a_client_that_closed_its_half_gets_late_answers() -> None:
    """Sending everything, closing one's half and reading to the end is a fair way to use HTTP."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(GET % 1 + GET % 2)
            client.writer.write_eof()
            await until(lambda: len(app.handled) == 2)
            await asyncio.sleep(0.01)
            echo(app.handled[1])
            await asyncio.sleep(0.01)
            echo(app.handled[0])
            assert bodies(await client.rest()) == [b"/1=", b"/2="]

    run(main())


# ---- bounds ----


def test_a_deep_pipeline_waits_for_its_answers() -> None:
    """No more requests than the limit are taken before answers leave; all are answered in the end."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app, Limits(pipelined_requests=4)) as service:
            client = await service.connect()
            client.send(b"".join(GET % n for n in range(11)))
            client.writer.write_eof()
            for done in range(11):
                taken = min(done + 4, 11)
                await until(partial(app.has_handled, taken))
                await asyncio.sleep(0.005)
                assert len(app.handled) == taken
                echo(app.handled[done])
            assert bodies(await client.rest()) == [b"/%d=" % n for n in range(11)]

    run(main())


def test_a_deep_pipeline_answered_at_once_is_no_problem() -> None:
    """An application that answers within `handle` is never deeper than one, however much is sent."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, Limits(pipelined_requests=2)) as service:
            answers = await service.ask(b"".join(GET % n for n in range(5000)) + b"GET /cut")
        assert statuses(answers) == [200] * 5000 + [400]
        assert bodies(answers)[:5000] == [b"/%d=" % n for n in range(5000)]

    run(main())


def test_a_client_that_does_not_read_is_read_no_further() -> None:
    """Unsent answers are bounded; when the client reads again, everything arrives in order."""

    class Loud(Recorder):
        @override
        def handle(self, exchange: Exchange) -> None:
            self.handled.append(exchange)
            exchange.reply(200, exchange.target.ljust(1 << 17))

    async def main() -> None:
        app = Loud()
        async with serving(app, Limits(write_buffer_bytes=1 << 16)) as service:
            client = await service.connect()
            client.send(b"".join(GET % n for n in range(100)))
            client.writer.write_eof()
            client.stop_reading()
            await until(lambda: any(c._stalled for c in service.listener.open))
            await asyncio.sleep(0.05)
            assert len(app.handled) < 100
            client.read_again()
            assert [body.strip() for body in bodies(await client.rest())] == [b"/%d" % n for n in range(100)]

    run(main())


def test_one_connection_too_many_is_told_to_come_back() -> None:
    """Over the limit of connections there is a 503 and the end; a place that becomes free is given again."""

    async def main() -> None:
        async with serving(Recorder(), Limits(connections=1)) as service:
            first = await service.connect()
            first.send(POST)
            await first.answer()
            assert statuses(await service.ask(POST, half_close=False)) == [503]
            await first.leave()
            await until(lambda: not service.listener.open)
            assert statuses(await service.ask(POST)) == [200]
        assert (service.listener.connections, service.listener.refused) == (3, 1)

    run(main())


# ---- deadlines ----


def test_a_slow_head_is_told_and_closed() -> None:
    """A client that trickles its head gets 408, however often it sends a byte."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, Limits(head_seconds=0.1)) as service:
            client = await service.connect()
            client.send(GET % 1)
            await client.answer()
            client.send(b"GET / HTTP/1.1\r\nX-A: ")
            while not app.refused:
                client.send(b"b")
                await asyncio.sleep(0.01)
            assert statuses(await client.rest()) == [408]
        assert [problem.kind for _, problem in app.refused] == [ProblemKind.TIMEOUT]

    run(main())


def test_a_slow_body_is_told_and_closed() -> None:
    """A client that trickles its body gets 408, and the application learns what it wanted."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, Limits(body_seconds=0.1)) as service:
            client = await service.connect()
            client.send(b"POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 100000\r\n\r\n")
            while not app.refused:
                client.send(b"b")
                await asyncio.sleep(0.01)
            assert statuses(await client.rest()) == [408]
        assert [(x.target, problem.kind) for x, problem in app.refused] == [(b"/a", ProblemKind.TIMEOUT)]

    run(main())


@pytest.mark.parametrize("before", [b"", POST])
def test_an_idle_connection_is_closed_without_a_word(before: bytes) -> None:
    """Nothing was asked, so nothing is answered."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, Limits(idle_seconds=0.1)) as service:
            answers = await service.ask(before, half_close=False)
        assert statuses(answers) == [200] * bool(before)
        assert app.refused == []

    run(main())


def test_an_answer_that_takes_its_time_is_waited_for() -> None:
    """The deadlines are the client's; how long the application may take is not the listener's business."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app, Limits(idle_seconds=0.04, head_seconds=0.04, body_seconds=0.04)) as service:
            client = await service.connect()
            client.send(POST)
            await asyncio.sleep(0.2)
            echo(app.handled[0])
            assert statuses(await client.rest()) == [200]

    run(main())


def test_a_client_that_never_reads_is_cut_off() -> None:
    """A write that makes no progress ends the connection."""

    class Loud(Recorder):
        @override
        def handle(self, exchange: Exchange) -> None:
            exchange.reply(200, b"x" * (1 << 24))

    async def main() -> None:
        async with serving(Loud(), Limits(write_seconds=0.1)) as service:
            client = await service.connect()
            client.stop_reading()
            client.send(GET % 1)
            await until(lambda: bool(service.listener.requests))
            await until(lambda: not service.listener.open)
            await client.leave()

    run(main())


def test_a_client_that_never_takes_its_last_answer_is_cut_off() -> None:
    """Neither lingering nor closing lasts longer than its deadline."""

    async def main() -> None:
        async with serving(Recorder(), Limits(linger_seconds=0.1)) as service:
            client = await service.connect()
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert statuses(await client.answer()) == [200]
            client.send(b"more, which nobody wants")  # and it does not close
            await until(lambda: not service.listener.open)
            await client.leave()

    run(main())


def test_closing_over_unsent_bytes_has_a_deadline() -> None:
    """An idle connection whose client has not read its last answer is closed, then cut."""

    class Loud(Recorder):
        @override
        def handle(self, exchange: Exchange) -> None:
            exchange.reply(200, b"x" * (1 << 24))

    async def main() -> None:
        limits = Limits(idle_seconds=0.05, write_seconds=0.1, write_buffer_bytes=1 << 26)
        async with serving(Loud(), limits) as service:
            client = await service.connect()
            client.stop_reading()
            client.send(GET % 1)
            await until(lambda: bool(service.listener.requests))
            await until(lambda: not service.listener.open)
            await client.leave()

    run(main())


# ---- bugs of the application ----


class Broken(Recorder):
    """An application with bugs."""

    @override
    def handle(self, exchange: Exchange) -> None:
        """Fail before or after the answer."""
        if exchange.target == b"/2":
            echo(exchange)
        raise ValueError("a secret")

    @override
    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Fail."""
        raise KeyError("a secret", exchange, problem)


def test_a_bug_costs_one_request() -> None:
    """An exception out of the application is answered 500 without detail, reported, and nothing else."""

    async def main() -> None:
        async with serving(Broken()) as service:
            answers = await service.ask(GET % 1 + GET % 2 + GET % 3 + b"\0")
            assert statuses(answers) == [500, 200, 500, 400]
            assert b"secret" not in answers
            assert [type(fault) for fault in service.faults] == [ValueError] * 3 + [KeyError]
            assert service.listener.faults == 4

    run(main())


def test_a_bug_costs_one_request_also_when_nobody_listens_for_bugs() -> None:
    """Hearing of bugs is optional; they are counted in any case."""

    async def main() -> None:
        (sock,) = bind("127.0.0.1", 0, 1)
        listener = Listener(Broken(), Limits(), None)
        service = Service(listener, listener.app, sock.getsockname()[1], [])
        await listener.start(sock)
        assert statuses(await service.ask(GET % 1)) == [500]
        await listener.drain(0.0)
        assert listener.faults == 1

    run(main())


# ---- TLS ----


def test_requests_over_tls(pki: Any) -> None:
    """Over TLS everything is the same, and the exchange says so."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, tls=Certificates(pki.chain, pki.key).context) as service:
            client = await service.connect(pki.client())
            client.send(GET % 1 + POST + GET % 2)
            for expected in (b"/1=", b"/=hello", b"/2="):
                assert bodies(await client.answer()) == [expected]
            client.send(_with(b"Content-Length: 1000000") + b"x" * 100_000)
            assert statuses(await client.rest()) == [413]
            client = await service.connect(pki.client())
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert statuses(await client.rest()) == [200]
        assert all(exchange.secure for exchange in app.handled)

    run(main())


def test_a_plain_client_at_a_tls_port_reaches_nothing(pki: Any) -> None:
    """What is not TLS is dropped in the handshake."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, tls=Certificates(pki.chain, pki.key).context) as service:
            answers = await service.ask(POST, half_close=False)
        assert statuses(answers) == []
        assert (app.handled, app.refused) == ([], [])

    run(main())


def test_a_tls_client_that_leaves_inside_a_request_is_recorded(pki: Any) -> None:
    """TLS cannot be half closed: the end of the client is the end, and the stump is recorded."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, tls=Certificates(pki.chain, pki.key).context) as service:
            client = await service.connect(pki.client())
            client.send(CUT_SHORT["inside the body"])
            await until(lambda: any(c._phase for c in service.listener.open))
            await client.leave()
            await until(lambda: bool(app.refused))
        assert [problem.kind for _, problem in app.refused] == [ProblemKind.TRUNCATED]

    run(main())


# ---- draining ----


def test_draining_answers_what_has_arrived_and_says_that_it_closes() -> None:
    """Held requests are answered in order; the last answer of each connection closes it."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(GET % 1 + GET % 2)
            idle = await service.connect()
            await until(lambda: len(app.handled) == 2)
            drain = asyncio.ensure_future(service.listener.drain(5.0))
            assert await idle.rest() == b""
            assert not drain.done()
            for exchange in app.handled:
                echo(exchange)
            answers = await client.rest()
            await drain
        assert bodies(answers) == [b"/1=", b"/2="]
        assert [b"Connection: close" in part for part in answers.split(b"HTTP/1.1")[1:]] == [False, True]

    run(main())


def test_draining_takes_who_waits_in_the_backlog() -> None:
    """A client whose connection the kernel has accepted is served, though the listener had not seen it."""

    async def main() -> None:
        app = Recorder()
        async with serving(app) as service:
            waiting = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(20)]
            for sock in waiting:
                sock.sendall(POST)
            await service.listener.drain(5.0)  # the loop has not turned since they connected
            assert [statuses(sock.recv(1000)) for sock in waiting] == [[200]] * 20
            for sock in waiting:
                sock.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", service.port))

    run(main())


def test_draining_takes_tls_clients_from_the_backlog(pki: Any) -> None:
    """A handshake that has not begun yet is carried through, too; one that fails disturbs nobody."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, tls=Certificates(pki.chain, pki.key).context) as service:
            bad = socket.create_connection(("127.0.0.1", service.port))
            bad.sendall(b"not TLS")
            good = socket.create_connection(("127.0.0.1", service.port))
            good.setblocking(False)
            drain = asyncio.ensure_future(service.listener.drain(5.0))
            reader, writer = await asyncio.open_connection(
                sock=good, ssl=pki.client(), server_hostname="127.0.0.1"
            )
            client = Client(reader, writer)
            client.send(POST)
            assert statuses(await client.rest()) == [200]
            await drain
            bad.close()

    run(main())


def test_draining_gives_clients_a_moment_to_ask() -> None:
    """A request that was on its way when the drain began is answered, with the closing said."""

    async def main() -> None:
        async with serving(Recorder()) as service:
            client = await service.connect()
            client.send(POST)
            await client.answer()
            drain = asyncio.ensure_future(service.listener.drain(5.0))
            await asyncio.sleep(0.05)
            client.send(POST)
            answer = await client.rest()
            await drain
        assert statuses(answer) == [200]
        assert b"Connection: close" in answer

    run(main())


def test_draining_waits_for_a_request_that_has_begun() -> None:
    """The rest of a request may come after the drain began."""

    async def main() -> None:
        async with serving(Recorder(), Limits(drain_grace_seconds=0.01)) as service:
            client = await service.connect()
            client.send(POST[:-2])
            await until(lambda: any(c._phase for c in service.listener.open))
            drain = asyncio.ensure_future(service.listener.drain(5.0))
            await asyncio.sleep(0.1)
            client.send(POST[-2:])
            assert statuses(await client.rest()) == [200]
            await drain

    run(main())


def test_a_request_that_has_arrived_unread_is_not_cut() -> None:
    """Closing an idle connection looks first whether the kernel holds bytes for it."""

    async def main() -> None:
        async with serving(Recorder()) as service:
            client = await service.connect()
            client.send(POST)
            await client.answer()
            service.listener.draining = True
            (connection,) = service.listener.open
            # Within one turn of the loop: the bytes are in the kernel, the listener has not seen them.
            sock = client.writer.get_extra_info("socket")
            with socket.socket(fileno=socket.dup(sock.fileno())) as direct:
                direct.send(POST)
            connection.retire()
            assert statuses(await client.rest()) == [200]

    run(main())


def test_the_drain_deadline_cuts_off_whoever_is_left() -> None:
    """An answer that does not come cannot hold a drain longer than it was given."""

    async def main() -> None:
        app = Recorder(holding=True)
        async with serving(app) as service:
            client = await service.connect()
            client.send(POST)
            await until(lambda: bool(app.handled))
            await service.listener.drain(0.05)
            assert not service.listener.open
            assert statuses(await client.rest()) == []
            echo(app.handled[0])  # too late, and harmless

    run(main())


def test_no_request_is_lost_or_doubled_when_draining_under_load() -> None:
    """Every request that a client sent on a live connection gets its answer, and gets it once."""

    class Deferring(Recorder):
        @override
        def handle(self, exchange: Exchange) -> None:
            self.handled.append(exchange)
            asyncio.get_running_loop().call_later(0.001, echo, exchange)

    async def client(service: Service, name: int, told: list[bytes]) -> None:
        connection = await service.connect()
        closing = False
        n = 0
        while not closing:
            connection.send(b"GET /%d-%d HTTP/1.1\r\nHost: k\r\n\r\n" % (name, n))
            answer = await connection.answer()
            assert bodies(answer) == [b"/%d-%d=" % (name, n)]
            told.append(answer)
            closing = b"Connection: close" in answer
            n += 1
        assert await connection.rest() == b""

    async def main() -> None:
        app = Deferring()
        told: list[bytes] = []
        async with serving(app) as service:
            clients = [asyncio.ensure_future(client(service, name, told)) for name in range(30)]
            await until(lambda: len(told) > 300)
            await service.listener.drain(5.0)
            await asyncio.gather(*clients)
        assert len(told) == len(app.handled) == service.listener.requests

    run(main())


# ---- any bytes at all ----


FRAGMENTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a HTTP/1.0\r\n",
    b"HEAD * HTTP/1.1\r\n",
    b"CONNECT k:1 HTTP/1.1\r\n",
    b"Host: k\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 70\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Amz-Date: 1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b" ",
    b"abc",
    POST,
]
STREAMS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), min_size=1, max_size=12)


def test_any_bytes_in_any_pieces_get_an_answer_or_an_end() -> None:
    """Nothing that a client can send hangs the listener, breaks it, or comes out twice."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, SMALL) as service:
            loop = asyncio.get_running_loop()
            escaped: list[Any] = []
            loop.set_exception_handler(lambda _, context: escaped.append(context))

            async def one(pieces: list[bytes]) -> None:
                seen = len(app.handled) + len(app.refused)
                client = await service.connect()
                for piece in pieces:
                    client.send(piece)
                    await asyncio.sleep(0)
                if not client.writer.is_closing():
                    with contextlib.suppress(OSError):
                        client.writer.write_eof()
                answers = await client.rest()
                await until(lambda: not service.listener.open)
                told = [status for status in statuses(answers) if status != 100]
                assert len(told) == len(app.handled) + len(app.refused) - seen
                assert (escaped, service.faults) == ([], [])

            await asyncio.to_thread(
                explore, lambda p: asyncio.run_coroutine_threadsafe(one(p), loop).result(30)
            )

    def explore(check: Callable[[list[bytes]], None]) -> None:
        given(STREAMS)(check)()

    run(main())
