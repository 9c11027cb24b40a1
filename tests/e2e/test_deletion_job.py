"""What the calendar does: deletions are carried out, rotations happen, and neither a day too early.

The installation is opened here with a clock that can be set, and the jobs run as the control process runs
them. Before and after that the real service serves the same data.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from keystead.app.installation import Installation
from keystead.config import Config
from keystead.core.errors import InvalidKeyState, NotFound
from keystead.core.names import KeyReference
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets
from keystead.jobs.runner import Runner
from keystead.observe.log import Log
from keystead.service.commands import Command
from keystead.service.commands import kms as c

pytestmark = pytest.mark.e2e

DAY = 86_400.0


class Calendar:
    """A clock that a test sets (`keystead.core.ports.Clock`)."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """The time, so many seconds ahead."""
        return time.time() + self.ahead

    def monotonic(self) -> float:
        """The machine's own."""
        return time.monotonic()


class Jobs:
    """The jobs of one installation on one day after another."""

    def __init__(self, data: Path) -> None:
        self.calendar = Calendar()
        secrets = LocalSecrets(os.environ)
        self.installation = Installation.open(Config(data=data), secrets, self.calendar, system_random)
        self.post = self.installation.post("control")
        self.gate = self.post.gate
        self.said = StringIO()
        self.runner = Runner(
            gate=self.gate,
            look=self.post.due,
            caller=self.post.jobs,
            random=system_random,
            log=Log(self.said, "text", self.calendar.now),
        )

    def run(self, days: float) -> int:
        """What the runner does so many days from now."""
        self.calendar.ahead = days * DAY
        return self.runner.run_once()

    def refused(self, command: Command, region: str) -> Exception | None:
        """How a command ends that the jobs ask for out of turn."""
        return self.gate.ask(self.post.jobs("job-out-of-turn", region), command).error


@contextmanager
def jobs(service: Any) -> Iterator[Jobs]:
    """The jobs of a service that is not running."""
    assert service.stop() == 0
    running = Jobs(service.data)
    yield running
    running.post.close()


def rows(service: Any, query: str, *values: str) -> list[Any]:
    """What the database holds."""
    with closing(sqlite3.connect(service.data / "keystead.db")) as database:
        return database.execute(query, values).fetchall()


