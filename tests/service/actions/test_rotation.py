"""Rotation: by the calendar and on demand, and what a key's history says."""

from dataclasses import replace

import pytest

from keystead.core.errors import UnsupportedOperation
from keystead.core.key import Key, Origin, Rotation, State, Version
from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.service.due import due
from keystead.service.quotas import Quotas
from keystead.service.results.kms import Decrypted
from keystead.testing.installation import REGION
from keystead.testing.service import JOBS, ServiceBench, key_arn

DAY = 86_400


@pytest.fixture
def bench() -> ServiceBench:
    """An installation."""
    return ServiceBench()


def status(bench: ServiceBench, key: KeyReference) -> Key:
    """The key with its rotation settings."""
    found: Key = bench.do(c.GetKeyRotationStatus(key)).key
    return found


def test_automatic_rotation_is_off_at_first(bench: ServiceBench) -> None:
    """A new key has neither period nor date, and its first material is no rotation."""
    key = bench.key()
    assert (status(bench, key).rotation_period_days, status(bench, key).next_rotation) == (None, None)
    assert bench.do(c.ListKeyRotations(key)).versions == []


@pytest.mark.parametrize("days", [90, 365, 2560])
def test_automatic_rotation_is_switched_on_and_off(bench: ServiceBench, days: int) -> None:
    """The first date is one period ahead; switched off, there is none."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key, days))
    found = status(bench, key)
    assert (found.rotation_period_days, found.next_rotation) == (days, bench.house.clock.now() + days * DAY)
    bench.do(c.DisableKeyRotation(key))
    assert (status(bench, key).rotation_period_days, status(bench, key).next_rotation) == (None, None)


def test_the_period_is_a_year_unless_said_otherwise(bench: ServiceBench) -> None:
    """As AWS has it; it can be changed while it is on."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key))
    assert status(bench, key).rotation_period_days == 365
    bench.do(c.EnableKeyRotation(key, 100))
    assert status(bench, key).rotation_period_days == 100


@pytest.mark.parametrize("days", [0, 89, 2561])
def test_a_period_out_of_range_is_refused(bench: ServiceBench, days: int) -> None:
    """90 to 2,560 days."""
    key = bench.key()
    told = "InvalidRequest: RotationPeriodInDays must be between 90 and 2560 (inclusive)"
    assert bench.refusal(c.EnableKeyRotation(key, days)) == told
    assert status(bench, key).rotation_period_days is None


def test_a_rotation_on_demand(bench: ServiceBench) -> None:
    """Fresh material at once; the record has the new version, and the automatic date does not move."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key))
    date = status(bench, key).next_rotation
    bench.house.clock.time += DAY
    rotated = bench.do(c.RotateKeyOnDemand(key))

    assert (rotated.rotation, rotated.key.current_version) == (Rotation.ON_DEMAND, 2)
    assert (bench.records[-1].version, bench.records[-1].key) == (2, key_arn(key))
    assert status(bench, key).next_rotation == date
    (version,) = bench.do(c.ListKeyRotations(key)).versions
    assert (version.number, version.rotation, version.created) == (
        2,
        Rotation.ON_DEMAND,
        bench.house.clock.now(),
    )
    assert version.material_id == bench.do(c.DescribeKey(key)).material_id
    assert bench.do(c.Encrypt(key, b"x")).blob[6 + len(key.name) + 3] == 2


def test_rotations_on_demand_are_limited_over_a_keys_life(bench: ServiceBench) -> None:
    """25 by default, in AWS's words; automatic ones do not count."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key, 90))
    for _ in range(25):
        bench.do(c.RotateKeyOnDemand(key))
    told = (
        "LimitExceeded: The on-demand rotations limit has been reached for the given keyId. No more on-demand "
        f"rotations can be performed for this key: {key_arn(key)}"
    )
    assert bench.refusal(c.RotateKeyOnDemand(key)) == told
    bench.house.clock.time += 90 * DAY
    bench.do(c.RotateKeyAutomatically(key), JOBS)
    assert bench.refusal(c.RotateKeyOnDemand(key)) == told
    more = ServiceBench(bench.house, "w1", quotas=Quotas(rotations_on_demand=26))
    assert more.do(c.RotateKeyOnDemand(key)).key.current_version == 28


