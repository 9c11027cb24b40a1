"""What is due: the deletions and rotations whose date has come, for the jobs to ask for.

The jobs hold no keys and decide nothing. They look here, and ask the gate like anyone.
"""

from dataclasses import dataclass

from keystead.core.names import KeyReference
from keystead.core.ports import Store
from keystead.service.commands import Command, DestroyKey, RotateKeyAutomatically


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to ask for, in one region."""

    region: str
    key_id: str
    command: Command


def due(store: Store, now: float, limit: int) -> list[Due]:
    """At most ``limit`` deletions and as many rotations, the longest overdue first."""
    with store.view() as view:
        destroy, rotate = view.keys_to_destroy(now, limit), view.keys_to_rotate(now, limit)
    return [Due(key.region, key.id, DestroyKey(KeyReference(key.id))) for key in destroy] + [
        Due(key.region, key.id, RotateKeyAutomatically(KeyReference(key.id))) for key in rotate
    ]
