"""TCP and TLS connections all of whose waits end by one deadline."""

import io
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

from typing_extensions import Buffer, override

from keystead.core.ports import Clock


class NoAddress(OSError):
    """A name has no address."""


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
            raise TimeoutError("the deadline has passed")
        return left


def connect(host: str, port: int, context: ssl.SSLContext | None, deadline: Deadline) -> socket.socket:
    """A connection, over TLS if there is a ``context``, which says who may prove to be ``host``.

    Each address of the name is tried. Raises `OSError` (of which `TimeoutError`, `NoAddress` and `ssl.SSLError` are
    some), or `ValueError` for a name that no certificate can have.
    """
    addresses = _addresses(host, port, deadline)
    failure: OSError = NoAddress("its name has no address")
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
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(deadline.left())
            return plain if context is None else context.wrap_socket(plain, server_hostname=host)
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

    threading.Thread(target=ask, daemon=True, name="resolver").start()
    if not done.wait(deadline.left()):
        raise TimeoutError("its name was not resolved in time")
    return found


class Timed(io.RawIOBase):
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
