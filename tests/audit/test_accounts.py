"""The trees of accounts: complete lists of what concerns one, and what happens to lists that are not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountlogs import A, B, Bench, seen
from keystead.audit import accounts
from keystead.audit.accounts import (
    MOST_BEHIND,
    Head,
    check,
    entries,
    leaf_of,
    read_head,
    taken_in,
)
from keystead.audit.damage import Damaged
from keystead.core.errors import AuditUnavailable, DataDamaged, InvalidRequest, NotFound
from keystead.crypto.merkle import EMPTY_ROOT, Frontier, verify_consistency
from keystead.crypto.note import InvalidNote
from keystead.testing.audit import AuditBench


def of(account: str, lines: list[str]) -> list[tuple[int, bytes]]:
    """What an account should be given."""
    return [
        (n, text) for n, line in enumerate(lines) for whom, text in seen(line.encode()) if whom == account
    ]


def test_each_account_gets_its_own_entries_and_nothing_of_others() -> None:
    """The list has the entries that concern the account, in their order, as far as it may see them."""
    bench = Bench()
    lines = [f"{A} one", f"{B} two", f"{A} {B} three", "nobody", f"{A} four"]
    bench.write(*lines)
    bench.trees.update()
    assert bench.rows(A) == [(0, f"{A} one".encode()), (2, f"{A} three".encode()), (4, f"{A} four".encode())]
    assert bench.rows(B) == [(1, f"{B} two".encode()), (2, f"{B} three".encode())]
    assert not any(B.encode() in (text or b"") for _, text in bench.rows(A))
    assert bench.check() == 2


def test_what_came_after_the_last_update_is_in_the_head_that_is_given() -> None:
    """A head is as of the newest checkpoint, even where no update has come by yet, or none has ever."""
    bench = Bench()
    bench.write(f"{A} one")
    assert bench.rows(A) == [(0, f"{A} one".encode())]
    bench.trees.update()
    bench.write(f"{B} two", f"{A} three")
    assert bench.rows(A) == [(0, f"{A} one".encode()), (2, f"{A} three".encode())]
    assert taken_in(bench.disk, bench.directory) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([f"{A} x", f"{B} y", f"{A} {B} z", "nobody"]), max_size=40), st.integers(0, 3)
)
def test_any_entries_in_any_portions_make_the_same_trees(kinds: list[str], portions: int) -> None:
    """However updates and entries alternate, the lists are those that the log has."""
    bench = Bench(at_once=256)
    lines: list[str] = []
    for number in range(portions):
        more = [kind for kind in kinds for _ in range(1 + 9 * number)]
        lines += more
        bench.write(*more)
        bench.trees.update()
    assert bench.rows(A) == of(A, lines)
    assert bench.rows(B) == of(B, lines)
    assert bench.check() == 2 or not lines


def test_trees_of_many_tiles_are_taken_in_piece_by_piece() -> None:
    """Long logs make full tiles, old partial ones go, and each piece ends at a head of its own."""
    bench = Bench(at_once=512)
    lines = [f"{A if n % 3 else B} e{n}" for n in range(1500)]
    for start in range(0, 1500, 300):
        bench.write(*lines[start : start + 300])
        bench.trees.update()
    assert bench.rows(A) == of(A, lines)
    assert bench.check() == 2
    folder = bench.directory / "account" / A / "tile/0/003.p"
    assert bench.disk.names(folder) == [str(1000 - 768)]
    assert [row.record for row in bench.trees.rows("w0", A, 254, 4)] == [n for n, _ in of(A, lines)[254:258]]


def test_pieces_that_end_in_the_midst_of_a_bundle() -> None:
    """Wherever a piece ends, and whatever partial tiles there are by then, nothing is missed or read twice."""
    bench = Bench(at_once=100)
    lines = [f"{A if n % 3 else B} e{n}" for n in range(700)]
    for start, stop in ((0, 154), (154, 420), (420, 700)):
        bench.write(*lines[start:stop])
        bench.trees.update()
    assert bench.rows(A) == of(A, lines)
    assert bench.check() == 2


def test_heads_of_accounts_that_have_been_quiet_are_checked() -> None:
    """An older head is made anew from a log that has gone on and put other tiles in the place of those."""
    bench = Bench()
    bench.write(f"{A} one", f"{B} two")
    bench.trees.update()
    (kept,) = bench.trees.sections(A, {})
    for number in range(4):
        bench.write(*[f"{B} e{number}.{n}" for n in range(90)])
        bench.trees.update()
    bench.write("nobody")
    assert bench.check(kept.head) == 3


def test_an_account_that_is_made_later_begins_where_the_log_does() -> None:
    """What was asked of it before it was there is in its tree too."""
    bench = Bench([A])
    bench.write(f"{A} one", f"{B} two")
    bench.trees.update()
    bench.who.append(B)
    bench.write(f"{A} three", f"{B} four")
    bench.trees.update()
    assert bench.rows(B) == [(1, f"{B} two".encode()), (3, f"{B} four".encode())]
    bench.trees.update()
    assert bench.check() == 2


def test_full_tiles_that_no_update_has_written_yet_are_given_out() -> None:
    """What is only in memory is given as what is on the disk, whatever else its bytes are found in."""
    bench = Bench()
    lines = [f"{A} e{n}" for n in range(300)] + [f"{B} about-{A}", f"{A} end"]
    bench.write(*lines)
    assert bench.rows(A) == of(A, lines)
    bench.trees.update()
    bench.write(f"{B} of-{A}")
    assert bench.rows(A) == of(A, lines)


def test_only_accounts_that_there_are_get_trees() -> None:
    """An ARN that somebody invents makes no files."""
    bench = Bench([A])
    bench.write(f"{A} one", f"{B} two")
    bench.trees.update()
    assert bench.disk.names(bench.directory / "account") == [A, "position"]


def test_an_older_head_is_the_beginning_of_a_newer_one() -> None:
    """The proof leads from the head that was kept to the new one; no head has more entries than there are."""
    bench = Bench()
    bench.write(*[f"{A} e{n}" for n in range(300)])
    bench.trees.update()
    (old,) = bench.trees.sections(A, {})
    bench.write(*[f"{A} f{n}" for n in range(300)])
    (new,) = bench.trees.sections(A, {"w0": 300})
    verify_consistency(300, 600, new.since, bench.head(old).root, bench.head(new).root)
    with pytest.raises(InvalidRequest, match="has 600 entries of the account, not 601"):
        bench.trees.sections(A, {"w0": 601})


def test_every_head_names_all_logs() -> None:
    """A log that is kept back as a whole would be missed."""
    bench = Bench()
    other = bench.open("w1")
    other.append(f"{A} other".encode())
    other.commit()
    bench.sign(other)
    bench.write(f"{A} one")
    bench.trees.update()
    assert [bench.head(section).logs for section in bench.trees.sections(A, {})] == [("w0", "w1")] * 2
    assert bench.rows(A, "w1") == [(0, f"{A} other".encode())]


def test_an_update_that_was_interrupted_goes_on() -> None:
    """Where one tree was written and the place was not, nothing is taken in twice."""
    bench = Bench()
    bench.write(f"{A} one", f"{B} two")
    bench.trees.update()
    position = bench.disk.read(bench.directory / "account/position")
    bench.write(f"{A} three", f"{B} four")
    bench.trees.update()
    file = bench.disk.create(bench.directory / "account/position")
    file.write(position, 0)
    file.close()
    assert bench.trees.update() == 2
    assert bench.rows(A) == [(0, f"{A} one".encode()), (2, f"{A} three".encode())]
    assert bench.check() == 2


class Overtaken:
    """A disk on which an update comes by each time that a head was read, so many times."""

    def __init__(self, bench: Bench, times: int) -> None:
        self._bench = bench
        self._left = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._bench.disk, name)

    def read(self, path: Path) -> bytes:
        """Read a whole file."""
        data = self._bench.disk.read(path)
        if path.name == "checkpoint" and path.parent.name == A and self._left:
            self._left -= 1
            self._bench.write(*[f"{A} more{n}" for n in range(90)])
            self._bench.trees.update()
        return data


@pytest.mark.parametrize("times", [1, 2, 3, 100])
def test_updates_while_an_auditor_looks_are_no_damage(times: int) -> None:
    """A tree that goes on is read again, a bounded number of times."""
    bench = Bench()
    bench.write(*[f"{A} e{n}" for n in range(90)])
    bench.trees.update()
    disk: Any = Overtaken(bench, times)
    verifier = bench.signer.verifier.named("keystead-test/w0")
    if times < 100:
        assert check(disk, bench.directory, verifier, seen) == 2
    else:
        with pytest.raises(Damaged):
            check(disk, bench.directory, verifier, seen)


def test_an_update_can_be_told_to_end() -> None:
    """What is left is taken in the next time that the process runs."""
    bench = Bench()
    bench.write(f"{A} one")
    bench.trees.stop()
    assert (bench.trees.update(), taken_in(bench.disk, bench.directory)) == (0, 0)
    assert bench.rows(A) == [(0, f"{A} one".encode())]


def _forge(bench: Bench, lines: list[tuple[int, str]], size: int) -> bytes:
    """A head that the log's own signer makes of other entries, stored as the account's."""
    log = bench.trees
    tree = accounts._Tree(bench.disk, bench.directory, A)  # what an operator could do
    assert not tree.exists
    for index, text in lines:
        tree.take(index, f"{A} {text}".encode())
    (section,) = log.sections(B, {})
    head = tree.head("keystead-test/w0", size, bench.head(section, B).log_root, ("w0",))
    note = bench.signer.named(f"keystead-test/w0/account/{A}").sign(head.text())
    tree.publish(note)
    return note


@pytest.mark.parametrize(
    ("lines", "record", "problem"),
    [
        ([(0, "one"), (4, "four")], 2, "this entry is not in the account's tree"),
        ([(0, "one"), (2, "three")], 4, "this entry is not in the account's tree"),
        ([(0, "one"), (1, "two"), (2, "three"), (4, "four")], 1, "has an entry that does not concern it"),
        ([(0, "one"), (2, "three"), (4, "four"), (5, "x")], 5, "has an entry that does not concern it"),
        ([(0, "one"), (2, "else"), (4, "four")], 2, "has another entry in this place"),
        ([(0, "one"), (2, "four"), (4, "three")], 2, "has another entry in this place"),
    ],
    ids=["omitted", "last-omitted", "added", "last-added", "changed", "re-ordered"],
)
def test_an_auditor_finds_what_an_operator_signs_wrongly(
    lines: list[tuple[int, str]], record: int, problem: str
) -> None:
    """An entry that is left out, added, changed or moved in a signed tree is found and named."""
    bench = Bench([B])
    bench.write(f"{A} one", f"{B} two", f"{A} three", "nobody", f"{A} four")
    bench.trees.update()
    _forge(bench, lines, 5)
    with pytest.raises(Damaged) as found:
        bench.check()
    assert (found.value.index, found.value.file) == (record, f"account/{A}/checkpoint")
    assert problem in found.value.problem


def test_a_head_that_was_only_given_out_is_checked_as_well() -> None:
    """A signed head that differs from the log is found, be it stored or brought by the account."""
    bench = Bench()
    bench.write(f"{A} one", f"{B} two", f"{A} three")
    bench.trees.update()
    (good,) = bench.trees.sections(A, {})
    assert bench.check(good.head) == 3
    short = Frontier()
    short.append(leaf_of(0, f"{A} one".encode()))
    head = bench.head(good)._replace(entries=1, root=short.root())
    lie = bench.signer.named(f"keystead-test/w0/account/{A}").sign(head.text())
    with pytest.raises(Damaged, match="signs 1 entries of the account 111111111111 before this one") as found:
        bench.check(lie)
    assert found.value.index == 3
    elsewhere = bench.signer.named(f"keystead-test/w1/account/{A}").sign(
        head._replace(origin="keystead-test/w1").text()
    )
    assert bench.check(elsewhere) == 2
    bench.who.clear()
    fresh = Bench([])
    fresh.write(f"{A} one", f"{B} two", f"{A} three")
    assert fresh.check() == 0
    assert fresh.check(good.head) == 1


@pytest.mark.parametrize("note", [b"not a note", b"x\n\n\xe2\x80\x94 x AAAAAAAA\n"])
def test_what_is_no_head_is_refused(note: bytes) -> None:
    """A note of somebody else's, or none, says nothing."""
    bench = Bench()
    bench.write(f"{A} one")
    with pytest.raises(Damaged, match="an account's head"):
        bench.check(note)


