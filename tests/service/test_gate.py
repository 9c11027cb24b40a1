"""The gate: one way in, nothing out without its record, and nothing that has changed meanwhile."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typing_extensions import override

from keystead.core.errors import (
    AuditUnavailable,
    DataDamaged,
    DryRun,
    InvalidCiphertext,
    StoreUnavailable,
    UnknownCredentials,
)
from keystead.core.names import KeyReference
from keystead.core.ports import Transaction
from keystead.core.principal import user_arn
from keystead.service import actions, gate
from keystead.service.action import Action, Mode
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.entry import Entry
from keystead.service.gate import InternalError
from keystead.service.workingset import CHANGES_AT_ONCE, NotLoaded
from keystead.store.memory import Memory
from keystead.testing.installation import ACCOUNT, REGION, Installation
from keystead.testing.service import ServiceBench, key_arn

ALICE = user_arn(ACCOUNT, "alice")
MAY_ALL = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
CANARIES = ("canary plaintext", "canary context", "canary description", "canary policy", "canary tag")


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and with alice, who may do everything as well."""
    bench = ServiceBench()
    bench.house.user("alice", MAY_ALL)
    return bench


def elsewhere(bench: ServiceBench) -> ServiceBench:
    """Another process of the same installation."""
    return ServiceBench(bench.house, "w1")


def with_access_key(bench: ServiceBench) -> Caller:
    """Alice with an access key of hers, as a front would have established it."""
    with bench.house.store.view() as view:
        (access_key,) = view.access_keys(ALICE)
    caller = bench.caller("alice")
    caller.access_key = access_key.id
    return caller


class Intercepted(Memory):
    """A store that tells when it is about to commit, and can be made to fail there or in a view."""

    def __init__(self) -> None:
        super().__init__()
        self.on_commit: Callable[[], None] = lambda: None
        self.on_view: Callable[[], None] = lambda: None

    @override
    @contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        with super().transact(request) as tx:
            yield tx
            self.on_commit()

    @override
    @contextmanager
    def view(self) -> Iterator[Any]:
        with super().view() as view:
            yield view
        self.on_view()


def intercepted() -> tuple[ServiceBench, Intercepted]:
    """A bench on such a store."""
    store = Intercepted()
    return ServiceBench(Installation(store)), store


@pytest.fixture
def buggy(monkeypatch: pytest.MonkeyPatch) -> None:
    """GenerateRandom, ListKeys and CreateKey have a bug, whose text holds what it must not."""

    def run(command: Command, _: object) -> object:
        raise ZeroDivisionError(CANARIES[0])

    rows: dict[type[Command], Action] = {
        c.GenerateRandom: Action("kms:GenerateRandom", Mode.HOT, run),
        c.ListKeys: Action("kms:ListKeys", Mode.READ, run),
        c.CreateKey: Action("kms:CreateKey", Mode.WRITE, run),
    }
    monkeypatch.setattr(gate, "ACTIONS", {**actions.ACTIONS, **rows})


# --- refusals --------------------------------------------------------------------------------------------


