"""How far a sink has got: what was saved is there, or what was saved before it, whatever happens."""

from hashlib import sha256
from pathlib import Path

import pytest

from keystead.bridges.sinks.cursor import Cursor, CursorDamaged, Cursors, mark_of
from keystead.testing.disk import Fault, Killed, MemoryDisk, PowerCut

DIRECTORY = Path("/data/sinks/siem")


def fresh(seed: int = 0) -> MemoryDisk:
    """A disk with a data directory."""
    disk = MemoryDisk(seed)
    disk.mkdir(Path("/data"))
    disk.sync(Path("/"))
    return disk


def cursors(disk: MemoryDisk) -> Cursors:
    """The cursors of a sink."""
    return Cursors(DIRECTORY, sink="siem", disk=disk)


def test_a_cursor_reads_back() -> None:
    """What was saved is what is loaded, for each log its own; a log that is new begins at the beginning."""
    disk = fresh()
    one = Cursor("siem", "w0", position=7, mark=mark_of(b"entry"), passed=2, told=5)
    two = Cursor("siem", "w1", position=1)
    for cursor in (one, two):
        cursors(disk).save(cursor)
    assert [cursors(disk).load(log) for log in ("w0", "w1", "w2")] == [one, two, Cursor("siem", "w2")]
    assert disk.names(DIRECTORY) == ["w0.cursor", "w1.cursor"]
    body = b'{"sink":"siem","log":"w0","position":7,"mark":"%s","passed":2,"told":5,"v":1}'
    body %= sha256(b"entry").hexdigest()[:32].encode()
    assert disk.read(DIRECTORY / "w0.cursor") == body + b"\n" + sha256(body).hexdigest().encode() + b"\n"


def test_the_page_shows_one_as_it_is(checkout: Path) -> None:
    """The example in the description of the format is read."""
    page = (checkout / "docs" / "formats" / "sink-cursor.md").read_text()
    example = page.split("```text\n")[1].split("```")[0]
    disk = fresh()
    cursors(disk).save(Cursor("siem", "w0"))
    disk.damage(DIRECTORY / "w0.cursor", example.encode())
    assert cursors(disk).load("w0").position == 567


def _operations() -> int:
    disk = fresh()
    before = disk.operations
    known = cursors(disk)
    known.save(Cursor("siem", "w0", position=1))
    known.save(Cursor("siem", "w0", position=2))
    return disk.operations - before


@pytest.mark.parametrize("fault", [Fault.POWER, Fault.KILL, Fault.ERROR])
@pytest.mark.parametrize("operation", range(_operations()))
def test_a_crash_while_saving_leaves_one_that_is_whole(operation: int, fault: Fault) -> None:
    """After a power cut or a kill at any step the cursor is the last that was saved, or the one being saved."""
    for seed in range(8):
        disk = fresh(seed)
        known = cursors(disk)
        disk.at(operation, fault)
        saved = 0
        try:
            for position in (1, 2):
                known.save(Cursor("siem", "w0", position=position))
                saved = position
        except PowerCut:
            disk = disk.restarted()
        except (Killed, OSError):
            disk = disk.revived()
        assert cursors(disk).load("w0").position in (saved, saved + 1)
        cursors(disk).save(Cursor("siem", "w0", position=9))
        assert cursors(disk).load("w0").position == 9


@pytest.mark.parametrize("cut", [0, 1, 20, -1, -20, -66])
def test_a_torn_file_is_no_cursor(cut: int) -> None:
    """Whatever part of it is missing, it is not taken for another position."""
    disk = fresh()
    cursors(disk).save(Cursor("siem", "w0", position=1234))
    path = DIRECTORY / "w0.cursor"
    disk.damage(path, disk.read(path)[:cut])
    with pytest.raises(CursorDamaged):
        cursors(disk).load("w0")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"sink":"other","log":"w0"}',
        b'{"sink":"siem","log":"w1"}',
        b'{"sink":"siem","log":"w0","v":2}',
        b'{"sink":"siem","log":"w0","position":-1}',
    ],
)
def test_what_is_whole_and_still_no_cursor_of_ours(body: bytes) -> None:
    """A file of another sink, log or version is not taken."""
    disk = fresh()
    cursors(disk).save(Cursor("siem", "w0"))
    disk.damage(DIRECTORY / "w0.cursor", body + b"\n" + sha256(body).hexdigest().encode() + b"\n")
    with pytest.raises(CursorDamaged):
        cursors(disk).load("w0")
