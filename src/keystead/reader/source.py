"""What the archive reads: the logs of an installation, as their owners write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from keystead.audit import prune
from keystead.audit.damage import Damaged
from keystead.audit.follow import Follower
from keystead.core.disk import Disk
from keystead.core.errors import AuditUnavailable, DataDamaged
from keystead.crypto.merkle import TILE_WIDTH


class Source(Protocol):
    """Logs by name. For one thread. All but `names` raise `KeysteadError` for a log that cannot be read."""

    def names(self) -> Sequence[str]:
        """The logs that there are by now."""
        ...

    def sealed(self, log: str) -> int:
        """How many entries of it are under a checkpoint, and so will never be others."""
        ...

    def read(
        self, log: str, position: int, limit: int, *, unsettled: bool = False
    ) -> Sequence[tuple[int, bytes]]:
        """Some entries from a position on, in order and without a gap; see `keystead.audit.follow`."""
        ...

    def removed(self, log: str) -> Sequence[range]:
        """The entries that retention has removed from it."""
        ...


class Logs(Source):
    """The logs in a directory."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk
        self._follower = Follower(root, disk=disk)

    @override
    def names(self) -> Sequence[str]:
        return self._follower.logs()

    @override
    def sealed(self, log: str) -> int:
        return self._follower.signed(log).size

    @override
    def read(
        self, log: str, position: int, limit: int, *, unsettled: bool = False
    ) -> Sequence[tuple[int, bytes]]:
        return self._follower.read(log, position, limit, unsettled=unsettled)

    @override
    def removed(self, log: str) -> Sequence[range]:
        try:
            gone = prune.stated(self._disk, self._root / log)
        except Damaged as damage:
            raise DataDamaged(f"{self._root / log / damage.file}: {damage.problem}") from None
        except OSError as error:
            raise AuditUnavailable(f"the audit log {log} cannot be read: {error}") from None
        return [range(run.start * TILE_WIDTH, run.stop * TILE_WIDTH) for run in gone.bundles]
