"""Dead letters: every event that was refused for good can be read afterwards."""

import json
from pathlib import Path

from keystead.bridges.sinks.deadletter import NAME, OLDER, DeadLetters, Letter
from keystead.testing.disk import MemoryDisk

DIRECTORY = Path("/data/sinks/siem")


def fresh() -> MemoryDisk:
    """A disk with a data directory."""
    disk = MemoryDisk()
    disk.mkdir(Path("/data"))
    return disk


def letter(number: int) -> Letter:
    """An event that was refused."""
    return Letter(f"keystead-test/w0/{number}", "siem", 1.5, "too blue", "{}")


def events(disk: MemoryDisk, name: str = NAME) -> list[str]:
    """The events in a file."""
    return [
        json.loads(line)["event"] for line in disk.read(DIRECTORY / name).splitlines() if line[:1] == b"{"
    ]


def test_letters_are_kept_across_processes() -> None:
    """Each is one line, after those that there were."""
    disk = fresh()
    for process in range(2):
        letters = DeadLetters(DIRECTORY, disk=disk)
        for number in range(2):
            letters.add(letter(2 * process + number))
    assert events(disk) == [f"keystead-test/w0/{number}" for number in range(4)]
    assert json.loads(disk.read(DIRECTORY / NAME).splitlines()[0]) == {
        "event": "keystead-test/w0/0",
        "sink": "siem",
        "time": 1.5,
        "reason": "too blue",
        "body": "{}",
    }


def test_a_torn_line_hurts_no_other() -> None:
    """What a crash has left of a line stays apart from the next one."""
    disk = fresh()
    DeadLetters(DIRECTORY, disk=disk).add(letter(1))
    disk.damage(DIRECTORY / NAME, disk.read(DIRECTORY / NAME) + b'{"event":"keyst')
    DeadLetters(DIRECTORY, disk=disk).add(letter(2))
    lines = disk.read(DIRECTORY / NAME).split(b"\n")
    assert lines[1] == b'{"event":"keyst'
    assert [json.loads(lines[at])["event"] for at in (0, 2)] == ["keystead-test/w0/1", "keystead-test/w0/2"]


def test_they_do_not_grow_for_ever() -> None:
    """A full file becomes the older one, and the one before that goes."""
    disk = fresh()
    letters = DeadLetters(DIRECTORY, disk=disk, most_bytes=150)
    for number in range(6):
        letters.add(letter(number))
    assert events(disk, OLDER) + events(disk) == [f"keystead-test/w0/{number}" for number in (2, 3, 4, 5)]
    assert disk.names(DIRECTORY) == sorted([NAME, OLDER])
