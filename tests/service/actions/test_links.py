"""Linked servers: what one may say of keys here, what it may not, and how both end up with the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from keystead.core.key import Key, Origin, Rotation, State
from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.service.due import due
from keystead.service.linking import Known, MemberNews, MoveNews, is_shadow, known
from keystead.service.quotas import Quotas
from keystead.testing.service import JOBS, ServiceBench, key_arn
from linkedpair import ALSO_HERE, ALSO_THERE, HERE, LINK, THERE, Linked, Side

DAY = 86_400
ROTATIONS = 45  # more than go into two requests

LONGEST = "a" * 128  # the longest name of a tag that AWS takes
NEVER_DENIES = json.dumps(
    {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "kms:ReEncrypt", "Resource": "*"}}
)


@pytest.fixture
def pair() -> Linked:
    """Two linked installations."""
    return Linked()


def stored(side: Side, key: KeyReference, region: str) -> Key:
    """A row of a key."""
    with side.house.store.view() as view:
        found = view.key(region, key.name)
    assert found is not None
    return found


def put(side: Side, key: Key) -> None:
    """Make a row what it would be after something else had happened."""
    with side.house.store.transact(f"test-{side.house.random(4).hex()}") as tx:
        tx.put_key(key)


def replicated(pair: Linked, region: str = THERE, **more: Any) -> KeyReference:
    """A key of the first with a complete replica at the second."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True, **more))
    pair.here.bench.do(c.ReplicateKey(key, region))
    pair.here.tell()
    assert stored(pair.there, key, region).state is State.ENABLED
    return key


def news_of(pair: Linked, key: KeyReference, region: str = THERE) -> MemberNews:
    """What the second is to be told of a replica."""
    news = pair.here.bench.do(c.TellMember(key, region), JOBS).news
    assert isinstance(news, MemberNews)
    return news


def said(pair: Linked, news: MemberNews | MoveNews) -> str:
    """What the second answers to a request of the first: the result, or the code of the error."""
    operation = "LinkMove" if isinstance(news, MoveNews) else "LinkMember"
    try:
        answer: Any = pair.here.correspondent.ask(operation, msgspec.json.encode(news), dict[str, Any])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return str(error).removeprefix("it refuses with status ")
    return json.dumps(answer)


def other(news: Any, **changes: Any) -> Any:
    """The same with other members."""
    return msgspec.structs.replace(news, **changes)


def destroyed(side: Side, key: KeyReference, region: str) -> None:
    """Let a replica's deletion run its course."""
    side.bench.do(c.ScheduleKeyDeletion(key, 7), region=region)
    put(side, replace(stored(side, key, region), deletion_date=side.house.clock.now()))
    for job in due(side.house.store, side.house.clock.now(), 10):
        side.bench.do(job.command, JOBS, job.region)
    assert stored(side, key, region).state is State.DESTROYED


# --- replicas --------------------------------------------------------------------------------------------


def test_a_replica_on_a_linked_server(pair: Linked) -> None:
    """It is asked for here and made there with its own policy, description and tags; both list both."""
    here, there = pair.here.bench, pair.there.bench
    key = here.key(c.CreateKey(multi_region=True))
    made = here.do(c.ReplicateKey(key, THERE, description="overseas", tags=((LONGEST, "b"),)))
    assert (made.description.key.state, made.tags) == (State.CREATING, [(LONGEST, "b")])
    assert is_shadow(stored(pair.here, key, THERE))

    pair.here.tell()

    found = there.do(c.DescribeKey(key), region=THERE)
    first = here.do(c.DescribeKey(key))
    assert (found.key.state, found.key.description, found.key.members) == (
        State.ENABLED,
        "overseas",
        (HERE, THERE),
    )
    assert first.key.members == (HERE, THERE)
    assert found.material_id == first.material_id
    assert there.do(c.ListResourceTags(key), region=THERE).tags == [(LONGEST, "b")]
    blob = here.do(c.Encrypt(key, b"secret")).blob
    assert there.do(c.Decrypt(blob, None), region=THERE).plaintext == b"secret"
    assert pair.here.said.getvalue() == ""


