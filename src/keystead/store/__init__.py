"""The store: everything Keystead keeps but the audit log and the ciphertexts, which are the callers' own.

A store is named by a URL, and the part before the first colon is the name of the module in this room that
knows it. There is no table to edit: a new store is one new module here with a `connect` and a `migrate`.

    >>> store = connect("sqlite:///var/lib/keystead/keystead.db")
    >>> with store.transact("request-1") as transaction:
    ...     transaction.put_key(key)
    >>> with store.view() as view:
    ...     view.key(key.region, key.id)

What a store promises is written at the port, :class:`keystead.core.ports.Store`, and tested by
:class:`keystead.testing.contracts.store.StoreContract`. What the adapters here share, the tables and how a
record becomes a row, is in ``schema``.
"""

import importlib
import pkgutil
import time
from collections.abc import Callable
from typing import Protocol, cast

from keystead.core.errors import ConfigError
from keystead.core.ports import Store


class Adapter(Protocol):
    """What a module of this room offers."""

    def connect(self, url: str, *, create: bool, now: Callable[[], float]) -> Store:
        """Open the store, brought up to the schema of this version."""
        ...

    def migrate(self, url: str) -> tuple[str, str]:
        """Bring the schema up to this version; returns the revisions before and after."""
        ...


def connect(url: str, *, create: bool = False, now: Callable[[], float] = time.time) -> Store:
    """The store at ``url``, with an older schema brought up to date first.

    A store that does not exist yet is made only when ``create`` says so: a mistyped path or a volume
    that is not mounted must not look like an empty installation. Raises `ConfigError` for what the
    operator has to change, `DataDamaged` for a store that cannot be trusted.
    """
    return _adapter(url).connect(url, create=create, now=now)


def migrate(url: str) -> tuple[str, str]:
    """Bring the schema at ``url`` up to date; returns its revisions before and after."""
    return _adapter(url).migrate(url)


def _adapter(url: str) -> Adapter:
    """The module that knows ``url``. Its name is looked up in the listing: a URL imports nothing else."""
    name = url.partition(":")[0]
    known = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    if name not in known:
        raise ConfigError(f"no store is called {name!r}: a URL begins with one of {', '.join(known)}")
    return cast("Adapter", importlib.import_module(f"{__name__}.{name}"))
