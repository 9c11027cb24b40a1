"""Documents as they were read from files, with the lines that their members are on, for what is said about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from typing_extensions import override

from keystead.core.errors import InvalidRequest

Path = tuple[str | int, ...]
"""Where in a document something is: the names of members and the places in lists that lead to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file. ``lines`` has the line of whatever could be located; of anything else its parent's."""

    file: str
    value: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def place(self, *path: str | int) -> str:
        """The file and line of something in it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.file}:{self.lines[path[:length]]}"
        return self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What there is: documents by file, and the texts of files that are none (certificates)."""

    documents: Mapping[str, Sequence[Document]]
    texts: Mapping[str, str] = field(default_factory=dict)


class Undeclarable(InvalidRequest):
    """What is wrong with the declarations, line by line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(*problems)
        self.problems = tuple(problems)

    @override
    def __str__(self) -> str:
        count = len(self.problems)
        return "\n  ".join(
            [f"{count} {'problem' if count == 1 else 'problems'} in the declarations:", *self.problems]
        )


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint at the known name that is most like one that is not known; empty if none is."""
    found = get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""
