"""Signing a request with Signature Version 4: the client's side of `keystead.fronts.aws.sigv4`.

For our own clients: the command line that talks to the control API, and the benchmark, which signs its
requests beforehand. Both sides share the canonical form, and the tests compare the result with botocore's.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from keystead.fronts.aws.sigv4 import (
    ALGORITHM,
    TERMINATOR,
    Credential,
    canonical_query,
    canonical_uri,
    signing_key,
)

_UNSIGNED = frozenset({"authorization", "connection", "expect", "transfer-encoding", "user-agent"})
"""What is changed on the way or not the client's to promise."""


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
