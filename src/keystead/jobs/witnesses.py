"""Has this installation's audit logs witnessed: each log's newest checkpoint goes to each witness every few seconds.

The job has a thread of its own, since it waits for other machines. Nothing waits for it: a witness that does not
answer is a warning, and is left alone for a while that doubles, five minutes at most. A witness that answers that it
has seen *another* log than this one is an error that somebody must look at: the data directory was set back to an
older copy, or has a twin that runs elsewhere.

    submit(submission, "w0", post) -> Outcome(Found.COSIGNED, size=5017)
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTP_PORT, HTTPS_PORT
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock
from keystead.core.witness import WitnessStatus
from keystead.crypto.note import InvalidNote
from keystead.network.deadline import Deadline
from keystead.network.http import Target, Unreachable, ask
from keystead.observe.log import Log

DEADLINE_SECONDS: Final = 5.0
ANSWER_BYTES: Final = 65_536
LONGEST_PAUSE: Final = 300.0
TARGET: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
_DIGITS: Final = 19


class NoAnswer(Exception):
    """The witness cannot be reached, or its answer is none. The text is for the operator."""


class Submission(Protocol):
    """What one witness is told of the logs, and what it has said of them (`keystead.audit.witness`)."""

    def logs(self) -> list[str]:
        """The logs that there are."""
        ...

    def newest(self, log: str) -> tuple[int, bytes]:
        """The size and the note of a log's newest checkpoint."""
        ...

    def seen(self, log: str) -> int:
        """The size of the largest checkpoint beside a log that the witness has cosigned; -1 for none."""
        ...

    def request(self, log: str, note: bytes, old: int) -> bytes:
        """What the witness is asked; ``old`` is the size that it saw last, and no larger than the note's."""
        ...

    def accept(self, log: str, note: bytes, lines: bytes) -> None:
        """Take what the witness has answered; raises `InvalidNote` unless it has cosigned this note."""
        ...


class Found(StrEnum):
    """What a witness says of a log's newest checkpoint."""

    COSIGNED = "cosigned"
    UNKNOWN = "unknown"  # it does not witness this log, or does not know its key
    ROLLED_BACK = "rolled-back"  # it has seen more records than there are
    FORKED = "forked"  # it has seen other records


class Outcome(NamedTuple):
    """What a witness says, and why in words."""

    found: Found
    size: int  # of the checkpoint that it was asked about
    at: int = 0  # the first record that is not what it has seen, or not provably so
    why: str = ""


Post = Callable[[bytes], tuple[int, str, bytes]]
"""Carries a request to a witness; returns status, content type and body of the answer, or raises `NoAnswer`."""


class Carrier:
    """A `Post` to a witness's submission prefix."""

    def __init__(self, url: str, trust: ssl.SSLContext, clock: Clock) -> None:
        address = urlsplit(url)
        secure = address.scheme == "https"
        port = address.port or (HTTPS_PORT if secure else HTTP_PORT)
        self._target = Target(secure, address.hostname or "", port, f"{address.path.rstrip('/')}{TARGET}")
        self._trust = trust
        self._clock = clock

    def __call__(self, body: bytes) -> tuple[int, str, bytes]:
        """Send one request."""
        try:
            answer = ask(
                self._target, self._trust, Deadline(self._clock, DEADLINE_SECONDS), ANSWER_BYTES, body=body
            )
        except Unreachable as error:
            raise NoAnswer(str(error)) from None
        return answer.status, answer.headers.get_content_type(), answer.body


