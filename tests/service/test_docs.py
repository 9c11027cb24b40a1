"""The page of the audit entry says what an entry is."""

import re
from pathlib import Path

import msgspec
import pytest

from keystead.app.sealing import ADD, REMOVE
from keystead.audit.log import Event
from keystead.service.entry import OK, Entry
from keystead.service.recovery import INTERRUPTED


@pytest.fixture
def page(checkout: Path) -> str:
    """The text of the page."""
    return (checkout / "docs" / "formats" / "audit-entry.md").read_text()


def test_the_page_has_every_member_in_its_order(page: str) -> None:
    """A member that is added comes with its line."""
    rows = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert rows == [field.name for field in msgspec.structs.fields(Entry)]


def test_the_example_on_the_page_is_an_entry(page: str) -> None:
    """Its members are members of an entry, in the order in which they are written."""
    (example,) = re.findall(r"```json\n(.+?)```", page, flags=re.DOTALL)
    members = msgspec.json.decode(example)
    assert list(members) == sorted(members)
    assert msgspec.convert(members, Entry, strict=True).outcome == OK
    assert set(members) <= {field.name for field in msgspec.structs.fields(Entry)}


def test_the_page_names_what_the_log_and_a_recovery_write(page: str) -> None:
    """Whoever finds such an entry finds out what it is."""
    names = [f"keystead:Audit{event.capitalize()}" for event in Event]
    assert [
        name for name in [*names, ADD, REMOVE, "keystead:Init", INTERRUPTED] if f"`{name}`" not in page
    ] == []
