"""`keystead policy explain`: decisions of a running service, for people and programs."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def kms(dev: Any) -> Any:
    """A client of the service, as its admin."""
    settings = dev.settings
    return boto3.client(
        "kms",
        endpoint_url=settings["AWS_ENDPOINT_URL_KMS"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.mark.e2e
def test_a_decision_is_explained_by_its_request_id(dev: Any, keystead: Callable[..., Any], kms: Any) -> None:
    """The id is the one that the client has: of an answer, or of an error."""
    key = kms.create_key()["KeyMetadata"]
    answer = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    request = answer["ResponseMetadata"]["RequestId"]
    code, out, err = keystead("policy", "explain", request, **dev.settings)
    assert (code, err) == (0, "")
    assert out.startswith("kms:Encrypt was allowed: Success\n")
    assert f"  key         {key['Arn']}\n" in out
    assert "  by          key-policy statement Enable IAM User Permissions (version " in out
    assert "has another text now" not in out

    deny = {"Sid": "Stop", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    policy = json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"])
    policy["Statement"].append(deny)
    kms.put_key_policy(KeyId=key["KeyId"], Policy=json.dumps(policy))
    assert "; it has another text now)" in keystead("policy", "explain", request, **dev.settings).out
    with pytest.raises(ClientError) as refused:
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    code, out, err = keystead("policy", "explain", request, "--json", **dev.settings)
    assert (code, err) == (0, "")
    told = json.loads(out)
    (decision,) = told["decisions"]
    assert (decision["decision"], decision["outcome"], told["missing"]) == ("Deny", "AccessDenied", "")
    assert decision["matched"][0].endswith(" Stop")


@pytest.mark.e2e
def test_a_change_is_explained_in_both_its_entries(dev: Any, keystead: Callable[..., Any], kms: Any) -> None:
    """What was announced, and what became of it."""
    request = kms.create_key()["ResponseMetadata"]["RequestId"]
    out = keystead("policy", "explain", request, **dev.settings).out
    outcome, intent = out.split("\n\n")
    assert outcome.startswith("kms:CreateKey (outcome) was allowed: Success\n")
    assert intent.startswith("kms:CreateKey (intent) was not decided: no outcome yet\n")


@pytest.mark.e2e
def test_a_decision_that_is_not_there_says_so(dev: Any, keystead: Callable[..., Any]) -> None:
    """With an exit code for programs."""
    code, _, err = keystead("policy", "explain", "never", **dev.settings)
    assert code == 1
    assert err.startswith(
        "keystead: NotFound: There is no decision never about this account's principals or keys"
    )
