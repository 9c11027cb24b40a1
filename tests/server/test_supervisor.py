"""The supervisor, with real processes: whatever happens to a child, the service goes on or says why not."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20.0
SCRIPT = Path(__file__).with_name("echo_service.py")


@dataclass
class Echoes:
    """A running echo service."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def ask(self, target: str = "/") -> str:
        """One request on a connection of its own; the answer's body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            return ask_on(sock, target)

    def told(self, message: str, **fields: Any) -> list[dict[str, Any]]:
        """The lines of the log with that message and those fields."""
        lines = [
            json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        return [
            line
            for line in lines
            if line["message"] == message and all(line.get(name) == value for name, value in fields.items())
        ]

    def until_told(self, message: str, *, times: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Wait for lines of the log."""
        until(lambda: len(self.told(message, **fields)) >= times)
        return self.told(message, **fields)

    def pids(self) -> set[int]:
        """The processes that answer."""
        return {int(self.ask()) for _ in range(40)}

    def until_both_answer(self) -> set[int]:
        """Wait for two workers; their process ids."""
        until(lambda: len(self.pids()) == 2)
        return self.pids()

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Stop as an operator does; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def ask_on(sock: socket.socket, target: str) -> str:
    """A request on a connection that exists."""
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: k\r\n\r\n".encode())
    return read_answer(sock)


def read_answer(sock: socket.socket) -> str:
    """The body of one answer."""
    data = b""
    while not (found := re.search(rb"Content-Length: (\d+)\r\n\r\n(.*)", data, re.DOTALL)) or len(
        found[2]
    ) < int(found[1]):
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"no answer, but {data!r}")
        data += piece
    return found[2].decode()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Echoes]]:
    """Starts echo services, and ends them after the test."""
    running: list[Echoes] = []

    def begin(scenario: str) -> Echoes:
        log = tmp_path / f"log-{len(running)}"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), scenario],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        service = Echoes(process, int(process.stdout.readline()), log)
        running.append(service)
        return service

    yield begin
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
        assert service.process.stdout is not None
        service.process.stdout.close()


def test_a_stop_is_orderly(start: Callable[[str], Echoes]) -> None:
    """SIGTERM ends every process, with exit code 0, and the port is free again."""
    service = start("none")
    pids = service.until_both_answer()
    assert service.stop() == 0
    assert not any(alive(pid) for pid in pids)
    assert service.told("stopping", signal="SIGTERM")
    assert len(service.told("drained")) == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port))


def test_ctrl_c_is_an_orderly_stop(start: Callable[[str], Echoes]) -> None:
    """The terminal signals the whole group; the workers leave it to the supervisor and drain."""
    service = start("none")
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: k\r\n\r\n")
        time.sleep(0.1)
        os.killpg(service.process.pid, signal.SIGINT)
        assert read_answer(sock) == "slow"
    assert service.process.wait(PATIENCE) == 0


def test_a_worker_that_is_killed_loses_nothing_that_is_sent_after(start: Callable[[str], Echoes]) -> None:
    """Connections made while a worker is gone wait for the next one, and other workers do not notice."""
    service = start("none")
    first = service.until_both_answer()
    for victim in sorted(first):
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: not alive(victim))  # type: ignore[misc]  # mypy cannot type its default
        answers = [service.ask() for _ in range(60)]
        assert len(answers) == 60
    assert service.until_both_answer().isdisjoint(first)
    assert len(service.told("process ended, starting it again", status=-signal.SIGKILL)) == 2
    assert service.stop() == 0


def test_a_worker_that_hangs_is_replaced(start: Callable[[str], Echoes]) -> None:
    """A loop that gives no sign of life is killed, and its clients are served by the next."""
    service = start("none")
    first = service.until_both_answer()
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as sock:
        victim = int(ask_on(sock, "/"))
        sock.sendall(b"GET /hang HTTP/1.1\r\nHost: k\r\n\r\n")
        service.until_told("process gives no sign of life, killing it", pid=victim)
        with pytest.raises(ConnectionError):
            read_answer(sock)
    assert victim not in service.until_both_answer()
    assert first - {victim} <= service.pids()
    assert service.stop() == 0


def test_a_child_that_never_wakes_is_replaced(start: Callable[[str], Echoes]) -> None:
    """One that gives no first sign of life has longer, but not for ever."""
    service = start("silent")
    service.until_told("process gives no sign of life, killing it", process="third")
    service.until_told("process started", times=2, process="third")
    assert service.stop() == 0


