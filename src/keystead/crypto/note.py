"""Signed notes (C2SP signed-note): short texts that anybody with the public key can check.

A note is text, an empty line, and signature lines. A key goes by a *name* and a four-byte id made of name
and key, so the same Ed25519 key under two names makes two verifiers: an instance has one key, and each of
its logs signs under its own name. A verifier key (*vkey*) is the public half as one line of text:

    example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k

Two kinds of Ed25519 signatures are here: those of notes (type 0x01) and a witness's *cosignatures* (C2SP
tlog-cosignature, type 0x04), which also say when. Signatures of other keys in a note are passed over, as the
specification wants it, so witnesses may add theirs. A `Keyring` is several keys of which any one will do.
"""

import base64
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_COSIGNATURE = b"\x04"
_TIME_BYTES = 8
_DASH = "\u2014 "
_ID_BYTES = 4
_KEY_BYTES = 32
_MAX_NOTE_BYTES = 1 << 20  # room for far more than the 16 signatures that every verifier must accept


class InvalidNote(ValueError):
    """The note or the verifier key is malformed, or no signature on it is by the key that is trusted."""


class Signature(NamedTuple):
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


class Verifier(Protocol):
    """What can say of a note whether it is signed by whom it should be."""

    @property
    def name(self) -> str:
        """The name that it must be signed as."""
        ...

    def verify(self, note: bytes) -> str:
        """The note's text, once its signature is found good; raises `InvalidNote`."""
        ...

    def named(self, name: str) -> "Verifier":
        """The same key or keys under another name."""
        ...


