"""What a witness of logs says, and how the witnesses of this installation's own logs fare (C2SP tlog-witness).

A witness has seen a log's checkpoint, has made sure that it goes on from the one before, and says so with a
signature. So whoever asks for its signature cannot be shown another history of the log.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """What comes of a checkpoint that a witness is asked to cosign."""

    COSIGNED = "cosigned"
    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown-log"
    UNKNOWN_KEY = "unknown-key"
    STALE = "stale"  # the request goes on from another size than that of the last one cosigned
    FORKED = "forked"  # it has the size of the last one cosigned and another root
    INCONSISTENT = "inconsistent"  # the proof does not show that it goes on from the last one cosigned


REFUSED: frozenset[Verdict] = frozenset({Verdict.FORKED, Verdict.INCONSISTENT})
"""Those that may tell of a log that has two histories."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A verdict, with the signature lines, the size of the last one cosigned, or the reason."""

    verdict: Verdict
    text: str
    origin: str = ""  # of the log, as far as it is known here


class Witness(Protocol):
    """Cosigns the checkpoints of the logs that it knows. Any thread."""

    def consider(self, request: bytes) -> Considered:
        """Cosign the checkpoint of an ``add-checkpoint`` request, or say why not.

        What is cosigned is remembered, durably, before this returns. Raises `AuditUnavailable` when it cannot be, and
        `DataDamaged` when what was remembered does not check out.
        """
        ...

    def latest(self, digest: str) -> bytes | None:
        """The last checkpoint that was cosigned of the log whose origin has that SHA-256, in hex; None if none was."""
        ...


@dataclass(slots=True)
class WitnessStatus:
    """How a witness of this installation's logs fares."""

    lag: dict[str, int] = field(default_factory=dict)  # records that it has not seen, by log
    cosigned: int = 0  # checkpoints since the start
    failures: int = 0
    trouble: str = ""  # empty when all is well
