from typing import Any

import pytest

from keystead.audit.log import Log
from keystead.testing.audit import AuditBench
from keystead.testing.contracts.audit import AuditLogContract


class TestLog(AuditLogContract[Log]):
    """The log keeps the port's promises."""

    @pytest.fixture
    def bench(self) -> AuditBench:
        """A log on a disk in memory, with room for the longest entry."""
        return AuditBench(segment_bytes=1 << 18)
