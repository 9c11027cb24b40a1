"""Keys of logs follow one another: who knows one of them gets to the next, and no stranger gets in between."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.audit.cosigned import put
from keystead.audit.damage import Damaged
from keystead.audit.log import Event, Log
from keystead.audit.logkeys import (
    FILE,
    SigningKeys,
    around,
    decode,
    encode,
    follow,
    introduce,
    precede,
    read_statement,
    statements_beside,
)
from keystead.audit.verify import verify
from keystead.core.errors import AuditDamaged, AuditUnavailable
from keystead.crypto.note import InvalidNote, NoteSigner
from keystead.testing.audit import NOTICE, AuditBench


def key(number: int, name: str = "keystead-test") -> NoteSigner:
    """One of the instance's keys."""
    return NoteSigner(name, Ed25519PrivateKey.from_private_bytes(bytes(31) + bytes([number])))


FIRST, SECOND, THIRD = (key(number) for number in (1, 2, 3))
CHAIN = (introduce(FIRST, SECOND, 2, 1000), introduce(SECOND, THIRD, 3, 2000))


def vkeys(ring: object) -> list[str]:
    """The keys on a ring."""
    return [each.vkey for each in ring.keys]  # type: ignore[attr-defined]  # a Keyring


def test_a_statement_says_which_key_follows() -> None:
    """Number, time and both keys come back from it."""
    number, time, old, new = read_statement(CHAIN[0])

    assert (number, time, old.vkey, new.vkey) == (2, 1000, FIRST.vkey, SECOND.vkey)


@pytest.mark.parametrize(
    ("known", "after", "before"),
    [
        (FIRST, [FIRST, SECOND, THIRD], [FIRST]),
        (SECOND, [SECOND, THIRD], [SECOND, FIRST]),
        (THIRD, [THIRD], [THIRD, SECOND, FIRST]),
    ],
)
def test_keys_are_followed_from_each(
    known: NoteSigner, after: list[NoteSigner], before: list[NoteSigner]
) -> None:
    """Forward for what is signed now, backward for checkpoints that were kept; under whatever name."""
    log = known.named("keystead-test/w0").verifier

    assert vkeys(follow(known.verifier, CHAIN)) == [each.vkey for each in after]
    assert vkeys(precede(known.verifier, CHAIN)) == [each.vkey for each in before]
    assert vkeys(follow(log, CHAIN)) == [each.named("keystead-test/w0").vkey for each in after]
    assert vkeys(around(known.verifier, CHAIN)) == [each.vkey for each in [*after, *before[1:]]]


def test_who_knows_none_of_them_gets_nowhere() -> None:
    """A key that is in no statement leads to no other."""
    assert vkeys(follow(key(9).verifier, CHAIN)) == [key(9).vkey]
    assert vkeys(precede(key(9).verifier, CHAIN)) == [key(9).vkey]


def text_of(note: bytes) -> str:
    """A note's text."""
    return note.decode().rpartition("\n\n")[0] + "\n"


def test_a_statement_needs_both_signatures() -> None:
    """One by the old key alone could name anybody's key, one by the new alone would be a stranger's claim."""
    text = text_of(CHAIN[0])
    for signer in (FIRST, SECOND, THIRD):
        with pytest.raises(InvalidNote, match="not signed by"):
            read_statement(signer.sign(text))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("v1\n", "v2\n", "not a statement"),
        ("\n2\n", "\n1\n", "not of the instance"),
        ("\n2\n", "\n\n", "not a statement"),
        ("\n2\n", "\n\u0662\n", "not a statement"),
        ("\n2\n", "\n" + "9" * 5000 + "\n", "not a statement"),
        ("\n1000\n", "\n-5\n", "not a statement"),
        ("\nkeystead-test\n", "\nkeystead-other\n", "not of the instance"),
        (SECOND.vkey, key(2, "keystead-other").vkey, "not of the instance"),
        (SECOND.vkey, "rubbish", "not a verifier key"),
        (f"{SECOND.vkey}\n", "", "not a statement"),
    ],
)
def test_what_is_no_statement_is_refused(old: str, new: str, problem: str) -> None:
    """Though both keys have signed it."""
    text = text_of(CHAIN[0]).replace(old, new)
    with pytest.raises(InvalidNote, match=problem):
        read_statement(FIRST.sign(text) + SECOND.line(text))


def test_statements_come_back_from_their_file() -> None:
    """And nothing else is taken for one."""
    assert decode(encode(CHAIN)) == CHAIN
    for data, problem in (
        (b"rubbish", "does not hold"),
        (b'"\xff"', "does not hold"),
        (b'{"format":"other","statements":[]}', "format is 'other'"),
    ):
        with pytest.raises(InvalidNote, match=problem):
            decode(data)


# --- in a log ----------------------------------------------------------------------------------------------


class Rotating(AuditBench):
    """A bench whose key can be replaced while its logs are open."""

    def __init__(self) -> None:
        super().__init__()
        self.signer = FIRST
        self.keys = SigningKeys((FIRST,))

    def rotate(self, overlap: bool = False) -> None:  # noqa: FBT002 - said by name
        """The second key follows the first; with an overlap both sign."""
        self.keys = SigningKeys((SECOND, FIRST) if overlap else (SECOND,), (FIRST.verifier,))
        put(self.disk, self.root / FILE, encode(CHAIN[:1]))

    def checkpoint(self, slot: str = "w0") -> bytes:
        """The newest checkpoint."""
        return self.disk.read(self.root / slot / "checkpoint")

    def work(self, log: Log, number: int = 1) -> None:
        """Some records under a checkpoint."""
        for _ in range(number):
            log.append(b"record")
        log.commit()
        self.later()
        log.tend()


