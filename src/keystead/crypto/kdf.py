"""Keys from keys (HKDF) and keys from passphrases (Argon2id).

HKDF (RFC 5869) makes independent keys from one good key: give each use its own ``info`` and none of them
tells anything about another. Argon2id (RFC 9106) makes a key from something a person can remember, and
makes each guess cost memory; it is slow on purpose and is used for seal slots only.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystead.core.errors import ConfigError


def hkdf_sha256(key: bytes, info: bytes, length: int) -> bytes:
    """``length`` bytes from ``key``, for the purpose that ``info`` names.

    There is no salt: RFC 5869 section 3.1 wants one for inputs that are not uniform, and ours are.
    """
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Parameters:
    """What one guess costs. The defaults are RFC 9106's second recommended option (section 4).

    The bounds protect whoever opens: parameters are read from stored slots before anything about them can
    be authenticated, and a damaged or forged one must not ask for a terabyte or a week.
    """

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        _require("lanes", self.lanes, 1, 16)
        # RFC 9106 section 3.1: at least 8 KiB a lane. 2 GiB is its first recommended option.
        _require("memory_kib", self.memory_kib, 8 * self.lanes, 2 * 1024 * 1024)
        _require("iterations", self.iterations, 1, 32)


def argon2id(passphrase: bytes, salt: bytes, parameters: Argon2Parameters) -> bytes:
    """A 32-byte key from a passphrase; takes about a tenth of a second with the default parameters."""
    return Argon2id(
        salt=salt,
        length=32,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(passphrase)


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"Argon2id {name} is {value}: choose a value from {low} to {high}")
