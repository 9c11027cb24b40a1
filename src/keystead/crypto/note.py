"""Signed notes (C2SP signed-note): short texts that anybody with the public key can check.

A note is text, an empty line, and signature lines. A key goes by a *name* and a four-byte id made of name
and key, so the same Ed25519 key under two names makes two verifiers: an instance has one key, and each of
its logs signs under its own name. A verifier key (*vkey*) is the public half as one line of text:

    example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k

Only Ed25519 (type 0x01) is here; signatures of other keys in a note are passed over, as the specification
wants it, so witnesses may add theirs.
"""

import base64
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_DASH = "\u2014 "
_ID_BYTES = 4
_KEY_BYTES = 32
_MAX_NOTE_BYTES = 1 << 20  # room for far more than the 16 signatures that every verifier must accept


class InvalidNote(ValueError):
    """The note or the verifier key is malformed, or no signature on it is by the key that is trusted."""


class NoteVerifier:
    """A public key under a name: all that is needed to check a note."""

    __slots__ = ("_key", "key_id", "name")

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        """Trust ``key`` when it signs as ``name``."""
        self.name = _valid(name)
        self._key = key
        self.key_id = sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:_ID_BYTES]

    @classmethod
    def from_vkey(cls, vkey: str) -> "NoteVerifier":
        """Read a verifier key; raises `InvalidNote` unless name, id and key belong together."""
        try:
            # The base64 part may hold a plus, the name may not.
            name, key_id, encoded = vkey.strip().split("+", 2)
            material = base64.b64decode(encoded, validate=True)
        except ValueError:
            message = "not a verifier key: it has the form name+hash+base64"
            raise InvalidNote(message) from None
        if material[:1] != _ED25519 or len(material) != 1 + _KEY_BYTES:
            message = f"the verifier key of {name!r} is not an Ed25519 key"
            raise InvalidNote(message)
        verifier = cls(name, Ed25519PublicKey.from_public_bytes(material[1:]))
        if verifier.key_id.hex() != key_id:
            message = f"the verifier key of {name!r} is damaged: its hash does not fit its name and key"
            raise InvalidNote(message)
        return verifier

    @property
    def vkey(self) -> str:
        """The key as one line of text, to hand out."""
        material = base64.b64encode(_ED25519 + self._key.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def named(self, name: str) -> "NoteVerifier":
        """The same key under another name."""
        return NoteVerifier(name, self._key)

    def verify(self, note: bytes) -> str:
        """The note's text, once this key's signature on it is found good; raises `InvalidNote`."""
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
        text += "\n"
        good = False
        for line in tail[:-1].split("\n"):
            name, key_id, signature = _signature(line)
            if (name, key_id) != (self.name, self.key_id):
                continue
            try:
                self._key.verify(signature, text.encode())
            except InvalidSignature:
                message = f"the signature of {name} does not fit the text"
                raise InvalidNote(message) from None
            good = True
        if not good:
            message = f"the note is not signed by {self.vkey}"
            raise InvalidNote(message)
        return text


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
        if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
            message = "a note's text ends in a newline and has no other control characters"
            raise InvalidNote(message)
        signature = base64.b64encode(self.verifier.key_id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self.name} {signature}\n".encode()


def _valid(name: str) -> str:
    """The name, if a key may have it."""
    if not name or "+" in name or any(character.isspace() for character in name):
        message = f"{name!r} cannot name a key: names are not empty and have no spaces and no plus"
        raise InvalidNote(message)
    return name


def _signature(line: str) -> tuple[str, bytes, bytes]:
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
    return name, blob[:_ID_BYTES], blob[_ID_BYTES:]
