"""The archive answers as somebody who reads every entry, whatever becomes of its files and of the logs."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from archivehouse import ACCOUNTS, BEGAN, HOUR, SEGMENT_ROWS, House, feed
from keystead.audit import prune
from keystead.core.errors import InvalidRequest, QueryUnavailable
from keystead.core.query import DIMENSIONS, Answered, Question
from keystead.reader import requests
from keystead.reader.archive import MERGED, Archive
from keystead.service.entry import Entry, encode

SECONDS = 30.0


def pages(ask: Any, question: Question) -> Iterator[Answered]:
    """All pages of an answer."""
    while True:
        answered = ask(question)
        yield answered
        if answered.after is None:
            return
        question = replace(question, after=answered.after)


def agree(house: House, archive: Archive, question: Question) -> list[Answered]:
    """The pages of an answer, which must be those of whoever reads every entry."""
    told = list(pages(lambda asked: archive.ask(asked, SECONDS), question))
    assert told == list(pages(house.plainly, question)), question
    return told


def rows(house: House, archive: Archive, **members: Any) -> int:
    """How many entries are found, as whoever reads every entry finds them."""
    told = agree(house, archive, Question(**members))
    return sum(len(page.rows) for page in told)


def drawn(random: Random, house: House) -> Question:
    """Some question."""
    account = random.choice(ACCOUNTS)
    members: dict[str, list[Any]] = {
        "concerning": list(ACCOUNTS),
        "since": [random.randrange(BEGAN, house.time)],
        "until": [random.randrange(BEGAN, house.time)],
        "principal": [f"arn:aws:iam::{account}:user/bob", f"arn:aws:iam::{account}:role/deploy", "nobody"],
        "access_key": ["AKIAbob"],
        "account": list(ACCOUNTS),
        "key": [f"arn:aws:kms:eu-central-1:{account}:key/k{n}" for n in range(2)],
        "context": [f"{1:064x}"],
        "action": ["kms:ReEncrypt", "kms:Decrypt"],
        "outcome": ["Success", "AccessDenied"],
        "decision": ["Deny"],
        "source": ["10.1.2.3", "10.1.0.0/16", "2001:db8::/32", "0.0.0.0/0"],
        "request": [f"r-{random.randrange(house.number + 2)}", f"order-{random.randrange(12)}"],
        "trace": [f"{3:032x}"],
        "uses": [True],
        "oldest_first": [True],
    }
    names = random.sample(sorted(members), random.randrange(4))
    question = Question(
        **{name: random.choice(members[name]) for name in names}, limit=random.randrange(30, 300)
    )
    if question.key and random.random() < 0.5:
        question = replace(question, version=random.randrange(1, 4))
    if random.random() < 0.4:
        return replace(question, by=tuple(random.sample(DIMENSIONS, random.randrange(1, 4))))
    return question


@pytest.mark.parametrize("seed", range(3))
def test_it_answers_as_whoever_reads_every_entry(house: House, seed: int) -> None:
    """Entries in large segments, in small ones, recent ones, and those that no checkpoint covers yet."""
    house.choose.seed(seed)
    random = Random(seed)  # noqa: S311 - as its house
    archive = house.archive()
    for _ in range(20):
        house.write(30, "w0", batch=3)
        house.write(10, "w1")
        house.publish()
        feed(archive)
    house.write(7, "w1")
    house.write(5, "control", batch=5)
    names = [segment.merged for segment in archive._segments]
    assert any(names)
    assert not all(names)
    for _ in range(40):
        agree(house, archive, drawn(random, house))
    assert rows(house, archive, limit=1000) == 20 * 40 + 12
    assert house.notices == []


def test_what_was_committed_just_now_is_found(house: House) -> None:
    """Before any checkpoint covers it, and again when one does; once."""
    archive = house.archive()
    for number in range(5):
        house.write(1, request=f"mine-{number}")
        assert rows(house, archive, request=f"mine-{number}") == 1
        assert rows(house, archive) == number + 1
    house.publish()
    feed(archive)
    assert rows(house, archive) == 5


def test_a_request_is_found_by_what_its_client_calls_it(house: House) -> None:
    """In large segments, small ones and beside them, and together with whatever else is asked."""
    archive = house.archive()
    for number in range(MERGED + 2):
        house.write(SEGMENT_ROWS - 2, batch=8)
        house.write(2, request=f"ours-{number}", client_request=f"theirs-{number % 4}", account=ACCOUNTS[0])
        house.publish()
        feed(archive)
    house.write(1, request="theirs-1")
    assert {segment.merged for segment in archive._segments} == {True, False}
    assert rows(house, archive, request="ours-3") == 2
    assert rows(house, archive, request="theirs-1") == 11
    assert rows(house, archive, request="theirs-1", limit=3, oldest_first=True) == 11
    assert rows(house, archive, request="theirs-2", concerning=ACCOUNTS[0]) == 8
    assert rows(house, archive, request="theirs-9") == 0
    (count,) = archive.ask(Question(request="theirs-2", by=("account",)), SECONDS).counts
    assert (count.by, count.count) == ((ACCOUNTS[0],), 8)


def test_a_request_that_half_of_the_log_is_called_is_found_as_anything_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that gives all its requests one id makes no question long."""
    monkeypatch.setattr(requests, "MOST", 5)
    archive = house.archive()
    house.write(5, client_request="few")
    house.write(6, client_request="many")
    house.write(2 * SEGMENT_ROWS - 11)
    house.publish()
    feed(archive)
    index = house.segments[0].with_suffix(".requests")
    assert requests.rows(index, "few") == [0, 1, 2, 3, 4]
    assert requests.rows(index, "many") is None
    assert rows(house, archive, request="few", limit=2) == 5
    assert rows(house, archive, request="many", limit=2) == 6


