"""Whatever is done to a log behind its back, `verify` says so and names the first record it concerns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accountlogs import A, B, Bench, seen
from keystead.audit.checkpoint import Checkpoint
from keystead.audit.segment import HEADER_BYTES, Segment, encode, frames_of
from keystead.audit.verify import verify
from keystead.core.disk import Disk
from keystead.core.errors import AuditDamaged, InvalidRequest
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH, Frontier, leaf_hash
from keystead.crypto.note import NoteSigner
from keystead.testing.audit import AuditBench

SIGNED = 2 * TILE_WIDTH + 90
TAIL = 7


def entry(index: int) -> bytes:
    """A record of its own length."""
    return b"record %d " % index + bytes(index % 23)


def fill(bench: AuditBench, slot: str = "w0", tail: int = TAIL) -> None:
    """A log with full and partial tiles of two checkpoints, and a tail that no checkpoint covers."""
    log = bench.open(slot)
    for start, stop in ((0, 500), (500, 560), (560, SIGNED), (SIGNED, SIGNED + tail)):
        for index in range(start, stop):
            log.append(entry(index))
            if index % 10 == 9:
                log.commit()
        log.commit()
        if stop <= SIGNED:
            bench.later()
            log.tend()
    assert (log.signed, log.size) == (SIGNED, SIGNED + tail)
    # Its process is gone now, without closing it.
    bench.disk.revived()


@pytest.fixture(scope="module")
def sound() -> dict[Path, bytes]:
    """The files of such a log."""
    bench = AuditBench()
    fill(bench)
    return {path: bench.disk.read(path) for path in bench.disk.files()}


@pytest.fixture
def bench(sound: dict[Path, bytes]) -> AuditBench:
    """A log to damage."""
    bench = AuditBench()
    restore(bench, sound)
    return bench


def restore(bench: AuditBench, files: dict[Path, bytes]) -> None:
    """Put files on the disk."""
    for path, data in files.items():
        for folder in reversed(path.parents):
            bench.disk.mkdir(folder)
        bench.disk.create(path)
        bench.disk.damage(path, data)


def damage_of(bench: AuditBench) -> tuple[int, str, str]:
    """The first damaged record, the file and the problem."""
    with pytest.raises(AuditDamaged) as caught:
        bench.verify()
    ((log, record, file, problem),) = caught.value.damage
    assert log == "keystead-test/w0"
    assert f"record {record}: {file}: {problem}" in str(caught.value)
    return record, file, problem


def test_a_sound_log_verifies(bench: AuditBench) -> None:
    """The report has the size, the root and the tail of each log; progress is told on the way."""
    told: list[tuple[str, int, int]] = []

    report = verify(
        bench.directory, bench.signer.vkey, disk=bench.disk, progress=lambda *step: told.append(step)
    )

    tree = Frontier()
    for index in range(SIGNED):
        tree.append(leaf_hash(entry(index)))
    assert report.records == SIGNED + TAIL
    assert report.logs == (("keystead-test/w0", SIGNED, tree.root(), TAIL, 0, (), 0, 0, 0),)
    assert told == [("keystead-test/w0", size, SIGNED) for size in (256, 512, SIGNED)]


@pytest.mark.parametrize("key", ["instance", "log"])
def test_the_instance_s_key_and_the_log_s_own_both_do(bench: AuditBench, key: str) -> None:
    """One log is checked with the key of either name."""
    signer = bench.signer if key == "instance" else bench.signer.named("keystead-test/w0")

    assert verify(bench.directory, signer.vkey, disk=bench.disk).records == SIGNED + TAIL


def places(sound: dict[Path, bytes]) -> Iterator[tuple[Path, int, int, int]]:
    """Every record and every hash of a log: its file, where it is, how long it is, and its index."""
    for path, data in sound.items():
        name = str(path)
        if "/tile/entries/" in name:
            number, offset = int(path.name) if ".p" not in name else int(path.parent.name[:-2]), 0
            for place, frame in enumerate(frames_of(data)[0]):
                yield path, offset, len(frame), number * TILE_WIDTH + place
                offset += len(frame)
        elif "/tile/" in name:
            level = int(name.split("/")[4])
            number = int(path.name) if ".p" not in name else int(path.parent.name[:-2])
            for place in range(len(data) // HASH_BYTES):
                index = (number * TILE_WIDTH + place) * TILE_WIDTH**level
                yield path, place * HASH_BYTES, HASH_BYTES, index


def test_a_changed_byte_anywhere_in_a_record_or_hash_is_found(
    bench: AuditBench, sound: dict[Path, bytes]
) -> None:
    """One flipped bit, in each record and hash of each tile, partial ones of older checkpoints included."""
    seen = set()
    for number, (path, offset, length, index) in enumerate(places(sound)):
        if number % 3 and index % TILE_WIDTH not in {0, 89, 255}:
            continue  # a third of them is enough, with all the edges
        changed = bytearray(sound[path])
        changed[offset + number % length] ^= 1 << number % 8
        bench.disk.damage(path, bytes(changed))

        record, file, _ = damage_of(bench)

        assert record == index
        assert bench.directory / file == path
        seen.add(path)
        bench.disk.damage(path, sound[path])
    assert len(seen) == sum("/tile/" in str(path) for path in sound)


def test_records_that_are_cut_out_doubled_or_swapped_are_found(
    bench: AuditBench, sound: dict[Path, bytes]
) -> None:
    """Delete a record, write it twice, or exchange it with its neighbour: the first one moved is named."""
    path = bench.directory / "tile/entries/001"
    frames = frames_of(sound[path])[0]
    for place in range(0, TILE_WIDTH - 1, 5):
        cut = frames[:place] + frames[place + 1 :]
        doubled = frames[: place + 1] + frames[place:]
        swapped = [*frames[:place], frames[place + 1], frames[place], *frames[place + 2 :]]
        for changed, first in ((cut, place), (doubled, place + 1), (swapped, place)):
            bench.disk.damage(path, b"".join(changed))
            assert damage_of(bench)[:2] == (TILE_WIDTH + first, "tile/entries/001")
    bench.disk.damage(path, sound[path] + frames[-1])
    assert damage_of(bench)[:2] == (2 * TILE_WIDTH - 1, "tile/entries/001")


def test_missing_and_short_files_are_found(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """Every file of the log is needed: without it, or with half of it, the log does not verify."""
    for path, data in sound.items():
        name = str(path.relative_to(bench.directory))
        older = name.endswith(("000.p/1", "/48"))  # partial tiles of older checkpoints may go
        if name == "lock" or older:
            continue
        # Of a segment only the header is always in use.
        bench.disk.damage(path, data[: 60 if name.startswith("wal/") else len(data) // 2])
        _, file, _ = damage_of(bench)
        assert file == name
        restore(bench, {path: data})
        if not name.startswith("wal/"):
            bench.disk.remove(path)
            assert damage_of(bench)[1] == name
            restore(bench, {path: data})
    assert bench.verify().records == SIGNED + TAIL


def test_tiles_in_each_other_s_place_are_found(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """Bundles and tiles that are whole but exchanged."""
    for kind, first in (("entries", 0), ("0", 0)):
        one, two = bench.directory / f"tile/{kind}/000", bench.directory / f"tile/{kind}/001"
        bench.disk.damage(one, sound[two])
        bench.disk.damage(two, sound[one])
        assert damage_of(bench)[:2] == (first, f"tile/{kind}/000")
        restore(bench, {one: sound[one], two: sound[two]})


def test_a_consistent_forgery_does_not_lead_to_the_signed_root(
    bench: AuditBench, sound: dict[Path, bytes]
) -> None:
    """Who changes a record with all hashes over it still lacks the signature."""
    forger = AuditBench()
    forged = forger.open()
    for start in range(0, SIGNED, 50):
        for index in range(start, min(start + 50, SIGNED)):
            forged.append(b"forged" if index == 300 else entry(index))
        forged.commit()
    forged.close()
    for path in forger.disk.files():
        if "/tile/" in str(path):
            restore(bench, {path: forger.disk.read(path)})
    for path in sound:
        if "/tile/" in str(path) and path not in forger.disk.files():
            bench.disk.remove(path)

    assert damage_of(bench) == (
        0,
        "checkpoint",
        f"the root it signs is not that of the {SIGNED} records here",
    )


def test_a_checkpoint_by_another_key_or_of_another_log_is_found(bench: AuditBench) -> None:
    """A wrong key, a wrong name and a damaged signature each have their words."""
    stranger = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(AuditDamaged, match="not signed by keystead-test/w0"):
        verify(bench.root, stranger.vkey, disk=bench.disk)
    with pytest.raises(AuditDamaged, match="not signed by keystead-other"):
        verify(bench.directory, bench.signer.named("keystead-other").vkey, disk=bench.disk)
    with pytest.raises(InvalidRequest, match="not a verifier key"):
        verify(bench.root, "rubbish", disk=bench.disk)

    name = bench.directory / "checkpoint"
    other = Checkpoint("keystead-test/w1", 0, bytes(32)).text()
    bench.disk.damage(name, bench.signer.named("keystead-test/w0").sign(other))
    assert damage_of(bench) == (
        0,
        "checkpoint",
        "it is of the log 'keystead-test/w1', not of 'keystead-test/w0'",
    )

    note = bench.signer.named("keystead-test/w 0".replace(" ", "")).sign("keystead-test/w 0\n0\n\n")
    bench.disk.damage(name, note)
    with pytest.raises(AuditDamaged, match="not signed by keystead-test\\+"):
        verify(bench.directory, bench.signer.vkey, disk=bench.disk)


def test_every_log_in_a_directory_is_checked(bench: AuditBench) -> None:
    """With two logs, each has its own report, and the damage of each is listed."""
    fill(bench, "w1", tail=0)
    report = bench.verify()
    assert [(log.origin, log.size, log.tail) for log in report.logs] == [
        ("keystead-test/w0", SIGNED, TAIL),
        ("keystead-test/w1", SIGNED, 0),
    ]

    for slot in ("w0", "w1"):
        bench.disk.remove(bench.root / slot / "checkpoint")
    with pytest.raises(
        AuditDamaged, match=r"log keystead-test/w0, record 0: .*\(1 more logs are damaged\)"
    ) as caught:
        bench.verify()
    assert [(log, file) for log, _, file, _ in caught.value.damage] == [
        ("keystead-test/w0", "checkpoint"),
        ("keystead-test/w1", "checkpoint"),
    ]
    with pytest.raises(AuditDamaged, match="it is missing"):
        verify(bench.directory, bench.signer.vkey, disk=bench.disk)


def two_logs() -> Bench:
    """Two logs, of which the heads beside each say that there are both."""
    bench = Bench()
    other = bench.open("w1")
    bench.write(f"{A} one", f"{B} two")
    other.append(f"{A} three".encode())
    other.commit()
    bench.sign(other)
    bench.trees.update()
    return bench


def remove_log(bench: AuditBench, slot: str) -> None:
    """Remove all files and folders of a log."""
    gone = [path for path in bench.disk.files() if bench.root / slot in path.parents]
    folders = {folder for path in gone for folder in path.parents if bench.root in folder.parents}
    for path in gone:
        bench.disk.remove(path)
    empty = [bench.root / slot / "wal", *folders, bench.root / slot]
    for folder in sorted(set(empty), reverse=True):
        bench.disk.remove(folder)


def test_a_log_that_the_heads_of_others_name_is_missed() -> None:
    """A log that was removed as a whole is named before anything else that is wrong, without any kept head."""
    bench = two_logs()
    assert bench.verify().records == 3
    remove_log(bench, "w1")
    with pytest.raises(AuditDamaged, match="log keystead-test/w1, record 0: : the signed account") as caught:
        bench.verify()
    problem = "the signed account heads beside the log w0 name it, but the log is not here"
    assert caught.value.damage == (("keystead-test/w1", 0, "", problem),)

    bench.disk.remove(bench.directory / "checkpoint")
    with pytest.raises(AuditDamaged) as caught:
        bench.verify()
    assert [log for log, _, _, _ in caught.value.damage] == ["keystead-test/w1", "keystead-test/w0"]


def test_a_single_log_is_checked_without_the_others() -> None:
    """Who has a copy of one log only does not miss the others."""
    bench = two_logs()
    remove_log(bench, "w1")
    assert verify(bench.directory, bench.signer.vkey, disk=bench.disk).records == 2


@pytest.mark.parametrize("spoilt", ["signed by another", "removed"])
def test_a_head_that_is_not_signed_names_no_log(spoilt: str) -> None:
    """Nobody makes a log missing by writing its name down; what is wrong with the head itself is told."""
    bench = two_logs()
    remove_log(bench, "w1")
    for account in (A, B):
        path = bench.directory / "account" / account / "checkpoint"
        note = bench.disk.read(path)
        bench.disk.remove(path)
        if spoilt == "signed by another":
            bench.disk.create(path)
            bench.disk.damage(path, note[:-20] + b"A" * 18 + note[-2:])
    assert bench.verify().records == 2
    if spoilt == "signed by another":
        with pytest.raises(AuditDamaged, match=f"account/{A}/checkpoint: the"):
            verify(bench.root, bench.signer.vkey, disk=bench.disk, seen_by=seen)


def test_one_log_cannot_be_shown_as_another(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """A copy of w0 in the place of w1 is not w1's log."""
    restore(bench, {Path(str(path).replace("/w0/", "/w1/")): data for path, data in sound.items()})

    with pytest.raises(
        AuditDamaged, match="log keystead-test/w1, record 0: checkpoint: the note is not signed"
    ):
        bench.verify()


