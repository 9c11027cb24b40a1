"""A sink's work: at least once, in order, numbered, and nothing is left out whatever fails."""

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from bridges.sinks.samples import Collector, SinkBench, names
from keystead.audit import prune as pruning
from keystead.bridges.sinks.census import Census
from keystead.bridges.sinks.cursor import Cursor, Cursors
from keystead.bridges.sinks.port import Message, Retry
from keystead.service.entry import Entry
from keystead.testing.disk import Fault, Killed, PowerCut

CURSOR = Path("/data/sinks/siem/w0.cursor")


def entry_of(body: bytes) -> Any:
    """The entry in an event of our own form."""
    return json.loads(body)["entry"]


def test_what_is_settled_is_delivered_once_and_in_order() -> None:
    """All entries, then the checkpoint that covers them; and nothing twice while nothing fails."""
    bench = SinkBench()
    bench.write(3)
    bench.settle()
    bench.drain()
    assert bench.collector.names == [*names(0, 1, 2), "keystead-test/w0/checkpoint/3"]
    bench.write(2)
    bench.settle()
    bench.drain()
    assert bench.collector.names[4:] == [*names(3, 4), "keystead-test/w0/checkpoint/5"]
    assert bench.pump.turn() is False


def test_a_checkpoint_event_says_size_root_and_note() -> None:
    """What a receiver needs to prove that it has everything, in the form of an entry."""
    bench = SinkBench()
    bench.write(2)
    bench.settle()
    bench.drain()
    told = entry_of(bench.collector.got[-1].body)
    note = bench.audit.disk.read(bench.audit.directory / "checkpoint").decode()
    assert told["detail"] == note
    assert told["subject"].split(" ") == [*note.split("\n")[1:3], "0"]
    assert told["action"] == "keystead:AuditCheckpoint"


def test_a_checkpoint_comes_after_so_many_entries_and_when_it_is_quiet() -> None:
    """A busy log is told of as well, and only when all that the checkpoint covers was delivered."""
    bench = SinkBench(checkpoint_entries=4, batch_entries=3)
    for _ in range(5):
        bench.write(4)
        bench.settle()
        bench.write()
        bench.pump.turn()
        bench.pump.turn()
    bench.settle()
    bench.drain()
    census = Census()
    delivered = 0
    for message in bench.collector.got:
        census.add(message.body)
        if message.about.origin.endswith("/checkpoint"):
            assert message.about.index <= delivered
        else:
            delivered += 1
    assert len(census.checkpoints("keystead-test/w0")) > 2
    census.check()


def test_a_restart_goes_on_where_the_last_process_stopped() -> None:
    """The cursor was saved when there was no more to do."""
    bench = SinkBench()
    bench.write(3)
    bench.settle()
    bench.drain()
    bench.begin()
    bench.write(1)
    bench.settle()
    bench.drain()
    assert bench.collector.names[4:] == [*names(3), "keystead-test/w0/checkpoint/4"]


def test_nothing_is_acknowledged_before_the_receiver_has_it() -> None:
    """A delivery that fails comes again; the position, on disk and in memory, stays until it succeeds."""
    bench = SinkBench()
    bench.write(3)
    bench.settle()
    bench.collector.retry = [Retry("no")]
    with pytest.raises(Retry):
        bench.pump.turn()
    assert CURSOR not in bench.audit.disk.files()
    bench.drain()
    assert bench.collector.names[:3] == names(0, 1, 2)


def test_a_batch_is_as_large_as_it_may_be() -> None:
    """Neither more entries nor more bytes than one delivery takes, and at least one event."""
    bench = SinkBench(batch_entries=4, batch_bytes=1500)
    bench.write(9)
    bench.write(3, detail="x" * 2000)
    bench.settle()
    sizes = []
    before = 0
    while bench.pump.turn():
        sizes.append(len(bench.collector.got) - before)
        before = len(bench.collector.got)
    assert sizes == [4, 4, 1, 1, 1, 1]


def test_intents_are_for_those_who_want_everything() -> None:
    """Other forms would count a change twice; a checkpoint event says how many entries were passed over."""
    for form, expected, passed in (("keystead", [0, 1, 2, 3], 0), ("cloudtrail", [0, 2, 3], 1)):
        bench = SinkBench(form=form)
        bench.write()
        bench.write(stage="intent", outcome="")
        bench.write(stage="outcome")
        bench.write()
        bench.settle()
        bench.drain()
        assert bench.collector.names == [*names(*expected), "keystead-test/w0/checkpoint/4"]
        assert bench.collector.got[-1].about.entry.subject.split(" ")[2] == str(passed)
        assert bench.pump.status().delivered == len(expected)


