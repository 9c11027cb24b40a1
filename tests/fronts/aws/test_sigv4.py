"""The verifier against botocore as the signer, AWS's published vectors, and whoever would fool it."""

import base64
import datetime as dt
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import (
    IncompleteSignature,
    InvalidSignature,
    KeysteadError,
    NotAuthenticated,
    UnknownCredentials,
)
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, canonical_query, canonical_uri
from keystead.fronts.aws.sigv4 import Verified, Verifier

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ALICE = Credential(id="AKIDALICE", secret=Secret(SECRET.encode()), principal="alice", version=1)
TEMPORARY = Credential(
    id="ASIATEMP", secret=Secret(b"temporary/secret"), token=Secret(b"session+token/1=="), principal="role"
)
JSON = "application/x-amz-json-1.1"
BAD_TOKEN = "The security token included in the request is invalid."
MISMATCH = "The request signature we calculated does not match the signature you provided."

Request = tuple[bytes, bytes, dict[bytes, bytes], bytes]


class StoppedClock:
    """Says what it was told."""

    def __init__(self, at: dt.datetime = NOW) -> None:
        self.at = at.timestamp()

    def now(self) -> float:
        """The wall clock."""
        return self.at

    def monotonic(self) -> float:
        """The same."""
        return self.at


class Ring:
    """A verifier with its clock and its access keys."""

    def __init__(self, *credentials: Credential, service: str = "kms", cache_size: int = 1024) -> None:
        self.credentials: dict[str, Credential] = {c.id: c for c in credentials or (ALICE, TEMPORARY)}
        self.clock = StoppedClock()
        self.verifier = Verifier(
            service=service,
            lookup=lambda name, _: self.credentials.get(name),
            clock=self.clock,
            cache_size=cache_size,
        )

    def verify(self, request: Request) -> Verified:
        """Who signed the request, which must be good."""
        return self.verifier.verify(*request)

    def refusal(self, request: Request) -> KeysteadError:
        """Why the request is refused, which it must be, and the second time for the same reason."""
        with pytest.raises(KeysteadError) as first:
            self.verify(request)
        with pytest.raises(type(first.value)) as again:
            self.verify(request)
        assert str(again.value) == str(first.value)
        return first.value

    @property
    def remembered(self) -> int:
        """How many prefixes are in the cache."""
        return len(self.verifier._newer) + len(self.verifier._older)


def signed(
    *,
    body: bytes = b'{"KeyId":"alias/app"}',
    target: str = "TrentService.Encrypt",
    headers: dict[str, str] | None = None,
    method: str = "POST",
    path: str = "/",
    credential: Credential = ALICE,
    region: str = "eu-central-1",
    service: str = "kms",
    at: dt.datetime = NOW,
) -> Request:
    """A request as botocore signs it, as the listener hands it over."""
    request = AWSRequest(
        method,
        f"http://kms.example:8900{path}",
        headers={"X-Amz-Target": target, "Content-Type": JSON, "User-Agent": "Boto3/1.42", **(headers or {})},
        data=body,
    )
    token = credential.token.reveal().decode() if credential.token else None
    keys = Credentials(credential.id, credential.secret.reveal().decode(), token)
    with patch("botocore.auth.get_current_datetime", lambda: at):
        SigV4Auth(keys, service, region).add_auth(request)
    received = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
    received |= {
        b"host": b"kms.example:8900",
        b"amz-sdk-request": b"attempt=1",
        b"accept-encoding": b"identity",
    }
    return method.encode(), path.encode(), received, body


def with_headers(request: Request, **changes: bytes | None) -> Request:
    """The request with these headers set, or removed where None; underscores stand for dashes."""
    method, target, headers, body = request
    changed = {name.replace("_", "-").encode(): value for name, value in changes.items()}
    kept = {name: value for name, value in headers.items() if name not in changed}
    return method, target, kept | {name: v for name, v in changed.items() if v is not None}, body


