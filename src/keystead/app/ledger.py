"""Puts together what keeps accounts' trees and what prunes the audit, for the control process.

Both sign, and from several threads, so the keys are asked under a lock.
"""

from collections.abc import Callable, Iterator
from threading import Lock
from typing import NamedTuple

from keystead.app.auditkeys import LogKeys
from keystead.audit.accounts import AccountTrees
from keystead.audit.disk import LocalDisk
from keystead.audit.logkeys import SigningKeys
from keystead.audit.retention import Pruner
from keystead.audit.usagebook import SqliteBooks
from keystead.config import Config
from keystead.core.ports import Store, View
from keystead.crypto.note import Verifier
from keystead.service.concerns import aged, seen

_AT_ONCE = 1000


class Ledger(NamedTuple):
    """What attends to the accounts' parts of the audit, and to its age."""

    trees: AccountTrees
    pruner: Pruner


def ledger(config: Config, origin: str, keys: LogKeys, opened: Store) -> Ledger:
    """The two, over an installation's logs."""
    lock = Lock()

    def present() -> SigningKeys:
        with lock:
            return keys()

    def sign(name: str, text: str) -> bytes:
        first, *others = present().signers
        note = first.named(name).sign(text)
        return note + b"".join(other.named(name).line(text) for other in others)

    def verifier() -> Verifier:
        return present().ring(origin)

    root, disk = config.audit, LocalDisk()
    trees = AccountTrees(
        root,
        disk=disk,
        origin=origin,
        sign=sign,
        verifier=verifier,
        seen=seen,
        accounts=_accounts(opened),
    )
    pruner = Pruner(
        root,
        disk=disk,
        origin=origin,
        sign=sign,
        verifier=verifier,
        aged=aged,
        settled=lambda log: SqliteBooks().settled(log),
        durations=config.durations,
    )
    return Ledger(trees, pruner)


def _accounts(opened: Store) -> Callable[[], list[str]]:
    def ids(view: View) -> Iterator[str]:
        after = ""
        while page := view.accounts(after, _AT_ONCE):
            yield from (account.id for account in page)
            after = page[-1].id

    def accounts() -> list[str]:
        with opened.view() as view:
            return list(ids(view))

    return accounts
