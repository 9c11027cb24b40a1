"""What the tests of sinks share: logs to carry, receivers that are real servers, and certificates."""

import datetime as dt
import ipaddress
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typing_extensions import override

from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.audit.log import Log
from keystead.bridges.sinks.cursor import FOLDER, Cursors
from keystead.bridges.sinks.deadletter import NAME, DeadLetters
from keystead.bridges.sinks.port import Message, Rejected, Retry, Sink
from keystead.bridges.sinks.pump import Pump
from keystead.service import entry as entries
from keystead.service.entry import Entry
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Onlooker


class SystemClock:
    """The machine's own clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def event(number: int, **members: Any) -> Entry:
    """An entry that names its own place."""
    return Entry(
        **{
            "action": "kms:Encrypt",
            "outcome": "Success",
            "principal": "arn:aws:iam::111122223333:user/app",
            "request": f"request-{number}",
            "source": "10.1.2.3",
            "time": 1_000_000_000_000 + number,
            "v": 1,
            **members,
        }
    )


class Collector:
    """A sink into a list, which can be told to fail. It keeps the port's promises."""

    def __init__(self, overlap: int = 0) -> None:
        self.overlap = overlap
        self.got: list[Message] = []
        self.remembered: list[Message] = []
        self.deliveries = 0
        self.retry: list[Retry] = []  # what the next deliveries raise
        self.refuses: Callable[[Message], str] = lambda _: ""  # why it refuses an event for good
        self.whole = True
        self.closed = 0

    def remember(self, messages: Sequence[Message]) -> None:
        self.remembered += messages

    def deliver(self, messages: Sequence[Message]) -> None:
        self.deliveries += 1
        if self.retry:
            raise self.retry.pop(0)
        for message in messages:
            if why := self.refuses(message):
                if not self.whole:
                    self.got += [each for each in messages if not self.refuses(each)]
                raise Rejected(why, whole=self.whole)
        self.got += messages

    def close(self) -> None:
        self.closed += 1

    @property
    def names(self) -> list[str]:
        """The names of the events that came."""
        return [message.about.name for message in self.got]


class SinkBench:
    """A log, a pump that carries it to a collector, and the means to begin again."""

    def __init__(self, sink: Sink | None = None, **options: Any) -> None:
        self.audit = AuditBench(segment_bytes=1 << 18)
        self.audit.disk.mkdir(Path("/data"))
        self.collector = Collector()
        self.sink = sink or self.collector
        self.options = options
        self.written = 0
        self.heard: list[str] = []  # of what the pump has given notice
        self.log: Log = self.audit.open()
        self.pump = self.begin()

    def begin(self) -> Pump:
        """A new process with the same cursors."""
        disk = self.audit.disk
        directory = Path("/data") / FOLDER / "siem"
        self.pump = Pump(
            self.sink,
            Follower(self.audit.root, disk=Onlooker(disk)),  # type: ignore[arg-type]  # it only reads
            Cursors(directory, sink="siem", disk=disk),
            DeadLetters(directory, disk=disk),
            **{
                "name": "siem",
                "kind": "collector",
                "clock": self.audit.clock,
                "random": bytes,
                "notice": self.heard.append,
                **self.options,
            },
        )
        return self.pump

    def write(self, many: int = 1, **members: Any) -> None:
        """Commit entries, each in a batch of its own."""
        for _ in range(many):
            self.log.append(entries.encode(event(self.written, **members)))
            self.log.commit()
            self.written += 1

    def settle(self) -> None:
        """Let a checkpoint cover everything."""
        self.audit.later()
        self.log.tend()
        self.log.tend()
        assert self.log.signed == self.log.size

    def drain(self) -> None:
        """Have everything delivered."""
        while self.pump.turn():
            pass

    def fail(self, many: int = 1) -> None:
        """Have turns end with `Retry`, as often as that; what goes well before is not counted."""
        while many:
            try:
                assert self.pump.turn()
            except Retry as error:
                self.pump.failed(error)
                many -= 1

    def letters(self) -> list[str]:
        """The events in the dead letters."""
        try:
            data = self.audit.disk.read(Path("/data") / FOLDER / "siem" / NAME)
        except FileNotFoundError:
            return []
        return [json.loads(line)["event"] for line in data.splitlines()]


def names(*indexes: int, log: str = "w0") -> list[str]:
    """The names of entries."""
    return [f"keystead-test/{log}/{index}" for index in indexes]


