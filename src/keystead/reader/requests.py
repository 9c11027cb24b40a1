"""Where a request's entries are in a segment: a file of sorted numbers, one for each entry.

    magic "KSTDREQ1" | count u64 | count x (hash u32 << 32 | row u32), ascending; little-endian

Request ids are random, so neither minima and maxima nor dictionaries tell where one is. A binary search here reads a
few pages of one file and gives the rows to look at: those of the request, and one in four thousand millions times the
rows of the segment by chance, which whoever reads the row will see.
"""

import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

_MAGIC: Final = b"KSTDREQ1"
_HEAD: Final = 16
_ROWS: Final = 32  # bits of a row's number


def index(requests: Iterable[str | None]) -> bytes:
    """The file for a segment whose rows have these requests, in the order of the rows."""
    places = array(
        "Q", sorted(_hash(request) << _ROWS | row for row, request in enumerate(requests) if request)
    )
    if sys.byteorder != "little":  # pragma: no cover - there is no such machine to test it on
        places.byteswap()
    return _MAGIC + len(places).to_bytes(8, "little") + places.tobytes()


def rows(path: Path, request: str) -> list[int]:
    """The rows that may be of a request; raises `ValueError` for a file that is not in its form, or `OSError`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count = int.from_bytes(data[8:_HEAD], "little")
        if data[:8] != _MAGIC or len(data) != _HEAD + 8 * count:
            raise ValueError(f"{path} is no index of requests")
        hashed = _hash(request)
        found = []
        with memoryview(data) as view, view[_HEAD:] as body, body.cast("Q") as places:
            at = bisect_left(places, hashed << _ROWS)
            while at < count and places[at] >> _ROWS == hashed:
                found.append(places[at] & ((1 << _ROWS) - 1))
                at += 1
        return found


def _hash(request: str) -> int:
    return int.from_bytes(sha256(request.encode()).digest()[:4], "little")
