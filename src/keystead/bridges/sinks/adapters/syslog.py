"""Events as syslog messages (RFC 5424) over TLS (RFC 5425) or TCP (RFC 6587, octet counting).

Syslog has no acknowledgement. What comes closest is that the receiver's system has acknowledged every byte, so a
delivery counts when nothing is left in the send buffer. A receiver that is killed still loses what it had read and not
yet written, or not even read: so whenever a connection is made again, the last ``overlap`` events go out once more,
before anything new. How many it must be depends on how much the receiver holds in memory; the numbers in the events
tell whether it was enough.
"""

import socket
import urllib.parse
from collections import deque
from collections.abc import Sequence
from typing import Final

from keystead.bridges.renderings import facts
from keystead.bridges.renderings.syslog import priority, structured_data
from keystead.bridges.sinks import wire
from keystead.bridges.sinks.port import Message, Retry
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.ports import Clock
from keystead.network.deadline import Deadline

_PORTS: Final = {"tls": 6514, "tcp": 601}
_MOST_HOSTNAME: Final = 255
_MOST_MSGID: Final = 32
_RESENT_AT_ONCE: Final = 200


def connect(settings: Settings, clock: Clock, disk: Disk) -> "SyslogSink":  # noqa: ARG001 - as every kind
    """A sink that sends to the address of the settings."""
    url = urllib.parse.urlsplit(settings.url)
    secure = url.scheme == "tls"
    target = wire.Target(
        url.hostname or "",
        url.port or _PORTS[url.scheme],
        wire.context(settings.ca, settings.certificate, settings.key) if secure else None,
    )
    return SyslogSink(
        target,
        clock=clock,
        seconds=settings.deadline_seconds,
        overlap=settings.overlap,
        hostname=socket.gethostname(),
    )


class SyslogSink:
    """A connection to a syslog receiver, made when there is something to send. For one thread."""

    def __init__(
        self, target: wire.Target, *, clock: Clock, seconds: float, overlap: int, hostname: str
    ) -> None:
        self.overlap = overlap
        self._target = target
        self._clock = clock
        self._seconds = seconds
        self._hostname = _printable(hostname, _MOST_HOSTNAME)
        self._recent: deque[bytes] = deque(maxlen=overlap)
        self._connection: wire.Connection | None = None

    def remember(self, messages: Sequence[Message]) -> None:
        """Keep them for the first connection."""
        self._recent.extend(self._frame(message) for message in messages)

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send, and wait until the receiver's system has it."""
        frames = [self._frame(message) for message in messages]
        deadline = Deadline(self._clock, self._seconds)
        try:
            if self._connection is None:
                self._connection = self._again(deadline)
            self._connection.check()
            self._connection.send(b"".join(frames), deadline)
            self._connection.drain(deadline)
        except OSError as error:
            self.close()
            raise Retry(wire.explain(error)) from None
        self._recent.extend(frames)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _again(self, deadline: Deadline) -> wire.Connection:
        """A new connection, over which the last events have gone once more."""
        connection = wire.Connection(self._target, deadline)
        try:
            recent = list(self._recent)
            for start in range(0, len(recent), _RESENT_AT_ONCE):
                # However many they are, each lot has the time that a delivery has.
                until = Deadline(self._clock, self._seconds)
                connection.send(b"".join(recent[start : start + _RESENT_AT_ONCE]), until)
                connection.drain(until)
        except BaseException:
            connection.close()
            raise
        return connection

    def _frame(self, message: Message) -> bytes:
        """``LENGTH SP HEADER SP STRUCTURED-DATA SP MSG``; the message is JSON or CEF in UTF-8, without a BOM."""
        about = message.about
        entry = about.entry
        process = _printable(about.origin.partition("/")[2].replace("/", "-"), _MOST_MSGID)
        kind = _printable(entry.action, _MOST_MSGID)
        head = (
            f"<{priority(about)}>1 {facts.timestamp(entry.time)} {self._hostname} keystead {process} {kind} "
        )
        line = head.encode() + structured_data(about) + b" " + message.body
        return b"%d " % len(line) + line


def _printable(text: str, most: int) -> str:
    """A field of the header: printable ASCII without spaces, or a hyphen."""
    return "".join(each for each in text if "!" <= each <= "~")[:most] or "-"
