"""Entries as OCSF events, each checked by the schema."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from bridges.renderings.samples import (
    ALICE,
    DENIED,
    EVENT,
    FEDERATED,
    ISSUER,
    KEY,
    ROLE,
    SESSION,
    STOPPED,
    UNPROVEN,
    USED,
    every_entry,
)
from keystead.bridges.renderings import ocsf
from keystead.service.entry import Entry, encode, event_id

changed = msgspec.structs.replace


class Schema:
    """The schema of both classes, with our profiles."""

    def __init__(self) -> None:
        schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
        self.validators = {
            each.uid: jsonschema_rs.validator_for(
                schema.get_class_schema(
                    class_name=schema.lookup_class_name_from_uid(each.uid), profiles=list(each.profiles)
                ),
                validate_formats=True,
            )
            for each in (ocsf.API, ocsf.AUTHENTICATION)
        }

    def problems(self, event: dict[str, Any]) -> list[str]:
        """What is wrong with an event."""
        found = self.validators[event["class_uid"]].iter_errors(event)
        return [f"{list(each.instance_path)}: {each.message}" for each in found]


@pytest.fixture(scope="module")
def schema() -> Schema:
    """OCSF 1.8."""
    return Schema()


def event(entry: Entry) -> dict[str, Any]:
    """The event of an entry, once it has been through JSON."""
    made: dict[str, Any] = json.loads(ocsf.render(encode(entry), EVENT))
    return made


def test_the_check_notices_what_is_not_ocsf(schema: Schema) -> None:
    """A member that no class has, and one that is missing."""
    made = event(USED)
    del made["metadata"]["product"]
    assert len(schema.problems(made | {"surprise": 1})) == 2


def test_every_event_is_valid(schema: Schema) -> None:
    """Every action by everybody, as success, denial, failure and pending; and those that have a form of their own."""
    entries = [*every_entry(), USED, DENIED, UNPROVEN, FEDERATED, STOPPED, Entry(v=1)]
    for entry in entries:
        assert schema.problems(event(entry)) == [], entry


def test_ids_and_names_belong_together() -> None:
    """The type is the class and the activity; names are those of the ids."""
    for entry in every_entry():
        made = event(entry)
        assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
        assert made["type_name"].startswith(f"{made['class_name']}: ")
        assert made["category_uid"] == made["class_uid"] // 1000


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("kms:CreateKey", (1, "Create", 600301, "API Activity: Create")),
        ("kms:DescribeKey", (2, "Read", 600302, "API Activity: Read")),
        ("kms:PutKeyPolicy", (3, "Update", 600303, "API Activity: Update")),
        ("kms:ScheduleKeyDeletion", (4, "Delete", 600304, "API Activity: Delete")),
        ("kms:Decrypt", (99, "Decrypt", 600399, "API Activity: Other")),
        ("keystead:Unheard", (99, "Unheard", 600399, "API Activity: Other")),
        ("sts:AssumeRole", (7, "Account Switch", 300207, "Authentication: Account Switch")),
        ("sts:AssumeRoleWithWebIdentity", (1, "Logon", 300201, "Authentication: Logon")),
        ("sts:GetSessionToken", (1, "Logon", 300201, "Authentication: Logon")),
    ],
)
def test_an_activity_is_what_the_action_does(action: str, activity: tuple[int, str, int, str]) -> None:
    """To use a key is none of the four, so it is `Other` and called by its name."""
    made = event(changed(USED, action=action))
    assert (made["activity_id"], made["activity_name"], made["type_uid"], made["type_name"]) == activity


@pytest.mark.parametrize(
    ("entry", "status", "severity"),
    [
        (USED, (1, "Success"), (1, "Informational")),
        (DENIED, (2, "Failure"), (3, "Medium")),
        (changed(USED, outcome="InvalidRequest"), (2, "Failure"), (2, "Low")),
        (STOPPED, (2, "Failure"), (4, "High")),
        (changed(USED, outcome="", stage="intent"), (99, "Pending"), (1, "Informational")),
    ],
)
def test_an_outcome_is_a_status_and_a_severity(
    entry: Entry, status: tuple[int, str], severity: tuple[int, str]
) -> None:
    """Both as id and as name."""
    made = event(entry)
    assert (made["status_id"], made["status"]) == status
    assert (made["severity_id"], made["severity"]) == severity


def test_a_failure_has_its_code_and_reason_in_both_places() -> None:
    """As status and as the API's response, in AWS's names."""
    made = event(DENIED)
    assert made["status_code"] == made["api"]["response"]["error"] == "AccessDenied"
    assert made["status_detail"] == made["api"]["response"]["error_message"]
    assert made["unmapped"]["missing"] == DENIED.missing
    assert "response" not in event(USED)["api"]
    assert "status_code" not in event(USED)


def test_who_asked_is_the_actor() -> None:
    """A user with its access key; a session with its issuer; the service by its name."""
    assert event(USED)["actor"]["user"] == {
        "name": "alice",
        "type": "User",
        "type_id": 1,
        "uid": ALICE,
        "account": {"uid": "111122223333", "type": "AWS Account", "type_id": 10},
        "programmatic_credentials": [{"uid": "AKIAIOSFODNN7EXAMPLE", "type": "Access Key"}],
    }
    session = event(changed(USED, principal=SESSION))["actor"]
    assert session["session"] == {"uid": SESSION, "issuer": ROLE}
    assert session["user"]["name"] == "deploy/ci-7"
    assert event(STOPPED)["actor"] == {"app_name": "Keystead"}


def test_a_decision_is_told_with_the_statements_that_made_it() -> None:
    """Each with its policy's name and version; a denial because nothing allows says that nothing did."""
    made = event(USED)
    assert (made["action_id"], made["action"]) == (1, "Allowed")
    assert made["authorizations"] == [
        {
            "decision": "Allowed",
            "policy": {"type": "key-policy", "version": "0123456789ab", "desc": "#0"},
        },
        {
            "decision": "Allowed",
            "policy": {"type": "identity-policy", "uid": ALICE, "version": "3f9a12bc34de", "desc": "Work"},
        },
    ]
    denied = event(DENIED)
    assert (denied["action_id"], denied["authorizations"]) == (
        2,
        [{"decision": "Denied", "policy": {"type": "none"}}],
    )
    assert "action_id" not in event(UNPROVEN)


