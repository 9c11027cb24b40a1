"""The job for linked servers: what it tells, when it leaves one alone, and what it believes."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from keystead.core.errors import StoreUnavailable
from keystead.core.names import KeyReference
from keystead.jobs.links import ANSWER_BYTES, LONGEST_PAUSE, Correspondent, NoAnswer, Post, Refused
from keystead.service.commands import kms as c
from keystead.service.linking import VERSIONS_AT_ONCE
from keystead.testing.audit import TurnedClock
from linkedpair import THERE, Linked, at


@pytest.fixture
def pair() -> Linked:
    """Two linked installations."""
    return Linked()


def asked(pair: Linked) -> KeyReference:
    """A key with a replica that has been asked for."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    return key


def warnings(pair: Linked) -> list[dict[str, str]]:
    """What was told to the first's operator."""
    return [json.loads(line) for line in pair.here.said.getvalue().splitlines()]


def test_a_server_that_does_not_answer_is_left_alone_for_longer_and_longer(pair: Linked) -> None:
    """One request at a look at most, the pause doubles up to a bound, and an answer ends it."""
    asked(pair)
    pair.there.away = True
    pauses = []
    for _ in range(12):
        pair.here.tell()
        pauses.append(pair.here.neighbour.pause)
        pair.here.tell()  # too early: nothing is asked
        pair.later(pair.here.neighbour.pause)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE
    assert len(pair.here.sent) == len(warnings(pair)) == 12
    assert warnings(pair)[0]["component"] == "other"
    pair.there.away = False
    pair.here.tell()
    assert pair.here.neighbour.pause == 0.0


def test_one_refused_member_does_not_hold_up_the_others(pair: Linked) -> None:
    """The others are told, and the operator is, with the code of the refusal."""
    keys = sorted((asked(pair) for _ in range(3)), key=lambda key: key.name)
    own = pair.there.bench.key(c.CreateKey(multi_region=True), region=THERE)
    with pair.there.house.store.view() as view:
        mine = view.key(THERE, own.name)
    assert mine is not None
    with pair.there.house.store.transact("clash") as tx:
        tx.put_key(replace(mine, id=keys[0].name))
    pair.here.tell()
    for key in keys[1:]:
        assert pair.there.bench.do(c.DescribeKey(key), region=THERE).key.members
    assert {warning["reason"] for warning in warnings(pair)} == {"it refuses with status 403 AccessDenied"}


def test_a_move_that_is_refused(pair: Linked) -> None:
    """Is told again at a later look, and what else there is to tell is told."""
    key = asked(pair)
    pair.here.tell()
    pair.here.bench.do(c.UpdatePrimaryRegion(key, THERE))
    with pair.there.house.store.view() as view:
        row = view.key(THERE, key.name)
    assert row is not None
    with pair.there.house.store.transact("lost") as tx:
        tx.put_key(replace(row, members=("us-west-2", *row.members[1:])))
    pair.here.tell()
    assert {warning["reason"] for warning in warnings(pair)} == {"it refuses with status 403 AccessDenied"}
    with pair.there.house.store.transact("found") as tx:
        tx.put_key(row)
    pair.later(60)
    pair.here.tell()
    assert pair.there.bench.do(c.DescribeKey(key), region=THERE).key.primary


def test_a_store_that_fails_is_no_reason_to_leave_the_other_alone(pair: Linked) -> None:
    """It is told at the next look."""
    asked(pair)
    broken = StoreUnavailable("the disk is full")

    def fail(_: object) -> Any:
        raise broken

    pair.here.links.run_once(fail)
    assert pair.here.neighbour.pause == 0.0
    assert warnings(pair)[0]["code"] == "StoreUnavailable"
    pair.here.links.run_once(at)
    assert len(pair.here.sent) == 1


def test_an_answer_about_members_that_were_not_asked_about(pair: Linked) -> None:
    """Counts for nothing."""
    key = asked(pair)
    pair.here.tell()
    original = pair.here.neighbour.ask

    def lies(operation: str, body: bytes, kind: type) -> object:
        answer = original(operation, body, kind)
        if operation == "LinkStates":
            answer.gone.append("mrk-" + "0" * 32)  # type: ignore[attr-defined]  # of that operation's answer
        return answer

    pair.here.neighbour.ask = lies
    pair.here.tell()
    assert pair.here.bench.do(c.DescribeKey(key)).key.members == ("eu-central-1", THERE)
    assert warnings(pair) == []


