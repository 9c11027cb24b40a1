"""Accounts: made in one process and usable in all, and kept apart."""

import re

import pytest

from keystead.core.key import State
from keystead.core.names import KeyReference
from keystead.core.policy.builtin import ADMINISTRATOR
from keystead.core.principal import INSTALLATION, Principal, root_arn, service_arn, user_arn
from keystead.crypto.secret import Secret
from keystead.custody.software import SoftwareCustodian
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.results.identity import NewAccount
from keystead.service.workingset import HeldCredential, Wanted
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION, Installation
from keystead.testing.service import ServiceBench

FIRST_ONLY = "AccessDenied: Only a principal of the installation's first account may do that."


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with one account."""
    return ServiceBench()


@pytest.fixture
def second(bench: ServiceBench) -> NewAccount:
    """A second one."""
    made = bench.do(i.CreateAccount("second"))
    assert isinstance(made, NewAccount)
    return made


def test_an_account_comes_with_its_first_administrator(bench: ServiceBench, second: NewAccount) -> None:
    """A user admin with the built-in policy, whose secret is in the answer, and who may everything there."""
    account = second.account.id
    assert re.fullmatch("[0-9]{12}", account)
    assert account not in (ACCOUNT, INSTALLATION)
    assert second.administrator.arn == second.access_key.principal == user_arn(account, "admin")
    assert second.administrator.attached == (ADMINISTRATOR,)
    assert bench.records[-1].subject == account
    assert [(a.id, a.name) for a in bench.do(i.ListAccounts()).accounts] == sorted(
        [(ACCOUNT, "main"), (account, "second")]
    )
    admin = bench.caller(second.administrator.arn)
    assert bench.do(c.CreateKey(), admin).key.account == account
    assert [p.arn for p in bench.do(i.ListPrincipals(), admin).principals] == [
        service_arn(account, "jobs"),
        second.administrator.arn,
    ]


def another_process(house: Installation, slot: str) -> ServiceBench:
    """A process of the installation that was there before: its custodian knows the first account only."""
    other = Installation(seed=1)
    other.store, other.audit = house.store, house.audit
    other.custodian = SoftwareCustodian(Secret(bytes(32)), house.random)
    with house.store.view() as view:
        other.custodian.admit(ACCOUNT, view.account_keys()[ACCOUNT])
    return ServiceBench(other, slot)


def test_another_process_knows_a_new_account_without_a_restart(bench: ServiceBench) -> None:
    """Its credentials, its keys, and it makes new ones, though the account is younger than the process."""
    others = [another_process(bench.house, f"w{number}") for number in range(1, 5)]
    signing, using, making, looking = others
    made = bench.do(i.CreateAccount("second"))
    arn = made.administrator.arn
    key = KeyReference(bench.do(c.CreateKey(), arn).key.id)
    sealed = bench.do(c.Encrypt(key, b"plaintext"), arn).blob
    assert not any(other.house.custodian.knows(made.account.id) for other in others)

    held = signing.gate.working.load(Wanted("access-key", made.access_key.id)).found
    assert isinstance(held, HeldCredential)
    assert held.secret.reveal().decode() == made.secret
    assert using.do(c.Decrypt(sealed), arn).plaintext == b"plaintext"
    making.do(c.CreateKey(), arn)
    assert looking.do(c.DescribeKey(key), arn).key.account == made.account.id
    assert all(other.house.custodian.knows(made.account.id) for other in others)


def test_an_account_without_a_key_is_told_by_the_custodian(bench: ServiceBench) -> None:
    """What is not in the store cannot be admitted, and nothing is made under another key."""
    with bench.house.store.transact("keyless") as tx:
        arn = user_arn("999988887777", "eve")
        tx.put_principal(
            Principal(arn=arn, account="999988887777", name="eve", created=1.0, policy=EVERYTHING)
        )
    assert bench.refusal(c.CreateKey(), arn).startswith("CustodyUnavailable")


def test_keys_of_a_second_account_are_destroyed_by_its_own_jobs(
    bench: ServiceBench, second: NewAccount
) -> None:
    """Each account's jobs reach its own keys and no others."""
    account = second.account.id
    admin = bench.caller(second.administrator.arn)
    key = KeyReference(bench.do(c.CreateKey(), admin).key.id)
    bench.do(c.ScheduleKeyDeletion(key, 7), bench.caller(second.administrator.arn))
    bench.house.audit.later(8 * 86_400)
    first_jobs = bench.caller(service_arn(ACCOUNT, "jobs"))
    assert bench.answer(c.DestroyKey(key), first_jobs).error is not None
    bench.do(c.DestroyKey(key), bench.caller(service_arn(account, "jobs")))
    with bench.house.store.view() as view:
        found = view.key(REGION, key.name)
    assert found is not None
    assert found.state is State.DESTROYED


