"""What one worker or the control plane has changed is in force on every connection to every other at once.

A request that is sent after a change was answered must never be decided by what was before. Each test keeps
connections to both workers open and their caches warm, and looks many times.
"""

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

CONNECTIONS = 12
ROUNDS = 25


@pytest.fixture(scope="module")
def wires(service: Any) -> Iterator[list[Any]]:
    """Connections to both workers: the kernel spreads them, and it is checked that it did."""
    wires = [service.wire() for _ in range(CONNECTIONS)]
    served = re.findall(r"keystead_connections_open\{process=\"w\d\"\} (\d+)", metrics(service))
    for _ in range(50):
        if len(served) == 2 and "0" not in served:
            break
        wires.append(service.wire())
        served = re.findall(r"keystead_connections_open\{process=\"w\d\"\} (\d+)", metrics(service))
    assert len(served) == 2
    yield wires
    for wire in wires:
        wire.close()


def metrics(service: Any) -> str:
    """The metrics, once the workers have had the time to count."""
    threading.Event().wait(0.2)
    return str(service.look("/metrics").body.decode())


@pytest.fixture(scope="module", autouse=True)
def busy(service: Any) -> Iterator[None]:
    """Another client that keeps both workers busy, so that the changes fall into the middle of their work."""
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    request = service.signer()("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    leaving = threading.Event()
    ends: list[set[int]] = []

    def work() -> None:
        seen = set()
        with service.wire() as wire:
            while not leaving.is_set():
                wire.send(request * 8)
                seen |= {wire.reply().status for _ in range(8)}
                leaving.wait(0.005)
        ends.append(seen)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    yield
    leaving.set()
    for worker in workers:
        worker.join()
    assert ends == [{200}] * 4


def ask_all(wires: list[Any], request: bytes) -> list[str]:
    """Send a request on every connection, then read all answers; returns the errors, empty for none."""
    for wire in wires:
        wire.send(request)
    return [wire.reply().error for wire in wires]


@pytest.fixture
def key(service: Any) -> str:
    """A key's id."""
    return str(service.call("CreateKey")["KeyMetadata"]["KeyId"])


def test_a_disabled_key_is_used_by_nobody_and_an_enabled_one_by_all(
    service: Any, wires: list[Any], key: str
) -> None:
    """After DisableKey has returned no connection encrypts or decrypts; after EnableKey all do."""
    sign = service.signer()
    blob = service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"]
    requests = [
        sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="}),
        sign("Decrypt", {"CiphertextBlob": blob}),
        sign("GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"}),
    ]
    for number in range(ROUNDS):
        request = requests[number % 3]
        assert set(ask_all(wires, request)) == {""}
        changer = wires[number % len(wires)]
        assert changer.ask(sign("DisableKey", {"KeyId": key})).status == 200
        assert set(ask_all(wires, request)) == {"DisabledException"}
        assert changer.ask(sign("EnableKey", {"KeyId": key})).status == 200
        assert set(ask_all(wires, request)) == {""}


def test_what_is_on_its_way_while_a_key_is_disabled_is_settled_by_the_answer(
    service: Any, wires: list[Any], key: str
) -> None:
    """A pipeline into which the change falls succeeds up to some point and never again after it."""
    sign = service.signer()
    request = sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    mixed = 0
    for number in range(ROUNDS):
        for wire in wires:
            wire.send(request * 30)
        changer = wires[number % len(wires)]
        changer.send(sign("DisableKey", {"KeyId": key}))
        for wire in wires:
            errors = [wire.reply().error for _ in range(30)]
            cut = errors.count("")
            assert errors == [""] * cut + ["DisabledException"] * (30 - cut)
            mixed += 0 < cut < 30
        assert changer.reply().status == 200
        assert set(ask_all(wires, request)) == {"DisabledException"}
        assert changer.ask(sign("EnableKey", {"KeyId": key})).status == 200


