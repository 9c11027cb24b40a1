"""Keys, for those who administer them beside principals: AWS's operations by their names, in our protocol's form.

They are decided like AWS's, as ``kms:`` actions, and have no other effect. ``region`` is where the key is; without it
the one that the request is signed for counts.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.core.errors import InvalidTag
from keystead.core.policy import MAX_BYTES
from keystead.fronts.aws.names import key_reference
from keystead.fronts.native.row import Id, Row, done
from keystead.service.commands import kms as c
from keystead.service.results import kms as r

Region = Annotated[str, msgspec.Meta(pattern=r"\A([a-z][a-z0-9-]{0,31})?\Z")]
KeyId = Annotated[str, msgspec.Meta(max_length=2048)]
AliasName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Description = Annotated[str, msgspec.Meta(max_length=8192)]
PolicyText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_BYTES)]
Tags = Annotated[dict[str, str], msgspec.Meta(max_length=200)]

_TAG_NAME: Final = range(1, 129)
_TAG_VALUE: Final = 256


class InRegion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something about a Region; the one that was signed for if there is none given."""

    region: Region = ""


class _New(InRegion):
    spec: Id = "SYMMETRIC_DEFAULT"
    usage: Id | None = None
    description: Description = ""
    policy: PolicyText | None = None
    tags: Tags = msgspec.field(default_factory=dict)
    multi_region: bool = False
    bypass_policy_lockout_safety_check: bool = False


class _Key(InRegion):
    key_id: KeyId


class _Policy(_Key):
    policy: PolicyText
    bypass_policy_lockout_safety_check: bool = False


class _Description(_Key):
    description: Description


class _Tags(_Key):
    tags: Tags


class _TagNames(_Key):
    names: Annotated[list[str], msgspec.Meta(max_length=200)]


class _Alias(_Key):
    name: AliasName


class _AliasName(InRegion):
    name: AliasName


class _Rotation(_Key):
    period_days: int = 365


def pairs(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags, within AWS's limits for them."""
    for name, value in tags.items():
        if len(name) not in _TAG_NAME or len(value) > _TAG_VALUE:
            raise InvalidTag(
                f"A tag has 1 to {_TAG_NAME[-1]} characters as its name and at most {_TAG_VALUE} as its value."
            )
    return tuple(tags.items())


def _created(result: r.KeyDescription) -> dict[str, object]:
    return {"key_id": result.key.id, "arn": result.key.arn}


ROWS: Final[Mapping[str, Row]] = {
    "CreateKey": Row(
        _New,
        lambda t: c.CreateKey(
            spec=t.spec,
            usage=t.usage,
            description=t.description,
            policy=t.policy,
            tags=pairs(t.tags),
            bypass_lockout_check=t.bypass_policy_lockout_safety_check,
            multi_region=t.multi_region,
        ),
        _created,
    ),
    "PutKeyPolicy": Row(
        _Policy,
        lambda t: c.PutKeyPolicy(key_reference(t.key_id), t.policy, t.bypass_policy_lockout_safety_check),
        done,
    ),
    "UpdateKeyDescription": Row(
        _Description, lambda t: c.UpdateKeyDescription(key_reference(t.key_id), t.description), done
    ),
    "TagResource": Row(_Tags, lambda t: c.TagResource(key_reference(t.key_id), pairs(t.tags)), done),
    "UntagResource": Row(_TagNames, lambda t: c.UntagResource(key_reference(t.key_id), tuple(t.names)), done),
    "CreateAlias": Row(_Alias, lambda t: c.CreateAlias(t.name, key_reference(t.key_id)), done),
    "UpdateAlias": Row(_Alias, lambda t: c.UpdateAlias(t.name, key_reference(t.key_id)), done),
    "DeleteAlias": Row(_AliasName, lambda t: c.DeleteAlias(t.name), done),
    "EnableKeyRotation": Row(
        _Rotation, lambda t: c.EnableKeyRotation(key_reference(t.key_id), t.period_days), done
    ),
    "DisableKeyRotation": Row(_Key, lambda t: c.DisableKeyRotation(key_reference(t.key_id)), done),
    "EnableKey": Row(_Key, lambda t: c.EnableKey(key_reference(t.key_id)), done),
    "DisableKey": Row(_Key, lambda t: c.DisableKey(key_reference(t.key_id)), done),
}
