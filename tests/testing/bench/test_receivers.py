"""What the audit is delivered to while it is measured."""

import json
import socket
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead import config as configs
from keystead.testing.bench.load import Request, ask
from keystead.testing.bench.receivers import Receivers

SECONDS = 20.0


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    """Receivers that run."""
    running = Receivers(tmp_path)
    yield running
    running.stop()


def test_its_sinks_are_in_order(receivers: Receivers, tmp_path: Path) -> None:
    """A service takes the tables as they are."""
    file = tmp_path / "keystead.toml"
    file.write_text(f"data = {json.dumps(str(tmp_path))}\n{receivers.settings}")
    sinks = configs.load(file).sinks
    assert [sink.kind for sink in sinks] == ["file", "syslog", "otlp", "webhook"]


def test_each_counts_the_events_that_it_takes(receivers: Receivers) -> None:
    """A message of syslog by its length, the others by their form; what comes in pieces is whole in the end."""
    assert receivers.counts() == {"file": 0, "syslog": 0, "otlp": 0, "webhook": 0}
    at = {table["name"]: table for table in tomllib.loads(receivers.settings)["sink"]}
    port = int(at["syslog"]["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for piece in (b"5 a b", b' c10 {"x": 12', b"3}"):
            sock.sendall(piece)
            time.sleep(0.02)
    events = Path(at["file"]["path"])
    events.mkdir()
    (events / "1.jsonl").write_text("{}\n{}\n")
    (events / "2.jsonl.open").write_text("{}\n")
    address = "127.0.0.1", int(at["webhook"]["url"].rpartition("/")[0].rpartition(":")[2])
    bodies = {"/webhook": b'{"a":1}\n{"b":2}\n', "/otlp": b'[{"key":"keystead.index"}]'}
    posts = [
        Request(f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        for path, body in bodies.items()
    ]
    assert [status for status, _ in ask(address, posts)] == [200, 200]
    deadline = time.monotonic() + SECONDS
    while (counts := receivers.counts())["syslog"] < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert counts == {"file": 3, "syslog": 2, "otlp": 1, "webhook": 2}
