"""Following logs while they are written, fail, heal, are killed and begin again: everything once, in order."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from keystead.audit import prune as pruning
from keystead.audit import segment
from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.audit.log import Log
from keystead.audit.reading import entries
from keystead.core.errors import AuditUnavailable, DataDamaged
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Fault, Killed, MemoryDisk, Onlooker, PowerCut


class Reader:
    """Follows one log and keeps what it was given."""

    def __init__(self, bench: AuditBench, limit: int = 50) -> None:
        self.bench = bench
        self.got: list[bytes] = []
        self.limit = limit
        self.begin()

    def begin(self) -> None:
        """A new process, which knows only how far it had got."""
        self.follower = Follower(self.bench.root, disk=Onlooker(self.bench.disk))  # type: ignore[arg-type]  # it only looks
        self.latest: list[tuple[int, bytes]] = []

    def look(self) -> bool:
        """Read once; whether there was anything."""
        if "w0" not in self.follower.logs():
            return False
        found = self.follower.read("w0", len(self.got), self.limit)
        assert [index for index, _ in found] == list(range(len(self.got), len(self.got) + len(found)))
        assert len(found) <= self.limit
        self.got += [entry for _, entry in found]
        return bool(found)

    def finish(self) -> None:
        """Read until there is no more."""
        while self.look():
            pass


class Watched(MemoryDisk):
    """A disk at each of whose operations somebody looks on."""

    reader: Reader | None = None
    looking = False

    @override
    def operate(self, what: str, partly: Any, grown: int = 0) -> None:
        self._look()
        super().operate(what, partly, grown)
        self._look()

    def _look(self) -> None:
        if self.reader is not None and not self.looking and self._dead is None:
            self.looking = True
            self.reader.look()
            self.looking = False


def watched(seed: int) -> tuple[AuditBench, Reader]:
    """A log, and a reader who looks before and after each operation of its owner's."""
    bench = AuditBench(seed)
    disk = bench.disk = Watched(seed)
    disk.mkdir(bench.root.parent)
    reader = disk.reader = Reader(bench)
    return bench, reader


def work(bench: AuditBench, turns: int = 14, *, seed: int = 0) -> Log:
    """Fill segments and bundles, tend now and then, go on after what fails."""
    log = bench.open()
    chance = random.Random(seed)  # noqa: S311 - a test that must repeat
    for turn in range(turns):
        many = turn % 5 == 4
        with suppress(AuditUnavailable):
            for number in range(140 if many else 2):
                log.append(
                    b"%d/%d/%d " % (seed, turn, number) + bytes(20 if many else chance.randrange(3000))
                )
            log.commit()
        if turn % 3 == 2:
            bench.later()
            log.tend()
    return log


def test_what_is_followed_at_every_operation_is_the_log() -> None:
    """However the owner's steps and the reader's looks fall together, nothing is missing or twice."""
    bench, reader = watched(0)
    log = work(bench)
    assert 0 < len(reader.got) <= log.size
    log.close()
    reader.finish()
    assert reader.got == list(entries(bench.disk, bench.directory))
    assert len(reader.got) > 256


def _operations() -> int:
    bench, _ = watched(0)
    work(bench).close()
    return bench.disk.operations


OPERATIONS = _operations()


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("fault", list(Fault))
def test_what_fails_leaves_nothing_in_the_readers_hands(fault: Fault, part: int) -> None:
    """A batch whose sync fails was never there, whatever the file shows: no reader is given it, at any moment."""
    for operation in range(part * 4, OPERATIONS, 12):
        bench, reader = watched(operation)
        bench.disk.at(operation, fault)
        with suppress(PowerCut, Killed, AuditUnavailable):
            work(bench).close()
        if fault is Fault.POWER:
            bench.disk = bench.disk.restarted()
            reader.begin()
        else:
            bench.disk = bench.disk.revived()
            bench.disk.mend()
        bench.disk.revived()  # whoever owned it has ended
        log = work(bench, 3, seed=1)
        log.close()
        reader.finish()
        assert reader.got == list(entries(bench.disk, bench.directory)), operation


def test_entries_at_the_very_end_wait_until_they_are_settled() -> None:
    """The last batch comes when another follows or a checkpoint covers it; who wants it at once may ask for that."""
    bench = AuditBench()
    log = bench.open()
    follower = Follower(bench.root, disk=bench.disk)
    for number in range(3):
        log.append(b"%d" % number)
        log.commit()
    assert follower.read("w0", 0, 10) == [(0, b"0"), (1, b"1")]
    assert follower.read("w0", 2, 10) == []
    assert follower.read("w0", 2, 10, unsettled=True) == [(2, b"2")]
    assert follower.read("w0", 1, 1, unsettled=True) == [(1, b"1")]
    assert follower.read("w0", 3, 10, unsettled=True) == []
    bench.later()
    log.tend()
    log.tend()
    assert follower.read("w0", 2, 10) == [(2, b"2")]
    signed = follower.signed("w0")
    assert (signed.origin, signed.size) == ("keystead-test/w0", 3)
    assert signed.note.startswith(f"keystead-test/w0\n3\n{signed.root}\n")


