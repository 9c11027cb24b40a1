"""Commands for an account's own part of the audit: fetch it, keep its heads, and check that nothing is missing."""

import json
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import click

from keystead.cli.client import Control, url_option
from keystead.core.errors import AuditDamaged, InvalidRequest

FORMAT: Final = "keystead-account-log-v1"
_PAGE: Final = 256
_IN_MEMORY: Final = 1 << 24

_since = click.option(
    "--since",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An older file, which the new heads must lead on from.",
)


@click.command(
    "account-head",
    epilog="""\b
Examples:
  keystead audit account-head -o heads-june.json
  keystead audit account-head --since heads-may.json -o heads-june.json
  keystead verify heads-june.json --since heads-may.json --key audit.vkey""",
)
@_since
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write it there. [default: standard output]"
)
@url_option
def account_head(since: Path | None, output: Path | None, control_url: str | None) -> None:
    """Print the signed heads of your account: how many entries it has in each log, with their root.

    Keep them. Whatever is fetched later must go on from them, and whoever audits the whole log can check that they
    left nothing out.
    """
    before = _counts(since) if since is not None else {}
    told = Control(control_url).ask("ListAccountHeads", since=before)
    line = json.dumps(_header(told, before, complete=False)) + "\n"
    if output is None:
        click.echo(line, nl=False)
    else:
        output.write_text(line)


@click.command(
    epilog="""\b
Examples:
  keystead audit fetch -o ours.jsonl
  keystead verify ours.jsonl --key audit.vkey
  keystead audit fetch --account 111122223333 -o - | tail -n +2 | jq -r 'select(.entry).entry'"""
)
@click.option("--account", help="Fail unless that is the account that the credentials are of.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="The file to write; - for standard output.",
)
@url_option
def fetch(account: str | None, output: Path, control_url: str | None) -> None:
    """Fetch all audit entries that concern your account, with the proof that there are no others.

    Entries that were pruned are there as hashes. `keystead verify` checks the file without the service.
    """
    control = Control(control_url)
    told = control.ask("ListAccountHeads")
    if account is not None and told["account"] != account:
        raise InvalidRequest(f"the credentials are of the account {told['account']}, not of {account}")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+") as body:
        for part in told["logs"]:
            for text in _rows(control, part["log"], part["entries"]):
                body.write(text)
        # What was pruned meanwhile is in a newer statement; the heads stay those of the beginning.
        newer = {part["log"]: part["pruned"] for part in control.ask("ListAccountHeads")["logs"]}
        for part in told["logs"]:
            part["pruned"] = newer.get(part["log"], part["pruned"])
        body.seek(0)
        with click.open_file(str(output), "w", atomic=True) as file:
            file.write(json.dumps(_header(told, {}, complete=True)) + "\n")
            _copy(body, file)


def verify_account_file(path: Path, key: str, since: tuple[Path, ...], *, as_json: bool) -> None:
    """Check a file of an account's, and say what it proves."""
    from keystead.app.offline import check_account_file  # noqa: PLC0415 - imports the audit room

    try:
        checked = [check_account_file(path, key, older) for older in since or (None,)]
    except AuditDamaged as found:
        if as_json:
            damage = [
                {"origin": log, "record": record, "file": file, "problem": problem}
                for log, record, file, problem in found.damage
            ]
            click.echo(json.dumps({"ok": False, "damage": damage}, indent=2))
        raise
    if as_json:
        click.echo(json.dumps({"ok": True, "logs": [log._asdict() for log in checked[-1]]}, indent=2))
        return
    for log in checked[-1]:
        shown = f", {log.shown:,} of them here" if log.shown != log.entries else ""
        pruned = f", {log.pruned:,} pruned" if log.pruned else ""
        on = f", of which {log.since:,} were there before" if log.since else ""
        click.echo(f"{log.origin}: {log.entries:,} entries of {log.account}{shown}{pruned}{on}")
    total = sum(log.entries for log in checked[-1])
    click.echo(f"OK: {total:,} entries are all that the log's signer says there are of the account")


def _header(told: dict[str, Any], before: dict[str, int], *, complete: bool) -> dict[str, Any]:
    logs = [{**part, "since_entries": before.get(part["log"], 0)} for part in told["logs"]]
    return {
        "format": FORMAT,
        "account": told["account"],
        "keys": told["keys"],
        "logs": logs,
        "complete": complete,
    }


def _counts(file: Path) -> dict[str, int]:
    """How many entries an older file says there were, by log."""
    with file.open() as lines:
        try:
            header = json.loads(lines.readline())
            return {part["log"]: int(part["entries"]) for part in header["logs"]}
        except (ValueError, KeyError, TypeError):
            raise InvalidRequest(f"{file} is not a file of an account's heads or entries") from None


def _rows(control: Control, log: str, entries: int) -> Iterator[str]:
    """The lines of one log."""
    for first in range(0, entries, _PAGE):
        limit = min(_PAGE, entries - first)
        told = control.ask("ListAccountEntries", log=log, first=first, limit=limit)
        rows = told["entries"]
        for row in rows:
            yield json.dumps({"log": log, "index": row["index"], "entry": row["entry"]}) + "\n"
        leaves = b64encode(b"".join(b64decode(row["leaf"]) for row in rows)).decode()
        yield json.dumps({"log": log, "leaves": leaves}) + "\n"
        if told["disclosed"]:
            yield json.dumps({"log": log, "disclosed": told["disclosed"]}) + "\n"


def _copy(source: IO[str], target: IO[str]) -> None:
    while text := source.read(_IN_MEMORY):
        target.write(text)
