"""AWS KMS's protocol: JSON 1.1 over POST, signed with SigV4.

    POST / HTTP/1.1
    X-Amz-Target: TrentService.Encrypt
    Content-Type: application/x-amz-json-1.1
    Authorization: AWS4-HMAC-SHA256 Credential=.../kms/aws4_request, SignedHeaders=..., Signature=...

`Json11.read` authenticates, then understands: who it is first, so that a stranger learns nothing about what
would be valid. One row of `keystead.fronts.aws.operations.ROWS` per operation says how its input becomes a command and
how its result becomes an answer.
"""

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

from keystead.core.errors import KeysteadError, NotFound
from keystead.core.ports import Clock
from keystead.fronts.aws import errors, model, names
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.operations import ROWS
from keystead.fronts.aws.sigv4 import Verifier
from keystead.fronts.aws.validate import parse, validate
from keystead.fronts.front import Asked, Inquiry
from keystead.service.caller import Caller
from keystead.service.entry import Entry
from keystead.service.workingset import HeldCredential

PREFIX: Final = b"TrentService."
# They begin with x-amz-, so that SigV4 wants them signed.
TICKET: Final = b"x-amz-meta-change-ticket"
DRY_RUN: Final = b"x-amz-meta-dry-run"
MAX_STATED: Final = 256
CONTENT_TYPE: Final = b"Content-Type: application/x-amz-json-1.1\r\n"


class Json11:
    """The front (`keystead.fronts.front.Front`). For one thread."""

    def __init__(self, *, credentials: Credentials, clock: Clock, regions: tuple[str, ...]) -> None:
        self._regions = frozenset(regions)
        self._verifier = Verifier(service="kms", lookup=credentials.find, clock=clock)

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
            served = ", ".join(sorted(self._regions))
            raise NotFound(f"This endpoint does not serve the region {verified.region}. It serves {served}.")
        name = operation.name
        row = ROWS[name]
        taken = parse(operation, inquiry.body)
        validate(operation, taken)
        held: HeldCredential = verified.principal  # type: ignore[assignment]  # as `Credentials` gave it
        caller = Caller(
            held.identity,
            request,
            verified.region,
            verified.access_key,
            "sigv4",
            inquiry.peer,
            names.trace(headers),
            inquiry.secure,
            *stated(headers),
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
            client_request=names.client_request(inquiry.headers),
            source=inquiry.peer,
            trace=names.trace(inquiry.headers),
        )

    def write_error(self, error: KeysteadError, request: str) -> tuple[int, bytes]:  # noqa: ARG002 - it is in the head
        """AWS's status and JSON for an error."""
        return errors.encode(error)

    def head(self, request: str, body: bytes) -> bytes:
        """The header lines of every answer; the checksum lets a client see that the body is whole."""
        return b"%bx-amzn-RequestId: %b\r\nx-amz-crc32: %d\r\n" % (
            CONTENT_TYPE,
            request.encode(),
            crc32(body),
        )


def stated(headers: Mapping[bytes, bytes]) -> tuple[str, str, str, bool]:
    """What a client says: its name, the change ticket that it works on, its id for the request, if it is a dry run.

    Of a dry run's header any value counts but ``false``: who is not understood has changed nothing.
    """
    agent, ticket = headers.get(b"user-agent", b""), headers.get(TICKET, b"")
    dry_run = headers.get(DRY_RUN, b"false") != b"false"
    return (
        agent[:MAX_STATED].decode("latin-1"),
        ticket[:MAX_STATED].decode("latin-1"),
        names.client_request(headers),
        dry_run,
    )


_TARGETS: Final[Mapping[bytes, Any]] = {
    PREFIX + name.encode(): operation for name, operation in model.OPERATIONS.items()
}
