"""Receivers of the audit, which take everything at once and count it: what `keystead bench --sinks` delivers to.

    receivers = Receivers(directory)
    receivers.settings                # tables of a configuration: a sink of each kind that needs no broker
    receivers.counts()                # {"file": 1000, "syslog": 1000, "otlp": 1000, "webhook": 1000}

They share the machine with the service, which real ones do not: so they have the lowest priority, and their processor
time is nobody's in the tables. The program behind them is this module: ``python -m keystead.testing.bench.receivers``.
"""

import asyncio
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.testing.bench.load import Request, ask
from keystead.testing.bench.processes import BenchmarkError, Server, await_port, free_port

SINKS: Final = ("file", "syslog", "otlp", "webhook")
OK: Final = 200
_NICE: Final = 19
_COUNTS: Final = "/counts"
_TABLES: Final = """\
[[sink]]
name = "file"
kind = "file"
path = {path}

[[sink]]
name = "syslog"
kind = "syslog"
url = "tcp://127.0.0.1:{syslog}"

[[sink]]
name = "otlp"
kind = "otlp"
url = "http://127.0.0.1:{http}/otlp"

[[sink]]
name = "webhook"
kind = "webhook"
url = "http://127.0.0.1:{http}/webhook"
secret_file = {secret}
"""
_EACH: Final = {"/otlp": b'"keystead.index"', "/webhook": b"\n"}  # what a body has one of for each event


class Receivers:
    """The receivers of a directory that must exist. ``settings`` names four sinks: file, syslog, otlp, webhook."""

    def __init__(self, directory: Path) -> None:
        syslog, http = free_port(), free_port()
        self._events = directory / "events"
        secret = directory / "secret"
        secret.write_text(f"{secrets.token_hex()}\n")
        secret.chmod(0o600)
        self.settings = _TABLES.format(
            path=json.dumps(str(self._events)),
            secret=json.dumps(str(secret)),
            syslog=syslog,
            http=http,
        )
        self._address = ("127.0.0.1", http)
        command = (sys.executable, "-m", "keystead.testing.bench.receivers", str(syslog), str(http))
        self._server = Server(command, directory / "log")
        try:
            await_port(http, self._server)
        except BaseException:
            self._server.stop()
            raise

    def counts(self) -> Mapping[str, int]:
        """How many events each has taken; of the file, how many lines are in it."""
        ((status, body),) = ask(self._address, [Request(f"GET {_COUNTS} HTTP/1.1\r\n\r\n".encode())])
        if status != OK:
            raise BenchmarkError(f"the receivers answered {status}")
        counts: dict[str, int] = json.loads(body)
        lines = sum(path.read_bytes().count(b"\n") for path in self._events.glob("*.jsonl*"))
        return {"file": lines, **counts}

    def stop(self) -> None:
        """Stop them."""
        self._server.stop()


async def receive(syslog: int, http: int) -> None:
    """Listen on two ports of loopback until cancelled."""
    counts: Counter[str] = Counter(syslog=0, otlp=0, webhook=0)

    async def take_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while size := (await reader.readuntil(b" ")).strip():  # RFC 6587, section 3.4.1: octet counting
                await reader.readexactly(int(size))
                counts["syslog"] += 1
        writer.close()

    async def take_requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                named = dict(header.split(": ", 1) for header in headers if header)
                body = await reader.readexactly(int(named.get("content-length", "0")))
                path = line.split()[1]
                if path in _EACH:
                    counts[path.lstrip("/")] += body.count(_EACH[path])
                answer = json.dumps(counts if path == _COUNTS else {}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                    % (len(answer), answer)
                )
                await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(take_messages, "127.0.0.1", syslog, limit=1 << 20),
        await asyncio.start_server(take_requests, "127.0.0.1", http, limit=1 << 20) as server,
    ):
        await server.serve_forever()


if __name__ == "__main__":
    os.nice(_NICE)
    asyncio.run(receive(int(sys.argv[1]), int(sys.argv[2])))
