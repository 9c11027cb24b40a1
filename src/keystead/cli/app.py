"""The commands, and what a failure looks like.

Each command is imported when it is used, so that `keystead version` does not wait for a database library.
A failure that the service foresaw is one sentence and an exit code, never a traceback; a second line may say what to
do next:

    0   done
    1   refused or failed; the sentence says why
    2   the command was used wrongly
    3   the service cannot be reached
    4   `verify` found damage
    78  a setting, the seal or the data is not in order, so the service cannot start
"""

import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click
from typing_extensions import override

from keystead.core.errors import AuditDamaged, ConfigError, DataDamaged, KeysteadError, SealError

FAILED, UNREACHABLE, DAMAGED, NOT_IN_ORDER = 1, 3, 4, 78

# name: where it is, and what the list of commands says of it
COMMANDS: Final = {
    "access-key": ("access_keys:access_key", "Make, rotate, list, disable and delete access keys."),
    "account": ("accounts:account", "Make and list accounts."),
    "apply": ("plan:apply", "Make the account what a directory declares."),
    "audit": ("offline:audit", "Read audit logs on this machine."),
    "bench": ("bench:bench", "Measure operations a second, latency and CPU."),
    "demo": ("demo:demo", "See everything work, in a temporary place."),
    "dev": ("serving:dev", "Serve for development: no set-up, settings for AWS tools printed."),
    "drift": ("plan:drift", "Say what was changed by hand since the last revision."),
    "group": ("principals:group", "Make, change, list and delete groups."),
    "guardrail": ("guardrails:guardrail", "Deny something to everybody, administrators included."),
    "init": ("serving:init", "Make a new installation."),
    "inspect": ("offline:inspect", "Say what a ciphertext hangs on, without any secret."),
    "key": ("plan:key", "Have keys made from templates."),
    "link": ("linking:link", "Show what another installation must know to be linked."),
    "migrate": ("serving:migrate", "Bring the store's schema up to this version."),
    "plan": ("plan:plan", "Say what it takes to make the account what is declared."),
    "policy": ("policy:policy", "Check and test policies, and explain decisions."),
    "principal": ("principals:principal", "Make, change, list and delete users and service accounts."),
    "provider": ("providers:provider", "Say which issuers' tokens are taken (OpenID Connect)."),
    "revert": ("plan:revert", "Make the account what a revision declared."),
    "revision": ("plan:revision", "Look at what the account was declared to be."),
    "revoke": ("principals:revoke", "Take away at once all that somebody has."),
    "role": ("principals:role", "Make, change, list and delete roles."),
    "seal": ("sealing:seal", "Add, list and remove the ways to open the root key."),
    "serve": ("serving:serve", "Serve an installation."),
    "status": ("status:status", "Ask a running service how it is."),
    "template": ("plan:template", "Look at key templates."),
    "verify": ("offline:verify", "Check audit logs with nothing but the public key."),
    "version": ("offline:version", "Print the version."),
}


LOCAL: Final = frozenset(
    {"bench", "demo", "dev", "init", "inspect", "link", "migrate", "seal", "serve", "verify", "version"}
)
"""The commands that ask no running service."""


class WouldSucceed(Exception):
    """A dry run that went well; the text is the operation."""


class Unreachable(Exception):
    """The service does not answer; the text says where it was looked for."""


class Lazy(click.Group):
    """A group whose commands are imported when they are used."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"keystead.cli.{module}"), name)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in sorted(COMMANDS.items())])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dry-run", is_flag=True, help="Have the running service check everything and change nothing.")
@click.option("--ticket", metavar="TEXT", help="The change that it is done for: policies can ask for one.")
@click.pass_context
def cli(context: click.Context, dry_run: bool, ticket: str | None) -> None:  # noqa: FBT001 - click hands options over by name
    """Keystead: customer-managed keys on your own ground.

    Begin with `keystead dev`; `keystead COMMAND --help` has examples. The options here are for commands that ask a
    running service.
    """
    if (dry_run or ticket) and context.invoked_subcommand in LOCAL:
        raise click.UsageError(
            f"{context.invoked_subcommand} asks no service: leave --dry-run and --ticket out."
        )


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    try:
        result: Any = cli.main(arguments, prog_name="keystead", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(FAILED)
    except WouldSucceed as dry:
        click.echo(f"Dry run: {dry} would succeed. Nothing was changed.")
        sys.exit(0)
    except Unreachable as error:
        _fail(str(error), UNREACHABLE)
    except AuditDamaged as error:
        _fail(str(error), DAMAGED)
    except (ConfigError, DataDamaged, SealError) as error:
        _fail(str(error), NOT_IN_ORDER)
    except KeysteadError as error:
        notes: list[str] = getattr(error, "__notes__", [])
        _fail("\n".join([f"{error.code}: {error}", *notes]), FAILED)
    sys.exit(result if isinstance(result, int) else 0)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"keystead: {text}", err=True)
    sys.exit(code)
