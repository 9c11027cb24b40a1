"""Keeps the audit logs' pins (`keystead.audit.pins`) in the store, and holds the logs against them.

At a start every log must go on from its pin before it is opened, or the service does not start: what is written to a
log that was set back would cover up what was lost. Whoever means it says so once, which is put on record and pins what
is there. From then on the control process pins what is new every few seconds, and the supervisor when all have ended.
"""

from collections.abc import Collection, Iterable
from typing import Final

from keystead.app.auditkeys import LogKeys
from keystead.audit.disk import LocalDisk
from keystead.audit.pins import Logs, Loss, Pin, decode, encode
from keystead.config import Config
from keystead.core.errors import DataDamaged, KeysteadError
from keystead.core.ports import Store, View
from keystead.observe.log import Log

SETTING: Final = "audit-pins"
FLAG: Final = "--accept-audit-loss"


class Pins:
    """The pins of an installation. For one thread."""

    def __init__(self, config: Config, origin: str, keys: LogKeys) -> None:
        self._logs = Logs(config.audit, disk=LocalDisk(), origin=origin, verifier=lambda: keys().ring(origin))

    def losses(self, opened: Store, logs: Collection[str] | None = None) -> list[Loss]:
        """Which logs do not go on from their pins: of all, or of some."""
        with opened.view() as view:
            pins = _read(view)
        return self._logs.losses({log: pin for log, pin in pins.items() if logs is None or log in logs})

    def keep(self, opened: Store) -> list[Loss]:
        """Pin what is new; returns the logs that do not go on from their pins, which they keep."""
        with opened.view() as view:
            pins = _read(view)
        newer, losses = self._logs.newest(pins)
        if newer != pins:
            with opened.transact(SETTING) as tx:
                if (
                    _read(tx) == pins
                ):  # a supervisor that was killed may have left another behind, for a moment
                    tx.put_mark(SETTING, encode(newer))
        return losses

    def forget(self, opened: Store, losses: Iterable[Loss]) -> None:
        """Let go of the pins of lost logs: what is there in their places counts from now on."""
        with opened.transact(SETTING) as tx:
            pins = _read(tx)
            for loss in losses:
                pins.pop(loss.log, None)
            tx.put_mark(SETTING, encode(pins))


class Watch:
    """Pins what is new, again and again, and tells the operator once of what is lost. For one thread."""

    def __init__(self, pins: Pins, opened: Store, log: Log) -> None:
        self._pins = pins
        self._store = opened
        self._log = log
        self._told: list[Loss] = []
        self._failed = False

    def look(self) -> None:
        """Pin what is new."""
        try:
            losses = self._pins.keep(self._store)
        except (KeysteadError, OSError) as error:
            if not self._failed:
                code = error.code if isinstance(error, KeysteadError) else type(error).__name__
                self._log.warning(
                    "the audit logs' newest checkpoints cannot be pinned", code=code, reason=str(error)
                )
            self._failed = True
            return
        self._failed = False
        for loss in losses:
            if loss not in self._told:
                self._log.error(
                    "an audit log does not have what it had: keep the data directory as it is, and restore the "
                    "log from a backup",
                    log=loss.log,
                    reason=loss.why,
                )
        self._told = losses


def told(losses: Iterable[Loss]) -> str:
    """Losses in words."""
    return "; ".join(f"log {loss.log}: {loss.why}" for loss in losses)


def refusal(losses: Iterable[Loss]) -> DataDamaged:
    """Why the service does not start, and what to do."""
    return DataDamaged(
        f"the audit does not have what it had: {told(losses)}. Restore what is missing from a backup. Where it was "
        f"set back or removed on purpose, start once with {FLAG}, which is put on record"
    )


def _read(view: View) -> dict[str, Pin]:
    return decode(view.setting(SETTING) or "{}")
