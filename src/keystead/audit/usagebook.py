"""The book of a usage index in SQLite: one file beside each log, ``usage.db``.

It lives in write-ahead mode, so readers in other processes and the one writer never wait for each other, and with
``synchronous=NORMAL``: after a power cut it may be a little behind, never in two minds. What is missing is in the
log. ``docs/formats/usage-index.md`` describes the tables.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from keystead.audit.usage import BookDamaged, BookError, Last, Place, Sums

FILE: Final = "usage.db"
VERSION: Final = 1
_WAIT_SECONDS: Final = 2.0

_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS place (
    position INTEGER NOT NULL, mark BLOB NOT NULL, sequence INTEGER NOT NULL, identity BLOB NOT NULL,
    byte INTEGER NOT NULL
) STRICT;
INSERT INTO place SELECT 0, x'', 0, x'', 0 WHERE NOT EXISTS (SELECT * FROM place);
CREATE TABLE IF NOT EXISTS uses (
    key TEXT NOT NULL, version INTEGER NOT NULL, principal TEXT NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, entry INTEGER NOT NULL,
    request TEXT NOT NULL, PRIMARY KEY (key, version, principal, action)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""
_PLACE: Final = "SELECT position, mark, sequence, identity, byte FROM place"
_ADD: Final = """
INSERT INTO uses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
count = count + excluded.count, last = excluded.last, entry = excluded.entry, request = excluded.request
"""
_LAST: Final = "SELECT entry, last, action, request FROM uses WHERE key = ? ORDER BY entry DESC LIMIT 1"


class SqliteBook:
    """A `keystead.audit.usage.Book`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Only `SqliteBooks` makes one."""
        self._connection = connection
        self._path = path
        self._file = _inode(path)

    def place(self) -> Place:
        """How far it has got."""
        with _translated():
            return Place(*self._connection.execute(_PLACE).fetchone())

    def add(self, before: Place, after: Place, sums: Sums) -> None:
        """Add uses, and go on from one place to the next."""
        # In the order of the table, so that neighbours are written together.
        rows = [(*key, *sums[key]) for key in sorted(sums)]
        if _inode(self._path) != self._file:  # what is written to a removed file is read by nobody
            raise BookDamaged(f"{self._path} has been removed")
        with self._transaction() as run:
            if Place(*run.execute(_PLACE).fetchone()) != before:
                raise BookError("somebody else has written in it")
            run.executemany(_ADD, rows)
            run.execute(
                "UPDATE place SET position = ?, mark = ?, sequence = ?, identity = ?, byte = ?", after
            )

    def clear(self) -> None:
        """Begin again, with nothing."""
        with self._transaction() as run:
            run.execute("DELETE FROM uses")
            run.execute(
                "UPDATE place SET position = ?, mark = ?, sequence = ?, identity = ?, byte = ?", Place()
            )

    def last(self, key: str) -> tuple[Place, Last | None]:
        """The newest use of a key, and the place it was as of."""
        with self._transaction("DEFERRED") as run:
            place = Place(*run.execute(_PLACE).fetchone())
            row = run.execute(_LAST, (key,)).fetchone()
        return place, None if row is None else Last(*row)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        run = self._connection
        with _translated():
            run.execute(f"BEGIN {kind}")
            try:
                yield run
                run.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    run.execute("ROLLBACK")
                raise


class SqliteBooks:
    """`keystead.audit.usage.Books` in the directories of the logs."""

    def open(self, log: Path) -> SqliteBook | None:
        """The book of a log, if it has one."""
        if not (log / FILE).exists():
            return None
        return self._connect(log, "rw")

    def make(self, log: Path) -> SqliteBook:
        """The book of a log, new where there is none or where it is beyond reading."""
        try:
            return self._connect(log, "rwc")
        except BookDamaged:
            self.discard(log)
            return self._connect(log, "rwc")

    def discard(self, log: Path) -> None:
        """Throw a book away, the file that everything is in last."""
        for name in (f"{FILE}-wal", f"{FILE}-shm", FILE):
            try:
                (log / name).unlink(missing_ok=True)
            except OSError as error:
                raise BookError(f"{name} cannot be removed: {error}") from None

    def _connect(self, log: Path, mode: str) -> SqliteBook:
        with _translated():
            connection = sqlite3.connect(
                f"{(log / FILE).absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if mode == "rwc":
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("PRAGMA synchronous = NORMAL")
                    if version == 0:
                        connection.executescript(_SCHEMA)
                        version = VERSION
                if version != VERSION:
                    raise BookDamaged(f"{log / FILE} is of version {version}, not {VERSION}")
            except BaseException:
                connection.close()
                raise
        return SqliteBook(connection, log / FILE)


def _inode(path: Path) -> int:
    """Which file has that name; 0 when none has."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as a book's: what will pass, and what will not."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # The general error is a table or a column that is not there.
        kind = BookDamaged if error.sqlite_errorcode == sqlite3.SQLITE_ERROR else BookError
        raise kind(str(error)) from None
    except sqlite3.DatabaseError as error:
        raise BookDamaged(str(error)) from None
    except TypeError as error:
        raise BookDamaged(f"a row is missing or not in its form: {error}") from None
