"""Check a log offline, with nothing but its directory and the public key.

    report = verify(Path("/backup/audit"), "keystead-example+1f2e3d4c+AekyeRrm56hApGFk...")

What it proves: the records under each checkpoint are, one by one and in order, those that the key signed.
What it cannot see alone: that a whole log was replaced by an older copy of itself, or that records of the
last second, which no checkpoint covers yet, were cut off together with the tiles beyond. Compare the
checkpoint with one that was kept elsewhere.
"""

from pathlib import Path
from typing import NamedTuple

from keystead.audit import checkpoint as checkpoints
from keystead.audit import segment
from keystead.audit.checkpoint import Checkpoint
from keystead.audit.damage import Damage, Damaged
from keystead.audit.disk import LocalDisk
from keystead.audit.recovery import Progress, check_end, check_tree, signed_checkpoint
from keystead.audit.tiles import FOLDER, read_bundle
from keystead.core.disk import Disk
from keystead.core.errors import AuditDamaged, InvalidRequest
from keystead.crypto.merkle import TILE_WIDTH, partial_width
from keystead.crypto.note import InvalidNote, NoteVerifier

_MARKS = (checkpoints.FILE, FOLDER, segment.FOLDER)
_ATTEMPTS = 5


class LogReport(NamedTuple):
    """One log that checks out."""

    origin: str
    size: int  # records under the checkpoint
    root: bytes
    tail: int  # committed records beyond it
    torn: int  # bytes of an unfinished batch at the end, which was never acknowledged


class Report(NamedTuple):
    """All logs check out."""

    logs: tuple[LogReport, ...]

    @property
    def records(self) -> int:
        """How many records were checked."""
        return sum(log.size + log.tail for log in self.logs)


def verify(
    directory: Path, vkey: str, *, progress: Progress | None = None, disk: Disk | None = None
) -> Report:
    """Check one log, or every log in a directory; raises `AuditDamaged` naming the first damaged record.

    ``vkey`` is a log's own verifier key or the instance's: the logs of ``keystead-x`` sign as
    ``keystead-x/<their directory's name>``. With several logs, each is checked, whatever the others show.
    """
    disk = LocalDisk() if disk is None else disk
    try:
        verifier = NoteVerifier.from_vkey(vkey)
    except InvalidNote as error:
        raise InvalidRequest(str(error)) from None
    if any(mark in disk.names(directory) for mark in _MARKS):
        logs = [(directory, _own_name(disk, directory, verifier))]
    else:
        # Everything in the parent counts as a log: one that lost its checkpoint must not go unseen.
        logs = [(directory / name, f"{verifier.name}/{name}") for name in disk.names(directory)]
    if not logs:
        problem = "there is no log here"
        raise AuditDamaged(f"{directory}: {problem}", (Damage(str(directory), 0, "", problem),))

    reports, damage = [], []
    for folder, origin in logs:
        try:
            reports.append(_verify_one(disk, folder, verifier.named(origin), progress))
        except Damaged as found:
            damage.append(Damage(origin, found.index, found.file, found.problem))
        except OSError as error:
            damage.append(Damage(origin, 0, error.filename or "", f"cannot be read: {error.strerror}"))
    if damage:
        log, record, file, problem = damage[0]
        others = f" ({len(damage) - 1} more logs are damaged)" if len(damage) > 1 else ""
        raise AuditDamaged(f"log {log}, record {record}: {file}: {problem}{others}", tuple(damage))
    return Report(tuple(reports))


def _own_name(disk: Disk, directory: Path, verifier: NoteVerifier) -> str:
    """The origin that a single log must have: the key's own name, or a name under the instance's.

    The unsigned first line only chooses between the two; the signature is checked against the choice.
    """
    try:
        claimed = disk.read(directory / checkpoints.FILE).split(b"\n", 1)[0].decode(errors="replace")
    except FileNotFoundError:
        return verifier.name
    instance, _, slot = claimed.rpartition("/")
    if (
        instance == verifier.name
        and slot
        and not any(character.isspace() or character == "+" for character in slot)
    ):
        return claimed
    return verifier.name


def _verify_one(disk: Disk, directory: Path, verifier: NoteVerifier, progress: Progress | None) -> LogReport:
    """Check one log: (1) the signature, (2) every record and hash up to the root, (3) the segments."""
    signed = _signed(disk, directory, verifier)
    check_tree(disk, directory, signed, progress)
    for _ in range(_ATTEMPTS):
        try:
            return _check_segments(disk, directory, signed)
        except (Damaged, FileNotFoundError):
            # A log in use goes on meanwhile, and its segments are whole only against its newest checkpoint.
            newer = _signed(disk, directory, verifier)
            if newer == signed:
                raise
            check_tree(disk, directory, newer, progress, start=signed.size // TILE_WIDTH)
            signed = newer
    return _check_segments(disk, directory, signed)


def _signed(disk: Disk, directory: Path, verifier: NoteVerifier) -> Checkpoint:
    signed = signed_checkpoint(disk, directory, verifier)
    if signed is None:
        raise Damaged(0, checkpoints.FILE, "it is missing")
    return signed


def _check_segments(disk: Disk, directory: Path, signed: Checkpoint) -> LogReport:
    """Check the segments: whole, without gaps, equal to the tiles where both have a record."""
    replay = segment.replay(disk, directory, signed.size)
    bundle, frames = -1, list[bytes]()
    for batch in replay.batches:
        for index, frame in enumerate(segment.frames_of(batch.records)[0], batch.first):
            if index >= signed.size:
                break
            number, place = divmod(index, TILE_WIDTH)
            if number != bundle:
                bundle = number
                frames = read_bundle(disk, directory, number, partial_width(signed.size, 0, number))[1]
            if frame != frames[place]:
                raise Damaged(index, batch.file, "its record is not the one under the checkpoint")
    check_end(disk, directory, replay.end)
    return LogReport(signed.origin, signed.size, signed.root, replay.end - signed.size, replay.torn)
