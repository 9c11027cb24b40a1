"""Our own signer against botocore's, and against the verifier."""

import datetime as dt
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.sigv4 import Verifier

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
LONG_TERM = Credential(id="AKIDALICE", secret=Secret(b"wJalrXUtnFEMI/K7MDENG"), principal="alice")
TEMPORARY = Credential(
    id="ASIATEMP", secret=Secret(b"other"), token=Secret(b"session/token=="), principal="role"
)
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


class StoppedClock:
    """Says the one time."""

    def now(self) -> float:
        """The wall clock."""
        return NOW.timestamp()

    def monotonic(self) -> float:
        """The same."""
        return NOW.timestamp()


def botocores(
    method: str, path: str, headers: dict[str, str], body: bytes, credential: Credential
) -> dict[str, str]:
    """What botocore would send."""
    request = AWSRequest(method, f"http://localhost:8900{path}", headers=headers, data=body)
    token = credential.token.reveal().decode() if credential.token else None
    keys = Credentials(credential.id, credential.secret.reveal().decode(), token)
    with patch("botocore.auth.get_current_datetime", lambda: NOW):
        SigV4Auth(keys, "kms", "eu-central-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("credential", [LONG_TERM, TEMPORARY], ids=["long-term", "temporary"])
@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/", {"X-Amz-Target": "TrentService.Encrypt", "Content-Type": "text/json"}, b"{}"),
        ("GET", "/v1/keys?limit=5&after=a%2Fb", {"Accept": "*/*"}, b""),
        ("GET", "/v1/keys/a%20b/../c/", {}, b""),
        ("DELETE", "/", {"User-Agent": "keystead", "X-Blank": "  two  blanks "}, b"x" * 5000),
    ],
)  # fmt: skip
def test_signatures_are_botocores(
    method: str, path: str, headers: dict[str, str], body: bytes, credential: Credential
) -> None:
    """The same request gets the same headers from botocore."""
    ours = sign(
        method,
        "localhost:8900",
        path,
        headers,
        body,
        credentials=credential,
        region="eu-central-1",
        service="kms",
        now=NOW.timestamp(),
    )

    assert ours == botocores(method, path, headers, body, credential) | {"host": "localhost:8900"}


@given(
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
    value=VISIBLE,
    body=st.binary(max_size=100),
    temporary=st.booleans(),
)
def test_what_is_signed_verifies(path: str, value: str, body: bytes, temporary: bool) -> None:
    """Whatever the path, header values and body, the verifier knows the signer."""
    credential = TEMPORARY if temporary else LONG_TERM
    table = {credential.id: credential}
    verifier = Verifier(service="kms", lookup=lambda name, _: table.get(name), clock=StoppedClock())
    headers = sign(
        "PUT",
        "localhost",
        f"/{path}",
        {"X-Value": value},
        body,
        credentials=credential,
        region="eu-central-1",
        service="kms",
        now=NOW.timestamp(),
    )
    received = {name.encode(): text.encode() for name, text in headers.items()}

    assert verifier.verify(b"PUT", f"/{path}".encode(), received, body).principal == credential.principal


def test_only_what_travels_unchanged_is_signed() -> None:
    """Headers that proxies rewrite are sent but not promised."""
    headers = sign(
        "POST",
        "localhost",
        "/",
        {"User-Agent": "x", "Connection": "close", "Expect": "100-continue", "Transfer-Encoding": "chunked"},
        b"",
        credentials=LONG_TERM,
        region="eu-central-1",
        service="kms",
        now=NOW.timestamp(),
    )

    assert "SignedHeaders=host;x-amz-date," in headers["authorization"]
    assert headers["user-agent"] == "x"
