"""What a transaction checks before an action may touch anything."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from keystead.core.names import KeyReference
from keystead.core.ports import Transaction
from keystead.core.principal import user_arn
from keystead.service.caller import Caller
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn

ALICE = user_arn(ACCOUNT, "alice")
MAY_ALL = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
INVALID = "UnknownCredentials: The security token included in the request is invalid."
STRANGER = "999988887777"


@pytest.fixture
def bench() -> ServiceBench:
    """An installation where alice may do everything."""
    bench = ServiceBench()
    bench.house.user("alice", MAY_ALL)
    return bench


def alice(bench: ServiceBench) -> Caller:
    """Alice, as a front established her before something changed."""
    with bench.house.store.view() as view:
        (access_key,) = view.access_keys(ALICE)
    caller = bench.caller("alice")
    caller.access_key = access_key.id
    return caller


def disable_principal(tx: Transaction) -> None:
    """The user is disabled."""
    principal = tx.principal(ALICE)
    assert principal is not None
    tx.put_principal(replace(principal, enabled=False))


def delete_principal(tx: Transaction) -> None:
    """The user is removed."""
    tx.delete_principal(ALICE)


def disable_access_key(tx: Transaction) -> None:
    """The access key is disabled."""
    (access_key,) = tx.access_keys(ALICE)
    tx.put_access_key(replace(access_key, enabled=False))


def delete_access_key(tx: Transaction) -> None:
    """The access key is removed."""
    (access_key,) = tx.access_keys(ALICE)
    tx.delete_access_key(access_key.id)


def give_access_key_away(tx: Transaction) -> None:
    """The access key is another user's now."""
    (access_key,) = tx.access_keys(ALICE)
    tx.put_access_key(replace(access_key, principal=user_arn(ACCOUNT, "admin")))


@pytest.mark.parametrize(
    "change",
    [disable_principal, delete_principal, disable_access_key, delete_access_key, give_access_key_away],
)
def test_nobody_changes_anything_with_credentials_that_are_gone(
    bench: ServiceBench, change: Callable[[Transaction], None]
) -> None:
    """What was revoked after the signature was checked is seen in the transaction, for looks as for changes."""
    key = bench.key()
    caller = alice(bench)
    bench.do(c.DescribeKey(key), caller)
    with bench.house.store.transact("revoke") as tx:
        change(tx)
    for command in (c.DescribeKey(key), c.DisableKey(key), c.CreateKey(), c.ListKeys()):
        assert bench.refusal(command, caller) == INVALID
    assert bench.do(c.DescribeKey(key)).key.state == "Enabled"


def test_the_policy_of_the_moment_decides(bench: ServiceBench) -> None:
    """Not the one that the caller came with."""
    key = bench.key()
    caller = alice(bench)
    bench.do(i.PutPrincipalPolicy("alice", ""))
    assert bench.refusal(c.DisableKey(key), caller).startswith("AccessDenied")


def test_an_answer_rests_on_what_the_caller_has_become(bench: ServiceBench) -> None:
    """On the group that it joined since this process looked, too: what is denied to that keeps the answer back."""
    caller = alice(bench)
    bench.do(i.CreatePrincipal("operators", kind="group"))
    bench.do(i.UpdatePrincipal("alice", groups=("operators",)))
    answer = bench.gate.perform(caller, c.ListKeys())
    assert answer.error is None
    deny = '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
    ServiceBench(bench.house, "w1").do(i.PutPrincipalPolicy("operators", deny, "group"))
    assert bench.gate.settle([answer]) == [answer]


def test_a_stranger_cannot_tell_forbidden_from_unknown(bench: ServiceBench) -> None:
    """To another account a key or alias that exists and one that does not give the same answer."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/real", key))
    eve = f"arn:aws:iam::{STRANGER}:user/eve"
    with bench.house.store.transact("eve") as tx:
        principal = tx.principal(ALICE)
        assert principal is not None
        tx.put_principal(replace(principal, arn=eve, account=STRANGER, name="eve"))
    none = "00000000-0000-4000-8000-000000000000"
    answers = set()
    for name in (key.name, none, "alias/real", "alias/none"):
        reference = KeyReference(name, name.startswith("alias/"), ACCOUNT, REGION)
        told = bench.refusal(c.DescribeKey(reference), eve)
        answers.add(told.replace(name, "it").replace("key/it", "it"))
    (told,) = answers
    assert told == (
        f"AccessDenied: User: {eve} is not authorized to perform: kms:DescribeKey on resource: "
        f"arn:aws:kms:{REGION}:{ACCOUNT}:it because the resource does not exist in this Region, no "
        "resource-based policies allow access, or a resource-based policy explicitly denies access"
    )


def test_another_account_is_let_in_by_both_policies(bench: ServiceBench) -> None:
    """The key's and the caller's own: then a key is described from elsewhere by its ARN."""
    eve = f"arn:aws:iam::{STRANGER}:user/eve"
    with bench.house.store.transact("eve") as tx:
        principal = tx.principal(ALICE)
        assert principal is not None
        tx.put_principal(replace(principal, arn=eve, account=STRANGER, name="eve"))
    policy = (
        f'{{"Statement": [{{"Effect": "Allow", "Principal": {{"AWS": ["{ACCOUNT}", "{STRANGER}"]}}, '
        '"Action": "kms:*", "Resource": "*"}]}'
    )
    key = bench.key(c.CreateKey(policy=policy))
    reference = KeyReference(key.name, account=ACCOUNT, region=REGION)
    assert bench.do(c.DescribeKey(reference), eve).key.arn == key_arn(key)
    sealed = bench.do(c.Encrypt(reference, b"x"), eve)
    assert bench.do(c.Decrypt(sealed.blob, reference), eve).plaintext == b"x"


def test_a_key_without_its_version_is_described_without_material(bench: ServiceBench) -> None:
    """A row that was lost is no reason to hide the key from its owner."""
    key = bench.key()
    with bench.house.store.transact("spoil") as tx:
        stored = tx.key(REGION, key.name)
        assert stored is not None
        tx.put_key(replace(stored, current_version=7))
    assert bench.do(c.DescribeKey(key)).material_id == ""
