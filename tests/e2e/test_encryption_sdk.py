"""The AWS Encryption SDKs for Python and JavaScript, unmodified, read each other's messages through this service."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aws_encryption_sdk
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.errors import CollectionOfErrors
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsKeyringInput,
    CreateAwsKmsMrkKeyringInput,
)
from aws_cryptographic_material_providers.mpl.references import IKeyring
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

pytestmark = pytest.mark.e2e

NODE = Path(__file__).parent / "node"
CONTEXT = {"purpose": "interoperability", "language": "Zürich \N{KEY}"}  # esdk.mjs has the same
PLAINTEXT = os.urandom(1_000) + bytes(100_000)

sdk = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)
providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def keyring(kms: Any, key: str) -> IKeyring:
    """A keyring of one key, by its ARN."""
    return providers.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms))


def encrypt(keys: IKeyring) -> bytes:
    """A message."""
    message, _ = sdk.encrypt(source=PLAINTEXT, keyring=keys, encryption_context=CONTEXT)
    return bytes(message)


def decrypt(message: bytes, keys: IKeyring) -> bytes:
    """What a message says, if its context is the one."""
    plaintext, header = sdk.decrypt(source=message, keyring=keys, encryption_context=CONTEXT)
    assert header.encryption_context.items() >= CONTEXT.items()
    return bytes(plaintext)


@pytest.fixture
def node(service: Any) -> Any:
    """Runs the JavaScript SDK's script; skipped, and not silently, where it is not installed."""
    program = shutil.which("node")
    if program is None or not (NODE / "node_modules").is_dir():
        pytest.skip(
            "NOT TESTED: the AWS Encryption SDK for JavaScript is not installed (npm ci in tests/e2e/node)"
        )

    def run(verb: str, key: str, data: bytes) -> bytes:
        done = subprocess.run(
            [program, "esdk.mjs", verb, key],
            cwd=NODE,
            input=data,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, **service.settings},
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture
def key(kms: Any) -> str:
    """A key's ARN: the SDKs want nothing less to decrypt."""
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def test_python_reads_its_own_messages(kms: Any, key: str) -> None:
    """Data keys are made and opened here, under the context that the SDK adds its public key to."""
    assert decrypt(encrypt(keyring(kms, key)), keyring(kms, key)) == PLAINTEXT


def test_a_message_of_another_key_does_not_open(kms: Any, key: str) -> None:
    """The SDK asks for the key that it was given, and that one did not seal the data key."""
    message = encrypt(keyring(kms, key))
    other = kms.create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(AWSEncryptionSDKClientError, match="No Encrypted Data Keys found"):
        decrypt(message, keyring(kms, other))


def test_javascript_reads_what_python_wrote(kms: Any, node: Any, key: str) -> None:
    """One message, two implementations, one key service."""
    assert node("decrypt", key, encrypt(keyring(kms, key))) == PLAINTEXT


def test_python_reads_what_javascript_wrote(kms: Any, node: Any, key: str) -> None:
    """And the other way round."""
    message = node("encrypt", key, PLAINTEXT)
    assert decrypt(message, keyring(kms, key)) == PLAINTEXT


def test_a_message_survives_a_rotation_and_not_a_disabled_key(kms: Any, key: str) -> None:
    """The versions are the service's affair, and so is the end of a key."""
    message = encrypt(keyring(kms, key))
    kms.rotate_key_on_demand(KeyId=key)
    assert decrypt(message, keyring(kms, key)) == PLAINTEXT
    kms.disable_key(KeyId=key)
    with pytest.raises(AWSEncryptionSDKClientError) as told:
        decrypt(message, keyring(kms, key))
    (cause,) = told.value.args
    assert isinstance(cause, CollectionOfErrors)
    assert f"{key} is disabled" in str(cause.list)


def test_a_replica_opens_in_its_region_what_the_primary_sealed(service: Any, kms: Any) -> None:
    """The SDK's multi-Region keyring finds the related key by its id."""
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    replica = kms.replicate_key(KeyId=primary, ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]["Arn"]
    message = encrypt(
        providers.create_aws_kms_mrk_keyring(CreateAwsKmsMrkKeyringInput(kms_key_id=primary, kms_client=kms))
    )
    west = service.client(region_name="eu-west-1")
    assert west.describe_key(KeyId=replica)["KeyMetadata"]["KeyState"] == "Enabled"
    keys = providers.create_aws_kms_mrk_keyring(
        CreateAwsKmsMrkKeyringInput(kms_key_id=replica, kms_client=west)
    )
    assert decrypt(message, keys) == PLAINTEXT