def test_a_damaged_head_is_named() -> None:
    """A head whose signature does not fit is damage, and nothing is signed on top of it."""
    bench = Bench()
    bench.write(f"{A} one")
    bench.trees.update()
    path = bench.directory / "account" / A / "checkpoint"
    note = bench.disk.read(path)
    _put(bench, path, note.replace(b"\n1\n", b"\n2\n", 1))
    with pytest.raises(Damaged, match=f"account/{A}/checkpoint"):
        bench.check()
    _put(bench, path, b"nothing")
    bench.write(f"{A} two")
    with pytest.raises(DataDamaged, match="it is not the head of"):
        bench.trees.update()


def test_a_tree_that_does_not_lead_to_its_head_is_not_gone_on_with() -> None:
    """Spoiled hashes and short indexes are noticed before anything is signed."""
    bench = Bench()
    bench.write(f"{A} one")
    bench.trees.update()
    bench.write(f"{A} two")
    tile = bench.directory / "account" / A / "tile/0/000.p/1"
    good = bench.disk.read(tile)
    _put(bench, tile, bytes(32))
    with pytest.raises(DataDamaged, match="does not lead to its head's root"):
        bench.trees.update()
    with pytest.raises(AuditUnavailable, match="cannot be read"):
        bench.trees.sections(A, {})
    _put(bench, tile, good)
    _put(bench, bench.directory / "account" / A / "tile/index/000.p/1", b"short")
    with pytest.raises(DataDamaged, match="it is too short"):
        bench.trees.update()


