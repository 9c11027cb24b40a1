"""One log: what `keystead.testing.contracts.audit` asks of every log, and what is its own."""

import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from keystead.audit.disk import LocalDisk, LocalFile
from keystead.audit.log import MAX_NOTICE_BYTES, Event, Log, Notice
from keystead.audit.verify import verify
from keystead.core.errors import AuditUnavailable, ConfigError, DataDamaged
from keystead.testing.audit import NOTICE, AuditBench
from keystead.testing.contracts.audit import AuditLogContract
from keystead.testing.disk import Fault


class RealClock:
    """The machine's clocks."""

    def now(self) -> float:
        """The wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """The monotonic clock."""
        return time.monotonic()


def commit(log: Log, *entries: bytes) -> None:
    """Commit some entries."""
    for entry in entries:
        log.append(entry)
    log.commit()


def until_refused(log: Log, size: int) -> tuple[int, str]:
    """Commit entries until one is refused: how many there were, and why no more."""
    committed = 0
    while True:
        try:
            commit(log, bytes(size))
        except AuditUnavailable as refusal:
            return committed, str(refusal)
        committed += 1


class TestLog(AuditLogContract[Log]):
    """The log keeps the port's promises."""

    @pytest.fixture
    def bench(self) -> AuditBench:
        """A log on a disk in memory, with room for the longest entry."""
        return AuditBench(segment_bytes=1 << 18)


@pytest.fixture
def bench() -> AuditBench:
    """A place for a log with small segments."""
    return AuditBench()


# --- opening -----------------------------------------------------------------------------------------------


def test_a_new_log_has_a_signed_checkpoint_of_nothing(bench: AuditBench) -> None:
    """From its first moment a log can be verified, and cannot be removed unnoticed."""
    log = bench.open()

    assert (log.size, log.signed, log.healthy, log.trouble) == (0, 0, True, "")
    assert bench.verify().records == 0


@pytest.mark.parametrize("size", [100, 16_380, 16_385])
def test_segments_have_sensible_sizes(size: int) -> None:
    """A segment must hold something, and be aligned."""
    with pytest.raises(ConfigError, match="audit segments"):
        AuditBench(segment_bytes=size).open()


def test_notices_that_would_not_fit_are_refused_at_the_start(bench: AuditBench) -> None:
    """A notice must fit into the reserve, or the stop could not be recorded on a full disk."""
    with pytest.raises(ConfigError, match="recovered notice"):
        Log.open(
            bench.directory,
            origin="keystead-test/w0",
            signer=bench.signer,
            disk=bench.disk,
            clock=bench.clock,
            random=random.randbytes,
            notice=lambda notice: bytes(MAX_NOTICE_BYTES + (notice.event is Event.RECOVERED)),
        )


def test_a_disk_that_fails_at_the_start_is_unavailable(bench: AuditBench) -> None:
    """No half-open log: the next attempt finds the lock free."""
    bench.stop_disk()
    with pytest.raises(AuditUnavailable, match="cannot be opened"):
        bench.open()
    bench.mend_disk()
    bench.disk.at(6, Fault.ERROR)
    with pytest.raises(AuditUnavailable, match="cannot be opened"):
        bench.open()

    assert bench.open().healthy


def test_a_damaged_log_does_not_open(bench: AuditBench) -> None:
    """The message names the file, the record and the cure, and nothing is changed or locked."""
    commit(bench.open(), b"entry")
    bench.disk.revived()
    path = bench.directory / "checkpoint"
    note = bench.disk.read(path)
    bench.disk.damage(path, note.replace(b"w0", b"w1", 1))
    with pytest.raises(DataDamaged, match=r"/audit/w0/checkpoint: the signature .* at record 0; see what"):
        bench.open()
    bench.disk.damage(path, note)

    assert bench.entries(bench.open()) == [b"entry"]


def test_records_without_any_checkpoint_are_damage(bench: AuditBench) -> None:
    """Whoever removes the checkpoint does not get a fresh log."""
    commit(bench.open(), b"entry")
    bench.disk.revived()
    bench.disk.remove(bench.directory / "checkpoint")

    with pytest.raises(DataDamaged, match="checkpoint: it is missing, but there are records"):
        bench.open()


