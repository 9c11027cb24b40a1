"""The life of keys, against a model: whatever is done in whatever order, the service does what it says.

The model knows nothing of the code. A key has a state, versions and ciphertexts; the table of what
AWS allows is written down once more here, by hand, from AWS's own table.
"""

import json
import os
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

pytestmark = pytest.mark.e2e

# AWS KMS developer guide, "Key states of AWS KMS keys": what each state says to each kind of call.
DISABLED, PENDING = "DisabledException", "KMSInvalidStateException"
REFUSALS = {
    "Enabled": {"cancel": PENDING},
    "Disabled": {"use": DISABLED, "cancel": PENDING, "rotation": DISABLED},
    "PendingDeletion": {
        "use": PENDING,
        "configure": PENDING,
        "rotation": PENDING,
        "enable": PENDING,
        "disable": PENDING,
        "schedule": PENDING,
    },
}

contexts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


class ModelKey:
    """What the model knows of a key."""

    def __init__(self, key_id: str, arn: str) -> None:
        self.id = key_id
        self.arn = arn
        self.state = "Enabled"
        self.versions = 1
        self.description = ""
        self.tags: dict[str, str] = {}
        self.aliases: set[str] = set()
        self.rotating = False
        self.denied = False

    @override
    def __repr__(self) -> str:
        return f"<{self.state} key, {self.versions} versions>"


