"""`keystead demo`: the main job on real files, step by step, in a temporary place.

    make demo          # does all set-up first
    keystead demo FILES-OR-DIRECTORY

It starts a service, envelope-encrypts every file of a directory through plain boto3, rotates the key, decrypts
and compares, shows that a user without permission is refused, and verifies the audit offline. It needs boto3,
which is a development dependency, and leaves nothing behind.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

SECONDS: Final = 2.0  # of load, to say how fast it is
CONNECTIONS: Final = 8
START_SECONDS: Final = 30.0
_NONCE: Final = 12  # bytes: fresh for every data key, and each data key encrypts one file


class Sealed(NamedTuple):
    """A file as an application would store it: its data key, sealed, beside what that encrypted."""

    data_key: bytes
    nonce: bytes
    ciphertext: bytes
    context: dict[str, str]


class Failed(Exception):
    """A step did not do what it should."""


@click.command(epilog="\b\nExamples:\n  keystead demo\n  keystead demo ~/letters")
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(directory: Path | None) -> int:
    """See everything work, in a temporary place: about ten seconds.

    Encrypts the files of DIRECTORY; they are only read. By default it takes the documentation of this checkout,
    or the program's own files.
    """
    own = Path("docs") if Path("docs").is_dir() else Path(__file__).parent
    return run(directory or own)


def run(directory: Path) -> int:
    """Run the demonstration on the files below ``directory``; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="keystead-demo-") as place:
        try:
            _run(directory, Path(place))
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the step that failed is told
            click.echo(f"\nThe demonstration failed: {error}", err=True)
            return 1
    return 0


def _run(directory: Path, place: Path) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if not files:
        raise Failed(f"there are no files below {directory}: name a directory that has some")
    began = time.monotonic()
    step = _Steps()
    with _service(place) as settings:
        step("Started a service on an empty directory", f"it answered after {time.monotonic() - began:.1f} s")
        kms = _client(settings)
        metadata = kms.create_key(Description="demonstration")["KeyMetadata"]
        key = metadata["KeyId"]
        kms.create_alias(AliasName="alias/demo", TargetKeyId=key)
        step("Created a customer-managed key with boto3", metadata["Arn"])

        sealed = {path: _seal(kms, "alias/demo", path) for path in files}
        size = sum(path.stat().st_size for path in files)
        step(
            f"Envelope-encrypted {len(files)} files of {directory}/ ({size:,} bytes)",
            "a data key for each, sealed by the key and bound to the file's name",
        )

        kms.rotate_key_on_demand(KeyId=key)
        rotations = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        step("Rotated the key", f"{len(rotations)} versions of its material; old data keys must still open")

        for path, envelope in sealed.items():
            if _open(kms, envelope) != path.read_bytes():
                raise Failed(f"{path} came back different")
        step(f"Decrypted all {len(files)} files and compared them", "every byte is the same")

        step("Asked as a user without permission", _refusal(settings, sealed[files[0]]))
        step(
            f"Encrypted and decrypted for {SECONDS:.0f} s over {CONNECTIONS} connections",
            _load(settings, key),
        )
        step(f"The same for {SECONDS:.0f} s with requests signed beforehand", _raw_load(settings, key))
    vkey = (place / "data" / "audit.vkey").read_text().strip()
    verified = _keystead(settings, "verify", str(place / "data" / "audit"), "--key", vkey)
    step("Stopped the service and verified the audit offline", verified.splitlines()[-1])
    click.echo(
        f"\nAll of it worked, in {time.monotonic() - began:.0f} s. "
        "Next: `keystead dev`, or docs/guides/getting-started.md"
    )


