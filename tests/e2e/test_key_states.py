"""AWS's table of key states (developer guide, "Key states of AWS KMS keys"): every operation on a key in every state.

The table is written down here by hand, from AWS's page. Where it says that an operation works it must work, and
where it gives a number the error and its words must be those of the number. Which operations there are is read in
AWS's model. Creating and Updating are states of keys with members on linked servers; their columns are those of
`keystead.core.key`, which follows the developer guide's pages of multi-Region keys.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from keystead import store
from keystead.config import Config
from keystead.core.key import State
from keystead.service import linking
from keystead.testing.xksproxy import Proxy

pytestmark = pytest.mark.e2e

AWS: Any = ServiceModel(Loader().load_service_model("kms", "service-2"))
EVERYBODY: Final = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}}'
REPLICA: Final = "eu-west-1"
LINKED: Final = "us-east-1"

STATES: Final = (
    "Enabled",
    "Disabled",
    "PendingImport",
    "PendingDeletion",
    "PendingReplicaDeletion",
    "Unavailable",
    "Creating",
    "Updating",
)
MADE_HERE_ONLY: Final = ("Unavailable", "Creating", "Updating")
"""States that a key with imported material cannot be in: it is in no key store and has no members elsewhere."""

FOOTNOTES: Final = {
    1: ("DisabledException", "{arn} is disabled."),
    3: ("KMSInvalidStateException", "{arn} is pending deletion."),
    4: ("KMSInvalidStateException", "{arn} is not pending deletion."),
    5: ("KMSInvalidStateException", "{arn} is pending import."),
    6: ("UnsupportedOperationException", "{arn} origin is EXTERNAL which is not valid for this operation."),
    7: ("UnsupportedOperationException", "{arn} origin is {origin} which is not valid for this operation."),
    8: ("KMSInvalidStateException", "{arn} is pending deletion."),
    9: ("UnsupportedOperationException", "{arn} origin is {origin} which is not valid for this operation."),
    11: (
        "KMSInvalidStateException",
        "{arn} is unavailable: its custom key store is not connected. Connect the key store and try again.",
    ),
    14: ("KMSInvalidStateException", "{arn} is creating."),
    15: ("KMSInvalidStateException", "{arn} is updating."),
}
"""AWS's numbers up to 11, whose words go on after AWS's; 14 and 15 are ours, for Creating and Updating."""
OK: Final = 0
NONE: Final = -1
"""There is no such key: N/A in AWS's table. Key stores hold symmetric keys of one Region."""

Row = tuple[int, int, int, int, int, int, int, int]
CRYPTO: Final[Row] = (OK, 1, 5, 3, 3, 11, 14, OK)
KINDS_CRYPTO: Final[Row] = (OK, 1, 5, 3, 3, NONE, 14, OK)
MANAGE: Final[Row] = (OK, OK, OK, 3, 3, OK, 14, 15)
ENABLING: Final[Row] = (OK, OK, 5, 3, 3, OK, 14, 15)
ROTATING: Final[Row] = (OK, 1, 6, 3, 3, 7, 14, 15)
MEMBERS: Final[Row] = (OK, 1, 5, 3, 3, NONE, 14, 15)
IMPORTS: Final[Row] = (9, 9, OK, 9, 9, 9, 9, 9)
ALWAYS: Final[Row] = (OK, OK, OK, OK, OK, OK, OK, OK)
ONCE_MADE: Final[Row] = (OK, OK, OK, OK, OK, OK, 14, OK)
TABLE: Final[dict[str, Row]] = {
    **dict.fromkeys(
        (
            "Encrypt",
            "Decrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "ReEncrypt",
            "ReEncrypt from it",
        ),
        CRYPTO,
    ),
    **dict.fromkeys(
        (
            "Sign",
            "Verify",
            "GenerateMac",
            "VerifyMac",
            "DeriveSharedSecret",
            "Encapsulate",
            "Decapsulate",
            "GetPublicKey",
        ),
        KINDS_CRYPTO,
    ),
    "CreateGrant": (OK, 1, 5, 3, 3, OK, 14, OK),
    "RotateKeyOnDemand": (OK, 1, 5, 3, 3, 7, 14, 15),
    **dict.fromkeys(("ReplicateKey", "UpdatePrimaryRegion"), MEMBERS),
    "CancelKeyDeletion": (4, 4, 4, OK, OK, 4, 4, 4),
    "ScheduleKeyDeletion": (OK, OK, OK, 3, 3, OK, OK, 15),
    **dict.fromkeys(
        ("TagResource", "UntagResource", "UpdateKeyDescription", "CreateAlias", "UpdateAlias"), MANAGE
    ),
    **dict.fromkeys(("EnableKey", "DisableKey"), ENABLING),
    **dict.fromkeys(("EnableKeyRotation", "DisableKeyRotation"), ROTATING),
    **dict.fromkeys(("GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"), IMPORTS),
    **dict.fromkeys(("PutKeyPolicy", "RevokeGrant"), ONCE_MADE),
    "RetireGrant": (OK, OK, OK, OK, OK, OK, NONE, OK),  # a key that is being made has no grant yet
    "ListKeyRotations": (OK, OK, OK, OK, OK, 7, OK, OK),
    **dict.fromkeys(
        (
            "DescribeKey",
            "GetKeyPolicy",
            "ListKeyPolicies",
            "ListAliases",
            "ListGrants",
            "ListResourceTags",
            "GetKeyRotationStatus",  # older editions of AWS's page refuse it to keys that cannot rotate; here: no
            "GetKeyLastUsage",
            "DeleteAlias",
        ),
        ALWAYS,
    ),
}
"""By operation, for the states: it works, or the number of AWS's footnote. Of keys that AWS_KMS made the material of,
but for PendingImport, which only EXTERNAL keys can be in, and Unavailable, which is for keys in a key store."""