def test_a_damaged_position_is_said() -> None:
    """The place up to which entries were taken in is a number."""
    bench = Bench()
    bench.write(f"{A} one")
    bench.trees.update()
    _put(bench, bench.directory / "account/position", b"far")
    with pytest.raises(DataDamaged, match="it is not a number"):
        bench.trees.update()


def test_what_is_far_behind_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question reads a bounded number of entries; beyond, it is refused until the update has come by."""
    bench = Bench()
    bench.write(f"{A} one", f"{A} two")
    monkeypatch.setattr(accounts, "MOST_BEHIND", 1)
    assert MOST_BEHIND > 1
    with pytest.raises(AuditUnavailable, match=r"still being read from the audit log w0 \(0 of 2\)"):
        bench.trees.rows("w0", A, 0, 1)
    bench.trees.update()
    assert len(bench.trees.rows("w0", A, 0, 9)) == 2


def test_an_unknown_log_has_no_rows() -> None:
    """A log's name is one of those that there are, and never a path."""
    bench = Bench()
    with pytest.raises(NotFound, match=r"no audit log \.\./w0"):
        bench.trees.rows("../w0", A, 0, 1)


def test_a_log_without_a_checkpoint_is_passed_over() -> None:
    """A directory that only has tiles yet is no log to take anything from."""
    bench = Bench()
    bench.disk.mkdir(bench.root / "w1")
    bench.disk.mkdir(bench.root / "w1/tile")
    bench.write(f"{A} one")
    assert bench.trees.update() == 1