class NoteVerifier:
    """A public key under a name: all that is needed to check a note."""

    __slots__ = ("_key", "key_id", "name")

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        """Trust ``key`` when it signs as ``name``."""
        self.name = _valid(name)
        self._key = key
        self.key_id = _key_id(name, _ED25519, key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """Read a verifier key; raises `InvalidNote` unless name, id and key belong together."""
        return cls(*_read_vkey(vkey, _ED25519, "an Ed25519 key"))

    @property
    def vkey(self) -> str:
        """The key as one line of text, to hand out."""
        return _write_vkey(self.name, self.key_id, _ED25519, self._key)

    @property
    def public_key(self) -> bytes:
        """The key's 32 bytes, whatever its name."""
        return self._key.public_bytes_raw()

    def named(self, name: str) -> "NoteVerifier":
        """The same key under another name."""
        return NoteVerifier(name, self._key)

    def verify(self, note: bytes) -> str:
        """The note's text, once this key's signature on it is found good; raises `InvalidNote`."""
        text, signatures = read_note(note)
        if not self.signed(text, signatures):
            message = f"the note is not signed by {self.vkey}"
            raise InvalidNote(message)
        return text

    def signed(self, text: str, signatures: Iterable[Signature]) -> bool:
        """Whether one of the signatures is this key's; raises `InvalidNote` when one that says so is bad."""
        good = False
        for name, key_id, signature in signatures:
            if (name, key_id) != (self.name, self.key_id):
                continue
            _check(self._key, signature, text.encode(), name)
            good = True
        return good


class Keyring:
    """Several keys under one name, of which any may have signed."""

    __slots__ = ("keys",)

    def __init__(self, keys: Sequence[NoteVerifier]) -> None:
        """Trust each of ``keys``; there is at least one, and all have the same name."""
        self.keys = tuple(keys)

    @property
    def name(self) -> str:
        """The name that they sign as."""
        return self.keys[0].name

    def named(self, name: str) -> "Keyring":
        """The same keys under another name."""
        return Keyring([key.named(name) for key in self.keys])

    def verify(self, note: bytes) -> str:
        """The note's text, once a signature by one of the keys is found, and none by any of them is bad."""
        text, signatures = read_note(note)
        good = [key for key in self.keys if key.signed(text, signatures)]  # of all: a bad one spoils it
        if not good:
            more = f", or any of {len(self.keys) - 1} keys that go with it" if len(self.keys) > 1 else ""
            message = f"the note is not signed by {self.keys[0].vkey}{more}"
            raise InvalidNote(message)
        return text


class CosignatureVerifier:
    """A witness's public key under its name."""

    __slots__ = ("_key", "key_id", "name")

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        """Trust ``key`` when it cosigns as ``name``."""
        self.name = _valid(name)
        self._key = key
        self.key_id = _key_id(name, _COSIGNATURE, key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """Read a witness's verifier key; raises `InvalidNote` unless name, id and key belong together."""
        return cls(*_read_vkey(vkey, _COSIGNATURE, "the Ed25519 key of a witness (type 0x04)"))

    @property
    def vkey(self) -> str:
        """The key as one line of text, to hand out."""
        return _write_vkey(self.name, self.key_id, _COSIGNATURE, self._key)

    def line(self, lines: bytes) -> bytes:
        """This key's line among some, without the others; empty when there is none."""
        for line in lines.decode(errors="replace").split("\n"):
            try:
                found = _signature(line)
            except InvalidNote:
                continue
            if (found.name, found.key_id) == (self.name, self.key_id):
                return f"{line}\n".encode()
        return b""

    def verify(self, note: bytes) -> int:
        """When this key cosigned the note, in Unix seconds; the latest time, if several.

        Raises `InvalidNote` where it did not, or where a signature that says so is bad.
        """
        text, signatures = read_note(note)
        times = [
            self._time(text, signature)
            for name, key_id, signature in signatures
            if (name, key_id) == (self.name, self.key_id)
        ]
        if not times:
            message = f"the note is not cosigned by {self.vkey}"
            raise InvalidNote(message)
        return max(times)

    def _time(self, text: str, signature: bytes) -> int:
        time = int.from_bytes(signature[:_TIME_BYTES], "big")
        _check(self._key, signature[_TIME_BYTES:], _cosigned(text, time), self.name)
        return time


class NoteSigner:
    """A private key under a name."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        """Sign as ``name``."""
        self._key = key
        self.verifier = NoteVerifier(name, key.public_key())

    @property
    def name(self) -> str:
        """The name that it signs as."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The verifier key of its public half."""
        return self.verifier.vkey

    def named(self, name: str) -> "NoteSigner":
        """The same key under another name."""
        return NoteSigner(name, self._key)

    def sign(self, text: str) -> bytes:
        """A note with ``text``, which ends in a newline."""
        return f"{text}\n".encode() + self.line(text)

    def line(self, text: str) -> bytes:
        """The signature line alone, to be put under a note with this text."""
        _check_text(text)
        return _line(self.name, self.verifier.key_id + self._key.sign(text.encode()))


class CosignatureSigner:
    """A witness's private key under its name."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        """Cosign as ``name``."""
        self._key = key
        self.verifier = CosignatureVerifier(name, key.public_key())

    def line(self, text: str, time: int) -> bytes:
        """The signature line for a checkpoint with this text, as of ``time`` in Unix seconds."""
        _check_text(text)
        signature = self._key.sign(_cosigned(text, time))
        return _line(self.verifier.name, self.verifier.key_id + time.to_bytes(_TIME_BYTES, "big") + signature)


def read_note(note: bytes) -> tuple[str, list[Signature]]:
    """A note's text and its signatures, none of which is checked; raises `InvalidNote` for what is no note."""
    if len(note) > _MAX_NOTE_BYTES:
        message = "the note is too long"
        raise InvalidNote(message)
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        message = "the note is not UTF-8"
        raise InvalidNote(message) from None
    if any(character < " " and character != "\n" for character in whole):
        message = "the note has control characters"
        raise InvalidNote(message)
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        message = "the note has no signatures"
        raise InvalidNote(message)
    return text + "\n", [_signature(line) for line in tail[:-1].split("\n")]


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        message = "a note's text ends in a newline and has no other control characters"
        raise InvalidNote(message)


def _cosigned(text: str, time: int) -> bytes:
    """What a witness signs (tlog-cosignature, "Signed message")."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _check(key: Ed25519PublicKey, signature: bytes, signed: bytes, name: str) -> None:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        message = f"the signature of {name} does not fit the text"
        raise InvalidNote(message) from None


def _key_id(name: str, kind: bytes, key: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + kind + key.public_bytes_raw()).digest()[:_ID_BYTES]


def _write_vkey(name: str, key_id: bytes, kind: bytes, key: Ed25519PublicKey) -> str:
    return f"{name}+{key_id.hex()}+{base64.b64encode(kind + key.public_bytes_raw()).decode()}"


def _read_vkey(vkey: str, kind: bytes, what: str) -> tuple[str, Ed25519PublicKey]:
    try:
        # The base64 part may hold a plus, the name may not.
        name, key_id, encoded = vkey.strip().split("+", 2)
        material = base64.b64decode(encoded, validate=True)
    except ValueError:
        message = "not a verifier key: it has the form name+hash+base64"
        raise InvalidNote(message) from None
    if material[:1] != kind or len(material) != 1 + _KEY_BYTES:
        message = f"the verifier key of {name!r} is not {what}"
        raise InvalidNote(message)
    key = Ed25519PublicKey.from_public_bytes(material[1:])
    if _key_id(_valid(name), kind, key).hex() != key_id:
        message = f"the verifier key of {name!r} is damaged: its hash does not fit its name and key"
        raise InvalidNote(message)
    return name, key


def _line(name: str, blob: bytes) -> bytes:
    return f"{_DASH}{name} {base64.b64encode(blob).decode()}\n".encode()


def _valid(name: str) -> str:
    """The name, if a key may have it."""
    if not name or "+" in name or any(character.isspace() for character in name):
        message = f"{name!r} cannot name a key: names are not empty and have no spaces and no plus"
        raise InvalidNote(message)
    return name


def _signature(line: str) -> Signature:
    """A signature line's name, key id and signature."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:  # not base64, or not even ASCII
        blob = b""
    # The last character has bits that decode to nothing: one signature has one spelling.
    if base64.b64encode(blob).decode() != encoded:
        blob = b""
    if not line.startswith(_DASH) or not name or not space or len(blob) <= _ID_BYTES:
        message = "the note has a malformed signature line"
        raise InvalidNote(message)
    return Signature(name, blob[:_ID_BYTES], blob[_ID_BYTES:])