def test_a_log_goes_over_to_a_new_key_without_being_opened_again() -> None:
    """The record of it comes before the first checkpoint that the new key signs, and is under it."""
    bench = Rotating()
    log = bench.open()
    bench.work(log, 3)
    FIRST.verifier.named("keystead-test/w0").verify(bench.checkpoint())

    bench.rotate()
    bench.later()
    log.tend()

    SECOND.verifier.named("keystead-test/w0").verify(bench.checkpoint())
    (notice,) = bench.notices[-1:]
    assert (notice.event, notice.index, notice.reason) == (Event.REKEYED, 3, SECOND.vkey)
    assert log.signed == log.size == 4
    assert next(log.entries(3, 4)).startswith(NOTICE + b"rekeyed")
    bench.work(log)
    assert log.size == 5
    for signer in (FIRST, SECOND):
        assert verify(bench.root, signer.vkey, disk=bench.disk).records == 5
        assert verify(bench.directory, signer.named("keystead-test/w0").vkey, disk=bench.disk).records == 5
    with pytest.raises(AuditDamaged, match="not signed by"):
        verify(bench.root, THIRD.vkey, disk=bench.disk)


def test_for_a_while_both_keys_sign() -> None:
    """Who knows only the old one, and no statements, still verifies; afterwards no more, and no record is made."""
    bench = Rotating()
    log = bench.open()
    bench.work(log)
    bench.rotate(overlap=True)
    bench.work(log)
    bench.disk.remove(bench.root / FILE)
    for signer in (FIRST, SECOND):
        assert verify(bench.root, signer.vkey, disk=bench.disk).records == 3

    bench.rotate()
    bench.work(log)

    assert log.size == 4
    bench.disk.remove(bench.root / FILE)
    assert verify(bench.root, SECOND.vkey, disk=bench.disk).records == 4
    with pytest.raises(AuditDamaged, match="not signed by"):
        verify(bench.root, FIRST.vkey, disk=bench.disk)


@pytest.mark.parametrize("tail", [False, True])
def test_a_log_that_was_closed_meanwhile_goes_over_when_it_is_opened(*, tail: bool) -> None:
    """Its last checkpoint may be an earlier key's; the record of the change comes at once, once."""
    bench = Rotating()
    log = bench.open()
    bench.work(log, 3)
    if tail:
        log.append(b"tail")
        log.commit()
        bench.disk.revived()
    else:
        log.close()
    bench.rotate()

    log = bench.open()
    log.close()

    assert [notice.event for notice in bench.notices if notice.reason == SECOND.vkey] == [Event.REKEYED]
    assert verify(bench.root, SECOND.vkey, disk=bench.disk).records == 4 + tail
    bench.open().close()
    assert log.size == bench.open().size


def test_a_log_of_an_unknown_key_is_not_opened() -> None:
    """Only the instance's own keys count."""
    bench = Rotating()
    bench.open().close()
    bench.keys = SigningKeys((THIRD,))

    with pytest.raises(Exception, match="not signed by"):
        bench.open()


def test_what_waits_for_a_commit_is_left_to_its_owner() -> None:
    """The change waits too, and so it does while the log has failed."""
    bench = Rotating()
    log = bench.open()
    bench.rotate()
    log.append(b"waits")
    log.tend()
    assert log.size == 0
    log.commit()
    bench.stop_disk()
    log.append(b"fails")
    with pytest.raises(AuditUnavailable):
        log.commit()
    log.tend()
    assert SECOND.vkey not in [notice.reason for notice in bench.notices]
    bench.mend_disk()
    for _ in range(3):
        bench.later()
        log.tend()
    assert bench.notices[-1].reason == SECOND.vkey
    assert verify(bench.root, FIRST.vkey, disk=bench.disk).records == log.size


def test_a_change_that_cannot_be_recorded_is_tried_again() -> None:
    """The new key signs nothing before its record is durable."""
    bench = Rotating()
    log = bench.open()
    bench.work(log)
    bench.rotate()
    bench.stop_disk()
    log.tend()
    assert not log.healthy
    FIRST.verifier.named("keystead-test/w0").verify(bench.checkpoint())
    bench.mend_disk()
    for _ in range(3):
        bench.later()
        log.tend()
    SECOND.verifier.named("keystead-test/w0").verify(bench.checkpoint())


def test_statements_that_do_not_hold_are_damage() -> None:
    """Where the file of statements was changed, verification says so."""
    bench = Rotating()
    bench.open().close()
    bench.rotate()
    path = bench.root / FILE
    good = bench.disk.read(path)
    for bad in (good.replace(b"1000", b"1001"), b"rubbish"):
        bench.disk.damage(path, bad)
        with pytest.raises(AuditDamaged) as caught:
            verify(bench.root, FIRST.vkey, disk=bench.disk)
        assert [each[2] for each in caught.value.damage] == [FILE]
        with pytest.raises(Damaged):
            statements_beside(bench.disk, Path("/audit/w0"))
