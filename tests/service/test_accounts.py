"""What may cross accounts."""

from keystead.core.policy.actions import ACTIONS, USES
from keystead.service.accounts import CROSS_ACCOUNT


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
