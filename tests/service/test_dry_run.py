"""A dry run: everything is checked by the same code, it is on record as one, and nothing has changed."""

from collections.abc import Callable

import pytest

from keystead.core.names import KeyReference
from keystead.core.policy import default_key_policy
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench

WOULD_SUCCEED = "DryRun: The request would have succeeded, but the DryRun option is set."

CHANGES: dict[str, Callable[[KeyReference], Command]] = {
    "a new key": lambda _: c.CreateKey(tags=(("a", "b"),)),
    "a disabled key": c.DisableKey,
    "a deletion": c.ScheduleKeyDeletion,
    "a rotation": c.RotateKeyOnDemand,
    "a policy": lambda key: c.PutKeyPolicy(key, default_key_policy(ACCOUNT)),
    "an alias": lambda key: c.CreateAlias("alias/x", key),
    "a tag": lambda key: c.TagResource(key, (("a", "b"),)),
    "a user": lambda _: i.CreatePrincipal(name="carol"),
    "a user that goes": lambda _: i.DeletePrincipal(name="bob"),
    "an access key": lambda _: i.CreateAccessKey(name="bob"),
}


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user of whom no policy speaks."""
    bench = ServiceBench()
    bench.house.user("bob")
    return bench


def dry(bench: ServiceBench, command: Command, who: str = "admin") -> str:
    """What a dry run is told."""
    caller = bench.caller(who)
    caller.dry_run = True
    return bench.refusal(command, caller)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_checked_and_not_made(bench: ServiceBench, change: str) -> None:
    """The store is what it was, to the change feed's number, and the same request then succeeds."""
    key = bench.key()
    command = CHANGES[change](key)
    with bench.house.store.view() as view:
        before = view.newest_change()
    assert dry(bench, command) == WOULD_SUCCEED
    with bench.house.store.view() as view:
        assert view.newest_change() == before
    intent, outcome = bench.records[-2:]
    assert (intent.stage, outcome.stage, outcome.outcome) == ("intent", "outcome", "DryRun")
    assert intent.dry_run
    assert outcome.dry_run
    assert outcome.decision == "Allow"
    assert bench.do(command)


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_be_refused_is_refused(bench: ServiceBench, change: str) -> None:
    """In the words of the real refusal."""
    command = CHANGES[change](bench.key())
    told = dry(bench, command, "bob")
    assert told.startswith("AccessDenied")
    assert told == bench.refusal(command, "bob")


def test_a_use_gives_nothing_out(bench: ServiceBench) -> None:
    """Whether the operation has an option of its own for that or not."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, b"x")).blob
    for command in (c.Encrypt(key, b"x"), c.Decrypt(blob), c.GenerateRandom(8), c.GenerateDataKey(key, 32)):
        assert dry(bench, command) == WOULD_SUCCEED
        assert (bench.records[-1].outcome, bench.records[-1].dry_run) == ("DryRun", True)
    assert "AccessDenied" in dry(bench, c.Decrypt(blob), "bob")


def test_what_only_reads_is_answered(bench: ServiceBench) -> None:
    """There is nothing that could be left undone."""
    key = bench.key()
    caller = bench.caller("admin")
    caller.dry_run = True
    assert bench.do(c.DescribeKey(key), caller).key.id == key.name
    assert bench.records[-1].dry_run
