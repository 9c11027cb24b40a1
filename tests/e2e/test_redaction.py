"""An address is taken out of the audit of a running service, from the command line."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

HERE = "127.0.0.1"


def ask(service: Any, *arguments: str) -> Any:
    """An answer of `keystead audit`, as JSON."""
    done = service.keystead("audit", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def holding(directory: Path, text: str) -> list[str]:
    """The files under a directory in which a text stands."""
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_an_address_goes_out_of_everything(own_service: Any, tmp_path: Path) -> None:
    """Answers and evidence have it before; after, no file of the service has, and all that was signed still holds."""
    service = own_service
    service.serve(more='[audit]\nredactable = ["source", "source_identity"]')
    client = service.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(4):
        client.encrypt(KeyId=key, Plaintext=b"x")
    assert service.client(aws_secret_access_key="wrong").meta.service_model.service_name == "kms"
    with pytest.raises(Exception, match="Signature"):
        service.client(aws_secret_access_key="wrong").list_keys()

    # (1) Before: by address, by network, with what it takes to check it.
    told = ask(service, "query", "--source", HERE, "--action", "kms:Encrypt")
    assert [each["source"] for each in told["events"]] == [HERE] * 4
    ((old, disclosed),) = told["disclosed"].items()
    assert disclosed["value"] == HERE
    assert len(ask(service, "query", "--source", "127.0.0.0/8", "--action", "kms:Encrypt")["events"]) == 4
    refused = ask(service, "query", "--source", HERE, "--outcome", "InvalidSignature", "--everything")
    assert [each["source"] for each in refused["events"]] == [HERE]
    request = told["events"][0]["request"]
    assert (
        json.loads(service.keystead("policy", "explain", request, "--json").stdout)["decisions"][0]["source"]
        == HERE
    )
    kept = tmp_path / "kept"
    assert service.keystead("audit", "checkpoints", "-o", str(kept)).returncode == 0
    bundle = tmp_path / "evidence.zip"
    made = service.keystead("audit", "evidence", "--key", key, "--uses", "-o", str(bundle))
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(bundle) as zipped:
        assert json.loads(zipped.read("disclosed.json")) == told["disclosed"]
        assert HERE.encode() not in zipped.read("events.jsonl")
    ours = tmp_path / "ours.jsonl"
    assert service.keystead("audit", "fetch", "-o", str(ours)).returncode == 0
    assert HERE in ours.read_text()
    vkey = str(service.data / "audit.vkey")
    checked = service.keystead("verify", str(ours), "--key", vkey)
    assert checked.returncode == 0, checked.stderr
    ours.write_text(ours.read_text().replace(f'"{HERE}"', '"127.0.0.2"'))
    checked = service.keystead("verify", str(ours), "--key", vkey)
    assert checked.returncode == 4
    assert "is not what was committed to" in checked.stderr
    assert holding(service.data, HERE) == ["keystead.db"] or "keystead.db-wal" in holding(service.data, HERE)

    # (2) After.
    said = service.keystead("audit", "redact", "--source", HERE, "--reason", "a request")
    assert said.stdout == f"Redacted. It was {old}\n"
    assert service.stop() == 0
    assert holding(service.data, HERE) == []
    assert holding(service.data, disclosed["salt"]) == []
    verified = service.keystead("verify", str(service.data / "audit"), "--key", vkey, "--since", str(kept))
    assert verified.returncode == 0, verified.stderr