def test_a_child_without_a_pulse_is_not_watched_for_one(start: Callable[[str], Echoes]) -> None:
    """Who was not asked for signs of life is not killed for giving none."""
    service = start("unwatched")
    time.sleep(2)
    assert len(service.told("process started", process="third")) == 1
    assert service.stop() == 0


@pytest.mark.parametrize(("scenario", "status"), [("crash", 70), ("exit", 5), ("exit with words", 70)])
def test_a_crash_loop_slows_down_and_disturbs_nobody(
    start: Callable[[str], Echoes], scenario: str, status: int
) -> None:
    """A child that keeps ending is started again later and later; the others serve on."""
    service = start(scenario)
    ends = service.until_told("process ended, starting it again", times=4, process="third", status=status)
    assert [end["delay"] for end in ends[:4]] == [0.05, 0.1, 0.2, 0.2]
    assert len(service.told("told of the end", process="third")) >= 4
    assert len(service.until_both_answer()) == 2
    assert service.stop() == 0
    text = service.log.read_text()
    assert "a secret" not in text
    assert ("ValueError" in text) == (scenario == "crash")


def test_a_child_that_has_lived_starts_with_a_clean_sheet(start: Callable[[str], Echoes]) -> None:
    """Rare ends are not a crash loop."""
    service = start("settle")
    ends = service.until_told("process ended, starting it again", times=2, process="third")
    assert [end["delay"] for end in ends[:2]] == [0.05, 0.05]
    assert service.stop() == 0


def test_a_child_that_cannot_start_stops_the_service(start: Callable[[str], Echoes]) -> None:
    """Exit code 78 means that trying again cannot help: the service says so and ends with it."""
    service = start("config")
    assert service.process.wait(PATIENCE) == 78
    assert service.told("a process cannot start: see its message; the service stops", process="third")
    assert len(service.told("process started", process="third")) == 1


def test_a_request_in_progress_is_answered_at_the_stop(start: Callable[[str], Echoes]) -> None:
    """Draining waits for the answer, says that the connection closes, and takes what the backlog holds."""
    service = start("no reload")
    service.until_both_answer()
    socks = [socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: k\r\n\r\n")
    service.signal(signal.SIGTERM)
    assert [read_answer(sock) for sock in socks] == ["slow"] * 20
    for sock in socks:
        assert sock.recv(1) == b""
        sock.close()
    assert service.process.wait(PATIENCE) == 0


def test_a_child_that_does_not_finish_is_killed(start: Callable[[str], Echoes]) -> None:
    """The stop has a deadline."""
    service = start("stubborn")
    service.until_both_answer()
    assert service.stop() == 0
    assert service.told("process did not finish in time, killing it", process="third")
    assert not service.told("process did not finish in time, killing it", process="w0")


def test_a_second_signal_ends_the_waiting(start: Callable[[str], Echoes]) -> None:
    """Whoever asks twice is in a hurry."""
    service = start("stubborn")
    service.until_both_answer()
    service.signal(signal.SIGTERM)
    service.until_told("drained", times=2)
    service.signal(signal.SIGINT)
    assert service.process.wait(PATIENCE) == 0
    assert service.told("process did not finish in time, killing it", process="third")


def test_children_do_not_outlive_a_killed_supervisor(start: Callable[[str], Echoes]) -> None:
    """Workers that nobody looks after would hold the port for ever; they drain and end instead."""
    service = start("none")
    pids = service.until_both_answer()
    service.signal(signal.SIGKILL)
    service.process.wait(PATIENCE)
    until(lambda: not any(alive(pid) for pid in pids))


def test_sighup_reaches_every_worker(start: Callable[[str], Echoes]) -> None:
    """Certificates are reloaded by SIGHUP to the supervisor; nothing else changes."""
    service = start("none")
    pids = service.until_both_answer()
    service.signal(signal.SIGHUP)
    until(lambda: {service.ask("/reloads") for _ in range(20)} == {"1"})
    assert service.pids() == pids
    assert service.stop() == 0


def test_sighup_does_not_end_a_worker_that_has_nothing_to_reload(start: Callable[[str], Echoes]) -> None:
    """Without certificates the signal is ignored rather than deadly."""
    service = start("no reload")
    pids = service.until_both_answer()
    service.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert service.pids() == pids
    assert service.stop() == 0
