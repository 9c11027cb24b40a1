"""One answer within one deadline, from servers that are slow, broken or somebody else."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keystead.network import http
from keystead.network.deadline import Deadline
from keystead.network.http import Answer, Target, Unreachable
from keystead.testing.issuer import KEYS, Issuer

MOST = 10_000
SLOW = "it has not answered within 0.3 seconds"


class RealClock:
    """A clock that goes on."""

    def now(self) -> float:
        """The wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A server."""
    with Issuer() as issuer:
        yield issuer


def trust(authorities: str) -> ssl.SSLContext:
    """Certificates of these authorities count, or the system's."""
    return ssl.create_default_context(cadata=authorities or None)


def answer(
    issuer: Issuer, *, seconds: float = 5.0, context: ssl.SSLContext | None = None, **more: Any
) -> Answer:
    """Ask it for its keys."""
    target = Target(secure=bool(issuer.authority), host="localhost", port=issuer.port, path=KEYS)
    return http.ask(target, context or trust(issuer.authority), Deadline(RealClock(), seconds), MOST, **more)


def ask(issuer: Issuer, *, seconds: float = 5.0, context: ssl.SSLContext | None = None) -> bytes:
    """Get its keys."""
    return answer(issuer, seconds=seconds, context=context).body


def refusal(issuer: Issuer, *, seconds: float = 5.0, context: ssl.SSLContext | None = None) -> str:
    """Why its keys cannot be had."""
    with pytest.raises(Unreachable) as refused:
        ask(issuer, seconds=seconds, context=context)
    return str(refused.value)


@contextmanager
def listening(answer: bytes | None) -> Iterator[Issuer]:
    """Something that takes connections and says the same to all: nothing, and it keeps them, if it is None."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        there = Issuer(secure=True)
        there.port = server.getsockname()[1]
        try:
            yield there
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


@pytest.mark.parametrize("secure", [True, False])
def test_a_document_is_fetched(secure: bool) -> None:
    """Over TLS or without."""
    with Issuer(secure=secure) as issuer:
        assert ask(issuer) == issuer.answer(KEYS)[1]
        assert issuer.requests == [KEYS]


def test_a_document_may_come_in_chunks(issuer: Issuer) -> None:
    """As a server does that does not know its length."""
    issuer.raw = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n'
    assert ask(issuer) == b'{"a": 1}'


def test_a_document_may_end_with_the_connection(issuer: Issuer) -> None:
    """As HTTP/1.0 has it."""
    issuer.raw = b"HTTP/1.0 200 OK\r\n\r\n{}"
    assert ask(issuer) == b"{}"


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 401, 404, 500])
def test_a_status_is_told_and_no_redirect_followed(issuer: Issuer, status: int) -> None:
    """It could lead anywhere."""
    issuer.headers["Location"] = f"{issuer.origin}/elsewhere"
    issuer.status = status
    told = answer(issuer)
    assert (told.status, told.headers["Location"]) == (status, f"{issuer.origin}/elsewhere")
    assert issuer.requests == [KEYS]


def test_a_body_makes_it_a_post() -> None:
    """With its length, and the headers that go with it."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(65_536))
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/x; q=1\r\nContent-Length: 2\r\n\r\nok"
                )

        thread = threading.Thread(target=serve)
        thread.start()
        target = Target(False, "127.0.0.1", server.getsockname()[1], "/p?q=1")
        deadline = Deadline(RealClock(), 5.0)
        told = http.ask(target, trust(""), deadline, MOST, body=b"{}", headers={"X-Y": "z"})
        thread.join()
    assert (told.status, told.headers.get_content_type(), told.body) == (200, "text/x", b"ok")
    head, _, body = heard[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /p?q=1 HTTP/1.1"
    assert {"Content-Length: 2", "X-Y: z", f"Host: {target.authority}", "Connection: close"} <= set(lines)
    assert body == b"{}"


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{}",
    ],
)
def test_what_is_no_answer_is_refused(issuer: Issuer, raw: bytes) -> None:
    """And nothing of it is repeated."""
    issuer.raw = raw
    assert refusal(issuer) == "it does not answer as a web server does"


