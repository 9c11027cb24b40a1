"""Messages between the control process and the reader."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.config import Sink
from keystead.core.query import Answered, Count, Place, Question, ReaderStatus, Row, SinkStatus
from keystead.service import frames


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a line."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize(
    "message",
    [
        frames.Settings(
            Path("/data/audit"),
            Path("/data/archive"),
            "keystead-1",
            sinks=(Sink(name="s", kind="file", path=Path("/x")),),
        ),
        frames.Asked(7, Question(principal="p", by=("key",), after=Place(time=1, log="w0", index=2)), 2.5),
        frames.Told(
            7,
            answered=Answered(
                rows=(Row(log="w0", index=1, entry={"time": 5, "matched": ["a"]}),),
                counts=(Count(by=("x",), count=1, first=2, last=3),),
            ),
        ),
        frames.Told(status=ReaderStatus(running=True, sinks={"s": SinkStatus(delivered=3)})),
        frames.Told(8, error="no", invalid=True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket], message: object) -> None:
    """Paths and all."""
    one, other = ends
    frames.send(one, message)
    frames.send(one, message)
    assert frames.receive(other, type(message)) == message
    assert frames.receive(other, type(message)) == message


def test_what_is_no_plain_value_is_not_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    """It is a mistake of ours, and nothing of the message has gone."""
    with pytest.raises(TypeError, match="not object"):
        frames.send(ends[0], [object()])


def test_an_end_between_messages_is_the_end(ends: tuple[socket.socket, socket.socket]) -> None:
    """Nobody is there any more."""
    ends[0].close()
    assert frames.receive(ends[1], frames.Asked) is None


def test_a_connection_that_is_reset_is_the_end_as_well() -> None:
    """The other process was killed with something unread."""
    listener = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    with listener, other:
        other.sendall(b"unread")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
        assert frames.receive(other, frames.Asked) is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\0\0", "in the middle"),
        (b"\0\0\0\x05{}", "in the middle"),
        (b"\xff\xff\xff\xff", "a message of 4294967295 bytes"),
        (b"\0\0\0\x02{}", "no Asked: "),
        (b"\0\0\0\x03{!}", "no Asked: "),
    ],
)
def test_what_is_no_message_is_refused(
    ends: tuple[socket.socket, socket.socket], data: bytes, problem: str
) -> None:
    """Without taking the memory that it asks for."""
    ends[0].sendall(data)
    ends[0].close()
    with pytest.raises(frames.BrokenFrame, match=problem):
        frames.receive(ends[1], frames.Asked)
