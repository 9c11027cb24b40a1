"""Failures as AWS STS writes them, read by botocore."""

import inspect
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.parsers import QueryParser
from hypothesis import given
from hypothesis import strategies as st

from keystead.core import errors as core
from keystead.fronts.aws.sts.errors import ROWS, UnknownActionError, encode
from keystead.fronts.aws.sts.form import MalformedQueryError
from keystead.service.gate import InternalError

AWS: dict[str, Any] = Loader().load_service_model("sts", "service-2")
PARSER: Any = QueryParser()
INTERNAL = "The request processing has failed because of an unknown error, exception or failure."


def told(error: BaseException) -> tuple[int, dict[str, Any]]:
    """The status and what botocore makes of the body."""
    status, body = encode(error, "r-1")
    parsed = PARSER.parse({"status_code": status, "headers": {}, "body": body}, None)
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"
    return status, parsed["Error"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (core.NotAuthenticated, 403, "MissingAuthenticationToken"),
        (core.IncompleteSignature, 400, "IncompleteSignature"),
        (core.InvalidSignature, 403, "SignatureDoesNotMatch"),
        (core.UnknownCredentials, 403, "InvalidClientTokenId"),
        (core.ExpiredToken, 403, "ExpiredToken"),
        (core.AccessDenied, 403, "AccessDenied"),
        (core.InvalidRequest, 400, "ValidationError"),
        (core.MalformedPolicy, 400, "MalformedPolicyDocument"),
        (core.PolicyTooLarge, 400, "PackedPolicyTooLarge"),
        (core.InvalidIdentityToken, 400, "InvalidIdentityToken"),
        (core.ExpiredIdentityToken, 400, "ExpiredTokenException"),
        (core.ProviderUnreachable, 400, "IDPCommunicationError"),
        (UnknownActionError, 400, "InvalidAction"),
        (MalformedQueryError, 400, "MalformedQueryString"),
        (core.TooLarge, 413, "RequestEntityTooLarge"),
        (core.Throttled, 400, "Throttling"),
        (core.DryRun, 400, "DryRunOperation"),
    ],
)
def test_what_a_client_can_mend_is_the_sender_s(
    error: type[core.KeysteadError], status: int, code: str
) -> None:
    """With AWS's code and our text."""
    assert told(error("what is wrong")) == (
        status,
        {"Type": "Sender", "Code": code, "Message": "what is wrong"},
    )


@pytest.mark.parametrize(
    "error", [core.AuditUnavailable, core.StoreUnavailable, core.CustodyUnavailable, core.ShuttingDown]
)
def test_what_is_out_of_order_here_is_the_receiver_s(error: type[core.KeysteadError]) -> None:
    """The client may try again, and our own code says what it was."""
    assert told(error("why")) == (
        503,
        {"Type": "Receiver", "Code": "ServiceUnavailable", "Message": f"{error.code}: why"},
    )


@pytest.mark.parametrize(
    "error", [InternalError, core.DataDamaged, core.SealError, core.ConfigError, ValueError]
)
def test_what_is_not_for_clients_stays_here(error: type[Exception]) -> None:
    """A bug's text, and the names of files and settings."""
    assert told(error("/var/lib/secret")) == (
        500,
        {"Type": "Receiver", "Code": "InternalFailure", "Message": INTERNAL},
    )


def test_an_error_without_a_text_says_what_its_class_is() -> None:
    """There is always something to read."""
    assert told(core.AccessDenied())[1]["Message"] == core.AccessDenied.__doc__


def test_codes_that_aws_documents_are_written_as_it_does() -> None:
    """With its status."""
    documented = {
        shape["error"]["code"]: shape["error"]["httpStatusCode"]
        for shape in AWS["shapes"].values()
        if "error" in shape
    }
    ours = {row.code: row.status for row in ROWS.values() if row.code in documented}
    assert len(ours) == 5
    assert ours == {code: documented[code] for code in ours}


def test_errors_of_an_operation_on_keys_cannot_come() -> None:
    """If one does, it is a bug, and answered like one."""
    family = [
        cls for _, cls in inspect.getmembers(core, inspect.isclass) if issubclass(cls, core.KeysteadError)
    ]
    silent = [cls for cls in family if not any(each in ROWS for each in cls.__mro__)]
    assert core.InvalidCiphertext in silent
    assert {told(cls("x"))[0] for cls in silent} == {500}


@given(text=st.text(max_size=50))
def test_any_text_can_be_written(text: str) -> None:
    """What XML does not have is replaced, and nothing that looks like XML becomes it."""
    message = told(core.AccessDenied(f"<{text}>"))[1]["Message"]
    assert message[0] == "<"
    assert message[-1] == ">"
    assert len(message) <= len(text) + 2