def test_a_reader_may_go_back() -> None:
    """A position before the remembered place is found again."""
    bench = AuditBench()
    log = bench.open()
    follower = Follower(bench.root, disk=bench.disk)
    for number in range(9):
        log.append(b"%d" % number)
        log.commit()
    assert len(follower.read("w0", 0, 100)) == 8
    assert follower.read("w0", 3, 2) == [(3, b"3"), (4, b"4")]


def test_a_segment_that_is_released_while_it_is_looked_at_is_no_fault() -> None:
    """The next look finds its entries elsewhere, or that there are none beyond."""
    bench = AuditBench()
    log = bench.open()
    for number in range(3):
        log.append(b"%d" % number)
        log.commit()

    class Releasing(Onlooker):
        released = 0

        @override
        def open(self, path: Path) -> Any:
            if path.parent.name == segment.FOLDER and self.released:
                self.released -= 1
                raise FileNotFoundError(path)
            return super().open(path)

    disk = Releasing(bench.disk)
    follower = Follower(bench.root, disk=disk)  # type: ignore[arg-type]  # it only looks
    assert len(follower.read("w0", 0, 10)) == 2
    disk.released = 1
    assert follower.read("w0", 2, 10) == []
    disk.released = 1
    assert len(follower.read("w0", 0, 10)) == 2
    disk.released = 100
    with pytest.raises(AuditUnavailable):
        follower.read("w0", 2, 10)


def test_new_logs_appear() -> None:
    """A log that begins later is followed as well, and what is no log is not."""
    bench = AuditBench()
    bench.open()
    follower = Follower(bench.root, disk=bench.disk)
    bench.disk.mkdir(bench.root / "other")
    assert follower.logs() == ["w0"]
    log = bench.open("w1")
    log.append(b"x")
    log.close()
    assert follower.logs() == ["w0", "w1"]
    assert follower.read("w1", 0, 10) == [(0, b"x")]


def prune(bench: AuditBench, *bundles: int) -> None:
    """Remove bundles by the rules: the statement first."""
    gone = pruning.NOTHING.plus(bundles, began=1)
    note = bench.signer.named(pruning.name("keystead-test/w0")).sign(gone.text("keystead-test/w0"))
    pruning.state(bench.disk, bench.directory, note)
    pruning.remove(bench.disk, bench.directory, bundles)


def test_what_was_pruned_is_passed_over() -> None:
    """Reading goes on at the next entry that is there; what is missing and not said to be is damage."""
    bench = AuditBench(segment_bytes=1 << 18)
    log = bench.open()
    for number in range(1300):
        log.append(b"%d" % number)
        if number % 100 == 99:
            log.commit()
    log.close()
    prune(bench, 0, 2, 3)
    follower = Follower(bench.root, disk=bench.disk)
    assert follower.read("w0", 0, 3) == [(number, b"%d" % number) for number in (256, 257, 258)]
    assert [index for index, _ in follower.read("w0", 300, 1000)] == list(range(300, 512))
    assert [index for index, _ in follower.read("w0", 600, 1000)] == list(range(1024, 1300))
    pruning.remove(bench.disk, bench.directory, [1])
    with pytest.raises(DataDamaged, match="it is missing"):
        follower.read("w0", 256, 3)


def test_damage_is_told() -> None:
    """A gap that no newer checkpoint explains, a bad header and a bad checkpoint are damage; no log is none yet."""
    bench = AuditBench()
    log = bench.open()
    for number in range(4):
        log.append(b"%d" % number + bytes(6000))
        log.commit()
    disk, wal = bench.disk, bench.directory / segment.FOLDER
    first, second = (wal / segment.file_name(each) for each in segment.sequences(disk, bench.directory)[:2])
    header = disk.read(first)
    disk.damage(first, header[:64] + bytes(len(header) - 64))
    with pytest.raises(DataDamaged, match=r"000002\.seg: the records before 2 are missing"):
        Follower(bench.root, disk=disk).read("w0", 0, 10)
    disk.damage(first, header)
    disk.damage(second, bytes(16384))
    with pytest.raises(DataDamaged, match="its header is damaged"):
        Follower(bench.root, disk=disk).read("w0", 0, 10)
    disk.damage(bench.directory / "checkpoint", b"keystead\nmany\n")
    with pytest.raises(DataDamaged, match="not a checkpoint"):
        Follower(bench.root, disk=disk).signed("w0")
    with pytest.raises(DataDamaged):
        Follower(bench.root, disk=disk).read("w7", 0, 10)
    with pytest.raises(AuditUnavailable):
        Follower(bench.root, disk=disk).signed("w7")


