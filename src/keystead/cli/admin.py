"""Commands that ask a running service: status, principal, access-key."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from keystead.cli.client import OK, URL_VARIABLE, Control

_url = click.option(
    "--control-url", help=f"The control plane. [default: {URL_VARIABLE}, or http://127.0.0.1:8901]"
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FAILED: Final = 1
_SAMPLE: Final = re.compile(r"^(\w+)\{(.*)\} (\d+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@click.command(epilog="\b\nExamples:\n  keystead status\n  keystead status --json | jq .ready")
@_url
@_json
def status(control_url: str | None, as_json: bool) -> int:  # noqa: FBT001 - click hands options over by name
    """Ask a running service how it is. Exits with 1 when a process cannot do its work."""
    control = Control(control_url, seconds=5.0)
    code, body = control.look("/readyz")
    told = {**control.read(body), **control.read(control.look("/version")[1])}
    counts = _counts(control.look("/metrics")[1].decode())
    told["requests"] = counts.requests
    for name, process in told["processes"].items():
        process["restarts"] = counts.restarts[name]
        process["connections_open"] = counts.connections[name]
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(
            f"Keystead {told['version']} at {control.url}: {'ready' if told['ready'] else 'NOT READY'}"
        )
        click.echo("  process    state    restarts  connections")
        for name, process in told["processes"].items():
            reason = "" if process["reason"] == "none" else f"  {process['reason']}"
            click.echo(
                f"  {name:10} {process['state']:7} {process['restarts']:9,}  {process['connections_open']:11,}"
                f"{reason}"
            )
        requests = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.requests.items() if count)
        click.echo(f"  requests since the start: {requests or 'none'}")
    return 0 if code == OK else _FAILED


class _Counts(NamedTuple):
    """What the metrics say that people want to know first."""

    requests: Counter[str]  # by outcome
    restarts: Counter[str]  # by process
    connections: Counter[str]  # open ones, by process


def _counts(metrics: str) -> _Counts:
    found = _Counts(Counter(), Counter(), Counter())
    places = {
        "keystead_requests_total": (found.requests, "outcome"),
        "keystead_process_restarts_total": (found.restarts, "process"),
        "keystead_connections_open": (found.connections, "process"),
    }
    for name, labels, value in _SAMPLE.findall(metrics):
        if name in places:
            counter, by = places[name]
            counter[dict(_LABEL.findall(labels))[by]] += int(value)
    return found


@click.group(epilog="\b\nExample:\n  keystead principal create billing --policy policy.json --access-key")
def principal() -> None:
    """Make, list and delete users and their policies."""


@principal.command("create")
@click.argument("name")
@click.option("--policy", default="", help="Its identity policy: JSON, or the path of a file.")
@click.option("--access-key", "with_key", is_flag=True, help="Also make an access key, and print it.")
@_url
@_json
def principal_create(name: str, policy: str, with_key: bool, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Make a user. Without a policy it may do nothing but what keys' own policies allow it."""
    control = Control(control_url)
    told = control.ask("CreatePrincipal", name=name, policy=_policy(policy))
    if with_key:
        told["access_key"] = control.ask("CreateAccessKey", name=name)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"Made {told['arn']}")
    if with_key:
        _show_key(told["access_key"])


@principal.command("put-policy")
@click.argument("name")
@click.argument("policy")
@_url
def principal_put_policy(name: str, policy: str, control_url: str | None) -> None:
    """Replace a user's identity policy: JSON, or the path of a file. In force when it returns."""
    Control(control_url).ask("PutPrincipalPolicy", name=name, policy=_policy(policy))
    click.echo(f"The policy of {name} is in force")


@principal.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_url
def principal_delete(name: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Remove a user and its access keys. In force when it returns."""
    if not yes:
        click.confirm(f"Delete {name} and its access keys? What uses them stops working at once", abort=True)
    Control(control_url).ask("DeletePrincipal", name=name)
    click.echo(f"Deleted {name}")


@principal.command("list")
@_url
@_json
def principal_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List all principals."""
    control, marker = Control(control_url), ""
    principals: list[dict[str, Any]] = []
    while True:
        page = control.ask("ListPrincipals", marker=marker)
        principals += page["principals"]
        marker = page["marker"]
        if not marker:
            break
    if as_json:
        click.echo(json.dumps(principals, indent=2))
    for one in [] if as_json else principals:
        click.echo(f"{one['arn']}  {_date(one['created'])}  {'policy' if one['policy'] else 'no policy'}")


@click.group("access-key", epilog="\b\nExample:\n  keystead access-key create billing")
def access_key() -> None:
    """Make, list, disable and delete access keys."""


@access_key.command("create")
@click.argument("name")
@_url
@_json
def access_key_create(name: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Make an access key for a user. Its secret is shown this once."""
    told = Control(control_url).ask("CreateAccessKey", name=name)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show_key(told)


@access_key.command("list")
@click.argument("name")
@_url
@_json
def access_key_list(name: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List a user's access keys."""
    keys = Control(control_url).ask("ListAccessKeys", name=name)["access_keys"]
    if as_json:
        click.echo(json.dumps(keys, indent=2))
    for key in [] if as_json else keys:
        state = "enabled" if key["enabled"] else "disabled"
        click.echo(f"{key['access_key_id']}  {_date(key['created'])}  {state}")


@access_key.command("enable")
@click.argument("access_key_id")
@_url
def access_key_enable(access_key_id: str, control_url: str | None) -> None:
    """Let a disabled access key be used again."""
    Control(control_url).ask("SetAccessKeyStatus", access_key_id=access_key_id, enabled=True)
    click.echo(f"Enabled {access_key_id}")


@access_key.command("disable")
@click.argument("access_key_id")
@_url
def access_key_disable(access_key_id: str, control_url: str | None) -> None:
    """Stop all use of an access key. In force when it returns."""
    Control(control_url).ask("SetAccessKeyStatus", access_key_id=access_key_id, enabled=False)
    click.echo(f"Disabled {access_key_id}")


@access_key.command("delete")
@click.argument("access_key_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_url
def access_key_delete(access_key_id: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Remove an access key. In force when it returns."""
    if not yes:
        click.confirm(f"Delete {access_key_id}? What uses it stops working at once", abort=True)
    Control(control_url).ask("DeleteAccessKey", access_key_id=access_key_id)
    click.echo(f"Deleted {access_key_id}")


def _policy(text: str) -> str:
    """A policy given as JSON, or as the path of a file that holds it."""
    if not text or text.lstrip().startswith("{"):
        return text
    try:
        return Path(text).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{text} is neither JSON nor a file that can be read ({error})") from None


def _show_key(key: dict[str, Any]) -> None:
    click.echo(
        f"Its access key. The secret is shown this once:\n"
        f"  AWS_ACCESS_KEY_ID={key['access_key_id']}\n"
        f"  AWS_SECRET_ACCESS_KEY={key['secret_access_key']}"
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
