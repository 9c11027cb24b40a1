"""Access keys of users and service accounts."""

from typing import Any

import click

from keystead.cli import asking
from keystead.cli.client import Control

_kind = click.option(
    "--kind",
    type=click.Choice(["user", "service-account"]),
    default="user",
    show_default=True,
    help="What NAME is.",
)


@click.group(
    "access-key",
    epilog="\b\nExamples:\n"
    "  keystead access-key create billing --kind service-account\n"
    "  keystead access-key list billing\n"
    "  keystead access-key rotate billing --disable-old",
)
def access_key() -> None:
    """Make, rotate, list, disable and delete access keys."""


@access_key.command("create")
@click.argument("name")
@_kind
@asking.url
@asking.as_json
def access_key_create(name: str, kind: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Make an access key for a user or a service account. Its secret is shown this once."""
    told = Control(control_url).ask("CreateAccessKey", name=name, kind=kind)
    asking.say(told, lambda: asking.new_key(told), as_json=as_json)


@access_key.command(
    "rotate",
    epilog="\b\nExamples:\n"
    "  keystead access-key rotate billing\n"
    "  keystead access-key rotate billing --disable-old --yes",
)
@click.argument("name")
@_kind
@click.option(
    "--disable-old", is_flag=True, help="Also disable the key that there was, and end its sessions, at once."
)
@asking.yes
@asking.url
@asking.as_json
def access_key_rotate(
    name: str,
    kind: str,
    disable_old: bool,  # noqa: FBT001 - as above
    yes: bool,  # noqa: FBT001 - as above
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Make a second access key to change to, and say what became of the first.

    Bring the new one to where the old one is used, look with `access-key list` until the old one is used no more, and
    delete it. Sessions that were opened with the old one end when it is disabled or deleted. With two keys there
    already one of them has to go first: the refusal says which was made first, and when it was last used.
    """
    control = Control(control_url)
    old = [key for key in _keys(control, name, kind) if key["enabled"]]
    if disable_old and old and not yes:
        click.confirm(
            f"Disable {', '.join(key['access_key_id'] for key in old)} as soon as the new one is made? What uses it "
            "stops working at once",
            abort=True,
            err=True,
        )
    told = control.ask("CreateAccessKey", name=name, kind=kind)
    told["old"] = []
    for key in old:
        if disable_old:
            control.ask("SetAccessKeyStatus", access_key_id=key["access_key_id"], enabled=False)
        told["old"].append({**key, "enabled": not disable_old})
    asking.say(told, lambda: [*asking.new_key(told), *map(_line, told["old"])], as_json=as_json)


@access_key.command("list")
@click.argument("name")
@_kind
@asking.url
@asking.as_json
def access_key_list(name: str, kind: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the access keys of a user or a service account, and when each was last used."""
    keys = _keys(Control(control_url), name, kind)
    asking.say(keys, lambda: map(_line, keys), as_json=as_json)


@access_key.command("enable")
@click.argument("access_key_id")
@asking.url
def access_key_enable(access_key_id: str, control_url: str | None) -> None:
    """Let a disabled access key be used again."""
    Control(control_url).ask("SetAccessKeyStatus", access_key_id=access_key_id, enabled=True)
    click.echo(f"Enabled {access_key_id}")


@access_key.command("disable")
@click.argument("access_key_id")
@asking.url
def access_key_disable(access_key_id: str, control_url: str | None) -> None:
    """Stop all use of an access key. Sessions that were opened with it end too. In force when it returns."""
    Control(control_url).ask("SetAccessKeyStatus", access_key_id=access_key_id, enabled=False)
    click.echo(f"Disabled {access_key_id}")


@access_key.command("delete")
@click.argument("access_key_id")
@asking.yes
@asking.url
def access_key_delete(access_key_id: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Remove an access key. Sessions that were opened with it end too. In force when it returns."""
    if not yes:
        click.confirm(f"Delete {access_key_id}? What uses it stops working at once", abort=True, err=True)
    Control(control_url).ask("DeleteAccessKey", access_key_id=access_key_id)
    click.echo(f"Deleted {access_key_id}")


def _keys(control: Control, name: str, kind: str) -> list[dict[str, Any]]:
    """The access keys, the oldest first."""
    keys: list[dict[str, Any]] = control.see("ListAccessKeys", name=name, kind=kind)["access_keys"]
    return sorted(keys, key=lambda key: float(key["created"]))


def _line(key: dict[str, Any]) -> str:
    state = "enabled" if key["enabled"] else "disabled"
    last = key["last_used"]
    if last is not None:
        used = f"last used {asking.date(last['time'])} for {last['action']}"
    else:
        used = "never used" if key["tracked_since"] is not None else "last use cannot be told now"
    return f"{key['access_key_id']}  {asking.date(key['created'])}  {state:8}  {used}"