def test_both_sides_have_it_on_record(pair: Linked) -> None:
    """The sender's jobs and the linked server as a principal of its own, each with the key."""
    key = replicated(pair)
    ours = [(e.action, e.principal, e.subject) for e in pair.here.bench.records if e.stage != "intent"]
    assert ("keystead:TellMember", JOBS, key_arn(key, THERE)) in ours
    assert ("keystead:MemberTold", JOBS, key_arn(key, THERE)) in ours
    theirs = pair.there.bench.records[-1]
    assert (theirs.action, theirs.principal, theirs.key, theirs.auth, theirs.source) == (
        "keystead:LinkMember",
        LINK,
        key_arn(key, THERE),
        "link",
        "192.0.2.1",
    )


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "HMAC_256", "ML_KEM_768"])
def test_keys_of_other_specs(pair: Linked, spec: str) -> None:
    """They have their public half there as well."""
    usage = {"ECC_NIST_P256": "SIGN_VERIFY", "HMAC_256": "GENERATE_VERIFY_MAC"}.get(
        spec, "ENCAPSULATE_DECAPSULATE"
    )
    key = replicated(pair, spec=spec, usage=usage)
    with pair.here.house.store.view() as ours, pair.there.house.store.view() as theirs:
        a, b = ours.version(HERE, key.name, 1), theirs.version(THERE, key.name, 1)
    assert a is not None
    assert b is not None
    assert (a.public_key, a.material_id) == (b.public_key, b.material_id)
    assert a.handle != b.handle


def test_many_versions_go_in_several_requests(pair: Linked) -> None:
    """And all of them open there what was sealed here."""
    here = ServiceBench(pair.here.house, "w1", quotas=Quotas(rotations_on_demand=ROTATIONS))
    key = here.key(c.CreateKey(multi_region=True))
    blobs = [here.do(c.Encrypt(key, b"0")).blob]
    for number in range(1, ROTATIONS):
        here.do(c.RotateKeyOnDemand(key))
        blobs.append(here.do(c.Encrypt(key, b"%d" % number)).blob)
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    pair.here.tell()
    assert [sent.target for sent in pair.here.sent] == ["/v1/LinkMember"] * 3
    for number, blob in enumerate(blobs):
        opened = pair.there.bench.do(c.Decrypt(blob, None), region=THERE)
        assert opened.plaintext == b"%d" % number
    rotations = pair.there.bench.do(c.ListKeyRotations(key, limit=100), region=THERE).versions
    assert len(rotations) == ROTATIONS - 1


def test_a_replica_is_not_used_before_all_its_material_is_there(pair: Linked) -> None:
    """It is being created, and what comes out of order or a second time changes nothing."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    news = news_of(pair, key)
    assert said(pair, other(news, versions=news.versions[1:])) == '{"versions": 0, "gone": false}'
    assert said(pair, other(news, versions=news.versions[:1])) == '{"versions": 1, "gone": false}'
    assert stored(pair.there, key, THERE).state is State.CREATING
    told = pair.there.bench.refusal(c.Encrypt(key, b"x"), region=THERE)
    assert told == f"InvalidKeyState: {key_arn(key, THERE)} is creating."
    assert said(pair, news) == said(pair, news) == '{"versions": 2, "gone": false}'
    assert stored(pair.there, key, THERE).state is State.ENABLED


def test_a_replica_that_is_given_up_while_it_is_made(pair: Linked) -> None:
    """It may be scheduled for deletion and kept after all; then it is disabled, and complete once it was told."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    news = news_of(pair, key)
    said(pair, other(news, versions=[]))
    pair.there.bench.do(c.ScheduleKeyDeletion(key, 7), region=THERE)
    pair.there.bench.do(c.CancelKeyDeletion(key), region=THERE)
    pair.here.tell()
    found = stored(pair.there, key, THERE)
    assert (found.state, found.current_version) == (State.DISABLED, 1)


def test_imported_material_does_not_go(pair: Linked) -> None:
    """Its owner imports it, and there would be no telling which server has it."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True, origin=Origin.EXTERNAL))
    put(pair.here, replace(stored(pair.here, key, HERE), state=State.ENABLED))
    told = pair.here.bench.refusal(c.ReplicateKey(key, THERE))
    assert told.startswith("UnsupportedOperation: ")
    assert "linked server" in told


def test_where_a_key_can_be_replicated_to(pair: Linked) -> None:
    """The Regions of linked servers are among those that a refusal lists."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    told = pair.here.bench.refusal(c.ReplicateKey(key, "af-south-1"))
    assert told.endswith(f"{HERE}, {ALSO_HERE}, {THERE}, {ALSO_THERE}.")