EXTERNAL: Final[dict[str, Row]] = {
    **dict.fromkeys(("EnableKeyRotation", "DisableKeyRotation"), (7, 7, 6, 7, 7, NONE, NONE, NONE)),
    **dict.fromkeys(("GetParametersForImport", "ImportKeyMaterial"), (OK, OK, OK, 8, 8, NONE, NONE, NONE)),
    "DeleteImportedKeyMaterial": ALWAYS,
}
"""The same for keys with imported material, where it differs."""

WITHOUT_A_KEY: Final[dict[str, str]] = {
    "CreateKey": "makes one, in its first state",
    "ListKeys": "names all keys, whatever their states: DescribeKey tells",
    "ListRetirableGrants": "asks by principal, of all keys",
    "GenerateRandom": "uses none",
    **dict.fromkeys(
        (
            "CreateCustomKeyStore",
            "ConnectCustomKeyStore",
            "DisconnectCustomKeyStore",
            "UpdateCustomKeyStore",
            "DeleteCustomKeyStore",
            "DescribeCustomKeyStores",
        ),
        "is about a key store, whose connection makes keys Unavailable or not",
    ),
}
"""The operations of AWS's model that have no row, and why: AWS's page leaves them out as well."""
NAMES_A_KEY: Final = {"KeyId", "TargetKeyId", "DestinationKeyId", "AliasName"}
"""The members that say which key is meant."""

SYMMETRIC: Final = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNING: Final = ("ECC_NIST_P256", "SIGN_VERIFY")
MAC: Final = ("HMAC_256", "GENERATE_VERIFY_MAC")
AGREEMENT: Final = ("ECC_NIST_P256", "KEY_AGREEMENT")
KEM: Final = ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
KINDS: Final = {
    **dict.fromkeys(("Sign", "Verify", "GetPublicKey"), SIGNING),
    **dict.fromkeys(("GenerateMac", "VerifyMac"), MAC),
    "DeriveSharedSecret": AGREEMENT,
    **dict.fromkeys(("Encapsulate", "Decapsulate"), KEM),
}
"""What kind of key an operation is for, other than a symmetric one."""