def test_a_key_rotates_when_its_date_has_come(bench: ServiceBench) -> None:
    """Not before; and a date missed by several periods costs one rotation, with the next date a period ahead."""
    key = bench.key()
    told = f"InvalidKeyState: {key_arn(key)} is not due for rotation."
    assert bench.refusal(c.RotateKeyAutomatically(key), JOBS) == told
    bench.do(c.EnableKeyRotation(key, 90))
    bench.house.clock.time += 90 * DAY - 1
    assert bench.refusal(c.RotateKeyAutomatically(key), JOBS) == told
    assert due(bench.house.store, bench.house.clock.now(), 10) == []
    bench.house.clock.time += 300 * DAY
    (work,) = due(bench.house.store, bench.house.clock.now(), 10)

    rotated = bench.do(work.command, JOBS)
    assert (rotated.rotation, rotated.key.current_version) == (Rotation.AUTOMATIC, 2)
    assert rotated.key.next_rotation == bench.house.clock.now() + 90 * DAY
    assert bench.refusal(c.RotateKeyAutomatically(key), JOBS) == told
    assert [v.rotation for v in bench.do(c.ListKeyRotations(key)).versions] == [Rotation.AUTOMATIC]


def test_a_disabled_key_does_not_rotate(bench: ServiceBench) -> None:
    """It is not due; enabled again after its date, it is."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key, 90))
    bench.do(c.DisableKey(key))
    bench.house.clock.time += 100 * DAY
    assert due(bench.house.store, bench.house.clock.now(), 10) == []
    assert bench.refusal(c.RotateKeyAutomatically(key), JOBS) == f"KeyDisabled: {key_arn(key)} is disabled."
    bench.do(c.EnableKey(key))
    assert len(due(bench.house.store, bench.house.clock.now(), 10)) == 1


def test_a_deletion_that_is_cancelled_keeps_the_settings(bench: ServiceBench) -> None:
    """What was on is on again."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key, 90))
    bench.do(c.ScheduleKeyDeletion(key))
    assert status(bench, key).state is State.PENDING_DELETION
    bench.do(c.CancelKeyDeletion(key))
    assert status(bench, key).rotation_period_days == 90


def test_the_history_of_a_key_is_paged(bench: ServiceBench) -> None:
    """Rotations only by default, and the first material too where it was asked for."""
    key = bench.key()
    for _ in range(4):
        bench.do(c.RotateKeyOnDemand(key))
    for all_material, expected in [(False, [[2, 3], [4, 5]]), (True, [[1, 2], [3, 4], [5]])]:
        pages, marker = [], ""
        for _ in expected:
            page = bench.do(c.ListKeyRotations(key, all_material, 2, marker))
            pages.append([version.number for version in page.versions])
            marker = page.marker
            assert page.key.current_version == 5
        assert (pages, marker) == (expected, "")


def test_a_marker_of_another_keys_history_is_refused(bench: ServiceBench) -> None:
    """Markers are bound to the key."""
    key, other = bench.key(), bench.key()
    for _ in range(2):
        bench.do(c.RotateKeyOnDemand(key))
    marker = bench.do(c.ListKeyRotations(key, limit=1)).marker
    assert bench.refusal(c.ListKeyRotations(other, marker=marker)).startswith("InvalidMarker")


def test_asymmetric_and_hmac_keys_never_rotate(bench: ServiceBench) -> None:
    """Their state is looked at first; then it is UnsupportedOperation without a word. Their status says no."""
    key = bench.key(c.CreateKey(spec="HMAC_256", usage="GENERATE_VERIFY_MAC"))
    setting = (c.EnableKeyRotation(key), c.DisableKeyRotation(key))
    for command in (*setting, c.RotateKeyOnDemand(key), c.ListKeyRotations(key)):
        error = bench.answer(command).error
        assert (type(error), getattr(error, "args", None)) == (UnsupportedOperation, ())
    assert status(bench, key).rotation_period_days is None
    bench.do(c.DisableKey(key))
    for command in (*setting, c.RotateKeyOnDemand(key)):
        assert bench.refusal(command) == f"KeyDisabled: {key_arn(key)} is disabled."


def test_imported_keys_do_not_rotate_by_themselves(bench: ServiceBench) -> None:
    """Their origin is looked at before their state, whatever it is; their status can be read."""
    key = bench.key(c.CreateKey(origin=Origin.EXTERNAL))
    told = f"UnsupportedOperation: {key_arn(key)} origin is EXTERNAL which is not valid for this operation."
    for _ in range(2):
        assert bench.refusal(c.EnableKeyRotation(key)) == told
        assert bench.refusal(c.DisableKeyRotation(key)) == told
        assert status(bench, key).rotation_period_days is None
        bench.answer(c.ScheduleKeyDeletion(key))
    bench.do(c.CancelKeyDeletion(key))
    pending = f"InvalidKeyState: {key_arn(key)} is pending import."
    assert bench.refusal(c.RotateKeyOnDemand(key)) == pending


