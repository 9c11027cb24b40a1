"""Commands that need no service: inspect, verify, audit, version."""

import base64
import binascii
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from keystead import __version__
from keystead.cli.accountlogs import FORMAT as ACCOUNT_FORMAT
from keystead.cli.accountlogs import account_head, fetch, verify_account_file
from keystead.cli.app import Unreachable
from keystead.cli.export import export
from keystead.cli.proofs import checkpoints, consistency, kept_notes, prove, rotate_key, witness_key
from keystead.cli.query import evidence, query, reach, who_used
from keystead.cli.retention import hold, prune, redact
from keystead.core import blob
from keystead.core.errors import AuditDamaged, InvalidCiphertext, InvalidRequest

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_LONGEST: Final = 1 << 20  # bytes of something that may be a blob
_ALGORITHMS: Final = {blob.ALGORITHM_XAES_256_GCM_COMMITTING: "XAES-256-GCM with a key commitment"}


@click.command()
@_json
def version(as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Print the version."""
    click.echo(json.dumps({"version": __version__}) if as_json else f"keystead {__version__}")


@click.command(
    epilog="""\b
Examples:
  keystead inspect secret.bin
  aws kms encrypt ... --query CiphertextBlob --output text | keystead inspect -
  keystead inspect S1NCAQEk..."""
)
@click.argument("ciphertext", metavar="FILE-OR-BLOB")
@_json
def inspect(ciphertext: str, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Say which key and version a ciphertext hangs on, without any secret.

    Takes a file, base64 text, or - for standard input. Nothing in a ciphertext is proven before it is decrypted.
    """
    data = _ciphertext(ciphertext)
    try:
        parsed = blob.parse(data)
    except InvalidCiphertext:
        raise InvalidRequest(
            f"this is not a Keystead ciphertext blob: {len(data)} bytes that do not begin with "
            f"{blob.MAGIC[:3].decode()!r} and version 1, or are too short"
        ) from None
    told = {
        "format": "Keystead ciphertext blob",
        "version": data[3],
        "algorithm": _ALGORITHMS[data[4]],
        "key_id": parsed.key_id,
        "key_version": parsed.version,
        "bytes": len(data),
        "plaintext_bytes": len(parsed.sealed) - blob.SEALED_BYTES,
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        click.echo(f"{name.replace('_', ' '):16} {value}")


@click.command(
    epilog="""\b
Examples:
  keystead verify /var/lib/keystead/audit --key /safe/audit.vkey
  keystead verify /backup/audit/w0 --key keystead-1f2e3d4c+...+...
  keystead verify /var/lib/keystead/audit --key audit.vkey --since kept/may --witness witness.vkey
  keystead verify proof.json --key /safe/audit.vkey"""
)
@click.argument("path", metavar="AUDIT-DIR-OR-FILE", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "--vkey",
    required=True,
    metavar="KEY-OR-FILE",
    help="The public key, or a file that holds it; one that was replaced since will do.",
)
@click.option(
    "--since",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Checkpoints that were kept: the logs must still begin with what they signed.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="KEY-OR-FILE",
    help="The public key of a witness, which must have cosigned.",
)
@click.option(
    "--ask", metavar="URL", help="Also ask the witness, there, whether it has seen this log or another."
)
@click.option(
    "--ask-ca", type=click.Path(path_type=Path), help="The certificate authorities of its server, PEM."
)
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An account's file: its heads must have left nothing out.",
)
@_json
def verify(
    path: Path,
    key: str,
    since: tuple[Path, ...],
    witnesses: tuple[str, ...],
    heads: tuple[Path, ...],
    ask: str | None,
    ask_ca: Path | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Check audit logs with nothing but the public key, and name the first damaged record.

    Checks every record and every hash under the signed checkpoint, and the committed records beyond it. Exits
    with 4 when something is damaged. Take the key from a copy that was kept elsewhere, not from beside the logs.

    A file of proofs, as `keystead audit prove` and `keystead audit consistency` write them, is checked as well, and
    one of an account's entries or heads (`keystead audit fetch`, `keystead audit account-head`): then --since names an
    older such file. With a directory, --head names files whose account heads the logs must agree with.
    """
    from keystead.app.offline import verify_audit  # noqa: PLC0415 - imports the audit room

    if path.is_file():
        with path.open("rb") as file:
            of_account = f'"{ACCOUNT_FORMAT}"'.encode() in file.read(200)
        if of_account:
            verify_account_file(path, key, since, as_json=as_json)
            return
        _verify_proofs(path, key, since, witnesses, as_json=as_json)
        return
    if ask is not None and len(witnesses) != 1:
        raise click.UsageError("--ask goes with one --witness, whose address it is.")
    kept = [note for file in since for note in kept_notes(file)]

    def progress(origin: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{origin}: {done:,} of {total:,} records", nl=done == total, err=True)

    try:
        report = verify_audit(path, key, progress, witnesses=witnesses, since=kept, heads=heads)
        if ask is not None:
            _ask_witness(path, witnesses[0], ask, ask_ca)
    except AuditDamaged as found:
        if as_json:
            damage = [
                {"origin": log, "record": record, "file": file, "problem": problem}
                for log, record, file, problem in found.damage
            ]
            click.echo(json.dumps({"ok": False, "damage": damage}, indent=2))
        raise
    if as_json:
        logs = [
            {
                "origin": log.origin,
                "records": log.size,
                "root": log.root.hex(),
                "beyond_checkpoint": log.tail,
                "pruned": log.pruned,
                "complete_from": log.minimum,
                "account_heads": log.accounts,
                "cosigned": [at._asdict() for at in log.cosigned],
            }
            for log in report.logs
        ]
        click.echo(json.dumps({"ok": True, "records": report.records, "logs": logs}, indent=2))
        return
    for log in report.logs:
        beyond = f", {log.tail} beyond the checkpoint" if log.tail else ""
        click.echo(f"{log.origin}: {log.size:,} records, root {log.root.hex()[:16]}...{beyond}")
        if log.pruned:
            click.echo(
                f"  {log.pruned:,} pruned, whose hashes are left; complete from record {log.minimum:,} on"
            )
        if log.accounts:
            click.echo(f"  {log.accounts:,} account heads leave nothing out")
        for at in log.cosigned:
            click.echo(f"  cosigned by {at.witness}: {at.size:,} records, on {_moment(at.time)}")
    click.echo(f"OK: {report.records:,} records in {len(report.logs)} logs are as they were signed")


@click.group()
def audit() -> None:
    """Read audit logs on this machine."""


for command in (
    account_head,
    checkpoints,
    consistency,
    evidence,
    export,
    fetch,
    hold,
    prove,
    prune,
    query,
    reach,
    redact,
    rotate_key,
    who_used,
    witness_key,
):
    audit.add_command(command)


@audit.command(
    "cat",
    epilog="""\b
Examples:
  keystead audit cat /var/lib/keystead/audit --last 20
  keystead audit cat /var/lib/keystead/audit/w0 | jq 'select(.outcome != "Success")'""",
)
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--last", type=click.IntRange(1), help="Only so many of each log.")
def audit_cat(audit_dir: Path, last: int | None) -> None:
    """Print the records of one log, or of all logs in a directory, as JSON lines.

    A log that is being written is shown up to its last signed checkpoint and what is committed beyond. This does
    not check anything: `keystead verify` does.
    """
    from keystead.app.offline import read_audit  # noqa: PLC0415 - as above

    for entry in read_audit(audit_dir, last):
        click.echo(entry.decode(errors="replace"))


def _ask_witness(path: Path, witness: str, url: str, authorities: Path | None) -> None:
    """Ask a witness whether it has seen these logs; raises `AuditDamaged` if it has seen others."""
    from keystead.app.witnessing import ask  # noqa: PLC0415 - as above
    from keystead.jobs.witnesses import NoAnswer  # noqa: PLC0415 - as above

    try:
        ask(path, witness, url, authorities)
    except NoAnswer as error:
        raise Unreachable(f"the witness at {url} has not said what it has seen: {error}") from None


def _verify_proofs(
    path: Path, key: str, since: tuple[Path, ...], witnesses: tuple[str, ...], *, as_json: bool
) -> None:
    """Check a file of proofs, and say what each proves."""
    from keystead.app.offline import check_proofs  # noqa: PLC0415 - as above

    if since:
        raise click.UsageError(
            "--since goes with a directory of logs; a proof of consistency is a file of its own."
        )
    proven = check_proofs(path, key, witnesses)
    if as_json:
        told = [
            {
                "origin": one.origin,
                "records": one.size,
                "cosigned": one.cosigned,
                **(
                    {"begins_with": one.since}
                    if one.entry is None
                    else {"event": f"{one.origin}/{one.place}", "entry": one.entry.decode()}
                ),
            }
            for one in proven
        ]
        click.echo(json.dumps({"ok": True, "proven": told}, indent=2))
        return
    for one in proven:
        signed = f"the log of {one.size:,} records whose root is signed"
        for witness, seconds in one.cosigned.items():
            signed += f", and cosigned by {witness} on {_moment(seconds)}"
        if one.entry is None:
            click.echo(f"OK: the first {one.since:,} records of {one.origin} are those of {signed}")
        else:
            click.echo(f"OK: {one.origin}/{one.place} is in {signed}:\n{one.entry.decode()}")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ciphertext(argument: str) -> bytes:
    """The bytes that an argument names: a file's, standard input's, or its own from base64."""
    if argument == "-":
        data = sys.stdin.buffer.read(_LONGEST)
    elif Path(argument).is_file():
        with Path(argument).open("rb") as file:
            data = file.read(_LONGEST)
    else:
        data = argument.encode()
    if data.startswith(blob.MAGIC):
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return data
