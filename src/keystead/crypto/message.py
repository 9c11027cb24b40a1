"""What is signed: a message, or a digest of one that the caller has made.

AWS's ``MessageType`` says which. RAW is hashed here with the algorithm's hash. DIGEST is that hash's value
already, must have its length, and is not hashed again: hashing it again would give a signature that no other
program accepts.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from keystead.core.errors import InvalidRequest

RAW: Final = "RAW"
DIGEST: Final = "DIGEST"
EXTERNAL_MU: Final = "EXTERNAL_MU"

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "1": hashes.SHA1(),  # noqa: S303 -- in RSAES_OAEP_SHA_1 only, where its collisions do no harm
    "224": hashes.SHA224(),
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def hash_of(algorithm: str) -> hashes.HashAlgorithm:
    """The hash that an algorithm's name ends with, as in ``ECDSA_SHA_256``."""
    return _HASHES[algorithm.rpartition("_SHA_")[2]]


def hashing(algorithm: str, kind: str, message: bytes) -> hashes.HashAlgorithm | Prehashed:
    """How a signature with ``algorithm`` gets from ``message`` to its digest."""
    digest = hash_of(algorithm)
    if kind == RAW:
        return digest
    if kind != DIGEST:
        raise mismatch(algorithm, kind)
    check_length(algorithm, message, digest.digest_size)
    return Prehashed(digest)


def check_length(algorithm: str, digest: bytes, length: int) -> None:
    """Refuse a digest that is not one of the algorithm's."""
    if len(digest) != length:
        raise InvalidRequest(f"Digest is invalid length for algorithm {algorithm}.")


def mismatch(algorithm: str, kind: str) -> InvalidRequest:
    """The refusal of a message type that the algorithm does not have."""
    return InvalidRequest(f"MessageType {kind} is not compatible with algorithm {algorithm}.")
