"""Forgets what the seal was opened with, so that no process of the service goes on showing it.

A process's first environment stays where the kernel put it, and can be read as ``/proc/PID/environ`` by its user, by
root, and by whoever gets a copy of its memory. Taking a variable away does not erase it there; overwriting it does.
The supervisor does that once, before it forks.
"""

import ctypes
import os
from collections.abc import Iterable

from keystead.core.seal import SealSlot

ALWAYS = (
    "KEYSTEAD_PASSPHRASE",
    "KEYSTEAD_NEW_PASSPHRASE",
    "KEYSTEAD_SEAL_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Variables that hold a secret, whether a slot wants it or not."""


def secret_variables(slots: Iterable[SealSlot]) -> tuple[str, ...]:
    """The names of all variables that hold a secret, in an installation with these slots."""
    named = (slot.parameters.get("variable") for slot in slots)
    return tuple(sorted({*ALWAYS, *(name for name in named if isinstance(name, str))}))


def forget(variables: Iterable[str]) -> None:
    """Overwrite these variables where they are, and take them out of this process's environment."""
    find = ctypes.CDLL(None).getenv
    find.restype = ctypes.c_void_p
    for name in variables:
        address = find(name.encode())
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
        os.environ.pop(name, None)
