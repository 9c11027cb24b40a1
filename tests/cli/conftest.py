"""The command line as people use it: in this process for what ends by itself, as a process for what serves."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystead.cli.app import main

START_SECONDS = 30
MANY = ("AWS_", "KEYSTEAD_")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Dev:
    """A running `keystead dev`."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.data = place / "data"
        self.env_file = place / "env"
        self.log = place / "log"
        self.env_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "keystead", "dev", "--port", "0", "--control-port", "0"]
        command += ["--data", str(self.data), "--env-file", str(self.env_file), "--workers", "1", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean(), start_new_session=True
            )
        self.until(self.env_file.exists)
        lines = self.env_file.read_text().splitlines()
        self.settings = dict(shlex.split(line)[1].split("=", 1) for line in lines)

    def until(self, true: Callable[[], Any]) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + START_SECONDS
        while not true():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"it did not come true; the service said:\n{self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        """What the service printed."""
        return self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


def clean(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without anybody's settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MANY)}
    return {**kept, **(more or {})}


@pytest.fixture
def keystead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """Runs a command to its end; keyword arguments are its environment."""
    mask = os.umask(0o022)

    def run(*arguments: str, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(MANY)]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        code = ended.value.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code if isinstance(code, int) else 0, out, err)

    yield run
    os.umask(mask)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A running service, shared by a module's tests."""
    running = Dev(tmp_path_factory.mktemp("dev"))
    yield running
    assert running.stop() == 0, running.said()


@pytest.fixture
def ask(dev: Any, keystead: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command with the service's settings, and nobody there to answer questions."""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*arguments: str, **more: str) -> Any:
        return keystead(*arguments, **{**dev.settings, **more})

    return run


@pytest.fixture
def value(ask: Callable[..., Any]) -> Callable[..., Any]:
    """The JSON that a command prints; it must succeed."""

    def run(*arguments: str, **more: str) -> Any:
        code, out, err = ask(*arguments, "--json", **more)
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def make_dev() -> Iterator[Callable[..., Dev]]:
    """Starts services of the test's own, and stops what is left of them."""
    made: list[Dev] = []

    def make(place: Path, *arguments: str) -> Dev:
        made.append(Dev(place, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.stop(signal.SIGKILL)


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """The environment without anybody's settings."""
    return clean()
