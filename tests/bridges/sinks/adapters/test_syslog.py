"""Events to the real rsyslog, over TLS and TCP, that is killed while it takes them: nothing is missing afterwards."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridges.sinks.samples import (
    Certificates,
    RealLog,
    Rsyslog,
    SinkBench,
    SystemClock,
    certificates,
    names,
)
from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.bridges.sinks.adapters.syslog import connect
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.cursor import Cursors
from keystead.bridges.sinks.deadletter import DeadLetters
from keystead.bridges.sinks.port import Retry
from keystead.bridges.sinks.pump import Pump
from keystead.config import Sink as Settings
from keystead.core.errors import ConfigError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for all tests."""
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed when the test has ended."""
    with ExitStack() as made:
        yield made


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(port: int, files: Certificates | None, **options: Any) -> Settings:
    """A sink that sends to a port of loopback."""
    secure = files is not None
    return Settings(
        name="siem",
        kind="syslog",
        url=f"{'tls' if secure else 'tcp'}://127.0.0.1:{port}",
        ca=files.ca if files else None,
        certificate=files.client if files else None,
        key=files.client_key if files else None,
        **options,
    )


class Outcome(NamedTuple):
    """What a receiver that was killed has in the end."""

    census: Census
    lines: int


def deliver_and_kill(
    folder: Path, files: Certificates, *, tls: bool, total: int, kills: int, overlap: int = 1000
) -> Outcome:
    """Deliver a log to rsyslog, killed at intervals; everything that it has written in the end."""
    port = free_port()
    receiver = Rsyslog(folder, files, port, tls=tls)
    log = RealLog(folder)
    log.write(total)
    log.close()
    disk = LocalDisk()
    pump = Pump(
        connect(settings(port, files if tls else None, overlap=overlap), SystemClock(), disk),
        Follower(folder / "audit", disk=disk),
        Cursors(folder / "sinks" / "siem", sink="siem", disk=disk),
        DeadLetters(folder / "sinks" / "siem", disk=disk),
        name="siem",
        kind="syslog",
        clock=SystemClock(),
        random=bytes,
        batch_entries=100,
    )
    stop = threading.Event()
    thread = threading.Thread(target=pump.run, args=(stop,))
    receiver.start()
    thread.start()
    try:
        for kill in range(kills):
            due = total * (kill + 1) // (kills + 1)
            _until(partial(_delivered, pump, due))
            receiver.kill()
            receiver.start()
        _until(lambda: receiver.has(b"/w0/checkpoint/%d" % total))
    finally:
        stop.set()
        thread.join()
        receiver.stop()
    census = Census()
    lines = receiver.lines()
    for fields in lines:
        census.add(fields[-1])
    return Outcome(census, len(lines))


def _delivered(pump: Pump, due: int) -> bool:
    return pump.status().delivered >= due


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 150
    while not true():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.parametrize("tls", [True, False])
def test_nothing_is_missing_after_rsyslog_was_killed_three_times(
    tmp_path: Path, files: Certificates, *, tls: bool
) -> None:
    """What it lost of its memory comes again with the overlap; duplicates are there and can be counted."""
    outcome = deliver_and_kill(tmp_path, files, tls=tls, total=6000, kills=3)
    outcome.census.check()
    assert outcome.census.count("keystead-test/w0") == 6000
    assert 0 < outcome.census.duplicates <= 4 * 1000 + 4 * 100


@pytest.mark.long
@pytest.mark.parametrize("tls", [True, False])
def test_nothing_is_missing_of_a_hundred_thousand(tmp_path: Path, files: Certificates, *, tls: bool) -> None:
    """The long form."""
    outcome = deliver_and_kill(tmp_path, files, tls=tls, total=100_000, kills=10)
    outcome.census.check()
    assert outcome.census.count("keystead-test/w0") == 100_000


def test_a_message_is_what_rfc_5424_says(stack: ExitStack, tmp_path: Path, files: Certificates) -> None:
    """Priority, time, host, program, log and action in the head; name, log and index in the structured data."""
    port = free_port()
    receiver = Rsyslog(tmp_path, files, port, tls=True)
    bench = SinkBench()
    begin(stack, bench, settings(port, files))
    receiver.start()
    try:
        bench.write(1, detail='münchen ]"\\ ')
        bench.write(1, outcome="AccessDenied", action="keystead:" + "X" * 40)
        bench.settle()
        bench.drain()
        _until(lambda: receiver.has(b"checkpoint/2"))
    finally:
        bench.sink.close()
        receiver.stop()
    first, second, last = receiver.lines()
    assert first[:5] == [b"110", socket.gethostname().encode(), b"keystead", b"w0", b"kms:Encrypt"]
    assert first[5] == b"1970-01-12T13:46:40+00:00" or first[5].startswith(b"1970-01-12T13:46:40")
    assert b'event="keystead-test/w0/0" ' in first[6]
    assert b' log="keystead-test/w0" index="0" ' in first[6]
    assert "münchen".encode() in first[7]
    assert second[0] == b"108"
    assert second[4] == b"keystead:" + b"X" * 23
    assert last[3:5] == [b"w0-checkpoint", b"keystead:AuditCheckpoint"]


class Peer:
    """A receiver of our own, for what rsyslog does not do."""

    def __init__(
        self, stack: ExitStack, files: Certificates | None = None, *, reads: bool = True, ask: bool = True
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.reads = reads
        self.received: list[bytes] = []
        self._open: set[socket.socket] = set()
        self._context: ssl.SSLContext | None = None
        if files is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files.server, files.server_key)
            if ask:
                self._context.load_verify_locations(files.ca)
                self._context.verify_mode = ssl.CERT_REQUIRED
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        stack.callback(self.close)

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), ExitStack() as stack:
            stack.callback(connection.close)
            if self._context is not None:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            self._open.add(connection)
            if not self.reads:
                self._done.wait()
            while data := connection.recv(65536):
                self.received.append(data)

    def drop(self) -> None:
        """Close every connection."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Be gone."""
        self._done.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.drop()
        for thread in self._threads:
            thread.join()

    def indexes(self) -> list[int]:
        """The indexes of the entries that came, in order."""
        return [
            int(found)
            for found in re.findall(rb'log="keystead-test/w0" index="(\d+)"', b"".join(self.received))
        ]


