"""Making keys, looking at them, and their life up to the end."""

import itertools
from dataclasses import replace
from uuid import UUID

import pytest

from keystead.core.errors import DataDamaged
from keystead.core.key import TRANSITIONS, Event, State
from keystead.core.names import KeyReference
from keystead.core.policy import default_key_policy
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import JOBS, ServiceBench, key_arn

DAY = 86_400
CREATOR = '{"Statement": {"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"}}'
UNKNOWN = KeyReference("00000000-0000-4000-8000-000000000000")


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


def in_state(bench: ServiceBench, state: State) -> KeyReference:
    """A key brought to that state: by the API, or as the actions of imports and replicas leave it in the store."""
    key = bench.key()
    if state is State.DISABLED:
        bench.do(c.DisableKey(key))
    elif state in (State.PENDING_DELETION, State.DESTROYED):
        bench.do(c.ScheduleKeyDeletion(key, 7))
    elif state is not State.ENABLED:
        with bench.house.store.transact(f"to {state} {key.name}") as tx:
            stored = tx.key(REGION, key.name)
            assert stored is not None
            tx.put_key(replace(stored, state=state))
    if state is State.DESTROYED:
        bench.house.clock.time += 7 * DAY
        bench.do(c.DestroyKey(key))
    return key


def state_of(bench: ServiceBench, key: KeyReference) -> State:
    """The state that is stored."""
    with bench.house.store.view() as view:
        stored = view.key(REGION, key.name)
    assert stored is not None
    return stored.state


def commands_by_event(key: KeyReference) -> dict[Event, list[Command]]:
    """Every command about one key that goes through the table, by the event it stands for."""
    return {
        Event.USE: [c.Encrypt(key, b"x"), c.GenerateDataKey(key, 32), c.RotateKeyOnDemand(key)],
        Event.READ: [
            c.DescribeKey(key),
            c.GetKeyPolicy(key),
            c.ListKeyPolicies(key),
            c.GetKeyRotationStatus(key),
            c.ListKeyRotations(key),
            c.ListResourceTags(key),
            c.ListAliases(key),
        ],
        Event.CONFIGURE: [
            c.TagResource(key, (("a", "b"),)),
            c.UntagResource(key, ("a",)),
            c.UpdateKeyDescription(key, "new"),
            c.CreateAlias("alias/configure", key),
        ],
        Event.SET_POLICY: [c.PutKeyPolicy(key, default_key_policy(ACCOUNT))],
        Event.SET_ROTATION: [c.EnableKeyRotation(key), c.DisableKeyRotation(key)],
        Event.ENABLE: [c.EnableKey(key)],
        Event.DISABLE: [c.DisableKey(key)],
        Event.SCHEDULE_DELETION: [c.ScheduleKeyDeletion(key)],
        Event.CANCEL_DELETION: [c.CancelKeyDeletion(key)],
    }


# --- making and looking ----------------------------------------------------------------------------------


def test_a_key_made_without_anything(bench: ServiceBench) -> None:
    """It is an enabled symmetric key with AWS's default policy, and its record has its ARN and version."""
    made = bench.do(c.CreateKey())
    key = made.key
    record = bench.records[-1]

    assert UUID(key.id).version == 4
    assert key.arn == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key.id}"
    assert (key.spec, key.usage, key.state) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", State.ENABLED)
    assert (key.description, key.created, key.current_version) == ("", bench.house.clock.now(), 1)
    assert (key.deletion_date, key.rotation_period_days, key.next_rotation) == (None, None, None)
    assert key.policy == default_key_policy(ACCOUNT)
    assert len(bytes.fromhex(made.material_id)) == 32
    assert (record.action, record.stage, record.outcome) == ("kms:CreateKey", "outcome", "Success")
    assert (record.key, record.version) == (key.arn, 1)


