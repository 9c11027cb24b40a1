"""An account's file: what it proves, and that whatever is wrong with it is found and named."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accountlogs import A, B, Bench, seen
from keystead.audit import prune
from keystead.audit.accountfile import FORMAT, Checked, Wrong, check, heads_of
from keystead.audit.logkeys import introduce
from keystead.audit.prune import NOTHING
from keystead.core.subject import commitment
from keystead.crypto.note import InvalidNote, NoteSigner

NEW = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"n"))
Lines = list[dict[str, Any]]


def fetch(
    bench: Bench, account: str = A, *, since: dict[str, int] | None = None, complete: bool = True
) -> Lines:
    """The file that an account makes of what it is given."""
    since = since or {}
    sections = bench.trees.sections(account, since)
    header = {
        "format": FORMAT,
        "account": account,
        "keys": [],
        "logs": [
            {
                "log": each.log,
                "entries": each.entries,
                "head": each.head.decode(),
                "checkpoint": each.checkpoint.decode(),
                "since": [b64encode(node).decode() for node in each.since],
                "since_entries": since.get(each.log, 0),
                "pruned": each.pruned.decode(),
            }
            for each in sections
        ],
        "complete": complete,
    }
    lines: Lines = [header]
    for each in sections if complete else ():
        for first in range(0, each.entries, 256):
            rows = bench.trees.rows(each.log, account, first, 256)
            for row in rows:
                entry = None if row.seen is None else row.seen.decode()
                lines.append({"log": each.log, "index": row.record, "entry": entry})
            leaves = b"".join(row.leaf for row in rows)
            lines.append({"log": each.log, "leaves": b64encode(leaves).decode()})
    return lines


def verify(bench: Bench, lines: Lines, since: Lines | None = None) -> list[Checked]:
    """What the file proves."""
    written = [json.dumps(line).encode() for line in lines]
    older = json.dumps(since[0]).encode() if since else b""
    return check(lambda: written, bench.signer.vkey, seen, older)


def wrong(bench: Bench, lines: Lines, since: Lines | None = None) -> tuple[str, int, str]:
    """What is wrong with the file."""
    with pytest.raises(Wrong) as found:
        verify(bench, lines, since)
    assert str(found.value).endswith(found.value.problem)
    return found.value.log, found.value.record, found.value.problem


@pytest.fixture
def bench() -> Bench:
    """Six entries, four of them of account A's, at 0, 2, 3 and 5."""
    bench = Bench()
    bench.write(f"{A} one", f"{B} two", f"{A} {B} three", f"{A} four", "nobody", f"{A} five")
    bench.trees.update()
    return bench


def test_a_file_proves_that_these_are_all(bench: Bench) -> None:
    """The entries lead to the head; another account's name is nowhere in the file."""
    lines = fetch(bench)
    assert verify(bench, lines) == [Checked("keystead-test/w0", A, 4, 6, 4, 0, 0)]
    assert B not in json.dumps(lines)


def test_what_is_disclosed_is_what_was_committed_to(bench: Bench) -> None:
    """With its salt and its member; a line of it may be anywhere."""
    made = commitment(bytes(16), "source", "192.0.2.7")
    fine = {"member": "source", "value": "192.0.2.7", "salt": bytes(16).hex()}
    lines = fetch(bench)
    assert verify(bench, [*lines, {"log": "w0", "disclosed": {made: fine}}]) == verify(bench, lines)
    for changed in ({"value": "192.0.2.8"}, {"member": "source_identity"}, {"salt": "00"}, {"salt": "salt"}):
        told = wrong(bench, [*lines, {"log": "w0", "disclosed": {made: {**fine, **changed}}}])
        assert told == (
            "w0",
            0,
            f"w0: the value beside the commitment {made} is not what was committed to"[4:],
        )


def test_heads_alone_are_a_file_too(bench: Bench) -> None:
    """Without entries, the heads are checked, and are what an auditor compares with the log."""
    lines = fetch(bench, complete=False)
    assert verify(bench, lines) == [Checked("keystead-test/w0", A, 4, 6, 0, 0, 0)]
    assert bench.check(*heads_of(json.dumps(lines[0]).encode())) == 3


def test_a_file_of_many_entries() -> None:
    """Full tiles and the rest of them are the same list."""
    bench = Bench()
    bench.write(*[f"{A if n % 2 else B} e{n}" for n in range(1100)])
    assert verify(bench, fetch(bench)) == [Checked("keystead-test/w0", A, 550, 1100, 550, 0, 0)]
    bench.trees.update()
    bench.write(f"{A} last")
    assert verify(bench, fetch(bench))[0].entries == 551


