"""Logs with entries in them, an archive of them, and somebody who reads every entry instead."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keystead.audit.log import Log
from keystead.core.query import Answered, Question
from keystead.reader.archive import Archive
from keystead.reader.source import Logs
from keystead.service.entry import Entry, encode
from keystead.testing.audit import AuditBench
from keystead.testing.records import MemoryRecords

ACCOUNTS = ("111122223333", "444455556666")
HOUR = 3_600_000_000
BEGAN = 1_764_547_200_000_000
SEGMENT_ROWS = 32


def some_entry(choose: random.Random, time: int, number: int) -> Entry:
    """An entry like those that a service writes."""
    account = choose.choice(ACCOUNTS)
    name = choose.choice(["alice", "bob"])
    principal = choose.choice(
        [
            f"arn:aws:iam::{account}:user/{name}",
            f"arn:aws:iam::{account}:role/deploy",
            f"arn:aws:sts::{account}:assumed-role/deploy/{name}",
            f"arn:aws:sts::{account}:assumed-role/deploy-other/{name}",
        ]
    )
    keys = [f"arn:aws:kms:eu-central-1:{owner}:key/k{n}" for owner in ACCOUNTS for n in range(2)]
    entry = Entry(
        access_key=f"AKIA{name}",
        account=account,
        action=choose.choice(["kms:Decrypt", "kms:Encrypt", "kms:ReEncrypt", "keystead:ListPrincipals"]),
        auth="sigv4",
        decision="Allow",
        epoch=number,
        outcome="Success",
        principal=principal,
        region="eu-central-1",
        request=f"r-{number}",
        source=choose.choice(["10.1.2.3", "10.1.9.9", "192.168.0.7", "2001:db8::7", ""]),
        time=time,
        trace=f"{number % 7:032x}",
        v=1,
    )
    if entry.action != "keystead:ListPrincipals":
        entry.key, entry.version = choose.choice(keys), choose.randrange(1, 4)
        entry.context = f"{choose.randrange(3):064x}"
        entry.ciphertext = choose.randbytes(32).hex()
        entry.matched = (f"key-policy @{number:012x} #0",)
    if entry.action == "kms:ReEncrypt":
        entry.from_key, entry.from_version = choose.choice(keys), choose.randrange(1, 4)
    if number % 3 == 0:
        entry.client_request = f"order-{number % 11}"
    if choose.random() < 0.2:
        entry.decision, entry.outcome, entry.matched = "Deny", "AccessDenied", ()
        entry.missing = "no statement of the identity-policy is about the action"
    if choose.random() < 0.1:
        entry.stage, entry.outcome = "intent", ""
    return entry


class House:
    """Logs of an instance on a disk in memory; archives of them lie on the machine's own."""

    def __init__(self, place: Path, seed: int = 0) -> None:
        self.bench = AuditBench(seed)
        self.place = place
        self.logs: dict[str, Log] = {}
        self.choose = random.Random(seed)  # noqa: S311 - a test's choices must repeat
        self.time = BEGAN
        self.number = 0
        self.notices: list[str] = []
        self.archives: list[Archive] = []

    def log(self, name: str) -> Log:
        """The log of that name."""
        return self.logs.get(name) or self.logs.setdefault(name, self.bench.open(name))

    def write(self, count: int = 1, name: str = "w0", *, batch: int = 1, **members: Any) -> list[Entry]:
        """Commit so many entries, a few at once; ``members`` are theirs instead of the drawn ones."""
        written = []
        for _ in range(count):
            self.time += self.choose.randrange(HOUR // 8)
            self.number += 1
            entry = some_entry(self.choose, self.time, self.number)
            for member, value in members.items():
                setattr(entry, member, value)
            written.append(entry)
            self.log(name).append(encode(entry))
            if len(written) % batch == 0:
                self.log(name).commit()
        self.log(name).commit()
        return written

    def publish(self, *names: str) -> None:
        """Let checkpoints cover everything."""
        for name in names or tuple(self.logs):
            for _ in range(3):
                self.bench.clock.time += 1
                self.logs[name].tend()

    def archive(self, name: str = "archive", **settings: Any) -> Archive:
        """An archive of the logs as they are now and will be."""
        options = {"segment_rows": SEGMENT_ROWS, "memory_mb": 256, **settings}
        archive = Archive(
            self.place / name,
            Logs(self.bench.root, self.bench.disk),
            origin="keystead-test",
            notice=self.notices.append,
            **options,
        )
        self.archives.append(archive)
        return archive

    @property
    def segments(self) -> list[Path]:
        """The archive's Parquet files."""
        return sorted((self.place / "archive").glob("*.parquet"))

    def plainly(self, question: Question) -> Answered:
        """What somebody answers who reads every entry."""
        return MemoryRecords(self._located, "keystead-test").ask(question, 1.0)

    def _located(self) -> Iterator[tuple[str, int, bytes]]:
        for name, log in self.logs.items():
            yield from ((name, index, entry) for index, entry in enumerate(log.entries(0, log.size)))


def feed(archive: Archive) -> None:
    """Take in all that there is."""
    while archive.feed():
        pass
