"""Questions to the audit of a running service: `audit query`, `who-used`, `reach` and `evidence`."""

import csv
import hashlib
import io
import ipaddress
import json
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from typing_extensions import override

from keystead import __version__
from keystead.cli.client import Control, Refused, url_option
from keystead.core.context import canonical, digest
from keystead.core.query import DIMENSIONS, MOST_ROWS

MOST_EVIDENCE: Final = 10_000
WAIT_SECONDS: Final = 15.0  # for the checkpoint that covers the newest event
_LOOK_SECONDS: Final = 0.25
_SPANS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_COLUMNS: Final = ("time", "principal", "action", "key", "version", "outcome", "source", "request")
_COUNTED: Final = ("count", "first", "last")

F = TypeVar("F", bound=Callable[..., Any])


class When(click.ParamType[int]):
    """A time as microseconds since 1970: ``24h`` ago, ``now``, or a date; without a zone it is UTC."""

    name = "time"

    @override
    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        ago = _AGO.fullmatch(str(value))
        if ago is not None or value == "now":
            seconds = 0 if ago is None else int(ago[1]) * _SPANS[ago[2]]
            return max(1, int((time.time() - seconds) * 1e6))
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(
                f"{value!r} is not a time such as 24h, now, 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx
            )
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(1, int(moment.timestamp()) * 1_000_000 + moment.microsecond)


def _filters(command: F) -> F:
    """The options that say which entries are asked about."""
    for option in reversed(
        [
            click.option(
                "--key", help="A key: id, ARN or alias/NAME. ReEncrypt is about the key it took from too."
            ),
            click.option("--version", type=click.IntRange(1), help="Of that key's material."),
            click.option("--principal", help="Who asked, by ARN; of a role, its sessions as well."),
            click.option("--action", help="What was asked, such as kms:Decrypt."),
            click.option("--outcome", help="How it ended: Success, or an error code such as AccessDenied."),
            click.option("--decision", type=click.Choice(["Allow", "Deny"]), help="How it was decided."),
            click.option("--source", help="Where it came from: an address, or a network such as 10.0.0.0/8."),
            click.option(
                "--context", help="An encryption context as JSON, or its SHA-256 as the audit has it."
            ),
            click.option(
                "--request", help="The id of a request: Keystead's, or the X-Request-Id that its client gave."
            ),
            click.option("--trace", help="A W3C trace id."),
            click.option("--access-key", help="The id of the access key that signed."),
            click.option("--account", help="The caller's account."),
            click.option("--since", type=When(), help="From that time on: 24h (ago), now, or a date."),
            click.option("--until", type=When(), help="Before that time."),
            click.option(
                "--uses", is_flag=True, help="Only successful cryptographic operations, which use a key."
            ),
            click.option("--everything", is_flag=True, help="Of all accounts; the first account's to ask."),
        ]
    ):
        command = option(command)
    return command


_form = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
_json = click.option("--json", "form", flag_value="json", help="The same as --format json.")
_csv = click.option("--csv", "form", flag_value="csv", help="The same as --format csv.")


@click.command(
    epilog="""\b
Examples:
  keystead audit query --key alias/payroll --since 24h
  keystead audit query --outcome AccessDenied --since 7d --by principal --by action
  keystead audit query --request 1f0c2a77-9c1e-4b0a-8d42-000000000017 --json
  keystead audit query --context '{"tenant": "acme"}' --action kms:Decrypt --csv > uses.csv"""
)
@_filters
@click.option(
    "--by", multiple=True, type=click.Choice(DIMENSIONS), help="Count by it; may be given several times."
)
@click.option("--oldest-first", is_flag=True, help="[default: the newest first]")
@click.option("--limit", type=click.IntRange(1, MOST_ROWS), default=100, show_default=True)
@click.option("--marker", default="", help="Go on where an earlier answer ended.")
@_form
@_json
@_csv
@url_option
def query(*, form: str, control_url: str | None, **asked: Any) -> None:  # noqa: ANN401 - click's options by name
    """Ask the audit of a running service who did what, when, from where and how it ended.

    An account sees what its own principals did and what others did with its keys. Entries of just now are found too.
    """
    by = tuple(dict.fromkeys(asked.pop("by")))
    told = Control(control_url).ask("QueryAudit", by=by, **_asked(asked))
    if form == "json":
        click.echo(json.dumps(told, indent=2))
    elif by:
        _show([*by, *_COUNTED], told["counts"], form)
    else:
        _show(_COLUMNS, told["events"], form)
    _say_rest(told)


