"""Measures questions about the audit over millions of generated entries, and prints a table.

    .venv/bin/python tools/audit_query.py --records 10000000 --archive /var/tmp/archive

The entries are those of 30 days, 5,000 principals and 20,000 keys in 20 accounts, alike for the same seed: half of the
work is done by few, by day there is more of it than by night, one in fifty is denied. They are taken in as the reader
takes in a log, and asked about as it asks. An archive that is there already is used again.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import md5, sha256
from pathlib import Path
from random import Random
from resource import RUSAGE_SELF, getrusage

from typing_extensions import override

from keystead.core.query import Question
from keystead.reader.archive import Archive
from keystead.reader.source import Source
from keystead.service.entry import Entry, encode

DAYS, PRINCIPALS, KEYS, ACCOUNTS = 30, 5_000, 20_000, 20
BEGAN = 1_764_547_200_000_000  # 2025-12-01T00:00:00Z, in microseconds
DAY = 86_400_000_000
CHUNK = 4_096
LOGS = ("w0", "w1")
OPERATIONS = (
    ("kms:Decrypt", 60),
    ("kms:GenerateDataKey", 24),
    ("kms:Encrypt", 10),
    ("kms:Sign", 3),
    ("kms:DescribeKey", 2),
    ("kms:ReEncrypt", 1),
)
ACTIONS = [action for action, share in OPERATIONS for _ in range(share)]
ACCOUNT = [f"{100_000_000_000 + number}" for number in range(ACCOUNTS)]
PRINCIPAL = [f"arn:aws:iam::{ACCOUNT[n % ACCOUNTS]}:user/app-{n:04d}" for n in range(PRINCIPALS)]
KEY = [
    f"arn:aws:kms:eu-central-1:{ACCOUNT[n % ACCOUNTS]}:key/{md5(b'%d' % n, usedforsecurity=False).hexdigest()}"
    for n in range(KEYS)
]
REPEATS = 5


class Generated(Source):
    """Two logs of an installation that never was; an entry depends on the seed and its place only."""

    def __init__(self, records: int, seed: int) -> None:
        self._each = records // len(LOGS)
        self._seed = seed
        self.chunk = lru_cache(8)(self._chunk)

    @override
    def names(self) -> Sequence[str]:
        return LOGS

    @override
    def sealed(self, log: str) -> int:
        return self._each

    @override
    def read(
        self, log: str, position: int, limit: int, *, unsettled: bool = False
    ) -> Sequence[tuple[int, bytes]]:
        number, place = divmod(position, CHUNK)
        if position >= self._each:
            return []
        entries = self.chunk(log, number)[place : place + limit]
        return list(enumerate(entries, position))

    @override
    def removed(self, log: str) -> Sequence[range]:
        return []

    def _chunk(self, log: str, number: int) -> list[bytes]:
        random = Random(f"{self._seed}/{log}/{number}")  # noqa: S311 - it must repeat
        first = number * CHUNK
        return [encode(self._entry(random, index)) for index in range(first, min(first + CHUNK, self._each))]

    def _entry(self, random: Random, index: int) -> Entry:
        part = (index + random.random()) / self._each
        # Busy days: within each, the clock runs by a wave.
        day, hour = divmod(part * DAYS, 1)
        moment = day + hour - 0.08 * math.sin(2 * math.pi * hour)
        who = int(PRINCIPALS * random.random() ** 3)
        which = (who * 4 + int(4 * random.random())) % KEYS
        action = ACTIONS[int(random.random() * 100)]
        denied = random.random() < 0.02  # noqa: PLR2004 - one in fifty
        context = sha256(b"%d" % (which * 50 + int(50 * random.random()))).hexdigest()
        entry = Entry(
            access_key=f"AKIA{who:016d}",
            account=ACCOUNT[who % ACCOUNTS],
            action=action,
            auth="sigv4",
            context=context,
            decided_by="none" if denied else "key-policy",
            decision="Deny" if denied else "Allow",
            epoch=index // 1000,
            key=KEY[which],
            outcome="AccessDenied" if denied else "Success",
            principal=PRINCIPAL[who],
            region="eu-central-1",
            request=f"{random.getrandbits(128):032x}",
            source=f"10.{who % 64}.{who % 250}.{int(4 * random.random())}",
            time=BEGAN + int(moment * DAY),
            v=1,
            version=1 + which % 3,
        )
        if denied:
            entry.missing = "no statement of the identity-policy is about the action"
        else:
            entry.ciphertext = random.randbytes(32).hex()
            entry.matched = (f"key-policy @{which:012x} #0",)
        if action == "kms:ReEncrypt" and not denied:
            entry.from_key, entry.from_version = KEY[(which + 20) % KEYS], 1
        return entry


def questions(source: Generated, records: int) -> dict[str, Question]:
    """What is asked: of a busy principal, of a rare one, and of entries from the middle of the month."""
    end = BEGAN + DAYS * DAY
    some = records // len(LOGS) // 2
    request = source.chunk("w1", some // CHUNK)[some % CHUNK]
    request = request.split(b'"request":"')[1].split(b'"')[0]
    return {
        "the entry of one request": Question(request=request.decode()),
        "one request that never was": Question(request="0" * 32),
        "the newest 100 entries": Question(limit=100),
        "the newest 100 of a busy principal": Question(principal=PRINCIPAL[3]),
        "the newest 100 of a rare principal": Question(principal=PRINCIPAL[-3]),
        "who used this key, in 30 days": Question(
            key=KEY[40], uses=True, by=("principal", "action", "version")
        ),
        "who used this key, in one day": Question(
            key=KEY[40], uses=True, by=("principal",), since=BEGAN + 10 * DAY, until=BEGAN + 11 * DAY
        ),
        "the last use of a rarely used key": Question(key=KEY[-7], uses=True, limit=1),
        "the keys and versions that a principal decrypted with": Question(
            principal=PRINCIPAL[3], action="kms:Decrypt", uses=True, by=("key", "version")
        ),
        "the entries of one context": Question(context=sha256(b"2017").hexdigest()),
        "what happened in the last hour, by action": Question(
            since=end - DAY // 24, by=("action", "outcome")
        ),
        "who was denied in the last day": Question(
            outcome="AccessDenied", since=end - DAY, by=("principal", "action")
        ),
        "who was denied most, in 30 days": Question(outcome="AccessDenied", by=("principal",)),
        "one account's operations by hour, in 30 days": Question(
            concerning=ACCOUNT[5], by=("hour", "action"), limit=1000
        ),
        "all operations by hour, in 30 days": Question(by=("hour", "action"), limit=1000),
        "one network's denials, in 30 days": Question(
            source="10.7.0.0/16", outcome="AccessDenied", by=("principal",)
        ),
        "all entries of an access key, oldest first": Question(
            access_key=f"AKIA{77:016d}", oldest_first=True
        ),
    }


def main() -> None:
    """Take in, ask, print."""
    parser = argparse.ArgumentParser(description="Measure questions about the audit.")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--archive", type=Path, required=True)
    given = parser.parse_args()
    source = Generated(given.records, given.seed)
    started = time.perf_counter()
    archive = Archive(given.archive, source, origin="keystead-generated", notice=print)
    before = archive.status()
    while archive.feed():
        pass
    taken, now = time.perf_counter() - started, archive.status()
    added = now.rows + now.recent - before.rows - before.recent
    size = sum(path.stat().st_size for path in given.archive.glob("*.*"))
    print(f"{now.rows:,} entries in segments, {now.recent:,} beside; {size / 1e6:,.0f} MB")
    if added:
        print(
            f"taken in: {added:,} in {taken:.0f} s, {added / taken:,.0f} a second, generating them included"
        )
    print("\n| Question | Found | First, ms | Median, ms |\n| --- | --- | --- | --- |")
    for name, question in questions(source, given.records).items():
        times, answers = [], []
        for _ in range(REPEATS):
            at = time.perf_counter()
            answers.append(archive.ask(question, 60.0))
            times.append((time.perf_counter() - at) * 1000)
        answered = answers[-1]
        found = f"{len(answered.rows)} entries" if not question.by else f"{len(answered.counts)} counts"
        print(f"| {name} | {found} | {times[0]:,.0f} | {statistics.median(times):,.0f} |", flush=True)
    print(f"\nmost memory: {getrusage(RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


if __name__ == "__main__":
    main()