def test_a_damaged_tile_at_the_edge_is_found_at_the_start(bench: AuditBench) -> None:
    """The tiles that the log would go on from must lead to the signed root."""
    log = bench.open()
    commit(log, *(b"%d" % index for index in range(300)))
    log.close()
    for name in ("tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"):
        path = bench.directory / name
        data = bench.disk.read(path)
        bench.disk.damage(path, data[:-1] + b"?")
        with pytest.raises(DataDamaged, match=name):
            bench.open()
        bench.disk.damage(path, data)

    assert bench.open().size == 300


def test_what_the_last_owner_left_uncovered_is_told(bench: AuditBench) -> None:
    """`replayed` are the records beyond the last checkpoint, and they are covered by now."""
    log = bench.open()
    commit(log, b"covered")
    bench.later()
    log.tend()
    commit(log, b"not", b"yet")
    bench.disk.revived()

    log = bench.open()

    assert log.replayed == range(1, 3)
    assert log.signed == 3
    assert list(log.entries(log.replayed.start, log.replayed.stop)) == [b"not", b"yet"]


def test_an_unfinished_batch_is_dropped_with_a_notice(bench: AuditBench) -> None:
    """A torn tail never counted; the log says how much it was and where, once."""
    log = bench.open()
    commit(log, b"whole")
    bench.disk.revived()
    (path,) = [path for path in bench.disk.files() if path.name == log._current.path.name]
    data = bench.disk.read(path)
    bench.disk.damage(path, data[: log._offset] + b"torn" + data[log._offset + 4 :])

    log = bench.open()

    assert list(log.entries(0, 9)) == [b"whole", NOTICE + b"recovered 1 4 0"]
    assert bench.notices[-1] == Notice(
        Event.RECOVERED,
        1,
        f"wal/{path.name} ended in an unfinished batch, which was never acknowledged",
        4,
        0,
    )
    bench.disk.revived()
    assert bench.open().size == 2


# --- running -----------------------------------------------------------------------------------------------


def test_entries_come_from_memory_and_disk_alike(bench: AuditBench) -> None:
    """Any range, whether its bundles are on disk, on their way or not full yet; beyond the end nothing."""
    log = bench.open()
    wanted = [b"%d" % index for index in range(700)]
    for start in (0, 300, 600):
        commit(log, *wanted[start : start + 300])
        if start == 0:
            bench.later()
            log.tend()

    for start, stop in ((0, 700), (0, 0), (5, 6), (255, 257), (250, 610), (699, 900), (-5, 3), (800, 900)):
        assert list(log.entries(start, stop)) == wanted[max(0, start) : stop]


def test_a_search_passes_over_bundles_that_hold_nothing_of_it(bench: AuditBench) -> None:
    """What is searched for is found wherever it is; bundles on the disk without it are left out whole."""
    log = bench.open()
    commit(log, *(b"needle" if index in (3, 700) else b"hay %d" % index for index in range(800)))
    bench.later()
    log.tend()

    found = list(log.entries(0, 800, b"needle"))

    assert [entry for entry in found if entry == b"needle"] == [b"needle"] * 2
    assert b"hay 300" not in found  # of the second bundle
    assert b"hay 799" in found  # of the one in memory, which costs nothing to give out
    bench.disk.remove(bench.directory / "tile/entries/001")
    with pytest.raises(DataDamaged, match="tile/entries/001: it is missing"):
        list(log.entries(0, 800, b"needle"))


def test_a_damaged_bundle_is_not_read_as_something_else(bench: AuditBench) -> None:
    """Reading entries checks that the bundle is whole."""
    log = bench.open()
    commit(log, *(b"%d" % index for index in range(300)))
    bench.later()
    log.tend()
    path = bench.directory / "tile/entries/000"
    bench.disk.damage(path, bench.disk.read(path)[:100])

    with pytest.raises(DataDamaged, match="tile/entries/000: it holds"):
        list(log.entries(0, 300))


