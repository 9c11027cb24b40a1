"""The job that has the logs witnessed: what it sends, what it makes of answers, and that it lets nobody wait."""

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.audit.witness import Book, Submission
from keystead.core.errors import DataDamaged
from keystead.crypto.note import CosignatureSigner
from keystead.fronts.witness import WitnessFront
from keystead.jobs import witnesses
from keystead.jobs.witnesses import Carrier, Found, NoAnswer, Outcome, Watcher, Witnesses, submit
from keystead.observe.log import Log
from keystead.testing.audit import AuditBench, TurnedClock
from keystead.testing.disk import MemoryDisk

WITNESS = CosignatureSigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"w"))
SECOND = CosignatureSigner("witness.example/w2", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"x"))
Answer = tuple[int, str, bytes]


class Says:
    """A witness that answers what a test wants, in turn; the last answer stays."""

    def __init__(self, *answers: Answer | NoAnswer | Callable[[bytes], bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def __call__(self, body: bytes) -> Answer:
        self.asked.append(body)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, NoAnswer):
            raise answer
        return (200, "text/plain", answer(body)) if callable(answer) else answer


def cosign(body: bytes, signer: CosignatureSigner = WITNESS) -> bytes:
    """What a witness answers that is content with everything."""
    text = body.partition(b"\n\n")[2].partition(b"\n\n")[0].decode() + "\n"
    return signer.line(text, 1000)


def stale(size: object) -> Answer:
    """What it answers when it has seen another size."""
    return 409, "text/x.tlog.size", f"{size}\n".encode()


class Bench:
    """A log of a hundred records, and the job."""

    def __init__(self) -> None:
        self.audit = AuditBench()
        self.log = self.audit.open()
        self.work(100)
        self.submission = Submission(self.audit.root, "w1", WITNESS.verifier, self.audit.disk)
        self.said = io.StringIO()

    def work(self, number: int) -> None:
        """Some records under a checkpoint."""
        for _ in range(number):
            self.log.append(b"record")
        self.log.commit()
        self.audit.later()
        self.log.tend()

    def job(self, *posts: Says) -> Witnesses:
        """A job with witnesses that say such things."""
        submissions = [self.submission, Submission(self.audit.root, "w2", SECOND.verifier, self.audit.disk)]
        watchers = [
            Watcher(f"w{n}", post, submission, 10.0)
            for n, (post, submission) in enumerate(zip(posts, submissions, strict=False))
        ]
        return Witnesses(watchers, self.audit.clock, Log(self.said, "text", self.audit.clock.now))


@pytest.fixture
def bench() -> Bench:
    """Such a bench."""
    return Bench()


def test_a_witness_is_asked_on_from_what_it_has_seen(bench: Bench) -> None:
    """First from nothing; from the size that it names, if another process has sent it more; then from there."""
    says = Says(cosign)
    assert submit(bench.submission, "w0", says) == Outcome(Found.COSIGNED, 100)
    assert says.asked[0].startswith(b"old 0\n\n")
    bench.work(10)
    says = Says(stale(103), cosign)
    assert submit(bench.submission, "w0", says).found is Found.COSIGNED
    assert [body.split(b"\n")[0] for body in says.asked] == [b"old 100", b"old 103"]
    assert bench.submission.seen("w0") == 110


@pytest.mark.parametrize(
    ("answers", "found", "at", "why"),
    [
        (
            [stale(101)],
            Found.ROLLED_BACK,
            100,
            "has seen 101 records of w0, which has 100: the log was rolled back",
        ),
        ([(409, "text/plain", b"")], Found.FORKED, 0, "among the first 0"),
        ([(422, "text/plain", b"")], Found.FORKED, 0, "between record 0 and there"),
        ([stale(50), (422, "text/plain", b"")], Found.FORKED, 0, "among the first 50"),
        ([(404, "text/plain", b"")], Found.UNKNOWN, 0, "must be configured there"),
        ([(403, "text/plain", b"")], Found.UNKNOWN, 0, "must be configured there"),
    ],
)
def test_what_a_witness_has_against_a_log_is_told(
    bench: Bench, answers: list[Answer], found: Found, at: int, why: str
) -> None:
    """Rolled back, forked, or not known there."""
    outcome = submit(bench.submission, "w0", Says(*answers))
    assert (outcome.found, outcome.size, outcome.at) == (found, 100, at)
    assert why in outcome.why
    assert bench.submission.seen("w0") == -1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, "text/plain", b""), "answers 500"),
        (stale(50), "answers 409"),
        (stale("x"), "409 without a size"),
        (stale("9" * 30), "409 without a size"),
        ((200, "text/plain", b"rubbish"), "no cosignature of its key"),
        (NoAnswer("it cannot be reached"), "cannot be reached"),
    ],
)
def test_what_is_no_answer_is_none(bench: Bench, answer: Answer | NoAnswer, why: str) -> None:
    """Nothing is concluded from it about the log."""
    with pytest.raises(NoAnswer, match=why):
        submit(bench.submission, "w0", Says(answer))