# --- authority -------------------------------------------------------------------------------------------


def fresh(pair: Linked) -> MemberNews:
    """News of a replica that the second has never heard of."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    return news_of(pair, key)


Change = Callable[[MemberNews], MemberNews]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda n: other(n, region="af-south-1"), "400 InvalidRequest"),
        (lambda n: other(n, region=HERE, members=[THERE, HERE]), "400 InvalidRequest"),
        (lambda n: other(n, members=["af-south-1", THERE]), "403 AccessDenied"),
        (lambda n: other(n, members=[THERE, HERE]), "403 AccessDenied"),
        (lambda n: other(n, members=[HERE, ALSO_THERE]), "400 InvalidRequest"),
        (lambda n: other(n, members=[HERE, THERE, THERE]), "400 InvalidRequest"),
        (lambda n: other(n, account="999999999999"), "400 InvalidRequest"),
        (lambda n: other(n, key_id="1234abcd-12ab-34cd-56ef-1234567890ab"), "400 InvalidRequest"),
        (lambda n: other(n, spec="SM2"), "400 UnsupportedOperation"),
        (lambda n: other(n, usage="SIGN_VERIFY"), "400 InvalidRequest"),
        (lambda n: other(n, policy="{"), "400 MalformedPolicy"),
        (lambda n: other(n, policy=NEVER_DENIES), "400 MalformedPolicy"),
        (lambda n: other(n, tags=[("aws:a", "b")]), "400 InvalidTag"),
        (lambda n: other(n, versions=[other(n.versions[0], rotation="PENDING")]), "400 InvalidRequest"),
        (lambda n: other(n, versions=[other(n.versions[0], material_id="0" * 64)]), "409 AlreadyExists"),
        (lambda n: other(n, versions=[other(n.versions[0], message=bytes(99))]), "400 InvalidCiphertext"),
        (lambda n: other(n, key_id="mrk-" + "0" * 32), "400 InvalidCiphertext"),
        (lambda n: other(n, region=ALSO_THERE, members=[HERE, ALSO_THERE]), "400 InvalidCiphertext"),
    ],
)
def test_what_a_linked_server_may_not_make(pair: Linked, change: Change, code: str) -> None:
    """Only multi-Region keys that it leads, of this account, in Regions served here, of material sent for that."""
    news = change(fresh(pair))
    assert said(pair, news) == code
    with pair.there.house.store.view() as view:
        assert view.key(news.region, news.key_id) is None


def test_a_policy_of_before_does_not_end_a_link(pair: Linked) -> None:
    """What is only refused of a policy that is put is not refused of a replica that is there."""
    key = replicated(pair)
    told = json.loads(said(pair, other(news_of(pair, key), policy=NEVER_DENIES)))
    assert told == {"versions": 1, "gone": False}
    assert stored(pair.there, key, THERE).policy != NEVER_DENIES


def test_an_id_that_is_used_here(pair: Linked) -> None:
    """No key of this server's own is touched, in whatever Region it is."""
    for region in (THERE, ALSO_THERE):
        news = fresh(pair)
        own = pair.there.bench.key(c.CreateKey(multi_region=True), region=THERE)
        mine = replace(stored(pair.there, own, THERE), id=news.key_id, region=region, members=(region,))
        put(pair.there, mine)
        assert said(pair, news) == "403 AccessDenied"
        assert stored(pair.there, KeyReference(news.key_id), region) == mine


def test_a_key_that_another_leads(pair: Linked) -> None:
    """What the row here says of account, spec, usage and primary, the news must say too."""
    key = replicated(pair)
    row, news = stored(pair.there, key, THERE), news_of(pair, key)
    for mine in (
        replace(row, members=(ALSO_THERE, THERE)),
        replace(row, spec="HMAC_256"),
        replace(row, members=()),
    ):
        put(pair.there, mine)
        assert said(pair, news) == "403 AccessDenied"
        assert stored(pair.there, key, THERE) == mine


def test_a_principal_that_is_no_linked_server(pair: Linked) -> None:
    """An administrator may do everything else; and a server whose link is gone, nothing."""
    news = fresh(pair)
    bench = pair.there.bench
    assert bench.refusal(c.LinkMember(news, 1)).startswith("AccessDenied: ")
    assert bench.refusal(c.LinkMember(news, 1), who=JOBS).startswith("AccessDenied: ")
    with pair.there.house.store.transact("unlink") as tx:
        tx.delete_principal(LINK)
    assert said(pair, news) == "403 UnknownCredentials"


