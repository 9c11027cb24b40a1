"""A small service under the real supervisor, for `test_supervisor`: `echo_service.py SCENARIO`.

Two workers echo; a third child does what the scenario says. The port is printed first, the log goes to
standard error as JSON lines.
"""

import asyncio
import os
import signal
import sys
import time
from functools import partial

from keystead.observe.log import Log
from keystead.observe.metrics import Cell, Slots
from keystead.server.http import Limits, Problem
from keystead.server.listener import Exchange, Listener
from keystead.server.processes import EX_CONFIG, bind, serve
from keystead.server.supervisor import ChildSpec, Supervisor, Timing

SLOW_SECONDS = 0.3
TIMING = Timing(
    drain_seconds=2.0,
    backoff_seconds=0.05,
    backoff_limit_seconds=0.2,
    settled_seconds=0.5,
    hang_seconds=0.6,
    start_seconds=1.2,
    tick_seconds=0.05,
)


class Echo:
    """Answers with the process id, and does as the target says."""

    def __init__(self, slots: Slots, slot: int) -> None:
        self._slots = slots
        self._slot = slot

    def handle(self, exchange: Exchange) -> None:
        """Answer now, later, or never."""
        if exchange.target == b"/hang":
            time.sleep(1000)
        elif exchange.target == b"/slow":
            answer = partial(exchange.reply, 200, b"slow")
            asyncio.get_running_loop().call_later(SLOW_SECONDS, answer)
        elif exchange.target == b"/reloads":
            exchange.reply(200, b"%d" % self._slots.read(self._slot, Cell.FAULTS))
        else:
            exchange.reply(200, b"%d" % os.getpid())

    def refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Answer with the status alone."""
        exchange.reply(problem.status, b"")

    def reloaded(self) -> None:
        """Count a SIGHUP where the test can ask for it."""
        self._slots.cells(self._slot)[Cell.FAULTS] += 1


def misbehave(scenario: str, slots: Slots) -> int:
    """The third child."""
    if scenario == "config":
        return EX_CONFIG
    if scenario == "crash":
        raise ValueError("a secret")
    if scenario == "exit":
        sys.exit(5)
    if scenario == "exit with words":
        sys.exit("a secret")
    if scenario == "settle":
        time.sleep(0.6)
        return 1
    if scenario == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if scenario != "silent":
        slots.beat(2)
    while True:
        time.sleep(0.1)
        if scenario != "silent":
            slots.beat(2)


def main(scenario: str) -> int:
    """Run the service."""
    log = Log(sys.stderr, "json", time.time)
    sockets = bind("127.0.0.1", 0, 2)
    slots = Slots(["w0", "w1", "third"], ["Echo"])
    children = []
    for slot, sock in enumerate(sockets):
        app = Echo(slots, slot)
        run = partial(
            serve,
            partial(Listener, app, Limits(drain_grace_seconds=0.1), None),
            sock,
            beat=partial(slots.beat, slot),
            drain_seconds=1.0,
            on_reload=app.reloaded if scenario != "no reload" else None,
            on_stop=partial(log.info, "drained", process=f"w{slot}") if scenario != "no reload" else None,
        )
        children.append(ChildSpec(name=f"w{slot}", run=run, sockets=[sock], pulse=partial(slots.pulse, slot)))
    third = partial(misbehave, scenario, slots)
    if scenario == "unwatched":
        children.append(ChildSpec(name="third", run=third))
    elif scenario not in {"none", "no reload"}:
        ended = partial(log.info, "told of the end", process="third")
        children.append(ChildSpec(name="third", run=third, pulse=partial(slots.pulse, 2), on_end=ended))
    sys.stdout.write(f"{sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    return Supervisor(children, log, TIMING).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
