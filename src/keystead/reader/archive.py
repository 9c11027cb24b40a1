"""The archive: every entry of every log, in Parquet below the checkpoints and in memory beyond.

    archive/
      manifest.json          which segments there are, and which entries of which log are in each
      0000000017.parquet     65,536 entries or a million, in the order of their times
      0000000017.requests    where in it a request is (`requests`)
      work/                  what is being made; empty at start

**Segments.** When enough entries are under checkpoints, they are read from the tiles, sorted by time and written into
a segment; sixteen of those are merged into one. A segment is whole or not there: it is written beside, synced and
renamed, and counts from the moment when a manifest names it, which is replaced in the same way. What no manifest
names is removed at the next start. So a process that is killed anywhere goes on where the manifest stands.

**What is missing is simply read.** Which entries the archive has is the sum of what its segments say. A segment that
is lost, was changed on disk or cannot be read is struck from the manifest, and its entries are read from the logs
again. A log that was restored from a backup, so that the archive knows of a future that never was, is noticed by the
hash of the last entry. What retention removes from a log is removed here too, by writing the segment anew without it.

**The tail.** What is in no segment yet is taken into a table in memory when somebody asks, and kept up to date for a
minute after that: those entries included that no checkpoint covers; of a batch that may still fail to become durable,
only for the one question that is being asked.

**Bounds.** The database may take so much memory and no more, beyond that it uses ``work/``; it reads and writes
nothing outside the archive, loads no extension, and its settings are locked. A question that takes too long is
interrupted. At most two segments' worth of entries are in the tail.
"""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import msgspec

from keystead.core.errors import KeysteadError, QueryUnavailable
from keystead.core.query import Answered, Count, Place, Question, ReaderStatus, Row
from keystead.reader import questions, requests
from keystead.reader.ranges import Ranges
from keystead.reader.source import Source
from keystead.service.entry import decode

SEGMENT_ROWS: Final = 65_536
MERGED: Final = 16  # segments of the first level that become one
ANSWER_BYTES: Final = 8 << 20
FOLLOW_SECONDS: Final = 60.0  # after a question the tail is kept up to date
FRESHEN_SECONDS: Final = 1.0  # that a question waits for what is not in the archive yet
_ROW_GROUP: Final = 20_480
_READ: Final = 4_096  # entries that are read from one log at once
_LARGEST: Final = 1 << 63
_LONGEST_SECONDS: Final = 3600.0
_MANIFEST: Final = "manifest.json"
_WORK: Final = "work"
_COLUMNS: Final = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in questions.READ.items()) + "}"
_FORM: Final = hashlib.sha256(f"1 {_COLUMNS} {questions.MAKE}".encode()).hexdigest()[:16]


class Segment(msgspec.Struct, frozen=True):
    """One segment, as the manifest has it."""

    name: str
    merged: bool
    rows: int
    first: int  # the time of its first entry, microseconds
    last: int
    bytes: int
    sha256: str  # of the Parquet file
    entries: dict[str, list[tuple[int, int]]]  # by log: runs, each with the index after its last
    marks: dict[str, str]  # by log: the hash of the last of its entries here

    def of(self, log: str) -> Ranges:
        """The entries of a log that are in it."""
        return Ranges(range(start, stop) for start, stop in self.entries.get(log, ()))


class _Manifest(msgspec.Struct, frozen=True):
    form: str  # of the rows: another one is not understood, and all is made anew
    next: int
    segments: tuple[Segment, ...]


