"""OCSF 1.8 events: API Activity (6003) for operations, Authentication (3002) for who somebody is.

Asking AWS STS for a session is an authentication, and so is a signature that does not hold. Everything else is an API
call. The profiles are ``cloud``, ``security_control`` (what was decided, and by which statement) and, for API calls,
``trace``.

What OCSF has no place for is under ``unmapped``, with the names that the entry has. Services are called as AWS calls
them (``kms.amazonaws.com``), which is what queries look for; that it was not AWS is said by ``cloud.provider`` and by
``metadata.product``.

https://schema.ocsf.io/1.8.0/classes/api_activity, https://schema.ocsf.io/1.8.0/classes/authentication
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from keystead import __version__
from keystead.bridges.renderings import facts
from keystead.bridges.renderings.cloudtrail import RESOURCES, error_code
from keystead.bridges.renderings.facts import Doing, Event, Result, Severity, Who
from keystead.service.entry import Entry

VERSION: Final = "1.8.0"


class Class(msgspec.Struct, frozen=True):
    """A class of events."""

    uid: int
    name: str
    category_uid: int
    category: str
    profiles: tuple[str, ...]


API: Final = Class(6003, "API Activity", 6, "Application Activity", ("cloud", "security_control", "trace"))
AUTHENTICATION: Final = Class(
    3002, "Authentication", 3, "Identity & Access Management", ("cloud", "security_control")
)

_OTHER: Final = 99
_ACTIVITIES: Final = {
    Doing.CREATE: (1, "Create"),
    Doing.READ: (2, "Read"),
    Doing.UPDATE: (3, "Update"),
    Doing.DELETE: (4, "Delete"),
}
_LOGON: Final = (1, "Logon")
_SWITCH: Final = (7, "Account Switch")

_STATUSES: Final = {
    Result.SUCCESS: (1, "Success"),
    Result.DENIED: (2, "Failure"),
    Result.FAILURE: (2, "Failure"),
    Result.PENDING: (_OTHER, "Pending"),
}
_SEVERITIES: Final = {
    Severity.INFORMATIONAL: 1,
    Severity.LOW: 2,
    Severity.MEDIUM: 3,
    Severity.HIGH: 4,
}
_DECISIONS: Final = {"Allow": (1, "Allowed"), "Deny": (2, "Denied")}

_USER: Final = (1, "User")
_SYSTEM: Final = (3, "System")
_SERVICE: Final = (4, "Service")
_USER_TYPES: Final = {
    "assumed-role": (_OTHER, "AssumedRole"),
    "oidc-provider": (_OTHER, "WebIdentityUser"),
    "role": (_OTHER, "Role"),
    "root": (2, "Admin"),
    "service": _SYSTEM,
    "service-account": _SERVICE,
    "user": _USER,
}
_ACCOUNT: Final = {"type": "AWS Account", "type_id": 10}
_RESOURCE_UID, _IP, _USER_UID, _CREDENTIAL = 10, 2, 31, 19

_encode = msgspec.json.Encoder().encode


def render(data: bytes, event: str) -> bytes:
    """An entry as one OCSF event."""
    return _encode(record(facts.read(data, event)))


def record(event: Event) -> dict[str, Any]:
    """The event."""
    entry = event.entry
    if facts.authenticates(entry):
        return _said(event, AUTHENTICATION, _session_activity(entry), _authentication(entry))
    return _said(event, API, _activity(entry), _api(event))


def _said(event: Event, of: Class, activity: tuple[int, str], own: dict[str, Any]) -> dict[str, Any]:
    """What both classes say, and what one of them does."""
    entry = event.entry
    activity_id, activity_name = activity
    status_id, status = _STATUSES[facts.result(entry)]
    severity = facts.severity(entry)
    said: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity_name,
        "category_name": of.category,
        "category_uid": of.category_uid,
        "class_name": of.name,
        "class_uid": of.uid,
        "cloud": _cloud(entry),
        "message": facts.sentence(entry),
        "metadata": _metadata(event, of),
        "observables": list(_observables(entry)),
        "severity": str(severity),
        "severity_id": _SEVERITIES[severity],
        "status": status,
        "status_id": status_id,
        "time": entry.time // 1000,
        "type_name": f"{of.name}: {activity_name if activity_id != _OTHER else 'Other'}",
        "type_uid": of.uid * 100 + activity_id,
        **own,
    }
    if entry.outcome and status_id != 1:
        said["status_code"] = error_code(entry.action, entry.outcome)
        said["status_detail"] = facts.failure(entry)
    if entry.decision in _DECISIONS:
        said["action_id"], said["action"] = _DECISIONS[entry.decision]
        said["authorizations"] = list(_authorizations(entry))
    if unmapped := _unmapped(entry, of):
        said["unmapped"] = unmapped
    return said


def _activity(entry: Entry) -> tuple[int, str]:
    """What the operation did; to use a key is none of OCSF's four, so it is called by its name."""
    return _ACTIVITIES.get(facts.doing(entry.action)) or (_OTHER, facts.operation(entry.action))


