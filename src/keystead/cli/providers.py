"""Commands about identity providers: issuers whose tokens are exchanged for credentials."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from keystead.cli.client import URL_VARIABLE, Control

ALL: Final = 1000  # in one page; an account may have fewer

_url = click.option(
    "--control-url", help=f"The control plane. [default: {URL_VARIABLE}, or http://127.0.0.1:8901]"
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ca = click.option(
    "--ca",
    type=click.Path(path_type=Path),
    help="A PEM file of the authorities whose certificates count for its server, instead of the system's.",
)


@click.group(
    epilog="\b\nExamples:\n"
    "  keystead provider create https://token.actions.githubusercontent.com --audience keystead\n"
    "  keystead provider create https://kubernetes.default.svc --audience keystead --ca cluster-ca.pem\n"
    "  keystead provider show https://token.actions.githubusercontent.com"
)
def provider() -> None:
    """Say which issuers' tokens are taken (OpenID Connect).

    Whoever has such a token gets credentials of a role whose trust policy allows it: programs in CI systems and in
    Kubernetes need no secret of their own.
    """


@provider.command(
    "create",
    epilog="\b\nExample:\n"
    "  keystead provider create https://gitlab.example.com --audience https://keystead.example.com --ca ca.pem",
)
@click.argument("url")
@click.option(
    "--audience", "audiences", multiple=True, required=True, help="Whom tokens must be for (aud). Repeatable."
)
@_ca
@_url
@_json
def provider_create(
    url: str,
    audiences: tuple[str, ...],
    ca: Path | None,
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - click hands options over by name
) -> None:
    """Trust an issuer. Its keys are fetched at once; URL is what its tokens name as iss, to the letter."""
    told = Control(control_url).ask(
        "CreateProvider", url=url, audiences=audiences, authorities="" if ca is None else _read(ca)
    )
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"Made {told['arn']} with {_counted(told['keys'])}")


@provider.command(
    "update", epilog="\b\nExample:\n  keystead provider update https://gitlab.example.com --audience keystead"
)
@click.argument("url")
@click.option(
    "--audience", "audiences", multiple=True, help="Whom tokens must be for, instead of before. Repeatable."
)
@_ca
@click.option("--system-ca", is_flag=True, help="Take the system's authorities instead of those of --ca.")
@_url
@_json
def provider_update(
    url: str,
    audiences: tuple[str, ...],
    ca: Path | None,
    system_ca: bool,  # noqa: FBT001 - as above
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Change an issuer's audiences or authorities; without either, fetch its keys anew. In force when it returns."""
    if ca is not None and system_ca:
        raise click.UsageError("--ca and --system-ca do not go together.")
    changes: dict[str, object] = {"audiences": audiences} if audiences else {}
    if ca is not None or system_ca:
        changes["authorities"] = "" if ca is None else _read(ca)
    told = Control(control_url).ask("UpdateProvider", url=url, **changes)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{told['arn']} is in force with {_counted(told['keys'])}")


@provider.command("list")
@_url
@_json
def provider_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List all issuers that are trusted."""
    providers = Control(control_url).ask("ListProviders", limit=ALL)["providers"]
    if as_json:
        click.echo(json.dumps(providers, indent=2))
    for one in [] if as_json else providers:
        click.echo(f"{one['url']}  for {', '.join(one['audiences'])}  {_counted(one['keys'])} {_when(one)}")


@provider.command("show", epilog="\b\nExample:\n  keystead provider show https://gitlab.example.com --json")
@click.argument("url")
@_url
@_json
def provider_show(url: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Show an issuer that is trusted, and the keys that are known of it."""
    told = Control(control_url).ask("DescribeProvider", url=url)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(told["arn"])
    click.echo(f"  issuer       {told['url']}")
    for audience in told["audiences"]:
        click.echo(f"  audience     {audience}")
    click.echo(f"  authorities  {'its own' if told['authorities'] else 'those of the system'}")
    for key in told["keys"]:
        click.echo(f"  key          {key['kty']:4} {key['kid'] or '(without a name)'}")
    click.echo(f"  fetched      {_when(told)}")


@provider.command("delete")
@click.argument("url")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_url
def provider_delete(url: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Trust an issuer no more. In force when it returns; sessions it has vouched for last until they end."""
    if not yes:
        click.confirm(f"Delete {url}? Nobody gets credentials by its tokens any more", abort=True)
    Control(control_url).ask("DeleteProvider", url=url)
    click.echo(f"Deleted {url}")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read as a PEM file ({error})") from None


def _counted(keys: list[object]) -> str:
    return f"{len(keys)} {'key' if len(keys) == 1 else 'keys'}"


def _when(told: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(told["fetched"], UTC).strftime("%Y-%m-%d %H:%M")
