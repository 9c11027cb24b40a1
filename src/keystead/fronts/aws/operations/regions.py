"""Multi-Region keys."""

from collections.abc import Mapping
from typing import Final

from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, metadata, tags
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _replicate(taken: model.ReplicateKeyRequest) -> Command:
    return c.ReplicateKey(
        key(taken.KeyId),
        taken.ReplicaRegion or "",
        taken.Policy,
        taken.BypassPolicyLockoutSafetyCheck or False,
        taken.Description or "",
        tags(taken.Tags),
    )


def _replicated(result: r.Replica) -> bytes:
    return encode(
        model.ReplicateKeyResponse(
            ReplicaKeyMetadata=metadata(result.description),
            ReplicaPolicy=result.policy,
            ReplicaTags=[model.Tag(TagKey=name, TagValue=value) for name, value in result.tags],
        )
    )


ROWS: Final[Mapping[str, Row]] = {
    "ReplicateKey": Row(_replicate, _replicated),
    "UpdatePrimaryRegion": Row(lambda t: c.UpdatePrimaryRegion(key(t.KeyId), t.PrimaryRegion or ""), done),
}