def test_replicas_rotate_with_their_primary(bench: ServiceBench) -> None:
    """What is set, and asked for, there is refused; what is done there is read here."""
    key = bench.key(c.CreateKey(multi_region=True))
    bench.do(c.ReplicateKey(key, "us-east-1"))
    told = f"UnsupportedOperation: {key_arn(key, 'us-east-1')} is not a multi-region primary key."
    for command in (c.EnableKeyRotation(key), c.DisableKeyRotation(key), c.RotateKeyOnDemand(key)):
        assert bench.refusal(command, region="us-east-1") == told
    bench.do(c.EnableKeyRotation(key))
    bench.do(c.RotateKeyOnDemand(key))
    assert bench.do(c.GetKeyRotationStatus(key), region="us-east-1").key.rotation_period_days == 365
    assert len(bench.do(c.ListKeyRotations(key), region="us-east-1").versions) == 1


def test_keys_of_a_key_store_do_not_rotate(bench: ServiceBench) -> None:
    """What their store does with them is not ours; their origin is named."""
    key = bench.key()
    with bench.house.store.transact("x") as tx:
        stored = tx.key(REGION, key.name)
        assert stored is not None
        tx.put_key(replace(stored, key_store="cks-1", origin=Origin.EXTERNAL_KEY_STORE))
    told = f"UnsupportedOperation: {key_arn(key)} origin is EXTERNAL_KEY_STORE which is not valid for this operation."
    for command in (
        c.EnableKeyRotation(key),
        c.DisableKeyRotation(key),
        c.RotateKeyOnDemand(key),
        c.ListKeyRotations(key),
    ):
        assert bench.refusal(command) == told
    assert status(bench, key).rotation_period_days is None


def test_a_key_that_is_rotating_does_not_rotate_again(bench: ServiceBench) -> None:
    """While a version is on its way to the replicas, another rotation is a conflict, and the status says since when."""
    key = bench.key()
    bench.do(c.EnableKeyRotation(key, 90))
    assert bench.do(c.GetKeyRotationStatus(key)).running_since is None
    began = bench.house.clock.now()
    with bench.house.store.transact("x") as tx:
        version = tx.version(REGION, key.name, 1)
        assert version is not None
        tx.add_version(replace(version, number=2, rotation=Rotation.PENDING, created=began))
    bench.house.clock.time += 90 * DAY
    told = f"RotationInProgress: {key_arn(key)} is being rotated already."
    assert bench.refusal(c.RotateKeyOnDemand(key)) == told
    assert bench.refusal(c.RotateKeyAutomatically(key), JOBS) == told
    assert bench.do(c.GetKeyRotationStatus(key)).running_since == began


@pytest.mark.parametrize("versions", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_version_of_a_key_opens_what_it_has_sealed(versions: int) -> None:
    """Whatever their number; each is loaded once, and then none of them asks the store again."""
    bench = ServiceBench(quotas=Quotas(rotations_on_demand=versions))
    key = bench.key()
    blobs = [bench.do(c.Encrypt(key, b"1")).blob]
    for number in range(2, versions + 1):
        bench.do(c.RotateKeyOnDemand(key))
        blobs.append(bench.do(c.Encrypt(key, b"%d" % number)).blob)
    fresh = ServiceBench(bench.house, "w1")
    for number, blob in enumerate(blobs, 1):
        assert fresh.do(c.Decrypt(blob)).plaintext == b"%d" % number
    caller = fresh.caller()
    for number, blob in enumerate(blobs, 1):  # `Gate.handle` alone would raise `NotLoaded`
        answer = fresh.gate.handle(caller, c.Decrypt(blob))
        assert not fresh.gate.settle([answer])
        opened = answer.outcome()
        assert isinstance(opened, Decrypted)
        assert opened.plaintext == b"%d" % number
    assert len({version.material_id for version in all_versions(bench, key)}) == versions


def all_versions(bench: ServiceBench, key: KeyReference) -> list[Version]:
    """The whole history, page by page."""
    found, marker = [], ""
    while True:
        page = bench.do(c.ListKeyRotations(key, all_material=True, limit=1000, marker=marker))
        found += page.versions
        marker = page.marker
        if not marker:
            return found
