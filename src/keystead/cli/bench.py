"""`keystead bench`: how fast is it on this machine?

Starts a service of its own, with the audit on, loads it and stops it again. With ``--peers`` the same rounds
run side by side with OpenBao's transit engine. docs/benchmarks.md says what is measured and how.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from typing_extensions import override

from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.testing.bench import campaign
from keystead.testing.bench import report as reports
from keystead.testing.bench.keystead import Keystead
from keystead.testing.bench.openbao import OpenBao
from keystead.testing.bench.processes import BenchmarkError, filesystem, machine
from keystead.testing.bench.receivers import SINKS, Receivers
from keystead.testing.bench.report import Report
from keystead.testing.bench.target import OPERATIONS, Target

DEV: Final = (sys.executable, "-m", "keystead", "dev")
DELIVERY_SECONDS: Final = 1200.0  # for all that the rounds have left
_LOOK_SECONDS: Final = 0.5
_SETTLED_SECONDS: Final = (
    3.0  # entries are signed within a second, and how far a sink is is told every second
)
_IN_MEMORY: Final = ("tmpfs", "ramfs")


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers above zero, separated by commas."""

    name = "N[,N...]"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse what was typed."""
        parts = str(value).split(",")
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail("expected whole numbers above zero such as 1,16,64", param, ctx)
        return tuple(map(int, parts))


class Operations(click.ParamType[tuple[str, ...]]):
    """Names of operations, separated by commas."""

    name = "NAME[,NAME...]"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse what was typed."""
        parts = tuple(str(value).split(","))
        if unknown := set(parts) - set(OPERATIONS):
            self.fail(f"{min(unknown)!r} is not one of {', '.join(OPERATIONS)}", param, ctx)
        return parts


@click.command("bench")
@click.option("--peers", is_flag=True, help="Measure OpenBao beside it (needs `make install-bench`).")
@click.option(
    "--sinks", is_flag=True, help="Deliver the audit to a file, syslog, OTLP and a webhook all the while."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 120), default=2.0, show_default=True, help="Of a round."
)
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True, help="Of each figure.")
@click.option("--connections", type=Numbers(), default="1,16,64", show_default=True, help="How many at once.")
@click.option(
    "--operations", type=Operations(), default=",".join(OPERATIONS), show_default=True, help="Which."
)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Of the service.")
@click.option("--starts", type=click.IntRange(0, 99), default=5, show_default=True, help="To be timed.")
@click.option(
    "--no-open-loop", is_flag=True, help="Leave out the open loop at 50 % and 80 % of the throughput."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the servers keep their data while they are measured; a real disk, please.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result."
)
@click.option(
    "--write-docs",
    type=click.Path(path_type=Path, dir_okay=False),
    is_flag=False,
    flag_value="docs/benchmarks.md",
    help="Write the result into this page.",
)
def bench(
    *,
    peers: bool,
    sinks: bool,
    seconds: float,
    rounds: int,
    connections: Sequence[int],
    operations: Sequence[str],
    workers: int,
    starts: int,
    no_open_loop: bool,
    directory: Path | None,
    json_file: Path | None,
    write_docs: Path | None,
) -> None:
    """Measure operations a second, latency and processor time, with the audit on.

    Starts a service of its own on free ports with its data in a temporary directory, and loads it from this
    process with requests that were signed beforehand.
    """
    if sinks and peers:
        raise click.UsageError(
            "--sinks and --peers exclude each other: the figures are to be compared with those of a run of their own."
        )
    plan = campaign.Plan(
        operations=operations,
        connections=connections,
        seconds=seconds,
        rounds=rounds,
        shares=() if no_open_loop else (0.5, 0.8),
    )
    try:
        report = measure(
            plan,
            directory or Path(tempfile.gettempdir()),
            workers=workers,
            starts=starts,
            peers=peers,
            sinks=sinks,
        )
        click.echo(report.as_text())
        if not report.quiet:
            click.echo(
                f"warning: other processes took {report.others:.0%} of the machine in one of the rows: "
                "measure again when it is quiet",
                err=True,
            )
        if json_file is not None:
            json_file.write_text(report.as_json())
        if write_docs is not None:
            reports.write_docs(write_docs, report.as_markdown())
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    for target, faults in report.faults.items():
        told = f"{faults} answers of {target} were errors, wrong or missing"
        if target == Keystead.name:
            raise click.ClickException(f"{told}: the figures above are not to be trusted")
        click.echo(f"warning: {told}", err=True)


def measure(
    plan: campaign.Plan, directory: Path, *, workers: int, starts: int, peers: bool, sinks: bool = False
) -> Report:
    """Start the servers, measure them, stop them."""
    kind = filesystem(directory)
    if kind in _IN_MEMORY:
        click.echo(
            f"warning: {directory} is in memory ({kind}), so the audit's syncs cost nothing and the figures "
            "flatter: name a directory on a disk with --directory",
            err=True,
        )
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keystead-bench-", dir=directory)))
        own = base / "keystead"
        own.mkdir()
        receivers = None
        if sinks:
            theirs = base / "receivers"
            theirs.mkdir()
            receivers = Receivers(theirs)
            stack.callback(receivers.stop)
        tables = receivers.settings if receivers else ""
        keystead = Keystead(DEV, own, signed, workers=workers, sinks=tables)
        stack.callback(keystead.stop)
        targets: list[Target] = [keystead]
        if peers:
            other = base / "openbao"
            other.mkdir()
            openbao = OpenBao(other)
            stack.callback(openbao.stop)
            targets.append(openbao)
        rows = campaign.run(targets, plan, lambda text: click.echo(text, err=True))
        taken = delivered(keystead, receivers) if receivers else {}
        if starts:
            click.echo(f"start to first answer, {starts} times", err=True)
        return Report(
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            machine=machine(base),
            settings={
                "workers": workers,
                "rounds": plan.rounds,
                "seconds": plan.seconds,
                "connections": list(plan.connections),
                "operations": list(plan.operations),
                "sinks": list(taken),
            },
            versions={target.name: target.version for target in targets},
            rows=rows,
            start_seconds=[keystead.start_seconds() for _ in range(starts)],
            delivered=taken,
        )


def delivered(keystead: Keystead, receivers: Receivers) -> Mapping[str, int]:
    """How many events each sink has taken; raises `BenchmarkError` when one has not taken everything."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    while len(behind := keystead.behind()) < len(SINKS) or any(behind.values()):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"sinks have not taken all of the audit: {behind}")
        time.sleep(_LOOK_SECONDS)
    return {name: receivers.counts().get(name, 0) for name in SINKS}


def signed(settings: Mapping[str, str], host: str, operation: str, body: bytes) -> bytes:
    """A whole request to AWS KMS's API, signed now."""
    headers = sign(
        "POST",
        host,
        "/",
        {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"TrentService.{operation}"},
        body,
        credentials=Credential(
            settings["AWS_ACCESS_KEY_ID"], Secret(settings["AWS_SECRET_ACCESS_KEY"].encode())
        ),
        region=settings["AWS_REGION"],
        service="kms",
        now=time.time(),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body
