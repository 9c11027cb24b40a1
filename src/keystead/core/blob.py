"""The ciphertext blob, version 1: what Encrypt returns and Decrypt takes.

It names the key and the version that made it, so that anybody can tell what it hangs on without asking
the server and without a secret (``keystead inspect``). ``docs/formats/ciphertext-blob-v1.md`` is the
specification; golden files freeze it.

    offset  bytes  what
    0       3      magic "KSB"
    3       1      format version, 1
    4       1      algorithm, 1 = XAES-256-GCM with a key commitment
    5       1      length n of the key id
    6       n      key id, ASCII
    6+n     4      key version, big-endian
    10+n    24     nonce
    34+n    32     key commitment
    66+n    ...    ciphertext
    end-16  16     tag

Authenticated with the ciphertext: the header (everything before the nonce) and the canonical encryption
context (`keystead.core.context`).
"""

from dataclasses import dataclass

from keystead.core.errors import InvalidCiphertext

MAGIC = b"KSB\x01"
ALGORITHM_XAES_256_GCM_COMMITTING = 1
NONCE_BYTES, COMMITMENT_BYTES, TAG_BYTES = 24, 32, 16
SEALED_BYTES = NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES

_PREFIX = MAGIC + bytes([ALGORITHM_XAES_256_GCM_COMMITTING])


@dataclass(slots=True)
class Blob:
    """A parsed blob; nothing in it has been authenticated yet."""

    key_id: str
    version: int
    header: bytes
    sealed: bytes  # nonce, commitment, ciphertext, tag


def header(key_id: str, version: int) -> bytes:
    """The header of blobs made by one key version."""
    name = key_id.encode("ascii")
    return _PREFIX + bytes([len(name)]) + name + version.to_bytes(4, "big")


def parse(data: bytes) -> Blob:
    """Take a blob apart; raises `InvalidCiphertext` for anything that cannot be one."""
    # Slices, so that data which ends anywhere is looked at without an index out of range.
    if data[:5] != _PREFIX:
        raise InvalidCiphertext
    end = 10 + int.from_bytes(data[5:6], "big")
    if len(data) < end + SEALED_BYTES:
        raise InvalidCiphertext
    try:
        key_id = data[6 : end - 4].decode("ascii")
    except UnicodeDecodeError:
        raise InvalidCiphertext from None
    return Blob(key_id, int.from_bytes(data[end - 4 : end], "big"), data[:end], data[end:])
