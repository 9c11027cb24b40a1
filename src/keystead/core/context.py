"""The encryption context: what a ciphertext is about, bound to it but not hidden in it.

A context is a map of strings. It must be given again, exactly, to decrypt. Before it becomes part of
the authenticated data it is written in one way only: pairs sorted by the bytes of their names, each
name and value preceded by its length. Two different maps never give the same bytes, and an empty map
is the same as none (as in AWS KMS).

    count (2 bytes) then for each pair: length (4) name length (4) value, big-endian, UTF-8
"""

from collections.abc import Mapping
from hashlib import sha256

from keystead.core.errors import InvalidRequest

MAX_BYTES = 8192
"""Names and values together (AWS KMS developer guide, "Resource quotas")."""


def canonical(context: Mapping[str, str] | None) -> bytes:
    """The one byte string for ``context``; empty for no context."""
    if not context:
        return b""
    try:
        pairs = sorted((name.encode(), value.encode()) for name, value in context.items())
    except UnicodeEncodeError:
        raise InvalidRequest("The encryption context holds a text that is not Unicode.") from None
    encoded = b"".join(
        b"%b%b%b%b" % (len(name).to_bytes(4, "big"), name, len(value).to_bytes(4, "big"), value)
        for name, value in pairs
    )
    if len(encoded) > MAX_BYTES + 8 * len(pairs):
        raise InvalidRequest(
            f"The encryption context is too large: its names and values may be {MAX_BYTES} bytes together."
        )
    return len(pairs).to_bytes(2, "big") + encoded


def digest(canonical_context: bytes) -> str:
    """What the audit records of a context: SHA-256 of its canonical bytes, in hex; empty for none."""
    return sha256(canonical_context).hexdigest() if canonical_context else ""
