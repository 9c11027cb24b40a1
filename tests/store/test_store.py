"""Finding a store by its URL."""

import pytest

from keystead.core.errors import ConfigError
from keystead.store import connect, migrate


@pytest.mark.parametrize(
    "url", ["", "postgres://host/db", "schema:", "os:", "sqlite", "keystead.core.ports:"]
)
def test_a_url_opens_nothing_but_a_module_of_this_room(url: str) -> None:
    """What is not in the listing is refused with the names that are, and is not imported."""
    with pytest.raises(ConfigError) as raised:
        connect(url, create=True)
    with pytest.raises(ConfigError):
        migrate(url)

    assert "memory" in str(raised.value) or "sqlite" in str(raised.value)
