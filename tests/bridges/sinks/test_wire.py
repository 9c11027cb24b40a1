"""Connections whose waits all end by one deadline, whatever the other side does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bridges.sinks.samples import SystemClock
from keystead.bridges.sinks import wire
from keystead.bridges.sinks.port import Retry
from keystead.network.deadline import Deadline


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of one connection at a time; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = False

        def run() -> None:
            while not stop:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stop = True
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def poster(port: int, seconds: float = 5.0) -> wire.Poster:
    """A poster to a port of loopback."""
    target = wire.Target("127.0.0.1", port, None)
    return wire.Poster(target, f"127.0.0.1:{port}", "/", clock=SystemClock(), seconds=seconds)


def answering(answer: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """A server that says something to whatever it is asked, byte by byte if there is a pause."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in [answer] if not pause else [answer[at : at + 1] for at in range(len(answer))]:
            connection.sendall(piece)
            time.sleep(pause)

    return serve


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    """A byte now and then does not make the deadline longer."""
    with server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + b" " * 50, pause=0.1)) as port:
        made = poster(port, seconds=0.5)
        with pytest.raises(Retry, match="it has not answered in time"):
            made.post(b"x", {})
        made.close()


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000]
)
def test_what_is_no_web_server_is_told_apart(answer: bytes) -> None:
    """Nothing of what it says is repeated."""
    with server(answering(answer)) as port:
        made = poster(port)
        with pytest.raises(Retry, match=r"it does not answer as a web server does|no connection"):
            made.post(b"x", {})
        made.close()


def test_a_large_answer_is_not_read_to_its_end() -> None:
    """The rest of it goes with the connection; the status counts."""
    body = b"z" * 200_000
    with server(answering(b"HTTP/1.1 400 No\r\nContent-Length: 200000\r\n\r\n" + body)) as port:
        made = poster(port)
        answer = made.post(b"x", {})
        assert (answer.status, len(answer.body)) == (400, 65_536)
        answer = made.post(b"x", {})
        assert answer.status == 400
        made.close()


def test_the_connection_is_kept_and_one_that_went_is_made_again() -> None:
    """A server that closes after its answer is only noticed by looking."""
    connections = 0

    def serve(connection: socket.socket) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: soon\r\n\r\nok")

    with server(serve) as port:
        made = poster(port)
        for _ in range(4):
            answer = made.post(b"x", {})
            assert (answer.status, answer.after, answer.body) == (200, 0.0, b"ok")
            time.sleep(0.05)
        made.close()
    assert connections == 2


def send(connection: wire.Connection, data: bytes, deadline: Deadline) -> None:
    """Send the same again and again, until somebody minds."""
    for _ in range(200):
        connection.send(data, deadline)
        connection.drain(deadline)
        time.sleep(0.01)


def test_a_reset_is_not_taken_for_an_acknowledgement() -> None:
    """What the system throws away with a connection leaves an empty buffer, and still nobody has it."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with server(serve) as port:
        deadline = Deadline(SystemClock(), 5)
        connection = wire.Connection(wire.Target("127.0.0.1", port, None), deadline)
        with pytest.raises(OSError, match=r"reset|closed|Broken pipe"):
            send(connection, b"x" * 1000, deadline)
        connection.close()


def test_a_half_closed_connection_takes_nothing() -> None:
    """A receiver that has said its last word is not there any more."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"some greeting")
        connection.shutdown(socket.SHUT_WR)
        done.wait(5)

    with server(serve) as port:
        deadline = Deadline(SystemClock(), 5)
        connection = wire.Connection(wire.Target("127.0.0.1", port, None), deadline)
        with pytest.raises(ConnectionResetError, match="closed the connection"):
            send(connection, b"x", deadline)
        connection.close()
        done.set()


def test_a_deadline_that_has_passed_waits_for_nothing() -> None:
    """Not for a name, not for a connection."""
    with pytest.raises(TimeoutError):
        wire.Connection(wire.Target("localhost", 1, None), Deadline(SystemClock(), 0))


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver knows no deadline; the one who asks does."""
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [hang.wait()][:0])
    with pytest.raises(TimeoutError, match="not resolved in time"):
        wire.Connection(wire.Target("h", 1, None), Deadline(SystemClock(), 0.2))
    hang.set()


def test_errors_are_told_without_what_was_sent() -> None:
    """Each kind has its sentence."""
    assert wire.explain(ValueError("token=secret")) == "it does not answer as a web server does (ValueError)"
    assert wire.explain(OSError("only a text")) == "no connection: only a text"
