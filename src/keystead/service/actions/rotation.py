"""Rotation: fresh material under the same key, by the calendar or on demand.

Old versions stay for decryption. An on-demand rotation does not move the date of the next automatic one
(AWS KMS developer guide, "Rotate AWS KMS keys"). Only symmetric keys rotate. One with imported material rotates on
demand only, to the material that was imported for it.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

from keystead.core.errors import (
    InvalidKeyState,
    InvalidRequest,
    LimitExceeded,
    RotationInProgress,
    UnsupportedOperation,
)
from keystead.core.key import Event, Key, Origin, Rotation, State, Version
from keystead.core.spec import SYMMETRIC
from keystead.service import members
from keystead.service.actions import imports
from keystead.service.actions.keys import DAY
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import Rotated, RotationPage, RotationStatus

PERIOD_DAYS: Final = range(90, 2561)


def enable_key_rotation(command: c.EnableKeyRotation, desk: Desk) -> Done:
    """Rotate a key by itself from now on."""
    if command.period_days not in PERIOD_DAYS:
        raise InvalidRequest("RotationPeriodInDays must be between 90 and 2560 (inclusive)")
    key = _automatic(command, desk, "kms:EnableKeyRotation")
    period = command.period_days
    desk.save(replace(key, rotation_period_days=period, next_rotation=desk.now + period * DAY))
    return Done()


def disable_key_rotation(command: c.DisableKeyRotation, desk: Desk) -> Done:
    """Stop automatic rotation."""
    key = _automatic(command, desk, "kms:DisableKeyRotation")
    desk.save(replace(key, rotation_period_days=None, next_rotation=None))
    return Done()


def _automatic(command: c.EnableKeyRotation | c.DisableKeyRotation, desk: Desk, action: str) -> Key:
    """The key, if it is one that rotates by itself: its origin comes before its state, its spec after."""
    key = desk.key(command.key, Event.READ, action)
    if key.origin is not Origin.AWS_KMS:
        raise key.wrong_origin()
    key.after(Event.SET_ROTATION)
    _check_rotates(key)
    _check_primary(key)
    return key


def get_key_rotation_status(command: c.GetKeyRotationStatus, desk: Desk) -> RotationStatus:
    """Whether and when a key rotates. One that cannot rotate does not, and says so: Terraform asks of every key."""
    key = desk.key(command.key, Event.READ, "kms:GetKeyRotationStatus")
    running = _running(desk, key)
    key = members.with_date(desk.tx, key)
    return RotationStatus(key, None if running is None else running.created)


def rotate_key_on_demand(command: c.RotateKeyOnDemand, desk: Desk) -> Rotated:
    """Rotate a key now: to fresh material, or to that which was imported for it."""
    key = desk.key(command.key, Event.USE, "kms:RotateKeyOnDemand")
    if key.expires is not None and key.expires <= desk.now:  # the job that writes it down has not come by yet
        raise replace(key, state=State.PENDING_IMPORT).refusal(Event.USE)
    _check_rotates(key)
    _check_primary(key)
    if key.rotations_on_demand >= desk.quotas.rotations_on_demand:
        raise LimitExceeded(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand "
            f"rotations can be performed for this key: {key.arn}"
        )
    counted = replace(key, rotations_on_demand=key.rotations_on_demand + 1)
    if key.origin is Origin.EXTERNAL:
        return Rotated(_rotate_imported(counted, desk), Rotation.ON_DEMAND)
    _check_idle(desk, key)
    return Rotated(desk.rotate(counted, Rotation.ON_DEMAND), Rotation.ON_DEMAND)


def rotate_key_automatically(command: c.RotateKeyAutomatically, desk: Desk) -> Rotated:
    """Rotate a key whose date has come, and set the next date.

    A date that was missed by several periods costs one rotation, not several.
    """
    key = desk.key(command.key, Event.USE, "keystead:RotateKey", by_key_policy=False)
    if key.rotation_period_days is None or key.next_rotation is None or key.next_rotation > desk.now:
        raise InvalidKeyState(f"{key.arn} is not due for rotation.")
    _check_idle(desk, key)
    dated = replace(key, next_rotation=desk.now + key.rotation_period_days * DAY)
    return Rotated(desk.rotate(dated, Rotation.AUTOMATIC), Rotation.AUTOMATIC)


def list_key_rotations(command: c.ListKeyRotations, desk: Desk) -> RotationPage:
    """The rotations of a key; with all material also the first version, which is none, and the pending one."""
    key = desk.key(command.key, Event.READ, "kms:ListKeyRotations")
    _check_rotates(key)

    def fetch(after: str, count: int) -> list[Version]:
        found: Iterable[Version] = imports.materials(desk, key, int(after or 0))
        if not command.all_material:
            found = (v for v in found if v.rotated is not None)
        return list(islice(found, count))

    versions, marker = desk.page(
        f"rotations {key.ref}", command.marker, command.limit, fetch, lambda version: str(version.number)
    )
    waiting = imports.pending(desk, key) if key.origin is Origin.EXTERNAL and command.all_material else None
    awaits = waiting is not None and bool(imports.awaited(desk, key, waiting))
    return RotationPage(key, versions, marker, awaits_replicas=awaits)


def _check_rotates(key: Key) -> None:
    """Refuse keys that have one material for ever: asymmetric and HMAC keys, and those of a custom key store."""
    if key.spec != SYMMETRIC:
        raise UnsupportedOperation
    if key.key_store:
        raise key.wrong_origin()


def _check_primary(key: Key) -> None:
    """Refuse replicas: their primary says when they rotate."""
    if imports.is_replica(key):
        raise UnsupportedOperation(f"{key.arn} is not a multi-region primary key.")


def _running(desk: Desk, key: Key) -> Version | None:
    """The version that a key is about to rotate to, while not all of its replicas have it."""
    if key.origin is Origin.EXTERNAL:
        return None
    last = desk.tx.last_version(key.region, key.id)
    return last if last is not None and last.number > key.current_version else None


def _check_idle(desk: Desk, key: Key) -> None:
    members.check_settled(desk.tx, key)
    if _running(desk, key) is not None:
        raise RotationInProgress(f"{key.arn} is being rotated already.")


def _rotate_imported(key: Key, desk: Desk) -> Key:
    """The key on the material that was pending, and its replicas with it."""
    pending = imports.pending(desk, key)
    if pending is None:
        raise InvalidKeyState(f"No available key material pending rotation for the key: {key.arn}.")
    for replica in imports.awaited(desk, key, pending):
        raise InvalidKeyState(
            f"The key material (id: {pending.material_id}) pending rotation of {key.arn} has not been imported "
            f"into its replica {replica.arn}."
        )
    key = desk.save(replace(key, current_version=pending.number))
    for member in (*members.others(desk.tx, key), key):
        version = imports.pending(desk, member) or pending  # each has its own
        desk.tx.put_version(replace(version, rotation=Rotation.ON_DEMAND, rotated=desk.now))
        key = desk.save(replace(member, expires=imports.earliest_expiry(desk, member)))
    desk.entry.version = pending.number
    return key
