"""Events as OpenTelemetry log records: read by OpenTelemetry's own definitions, acknowledged, refused, partly taken."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bridges.sinks.samples import HttpReceiver, Request, SinkBench, SystemClock, certificates, names
from keystead.audit.disk import LocalDisk
from keystead.bridges.sinks.adapters.otlp import connect
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.port import Retry
from keystead.config import Sink as Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"


def carry(receiver: HttpReceiver, **options: Any) -> SinkBench:
    """A log of three entries and a pump that carries it to the receiver."""
    bench = SinkBench()
    made = Settings(name="siem", kind="otlp", url=f"{receiver.url}/v1/logs", **options)
    bench.sink = connect(made, SystemClock(), LocalDisk())
    bench.begin()
    bench.write(2, trace=TRACE)
    bench.write(1, outcome="AccessDenied")
    bench.settle()
    return bench


def records(receiver: HttpReceiver) -> list[Any]:
    """The log records of all requests."""
    found = []
    for request in receiver.requests:
        told = json.loads(request.body)
        for resource in told["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                found += scope["logRecords"]
    return found


def attributes(record: Any) -> dict[str, str]:
    """The attributes of a record, whatever their types."""
    return {each["key"]: next(iter(each["value"].values())) for each in record["attributes"]}


def test_records_are_what_opentelemetry_defines() -> None:
    """The protocol's own message reads them without a member that it does not know; the body is the event."""
    with HttpReceiver() as receiver:
        bench = carry(receiver)
        bench.drain()
        bench.sink.close()
    census = Census()
    seen = []
    for request in receiver.requests:
        assert request.path == "/v1/logs"
        assert request.headers["Content-Type"] == "application/json"
        read = json_format.Parse(request.body, ExportLogsServiceRequest())
        (resource,) = read.resource_logs
        (scope,) = resource.scope_logs
        assert {each.key: each.value.string_value for each in resource.resource.attributes} == {
            "service.name": "keystead",
            "keystead.sink": "siem",
        }
        for record in scope.log_records:
            census.add(record.body.string_value.encode())
            seen.append((record.time_unix_nano, record.severity_text, record.event_name))
    census.check()
    assert seen[:3] == [
        (1_000_000_000_000_000, "INFO", "kms:Encrypt"),
        (1_000_000_000_001_000, "INFO", "kms:Encrypt"),
        (1_000_000_000_002_000, "WARN", "kms:Encrypt"),
    ]
    first, _, third, told = records(receiver)
    assert attributes(first)["keystead.event"] == names(0)[0]
    assert (attributes(third)["keystead.index"], attributes(third)["keystead.outcome"]) == (
        "2",
        "AccessDenied",
    )
    assert first["traceId"] == TRACE  # in hex, unlike protobuf's own JSON: OTLP says so
    assert "traceId" not in third
    assert told["eventName"] == "keystead:AuditCheckpoint"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 401, 404])
def test_a_receiver_that_cannot_take_it_now_is_asked_again(status: int) -> None:
    """Also where the fault is in our settings: an event is not thrown away because a token has lapsed."""
    with HttpReceiver() as receiver:
        bench = carry(receiver)
        receiver.answers = [(status, {"Retry-After": "7"}, b"")]
        with pytest.raises(Retry, match=f"it answers with status {status}") as caught:
            bench.pump.turn()
        assert caught.value.after == 7.0
        bench.drain()
        bench.sink.close()
    assert [attributes(each)["keystead.event"] for each in records(receiver)][-4:-1] == names(0, 1, 2)
    assert bench.pump.status().parked == 0


def test_a_receiver_that_hangs_is_given_up_in_time() -> None:
    """The deadline is for all of it."""
    with HttpReceiver() as receiver:
        bench = carry(receiver, deadline_seconds=1)
        receiver.hang.clear()
        began = time.monotonic()
        with pytest.raises(Retry, match="it has not answered in time"):
            bench.pump.turn()
        assert time.monotonic() - began > 0.9
        receiver.hang.set()
        bench.drain()
        bench.sink.close()
    assert len({attributes(each)["keystead.event"] for each in records(receiver)}) == 4


def test_what_is_refused_is_parked_and_the_rest_arrives() -> None:
    """Status 400 is about what was sent: halves find the event, and another one stands in its place."""

    def picky(requests: list[Request]) -> tuple[int, dict[str, str], bytes]:
        return (400 if b"request-1" in requests[-1].body else 200), {}, b""

    with HttpReceiver() as receiver:
        receiver.judge = picky
        bench = carry(receiver)
        bench.drain()
        bench.sink.close()
    arrived = [
        attributes(record)["keystead.event"]
        for request in receiver.requests
        if b"request-1" not in request.body
        for record in json.loads(request.body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    ]
    assert sorted(arrived) == sorted(
        [*names(0, 2), "keystead-test/w0/parked/1", "keystead-test/w0/checkpoint/3"]
    )
    assert bench.pump.status().parked == 1


@pytest.mark.parametrize("count", ["2", 2])
def test_a_partial_success_is_not_sent_again(count: str | int) -> None:
    """The specification forbids it; nobody knows which records it is about, so all of them are kept as letters."""
    with HttpReceiver() as receiver:
        bench = carry(receiver)
        answer = {"partialSuccess": {"rejectedLogRecords": count, "errorMessage": "full"}}
        receiver.answers = [(200, {}, json.dumps(answer).encode())]
        bench.drain()
        bench.sink.close()
    letters = bench.audit.disk.read(Path("/data/sinks/siem/dead-letter.jsonl")).splitlines()
    first = len(json.loads(receiver.requests[0].body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"])
    assert len(letters) == first
    assert "has rejected 2 of" in json.loads(letters[0])["reason"]
    assert [attributes(each)["keystead.event"] for each in records(receiver)].count(names(0)[0]) == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b'{"partialSuccess":{}}', b'{"partialSuccess":{"rejectedLogRecords":"0"}}', b"ok",
     b'{"partialSuccess":{"rejectedLogRecords":"many"}}'],
)  # fmt: skip
def test_status_200_is_an_acknowledgement_whatever_is_said_with_it(answer: bytes) -> None:
    """An empty partial success is a success, and so is an answer that nobody understands."""
    with HttpReceiver() as receiver:
        receiver.default = (200, {}, answer)
        bench = carry(receiver)
        bench.drain()
        bench.sink.close()
    assert bench.pump.status().parked == 0
    assert bench.pump.status().delivered == 3


def test_tls_with_a_certificate_of_ours_and_a_token(tmp_path: Path) -> None:
    """The receiver proves itself, we do as well, and the header holds what the file says at that moment."""
    files = certificates(tmp_path)
    token = tmp_path / "token"
    token.write_text("Bearer first\n")
    with HttpReceiver(files) as receiver:
        bench = carry(
            receiver, ca=files.ca, certificate=files.client, key=files.client_key, authorization_file=token
        )
        bench.drain()
        token.write_text("Bearer second\n")
        bench.write()
        bench.settle()
        bench.drain()
        token.write_text("Bearer third\nX-Other: 1\n")
        bench.write()
        bench.settle()
        with pytest.raises(Retry, match="more than one line"):
            bench.drain()
        token.unlink()
        with pytest.raises(Retry, match="authorization file cannot be read"):
            bench.drain()
        bench.sink.close()
        said = [request.headers["Authorization"] for request in receiver.requests]
        assert (said[0], said[-1]) == ("Bearer first", "Bearer second")
        stranger = carry(receiver, ca=files.ca)
        with pytest.raises(Retry, match=r"no TLS connection|no connection"):
            stranger.pump.turn()
        stranger.sink.close()
