"""`keystead seal`: several independent ways to open the root key."""

import json
import os
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PASSPHRASE = {"KEYSTEAD_PASSPHRASE": "correct horse battery"}


@pytest.fixture
def config(keystead: Callable[..., Any], tmp_path: Path) -> str:
    """The configuration of a new installation under a passphrase."""
    assert keystead("init", "--data", str(tmp_path / "data"), **PASSPHRASE).code == 0
    return str(tmp_path / "data" / "keystead.toml")


def slots(keystead: Callable[..., Any], config: str) -> list[dict[str, Any]]:
    """The slots as JSON."""
    listed: list[dict[str, Any]] = json.loads(keystead("seal", "list", "--config", config, "--json").out)
    return listed


def records(keystead: Callable[..., Any], config: str) -> list[dict[str, Any]]:
    """What the audit says of seal slots."""
    printed = keystead("audit", "cat", str(Path(config).parent / "audit")).out.splitlines()
    return [entry for entry in map(json.loads, printed) if "SealSlot" in entry["action"]]


def test_any_one_slot_opens_the_root(keystead: Callable[..., Any], config: str, tmp_path: Path) -> None:
    """After adding a second passphrase and a key file, each of the three opens alone, and all is on record."""
    second = {"KEYSTEAD_NEW_PASSPHRASE": "another good one"}
    assert keystead("seal", "add", "passphrase", "--config", config, **PASSPHRASE, **second).code == 0
    key_file = tmp_path / "second.key"
    added = keystead("seal", "add", "file", "--seal-file", str(key_file), "--config", config, **PASSPHRASE)
    assert added.code == 0
    assert [slot["kind"] for slot in slots(keystead, config)].count("passphrase") == 2
    variable = {"KEYSTEAD_SEAL_KEY": b64encode(os.urandom(32)).decode()}
    # The key file alone opens the root, and with it a slot of the third kind is added.
    assert keystead("seal", "add", "env", "--config", config, **variable).code == 0
    key_file.rename(tmp_path / "elsewhere")
    for alone in ({"KEYSTEAD_PASSPHRASE": "another good one"}, variable, PASSPHRASE):
        more = {"KEYSTEAD_NEW_PASSPHRASE": "and one more of them"}
        assert keystead("seal", "add", "passphrase", "--config", config, **{**alone, **more}).code == 0
    told = records(keystead, config)
    assert [entry["stage"] for entry in told] == ["intent", "outcome"] * 6
    assert {entry["action"] for entry in told} == {"keystead:AddSealSlot"}
    assert [entry.get("outcome") for entry in told] == [None, "Success"] * 6


def test_a_slot_is_removed_only_when_another_opens(keystead: Callable[..., Any], config: str) -> None:
    """The last slot stays, and so does one whose fellow has not been shown to open."""
    (first,) = slots(keystead, config)
    last = keystead("seal", "remove", first["id"], "--yes", "--config", config, **PASSPHRASE)
    assert (last.code, "last seal slot" in last.err) == (78, True)
    second = {"KEYSTEAD_NEW_PASSPHRASE": "another good one"}
    keystead("seal", "add", "passphrase", "--config", config, **PASSPHRASE, **second)
    unproven = keystead("seal", "remove", first["id"], "--yes", "--config", config, **PASSPHRASE)
    assert (unproven.code, "wrong secret" in unproven.err) == (78, True)
    assert len(slots(keystead, config)) == 2
    proven = {"KEYSTEAD_PASSPHRASE": "another good one"}
    assert keystead("seal", "remove", first["id"], "--yes", "--config", config, **proven).code == 0
    assert first["id"] not in [slot["id"] for slot in slots(keystead, config)]
    assert keystead("seal", "remove", "nope", "--yes", "--config", config, **proven).code == 78
    assert [entry["action"] for entry in records(keystead, config)][-1] == "keystead:RemoveSealSlot"


def test_a_new_slot_needs_its_secret_and_an_open_one(keystead: Callable[..., Any], config: str) -> None:
    """Neither the old passphrase is taken for the new one, nor a new slot added by who cannot open one."""
    missing = keystead("seal", "add", "passphrase", "--config", config, **PASSPHRASE)
    assert (missing.code, "missing secret" in missing.err) == (78, True)
    stranger = {"KEYSTEAD_PASSPHRASE": "not the right one", "KEYSTEAD_NEW_PASSPHRASE": "another good one"}
    wrong = keystead("seal", "add", "passphrase", "--config", config, **stranger)
    assert (wrong.code, "wrong secret" in wrong.err) == (78, True)
    assert keystead("seal", "add", "file", "--config", config, **PASSPHRASE).code == 2
    assert len(slots(keystead, config)) == 1


def test_slots_are_listed_without_secrets(keystead: Callable[..., Any], config: str) -> None:
    """The list for people shows kinds and costs, and no wrapped key."""
    listed = keystead("seal", "list", "--config", config)
    assert "passphrase" in listed.out
    assert "memory_kib=65536" in listed.out
    assert "wrapped" not in listed.out


@pytest.mark.parametrize("damage", ["store", "checkpoint", "slot"])
def test_damaged_data_refuses_to_start_and_says_what_is_wrong(
    clean_environment: dict[str, str], config: str, damage: str
) -> None:
    """A damaged store, audit log or seal slot stops the start with the file's name or the cure."""
    data = Path(config).parent
    if damage == "store":
        (data / "keystead.db").write_bytes(b"this was a database" * 1000)
        expected = "keystead.db"
    elif damage == "checkpoint":
        (data / "audit" / "control" / "checkpoint").write_bytes(b"keystead\n1\nnonsense\n\n")
        expected = "checkpoint"
    else:
        with sqlite3.connect(data / "keystead.db") as database:
            database.execute("UPDATE seal_slots SET wrapped = 'AAAA'")
        database.close()
        expected = "damaged"
    ended = subprocess.run(
        [sys.executable, "-m", "keystead", "serve", "--config", config],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**clean_environment, **PASSPHRASE},
    )
    assert ended.returncode == 78
    assert expected in ended.stderr
