"""AWS KMS's protocol: JSON 1.1 over POST, signed with SigV4.

    POST / HTTP/1.1
    X-Amz-Target: TrentService.Encrypt
    Content-Type: application/x-amz-json-1.1
    Authorization: AWS4-HMAC-SHA256 Credential=.../kms/aws4_request, SignedHeaders=..., Signature=...

`Json11.read` authenticates, then understands: who it is first, so that a stranger learns nothing about what
would be valid. One row of `ROWS` per operation says how its input becomes a command and how its result
becomes an answer. Operations of AWS KMS that have no row are answered `UnsupportedOperationException`.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from zlib import crc32

import msgspec

from keystead.core.errors import InvalidRequest, KeysteadError, NotFound, UnsupportedOperation
from keystead.core.key import Rotation, State
from keystead.core.names import KeyReference
from keystead.core.ports import Clock
from keystead.core.spec import DATA_KEY_BYTES, SPECS
from keystead.crypto.secret import Secret
from keystead.fronts.aws import errors, model, names
from keystead.fronts.aws.sigv4 import Credential, Verifier
from keystead.fronts.aws.validate import parse, validate
from keystead.fronts.front import Asked, Inquiry
from keystead.service import commands as c
from keystead.service import results as r
from keystead.service.caller import Caller
from keystead.service.entry import Entry
from keystead.service.workingset import HeldCredential, WorkingSet

PREFIX: Final = b"TrentService."
CONTENT_TYPE: Final = b"content-type: application/x-amz-json-1.1\r\n"

Write = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: its input to a command, and its result to an answer."""

    command: Callable[[Any], c.Command]
    write: Write


class Json11:
    """The front (`keystead.fronts.front.Front`). For one thread."""

    def __init__(self, *, working: WorkingSet, clock: Clock, regions: tuple[str, ...]) -> None:
        self._working = working
        self._regions = frozenset(regions)
        self._verifier = Verifier(service="kms", lookup=self._credential, clock=clock)

    def read(self, inquiry: Inquiry, request: str) -> Asked:
        """Authenticate and understand one request."""
        headers = inquiry.headers
        verified = self._verifier.verify(inquiry.method, inquiry.target, headers, inquiry.body)
        target = headers.get(b"x-amz-target", b"")
        operation = _TARGETS.get(target)
        # "//" and "/./" are signed like "/" (SigV4 normalises paths), but are not this API's address.
        if operation is None or inquiry.method != b"POST" or inquiry.target != b"/":
            raise errors.UnknownOperationError
        if self._regions and verified.region not in self._regions:
            raise NotFound(f"This endpoint does not serve the region {verified.region}.")
        name = operation.name
        row = ROWS.get(name)
        if row is None:
            raise UnsupportedOperation(f"{name} is not supported by this version of Keystead.")
        taken = parse(operation, inquiry.body)
        validate(operation, taken)
        held: HeldCredential = verified.principal  # type: ignore[assignment]  # as `_credential` gave it
        caller = Caller(
            held.identity,
            request,
            verified.region,
            verified.access_key,
            "sigv4",
            inquiry.peer,
            _trace(headers),
        )
        return Asked(name, caller, row.command(taken), row.write)

    def describe(self, inquiry: Inquiry, request: str) -> Entry:
        """What can be recorded of a request that was refused."""
        target = inquiry.headers.get(b"x-amz-target", b"")
        operation = _TARGETS.get(target)
        return Entry(
            access_key=names.claimed_access_key(inquiry.headers.get(b"authorization", b"")),
            action="" if operation is None else f"kms:{operation.name}",
            request=request,
            source=inquiry.peer,
            trace=_trace(inquiry.headers),
        )

    def write_error(self, error: KeysteadError) -> tuple[int, bytes]:
        """AWS's status and JSON for an error."""
        return errors.encode(error)

    def head(self, request: str, body: bytes) -> bytes:
        """The header lines of every answer; the checksum lets a client see that the body is whole."""
        return b"%bx-amzn-requestid: %b\r\nx-amz-crc32: %d\r\n" % (
            CONTENT_TYPE,
            request.encode(),
            crc32(body),
        )

    def _credential(self, access_key_id: str) -> Credential | None:
        held = self._working.credential(access_key_id)
        if held is None:
            return None
        if held.proof is None:  # made once, so that the verifier knows it again
            held.proof = Credential(held.access_key_id, Secret(held.secret), principal=held)
        return cast("Credential", held.proof)


