"""CloudTrail records, so that what people have built for AWS's own log works on ours.

The form is version 1.11 of CloudTrail's record. Detections look at ``eventSource``, ``eventName``, ``errorCode``,
``userIdentity`` and ``readOnly``, and those are as AWS writes them. Three of our own actions are what AWS KMS tells of
as events of the service, and have AWS's names for that; all others of ours have the source ``keystead.internal``.

What CloudTrail has and an entry does not, is left out rather than made up: the client's name, most parameters, policies
and encryption contexts in the clear. What an entry has and CloudTrail does not, is in ``additionalEventData``. An
encryption context is there as its digest.

https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from keystead.bridges.renderings import facts
from keystead.bridges.renderings.facts import Event, Result, Who
from keystead.service.entry import Entry

VERSION: Final = "1.11"

KMS_ERRORS: Final[Mapping[str, str]] = {
    "AccessDenied": "AccessDenied",  # the API says AccessDeniedException, CloudTrail does not
    "AlreadyExists": "AlreadyExistsException",
    "AuditUnavailable": "ServiceUnavailableException",
    "ClusterNotFound": "CloudHsmClusterNotFoundException",
    "CustodyUnavailable": "DependencyTimeoutException",
    "DryRun": "DryRunOperationException",
    "ExpiredImportToken": "ExpiredImportTokenException",
    "ExpiredToken": "ExpiredTokenException",
    "HeldBack": "ConflictException",
    "IncompleteSignature": "IncompleteSignatureException",
    "IncorrectKey": "IncorrectKeyException",
    "IncorrectKeyMaterial": "IncorrectKeyMaterialException",
    "InvalidAliasName": "InvalidAliasNameException",
    "InvalidArn": "InvalidArnException",
    "InvalidCiphertext": "InvalidCiphertextException",
    "InvalidGrantId": "InvalidGrantIdException",
    "InvalidGrantToken": "InvalidGrantTokenException",
    "InvalidImportToken": "InvalidImportTokenException",
    "InvalidKeyState": "KMSInvalidStateException",
    "InvalidKeyUsage": "InvalidKeyUsageException",
    "InvalidMarker": "InvalidMarkerException",
    "InvalidRequest": "ValidationException",
    "InvalidSignature": "InvalidSignatureException",
    "InvalidTag": "TagException",
    "KeyDisabled": "DisabledException",
    "KeyStoreHasKeys": "CustomKeyStoreHasCMKsException",
    "KeyStoreInvalidState": "CustomKeyStoreInvalidStateException",
    "KeyStoreNameInUse": "CustomKeyStoreNameInUseException",
    "KeyStoreNotFound": "CustomKeyStoreNotFoundException",
    "KeyUnavailable": "KeyUnavailableException",
    "LimitExceeded": "LimitExceededException",
    "MacMismatch": "KMSInvalidMacException",
    "MalformedPolicy": "MalformedPolicyDocumentException",
    "NotAuthenticated": "MissingAuthenticationTokenException",
    "NotFound": "NotFoundException",
    "QueryUnavailable": "ServiceUnavailableException",
    "Reserved": "NotAuthorizedException",
    "RotationInProgress": "ConflictException",
    "Serialization": "SerializationException",
    "ShuttingDown": "ServiceUnavailableException",
    "SignatureMismatch": "KMSInvalidSignatureException",
    "StoreUnavailable": "DependencyTimeoutException",
    "Throttled": "ThrottlingException",
    "TooLarge": "RequestEntityTooLargeException",
    "UnknownCredentials": "UnrecognizedClientException",
    "UnknownOperation": "UnknownOperationException",
    "UnsupportedOperation": "UnsupportedOperationException",
    "XksIncorrectCredential": "XksProxyIncorrectAuthenticationCredentialException",
    "XksInvalidConfiguration": "XksProxyInvalidConfigurationException",
    "XksInvalidResponse": "XksProxyInvalidResponseException",
    "XksKeyInUse": "XksKeyAlreadyInUseException",
    "XksKeyInvalidConfiguration": "XksKeyInvalidConfigurationException",
    "XksKeyNotFound": "XksKeyNotFoundException",
    "XksUriInUse": "XksProxyUriInUseException",
    "XksUriUnreachable": "XksProxyUriUnreachableException",
}
"""What AWS KMS calls our errors. A code that is not here is AWS's ``KMSInternalException``, or has no name there."""