def test_an_index_of_the_first_form_hides_nothing_and_is_written_anew(house: House) -> None:
    """It has our ids only, so all rows are looked at until then."""
    archive = house.archive()
    house.write(2 * SEGMENT_ROWS, client_request="theirs")
    house.publish()
    feed(archive)
    paths = [segment.with_suffix(".requests") for segment in house.segments]
    now = [path.read_bytes() for path in paths]
    for path in paths:
        relation = archive._database.read_parquet(str(path.with_suffix(".parquet")))
        ids = relation.project("request").fetchall()
        path.write_bytes(requests.index(ids).replace(b"KSTDREQ2", b"KSTDREQ1", 1))
    archive.close()
    again = house.archive()
    assert rows(house, again, request="theirs") == 2 * SEGMENT_ROWS
    assert rows(house, again, request="r-3") == 1
    assert all(requests.is_older(path) for path in paths)
    for _ in paths:
        feed(again)
    assert [path.read_bytes() for path in paths] == now
    assert rows(house, again, request="theirs") == 2 * SEGMENT_ROWS
    assert house.notices == []


def test_a_source_is_found_by_what_is_committed_to_it(house: House) -> None:
    """As well as by itself, and by its network."""
    archive = house.archive()
    house.write(3, source="10.1.2.3")
    house.write(2, source="sha256:one")
    house.write(1, source="sha256:other")
    house.publish()
    feed(archive)
    for source in ("10.1.2.3", "10.1.0.0/16"):
        assert rows(house, archive, source=source) == 3
        assert rows(house, archive, source=source, sources=("sha256:one",)) == 5
    assert rows(house, archive, source="10.9.9.9", sources=("sha256:one", "sha256:other")) == 3


def test_a_page_goes_on_where_the_last_one_ended(house: House) -> None:
    """Also among entries of the same microsecond, in both directions."""
    archive = house.archive()
    for name in ("w0", "w1"):
        house.write(60, name, batch=10, time=BEGAN)
    house.publish()
    feed(archive)
    for oldest_first in (False, True):
        told = agree(house, archive, Question(limit=7, oldest_first=oldest_first))
        assert len(told) == 18
        places = [(row.log, row.index) for page in told for row in page.rows]
        assert len(set(places)) == 120
        assert places == sorted(places, reverse=not oldest_first)


