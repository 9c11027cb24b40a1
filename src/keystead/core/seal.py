"""A seal slot: one independent way to open the root key, as it is stored.

The root key is wrapped once per slot, like the slots of LUKS: any one opens, and losing one loses
nothing. How each kind wraps and opens is the custody room's part.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SealSlot:
    """One slot. ``parameters`` are public (a salt, a path, the name of a variable), never a secret."""

    id: str
    kind: str  # passphrase, file, env
    parameters: dict[str, str | int]
    wrapped: str  # the root key under this slot's key, base64
