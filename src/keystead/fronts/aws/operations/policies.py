"""Key policies."""

from collections.abc import Mapping
from typing import Final

from keystead.core.errors import NotFound
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import Result
from keystead.service.results import kms as r


def _policy_name(name: str | None) -> None:
    if name not in (None, "default"):
        raise NotFound("No such policy exists")


def _get_policy(taken: model.GetKeyPolicyRequest) -> Command:
    _policy_name(taken.PolicyName)
    return c.GetKeyPolicy(key(taken.KeyId))


def _put_policy(taken: model.PutKeyPolicyRequest) -> Command:
    _policy_name(taken.PolicyName)
    return c.PutKeyPolicy(key(taken.KeyId), taken.Policy or "", taken.BypassPolicyLockoutSafetyCheck or False)


def _policy(result: r.Policy) -> bytes:
    return encode(model.GetKeyPolicyResponse(Policy=result.text, PolicyName="default"))


def _policies(_: Result) -> bytes:
    return encode(model.ListKeyPoliciesResponse(PolicyNames=["default"], Truncated=False))


ROWS: Final[Mapping[str, Row]] = {
    "GetKeyPolicy": Row(_get_policy, _policy),
    "PutKeyPolicy": Row(_put_policy, done),
    "ListKeyPolicies": Row(lambda t: c.ListKeyPolicies(key(t.KeyId)), _policies),
}
