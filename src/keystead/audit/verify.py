"""Check a log offline, with nothing but its directory and the public key.

    report = verify(Path("/backup/audit"), "keystead-example+1f2e3d4c+AekyeRrm56hApGFk...")

What it proves: the records under each checkpoint are, one by one and in order, those that the key signed, or
a key that followed it (`keystead.audit.logkeys`).

That a log is missing it knows from the account heads beside the others, each of which says which logs there are
(`keystead.audit.accounts`), and from the heads and checkpoints that are handed to it.

What it cannot see alone: that a whole log was replaced by an older copy of itself, perhaps with other records
after it, or that records of the last second, which no checkpoint covers yet, were cut off together with the tiles
beyond. For that it needs checkpoints that were kept elsewhere (``since``), or a witness's key (``witnesses``):
the log must hold a checkpoint that the witness has cosigned, and begin with the records of all of these.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keystead.audit import accounts, logkeys, prune, segment
from keystead.audit import checkpoint as checkpoints
from keystead.audit.accounts import Seen
from keystead.audit.checkpoint import Checkpoint, read_checkpoint, unproven_checkpoint
from keystead.audit.cosigned import TEMPORARY, notes
from keystead.audit.damage import Damage, Damaged
from keystead.audit.disk import LocalDisk
from keystead.audit.recovery import Progress, check_end, check_tree, signed_checkpoint
from keystead.audit.tiles import FOLDER, read_bundle, tile_reader
from keystead.core.disk import Disk
from keystead.core.errors import AuditDamaged, InvalidRequest
from keystead.crypto.merkle import EMPTY_ROOT, TILE_WIDTH, partial_width, range_root
from keystead.crypto.note import CosignatureVerifier, InvalidNote, Keyring, NoteVerifier, Verifier

_MARKS = (checkpoints.FILE, FOLDER, segment.FOLDER)
_ATTEMPTS = 5


class Cosigned(NamedTuple):
    """Up to where a witness has seen a log."""

    witness: str
    size: int
    time: int  # Unix seconds


class LogReport(NamedTuple):
    """One log that checks out."""

    origin: str
    size: int  # records under the checkpoint
    root: bytes
    tail: int  # committed records beyond it
    torn: int  # bytes of an unfinished batch at the end, which was never acknowledged
    cosigned: tuple[Cosigned, ...] = ()  # by each witness that was asked for
    pruned: int = 0  # records of which only the hashes are left
    minimum: int = 0  # the index from which on every record is there
    accounts: int = 0  # account heads that were made anew


class Report(NamedTuple):
    """All logs check out."""

    logs: tuple[LogReport, ...]

    @property
    def records(self) -> int:
        """How many records were checked."""
        return sum(log.size + log.tail for log in self.logs)


class _Kept(NamedTuple):
    """A checkpoint from elsewhere, which a log must still agree with."""

    what: str
    signed: Checkpoint


def verify(
    directory: Path,
    vkey: str,
    *,
    witnesses: Sequence[str] = (),
    since: Sequence[bytes] = (),
    progress: Progress | None = None,
    disk: Disk | None = None,
    seen_by: Seen | None = None,
    heads: Sequence[bytes] = (),
) -> Report:
    """Check one log, or every log in a directory; raises `AuditDamaged` naming the first damaged record.

    ``vkey`` is a log's own verifier key or the instance's: the logs of ``keystead-x`` sign as
    ``keystead-x/<their directory's name>``. With several logs, each is checked, whatever the others show.
    ``witnesses`` are the verifier keys of witnesses, ``since`` checkpoints that were kept, as signed notes. With
    ``seen_by``, the trees of accounts are made anew and compared with their heads, and with ``heads`` that were given
    out (`keystead.audit.accounts`).
    """
    disk = LocalDisk() if disk is None else disk
    try:
        verifier = NoteVerifier.from_vkey(vkey)
        watching = [CosignatureVerifier.from_vkey(witness) for witness in witnesses]
    except InvalidNote as error:
        raise InvalidRequest(str(error)) from None
    try:
        statements = logkeys.statements_beside(disk, directory)
    except Damaged as found:
        raise AuditDamaged(
            f"{directory}: {found.file}: {found.problem}",
            (Damage(str(directory), 0, found.file, found.problem),),
        ) from None
    ring = logkeys.follow(verifier, statements)
    whole = logkeys.around(verifier, statements)
    kept = [_kept(note, whole) for note in since]
    said: dict[str, str] = {}  # of which logs something signed says that they are, and what
    if any(mark in disk.names(directory) for mark in _MARKS):
        logs = [(directory, _own_name(disk, directory, verifier))]
    else:
        # Everything in the parent counts as a log: one that lost its checkpoint must not go unseen. The heads are read
        # first, and by the logs that are there then: a log that is begun meanwhile may be named by no older look.
        said = {
            f"{verifier.name}/{log}": f"the signed account heads beside the log {name} name it"
            for name in disk.names(directory)
            for log in accounts.named(disk, directory / name, whole.named(f"{verifier.name}/{name}"))
        }
        logs = [
            (directory / name, f"{verifier.name}/{name}")
            for name in disk.names(directory)
            if name not in (logkeys.FILE, logkeys.FILE + TEMPORARY)
        ]
    if not logs:
        problem = "there is no log here"
        raise AuditDamaged(f"{directory}: {problem}", (Damage(str(directory), 0, "", problem),))

    said |= {_log_of(head): "an account has a head of it" for head in heads}
    said |= {each.signed.origin: "a checkpoint of it was kept" for each in kept}
    reports = []
    damage = [
        Damage(missing, 0, "", f"{said[missing]}, but the log is not here")
        for missing in sorted(said.keys() - {origin for _, origin in logs})
    ]
    for folder, origin in logs:
        try:
            # What a witness has cosigned comes before the log's own checkpoint, which may go on meanwhile.
            agreed = [each for each in kept if each.signed.origin == origin]
            seen = [_seen(disk, folder, witness, whole.named(origin)) for witness in watching]
            for at, signed in seen:
                agreed.append(_Kept(f"the one that {at.witness} has cosigned", signed))
            report = _verify_one(disk, folder, ring.named(origin), progress)
            if seen_by is not None:
                given = [head for head in heads if _log_of(head) == origin]
                count = accounts.check(disk, folder, whole.named(origin), seen_by, given)
                report = report._replace(accounts=count)
            _check_kept(disk, folder, report, agreed)
            reports.append(report._replace(cosigned=tuple(at for at, _ in seen)))
        except Damaged as found:
            damage.append(Damage(origin, found.index, found.file, found.problem))
        except OSError as error:
            damage.append(Damage(origin, 0, error.filename or "", f"cannot be read: {error.strerror}"))
    if damage:
        log, record, file, problem = damage[0]
        others = f" ({len(damage) - 1} more logs are damaged)" if len(damage) > 1 else ""
        raise AuditDamaged(f"log {log}, record {record}: {file}: {problem}{others}", tuple(damage))
    return Report(tuple(reports))


def _log_of(head: bytes) -> str:
    """The log that an account's head claims to be of."""
    claimed = head.split(b"\n", 1)[0].decode(errors="replace")
    return claimed.rpartition(f"/{accounts.FOLDER}/")[0] or claimed


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


