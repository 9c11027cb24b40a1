"""Two accounts of one installation, as boto3 finds them: each by itself, and across with the consent of both."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.fixture(scope="module")
def second(service: Any) -> dict[str, Any]:
    """A second account, made while the service runs."""
    return dict(service.administer("CreateAccount", name="second"))


def client(service: Any, key: dict[str, Any]) -> Any:
    """A client that signs with an access key as the native API tells it."""
    return service.client(
        aws_access_key_id=key["access_key_id"], aws_secret_access_key=key["secret_access_key"]
    )


@pytest.fixture(scope="module")
def theirs(service: Any, second: dict[str, Any]) -> Any:
    """A client of the second account's administrator."""
    return client(service, second["access_key"])


def administer(service: Any, key: dict[str, Any], operation: str, **body: Any) -> Any:
    """Ask the control plane as somebody else, and expect a success."""
    sign = service.signer(
        service="keystead", access_key=key["access_key_id"], secret=key["secret_access_key"]
    )
    with service.control_wire() as wire:
        reply = wire.ask(sign(operation, body))
    assert reply.status == 200, reply
    return reply.value


def code(call: Any, **arguments: Any) -> str:
    """The code of the error that a call ends with; empty for none."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_new_account_works_on_every_worker_at_once(
    service: Any, second: dict[str, Any], theirs: Any
) -> None:
    """Its keys are its own, and what one worker has sealed every worker opens."""
    key = theirs.create_key()["KeyMetadata"]
    assert key["AWSAccountId"] == second["id"]
    blob = theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    sign = service.signer(
        access_key=second["access_key"]["access_key_id"], secret=second["access_key"]["secret_access_key"]
    )
    request = sign("DescribeKey", {"KeyId": key["KeyId"]})
    wires = [service.wire() for _ in range(12)]
    for wire in wires:
        assert wire.ask(request).status == 200
        wire.close()
    assert theirs.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert code(service.client().decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert code(service.client().describe_key, KeyId=key["Arn"]) == "AccessDeniedException"


def test_use_across_accounts_needs_the_keys_policy_and_the_callers(
    service: Any, second: dict[str, Any]
) -> None:
    """Each alone denies; both together allow, for as long as both do."""
    ours, admin = service.client(), second["access_key"]
    administer(service, admin, "CreatePrincipal", name="app")
    app = client(service, administer(service, admin, "CreateAccessKey", name="app"))
    key = ours.create_key()["KeyMetadata"]
    root = f"arn:aws:iam::{key['AWSAccountId']}:root"

    def key_policy(*principals: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": [root, *principals]},
            "Action": "kms:*",
            "Resource": "*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        ours.put_key_policy(KeyId=key["KeyId"], Policy=document)

    def own_policy(*statements: dict[str, Any]) -> None:
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}) if statements else ""
        administer(service, admin, "PutPrincipalPolicy", name="app", policy=text)

    for named in ((), (f"arn:aws:iam::{second['id']}:root",), (f"arn:aws:iam::{second['id']}:user/app",)):
        for statements in ((), (EVERYTHING,)):
            key_policy(*named)
            own_policy(*statements)
            expected = "" if named and statements else "AccessDeniedException"
            assert code(app.encrypt, KeyId=key["Arn"], Plaintext=b"x") == expected
            assert code(app.describe_key, KeyId=key["Arn"]) == expected
    # Management stays at home though both policies allow everything.
    for call, arguments in (
        (app.disable_key, {}),
        (app.get_key_policy, {}),
        (app.schedule_key_deletion, {"PendingWindowInDays": 7}),
        (app.tag_resource, {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (app.enable_key_rotation, {}),
        (app.update_key_description, {"Description": "x"}),
    ):
        assert code(call, KeyId=key["Arn"], **arguments) == "AccessDeniedException", call
    assert app.get_key_rotation_status(KeyId=key["Arn"])["KeyRotationEnabled"] is False
    key_policy()
    assert code(app.encrypt, KeyId=key["Arn"], Plaintext=b"x") == "AccessDeniedException"


def test_a_grant_reaches_across_and_ends_with_a_revocation(service: Any, second: dict[str, Any]) -> None:
    """The grantee is a principal of the other account; to revoke it there ends the grant here."""
    ours, admin = service.client(), second["access_key"]
    made = administer(service, admin, "CreatePrincipal", name="reader", kind="service-account")
    reader = client(
        service, administer(service, admin, "CreateAccessKey", name="reader", kind="service-account")
    )
    key = ours.create_key()["KeyMetadata"]
    blob = ours.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert code(reader.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    ours.create_grant(KeyId=key["KeyId"], GranteePrincipal=made["arn"], Operations=["Decrypt"])
    assert reader.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    told = administer(service, admin, "RevokePrincipal", name="reader", kind="service-account")
    assert (len(told["access_keys"]), told["grants"]) == (1, 1)
    assert code(reader.decrypt, CiphertextBlob=blob) == "UnrecognizedClientException"
    assert ours.list_grants(KeyId=key["KeyId"])["Grants"] == []


def test_a_guardrail_of_the_installation_denies_in_every_account(
    service: Any, second: dict[str, Any], theirs: Any
) -> None:
    """At once on every connection, and no more when it is removed; its name is in the audit."""
    statement = {"Sid": "NoKeys", "Effect": "Deny", "Action": "kms:CreateKey", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    service.administer("PutGuardrail", name="no-keys", text=text, scope="installation")
    for each in (theirs, service.client()):
        for _ in range(4):
            assert code(each.create_key) == "AccessDeniedException"
    service.administer("DeleteGuardrail", name="no-keys", scope="installation")
    assert code(theirs.create_key) == ""

    def denied() -> list[dict[str, Any]]:
        return [r for r in service.records() if r.get("statement") == "NoKeys"]

    records = service.until(lambda: len(denied()) == 8 and denied())
    assert {record["decided_by"] for record in records} == {"guardrail"}
    assert "000000000000/no-keys" in json.dumps(records[0])
    assert second["id"] in {record["account"] for record in records}