def test_a_server_that_takes_no_version_is_asked_twice_and_no_more(pair: Linked) -> None:
    """What makes no progress ends for this look."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    for _ in range(VERSIONS_AT_ONCE):
        pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    told = []

    def nothing(operation: str, body: bytes, kind: type) -> object:
        told.append(operation)
        return msgspec.convert({"versions": 0, "gone": False}, kind)

    pair.here.neighbour.ask = nothing
    pair.here.tell()
    assert told == ["LinkMember"] * 4  # two in each of the two rounds


# --- answers ---------------------------------------------------------------------------------------------


def correspondent(pair: Linked, answer: tuple[int, bytes]) -> Correspondent:
    """One whose other side always answers the same."""
    house = pair.here.house
    return Correspondent(
        lambda *_: answer,
        pair.there.identity,
        custodian=house.custodian,
        clock=house.clock,
        random=house.random,
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b'{"answer": "{}", "signature": "*"}',
        b'{"answer": "{}", "signature": "AAAA"}',
        b'{"answer": "\\ud800", "signature": "AAAA"}',
        b"[" * 10_000,
    ],
)
def test_an_answer_that_is_not_signed_is_none(pair: Linked, answer: bytes) -> None:
    """Whatever it is, and also one that was signed for another request."""
    with pytest.raises(NoAnswer):
        correspondent(pair, (200, answer)).ask("LinkStates", b"{}", dict)


def test_an_answer_to_another_request_is_none(pair: Linked) -> None:
    """It is signed by whom it should be, but for another nonce."""
    asked(pair)
    pair.here.tell()
    body = msgspec.json.encode({"region": THERE, "key_ids": []})
    pair.here.correspondent.ask("LinkStates", body, dict)
    pair.later(1)
    old = pair.there.take(pair.here.sent[-1])
    assert old[0] == 200
    with pytest.raises(NoAnswer, match="not signed"):
        correspondent(pair, old).ask("LinkStates", body, dict)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"code": "AccessDenied"}', "it refuses with status 403 AccessDenied"),
        (b"<html>", "it refuses with status 403"),
        (b'{"code": 1}', "it refuses with status 403"),
    ],
)
def test_a_refusal_says_what_it_can(pair: Linked, body: bytes, told: str) -> None:
    """The status, and the code if there is one."""
    with pytest.raises(Refused) as caught:
        correspondent(pair, (403, body)).ask("LinkStates", b"{}", dict)
    assert str(caught.value) == told


# --- the wire --------------------------------------------------------------------------------------------


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server for one connection; its URL."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def post(url: str) -> tuple[int, bytes]:
    """Send something there."""
    return Post(url, ssl.create_default_context(), TurnedClock())("/v1/LinkStates", b"{}", "x")


def test_a_request_and_its_answer() -> None:
    """The status and the whole body."""
    with answering(lambda s: s.sendall(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")) as url:
        assert post(url) == (403, b"no")


def test_nobody_there() -> None:
    """A port that nobody listens on, a server that speaks something else, one that has no TLS."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(NoAnswer, match="it cannot be reached"):
        post(f"http://127.0.0.1:{port}")
    with (
        answering(lambda s: s.sendall(b"hello\r\n\r\n")) as url,
        pytest.raises(NoAnswer, match="does not answer as a web server does"),
    ):
        post(url)
    with answering(lambda s: s.sendall(b"hello")) as url, pytest.raises(NoAnswer, match="no TLS connection"):
        post(url.replace("http:", "https:"))


def test_an_answer_without_an_end() -> None:
    """It is not read further than a bound; that it is not for longer than one is `keystead.network`'s part."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"

    def long(s: socket.socket) -> None:
        try:
            s.sendall(head + bytes(ANSWER_BYTES * 4))
        except OSError:
            return

    with answering(long) as url, pytest.raises(NoAnswer, match="larger than"):
        post(url)
