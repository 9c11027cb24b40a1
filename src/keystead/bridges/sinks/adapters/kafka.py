"""Events into a Kafka topic, with the extra ``keystead[kafka]`` (confluent-kafka, which is librdkafka).

Each log is a key, so its events are in one partition and in order. Delivery counts when all in-sync replicas have it
(``acks=all``); the producer is idempotent, so librdkafka's own retries make no duplicates and keep the order. After a
failure the producer is thrown away with whatever it still held, and the batch begins again.
"""

from collections.abc import Sequence
from typing import Any, Final

from keystead.bridges.sinks.port import Message, Rejected, Retry
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.errors import ConfigError
from keystead.core.ports import Clock
from keystead.network.deadline import Deadline

try:
    import confluent_kafka
except ImportError as error:
    raise ConfigError("sinks of kind 'kafka' need the extra: pip install 'keystead[kafka]'") from error

_TOO_LARGE: Final = frozenset(
    {
        confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE,
        confluent_kafka.KafkaError.RECORD_LIST_TOO_LARGE,
        confluent_kafka.KafkaError.INVALID_MSG,
        confluent_kafka.KafkaError.INVALID_RECORD,
    }
)
_POLL_SECONDS: Final = 0.1
_LATE_SECONDS: Final = 2.0  # librdkafka looks for messages whose time is up about once a second


def connect(settings: Settings, clock: Clock, disk: Disk) -> "KafkaSink":
    """A sink that sends to the brokers of the settings."""
    protocol = "PLAINTEXT" if settings.cleartext else "SSL"
    options: dict[str, Any] = {"bootstrap.servers": settings.brokers}
    if settings.username and settings.secret_file is not None:
        protocol = f"SASL_{protocol}"
        try:
            secret = disk.read(settings.secret_file).decode().strip()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the secret file of the sink {settings.name!r} cannot be read: {error}"
            ) from None
        options |= {
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": settings.username,
            "sasl.password": secret,
        }
    files = {
        "ssl.ca.location": settings.ca,
        "ssl.certificate.location": settings.certificate,
        "ssl.key.location": settings.key,
    }
    options |= {name: str(path) for name, path in files.items() if path is not None}
    return KafkaSink(
        options | {"security.protocol": protocol},
        settings.topic,
        clock=clock,
        seconds=settings.deadline_seconds,
    )


class KafkaSink:
    """A producer, made when there is something to send. For one thread."""

    overlap = 0

    def __init__(self, options: dict[str, Any], topic: str, *, clock: Clock, seconds: float) -> None:
        self._topic = topic
        self._clock = clock
        self._seconds = seconds
        self._options = options | {
            "acks": "all",
            "enable.idempotence": True,
            "client.id": "keystead",
            "linger.ms": 0,
            "delivery.timeout.ms": int(seconds * 1000),
            "log_level": 0,  # what goes wrong is in the status
        }
        self._producer: Any = None

    def remember(self, messages: Sequence[Message]) -> None:
        """Nothing: what was acknowledged is there."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Produce, and wait for every acknowledgement."""
        deadline = Deadline(self._clock, self._seconds + _LATE_SECONDS)
        failures: list[Any] = []
        done = 0

        def heard(error: Any, _: Any) -> None:  # noqa: ANN401 - librdkafka's own types
            nonlocal done
            done += 1
            if error is not None:
                failures.append(error)

        try:
            if self._producer is None:
                self._producer = confluent_kafka.Producer(self._options)
            for message in messages:
                about = message.about
                self._producer.produce(
                    self._topic,
                    message.body,
                    key=about.origin.encode(),
                    timestamp=about.entry.time // 1000,
                    headers={"event": about.name, "index": str(about.index)},
                    on_delivery=heard,
                )
            while done < len(messages):
                self._producer.poll(min(_POLL_SECONDS, deadline.left()))
        except TimeoutError:
            self.close()
            raise Retry("the brokers have not acknowledged in time") from None
        except BufferError:
            self.close()
            raise Retry("the producer's queue is full") from None
        except confluent_kafka.KafkaException as error:
            self.close()
            failures.append(error.args[0])
        if failures:
            self.close()
            self._explain(failures[0])

    def close(self) -> None:
        """Throw away what was not delivered; its cursor has not moved."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    def _explain(self, error: Any) -> None:  # noqa: ANN401 - a KafkaError
        told = f"Kafka: {error.name()}"
        if error.code() in _TOO_LARGE:
            raise Rejected(told)
        raise Retry(told)
