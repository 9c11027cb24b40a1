"""Keys: making them, looking at them, and their life."""

from collections.abc import Mapping
from typing import Final

from keystead.core.errors import InvalidRequest, UnsupportedOperation
from keystead.core.key import Origin
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, metadata, page, tags, tokens
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _create_key(taken: model.CreateKeyRequest) -> Command:
    spec = taken.KeySpec or taken.CustomerMasterKeySpec or "SYMMETRIC_DEFAULT"
    if taken.KeySpec and taken.CustomerMasterKeySpec and taken.KeySpec != taken.CustomerMasterKeySpec:
        raise InvalidRequest("You cannot specify KeySpec and CustomerMasterKeySpec in the same request.")
    return c.CreateKey(
        spec=spec,
        usage=taken.KeyUsage,
        description=taken.Description or "",
        policy=taken.Policy,
        tags=tags(taken.Tags),
        bypass_lockout_check=taken.BypassPolicyLockoutSafetyCheck or False,
        origin=Origin(taken.Origin or "AWS_KMS"),
        multi_region=taken.MultiRegion or False,
        key_store=taken.CustomKeyStoreId or "",
        outer_key=taken.XksKeyId or "",
    )


def _list_keys(taken: model.ListKeysRequest) -> Command:
    if taken.ResourceOwners is not None and "SELF" not in taken.ResourceOwners:
        raise UnsupportedOperation("Keys of other accounts are not shared in this version of Keystead.")
    return c.ListKeys(page(taken.Limit, 100, 1000), taken.Marker or "")


def _created(result: r.KeyDescription) -> bytes:
    return encode(model.CreateKeyResponse(KeyMetadata=metadata(result)))


def _described(result: r.KeyDescription) -> bytes:
    return encode(model.DescribeKeyResponse(KeyMetadata=metadata(result)))


def _keys(result: r.KeyPage) -> bytes:
    return encode(
        model.ListKeysResponse(
            Keys=[model.KeyListEntry(KeyArn=key.arn, KeyId=key.id) for key in result.keys],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


def _scheduled(result: r.DeletionScheduled) -> bytes:
    return encode(
        model.ScheduleKeyDeletionResponse(
            DeletionDate=result.key.deletion_date,
            KeyId=result.key.arn,
            KeyState=result.key.state.value,
            PendingWindowInDays=result.window_days,
        )
    )


def _cancelled(result: r.DeletionScheduled) -> bytes:
    return encode(model.CancelKeyDeletionResponse(KeyId=result.key.arn))


ROWS: Final[Mapping[str, Row]] = {
    "CreateKey": Row(_create_key, _created),
    "DescribeKey": Row(lambda t: c.DescribeKey(key(t.KeyId), tokens(t)), _described),
    "ListKeys": Row(_list_keys, _keys),
    "EnableKey": Row(lambda t: c.EnableKey(key(t.KeyId)), done),
    "DisableKey": Row(lambda t: c.DisableKey(key(t.KeyId)), done),
    "ScheduleKeyDeletion": Row(
        lambda t: c.ScheduleKeyDeletion(
            key(t.KeyId), 30 if t.PendingWindowInDays is None else t.PendingWindowInDays
        ),
        _scheduled,
    ),
    "CancelKeyDeletion": Row(lambda t: c.CancelKeyDeletion(key(t.KeyId)), _cancelled),
    "UpdateKeyDescription": Row(lambda t: c.UpdateKeyDescription(key(t.KeyId), t.Description), done),
}
