"""The operational log: its form, and what it never writes."""

import errno
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from keystead.observe.log import FIELDS, Log


def written(form: str, **fields: Any) -> str:
    """What one warning writes."""
    stream = io.StringIO()
    Log(stream, form, lambda: 1.5).warning("something happened", **fields)
    return stream.getvalue()


def test_a_line_for_programs() -> None:
    """JSON: time in UTC, level, message, then the fields."""
    assert json.loads(written("json", process="w1", status=-9, delay=0.1)) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "message": "something happened",
        "process": "w1",
        "status": -9,
        "delay": 0.1,
    }


def test_a_line_for_people() -> None:
    """Text: the same, in one line."""
    assert written("text", process="w1", status=1) == (
        '1970-01-01T00:00:01.500Z warning something happened process="w1" status=1\n'
    )


def test_each_level_has_its_name() -> None:
    """Three levels: as it should be, helped itself, somebody must act."""
    stream = io.StringIO()
    log = Log(stream, "json", lambda: 0.0)
    log.info("a")
    log.warning("b")
    log.error("c")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "a"),
        ("warning", "b"),
        ("error", "c"),
    ]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_field_that_is_not_on_the_list_is_withheld(form: str) -> None:
    """A secret passed by mistake does not reach the log; that it was passed does."""
    line = written(form, process="w1", plaintext="hunter2", token="hunter2")
    assert "hunter2" not in line
    assert "plaintext token" in line


@given(st.text(), st.sampled_from(["json", "text"]))
def test_one_event_is_one_printable_line(text: str, form: str) -> None:
    """No value can forge a second line or steer the reader's terminal."""
    line = written(form, reason=text)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_a_long_value_is_cut() -> None:
    """An exception's text of any length does not flood the log."""
    assert len(written("json", error="x" * 10_000)) < 500


def test_a_fault_tells_its_kind_and_place_but_not_its_text() -> None:
    """The text of an exception that nobody expected may hold a secret."""
    stream = io.StringIO()
    log = Log(stream, "json", lambda: 0.0)
    try:
        _fail("hunter2")
    except ValueError as fault:
        log.fault("a bug", fault)
    log.fault("a bug without a place", KeyError("hunter2"))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["error"], first["file"]) == ("ValueError", __file__)
    assert first["line"] == _fail.__code__.co_firstlineno + 1
    assert (second["error"], second["file"]) == ("KeyError", None)
    assert "hunter2" not in stream.getvalue()


def _fail(secret: str) -> None:
    raise ValueError(secret)


class FullDisk(io.StringIO):
    """A stream on a disk that is full."""

    @override
    def write(self, s: str, /) -> int:
        """Fail as the kernel does."""
        raise OSError(errno.ENOSPC, "No space left on device", s)


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A closed or full stream loses the line, not the service."""
    closed, full = io.StringIO(), FullDisk()
    closed.close()
    for stream in (closed, full):
        Log(stream, "json", lambda: 0.0).error("nobody hears")
    assert full.getvalue() == ""


def test_no_field_is_about_a_request() -> None:
    """The list of fields has none that a request's contents would go into."""
    assert FIELDS.isdisjoint(
        {"body", "headers", "authorization", "plaintext", "ciphertext", "token", "context"}
    )
