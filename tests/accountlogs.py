"""Audit logs with the trees of two accounts, for tests of the trees and of the files that are made of them."""

from collections.abc import Iterable

from keystead.audit.accounts import AccountTrees, Head, check, leaf_of, read_head
from keystead.audit.checkpoint import Checkpoint, read_checkpoint
from keystead.audit.log import Log
from keystead.core.ledger import Section
from keystead.crypto.merkle import Frontier
from keystead.testing.audit import AuditBench

A, B = "111111111111", "222222222222"


def seen(entry: bytes) -> list[tuple[str, bytes]]:
    """Of a test's entry ``A B text``: it concerns the accounts, and each sees the text and its own name."""
    *whom, text = entry.decode().split(" ")
    return [(each, f"{each} {text}".encode()) for each in whom if each in (A, B)]


class Bench(AuditBench):
    """Logs with the trees of two accounts."""

    def __init__(self, who: Iterable[str] = (A, B), at_once: int = 65_536) -> None:
        super().__init__()
        self.who = list(who)
        self.trees = AccountTrees(
            self.root,
            disk=self.disk,
            origin=self.signer.name,
            sign=lambda name, text: self.signer.named(name).sign(text),
            verifier=lambda: self.signer.verifier,
            seen=seen,
            accounts=lambda: self.who,
            at_once=at_once,
        )
        self.log = self.open()

    def write(self, *lines: str) -> None:
        """Entries, under a checkpoint."""
        for start in range(0, len(lines), 200):
            for line in lines[start : start + 200]:
                self.log.append(line.encode())
            self.log.commit()
        self.sign(self.log)

    def sign(self, log: Log) -> None:
        """Have a checkpoint made."""
        self.later()
        log.tend()

    def rows(self, account: str, log: str = "w0") -> list[tuple[int, bytes | None]]:
        """All that an account is given, once it leads to the head that it is given."""
        section = next(each for each in self.trees.sections(account, {}) if each.log == log)
        verifier = self.signer.verifier.named(f"keystead-test/{log}")
        head = self.head(section, account)
        assert head.entries == section.entries
        assert read_checkpoint(section.checkpoint, verifier) == Checkpoint(
            verifier.name, head.size, head.log_root
        )
        rows = self.trees.rows(log, account, 0, head.entries)
        tree = Frontier()
        for row in rows:
            if row.seen is not None:
                assert row.leaf == leaf_of(row.record, row.seen)
            tree.append(row.leaf)
        assert (tree.size, tree.root()) == (head.entries, head.root)
        return [(row.record, row.seen) for row in rows]

    def head(self, section: Section, account: str = A) -> Head:
        """What a section's head says."""
        verifier = self.signer.verifier.named(f"keystead-test/{section.log}/account/{account}")
        return read_head(section.head, verifier)

    def check(self, *kept: bytes) -> int:
        """What an auditor does with the whole log."""
        return check(self.disk, self.directory, self.signer.verifier.named("keystead-test/w0"), seen, kept)
