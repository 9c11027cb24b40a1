"""Known secrets go through every operation and every error, and are looked for wherever they must not be.

The secrets: plaintexts, data keys, random bytes, secret access keys, session tokens. The places: the audit
logs (segments too), the service's own log, the metrics, the database with its write-ahead log, and the body
of every error. The forms: as they are, as base64, as hexadecimal.
"""

import base64
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

AT_LEAST = 25  # secrets, or the test has not pushed what it says


class Canaries:
    """Asks for things with secrets in them, and remembers the secrets and what the errors said."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.secrets: set[bytes] = set()
        self.errors: list[bytes] = []

    def new(self, size: int = 24) -> bytes:
        """A secret nobody has seen, printable so that it could stand anywhere."""
        secret = secrets.token_hex(size // 2).encode()
        self.secrets.add(secret)
        return secret

    def text(self, size: int = 24) -> str:
        """A secret as base64, the form in which plaintexts travel."""
        return base64.b64encode(self.new(size)).decode()

    def ask(self, operation: str, body: Any, *, sign: Any = None, **how: Any) -> Any:
        """Ask the data plane; an error's body is kept, a success's secrets are too."""
        with self.service.wire() as wire:
            reply = wire.ask((sign or self.service.signer())(operation, body, **how))
        if reply.error:
            self.errors.append(reply.body)
            return reply
        if operation in {"GenerateDataKey", "GenerateRandom"}:
            self.secrets.add(base64.b64decode(reply.value["Plaintext"]))
        return reply.value

    def administer(self, operation: str, body: Any, *, sign: Any = None) -> Any:
        """Ask the control plane likewise."""
        with self.service.control_wire() as wire:
            reply = wire.ask((sign or self.service.signer(service="keystead"))(operation, body))
        if reply.error:
            self.errors.append(reply.body)
        elif operation == "CreateAccessKey":
            self.secrets.add(reply.value["secret_access_key"].encode())
        return reply.value


def forms(secret: bytes) -> Iterator[bytes]:
    """What the beginning of a secret may look like; within a longer text, base64 has three forms."""
    start = secret[:24]
    yield start
    yield start.hex().encode()
    for skipped in range(3):  # what depends on the neighbours is left out
        yield base64.b64encode(start[skipped : skipped + (len(start) - skipped) // 3 * 3])


def push_everything(c: Canaries) -> None:
    """Every operation that takes or gives a secret, in success and in as many errors as there are."""
    key = c.ask("CreateKey", {})["KeyMetadata"]["KeyId"]
    other = c.ask("CreateKey", {})["KeyMetadata"]["KeyId"]
    c.ask("CreateAlias", {"AliasName": "alias/canary", "TargetKeyId": key})
    # Successes, before and after a rotation.
    sealed = ""
    for name in (key, "alias/canary"):
        sealed = c.ask("Encrypt", {"KeyId": name, "Plaintext": c.text()})["CiphertextBlob"]
        data_key = c.ask("GenerateDataKey", {"KeyId": name, "KeySpec": "AES_256"})["CiphertextBlob"]
        c.ask("GenerateDataKey", {"KeyId": name, "NumberOfBytes": 64})
        c.ask("GenerateRandom", {"NumberOfBytes": 48})
        c.ask("RotateKeyOnDemand", {"KeyId": key})
        for blob in (sealed, data_key):
            c.ask("Decrypt", {"CiphertextBlob": blob})
            c.ask("ReEncrypt", {"CiphertextBlob": blob, "DestinationKeyId": other})
        c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text(4096)})
    # Errors of what was asked.
    errors = len(c.errors)
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text(4098)})
    c.ask("Encrypt", {"KeyId": "alias/nobody", "Plaintext": c.text()})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text(), "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text(), "DryRun": True})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text(), "EncryptionContext": ["x"]})
    c.ask("Encrypt", {"Plaintext": c.text()})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.new().decode() + "!"})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": [c.new().decode()]})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": {c.new().decode(): 1}})
    c.ask("Encrypt", {"KeyId": {"Plaintext": c.new().decode()}})
    c.ask("Encrypt", b'{"KeyId": "x", "Plaintext": "' + c.new())
    c.ask("Encrypt", b'"' + c.new() + b'"')
    c.ask("Decrypt", {"CiphertextBlob": c.text()})
    c.ask("Decrypt", {"CiphertextBlob": sealed, "EncryptionContext": {"wrong": "context"}})
    c.ask("ReEncrypt", {"CiphertextBlob": c.text(), "DestinationKeyId": other})
    c.ask("DisableKey", {"KeyId": key})
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text()})
    c.ask("Encrypt", {"KeyId": "alias/canary", "Plaintext": c.text()})
    c.ask("OpenSesame", {"Plaintext": c.text()})
    # Errors of who asked.
    token = {"x-amz-security-token": c.new().decode()}
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text()}, extra=token)
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text()}, sign=c.service.signer(secret=c.new().decode()))
    c.ask("Encrypt", {"KeyId": key, "Plaintext": c.text()}, payload=c.new().decode())
    with c.service.wire() as wire:
        head = (
            f"POST / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {c.new().decode()}\r\ncontent-length: 2\r\n"
        )
        c.errors.append(wire.ask(f"{head}\r\n{{}}".encode()).body)
        c.errors.append(wire.ask(f"{head}x-amz-meta : {c.new().decode()}\r\n\r\n{{}}".encode()).body)
    # Users, their keys, and their own uses and refusals.
    c.administer("CreatePrincipal", {"name": "canary"})
    made = c.administer("CreateAccessKey", {"name": "canary"})
    user = c.service.signer(access_key=made["access_key_id"], secret=made["secret_access_key"])
    c.ask("Encrypt", {"KeyId": other, "Plaintext": c.text()}, sign=user)
    c.administer("CreateAccessKey", {"name": "canary"})
    c.administer("CreateAccessKey", {"name": "canary"})  # one too many
    c.administer("CreatePrincipal", {"name": "canary"})  # there already
    c.administer("SetAccessKeyStatus", {"access_key_id": made["access_key_id"], "enabled": False})
    c.ask("Encrypt", {"KeyId": other, "Plaintext": c.text()}, sign=user)
    c.administer("CreatePrincipal", {"name": {"secret": c.new().decode()}})
    c.administer("CreatePrincipal", b'{"name": "' + c.new())
    c.administer("DeletePrincipal", {"name": "canary"})
    assert len(c.errors) - errors > AT_LEAST


def test_no_secret_is_anywhere_it_does_not_belong(own_service: Any) -> None:
    """Not in the audit, the log, the metrics, the database or an error, running and stopped."""
    service = own_service
    service.start()
    canaries = Canaries(service)
    canaries.secrets.add(service.settings["AWS_SECRET_ACCESS_KEY"].encode())
    push_everything(canaries)
    assert len(canaries.secrets) > AT_LEAST
    assert all(len(secret) >= 24 for secret in canaries.secrets)
    service.until(lambda: len(service.records()) > len(canaries.errors))
    places = {"metrics": service.look("/metrics").body, **files(service)}
    assert any(name.endswith("-wal") for name in places), "the database's write-ahead log was not looked at"
    places |= {f"error {number}": body for number, body in enumerate(canaries.errors)}
    assert service.stop() == 0
    places |= {f"{name}, stopped": data for name, data in files(service).items()}
    found = [
        (place, secret)
        for secret in canaries.secrets
        for form in forms(secret)
        for place, data in places.items()
        if form in data
    ]
    assert not found
    # The search itself finds what is there.
    assert any(b"kms:GenerateDataKey" in data for data in places.values())
    assert not re.search(r"[Tt]raceback|met a bug", service.said())


def files(service: Any) -> dict[str, bytes]:
    """All that the service has written, but for the key file of its seal, which is a secret by itself."""
    data: Path = service.data
    names = [path for path in data.rglob("*") if path.is_file() and path.suffix != ".key"]
    assert {"keystead.db", "checkpoint"} <= {path.name for path in names}
    found = {}
    for path in [*names, service.log_file]:
        with suppress(FileNotFoundError):  # a tile gets its name, or goes, while we look
            found[str(path)] = path.read_bytes().rstrip(b"\0")
    return found
