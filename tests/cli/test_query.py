"""What the command line makes of a question before it asks it."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from keystead.cli import evidence_check, query
from keystead.cli.client import Refused
from keystead.cli.query import When
from keystead.core.context import canonical, digest

Run = Callable[..., Any]
SLACK = 60_000_000


def when(text: str) -> int:
    """A time as the option reads it."""
    return When().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "ago"),
    [("now", 0), ("30s", 30), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_a_time_may_be_so_long_ago(text: str, ago: int) -> None:
    """From now, which moves on."""
    assert abs(when(text) - (time.time() - ago) * 1e6) < SLACK


@pytest.mark.parametrize(
    "text", ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+01:00", "2026-01-31T00:00:00.000000"]
)
def test_a_time_may_be_a_date(text: str) -> None:
    """Without a zone it is UTC."""
    assert when(text) == int(datetime(2026, 1, 31, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize("text", ["yesterday", "", "24", "h", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With examples of what is one."""
    with pytest.raises(click.BadParameter, match="is not a time such as 24h"):
        when(text)


def test_a_context_is_asked_for_by_its_digest() -> None:
    """Which the audit has; the order of its pairs does not matter."""
    context = {"tenant": "acme", "app": "payroll"}
    hashed = digest(canonical(context))
    for given in (json.dumps(context), json.dumps(dict(reversed(context.items()))), hashed):
        assert query._asked({"context": given}) == {"context": hashed}


@pytest.mark.parametrize("given", ["tenant=acme", "[]", '{"tenant": 1}', "AB" * 32])
def test_what_is_no_context_is_refused(given: str) -> None:
    """Before anything is asked."""
    with pytest.raises(click.BadParameter, match="an encryption context is JSON such as"):
        query._asked({"context": given})


def test_a_source_is_an_address_or_a_network() -> None:
    """Anything else is refused here."""
    assert query._asked({"source": "10.1.2.0/8", "key": "", "version": None, "uses": False}) == {
        "source": "10.1.2.0/8"
    }
    with pytest.raises(click.BadParameter, match="does not appear to be"):
        query._asked({"source": "the office"})


def test_a_table_says_that_nothing_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has its heading nevertheless."""
    query._show(["key", "count"], [], "table")
    query._show(["key", "count"], [], "csv")
    assert capsys.readouterr().out.splitlines() == ["nothing was found", "key,count"]


def test_the_rest_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What follows, what was cut, and what was not searched."""
    query._say_rest({"marker": "m", "more": True, "missing": "the rest"})
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "There are more: go on with --marker m",
        "There are more than were asked for.",
        "There may be more: the rest.",
    ]


def test_no_checkpoint_and_a_refusal_leave_an_event_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle says which and why."""
    monkeypatch.setattr(query, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(query, "_LOOK_SECONDS", 0.0)

    def prove(event: str) -> tuple[list[dict[str, Any]], list[str]]:
        if event == "theirs":
            raise Refused(403, {"code": "AccessDenied", "detail": "not yours"})
        return ([], [event]) if event == "new" else ([{"event": event}], [])

    proofs, unproven = query._proofs(prove, ["old", "theirs", "new"])
    assert proofs == [{"event": "old"}]
    assert unproven == [
        {"event": "theirs", "why": "not yours"},
        {"event": "new", "why": "no checkpoint covers it yet"},
    ]


# --- the program that comes with evidence --------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 20))
def test_every_entry_of_a_small_log_climbs_to_its_root(size: int) -> None:
    """And to no other place's, with no hash more or less."""
    from keystead.crypto import merkle  # noqa: PLC0415 - what the program must agree with

    entries = [b"entry %d" % number for number in range(size)]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    root = naive_root(leaves)
    for index, entry in enumerate(entries):
        path = [base64.b64encode(each).decode() for each in naive_path(leaves, index)]
        assert evidence_check.climb(entry, index, size, path) == root
        for wrong in (path[:-1], [*path, path[0] if path else base64.b64encode(bytes(32)).decode()]):
            if wrong != path:
                with pytest.raises(evidence_check.Wrong, match="hashes"):
                    evidence_check.climb(entry, index, size, wrong)
        assert evidence_check.climb(b"another", index, size, path) != root
    with pytest.raises(evidence_check.Wrong, match="beyond"):
        evidence_check.climb(b"", size, size, [])


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    from hashlib import sha256  # noqa: PLC0415 - as above

    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*naive_path(leaves[:split], index), naive_root(leaves[split:])]
    return [*naive_path(leaves[split:], index - split), naive_root(leaves[:split])]