def test_one_commit_fits_into_one_segment(bench: AuditBench) -> None:
    """More than a segment holds is refused entry by entry, and what was taken commits."""
    log = bench.open()
    taken = [bytes(1000)] * 12
    for entry in taken:
        log.append(entry)
    with pytest.raises(AuditUnavailable, match="too many"):
        log.append(bytes(1000))
    log.commit()

    assert bench.entries(log) == taken
    assert log.healthy


def test_released_segments_are_used_again(bench: AuditBench) -> None:
    """However long a log gets, a few segments do, and their old records are never taken for new ones."""
    log = bench.open()
    for turn in range(100):
        commit(log, b"%d " % turn + bytes(1000))
        if turn % 5 == 4:
            bench.later()
            log.tend()
        assert len(bench.disk.names(bench.directory / "wal")) <= 4
    bench.disk.revived()

    log = bench.open()

    assert [entry.split()[0] for entry in bench.entries(log)] == [b"%d" % turn for turn in range(100)]


def test_a_clean_close_leaves_nothing_to_replay(bench: AuditBench) -> None:
    """After a close there are tiles, a checkpoint and one spare segment, which the next start takes."""
    log = bench.open()
    commit(log, b"entry")
    log.close()
    (spare,) = bench.disk.names(bench.directory / "wal")

    log = bench.open()

    assert not log.replayed
    assert [name for name in bench.disk.names(bench.directory / "wal") if name == spare] == []


# --- failing -----------------------------------------------------------------------------------------------


def test_one_failed_sync_refuses_one_batch_only(bench: AuditBench) -> None:
    """With a spare segment at hand the log heals within the failing commit and says what happened."""
    log = bench.open()
    commit(log, b"before")
    log.tend()
    log.append(b"refused")
    bench.disk.at(1, Fault.ERROR)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        log.commit()

    assert log.healthy
    commit(log, b"after")
    assert list(log.entries(0, 9)) == [b"before", NOTICE + b"resumed 1 0 1", b"after"]


def test_healing_is_tried_every_quarter_second_only(bench: AuditBench) -> None:
    """A broken disk is not hammered: in between, tending touches nothing."""
    log = bench.open()
    bench.stop_disk()
    log.append(b"refused")
    with pytest.raises(AuditUnavailable):
        log.commit()
    bench.disk.mend()
    bench.later(0.1)
    log.tend()
    assert not log.healthy
    assert "cannot be written" in log.trouble
    with pytest.raises(AuditUnavailable):
        log.append(b"refused as well")

    bench.later(0.2)
    log.tend()

    assert log.healthy
    assert bench.notices[-1].event is Event.RESUMED
    assert bench.notices[-1].refused == 2


def test_a_full_disk_is_recorded_before_the_log_stops() -> None:
    """Without room for the next segment the last words are in the reserve, and it goes on with room."""
    bench = AuditBench()
    log = bench.open()
    bench.disk.capacity = 0
    log.tend()
    assert log.healthy
    assert "no space left" in log.trouble
    committed, why = until_refused(log, 1000)
    assert committed == 11
    assert "no room for more audit records" in why
    assert not log.healthy
    assert list(log.entries(committed, committed + 9)) == [NOTICE + b"stopped 11 0 1"]
    bench.later()
    log.tend()
    assert not log.healthy

    bench.disk.capacity = None
    bench.later()
    log.tend()

    assert log.healthy
    assert list(log.entries(committed + 1, committed + 9)) == [NOTICE + b"resumed 12 0 1"]
    log.close()
    assert bench.verify().records == committed + 2


def test_a_log_that_cannot_sign_says_so_when_it_closes(bench: AuditBench) -> None:
    """Committed records stay in the segments, and the next start finds them."""
    log = bench.open()
    commit(log, b"entry")
    bench.stop_disk()
    with pytest.raises(AuditUnavailable, match="tiles cannot be written"):
        log.close()
    bench.mend_disk()

    assert bench.entries(bench.open()) == [b"entry"]


def test_closing_a_failed_log_says_so(bench: AuditBench) -> None:
    """A log that was failed when it closed did not close well."""
    log = bench.open()
    bench.stop_disk()
    log.append(b"refused")
    with pytest.raises(AuditUnavailable):
        log.commit()
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        log.close()
    bench.mend_disk()

    assert bench.entries(bench.open()) == []


