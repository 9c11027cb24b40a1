"""AWS Signature Version 4: proof that a request was made, as it is, by the holder of a secret.

The client never sends its secret. It writes the request in one *canonical* form, hashes that, and
authenticates the hash with a key derived from the secret, the day, the region and the service. The
`Authorization` header says which access key, which *scope* (day, region, service) and which headers
were signed. The server does the same sums and compares.

What is checked, in the order of the numbered steps of `Verifier.verify`:

* the header is complete and its scope is this service's, on the day of the request's date;
* ``host`` and every ``x-amz-*`` header are signed, so that a captured ``DescribeKey`` cannot be sent again
  as ``ScheduleKeyDeletion``;
* the date is within five minutes of the clock;
* the body's hash is computed, never believed;
* the signature, in constant time; and then the session token.

Only header signing is spoken: no presigned URLs, no unsigned or chunk-signed payloads.

**What is remembered.** A client sends the same prefix (access key, scope, signed headers) all day, so
what was parsed from it is kept with the day's signing key, but only after a signature under it has
verified: strangers cannot fill the cache, nor push others out of it. The body hash and the signature are
computed for every request.

The specification: "Create a signed AWS API request" in the AWS IAM user guide, cited as *SigV4* below.
"""

import hmac
import re
from calendar import timegm
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from operator import itemgetter
from typing import Any, Final

import msgspec

from keystead.core.errors import IncompleteSignature, InvalidSignature, NotAuthenticated, UnknownCredentials
from keystead.core.ports import Clock
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import (
    ALGORITHM,
    TERMINATOR,
    Credential,
    canonical_query,
    canonical_uri,
    signing_key,
)

_SIGNATURE_LENGTH: Final = 64  # SHA-256 in hex
_MAX_AUTHORIZATION: Final = 4096  # bytes; boto3 sends about 250
_BLOCK: Final = 64  # bytes, of SHA-256
_TO_INNER: Final = bytes(x ^ 0x36 for x in range(256))  # RFC 2104's ipad and opad, as translation tables
_TO_OUTER: Final = bytes(x ^ 0x5C for x in range(256))

_ACCESS_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_DAY: Final = re.compile(rb"[0-9]{8}")
_REGION: Final = re.compile(rb"[a-z][a-z0-9-]{0,31}")
_HEADER_NAME: Final = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 token, without upper case
_BASIC_DATE: Final = re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")

_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
_BAD_TOKEN: Final = "The security token included in the request is invalid."  # noqa: S105 - a sentence
_NO_PAYLOAD: Final = (b"UNSIGNED-PAYLOAD", b"STREAMING-")


class Verified(msgspec.Struct, frozen=True):
    """What a good signature proves."""

    access_key: str
    date: str  # of the scope: YYYYMMDD
    region: str
    service: str
    session_token: Secret | None
    principal: object


_NOBODY: Final = Verified(access_key="", date="", region="", service="", session_token=None, principal=None)
_STRANGER: Final = Credential(id="", secret=Secret(b"\0" * 40))
"""Stands in for an unknown access key, so that refusing one takes as long as refusing a signature."""


class _Claim(msgspec.Struct, eq=False):
    """What one `Authorization` prefix says, and the signing key that goes with it."""

    access_key: str
    day: bytes
    region: str
    scope: bytes  # DAY/REGION/SERVICE/aws4_request
    signed: tuple[bytes, ...]
    values: Callable[[Mapping[bytes, bytes]], Any]  # those of the signed headers
    template: bytes  # the canonical headers, with %b for each value
    tail: bytes  # what follows them: an empty line and the signed headers' names
    names: tuple[bytes, ...] = ()  # header names last seen and found to be rightly signed
    credential: Credential | None = None  # whose signing key the contexts below are of
    inner: Any = None  # SHA-256 contexts that have absorbed the key (RFC 2104), ready to be copied
    outer: Any = None
    verified: Verified = _NOBODY  # set with the key

    def key_for(self, credential: Credential, service: str) -> None:
        """Derive the signing key and absorb it."""
        scope = (self.day, self.region.encode(), service.encode())
        key = signing_key(credential.secret.reveal(), *scope).ljust(_BLOCK, b"\0")
        self.inner = sha256(key.translate(_TO_INNER))
        self.outer = sha256(key.translate(_TO_OUTER))
        self.verified = Verified(
            access_key=self.access_key,
            date=self.day.decode(),
            region=self.region,
            service=service,
            session_token=credential.token,
            principal=credential.principal,
        )
        self.credential = credential