def test_a_key_is_made_as_it_was_asked_for(bench: ServiceBench) -> None:
    """Description, tags and policy are kept to the letter, in the caller's region."""
    policy = '{ "Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}] }'
    key = bench.key(c.CreateKey(description="für Müller", policy=policy, tags=(("a", "1"), ("b", ""))), "r-2")

    described = bench.do(c.DescribeKey(key), region="r-2").key
    assert (described.description, described.region) == ("für Müller", "r-2")
    assert bench.do(c.GetKeyPolicy(key), region="r-2").text == policy
    assert bench.do(c.ListResourceTags(key), region="r-2").tags == [("a", "1"), ("b", "")]
    assert bench.do(c.ListKeys()).keys == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            c.CreateKey(spec="SM2", usage="SIGN_VERIFY"),
            "UnsupportedOperation: KeySpec SM2 is not supported in this Region.",
        ),
        (
            c.CreateKey(usage="SIGN_VERIFY"),
            "InvalidRequest: KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
        ),
        (c.CreateKey(tags=(("a", "1"), ("a", "2"))), "InvalidTag: Duplicate tag keys"),
        (c.CreateKey(tags=(("AWS:x", "1"),)), "InvalidTag: Tags beginning with aws: are reserved"),
        (c.CreateKey(tags=tuple((f"{i}", "") for i in range(51))), "InvalidTag: Too many tags"),
        (c.CreateKey(policy="{"), "MalformedPolicy: The policy is not valid JSON."),
    ],
)
def test_a_key_that_cannot_be_is_not_made(bench: ServiceBench, command: c.CreateKey, told: str) -> None:
    """It is refused with AWS's words, and nothing is stored."""
    assert bench.refusal(command) == told
    assert bench.do(c.ListKeys()).keys == []


def test_who_may_make_keys_needs_nothing_else(bench: ServiceBench) -> None:
    """The default policy leaves the key to the account, which is no lockout; tags are a permission of their own."""
    bench.house.user("maker", CREATOR)
    made = bench.do(c.CreateKey(), "maker")
    assert state_of(bench, KeyReference(made.key.id)) is State.ENABLED
    told = bench.refusal(c.CreateKey(tags=(("a", "b"),)), "maker")
    assert "is not authorized to perform: kms:TagResource on resource: arn:aws:kms:" in told
    assert len(bench.do(c.ListKeys()).keys) == 1


def test_a_policy_that_locks_out_its_maker_is_refused(bench: ServiceBench) -> None:
    """Unless the caller says that this is meant."""
    policy = (
        '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/other"}, '
        '"Action": "kms:*", "Resource": "*"}}'
    )
    told = bench.refusal(c.CreateKey(policy=policy))
    assert told.startswith("MalformedPolicy: The new key policy will not allow you to update the key policy")
    key = bench.do(c.CreateKey(policy=policy, bypass_lockout_check=True)).key
    assert bench.refusal(c.DescribeKey(KeyReference(key.id))).startswith("AccessDenied")