def _trace(headers: Mapping[bytes, bytes]) -> str:
    """The trace id of a W3C ``traceparent`` header, or nothing if that is not in the form it must have."""
    value = headers.get(b"traceparent")
    match = None if value is None else _traceparent(value)
    return "" if match is None else match[1].decode()


# W3C Trace Context 3.2: version, trace id, parent id, flags. Version ff and ids of zeros are not valid, and
# only a later version than 00 may go on.
_traceparent: Final = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
).fullmatch


_TARGETS: Final[Mapping[bytes, Any]] = {
    PREFIX + name.encode(): operation for name, operation in model.OPERATIONS.items()
}

_encode: Final = msgspec.json.Encoder().encode


# --- inputs ----------------------------------------------------------------------------------------------


def _key(text: str | None) -> KeyReference:
    """A required key; that it is there has been validated."""
    return names.key_reference(text or "")


def _optional_key(text: str | None) -> KeyReference | None:
    return None if text is None else names.key_reference(text)


def _no_recipient(taken: Any) -> None:  # noqa: ANN401 - several of the model's structures
    if taken.Recipient is not None:
        raise UnsupportedOperation("Recipient is not supported: no attestation is configured.")


def _symmetric_only(algorithm: str | None) -> None:
    if algorithm not in (None, "SYMMETRIC_DEFAULT"):
        raise InvalidRequest(f"Algorithm {algorithm} is not valid for this KMS key.")


def _encrypt(taken: model.EncryptRequest) -> c.Command:
    _symmetric_only(taken.EncryptionAlgorithm)
    return c.Encrypt(
        _key(taken.KeyId), taken.Plaintext or b"", taken.EncryptionContext, taken.DryRun or False
    )


def _decrypt(taken: model.DecryptRequest) -> c.Command:
    _symmetric_only(taken.EncryptionAlgorithm)
    _no_recipient(taken)
    _blob_needed(taken, taken.CiphertextBlob)
    return c.Decrypt(
        taken.CiphertextBlob, _optional_key(taken.KeyId), taken.EncryptionContext, taken.DryRun or False
    )


def _re_encrypt(taken: model.ReEncryptRequest) -> c.Command:
    _symmetric_only(taken.SourceEncryptionAlgorithm)
    _symmetric_only(taken.DestinationEncryptionAlgorithm)
    _blob_needed(taken, taken.CiphertextBlob)
    return c.ReEncrypt(
        taken.CiphertextBlob,
        _key(taken.DestinationKeyId),
        _optional_key(taken.SourceKeyId),
        taken.DestinationEncryptionContext,
        taken.SourceEncryptionContext,
        taken.DryRun or False,
    )


def _blob_needed(taken: Any, blob: bytes | None) -> None:  # noqa: ANN401 - two of the model's structures
    """The ciphertext may be left out only of a dry run that says so (AWS: DryRunModifiers)."""
    if blob is None and not (taken.DryRun and "IGNORE_CIPHERTEXT" in (taken.DryRunModifiers or ())):
        raise InvalidRequest(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
            "Member must not be null"
        )


def _length(taken: Any) -> int:  # noqa: ANN401 - two of the model's structures
    if (taken.KeySpec is None) == (taken.NumberOfBytes is None):
        raise InvalidRequest("Please specify either number of bytes or key spec.")
    length: int = taken.NumberOfBytes or DATA_KEY_BYTES[taken.KeySpec]
    return length


def _data_key(taken: model.GenerateDataKeyRequest) -> c.Command:
    _no_recipient(taken)
    return c.GenerateDataKey(
        _key(taken.KeyId), _length(taken), taken.EncryptionContext, taken.DryRun or False
    )


def _data_key_without_plaintext(taken: model.GenerateDataKeyWithoutPlaintextRequest) -> c.Command:
    return c.GenerateDataKeyWithoutPlaintext(
        _key(taken.KeyId), _length(taken), taken.EncryptionContext, taken.DryRun or False
    )


