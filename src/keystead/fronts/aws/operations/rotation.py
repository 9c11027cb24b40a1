"""Rotation."""

from collections.abc import Mapping
from typing import Final

from keystead.core.key import Rotation, State
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, page
from keystead.service import commands as c
from keystead.service import results as r


def _list_rotations(taken: model.ListKeyRotationsRequest) -> c.Command:
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
    pending = key.state is State.PENDING_DELETION
    enabled = key.rotation_period_days is not None and not pending
    return encode(
        model.GetKeyRotationStatusResponse(
            KeyId=key.arn,
            KeyRotationEnabled=enabled,
            NextRotationDate=key.next_rotation if enabled else None,
            RotationPeriodInDays=key.rotation_period_days if enabled else None,
        )
    )


def _rotations(result: r.RotationPage) -> bytes:
    return encode(
        model.ListKeyRotationsResponse(
            NextMarker=result.marker or None,
            Rotations=[
                model.RotationsListEntry(
                    KeyId=result.key.arn,
                    KeyMaterialId=version.material_id,
                    KeyMaterialState=(
                        "CURRENT" if version.number == result.key.current_version else "NON_CURRENT"
                    ),
                    RotationDate=None if version.rotation is Rotation.FIRST else version.created,
                    RotationType=None if version.rotation is Rotation.FIRST else version.rotation.value,
                )
                for version in result.versions
            ],
            Truncated=bool(result.marker),
        )
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
