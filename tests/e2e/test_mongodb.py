"""MongoDB's client-side encryption with the provider `aws`: libmongocrypt wraps and unwraps its data keys here.

The key vault, which is a collection of a MongoDB server, is a list; all that speaks to the key service is the driver's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bson.binary import STANDARD
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.encryption import ClientEncryption
from pymongo.errors import EncryptionError

pytestmark = pytest.mark.e2e

ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
SECRET = {"name": "Zo\u00eb", "card": "4111 1111 1111 1111"}


class Vault:
    """As much of a collection as the driver asks of a key vault."""

    def __init__(self) -> None:
        self.documents: list[RawBSONDocument] = []

    def insert_one(self, document: RawBSONDocument) -> None:
        """Keep a data key's document."""
        self.documents.append(document)

    @contextmanager
    def find(self, _: object) -> Iterator[list[RawBSONDocument]]:
        """All of them: there is never but one."""
        yield self.documents


def driver(settings: dict[str, str], ca: str, vault: Vault) -> ClientEncryption[Any]:
    """The driver's client-side encryption, with the admin's access key."""
    providers = {
        "aws": {
            "accessKeyId": settings["AWS_ACCESS_KEY_ID"],
            "secretAccessKey": settings["AWS_SECRET_ACCESS_KEY"],
        }
    }
    nowhere: MongoClient[Any] = MongoClient(connect=False)
    encryption: ClientEncryption[Any] = ClientEncryption(
        providers,
        "keys.vault",
        nowhere,
        CodecOptions(uuid_representation=STANDARD),
        kms_tls_options={"aws": {"tlsCAFile": ca, "tlsDisableOCSPEndpointCheck": True}},
    )
    assert encryption._io_callbacks is not None
    encryption._io_callbacks.key_vault_coll = vault  # type: ignore[assignment]  # in the server's place
    nowhere.close()
    return encryption


def test_a_document_is_encrypted_with_a_data_key_wrapped_here(served: Any, authority: Any) -> None:
    """The driver makes a data key, has it wrapped, and another driver has it unwrapped to read the value."""
    kms = served.client(verify=str(authority.file))
    key = kms.create_key()["KeyMetadata"]["Arn"]
    vault = Vault()
    master = {"region": "eu-central-1", "key": key, "endpoint": f"127.0.0.1:{served.port}"}
    writer = driver(served.settings, str(authority.file), vault)
    data_key = writer.create_data_key("aws", master_key=master)
    sealed = writer.encrypt(SECRET, ALGORITHM, key_id=data_key)
    assert b"4111" not in bytes(sealed)

    reader = driver(served.settings, str(authority.file), vault)
    assert reader.decrypt(sealed) == SECRET

    kms.disable_key(KeyId=key)
    with pytest.raises(EncryptionError, match="disabled"):
        driver(served.settings, str(authority.file), vault).decrypt(sealed)
    served.until(lambda: {"kms:Encrypt", "kms:Decrypt"} <= {r["action"] for r in served.records()})
