"""Legal holds, and the removal of what is over its time, as the gate has them."""

import pytest

from keystead.audit.log import Log
from keystead.core.errors import DataDamaged
from keystead.core.principal import user_arn
from keystead.core.retention import DAY, Durations, Kept
from keystead.service import holds
from keystead.service.actions import retention
from keystead.service.commands import identity as i
from keystead.service.commands import kms
from keystead.service.commands import ledger as c
from keystead.service.desk import Desk
from keystead.testing.installation import ACCOUNT, Installation
from keystead.testing.service import JOBS, ServiceBench, key_arn

EVERYTHING = Durations(dict.fromkeys(Kept, 30))


@pytest.fixture
def bench() -> ServiceBench:
    """A gate of an installation that keeps everything for thirty days."""
    return ServiceBench(Installation(durations=EVERYTHING), "control")


def age(bench: ServiceBench, days: float = 40) -> None:
    """Let time pass, and everything be taken in everywhere."""
    house = bench.house
    house.clock.time += days * DAY
    for _ in range(4):
        house.audit.later()
        bench.gate.tend()
        house.trees.update()


def fill(bench: ServiceBench, count: int = 300) -> None:
    """So many entries of uses of a key."""
    key = bench.key()
    for _ in range(count):
        bench.do(kms.Encrypt(key, b"x"))


def log(bench: ServiceBench) -> Log:
    """The gate's log."""
    return bench.house.logs["control"]


def test_what_is_over_its_time_is_removed_and_said(bench: ServiceBench) -> None:
    """A plan removes nothing, the removal names the ranges in its entry, and then there is no more."""
    fill(bench)
    age(bench)
    plan = bench.do(c.PlanPruning())
    assert (plan.ranges, plan.entries, plan.more) == (["control/0-255"], 256, False)
    assert bench.do(c.PlanPruning()).ranges == plan.ranges
    told = bench.do(c.PruneAudit(), JOBS)
    assert (told.ranges, told.entries, told.more) == (["control/0-255"], 256, False)
    intent, outcome = bench.records[-2:]
    assert (intent.action, intent.stage) == ("keystead:PruneAudit", "intent")
    assert (outcome.stage, outcome.subject, outcome.outcome) == ("outcome", "control/0-255", "Success")
    assert bench.do(c.PruneAudit()).ranges == []
    assert bench.house.audit.verify().logs[0].minimum == 256


def test_a_dry_run_removes_nothing(bench: ServiceBench) -> None:
    """All is decided and looked at, and stays."""
    fill(bench)
    age(bench)
    caller = bench.caller()
    caller = type(caller)(caller.identity, caller.request, caller.region, auth="internal", dry_run=True)
    assert bench.refusal(c.PruneAudit(), caller).startswith("DryRun")
    assert bench.do(c.PlanPruning()).entries == 256


def test_last_uses_survive_what_is_removed(bench: ServiceBench) -> None:
    """GetKeyLastUsage answers as before, and since when it knows."""
    key = bench.key()
    for _ in range(300):
        bench.do(kms.Encrypt(key, b"x"))
    before = bench.do(kms.GetKeyLastUsage(key))
    age(bench)
    bench.do(c.PruneAudit())
    after = bench.do(kms.GetKeyLastUsage(key))
    assert (after.last, after.tracked_since) == (before.last, before.tracked_since)
    assert before.last is not None


@pytest.mark.parametrize("of_key", [False, True], ids=["account", "key"])
def test_a_hold_keeps_until_it_is_lifted(bench: ServiceBench, of_key: bool) -> None:
    """A hold on the account or on the key that was used keeps the bundle; lifted, it goes."""
    fill(bench)
    key = bench.key()
    bench.do(kms.Encrypt(key, b"x"))
    age(bench)
    used = [each.key for each in bench.records if each.action == "kms:Encrypt"]
    hold = bench.do(c.PutLegalHold("case-7", "a dispute", used[0] if of_key else "")).hold
    assert (hold.account, hold.key, hold.by) == (
        ACCOUNT,
        used[0] if of_key else "",
        user_arn(ACCOUNT, "admin"),
    )
    assert bench.do(c.ListLegalHolds()).holds == [hold]
    assert bench.do(c.PruneAudit()).ranges == []
    assert bench.do(c.LiftLegalHold("case-7", "settled")).hold == hold
    assert (bench.records[-1].subject, bench.records[-1].detail) == ("case-7", "settled")
    assert bench.do(c.PruneAudit()).ranges == ["control/0-255"]
    assert bench.do(c.ListLegalHolds()).holds == []


def test_a_hold_on_a_key_lets_others_go(bench: ServiceBench) -> None:
    """What names another key is not held."""
    fill(bench)
    key = bench.key()
    age(bench)
    bench.do(c.PutLegalHold("case-7", "a dispute", key_arn(key)))
    assert bench.do(c.PruneAudit()).ranges == ["control/0-255"]


