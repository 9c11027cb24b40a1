"""What actions give back; fronts write it in their protocol's form.

Results may hold plaintext, so like commands they have no `repr`.
"""

import msgspec
from typing_extensions import override


class Result(msgspec.Struct, gc=False):
    """What an action gives back."""

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Done(Result, gc=False):
    """It happened, and there is nothing to say about it."""
