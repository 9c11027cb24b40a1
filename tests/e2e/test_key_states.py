"""AWS's table of key states (developer guide, "Key states of AWS KMS keys"): every operation on a key in every state.

The table is written down here by hand, from AWS's page. Where it says that an operation works it must work, and
where it gives a number the error and its words must be those of the number.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

pytestmark = pytest.mark.e2e

STATES: Final = ("Enabled", "Disabled", "PendingImport", "PendingDeletion")
EVERYBODY: Final = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}}'

FOOTNOTES: Final = {
    1: ("DisabledException", "{arn} is disabled."),
    3: ("KMSInvalidStateException", "{arn} is pending deletion."),
    4: ("KMSInvalidStateException", "{arn} is not pending deletion."),
    5: ("KMSInvalidStateException", "{arn} is pending import."),
    6: ("UnsupportedOperationException", "{arn} origin is EXTERNAL which is not valid for this operation."),
    7: ("UnsupportedOperationException", "{arn} origin is EXTERNAL which is not valid for this operation."),
    8: ("KMSInvalidStateException", "{arn} is pending deletion."),
    9: ("UnsupportedOperationException", "{arn} origin is AWS_KMS which is not valid for this operation."),
}
OK: Final = 0

CRYPTO: Final = (OK, 1, 5, 3)
MANAGE: Final = (OK, OK, OK, 3)
ALWAYS: Final = (OK, OK, OK, OK)
TABLE: Final[dict[str, tuple[int, int, int, int]]] = {
    **dict.fromkeys(
        (
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "ReEncrypt",
            "CreateGrant",
            "RotateKeyOnDemand",
            "ReplicateKey",
        ),
        CRYPTO,
    ),
    "CancelKeyDeletion": (4, 4, 4, OK),
    **dict.fromkeys(
        ("ScheduleKeyDeletion", "TagResource", "UntagResource", "UpdateKeyDescription", "CreateAlias"), MANAGE
    ),
    **dict.fromkeys(("EnableKey", "DisableKey"), (OK, OK, 5, 3)),
    **dict.fromkeys(("EnableKeyRotation", "DisableKeyRotation"), (OK, 1, 6, 3)),
    **dict.fromkeys(("GetParametersForImport", "ImportKeyMaterial"), (9, 9, OK, 9)),
    "DeleteImportedKeyMaterial": (9, 9, OK, 9),
    "UpdateAlias": MANAGE,
    **dict.fromkeys(
        (
            "DescribeKey",
            "GetKeyPolicy",
            "PutKeyPolicy",
            "ListKeyPolicies",
            "ListAliases",
            "ListGrants",
            "ListResourceTags",
            "ListKeyRotations",
            "GetKeyRotationStatus",
            "GetKeyLastUsage",
            "DeleteAlias",
            "RevokeGrant",
            "RetireGrant",
        ),
        ALWAYS,
    ),
}
"""By operation, for the four states: it works, or the number of AWS's footnote. Of keys that AWS_KMS made the material
of, but for PendingImport, which only EXTERNAL keys can be in."""

EXTERNAL: Final[dict[str, tuple[int, int, int, int]]] = {
    **dict.fromkeys(("EnableKeyRotation", "DisableKeyRotation"), (7, 7, 6, 7)),
    **dict.fromkeys(("GetParametersForImport", "ImportKeyMaterial"), (OK, OK, OK, 8)),
    "DeleteImportedKeyMaterial": ALWAYS,
}
"""The same for keys with imported material, where it differs."""


class Key:
    """A key in a state, and what its operations need."""

    def __init__(self, kms: Any, state: str, *, external: bool) -> None:
        self.kms = kms
        metadata = kms.create_key(MultiRegion=True, **({"Origin": "EXTERNAL"} if external else {}))[
            "KeyMetadata"
        ]
        self.id, self.arn, self.account = metadata["KeyId"], metadata["Arn"], metadata["AWSAccountId"]
        self.material = os.urandom(32)
        self.alias = f"alias/{self.id}"
        kms.create_alias(AliasName=self.alias, TargetKeyId=self.id)
        self.offer: dict[str, Any] | None = None
        if external and state != "PendingImport":
            self.bring()
        self.grant: dict[str, Any] = {}
        if state != "PendingImport":
            self.grant = kms.create_grant(**self.granted)
        if external and state in ("PendingImport", "Enabled", "Disabled"):
            self.offer = self.parameters()
        if state == "Disabled":
            kms.disable_key(KeyId=self.id)
        if state == "PendingDeletion":
            kms.schedule_key_deletion(KeyId=self.id, PendingWindowInDays=7)
        assert kms.describe_key(KeyId=self.id)["KeyMetadata"]["KeyState"] == state

    @property
    def granted(self) -> dict[str, Any]:
        """What a grant is made with."""
        grantee = f"arn:aws:iam::{self.account}:user/admin"
        return {"KeyId": self.id, "GranteePrincipal": grantee, "Operations": ["DescribeKey"]}

    def parameters(self) -> dict[str, Any]:
        """What material is imported with."""
        found: dict[str, Any] = self.kms.get_parameters_for_import(
            KeyId=self.id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        return found

    def bring(self) -> Any:
        """Import the key's material."""
        offer = self.offer or self.parameters()
        public: Any = serialization.load_der_public_key(offer["PublicKey"])
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return self.kms.import_key_material(
            KeyId=self.id,
            ImportToken=offer["ImportToken"],
            EncryptedKeyMaterial=public.encrypt(self.material, oaep),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )


