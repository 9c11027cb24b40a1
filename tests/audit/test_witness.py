"""A witness: cosigns what goes on from what it has seen, and nothing else, whatever happens to it."""

import base64
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keystead.audit.checkpoint import Checkpoint
from keystead.audit.verify import verify
from keystead.audit.witness import Book, Submission, read_request, write_request
from keystead.core.errors import AuditDamaged, AuditUnavailable, DataDamaged, InvalidRequest
from keystead.core.witness import Verdict
from keystead.crypto.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root_of
from keystead.crypto.note import CosignatureSigner, InvalidNote, NoteSigner
from keystead.testing.audit import AuditBench, TurnedClock
from keystead.testing.disk import Fault, Killed, MemoryDisk, PowerCut

LOG = NoteSigner("keystead-test/w0", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"k"))
INSTANCE = LOG.named("keystead-test")
STRANGER = NoteSigner("keystead-test/w0", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"s"))
WITNESS = CosignatureSigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"w"))
FOLDER = Path("/witness")


def leaves(size: int, fork: int | None = None) -> list[bytes]:
    """The hashes of a log's first records; of a forked one other records from there on."""
    return [
        leaf_hash(b"%d%s" % (index, b"f" if fork is not None and index >= fork else b""))
        for index in range(size)
    ]


def note(size: int, fork: int | None = None, signer: NoteSigner = LOG, more: str = "") -> bytes:
    """A signed checkpoint of such a log."""
    text = Checkpoint("keystead-test/w0", size, root_of(leaves(size, fork))).text() + more
    return signer.sign(text)


def request(old: int, new: int, fork: int | None = None, signed: bytes | None = None) -> bytes:
    """A request to go on from one size to another."""
    hashes = leaves(new, fork)
    proof = consistency_proof(old, new, lambda *_: b"".join(hashes)) if new <= 256 else []
    return write_request(old, proof, signed or note(new, fork))


class Witnessing:
    """A witness on a disk that can fail."""

    def __init__(self) -> None:
        self.disk = MemoryDisk(0)
        self.clock = TurnedClock()
        self.book = self.open()

    def open(self) -> Book:
        """Begin, or begin again."""
        return Book(FOLDER, [INSTANCE.verifier], WITNESS, self.disk, self.clock)

    def restart(self, *, power: bool = False) -> None:
        """Kill it, or cut the power, and start it again."""
        self.disk = self.disk.restarted() if power else self.disk.revived()
        self.book = self.open()

    def ask(self, body: bytes) -> tuple[Verdict, str]:
        """What it says."""
        considered = self.book.consider(body)
        return considered.verdict, considered.text


@pytest.fixture
def witnessing() -> Witnessing:
    """A new witness of one instance's logs."""
    return Witnessing()


def test_what_goes_on_from_what_was_seen_is_cosigned(witnessing: Witnessing) -> None:
    """The first time from nothing, then from the last; the signature says when, and is the witness's."""
    for old, new in ((0, 0), (0, 3), (3, 3), (3, 200)):
        witnessing.clock.time += 1
        verdict, line = witnessing.ask(request(old, new))
        assert verdict is Verdict.COSIGNED
        assert WITNESS.verifier.verify(note(new) + line.encode()) == int(witnessing.clock.time)
        assert witnessing.book.last("keystead-test/w0").size == new
        assert witnessing.book.latest(sha256(b"keystead-test/w0").hexdigest()) == note(new) + line.encode()
    for digest in ("0" * 64, "lock", "../witness/lock", ""):
        assert witnessing.book.latest(digest) is None


def test_extension_lines_of_other_logs_are_signed_with_the_rest(witnessing: Witnessing) -> None:
    """Nothing is said of them; they belong to the text."""
    extended = note(3, more="extension\n")
    verdict, line = witnessing.ask(request(0, 3, signed=extended))
    assert verdict is Verdict.COSIGNED
    WITNESS.verifier.verify(extended + line.encode())