def test_where_there_is_no_log_nothing_verifies(bench: AuditBench) -> None:
    """An empty place is not a sound log."""
    bench.disk.mkdir(Path("/empty"))
    for place in (Path("/empty"), Path("/nowhere")):
        with pytest.raises(AuditDamaged, match="no log here"):
            verify(place, bench.signer.vkey, disk=bench.disk)


def test_what_cannot_be_read_is_damage(tmp_path: Path) -> None:
    """On the real disk: a checkpoint that is a directory is reported, not a traceback."""
    (tmp_path / "w0" / "checkpoint").mkdir(parents=True)

    with pytest.raises(AuditDamaged, match="cannot be read: Is a directory"):
        verify(tmp_path, AuditBench().signer.vkey)


# --- the segments ------------------------------------------------------------------------------------------


def newest(bench: AuditBench) -> Path:
    """The segment with the tail: the last one whose first batch is of its present life."""
    segments = [path for path in bench.disk.files() if path.suffix == ".seg"]
    return max(path for path in segments if bench.disk.read(path)[16:24] == bench.disk.read(path)[64:72])


def test_a_damaged_batch_with_others_after_it_is_found(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """The write-ahead copy is checked as well: a flip before its last batch names the batch's record."""
    path = newest(bench)
    data = bytearray(sound[path])
    data[HEADER_BYTES + 45] ^= 1
    bench.disk.damage(path, bytes(data))

    record, file, problem = damage_of(bench)

    assert (record, file) == (SIGNED, f"wal/{path.name}")
    assert "damaged, and good ones follow it" in problem


def test_a_write_ahead_record_that_differs_from_its_tile_is_found(bench: AuditBench) -> None:
    """A segment that is whole in itself must still say what the tiles say."""
    path = newest(bench)
    data = bench.disk.read(path)
    segment = Segment(path, bench.disk.open(path), 0, data[16:32], len(data))
    forged = encode(segment, SIGNED - 1, [b"\0\6forged"] * 9)
    bench.disk.damage(path, data[:HEADER_BYTES] + forged.ljust(len(data) - HEADER_BYTES, b"\0"))

    assert damage_of(bench) == (
        SIGNED - 1,
        f"wal/{path.name}",
        "its record is not the one under the checkpoint",
    )


def test_an_unfinished_batch_at_the_end_is_no_damage(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """What was being written when the process went was never acknowledged; the report says so."""
    path = newest(bench)
    data = sound[path]
    place = data.rfind(data[16:24])
    bench.disk.damage(path, data[: place + 44] + b"?" + data[place + 45 :])

    (log,) = bench.verify().logs

    assert log.tail == 0
    assert log.torn > 0


def test_a_log_cut_below_its_tiles_is_found(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """An older checkpoint and an older tail do not hide that there were more records."""
    old = AuditBench()
    log = old.open()
    for index in range(500):
        log.append(entry(index))
        if index % 10 == 9:
            log.commit()
    old.later()
    log.tend()
    bench.disk.damage(bench.directory / "checkpoint", old.disk.read(bench.directory / "checkpoint"))
    for path in sound:
        if path.suffix == ".seg":
            bench.disk.remove(path)

    record, file, problem = damage_of(bench)

    assert (record, file) == (500, "tile/entries/001")
    assert "the log was cut" in problem


def test_a_log_cut_below_its_partial_tiles_is_found() -> None:
    """The same within a bundle that is not full yet."""
    bench = AuditBench()
    log = bench.open()
    notes = []
    for size in (3, 5):
        while log.size < size:
            log.append(b"entry")
            log.commit()
        bench.later()
        log.tend()
        notes.append(bench.disk.read(bench.directory / "checkpoint"))
    bench.disk.damage(bench.directory / "checkpoint", notes[0])
    for path in bench.disk.files():
        if path.suffix == ".seg":
            bench.disk.remove(path)

    assert damage_of(bench)[:2] == (3, "tile/entries/000.p/5")


class Busy:
    """A disk on which a log goes on each time its segments have been listed, before they are read."""

    def __init__(self, bench: AuditBench, times: int) -> None:
        self.bench = bench
        self.log = bench.open()
        self.work()
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench.disk, name)

    def names(self, path: Path) -> list[str]:
        """List a directory, and go on."""
        names = self.bench.disk.names(path)
        if path.name == "wal" and self.times:
            self.times -= 1
            self.work()
        return names

    def work(self) -> None:
        """Two segments full of records, covered by a checkpoint, and their segments released."""
        for _ in range(100):
            self.log.append(b"x" * 200)
            self.log.commit()
        for _ in range(2):
            self.bench.later()
            self.log.tend()


@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_log_in_use_verifies(times: int) -> None:
    """While a log is written, rotated and published, checking it finds nothing wrong."""
    bench = AuditBench()
    disk = Busy(bench, times)

    report = verify(bench.root, bench.signer.vkey, disk=cast("Disk", disk))

    assert report.records == disk.log.size == 100 * (times + 1)
