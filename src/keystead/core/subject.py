"""Subjects of the audit: what its entries hold a commitment to, so that it can be taken out of all of them at once.

The audit cannot be edited, and some of what it holds tells of people: the address that somebody asked from, the name
that somebody gave when a session began. Where an installation says so, an entry has a commitment instead,

    sha256:<hex of SHA-256(salt || member || 0x00 || value)>

and the store has the value with its salt, of 16 random bytes. Whoever is given both can check the commitment.
Without the salt it says nothing, not even to who can guess the value: once the two are erased from the store, all
entries of that subject have lost it, and every hash and signature over them still holds.

A subject is one value of one member. It has one commitment until it is redacted, so entries of one subject can be
told from others', and a new one afterwards.
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

SOURCE: Final = "source"
SOURCE_IDENTITY: Final = "source_identity"
MEMBERS: Final = (SOURCE, SOURCE_IDENTITY)
"""The members of an entry that may be committed to."""

PREFIX: Final = "sha256:"
SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One value of one member, with what its commitment was made of."""

    commitment: str
    lookup: str  # finds it by its value (`lookup`), of which no index holds a copy then
    member: str
    value: str = field(repr=False)
    salt: str = field(repr=False)  # hex
    created: float  # Unix seconds


def commitment(salt: bytes, member: str, value: str) -> str:
    """What an entry holds instead of the value."""
    return PREFIX + sha256(salt + member.encode() + b"\0" + value.encode()).hexdigest()


def lookup(key: bytes, member: str, value: str) -> str:
    """What a subject is found by: nobody without the key can tell a value by it."""
    return hmac.digest(key, b"subject\0" + member.encode() + b"\0" + value.encode(), "sha256").hex()