def test_a_refusal_is_written_down_and_opens_no_key(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Being refused costs an audit entry, and custody's cipher never hears of it."""
    bench.house.user("mallory")
    key = bench.key()
    blob = bench.do(c.Encrypt(key, b"x")).blob
    used: list[str] = []
    held = bench.gate.working.key(REGION, key.name)
    assert held is not None
    cipher = held.cipher

    class Watched:
        """The key's cipher, watched."""

        def seal(self, plaintext: bytes, aad: bytes) -> bytes:
            """Seal."""
            used.append("seal")
            return cipher.seal(plaintext, aad)

        def open(self, sealed: bytes, aad: bytes) -> bytes:
            """Open."""
            used.append("open")
            return cipher.open(sealed, aad)

    monkeypatch.setattr(held, "cipher", Watched())
    before = len(bench.records)
    assert bench.refusal(c.Decrypt(blob, key), "mallory").startswith("AccessDenied")
    assert bench.refusal(c.Encrypt(key, b"x"), "mallory").startswith("AccessDenied")

    assert used == []
    told = [(r.principal, r.action, r.key, r.outcome) for r in bench.records[before:]]
    mallory = user_arn(ACCOUNT, "mallory")
    assert told == [
        (mallory, "kms:Decrypt", key_arn(key), "AccessDenied"),
        (mallory, "kms:Encrypt", key_arn(key), "AccessDenied"),
    ]
    bench.do(c.Decrypt(blob))
    assert used == ["open"]


def test_what_never_became_a_command_is_written_down(bench: ServiceBench) -> None:
    """The front's description gets time, epoch and outcome."""
    bench.gate.working.catch_up()
    described = Entry(action="kms:Encrypt", access_key="AKIACLAIMED", request="r", source="192.0.2.7")
    answer = bench.gate.refuse(described, UnknownCredentials("no such key"))

    assert bench.gate.settle([answer]) == []
    with pytest.raises(UnknownCredentials, match="no such key"):
        answer.outcome()
    record = bench.records[-1]
    assert (record.outcome, record.access_key, record.source) == (
        "UnknownCredentials",
        "AKIACLAIMED",
        "192.0.2.7",
    )
    assert (record.v, record.time) == (1, int(bench.house.clock.now() * 1e6))
    assert record.epoch == bench.gate.working.epoch > 0
    assert (record.principal, record.decision) == ("", "")


def test_nothing_has_happened_when_something_is_not_loaded(bench: ServiceBench) -> None:
    """No record either: the same request is asked again."""
    key = bench.key()
    before = len(bench.records)
    with pytest.raises(NotLoaded) as missing:
        bench.gate.handle(bench.caller(), c.Encrypt(key, b"x"))
    assert (missing.value.wanted.kind, missing.value.wanted.ref) == ("key", key.name)
    assert bench.gate.settle(()) == []
    assert len(bench.records) == before


def test_a_damaged_row_is_told_to_the_operator(bench: ServiceBench) -> None:
    """The record says which row it was, shortened if need be."""
    long = "r" * 2000
    answer = bench.gate.refuse(Entry(), DataDamaged(long))
    assert (answer.entry.outcome, answer.entry.detail) == ("DataDamaged", long[:1000])
    assert bench.gate.refuse(Entry(), InvalidCiphertext()).entry.detail == ""


# --- records come first ----------------------------------------------------------------------------------


def test_nothing_is_durable_before_it_is_settled(bench: ServiceBench) -> None:
    """A record is only buffered by `handle`; `settle` makes all of them durable at once."""
    key = bench.key()
    before = len(bench.records)
    answers = [bench.handle(bench.caller(), c.Encrypt(key, b"x")) for _ in range(3)]
    assert len(bench.records) == before
    assert bench.gate.settle(answers) == []
    assert [r.request for r in bench.records[before:]] == [a.entry.request for a in answers]


def test_a_log_that_fails_at_commit_lets_nothing_leave(bench: ServiceBench) -> None:
    """Settling raises for all answers, and after that nothing is even begun, until the disk is mended."""
    key = bench.key()
    answer = bench.handle(bench.caller(), c.Encrypt(key, b"x"))
    bench.house.audit.stop_disk()
    with pytest.raises(AuditUnavailable):
        bench.gate.settle([answer])
    assert not bench.gate.healthy
    assert bench.gate.trouble
    for command in (c.Encrypt(key, b"x"), c.GenerateRandom(8)):
        with pytest.raises(AuditUnavailable):
            bench.handle(bench.caller(), command)
    for change_or_look in (c.DisableKey(key), c.DescribeKey(key)):
        with pytest.raises(AuditUnavailable):
            bench.do(change_or_look)
    with pytest.raises(AuditUnavailable):
        bench.gate.refuse(Entry(), DryRun())

    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.gate.tend()
    assert bench.gate.healthy
    assert not bench.gate.trouble
    assert bench.do(c.DescribeKey(key)).key.state == "Enabled"  # it was never disabled
    bench.do(c.Encrypt(key, b"x"))
    assert "kms:DisableKey" not in [r.action for r in bench.records]


def test_an_intent_is_durable_before_anything_changes() -> None:
    """At the moment of the commit the log says who is about to do what; afterwards, how it ended."""
    bench, store = intercepted()
    key = bench.key()
    seen: list[list[Entry]] = []
    store.on_commit = lambda: seen.append(bench.records)
    caller = bench.caller()
    bench.do(c.UpdateKeyDescription(key, CANARIES[2]), caller)

    (at_commit,) = seen
    intent, outcome = bench.records[-2:]
    assert at_commit[-1] == intent
    assert (intent.stage, intent.action, intent.outcome) == ("intent", "kms:UpdateKeyDescription", "")
    assert (intent.subject, intent.request) == (key.name, caller.request)
    assert (outcome.stage, outcome.action, outcome.outcome) == (
        "outcome",
        "kms:UpdateKeyDescription",
        "Success",
    )
    assert (outcome.request, outcome.key) == (caller.request, key_arn(key))


def test_a_change_that_cannot_be_announced_is_not_made(bench: ServiceBench) -> None:
    """The disk fails under the intent: the store is not touched."""
    key = bench.key()
    bench.house.audit.stop_disk()
    for _ in range(2):  # at the commit, then at the append
        with pytest.raises(AuditUnavailable):
            bench.do(c.DisableKey(key))
    with bench.house.store.view() as view:
        stored = view.key(REGION, key.name)
    assert stored is not None
    assert stored.state == "Enabled"


@pytest.mark.parametrize("at", ["append", "commit"])
def test_the_outcome_of_a_change_is_owed_until_the_log_takes_it(at: str) -> None:
    """The log fails between a change and its outcome: nobody is told, and the record comes after healing."""
    bench, store = intercepted()
    key = bench.key()

    def stop() -> None:
        bench.house.audit.stop_disk()
        if at == "append":
            bench.house.logs["w0"].append(b"{}")
            with pytest.raises(AuditUnavailable):
                bench.house.logs["w0"].commit()

    store.on_commit = stop
    caller = bench.caller()
    with pytest.raises(AuditUnavailable):
        bench.do(c.DisableKey(key), caller)
    store.on_commit = lambda: None
    assert [r.stage for r in bench.records if r.request == caller.request] == ["intent"]
    bench.gate.tend()  # nothing is better yet
    bench.house.audit.later()
    bench.gate.tend()
    assert not bench.gate.healthy

    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.gate.tend()
    (intent, outcome) = [r for r in bench.records if r.request == caller.request]
    assert (intent.stage, outcome.stage, outcome.outcome) == ("intent", "outcome", "Success")
    bench.gate.tend()
    bench.gate.settle(())
    assert len([r for r in bench.records if r.request == caller.request]) == 2


def test_what_is_owed_stays_owed_if_the_log_fails_again() -> None:
    """A disk that breaks at once after healing loses nothing."""
    bench, store = intercepted()
    key = bench.key()
    store.on_commit = bench.house.audit.stop_disk
    caller = bench.caller()
    with pytest.raises(AuditUnavailable):
        bench.do(c.DisableKey(key), caller)
    store.on_commit = lambda: None
    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.house.logs["w0"].tend()  # healed; what is owed is written next, on a disk that fails again
    assert bench.gate.healthy
    bench.house.audit.stop_disk()
    bench.gate.tend()
    assert not bench.gate.healthy

    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.gate.tend()
    assert [r.stage for r in bench.records if r.request == caller.request] == ["intent", "outcome"]


def test_a_read_owes_nothing() -> None:
    """Its answer did not leave, and it changed nothing: it is as if it had not been asked."""
    bench, store = intercepted()
    key = bench.key()
    caller = bench.caller()
    store.on_view = bench.house.audit.stop_disk
    with pytest.raises(AuditUnavailable):
        bench.do(c.DescribeKey(key), caller)
    store.on_view = lambda: None
    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.gate.tend()
    assert [r for r in bench.records if r.request == caller.request] == []


def test_a_commit_that_fails_takes_the_result_with_it() -> None:
    """The store says that nothing happened; so do the answer and the record."""
    bench, store = intercepted()

    def fail() -> None:
        raise StoreUnavailable("the disk is full")

    store.on_commit = fail
    assert bench.refusal(c.CreateKey()) == "StoreUnavailable: the disk is full"
    store.on_commit = lambda: None
    assert bench.do(c.ListKeys()).keys == []


def test_a_change_that_is_done_is_answered_though_the_store_goes_away() -> None:
    """It is on record and rests on nothing: saying that it failed would make the client do it again."""
    bench, store = intercepted()
    key = bench.key()

    def fail() -> None:
        raise StoreUnavailable("gone")

    # The last view of a change is the look at what has changed elsewhere.
    store.on_commit = lambda: setattr(store, "on_view", fail)
    bench.do(c.DisableKey(key))
    store.on_commit = store.on_view = lambda: None
    assert bench.do(c.DescribeKey(key)).key.state == "Disabled"


def test_a_read_is_not_answered_if_the_store_cannot_say_what_changed() -> None:
    """Whether what it rests on has changed cannot be seen, so it may not leave."""
    bench, store = intercepted()
    key = bench.key()

    def fail() -> None:
        raise StoreUnavailable("gone")

    def change() -> None:
        store.on_view = lambda: None
        with store.transact("meanwhile") as tx:
            tx.put_setting("a", "b")
        store.on_view = fail

    store.on_view = change
    with pytest.raises(StoreUnavailable, match="gone"):
        bench.do(c.DescribeKey(key))


# --- what an answer rests on -----------------------------------------------------------------------------


def disable_key(bench: ServiceBench, key: KeyReference) -> None:
    """The key goes out of use."""
    bench.do(c.DisableKey(key))


def change_key_policy(bench: ServiceBench, key: KeyReference) -> None:
    """The key gets another policy."""
    policy = (
        '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/admin"}, '
        '"Action": "kms:*", "Resource": "*"}}'
    )
    bench.do(c.PutKeyPolicy(key, policy))


def change_identity_policy(bench: ServiceBench, _: KeyReference) -> None:
    """The user's own policy is taken away."""
    bench.do(i.PutPrincipalPolicy("alice", ""))


def delete_principal(bench: ServiceBench, _: KeyReference) -> None:
    """The user is removed."""
    bench.do(i.DeletePrincipal("alice"))


def disable_access_key(bench: ServiceBench, _: KeyReference) -> None:
    """The access key is disabled."""
    (access_key,) = bench.do(i.ListAccessKeys("alice")).access_keys
    bench.do(i.SetAccessKeyStatus(access_key.id, enabled=False))


def move_alias(bench: ServiceBench, _: KeyReference) -> None:
    """The alias leads to another key."""
    bench.do(c.UpdateAlias("alias/app", bench.key()))


def rotate(bench: ServiceBench, key: KeyReference) -> None:
    """The key has fresh material."""
    bench.do(c.RotateKeyOnDemand(key))


@pytest.mark.parametrize(
    "change",
    [
        disable_key,
        change_key_policy,
        change_identity_policy,
        delete_principal,
        disable_access_key,
        move_alias,
        rotate,
    ],
)
def test_an_answer_that_rests_on_what_changed_does_not_leave(
    bench: ServiceBench, change: Callable[[ServiceBench, KeyReference], None]
) -> None:
    """Another process changes key, policy, principal, access key or alias between deciding and settling."""
    key, other = bench.key(), bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    caller = with_access_key(bench)
    there = elsewhere(bench)
    by_alias = bench.handle(caller, c.Encrypt(KeyReference("alias/app", is_alias=True), b"x"))
    unrelated = bench.handle(bench.caller(), c.Encrypt(other, b"x"))
    change(there, key)
    assert by_alias.error is None  # it had been allowed

    assert bench.gate.settle([by_alias, unrelated]) == [by_alias]


def test_a_refusal_that_rests_on_what_changed_does_not_leave_either(bench: ServiceBench) -> None:
    """A key that was just enabled elsewhere is not refused as disabled any more."""
    key = bench.key()
    bench.do(c.DisableKey(key))
    refused = bench.handle(bench.caller(), c.Encrypt(key, b"x"))
    elsewhere(bench).do(c.EnableKey(key))
    assert bench.gate.settle([refused]) == [refused]
    assert bench.do(c.Encrypt(key, b"x"))


def test_a_blob_of_a_version_not_yet_heard_of_is_asked_about_again(bench: ServiceBench) -> None:
    """Another process rotates and seals: here it opens as well, without a wrong word in between."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"))
    there = elsewhere(bench)
    there.do(c.RotateKeyOnDemand(key))
    blob = there.do(c.Encrypt(key, b"y")).blob

    assert bench.do(c.Decrypt(blob)).plaintext == b"y"
    assert bench.records[-1].version == 2


def test_more_changes_than_are_kept_withhold_everything(bench: ServiceBench) -> None:
    """What cannot be known is taken as changed."""
    key, other = bench.key(), bench.key()
    answer = bench.handle(bench.caller(), c.Encrypt(key, b"x"))
    with bench.house.store.transact("many") as tx:
        for number in range(CHANGES_AT_ONCE):
            tx.put_setting(f"s{number}", "")
    assert bench.gate.settle([answer]) == [answer]
    assert bench.do(c.Encrypt(other, b"x"))


def test_an_answer_from_before_a_restore_does_not_leave(bench: ServiceBench) -> None:
    """Its epoch is one that the store has not come to: what it rests on is not known."""
    key = bench.key()
    answer = bench.handle(bench.caller(), c.Encrypt(key, b"x"))
    answer.entry.epoch += 1000
    assert bench.gate.settle([answer]) == [answer]


def test_a_change_rests_on_nothing(bench: ServiceBench) -> None:
    """It was decided and done in one transaction; whatever happens then, it has happened."""
    key = bench.key()
    caller = bench.caller()
    bench.gate.intend(caller, c.DisableKey(key))
    answer = bench.gate.perform(caller, c.DisableKey(key))
    bench.gate.record(answer)
    elsewhere(bench).do(c.EnableKey(key))
    assert bench.gate.settle([answer]) == []


def test_a_read_is_asked_again_until_it_is_true() -> None:
    """What was read and changed before it could be answered is read anew, and both are on record."""
    bench, store = intercepted()
    key = bench.key()
    there = elsewhere(bench)
    caller = bench.caller()

    def change() -> None:
        store.on_view = lambda: None
        there.do(c.UpdateKeyDescription(key, "new"))

    store.on_view = change
    assert bench.do(c.DescribeKey(key), caller).key.description == "new"
    assert [r.outcome for r in bench.records if r.request == caller.request] == ["Success", "Success"]


def test_a_read_that_is_never_true_gives_up() -> None:
    """Something that changes all the time is an error and not an endless loop."""
    bench, store = intercepted()
    key = bench.key()
    there = elsewhere(bench)

    def change() -> None:
        store.on_view = lambda: None
        there.do(c.UpdateKeyDescription(key, f"{len(there.records)}"))
        store.on_view = change

    caller = bench.caller()
    store.on_view = change
    with pytest.raises(StoreUnavailable, match="keeps changing"):
        bench.do(c.DescribeKey(key), caller)


# --- bugs ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("buggy")
@pytest.mark.parametrize("command", [c.GenerateRandom(8), c.ListKeys(), c.CreateKey()])
def test_a_bug_is_recorded_and_told_to_nobody(bench: ServiceBench, command: Command) -> None:
    """The answer and the record say Internal and the kind of the exception, never its text."""
    answer = bench.answer(command)
    assert isinstance(answer.error, InternalError)
    assert str(answer.error) == "ZeroDivisionError"
    assert isinstance(answer.error.__cause__, ZeroDivisionError)  # for the operator's log
    assert answer.result is None
    record = bench.records[-1]
    assert (record.outcome, record.detail) == ("Internal", "ZeroDivisionError")


def test_an_error_keeps_no_frames(bench: ServiceBench) -> None:
    """Frames hold plaintexts; an answer is freed at once when nobody holds it, without a garbage collector."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, b"x")).blob
    gc.disable()
    try:
        answer = bench.handle(bench.caller(), c.Decrypt(blob[:-1]))
        error = answer.error
        assert error is not None
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
        assert sys.getrefcount(answer) == 2  # this name and the argument
    finally:
        gc.enable()


def test_an_outcome_is_the_result_or_the_error(bench: ServiceBench) -> None:
    """Nobody can mistake one for the other."""
    key = bench.key()
    good, bad = bench.answer(c.Encrypt(key, b"x")), bench.answer(c.Decrypt(b""))
    assert good.outcome() is good.result
    with pytest.raises(InvalidCiphertext):
        bad.outcome()


# --- decisions that are remembered -----------------------------------------------------------------------


def test_remembered_decisions_are_bounded(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many callers of one key cannot fill the memory."""
    monkeypatch.setattr(gate, "RULINGS_KEPT", 3)
    key = bench.key()
    for _ in range(5):
        bench.do(c.Encrypt(key, b"x"))  # a new identity each time
    held = bench.gate.working.key(REGION, key.name)
    assert held is not None
    assert len(held.rulings) == 2


def test_a_decision_without_a_key_is_remembered(bench: ServiceBench) -> None:
    """Asked again by the same identity it is the same, and every record says how it was decided."""
    caller = bench.caller()
    answers = [bench.answer(c.GenerateRandom(8), caller) for _ in range(2)]
    assert [(a.entry.decision, a.entry.statement) for a in answers] == [("Allow", "All")] * 2
    assert list(caller.identity.rulings) == [("kms:GenerateRandom", "*")]


def test_a_remembered_decision_goes_with_what_it_was_made_from(bench: ServiceBench) -> None:
    """After a change of either policy the next request is decided anew."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"), "alice")
    bench.do(i.PutPrincipalPolicy("alice", ""))
    assert bench.refusal(c.Encrypt(key, b"x"), "alice").startswith("AccessDenied")
    bench.do(i.PutPrincipalPolicy("alice", MAY_ALL))
    bench.do(c.Encrypt(key, b"x"), "alice")
    change_key_policy(bench, key)
    assert bench.refusal(c.Encrypt(key, b"x"), "alice").endswith(
        "because no resource-based policy allows the kms:Encrypt action"
    )


