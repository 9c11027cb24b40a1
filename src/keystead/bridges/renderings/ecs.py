"""Elastic Common Schema, as Elastic's own rules for AWS KMS look for it.

Those rules ask for ``event.dataset: aws.cloudtrail``, ``event.provider: kms.amazonaws.com``, ``event.action`` and
``event.outcome``. So the actions that AWS has are given in that shape, with the ``aws.cloudtrail`` members that rules
use; our own actions are in the dataset ``keystead.audit``. Who made the event is said by ``observer`` and
``cloud.provider``. Everything else that the entry knows is under ``keystead``.

Uses only fields that ECS 8 and 9 share. https://www.elastic.co/docs/reference/ecs
"""

from typing import Any, Final

import msgspec

from keystead import __version__
from keystead.bridges.renderings import cloudtrail, facts
from keystead.bridges.renderings.facts import Doing, Event, Result, Severity
from keystead.service.entry import Entry

VERSION: Final = "8.17.0"

_TYPES: Final = {
    Doing.CREATE: ["creation"],
    Doing.READ: ["access"],
    Doing.UPDATE: ["change"],
    Doing.DELETE: ["deletion"],
    Doing.USE: ["access"],
    Doing.OTHER: ["info"],
}
_OUTCOMES: Final = {
    Result.SUCCESS: "success",
    Result.DENIED: "failure",
    Result.FAILURE: "failure",
    Result.PENDING: "unknown",
}
_SEVERITIES: Final = {  # as Elastic's rules count, to 100
    Severity.INFORMATIONAL: 0,
    Severity.LOW: 21,
    Severity.MEDIUM: 47,
    Severity.HIGH: 73,
}
_CONFIGURES: Final = (Doing.CREATE, Doing.UPDATE, Doing.DELETE)

_encode = msgspec.json.Encoder().encode


def render(data: bytes, event: str) -> bytes:
    """An entry as one ECS document."""
    return _encode(record(facts.read(data, event)))


def record(event: Event) -> dict[str, Any]:
    """The document."""
    entry = event.entry
    who = facts.who(entry.principal)
    name = f"{who.name}/{who.session}" if who.session else who.name
    address = facts.address(entry)
    document: dict[str, Any] = {
        "@timestamp": facts.timestamp(entry.time),
        "cloud": facts.dense(
            {
                "provider": "keystead",
                "region": entry.region,
                "account": facts.dense({"id": facts.account_of(entry)}),
                "service": {"name": facts.service(entry.action)},
            }
        ),
        "ecs": {"version": VERSION},
        "event": _event(event),
        "message": facts.sentence(entry),
        "observer": {"product": "Keystead", "type": "kms", "vendor": "Keystead", "version": __version__},
        "related": facts.dense(
            {
                "hash": [each for each in (entry.ciphertext, entry.context) if each],
                "ip": [address] if address else [],
                "user": [each for each in (name, entry.principal, entry.source_identity) if each],
            }
        ),
        "source": facts.dense({"address": entry.source, "ip": address}),
        "user": facts.dense({"domain": who.account, "id": entry.principal, "name": name}),
        "keystead": _ours(event),
    }
    if facts.service(entry.action) != facts.OURS:
        document["aws"] = {"cloudtrail": _cloudtrail(event)}
    if entry.outcome and facts.result(entry) is not Result.SUCCESS:
        document["error"] = {"code": entry.outcome, "message": facts.failure(entry)}
    if entry.request:
        document["http"] = {"request": {"id": entry.request}}
    if entry.trace:
        document["trace"] = {"id": entry.trace}
    return facts.dense(document)


def _event(event: Event) -> dict[str, Any]:
    entry = event.entry
    doing, result = facts.doing(entry.action), facts.result(entry)
    if facts.authenticates(entry):
        categories, types = ["authentication"], ["start"]
    else:
        categories = ["api", "configuration"] if doing in _CONFIGURES else ["api"]
        types = [*_TYPES[doing]]
    if entry.decision in ("Allow", "Deny"):
        types.append("allowed" if entry.decision == "Allow" else "denied")
    ours = facts.service(entry.action) == facts.OURS
    told: dict[str, Any] = {
        "action": facts.operation(entry.action),
        "category": categories,
        "dataset": "keystead.audit" if ours else "aws.cloudtrail",
        "id": event.id,
        "kind": "event",
        "module": "keystead" if ours else "aws",
        "outcome": _OUTCOMES[result],
        "provider": facts.service(entry.action),
        "sequence": event.index,
        "severity": _SEVERITIES[facts.severity(entry)],
        "type": types,
    }
    if entry.outcome and result is not Result.SUCCESS:
        told["reason"] = facts.failure(entry)
    return told


def _cloudtrail(event: Event) -> dict[str, Any]:
    """The members of a CloudTrail record that rules look at, under the names that Elastic gives them."""
    record = cloudtrail.record(event)
    identity = record["userIdentity"]
    session = identity.get("sessionContext", {}).get("sessionIssuer", {})
    told = {
        "error_code": record.get("errorCode", ""),
        "error_message": record.get("errorMessage", ""),
        "event_category": record["eventCategory"],
        "event_type": record["eventType"],
        "event_version": record["eventVersion"],
        "read_only": record["readOnly"],
        "recipient_account_id": record["recipientAccountId"],
        "request_id": record.get("requestID", ""),
        "resources": [
            {"account_id": each.get("accountId", ""), "arn": each["ARN"], "type": each.get("type", "")}
            for each in record["resources"]
        ],
        "user_identity": facts.dense(
            {
                "access_key_id": identity.get("accessKeyId", ""),
                "arn": identity.get("arn", ""),
                "session_context": facts.dense(
                    {"session_issuer": {"arn": session["arn"], "type": "Role"} if session else {}}
                ),
                "type": identity["type"],
            }
        ),
    }
    return {name: value for name, value in told.items() if value not in ("", [])}


def _ours(event: Event) -> dict[str, Any]:
    """All that ECS has no place for."""
    entry = event.entry
    return {
        "log": event.origin,
        **facts.dense({name: getattr(entry, name) for name in _OURS}),
        "outcome": entry.outcome or "Pending",
    }


_OURS: Final = tuple(
    name
    for name in Entry.__struct_fields__
    if name not in ("outcome", "region", "request", "source", "time", "trace", "v")
)
