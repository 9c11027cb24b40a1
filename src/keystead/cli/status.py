"""How a running service is."""

import json
import re
from collections import Counter
from typing import Final, NamedTuple

import click

from keystead.cli import asking
from keystead.cli.client import OK, Control

_FAILED: Final = 1
_SAMPLE: Final = re.compile(r"^(\w+)\{(.*)\} (\d+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@click.command(epilog="\b\nExamples:\n  keystead status\n  keystead status --json | jq .ready")
@asking.url
@asking.as_json
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
        for name, sink in told.get("reader", {}).get("sinks", {}).items():
            click.echo(
                f"  sink {name}: {sink['lag_entries']:,} entries behind, for {sink['lag_seconds']:,.0f} s"
            )
        for warning in told.get("warnings", []):
            click.echo(f"  warning: {warning}")
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