def edited(request: Request, change: Callable[[bytes], bytes]) -> Request:
    """The request with its Authorization header changed."""
    return with_headers(request, authorization=change(request[2][b"authorization"]))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"Plaintext":"aGk="}', '{"a":"\N{SNOWMAN}"}'.encode(), b"x" * 9000]
)
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "home"])
def test_what_botocore_signs_is_verified(body: bytes, region: str) -> None:
    """A request signed by botocore says who signed it, for which day, region and service."""
    found = Ring().verify(signed(body=body, region=region))

    assert found == Verified(
        access_key="AKIDALICE",
        date="20260304",
        region=region,
        service="kms",
        session_token=None,
        principal="alice",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Custom": "two  spaces   here"},
        {"X-Custom": "  around  "},
        {"X-Custom": "tab\tinside"},
        {"X-Custom": " leading"},
        {"X-Custom": "trailing "},
        {"X-Custom": "colon: inside"},
        {"X-Custom": ""},
        {"X-Custom": "100% of it, 50%b"},
        {"X-Amz-Meta-Thing": "value"},
        {"X%Odd": "per cent in a name"},
        {"Cache-Control": "max-age=0", "Accept": "*/*"},
        {"X-Amz-Content-SHA256": sha256(b'{"KeyId":"alias/app"}').hexdigest()},
        {"Date": "will be replaced"},
    ],
)
def test_headers_are_read_as_the_client_wrote_them(headers: dict[str, str]) -> None:
    """Blanks, odd names, a hash of the body or a `Date` header do not break a good signature."""
    assert Ring().verify(signed(headers=headers)).principal == "alice"


@pytest.mark.parametrize(
    "path",
    ["/", "/?", "/?a=1&b=2", "/?b=2&a=1", "/?a=2&a=1", "/?flag", "/?x=%20y", "/?p=a%2Fb~c", "/a/b/", "/a//b",
     "/a/../b", "/./", "/../..", "/sp%20ace", "/%E1%88%B4", "/a/b/.."],
)  # fmt: skip
def test_paths_and_queries_are_canonical_as_botocore_has_them(path: str) -> None:
    """Dot segments, slashes, escapes and the order of a query come out as on the client's side."""
    assert Ring().verify(signed(path=path, method="GET", body=b"")).principal == "alice"


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/", b"/"),
        (b"", b"/"),
        (b"/example/..", b"/"),
        (b"/example1/example2/../..", b"/"),
        (b"/./", b"/"),
        (b"/./example", b"/example"),
        (b"//", b"/"),
        (b"//example//", b"/example/"),
        (b"/example space/", b"/example%20space/"),
        ("/\N{ETHIOPIC SYLLABLE SEE}".encode(), b"/%E1%88%B4"),
        (b"/documents%20and%20settings/", b"/documents%2520and%2520settings/"),
        (b"/-._~0129AZaz", b"/-._~0129AZaz"),
    ],
)
def test_the_path_vectors_of_aws(path: bytes, canonical: bytes) -> None:
    """The normalisation cases of AWS's SigV4 test suite."""
    assert canonical_uri(path) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        (b"", b""),
        (b"Param2=value2&Param1=value1", b"Param1=value1&Param2=value2"),
        (b"Param1=value2&Param1=Value1", b"Param1=Value1&Param1=value2"),
        ("\N{ETHIOPIC SYLLABLE SEE}=bar".encode(), b"%E1%88%B4=bar"),
        (b"a=b=c&&d", b"a=b%3Dc&d="),
        (b"a=%2f+", b"a=%2F%2B"),
        (b"-._~0129AZaz=-._~0129AZaz", b"-._~0129AZaz=-._~0129AZaz"),
    ],
)
def test_the_query_vectors_of_aws(query: bytes, canonical: bytes) -> None:
    """The query cases of AWS's SigV4 test suite, and escapes written in another way."""
    assert canonical_query(query) == canonical


