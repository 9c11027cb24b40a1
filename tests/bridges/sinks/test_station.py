"""All sinks at once: each in its own thread, found by name, and none in the way of another."""

import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from bridges.sinks.samples import HttpReceiver, RealLog, SystemClock
from keystead.audit.disk import LocalDisk
from keystead.audit.follow import Follower
from keystead.bridges.renderings import RENDERINGS
from keystead.bridges.sinks.station import KINDS, Station, connect
from keystead.config import SINK_FORMATS, SINK_KINDS
from keystead.config import Sink as Settings
from keystead.core.errors import ConfigError


def station(data: Path, *sinks: Settings, heard: list[tuple[str, str]] | None = None) -> Station:
    """The sinks of an installation, and what they give notice of."""
    notices = [] if heard is None else heard
    disk = LocalDisk()
    return Station(
        sinks,
        data,
        follower=lambda: Follower(data / "audit", disk=disk),
        disk=disk,
        clock=SystemClock(),
        random=bytes,
        notice=lambda name, reason: notices.append((name, reason)),
    )


def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_sink_that_hangs_for_ever_holds_up_no_other(tmp_path: Path) -> None:
    """One receiver takes connections and says nothing, one is not there, and the third has everything at once."""
    log = RealLog(tmp_path)
    log.write(1000)
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-many-characters")
    with socket.create_server(("127.0.0.1", 0)) as silent, HttpReceiver() as hung:
        hung.hang.clear()
        made = station(
            tmp_path,
            Settings(
                name="silent",
                kind="otlp",
                url=f"http://127.0.0.1:{silent.getsockname()[1]}/",
                deadline_seconds=300,
            ),
            Settings(name="hung", kind="webhook", url=hung.url, secret_file=secret, deadline_seconds=300),
            Settings(name="gone", kind="syslog", url="tcp://127.0.0.1:1"),
            Settings(name="files", kind="file", path=tmp_path / "events"),
        )
        made.start()
        try:
            until(lambda: made.status()[3].delivered == 1000)
            until(lambda: made.status()[2].errors > 0)
            log.write(1000)
            until(lambda: made.status()[3].delivered == 2000)
            status = {each.name: each for each in made.status()}
            assert [status[name].delivered for name in ("silent", "hung", "gone")] == [0, 0, 0]
            assert status["hung"].lag_entries >= 1000
            assert status["gone"].last_error == "no connection: Connection refused"
            assert (status["files"].kind, status["files"].last_error) == ("file", "")
        finally:
            began = time.monotonic()
            made.close(0.5)
            assert time.monotonic() - began < 5
    log.close()


def test_a_station_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Each sink has its own cursors; closing waits for the threads, so nothing comes twice."""
    log = RealLog(tmp_path)
    log.write(500)
    settings = Settings(name="files", kind="file", path=tmp_path / "events")
    for total in (500 + 1, 700 + 2):  # with a checkpoint event each
        made = station(tmp_path, settings)
        made.start()
        until(lambda total=total: (tmp_path / "events").exists() and _lines(tmp_path / "events") >= total)  # type: ignore[misc]  # a default binds it
        made.close(30)
        log.write(200)
    assert _lines(tmp_path / "events") == 700 + 2
    assert (tmp_path / "sinks" / "files" / "w0.cursor").exists()
    log.close()


def test_a_receiver_that_refuses_everything_is_waited_for(tmp_path: Path) -> None:
    """Its lag grows and its trouble is told, once in the log; what it refused is there when it is put right."""
    log = RealLog(tmp_path)
    log.write(500)
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-many-characters")
    heard: list[tuple[str, str]] = []
    letters = tmp_path / "sinks" / "proxy" / "dead-letter.jsonl"
    with HttpReceiver() as receiver:
        receiver.default = (400, {}, b"")
        made = station(
            tmp_path,
            Settings(name="proxy", kind="webhook", url=receiver.url, secret_file=secret),
            heard=heard,
        )
        made.start()
        try:
            until(lambda: made.status()[0].errors >= 2)
            log.write(500)
            until(lambda: made.status()[0].lag_entries == 1000)
            (status,) = made.status()
            assert (status.delivered, status.parked) == (0, 0)
            assert "it refuses every event" in status.last_error
            assert letters.read_bytes().count(b"\n") == 1
            receiver.default = (200, {}, b"")
            until(lambda: made.status()[0].delivered == 1000)
            until(lambda: made.status()[0].last_error == "")
            assert made.status()[0].lag_entries == 0
            assert heard == [("proxy", "it answers with status 400")]
        finally:
            made.close(30)
    log.close()


def _lines(directory: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in directory.iterdir())


def test_kinds_are_modules_and_the_configuration_knows_them() -> None:
    """What the configuration takes is what there is, for kinds and for forms."""
    assert set(SINK_KINDS) == KINDS
    assert set(SINK_FORMATS) == set(RENDERINGS)
    settings = {field.name for field in fields(Settings)}
    assert set().union(*SINK_KINDS.values()) < settings


def test_a_kind_that_is_none_is_refused() -> None:
    """By the package's own listing: what is not a module there is not looked for elsewhere."""
    with pytest.raises(
        ConfigError, match=re.escape("no kind of sink 'os': file, kafka, otlp, syslog, webhook")
    ):
        connect(Settings(name="s", kind="os"), SystemClock(), LocalDisk())


def test_kafka_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the start ends with what to install."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "keystead.bridges.sinks.adapters.kafka", raising=False)
    with pytest.raises(ConfigError, match=re.escape("pip install 'keystead[kafka]'")):
        connect(Settings(name="s", kind="kafka", brokers="h:1", topic="t"), SystemClock(), LocalDisk())


def test_every_kind_has_its_page(checkout: Path) -> None:
    """The guide tells of each kind how it acknowledges."""
    page = (checkout / "docs" / "guides" / "siem.md").read_text()
    assert set(re.findall(r"^### `([a-z]+)`", page, flags=re.MULTILINE)) == KINDS
