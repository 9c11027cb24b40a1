"""An account's part of the audit, and its removal, where nobody attends to them: in the workers."""

from collections.abc import Collection, Mapping
from typing import NoReturn

from typing_extensions import override

from keystead.core.errors import QueryUnavailable
from keystead.core.ledger import AccountLogs, Removable, Retention, Row, Section
from keystead.core.retention import Hold


class NoAccountLogs(AccountLogs):
    """Shows nothing."""

    @override
    def sections(self, account: str, since: Mapping[str, int]) -> list[Section]:
        _refuse()

    @override
    def rows(self, log: str, account: str, first: int, limit: int) -> list[Row]:
        _refuse()


class NoRetention(Retention):
    """Removes nothing."""

    @override
    def removable(self, holds: Collection[Hold], now: float) -> Removable:
        _refuse()

    @override
    def remove(self, removable: Removable) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise QueryUnavailable("Questions about the audit are answered by the control plane.")
