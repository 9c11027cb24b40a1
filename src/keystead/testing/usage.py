"""Usage indexes without files, for logs on a disk in memory.

books = MemoryBooks()
index = Index(directory, disk=disk, books=books, find=uses)
"""

from collections.abc import Callable
from pathlib import Path

from keystead.audit.usage import BookDamaged, BookError, Place, Sum, Sums, Totals


class _Pages:
    """What one book holds."""

    def __init__(self) -> None:
        self.place = Place()
        self.keys: dict[tuple[str, int, str, str], Sum] = {}
        self.callers: dict[tuple[str, str, str], Sum] = {}


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
        for key, new in sums.keys.items():
            pages.keys[key] = pages.keys[key].plus(new) if key in pages.keys else new
        for caller, new in sums.callers.items():
            pages.callers[caller] = pages.callers[caller].plus(new) if caller in pages.callers else new
        pages.place = after
        self._books.step("added")

    def clear(self) -> None:
        """Begin again, with nothing."""
        self._books.step("clear")
        self._pages.keys.clear()
        self._pages.callers.clear()
        self._pages.place = Place()

    def of_key(self, arn: str) -> tuple[Place, Totals]:
        """The row with the newest use of a key, if there is one, and the place that is as of."""
        self._books.step("of")
        rows = [(row.entry, name[3], row) for name, row in self._pages.keys.items() if name[0] == arn]
        return self._pages.place, {action: row for _, action, row in sorted(rows)[-1:]}

    def of_principal(self, arn: str) -> tuple[Place, Totals]:
        """What a principal has done."""
        return self._of(0, arn)

    def of_access_key(self, access_key: str) -> tuple[Place, Totals]:
        """What was done with an access key."""
        return self._of(1, access_key)

    def _of(self, part: int, wanted: str) -> tuple[Place, Totals]:
        self._books.step("of")
        totals: dict[str, Sum] = {}
        for caller, row in self._pages.callers.items():
            if caller[part] == wanted:
                action = caller[2]
                totals[action] = totals[action].plus(row) if action in totals else row
        return self._pages.place, totals

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