def connected(stack: ExitStack, peer: Peer, files: Certificates | None = None, **options: Any) -> SinkBench:
    """A log of three entries and a pump that carries it to the peer."""
    bench = SinkBench()
    begin(stack, bench, settings(peer.port, files, **options))
    bench.write(3)
    bench.settle()
    bench.log.close()
    return bench


def begin(stack: ExitStack, bench: SinkBench, made: Settings) -> None:
    """A new process, with a sink of these settings."""
    bench.sink = connect(made, SystemClock(), LocalDisk())
    stack.callback(bench.sink.close)
    bench.begin()


def _came(peer: Peer, indexes: list[int]) -> None:
    _until(lambda: len(peer.indexes()) >= len(indexes))
    assert peer.indexes() == indexes


@pytest.mark.parametrize("tls", [True, False])
def test_the_overlap_goes_out_again_when_the_connection_is_made_again(
    stack: ExitStack, files: Certificates, *, tls: bool
) -> None:
    """The last events come before the new ones: after a loss of the connection, and in a process after this one."""
    peer = Peer(stack, files if tls else None)
    bench = connected(stack, peer, files if tls else None, overlap=16)
    bench.drain()
    _came(peer, [0, 1, 2])
    peer.drop()
    bench.log = bench.audit.open()
    bench.write(1)
    bench.settle()
    _until(lambda: _lost(bench))
    bench.drain()
    _came(peer, [0, 1, 2, 0, 1, 2, 3])
    bench.sink.close()
    begin(stack, bench, settings(peer.port, files if tls else None, overlap=16))
    bench.write(1)
    bench.settle()
    bench.drain()
    _came(peer, [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4])