# AWS's SigV4 test suite ("aws-sig-v4-test-suite"): service "service", us-east-1, 2015-08-30T12:36:00Z.
SUITE = Credential(
    id="AKIDEXAMPLE", secret=Secret(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), principal="suite"
)
SUITE_DATE = dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "signature"),
    [
        ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            "/\N{ETHIOPIC SYLLABLE SEE}",
            {},
            b"",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "POST",
            "/",
            {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "/",
            {"my-header1": " value1", "my-header2": ' "a   b   c"'},
            b"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "query-order", "get-utf8", "form-urlencoded", "header-value-trim"],
)  # fmt: skip
def test_the_published_vectors_verify(
    method: str, target: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    """Requests and signatures from AWS's own SigV4 test suite verify."""
    ring = Ring(SUITE, service="service")
    ring.clock.at = SUITE_DATE.timestamp()
    given_headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z", **headers}
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={';'.join(sorted(given_headers))}, Signature={signature}"
    )
    received = {
        name.encode(): value.encode()
        for name, value in (given_headers | {"authorization": authorization}).items()
    }

    assert ring.verify((method.encode(), target.encode(), received, body)).principal == "suite"


def test_an_aws_query_service_example_verifies() -> None:
    """The worked example of AWS's documentation (IAM ListUsers) verifies."""
    ring = Ring(
        Credential(id="AKIDEXAMPLE", secret=Secret(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
        service="iam",
    )
    ring.clock.at = SUITE_DATE.timestamp()
    headers = {
        b"host": b"iam.amazonaws.com",
        b"x-amz-date": b"20150830T123600Z",
        b"content-type": b"application/x-www-form-urlencoded; charset=utf-8",
        b"authorization": b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        b"SignedHeaders=content-type;host;x-amz-date, "
        b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }

    found = ring.verify((b"GET", b"/?Action=ListUsers&Version=2010-05-08", headers, b""))

    assert (found.access_key, found.service) == ("AKIDEXAMPLE", "iam")


@given(data=st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """No byte of what is signed can change: method, path, query, signed headers, body, date, signature."""
    ring = Ring()
    request = signed(path="/?q=1", headers={"X-Amz-Meta": "abc"})
    if data.draw(st.booleans(), label="remembered"):
        ring.verify(request)
    method, target, headers, body = request
    parts = {"method": method, "target": target, "body": body} | {
        f"header {name.decode()}": headers[name]
        for name in (
            b"host",
            b"content-type",
            b"x-amz-date",
            b"x-amz-target",
            b"x-amz-meta",
            b"authorization",
        )
    }
    where = data.draw(st.sampled_from(sorted(parts)))
    index = data.draw(st.integers(0, len(parts[where]) - 1))
    old = parts[where]
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != old[index]))
    changed = old[:index] + bytes([byte]) + old[index + 1 :]
    if (
        where == "target"
        and canonical_query(changed[2:]) == canonical_query(old[2:])
        and changed[:2] == b"/?"
    ):
        return
    name = where.removeprefix("header ")
    if where == "header authorization" and b" " in (old[index : index + 1], changed[index : index + 1]):
        return  # a blank after a comma may be any blank
    tampered: Request = (
        changed if where == "method" else method,
        changed if where == "target" else target,
        headers | {name.encode(): changed} if where.startswith("header ") else headers,
        changed if where == "body" else body,
    )

    assert isinstance(ring.refusal(tampered), InvalidSignature | IncompleteSignature | UnknownCredentials)


@pytest.mark.parametrize("extra", [b"x", b"\n", b"{}"])
def test_more_body_than_was_signed_is_refused(extra: bytes) -> None:
    """Bytes after the signed body are noticed, and so is a body cut short."""
    ring = Ring()
    method, target, headers, body = signed()

    assert MISMATCH in str(ring.refusal((method, target, headers, body + extra)))
    assert MISMATCH in str(ring.refusal((method, target, headers, body[:-1])))


@pytest.mark.parametrize("warm", [False, True])
def test_a_captured_request_is_not_replayed_as_another_operation(warm: bool) -> None:
    """A signature for DescribeKey is none for ScheduleKeyDeletion."""
    ring = Ring()
    captured = signed(target="TrentService.DescribeKey")
    if warm:
        ring.verify(captured)

    error = ring.refusal(with_headers(captured, x_amz_target=b"TrentService.ScheduleKeyDeletion"))

    assert isinstance(error, InvalidSignature)
    assert str(error).startswith(MISMATCH)


@pytest.mark.parametrize(
    "name", ["x-amz-target", "x-amz-meta", "x-amz-security-token", "x-amz-content-sha256", "x-amz-date"]
)
def test_an_unsigned_amz_header_is_refused(name: str) -> None:
    """Every x-amz header must be signed, though the signature over the others is right."""
    ring = Ring()
    plain = _signed_without_target()
    assert ring.verify(plain).principal == "alice"

    error = ring.refusal(with_headers(plain, **{name.replace("-", "_"): b"20260304T050607Z"}))

    assert isinstance(error, InvalidSignature)
    assert str(error) == f"'{name}' must be a 'SignedHeader' in the AWS Authorization."


def _signed_without_target() -> Request:
    """A request whose only signed headers are host, date and content type (the date is HTTP's own)."""
    request = AWSRequest(
        "POST", "http://kms.example:8900/", headers={"Date": "x", "Content-Type": JSON}, data=b"{}"
    )
    with patch("botocore.auth.get_current_datetime", lambda: NOW):
        SigV4Auth(Credentials(ALICE.id, SECRET), "kms", "eu-central-1").add_auth(request)
    headers = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
    assert b"x-amz-date" not in headers
    return b"POST", b"/", headers | {b"host": b"kms.example:8900"}, b"{}"


def test_the_host_must_be_signed() -> None:
    """A signature without the host could be played to another server."""
    error = Ring().refusal(edited(signed(), lambda a: a.replace(b"content-type;host;", b"content-type;")))

    assert str(error) == "'Host' must be a 'SignedHeader' in the AWS Authorization."


def test_a_signed_header_that_is_not_there_is_named() -> None:
    """A header that was lost on the way is said, rather than a mismatch."""
    error = Ring().refusal(with_headers(signed(), content_type=None))

    assert isinstance(error, InvalidSignature)
    assert str(error) == "'content-type' is a 'SignedHeader' but not in the request."


def test_a_value_with_a_line_break_forges_no_header() -> None:
    """A value that spells out the next header's line is not read as that header."""
    ring = Ring()
    method, target, headers, body = signed(headers={"A-First": "one", "B-Second": "two"})
    merged = with_headers((method, target, headers, body), a_first=b"one\nb-second:two")

    assert isinstance(
        ring.refusal(edited(merged, lambda a: a.replace(b"a-first;b-second", b"a-first"))), InvalidSignature
    )


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_date_within_five_minutes_is_good(seconds: int) -> None:
    """Clocks may differ by five minutes."""
    assert Ring().verify(signed(at=NOW + dt.timedelta(seconds=seconds))).principal == "alice"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-301, "expired: 20260304T050106Z is now earlier than 20260304T050107Z (20260304T050607Z - "),
        (
            301,
            "not yet current: 20260304T051108Z is still later than 20260304T051107Z (20260304T050607Z + ",
        ),
    ],
)
def test_a_date_further_off_is_refused(seconds: int, text: str) -> None:
    """A stale or future request is refused, with both clocks said."""
    error = Ring().refusal(signed(at=NOW + dt.timedelta(seconds=seconds)))

    assert isinstance(error, InvalidSignature)
    assert str(error) == f"Signature {text}5 min.)"


