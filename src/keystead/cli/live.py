"""What there is in an account, for the commands that read all of it: which Regions, and what was not shown."""

import os
from collections.abc import Iterable

from keystead.plan.present import Record
from keystead.plan.things import KEY, State, kind_of, place_of


def region() -> str:
    """The Region that is meant where none is said."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def regions(declared: State, known: Record, more: Iterable[str] = ()) -> set[str]:
    """All Regions that keys are, or were, declared in, and those that are named."""
    names = (*declared, *known.state, *known.managed, *known.keys)
    return {region(), *more, *(place_of(name)[0] for name in names if kind_of(name) == KEY)}


def left_out(count: int, done: str) -> str:
    """How many keys the caller may not see, and what was not done with them."""
    if count == 1:
        return f"1 key is not yours to see, and was not {done}."
    return f"{count} keys are not yours to see, and were not {done}."
