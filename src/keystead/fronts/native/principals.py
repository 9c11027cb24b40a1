"""Principals and access keys."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.core.principal import AccessKey, Principal
from keystead.fronts.native.row import Id, Name, Page, Row, done
from keystead.service.commands import identity as i
from keystead.service.results import identity as ri


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


class _NamedWithPolicy(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    policy: str = ""


class _Policy(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    policy: str


class _AccessKeyId(msgspec.Struct, forbid_unknown_fields=True):
    access_key_id: Id


class _AccessKeyStatus(msgspec.Struct, forbid_unknown_fields=True):
    access_key_id: Id
    enabled: bool


def _principal(principal: Principal) -> dict[str, object]:
    return {
        "arn": principal.arn,
        "name": principal.name,
        "created": principal.created,
        "enabled": principal.enabled,
        "policy": principal.policy,
    }


def _access_key(access_key: AccessKey) -> dict[str, object]:
    return {
        "access_key_id": access_key.id,
        "principal": access_key.principal,
        "created": access_key.created,
        "enabled": access_key.enabled,
    }


def _principal_page(page: ri.PrincipalPage) -> dict[str, object]:
    return {"principals": [_principal(p) for p in page.principals], "marker": page.marker}


ROWS: Final[Mapping[str, Row]] = {
    "CreatePrincipal": Row(
        _NamedWithPolicy,
        lambda t: i.CreatePrincipal(t.name, t.policy),
        lambda result: _principal(result.principal),
    ),
    "PutPrincipalPolicy": Row(_Policy, lambda t: i.PutPrincipalPolicy(t.name, t.policy), done),
    "DeletePrincipal": Row(_Named, lambda t: i.DeletePrincipal(t.name), done),
    "ListPrincipals": Row(Page, lambda t: i.ListPrincipals(t.limit, t.marker), _principal_page),
    "CreateAccessKey": Row(
        _Named,
        lambda t: i.CreateAccessKey(t.name),
        lambda result: {**_access_key(result.access_key), "secret_access_key": result.secret},
    ),
    "SetAccessKeyStatus": Row(
        _AccessKeyStatus, lambda t: i.SetAccessKeyStatus(t.access_key_id, t.enabled), done
    ),
    "DeleteAccessKey": Row(_AccessKeyId, lambda t: i.DeleteAccessKey(t.access_key_id), done),
    "ListAccessKeys": Row(
        _Named,
        lambda t: i.ListAccessKeys(t.name),
        lambda result: {"access_keys": [_access_key(k) for k in result.access_keys]},
    ),
}