def test_a_remembered_prefix_does_not_keep_a_request_fresh() -> None:
    """The same good request is refused once its date is stale."""
    ring = Ring()
    request = signed()
    ring.verify(request)
    ring.clock.at += 301

    assert "Signature expired" in str(ring.refusal(request))


def test_requests_of_the_next_second_verify() -> None:
    """The remembered date gives way to the next one, and back."""
    ring = Ring()
    for seconds in (0, 1, 0, 2):
        assert ring.verify(signed(at=NOW + dt.timedelta(seconds=seconds))).date == "20260304"


@pytest.mark.parametrize(
    ("scope", "kind", "text"),
    [
        (
            "AKIDALICE/20260303/eu-central-1/kms/aws4_request",
            InvalidSignature,
            "'20260303' != '20260304', from '2",
        ),
        ("AKIDALICE/2026-3-4/eu-central-1/kms/aws4_request", InvalidSignature, "to a valid date: YYYYMMDD."),
        ("AKIDALICE/20260304/EU/kms/aws4_request", InvalidSignature, "scoped to a valid region."),
        ("AKIDALICE/20260304/eu-central-1/sts/aws4_request", InvalidSignature, "to correct service: 'kms'."),
        ("AKIDALICE/20260304/eu-central-1/kms/aws5_request", InvalidSignature, "terminator: 'aws4_request'."),
        ("AKIDALICE/20260304/eu-west-1/kms/aws4_request", InvalidSignature, MISMATCH),
        ("AKIDALICE/20260304/kms/aws4_request", IncompleteSignature, "5 slash-delimited elements"),
        ("A/B/20260304/eu-central-1/kms/aws4_request", IncompleteSignature, "5 slash-delimited elements"),
        ("AKIDBOB/20260304/eu-central-1/kms/aws4_request", UnknownCredentials, BAD_TOKEN),
        ("AKID\xff/20260304/eu-central-1/kms/aws4_request", UnknownCredentials, BAD_TOKEN),
        ("ASIATEMP/20260304/eu-central-1/kms/aws4_request", InvalidSignature, MISMATCH),
    ],
)
def test_a_scope_is_for_this_service_and_day(scope: str, kind: type[KeysteadError], text: str) -> None:
    """Another day's, region's, service's or key's scope is refused, for the reason AWS gives."""
    good = b"AKIDALICE/20260304/eu-central-1/kms/aws4_request"

    error = Ring().refusal(edited(signed(), lambda a: a.replace(good, scope.encode())))

    assert type(error) is kind
    assert text in str(error)


