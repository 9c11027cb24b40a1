"""Every way to spoil a log, at every place: whatever is done to a record, a hash, a batch or a file, it is found.

The log has full and partial tiles, of several checkpoints, and a tail in its segments that no checkpoint covers.
Each record and each hash is flipped, deleted, doubled, swapped with its neighbour and cut off with all after it; each
file is deleted, emptied, halved, cut by a byte, doubled, exchanged with another, and given a byte more.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import pytest

from keystead.audit.segment import BATCH_HEADER_BYTES, HEADER_BYTES, frames_of
from keystead.audit.verify import verify
from keystead.core.errors import AuditDamaged
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH
from keystead.testing.audit import AuditBench

SIGNED = 2 * TILE_WIDTH + 90
TAIL = 12
HARMLESS = -2
BATCH = Struct(">QII")
OLDER = ("000.p/1", "002.p/48")  # partial tiles of older checkpoints, which may go


def entry(index: int) -> bytes:
    """A record of its own length."""
    return b"record %d " % index + bytes(index % 23)


@pytest.fixture(scope="module")
def sound() -> dict[Path, bytes]:
    """The files of such a log."""
    bench = AuditBench()
    log = bench.open()
    for start, stop in ((0, 500), (500, 560), (560, SIGNED), (SIGNED, SIGNED + TAIL)):
        for index in range(start, stop):
            log.append(entry(index))
            if index % 4 == 3:
                log.commit()
        log.commit()
        if stop <= SIGNED:
            bench.later()
            log.tend()
    assert (log.signed, log.size) == (SIGNED, SIGNED + TAIL)
    return {path: bench.disk.read(path) for path in bench.disk.files()}


class Mutant(NamedTuple):
    """What becomes of one file (None: it is gone), and the first record that this is about; -1 if it is about none."""

    what: str
    path: Path
    data: bytes | None
    record: int


@pytest.fixture
def bench(sound: dict[Path, bytes]) -> AuditBench:
    """A log to spoil."""
    bench = AuditBench()
    for path, data in sound.items():
        put(bench, path, data)
    assert bench.verify().records == SIGNED + TAIL
    return bench


def put(bench: AuditBench, path: Path, data: bytes) -> None:
    """Put a file on the disk."""
    for folder in reversed(path.parents):
        bench.disk.mkdir(folder)
    bench.disk.create(path)
    bench.disk.damage(path, data)


def first_of(path: Path) -> int:
    """The number of a tile."""
    return int(path.name) if ".p" not in str(path) else int(path.parent.name[:-2])


def pieces_of(path: Path, data: bytes) -> tuple[list[bytes], int, int]:
    """The records or hashes of a tile, the index of the first record, and how many records each stands for."""
    kind = str(path).partition("/tile/")[2].partition("/")[0]
    if kind == "entries":
        return frames_of(data)[0], first_of(path) * TILE_WIDTH, 1
    span = TILE_WIDTH ** int(kind)
    hashes = [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]
    return hashes, first_of(path) * TILE_WIDTH * span, span


def mutants_of_tiles(sound: dict[Path, bytes]) -> Iterator[Mutant]:
    """All that can be done to one record or hash of a tile."""
    for path, data in sound.items():
        if "/tile/" not in str(path):
            continue
        pieces, first, span = pieces_of(path, data)
        for place, piece in enumerate(pieces):
            at = first + place * span
            before, after = pieces[:place], pieces[place + 1 :]
            # The first two bytes of a record are its length; the rest is what it says.
            spot = 2 + place % (len(piece) - 2)
            flipped = piece[:spot] + bytes([piece[spot] ^ 1 << place % 8]) + piece[spot + 1 :]
            yield Mutant("flipped", path, b"".join([*before, flipped, *after]), at)
            length = bytes([piece[0], piece[1] ^ 1]) + piece[2:]
            yield Mutant("flipped at its beginning", path, b"".join([*before, length, *after]), at)
            yield Mutant("deleted", path, b"".join(before + after), at)
            yield Mutant("doubled", path, b"".join([*before, piece, piece, *after]), at + span)
            yield Mutant("cut off", path, b"".join(before), at)
            yield Mutant("cut in the middle", path, b"".join([*before, piece[: len(piece) // 2]]), at)
            if after and after[0] != piece:
                swapped = b"".join([*before, after[0], piece, *after[1:]])
                yield Mutant("swapped", path, swapped, at)


def mutants_of_files(sound: dict[Path, bytes]) -> Iterator[Mutant]:
    """All that can be done to one file; to a segment, of which only the beginning is in use, less."""
    tiles = [path for path in sound if "/tile/" in str(path)]
    for path, data in sound.items():
        name = str(path)
        if name.endswith("/lock") or path.suffix == ".seg":
            continue
        if not name.endswith(OLDER):
            yield Mutant("gone", path, None, -1)
        for what, changed in (
            ("empty", b""),
            ("halved", data[: len(data) // 2]),
            ("a byte short", data[:-1]),
            ("a byte long", data + b"\0"),
            ("doubled", data + data),
            ("backwards", data[::-1]),
            *((f"exchanged with {other}", sound[other]) for other in tiles if sound[other] != data),
        ):
            if changed != data:
                yield Mutant(what, path, changed, -1)


def mutants_of_segments(sound: dict[Path, bytes]) -> Iterator[Mutant]:
    """A flip in every eight bytes of the segment in use, and every batch deleted, doubled, blanked and cut off.

    What is done to the zeros that fill a batch up to eight bytes is harmless, and so is the want of batches that are
    under the checkpoint: their records are in the tiles.
    """
    path = newest(sound)
    data = sound[path]
    mark = data[16:24]
    places = [place for place in range(HEADER_BYTES, len(data), 8) if data[place : place + 8] == mark]
    batches = []
    for place in places:
        first, count, length = BATCH.unpack_from(data, place + 8)
        batches.append((place, first + count, place + BATCH_HEADER_BYTES + length))
    for place in range(0, batches[-1][2], 8):
        spot = place + place // 8 % 8
        flipped = bytearray(data)
        flipped[spot] ^= 1 << place % 7
        padding = spot >= HEADER_BYTES and not any(start <= spot < end for start, _, end in batches)
        yield Mutant(f"flipped at {spot}", path, bytes(flipped), HARMLESS if padding else -1)
    for place, stop, end in batches:
        following = end + -end % 8
        rest = data[following:]
        covered = HARMLESS if stop <= SIGNED else -1
        yield Mutant("a batch deleted", path, (data[:place] + rest).ljust(len(data), b"\0"), covered)
        yield Mutant("a batch doubled", path, (data[:following] + data[place:])[: len(data)], -1)
        yield Mutant("a batch blanked", path, data[:place] + bytes(following - place) + rest, -1)
        yield Mutant("cut at a batch", path, data[:place].ljust(len(data), b"\0"), -1)
        yield Mutant("cut in a batch", path, data[: place + 30].ljust(len(data), b"\0"), -1)
    yield Mutant("gone", path, None, -1)
    yield Mutant("empty", path, b"", -1)


def newest(sound: dict[Path, bytes]) -> Path:
    """The segment in use: the last one whose first batch is of its present life."""
    return max(path for path, data in sound.items() if path.suffix == ".seg" and data[16:24] == data[64:72])


def spoil(bench: AuditBench, sound: dict[Path, bytes], mutant: Mutant) -> AuditDamaged | int:
    """What verification says of a log with one mutant in it: the damage, or how many records are left."""
    if mutant.data is None:
        bench.disk.remove(mutant.path)
    else:
        bench.disk.damage(mutant.path, mutant.data)
    try:
        report = bench.verify()
        return report.records if not report.logs[0].torn else report.records - 1
    except AuditDamaged as damage:
        return damage
    finally:
        if mutant.data is None:
            put(bench, mutant.path, sound[mutant.path])
        else:
            bench.disk.damage(mutant.path, sound[mutant.path])


def test_no_record_and_no_hash_can_be_spoilt(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """Whatever is done to it, the file is named, and the first record that is not what was written."""
    done, kinds = 0, set[str]()
    for mutant in mutants_of_tiles(sound):
        found = spoil(bench, sound, mutant)

        assert isinstance(found, AuditDamaged), mutant[:2]
        ((log, record, file, _),) = found.damage
        assert (log, bench.directory / file) == ("keystead-test/w0", mutant.path)
        pieces, first, span = pieces_of(mutant.path, sound[mutant.path])
        if span > 1 and mutant.data is not None and len(mutant.data) != len(sound[mutant.path]):
            assert record == first, mutant[:2]  # of a tile of roots with a wrong length nothing can be said
        else:
            assert record == min(mutant.record, first + (len(pieces) - 1) * span), mutant[:2]
        done, kinds = done + 1, kinds | {mutant.what}
    assert len(kinds) == 7
    assert done > 8000


def test_no_file_can_be_spoilt(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """Tiles, bundles and the checkpoint: gone, short, long, doubled, backwards, or another's."""
    for mutant in mutants_of_files(sound):
        found = spoil(bench, sound, mutant)
        assert isinstance(found, AuditDamaged), mutant[:2]
        assert bench.directory / found.damage[0][2] == mutant.path, mutant[:2]


