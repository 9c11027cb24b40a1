"""Templates, revisions and the states of keys through the native API."""

import json
from typing import Any

import pytest

TEMPLATE = json.dumps({"parameters": {"team": ["a", "b"]}, "tags": {"team": "<<team>>"}})


def test_the_life_of_a_template(office: Any) -> None:
    """Put, looked at, listed, used for a key, and removed."""
    put = office("PutTemplate", name="web", text=TEMPLATE).value
    assert (put["name"], json.loads(put["text"])["tags"]) == ("web", {"team": "<<team>>"})
    assert office("DescribeTemplate", name="web").value == put
    assert office("ListTemplates").value == {"templates": [put], "marker": ""}
    ensured = [
        office("EnsureKey", template="web", name="x", parameters={"team": team}).value for team in "aab"
    ]
    outcomes = [(each["outcome"], each["changed"]) for each in ensured]
    assert outcomes == [("created", []), ("unchanged", []), ("changed", ["tags"])]
    told = ensured[-1]
    assert told["alias"] == "alias/x"
    (key,) = office("ListKeyStates").value["keys"]
    assert (key["key_id"], key["arn"], key["template"]) == (told["key_id"], told["arn"], "web")
    assert (key["tags"], key["aliases"]) == ({"team": "b"}, ["alias/x"])
    assert office("DeleteTemplate", name="web") == (200, {})
    assert office("DescribeTemplate", name="web").value["code"] == "NotFound"


def test_a_key_is_ensured_in_the_region_that_is_named(office: Any) -> None:
    """The same name in another Region is another key."""
    office("PutTemplate", name="web", text="{}")
    first = office("EnsureKey", template="web", name="x", region="eu-west-1").value
    second = office("EnsureKey", template="web", name="x").value
    assert (first["outcome"], second["outcome"]) == ("created", "created")
    told = office("ListKeyStates", region="eu-west-1").value
    assert [key["arn"] for key in told["keys"]] == [first["arn"]]
    assert (told["account"], told["region"], told["left_out"]) == ("111122223333", "eu-west-1", 0)


def test_the_life_of_a_revision(office: Any) -> None:
    """Its state goes in and comes out as the JSON that it is."""
    state: dict[str, Any] = {"things": {"user/ü": {"tags": {}}}}
    begun = office("PutRevision", expected=0, state=state, comment="why").value
    assert (begun["number"], begun["comment"], begun["finished"]) == (1, "why", False)
    assert "state" not in begun
    closed = office("CloseRevision", number=1, finished=True, keys={"key/x": "id"}).value
    assert closed["finished"] is True
    told = office("DescribeRevision").value
    assert told == {"account": "111122223333", **closed, "keys": {"key/x": "id"}, "state": state}
    assert office("DescribeRevision", number=1).value == told
    assert office("ListRevisions").value == {"revisions": [closed], "marker": ""}


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("PutTemplate", {"name": "x" * 65, "text": "{}"}),
        ("PutTemplate", {"name": "x", "text": " " * 65_537}),
        ("EnsureKey", {"template": "x", "name": "x" * 251}),
        ("ListKeyStates", {"limit": 0}),
        ("ListKeyStates", {"limit": 1_001}),
        ("PutRevision", {"expected": -1, "state": {}}),
        ("PutRevision", {"expected": 0}),
        ("PutRevision", {"expected": 0, "state": []}),
        ("PutRevision", {"expected": 0, "state": {}, "comment": "x" * 1_001}),
        ("DescribeRevision", {"number": "1"}),
        ("DescribeRevision", {"number": 10**10}),
    ],
)
def test_what_is_no_such_request_is_refused(office: Any, operation: str, members: dict[str, Any]) -> None:
    """Before anything is looked up."""
    told = office(operation, **members)
    assert (told.status, told.value["code"]) == (400, "InvalidRequest")