def test_the_program_follows_keys_that_were_replaced() -> None:
    """By statements that both keys have signed, and by no other."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above

    from keystead.audit.logkeys import introduce  # noqa: PLC0415 - as above
    from keystead.crypto.note import NoteSigner  # noqa: PLC0415 - as above

    one, two, thief = (NoteSigner("keystead-test", Ed25519PrivateKey.generate()) for _ in range(3))
    (name, first), (_, second) = (evidence_check.read_vkey(signer.vkey) for signer in (one, two))
    statement = introduce(one, two, 2, 1).decode()
    assert name == "keystead-test"
    assert evidence_check.keys_after(first, [statement]) == [first, second]
    assert evidence_check.keys_after(second, [statement]) == [second]
    forged = introduce(thief, thief, 2, 1).decode().replace(thief.vkey, one.vkey, 1)
    assert evidence_check.keys_after(first, [forged]) == [first]
    with pytest.raises(evidence_check.Wrong, match="no signed note"):
        evidence_check.keys_after(first, ["nothing"])
    broken = one.vkey.replace("+", "+00000000", 1)
    with pytest.raises(evidence_check.Wrong, match="not whole"):
        evidence_check.read_vkey(broken)


class Bundle:
    """Evidence of six events in a folder, which a forger may change and state anew."""

    def __init__(self, folder: Path) -> None:
        from keystead.audit import proof  # noqa: PLC0415 - what the program must agree with
        from keystead.testing.audit import AuditBench  # noqa: PLC0415 - as above

        bench = AuditBench()
        log = bench.open("w0")
        entries = [
            b'{"action":"kms:Decrypt","detail":"line\xe2\x80\xa8end","epoch":%d,"v":1}' % n for n in range(6)
        ]
        for entry in entries:
            log.append(entry)
        log.commit()
        for _ in range(3):
            bench.clock.time += 1
            log.tend()
        self.folder = folder
        self.vkey = bench.signer.vkey
        names = [f"keystead-test/w0/{index}" for index in range(6)]
        self.events = [{"event": n, **json.loads(e)} for n, e in zip(names, entries, strict=True)]
        self.proofs = [json.loads(proof.encode(proof.prove(bench.disk, bench.root, name))) for name in names]
        self.unproven: list[dict[str, str]] = []
        self.count = 6
        self.left_out: tuple[str, ...] = ()

    def unprove(self, number: int, why: str = "not yours") -> None:
        """Take a proof out and say so."""
        gone = self.proofs.pop(number)
        self.unproven.append({"event": gone["event"], "why": why})

    def checked(self, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
        """Write it down, with a manifest that fits, and check it: the exit code and what is said."""
        files = {
            "events.jsonl": query._lines(self.events),
            "proofs.jsonl": query._lines(self.proofs),
            "disclosed.json": b"{}",
        }
        manifest = {
            "events": self.count,
            "unproven": self.unproven,
            "files": {
                name: hashlib.sha256(data).hexdigest()
                for name, data in files.items()
                if name not in self.left_out
            },
        }
        for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            (self.folder / name).write_bytes(data)
        code = evidence_check.main(["--key", self.vkey, "--folder", str(self.folder), *options])
        return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Evidence as it should be."""
    return Bundle(tmp_path)


def test_evidence_that_is_whole_checks_out(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """What ends a line for Unicode, and not for JSON, is part of an event."""
    assert bundle.checked(capsys) == (0, ["OK: 6 events are in their logs as the bundle has them"])


def test_unproven_events_pass_only_for_who_allows_it(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """And are told of by name; what a bundle gives as a reason cannot pose as another line."""
    bundle.unprove(0, "not yours\nOK: 6 events")
    bundle.events[0]["action"] = "kms:Forged"
    said = "not proven: keystead-test/w0/0: not yours?OK: 6 events"
    code, lines = bundle.checked(capsys)
    assert code == evidence_check.UNPROVEN
    assert lines[0].startswith("UNPROVEN: 1 of 6 events have no proof")
    assert lines[-2:] == ["The other 5 events are in their logs as the bundle has them", said]
    assert bundle.checked(capsys, "--allow-unproven") == (
        0,
        ["OK: 5 events are in their logs as the bundle has them", said],
    )


def test_a_bundle_in_which_nothing_is_proven_does_not_pass(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forger who lists every event as unproven has made nothing that counts."""
    for _ in range(6):
        bundle.unprove(0)
    code, lines = bundle.checked(capsys)
    assert code == evidence_check.UNPROVEN
    assert lines[0].startswith("UNPROVEN: 6 of 6 events")


def drop_event(bundle: Bundle) -> None:
    """An event goes, its proof stays."""
    del bundle.events[2]
    bundle.count = 5


def drop_both(bundle: Bundle) -> None:
    """An event goes with its proof, and the manifest still counts it."""
    del bundle.events[2], bundle.proofs[2]


def drop_unproven(bundle: Bundle) -> None:
    """An event goes that is listed as unproven."""
    bundle.unprove(2)
    drop_event(bundle)


def drop_proof(bundle: Bundle) -> None:
    """A proof goes, and nobody says so."""
    del bundle.proofs[2]


def repeat_event(bundle: Bundle) -> None:
    """One event stands in for another."""
    bundle.events[2] = bundle.events[1]


def repeat_proof(bundle: Bundle) -> None:
    """A proof is there twice."""
    bundle.proofs.append(bundle.proofs[2])


def list_proven(bundle: Bundle) -> None:
    """An event that was changed is listed as unproven while its proof is there."""
    bundle.events[2]["action"] = "kms:Forged"
    bundle.unproven.append({"event": bundle.events[2]["event"], "why": "?"})


def forge(bundle: Bundle) -> None:
    """An event says something else than was written."""
    bundle.events[2]["action"] = "kms:Forged"


def leave_out(bundle: Bundle) -> None:
    """The manifest does not bind the events."""
    bundle.left_out = ("events.jsonl",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (drop_event, "there is no event keystead-test/w0/2"),
        (drop_both, "there are 5 events, and 6 by the manifest"),
        (drop_unproven, "there is no event keystead-test/w0/2"),
        (drop_proof, "there is no proof of keystead-test/w0/2"),
        (repeat_event, "events.jsonl has keystead-test/w0/1 twice"),
        (repeat_proof, "proofs.jsonl has keystead-test/w0/2 twice"),
        (list_proven, "is listed as unproven, and has a proof"),
        (forge, "is not what was written"),
        (leave_out, "the manifest does not name events.jsonl"),
    ],
)
def test_events_proofs_and_manifest_must_be_of_the_same(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], change: Callable[[Bundle], None], problem: str
) -> None:
    """Whatever somebody allows."""
    change(bundle)
    code, (line,) = bundle.checked(capsys, "--allow-unproven")
    assert code == 1
    assert line.startswith("WRONG: ")
    assert problem in line