def test_what_was_passed_over_is_counted_as_of_the_checkpoint() -> None:
    """Intents after the checkpoint are not among those that its event counts, nor after a restart."""
    bench = SinkBench(form="ocsf", checkpoint_entries=2)
    bench.write(2, stage="intent", outcome="")
    bench.settle()
    bench.write(3, stage="intent", outcome="")
    bench.pump.turn()
    assert [message.about.entry.subject.split(" ")[::2] for message in bench.collector.got] == [["2", "2"]]
    bench.pump.save()
    bench.begin()  # knows the sum at its position, 4, and not what it is made of
    bench.drain()
    assert len(bench.collector.got) == 1
    bench.settle()
    bench.drain()
    assert bench.collector.got[-1].about.entry.subject.split(" ")[::2] == ["5", "5"]


def test_every_log_is_followed_and_new_ones_as_well() -> None:
    """Each has its own numbers and its own cursor."""
    bench = SinkBench()
    bench.write(1)
    other = bench.audit.open("w1")
    other.append(b'{"action":"kms:Sign"}')
    other.close()
    bench.settle()
    bench.drain()
    assert sorted(bench.collector.names) == sorted(
        [*names(0), *names(0, log="w1"), *(f"keystead-test/{log}/checkpoint/1" for log in ("w0", "w1"))]
    )


def test_an_event_that_is_refused_is_parked_and_told_of() -> None:
    """The others of its batch arrive; in its place stands an event that says so, and the letter says why."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "too blue" if message.about.name.endswith("w0/5") else ""
    bench.write(9)
    bench.settle()
    bench.drain()
    expected = [*names(0, 1, 2, 3, 4), "keystead-test/w0/parked/5", *names(6, 7, 8)]
    assert bench.collector.names == [*expected, "keystead-test/w0/checkpoint/9"]
    told = entry_of(bench.collector.got[5].body)
    assert (told["action"], told["detail"], told["subject"]) == (
        "keystead:EventParked",
        "too blue",
        "keystead-test/w0/5",
    )
    (line,) = bench.audit.disk.read(CURSOR.parent / "dead-letter.jsonl").splitlines()
    letter = json.loads(line)
    assert (letter["event"], letter["reason"]) == ("keystead-test/w0/5", "too blue")
    assert json.loads(letter["body"])["entry"]["request"] == "request-5"
    assert bench.pump.status().parked == 1


def test_a_receiver_that_refuses_everything_is_asked_again() -> None:
    """Even the event about the refusal is refused: nothing is parked, the lag says so, and later all of it arrives."""
    bench = SinkBench()
    bench.collector.refuses = lambda _: "no"
    bench.write(3)
    bench.settle()
    bench.fail(5)
    bench.write(2)
    bench.settle()
    bench.fail(5)
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.lag_entries, status.errors) == (0, 0, 5, 10)
    assert status.last_error == "it refuses every event, even the one that tells of a refusal: no"
    assert status.parking == ""
    assert bench.letters() == names(0)  # once, however often it is tried
    assert bench.heard == ["no"]
    assert bench.collector.got == []
    assert CURSOR not in bench.audit.disk.files()
    bench.collector.refuses = lambda _: ""
    bench.drain()
    assert bench.collector.names == [*names(0, 1, 2, 3, 4), "keystead-test/w0/checkpoint/5"]
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.lag_entries, status.last_error) == (5, 0, 0, "")


def test_an_event_is_parked_only_when_the_one_in_its_place_was_taken() -> None:
    """What came before it does not come again meanwhile, and what comes after it waits."""
    bench = SinkBench(form="ocsf")
    bench.collector.refuses = lambda message: (
        "not this" if message.about.name.endswith(("/w0/5", "parked/5")) else ""
    )
    bench.write(2, stage="intent", outcome="")
    bench.write(7)
    bench.settle()
    bench.fail(3)
    assert bench.collector.names == names(2, 3, 4)
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.lag_entries) == (3, 0, 4)
    bench.pump.save()
    bench.begin()  # the cursor on disk is as far, and a process that begins anew has one more letter
    bench.fail(3)
    assert bench.collector.names == names(2, 3, 4)
    assert bench.letters() == names(5, 5)
    bench.collector.refuses = lambda message: "not this" if message.about.name.endswith("/w0/5") else ""
    bench.drain()
    assert bench.collector.names[3:] == [
        "keystead-test/w0/parked/5",
        *names(6, 7, 8),
        "keystead-test/w0/checkpoint/9",
    ]
    assert bench.collector.got[-1].about.entry.subject.split(" ")[::2] == ["9", "2"]
    assert bench.letters() == names(5, 5)
    status = bench.pump.status()
    assert (status.delivered, status.parked) == (3, 1)


def test_a_failure_amid_halves_does_not_begin_them_again() -> None:
    """What was taken or parked of a batch before the receiver went away is done."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "no" if message.about.name.endswith("w0/1") else ""
    bench.write(8)
    bench.settle()
    bench.log.close()
    deliver = bench.collector.deliver

    def down(messages: Sequence[Message]) -> None:
        if messages[0].about.name.endswith("w0/2"):
            raise Retry("it is down")
        deliver(messages)

    bench.collector.deliver = down  # type: ignore[method-assign]  # it goes away at a certain event
    bench.fail(4)
    assert bench.collector.names == [*names(0), "keystead-test/w0/parked/1"]
    assert (bench.letters(), bench.pump.status().parked) == (names(1), 1)
    bench.collector.deliver = deliver  # type: ignore[method-assign]  # and comes again
    bench.drain()
    assert bench.collector.names[2:] == [*names(2, 3, 4, 5, 6, 7), "keystead-test/w0/checkpoint/8"]
    assert (bench.letters(), bench.pump.status().delivered) == (names(1), 7)