@click.command(
    "who-used",
    epilog="""\b
Examples:
  keystead audit who-used alias/payroll --from 2026-01-01 --to 2026-02-01
  keystead audit who-used 1234abcd-12ab-34cd-56ef-1234567890ab --from 24h --json""",
)
@click.argument("key")
@click.option("--from", "since", type=When(), help="From that time on: 24h (ago), now, or a date.")
@click.option("--to", "until", type=When(), help="Before that time.")
@_form
@_json
@_csv
@url_option
def who_used(key: str, since: int | None, until: int | None, form: str, control_url: str | None) -> None:
    """Say who used a key, with which of its versions, how often, and when first and last.

    Used is what a successful cryptographic operation did; to look at a key is not to use it.
    """
    by = ("principal", "action", "version")
    told = Control(control_url).ask(
        "QueryAudit",
        by=by,
        limit=MOST_ROWS,
        **_asked({"key": key, "since": since, "until": until, "uses": True}),
    )
    if form == "json":
        click.echo(json.dumps(told["counts"], indent=2))
    else:
        _show([*by, *_COUNTED], told["counts"], form)
    _say_rest(told)


@click.command(
    epilog="""\b
Examples:
  keystead audit reach arn:aws:iam::111122223333:user/mallory
  keystead audit reach arn:aws:iam::111122223333:role/deploy --since 30d --json"""
)
@click.argument("principal", metavar="PRINCIPAL-ARN")
@click.option("--since", type=When(), help="What it did from that time on: 24h (ago), or a date.")
@click.option("--until", type=When(), help="What it did before that time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@url_option
def reach(
    *, principal: str, since: int | None, until: int | None, as_json: bool, control_url: str | None
) -> None:
    """Say what a principal did open, and what it could open now.

    What it did: the keys and versions with which it decrypted, by the audit. What it could: the keys of its account in
    this region that policies and grants let it decrypt with at present; where a condition stands in the way, which.
    """
    told = Control(control_url).ask(
        "AuditReach", principal=principal, limit=MOST_ROWS, **_asked({"since": since, "until": until})
    )
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo("It did open:")
        _show(["key", "version", "action", *_COUNTED], told["did"], "table")
        click.echo(f"\nIt could open now (keys looked at: {told['keys']}):")
        _show(["key", "action", "by", "condition"], told["could"], "table")
    _say_rest(told)


@click.command(
    epilog="""\b
Examples:
  keystead audit evidence --key alias/payroll --since 30d -o evidence.zip
  unzip evidence.zip -d evidence && python3 evidence/check.py --key /safe/audit.vkey"""
)
@_filters
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write, a zip file."
)
@click.option("--limit", type=click.IntRange(1, MOST_EVIDENCE), default=MOST_ROWS, show_default=True)
@click.option(
    "--audit-dir",
    type=click.Path(path_type=Path),
    help="Prove it from these files instead of asking the service, which proves to an account only its own.",
)
@url_option
def evidence(
    *,
    output: Path,
    limit: int,
    audit_dir: Path | None,
    control_url: str | None,
    **asked: Any,  # noqa: ANN401 - as above
) -> None:
    """Write the answer to a question as evidence that can be checked without Keystead.

    A bundle holds the entries, a proof of each that it is in its log, the signed checkpoints, and a small program that
    checks them with the verifier key. The entries stand as they were written, and the oldest comes first.
    """
    control = Control(control_url)
    question = _asked(asked)
    disclosed: dict[str, Any] = {}
    events, missing = _events(control, question, limit, disclosed)
    proofs, unproven = _proofs(_prover(control, audit_dir), [event["event"] for event in events])
    vkey = control.ask("ListCheckpoints")["vkey"]
    files = {
        "check.py": resources.files("keystead.cli").joinpath("evidence_check.py").read_bytes(),
        "events.jsonl": _lines(events),
        "proofs.jsonl": _lines(proofs),
        "disclosed.json": json.dumps(disclosed, indent=2).encode(),
        "verifier.vkey": f"{vkey}\n".encode(),
        "README.txt": _README.encode(),
    }
    manifest = {
        "format": "keystead-evidence-v1",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"keystead {__version__}",
        "question": question,
        "events": len(events),
        "missing": missing,
        "unproven": unproven,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("manifest.json", json.dumps(manifest, indent=2) + "\n")
        for name, data in files.items():
            bundle.writestr(name, data)
    click.echo(f"{output}: {len(events)} events, {len(proofs)} of them proven")
    if unproven:
        click.echo(
            f"{len(unproven)} events have no proof: check.py refuses the bundle without --allow-unproven. "
            "Its manifest says why.",
            err=True,
        )
    if missing:
        click.echo(f"There may be more: {missing}.", err=True)


_README: Final = """\
Evidence from the audit of a Keystead installation.

  manifest.json   what was asked, when, and the SHA-256 of each file
  events.jsonl    the entries, one a line, each with the name of its log and its place there
  proofs.jsonl    for each entry: the bytes that were written, the hashes that lead to the log's root, and the
                  checkpoint that signs the root
  disclosed.json  what the entries' commitments (sha256:...) are made of, as far as it was not redacted
  verifier.vkey   the verifier key as the service gave it out
  check.py        checks all of that; needs Python 3.9 or newer and the package `cryptography`

  python3 check.py --key KEY-OR-FILE

Take the verifier key from whoever runs the service, by a way that you trust; the one in this bundle is only there to
be compared. What the check proves: these entries were written, as they stand here, at these places of the log, when
the checkpoint was signed. It does not prove that there were no others.

An event that the manifest lists as unproven is only claimed: whoever made the bundle could have made it up. The check
names such events and does not pass (it exits with 3), unless it is told --allow-unproven.
"""


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """The members of a question that say something."""
    asked = {name: value for name, value in options.items() if value not in (None, "", False)}
    if "context" in asked:
        asked["context"] = _context(asked["context"])
    if "source" in asked:
        try:
            ipaddress.ip_network(asked["source"], strict=False)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--source") from None
    return asked


def _context(given: str) -> str:
    """The digest of an encryption context, as the audit has it."""
    if re.fullmatch("[0-9a-f]{64}", given):
        return given
    try:
        context = json.loads(given)
        if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            """an encryption context is JSON such as '{"tenant": "acme"}'""", param_hint="--context"
        ) from None
    return digest(canonical(context))


