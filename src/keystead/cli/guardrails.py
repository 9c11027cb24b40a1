"""Guardrails: what nobody in an account, or in the whole installation, may do."""

from typing import Any

import click

from keystead.cli import asking
from keystead.cli.client import Control

_scope = click.option(
    "--scope",
    type=click.Choice(["account", "installation"]),
    default="account",
    show_default=True,
    help="Whom it limits. The installation's are made from its first account.",
)


@click.group(
    epilog="\b\nExamples:\n"
    "  keystead guardrail put keep-keys keep-keys.json\n"
    "  keystead guardrail put keep-keys keep-keys.json --scope installation\n"
    "  keystead guardrail list"
)
def guardrail() -> None:
    """Deny something to everybody, administrators included."""


@guardrail.command("put", epilog="\b\nExample:\n  keystead guardrail put keep-keys keep-keys.json")
@click.argument("name")
@click.argument("text")
@_scope
@asking.yes
@asking.url
@asking.as_json
def guardrail_put(
    name: str,
    text: str,
    scope: str,
    yes: bool,  # noqa: FBT001 - click hands options over by name
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Make a guardrail, or replace its text: JSON, or the path of a file. In force when it returns."""
    document = asking.document(text)
    if scope == "installation" and not yes:
        click.confirm(f"Deny what {name} says in every account?", abort=True, err=True)
    told = Control(control_url).ask("PutGuardrail", name=name, text=document, scope=scope)
    asking.say(told, lambda: [f"In force: {told['name']}, for everybody in the {scope}"], as_json=as_json)


@guardrail.command("show")
@click.argument("name")
@_scope
@asking.url
@asking.as_json
def guardrail_show(name: str, scope: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Show a guardrail."""
    told = Control(control_url).see("DescribeGuardrail", name=name, scope=scope)
    asking.say(told, lambda: [_line(told), told["text"]], as_json=as_json)


@guardrail.command("list")
@asking.url
@asking.as_json
def guardrail_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the guardrails that limit the account: the installation's and its own."""
    control = Control(control_url)
    found = [
        each
        for scope in ("installation", "account")
        for each in asking.everything(control, "ListGuardrails", "guardrails", scope=scope)
    ]
    asking.say(found, lambda: map(_line, found), as_json=as_json)


@guardrail.command("delete")
@click.argument("name")
@_scope
@asking.yes
@asking.url
def guardrail_delete(name: str, scope: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Remove a guardrail. Out of force when it returns."""
    if not yes:
        click.confirm(f"Delete {name}? What it denies may be allowed at once", abort=True, err=True)
    Control(control_url).ask("DeleteGuardrail", name=name, scope=scope)
    click.echo(f"Deleted {name}")


def _line(one: dict[str, Any]) -> str:
    return f"{one['name']}  {one['scope']}  changed {asking.date(one['updated'])}"
