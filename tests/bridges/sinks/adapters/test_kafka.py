"""Events in a Kafka topic: against librdkafka's own mock cluster, acknowledged by all replicas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from bridges.sinks.samples import SinkBench, SystemClock
from keystead.audit.disk import LocalDisk
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.port import Retry
from keystead.config import Sink as Settings
from keystead.core.errors import ConfigError

confluent_kafka = pytest.importorskip(
    "confluent_kafka", reason="the extra 'kafka' is not installed: Kafka is NOT tested"
)


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """A cluster of three brokers, which lives as long as the producer that made it."""
    owner = confluent_kafka.Producer({"test.mock.num.brokers": 3, "log_level": 0})
    metadata = owner.list_topics(timeout=10)
    yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    owner.purge()


def settings(brokers: str, topic: str, **options: Any) -> Settings:
    """A sink that sends to a topic."""
    return Settings(name="bus", kind="kafka", brokers=brokers, topic=topic, cleartext=True, **options)


def carry(made: Settings) -> SinkBench:
    """A log and a pump that carries it to the brokers."""
    from keystead.bridges.sinks.adapters.kafka import connect  # noqa: PLC0415 - only where Kafka is there

    bench = SinkBench()
    bench.sink = connect(made, SystemClock(), LocalDisk())
    bench.sink.remember([])
    bench.begin()
    return bench


def consume(brokers: str, topic: str, many: int) -> list[Any]:
    """The messages of a topic."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
    found: list[Any] = []
    try:
        for _ in range(400):
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.append(message)
            if len(found) >= many:
                break
    finally:
        consumer.close()
    return found


def test_events_are_in_one_partition_of_their_log_in_order(brokers: str) -> None:
    """The key is the log; name and index are headers; together they are the log."""
    bench = carry(settings(brokers, "audit"))
    bench.write(20)
    bench.settle()
    bench.drain()
    bench.sink.close()
    found = consume(brokers, "audit", 21)
    entries = [message for message in found if message.key() == b"keystead-test/w0"]
    assert len({message.partition() for message in entries}) == 1
    assert [dict(message.headers())["index"] for message in entries] == [b"%d" % index for index in range(20)]
    assert dict(entries[3].headers())["event"] == b"keystead-test/w0/3"
    assert entries[3].timestamp()[1] == 1_000_000_000
    census = Census()
    for message in found:
        census.add(message.value())
    census.check()
    assert census.duplicates == 0


def test_brokers_that_are_not_there_are_waited_for_and_no_longer() -> None:
    """Nothing counts, and the next attempt begins with the same event."""
    bench = carry(settings("127.0.0.1:1", "audit", deadline_seconds=1))
    bench.write()
    bench.settle()
    for _ in range(2):
        with pytest.raises(Retry, match=r"Kafka: _MSG_TIMED_OUT|have not acknowledged in time"):
            bench.pump.turn()
    bench.sink.close()
    assert bench.pump.status().delivered == 0


def test_a_library_that_never_answers_is_not_waited_for() -> None:
    """Our own deadline ends it, whatever librdkafka does."""

    class Leaping(SystemClock):
        """Ten seconds go by whenever it is looked at."""

        time = 0.0

        @override
        def monotonic(self) -> float:
            self.time += 10.0
            return self.time

    from keystead.bridges.sinks.adapters.kafka import KafkaSink  # noqa: PLC0415 - only where Kafka is there

    bench = SinkBench()
    options = {"bootstrap.servers": "127.0.0.1:1"}
    bench.sink = KafkaSink(options, "audit", clock=Leaping(), seconds=5)
    bench.begin()
    bench.write()
    bench.settle()
    with pytest.raises(Retry, match="have not acknowledged in time"):
        bench.pump.turn()


def test_an_event_that_is_too_large_is_parked(brokers: str) -> None:
    """The broker would never take it; the others arrive."""
    bench = carry(settings(brokers, "large"))
    bench.sink._options["message.max.bytes"] = 20_000  # type: ignore[attr-defined]  # a broker's limit is higher
    bench.write()
    bench.write(1, detail="x" * 30_000)
    bench.write()
    bench.settle()
    bench.drain()
    bench.sink.close()
    assert bench.pump.status().parked == 1
    names = [dict(message.headers())["event"] for message in consume(brokers, "large", 4)]
    assert sorted(names) == sorted(
        [
            *(b"keystead-test/w0/0", b"keystead-test/w0/2"),
            *(b"keystead-test/w0/parked/1", b"keystead-test/w0/checkpoint/3"),
        ]
    )


def test_a_producer_that_holds_too_much_begins_again(brokers: str) -> None:
    """A full queue is a reason to try again, not to leave something out."""
    bench = carry(settings(brokers, "full"))
    bench.sink._options["queue.buffering.max.messages"] = 2  # type: ignore[attr-defined]  # so that it is soon full
    bench.write(30)
    bench.settle()
    bench.log.close()
    with pytest.raises(Retry, match="queue is full"):
        bench.pump.turn()
    bench.sink.close()


def test_who_we_are_and_whom_we_trust(tmp_path: Path) -> None:
    """Files and a password reach the library; TLS is used unless the settings say otherwise."""
    from keystead.bridges.sinks.adapters.kafka import connect  # noqa: PLC0415 - only where Kafka is there

    secret = tmp_path / "secret"
    secret.write_text("password\n")
    made = Settings(
        name="bus",
        kind="kafka",
        brokers="h:1",
        topic="t",
        username="u",
        secret_file=secret,
        ca=tmp_path / "ca.pem",
    )
    options = connect(made, SystemClock(), LocalDisk())._options
    assert options["security.protocol"] == "SASL_SSL"
    assert options["ssl.ca.location"] == str(tmp_path / "ca.pem")
    assert (options["sasl.username"], options["sasl.password"]) == ("u", "password")
    assert (options["acks"], options["enable.idempotence"]) == ("all", True)
    secret.unlink()
    with pytest.raises(ConfigError, match="secret file of the sink 'bus' cannot be read"):
        connect(made, SystemClock(), LocalDisk())
    sink = connect(
        Settings(name="b", kind="kafka", brokers="h:1", topic="t", ca=tmp_path / "nowhere.pem"),
        SystemClock(),
        LocalDisk(),
    )
    bench = SinkBench()
    bench.sink = sink
    bench.begin()
    bench.write()
    bench.settle()
    with pytest.raises(Retry, match="Kafka: "):
        bench.pump.turn()