EVIDENCE: Final[dict[str, Callable[["Key"], bytes]]] = {
    "Decrypt": lambda k: bytes(k.kms.encrypt(KeyId=k.id, Plaintext=b"x")["CiphertextBlob"]),
    "ReEncrypt from it": lambda k: bytes(k.kms.encrypt(KeyId=k.id, Plaintext=b"x")["CiphertextBlob"]),
    "Verify": lambda k: bytes(
        k.kms.sign(KeyId=k.id, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    ),
    "VerifyMac": lambda k: bytes(
        k.kms.generate_mac(KeyId=k.id, Message=b"x", MacAlgorithm="HMAC_SHA_256")["Mac"]
    ),
    "Decapsulate": lambda k: bytes(
        k.kms.encapsulate(KeyId=k.id, EncapsulationAlgorithm="ML_KEM")["SharedSecretCiphertextBlob"]
    ),
}
"""What the key must have made while it still worked, so that an operation can be asked for later."""


class House:
    """A service with a proxy to keep external keys behind, and what holds keys in states that pass by."""

    def __init__(self, service: Any, proxy: Proxy) -> None:
        self.service = service
        self.proxy = proxy
        self.kms = service.client()
        self.key_store = str(
            self.kms.create_custom_key_store(
                CustomKeyStoreName="ours",
                CustomKeyStoreType="EXTERNAL_KEY_STORE",
                XksProxyUriEndpoint=proxy.endpoint,
                XksProxyUriPath=proxy.path,
                XksProxyConnectivity="PUBLIC_ENDPOINT",
                XksProxyAuthenticationCredential={
                    "AccessKeyId": proxy.access_key_id,
                    "RawSecretAccessKey": proxy.secret,
                },
            )["CustomKeyStoreId"]
        )

    def connect(self, *, connected: bool) -> None:
        """Connect the key store, or disconnect it."""
        (found,) = self.kms.describe_custom_key_stores(CustomKeyStoreId=self.key_store)["CustomKeyStores"]
        if (found["ConnectionState"] == "CONNECTED") is not connected:
            change = self.kms.connect_custom_key_store if connected else self.kms.disconnect_custom_key_store
            change(CustomKeyStoreId=self.key_store)

    def hold(self, key: str, state: State) -> None:
        """Leave a key as a linked server that does not answer any more leaves it: half made, or on its way there."""
        region = self.service.settings["AWS_REGION"]
        with closing(store.connect(Config(data=self.service.data).store)) as opened:
            with opened.view() as view:
                found = view.key(region, key)
            assert found is not None
            with opened.transact(f"hold {key}") as tx:
                if state is State.CREATING:
                    tx.put_key(replace(found, state=state, current_version=0, members=(LINKED, region)))
                else:
                    tx.put_key(replace(found, state=state, members=(region, LINKED)))
                    linking.aim(tx, found, LINKED)


@pytest.fixture(scope="module")
def house(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all rows."""
    with Proxy(tmp_path_factory.mktemp("proxy")) as proxy:
        yield House(serving(f'[xks]\nca = "{proxy.authority}"\nport = {proxy.port}\n'), proxy)


class Key:
    """A key in a state, and what its operations need."""

    kms: Any
    id: str

    def __init__(self, house: House, state: str, operation: str, *, external: bool) -> None:
        self.house, self.kms = house, house.kms
        self.spec, usage = KINDS.get(operation, SYMMETRIC)
        options: dict[str, Any] = {"MultiRegion": True}
        if external:
            options["Origin"] = "EXTERNAL"
        if state == "Unavailable":
            house.connect(connected=True)
            outer = os.urandom(8).hex()
            house.proxy.keys[outer] = os.urandom(32)
            options = {
                "Origin": "EXTERNAL_KEY_STORE",
                "CustomKeyStoreId": house.key_store,
                "XksKeyId": outer,
            }
        metadata = self.kms.create_key(KeySpec=self.spec, KeyUsage=usage, **options)["KeyMetadata"]
        self.id, self.arn, self.account = metadata["KeyId"], metadata["Arn"], metadata["AWSAccountId"]
        self.origin = metadata["Origin"]
        self.material = self._material()
        self.alias = f"alias/{self.id}"
        self.kms.create_alias(AliasName=self.alias, TargetKeyId=self.id)
        self.offer: dict[str, Any] | None = None
        self.grant: dict[str, Any] = {}
        self.evidence = b""
        if external and (state != "PendingImport" or operation in EVIDENCE):
            self.bring()
        if state != "PendingImport":
            self.grant = self.kms.create_grant(**self.granted)
        if operation in EVIDENCE:
            self.evidence = EVIDENCE[operation](self)
        if external and state in ("PendingImport", "Enabled", "Disabled"):
            self.offer = self.parameters()
        if state == "PendingReplicaDeletion" or (operation == "UpdatePrimaryRegion" and state == "Enabled"):
            self.replicate(external=external)
        self._become(state)
        assert self.kms.describe_key(KeyId=self.id)["KeyMetadata"]["KeyState"] == state

    def _become(self, state: str) -> None:
        """Bring it to the state."""
        if state == "Disabled":
            self.kms.disable_key(KeyId=self.id)
        elif state in ("PendingDeletion", "PendingReplicaDeletion"):
            self.kms.schedule_key_deletion(KeyId=self.id, PendingWindowInDays=7)
        elif state == "PendingImport" and self.evidence:
            self.kms.delete_imported_key_material(KeyId=self.id)
        elif state == "Unavailable":
            self.house.connect(connected=False)
        elif state in ("Creating", "Updating"):
            self.house.hold(self.id, State(state))

    def _material(self) -> bytes:
        """Material to import, of the key's kind."""
        if self.spec.startswith("ECC"):
            return ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        return os.urandom(32)

    def replicate(self, *, external: bool) -> None:
        """Give it a replica that has its material."""
        self.kms.replicate_key(KeyId=self.id, ReplicaRegion=REPLICA)
        if external:
            self.bring(self.house.service.client(region_name=REPLICA))

    @property
    def granted(self) -> dict[str, Any]:
        """What a grant is made with."""
        grantee = f"arn:aws:iam::{self.account}:user/admin"
        return {"KeyId": self.id, "GranteePrincipal": grantee, "Operations": ["DescribeKey"]}

    def parameters(self, kms: Any = None) -> dict[str, Any]:
        """What material is imported with."""
        found: dict[str, Any] = (kms or self.kms).get_parameters_for_import(
            KeyId=self.id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        return found

    def bring(self, kms: Any = None) -> Any:
        """Import the key's material, or its replica's with a client there."""
        offer = self.parameters(kms) if kms else self.offer or self.parameters()
        public: Any = serialization.load_der_public_key(offer["PublicKey"])
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return (kms or self.kms).import_key_material(
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


def agreed(key: Key) -> Any:
    """Agree with somebody on a secret."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.kms.derive_shared_secret(
        KeyId=key.id,
        KeyAgreementAlgorithm="ECDH",
        PublicKey=public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
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
    "Decrypt": lambda k: k.kms.decrypt(CiphertextBlob=k.evidence),
    "GenerateDataKey": lambda k: k.kms.generate_data_key(KeyId=k.id, KeySpec="AES_256"),
    "GenerateDataKeyWithoutPlaintext": lambda k: k.kms.generate_data_key_without_plaintext(
        KeyId=k.id, KeySpec="AES_256"
    ),
    "GenerateDataKeyPair": lambda k: k.kms.generate_data_key_pair(KeyId=k.id, KeyPairSpec="ECC_NIST_P256"),
    "GenerateDataKeyPairWithoutPlaintext": lambda k: k.kms.generate_data_key_pair_without_plaintext(
        KeyId=k.id, KeyPairSpec="ECC_NIST_P256"
    ),
    "ReEncrypt": lambda k: k.kms.re_encrypt(CiphertextBlob=sealed(k.kms), DestinationKeyId=k.id),
    "ReEncrypt from it": lambda k: k.kms.re_encrypt(
        CiphertextBlob=k.evidence, DestinationKeyId=k.kms.create_key()["KeyMetadata"]["KeyId"]
    ),
    "Sign": lambda k: k.kms.sign(KeyId=k.id, Message=b"x", SigningAlgorithm="ECDSA_SHA_256"),
    "Verify": lambda k: k.kms.verify(
        KeyId=k.id, Message=b"x", Signature=k.evidence, SigningAlgorithm="ECDSA_SHA_256"
    ),
    "GenerateMac": lambda k: k.kms.generate_mac(KeyId=k.id, Message=b"x", MacAlgorithm="HMAC_SHA_256"),
    "VerifyMac": lambda k: k.kms.verify_mac(
        KeyId=k.id, Message=b"x", Mac=k.evidence, MacAlgorithm="HMAC_SHA_256"
    ),
    "DeriveSharedSecret": agreed,
    "Encapsulate": lambda k: k.kms.encapsulate(KeyId=k.id, EncapsulationAlgorithm="ML_KEM"),
    "Decapsulate": lambda k: k.kms.decapsulate(
        KeyId=k.id, EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=k.evidence
    ),
    "GetPublicKey": lambda k: k.kms.get_public_key(KeyId=k.id),
    "CreateGrant": lambda k: k.kms.create_grant(**k.granted),
    "RotateKeyOnDemand": lambda k: k.kms.rotate_key_on_demand(KeyId=k.id),
    "ReplicateKey": lambda k: k.kms.replicate_key(KeyId=k.id, ReplicaRegion="us-west-2"),
    "UpdatePrimaryRegion": lambda k: k.kms.update_primary_region(KeyId=k.id, PrimaryRegion=REPLICA),
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


def test_every_operation_of_the_model_has_its_row_or_its_reason() -> None:
    """A new one fails here until somebody looks into AWS's table; what has no row names no key."""
    rows = {row.partition(" ")[0] for row in TABLE}
    assert rows | WITHOUT_A_KEY.keys() == set(AWS.operation_names)
    assert rows.isdisjoint(WITHOUT_A_KEY)
    assert TABLE.keys() == CALLS.keys()
    for operation in AWS.operation_names:
        shape = AWS.operation_model(operation).input_shape
        assert NAMES_A_KEY.isdisjoint(shape.members if shape else ()) is (operation in WITHOUT_A_KEY)


def test_every_state_of_the_model_has_its_column() -> None:
    """A new one fails here."""
    assert set(AWS.shape_for("KeyState").enum) == set(STATES)


def expected(operation: str, state: str, *, external: bool) -> int:
    """What AWS's table says."""
    row = EXTERNAL.get(operation, TABLE[operation]) if external else TABLE[operation]
    return row[STATES.index(state)]


def cases() -> Iterator[Any]:
    """Every row in every state that there are keys in."""
    for operation in sorted(CALLS):
        for state in STATES:
            for external in (False, True):
                if state == "PendingImport" and not external:
                    continue
                if external and (state in MADE_HERE_ONLY or KINDS.get(operation) == KEM):
                    continue  # nor is material imported for ML-KEM
                if expected(operation, state, external=external) != NONE:
                    name = f"{operation}, {state}, {'imported' if external else 'made here'}"
                    yield pytest.param(operation, state, external, id=name)


@pytest.mark.parametrize(("operation", "state", "external"), list(cases()))
def test_an_operation_does_in_a_state_what_awss_table_says(
    house: House, operation: str, state: str, external: bool
) -> None:
    """It works, or it is refused with the footnote's error and words; a refusal leaves the state as it was."""
    key = Key(house, state, operation, external=external)
    footnote = expected(operation, state, external=external)
    if operation == "RotateKeyOnDemand" and external and state == "Enabled":
        # Nothing is pending, which is another refusal: tests/service/actions/test_rotation.py has the success.
        with pytest.raises(ClientError, match="No available key material pending rotation"):
            CALLS[operation](key)
        return
    if footnote == OK:
        CALLS[operation](key)
        return
    with pytest.raises(ClientError) as told:
        CALLS[operation](key)
    code, text = FOOTNOTES[footnote]
    error: Any = told.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, text.format(arn=key.arn, origin=key.origin))
    assert house.kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == state


@pytest.mark.parametrize("external", [False, True], ids=["made here", "imported"])
@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ("DisableKey", "Enabled", "Disabled"),
        ("EnableKey", "Disabled", "Enabled"),
        ("ScheduleKeyDeletion", "Enabled", "PendingDeletion"),
        ("ScheduleKeyDeletion", "Disabled", "PendingDeletion"),
        ("CancelKeyDeletion", "PendingDeletion", "Disabled"),
        ("CancelKeyDeletion", "PendingReplicaDeletion", "Disabled"),
    ],
)
def test_an_operation_leads_to_the_state_that_awss_page_says(
    house: House, operation: str, before: str, after: str, external: bool
) -> None:
    """The arrows of AWS's diagram."""
    key = Key(house, before, operation, external=external)
    CALLS[operation](key)
    assert house.kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == after


def test_imported_material_comes_and_goes(house: House) -> None:
    """PendingImport to Enabled and back, as in AWS's diagram."""
    key, kms = Key(house, "PendingImport", "ImportKeyMaterial", external=True), house.kms
    key.bring()
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "Enabled"
    kms.delete_imported_key_material(KeyId=key.id)
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "PendingImport"