def test_tiles_that_cannot_be_written_stop_the_log_in_the_end() -> None:
    """Records go on into segments for a while, not without bound; with the tiles they go on for ever."""
    bench = AuditBench()
    log = bench.open()

    put = log._shelf._put

    def fail(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, "read-only file system", str(path))

    log._shelf._put = fail  # type: ignore[method-assign] # the tiles' part of the disk alone is broken
    _, why = until_refused(log, 3000)
    assert "segments wait for tiles; tiles cannot be written" in why
    assert log.size > 8 * 3

    log._shelf._put = put  # type: ignore[method-assign] # and now it is mended
    for _ in range(3):
        bench.later()
        log.tend()
    assert log.healthy
    commit(log, b"after")
    log.close()
    assert bench.verify().records == log.size


class Held(Executor):
    """A helper that does nothing while it is held."""

    def __init__(self) -> None:
        self.held = False
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Take a job, and do it unless held."""
        job: Future[Any] = Future()
        self.waiting.append((job, fn))
        self.let_go()
        return job

    def let_go(self) -> None:
        """Do what waits."""
        while self.waiting and not self.held:
            job, fn = self.waiting.pop(0)
            job.set_result(fn())


def test_a_helper_that_hangs_stops_the_log_in_the_end(
    bench: AuditBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While tiles hang, records go on into segments; then all is refused, until the helper is back."""
    monkeypatch.setattr("keystead.audit.log._SPARE_SECONDS", 0)
    bench.executor = helper = Held()
    log = bench.open()
    log.tend()
    commit(log, b"entry")
    helper.held = True
    bench.later()
    log.tend()
    ((job, tiles),) = helper.waiting
    helper.waiting.clear()
    helper.held = False
    committed, why = until_refused(log, 3000)
    assert committed == 9 * 4 - 1  # four in each segment; the small one took the place of the first
    assert "8 segments wait for tiles; the disk is slow" in why

    job.set_result(tiles())
    for _ in range(3):
        bench.later()
        log.tend()

    assert log.healthy
    log.close()
    assert bench.verify().records == log.size


