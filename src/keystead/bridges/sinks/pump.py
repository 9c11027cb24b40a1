"""One sink's work: take what is new in every log, render it, deliver it, and only then remember that.

    pump = Pump(sink, follower, cursors, letters, name="siem", kind="syslog", clock=clock, random=os.urandom)
    pump.run(stop)      # a thread's whole life; `status` may be asked from any other

One `Pump.turn` goes once round the logs:

1. The next entries after the cursor, as many as one delivery takes. Intents are passed over unless the form is
   ``keystead``; an entry that cannot be rendered goes alone, and is parked.
2. `Sink.deliver`. `Retry` ends the turn, and the same comes again, later and later. What is `Rejected` is delivered in
   halves, until the event that it is about stands alone; that one is parked: it goes into the dead letters, and the
   receiver gets an event that says so in its place. A receiver that refuses this one as well refuses everything,
   whatever the event (a wrong port does, or a proxy): that is `Retry`, and nothing more is parked.
3. The position moves, also when only the first of a batch were taken before a failure. The cursor on disk follows at
   most once a second while there is much to do, and at once when there is not: after a crash a receiver may get a
   second's worth of events twice, and the disk, which others need for their answers, is left alone.
4. A checkpoint event, when enough entries have gone since the last one, or the log is quiet. It is delivered when
   everything that the checkpoint covers has been.

Each log is apart: one that cannot be read is reported, and the others go on.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from keystead.bridges.renderings import RENDERINGS, announces
from keystead.bridges.renderings.facts import Event
from keystead.bridges.sinks.cursor import Cursor, CursorDamaged, Cursors, mark_of
from keystead.bridges.sinks.deadletter import DeadLetters, Letter
from keystead.bridges.sinks.port import Message, Notice, Rejected, Retry, Sink
from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock, Random
from keystead.service import entry as entries
from keystead.service.entry import OK, Entry

BATCH_ENTRIES: Final = 500
BATCH_BYTES: Final = 1 << 20
POLL_SECONDS: Final = 0.25
_SAVE_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = 0.5
_MOST_BACKOFF: Final = 60.0
_MOST_AFTER: Final = 600.0
_REASON_CHARACTERS: Final = 300
_DELIVERIES: Final = 8  # in an overlap
_RECENT_SECONDS: Final = 3600.0  # for which it is told that events were parked
COMPLETE: Final = "keystead"
"""The form that gets every entry, so that whoever takes it can prove that none is missing."""


class Signed(Protocol):
    """A log's newest checkpoint."""

    @property
    def origin(self) -> str:
        """The log's name for ever: ``keystead-.../w0``."""
        ...

    @property
    def size(self) -> int:
        """How many entries it covers."""
        ...

    @property
    def root(self) -> str:
        """The root of their tree, base64."""
        ...

    @property
    def note(self) -> str:
        """The whole of it, with its signatures."""
        ...


class Follower(Protocol):
    """The logs, as `keystead.audit.follow` reads them. Raises `KeysteadError`."""

    def logs(self) -> list[str]:
        """The names of the logs that there are by now."""
        ...

    def read(self, log: str, position: int, limit: int) -> list[tuple[int, bytes]]:
        """Settled entries from a position on, in order, each with its index."""
        ...

    def signed(self, log: str) -> Signed:
        """The newest checkpoint of a log."""
        ...


class Status(msgspec.Struct, frozen=True):
    """How a sink is doing."""

    name: str
    kind: str
    lag_entries: int = 0  # that are in the logs and not with the receiver
    lag_seconds: float = 0.0  # how long the oldest of them has waited
    delivered: int = 0  # entries that were taken, since the process began; what came twice counts twice
    errors: int = 0  # deliveries that failed
    parked: int = 0  # events that the receiver has refused for good, and that it was told of in their place
    parking: str = ""  # what was parked lately, in words; empty when nothing was for an hour
    last_error: str = ""  # empty when the last delivery succeeded
    last_error_time: float = 0.0  # Unix seconds
    last_delivery_time: float = 0.0


