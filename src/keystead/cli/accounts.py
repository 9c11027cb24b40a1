"""Accounts of the installation."""

import click

from keystead.cli import asking
from keystead.cli.client import Control


@click.group(epilog="\b\nExamples:\n  keystead account create payroll\n  keystead account list")
def account() -> None:
    """Make and list accounts, each with keys and principals of its own."""


@account.command("create", epilog="\b\nExample:\n  keystead account create payroll --json > payroll.json")
@click.argument("name")
@asking.url
@asking.as_json
def account_create(name: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Make an account with its first administrator. For administrators of the installation's first account."""
    told = Control(control_url).ask("CreateAccount", name=name)
    asking.say(
        told,
        lambda: [
            f"Made the account {told['id']} ({told['name']}) with {told['administrator']}",
            *asking.new_key(told["access_key"]),
        ],
        as_json=as_json,
    )


@account.command("list")
@asking.url
@asking.as_json
def account_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the accounts. For administrators of the installation's first account."""
    found = asking.everything(Control(control_url), "ListAccounts", "accounts")
    asking.say(
        found,
        lambda: (f"{one['id']}  {asking.date(one['created'])}  {one['name']}" for one in found),
        as_json=as_json,
    )
