"""What every audit log promises (`keystead.core.ports.AuditLog`), as tests."""

from typing import Generic, Protocol, TypeVar

import pytest

from keystead.core.errors import AuditUnavailable, TooLarge
from keystead.core.ports import AuditLog

L = TypeVar("L", bound=AuditLog)
MAX_ENTRY_BYTES = 65_535


class Bench(Protocol[L]):
    """A place for one log, whose disk can be stopped. `keystead.testing.audit` has one."""

    def open(self) -> L:
        """Open the log that is there, or a new one."""
        ...

    def entries(self, log: L) -> list[bytes]:
        """What callers have committed, in order."""
        ...

    def stop_disk(self) -> None:
        """Let every write fail from now on."""
        ...

    def mend_disk(self) -> None:
        """Let writes succeed again."""
        ...

    def later(self, seconds: float = 2.0) -> None:
        """Let time pass."""
        ...


class AuditLogContract(Generic[L]):
    """Inherit it and define the fixture ``bench``, a `Bench` with an empty place."""

    def test_what_was_committed_is_there_in_order(self, bench: Bench[L]) -> None:
        """Entries have the indexes that `append` said, and a closed log opens with all of them."""
        log = bench.open()
        indexes = [log.append(entry) for entry in (b"first", b"", b"third")]
        log.commit()
        log.close()

        assert indexes == list(range(indexes[0], indexes[0] + 3))
        assert bench.entries(bench.open()) == [b"first", b"", b"third"]

    def test_closing_commits(self, bench: Bench[L]) -> None:
        """What was appended before a close is committed by it, and closing again changes nothing."""
        log = bench.open()
        log.append(b"last words")
        log.close()
        log.close()

        assert bench.entries(bench.open()) == [b"last words"]

    def test_an_entry_has_its_greatest_length(self, bench: Bench[L]) -> None:
        """65,535 bytes are taken whole, one more is refused whole, and the log goes on."""
        log = bench.open()
        log.append(bytes(MAX_ENTRY_BYTES))
        log.commit()
        with pytest.raises(TooLarge):
            log.append(bytes(MAX_ENTRY_BYTES + 1))
        log.append(b"after")
        log.commit()

        assert bench.entries(log) == [bytes(MAX_ENTRY_BYTES), b"after"]

    def test_a_failed_commit_counts_for_nothing(self, bench: Bench[L]) -> None:
        """While the disk fails everything is refused; what was refused never comes back."""
        log = bench.open()
        log.append(b"before")
        log.commit()
        bench.stop_disk()
        log.append(b"refused")
        with pytest.raises(AuditUnavailable):
            log.commit()
        with pytest.raises(AuditUnavailable):
            log.append(b"refused as well")
        with pytest.raises(AuditUnavailable):
            log.commit()
        assert not log.healthy

        bench.mend_disk()
        bench.later()
        log.tend()

        assert log.healthy
        log.append(b"after")
        log.commit()
        assert bench.entries(log) == [b"before", b"after"]
        log.close()
        assert bench.entries(bench.open()) == [b"before", b"after"]

    def test_it_stays_refusing_while_the_disk_does(self, bench: Bench[L]) -> None:
        """Tending a log on a broken disk neither raises nor heals it."""
        log = bench.open()
        bench.stop_disk()
        log.append(b"refused")
        with pytest.raises(AuditUnavailable):
            log.commit()
        for _ in range(5):
            bench.later()
            log.tend()

        assert not log.healthy

    def test_a_closed_log_takes_nothing(self, bench: Bench[L]) -> None:
        """After `close` there is only refusal."""
        log = bench.open()
        log.close()
        log.tend()

        assert not log.healthy
        with pytest.raises(AuditUnavailable):
            log.append(b"too late")

    def test_it_has_one_owner(self, bench: Bench[L]) -> None:
        """A log that is open cannot be opened again, and can once it is closed."""
        log = bench.open()
        with pytest.raises(AuditUnavailable, match="in use"):
            bench.open()
        log.close()

        bench.open().close()
