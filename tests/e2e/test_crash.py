"""Kill -9 of any process at any moment, under load: nothing that a client was told is ever lost.

Clients of several kinds work and remember every answer. Each request carries a trace id of its own, so that
the audit log also says what became of those whose answer never came. After the killing, the log alone tells
what state everything must be in, and the service is asked whether it is.
"""

import os
import random
import secrets
import signal
import sqlite3
import threading
import time
from base64 import b64encode
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

pytestmark = pytest.mark.e2e

KILLS = 6  # in the short form
CAMPAIGNS, KILLS_OF_ONE = 20, 10  # in the long one
CLIENTS = 3
UNTOLD = {"ServiceUnavailableException", "DependencyTimeoutException"}  # nothing may be known of these

# What the audit log calls the errors that AWS's protocol names otherwise.
CODES = {
    "AlreadyExistsException": "AlreadyExists",
    "DisabledException": "KeyDisabled",
    "InvalidCiphertextException": "InvalidCiphertext",
    "LimitExceededException": "LimitExceeded",
    "NotFoundException": "NotFound",
}


@dataclass
class Asked:
    """One request, and the answer if there was one."""

    trace: str
    operation: str
    body: dict[str, Any]
    key: "Key | None" = None
    request: str = ""  # empty: no answer came
    error: str = ""
    value: Any = None


@dataclass
class Key:
    """A key that a client was given."""

    id: str
    blobs: list[tuple[str, str]] = field(default_factory=list)  # ciphertext and plaintext, both base64


class Client(threading.Thread):
    """Works until told to stop; makes a new connection whenever the old one breaks."""

    def __init__(self, service: Any, seed: str) -> None:
        super().__init__()
        self.service = service
        self.random = random.Random(seed)  # noqa: S311 - which request comes next is no secret
        self.signer = service.signer()
        self.asked: list[Asked] = []
        self.keys: list[Key] = []
        self.working = threading.Event()
        self.leaving = False
        self.fault: BaseException | None = None

    @override
    def run(self) -> None:
        try:
            while not self.leaving:
                try:
                    with self.service.wire() as wire:
                        while not self.leaving:
                            self.step(wire)
                            self.working.set()
                except OSError:  # the process behind the connection is gone
                    time.sleep(0.02)
        except BaseException as fault:  # noqa: BLE001 - it is raised again where the test can see it
            self.fault = fault

    def step(self, wire: Any) -> None:
        """One request of a random kind."""
        if not self.keys or self.random.random() < 0.03:
            asked = self.ask(wire, "CreateKey", {"Description": secrets.token_hex(8)})
            if not asked.error:
                self.keys.append(Key(asked.value["KeyMetadata"]["KeyId"]))
            return
        key = self.random.choice(self.keys[-8:])
        dice = self.random.random()
        if dice < 0.30:
            plaintext = b64encode(self.random.randbytes(24)).decode()
            asked = self.ask(wire, "Encrypt", {"KeyId": key.id, "Plaintext": plaintext}, key)
            if not asked.error:
                key.blobs.append((asked.value["CiphertextBlob"], plaintext))
        elif dice < 0.45:
            asked = self.ask(wire, "GenerateDataKey", {"KeyId": key.id, "KeySpec": "AES_256"}, key)
            if not asked.error:
                key.blobs.append((asked.value["CiphertextBlob"], asked.value["Plaintext"]))
        elif dice < 0.70 and key.blobs:
            blob, plaintext = self.random.choice(key.blobs)
            asked = self.ask(wire, "Decrypt", {"CiphertextBlob": blob}, key)
            assert asked.error or asked.value["Plaintext"] == plaintext
        elif dice < 0.80:
            self.ask(wire, "RotateKeyOnDemand", {"KeyId": key.id}, key)
        elif dice < 0.86:
            self.ask(wire, "DisableKey", {"KeyId": key.id}, key)
        elif dice < 0.94:
            self.ask(wire, "EnableKey", {"KeyId": key.id}, key)
        else:
            name = f"alias/{secrets.token_hex(8)}"
            self.ask(wire, "CreateAlias", {"AliasName": name, "TargetKeyId": key.id}, key)

    def ask(self, wire: Any, operation: str, body: dict[str, Any], key: Key | None = None) -> Asked:
        """Ask, and remember that it was asked before it is sent."""
        trace = secrets.token_hex(16)
        asked = Asked(trace, operation, body, key)
        self.asked.append(asked)
        extra = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        reply = wire.ask(self.signer(operation, body, extra=extra))
        asked.request, asked.error, asked.value = reply.request, reply.error, reply.value
        return asked


