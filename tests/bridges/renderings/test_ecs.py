"""Entries as ECS documents."""

import json
from typing import Any

import msgspec
import pytest

from bridges.renderings.samples import (
    ALICE,
    DENIED,
    EVENT,
    KEY,
    ROLE,
    SESSION,
    STOPPED,
    UNPROVEN,
    USED,
    every_entry,
)
from keystead.bridges.renderings import ecs
from keystead.service.entry import Entry, encode, event_id

changed = msgspec.structs.replace

# What ECS 8 and 9 allow in these fields (https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-category).
CATEGORIES = {"api", "authentication", "configuration"}
TYPES = {"access", "allowed", "change", "creation", "deletion", "denied", "info", "start"}
OUTCOMES = {"failure", "success", "unknown"}
FIELDS = {
    *("@timestamp", "aws", "cloud", "ecs", "error", "event", "http", "keystead"),
    *("message", "observer", "related", "source", "trace", "user"),
}


def document(entry: Entry) -> dict[str, Any]:
    """The document of an entry, once it has been through JSON."""
    made: dict[str, Any] = json.loads(ecs.render(encode(entry), EVENT))
    return made


def test_every_document_keeps_to_ecss_fields_and_values() -> None:
    """What is not ECS's is under `keystead` and `aws`, and categorisation is from ECS's lists."""
    for entry in every_entry():
        made = document(entry)
        assert made.keys() <= FIELDS
        assert set(made["event"]["category"]) <= CATEGORIES
        assert set(made["event"]["type"]) <= TYPES
        assert made["event"]["outcome"] in OUTCOMES
        assert made["event"]["id"] == event_id(EVENT)


def test_a_use_of_a_key_is_what_elastics_rules_look_for() -> None:
    """Data set, provider, action and outcome, and who made it."""
    made = document(USED)
    event = made["event"]
    assert (event["dataset"], event["provider"]) == ("aws.cloudtrail", "kms.amazonaws.com")
    assert (event["action"], event["outcome"], event["sequence"]) == ("Decrypt", "success", 567)
    assert (event["category"], event["type"], event["severity"]) == (["api"], ["access", "allowed"], 0)
    assert made["observer"]["vendor"] == "Keystead"
    assert made["cloud"] == {
        "provider": "keystead",
        "region": "eu-central-1",
        "account": {"id": "111122223333"},
        "service": {"name": "kms.amazonaws.com"},
    }
    assert made["aws"]["cloudtrail"]["resources"] == [
        {"account_id": "111122223333", "arn": KEY, "type": "AWS::KMS::Key"}
    ]
    assert "error" not in made
    assert "reason" not in event


def test_our_own_actions_are_in_a_data_set_of_ours() -> None:
    """Nothing of AWS is in them."""
    made = document(changed(USED, action="keystead:PutPolicy"))
    assert (made["event"]["dataset"], made["event"]["module"]) == ("keystead.audit", "keystead")
    assert made["event"]["category"] == ["api", "configuration"]
    assert "aws" not in made


def test_a_denial_is_a_failure_with_its_reason() -> None:
    """Our code in ECS's field, AWS's in the one that Elastic has for it."""
    made = document(DENIED)
    assert made["event"]["outcome"] == "failure"
    assert made["event"]["type"] == ["access", "denied"]
    assert made["event"]["reason"] == made["error"]["message"]
    assert made["error"]["code"] == made["aws"]["cloudtrail"]["error_code"] == "AccessDenied"
    assert made["keystead"]["missing"] == DENIED.missing


def test_a_failed_signature_is_an_authentication() -> None:
    """By nobody who is known, from somewhere."""
    made = document(UNPROVEN)
    assert (made["event"]["category"], made["event"]["type"]) == (["authentication"], ["start"])
    assert made["source"] == {"address": "2001:db8::7", "ip": "2001:db8::7"}
    assert "user" not in made


def test_a_session_is_named_with_its_role() -> None:
    """In the user's name, and in the member that rules on roles use."""
    made = document(changed(USED, principal=SESSION, source_identity="alice"))
    assert made["user"] == {"domain": "111122223333", "id": SESSION, "name": "deploy/ci-7"}
    assert made["related"]["user"] == ["deploy/ci-7", SESSION, "alice"]
    assert made["aws"]["cloudtrail"]["user_identity"]["session_context"] == {
        "session_issuer": {"arn": ROLE, "type": "Role"}
    }
    assert document(USED)["user"]["id"] == ALICE


def test_an_intent_is_of_unknown_outcome() -> None:
    """It is no failure either."""
    made = document(changed(USED, outcome="", stage="intent"))
    assert (made["event"]["outcome"], made["keystead"]["outcome"]) == ("unknown", "Pending")
    assert "error" not in made


@pytest.mark.parametrize("name", ["request", "trace"])
def test_what_an_entry_does_not_have_is_left_out(name: str) -> None:
    """The log's own entries belong to no request and no trace."""
    assert {"request": "http", "trace": "trace"}[name] in document(USED)
    assert {"request": "http", "trace": "trace"}[name] not in document(STOPPED)