def _session_activity(entry: Entry) -> tuple[int, str]:
    """A role is somebody else to become; everything else is to log on."""
    return _SWITCH if entry.action == "sts:AssumeRole" else _LOGON


def _api(event: Event) -> dict[str, Any]:
    """What only API Activity has."""
    entry = event.entry
    api: dict[str, Any] = {
        "operation": facts.operation(entry.action),
        "request": {"uid": entry.request or event.id},
        "service": {"name": facts.service(entry.action)},
    }
    if facts.result(entry) in (Result.DENIED, Result.FAILURE):
        api["response"] = {
            "error": error_code(entry.action, entry.outcome),
            "error_message": facts.failure(entry),
        }
    said: dict[str, Any] = {"actor": _actor(entry), "api": api, "src_endpoint": _endpoint(entry)}
    if resources := [_resource(entry, thing) for thing in facts.things(entry)]:
        said["resources"] = resources
    if entry.trace:
        said["trace"] = {"uid": entry.trace}
    return said


def _authentication(entry: Entry) -> dict[str, Any]:
    """What only Authentication has. The user is who it was to become; who asked is the actor."""
    said: dict[str, Any] = {
        "actor": _actor(entry),
        "auth_protocol": "AWS Signature Version 4",
        "auth_protocol_id": _OTHER,
        "is_remote": bool(facts.address(entry)),
        "logon_type": "Network",
        "logon_type_id": 3,
        "service": {"name": facts.service(entry.action)},
        "src_endpoint": _endpoint(entry),
    }
    wanted = facts.who(entry.subject.partition(" ")[0] or entry.principal)
    said["user"] = _user(entry, wanted)
    if entry.action == "sts:AssumeRoleWithWebIdentity":
        said |= {"auth_protocol": "OpenID", "auth_protocol_id": 4}
    elif entry.action == "sts:AssumeRole":
        said |= {"account_switch_type": "Impersonate", "account_switch_type_id": 2}
    return said


def _actor(entry: Entry) -> dict[str, Any]:
    """Who asked: somebody, a session of a role, whom an issuer vouches for, or the service itself."""
    if not (entry.principal or entry.access_key or entry.request):
        return {"app_name": "Keystead"}
    who = facts.who(entry.principal)
    actor: dict[str, Any] = {"user": _user(entry, who)}
    if who.session:
        actor["session"] = {"uid": who.arn, "issuer": who.role}
    if who.kind == "oidc-provider":
        actor["idp"] = {"name": who.name, "uid": who.arn}
        actor["user"] |= {"name": entry.subject.partition(" ")[2] or who.name}
    return actor


def _user(entry: Entry, who: Who) -> dict[str, Any]:
    type_id, kind = _USER_TYPES.get(who.kind, (0, "Unknown"))
    user: dict[str, Any] = {
        "name": (f"{who.name}/{who.session}" if who.session else who.name) or "anonymous",
        "type": kind,
        "type_id": type_id,
    }
    if who.arn:
        user["uid"] = who.arn
    if account := who.account or entry.account:
        user["account"] = {"uid": account, **_ACCOUNT}
    if entry.access_key:
        user["programmatic_credentials"] = [{"uid": entry.access_key, "type": "Access Key"}]
    return user


