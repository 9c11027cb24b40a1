"""Rotation as AWS writes it: what the status says and leaves out, and how each material is described."""

import json
from dataclasses import replace
from typing import Any

from keystead.core.key import Key, Origin, Rotation, State, Version
from keystead.fronts.aws import model
from keystead.fronts.aws.operations import ROWS
from keystead.service.commands import kms as c
from keystead.service.results import kms as r

KEY_ID = "12345678-1234-1234-1234-123456789012"
ARN = f"arn:aws:kms:eu-central-1:111122223333:key/{KEY_ID}"

KEY = Key(
    id=KEY_ID,
    account="111122223333",
    region="eu-central-1",
    spec="SYMMETRIC_DEFAULT",
    usage="ENCRYPT_DECRYPT",
    state=State.ENABLED,
    created=1.0,
    policy="{}",
    current_version=2,
)
EXTERNAL = replace(KEY, origin=Origin.EXTERNAL)


def version(number: int, rotation: Rotation, **more: Any) -> Version:
    """A version of the key."""
    return Version(
        region="eu-central-1",
        key_id=KEY_ID,
        number=number,
        material_id=f"{number}" * 64,
        created=float(number),
        rotation=rotation,
        **{"handle": "h", **more},
    )


def status(result: r.RotationStatus) -> dict[str, Any]:
    """What is answered."""
    answer: dict[str, Any] = json.loads(ROWS["GetKeyRotationStatus"].write(result))
    return answer


def listed(result: r.RotationPage) -> list[dict[str, Any]]:
    """The entries, without what they have in common."""
    answer = json.loads(ROWS["ListKeyRotations"].write(result))
    assert answer["Truncated"] is bool(result.marker)
    assert answer.get("NextMarker", "") == result.marker
    assert {entry.pop("KeyId") for entry in answer["Rotations"]} == {ARN}
    entries: list[dict[str, Any]] = answer["Rotations"]
    return entries


def test_a_status_says_no_more_than_there_is() -> None:
    """Off, there is no period and no date; pending deletion it is off; a start is there while a rotation runs."""
    on = replace(KEY, rotation_period_days=90, next_rotation=5.5)
    assert status(r.RotationStatus(KEY)) == {"KeyId": ARN, "KeyRotationEnabled": False}
    assert status(r.RotationStatus(on, running_since=4.0)) == {
        "KeyId": ARN,
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 90,
        "NextRotationDate": 5.5,
        "OnDemandRotationStartDate": 4.0,
    }
    for state in (State.PENDING_DELETION, State.PENDING_REPLICA_DELETION):
        assert status(r.RotationStatus(replace(on, state=state))) == {
            "KeyId": ARN,
            "KeyRotationEnabled": False,
        }


def test_a_key_of_our_own_making_has_no_imports_in_its_history() -> None:
    """The first material has no date and no type, and nothing is said of expiry or description."""
    page = r.RotationPage(
        KEY,
        [version(1, Rotation.FIRST), version(2, Rotation.AUTOMATIC, rotated=9.5)],
        "more",
    )
    assert listed(page) == [
        {"KeyMaterialId": "1" * 64, "KeyMaterialState": "NON_CURRENT"},
        {
            "KeyMaterialId": "2" * 64,
            "KeyMaterialState": "CURRENT",
            "RotationDate": 9.5,
            "RotationType": "AUTOMATIC",
        },
    ]


def test_imported_materials_say_whether_they_are_there() -> None:
    """With their end and their description; one that is gone has neither end nor model; one that waits has no date."""
    versions = [
        version(1, Rotation.FIRST, handle="", description="first"),
        version(2, Rotation.ON_DEMAND, rotated=9.0, valid_to=20.5),
        version(3, Rotation.PENDING),
    ]
    expected: list[dict[str, Any]] = [
        {
            "KeyMaterialId": "1" * 64,
            "KeyMaterialState": "NON_CURRENT",
            "ImportState": "PENDING_IMPORT",
            "KeyMaterialDescription": "first",
        },
        {
            "KeyMaterialId": "2" * 64,
            "KeyMaterialState": "CURRENT",
            "ImportState": "IMPORTED",
            "ExpirationModel": "KEY_MATERIAL_EXPIRES",
            "ValidTo": 20.5,
            "RotationDate": 9.0,
            "RotationType": "ON_DEMAND",
        },
        {
            "KeyMaterialId": "3" * 64,
            "KeyMaterialState": "PENDING_ROTATION",
            "ImportState": "IMPORTED",
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        },
    ]
    assert listed(r.RotationPage(EXTERNAL, versions, "")) == expected
    expected[2]["KeyMaterialState"] = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    assert listed(r.RotationPage(EXTERNAL, versions, "", awaits_replicas=True)) == expected


def test_requests_have_awss_defaults() -> None:
    """A year; rotations only; a hundred at once."""
    enable = ROWS["EnableKeyRotation"].command(model.EnableKeyRotationRequest(KeyId=KEY_ID))
    assert isinstance(enable, c.EnableKeyRotation)
    assert enable.period_days == 365
    listing = ROWS["ListKeyRotations"].command(model.ListKeyRotationsRequest(KeyId=KEY_ID))
    assert isinstance(listing, c.ListKeyRotations)
    assert (listing.all_material, listing.limit, listing.marker) == (False, 100, "")
    listing = ROWS["ListKeyRotations"].command(
        model.ListKeyRotationsRequest(
            KeyId=KEY_ID, IncludeKeyMaterial="ALL_KEY_MATERIAL", Limit=7, Marker="m"
        )
    )
    assert isinstance(listing, c.ListKeyRotations)
    assert (listing.all_material, listing.limit, listing.marker) == (True, 7, "m")


def test_a_rotation_is_answered_with_the_key() -> None:
    """By its ARN, and nothing else."""
    answer = ROWS["RotateKeyOnDemand"].write(r.Rotated(KEY, Rotation.ON_DEMAND))
    assert json.loads(answer) == {"KeyId": ARN}
