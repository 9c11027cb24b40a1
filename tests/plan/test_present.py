"""What is read from the server, page by page and revision by revision."""

from typing import Any

import pytest

from keystead.core.errors import InvalidRequest
from keystead.plan.present import look, record, things_of

EMPTY = {
    "ListPolicies": "policies",
    "ListPrincipals": "principals",
    "ListGuardrails": "guardrails",
    "ListProviders": "providers",
    "ListTemplates": "templates",
}


def server(**pages: list[list[dict[str, Any]]]) -> Any:
    """A server that answers in these pages, and with nothing else."""

    def ask(operation: str, *, marker: str, limit: int, **_: Any) -> dict[str, Any]:
        if operation == "ListKeyStates":
            return {"account": "111122223333", "region": "r", "keys": [], "left_out": 1, "marker": ""}
        of_operation = pages.get(operation, [[]])
        number = int(marker or 0)
        is_last = number + 1 == len(of_operation)
        return {EMPTY[operation]: of_operation[number], "marker": "" if is_last else str(number + 1)}

    return ask


def test_all_pages_are_read() -> None:
    """And what a provider says of its keys is not what was declared of it."""
    providers = [
        {"url": f"https://{name}.example", "audiences": ["b", "a"], "authorities": "", "keys": [1]}
        for name in "xyz"
    ]
    found = look(server(ListProviders=[[providers[0]], [], providers[1:]]), ["r", "s", "r"])
    assert found.things == {
        f"provider/https://{name}.example": {"audiences": ["a", "b"], "authorities": ""} for name in "xyz"
    }
    assert (found.account, found.left_out) == ("111122223333", 2)


def revisions(*finished: bool) -> Any:
    """A server with revisions, each of which declares a group named after its number."""

    def ask(operation: str, *, number: int) -> dict[str, Any]:
        assert operation == "DescribeRevision"
        number = number or len(finished)
        head = {"number": number, "created": float(number), "by": "me", "keys": {}}
        if not number:
            return {**head, "finished": False, "state": {}}
        state = {"form": 1, "things": {f"group/{number}": {}}}
        return {**head, "finished": finished[number - 1], "state": state}

    return ask


def test_what_is_managed_goes_back_to_the_last_that_was_finished() -> None:
    """Whatever was begun after it may be there, in part."""
    known = record(revisions(True, True, False, False))
    assert (known.newest, known.finished, known.begun) == (4, 2, 4.0)
    assert known.managed == {"group/2", "group/3", "group/4"}
    assert known.state == {"group/2": {}}


def test_before_the_first_there_is_nothing() -> None:
    """Neither when nothing was begun, nor when nothing was finished."""
    known = record(revisions())
    assert (known.newest, known.finished, known.managed, known.begun) == (0, 0, frozenset(), 0.0)
    known = record(revisions(False))
    assert (known.newest, known.finished, known.managed) == (1, 0, frozenset({"group/1"}))


def test_revisions_are_looked_at_as_far_as_they_are_kept() -> None:
    """A hundred attempts that all failed: the one before them is gone."""
    known = record(revisions(True, *[False] * 100))
    assert (known.newest, known.finished, len(known.managed)) == (101, 0, 100)


def test_a_revision_of_a_later_version_is_not_guessed_at() -> None:
    """It would be read wrongly, and things deleted."""
    with pytest.raises(InvalidRequest, match="Revision 7 is in a form that this version does not know"):
        things_of({"number": 7, "state": {"form": 2, "things": {}}})
