"""AWS STS's protocol: a form over POST or GET, signed with SigV4; answers in XML."""

import re
from typing import Final

from keystead.core.errors import KeysteadError
from keystead.core.policy import Document
from keystead.core.ports import Clock
from keystead.fronts.aws import names
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import stated
from keystead.fronts.aws.sigv4 import Verifier
from keystead.fronts.aws.sts import answers, errors, form, model
from keystead.fronts.aws.sts.operations import ROWS, UNSIGNED
from keystead.fronts.aws.validate import validate
from keystead.fronts.front import Asked, Inquiry
from keystead.service.caller import ANONYMOUS, Caller, Identity
from keystead.service.entry import Entry
from keystead.service.workingset import HeldCredential

FORM: Final = b"application/x-www-form-urlencoded"
CONTENT_TYPE: Final = b"Content-Type: text/xml\r\n"
_MOST_SHOWN: Final = 128  # characters of an action's name are said back

_NOBODY: Final = Identity("", "", Document())
_claimed: Final = re.compile(rb"(?:^|&)Action=([A-Za-z]{1,64})(?:&|$)").search


def speaks(inquiry: Inquiry) -> bool:
    """Whether a request is in this protocol; AWS KMS's name a target, and have no forms."""
    headers = inquiry.headers
    if b"x-amz-target" in headers:
        return False
    if inquiry.method == b"GET":
        return b"Action=" in inquiry.target
    return headers.get(b"content-type", b"").lower().startswith(FORM)


class Sts:
    """The front (`keystead.fronts.front.Front`). For one thread."""

    def __init__(self, *, credentials: Credentials, clock: Clock) -> None:
        self._verifier = Verifier(service="sts", lookup=credentials.find, clock=clock)

    def read(self, inquiry: Inquiry, request: str) -> Asked:
        """Authenticate and understand one request."""
        path, sent = _form(inquiry)
        parameters = form.split(sent)
        name, version = parameters.pop("Action", ""), parameters.pop("Version", "")
        row, operation = ROWS.get(name), model.OPERATIONS.get(name)
        if row is None or operation is None or version != answers.VERSION or path != b"/":
            raise errors.UnknownActionError(
                f"Could not find operation {name[:_MOST_SHOWN]} for version {version[:_MOST_SHOWN]}"
            )
        caller = self._anonymous(inquiry, request) if name == UNSIGNED else self._signed(inquiry, request)
        taken = form.read(operation.input, parameters)
        validate(operation, taken)
        return Asked(
            name,
            caller,
            row.command(taken),
            lambda result: answers.answer(name, row.answer(result), request),
        )

    def describe(self, inquiry: Inquiry, request: str) -> Entry:
        """What can be recorded of a request that was refused."""
        match = _claimed(_form(inquiry)[1][: form.MAX_BYTES])
        name = match[1].decode() if match else ""
        return Entry(
            access_key=names.claimed_access_key(inquiry.headers.get(b"authorization", b"")),
            action=f"sts:{name}" if name in ROWS else "",
            client_request=names.client_request(inquiry.headers),
            request=request,
            source=inquiry.peer,
            trace=names.trace(inquiry.headers),
        )

    def write_error(self, error: KeysteadError, request: str) -> tuple[int, bytes]:
        """AWS's status and XML for an error."""
        return errors.encode(error, request)

    def head(self, request: str, body: bytes) -> bytes:  # noqa: ARG002 - AWS KMS's front needs the body
        """The header lines of every answer."""
        return b"%bx-amzn-RequestId: %b\r\n" % (CONTENT_TYPE, request.encode())

    def _signed(self, inquiry: Inquiry, request: str) -> Caller:
        verified = self._verifier.verify(inquiry.method, inquiry.target, inquiry.headers, inquiry.body)
        held: HeldCredential = verified.principal  # type: ignore[assignment]  # as `Credentials` gave it
        return Caller(
            held.identity,
            request,
            verified.region,
            verified.access_key,
            "sigv4",
            inquiry.peer,
            names.trace(inquiry.headers),
            inquiry.secure,
            *stated(inquiry.headers),
        )

    def _anonymous(self, inquiry: Inquiry, request: str) -> Caller:
        """Somebody whom only the token in the request tells of, which the action looks at. A signature is not."""
        return Caller(
            _NOBODY,
            request,
            "",
            "",
            ANONYMOUS,
            inquiry.peer,
            names.trace(inquiry.headers),
            inquiry.secure,
            *stated(inquiry.headers),
        )


def _form(inquiry: Inquiry) -> tuple[bytes, bytes]:
    """The path and the form: of a GET what follows the question mark, of a POST the body."""
    if inquiry.method == b"POST":
        return inquiry.target, inquiry.body
    path, _, query = inquiry.target.partition(b"?")
    return path if inquiry.method == b"GET" and not inquiry.body else b"", query
