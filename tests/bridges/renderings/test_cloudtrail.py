"""Entries as CloudTrail records."""

import json
from typing import Any

import msgspec
import pytest

from bridges.renderings.samples import (
    ALICE,
    DENIED,
    EVENT,
    FEDERATED,
    ISSUER,
    KEY,
    OTHER_KEY,
    ROLE,
    SESSION,
    STOPPED,
    SUBJECTS,
    UNPROVEN,
    USED,
    every_entry,
)
from keystead.bridges.renderings import cloudtrail
from keystead.fronts.aws.errors import ROWS as KMS_ROWS
from keystead.fronts.aws.sts.errors import ROWS as STS_ROWS
from keystead.service.entry import Entry, encode, event_id

changed = msgspec.structs.replace

ALWAYS = {
    "additionalEventData",
    "awsRegion",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestParameters",
    "resources",
    "responseElements",
    "sourceIPAddress",
    "userIdentity",
}
SOMETIMES = {"errorCode", "errorMessage", "requestID"}


def record(entry: Entry) -> dict[str, Any]:
    """The record of an entry, once it has been through JSON."""
    made: dict[str, Any] = json.loads(cloudtrail.render(encode(entry), EVENT))
    return made


def test_every_entry_has_the_members_that_cloudtrail_always_has() -> None:
    """And none that CloudTrail does not know."""
    for entry in every_entry():
        made = record(entry)
        assert ALWAYS <= made.keys() <= ALWAYS | SOMETIMES
        assert made["eventID"] == event_id(EVENT)
        assert ("errorCode" in made) is (entry.outcome not in ("", "Success"))
        assert bool(made["userIdentity"]["type"])


def test_error_codes_are_the_ones_that_the_fronts_give_out() -> None:
    """Except for denials, which CloudTrail writes in its own way, and for what AWS has no name for."""
    internal = {"KMSInternalException"}
    elsewhere = {error.code for error in STS_ROWS}
    for error, row in KMS_ROWS.items():
        if error.code in cloudtrail.KMS_ERRORS:
            assert cloudtrail.KMS_ERRORS[error.code] == row.type or error.code == "AccessDenied"
        else:
            assert row.type in internal or error.code in elsewhere, error.code
    assert {error.code: row.code for error, row in STS_ROWS.items()} == dict(cloudtrail.STS_ERRORS)


def test_a_code_that_aws_has_no_name_for_stays_ours() -> None:
    """An operator finds it in our list."""
    assert cloudtrail.error_code("kms:Encrypt", "DataDamaged") == "DataDamaged"
    assert cloudtrail.error_code("sts:AssumeRole", "InvalidSignature") == "SignatureDoesNotMatch"
    assert cloudtrail.error_code("keystead:PutPolicy", "InvalidSignature") == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("entry", "identity"),
    [
        (
            USED,
            {
                "type": "IAMUser",
                "principalId": ALICE,
                "userName": "alice",
                "arn": ALICE,
                "accountId": "111122223333",
                "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            },
        ),
        (
            changed(USED, principal=SESSION, access_key="ASIAIOSFODNN7EXAMPLE", source_identity="alice"),
            {
                "type": "AssumedRole",
                "principalId": SESSION,
                "arn": SESSION,
                "accountId": "111122223333",
                "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": ROLE,
                        "arn": ROLE,
                        "accountId": "111122223333",
                        "userName": "deploy",
                    },
                    "sourceIdentity": "alice",
                },
            },
        ),
        (
            changed(USED, source_identity="alice", access_key=""),
            {
                "type": "IAMUser",
                "principalId": ALICE,
                "userName": "alice",
                "arn": ALICE,
                "accountId": "111122223333",
                "sessionContext": {"sourceIdentity": "alice"},
            },
        ),
        (
            changed(USED, principal="arn:aws:iam::111122223333:root", access_key=""),
            {
                "type": "Root",
                "principalId": "arn:aws:iam::111122223333:root",
                "arn": "arn:aws:iam::111122223333:root",
                "accountId": "111122223333",
            },
        ),
        (
            changed(USED, principal="arn:aws:iam::111122223333:service/jobs", access_key=""),
            {
                "type": "AWSService",
                "invokedBy": "jobs.keystead.internal",
                "arn": "arn:aws:iam::111122223333:service/jobs",
                "accountId": "111122223333",
            },
        ),
        (
            FEDERATED,
            {
                "type": "WebIdentityUser",
                "principalId": f"{ISSUER}:repo:acme/app",
                "userName": "repo:acme/app",
                "identityProvider": ISSUER,
                "arn": ISSUER,
                "accountId": "111122223333",
            },
        ),
        (changed(FEDERATED, principal="", account="", subject=ROLE), {"type": "WebIdentityUser"}),
        (UNPROVEN, {"type": "Unknown", "accessKeyId": "AKIAIOSFODNN7EXAMPLE"}),
        (
            changed(USED, principal="local:uid=0", access_key=""),
            {"type": "Unknown", "userName": "local:uid=0", "accountId": "111122223333"},
        ),
        (STOPPED, {"type": "AWSService", "invokedBy": "keystead.internal"}),
    ],
    ids=[
        *("user", "session", "user-session", "root", "job", "federated", "token", "unproven", "local", "log")
    ],
)
def test_an_identity_is_of_the_type_that_aws_would_say(entry: Entry, identity: dict[str, Any]) -> None:
    """With what is known of it, and nothing else."""
    assert record(entry)["userIdentity"] == identity


