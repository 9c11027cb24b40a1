"""How failures are written for AWS's clients."""

import json
from collections.abc import Iterator

import pytest
from botocore.loaders import Loader

from keystead.core import errors as core
from keystead.core.errors import Kind
from keystead.fronts.aws import errors
from keystead.fronts.aws.errors import ROWS, encode

COMMON = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "NotAuthorizedException",
    "ExpiredTokenException",
    "RequestEntityTooLargeException",
    "SerializationException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}
"""Errors that every AWS service may give, and so no service's model lists."""


def family() -> Iterator[type[core.KeysteadError]]:
    """Every error class of the core and of this front."""
    for module in (core, errors):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, core.KeysteadError):
                yield value


def test_every_error_has_its_row() -> None:
    """No class of the family is left to be written as an unknown error."""
    assert set(family()) - {core.KeysteadError} == set(ROWS)


def test_every_type_is_one_that_sdks_know() -> None:
    """The types are those of AWS's model of KMS or common to its services."""
    model = Loader().load_service_model("kms", "service-2")
    modelled = {name for name, shape in model["shapes"].items() if shape.get("exception")}

    assert {row.type for row in ROWS.values()} <= modelled | COMMON


def test_only_what_may_be_tried_again_is_a_server_error() -> None:
    """A status of 500 or more makes SDKs repeat the request, so it stands exactly for our own failures."""
    for error, row in ROWS.items():
        ours = error.kind is Kind.UNAVAILABLE or error in {
            core.SealError,
            core.ConfigError,
            core.AuditDamaged,
        }
        assert (row.status >= 500) is ours, error


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            core.NotFound("Key 'arn' does not exist"),
            400,
            {"__type": "NotFoundException", "message": "Key 'arn' does not exist"},
        ),
        (core.InvalidRequest(""), 400, {"__type": "ValidationException", "message": ""}),
        (core.UnsupportedOperation(), 400, {"__type": "UnsupportedOperationException"}),
        (core.InvalidCiphertext("a reason"), 400, {"__type": "InvalidCiphertextException"}),
        (core.TooLarge("big"), 413, {"__type": "RequestEntityTooLargeException", "message": "big"}),
        (
            core.AuditUnavailable("No space left: free some."),
            503,
            {
                "__type": "ServiceUnavailableException",
                "message": "AuditUnavailable: No space left: free some.",
            },
        ),
        (
            core.ShuttingDown(),
            503,
            {
                "__type": "ServiceUnavailableException",
                "message": "ShuttingDown: The server is draining and takes no new work.",
            },
        ),
        (
            core.StoreUnavailable("busy"),
            503,
            {"__type": "DependencyTimeoutException", "message": "StoreUnavailable: busy"},
        ),
        (core.DataDamaged("/var/lib/keystead/x"), 500, {"__type": "KMSInternalException"}),
        (ValueError("plaintext: hunter2"), 500, {"__type": "KMSInternalException"}),
        (KeyboardInterrupt(), 500, {"__type": "KMSInternalException"}),
        (
            errors.UnknownOperationError('quotes " and \N{SNOWMAN}'),
            400,
            {"__type": "UnknownOperationException", "message": 'quotes " and \N{SNOWMAN}'},
        ),
    ],
)
def test_an_error_is_written_as_aws_does(error: BaseException, status: int, body: dict[str, str]) -> None:
    """Type, message and status are AWS's; what AWS leaves out is absent; a bug's text stays here."""
    found = encode(error)

    assert (found[0], json.loads(found[1])) == (status, body)


def test_a_subclass_is_written_as_the_class_above_it() -> None:
    """A room may make a class more precise without this table knowing."""

    class DiskFull(core.AuditUnavailable):
        code = "DiskFull"

    assert json.loads(encode(DiskFull("free some"))[1])["message"] == "DiskFull: free some"


def test_the_family_itself_is_written_without_detail() -> None:
    """An error of no known class is an internal one."""
    assert encode(core.KeysteadError("what?")) == (500, b'{"__type":"KMSInternalException"}')
