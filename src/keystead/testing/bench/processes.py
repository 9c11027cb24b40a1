"""Servers under test: started as processes of their own, watched through /proc, and always stopped.

Processor time is read from ``/proc/PID/stat`` for the server and everything it has started, and for those
of them that have ended (their parents inherit the sum). The kernel counts it in ticks of 10 ms, so rounds of
a second and more are measured to a percent or so.
"""

import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
STOP_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 300.0
_WINDOW_SECONDS: Final = 0.5
_AT_REST: Final = 0.06  # of a processor, while nobody asks
UNKNOWN: Final = "unknown"


class BenchmarkError(Exception):
    """The benchmark cannot go on; the text says why and what to do."""


class Server:
    """A server process with its children, in a process group of its own."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the benchmark's own
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that was started; the others are below it."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree since its start."""
        return cpu_seconds(self.pid)

    def settled(self) -> float:
        """Wait until the whole tree is at rest, and say what `cpu_seconds` is then."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before = self.cpu_seconds()
        while True:
            time.sleep(_WINDOW_SECONDS)
            now = self.cpu_seconds()
            if now - before <= _AT_REST * _WINDOW_SECONDS:
                return now
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the server is still at work {SETTLE_SECONDS:.0f} s after the load")
            before = now

    def require_alive(self) -> None:
        """Raise `BenchmarkError` with the end of the server's log when it has ended."""
        code = self._process.poll()
        if code is not None:
            raise BenchmarkError(f"the server ended with {code}:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> int:
        """Stop it in order, and by force what does not stop; returns the exit code."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self._process.wait()


def cpu_seconds(root: int, proc: Path = PROC) -> float:
    """User and system time of a process, of all below it, and of those among them that have ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything, so the fields are counted from behind it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime

    def belongs(pid: int) -> bool:
        while pid != root and pid in parents:
            pid = parents[pid]
        return pid == root

    return sum(t for pid, t in ticks.items() if belongs(pid)) / os.sysconf("SC_CLK_TCK")


def busy_seconds(proc: Path = PROC) -> float:
    """Processor time of the whole machine that somebody has used, a hypervisor's other guests included."""
    user, nice, system, _idle, _waiting, hard, soft, stolen, *_ = map(
        int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + hard + soft + stolen) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def await_port(port: int, server: Server, seconds: float = 30.0) -> None:
    """Wait until somebody listens on the port."""
    deadline = time.monotonic() + seconds
    while True:
        server.require_alive()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the server did not listen on port {port} within {seconds:.0f} s")
        time.sleep(0.02)


def filesystem(path: Path, mounts: Path = PROC / "mounts") -> str:
    """The type of the file system that a directory is on."""
    path = path.resolve()
    found, kind = Path(), UNKNOWN
    for line in mounts.read_text().splitlines():
        _, where, this, *_ = line.split(" ")
        # Of mounts at one place the last is seen; /proc/mounts writes a space as \040.
        mount = Path(where.replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= len(found.parts):
            found, kind = mount, this
    return kind


@dataclass(frozen=True, slots=True)
class Machine:
    """What kind of machine the figures are from. No names: they are published."""

    cores: int
    processor: str
    memory_gib: int
    kernel: str
    python: str
    filesystem: str


def machine(directory: Path) -> Machine:
    """This machine, with the file system of the servers' data."""
    processor = UNKNOWN
    for line in (PROC / "cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            processor = value.strip()
            break
    return Machine(
        cores=os.cpu_count() or 1,
        processor=processor,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
        filesystem=filesystem(directory),
    )