def test_a_role_that_was_assumed_is_who_somebody_became() -> None:
    """The user is the session, the actor who asked for it."""
    made = event(changed(USED, action="sts:AssumeRole", key="", subject=SESSION))
    assert (made["user"]["uid"], made["actor"]["user"]["uid"]) == (SESSION, ALICE)
    assert made["account_switch_type_id"] == 2
    own = event(changed(USED, action="sts:GetSessionToken", key="", subject=""))
    assert own["user"]["uid"] == ALICE
    assert "account_switch_type_id" not in own


def test_a_token_of_an_issuer_is_openid() -> None:
    """The issuer is the identity provider, and the actor whom it vouches for."""
    made = event(FEDERATED)
    assert made["auth_protocol_id"] == 4
    assert made["actor"]["idp"] == {"name": "token.example.org", "uid": ISSUER}
    assert made["actor"]["user"]["name"] == "repo:acme/app"
    assert event(changed(FEDERATED, subject=ROLE))["actor"]["user"]["name"] == "token.example.org"


def test_a_signature_that_does_not_hold_is_a_failed_logon() -> None:
    """Of nobody that is known, with the access key that was claimed."""
    made = event(UNPROVEN)
    assert (made["class_uid"], made["activity_id"], made["status_id"]) == (3002, 1, 2)
    assert made["user"]["name"] == "anonymous"
    assert made["user"]["programmatic_credentials"][0]["uid"] == "AKIAIOSFODNN7EXAMPLE"
    assert made["src_endpoint"] == {"ip": "2001:db8::7"}


def test_an_event_says_where_it_stands_and_what_it_belongs_to() -> None:
    """The log and the index, so that gaps show; the request, so that it can be followed."""
    metadata = event(USED)["metadata"]
    assert (metadata["log_name"], metadata["sequence"]) == ("keystead-0123456789abcdef/w0", 567)
    assert (metadata["uid"], metadata["correlation_uid"]) == (event_id(EVENT), USED.request)
    assert event(USED)["trace"] == {"uid": USED.trace}


def test_observables_are_what_people_search_for() -> None:
    """Who, from where, with which credential, and which key."""
    found = [each["value"] for each in event(USED)["observables"]]
    assert found == [ALICE, "192.0.2.7", "AKIAIOSFODNN7EXAMPLE", KEY]
    assert event(STOPPED)["observables"] == []


def test_a_key_is_a_resource_with_its_version_and_owner() -> None:
    """Each key with the version that was used of it."""
    (resource,) = event(USED)["resources"]
    assert (resource["uid"], resource["version"], resource["type"]) == (KEY, "3", "AWS::KMS::Key")
    assert resource["owner"]["account"]["uid"] == "111122223333"
    assert "version" not in event(changed(USED, version=0))["resources"][0]
    assert event(changed(USED, key="", subject="arn:aws:s3:::bucket"))["resources"] == [
        {"name": "bucket", "role": "Target", "role_id": 1, "type": "bucket", "uid": "arn:aws:s3:::bucket"}
    ]
    assert "resources" not in event(STOPPED)


def test_a_source_without_an_address_has_a_name() -> None:
    """Of the service that asked, by how it proved itself."""
    assert event(changed(USED, source="", auth="internal"))["src_endpoint"] == {"svc_name": "internal"}
    assert event(STOPPED)["src_endpoint"] == {"svc_name": "keystead.internal"}
