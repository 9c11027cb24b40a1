"""A log that is gone, set back or replaced is told from one that goes on, whatever it has become since."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from keystead.audit import prune
from keystead.audit.disk import LocalDisk
from keystead.audit.log import Log
from keystead.audit.pins import Logs, Loss, Pin, decode, encode
from keystead.core.errors import DataDamaged
from keystead.crypto.merkle import EMPTY_ROOT
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Fault, PowerCut

Files = dict[Path, bytes]


class Bench(AuditBench):
    """Logs that are held against pins."""

    def logs(self) -> Logs:
        """What looks at them."""
        return Logs(self.root, disk=self.disk, origin=self.signer.name, verifier=lambda: self.signer.verifier)

    def write(self, log: Log, count: int, text: str = "entry") -> None:
        """Entries, under a checkpoint."""
        for number in range(count):
            log.append(f"{text} {number}".encode())
            log.commit()
        self.later()
        log.tend()

    def files(self) -> Files:
        """All files of the logs."""
        return {path: self.disk.read(path) for path in self.disk.files() if self.root in path.parents}

    def put(self, files: Files) -> None:
        """Have these files and no others."""
        for path in self.files():
            self.disk.remove(path)
        for path, data in files.items():
            for folder in reversed(path.parents):
                self.disk.mkdir(folder)
            self.disk.create(path)
            self.disk.damage(path, data)


@pytest.fixture
def bench() -> Bench:
    """No log yet."""
    return Bench()


def test_a_log_is_pinned_and_goes_on(bench: Bench) -> None:
    """A pin is the size and the root of a checkpoint; a log that has gone on from it, over many tiles, is not lost."""
    log = bench.open()
    pins, losses = bench.logs().newest({})
    assert (pins, losses) == ({"w0": Pin(0, EMPTY_ROOT)}, [])
    for count in (3, 300, 1, 260):
        bench.write(log, count)
        assert bench.logs().losses(pins) == []
        pins, losses = bench.logs().newest(pins)
        assert (pins["w0"].size, losses) == (log.size, [])
    report = bench.verify()
    assert pins["w0"] == Pin(report.logs[0].size, report.logs[0].root)


def test_a_log_that_no_checkpoint_covers_yet_is_not_pinned(bench: Bench) -> None:
    """Neither what is no log, nor one that is being made."""
    bench.disk.mkdir(bench.root)
    bench.disk.mkdir(bench.root / "w1")
    bench.disk.create(bench.root / "keys")
    assert bench.logs().newest({}) == ({}, [])

    bench.disk.mkdir(bench.root / "w1" / "tile")
    pins, losses = bench.logs().newest({})
    assert (pins, losses) == ({}, [Loss("w1", "it has no checkpoint, or is not there")])


def test_what_is_lost_is_told_and_keeps_its_pin(bench: Bench) -> None:
    """A log that is gone or set back, and one that others have been put into the place of, though it is longer."""
    first = bench.open()
    bench.write(first, 20)
    older = bench.files()
    bench.write(first, 400)
    pins, _ = bench.logs().newest({})
    newest = bench.files()
    bench.write(first, 1)

    def check(why: str) -> None:
        assert bench.logs().losses(pins) == [Loss("w0", why)]
        assert bench.logs().newest(pins) == (pins, [Loss("w0", why)])

    bench.put({})
    check("it has no checkpoint, or is not there; it had 420 records")
    bench.put(older)
    check("it has 20 records under its checkpoint, and had 420")
    bench.disk.revived()
    again = bench.open()
    bench.write(again, 500, "another")
    check("its first 420 records are not those that it had")
    bench.put(newest)
    assert bench.logs().newest(pins) == (pins, [])


@pytest.mark.parametrize(
    ("file", "spoil", "told"),
    [
        ("checkpoint", lambda data: data.replace(b"\n", b"\n\n", 1), "checkpoint: the "),
        ("tile/0/000", lambda _: None, "tile/0/000: it is missing"),
        ("tile/0/000", lambda data: data[1:], "tile/0/000: it has "),
    ],
)
def test_a_log_that_cannot_be_held_against_its_pin_is_lost(
    file: str, spoil: Callable[[bytes], bytes | None], told: str, bench: Bench
) -> None:
    """What is damaged in it is told."""
    log = bench.open()
    bench.write(log, 200)
    pins, _ = bench.logs().newest({})
    bench.write(log, 200)
    path = bench.directory / file
    data = spoil(bench.disk.read(path))
    bench.disk.remove(path)
    if data is not None:
        bench.disk.create(path)
        bench.disk.damage(path, data)
    (loss,) = bench.logs().losses(pins)
    assert loss.why.startswith(told)


def test_a_log_that_another_key_signs_is_lost(bench: Bench) -> None:
    """Whoever has not the key cannot put a log into its place."""
    bench.write(bench.open(), 5)
    pins, _ = bench.logs().newest({})
    path = bench.directory / "checkpoint"
    text = bench.disk.read(path).rpartition(b"\n\n")[0].decode() + "\n"
    stranger = bench.signer.named("keystead-test/w1")
    bench.disk.damage(path, stranger.sign(text))
    (loss,) = bench.logs().losses(pins)
    assert "not signed by" in loss.why


def test_what_cannot_be_read_is_not_lost(bench: Bench, tmp_path: Path) -> None:
    """A disk that fails is another matter: the log's own process says so, and nothing is pinned meanwhile."""
    (tmp_path / "w0" / "checkpoint").mkdir(parents=True)
    pins = {"w0": Pin(3, bytes(32))}
    real = Logs(tmp_path, disk=LocalDisk(), origin="keystead-test", verifier=lambda: bench.signer.verifier)
    assert real.losses(pins) == []
    assert real.newest(pins) == (pins, [])


