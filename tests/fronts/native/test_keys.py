"""AWS's operations on keys, in the native API's form."""

import json
from typing import Any

import pytest

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
)


def state(office: Any, key_id: str, region: str = "") -> dict[str, Any]:
    """What is told of a key."""
    found = office("ListKeyStates", region=region).value["keys"]
    (key,) = [each for each in found if each["key_id"] == key_id]
    return dict(key)


def test_a_key_is_made_and_changed_in_all_its_parts(office: Any) -> None:
    """Each operation has its effect, and nothing to say about it."""
    made = office(
        "CreateKey",
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        description="first",
        policy=POLICY,
        tags={"team": "x"},
        multi_region=True,
        bypass_policy_lockout_safety_check=True,
    ).value
    key_id = made["key_id"]
    assert made["arn"] == f"arn:aws:kms:eu-central-1:111122223333:key/{key_id}"
    is_now = state(office, key_id)
    assert (is_now["description"], is_now["policy"], is_now["tags"]) == ("first", POLICY, {"team": "x"})
    assert (is_now["multi_region"], is_now["state"], is_now["rotation_days"]) == (True, "Enabled", None)
    other = POLICY.replace("root", "user/admin")
    for operation, members in (
        ("UpdateKeyDescription", {"description": "second"}),
        ("TagResource", {"tags": {"team": "y", "own": "z"}}),
        ("UntagResource", {"names": ["own"]}),
        ("EnableKeyRotation", {"period_days": 100}),
        ("CreateAlias", {"name": "alias/one"}),
        ("CreateAlias", {"name": "alias/two"}),
        ("DisableKey", {}),
        ("PutKeyPolicy", {"policy": other}),
    ):
        assert office(operation, key_id=key_id, **members) == (200, {}), operation
    is_now = state(office, key_id)
    assert (is_now["description"], is_now["tags"], is_now["state"]) == ("second", {"team": "y"}, "Disabled")
    assert (is_now["rotation_days"], is_now["aliases"]) == (100, ["alias/one", "alias/two"])
    assert is_now["policy"] == other
    assert office("EnableKey", key_id=key_id) == (200, {})
    assert office("DisableKeyRotation", key_id=key_id) == (200, {})
    second = office("CreateKey").value["key_id"]
    assert office("UpdateAlias", name="alias/two", key_id=second) == (200, {})
    assert office("DeleteAlias", name="alias/one") == (200, {})
    assert (state(office, key_id)["aliases"], state(office, second)["aliases"]) == ([], ["alias/two"])
    assert state(office, key_id)["rotation_days"] is None


def test_a_request_may_say_which_region_it_is_about(served: Any) -> None:
    """Without it the Region counts that the request is signed for; one that is not served is refused."""
    key_id = served("CreateKey", region="eu-west-1").value["key_id"]
    assert served("ListKeyStates").value["keys"] == []
    assert state(served, key_id, "eu-west-1")["region"] == "eu-west-1"
    assert served("DisableKey", key_id=key_id).status == 404
    assert served("DisableKey", key_id=key_id, region="eu-west-1") == (200, {})
    told = served("CreateKey", region="us-east-1")
    assert (told.status, told.value["code"]) == (404, "NotFound")
    assert told.value["detail"].startswith("This endpoint does not serve the region us-east-1. It serves eu-")


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("CreateKey", {"region": "Nowhere!"}, "InvalidRequest"),
        ("CreateKey", {"colour": "red"}, "InvalidRequest"),
        ("CreateKey", {"policy": ""}, "InvalidRequest"),
        ("CreateKey", {"policy": "x" * 32_769}, "InvalidRequest"),
        ("CreateKey", {"description": "x" * 8_193}, "InvalidRequest"),
        ("CreateKey", {"tags": {"": "x"}}, "InvalidTag"),
        ("CreateKey", {"tags": {"x" * 129: "x"}}, "InvalidTag"),
        ("CreateKey", {"tags": {"x": "x" * 257}}, "InvalidTag"),
        ("CreateKey", {"spec": "RSA_1024", "usage": "SIGN_VERIFY"}, "UnsupportedOperation"),
        ("DisableKey", {"key_id": "nonsense"}, "NotFound"),
        ("DeleteAlias", {"name": ""}, "InvalidRequest"),
        ("DeleteAlias", {"name": "alias/none"}, "NotFound"),
    ],
)
def test_what_is_no_such_request_is_refused(
    office: Any, operation: str, members: dict[str, Any], code: str
) -> None:
    """Within the same limits as AWS's."""
    assert office(operation, **members).value["code"] == code


def test_a_refused_request_is_recorded_as_the_action_it_is_about(office: Any) -> None:
    """An operation of AWS's has its own name there, and one that does not exist has none."""
    names = [
        office.front.describe(office.post(operation, b""), "r").action
        for operation in ("CreateKey", "EnsureKey", "Nothing")
    ]
    assert names == ["kms:CreateKey", "keystead:EnsureKey", ""]
