"""A checkpoint (C2SP tlog-checkpoint): the signed sentence "my first ``size`` entries have this root".

    keystead-example/w0
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

Whoever keeps one can later prove that the log was not rewritten below it.
"""

import base64
from dataclasses import dataclass

from keystead.crypto.merkle import HASH_BYTES
from keystead.crypto.note import InvalidNote, Verifier, read_note

FILE = "checkpoint"
_LINES = 3
_SIZE_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The root of a log's first ``size`` entries."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text, ready to sign."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def read_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint in a note signed by ``verifier``; raises `InvalidNote` for anything else.

    Extension lines are refused: this log writes none, and nobody could audit what they say.
    """
    return _read(verifier.verify(note))


def unproven_checkpoint(note: bytes, *, extended: bool = False) -> Checkpoint:
    """What a note says, whoever has signed it; raises `InvalidNote` if it is no checkpoint.

    It may be ``extended`` by lines of which nothing is said here, as those of other people's logs may be.
    """
    return _read(read_note(note)[0], extended=extended)


def _read(text: str, *, extended: bool = False) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != _LINES + 1 and not (extended and len(lines) > _LINES and all(lines[:-1])):
        message = "the checkpoint does not have three lines"
        raise InvalidNote(message)
    origin, size, encoded = lines[:_LINES]
    try:
        root = base64.b64decode(encoded, validate=True)
    except ValueError:  # not base64, or not even ASCII
        root = b""
    if (
        not origin
        or len(size) > _SIZE_DIGITS
        or not (size.isascii() and size.isdigit())
        or str(int(size)) != size
        or len(root) != HASH_BYTES
    ):
        message = "the checkpoint's origin, size or root is malformed"
        raise InvalidNote(message)
    return Checkpoint(origin, int(size), root)
