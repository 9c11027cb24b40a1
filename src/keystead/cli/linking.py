"""Commands for links: what another installation must know of this one."""

from pathlib import Path

import click

from keystead import config as configs


@click.group(epilog="\b\nExample:\n  keystead link show --config /var/lib/keystead/keystead.toml")
def link() -> None:
    """Link installations, so that their Regions are Regions for each other's multi-Region keys."""


@link.command("show")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def link_show(path: Path, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Print the identity that goes into the configuration of the other installation, as `identity` of its [[link]].

    It is public. It is made from the root key, so it needs what opens that.
    """
    from keystead.cli.serving import open_installation  # noqa: PLC0415 - imports the database library

    installation = open_installation(configs.load(path))
    if as_json:
        import json  # noqa: PLC0415 - only where it is used

        told = {"account": installation.account, "identity": installation.custodian.transfer_identity}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(installation.custodian.transfer_identity)
