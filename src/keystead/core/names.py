"""How a request names a key: by id or alias, alone or within an ARN.

Fronts parse their own spelling into one of these; the gate finds the key. An empty account or region
means the caller's own.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class KeyReference:
    """A key as the caller named it. ``name`` is a key id, or ``alias/...`` when ``is_alias``."""

    name: str
    is_alias: bool = False
    account: str = ""
    region: str = ""
