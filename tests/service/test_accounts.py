"""What may cross accounts, and how a process learns of a new one."""

from keystead.core.policy.actions import ACTIONS, USES
from keystead.service.accounts import CROSS_ACCOUNT, open_account
from keystead.testing.installation import Installation


def test_what_crosses_accounts_is_use_and_a_few_more() -> None:
    """All use but random bytes, which involve no key; reading what AWS lets others read, and grants."""
    assert {"kms:GenerateRandom"} == USES - CROSS_ACCOUNT
    assert {
        "kms:CreateGrant",
        "kms:DescribeKey",
        "kms:GetKeyRotationStatus",
        "kms:GetPublicKey",
        "kms:ListGrants",
        "kms:RetireGrant",
        "kms:RevokeGrant",
    } == CROSS_ACCOUNT - USES
    assert set(ACTIONS) >= CROSS_ACCOUNT


def test_nobody_without_an_account_has_all_accounts_looked_through() -> None:
    """Anybody can send a token; the keys of all accounts are not read for it. Here even a mistaken one is not taken."""
    house = Installation()
    with house.store.transact("mistake") as tx:
        tx.put_account_key("", house.custodian.enroll(""))
    with house.store.view() as view:
        open_account(house.custodian, view, "")
    assert not house.custodian.knows("")