def test_only_the_first_account_makes_and_lists_accounts(bench: ServiceBench, second: NewAccount) -> None:
    """Whatever an administrator elsewhere may do at home."""
    admin = bench.caller(second.administrator.arn)
    assert bench.refusal(i.CreateAccount("third"), admin) == FIRST_ONLY
    assert bench.refusal(i.ListAccounts(), admin) == FIRST_ONLY
    bench.house.user("mallory")
    for command in (i.CreateAccount("third"), i.ListAccounts()):
        name = type(command).__name__
        assert f"perform: keystead:{name} on resource: *" in bench.refusal(command, "mallory")


@pytest.mark.parametrize("name", ["", "n" * 65, "a b"])
def test_names_that_an_account_may_not_have(bench: ServiceBench, name: str) -> None:
    """As for principals."""
    assert bench.refusal(i.CreateAccount(name)).startswith("InvalidRequest: An account's name is 1 to 64")


def test_a_lost_jobs_principal_is_damage(bench: ServiceBench) -> None:
    """An account whose deletions nobody carries out is not made."""
    with bench.house.store.transact("lost") as tx:
        tx.delete_principal(service_arn(ACCOUNT, "jobs"))
    assert bench.refusal(i.CreateAccount("second")).startswith("DataDamaged: the jobs' principal is missing")


def test_accounts_are_paged(bench: ServiceBench) -> None:
    """In the order of their ids."""
    made = {ACCOUNT, *(bench.do(i.CreateAccount(f"a{number}")).account.id for number in range(4))}
    ids, marker = [], ""
    while True:
        page = bench.do(i.ListAccounts(2, marker))
        ids += [account.id for account in page.accounts]
        marker = page.marker
        if not marker:
            break
    assert ids == sorted(made)


def test_an_id_that_is_taken_is_drawn_again(bench: ServiceBench) -> None:
    """Nor does any account get the service's own."""
    taken = int(ACCOUNT).to_bytes(8, "big")
    draws = [bytes(8), taken, (42).to_bytes(8, "big")]
    random, gate = bench.house.random, bench.gate
    gate.random = lambda count: draws.pop(0) if draws and count == 8 else random(count)
    assert bench.do(i.CreateAccount("second")).account.id == "000000000042"


# --- between accounts --------------------------------------------------------------------------------------


def key_for(bench: ServiceBench, *names: str) -> KeyReference:
    """A key of the first account whose policy lets these do everything, named as strangers must name it."""
    listed = ", ".join(f'"{name}"' for name in (root_arn(ACCOUNT), *names))
    policy = (
        f'{{"Statement": {{"Effect": "Allow", "Principal": {{"AWS": [{listed}]}}, "Action": "kms:*", '
        '"Resource": "*"}}'
    )
    made = bench.do(c.CreateKey(policy=policy)).key
    return KeyReference(made.id, account=ACCOUNT, region=REGION)