def test_what_was_parked_is_told_of_for_an_hour() -> None:
    """How many, when and why; the log hears of the first of them, and again when it has been quiet for an hour."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "too blue" if message.about.origin.endswith("w0") else ""
    bench.write(3)
    bench.settle()
    bench.drain()
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.last_error) == (0, 3, "")
    assert status.last_delivery_time == 0.0
    assert re.fullmatch(
        r"events parked lately: 3, the last at 1970-01-12T13:4\d:\d\dZ: too blue", status.parking
    )
    assert bench.heard == ["too blue"]
    bench.audit.later(3599.0)
    assert bench.pump.status().parking == status.parking
    bench.audit.later(1.0)
    assert bench.pump.status().parking == ""
    bench.write(1)
    bench.settle()
    bench.drain()
    assert bench.pump.status().parking.startswith("events parked lately: 1, the last at 1970-01-12T14:4")
    assert bench.pump.status().parked == 4
    assert bench.heard == ["too blue", "too blue"]


def test_a_batch_of_which_some_were_taken_is_not_sent_again() -> None:
    """Nobody knows which: until the receiver takes what stands in their place, only that is sent."""
    bench = SinkBench()
    bench.collector.whole = False
    bench.collector.refuses = lambda message: (
        "no" if message.about.name.endswith(("w0/1", "parked/1")) else ""
    )
    bench.write(4)
    bench.settle()
    bench.log.close()
    bench.fail(3)
    assert bench.collector.names == [*names(0, 2, 3), "keystead-test/w0/parked/0"]
    assert bench.letters() == names(0, 1, 2, 3)
    status = bench.pump.status()
    assert (status.delivered, status.parked, status.lag_entries) == (0, 1, 3)
    bench.collector.refuses = lambda _: ""
    bench.drain()
    assert bench.collector.names[4:] == [
        *(f"keystead-test/w0/parked/{index}" for index in (1, 2, 3)),
        "keystead-test/w0/checkpoint/4",
    ]
    assert bench.letters() == names(0, 1, 2, 3)
    assert bench.pump.status().parked == 4


def test_a_checkpoint_event_that_is_refused_is_kept_once() -> None:
    """It is made anew for each try, and is the same event all the same."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "no" if "checkpoint" in message.about.name else ""
    bench.write(2)
    bench.settle()
    bench.log.close()
    for _ in range(3):
        bench.fail()
        bench.audit.later()
    assert bench.letters() == ["keystead-test/w0/checkpoint/2"]
    bench.collector.refuses = lambda _: ""
    bench.drain()
    assert bench.collector.names == [*names(0, 1), "keystead-test/w0/checkpoint/2"]


