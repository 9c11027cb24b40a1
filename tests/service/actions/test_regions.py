"""Multi-Region keys in one server: replicas, what they share, who leads, and how they end."""

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keystead.core.key import Key, Origin, State, version_binding
from keystead.core.names import KeyReference
from keystead.core.policy import default_key_policy
from keystead.core.principal import Principal
from keystead.service.actions.regions import AT_ONCE
from keystead.service.commands import kms as c
from keystead.service.due import due
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION
from keystead.testing.service import JOBS, ServiceBench, key_arn

DAY = 86_400
OTHER, THIRD = "us-east-1", "us-west-2"


@pytest.fixture
def bench() -> ServiceBench:
    """An installation that serves any Region."""
    return ServiceBench()


def primary(bench: ServiceBench, **more: Any) -> KeyReference:
    """A new multi-Region key in `REGION`."""
    return bench.key(c.CreateKey(multi_region=True, **more))


def stored(bench: ServiceBench, key: KeyReference, region: str = REGION) -> Key:
    """A member as it is stored."""
    with bench.house.store.view() as view:
        found = view.key(region, key.name)
    assert found is not None
    return found


def bring(bench: ServiceBench, key: KeyReference) -> None:
    """Import 32 bytes."""
    offer = bench.do(c.GetParametersForImport(key, "RSAES_OAEP_SHA_256", "RSA_2048"))
    wrapping = load_der_public_key(offer.public_key)
    assert isinstance(wrapping, RSAPublicKey)
    oaep = OAEP(MGF1(SHA256()), SHA256(), None)
    bench.do(c.ImportKeyMaterial(key, offer.token, wrapping.encrypt(bytes(32), oaep)))


def run_jobs(bench: ServiceBench) -> list[str]:
    """Ask for all that is due; what was asked for, and where."""
    found = due(bench.house.store, bench.house.clock.now(), 100)
    for job in found:
        bench.do(job.command, JOBS, job.region)
    return [f"{type(job.command).__name__} {job.region}" for job in found]


# --- replicas --------------------------------------------------------------------------------------------


def test_a_replica_is_the_same_key_elsewhere(bench: ServiceBench) -> None:
    """It has the id, spec, usage, origin and material; its policy, description and tags are its own."""
    key = primary(bench, description="of the primary", tags=(("a", "b"),))
    bench.house.clock.time += 5
    made = bench.do(c.ReplicateKey(key, OTHER, description="of the replica", tags=(("y", "2"), ("x", "1"))))

    shown = made.description
    assert (shown.key.state, shown.material_id, shown.key.arn) == (State.CREATING, "", key_arn(key, OTHER))
    assert (made.policy, made.tags) == (default_key_policy(ACCOUNT), [("x", "1"), ("y", "2")])
    assert (bench.records[-1].key, bench.records[-1].subject) == (key_arn(key), key_arn(key, OTHER))
    found = bench.do(c.DescribeKey(key), region=OTHER)
    first = bench.do(c.DescribeKey(key))
    assert found.material_id == first.material_id != ""
    assert (found.key.state, found.key.description, found.key.id) == (
        State.ENABLED,
        "of the replica",
        key.name,
    )
    assert found.key.created == first.key.created + 5
    assert found.key.members == first.key.members == (REGION, OTHER)
    assert (first.key.primary, found.key.primary) == (True, False)
    assert bench.do(c.ListResourceTags(key), region=OTHER).tags == [("x", "1"), ("y", "2")]


def test_ciphertexts_are_interchangeable(bench: ServiceBench) -> None:
    """Either member opens what the other sealed, of every version, and answers by its own ARN."""
    key = primary(bench)
    old = bench.do(c.Encrypt(key, b"old")).blob
    bench.do(c.RotateKeyOnDemand(key))
    bench.do(c.ReplicateKey(key, OTHER))
    new = bench.do(c.Encrypt(key, b"new"), region=OTHER).blob

    for region in (REGION, OTHER):
        opened = [bench.do(c.Decrypt(blob, None), region=region) for blob in (old, new)]
        assert [answer.plaintext for answer in opened] == [b"old", b"new"]
        assert {answer.key for answer in opened} == {key_arn(key, region)}


