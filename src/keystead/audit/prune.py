"""What of a log has been removed because nobody need keep it any longer, and the signed statement that says so.

Entries are removed by whole bundles of 256 (C2SP tlog-tiles, "Pruning"). The hash tiles stay, so the tree, its root
and every proof are what they were: what is gone is what the entries said, never that there were so many, in this
order. Beside the tiles lies the statement, a signed note:

    keystead-example/w0/pruned
    5120                       the minimum index: from here on every entry is there
    1764000000000000           when the log's first entry was made, microseconds since 1970
    0-17                       the bundles that were removed, by number
    19

Bundles below the minimum index that are not named were kept, for a legal hold or since they have an entry that is kept
for longer. A bundle that is missing and not named is damage, as ever.

Readers that need no proof (`kept`) take the statement without its signature; `verify` checks it.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from typing_extensions import override

from keystead.audit.damage import Damaged
from keystead.audit.tiles import ENTRIES, read_bundle, tile_path
from keystead.core.disk import Disk
from keystead.crypto.merkle import TILE_WIDTH
from keystead.crypto.note import InvalidNote, Verifier

FILE: Final = "pruned"
_TEMPORARY: Final = "pruned.tmp"
_LINES: Final = 3


class Pruned(NamedTuple):
    """What was removed from one log."""

    minimum: int = 0  # the index from which on every entry is there
    began: int = 0  # when the log's first entry was made, microseconds since 1970
    bundles: tuple[range, ...] = ()  # that were removed, in order, none touching the next

    @override
    def __contains__(self, bundle: object) -> bool:
        """Whether a bundle was removed."""
        return any(bundle in run for run in self.bundles)

    @property
    def entries(self) -> int:
        """How many entries are gone."""
        return sum(map(len, self.bundles)) * TILE_WIDTH

    def plus(self, bundles: Iterable[int], began: int) -> "Pruned":
        """With more bundles gone; ``began`` is the time of the log's first entry, if that is still known."""
        runs = runs_of({*bundles, *(number for run in self.bundles for number in run)})
        minimum = max(self.minimum, runs[-1].stop * TILE_WIDTH if runs else 0)
        return Pruned(minimum, self.began or began, runs)

    def text(self, origin: str) -> str:
        """The statement, ready to sign under its own name (`name`)."""
        runs = [f"{run.start}-{run.stop - 1}" if len(run) > 1 else f"{run.start}" for run in self.bundles]
        return "\n".join([name(origin), str(self.minimum), str(self.began), *runs, ""])


NOTHING: Final = Pruned()


def runs_of(numbers: Iterable[int]) -> tuple[range, ...]:
    """Numbers as runs, in order."""
    runs: list[range] = []
    for number in sorted(numbers):
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)


def name(origin: str) -> str:
    """The name that a log's statement is signed under: it can be taken for no checkpoint."""
    return f"{origin}/{FILE}"


def signed(disk: Disk, directory: Path, verifier: Verifier) -> Pruned:
    """A log's statement, checked; `NOTHING` where there is none, and `Damaged` for one that is not the log's own.

    ``verifier`` goes by the log's origin.
    """
    try:
        note = disk.read(directory / FILE)
    except FileNotFoundError:
        return NOTHING
    try:
        return read(note, verifier)
    except InvalidNote as error:
        raise Damaged(0, FILE, str(error)) from None


def read(note: bytes, verifier: Verifier) -> Pruned:
    """The statement in a note; ``verifier`` goes by the log's origin. Raises `InvalidNote` for anything else."""
    return _read(verifier.named(name(verifier.name)).verify(note), name(verifier.name))


def stated(disk: Disk, directory: Path) -> Pruned:
    """A log's statement, unchecked."""
    try:
        text = disk.read(directory / FILE).rpartition(b"\n\n")[0].decode() + "\n"
        return _read(text, text.partition("\n")[0])
    except FileNotFoundError:
        return NOTHING
    except (InvalidNote, UnicodeDecodeError) as error:
        raise Damaged(0, FILE, str(error)) from None


def is_there(disk: Disk, directory: Path, bundle: int) -> bool:
    """Whether a full bundle's file is there."""
    try:
        disk.open(directory / tile_path(ENTRIES, bundle)).close()
    except FileNotFoundError:
        return False
    return True


def kept(disk: Disk, directory: Path, index: int, width: int) -> list[bytes] | None:
    """A bundle's first ``width`` entries, each with its length before it; None for one that was removed."""
    try:
        return read_bundle(disk, directory, index, width)[1]
    except Damaged:
        if index in stated(disk, directory):
            return None
        raise


def state(disk: Disk, directory: Path, note: bytes) -> None:
    """Put a signed statement in its place, durably: from here on what it names is accounted for."""
    file = disk.create(directory / _TEMPORARY)
    try:
        file.write(note, 0)
        file.sync()
    finally:
        file.close()
    disk.rename(directory / _TEMPORARY, directory / FILE)
    disk.sync(directory)


def remove(disk: Disk, directory: Path, bundles: Iterable[int]) -> None:
    """Remove bundles that the statement names, as far as they are there."""
    folders = set()
    for number in bundles:
        path = directory / tile_path(ENTRIES, number)
        with suppress(FileNotFoundError):
            disk.remove(path)
            folders.add(path.parent)
    for folder in sorted(folders):
        disk.sync(folder)


def _read(text: str, expected: str) -> Pruned:
    """A statement from its text."""
    lines = text.split("\n")
    if len(lines) < _LINES + 1 or lines[0] != expected or lines.pop():
        message = f"it is not the statement of {expected}"
        raise InvalidNote(message)
    try:
        minimum, began = _number(lines[1]), _number(lines[2])
        runs = []
        for line in lines[_LINES:]:
            first, dash, last = line.partition("-")
            runs.append(range(_number(first), _number(last if dash else first) + 1))
    except ValueError as error:
        raise InvalidNote(str(error)) from None
    ends = [number for run in runs for number in (run.start, run.stop)]
    if any(later <= earlier for earlier, later in pairwise(ends)) or (
        runs and minimum < runs[-1].stop * TILE_WIDTH
    ):
        message = "its bundles are not in order below the minimum index"
        raise InvalidNote(message)
    return Pruned(minimum, began, tuple(runs))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or str(int(text)) != text:
        message = f"{text!r} is not a number"
        raise ValueError(message)
    return int(text)