STS_ERRORS: Final[Mapping[str, str]] = {
    "AccessDenied": "AccessDenied",
    "AuditUnavailable": "ServiceUnavailable",
    "CustodyUnavailable": "ServiceUnavailable",
    "DryRun": "DryRunOperation",
    "ExpiredIdentityToken": "ExpiredTokenException",
    "ExpiredToken": "ExpiredToken",
    "IncompleteSignature": "IncompleteSignature",
    "InvalidAction": "InvalidAction",
    "InvalidIdentityToken": "InvalidIdentityToken",
    "InvalidRequest": "ValidationError",
    "InvalidSignature": "SignatureDoesNotMatch",
    "MalformedPolicy": "MalformedPolicyDocument",
    "MalformedQuery": "MalformedQueryString",
    "NotAuthenticated": "MissingAuthenticationToken",
    "PolicyTooLarge": "PackedPolicyTooLarge",
    "ProviderUnreachable": "IDPCommunicationError",
    "ShuttingDown": "ServiceUnavailable",
    "StoreUnavailable": "ServiceUnavailable",
    "Throttled": "Throttling",
    "TooLarge": "RequestEntityTooLarge",
    "UnknownCredentials": "InvalidClientTokenId",
}
"""What AWS STS calls them."""

SERVICE_EVENTS: Final[Mapping[str, str]] = {
    "keystead:DestroyKey": "DeleteKey",
    "keystead:ExpireKeyMaterial": "DeleteExpiredKeyMaterial",
    "keystead:RotateKey": "RotateKey",
}
"""What the jobs do by themselves and AWS KMS as well."""

_TYPES: Final = {
    "assumed-role": "AssumedRole",
    "role": "Role",
    "root": "Root",
    "service": "AWSService",
    "service-account": "IAMUser",
    "user": "IAMUser",
}

RESOURCES: Final = {
    "alias": "AWS::KMS::Alias",
    "assumed-role": "AWS::STS::AssumedRole",
    "group": "AWS::IAM::Group",
    "key": "AWS::KMS::Key",
    "oidc-provider": "AWS::IAM::OIDCProvider",
    "policy": "AWS::IAM::ManagedPolicy",
    "role": "AWS::IAM::Role",
    "service-account": "AWS::IAM::User",
    "user": "AWS::IAM::User",
}
"""What AWS calls the kinds of things that have an ARN."""

_ALGORITHMS: Final = {
    "kms:Decapsulate": "encapsulationAlgorithm",
    "kms:DeriveSharedSecret": "keyAgreementAlgorithm",
    "kms:Encapsulate": "encapsulationAlgorithm",
    "kms:GenerateDataKeyPair": "keyPairSpec",
    "kms:GenerateDataKeyPairWithoutPlaintext": "keyPairSpec",
    "kms:GenerateMac": "macAlgorithm",
    "kms:Sign": "signingAlgorithm",
    "kms:Verify": "signingAlgorithm",
    "kms:VerifyMac": "macAlgorithm",
}
_FEDERATED: Final = "sts:AssumeRoleWithWebIdentity"
_ROLES: Final = ("sts:AssumeRole", _FEDERATED)

_encode = msgspec.json.Encoder().encode


def render(data: bytes, event: str) -> bytes:
    """An entry as one CloudTrail record."""
    return _encode(record(facts.read(data, event)))


