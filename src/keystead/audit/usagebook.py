"""The book of a usage index in SQLite: one file beside each log, ``usage.db``.

It lives in write-ahead mode, so readers in other processes and the one writer never wait for each other, and with
``synchronous=NORMAL``: after a power cut it may be a little behind, never in two minds. What is missing is in the
log. ``docs/formats/usage-index.md`` describes the tables.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from keystead.audit.usage import BookDamaged, BookError, Place, Sum, Sums, Totals

FILE: Final = "usage.db"
VERSION: Final = 2
_WAIT_SECONDS: Final = 2.0

_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS place (
    position INTEGER NOT NULL, mark BLOB NOT NULL, sequence INTEGER NOT NULL, identity BLOB NOT NULL,
    byte INTEGER NOT NULL
) STRICT;
INSERT INTO place SELECT 0, x'', 0, x'', 0 WHERE NOT EXISTS (SELECT * FROM place);
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (
    key INTEGER NOT NULL, version INTEGER NOT NULL, principal INTEGER NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, entry INTEGER NOT NULL,
    request TEXT NOT NULL, region TEXT NOT NULL, PRIMARY KEY (key, version, principal, action)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callers (
    principal INTEGER NOT NULL, access_key INTEGER NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, entry INTEGER NOT NULL,
    request TEXT NOT NULL, region TEXT NOT NULL, PRIMARY KEY (principal, access_key, action)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS callers_by_access_key ON callers (access_key);
PRAGMA user_version = 2;
COMMIT;
"""
_PLACE: Final = "SELECT position, mark, sequence, identity, byte FROM place"
_MOVE: Final = "UPDATE place SET position = ?, mark = ?, sequence = ?, identity = ?, byte = ?"
_ADD: Final = """
INSERT INTO TABLE VALUES ROWS ON CONFLICT DO UPDATE SET
count = count + excluded.count, last = excluded.last, entry = excluded.entry, request = excluded.request,
region = excluded.region
"""
# Rows in one statement: the thread lets others run once for all of them, instead of for each.
_ROWS_AT_ONCE: Final = 64
_OF: Final = """
SELECT action, count, first, last, entry, request, region FROM TABLE
WHERE WHOSE = (SELECT id FROM names WHERE name = ?) ORDER BY entry DESC LIMIT MANY
"""
_OF_KEY: Final = _OF.replace("TABLE", "uses").replace("WHOSE", "key").replace("MANY", "1")
_OF_PRINCIPAL: Final = _OF.replace("TABLE", "callers").replace("WHOSE", "principal").replace("MANY", "-1")
_OF_ACCESS_KEY: Final = _OF.replace("TABLE", "callers").replace("WHOSE", "access_key").replace("MANY", "-1")
_NAMES_KEPT: Final = 131_072


class SqliteBook:
    """A `keystead.audit.usage.Book`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Only `SqliteBooks` makes one."""
        self._connection = connection
        self._path = path
        self._file = _inode(path)
        self._names: dict[str, int] = {}
        self._highest = 0  # number of a name; 0 when it has to be looked up

    def place(self) -> Place:
        """How far it has got."""
        with _translated():
            return Place(*self._connection.execute(_PLACE).fetchone())

    def add(self, before: Place, after: Place, sums: Sums) -> None:
        """Add uses, and go on from one place to the next."""
        if _inode(self._path) != self._file:  # what is written to a removed file is read by nobody
            raise BookDamaged(f"{self._path} has been removed")
        with self._transaction() as run:
            if Place(*run.execute(_PLACE).fetchone()) != before:
                raise BookError("somebody else has written in it")
            name = self._name
            uses = (
                (name(key), version, name(principal), action, *new)
                for (key, version, principal, action), new in sums.keys.items()
            )
            callers = (
                (name(principal), name(access_key), action, *new)
                for (principal, access_key, action), new in sums.callers.items()
            )
            _add(run, "uses", uses)
            _add(run, "callers", callers)
            run.execute(_MOVE, after)

    def clear(self) -> None:
        """Begin again, with nothing."""
        with self._transaction() as run:
            run.execute("DELETE FROM uses")
            run.execute("DELETE FROM callers")
            run.execute(_MOVE, Place())

    def of_key(self, arn: str) -> tuple[Place, Totals]:
        """The row with the newest use of a key, if there is one, and the place that is as of."""
        return self._of(_OF_KEY, arn)

    def of_principal(self, arn: str) -> tuple[Place, Totals]:
        """What a principal has done."""
        return self._of(_OF_PRINCIPAL, arn)

    def of_access_key(self, access_key: str) -> tuple[Place, Totals]:
        """What was done with an access key."""
        return self._of(_OF_ACCESS_KEY, access_key)

    def settled(self) -> int:
        """How many entries are taken in so that no power cut undoes it; 0 when that cannot be said now."""
        with _translated():
            position = self._connection.execute(_PLACE).fetchone()[0]
            busy, frames, written = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            return 0 if busy or frames != written else int(position)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _of(self, statement: str, name: str) -> tuple[Place, Totals]:
        totals: dict[str, Sum] = {}
        with self._transaction("DEFERRED") as run:
            place = Place(*run.execute(_PLACE).fetchone())
            for action, *row in run.execute(statement, (name,)):
                total = Sum(*row)
                totals[action] = totals[action].plus(total) if action in totals else total
        return place, totals

    def _name(self, name: str) -> int:
        """The number of a name, which it gets for ever."""
        number = self._names.get(name)
        if number is None:
            run = self._connection
            found = run.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
            if found is None:
                if not self._highest:
                    self._highest = run.execute("SELECT coalesce(max(id), 0) FROM names").fetchone()[0]
                self._highest += 1
                run.execute("INSERT INTO names VALUES (?, ?)", (name, self._highest))
            number = self._highest if found is None else int(found[0])
            if len(self._names) >= _NAMES_KEPT:
                self._names.clear()
            self._names[name] = number
        return number

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        run = self._connection
        with _translated():
            run.execute(f"BEGIN {kind}")
            try:
                yield run
                run.execute("COMMIT")
            except BaseException:
                # Some may have got their numbers in what is undone now, or from somebody else meanwhile.
                self._names.clear()
                self._highest = 0
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

    def settled(self, log: Path) -> int:
        """How many of a log's entries are in its book for good."""
        book = self.open(log)
        if book is None:
            return 0
        with closing(book):
            return book.settled()

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


def _add(run: sqlite3.Connection, table: str, rows: Iterable[tuple[int | str, ...]]) -> None:
    """Add rows to those of a table."""
    rows = sorted(rows)  # in the order of the table, so that neighbours are written together
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        row = f"({', '.join('?' * len(some[0]))})"
        statement = _ADD.replace("TABLE", table).replace("ROWS", ", ".join([row] * len(some)))
        run.execute(statement, [*chain.from_iterable(some)])


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
