"""`keystead policy explain`: why a request was allowed or denied, from the audit of a running service."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import click

from keystead.cli.client import Control, url_option

_ROWS: Final = (
    ("who", "principal"),
    ("with", "access_key"),
    ("from", "source"),
    ("key", "key"),
    ("taken from", "from_key"),
    ("about", "subject"),
)


@click.command(
    epilog="""\b
Examples:
  keystead policy explain 1f0c2a77-9c1e-4b0a-8d42-000000000017
  keystead policy explain 1f0c2a77-9c1e-4b0a-8d42-000000000017 --json | jq .decisions[0].matched

\b
Every AWS SDK shows the request id of an error; boto3 has it in
error.response["ResponseMetadata"]["RequestId"]."""
)
@click.argument("decision")
@url_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(decision: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Say why a request was allowed or denied.

    DECISION is the request's id, as the answer's head gave it to the client (x-amzn-RequestId). Shown are the
    statements that decided, with the versions of their policies, or the smallest thing that was missing.

    Who may keystead:ExplainDecision may ask: whoever has KeysteadAuditor or KeysteadAdministrator, for example. Whoever
    was refused need not be one of them; the id can be handed on. An account sees what its principals asked for, and
    what others asked of its keys.
    """
    told = Control(control_url).ask("ExplainDecision", decision=decision)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for number, each in enumerate(told["decisions"]):
        if number:
            click.echo()
        click.echo("\n".join(_lines(each)))
    if told["missing"]:
        click.echo(f"\nThere may be more: {told['missing']}.", err=True)


def _lines(each: dict[str, Any]) -> list[str]:
    """One entry for people."""
    when = (
        datetime.fromtimestamp(each["time"] / 1e6, UTC)
        .isoformat(" ", "milliseconds")
        .replace("+00:00", " UTC")
    )
    decision = {"Allow": "allowed", "Deny": "denied"}.get(each.get("decision", ""), "not decided")
    stage = f" ({each['stage']})" if "stage" in each else ""
    lines = [
        f"{each.get('action') or 'a request'}{stage} was {decision}: {each.get('outcome') or 'no outcome yet'}"
    ]
    lines += [f"  {title:10}  {each[name]}" for title, name in _ROWS if each.get(name)]
    lines.append(f"  {'when':10}  {when}")
    for text in each.get("matched", ()):
        kind, _, rest = text.partition(" ")
        name, _, label = rest.partition(" ")
        policy, _, version = name.rpartition("@")
        later = "; it has another text now" if text in each["changed"] else ""
        place = f" of {policy}" if policy else ""
        lines.append(
            f"  {'by':10}  {kind} {label}"
            if kind == "grant"
            else f"  {'by':10}  {kind} statement {label}{place} (version {version}{later})"
        )
    if each.get("missing"):
        lines.append(f"  {'missing':10}  {each['missing']}")
    lines.append(f"  {'event':10}  {each['event']}")
    return lines
