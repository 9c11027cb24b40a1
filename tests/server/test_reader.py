"""The control process's side of the reader: a real one, that is killed, and programs that are none."""

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archivehouse import some_entry
from bridges.sinks.samples import HttpReceiver, Request
from keystead.audit.disk import LocalDisk
from keystead.audit.log import Log as AuditLog
from keystead.config import Sink
from keystead.core.errors import InvalidRequest, QueryUnavailable
from keystead.core.query import Question, ReaderStatus
from keystead.crypto.note import NoteSigner
from keystead.observe.log import Log
from keystead.reader.process import LOWEST, NICE
from keystead.server import reader as readers
from keystead.server.reader import ReaderProcess, environment
from keystead.service.entry import encode
from keystead.service.frames import Settings

SECONDS = 30.0


class House:
    """A log on the machine's own disk, and readers of it."""

    def __init__(self, place: Path) -> None:
        import random  # noqa: PLC0415 - only to draw entries

        self.place = place
        self.said = io.StringIO()
        self.readers: list[ReaderProcess] = []
        self.choose = random.Random(1)  # noqa: S311 - a test's choices must repeat
        (place / "audit").mkdir(exist_ok=True)
        self.log = AuditLog.open(
            place / "audit" / "w0",
            origin="keystead-test/w0",
            signer=NoteSigner("keystead-test", Ed25519PrivateKey.generate()),
            disk=LocalDisk(),
            clock=self,
            random=os.urandom,
            notice=lambda _: b"notice",
            segment_bytes=1 << 20,
        )

    def now(self) -> float:
        """The clock."""
        return time.time()

    def monotonic(self) -> float:
        """The same."""
        return time.monotonic()

    def write(self, count: int = 1) -> None:
        """Commit some entries."""
        for number in range(count):
            self.log.append(encode(some_entry(self.choose, int(time.time() * 1e6), number)))
        self.log.commit()

    def settled(self, reader: ReaderProcess, true: Callable[[ReaderStatus], bool]) -> ReaderStatus:
        """What the reader tells, once the log has a checkpoint and that is true."""

        def look() -> ReaderStatus | None:
            self.log.tend()
            status = reader.status()
            return status if true(status) else None

        status: ReaderStatus = until(look)
        return status

    def reader(self, **settings: Any) -> ReaderProcess:
        """A reader, as soon as it answers."""
        told = Settings(self.place / "audit", self.place / "archive", "keystead-test", 256, **settings)
        reader = ReaderProcess(told, log=Log(self.said, "text", time.time), first_seconds=0.01)
        self.readers.append(reader)
        return reader


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An installation's logs."""
    house = House(tmp_path)
    yield house
    for reader in house.readers:
        reader.close()
    house.log.close()


def until(true: Callable[[], Any]) -> Any:
    """Wait until something is true; returns what it was."""
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found


def rows(reader: ReaderProcess) -> int:
    """How many entries are found, once there is a reader."""

    def ask() -> Any:
        try:
            return reader.ask(Question(limit=1000), SECONDS)
        except QueryUnavailable:
            return None

    return len(until(ask).rows)


def test_what_was_committed_is_found_at_once(house: House) -> None:
    """And the reader tells how it fares."""
    reader = house.reader()
    house.write(3)
    assert rows(reader) == 3
    house.write(1)
    assert rows(reader) == 4
    status = house.settled(reader, lambda status: status.recent == 4)
    assert (status.running, status.restarts, status.trouble) == (True, 0, "")


def test_a_question_that_makes_no_sense_is_the_askers_mistake(house: House) -> None:
    """It is told apart from a reader that cannot answer."""
    reader = house.reader()
    rows(reader)
    with pytest.raises(InvalidRequest, match="not by colour"):
        reader.ask(Question(by=("colour",)), SECONDS)


