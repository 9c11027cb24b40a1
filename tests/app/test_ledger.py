"""What keeps accounts' trees and prunes the audit, on a real store, real logs and real usage indexes."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from keystead import store
from keystead.app.installation import CONTROL, Installation, Post, found, local_secrets, system_random
from keystead.app.offline import verify_audit
from keystead.app.rekeying import rotate
from keystead.audit.usage import BookError
from keystead.audit.usagebook import SqliteBooks
from keystead.config import Config
from keystead.core.names import KeyReference
from keystead.core.principal import user_arn
from keystead.core.retention import DAY, Durations, Kept
from keystead.crypto.note import InvalidNote, NoteVerifier
from keystead.service.caller import Caller, identity_of
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.commands.ledger import ListAccountEntries, ListAccountHeads, PruneAudit

SECRETS = local_secrets({})


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        """The wall clock."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time


class House:
    """An installation whose control process is asked."""

    def __init__(self, place: Path) -> None:
        self.clock = Clock()
        self.config = Config(data=place / "data", workers=1, durations=Durations(dict.fromkeys(Kept, 30)))
        found(self.config, "file", SECRETS, self.clock, system_random, path=str(place / "root.key"))
        self.installation = Installation.open(self.config, SECRETS, self.clock, system_random)
        self.post: Post = self.installation.post(CONTROL)

    def ask(self, command: Command) -> Any:
        """The result of a command of the admin's."""
        with closing(store.connect(self.config.store)) as opened, opened.view() as view:
            principal = view.principal(user_arn(self.installation.account, "admin"))
        assert principal is not None
        caller = Caller(
            identity_of(principal), request=system_random(8).hex(), region="eu-central-1", auth="internal"
        )
        return self.post.gate.ask(caller, command).outcome()

    def until(self, true: Callable[[], bool]) -> None:
        """Let helpers come to an end, for as long as it takes them."""
        for _ in range(500):
            self.clock.time += 2
            self.post.gate.tend()
            if true():
                return
            time.sleep(0.01)
        pytest.fail("it did not come true")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A new installation that keeps everything for thirty days."""
    return House(tmp_path)


def test_what_is_over_its_time_goes_and_last_uses_stay(house: House) -> None:
    """A month later entries are pruned, the log verifies, and the indexes answer as before."""
    key = house.ask(c.CreateKey()).key
    for _ in range(300):
        house.ask(c.DescribeKey(KeyReference(key.id)))
    log = house.config.audit / CONTROL

    def taken_in() -> bool:
        with suppress(BookError):  # it is just being made
            return SqliteBooks().settled(log) > 256
        return False

    house.until(taken_in)
    uses = house.installation.usage().uses_of_principal(user_arn(house.installation.account, "admin"))
    house.clock.time += 40 * DAY

    def gone() -> bool:
        ledger = house.post.ledger
        assert ledger is not None
        ledger.trees.update()
        ledger.pruner.renew()
        return bool(house.ask(PruneAudit()).entries)

    house.until(gone)
    assert not (log / "tile/entries/000").exists()
    after = house.installation.usage().uses_of_principal(user_arn(house.installation.account, "admin"))
    described = {each.action: each for each in after}["kms:DescribeKey"]
    assert described in uses
    rotated = rotate(house.config, SECRETS, house.clock, system_random, overlap_seconds=0)
    assert house.post.ledger is not None
    house.post.ledger.pruner.renew()
    house.post.close()
    report = verify_audit(house.config.audit, rotated.new).logs[0]
    assert (report.pruned, report.minimum, report.accounts) == (256, 256, 1)
    again = Installation.open(house.config, SECRETS, house.clock, system_random).post(CONTROL)
    again.close()


def test_a_replaced_key_signs_heads_and_statements(house: House) -> None:
    """After the log's key was replaced, both are signed by the new one, and by the old one as long as that signs."""
    for _ in range(2):
        house.ask(c.CreateKey())
    assert house.post.ledger is not None
    sign = house.post.ledger.trees._sign
    name = f"{house.installation.origin}/w0/pruned"
    first = NoteVerifier.from_vkey(house.installation.vkey).named(name)
    assert first.verify(sign(name, "text\n")) == "text\n"
    rotated = rotate(house.config, SECRETS, house.clock, system_random, overlap_seconds=60)
    second = NoteVerifier.from_vkey(rotated.new).named(name)
    note = sign(name, "text\n")
    assert (first.verify(note), second.verify(note)) == ("text\n", "text\n")
    house.clock.time += 61
    note = sign(name, "text\n")
    assert second.verify(note) == "text\n"
    with pytest.raises(InvalidNote):
        first.verify(note)
    house.until(lambda: bool(house.ask(ListAccountHeads()).sections))
    assert house.ask(ListAccountEntries(CONTROL)).rows
    house.post.close()