def test_a_hold_of_a_destroyed_key_can_be_set(bench: ServiceBench) -> None:
    """The key need not live any more."""
    key = bench.key()
    bench.do(kms.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 8 * DAY
    bench.do(kms.DestroyKey(key), JOBS)
    assert bench.do(c.PutLegalHold("late", "a dispute", key_arn(key))).hold.key == key_arn(key)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (c.PutLegalHold("no spaces please", "why"), "InvalidRequest: A hold's name"),
        (c.PutLegalHold("h", " "), "InvalidRequest: Give a reason"),
        (c.PutLegalHold("h", "x" * 257), "InvalidRequest: Give a reason"),
        (c.PutLegalHold("h", "why", "arn:aws:kms:eu-central-1:111122223333:key/none"), "NotFound"),
        (c.PutLegalHold("h", "why", "arn:aws:kms:eu-central-1:999999999999:key/none"), "NotFound"),
        (c.PutLegalHold("h", "why", "arn:aws:kms:eu-central-1:111122223333:alias/x"), "NotFound"),
        (c.PutLegalHold("h", "why", "x"), "NotFound"),
        (c.PutLegalHold("there", "why"), "AlreadyExists"),
        (c.LiftLegalHold("none", "why"), "NotFound"),
        (c.LiftLegalHold("there", ""), "InvalidRequest: Give a reason"),
    ],
)
def test_holds_that_cannot_be(bench: ServiceBench, command: c.PutLegalHold, error: str) -> None:
    """A hold has a name of its own, a reason, and a key of the account's if any."""
    bench.do(c.PutLegalHold("there", "why"))
    assert bench.refusal(command).startswith(error)


def test_there_is_an_end_to_holds(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account can fill the store with them."""
    monkeypatch.setattr(holds, "MOST", 1)
    bench.do(c.PutLegalHold("one", "why"))
    assert bench.refusal(c.PutLegalHold("two", "why")).startswith("LimitExceeded")


def test_accounts_have_holds_of_their_own(bench: ServiceBench) -> None:
    """Another account sees and lifts none of them, may have one of the same name, and may not prune."""
    admin = user_arn(bench.do(i.CreateAccount("other")).account.id, "admin")
    bench.do(c.PutLegalHold("case", "why"))
    assert bench.do(c.ListLegalHolds(), admin).holds == []
    assert bench.refusal(c.LiftLegalHold("case", "why"), admin).startswith("NotFound")
    bench.do(c.PutLegalHold("case", "ours"), admin)
    assert [each.reason for each in bench.do(c.ListLegalHolds()).holds] == ["why"]
    for command in (c.PlanPruning(), c.PruneAudit()):
        assert bench.refusal(command, admin).startswith("AccessDenied")


def test_to_set_and_to_lift_are_permissions_of_their_own(bench: ServiceBench) -> None:
    """Who may set a hold may not therefore lift one."""
    policy = '{"Statement": {"Effect": "Allow", "Action": "keystead:PutLegalHold", "Resource": "*"}}'
    bench.house.user("lawyer", policy)
    bench.do(c.PutLegalHold("case", "why"), "lawyer")
    assert bench.refusal(c.LiftLegalHold("case", "why"), "lawyer").startswith("AccessDenied")


def test_a_hold_that_comes_meanwhile_counts(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was planned under other holds is not removed."""
    fill(bench)
    age(bench)
    plan = retention.prepare_pruning

    def then_held(command: c.PruneAudit, desk: Desk) -> object:
        planned = plan(command, desk)
        return planned._replace(holds="[other]")

    action = retention.ACTIONS[c.PruneAudit]
    monkeypatch.setattr(
        "keystead.service.gate.ACTIONS",
        {
            c.PruneAudit: type(action)(action.name, action.mode, action.run, then_held),
            c.PlanPruning: retention.ACTIONS[c.PlanPruning],
        },
    )
    assert "holds have changed meanwhile" in bench.refusal(c.PruneAudit())
    assert bench.do(c.PlanPruning()).entries == 256


def test_an_entry_names_a_bounded_number_of_ranges(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many ranges the first are named, and how many more there are."""
    fill(bench)
    age(bench)
    monkeypatch.setattr(retention, "RANGES_TOLD", 0)
    bench.do(c.PruneAudit())
    assert bench.records[-1].subject == " and 1 more"


def test_holds_that_do_not_read_are_damage(bench: ServiceBench) -> None:
    """Nothing is removed on the strength of holds that nobody can read."""
    with bench.house.store.transact("damage") as tx:
        tx.put_setting(holds.SETTING, "[{}]")
    with bench.house.store.view() as view, pytest.raises(DataDamaged, match="'legal-holds'"):
        holds.read(holds.text(view))
    assert bench.refusal(c.PruneAudit()).startswith("DataDamaged")