class _Line:
    """One log, as far as this sink is."""

    __slots__ = ("behind", "cursor", "floor", "origin", "passed", "pending", "saved", "since", "waiting")

    def __init__(self, cursor: Cursor, origin: str) -> None:
        self.cursor = cursor
        self.saved = cursor
        self.origin = origin
        self.floor = cursor.position  # below, nothing is known of which entries were passed over
        self.passed: list[int] = []  # the indexes of those passed over since the last checkpoint event
        self.since = 0  # entries since the last checkpoint event
        self.pending: Signed | None = None  # a checkpoint that will be told of
        self.behind = 0
        self.waiting = 0.0  # since when the oldest entry waits; 0 when none does


class _Batch(NamedTuple):
    """Entries that go together."""

    messages: list[Message]
    unfit: str  # why the one entry that there is cannot be rendered; empty when all can be
    passed: list[int]
    last: tuple[int, bytes]  # index and entry


class _Progress:
    """How far a delivery has got."""

    __slots__ = ("done", "taken")

    def __init__(self) -> None:
        self.done = 0  # messages, from the first on, that need not be sent again
        self.taken = 0  # those of them that the receiver has


class _Parking(NamedTuple):
    """What has been parked lately. One value, since another thread reads it."""

    many: int = 0
    time: float = 0.0  # of the last one; Unix seconds
    reason: str = ""
    until: float = float("-inf")  # when it is no longer lately, by the monotonic clock


