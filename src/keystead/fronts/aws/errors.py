"""A failure, the way AWS KMS writes it: ``{"__type": "NotFoundException", "message": "..."}``.

One table for the whole family, and one rule for everything else: an exception that is not in the family is
a bug, and its text stays here, because it may hold a secret.

SDKs raise a class named by ``__type``; what says "try again" (``ThrottlingException`` and every 5xx) they
send again by themselves. AWS leaves the message out altogether where it would help an attacker, and
``message`` is then absent, not empty.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from keystead.core import errors as core
from keystead.core.errors import Kind


class SerializationError(core.KeysteadError):
    """A body that is not JSON, not an object, or has a member of the wrong type."""

    kind, code = Kind.INVALID, "Serialization"


class UnknownOperationError(core.KeysteadError):
    """A target that names no operation of this API."""

    kind, code = Kind.INVALID, "UnknownOperation"


class Row(msgspec.Struct, frozen=True):
    """How one class of errors is written."""

    type: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    silent: bool = False  # never with a message
    coded: bool = False  # the message begins with our own code, since AWS has no type of its own for it


_UNAVAILABLE: Final = Row("ServiceUnavailableException", HTTPStatus.SERVICE_UNAVAILABLE, coded=True)
_DEPENDENCY: Final = Row("DependencyTimeoutException", HTTPStatus.SERVICE_UNAVAILABLE, coded=True)
_INTERNAL: Final = Row("KMSInternalException", HTTPStatus.INTERNAL_SERVER_ERROR, silent=True)

ROWS: Final[Mapping[type[core.KeysteadError], Row]] = {
    # Who is asking (common errors of every AWS service).
    core.NotAuthenticated: Row("MissingAuthenticationTokenException"),
    core.IncompleteSignature: Row("IncompleteSignatureException"),
    core.InvalidSignature: Row("InvalidSignatureException"),
    core.UnknownCredentials: Row("UnrecognizedClientException"),
    core.ExpiredToken: Row("ExpiredTokenException"),
    core.InvalidIdentityToken: Row("InvalidIdentityToken"),
    core.ExpiredIdentityToken: Row("ExpiredTokenException"),
    core.ProviderUnreachable: Row("IDPCommunicationError"),
    core.InvalidIdentityToken: Row("ValidationException"),
    core.ExpiredIdentityToken: Row("ExpiredTokenException"),
    core.AccessDenied: Row("AccessDeniedException"),
    # What is asked.
    UnknownOperationError: Row("UnknownOperationException"),
    SerializationError: Row("SerializationException"),
    core.TooLarge: Row("RequestEntityTooLargeException", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    core.InvalidRequest: Row("ValidationException"),
    core.InvalidArn: Row("InvalidArnException"),
    core.InvalidAliasName: Row("InvalidAliasNameException"),
    core.InvalidMarker: Row("InvalidMarkerException"),
    core.InvalidTag: Row("TagException"),
    core.MalformedPolicy: Row("MalformedPolicyDocumentException"),
    core.PolicyTooLarge: Row("ValidationException"),
    core.Reserved: Row("NotAuthorizedException"),
    # Of which key.
    core.NotFound: Row("NotFoundException"),
    core.AlreadyExists: Row("AlreadyExistsException"),
    core.HeldBack: Row("ConflictException"),
    core.KeyDisabled: Row("DisabledException"),
    core.InvalidKeyState: Row("KMSInvalidStateException"),
    core.InvalidKeyUsage: Row("InvalidKeyUsageException"),
    core.UnsupportedOperation: Row("UnsupportedOperationException"),
    core.IncorrectKey: Row("IncorrectKeyException"),
    core.InvalidCiphertext: Row("InvalidCiphertextException", silent=True),
    core.DryRun: Row("DryRunOperationException"),
    core.SignatureMismatch: Row("KMSInvalidSignatureException", silent=True),
    core.MacMismatch: Row("KMSInvalidMacException", silent=True),
    core.RotationInProgress: Row("ConflictException"),
    core.KeyUnavailable: Row("KeyUnavailableException", HTTPStatus.INTERNAL_SERVER_ERROR),
    # Grants.
    core.InvalidGrantToken: Row("InvalidGrantTokenException"),
    core.InvalidGrantId: Row("InvalidGrantIdException"),
    # Imported material.
    core.InvalidImportToken: Row("InvalidImportTokenException"),
    core.ExpiredImportToken: Row("ExpiredImportTokenException"),
    core.IncorrectKeyMaterial: Row("IncorrectKeyMaterialException"),
    # Custom key stores.
    core.KeyStoreNotFound: Row("CustomKeyStoreNotFoundException"),
    core.KeyStoreNameInUse: Row("CustomKeyStoreNameInUseException"),
    core.KeyStoreInvalidState: Row("CustomKeyStoreInvalidStateException"),
    core.KeyStoreHasKeys: Row("CustomKeyStoreHasCMKsException"),
    core.ClusterNotFound: Row("CloudHsmClusterNotFoundException"),
    core.XksUriInUse: Row("XksProxyUriInUseException"),
    core.XksUriUnreachable: Row("XksProxyUriUnreachableException"),
    core.XksIncorrectCredential: Row("XksProxyIncorrectAuthenticationCredentialException"),
    core.XksInvalidConfiguration: Row("XksProxyInvalidConfigurationException"),
    core.XksInvalidResponse: Row("XksProxyInvalidResponseException"),
    core.XksKeyInUse: Row("XksKeyAlreadyInUseException"),
    core.XksKeyInvalidConfiguration: Row("XksKeyInvalidConfigurationException"),
    core.XksKeyNotFound: Row("XksKeyNotFoundException"),
    # How much.
    core.LimitExceeded: Row("LimitExceededException"),
    core.Throttled: Row("ThrottlingException"),
    # What is out of order here: nothing happened, and the same request may be sent again.
    core.CustodyUnavailable: _DEPENDENCY,
    core.StoreUnavailable: _DEPENDENCY,
    core.ProviderUnreachable: _DEPENDENCY,
    core.AuditUnavailable: _UNAVAILABLE,
    core.QueryUnavailable: _UNAVAILABLE,
    core.ShuttingDown: _UNAVAILABLE,
    # Their texts name files and settings, which are the operator's to know.
    core.DataDamaged: _INTERNAL,
    core.AuditDamaged: _INTERNAL,
    core.SealError: _INTERNAL,
    core.ConfigError: _INTERNAL,
}
"""Every class of the family; a subclass is written as the nearest class above it."""


class _Body(msgspec.Struct, omit_defaults=True):
    """What goes out."""

    type: str = msgspec.field(name="__type")
    message: str | None = None


_encode = msgspec.json.Encoder().encode


def encode(error: BaseException) -> tuple[int, bytes]:
    """The HTTP status and the body for ``error``."""
    row = next((ROWS[cls] for cls in type(error).__mro__ if cls in ROWS), _INTERNAL)
    message = str(error) if error.args and not row.silent else None
    if row.coded and isinstance(error, core.KeysteadError):
        message = f"{error.code}: {message or type(error).__doc__}"
    return int(row.status), _encode(_Body(row.type, message))
