"""What is said of decisions that were made."""

from keystead.service.entry import Entry
from keystead.service.results import Result


class Explained(Result):
    """One entry of the request, and whether the policies that decided are still what they were."""

    event: str  # names the entry
    entry: Entry
    changed: tuple[str, ...]  # of ``entry.matched``: those whose policies have other texts now, or are gone


class Explanation(Result):
    """What was decided about a request, the newest entry first."""

    decisions: list[Explained]
    missing: str  # why there may be more, in words; empty when there is not
