"""Detections written for AWS KMS find in a rendered log what they are meant to find, and nothing else.

The rules beside this file say in our own words what published ones select: SigmaHQ's on imported material, Elastic's
on policies and deletion, Splunk's on denials. They run as Sigma rules over a table of the rendered events.
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from bridges.renderings.samples import Log
from keystead.bridges.renderings import RENDERINGS, announces, history

RULES = Path(__file__).parent / "rules"
MOMENTS = {"cloudtrail": "eventTime", "ecs": "@timestamp", "ocsf": "metadata.original_time"}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The members of a document under their dotted names; lists as JSON."""
    if isinstance(value, Mapping):
        below = [flat(each, f"{name}.{key}" if name else key) for key, each in value.items()]
        return {key: each for members in below for key, each in members.items()}
    return {name: json.dumps(value) if isinstance(value, list) else value}


class Siem:
    """A table of events, and rules that run over it."""

    def __init__(self, events: list[dict[str, Any]], moment: str) -> None:
        rows = [flat(event) for event in events]
        self.columns = list(dict.fromkeys(name for row in rows for name in row))
        self.database = sqlite3.connect(":memory:")
        names = ", ".join(f"`{name}`" for name in [*self.columns, "timestamp"])
        self.database.execute(f"CREATE TABLE logs ({names})")
        marks = ", ".join("?" * (len(self.columns) + 1))
        self.database.executemany(
            f"INSERT INTO logs VALUES ({marks})",  # noqa: S608 - marks are question marks
            [[*(row.get(name) for name in self.columns), row[moment]] for row in rows],
        )

    def run(self, rule: str) -> list[dict[str, Any]]:
        """The rows that a rule finds."""
        rules = SigmaCollection.from_yaml((RULES / f"{rule}.yml").read_text())
        queries = sqliteBackend().convert(rules)  # type: ignore[no-untyped-call] # theirs has no types
        cursor = self.database.execute(queries[-1])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def siem(day: Log, form: str) -> Siem:
    """What a SIEM has after the day, when it is given that form."""
    return Siem([json.loads(event) for event in history.render(day.events, form)], MOMENTS[form])


@pytest.fixture(scope="module")
def trail(day: Log) -> Siem:
    """The day in CloudTrail's words."""
    return siem(day, "cloudtrail")


def test_imported_material_is_noticed(trail: Siem) -> None:
    """The import by the owner and the removal by somebody else, once each although each has two entries."""
    found = trail.run("imported_material")
    assert [(row["eventName"], row["userIdentity.userName"]) for row in found] == [
        ("ImportKeyMaterial", "admin"),
        ("DeleteImportedKeyMaterial", "bob"),
    ]


def test_a_policy_that_was_put_is_noticed_and_one_that_was_refused_is_not(day: Log) -> None:
    """In the shape of Elastic's events as well: only what succeeded."""
    found = siem(day, "ecs").run("key_policy_put")
    assert [(row["user.name"], row["aws.cloudtrail.user_identity.type"]) for row in found] == [
        ("bob", "IAMUser")
    ]
    assert day.key in found[0]["aws.cloudtrail.resources"]


def test_disabled_and_condemned_keys_are_noticed(day: Log, trail: Siem) -> None:
    """Both by name of the operation; the attempt that was denied is told apart by its error."""
    found = trail.run("key_disabled_or_deleted")
    assert [row["eventName"] for row in found] == ["DisableKey", "ScheduleKeyDeletion"]
    assert {row["requestParameters.keyId"] for row in found} == {day.key}
    assert [row["event.action"] for row in siem(day, "ecs").run("key_disabled_or_deleted_ecs")] == [
        "DisableKey",
        "ScheduleKeyDeletion",
    ]


def test_the_end_of_a_key_is_an_event_of_the_service(day: Log, trail: Siem) -> None:
    """What the job did is called as AWS KMS calls it, and nobody's doing."""
    (found,) = trail.run("key_destroyed")
    assert found["userIdentity.type"] == "AWSService"
    assert json.loads(found["resources"])[0]["ARN"] == day.key


def test_a_burst_of_denials_is_noticed(trail: Siem) -> None:
    """Five denials of one principal within five minutes; single ones before and after do not count."""
    found = trail.run("denied_burst")
    assert [row["event_count"] for row in found] == [5, 6]
    assert {row["group_keys"] for row in found} == {
        '{"userIdentity.arn":"arn:aws:iam::111122223333:user/mallory"}'
    }


def test_what_a_stranger_was_refused_is_found_in_ocsf(day: Log) -> None:
    """Seven times Decrypt and once ScheduleKeyDeletion, by their principal."""
    found = siem(day, "ocsf").run("denied_ocsf")
    assert [row["api.operation"] for row in found] == [*["Decrypt"] * 7, "ScheduleKeyDeletion"]
    assert {row["actor.user.uid"] for row in found} == {"arn:aws:iam::111122223333:user/mallory"}


def test_rules_would_count_changes_twice_if_they_were_given_what_only_announces(day: Log) -> None:
    """That is why intents are passed over: rendered, they look like the change."""
    every = [json.loads(RENDERINGS["cloudtrail"](data, name)) for name, data in day.events]
    assert len(Siem(every, "eventTime").run("imported_material")) == 4
    assert len(day.events) - sum(announces(data) for _, data in day.events) == len(
        list(history.render(day.events, "cloudtrail"))
    )