def _random(taken: model.GenerateRandomRequest) -> c.Command:
    _no_recipient(taken)
    if taken.CustomKeyStoreId is not None:
        raise UnsupportedOperation("Custom key stores are not supported by this version of Keystead.")
    if taken.NumberOfBytes is None:
        raise InvalidRequest("NumberOfBytes is required.")
    return c.GenerateRandom(taken.NumberOfBytes)


def _create_key(taken: model.CreateKeyRequest) -> c.Command:
    spec = taken.KeySpec or taken.CustomerMasterKeySpec or "SYMMETRIC_DEFAULT"
    if taken.KeySpec and taken.CustomerMasterKeySpec and taken.KeySpec != taken.CustomerMasterKeySpec:
        raise InvalidRequest("You cannot specify KeySpec and CustomerMasterKeySpec in the same request.")
    if taken.Origin not in (None, "AWS_KMS") or taken.CustomKeyStoreId or taken.XksKeyId:
        raise UnsupportedOperation(f"Origin {taken.Origin} is not supported by this version of Keystead.")
    if taken.MultiRegion:
        raise UnsupportedOperation("Multi-Region keys are not supported by this version of Keystead.")
    if taken.KeyUsage is None and spec not in SPECS:
        raise InvalidRequest(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        )
    return c.CreateKey(
        spec=spec,
        usage=taken.KeyUsage,
        description=taken.Description or "",
        policy=taken.Policy,
        tags=_tags(taken.Tags),
        bypass_lockout_check=taken.BypassPolicyLockoutSafetyCheck or False,
    )


def _tags(tags: list[model.Tag] | None) -> tuple[tuple[str, str], ...]:
    return tuple((tag.TagKey or "", tag.TagValue or "") for tag in tags or ())


def _page(limit: int | None, default: int, most: int) -> int:
    """A list's page size: AWS's own ranges are narrower than its model's."""
    if limit is None:
        return default
    if limit > most:
        raise InvalidRequest(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value less than or equal to {most}"
        )
    return limit


def _policy_name(name: str | None) -> None:
    if name not in (None, "default"):
        raise NotFound("No such policy exists")


def _get_policy(taken: model.GetKeyPolicyRequest) -> c.Command:
    _policy_name(taken.PolicyName)
    return c.GetKeyPolicy(_key(taken.KeyId))


def _put_policy(taken: model.PutKeyPolicyRequest) -> c.Command:
    _policy_name(taken.PolicyName)
    return c.PutKeyPolicy(
        _key(taken.KeyId), taken.Policy or "", taken.BypassPolicyLockoutSafetyCheck or False
    )


def _list_keys(taken: model.ListKeysRequest) -> c.Command:
    if taken.ResourceOwners is not None and "SELF" not in taken.ResourceOwners:
        raise UnsupportedOperation("Keys of other accounts are not shared in this version of Keystead.")
    return c.ListKeys(_page(taken.Limit, 100, 1000), taken.Marker or "")


def _list_rotations(taken: model.ListKeyRotationsRequest) -> c.Command:
    return c.ListKeyRotations(
        _key(taken.KeyId),
        taken.IncludeKeyMaterial == "ALL_KEY_MATERIAL",
        _page(taken.Limit, 100, 1000),
        taken.Marker or "",
    )


# --- answers ---------------------------------------------------------------------------------------------


def _encrypted(result: r.Encrypted) -> bytes:
    return b'{"CiphertextBlob":"%b","EncryptionAlgorithm":"SYMMETRIC_DEFAULT","KeyId":"%b"}' % (
        b64encode(result.blob),
        result.key.encode(),
    )


def _decrypted(result: r.Decrypted) -> bytes:
    return (
        b'{"EncryptionAlgorithm":"SYMMETRIC_DEFAULT","KeyId":"%b","KeyMaterialId":"%b","Plaintext":"%b"}'
        % (result.key.encode(), result.material_id.encode(), b64encode(result.plaintext))
    )


def _new_data_key(result: r.DataKey) -> bytes:
    tail = b"" if result.plaintext is None else b',"Plaintext":"%b"' % b64encode(result.plaintext)
    return b'{"CiphertextBlob":"%b","KeyId":"%b","KeyMaterialId":"%b"%b}' % (
        b64encode(result.blob),
        result.key.encode(),
        result.material_id.encode(),
        tail,
    )


