"""Who used what, and when last: an index beside each log, and the exact answer to whoever asks.

The log is the truth. Beside it lies a small file (`usagebook`) with the number of entries that were taken in. It says
how often and when last each key was used, by version, principal and operation, and how often and when last each
principal has asked for something, by access key and operation. All is written in one transaction, so no crash parts
it, and the file can be thrown away at any time: it is made again from the log,
as far as that was not pruned.

    index = Index(directory, disk=disk, books=books, find=find)   # the owner of a log keeps its index
    log.follow(index)
    Usages(root, disk=disk, books=books, find=find, moment=moment, origin=origin).last(key_arn)   # anybody

**Keeping it.** `Index` follows a log. For each request that is committed it updates one row in memory, a fraction of a
microsecond; a helper thread adds the rows up by key and by caller and writes them down about once a second. What
it has missed (it failed, or is new) it reads from the log's files, a little at a time, so that others run between. A
failure costs nobody anything: the book is closed, opened anew, and read up.

**Asking.** A use that was answered is durable in its log, even when no index has it yet. So `Usages` reads each
log's book and then the log's entries after the book's position. A book remembers the place in the segments where
those begin, which makes that a few kilobytes; without it, tiles and segments are read. Books far behind (more
than `MOST_BEHIND` entries) are not waited for: the question is refused and can be asked again.

**Whose book is it?** A log that was restored from a backup may find the book of its own future beside it. A book
names the segment it ends in, by its random identity, and the last entry it has taken in, by its hash. One that
matches neither is of another history and begins again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from keystead.audit import checkpoint, prune, segment
from keystead.audit.damage import Damaged
from keystead.audit.log import Committed
from keystead.audit.reading import covered
from keystead.audit.tiles import FOLDER
from keystead.core.disk import Disk, File
from keystead.core.errors import AuditUnavailable
from keystead.core.ports import Activity, Clock, LastUse, Use, Used
from keystead.crypto.merkle import TILE_WIDTH, partial_width

K = TypeVar("K")

MOST_BEHIND: Final = 262_144  # entries that one question reads: half a second's work
MOST_ROWS: Final = 262_144  # that wait for the helper; beyond, what it has missed is read from the disk later
_MANY_ROWS: Final = 1_024
_TRANSACTION: Final = 65_536  # entries taken in at once when there is much to read up
_ATTEMPTS: Final = 5
_CLOSE_SECONDS: Final = 10.0

Find = Callable[[bytes], Sequence[Used]]
"""What an entry tells of: who used what."""

Row = tuple[str, int, str, str | None, str]
"""What is added up in memory: key ARN, version, principal, access key, action (`keystead.core.ports.Used`)."""


class Place(NamedTuple):
    """How far a book has got: ``position`` entries are in it."""

    position: int = 0
    mark: bytes = b""  # of the last of them
    sequence: int = 0  # of the segment in which the next one will stand, and where; no identity: not known
    identity: bytes = b""
    offset: int = 0


class Sum(NamedTuple):
    """How often something was done, and when."""

    uses: int
    first: int  # when, in microseconds
    time: int  # of the last, in microseconds
    entry: int  # index of the last
    request: str  # of the last
    region: str  # of the last

    def plus(self, other: "Sum") -> "Sum":
        """Both together."""
        uses, first = self.uses + other.uses, min(self.first, other.first)
        later = other if other.entry > self.entry else self
        return Sum(uses, first, later.time, later.entry, later.request, later.region)


class Sums(NamedTuple):
    """What was added up of some entries."""

    keys: dict[tuple[str, int, str, str], Sum]  # by key ARN, version, principal, action
    callers: dict[tuple[str, str, str], Sum]  # by principal, access key, action


Totals = Mapping[str, Sum]
"""What is known of one key, principal or access key, by action."""


class BookError(Exception):
    """A book could not be read or written; nothing of what was attempted has happened."""


class BookDamaged(BookError):
    """It never will be: the book must be made anew."""


class Book(Protocol):
    """Where the index of one log is kept. For one thread at a time; raises `BookError`."""

    def place(self) -> Place:
        """How far it has got."""
        ...

    def add(self, before: Place, after: Place, sums: Sums) -> None:
        """Add uses and go on from one place to the next, in one transaction.

        Raises `BookError` if it is at another place by now, and `BookDamaged` if it has been thrown away.
        """
        ...

    def clear(self) -> None:
        """Begin again, with nothing."""
        ...

    def of_key(self, arn: str) -> tuple[Place, Totals]:
        """The row with the newest use of a key, if there is one, and the place that is as of."""
        ...

    def of_principal(self, arn: str) -> tuple[Place, Totals]:
        """What a principal has done."""
        ...

    def of_access_key(self, access_key: str) -> tuple[Place, Totals]:
        """What was done with an access key."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Books(Protocol):
    """Where books are kept, by their log's directory."""

    def open(self, log: Path) -> Book | None:
        """The book of a log, if it has one."""
        ...

    def make(self, log: Path) -> Book:
        """The book of a log, new where there is none."""
        ...

    def discard(self, log: Path) -> None:
        """Throw a book away."""
        ...


