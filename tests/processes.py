"""Looks into the processes of a service that runs."""

from contextlib import suppress
from pathlib import Path
from typing import Any


def reader_of(service: Any) -> int:
    """The process that answers questions about the audit."""

    def find() -> int:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                arguments = path.read_bytes().split(b"\0")
                if b"keystead.reader" in arguments and str(service.audit.parent).encode() in arguments:
                    return int(path.parent.name)
        return 0

    return int(service.until(find))


def memory(pid: int) -> bytes:
    """All that a process has in memory that it could read itself."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            start, stop = (int(text, 16) for text in place.split("-"))
            if rights.startswith("r") and "[v" not in line:
                with suppress(OSError, ValueError, OverflowError):
                    mem.seek(start)
                    while start < stop and (piece := mem.read(min(stop - start, 1 << 24))):
                        found.append(piece)
                        start += len(piece)
    return b"".join(found)
