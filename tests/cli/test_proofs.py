"""Commands that prove what audit logs hold, from files and by a service, and the rotation of the log's key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.app.installation import Founded, Installation, SystemClock, found, local_secrets, system_random
from keystead.config import Config
from keystead.crypto.note import CosignatureSigner

ENTRIES = [b'{"account":"111122223333","request":"r-%d","v":1}' % number for number in range(300)]


@pytest.fixture
def founded(tmp_path: Path) -> Founded:
    """An installation with a few hundred records in one log."""
    config, secrets, clock = Config(data=tmp_path / "data"), local_secrets({}), SystemClock()
    made = found(config, "file", secrets, clock, system_random, path=str(tmp_path / "root.key"))
    log = Installation.open(config, secrets, clock, system_random).log("w0")
    for entry in ENTRIES:
        log.append(entry)
    log.close()
    return made


@pytest.fixture
def audit(founded: Founded, tmp_path: Path) -> Path:
    """The directory of the logs."""
    return tmp_path / "data" / "audit"


@pytest.mark.parametrize("by", ["event", "request"])
def test_a_proof_from_files_is_checked_by_the_key_alone(
    by: str, founded: Founded, audit: Path, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """By the event's name or the request's id; the proof says which entry, of how many."""
    event = f"keystead-{founded.instance}/w0/42"
    file = tmp_path / "proof.json"
    name = event if by == "event" else "r-42"
    assert keystead("audit", "prove", name, "--audit-dir", str(audit), "-o", str(file)).code == 0

    code, out, _ = keystead("verify", str(file), "--key", founded.vkey)

    assert code == 0
    assert f"OK: {event} is in the log of 300 records whose root is signed:\n{ENTRIES[42].decode()}" in out
    told = json.loads(keystead("verify", str(file), "--vkey", founded.vkey, "--json").out)
    assert told["proven"] == [
        {
            "origin": f"keystead-{founded.instance}/w0",
            "records": 300,
            "cosigned": {},
            "event": event,
            "entry": ENTRIES[42].decode(),
        }
    ]


def test_a_proof_that_was_changed_proves_nothing(
    founded: Founded, audit: Path, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """Exit code 4, the line and what is wrong with it; no proof at all is no proof either."""
    file = tmp_path / "proof.json"
    one = keystead("audit", "prove", "r-1", "--audit-dir", str(audit)).out
    file.write_text(one + one.replace("r-1", "r-2"))
    code, _, err = keystead("verify", str(file), "--key", founded.vkey)
    assert code == 4
    assert "line 2: entry 1 does not lead to the root" in err
    file.write_text("")
    assert keystead("verify", str(file), "--key", founded.vkey).code == 4
    assert keystead("verify", str(file), "--key", founded.vkey, "--since", str(file)).code == 2


def test_what_cannot_be_proven_is_said(founded: Founded, audit: Path, keystead: Callable[..., Any]) -> None:
    """No such event, no such request, no directory."""
    for name in (f"keystead-{founded.instance}/w7/1", "keystead-other/w0/1", "r-x"):
        ended = keystead("audit", "prove", name, "--audit-dir", str(audit))
        assert (ended.code, ended.out) == (1, "")
    assert keystead("audit", "prove", "r-1", "--audit-dir", str(audit / "nothing")).code == 78


def test_an_old_checkpoint_is_held_against_the_logs(
    founded: Founded, audit: Path, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """A kept checkpoint is a proof's beginning, and finds a log out that was cut since."""
    kept = tmp_path / "kept"
    kept.write_text((audit / "w0/checkpoint").read_text() + "\n" + (audit / "control/checkpoint").read_text())
    file = tmp_path / "consistency.json"
    assert keystead("audit", "consistency", str(kept), "--audit-dir", str(audit), "-o", str(file)).code == 0
    code, out, _ = keystead("verify", str(file), "--key", founded.vkey)
    assert (code, out.count("OK: the first ")) == (0, 2)
    assert "the first 300 records of" in out
    told = json.loads(keystead("verify", str(file), "--key", founded.vkey, "--json").out)
    assert told["proven"][0]["begins_with"] == 300
    assert keystead("verify", str(audit), "--key", founded.vkey, "--since", str(kept)).code == 0

    for path in sorted((audit / "w0").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    config, clock = Config(data=audit.parent), SystemClock()
    Installation.open(config, local_secrets({}), clock, system_random).log("w0").close()
    assert keystead("verify", str(audit), "--key", founded.vkey).code == 0
    code, _, err = keystead("verify", str(audit), "--key", founded.vkey, "--since", str(kept))
    assert code == 4
    assert (
        "record 0: checkpoint: it covers 0 records, the one that was kept 300: the log was rolled back" in err
    )
    ended = keystead("audit", "consistency", str(kept), "--audit-dir", str(audit))
    assert ended.code == 78
    assert "rolled back" in ended.err


@pytest.mark.parametrize("text", [None, "", "one line"])
def test_a_file_without_a_checkpoint_is_said_to_have_none(
    text: str | None, founded: Founded, audit: Path, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """For a proof and for verification alike."""
    kept = tmp_path / "kept"
    if text is not None:
        kept.write_text(text)
    assert keystead("audit", "consistency", str(kept), "--audit-dir", str(audit)).code == 78
    assert keystead("verify", str(audit), "--key", founded.vkey, "--since", str(kept)).code == 78


def test_verification_asks_for_a_witness(founded: Founded, audit: Path, keystead: Callable[..., Any]) -> None:
    """A log that no witness has seen does not pass for one that it has."""
    witness = CosignatureSigner("witness.example/w1", Ed25519PrivateKey.generate()).verifier.vkey
    ended = keystead("verify", str(audit), "--key", founded.vkey, "--witness", witness)
    assert ended.code == 4
    assert f"control, record 0: checkpoint: no checkpoint of this log is cosigned by {witness}" in ended.err


def test_the_key_is_replaced_and_both_keys_verify(
    founded: Founded, audit: Path, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """The new verifier key is printed; a proof that is made now checks out with the old one too."""
    config = tmp_path / "keystead.toml"
    config.write_text(f'data = "{tmp_path / "data"}"\n')
    told = json.loads(keystead("audit", "rotate-key", "--config", str(config), "--json").out)
    assert (told["old"], told["number"]) == (founded.vkey, 2)
    ended = keystead("audit", "rotate-key", "--config", str(config), "--overlap-days", "0")
    assert "Key number 3 signs the audit from now on" in ended.out
    newest = ended.out.splitlines()[-1].strip()
    for key in (founded.vkey, told["new"], newest):
        assert keystead("verify", str(audit), "--key", key).code == 0
        file = tmp_path / "proof.json"
        keystead("audit", "prove", "r-7", "--audit-dir", str(audit), "-o", str(file))
        assert keystead("verify", str(file), "--key", key).code == 0
    assert len(keystead("audit", "cat", str(audit)).out.splitlines()) > 300


def test_a_running_service_proves_what_it_has_just_done(
    dev: Any, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """By a request's id, a second after it; its checkpoints are kept and proven to be gone on from."""
    made = keystead("principal", "create", "prover", "--json", **dev.settings)
    assert made.code == 0
    key = (dev.data / "audit.vkey").read_text().strip()
    kept, file = tmp_path / "kept", tmp_path / "proof.json"
    assert keystead("audit", "checkpoints", "-o", str(kept), **dev.settings).code == 0
    listed = keystead("audit", "cat", str(dev.data / "audit" / "control")).out.splitlines()
    request = json.loads(listed[-1])["request"]

    assert keystead("audit", "prove", request, "-o", str(file), **dev.settings).code == 0

    told = json.loads(keystead("verify", str(file), "--key", key, "--json").out)
    assert {json.loads(one["entry"])["request"] for one in told["proven"]} == {request}
    assert keystead("audit", "consistency", str(kept), "-o", str(file), **dev.settings).code == 0
    assert keystead("verify", str(file), "--key", key).code == 0
    assert keystead("verify", str(dev.data / "audit"), "--key", key, "--since", str(kept)).code == 0
