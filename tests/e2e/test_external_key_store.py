"""An external key store as boto3 sees it: a real proxy over TLS, real processes, and the proxy's bad days."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keystead.testing.xksproxy import Proxy

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy on localhost with a certificate of its own authority."""
    with Proxy(tmp_path_factory.mktemp("proxy"), keys=["orders", "others", "third"]) as running:
        yield running


@pytest.fixture(scope="module")
def house(proxy: Proxy, serving: Any) -> Any:
    """A service that trusts it."""
    return serving(f'[xks]\nca = "{proxy.authority}"\nport = {proxy.port}\n')


@pytest.fixture(scope="module")
def kms(house: Any) -> Any:
    """A client of that service."""
    return house.client()


@pytest.fixture
def well(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy, which is well again afterwards."""
    yield proxy
    proxy.says, proxy.delay = None, 0.0
    proxy.managers = ["ACTIVE"]
    proxy.disabled.clear()
    proxy.forbidden.clear()


def described(proxy: Proxy, **other: Any) -> dict[str, Any]:
    """What registers the proxy."""
    return {
        "CustomKeyStoreName": "ours",
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyUriEndpoint": proxy.endpoint,
        "XksProxyUriPath": proxy.path,
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyAuthenticationCredential": {
            "AccessKeyId": proxy.access_key_id,
            "RawSecretAccessKey": proxy.secret,
        },
        **other,
    }


@pytest.fixture(scope="module")
def store(kms: Any, proxy: Proxy) -> str:
    """A connected key store's id."""
    made: str = kms.create_custom_key_store(**described(proxy))["CustomKeyStoreId"]
    kms.connect_custom_key_store(CustomKeyStoreId=made)
    return made


@pytest.fixture(scope="module")
def key(kms: Any, store: str) -> str:
    """A key in it."""
    made: str = kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId="orders")[
        "KeyMetadata"
    ]["KeyId"]
    return made


def error(call: Any, **members: Any) -> str:
    """The error's name."""
    with pytest.raises(ClientError) as told:
        call(**members)
    return str(told.value.response["Error"]["Code"])


def test_a_key_store_is_shown_as_aws_shows_it(kms: Any, proxy: Proxy, store: str) -> None:
    """With its proxy's address and access key id, and without its secret."""
    (found,) = kms.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"]
    found.pop("CreationDate")
    assert found == {
        "CustomKeyStoreId": store,
        "CustomKeyStoreName": "ours",
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "ConnectionState": "CONNECTED",
        "XksProxyConfiguration": {
            "AccessKeyId": proxy.access_key_id,
            "Connectivity": "PUBLIC_ENDPOINT",
            "UriEndpoint": "https://localhost",
            "UriPath": "/kms/xks/v1",
        },
    }
    everything = list(kms.get_paginator("describe_custom_key_stores").paginate())
    assert [each["CustomKeyStoreId"] for page in everything for each in page["CustomKeyStores"]] == [store]


def test_what_is_wrong_with_a_key_store_is_told_by_name(kms: Any, well: Proxy, store: str) -> None:
    """As AWS's SDKs raise it."""
    create = kms.create_custom_key_store
    other = described(well, CustomKeyStoreName="other", XksProxyUriPath="/other/kms/xks/v1")
    assert error(create, **described(well)) == "CustomKeyStoreNameInUseException"
    assert error(create, **described(well, CustomKeyStoreName="other")) == "XksProxyUriInUseException"
    assert error(create, **other) == "XksProxyInvalidConfigurationException"
    assert error(create, CustomKeyStoreName="hsm") == "CloudHsmClusterNotFoundException"
    assert error(create, **(other | {"XksProxyUriEndpoint": "https://nobody.invalid"})) == (
        "XksProxyUriUnreachableException"
    )
    wrong = {"AccessKeyId": well.access_key_id, "RawSecretAccessKey": "x" * 43}
    assert error(create, **(other | {"XksProxyAuthenticationCredential": wrong})) == (
        "XksProxyIncorrectAuthenticationCredentialException"
    )
    well.says = (200, b"nonsense")
    assert error(create, **other) == "XksProxyInvalidResponseException"
    assert error(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId=store) == (
        "UnsupportedOperationException"
    )


def test_what_is_wrong_with_an_external_key_is_told_by_name(
    kms: Any, well: Proxy, store: str, key: str
) -> None:
    """As AWS's SDKs raise it."""
    assert key

    def create(outer: str) -> str:
        return error(kms.create_key, Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId=outer)

    assert create("orders") == "XksKeyAlreadyInUseException"
    assert create("nobodys") == "XksKeyNotFoundException"
    well.disabled.add("others")
    assert create("others") == "XksKeyInvalidConfigurationException"


