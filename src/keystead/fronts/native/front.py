"""Keystead's own protocol, for what AWS KMS has no words for: principals and access keys.

    POST /v1/CreatePrincipal HTTP/1.1
    Content-Type: application/json
    Authorization: AWS4-HMAC-SHA256 Credential=.../REGION/keystead/aws4_request, ...

    {"name": "billing", "policy": "{...}"}

It is signed with SigV4 like AWS's, for the service name ``keystead``. Answers are JSON. Errors are
``{"code": ..., "detail": ..., "help": ..., "request": ...}`` with the HTTP status of the error's kind (413 for what is
too large); the code is stable, ``help`` is where it is explained, and ``request`` finds it in the audit.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from keystead.core.errors import (
    AuditDamaged,
    ConfigError,
    DataDamaged,
    InvalidRequest,
    KeysteadError,
    Kind,
    NotFound,
    SealError,
    TooLarge,
)
from keystead.core.ports import Clock
from keystead.crypto.links import SCHEME
from keystead.fronts.aws import names
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import stated
from keystead.fronts.aws.sigv4 import Verifier
from keystead.fronts.front import Asked, Inquiry
from keystead.fronts.links import ROWS as LINK_ROWS
from keystead.fronts.links import LinkFront
from keystead.fronts.native.accounts import ROWS as ACCOUNTS
from keystead.fronts.native.audit import ROWS as AUDIT
from keystead.fronts.native.decisions import ROWS as DECISIONS
from keystead.fronts.native.declared import ROWS as DECLARED
from keystead.fronts.native.guardrails import ROWS as GUARDRAILS
from keystead.fronts.native.keys import ROWS as KEYS
from keystead.fronts.native.keys import InRegion
from keystead.fronts.native.ledger import ROWS as LEDGER
from keystead.fronts.native.policies import ROWS as POLICIES
from keystead.fronts.native.principals import ROWS as PRINCIPALS
from keystead.fronts.native.proofs import ROWS as PROOFS
from keystead.fronts.native.providers import ROWS as PROVIDERS
from keystead.fronts.native.row import Row
from keystead.service.caller import Caller
from keystead.service.entry import Entry
from keystead.service.gate import InternalError
from keystead.service.workingset import HeldCredential

PREFIX: Final = b"/v1/"
SERVICE: Final = "keystead"

STATUS: Final[Mapping[Kind, HTTPStatus]] = {
    Kind.INVALID: HTTPStatus.BAD_REQUEST,
    Kind.DENIED: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

OUT_OF_ORDER: Final = "Something is out of order on the server: its operator must look."

_OURS: Final = (AuditDamaged, ConfigError, DataDamaged, SealError)
"""Errors whose texts name files and settings, which are for the operator's log and not for every caller."""

_LINK: Final = SCHEME.encode()
ROWS: Final[Mapping[str, Row]] = {
    **PRINCIPALS,
    **POLICIES,
    **GUARDRAILS,
    **ACCOUNTS,
    **DECLARED,
    **KEYS,
    **PROVIDERS,
    **DECISIONS,
    **AUDIT,
    **PROOFS,
    **LEDGER,
}

_DECODERS: Final = {name: msgspec.json.Decoder(row.takes) for name, row in ROWS.items()}
_encode: Final = msgspec.json.Encoder().encode


def _action(name: str) -> str:
    """The action that an operation is decided as, as far as there is such an operation."""
    if name in KEYS:
        return f"kms:{name}"
    return f"keystead:{name}" if name in ROWS or name in LINK_ROWS else ""


class Native:
    """The front (`keystead.fronts.front.Front`). For one thread."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        clock: Clock,
        help_url: str,
        links: LinkFront | None = None,
        regions: tuple[str, ...] = (),
    ) -> None:
        self._links = links
        self._regions = regions  # that keys may be in; none: any
        self._help_url = help_url
        self._verifier = Verifier(service=SERVICE, lookup=credentials.find, clock=clock)

    def read(self, inquiry: Inquiry, request: str) -> Asked:
        """Authenticate and understand one request."""
        if self._links is not None and inquiry.headers.get(b"authorization", b"").startswith(_LINK):
            name = inquiry.target.removeprefix(PREFIX).decode(errors="replace")
            return self._links.read(inquiry, name, request)
        verified = self._verifier.verify(inquiry.method, inquiry.target, inquiry.headers, inquiry.body)
        name = inquiry.target.removeprefix(PREFIX).decode(errors="replace")
        row = ROWS.get(name)
        if row is None or inquiry.method != b"POST" or not inquiry.target.startswith(PREFIX):
            raise NotFound("There is no such operation: see the list in the API's reference.")
        try:
            taken = _DECODERS[name].decode(inquiry.body or b"{}")
        except msgspec.DecodeError as error:
            # msgspec names the member and the expected type, never the value.
            raise InvalidRequest(f"The body does not fit {name}: {error}") from None
        except (UnicodeDecodeError, RecursionError):
            raise InvalidRequest("The body is not UTF-8, or is nested too deeply.") from None
        held: HeldCredential = verified.principal  # type: ignore[assignment]  # as `Credentials` gave it
        caller = Caller(
            held.identity,
            request,
            self._region(taken, verified.region),
            verified.access_key,
            "sigv4",
            inquiry.peer,
            names.trace(inquiry.headers),
            inquiry.secure,
            *stated(inquiry.headers),
        )
        return Asked(name, caller, row.command(taken), lambda result: _encode(row.answer(result)))

    def _region(self, taken: object, signed: str) -> str:
        """The Region that a request is about. Of keys it must be one that is served, as AWS's front has it too."""
        if not isinstance(taken, InRegion):
            return signed
        region = taken.region or signed
        if self._regions and region not in self._regions:
            served = ", ".join(sorted(self._regions))
            raise NotFound(f"This endpoint does not serve the region {region}. It serves {served}.")
        return region

    def describe(self, inquiry: Inquiry, request: str) -> Entry:
        """What can be recorded of a request that was refused."""
        name = inquiry.target.removeprefix(PREFIX).decode(errors="replace")
        return Entry(
            access_key=names.claimed_access_key(inquiry.headers.get(b"authorization", b"")),
            action=_action(name),
            client_request=names.client_request(inquiry.headers),
            request=request,
            source=inquiry.peer,
            trace=names.trace(inquiry.headers),
        )

    def write_error(self, error: KeysteadError, request: str) -> tuple[int, bytes]:
        """The status of the error's kind, and its code; a bug has neither a detail nor a page."""
        if isinstance(error, InternalError):
            return HTTPStatus.INTERNAL_SERVER_ERROR, _encode({"code": error.code, "request": request})
        detail = OUT_OF_ORDER if isinstance(error, _OURS) else str(error) or str(error.__doc__)
        too_large = isinstance(error, TooLarge)
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else STATUS[error.kind], _encode(
            {
                "code": error.code,
                "detail": detail,
                "help": f"{self._help_url}#{error.code.lower()}",
                "request": request,
            }
        )

    def head(self, request: str, body: bytes) -> bytes:  # noqa: ARG002 - AWS's front needs the body
        """The header lines of every answer."""
        return b"Content-Type: application/json\r\nX-Request-Id: %b\r\n" % request.encode()
