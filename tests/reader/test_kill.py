"""The archive's process is killed at any moment while it writes and merges, and nothing is missing or twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archivehouse import some_entry
from keystead.audit.disk import LocalDisk
from keystead.audit.log import Log
from keystead.core.query import Question
from keystead.crypto.note import NoteSigner
from keystead.reader.archive import Archive
from keystead.reader.source import Logs
from keystead.service.entry import encode

ENTRIES = 3_000
ROWS = 64  # of a segment, so that there are dozens, and merges

PROGRAM = """
import sys
from pathlib import Path
from keystead.audit.disk import LocalDisk
from keystead.reader.archive import Archive
from keystead.reader.source import Logs
audit, archive = map(Path, sys.argv[1:])
kept = Archive(archive, Logs(audit, LocalDisk()), origin="keystead-test", memory_mb=256, segment_rows=%d)
print("begun", flush=True)
while kept.feed():
    pass
print("done", flush=True)
"""


class _Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def written(audit: Path) -> None:
    """Two logs with entries, closed."""
    audit.mkdir()
    choose = random.Random(1)  # noqa: S311 - a test's choices must repeat
    signer = NoteSigner("keystead-test", Ed25519PrivateKey.generate())
    for name in ("w0", "w1"):
        log = Log.open(
            audit / name,
            origin=f"keystead-test/{name}",
            signer=signer,
            disk=LocalDisk(),
            clock=_Clock(),
            random=os.urandom,
            notice=lambda _: b"notice",
            segment_bytes=1 << 20,
        )
        for number in range(ENTRIES // 2):
            log.append(encode(some_entry(choose, number * 1_000_000, number)))
            if number % 100 == 99:
                log.commit()
        log.close()


def campaign(place: Path, kills: int, seed: int) -> None:
    """Kill it so many times at random moments, then let it end, and look."""
    written(place / "audit")
    choose = random.Random(seed)  # noqa: S311 - as above
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM % ROWS, str(place / "audit"), str(place / "archive")],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == b"begun\n"
            time.sleep(choose.random() * 0.15)
            process.send_signal(signal.SIGKILL)
            process.wait()
    notices: list[str] = []
    archive = Archive(
        place / "archive",
        Logs(place / "audit", LocalDisk()),
        origin="keystead-test",
        memory_mb=256,
        segment_rows=ROWS,
        notice=notices.append,
    )
    while archive.feed():
        pass
    assert notices == []
    found = []
    question = Question(limit=1000, oldest_first=True)
    while True:
        answered = archive.ask(question, 30.0)
        found += [(row.log, row.index) for row in answered.rows]
        if answered.after is None:
            break
        question = Question(limit=1000, oldest_first=True, after=answered.after)
    assert sorted(found) == [(name, index) for name in ("w0", "w1") for index in range(ENTRIES // 2)]
    counts = archive.ask(Question(by=("action",)), 30.0).counts
    assert sum(count.count for count in counts) == ENTRIES
    archive.close()


def test_it_goes_on_after_every_kill(tmp_path: Path) -> None:
    """A few times."""
    campaign(tmp_path, 6, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_it_goes_on_after_very_many_kills(tmp_path: Path, seed: int) -> None:
    """A campaign."""
    campaign(tmp_path, 60, seed)
