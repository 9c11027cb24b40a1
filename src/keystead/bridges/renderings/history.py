"""A whole log, or a part of it, in one of the forms: what is done for those who come later.

Over what is already written it is known which intents got their outcome, so the others can be told.
"""

from collections.abc import Iterable, Iterator

import msgspec

from keystead.bridges.renderings import RENDERINGS
from keystead.bridges.renderings.facts import Event, read
from keystead.core.errors import AuditDamaged

LOSSLESS = "keystead"
"""The form that has every entry, intents included."""


def render(
    named: Iterable[tuple[str, bytes]],
    form: str,
    *,
    since: int | None = None,
    until: int | None = None,
    pending: bool = False,
) -> Iterator[bytes]:
    """Entries, each with the name of its event, in that form; ``since`` and ``until`` are microseconds.

    A change is told once, by its outcome; with ``pending``, those that never got one come at the end. Raises
    `AuditDamaged` for what is no entry.
    """
    rendering = RENDERINGS[form]
    found = _read(named)
    for event, data in found if form == LOSSLESS else _settled(found, pending=pending):
        time = event.entry.time
        if (since is None or since <= time) and (until is None or time < until):
            yield rendering(data, event.name)


def _read(named: Iterable[tuple[str, bytes]]) -> Iterator[tuple[Event, bytes]]:
    for name, data in named:
        try:
            yield read(data, name), data
        except msgspec.DecodeError:
            raise AuditDamaged(f"the record {name} is not an audit entry") from None


def _settled(events: Iterable[tuple[Event, bytes]], *, pending: bool) -> Iterator[tuple[Event, bytes]]:
    """All but the intents, which wait for the outcome of the same request."""
    waiting: dict[str, tuple[Event, bytes]] = {}
    for event, data in events:
        if event.entry.stage == "intent":
            waiting[event.entry.request] = event, data
        else:
            waiting.pop(event.entry.request, None)
            yield event, data
    if pending:
        yield from waiting.values()