def test_its_keys_are_used_like_any_other(kms: Any, well: Proxy, store: str, key: str) -> None:
    """Encrypt, Decrypt, ReEncrypt and data keys, with a context, in all sizes."""
    metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (metadata["Origin"], metadata["CustomKeyStoreId"]) == ("EXTERNAL_KEY_STORE", store)
    assert metadata["XksKeyConfiguration"] == {"Id": "orders"}
    assert "CurrentKeyMaterialId" not in metadata
    context = {"tenant": "7"}
    for size in (1, 4096):
        sealed = kms.encrypt(KeyId=key, Plaintext=b"x" * size, EncryptionContext=context)["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context)
        assert opened["Plaintext"] == b"x" * size
        assert "KeyMaterialId" not in opened
        assert error(kms.decrypt, CiphertextBlob=sealed) == "InvalidCiphertextException"
    new = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=new["CiphertextBlob"])["Plaintext"] == new["Plaintext"]
    assert "KeyMaterialId" not in new
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])
    assert opened["Plaintext"] == pair["PrivateKeyPlaintext"]
    ordinary = kms.create_key()["KeyMetadata"]["KeyId"]
    moved = kms.re_encrypt(CiphertextBlob=new["CiphertextBlob"], DestinationKeyId=ordinary)
    back = kms.re_encrypt(CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=key)
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == new["Plaintext"]
    assert error(kms.enable_key_rotation, KeyId=key) == "UnsupportedOperationException"
    assert any(path.endswith("/keys/orders/encrypt") for path, _ in well.requests)


def test_its_owner_can_stop_all_use(kms: Any, well: Proxy, key: str) -> None:
    """A key that is disabled outside does nothing here, from the next request on."""
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    well.disabled.add("orders")
    for _ in range(3):
        assert error(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    well.disabled.clear()
    (principal,) = {
        asked["requestMetadata"]["awsPrincipalArn"] for path, asked in well.requests if "encrypt" in path
    }
    well.forbidden.add(principal)
    assert error(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    well.forbidden.clear()
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"


def test_a_slow_proxy_costs_its_deadline_and_nobody_else_anything(
    house: Any, kms: Any, well: Proxy, key: str
) -> None:
    """Whoever asks for its keys is told to try again; other keys are used meanwhile, and afterwards all is well."""
    ordinary = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    well.delay = 5.0
    told: list[str] = []
    threads = [
        threading.Thread(target=lambda: told.append(error(kms.decrypt, CiphertextBlob=sealed)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for _ in range(20):
        kms.encrypt(KeyId=ordinary, Plaintext=b"x")
    for thread in threads:
        thread.join()
    assert told == ["DependencyTimeoutException"] * 8
    for _ in range(10):  # the breaker is open by now, or opens: it is the same to the caller
        assert error(kms.decrypt, CiphertextBlob=sealed) == "DependencyTimeoutException"
    well.delay = 0.0

    def back() -> bool:
        try:
            return bool(kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x")
        except ClientError:
            return False

    house.until(back)


def test_a_disconnected_key_store_has_no_usable_keys(kms: Any, well: Proxy, store: str, key: str) -> None:
    """On every worker at once; connected again, they are back."""
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    for _ in range(10):
        assert error(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Unavailable"
    assert error(kms.disconnect_custom_key_store, CustomKeyStoreId=store) == (
        "CustomKeyStoreInvalidStateException"
    )
    assert error(kms.delete_custom_key_store, CustomKeyStoreId=store) == "CustomKeyStoreHasCMKsException"
    well.managers = ["UNAVAILABLE"]
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    (found,) = kms.describe_custom_key_stores()["CustomKeyStores"]
    assert (found["ConnectionState"], found["ConnectionErrorCode"]) == ("FAILED", "XKS_PROXY_NOT_REACHABLE")
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    kms.update_custom_key_store(CustomKeyStoreId=store, NewCustomKeyStoreName="theirs")
    well.managers = ["ACTIVE"]
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    (found,) = kms.describe_custom_key_stores(CustomKeyStoreName="theirs")["CustomKeyStores"]
    assert found["ConnectionState"] == "CONNECTED"


def test_the_operator_reads_of_a_proxy_that_is_gone(house: Any, kms: Any, well: Proxy, key: str) -> None:
    """In the log, once when it goes and once when it is back; with the key store's id and nothing of a request."""
    sealed = kms.encrypt(KeyId=key, Plaintext=b"a secret text")["CiphertextBlob"]
    well.says = (503, b"")
    gone, again = "proxy does not answer", "proxy answers again"

    def ask() -> str:
        try:
            kms.decrypt(CiphertextBlob=sealed)
        except ClientError:
            return str(house.said())
        return str(house.said())

    house.until(lambda: gone in ask())
    well.says = None
    house.until(lambda: again in ask())
    assert "component=cks-" in house.said() or 'component="cks-' in house.said()
    assert well.secret not in house.said()
    assert "a secret text" not in house.said()
