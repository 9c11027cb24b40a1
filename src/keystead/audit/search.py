"""Find the entries of one request in all logs, the newest first, without being in anybody's way.

    search = Search(root, disk=disk, clock=clock, origin=origin, of_request=of_request, begins=begins, moment=moment)
    found = search.find("6f1e...")

There is no index of requests: there would be one row for each, and hardly anybody ever asks. So the logs are read
backwards: what no checkpoint covers yet from the segments, then bundle after bundle, always in the log that has been
read back the least. Only entries that hold the request's id are decoded, so 300,000 entries take a fraction of a second
and a request of the last minutes is found in a few hundredths.

A request leaves one entry, or two if it was a change: its intent and its outcome. Where the first of them is found the
search is over. (A read of a job's that was asked again has one for each time, under one id: the last, whose answer
counts, is found, and those before it only by chance.) It also ends after a number of entries or of seconds, or
where a log cannot be read, and says so: `Found.missing`.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from keystead.audit import logkeys, prune, segment
from keystead.audit import proof as proofs
from keystead.audit.damage import Damaged
from keystead.audit.reading import covered
from keystead.audit.usage import Place, beyond, is_log
from keystead.core.disk import Disk
from keystead.core.errors import DataDamaged, InvalidRequest, NotFound
from keystead.core.ports import Clock, Found, Proof
from keystead.crypto.merkle import TILE_WIDTH, InvalidProof, partial_width
from keystead.crypto.note import InvalidNote

MOST_ENTRIES: Final = 10_000_000
SECONDS: Final = 2.0
_ATTEMPTS: Final = 5


class Search:
    """`keystead.core.ports.Journal` over the logs in a directory, those without an owner included.

    ``of_request`` says whether an entry is of a request, ``begins`` whether it is the first of its request's, and
    ``moment`` when it was made; ``origin`` is what the logs' origins begin with.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk,
        clock: Clock,
        origin: str,
        of_request: Callable[[bytes, str], bool],
        begins: Callable[[bytes], bool],
        moment: Callable[[bytes], float],
        most_entries: int = MOST_ENTRIES,
        seconds: float = SECONDS,
    ) -> None:
        self._root = root
        self._disk = disk
        self._clock = clock
        self._origin = origin
        self._of_request = of_request
        self._begins = begins
        self._moment = moment
        self._most_entries = most_entries
        self._seconds = seconds

    def find(self, request: str) -> Found:
        """The entries of one request, the newest first, as far as they were found."""
        if not request:
            return Found(())
        found: list[tuple[str, bytes]] = []
        missing: list[str] = []
        for log, entries in self._pieces(request.encode(), missing):
            own = [(number, entry) for number, entry in entries if self._of_request(entry, request)]
            found += [(f"{self._origin}/{log}/{number}", entry) for number, entry in reversed(own)]
            if any(self._begins(entry) for _, entry in own):
                return Found(tuple(found))
        return Found(tuple(found), "; ".join(missing))

    def prove(self, event: str) -> Proof | None:
        """A proof that an event is in its log; None while no checkpoint covers it."""
        try:
            proof = proofs.prove(self._disk, self._root, event)
        except proofs.NotCovered:
            return None
        except proofs.NoSuchEvent as error:
            raise NotFound(f"There is no such event: {error}.") from None
        except (Damaged, OSError) as error:
            raise DataDamaged(f"the audit log of {event} cannot be read: {error}") from None
        return Proof(proof.entry.encode(), proofs.encode(proof).decode().rstrip())

    def prove_consistency(self, checkpoint: str) -> str:
        """A proof that a log begins with what that checkpoint signed."""
        try:
            proof = proofs.prove_consistency(self._disk, self._root, checkpoint.encode(errors="replace"))
        except InvalidNote as error:
            raise InvalidRequest(f"That is not a checkpoint: {error}.") from None
        except proofs.NoSuchEvent as error:
            raise NotFound(f"There is no such log: {error}.") from None
        except (InvalidProof, Damaged, OSError) as error:
            raise DataDamaged(
                f"an audit log does not go on from a checkpoint that was kept: {error}"
            ) from None
        return proofs.encode(proof).decode().rstrip()

    def checkpoints(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The statements about the logs' keys, and the newest checkpoints of all logs, as notes."""
        try:
            statements = logkeys.statements_beside(self._disk, self._root)
            notes = [
                note
                for name in self._disk.names(self._root)
                if is_log(self._disk, self._root / name)
                for note in proofs.checkpoints_of(self._disk, self._root / name)
            ]
        except (Damaged, OSError) as error:
            raise DataDamaged(f"the audit logs cannot be read: {error}") from None
        return tuple(each.decode() for each in statements), tuple(each.decode() for each in notes)

    def _pieces(self, holding: bytes, missing: list[str]) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
        """The entries that hold some bytes, by log, from the ends on; ``missing`` gets what was not searched."""
        until = self._clock.monotonic() + self._seconds
        names = self._disk.names(self._root)
        logs = [
            _Log(self._disk, self._root / name, self._moment)
            for name in names
            if is_log(self._disk, self._root / name)
        ]
        searched = 0
        while logs:
            log = max(logs, key=lambda log: (not log.begun, log.back_to))
            if log.begun and (searched >= self._most_entries or self._clock.monotonic() >= until):
                missing.append(f"the oldest {sum(log.left for log in logs):,} entries were not searched")
                return
            before = log.left
            try:
                entries = log.step_back(holding)
            except (Damaged, OSError) as error:
                missing.append(f"the audit log {log.name} cannot be read: {error}")
                logs.remove(log)
                continue
            searched += max(0, before - log.left)  # what is under no checkpoint is not counted
            if not log.left:
                logs.remove(log)
            yield log.name, entries


class _Log:
    """A log that is read backwards."""

    __slots__ = ("_directory", "_disk", "_moment", "back_to", "begun", "left", "name")

    def __init__(self, disk: Disk, directory: Path, moment: Callable[[bytes], float]) -> None:
        self._disk = disk
        self._directory = directory
        self._moment = moment
        self.name = directory.name
        self.begun = False
        self.left = 0  # entries under the checkpoint that were not read
        self.back_to = math.inf  # the time of the oldest one that was read, Unix seconds

    def step_back(self, holding: bytes) -> list[tuple[int, bytes]]:
        """The entries of the next piece that hold some bytes, with their numbers."""
        if not self.begun:
            self.begun = True
            return self._tail(holding)
        index = (self.left - 1) // TILE_WIDTH
        first = index * TILE_WIDTH
        frames = prune.kept(self._disk, self._directory, index, partial_width(self.left, 0, index))
        self.left = first
        if frames is None:
            return []
        self.back_to = self._moment(frames[0][2:])
        return [(number, frame[2:]) for number, frame in enumerate(frames, first) if holding in frame]

    def _tail(self, holding: bytes) -> list[tuple[int, bytes]]:
        """What is under no checkpoint; again when one overtakes the look, since segments go then."""
        for _ in range(_ATTEMPTS):
            self.left = covered(self._disk, self._directory)
            try:
                entries = beyond(self._disk, self._directory, Place(self.left), holding)
            except (Damaged, FileNotFoundError):
                if covered(self._disk, self._directory) == self.left:
                    raise
                continue
            if covered(self._disk, self._directory) == self.left:
                return entries
        raise Damaged(self.left, segment.FOLDER, "it goes on too fast")