def _kept(note: bytes, ring: Keyring) -> _Kept:
    """A checkpoint that somebody has kept, once its signature is found good."""
    try:
        origin = unproven_checkpoint(note).origin
        if origin != ring.name and not origin.startswith(f"{ring.name}/"):
            raise InvalidNote(f"it is of {origin!r}, not of {ring.name!r}")
        return _Kept("the one that was kept", read_checkpoint(note, ring.named(origin)))
    except InvalidNote as error:
        raise InvalidRequest(f"the checkpoint that was kept cannot be relied on: {error}") from None


def _seen(
    disk: Disk, directory: Path, witness: CosignatureVerifier, ring: Verifier
) -> tuple[Cosigned, Checkpoint]:
    """The largest checkpoint beside a log that a witness has cosigned."""
    found: list[tuple[Cosigned, Checkpoint]] = []
    for file, note in notes(disk, directory):
        if not witness.line(note):
            continue
        try:
            signed, time = read_checkpoint(note, ring), witness.verify(note)
        except InvalidNote as error:
            raise Damaged(0, file, str(error)) from None
        if signed.origin != ring.name:
            raise Damaged(0, file, f"it is of the log {signed.origin!r}, not of {ring.name!r}")
        found.append((Cosigned(witness.name, signed.size, time), signed))
    if not found:
        raise Damaged(0, checkpoints.FILE, f"no checkpoint of this log is cosigned by {witness.vkey}")
    return max(found, key=lambda each: each[0])


def _check_kept(disk: Disk, directory: Path, report: LogReport, kept: Sequence[_Kept]) -> None:
    """Check that a log, which is sound in itself, still begins with what it once was."""
    agreed = 0
    for what, signed in sorted(kept, key=lambda each: each.signed.size):
        if signed.size > report.size:
            problem = f"it covers {report.size} records, {what} {signed.size}: the log was rolled back"
            raise Damaged(report.size, checkpoints.FILE, problem)
        read = tile_reader(disk, directory)
        root = range_root(0, signed.size, report.size, read) if signed.size else EMPTY_ROOT
        if root != signed.root:
            problem = (
                f"its first {signed.size} records are not those of {what}: the log was forked, between "
                f"record {agreed} and there"
            )
            raise Damaged(agreed, checkpoints.FILE, problem)
        agreed = signed.size


def _verify_one(disk: Disk, directory: Path, verifier: Verifier, progress: Progress | None) -> LogReport:
    """Check one log: (1) the signature, (2) every record and hash up to the root, (3) the segments."""
    signed = _signed(disk, directory, verifier)
    pruned = prune.signed(disk, directory, verifier)
    try:
        check_tree(disk, directory, signed, progress, pruned=pruned)
    except Damaged:
        before, pruned = pruned, prune.signed(disk, directory, verifier)
        if pruned == before:
            raise
        check_tree(disk, directory, signed, progress, pruned=pruned)  # more went meanwhile
    report = _check_tail(disk, directory, verifier, signed, progress)
    return report._replace(pruned=pruned.entries, minimum=pruned.minimum)


def _check_tail(
    disk: Disk, directory: Path, verifier: Verifier, signed: Checkpoint, progress: Progress | None
) -> LogReport:
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


def _signed(disk: Disk, directory: Path, verifier: Verifier) -> Checkpoint:
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
