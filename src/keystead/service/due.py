"""What is due: deletions, rotations and expiries whose date has come, and keys of issuers that are old, for the jobs.

The jobs hold no keys and decide nothing. They look here, and ask the gate like anyone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keystead.core.names import KeyReference
from keystead.core.ports import Store
from keystead.core.principal import Provider
from keystead.service.commands import Command
from keystead.service.commands.kms import DestroyKey, ExpireKeyMaterial, RotateKeyAutomatically

AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to ask for, in one region, as the jobs of one account."""

    region: str
    key_id: str
    command: Command
    account: str = ""  # the installation's first unless it is given


def due(store: Store, now: float, limit: int) -> list[Due]:
    """At most ``limit`` deletions, as many expiries and as many rotations, the longest overdue first."""
    with store.view() as view:
        found = (
            (DestroyKey, view.keys_to_destroy(now, limit)),
            (ExpireKeyMaterial, view.keys_to_expire(now, limit)),
            (RotateKeyAutomatically, view.keys_to_rotate(now, limit)),
        )
    return [
        Due(key.region, key.id, command(KeyReference(key.id)), key.account)
        for command, keys in found
        for key in keys
    ]


def stale(store: Store, before: float) -> Iterator[Provider]:
    """The identity providers of all accounts whose keys were fetched before that time.

    Every look into the store is short: there may be many accounts.
    """
    last = ""
    while True:
        with store.view() as view:
            accounts = view.accounts(last, AT_ONCE)
        for account in accounts:
            with store.view() as view:
                providers = view.providers(account.id, "", AT_ONCE)  # more than an account may have
            yield from (provider for provider in providers if provider.fetched < before)
        if len(accounts) < AT_ONCE:
            return
        last = accounts[-1].id
