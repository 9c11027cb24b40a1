"""Proofs that fit into a file: that an entry is in a log, and that a log still begins as it once was.

    proof = prove(LocalDisk(), Path("/var/lib/keystead/audit"), "keystead-1f2e3d4c/w0/567")
    proven = check(encode(proof), "keystead-1f2e3d4c+530d903a+AekyeRrm56hA...")
    proven.entry, proven.size

A proof holds all that checking takes, but for the verifier key: the entry as it was written, the hashes that lead
from it to a root, and the checkpoint that signs the root, with the cosignatures of witnesses. So it can be checked
years later, without the log and without the service. ``docs/formats/audit-proof.md`` describes both kinds.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from keystead.audit import checkpoint as checkpoints
from keystead.audit import cosigned, logkeys, prune
from keystead.audit.checkpoint import Checkpoint, read_checkpoint, unproven_checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.tiles import tile_reader
from keystead.core.disk import Disk
from keystead.crypto import merkle
from keystead.crypto.merkle import InvalidProof, TileReader, leaf_hash, partial_width
from keystead.crypto.note import CosignatureVerifier, InvalidNote, Keyring, NoteVerifier, read_note

INCLUSION: Final = "keystead-audit-proof-v1"
CONSISTENCY: Final = "keystead-audit-consistency-v1"
MOST_HASHES: Final = 64
_DIGITS: Final = 18  # of an index, more than any log gets to

_Hashes = Annotated[list[str], msgspec.Meta(max_length=MOST_HASHES)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Inclusion(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """That an entry is in a log."""

    format: Literal["keystead-audit-proof-v1"]
    event: str  # the log's origin and the index
    entry: str
    index: _Count
    hashes: _Hashes  # base64, from the entry's sibling up
    checkpoint: str  # a signed note
    keys: list[str]  # statements about the log's keys (`keystead.audit.logkeys`), the oldest first


class Consistency(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """That a log begins with all that was in it when an older checkpoint was signed."""

    format: Literal["keystead-audit-consistency-v1"]
    old: str  # a signed note
    hashes: _Hashes
    checkpoint: str  # a signed note
    keys: list[str]


class NotCovered(Exception):
    """No checkpoint covers the entry yet: one will, in a second or so."""


class NoSuchEvent(Exception):
    """There is no log of that name, or it has not so many entries."""


class Proven(NamedTuple):
    """What a proof proves."""

    origin: str
    size: int  # of the log, as signed
    entry: bytes | None  # of an inclusion, with its place in the log
    place: int
    since: int  # the size of the older checkpoint, of a consistency
    cosigned: dict[
        str, int
    ]  # when each witness that was asked for has cosigned the checkpoint, in Unix seconds


def locate(root: Path, event: str) -> tuple[Path, str, int]:
    """The log's directory, its origin and the index that an event's name stands for; raises `NoSuchEvent`."""
    origin, _, number = event.rpartition("/")
    slot = origin.rpartition("/")[2]
    if (
        not origin
        or not slot.isalnum()
        or not number.isascii()
        or not number.isdecimal()
        or len(number) > _DIGITS
    ):
        raise NoSuchEvent(f"{event!r} does not name an event: it has the form keystead-1f2e3d4c/w0/567")
    return root / slot, origin, int(number)


def prove(disk: Disk, root: Path, event: str) -> Inclusion:
    """Prove that an event is in its log, one of those in ``root``.

    Raises `NotCovered` while no checkpoint covers it, `NoSuchEvent`, or `Damaged`. The checkpoint is one that a
    witness has cosigned, where there is one that covers the event.
    """
    directory, origin, index = locate(root, event)
    newest, newest_note = _newest(disk, directory, origin)
    if index >= newest.size:
        raise NotCovered(f"the checkpoint covers {newest.size} records of {origin}, not yet {event}")
    note, signed = _best([newest_note, *checkpoints_of(disk, directory)], origin, index)
    number, place = divmod(index, merkle.TILE_WIDTH)
    frames = prune.kept(disk, directory, number, partial_width(newest.size, 0, number))
    if frames is None:
        raise NoSuchEvent(f"the entry of {event} was removed when its time was over: only its hash is left")
    hashes = merkle.inclusion_proof(index, signed.size, _reader(disk, directory, newest.size))
    try:
        entry = frames[place][2:].decode()
    except UnicodeDecodeError:
        raise Damaged(index, "", "the entry is not UTF-8") from None
    return Inclusion(
        INCLUSION, event, entry, index, _text(hashes), note.decode(), _statements(disk, directory)
    )


def prove_consistency(disk: Disk, root: Path, old: bytes) -> Consistency:
    """Prove that a log begins with what it was when a checkpoint was signed.

    Raises `InvalidNote` for what is no checkpoint, `NoSuchEvent`, `Damaged`, or `InvalidProof` if the log is now
    shorter. Whether it does begin with that, whoever checks the proof finds out.
    """
    signed = unproven_checkpoint(old)
    directory, origin, _ = locate(root, f"{signed.origin}/0")
    newest, note = _newest(disk, directory, origin)
    if signed.size > newest.size:
        raise InvalidProof(
            f"the checkpoint covers {newest.size} records of {origin}, the older one {signed.size}: the log was "
            f"rolled back"
        )
    hashes = merkle.consistency_proof(signed.size, newest.size, _reader(disk, directory, newest.size))
    return Consistency(CONSISTENCY, old.decode(), _text(hashes), note.decode(), _statements(disk, directory))


def checkpoints_of(disk: Disk, directory: Path) -> list[bytes]:
    """The newest checkpoint of a log, and those that witnesses have cosigned, each with its cosignatures."""
    return _merged(note for _, note in cosigned.notes(disk, directory))


def encode(proof: Inclusion | Consistency) -> bytes:
    """A proof as one line of JSON."""
    return msgspec.json.encode(proof) + b"\n"


def decode(data: bytes) -> Inclusion | Consistency:
    """A proof from its bytes; raises `InvalidProof`."""
    try:
        kind = msgspec.json.decode(data, type=_Kind).format
        if kind == INCLUSION:
            return msgspec.json.decode(data, type=Inclusion)
        if kind == CONSISTENCY:
            return msgspec.json.decode(data, type=Consistency)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidProof(f"it is not a proof: {error}") from None
    raise InvalidProof(f"its format is {kind!r}, which is unknown here")


def check(data: bytes, vkey: str, witnesses: Sequence[str] = ()) -> Proven:
    """What a proof proves to who trusts one key of the instance, or of the log itself.

    (1) Follow the statements from the key that is known to those that came after it. (2) Check the checkpoint's
    signature, and each witness's. (3) Follow the hashes to its root. Raises `InvalidProof` with what is wrong.
    """
    proof = decode(data)
    try:
        verifier = NoteVerifier.from_vkey(vkey)
        statements = [note.encode() for note in proof.keys]
        note = proof.checkpoint.encode()
        signed = _signed(note, logkeys.follow(verifier, statements))
        times = {}
        for witness in map(CosignatureVerifier.from_vkey, witnesses):
            times[witness.name] = witness.verify(note)
        hashes = [_hash(text) for text in proof.hashes]
        if isinstance(proof, Consistency):
            old = _signed(proof.old.encode(), logkeys.around(verifier, statements))
            if old.origin != signed.origin:
                raise InvalidProof(f"the older checkpoint is of another log, {old.origin}")
            merkle.verify_consistency(old.size, signed.size, hashes, old.root, signed.root)
            return Proven(signed.origin, signed.size, None, 0, old.size, times)
        entry = proof.entry.encode()
        if proof.event != f"{signed.origin}/{proof.index}":
            raise InvalidProof(f"its checkpoint is of the log {signed.origin}, its event is {proof.event}")
        merkle.verify_inclusion(leaf_hash(entry), proof.index, signed.size, hashes, signed.root)
    except InvalidNote as error:
        raise InvalidProof(str(error)) from None
    return Proven(signed.origin, signed.size, entry, proof.index, 0, times)


class _Kind(msgspec.Struct):
    format: str


def _signed(note: bytes, ring: Keyring) -> Checkpoint:
    """The checkpoint in a note, of the log that the keys are of or of one of the instance's."""
    origin = unproven_checkpoint(note).origin
    name = origin if origin.rpartition("/")[0] == ring.name else ring.name
    signed = read_checkpoint(note, ring.named(name))
    if signed.origin != name:
        raise InvalidNote(f"it is of the log {signed.origin!r}, not of {name!r}")
    return signed


