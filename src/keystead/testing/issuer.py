"""A small OpenID Connect issuer: it publishes keys on loopback and signs tokens, as somebody else's would.

It is right unless it is told to be wrong: slow, down, with another's documents, with tokens that nobody should take.
Tokens are signed with `cryptography` alone, so what reads them is not tested against itself.

    with Issuer() as issuer:
        issuer.url, issuer.authority           # what a provider is made of: the URL, and whose certificate counts (PEM)
        issuer.token(sub="app", aud="keystead")
        issuer.rotate("ES256")                 # from now on with another key
        issuer.status = 500
"""

import datetime as dt
import ipaddress
import json
import ssl
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Final, Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from typing_extensions import override

WELL_KNOWN: Final = "/.well-known/openid-configuration"
KEYS: Final = "/keys"
MINUTES: Final = 300

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve]]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
_numbers = count(1)


def base64(data: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: Mapping[str, object] | bytes, claims: Mapping[str, object] | bytes) -> str:
    """The part of a token that is signed."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims))
    return ".".join(map(base64, parts))


class Signer:
    """A key of an issuer's, for one algorithm (RFC 7518)."""

    def __init__(self, algorithm: str, kid: str = "", *, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid or f"key-{next(_numbers)}"
        self.jwk: dict[str, Any] = {"kid": self.kid, "alg": algorithm, "use": "sig"}
        self.sign: Callable[[bytes], bytes]
        if algorithm in _CURVES:
            self._take_curve(*_CURVES[algorithm])
        elif algorithm == "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
            self.sign = key.sign
            self.jwk |= {"kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key().public_bytes_raw())}
        else:
            self._take_rsa(rsa.generate_private_key(65537, bits))

    def token(self, claims: Mapping[str, object] | bytes, **header: object) -> str:
        """A token with these claims, and these members of the header instead of the usual ones (None: without)."""
        usual = {"typ": "JWT", "alg": self.algorithm, "kid": self.kid} | header
        message = compact({name: value for name, value in usual.items() if value is not None}, claims)
        return f"{message}.{base64(self.sign(message.encode()))}"

    def _take_rsa(self, key: rsa.RSAPrivateKey) -> None:
        digest, pss = _HASHES[self.algorithm[2:]], self.algorithm.startswith("PS")
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else padding.PKCS1v15()
        self.sign = lambda message: key.sign(message, pad, digest)
        numbers = key.public_key().public_numbers()
        n, e = (value.to_bytes((value.bit_length() + 7) // 8) for value in (numbers.n, numbers.e))
        self.jwk |= {"kty": "RSA", "n": base64(n), "e": base64(e)}

    def _take_curve(self, name: str, curve: ec.EllipticCurve) -> None:
        key, size = ec.generate_private_key(curve), (curve.key_size + 7) // 8

        def sign(message: bytes) -> bytes:
            halves = decode_dss_signature(key.sign(message, ec.ECDSA(_HASHES[self.algorithm[2:]])))
            return b"".join(half.to_bytes(size) for half in halves)

        self.sign = sign
        point = key.public_key().public_numbers()
        x, y = (base64(value.to_bytes(size)) for value in (point.x, point.y))
        self.jwk |= {"kty": "EC", "crv": name, "x": x, "y": y}


class Issuer:
    """See the module. ``path`` is that of its URL, ``now`` the clock that its tokens are dated by."""

    def __init__(
        self,
        *,
        path: str = "",
        secure: bool = True,
        algorithm: str = "ES256",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.signer = Signer(algorithm)
        self.published = [self.signer.jwk]
        self.port = 0
        self.requests: list[str] = []  # the paths that were asked for
        # How it is out of order.
        self.delay = 0.0  # seconds before an answer
        self.drip: float | None = None  # seconds between the bytes of an answer
        self.status = 200
        self.raw: bytes | None = None  # instead of an HTTP answer
        self.keys: bytes | None = None  # instead of the key set
        self.discovery: dict[str, object] | bytes = {}  # members that are otherwise, or all of it
        self.headers: dict[str, str] = {}
        self._now = now
        self._secure = secure
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority = self._certify() if secure else ""
        self._server: _Server | None = None

    @property
    def origin(self) -> str:
        """The URL without the path."""
        return f"http{'s' if self._secure else ''}://localhost:{self.port}"

    @property
    def url(self) -> str:
        """The issuer, as its tokens have it."""
        return self.origin + self.path

    def token(self, **claims: object) -> str:
        """A token for five minutes, with these claims instead of the usual ones (None: without)."""
        return self.signer.token(self.claims(**claims))

    def claims(self, **claims: object) -> dict[str, object]:
        """What a token says."""
        now = int(self._now())
        usual = {"iss": self.url, "sub": "app", "aud": "keystead", "iat": now, "exp": now + MINUTES} | claims
        return {name: value for name, value in usual.items() if value is not None}

    def rotate(self, algorithm: str = "ES256", *, keep: bool = False) -> Signer:
        """Sign with a new key and publish that; with ``keep`` the others as well."""
        self.signer = Signer(algorithm)
        self.published = [*(self.published if keep else []), self.signer.jwk]
        return self.signer

    def start(self) -> None:
        """Listen; where it has listened before, if it has."""
        self._server = _Server(self, self._context if self._secure else None)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be down."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, path: str) -> tuple[int, bytes]:
        """The status and the body for one request."""
        if path == self.path.rstrip("/") + WELL_KNOWN:
            if isinstance(self.discovery, bytes):
                return self.status, self.discovery
            usual = {"issuer": self.url, "jwks_uri": self.origin + KEYS}
            return self.status, json.dumps(usual | self.discovery).encode()
        if path == KEYS:
            return self.status, self.keys or json.dumps({"keys": self.published}).encode()
        return 404, b"{}"

    def _certify(self) -> str:
        """Make a certificate that vouches for itself, and return it."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        now = dt.datetime.now(dt.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an issuer for tests")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(here), critical=False)
            .sign(key, hashes.SHA256())
        )
        text = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with tempfile.TemporaryDirectory() as folder:  # TLS takes both from files only
            file = Path(folder) / "issuer.pem"
            file.write_bytes(secret + text)
            self._context.load_cert_chain(file)
        return text.decode()


class _Server(ThreadingHTTPServer):
    """Listens on loopback; the handshake is done on the connection's own thread."""

    daemon_threads = True

    def __init__(self, issuer: Issuer, context: ssl.SSLContext | None) -> None:
        self.issuer = issuer
        self._context = context
        super().__init__(("127.0.0.1", issuer.port), _Handler)

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self._context is not None:
                with self._context.wrap_socket(request, server_side=True) as connection:
                    _Handler(connection, client_address, self)
            else:
                _Handler(request, client_address, self)
        except OSError:
            return  # the client has gone, or does not trust us


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """A document."""
        issuer = cast("_Server", self.server).issuer
        issuer.requests.append(self.path)
        time.sleep(issuer.delay)
        status, body = issuer.answer(self.path)
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body))} | issuer.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        answer = issuer.raw or f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body
        pause = issuer.drip
        if pause is None:
            self.wfile.write(answer)
            return
        for byte in answer:
            self.wfile.write(bytes([byte]))
            time.sleep(pause)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