def test_a_key_is_described_by_any_name(bench: ServiceBench) -> None:
    """By id, ARN, alias and alias ARN; after a rotation with the material that is current."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    before = bench.do(c.DescribeKey(key))
    for reference in (
        KeyReference(key.name, account=ACCOUNT, region=REGION),
        KeyReference("alias/app", is_alias=True),
        KeyReference("alias/app", is_alias=True, account=ACCOUNT, region=REGION),
    ):
        assert bench.do(c.DescribeKey(reference)) == before
    bench.do(c.RotateKeyOnDemand(key))
    assert bench.do(c.DescribeKey(key)).material_id != before.material_id


def test_keys_are_listed_page_by_page(bench: ServiceBench) -> None:
    """In the order of their ids, without destroyed ones, and the last page has no marker."""
    ids = sorted(bench.key().name for _ in range(5))
    gone = in_state(bench, State.DESTROYED)
    pages, marker = [], ""
    for _ in range(3):
        page = bench.do(c.ListKeys(limit=2, marker=marker))
        pages.append([key.id for key in page.keys])
        marker = page.marker
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert gone.name not in ids
    assert marker == ""


def test_a_full_last_page_is_the_last(bench: ServiceBench) -> None:
    """Two keys and pages of two: there is no empty third page to ask for."""
    bench.key()
    bench.key()
    assert bench.do(c.ListKeys(limit=2)).marker == ""


def test_a_marker_of_another_list_is_refused(bench: ServiceBench) -> None:
    """A marker goes on in the list and region it was made for."""
    for _ in range(3):
        bench.key()
        bench.key(region="us-east-1")
    marker = bench.do(c.ListKeys(limit=1)).marker
    told = "InvalidMarker: The marker is not one that this list gave out."
    assert bench.refusal(c.ListKeys(marker=marker), region="us-east-1") == told
    assert bench.refusal(c.ListAliases(marker=marker)) == told
    assert bench.refusal(c.ListKeys(marker="garbage")) == told


def test_a_description_is_replaced(bench: ServiceBench) -> None:
    """And can be emptied."""
    key = bench.key(c.CreateKey(description="old"))
    for text in ("new", ""):
        bench.do(c.UpdateKeyDescription(key, text))
        assert bench.do(c.DescribeKey(key)).key.description == text


# --- who may ---------------------------------------------------------------------------------------------


def test_every_action_is_refused_to_who_may_not(bench: ServiceBench) -> None:
    """A user without permissions is told which one, for which key, and the record says Deny."""
    key = bench.key()
    commands = [command for group in commands_by_event(key).values() for command in group]
    commands += [c.DestroyKey(key), c.RotateKeyAutomatically(key), c.CreateKey(), c.ListKeys()]
    for command in commands:
        told = bench.refusal(command, "mallory")
        record = bench.records[-1]
        action = bench.gate.action(command).name
        assert told.startswith(
            f"AccessDenied: User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform: {action} on "
            f"resource: {record.subject or record.key or '*'} because no identity-based policy allows"
        )
        assert (record.decision, record.outcome, record.action) == ("Deny", "AccessDenied", action)
    assert state_of(bench, key) is State.ENABLED


def test_every_action_says_which_key_it_did_not_find(bench: ServiceBench) -> None:
    """Also in the record, so that a search for a key finds the attempts before it was there."""
    for command in [command for group in commands_by_event(UNKNOWN).values() for command in group]:
        assert bench.refusal(command) == f"NotFound: Key '{key_arn(UNKNOWN)}' does not exist"
        assert bench.records[-1].key == key_arn(UNKNOWN)


def test_an_alias_stands_only_where_aws_takes_one(bench: ServiceBench) -> None:
    """Management takes key ids and key ARNs; an alias is refused as no key id."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    alias = KeyReference("alias/app", is_alias=True)
    takes = (c.Encrypt, c.GenerateDataKey, c.DescribeKey)
    for command in [command for group in commands_by_event(alias).values() for command in group]:
        if isinstance(command, takes):
            bench.do(command)
        elif isinstance(command, c.CreateAlias):
            assert bench.refusal(command) == "InvalidRequest: Aliases must refer to keys. Not aliases"
        else:
            assert bench.refusal(command) == "NotFound: Invalid keyId 'alias/app'"


def test_an_arn_of_another_region_is_refused(bench: ServiceBench) -> None:
    """As AWS does: the endpoint of one region does not serve another's."""
    key = bench.key()
    command = c.DescribeKey(KeyReference(key.name, account=ACCOUNT, region="us-east-1"))
    assert bench.refusal(command) == "NotFound: Invalid arn us-east-1"


