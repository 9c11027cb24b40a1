"""A failure, the way AWS STS writes it: a code, a message, and whose fault it is.

One table for what can happen here, as in `keystead.fronts.aws.errors`, and one rule for everything else: it is a bug or
the operator's to know, and its text stays here.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from keystead.core import errors as core
from keystead.core.errors import Kind
from keystead.fronts.aws.sts import answers
from keystead.fronts.aws.sts.form import MalformedQueryError


class UnknownActionError(core.KeysteadError):
    """An action that this API does not have."""

    kind, code = Kind.INVALID, "InvalidAction"


class Row(msgspec.Struct, frozen=True):
    """How one class of errors is written."""

    code: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    coded: bool = False  # the message begins with our own code, since AWS has no code of its own for it


_UNAVAILABLE: Final = Row("ServiceUnavailable", HTTPStatus.SERVICE_UNAVAILABLE, coded=True)
_INTERNAL: Final = Row("InternalFailure", HTTPStatus.INTERNAL_SERVER_ERROR)
_INTERNAL_TEXT: Final = "The request processing has failed because of an unknown error, exception or failure."

ROWS: Final[Mapping[type[core.KeysteadError], Row]] = {
    # Who is asking.
    core.NotAuthenticated: Row("MissingAuthenticationToken", HTTPStatus.FORBIDDEN),
    core.IncompleteSignature: Row("IncompleteSignature"),
    core.InvalidSignature: Row("SignatureDoesNotMatch", HTTPStatus.FORBIDDEN),
    core.UnknownCredentials: Row("InvalidClientTokenId", HTTPStatus.FORBIDDEN),
    core.ExpiredToken: Row("ExpiredToken", HTTPStatus.FORBIDDEN),
    core.InvalidIdentityToken: Row("InvalidIdentityToken"),
    core.ExpiredIdentityToken: Row("ExpiredTokenException"),
    core.ProviderUnreachable: Row("IDPCommunicationError"),
    core.AccessDenied: Row("AccessDenied", HTTPStatus.FORBIDDEN),
    # What is asked.
    UnknownActionError: Row("InvalidAction"),
    MalformedQueryError: Row("MalformedQueryString"),
    core.InvalidRequest: Row("ValidationError"),
    core.MalformedPolicy: Row("MalformedPolicyDocument"),
    core.PolicyTooLarge: Row("PackedPolicyTooLarge"),
    # How much.
    core.TooLarge: Row("RequestEntityTooLarge", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    core.Throttled: Row("Throttling"),
    # What was asked not to be done.
    core.DryRun: Row("DryRunOperation"),
    # What is out of order here: nothing happened, and the same request may be sent again.
    core.CustodyUnavailable: _UNAVAILABLE,
    core.StoreUnavailable: _UNAVAILABLE,
    core.AuditUnavailable: _UNAVAILABLE,
    core.ShuttingDown: _UNAVAILABLE,
}
"""What can happen to a request for AWS STS; a subclass is written as the nearest class above it."""


def encode(error: BaseException, request: str) -> tuple[int, bytes]:
    """The HTTP status and the body for ``error``."""
    row = next((ROWS[cls] for cls in type(error).__mro__ if cls in ROWS), _INTERNAL)
    fault = "Sender" if row.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
    message = _INTERNAL_TEXT if row is _INTERNAL else str(error) or str(type(error).__doc__)
    if row.coded and isinstance(error, core.KeysteadError):
        message = f"{error.code}: {message}"
    return int(row.status), answers.failure(fault, row.code, message, request)