def test_each_member_has_a_handle_of_its_own(bench: ServiceBench) -> None:
    """The material was sealed, sent and wrapped again: no handle is in two Regions."""
    key = primary(bench)
    bench.do(c.ReplicateKey(key, OTHER))
    with bench.house.store.view() as view:
        ours, theirs = (view.version(region, key.name, 1) for region in (REGION, OTHER))
    assert ours is not None
    assert theirs is not None
    assert ours.handle != theirs.handle
    assert ours.material_id == theirs.material_id


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("ECC_NIST_P256", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC")],
)
def test_keys_of_other_specs_have_replicas(bench: ServiceBench, spec: str, usage: str) -> None:
    """What one member has signed the other verifies."""
    key = primary(bench, spec=spec, usage=usage)
    bench.do(c.ReplicateKey(key, OTHER))
    if spec == "HMAC_256":
        mac = bench.do(c.GenerateMac(key, b"text", "HMAC_SHA_256"), region=OTHER).mac
        bench.do(c.VerifyMac(key, b"text", mac, "HMAC_SHA_256"))
        return
    signature = bench.do(c.Sign(key, b"text", "ECDSA_SHA_256"), region=OTHER).signature
    bench.do(c.Verify(key, b"text", signature, "ECDSA_SHA_256"))
    assert bench.do(c.GetPublicKey(key)).public_key == bench.do(c.GetPublicKey(key), region=OTHER).public_key


def test_a_key_with_more_versions_than_a_page_is_carried_whole(bench: ServiceBench) -> None:
    """Every version arrives."""
    key = primary(bench)
    with bench.house.store.transact("many") as tx:
        first = tx.version(REGION, key.name, 1)
        assert first is not None
        for number in range(2, AT_ONCE + 2):
            made = bench.house.custodian.generate(ACCOUNT, version_binding(key.name, number))
            tx.add_version(replace(first, number=number, handle=made.handle, material_id=made.id))
    bench.do(c.ReplicateKey(key, OTHER))
    with bench.house.store.view() as view:
        ours = view.versions(REGION, key.name, 0, 1000)
        theirs = view.versions(OTHER, key.name, 0, 1000)
    assert [v.material_id for v in ours] == [v.material_id for v in theirs]
    assert len(theirs) == AT_ONCE + 1


def test_a_replica_of_an_imported_key_waits_for_its_owner(bench: ServiceBench) -> None:
    """Imported material does not travel: the replica knows which it must be, and is PendingImport."""
    key = primary(bench, origin=Origin.EXTERNAL)
    assert bench.refusal(c.ReplicateKey(key, OTHER)).endswith("is pending import.")
    bring(bench, key)
    made = bench.do(c.ReplicateKey(key, OTHER))

    assert made.description.key.state is State.CREATING
    assert stored(bench, key, OTHER).state is State.PENDING_IMPORT
    with bench.house.store.view() as view:
        ours, theirs = (view.version(region, key.name, 1) for region in (REGION, OTHER))
    assert ours is not None
    assert theirs is not None
    assert (theirs.handle, theirs.material_id) == ("", ours.material_id)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("single", "UnsupportedOperation: {arn} is not a multi-region primary key."),
        ("replica", "UnsupportedOperation: {there} is not a multi-region primary key."),
        ("twice", "AlreadyExists: {there} already exists"),
        ("same", "AlreadyExists: {arn} already exists"),
        ("disabled", "KeyDisabled: {arn} is disabled."),
        ("tags", "InvalidTag: Duplicate tag keys"),
        (
            "lockout",
            "MalformedPolicy: The new key policy will not allow you to update the key policy in the future",
        ),
    ],
)
def test_what_cannot_be_replicated(bench: ServiceBench, case: str, told: str) -> None:
    """In AWS's words; nothing is left behind by a refusal."""
    key = bench.key() if case == "single" else primary(bench)
    command, region = c.ReplicateKey(key, OTHER), REGION
    if case in ("replica", "twice"):
        bench.do(command)
    if case == "replica":
        command, region = c.ReplicateKey(key, THIRD), OTHER
    if case == "same":
        command = c.ReplicateKey(key, REGION)
    if case == "disabled":
        bench.do(c.DisableKey(key))
    if case == "tags":
        command = c.ReplicateKey(key, OTHER, tags=(("a", "1"), ("a", "2")))
    if case == "lockout":
        nobody = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "kms:*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{**nobody, "Resource": "*"}]})
        command = c.ReplicateKey(key, OTHER, policy=policy.replace("::1:", "::999988887777:"))
    before = stored(bench, key).members

    refused = bench.refusal(command, region=region)

    assert refused.startswith(told.format(arn=key_arn(key), there=key_arn(key, OTHER)))
    assert stored(bench, key).members == before