class _Steps:
    """Prints what was done, numbered."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, what: str, how: str) -> None:
        self._number += 1
        click.echo(f"{self._number}. {what}:\n   {how}")


@contextmanager
def _service(place: Path) -> Iterator[dict[str, str]]:
    """`keystead dev` in a process of its own, on free ports; stopped in order at the end."""
    env_file, log_file = place / "env", place / "log"
    command = [
        *(sys.executable, "-m", "keystead", "dev", "--port", "0", "--control-port", "0"),
        *("--data", str(place / "data"), "--env-file", str(env_file)),
    ]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - our own program
    try:
        deadline = time.monotonic() + START_SECONDS
        while not env_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the service did not start:\n{log_file.read_text()}")
            time.sleep(0.02)
        lines = env_file.read_text().splitlines()
        yield dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=30) != 0:
            raise Failed(f"the service did not stop in order:\n{log_file.read_text()}")


def _client(settings: dict[str, str]) -> Any:  # noqa: ANN401 - boto3's clients have no static type here
    try:
        import boto3  # noqa: PLC0415 - a development dependency
    except ImportError:
        raise Failed("boto3 is not installed: run `make demo`, or pip install boto3") from None
    return boto3.client(
        "kms",
        endpoint_url=settings["AWS_ENDPOINT_URL_KMS"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


def _seal(kms: Any, key: str, path: Path) -> Sealed:  # noqa: ANN401 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - quick start

    context = {"file": path.as_posix()}
    pair = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
    nonce = os.urandom(_NONCE)
    ciphertext = AESGCM(pair["Plaintext"]).encrypt(nonce, path.read_bytes(), None)
    return Sealed(pair["CiphertextBlob"], nonce, ciphertext, context)


def _open(kms: Any, sealed: Sealed) -> bytes:  # noqa: ANN401 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - quick start

    data_key = kms.decrypt(CiphertextBlob=sealed.data_key, EncryptionContext=sealed.context)["Plaintext"]
    return AESGCM(data_key).decrypt(sealed.nonce, sealed.ciphertext, None)


def _refusal(settings: dict[str, str], sealed: Sealed) -> str:
    """What a new user without any policy is told when it tries to open a file."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - a development dependency

    told = json.loads(_keystead(settings, "principal", "create", "mallory", "--access-key", "--json"))
    key = told["access_key"]
    mallory = _client(
        {
            **settings,
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        }
    )
    try:
        mallory.decrypt(CiphertextBlob=sealed.data_key, EncryptionContext=sealed.context)
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    raise Failed("a user without permission could decrypt")


def _load(settings: dict[str, str], key: str) -> str:
    """Operations a second that plain boto3 clients reach together, and how that compares with what is served."""
    counts = [0] * CONNECTIONS
    failures: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def work(number: int) -> None:
        try:
            kms = _client(settings)
            while time.monotonic() < end:
                blob = kms.encrypt(KeyId=key, Plaintext=b"as fast as boto3 can")["CiphertextBlob"]
                kms.decrypt(CiphertextBlob=blob)
                counts[number] += 2
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            failures.append(error)

    _client(settings)  # boto3's first client in a process is not safe to make in several threads
    _in_threads(work)
    if failures:
        raise Failed(f"an operation failed under load: {failures[0]}")
    return f"{sum(counts) / SECONDS:,.0f} operations a second, which is what boto3 in one Python process can ask for"


def _raw_load(settings: dict[str, str], key: str) -> str:
    """Operations a second that the service answers when asking costs next to nothing."""
    from keystead.cli.bench import signed  # noqa: PLC0415 - quick start
    from keystead.testing.bench.load import Request, closed  # noqa: PLC0415 - quick start

    host, _, port = settings["AWS_ENDPOINT_URL_KMS"].removeprefix("http://").rpartition(":")

    def request(operation: str, **body: str) -> Request:
        return Request(signed(settings, f"{host}:{port}", operation, json.dumps(body).encode()))

    blob = _client(settings).encrypt(KeyId=key, Plaintext=b"as fast as it can")["CiphertextBlob"]
    requests = [
        request("Encrypt", KeyId=key, Plaintext=b64encode(b"as fast as it can").decode()),
        request("Decrypt", CiphertextBlob=b64encode(blob).decode()),
    ]
    load = closed((host, int(port)), requests, connections=CONNECTIONS, seconds=SECONDS)
    if load.errors:
        raise Failed(f"an operation failed under load: {dict(load.errors)}")
    return (
        f"{load.rate:,.0f} operations a second, half of them within {load.percentile(50) * 1000:.1f} ms, each on "
        "record before its answer; see `make bench`"
    )


def _in_threads(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _keystead(settings: dict[str, str], *arguments: str) -> str:
    """Run the command line with a service's settings; returns what it printed."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "keystead", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **settings},
    )
    if done.returncode:
        raise Failed(f"keystead {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(demo.main(standalone_mode=False) or 0)