def test_a_request_signed_for_another_day_is_refused_on_its_own_day() -> None:
    """The day in the scope is compared with the date, although the signature is right for that scope."""
    ring = Ring()
    midnight = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)
    ring.clock.at = midnight.timestamp()
    request = with_headers(signed(at=midnight), x_amz_date=b"20260304T235959Z")

    assert "'20260305' != '20260304'" in str(ring.refusal(request))


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (b"Bearer very-secret-token", "requires 'AWS4-HMAC-SHA256' as its algorithm."),
        (b"", "requires 'AWS4-HMAC-SHA256' as its algorithm."),
        (b"AWS4-ECDSA-P256-SHA256 Credential=a", "requires 'AWS4-HMAC-SHA256' as its algorithm."),
        (
            b"AWS4-HMAC-SHA256",
            (
                "requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
                "Authorization header requires 'SignedHeaders' parameter."
            ),
        ),
        (b"AWS4-HMAC-SHA256 Credential=a/b, Signature=c", "requires 'SignedHeaders' parameter."),
        (b"AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=", "requires 'Signature' parameter."),
        (b"AWS4-HMAC-SHA256 Credential=a, Credential=b", "has a parameter twice."),
        (b"AWS4-HMAC-SHA256 " + b"a" * 5000, "is longer than 4096 bytes."),
    ],
)
def test_an_incomplete_header_says_what_is_missing(authorization: bytes, text: str) -> None:
    """What cannot be checked is refused as incomplete, without saying back what was sent."""
    error = Ring().refusal(with_headers(signed(), authorization=authorization))

    assert isinstance(error, IncompleteSignature)
    assert str(error) == f"Authorization header {text}"


@pytest.mark.parametrize(
    "names",
    [b"host;content-type;x-amz-date;x-amz-target", b"Host;x-amz-date", b"host;;x", b"host;host", b"ho st"],
)
def test_signed_headers_are_a_sorted_list_of_names(names: bytes) -> None:
    """Names out of order, twice, empty or in upper case have no canonical form."""
    good = b"content-type;host;x-amz-date;x-amz-target"

    error = Ring().refusal(edited(signed(), lambda a: a.replace(good, names)))

    assert isinstance(error, IncompleteSignature)
    assert "lower-case header names in order" in str(error)