def submit(submission: Submission, log: str, post: Post) -> Outcome:
    """Ask a witness to cosign a log's newest checkpoint, on from the last one that it is known to have seen.

    Raises `NoAnswer`, and `DataDamaged` when the log cannot be read.
    """
    size, note = submission.newest(log)
    old = agreed = min(max(0, submission.seen(log)), size)
    status, kind, answer = post(submission.request(log, note, old))
    if status == HTTPStatus.CONFLICT and kind == SIZE_TYPE:
        old = _size(answer)
        if old > size:
            why = f"the witness has seen {old} records of {log}, which has {size}: the log was rolled back"
            return Outcome(Found.ROLLED_BACK, size, size, why)
        status, kind, answer = post(submission.request(log, note, old))
    if status == HTTPStatus.OK:
        try:
            submission.accept(log, note, answer)
        except InvalidNote as error:
            raise NoAnswer(f"its answer is no cosignature of its key: {error}") from None
        return Outcome(Found.COSIGNED, size)
    if status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY) and kind != SIZE_TYPE:
        why = (
            f"the witness has seen other records of {log} than are there, among the first {old}: the log was "
            f"forked, between record {agreed} and there"
        )
        return Outcome(Found.FORKED, size, agreed, why)
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        why = f"the witness does not know the log {log}, or its key: it must be configured there"
        return Outcome(Found.UNKNOWN, size, 0, why)
    raise NoAnswer(f"it answers {status}")


@dataclass(slots=True)
class Watcher:
    """One witness: how it is reached, what it is told, and how it fares."""

    name: str
    post: Post
    submission: Submission
    seconds: float  # between two looks
    status: WitnessStatus = field(default_factory=WitnessStatus)
    due: float = 0.0
    pause: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)  # sizes, by log


class Witnesses:
    """See the module."""

    def __init__(self, watchers: Sequence[Watcher], clock: Clock, log: Log) -> None:
        self._watchers = watchers
        self._clock = clock
        self._log = log

    def statuses(self) -> Mapping[str, WitnessStatus]:
        """How the witnesses fare, by name. Any thread."""
        return {watcher.name: watcher.status for watcher in self._watchers}

    def run_once(self) -> int:
        """Ask those that are due; returns how many checkpoints were cosigned."""
        done = 0
        for watcher in self._watchers:
            now = self._clock.monotonic()
            if now < watcher.due:
                continue
            before = watcher.status
            cosigned, trouble, alarming = self._ask(watcher)
            done += cosigned
            watcher.pause = min(max(watcher.pause * 2, watcher.seconds), LONGEST_PAUSE) if trouble else 0.0
            watcher.due = self._clock.monotonic() + max(watcher.pause, watcher.seconds)
            watcher.status = WitnessStatus(
                watcher.status.lag,
                before.cosigned + cosigned,
                before.failures + bool(trouble),
                trouble,
            )
            if trouble and trouble != before.trouble:
                say = self._log.error if alarming else self._log.warning
                say("a witness has not cosigned the audit logs", component=watcher.name, reason=trouble)
            elif before.trouble and not trouble:
                self._log.info("a witness cosigns the audit logs again", component=watcher.name)
        return done

    def _ask(self, watcher: Watcher) -> tuple[int, str, bool]:
        """How many checkpoints were cosigned, what is wrong, and whether it is about the log."""
        done, trouble, alarming, lag = 0, "", False, dict[str, int]()
        try:
            for log in watcher.submission.logs():
                size, _ = watcher.submission.newest(log)
                seen = watcher.seen.get(log)
                seen = watcher.submission.seen(log) if seen is None else seen
                lag[log] = size - max(0, seen)
                if size == seen:
                    continue
                outcome = submit(watcher.submission, log, watcher.post)
                if outcome.found is Found.COSIGNED:
                    watcher.seen[log], lag[log], done = outcome.size, 0, done + 1
                    continue
                trouble = trouble or outcome.why
                alarming = alarming or outcome.found is not Found.UNKNOWN
        except NoAnswer as error:
            trouble = trouble or str(error)
        except KeysteadError as error:
            trouble = trouble or f"{error.code}: {error}"
        watcher.status = WitnessStatus({**watcher.status.lag, **lag}, *_rest(watcher.status))
        return done, trouble, alarming


def _rest(status: WitnessStatus) -> tuple[int, int, str]:
    return status.cosigned, status.failures, status.trouble


def _size(answer: bytes) -> int:
    """The size in an answer of 409."""
    text = answer.decode("ascii", "replace").removesuffix("\n")
    if not text.isdecimal() or not text.isascii() or len(text) > _DIGITS:
        raise NoAnswer("it answers 409 without a size")
    return int(text)
