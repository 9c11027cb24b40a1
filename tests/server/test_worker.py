"""The worker on a real loop, with real gates on one store and an audit log whose disk can fail."""

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest
from typing_extensions import override

from keystead.core.errors import DataDamaged, KeysteadError, StoreUnavailable
from keystead.core.names import KeyReference
from keystead.core.ports import Transaction
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import Json11
from keystead.fronts.aws.operations import ROWS
from keystead.fronts.front import Asked, Inquiry
from keystead.observe.metrics import Cell, Outcome, Reason, Slots, State
from keystead.server import http
from keystead.server.worker import (
    MOST_ABROAD,
    MOST_LOADING,
    MOST_QUEUED,
    MOST_TRIES,
    MOST_WAITING,
    TEND_SECONDS,
    UNKNOWN,
    Worker,
)
from keystead.service.action import Action, Mode
from keystead.service.actions import ACTIONS
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.entry import Entry
from keystead.service.gate import Gate
from keystead.service.results import Result
from keystead.service.results.kms import KeyDescription
from keystead.store.memory import Memory
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION, Installation

SECRET_TEXT = "the plaintext of somebody"
LISTING: type[Command] = c.ListKeys
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class SteppedPool(Executor):
    """A pool that runs what was submitted when the test says so, on the test's own thread."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []
        self.closed = False

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.jobs.append(functools.partial(fn, *args, **kwargs))
        return Future()

    def run(self) -> None:
        """Do what waits."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        # What a thread has begun is what stands first here; the rest is cancelled.
        if wait and self.jobs:
            self.jobs[0]()
        self.jobs = []
        self.closed = True


