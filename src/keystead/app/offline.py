"""What can be done with the files of an installation and no service: checking and reading the audit logs."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from keystead.audit import accountfile, logkeys, reading
from keystead.audit import proof as proofs
from keystead.audit.accountfile import Checked, Wrong
from keystead.audit.damage import Damaged
from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.audit.proof import Proven
from keystead.audit.recovery import Progress
from keystead.audit.search import Search
from keystead.audit.verify import Report, verify
from keystead.core.errors import AuditDamaged, ConfigError, DataDamaged, InvalidRequest, NotFound
from keystead.crypto.merkle import InvalidProof
from keystead.crypto.note import InvalidNote
from keystead.service.concerns import seen
from keystead.service.entry import begins, moment, of_request

_CHECKPOINT = "checkpoint"
_AT_ONCE = 1000  # records that are read before they are handed on


def verify_audit(
    directory: Path,
    key: str,
    progress: Progress | None = None,
    *,
    witnesses: Sequence[str] = (),
    since: Sequence[str] = (),
    heads: Sequence[Path] = (),
) -> Report:
    """Check one log or all logs in a directory; raises `AuditDamaged` naming the first damaged record.

    ``key`` is a verifier key, or the path of a file that holds one (``audit.vkey`` of the data directory), and so is
    each of ``witnesses``. ``since`` are checkpoints that were kept, as notes, and ``heads`` accounts' files.
    """
    _require(directory)
    return verify(
        directory,
        key_text(key),
        progress=progress,
        witnesses=[key_text(witness) for witness in witnesses],
        since=[note.encode() for note in since],
        seen_by=seen,
        heads=[head for file in heads for head in _heads(file)],
    )


def check_account_file(path: Path, key: str, since: Path | None = None) -> list[Checked]:
    """What an account's file proves; raises `AuditDamaged` naming the first entry that is not what it should be."""

    def lines() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from file

    try:
        return accountfile.check(lines, key_text(key), seen, _first_line(since) if since else b"")
    except Wrong as wrong:
        raise AuditDamaged(
            f"{path}: {wrong}", ((wrong.log, wrong.record, str(path), wrong.problem),)
        ) from None
    except InvalidNote as error:
        raise InvalidRequest(str(error)) from None


def _heads(path: Path) -> list[bytes]:
    try:
        return accountfile.heads_of(_first_line(path))
    except Wrong as wrong:
        raise InvalidRequest(f"{path}: {wrong}") from None


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def check_proofs(path: Path, key: str, witnesses: Sequence[str] = ()) -> list[Proven]:
    """What the proofs in a file prove, one a line; raises `AuditDamaged` for the first that proves nothing."""
    trusted, watching = key_text(key), [key_text(witness) for witness in witnesses]
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name another") from None
    proven = []
    for number, line in enumerate(lines, 1):
        try:
            proven.append(proofs.check(line, trusted, watching))
        except InvalidProof as error:
            raise AuditDamaged(
                f"{path}, line {number}: {error}", ((str(path), 0, f"line {number}", str(error)),)
            ) from None
    if not proven:
        raise AuditDamaged(f"{path}: it holds no proof", ((str(path), 0, "", "it holds no proof"),))
    return proven


def prove(directory: Path, event: str) -> tuple[list[str], list[str]]:
    """Proofs of an event or of those of a request, and the events that no checkpoint covers yet."""
    _require(directory)
    journal = _journal(directory)
    events = [event] if "/" in event else [f"{name}" for name, _ in journal.find(event).entries]
    if not events:
        raise NotFound(f"there is no request {event} in {directory}")
    found, pending = [], []
    for each in events:
        proof = journal.prove(each)
        if proof is None:
            pending.append(each)
        else:
            found.append(proof.text)
    return found, pending


def prove_consistency(directory: Path, checkpoint: str) -> str:
    """A proof that a log begins with what a kept checkpoint signed."""
    _require(directory)
    return _journal(directory).prove_consistency(checkpoint)


def _journal(directory: Path) -> Search:
    """Looks up events and requests in the logs of one instance."""
    disk, origin = LocalDisk(), ""
    for name in disk.names(directory):
        try:
            origin = disk.read(directory / name / _CHECKPOINT).split(b"\n", 1)[0].decode().rpartition("/")[0]
        except (OSError, UnicodeDecodeError):
            continue
        break
    return Search(
        directory,
        disk=disk,
        clock=_Clock(),
        origin=origin,
        of_request=of_request,
        begins=begins,
        moment=moment,
        seconds=math.inf,
    )


class _Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def read_audit(directory: Path, last: int | None = None) -> Iterator[bytes]:
    """The records of one log, or of all logs in a directory, one log after the other."""
    _require(directory)
    disk = LocalDisk()
    single = (directory / _CHECKPOINT).exists()
    for folder in [directory] if single else [directory / name for name in disk.names(directory)]:
        if folder.name == logkeys.FILE:
            continue
        try:
            yield from reading.entries(disk, folder, last)
        except Damaged as damage:
            raise AuditDamaged(
                f"log {folder}, record {damage.index}: {damage.file}: {damage.problem}"
            ) from None


def read_events(directory: Path) -> Iterator[tuple[str, bytes]]:
    """The same, each with the name of its event: the origin of its log and its index."""
    _require(directory)
    single = (directory / _CHECKPOINT).exists()
    follower = Follower(directory.parent if single else directory, disk=LocalDisk())
    try:
        for log in [directory.name] if single else follower.logs():
            origin, position = follower.signed(log).origin, 0
            while found := follower.read(log, position, _AT_ONCE, unsettled=True):
                yield from ((f"{origin}/{index}", entry) for index, entry in found)
                position = found[-1][0] + 1
    except DataDamaged as damage:
        raise AuditDamaged(str(damage)) from None


def _require(directory: Path) -> None:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory: name the `audit` directory of an installation")


def key_text(text: str) -> str:
    """A verifier key, given as it is or by the name of a file that holds it."""
    if "+" in text and "\n" not in text and not Path(text).is_file():
        return text
    try:
        return Path(text).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {text} cannot be read ({error}): name it, or give the key itself"
        ) from None
