"""Witnessing (C2SP tlog-witness): of others' logs, and having one's own witnessed.

`Book` is a witness. It keeps for each log the last checkpoint that it has cosigned, and cosigns another only if that
goes on from it. That is all it does, and all it takes: a log that is rolled back, or shows two histories, gets no
further cosignature.

    witness/5e3f0c9a...          the last checkpoint that was cosigned, as a signed note
    witness/5e3f0c9a....refused  the last request that spoke of another history: evidence, signed by the log
    witness/lock

`Submission` is the other side: what is sent to a witness, and what is made of its answer.
"""

import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from keystead.audit import checkpoint as checkpoints
from keystead.audit import cosigned
from keystead.audit.checkpoint import Checkpoint, unproven_checkpoint
from keystead.audit.cosigned import put
from keystead.audit.damage import Damaged
from keystead.audit.tiles import tile_reader
from keystead.audit.usage import is_log
from keystead.core.disk import Disk
from keystead.core.errors import AuditUnavailable, DataDamaged
from keystead.core.ports import Clock
from keystead.core.witness import REFUSED, Considered, Verdict
from keystead.crypto.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    InvalidProof,
    consistency_proof,
    verify_consistency,
)
from keystead.crypto.note import CosignatureSigner, CosignatureVerifier, InvalidNote, Keyring, NoteVerifier

FOLDER: Final = "witness"
MOST_PROOF_LINES: Final = 63  # tlog-witness, "add-checkpoint"
MOST_REQUEST_BYTES: Final = 65_536
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_LOCK: Final = "lock"
_NOTHING: Final = Checkpoint("", 0, EMPTY_ROOT)


class Request(NamedTuple):
    """An ``add-checkpoint`` request."""

    old: int
    proof: list[bytes]
    note: bytes
    signed: Checkpoint  # as the note says; nobody has checked it yet


def write_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of a request."""
    lines = [f"old {old}", *(b64encode(each).decode() for each in proof), "", ""]
    return "\n".join(lines).encode() + note


def read_request(body: bytes) -> Request:
    """A request from its body; raises `InvalidNote`."""
    head, gap, note = body.partition(b"\n\n")
    first, *proof = head.decode("ascii", "replace").split("\n")
    found = _OLD.fullmatch(first)
    if not gap or found is None or len(proof) > MOST_PROOF_LINES or len(body) > MOST_REQUEST_BYTES:
        raise InvalidNote("the request does not begin with an old size and at most 63 hashes")
    try:
        hashes = [b64decode(line, validate=True) for line in proof]
    except ValueError:
        hashes = [b""]
    if any(len(each) != HASH_BYTES for each in hashes):
        raise InvalidNote("a line of the proof is not 32 bytes in base64")
    return Request(int(found[1]), hashes, note, unproven_checkpoint(note, extended=True))


class Book:
    """A witness (`keystead.core.witness.Witness`); one of a directory at a time.

    ``logs`` are the keys of the logs that it knows; that of an instance stands for all logs of the instance. Several
    may have one name: then a signature by any of them will do.
    """

    def __init__(
        self, folder: Path, logs: Sequence[NoteVerifier], signer: CosignatureSigner, disk: Disk, clock: Clock
    ) -> None:
        """Raises `AuditUnavailable` when another process witnesses in this directory, or it cannot be made."""
        self._folder = folder
        self._logs = tuple(logs)
        self._signer = signer
        self._disk = disk
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        try:
            disk.mkdir(folder)
            disk.sync(folder.parent)
            self._owned = disk.lock(folder / _LOCK)
        except OSError as error:
            raise AuditUnavailable(f"the witness's directory {folder} cannot be used: {error}") from None

    def close(self) -> None:
        """Let go of the directory."""
        self._owned.close()

    def consider(self, body: bytes) -> Considered:
        """Cosign a checkpoint, or say why not; see `Witness`."""
        # (1) Read it, and (2) check that it is signed by a key of a log that is known here.
        try:
            request = read_request(body)
        except InvalidNote as error:
            return Considered(Verdict.MALFORMED, str(error))
        origin = request.signed.origin
        keys = [key for key in self._logs if key.name in (origin, origin.rpartition("/")[0])]
        if not keys:
            return Considered(Verdict.UNKNOWN_LOG, "this log is not witnessed here")
        try:
            text = Keyring([key.named(origin) for key in keys]).verify(request.note)
        except InvalidNote as error:
            return Considered(Verdict.UNKNOWN_KEY, str(error))
        if request.old > request.signed.size:
            return Considered(Verdict.MALFORMED, "the old size is larger than the checkpoint's", origin)
        # (3) Hold it against the last one. From here to the record nobody else may come in between: otherwise
        # two could be held against the same, and the smaller one be recorded last.
        with self._one_at_a_time:
            try:
                return self._hold(request, text, body)
            except OSError as error:
                raise AuditUnavailable(f"the witness cannot keep what it has seen: {error}") from None

    def latest(self, digest: str) -> bytes | None:
        """The note of a log that was cosigned last, by the SHA-256 of the log's origin in hex."""
        if _DIGEST.fullmatch(digest) is None:
            return None
        try:
            return self._disk.read(self._folder / digest)
        except OSError:
            return None

    def last(self, origin: str) -> Checkpoint:
        """The last checkpoint of a log that was cosigned; of nothing if none was."""
        try:
            note = self._disk.read(self._path(origin))
        except FileNotFoundError:
            return _NOTHING
        try:
            self._signer.verifier.verify(note)
            signed = unproven_checkpoint(note, extended=True)
        except InvalidNote as error:
            # Never taken for nothing: that would be the rollback that a witness is there to prevent.
            raise DataDamaged(f"{self._path(origin)}: {error}") from None
        if signed.origin != origin:
            raise DataDamaged(f"{self._path(origin)}: it is of the log {signed.origin!r}, not of {origin!r}")
        return signed

    def _hold(self, request: Request, text: str, body: bytes) -> Considered:
        old, proof, note, signed = request
        last = self.last(signed.origin)
        verdict, why = Verdict.COSIGNED, ""
        if old != last.size:
            return Considered(Verdict.STALE, str(last.size), signed.origin)
        if old == signed.size and signed.root != last.root:
            verdict, why = Verdict.FORKED, f"another log of {old} records was cosigned"
        else:
            try:
                verify_consistency(old, signed.size, proof, last.root, signed.root)
            except InvalidProof as error:
                verdict, why = Verdict.INCONSISTENT, str(error)
        path = self._path(signed.origin)
        if verdict in REFUSED:
            put(self._disk, path.with_name(f"{path.name}.refused"), body)
            return Considered(verdict, why, signed.origin)
        # (4) Keep it, durably, before the signature leaves.
        line = self._signer.line(text, int(self._clock.now()))
        put(self._disk, path, note + line)
        return Considered(verdict, line.decode(), signed.origin)

    def _path(self, origin: str) -> Path:
        return self._folder / sha256(origin.encode()).hexdigest()