def test_a_policy_that_locks_out_is_taken_on_demand(bench: ServiceBench) -> None:
    """As CreateKey takes it."""
    key = primary(bench)
    nobody = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        }
    )
    made = bench.do(c.ReplicateKey(key, OTHER, policy=nobody, bypass_lockout_check=True))
    assert made.policy == nobody == stored(bench, key, OTHER).policy


def test_a_region_that_is_not_served_is_refused_with_those_that_are() -> None:
    """The operator's list is what can be named."""
    bench = ServiceBench(regions=(REGION, OTHER))
    key = primary(bench)
    told = f"InvalidRequest: The Region {THIRD} is not served here. A key can be replicated to: {REGION}, {OTHER}."
    assert bench.refusal(c.ReplicateKey(key, THIRD)) == told
    bench.do(c.ReplicateKey(key, OTHER))


@pytest.mark.parametrize(
    ("allowed", "tags", "missing"),
    [
        (["kms:CreateKey", "kms:TagResource"], (), "kms:ReplicateKey"),
        (["kms:ReplicateKey"], (), "kms:CreateKey"),
        (["kms:ReplicateKey", "kms:CreateKey"], (("a", "b"),), "kms:TagResource"),
        (["kms:ReplicateKey", "kms:CreateKey"], (), ""),
        (["kms:ReplicateKey", "kms:CreateKey", "kms:TagResource"], (("a", "b"),), ""),
    ],
)
def test_the_permissions_of_a_replication(
    bench: ServiceBench, allowed: list[str], tags: tuple[tuple[str, str], ...], missing: str
) -> None:
    """The primary's kms:ReplicateKey, kms:CreateKey where the replica will be, and kms:TagResource for tags."""
    key = primary(bench)
    bench.house.user(
        "alice",
        json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
        ),
    )
    command = c.ReplicateKey(key, OTHER, tags=tags)
    if missing:
        assert f"is not authorized to perform: {missing} on resource" in bench.refusal(command, "alice")
    else:
        bench.do(command, "alice")


def test_a_strangers_key_cannot_be_replicated(bench: ServiceBench) -> None:
    """Not across accounts, whatever the key's policy allows."""
    key = primary(bench)
    stranger = "arn:aws:iam::999988887777:user/eve"
    with bench.house.store.transact("eve") as tx:
        tx.put_principal(
            Principal(arn=stranger, account="999988887777", name="eve", created=0.0, policy=EVERYTHING)
        )
    policy = json.loads(default_key_policy(ACCOUNT))
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": stranger}, "Action": "kms:*", "Resource": "*"}
    )
    bench.do(c.PutKeyPolicy(key, json.dumps(policy)))
    named = KeyReference(key.name, account=ACCOUNT)
    assert bench.refusal(c.ReplicateKey(named, OTHER), stranger).startswith("AccessDenied: ")


def test_what_is_carried_over_is_looked_at_again(bench: ServiceBench) -> None:
    """A version that changes between the carrying and the change is carried anew."""
    key = primary(bench)
    command = c.ReplicateKey(key, OTHER)
    row = bench.gate.action(command)
    assert row.before is not None
    with bench.house.store.transact("replicate") as tx:
        desk = bench.gate._desk(bench.caller(), tx, bench.gate._entry(bench.caller(), row.name), {})
        row.run(command, desk)
    blob = bench.do(c.Encrypt(key, b"text")).blob
    assert bench.do(c.Decrypt(blob, None), region=OTHER).plaintext == b"text"


def test_members_elsewhere_are_invisible(bench: ServiceBench) -> None:
    """A key is seen in the Regions of its members only."""
    key = primary(bench)
    assert bench.refusal(c.DescribeKey(key), region=OTHER).startswith("NotFound: ")
    bench.do(c.ReplicateKey(key, OTHER))
    bench.do(c.DescribeKey(key), region=OTHER)
    assert bench.refusal(c.DescribeKey(key), region=THIRD).startswith("NotFound: ")
    assert [k.region for k in bench.do(c.ListKeys(), region=OTHER).keys] == [OTHER]