def _re_encrypted(result: r.ReEncrypted) -> bytes:
    return _encode(
        model.ReEncryptResponse(
            CiphertextBlob=result.blob,
            DestinationEncryptionAlgorithm="SYMMETRIC_DEFAULT",
            DestinationKeyMaterialId=result.material_id,
            KeyId=result.key,
            SourceEncryptionAlgorithm="SYMMETRIC_DEFAULT",
            SourceKeyId=result.source_key,
            SourceKeyMaterialId=result.source_material_id,
        )
    )


def _random_bytes(result: r.RandomBytes) -> bytes:
    return _encode(model.GenerateRandomResponse(Plaintext=result.data))


def _done(_: r.Result) -> bytes:
    """An operation without output: an empty body, as AWS sends."""
    return b""


def _metadata(result: r.KeyDescription) -> model.KeyMetadataType:
    key = result.key
    return model.KeyMetadataType(
        AWSAccountId=key.account,
        Arn=key.arn,
        CreationDate=key.created,
        CurrentKeyMaterialId=result.material_id,
        CustomerMasterKeySpec=key.spec,
        DeletionDate=key.deletion_date,
        Description=key.description,
        Enabled=key.state is State.ENABLED,
        EncryptionAlgorithms=list(SPECS[key.spec].encryption_algorithms),
        KeyId=key.id,
        KeyManager="CUSTOMER",
        KeySpec=key.spec,
        KeyState=key.state.value,
        KeyUsage=key.usage,
        MultiRegion=False,
        Origin="AWS_KMS",
    )


def _created(result: r.KeyDescription) -> bytes:
    return _encode(model.CreateKeyResponse(KeyMetadata=_metadata(result)))


def _described(result: r.KeyDescription) -> bytes:
    return _encode(model.DescribeKeyResponse(KeyMetadata=_metadata(result)))


