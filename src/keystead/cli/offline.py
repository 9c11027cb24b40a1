"""Commands that need no service: inspect, verify, audit, version."""

import base64
import binascii
import json
import sys
from pathlib import Path
from typing import Final

import click

from keystead import __version__
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
  keystead verify /backup/audit/w0 --key keystead-1f2e3d4c+...+..."""
)
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option("--key", required=True, metavar="KEY-OR-FILE", help="The public key, or a file that holds it.")
@_json
def verify(audit_dir: Path, key: str, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Check audit logs with nothing but the public key, and name the first damaged record.

    Checks every record and every hash under the signed checkpoint, and the committed records beyond it. Exits
    with 4 when something is damaged. Take the key from a copy that was kept elsewhere, not from beside the logs.
    """
    from keystead.app.offline import verify_audit  # noqa: PLC0415 - imports the audit room

    def progress(origin: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{origin}: {done:,} of {total:,} records", nl=done == total, err=True)

    try:
        report = verify_audit(audit_dir, key, progress)
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
            {"origin": log.origin, "records": log.size, "root": log.root.hex(), "beyond_checkpoint": log.tail}
            for log in report.logs
        ]
        click.echo(json.dumps({"ok": True, "records": report.records, "logs": logs}, indent=2))
        return
    for log in report.logs:
        beyond = f", {log.tail} beyond the checkpoint" if log.tail else ""
        click.echo(f"{log.origin}: {log.size:,} records, root {log.root.hex()[:16]}...{beyond}")
    click.echo(f"OK: {report.records:,} records in {len(report.logs)} logs are as they were signed")


@click.group()
def audit() -> None:
    """Read audit logs on this machine."""


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
