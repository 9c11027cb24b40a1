"""Usage indexes without files, for logs on a disk in memory.

books = MemoryBooks()
index = Index(directory, disk=disk, books=books, find=uses)
"""

from collections.abc import Callable
from pathlib import Path

from keystead.audit.usage import BookDamaged, BookError, Last, Place, Sum, Sums


class _Pages:
    """What one book holds."""

    def __init__(self) -> None:
        self.place = Place()
        self.uses: dict[tuple[str, int, str, str], Sum] = {}


class MemoryBook:
    """A `keystead.audit.usage.Book`. ``MemoryBooks.step`` is called at everything that a file would have to do."""

    def __init__(self, pages: _Pages, books: "MemoryBooks", log: Path) -> None:
        self._pages = pages
        self._books = books
        self._log = log

    def place(self) -> Place:
        """How far it has got."""
        self._books.step("place")
        return self._pages.place

    def add(self, before: Place, after: Place, sums: Sums) -> None:
        """Add uses, and go on from one place to the next."""
        self._books.step("add")
        pages = self._pages
        if self._books.pages.get(self._log) is not pages:
            raise BookDamaged("it has been thrown away")
        if pages.place != before:
            raise BookError("somebody else has written in it")
        for key, new in sums.items():
            old = pages.uses.get(key)
            if old is not None:
                new = new._replace(uses=old.uses + new.uses, first=old.first)  # noqa: PLW2901 - added up
            pages.uses[key] = new
        pages.place = after
        self._books.step("added")

    def clear(self) -> None:
        """Begin again, with nothing."""
        self._books.step("clear")
        self._pages.uses.clear()
        self._pages.place = Place()

    def last(self, key: str) -> tuple[Place, Last | None]:
        """The newest use of a key, and the place it was as of."""
        self._books.step("last")
        rows = [
            Last(row.entry, row.time, name[3], row.request)
            for name, row in self._pages.uses.items()
            if name[0] == key
        ]
        return self._pages.place, max(rows, default=None)

    def close(self) -> None:
        """Let go of it."""


class MemoryBooks:
    """`keystead.audit.usage.Books`. A test may set ``step`` to one that raises."""

    def __init__(self) -> None:
        self.step: Callable[[str], None] = _nothing
        self.pages: dict[Path, _Pages] = {}

    def open(self, log: Path) -> MemoryBook | None:
        """The book of a log, if it has one."""
        return self.make(log) if log in self.pages else None

    def make(self, log: Path) -> MemoryBook:
        """The book of a log, new where there is none."""
        self.step("make")
        return MemoryBook(self.pages.setdefault(log, _Pages()), self, log)

    def discard(self, log: Path) -> None:
        """Throw a book away."""
        self.step("discard")
        self.pages.pop(log, None)


def _nothing(_: str) -> None:
    """Let everything go well."""