def _lost(bench: SinkBench) -> bool:
    """Whether the next delivery finds out that the receiver has closed the connection."""
    try:
        bench.pump.turn()
    except Retry:
        return True
    return False


def turns(bench: SinkBench, many: int, *, new: bool = False) -> None:
    """Deliver so many times, perhaps something new each time."""
    for _ in range(many):
        bench.pump.turn()
        if new:
            bench.write()
            bench.settle()
            time.sleep(0.01)


def test_a_receiver_that_does_not_read_is_given_up_in_time(stack: ExitStack) -> None:
    """Bytes that the other side's system does not take are not delivered, and the wait has an end."""
    peer = Peer(stack, reads=False)
    bench = connected(stack, peer, deadline_seconds=1)
    bench.log = bench.audit.open()
    bench.write(200, detail="x" * 60_000)
    bench.settle()
    with pytest.raises(Retry, match="it has not answered in time"):
        turns(bench, 300)
    assert bench.pump.status().lag_entries > 0


def test_an_overlap_that_does_not_get_through_is_no_connection(stack: ExitStack) -> None:
    """What was remembered comes first; while it cannot leave, nothing new does."""
    peer = Peer(stack, reads=False)
    bench = SinkBench()
    bench.write(200, detail="x" * 60_000)
    bench.settle()
    bench.drain()
    begin(stack, bench, settings(peer.port, None, deadline_seconds=1))
    bench.write()
    bench.settle()
    with pytest.raises(Retry, match="it has not answered in time"):
        bench.drain()
    assert bench.pump.status().delivered == 0


def test_a_receiver_that_is_not_there_is_asked_again_later(stack: ExitStack) -> None:
    """Nobody listens: the cursor stays, and so does the reason."""
    port = free_port()
    bench = SinkBench()
    begin(stack, bench, settings(port, None))
    bench.write()
    bench.settle()
    with pytest.raises(Retry, match="no connection: Connection refused"):
        bench.pump.turn()


def test_a_receiver_that_cannot_prove_itself_gets_nothing(
    stack: ExitStack, files: Certificates, tmp_path: Path
) -> None:
    """A certificate of another authority ends it before a byte of the audit has left."""
    peer = Peer(stack, files, ask=False)
    other = certificates(tmp_path)
    bench = connected(stack, peer, files._replace(ca=other.ca))
    with pytest.raises(Retry, match="does not prove that it is the receiver"):
        bench.pump.turn()
    assert peer.received == []


def test_a_client_without_the_right_certificate_is_turned_away(
    stack: ExitStack, files: Certificates, tmp_path: Path
) -> None:
    """A receiver that asks who we are refuses a stranger; nothing counts as delivered."""
    peer = Peer(stack, files)
    other = certificates(tmp_path)
    bench = connected(stack, peer, files._replace(client=other.client, client_key=other.client_key))
    bench.log = bench.audit.open()
    with pytest.raises(Retry):
        turns(bench, 100, new=True)
    assert peer.received == []


def test_certificates_that_are_none_end_the_start(tmp_path: Path, files: Certificates) -> None:
    """A file that is missing or no certificate is named."""
    with pytest.raises(ConfigError, match=r"cannot be read \(.*nowhere\.pem"):
        connect(settings(1, files._replace(ca=tmp_path / "nowhere.pem")), SystemClock(), LocalDisk())
    with pytest.raises(ConfigError, match="cannot be read"):
        connect(settings(1, files._replace(client=files.client_key)), SystemClock(), LocalDisk())


def test_names_in_the_address_and_default_ports(stack: ExitStack) -> None:
    """A host may have a name; one that has none is a reason to try again."""
    made = Settings(name="s", kind="syslog", url="tls://nowhere.invalid")
    bench = SinkBench()
    begin(stack, bench, made)
    bench.write()
    bench.settle()
    with pytest.raises(Retry, match="no connection: its name has no address"):
        bench.pump.turn()
    assert names(0) == ["keystead-test/w0/0"]