def test_use_across_accounts_needs_both_sides(bench: ServiceBench, second: NewAccount) -> None:
    """The key's policy and the caller's own; either alone denies."""
    account = second.account.id
    admin = bench.caller(second.administrator.arn)
    bench.do(i.CreatePrincipal("app"), admin)
    app = user_arn(account, "app")
    closed, open_ = key_for(bench), key_for(bench, root_arn(account))
    for key, policy, allowed in (
        (closed, "", False),
        (closed, EVERYTHING, False),
        (open_, "", False),
        (open_, EVERYTHING, True),
    ):
        bench.do(i.PutPrincipalPolicy("app", policy), bench.caller(second.administrator.arn))
        for command in (c.Encrypt(key, b"x"), c.DescribeKey(key)):
            answer = bench.answer(command, app)
            assert (answer.error is None) is allowed, (key, policy)
            assert allowed or (answer.error is not None and answer.error.code == "AccessDenied")


def test_a_grant_reaches_into_another_account(bench: ServiceBench, second: NewAccount) -> None:
    """To a user there, whose own policy need not say anything."""
    bench.do(i.CreatePrincipal("app"), bench.caller(second.administrator.arn))
    app = user_arn(second.account.id, "app")
    key = key_for(bench)
    assert bench.refusal(c.Encrypt(key, b"x"), app).startswith("AccessDenied")
    granted = bench.do(c.CreateGrant(KeyReference(key.name), grantee=app, operations=("Encrypt",)))
    bench.do(c.Encrypt(key, b"x"), app)
    bench.do(c.RevokeGrant(KeyReference(key.name), granted.grant_id))
    assert bench.refusal(c.Encrypt(key, b"x"), app).startswith("AccessDenied")


def test_what_aws_keeps_within_an_account_stays_there(bench: ServiceBench, second: NewAccount) -> None:
    """Though both policies allow everything; what is not there is refused in the same words."""
    key = key_for(bench, root_arn(second.account.id))
    nothing = KeyReference("0" * 8 + key.name[8:], account=ACCOUNT, region=REGION)
    within = (
        c.DisableKey,
        c.EnableKey,
        lambda k: c.ScheduleKeyDeletion(k, 7),
        lambda k: c.UpdateKeyDescription(k, "x"),
        lambda k: c.PutKeyPolicy(k, "{}"),
        c.GetKeyPolicy,
        lambda k: c.TagResource(k, (("a", "b"),)),
        c.ListResourceTags,
        c.EnableKeyRotation,
        c.RotateKeyOnDemand,
        c.GetKeyLastUsage,
    )
    for make in within:
        told = [
            bench.refusal(make(k), bench.caller(second.administrator.arn)).replace(k.name, "ID")
            for k in (key, nothing)
        ]
        assert told[0] == told[1]
        assert told[0].startswith("AccessDenied")
    across = (c.DescribeKey(key), c.GetKeyRotationStatus(key), c.ListGrants(key), c.Encrypt(key, b"x"))
    for command in across:
        bench.do(command, bench.caller(second.administrator.arn))


def test_a_ciphertext_leads_to_its_key_in_whatever_account(bench: ServiceBench, second: NewAccount) -> None:
    """Decrypt without a KeyId works across accounts as with one; who may not is told the same as of no key."""
    admin = second.administrator.arn
    open_, closed = key_for(bench, root_arn(second.account.id)), key_for(bench)
    for command in (c.Decrypt, lambda blob: c.ReEncrypt(blob, open_)):
        for key, allowed in ((open_, True), (closed, False)):
            answer = bench.answer(command(bench.do(c.Encrypt(key, b"x")).blob), admin)
            assert (answer.error is None) is allowed
    refused = bench.refusal(c.Decrypt(bench.do(c.Encrypt(closed, b"x")).blob), admin)
    gone = bench.do(c.Encrypt(closed, b"x")).blob
    bench.do(c.ScheduleKeyDeletion(KeyReference(closed.name), 7))
    bench.house.audit.later(8 * 86_400)
    bench.do(c.DestroyKey(KeyReference(closed.name)), service_arn(ACCOUNT, "jobs"))
    assert bench.refusal(c.Decrypt(gone), admin) == refused
    assert refused.startswith(
        "AccessDenied: The ciphertext refers to a customer master key that does not exist"
    )