def _keys(result: r.KeyPage) -> bytes:
    return _encode(
        model.ListKeysResponse(
            Keys=[model.KeyListEntry(KeyArn=key.arn, KeyId=key.id) for key in result.keys],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


def _scheduled(result: r.DeletionScheduled) -> bytes:
    return _encode(
        model.ScheduleKeyDeletionResponse(
            DeletionDate=result.key.deletion_date,
            KeyId=result.key.arn,
            KeyState=result.key.state.value,
            PendingWindowInDays=result.window_days,
        )
    )


def _cancelled(result: r.DeletionScheduled) -> bytes:
    return _encode(model.CancelKeyDeletionResponse(KeyId=result.key.arn))


def _rotated(result: r.Rotated) -> bytes:
    return _encode(model.RotateKeyOnDemandResponse(KeyId=result.key.arn))


def _rotation_status(result: r.RotationStatus) -> bytes:
    key = result.key
    # AWS, GetKeyRotationStatus: a disabled key keeps its status, one pending deletion has none.
    pending = key.state is State.PENDING_DELETION
    enabled = key.rotation_period_days is not None and not pending
    return _encode(
        model.GetKeyRotationStatusResponse(
            KeyId=key.arn,
            KeyRotationEnabled=enabled,
            NextRotationDate=key.next_rotation if enabled else None,
            RotationPeriodInDays=key.rotation_period_days if enabled else None,
        )
    )


def _rotations(result: r.RotationPage) -> bytes:
    return _encode(
        model.ListKeyRotationsResponse(
            NextMarker=result.marker or None,
            Rotations=[
                model.RotationsListEntry(
                    KeyId=result.key.arn,
                    KeyMaterialId=version.material_id,
                    KeyMaterialState=(
                        "CURRENT" if version.number == result.key.current_version else "NON_CURRENT"
                    ),
                    RotationDate=None if version.rotation is Rotation.FIRST else version.created,
                    RotationType=None if version.rotation is Rotation.FIRST else version.rotation.value,
                )
                for version in result.versions
            ],
            Truncated=bool(result.marker),
        )
    )


def _aliases(result: r.AliasPage) -> bytes:
    return _encode(
        model.ListAliasesResponse(
            Aliases=[
                model.AliasListEntry(
                    AliasArn=alias.arn,
                    AliasName=alias.name,
                    CreationDate=alias.created,
                    LastUpdatedDate=alias.updated,
                    TargetKeyId=alias.key_id,
                )
                for alias in result.aliases
            ],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


def _tag_list(result: r.TagPage) -> bytes:
    return _encode(
        model.ListResourceTagsResponse(
            NextMarker=result.marker or None,
            Tags=[model.Tag(TagKey=name, TagValue=value) for name, value in result.tags],
            Truncated=bool(result.marker),
        )
    )


def _policy(result: r.Policy) -> bytes:
    return _encode(model.GetKeyPolicyResponse(Policy=result.text, PolicyName="default"))


def _policies(_: r.Result) -> bytes:
    return _encode(model.ListKeyPoliciesResponse(PolicyNames=["default"], Truncated=False))


ROWS: Final[Mapping[str, Row]] = {
    "Encrypt": Row(_encrypt, _encrypted),
    "Decrypt": Row(_decrypt, _decrypted),
    "ReEncrypt": Row(_re_encrypt, _re_encrypted),
    "GenerateDataKey": Row(_data_key, _new_data_key),
    "GenerateDataKeyWithoutPlaintext": Row(_data_key_without_plaintext, _new_data_key),
    "GenerateRandom": Row(_random, _random_bytes),
    "CreateKey": Row(_create_key, _created),
    "DescribeKey": Row(lambda t: c.DescribeKey(_key(t.KeyId)), _described),
    "ListKeys": Row(_list_keys, _keys),
    "EnableKey": Row(lambda t: c.EnableKey(_key(t.KeyId)), _done),
    "DisableKey": Row(lambda t: c.DisableKey(_key(t.KeyId)), _done),
    "ScheduleKeyDeletion": Row(
        lambda t: c.ScheduleKeyDeletion(
            _key(t.KeyId), 30 if t.PendingWindowInDays is None else t.PendingWindowInDays
        ),
        _scheduled,
    ),
    "CancelKeyDeletion": Row(lambda t: c.CancelKeyDeletion(_key(t.KeyId)), _cancelled),
    "UpdateKeyDescription": Row(lambda t: c.UpdateKeyDescription(_key(t.KeyId), t.Description), _done),
    "EnableKeyRotation": Row(
        lambda t: c.EnableKeyRotation(
            _key(t.KeyId), 365 if t.RotationPeriodInDays is None else t.RotationPeriodInDays
        ),
        _done,
    ),
    "DisableKeyRotation": Row(lambda t: c.DisableKeyRotation(_key(t.KeyId)), _done),
    "GetKeyRotationStatus": Row(lambda t: c.GetKeyRotationStatus(_key(t.KeyId)), _rotation_status),
    "RotateKeyOnDemand": Row(lambda t: c.RotateKeyOnDemand(_key(t.KeyId)), _rotated),
    "ListKeyRotations": Row(_list_rotations, _rotations),
    "CreateAlias": Row(lambda t: c.CreateAlias(t.AliasName, _key(t.TargetKeyId)), _done),
    "UpdateAlias": Row(lambda t: c.UpdateAlias(t.AliasName, _key(t.TargetKeyId)), _done),
    "DeleteAlias": Row(lambda t: c.DeleteAlias(t.AliasName), _done),
    "ListAliases": Row(
        lambda t: c.ListAliases(_optional_key(t.KeyId), _page(t.Limit, 50, 100), t.Marker or ""), _aliases
    ),
    "TagResource": Row(lambda t: c.TagResource(_key(t.KeyId), _tags(t.Tags)), _done),
    "UntagResource": Row(lambda t: c.UntagResource(_key(t.KeyId), tuple(t.TagKeys)), _done),
    "ListResourceTags": Row(
        lambda t: c.ListResourceTags(_key(t.KeyId), _page(t.Limit, 50, 50), t.Marker or ""), _tag_list
    ),
    "GetKeyPolicy": Row(_get_policy, _policy),
    "PutKeyPolicy": Row(_put_policy, _done),
    "ListKeyPolicies": Row(lambda t: c.ListKeyPolicies(_key(t.KeyId)), _policies),
}