class Verifier:
    """Checks the signatures of one service's requests. For one thread at a time.

    Header names are lower case, values as received without line breaks; of a header that came twice the
    values are joined by a comma, or the request was refused before.

    ``lookup`` is given an access key and the session token that came with it, if one did. It answers None if that is
    unknown or disabled; it is asked for every request, so a changed secret counts at once.
    """

    def __init__(
        self,
        *,
        service: str,
        lookup: Callable[[str, bytes | None], Credential | None],
        clock: Clock,
        skew_seconds: int = 300,
        cache_size: int = 1024,
    ) -> None:
        self._service = service
        self._lookup = lookup
        self._clock = clock
        self._skew = skew_seconds
        # Two generations instead of an LRU list: a hit in the newer costs nothing but the look-up.
        self._generation = max(1, cache_size // 2)
        self._newer: dict[bytes, _Claim] = {}
        self._older: dict[bytes, _Claim] = {}
        self._stamp = b"19700101T000000Z"  # the last date seen: requests of one second share it
        self._seconds = 0

    def verify(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Verified:
        """Who signed this request; raises if it is not signed, or not rightly."""
        # (1) The Authorization header, parsed once for every prefix that has verified before.
        authorization = headers.get(b"authorization")
        if authorization is None:
            raise _unsigned(target)
        prefix = authorization[:-_SIGNATURE_LENGTH]
        known = self._newer.get(prefix)
        if known is not None:
            claim, signature = known, authorization[-_SIGNATURE_LENGTH:]
        else:
            claim, signature = self._parse(prefix, authorization, headers)

        # (2) The headers that must be signed are. The answer depends on their names alone.
        names = tuple(headers)
        if names != claim.names:
            _require_signed(claim.signed, headers)
            claim.names = names

        # (3) The date is now, and the scope's day is the date's.
        stamp = headers.get(b"x-amz-date")
        if stamp is None or stamp != self._stamp:
            stamp, seconds = self._moment(headers)
        else:
            seconds = self._seconds
        now = self._clock.now()
        if stamp[:8] != claim.day or not -self._skew <= now - seconds <= self._skew:
            raise _misdated(claim.day, stamp, seconds, now, self._skew)

        # (4) The signing key: the remembered one while the credential is what it was.
        token = headers.get(b"x-amz-security-token")
        credential = self._lookup(claim.access_key, token) or _STRANGER
        if credential is not claim.credential and credential != claim.credential:
            claim.key_for(credential, self._service)

        # (5) The payload (SigV4 step 1, "Hash the payload"): hashed here, whatever the client says it is.
        payload = sha256(body).hexdigest().encode()
        declared = headers.get(b"x-amz-content-sha256")
        if declared is not None and not hmac.compare_digest(declared, payload):
            raise _wrong_payload(declared)

        # (6) The canonical request (SigV4 step 1).
        fields = claim.template % claim.values(headers)
        if _needs_trimming(fields, len(claim.signed)):
            fields = claim.template % tuple(b" ".join(headers[name].split()) for name in claim.signed)
        line = b"\n/\n\n" if target == b"/" else _canonical_target(target)
        canonical = b"".join((method, line, fields, claim.tail, payload))

        # (7) The string to sign and its HMAC (SigV4 steps 3 and 4; RFC 2104), compared in constant time.
        digest = sha256(canonical).hexdigest().encode()
        inner = claim.inner.copy()
        inner.update(b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (stamp, claim.scope, digest))
        outer = claim.outer.copy()
        outer.update(inner.digest())
        matches = hmac.compare_digest(outer.hexdigest().encode(), signature)
        if credential is _STRANGER:
            raise UnknownCredentials(_BAD_TOKEN)
        if not matches:
            raise InvalidSignature(_MISMATCH)

        # (8) The session token: a temporary credential's own, and none for a long-term one.
        if token is not None or credential.token is not None:
            _require_token(token, credential.token)

        # (9) Only now may the prefix be remembered.
        if known is None:
            self._remember(prefix, claim)
        return claim.verified

    def _parse(
        self, prefix: bytes, authorization: bytes, headers: Mapping[bytes, bytes]
    ) -> tuple[_Claim, bytes]:
        """The claim and the signature in an `Authorization` header that is not in the newer generation."""
        claim = self._older.get(prefix)
        if claim is not None:
            return claim, authorization[-_SIGNATURE_LENGTH:]
        algorithm, _, rest = authorization.partition(b" ")
        if algorithm != ALGORITHM:
            # What stands there may be another scheme's secret, so it is not said back.
            raise IncompleteSignature(
                f"Authorization header requires '{ALGORITHM.decode()}' as its algorithm."
            )
        if len(authorization) > _MAX_AUTHORIZATION:
            raise IncompleteSignature(f"Authorization header is longer than {_MAX_AUTHORIZATION} bytes.")
        parameters: dict[bytes, bytes] = {}
        for parameter in rest.split(b","):
            name, _, value = parameter.strip().partition(b"=")
            if name in parameters:
                raise IncompleteSignature("Authorization header has a parameter twice.")
            parameters[name] = value
        missing = [
            f"Authorization header requires '{name}' parameter."
            for name in ("Credential", "Signature", "SignedHeaders")
            if not parameters.get(name.encode())
        ]
        if b"x-amz-date" not in headers and b"date" not in headers:
            missing.append(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            )
        if missing:
            raise IncompleteSignature(" ".join(missing))
        return self._claim(parameters[b"Credential"], parameters[b"SignedHeaders"]), parameters[b"Signature"]

    def _claim(self, credential: bytes, signed_headers: bytes) -> _Claim:
        """The claim in these two parameters; its scope must be this service's."""
        access_key, *scope = credential.split(b"/")
        if len(scope) != 4:  # noqa: PLR2004 - day, region, service, terminator
            raise IncompleteSignature(
                "Credential must have exactly 5 slash-delimited elements, e.g. "
                "keyid/date/region/service/aws4_request."
            )
        day, region, service, terminator = scope
        if not _ACCESS_KEY.fullmatch(access_key):
            raise UnknownCredentials(_BAD_TOKEN)
        wrong = [
            text
            for good, text in (
                (_DAY.fullmatch(day), "Credential should be scoped to a valid date: YYYYMMDD."),
                (_REGION.fullmatch(region), "Credential should be scoped to a valid region."),
                (
                    service == self._service.encode(),
                    f"Credential should be scoped to correct service: '{self._service}'.",
                ),
                (
                    terminator == TERMINATOR,
                    f"Credential should be scoped with a valid terminator: '{TERMINATOR.decode()}'.",
                ),
            )
            if not good
        ]
        if wrong:
            raise InvalidSignature(" ".join(wrong))
        signed = tuple(signed_headers.split(b";"))
        if list(signed) != sorted(set(signed)) or not all(map(_HEADER_NAME.fullmatch, signed)):
            raise IncompleteSignature(
                "'SignedHeaders' must be lower-case header names in order, separated by ';', each once."
            )
        return _Claim(
            access_key=access_key.decode(),
            day=day,
            region=region.decode(),
            scope=b"/".join(scope),
            signed=signed,
            values=itemgetter(*signed),
            # "%" may stand in a header's name.
            template=b"".join(b"%b:%%b\n" % name.replace(b"%", b"%%") for name in signed),
            tail=b"\n%b\n" % signed_headers,
        )

    def _moment(self, headers: Mapping[bytes, bytes]) -> tuple[bytes, int]:
        """The request's date as YYYYMMDDTHHMMSSZ, and as Unix seconds."""
        amz_date = headers.get(b"x-amz-date")
        raw = headers.get(b"date", b"") if amz_date is None else amz_date
        moment = _basic_date(raw.strip())
        if moment is None and amz_date is None:
            moment = _http_date(raw)
        if moment is None:
            raise IncompleteSignature(
                "Date must be in ISO-8601 'basic format'. Got a 'X-Amz-Date' or 'Date' header in another "
                "form. See https://en.wikipedia.org/wiki/ISO_8601."
            )
        stamp = moment.isoformat(timespec="seconds")[:19].replace("-", "").replace(":", "").encode() + b"Z"
        seconds = timegm(moment.utctimetuple())
        self._stamp, self._seconds = stamp, seconds
        return stamp, seconds

    def _remember(self, prefix: bytes, claim: _Claim) -> None:
        """Keep a claim whose signature has verified."""
        if not prefix.endswith(b"Signature="):
            return  # the signature stood elsewhere in the header; such a prefix names nothing
        if len(self._newer) >= self._generation:
            self._older = self._newer
            self._newer = {}
        self._newer[prefix] = claim


def _canonical_target(target: bytes) -> bytes:
    """The lines of the canonical request between the method and the headers."""
    path, _, query = target.partition(b"?")
    return b"\n%b\n%b\n" % (canonical_uri(path), canonical_query(query))


def _needs_trimming(fields: bytes, lines: int) -> bool:
    """Whether a value has blanks around it, or more than one in a row, or a line break within it."""
    if b" " in fields and (b"  " in fields or b": " in fields or b" \n" in fields):
        return True
    return b"\t" in fields or fields.count(b"\n") != lines


def _require_signed(signed: tuple[bytes, ...], headers: Mapping[bytes, bytes]) -> None:
    """Refuse unless every signed header is there, and `host` and every `x-amz-*` header is signed."""
    if b"host" not in signed:
        raise InvalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    absent = [name for name in signed if name not in headers]
    if absent:
        raise InvalidSignature(f"'{absent[0].decode()}' is a 'SignedHeader' but not in the request.")
    unsigned = [name for name in headers.keys() - set(signed) if name.startswith(b"x-amz-")]
    if unsigned:
        text = min(unsigned).decode("ascii", "replace")
        raise InvalidSignature(f"'{text}' must be a 'SignedHeader' in the AWS Authorization.")


def _require_token(sent: bytes | None, token: Secret | None) -> None:
    """Refuse unless the session token sent is the credential's; a long-term credential has none."""
    if sent is None or token is None or not hmac.compare_digest(sent, token.reveal()):
        raise UnknownCredentials(_BAD_TOKEN)


def _unsigned(target: bytes) -> NotAuthenticated | IncompleteSignature:
    """The refusal of a request without an `Authorization` header."""
    if b"X-Amz-Signature=" in target:
        return IncompleteSignature("Presigned requests are not accepted: sign the Authorization header.")
    return NotAuthenticated("Missing Authentication Token")


def _wrong_payload(declared: bytes) -> InvalidSignature:
    """The refusal of an ``x-amz-content-sha256`` that is not the body's hash."""
    if declared.startswith(_NO_PAYLOAD):
        return InvalidSignature(
            "The payload must be signed: 'X-Amz-Content-SHA256' must be its SHA-256 hash."
        )
    return InvalidSignature(
        "The value passed in as 'X-Amz-Content-SHA256' does not match the SHA-256 hash of the payload."
    )


def _misdated(day: bytes, stamp: bytes, seconds: int, now: float, skew: int) -> InvalidSignature:
    """The refusal of a date that is too far from the clock, or not on the scope's day."""
    when, here = stamp.decode(), _text(now)
    if now - seconds > skew:
        return InvalidSignature(
            f"Signature expired: {when} is now earlier than {_text(now - skew)} ({here} - {skew // 60} min.)"
        )
    if seconds - now > skew:
        return InvalidSignature(
            f"Signature not yet current: {when} is still later than {_text(now + skew)} "
            f"({here} + {skew // 60} min.)"
        )
    return InvalidSignature(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        f"'{day.decode()}' != '{when[:8]}', from '{when}'."
    )


def _text(seconds: float) -> str:
    """Unix seconds in ISO 8601's basic format."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _basic_date(text: bytes) -> datetime | None:
    """ISO 8601's basic format, as `X-Amz-Date` must be; None for anything else."""
    match = _BASIC_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _http_date(text: bytes) -> datetime | None:
    """The form of HTTP's own `Date` header (RFC 9110, 5.6.7); None for anything else."""
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
