"""Logs and archives of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archivehouse import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Logs without entries."""
    house = House(tmp_path)
    yield house
    for archive in house.archives:
        archive.close()
