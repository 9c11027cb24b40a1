"""Commands that need no service: inspect, verify, audit cat."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.app.installation import Founded, Installation, SystemClock, found, local_secrets, system_random
from keystead.config import Config
from keystead.core import blob

ENTRIES = [b'{"action":"kms:Encrypt","time":%d,"v":1}' % number for number in range(1, 301)]


@pytest.fixture
def sealed() -> bytes:
    """A ciphertext of five bytes."""
    return blob.header("26841b15", 7) + bytes(blob.SEALED_BYTES + 5)


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


@pytest.mark.parametrize("text", [False, True], ids=["raw", "base64"])
@pytest.mark.parametrize("way", ["file", "stdin", "argument"])
def test_inspect_says_what_a_ciphertext_hangs_on(
    *,
    sealed: bytes,
    text: bool,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keystead: Callable[..., Any],
) -> None:
    """A file, standard input or the argument itself, raw or base64: format, key, version and sizes are told."""
    data = base64.encodebytes(sealed) if text or way == "argument" else sealed
    argument = {"file": str(tmp_path / "blob"), "stdin": "-", "argument": data.decode("ascii", "ignore")}[way]
    (tmp_path / "blob").write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    code, out, _ = keystead("inspect", argument, "--json")

    assert code == 0
    assert json.loads(out) == {
        "format": "Keystead ciphertext blob",
        "version": 1,
        "algorithm": "XAES-256-GCM with a key commitment",
        "key_id": "26841b15",
        "key_version": 7,
        "bytes": len(sealed),
        "plaintext_bytes": 5,
    }
    assert (
        "key id           26841b15\nkey version      7\n" in keystead("inspect", str(tmp_path / "blob")).out
    )


@pytest.mark.parametrize("argument", ["", "nonsense", "AQIDBAUG", "S1NCAQ=="])
def test_inspect_says_what_is_no_blob(argument: str, keystead: Callable[..., Any]) -> None:
    """Anything else is refused with a sentence, and exit code 1."""
    code, out, err = keystead("inspect", argument)
    assert (code, out) == (1, "")
    assert "not a Keystead ciphertext blob" in err


@pytest.mark.parametrize("as_file", [True, False])
def test_verify_takes_the_key_or_its_file(
    *, as_file: bool, founded: Founded, audit: Path, keystead: Callable[..., Any]
) -> None:
    """Every log is told with its records, and the sum."""
    key = str(audit.parent / "audit.vkey") if as_file else founded.vkey
    code, out, err = keystead("verify", str(audit), "--key", key)
    assert (code, err) == (0, "")
    assert f"keystead-{founded.instance}/w0: 300 records, root " in out
    assert out.endswith("OK: 301 records in 2 logs are as they were signed\n")


def test_verify_tells_programs(founded: Founded, audit: Path, keystead: Callable[..., Any]) -> None:
    """With --json the report is an object, also for one log alone."""
    code, out, _ = keystead("verify", str(audit / "w0"), "--key", founded.vkey, "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["ok"], told["records"]) == (True, 300)
    assert told["logs"][0]["origin"] == f"keystead-{founded.instance}/w0"


def test_verify_names_the_first_damaged_record(
    founded: Founded, audit: Path, keystead: Callable[..., Any]
) -> None:
    """One changed byte is found, its record named, and the exit code is 4."""
    bundle = audit / "w0" / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"time":42,', b'"time":43,'))

    code, out, err = keystead("verify", str(audit), "--key", founded.vkey)
    assert (code, out) == (4, "")
    assert f"log keystead-{founded.instance}/w0, record 41: tile/entries/000" in err

    code, out, _ = keystead("verify", str(audit), "--key", founded.vkey, "--json")
    told = json.loads(out)
    assert code == 4
    assert told["ok"] is False
    assert [(one["origin"], one["record"]) for one in told["damage"]] == [
        (f"keystead-{founded.instance}/w0", 41)
    ]


def test_verify_with_anothers_key_fails(audit: Path, tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """A log that another installation signed does not check out."""
    other = Config(data=tmp_path / "other")
    path = str(tmp_path / "other.key")
    made = found(other, "file", local_secrets({}), SystemClock(), system_random, path=path)
    code, _, err = keystead("verify", str(audit), "--key", made.vkey)
    assert code == 4
    assert "control, record 0: checkpoint" in err


@pytest.mark.parametrize(
    ("directory", "key", "code"),
    [("nothing", "a+b+c", 78), (".", "a+b+c", 1), (".", "no/such/file", 78)],
)
def test_verify_says_what_it_was_not_given(
    directory: str, key: str, code: int, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """A directory that is not there, a key that is none, and a key file that cannot be read are told."""
    ended = keystead("verify", str(tmp_path / directory), "--key", key)
    assert (ended.code, ended.out) == (code, "")


def test_audit_cat_prints_records_as_they_were_written(audit: Path, keystead: Callable[..., Any]) -> None:
    """One line each, in the log's order; --last leaves out the beginning."""
    lines = [entry.decode() for entry in ENTRIES]
    assert keystead("audit", "cat", str(audit / "w0")).out.splitlines() == lines
    assert keystead("audit", "cat", str(audit / "w0"), "--last", "3").out.splitlines() == lines[-3:]
    both = keystead("audit", "cat", str(audit)).out.splitlines()
    assert len(both) == 301
    assert json.loads(both[0])["action"] == "keystead:Init"


def test_audit_cat_says_that_there_is_no_log(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """A directory that does not exist is told."""
    assert keystead("audit", "cat", str(tmp_path / "nothing")).code == 78
