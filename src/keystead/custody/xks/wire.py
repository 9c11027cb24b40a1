"""One HTTPS request within one deadline, over connections that are kept.

The deadline is for all of it: the name's addresses, the connection, the handshake, the request and the last byte of
the answer. Each wait gets what is left, so a proxy that sends a byte now and then costs no more than one that sends
nothing. The standard library's HTTP client gives every wait its own time instead, hence the few lines here.

Connections are kept for the next request, since a handshake may cost more than half the deadline. One that the other
side has closed meanwhile is noticed when it is used: nothing of an answer has come then, and the request is sent once
more over a new one. That is harmless, as no call of the XKS API changes anything.
"""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import httptools

from keystead.core.errors import ConfigError
from keystead.core.keystore import Problem
from keystead.core.ports import Clock

MOST_ANSWER_BYTES: Final = 65_536  # head and body; the largest that the XKS API needs is below 8,192
MOST_IDLE: Final = 16  # connections of one key store
IDLE_SECONDS: Final = 30.0  # then a connection is not used again: many servers give it up after a minute
NAME_SECONDS: Final = 60.0  # a name's addresses are remembered
MOST_NAMES: Final = 1024
_AT_ONCE: Final = 16_384


class Unreachable(Exception):
    """There is no answer, or none that makes sense. Seen in this package only; tells what is wrong, not why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.value)
        self.problem = problem


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class _Stale(Exception):
    """A kept connection was closed by the other side before the request."""


def trust(authorities: Path | None) -> ssl.SSLContext:
    """How proxies prove who they are: by certificates of these authorities (PEM), or of the system's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # XKS, "Authentication"
    context.set_alpn_protocols(["http/1.1"])
    if authorities is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=authorities)
    except OSError as error:  # `ssl.SSLError`, for a file that holds no certificate, is one as well
        raise ConfigError(
            f"the setting 'xks.ca' names {authorities}, from which no certificate authority can be read "
            f"({error.strerror or error}): name a PEM file"
        ) from None
    return context


class Names:
    """The addresses of hosts, without waiting for longer than the caller can.

    The system's resolver cannot be told a deadline, so it is asked on a thread of its own, one for each name at most:
    who comes while it is asked waits for the same answer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[float, list[tuple[int, Any]]]] = {}
        self._asked: dict[tuple[str, int], _Asked] = {}

    def find(self, host: str, port: int, seconds: float) -> list[tuple[int, Any]]:
        """Families and addresses; raises `TimeoutError`, or `OSError` if there are none."""
        name = host, port
        with self._lock:
            until, addresses = self._known.get(name, (0.0, []))
            if addresses and self._clock.monotonic() < until:
                return addresses
            asked = self._asked.get(name)
            if asked is None:
                asked = self._asked[name] = _Asked()
                threading.Thread(target=self._ask, args=(name, asked), daemon=True).start()
        if not asked.done.wait(seconds):
            raise TimeoutError
        if not asked.addresses:
            raise OSError
        return asked.addresses

    def forget(self, host: str, port: int) -> None:
        """Ask anew next time: nobody answers there."""
        with self._lock:
            self._known.pop((host, port), None)

    def _ask(self, name: tuple[str, int], asked: "_Asked") -> None:
        with suppress(OSError, UnicodeError):  # the latter for a name that cannot be one
            found = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
            asked.addresses = [(family, address) for family, _, _, _, address in found]
        with self._lock:
            del self._asked[name]
            if asked.addresses:
                if len(self._known) >= MOST_NAMES:
                    self._known.clear()
                self._known[name] = self._clock.monotonic() + NAME_SECONDS, asked.addresses
        asked.done.set()


class _Asked:
    """A question to the resolver that is under way."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: list[tuple[int, Any]] = []


class Wire:
    """The connections to one proxy. Any thread."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, names: Names, clock: Clock) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._names = names
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[float, ssl.SSLSocket]] = []
        self._closed = False

    def exchange(self, request: bytes, seconds: float) -> Reply:
        """Send a request and return the answer; raises `Unreachable`."""
        deadline = self._clock.monotonic() + seconds
        kept = self._take()
        if kept is not None:
            with suppress(_Stale):
                return self._ask(kept, request, deadline, kept=True)
        return self._ask(self._connect(deadline), request, deadline, kept=False)

    def close(self) -> None:
        """Let go of the connections that are not in use, and keep none any more."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for _, connection in idle:
            connection.close()

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _connect(self, deadline: float) -> ssl.SSLSocket:
        try:
            addresses = self._names.find(self._host, self._port, self._left(deadline))
        except OSError:  # `TimeoutError` is one
            raise Unreachable(Problem.UNREACHABLE) from None
        for number, (family, address) in enumerate(addresses):
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                # An address where nobody is must leave time for the next one.
                plain.settimeout(self._left(deadline) / (len(addresses) - number))
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                plain.close()
                continue
            try:
                plain.settimeout(self._left(deadline))
                return self._context.wrap_socket(plain, server_hostname=self._host)
            except TimeoutError:
                plain.close()
                raise Unreachable(Problem.TIMEOUT) from None
            except ssl.SSLError:
                plain.close()
                raise Unreachable(Problem.TLS) from None
            except (OSError, ValueError):  # reset in the midst of it; a name that no certificate can have
                plain.close()
                raise Unreachable(Problem.UNREACHABLE) from None
        self._names.forget(self._host, self._port)
        raise Unreachable(Problem.UNREACHABLE)

    def _ask(self, connection: ssl.SSLSocket, request: bytes, deadline: float, *, kept: bool) -> Reply:
        reading = _Reading()
        try:
            connection.settimeout(self._left(deadline))
            connection.sendall(request)
            while not reading.complete:
                connection.settimeout(self._left(deadline))
                data = connection.recv(_AT_ONCE)
                if not data:
                    raise ConnectionResetError
                reading.feed(data)
        except TimeoutError:
            connection.close()
            raise Unreachable(Problem.TIMEOUT) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, OverflowError):
            connection.close()
            raise Unreachable(Problem.RESPONSE) from None
        except OSError:
            connection.close()
            if kept and not reading.size:
                raise _Stale from None
            raise Unreachable(Problem.UNREACHABLE) from None
        if reading.last:
            connection.close()
        else:
            self._keep(connection)
        return Reply(reading.status, bytes(reading.body))

    def _take(self) -> ssl.SSLSocket | None:
        """A kept connection, the one used last; those that are too old are closed."""
        old: list[ssl.SSLSocket] = []
        taken = None
        with self._lock:
            youngest = self._clock.monotonic() - IDLE_SECONDS
            while self._idle and taken is None:
                since, connection = self._idle.pop()
                if since > youngest:
                    taken = connection
                else:
                    old.append(connection)
        for connection in old:
            connection.close()
        return taken

    def _keep(self, connection: ssl.SSLSocket) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append((self._clock.monotonic(), connection))
                return
        connection.close()


class _Reading:
    """An answer as it comes in (the callbacks are `httptools`')."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self.last = False  # the connection is of no use any more
        self.size = 0
        self.status = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in more; raises `OverflowError` if it is too much."""
        self.size += len(data)
        if self.size > MOST_ANSWER_BYTES:
            raise OverflowError
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """An answer begins; a second one was not asked for, and nothing that follows it can be told apart."""
        if self.complete:
            self.last = True

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if not self.complete:
            self.complete = True
            self.status = self._parser.get_status_code()
            self.last = not self._parser.should_keep_alive()