def _cloud(entry: Entry) -> dict[str, Any]:
    cloud: dict[str, Any] = {"provider": "Keystead"}
    if account := facts.account_of(entry):
        cloud["account"] = {"uid": account, **_ACCOUNT}
    if entry.region:
        cloud["region"] = entry.region
    return cloud


def _endpoint(entry: Entry) -> dict[str, str]:
    """Where it came from: an address, or the name of what asked from within."""
    found = facts.address(entry)
    return {"ip": found} if found else {"svc_name": entry.source or entry.auth or facts.OURS}


def _metadata(event: Event, of: Class) -> dict[str, Any]:
    entry = event.entry
    metadata: dict[str, Any] = {
        "event_code": entry.action or "Unknown",
        "log_name": event.origin,
        "log_provider": "Keystead",
        "original_event_uid": event.name,
        "original_time": facts.timestamp(entry.time),
        "product": {"name": "Keystead", "vendor_name": "Keystead", "version": __version__},
        "profiles": of.profiles,
        "sequence": event.index,
        "uid": event.id,
        "version": VERSION,
    }
    if entry.request:
        metadata["correlation_uid"] = entry.request
    if account := facts.account_of(entry):
        metadata["tenant_uid"] = account
    return metadata


def _observables(entry: Entry) -> Iterator[dict[str, Any]]:
    """What people search for, whatever the class."""
    if entry.principal:
        yield {
            "name": "actor.user.uid",
            "type": "User Object: uid",
            "type_id": _USER_UID,
            "value": entry.principal,
        }
    if found := facts.address(entry):
        yield {"name": "src_endpoint.ip", "type": "IP Address", "type_id": _IP, "value": found}
    if entry.access_key:
        yield {
            "name": "actor.user.programmatic_credentials.uid",
            "type": "User Credential ID",
            "type_id": _CREDENTIAL,
            "value": entry.access_key,
        }
    for thing in facts.things(entry):
        yield {
            "name": "resources.uid",
            "type": "Resource UID",
            "type_id": _RESOURCE_UID,
            "value": thing.arn,
        }


def _authorizations(entry: Entry) -> Iterator[dict[str, Any]]:
    """The statements that had a part in it, as `matched` names them: ``KIND NAME@VERSION LABEL``."""
    _, decision = _DECISIONS[entry.decision]
    for told in entry.matched or (f"{entry.decided_by} @ {entry.statement}",):
        kind, _, rest = told.partition(" ")
        name, _, label = rest.partition(" ")
        uid, _, version = name.rpartition("@")
        policy = {"type": kind or "none", "uid": uid, "version": version, "desc": label}
        yield {"decision": decision, "policy": {member: value for member, value in policy.items() if value}}


def _resource(entry: Entry, thing: facts.Thing) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": thing.name,
        "role": "Target",
        "role_id": 1,
        "type": RESOURCES.get(thing.kind, thing.kind),
        "uid": thing.arn,
    }
    if thing.account:
        resource["owner"] = {"account": {"uid": thing.account, **_ACCOUNT}}
    if thing.region:
        resource["region"] = thing.region
    version = {entry.key: entry.version, entry.from_key: entry.from_version}.get(thing.arn, 0)
    if version:
        resource["version"] = str(version)
    return resource


def _unmapped(entry: Entry, of: Class) -> dict[str, object]:
    return facts.dense(
        {
            "algorithm": entry.algorithm,
            "auth": entry.auth,
            "ciphertext": entry.ciphertext,
            "client_request": entry.client_request,
            "context": entry.context,
            "decided_by": entry.decided_by,
            "detail": entry.detail,
            "dry_run": entry.dry_run,
            "epoch": entry.epoch,
            "missing": entry.missing,
            "outcome": entry.outcome,
            "source_identity": entry.source_identity,
            "stage": entry.stage,
            "statement": entry.statement,
            "subject": entry.subject,
            "trace": "" if "trace" in of.profiles else entry.trace,
        }
    )