def test_pruning_is_no_loss(bench: Bench) -> None:
    """Sizes, roots and hashes are what they were."""
    log = bench.open()
    bench.write(log, 300)
    pins, _ = bench.logs().newest({})
    bench.write(log, 300)
    log.close()
    pruned = prune.NOTHING.plus([0, 1], 1)
    origin = "keystead-test/w0"
    prune.state(bench.disk, bench.directory, bench.signer.named(prune.name(origin)).sign(pruned.text(origin)))
    prune.remove(bench.disk, bench.directory, [0, 1])
    assert bench.verify().logs[0].pruned == 512
    assert bench.logs().losses(pins) == []


def test_only_a_durable_checkpoint_is_pinned(bench: Bench) -> None:
    """One that its log has put into its place and not synced yet is synced, or it is not pinned."""
    log = bench.open()
    bench.write(log, 3)
    before, _ = bench.logs().newest({})
    bench.write(log, 3)
    bench.disk.at(0, Fault.ERROR)
    assert bench.logs().newest(before) == (before, [])
    pins, _ = bench.logs().newest(before)
    assert pins["w0"].size == 6


@pytest.mark.parametrize("seed", range(4))
def test_no_power_cut_takes_a_log_back_below_its_pin(seed: int) -> None:
    """Wherever a log stands in making its tiles and its checkpoint, and what the disk has kept of it."""
    operation = 0
    while True:
        bench = Bench(seed)
        log = bench.open()
        bench.write(log, 250)
        bench.disk.at(operation, Fault.BROKEN)
        with suppress(Exception):
            bench.write(log, 10)
        finished = log.size == 260 == log.signed
        bench.disk.mend()
        pins, losses = bench.logs().newest({})
        assert losses == []
        bench.disk.at(0, Fault.POWER)
        with pytest.raises(PowerCut):
            bench.disk.sync(bench.root)
        bench.disk = bench.disk.restarted()
        assert bench.logs().losses(pins) == []
        bench.open()
        assert bench.logs().losses(pins) == []
        if finished:
            break
        operation += 1


def test_pins_are_text() -> None:
    """They are read as they were written."""
    pins = {"w1": Pin(7, bytes(32)), "control": Pin(0, EMPTY_ROOT)}
    assert decode(encode(pins)) == pins
    assert encode(pins).startswith('{"control":[0,"47DEQ')
    assert decode("{}") == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"w0":[1]}', '{"w0":[1,"?"]}', '{"w0":[1,"AAAA"]}', encode({"w0": Pin(-1, bytes(32))})],
)
def test_what_is_no_pins_is_refused(text: str) -> None:
    """The service does not start on a store that was changed."""
    with pytest.raises(DataDamaged, match="pins of the audit logs do not hold"):
        decode(text)