class FakeExchange:
    """A request without a connection: it keeps the answer, and whether its record was durable then."""

    def __init__(self, bench: "Bench", headers: dict[bytes, bytes], body: bytes) -> None:
        self._bench = bench
        self.method = b"POST"
        self.target = b"/"
        self.headers = headers
        self.body = body
        self.peer = "192.0.2.1"
        self.secure = False
        self.status = 0
        self.answer: Any = None
        self.request = ""
        self.headers_out: dict[str, str] = {}
        self.records: list[Entry] = []  # durable when the answer left

    def reply(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """The answer; exactly one."""
        if self.status:
            raise RuntimeError("this exchange has been answered already")
        lines = dict(line.split(": ") for line in headers.decode().splitlines())
        self.status = status
        self.answer = json.loads(body) if body else None
        self.request = lines.get("x-amzn-RequestId", "")
        self.headers_out = lines
        self.records = [e for e in self._bench.house.entries() if e.request == self.request]

    @property
    def error(self) -> str:
        """The error's type; empty for a success."""
        return "" if self.status == 200 else str(self.answer["__type"])


class MoodyStore(Memory):
    """A store that is out of reach while the test says so."""

    away = False

    @override
    def pulse(self) -> int:
        if self.away:
            raise StoreUnavailable("out of reach")
        return super().pulse()


class Bench:
    """One worker, its listener's side played by the test, and a gate that stands for another worker."""

    def __init__(
        self, store: Memory | None = None, front: type[Json11] = Json11, house: Installation | None = None
    ) -> None:
        self.house = house or Installation(store)
        self.gate = self.house.gate("w0")
        self.other = self.house.gate("w1")
        self.slots = Slots(["w0"], [*ROWS, UNKNOWN])
        self.pool = SteppedPool()
        self.slow_pool = SteppedPool()
        self.faults: list[BaseException] = []
        self.health: list[tuple[State, Reason, str]] = []
        self.faulty: list[str] = []  # the requests that met them
        chosen = front(
            credentials=Credentials(self.gate, self.house.clock), clock=self.house.clock, regions=()
        )
        self.worker = Worker(
            gate=self.gate,
            choose=lambda _: chosen,
            pool=self.pool,
            slow_pool=self.slow_pool,
            random=self.house.random,
            slots=self.slots,
            slot=0,
            on_fault=self._fault,
            on_health=lambda *said: self.health.append(said),
        )
        self._numbers = 0

    # What clients do.

    def _fault(self, fault: BaseException, request: str) -> None:
        self.faults.append(fault)
        self.faulty.append(request)

    def exchange(self, operation: str, who: tuple[str, str] | None = None, **members: Any) -> FakeExchange:
        """A signed request that has not been handed to the worker yet."""
        access_key_id, secret = who or self.house.admin
        body = json.dumps(members).encode()
        headers = sign(
            "POST",
            "localhost",
            "/",
            {"X-Amz-Target": f"TrentService.{operation}"},
            body,
            credentials=Credential(access_key_id, Secret(secret.encode())),
            region=REGION,
            service="kms",
            now=self.house.clock.now(),
        )
        return FakeExchange(self, {name.encode(): value.encode() for name, value in headers.items()}, body)

    def send(self, operation: str, who: tuple[str, str] | None = None, **members: Any) -> FakeExchange:
        """Hand a signed request to the worker."""
        exchange = self.exchange(operation, who, **members)
        self.worker.handle(exchange)  # type: ignore[arg-type]  # an exchange without a connection
        return exchange

    def refuse(self, problem: http.Problem, headers: dict[bytes, bytes]) -> FakeExchange:
        """Hand over a request that the listener could not take."""
        exchange = FakeExchange(self, headers, b"")
        self.worker.refuse(exchange, problem)  # type: ignore[arg-type]  # as above
        return exchange

    async def ask(self, operation: str, who: tuple[str, str] | None = None, **members: Any) -> FakeExchange:
        """Send a request and wait for its answer."""
        exchange = self.send(operation, who, **members)
        await self.until(exchange)
        return exchange

    async def until(self, *exchanges: FakeExchange) -> None:
        """Let the pool and the loop work until all of these are answered."""
        for _ in range(100):
            if all(exchange.status for exchange in exchanges):
                return
            self.pool.run()
            self.slow_pool.run()
            await turn()
        raise AssertionError("no answer")

    async def key(self, **members: Any) -> str:
        """A new key's id; it is in the working set, like the admin's access key."""
        created = await self.ask("CreateKey", **members)
        key_id = str(created.answer["KeyMetadata"]["KeyId"])
        assert (await self.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")).status == 200
        return key_id

    async def signing_key(self) -> str:
        """The id of a key whose use takes long; it is in the working set."""
        created = await self.ask("CreateKey", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        key_id = str(created.answer["KeyMetadata"]["KeyId"])
        assert (await self.ask("GetPublicKey", KeyId=key_id)).status == 200
        return key_id

    # What happens elsewhere.

    def elsewhere(self, command: Command) -> None:
        """Another worker carries out a command."""
        self._numbers += 1
        self.other.ask(self.house.caller(f"other-{self._numbers}"), command).outcome()

    # What the test looks at.

    def count(self, operation: str, outcome: Outcome) -> int:
        """A counter of requests."""
        return self.slots.read(0, self.slots.request_cell(operation) + outcome)

    def durable(self, action: str) -> list[tuple[str, str]]:
        """Stage and outcome of each durable record of an action."""
        return [(e.stage, e.outcome) for e in self.house.entries() if e.action == f"kms:{action}"]

    def key_exists(self, key_id: str) -> bool:
        """Whether the store has the key, and it is enabled."""
        with self.house.store.view() as view:
            key = view.key(REGION, key_id)
        return key is not None and key.state == "Enabled"


async def turn() -> None:
    """Let the loop do what it has, and what that brings about."""
    for _ in range(3):
        await asyncio.sleep(0)


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))  # type: ignore[arg-type]  # tests are coroutines

    return run


# --- commitments -----------------------------------------------------------------------------------------


class Committing(Installation):
    """An installation whose gates write commitments to sources."""

    @override
    def gate(self, slot: str = "w0", **more: Any) -> Gate:
        return super().gate(slot, **{**more, "redactable": frozenset({"source"})})


def subjects(bench: Bench) -> dict[str, str]:
    """What is kept, by commitment."""
    with bench.house.store.view() as view:
        return {each.commitment: each.value for each in view.subjects("source", "", 100)}


@on_loop
async def test_every_entry_has_a_commitment_to_the_source() -> None:
    """Of uses, reads and changes, and of what was refused and of what the listener could not take."""
    bench = Bench(house=Committing())
    refused = bench.send("Encrypt", ("AKIANOBODY", "x"), KeyId="k", Plaintext="AAAA")
    again = bench.send("Encrypt", ("AKIANOBODY", "x"), KeyId="k", Plaintext="AAAA")
    await bench.until(refused, again)
    assert (refused.status, again.status) == (400, 400)
    assert list(subjects(bench).values()) == ["192.0.2.1"]
    key_id = await bench.key()
    assert (await bench.ask("DescribeKey", KeyId=key_id)).status == 200
    assert (await bench.ask("DisableKey", KeyId=key_id)).status == 200
    await bench.until(bench.refuse(http.Problem(http.ProblemKind.BODY_TOO_LARGE, 413, "too large"), {}))
    entries = [entry for entry in bench.house.entries() if entry.source]
    assert {entry.outcome for entry in entries} >= {"Success", "UnknownCredentials", "TooLarge", ""}
    assert {subjects(bench)[entry.source] for entry in entries} == {"192.0.2.1"}


@on_loop
async def test_a_worker_that_stops_waits_for_no_commitment() -> None:
    """What is refused then has a commitment that nobody can tell a value by."""
    bench = Bench(house=Committing())
    bench.worker._closing = True
    refused = bench.send("Encrypt", ("AKIANOBODY", "x"), KeyId="k", Plaintext="AAAA")
    await turn()
    assert refused.status == 503
    assert bench.pool.jobs == []
    assert subjects(bench) == {}
    assert bench.house.entries()[-1].source.startswith("sha256:")


# --- one turn, one commit --------------------------------------------------------------------------------


@on_loop
async def test_an_answer_leaves_after_its_record_is_durable() -> None:
    """When the answer reaches the connection, the log holds the record under the same request id."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    assert exchange.status == 0  # handled, and put aside
    await turn()

    assert exchange.status == 200
    (record,) = exchange.records
    assert (record.action, record.outcome, record.auth) == ("kms:Encrypt", "Success", "sigv4")
    assert record.key.endswith(key_id)
    assert record.source == "192.0.2.1"


@on_loop
async def test_all_requests_of_a_turn_are_settled_by_one_commit() -> None:
    """What arrives in one turn of the loop costs one commit, however much it is."""
    bench = Bench()
    key_id = await bench.key()
    cells = bench.slots.cells(0)
    commits, entries = cells[Cell.AUDIT_COMMITS], cells[Cell.AUDIT_ENTRIES]

    exchanges = [bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA") for _ in range(20)]
    await turn()

    assert [exchange.status for exchange in exchanges] == [200] * 20
    assert cells[Cell.AUDIT_COMMITS] - commits == 1
    assert cells[Cell.AUDIT_ENTRIES] - entries == 20


@on_loop
async def test_request_ids_are_unique_and_shaped_like_aws() -> None:
    """Every answer has a request id of its own, 8-4-4-4-12 hex digits."""
    bench = Bench()
    key_id = await bench.key()
    exchanges = [bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA") for _ in range(50)]
    exchanges += [bench.send("Encrypt", KeyId="nonsense", Plaintext="AAAA") for _ in range(50)]
    await turn()

    ids = {exchange.request for exchange in exchanges}
    assert len(ids) == 100
    assert all(REQUEST_ID.fullmatch(each) for each in ids)


@on_loop
async def test_requests_are_counted_by_operation_and_outcome() -> None:
    """A success, a refusal of the gate and a request nobody understood count where they belong."""
    bench = Bench()
    key_id = await bench.key()
    before = bench.count("Encrypt", Outcome.OK)

    await bench.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")
    await bench.ask("Encrypt", KeyId="alias/nothing", Plaintext="AAAA")
    await bench.ask("Encrypt", KeyId="?", Plaintext="AAAA")
    await bench.ask("Encrypt", ("AKIANOBODY", "x"), KeyId=key_id, Plaintext="AAAA")

    assert bench.count("Encrypt", Outcome.OK) - before == 1
    assert bench.count("Encrypt", Outcome.NOT_FOUND) == 1
    assert bench.count(UNKNOWN, Outcome.NOT_FOUND) == 1  # the name is not in any of the forms
    assert bench.count(UNKNOWN, Outcome.DENIED) == 1


@on_loop
async def test_an_error_says_what_kind_it_is_and_when_to_try_again() -> None:
    """Beside AWS's type stands our own code and kind; a pace only where trying again makes sense."""
    bench = Bench()
    key_id = await bench.key()
    refused = await bench.ask("Encrypt", KeyId="alias/nothing", Plaintext="AAAA")
    assert refused.headers_out["X-Keystead-Error"] == "NotFound; kind=not-found"
    assert "Retry-After" not in refused.headers_out

    worked = await bench.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")
    assert "X-Keystead-Error" not in worked.headers_out

    down = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    bench.house.audit.stop_disk()
    await turn()
    assert down.headers_out["X-Keystead-Error"] == "AuditUnavailable; kind=unavailable"
    assert down.headers_out["Retry-After"] == "1"


# --- the log fails ---------------------------------------------------------------------------------------


@on_loop
async def test_a_failing_commit_lets_nothing_leave() -> None:
    """When the records of a turn cannot be written, all of its requests are answered 503."""
    bench = Bench()
    key_id = await bench.key()
    durable = len(bench.house.entries())

    exchanges = [bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA") for _ in range(3)]
    bench.house.audit.stop_disk()
    await turn()

    assert [(e.status, e.error) for e in exchanges] == [(503, "ServiceUnavailableException")] * 3
    assert all("CiphertextBlob" not in e.answer for e in exchanges)
    assert bench.slots.health(0) == (State.RED, Reason.AUDIT_UNAVAILABLE)
    assert bench.slots.read(0, Cell.AUDIT_FAILURES) == 1
    assert bench.count("Encrypt", Outcome.UNAVAILABLE) == 3

    # While the log is down, requests are refused at once; and when the disk is mended, all goes on.
    assert bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA").status == 503
    assert (
        bench.send("Encrypt", KeyId="?", Plaintext="AAAA").status == 503
    )  # not even refused without a record
    bench.house.audit.mend_disk()
    bench.house.audit.later()
    await asyncio.sleep(TEND_SECONDS * 1.5)

    assert bench.slots.health(0) == (State.GREEN, Reason.NONE)
    assert (await bench.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")).status == 200
    assert len(bench.house.entries()) == durable + 1


@on_loop
async def test_nothing_is_changed_without_a_durable_intent() -> None:
    """A change whose intent cannot be recorded is not begun."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("DisableKey", KeyId=key_id)
    bench.house.audit.stop_disk()
    await turn()
    refused_at_once = bench.send("DisableKey", KeyId=key_id)

    assert (exchange.status, exchange.error) == (503, "ServiceUnavailableException")
    assert refused_at_once.status == 503
    assert bench.pool.jobs == []
    assert bench.key_exists(key_id)
    assert bench.worker._pooled == 0


@pytest.mark.parametrize("when", ["append", "commit"])
@on_loop
async def test_the_outcome_of_a_change_is_owed_until_the_log_takes_it(when: str) -> None:
    """A change that was made while the log failed is answered 503, and recorded once the log has healed."""
    bench = Bench()
    key_id = await bench.key()
    exchange = bench.send("DisableKey", KeyId=key_id)
    await turn()
    assert bench.durable("DisableKey") == [("intent", "")]

    bench.house.audit.stop_disk()
    if when == "append":  # somebody else's turn meets the failure first
        bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
        await turn()
    bench.pool.run()
    await turn()

    assert (exchange.status, exchange.error) == (503, "ServiceUnavailableException")
    assert not bench.key_exists(key_id)  # it was made
    assert bench.durable("DisableKey") == [("intent", "")]

    bench.house.audit.mend_disk()
    bench.house.audit.later()
    await asyncio.sleep(TEND_SECONDS * 2.5)
    assert bench.durable("DisableKey") == [("intent", ""), ("outcome", "Success")]
    assert bench.worker._pooled == 0


# --- what an answer rests on has changed -----------------------------------------------------------------


@on_loop
async def test_a_key_disabled_elsewhere_answers_nothing_any_more() -> None:
    """A change that another worker committed between handling and settling counts."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    bench.elsewhere(c.DisableKey(KeyReference(key_id)))
    await bench.until(exchange)

    assert exchange.error == "DisabledException"
    assert [record.outcome for record in exchange.records] == ["KeyDisabled"]
    # The first try is on record as well, under an id of its own: its answer existed, and did not leave.
    assert bench.durable("Encrypt")[-2:] == [("", "Success"), ("", "KeyDisabled")]


@on_loop
async def test_an_alias_moved_elsewhere_leads_to_its_new_key() -> None:
    """The second answer is made with what is true now."""
    bench = Bench()
    first, second = await bench.key(), await bench.key()
    await bench.ask("CreateAlias", AliasName="alias/app", TargetKeyId=first)
    await bench.ask("Encrypt", KeyId="alias/app", Plaintext="AAAA")

    exchange = bench.send("Encrypt", KeyId="alias/app", Plaintext="AAAA")
    bench.elsewhere(c.UpdateAlias("alias/app", KeyReference(second)))
    await bench.until(exchange)

    assert exchange.status == 200
    assert exchange.answer["KeyId"].endswith(second)


@on_loop
async def test_a_policy_taken_away_elsewhere_counts() -> None:
    """A principal who lost a permission between handling and settling gets the refusal."""
    bench = Bench()
    key_id = await bench.key()
    alice = bench.house.user("alice", EVERYTHING)
    assert (await bench.ask("Encrypt", alice, KeyId=key_id, Plaintext="AAAA")).status == 200

    exchange = bench.send("Encrypt", alice, KeyId=key_id, Plaintext="AAAA")
    bench.elsewhere(i.PutPrincipalPolicy("alice", ""))
    await bench.until(exchange)

    assert exchange.error == "AccessDeniedException"


@pytest.mark.parametrize("operation", ["Encrypt", "DescribeKey"])
@on_loop
async def test_an_access_key_disabled_elsewhere_is_not_known_any_more(operation: str) -> None:
    """A credential that was revoked between handling and settling gets nothing, hot or not."""
    bench = Bench()
    key_id = await bench.key()
    alice = bench.house.user("alice", EVERYTHING)
    members = {"KeyId": key_id} | ({"Plaintext": "AAAA"} if operation == "Encrypt" else {})
    assert (await bench.ask(operation, alice, **members)).status == 200

    exchange = bench.send(operation, alice, **members)
    bench.pool.run()
    bench.elsewhere(i.SetAccessKeyStatus(alice[0], False))
    await bench.until(exchange)

    assert exchange.error == "UnrecognizedClientException"


@on_loop
async def test_a_description_changed_elsewhere_is_read_again() -> None:
    """What a thread of the pool has read is checked as well."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("DescribeKey", KeyId=key_id)
    bench.pool.run()
    bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), "new"))
    await bench.until(exchange)

    assert exchange.answer["KeyMetadata"]["Description"] == "new"


@on_loop
async def test_a_change_that_another_turn_has_taken_in_counts_as_well() -> None:
    """What a thread has read stays checked against all that has changed since, whoever noticed it first."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("DescribeKey", KeyId=key_id)
    bench.pool.run()
    bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), "new"))
    bench.gate.settle(())  # another turn's
    await bench.until(exchange)

    assert exchange.answer["KeyMetadata"]["Description"] == "new"


