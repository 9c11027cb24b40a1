"""What sinks do over the connections of `keystead.network`: wait for acknowledgements, and ask web servers."""

import array
import fcntl
import http.client
import select
import ssl
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from keystead.bridges.sinks.port import Retry
from keystead.core.errors import ConfigError
from keystead.core.ports import Clock
from keystead.network.deadline import Deadline, Timed, connect

_PIECE: Final = 1 << 16
_MOST_ANSWER: Final = 1 << 16
_LONGEST_PAUSE: Final = 0.02
_AGENT: Final = "keystead"


class Target(NamedTuple):
    """Where a receiver listens, and over what."""

    host: str
    port: int
    context: ssl.SSLContext | None  # none is in the clear


def context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """What proves a receiver, and us to it; raises `ConfigError` for files that are none."""
    try:
        made = ssl.create_default_context(cafile=ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        named = [str(path) for path in (ca, certificate, key) if path is not None]
        raise ConfigError(f"a sink's certificates cannot be read ({', '.join(named)}): {error}") from None
    return made


class Connection:
    """A connection that is open, for one thread; raises `OSError` (of which `TimeoutError` is one) when it fails."""

    def __init__(self, target: Target, deadline: Deadline) -> None:
        self._socket = connect(target.host, target.port, target.context, deadline)

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Hand it to the system, which may still hold some of it when this returns."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self._socket.settimeout(deadline.left())
            self._socket.sendall(view[start : start + _PIECE])

    def drain(self, deadline: Deadline) -> None:
        """Wait until the receiver's system has acknowledged every byte that was sent, and is still there."""
        pause = 0.0
        while self._unacknowledged():
            self.check()
            time.sleep(min(pause, deadline.left()))
            pause = min(_LONGEST_PAUSE, pause + 0.0005)
        # What a reset throws away is acknowledged by nobody, and yet there is nothing left to be acknowledged.
        self.check()

    def check(self) -> None:
        """Raise if the receiver has closed the connection; what it says is of no interest."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.setblocking(False)
            try:
                if not self._socket.recv(_PIECE):
                    raise ConnectionResetError("the receiver has closed the connection")
            except (BlockingIOError, ssl.SSLWantReadError):
                return  # of TLS there may be something that is no data

    def reader(self, deadline: Deadline) -> Timed:
        """What comes from the receiver."""
        return Timed(self._socket, deadline)

    def close(self) -> None:
        """Let go of it, without a word to a receiver that may not listen."""
        with suppress(OSError):
            self._socket.close()

    def _unacknowledged(self) -> int:
        held = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, held)  # SIOCOUTQ of a socket
        return held[0]


class Answer(NamedTuple):
    """What an HTTP server has answered."""

    status: int
    after: float  # seconds, of ``Retry-After``
    body: bytes


class Poster:
    """Sends bodies to one URL, over a connection that is kept while it works. For one thread."""

    def __init__(self, target: Target, authority: str, path: str, *, clock: Clock, seconds: float) -> None:
        self._target = target
        self._authority = authority
        self._path = path
        self._clock = clock
        self._seconds = seconds
        self._connection: Connection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The server's answer, whatever it is; raises `Retry` when there is none in time."""
        said = {
            "Host": self._authority,
            "User-Agent": _AGENT,
            "Content-Length": str(len(body)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        request = f"POST {self._path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
        deadline = Deadline(self._clock, self._seconds)
        try:
            if self._connection is not None:
                try:
                    # A server may close a connection that was idle; that it has is only seen by looking.
                    self._connection.check()
                except OSError:
                    self.close()
            if self._connection is None:
                self._connection = Connection(self._target, deadline)
            self._connection.send(request, deadline)
            return self._read(self._connection, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Retry(explain(error)) from None

    def _read(self, connection: Connection, deadline: Deadline) -> Answer:
        with http.client.HTTPResponse(connection.reader(deadline), method="POST") as answer:  # type: ignore[arg-type]  # all that it calls is `makefile`
            answer.begin()
            body = answer.read(_MOST_ANSWER)
            after = answer.headers.get("Retry-After", "")
            whole = answer.isclosed() or not answer.length
            if answer.will_close or not whole:
                self.close()
        return Answer(answer.status, float(after) if after.isdecimal() else 0.0, body)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def explain(error: Exception) -> str:
    """What went wrong with a connection, in words that hold nothing of what was sent over it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not prove that it is the receiver: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return "it has not answered in time"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or error}"
    return f"it does not answer as a web server does ({type(error).__name__})"
