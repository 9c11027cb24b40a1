"""An audit log that is taken away or set back between two runs of the service is missed, and named."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PINNED_SECONDS = 30


def work(service: Any) -> None:
    """Answered requests, which are on record in the workers' logs."""
    for _ in range(20):
        service.call("CreateKey", {})


def run(service: Any) -> None:
    """Start the service, have it do something, and stop it in order."""
    service.start()
    work(service)
    assert service.stop() == 0


def begin(service: Any, *more: str) -> None:
    """Begin a start that may be refused."""
    service.env_file.unlink(missing_ok=True)
    service._run(
        *("dev", "--port", "0", "--control-port", "0", "--workers", str(service.workers)),
        *("--data", str(service.data), "--env-file", str(service.env_file), *more),
    )


def remove(log: Path, _older: Path) -> None:
    """The log is gone."""
    shutil.rmtree(log)


def set_back(log: Path, older: Path) -> None:
    """The log is what it was before."""
    shutil.rmtree(log)
    shutil.copytree(older, log)


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (remove, "log w0: it has no checkpoint, or is not there; it had "),
        (set_back, "log w0: it has "),
    ],
)
def test_a_log_that_is_lost_stops_the_next_start(
    lose: Callable[[Path, Path], None], told: str, own_service: Any, tmp_path: Path
) -> None:
    """Exit code 78 and what to do; accepted once, the service goes on, with the loss on record."""
    service, older = own_service, tmp_path / "older"
    service.workers = 1
    run(service)
    shutil.copytree(service.audit / "w0", older)
    run(service)
    before = len(service.records())

    lose(service.audit / "w0", older)
    for _ in range(2):
        begin(service)
        assert service.process.wait(timeout=30) == 78
    said = service.said()
    assert told in said
    assert "start once with --accept-audit-loss, which is put on record" in said

    begin(service, "--accept-audit-loss")
    service._until_up(service.env_file.exists)
    assert service.stop() == 0
    (accepted,) = [each for each in service.records() if each["action"] == "keystead:AcceptAuditLoss"]
    assert (accepted["subject"], accepted["outcome"]) == ("w0", "Success")
    assert accepted["detail"].startswith(told)
    assert len(service.records()) < before

    run(service)
    service.verify()


@pytest.mark.parametrize("what", ["w1", "."])
def test_logs_that_are_taken_away_after_a_kill_are_missed(what: str, own_service: Any) -> None:
    """Once the control process has pinned them no orderly stop is needed: one log, and all of them."""
    service = own_service
    service.start()
    work(service)

    def pinned() -> bool:
        with closing(sqlite3.connect(service.data / "keystead.db")) as opened:
            ((text,),) = opened.execute("SELECT value FROM settings WHERE name = 'audit-pins'").fetchall()
            return '"w1"' in text

    service.until(pinned, PINNED_SECONDS)
    service.kill()
    shutil.rmtree(service.audit / what)
    begin(service)
    assert service.process.wait(timeout=30) == 78
    assert "log w1: it has no checkpoint, or is not there" in service.said()
