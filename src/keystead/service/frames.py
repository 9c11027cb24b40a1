"""Messages between the control process and the reader: JSON after its length, over a pair of sockets.

The control process sends `Settings` first, and then one `Asked` for each question. The reader answers each with a
`Told` of the same number, in any order, and about once a second tells how it fares (a `Told` of number 0). Neither
believes a length beyond `MOST_BYTES`, so neither can be made to take the other's memory.
"""

import os
import socket
from pathlib import Path
from struct import Struct as Layout
from typing import Any, Final, TypeVar, cast

import msgspec

from keystead.config import Sink
from keystead.core.query import Answered, Question, ReaderStatus

MOST_BYTES: Final = 32 << 20
_LENGTH: Final = Layout(">I")

T = TypeVar("T")


class BrokenFrame(Exception):
    """The other side has gone in the middle of a message, or sends what is none."""


class Settings(msgspec.Struct, frozen=True):
    """What a reader is told when it begins."""

    audit: Path  # where the logs are
    archive: Path  # where it keeps what it derives from them
    origin: str  # what the logs' origins begin with
    memory_mb: int = 512
    threads: int = 2
    json_log: bool = False
    sinks: tuple[Sink, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """One question, and how long the answer may take."""

    id: int
    question: Question
    seconds: float


class Told(msgspec.Struct, frozen=True):
    """The answer to a question, or why there is none; or how the reader fares."""

    id: int = 0
    answered: Answered | None = None
    error: str = ""
    invalid: bool = False  # whether the question is to blame
    status: ReaderStatus | None = None


def _plain(value: object) -> str:
    """What JSON has no form for: of all that is in a message, a path."""
    return os.fspath(cast("Path", value))


def _rich(kind: type, value: Any) -> object:  # noqa: ANN401 - whatever JSON had there
    return kind(value)


def send(sock: socket.socket, message: object) -> None:
    """Send one message; for one thread at a time. Raises `OSError` when nobody is there."""
    body = msgspec.json.encode(message, enc_hook=_plain)
    sock.sendall(_LENGTH.pack(len(body)) + body)


def receive(sock: socket.socket, kind: type[T]) -> T | None:
    """The next message; None when the other side has gone, and `BrokenFrame` when it sends no message of that kind."""
    head = _exactly(sock, _LENGTH.size)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MOST_BYTES:
        raise BrokenFrame(f"a message of {length} bytes")
    body = _exactly(sock, length)
    try:
        return msgspec.json.decode(body, type=kind, dec_hook=_rich)
    except msgspec.DecodeError as error:
        raise BrokenFrame(f"no {kind.__name__}: {error}") from None


def _exactly(sock: socket.socket, size: int) -> bytes:
    """That many bytes; none at all when there is an end instead."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = sock.recv(min(size - len(data), 1 << 20))
        except ConnectionResetError:
            piece = b""
        if not piece:
            if data:
                raise BrokenFrame("it ends in the middle of a message")
            return b""
        data += piece
    return bytes(data)
