"""The store in memory keeps the contract."""

from collections.abc import Iterator

import pytest

from keystead.core.errors import ConfigError, StoreUnavailable
from keystead.core.ports import Store
from keystead.store import connect, migrate
from keystead.store.memory import Memory
from keystead.testing.contracts.store import StoreContract


class TestMemory(StoreContract):
    """The contract, kept by the store in memory."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        store = connect("memory:")
        yield store
        store.close()


def test_each_store_in_memory_is_its_own() -> None:
    """Two stores share nothing, though their URLs are the same."""
    first, second = connect("memory:"), connect("memory:", create=True)
    with first.transact("r") as t:
        t.put_setting("colour", "red")

    with second.view() as view:
        assert view.setting("colour") is None


def test_a_store_in_memory_has_no_name() -> None:
    """A path after `memory:` would be forgotten, so it is refused."""
    with pytest.raises(ConfigError, match="memory:"):
        connect("memory:keys")


def test_there_is_nothing_to_migrate_in_memory() -> None:
    """The command succeeds and changes nothing."""
    assert migrate("memory:") == ("", "")


def test_a_writer_waits_for_a_bounded_time() -> None:
    """A transaction that never ends makes the others unavailable, it does not hang them."""
    store = Memory(patience=0.01)
    with store.transact("first"), pytest.raises(StoreUnavailable):
        store.transact("second").__enter__()


def test_old_changes_are_forgotten() -> None:
    """The feed keeps the newest; a reader who is further behind is told so."""
    store = Memory(kept_changes=3)
    for number in range(1, 6):
        with store.transact(f"r{number}") as t:
            t.put_setting("colour", str(number))

    with store.view() as view:
        assert view.changes(1, 9) is None
        assert [change.seq for change in view.changes(2, 9) or []] == [3, 4, 5]
        assert not view.changed_by("r2")


def test_a_store_closed_meanwhile_keeps_nothing() -> None:
    """A transaction that outlives its store fails instead of bringing it back."""
    store = Memory()

    def close_inside() -> None:
        with store.transact("r") as t:
            t.put_setting("colour", "red")
            store.close()

    with pytest.raises(StoreUnavailable):
        close_inside()
    with pytest.raises(StoreUnavailable):
        store.pulse()
