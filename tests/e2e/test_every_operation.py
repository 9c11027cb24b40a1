"""AWS's whole model, operation by operation: each one works, and fails with each error that AWS documents for it.

`SUCCESSES` and `FAILURES` have a row for each operation and each documented error; `NEVER` says why an error cannot be
had. A new botocore with another operation or another error makes a test fail that names it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keystead.testing.xksproxy import Proxy

pytestmark = pytest.mark.e2e

AWS: Any = ServiceModel(Loader().load_service_model("kms", "service-2"))
UNKNOWN = "00000000-0000-4000-8000-000000000000"
EVERYBODY = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}}'
LOCKED = (
    '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "kms:*",'
    ' "Resource": "*"}}'
)
SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
RSA = ("RSA_2048", "ENCRYPT_DECRYPT")
SIGNING = ("ECC_NIST_P256", "SIGN_VERIFY")
MAC = ("HMAC_256", "GENERATE_VERIFY_MAC")
AGREEMENT = ("ECC_NIST_P256", "KEY_AGREEMENT")
KEM = ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
PSS = "ECDSA_SHA_256"


class World:
    """Keys of every kind and state, made once each, key stores, and the client that asks about them."""

    def __init__(self, service: Any, proxy: Proxy) -> None:
        self.service = service
        self.proxy = proxy
        self.kms = service.client()
        self._kept: dict[object, Any] = {}

    def once(self, name: object, make: Callable[[], Any]) -> Any:
        """A thing that is made when it is first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def new(self, kind: tuple[str, str] = SYMMETRIC, **options: Any) -> str:
        """A new key's id."""
        made = self.kms.create_key(KeySpec=kind[0], KeyUsage=kind[1], **options)
        return str(made["KeyMetadata"]["KeyId"])

    def key(self, kind: tuple[str, str] = SYMMETRIC) -> str:
        """A key of that spec and usage that works."""
        return str(self.once(kind, lambda: self.new(kind)))

    def disabled(self, kind: tuple[str, str] = SYMMETRIC) -> str:
        """One that is disabled."""

        def make() -> str:
            key = self.new(kind)
            self.kms.disable_key(KeyId=key)
            return key

        return str(self.once(("disabled", kind), make))

    def dying(self, kind: tuple[str, str] = SYMMETRIC, **options: Any) -> str:
        """One that is pending deletion."""

        def make() -> str:
            key = self.new(kind, **options)
            self.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
            return key

        return str(self.once(("dying", kind, *options), make))

    @property
    def external(self) -> str:
        """One that waits for its owner's material."""
        return str(self.once("external", lambda: self.new(Origin="EXTERNAL")))

    @property
    def primary(self) -> str:
        """A multi-Region primary with a replica in eu-west-1."""

        def make() -> str:
            key = self.new(MultiRegion=True)
            self.kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
            return key

        return str(self.once("primary", make))

    @property
    def arn(self) -> str:
        """A principal's ARN."""
        account = self.kms.describe_key(KeyId=self.key())["KeyMetadata"]["AWSAccountId"]
        return f"arn:aws:iam::{account}:user/admin"

    def blob(self, **context: str) -> bytes:
        """A ciphertext of the symmetric key."""
        sealed = self.kms.encrypt(KeyId=self.key(), Plaintext=b"secret", EncryptionContext=context)
        return bytes(sealed["CiphertextBlob"])

    def signature(self) -> bytes:
        """A signature of b"message"."""
        signed = self.kms.sign(KeyId=self.key(SIGNING), Message=b"message", SigningAlgorithm=PSS)
        return bytes(signed["Signature"])

    def mac(self) -> bytes:
        """A code of b"message"."""
        made = self.kms.generate_mac(KeyId=self.key(MAC), Message=b"message", MacAlgorithm="HMAC_SHA_256")
        return bytes(made["Mac"])

    def public(self) -> bytes:
        """Somebody's public key, to agree with."""
        return bytes(self.kms.get_public_key(KeyId=self.key(AGREEMENT))["PublicKey"])

    def encapsulated(self) -> bytes:
        """A secret on its way."""
        made = self.kms.encapsulate(KeyId=self.key(KEM), EncapsulationAlgorithm="ML_KEM")
        return bytes(made["SharedSecretCiphertextBlob"])

    def grant(self, key: str | None = None, **options: Any) -> dict[str, Any]:
        """A new grant: its id and token."""
        made: dict[str, Any] = self.kms.create_grant(
            KeyId=key or self.key(), GranteePrincipal=self.arn, Operations=["Decrypt"], **options
        )
        return made

    def parameters(self, key: str) -> dict[str, Any]:
        """What material is imported with."""
        found: dict[str, Any] = self.kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        return found

    def wrapped(self, parameters: Mapping[str, Any], material: bytes) -> bytes:
        """Material, wrapped to be imported."""
        key = serialization.load_der_public_key(parameters["PublicKey"])
        assert isinstance(key, rsa.RSAPublicKey)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return key.encrypt(material, oaep)

    def bring(self, key: str, material: bytes, **options: Any) -> Any:
        """Import material."""
        parameters = self.parameters(key)
        return self.kms.import_key_material(
            KeyId=key,
            ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=self.wrapped(parameters, material),
            **{"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **options},
        )

    def imported(self) -> str:
        """A new key with material of its owner's."""
        key = self.new(Origin="EXTERNAL")
        self.bring(key, os.urandom(32))
        return key

    def described(self, name: str, **other: Any) -> dict[str, Any]:
        """What registers the proxy as a key store of that name, at an address of its own."""
        path = f"/{name}/kms/xks/v1"
        return {
            "CustomKeyStoreName": name,
            "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
            "XksProxyUriEndpoint": self.proxy.endpoint,
            "XksProxyUriPath": path,
            "XksProxyConnectivity": "PUBLIC_ENDPOINT",
            "XksProxyAuthenticationCredential": self.credential(self.proxy.secret),
            **other,
        }

    def credential(self, secret: str) -> dict[str, str]:
        """What the proxy knows its caller by, with that secret."""
        return {"AccessKeyId": self.proxy.access_key_id, "RawSecretAccessKey": secret}

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """The proxy serves the address of the key store of that name."""
        before, self.proxy.prefix = self.proxy.prefix, f"/{name}"
        try:
            yield
        finally:
            self.proxy.prefix = before

    def make_store(self, name: str, **other: Any) -> Any:
        """Register a key store."""
        with self.at(name):
            return self.kms.create_custom_key_store(**self.described(name, **other))

    def store(self, name: str) -> str:
        """A key store that is not connected, made once."""
        return str(self.once(("store", name), lambda: self.make_store(name)["CustomKeyStoreId"]))

    def connect(self, name: str) -> Any:
        """Connect a key store."""
        with self.at(name):
            return self.kms.connect_custom_key_store(CustomKeyStoreId=self.store(name))

    def connected(self) -> str:
        """A key store that is connected and has a key, made once."""

        def make() -> str:
            self.connect("connected")
            self.outer_key("connected", "orders")
            return self.store("connected")

        return str(self.once("connected", make))

    def outer_key(self, store: str, outer: str) -> Any:
        """A key behind the proxy."""
        with self.at(store):
            return self.kms.create_key(
                Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=self.store(store), XksKeyId=outer
            )

    def update(self, **members: Any) -> Any:
        """Change a key store that is not connected."""
        with self.at("changed"):
            return self.kms.update_custom_key_store(CustomKeyStoreId=self.store("changed"), **members)


Call = Callable[[World], Any]
"""Does it, or provokes it."""


@pytest.fixture(scope="module")
def world(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all rows."""
    with Proxy(tmp_path_factory.mktemp("proxy"), keys=["orders", "disabled"]) as proxy:
        proxy.disabled.add("disabled")
        quota = f"[limits]\ncustom_key_stores = {MOST_STORES}\n"
        yield World(serving(f'[xks]\nca = "{proxy.authority}"\nport = {proxy.port}\n{quota}'), proxy)


# --- the operations that use a key -----------------------------------------------------------------------

USES: Final[dict[str, tuple[tuple[str, str], dict[str, Any]]]] = {
    "Encrypt": (SYMMETRIC, {"Plaintext": b"secret"}),
    "Decrypt": (SYMMETRIC, {"CiphertextBlob": World.blob}),
    "ReEncrypt": (SYMMETRIC, {"CiphertextBlob": World.blob}),
    "GenerateDataKey": (SYMMETRIC, {"KeySpec": "AES_256"}),
    "GenerateDataKeyWithoutPlaintext": (SYMMETRIC, {"NumberOfBytes": 32}),
    "GenerateDataKeyPair": (SYMMETRIC, {"KeyPairSpec": "ECC_NIST_P256"}),
    "GenerateDataKeyPairWithoutPlaintext": (SYMMETRIC, {"KeyPairSpec": "ECC_NIST_P256"}),
    "Sign": (SIGNING, {"Message": b"message", "SigningAlgorithm": PSS}),
    "Verify": (SIGNING, {"Message": b"message", "Signature": World.signature, "SigningAlgorithm": PSS}),
    "GenerateMac": (MAC, {"Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}),
    "VerifyMac": (MAC, {"Message": b"message", "Mac": World.mac, "MacAlgorithm": "HMAC_SHA_256"}),
    "DeriveSharedSecret": (AGREEMENT, {"KeyAgreementAlgorithm": "ECDH", "PublicKey": World.public}),
    "Encapsulate": (KEM, {"EncapsulationAlgorithm": "ML_KEM"}),
    "Decapsulate": (
        KEM,
        {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": World.encapsulated},
    ),
    "GetPublicKey": (SIGNING, {}),
}


def ask(world: World, operation: str, **options: Any) -> Any:
    """An operation of `USES` with its usual members and these."""
    _, members = USES[operation]
    given = {name: value(world) if callable(value) else value for name, value in members.items()}
    if operation == "ReEncrypt" and "KeyId" in options:
        options["DestinationKeyId"] = options.pop("KeyId")
    return method(world, operation)(**{**given, **options})


def method(world: World, operation: str) -> Any:
    """A client's method, by the operation's name in the model."""
    names = {name: ours for ours, name in world.kms.meta.method_to_api_mapping.items()}
    return getattr(world.kms, names[operation])


def use(operation: str, **options: Any) -> Call:
    """An operation with the key it is for."""
    return lambda world: ask(world, operation, **{"KeyId": world.key(USES[operation][0]), **options})


def failures_of(operation: str) -> dict[str, Call]:
    """The failures that all operations with a key have."""
    kind, _ = USES[operation]
    other = MAC if kind != MAC else SYMMETRIC
    found: dict[str, Call] = {
        "NotFound": use(operation, KeyId=UNKNOWN),
        "Disabled": lambda world: ask(world, operation, KeyId=world.disabled(kind)),
        "KMSInvalidState": lambda world: ask(world, operation, KeyId=world.dying(kind)),
        "InvalidKeyUsage": lambda world: ask(world, operation, KeyId=world.key(other)),
        "InvalidGrantToken": use(operation, GrantTokens=["rubbish"]),
        "DryRunOperation": use(operation, DryRun=True),
    }
    if operation == "Decrypt":  # the ciphertext is the key's that is named
        for error, key in (("Disabled", World.disabled), ("KMSInvalidState", World.dying)):
            found[error] = lambda world, key=key: ask(  # type: ignore[misc]  # bound now
                world, "Decrypt", CiphertextBlob=sealed_and_then(world, key is World.dying)
            )
        found["InvalidKeyUsage"] = lambda world: ask(
            world, "Decrypt", KeyId=world.key(SIGNING), EncryptionAlgorithm="RSAES_OAEP_SHA_256"
        )
    if operation == "GetPublicKey":
        del found["InvalidKeyUsage"], found["DryRunOperation"]
    return found


def sealed_and_then(world: World, dying: bool) -> bytes:
    """A ciphertext of a key that is no longer usable."""

    def make() -> bytes:
        key = world.new()
        blob = bytes(world.kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"])
        if dying:
            world.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        else:
            world.kms.disable_key(KeyId=key)
        return blob

    return bytes(world.once(("sealed", dying), make))


def in_turn(*calls: Call) -> Call:
    """One after another; the last one is meant."""

    def run(world: World) -> Any:
        *before, last = calls
        for call in before:
            call(world)
        return last(world)

    return run


def with_key(operation: str, **members: Any) -> Call:
    """A management operation on a key of its own."""
    return lambda world: method(world, operation)(KeyId=world.new(), **members)


def on(key: Callable[[World], str], operation: str, **members: Any) -> Call:
    """A management operation on that key."""
    return lambda world: method(world, operation)(KeyId=key(world), **members)


def unknown(operation: str, **members: Any) -> Call:
    """A management operation on a key that does not exist."""
    return lambda world: method(world, operation)(KeyId=UNKNOWN, **members)


def plain(operation: str, **members: Any) -> Call:
    """An operation without a key."""
    return lambda world: method(world, operation)(**members)


def alias(world: World, name: str, key: str | None = None) -> Any:
    """A new alias."""
    return world.kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key or world.key())


def rotated_out(world: World) -> Any:
    """A key that has used up its rotations on demand."""
    key = world.new()
    for _ in range(26):
        world.kms.rotate_key_on_demand(KeyId=key)


def too_many_aliases(world: World, last: Callable[[World, str], Any]) -> Any:
    """One alias more than a key may have."""

    def make() -> str:
        key = world.new()
        for number in range(50):
            alias(world, f"many/{number}", key)
        return key

    return last(world, str(world.once("aliases", make)))


def third_material(world: World) -> Any:
    """A material while another one is pending already."""
    key = world.imported()
    for _ in range(2):
        world.bring(key, os.urandom(32), ImportType="NEW_KEY_MATERIAL")


def used_token(world: World) -> Any:
    """A token that was used already."""
    key = world.new(Origin="EXTERNAL")
    parameters = world.parameters(key)
    material = os.urandom(32)
    for _ in range(2):
        world.kms.import_key_material(
            KeyId=key,
            ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=world.wrapped(parameters, material),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )


def not_wrapped(world: World) -> Any:
    """Material that was not wrapped for the key it is said to be wrapped for."""
    key = world.new(Origin="EXTERNAL")
    return world.kms.import_key_material(
        KeyId=key,
        ImportToken=world.parameters(key)["ImportToken"],
        EncryptedKeyMaterial=bytes(256),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )


def import_into(key: Callable[[World], str]) -> Call:
    """An import with a token that nobody will look at."""
    return on(
        key,
        "ImportKeyMaterial",
        ImportToken=b"x",
        EncryptedKeyMaterial=b"x",
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )


def dying_external(world: World) -> str:
    """A key of another origin that is pending deletion."""
    return world.dying(SYMMETRIC, Origin="EXTERNAL")


def rescued(world: World) -> Any:
    """Keep a key that was to be deleted."""
    key = world.new()
    world.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    return world.kms.cancel_key_deletion(KeyId=key)


def move_primary(world: World) -> Any:
    """Make a replica the primary."""
    key = world.new(MultiRegion=True)
    world.kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    return world.kms.update_primary_region(KeyId=key, PrimaryRegion="eu-west-1")


OFFER: Final = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
MOST_STORES: Final = 30  # the quota, of which some are there already
NO_STORE: Final = "cks-0123456789abcdef0"
TAGS: Final = [{"TagKey": "a", "TagValue": "b"}]

SUCCESSES: Final[dict[str, Call]] = {
    **{operation: use(operation) for operation in USES},
    "GenerateRandom": plain("GenerateRandom", NumberOfBytes=1024),
    "CreateKey": plain("CreateKey", Tags=TAGS, Description="x", Policy=EVERYBODY),
    "DescribeKey": with_key("DescribeKey"),
    "ListKeys": plain("ListKeys", Limit=1),
    "EnableKey": with_key("EnableKey"),
    "DisableKey": with_key("DisableKey"),
    "ScheduleKeyDeletion": with_key("ScheduleKeyDeletion", PendingWindowInDays=7),
    "CancelKeyDeletion": rescued,
    "UpdateKeyDescription": with_key("UpdateKeyDescription", Description="other"),
    "EnableKeyRotation": with_key("EnableKeyRotation", RotationPeriodInDays=90),
    "DisableKeyRotation": with_key("DisableKeyRotation"),
    "GetKeyRotationStatus": with_key("GetKeyRotationStatus"),
    "RotateKeyOnDemand": with_key("RotateKeyOnDemand"),
    "ListKeyRotations": with_key("ListKeyRotations", IncludeKeyMaterial="ALL_KEY_MATERIAL"),
    "CreateAlias": lambda w: alias(w, "created"),
    "UpdateAlias": in_turn(
        lambda w: alias(w, "moved"),
        lambda w: w.kms.update_alias(AliasName="alias/moved", TargetKeyId=w.new()),
    ),
    "DeleteAlias": in_turn(lambda w: alias(w, "gone"), plain("DeleteAlias", AliasName="alias/gone")),
    "ListAliases": plain("ListAliases"),
    "TagResource": with_key("TagResource", Tags=TAGS),
    "UntagResource": with_key("UntagResource", TagKeys=["a"]),
    "ListResourceTags": with_key("ListResourceTags"),
    "GetKeyPolicy": with_key("GetKeyPolicy"),
    "PutKeyPolicy": with_key("PutKeyPolicy", Policy=EVERYBODY),
    "ListKeyPolicies": with_key("ListKeyPolicies"),
    "GetKeyLastUsage": on(World.key, "GetKeyLastUsage"),
    "CreateGrant": lambda w: w.grant(),
    "ListGrants": on(World.key, "ListGrants"),
    "ListRetirableGrants": lambda w: w.kms.list_retirable_grants(RetiringPrincipal=w.arn),
    "RevokeGrant": lambda w: w.kms.revoke_grant(KeyId=w.key(), GrantId=w.grant()["GrantId"]),
    "RetireGrant": lambda w: w.kms.retire_grant(GrantToken=w.grant()["GrantToken"]),
    "GetParametersForImport": on(lambda w: w.external, "GetParametersForImport", **OFFER),
    "ImportKeyMaterial": lambda w: w.bring(w.new(Origin="EXTERNAL"), os.urandom(32)),
    "DeleteImportedKeyMaterial": lambda w: w.kms.delete_imported_key_material(KeyId=w.imported()),
    "ReplicateKey": lambda w: w.kms.replicate_key(KeyId=w.new(MultiRegion=True), ReplicaRegion="eu-west-1"),
    "UpdatePrimaryRegion": move_primary,
    "CreateCustomKeyStore": lambda w: w.make_store("created"),
    "ConnectCustomKeyStore": lambda w: w.connect("connects"),
    "DisconnectCustomKeyStore": in_turn(
        lambda w: w.connect("disconnects"),
        lambda w: w.kms.disconnect_custom_key_store(CustomKeyStoreId=w.store("disconnects")),
    ),
    "UpdateCustomKeyStore": lambda w: w.kms.update_custom_key_store(
        CustomKeyStoreId=w.store("updated"), NewCustomKeyStoreName="renamed"
    ),
    "DeleteCustomKeyStore": lambda w: w.kms.delete_custom_key_store(CustomKeyStoreId=w.store("deleted")),
    "DescribeCustomKeyStores": plain("DescribeCustomKeyStores"),
}


def spoilt(call: Call) -> Call:
    """Something while the proxy talks nonsense."""

    def run(world: World) -> Any:
        world.proxy.says = (200, b"nonsense")
        try:
            return call(world)
        finally:
            world.proxy.says = None

    return run


def too_many_stores(world: World) -> Any:
    """One key store more than there may be; nothing is left of them."""
    made: list[str] = []
    try:
        while len(made) < MOST_STORES:
            made.append(world.make_store(f"many-{len(made)}")["CustomKeyStoreId"])
    finally:
        for each in made:
            world.kms.delete_custom_key_store(CustomKeyStoreId=each)


def failed(world: World) -> str:
    """A key store whose proxy did not answer when it was connected, made once."""

    def make() -> str:
        key_store = world.store("failed")
        world.proxy.managers = ["UNAVAILABLE"]
        try:
            world.connect("failed")
        finally:
            world.proxy.managers = ["ACTIVE"]
        return key_store

    return str(world.once("failed", make))


def managed(operation: str, **members: Any) -> dict[str, Call]:
    """The failures of a management operation that a key pending deletion does not allow."""
    return {
        "NotFound": unknown(operation, **members),
        "KMSInvalidState": on(World.dying, operation, **members),
    }


FAILURES: Final[dict[str, dict[str, Call]]] = {
    **{operation: failures_of(operation) for operation in USES},
    "CreateKey": {
        "MalformedPolicyDocument": plain("CreateKey", Policy="{}"),
        "UnsupportedOperation": plain("CreateKey", KeySpec="SM2", KeyUsage="SIGN_VERIFY"),
        "Tag": plain("CreateKey", Tags=[{"TagKey": "aws:x", "TagValue": ""}]),
        "CustomKeyStoreNotFound": plain(
            "CreateKey", Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=NO_STORE, XksKeyId="x"
        ),
        "CustomKeyStoreInvalidState": lambda w: w.outer_key("unconnected", "orders"),
        "XksKeyAlreadyInUse": in_turn(World.connected, lambda w: w.outer_key("connected", "orders")),
        "XksKeyNotFound": in_turn(World.connected, lambda w: w.outer_key("connected", "nobodys")),
        "XksKeyInvalidConfiguration": in_turn(
            World.connected, lambda w: w.outer_key("connected", "disabled")
        ),
    },
    "CreateCustomKeyStore": {
        "CustomKeyStoreNameInUse": in_turn(
            lambda w: w.store("named"),
            lambda w: w.make_store("other", CustomKeyStoreName="named"),
        ),
        "CloudHsmClusterNotFound": plain("CreateCustomKeyStore", CustomKeyStoreName="hsm"),
        "LimitExceeded": too_many_stores,
        "XksProxyUriInUse": in_turn(
            lambda w: w.store("placed"),
            lambda w: w.make_store("placed", CustomKeyStoreName="other"),
        ),
        "XksProxyUriUnreachable": lambda w: w.make_store(
            "other", XksProxyUriEndpoint="https://nobody.invalid"
        ),
        "XksProxyIncorrectAuthenticationCredential": lambda w: w.make_store(
            "other", XksProxyAuthenticationCredential=w.credential("x" * 43)
        ),
        "XksProxyInvalidResponse": spoilt(lambda w: w.make_store("other")),
        "XksProxyInvalidConfiguration": lambda w: w.make_store(
            "other", XksProxyUriPath="/elsewhere/kms/xks/v1"
        ),
    },
    "ConnectCustomKeyStore": {
        "CustomKeyStoreNotFound": plain("ConnectCustomKeyStore", CustomKeyStoreId=NO_STORE),
        "CustomKeyStoreInvalidState": lambda w: w.kms.connect_custom_key_store(CustomKeyStoreId=failed(w)),
    },
    "DisconnectCustomKeyStore": {
        "CustomKeyStoreNotFound": plain("DisconnectCustomKeyStore", CustomKeyStoreId=NO_STORE),
        "CustomKeyStoreInvalidState": lambda w: w.kms.disconnect_custom_key_store(
            CustomKeyStoreId=w.store("unconnected")
        ),
    },
    "UpdateCustomKeyStore": {
        "CustomKeyStoreNotFound": plain(
            "UpdateCustomKeyStore", CustomKeyStoreId=NO_STORE, NewCustomKeyStoreName="x"
        ),
        "CustomKeyStoreNameInUse": in_turn(
            lambda w: w.store("named"), lambda w: w.update(NewCustomKeyStoreName="named")
        ),
        "CustomKeyStoreInvalidState": lambda w: w.kms.update_custom_key_store(
            CustomKeyStoreId=w.connected(), XksProxyUriEndpoint="https://other.invalid"
        ),
        "XksProxyUriInUse": in_turn(
            lambda w: w.store("placed"),
            lambda w: w.update(XksProxyUriPath="/placed/kms/xks/v1"),
        ),
        "XksProxyUriUnreachable": lambda w: w.update(XksProxyUriEndpoint="https://nobody.invalid"),
        "XksProxyIncorrectAuthenticationCredential": lambda w: w.update(
            XksProxyAuthenticationCredential=w.credential("x" * 43)
        ),
        "XksProxyInvalidResponse": spoilt(
            lambda w: w.update(XksProxyAuthenticationCredential=w.credential(w.proxy.secret))
        ),
        "XksProxyInvalidConfiguration": lambda w: w.update(XksProxyUriPath="/elsewhere/kms/xks/v1"),
    },
    "DeleteCustomKeyStore": {
        "CustomKeyStoreNotFound": plain("DeleteCustomKeyStore", CustomKeyStoreId=NO_STORE),
        "CustomKeyStoreInvalidState": lambda w: w.kms.delete_custom_key_store(CustomKeyStoreId=w.connected()),
        "CustomKeyStoreHasCMKs": in_turn(
            lambda w: w.connect("full"),
            lambda w: w.outer_key("full", "orders"),
            lambda w: w.kms.disconnect_custom_key_store(CustomKeyStoreId=w.store("full")),
            lambda w: w.kms.delete_custom_key_store(CustomKeyStoreId=w.store("full")),
        ),
    },
    "DescribeKey": {"NotFound": unknown("DescribeKey")},
    "ListKeys": {"InvalidMarker": plain("ListKeys", Marker="rubbish")},
    "EnableKey": managed("EnableKey"),
    "DisableKey": managed("DisableKey"),
    "ScheduleKeyDeletion": managed("ScheduleKeyDeletion"),
    "CancelKeyDeletion": {
        "NotFound": unknown("CancelKeyDeletion"),
        "KMSInvalidState": with_key("CancelKeyDeletion"),
    },
    "UpdateKeyDescription": managed("UpdateKeyDescription", Description="x"),
    "EnableKeyRotation": {
        **managed("EnableKeyRotation"),
        "Disabled": on(World.disabled, "EnableKeyRotation"),
        "UnsupportedOperation": on(lambda w: w.key(MAC), "EnableKeyRotation"),
    },
    "DisableKeyRotation": {
        **managed("DisableKeyRotation"),
        "Disabled": on(World.disabled, "DisableKeyRotation"),
        "UnsupportedOperation": on(lambda w: w.key(MAC), "DisableKeyRotation"),
    },
    "GetKeyRotationStatus": {"NotFound": unknown("GetKeyRotationStatus")},
    "RotateKeyOnDemand": {
        **managed("RotateKeyOnDemand"),
        "Disabled": on(World.disabled, "RotateKeyOnDemand"),
        "UnsupportedOperation": on(lambda w: w.key(RSA), "RotateKeyOnDemand"),
        "LimitExceeded": rotated_out,
    },
    "ListKeyRotations": {
        "NotFound": unknown("ListKeyRotations"),
        "InvalidMarker": with_key("ListKeyRotations", Marker="rubbish"),
        "UnsupportedOperation": on(lambda w: w.key(MAC), "ListKeyRotations"),
    },
    "CreateAlias": {
        "AlreadyExists": in_turn(lambda w: alias(w, "taken"), lambda w: alias(w, "taken")),
        "NotFound": lambda w: alias(w, "x", UNKNOWN),
        "InvalidAliasName": lambda w: alias(w, "x:y"),
        "LimitExceeded": lambda w: too_many_aliases(w, lambda w, key: alias(w, "one-more", key)),
        "KMSInvalidState": lambda w: alias(w, "x", w.dying()),
    },
    "UpdateAlias": {
        "NotFound": lambda w: w.kms.update_alias(AliasName="alias/nowhere", TargetKeyId=w.key()),
        "LimitExceeded": in_turn(
            lambda w: alias(w, "movable"),
            lambda w: too_many_aliases(
                w, lambda w, key: w.kms.update_alias(AliasName="alias/movable", TargetKeyId=key)
            ),
        ),
        "KMSInvalidState": in_turn(
            lambda w: alias(w, "movable2"),
            lambda w: w.kms.update_alias(AliasName="alias/movable2", TargetKeyId=w.dying()),
        ),
    },
    "DeleteAlias": {"NotFound": plain("DeleteAlias", AliasName="alias/nowhere")},
    "ListAliases": {
        "InvalidMarker": plain("ListAliases", Marker="rubbish"),
        "NotFound": plain("ListAliases", KeyId=UNKNOWN),
    },
    "TagResource": {
        **managed("TagResource", Tags=TAGS),
        "Tag": with_key("TagResource", Tags=[*TAGS, *TAGS]),
    },
    "UntagResource": {
        **managed("UntagResource", TagKeys=["a"]),
        "Tag": with_key("UntagResource", TagKeys=["aws:a"]),
    },
    "ListResourceTags": {
        "NotFound": unknown("ListResourceTags"),
        "InvalidMarker": with_key("ListResourceTags", Marker="rubbish"),
    },
    "GetKeyPolicy": {"NotFound": unknown("GetKeyPolicy")},
    "PutKeyPolicy": {
        "NotFound": unknown("PutKeyPolicy", Policy=EVERYBODY),
        "MalformedPolicyDocument": with_key("PutKeyPolicy", Policy=LOCKED),
    },
    "ListKeyPolicies": {"NotFound": unknown("ListKeyPolicies")},
    "GetKeyLastUsage": {"NotFound": unknown("GetKeyLastUsage")},
    "GenerateRandom": {
        "UnsupportedOperation": plain("GenerateRandom", NumberOfBytes=1, CustomKeyStoreId=NO_STORE),
    },
    "CreateGrant": {
        "NotFound": lambda w: w.grant(UNKNOWN),
        "Disabled": lambda w: w.grant(w.disabled()),
        "InvalidArn": lambda w: w.kms.create_grant(
            KeyId=w.key(), GranteePrincipal="nobody", Operations=["Decrypt"]
        ),
        "InvalidGrantToken": lambda w: w.grant(GrantTokens=["rubbish"]),
        "KMSInvalidState": lambda w: w.grant(w.dying()),
        "DryRunOperation": lambda w: w.grant(DryRun=True),
    },
    "ListGrants": {
        "NotFound": unknown("ListGrants"),
        "InvalidMarker": on(World.key, "ListGrants", Marker="rubbish"),
        "InvalidGrantId": on(World.key, "ListGrants", GrantId="ab" * 32),
        "InvalidArn": on(World.key, "ListGrants", GranteePrincipal="nobody"),
    },
    "ListRetirableGrants": {
        "InvalidMarker": lambda w: w.kms.list_retirable_grants(RetiringPrincipal=w.arn, Marker="rubbish"),
        "InvalidArn": plain("ListRetirableGrants", RetiringPrincipal="nobody"),
    },
    "RevokeGrant": {
        "NotFound": on(World.key, "RevokeGrant", GrantId="ab" * 32),
        "DryRunOperation": lambda w: w.kms.revoke_grant(
            KeyId=w.key(), GrantId=w.grant()["GrantId"], DryRun=True
        ),
    },
    "RetireGrant": {
        "InvalidGrantToken": plain("RetireGrant", GrantToken="rubbish"),
        "NotFound": on(
            lambda w: w.kms.describe_key(KeyId=w.key())["KeyMetadata"]["Arn"],
            "RetireGrant",
            GrantId="ab" * 32,
        ),
        "DryRunOperation": lambda w: w.kms.retire_grant(GrantToken=w.grant()["GrantToken"], DryRun=True),
    },
    "GetParametersForImport": {
        "NotFound": unknown("GetParametersForImport", **OFFER),
        "UnsupportedOperation": on(World.key, "GetParametersForImport", **OFFER),
        "KMSInvalidState": on(dying_external, "GetParametersForImport", **OFFER),
    },
    "ImportKeyMaterial": {
        "NotFound": import_into(lambda _: UNKNOWN),
        "UnsupportedOperation": import_into(World.key),
        "KMSInvalidState": third_material,
        "InvalidCiphertext": not_wrapped,
        "IncorrectKeyMaterial": lambda w: w.bring(w.imported(), os.urandom(32)),
        "InvalidImportToken": used_token,
    },
    "DeleteImportedKeyMaterial": {
        "NotFound": unknown("DeleteImportedKeyMaterial"),
        "UnsupportedOperation": on(World.key, "DeleteImportedKeyMaterial"),
    },
    "ReplicateKey": {
        "AlreadyExists": on(lambda w: w.primary, "ReplicateKey", ReplicaRegion="eu-west-1"),
        "Disabled": in_turn(
            lambda w: w.kms.disable_key(KeyId=w.once("off", lambda: w.new(MultiRegion=True))),
            lambda w: w.kms.replicate_key(KeyId=w.once("off", str), ReplicaRegion="eu-west-1"),
        ),
        "KMSInvalidState": lambda w: w.kms.replicate_key(
            KeyId=w.dying(SYMMETRIC, MultiRegion=True), ReplicaRegion="eu-west-1"
        ),
        "MalformedPolicyDocument": lambda w: w.kms.replicate_key(
            KeyId=w.new(MultiRegion=True), ReplicaRegion="eu-west-1", Policy="{}"
        ),
        "NotFound": unknown("ReplicateKey", ReplicaRegion="eu-west-1"),
        "Tag": lambda w: w.kms.replicate_key(
            KeyId=w.new(MultiRegion=True), ReplicaRegion="eu-west-1", Tags=[*TAGS, *TAGS]
        ),
        "UnsupportedOperation": on(World.key, "ReplicateKey", ReplicaRegion="eu-west-1"),
    },
    "UpdatePrimaryRegion": {
        "Disabled": in_turn(
            lambda w: w.kms.disable_key(KeyId=w.once("off", lambda: w.new(MultiRegion=True))),
            lambda w: w.kms.update_primary_region(KeyId=w.once("off", str), PrimaryRegion="eu-west-1"),
        ),
        "KMSInvalidState": lambda w: w.kms.update_primary_region(
            KeyId=w.dying(SYMMETRIC, MultiRegion=True), PrimaryRegion="eu-west-1"
        ),
        "NotFound": unknown("UpdatePrimaryRegion", PrimaryRegion="eu-west-1"),
        "UnsupportedOperation": on(World.key, "UpdatePrimaryRegion", PrimaryRegion="eu-west-1"),
    },
    "DescribeCustomKeyStores": {
        "CustomKeyStoreNotFound": plain("DescribeCustomKeyStores", CustomKeyStoreId=NO_STORE),
        "InvalidMarker": plain("DescribeCustomKeyStores", Marker="rubbish"),
    },
}

for _operation, _more in {
    "Decrypt": {
        "InvalidCiphertext": lambda w: w.kms.decrypt(CiphertextBlob=w.blob()[:-1]),
        "IncorrectKey": lambda w: w.kms.decrypt(CiphertextBlob=w.blob(), KeyId=w.new()),
        "NotFound": use("Decrypt", KeyId=UNKNOWN),
    },
    "ReEncrypt": {
        "InvalidCiphertext": lambda w: w.kms.re_encrypt(
            CiphertextBlob=w.blob(a="b"), DestinationKeyId=w.key()
        ),
        "IncorrectKey": lambda w: w.kms.re_encrypt(
            CiphertextBlob=w.blob(), SourceKeyId=w.new(), DestinationKeyId=w.key()
        ),
    },
    "Verify": {"KMSInvalidSignature": use("Verify", Message=b"other")},
    "VerifyMac": {"KMSInvalidMac": use("VerifyMac", Message=b"other")},
    "Decapsulate": {"InvalidCiphertext": use("Decapsulate", SharedSecretCiphertextBlob=b"short")},
    "GenerateDataKeyPair": {"UnsupportedOperation": use("GenerateDataKeyPair", KeyPairSpec="SM2")},
    "GenerateDataKeyPairWithoutPlaintext": {
        "UnsupportedOperation": use("GenerateDataKeyPairWithoutPlaintext", KeyPairSpec="SM2")
    },
    "GetPublicKey": {
        "UnsupportedOperation": lambda w: w.kms.get_public_key(KeyId=w.key()),
        "InvalidGrantToken": use("GetPublicKey", GrantTokens=["rubbish"]),
    },
}.items():
    FAILURES[_operation] |= _more

NO_CLUSTERS: Final = "there are no CloudHSM clusters: a key store of theirs is CloudHsmClusterNotFound"
NO_ENDPOINTS: Final = (
    "a VPC endpoint service is kept and shown, not used: the proxy is reached by its host name"
)
NEVER: Final[dict[str, str]] = {
    # Of every operation.
    "KMSInternal": "a bug, which tests/server/test_worker.py makes",
    "DependencyTimeout": "the store or an XKS proxy out of reach: tests/server/test_worker.py",
    "KeyUnavailable": "what an XKS proxy refuses is KMSInvalidState, as its specification says",
    "InvalidArn": "a key ARN that is none is NotFound 'Invalid keyId', as recorded from AWS",
    "CloudHsmClusterInUse": NO_CLUSTERS,
    "CloudHsmClusterInvalidConfiguration": NO_CLUSTERS,
    "CloudHsmClusterNotActive": NO_CLUSTERS,
    "CloudHsmClusterNotRelated": NO_CLUSTERS,
    "IncorrectTrustAnchor": NO_CLUSTERS,
    "XksProxyUriEndpointInUse": "key stores may share a proxy's host name: what must differ is its path",
    "XksProxyVpcEndpointServiceInUse": NO_ENDPOINTS,
    "XksProxyVpcEndpointServiceNotFound": NO_ENDPOINTS,
    "XksProxyVpcEndpointServiceInvalidConfiguration": NO_ENDPOINTS,
    # Of some.
    "CreateKey.LimitExceeded": "there is no quota of keys",
    "CreateGrant.LimitExceeded": "50,000 grants: tests/service/actions/test_grants.py",
    "DeleteAlias.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "DeleteImportedKeyMaterial.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "UpdateCustomKeyStore.CloudHsmClusterNotFound": "a CloudHsmClusterId does not go with the key stores there are",
    "EnableKey.LimitExceeded": "there is no quota of enabled keys",
    "GenerateRandom.CustomKeyStoreNotFound": "only a CloudHSM key store makes random bytes",
    "GenerateRandom.CustomKeyStoreInvalidState": "only a CloudHSM key store makes random bytes",
    "GetKeyPolicy.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "GetKeyRotationStatus.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "GetKeyRotationStatus.UnsupportedOperation": "the status of keys that cannot rotate is false",
    "GetPublicKey.InvalidKeyUsage": "every key with a public key shows it",
    "ImportKeyMaterial.ExpiredImportToken": "24 hours: tests/service/actions/test_imports.py",
    "ListGrants.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "ListKeyPolicies.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "ListKeyRotations.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "ListRetirableGrants.NotFound": "a principal that has no grants has an empty list",
    "PutKeyPolicy.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "PutKeyPolicy.LimitExceeded": "a policy that is too large is malformed",
    "PutKeyPolicy.UnsupportedOperation": "every key has a policy that can be put",
    "ReplicateKey.LimitExceeded": "there is no quota of replicas",
    "RetireGrant.InvalidGrantId": "an id that is none is NotFound",
    "RetireGrant.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "RevokeGrant.InvalidGrantId": "an id that is none is NotFound",
    "RevokeGrant.KMSInvalidState": "AWS's own table of key states allows it in all of them",
    "RotateKeyOnDemand.Conflict": "only a linked server makes a rotation wait: tests/e2e/test_linked_servers.py",
    "TagResource.LimitExceeded": "too many tags are a TagException, as recorded from AWS",
}
"""Why an error cannot be had here, of all operations or of one."""


def documented(operation: str) -> set[str]:
    """The errors that AWS's model lists."""
    shapes = AWS.operation_model(operation).error_shapes
    return {shape.name.removesuffix("Exception") for shape in shapes}


@pytest.mark.parametrize("operation", sorted(AWS.operation_names))
def test_every_operation_and_error_of_the_model_has_its_row(operation: str) -> None:
    """None is missing, and none is here that the model does not have."""
    assert operation in SUCCESSES
    rows = FAILURES.get(operation, {})
    never = {e for e in documented(operation) if e in NEVER or f"{operation}.{e}" in NEVER}
    assert documented(operation) - rows.keys() - never == set(), (
        "a new error of AWS's: provoke it or say why not"
    )
    assert rows.keys() - documented(operation) == set()
    assert [e for e in rows if f"{operation}.{e}" in NEVER] == [], "it can be had: drop the reason"


def test_every_reason_is_of_an_error_of_the_model() -> None:
    """None is left of an operation or an error that AWS does not have any more."""
    errors = {operation: documented(operation) for operation in AWS.operation_names}
    named = {f"{operation}.{error}" for operation, ones in errors.items() for error in ones}
    assert NEVER.keys() <= named | {error for ones in errors.values() for error in ones}


@pytest.mark.parametrize("operation", sorted(SUCCESSES))
def test_an_operation_works(world: World, operation: str) -> None:
    """The answer has a request id, and the members that the model has, none of them null."""
    answer = SUCCESSES[operation](world)
    assert answer.pop("ResponseMetadata")["RequestId"]
    shape = AWS.operation_model(operation).output_shape
    assert answer.keys() <= set(shape.members if shape else ())
    assert None not in answer.values()
    assert answer or not shape or not shape.members


@pytest.mark.parametrize(
    ("operation", "error"),
    [(operation, error) for operation in sorted(FAILURES) for error in FAILURES[operation]],
)
def test_an_operation_fails_as_documented(world: World, operation: str, error: str) -> None:
    """With AWS's error type, and status 400."""
    with pytest.raises(ClientError) as told:
        FAILURES[operation][error](world)
    response: Any = told.value.response
    assert response["Error"]["Code"] == f"{error}Exception", response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert type(told.value).__name__ == f"{error}Exception"  # a class that the SDK has
