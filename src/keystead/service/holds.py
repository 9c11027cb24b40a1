"""Legal holds, as the store keeps them: all in one setting, so that pruning sees them all or has missed a change."""

from collections.abc import Iterable
from typing import Final

import msgspec

from keystead.core.errors import DataDamaged
from keystead.core.ports import View
from keystead.core.retention import Hold

SETTING: Final = "legal-holds"
MOST: Final = 1000  # of all accounts together

_decode: Final = msgspec.json.Decoder(list[Hold]).decode


def text(view: View) -> str:
    """All holds, as they are stored."""
    return view.setting(SETTING) or "[]"


def read(stored: str) -> list[Hold]:
    """The holds in a text."""
    try:
        return _decode(stored.encode())
    except msgspec.DecodeError as error:
        raise DataDamaged(f"the setting {SETTING!r} in the store is damaged: {error}") from None


def write(holds: Iterable[Hold]) -> str:
    """The text of some holds."""
    return msgspec.json.encode(sorted(holds, key=lambda hold: (hold.account, hold.name))).decode()