def test_an_answer_that_breaks_off_is_none(issuer: Issuer) -> None:
    """Half a key set might be a set as well."""
    issuer.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"
    assert refusal(issuer) == "its answer breaks off"
    issuer.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert refusal(issuer) == "its answer breaks off"


def test_an_answer_has_a_largest_size(issuer: Issuer) -> None:
    """To the byte, and whatever it says of itself."""
    issuer.keys = b"x" * MOST
    assert ask(issuer) == b"x" * MOST
    issuer.keys += b"x"
    assert refusal(issuer) == "its answer is larger than 10,000 bytes"
    issuer.raw = b"HTTP/1.1 200 OK\r\n\r\n" + issuer.keys
    assert refusal(issuer) == "its answer is larger than 10,000 bytes"


def test_the_deadline_is_for_all_of_it(issuer: Issuer) -> None:
    """Neither a late answer nor one byte after the other holds anybody longer."""
    issuer.delay = 1.0
    assert refusal(issuer, seconds=0.3) == SLOW
    issuer.delay, issuer.drip = 0.0, 0.05
    assert refusal(issuer, seconds=0.3) == SLOW


def test_a_handshake_that_does_not_come_is_waited_for_no_longer() -> None:
    """The deadline is for the handshake as well."""
    with listening(None) as issuer:
        assert refusal(issuer, seconds=0.3) == SLOW


def test_a_deadline_that_is_over_asks_nobody(issuer: Issuer) -> None:
    """It may have been spent on another document."""
    assert refusal(issuer, seconds=0.0) == "it has not answered within 0 seconds"
    assert issuer.requests == []


def test_a_server_proves_that_it_is_the_one(issuer: Issuer) -> None:
    """By a certificate of an authority that counts, and for its name."""
    assert refusal(issuer, context=trust("")).startswith(
        "its certificate does not prove that it is the one ("
    )
    with Issuer() as another:
        told = refusal(issuer, context=trust(another.authority))
        assert told.startswith("its certificate does not prove that it is the one (")
    named = Target(secure=True, host="127.0.0.2", port=issuer.port, path=KEYS)
    with pytest.raises(Unreachable):
        http.ask(named, trust(issuer.authority), Deadline(RealClock(), 5.0), MOST)
    assert issuer.requests == []


def test_a_server_that_speaks_no_tls_is_refused() -> None:
    """Nothing is said to it in the clear."""
    with listening(b"HTTP/1.1 200 OK\r\n\r\n{}") as issuer:
        assert refusal(issuer) == "no TLS connection can be made with it"


def test_nobody_is_there(issuer: Issuer) -> None:
    """At the address, or under the name."""
    issuer.stop()
    assert refusal(issuer) == "it cannot be reached"
    for host in ("nobody.invalid", "x" * 70 + ".invalid"):
        nowhere = Target(secure=True, host=host, port=443, path="/")
        with pytest.raises(Unreachable, match="its name has no address"):
            http.ask(nowhere, trust(""), Deadline(RealClock(), 5.0), MOST)


def test_a_name_that_is_not_found_in_time_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver may take as long as it likes."""
    found = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found.wait(10) and [])
    with pytest.raises(Unreachable, match=SLOW):
        http.ask(Target(True, "slow.example", 443, "/"), trust(""), Deadline(RealClock(), 0.3), MOST)
    found.set()


def test_each_address_of_a_name_is_tried(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One where nobody is leaves time for the next."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    addresses = [(socket.AF_INET, 0, 0, "", nobody), (socket.AF_INET, 0, 0, "", ("127.0.0.1", issuer.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert ask(issuer) == issuer.answer(KEYS)[1]


def test_the_host_is_named_with_its_port() -> None:
    """An IPv6 address in brackets."""
    assert Target(True, "issuer.example", 8443, "/").authority == "issuer.example:8443"
    assert Target(True, "::1", 443, "/").authority == "[::1]:443"