def test_many_may_ask_at_once(house: House) -> None:
    """Each gets its own answer, and beyond a number nobody else may wait."""
    reader = house.reader()
    house.write(5)
    rows(reader)
    found: list[int] = []

    def ask(limit: int) -> None:
        answered = reader.ask(Question(limit=limit), SECONDS)
        found.append(limit * 10 + len(answered.rows))

    threads = [threading.Thread(target=ask, args=(1 + number % 5,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(4 * [11, 22, 33, 44, 55])
    reader._waiting = dict.fromkeys(range(-readers.MOST_WAITING, 0))  # type: ignore[assignment]  # only their number counts
    with pytest.raises(QueryUnavailable, match="Too many"):
        reader.ask(Question(), SECONDS)
    reader._waiting = {}


def test_a_reader_that_is_killed_is_followed_by_another(house: House) -> None:
    """It has everything again, and that one has ended is told."""
    reader = house.reader()
    house.write(3)
    assert rows(reader) == 3
    for times in range(1, 4):
        pid = reader.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: reader.pid not in (0, pid))  # noqa: B023 - it is called at once
        assert rows(reader) == 3
        assert reader.status().restarts == times
    assert house.said.getvalue().count("the reader ended and is started again") == 3


def test_who_waits_for_a_reader_that_is_killed_is_told(house: House) -> None:
    """At once, and not when the time is up."""
    reader = house.reader()
    rows(reader)
    os.kill(reader.pid, signal.SIGSTOP)
    told: list[str] = []

    def ask() -> None:
        try:
            reader.ask(Question(), 300.0)
        except QueryUnavailable as error:
            told.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: reader._waiting)
    os.kill(reader.pid, signal.SIGKILL)
    thread.join(SECONDS)
    assert told == ["The reader ended meanwhile: try again."]


def test_a_reader_that_hangs_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the question has time, and a little."""
    monkeypatch.setattr(readers, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(readers, "CLOSE_SECONDS", 0.1)
    reader = house.reader()
    rows(reader)
    pid = reader.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(QueryUnavailable, match="did not answer in time"):
        reader.ask(Question(), 0.05)
    reader.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_reader_that_falls_silent_is_seen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last word would say for ever that nothing waits."""
    reader = house.reader(sinks=(Sink(name="lines", kind="file", path=house.place / "lines"),))
    assert house.settled(reader, lambda status: "lines" in status.sinks).trouble == ""
    os.kill(reader.pid, signal.SIGSTOP)
    time.sleep(0.1)
    monkeypatch.setattr(readers, "SILENT_SECONDS", 0.1)
    silent = reader.status()
    assert silent.running
    assert "has said nothing for" in silent.trouble
    assert silent.lag_seconds >= 0.1
    assert silent.sinks["lines"].lag_seconds >= 0.1
    os.kill(reader.pid, signal.SIGCONT)


def test_keys_go_first_then_questions_and_the_rest_is_done_in_idle_time(house: House) -> None:
    """A niceness counts within a session only, so the reader must be in that of the service."""
    reader = house.reader(sinks=(Sink(name="lines", kind="file", path=house.place / "lines"),))
    rows(reader)
    assert os.getsid(reader.pid) == os.getsid(0)
    assert os.getpgid(reader.pid) == reader.pid
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, reader.pid) == min(LOWEST, ours + NICE)

    def last() -> set[int]:
        tasks = {int(task.name) for task in Path(f"/proc/{reader.pid}/task").iterdir()}
        # A sandbox that forbids the one leaves the other.
        return {
            task
            for task in tasks
            if os.sched_getscheduler(task) == os.SCHED_IDLE or os.getpriority(os.PRIO_PROCESS, task) == LOWEST
        }

    until(lambda: len(last()) == 2)  # what takes in, and the sink
    assert reader.pid not in last()


def test_it_ends_with_the_process_that_started_it(house: House) -> None:
    """Whatever became of that: the other end of the socket is closed."""
    reader = house.reader()
    rows(reader)
    pid = reader.pid
    assert pid
    reader.close()
    assert not Path(f"/proc/{pid}").exists()
    assert reader.pid == 0


@pytest.mark.parametrize(
    "program",
    [
        ["/nonexistent/program"],
        [sys.executable, "-c", "raise SystemExit(1)"],
        [sys.executable, "-c", "import os, sys; os.write(int(sys.argv[1]), b'\\xff' * 8)"],
    ],
    ids=["missing", "failing", "lying"],
)
def test_a_program_that_is_no_reader_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch, program: list[str]
) -> None:
    """A little later each time, and questions are refused meanwhile."""
    monkeypatch.setattr(readers, "program", lambda _, descriptor: [*program, str(descriptor)])
    reader = house.reader()
    until(lambda: reader.status().restarts >= 3)
    with pytest.raises(QueryUnavailable):
        reader.ask(Question(), SECONDS)
    assert not reader.status().running
    assert "ended" in reader.status().trouble


def test_a_sink_is_fed_and_one_that_cannot_be_opened_is_told_of(house: House) -> None:
    """It keeps neither the other nor questions from their work."""
    good = Sink(name="lines", kind="file", path=house.place / "lines")
    bad = Sink(name="bad", kind="carrier-pigeon")
    reader = house.reader(sinks=(good, bad))
    house.write(3)
    assert rows(reader) == 3
    status = house.settled(reader, lambda status: bool(status.sinks) and status.sinks["lines"].delivered == 3)
    assert status.sinks["lines"].trouble == ""
    assert "carrier-pigeon" in status.sinks["bad"].trouble


def test_a_sink_that_refuses_events_is_told_of(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    """In the status, though nothing waits and nothing fails, and with one line in the log."""
    secret = house.place / "secret"
    secret.write_text("a-secret-of-many-characters")

    def picky(requests: list[Request]) -> tuple[int, dict[str, str], bytes]:
        return (200 if b"EventParked" in requests[-1].body else 400), {}, b""

    with HttpReceiver() as receiver:
        receiver.judge = picky
        hook = Sink(name="hook", kind="webhook", url=receiver.url, secret_file=secret)
        reader = house.reader(sinks=(hook,))
        house.write(3)
        status = house.settled(reader, lambda status: bool(status.sinks) and status.sinks["hook"].parked >= 3)
        reader.close()
    hooked = status.sinks["hook"]
    assert (hooked.delivered, hooked.lag_entries, hooked.errors) == (0, 0, 0)
    assert re.match(
        r"events parked lately: [3-9], the last at 20\S+Z: it answers with status 400", hooked.trouble
    )
    said = [line for line in capfd.readouterr().err.splitlines() if "a sink refuses events" in line]
    assert len(said) == 1
    assert "hook" in said[0]
    assert "it answers with status 400" in said[0]


def test_nothing_of_the_environment_is_handed_on_that_may_be_secret() -> None:
    """A few names that say how texts look and where programs are."""
    given = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "KEYSTEAD_PASSPHRASE": "x",
        "HOME": "x",
        "PATH": "/bin",
        "TZ": "UTC",
    }
    assert environment(given) == {"PATH": "/bin", "TZ": "UTC"}