def swap(lines: Lines) -> None:
    """Exchange two entries."""
    lines[2], lines[3] = lines[3], lines[2]


def change(lines: Lines) -> None:
    """Say something else."""
    lines[2]["entry"] = f"{A} other"


def move(lines: Lines) -> None:
    """Say that it was elsewhere."""
    lines[2]["index"] = 1


CHANGES: list[tuple[str, Callable[[Lines], object], int, str]] = [
    ("first omitted", lambda lines: lines.pop(1), 2, "an entry is missing before the entry 2"),
    ("omitted", lambda lines: lines.pop(2), 3, "an entry is missing before the entry 3"),
    ("last omitted", lambda lines: lines.pop(4), 4, "1 entries after the entry 3 are missing"),
    (
        "added",
        lambda lines: lines.insert(2, {"log": "w0", "index": 1, "entry": f"{A} more"}),
        1,
        "the entry 1 was added: the head does not sign it",
    ),
    (
        "added at the end",
        lambda lines: lines.insert(5, {"log": "w0", "index": 5, "entry": f"{A} more"}),
        5,
        "the entry 5 was added: the head does not sign it",
    ),
    ("changed", change, 2, "the entry 2 was changed: its hash is not the one that the head signs"),
    ("moved", move, 1, "the entry 1 was changed: its hash is not the one that the head signs"),
    ("re-ordered", swap, 3, "the entry 3 stands in another place than it should"),
    (
        "doubled",
        lambda lines: lines.insert(2, lines[1]),
        0,
        "the entry 0 stands in another place than it should",
    ),
    (
        "of another account",
        lambda lines: lines[2].update(entry=f"{B} other"),
        2,
        f"the entry 2 does not concern the account {A}",
    ),
    ("beyond the head", lambda lines: lines[4].update(index=6), 6, "there is no entry 6 under the head"),
    (
        "left out",
        lambda lines: lines[2].update(entry=None),
        2,
        "the entry 2 is left out, and no statement says that it was pruned",
    ),
    ("hashes", lambda lines: lines[5].update(leaves="!"), 0, "its 0 hashes are not those of the 4 entries"),
    (
        "fewer hashes",
        lambda lines: lines[5].update(leaves=b64encode(b64decode(lines[5]["leaves"])[:96]).decode()),
        0,
        "its 3 hashes are not those of the 4 entries that the head signs",
    ),
    ("empty", lambda lines: lines.__delitem__(slice(1, 5)), 0, "4 entries after the entry -1 are missing"),
]


