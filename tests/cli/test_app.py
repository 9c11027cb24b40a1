"""The list of commands, and what a failure looks like."""

import json
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


# --- what is said before the command ------------------------------------------------------------------------


@pytest.mark.e2e
def test_a_dry_run_says_that_it_would_succeed_and_changes_nothing(
    dev: Any, keystead: Callable[..., Any]
) -> None:
    """And fails as the command would."""
    assert keystead("--dry-run", "principal", "create", "phantom", **dev.settings) == (
        0,
        "Dry run: CreatePrincipal would succeed. Nothing was changed.\n",
        "",
    )
    assert "phantom" not in keystead("principal", "list", **dev.settings).out
    assert keystead("principal", "create", "phantom", **dev.settings).code == 0
    code, _, err = keystead("--dry-run", "principal", "create", "phantom", **dev.settings)
    assert (code, err) == (1, "keystead: AlreadyExists: The user phantom already exists.\n")
    assert keystead("--dry-run", "principal", "delete", "phantom", "--yes", **dev.settings).code == 0
    assert keystead("principal", "delete", "phantom", "--yes", **dev.settings).code == 0


@pytest.mark.e2e
def test_a_policy_can_ask_for_a_change_ticket(dev: Any, keystead: Callable[..., Any]) -> None:
    """What --ticket says is signed with the request and reaches the policy."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    condition = {"StringLike": {"keystead:ChangeTicket": "CHG-*"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition}]})
    made = json.loads(
        keystead(
            "principal", "create", "careful", "--policy", policy, "--access-key", "--json", **dev.settings
        ).out
    )
    mine = {
        **dev.settings,
        "AWS_ACCESS_KEY_ID": made["access_key"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": made["access_key"]["secret_access_key"],
    }
    assert keystead("principal", "list", **mine).err.startswith("keystead: AccessDenied: ")
    assert keystead("--ticket", "CHG-1234", "principal", "list", **mine).code == 0
    assert keystead("principal", "delete", "careful", "--yes", **dev.settings).code == 0


def test_what_asks_no_service_takes_no_dry_run(keystead: Callable[..., Any]) -> None:
    """It would look as if it had been heeded."""
    code, _, err = keystead("--dry-run", "version")
    assert code == 2
    assert "version asks no service: leave --dry-run and --ticket out." in err
