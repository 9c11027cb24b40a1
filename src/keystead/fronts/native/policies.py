"""Policies that are attached by name."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.fronts.native.row import Page, Reference, Row, done
from keystead.service.commands import identity as i
from keystead.service.results import identity as ri


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Reference


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    name: Reference
    text: str


def _policy(policy: ri.PolicyText) -> dict[str, object]:
    return {
        "arn": policy.arn,
        "name": policy.name,
        "text": policy.text,
        "built_in": policy.built_in,
        "description": policy.description,
        "created": policy.created,
        "updated": policy.updated,
    }


ROWS: Final[Mapping[str, Row]] = {
    "PutPolicy": Row(_Text, lambda t: i.PutPolicy(t.name, t.text), _policy),
    "DescribePolicy": Row(
        _Named,
        lambda t: i.DescribePolicy(t.name),
        lambda policy: {**_policy(policy), "attached_to": list(policy.attached_to)},
    ),
    "ListPolicies": Row(
        Page,
        lambda t: i.ListPolicies(t.limit, t.marker),
        lambda page: {"policies": [_policy(policy) for policy in page.policies], "marker": page.marker},
    ),
    "DeletePolicy": Row(_Named, lambda t: i.DeletePolicy(t.name), done),
}
