"""The audit is asked from the command line of a running service, by a process that holds nothing secret."""

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from processes import memory, reader_of

pytestmark = pytest.mark.e2e

SECRET_BYTES = 24


def forms(secret: bytes) -> list[bytes]:
    """How a secret may be written."""
    return [secret, secret.hex().encode(), base64.b64encode(secret)[: len(secret)]]


def ask(service: Any, *arguments: str) -> Any:
    """An answer of `keystead audit`, as JSON."""
    done = service.keystead("audit", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def use(service: Any, client: Any, key: str, times: int = 1) -> list[str]:
    """Seal and open something; the ids of the requests that opened it."""
    requests = []
    for _ in range(times):
        sealed = client.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"tenant": "acme"})
        opened = client.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"tenant": "acme"})
        requests.append(opened["ResponseMetadata"]["RequestId"])
    return requests


def test_the_audit_is_asked_from_the_command_line(own_service: Any, tmp_path: Path) -> None:
    """Entries, counts, who used a key, what somebody could open, and evidence that checks out without Keystead."""
    service = own_service
    service.start()
    client = service.client()
    key = client.create_key()["KeyMetadata"]
    requests = use(service, client, key["KeyId"], 3)

    # What happened just now is there.
    (event,) = ask(service, "query", "--request", requests[-1])["events"]
    assert (event["action"], event["key"], event["outcome"]) == ("kms:Decrypt", key["Arn"], "Success")
    by_context = ask(service, "query", "--context", '{"tenant": "acme"}', "--action", "kms:Decrypt")
    assert [each["request"] for each in by_context["events"]] == requests[::-1]
    counts = ask(service, "query", "--key", key["KeyId"], "--since", "1h", "--by", "action")["counts"]
    assert {(count["action"], count["count"]) for count in counts} >= {("kms:Encrypt", 3), ("kms:Decrypt", 3)}
    used = ask(service, "who-used", key["KeyId"], "--from", "1h")
    assert [(each["action"], each["version"], each["count"]) for each in used] == [
        ("kms:Decrypt", "1", 3),
        ("kms:Encrypt", "1", 3),
    ]
    reach = ask(service, "reach", event["principal"])
    assert ("kms:Decrypt", key["Arn"]) in [(each["action"], each["key"]) for each in reach["could"]]
    assert [(each["key"], each["count"]) for each in reach["did"]] == [(key["Arn"], 3)]
    # Tables and CSV.
    table = service.keystead("audit", "who-used", key["KeyId"])
    assert "kms:Decrypt" in table.stdout
    lines = service.keystead(
        "audit", "query", "--key", key["KeyId"], "--csv", "--limit", "2"
    ).stdout.splitlines()
    assert lines[0].startswith("time,principal,action")
    assert len(lines) == 3

    refused = service.keystead("audit", "query", "--since", "1h", "--until", "2h")
    assert refused.returncode != 0
    assert "ends before it begins" in refused.stderr

    # Evidence, which notices a change of anything.
    bundle = tmp_path / "evidence.zip"
    made = service.keystead("audit", "evidence", "--key", key["KeyId"], "--uses", "-o", str(bundle))
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "evidence"
    with zipfile.ZipFile(bundle) as zipped:
        zipped.extractall(folder)
    vkey = service.data / "audit.vkey"
    assert checked(folder, vkey) == "OK: 6 events are in their logs as the bundle has them"
    another = "keystead-0000000000000000+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode()
    assert checked(folder, another).startswith("WRONG: ")
    for name, old, new, problem in (
        ("events.jsonl", "kms:Encrypt", "kms:Decrypt", "is not the file that the manifest names"),
        ("proofs.jsonl", "kms:Encrypt", "kms:Decrypt", "is not the file that the manifest names"),
    ):
        path = folder / name
        whole = path.read_text()
        path.write_text(whole.replace(old, new, 1))
        assert problem in checked(folder, vkey)
        # Whoever changes the manifest as well is found out by the proof.
        restate(folder, name)
        assert re.search("is not what was written|is not under the signed root", checked(folder, vkey))
        path.write_text(whole)
        restate(folder, name)
    lines = (folder / "proofs.jsonl").read_text().splitlines(keepends=True)
    (folder / "proofs.jsonl").write_text("".join(lines[1:]))
    restate(folder, "proofs.jsonl")
    assert "there is no proof of" in checked(folder, vkey)
    assert service.stop() == 0


def checked(folder: Path, vkey: object) -> str:
    """What the bundle's own program says, run by a Python that finds nothing of Keystead."""
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "check.py"), "--key", str(vkey)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode == 0) == done.stdout.startswith("OK")
    return done.stdout.strip()


