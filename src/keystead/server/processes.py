"""What a forked process does first and last, and how a worker serves.

Children are made by fork and not by starting a new interpreter: they inherit the open seal, the listening
sockets and the shared counters without anything being written down, and are ready in milliseconds.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import uvloop

from keystead.observe.log import Log
from keystead.server.listener import Listener

EX_OK: Final = os.EX_OK
EX_SOFTWARE: Final = os.EX_SOFTWARE  # 70: a bug ended the process
EX_CONFIG: Final = os.EX_CONFIG  # 78: a setting or the data is wrong, so starting again cannot help
HEARTBEAT_SECONDS: Final = 0.1

_PR_SET_PDEATHSIG: Final = 1  # from <sys/prctl.h>


def bind(host: str, port: int, n: int, backlog: int = 1024) -> list[socket.socket]:
    """One listening socket per worker, all on one address; port 0 takes a free port for all of them.

    With SO_REUSEPORT the kernel spreads new connections over the sockets by the client's address. The
    supervisor binds them and keeps them, so that connections made while a worker is being restarted wait
    in its backlog for the next one.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    sockets: list[socket.socket] = []
    try:
        for _ in range(n):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(address)
            if address[1] == 0:
                address = (address[0], sock.getsockname()[1], *address[2:])
            sock.listen(backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def fork(
    name: str, run: Callable[[], int], log: Log, mask: set[signal.Signals], strange: Sequence[socket.socket]
) -> int:
    """Start a child that does `run` and ends with its result as exit code; returns its process id.

    `mask` is the signal mask that the child gets, `strange` the sockets that are others'.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_child(name, run, log, mask, strange, parent)
    return pid


def _be_child(
    name: str,
    run: Callable[[], int],
    log: Log,
    mask: set[signal.Signals],
    strange: Sequence[socket.socket],
    parent: int,
) -> NoReturn:
    # Whatever happens, a child must not return into the supervisor's code: that would be a second supervisor.
    code = EX_SOFTWARE
    try:
        # (1) Die with the supervisor. Without this, killing it would leave workers that nobody restarts and
        # that hold the port. The kernel sends the signal when the parent ends; a parent that ended before
        # the call is noticed by the second line.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(EX_OK)
        # (2) Signals as a fresh process has them, but for those that only the supervisor acts on: Ctrl-C
        # reaches the whole group of processes, and the supervisor turns it into an orderly stop.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # (3) Others' sockets: a listening socket stays open until its last holder closes it.
        for sock in strange:
            sock.close()
        gc.enable()
        # (4) The work.
        code = run()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EX_SOFTWARE
    except BaseException as fault:  # noqa: BLE001 - see above: nothing may pass
        log.fault(f"process {name} ended by a bug", fault)
    finally:
        # No atexit handlers, no flushing of what was inherited: those belong to the supervisor.
        os._exit(code)


def serve(
    start: Callable[[], Listener],
    sock: socket.socket,
    *,
    beat: Callable[[], None],
    drain_seconds: float,
    on_reload: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> int:
    """Serve one socket on a loop of its own until SIGTERM, then drain; returns the exit code.

    `start` makes the listener inside the running loop; `beat` is called about ten times a second from the
    loop, so that a loop that hangs is noticed; `on_reload` is called at SIGHUP, `on_stop` after the drain.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if on_reload is not None:
            loop.add_signal_handler(signal.SIGHUP, on_reload)

        def pulse() -> None:
            beat()
            loop.call_later(HEARTBEAT_SECONDS, pulse)

        pulse()
        listener = start()
        await listener.start(sock)
        await stop.wait()
        await listener.drain(drain_seconds)
        if on_stop is not None:
            on_stop()

    uvloop.run(main())
    return EX_OK
