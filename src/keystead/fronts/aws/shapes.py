"""The words in which `keystead.fronts.aws.model` describes AWS's API: what a value may be.

A member's type says both what it decodes to and what AWS demands of it: ``Annotated[str, Text(1, 2048)]`` is
a string of 1 to 2,048 characters. msgspec reads the first part, `keystead.fronts.aws.validate` the second.

Every member of a structure is optional here, since AWS tells a missing member from malformed JSON;
`Structure.required` lists those that must not be missing.
"""

from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from typing_extensions import override


class Text(msgspec.Struct, frozen=True):
    """Constraints on a string, its length in characters."""

    min: int | None = None
    max: int | None = None
    pattern: str | None = None  # the whole string must match
    enum: tuple[str, ...] = ()  # empty: not an enumeration
    sensitive: bool = False  # never to be said back, nor logged


class Blob(msgspec.Struct, frozen=True):
    """Constraints on bytes, base64 on the wire."""

    min: int | None = None
    max: int | None = None
    sensitive: bool = False


class Number(msgspec.Struct, frozen=True):
    """Constraints on an integer."""

    min: int | None = None
    max: int | None = None


class Items(msgspec.Struct, frozen=True):
    """Constraints on how many elements a list has; what each may be is its own type's part."""

    min: int | None = None
    max: int | None = None


Rule = Text | Blob | Number | Items


class Structure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of inputs, outputs and what is nested in them. A member that is None is absent on the wire.

    Values are not shown when one is printed: some are plaintext.
    """

    required: ClassVar[tuple[str, ...]] = ()

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @override
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


Input = TypeVar("Input", bound=Structure)


class Operation(Generic[Input]):
    """One operation of the API."""

    __slots__ = ("decoder", "errors", "input", "name", "output")

    def __init__(self, name: str, takes: type[Input], answers: type[Structure] | None, errors: str) -> None:
        self.name = name
        self.input = takes
        self.output = answers  # None: answers an empty body
        self.errors = tuple(f"{error}Exception" for error in errors.split())  # those that AWS documents
        self.decoder: msgspec.json.Decoder[Input] = msgspec.json.Decoder(takes)
