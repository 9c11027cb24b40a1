"""Rotation."""

from collections.abc import Mapping
from typing import Final

from keystead.core.key import Origin, Rotation, State, Version
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, expiration_model, key, page
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _list_rotations(taken: model.ListKeyRotationsRequest) -> Command:
    return c.ListKeyRotations(
        key(taken.KeyId),
        taken.IncludeKeyMaterial == "ALL_KEY_MATERIAL",
        page(taken.Limit, 100, 1000),
        taken.Marker or "",
    )


def _rotated(result: r.Rotated) -> bytes:
    return encode(model.RotateKeyOnDemandResponse(KeyId=result.key.arn))


def _rotation_status(result: r.RotationStatus) -> bytes:
    key = result.key
    # AWS, GetKeyRotationStatus: a disabled key keeps its status, one pending deletion has none.
    pending = key.state in (State.PENDING_DELETION, State.PENDING_REPLICA_DELETION)
    enabled = key.rotation_period_days is not None and not pending
    return encode(
        model.GetKeyRotationStatusResponse(
            KeyId=key.arn,
            KeyRotationEnabled=enabled,
            NextRotationDate=key.next_rotation if enabled else None,
            OnDemandRotationStartDate=result.running_since,
            RotationPeriodInDays=key.rotation_period_days if enabled else None,
        )
    )


def _rotations(result: r.RotationPage) -> bytes:
    return encode(
        model.ListKeyRotationsResponse(
            NextMarker=result.marker or None,
            Rotations=[_rotation(result, version) for version in result.versions],
            Truncated=bool(result.marker),
        )
    )


def _rotation(result: r.RotationPage, version: Version) -> model.RotationsListEntry:
    """One material of a key: more is said of an imported one."""
    key = result.key
    rotated = version.rotation in (Rotation.AUTOMATIC, Rotation.ON_DEMAND)
    imported = key.origin is Origin.EXTERNAL
    there = imported and bool(version.handle)
    if version.number == key.current_version:
        state = "CURRENT"
    elif version.rotation is not Rotation.PENDING:
        state = "NON_CURRENT"
    else:
        state = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION" if result.awaits_replicas else "PENDING_ROTATION"
    return model.RotationsListEntry(
        ExpirationModel=expiration_model(version) if there else None,
        ImportState=("IMPORTED" if there else "PENDING_IMPORT") if imported else None,
        KeyId=key.arn,
        KeyMaterialDescription=(version.description or None) if imported else None,
        KeyMaterialId=version.material_id,
        KeyMaterialState=state,
        RotationDate=version.rotated if rotated else None,
        RotationType=version.rotation.value if rotated else None,
        ValidTo=version.valid_to if there else None,
    )


ROWS: Final[Mapping[str, Row]] = {
    "EnableKeyRotation": Row(
        lambda t: c.EnableKeyRotation(
            key(t.KeyId), 365 if t.RotationPeriodInDays is None else t.RotationPeriodInDays
        ),
        done,
    ),
    "DisableKeyRotation": Row(lambda t: c.DisableKeyRotation(key(t.KeyId)), done),
    "GetKeyRotationStatus": Row(lambda t: c.GetKeyRotationStatus(key(t.KeyId)), _rotation_status),
    "RotateKeyOnDemand": Row(lambda t: c.RotateKeyOnDemand(key(t.KeyId)), _rotated),
    "ListKeyRotations": Row(_list_rotations, _rotations),
}