# --- states ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_actions_do_what_the_table_says(bench: ServiceBench, state: State, event: Event) -> None:
    """For each state and event: the action works exactly if the pair is in the table, and leads where it says."""
    for index in range(len(commands_by_event(UNKNOWN).get(event, []))):
        key = in_state(bench, state)
        command = commands_by_event(key)[event][index]
        if (state, event) in TRANSITIONS:
            bench.do(command)
            assert state_of(bench, key) is TRANSITIONS[state, event]
        else:
            told = bench.refusal(command)
            assert (
                told
                == {
                    State.CREATING: f"InvalidKeyState: {key_arn(key)} is creating.",
                    State.PENDING_IMPORT: f"InvalidKeyState: {key_arn(key)} is pending import.",
                    State.DISABLED: f"KeyDisabled: {key_arn(key)} is disabled.",
                    State.UPDATING: f"InvalidKeyState: {key_arn(key)} is updating.",
                    State.PENDING_DELETION: f"InvalidKeyState: {key_arn(key)} is pending deletion.",
                    State.PENDING_REPLICA_DELETION: f"InvalidKeyState: {key_arn(key)} is pending deletion.",
                    State.DESTROYED: f"NotFound: Key '{key_arn(key)}' does not exist",
                }[state]
                if event is not Event.CANCEL_DELETION or state is State.DESTROYED
                else f"InvalidKeyState: {key_arn(key)} is not pending deletion."
            )
            assert state_of(bench, key) is state
        if isinstance(command, c.CreateAlias) and state is not State.DESTROYED:
            bench.refusal(command)  # a second time never works
            with bench.house.store.transact("tidy") as tx:
                tx.delete_alias(ACCOUNT, REGION, command.name)


def test_a_disabled_key_comes_back(bench: ServiceBench) -> None:
    """What was sealed before opens again."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, b"x")).blob
    bench.do(c.DisableKey(key))
    assert bench.refusal(c.Decrypt(blob)) == f"KeyDisabled: {key_arn(key)} is disabled."
    bench.do(c.EnableKey(key))
    assert bench.do(c.Decrypt(blob)).plaintext == b"x"


# --- the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [7, 30])
def test_a_deletion_is_scheduled(bench: ServiceBench, days: int) -> None:
    """It has a date as many days ahead as was asked for, and the key is out of use at once."""
    key = bench.key()
    told = bench.do(c.ScheduleKeyDeletion(key, days))
    assert (told.key.state, told.window_days) == (State.PENDING_DELETION, days)
    assert told.key.deletion_date == bench.house.clock.now() + days * DAY
    assert bench.do(c.DescribeKey(key)).key == told.key


@pytest.mark.parametrize("days", [0, 6, 31, 365, -1])
def test_a_window_is_seven_to_thirty_days(bench: ServiceBench, days: int) -> None:
    """AWS's model allows more than its service."""
    key = bench.key()
    told = "InvalidRequest: PendingWindowInDays must be between 7 and 30 (inclusive)"
    assert bench.refusal(c.ScheduleKeyDeletion(key, days)) == told
    assert state_of(bench, key) is State.ENABLED


def test_a_deletion_is_cancelled(bench: ServiceBench) -> None:
    """The key comes back disabled, without a date, and everything about it is still there."""
    key = bench.key(c.CreateKey(description="kept", tags=(("a", "b"),)))
    bench.do(c.CreateAlias("alias/kept", key))
    blob = bench.do(c.Encrypt(key, b"x")).blob
    bench.do(c.ScheduleKeyDeletion(key))
    cancelled = bench.do(c.CancelKeyDeletion(key)).key

    assert (cancelled.state, cancelled.deletion_date) == (State.DISABLED, None)
    bench.do(c.EnableKey(key))
    assert bench.do(c.Decrypt(blob)).plaintext == b"x"
    assert bench.do(c.ListResourceTags(key)).tags == [("a", "b")]
    assert [alias.name for alias in bench.do(c.ListAliases(key)).aliases] == ["alias/kept"]


