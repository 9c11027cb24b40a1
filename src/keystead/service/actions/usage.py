"""When a key was last used, by the audit."""

from keystead.core.key import Event
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results.kms import LastUsage


def get_key_last_usage(command: c.GetKeyLastUsage, desk: Desk) -> LastUsage:
    """The last successful cryptographic operation with a key, in whatever state the key is."""
    key = desk.key(command.key, Event.READ, "kms:GetKeyLastUsage")
    found = desk.usage.last(key.arn)
    # Where no log has begun yet, or all are lost, nothing was tracked before now: that the key was never used since it
    # was created would be a guess.
    since = found.since or (desk.now if found.use is None else found.use.time)
    return LastUsage(key, found.use, max(since, key.created))
