"""Policies that are attached by name: the commands of `keystead policy` that ask a running service."""

from typing import Any

import click

from keystead.cli import asking
from keystead.cli.client import Control


@click.command(
    "put",
    epilog="\b\nExamples:\n"
    "  keystead policy put readers readers.json\n"
    "  keystead policy put readers '{\"Statement\": [...]}'",
)
@click.argument("name")
@click.argument("text")
@asking.url
@asking.as_json
def policy_put(name: str, text: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Make a policy, or replace its text wherever it is attached: JSON, or the path of a file."""
    told = Control(control_url).ask("PutPolicy", name=name, text=asking.document(text))
    asking.say(told, lambda: [f"In force: {told['arn']}"], as_json=as_json)


@click.command("show", epilog="\b\nExample:\n  keystead policy show arn:aws:iam::aws:policy/KeysteadKeyUser")
@click.argument("name")
@asking.url
@asking.as_json
def policy_show(name: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Show a policy, also a built-in one by its ARN, and who has it."""
    told = Control(control_url).see("DescribePolicy", name=name)
    asking.say(told, lambda: _shown(told), as_json=as_json)


@click.command("list")
@asking.url
@asking.as_json
def policy_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the account's policies, and those that are built in."""
    found = asking.everything(Control(control_url), "ListPolicies", "policies")
    asking.say(found, lambda: map(_line, found), as_json=as_json)


@click.command("delete")
@click.argument("name")
@asking.yes
@asking.url
def policy_delete(name: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Remove a policy that nobody has."""
    if not yes:
        click.confirm(f"Delete the policy {name}?", abort=True, err=True)
    Control(control_url).ask("DeletePolicy", name=name)
    click.echo(f"Deleted {name}")


def _shown(one: dict[str, Any]) -> list[str]:
    has = [f"  has it  {arn}" for arn in one["attached_to"]]
    return [one["arn"], *([f"  {one['description']}"] if one["description"] else []), *has, one["text"]]


def _line(one: dict[str, Any]) -> str:
    about = one["description"] if one["built_in"] else f"changed {asking.date(one['updated'])}"
    return f"{one['arn']}  {about}"