def restate(folder: Path, name: str) -> None:
    """Make the manifest one of the files as they are."""
    from hashlib import sha256  # noqa: PLC0415 - only here

    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))


def test_the_reader_holds_no_secret(own_service: Any) -> None:
    """Not in its environment, and not in its memory, in which it has what is in the audit."""
    service = own_service
    passphrase, canary = secrets.token_hex(16), secrets.token_hex(16)
    service.extra_environment |= {"KEYSTEAD_PASSPHRASE": passphrase, "AWS_SECRET_ACCESS_KEY": canary}
    service.start()
    client = service.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    data_key = client.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    plaintext = secrets.token_bytes(SECRET_BYTES)
    sealed = client.encrypt(KeyId=key, Plaintext=plaintext)["CiphertextBlob"]
    opened = client.decrypt(CiphertextBlob=sealed)
    request = opened["ResponseMetadata"]["RequestId"]
    assert opened["Plaintext"] == plaintext
    assert ask(service, "query", "--request", request)["events"]

    pid, control = reader_of(service), service.child("control")
    held = {
        "a passphrase": passphrase.encode(),
        "another's secret": canary.encode(),
        "the admin's secret": service.settings["AWS_SECRET_ACCESS_KEY"].encode(),
        "the root key": (service.data / "root.key").read_bytes().strip()[-40:],
        "a data key": data_key,
        "a plaintext": plaintext,
    }
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert not re.search(rb"KEYSTEAD_|AWS_", environ)
    its, ours = memory(pid), memory(control)
    # The look finds what is there: what the audit says, and the secrets where they are.
    assert request.encode() in its
    assert held["the admin's secret"] in ours or held["another's secret"] in ours
    for what, secret in held.items():
        assert not any(form in its for form in forms(secret)), what
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)
    assert service.stop() == 0
    assert not Path(f"/proc/{pid}").exists()


def test_keys_are_used_whatever_becomes_of_the_reader(own_service: Any) -> None:
    """It is killed again and again: that is a warning, no key waits for it, and in the end nothing is missing."""
    service = own_service
    service.start()
    client = service.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    requests: list[str] = []
    for _ in range(3):
        os.kill(reader_of(service), signal.SIGKILL)
        requests += use(service, client, key, 5)
        assert service.look("/readyz").status == 200
    told = service.until(
        lambda: (told := json.loads(service.look("/readyz").body)["reader"])["state"] == "green" and told
    )
    assert told["trouble"] == ""
    assert service.ready()
    found = ask(service, "query", "--key", key, "--action", "kms:Decrypt", "--oldest-first")
    assert [each["request"] for each in found["events"]] == requests
    metrics = service.look("/metrics").body.decode()
    assert re.search(r"^keystead_reader_running 1$", metrics, re.MULTILINE)
    assert int(re.findall(r"^keystead_reader_restarts_total (\d+)$", metrics, re.MULTILINE)[0]) >= 3
    assert service.stop() == 0


def test_an_archive_that_is_thrown_away_is_made_anew(own_service: Any) -> None:
    """Everything in it is derived from the logs."""
    service = own_service
    service.start()
    client = service.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    requests = use(service, client, key, 4)
    assert service.stop() == 0
    for path in (service.data / "archive").rglob("*"):
        if path.is_file():
            path.unlink()
    service.start()
    found = service.until(lambda: _found(service, key))
    assert [each["request"] for each in found] == requests[::-1]
    assert service.stop() == 0


def _found(service: Any, key: str) -> list[dict[str, Any]]:
    done = service.keystead("audit", "query", "--key", key, "--action", "kms:Decrypt", "--json")
    return list(json.loads(done.stdout)["events"]) if done.returncode == 0 else []


def test_a_sink_of_the_configuration_is_fed(own_service: Any, tmp_path: Path) -> None:
    """By the reader, also after it was killed; how it fares is in the metrics and in the health."""
    service = own_service
    lines = tmp_path / "lines"
    service.serve(more=f'[[sink]]\nname = "lines"\nkind = "file"\npath = "{lines}"\n')
    client = service.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    requests = use(service, client, key, 3)
    os.kill(reader_of(service), signal.SIGKILL)
    requests += use(service, client, key, 3)

    def delivered() -> bool:
        text = "".join(path.read_text() for path in lines.iterdir()) if lines.is_dir() else ""
        return all(request in text for request in requests)

    assert service.until(delivered)
    told = service.until(
        lambda: (told := json.loads(service.look("/readyz").body)["reader"])["sinks"] and told
    )
    assert told["sinks"]["lines"]["trouble"] == ""
    assert 'keystead_sink_delivered_total{sink="lines"}' in service.look("/metrics").body.decode()
    assert service.stop() == 0