class KeyLife(RuleBasedStateMachine):
    """Two clients, on different connections and so often on different workers, take turns."""

    clients: ClassVar[list[Any]] = []
    numbers: ClassVar[list[int]] = [0]

    keys = Bundle("keys")
    blobs = Bundle("blobs")

    def __init__(self) -> None:
        super().__init__()
        self.made: list[ModelKey] = []

    @initialize(target=keys)
    def first_key(self) -> ModelKey:
        return self.create_one()

    @rule(target=keys)
    def create(self) -> ModelKey:
        return self.create_one()

    @rule(
        key=keys,
        client=st.integers(0, 1),
        plaintext=st.binary(min_size=1, max_size=64),
        context=contexts,
        target=blobs,
    )
    def encrypt(self, key: ModelKey, client: int, plaintext: bytes, context: dict[str, str]) -> Any:
        answer = self.call(
            key, "use", client, "encrypt", KeyId=key.id, Plaintext=plaintext, EncryptionContext=context
        )
        return multiple() if answer is None else (key, answer["CiphertextBlob"], plaintext, context)

    @rule(blob=blobs, client=st.integers(0, 1))
    def decrypt(self, blob: Any, client: int) -> None:
        key, sealed, plaintext, context = blob
        answer = self.call(key, "use", client, "decrypt", CiphertextBlob=sealed, EncryptionContext=context)
        if answer is not None:
            assert answer["Plaintext"] == plaintext

    @rule(key=keys, client=st.integers(0, 1), target=blobs)
    def data_key(self, key: ModelKey, client: int) -> Any:
        answer = self.call(key, "use", client, "generate_data_key", KeyId=key.id, KeySpec="AES_256")
        return multiple() if answer is None else (key, answer["CiphertextBlob"], answer["Plaintext"], {})

    @rule(blob=blobs, to=keys, client=st.integers(0, 1), context=contexts, target=blobs)
    def re_encrypt(self, blob: Any, to: ModelKey, client: int, context: dict[str, str]) -> Any:
        key, sealed, plaintext, old = blob
        arguments = {
            "CiphertextBlob": sealed,
            "SourceEncryptionContext": old,
            "DestinationKeyId": to.id,
            "DestinationEncryptionContext": context,
        }
        # The source is looked at first.
        first = key if self.refusal(key, "use") else to
        answer = self.call(first, "use", client, "re_encrypt", **arguments)
        return multiple() if answer is None else (to, answer["CiphertextBlob"], plaintext, context)

    @rule(key=keys, client=st.integers(0, 1))
    def rotate(self, key: ModelKey, client: int) -> None:
        expected = "LimitExceededException" if key.versions > 25 else None
        if self.call(key, "use", client, "rotate_key_on_demand", otherwise=expected, KeyId=key.id):
            key.versions += 1

    @rule(key=keys, client=st.integers(0, 1), on=st.booleans())
    def set_rotation(self, key: ModelKey, client: int, on: bool) -> None:
        name = "enable_key_rotation" if on else "disable_key_rotation"
        if self.call(key, "rotation", client, name, KeyId=key.id):
            key.rotating = on

    @rule(key=keys, client=st.integers(0, 1))
    def disable(self, key: ModelKey, client: int) -> None:
        if self.call(key, "disable", client, "disable_key", KeyId=key.id):
            key.state = "Disabled"

    @rule(key=keys, client=st.integers(0, 1))
    def enable(self, key: ModelKey, client: int) -> None:
        if self.call(key, "enable", client, "enable_key", KeyId=key.id):
            key.state = "Enabled"

    @rule(key=keys, client=st.integers(0, 1))
    def schedule_deletion(self, key: ModelKey, client: int) -> None:
        if self.call(key, "schedule", client, "schedule_key_deletion", KeyId=key.id, PendingWindowInDays=7):
            key.state = "PendingDeletion"

    @rule(key=keys, client=st.integers(0, 1))
    def cancel_deletion(self, key: ModelKey, client: int) -> None:
        if self.call(key, "cancel", client, "cancel_key_deletion", KeyId=key.id):
            key.state = "Disabled"

    @rule(key=keys, client=st.integers(0, 1), text=st.text(max_size=20))
    def describe_differently(self, key: ModelKey, client: int, text: str) -> None:
        if self.call(key, "configure", client, "update_key_description", KeyId=key.id, Description=text):
            key.description = text

    @rule(key=keys, client=st.integers(0, 1), name=st.sampled_from("abc"), value=st.text(max_size=5))
    def tag(self, key: ModelKey, client: int, name: str, value: str) -> None:
        tags = [{"TagKey": name, "TagValue": value}]
        if self.call(key, "configure", client, "tag_resource", KeyId=key.id, Tags=tags):
            key.tags[name] = value

    @rule(key=keys, client=st.integers(0, 1), name=st.sampled_from("abc"))
    def untag(self, key: ModelKey, client: int, name: str) -> None:
        if self.call(key, "configure", client, "untag_resource", KeyId=key.id, TagKeys=[name]):
            key.tags.pop(name, None)

    @rule(key=keys, client=st.integers(0, 1))
    def name_it(self, key: ModelKey, client: int) -> None:
        self.numbers[0] += 1
        name = f"alias/machine-{self.numbers[0]}"
        if self.call(key, "configure", client, "create_alias", AliasName=name, TargetKeyId=key.id):
            key.aliases.add(name)

    @rule(key=keys, client=st.integers(0, 1), deny=st.booleans())
    def forbid_use(self, key: ModelKey, client: int, deny: bool) -> None:
        account = key.arn.split(":")[4]
        allow = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*"}
        no = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["kms:*crypt*", "kms:GenerateDataKey*", "kms:RotateKeyOnDemand"],
            "Resource": "*",
        }
        policy = json.dumps({"Statement": [allow, no] if deny else [allow]})
        self.clients[client].put_key_policy(KeyId=key.id, Policy=policy)
        key.denied = deny

    @invariant()
    def keys_are_as_the_model_says(self) -> None:
        for key in self.made:
            described = self.clients[0].describe_key(KeyId=key.id)["KeyMetadata"]
            assert described["KeyState"] == key.state
            assert described["Enabled"] == (key.state == "Enabled")
            assert described["Description"] == key.description

    @override
    def teardown(self) -> None:
        for key in self.made:
            tags = self.clients[1].list_resource_tags(KeyId=key.id)["Tags"]
            assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == key.tags
            aliases = self.clients[1].list_aliases(KeyId=key.id)["Aliases"]
            assert {alias["AliasName"] for alias in aliases} == key.aliases
            rotations = self.clients[1].list_key_rotations(KeyId=key.id)["Rotations"]
            assert len(rotations) == key.versions - 1
            status = self.clients[1].get_key_rotation_status(KeyId=key.id)
            assert status["KeyRotationEnabled"] == (key.rotating and key.state != "PendingDeletion")

    def create_one(self) -> ModelKey:
        metadata = self.clients[0].create_key()["KeyMetadata"]
        key = ModelKey(metadata["KeyId"], metadata["Arn"])
        self.made.append(key)
        return key

    @staticmethod
    def refusal(key: ModelKey, kind: str) -> str | None:
        """The error that the model expects, if any: permission is checked before the state."""
        if key.denied and kind == "use":
            return "AccessDeniedException"
        return REFUSALS[key.state].get(kind)

    def call(
        self,
        key: ModelKey,
        kind: str,
        client: int,
        name: str,
        *,
        otherwise: str | None = None,
        **arguments: Any,
    ) -> Any:
        """Make a call and compare how it ends with the model; the answer, or None if it was refused."""
        expected = self.refusal(key, kind) or otherwise
        method = getattr(self.clients[client], name)
        if expected is None:
            return method(**arguments)
        with pytest.raises(ClientError) as caught:
            method(**arguments)
        assert caught.value.response["Error"]["Code"] == expected
        return None


def test_keys_live_as_the_model_says(service: Any) -> None:
    """Random histories of every operation, over two connections, agree with the model at each step."""
    KeyLife.clients = [service.client(), service.client()]
    long = os.environ.get("HYPOTHESIS_PROFILE") == "long"
    run_state_machine_as_test(
        KeyLife,
        settings=settings(
            max_examples=200 if long else 12, stateful_step_count=40 if long else 25, deadline=None
        ),
    )