def test_when_nobody_knows_what_was_refused_the_whole_batch_is_kept() -> None:
    """A receiver that took some must not be sent them again, so all of them go into the letters."""
    bench = SinkBench()
    bench.collector.whole = False
    bench.collector.refuses = lambda message: "one of them" if message.about.name.endswith("w0/1") else ""
    bench.write(3)
    bench.settle()
    bench.drain()
    assert bench.collector.names == [
        *names(0),
        *("keystead-test/w0/parked/0", "keystead-test/w0/parked/1"),
        *names(2),
        "keystead-test/w0/checkpoint/3",
    ]
    assert bench.pump.status().parked == 2


def test_what_is_no_entry_is_parked_as_it_is() -> None:
    """Bytes that cannot be rendered do not stop the rest, and are told of in their place."""
    bench = SinkBench()
    bench.write()
    bench.log.append(b"\xff not an entry")
    bench.log.commit()
    bench.write()
    bench.settle()
    bench.drain()
    assert bench.collector.names == [
        *(*names(0), "keystead-test/w0/parked/1", *names(2)),
        "keystead-test/w0/checkpoint/3",
    ]
    assert (bench.pump.status().delivered, bench.pump.status().parked) == (2, 1)
    bench.sink = again = Collector(overlap=8)
    bench.begin()
    bench.drain()
    assert [message.about.name for message in again.remembered] == names(0, 2)
    assert b"\\\\xff not an entry" in bench.audit.disk.read(CURSOR.parent / "dead-letter.jsonl")