class Administrator(Client):
    """Works on the control plane: it makes users."""

    def __init__(self, service: Any, seed: str) -> None:
        super().__init__(service, seed)
        self.signer = service.signer(service="keystead")

    @override
    def run(self) -> None:
        while not self.leaving:
            try:
                with self.service.control_wire() as wire:
                    while not self.leaving:
                        # No traces are kept of these requests: the user's name says which is which.
                        asked = Asked("", "CreatePrincipal", {"name": secrets.token_hex(8)})
                        self.asked.append(asked)
                        reply = wire.ask(self.signer(asked.operation, asked.body))
                        asked.request, asked.error = reply.request, reply.error
                        self.working.set()
            except OSError:
                time.sleep(0.02)


class Campaign:
    """One service, its clients, and what must be true of it in the end."""

    def __init__(self, service: Any, seed: str) -> None:
        self.service = service
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - when to kill whom is no secret
        self.asked: list[Asked] = []

    def run(self, kills: int) -> None:
        """Kill that many times, then stop in order and check everything."""
        self.service.start()
        self.clients = self.employ(0)
        for number in range(kills):
            time.sleep(self.random.uniform(0.05, 0.6))
            self.kill(number)
        self.service.until(self.service.ready)
        # Everybody comes to work once more, so what each process recovered is used as well.
        for client in self.clients:
            client.working.clear()
        for client in self.clients:
            assert client.working.wait(30) or client.fault, self.service.said()
        self.dismiss()
        assert self.service.stop() == 0
        self.service.verify()
        self.judge_log()
        self.service.start()
        self.judge_service()
        assert self.service.stop() == 0
        self.service.verify()

    def employ(self, number: int) -> list[Client]:
        """Clients that begin to work."""
        clients: list[Client] = [
            *(Client(self.service, f"{self.seed} {number} {name}") for name in range(CLIENTS)),
            Administrator(self.service, self.seed),
        ]
        for client in clients:
            client.start()
        return clients

    def dismiss(self) -> None:
        """Let the clients go, and keep what they remember."""
        for client in self.clients:
            client.leaving = True
        for client in self.clients:
            client.join(60)
            assert not client.is_alive()
            if client.fault is not None:
                raise client.fault
            self.asked += client.asked

    def kill(self, number: int) -> None:
        """Kill one process or all of them; start the service again if that ended it."""
        service = self.service
        whom = self.random.choice(["child", "child", "child", "supervisor", "all"])
        children = service.children()
        if whom == "child":
            if children:  # all of them may be waiting for their next start
                child = self.random.choice(children)
                os.kill(child, signal.SIGKILL)
                service.until(lambda: child not in service.children())
            return
        if whom == "all":
            service.kill()
        else:
            # The children notice, answer what they have begun, and go.
            service.process.kill()
            service.process.wait(timeout=10)
            service.until(lambda: not any(map(alive, children)), 40)
        self.dismiss()
        service.start()
        keys = [client.keys for client in self.clients]
        self.clients = self.employ(number + 1)
        for client, known in zip(self.clients, keys, strict=True):
            client.keys.extend(known)

    def judge_log(self) -> None:
        """(a) Every answer has its record. (c) Every intent has its outcome. (d) Nothing succeeded twice."""
        records = self.service.records()
        outcomes: dict[str, list[str]] = {}
        intents: Counter[str] = Counter()
        self.traces: dict[str, list[str]] = {}
        self.users: dict[str, list[str]] = {}
        for record in records:
            request, outcome = record.get("request", ""), record.get("outcome", "Success")
            if record.get("stage") == "intent":
                assert record.get("subject") or record["action"] == "kms:CreateKey", record
                intents[request] += 1
                self.traces.setdefault(record.get("trace", ""), [])
                continue
            outcomes.setdefault(request, []).append(outcome)
            self.traces.setdefault(record.get("trace", ""), []).append(outcome)
            if record.get("action") == "keystead:CreatePrincipal":
                name = record.get("subject", "").rpartition("/")[2]
                self.users.setdefault(name, []).append(outcome)
        answered = [asked for asked in self.asked if asked.request and asked.error not in UNTOLD]
        assert len(answered) > 100, "the clients did next to nothing"
        for asked in answered:
            expected = CODES.get(asked.error, asked.error) or "Success"
            assert outcomes.get(asked.request) == [expected], (asked, outcomes.get(asked.request))
        assert set(intents.values()) == {1}
        dangling = [request for request in intents if len(outcomes.get(request, [])) != 1]
        assert not dangling
        twice = {request for request, ends in outcomes.items() if request and ends.count("Success") > 1}
        assert not twice

    def judge_service(self) -> None:
        """(b) Everything is as the log says, which knows of every answer, and of more."""
        service = self.service
        # Keys, by the description that each was made with.
        made = {}
        marker: dict[str, str] = {}
        truncated = True
        while truncated:
            page = service.call("ListKeys", {"Limit": 1000, **marker})
            for entry in page["Keys"]:
                described = service.call("DescribeKey", {"KeyId": entry["KeyId"]})["KeyMetadata"]
                made[described["Description"]] = described
            truncated = page["Truncated"]
            marker = {"Marker": page.get("NextMarker", "")}
        states: dict[str, str] = {}
        rotations: Counter[str] = Counter()
        aliases: dict[str, set[str]] = {}
        created = set()
        for asked in self.asked:  # a key belongs to one client, whose requests are in order
            if "Success" not in self.traces.get(asked.trace, []):
                assert not asked.request or asked.error, asked
                continue
            key = asked.key.id if asked.key else ""
            if asked.operation == "CreateKey":
                created.add(asked.body["Description"])
            elif asked.operation in {"DisableKey", "EnableKey"}:
                states[key] = "Disabled" if asked.operation == "DisableKey" else "Enabled"
            elif asked.operation == "RotateKeyOnDemand":
                rotations[key] += 1
            elif asked.operation == "CreateAlias":
                aliases.setdefault(key, set()).add(asked.body["AliasName"])
        assert set(made) == created
        for described in made.values():
            key = described["KeyId"]
            assert described["KeyState"] == states.get(key, "Enabled"), key
            found = service.call("ListKeyRotations", {"KeyId": key})["Rotations"]
            assert len(found) == rotations[key], key
            named = service.call("ListAliases", {"KeyId": key, "Limit": 100})["Aliases"]
            assert {alias["AliasName"] for alias in named} == aliases.get(key, set())
        # What was ever encrypted opens.
        keys = {asked.key.id: asked.key for asked in self.asked if asked.key}
        signer = service.signer()
        with service.wire() as wire:
            for used in keys.values():
                assert wire.ask(signer("EnableKey", {"KeyId": used.id})).status == 200
                for blob, plaintext in used.blobs:
                    reply = wire.ask(signer("Decrypt", {"CiphertextBlob": blob}))
                    assert reply.status == 200, (reply, used.id)
                    assert reply.value["Plaintext"] == plaintext
        assert any(used.blobs for used in keys.values())
        # Users.
        asked_for = {asked.body["name"] for asked in self.asked if asked.operation == "CreatePrincipal"}
        recorded = {name for name in asked_for if "Success" in self.users.get(name, [])}
        assert asked_for & self.people() == recorded

    def people(self) -> set[str]:
        """The names of all users."""
        names: set[str] = set()
        marker = ""
        while True:
            page = self.service.administer("ListPrincipals", limit=1000, marker=marker)
            names |= {principal["name"] for principal in page["principals"]}
            marker = page["marker"]
            if not marker:
                return names


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_few_kills_lose_nothing(own_service: Any) -> None:
    """Six kills of random processes under load: no answer without its record, no change that is lost."""
    run(own_service, os.environ.get("KEYSTEAD_SEED") or secrets.token_hex(4), KILLS)