class Archive:
    """See the module. `feed` and `close` are for one thread, `ask` for any."""

    def __init__(
        self,
        directory: Path,
        source: Source,
        *,
        origin: str,
        memory_mb: int = 512,
        threads: int = 2,
        segment_rows: int = SEGMENT_ROWS,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._work = directory / _WORK
        self._source = source
        self._origin = origin
        self._segment_rows = segment_rows
        self._notice = notice
        self._lock = threading.Lock()  # of what is there: segments, doomed files, and the tail with them
        self._feeding = threading.Lock()
        self._behind = False  # whether there was more to take in than was taken
        self._asked = -FOLLOW_SECONDS  # when there was the newest question, on the monotonic clock
        self._looking = 0  # questions that are being answered
        self._doomed: list[str] = []  # files that no new question reads
        self._trouble: dict[tuple[str, str], str] = {}  # by log and what cannot be done with it
        self._tail: dict[str, Ranges] = {}
        self._unsettled: dict[str, int] = {}  # by log: from which index on the tail may yet be wrong
        self._removed: dict[str, list[range]] = {}
        self._unproven: set[str] = set()  # segments whose files have not been looked at since the start
        self._begin()
        self._database = self._connect(memory_mb, threads)
        self._feeder = self._database.cursor()
        self._feeder.execute(f"CREATE TABLE tail AS SELECT {questions.MAKE} FROM {self._empty()}")
        self._find_restored()

    # --- opening -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Take the manifest as it stands, strike segments that are not there whole, and remove what is nobody's."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(mode=0o700)
        try:
            manifest = msgspec.json.decode((self._directory / _MANIFEST).read_bytes(), type=_Manifest)
        except (OSError, msgspec.DecodeError):
            manifest = _Manifest(_FORM, 1, ())
        self._next = manifest.next
        self._segments = () if manifest.form != _FORM else manifest.segments
        whole = tuple(segment for segment in self._segments if self._is_whole(segment))
        for segment in self._segments:
            if segment not in whole:
                self._notice(f"the archive's segment {segment.name} is lost or cut: it is made anew")
        self._unproven = {segment.name for segment in whole}
        self._publish(whole)
        named = {_MANIFEST, _WORK, *(file for segment in whole for file in _files(segment.name))}
        for path in self._directory.iterdir():
            if path.name not in named:
                path.unlink()

    def _is_whole(self, segment: Segment) -> bool:
        sizes = []
        for file in _files(segment.name):
            try:
                sizes.append((self._directory / file).stat().st_size)
            except OSError:
                return False
        return sizes[0] == segment.bytes

    def _connect(self, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
        """A database that reaches nothing but the archive."""
        database = duckdb.connect(
            ":memory:",
            config={
                "allow_community_extensions": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(self._work / "spill"),
                "threads": threads,
            },
        )
        allowed = str(self._directory.absolute()).replace("'", "''")
        database.execute(f"SET allowed_directories = ['{allowed}']")
        database.execute("SET parquet_metadata_cache = true")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        return database

    def _find_restored(self) -> None:
        """Strike the segments of logs whose past is another one than that which was read."""
        for log in sorted({log for segment in self._segments for log in segment.entries}):
            having = [segment for segment in self._segments if log in segment.entries]
            if not having:
                continue  # they went with another log's
            newest = max(having, key=lambda segment: segment.of(log).end)
            end = newest.of(log).end
            if not newest.marks[log]:
                continue
            try:
                found = list(self._source.read(log, end - 1, 1))
            except KeysteadError:
                continue  # it cannot be read now, or not any more: what is here may be all that there is
            if not found or _mark(found[0][1]) != newest.marks[log]:
                self._notice(f"the audit log {log} has another past than it had: its archive is made anew")
                self._strike(segment.name for segment in self._segments if log in segment.entries)

    # --- taking in -----------------------------------------------------------------------------------------

    def feed(self) -> bool:
        """Take in what is new, a bounded part of it; whether there is more to do at once."""
        with self._feeding:
            self._drop_unsettled()
            self._forget()
            self._behind = self._archive() or (self._is_asked() and self._follow())
            more = self._behind
        # Merging takes seconds, in which questions must be able to have what is new.
        more = more or self._merge()
        if not more:
            self._prove()
        self._remove_doomed()
        return more

    def _is_asked(self) -> bool:
        """Whether there was a question a short time ago.

        Nobody needs the tail until somebody asks, and what is taken into it has to be taken in once more when it gets
        into a segment: to do both for every entry would cost about as much as to write it down in the first place.
        """
        return time.monotonic() - self._asked < FOLLOW_SECONDS

    def _freshen(self) -> None:
        """Have everything in that was committed before this was called, unless that is very much."""
        until = time.monotonic() + FRESHEN_SECONDS
        self._drop_unsettled()
        self._behind = True
        while self._behind and time.monotonic() < until:
            self._behind = self._archive() or self._follow()
        if not self._behind:
            self._follow(unsettled=True)

    def _names(self) -> list[str]:
        return list(self._source.names())

    def _here(self, log: str, *, tail: bool) -> Ranges:
        """The entries of a log that need not be read."""
        here = Ranges(self._removed.get(log, ()))
        for segment in self._segments:
            for start, stop in segment.entries.get(log, ()):
                here.add(range(start, stop))
        for run in self._tail.get(log, Ranges()).runs if tail else ():
            here.add(run)
        return here

    @contextmanager
    def _trying(self, log: str, to: str) -> Iterator[None]:
        """Note it when something cannot be done with a log, and go on with the others."""
        try:
            yield
        except KeysteadError as error:
            if self._trouble.get((log, to)) != str(error):
                self._notice(f"the audit log {log} cannot be {to}: {error}")
            self._trouble[log, to] = str(error)
        else:
            self._trouble.pop((log, to), None)

    def _archive(self) -> bool:
        """Write a segment of what is under checkpoints and in none yet, if that is enough for one."""
        wanted: dict[str, list[range]] = {}
        for log in self._names():
            with self._trying(log, "archived"):
                gaps = list(self._here(log, tail=False).gaps(0, self._source.sealed(log)))
                if gaps:
                    wanted[log] = gaps
        sizes = {log: sum(map(len, gaps)) for log, gaps in wanted.items()}
        whole = sum(sizes.values())
        if whole < self._segment_rows:
            return False
        spool = _Spool(self._work / "segment.jsonl")
        entries: dict[str, Ranges] = {}
        marks: dict[str, str] = {}
        for log, gaps in wanted.items():
            # Of each log its part, so that a segment is of one time as far as it may be.
            part = -(-self._segment_rows * sizes[log] // whole)
            with self._trying(log, "archived"):
                for gap in gaps:
                    for found in self._entries(log, range(gap.start, min(gap.stop, gap.start + part))):
                        spool.add(log, found)
                        entries.setdefault(log, Ranges()).add(range(found[0][0], found[-1][0] + 1))
                        marks[log] = _mark(found[-1][1])
                        part -= len(found)
                    if part <= 0:
                        break
        if not entries:
            return False
        with spool.done() as relation:
            made = self._write(f"(SELECT {questions.MAKE} FROM {relation})", entries, marks, merged=False)
        with self._lock:
            self._publish((*self._segments, made))
            self._feeder.execute("BEGIN")
            for log, runs in entries.items():
                tail = self._tail.get(log, Ranges())
                for run in runs.runs:
                    self._feeder.execute(
                        'DELETE FROM tail WHERE "log" = ? AND "index" >= ? AND "index" < ?',
                        [log, run.start, run.stop],
                    )
                self._tail[log] = Ranges(gap for run in tail.runs for gap in runs.gaps(run.start, run.stop))
            self._feeder.execute("COMMIT")
        return True

    def _entries(self, log: str, wanted: range) -> Iterator[Sequence[tuple[int, bytes]]]:
        """The entries of a log in a range, some at a time, each time in order and without a gap."""
        position = wanted.start
        while position < wanted.stop:
            found = self._source.read(log, position, min(_READ, wanted.stop - position))
            if not found:
                return
            yield found
            position = found[-1][0] + 1

    def _follow(self, *, unsettled: bool = False) -> bool:
        """Take new entries into the tail; whether there may be more."""
        room = 2 * self._segment_rows - sum(map(len, self._tail.values()))
        spool = _Spool(self._work / "tail.jsonl")
        found: list[tuple[str, int]] = []
        for log in self._names():
            with self._trying(log, "followed"):
                here = self._here(log, tail=True)
                gap = next(here.gaps(0, _LARGEST))
                limit = min(_READ, len(gap) if gap.stop < _LARGEST else _READ, room - len(found))
                if limit <= 0:
                    continue
                settled = self._source.read(log, gap.start, limit)
                entries = settled or (
                    self._source.read(log, gap.start, limit, unsettled=True) if unsettled else ()
                )
                spool.add(log, entries)
                found += ((log, index) for index, _ in entries)
                if entries and not settled:
                    self._unsettled[log] = gap.start
        if not found:
            spool.discard()
            return False
        with spool.done() as relation, self._lock:
            self._take(relation)
            for log, index in found:
                self._tail.setdefault(log, Ranges()).add(range(index, index + 1))
        return not unsettled

    def _take(self, relation: str) -> None:
        self._feeder.execute(f"INSERT INTO tail SELECT {questions.MAKE} FROM {relation}")

    def _drop_unsettled(self) -> None:
        """Let go of what was only for one question: it may have become something else."""
        if not self._unsettled:
            return
        with self._lock:
            for log, start in self._unsettled.items():
                self._feeder.execute('DELETE FROM tail WHERE "log" = ? AND "index" >= ?', [log, start])
                self._tail[log] = Ranges(
                    range(run.start, min(run.stop, start)) for run in self._tail[log].runs
                )
            self._unsettled.clear()

    # --- segments ------------------------------------------------------------------------------------------

    def _write(
        self, relation: str, entries: Mapping[str, Ranges], marks: dict[str, str], *, merged: bool
    ) -> Segment:
        """Write a segment; it counts once a manifest names it."""
        cursor = self._database.cursor()
        with self._lock:
            name = f"{self._next:010d}"
            self._next += 1
        parquet, index = (self._work / file for file in _files(name))
        cursor.execute(
            f"COPY (SELECT * FROM {relation} ORDER BY {questions.ORDER}) TO {_quoted(parquet)} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
        (rows, first, last) = cursor.execute(
            f'SELECT count(*), min("time"), max("time") FROM read_parquet({_quoted(parquet)})'
        ).fetchall()[0]
        self._write_index(cursor, parquet, index)
        made = Segment(
            name=name,
            merged=merged,
            rows=rows,
            first=first or 0,
            last=last or 0,
            bytes=parquet.stat().st_size,
            sha256=_digest(parquet),
            entries={log: [(run.start, run.stop) for run in runs.runs] for log, runs in entries.items()},
            marks=marks,
        )
        _sync(parquet)
        for path in (parquet, index):
            path.rename(self._directory / path.name)
        _sync(self._directory)
        cursor.close()
        return made

    def _publish(self, segments: tuple[Segment, ...]) -> None:
        """Have these segments from now on, durably."""
        path = self._work / _MANIFEST
        path.write_bytes(msgspec.json.encode(_Manifest(_FORM, self._next, segments)))
        _sync(path)
        path.rename(self._directory / _MANIFEST)
        _sync(self._directory)
        self._segments = segments

    def _replace(self, old: Iterable[Segment], new: Segment | None) -> None:
        """Have one segment in place of others, whose files go when nobody reads them any more."""
        gone = {segment.name for segment in old}
        with self._lock:
            if new is not None and not gone <= {segment.name for segment in self._segments}:
                self._doomed += _files(new.name)  # one of them was found damaged meanwhile
                return
            kept = tuple(segment for segment in self._segments if segment.name not in gone)
            self._publish(kept if new is None else (*kept, new))
            self._doomed += [file for name in gone for file in _files(name)]
        self._unproven -= gone

    def _strike(self, names: Iterable[str]) -> None:
        """Do without these segments; what was in them is read again."""
        gone = set(names)
        self._replace([segment for segment in self._segments if segment.name in gone], None)

    def _merge(self) -> bool:
        """Make one segment of many small ones."""
        small = sorted(
            (segment for segment in self._segments if not segment.merged), key=lambda segment: segment.first
        )[:MERGED]
        if len(small) < MERGED:
            return False
        entries: dict[str, Ranges] = {}
        marks: dict[str, str] = {}
        for log in sorted({log for segment in small for log in segment.entries}):
            newest = max(small, key=lambda segment: segment.of(log).end)
            marks[log] = newest.marks[log]
            entries[log] = Ranges(run for segment in small for run in segment.of(log).runs)
        with self._sound(small):
            self._replace(small, self._write(self._parquet(small), entries, marks, merged=True))
        return True

    def _forget(self) -> None:
        """Remove what retention has removed from the logs."""
        for log in self._names():
            with self._trying(log, "pruned"):
                removed = list(self._source.removed(log))
                if removed == self._removed.get(log, []):
                    continue
                for segment in self._segments:
                    gone = [run for each in removed for run in segment.of(log).common(each)]
                    if gone:
                        self._write_without(segment, log, gone)
                with self._lock:
                    for run in removed:
                        self._feeder.execute(
                            'DELETE FROM tail WHERE "log" = ? AND "index" >= ? AND "index" < ?',
                            [log, run.start, run.stop],
                        )
                    tail = self._tail.get(log, Ranges())
                    gaps = Ranges(removed)
                    self._tail[log] = Ranges(
                        gap for run in tail.runs for gap in gaps.gaps(run.start, run.stop)
                    )
                self._removed[log] = removed

    def _write_without(self, segment: Segment, log: str, gone: list[range]) -> None:
        entries = {name: segment.of(name) for name in segment.entries}
        without = Ranges(gone)
        entries[log] = Ranges(gap for run in entries[log].runs for gap in without.gaps(run.start, run.stop))
        marks = dict(segment.marks)
        if entries[log].end != segment.of(log).end:  # its last entry is gone, and with it the mark
            marks[log] = ""
        if not len(entries[log]):
            del entries[log], marks[log]
        if not entries:
            self._replace([segment], None)
            return
        runs = " OR ".join(f'("index" >= {run.start} AND "index" < {run.stop})' for run in gone)
        quoted = log.replace("'", "''")
        relation = (
            f"""(SELECT * FROM {self._parquet([segment])} WHERE NOT ("log" = '{quoted}' AND ({runs})))"""
        )
        with self._sound([segment]):
            self._replace([segment], self._write(relation, entries, marks, merged=segment.merged))

    def _prove(self) -> None:
        """Look at one segment that was there at the start: is it still what was written?"""
        for name in sorted(self._unproven, reverse=True):
            self._unproven.discard(name)
            segments = [segment for segment in self._segments if segment.name == name]
            if not self._check(segments):
                with self._sound(segments):
                    self._index_anew(segments)
            return

    def _index_anew(self, segments: Iterable[Segment]) -> None:
        """Give segments that have an older form of index one of this form; what their rows say has not changed."""
        for segment in segments:
            path = self._directory / _files(segment.name)[1]
            if requests.is_older(path):
                made = self._work / path.name
                cursor = self._database.cursor()
                self._write_index(cursor, self._directory / _files(segment.name)[0], made)
                cursor.close()
                made.rename(path)
                _sync(self._directory)

    @staticmethod
    def _write_index(cursor: duckdb.DuckDBPyConnection, parquet: Path, index: Path) -> None:
        ids = cursor.execute(f"SELECT request, client_request FROM read_parquet({_quoted(parquet)})")
        index.write_bytes(requests.index(_each(ids)))
        _sync(index)

    def _check(self, segments: Iterable[Segment]) -> bool:
        """Strike those that are not what was written; whether there were any."""
        broken = []
        for segment in segments:
            try:
                parquet, index = ((self._directory / file) for file in _files(segment.name))
                requests.rows(index, "")
                whole = _digest(parquet) == segment.sha256
            except (OSError, ValueError):
                whole = False
            if not whole:
                self._notice(f"the archive's segment {segment.name} is damaged: it is made anew")
                broken.append(segment.name)
        if broken:
            self._strike(broken)
        return bool(broken)

    @contextmanager
    def _sound(self, segments: Sequence[Segment]) -> Iterator[None]:
        """Strike the segments that are found damaged on the way: what was to be done is done when they are whole."""
        try:
            yield
        except duckdb.Error:
            if not self._check(segments):
                raise

    def _remove_doomed(self) -> None:
        with self._lock:
            if self._looking:
                return
            doomed, self._doomed = self._doomed, []
        for file in doomed:
            with suppress(FileNotFoundError):
                (self._directory / file).unlink()

    def _parquet(self, segments: Iterable[Segment]) -> str:
        files = ", ".join(_quoted(self._directory / _files(segment.name)[0]) for segment in segments)
        return f"read_parquet([{files}])"

    def _empty(self) -> str:
        path = self._work / "empty.jsonl"
        path.write_bytes(b"")
        return _json(path)

    # --- answering -----------------------------------------------------------------------------------------

    def ask(self, question: Question, seconds: float) -> Answered:
        """Answer one question; raises `QueryUnavailable` when that takes longer, and `InvalidRequest`."""
        until = time.monotonic() + seconds
        try:
            return self._ask(question, until)
        except (duckdb.InterruptException, _Late):
            raise QueryUnavailable(
                f"There was no answer within {seconds:.0f} seconds: ask about less, such as a shorter time."
            ) from None
        except duckdb.OutOfMemoryException:
            raise QueryUnavailable("The answer takes too much memory: ask about less.") from None
        except (duckdb.Error, OSError, ValueError):
            if not self._check(self._segments):
                raise
        return self._ask(question, until)

    def _ask(self, question: Question, until: float) -> Answered:
        with self._look(until) as look:
            if time.monotonic() >= until:  # an interruption that came before the statement did nothing
                raise _Late
            segments = [segment for segment in look.segments if _may_have(segment, question)]
            sources = self._sources(look, segments, question)
            if question.by:
                return self._count(look, segments, question, sources)
            return self._page(look, segments, question, sources)

    @contextmanager
    def _look(self, until: float) -> Iterator["_Look"]:
        """A consistent view of segments and tail, whose files stay, and which ends when the time is up."""
        cursor = self._database.cursor()
        self._asked = time.monotonic()
        fresh = self._feeding.acquire(timeout=FRESHEN_SECONDS)
        try:
            if fresh:
                with self._bearing():
                    self._freshen()
            else:
                self._behind = True
            with self._lock:
                cursor.execute("BEGIN")
                cursor.execute("SELECT 1 FROM tail LIMIT 1").fetchall()  # from here on it sees no change
                look = _Look(cursor, self._segments)
                self._looking += 1
        finally:
            if fresh:
                self._feeding.release()
        timer = threading.Timer(min(max(0.0, until - time.monotonic()), _LONGEST_SECONDS), cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield look
        finally:
            timer.cancel()
            with self._lock:
                self._looking -= 1
            cursor.close()

    @contextmanager
    def _bearing(self) -> Iterator[None]:
        """Go on when nothing can be taken in, because the disk is full: what is there can still be asked about."""
        try:
            yield
        except (duckdb.Error, OSError):
            self._behind = True

    def _sources(self, look: "_Look", segments: list[Segment], question: Question) -> list[str] | None:
        """The addresses that there are in the network that a question names."""
        network = questions.network(question.source)
        if network is None:
            return None
        relation = self._all(segments)
        there = look.cursor.execute(f"SELECT DISTINCT source FROM {relation} WHERE source IS NOT NULL")
        return [source for (source,) in _each(there) if source and questions.within(source, network)]

    def _all(self, segments: list[Segment]) -> str:
        """The relation of these segments and the tail."""
        if not segments:
            return "tail"
        return f"(SELECT * FROM {self._parquet(segments)} UNION ALL SELECT * FROM tail)"

    def _count(
        self, look: "_Look", segments: list[Segment], question: Question, sources: list[str] | None
    ) -> Answered:
        statement = questions.counted(question, self._all(segments), sources)
        rows = look.cursor.execute(statement.text, statement.given).fetchall()
        counts = tuple(
            Count(by=tuple(row[:-3]), count=row[-3], first=row[-2], last=row[-1])
            for row in rows[: question.limit]
        )
        return Answered(
            origin=self._origin, counts=counts, more=len(rows) > question.limit, missing=self._missing()
        )

    def _page(
        self, look: "_Look", segments: list[Segment], question: Question, sources: list[str] | None
    ) -> Answered:
        """The entries, in two steps: where they stand, which reads few columns, and then what they say."""
        where = questions.condition(question, sources)
        order = questions.ORDER if question.oldest_first else questions.BACKWARDS
        limit = question.limit + 1
        places: list[tuple[int, str, int, str, int]] = []  # time, log, index, segment, row

        def better(place: tuple[int, str, int, str, int]) -> tuple[int, str, int]:
            return place[:3]

        def add(rows: Iterable[tuple[int, str, int, str, int]]) -> None:
            places.extend(rows)
            places.sort(key=better, reverse=not question.oldest_first)
            del places[limit:]

        add(
            look.cursor.execute(
                f"""SELECT "time", "log", "index", '', rowid FROM tail {where.where} ORDER BY {order} LIMIT ?""",
                [*where.given, limit],
            ).fetchall()
        )
        left = sorted(
            segments,
            key=lambda segment: segment.first if question.oldest_first else -segment.last,
        )
        at_once = 1
        while left:
            if len(places) == limit:  # a segment that begins beyond the last of them has nothing to add
                edge = places[-1][0]
                left = [
                    each
                    for each in left
                    if (each.first <= edge if question.oldest_first else each.last >= edge)
                ]
            part, left = left[:at_once], left[at_once:]
            at_once = min(at_once * 2, 8)
            every: list[Segment] = []  # where no index of requests says which rows to look at
            for segment in part:
                numbers = self._of_request(segment, question.request) if question.request else None
                if numbers is None:
                    every.append(segment)
                elif numbers:
                    among = where.and_(f"file_row_number IN ({', '.join(map(str, numbers))})")
                    add(self._search(look, [segment], among, order, limit))
            if every:
                add(self._search(look, every, where, order, limit))
        rows = self._rows(look, places[: question.limit])
        after = None
        if len(places) > question.limit or len(rows) < len(places):
            after = Place(time=rows[-1].entry["time"], log=rows[-1].log, index=rows[-1].index)
        return Answered(origin=self._origin, rows=tuple(rows), after=after, missing=self._missing())

    def _of_request(self, segment: Segment, request: str) -> list[int] | None:
        return requests.rows(self._directory / _files(segment.name)[1], request)

    def _search(
        self, look: "_Look", segments: list[Segment], where: questions.Condition, order: str, limit: int
    ) -> list[tuple[int, str, int, str, int]]:
        return look.cursor.execute(
            f'SELECT "time", "log", "index", filename, file_row_number '
            f"FROM {self._located(segments)} {where.where} ORDER BY {order} LIMIT ?",
            [*where.given, limit],
        ).fetchall()

    def _located(self, segments: Iterable[Segment]) -> str:
        return self._parquet(segments).removesuffix(")") + ", filename = true, file_row_number = true)"

    def _rows(self, look: "_Look", places: Sequence[tuple[int, str, int, str, int]]) -> list[Row]:
        """What stands there, in the same order; fewer when it is more than one answer holds."""
        by_file: dict[str, list[int]] = {}
        for _, _, _, file, number in places:
            by_file.setdefault(file, []).append(number)
        found: dict[tuple[str, int], dict[str, Any]] = {}
        names = list(questions.READ)
        for file, numbers in by_file.items():
            among = ", ".join(map(str, numbers))
            relation, which = "tail", "rowid"
            if file:
                relation, which = (
                    f"read_parquet({_quoted(Path(file))}, file_row_number = true)",
                    "file_row_number",
                )
            look.cursor.execute(f"SELECT {questions.SHOW} FROM {relation} WHERE {which} IN ({among})")
            for values in look.cursor.fetchall():
                entry = {name: value for name, value in zip(names, values, strict=True) if value}
                found[entry.pop("log"), entry.pop("index", 0)] = entry
        rows: list[Row] = []
        size = 0
        for _, log, index, _, _ in places:
            entry = found[log, index]
            size += sum(len(str(value)) + len(name) + 6 for name, value in entry.items())
            if rows and size > ANSWER_BYTES:
                break
            rows.append(Row(log=log, index=index, entry={"time": 0, **entry}))
        return rows

    # --- health --------------------------------------------------------------------------------------------

    def _missing(self) -> str:
        missing = [f"the audit log {log} cannot be {to}: {text}" for (log, to), text in self._troubles()]
        if self._behind:
            missing.append("not all entries have been taken into the archive yet")
        return "; ".join(missing)

    def _troubles(self) -> list[tuple[tuple[str, str], str]]:
        return sorted(self._trouble.copy().items())

    def status(self) -> ReaderStatus:
        """How far it is, and what is wrong.

        Entries that are too few for a segment are not behind: they are read when somebody asks.
        """
        with self._feeding:
            behind, oldest = 0, 0
            for log in self._names():
                with suppress(KeysteadError):  # whoever takes it in tells of it
                    for gap in self._here(log, tail=True).gaps(0, self._source.sealed(log)):
                        if not oldest:
                            found = self._source.read(log, gap.start, 1)
                            oldest = decode(found[0][1]).time if found and _is_plain(found[0][1]) else 0
                        behind += len(gap)
            if behind < self._segment_rows:
                behind, oldest = 0, 0
            return ReaderStatus(
                rows=sum(segment.rows for segment in self._segments),
                recent=sum(map(len, self._tail.values())),
                lag_entries=behind,
                lag_seconds=max(0.0, time.time() - oldest / 1e6) if oldest else 0.0,
                trouble="; ".join(dict.fromkeys(text for _, text in self._troubles())),
            )

    def close(self) -> None:
        """Let go of the database; everything that counts is on the disk already."""
        self._database.close()


class _Late(Exception):
    """The time is up."""


class _Look(NamedTuple):
    """What one question sees."""

    cursor: duckdb.DuckDBPyConnection
    segments: tuple[Segment, ...]


class _Spool:
    """Entries on their way into the database: as lines of JSON, which it reads many times faster than values."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")

    def add(self, log: str, entries: Iterable[tuple[int, bytes]]) -> None:
        """More entries of a log; what is none becomes a row that says so."""
        head = b'{"log":%b,"index":' % msgspec.json.encode(log)
        self._file.writelines(
            b"%b%d,%b\n" % (head, index, (entry if _is_plain(entry) else _NO_ENTRY)[1:])
            for index, entry in entries
        )

    @contextmanager
    def done(self) -> Iterator[str]:
        """The relation of what was added, which goes afterwards."""
        self._file.close()
        try:
            yield _json(self._path)
        finally:
            self._path.unlink()

    def discard(self) -> None:
        """Do without it."""
        self._file.close()
        self._path.unlink()


_NO_ENTRY: Final = b'{"detail":"these bytes are no audit entry"}'


def _is_plain(entry: bytes) -> bool:
    """Whether it is an entry, in one line, with numbers that a column holds."""
    try:
        read = decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    numbers = (read.epoch, read.from_version, read.time, read.v, read.version)
    return (
        b"\n" not in entry
        and len(entry) > len(b"{}")
        and min(numbers) >= -_LARGEST
        and max(numbers) < _LARGEST
    )


def _may_have(segment: Segment, question: Question) -> bool:
    """Whether a segment may have something that is asked about, by what the manifest says of it."""
    since, until = question.since, question.until or _LARGEST
    if question.after is not None and not question.by:
        if question.oldest_first:
            since = max(since, question.after.time)
        else:
            until = min(until, question.after.time + 1)
    if segment.last < since or segment.first >= until:
        return False
    if question.event:
        log, _, index = question.event.partition("/")
        return any(start <= int(index) < stop for start, stop in segment.entries.get(log, ()))
    return True


def _each(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[str | None, ...]]:
    """The rows, read a piece at a time."""
    while rows := cursor.fetchmany(65_536):
        yield from rows


def _files(name: str) -> tuple[str, str]:
    """A segment's Parquet file and its index of requests."""
    return f"{name}.parquet", f"{name}.requests"


def _json(path: Path) -> str:
    return f"read_json({_quoted(path)}, format = 'newline_delimited', columns = {_COLUMNS})"


def _quoted(path: Path) -> str:
    text = str(path.absolute()).replace("'", "''")
    return f"'{text}'"


def _mark(entry: bytes) -> str:
    return hashlib.sha256(entry).hexdigest()[:16]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