class Pump:
    """Carries the logs to one sink. For one thread, but for `status`."""

    def __init__(
        self,
        sink: Sink,
        follower: Follower,
        cursors: Cursors,
        letters: DeadLetters,
        *,
        name: str,
        kind: str,
        form: str = COMPLETE,
        clock: Clock,
        random: Random,
        checkpoint_entries: int = 1000,
        batch_entries: int = BATCH_ENTRIES,
        batch_bytes: int = BATCH_BYTES,
        notice: Notice = lambda _: None,
    ) -> None:
        """``notice`` hears when events begin to be refused, and not of each."""
        self._sink = sink
        self._follower = follower
        self._cursors = cursors
        self._letters = letters
        self._name = name
        self._kind = kind
        self._render = RENDERINGS[form]
        self._complete = form == COMPLETE
        self._clock = clock
        self._random = random
        self._checkpoint_entries = checkpoint_entries
        # What a receiver that dies may lose is of the last deliveries: the overlap must be some of them.
        self._batch_entries = (
            min(batch_entries, sink.overlap // _DELIVERIES or 1) if sink.overlap else batch_entries
        )
        self._batch_bytes = batch_bytes
        self._lines: dict[str, _Line] = {}
        self._unread: dict[str, str] = {}  # why a log cannot be read
        # Names of events that have a letter, and of whose refusal the receiver has not been told yet: they come
        # again and need no second letter. Those in `_final` must not be sent again; it says why they were refused.
        self._kept: set[str] = set()
        self._final: dict[str, str] = {}
        self._parking = _Parking()
        self._notice = notice
        self._saved_at = clock.monotonic()
        self._delivered = self._errors = self._parked = 0
        self._last_error = ""
        self._last_error_time = self._last_delivery_time = 0.0

    # --- a thread's life -----------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop, whatever happens."""
        failures = 0
        try:
            while not stop.is_set():
                try:
                    busy = self.turn()
                except Exception as error:  # noqa: BLE001 - whatever a receiver or a bug does, the sink goes on trying
                    failures += 1
                    self.failed(error)
                    stop.wait(self.pause(failures, error))
                    continue
                failures = 0
                if not busy:
                    stop.wait(POLL_SECONDS)
        finally:
            with suppress(OSError):  # the receiver gets some of it again, then
                self.save()
            self._sink.close()

    def failed(self, error: Exception) -> None:
        """Note what went wrong. A stranger's text may hold anything, so of what is not ours only the kind is told."""
        known = isinstance(error, (Retry, KeysteadError, OSError))
        told = str(error) if known else f"{type(error).__name__}, which nothing expected"
        self._errors += 1
        self._last_error = told[:_REASON_CHARACTERS]
        self._last_error_time = self._clock.now()

    def pause(self, failures: int, error: Exception) -> float:
        """Seconds to leave a receiver alone: longer each time, never quite the same, and as long as it asked for."""
        most = min(_MOST_BACKOFF, _BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))
        share = int.from_bytes(self._random(2), "big") / 0x10000
        asked = min(error.after, _MOST_AFTER) if isinstance(error, Retry) else 0.0
        return max(asked, most / 2 * (1 + share))

    def status(self) -> Status:
        """How it is doing; any thread."""
        lines = list(self._lines.values())
        waiting = [line.waiting for line in lines if line.waiting]
        return Status(
            self._name,
            self._kind,
            lag_entries=sum(line.behind for line in lines),
            lag_seconds=max(0.0, self._clock.now() - min(waiting)) if waiting else 0.0,
            delivered=self._delivered,
            errors=self._errors,
            parked=self._parked,
            parking=self._told(),
            last_error=self._last_error,
            last_error_time=self._last_error_time,
            last_delivery_time=self._last_delivery_time,
        )

    def _told(self) -> str:
        many, time, reason, until = self._parking
        if not many or self._clock.monotonic() >= until:
            return ""
        last = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"events parked lately: {many:,}, the last at {last}: {reason}"

    # --- one turn ------------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Deliver what is new, one batch of each log; whether there was anything. Raises `Retry` and `OSError`."""
        busy = False
        for log in self._follower.logs():
            try:
                line = self._lines.get(log) or self._begin(log)
                found = self._advance(log, line)
                self._tell(log, line, quiet=not found)
            except KeysteadError as error:
                if self._unread.get(log) != str(error):
                    self._unread[log] = str(error)
                    self.failed(error)
            else:
                self._unread.pop(log, None)
                busy = busy or found
        if not busy or self._clock.monotonic() >= self._saved_at + _SAVE_SECONDS:
            self.save()
        self._last_error = "; ".join(self._unread.values())[:_REASON_CHARACTERS]
        return busy

    def save(self) -> None:
        """Write down how far each log is, where that has changed."""
        for line in self._lines.values():
            if line.saved != line.cursor:
                self._cursors.save(line.cursor)
                line.saved = line.cursor
        self._saved_at = self._clock.monotonic()

    def _begin(self, log: str) -> _Line:
        """Where the last process stopped; the beginning, for a log of another history than the cursor's."""
        try:
            cursor = self._cursors.load(log)
            why = ""
        except CursorDamaged as damage:
            cursor, why = Cursor(self._name, log), f"the cursor was damaged ({damage})"
        origin = self._follower.signed(log).origin
        if not self._is_of(log, cursor):
            why = f"the log has not the entries that were delivered up to {cursor.position}"
            cursor = Cursor(self._name, log)
        line = _Line(cursor, origin)
        if why:
            detail = f"everything is delivered again from the beginning: {why}"
            self._deliver([self._own("keystead:SinkRestarted", line, "restarted", 0, detail)], _Progress())
        overlap = min(self._sink.overlap, cursor.position)
        if overlap:
            self._sink.remember(self._again(log, line, cursor.position - overlap))
        self._lines[log] = line
        return line

    def _is_of(self, log: str, cursor: Cursor) -> bool:
        """Whether a log has the history that a cursor is of, as far as it still has it."""
        if not cursor.position:
            return True
        last = cursor.position - 1
        before = self._follower.read(log, last, 1)
        if before and before[0][0] == last:
            return mark_of(before[0][1]) == cursor.mark
        return bool(before) or self._follower.signed(log).size > last  # it was pruned

    def _again(self, log: str, line: _Line, position: int) -> list[Message]:
        """The messages that were delivered from a position on."""
        messages: list[Message] = []
        while position < line.cursor.position:
            found = self._follower.read(log, position, line.cursor.position - position)
            found = [(index, entry) for index, entry in found if index < line.cursor.position]
            if not found:  # they were pruned
                break
            batch = self._batch(line, found)
            messages += [] if batch.unfit else batch.messages
            position = batch.last[0] + 1
        return messages

    def _advance(self, log: str, line: _Line) -> bool:
        """Deliver the next entries of a log, if there are any."""
        position = line.cursor.position
        found = self._follower.read(log, position, self._batch_entries)
        line.behind = max(self._follower.signed(log).size - position, len(found))
        if not found:
            line.behind = 0
            line.waiting = 0.0
            return False
        if found[0][0] > position:
            detail = f"the entries from {position} up to {found[0][0]} were pruned before they were delivered"
            self._deliver([self._own("keystead:EventsPruned", line, "pruned", position, detail)], _Progress())
        if not line.waiting:
            line.waiting = entries.moment(found[0][1]) or self._clock.now()
        batch = self._batch(line, found)
        progress = _Progress()
        try:
            if batch.unfit:
                self._park(batch.messages[0], batch.unfit, progress)
            else:
                self._deliver(batch.messages, progress)
        finally:  # what was taken before a failure does not come again and again with what was not
            self._move(line, found, batch, progress)
        return True

    def _move(
        self, line: _Line, found: Sequence[tuple[int, bytes]], batch: _Batch, progress: _Progress
    ) -> None:
        """Move the position past what is done."""
        left = batch.messages[progress.done :]
        position = left[0].about.index if left else batch.last[0] + 1
        before = position - 1 - found[0][0]
        if before < 0:
            return
        entry = found[before][1]
        passed = [index for index in batch.passed if index < position]
        line.passed += passed
        many = position - line.cursor.position
        line.since += many
        line.cursor = msgspec.structs.replace(
            line.cursor, position=position, mark=mark_of(entry), passed=line.cursor.passed + len(passed)
        )
        line.behind = max(0, line.behind - many)
        line.waiting = entries.moment(entry) if line.behind else 0.0
        self._delivered += progress.taken
        if progress.taken:
            self._last_delivery_time = self._clock.now()

    def _batch(self, line: _Line, found: Sequence[tuple[int, bytes]]) -> _Batch:
        """As many of the entries as one delivery takes, at least one."""
        messages: list[Message] = []
        passed: list[int] = []
        size = 0
        last = found[0]
        for index, entry in found:
            try:
                if not self._complete and announces(entry):
                    passed.append(index)
                else:
                    name = f"{line.origin}/{index}"
                    about = Event(entries.decode(entry), line.origin, index)
                    body = self._render(entry, name)
                    size += len(body)
                    if messages and size > self._batch_bytes:
                        break
                    messages.append(Message(about, body))
            except msgspec.DecodeError as error:
                if messages or passed:  # those first: it is told of in its place
                    break
                unfit = Message(Event(Entry(), line.origin, index), entry)
                return _Batch([unfit], f"it cannot be rendered: {error}", [], (index, entry))
            last = index, entry
        return _Batch(messages, "", passed, last)

    def _tell(self, log: str, line: _Line, *, quiet: bool) -> None:
        """Deliver a checkpoint event, if it is time and everything that it covers has been delivered."""
        if line.pending is None and (quiet or line.since >= self._checkpoint_entries):
            signed = self._follower.signed(log)
            if signed.size > line.cursor.told and signed.size >= line.floor:
                line.pending = signed
        signed_ = line.pending
        if signed_ is None or signed_.size > line.cursor.position:
            return
        beyond = [index for index in line.passed if index >= signed_.size]
        passed = line.cursor.passed - len(beyond)
        subject = f"{signed_.size} {signed_.root} {passed}"
        self._deliver(
            [self._own("keystead:AuditCheckpoint", line, "checkpoint", signed_.size, signed_.note, subject)],
            _Progress(),
        )
        line.pending = None
        line.passed = beyond
        line.since = 0
        line.cursor = msgspec.structs.replace(line.cursor, told=signed_.size)

    # --- delivering ----------------------------------------------------------------------------------------

    def _deliver(self, messages: Sequence[Message], progress: _Progress) -> None:
        """Have them delivered, and park those that never can be; raises `Retry` when not all of them were."""
        while messages and (why := self._final.get(messages[0].about.name)) is not None:
            self._park(messages[0], why, progress)
            messages = messages[1:]
        if not messages:
            return
        try:
            self._sink.deliver(messages)
        except Rejected as rejected:
            if len(messages) > 1 and rejected.whole:
                half = len(messages) // 2
                self._deliver(messages[:half], progress)
                self._deliver(messages[half:], progress)
                return
            reason = str(rejected)
            if not rejected.whole:
                self._final.update((message.about.name, reason) for message in messages)
            for message in messages:  # all of them are safe before the receiver hears of the first
                self._keep(message, reason)
            for message in messages:
                self._park(message, reason, progress)
        else:
            progress.done += len(messages)
            progress.taken += len(messages)
            if self._kept:  # what it had refused, perhaps
                self._kept.difference_update(message.about.name for message in messages)

    def _keep(self, message: Message, reason: str) -> None:
        """Put an event into the dead letters, once however often it is refused; raises `Retry` when that fails."""
        name = message.about.name
        if name in self._kept:
            return
        body = message.body.decode("utf-8", "backslashreplace")
        letter = Letter(name, self._name, self._clock.now(), reason[:_REASON_CHARACTERS], body)
        try:
            self._letters.add(letter)
        except OSError as error:
            raise Retry(f"the dead letters cannot be written: {error.strerror}") from None
        self._kept.add(name)
        self._lately(letter.reason)

    def _park(self, message: Message, reason: str, progress: _Progress) -> None:
        """Put an event away that is in the way, and tell the receiver so in its place.

        It counts as parked only when the receiver has taken that. One that refuses even this looks at no event.
        """
        self._keep(message, reason)
        about = message.about
        reason = reason[:_REASON_CHARACTERS]
        own = self._event("keystead:EventParked", f"{about.origin}/parked", about.index, reason, about.name)
        try:
            self._sink.deliver([own])
        except Rejected as again:
            raise Retry(f"it refuses every event, even the one that tells of a refusal: {again}") from None
        self._kept.discard(about.name)
        self._final.pop(about.name, None)
        self._parked += 1
        self._lately(reason, parked=1)
        progress.done += 1

    def _lately(self, reason: str, *, parked: int = 0) -> None:
        """Note that something was refused. The first time in an hour somebody hears of it."""
        now = self._clock.monotonic()
        begins = now >= self._parking.until
        parking = (_Parking() if begins else self._parking)._replace(until=now + _RECENT_SECONDS)
        if parked:
            parking = parking._replace(many=parking.many + parked, time=self._clock.now(), reason=reason)
        self._parking = parking
        if begins:
            self._notice(reason)

    def _own(
        self, action: str, line: _Line, what: str, index: int, detail: str, subject: str = ""
    ) -> Message:
        return self._event(action, f"{line.origin}/{what}", index, detail, subject)

    def _event(self, action: str, origin: str, index: int, detail: str, subject: str) -> Message:
        """An event of the sink's own: in the form of an entry, but in no log."""
        time = int(self._clock.now() * 1e6)
        made = Entry(action=action, detail=detail, outcome=OK, subject=subject, time=time, v=1)
        return Message(Event(made, origin, index), self._render(entries.encode(made), f"{origin}/{index}"))