def test_members_live_their_own_lives(bench: ServiceBench) -> None:
    """Disabling, describing, aliasing and tagging one member does nothing to another."""
    key = primary(bench)
    bench.do(c.ReplicateKey(key, OTHER))
    bench.do(c.DisableKey(key), region=OTHER)
    bench.do(c.UpdateKeyDescription(key, "mine"))
    bench.do(c.CreateAlias("alias/here", key))
    assert (stored(bench, key).state, stored(bench, key, OTHER).state) == (State.ENABLED, State.DISABLED)
    assert stored(bench, key, OTHER).description == ""
    assert bench.do(c.ListAliases(), region=OTHER).aliases == []


# --- what they share -------------------------------------------------------------------------------------


def test_a_rotation_reaches_every_member_at_once(bench: ServiceBench) -> None:
    """New material is current everywhere or nowhere."""
    key = primary(bench)
    for region in (OTHER, THIRD):
        bench.do(c.ReplicateKey(key, region))
    bench.do(c.RotateKeyOnDemand(key))
    blob = bench.do(c.Encrypt(key, b"new")).blob

    ids = {bench.do(c.DescribeKey(key), region=region).material_id for region in (REGION, OTHER, THIRD)}
    assert len(ids) == 1
    for region in (OTHER, THIRD):
        assert stored(bench, key, region).current_version == 2
        assert stored(bench, key, region).rotations_on_demand == 1
        assert bench.do(c.Decrypt(blob, None), region=region).plaintext == b"new"
        (rotation,) = bench.do(c.ListKeyRotations(key), region=region).versions
        assert rotation.rotated == bench.house.clock.now()


def test_rotation_is_set_on_the_primary_and_seen_everywhere(bench: ServiceBench) -> None:
    """A replica says the same, but refuses to be told; the primary alone rotates when the date comes."""
    key = primary(bench)
    bench.do(c.EnableKeyRotation(key, 90))
    bench.do(c.ReplicateKey(key, OTHER))
    told = f"UnsupportedOperation: {key_arn(key, OTHER)} is not a multi-region primary key."
    for command in (c.EnableKeyRotation(key, 100), c.DisableKeyRotation(key), c.RotateKeyOnDemand(key)):
        assert bench.refusal(command, region=OTHER) == told

    ours, theirs = (bench.do(c.GetKeyRotationStatus(key), region=region).key for region in (REGION, OTHER))
    assert (theirs.rotation_period_days, theirs.next_rotation) == (90, ours.next_rotation)
    bench.house.clock.time += 91 * DAY
    assert run_jobs(bench) == [f"RotateKeyAutomatically {REGION}"]
    assert stored(bench, key, OTHER).current_version == 2
    bench.do(c.DisableKeyRotation(key))
    assert stored(bench, key, OTHER).rotation_period_days is None


# --- the primary moves -----------------------------------------------------------------------------------


def test_the_primary_moves(bench: ServiceBench) -> None:
    """The roles are swapped, the date of the next rotation goes along, and everybody knows."""
    key = primary(bench)
    bench.do(c.EnableKeyRotation(key, 90))
    for region in (OTHER, THIRD):
        bench.do(c.ReplicateKey(key, region))
    date = stored(bench, key).next_rotation

    bench.do(c.UpdatePrimaryRegion(key, THIRD))

    assert {stored(bench, key, region).members for region in (REGION, OTHER, THIRD)} == {
        (THIRD, REGION, OTHER)
    }
    assert (stored(bench, key, THIRD).next_rotation, stored(bench, key).next_rotation) == (date, None)
    assert stored(bench, key).state is stored(bench, key, THIRD).state is State.ENABLED
    bench.do(c.RotateKeyOnDemand(key), region=THIRD)
    assert stored(bench, key).current_version == 2
    assert bench.do(c.GetKeyRotationStatus(key)).key.next_rotation == date
    bench.do(c.ReplicateKey(key, "eu-west-1"), region=THIRD)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("single", "UnsupportedOperation: {arn} is not a multi-region primary key."),
        ("replica", "UnsupportedOperation: {there} is not a multi-region primary key."),
        ("same", "InvalidRequest: {arn} is the primary key already: name the Region of one of its replicas."),
        ("nobody", "NotFound: Key '{third}' does not exist"),
        ("disabled", "KeyDisabled: {there} is disabled."),
    ],
)
def test_a_primary_that_cannot_move(bench: ServiceBench, case: str, told: str) -> None:
    """Only a primary moves, and only to where a usable replica is."""
    key = bench.key() if case == "single" else primary(bench)
    if case != "single":
        bench.do(c.ReplicateKey(key, OTHER))
    if case == "disabled":
        bench.do(c.DisableKey(key), region=OTHER)
    target = {"same": REGION, "nobody": THIRD, "replica": REGION}.get(case, OTHER)
    refused = bench.refusal(c.UpdatePrimaryRegion(key, target), region=OTHER if case == "replica" else REGION)
    names = {"arn": key_arn(key), "there": key_arn(key, OTHER), "third": key_arn(key, THIRD)}
    assert refused == told.format(**names)


