"""Binding and forking; `test_supervisor` has whole services."""

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from keystead.observe.log import Log
from keystead.server import processes
from keystead.server.processes import bind, fork


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_all_sockets_of_a_port_share_it(host: str) -> None:
    """Port 0 is one free port for all of them, and each takes connections."""
    try:
        sockets = bind(host, 0, 3)
    except OSError as error:
        if host == "::1" and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            pytest.skip("this machine has no IPv6")
        raise
    assert len({sock.getsockname()[:2] for sock in sockets}) == 1
    clients = [socket.create_connection(sockets[0].getsockname()[:2]) for _ in range(30)]
    taken = 0
    for sock in sockets:
        sock.setblocking(False)
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            taken += 1
    assert taken == 30
    for sock in [*clients, *sockets]:
        sock.close()


def test_a_port_that_is_taken_is_an_error() -> None:
    """A port of somebody who does not share it is refused, and no socket is left open."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", other.getsockname()[1], 2)


def run_in_fork(run: Callable[[], int], *strange: socket.socket) -> tuple[int, str]:
    """What a child's work ends with, and what it logs."""
    read, write = os.pipe()
    with open(write, "w", closefd=True) as stream, open(read) as told:  # noqa: PTH123 - descriptors, not paths
        log = Log(stream, "json", lambda: 0.0)
        pid = fork("child", run, log, set(), strange)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        stream.close()
        return code, told.read()


def _exit_with(code: object) -> Callable[[], int]:
    def run() -> int:
        sys.exit(code)  # type: ignore[arg-type]  # any object is what it must cope with

    return run


def _interrupted() -> int:
    raise KeyboardInterrupt


ENDS: dict[str, tuple[Callable[[], int], int, str | None]] = {
    "a result": (lambda: 7, 7, None),
    "an exit": (_exit_with(5), 5, None),
    "an exit with words": (_exit_with("a secret"), processes.EX_SOFTWARE, None),
    "a bug": (lambda: int("a secret"), processes.EX_SOFTWARE, "ValueError"),
    "an interrupt": (_interrupted, processes.EX_SOFTWARE, "KeyboardInterrupt"),
}


@pytest.mark.parametrize("sentence", ENDS)
def test_a_child_never_returns(sentence: str) -> None:
    """However its work ends, the child ends with a code, and says of a bug where it was but not its text."""
    run, code, error = ENDS[sentence]
    ended, told = run_in_fork(run)
    assert ended == code
    assert "a secret" not in told
    assert (json.loads(told)["error"] if told else None) == error


def test_a_child_has_fresh_signals_and_only_its_own_sockets() -> None:
    """SIGTERM works as in any process, Ctrl-C and SIGHUP are the supervisor's, others' sockets are closed."""
    with socket.socket() as others, socket.socket() as own:

        def check() -> int:
            fresh = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGCHLD)] == [signal.SIG_DFL] * 2
            ignored = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGHUP)] == [signal.SIG_IGN] * 2
            unblocked = not signal.pthread_sigmask(signal.SIG_BLOCK, [])
            sockets = others.fileno() == -1 and own.fileno() != -1
            return 4 if fresh and ignored and unblocked and sockets else 1

        assert run_in_fork(check, others)[0] == 4
        assert others.fileno() != -1


def test_a_child_whose_parent_has_just_ended_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the fork and the asking for a signal the supervisor may end; then nobody would send it."""
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert run_in_fork(lambda: 7) == (0, "")


def test_what_was_printed_before_a_fork_is_printed_once() -> None:
    """Buffered output of the supervisor is not inherited."""
    script = (
        "import sys, os; from keystead.server.processes import fork; from keystead.observe.log import Log;"
        "print('once'); pid = fork('c', lambda: print('child', flush=True) or 0, Log(sys.stderr, 'json', float),"
        " set(), []); os.waitpid(pid, 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "child"]
    assert io.StringIO(done.stderr).read() == ""
