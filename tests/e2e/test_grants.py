"""Grants by unmodified boto3, and by raw connections to both workers of a running service."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e

CONNECTIONS = 12
ROUNDS = 25
APP = {"app": "payroll"}


@pytest.fixture(scope="module")
def account(service: Any) -> str:
    """The account's number."""
    return str(service.client().create_key()["KeyMetadata"]["AWSAccountId"])


@pytest.fixture(scope="module")
def people(service: Any, account: str) -> dict[str, Any]:
    """Users without any policy: by name, a client and the ARN."""
    found: dict[str, Any] = {}
    for name in ("grantee", "retirer"):
        service.administer("CreatePrincipal", name=name, policy="")
        made = service.administer("CreateAccessKey", name=name)
        client = service.client(
            aws_access_key_id=made["access_key_id"], aws_secret_access_key=made["secret_access_key"]
        )
        found[name] = client
        found[f"{name} arn"] = f"arn:aws:iam::{account}:user/{name}"
        found[f"{name} signer"] = service.signer(
            access_key=made["access_key_id"], secret=made["secret_access_key"]
        )
    return found


@pytest.fixture
def key(kms: Any) -> str:
    """A key's ARN."""
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error of a call, which must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_a_grant_from_its_making_to_its_end(kms: Any, people: dict[str, Any], key: str) -> None:
    """CreateGrant, use under the constraint, the lists, RetireGrant."""
    user, grantee = people["grantee"], people["grantee arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=APP)["CiphertextBlob"]
    asked: dict[str, Any] = {
        "KeyId": key,
        "GranteePrincipal": grantee,
        "RetiringPrincipal": people["retirer arn"],
        "Operations": ["Decrypt", "DescribeKey"],
        "Constraints": {"EncryptionContextSubset": APP},
        "Name": "payroll",
    }
    assert refusal(kms.create_grant, **asked, DryRun=True) == "DryRunOperationException"
    made = kms.create_grant(**asked)
    assert re.fullmatch("[0-9a-f]{64}", made["GrantId"])
    again = kms.create_grant(**asked)
    assert again["GrantId"] == made["GrantId"]
    assert again["GrantToken"] != made["GrantToken"]

    opened = user.decrypt(CiphertextBlob=blob, EncryptionContext=APP, GrantTokens=[made["GrantToken"]])
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key)
    assert user.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    other = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    assert refusal(user.decrypt, CiphertextBlob=other) == "AccessDeniedException"
    assert refusal(user.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=APP) == "AccessDeniedException"
    assert refusal(user.describe_key, KeyId=key, GrantTokens=["x"]) == "InvalidGrantTokenException"
    assert refusal(user.decrypt, CiphertextBlob=blob, GrantTokens=["x"]) == "InvalidGrantTokenException"

    page = kms.list_grants(KeyId=key)
    (entry,) = page["Grants"]
    assert entry.pop("CreationDate")
    assert page["Truncated"] is False
    assert entry == {
        "KeyId": key,
        "GrantId": made["GrantId"],
        "Name": "payroll",
        "GranteePrincipal": grantee,
        "RetiringPrincipal": people["retirer arn"],
        "IssuingAccount": grantee.replace("user/grantee", "root"),
        "Operations": ["Decrypt", "DescribeKey"],
        "Constraints": {"EncryptionContextSubset": APP},
    }
    retirable = kms.list_retirable_grants(RetiringPrincipal=people["retirer arn"])["Grants"]
    assert [grant["GrantId"] for grant in retirable] == [made["GrantId"]]
    assert refusal(kms.list_grants, KeyId=key, GrantId="ab" * 32) == "InvalidGrantIdException"

    assert refusal(user.retire_grant, KeyId=key, GrantId=made["GrantId"]) == "AccessDeniedException"
    retirer = people["retirer"]
    assert (
        refusal(retirer.retire_grant, GrantToken=made["GrantToken"], DryRun=True)
        == "DryRunOperationException"
    )
    retirer.retire_grant(GrantToken=made["GrantToken"])
    assert refusal(user.decrypt, CiphertextBlob=blob, EncryptionContext=APP) == "AccessDeniedException"
    assert refusal(retirer.retire_grant, GrantToken=made["GrantToken"]) == "NotFoundException"
    assert kms.list_grants(KeyId=key)["Grants"] == []


