"""What the conditions of policies may ask about a request, and that they are asked each time."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keystead.core.grant import Grant
from keystead.core.key import Key, Origin, State
from keystead.core.names import KeyReference
from keystead.core.policy import keys
from keystead.core.policy.actions import having
from keystead.core.policy.wildcards import Value
from keystead.service import actions, circumstances
from keystead.service.caller import Caller, identity_of
from keystead.service.circumstances import Circumstances
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.entry import Entry
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn

KEY = KeyReference("1234abcd")
ALICE = f"arn:aws:iam::{ACCOUNT}:user/team/alice"
HELD = Key(
    id="1234abcd",
    account="444455556666",
    region=REGION,
    spec="RSA_2048",
    usage="SIGN_VERIFY",
    state=State.ENABLED,
    created=0,
    policy="",
    origin=Origin.EXTERNAL,
)
PRIMARY = replace(HELD, members=(REGION, "us-east-1"))
REPLICA = replace(HELD, members=("us-east-1", REGION))


def asked(
    name: str, action: str = "kms:Encrypt", command: Command | None = None, **more: Any
) -> Value | None:
    """The value of a condition key, for a request of Alice's on a Saturday morning."""
    house = ServiceBench().house
    house.user("alice")
    caller = house.caller("r", arn=more.pop("arn", f"arn:aws:iam::{ACCOUNT}:user/alice"))
    caller.source = more.pop("source", "203.0.113.5")
    entry = Entry(time=1_769_846_401_500_000)
    return Circumstances(caller=caller, entry=entry, action=action, command=command, **more).get(name.lower())