# --- canaries --------------------------------------------------------------------------------------------


def secrets_of(results: list[object]) -> list[str]:
    """What was given out in the clear, in the forms in which it could turn up."""
    found = []
    for result in results:
        for name in ("plaintext", "data", "secret"):
            value = getattr(result, name, None)
            if isinstance(value, bytes):
                found += [value.hex(), repr(value)[2:-1]]
            elif isinstance(value, str):
                found.append(value)
    return found


def test_no_secret_turns_up_in_records_reprs_or_errors() -> None:
    """Plaintexts, data keys, contexts, secrets, policies, descriptions and tags stay out of all of them."""
    bench = ServiceBench()
    key = bench.key(c.CreateKey(description=CANARIES[2], tags=(("name", CANARIES[4]),)))
    policy = '{"Id": "%s", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}' % CANARIES[3]  # noqa: UP031 - braces
    context = {"for": CANARIES[1]}
    commands: list[Command] = [
        c.Encrypt(key, CANARIES[0].encode(), context),
        c.GenerateDataKey(key, 32, context),
        c.GenerateRandom(32),
        i.CreatePrincipal("carol", policy),
        i.CreateAccessKey("carol"),
        c.UpdateKeyDescription(key, CANARIES[2]),
        c.TagResource(key, (("other", CANARIES[4]),)),
        i.PutPrincipalPolicy("carol", policy),
        c.PutKeyPolicy(key, CANARIES[3]),  # malformed
        c.Encrypt(key, CANARIES[0].encode(), {"for": CANARIES[1] * 1000}),
    ]
    answers = [bench.answer(command) for command in commands]
    blob = answers[0].outcome().blob  # type: ignore[attr-defined]  # of Encrypt
    commands += [
        c.Decrypt(blob, context=context),
        c.ReEncrypt(blob, key, None, context, context),
        c.Decrypt(blob, context={"for": CANARIES[1] + "x"}),
    ]
    answers += [bench.answer(command) for command in commands[len(answers) :]]
    assert len([answer for answer in answers if answer.error is None]) == len(answers) - 3

    secrets = [*CANARIES, *secrets_of([answer.result for answer in answers])]
    assert len(secrets) == len(CANARIES) + 7
    shown = [repr(thing) for answer in answers for thing in (answer, answer.result, answer.error)]
    shown += [str(answer.error) for answer in answers] + [repr(command) for command in commands]
    shown += [repr(entry) for entry in bench.records]
    raw = b"".join(bench.house.audit.entries(bench.house.logs["w0"])).decode()
    for secret in secrets:
        assert secret not in raw
        assert [text for text in shown if secret in text] == []
