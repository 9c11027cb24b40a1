"""Bytes that must not turn up anywhere by accident.

Key bytes leak less by attack than by convenience: a log line with an f-string, a debugger's or an error
reporter's view of local variables, a pickle sent to another process. A `Secret` shows nothing in any of
these, and whoever wants the bytes must say `reveal()`, which is easy to search for in a review.

    root = Secret(random(32))
    f"{root}"       # '<Secret>'
    root.reveal()   # b'...'

What it cannot do: Python neither locks memory nor wipes it, so the bytes stay in the process's memory until
the allocator uses them again. Who can read this process's memory has the keys.
"""

import hmac
from typing import NoReturn, SupportsIndex

from typing_extensions import override


class NeverCopied:
    """Base of what holds key material: neither `copy` nor `pickle` can take it apart."""

    __slots__ = ()

    # copy.copy, copy.deepcopy and every protocol of pickle come through here.
    @override
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds key material: it is never copied nor pickled")

    @override
    def __reduce__(self) -> NoReturn:
        self.__reduce_ex__(2)


class Secret(NeverCopied):
    """Holds bytes; shows them to `reveal()` only. Equality takes the same time whatever differs."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves. Keep them in no variable that outlives the call."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "<Secret>"  # not even a length: passphrases come in lengths that tell

    @override
    def __eq__(self, other: object) -> bool:
        return (
            hmac.compare_digest(self._value, other.reveal()) if isinstance(other, Secret) else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]  # a hash of the bytes would be a small leak, and no caller needs one
