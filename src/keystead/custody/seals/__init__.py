"""The kinds of seal slots, one module each: ``passphrase.py``, ``file.py``, ``env.py``.

A kind answers one question: which 32-byte key wraps the root in this slot? A module here has

* ``WARNING``: what an operator is told at every start while such a slot exists, or the empty string;
* ``MAY_ASK``: whether opening may ask a person, in which case it is tried after all others;
* ``OPTIONS``: the names of the parameters a new slot may be given;
* ``new(secrets, random, options)``: the public parameters of a new slot, and its key;
* ``key(parameters, secrets)``: the slot's key. `SealError` says in one line what is missing or wrong and what
  to do about it; :mod:`keystead.custody.seal` puts the slot's name before it.

Where secrets come from is a `SecretSource`, so that no kind touches the environment or a terminal by itself.
No kind has a default secret: a missing one is an error.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from keystead.core.errors import SealError
from keystead.core.ports import Random
from keystead.crypto.secret import Secret

KEY_BYTES = 32

RESTORE = "restore the slot from a backup, or open with another slot and make this one anew"

Parameters = Mapping[str, str | int]


class SecretSource(Protocol):
    """Where the secrets that open seal slots come from."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables."""
        ...

    @property
    def ask(self) -> Callable[[str], str] | None:
        """Asks a person for a passphrase, with the prompt that it is given; None when nobody is there."""
        ...

    def read(self, path: str) -> bytes:
        """A file's bytes, of which a secret's worth is enough; raises `SealError` with the cure."""
        ...

    def read_private(self, path: str) -> bytes:
        """The same, of a file that only its owner may read; any other raises `SealError`."""
        ...

    def create_private(self, path: str, data: bytes) -> None:
        """A new file, readable by its owner only and durable once this returns; never replaces one."""
        ...


class Kind(Protocol):
    """What a module in this package provides."""

    WARNING: str
    MAY_ASK: bool
    OPTIONS: frozenset[str]

    def new(
        self, secrets: SecretSource, random: Random, options: Parameters
    ) -> tuple[dict[str, str | int], Secret]:
        """The public parameters of a new slot, and its key; a secret made for it is durable by then."""
        ...

    def key(self, parameters: Parameters, secrets: SecretSource) -> Secret:
        """The 32-byte key that the slot's root is wrapped under."""
        ...


def text(parameters: Parameters, name: str) -> str:
    """A parameter that must be text and must be there."""
    value = parameters.get(name)
    if not isinstance(value, str) or not value:
        raise SealError(
            f"damaged or wrong: parameter {name!r} is missing or is not text; give it, or {RESTORE}"
        )
    return value


def number(parameters: Parameters, name: str) -> int:
    """A parameter that must be a whole number and must be there."""
    value = parameters.get(name)
    if not isinstance(value, int):
        raise SealError(
            f"damaged or wrong: parameter {name!r} is missing or is not a whole number; give it, or {RESTORE}"
        )
    return value
