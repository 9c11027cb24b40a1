"""Questions about everything that was written down."""

from keystead.core.names import KeyReference
from keystead.service.commands import Command


class QueryAudit(Command, frozen=True, gc=False, kw_only=True):
    """Entries, or counts of them; what is empty is not asked about. See `keystead.core.query.Question`."""

    key: KeyReference | None = None
    principal: str = ""
    version: int = 0
    context: str = ""
    action: str = ""
    outcome: str = ""
    decision: str = ""
    source: str = ""
    account: str = ""
    access_key: str = ""
    request: str = ""
    trace: str = ""
    since: int = 0  # microseconds since 1970
    until: int = 0
    uses: bool = False
    everything: bool = False  # of all accounts, for the installation's first one
    by: tuple[str, ...] = ()
    oldest_first: bool = False
    limit: int = 100
    marker: str = ""
    as_written: bool = False  # leave commitments where they are


class AuditReach(Command, frozen=True, gc=False, kw_only=True):
    """What a principal did open, and what it could open now."""

    principal: str
    since: int = 0
    until: int = 0
    limit: int = 100