def test_an_answer_has_a_bound_in_bytes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut there, and says where to go on."""
    monkeypatch.setattr("keystead.reader.archive.ANSWER_BYTES", 4_000)
    archive = house.archive()
    house.write(20, detail="x" * 1_000)
    told = list(pages(lambda asked: archive.ask(asked, SECONDS), Question()))
    assert [len(page.rows) for page in told[:-1]] == [len(told[0].rows)] * (len(told) - 1)
    assert 1 <= len(told[0].rows) < 4
    assert sum(len(page.rows) for page in told) == 20


def test_bytes_that_are_no_entry_are_shown_as_such(house: House) -> None:
    """They keep nothing else from being found."""
    archive = house.archive()
    for data in (b"", b"{}", b"no entry", b'{"time":1e400}', b'{"epoch":99999999999999999999}', b'{"v":\n1}'):
        house.log("w0").append(data)
    house.write(2)
    house.publish()
    told = archive.ask(Question(limit=10), SECONDS)
    assert [row.entry.get("detail", "") for row in told.rows] == ["", ""] + 6 * [
        "these bytes are no audit entry"
    ]
    house.write(SEGMENT_ROWS)
    house.publish()
    feed(archive)
    assert len(house.segments) == 1
    assert rows(house, archive, action="kms:Decrypt") > 0


def test_every_member_of_an_entry_is_given_back(house: House) -> None:
    """From a segment and from beside it, in the form that the entry has."""
    archive = house.archive()
    samples = {str: "text", int: 7, bool: True, tuple: ("one 'quoted'", 'two "quoted"')}
    full: dict[str, Any] = {name: samples[type(getattr(Entry(), name))] for name in Entry.__struct_fields__}
    full |= {"ciphertext": "ab" * 32, "context": "cd" * 32, "time": BEGAN}
    house.write(1, **full)
    (recent,) = archive.ask(Question(), SECONDS).rows
    house.write(SEGMENT_ROWS)
    house.publish()
    feed(archive)
    (sealed,) = archive.ask(Question(event="w0/0"), SECONDS).rows
    assert recent.entry == sealed.entry == {**full, "matched": list(full["matched"])}


# --- a process that is killed --------------------------------------------------------------------------------


def test_it_goes_on_after_a_restart(house: House) -> None:
    """With what the manifest says, and nothing twice."""
    archive = house.archive()
    house.write(5 * SEGMENT_ROWS)
    house.publish()
    feed(archive)
    archive.close()
    before = house.segments
    assert len(before) == 5
    again = house.archive()
    feed(again)
    assert house.segments == before
    assert rows(house, again) == 5 * SEGMENT_ROWS
    assert house.notices == []


def test_what_no_manifest_names_is_removed(house: House) -> None:
    """It was being made when the process was killed."""
    house.archive().close()
    for name in ("0000000001.parquet", "0000000001.requests", "something"):
        (house.place / "archive" / name).write_bytes(b"half of it")
    (house.place / "archive" / "work" / "segment.jsonl").write_bytes(b"half of it")
    archive = house.archive()
    house.write(SEGMENT_ROWS)
    house.publish()
    feed(archive)
    assert rows(house, archive) == SEGMENT_ROWS
    assert {path.name for path in (house.place / "archive").iterdir()} == {
        "0000000001.parquet",
        "0000000001.requests",
        "manifest.json",
        "work",
    }


@pytest.mark.parametrize("manifest", [b"", b"{", b'{"form":"another","next":7,"segments":[]}'])
def test_without_a_manifest_that_is_understood_all_is_made_anew(house: House, manifest: bytes) -> None:
    """Nothing in the archive is anything but derived."""
    archive = house.archive()
    house.write(2 * SEGMENT_ROWS)
    house.publish()
    feed(archive)
    archive.close()
    (house.place / "archive" / "manifest.json").write_bytes(manifest)
    again = house.archive()
    assert house.segments == []
    feed(again)
    assert len(house.segments) == 2
    assert rows(house, again) == 2 * SEGMENT_ROWS


# --- damage ----------------------------------------------------------------------------------------------------


def lose(path: Path) -> None:
    """Remove a file."""
    path.unlink()


def cut(path: Path) -> None:
    """Cut a file short."""
    os.truncate(path, path.stat().st_size // 2)


def change(path: Path) -> None:
    """Change a file in its middle, and nothing of its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def garble(path: Path) -> None:
    """Fill a file with something else of its size."""
    path.write_bytes(b"\x55" * path.stat().st_size)