def test_a_linked_server_may_do_nothing_else(pair: Linked) -> None:
    """Its principal's policy allows what links need."""
    caller = pair.there.house.caller("r-link", arn=LINK, region=THERE)
    assert pair.there.bench.refusal(c.CreateKey(), who=caller).startswith("AccessDenied: ")


def test_a_request_that_comes_again(pair: Linked) -> None:
    """It is refused, so what was true once is not made true again."""
    key = replicated(pair)
    old = pair.here.sent[-1]
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.tell()
    now = stored(pair.there, key, THERE)
    assert now.current_version == 2
    assert pair.there.take(old)[0] == 400
    assert stored(pair.there, key, THERE) == now


# --- rotation --------------------------------------------------------------------------------------------


def test_a_rotation_is_in_force_when_all_have_it(pair: Linked) -> None:
    """Until then the key encrypts as before and cannot be rotated again; afterwards both have the same date."""
    here, there = pair.here.bench, pair.there.bench
    key = replicated(pair)
    pair.here.bench.do(c.ReplicateKey(key, ALSO_THERE))
    pair.there.away = True
    pair.later(100)
    here.do(c.RotateKeyOnDemand(key))
    pair.here.tell()
    assert stored(pair.here, key, HERE).current_version == 1
    assert here.do(c.ListKeyRotations(key)).versions == []
    assert here.do(c.GetKeyRotationStatus(key)).running_since == pair.here.house.clock.now()
    assert here.refusal(c.RotateKeyOnDemand(key)).startswith("RotationInProgress: ")

    pair.there.away = False
    pair.later(100)
    pair.here.tell()

    for side, region in ((pair.here, HERE), (pair.there, THERE), (pair.there, ALSO_THERE)):
        row = stored(side, key, region)
        assert (row.current_version, row.rotations_on_demand) == (2, 1)
        (rotation,) = side.bench.do(c.ListKeyRotations(key), region=region).versions
        assert (rotation.rotation, rotation.rotated) == (Rotation.ON_DEMAND, pair.here.house.clock.now())
    assert here.do(c.GetKeyRotationStatus(key)).running_since is None
    blob = there.do(c.Encrypt(key, b"x"), region=ALSO_THERE).blob
    assert here.do(c.Decrypt(blob, None)).plaintext == b"x"


def test_a_member_opens_what_a_version_sealed_that_it_has_and_was_not_told_of(pair: Linked) -> None:
    """Another member may have been told before it; a version that it has not got it does not open."""
    here, there = pair.here.bench, pair.there.bench
    key = replicated(pair)
    here.do(c.RotateKeyOnDemand(key))
    news = news_of(pair, key)
    assert news.current_version == 1
    said(pair, news)
    here.do(c.MemberTold(key, THERE, 2, ""), JOBS)
    assert stored(pair.here, key, HERE).current_version == 2
    blob = here.do(c.Encrypt(key, b"new")).blob
    assert stored(pair.there, key, THERE).current_version == 1
    assert there.do(c.Decrypt(blob, None), region=THERE).plaintext == b"new"
    pair.there.away = True
    here.do(c.RotateKeyOnDemand(key))
    put(pair.here, replace(stored(pair.here, key, HERE), current_version=3))
    newer = here.do(c.Encrypt(key, b"newer")).blob
    assert there.refusal(c.Decrypt(newer, None), region=THERE).startswith("InvalidCiphertext")
    put(pair.there, replace(stored(pair.there, key, THERE), current_version=2))
    assert there.refusal(c.Decrypt(newer, None), region=THERE).startswith("InvalidCiphertext")


def test_automatic_rotation_goes_on(pair: Linked) -> None:
    """Its settings are told, and the replica shows the primary's date though only the primary rotates."""
    key = replicated(pair)
    pair.here.bench.do(c.EnableKeyRotation(key, 90))
    pair.here.tell()
    status = pair.there.bench.do(c.GetKeyRotationStatus(key), region=THERE).key
    assert status.rotation_period_days == 90
    assert status.next_rotation == stored(pair.here, key, HERE).next_rotation
    pair.later(90 * DAY)
    for side in (pair.here, pair.there):
        for job in due(side.house.store, side.house.clock.now(), 10):
            side.bench.do(job.command, JOBS, job.region)
    pair.here.tell()
    assert stored(pair.there, key, THERE).current_version == 2
    told = pair.there.bench.do(c.GetKeyRotationStatus(key), region=THERE).key
    assert told.next_rotation == stored(pair.here, key, HERE).next_rotation