def test_a_request_without_a_date_is_incomplete() -> None:
    """Without a date nothing can be checked."""
    error = Ring().refusal(with_headers(signed(), x_amz_date=None))

    assert isinstance(error, IncompleteSignature)
    assert "existence of either a 'X-Amz-Date' or a 'Date' header" in str(error)


@pytest.mark.parametrize(
    "date",
    [b"", b"2026-03-04T05:06:07Z", b"20260304T050607", b"20260231T050607Z", b"20260304T256000Z", b"\xff" * 16,
     b"Wed, 04 Mar 2026 05:06:07 GMT"],
)  # fmt: skip
def test_a_malformed_amz_date_is_refused(date: bytes) -> None:
    """`X-Amz-Date` has one form only."""
    error = Ring().refusal(with_headers(signed(), x_amz_date=date))

    assert isinstance(error, IncompleteSignature)
    assert "ISO-8601 'basic format'" in str(error)


@pytest.mark.parametrize(
    "date", [b"yesterday", b"\xff", b"Fri, 31 Dec 9999 23:00:00 -2300", b"Wed, 99 Mar 2026 05:06:07 GMT"]
)
def test_a_malformed_date_header_is_refused(date: bytes) -> None:
    """HTTP's `Date` stands in for a missing `X-Amz-Date`, in HTTP's own form only."""
    error = Ring().refusal(with_headers(_signed_without_target(), date=date))

    assert isinstance(error, IncompleteSignature)
    assert "ISO-8601 'basic format'" in str(error)


@pytest.mark.parametrize("date", [b"Wed, 04 Mar 2026 06:06:07 +0100", b"20260304T050607Z"])
def test_a_date_header_in_another_form_of_the_same_time_is_understood(date: bytes) -> None:
    """Its time is what counts for the scope; its text is signed, so changing it breaks the signature."""
    error = Ring().refusal(with_headers(_signed_without_target(), date=date))

    assert isinstance(error, InvalidSignature)
    assert str(error).startswith(MISMATCH)


@pytest.mark.parametrize("year", [b"0001", b"9999"])
def test_a_date_at_the_ends_of_time_is_only_off(year: bytes) -> None:
    """The first and last years that can be written are refused as any other wrong date."""
    error = Ring().refusal(with_headers(signed(), x_amz_date=year + b"0304T050607Z"))

    assert isinstance(error, InvalidSignature)
    assert year.decode() in str(error)


def test_a_request_without_credentials_is_not_authenticated() -> None:
    """No Authorization header means no one."""
    error = Ring().refusal(with_headers(signed(), authorization=None))

    assert isinstance(error, NotAuthenticated)
    assert str(error) == "Missing Authentication Token"


def test_a_presigned_request_is_refused() -> None:
    """The signature in the query is not spoken here."""
    request = AWSRequest("GET", "http://kms.example:8900/")
    SigV4QueryAuth(Credentials(ALICE.id, SECRET), "kms", "eu-central-1").add_auth(request)
    assert request.url
    target = request.url.removeprefix("http://kms.example:8900").encode()

    error = Ring().refusal((b"GET", target, {b"host": b"kms.example:8900"}, b""))

    assert isinstance(error, IncompleteSignature)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("UNSIGNED-PAYLOAD", "The payload must be signed"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "The payload must be signed"),
        (sha256(b"other").hexdigest(), "does not match the SHA-256 hash of the payload"),
        (
            sha256(b'{"KeyId":"alias/app"}').hexdigest().upper(),
            "does not match the SHA-256 hash of the payload",
        ),
    ],
)
def test_a_payload_hash_is_never_believed(declared: str, text: str) -> None:
    """A declared hash must be the body's own, although the signature over it is right."""
    error = Ring().refusal(signed(headers={"X-Amz-Content-SHA256": declared}))

    assert isinstance(error, InvalidSignature)
    assert text in str(error)