def file(records: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a log file as CloudTrail delivers them, ``{"Records": [...]}``, of records that are rendered."""
    before = b'{"Records":['
    for each in records:
        yield before + each
        before = b","
    yield b"]}\n" if before == b"," else before + b"]}\n"


def record(event: Event) -> dict[str, Any]:
    """The record; members that CloudTrail always has stand in CloudTrail's order."""
    entry = event.entry
    action = entry.action
    by_itself = action in SERVICE_EVENTS or not entry.request
    written: dict[str, Any] = {
        "eventVersion": VERSION,
        "userIdentity": _identity(entry),
        "eventTime": facts.timestamp(entry.time, "seconds"),
        "eventSource": "kms.amazonaws.com" if action in SERVICE_EVENTS else facts.service(action),
        "eventName": SERVICE_EVENTS.get(action) or facts.operation(action),
        "awsRegion": entry.region,
        "sourceIPAddress": entry.source or facts.OURS,
    }
    if facts.result(entry) in (Result.DENIED, Result.FAILURE):
        written["errorCode"] = error_code(action, entry.outcome)
        written["errorMessage"] = facts.failure(entry)
    written |= {
        "requestParameters": _parameters(entry) or None,
        "responseElements": _elements(entry) or None,
        "additionalEventData": _additional(event),
    }
    if entry.request:
        written["requestID"] = entry.request
    return written | {
        "eventID": event.id,
        "readOnly": facts.changes_nothing(action),
        "resources": [_resource(thing) for thing in facts.things(entry)],
        "eventType": "AwsServiceEvent" if by_itself else "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": facts.account_of(entry),
        "eventCategory": "Management",
    }


def error_code(action: str, outcome: str) -> str:
    """What AWS calls an outcome; our own code where it has no name for it."""
    names = STS_ERRORS if action.startswith("sts:") else KMS_ERRORS
    return names.get(outcome, outcome)


def _identity(entry: Entry) -> dict[str, Any]:
    """Who asked. What is unique about somebody is the ARN here, since an entry has no other id."""
    who = facts.who(entry.principal)
    identity: dict[str, Any] = {"type": _TYPES.get(who.kind, "Unknown")}
    if entry.action == _FEDERATED:
        subject = entry.subject.partition(" ")[2]
        identity |= {
            "type": "WebIdentityUser",
            "principalId": f"{who.arn}:{subject}" if subject else "",
            "userName": subject,
            "identityProvider": who.arn,
        }
    elif who.kind == "service" or not (entry.principal or entry.request):
        identity |= {
            "type": "AWSService",
            "invokedBy": f"{who.name}.{facts.OURS}" if who.name else facts.OURS,
        }
    else:
        identity |= {"principalId": who.arn, "userName": "" if who.session else who.name}
    identity |= {"arn": who.arn, "accountId": entry.account, "accessKeyId": entry.access_key}
    if who.session:
        identity["sessionContext"] = _session(entry, who)
    elif entry.source_identity:
        identity["sessionContext"] = {"sourceIdentity": entry.source_identity}
    return facts.dense(identity)


def _session(entry: Entry, who: Who) -> dict[str, Any]:
    issuer = {
        "type": "Role",
        "principalId": who.role,
        "arn": who.role,
        "accountId": who.account,
        "userName": who.name,
    }
    return facts.dense({"sessionIssuer": issuer, "sourceIdentity": entry.source_identity})


def _parameters(entry: Entry) -> dict[str, Any]:
    """What was asked for, as far as an entry knows."""
    action, subject = entry.action, entry.subject
    parameters: dict[str, Any] = {"dryRun": entry.dry_run}
    if entry.from_key:
        parameters |= {"sourceKeyId": entry.from_key, "destinationKeyId": entry.key}
    elif action.endswith("Alias"):
        parameters |= {"aliasName": subject.rpartition(":")[2], "targetKeyId": entry.key}
    elif action in _ROLES:
        asked = facts.who(subject.partition(" ")[0])
        parameters |= {"roleArn": asked.role or asked.arn, "roleSessionName": asked.session}
    else:
        parameters["keyId"] = entry.key
    if entry.algorithm:
        parameters[_ALGORITHMS.get(action, "algorithm")] = entry.algorithm
    if action in ("kms:RevokeGrant", "kms:RetireGrant"):
        parameters["grantId"] = subject
    return facts.dense(parameters)


def _elements(entry: Entry) -> dict[str, Any]:
    """What came of it: of changes the key, and of what was made its name."""
    if facts.result(entry) is not Result.SUCCESS:
        return {}
    if entry.action in _ROLES:
        return {"assumedRoleUser": {"arn": entry.subject.partition(" ")[0]}}
    if facts.changes_nothing(entry.action):
        return {}
    grant = entry.subject if entry.action == "kms:CreateGrant" else ""
    return facts.dense({"keyId": entry.key, "grantId": grant})


def _additional(event: Event) -> dict[str, Any]:
    """What is ours, and where the entry stands, so that gaps show."""
    entry = event.entry
    told = {
        "action": entry.action,
        "auth": entry.auth,
        "ciphertextSha256": entry.ciphertext,
        "clientRequestId": entry.client_request,
        "decidedBy": entry.decided_by,
        "decision": entry.decision,
        "detail": entry.detail,
        "encryptionContextSha256": entry.context,
        "keyVersion": entry.version,
        "matched": entry.matched,
        "missing": entry.missing,
        "outcome": entry.outcome or "Pending",
        "sourceKeyVersion": entry.from_version,
        "statement": entry.statement,
        "subject": entry.subject,
        "traceId": entry.trace,
    }
    return {
        **facts.dense(told),
        "log": event.origin,
        "index": event.index,
        "time": facts.timestamp(entry.time),
    }


def _resource(thing: facts.Thing) -> dict[str, str]:
    resource = {"accountId": thing.account, "type": RESOURCES.get(thing.kind, ""), "ARN": thing.arn}
    return {name: value for name, value in resource.items() if value}
