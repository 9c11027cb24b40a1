"""Proofs for accounts: of what concerns them, and of nobody else's entries."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.audit.checkpoint import Checkpoint
from keystead.audit.cosigned import put
from keystead.audit.logkeys import FILE, introduce
from keystead.audit.logkeys import encode as encode_keys
from keystead.audit.proof import check
from keystead.core.errors import DataDamaged, InvalidRequest, NotFound
from keystead.crypto.note import NoteSigner
from keystead.service.commands import Command
from keystead.service.commands import proofs as p
from keystead.service.entry import Entry, decode, encode
from keystead.service.results.proofs import Checkpoints, Consistency, Proofs
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench

OTHER = "444455556666"


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user of whom no policy speaks."""
    bench = ServiceBench()
    bench.house.user("bob")
    return bench


def publish(bench: ServiceBench) -> None:
    """Have the log sign what it holds."""
    bench.house.audit.later()
    bench.gate.tend()


def proofs(bench: ServiceBench, name: str) -> Proofs:
    """What is proven of an event or a request."""
    told = bench.do(p.ProveEvent(name))
    assert isinstance(told, Proofs)
    return told


def test_the_events_of_a_request_are_proven_by_its_id(bench: ServiceBench) -> None:
    """A change left its intent and its outcome; each proof holds the entry, and checks out with the key alone."""
    bench.key()
    request = bench.records[-1].request
    publish(bench)

    told = proofs(bench, request)

    proven = [check(proof.encode(), bench.house.audit.signer.vkey) for proof in told.proofs]
    assert [decode(one.entry or b"").stage for one in proven] == ["outcome", "intent"]
    assert {decode(one.entry or b"").request for one in proven} == {request}
    assert (told.pending, told.missing) == ((), "")
    (single,) = proofs(bench, f"keystead-test/w0/{proven[0].place}").proofs
    assert single == told.proofs[0]


def test_what_no_checkpoint_covers_yet_is_pending(bench: ServiceBench) -> None:
    """It was made a moment ago: whoever asks once more in a second gets the proof."""
    bench.key()
    told = proofs(bench, bench.records[-1].request)
    assert (len(told.proofs), len(told.pending)) == (0, 2)
    publish(bench)
    assert len(proofs(bench, told.pending[0]).proofs) == 1


KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/k"


def append(bench: ServiceBench, entry: bytes) -> str:
    """Put an entry into the log and under a checkpoint; returns the event."""
    log = bench.house.logs["w0"]
    number = log.append(entry)
    log.commit()
    publish(bench)
    return f"keystead-test/w0/{number}"


def test_nobody_is_proven_what_does_not_concern_him(bench: ServiceBench) -> None:
    """Another account's event, one that is not there, the log's own, and its request are refused alike."""
    event = append(bench, encode(Entry(account=OTHER, key=KEY.replace(ACCOUNT, OTHER), request="r-x", v=1)))
    own = append(bench, encode(Entry(action="keystead:AuditResumed", v=1)))

    for name in (event, own):
        assert bench.refusal(p.ProveEvent(name)).startswith("NotFound: There is no event")
    assert bench.refusal(p.ProveEvent("keystead-test/w9/0")).startswith("NotFound: There is no such event")
    assert bench.refusal(p.ProveEvent("r-x")) == bench.refusal(p.ProveEvent("r-y")).replace("r-y", "r-x")


def test_another_account_s_use_of_a_key_is_proven_to_the_key_s(bench: ServiceBench) -> None:
    """Unless the entry says what the other one's policies had to say: a proof cannot leave that out."""
    mine = Entry(account=OTHER, key=KEY, matched=("key-policy @0123 ours",), v=1)
    assert len(proofs(bench, append(bench, encode(mine))).proofs) == 1

    both = Entry(account=OTHER, key=KEY, matched=(f"identity-policy arn:aws:iam::{OTHER}:user/e@1 x",), v=1)
    refusal = bench.refusal(p.ProveEvent(append(bench, encode(both))))
    assert refusal.startswith("AccessDenied: The entry keystead-test/w0/")
    assert "user/e" not in refusal


def test_a_request_that_is_not_found_says_what_was_not_searched(bench: ServiceBench) -> None:
    """Where a log cannot be read, there may be more."""
    bench.key()
    publish(bench)
    path = bench.house.audit.directory / "tile/entries/000.p"
    for name in bench.house.audit.disk.names(path):
        bench.house.audit.disk.damage(path / name, b"")
    assert "in what was searched: " in bench.refusal(p.ProveEvent("r-none"))
    assert "cannot be read" in str(bench.answer(p.ProveEvent("keystead-test/w0/0")).error)


def test_a_log_is_proven_to_go_on_from_a_kept_checkpoint(bench: ServiceBench) -> None:
    """By the checkpoint that was kept; what is none, of no log here, or longer than the log, is refused."""
    bench.key()
    publish(bench)
    told = bench.do(p.ListCheckpoints())
    assert isinstance(told, Checkpoints)
    (kept,) = told.checkpoints
    bench.key()
    publish(bench)

    one = bench.do(p.ProveConsistency(kept))

    assert isinstance(one, Consistency)
    proven = check(one.proof.encode(), bench.house.audit.signer.vkey)
    assert 0 < proven.since < proven.size
    assert bench.records[-1].subject == "keystead-test/w0"
    signer = bench.house.audit.signer
    for note, error in (
        ("rubbish", InvalidRequest),
        (signer.sign(Checkpoint("keystead-test/w9", 1, bytes(32)).text()).decode(), NotFound),
        (signer.sign(Checkpoint("keystead-test/w0", 10_000, bytes(32)).text()).decode(), DataDamaged),
    ):
        assert isinstance(bench.answer(p.ProveConsistency(note)).error, error)


def test_checkpoints_are_told_with_the_keys_that_lead_to_them(bench: ServiceBench) -> None:
    """The verifier key, the statements, and the notes of all logs."""
    with bench.house.store.transact("vkey") as tx:
        tx.put_setting("audit-vkey", "a+b+c")
    disk, root = bench.house.audit.disk, bench.house.audit.root
    new = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    statement = introduce(bench.house.audit.signer, new, 2, 1000)
    put(disk, root / FILE, encode_keys([statement]))

    told = bench.do(p.ListCheckpoints())

    assert isinstance(told, Checkpoints)
    assert (told.vkey, told.keys, len(told.checkpoints)) == ("a+b+c", (statement.decode(),), 1)
    disk.damage(root / FILE, b"rubbish")
    assert isinstance(bench.answer(p.ListCheckpoints()).error, DataDamaged)


@pytest.mark.parametrize(
    "command", [p.ProveEvent("r-1"), p.ProveConsistency("x"), p.ListCheckpoints()], ids=repr
)
def test_who_may_not_ask_is_refused(bench: ServiceBench, command: Command) -> None:
    """Each is an action of its own, and no policy speaks of bob."""
    assert bench.refusal(command, "bob").startswith("AccessDenied")
    assert bench.records[-1].action == f"keystead:{type(command).__name__}"
