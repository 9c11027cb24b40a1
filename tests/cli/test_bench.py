"""`keystead bench`, as it is typed."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from keystead.cli.bench import bench, delivered
from keystead.testing.bench import openbao
from keystead.testing.bench.processes import BenchmarkError
from keystead.testing.bench.report import BEGIN, END

QUICK = ("--seconds", "0.2", "--rounds", "1", "--connections", "1,4")


@pytest.mark.e2e
def test_a_short_run_measures_the_real_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation is answered and checked, in both kinds of loop, and written where it was asked for."""
    monkeypatch.setattr("keystead.cli.bench.filesystem", lambda _: "tmpfs")
    result, page = tmp_path / "result.json", tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    options = (
        "--starts",
        "1",
        "--json",
        str(result),
        "--write-docs",
        str(page),
        "--directory",
        str(tmp_path),
    )
    run = CliRunner().invoke(bench, [*QUICK, *options])
    assert run.exit_code == 0, run.output
    assert "is in memory (tmpfs)" in run.stderr
    value = json.loads(result.read_text())
    assert {row["operation"] for row in value["results"]} == {"Encrypt", "Decrypt", "GenerateDataKey"}
    assert {(row["mode"], row["connections"], row["share"]) for row in value["results"]} == {
        ("closed", 1, 0.0),
        ("closed", 4, 0.0),
        ("open", 4, 0.5),
        ("open", 4, 0.8),
    }
    medians = [row["median"] for row in value["results"]]
    assert all(m["rate"] > 0 and m["p99_ms"] >= m["p50_ms"] > 0 and m["checked"] > 0 for m in medians)
    assert len(value["start_seconds"]) == 1
    assert "| Keystead | GenerateDataKey | 4 |" in page.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.e2e
def test_a_short_run_with_all_sinks(tmp_path: Path) -> None:
    """What was answered has been delivered to every one of them before the figures are shown."""
    result = tmp_path / "result.json"
    options = ("--sinks", "--no-open-loop", "--starts", "0", "--json", str(result), "--operations", "Encrypt")
    run = CliRunner().invoke(bench, [*QUICK, *options])
    assert run.exit_code == 0, run.output
    value = json.loads(result.read_text())
    assert value["settings"]["sinks"] == ["file", "syslog", "otlp", "webhook"]
    answered = sum(row["median"]["rate"] * 0.2 for row in value["results"])
    assert min(value["delivered"].values()) > answered > 0
    assert "With the audit delivered to sinks: file, syslog, otlp, webhook" in run.stdout


def test_sinks_that_do_not_take_everything_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures would be of a service that leaves work for later."""
    monkeypatch.setattr("keystead.cli.bench.DELIVERY_SECONDS", 0.05)
    monkeypatch.setattr("keystead.cli.bench._LOOK_SECONDS", 0.01)
    slow = Mock(behind=lambda: {"file": 0, "syslog": 7, "otlp": 0, "webhook": 0})
    with pytest.raises(BenchmarkError, match="'syslog': 7"):
        delivered(slow, Mock())


@pytest.mark.e2e
def test_a_short_run_beside_the_peer(tmp_path: Path) -> None:
    """Both servers do the same operations, and the figures are set side by side."""
    try:
        distribution(openbao.PACKAGE)
    except PackageNotFoundError:
        pytest.skip("OpenBao is not installed: `make install-bench` does it")
    result = tmp_path / "result.json"
    options = ("--peers", "--no-open-loop", "--starts", "0", "--json", str(result))
    run = CliRunner().invoke(bench, [*QUICK, *options, "--operations", "Encrypt,GenerateDataKey"])
    assert run.exit_code == 0, run.output
    value = json.loads(result.read_text())
    assert {row["target"] for row in value["results"]} == {"Keystead", "OpenBao"}
    assert [(r["operation"], r["figure"]) for r in value["ratios"]] == [
        ("Encrypt", "p50_ms"),
        ("GenerateDataKey", "p50_ms"),
    ]
    assert "Keystead beside OpenBao" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--connections", "1,two"), "expected whole numbers above zero such as 1,16,64"),
        (("--sinks", "--peers"), "--sinks and --peers exclude each other"),
        (("--connections", "0"), "expected whole numbers above zero such as 1,16,64"),
        (("--operations", "Encrypt,Sign"), "'Sign' is not one of Encrypt, Decrypt, GenerateDataKey"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    """The message says what would do."""
    run = CliRunner().invoke(bench, arguments)
    assert run.exit_code == 2
    assert complaint in run.output


def test_a_service_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of its log is the reason, and nothing is left behind."""
    monkeypatch.setattr("keystead.cli.bench.DEV", ("sh", "-c", "echo the reason; exit 3"))
    run = CliRunner().invoke(bench, ["--directory", str(tmp_path)])
    assert run.exit_code == 1
    assert "the server ended with 3:\nthe reason" in run.output
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install it."""
    monkeypatch.setattr(openbao, "PACKAGE", "no-such-package")
    with pytest.raises(BenchmarkError, match="make install-bench"):
        openbao.OpenBao(tmp_path)