def test_what_aws_refuses(kms: Any, people: dict[str, Any], key: str) -> None:
    """With the exceptions of AWS."""
    asked: dict[str, Any] = {
        "KeyId": key,
        "GranteePrincipal": people["grantee arn"],
        "Operations": ["Decrypt"],
    }
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"Operations": ["Sign"]}, "ValidationException"),
        ({"Operations": ["DECRYPT"]}, "ValidationException"),
        (
            {"Operations": ["DescribeKey"], "Constraints": {"EncryptionContextEquals": APP}},
            "ValidationException",
        ),
        ({"GranteeServicePrincipal": "backup.amazonaws.com"}, "ValidationException"),
        ({"GranteePrincipal": "nobody"}, "InvalidArnException"),
        ({"RetiringPrincipal": people["grantee arn"] + "-unknown"}, "InvalidArnException"),
        ({"GrantTokens": ["x"]}, "InvalidGrantTokenException"),
        ({"KeyId": "alias/none"}, "NotFoundException"),
    ]
    for changes, code in wrong:
        assert refusal(kms.create_grant, **{**asked, **changes}) == code, changes
    assert kms.list_grants(KeyId=key)["Grants"] == []
    assert refusal(kms.revoke_grant, KeyId=key, GrantId="ab" * 32) == "NotFoundException"


def test_grants_are_paginated_by_boto3(kms: Any, people: dict[str, Any], key: str) -> None:
    """Its paginator finds each once."""
    made = {
        kms.create_grant(KeyId=key, GranteePrincipal=people["grantee arn"], Operations=["Encrypt"])["GrantId"]
        for _ in range(7)
    }
    pages = list(kms.get_paginator("list_grants").paginate(KeyId=key, PaginationConfig={"PageSize": 3}))
    assert [len(page["Grants"]) for page in pages] == [3, 3, 1]
    assert [page["Truncated"] for page in pages] == [True, True, False]
    assert {grant["GrantId"] for page in pages for grant in page["Grants"]} == made


@pytest.fixture(scope="module")
def wires(service: Any) -> Iterator[list[Any]]:
    """Connections to both workers: the kernel spreads them, and it is checked that it did."""
    wires = [service.wire() for _ in range(CONNECTIONS)]

    def spread() -> bool:
        metrics = service.look("/metrics").body.decode()
        served = re.findall(r"keystead_connections_open\{process=\"w\d\"\} (\d+)", metrics)
        if len(served) == 2 and "0" not in served:
            return True
        wires.append(service.wire())
        return False

    service.until(spread)
    yield wires
    for wire in wires:
        wire.close()


def test_a_grant_is_in_force_and_out_of_force_everywhere_at_once(
    service: Any, wires: list[Any], people: dict[str, Any], key: str
) -> None:
    """After CreateGrant has returned every connection decrypts; after RevokeGrant or RetireGrant none does."""
    admin, grantee = service.signer(), people["grantee signer"]
    blob = service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"]
    uses = [
        grantee("Decrypt", {"CiphertextBlob": blob}),
        grantee("GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"}),
        grantee("DescribeKey", {"KeyId": key}),
    ]
    asked = {
        "KeyId": key,
        "GranteePrincipal": people["grantee arn"],
        "RetiringPrincipal": people["retirer arn"],
        "Operations": ["Decrypt", "GenerateDataKey", "DescribeKey"],
    }

    def everywhere(request: bytes) -> set[str]:
        for wire in wires:
            wire.send(request)
        return {wire.reply().error for wire in wires}

    for number in range(ROUNDS):
        use, changer = uses[number % 3], wires[number % len(wires)]
        assert everywhere(use) == {"AccessDeniedException"}
        made = changer.ask(admin("CreateGrant", asked)).value
        assert everywhere(use) == {""}
        if number % 2:
            ended = changer.ask(admin("RevokeGrant", {"KeyId": key, "GrantId": made["GrantId"]}))
        else:
            ended = changer.ask(people["retirer signer"]("RetireGrant", {"GrantToken": made["GrantToken"]}))
        assert ended.status == 200
    assert everywhere(uses[0]) == {"AccessDeniedException"}


def test_what_is_on_its_way_while_a_grant_is_revoked_is_settled_by_the_answer(
    service: Any, wires: list[Any], people: dict[str, Any], key: str
) -> None:
    """A pipeline into which the revocation falls succeeds up to some point and never again after it."""
    admin, grantee = service.signer(), people["grantee signer"]
    request = grantee("Encrypt", {"KeyId": key, "Plaintext": "eA=="})
    asked = {"KeyId": key, "GranteePrincipal": people["grantee arn"], "Operations": ["Encrypt"]}
    for number in range(ROUNDS):
        made = service.call("CreateGrant", asked)
        for wire in wires:
            wire.send(request * 30)
        changer = wires[number % len(wires)]
        changer.send(admin("RevokeGrant", {"KeyId": key, "GrantId": made["GrantId"]}))
        for wire in wires:
            errors = [wire.reply().error for _ in range(30)]
            allowed = errors.count("")
            assert errors == [""] * allowed + ["AccessDeniedException"] * (30 - allowed)
        assert changer.reply().status == 200


