"""One HTTPS request within one deadline, against servers that keep no promise."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead.app.installation import SystemClock
from keystead.core.errors import ConfigError
from keystead.core.keystore import Problem
from keystead.custody.xks import trust, wire
from keystead.custody.xks.wire import IDLE_SECONDS, MOST_ANSWER_BYTES, Names, Unreachable, Wire
from keystead.testing.audit import TurnedClock

REQUEST = b"POST /kms/xks/v1/health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
PATIENT = 5.0


@pytest.fixture
def wires() -> Iterator[Callable[..., Wire]]:
    """Makes wires to a room's proxy, and closes them."""
    made: list[Wire] = []

    def make(room: Any, clock: Any = None, *, port: int = 0, host: str = "localhost") -> Wire:
        clock = clock or SystemClock()
        context = trust(room.proxy.authority)
        made.append(Wire(host, port or room.proxy.port, context, Names(clock), clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


def problem(ours: Wire, seconds: float = PATIENT) -> Problem:
    """What is wrong."""
    with pytest.raises(Unreachable) as told:
        ours.exchange(REQUEST, seconds)
    assert told.value.__cause__ is None
    return told.value.problem


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (MOST_ANSWER_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
        b"\0" * 100,
    ],
    ids=["nonsense", "upgrade", "length", "long body", "long head", "zeros"],
)
def test_what_is_no_http_answer_is_refused(room: Any, wires: Callable[..., Wire], raw: bytes) -> None:
    """And nothing without a bound is read."""
    room.proxy.raw = raw
    assert problem(wires(room)) is Problem.RESPONSE


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
def test_an_answer_that_ends_too_early_is_none(room: Any, wires: Callable[..., Wire], raw: bytes) -> None:
    """The connection went in the midst of it."""
    room.proxy.raw = raw
    assert problem(wires(room)) is Problem.UNREACHABLE


def test_what_follows_an_answer_is_not_taken_for_the_next(room: Any, wires: Callable[..., Wire]) -> None:
    """A second answer that nobody asked for ends the connection."""
    room.proxy.raw = OK + b"HTTP/1.1 500 X\r\ncontent-length: 3\r\n\r\nbad"
    ours = wires(room)
    for _ in range(2):
        assert ours.exchange(REQUEST, PATIENT) == (200, b"{}")
    assert room.proxy.connections == 2


def test_an_answer_in_chunks_is_one(room: Any, wires: Callable[..., Wire]) -> None:
    """And one that says that the connection ends is the last on it."""
    room.proxy.raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    assert wires(room).exchange(REQUEST, PATIENT) == (200, b"{}")
    room.proxy.raw = OK.replace(b"content-length", b"connection: close\r\ncontent-length")
    ours = wires(room)
    for _ in range(2):
        assert ours.exchange(REQUEST, PATIENT) == (200, b"{}")
    assert room.proxy.connections == 3


def serve(behave: Callable[[socket.socket], None]) -> int:
    """A server on loopback that does something odd with every connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=behave, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return int(listening.getsockname()[1])


def test_a_handshake_that_never_ends_costs_the_deadline(room: Any, wires: Callable[..., Wire]) -> None:
    """A server that accepts and says nothing has timed out."""
    port = serve(lambda _: time.sleep(60))
    assert problem(wires(room, port=port), 0.1) is Problem.TIMEOUT


def test_a_server_without_tls_is_told(room: Any, wires: Callable[..., Wire]) -> None:
    """As is one that hangs up in the midst of the handshake."""
    port = serve(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    assert problem(wires(room, port=port)) is Problem.TLS

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    assert problem(wires(room, port=serve(reset))) in (Problem.UNREACHABLE, Problem.TLS)


def test_a_byte_now_and_then_does_not_keep_us(room: Any, wires: Callable[..., Wire]) -> None:
    """The deadline is for the whole answer, not for each of its bytes."""

    def drip(connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            room.proxy._context.wrap_socket(connection, server_side=True) as secure,
        ):
            secure.recv(1000)
            secure.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            for _ in range(500):
                secure.sendall(b"y")
                time.sleep(0.02)

    assert problem(wires(room, port=serve(drip)), 0.3) is Problem.TIMEOUT  # else it would have come to an end


def test_old_and_surplus_connections_are_closed(
    room: Any, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was idle for long is not used; more than are kept are not kept."""
    clock = TurnedClock()
    ours = wires(room, clock)
    ours.exchange(REQUEST, PATIENT)
    clock.time += IDLE_SECONDS + 1
    ours.exchange(REQUEST, PATIENT)
    assert room.proxy.connections == 2
    monkeypatch.setattr(wire, "MOST_IDLE", 0)
    ours.exchange(REQUEST, PATIENT)  # on the one that is kept
    ours.exchange(REQUEST, PATIENT)
    assert room.proxy.connections == 3
    monkeypatch.undo()
    ours.exchange(REQUEST, PATIENT)
    ours.close()
    for _ in range(2):
        ours.exchange(REQUEST, PATIENT)
    assert room.proxy.connections == 6


def test_no_time_left_is_a_timeout(room: Any, wires: Callable[..., Wire]) -> None:
    """Wherever the time runs out."""
    assert problem(wires(room), 0.0) is Problem.UNREACHABLE
    ours = wires(room)
    ours.exchange(REQUEST, PATIENT)
    assert problem(ours, 0.0) is Problem.TIMEOUT  # on a connection that is there


def test_each_address_of_a_name_is_tried(
    room: Any, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One where nobody listens does not hide the next."""
    dead = ("127.0.0.1", 1)
    alive = ("127.0.0.1", room.proxy.port)

    def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, alive)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert wires(room).exchange(REQUEST, PATIENT).status == 401


def test_a_name_is_asked_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs costs each of them their deadline, and one thread in all; its answer is remembered."""
    clock = TurnedClock()
    names = Names(clock)
    asked: list[str] = []
    go = threading.Event()

    def slow(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        go.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            names.find("proxy.example", 443, 0.01)
    go.set()
    assert names.find("proxy.example", 443, 10) == [(socket.AF_INET, ("127.0.0.1", 443))]
    assert names.find("proxy.example", 443, 0) == [(socket.AF_INET, ("127.0.0.1", 443))]
    assert asked == ["proxy.example"]
    names.forget("proxy.example", 443)
    names.find("proxy.example", 443, 10)
    clock.time += wire.NAME_SECONDS + 1
    monkeypatch.setattr(wire, "MOST_NAMES", 1)
    names.find("proxy.example", 443, 10)
    assert len(asked) == 3
    names.find("another.example", 443, 10)
    names.find("proxy.example", 443, 10)
    assert len(asked) == 5


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70 + ".example"])
def test_a_name_without_addresses_is_not_reached(room: Any, wires: Callable[..., Wire], host: str) -> None:
    """Nor one that cannot be a name."""
    assert problem(wires(room, host=host)) is Problem.UNREACHABLE


def test_authorities_come_from_the_file_that_is_named(authority: Path, room: Any) -> None:
    """A file that is missing or holds none ends the start; without one, the system's count."""
    with pytest.raises(ConfigError, match=r"'xks.ca' names .*authority.pem.*: name a PEM file"):
        trust(authority)
    authority.write_text("nonsense")
    with pytest.raises(ConfigError, match="no certificate"):
        trust(authority)
    ours = trust(room.proxy.authority)
    assert (ours.verify_mode, ours.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert ours.minimum_version is ssl.TLSVersion.TLSv1_2
    assert trust(None).verify_mode is ssl.CERT_REQUIRED
    stranger = Wire("localhost", room.proxy.port, trust(None), Names(SystemClock()), SystemClock())
    assert problem(stranger) is Problem.TLS
