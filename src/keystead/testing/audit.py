"""An audit log on a disk that can fail, with a clock that a test turns.

bench = AuditBench()
log = bench.open()
log.append(b"entry")
log.commit()
bench.verify()
"""

import random
from concurrent.futures import Executor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.audit.log import MIN_SEGMENT_BYTES, Log, Notice
from keystead.audit.logkeys import SigningKeys
from keystead.audit.verify import Report, verify
from keystead.crypto.note import NoteSigner
from keystead.testing.disk import Fault, MemoryDisk

NOTICE = b"notice: "


class TurnedClock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        """The wall clock."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time


class AuditBench:
    """One directory ``/audit`` with the logs of an instance, and the means to spoil it."""

    def __init__(
        self, seed: int = 0, *, capacity: int | None = None, segment_bytes: int = MIN_SEGMENT_BYTES
    ) -> None:
        self.disk = MemoryDisk(seed, capacity)
        self.clock = TurnedClock()
        self.root = Path("/audit")
        self.directory = self.root / "w0"
        self.signer = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"k"))
        self.keys: SigningKeys | None = None  # instead of the signer
        self.notices: list[Notice] = []
        self.executor: Executor | None = None
        self.segment_bytes = segment_bytes
        self._random = random.Random(seed)  # noqa: S311 - identities of a test, which must repeat

    def open(self, slot: str = "w0") -> Log:
        """Open the log of a process slot."""
        return Log.open(
            self.root / slot,
            origin=f"keystead-test/{slot}",
            signer=self.signer,
            disk=self.disk,
            clock=self.clock,
            random=self._random.randbytes,
            notice=self._notice,
            segment_bytes=self.segment_bytes,
            executor=self.executor,
            keys=None if self.keys is None else self._keys,
        )

    def verify(self) -> Report:
        """Check every log, or raise `AuditDamaged`."""
        return verify(self.root, self.signer.vkey, disk=self.disk)

    def entries(self, log: Log) -> list[bytes]:
        """What callers committed, without the log's own notices."""
        return [entry for entry in log.entries(0, log.size) if not entry.startswith(NOTICE)]

    def stop_disk(self) -> None:
        """From now on every write fails."""
        self.disk.at(0, Fault.BROKEN)

    def mend_disk(self) -> None:
        """The disk works again, and there is all the space there is."""
        self.disk.mend()

    def later(self, seconds: float = 2.0) -> None:
        """Let time pass."""
        self.clock.time += seconds

    def _keys(self) -> SigningKeys:
        return self.keys or SigningKeys((self.signer,))

    def _notice(self, notice: Notice) -> bytes:
        self.notices.append(notice)
        return NOTICE + f"{notice.event} {notice.index} {notice.dropped_bytes} {notice.refused}".encode()