def _newest(disk: Disk, directory: Path, origin: str) -> tuple[Checkpoint, bytes]:
    """The newest checkpoint of a log, with its cosignatures if it has any."""
    try:
        note = disk.read(directory / checkpoints.FILE)
        signed = unproven_checkpoint(note)
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchEvent(f"there is no log {origin} here") from None
    except InvalidNote as error:
        raise Damaged(0, checkpoints.FILE, str(error)) from None
    if signed.origin != origin:
        raise NoSuchEvent(f"there is no log {origin} here: this one is {signed.origin}")
    return signed, note


def _best(notes: Sequence[bytes], origin: str, index: int) -> tuple[bytes, Checkpoint]:
    """Of checkpoints that cover a record, as one does, that with the most signatures; of equal ones the newest."""
    found = []
    for note in notes:
        with suppress(InvalidNote):
            signed = unproven_checkpoint(note)
            if signed.size > index and signed.origin == origin:
                found.append((len(read_note(note)[1]), signed.size, note, signed))
    _, _, note, signed = max(found, key=lambda each: each[:2])
    return note, signed


def _merged(notes: Iterable[bytes]) -> list[bytes]:
    """Notes with the same text as one note with all signatures."""
    lines: dict[bytes, dict[bytes, None]] = {}
    for note in notes:
        text, gap, tail = note.rpartition(b"\n\n")
        lines.setdefault(text + gap, {}).update(dict.fromkeys(tail.splitlines(keepends=True)))
    return [text + b"".join(signatures) for text, signatures in lines.items()]


def _reader(disk: Disk, directory: Path, newest: int) -> TileReader:
    """Reads tiles of an older tree from those of the newest, which are wider and sure to be there."""
    read = tile_reader(disk, directory)

    def narrow(level: int, index: int, width: int) -> bytes:
        wide = partial_width(newest, level, index)
        return read(level, index, max(wide, width))[: width * merkle.HASH_BYTES]

    return narrow


def _statements(disk: Disk, directory: Path) -> list[str]:
    return [note.decode() for note in logkeys.statements_beside(disk, directory)]


def _text(hashes: Sequence[bytes]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def _hash(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if len(data) != merkle.HASH_BYTES:
        raise InvalidProof("one of its hashes is not 32 bytes in base64")
    return data