def test_a_signature_in_upper_case_is_refused() -> None:
    """A signature is lower-case hex, in one spelling."""
    error = Ring().refusal(edited(signed(), lambda a: a[:-64] + a[-64:].upper()))

    assert str(error).startswith(MISMATCH)


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_truncated_signature_is_refused(length: int) -> None:
    """A part of the right signature is not the signature, before or after the prefix is remembered."""
    ring = Ring()
    request = signed()
    for _ in range(2):
        error = ring.refusal(edited(request, lambda a: a[: len(a) - 64 + length]))
        assert isinstance(error, InvalidSignature | IncompleteSignature)
        ring.verify(request)


@pytest.mark.parametrize(
    "layout",
    [
        "AWS4-HMAC-SHA256 Credential={c},SignedHeaders={h},Signature={s}",
        "AWS4-HMAC-SHA256 Signature={s}, Credential={c}, SignedHeaders={h}",
        "AWS4-HMAC-SHA256   Credential={c} ,  SignedHeaders={h} , Signature={s}",
    ],
)
def test_the_parameters_may_stand_in_any_order(layout: str) -> None:
    """Commas with or without blanks, and any order, are the same header; every time it is sent."""
    ring = Ring()

    def laid_out(header: bytes) -> bytes:
        _, c, h, s = (part.strip(",").partition("=")[2] for part in header.decode().split(" "))
        return layout.format(c=c, h=h, s=s).encode()

    request = edited(signed(), laid_out)

    assert [ring.verify(request).principal for _ in range(3)] == ["alice"] * 3


def test_a_temporary_credential_needs_its_token() -> None:
    """A session is proved by signature and token together, and the token is handed on."""
    ring = Ring()
    found = ring.verify(signed(credential=TEMPORARY))

    assert found.session_token == TEMPORARY.token
    assert ring.verify(signed(credential=TEMPORARY)) == found


@pytest.mark.parametrize("token", ["another", None])
def test_a_temporary_credential_with_another_token_or_none_is_refused(token: str | None) -> None:
    """The right secret under the wrong session is refused."""
    forged = Credential(
        id=TEMPORARY.id, secret=TEMPORARY.secret, token=Secret(token.encode()) if token else None
    )

    error = Ring().refusal(signed(credential=forged))

    assert isinstance(error, UnknownCredentials)
    assert str(error) == BAD_TOKEN


@pytest.mark.parametrize("token", [b"anything", b""])
def test_a_long_term_credential_with_a_token_is_refused(token: bytes) -> None:
    """A session token that belongs to nobody is not ignored."""
    forged = Credential(id=ALICE.id, secret=ALICE.secret, token=Secret(token or b"x"))
    request = signed(credential=forged) if token else signed(headers={"X-Amz-Security-Token": ""})

    assert isinstance(Ring().refusal(request), UnknownCredentials)


def test_a_disabled_credential_is_refused_at_once() -> None:
    """A remembered prefix helps nobody whose key is gone, and works again when the key is back."""
    ring = Ring()
    request = signed()
    ring.verify(request)
    del ring.credentials[ALICE.id]
    assert isinstance(ring.refusal(request), UnknownCredentials)

    ring.credentials[ALICE.id] = ALICE
    assert ring.verify(request).principal == "alice"


def test_a_changed_secret_counts_at_once() -> None:
    """The old secret's signatures are refused and the new one's accepted, under the same prefix."""
    ring = Ring()
    ring.verify(signed())
    changed = Credential(id=ALICE.id, secret=Secret(b"new secret"), principal="alice", version=2)
    ring.credentials[ALICE.id] = changed

    assert isinstance(ring.refusal(signed()), InvalidSignature)
    assert ring.verify(signed(credential=changed)).principal == "alice"


def test_a_changed_principal_is_what_is_handed_on() -> None:
    """The principal is the credential's of now, not of when the prefix was first seen."""
    ring = Ring()
    ring.verify(signed())
    ring.credentials[ALICE.id] = Credential(id=ALICE.id, secret=ALICE.secret, principal="alice renamed")

    assert ring.verify(signed()).principal == "alice renamed"