@on_loop
async def test_a_change_of_something_else_holds_nothing_up() -> None:
    """An answer that does not rest on what changed leaves at once."""
    bench = Bench()
    key_id, other_id = await bench.key(), await bench.key()

    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    bench.elsewhere(c.DisableKey(KeyReference(other_id)))
    await turn()

    assert exchange.status == 200
    assert bench.durable("Encrypt") == [("", "Success")] * 3  # two when the keys were made


@on_loop
async def test_a_change_is_made_once_though_anything_could_have_changed() -> None:
    """When the feed of changes is cut short, what was read is read again, but no change is made again."""
    bench = Bench(Memory(kept_changes=1))
    key_id = await bench.key()

    created, used = bench.send("CreateKey"), bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    for number in range(2):  # the intent is settled after these
        bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), str(number)))
    await turn()
    bench.pool.run()  # the change is made, and its outcome settled after these
    for number in range(2):
        bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), str(number)))
    await bench.until(created, used)

    assert (created.status, used.status) == (200, 200)
    assert bench.durable("CreateKey") == [("intent", ""), ("outcome", "Success")] * 2
    with bench.house.store.view() as view:
        assert len(view.keys(ACCOUNT, REGION, "", 10)) == 2


@on_loop
async def test_a_request_whose_ground_never_stands_still_is_refused() -> None:
    """After so many tries the answer is 503, with a record, instead of another try."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    for number in range(20 * MOST_TRIES):
        if exchange.status:
            break
        bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), str(number)))
        bench.pool.run()
        await asyncio.sleep(0)

    assert exchange.error == "DependencyTimeoutException"
    assert [record.outcome for record in exchange.records] == ["StoreUnavailable"]


# --- what takes long -------------------------------------------------------------------------------------

SIGN: Any = {"Message": "AAAA", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}


@on_loop
async def test_slow_work_keeps_nobody_else_waiting() -> None:
    """A signature is made on another thread, and others are answered meanwhile; then it is recorded and leaves."""
    bench = Bench()
    key_id, quick = await bench.signing_key(), await bench.key()
    exchange = bench.send("Sign", KeyId=key_id, **SIGN)
    other = bench.send("Encrypt", KeyId=quick, Plaintext="AAAA")
    await turn()
    assert (exchange.status, other.status) == (0, 200)
    assert bench.durable("Sign") == []

    bench.slow_pool.run()
    await turn()
    assert exchange.status == 200
    assert [record.outcome for record in exchange.records] == ["Success"]
    assert bench.worker._pooled == 0


@on_loop
async def test_slow_work_that_fails_is_recorded_and_told() -> None:
    """What comes of it on the other thread is an answer like any."""
    bench = Bench()
    key_id = await bench.signing_key()
    exchange = await bench.ask("Verify", KeyId=key_id, Signature="AAAA", **SIGN)
    assert exchange.error == "KMSInvalidSignatureException"
    assert [record.outcome for record in exchange.records] == ["SignatureMismatch"]


@on_loop
async def test_slow_work_may_be_done_in_parts() -> None:
    """Re-encryption from one slow key to another goes to the pool twice."""
    bench = Bench()
    made = [await bench.ask("CreateKey", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT") for _ in range(2)]
    first, second = (str(one.answer["KeyMetadata"]["KeyId"]) for one in made)
    algorithm = "RSAES_OAEP_SHA_256"
    sealed = await bench.ask("Encrypt", KeyId=first, Plaintext="AAAA", EncryptionAlgorithm=algorithm)
    exchange = await bench.ask(
        "ReEncrypt",
        CiphertextBlob=sealed.answer["CiphertextBlob"],
        SourceKeyId=first,
        DestinationKeyId=second,
        SourceEncryptionAlgorithm=algorithm,
        DestinationEncryptionAlgorithm=algorithm,
    )
    assert exchange.status == 200
    assert bench.durable("ReEncrypt") == [("", "Success")]
    assert bench.worker._pooled == 0


@on_loop
async def test_what_changed_while_slow_work_was_done_counts() -> None:
    """A signature by a key that was disabled meanwhile does not leave."""
    bench = Bench()
    key_id = await bench.signing_key()
    exchange = bench.send("Sign", KeyId=key_id, **SIGN)
    bench.elsewhere(c.DisableKey(KeyReference(key_id)))
    await bench.until(exchange)
    assert exchange.error == "DisabledException"
    assert bench.durable("Sign") == [("", "Success"), ("", "KeyDisabled")]


@on_loop
async def test_the_queue_for_slow_work_is_bounded() -> None:
    """Too much at once is refused, on record, and not begun."""
    bench = Bench()
    key_id = await bench.signing_key()
    waiting = [bench.send("Sign", KeyId=key_id, **SIGN) for _ in range(MOST_WAITING)]
    refused = bench.send("Sign", KeyId=key_id, **SIGN)
    await turn()
    assert refused.error == "ThrottlingException"
    assert [record.outcome for record in refused.records] == ["Throttled"]
    await bench.until(*waiting)
    assert {exchange.status for exchange in waiting} == {200}


@on_loop
async def test_slow_work_is_not_told_without_its_record() -> None:
    """When the log fails meanwhile, the signature stays here and the caller gets a 503."""
    bench = Bench()
    key_id, quick = await bench.signing_key(), await bench.key()
    exchange = bench.send("Sign", KeyId=key_id, **SIGN)
    bench.house.audit.stop_disk()
    bench.send("Encrypt", KeyId=quick, Plaintext="AAAA")
    await turn()
    bench.slow_pool.run()
    await turn()
    assert (exchange.status, exchange.error) == (503, "ServiceUnavailableException")
    assert bench.worker._pooled == 0


# --- changes ---------------------------------------------------------------------------------------------


@on_loop
async def test_a_change_is_announced_made_recorded_and_then_answered() -> None:
    """Intent durable, then the store, then outcome durable, then the answer."""
    bench = Bench()
    key_id = await bench.key()

    exchange = bench.send("DisableKey", KeyId=key_id)
    assert bench.pool.jobs == []
    assert bench.durable("DisableKey") == []
    await turn()
    assert bench.durable("DisableKey") == [("intent", "")]
    assert bench.key_exists(key_id)  # still
    bench.pool.run()
    assert not bench.key_exists(key_id)
    assert exchange.status == 0
    await turn()

    assert exchange.status == 200
    assert [(r.stage, r.outcome) for r in exchange.records] == [("intent", ""), ("outcome", "Success")]


@on_loop
async def test_a_change_that_is_refused_has_an_outcome_too() -> None:
    """An intent never stays alone: what was not allowed is recorded as that."""
    bench = Bench()
    key_id = await bench.key()
    exchange = await bench.ask("DisableKey", bench.house.user("mallory"), KeyId=key_id)

    assert exchange.error == "AccessDeniedException"
    assert [r.outcome for r in exchange.records] == ["", "AccessDenied"]
    assert bench.count("DisableKey", Outcome.DENIED) == 1


@on_loop
async def test_the_queue_for_the_store_is_bounded() -> None:
    """More than so many requests for the pool are throttled, also when all of them come in one turn."""
    bench = Bench()
    key_id = await bench.key()

    changes = [bench.send("UpdateKeyDescription", KeyId=key_id, Description="x") for _ in range(200)]
    reads = [bench.send("DescribeKey", KeyId=key_id) for _ in range(100)]
    hot = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    await turn()

    throttled = [exchange for exchange in changes + reads if exchange.status]
    assert [exchange.error for exchange in throttled] == ["ThrottlingException"] * (300 - MOST_WAITING)
    assert [exchange.records[0].outcome for exchange in throttled] == ["Throttled"] * len(throttled)
    assert hot.status == 200  # it needs no pool
    await bench.until(*changes, *reads)
    assert sum(exchange.status == 200 for exchange in changes + reads) == MOST_WAITING
    assert (await bench.ask("DescribeKey", KeyId=key_id)).status == 200  # room again


# --- loading ---------------------------------------------------------------------------------------------


@on_loop
async def test_one_load_serves_all_who_wait_for_it() -> None:
    """Requests that miss the same thing wait for one load, and all are answered."""
    bench = Bench()
    exchanges = [bench.send("GenerateRandom", NumberOfBytes=8) for _ in range(10)]

    assert len(bench.pool.jobs) == 1  # the access key, once
    bench.pool.run()
    await turn()
    assert [exchange.status for exchange in exchanges] == [200] * 10


@on_loop
async def test_made_up_access_keys_do_not_fill_the_pool() -> None:
    """Loads of different things are bounded: who comes after that many is throttled, and recorded."""
    bench = Bench()
    nobody = [(f"AKIANOBODY{number:010d}", "secret") for number in range(MOST_LOADING + 3)]
    exchanges = [bench.send("GenerateRandom", pair, NumberOfBytes=8) for pair in nobody]
    await turn()

    throttled = [exchange for exchange in exchanges if exchange.status]
    assert [exchange.error for exchange in throttled] == ["ThrottlingException"] * 3
    assert [exchange.records[0].outcome for exchange in throttled] == ["Throttled"] * 3
    await bench.until(*exchanges)
    assert {exchange.error for exchange in exchanges[:MOST_LOADING]} == {"UnrecognizedClientException"}


@on_loop
async def test_a_load_that_fails_answers_and_records_an_error() -> None:
    """Stored material that does not open is an error for all who wait, without its text."""
    bench = Bench()
    key_id = await bench.key()
    with bench.house.store.transact("damage") as tx:
        key = tx.key(REGION, key_id)
        assert key is not None
        tx.erase_versions(REGION, key_id)
    exchanges = [bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA") for _ in range(2)]
    await bench.until(*exchanges)

    assert [(e.status, e.answer) for e in exchanges] == [(500, {"__type": "KMSInternalException"})] * 2
    assert [e.records[0].outcome for e in exchanges] == [DataDamaged.code] * 2


@on_loop
async def test_a_load_that_meets_a_bug_answers_and_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception on the pool's thread is an error for those who wait, and heard of."""
    bench = Bench()
    bug = ValueError(SECRET_TEXT)

    def broken(*_: object) -> object:
        raise bug

    monkeypatch.setattr(bench.gate.working, "load", broken)
    exchange = await bench.ask("GenerateRandom", NumberOfBytes=8)

    assert (exchange.status, exchange.answer) == (500, {"__type": "KMSInternalException"})
    assert bench.faults == [bug]
    assert exchange.records[0].outcome == "Internal"