@pytest.mark.parametrize("spoil", [lose, cut, change, garble])
@pytest.mark.parametrize("kind", ["parquet", "requests"])
def test_a_segment_that_is_spoilt_is_made_anew(house: House, spoil: Any, kind: str) -> None:
    """At the next start, or when the archive has looked at it; and what is asked then is answered in full."""
    archive = house.archive()
    house.write(3 * SEGMENT_ROWS)
    house.publish()
    feed(archive)
    archive.close()
    victim = house.segments[1].with_suffix(f".{kind}")
    before = victim.read_bytes()
    spoil(victim)
    again = house.archive()
    for _ in range(4):
        feed(again)
    # An index of requests that is whole but another is believed: what it names is looked at anyway.
    if (spoil, kind) != (change, "requests"):
        assert len(house.notices) == 1
        assert victim.stem in house.notices[0]
        assert not victim.exists()
    else:
        assert victim.read_bytes() != before
    assert rows(house, again) == 3 * SEGMENT_ROWS


@pytest.mark.parametrize("spoil", [lose, garble])
def test_a_segment_that_is_spoilt_while_it_is_in_use_is_found_out_by_a_question(
    house: House, spoil: Any
) -> None:
    """Which is answered in full nevertheless."""
    archive = house.archive()
    house.write(3 * SEGMENT_ROWS)
    house.publish()
    feed(archive)
    spoil(house.segments[0])
    assert rows(house, archive) == 3 * SEGMENT_ROWS
    assert len(house.notices) == 1


def test_a_segment_that_cannot_be_merged_is_made_anew_first(house: House) -> None:
    """And then they are merged."""
    archive = house.archive()
    for _ in range(MERGED - 1):
        house.write(SEGMENT_ROWS, batch=8)
        house.publish()
        feed(archive)
    garble(house.segments[3])
    house.write(SEGMENT_ROWS, batch=8)
    house.publish()
    feed(archive)
    assert len(house.notices) == 1
    assert [segment.merged for segment in archive._segments] == [True]
    assert rows(house, archive, limit=1000) == MERGED * SEGMENT_ROWS


def test_the_past_of_a_restored_log_replaces_its_future(house: House, tmp_path: Path) -> None:
    """An archive that knows of entries that never were forgets them."""
    archive = house.archive()
    house.write(SEGMENT_ROWS, "w0")
    house.write(SEGMENT_ROWS, "w1")
    house.publish()
    feed(archive)
    archive.close()
    other = House(tmp_path, seed=7)
    other.write(SEGMENT_ROWS + 3, "w0")
    other.write(3, "w1")
    other.publish()
    again = other.archive()
    feed(again)
    assert len(other.notices) == 1
    assert rows(other, again) == SEGMENT_ROWS + 6
    assert not set(house.segments) & {tmp_path / "archive" / "0000000001.parquet"}


# --- retention ---------------------------------------------------------------------------------------------------


def remove(house: House, bundles: list[int]) -> None:
    """Remove bundles from a log, as retention does."""
    origin, directory = "keystead-test/w0", house.bench.root / "w0"
    gone = prune.Pruned().plus(bundles, BEGAN)
    note = house.bench.signer.named(prune.name(origin)).sign(gone.text(origin))
    prune.state(house.bench.disk, directory, note)
    prune.remove(house.bench.disk, directory, bundles)