@pytest.mark.parametrize(
    ("entry", "parameters", "elements"),
    [
        (USED, {"keyId": KEY}, None),
        (changed(USED, dry_run=True, outcome="DryRun"), {"keyId": KEY, "dryRun": True}, None),
        (
            changed(USED, action="kms:ReEncrypt", from_key=OTHER_KEY, from_version=1),
            {"sourceKeyId": OTHER_KEY, "destinationKeyId": KEY},
            None,
        ),
        (
            changed(USED, action="kms:Sign", algorithm="ECDSA_SHA_256"),
            {"keyId": KEY, "signingAlgorithm": "ECDSA_SHA_256"},
            None,
        ),
        (
            changed(USED, action="kms:CreateAlias", subject=SUBJECTS["kms:CreateAlias"]),
            {"aliasName": "alias/app", "targetKeyId": KEY},
            {"keyId": KEY},
        ),
        (
            changed(USED, action="kms:CreateGrant", subject="0c23"),
            {"keyId": KEY},
            {"keyId": KEY, "grantId": "0c23"},
        ),
        (
            changed(USED, action="kms:RevokeGrant", subject="0c23"),
            {"keyId": KEY, "grantId": "0c23"},
            {"keyId": KEY},
        ),
        (changed(DENIED, action="kms:DisableKey"), {"keyId": KEY}, None),
        (changed(USED, action="kms:DisableKey", stage="intent", outcome="", key=""), None, None),
        (
            changed(USED, action="sts:AssumeRole", key="", subject=SESSION),
            {"roleArn": ROLE, "roleSessionName": "ci-7"},
            {"assumedRoleUser": {"arn": SESSION}},
        ),
        (changed(DENIED, action="sts:AssumeRole", key="", subject=ROLE), {"roleArn": ROLE}, None),
        (FEDERATED, {"roleArn": ROLE, "roleSessionName": "ci-7"}, {"assumedRoleUser": {"arn": SESSION}}),
        (changed(USED, action="keystead:PutPolicy", key=""), None, None),
    ],
)
def test_parameters_and_elements_are_what_the_entry_knows(
    entry: Entry, parameters: dict[str, Any] | None, elements: dict[str, Any] | None
) -> None:
    """Under AWS's names; what came of it is told of changes that were made."""
    made = record(entry)
    assert (made["requestParameters"], made["responseElements"]) == (parameters, elements)


def test_a_denial_has_awss_code_and_words() -> None:
    """As rules look for them."""
    made = record(DENIED)
    assert made["errorCode"] == "AccessDenied"
    assert made["errorMessage"].startswith(f"User: {ALICE} is not authorized to perform: kms:Decrypt")
    assert made["additionalEventData"]["missing"] == DENIED.missing


def test_what_is_ours_is_beside_it() -> None:
    """Digests, decision, version and the place in the log."""
    assert record(USED)["additionalEventData"] == {
        "action": "kms:Decrypt",
        "auth": "sigv4",
        "ciphertextSha256": USED.ciphertext,
        "clientRequestId": USED.client_request,
        "decidedBy": "identity-policy",
        "decision": "Allow",
        "encryptionContextSha256": USED.context,
        "keyVersion": 3,
        "matched": list(USED.matched),
        "outcome": "Success",
        "statement": "Work",
        "traceId": USED.trace,
        "log": "keystead-0123456789abcdef/w0",
        "index": 567,
        "time": "2025-11-24T16:00:00.123456Z",
    }
    pending = record(changed(USED, outcome="", stage="intent"))
    assert pending["additionalEventData"]["outcome"] == "Pending"
    assert "errorCode" not in pending


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("keystead:DestroyKey", "DeleteKey"),
        ("keystead:RotateKey", "RotateKey"),
        ("keystead:ExpireKeyMaterial", "DeleteExpiredKeyMaterial"),
    ],
)
def test_what_the_jobs_do_is_told_as_aws_kms_tells_it(action: str, name: str) -> None:
    """As an event of the service, not as a call."""
    made = record(changed(USED, action=action))
    assert (made["eventSource"], made["eventName"]) == ("kms.amazonaws.com", name)
    assert (made["eventType"], made["readOnly"]) == ("AwsServiceEvent", False)


def test_the_logs_own_entries_are_events_of_the_service() -> None:
    """They have no request, and nobody asked."""
    made = record(STOPPED)
    assert (made["eventSource"], made["eventName"]) == ("keystead.internal", "AuditStopped")
    assert (made["eventType"], made["sourceIPAddress"]) == ("AwsServiceEvent", "keystead.internal")
    assert "requestID" not in made


def test_resources_have_awss_types_where_it_has_one() -> None:
    """A guardrail has none."""
    guardrail = "arn:aws:iam::111122223333:guardrail/main"
    made = record(changed(USED, subject=guardrail))
    assert made["resources"] == [
        {"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY},
        {"accountId": "111122223333", "ARN": guardrail},
    ]


@pytest.mark.parametrize("records", [[], [b"{}"], [b'{"a":1}', b"{}"]])
def test_a_file_is_one_object_with_all_records(records: list[bytes]) -> None:
    """As CloudTrail delivers it, also when there is none."""
    assert json.loads(b"".join(cloudtrail.file(records))) == {
        "Records": [json.loads(each) for each in records]
    }
