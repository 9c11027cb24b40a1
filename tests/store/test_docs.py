"""The store's page says what the store is."""

from pathlib import Path

import pytest

from keystead.store import sqlite
from keystead.store.schema.tables import REVISION, metadata
from keystead.testing.contracts.store import WRITES


@pytest.fixture
def page(checkout: Path) -> str:
    """The text of the page."""
    return (checkout / "docs/reference/store.md").read_text()


def test_the_page_has_every_table_and_revision(page: str) -> None:
    """A table or migration that is added comes with its line."""
    assert [name for name in metadata.tables if f"| `{name}` |" not in page] == []
    assert f"| `{REVISION}` |" in page


def test_the_page_has_every_kind_of_change(page: str) -> None:
    """Whoever reads the change feed finds out what its words mean."""
    kinds = {kind for _, changes in WRITES.values() for kind, _ in changes}
    assert [kind for kind in sorted(kinds) if f"| `{kind}` |" not in page] == []


def test_the_page_has_the_limits_in_force(page: str) -> None:
    """The numbers on the page are those of the code."""
    assert (sqlite.PATIENCE, sqlite.READERS) == (5, 16)
    assert (sqlite.KEPT_CHANGES, sqlite.PRUNE_EVERY) == (100_000, 1_000)
    assert sqlite.CHECKED_BYTES == 64 * 1024 * 1024
    said = ("five seconds", "sixteen views", "100,000 rows", "up to 1,000 more", "64 MiB")
    assert [words for words in said if words not in page] == []
