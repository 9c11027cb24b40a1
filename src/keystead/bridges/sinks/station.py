"""All sinks of an installation: one thread for each, so that none waits for another.

station = Station(config.sinks, data, follower=lambda: Follower(config.audit, disk=disk), disk=disk, clock=clock,
                  random=os.urandom)
station.start()
station.status()        # for metrics
station.close(5.0)
"""

import importlib
import pkgutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

from keystead.bridges.sinks import adapters
from keystead.bridges.sinks.cursor import FOLDER, Cursors
from keystead.bridges.sinks.deadletter import DeadLetters
from keystead.bridges.sinks.port import Sink
from keystead.bridges.sinks.pump import Follower, Pump, Status
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.errors import ConfigError
from keystead.core.ports import Clock, Random

_Connect = Callable[[Settings, Clock, Disk], Sink]

KINDS: Final = frozenset(module.name for module in pkgutil.iter_modules(adapters.__path__))
"""The kinds that there are, by the package's own listing."""


def connect(settings: Settings, clock: Clock, disk: Disk) -> Sink:
    """The sink of a configuration; raises `ConfigError` for one that cannot be."""
    if settings.kind not in KINDS:
        raise ConfigError(f"there is no kind of sink {settings.kind!r}: {', '.join(sorted(KINDS))}")
    module = importlib.import_module(f"{adapters.__name__}.{settings.kind}")
    return cast("_Connect", module.connect)(settings, clock, disk)


class Station:
    """Runs the pumps of all sinks."""

    def __init__(
        self,
        sinks: Sequence[Settings],
        data: Path,
        *,
        follower: Callable[[], Follower],
        disk: Disk,
        clock: Clock,
        random: Random,
        began: Callable[[], None] = lambda: None,
        notice: Callable[[str, str], None] = lambda _name, _reason: None,
    ) -> None:
        """Open every sink; raises `ConfigError`. ``follower`` makes one for each, since a follower is one thread's.

        ``began`` is called on each thread first, to give it a priority for instance. ``notice`` is called with a
        sink's name and the reason, on its thread, when its receiver begins to refuse events.
        """
        self._stop = threading.Event()
        self._began = began
        self._pumps = [
            Pump(
                connect(settings, clock, disk),
                follower(),
                Cursors(data / FOLDER / settings.name, sink=settings.name, disk=disk),
                DeadLetters(data / FOLDER / settings.name, disk=disk),
                name=settings.name,
                kind=settings.kind,
                form=settings.format,
                clock=clock,
                random=random,
                checkpoint_entries=settings.checkpoint_entries,
                notice=partial(notice, settings.name),
            )
            for settings in sinks
        ]
        # A receiver that holds its thread must not hold the process when that ends.
        self._threads = [
            threading.Thread(target=self._run, args=(pump,), name=f"sink {settings.name}", daemon=True)
            for pump, settings in zip(self._pumps, sinks, strict=True)
        ]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def _run(self, pump: Pump) -> None:
        self._began()
        pump.run(self._stop)

    def status(self) -> list[Status]:
        """How each is doing; any thread."""
        return [pump.status() for pump in self._pumps]

    def close(self, seconds: float) -> None:
        """Have them stop, and wait so long for it in all. One that does not costs duplicates, later."""
        self._stop.set()
        until = threading.Event()
        timer = threading.Timer(seconds, until.set)
        timer.start()
        try:
            while not until.is_set() and any(thread.is_alive() for thread in self._threads):
                for thread in self._threads:
                    thread.join(0.02)
        finally:
            timer.cancel()
