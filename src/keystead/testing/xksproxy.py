"""A small XKS proxy: AES-256-GCM keys in memory behind HTTPS and SigV4, as a key manager of somebody else's.

It keeps the promises of the XKS Proxy API 1.0.3 that a client can see, and breaks each of them when told to: it can be
slow, down, overloaded, talk nonsense, lose a key. Not for production: its keys are gone when it stops.

    with Proxy(tmp_path, keys=["orders"]) as proxy:
        proxy.port, proxy.authority    # where it listens on loopback, and whose certificates to trust (PEM)
        proxy.delay = 0.3              # slower than anybody waits
        proxy.disabled.add("orders")   # the owner of the key changes their mind
        proxy.says = (200, b"nonsense")

To try an external key store by hand:

    python -m keystead.testing.xksproxy --directory DIR --port 8943 --key orders

writes ``authority.pem`` and ``credential.json`` (in the form of CreateCustomKeyStore) into DIR and serves until it is
stopped.
"""

import argparse
import datetime as dt
import hmac
import json
import os
import re
import secrets
import signal
import socket
import ssl
import threading
import time
from base64 import b32encode, b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self, cast

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from typing_extensions import override

from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign

API: Final = "/kms/xks/v1"
SKEW_SECONDS: Final = 300

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Z2-7]{20,30})/\d{8}/([a-z0-9-]+)/kms-xks-proxy/aws4_request, "
    r"SignedHeaders=host;x-amz-date, Signature=[0-9a-f]{64}"
)
_KEY: Final = re.compile(r"/keys/([A-Za-z0-9._-]{1,128})/(metadata|encrypt|decrypt)")


class _Refused(Exception):
    """One of the API's errors."""

    def __init__(self, status: int, name: str) -> None:
        super().__init__(name)
        self.status = status


