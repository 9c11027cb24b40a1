"""The demonstration, as `make demo` runs it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.cli import demo


@pytest.mark.e2e
def test_the_demonstration_shows_each_step(checkout: Path, clean_environment: dict[str, str]) -> None:
    """It goes through the main job on the project's own documentation, and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "keystead.cli.demo"],
        cwd=checkout,
        env=clean_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.findall(r"^(\d)\. ", done.stdout, flags=re.MULTILINE) == list("123456789")
    for told in (
        r"Envelope-encrypted \d+ files of docs/",
        r"2 versions of its material",
        r"every byte is the same",
        r"AccessDeniedException: ",
        r"[\d,]+ operations a second",
        r"OK: [\d,]+ records in \d+ logs are as they were signed",
    ):
        assert re.search(told, done.stdout), told
    assert "AWS_SECRET" not in done.stdout


def test_a_directory_without_files_fails_the_demonstration(
    tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """What failed is told, and the exit code is 1."""
    ended = keystead("demo", str(tmp_path))
    assert ended.code == 1
    assert "The demonstration failed: there are no files" in ended.err


def test_a_service_that_does_not_start_fails_the_demonstration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's own words are shown."""
    (tmp_path / "file").write_text("text")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert demo.run(tmp_path) == 1
    assert "the service did not" in capsys.readouterr().err
