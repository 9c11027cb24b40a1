"""What the logs were last seen to be, so that one that is gone, set back or replaced is missed at the next start.

A log proves that it was not changed below its checkpoint, but nothing in it proves that it is there, or that it is the
newest copy of itself. So somewhere else, in the store, there is a *pin* for each log: the size and the root of a
checkpoint that it had. A log must be there, go on from its pin and be no shorter.

    pins, losses = logs.newest(decode(text))
    text = encode(pins)

A pin only ever names a checkpoint that is durable: a power cut takes no log back below it. A log whose checkpoint does
not go on from its pin keeps the pin, whatever it becomes. Pruning leaves sizes and roots as they are.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystead.audit.damage import Damaged
from keystead.audit.recovery import signed_checkpoint
from keystead.audit.tiles import tile_reader
from keystead.audit.usage import is_log
from keystead.core.disk import Disk
from keystead.core.errors import DataDamaged
from keystead.crypto.merkle import HASH_BYTES, InvalidProof, consistency_proof, verify_consistency
from keystead.crypto.note import Verifier


class Pin(NamedTuple):
    """A checkpoint that a log had."""

    size: int
    root: bytes


class Loss(NamedTuple):
    """A log that does not go on from its pin."""

    log: str
    why: str  # one clause, to follow the log's name


def encode(pins: Mapping[str, Pin]) -> str:
    """The pins as text."""
    told = {log: (size, base64.b64encode(root).decode()) for log, (size, root) in sorted(pins.items())}
    return msgspec.json.encode(told).decode()


def decode(text: str) -> dict[str, Pin]:
    """The pins in a text; raises `DataDamaged` for anything else."""
    try:
        told = msgspec.json.decode(text, type=dict[str, tuple[int, str]])
        pins = {log: Pin(size, base64.b64decode(root, validate=True)) for log, (size, root) in told.items()}
    except ValueError as error:  # `msgspec.DecodeError` is one, and so is what is not base64
        raise _not_pins(str(error)) from None
    if any(pin.size < 0 or len(pin.root) != HASH_BYTES for pin in pins.values()):
        raise _not_pins("a size or a root is malformed")
    return pins


class Logs:
    """The logs of a directory, beside their pins. For one thread.

    ``origin`` is what the logs' origins begin with, and what ``verifier`` returns goes by that name.
    """

    def __init__(self, root: Path, *, disk: Disk, origin: str, verifier: Callable[[], Verifier]) -> None:
        self._root = root
        self._disk = disk
        self._origin = origin
        self._verifier = verifier

    def losses(self, pins: Mapping[str, Pin]) -> list[Loss]:
        """Which logs do not go on from their pins. One that the disk does not let read is not lost."""
        return self._look(pins, pins)[1]

    def newest(self, pins: Mapping[str, Pin]) -> tuple[dict[str, Pin], list[Loss]]:
        """The pins of what is there, as far as it goes on from the old ones; and which logs do not."""
        there = [log for log in self._disk.names(self._root) if is_log(self._disk, self._root / log)]
        found, losses = self._look({*there, *pins}, pins)
        newer = {log: pin for log, pin in found.items() if pin != pins.get(log) and self._is_durable(log)}
        return {**pins, **newer}, losses

    def _look(self, logs: Iterable[str], pins: Mapping[str, Pin]) -> tuple[dict[str, Pin], list[Loss]]:
        found: dict[str, Pin] = {}
        losses: list[Loss] = []
        for log in sorted(logs):
            try:
                found[log] = self._checked(log, pins.get(log))
            except InvalidProof as error:
                losses.append(Loss(log, str(error)))
            except Damaged as damage:
                losses.append(Loss(log, f"{damage.file}: {damage.problem}"))
            except OSError:
                continue  # nothing is known of it; its own process says that it cannot be read
        return found, losses

    def _checked(self, log: str, pin: Pin | None) -> Pin:
        """A log's checkpoint; raises `InvalidProof` or `Damaged` unless it goes on from the pin."""
        directory = self._root / log
        signed = signed_checkpoint(self._disk, directory, self._verifier().named(f"{self._origin}/{log}"))
        if signed is None:
            had = "" if pin is None else f"; it had {pin.size} records"
            raise InvalidProof(f"it has no checkpoint, or is not there{had}")
        if pin is not None:
            if signed.size < pin.size:
                raise InvalidProof(f"it has {signed.size} records under its checkpoint, and had {pin.size}")
            proof = consistency_proof(pin.size, signed.size, tile_reader(self._disk, directory))
            try:
                verify_consistency(pin.size, signed.size, proof, pin.root, signed.root)
            except InvalidProof:
                raise InvalidProof(f"its first {pin.size} records are not those that it had") from None
        return Pin(signed.size, signed.root)

    def _is_durable(self, log: str) -> bool:
        """Make sure that a checkpoint stays which its log may just have renamed into its place and not synced yet.

        All that it covers was durable before.
        """
        try:
            self._disk.sync(self._root / log)
        except OSError:
            return False
        return True


def _not_pins(why: str) -> DataDamaged:
    return DataDamaged(
        f"the store's pins of the audit logs do not hold ({why}): restore the store from a backup"
    )
