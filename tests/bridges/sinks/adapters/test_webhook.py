"""Events by HTTP POST: signed, in order, again and again until they are taken."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridges.sinks.samples import HttpReceiver, Request, SinkBench, SystemClock, names
from keystead.audit.disk import LocalDisk
from keystead.bridges.sinks.adapters.webhook import connect, signature
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.port import Retry
from keystead.config import Sink as Settings
from keystead.core.errors import ConfigError

SECRET = "a secret of many characters".replace(" ", "-")


def carry(receiver: HttpReceiver, secret_file: Path, **options: Any) -> SinkBench:
    """A log of three entries and a pump that carries it to the receiver."""
    bench = SinkBench(form=options.get("format", "keystead"))
    made = Settings(
        name="siem", kind="webhook", url=f"{receiver.url}/events?a=b", secret_file=secret_file, **options
    )
    bench.sink = connect(made, SystemClock(), LocalDisk())
    bench.begin()
    bench.write(3)
    bench.settle()
    return bench


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file with one secret."""
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def check(request: Request, secret: str) -> None:
    """What a receiver does: the signature is right, and the time is near."""
    parts = [part.split("=", 1) for part in request.headers["Keystead-Signature"].split(",")]
    (time,) = [value for name, value in parts if name == "t"]
    assert abs(int(time) - SystemClock.now()) < 60
    assert signature(secret.encode(), int(time), request.body) in [
        value for name, value in parts if name == "v1"
    ]


def test_each_delivery_is_signed_and_whole(secret_file: Path) -> None:
    """One event a line; together they are the log, and the signature is that of time and body."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        bench.drain()
        bench.sink.close()
    census = Census()
    for request in receiver.requests:
        check(request, SECRET)
        assert request.path == "/events?a=b"
        assert request.headers["Content-Type"] == "application/x-ndjson"
        for line in request.body.splitlines():
            census.add(line)
    census.check()
    assert len({request.headers["Keystead-Delivery"] for request in receiver.requests}) == len(
        receiver.requests
    )


def test_a_signature_is_what_anybody_can_work_out() -> None:
    """HMAC-SHA256 over the time, a dot and the body: OpenSSL gives the same."""
    told = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", "key"],  # noqa: S607 - whichever is installed
        input=b"12.body",
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert told.split("= ")[1].strip() == signature(b"key", 12, b"body")


def test_a_secret_is_replaced_without_a_gap(secret_file: Path) -> None:
    """While the file has two, each signs; it is read for each delivery."""
    new = "another-secret-of-many-characters"
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        bench.drain()
        secret_file.write_text(f"{new}\n{SECRET}\n")
        bench.write()
        bench.settle()
        bench.drain()
        bench.sink.close()
    check(receiver.requests[-1], SECRET)
    check(receiver.requests[-1], new)
    with pytest.raises(AssertionError):
        check(receiver.requests[0], new)


@pytest.mark.parametrize("text", ["", "short", f"{SECRET}\nshort"])
def test_without_a_good_secret_nothing_leaves(secret_file: Path, text: str) -> None:
    """A file without one, or with one that can be guessed, is a reason to wait for a better one."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        secret_file.write_text(text)
        with pytest.raises(Retry, match="the secret file has no secret, or one of fewer"):
            bench.pump.turn()
        secret_file.unlink()
        with pytest.raises(Retry, match="the secret file cannot be read"):
            bench.pump.turn()
        assert receiver.requests == []


