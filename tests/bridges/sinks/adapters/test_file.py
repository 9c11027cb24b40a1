"""Events in files: whole lines, names that do not change, and nothing lost to a crash."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridges.sinks.samples import RealLog, SinkBench, names
from keystead.bridges.sinks.adapters.file import FileSink, connect
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.port import Retry
from keystead.config import Sink as Settings
from keystead.core.errors import ConfigError
from keystead.testing.disk import Fault, Killed, PowerCut

DIRECTORY = Path("/data/events")


def sink(bench: SinkBench, **options: int) -> FileSink:
    """A sink on the bench's disk; it becomes the one that the pump delivers to."""
    made = FileSink(
        DIRECTORY,
        suffix=".jsonl",
        disk=bench.audit.disk,
        clock=bench.audit.clock,
        **{"rotate_bytes": 1 << 20, "rotate_seconds": 3600, **options},
    )
    bench.sink = made
    bench.begin()
    return made


def lines(bench: SinkBench) -> list[bytes]:
    """All lines of all files, in the order of the files' names; each is whole."""
    data = b""
    for name in bench.audit.disk.names(DIRECTORY):
        if "tmp" not in name:
            data += bench.audit.disk.read(DIRECTORY / name)
    assert data == b"" or data.endswith(b"\n")
    return data.splitlines()


def test_each_event_is_a_line() -> None:
    """In one file, which is named after its number and the moment it was begun."""
    bench = SinkBench()
    sink(bench)
    bench.write(3)
    bench.settle()
    bench.drain()
    assert bench.audit.disk.names(DIRECTORY) == ["00000001-19700112T134642Z.jsonl.open"]
    assert [json.loads(line)["event"] for line in lines(bench)] == [
        *names(0, 1, 2),
        "keystead-test/w0/checkpoint/3",
    ]


def test_a_file_is_closed_when_it_is_large_or_old() -> None:
    """From then on it has its final name, and the next one the next number, also for a process after this one."""
    bench = SinkBench()
    sink(bench, rotate_bytes=600, rotate_seconds=100)
    for _ in range(2):
        bench.write(3)
        bench.settle()
        bench.drain()
    bench.audit.later(100)
    bench.write(1)
    bench.settle()
    bench.drain()
    sink(bench, rotate_bytes=600, rotate_seconds=100)
    bench.audit.later(100)
    bench.write(1)
    bench.settle()
    bench.drain()
    found = bench.audit.disk.names(DIRECTORY)
    assert [name.endswith(".open") for name in found] == [False] * (len(found) - 1) + [True]
    assert [int(name[:8]) for name in found] == list(range(1, len(found) + 1))
    assert len(found) > 3
    census = Census()
    for line in lines(bench):
        census.add(line)
    census.check()
    assert census.duplicates == 0


def test_other_files_in_the_directory_are_left_alone() -> None:
    """What is not ours is neither counted nor touched."""
    bench = SinkBench()
    bench.audit.disk.mkdir(DIRECTORY)
    bench.audit.disk.create(DIRECTORY / "notes-of-somebody.open").write(b"x", 0)
    sink(bench)
    bench.write()
    bench.settle()
    bench.drain()
    assert bench.audit.disk.read(DIRECTORY / "notes-of-somebody.open") == b"x"


@pytest.mark.parametrize("fault", [Fault.POWER, Fault.KILL, Fault.ERROR])
def test_whatever_fails_every_line_is_whole_and_none_is_missing(fault: Fault) -> None:
    """A torn line is cut off before the next one is written; what was not acknowledged comes again."""
    operation = 0
    while True:
        bench = SinkBench(batch_entries=2)
        sink(bench, rotate_bytes=900)
        bench.write(8)
        bench.settle()
        bench.log.close()
        before = bench.audit.disk.operations
        bench.audit.disk.at(operation, fault)
        failed = False
        try:
            bench.drain()
        except PowerCut:
            bench.audit.disk, failed = bench.audit.disk.restarted(), True
        except Killed:
            bench.audit.disk, failed = bench.audit.disk.revived(), True
        except (Retry, OSError):
            failed = True
        if not failed and bench.audit.disk.operations - before <= operation:
            assert operation > 20
            return
        if fault is not Fault.ERROR:
            sink(bench, rotate_bytes=900)
        bench.drain()
        census = Census()
        for line in lines(bench):
            census.add(line)
        census.check()
        assert census.count("keystead-test/w0") == 8
        operation += 1


def test_a_full_disk_is_waited_out() -> None:
    """The delivery does not count; when there is space again, it goes on."""
    bench = SinkBench()
    made = sink(bench)
    bench.write(3)
    bench.settle()
    bench.log.close()
    bench.audit.disk.capacity = 0
    with pytest.raises(Retry, match="its file cannot be written: no space left"):
        bench.pump.turn()
    bench.audit.mend_disk()
    bench.drain()
    assert len(lines(bench)) == 4
    made.close()
    made.close()


def test_the_settings_say_where_and_how() -> None:
    """A sink is made of its table in the configuration; other forms have another suffix."""
    bench = SinkBench()
    settings = Settings(name="s", kind="file", path=DIRECTORY, format="cef")
    bench.sink = made = connect(settings, bench.audit.clock, bench.audit.disk)
    made.remember([])
    bench.begin()
    bench.write()
    bench.settle()
    bench.drain()
    assert bench.audit.disk.names(DIRECTORY) == ["00000001-19700112T134642Z.cef.open"]
    with pytest.raises(ConfigError, match="has no path"):
        connect(Settings(name="s", kind="file"), bench.audit.clock, bench.audit.disk)


PUMP = """
import os, sys, threading, time
from pathlib import Path
from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.bridges.sinks.station import Station
from keystead.config import Sink
class Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
data = Path(sys.argv[1])
disk = LocalDisk()
settings = Sink(name="files", kind="file", path=data / "events", rotate_bytes=200_000, checkpoint_entries=500)
station = Station([settings], data, follower=lambda: Follower(data / "audit", disk=disk), disk=disk, clock=Clock(),
                  random=os.urandom)
station.start()
time.sleep(3600)
"""


def test_a_process_that_is_killed_leaves_nothing_out(tmp_path: Path) -> None:
    """Real files, real kills: in the end every entry is there, proven by the checkpoint's root."""
    log = RealLog(tmp_path)
    total = 6000
    log.write(total // 2)
    events = tmp_path / "events"

    def size() -> int:
        return sum(path.stat().st_size for path in events.iterdir()) if events.exists() else 0

    for round_ in range(4):
        before = size()
        process = subprocess.Popen([sys.executable, "-c", PUMP, str(tmp_path)], env=os.environ.copy())
        try:
            until = time.monotonic() + 30
            enough = before + 300_000 if round_ < 3 else None
            while time.monotonic() < until:
                if enough is not None and size() > enough:
                    break
                if enough is None and (tmp_path / "sinks" / "files" / "w0.cursor").exists():
                    told = json.loads((tmp_path / "sinks/files/w0.cursor").read_bytes().split(b"\n")[0])[
                        "told"
                    ]
                    if told == total:
                        break
                time.sleep(0.005)
            else:
                pytest.fail("nothing comes")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if round_ == 2:
            log.write(total // 2)
    log.close()
    census = Census()
    for path in sorted(events.iterdir()):
        for line in path.read_bytes().splitlines():
            census.add(line)
    census.check()
    assert census.count("keystead-test/w0") == total
    assert 0 < census.duplicates < total