_NOWHERE: Final = Committed(0, [], [], 0, b"", 0)


class Index:
    """Keeps the book of one log up to date; a `Follower`.

    ``executor`` has one thread, shared with nobody who minds waiting; without one, the work is done inline. The
    book is written every so many ``seconds``, and four times more seldom while very many keys are in use.
    ``pause`` lets other threads run. ``notice`` hears of a failure when it begins.
    """

    def __init__(
        self,
        directory: Path,
        *,
        disk: Disk,
        books: Books,
        find: Find,
        clock: Clock,
        seconds: float = 1.0,
        executor: Executor | None = None,
        pause: Callable[[], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.trouble = ""  # what went wrong last; empty when nothing
        self._directory = directory
        self._disk = disk
        self._books = books
        self._find = find
        self._clock = clock
        self._seconds = seconds
        self._executor = executor
        self._pause = pause
        self._notice = notice
        self._tally = _Tally(find, 0)  # what was heard since the helper was last given something
        self._end = _NOWHERE  # the last that was heard
        self._due = False  # whether there is anything for the helper
        self._write_at = 0.0
        self._job: Future[None] | None = None
        self._stopping = False
        # The helper's own.
        self._book: Book | None = None
        self._place = Place()

    def heard(self, batch: Committed) -> None:
        """Add up what was committed; the helper will write it down."""
        tally = self._tally
        if batch.first != tally.position or len(tally.rows) > MOST_ROWS:
            # What is passed over is read from the log's files instead.
            tally = self._tally = _Tally(self._find, batch.first)
        tally.take(batch.entries, batch.uses)
        self._end = batch
        self._due = True

    def tend(self) -> None:
        """Have the helper write down what was added up, if it is time."""
        if self._job is not None:
            if not self._job.done():
                return
            self._collect(self._job)
        now = self._clock.monotonic()
        if self._due and (self._stopping or now >= self._write_at):
            self._due = False
            rare = 4 if len(self._tally.rows) > _MANY_ROWS else 1
            self._write_at = now + rare * self._seconds
            tally, end = self._tally, self._end
            self._tally = _Tally(self._find, tally.position)
            self._job = self._start(lambda: self._take(tally, end))

    def close(self) -> None:
        """Write down the rest, unless very much must be read for it, and let go of the book."""
        self._stopping = True
        if self._job is not None:
            wait([self._job], timeout=_CLOSE_SECONDS)
        if self._job is None or self._job.done():
            self._executor = None
            self.tend()
            self.tend()
            self._close_book()

    def catch_up(self) -> None:
        """Take in what a checkpoint covers, of a log that nobody owns, and let go of the book; waits."""
        try:
            size = covered(self._disk, self._directory)
        except (Damaged, OSError) as error:
            self._fail(error)
        else:
            self.heard(_NOWHERE._replace(first=size))
            self.tend()
            self.close()

    def stop(self) -> None:
        """Let `catch_up` end early; any thread."""
        self._stopping = True

    def _start(self, work: Callable[[], None]) -> "Future[None]":
        if self._executor is not None:
            return self._executor.submit(work)
        job: Future[None] = Future()
        try:
            work()
            job.set_result(None)
        except Exception as error:  # noqa: BLE001 - as an executor does
            job.set_exception(error)
        return job

    def _collect(self, job: "Future[None]") -> None:
        """Look how a job ended. After a failure the next one begins by reading up what this one has lost."""
        self._job = None
        error = job.exception()
        if error is None:
            self.trouble = ""
            return
        self._close_book()
        if isinstance(error, BookDamaged):
            with suppress(BookError):
                self._books.discard(self._directory)
        self._due = True
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Say what goes wrong, once until it goes well again."""
        trouble = f"the usage index of {self._directory} cannot be kept: {type(error).__name__}: {error}"
        if not self.trouble and self._notice is not None:
            self._notice(trouble)
        self.trouble = trouble

    # --- on the helper's thread ----------------------------------------------------------------------------

    def _take(self, tally: "_Tally", end: Committed) -> None:
        """Bring the book up to the end of what was heard."""
        if self._book is None:
            self._open()
        earlier = _Tally(self._find, self._place.position)
        if earlier.position < tally.start and not self._read_up(earlier, tally.start):
            return
        place = Place(tally.position, self._place.mark, end.sequence, end.identity, end.offset)
        for last in (earlier.last, tally.last):
            if last is not None:
                place = place._replace(mark=_mark(last))
        sums, new = earlier.sums(), tally.sums()
        _add(sums.keys, new.keys)
        _add(sums.callers, new.callers)
        self._save(place, sums)

    def _open(self) -> None:
        """Open the book; one of another history, such as the future of a restored log, begins again."""
        book = self._books.make(self._directory)
        try:
            place = book.place()
            if not _fits(self._disk, self._directory, place):
                book.clear()
                place = Place()
        except BaseException:
            book.close()
            raise
        self._book, self._place = book, place

    def _close_book(self) -> None:
        book, self._book = self._book, None
        if book is not None:
            book.close()

    def _read_up(self, tally: "_Tally", until: int) -> bool:
        """Take in committed entries from the log's files; whether it got there before it was told to stop."""
        for _, entries in _entries(self._disk, self._directory, tally.position, until):
            tally.take(entries, [None] * len(entries))
            many = tally.position - tally.start >= _TRANSACTION
            if tally.position < until and (self._stopping or many):
                self._save(Place(tally.position, _mark(entries[-1])), tally.sums())
                if self._stopping:
                    return False
                tally.begin()
            if self._pause is not None:
                self._pause()
        return True

    def _save(self, place: Place, sums: Sums) -> None:
        assert self._book is not None  # noqa: S101 - `_take` has opened it
        if place != self._place:
            self._book.add(self._place, place, sums)
            self._place = place


class Usages:
    """`keystead.core.ports.Usage` over the logs in a directory, those without an owner included.

    ``moment`` is an entry's time; ``origin`` is what the logs' origins begin with.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk,
        books: Books,
        find: Find,
        moment: Callable[[bytes], float],
        origin: str,
        most_behind: int = MOST_BEHIND,
    ) -> None:
        self._root = root
        self._disk = disk
        self._books = books
        self._find = find
        self._moment = moment
        self._origin = origin
        self._most_behind = most_behind
        self._began: dict[str, float] = {}  # by log: the time of its first entry

    def last(self, key_arn: str) -> LastUse:
        """The newest use of a key in all logs; within one the order of the log says which is the newest."""
        return self._last(
            _Question(key_arn.encode(), lambda book: book.of_key(key_arn), lambda row: row[0] == key_arn)
        )

    def last_of_access_key(self, access_key_id: str) -> LastUse:
        """The newest request that an access key has signed, in all logs."""
        return self._last(
            _Question(
                access_key_id.encode(),
                lambda book: book.of_access_key(access_key_id),
                lambda row: row[3] == access_key_id,
            )
        )

    def last_of_principal(self, arn: str) -> LastUse:
        """The newest request of a principal, in all logs."""
        return self._last(_of_principal(arn))

    def uses_of_principal(self, arn: str) -> list[Activity]:
        """What a principal has done, in all logs together, in the order of the actions' names."""
        sums: dict[str, Sum] = {}
        lasts: dict[str, tuple[Sum, str]] = {}
        for name, totals in self._answers(_of_principal(arn))[1]:
            for action, total in totals.items():
                sums[action] = total.plus(sums[action]) if action in sums else total
                if action not in lasts or total.time > lasts[action][0].time:
                    lasts[action] = total, name
        return [
            Activity(action, total.uses, total.first / 1e6, self._use(action, *lasts[action]))
            for action, total in sorted(sums.items())
        ]

    def _last(self, question: "_Question") -> LastUse:
        best: tuple[str, Sum, str] | None = None
        since, answers = self._answers(question)
        for name, totals in answers:
            if totals:
                action, last = max(totals.items(), key=lambda item: item[1].entry)
                if best is None or last.time > best[1].time:
                    best = action, last, name
        return LastUse(since, None if best is None else self._use(*best))

    def _use(self, action: str, last: Sum, name: str) -> Use:
        event = f"{self._origin}/{name}/{last.entry}"
        return Use(action, last.time / 1e6, last.request, event, last.region)

    def _answers(self, question: "_Question") -> tuple[float, list[tuple[str, Totals]]]:
        """Since when there are entries, and what each log says."""
        try:
            logs = [name for name in self._disk.names(self._root) if is_log(self._disk, self._root / name)]
            found = [(name, self._look(name, question)) for name in logs]
            return min(filter(None, map(self._beginning, logs)), default=0.0), found
        except (OSError, Damaged) as error:
            raise AuditUnavailable(f"the audit logs cannot be read: {error}") from None

    def _beginning(self, name: str) -> float:
        began = self._began.get(name)
        if began is None:
            directory = self._root / name
            size = covered(self._disk, directory)
            if not size:
                return 0.0
            began = prune.stated(self._disk, directory).began / 1e6 or self._moment(
                _entry(self._disk, directory, 0, size)
            )
            self._began[name] = began
        return began

    def _look(self, name: str, question: "_Question") -> Totals:
        """What one log says; again when a checkpoint overtakes it, since segments go then."""
        directory = self._root / name
        for attempt in range(_ATTEMPTS):
            place, known = self._ask_book(directory, question)
            size = covered(self._disk, directory)
            there = _is_there(self._disk, directory, place)  # where the entries after the book's begin
            try:
                if not _fits(self._disk, directory, place):
                    place, known = Place(), {}
                totals = dict(known)
                for number, entry in self._tail(name, place, size, question.holding, there=there):
                    for row, time, request, region in self._find(entry):
                        if question.asks(row):
                            new = Sum(1, time, time, number, request, region)
                            old = totals.get(row[4])
                            totals[row[4]] = new if old is None else old.plus(new)
            except (Damaged, FileNotFoundError):
                if attempt == _ATTEMPTS - 1 or not (there or covered(self._disk, directory) != size):
                    raise
                continue
            if _is_there(self._disk, directory, place) if there else covered(self._disk, directory) == size:
                return totals
        raise AuditUnavailable(f"the audit log {name} goes on too fast to be read: try again")

    def _ask_book(self, directory: Path, question: "_Question") -> tuple[Place, Totals]:
        """What the book says; one that says nothing is its keeper's to mend."""
        with suppress(BookError):
            book = self._books.open(directory)
            if book is not None:
                with closing(book):
                    return question.ask(book)
        return Place(), {}

    def _tail(
        self, name: str, place: Place, size: int, holding: bytes, *, there: bool
    ) -> Iterator[tuple[int, bytes]]:
        """The entries after a book's place that hold some bytes."""
        directory = self._root / name
        if there:
            yield from beyond(self._disk, directory, place, holding)
            return
        if size - place.position > self._most_behind:
            raise AuditUnavailable(
                f"the last uses are still being read from the audit log {name} "
                f"({place.position:,} of {size:,} entries): try again later"
            )
        for index in range(place.position // TILE_WIDTH, -(-size // TILE_WIDTH)):
            width = partial_width(size, 0, index)
            for place_in, frame in enumerate(prune.kept(self._disk, directory, index, width) or ()):
                number = index * TILE_WIDTH + place_in
                if number >= place.position and holding in frame:
                    yield number, frame[2:]
        yield from beyond(self._disk, directory, Place(max(place.position, size)), holding)


class _Question(NamedTuple):
    """What is asked of each log."""

    holding: bytes  # in every entry that counts
    ask: Callable[[Book], tuple[Place, Totals]]
    asks: Callable[[Row], bool]  # whether a row is asked about


def _of_principal(arn: str) -> _Question:
    # An entry names a role, or a session of it: what follows the last colon of the role's ARN is in both.
    holding = arn.rpartition(":")[2].encode()
    return _Question(
        holding, lambda book: book.of_principal(arn), lambda row: row[2] == arn and row[3] is not None
    )


class _Row:
    """A `Sum` that grows."""

    __slots__ = ("count", "entry", "first", "region", "request", "time")

    def __init__(self, first: int) -> None:
        self.first = first
        self.count = self.time = self.entry = 0
        self.request = self.region = ""

    def include(self, other: "_Row") -> None:
        """Add up what another one has."""
        self.count += other.count
        self.first = min(self.first, other.first)
        if other.entry >= self.entry:
            self.time, self.entry = other.time, other.entry
            self.request, self.region = other.request, other.region

    def sum(self) -> Sum:
        """What it has grown to."""
        return Sum(self.count, self.first, self.time, self.entry, self.request, self.region)


class _Tally:
    """Adds up what entries tell of, from a place in the log on."""

    def __init__(self, find: Find, start: int) -> None:
        self.start = self.position = start
        self.last: bytes | None = None  # entry
        self.rows: dict[Row, _Row] = {}
        self._find = find

    def take(self, entries: Sequence[bytes], uses: Sequence[Sequence[Used] | None]) -> None:
        """Add the next entries, and what they tell of where that is known."""
        rows, number = self.rows, self.position
        for found in uses:
            if found is None:
                found = self._find(entries[number - self.position])  # noqa: PLW2901 - now it is known
            for key, time, request, region in found:
                row = rows.get(key)
                if row is None:
                    row = rows[key] = _Row(time)
                row.count += 1
                row.time, row.entry, row.request, row.region = time, number, request, region
            number += 1
        self.position = number
        if entries:
            self.last = entries[-1]

    def sums(self) -> Sums:
        """What was added up, by key and by caller."""
        keys: dict[tuple[str, int, str, str], Sum] = {}
        callers: dict[tuple[str, str, str], _Row] = {}
        for (key, version, principal, access_key, action), row in self.rows.items():
            if key:
                use, new = (key, version, principal, action), row.sum()
                keys[use] = keys[use].plus(new) if use in keys else new
            if access_key is not None:
                caller = callers.get((principal, access_key, action))
                if caller is None:  # of very many rows there are few callers
                    caller = callers[principal, access_key, action] = _Row(row.first)
                caller.include(row)
        return Sums(keys, {name: caller.sum() for name, caller in callers.items()})

    def begin(self) -> None:
        """Go on from here with nothing added up."""
        self.rows.clear()
        self.start = self.position


def _add(sums: "dict[K, Sum]", more: "Mapping[K, Sum]") -> None:
    for key, new in more.items():
        old = sums.get(key)
        sums[key] = new if old is None else old.plus(new)


def is_log(disk: Disk, directory: Path) -> bool:
    """Whether it is a log that has begun: its first checkpoint, of nothing, comes before its first entry."""
    names = disk.names(directory)
    return checkpoint.FILE in names or FOLDER in names


def _mark(entry: bytes) -> bytes:
    """What tells an entry from every other: all have a request id or a time."""
    return sha256(entry).digest()[:16]


def _is_there(disk: Disk, directory: Path, place: Place) -> bool:
    """Whether the segment in which a book ends is there and lives the same life."""
    if not place.identity:
        return False
    with suppress(FileNotFoundError), closing(_open_segment(disk, directory, place.sequence)) as file:
        return segment.identity_of(file) == place.identity
    return False


def _fits(disk: Disk, directory: Path, place: Place) -> bool:
    """Whether a book is of this log and its present history."""
    if place.position == 0 or _is_there(disk, directory, place):
        return True
    size = covered(disk, directory)
    return place.position <= size and _mark(_entry(disk, directory, place.position - 1, size)) == place.mark


def _entry(disk: Disk, directory: Path, number: int, size: int) -> bytes:
    """One entry under the checkpoint; empty when it was pruned."""
    index, place = divmod(number, TILE_WIDTH)
    frames = prune.kept(disk, directory, index, partial_width(size, 0, index))
    return b"" if frames is None else frames[place][2:]


def _entries(disk: Disk, directory: Path, start: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
    """Committed entries, some at a time, from the tiles, and from the segments where no checkpoint is yet.

    Those that were pruned are empty.
    """
    size = covered(disk, directory)
    while start < min(size, stop):
        index, place = divmod(start, TILE_WIDTH)
        frames = prune.kept(disk, directory, index, partial_width(size, 0, index))
        if frames is None:
            frames = [bytes(2)] * TILE_WIDTH
        entries = [frame[2:] for frame in frames[place : place + stop - start]]
        yield start, entries
        start += len(entries)
    if start < stop:
        found = [entry for number, entry in beyond(disk, directory, Place(start), b"") if number < stop]
        if len(found) < stop - start:
            raise Damaged(start, segment.FOLDER, "a newer checkpoint has taken the segments away")
        yield start, found


def _open_segment(disk: Disk, directory: Path, sequence: int) -> File:
    return disk.open(directory / segment.FOLDER / segment.file_name(sequence))


def beyond(disk: Disk, directory: Path, place: Place, holding: bytes) -> list[tuple[int, bytes]]:
    """The entries from a place on that hold some bytes, from the segments alone, with their numbers.

    Where two segments have the same index the later one is right (`segment`).
    """
    found: list[tuple[int, bytes]] = []
    reached = place.position
    for sequence in segment.sequences(disk, directory):
        if sequence < place.sequence:
            continue
        name = segment.file_name(sequence)
        begins = place.offset if sequence == place.sequence else segment.HEADER_BYTES
        with closing(_open_segment(disk, directory, sequence)) as file:
            for batch in segment.batches_from(file, segment.identity_of(file), begins, name):
                if batch.first > reached:
                    raise Damaged(reached, f"{segment.FOLDER}/{name}", "the records before it are missing")
                while found and found[-1][0] >= batch.first:
                    found.pop()
                reached = batch.end
                if reached > place.position and holding in batch.records:
                    frames = segment.frames_of(batch.records)[0]
                    found += [
                        (number, frame[2:])
                        for number, frame in enumerate(frames, batch.first)
                        if number >= place.position and holding in frame
                    ]
    return found
