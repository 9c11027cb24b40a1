"""Events as log records of OpenTelemetry, over OTLP/HTTP in its JSON encoding.

The body of a record is the rendering; its attributes are what an OpenTelemetry Collector routes and filters by. A
trace id leads to the trace of the request.

A receiver acknowledges with status 200. When it then says that it has rejected some records (``partialSuccess``), it
does not say which, and must not be sent them again: all of that delivery go into the dead letters. Unlike the
specification, which would have events thrown away, every other refusal is tried again, because it is about the
receiver (a wrong path, a lapsed token) and not about an event; only 400, 413 and 422 are about what was sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from keystead.bridges.renderings import facts
from keystead.bridges.renderings.facts import Severity
from keystead.bridges.sinks import http
from keystead.bridges.sinks.port import Message, Rejected
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.ports import Clock

_SEVERITIES: Final[Mapping[Severity, tuple[int, str]]] = {
    Severity.INFORMATIONAL: (9, "INFO"),
    Severity.LOW: (10, "INFO2"),
    Severity.MEDIUM: (13, "WARN"),
    Severity.HIGH: (17, "ERROR"),
}
_TRACE_CHARACTERS: Final = 32


def connect(settings: Settings, clock: Clock, disk: Disk) -> "OtlpSink":
    """A sink that sends to the URL of the settings."""
    return OtlpSink(http.Receiver(settings, clock, disk), clock, settings.name)


class OtlpSink:
    """An OTLP/HTTP receiver of logs. For one thread."""

    overlap = 0

    def __init__(self, receiver: http.Receiver, clock: Clock, name: str) -> None:
        self._receiver = receiver
        self._clock = clock
        self._name = name

    def remember(self, messages: Sequence[Message]) -> None:
        """Nothing: what was acknowledged is there."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send one request and read what has become of it."""
        body = msgspec.json.encode(self._request(messages))
        answer = self._receiver.post(body, {"Content-Type": "application/json"})
        rejected, why = _partly(answer)
        if rejected:
            raise Rejected(
                f"the receiver has rejected {rejected} of {len(messages)} records: {why}", whole=False
            )

    def close(self) -> None:
        """Let go of the connection."""
        self._receiver.close()

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        """An ExportLogsServiceRequest. Its 64-bit numbers are strings, as protobuf's JSON has them."""
        observed = str(int(self._clock.now() * 1e9))
        resource = _attributes({"service.name": "keystead", "keystead.sink": self._name})
        records = [_record(message, observed) for message in messages]
        scope = {"scope": {"name": "keystead.audit", "version": "1"}, "logRecords": records}
        return {"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [scope]}]}


def _record(message: Message, observed: str) -> dict[str, Any]:
    about, entry = message.about, message.about.entry
    number, text = _SEVERITIES[facts.severity(entry)]
    record = {
        "timeUnixNano": str(entry.time * 1000),
        "observedTimeUnixNano": observed,
        "severityNumber": number,
        "severityText": text,
        "eventName": entry.action,
        "body": {"stringValue": message.body.decode()},
        "attributes": _attributes(
            {
                "keystead.event": about.name,
                "keystead.log": about.origin,
                "keystead.index": about.index,
                "keystead.outcome": entry.outcome,
                "keystead.principal": entry.principal,
                "keystead.key": entry.key,
                "keystead.request": entry.request,
            }
        ),
    }
    if len(entry.trace) == _TRACE_CHARACTERS:
        record["traceId"] = entry.trace
    return record


def _attributes(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
        if value != ""
    ]


class _Partial(msgspec.Struct):
    """The receiver's word on what it did not take."""

    rejected: str | int = msgspec.field(name="rejectedLogRecords", default=0)
    message: str = msgspec.field(name="errorMessage", default="")


class _Response(msgspec.Struct):
    """An ExportLogsServiceResponse."""

    partial: _Partial | None = msgspec.field(name="partialSuccess", default=None)


def _partly(answer: bytes) -> tuple[int, str]:
    """How many records were rejected, and why. An empty or strange answer with status 200 is a success."""
    try:
        partial = msgspec.json.decode(answer, type=_Response).partial
        return (int(partial.rejected), partial.message[:200]) if partial is not None else (0, "")
    except ValueError:  # of JSON (`msgspec.DecodeError`) or of a number
        return 0, ""
