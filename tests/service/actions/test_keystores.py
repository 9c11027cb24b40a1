"""External key stores and the keys in them, with a real proxy."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from keystead.app.installation import SystemClock
from keystead.core import blob
from keystead.core.errors import CustodyUnavailable, InvalidCiphertext
from keystead.core.key import Origin, State
from keystead.core.keystore import Connection, KeyStore, Kind, Problem
from keystead.core.names import KeyReference
from keystead.crypto.random import system_random
from keystead.custody.xks import Client, trust
from keystead.service.action import Later
from keystead.service.actions import keystores
from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.service.workingset import HeldKey
from keystead.testing.installation import ACCOUNT, REGION, Installation
from keystead.testing.service import ServiceBench
from keystead.testing.xksproxy import Proxy

VPC_SERVICE = "com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0"
CONTEXT = {"tenant": "7"}


class Bench(ServiceBench):
    """A gate whose installation has a proxy."""

    def __init__(
        self, proxy: Proxy, house: Installation | None = None, slot: str = "w0", **other: Any
    ) -> None:
        self.proxy = proxy
        if house is None:
            self.client = Client(
                trust(proxy.authority), SystemClock(), system_random, seconds=2.0, port=proxy.port
            )
            house = Installation(external=self.client)
        super().__init__(house, slot, **other)

    def command(self, **other: Any) -> c.CreateCustomKeyStore:
        """What registers the proxy."""
        members: dict[str, Any] = {
            "name": "ours",
            "kind": Kind.EXTERNAL_KEY_STORE,
            "endpoint": self.proxy.endpoint,
            "path": self.proxy.path,
            "connectivity": "PUBLIC_ENDPOINT",
            "access_key_id": self.proxy.access_key_id,
            "secret": self.proxy.secret,
            **other,
        }
        return c.CreateCustomKeyStore(**members)

    def store(self, *, connected: bool = True, **other: Any) -> str:
        """A new key store's id."""
        made: str = self.do(self.command(**other)).key_store_id
        if connected:
            self.do(c.ConnectCustomKeyStore(made))
        return made

    def look(self, key_store_id: str) -> KeyStore:
        """A key store as it is described."""
        (found,) = self.do(c.DescribeCustomKeyStores(key_store_id)).key_stores
        assert isinstance(found, KeyStore)
        return found

    def outer(self, key_store_id: str, outer_key: str = "orders", **other: Any) -> c.CreateKey:
        """What makes a key in it."""
        return c.CreateKey(
            origin=Origin.EXTERNAL_KEY_STORE, key_store=key_store_id, outer_key=outer_key, **other
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy for all tests here."""
    with Proxy(tmp_path_factory.mktemp("proxy"), keys=["orders", "others"]) as proxy:
        yield proxy


@pytest.fixture
def bench(running: Proxy) -> Iterator[Bench]:
    """A gate; afterwards the proxy is as it was."""
    bench = Bench(running)
    yield bench
    bench.client.close()
    running.says, running.raw, running.delay, running.spoils = None, None, 0.0, None
    running.managers = ["ACTIVE"]
    running.disabled.clear()
    running.forbidden.clear()
    running.requests.clear()


# --- registering ----------------------------------------------------------------------------------------------


def test_a_new_key_store_is_shown_without_its_secret(bench: Bench) -> None:
    """It has AWS's form of id and is not connected; nobody is told the secret again."""
    made = bench.store(connected=False)
    found = bench.look(made)
    assert made.startswith("cks-")
    assert len(made) == len("cks-") + 17
    assert (found.name, found.connection, found.created) == (
        "ours",
        Connection.DISCONNECTED,
        bench.house.clock.now(),
    )
    assert (found.account, found.region, found.kind) == (ACCOUNT, REGION, Kind.EXTERNAL_KEY_STORE)
    assert bench.proxy.secret not in repr(found)
    assert bench.records[-2].subject == f"{made} ours"
    assert bench.proxy.requests[-1][1]["requestMetadata"]["kmsOperation"] == "CreateCustomKeyStore"
    (named,) = bench.do(c.DescribeCustomKeyStores(key_store_name="ours")).key_stores
    assert named == found
    assert bench.do(c.DescribeCustomKeyStores()).key_stores == [found]
    assert bench.do(c.DescribeCustomKeyStores(), region="eu-west-1").key_stores == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": Kind.AWS_CLOUDHSM}, "ClusterNotFound: There is no HSM cluster (none was named)"),
    (
        {"kind": Kind.AWS_CLOUDHSM, "cluster": "cluster-x"},
        "ClusterNotFound: There is no HSM cluster cluster-x",
    ),
    ({"cluster": "cluster-x"}, "InvalidRequest: CloudHsmClusterId"),
    ({"password": "secret"}, "InvalidRequest: CloudHsmClusterId"),
    ({"trust_anchor": "x"}, "InvalidRequest: CloudHsmClusterId"),
    ({"endpoint": ""}, "InvalidRequest: A key store of type EXTERNAL_KEY_STORE needs XksProxyUriEndpoint"),
    ({"path": "", "secret": ""}, "needs XksProxyUriPath, XksProxyAuthenticationCredential"),
    ({"connectivity": "VPC_ENDPOINT_SERVICE"}, "needs XksProxyVpcEndpointServiceName"),
    ({"vpc_service": VPC_SERVICE}, "need the XksProxyConnectivity VPC_ENDPOINT_SERVICE"),
    ({"vpc_owner": ACCOUNT}, "need the XksProxyConnectivity VPC_ENDPOINT_SERVICE"),
    ({"secret": "x" * 43}, "XksIncorrectCredential: "),
    ({"path": "/other/kms/xks/v1"}, "XksInvalidConfiguration: "),
    ({"endpoint": "https://nobody.invalid"}, "XksUriUnreachable: "),
    ({"endpoint": "https://127.0.0.1"}, "XksUriUnreachable: No TLS"),
]