def test_every_request_that_must_be_refused_is(witnessing: Witnessing) -> None:
    """The verdicts of the specification, in its order; the state stays as it was."""
    witnessing.ask(request(0, 5))
    other = NoteSigner("keystead-other/w0", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    unknown = other.sign(Checkpoint("keystead-other/w0", 9, bytes(32)).text())
    for body, verdict, words in (
        (b"", Verdict.MALFORMED, "does not begin with"),
        (request(0, 9, signed=unknown), Verdict.UNKNOWN_LOG, "not witnessed here"),
        (request(5, 9, signed=note(9, signer=STRANGER)), Verdict.UNKNOWN_KEY, "not signed by"),
        (write_request(10, [], note(9)), Verdict.MALFORMED, "larger than"),
        (request(3, 9), Verdict.STALE, "5"),
        (request(0, 9), Verdict.STALE, "5"),
        (request(3, 4), Verdict.STALE, "5"),
        (request(5, 5, fork=2), Verdict.FORKED, "another log of 5 records"),
        (request(5, 9, fork=2), Verdict.INCONSISTENT, "does not begin with"),
        (write_request(5, [], note(9)), Verdict.INCONSISTENT, "empty"),
        (write_request(5, [bytes(32)], note(5)), Verdict.INCONSISTENT, "is another"),
    ):
        found, text = witnessing.ask(body)
        assert (found, words in text) == (verdict, True), (body, text)
        assert witnessing.book.last("keystead-test/w0") == Checkpoint(
            "keystead-test/w0", 5, root_of(leaves(5))
        )
    assert witnessing.ask(request(5, 9))[0] is Verdict.COSIGNED


def test_a_first_checkpoint_of_nothing_must_be_of_nothing(witnessing: Witnessing) -> None:
    """An empty log has one root."""
    false = LOG.sign(Checkpoint("keystead-test/w0", 0, bytes(32)).text())
    assert witnessing.ask(write_request(0, [], false))[0] is Verdict.FORKED
    assert witnessing.ask(write_request(0, [bytes(32)], note(3)))[0] is Verdict.INCONSISTENT


def test_a_request_that_speaks_of_another_history_is_kept(witnessing: Witnessing) -> None:
    """It is signed by the log: evidence."""
    witnessing.ask(request(0, 5))
    body = request(5, 9, fork=2)
    witnessing.ask(body)
    (kept,) = [path for path in witnessing.disk.files() if path.suffix == ".refused"]
    assert witnessing.disk.read(kept) == body
    assert read_request(body).signed.size == 9


def encoded(data: bytes) -> bytes:
    """Base64."""
    return base64.b64encode(data)


@pytest.mark.parametrize(
    "body",
    [
        b"old 5",
        b"old 05\n\n" + note(9),
        b"old -1\n\n" + note(9),
        b"old " + b"9" * 20 + b"\n\n" + note(9),
        b"old \xff\n\n" + note(9),
        b"old 5 \n\n" + note(9),
        b"old 0\nrubbish\n\n" + note(9),
        b"old 0\n" + encoded(bytes(31)) + b"\n\n" + note(9),
        b"old 0\n" + (encoded(bytes(32)) + b"\n") * 64 + b"\n" + note(9),
        b"old 0\n\nrubbish\n\n",
        b"old 0\n\n" + LOG.sign("a\n1\n"),
        b"old 0\n\n" + LOG.sign("keystead-test/w0\n" + "9" * 5000 + "\n" + "A" * 43 + "=\n"),
        b"old 0\n\n" + LOG.sign("keystead-test/w0\n1\n" + "A" * 43 + "=\n\n"),
        b"old 0\n\n" + note(9) + b"x" * 70_000,
    ],
)
def test_what_is_no_request_is_malformed(witnessing: Witnessing, body: bytes) -> None:
    """Whatever is wrong with it."""
    assert witnessing.ask(body)[0] is Verdict.MALFORMED


def test_a_witness_has_its_directory_to_itself(witnessing: Witnessing) -> None:
    """Two of them would each cosign from their own memory. When one has let go, the next may."""
    with pytest.raises(AuditUnavailable, match="cannot be used"):
        witnessing.open()
    witnessing.book.close()
    witnessing.open()


def test_what_was_seen_is_never_taken_for_nothing(witnessing: Witnessing) -> None:
    """Where the record does not check out, nothing is cosigned any more."""
    witnessing.ask(request(0, 5))
    (path,) = [path for path in witnessing.disk.files() if path.name != "lock"]
    good = witnessing.disk.read(path)
    line = WITNESS.line(Checkpoint("keystead-test/w1", 0, EMPTY_ROOT).text(), 1)
    other = LOG.sign(Checkpoint("keystead-test/w1", 0, EMPTY_ROOT).text()) + line
    for bad in (b"", good[:-20], note(5), other):
        witnessing.disk.damage(path, bad)
        with pytest.raises(DataDamaged):
            witnessing.book.consider(request(0, 9))
    witnessing.disk.damage(path, good)
    assert witnessing.ask(request(5, 9))[0] is Verdict.COSIGNED


def test_what_cannot_be_kept_is_not_cosigned(witnessing: Witnessing) -> None:
    """A disk that fails withholds the signature."""
    witnessing.ask(request(0, 5))
    witnessing.disk.at(0, Fault.BROKEN)
    with pytest.raises(AuditUnavailable):
        witnessing.book.consider(request(5, 9))
    witnessing.disk.mend()
    witnessing.restart()
    assert witnessing.ask(request(5, 9))[0] is Verdict.COSIGNED


class Histories(RuleBasedStateMachine):
    """Whatever is asked in whatever order, and whenever it is killed, all that was cosigned is one history."""

    def __init__(self) -> None:
        super().__init__()
        self.witnessing = Witnessing()
        self.cosigned: list[tuple[int, int | None]] = []

    @rule(old=st.integers(0, 12), more=st.integers(0, 6), fork=st.none() | st.integers(0, 12))
    def ask(self, old: int, more: int, fork: int | None) -> None:
        """Ask with a proof that fits what is asked."""
        if self.witnessing.ask(request(old, old + more, fork))[0] is Verdict.COSIGNED:
            self.cosigned.append((old + more, fork))

    @rule(more=st.integers(1, 6), fork=st.none() | st.integers(0, 12))
    def go_on(self, more: int, fork: int | None) -> None:
        """Ask on from what it has seen."""
        old = self.witnessing.book.last("keystead-test/w0").size
        if old + more <= 100:
            self.ask(old, more, fork)

    @rule(
        steps=st.integers(0, 12),
        fault=st.sampled_from([Fault.POWER, Fault.KILL, Fault.BROKEN]),
        more=st.integers(1, 3),
    )
    def die(self, steps: int, fault: Fault, more: int) -> None:
        """Cut the power, or break the disk, somewhere in a request; a signature that came out counts."""
        old = self.witnessing.book.last("keystead-test/w0").size
        self.witnessing.disk.at(steps, fault)
        with suppress(PowerCut, Killed, AuditUnavailable):
            self.ask(old, more, None)
        self.witnessing.disk.mend()
        self.witnessing.restart(power=fault is Fault.POWER)

    @invariant()
    def one_history(self) -> None:
        """Sizes never shrink, each root is a beginning of the next, and the last is remembered."""
        sizes = [size for size, _ in self.cosigned]
        assert sizes == sorted(sizes)
        for (small, one), (large, other) in zip(self.cosigned, self.cosigned[1:], strict=False):
            assert leaves(large, other)[:small] == leaves(small, one)
        if self.cosigned:
            assert self.witnessing.book.last("keystead-test/w0").size >= sizes[-1]


TestHistories = Histories.TestCase


# --- the other side ----------------------------------------------------------------------------------------


class Submitting:
    """A log, and a witness that it is sent to."""

    def __init__(self) -> None:
        self.audit = AuditBench()
        self.witnessing = Witnessing()
        self.log = self.audit.open()
        self.submission = Submission(self.audit.root, "w1", WITNESS.verifier, self.audit.disk)

    def work(self, number: int, record: bytes = b"record") -> None:
        """Some records under a checkpoint."""
        for _ in range(number):
            self.log.append(record)
        self.log.commit()
        self.audit.later()
        self.log.tend()

    def submit(self, old: int) -> tuple[Verdict, str]:
        """Ask the witness to go on from a size."""
        _, newest = self.submission.newest("w0")
        verdict, text = self.witnessing.ask(self.submission.request("w0", newest, old))
        if verdict is Verdict.COSIGNED:
            self.submission.accept("w0", newest, text.encode())
        return verdict, text

    def verify(self, **options: Any) -> Any:
        """Check the log, with the witness."""
        vkey = WITNESS.verifier.vkey
        return verify(self.audit.root, INSTANCE.vkey, disk=self.audit.disk, witnesses=[vkey], **options).logs[
            0
        ]


def test_a_log_is_witnessed_and_verification_says_so() -> None:
    """Up to where, by whom and when; records that came later are not seen yet."""
    both = Submitting()
    assert both.submission.logs() == ["w0"]
    assert both.submission.seen("w0") == -1
    with pytest.raises(AuditDamaged, match="no checkpoint of this log is cosigned"):
        both.verify()
    both.work(300)
    assert both.submit(0)[0] is Verdict.COSIGNED
    both.work(20)
    assert both.submission.seen("w0") == 300

    report = both.verify()

    assert report.size == 320
    assert report.cosigned == (("witness.example/w1", 300, int(both.witnessing.clock.time)),)
    assert both.submit(300)[0] is Verdict.COSIGNED
    assert both.verify().cosigned[0].size == 320


def test_a_log_that_was_forked_is_refused_and_named() -> None:
    """An old copy that went on by itself: the witness refuses it, and what it has seen before tells the copy apart."""
    both = Submitting()
    both.work(100)
    both.submit(0)
    copy = {path: both.audit.disk.read(path) for path in both.audit.disk.files()}
    both.work(100)
    both.submit(100)
    seen = both.witnessing.disk.read(next(p for p in both.witnessing.disk.files() if p.name != "lock"))

    forked = Submitting()
    forked.witnessing = both.witnessing
    forked.log.close()
    forked.audit.disk.revived()
    for path in forked.audit.disk.files():
        forked.audit.disk.remove(path)
    for path, data in copy.items():
        for folder in reversed(path.parents):
            forked.audit.disk.mkdir(folder)
        forked.audit.disk.create(path)
        forked.audit.disk.damage(path, data)
    forked.log = forked.audit.open()
    forked.work(50)
    assert forked.submit(100) == (Verdict.STALE, "200")
    with pytest.raises(
        AuditDamaged, match="covers 150 records, the one that was kept 200: the log was rolled back"
    ):
        forked.verify(since=[seen])
    forked.work(100, b"other")
    assert forked.submit(200)[0] is Verdict.INCONSISTENT
    assert forked.verify().cosigned[0].size == 100
    with pytest.raises(AuditDamaged) as caught:
        forked.verify(since=[seen])
    assert caught.value.damage == (
        (
            "keystead-test/w0",
            100,
            "checkpoint",
            (
                "its first 200 records are not those of the one that was kept: the log was forked, between record "
                "100 and there"
            ),
        ),
    )


def test_an_answer_that_is_no_cosignature_is_not_kept() -> None:
    """Another key's, another text's, or none; without --keep not even a good one."""
    both = Submitting()
    both.work(3)
    _, newest = both.submission.newest("w0")
    other = CosignatureSigner("witness.example/w2", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    text = newest.partition(b"\n\n")[0].decode() + "\n"
    for lines in (b"", b"rubbish\n", other.line(text, 1), WITNESS.line("other\n", 1)):
        with pytest.raises(InvalidNote):
            both.submission.accept("w0", newest, lines)
    Submission(both.audit.root, "w1", WITNESS.verifier, both.audit.disk, keep=False).accept(
        "w0", newest, other.line(text, 1) + WITNESS.line(text, 1)
    )
    assert both.submission.seen("w0") == -1
    both.audit.disk.at(0, Fault.BROKEN)
    with pytest.raises(AuditUnavailable):
        both.submission.accept("w0", newest, WITNESS.line(text, 1))


def test_a_log_that_cannot_be_read_is_not_submitted() -> None:
    """Its checkpoint or its tiles are missing."""
    both = Submitting()
    both.work(3)
    _, newest = both.submission.newest("w0")
    both.audit.disk.remove(both.audit.directory / "tile/0/000.p/3")
    with pytest.raises(DataDamaged, match="tiles of w0"):
        both.submission.request("w0", newest, 1)
    both.audit.disk.remove(both.audit.directory / "checkpoint")
    with pytest.raises(DataDamaged, match="checkpoint of w0"):
        both.submission.newest("w0")


def test_kept_checkpoints_must_be_of_the_instance_and_their_logs_there() -> None:
    """One of another instance, with another key, or that is none, is no measure; of a log that is gone it is damage."""
    both = Submitting()
    both.work(3)
    both.submit(0)
    for bad in (
        b"rubbish",
        LOG.sign(Checkpoint("keystead-other/w0", 1, bytes(32)).text()),
        STRANGER.sign(Checkpoint("keystead-test/w0", 1, bytes(32)).text()),
        LOG.sign("keystead-test/w0\n1\nnot base64\n"),
    ):
        with pytest.raises(InvalidRequest, match="cannot be relied on"):
            both.verify(since=[bad])
    gone = INSTANCE.named("keystead-test/w7").sign(Checkpoint("keystead-test/w7", 1, bytes(32)).text())
    with pytest.raises(AuditDamaged) as caught:
        both.verify(since=[gone])
    assert caught.value.damage == (
        ("keystead-test/w7", 0, "", "a checkpoint of it was kept, but the log is not here"),
    )
    empty = LOG.sign(Checkpoint("keystead-test/w0", 0, EMPTY_ROOT).text())
    assert both.verify(since=[empty]).size == 3


def test_a_cosigned_checkpoint_does_not_stand_for_the_log_s_own() -> None:
    """Without its newest checkpoint a log does not verify, whatever the witness has seen."""
    both = Submitting()
    both.work(3)
    both.submit(0)
    both.audit.disk.remove(both.audit.directory / "checkpoint")
    with pytest.raises(AuditDamaged) as caught:
        both.verify()
    assert [each[2:] for each in caught.value.damage] == [("checkpoint", "it is missing")]


@pytest.mark.parametrize("damage", ["signature", "log"])
def test_a_cosigned_checkpoint_that_does_not_check_out_is_damage(damage: str) -> None:
    """A changed cosignature, or one of another log's checkpoint."""
    both = Submitting()
    both.work(3)
    both.submit(0)
    path = both.audit.directory / "cosigned/w1"
    if damage == "signature":
        text = both.audit.disk.read(path).replace(b"w0\n3\n", b"w0\n4\n")
    else:
        other = Checkpoint("keystead-test/w1", 3, bytes(32)).text()
        text = LOG.sign(other) + WITNESS.line(other, 1)
    both.audit.disk.damage(path, text)
    with pytest.raises(AuditDamaged) as caught:
        both.verify()
    assert caught.value.damage[0][2] == "cosigned/w1"