def sealed(kms: Any) -> bytes:
    """A ciphertext of another key."""
    return bytes(
        kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    )


def imported(key: Key) -> Any:
    """Import, or say what is said before anything of it is looked at."""
    if key.offer is not None:
        return key.bring()
    return key.kms.import_key_material(
        KeyId=key.id,
        ImportToken=b"x",
        EncryptedKeyMaterial=b"x",
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )


def ended(key: Key, method: str) -> Any:
    """End a grant; a key that waits for its material cannot have got one."""
    if not key.grant:
        return None
    members = {"KeyId": key.arn, "GrantId": key.grant["GrantId"]}
    return getattr(key.kms, method)(**members)


def moved(key: Key) -> Any:
    """Point another key's alias here."""
    kms = key.kms
    kms.create_alias(AliasName=f"alias/to-{key.id}", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    return kms.update_alias(AliasName=f"alias/to-{key.id}", TargetKeyId=key.id)


CALLS: Final[dict[str, Callable[[Key], Any]]] = {
    "Encrypt": lambda k: k.kms.encrypt(KeyId=k.id, Plaintext=b"x"),
    "GenerateDataKey": lambda k: k.kms.generate_data_key(KeyId=k.id, KeySpec="AES_256"),
    "GenerateDataKeyWithoutPlaintext": lambda k: k.kms.generate_data_key_without_plaintext(
        KeyId=k.id, KeySpec="AES_256"
    ),
    "GenerateDataKeyPair": lambda k: k.kms.generate_data_key_pair(KeyId=k.id, KeyPairSpec="ECC_NIST_P256"),
    "GenerateDataKeyPairWithoutPlaintext": lambda k: k.kms.generate_data_key_pair_without_plaintext(
        KeyId=k.id, KeyPairSpec="ECC_NIST_P256"
    ),
    "ReEncrypt": lambda k: k.kms.re_encrypt(CiphertextBlob=sealed(k.kms), DestinationKeyId=k.id),
    "CreateGrant": lambda k: k.kms.create_grant(**k.granted),
    "RotateKeyOnDemand": lambda k: k.kms.rotate_key_on_demand(KeyId=k.id),
    "ReplicateKey": lambda k: k.kms.replicate_key(KeyId=k.id, ReplicaRegion="eu-west-1"),
    "CancelKeyDeletion": lambda k: k.kms.cancel_key_deletion(KeyId=k.id),
    "ScheduleKeyDeletion": lambda k: k.kms.schedule_key_deletion(KeyId=k.id, PendingWindowInDays=7),
    "TagResource": lambda k: k.kms.tag_resource(KeyId=k.id, Tags=[{"TagKey": "a", "TagValue": "b"}]),
    "UntagResource": lambda k: k.kms.untag_resource(KeyId=k.id, TagKeys=["a"]),
    "UpdateKeyDescription": lambda k: k.kms.update_key_description(KeyId=k.id, Description="x"),
    "CreateAlias": lambda k: k.kms.create_alias(AliasName=f"{k.alias}/more", TargetKeyId=k.id),
    "EnableKey": lambda k: k.kms.enable_key(KeyId=k.id),
    "DisableKey": lambda k: k.kms.disable_key(KeyId=k.id),
    "EnableKeyRotation": lambda k: k.kms.enable_key_rotation(KeyId=k.id),
    "DisableKeyRotation": lambda k: k.kms.disable_key_rotation(KeyId=k.id),
    "GetParametersForImport": Key.parameters,
    "ImportKeyMaterial": imported,
    "DeleteImportedKeyMaterial": lambda k: k.kms.delete_imported_key_material(KeyId=k.id),
    "UpdateAlias": moved,
    "DescribeKey": lambda k: k.kms.describe_key(KeyId=k.id),
    "GetKeyPolicy": lambda k: k.kms.get_key_policy(KeyId=k.id),
    "PutKeyPolicy": lambda k: k.kms.put_key_policy(KeyId=k.id, Policy=EVERYBODY),
    "ListKeyPolicies": lambda k: k.kms.list_key_policies(KeyId=k.id),
    "ListAliases": lambda k: k.kms.list_aliases(KeyId=k.id),
    "ListGrants": lambda k: k.kms.list_grants(KeyId=k.id),
    "ListResourceTags": lambda k: k.kms.list_resource_tags(KeyId=k.id),
    "ListKeyRotations": lambda k: k.kms.list_key_rotations(KeyId=k.id),
    "GetKeyRotationStatus": lambda k: k.kms.get_key_rotation_status(KeyId=k.id),
    "GetKeyLastUsage": lambda k: k.kms.get_key_last_usage(KeyId=k.id),
    "DeleteAlias": lambda k: k.kms.delete_alias(AliasName=k.alias),
    "RevokeGrant": lambda k: ended(k, "revoke_grant"),
    "RetireGrant": lambda k: ended(k, "retire_grant"),
}


def test_every_operation_on_a_key_is_in_the_table() -> None:
    """The rows of the table and what does them are the same operations."""
    assert TABLE.keys() == CALLS.keys()


def expected(operation: str, state: str, *, external: bool) -> int:
    """What AWS's table says."""
    row = EXTERNAL.get(operation, TABLE[operation]) if external else TABLE[operation]
    return row[STATES.index(state)]


@pytest.mark.parametrize("external", [False, True], ids=["made here", "imported"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", sorted(CALLS))
def test_an_operation_does_in_a_state_what_awss_table_says(
    kms: Any, operation: str, state: str, external: bool
) -> None:
    """It works, or it is refused with the footnote's error and words; a refusal leaves the state as it was."""
    if state == "PendingImport" and not external:
        return  # there is no such key
    key = Key(kms, state, external=external)
    footnote = expected(operation, state, external=external)
    if operation == "RotateKeyOnDemand" and external and state == "Enabled":
        footnote = -1  # nothing is pending: item of its own in tests/service/actions/test_rotation.py
    if footnote == OK:
        CALLS[operation](key)
        return
    with pytest.raises(ClientError) as told:
        CALLS[operation](key)
    if footnote > 0:
        code, text = FOOTNOTES[footnote]
        error: Any = told.value.response["Error"]
        assert (error["Code"], error["Message"]) == (code, text.format(arn=key.arn))
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == state


@pytest.mark.parametrize("external", [False, True], ids=["made here", "imported"])
@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ("DisableKey", "Enabled", "Disabled"),
        ("EnableKey", "Disabled", "Enabled"),
        ("ScheduleKeyDeletion", "Enabled", "PendingDeletion"),
        ("ScheduleKeyDeletion", "Disabled", "PendingDeletion"),
        ("CancelKeyDeletion", "PendingDeletion", "Disabled"),
    ],
)
def test_an_operation_leads_to_the_state_that_awss_page_says(
    kms: Any, operation: str, before: str, after: str, external: bool
) -> None:
    """The arrows of AWS's diagram."""
    key = Key(kms, before, external=external)
    CALLS[operation](key)
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == after


def test_imported_material_comes_and_goes(kms: Any) -> None:
    """PendingImport to Enabled and back, as in AWS's diagram."""
    key = Key(kms, "PendingImport", external=True)
    key.bring()
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "Enabled"
    kms.delete_imported_key_material(KeyId=key.id)
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "PendingImport"