@pytest.mark.parametrize(("other", "refusal"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_a_key_store_is_refused(bench: Bench, other: dict[str, Any], refusal: str) -> None:
    """Each reason by its own name; nothing is registered."""
    assert refusal in bench.refusal(bench.command(**other))
    assert bench.do(c.DescribeCustomKeyStores()).key_stores == []


def test_a_proxy_that_is_not_in_order_is_refused(bench: Bench) -> None:
    """It must answer a health check when it is registered."""
    bench.proxy.managers = ["UNAVAILABLE"]
    assert bench.refusal(bench.command()).startswith("XksUriUnreachable: ")
    bench.proxy.says = (200, b"{}")
    assert bench.refusal(bench.command()).startswith("XksInvalidResponse: ")
    bench.proxy.says = (403, b"")
    assert bench.refusal(bench.command()).startswith("XksInvalidResponse: ")


def test_every_problem_has_its_error() -> None:
    """Whatever the client finds, the caller is told."""
    assert keystores._PROBLEMS.keys() == set(Problem)


def test_names_and_addresses_are_each_used_once(bench: Bench) -> None:
    """In one account and Region; elsewhere they may be used again."""
    bench.store()
    assert bench.refusal(bench.command(path="/b" + bench.proxy.path)).startswith("KeyStoreNameInUse: ")
    assert bench.refusal(bench.command(name="another")).startswith("XksUriInUse: ")
    assert bench.do(bench.command(), region="eu-west-1").key_store_id


def test_there_is_a_quota(running: Proxy, bench: Bench) -> None:
    """As everywhere, configuration may raise it."""
    small = Bench(running, bench.house, "w1", quotas=Quotas(custom_key_stores=1))
    small.store()
    refusal = small.refusal(small.command(name="another", path="/b/kms/xks/v1"))
    assert refusal == "LimitExceeded: There may be 1 custom key stores in a Region."


def test_a_vpc_endpoint_service_is_kept_and_shown(bench: Bench) -> None:
    """Its name and owner say where the proxy is for AWS; here it is reached by its host name all the same."""
    made = bench.store(connectivity="VPC_ENDPOINT_SERVICE", vpc_service=VPC_SERVICE, vpc_owner=ACCOUNT)
    found = bench.look(made)
    assert (found.connectivity, found.vpc_service, found.vpc_owner) == (
        "VPC_ENDPOINT_SERVICE",
        VPC_SERVICE,
        ACCOUNT,
    )
    bench.do(c.DisconnectCustomKeyStore(made))
    bench.do(c.UpdateCustomKeyStore(made, connectivity="PUBLIC_ENDPOINT"))
    found = bench.look(made)
    assert (found.connectivity, found.vpc_service, found.vpc_owner) == ("PUBLIC_ENDPOINT", "", "")


def test_only_whom_the_policy_allows(bench: Bench) -> None:
    """Each of the six operations needs its own permission, and is refused before the proxy is asked."""
    made = bench.store()
    bench.proxy.requests.clear()
    bench.house.user("mallory", "")
    for command in (
        bench.command(),
        c.UpdateCustomKeyStore(made, new_name="x"),
        c.DescribeCustomKeyStores(),
        c.ConnectCustomKeyStore(made),
        c.DisconnectCustomKeyStore(made),
        c.DeleteCustomKeyStore(made),
    ):
        refusal = bench.refusal(command, "mallory")
        assert refusal.startswith("AccessDenied: ")
        assert f"kms:{type(command).__name__} " in refusal
    assert bench.proxy.requests == []


def test_a_key_store_that_does_not_exist_here_is_not_found(bench: Bench) -> None:
    """Nor one of another Region, nor of another account."""
    made = bench.store()
    for command in (
        c.UpdateCustomKeyStore("cks-0", new_name="x"),
        c.DescribeCustomKeyStores("cks-0"),
        c.DescribeCustomKeyStores(key_store_name="nobodys"),
        c.ConnectCustomKeyStore("cks-0"),
        c.DisconnectCustomKeyStore("cks-0"),
        c.DeleteCustomKeyStore("cks-0"),
        bench.outer("cks-0"),
    ):
        assert bench.refusal(command).startswith("KeyStoreNotFound: ")
    elsewhere = c.DescribeCustomKeyStores(made)
    assert bench.refusal(elsewhere, region="eu-west-1").startswith("KeyStoreNotFound: ")
    both = c.DescribeCustomKeyStores(made, "ours")
    assert bench.refusal(both).startswith("InvalidRequest: ")


def test_key_stores_come_in_pages(bench: Bench) -> None:
    """With a marker between them."""
    # The host in other letters is another address, and the same host.
    hosts = ("https://localhost", "https://LOCALHOST", "https://Localhost")
    made = sorted(bench.store(name=host, endpoint=host) for host in hosts)
    first = bench.do(c.DescribeCustomKeyStores(limit=2))
    second = bench.do(c.DescribeCustomKeyStores(limit=2, marker=first.marker))
    assert [each.id for each in (*first.key_stores, *second.key_stores)] == made
    assert second.marker == ""


# --- changing -------------------------------------------------------------------------------------------------


def test_a_connected_key_store_may_change_name_credential_and_path(bench: Bench) -> None:
    """With AWS, a credential is replaced without an interruption; everything else needs a disconnect first."""
    made = bench.store()
    key = bench.key(bench.outer(made))
    new = "A" * 20
    bench.proxy.credentials[new] = "n" * 43
    bench.do(c.UpdateCustomKeyStore(made, new_name="theirs", access_key_id=new, secret="n" * 43))
    del bench.proxy.credentials[bench.proxy.access_key_id]
    try:
        assert bench.do(c.Encrypt(key, b"x")).blob
    finally:
        bench.proxy.credentials[bench.proxy.access_key_id] = bench.proxy.secret
    found = bench.look(made)
    assert (found.name, found.access_key_id, found.connection) == ("theirs", new, Connection.CONNECTED)
    for other in (
        {"endpoint": "https://LOCALHOST"},
        {"connectivity": "PUBLIC_ENDPOINT"},
        {"vpc_owner": ACCOUNT},
    ):
        refusal = bench.refusal(c.UpdateCustomKeyStore(made, **other))
        assert refusal == (
            f"KeyStoreInvalidState: The custom key store {made} is CONNECTED: cannot update it. Disconnect it first."
        )
    bench.do(c.DisconnectCustomKeyStore(made))
    bench.do(c.UpdateCustomKeyStore(made, endpoint="https://LOCALHOST"))
    assert bench.look(made).endpoint == "https://LOCALHOST"


def test_an_update_is_checked_like_a_new_key_store(bench: Bench) -> None:
    """With the proxy where it matters; nothing is changed when that fails."""
    made = bench.store(connected=False)
    other = bench.store(name="other", endpoint="https://LOCALHOST")
    before = bench.look(made)
    for command, refusal in (
        (c.UpdateCustomKeyStore(made), "InvalidRequest: There is nothing to update"),
        (c.UpdateCustomKeyStore(made, cluster="cluster-x"), "InvalidRequest: CloudHsmClusterId"),
        (c.UpdateCustomKeyStore(made, password="secret"), "InvalidRequest: CloudHsmClusterId"),
        (c.UpdateCustomKeyStore(made, new_name="other"), "KeyStoreNameInUse: "),
        (c.UpdateCustomKeyStore(made, endpoint="https://LOCALHOST"), "XksUriInUse: "),
        (c.UpdateCustomKeyStore(made, path="/b/kms/xks/v1"), "XksInvalidConfiguration: "),
        (c.UpdateCustomKeyStore(made, access_key_id="A" * 20, secret="x" * 43), "XksIncorrectCredential: "),
        (c.UpdateCustomKeyStore(made, connectivity="VPC_ENDPOINT_SERVICE"), "InvalidRequest: "),
    ):
        assert bench.refusal(command).startswith(refusal)
    assert bench.look(made) == before
    bench.do(c.UpdateCustomKeyStore(made, connectivity="VPC_ENDPOINT_SERVICE", vpc_service=VPC_SERVICE))
    assert bench.look(made).vpc_service == VPC_SERVICE
    assert bench.look(other).connection is Connection.CONNECTED


def test_a_key_store_with_keys_cannot_be_deleted(bench: Bench) -> None:
    """Not even while they wait for their deletion; without any, and disconnected, it can."""
    made = bench.store()
    key = bench.key(bench.outer(made))
    assert bench.refusal(c.DeleteCustomKeyStore(made)).startswith("KeyStoreInvalidState: ")
    bench.do(c.DisconnectCustomKeyStore(made))
    assert bench.refusal(c.DeleteCustomKeyStore(made)).startswith("KeyStoreHasKeys: ")
    bench.do(c.ScheduleKeyDeletion(key, 7))
    assert bench.refusal(c.DeleteCustomKeyStore(made)).startswith("KeyStoreHasKeys: ")
    bench.house.clock.time += 8 * 86_400
    bench.do(c.DestroyKey(key))
    bench.do(c.DeleteCustomKeyStore(made))
    assert bench.refusal(c.DescribeCustomKeyStores(made)).startswith("KeyStoreNotFound: ")


# --- connecting -----------------------------------------------------------------------------------------------


def test_connecting_notes_what_is_wrong(bench: Bench) -> None:
    """The request succeeds as with AWS, and the key store tells; it must be disconnected to try again."""
    made = bench.store(connected=False)
    bench.proxy.says = (200, b"nonsense")
    bench.do(c.ConnectCustomKeyStore(made))
    found = bench.look(made)
    assert (found.connection, found.connection_error) == (Connection.FAILED, "XKS_PROXY_INVALID_RESPONSE")
    bench.proxy.says = None
    for command in (
        c.ConnectCustomKeyStore(made),
        c.UpdateCustomKeyStore(made, new_name="x"),
        c.DeleteCustomKeyStore(made),
    ):
        assert "is FAILED" in bench.refusal(command)
    bench.do(c.DisconnectCustomKeyStore(made))
    assert bench.look(made).connection_error == ""
    assert bench.refusal(c.DisconnectCustomKeyStore(made)) == (
        f"KeyStoreInvalidState: The custom key store {made} is DISCONNECTED: cannot disconnect it."
    )
    bench.do(c.ConnectCustomKeyStore(made))
    assert bench.look(made).connection is Connection.CONNECTED
    bench.proxy.requests.clear()
    bench.do(c.ConnectCustomKeyStore(made))  # once more is no mistake
    assert bench.proxy.requests == []


def test_a_key_store_that_changes_while_it_is_connected_is_not_connected(
    bench: Bench, running: Proxy
) -> None:
    """What was checked is not what would be connected: the caller tries again."""
    made = bench.store(connected=False)
    other = Bench(running, bench.house, "w1")

    def meanwhile(_: object) -> None:
        running.spoils = None
        other.do(c.UpdateCustomKeyStore(made, new_name="theirs"))

    running.spoils = meanwhile
    assert bench.refusal(c.ConnectCustomKeyStore(made)).endswith("has just been changed: try again.")
    assert bench.look(made).connection is Connection.DISCONNECTED


# --- keys -----------------------------------------------------------------------------------------------------


def test_a_key_in_it_names_both_halves(bench: Bench) -> None:
    """The key store and the external key; its own material is half of it only."""
    made = bench.store()
    described = bench.do(bench.outer(made))
    key = described.key
    assert (key.origin, key.key_store, key.outer_key, key.state) == (
        Origin.EXTERNAL_KEY_STORE,
        made,
        "orders",
        State.ENABLED,
    )
    assert described.key_store == bench.look(made)
    assert bench.do(c.DescribeKey(KeyReference(key.id))) == described


def test_what_cannot_be_a_key_in_it_is_refused(bench: Bench) -> None:
    """By AWS's names."""
    made = bench.store()
    bench.key(bench.outer(made))
    bench.proxy.disabled.add("others")
    for command, refusal in (
        (bench.outer(made), "XksKeyInUse: "),
        (bench.outer(made, "nobodys"), "XksKeyNotFound: "),
        (bench.outer(made, "others"), "XksKeyInvalidConfiguration: "),
        (
            bench.outer(made, "others", spec="RSA_2048", usage="ENCRYPT_DECRYPT"),
            "UnsupportedOperation: KeySpec",
        ),
        (bench.outer(made, "others", multi_region=True), "UnsupportedOperation: Multi-Region"),
        (bench.outer(made, ""), "InvalidRequest: A key in an external key store needs an XksKeyId."),
        (bench.outer(""), "InvalidRequest: Origin EXTERNAL_KEY_STORE needs a CustomKeyStoreId."),
        (c.CreateKey(key_store=made), "InvalidRequest: CustomKeyStoreId and XksKeyId need"),
        (c.CreateKey(outer_key="others"), "InvalidRequest: CustomKeyStoreId and XksKeyId need"),
        (
            c.CreateKey(origin=Origin.AWS_CLOUDHSM, key_store=made),
            "InvalidRequest: Origin AWS_CLOUDHSM does not",
        ),
    ):
        assert bench.refusal(command).startswith(refusal)
    bench.proxy.says = (401, b"")
    assert bench.refusal(bench.outer(made, "others")).startswith("KeyStoreInvalidState: ")
    bench.do(c.DisconnectCustomKeyStore(made))
    assert bench.refusal(bench.outer(made, "others")).startswith("KeyStoreInvalidState: ")


@pytest.mark.parametrize("text", [b"x", b"y" * 4096])
def test_both_halves_are_needed(bench: Bench, text: bytes) -> None:
    """The blob opens with the proxy and here; what the proxy sees is sealed, and the context it sees is a hash."""
    key = bench.key(bench.outer(bench.store()))
    sealed = bench.do(c.Encrypt(key, text, CONTEXT)).blob
    assert blob.parse(sealed).external
    opened = bench.do(c.Decrypt(sealed, context=CONTEXT))
    assert (opened.plaintext, opened.material_id) == (text, "")
    with pytest.raises(InvalidCiphertext):
        bench.do(c.Decrypt(sealed, context={"tenant": "8"}))
    with pytest.raises(InvalidCiphertext):
        bench.do(c.Decrypt(sealed))
    spoken = json.dumps([asked for path, asked in bench.proxy.requests if "crypt" in path])
    assert "tenant" not in spoken
    assert bench.records[-1].action == "kms:Decrypt"


def test_every_use_of_a_symmetric_key_works(bench: Bench) -> None:
    """Data keys and pairs, and moving a ciphertext in and out of the key store."""
    made = bench.store()
    outer, ordinary = bench.key(bench.outer(made)), bench.key()
    other = bench.key(bench.outer(made, "others"))
    rsa = bench.key(c.CreateKey(spec="RSA_2048", usage="ENCRYPT_DECRYPT"))
    new = bench.do(c.GenerateDataKey(outer, 32, CONTEXT))
    assert new.material_id == ""
    assert bench.do(c.Decrypt(new.blob, context=CONTEXT)).plaintext == new.plaintext
    hidden = bench.do(c.GenerateDataKeyWithoutPlaintext(outer, 16))
    assert len(bench.do(c.Decrypt(hidden.blob)).plaintext) == 16
    pair = bench.do(c.GenerateDataKeyPair(outer, "ECC_NIST_P256", CONTEXT))
    assert bench.do(c.Decrypt(pair.blob, context=CONTEXT)).plaintext == pair.private_key

    sealed = bench.do(c.Encrypt(ordinary, b"text", CONTEXT)).blob
    for target in (outer, other, ordinary, outer):
        sealed = bench.do(c.ReEncrypt(sealed, target, context=CONTEXT, source_context=CONTEXT)).blob
        assert bench.do(c.Decrypt(sealed, context=CONTEXT)).plaintext == b"text"
    oaep = "RSAES_OAEP_SHA_256"
    out = bench.do(c.ReEncrypt(sealed, rsa, source_context=CONTEXT, algorithm=oaep)).blob
    back = bench.do(c.ReEncrypt(out, outer, rsa, source_algorithm=oaep)).blob
    assert bench.do(c.Decrypt(back)).plaintext == b"text"
    operations = {asked["requestMetadata"]["kmsOperation"] for _, asked in bench.proxy.requests}
    assert operations >= {
        "ReEncrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "Decrypt",
        "CreateKey",
    }


def test_the_network_is_left_for_later(bench: Bench) -> None:
    """The loop's thread does the inner half, and another one waits for the proxy."""
    key = bench.key(bench.outer(bench.store()))
    sealed = bench.do(c.Encrypt(key, b"x")).blob
    bench.proxy.requests.clear()
    for command in (c.Encrypt(key, b"x"), c.Decrypt(sealed)):
        answer = bench.gate.handle(bench.caller(), command)
        assert isinstance(answer.later, Later)
        assert bench.proxy.requests == []
        bench.gate.abandon(answer, CustodyUnavailable("enough"))


def test_a_blob_of_the_other_kind_does_not_open(bench: Bench) -> None:
    """Nor one of a version that such a key never has; the proxy is not even asked."""
    outer, ordinary = bench.key(bench.outer(bench.store())), bench.key()
    sealed = bench.do(c.Encrypt(outer, b"x")).blob
    plain = bench.do(c.Encrypt(ordinary, b"x")).blob
    bench.proxy.requests.clear()
    rest = len(blob.header(outer.name, 1))
    forged = [
        blob.header(outer.name, 1) + bytes(100),
        blob.header(outer.name, 2, external=True) + sealed[rest:],
        blob.header(ordinary.name, 1, external=True) + sealed[rest:],
        blob.header(ordinary.name, 1, external=True) + bytes(60) + plain[rest:],
    ]
    for each in forged:
        with pytest.raises(InvalidCiphertext):
            bench.do(c.Decrypt(each))
    assert bench.proxy.requests == []


def test_a_ciphertext_of_one_key_is_not_anothers(bench: Bench) -> None:
    """Even when both halves are told that it is."""
    made = bench.store()
    one, other = bench.key(bench.outer(made)), bench.key(bench.outer(made, "others"))
    sealed = bench.do(c.Encrypt(one, b"x")).blob
    rest = sealed[len(blob.header(one.name, 1)) :]
    with pytest.raises(InvalidCiphertext):
        bench.do(c.Decrypt(blob.header(other.name, 1, external=True) + rest))
    bench.proxy.keys["orders"], bench.proxy.keys["others"] = (
        bench.proxy.keys["others"],
        bench.proxy.keys["orders"],
    )
    with pytest.raises(InvalidCiphertext):
        bench.do(c.Decrypt(sealed))


def test_what_its_owner_takes_away_is_gone_at_once(bench: Bench) -> None:
    """The key disabled, the principal forbidden, the proxy down: no use, in words that say whose part it is."""
    key = bench.key(bench.outer(bench.store()))
    sealed = bench.do(c.Encrypt(key, b"x")).blob
    bench.proxy.disabled.add("orders")
    assert bench.refusal(c.Decrypt(sealed)) == (
        "InvalidKeyState: The external key is not enabled in its key manager."
    )
    bench.proxy.disabled.clear()
    bench.proxy.forbidden.add(f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert bench.refusal(c.Encrypt(key, b"x")).startswith("InvalidKeyState: ")
    bench.proxy.forbidden.clear()
    bench.proxy.says = (503, b"")
    assert bench.refusal(c.Decrypt(sealed)).startswith("CustodyUnavailable: ")
    bench.proxy.says = None
    assert bench.do(c.Decrypt(sealed)).plaintext == b"x"


def test_a_key_store_that_is_disconnected_stops_its_keys_everywhere(bench: Bench, running: Proxy) -> None:
    """In every process, the moment it returns, and only its own keys."""
    made = bench.store()
    key, ordinary = bench.key(bench.outer(made)), bench.key()
    sealed = bench.do(c.Encrypt(key, b"x")).blob
    other = Bench(running, bench.house, "w1")
    assert other.do(c.Decrypt(sealed)).plaintext == b"x"
    other.do(c.Encrypt(ordinary, b"x"))
    bench.do(c.DisconnectCustomKeyStore(made))
    assert "is unavailable: its custom key store is not connected" in other.refusal(c.Decrypt(sealed))
    assert other.do(c.Encrypt(ordinary, b"x"))
    described = other.do(c.DescribeKey(key))
    assert described.key_store.connection is Connection.DISCONNECTED
    other.do(c.DisableKey(key))
    assert bench.refusal(c.Encrypt(key, b"x")).startswith("KeyDisabled: ")
    bench.do(c.ConnectCustomKeyStore(made))
    bench.do(c.EnableKey(key))
    assert other.do(c.Decrypt(sealed)).plaintext == b"x"


def test_an_answer_on_its_way_rests_on_the_key_store(bench: Bench, running: Proxy) -> None:
    """One that was decided before the disconnect does not leave after it."""
    made = bench.store()
    key = bench.key(bench.outer(made))
    bench.do(c.Encrypt(key, b"x"))
    answer = bench.handle(bench.caller(), c.Encrypt(key, b"x"))
    assert answer.error is None
    Bench(running, bench.house, "w1").do(c.DisconnectCustomKeyStore(made))
    assert bench.gate.settle([answer]) == [answer]


def test_such_keys_are_not_rotated_or_imported(bench: Bench) -> None:
    """Their material is the owner's affair."""
    key = bench.key(bench.outer(bench.store()))
    for command in (
        c.EnableKeyRotation(key, 90),
        c.DisableKeyRotation(key),
        c.RotateKeyOnDemand(key),
    ):
        assert bench.refusal(command).startswith("UnsupportedOperation: ")


def test_the_secret_is_not_shown_by_what_holds_it(bench: Bench) -> None:
    """Nor is a key whose key store has gone used without it."""
    made = bench.store()
    key = bench.key(bench.outer(made))
    bench.do(c.Encrypt(key, b"x"))
    held = bench.gate.working.key(REGION, key.name)
    assert isinstance(held, HeldKey)
    assert bench.proxy.secret not in f"{held.secret!r} {held.key_store!r}"
    with bench.house.store.transact("damage") as tx:
        tx.delete_key_store(made)
    with pytest.raises(Exception, match="has lost its custom key store"):
        bench.do(c.Encrypt(key, b"x"))