class Certificates(NamedTuple):
    """Files with certificates and keys, all of one authority."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """An authority, a server on loopback and a client."""
    now = dt.datetime.now(dt.UTC)
    authority = ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def issue(text: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name(text))
            .issuer_name(name("an authority for tests"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(here), critical=False)
            .sign(authority, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def write(what: str, data: bytes) -> Path:
        path = folder / what
        path.write_bytes(data)
        return path

    def pair(text: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return write(f"{text}.pem", issue(text, key, is_ca=False)), write(f"{text}.key", secret)

    ca = write("ca.pem", issue("an authority for tests", authority, is_ca=True))
    return Certificates(ca, *pair("server"), *pair("client"))


class Request(NamedTuple):
    """What an HTTP server was sent."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver:
    """A web server on loopback that keeps what it is sent and answers as it is told to."""

    def __init__(self, files: Certificates | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []  # to the next requests; then 200
        self.default: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.judge: Callable[[list[Request]], tuple[int, dict[str, str], bytes]] = lambda _: self.default
        self.hang = threading.Event()
        self.hang.set()
        self.context: ssl.SSLContext | None = None
        if files is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(files.server, files.server_key)
            self.context.load_verify_locations(files.ca)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self.receiver.context is None:
                _Handler(request, client_address, self)
                return
            with self.receiver.context.wrap_socket(request, server_side=True) as connection:
                _Handler(connection, client_address, self)
        except OSError:
            return  # the client has gone, or showed no certificate


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receiver = cast("_Server", self.server).receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.requests.append(Request(self.path, dict(self.headers.items()), body))
        receiver.hang.wait()
        status, headers, answer = (
            receiver.answers.pop(0) if receiver.answers else receiver.judge(receiver.requests)
        )
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what they need to say."""


RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{files.ca}" defaultNetstreamDriverCertFile="{files.server}"
  defaultNetstreamDriverKeyFile="{files.server_key}")
module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="{mode}" StreamDriver.Authmode="{auth}")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="event" type="string" string="{fields}\\n")
action(type="omfile" file="{folder}/events" template="event")
"""


RSYSLOG_FIELDS = (
    "%pri%",
    "%hostname%",
    "%app-name%",
    "%procid%",
    "%msgid%",
    "%timestamp:::date-rfc3339%",
    "%structured-data%",
    "%msg%",
)


class Rsyslog:
    """The real rsyslog, with a configuration of the test's own, on loopback."""

    def __init__(self, folder: Path, files: Certificates, port: int, *, tls: bool) -> None:
        program = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("rsyslog is not here: syslog is NOT tested against a real receiver")
        self._program = program
        self._folder = folder
        self.port = port
        driver = {"driver": "ossl", "mode": 1, "auth": "x509/certvalid"}
        plain = {"driver": "ptcp", "mode": 0, "auth": "anon"}
        fields = "\\t".join(RSYSLOG_FIELDS)
        text = RSYSLOG.format(
            folder=folder, files=files, port=port, fields=fields, **(driver if tls else plain)
        )
        (folder / "rsyslog.conf").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it listens."""
        self._process = subprocess.Popen(
            [
                *(self._program, "-n", "-f", str(self._folder / "rsyslog.conf")),
                *("-i", str(self._folder / f"pid-{time.monotonic_ns()}")),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        listening = f":{self.port:04X} 00000000:0000 0A"
        while listening not in Path("/proc/net/tcp").read_text():
            if self._process.poll() is not None or time.monotonic() > until:
                assert self._process.stderr is not None
                pytest.fail(f"rsyslog does not start: {self._process.stderr.read()!r}")
            time.sleep(0.01)

    def kill(self) -> None:
        """No time to write anything down."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def has(self, text: bytes) -> bool:
        """Whether something was written. Even when it ends in peace, rsyslog reads no more from its connections."""
        path = self._folder / "events"
        return path.exists() and text in path.read_bytes()

    def stop(self) -> None:
        """End it in peace."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=30)

    def lines(self) -> list[list[bytes]]:
        """The fields of what it has written, one event a line; a line that a kill has torn is none."""
        path = self._folder / "events"
        data = path.read_bytes() if path.exists() else b""
        return [
            fields for line in data.split(b"\n") if len(fields := line.split(b"\t")) == len(RSYSLOG_FIELDS)
        ]


class RealLog:
    """A log on the machine's own disk, with entries that name their place."""

    def __init__(self, data: Path) -> None:
        bench = AuditBench()
        self._log = Log.open(
            data / "audit" / "w0",
            origin="keystead-test/w0",
            signer=bench.signer,
            disk=LocalDisk(),
            clock=SystemClock(),
            random=os.urandom,
            notice=lambda notice: notice.event.encode(),
            segment_bytes=1 << 22,
            checkpoint_seconds=0.0,
        )
        self._written = 0

    def write(self, many: int) -> None:
        """Commit entries, a hundred at a time, and sign a checkpoint over them."""
        for _ in range(many // 100):
            for _ in range(100):
                self._log.append(entries.encode(event(self._written)))
                self._written += 1
            self._log.commit()
        self._log.tend()
        self._log.tend()

    def close(self) -> None:
        """Let go of it."""
        self._log.close()