def test_no_committed_batch_can_be_spoilt_unseen(bench: AuditBench, sound: dict[Path, bytes]) -> None:
    """In the segments, where no checkpoint covers the records yet.

    All but the last batch: damage. The last one looks like one that was being written when the power went, and a tail
    that is gone was never signed: the report then says that there are fewer records, or that bytes are torn.
    """
    for mutant in mutants_of_segments(sound):
        found = spoil(bench, sound, mutant)
        if not isinstance(found, AuditDamaged) and found == SIGNED + TAIL:
            assert mutant.record == HARMLESS, mutant[:2]


@pytest.mark.parametrize("kept", [1, 500, 560, SIGNED])
def test_a_log_that_is_sound_in_itself_is_held_against_a_kept_checkpoint(kept: int) -> None:
    """Re-ordered, forked, or rolled back by somebody who has the key: a checkpoint from before tells."""

    def grow(records: list[bytes]) -> tuple[AuditBench, dict[int, bytes]]:
        made, notes = AuditBench(), dict[int, bytes]()
        log = made.open()
        for record in records:
            log.append(record)
            log.commit()
            if log.size in {1, 500, 560, SIGNED}:
                made.later()
                log.tend()
                notes[log.size] = made.disk.read(made.directory / "checkpoint")
        log.close()
        return made, notes

    records = [entry(index) for index in range(SIGNED)]
    _, notes = grow(records)
    swapped = [*records[: kept // 2], *reversed(records[kept // 2 : kept]), *records[kept:]]
    cases: list[tuple[list[bytes], Callable[[str], bool]]] = [
        (records[: kept - 1], lambda problem: f"{kept}: the log was rolled back" in problem),
        ([*records[: kept - 1], b"forged", *records[kept:]], lambda problem: "the log was forked" in problem),
    ]
    if swapped != records:
        cases.append((swapped, lambda problem: "the log was forked" in problem))
    for other, said in cases:
        made, _ = grow(other)
        assert made.verify().records == len(other)
        with pytest.raises(AuditDamaged) as caught:
            verify(made.root, made.signer.vkey, disk=made.disk, since=[notes[kept]])
        assert said(caught.value.damage[0][3])
