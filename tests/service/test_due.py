"""What the jobs find to ask for."""

from dataclasses import replace

import pytest

from keystead.core.key import Key, State
from keystead.core.names import KeyReference
from keystead.core.principal import Account, Provider, provider_arn, service_arn
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.due import Due, due, stale
from keystead.service.results.kms import KeyDescription
from keystead.testing.installation import ACCOUNT, REGION, Installation

DAY = 86_400


def test_only_what_is_due_is_found_the_longest_overdue_first() -> None:
    """Deletions before rotations, each in the order of their dates, at most as many as asked for."""
    house = Installation()
    gate = house.gate("w0")
    ids = []
    for number in range(5):
        made = house.ask(gate, c.CreateKey()).outcome()
        assert isinstance(made, KeyDescription)
        ids.append(made.key.id)
        key = KeyReference(made.key.id)
        house.clock.time += 1
        command: Command = c.EnableKeyRotation(key, 90) if number < 3 else c.ScheduleKeyDeletion(key, 7)
        house.ask(gate, command).outcome()
    assert due(house.store, house.clock.now(), 10) == []
    house.clock.time += 8 * DAY
    assert [d.key_id for d in due(house.store, house.clock.now(), 10)] == ids[3:]
    house.clock.time += 90 * DAY
    found = due(house.store, house.clock.now(), 2)
    assert [d.key_id for d in found] == [*ids[3:], *ids[:2]]
    assert found[0] == Due(REGION, ids[3], c.DestroyKey(KeyReference(ids[3])), ACCOUNT)
    assert found[2] == Due(REGION, ids[0], c.RotateKeyAutomatically(KeyReference(ids[0])), ACCOUNT)


def test_what_is_found_is_done_by_the_gate_and_is_due_no_more() -> None:
    """The jobs' own principal asks, the gate decides and records, and the next look finds nothing."""
    house = Installation()
    gate = house.gate("w0")
    for command in (c.ScheduleKeyDeletion, c.EnableKeyRotation):
        made = house.ask(gate, c.CreateKey()).outcome()
        assert isinstance(made, KeyDescription)
        house.ask(gate, command(KeyReference(made.key.id))).outcome()
    house.clock.time += 400 * DAY
    for number, each in enumerate(due(house.store, house.clock.now(), 10)):
        caller = house.caller(f"job-{number}", arn=service_arn(ACCOUNT, "jobs"), region=each.region)
        house.ask(gate, each.command, caller).outcome()
    assert due(house.store, house.clock.now(), 10) == []
    with house.store.view() as view:
        states = {key.state for key in view.keys(ACCOUNT, REGION, "", 10)}
    assert states == {State.ENABLED}
    assert [
        e.outcome for e in house.entries() if e.action.startswith("keystead:") and e.stage == "outcome"
    ] == [
        "Success",
        "Success",
    ]


def test_expired_material_is_due_between_deletions_and_rotations() -> None:
    """In whatever Region, the earliest end first, at most as many as asked for."""
    house = Installation()
    gate = house.gate("w0")
    keys: list[Key] = []
    for region in (REGION, "us-east-1", REGION):
        caller = house.caller(f"make-{len(keys)}", region=region)
        made = house.ask(gate, c.CreateKey(), caller).outcome()
        assert isinstance(made, KeyDescription)
        keys.append(made.key)
    house.ask(gate, c.ScheduleKeyDeletion(KeyReference(keys[2].id), 7)).outcome()
    with house.store.transact("ends") as tx:
        tx.put_key(replace(keys[0], expires=house.clock.now() + 9))
        tx.put_key(replace(keys[1], expires=house.clock.now() + 8))
    house.clock.time += 8 * DAY
    expiries = [
        Due(key.region, key.id, c.ExpireKeyMaterial(KeyReference(key.id)), ACCOUNT)
        for key in (keys[1], keys[0])
    ]
    destruction = Due(REGION, keys[2].id, c.DestroyKey(KeyReference(keys[2].id)), ACCOUNT)
    assert due(house.store, house.clock.now(), 10) == [destruction, *expiries]
    assert due(house.store, house.clock.now(), 1) == [destruction, expiries[0]]


def test_old_keys_of_issuers_are_found_in_all_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, and only those that were fetched before the time."""
    monkeypatch.setattr("keystead.service.due.AT_ONCE", 2)
    house = Installation()
    accounts = [f"{number:012}" for number in range(1, 6)]
    with house.store.transact("many") as tx:
        for number, account in enumerate(accounts):
            url = f"https://{number}.example"
            tx.put_account(Account(id=account, name=account, created=0.0))
            tx.put_provider(
                Provider(
                    arn=provider_arn(account, url),
                    account=account,
                    url=url,
                    audiences=("a",),
                    created=0.0,
                    fetched=float(number),
                )
            )

    def found(before: float) -> list[str]:
        return [provider.account for provider in stale(house.store, before)]

    assert found(0.0) == []
    assert found(3.0) == accounts[:3]
    assert found(9.0) == accounts
