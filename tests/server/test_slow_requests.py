"""Requests that wait for somebody else: answered on another thread, recorded on the office's."""

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import override

from keystead.core.ports import Records
from keystead.core.principal import user_arn
from keystead.core.query import Answered, Question, ReaderStatus, SinkStatus
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.native.front import ROWS, Native
from keystead.jobs.runner import Runner
from keystead.observe.log import Log
from keystead.observe.metrics import Outcome, Slots
from keystead.server import control
from keystead.server.control import MOST_TRIES, Office, Posted, Reply, Slow
from keystead.testing.installation import ACCOUNT, REGION, Installation


class Interrupted(Records):
    """Answers, and does something meanwhile."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile
        self.threads: list[int] = []

    @override
    def ask(self, question: Question, seconds: float) -> Answered:
        self.threads.append(threading.get_ident())
        self.meanwhile()
        return Answered()


class Bench:
    """An office whose questions are answered by us."""

    def __init__(self) -> None:
        self.house = Installation()
        self.slots = Slots(["control"], [*ROWS, "Unknown"])
        self.gate = self.house.gate("control")
        self.office = Office(
            gate=self.gate,
            front=Native(
                credentials=Credentials(self.gate, self.house.clock),
                clock=self.house.clock,
                help_url="https://help",
            ),
            runner=Runner(
                gate=self.gate,
                look=lambda _: [],
                caller=lambda request, _region, _account: self.house.caller(request),
                random=self.house.random,
                log=Log(io.StringIO(), "json", self.house.clock.now),
            ),
            random=self.house.random,
            slots=self.slots,
            slot=0,
            log=Log(io.StringIO(), "json", self.house.clock.now),
            close=lambda: None,
            now=self.house.clock.monotonic,
        )

    def meanwhile(self, work: Callable[[], object]) -> Interrupted:
        """What happens while a question is being answered."""
        records = self.gate._records = Interrupted(work)
        return records

    def asked(self, operation: str = "QueryAudit") -> Reply | Slow:
        """What the office says at once to a signed request."""
        target, access_key, secret = f"/v1/{operation}", *self.house.admin
        headers = sign(
            "POST",
            "localhost",
            target,
            {"content-type": "application/json"},
            b"{}",
            credentials=Credential(access_key, Secret(secret.encode())),
            region=REGION,
            service="keystead",
            now=self.house.clock.now(),
        )
        lower = {name.lower().encode(): value.encode() for name, value in headers.items()}
        lower |= {b"host": b"localhost", b"content-type": b"application/json"}
        return self.office.answer(Posted(b"POST", target.encode(), lower, b"{}", "192.0.2.1", secure=False))

    def perform(self) -> tuple[int, Any]:
        """The status and the body of the answer to a slow request."""
        slow = self.asked()
        assert isinstance(slow, Slow)
        status, body, _ = self.office.perform(slow, lambda step: step())
        return status, json.loads(body)

    def put_policy(self) -> None:
        """Change what an answer to the admin rests on."""
        with self.house.store.transact("change") as tx:
            admin = tx.principal(user_arn(ACCOUNT, "admin"))
            assert admin is not None
            tx.put_principal(admin)

    def outcomes(self) -> list[str]:
        """How each question ended, by the audit."""
        return [
            entry.outcome for entry in self.house.entries("control") if entry.action == "keystead:QueryAudit"
        ]

    def count(self, outcome: Outcome) -> int:
        """A counter of questions."""
        return self.slots.read(0, self.slots.request_cell("QueryAudit") + outcome)


def test_only_what_is_slow_is_left_for_another_thread() -> None:
    """The office answers everything else itself."""
    bench = Bench()
    assert isinstance(bench.asked("ListPrincipals"), tuple)
    assert isinstance(bench.asked("QueryAudit"), Slow)
    assert bench.outcomes() == []


def test_a_slow_request_is_answered_and_on_record() -> None:
    """Once, and counted."""
    bench = Bench()
    records = bench.meanwhile(lambda: None)
    status, body = bench.perform()
    assert (status, body["events"]) == (200, [])
    assert bench.outcomes() == ["Success"]
    assert (bench.count(Outcome.OK), len(records.threads)) == (1, 1)


def test_what_has_changed_meanwhile_is_asked_again() -> None:
    """An answer that rests on what held before does not leave."""
    bench = Bench()
    changes = [bench.put_policy]
    records = bench.meanwhile(lambda: changes.pop()() if changes else None)
    assert bench.perform()[0] == 200
    assert (len(records.threads), bench.count(Outcome.OK)) == (2, 1)
    assert bench.outcomes() == ["Success", "Success"]


def test_what_keeps_changing_is_given_up() -> None:
    """After some tries."""
    bench = Bench()
    records = bench.meanwhile(bench.put_policy)
    status, body = bench.perform()
    assert (status, body["code"]) == (503, "StoreUnavailable")
    assert len(records.threads) == MOST_TRIES
    assert (bench.count(Outcome.OK), bench.count(Outcome.UNAVAILABLE)) == (0, 1)


def test_without_its_record_no_answer_leaves() -> None:
    """As for every request."""
    bench = Bench()
    bench.meanwhile(bench.house.audit.stop_disk)
    status, body = bench.perform()
    assert (status, body["code"]) == (503, "AuditUnavailable")
    assert bench.count(Outcome.UNAVAILABLE) == 1


def test_who_was_revoked_meanwhile_gets_no_answer() -> None:
    """The last word is what holds when the answer would leave."""
    bench = Bench()

    def revoke() -> None:
        with bench.house.store.transact("revoke") as tx:
            tx.delete_access_key(bench.house.admin[0])

    bench.meanwhile(revoke)
    status, body = bench.perform()
    assert (status, body["code"]) == (403, "UnknownCredentials")


@pytest.mark.parametrize(
    ("status", "state", "trouble"),
    [
        (ReaderStatus(running=True), "green", ""),
        (ReaderStatus(), "yellow", "the reader is not running"),
        (ReaderStatus(trouble="it ended"), "yellow", "it ended"),
        (
            ReaderStatus(
                running=True,
                trouble="a log",
                sinks={"siem": SinkStatus(trouble="no route"), "file": SinkStatus()},
            ),
            "yellow",
            "a log; the sink siem: no route",
        ),
    ],
)
def test_the_reader_is_green_or_yellow(status: ReaderStatus, state: str, trouble: str) -> None:
    """With what is wrong, of it or of its sinks."""
    told = control._told_of(status)
    assert (told["state"], told["trouble"]) == (state, trouble)
