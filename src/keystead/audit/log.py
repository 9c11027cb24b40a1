"""One process's audit log: append, commit, and the answer may leave.

    log = Log.open(directory, origin="keystead-example/w0", signer=signer, disk=LocalDisk(), clock=clock,
                   random=os.urandom, notice=notice, executor=ThreadPoolExecutor(1))
    index = log.append(entry)
    log.commit()  # durable now
    log.tend()    # about once a second

**The way of a record.** `append` puts it into a list. `commit` writes the list as one batch into the
current segment (`segment`), syncs it, and adds the records' hashes to the tree's right edge. Full tiles
pile up in memory; `tend` has the *helper* (one background thread; without one, the same steps run inline)
write them, then partial tiles and a signed checkpoint. A segment whose records are all under a durable
checkpoint is released: it becomes the next spare, or goes. The loop itself waits for the disk in `commit`
only.

**When the disk fails.** A batch that could not be written and synced is refused as a whole, its segment is
never written again (`segment` says why), and the log is *failed*: everything is refused at once. It heals
into a fresh segment, at the index of the batch that was refused, with a *notice* as the first record: only
when that is durable does the log take records again. The first attempt is made on the spot, later ones by
`tend`, at most every 250 ms. When there is no next segment (a full disk), the last 4 KiB of the current
one take a notice that the log stopped.

Between the failed sync and the first good write, nothing can be recorded, not even that the batch was
refused: if the process ends there, the next start may find the batch whole and cannot know. Its answers
never left, so the log then says too much, never too little. Zeros are written over its beginning at once,
which settles it unless the power goes as well.

A disk that hangs, instead of failing, hangs `commit`: a system call cannot be interrupted from inside the
process. Supervisors notice a worker that stops answering; nothing leaves meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, Protocol, Self, TypeVar, cast

from keystead.audit import checkpoint as checkpoints
from keystead.audit import prune
from keystead.audit import segment as segments
from keystead.audit.checkpoint import Checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.logkeys import SigningKeys
from keystead.audit.recovery import Recovered, recover
from keystead.audit.segment import Segment
from keystead.audit.tiles import ENTRIES, Shelf, read_file, tile_path
from keystead.core.disk import Disk, File
from keystead.core.errors import AuditUnavailable, ConfigError, DataDamaged, TooLarge
from keystead.core.ports import Clock, Random, Used
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH
from keystead.crypto.note import InvalidNote, NoteSigner

T = TypeVar("T")

MAX_ENTRY_BYTES: Final = 65_535  # a C2SP entry bundle has 16-bit lengths
MAX_NOTICE_BYTES: Final = 4_000
MIN_SEGMENT_BYTES: Final = 16_384
_RESERVE: Final = 4_096  # room for one notice at the end of every segment
_HEAL_SECONDS: Final = 0.25
_SPARE_SECONDS: Final = (
    0.3  # three times this is how long a commit waits for a segment that is being prepared
)
_SEGMENT_SECONDS: Final = 86_400.0  # in use at most: what is pruned must not live on in a segment
_CLOSE_SECONDS: Final = 10.0
_MAX_UNRELEASED: Final = 8  # segments; beyond, tiles are too far behind to go on piling up
_REASON_CHARACTERS: Final = 300
_LOCK: Final = "lock"
_CURE: Final = "see what `keystead verify` says, and restore the log's directory from a backup"


class Event(StrEnum):
    """What a notice is about."""

    RECOVERED = "recovered"  # the log ended in a batch that was being written when the process or power went
    REKEYED = "rekeyed"  # from now on another key signs the checkpoints
    STOPPED = "stopped"  # no next segment: the log takes no more records
    RESUMED = "resumed"  # the log takes records again


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the log must say about itself, as a record among the others."""

    event: Event
    index: int  # of the record that the notice becomes
    reason: str  # at most 300 characters; the new verifier key (REKEYED)
    dropped_bytes: int  # of an unfinished batch (RECOVERED)
    refused: int  # records refused since the log last worked (STOPPED, RESUMED)


NoticeEntry = Callable[[Notice], bytes]
"""Makes a notice's record: at most 4,000 bytes, without side effects, never raising."""