@pytest.mark.long
@pytest.mark.parametrize("number", range(CAMPAIGNS))
def test_two_hundred_kills_lose_nothing(own_service: Any, number: int) -> None:
    """Two hundred kills, ten on each installation."""
    run(own_service, f"{os.environ.get('KEYSTEAD_SEED') or secrets.token_hex(4)}-{number}", KILLS_OF_ONE)


def test_a_change_that_waited_long_is_resolved_as_well(own_service: Any) -> None:
    """However many records came after the intent of a change, a crash leaves it with an outcome."""
    service = own_service
    service.workers = 1
    service.start()
    sign = service.signer()
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    request = sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    trace = secrets.token_hex(16)
    with (
        closing(sqlite3.connect(service.data / "keystead.db", isolation_level=None)) as holder,
        service.wire() as changer,
        service.wire() as worker,
    ):
        holder.execute("BEGIN IMMEDIATE")  # the change has to wait for this
        changer.send(sign("CreateKey", extra={"traceparent": f"00-{trace}-{'1' * 16}-01"}))
        for _ in range(100):
            worker.send(request * 50)
            assert {worker.reply().status for _ in range(50)} == {200}
        pid = service.child("w0")
        os.kill(pid, signal.SIGKILL)
        service.until(lambda: pid not in service.children())
    service.until(service.ready)
    assert service.stop() == 0
    ends = [record for record in service.records() if record.get("trace") == trace]
    assert [record.get("stage") for record in ends] == ["intent", "outcome"]
    assert ends[1]["outcome"] == "Interrupted"


def run(service: Any, seed: str, kills: int) -> None:
    """Run a campaign; the seed is printed with a failure. `KEYSTEAD_SEED` runs the same one again."""
    print(f"KEYSTEAD_SEED={seed}")  # noqa: T201 - pytest shows it with the failure
    Campaign(service, seed).run(kills)
