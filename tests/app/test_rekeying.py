"""Replacing the audit's key: on record, in force at once, and followed by verifiers of the old one."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from keystead import store
from keystead.app import auditkeys
from keystead.app.installation import Installation, found, local_secrets
from keystead.app.offline import read_audit, verify_audit
from keystead.app.rekeying import LOG, ROTATE, Rotated, rotate
from keystead.audit.logkeys import FILE
from keystead.config import Config
from keystead.core.errors import AuditDamaged, DataDamaged
from keystead.crypto.random import system_random
from keystead.testing.audit import TurnedClock

DAY = 86_400.0


class Place:
    """An installation whose key is replaced."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(data=folder / "data")
        self.clock = TurnedClock()
        self.secrets = local_secrets({})
        path = str(folder / "root.key")
        self.founded = found(self.config, "file", self.secrets, self.clock, system_random, path=path)

    def open(self) -> Installation:
        """Open it as a starting server does."""
        return Installation.open(self.config, self.secrets, self.clock, system_random)

    def rotate(self, overlap: float = 0.0) -> Rotated:
        """Replace the key."""
        return rotate(self.config, self.secrets, self.clock, system_random, overlap_seconds=overlap)

    def records(self, slot: str) -> list[tuple[str, str]]:
        """What a log says: action and stage or subject."""
        entries = [json.loads(entry) for entry in read_audit(self.config.audit / slot)]
        return [(each.get("action", ""), each.get("stage", each.get("detail", ""))) for each in entries]

    def checks(self, vkey: str) -> Callable[[], int]:
        """Verification with a key."""
        return lambda: verify_audit(self.config.audit, vkey).records


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A new installation, whose only log is of the control process."""
    return Place(tmp_path)


def test_a_new_key_signs_and_the_old_one_leads_to_it(place: Place) -> None:
    """Logs that nobody has open go over at once; the change is on record, with the new key, in each."""
    rotated = place.rotate()

    assert (rotated.old, rotated.number) == (place.founded.vkey, 2)
    assert place.records(LOG)[:2] == [(ROTATE, "intent"), (ROTATE, "outcome")]
    for slot in ("control", LOG):
        assert place.records(slot)[-1] == ("keystead:AuditRekeyed", rotated.new)
    assert (place.config.data / "audit.vkey").read_text() == rotated.new + "\n"
    assert place.checks(rotated.old)() == place.checks(rotated.new)() == 5
    assert place.open().vkey == rotated.new

    third = place.rotate()

    assert (third.old, third.number) == (rotated.new, 3)
    assert place.checks(rotated.old)() == place.checks(third.new)() == 9
    (place.config.audit / FILE).unlink()
    with pytest.raises(AuditDamaged, match="not signed by"):
        place.checks(rotated.old)()
    place.open()
    assert place.checks(rotated.old)() == 9


def test_for_as_long_as_is_wished_both_keys_sign(place: Place) -> None:
    """A log that is open meanwhile gets to know of it by itself, and of the end of the overlap as well."""
    log = place.open().log("w0")
    log.append(b'{"v":1}')
    log.commit()
    rotated = place.rotate(overlap=DAY)
    checkpoint = place.config.audit / "w0" / "checkpoint"

    place.clock.time += 2
    log.tend()
    assert log.size == 2
    assert checkpoint.read_bytes().count("\u2014".encode()) == 2
    place.clock.time += DAY
    log.tend()
    log.append(b'{"v":1}')
    log.commit()
    place.clock.time += 2
    log.tend()
    assert checkpoint.read_bytes().count("\u2014".encode()) == 1
    log.close()
    assert place.records("w0")[1] == ("keystead:AuditRekeyed", rotated.new)
    assert place.checks(rotated.old)() == place.checks(rotated.new)() == 8


def test_while_the_store_cannot_be_read_the_keys_stay(place: Place) -> None:
    """And are asked for again as soon as it can."""
    keys = place.open().log_keys()
    before = keys()
    assert keys() is before
    rotated = place.rotate()
    database = place.config.data / "keystead.db"
    database.rename(database.with_suffix(".away"))
    assert keys() is before
    database.with_suffix(".away").rename(database)

    assert keys().vkey == rotated.new
    assert [key.vkey for key in keys().known] == [rotated.old]
    assert keys() is keys()


def test_statements_that_do_not_hold_are_damage_of_the_store(place: Place) -> None:
    """The service does not start on them."""
    with closing(store.connect(place.config.store)) as opened, opened.transact("change") as tx:
        tx.put_setting(auditkeys.STATEMENTS, '{"format":"keystead-audit-keys-v1","statements":["rubbish"]}')
    with pytest.raises(DataDamaged, match="statements about audit keys do not hold"):
        place.open()