def test_what_retention_removes_from_a_log_is_removed_from_the_archive(house: House) -> None:
    """Whether a large segment has it, a small one that has nothing else, or none."""
    archive = house.archive()
    for _ in range(MERGED + 1):
        house.write(SEGMENT_ROWS, "w0", batch=8)
        house.write(4, "w1")
        house.publish()
        feed(archive)
    whole = rows(house, archive, limit=1000)
    remove(house, [0, 1])
    feed(archive)
    told = list(pages(lambda asked: archive.ask(asked, SECONDS), Question(limit=1000)))
    kept = [(row.log, row.index) for page in told for row in page.rows]
    assert len(kept) == len(set(kept)) == whole - 512
    assert all(log == "w1" or index >= 512 for log, index in kept)
    assert told[0].missing == ""
    archive.close()
    again = house.archive()
    feed(again)
    assert sum(len(p.rows) for p in pages(lambda a: again.ask(a, SECONDS), Question(limit=1000))) == len(kept)


def test_a_segment_of_which_nothing_is_left_goes(house: House) -> None:
    """It is not written anew."""
    archive = house.archive(segment_rows=256)
    house.write(2 * 256 + 8, batch=8)
    house.publish()
    feed(archive)
    assert len(house.segments) == 2
    remove(house, [0])
    feed(archive)
    assert len(house.segments) == 1
    assert len(archive.ask(Question(limit=1000), SECONDS).rows) == 256 + 8


# --- bounds ------------------------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_read_is_told_of_and_keeps_no_other_from_being_read(house: House) -> None:
    """Until it can be read again."""
    house.write(3, "w0")
    house.write(3, "w1")
    house.publish()
    archive = house.archive()
    name = house.bench.root / "w0" / "checkpoint"
    data = house.bench.disk.read(name)
    write(house, name, b"no checkpoint")
    told = archive.ask(Question(), SECONDS)
    assert {"w1"} <= {row.log for row in told.rows}
    assert told.missing.startswith("the audit log w0 cannot be archived: ")
    assert archive.status().trouble
    write(house, name, data)
    feed(archive)
    assert rows(house, archive) == 6
    assert archive.status().trouble == ""


def write(house: House, path: Path, data: bytes) -> None:
    """Put something else into a file of a log."""
    file = house.bench.disk.create(path)
    file.write(data, 0)
    file.sync()
    file.close()


def test_a_question_ends_when_its_time_is_up(house: House) -> None:
    """It says what to do about it, and the next one is answered."""
    archive = house.archive(segment_rows=1 << 16)
    for _ in range(10):
        house.write(200, batch=8)
        house.publish()
    feed(archive)
    with pytest.raises(QueryUnavailable, match="ask about less"):
        archive.ask(Question(by=DIMENSIONS, limit=1000), -1.0)
    assert archive.ask(Question(limit=1), SECONDS).rows


@pytest.mark.parametrize(
    "question",
    [Question(by=("colour",)), Question(source="10.0.0.0/99"), Question(source="one/two")],
    ids=lambda question: question.source or question.by[0],
)
def test_a_question_that_makes_no_sense_is_refused(house: House, question: Question) -> None:
    """By whom it is asked, not by the database."""
    with pytest.raises(InvalidRequest):
        house.archive().ask(question, SECONDS)


@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", '"', "\0", "x'); DROP TABLE tail; --", "\ud800".encode(errors="replace").decode()]
)
def test_nothing_that_is_asked_is_taken_for_a_statement(house: House, text: str) -> None:
    """Whatever stands in a question is a value."""
    archive = house.archive()
    house.write(3)
    for member in ("principal", "access_key", "action", "outcome", "request", "trace", "source", "key"):
        asked: dict[str, Any] = {member: text}
        assert archive.ask(Question(**asked), SECONDS).rows == ()
    assert rows(house, archive) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/elsewhere.csv'",
        "ATTACH '/tmp/elsewhere.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
    ],
)
def test_the_database_reaches_nothing_but_the_archive(house: House, statement: str) -> None:
    """Even if a statement got to it that nobody meant."""
    with pytest.raises(duckdb.Error, match=r"disabled|locked|file system operations"):
        house.archive()._database.execute(statement)


def test_it_tells_how_far_it_is(house: House) -> None:
    """How much is in segments and beside, and how much is signed and in neither."""
    archive = house.archive()
    house.write(SEGMENT_ROWS + 4)
    house.publish()
    status = archive.status()
    assert (status.rows, status.recent, status.lag_entries) == (0, 0, SEGMENT_ROWS + 4)
    assert status.lag_seconds > 0
    feed(archive)
    status = archive.status()
    assert status.rows >= SEGMENT_ROWS
    assert (status.recent, status.lag_entries, status.lag_seconds) == (0, 0, 0.0)


