"""The keys that sign an instance's checkpoints, one after the other, and how a verifier follows them.

A key is replaced by a *statement*, a note that both the old key and the new one have signed:

    keystead audit key v1
    keystead-1f2e3d4c5b6a7988
    2
    1764000000
    keystead-1f2e3d4c5b6a7988+1d2c3b4a+AekyeRrm56hA...
    keystead-1f2e3d4c5b6a7988+530d903a+AbT3kq0vZ9sU...

which says: from now on (Unix seconds), key number 2 signs instead of the one before. So whoever knows one of the keys
gets to those after it without asking anybody (`follow`), and whoever knows a later one can tell which were before it
(`precede`), for checkpoints that were kept. The statements lie beside the logs, in ``audit/keys``.

What a statement cannot do is tell a thief from the owner: who has stolen a key can sign statements with it. Whoever
knows the newest key is safe from that, whoever knows an older one must get the newest from the owner.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from keystead.audit.damage import Damaged
from keystead.core.disk import Disk
from keystead.crypto.note import InvalidNote, Keyring, NoteSigner, NoteVerifier, read_note

FILE: Final = "keys"
FORMAT: Final = "keystead-audit-keys-v1"
_HEADING: Final = "keystead audit key v1"
_LINES: Final = 6
_NUMBER: Final = re.compile("[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What a log is signed with at present, and what it has been signed with."""

    signers: tuple[NoteSigner, ...]  # the key, and the one before while both sign
    known: tuple[NoteVerifier, ...] = ()  # earlier keys, the oldest first

    @property
    def vkey(self) -> str:
        """The verifier key of the key."""
        return self.signers[0].vkey

    def itself(self) -> "SigningKeys":
        """These, for who asks for them again and again."""
        return self

    def ring(self, name: str) -> Keyring:
        """All of them, under a name."""
        return Keyring([key.named(name) for key in (self.signers[0].verifier, *self.known)])


class Statement(NamedTuple):
    """That one key follows another."""

    number: int  # of the new key; an instance's first is 1
    time: int  # Unix seconds
    old: NoteVerifier
    new: NoteVerifier


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    statements: list[str]


def introduce(old: NoteSigner, new: NoteSigner, number: int, time: int) -> bytes:
    """A statement, as a note: ``new`` follows ``old`` as the instance's key of that number."""
    text = f"{_HEADING}\n{old.name}\n{number}\n{time}\n{old.vkey}\n{new.vkey}\n"
    return old.sign(text) + new.line(text)


def read_statement(note: bytes) -> Statement:
    """The statement in a note, once both keys' signatures are found good; raises `InvalidNote`."""
    lines = read_note(note)[0].split("\n")
    if len(lines) != _LINES + 1 or lines[0] != _HEADING or not all(map(_NUMBER.fullmatch, lines[2:4])):
        message = "it is not a statement about an audit key"
        raise InvalidNote(message)
    old, new = (NoteVerifier.from_vkey(line) for line in lines[4:6])
    if {old.name, new.name} != {lines[1]} or int(lines[2]) < 2:  # noqa: PLR2004 - the first has no predecessor
        message = "the statement's keys are not of the instance that it names"
        raise InvalidNote(message)
    old.verify(note)
    new.verify(note)
    return Statement(int(lines[2]), int(lines[3]), old, new)


def follow(known: NoteVerifier, statements: Sequence[bytes]) -> Keyring:
    """The key that is known and those that came after it, under its name."""
    ring = [known]
    for statement in map(read_statement, statements):
        if statement.old.public_key == ring[-1].public_key:
            ring.append(statement.new.named(known.name))
    return Keyring(ring)


def precede(known: NoteVerifier, statements: Sequence[bytes]) -> Keyring:
    """The key that is known and those that came before it, under its name."""
    ring = [known]
    for statement in map(read_statement, reversed(statements)):
        if statement.new.public_key == ring[-1].public_key:
            ring.append(statement.old.named(known.name))
    return Keyring(ring)


def around(known: NoteVerifier, statements: Sequence[bytes]) -> Keyring:
    """The key that is known, those that came before it and those after it, under its name."""
    return Keyring([*follow(known, statements).keys, *precede(known, statements).keys[1:]])


def encode(statements: Sequence[bytes]) -> bytes:
    """The file of statements."""
    return msgspec.json.encode(_Keys(FORMAT, [note.decode() for note in statements])) + b"\n"


def decode(data: bytes) -> tuple[bytes, ...]:
    """The statements in a file; raises `InvalidNote`."""
    try:
        keys = msgspec.json.decode(data, type=_Keys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidNote(f"it does not hold an instance's audit keys: {error}") from None
    if keys.format != FORMAT:
        raise InvalidNote(f"its format is {keys.format!r}, which is unknown here")
    return tuple(note.encode() for note in keys.statements)


def statements_beside(disk: Disk, directory: Path) -> tuple[bytes, ...]:
    """The statements beside the logs: in the directory of all, or of one log; none where no key was replaced yet."""
    for folder in (directory, directory.parent):
        try:
            data = disk.read(folder / FILE)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            statements = decode(data)
            for note in statements:
                read_statement(note)
        except InvalidNote as error:
            raise Damaged(0, FILE, str(error)) from None
        return statements
    return ()