IMPORT = c.ImportKeyMaterial(KEY, b"", b"", valid_to=1.5)
GRANT = c.CreateGrant(
    KEY, ("Decrypt", "Encrypt"), ALICE, retiring_service="x.example.com", context_subset={"a": "b"}
)
MADE = Grant(
    id="ab" * 32,
    region=REGION,
    key_id=KEY.name,
    grantee=ALICE,
    operations=("Decrypt",),
    issuer=f"arn:aws:iam::{ACCOUNT}:root",
    created=1.0,
    context_equals={"app": "payroll"},
)
CASES: list[tuple[str, Value | None, dict[str, Any]]] = [
    ("aws:CurrentTime", "2026-01-31T08:00:01.500000Z", {}),
    ("aws:EpochTime", "1769846401", {}),
    ("keystead:DayOfWeek", "Saturday", {}),
    ("keystead:TimeOfDay", "0800", {}),
    ("aws:PrincipalAccount", ACCOUNT, {}),
    ("aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/alice", {}),
    ("aws:PrincipalType", "User", {}),
    ("aws:PrincipalIsAWSService", "false", {}),
    ("aws:ViaAWSService", "false", {}),
    ("aws:username", "alice", {}),
    ("aws:RequestedRegion", REGION, {}),
    ("aws:SourceIp", "203.0.113.5", {}),
    ("aws:SourceIp", None, {"source": ""}),
    ("aws:ResourceAccount", ACCOUNT, {}),
    ("aws:ResourceAccount", "444455556666", {"key": HELD}),
    ("kms:CallerAccount", ACCOUNT, {"key": HELD}),
    ("aws:PrincipalTag/team", None, {}),
    ("kms:ViaService", None, {}),
    # The encryption context.
    ("kms:EncryptionContext:App", "payroll", {"context": {"app": "payroll", "x": "y"}}),
    ("kms:EncryptionContext:app", ("a", "b"), {"context": {"app": "a", "APP": "b"}}),
    ("kms:EncryptionContext:app", None, {}),
    ("kms:EncryptionContextKeys", ("app", "X"), {"context": {"app": "payroll", "X": "y"}}),
    ("kms:EncryptionContextKeys", (), {}),
    ("kms:EncryptionContext:A", "b", {"command": GRANT}),
    ("kms:EncryptionContextKeys", ("a",), {"command": GRANT}),
    ("kms:EncryptionContextKeys", ("c",), {"command": c.CreateGrant(KEY, (), context_equals={"c": "d"})}),
    ("kms:EncryptionContextKeys", (), {"command": c.CreateGrant(KEY, ())}),
    ("kms:EncryptionContext:app", "payroll", {"grant": MADE}),
    ("kms:EncryptionContextKeys", (), {"grant": replace(MADE, context_equals={})}),
    # Tags and aliases.
    ("aws:ResourceTag/team", "red", {"tags": lambda: [("Team", "red")]}),
    ("aws:ResourceTag/team", None, {}),
    ("aws:RequestTag/TEAM", "red", {"command": c.TagResource(KEY, (("team", "red"),))}),
    ("aws:RequestTag/team", None, {}),
    ("aws:TagKeys", ("team", "x"), {"command": c.CreateKey(tags=(("team", "red"), ("x", "")))}),
    ("aws:TagKeys", ("a", "b"), {"command": c.UntagResource(KEY, ("a", "b"))}),
    ("aws:TagKeys", (), {}),
    ("kms:RequestAlias", "alias/a", {"alias": "alias/a"}),
    ("kms:RequestAlias", None, {}),
    ("kms:ResourceAliases", ("alias/a", "alias/b"), {"aliases": lambda: ["alias/a", "alias/b"]}),
    # The key, or the one to be made.
    *((name, "RSA_2048", {"key": HELD}) for name in ("kms:KeySpec", "kms:CustomerMasterKeySpec")),
    *((name, "SIGN_VERIFY", {"key": HELD}) for name in ("kms:KeyUsage", "kms:CustomerMasterKeyUsage")),
    ("kms:KeyOrigin", "EXTERNAL", {"key": HELD}),
    ("kms:KeySpec", "SYMMETRIC_DEFAULT", {"command": c.CreateKey()}),
    ("kms:KeyUsage", "ENCRYPT_DECRYPT", {"command": c.CreateKey()}),
    ("kms:KeyUsage", "SIGN_VERIFY", {"command": c.CreateKey("RSA_2048", "SIGN_VERIFY")}),
    ("kms:KeyUsage", None, {"command": c.CreateKey("RSA_2048")}),
    ("kms:KeyOrigin", "AWS_KMS", {"command": c.CreateKey()}),
    ("kms:KeySpec", None, {}),
    ("kms:MultiRegion", "true", {"command": c.CreateKey(multi_region=True)}),
    ("kms:MultiRegion", "false", {"key": HELD}),
    ("kms:MultiRegionKeyType", None, {}),
    ("kms:MultiRegionKeyType", None, {"key": HELD}),
    ("kms:MultiRegionKeyType", "PRIMARY", {"key": PRIMARY}),
    ("kms:MultiRegionKeyType", "REPLICA", {"key": REPLICA}),
    ("kms:MultiRegionKeyType", "PRIMARY", {"command": c.CreateKey(multi_region=True)}),
    ("kms:MultiRegionKeyType", None, {"command": c.CreateKey()}),
    ("kms:PrimaryRegion", "us-east-1", {"key": REPLICA}),
    ("kms:PrimaryRegion", None, {"key": HELD}),
    (
        "kms:PrimaryRegion",
        "eu-west-1",
        {
            "action": "kms:UpdatePrimaryRegion",
            "command": c.UpdatePrimaryRegion(KEY, "eu-west-1"),
            "key": PRIMARY,
        },
    ),
    (
        "kms:ReplicaRegion",
        "eu-west-1",
        {"action": "kms:ReplicateKey", "command": c.ReplicateKey(KEY, "eu-west-1")},
    ),
    # What the request asks for.
    ("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", {"command": c.Encrypt(KEY, b"")}),
    ("kms:EncryptionAlgorithm", None, {"action": "kms:Sign"}),
    ("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", {"action": "kms:GenerateDataKey"}),
    *(
        (
            "kms:EncryptionAlgorithm",
            algorithm,
            {"action": action, "command": c.ReEncrypt(b"", KEY, algorithm="B", source_algorithm="A")},
        )
        for action, algorithm in (("kms:ReEncryptFrom", "A"), ("kms:ReEncryptTo", "B"))
    ),
    ("kms:SigningAlgorithm", "A", {"action": "kms:Sign", "command": c.Sign(KEY, b"", "A")}),
    ("kms:SigningAlgorithm", None, {"action": "kms:Encrypt", "command": c.Sign(KEY, b"", "A")}),
    (
        "kms:MessageType",
        "DIGEST",
        {"action": "kms:Verify", "command": c.Verify(KEY, b"", b"", "A", "DIGEST")},
    ),
    ("kms:MacAlgorithm", "A", {"action": "kms:GenerateMac", "command": c.GenerateMac(KEY, b"", "A")}),
    (
        "kms:KeyAgreementAlgorithm",
        "ECDH",
        {"action": "kms:DeriveSharedSecret", "command": c.DeriveSharedSecret(KEY, b"")},
    ),
    (
        "kms:DataKeyPairSpec",
        "RSA_2048",
        {"action": "kms:GenerateDataKeyPair", "command": c.GenerateDataKeyPair(KEY, "RSA_2048")},
    ),
    (
        "kms:RotationPeriodInDays",
        "90",
        {"action": "kms:EnableKeyRotation", "command": c.EnableKeyRotation(KEY, 90)},
    ),
    (
        "kms:ScheduleKeyDeletionPendingWindowInDays",
        "7",
        {"action": "kms:ScheduleKeyDeletion", "command": c.ScheduleKeyDeletion(KEY, 7)},
    ),
    (
        "kms:BypassPolicyLockoutSafetyCheck",
        "true",
        {"action": "kms:PutKeyPolicy", "command": c.PutKeyPolicy(KEY, "", bypass_lockout_check=True)},
    ),
    *(
        (
            name,
            value,
            {"action": "kms:GetParametersForImport", "command": c.GetParametersForImport(KEY, "A", "B")},
        )
        for name, value in (("kms:WrappingAlgorithm", "A"), ("kms:WrappingKeySpec", "B"))
    ),
    ("kms:ExpirationModel", "KEY_MATERIAL_EXPIRES", {"command": IMPORT}),
    ("kms:ExpirationModel", "KEY_MATERIAL_DOES_NOT_EXPIRE", {"command": c.ImportKeyMaterial(KEY, b"", b"")}),
    ("kms:ValidTo", "1.500000", {"command": IMPORT}),
    ("kms:ValidTo", None, {"command": c.ImportKeyMaterial(KEY, b"", b"")}),
    # Grants.
    ("kms:GrantOperations", ("Decrypt", "Encrypt"), {"command": GRANT}),
    ("kms:GranteePrincipal", ALICE, {"command": GRANT}),
    ("kms:RetiringPrincipal", "x.example.com", {"command": GRANT}),
    ("kms:GrantConstraintType", "EncryptionContextSubset", {"command": GRANT}),
    (
        "kms:GrantConstraintType",
        "EncryptionContextEquals",
        {"command": c.CreateGrant(KEY, (), context_equals={"a": "b"})},
    ),
    ("kms:GrantConstraintType", None, {"command": c.CreateGrant(KEY, ())}),
    ("kms:GrantConstraintType", "EncryptionContextEquals", {"grant": MADE}),
    ("kms:GrantIsForAWSResource", "false", {"command": GRANT}),
    *(
        (name, None, {})
        for name in (
            "kms:GrantOperations",
            "kms:GranteePrincipal",
            "kms:GrantConstraintType",
            "kms:ExpirationModel",
            "kms:ValidTo",
        )
    ),
]


