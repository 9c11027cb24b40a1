"""Access keys: made, disabled, removed, and in force when the call returns; and when they were last used."""

import re

import pytest

from keystead.core.errors import AuditUnavailable
from keystead.core.ports import LastUse
from keystead.core.principal import AccessKey, Principal, principal_arn, secret_binding, user_arn
from keystead.service.actions.principals import new_credentials
from keystead.service.caller import Caller
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.service.workingset import NotLoaded, Wanted
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench

ALLOW = '{"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}'
TRUST = (
    '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, '
    '"Action": "sts:AssumeRole"}}'
)
CAROL = user_arn(ACCOUNT, "carol")


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


def signed_as(bench: ServiceBench, name: str, access_key_id: str) -> Caller:
    """A caller that signed with that access key."""
    caller = bench.caller(name)
    caller.access_key = access_key_id
    return caller


def test_an_access_key_has_awss_form(bench: ServiceBench) -> None:
    """AKIA and sixteen characters, and a secret of forty; no two are alike."""
    made = [new_credentials(bench.house.random) for _ in range(20)]
    for access_key_id, secret in made:
        assert re.fullmatch("AKIA[A-Z2-7]{16}", access_key_id)
        assert re.fullmatch("[A-Za-z0-9+/]{40}", secret)
    assert len(set(made)) == 20


def test_a_secret_is_given_out_once_and_kept_wrapped(bench: ServiceBench) -> None:
    """What is stored opens to it under the access key's own name only; lists do not have it."""
    bench.do(i.CreatePrincipal("carol"))
    made = bench.do(i.CreateAccessKey("carol"))
    assert made.access_key.principal == CAROL
    assert made.secret not in made.access_key.protected
    reveal = bench.house.custodian.reveal
    stored = reveal(ACCOUNT, made.access_key.protected, secret_binding(made.access_key.id))
    assert stored.decode() == made.secret
    assert bench.records[-1].subject == f"{CAROL} {made.access_key.id}"
    assert bench.do(i.ListAccessKeys("carol")).access_keys == [made.access_key]


def test_a_user_has_room_for_so_many_access_keys(bench: ServiceBench) -> None:
    """Two, as with AWS: one in use and one to change to."""
    bench.do(i.CreatePrincipal("carol"))
    first = bench.do(i.CreateAccessKey("carol")).access_key
    bench.house.audit.later(60)
    bench.do(i.CreateAccessKey("carol"))
    told = (
        "LimitExceeded: The user has 2 access keys: the quota is reached. Delete one first; the oldest is "
        f"{first.id}, which was never used."
    )
    assert bench.refusal(i.CreateAccessKey("carol")) == told
    bench.do(i.DeleteAccessKey(first.id))
    bench.do(i.CreateAccessKey("carol"))
    more = ServiceBench(bench.house, "w1", quotas=Quotas(access_keys_per_principal=3))
    more.do(i.CreateAccessKey("carol"))
    assert bench.refusal(i.CreateAccessKey("dave")).startswith("NotFound: There is no principal")


def test_an_access_key_is_disabled_enabled_and_removed(bench: ServiceBench) -> None:
    """In force when it returns, for whoever has signed with it meanwhile as well."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    access_key = bench.do(i.CreateAccessKey("carol")).access_key
    caller = signed_as(bench, "carol", access_key.id)
    told = "UnknownCredentials: The security token included in the request is invalid."
    for change, allowed in [
        (None, True),
        (i.SetAccessKeyStatus(access_key.id, enabled=False), False),
        (i.SetAccessKeyStatus(access_key.id, enabled=True), True),
        (i.DeleteAccessKey(access_key.id), False),
    ]:
        if change is not None:
            bench.do(change)
            assert bench.records[-1].subject == f"{CAROL} {access_key.id}"
        if allowed:
            bench.do(c.CreateKey(), caller)
        else:
            assert bench.refusal(c.CreateKey(), caller) == told
            assert bench.refusal(c.ListKeys(), caller) == told


def test_an_access_key_of_another_account_is_as_unknown_as_none(bench: ServiceBench) -> None:
    """To its finder both look alike, whatever they may do here."""
    foreign = "arn:aws:iam::999988887777:user/eve"
    with bench.house.store.transact("eve") as tx:
        tx.put_principal(Principal(arn=foreign, account="999988887777", name="eve", created=0.0))
        tx.put_access_key(AccessKey(id="AKIAEVE", principal=foreign, protected="", created=0.0))
    for access_key_id in ("AKIAEVE", "AKIANONE"):
        for command in (i.SetAccessKeyStatus(access_key_id, enabled=False), i.DeleteAccessKey(access_key_id)):
            assert bench.refusal(command) == (
                f"NotFound: There is no access key {access_key_id}. "
                "List them with: keystead access-key list NAME"
            )
            assert "user/? because" in bench.refusal(command, "mallory")
    with bench.house.store.view() as view:
        assert view.access_key("AKIAEVE") is not None


def test_what_has_no_quota_left_is_told_the_oldest_key_and_its_last_use(bench: ServiceBench) -> None:
    """Which of two keys may go is what one wants to know then."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    first = bench.do(i.CreateAccessKey("carol")).access_key
    bench.house.audit.later(60)
    bench.do(i.CreateAccessKey("carol"))
    bench.do(c.ListKeys(), signed_as(bench, "carol", first.id))
    told = bench.refusal(i.CreateAccessKey("carol"))
    assert f"the oldest is {first.id}, last used 1970-01-" in told
    assert told.endswith("UTC for kms:ListKeys.")