# --- the store is out of reach ---------------------------------------------------------------------------


@on_loop
async def test_what_cannot_be_checked_does_not_leave() -> None:
    """While the store cannot say what has changed, answers that rest on it are 503 and health is red."""
    store = MoodyStore()
    bench = Bench(store)
    key_id = await bench.key()
    failures = bench.slots.read(0, Cell.AUDIT_FAILURES)

    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    store.away = True
    await turn()

    assert (exchange.status, exchange.error) == (503, "DependencyTimeoutException")
    assert bench.slots.health(0) == (State.RED, Reason.STORE_UNAVAILABLE)
    assert bench.slots.read(0, Cell.AUDIT_FAILURES) == failures  # the log is well
    await asyncio.sleep(TEND_SECONDS * 1.5)
    assert bench.slots.health(0)[0] is State.RED

    # Green again without any request: an idle worker that nobody asks would stay red for ever.
    store.away = False
    await asyncio.sleep(TEND_SECONDS * 1.5)
    assert bench.slots.health(0) == (State.GREEN, Reason.NONE)
    assert (await bench.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")).status == 200


class FullStore(Memory):
    """A store whose disk may have no room for changes."""

    full = False

    @override
    @contextlib.contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        if self.full:
            raise StoreUnavailable("the disk is full")
        with super().transact(request) as tx:
            yield tx


@on_loop
async def test_a_store_that_takes_no_change_is_a_warning() -> None:
    """Uses go on; the warning is counted and told, and ends with the next change that is made."""
    store = FullStore()
    bench = Bench(store=store)
    key = await bench.key()
    store.full = True
    assert (await bench.ask("CreateKey")).error == "DependencyTimeoutException"
    assert bench.slots.health(0) == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    assert bench.slots.read(0, Cell.STORE_REFUSALS) == 1
    assert (await bench.ask("Encrypt", KeyId=key, Plaintext="AAAA")).status == 200
    bench.worker._tend()
    assert bench.slots.health(0) == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    store.full = False
    assert (await bench.ask("DisableKey", KeyId="nowhere")).error == "NotFoundException"  # proves nothing
    assert bench.slots.health(0) == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    assert (await bench.ask("CreateKey")).status == 200
    assert bench.slots.health(0) == (State.GREEN, Reason.NONE)


@on_loop
async def test_a_log_that_lives_on_its_reserve_is_a_warning() -> None:
    """While tiles cannot be written the log still takes records: that is told before it ends."""
    bench = Bench()
    key = await bench.key()
    bench.house.audit.disk.capacity = 0
    assert (await bench.ask("Encrypt", KeyId=key, Plaintext="AAAA")).status == 200
    bench.house.audit.later()
    bench.worker._tend()
    assert bench.slots.health(0) == (State.YELLOW, Reason.AUDIT_DEGRADED)
    assert (await bench.ask("Encrypt", KeyId=key, Plaintext="AAAA")).status == 200
    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.worker._tend()
    assert bench.slots.health(0) == (State.GREEN, Reason.NONE)
    (warned, well) = bench.health[-2:]
    assert warned[:2] == (State.YELLOW, Reason.AUDIT_DEGRADED)
    assert "tiles cannot be written" in warned[2]
    assert well == (State.GREEN, Reason.NONE, "")


@on_loop
async def test_a_change_that_was_made_is_answered_though_the_store_has_gone() -> None:
    """Its outcome rests on nothing that could have changed: a 503 would make the client do it again."""
    store = MoodyStore()
    bench = Bench(store)
    key_id = await bench.key()
    exchange = bench.send("DisableKey", KeyId=key_id)
    await turn()
    bench.pool.run()
    store.away = True
    await turn()

    assert exchange.status == 200


# --- bugs ------------------------------------------------------------------------------------------------


class BrokenAnswers(Json11):
    """A front that cannot write its answers."""

    @override
    def read(self, inquiry: Inquiry, request: str) -> Asked:
        asked = super().read(inquiry, request)

        def broken(_: Result) -> bytes:
            raise ValueError(SECRET_TEXT)

        return Asked(asked.operation, asked.caller, asked.command, broken)


class BrokenReading(Json11):
    """A front with a bug in its parser."""

    @override
    def read(self, inquiry: Inquiry, request: str) -> Asked:
        raise ValueError(SECRET_TEXT)


class BrokenErrors(Json11):
    """A front that cannot write an error."""

    @override
    def write_error(self, error: KeysteadError, request: str) -> tuple[int, bytes]:
        raise ValueError(SECRET_TEXT)


@on_loop
async def test_a_bug_in_an_action_is_a_silent_500(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client learns nothing of it, the record that it was one."""
    bench = Bench()

    def broken(_command: object, _desk: object) -> KeyDescription:
        raise ValueError(SECRET_TEXT)

    for command, operation in ((c.GenerateRandom, "GenerateRandom"), (c.DescribeKey, "DescribeKey")):
        mode = Mode.HOT if command is c.GenerateRandom else Mode.READ
        monkeypatch.setitem(ACTIONS, command, Action(f"kms:{operation}", mode, broken))
        members = {"NumberOfBytes": 8} if mode is Mode.HOT else {"KeyId": "alias/x"}
        exchange = await bench.ask(operation, **members)

        assert (exchange.status, exchange.answer) == (500, {"__type": "KMSInternalException"})
        (record,) = exchange.records
        assert (record.outcome, record.detail) == ("Internal", "ValueError")
        assert bench.count(operation, Outcome.INTERNAL) == 1
        assert [str(fault) for fault in bench.faults] == [SECRET_TEXT]  # the operator hears of it, once
        bench.faults.clear()


@on_loop
async def test_what_waits_for_others_keeps_nobody_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action of mode SLOW runs on the slow pool, and is recorded and answered like one that reads."""
    bench = Bench()
    await bench.ask("ListKeys")
    monkeypatch.setitem(ACTIONS, LISTING, replace(ACTIONS[LISTING], mode=Mode.SLOW))
    exchange = bench.send("ListKeys")
    assert (len(bench.pool.jobs), len(bench.slow_pool.jobs)) == (0, 1)
    await bench.until(exchange)

    assert exchange.status == 200
    (record,) = exchange.records
    assert (record.action, record.outcome, record.stage) == ("kms:ListKeys", "Success", "")


@on_loop
async def test_what_waits_for_others_is_done_a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask for it, so it never has all threads, nor all places; what is too much is told to wait."""
    bench = Bench()
    await bench.ask("ListKeys")
    monkeypatch.setitem(ACTIONS, LISTING, replace(ACTIONS[LISTING], mode=Mode.SLOW))
    exchanges = [bench.send("ListKeys") for _ in range(MOST_ABROAD + MOST_QUEUED + 1)]
    assert len(bench.slow_pool.jobs) == MOST_ABROAD
    await turn()
    assert [each.error for each in exchanges if each.status] == ["ThrottlingException"]
    bench.slow_pool.run()
    await turn()
    assert len(bench.slow_pool.jobs) == MOST_ABROAD
    await bench.until(*exchanges)
    assert [each.status for each in exchanges] == [200] * (MOST_ABROAD + MOST_QUEUED) + [400]


@on_loop
async def test_a_worker_that_ends_begins_nothing_that_waits_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has been begun is answered, what waits for its turn is not begun any more."""
    bench = Bench()
    await bench.ask("ListKeys")
    monkeypatch.setitem(ACTIONS, LISTING, replace(ACTIONS[LISTING], mode=Mode.SLOW))
    exchanges = [bench.send("ListKeys") for _ in range(MOST_ABROAD + 1)]
    bench.worker.close()
    assert [each.status for each in exchanges] == [200] + [0] * MOST_ABROAD
    assert bench.slow_pool.jobs == []


@on_loop
async def test_a_bug_in_writing_an_answer_is_a_silent_500() -> None:
    """A result that cannot be written is answered all the same, and reported."""
    bench = Bench(front=BrokenAnswers)
    exchange = await bench.ask("GenerateRandom", NumberOfBytes=8)

    assert (exchange.status, exchange.answer) == (500, {"__type": "KMSInternalException"})
    assert [type(fault) for fault in bench.faults] == [ValueError]
    assert bench.count("GenerateRandom", Outcome.INTERNAL) == 1


@on_loop
async def test_a_bug_in_reading_a_request_is_a_silent_500() -> None:
    """It is recorded as such, with what can be said of the request."""
    bench = Bench(front=BrokenReading)
    exchange = await bench.ask("GenerateRandom", NumberOfBytes=8)

    assert (exchange.status, exchange.answer) == (500, {"__type": "KMSInternalException"})
    (record,) = exchange.records
    assert (record.outcome, record.action) == ("Internal", "kms:GenerateRandom")
    assert [type(fault) for fault in bench.faults] == [ValueError]
    assert bench.faulty == [record.request]


@on_loop
async def test_a_bug_in_one_answer_does_not_cost_its_neighbours() -> None:
    """The others of the turn are answered; the one gets a bare 500."""
    bench = Bench(front=BrokenErrors)
    key_id = await bench.key()
    exchanges = [bench.send("Encrypt", KeyId=each, Plaintext="AAAA") for each in (key_id, "?", key_id)]
    await turn()

    assert [exchange.status for exchange in exchanges] == [200, 500, 200]
    assert exchanges[1].answer is None
    assert [type(fault) for fault in bench.faults] == [ValueError]


@on_loop
async def test_a_bug_in_settling_answers_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody knows what became of the records, nothing of the turn leaves and nobody waits for ever."""
    bench = Bench()
    key_id = await bench.key()
    bug = ValueError(SECRET_TEXT)

    def broken() -> None:
        raise bug

    used = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    changed = bench.send("DisableKey", KeyId=key_id)
    with monkeypatch.context() as patch:
        patch.setattr(bench.house.logs["w0"], "commit", broken)
        await turn()

    assert [(e.status, e.answer) for e in (used, changed)] == [(500, {"__type": "KMSInternalException"})] * 2
    assert bench.faults == [bug]
    assert bench.key_exists(key_id)
    assert (await bench.ask("Encrypt", KeyId=key_id, Plaintext="AAAA")).status == 200


@on_loop
async def test_a_bug_in_the_housekeeping_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and the next round comes."""
    bench = Bench()
    bug = ValueError(SECRET_TEXT)

    def broken() -> None:
        raise bug

    monkeypatch.setattr(bench.house.logs["w0"], "tend", broken)
    await asyncio.sleep(TEND_SECONDS * 2.5)
    assert bench.faults == [bug, bug]


# --- requests that no front sees -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "status", "error", "code"),
    [
        (http.MALFORMED, 400, "ValidationException", "InvalidRequest"),
        (http.HEAD_TOO_SLOW, 400, "ValidationException", "InvalidRequest"),
        (http.HEAD_TOO_LARGE, 413, "RequestEntityTooLargeException", "TooLarge"),
        (http.BODY_TOO_LARGE, 413, "RequestEntityTooLargeException", "TooLarge"),
    ],
    ids=lambda value: value.text if isinstance(value, http.Problem) else None,
)
@on_loop
async def test_what_the_listener_refuses_is_recorded_and_answered(
    problem: http.Problem, status: int, error: str, code: str
) -> None:
    """A malformed request has a record, and an answer in AWS's form."""
    bench = Bench()
    exchange = bench.refuse(
        problem,
        {b"x-amz-target": b"TrentService.Encrypt", b"authorization": b"... Credential=AKIACLAIMED/2026"},
    )
    await turn()

    assert (exchange.status, exchange.error) == (status, error)
    assert exchange.answer["message"] == problem.text
    (record,) = exchange.records
    assert (record.outcome, record.action, record.access_key) == (code, "kms:Encrypt", "AKIACLAIMED")
    assert record.principal == ""


@on_loop
async def test_what_the_listener_refuses_is_503_without_a_log() -> None:
    """Not even a malformed request is answered in substance without its record."""
    bench = Bench()
    await bench.key()
    bench.house.audit.stop_disk()
    exchange = bench.refuse(http.MALFORMED, {})
    await turn()
    at_once = bench.refuse(http.MALFORMED, {})

    assert (exchange.status, at_once.status) == (503, 503)


# --- the end ---------------------------------------------------------------------------------------------


@on_loop
async def test_closing_settles_what_is_left() -> None:
    """What was handled before the end is recorded and answered."""
    bench = Bench()
    key_id = await bench.key()
    exchange = bench.send("Encrypt", KeyId=key_id, Plaintext="AAAA")
    bench.worker.close()

    assert exchange.status == 200
    assert len(exchange.records) == 1


@on_loop
async def test_closing_finishes_the_change_that_is_being_made() -> None:
    """Its outcome is on record and its client is answered, though the loop ends."""
    bench = Bench()
    key_id = await bench.key()
    exchange = bench.send("DisableKey", KeyId=key_id)
    await turn()
    bench.worker.close()

    assert exchange.status == 200
    assert bench.durable("DisableKey") == [("intent", ""), ("outcome", "Success")]


@on_loop
async def test_closing_begins_no_change() -> None:
    """A change that has only been announced is refused, and the store stays as it is."""
    bench = Bench()
    key_id = await bench.key()
    exchange = bench.send("DisableKey", KeyId=key_id)
    bench.worker.close()

    assert (exchange.status, exchange.error) == (503, "ServiceUnavailableException")
    assert exchange.answer["message"].startswith("ShuttingDown: ")
    assert bench.key_exists(key_id)
    assert bench.pool.closed


@on_loop
async def test_after_closing_nothing_asks_the_store() -> None:
    """A request that comes later, or that a last load leads to another one, is told that the server stops."""
    bench = Bench()
    key_id = await bench.key()
    alice = bench.house.user("alice", EVERYTHING)
    waiting = bench.send("Encrypt", alice, KeyId=key_id, Plaintext="AAAA")  # waits for its access key
    bench.elsewhere(c.UpdateKeyDescription(KeyReference(key_id), "so that the key must be loaded again"))
    other = bench.send("GenerateRandom", NumberOfBytes=8)
    await turn()  # takes in the change
    bench.worker.close()
    late = bench.send("DescribeKey", KeyId=key_id)
    await turn()

    assert other.status == 200
    assert (waiting.status, late.status) == (503, 503)
    assert [e.records[0].outcome for e in (waiting, late)] == ["ShuttingDown"] * 2


@on_loop
async def test_closing_ends_the_housekeeping() -> None:
    """Nothing touches the log after the end."""
    bench = Bench()
    bench.worker.close()
    bench.house.logs["w0"].close()
    before = bench.slots.health(0)
    await asyncio.sleep(TEND_SECONDS * 1.5)

    assert bench.slots.health(0) == before
    assert bench.faults == []


@on_loop
async def test_closing_finishes_the_slow_work_that_is_being_done() -> None:
    """What a thread has begun is recorded and answered; what comes later is refused."""
    bench = Bench()
    key_id = await bench.signing_key()
    exchange = bench.send("Sign", KeyId=key_id, **SIGN)
    bench.worker.close()
    assert exchange.status == 200
    late = bench.send("Sign", KeyId=key_id, **SIGN)
    bench.worker._settle()
    assert (late.status, late.error) == (503, "ServiceUnavailableException")
    assert [record.outcome for record in late.records] == ["ShuttingDown"]
