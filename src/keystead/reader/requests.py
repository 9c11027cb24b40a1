"""Where a request's entries are in a segment: a file of sorted numbers, one for each id that an entry has.

    magic "KSTDREQ2" | count u64 | count x (hash u32 << 32 | row u32), ascending; little-endian

Request ids are random, so neither minima and maxima nor dictionaries tell where one is. A binary search here reads a
few pages of one file and gives the rows to look at: those of the request, and one in four thousand millions times the
rows of the segment by chance, which whoever reads the row will see.

An entry has our id for its request, and the client's own if it gave one. Nobody keeps a client from giving all its
requests the same: of an id that very many rows have, nothing is told, and it is looked for as anything else is. Nor is
anything told by a file of the first form, "KSTDREQ1", which has our ids only; the archive writes it anew.
"""

import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

MOST: Final = 1_000  # rows that are told of
_MAGIC: Final = b"KSTDREQ2"
_FIRST: Final = b"KSTDREQ1"
_HEAD: Final = 16
_ROWS: Final = 32  # bits of a row's number


def index(requests: Iterable[tuple[str | None, ...]]) -> bytes:
    """The file for a segment whose rows have these ids, in the order of the rows."""
    places = array(
        "Q", sorted(_hash(each) << _ROWS | row for row, ids in enumerate(requests) for each in {*ids} if each)
    )
    if sys.byteorder != "little":  # pragma: no cover - there is no such machine to test it on
        places.byteswap()
    return _MAGIC + len(places).to_bytes(8, "little") + places.tobytes()


def rows(path: Path, request: str) -> list[int] | None:
    """The rows that may be of a request, or None if it may be any; see the module.

    Raises `ValueError` for a file that is not in its form, or `OSError`.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count = int.from_bytes(data[8:_HEAD], "little")
        if data[:8] not in (_MAGIC, _FIRST) or len(data) != _HEAD + 8 * count:
            raise ValueError(f"{path} is no index of requests")
        if data[:8] == _FIRST:
            return None
        hashed = _hash(request)
        found: list[int] = []
        with memoryview(data) as view, view[_HEAD:] as body, body.cast("Q") as places:
            at = bisect_left(places, hashed << _ROWS)
            while at < count and places[at] >> _ROWS == hashed:
                if len(found) == MOST:
                    return None
                found.append(places[at] & ((1 << _ROWS) - 1))
                at += 1
        return found


def is_older(path: Path) -> bool:
    """Whether a file is of the first form."""
    with path.open("rb") as file:
        return file.read(8) == _FIRST


def _hash(request: str) -> int:
    return int.from_bytes(sha256(request.encode()).digest()[:4], "little")
