"""Signing a request with AWS Signature Version 4: its canonical form, the signing key, and the client's side.

The client never sends its secret: it writes the request in one *canonical* form, hashes that, and authenticates the
hash with a key derived from the secret, the day, the region and the service. For our own clients: the command line
that talks to the control API, the benchmark, and custody behind an XKS proxy. The server's side,
`keystead.fronts.aws.sigv4`, shares the canonical form, and the tests compare the result with botocore's.

The specification: "Create a signed AWS API request" in the AWS IAM user guide, cited as *SigV4* below.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from keystead.crypto.secret import Secret

ALGORITHM: Final = b"AWS4-HMAC-SHA256"
TERMINATOR: Final = b"aws4_request"

_UNSIGNED = frozenset({"authorization", "connection", "expect", "transfer-encoding", "user-agent"})
"""What is changed on the way or not the client's to promise."""


class Credential(msgspec.Struct, frozen=True):
    """An access key with its secret."""

    id: str
    secret: Secret
    token: Secret | None = None  # of a temporary credential; None for a long-term one
    principal: object = None  # whose it is: carried through to `Verified`, not looked at
    version: object = None  # differs whenever anything about the credential has changed


def sign(
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credential,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """The headers to send, their names in lower case: those given, and what the signature needs.

    ``host`` is the value of the ``Host`` header, with the port where it is not the scheme's own. ``path`` is
    as it will be sent, with the query.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    sent = {name.lower(): value for name, value in headers.items()}
    sent |= {"host": host, "x-amz-date": stamp.decode()}
    if credentials.token is not None:
        sent["x-amz-security-token"] = credentials.token.reveal().decode()

    names = sorted(sent.keys() - _UNSIGNED)
    signed = ";".join(names).encode()
    fields = "".join(f"{name}:{' '.join(sent[name].split())}\n" for name in names).encode()
    where, _, query = path.encode().partition(b"?")
    canonical = b"\n".join(
        (
            method.encode(),
            canonical_uri(where),
            canonical_query(query),
            fields,
            signed,
            sha256(body).hexdigest().encode(),
        )
    )
    parts = (stamp[:8], region.encode(), service.encode())
    scope = b"/".join((*parts, TERMINATOR))
    text = b"\n".join((ALGORITHM, stamp, scope, sha256(canonical).hexdigest().encode()))
    signature = hmac.digest(signing_key(credentials.secret.reveal(), *parts), text, "sha256").hex()
    sent["authorization"] = (
        f"{ALGORITHM.decode()} Credential={credentials.id}/{scope.decode()}, "
        f"SignedHeaders={signed.decode()}, Signature={signature}"
    )
    return sent


def signing_key(secret: bytes, day: bytes, region: bytes, service: bytes) -> bytes:
    """SigV4, "Derive a signing key"."""
    key = hmac.digest(b"AWS4" + secret, day, "sha256")
    key = hmac.digest(key, region, "sha256")
    key = hmac.digest(key, service, "sha256")
    return hmac.digest(key, TERMINATOR, "sha256")


def canonical_uri(path: bytes) -> bytes:
    """SigV4, "Canonical URI", as it is for every service but S3.

    Dot segments are resolved (RFC 3986, 5.2.4), runs of slashes become one, and what is already
    percent-encoded is encoded once more.
    """
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    slash = b"/" if kept and path.endswith(b"/") else b""
    return quote_from_bytes(b"/" + b"/".join(kept) + slash, safe="/~").encode()


def canonical_query(query: bytes) -> bytes:
    """SigV4, "Canonical query string": each name and value encoded in the one way, then sorted."""
    pairs = (parameter.partition(b"=") for parameter in query.split(b"&") if parameter)
    return b"&".join(b"%b=%b" % pair for pair in sorted((_encoded(n), _encoded(v)) for n, _, v in pairs))


def _encoded(text: bytes) -> bytes:
    """Percent-encoded, except for RFC 3986's unreserved characters, whatever the encoding was."""
    return quote_from_bytes(unquote_to_bytes(text), safe="~").encode()
