"""Commands that prove what audit logs hold, and the one that replaces the key that signs them."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from keystead import config as configs
from keystead.cli.client import Control, url_option
from keystead.core.errors import ConfigError, NotFound

WAIT_SECONDS: Final = 15.0  # for the checkpoint that covers an event; one comes about once a second
_LOOK_SECONDS: Final = 0.25
_DAY: Final = 86_400.0

_dir = click.option(
    "--audit-dir",
    type=click.Path(path_type=Path),
    help="Prove it from these files instead of asking the service.",
)
_output = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write it there. [default: standard output]"
)


@click.command(
    epilog="""\b
Examples:
  keystead audit prove keystead-1f2e3d4c5b6a7988/w0/567 -o proof.json
  keystead audit prove 1f0c2a77-9c1e-4b0a-8d42-000000000017 --audit-dir /var/lib/keystead/audit
  keystead verify proof.json --key /safe/audit.vkey"""
)
@click.argument("event", metavar="EVENT-OR-REQUEST")
@_dir
@_output
@url_option
def prove(event: str, audit_dir: Path | None, output: Path | None, control_url: str | None) -> None:
    """Prove that an event is in its log, so that it can be checked with the verifier key alone.

    An event's name is its log and its number there; of a request id all events are proven, one a line. The service
    proves to an account what concerns it, the files prove everything. An event of just now waits for the log's next
    checkpoint, 15 seconds at most.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        proofs, pending = _of_files(audit_dir, event) if audit_dir else _of_service(control_url, event)
        if not pending:
            break
        if time.monotonic() > deadline:
            raise NotFound(f"no checkpoint covers {pending[0]} yet: is its log still written?")
        time.sleep(_LOOK_SECONDS)
    _write(output, "".join(f"{proof}\n" for proof in proofs))


@click.command(
    epilog="""\b
Examples:
  keystead audit consistency kept/w0-in-may -o consistency.json
  keystead verify consistency.json --key /safe/audit.vkey"""
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@_dir
@_output
@url_option
def consistency(
    checkpoint: Path, audit_dir: Path | None, output: Path | None, control_url: str | None
) -> None:
    """Prove that a log begins with all that it held when an older checkpoint was signed.

    CHECKPOINT is a file that was kept: a copy of a log's `checkpoint`, or what `keystead audit checkpoints` printed;
    with several checkpoints in it, one is proven a line.
    """
    proofs = []
    for note in kept_notes(checkpoint):
        if audit_dir is not None:
            from keystead.app.offline import prove_consistency  # noqa: PLC0415 - imports the audit room

            proofs.append(prove_consistency(audit_dir, note))
        else:
            told = Control(control_url).ask("ProveConsistency", checkpoint=note)
            proofs.append(json.dumps(told["proof"]))
    _write(output, "".join(f"{proof}\n" for proof in proofs))


@click.command(
    epilog="""\b
Examples:
  keystead audit checkpoints -o kept/$(date -I)
  keystead verify /var/lib/keystead/audit --key /safe/audit.vkey --since kept/2026-01-31"""
)
@_output
@url_option
def checkpoints(output: Path | None, control_url: str | None) -> None:
    """Print the newest checkpoints of all logs, to be kept where the service has no power.

    Whoever has kept one can tell later whether the log was cut, forked or rolled back to before it.
    """
    told = Control(control_url).ask("ListCheckpoints")
    _write(output, "\n".join(told["checkpoints"]))


@click.command(
    "rotate-key",
    epilog="""\b
Examples:
  keystead audit rotate-key --config /var/lib/keystead/keystead.toml
  keystead audit rotate-key --config /var/lib/keystead/keystead.toml --overlap-days 0""",
)
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
@click.option(
    "--overlap-days",
    type=click.FloatRange(0, 366),
    default=7.0,
    show_default=True,
    help="How long the old key signs beside the new one; 0 if it may be stolen.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate_key(path: Path, overlap_days: float, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Replace the key that signs the audit's checkpoints, also while the service runs.

    The old key signs that the new one follows it, so verifiers that know the old one go on working. The seal is opened
    with its secret from where `keystead serve` takes it. Hand the new verifier key to all who verify.
    """
    from keystead.app import rekeying  # noqa: PLC0415 - imports the database library
    from keystead.app.installation import SystemClock, local_secrets, system_random  # noqa: PLC0415 - as above

    secrets = local_secrets(os.environ, _prompt if sys.stdin.isatty() else None)
    rotated = rekeying.rotate(
        configs.load(path), secrets, SystemClock(), system_random, overlap_seconds=overlap_days * _DAY
    )
    if as_json:
        click.echo(json.dumps({"old": rotated.old, "new": rotated.new, "number": rotated.number}, indent=2))
        return
    click.echo(
        f"Key number {rotated.number} signs the audit from now on. Keep its verifier key away from this machine:\n"
        f"  {rotated.new}"
    )


@click.command(
    "witness-key",
    epilog="\b\nExample:\n  keystead audit witness-key --config /var/lib/keystead/keystead.toml",
)
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
def witness_key(path: Path) -> None:
    """Print the verifier key of this installation as a witness of others' audit logs.

    It is made the first time. Others set it as witness_by.vkey, and verify with it.
    """
    from keystead.app import witnessing  # noqa: PLC0415 - imports the database library
    from keystead.app.installation import (  # noqa: PLC0415 - as above
        Installation,
        SystemClock,
        local_secrets,
        system_random,
    )

    secrets = local_secrets(os.environ, _prompt if sys.stdin.isatty() else None)
    installation = Installation.open(configs.load(path), secrets, SystemClock(), system_random)
    click.echo(witnessing.signer(installation).verifier.vkey)


def kept_notes(path: Path) -> list[str]:
    """The notes in a file of checkpoints; the text of a checkpoint has no empty lines."""
    try:
        parts = path.read_text().strip("\n").split("\n\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the checkpoint {path} cannot be read ({error}): name another") from None
    notes = [
        f"{text.lstrip()}\n\n{signatures}\n"
        for text, signatures in zip(parts[::2], parts[1::2], strict=False)
    ]
    if not notes:
        raise ConfigError(f"{path} holds no checkpoint: name a file that does")
    return notes


def _of_service(control_url: str | None, event: str) -> tuple[list[str], list[str]]:
    told: dict[str, Any] = Control(control_url).ask("ProveEvent", event=event)
    if told["missing"]:
        click.echo(f"There may be more: {told['missing']}.", err=True)
    return [json.dumps(proof) for proof in told["proofs"]], told["pending"]


def _of_files(audit_dir: Path, event: str) -> tuple[list[str], list[str]]:
    from keystead.app.offline import prove as of_files  # noqa: PLC0415 - imports the audit room

    return of_files(audit_dir, event)


def _write(output: Path | None, text: str) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text)


def _prompt(text: str) -> str:
    return str(click.prompt(text, hide_input=True, err=True))