def test_a_close_does_not_wait_for_ever(bench: AuditBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last checkpoint does not come, the close says so."""
    monkeypatch.setattr("keystead.audit.log._CLOSE_SECONDS", 0)
    bench.executor = helper = Held()
    log = bench.open()
    commit(log, b"entry")
    helper.held = True
    bench.later()
    log.tend()
    with pytest.raises(AuditUnavailable, match="the disk does not answer"):
        log.close()
    bench.executor = None

    assert bench.entries(bench.open()) == [b"entry"]


# --- on the machine's own disk and processes ---------------------------------------------------------------


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """The helper's threads."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def local(directory: Path, executor: ThreadPoolExecutor | None = None, disk: LocalDisk | None = None) -> Log:
    """A log on the real disk."""
    return Log.open(
        directory,
        origin=f"keystead-test/{directory.name}",
        signer=AuditBench().signer,
        disk=disk or LocalDisk(),
        clock=RealClock(),
        random=os.urandom,
        notice=lambda notice: NOTICE + notice.event.encode(),
        segment_bytes=1 << 18,
        checkpoint_seconds=0.01,
        executor=executor,
    )


def test_the_helper_s_threads_do_the_slow_work(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    """With threads, the same records are kept, rotated, published and verified."""
    directory = tmp_path / "audit" / "w0"
    log = local(directory, executor)
    wanted = [b"%d " % index + bytes(400) for index in range(6000)]
    for start in range(0, 6000, 20):
        commit(log, *wanted[start : start + 20])
        log.tend()
    log.close()

    report = verify(tmp_path / "audit", AuditBench().signer.vkey)
    assert [(one.size, one.tail) for one in report.logs] == [(6000, 0)]
    assert list(local(directory).entries(0, 6000)) == wanted


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a small file system of its own: refused when it is full, going on when there is room again."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)],  # noqa: S607 - wherever it is
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        log = local(tmp_path / "audit" / "w0")
        ballast = tmp_path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            assert file.write(bytes(1 << 20)) < 1 << 20
        committed, why = until_refused(log, 1000)
        assert committed > 200
        assert "No space left" in why
        ballast.unlink()
        time.sleep(0.3)
        log.tend()
        assert log.healthy
        log.close()

        entries = list(local(tmp_path / "audit" / "w0").entries(committed, committed + 9))
        assert entries == [NOTICE + b"stopped", NOTICE + b"resumed"]
        assert verify(tmp_path / "audit", AuditBench().signer.vkey).records == committed + 2
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)  # noqa: S607 - wherever it is


WRITER = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from test_log import local
log = local(Path(sys.argv[1]), ThreadPoolExecutor(2))
number = log.size
while True:
    for _ in range(7):
        log.append(b"%d " % number + bytes(300))
        number += 1
    log.commit()
    os.write(1, b"%d\\n" % number)
    log.tend()
"""


def _kill_writers(directory: Path, times: int) -> None:
    chance = random.Random(times)  # noqa: S311 - moments of a test, which may repeat
    acknowledged = 0
    for _ in range(times):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.random() * 0.2)
        writer.kill()
        told = writer.stdout.read().splitlines()
        writer.stdout.close()
        writer.wait()
        acknowledged = max(acknowledged, int(told[-1]) if told else 0)

        assert verify(directory, AuditBench().signer.vkey).records >= acknowledged
        log = local(directory)
        entries = [entry for entry in log.entries(0, log.size) if not entry.startswith(NOTICE)]
        assert [entry.split()[0] for entry in entries] == [b"%d" % index for index in range(len(entries))]
        assert len(entries) >= acknowledged
        log.close()


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """A kill -9 in full flight, a few times over: every index that was told is in the log, in order."""
    _kill_writers(tmp_path / "audit" / "w0", 3)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_many_killed_processes_lose_nothing(tmp_path: Path) -> None:
    """The same two hundred times, all on one log."""
    _kill_writers(tmp_path / "audit" / "w0", 200)


class TestLocalDisk:
    """The real disk does what the port says."""

    def test_a_file_is_written_read_and_replaced(self, tmp_path: Path) -> None:
        """Creating a file that exists gives a new one: the old one's bytes stay with who has it open."""
        disk = LocalDisk()
        path = tmp_path / "file"
        first = disk.create(path)
        first.write(b"first", 2)
        first.sync()
        second = disk.create(path)
        second.write(b"x", 0)

        assert first.read(99, 0) == b"\0\0first"
        assert first.read(3, 2) == b"fir"
        assert disk.read(path) == b"x"
        assert disk.open(path).read(5, 0) == b"x"
        first.close()
        second.close()

    def test_names_come_and_go(self, tmp_path: Path) -> None:
        """Directories are made once, listed, renamed into, synced and removed."""
        disk = LocalDisk()
        folder = tmp_path / "folder"
        disk.mkdir(folder)
        disk.mkdir(folder)
        disk.create(folder / "b").close()
        disk.rename(folder / "b", folder / "a")
        disk.sync(folder)

        assert disk.names(folder) == ["a"]
        assert disk.names(tmp_path / "nowhere") == []
        disk.remove(folder / "a")
        disk.remove(folder)
        assert disk.names(tmp_path) == []

    def test_a_lock_has_one_owner(self, tmp_path: Path) -> None:
        """It is refused while it is held, and free once it is closed."""
        disk = LocalDisk()
        lock = disk.lock(tmp_path / "lock")
        with pytest.raises(BlockingIOError):
            disk.lock(tmp_path / "lock")
        lock.close()

        disk.lock(tmp_path / "lock").close()

    def test_short_writes_and_reads_go_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel may take or give less than it was asked for; taking nothing is an error."""
        file = LocalDisk().create(tmp_path / "file")
        pwrite, pread = os.pwrite, os.pread
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
        monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))

        file.write(b"0123456789", 0)

        assert file.read(10, 0) == b"0123456789"
        assert file.read(99, 5) == b"56789"
        monkeypatch.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(OSError, match="takes no more"):
            file.write(b"x", 0)
        file.close()
        assert isinstance(file, LocalFile)