def test_access_keys_are_listed_with_their_last_use(bench: ServiceBench) -> None:
    """The newest request that each has signed; a key that signed none has none."""
    bench.do(i.CreatePrincipal("carol", ALLOW, "service-account"))
    arn = principal_arn(ACCOUNT, "service-account", "carol")
    used, unused = (bench.do(i.CreateAccessKey("carol", "service-account")).access_key for _ in range(2))
    caller = bench.caller(arn)
    caller.access_key = used.id
    bench.do(c.CreateKey(), caller)
    bench.house.audit.later(60)
    caller.request = "r-newest"
    bench.do(c.ListKeys(), caller)
    listed = bench.do(i.ListAccessKeys("carol", "service-account"))
    uses = dict(zip([key.id for key in listed.access_keys], listed.uses, strict=True))
    assert uses.keys() == {used.id, unused.id}
    newest = uses[used.id].use
    assert (newest.action, newest.time, newest.request) == (
        "kms:ListKeys",
        bench.house.clock.now(),
        "r-newest",
    )
    assert uses[unused.id] == LastUse(uses[used.id].since, None)


def test_when_the_logs_cannot_tell_the_keys_are_still_listed(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever must disable a key in a hurry needs its id, not its history."""
    bench.do(i.CreatePrincipal("carol"))
    bench.do(i.CreateAccessKey("carol"))
    bench.do(i.CreateAccessKey("carol"))

    def unavailable(access_key_id: str) -> LastUse:
        raise AuditUnavailable(access_key_id)

    monkeypatch.setattr(bench.house.usage, "last_of_access_key", unavailable)
    assert bench.do(i.ListAccessKeys("carol")).uses == [None, None]
    assert bench.refusal(i.CreateAccessKey("carol")).endswith("whose last use cannot be told now.")


@pytest.mark.parametrize("kind", ["role", "group"])
def test_roles_and_groups_have_no_access_keys(bench: ServiceBench, kind: str) -> None:
    """A role is assumed, and a group is nobody."""
    bench.do(i.CreatePrincipal("x", kind=kind, trust=TRUST if kind == "role" else ""))
    told = f"InvalidRequest: A {kind} has no access keys: a user or a service account has, and a role is assumed."
    assert bench.refusal(i.CreateAccessKey("x", kind)) == told
    assert bench.do(i.ListAccessKeys("x", kind)).access_keys == []


def test_a_disabled_key_stops_at_once_in_other_processes(bench: ServiceBench) -> None:
    """A process that has the credential in use knows it no more once it has caught up."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    access_key = bench.do(i.CreateAccessKey("carol")).access_key
    working = ServiceBench(bench.house, "w1").gate.working
    wanted = Wanted("access-key", access_key.id)
    working.admit(working.load(wanted))
    assert working.credential(access_key.id) is not None
    bench.do(i.SetAccessKeyStatus(access_key.id, enabled=False))
    working.catch_up()
    with pytest.raises(NotLoaded):
        working.credential(access_key.id)
    working.admit(working.load(wanted))
    assert working.credential(access_key.id) is None
