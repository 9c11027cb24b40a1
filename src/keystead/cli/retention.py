"""Commands for how long the audit is kept: legal holds, and the removal of what is over its time."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from keystead.cli.client import Control, url_option
from keystead.core.subject import SOURCE, SOURCE_IDENTITY

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(
    epilog="""\b
Examples:
  keystead audit prune --dry-run
  keystead audit prune"""
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@url_option
@_json
def prune(dry_run: bool, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Remove from the audit what is over its time.

    The service does it once a day by itself, by the durations in its configuration ([audit]). Hashes stay, so every
    proof holds, and a signed statement says what is gone. What is under a legal hold stays.
    """
    control = Control(control_url)
    ranges: list[str] = []
    entries = 0
    while True:
        told = control.ask("PlanPruning" if dry_run else "PruneAudit")
        ranges += told["ranges"]
        entries += told["entries"]
        if not told["more"] or dry_run:
            break
    more = bool(told["more"])
    if as_json:
        click.echo(json.dumps({"ranges": ranges, "entries": entries, "more": more}, indent=2))
        return
    for each in ranges:
        click.echo(each)
    done = "would be removed, and perhaps more" if more else "would be removed"
    click.echo(f"{entries:,} entries {done if dry_run else 'were removed'}")


@click.command(
    epilog="""\b
Examples:
  keystead audit redact --source 192.0.2.7 --reason "request of 2026-03-01"
  keystead audit redact --source-identity alice@example.org --reason "left the company\""""
)
@click.option("--source", help="A network address, as the audit shows it.")
@click.option("--source-identity", help="The name that somebody gave when a session began.")
@click.option("--reason", required=True, help="Why; it is on record, so it must not hold the value.")
@click.option("--despite-holds", is_flag=True, help="Although there are legal holds.")
@url_option
@_json
def redact(
    *,
    source: str | None,
    source_identity: str | None,
    reason: str,
    despite_holds: bool,
    control_url: str | None,
    as_json: bool,
) -> None:
    """Take an address or a name out of all audit entries, for good.

    Only of members that the configuration names ([audit] redactable), and of entries that were written since it does:
    they hold a commitment, and what it was made of is erased. Proofs and checkpoints stay valid. For principals of the
    first account. Backups and what was sent elsewhere are not reached.
    """
    named = {SOURCE: source, SOURCE_IDENTITY: source_identity}
    given = [(member, value) for member, value in named.items() if value]
    if len(given) != 1:
        raise click.UsageError("Name either --source or --source-identity.")
    member, value = given[0]
    told = Control(control_url).ask(
        "RedactSubject", member=member, value=value, reason=reason, despite_holds=despite_holds
    )
    click.echo(json.dumps(told, indent=2) if as_json else f"Redacted. It was {told['commitment']}")


@click.group()
def hold() -> None:
    """Keep what the audit has of your account, or of a key, whatever its age is."""


@hold.command(
    "put",
    epilog="""\b
Examples:
  keystead audit hold put case-7 --reason "order of 2026-03-01"
  keystead audit hold put case-8 --reason "a dispute" --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-...""",
)
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is on record.")
@click.option("--key", "key_arn", default="", help="Only what is about the key of that ARN.")
@url_option
@_json
def put(name: str, reason: str, key_arn: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Set a legal hold."""
    _show(
        [Control(control_url).ask("PutLegalHold", name=name, reason=reason, key_arn=key_arn)], as_json=as_json
    )


@hold.command("lift")
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is on record.")
@url_option
@_json
def lift(name: str, reason: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """End a legal hold."""
    _show([Control(control_url).ask("LiftLegalHold", name=name, reason=reason)], as_json=as_json)


@hold.command("list")
@url_option
@_json
def list_(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the legal holds of your account."""
    _show(Control(control_url).ask("ListLegalHolds")["holds"], as_json=as_json)


def _show(holds: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"holds": holds}, indent=2))
        return
    for each in holds:
        when = datetime.fromtimestamp(each["created"], UTC).strftime("%Y-%m-%d %H:%M UTC")
        click.echo(
            f"{each['name']}  {each['key'] or 'the account'}  since {when} by {each['by']}: {each['reason']}"
        )