def test_letters_that_cannot_be_written_stop_the_sink() -> None:
    """An event is not put away where it cannot be found again."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "" if "parked" in message.about.name else "no"
    bench.write()
    bench.settle()
    bench.audit.stop_disk()
    with pytest.raises(Retry, match="dead letters"):
        bench.pump.turn()
    bench.audit.mend_disk()
    bench.drain()
    assert bench.pump.status().parked == 2


@pytest.mark.parametrize("fault", [Fault.POWER, Fault.KILL])
def test_a_crash_at_any_operation_leaves_nothing_out(fault: Fault) -> None:
    """Whatever step the process or the power goes at, in the end the receiver has everything, some of it twice."""
    operation = 0
    while True:
        bench = SinkBench(batch_entries=3, checkpoint_entries=4)
        bench.collector.refuses = lambda message: "no" if message.about.name.endswith("w0/4") else ""
        bench.write(10)
        bench.settle()
        bench.log.close()
        before = bench.audit.disk.operations
        bench.audit.disk.at(operation, fault)
        crashed = False
        try:
            while bench.pump.turn():
                bench.audit.later()
        except PowerCut:
            bench.audit.disk, crashed = bench.audit.disk.restarted(), True
        except Killed:
            bench.audit.disk, crashed = bench.audit.disk.revived(), True
        if not crashed:
            assert 20 < bench.audit.disk.operations - before <= operation
            return
        bench.begin()
        bench.drain()
        assert set(names(*[index for index in range(10) if index != 4])) <= set(bench.collector.names)
        assert "keystead-test/w0/parked/4" in bench.collector.names
        assert "keystead-test/w0/checkpoint/10" in bench.collector.names
        operation += 1


def test_a_cursor_that_is_damaged_begins_again_and_says_so() -> None:
    """Everything comes once more rather than some of it never."""
    bench = SinkBench()
    bench.write(2)
    bench.settle()
    bench.drain()
    bench.audit.disk.damage(CURSOR, b"half of a cur")
    bench.begin()
    bench.drain()
    again = bench.collector.got[3:]
    assert [message.about.name for message in again] == [
        "keystead-test/w0/restarted/0",
        *names(0, 1),
        "keystead-test/w0/checkpoint/2",
    ]
    assert "the cursor was damaged" in entry_of(again[0].body)["detail"]


def test_a_log_of_another_history_is_delivered_from_its_beginning() -> None:
    """After a restore the log may be shorter, or have other entries: the receiver is told, and gets them all."""
    for shorter in (True, False):
        bench = SinkBench()
        bench.write(4)
        bench.settle()
        bench.drain()
        cursor = bench.audit.disk.read(CURSOR)
        other = SinkBench()
        other.write(1 if shorter else 4, request="of another history")
        other.settle()
        other.write()
        other.settle()
        other.audit.disk.mkdir(CURSOR.parent.parent)
        other.audit.disk.mkdir(CURSOR.parent)
        other.audit.disk.create(CURSOR).write(cursor, 0)
        other.drain()
        assert other.collector.names[0] == "keystead-test/w0/restarted/0"
        assert other.collector.names[1] == names(0)[0]
        assert "has not the entries" in other.collector.got[0].about.entry.detail


def test_what_was_pruned_before_it_was_delivered_is_told_of() -> None:
    """The receiver learns which entries it will never get; what was delivered before may go without a word."""
    bench = SinkBench()
    bench.write(600)
    bench.log.close()
    gone = pruning.NOTHING.plus([0, 1], began=1)
    origin = "keystead-test/w0"
    note = bench.audit.signer.named(pruning.name(origin)).sign(gone.text(origin))
    pruning.state(bench.audit.disk, bench.audit.directory, note)
    pruning.remove(bench.audit.disk, bench.audit.directory, [0, 1])
    bench.drain()
    assert bench.collector.names[:2] == ["keystead-test/w0/pruned/0", *names(512)]
    assert bench.collector.got[0].about.entry.detail == (
        "the entries from 0 up to 512 were pruned before they were delivered"
    )
    assert bench.collector.names[-1] == "keystead-test/w0/checkpoint/600"
    census = Census()
    for message in bench.collector.got:
        census.add(message.body)
    assert census.missing() == {origin: [(0, 512)]}
    for position in (512, 300):  # cursors of entries that are gone by now
        cursor = Cursor("siem", "w0", position=position, mark="of an entry that is gone")
        Cursors(CURSOR.parent, sink="siem", disk=bench.audit.disk).save(cursor)
        bench.sink = again = Collector(overlap=8)
        bench.begin()
        bench.drain()
        assert "restarted" not in str(again.names)
        assert again.remembered == []
        assert names(512)[0] in again.names


def test_a_receiver_that_may_lose_events_is_given_the_last_ones_to_remember() -> None:
    """What a process before this one delivered last is at hand for the first connection."""
    bench = SinkBench()
    bench.write(5)
    bench.settle()
    bench.drain()
    for overlap, expected in ((3, names(2, 3, 4)), (100, names(0, 1, 2, 3, 4))):
        bench.sink = again = Collector(overlap)
        bench.begin()
        bench.drain()
        assert [message.about.name for message in again.remembered] == expected
        assert again.got == []


def test_an_overlap_is_several_deliveries() -> None:
    """A receiver that may lose its last deliveries gets smaller ones, so that the overlap covers some of them."""
    for overlap, most in ((16, 2), (3, 1), (0, 10)):
        bench = SinkBench(sink=Collector(overlap))
        bench.write(10)
        bench.settle()
        bench.log.close()
        bench.pump.turn()
        assert len(bench.sink.got) == most  # type: ignore[attr-defined]  # it is the collector


def test_the_cursor_is_saved_now_and_then_while_there_is_much_to_do() -> None:
    """Once a second: the disk belongs to others."""
    bench = SinkBench(batch_entries=1)
    bench.write(6)
    bench.settle()
    bench.pump.turn()
    assert CURSOR in bench.audit.disk.files()  # a second has passed since the process began
    saved = bench.audit.disk.read(CURSOR)
    bench.pump.turn()
    assert bench.audit.disk.read(CURSOR) == saved
    bench.audit.later(1.0)
    bench.pump.turn()
    assert bench.audit.disk.read(CURSOR) != saved


def test_the_status_says_how_far_behind_it_is() -> None:
    """Entries and seconds that the receiver has not got, what went wrong last, and that it goes well again."""
    bench = SinkBench(batch_entries=4)
    bench.write(10)
    bench.settle()
    bench.audit.clock.time = 1_000_060.0  # a minute after the entries were made
    bench.collector.retry = [Retry("it is down")]
    with pytest.raises(Retry) as caught:
        bench.pump.turn()
    bench.pump.failed(caught.value)
    status = bench.pump.status()
    assert (status.lag_entries, round(status.lag_seconds)) == (10, 60)
    assert (status.errors, status.last_error, status.last_error_time) == (1, "it is down", 1_000_060.0)
    bench.pump.turn()
    status = bench.pump.status()
    assert (status.lag_entries, round(status.lag_seconds), status.delivered) == (6, 60, 4)
    assert (status.last_error, status.errors, status.last_delivery_time) == ("", 1, 1_000_060.0)
    bench.drain()
    status = bench.pump.status()
    assert (status.name, status.kind, status.lag_entries, status.lag_seconds) == ("siem", "collector", 0, 0.0)


def test_a_log_that_cannot_be_read_holds_up_no_other() -> None:
    """What is wrong with it is told, and the others are delivered."""
    bench = SinkBench()
    bench.write(2)
    bench.settle()
    other = bench.audit.open("a0")
    other.append(b'{"action":"kms:Sign"}')
    other.close()
    whole = bench.audit.disk.read(bench.audit.root / "a0" / "checkpoint")
    bench.audit.disk.damage(bench.audit.root / "a0" / "checkpoint", b"not one")
    bench.drain()
    assert bench.collector.names[:2] == names(0, 1)
    status = bench.pump.status()
    assert "a0/checkpoint: it is not a checkpoint" in status.last_error
    assert (status.errors, status.delivered) == (1, 2)  # it is the same error for as long as it lasts
    bench.audit.disk.damage(bench.audit.root / "a0" / "checkpoint", whole)
    bench.drain()
    assert bench.pump.status().last_error == ""
    assert "keystead-test/a0/0" in bench.collector.names


def test_a_stranger_learns_nothing_from_an_error_that_nobody_expected() -> None:
    """Of an exception that is not ours only the kind is told; ours are cut to a length."""
    bench = SinkBench()
    bench.pump.failed(ValueError("password=hunter2"))
    assert bench.pump.status().last_error == "ValueError, which nothing expected"
    bench.pump.failed(Retry("x" * 1000))
    assert len(bench.pump.status().last_error) == 300


def test_a_receiver_is_left_alone_for_longer_each_time() -> None:
    """From a quarter of a second to a minute, never quite the same for two, and as long as it asks for."""
    low, high = SinkBench(random=bytes), SinkBench(random=lambda size: b"\xff" * size)
    pauses = [low.pump.pause(failures, Retry("no")) for failures in range(1, 12)]
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert pauses[-1] == 30.0
    assert 59.9 < high.pump.pause(500, Retry("no")) < 60.0
    assert low.pump.pause(1, Retry("no", after=120.0)) == 120.0
    assert low.pump.pause(1, Retry("no", after=1e9)) == 600.0
    assert low.pump.pause(1, ValueError()) == 0.25


def test_a_threads_life_is_to_go_on_until_it_is_told_to_stop() -> None:
    """It waits out failures and quiet times, and at the end saves the cursor and closes the sink."""
    bench = SinkBench()
    bench.write(2)
    bench.settle()
    bench.collector.retry = [Retry("no")]
    stopping = threading.Event()

    class Stop(threading.Event):
        """Does not wait, and stops when all has been delivered and it was quiet twice."""

        waits: list[float] = []  # noqa: RUF012 - one test, one instance

        @override
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            self.waits.append(timeout)
            if len(self.waits) > 2:
                stopping.set()
            return True

        @override
        def is_set(self) -> bool:
            return stopping.is_set()

    bench.pump.run(Stop())
    assert Stop.waits == [0.25, 0.25, 0.25]
    assert bench.collector.names == [*names(0, 1), "keystead-test/w0/checkpoint/2"]
    assert bench.collector.closed == 1
    bench.begin()
    assert bench.pump.turn() is False


def test_a_thread_that_cannot_save_at_the_end_still_closes_its_sink() -> None:
    """The receiver gets some of it again, then."""
    bench = SinkBench()
    bench.write(1)
    bench.settle()
    bench.audit.clock.time -= 2.0
    bench.pump.turn()
    bench.audit.stop_disk()
    stop = threading.Event()
    stop.set()
    bench.pump.run(stop)
    assert bench.collector.closed == 1


def test_an_entry_without_a_time_waits_from_now_on() -> None:
    """What tells no time is as old as it is new to us."""
    bench = SinkBench()
    bench.log.append(b'{"action":"kms:Sign"}')
    bench.log.commit()
    bench.settle()
    bench.collector.retry = [Retry("no")]
    with pytest.raises(Retry):
        bench.pump.turn()
    bench.audit.clock.time += 5
    assert bench.pump.status().lag_seconds == 5.0
    assert Entry() == Entry()
