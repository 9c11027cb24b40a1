"""Legal holds and pruning from the command line."""

from collections.abc import Callable
from typing import Any


def test_holds_come_and_go(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """A hold is set with a reason, listed, and lifted with another."""
    made = value("audit", "hold", "put", "case-7", "--reason", "a dispute")["holds"][0]
    assert (made["name"], made["reason"], made["key"]) == ("case-7", "a dispute", "")
    assert value("audit", "hold", "list") == {"holds": [made]}
    shown = ask("audit", "hold", "list").out
    assert shown.startswith("case-7  the account  since ")
    assert shown.endswith(f"by {made['by']}: a dispute\n")
    assert value("audit", "hold", "lift", "case-7", "--reason", "settled")["holds"] == [made]
    assert ask("audit", "hold", "list").out == ""


def test_what_is_not_there_cannot_be_redacted(ask: Callable[..., Any]) -> None:
    """One member is named, with a reason; where nothing is committed to there is nothing to redact."""
    for named in ((), ("--source", "192.0.2.7", "--source-identity", "alice")):
        told = ask("audit", "redact", *named, "--reason", "r")
        assert (told.code, "either --source or --source-identity" in told.err) == (2, True)
    refused = ask("audit", "redact", "--source-identity", "alice", "--reason", "r")
    assert (refused.code, "NotFound" in refused.err) == (1, True)


def test_nothing_is_pruned_where_everything_is_kept(
    ask: Callable[..., Any], value: Callable[..., Any]
) -> None:
    """Without durations there is nothing to remove, for a dry run and for another."""
    assert value("audit", "prune", "--dry-run") == {"ranges": [], "entries": 0, "more": False}
    assert ask("audit", "prune").out == "0 entries were removed\n"
    assert ask("audit", "prune", "--dry-run").out == "0 entries would be removed\n"
