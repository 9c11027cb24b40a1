"""Processor time is read as the kernel writes it; servers are stopped whatever they do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.testing.bench.processes import (
    BenchmarkError,
    Server,
    await_port,
    busy_seconds,
    cpu_seconds,
    filesystem,
    free_port,
    machine,
)

TICKS = os.sysconf("SC_CLK_TCK")


def write_process(proc: Path, pid: int, name: str, parent: int, times: tuple[int, int, int, int]) -> None:
    """A process as /proc/PID/stat has it."""
    (proc / str(pid)).mkdir()
    before = f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 101 202 303 404"
    after = "20 0 1 0 295261 3133440 383"
    (proc / str(pid) / "stat").write_text(f"{before} {' '.join(map(str, times))} {after}\n")


def test_the_whole_tree_is_counted_and_nothing_else(tmp_path: Path) -> None:
    """The process, its children and theirs, dead children by what their parents inherited; no strangers."""
    write_process(tmp_path, 10, "server", 1, (100, 20, 3, 4))
    write_process(tmp_path, 11, "worker", 10, (1000, 0, 0, 0))
    write_process(tmp_path, 12, "helper", 11, (0, 10_000, 0, 0))
    write_process(tmp_path, 20, "stranger", 1, (7, 7, 7, 7))
    (tmp_path / "uptime").write_text("1 2")
    assert cpu_seconds(10, tmp_path) * TICKS == 11_127
    assert cpu_seconds(11, tmp_path) * TICKS == 11_000


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    """Names with blanks and parentheses do not shift the fields."""
    write_process(tmp_path, 10, "a) S 1 (b c", 1, (5, 6, 0, 0))
    assert cpu_seconds(10, tmp_path) * TICKS == 11


def test_a_process_that_ends_while_being_looked_at_is_left_out(tmp_path: Path) -> None:
    """A directory without its file is a process that has just ended."""
    write_process(tmp_path, 10, "server", 1, (5, 0, 0, 0))
    (tmp_path / "11").mkdir()
    assert cpu_seconds(10, tmp_path) * TICKS == 5


def test_a_real_process_is_read_as_it_reads_itself() -> None:
    """What a process and its ended child have used is at least what it counted itself, a moment before."""
    burn = "import os\nwhile sum(os.times()[:4]) < 0.15: pass\n"
    code = (
        f"import os, subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}], check=True)\n{burn}"
        "print(sum(os.times()[:4]), flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        own = float(child.stdout.readline())
        read = cpu_seconds(child.pid)
        child.communicate()
    assert own >= 0.15
    assert read >= own - 2 / TICKS


def test_a_busy_machine_is_seen_and_an_idle_one_too(tmp_path: Path) -> None:
    """User, nice, system, interrupts and stolen time are somebody's work; idling and waiting are not."""
    (tmp_path / "stat").write_text("cpu  1 20 300 4000000 5000000 4000 50000 600000 7 8\ncpu0 9 9 9\n")
    assert busy_seconds(tmp_path) * TICKS == 654_321


def test_what_a_server_leaves_for_later_is_waited_for(tmp_path: Path) -> None:
    """Its processor time is told when it is at rest."""
    code = "import os, signal\nwhile sum(os.times()[:2]) < 0.7: pass\nsignal.pause()"
    server = Server([sys.executable, "-c", code], tmp_path / "log")
    assert server.settled() >= 0.7 - 2 / TICKS
    server.stop()


def test_a_server_that_never_rests_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for for ever."""
    monkeypatch.setattr("keystead.testing.bench.processes.SETTLE_SECONDS", 0.3)
    monkeypatch.setattr("keystead.testing.bench.processes._WINDOW_SECONDS", 0.1)
    server = Server([sys.executable, "-c", "while True: pass"], tmp_path / "log")
    with pytest.raises(BenchmarkError, match="still at work"):
        server.settled()
    server.stop()


def test_a_server_is_stopped_in_order(tmp_path: Path) -> None:
    """It gets SIGTERM and the time to end by itself."""
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        f"pathlib.Path({str(ready)!r}).touch()\nsignal.pause()"
    )
    server = Server([sys.executable, "-c", code], tmp_path / "log")
    while not ready.exists():
        server.require_alive()
    assert server.cpu_seconds() >= 0
    assert server.stop() == 7
    assert server.stop() == 7


def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark leaves nothing behind."""
    monkeypatch.setattr("keystead.testing.bench.processes.STOP_SECONDS", 0.2)
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).touch()\nwhile True: signal.pause()"
    )
    server = Server([sys.executable, "-c", code], tmp_path / "log")
    while not ready.exists():
        server.require_alive()
    assert server.stop() == -9


def test_a_server_that_ended_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Its log's end says why."""
    server = Server([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "log")
    with pytest.raises(BenchmarkError, match="no such luck"):
        await_port(free_port(), server)


def test_a_port_that_nobody_opens_is_given_up(tmp_path: Path) -> None:
    """Waiting has an end."""
    server = Server([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    with pytest.raises(BenchmarkError, match="did not listen"):
        await_port(free_port(), server, seconds=0.1)
    server.stop()


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    """The longest mount point above a path counts, and the last one mounted there."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"d / ext4 rw 0 0\nd {tmp_path} xfs rw 0 0\nd {tmp_path} tmpfs rw 0 0\n"
        f"d {tmp_path}/a\\040b btrfs rw 0 0\nd {tmp_path}/a ext2 rw 0 0\n"
    )
    (tmp_path / "a b" / "c").mkdir(parents=True)
    assert filesystem(tmp_path / "a b" / "c", mounts) == "btrfs"
    assert filesystem(tmp_path, mounts) == "tmpfs"
    assert filesystem(Path("/"), mounts) == "ext4"


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    """What is published says what kind of machine it was, not which."""
    found = machine(tmp_path)
    assert found.cores >= 1
    assert found.memory_gib >= 0
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.kernel.replace(".", "").isdecimal()
    assert os.uname().nodename not in {found.processor, found.kernel, found.filesystem}