def test_an_equal_credential_made_anew_is_the_same() -> None:
    """A look-up that builds its answer every time works as one that keeps it."""
    ring = Ring()
    ring.verify(signed())
    ring.credentials[ALICE.id] = Credential(
        id=ALICE.id, secret=Secret(SECRET.encode()), principal="alice", version=1
    )

    assert ring.verify(signed()).principal == "alice"


def test_nothing_is_remembered_of_a_request_that_failed() -> None:
    """Strangers, wrong secrets and other malformed requests cannot fill or poison the cache."""
    ring = Ring()
    stranger = Credential(id="AKIDMALLORY", secret=Secret(b"guess"))
    wrong = Credential(id=ALICE.id, secret=Secret(b"guess"))
    for request in (
        signed(credential=stranger),
        signed(credential=Credential(id="AKIDMALLORY", secret=Secret(b"\0" * 40))),
        signed(credential=wrong),
        with_headers(signed(), x_amz_target=b"TrentService.Decrypt"),
        signed(credential=Credential(id=TEMPORARY.id, secret=TEMPORARY.secret)),
    ):
        ring.refusal(request)

    assert ring.remembered == 0
    assert ring.verify(signed()).principal == "alice"
    assert ring.remembered == 1


def test_the_stand_in_for_strangers_is_nobodys_secret() -> None:
    """Signing with the stand-in's known secret makes no stranger known, nor one who was known."""
    ring = Ring()
    ring.verify(signed())
    del ring.credentials[ALICE.id]

    error = ring.refusal(signed(credential=Credential(id=ALICE.id, secret=Secret(b"\0" * 40))))

    assert isinstance(error, UnknownCredentials)


def test_what_is_remembered_is_bounded() -> None:
    """Good prefixes push each other out, oldest first, and all of them go on verifying."""
    ring = Ring(cache_size=8)
    regions = [f"region-{index}" for index in range(30)]
    for region in regions:
        ring.verify(signed(region=region))
        assert ring.remembered <= 8

    assert {ring.verify(signed(region=region)).region for region in regions} == set(regions)


def test_a_prefix_in_use_stays_remembered() -> None:
    """A prefix that comes back from the older generation is kept through the next."""
    ring = Ring(cache_size=4)
    first = signed(region="first")
    ring.verify(first)
    for index in range(20):
        ring.verify(signed(region=f"region-{index}"))
        ring.verify(first)

    prefix = first[2][b"authorization"][:-64]
    assert prefix in ring.verifier._newer or prefix in ring.verifier._older


def test_clients_with_other_unsigned_headers_share_a_prefix() -> None:
    """Unsigned headers may come and go, in any order, from request to request."""
    ring = Ring()
    plain = signed()
    for request in (
        plain,
        with_headers(plain, x_forwarded_for=b"10.0.0.1"),
        with_headers(plain, host=plain[2][b"host"]),
    ):
        assert ring.verify(request).principal == "alice"


def test_nothing_shows_a_secret() -> None:
    """Neither the credential nor what was verified shows secret or token when printed."""
    shown = repr([TEMPORARY, Ring().verify(signed(credential=TEMPORARY)), vars(Ring().verifier)])

    assert "temporary/secret" not in shown
    assert "session+token" not in shown


def test_no_refusal_says_more_than_it_must() -> None:
    """No refusal's text holds the secret, the token, or the signature that would have been right."""
    ring = Ring()
    right = signed(credential=TEMPORARY)[2][b"authorization"][-64:].decode()
    wrong = edited(signed(credential=TEMPORARY), lambda a: a[:-64] + b"0" * 64)
    texts = [str(ring.refusal(wrong)), str(ring.refusal(with_headers(wrong, x_amz_security_token=b"other")))]

    for text in texts:
        assert right not in text
        assert "session" not in text
        assert base64.b64encode(right.encode()).decode() not in text
    for one, other in pairwise(texts):
        assert one == other