def test_each_witness_is_asked_when_it_is_due(bench: Bench) -> None:
    """Every few seconds, and only if there is something new; its lag is told."""
    says = Says(cosign)
    job = bench.job(says)
    assert job.run_once() == 1
    assert job.run_once() == 0
    bench.work(5)
    assert job.run_once() == 0
    bench.audit.later(10)
    assert job.run_once() == 1
    bench.audit.later(10)
    assert job.run_once() == 0
    assert len(says.asked) == 2
    status = job.statuses()["w0"]
    assert (status.lag, status.cosigned, status.failures, status.trouble) == ({"w0": 0}, 2, 0, "")
    assert bench.said.getvalue() == ""
    # After a start it goes by what is kept beside the log.
    assert bench.job(says).run_once() == 0


def test_a_witness_that_is_away_is_left_alone_longer_and_longer(bench: Bench) -> None:
    """It is told once, when it begins and when it ends; another witness is not held up."""
    away, there = Says(NoAnswer("it cannot be reached")), Says(partial(cosign, signer=SECOND))
    job = bench.job(away, there)
    for _ in range(100):
        job.run_once()
        bench.audit.later(10)
    assert len(there.asked) == 1
    assert 5 < len(away.asked) < 10
    status = job.statuses()["w0"]
    assert (status.lag, status.failures) == ({"w0": 100}, len(away.asked))
    assert status.trouble == "it cannot be reached"
    away.answers = [cosign]
    bench.audit.later(300)
    assert job.run_once() == 1
    assert [line.split(" ")[1] for line in bench.said.getvalue().splitlines()] == ["warning", "info"]


def test_another_history_is_an_error_for_the_operator(bench: Bench) -> None:
    """A log that was rolled back or forked; one that is not configured there is a warning."""
    bench.job(Says((422, "text/plain", b""))).run_once()
    bench.job(Says((404, "text/plain", b""))).run_once()
    levels = [line.split(" ")[1] for line in bench.said.getvalue().splitlines()]
    assert levels == ["error", "warning"]
    assert "forked" in bench.said.getvalue()


def test_a_log_that_cannot_be_read_is_told(bench: Bench) -> None:
    """Its code and the file."""
    bench.audit.disk.damage(bench.audit.directory / "checkpoint", b"rubbish")
    with pytest.raises(DataDamaged):
        submit(bench.submission, "w0", Says(cosign))
    job = bench.job(Says(cosign))
    assert job.run_once() == 0
    assert job.statuses()["w0"].trouble.startswith("DataDamaged: the checkpoint of w0")


# --- over the wire -----------------------------------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Any], None]], str]]:
    """Starts a server whose POSTs are answered by a function; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(post: Callable[[Any], None]) -> str:
        handler = type(
            "Handler", (BaseHTTPRequestHandler,), {"do_POST": post, "log_message": lambda *_: None}
        )
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def carrier(url: str) -> Carrier:
    """What carries requests there."""
    return Carrier(url, ssl.create_default_context(), TurnedClock())


def test_a_request_is_carried_to_the_prefix_and_its_answer_back(serve: Any) -> None:
    """With status, content type and body."""
    asked: list[tuple[str, bytes]] = []

    def post(handler: Any) -> None:
        asked.append((handler.path, handler.rfile.read(int(handler.headers["content-length"]))))
        handler.send_response(409)
        handler.send_header("content-type", "text/x.tlog.size")
        handler.end_headers()
        handler.wfile.write(b"7\n")

    assert carrier(f"{serve(post)}/prefix")(b"request") == (409, "text/x.tlog.size", b"7\n")
    assert asked == [("/prefix/add-checkpoint", b"request")]


def test_an_answer_without_end_is_given_up(serve: Any) -> None:
    """Too long is no answer."""

    def post(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(bytes(200_000))

    with pytest.raises(NoAnswer, match="larger than"):
        carrier(serve(post))(b"request")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_is_not_there_does_not_answer(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens; or somebody does and says nothing, until the deadline."""
    monkeypatch.setattr(witnesses, "DEADLINE_SECONDS", 0.2)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(NoAnswer, match=r"cannot be reached|has not answered within"):
            carrier(url)(b"request")
        sock.listen()
        with pytest.raises(NoAnswer, match="has not answered within"):
            carrier(url)(b"request")


def test_the_job_and_the_witness_understand_each_other(bench: Bench) -> None:
    """The real witness behind its front, without a network between."""
    book = Book(Path("/witness"), [bench.audit.signer.verifier], WITNESS, MemoryDisk(0), bench.audit.clock)
    front = WitnessFront(book, Log(bench.said, "text", bench.audit.clock.now))

    def post(body: bytes) -> Answer:
        status, kind, text = front.answer(body)
        return status, kind.partition(";")[0], text

    for _ in range(3):
        assert submit(bench.submission, "w0", post).found is Found.COSIGNED
        bench.work(7)