def test_what_comes_again_is_the_same_delivery(secret_file: Path) -> None:
    """A receiver that was asked twice can tell by the delivery's name."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        bench.log.close()
        receiver.answers = [(503, {}, b"")]
        with pytest.raises(Retry, match="status 503"):
            bench.pump.turn()
        bench.drain()
        bench.sink.close()
    first, second = receiver.requests[:2]
    assert first.headers["Keystead-Delivery"] == second.headers["Keystead-Delivery"]
    assert first.body == second.body


def test_a_connection_that_was_closed_in_between_is_made_again(secret_file: Path) -> None:
    """A server ends a connection when it likes: that is no failure."""
    with HttpReceiver() as receiver:
        receiver.default = (204, {"Connection": "close"}, b"")
        bench = carry(receiver, secret_file)
        bench.drain()
        bench.sink.close()
    assert bench.pump.status().delivered == 3


def test_a_receiver_that_refuses_one_event_gets_the_others(secret_file: Path) -> None:
    """It goes into the dead letter file, with the reason."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        bench.log.close()
        receiver.answers = [(422, {}, b"")] * 2
        bench.drain()
        bench.sink.close()
    (line,) = bench.audit.disk.read(Path("/data/sinks/siem/dead-letter.jsonl")).splitlines()
    assert json.loads(line)["reason"] == "it answers with status 422"
    taken = [
        json.loads(line)["event"] for request in receiver.requests[2:] for line in request.body.splitlines()
    ]
    assert "keystead-test/w0/parked/0" in taken
    assert set(names(1, 2)) <= set(taken)


def test_a_receiver_that_refuses_by_what_is_in_an_event_gets_the_others(secret_file: Path) -> None:
    """Whatever else it is sent with, status 400 finds the one event, and only that is parked."""

    def picky(requests: list[Request]) -> tuple[int, dict[str, str], bytes]:
        return (400 if b"request-1" in requests[-1].body else 200), {}, b""

    with HttpReceiver() as receiver:
        receiver.judge = picky
        bench = carry(receiver, secret_file)
        bench.drain()
        bench.sink.close()
    taken = [
        json.loads(line)["event"]
        for request in receiver.requests
        if b"request-1" not in request.body
        for line in request.body.splitlines()
    ]
    expected = [*names(0), "keystead-test/w0/parked/1", *names(2), "keystead-test/w0/checkpoint/3"]
    assert taken == expected
    status = bench.pump.status()
    assert (status.delivered, status.parked) == (2, 1)
    assert "it answers with status 400" in status.parking
    assert bench.letters() == names(1)


def test_a_server_that_answers_400_to_everything_loses_nothing(secret_file: Path) -> None:
    """A wrong port or a proxy may: it is as if nobody were there, and when it is put right everything arrives."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file)
        receiver.default = (400, {}, b"")
        bench.fail(6)
        status = bench.pump.status()
        assert (status.delivered, status.parked, status.lag_entries, status.errors) == (0, 0, 3, 6)
        assert status.last_error.endswith("one that tells of a refusal: it answers with status 400")
        assert bench.letters() == names(0)
        refused = len(receiver.requests)
        receiver.default = (200, {}, b"")
        bench.drain()
        bench.sink.close()
    census = Census()
    for request in receiver.requests[refused:]:
        for line in request.body.splitlines():
            census.add(line)
    census.check()
    assert (census.count("keystead-test/w0"), census.duplicates, census.parked) == (3, 0, set())
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.last_error, status.parking) == (3, 0, "", "")


@pytest.mark.parametrize(
    ("form", "media"), [("cef", "text/plain; charset=utf-8"), ("ecs", "application/x-ndjson")]
)
def test_other_forms_go_the_same_way(secret_file: Path, form: str, media: str) -> None:
    """One event a line, whatever a line is."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, secret_file, format=form)
        bench.drain()
        bench.sink.close()
    assert {request.headers["Content-Type"] for request in receiver.requests} == {media}
    assert sum(len(request.body.splitlines()) for request in receiver.requests) == 4


def test_a_webhook_needs_a_secret() -> None:
    """Without a file that holds one it is no webhook of ours."""
    with pytest.raises(ConfigError, match="has no secret_file"):
        connect(Settings(name="s", kind="webhook", url="https://h"), SystemClock(), LocalDisk())
