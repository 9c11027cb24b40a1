"""Rotation: by the calendar and on demand, and what a key's history says."""

import pytest

from keystead.core.key import Key, Rotation, State
from keystead.core.names import KeyReference
from keystead.service import commands as c
from keystead.service.due import due
from keystead.service.quotas import Quotas
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