@pytest.mark.parametrize(("name", "value", "request_"), CASES)
def test_the_value_of_each_condition_key(name: str, value: Value | None, request_: dict[str, Any]) -> None:
    """As the page of the policy language describes it; None where the request has no such key."""
    assert asked(name, **request_) == value


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        (ALICE, "User", "alice"),
        (f"arn:aws:iam::{ACCOUNT}:service-account/billing", "ServiceAccount", None),
        (f"arn:aws:iam::{ACCOUNT}:service/jobs", None, None),
    ],
)
def test_what_a_principal_is_called(arn: str, kind: str | None, name: str | None) -> None:
    """A user has a name without its path; the others have none."""
    house = ServiceBench().house
    with house.store.view() as view:
        admin = view.principal(f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert admin is not None
    caller = Caller(identity_of(replace(admin, arn=arn)), "r", REGION)
    at = Circumstances(caller=caller, entry=Entry(), action="kms:ListKeys")
    assert (at.get("aws:principaltype"), at.get("aws:username")) == (kind, name)


def test_every_value_is_that_of_a_key_that_a_policy_may_name() -> None:
    """A misspelt name here would be a key that is never there."""
    assert [name for name in circumstances._KEYS if not keys.known(name)] == []
    assert [family for family in circumstances._FAMILIES if not keys.known(f"{family}x")] == []


def test_the_page_says_which_keys_no_request_has_yet(checkout: Path) -> None:
    """Whoever writes a condition on one of them learns that it will not be there."""
    page = (checkout / "docs" / "reference" / "policy-language.md").read_text()
    (told,) = re.findall(r"No request has yet: (.+?)\.\n", page, flags=re.DOTALL)
    everything = {*keys.KMS, *keys.AWS, *keys.KEYSTEAD, *keys.FAMILIES}
    without = {n for n in everything if n.lower() not in {*circumstances._KEYS, *circumstances._FAMILIES}}
    assert set(re.findall(r"`([^`]+)`", told)) == without == set(keys.UNFILLED)
    assert [name for name in everything if keys.filled(name) is (name in without)] == []


def under(bench: ServiceBench, **condition: Any) -> KeyReference:
    """A key that alice may use under a condition and the admin without."""
    key = bench.key()
    who = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"}, "Action": "kms:*", "Resource": "*"}
    root = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    statements = [
        {"Effect": "Allow", **root},
        {"Sid": "ours", "Effect": "Allow", **who, "Condition": condition},
    ]
    bench.do(c.PutKeyPolicy(key, json.dumps({"Version": "2012-10-17", "Statement": statements})))
    return key


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin, and with alice, who may do nothing by her own policy."""
    bench = ServiceBench()
    bench.house.user("alice")
    return bench


def test_a_decision_under_a_condition_is_made_anew_for_each_request(bench: ServiceBench) -> None:
    """One encryption context opens nothing for another, in either order."""
    key = under(bench, StringEquals={"kms:EncryptionContext:app": "payroll"})
    caller = bench.caller("alice")
    for _ in range(2):
        assert bench.do(c.Encrypt(key, b"x", {"app": "payroll"}), caller).blob
        assert bench.records[-1].statement == "ours"
        assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x", {"app": "tax"}), caller)
        assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), caller)
    held = bench.gate.working.key(REGION, key.name)
    assert held is not None
    assert not [action for identity, action in held.rulings if identity is caller.identity]


def test_a_new_tag_on_a_key_counts_at_once(bench: ServiceBench) -> None:
    """For uses and for changes of the key alike."""
    key = under(bench, StringEquals={"aws:ResourceTag/Team": "red"})
    assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), "alice")
    assert "AccessDenied" in bench.refusal(c.DescribeKey(key), "alice")
    bench.do(c.TagResource(key, (("team", "red"),)))
    assert bench.do(c.Encrypt(key, b"x"), "alice").blob
    assert bench.do(c.DescribeKey(key), "alice").key.arn == key_arn(key)
    bench.do(c.UntagResource(key, ("team",)))
    assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), "alice")


def test_the_alias_that_names_a_key_counts(bench: ServiceBench) -> None:
    """As the request has it, and not merely that there is one; all of them where the key is looked at."""
    key = under(bench, StringEquals={"kms:RequestAlias": "alias/ours"})
    bench.do(c.CreateAlias("alias/ours", key))
    alias = KeyReference("alias/ours", is_alias=True)
    assert bench.do(c.Encrypt(alias, b"x"), "alice").blob
    assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), "alice")
    key = under(bench, **{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/theirs"}})
    assert "AccessDenied" in bench.refusal(c.DescribeKey(key), "alice")
    bench.do(c.CreateAlias("alias/theirs", key))
    assert bench.do(c.DescribeKey(key), "alice").key.arn == key_arn(key)


def test_conditions_of_an_action_without_a_key(bench: ServiceBench) -> None:
    """They are asked each time, on the hot path and at the desk."""
    ours = {
        "Effect": "Allow",
        "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
    }
    policy = {
        "Version": "2012-10-17",
        "Statement": {**ours, "Action": ["kms:GenerateRandom", "kms:ListKeys"]},
    }
    bench.house.user("bob", json.dumps(policy))
    caller = bench.caller("bob")
    for command in (c.GenerateRandom(8), c.ListKeys()):
        caller.source = "203.0.113.7"
        assert bench.do(command, caller)
        caller.source = "198.51.100.7"
        assert "AccessDenied" in bench.refusal(command, caller)
    assert caller.identity.rulings == {}


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}},
        {"ForAnyValue:StringLike": {"aws:CalledVia": "*"}},
    ],
)
def test_a_denial_that_could_never_apply_is_refused_when_it_is_put(condition: dict[str, Any]) -> None:
    """Nobody finds out otherwise that it does nothing; where the key may be missing it is taken."""
    bench = ServiceBench()
    key = bench.key()

    def policy(effect: str, conditions: dict[str, Any]) -> str:
        every = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
        return json.dumps(
            {"Statement": [every, {**every, "Effect": effect, "Sid": "No", "Condition": conditions}]}
        )

    ((operator, wanted),) = condition.items()
    told = bench.refusal(c.PutKeyPolicy(key, policy("Deny", condition)))
    assert told.startswith(
        f"MalformedPolicy: Statement No would never deny: no request has {next(iter(wanted))} yet"
    )
    assert bench.refusal(c.CreateKey(policy=policy("Deny", condition))) == told
    bench.do(c.PutKeyPolicy(key, policy("Allow", condition)))
    bench.do(c.PutKeyPolicy(key, policy("Deny", {f"{operator}IfExists": wanted}), bypass_lockout_check=True))


@pytest.mark.parametrize("secure", [True, False])
def test_whether_a_request_came_over_tls_is_asked(secure: bool) -> None:
    """A denial of what came in the clear denies that, and nothing else."""
    bench = ServiceBench()
    key = bench.key()
    every = {"Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    clear = {"Bool": {"aws:SecureTransport": "false"}}
    statements = [
        {**every, "Action": "kms:*", "Effect": "Allow"},
        {**every, "Effect": "Deny", "Condition": clear},
    ]
    bench.do(c.PutKeyPolicy(key, json.dumps({"Statement": statements})))
    caller = bench.caller()
    caller.secure = secure
    answer = bench.answer(c.Encrypt(key, b"x"), caller)
    assert (answer.error is None) is secure


@pytest.mark.parametrize("wanted", ["true", "false"])
@pytest.mark.parametrize("by", ["id", "arn", "alias"])
@pytest.mark.parametrize("stays", [True, False])
def test_a_policy_can_ask_whether_re_encryption_stays_on_one_key(
    *, wanted: str, by: str, stays: bool
) -> None:
    """Of the key that it leaves and of the one that it goes to, whatever name that is given by."""
    bench = ServiceBench()
    here, there = (
        under(bench, StringEquals={"aws:username": "alice"}, **condition)
        for condition in ({}, {"Bool": {"kms:ReEncryptOnSameKey": wanted}})
    )
    bench.house.user("alice")
    source = there if stays else here
    bench.do(c.CreateAlias("alias/there", there))
    target = {
        "id": there,
        "arn": reference_of(bench, there),
        "alias": KeyReference("alias/there", is_alias=True),
    }[by]
    blob = bench.do(c.Encrypt(source, b"x")).blob
    command = c.ReEncrypt(blob, target)
    if stays is (wanted == "true"):
        assert bench.do(command, "alice")
    else:
        assert "AccessDenied" in bench.refusal(command, "alice")


def reference_of(bench: ServiceBench, key: KeyReference) -> KeyReference:
    """The same key by its ARN."""
    arn = bench.do(c.DescribeKey(key)).key.arn
    return KeyReference(arn.rpartition("/")[2], account=ACCOUNT, region=REGION)


def test_the_values_of_a_family_are_found_once() -> None:
    """The tags are asked for once, however many of them policies speak of, and whether there are such or not."""
    calls = []

    def tags() -> tuple[tuple[str, str], ...]:
        calls.append("tags")
        return ("Team", "a"), ("team", "b"), ("TEAM", "c"), ("Stage", "test")

    at = Circumstances(caller=ServiceBench().caller(), entry=Entry(), action="kms:Encrypt", tags=tags)
    wanted = {"team": ("a", "b", "c"), "stage": "test", "none": None, "other": None}
    for _ in range(2):
        assert {name: at.get(f"aws:resourcetag/{name}") for name in wanted} == wanted
    assert calls == ["tags"]


def test_only_re_encryption_can_stay_on_one_key() -> None:
    """Other requests, and those about no key, have no such value."""
    bench = ServiceBench()
    caller = bench.caller()
    for command in (None, c.ListKeys(), c.ReEncrypt(b"", KeyReference("x"))):
        at = Circumstances(caller=caller, entry=Entry(), action="kms:ReEncryptTo", command=command)
        assert at.get("kms:reencryptonsamekey") is None


# --- which operations have which key -----------------------------------------------------------------------

CONTEXTUAL = (
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)
CRYPTOGRAPHIC = (
    *CONTEXTUAL,
    "Decapsulate",
    "DeriveSharedSecret",
    "Encapsulate",
    "GenerateMac",
    "Sign",
    "Verify",
    "VerifyMac",
)
OF_A_KEY = (
    *CRYPTOGRAPHIC,
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateGrant",
    "DeleteAlias",
    "DeleteImportedKeyMaterial",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListResourceTags",
    "PutKeyPolicy",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
)
OF_KEY_STORES = (
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "UpdateCustomKeyStore",
)
WITHOUT = ("GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants")

# AWS's service authorization reference, "Actions defined by AWS Key Management Service", and the developer guide, "AWS
# KMS condition keys", which has those of the key itself. Both speak of GetKeyLastUsage and ML-KEM as of their like.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "kms:BypassPolicyLockoutSafetyCheck": ("CreateKey", "PutKeyPolicy"),
    "kms:CallerAccount": (*OF_A_KEY, *OF_KEY_STORES, "CreateKey"),
    "kms:DataKeyPairSpec": ("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
    "kms:EncryptionAlgorithm": CONTEXTUAL,
    "kms:EncryptionContext:app": (*CONTEXTUAL, "CreateGrant", "RetireGrant"),
    "kms:EncryptionContextKeys": (*CONTEXTUAL, "CreateGrant", "RetireGrant"),
    "kms:ExpirationModel": ("ImportKeyMaterial",),
    "kms:GrantConstraintType": ("CreateGrant", "RetireGrant"),
    "kms:GrantIsForAWSResource": ("CreateGrant", "ListGrants", "RevokeGrant"),
    "kms:GrantOperations": ("CreateGrant",),
    "kms:GranteePrincipal": ("CreateGrant",),
    "kms:KeyAgreementAlgorithm": ("DeriveSharedSecret",),
    **dict.fromkeys(
        (
            "kms:CustomerMasterKeySpec",
            "kms:CustomerMasterKeyUsage",
            "kms:KeyOrigin",
            "kms:KeySpec",
            "kms:KeyUsage",
            "kms:MultiRegion",
            "kms:MultiRegionKeyType",
        ),
        (*OF_A_KEY, "CreateKey"),
    ),
    "kms:MacAlgorithm": ("GenerateMac", "VerifyMac"),
    "kms:MessageType": ("Sign", "Verify"),
    "kms:PrimaryRegion": ("UpdatePrimaryRegion",),
    "kms:ReEncryptOnSameKey": ("ReEncryptFrom", "ReEncryptTo"),
    "kms:ReplicaRegion": ("ReplicateKey",),
    "kms:RequestAlias": (*CRYPTOGRAPHIC, "DescribeKey", "GetPublicKey"),
    "kms:ResourceAliases": OF_A_KEY,
    "kms:RetiringPrincipal": ("CreateGrant",),
    "kms:RotationPeriodInDays": ("EnableKeyRotation",),
    "kms:ScheduleKeyDeletionPendingWindowInDays": ("ScheduleKeyDeletion",),
    "kms:SigningAlgorithm": ("Sign", "Verify"),
    "kms:ValidTo": ("ImportKeyMaterial",),
    "kms:WrappingAlgorithm": ("GetParametersForImport",),
    "kms:WrappingKeySpec": ("GetParametersForImport",),
}


def request_of(operation: str, bench: ServiceBench) -> Command:
    """A request for an operation that has a value for every condition key that it can have one for."""
    key = bench.key(c.CreateKey(multi_region=True))
    bench.do(c.CreateAlias("alias/ours", key))
    named, context = KeyReference("alias/ours", is_alias=True), {"app": "payroll"}
    made = bench.do(
        c.CreateGrant(key, ("Decrypt",), f"arn:aws:iam::{ACCOUNT}:user/alice", context_subset=context)
    )
    blob = bytes(bench.do(c.Encrypt(key, b"x", context)).blob)
    re_encrypt = c.ReEncrypt(blob, named, named, context, context)
    requests: dict[str, Command] = {
        "CancelKeyDeletion": c.CancelKeyDeletion(key),
        "ConnectCustomKeyStore": c.ConnectCustomKeyStore("cks-1"),
        "CreateAlias": c.CreateAlias("alias/new", key),
        "CreateCustomKeyStore": c.CreateCustomKeyStore("store"),
        "CreateGrant": c.CreateGrant(key, ("Decrypt",), ALICE, retiring=ALICE, context_equals=context),
        "CreateKey": c.CreateKey(multi_region=True),
        "Decapsulate": c.Decapsulate(named, b""),
        "Decrypt": c.Decrypt(blob, named, context),
        "DeleteAlias": c.DeleteAlias("alias/ours"),
        "DeleteCustomKeyStore": c.DeleteCustomKeyStore("cks-1"),
        "DeleteImportedKeyMaterial": c.DeleteImportedKeyMaterial(key),
        "DeriveSharedSecret": c.DeriveSharedSecret(named, b""),
        "DescribeCustomKeyStores": c.DescribeCustomKeyStores(),
        "DescribeKey": c.DescribeKey(named),
        "DisableKey": c.DisableKey(key),
        "DisableKeyRotation": c.DisableKeyRotation(key),
        "DisconnectCustomKeyStore": c.DisconnectCustomKeyStore("cks-1"),
        "EnableKey": c.EnableKey(key),
        "EnableKeyRotation": c.EnableKeyRotation(key),
        "Encapsulate": c.Encapsulate(named),
        "Encrypt": c.Encrypt(named, b"x", context),
        "GenerateDataKey": c.GenerateDataKey(named, 32, context),
        "GenerateDataKeyPair": c.GenerateDataKeyPair(named, "ECC_NIST_P256", context),
        "GenerateDataKeyPairWithoutPlaintext": c.GenerateDataKeyPairWithoutPlaintext(
            named, "ECC_NIST_P256", context
        ),
        "GenerateDataKeyWithoutPlaintext": c.GenerateDataKeyWithoutPlaintext(named, 32, context),
        "GenerateMac": c.GenerateMac(named, b"x", "HMAC_SHA_256"),
        "GetKeyLastUsage": c.GetKeyLastUsage(key),
        "GetKeyPolicy": c.GetKeyPolicy(key),
        "GetKeyRotationStatus": c.GetKeyRotationStatus(key),
        "GetParametersForImport": c.GetParametersForImport(key, "RSAES_OAEP_SHA_256", "RSA_2048"),
        "GetPublicKey": c.GetPublicKey(named),
        "ImportKeyMaterial": c.ImportKeyMaterial(key, b"", b"", valid_to=bench.house.clock.now() + 60.0),
        "ListGrants": c.ListGrants(key),
        "ListKeyPolicies": c.ListKeyPolicies(key),
        "ListKeyRotations": c.ListKeyRotations(key),
        "ListResourceTags": c.ListResourceTags(key),
        "PutKeyPolicy": c.PutKeyPolicy(key, json.dumps({"Statement": []})),
        "ReEncryptFrom": re_encrypt,
        "ReEncryptTo": re_encrypt,
        "ReplicateKey": c.ReplicateKey(key, "eu-west-1"),
        "RetireGrant": c.RetireGrant(made.token),
        "RevokeGrant": c.RevokeGrant(key, made.grant_id),
        "RotateKeyOnDemand": c.RotateKeyOnDemand(key),
        "ScheduleKeyDeletion": c.ScheduleKeyDeletion(key),
        "Sign": c.Sign(named, b"x", "ECDSA_SHA_256"),
        "TagResource": c.TagResource(key, (("team", "red"),)),
        "UntagResource": c.UntagResource(key, ("team",)),
        "UpdateAlias": c.UpdateAlias("alias/ours", key),
        "UpdateCustomKeyStore": c.UpdateCustomKeyStore("cks-1"),
        "UpdateKeyDescription": c.UpdateKeyDescription(key, "new"),
        "UpdatePrimaryRegion": c.UpdatePrimaryRegion(key, "eu-west-1"),
        "Verify": c.Verify(named, b"x", b"", "ECDSA_SHA_256"),
        "VerifyMac": c.VerifyMac(named, b"x", b"", "HMAC_SHA_256"),
    }
    return requests[operation]


def denied_for(names: tuple[str, ...], action: str, command: Command, bench: ServiceBench) -> list[str]:
    """Those of the condition keys for which a denial of the action to alice, where there is a value, applies."""
    found = []
    for name in names:
        statements = [
            {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
            {
                "Sid": "There",
                "Effect": "Deny",
                "Action": action,
                "Resource": "*",
                "Condition": {"Null": {name: "false"}},
            },
        ]
        bench.do(i.PutPrincipalPolicy("alice", json.dumps({"Statement": statements})))
        answer = bench.answer(command, "alice")
        if (answer.entry.outcome, answer.entry.statement) == ("AccessDenied", "There"):
            found.append(name)
    return found


@pytest.mark.parametrize("operation", sorted({*OF_A_KEY, *OF_KEY_STORES, "CreateKey"}))
def test_an_operation_has_the_condition_keys_that_aws_lists_for_it(
    bench: ServiceBench, operation: str
) -> None:
    """A denial that waits for one of them would never deny otherwise."""
    names = tuple(name for name, operations in OPERATIONS.items() if operation in operations)
    command = request_of(operation, bench)
    assert denied_for(names, f"kms:{operation}", command, bench) == list(names)


@pytest.mark.parametrize(
    ("action", "also", "command"),
    [
        ("kms:TagResource", (), c.CreateKey(multi_region=True, tags=(("team", "red"),))),
        ("kms:TagResource", (), c.ReplicateKey(KEY, "eu-west-1", tags=(("team", "red"),))),
        ("kms:CreateKey", ("kms:BypassPolicyLockoutSafetyCheck",), c.ReplicateKey(KEY, "eu-west-1")),
    ],
)
def test_a_key_that_is_new_has_its_properties_for_all_that_is_asked_of_it(
    bench: ServiceBench, action: str, also: tuple[str, ...], command: c.CreateKey | c.ReplicateKey
) -> None:
    """A key with tags and a replica take more than one permission, and each can be tied to what the key is like."""
    if isinstance(command, c.ReplicateKey):
        source = bench.key(c.CreateKey(multi_region=True))
        command = c.ReplicateKey(source, command.region, tags=command.tags)
    names = (
        *(name for name in OPERATIONS if name.startswith(("kms:Customer", "kms:Key", "kms:MultiRegion"))),
        "kms:CallerAccount",
        *also,
    )
    names = tuple(name for name in names if name != "kms:KeyAgreementAlgorithm")
    assert denied_for(names, action, command, bench) == list(names)


def test_the_table_has_every_operation_and_every_key_that_is_filled() -> None:
    """A new operation, or a new condition key, is looked up at AWS before it is written there."""
    asked = {row.name.removeprefix("kms:") for row in actions.ACTIONS.values() if row.name.startswith("kms:")}
    asked = asked - {"ReEncrypt"} | {"ReEncryptFrom", "ReEncryptTo"}
    assert asked == {*OF_A_KEY, *OF_KEY_STORES, *WITHOUT, "CreateKey"}
    filled = {name for name in keys.KMS if keys.filled(name)} | {"kms:EncryptionContext:app"}
    assert filled == set(OPERATIONS)


def test_the_check_of_policies_knows_which_operations_have_a_key() -> None:
    """It warns of a condition on an action that never has the key, and must not of one that has."""
    for name, operations in OPERATIONS.items():
        has = {f"kms:{operation}" for operation in operations}
        assert has - (having(name) or has) == set(), name