def test_a_deletion_is_carried_out_when_its_window_ends_and_not_before(own_service: Any) -> None:
    """The gate refuses it a moment early; then material, aliases and tags are gone, the id stays taken."""
    service = own_service
    service.start()
    region = service.settings["AWS_REGION"]
    key = service.call("CreateKey", {"Tags": [{"TagKey": "a", "TagValue": "b"}]})["KeyMetadata"]["KeyId"]
    other = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    for name in ("alias/one", "alias/two"):
        service.call("CreateAlias", {"AliasName": name, "TargetKeyId": key})
    blobs = []
    for _ in range(3):
        blobs.append(service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"])
        service.call("RotateKeyOnDemand", {"KeyId": key})
    kept = service.call("Encrypt", {"KeyId": other, "Plaintext": "eA=="})["CiphertextBlob"]
    service.call("ScheduleKeyDeletion", {"KeyId": key, "PendingWindowInDays": 7})
    service.call("ScheduleKeyDeletion", {"KeyId": other, "PendingWindowInDays": 30})
    handles = [row[0].encode() for row in rows(service, "SELECT handle FROM versions WHERE key_id = ?", key)]
    assert len(handles) == 4
    with jobs(service) as clock:
        # (1) The window is not over: there is nothing to do, and whoever asks all the same is refused.
        assert clock.run(6.99) == 0
        early = clock.refused(c.DestroyKey(KeyReference(key)), region)
        assert isinstance(early, InvalidKeyState)
        assert rows(service, "SELECT count(*) FROM versions WHERE handle != ''")[0][0] == 5
        # (2) It is over, and once is enough.
        assert clock.run(7.001) == 1
        assert clock.run(7.002) == 0
        assert isinstance(clock.refused(c.DestroyKey(KeyReference(key)), region), NotFound)
        assert clock.said.getvalue() == ""
    # (3) The material is gone from every file, the row that keeps the id is not.
    files = [path.read_bytes() for path in service.data.glob("keystead.db*")]
    assert not any(handle in data for handle in handles for data in files)
    assert rows(service, "SELECT state FROM keys WHERE id = ?", key) == [("Destroyed",)]
    for table in ("aliases", "tags"):
        assert rows(service, f"SELECT * FROM {table} WHERE key_id = ?", key) == []  # noqa: S608 - two constants
    # (4) To callers there is no such key any more; the other one is still waiting.
    service.start()
    with service.wire() as wire:
        sign = service.signer()
        for blob in blobs:
            refused = wire.ask(sign("Decrypt", {"CiphertextBlob": blob}))
            assert refused.status == 400
            assert refused.error in {"NotFoundException", "AccessDeniedException"}
        for operation in ("DescribeKey", "CancelKeyDeletion", "EnableKey", "GetKeyPolicy"):
            assert wire.ask(sign(operation, {"KeyId": key})).error == "NotFoundException"
        assert wire.ask(sign("DescribeKey", {"KeyId": "alias/one"})).error == "NotFoundException"
    assert {entry["KeyId"] for entry in service.call("ListKeys")["Keys"]} == {other}
    service.call("CancelKeyDeletion", {"KeyId": other})
    service.call("EnableKey", {"KeyId": other})
    assert service.call("Decrypt", {"CiphertextBlob": kept})["Plaintext"] == "eA=="
    # (5) All of it is on record: the attempt, the deed with its intent, and by whom.
    assert service.stop() == 0
    service.verify()
    records = [r for r in service.records() if r["action"] == "keystead:DestroyKey"]
    ends = [r.get("outcome", "Success") for r in records if r["stage"] == "outcome"]
    assert ends == ["InvalidKeyState", "Success", "NotFound"]
    assert len([r for r in records if r["stage"] == "intent"]) == 3
    assert {r["principal"].rpartition("/")[2] for r in records} == {"jobs"}
    assert {r["auth"] for r in records} == {"internal"}


def test_a_rotation_happens_on_its_date_and_old_ciphertext_opens(own_service: Any) -> None:
    """Not before its date; once, even if several periods were missed; and the next date follows."""
    service = own_service
    service.start()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    service.call("EnableKeyRotation", {"KeyId": key, "RotationPeriodInDays": 90})
    disabled = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    service.call("EnableKeyRotation", {"KeyId": disabled, "RotationPeriodInDays": 90})
    service.call("DisableKey", {"KeyId": disabled})
    blob = service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"]
    with jobs(service) as clock:
        assert clock.run(89.99) == 0
        assert clock.run(90.01) == 1
        assert clock.run(90.02) == 0
        assert clock.run(500) == 1
        assert clock.run(500.01) == 0
    service.start()
    rotations = service.call("ListKeyRotations", {"KeyId": key})["Rotations"]
    assert [rotation["RotationType"] for rotation in rotations] == ["AUTOMATIC", "AUTOMATIC"]
    assert service.call("ListKeyRotations", {"KeyId": disabled})["Rotations"] == []
    assert service.call("Decrypt", {"CiphertextBlob": blob})["Plaintext"] == "eA=="
    status = service.call("GetKeyRotationStatus", {"KeyId": key})
    assert status["NextRotationDate"] == pytest.approx(time.time() + 590 * DAY, abs=DAY)
    assert service.stop() == 0
    service.verify()


def test_the_running_service_does_it_by_itself(own_service: Any) -> None:
    """The control process carries out a deletion that is due, and both workers know at once."""
    service = own_service
    service.serve(jobs_seconds=1)
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    blob = service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"]
    service.call("ScheduleKeyDeletion", {"KeyId": key, "PendingWindowInDays": 7})
    with closing(sqlite3.connect(service.data / "keystead.db")) as database:
        database.execute("UPDATE keys SET deletion_date = deletion_date - 604800 WHERE id = ?", (key,))
        database.commit()
    service.until(lambda: rows(service, "SELECT 1 FROM keys WHERE id = ? AND state = 'Destroyed'", key))
    for _ in range(10):
        with service.wire() as wire:
            assert wire.ask(service.signer()("DescribeKey", {"KeyId": key})).error == "NotFoundException"
            assert wire.ask(service.signer()("Decrypt", {"CiphertextBlob": blob})).status == 400
    assert service.stop() == 0
    service.verify()
    assert "keystead:DestroyKey" in {record["action"] for record in service.records()}
