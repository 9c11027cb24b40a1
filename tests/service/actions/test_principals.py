"""Users and access keys: made, changed, removed, and in force when the call returns."""

import re

import pytest

from keystead.core.principal import secret_binding, user_arn
from keystead.service.actions.principals import new_credentials
from keystead.service.caller import Caller
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import JOBS, ServiceBench

ALLOW = '{"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}'
CAROL = user_arn(ACCOUNT, "carol")
THERE_IS_NONE = f"NotFound: There is no principal {CAROL}. List them with: keystead principal list"


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


def test_a_user_is_made_changed_and_removed(bench: ServiceBench) -> None:
    """Each step is in force at once, and its record names the user."""
    made = bench.do(i.CreatePrincipal("carol")).principal
    assert (made.arn, made.account, made.name, made.policy) == (CAROL, ACCOUNT, "carol", "")
    assert (made.created, made.enabled) == (bench.house.clock.now(), True)
    record = bench.records[-1]
    assert (record.action, record.subject, record.outcome) == ("keystead:CreatePrincipal", CAROL, "Success")

    assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")
    bench.do(i.PutPrincipalPolicy("carol", ALLOW))
    assert bench.records[-1].subject == CAROL
    bench.do(c.CreateKey(), "carol")
    bench.do(i.PutPrincipalPolicy("carol", ""))
    assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")

    access_key = bench.do(i.CreateAccessKey("carol")).access_key
    caller = signed_as(bench, "carol", access_key.id)
    bench.do(i.DeletePrincipal("carol"))
    assert bench.refusal(c.CreateKey(), caller).startswith("UnknownCredentials")
    assert bench.refusal(i.ListAccessKeys("carol")) == THERE_IS_NONE
    with bench.house.store.view() as view:
        assert view.access_key(access_key.id) is None


def test_a_user_may_be_made_with_its_policy(bench: ServiceBench) -> None:
    """And then may what it says."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    bench.do(c.CreateKey(), "carol")


@pytest.mark.parametrize("name", ["a", "A+=,.@_-9", "n" * 64])
def test_names_that_a_user_may_have(bench: ServiceBench, name: str) -> None:
    """Those that AWS allows."""
    assert bench.do(i.CreatePrincipal(name)).principal.arn == user_arn(ACCOUNT, name)


@pytest.mark.parametrize("name", ["", "n" * 65, "a/b", "a b", "*", "ü", "a\n", "a:b"])
def test_names_that_a_user_may_not_have(bench: ServiceBench, name: str) -> None:
    """Nothing that means something in an ARN or a policy."""
    told = "InvalidRequest: A user's name is 1 to 64 letters, digits and the characters + = , . @ _ -"
    assert bench.refusal(i.CreatePrincipal(name)) == told


def test_a_name_is_taken_once(bench: ServiceBench) -> None:
    """The one who has it stays as it is."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    assert bench.refusal(i.CreatePrincipal("carol")) == "AlreadyExists: The user carol already exists."
    bench.do(c.CreateKey(), "carol")


def test_a_policy_that_is_none_is_refused(bench: ServiceBench) -> None:
    """With what is wrong, when it is put and when a user is made."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    told = "MalformedPolicy: The policy is not valid JSON."
    assert bench.refusal(i.PutPrincipalPolicy("carol", "{")) == told
    assert bench.refusal(i.CreatePrincipal("dave", "{")) == told
    bench.do(c.CreateKey(), "carol")
    assert [p.name for p in bench.do(i.ListPrincipals()).principals] == ["jobs", "admin", "carol", "mallory"]


def test_nobody_removes_themselves(bench: ServiceBench) -> None:
    """Or an installation could be left without an administrator."""
    told = "InvalidRequest: You cannot delete the principal you are signed in as: use another one."
    assert bench.refusal(i.DeletePrincipal("admin")) == told
    assert bench.refusal(i.DeletePrincipal("carol")) == THERE_IS_NONE


def test_the_services_own_parts_are_no_users(bench: ServiceBench) -> None:
    """They are listed and cannot be reached by name."""
    assert JOBS in [p.arn for p in bench.do(i.ListPrincipals()).principals]
    assert bench.refusal(i.DeletePrincipal("jobs")).startswith("NotFound")


def test_principals_are_paged(bench: ServiceBench) -> None:
    """In the order of their ARNs."""
    first = bench.do(i.ListPrincipals(2))
    last = bench.do(i.ListPrincipals(2, first.marker))
    assert [[p.name for p in page.principals] for page in (first, last)] == [["jobs", "admin"], ["mallory"]]
    assert last.marker == ""


def test_who_may_not_is_told_which_user_it_was_about(bench: ServiceBench) -> None:
    """Every operation asks its own permission on the user's ARN."""
    access_key = bench.do(i.CreateAccessKey("admin")).access_key
    admin = user_arn(ACCOUNT, "admin")
    for command in (
        i.CreatePrincipal("admin"),
        i.PutPrincipalPolicy("admin", ""),
        i.DeletePrincipal("admin"),
        i.CreateAccessKey("admin"),
        i.ListAccessKeys("admin"),
        i.SetAccessKeyStatus(access_key.id, enabled=False),
        i.DeleteAccessKey(access_key.id),
    ):
        told = bench.refusal(command, "mallory")
        assert f"perform: keystead:{type(command).__name__} on resource: {admin} because" in told
        assert bench.records[-1].subject in (admin, f"{admin} {access_key.id}")
    told = bench.refusal(i.ListPrincipals(), "mallory")
    assert "perform: keystead:ListPrincipals on resource: * because" in told


# --- access keys -----------------------------------------------------------------------------------------


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
    from keystead.core.principal import AccessKey, Principal  # noqa: PLC0415 - needed by this one test

    foreign = "arn:aws:iam::999988887777:user/eve"
    with bench.house.store.transact("eve") as tx:
        tx.put_principal(Principal(arn=foreign, account="999988887777", name="eve", created=0.0))
        tx.put_access_key(AccessKey(id="AKIAEVE", principal=foreign, protected="", created=0.0))
    for access_key_id in ("AKIAEVE", "AKIANONE"):
        for command in (i.SetAccessKeyStatus(access_key_id, enabled=False), i.DeleteAccessKey(access_key_id)):
            assert bench.refusal(command) == f"NotFound: There is no access key {access_key_id}."
            assert "user/? because" in bench.refusal(command, "mallory")
    with bench.house.store.view() as view:
        assert view.access_key("AKIAEVE") is not None