class Proxy:
    """See the module. ``directory`` is where the authority's certificate is kept."""

    def __init__(self, directory: Path, *, keys: list[str] | None = None, port: int = 0) -> None:
        self.access_key_id = b32encode(os.urandom(15)).decode()
        self.secret = b64encode(os.urandom(33)).decode()
        self.credentials = {self.access_key_id: self.secret}
        self.keys = {name: os.urandom(32) for name in keys or []}
        self.authority = directory / "authority.pem"
        self.port = port
        self.prefix = ""  # what stands before API
        # How it is out of order.
        self.delay = 0.0  # seconds before an answer
        self.says: tuple[int, bytes] | None = None  # to everybody
        self.raw: bytes | None = None  # instead of an HTTP answer
        self.disabled: set[str] = set()
        self.forbidden: set[str] = set()  # principals
        self.managers = ["ACTIVE"]
        self.metadata: bytes | None = b"version=1"
        self.spoils: Callable[[dict[str, Any]], None] | None = None  # changes a right answer
        # What it has heard.
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certify(directory)
        self._server: _Server | None = None

    @property
    def endpoint(self) -> str:
        """XksProxyUriEndpoint; AWS's form of it has no place for a port."""
        return "https://localhost"

    @property
    def path(self) -> str:
        """XksProxyUriPath."""
        return self.prefix + API

    def start(self) -> None:
        """Listen."""
        self._server = _Server(self, self._context)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and break every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.hang_up()

    def hang_up(self) -> None:
        """Break every connection, as a proxy does that finds them idle, and go on."""
        if self._server is not None:
            self._server.hang_up()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what it does ----------------------------------------------------------------------------------------

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and the body for one request."""
        try:
            given = self._do(target, headers, body)
        except _Refused as refused:
            return refused.status, _compact({"errorName": str(refused)})
        if self.spoils is not None:
            self.spoils(given)
        return 200, _compact(given)

    def _do(self, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        self._authenticate(target, headers, body)
        try:
            asked = json.loads(body)
        except ValueError:
            raise _Refused(400, "ValidationException") from None
        self.requests.append((target, asked))
        metadata = asked.get("requestMetadata", {})
        self._require(metadata, "kmsOperation", "kmsRequestId")
        if target == f"{self.path}/health":
            return {
                "xksProxyFleetSize": 1,
                "xksProxyVendor": "Keystead",
                "xksProxyModel": "a proxy for tests",
                "ekmVendor": "Keystead",
                "ekmFleetDetails": [
                    {"id": f"hsm-{number}", "model": "memory", "healthStatus": state}
                    for number, state in enumerate(self.managers)
                ],
            }
        found = _KEY.fullmatch(target.removeprefix(self.path)) if target.startswith(self.path) else None
        if found is None:
            raise _Refused(404, "InvalidUriPathException")
        name, operation = found.groups()
        self._require(metadata, "awsPrincipalArn")
        if metadata["awsPrincipalArn"] in self.forbidden:
            raise _Refused(403, "AccessDeniedException")
        if name not in self.keys:
            raise _Refused(404, "KeyNotFoundException")
        if operation == "metadata":
            status = "DISABLED" if name in self.disabled else "ENABLED"
            return {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": status}
        self._require(metadata, "kmsKeyArn")
        if name in self.disabled:
            raise _Refused(400, "InvalidStateException")
        if asked.get("encryptionAlgorithm") != "AES_GCM":
            raise _Refused(400, "ValidationException")
        aad = _bytes(asked, "additionalAuthenticatedData")
        gcm = AESGCM(self.keys[name])
        if operation == "encrypt":
            return self._encrypt(gcm, asked, aad)
        extra, text = _bytes(asked, "ciphertextMetadata"), _bytes(asked, "ciphertext")
        tag, iv = _bytes(asked, "authenticationTag"), _bytes(asked, "initializationVector")
        try:
            opened = gcm.decrypt(iv, text + tag, _bound(aad, extra))
        except (InvalidTag, ValueError):
            raise _Refused(400, "InvalidCiphertextException") from None
        return {"plaintext": b64encode(opened).decode()}

    def _encrypt(self, gcm: AESGCM, asked: dict[str, Any], aad: bytes) -> dict[str, Any]:
        iv, extra = os.urandom(12), self.metadata or b""
        sealed = gcm.encrypt(iv, _bytes(asked, "plaintext"), _bound(aad, extra))
        text, tag = sealed[:-16], sealed[-16:]
        parts = {"ciphertext": text, "initializationVector": iv, "authenticationTag": tag}
        if self.metadata is not None:
            parts["ciphertextMetadata"] = extra
        if asked.get("ciphertextDataIntegrityValueAlgorithm") == "SHA_256":
            parts["ciphertextDataIntegrityValue"] = sha256(aad + extra + iv + text + tag).digest()
        return {name: b64encode(value).decode() for name, value in parts.items()}

    def _authenticate(self, target: str, headers: dict[str, str], body: bytes) -> None:
        """The signature, by making it again."""
        given = headers.get("authorization", "")
        claimed = _AUTHORIZATION.fullmatch(given)
        secret = self.credentials.get(claimed[1]) if claimed else None
        try:
            stamp = dt.datetime.strptime(headers.get("x-amz-date", ""), "%Y%m%dT%H%M%S%z").timestamp()
        except ValueError:
            stamp = 0.0
        if claimed is None or secret is None or abs(time.time() - stamp) > SKEW_SECONDS:
            raise _Refused(401, "AuthenticationFailedException")
        right = sign(
            "POST",
            headers.get("host", ""),
            target,
            {},
            body,
            credentials=Credential(claimed[1], Secret(secret.encode())),
            region=claimed[2],
            service="kms-xks-proxy",
            now=stamp,
        )["authorization"]
        if not hmac.compare_digest(given, right):
            raise _Refused(401, "AuthenticationFailedException")

    def _require(self, metadata: dict[str, Any], *names: str) -> None:
        if not all(isinstance(metadata.get(name), str) and metadata[name] for name in names):
            raise _Refused(400, "ValidationException")

    def _certify(self, directory: Path) -> None:
        """An authority of its own, and a certificate for localhost."""
        now = dt.datetime.now(dt.UTC)

        def issue(name: str, issuer: str, key: Any, by: Any, *more: tuple[x509.ExtensionType, bool]) -> Any:  # noqa: ANN401 - keys of `cryptography`
            builder = (
                x509.CertificateBuilder()
                .subject_name(_named(name))
                .issuer_name(_named(issuer))
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - dt.timedelta(days=1))
                .not_valid_after(now + dt.timedelta(days=30))
            )
            for extension, critical in more:
                builder = builder.add_extension(extension, critical)
            return builder.sign(by, hashes.SHA256())

        top, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        title = f"XKS proxy authority {secrets.token_hex(4)}"
        authority = issue(title, title, top, top, (x509.BasicConstraints(ca=True, path_length=0), True))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        certificate = issue("localhost", title, own, top, (names, False))
        pem = serialization.Encoding.PEM
        self.authority.write_bytes(authority.public_bytes(pem))
        chain = directory / "server.pem"
        chain.write_bytes(
            own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(pem)
        )
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(chain)


class _Server(ThreadingHTTPServer):
    """Listens on loopback; the handshake is done on the connection's own thread."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: Proxy, context: ssl.SSLContext) -> None:
        self.proxy = proxy
        self._context = context
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", proxy.port), _Handler)

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        # In this order: a handshake that hangs must not hang the others.
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(request)
            self.proxy.connections += 1
        try:
            with self._context.wrap_socket(request, server_side=True) as connection:
                with self._lock:
                    self._open.add(connection)
                _Handler(connection, client_address, self)
                with self._lock:
                    self._open.discard(connection)
        except OSError:
            return  # the client has gone, or does not trust us
        finally:
            with self._lock:
                self._open.discard(request)

    def hang_up(self) -> None:
        """Break every connection."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is gone already


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 for one connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One call of the API."""
        proxy = cast("_Server", self.server).proxy
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if proxy.delay:
            time.sleep(proxy.delay)
        if proxy.raw is not None:
            self.wfile.write(proxy.raw)
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = proxy.says or proxy.answer(self.path, headers, body)
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + answer)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _bytes(asked: dict[str, Any], name: str) -> bytes:
    try:
        return b64decode(asked.get(name, ""), validate=True)
    except (TypeError, ValueError):
        raise _Refused(400, "ValidationException") from None


def _bound(aad: bytes, metadata: bytes) -> bytes:
    """What GCM authenticates: with lengths, so that nobody can move the boundary (XKS, "Encrypt")."""
    return len(aad).to_bytes(2, "big") + aad + bytes([len(metadata)]) + metadata


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def main(arguments: list[str] | None = None) -> None:
    """Serve until the process is told to stop."""
    parser = argparse.ArgumentParser(description="An XKS proxy to try external key stores with.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", action="append", default=[])
    told = parser.parse_args(arguments)
    told.directory.mkdir(parents=True, exist_ok=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Proxy(told.directory, keys=told.key, port=told.port) as proxy:
        credential = {"AccessKeyId": proxy.access_key_id, "RawSecretAccessKey": proxy.secret}
        beside = told.directory / "credential.tmp"
        beside.write_text(json.dumps(credential))
        beside.replace(told.directory / "credential.json")  # whoever sees it, sees all of it
        stopped.wait()


if __name__ == "__main__":
    main()