def test_a_replica_here_takes_part(pair: Linked) -> None:
    """One in another Region of the primary's server has the version at once, and is told when it is current."""
    bench = pair.here.bench
    key = replicated(pair)
    bench.do(c.ReplicateKey(key, ALSO_HERE))
    bench.do(c.RotateKeyOnDemand(key))
    assert stored(pair.here, key, ALSO_HERE).current_version == 1
    pair.here.tell()
    assert stored(pair.here, key, ALSO_HERE).current_version == 2
    assert stored(pair.there, key, THERE).members == (HERE, THERE, ALSO_HERE)
    assert bench.do(c.ListKeyRotations(key), region=ALSO_HERE).versions[0].rotated is not None


# --- the end ---------------------------------------------------------------------------------------------


def test_a_replica_that_is_gone(pair: Linked) -> None:
    """It leaves the list everywhere, its shadow is closed, and another may be made in its place."""
    key = replicated(pair)
    pair.here.bench.do(c.ReplicateKey(key, ALSO_THERE, tags=(("a", "b"),)))
    pair.here.tell()
    destroyed(pair.there, key, ALSO_THERE)
    assert is_shadow(stored(pair.there, key, HERE))
    pair.here.tell()
    assert stored(pair.here, key, HERE).members == (HERE, THERE)
    assert stored(pair.here, key, ALSO_THERE).state is State.DESTROYED
    assert stored(pair.there, key, THERE).members == (HERE, THERE)
    with pair.here.house.store.view() as view:
        assert view.tags(ALSO_THERE, key.name, "", 10) == []
        assert known(view, stored(pair.here, key, ALSO_THERE)) == Known()
    pair.later(60)
    pair.here.bench.do(c.ReplicateKey(key, ALSO_THERE))
    pair.here.tell()
    assert stored(pair.there, key, ALSO_THERE).state is State.ENABLED
    assert stored(pair.there, key, THERE).members == (HERE, THERE, ALSO_THERE)
    blob = pair.here.bench.do(c.Encrypt(key, b"x")).blob
    assert pair.there.bench.do(c.Decrypt(blob, None), region=ALSO_THERE).plaintext == b"x"


def test_the_last_replica_takes_the_shadow_of_the_primary_with_it(pair: Linked) -> None:
    """And lets a primary go that has waited for it, and finishes a rotation that waited for nobody else."""
    key = replicated(pair)
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.bench.do(c.ScheduleKeyDeletion(key, 7))
    assert stored(pair.here, key, HERE).state is State.PENDING_REPLICA_DELETION
    destroyed(pair.there, key, THERE)
    assert stored(pair.there, key, HERE).state is State.DESTROYED
    pair.here.tell()
    row = stored(pair.here, key, HERE)
    assert (row.state, row.members, row.current_version) == (State.PENDING_DELETION, (HERE,), 2)


