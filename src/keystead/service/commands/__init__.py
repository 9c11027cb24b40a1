"""What can be asked: one frozen value per operation, already parsed and within its limits.

Fronts translate their protocol into these; the gate runs the action of that type. A command holds
plaintext at times, so it never appears in a log, an error or the audit (`repr` is empty).

`kms` has those that AWS KMS knows, `identity` those about principals and what they may do.
"""

import msgspec
from typing_extensions import override

from keystead.core.names import KeyReference


class Command(msgspec.Struct, frozen=True, gc=False):
    """Something asked of the gate."""

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def about(self) -> str:
        """What it is about, as the caller named it: all that an intent can say, before anything is looked up."""
        key: KeyReference | None = getattr(self, "key", None)
        names = [
            getattr(self, member, "") for member in ("name", "access_key_id", "grant_id", "key_store_id")
        ]
        return " ".join(filter(None, [key.name if key is not None else "", *names]))
