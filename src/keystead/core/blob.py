"""The ciphertext blob, version 1: what Encrypt returns and Decrypt takes.

It names the key and the version that made it, so that anybody can tell what it hangs on without asking
the server and without a secret (``keystead inspect``). ``docs/formats/ciphertext-blob-v1.md`` is the
specification; golden files freeze it.

    offset  bytes  what
    0       3      magic "KSB"
    3       1      format version, 1
    4       1      algorithm, 1 = XAES-256-GCM with a key commitment, 2 = the same, sealed once more outside
    5       1      length n of the key id
    6       n      key id, ASCII
    6+n     4      key version, big-endian
    10+n    24     nonce
    34+n    32     key commitment
    66+n    ...    ciphertext
    end-16  16     tag

Authenticated with the ciphertext: the header (everything before the nonce) and the canonical encryption
context (`keystead.core.context`).

With algorithm 2, a key in an external key store, what stands after the header in algorithm 1 is the plaintext of a
second encryption, AES-256-GCM by a key behind an XKS proxy. It is kept as `Outer`:

    offset  bytes  what
    0       1      length i of the initialization vector, 12 or 16
    1       1      length m of the proxy's metadata, at most 20
    2       i      initialization vector
    2+i     m      metadata
    2+i+m   16     tag
    18+i+m  ...    ciphertext
"""

from dataclasses import dataclass
from hashlib import sha256

from keystead.core.errors import InvalidCiphertext

MAGIC = b"KSB\x01"
ALGORITHM_XAES_256_GCM_COMMITTING = 1
ALGORITHM_EXTERNAL = 2
NONCE_BYTES, COMMITMENT_BYTES, TAG_BYTES = 24, 32, 16
SEALED_BYTES = NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES

IV_BYTES = (12, 16)  # what an XKS proxy may choose
METADATA_BYTES = 20  # at most

_PREFIX = MAGIC + bytes([ALGORITHM_XAES_256_GCM_COMMITTING])
_EXTERNAL = MAGIC + bytes([ALGORITHM_EXTERNAL])
_LEAST = {_PREFIX: SEALED_BYTES, _EXTERNAL: 2 + IV_BYTES[0] + TAG_BYTES + SEALED_BYTES}


@dataclass(slots=True)
class Blob:
    """A parsed blob; nothing in it has been authenticated yet."""

    key_id: str
    version: int
    header: bytes
    sealed: bytes  # nonce, commitment, ciphertext, tag; or an `Outer`

    @property
    def external(self) -> bool:
        """Whether it was sealed once more by a key outside."""
        return self.header[4] == ALGORITHM_EXTERNAL


@dataclass(frozen=True, slots=True)
class Outer:
    """What an XKS proxy made of a sealed plaintext."""

    iv: bytes
    metadata: bytes
    tag: bytes
    ciphertext: bytes

    def pack(self) -> bytes:
        """As it stands in a blob."""
        return (
            bytes((len(self.iv), len(self.metadata))) + self.iv + self.metadata + self.tag + self.ciphertext
        )


def unpack_outer(data: bytes) -> Outer:
    """Take an `Outer` apart; raises `InvalidCiphertext` for anything that cannot be one."""
    if len(data) < 2 or data[0] not in IV_BYTES or data[1] > METADATA_BYTES:  # noqa: PLR2004 - the two lengths
        raise InvalidCiphertext
    metadata_at = 2 + data[0]
    tag_at = metadata_at + data[1]
    text_at = tag_at + TAG_BYTES
    if len(data) < text_at:
        raise InvalidCiphertext
    return Outer(data[2:metadata_at], data[metadata_at:tag_at], data[tag_at:text_at], data[text_at:])


def header(key_id: str, version: int, *, external: bool = False) -> bytes:
    """The header of blobs made by one key version."""
    name = key_id.encode("ascii")
    return (_EXTERNAL if external else _PREFIX) + bytes([len(name)]) + name + version.to_bytes(4, "big")


def outer_aad(header: bytes, context: bytes) -> bytes:
    """What a proxy is given to authenticate: header and canonical context, but not for it to read."""
    return sha256(header + context).digest()


def parse(data: bytes) -> Blob:
    """Take a blob apart; raises `InvalidCiphertext` for anything that cannot be one."""
    # Slices, so that data which ends anywhere is looked at without an index out of range.
    least = _LEAST.get(data[:5])
    if least is None:
        raise InvalidCiphertext
    end = 10 + int.from_bytes(data[5:6], "big")
    if len(data) < end + least:
        raise InvalidCiphertext
    try:
        key_id = data[6 : end - 4].decode("ascii")
    except UnicodeDecodeError:
        raise InvalidCiphertext from None
    return Blob(key_id, int.from_bytes(data[end - 4 : end], "big"), data[:end], data[end:])
