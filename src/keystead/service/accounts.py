"""Accounts are kept apart: what reaches from one into another, and how a process learns of a new one."""

from typing import Final

from keystead.core.ports import Custodian, View

CROSS_ACCOUNT: Final = frozenset(
    f"kms:{operation}"
    for operation in (
        "CreateGrant",
        "Decapsulate",
        "Decrypt",
        "DeriveSharedSecret",
        "DescribeKey",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetKeyRotationStatus",
        "GetPublicKey",
        "ListGrants",
        "ReEncryptFrom",
        "ReEncryptTo",
        "RetireGrant",
        "RevokeGrant",
        "Sign",
        "Verify",
        "VerifyMac",
    )
)
"""What may be done to another account's key, if its policy and the caller's both allow it (AWS KMS API reference,
"Cross-account use"). Everything else stays within an account, whatever policies say."""


def open_account(custodian: Custodian, view: View, account: str) -> None:
    """Have the custodian know an account, which may be younger than this process.

    One that has no key-encryption key is left unknown: the custodian says so when it is asked for something. Whoever
    is in no account yet, because only a token tells of them, has the store look for none.
    """
    if account and not custodian.knows(account):
        wrapped = view.account_keys().get(account)
        if wrapped is not None:
            custodian.admit(account, wrapped)
