"""Two servers that are each other's Regions, by unmodified boto3: replicas, rotations, failures and ends."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keystead import store
from keystead.app.installation import Installation, SystemClock
from keystead.config import Config
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets

pytestmark = pytest.mark.e2e

HERE, THERE = "eu-central-1", "us-east-1"
ACCOUNT = "210987654321"
DAY = 86_400


class Pair:
    """Two installations that are linked, each serving one Region."""

    def __init__(self, make: Any, folder: Path) -> None:
        self.here, self.there = (make(folder / name / "data") for name in ("here", "there"))
        for service in (self.here, self.there):
            service.data.parent.mkdir()
            service.workers = 1
            service.found(account=ACCOUNT)
        self.identities = [self._identity(service) for service in (self.here, self.there)]
        self.start(self.here)
        self.start(self.there)

    def _identity(self, service: Any) -> str:
        config = Config(data=service.data)
        opened = Installation.open(config, LocalSecrets({}), SystemClock(), system_random)
        return opened.custodian.transfer_identity

    def start(self, service: Any) -> None:
        """Start one of them, or start it again."""
        number = 0 if service is self.here else 1
        region, their_region = (HERE, THERE) if number == 0 else (THERE, HERE)
        other = (self.there, self.here)[number]
        service.settings["AWS_REGION"] = region
        service.serve(
            jobs_seconds=1,
            regions=[region],
            more=f"""
            [[link]]
            name = "other"
            regions = ["{their_region}"]
            url = "{other.control_url}"
            identity = "{self.identities[1 - number]}"
            """,
        )

    @property
    def clients(self) -> tuple[Any, Any]:
        """A client of each, as its admin."""
        return self.here.client(), self.there.client()

    def state(self, client: Any, key: str) -> str:
        """A key's state as DescribeKey says it, or what it says instead."""
        try:
            return str(client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    def material(self, client: Any, key: str) -> str:
        """The id of a key's current material."""
        return str(client.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"])

    def roles(self, key: str) -> list[str]:
        """What the first and the second say that they are to a key."""
        return [
            client.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"]
            for client in self.clients
        ]

    def replicated(self, **more: Any) -> str:
        """A key of the first with a replica at the second."""
        here, there = self.clients
        key = str(here.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"])
        made = here.replicate_key(KeyId=key, ReplicaRegion=THERE, **more)
        assert made["ReplicaKeyMetadata"]["KeyState"] == "Creating"
        self.there.until(lambda: self.state(there, key) == "Enabled")
        return key


@pytest.fixture
def pair(own_service: Any, tmp_path: Path) -> Iterator[Pair]:
    """Both, running."""
    linked = Pair(type(own_service), tmp_path)
    yield linked
    for service in (linked.here, linked.there):
        if service.process.poll() is None:
            assert service.stop() == 0, service.said()
        service.verify()


def test_one_key_on_two_servers(pair: Pair) -> None:
    """A replica is made with what was asked for, opens what the primary sealed, and the reverse; both say so."""
    here, there = pair.clients
    key = pair.replicated(Description="overseas", Tags=[{"TagKey": "a", "TagValue": "b"}])

    ours, theirs = (client.describe_key(KeyId=key)["KeyMetadata"] for client in (here, there))
    assert ours["MultiRegionConfiguration"]["ReplicaKeys"] == [
        {"Arn": ours["Arn"].replace(HERE, THERE), "Region": THERE}
    ]
    assert theirs["MultiRegionConfiguration"] == {
        **ours["MultiRegionConfiguration"],
        "MultiRegionKeyType": "REPLICA",
    }
    assert (theirs["Description"], theirs["CurrentKeyMaterialId"]) == (
        "overseas",
        ours["CurrentKeyMaterialId"],
    )
    assert there.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    for sealer, opener in ((here, there), (there, here)):
        blob = sealer.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
        assert opener.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    for service in (pair.here, pair.there):
        assert {r["principal"] for r in service.records() if r.get("auth") == "link"} <= {
            f"arn:aws:iam::{ACCOUNT}:service/link-other"
        }


def test_a_rotation_waits_for_all(pair: Pair) -> None:
    """New material is in force when both have it; while the other server is dead, it is not, and nothing fails."""
    here, there = pair.clients
    key = pair.replicated()
    before = pair.material(here, key)
    old = here.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    here.rotate_key_on_demand(KeyId=key)
    pair.here.until(lambda: pair.material(here, key) != before)
    pair.there.until(lambda: pair.material(there, key) == pair.material(here, key))
    assert there.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    now = pair.material(here, key)

    pair.there.kill()
    here.rotate_key_on_demand(KeyId=key)
    with pytest.raises(ClientError, match="ConflictException"):
        here.rotate_key_on_demand(KeyId=key)
    assert "OnDemandRotationStartDate" in here.get_key_rotation_status(KeyId=key)
    pair.here.until(lambda: "a linked server does not do its part" in pair.here.said())
    assert pair.material(here, key) == now
    assert here.decrypt(CiphertextBlob=here.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"])
    assert len(here.list_key_rotations(KeyId=key)["Rotations"]) == 1

    pair.start(pair.there)
    pair.here.until(lambda: pair.material(here, key) != now, 60)
    pair.there.until(lambda: pair.material(there, key) == pair.material(here, key), 60)
    new = here.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=new)["Plaintext"] == b"new"
    rotations = [client.list_key_rotations(KeyId=key)["Rotations"] for client in (here, there)]
    assert [len(each) for each in rotations] == [2, 2]
    assert [r["RotationDate"] for r in rotations[0]] == [r["RotationDate"] for r in rotations[1]]


def test_what_was_asked_while_the_other_was_away(pair: Pair) -> None:
    """ReplicateKey has answered, and the primary is used and scheduled for deletion, before the other is back."""
    here, there = pair.clients
    pair.there.kill()
    key = here.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    here.replicate_key(KeyId=key, ReplicaRegion=THERE)
    blob = here.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    waiting = here.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert waiting["KeyState"] == "PendingReplicaDeletion"
    here.cancel_key_deletion(KeyId=key)

    pair.start(pair.there)

    pair.there.until(lambda: pair.state(there, key) == "Enabled", 60)
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_the_end_of_a_replica(pair: Pair) -> None:
    """Once it is destroyed there, the primary is alone; one that waited for it has its own window then."""
    here, there = pair.clients
    key = pair.replicated()
    here.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    there.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    pair.there.kill()
    with closing(store.connect(Config(data=pair.there.data).store)) as opened:
        with opened.view() as view:
            replica = view.key(THERE, key)
        assert replica is not None
        assert replica.deletion_date is not None
        with opened.transact("a week passes") as tx:
            tx.put_key(replace(replica, deletion_date=replica.deletion_date - 8 * DAY))
    pair.start(pair.there)

    pair.there.until(lambda: pair.state(there, key) == "NotFoundException")
    pair.here.until(lambda: pair.state(here, key) == "PendingDeletion", 60)
    assert here.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]["ReplicaKeys"] == []
    here.cancel_key_deletion(KeyId=key)
    here.enable_key(KeyId=key)
    here.replicate_key(KeyId=key, ReplicaRegion=THERE)
    pair.there.until(lambda: pair.state(there, key) == "Enabled", 60)
    blob = here.encrypt(KeyId=key, Plaintext=b"again")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"again"


def test_the_primary_moves(pair: Pair) -> None:
    """The other server leads then: it rotates for both, and this one cannot; and the primary may come back."""
    here, there = pair.clients
    key = pair.replicated()
    here.enable_key_rotation(KeyId=key, RotationPeriodInDays=100)
    pair.there.until(lambda: there.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
    pair.here.until(lambda: not _refused(here.update_primary_region, KeyId=key, PrimaryRegion=THERE))
    assert pair.state(here, key) in ("Updating", "Enabled")

    pair.here.until(lambda: pair.roles(key) == ["REPLICA", "PRIMARY"])

    pair.here.until(lambda: pair.state(here, key) == "Enabled")
    assert _refused(here.rotate_key_on_demand, KeyId=key)
    before = pair.material(here, key)
    dates = [client.get_key_rotation_status(KeyId=key)["NextRotationDate"] for client in (here, there)]
    assert dates[0] == dates[1]
    there.rotate_key_on_demand(KeyId=key)
    pair.here.until(lambda: pair.material(here, key) == pair.material(there, key) != before)
    blob = there.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    assert here.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"

    pair.here.until(lambda: not _refused(there.update_primary_region, KeyId=key, PrimaryRegion=HERE))
    pair.here.until(lambda: pair.roles(key) == ["PRIMARY", "REPLICA"])
    here.rotate_key_on_demand(KeyId=key)


def test_a_region_that_nobody_serves(pair: Pair) -> None:
    """A Region that neither of them serves has no members."""
    here, _ = pair.clients
    own = here.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    with pytest.raises(ClientError, match="A key can be replicated to: eu-central-1, us-east-1"):
        here.replicate_key(KeyId=own, ReplicaRegion="us-west-2")


def _refused(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError:
        return True
    return False