HEAD = Head("keystead-test/w0", A, 1, EMPTY_ROOT, 7, EMPTY_ROOT, ("w0",))


def test_a_head_reads_as_it_was_written() -> None:
    """What is signed is what is read."""
    bench = AuditBench()
    signer = bench.signer.named(f"keystead-test/w0/account/{A}")
    assert read_head(signer.sign(HEAD.text()), signer.verifier) == HEAD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\nlogs w0\n", "\nlogs w0\nmore\n"),
        ("\nlogs w0\n", "\n"),
        ("\nlog 7", "\nlot 7"),
        ("\nlogs w0", "\nlocs w0"),
        ("\n1\n", "\n01\n"),
        ("\n1\n", "\none\n"),
        ("47DEQpj8HBSa", "47DEQpj8HBS!"),
        ("\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nlog", "\nAAAA\nlog"),
        ("keystead-test/w0/account", "keystead-test/w1/account"),
    ],
)
def test_a_head_of_another_form_is_refused(old: str, new: str) -> None:
    """A head has five lines and one spelling."""
    bench = AuditBench()
    signer = bench.signer.named(f"keystead-test/w0/account/{A}")
    assert old in HEAD.text()
    with pytest.raises(InvalidNote, match="it is not the head of"):
        read_head(signer.sign(HEAD.text().replace(old, new, 1)), signer.verifier)


def test_entries_are_found_by_what_they_hold() -> None:
    """Only entries that hold the bytes come, with their indexes."""
    bench = Bench()
    bench.write(f"{A} one", f"{B} two", f"{A} three")
    assert [n for n, _ in entries(bench.disk, bench.directory, 1, 3, 3, A.encode())] == [2]


def _put(bench: AuditBench, path: Path, data: bytes) -> None:
    file = bench.disk.create(path)
    file.write(data, 0)
    file.close()
