"""One document from a web server, within one deadline.

The deadline is for all of it: the name's addresses, the connection, the handshake, the request and the last byte of
the answer. Each wait gets what is left, so a server that sends a byte now and then holds nobody longer than one that
sends nothing. (The standard library's connection gives every wait its own time; its reader of answers is used here on
a socket that knows the deadline.)

Redirects are not followed: an issuer's documents are where it says, and a redirect could lead anywhere.
"""

import http.client
import io
import socket
import ssl
import threading
from contextlib import closing, suppress
from typing import Any, Final, NamedTuple

from typing_extensions import Buffer, override

from keystead.core.ports import Clock

_AGENT: Final = "keystead"


class Unreachable(Exception):
    """There is no answer, or none that makes sense; the text says what is wrong and holds nothing that was sent."""


class Target(NamedTuple):
    """Where a document is."""

    secure: bool
    host: str  # an IPv6 address without its brackets
    port: int
    path: str

    @property
    def authority(self) -> str:
        """How it stands in the request's ``Host``."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Deadline:
    """When all must be done."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self.seconds = seconds

    def left(self) -> float:
        """Seconds until then; raises `TimeoutError` when there are none."""
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def get(target: Target, context: ssl.SSLContext, deadline: Deadline, most_bytes: int) -> bytes:
    """The document; raises `Unreachable`. ``context`` says who may prove to be a server that is asked over TLS."""
    try:
        with closing(_connect(target, context, deadline)) as connection:
            connection.settimeout(deadline.left())
            connection.sendall(
                f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nAccept: application/json\r\n"
                f"Accept-Encoding: identity\r\nUser-Agent: {_AGENT}\r\nConnection: close\r\n\r\n".encode()
            )
            with http.client.HTTPResponse(_Timed(connection, deadline)) as answer:  # type: ignore[arg-type]  # all that it calls is `makefile`
                answer.begin()
                if answer.status != http.client.OK:
                    raise Unreachable(f"it answers with status {answer.status}")
                document = answer.read(most_bytes + 1)
                if len(document) > most_bytes:
                    raise Unreachable(f"its answer is larger than {most_bytes:,} bytes")
                if answer.length:  # fewer bytes have come than were announced
                    raise Unreachable("its answer breaks off")
    except TimeoutError:
        raise Unreachable(f"it has not answered within {deadline.seconds:g} seconds") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"its certificate does not prove that it is the one ({error.verify_message})"
        ) from None
    except ssl.SSLError:
        raise Unreachable("no TLS connection can be made with it") from None
    except (http.client.HTTPException, ValueError):  # the latter of a length or a name that cannot be one
        raise Unreachable("it does not answer as a web server does") from None
    except OSError:
        raise Unreachable("it cannot be reached") from None
    return document


def _connect(target: Target, context: ssl.SSLContext, deadline: Deadline) -> socket.socket:
    addresses = _addresses(target.host, target.port, deadline)
    failure: OSError = ConnectionRefusedError()
    for number, (family, address) in enumerate(addresses):
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address where nobody is must leave time for the next one.
            plain.settimeout(deadline.left() / (len(addresses) - number))
            plain.connect(address)
        except OSError as error:
            plain.close()
            failure = error
            continue
        try:
            plain.settimeout(deadline.left())
            return context.wrap_socket(plain, server_hostname=target.host) if target.secure else plain
        except BaseException:
            plain.close()
            raise
    raise failure


def _addresses(host: str, port: int, deadline: Deadline) -> list[tuple[int, Any]]:
    """Families and addresses. The system's resolver cannot be told a deadline, so it is asked on another thread."""
    found: list[tuple[int, Any]] = []
    done = threading.Event()

    def ask() -> None:
        with suppress(OSError, UnicodeError):  # the latter for a name that cannot be one
            found.extend(
                (each[0], each[4]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    if not done.wait(deadline.left()):
        raise TimeoutError
    if not found:
        raise Unreachable("its name has no address")
    return found


class _Timed(io.RawIOBase):
    """A connection's bytes, each waited for until the deadline and no longer."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, _: str) -> io.BufferedReader:
        """What `http.client.HTTPResponse` reads from."""
        return io.BufferedReader(self)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv_into(buffer)