class Committed(NamedTuple):
    """Records that have just become durable, and the place in the segments where the next ones will stand."""

    first: int
    entries: list[bytes]
    uses: list[Sequence[Used] | None]  # of keys, by entry; None where whoever appended it did not say
    sequence: int  # of the segment
    identity: bytes  # of the segment
    offset: int


class Follower(Protocol):
    """What hears of every record; used on the log's own thread, and must neither raise nor wait."""

    def heard(self, batch: Committed) -> None:
        """Take note of what was committed. Part of every commit, so it must cost next to nothing."""
        ...

    def tend(self) -> None:
        """Do something about it; called about once a second."""
        ...

    def close(self) -> None:
        """The log is closed: the last chance, which may take a while."""
        ...


class _Retired(NamedTuple):
    """A segment that is not written any more."""

    segment: Segment
    end: int  # the index after its last record that counts
    suspect: bool  # a write to it failed: never recycled


@dataclass(slots=True)
class _Publishing:
    """Tiles and a checkpoint on their way to the disk."""

    size: int
    names: list[str]
    done: "Future[str]"


class Log:
    """An `AuditLog` on C2SP tiles. Not for use by several threads."""

    def __init__(
        self,
        directory: Path,
        *,
        origin: str,
        keys: Callable[[], SigningKeys],
        disk: Disk,
        clock: Clock,
        random: Random,
        notice: NoticeEntry,
        segment_bytes: int,
        checkpoint_seconds: float,
        executor: Executor | None,
        lock: File,
        found: Recovered,
    ) -> None:
        """Only `open` makes one."""
        self._directory = directory
        self._wal = directory / segments.FOLDER
        self._origin = origin
        self._keys = keys
        self._disk = disk
        self._clock = clock
        self._random = random
        self._notice = notice
        self._segment_bytes = segment_bytes
        self._checkpoint_seconds = checkpoint_seconds
        self._executor = executor
        self._lock = lock

        # The records: those that count, and those that wait for a commit.
        self._size = found.tree.size
        self._tree = found.tree
        self._bundle = found.bundle
        self._full: dict[str, bytes] = {}  # full tiles that are not durable yet, by name
        self._pending: list[bytes] = []
        self._pending_uses: list[Sequence[Used] | None] = []
        self._pending_bytes = 0

        # The segments.
        self._sequence = found.replay.sequence
        self._segment: Segment | None = None
        self._offset = 0
        self._segment_since = 0.0
        self._limit = segment_bytes - _RESERVE
        self._spare: Segment | None = None
        self._preparing: Future[Segment] | None = None
        self._releasing: Future[Segment | None] | None = None
        self._retired: deque[_Retired] = deque()
        self._stale: list[str] = []  # names of segments that only need to be removed

        # The checkpoint.
        self._signing = keys()
        self._rekeyed = False  # the records do not say yet with which key they are signed
        signed = found.checkpoint
        self._signed = signed.size if signed else -1
        self._shelf = Shelf(disk, directory, [name for name, _ in self._partial()])
        self._publishing: _Publishing | None = None
        self._publish_at = 0.0

        # The state of health.
        self._failure = ""
        self._refused = 0
        self._heal_at = 0.0
        self._closed = False
        self._trouble: dict[str, str] = {}  # what the helper last failed at, by part
        self.replayed = range(self._size, self._size)
        self._follower: Follower | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        origin: str,
        signer: NoteSigner,
        disk: Disk,
        clock: Clock,
        random: Random,
        notice: NoticeEntry,
        segment_bytes: int = 16 << 20,
        checkpoint_seconds: float = 1.0,
        executor: Executor | None = None,
        keys: Callable[[], SigningKeys] | None = None,
    ) -> Self:
        """Own the log in ``directory``, new or as it was left, and bring it in order.

        Raises `AuditUnavailable` when another process owns it or the disk fails, and `DataDamaged` when it
        does not check out. ``signer`` may have any name: it signs as ``origin``. Where it may be replaced while
        the log is open, ``keys`` tells what signs now; it is asked in every `tend`, and must give the same object
        as long as nothing has changed. ``executor`` should have two
        threads: one writes tiles while the other prepares segments; without one, all is done inline.
        ``replayed`` are then the records that the last owner had not yet covered by a checkpoint.
        """
        for event in Event:
            sample = Notice(event, 1 << 63, "\U0001f511" * _REASON_CHARACTERS, 1 << 63, 1 << 63)
            if len(notice(sample)) > MAX_NOTICE_BYTES:
                raise ConfigError(f"the record of a {event} notice has over {MAX_NOTICE_BYTES} bytes")
        if segment_bytes < MIN_SEGMENT_BYTES or segment_bytes % segments.ALIGNMENT:
            raise ConfigError(f"audit segments have at least {MIN_SEGMENT_BYTES} bytes, in multiples of 8")
        keys = keys or SigningKeys((signer,)).itself
        try:
            _make_durably(disk, directory)
            lock = disk.lock(directory / _LOCK)
        except BlockingIOError:
            raise AuditUnavailable(f"the audit log {directory} is in use by another process") from None
        except OSError as error:
            raise AuditUnavailable(f"the audit log {directory} cannot be opened: {error}") from None
        try:
            found = recover(disk, directory, keys().ring(origin))
            log = cls(
                directory,
                origin=origin,
                keys=keys,
                disk=disk,
                clock=clock,
                random=random,
                notice=notice,
                segment_bytes=segment_bytes,
                checkpoint_seconds=checkpoint_seconds,
                executor=executor,
                lock=lock,
                found=found,
            )
            log._begin(found)
        except Damaged as damage:
            _let_go(lock)
            raise DataDamaged(_explain(directory, damage)) from None
        except OSError as error:
            _let_go(lock)
            raise AuditUnavailable(f"the audit log {directory} cannot be opened: {error}") from None
        return log

    def follow(self, follower: Follower) -> None:
        """From now on tell of every commit. The first that is told of are the records under no checkpoint yet."""
        self._follower = follower
        entries = list(self.entries(self._signed, self._size))
        self._tell(self._current, entries, [None] * len(entries))

    def append(self, entry: bytes, uses: Sequence[Used] | None = None) -> int:
        """Buffer one entry and return its index; ``uses`` is what the follower would find in it.

        Raises `TooLarge` for an entry that no log could hold, and `AuditUnavailable` while the log is failed
        or closed, or when one commit would not fit into a segment.
        """
        if self._failure:
            self._refused += 1
            raise AuditUnavailable(self._failure)
        size = len(entry) + 2
        if size > MAX_ENTRY_BYTES + 2:
            raise TooLarge(f"an audit entry of {len(entry)} bytes: at most {MAX_ENTRY_BYTES} fit")
        if self._pending_bytes + size > self._limit - segments.HEADER_BYTES - segments.BATCH_HEADER_BYTES:
            raise AuditUnavailable("too many audit entries wait for one commit")
        self._pending_bytes += size
        self._pending.append(entry)
        self._pending_uses.append(uses)
        return self._size + len(self._pending) - 1

    def commit(self) -> None:
        """Make everything appended so far durable, or raise `AuditUnavailable`: then none of it counts."""
        if self._failure:
            raise AuditUnavailable(self._failure)
        entries = self._pending
        if not entries:
            return
        frames = [len(entry).to_bytes(2, "big") + entry for entry in entries]
        segment = self._current
        # With its header and padding.
        if (
            self._offset + self._pending_bytes + segments.BATCH_HEADER_BYTES + segments.ALIGNMENT
            > self._limit
        ):
            try:
                segment = self._advance()
            except OSError as error:
                self._fail(f"there is no room for more audit records: {error}", suspect=False)
        batch = segments.encode(segment, self._size, frames)
        try:
            segment.file.write(batch, self._offset)
            segment.file.sync()
        except OSError as error:
            self._fail(f"the audit log cannot be written: {error}", suspect=True)
        # Durable: from here on nothing may raise.
        self._offset += len(batch)
        uses, self._pending_uses = self._pending_uses, []
        self._pending = []
        self._pending_bytes = 0
        self._grow(entries, frames)
        self._tell(segment, entries, uses)
        if self._spare is None and self._offset > self._limit // 2:
            self._prepare()

    def tend(self) -> None:
        """Heal, publish tiles with a checkpoint, release and prepare segments. Signs, but does not wait."""
        if self._closed:
            return
        self._collect()
        if self._failure:
            self._heal()
        self._rekey()
        if self._publishing is None and self._clock.monotonic() >= self._publish_at:
            self._publish()
        if self._spare is not None and not self._retired and self._is_old():
            self._advance()
        self._release()
        if self._spare is None and (not self._retired or self._offset > self._limit // 2):
            self._prepare()
        self._collect()
        if self._follower is not None:
            self._follower.tend()

    def close(self) -> None:
        """Commit, sign a last checkpoint, let go of the files; raises `AuditUnavailable` if that failed.

        After a good close nothing but tiles, the checkpoint and a spare segment is left.
        """
        if self._closed:
            return
        self._closed = True
        failure = ""
        try:
            self.commit()
            self._rekey()
        except AuditUnavailable as error:
            failure = str(error)
        self._settle()
        if self._publishing is None:
            self._publish()
        self._settle()
        if self._signed == self._size:
            if self._segment is not None:
                self._retired.append(_Retired(self._segment, self._size, suspect=False))
                self._segment = None
            self._release()
            self._settle()
        left = [self._segment, self._spare, *(retired.segment for retired in self._retired)]
        for file in (*(segment.file for segment in left if segment is not None), self._lock):
            _let_go(file)
        if self._follower is not None:
            self._follower.close()
        if self._signed != self._size:
            failure = (
                failure or self.trouble or "the last checkpoint is not on disk: the disk does not answer"
            )
        self._failure = failure
        if failure:
            raise AuditUnavailable(failure)
        self._failure = "the audit log is closed"

    def entries(self, start: int, stop: int, holding: bytes = b"") -> Iterator[bytes]:
        """The committed entries from ``start`` up to ``stop``; costs one file for every 256 of them.

        Files in which the bytes ``holding`` do not occur may be passed over whole, which makes a search of
        many entries for few of them some ten times faster; so are those that were pruned. Raises `DataDamaged`
        when a file does not hold what it should.
        """
        start, stop = max(0, start), min(stop, self._size)
        while start < stop:
            index, place = divmod(start, TILE_WIDTH)
            name = tile_path(ENTRIES, index)
            if index == self._size // TILE_WIDTH:
                frames = self._bundle
            elif name in self._full:
                frames = segments.frames_of(self._full[name])[0]
            elif not holding or holding in self._read(index):
                frames = self._stored(index)
            else:
                frames = []
            for frame in frames[place : place + stop - start]:
                yield frame[2:]
            start += TILE_WIDTH - place

    def _read(self, index: int) -> bytes:
        """A bundle's bytes from the disk; none of what was pruned."""
        try:
            return read_file(self._disk, self._directory, ENTRIES, index, TILE_WIDTH)[1]
        except Damaged as damage:
            if index in prune.stated(self._disk, self._directory):
                return b""
            raise DataDamaged(_explain(self._directory, damage)) from None

    def _stored(self, index: int) -> list[bytes]:
        """A bundle's entries from the disk; none of what was pruned."""
        try:
            return prune.kept(self._disk, self._directory, index, TILE_WIDTH) or []
        except Damaged as damage:
            raise DataDamaged(_explain(self._directory, damage)) from None

    @property
    def healthy(self) -> bool:
        """Whether the next append is expected to succeed."""
        return not self._failure

    @property
    def trouble(self) -> str:
        """What the disk refuses at the moment, even while the log still works; empty when nothing."""
        return "; ".join(text for text in (self._failure, *self._trouble.values()) if text)

    @property
    def size(self) -> int:
        """How many entries are committed."""
        return self._size

    @property
    def signed(self) -> int:
        """How many entries the newest durable checkpoint covers."""
        return self._signed

    @property
    def _current(self) -> Segment:
        return cast("Segment", self._segment)  # none only while failed, when nothing is written

    def _begin(self, found: Recovered) -> None:
        """Bring a log that was just read in order; after this nothing depends on old segments.

        (1) The records beyond the checkpoint into tiles, under a new checkpoint: the old segments may hold
        pages that were read from the cache but never reached the disk. (2) A fresh segment. (3) If a batch
        was cut off, a notice of it. (4) Only then the old segments, with the evidence, may go.
        """
        replay = found.replay
        # Where the crash was between this start's checkpoint and the record of the key, only the statement tells.
        self._rekeyed = found.checkpoint is not None and not self._signed_by_this()
        frames = found.tail
        start = self._size
        self._grow([frame[2:] for frame in frames], frames)
        self.replayed = range(start, self._size)
        if self._signed != self._size:
            self._shelf.publish(*self._tiles(), self._note())
            self._full.clear()
            self._signed = self._size
        recycle = next((name for name, size in replay.unused.items() if size == self._segment_bytes), None)
        self._sequence += 1
        self._segment = segments.prepare(
            self._disk,
            self._wal,
            self._sequence,
            self._segment_bytes,
            self._random(segments.IDENTITY_BYTES),
            recycle=recycle,
        )
        self._offset = segments.HEADER_BYTES
        self._segment_since = self._clock.monotonic()
        if replay.torn:
            reason = f"{replay.torn_file} ended in an unfinished batch, which was never acknowledged"
            self._write_notice(self._segment, Event.RECOVERED, reason, replay.torn)
        segments.remove(self._disk, self._wal, [name for name in replay.names if name != recycle])
        self._publish_at = self._clock.monotonic() + self._checkpoint_seconds

    def _grow(self, entries: list[bytes], frames: list[bytes]) -> None:
        """Add durable records to the tree."""
        bundle, tree = self._bundle, self._tree
        for entry, frame in zip(entries, frames, strict=True):
            bundle.append(frame)
            full = tree.append(sha256(b"\x00" + entry).digest())
            if full:
                self._full[tile_path(ENTRIES, full[0][1])] = b"".join(bundle)
                bundle.clear()
                for level, index, data in full:
                    self._full[tile_path(level, index)] = data
        self._size = tree.size

    def _tell(self, segment: Segment, entries: list[bytes], uses: list[Sequence[Used] | None]) -> None:
        """Tell the follower, if there is one, of the newest records."""
        if self._follower is not None:
            first = self._size - len(entries)
            self._follower.heard(
                Committed(first, entries, uses, segment.sequence, segment.identity, self._offset)
            )

    # --- segments ------------------------------------------------------------------------------------------

    def _advance(self) -> Segment:
        """Go on in the next segment; raises OSError when there is none."""
        segment = self._take_spare(_SPARE_SECONDS)
        self._retired.append(_Retired(self._current, self._size, suspect=False))
        self._segment = segment
        self._offset = segments.HEADER_BYTES
        self._segment_since = self._clock.monotonic()
        return segment

    def _is_old(self) -> bool:
        """Whether the segment in use has held its first records for long."""
        if self._segment is None or self._offset == segments.HEADER_BYTES:
            return False
        return self._clock.monotonic() - self._segment_since >= _SEGMENT_SECONDS

    def _take_spare(self, seconds: float) -> Segment:
        if len(self._retired) >= _MAX_UNRELEASED:
            # Tiles are far behind: slow down rather than refuse, and refuse rather than grow.
            if self._publishing is None:
                self._publish()
            _wait([self._publishing.done if self._publishing else None], seconds)
            self._collect()
            self._release()
            if len(self._retired) >= _MAX_UNRELEASED:
                raise OSError(
                    f"{len(self._retired)} segments wait for tiles; {self.trouble or 'the disk is slow'}"
                )
        for _ in range(2):  # the helper may first have to end a release, or tell of an old failure
            if self._spare is None:
                self._prepare()
                _wait([self._preparing, self._releasing], seconds)
                self._collect_segments()
        segment, self._spare = self._spare, None
        if segment is None:
            raise OSError(self.trouble or "the next segment is not ready")
        return segment

    def _prepare(self) -> None:
        """Have the next segment made, unless one is on its way."""
        if self._preparing is None and self._releasing is None:
            self._sequence += 1
            sequence, identity = self._sequence, self._random(segments.IDENTITY_BYTES)
            self._preparing = self._start(
                lambda: segments.prepare(self._disk, self._wal, sequence, self._segment_bytes, identity)
            )

    def _release(self) -> None:
        """Let go of the segments that a durable checkpoint covers; one of them becomes the next spare."""
        if self._releasing is not None or self._preparing is not None:
            return
        going = []
        while self._retired and self._retired[0].end <= self._signed:
            going.append(self._retired.popleft())
        if not going and not self._stale:
            return
        recycle = None
        if self._spare is None and going and not going[-1].suspect:
            # The newest: those before it are removed first, so what a crash leaves is never older.
            recycle = going[-1].segment.path.name
        names = self._stale + [retired.segment.path.name for retired in going]
        self._stale = names
        self._sequence += 1
        sequence, identity = self._sequence, self._random(segments.IDENTITY_BYTES)

        def release() -> Segment | None:
            for retired in going:
                _let_go(retired.segment.file)
            segments.remove(self._disk, self._wal, [name for name in names if name != recycle])
            if recycle is None:
                return None
            return segments.prepare(
                self._disk, self._wal, sequence, self._segment_bytes, identity, recycle=recycle
            )

        self._releasing = self._start(release)

    def _collect_segments(self) -> None:
        """Take over what the helper has made ready."""
        if self._preparing is not None and self._preparing.done():
            job, self._preparing = self._preparing, None
            try:
                self._spare = job.result()
                self._trouble.pop("segments", None)
            except OSError as error:
                self._trouble["segments"] = f"the next segment cannot be prepared: {error}"
        if self._releasing is not None and self._releasing.done():
            release, self._releasing = self._releasing, None
            try:
                self._spare = release.result() or self._spare
                self._stale = []
                self._trouble.pop("old segments", None)
            except OSError as error:
                self._trouble["old segments"] = f"old segments cannot be removed: {error}"

    # --- tiles and checkpoint ------------------------------------------------------------------------------

    def _partial(self) -> list[tuple[str, bytes]]:
        """The tiles and the bundle that are not full."""
        tiles = [
            (tile_path(level, index, len(data) // HASH_BYTES), data)
            for level, index, data in self._tree.partial()
        ]
        if self._bundle:
            name = tile_path(ENTRIES, self._tree.size // TILE_WIDTH, len(self._bundle))
            tiles.append((name, b"".join(self._bundle)))
        return tiles

    def _tiles(self) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
        return list(self._full.items()), self._partial()

    def _note(self) -> bytes:
        """A checkpoint of all that counts, which is durable: no later one will contradict it."""
        text = Checkpoint(self._origin, self._size, self._tree.root()).text()
        signer, *others = (signer.named(self._origin) for signer in self._signing.signers)
        return signer.sign(text) + b"".join(other.line(text) for other in others)

    def _rekey(self) -> None:
        """Go over to another key, if there is one; the record of that comes before its first checkpoint."""
        keys = self._keys()
        if keys is not self._signing:
            self._rekeyed = self._rekeyed or keys.vkey != self._signing.vkey
            if not self._rekeyed:
                self._signing = keys
        # What waits for a commit is its owner's: if this one failed, the owner would never hear of it.
        if not self._rekeyed or self._failure or self._pending:
            return
        notice = self._notice(Notice(Event.REKEYED, self._size, keys.vkey, 0, self._refused))
        with suppress(AuditUnavailable):  # then the next time
            self.append(notice, ())
            self.commit()
            self._signing, self._rekeyed = keys, False

    def _signed_by_this(self) -> bool:
        """Whether the checkpoint that was found is the present key's."""
        verifier = self._signing.signers[0].verifier.named(self._origin)
        try:
            verifier.verify(self._disk.read(self._directory / checkpoints.FILE))
        except InvalidNote:
            return False
        return True

    def _publish(self) -> None:
        """Have the tiles written and a checkpoint over them, if there is anything new."""
        self._publish_at = self._clock.monotonic() + self._checkpoint_seconds
        if self._signed == self._size:
            return
        full, partial = self._tiles()
        note = self._note()
        names = [name for name, _ in full]
        self._publishing = _Publishing(
            self._size, names, self._start(lambda: self._shelf.publish(full, partial, note))
        )

    def _collect(self) -> None:
        """Take over what the helper has finished."""
        self._collect_segments()
        job = self._publishing
        if job is None or not job.done.done():
            return
        self._publishing = None
        try:
            self._trouble["tiles"] = job.done.result()
        except OSError as error:
            self._trouble["tiles"] = f"tiles cannot be written: {error}"
            return
        self._signed = job.size
        for name in job.names:
            del self._full[name]

    def _settle(self) -> None:
        """Wait for the helper, before closing."""
        publishing = self._publishing.done if self._publishing is not None else None
        _wait([publishing, self._preparing, self._releasing], _CLOSE_SECONDS)
        self._collect()

    # --- failing and healing -------------------------------------------------------------------------------

    def _fail(self, reason: str, *, suspect: bool) -> NoReturn:
        """Refuse the batch and everything after it, and try to heal at once."""
        self._refused += len(self._pending)
        self._pending = []
        self._pending_uses = []
        self._pending_bytes = 0
        self._failure = failure = reason[:_REASON_CHARACTERS]
        segment, self._segment = self._current, None
        try:
            if suspect:
                # Best effort for a process that ends before the log heals; see the module's docstring.
                segment.file.write(bytes(segments.BATCH_HEADER_BYTES), self._offset)
                segment.file.sync()
            else:
                self._write_notice(segment, Event.STOPPED, failure, 0)
        except OSError:
            suspect = True
        self._retired.append(_Retired(segment, self._size, suspect))
        self._heal()
        raise AuditUnavailable(failure)

    def _heal(self) -> None:
        """Begin a fresh segment with a notice; when that is durable the log works again."""
        now = self._clock.monotonic()
        if now < self._heal_at:
            return
        self._heal_at = now + _HEAL_SECONDS
        try:
            segment = self._take_spare(0)
        except OSError as error:
            self._trouble["segments"] = str(error)
            return
        self._offset = segments.HEADER_BYTES
        self._segment_since = self._clock.monotonic()
        try:
            self._write_notice(segment, Event.RESUMED, self._failure, 0)
        except OSError as error:
            self._trouble["segments"] = f"the audit log cannot be written: {error}"
            self._retired.append(_Retired(segment, self._size, suspect=True))
            return
        self._segment = segment
        self._failure = ""
        self._refused = 0

    def _write_notice(self, segment: Segment, event: Event, reason: str, dropped: int) -> None:
        """Write a record about the log itself, as a batch of its own, past what `append` may use."""
        entry = self._notice(Notice(event, self._size, reason, dropped, self._refused))
        frames = [len(entry).to_bytes(2, "big") + entry]
        batch = segments.encode(segment, self._size, frames)
        segment.file.write(batch, self._offset)
        segment.file.sync()
        self._offset += len(batch)
        self._grow([entry], frames)
        self._tell(segment, [entry], [()])

    def _start(self, work: Callable[[], T]) -> "Future[T]":
        """Have the helper do it; without a helper it is done when this returns."""
        if self._executor is not None:
            return self._executor.submit(work)
        job: Future[T] = Future()
        try:
            job.set_result(work())
        except OSError as error:
            job.set_exception(error)
        return job


def _let_go(file: File) -> None:
    """Close a file in which nothing is left to lose: what counts was synced."""
    with suppress(OSError):
        file.close()


def _explain(directory: Path, damage: Damaged) -> str:
    return f"{directory / damage.file}: {damage.problem}, at record {damage.index}; {_CURE}"


def _wait(jobs: Sequence[Future[Any] | None], seconds: float) -> None:
    """Wait until the jobs that there are have ended, well or badly, or the time is up."""
    wait([job for job in jobs if job is not None], timeout=seconds)


def _make_durably(disk: Disk, directory: Path) -> None:
    """Make the log's directories. What holds the instance's logs may be missing, the data directory not.

    The parents are synced even when a directory was there: a process that was killed may have made it, or
    renamed a checkpoint into place, and not come to the sync.
    """
    for folder in (directory.parent, directory, directory / segments.FOLDER):
        disk.mkdir(folder)
        disk.sync(folder.parent)
