"""Key specs and usages: what a key is for is fixed when it is made.

Names are AWS KMS's. A spec that AWS knows and this version does not make is refused with its own
words, rather than as if it did not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from keystead.core.errors import InvalidRequest, UnsupportedOperation


@dataclass(frozen=True, slots=True)
class Spec:
    """What a key spec allows."""

    usages: tuple[str, ...]
    encryption_algorithms: tuple[str, ...]


SPECS: Mapping[str, Spec] = {
    "SYMMETRIC_DEFAULT": Spec(usages=("ENCRYPT_DECRYPT",), encryption_algorithms=("SYMMETRIC_DEFAULT",)),
}

DATA_KEY_BYTES: Mapping[str, int] = {"AES_256": 32, "AES_128": 16}
"""The length of a data key by AWS's ``DataKeySpec``."""


def choose(spec: str, usage: str | None) -> tuple[str, str]:
    """The spec and usage of a new key, or why that pair cannot be."""
    if spec not in SPECS:
        raise UnsupportedOperation(f"KeySpec {spec} is not supported by this version of Keystead.")
    usage = usage or "ENCRYPT_DECRYPT"
    if usage not in SPECS[spec].usages:
        raise InvalidRequest(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    return spec, usage