def test_a_replica_that_was_destroyed_before_it_was_complete(pair: Linked) -> None:
    """The server says so when it is told the next time."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    said(pair, other(news_of(pair, key), versions=[]))
    destroyed(pair.there, key, THERE)
    assert said(pair, news_of(pair, key)) == '{"versions": 0, "gone": true}'
    pair.here.tell()
    assert stored(pair.here, key, HERE).members == (HERE,)


def test_a_server_that_never_comes_back(pair: Linked) -> None:
    """Its Regions are served here, and what stands for its replicas is deleted; then the key is free again."""
    key = replicated(pair)
    pair.here.bench.do(c.ReplicateKey(key, ALSO_HERE))
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.bench = ServiceBench(pair.here.house, "w1", regions=(HERE, ALSO_HERE, THERE))
    assert pair.here.bench.do(c.DescribeKey(key), region=THERE).key.state is State.CREATING
    destroyed(pair.here, key, THERE)
    for region in (HERE, ALSO_HERE):
        row = stored(pair.here, key, region)
        assert (row.members, row.current_version) == ((HERE, ALSO_HERE), 2)


def test_what_is_asked_of_states(pair: Linked) -> None:
    """Only of replicas that the asking server leads, in a Region served here, and only the end is told."""
    key = replicated(pair)
    gone = replicated(pair)
    destroyed(pair.there, gone, THERE)
    own = pair.there.bench.key(c.CreateKey(multi_region=True), region=THERE)
    single = pair.there.bench.key(region=THERE)
    for mine in (own, single):
        put(pair.there, replace(stored(pair.there, mine, THERE), state=State.DESTROYED))

    def states(region: str) -> Any:
        asked = {"region": region, "key_ids": [key.name, gone.name, own.name, single.name, "none"]}
        return pair.here.correspondent.ask("LinkStates", msgspec.json.encode(asked), dict[str, Any])

    assert states(THERE) == {"gone": [gone.name]}
    with pytest.raises(Exception, match="400 InvalidRequest"):
        states(HERE)


# --- moving the primary ----------------------------------------------------------------------------------


def moving(pair: Linked, key: KeyReference) -> MoveNews:
    """Ask for a move; what the second is to be told of it."""
    pair.here.bench.do(c.UpdatePrimaryRegion(key, THERE))
    news = pair.here.bench.do(c.TellMove(key, THERE), JOBS).news
    assert isinstance(news, MoveNews)
    return news


def test_the_primary_moves_to_a_linked_server(pair: Linked) -> None:
    """The other leads then and tells this one; what is here are replicas, and shadows of the rest are closed."""
    bench = pair.here.bench
    key = replicated(pair)
    bench.do(c.ReplicateKey(key, ALSO_THERE))
    bench.do(c.ReplicateKey(key, ALSO_HERE))
    bench.do(c.EnableKeyRotation(key, 90))
    date = stored(pair.here, key, HERE).next_rotation
    pair.here.tell()
    bench.do(c.UpdatePrimaryRegion(key, THERE))
    assert bench.do(c.DescribeKey(key)).key.state is State.UPDATING
    assert bench.do(c.Encrypt(key, b"x")).blob
    updating = f"InvalidKeyState: {key_arn(key)} is updating."
    assert bench.refusal(c.RotateKeyOnDemand(key)) == updating
    assert bench.refusal(c.ReplicateKey(key, ALSO_HERE)) == updating
    assert bench.refusal(c.UpdatePrimaryRegion(key, THERE)).startswith("InvalidKeyState: ")

    pair.here.tell()

    order = (THERE, HERE, ALSO_THERE, ALSO_HERE)
    for side, region in (
        (pair.here, HERE),
        (pair.here, ALSO_HERE),
        (pair.there, THERE),
        (pair.there, ALSO_THERE),
    ):
        row = stored(side, key, region)
        assert (row.state, row.members) == (State.ENABLED, order)
        assert row.next_rotation == (date if region == THERE else None)
    assert bench.do(c.GetKeyRotationStatus(key)).key.next_rotation == date
    assert stored(pair.here, key, ALSO_THERE).state is State.DESTROYED
    assert is_shadow(stored(pair.here, key, THERE))
    assert {region for region in order if is_shadow(stored(pair.there, key, region))} == {HERE, ALSO_HERE}
    told = bench.refusal(c.RotateKeyOnDemand(key))
    assert told.startswith("UnsupportedOperation: ")
    pair.there.bench.do(c.RotateKeyOnDemand(key), region=THERE)
    pair.there.tell()
    assert {stored(pair.here, key, region).current_version for region in (HERE, ALSO_HERE)} == {2}


def test_it_comes_back(pair: Linked) -> None:
    """With the rotation that the other has done meanwhile."""
    key = replicated(pair)
    moving(pair, key)
    pair.here.tell()
    pair.there.bench.do(c.RotateKeyOnDemand(key), region=THERE)
    pair.there.tell()
    pair.there.bench.do(c.UpdatePrimaryRegion(key, HERE), region=THERE)
    pair.there.tell()
    row = stored(pair.here, key, HERE)
    assert (row.members, row.current_version, row.state) == ((HERE, THERE), 2, State.ENABLED)
    assert stored(pair.there, key, THERE).members == (HERE, THERE)
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    pair.here.tell()
    assert stored(pair.there, key, THERE).current_version == 3


def test_an_answer_that_was_lost(pair: Linked) -> None:
    """The move is told again, and the other says again that it leads."""
    key = replicated(pair)
    assert said(pair, moving(pair, key)) == '{"moved": true}'
    assert said(pair, news_of(pair, key)) == "403 AccessDenied"
    pair.here.tell()
    assert stored(pair.here, key, HERE).members == (THERE, HERE)


def test_a_move_that_cannot_be(pair: Linked) -> None:
    """The replica is not enabled, or has not all: then the primary stays what it was."""
    key = replicated(pair)
    pair.there.bench.do(c.DisableKey(key), region=THERE)
    moving(pair, key)
    pair.here.tell()
    row = stored(pair.here, key, HERE)
    assert (row.state, row.members) == (State.ENABLED, (HERE, THERE))
    pair.there.bench.do(c.EnableKey(key), region=THERE)
    news = moving(pair, key)
    for changed in (
        other(news, current_version=2),
        other(news, members=[*news.members, (ALSO_THERE, 0.0)]),
        other(news, members=news.members[::-1]),
    ):
        assert said(pair, changed) == '{"moved": false}'
    row = stored(pair.there, key, THERE)
    put(pair.there, replace(row, members=(HERE, THERE, "af-south-1")))
    assert said(pair, other(news, members=[*news.members, ("af-south-1", 0.0)])) == '{"moved": false}'
    for mine in (replace(row, members=(ALSO_THERE, THERE, HERE)), replace(row, members=(ALSO_THERE, THERE))):
        put(pair.there, mine)
        assert said(pair, news) == "403 AccessDenied"
    assert said(pair, other(news, region=ALSO_THERE)) == "403 AccessDenied"
    assert said(pair, other(news, previous=THERE)) == "403 AccessDenied"


def test_when_a_move_is_refused_at_once(pair: Linked) -> None:
    """While there is something to tell still; to a Region without a replica; with members on a third server."""
    key = replicated(pair)
    pair.here.bench.do(c.RotateKeyOnDemand(key))
    told = pair.here.bench.refusal(c.UpdatePrimaryRegion(key, THERE))
    assert told == f"InvalidKeyState: {key_arn(key, THERE)} is creating."
    pair.here.tell()
    assert pair.here.bench.refusal(c.UpdatePrimaryRegion(key, ALSO_THERE)).startswith("NotFound: ")
    bench = pair.here.bench
    bench.do(c.ReplicateKey(key, ALSO_HERE))
    told = bench.refusal(c.UpdatePrimaryRegion(key, ALSO_HERE))
    assert told.startswith("UnsupportedOperation: ")
    (peer,) = pair.here.peers
    peers = (peer, peer._replace(name="third", regions=("af-south-1",)))
    bench = ServiceBench(pair.here.house, "w1", regions=pair.here.regions, peers=peers)
    bench.do(c.ReplicateKey(key, "af-south-1"))
    told = bench.refusal(c.UpdatePrimaryRegion(key, THERE))
    assert told.startswith("UnsupportedOperation: ")


def test_the_target_of_a_move_is_destroyed(pair: Linked) -> None:
    """Then there is no move, and no such member."""
    key = replicated(pair)
    moving(pair, key)
    put(pair.there, replace(stored(pair.there, key, THERE), state=State.DESTROYED))
    pair.here.tell()
    row = stored(pair.here, key, HERE)
    assert (row.state, row.members) == (State.ENABLED, (HERE,))


# --- what the jobs ask -----------------------------------------------------------------------------------


def test_the_jobs_ask_of_what_there_is(pair: Linked) -> None:
    """Of a member that is not on a linked server, of a link that is gone, or of a replica, they learn that."""
    key = replicated(pair)
    bench = pair.here.bench
    for command in (c.TellMember(key, "af-south-1"), c.TellMove(key, THERE), c.MoveTold(key, THERE, True)):
        assert bench.refusal(command, who=JOBS).startswith("NotFound: ")
    of_replica = pair.there.bench.refusal(c.TellMember(key, HERE), JOBS, THERE)
    assert of_replica.startswith("UnsupportedOperation: ")
    unlinked = ServiceBench(pair.here.house, "w1", regions=(HERE,))
    assert unlinked.refusal(c.TellMember(key, THERE), who=JOBS).startswith("NotFound: ")


def test_commands_say_what_they_are_about(pair: Linked) -> None:
    """An intent names the member."""
    key = replicated(pair)
    assert c.LinkMember(news_of(pair, key), 1).about == f"{THERE}/{key.name}"
    assert c.LinkMove(moving(pair, key), 1).about == f"{THERE}/{key.name}"
