"""Multi-Region keys by unmodified boto3: in the Regions of one server."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e

HERE, THERE, NOWHERE = "eu-central-1", "us-east-1", "us-west-2"


def elsewhere(kms: Any, region: str) -> Any:
    """The same client in another Region."""
    credentials = kms._request_signer._credentials.get_frozen_credentials()
    return boto3.client(
        "kms",
        endpoint_url=kms.meta.endpoint_url,
        region_name=region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=BotoConfig(retries={"total_max_attempts": 1}),
    )


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The code and the message of the error of a call, which must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_a_replica_as_aws_makes_it(kms: Any) -> None:
    """ReplicateKey's answer, then both members by DescribeKey, and ciphertexts that go both ways."""
    there = elsewhere(kms, THERE)
    primary = kms.create_key(MultiRegion=True, Description="first")["KeyMetadata"]
    key, arn = primary["KeyId"], primary["Arn"]
    assert key.startswith("mrk-")
    replica_arn = arn.replace(kms.meta.region_name, THERE)

    made = kms.replicate_key(KeyId=key, ReplicaRegion=THERE, Tags=[{"TagKey": "a", "TagValue": "b"}])

    shown = made["ReplicaKeyMetadata"]
    assert (shown["KeyState"], shown["Enabled"], shown["Description"]) == ("Creating", False, "")
    assert "CurrentKeyMaterialId" not in shown
    assert (shown["Arn"], shown["KeyId"]) == (replica_arn, key)
    assert made["ReplicaTags"] == [{"TagKey": "a", "TagValue": "b"}]
    assert made["ReplicaPolicy"] == there.get_key_policy(KeyId=key)["Policy"]
    ours = kms.describe_key(KeyId=key)["KeyMetadata"]
    theirs = there.describe_key(KeyId=key)["KeyMetadata"]
    assert (theirs["KeyState"], theirs["CurrentKeyMaterialId"]) == ("Enabled", ours["CurrentKeyMaterialId"])
    members = {
        "PrimaryKey": {"Arn": arn, "Region": kms.meta.region_name},
        "ReplicaKeys": [{"Arn": replica_arn, "Region": THERE}],
    }
    assert ours["MultiRegionConfiguration"] == {"MultiRegionKeyType": "PRIMARY", **members}
    assert theirs["MultiRegionConfiguration"] == {"MultiRegionKeyType": "REPLICA", **members}
    for sealer, opener, name in ((kms, there, replica_arn), (there, kms, arn)):
        blob = sealer.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
        opened = opener.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
        assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", name)


def test_the_errors_of_multi_region_keys(kms: Any) -> None:
    """By AWS's codes and texts."""
    there = elsewhere(kms, THERE)
    single = kms.create_key()["KeyMetadata"]
    told = f"UnsupportedOperationException: {single['Arn']} is not a multi-region primary key."
    assert refusal(kms.replicate_key, KeyId=single["KeyId"], ReplicaRegion=THERE) == told
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=THERE)
    again = refusal(kms.replicate_key, KeyId=primary["KeyId"], ReplicaRegion=THERE)
    assert again.startswith("AlreadyExistsException: ")
    of_replica = refusal(there.replicate_key, KeyId=primary["KeyId"], ReplicaRegion=NOWHERE)
    assert of_replica.startswith("UnsupportedOperationException: ")
    assert refusal(there.rotate_key_on_demand, KeyId=primary["KeyId"]).startswith("UnsupportedOperation")
    assert refusal(elsewhere(kms, NOWHERE).describe_key, KeyId=primary["KeyId"]).startswith(
        "NotFoundException"
    )


def test_rotation_move_and_deletion(kms: Any) -> None:
    """The primary rotates for all; roles are swapped; a primary waits for its replicas."""
    there = elsewhere(kms, THERE)
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key, ReplicaRegion=THERE)
    kms.rotate_key_on_demand(KeyId=key)
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=100)
    ours, theirs = (client.get_key_rotation_status(KeyId=key) for client in (kms, there))
    assert theirs["NextRotationDate"] == ours["NextRotationDate"]
    material = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert there.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == material

    kms.update_primary_region(KeyId=key, PrimaryRegion=THERE)

    roles = [
        client.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"]
        for client in (kms, there)
    ]
    assert roles == ["REPLICA", "PRIMARY"]
    waiting = there.schedule_key_deletion(KeyId=key, PendingWindowInDays=9)
    assert (waiting["KeyState"], waiting["PendingWindowInDays"]) == ("PendingReplicaDeletion", 9)
    assert "DeletionDate" not in waiting
    shown = there.describe_key(KeyId=key)["KeyMetadata"]
    assert shown["PendingDeletionWindowInDays"] == 9
    assert "DeletionDate" not in shown
    there.cancel_key_deletion(KeyId=key)
    assert there.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