def test_a_key_is_destroyed_when_its_window_ends_and_not_before(bench: ServiceBench) -> None:
    """Material, aliases, tags and description go, whatever the quotas are; the id stays taken."""
    key = bench.key(c.CreateKey(description="gone", tags=tuple((f"t{i}", "") for i in range(50))))
    for number in range(3):
        bench.do(c.CreateAlias(f"alias/gone{number}", key))
    bench.do(c.RotateKeyOnDemand(key))
    bench.do(c.ScheduleKeyDeletion(key, 7))
    later = ServiceBench(bench.house, "w1", quotas=Quotas(aliases_per_key=1, tags_per_key=1))

    bench.house.clock.time += 7 * DAY - 1
    told = f"InvalidKeyState: {key_arn(key)} is pending deletion until its window ends."
    assert later.refusal(c.DestroyKey(key), JOBS) == told
    bench.house.clock.time += 1
    later.do(c.DestroyKey(key), JOBS)

    with bench.house.store.view() as view:
        stored = view.key(REGION, key.name)
        assert stored is not None
        assert (stored.state, stored.description) == (State.DESTROYED, "")
        assert [version.handle for version in view.versions(REGION, key.name, 0, 10)] == ["", ""]
        assert view.aliases(ACCOUNT, REGION, key.name, "", 10) == []
        assert view.tags(REGION, key.name, "", 10) == []
    assert later.records[-1].key == key_arn(key)
    assert later.refusal(c.DestroyKey(key), JOBS) == f"NotFound: Key '{key_arn(key)}' does not exist"


def test_many_aliases_tags_and_grants_go_with_their_key(bench: ServiceBench) -> None:
    """More than are looked at in one go."""
    generous = ServiceBench(bench.house, "w1", quotas=Quotas(aliases_per_key=500, tags_per_key=500))
    key = generous.key()
    generous.do(c.TagResource(key, tuple((f"t{i}", "") for i in range(230))))
    for number in range(130):
        generous.do(c.CreateAlias(f"alias/many{number}", key))
    for _ in range(130):
        generous.do(c.CreateGrant(key, ("Decrypt",), f"arn:aws:iam::{ACCOUNT}:user/mallory"))
    generous.do(c.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 7 * DAY
    bench.do(c.DestroyKey(key), JOBS)

    with bench.house.store.view() as view:
        assert view.aliases(ACCOUNT, REGION, None, "", 10) == []
        assert view.count_grants(REGION, key.name) == 0
        assert view.tags(REGION, key.name, "", 10) == []


def test_a_destroyed_key_is_unknown_to_everybody(bench: ServiceBench) -> None:
    """Also to who may do nothing: there is nothing left to be forbidden."""
    key = in_state(bench, State.DESTROYED)
    for who in ("admin", "mallory"):
        told = bench.refusal(c.DescribeKey(key), who)
        assert told == f"NotFound: Key '{key_arn(key)}' does not exist"


def test_the_jobs_are_asked_by_their_own_policy_alone(bench: ServiceBench) -> None:
    """A key whose policy names nobody but its owner is destroyed as it was asked for."""
    policy = (
        '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/admin"}, '
        '"Action": "kms:*", "Resource": "*"}}'
    )
    key = bench.key(c.CreateKey(policy=policy))
    bench.do(c.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 7 * DAY
    assert bench.refusal(c.DestroyKey(key), "mallory").startswith("AccessDenied")
    bench.do(c.DestroyKey(key), JOBS)
    assert state_of(bench, key) is State.DESTROYED


def test_a_foreign_key_is_out_of_the_jobs_reach(bench: ServiceBench) -> None:
    """An identity policy alone never decides about another account's key."""
    key = bench.key()
    with bench.house.store.transact("foreign") as tx:
        stored = tx.key(REGION, key.name)
        assert stored is not None
        tx.put_key(replace(stored, account="999988887777"))
    reference = KeyReference(key.name, account="999988887777", region=REGION)
    for command in (c.DestroyKey(reference), c.RotateKeyAutomatically(reference)):
        assert "because the resource does not exist in this Region" in bench.refusal(command, JOBS)


def test_what_is_not_software_custodys_is_not_called_erased(bench: ServiceBench) -> None:
    """If material cannot be erased the key stays as it is, and the record names the trouble."""
    key = bench.key()
    bench.do(c.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 7 * DAY
    with bench.house.store.transact("spoil") as tx:
        versions = tx.erase_versions(REGION, key.name)
        assert len(versions) == 1
        version = replace(versions[0], number=2, handle="hsm:7")
        tx.add_version(version)
    answer = bench.answer(c.DestroyKey(key), JOBS)
    assert isinstance(answer.error, DataDamaged)
    assert state_of(bench, key) is State.PENDING_DELETION
    assert bench.records[-1].outcome == "DataDamaged"