@pytest.mark.parametrize("denied_in", [REGION, OTHER])
def test_moving_the_primary_needs_a_permission_on_both(bench: ServiceBench, denied_in: str) -> None:
    """A policy of either member that denies it keeps the roles as they are."""
    key = primary(bench)
    bench.do(c.ReplicateKey(key, OTHER))
    policy = json.loads(default_key_policy(ACCOUNT))
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:UpdatePrimaryRegion", "Resource": "*"}
    policy["Statement"].append(deny)
    bench.do(c.PutKeyPolicy(key, json.dumps(policy)), region=denied_in)
    refused = bench.refusal(c.UpdatePrimaryRegion(key, OTHER))
    assert refused.startswith("AccessDenied: ")
    assert key_arn(key, denied_in) in refused
    assert stored(bench, key, OTHER).members == (REGION, OTHER)


# --- the end ---------------------------------------------------------------------------------------------


def test_a_primary_waits_for_its_replicas(bench: ServiceBench) -> None:
    """PendingReplicaDeletion without a date; its own waiting period starts when the last replica is gone."""
    key = primary(bench)
    for region in (OTHER, THIRD):
        bench.do(c.ReplicateKey(key, region))
    scheduled = bench.do(c.ScheduleKeyDeletion(key, 10))
    assert scheduled.key.state is State.PENDING_REPLICA_DELETION
    assert (scheduled.key.deletion_date, scheduled.key.deletion_window_days) == (None, 10)
    assert bench.refusal(c.ScheduleKeyDeletion(key, 10)).endswith("is pending deletion.")
    for region in (OTHER, THIRD):
        bench.do(c.ScheduleKeyDeletion(key, 7), region=region)
        bench.house.clock.time += 8 * DAY
        assert run_jobs(bench) == [f"DestroyKey {region}"]

    found = stored(bench, key)
    assert (found.state, found.deletion_window_days) == (State.PENDING_DELETION, None)
    assert found.deletion_date == bench.house.clock.now() + 10 * DAY
    assert found.members == (REGION,)
    bench.house.clock.time += 11 * DAY
    assert run_jobs(bench) == [f"DestroyKey {REGION}"]


def test_a_primary_that_waits_is_kept_after_all(bench: ServiceBench) -> None:
    """Cancelled, it is disabled, and its replicas were never touched."""
    key = primary(bench)
    bench.do(c.ReplicateKey(key, OTHER))
    bench.do(c.ScheduleKeyDeletion(key, 10))
    assert bench.do(c.CancelKeyDeletion(key)).key.state is State.DISABLED
    found = stored(bench, key)
    assert (found.deletion_date, found.deletion_window_days) == (None, None)
    assert stored(bench, key, OTHER).state is State.ENABLED


def test_a_destroyed_replica_leaves_the_list_and_may_be_made_again(bench: ServiceBench) -> None:
    """The others no longer name it; a new one has the material anew."""
    key = primary(bench)
    for region in (OTHER, THIRD):
        bench.do(c.ReplicateKey(key, region))
    blob = bench.do(c.Encrypt(key, b"text")).blob
    bench.do(c.ScheduleKeyDeletion(key, 7), region=OTHER)
    bench.house.clock.time += 8 * DAY
    run_jobs(bench)
    assert stored(bench, key).members == stored(bench, key, THIRD).members == (REGION, THIRD)
    assert stored(bench, key).state is State.ENABLED
    assert bench.refusal(c.DescribeKey(key), region=OTHER).startswith("NotFound: ")

    bench.do(c.ReplicateKey(key, OTHER))

    assert bench.do(c.Decrypt(blob, None), region=OTHER).plaintext == b"text"
    assert stored(bench, key, THIRD).members == (REGION, THIRD, OTHER)