def test_a_denying_policy_is_in_force_at_once(service: Any, wires: list[Any], key: str) -> None:
    """After PutKeyPolicy has returned nobody does what it denies, and everybody what it allows again."""
    sign = service.signer()
    allow = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    request = sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    for number in range(ROUNDS):
        changer = wires[number % len(wires)]
        for statements, expected in (([allow, deny], "AccessDeniedException"), ([allow], "")):
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            assert changer.ask(sign("PutKeyPolicy", {"KeyId": key, "Policy": policy})).status == 200
            assert set(ask_all(wires, request)) == {expected}


def test_a_repointed_alias_leads_to_its_new_key_at_once(service: Any, wires: list[Any], key: str) -> None:
    """After UpdateAlias has returned every user of the name gets the new key; after DeleteAlias none."""
    sign = service.signer()
    arns = [service.call("CreateKey")["KeyMetadata"]["Arn"] for _ in range(2)]
    request = sign("Encrypt", {"KeyId": "alias/moving", "Plaintext": "eA=="})
    assert set(ask_all(wires, request)) == {"NotFoundException"}
    service.call("CreateAlias", {"AliasName": "alias/moving", "TargetKeyId": arns[0]})
    for number in range(1, ROUNDS):
        for wire in wires:
            wire.send(request)
        assert {wire.reply().value["KeyId"] for wire in wires} == {arns[(number + 1) % 2]}
        update = sign("UpdateAlias", {"AliasName": "alias/moving", "TargetKeyId": arns[number % 2]})
        assert wires[number % len(wires)].ask(update).status == 200
    service.call("DeleteAlias", {"AliasName": "alias/moving"})
    assert set(ask_all(wires, request)) == {"NotFoundException"}


def somebody(service: Any, name: str) -> Any:
    """A new user who may do everything; returns the signer, the access key and the secret."""
    policy = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    service.administer("CreatePrincipal", name=name, policy=policy)
    made = service.administer("CreateAccessKey", name=name)
    return service.signer(access_key=made["access_key_id"], secret=made["secret_access_key"])


def every_kind(sign: Any, key: str) -> list[bytes]:
    """A hot request, one that reads the store and one that changes it."""
    return [
        sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="}),
        sign("DescribeKey", {"KeyId": key}),
        sign("UpdateKeyDescription", {"KeyId": key, "Description": "still here"}),
    ]


def test_a_disabled_access_key_proves_nothing_at_once(service: Any, wires: list[Any], key: str) -> None:
    """After SetAccessKeyStatus has returned it signs nothing: no use, no look, no change; then all again."""
    sign = somebody(service, "stopped")
    requests = every_kind(sign, key)
    for number in range(ROUNDS):
        request = requests[number % 3]
        assert set(ask_all(wires, request)) == {""}
        service.administer("SetAccessKeyStatus", access_key_id=sign.access_key, enabled=False)
        assert set(ask_all(wires, request)) == {"UnrecognizedClientException"}, number % 3
        service.administer("SetAccessKeyStatus", access_key_id=sign.access_key, enabled=True)
        assert set(ask_all(wires, request)) == {""}


def test_a_removed_access_key_or_user_is_nobody_at_once(service: Any, wires: list[Any], key: str) -> None:
    """After DeleteAccessKey or DeletePrincipal has returned the key signs nothing, whatever is asked."""
    for number in range(12):
        name = f"leaver-{number}"
        sign = somebody(service, name)
        request = every_kind(sign, key)[number % 3]
        assert set(ask_all(wires, request)) == {""}
        if number % 2:
            service.administer("DeletePrincipal", name=name)
        else:
            service.administer("DeleteAccessKey", access_key_id=sign.access_key)
        assert set(ask_all(wires, request)) == {"UnrecognizedClientException"}, (number % 2, number % 3)


def test_a_users_new_policy_is_in_force_at_once(service: Any, wires: list[Any], key: str) -> None:
    """After PutPrincipalPolicy has returned the user may do what it says, everywhere."""
    sign = somebody(service, "changing")
    requests = every_kind(sign, key)
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}
    for number in range(ROUNDS):
        request = requests[number % 3]
        for statements, expected in (([allow, deny], "AccessDeniedException"), ([allow], "")):
            service.administer(
                "PutPrincipalPolicy", name="changing", policy=json.dumps({"Statement": statements})
            )
            assert set(ask_all(wires, request)) == {expected}
