"""A witness over HTTP: each verdict has the status and the content type of C2SP tlog-witness."""

import io

import pytest

from keystead.core.errors import AuditUnavailable, KeysteadError
from keystead.core.witness import Considered, Verdict
from keystead.fronts.witness import STATUS, WitnessFront
from keystead.observe.log import Log


class Says:
    """A witness that says what a test wants."""

    def __init__(self, said: Considered | KeysteadError) -> None:
        self.said = said
        self.asked = b""

    def consider(self, request: bytes) -> Considered:
        """Say it."""
        self.asked = request
        if isinstance(self.said, KeysteadError):
            raise self.said
        return self.said

    def latest(self, digest: str) -> bytes | None:
        """Only of one log."""
        return b"note\n" if digest == "0f" else None


def answer(said: Considered | KeysteadError) -> tuple[tuple[int, str, bytes], str]:
    """The answer, and what the operator is told."""
    told, witness = io.StringIO(), Says(said)
    front = WitnessFront(witness, Log(told, "text", lambda: 0.0))
    found = front.answer(b"request")
    assert witness.asked == b"request"
    return found, told.getvalue()


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.COSIGNED, 200),
        (Verdict.MALFORMED, 400),
        (Verdict.UNKNOWN_KEY, 403),
        (Verdict.UNKNOWN_LOG, 404),
        (Verdict.STALE, 409),
        (Verdict.FORKED, 422),
        (Verdict.INCONSISTENT, 422),
    ],
)
def test_a_verdict_has_its_status(verdict: Verdict, status: int) -> None:
    """As the specification says; only a size has the content type of one; two histories are told to the operator."""
    (found, kind, body), told = answer(Considered(verdict, "7", "example.com/log"))

    assert (found, body) == (status, b"7\n")
    assert (kind == "text/x.tlog.size") == (verdict is Verdict.STALE)
    assert ("two histories" in told and "example.com/log" in told) == (
        verdict in (Verdict.FORKED, Verdict.INCONSISTENT)
    )
    assert set(STATUS) == set(Verdict)


def test_what_was_cosigned_last_can_be_had() -> None:
    """By the digest of the log's origin; of others there is nothing."""
    front = WitnessFront(Says(AuditUnavailable("")), Log(io.StringIO(), "text", lambda: 0.0))
    assert front.latest("0f")[::2] == (200, b"note\n")
    assert front.latest("0e")[0] == 404


def test_signature_lines_are_handed_on_as_they_are() -> None:
    """They end in a newline already."""
    assert answer(Considered(Verdict.COSIGNED, "\u2014 w AAAA\n"))[0][2] == "\u2014 w AAAA\n".encode()


def test_a_witness_that_cannot_keep_its_record_is_unavailable() -> None:
    """The log hears nothing of the files; the operator does."""
    (status, _, body), told = answer(AuditUnavailable("/secret/path is full"))
    assert (status, body) == (503, b"the witness cannot cosign now\n")
    assert "AuditUnavailable" in told