def test_a_user_of_the_same_name_inherits_nothing(service: Any, kms: Any, account: str, key: str) -> None:
    """Deleting a user ends its grants."""
    grantee = f"arn:aws:iam::{account}:user/twice"
    service.administer("CreatePrincipal", name="twice", policy="")
    kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["Encrypt"])
    service.administer("DeletePrincipal", name="twice")
    assert kms.list_grants(KeyId=key)["Grants"] == []
    service.administer("CreatePrincipal", name="twice", policy="")
    made = service.administer("CreateAccessKey", name="twice")
    sign = service.signer(access_key=made["access_key_id"], secret=made["secret_access_key"])
    with service.wire() as wire:
        assert wire.ask(sign("Encrypt", {"KeyId": key, "Plaintext": "eA=="})).error == "AccessDeniedException"


def test_a_session_of_a_role_of_the_same_name_inherits_nothing(
    service: Any, kms: Any, wires: list[Any], account: str, key: str
) -> None:
    """Deleting or revoking a role ends what its sessions were granted by their own ARNs, on every worker."""
    blob = service.call("Encrypt", {"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"]
    names = ("ci", "ci2")
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    settings = service.settings
    sts = boto3.client(
        "sts",
        endpoint_url=settings["AWS_ENDPOINT_URL_KMS"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )

    def make(name: str) -> None:
        policy = json.dumps({"Statement": trust})
        service.administer("CreatePrincipal", name=name, kind="role", trust=policy)

    def everywhere(name: str) -> set[str]:
        """How decrypting ends in a new session of that role."""
        role = f"arn:aws:iam::{account}:role/{name}"
        given = sts.assume_role(RoleArn=role, RoleSessionName="job-7")["Credentials"]
        sign = service.signer(access_key=given["AccessKeyId"], secret=given["SecretAccessKey"])
        token = {"x-amz-security-token": given["SessionToken"]}
        request = sign("Decrypt", {"CiphertextBlob": blob}, extra=token)
        for wire in wires:
            wire.send(request)
        return {wire.reply().error for wire in wires}

    for name in names:
        session = f"arn:aws:sts::{account}:assumed-role/{name}/job-7"
        asked: dict[str, Any] = {"KeyId": key, "GranteePrincipal": session, "Operations": ["Decrypt"]}
        assert refusal(kms.create_grant, **asked) == "InvalidArnException"
        make(name)
        kms.create_grant(**asked)
        assert everywhere(name) == {""}
    service.administer("DeletePrincipal", name="ci", kind="role")
    make("ci")
    assert [everywhere(name) for name in names] == [{"AccessDeniedException"}, {""}]
    assert service.administer("RevokePrincipal", name="ci2", kind="role")["grants"] == 1
    assert everywhere("ci2") == {"AccessDeniedException"}
    assert kms.list_grants(KeyId=key)["Grants"] == []


def test_a_first_request_that_needs_everything_is_answered(service: Any, kms: Any, account: str) -> None:
    """A user whom no worker knows moves a ciphertext between two keys by their aliases and grants to the account."""
    may_move = '{"Statement": {"Effect": "Allow", "Action": "kms:ReEncrypt*", "Resource": "*"}}'
    sealed = b""
    for number, operation in enumerate(("ReEncryptFrom", "ReEncryptTo")):
        admin = f"arn:aws:iam::{account}:user/admin"
        policy = {"Effect": "Allow", "Principal": {"AWS": admin}, "Action": "kms:*", "Resource": "*"}
        key = kms.create_key(Policy=json.dumps({"Statement": policy}))["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/first-{number}", TargetKeyId=key)
        kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{account}:root", Operations=[operation])
        sealed = sealed or kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for number in range(4):
        service.administer("CreatePrincipal", name=f"first-{number}", policy=may_move)
        made = service.administer("CreateAccessKey", name=f"first-{number}")
        user = service.client(
            aws_access_key_id=made["access_key_id"], aws_secret_access_key=made["secret_access_key"]
        )
        move = user.re_encrypt(
            CiphertextBlob=sealed, SourceKeyId="alias/first-0", DestinationKeyId="alias/first-1"
        )
        assert move["SourceKeyId"] != move["KeyId"]


def test_the_records_name_the_grant(service: Any, kms: Any, people: dict[str, Any], key: str) -> None:
    """Its making, its use and its end."""
    made = kms.create_grant(KeyId=key, GranteePrincipal=people["grantee arn"], Operations=["Encrypt"])
    used = people["grantee"].encrypt(KeyId=key, Plaintext=b"x")
    ended = kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    requests = [answer["ResponseMetadata"]["RequestId"] for answer in (made, used, ended)]
    ends = service.ends(requests)
    creation, use, end = (ends[request] for request in requests)
    assert creation["subject"] == end["subject"] == made["GrantId"]
    assert (use["decided_by"], use["statement"]) == ("grant", made["GrantId"])
    assert made["GrantToken"] not in json.dumps([creation, use, end])