def test_what_is_in_no_segment_is_taken_in_when_somebody_asks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And kept up to date for a while after that."""
    archive = house.archive()
    house.write(4)
    feed(archive)
    assert archive.status().recent == 0
    assert rows(house, archive) == 4
    house.write(3)
    house.publish()
    feed(archive)
    assert archive.status().recent == 7
    monkeypatch.setattr("keystead.reader.archive.FOLLOW_SECONDS", 0.0)
    house.write(2)
    house.publish()
    feed(archive)
    assert archive.status().recent == 7
    assert rows(house, archive) == 9


def test_the_tail_has_a_bound(house: House) -> None:
    """A log whose owner has died without a checkpoint cannot fill the memory."""
    archive = house.archive(segment_rows=SEGMENT_ROWS)
    assert not archive.ask(Question(limit=1), SECONDS).rows
    house.write(10 * SEGMENT_ROWS, batch=4)
    feed(archive)
    assert 0 < archive.status().recent <= 2 * SEGMENT_ROWS
    assert archive.ask(Question(limit=1), SECONDS).rows


def test_a_full_disk_keeps_no_question_from_its_answer(house: House) -> None:
    """What is in the archive can still be asked about, and the answer says that it is not all."""
    archive = house.archive()
    house.write(3)
    assert rows(house, archive) == 3
    house.write(3)
    work = house.place / "archive" / "work"
    work.rename(work.with_name("away"))
    told = archive.ask(Question(), SECONDS)
    assert len(told.rows) <= 3
    assert "not all entries" in told.missing
    with pytest.raises(OSError, match="No such file"):
        archive.feed()
    work.with_name("away").rename(work)
    assert rows(house, archive) == 6


def test_files_go_when_the_last_question_that_reads_them_has_its_answer(house: House) -> None:
    """Until then a merge leaves them."""
    archive = house.archive()
    for _ in range(MERGED):
        house.write(SEGMENT_ROWS, batch=8)
        house.publish()
        while archive._archive() or archive._follow():
            pass
    before = house.segments
    assert len(before) == MERGED
    with archive._look(1e12):
        feed(archive)
        assert set(before) < set(house.segments)
    feed(archive)
    assert len(house.segments) == 1
    assert rows(house, archive, limit=1000) == MERGED * SEGMENT_ROWS


def test_entries_are_counted_by_account_and_by_access_key(house: House) -> None:
    """The caller's; who may not see all has those counted that concern it."""
    archive = house.archive()
    house.write(40)
    house.publish()
    feed(archive)
    house.write(10)
    for concerning in ("", *ACCOUNTS):
        agree(house, archive, Question(concerning=concerning, by=("account", "access_key")))
    told = archive.ask(Question(by=("account",)), SECONDS).counts
    assert {count.by[0] for count in told} == set(ACCOUNTS)
    assert sum(count.count for count in told) == 50


def test_an_hour_is_that_of_the_entry(house: House) -> None:
    """In UTC, as its beginning."""
    archive = house.archive()
    house.write(1, time=BEGAN + HOUR + 5)
    house.write(1, time=BEGAN + 2 * HOUR - 1)
    (count,) = archive.ask(Question(by=("hour",)), SECONDS).counts
    assert count.by == ("2025-12-01T01:00:00Z",)
    assert count.count == 2


def test_entries_that_are_new_to_the_form_are_passed_over(house: House) -> None:
    """A member that this version does not know is not shown, and keeps the entry from nothing."""
    archive = house.archive()
    entry = encode(Entry(request="r", time=BEGAN, v=1))
    house.log("w0").append(entry[:-1] + b',"zebra":{"stripes":[1,2]}}')
    house.log("w0").commit()
    (row,) = archive.ask(Question(), SECONDS).rows
    assert row.entry == {"request": "r", "time": BEGAN, "v": 1}