def _events(
    control: Control, question: dict[str, Any], limit: int, disclosed: dict[str, Any]
) -> tuple[list[dict[str, Any]], str]:
    """All pages of entries, the oldest first, and what was not searched; ``disclosed`` gets what they commit to."""
    events: list[dict[str, Any]] = []
    marker = missing = ""
    while len(events) < limit:
        page = control.ask(
            "QueryAudit",
            **{
                **question,
                "oldest_first": True,
                "as_written": True,
                "limit": min(MOST_ROWS, limit - len(events)),
                "marker": marker,
            },
        )
        events += page["events"]
        disclosed |= page["disclosed"]
        marker, missing = page["marker"], page["missing"]
        if not marker:
            return events, missing
    return events, "; ".join(filter(None, [missing, f"only the first {limit:,} were asked for"]))


Prove = Callable[[str], tuple[list[dict[str, Any]], list[str]]]
"""The proofs of an event, and what no checkpoint covers yet."""


def _prover(control: Control, audit_dir: Path | None) -> Prove:
    def of_service(event: str) -> tuple[list[dict[str, Any]], list[str]]:
        told = control.ask("ProveEvent", event=event)
        return told["proofs"], told["pending"]

    def of_files(event: str) -> tuple[list[dict[str, Any]], list[str]]:
        from keystead.app.offline import prove  # noqa: PLC0415 - imports the audit room

        proofs, pending = prove(Path(str(audit_dir)), event)
        return [json.loads(proof) for proof in proofs], pending

    return of_service if audit_dir is None else of_files


def _proofs(prove: Prove, events: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The proofs of events, and those that cannot be proven to this account, with the reason."""
    proofs: list[dict[str, Any]] = []
    unproven: list[dict[str, str]] = []
    deadline = time.monotonic() + WAIT_SECONDS
    for event in events:
        while True:
            try:
                found, pending = prove(event)
            except Refused as error:
                unproven.append({"event": event, "why": str(error)})
                break
            if not pending:
                proofs += found
                break
            if time.monotonic() > deadline:
                unproven.append({"event": event, "why": "no checkpoint covers it yet"})
                break
            time.sleep(_LOOK_SECONDS)
    return proofs, unproven


def _lines(values: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def _show(columns: Sequence[str], rows: Sequence[dict[str, Any]], form: str) -> None:
    """Print rows as a table for people, or as CSV."""
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([_cell(name, row) for name in columns] for row in rows)
        click.echo(text.getvalue(), nl=False)
        return
    if not rows:
        click.echo("nothing was found")
        return
    from rich.console import Console  # noqa: PLC0415 - only for tables
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name in ("count", "version") else "left")
    for row in rows:
        table.add_row(*(_cell(name, row) for name in columns))
    wide = None if sys.stdout.isatty() else 240
    Console(width=wide, highlight=False, markup=False, soft_wrap=False).print(table)


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row.get(name, "")
    if name in ("time", "first", "last"):
        return datetime.fromtimestamp(int(value) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value)


def _say_rest(told: dict[str, Any]) -> None:
    """Say on standard error that there is more."""
    for line in _rest(told):
        click.echo(line, err=True)


def _rest(told: dict[str, Any]) -> Iterator[str]:
    if told.get("marker"):
        yield f"There are more: go on with --marker {told['marker']}"
    if told.get("more"):
        yield "There are more than were asked for."
    if told.get("missing"):
        yield f"There may be more: {told['missing']}."
