"""What the commands that administer a running service have in common: options, pages, and how answers look."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from keystead.cli.client import URL_VARIABLE, Control

AT_ONCE: Final = 1000  # in one page

url = click.option(
    "--control-url", help=f"The control plane. [default: {URL_VARIABLE}, or http://127.0.0.1:8901]"
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def everything(control: Control, operation: str, member: str, **arguments: object) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    marker = ""
    while True:
        page = control.see(operation, limit=AT_ONCE, marker=marker, **arguments)
        found += page[member]
        marker = page["marker"]
        if not marker:
            return found


def say(told: object, lines: Callable[[], Iterable[str]], *, as_json: bool) -> None:
    """Print an answer, as JSON or as lines for people."""
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for line in lines():
            click.echo(line)


def document(text: str) -> str:
    """A policy given as JSON, or as the path of a file that holds it."""
    if not text or text.lstrip().startswith("{"):
        return text
    try:
        return Path(text).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{text} is neither JSON nor a file that can be read ({error})") from None


def pairs(given: Iterable[str]) -> dict[str, str]:
    """Tags, each written NAME=VALUE."""
    tags = {}
    for each in given:
        name, found, value = each.partition("=")
        if not found or name in tags:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE, or NAME is given twice")
        tags[name] = value
    return tags


def date(seconds: float) -> str:
    """A time, in UTC and to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def new_key(key: dict[str, Any]) -> list[str]:
    """A new access key with its secret, in the form of settings."""
    return [
        "Its access key. The secret is shown this once:",
        f"  AWS_ACCESS_KEY_ID={key['access_key_id']}",
        f"  AWS_SECRET_ACCESS_KEY={key['secret_access_key']}",
    ]
