"""Finding out, after a crash, how the last changes ended.

A change writes an intent, then commits, then writes its outcome (see `keystead.service.gate`). A process
that is killed in between leaves an intent without an outcome. The store knows whether the transaction was
committed, because each one is stored with its request id, so at the next start the log gets the outcome
that is missing. Nothing is guessed.
"""

from collections.abc import Iterable

import msgspec

from keystead.core.ports import View
from keystead.service.entry import OK, Entry, decode

INTERRUPTED = "Interrupted"

STAGE = b'"stage":'  # what only entries of changes hold: in a value it would be written with backslashes


def unfinished(entries: Iterable[bytes]) -> list[Entry]:
    """The intents among these log entries that no outcome follows, in order."""
    open_intents: dict[str, Entry] = {}
    for data in entries:
        # A quick look first: at a restart hundreds of thousands of entries may have to be looked through.
        if STAGE not in data:
            continue
        try:
            entry = decode(data)
        except msgspec.DecodeError:  # another kind of entry, such as the log's own
            continue
        if entry.stage == "intent":
            open_intents[entry.request] = entry
        elif entry.stage == "outcome":
            open_intents.pop(entry.request, None)
    return list(open_intents.values())


def resolve(intents: Iterable[Entry], view: View, now: float) -> list[Entry]:
    """The outcomes to append: what the store says became of each intent."""
    outcomes = []
    for intent in intents:
        committed = view.changed_by(intent.request)
        outcome = msgspec.structs.replace(
            intent,
            stage="outcome",
            time=int(now * 1e6),
            outcome=OK if committed else INTERRUPTED,
            detail=(
                "the process ended after the change was committed and before the answer was given"
                if committed
                else "the process ended before the change was committed: nothing was changed"
            ),
        )
        outcomes.append(outcome)
    return outcomes
