"""`keystead audit export`: the logs of an installation in the form that a SIEM takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.app.installation import Installation, SystemClock, found, local_secrets, system_random
from keystead.config import Config
from keystead.service.entry import OK, Entry, encode

DAY = 86_400_000_000
JANUARY = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
CHANGED = Entry(action="kms:DisableKey", request="r-1", stage="intent", time=JANUARY + 1, v=1)
ENTRIES = [
    *(
        Entry(action="kms:Encrypt", outcome=OK, request=f"u-{day}", time=JANUARY + day * DAY, v=1)
        for day in range(40)
    ),
    CHANGED,
    Entry(action="kms:DisableKey", outcome=OK, request="r-1", stage="outcome", time=JANUARY + 2, v=1),
    Entry(action="kms:EnableKey", request="r-2", stage="intent", time=JANUARY + 3, v=1),
]


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """The logs of a new installation: the first record of all in one, forty days in the other."""
    config, secrets, clock = Config(data=tmp_path / "data"), local_secrets({}), SystemClock()
    found(config, "file", secrets, clock, system_random, path=str(tmp_path / "root.key"))
    log = Installation.open(config, secrets, clock, system_random).log("w0")
    for entry in ENTRIES:
        log.append(encode(entry))
    log.close()
    return tmp_path / "data" / "audit"


@pytest.fixture
def export(audit: Path, keystead: Callable[..., Any]) -> Callable[..., list[dict[str, Any]]]:
    """The events that it prints; of the log ``w0`` unless told otherwise."""

    def run(*options: str, of: Path = audit / "w0") -> list[dict[str, Any]]:
        code, out, err = keystead("audit", "export", str(of), *options)
        assert (code, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    return run


def test_a_log_is_exported_with_each_change_once(export: Callable[..., Any]) -> None:
    """Every use, and of the change its outcome."""
    events = export("--format", "cloudtrail")
    assert [each["additionalEventData"]["index"] for each in events] == [*range(40), 41]
    assert events[-1]["eventName"] == "DisableKey"


def test_all_logs_of_a_directory_are_exported(audit: Path, export: Callable[..., Any]) -> None:
    """Each event is named by its own log."""
    events = export("--format", "keystead", of=audit)
    logs = {each["log"].rpartition("/")[2] for each in events}
    assert logs == {"control", "w0"}
    assert len([each for each in events if each["log"].endswith("/w0")]) == len(ENTRIES)
    assert [each["index"] for each in events if each["log"].endswith("/w0")] == [*range(len(ENTRIES))]


def test_changes_without_an_outcome_come_when_they_are_asked_for(export: Callable[..., Any]) -> None:
    """At the end, as pending."""
    last = export("--format", "ocsf", "--pending")[-1]
    assert (last["api"]["operation"], last["status"]) == ("EnableKey", "Pending")


@pytest.mark.parametrize(
    "span",
    [
        ("--since", "2026-01-02", "--until", "2026-01-12"),
        ("--since", "2026-01-02T01:00:00+01:00", "--until", "2026-01-11T00:00:00.000001Z"),
    ],
)
def test_a_span_of_time_can_be_exported(span: tuple[str, ...], export: Callable[..., Any]) -> None:
    """By dates in UTC, or by moments with a zone."""
    events = export("--format", "ecs", *span)
    assert [each["http"]["request"]["id"] for each in events] == [f"u-{day}" for day in range(1, 11)]


def test_cloudtrails_own_files_can_be_made(audit: Path, keystead: Callable[..., Any]) -> None:
    """One object with all records."""
    code, out, _ = keystead("audit", "export", str(audit), "--format", "cloudtrail", "--records")
    assert code == 0
    records = json.loads(out)["Records"]
    assert len(records) == 42
    assert records[0]["eventName"] == "Init"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "ocsf", "--records"), "--records goes with --format cloudtrail only"),
        (("--format", "ocsf", "--since", "yesterday"), "'yesterday' is not a time such as"),
        (("--format", "leef"), "'leef' is not one of"),
        ((), "Missing option '--format'"),
    ],
)
def test_wrong_use_is_explained(
    options: tuple[str, ...], said: str, audit: Path, keystead: Callable[..., Any]
) -> None:
    """With exit code 2, and nothing is printed."""
    code, out, err = keystead("audit", "export", str(audit), *options)
    assert (code, out) == (2, "")
    assert said in err


def test_damage_ends_it_with_its_own_code(audit: Path, keystead: Callable[..., Any]) -> None:
    """What is damaged is named, as by `verify`."""
    bundle = next((audit / "w0" / "tile" / "entries").rglob("*.p/*"))
    bundle.write_bytes(bundle.read_bytes()[:-1])
    code, _, err = keystead("audit", "export", str(audit), "--format", "cef")
    assert code == 4
    assert "tile/entries" in err
