"""Principals and access keys."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.core.ports import LastUse
from keystead.core.principal import HOUR, USER, AccessKey, Principal
from keystead.fronts.native.row import Id, Name, Page, Reference, Row, done
from keystead.service.commands import identity as i
from keystead.service.results import identity as ri


class _User(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    kind: Name = USER


class _Policy(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    policy: str
    kind: Name = USER


class _New(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    kind: Name = USER
    policy: str = ""
    attached: tuple[Reference, ...] = ()
    groups: tuple[Reference, ...] = ()
    boundary: Reference = ""
    tags: dict[str, str] = {}
    trust: str = ""
    session_seconds: int = HOUR


class _Changes(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    kind: Name = USER
    policy: str | None = None
    attached: tuple[Reference, ...] | None = None
    groups: tuple[Reference, ...] | None = None
    boundary: Reference | None = None
    tags: dict[str, str] | None = None
    trust: str | None = None
    session_seconds: int | None = None
    enabled: bool | None = None


class _Revocation(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    kind: Name = USER
    disable: bool = False


class _OfKind(Page, forbid_unknown_fields=True):
    kind: Name = ""


class _AccessKeyId(msgspec.Struct, forbid_unknown_fields=True):
    access_key_id: Id


class _AccessKeyStatus(msgspec.Struct, forbid_unknown_fields=True):
    access_key_id: Id
    enabled: bool


def principal_members(principal: Principal) -> dict[str, object]:
    """What is said of a principal."""
    return {
        "arn": principal.arn,
        "kind": principal.kind,
        "name": principal.name,
        "created": principal.created,
        "enabled": principal.enabled,
        "policy": principal.policy,
        "attached": list(principal.attached),
        "groups": list(principal.groups),
        "boundary": principal.boundary,
        "tags": dict(principal.tags),
        "trust": principal.trust,
        "session_seconds": principal.session_seconds,
        "sessions_from": principal.sessions_from,
        "mfa": bool(principal.mfa),
    }


def access_key_members(access_key: AccessKey) -> dict[str, object]:
    """What is said of an access key."""
    return {
        "access_key_id": access_key.id,
        "principal": access_key.principal,
        "created": access_key.created,
        "enabled": access_key.enabled,
    }


def _last_use(last: LastUse | None) -> dict[str, object]:
    if last is None:
        return {"last_used": None, "tracked_since": None}
    if last.use is None:
        return {"last_used": None, "tracked_since": last.since}
    use = last.use
    told = {"time": use.time, "action": use.action, "region": use.region, "request": use.request}
    return {"last_used": told, "tracked_since": last.since}


def _principal_page(page: ri.PrincipalPage) -> dict[str, object]:
    return {"principals": [principal_members(p) for p in page.principals], "marker": page.marker}


def _described(result: ri.PrincipalDescription) -> dict[str, object]:
    return {**principal_members(result.principal), "members": list(result.members)}


def _revoked(result: ri.Revoked) -> dict[str, object]:
    return {
        "principal": result.principal.arn,
        "enabled": result.principal.enabled,
        "sessions_from": result.principal.sessions_from,
        "access_keys": list(result.access_keys),
        "grants": result.grants,
    }


def _listed(result: ri.AccessKeyList) -> dict[str, object]:
    pairs = zip(result.access_keys, result.uses, strict=True)
    return {"access_keys": [{**access_key_members(key), **_last_use(last)} for key, last in pairs]}


def _pairs(tags: dict[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    return None if tags is None else tuple(tags.items())


def _create(taken: _New) -> i.CreatePrincipal:
    return i.CreatePrincipal(
        taken.name,
        taken.policy,
        taken.kind,
        taken.attached,
        taken.groups,
        taken.boundary,
        tuple(taken.tags.items()),
        taken.trust,
        taken.session_seconds,
    )


def _update(taken: _Changes) -> i.UpdatePrincipal:
    return i.UpdatePrincipal(
        taken.name,
        taken.kind,
        taken.policy,
        taken.attached,
        taken.groups,
        taken.boundary,
        _pairs(taken.tags),
        taken.trust,
        taken.session_seconds,
        taken.enabled,
    )


ROWS: Final[Mapping[str, Row]] = {
    "CreatePrincipal": Row(_New, _create, lambda result: principal_members(result.principal)),
    "UpdatePrincipal": Row(_Changes, _update, lambda result: principal_members(result.principal)),
    "PutPrincipalPolicy": Row(_Policy, lambda t: i.PutPrincipalPolicy(t.name, t.policy, t.kind), done),
    "DescribePrincipal": Row(_Named, lambda t: i.DescribePrincipal(t.name, t.kind), _described),
    "ListPrincipals": Row(_OfKind, lambda t: i.ListPrincipals(t.limit, t.marker, t.kind), _principal_page),
    "EnableMfa": Row(
        _User,
        lambda t: i.EnableMfa(t.name),
        lambda result: {
            "principal": result.principal.arn,
            "serial": result.serial,
            "secret": result.secret,
            "uri": result.uri,
        },
    ),
    "DisableMfa": Row(_User, lambda t: i.DisableMfa(t.name), done),
    "CreateAccessKey": Row(
        _Named,
        lambda t: i.CreateAccessKey(t.name, t.kind),
        lambda result: {**access_key_members(result.access_key), "secret_access_key": result.secret},
    ),
    "ListAccessKeys": Row(_Named, lambda t: i.ListAccessKeys(t.name, t.kind), _listed),
    "SetAccessKeyStatus": Row(
        _AccessKeyStatus, lambda t: i.SetAccessKeyStatus(t.access_key_id, t.enabled), done
    ),
    "DeleteAccessKey": Row(_AccessKeyId, lambda t: i.DeleteAccessKey(t.access_key_id), done),
    "ForeseeRevocation": Row(_Named, lambda t: i.ForeseeRevocation(t.name, t.kind), _revoked),
    "RevokePrincipal": Row(_Revocation, lambda t: i.RevokePrincipal(t.name, t.kind, t.disable), _revoked),
    "DeletePrincipal": Row(_Named, lambda t: i.DeletePrincipal(t.name, t.kind), done),
}
