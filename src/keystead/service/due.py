"""What is due: the deletions, rotations and expiries whose date has come, for the jobs to ask for.

The jobs hold no keys and decide nothing. They look here, and ask the gate like anyone.
"""

from dataclasses import dataclass

from keystead.core.names import KeyReference
from keystead.core.ports import Store
from keystead.service.commands import Command
from keystead.service.commands.kms import DestroyKey, ExpireKeyMaterial, RotateKeyAutomatically


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to ask for, in one region."""

    region: str
    key_id: str
    command: Command


def due(store: Store, now: float, limit: int) -> list[Due]:
    """At most ``limit`` deletions, as many expiries and as many rotations, the longest overdue first."""
    with store.view() as view:
        found = (
            (DestroyKey, view.keys_to_destroy(now, limit)),
            (ExpireKeyMaterial, view.keys_to_expire(now, limit)),
            (RotateKeyAutomatically, view.keys_to_rotate(now, limit)),
        )
    return [Due(key.region, key.id, command(KeyReference(key.id))) for command, keys in found for key in keys]
