"""What an operation of the native API is: a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from keystead.core.errors import InvalidRequest
from keystead.service.commands import Command

MOST_PER_PAGE: Final = 1000

# What is written into the audit must have a bound; the actions say what a name may hold.
Name = Annotated[str, msgspec.Meta(max_length=64)]
Id = Annotated[str, msgspec.Meta(max_length=128)]
Reference = Annotated[str, msgspec.Meta(max_length=128)]  # a name or an ARN


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: what it takes, the command, and the answer."""

    takes: type[msgspec.Struct]
    command: Callable[[Any], Command]
    answer: Callable[[Any], Mapping[str, object]]


class Page(msgspec.Struct, forbid_unknown_fields=True):
    """Where in a list, and how much of it."""

    limit: int = 100
    marker: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST_PER_PAGE:
            raise InvalidRequest(f"limit must be from 1 to {MOST_PER_PAGE}")


def done(_: object) -> dict[str, object]:
    """The answer of an operation that has nothing to say."""
    return {}
