"""Rotation: fresh material under the same key, by the calendar or on demand.

Old versions stay for decryption. An on-demand rotation does not move the date of the next automatic one
(AWS KMS developer guide, "Rotate AWS KMS keys").
"""

from dataclasses import replace
from typing import Final

from keystead.core.errors import InvalidKeyState, InvalidRequest, LimitExceeded
from keystead.core.key import Event, Rotation
from keystead.service import commands as c
from keystead.service.actions.keys import DAY
from keystead.service.desk import Desk
from keystead.service.results import Done, Rotated, RotationPage, RotationStatus

PERIOD_DAYS: Final = range(90, 2561)


def enable_key_rotation(command: c.EnableKeyRotation, desk: Desk) -> Done:
    """Rotate a key by itself from now on."""
    if command.period_days not in PERIOD_DAYS:
        raise InvalidRequest("RotationPeriodInDays must be between 90 and 2560 (inclusive)")
    key = desk.key(command.key, Event.SET_ROTATION, "kms:EnableKeyRotation")
    period = command.period_days
    desk.save(replace(key, rotation_period_days=period, next_rotation=desk.now + period * DAY))
    return Done()


def disable_key_rotation(command: c.DisableKeyRotation, desk: Desk) -> Done:
    """Stop automatic rotation."""
    key = desk.key(command.key, Event.SET_ROTATION, "kms:DisableKeyRotation")
    desk.save(replace(key, rotation_period_days=None, next_rotation=None))
    return Done()


def get_key_rotation_status(command: c.GetKeyRotationStatus, desk: Desk) -> RotationStatus:
    """Whether and when a key rotates."""
    return RotationStatus(desk.key(command.key, Event.READ, "kms:GetKeyRotationStatus"))


def rotate_key_on_demand(command: c.RotateKeyOnDemand, desk: Desk) -> Rotated:
    """Rotate a key now."""
    key = desk.key(command.key, Event.USE, "kms:RotateKeyOnDemand")
    if key.rotations_on_demand >= desk.quotas.rotations_on_demand:
        raise LimitExceeded(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand "
            f"rotations can be performed for this key: {key.arn}"
        )
    counted = replace(key, rotations_on_demand=key.rotations_on_demand + 1)
    return Rotated(desk.rotate(counted, Rotation.ON_DEMAND), Rotation.ON_DEMAND)


def rotate_key_automatically(command: c.RotateKeyAutomatically, desk: Desk) -> Rotated:
    """Rotate a key whose date has come, and set the next date.

    A date that was missed by several periods costs one rotation, not several.
    """
    key = desk.key(command.key, Event.USE, "keystead:RotateKey", by_key_policy=False)
    if key.rotation_period_days is None or key.next_rotation is None or key.next_rotation > desk.now:
        raise InvalidKeyState(f"{key.arn} is not due for rotation.")
    dated = replace(key, next_rotation=desk.now + key.rotation_period_days * DAY)
    return Rotated(desk.rotate(dated, Rotation.AUTOMATIC), Rotation.AUTOMATIC)


def list_key_rotations(command: c.ListKeyRotations, desk: Desk) -> RotationPage:
    """The rotations of a key; the first version is not one, and is listed only with all material."""
    key = desk.key(command.key, Event.READ, "kms:ListKeyRotations")
    first = 0 if command.all_material else 1
    versions, marker = desk.page(
        f"rotations {key.ref}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.versions(key.region, key.id, int(after or first), count),
        lambda version: str(version.number),
    )
    return RotationPage(key, versions, marker)