def test_a_gap_after_good_entries_is_told_when_they_are_read() -> None:
    """What stands before the gap is given first."""
    bench = AuditBench()
    log = bench.open()
    for number in range(4):
        log.append(b"%d" % number + bytes(6000))
        log.commit()
    disk, wal = bench.disk, bench.directory / segment.FOLDER
    first = wal / segment.file_name(segment.sequences(disk, bench.directory)[0])
    data = disk.read(first)
    cut = data.index(b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01")
    disk.damage(first, data[: cut - 8] + bytes(len(data) - cut + 8))
    follower = Follower(bench.root, disk=disk)
    assert [index for index, _ in follower.read("w0", 0, 10)] == [0]
    with pytest.raises(DataDamaged, match="the records before 2 are missing"):
        follower.read("w0", 1, 10)


def test_a_disk_that_fails_is_said_to() -> None:
    """An error of the system's is one that a caller may wait out."""
    bench = AuditBench()
    bench.open()

    class Failing(Onlooker):
        @override
        def read(self, path: Path) -> bytes:
            raise PermissionError(f"not today: {path}")

    with pytest.raises(AuditUnavailable, match="not today"):
        Follower(bench.root, disk=Failing(bench.disk)).read("w0", 0, 1)  # type: ignore[arg-type]  # it only looks


WRITER = """
import os, random, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keystead.audit.disk import LocalDisk
from keystead.audit.log import Log, MIN_SEGMENT_BYTES
from keystead.core.errors import AuditUnavailable
from keystead.crypto.note import NoteSigner
from concurrent.futures import ThreadPoolExecutor
import time
class Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
chance = random.Random(int(sys.argv[2]))
log = Log.open(Path(sys.argv[1]) / "w0", origin="keystead-test/w0",
    signer=NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"k")),
    disk=LocalDisk(), clock=Clock(), random=os.urandom, notice=lambda notice: b"notice %d" % notice.index,
    segment_bytes=4 * MIN_SEGMENT_BYTES, checkpoint_seconds=0.05, executor=ThreadPoolExecutor(2))
turn = 0
while True:
    for _ in range(chance.randrange(1, 40) if log.healthy else 0):
        log.append(os.urandom(8) + bytes(chance.randrange(600)))
    try:
        log.commit()
    except AuditUnavailable:  # tiles are too far behind: it heals
        time.sleep(0.3)
    turn += 1
    if turn % 3 == 0 or not log.healthy:
        log.tend()
"""


def kill_and_follow(directory: Path, kills: int, seconds: float) -> int:
    """A real writer, killed at random moments and begun again, while a real reader follows; how many entries it was."""
    root = directory / "audit"
    follower = Follower(root, disk=LocalDisk())
    got: list[bytes] = []
    chance = random.Random(kills)  # noqa: S311 - when to kill

    def look() -> bool:
        found = follower.read("w0", len(got), 300) if "w0" in follower.logs() else []
        assert [index for index, _ in found] == list(range(len(got), len(got) + len(found)))
        got.extend(entry for _, entry in found)
        return bool(found)

    for number in range(kills):
        begun = len(got)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(number)], env=os.environ.copy()
        )
        try:
            until = float("inf")
            while time.monotonic() < until:
                if not look():
                    time.sleep(0.002)
                    assert writer.poll() is None
                elif until == float("inf") and len(got) > begun:
                    until = time.monotonic() + chance.uniform(0.02, seconds)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    bench = AuditBench()
    log = Log.open(
        root / "w0",
        origin="keystead-test/w0",
        signer=bench.signer,
        disk=LocalDisk(),
        clock=bench.clock,
        random=os.urandom,
        notice=lambda notice: b"notice %d" % notice.index,
    )
    log.close()
    while look():
        pass
    assert got == list(entries(LocalDisk(), root / "w0"))
    assert len(set(got)) == len(got)
    return len(got)


def test_a_writer_that_is_killed_is_followed_without_a_gap(tmp_path: Path) -> None:
    """Three kills of a real process, segments recycled below the reader: in the end it has the log."""
    assert kill_and_follow(tmp_path, 3, 0.5) > 500


@pytest.mark.long
def test_a_writer_that_is_killed_very_often_is_followed_without_a_gap(tmp_path: Path) -> None:
    """The long form."""
    assert kill_and_follow(tmp_path, 60, 2.0) > 5_000