@pytest.mark.parametrize(
    ("spoil", "record", "problem"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_what_is_wrong_is_named(
    bench: Bench, spoil: Callable[[Lines], object], record: int, problem: str
) -> None:
    """An entry that is omitted, added, changed or in another place is found, and said which."""
    lines = fetch(bench)
    spoil(lines)
    log, at, said = wrong(bench, lines)
    assert (log, at) == ("w0", record)
    assert said.startswith(problem)


def test_a_newer_file_goes_on_from_an_older_one(bench: Bench) -> None:
    """With the entries or by the proof alone: what was there is there, and how many of them."""
    old = fetch(bench, complete=False)
    bench.write(f"{A} six", f"{B} seven")
    assert verify(bench, fetch(bench), old)[0][2:] == (5, 8, 5, 0, 4)
    assert verify(bench, fetch(bench, since={"w0": 4}, complete=False), old)[0][2:] == (5, 8, 0, 0, 4)
    assert "leads on from 0 entries, not from 4" in wrong(bench, fetch(bench, complete=False), old)[2]
    bad = fetch(bench, since={"w0": 4}, complete=False)
    bad[0]["logs"][0]["since"][0] = "!"
    assert "was taken back" in wrong(bench, bad, old)[2]
    assert "it has 4 entries, the older one 5" in wrong(bench, old, fetch(bench))[2]


def test_a_list_that_was_taken_back_is_found(bench: Bench) -> None:
    """A kept head tells that the log's owner now has another history of the account."""
    old = fetch(bench)
    fork = Bench()
    fork.write(f"{A} one", f"{B} two", f"{A} {B} three", f"{A} other", "nobody", f"{A} five", f"{A} six")
    fork.trees.update()
    assert wrong(fork, fetch(fork), old)[2].endswith("its first 4 entries are not those of the older one")
    assert "was taken back" in wrong(fork, fetch(fork, since={"w0": 4}, complete=False), old)[2]


def test_a_log_that_is_kept_back_is_missed(bench: Bench) -> None:
    """Every head names all logs, and an older file those that there were."""
    other = bench.open("w1")
    other.append(f"{A} other".encode())
    other.commit()
    bench.sign(other)
    lines = fetch(bench)
    assert [log.origin for log in verify(bench, lines)] == ["keystead-test/w0", "keystead-test/w1"]
    short = [json.loads(json.dumps(lines[0])), *(line for line in lines[1:] if line["log"] == "w0")]
    del short[0]["logs"][1]
    assert wrong(bench, short) == (
        "w1",
        0,
        "the head of w0 says that there is this log, which is missing here",
    )
    alone = Bench()
    alone.write(f"{A} one")
    assert wrong(alone, fetch(alone), lines)[2] == "the older file has this log, which is missing here"


def test_what_was_pruned_is_there_as_hashes(bench: Bench) -> None:
    """Where the signer says so, an entry may be missing; its hash still has its place."""
    bench.write(*[f"{A} e{n}" for n in range(300)])
    bench.trees.update()
    pruned = NOTHING.plus([0], 1)
    note = bench.signer.named("keystead-test/w0/pruned").sign(pruned.text("keystead-test/w0"))
    prune.state(bench.disk, bench.directory, note)
    prune.remove(bench.disk, bench.directory, [0])
    lines = fetch(bench)
    assert verify(bench, lines) == [Checked("keystead-test/w0", A, 304, 306, 50, 254, 0)]
    lines[0]["logs"][0]["pruned"] = note.decode().replace("\n0\n", "\n1\n")
    assert "its statement of what was pruned does not hold" in wrong(bench, lines)[2]


def header(**changes: object) -> Callable[[Lines], object]:
    """Change the first line."""
    return lambda lines: lines[0].update(changes)


def part(**changes: object) -> Callable[[Lines], object]:
    """Change what the first line says of the log."""
    return lambda lines: lines[0]["logs"][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (header(format="other"), "does not begin as an account's file"),
        (header(account=B), "its head or its checkpoint does not hold"),
        (header(keys=["x"]), "its statements about keys do not hold"),
        (lambda lines: lines[0]["logs"].append(lines[0]["logs"][0]), "it has a log twice"),
        (part(log="w1"), "its head or its checkpoint does not hold"),
        (part(head="x"), "its head or its checkpoint does not hold"),
        (part(checkpoint="x"), "its head or its checkpoint does not hold"),
        (lambda lines: lines.clear(), "does not begin as an account's file"),
        (lambda lines: lines.append({"log": "w0", "more": 1}), "line 7 is not one of an account's file"),
        (lambda lines: lines.append({"log": "w7", "index": 1}), "line 7 is of a log that has no head here"),
    ],
)
def test_a_file_of_another_form_is_refused(
    bench: Bench, spoil: Callable[[Lines], object], problem: str
) -> None:
    """What cannot be read, or is signed by nobody, proves nothing."""
    lines = fetch(bench)
    spoil(lines)
    assert problem in wrong(bench, lines)[2]


def test_a_head_and_its_checkpoint_belong_together(bench: Bench) -> None:
    """A head as of another state of the log cannot be passed off."""
    old = fetch(bench)[0]["logs"][0]["checkpoint"]
    bench.write(f"{B} six")
    lines = fetch(bench)
    lines[0]["logs"][0]["checkpoint"] = old
    assert wrong(bench, lines) == ("w0", 0, "its head is not as of its checkpoint")


def test_an_older_file_must_be_ones_own(bench: Bench) -> None:
    """Another account's file, or one that nobody has signed, is nothing to go on from."""
    assert wrong(bench, fetch(bench), fetch(bench, B))[2] == f"the older file is of the account {B}"
    old = fetch(bench)
    old[0]["logs"][0]["head"] = "x"
    assert "the older head does not hold" in wrong(bench, fetch(bench), old)[2]


def test_a_key_that_was_replaced_still_does(bench: Bench) -> None:
    """Whoever knows the first key gets to the one that signs now, and older heads keep their signatures."""
    old = fetch(bench)
    statement = introduce(bench.signer, NEW, 2, 5).decode()
    new = fetch(bench)
    for each, kind in (("head", f"w0/account/{A}"), ("checkpoint", "w0")):
        text = new[0]["logs"][0][each].rpartition("\n\n")[0] + "\n"
        new[0]["logs"][0][each] = NEW.named(f"keystead-test/{kind}").sign(text).decode()
    assert "does not hold" in wrong(bench, new)[2]
    new[0]["keys"] = [statement]
    assert verify(bench, new, old)[0].since == 4
    written = [json.dumps(line).encode() for line in new]
    assert check(lambda: written, NEW.vkey, seen, json.dumps(old[0]).encode())[0].since == 4
    with pytest.raises(InvalidNote):
        check(lambda: written, "no key", seen)
