"""`keystead audit export`: the records of audit logs in the form that a SIEM takes."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from typing_extensions import override

FORMATS: Final = ("cef", "cloudtrail", "ecs", "keystead", "ocsf")


class Moment(click.ParamType[int]):
    """A date or a time, as microseconds since 1970; without a zone it is UTC."""

    name = "time"

    @override
    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond


@click.command(
    epilog="""\b
Examples:
  keystead audit export /var/lib/keystead/audit --format ocsf | gzip > events.gz
  keystead audit export /var/lib/keystead/audit --format cloudtrail --records \\
      --since 2026-01-01 --until 2026-02-01 > january.json"""
)
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What an event looks like.")
@click.option("--since", type=Moment(), help="Only what happened at that time or later.")
@click.option("--until", type=Moment(), help="Only what happened before that time.")
@click.option("--pending", is_flag=True, help="Changes whose outcome is not on record as well.")
@click.option("--records", is_flag=True, help="One JSON object as CloudTrail delivers it, not lines.")
def export(
    *,
    audit_dir: Path,
    form: str,
    since: int | None,
    until: int | None,
    pending: bool,
    records: bool,
) -> None:
    """Print audit records as events for a SIEM, one a line.

    Takes one log, or all logs in a directory, one after the other. A change is one event: its announcement is left
    out, unless the format is keystead, which has every record as it is. This does not check anything: `keystead
    verify` does.
    """
    from keystead.app.offline import read_events  # noqa: PLC0415 - imports the audit room
    from keystead.bridges.renderings.cloudtrail import file  # noqa: PLC0415 - only this command needs it
    from keystead.bridges.renderings.history import render  # noqa: PLC0415 - as above

    if records and form != "cloudtrail":
        raise click.UsageError("--records goes with --format cloudtrail only")
    events = render(read_events(audit_dir), form, since=since, until=until, pending=pending)
    if records:
        sys.stdout.buffer.writelines(file(events))
    else:
        sys.stdout.buffer.writelines(event + b"\n" for event in events)
