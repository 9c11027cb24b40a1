"""The generator counts what happened, and nothing else."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.testing.bench.load import Load, Request, ask, closed, open_loop

Serve = Callable[..., Any]

SECONDS = 0.15


def post(body: bytes) -> Request:
    """A request as HTTP has it."""
    return Request(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body), body)


def reply(body: bytes = b"{}", status: str = "200 OK", length: str = "content-length") -> bytes:
    """An answer as HTTP has it."""
    return f"HTTP/1.1 {status}\r\n{length}: {len(body)}\r\nx: y\r\n\r\n".encode() + body


@pytest.mark.parametrize("connections", [1, 5])
def test_a_closed_loop_counts_every_good_answer(serve: Serve, connections: int) -> None:
    """Each answer is counted once; at most one request a connection is still under way at the end."""
    server = serve(lambda _, body: [reply(body)])
    load = closed(server.address, [post(b"a"), post(b"b")], connections=connections, seconds=SECONDS)
    assert 0 < load.done <= len(server.asked) <= load.done + connections
    assert not load.errors
    assert load.rate == load.done / load.seconds
    assert set(server.asked) == {b"a", b"b"}


def test_samples_are_answers_with_the_requests_they_belong_to(serve: Serve) -> None:
    """Every connection's last good answer is kept with its own request, however many are under way."""
    server = serve(lambda _, body: [reply(body[::-1])])
    requests = [post(b"request %d" % number) for number in range(7)]
    load = closed(server.address, requests, connections=4, seconds=SECONDS)
    assert len(load.samples) == 4
    assert all(sample.body[::-1] == sample.request.expected for sample in load.samples)


def test_errors_are_counted_by_status_and_not_as_answers(serve: Serve) -> None:
    """An answer other than 200 has no latency and adds nothing to the throughput."""
    server = serve(lambda number, _: [reply() if number % 4 else reply(status="503 Busy")])
    load = closed(server.address, [post(b"")], connections=1, seconds=SECONDS)
    assert set(load.errors) == {"503"}
    asked = len(server.asked)
    assert asked - 1 <= load.done + load.errors["503"] <= asked
    assert -(-asked // 4) - 1 <= load.errors["503"] <= -(-asked // 4)


def test_answers_in_pieces_are_put_together(serve: Serve) -> None:
    """An answer may be cut anywhere: inside the head, between head and body, and inside the body."""
    whole = reply(b"0123456789")
    cuts = [3, 20, whole.index(b"0123"), len(whole) - 4]

    def answer(number: int, _: bytes) -> list[bytes]:
        cut = cuts[number % len(cuts)]
        return [whole[:cut], whole[cut:]]

    load = closed(serve(answer).address, [post(b"")], connections=1, seconds=SECONDS)
    assert load.done > len(cuts)
    assert not load.errors
    assert load.samples[0].body == b"0123456789"


def test_a_length_is_found_in_either_spelling(serve: Serve) -> None:
    """Servers write header names in lower case or with capitals."""
    load = closed(
        serve(lambda *_: [reply(length="Content-Length")]).address,
        [post(b"")],
        connections=1,
        seconds=SECONDS,
    )
    assert load.done > 0
    assert not load.errors


def test_a_connection_that_ends_is_an_error_and_another_takes_its_place(serve: Serve) -> None:
    """A server that hangs up now and then is measured nevertheless, and the hang-ups are counted."""
    server = serve(lambda number, _: [reply()] if number % 5 else None)
    load = closed(server.address, [post(b"")], connections=2, seconds=SECONDS)
    assert load.errors["ConnectionResetError"] > 0
    assert load.done > load.errors["ConnectionResetError"]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n", reply() + b"?"], ids=["no length", "too much"]
)
def test_what_cannot_be_counted_is_an_error(serve: Serve, answer: bytes) -> None:
    """An answer without a length, or with more than it says, would make the next one's beginning unknown."""
    load = closed(serve(lambda *_: [answer]).address, [post(b"")], connections=1, seconds=SECONDS)
    assert load.done == 0
    assert set(load.errors) == {"ConnectionError"}


def test_an_open_loop_asks_as_often_as_it_is_told(serve: Serve) -> None:
    """The number of requests is the rate times the time, and each is answered and counted."""
    server = serve(lambda _, body: [reply(body)])
    load = open_loop(server.address, [post(b"a")], rate=200.0, connections=3, seconds=0.5)
    assert load.done == len(server.asked) == 100
    assert load.unanswered == 0
    assert not load.errors


def test_an_open_loop_counts_errors_too(serve: Serve) -> None:
    """Every request ends up somewhere: good, refused, cut off or unanswered."""
    answers = ([reply()], [reply(status="400 No")], None, [reply()])
    server = serve(lambda number, _: answers[number % 4])
    load = open_loop(server.address, [post(b"a")], rate=200.0, connections=3, seconds=0.2)
    assert load.errors == {"400": 10, "ConnectionResetError": 10}
    assert load.done == 20


def test_an_open_loop_lets_a_stall_count(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What falls due while the server stalls is late by its own waiting, or is missed, but never left out."""
    monkeypatch.setattr("keystead.testing.bench.load.DRAIN_SECONDS", 0.2)
    server = serve(lambda number, _: [reply()] if number < 10 else [b"HTTP/1.1 200 OK\r\n"])
    load = open_loop(server.address, [post(b"a")], rate=100.0, connections=2, seconds=0.5)
    assert load.done == 10
    assert load.unanswered == 40


def test_a_waiting_request_is_late_from_when_it_was_due(serve: Serve) -> None:
    """With one connection and answers that take long, the queue's delay is part of the latency."""
    busy = socket.socketpair()

    def answer(number: int, _: bytes) -> list[bytes]:
        if number == 0:
            busy[0].settimeout(0.2)
            with pytest.raises(TimeoutError):
                busy[0].recv(1)
        return [reply()]

    load = open_loop(serve(answer).address, [post(b"a")], rate=100.0, connections=1, seconds=0.2)
    for end in busy:
        end.close()
    # Answers came at the end of the stall, in order; so what was due later had waited less.
    assert load.done == 20
    assert load.latencies[:10] == sorted(load.latencies[:10], reverse=True)


def test_asking_one_by_one_gives_status_and_body(serve: Serve) -> None:
    """The quiet way to ask, for setting up and for checking."""
    server = serve(lambda number, body: [reply(body, "404 Not Found" if number else "200 OK")])
    assert list(ask(server.address, [post(b"a"), post(b"bc")])) == [(200, b"a"), (404, b"bc")]


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    latencies: list[float], percent: float
) -> None:
    """Nearest rank: an actual latency, reached by at least that share, and by no smaller one."""
    found = Load(latencies=latencies).percentile(percent)
    needed = percent / 100 * len(latencies)
    assert found in latencies
    assert sum(value <= found for value in latencies) >= needed - 1e-9
    assert found == min(latencies) or sum(value < found for value in latencies) < needed + 1e-9


def test_percentiles_of_known_latencies() -> None:
    """Of 1 to 100, the fiftieth percentile is 50 and the last is 100; of nothing, 0."""
    load = Load(latencies=[float(value) for value in range(100, 0, -1)])
    assert [load.percentile(p) for p in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    assert (Load().percentile(99), Load().rate) == (0.0, 0.0)