class Submission:
    """What one witness is told of the logs in a directory, and what it has said of them.

    ``name`` is what the witness is called here; with ``keep`` false, what it says is not kept beside the logs.
    """

    def __init__(
        self, root: Path, name: str, verifier: CosignatureVerifier, disk: Disk, *, keep: bool = True
    ) -> None:
        self._root = root
        self._name = name
        self._verifier = verifier
        self._disk = disk
        self._keep = keep

    def logs(self) -> list[str]:
        """The logs that there are."""
        return [name for name in self._disk.names(self._root) if is_log(self._disk, self._root / name)]

    def newest(self, log: str) -> tuple[int, bytes]:
        """The size and the note of a log's newest checkpoint; raises `DataDamaged`."""
        try:
            note = self._disk.read(self._root / log / checkpoints.FILE)
            return unproven_checkpoint(note).size, note
        except (OSError, InvalidNote) as error:
            raise DataDamaged(f"the checkpoint of {log} cannot be read: {error}") from None

    def seen(self, log: str) -> int:
        """The size of the largest checkpoint beside a log that the witness has cosigned; -1 for none."""
        sizes = [-1]
        for _, note in cosigned.notes(self._disk, self._root / log):
            with suppress(InvalidNote):
                self._verifier.verify(note)
                sizes.append(unproven_checkpoint(note).size)
        return max(sizes)

    def request(self, log: str, note: bytes, old: int) -> bytes:
        """What the witness is asked; ``old`` is the size that it saw last, and no larger than the note's."""
        size = unproven_checkpoint(note).size
        try:
            proof = consistency_proof(old, size, tile_reader(self._disk, self._root / log))
        except (Damaged, OSError) as error:
            raise DataDamaged(f"the tiles of {log} cannot be read: {error}") from None
        return write_request(old, proof, note)

    def accept(self, log: str, note: bytes, lines: bytes) -> None:
        """Take what the witness has answered; raises `InvalidNote` unless it has cosigned this note."""
        line = self._verifier.line(lines)
        self._verifier.verify(note + line)
        if not self._keep:
            return
        try:
            cosigned.keep(self._disk, self._root / log, self._name, note + line)
        except OSError as error:
            raise AuditUnavailable(f"the cosignature of {log} cannot be kept: {error}") from None
