"""A real service for tests that use it as people's tools do: processes, sockets, disk."""

import datetime as dt
import hmac
import ipaddress
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import boto3
import pytest
from botocore.config import Config as BotoConfig
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keystead.app.installation import SystemClock, found
from keystead.config import Config
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets

START_SECONDS = 30
WIRE_SECONDS = 30.0
PUBLISH_SECONDS = 20.0  # in which the audit's tiles must hold what was answered


class Reply(NamedTuple):
    """One answer, as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body's JSON; an empty object for an empty body."""
        return json.loads(self.body or b"{}")

    @property
    def request(self) -> str:
        """The request id."""
        return self.headers.get("x-amzn-requestid") or self.headers.get("x-request-id", "")

    @property
    def error(self) -> str:
        """The error's type as AWS writes it, or our own code; empty for a success."""
        if self.body.startswith(b"<"):  # AWS STS
            return "".join(re.findall(r"<Code>(\w+)</Code>", self.body.decode()))
        return "" if self.status == 200 else str(self.value.get("__type") or self.value.get("code"))


class Wire:
    """A connection on which a test says exactly what it likes, and reads what comes back."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WIRE_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def reply(self) -> Reply:
        """The next answer; raises `ConnectionError` when the connection ends before one has come whole."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return Reply(int(first.split(" ")[1]), headers, body)

    def ask(self, data: bytes) -> Reply:
        """Send a request and wait for its answer."""
        self.send(data)
        return self.reply()

    def ended(self) -> bool:
        """Whether the service closes the connection, and without another byte."""
        return not self._received and self.sock.recv(1) == b""

    def close(self) -> None:
        """Leave."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> None:
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionResetError("the connection ended")
        self._received += data


class Signer:
    """AWS Signature Version 4 once more, in a few lines, so that tests can also sign what no SDK would.

    ``Signer(...)(operation, body)`` is a whole request. ``extra`` headers are signed, ``unsigned`` ones are
    added afterwards; ``body`` may be bytes that are no JSON.
    """

    def __init__(self, access_key: str, secret: str, *, service: str = "kms", region: str) -> None:
        self.access_key = access_key
        self.secret = secret
        self.service = service
        self.region = region

    def __call__(
        self,
        operation: str,
        body: Any = None,
        *,
        method: str = "POST",
        target: str = "/",
        version: str = "HTTP/1.1",
        when: float | None = None,
        payload: str | None = None,
        extra: Mapping[str, str] | None = None,
        unsigned: Mapping[str, str] | None = None,
    ) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when))
        headers = {"host": "localhost", "x-amz-date": stamp, **(extra or {})}
        if self.service == "kms":
            headers = {"content-type": "application/x-amz-json-1.1", **headers}
            if operation:
                headers["x-amz-target"] = f"TrentService.{operation}"
        elif self.service == "sts":
            headers = {"content-type": "application/x-www-form-urlencoded", **headers}
            data = data if body else f"Action={operation}&Version=2011-06-15".encode()
        else:
            target = f"/v1/{operation}"
        if payload is not None:
            headers["x-amz-content-sha256"] = payload
        names = ";".join(sorted(headers))
        path, _, query = target.partition("?")
        fields = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        hashed = payload or sha256(data).hexdigest()
        canonical = f"{method}\n{path}\n{query}\n{fields}\n{names}\n{hashed}"
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = b"AWS4" + self.secret.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        headers = {**headers, **(unsigned or {}), "content-length": str(len(data))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target} {version}\r\n{lines}\r\n".encode() + data


@dataclass
class Service:
    """One `keystead dev`, which can be killed and started again on its data."""

    data: Path
    workers: int = 2
    extra_environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # a command that runs it
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.data.parent / f"{self.data.name}.env"

    @property
    def log_file(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def start(self) -> None:
        """Start and wait until it answers."""
        self.env_file.unlink(missing_ok=True)
        self._run(
            *("dev", "--port", "0", "--control-port", "0", "--workers", str(self.workers)),
            *("--data", str(self.data), "--env-file", str(self.env_file)),
        )
        self._until_up(self.env_file.exists)
        self.settings = dict(
            shlex.split(line.removeprefix("export "))[0].split("=", 1)
            for line in self.env_file.read_text().splitlines()
            if line.startswith("export ")
        )

    def found(self, *, scheme: str = "http", account: str = "") -> None:
        """Make the installation, if there is none yet."""
        if not self.settings:
            config = Config(data=self.data)
            secrets, key_file = LocalSecrets({}), str(self.data.parent / "root.key")
            founded = found(
                config, "file", secrets, SystemClock(), system_random, account=account, path=key_file
            )
            port, control = free_port(), free_port()
            self.settings = {
                "AWS_ACCESS_KEY_ID": founded.access_key_id,
                "AWS_SECRET_ACCESS_KEY": founded.secret_access_key,
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_KMS": f"{scheme}://127.0.0.1:{port}",
                "KEYSTEAD_CONTROL_URL": f"http://127.0.0.1:{control}",
            }

    @property
    def config_file(self) -> Path:
        return self.data.parent / "keystead.toml"

    def serve(
        self,
        *,
        scheme: str = "http",
        jobs_seconds: int = 60,
        more: str = "",
        regions: Collection[str] = (),
        log: str = "text",
    ) -> None:
        """Start as an operator would, with a configuration file that ``more`` ends, on a new installation."""
        self.found(scheme=scheme)
        file = self.config_file
        file.write_text(
            f"""
            data = "{self.data}"
            log = "{log}"
            [listen]
            address = "127.0.0.1:{self.port}"
            workers = {self.workers}
            regions = {json.dumps(list(regions))}
            [control]
            address = "127.0.0.1:{self.control_url.rpartition(":")[2]}"
            jobs_seconds = {jobs_seconds}
            {more}
            """
        )
        self._run("serve", "--config", str(file))
        self._until_up(self.ready)

    def _run(self, *arguments: str) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "keystead", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.extra_environment},
                start_new_session=True,
            )

    def _until_up(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not true():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service did not start:\n{self.said()}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Stop in order; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def children(self) -> list[int]:
        """The process ids of the supervisor's children."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def client(self, **options: Any) -> Any:
        """A boto3 client as the admin, without retries, so that every answer is seen."""
        credentials = {
            "aws_access_key_id": self.settings["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.settings["AWS_SECRET_ACCESS_KEY"],
        }
        config = BotoConfig(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=5)
        return boto3.client(
            "kms",
            endpoint_url=self.settings["AWS_ENDPOINT_URL_KMS"],
            region_name=options.pop("region_name", self.settings["AWS_REGION"]),
            **{"config": config, **credentials, **options},
        )

    def child(self, name: str) -> int:
        """The process id of a child, by what the supervisor last said of it."""
        pattern = rf"process started process=\"{name}\" pid=(\d+)"
        started = self.until(lambda: re.findall(pattern, self.said()))
        return int(started[-1])

    def signer(self, *, service: str = "kms", access_key: str = "", secret: str = "") -> Signer:
        """Signs raw requests, as the admin unless told otherwise."""
        return Signer(
            access_key or self.settings["AWS_ACCESS_KEY_ID"],
            secret or self.settings["AWS_SECRET_ACCESS_KEY"],
            service=service,
            region=self.settings["AWS_REGION"],
        )

    def wire(self) -> Wire:
        """A raw connection to the data plane."""
        return Wire(self.port)

    def control_wire(self) -> Wire:
        """A raw connection to the control plane."""
        return Wire(int(self.control_url.rpartition(":")[2]))

    def call(self, operation: str, body: Any = None) -> Any:
        """Ask the data plane once, as the admin, and expect a success; returns the answer's value."""
        with self.wire() as wire:
            reply = wire.ask(self.signer()(operation, body))
        assert reply.status == 200, (operation, reply)
        return reply.value

    def administer(self, operation: str, **body: Any) -> Any:
        """Ask the control plane once, as the admin, and expect a success; returns the answer's value."""
        with self.control_wire() as wire:
            reply = wire.ask(self.signer(service="keystead")(operation, body))
        assert reply.status == 200, (operation, reply)
        return reply.value

    def look(self, path: str) -> Reply:
        """GET something from the control plane, such as ``/metrics``."""
        with self.control_wire() as wire:
            return wire.ask(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    def ready(self) -> bool:
        """Whether every process says that it can work; false as well when nobody answers."""
        try:
            return self.look("/readyz").status == 200
        except OSError:
            return False

    def until(self, true: Callable[[], Any], seconds: float = PUBLISH_SECONDS) -> Any:
        """Wait until something is true; returns what it was."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            if time.monotonic() > deadline:
                pytest.fail(f"it did not come true in {seconds} s; the service said:\n{self.said()}")
            time.sleep(0.05)
        return found

    def said(self) -> str:
        """The service's own log."""
        return self.log_file.read_text()

    @property
    def audit(self) -> Path:
        """The directory of the audit logs."""
        return self.data / "audit"

    def records(self) -> list[dict[str, Any]]:
        """Every record under a checkpoint, read from the published tiles and nothing else.

        Complete after an orderly stop; at most a second or so behind while the service runs.
        """
        return [json.loads(record) for log in sorted(self.audit.iterdir()) for record in _published(log)]

    def ends(self, requests: Collection[str]) -> dict[str, dict[str, Any]]:
        """The record of how each request ended, by its id; waits until all of them are published."""

        def look() -> dict[str, dict[str, Any]]:
            found: dict[str, dict[str, Any]] = {}
            for record in self.records():
                if record.get("request") in requests and record.get("stage") != "intent":
                    assert record["request"] not in found, "a request ended twice"
                    found[record["request"]] = record
            return found if len(found) == len(requests) else {}

        return dict(self.until(look)) if requests else {}

    def verify(self) -> None:
        """Check every log with `keystead verify`, as an auditor would."""
        vkey = (self.data / "audit.vkey").read_text().strip()
        checked = self.keystead("verify", str(self.audit), "--key", vkey)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    @property
    def port(self) -> int:
        """The data plane's port."""
        return int(self.settings["AWS_ENDPOINT_URL_KMS"].rpartition(":")[2])

    @property
    def control_url(self) -> str:
        """The control plane's address."""
        return self.settings["KEYSTEAD_CONTROL_URL"]

    def keystead(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line with the admin's settings."""
        return subprocess.run(
            [sys.executable, "-m", "keystead", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **self.settings},
            **options,
        )


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _published(log: Path) -> Iterator[bytes]:
    """The entries of one C2SP tlog-tiles log, as its checkpoint counts them."""
    try:
        size = int((log / "checkpoint").read_bytes().split(b"\n")[1])
    except FileNotFoundError:
        return
    for number in range(-(-size // 256)):
        groups = [f"{number % 1000:03d}"]
        rest = number
        while rest := rest // 1000:
            groups.insert(0, f"x{rest % 1000:03d}")
        full = log.joinpath("tile", "entries", *groups)
        width = min(256, size - number * 256)
        partial = full.with_name(f"{full.name}.p") / str(width)
        try:
            bundle = (partial if width < 256 else full).read_bytes()
        except FileNotFoundError:  # a full one has replaced the partial one meanwhile
            bundle = full.read_bytes()
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            yield bundle[2 : 2 + length]
            bundle = bundle[2 + length :]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service with two workers, shared by a module's tests."""
    running = Service(tmp_path_factory.mktemp("service") / "data")
    running.start()
    yield running
    assert running.stop() == 0, running.log_file.read_text()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """Starts services whose configuration ends with a text, shared by a module's tests."""
    made: list[Service] = []

    def serve(more: str) -> Service:
        made.append(Service(tmp_path_factory.mktemp("serving") / "data"))
        made[-1].serve(more=more)
        return made[-1]

    yield serve
    for each in made:
        assert each.stop() == 0, each.said()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, not started yet, that may be killed."""
    own = Service(tmp_path / "data")
    yield own
    if own.process is not None and own.process.poll() is None:
        own.kill()


@pytest.fixture
def kms(service: Service) -> Any:
    """A boto3 client as the admin."""
    return service.client()


class Authority:
    """A certificate authority that lasts for a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        certificate = self._builder(self.name, self.key.public_key())
        certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = certificate.add_extension(usage, critical=True)
        self.file.write_bytes(self._signed(certificate))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and its key, in files; the same name replaces them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = self._builder(subject, key.public_key())
        certificate = certificate.add_extension(here, critical=False)
        certificate = certificate.add_extension(authority, critical=False)
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_bytes(self._signed(certificate))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        key_file.chmod(0o600)
        return certificate_file, key_file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=1))
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path, "authority")


@pytest.fixture
def served(own_service: Any, authority: Authority) -> Iterator[Any]:
    """A service with a certificate of that authority."""
    certificate, key = authority.issue("server")
    own_service.serve(scheme="https", more=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"')
    yield own_service
    assert own_service.stop() == 0
