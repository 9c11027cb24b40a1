"""The list of commands, and what a failure looks like."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import pytest

from keystead import __version__
from keystead.cli.app import COMMANDS, cli
from keystead.core import errors


def test_version_is_one_line(keystead: Callable[..., Any]) -> None:
    """`version` prints the version and nothing else."""
    assert keystead("version") == (0, f"keystead {__version__}\n", "")


def test_the_module_is_the_command_line() -> None:
    """`python -m keystead` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "keystead", "version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"keystead {__version__}\n")


def test_a_quick_command_loads_no_heavy_library() -> None:
    """`version` does not wait for the database, the cryptography or the servers to be imported."""
    heavy = {"sqlalchemy", "cryptography", "uvicorn", "starlette", "uvloop", "rich", "boto3", "alembic"}
    code = (
        "import sys\nfrom keystead.cli.app import main\n"
        "try: main(['version'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str, keystead: Callable[..., Any]) -> None:
    """Each row of the table names a command, which has a help text."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(f"keystead.cli.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    code, out, _ = keystead(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: keystead {name}")


def test_the_help_lists_every_command(keystead: Callable[..., Any]) -> None:
    """`--help` names all commands without importing them."""
    _, out, _ = keystead("--help")
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["version", "--nonsense"], ["verify"], ["dev", "--port", "65536"]]
)
def test_wrong_usage_is_told_as_such(arguments: list[str], keystead: Callable[..., Any]) -> None:
    """An unknown command, an unknown or missing option and a value out of range exit with 2."""
    code, out, err = keystead(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: keystead" in err


def raising(error: Exception) -> Any:
    """A command that fails."""

    def fail() -> None:
        raise error

    return click.Command("fail", callback=fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AccessDenied("no"), 1),
        (errors.AuditUnavailable("no"), 1),
        (errors.AuditDamaged("no"), 4),
        (errors.ConfigError("no"), 78),
        (errors.SealError("no"), 78),
        (errors.DataDamaged("no"), 78),
        (click.Abort(), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_foreseen_failure_is_a_sentence_and_a_code(
    error: Exception, code: int, keystead: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service foresaw is told without a traceback, with the exit code that is documented for it."""
    monkeypatch.setattr(cli, "get_command", lambda _context, _name: raising(error))
    ended = keystead("fail")
    assert ended.code == code
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
