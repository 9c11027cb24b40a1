"""Commands for seal slots: the independent ways to open the root key."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from keystead import config as configs

_NEW: Final = {
    "KEYSTEAD_PASSPHRASE": "KEYSTEAD_NEW_PASSPHRASE",
    "KEYSTEAD_PASSPHRASE_FILE": "KEYSTEAD_NEW_PASSPHRASE_FILE",
}

_config = click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(epilog="\b\nExample:\n  keystead seal list --config /var/lib/keystead/keystead.toml")
def seal() -> None:
    """Add, list and remove the ways to open the root key.

    Any one slot opens the root key at the start, and losing one loses nothing while another is left. So have two
    of different kinds, kept in different places. All of this works while the service runs, and is recorded.
    """


@seal.command("list")
@_config
@_json
def seal_list(path: Path, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """List the slots."""
    from keystead.app import sealing  # noqa: PLC0415 - imports the database library

    slots = sealing.slots(configs.load(path))
    if as_json:
        told = [{"id": slot.id, "kind": slot.kind, "parameters": slot.parameters} for slot in slots]
        click.echo(json.dumps(told, indent=2))
        return
    for slot in slots:
        shown = ", ".join(
            f"{name}={value}" for name, value in sorted(slot.parameters.items()) if name != "root"
        )
        click.echo(f"{slot.id}  {slot.kind:10}  {shown}")


@seal.command(
    "add",
    epilog="""\b
Examples:
  KEYSTEAD_NEW_PASSPHRASE_FILE=/safe/second keystead seal add passphrase --config FILE
  keystead seal add file --seal-file /media/usb/keystead.key --config FILE""",
)
@click.argument("kind", type=click.Choice(["passphrase", "file", "env"]))
@click.option("--seal-file", type=click.Path(path_type=Path), help="For file: the key file to make.")
@click.option("--seal-variable", help="For env: the name of the variable.")
@_config
def seal_add(kind: str, seal_file: Path | None, seal_variable: str | None, path: Path) -> None:
    """Add a slot.

    A slot that is there is opened first, with its secret from where `keystead serve` takes it. A new passphrase is
    taken from KEYSTEAD_NEW_PASSPHRASE, from the file that KEYSTEAD_NEW_PASSPHRASE_FILE names, or asked for.
    """
    from keystead.app import sealing  # noqa: PLC0415 - as above
    from keystead.app.installation import SystemClock, local_secrets, system_random  # noqa: PLC0415 - as above

    options: dict[str, str | int] = {}
    if kind == "file":
        if seal_file is None:
            raise click.UsageError("a file slot needs --seal-file, the key file to make")
        options["path"] = str(seal_file.absolute())
    elif kind == "env" and seal_variable:
        options["variable"] = seal_variable
    opening = local_secrets(os.environ, _ask())
    new = local_secrets(_new(os.environ), _ask())
    slot = sealing.add(configs.load(path), kind, opening, new, SystemClock(), system_random, **options)
    click.echo(f"Added slot {slot.id} ({slot.kind})")


@seal.command("remove", epilog="\b\nExample:\n  keystead seal remove 1f2e3d4c5b6a7988 --config FILE")
@click.argument("slot_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_config
def seal_remove(slot_id: str, yes: bool, path: Path) -> None:  # noqa: FBT001 - as above
    """Remove a slot, once another one has been opened with its secret."""
    from keystead.app import sealing  # noqa: PLC0415 - as above
    from keystead.app.installation import SystemClock, local_secrets, system_random  # noqa: PLC0415 - as above

    if not yes:
        click.confirm(f"Remove slot {slot_id}? It opens the root key no more", abort=True)
    secrets = local_secrets(os.environ, _ask())
    slot = sealing.remove(configs.load(path), slot_id, secrets, SystemClock(), system_random)
    click.echo(f"Removed slot {slot.id} ({slot.kind})")


def _new(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as the new slot sees it: the new passphrase, never the old one by mistake."""
    kept = {name: value for name, value in environment.items() if name not in _NEW}
    return {**kept, **{name: environment[other] for name, other in _NEW.items() if other in environment}}


def _ask() -> Callable[[str], str] | None:
    return _prompt if sys.stdin.isatty() else None


def _prompt(text: str) -> str:
    return str(click.prompt(text, hide_input=True, err=True))
