"""After a crash every intent gets the outcome that the store knows."""

import pytest

from keystead.core.key import State
from keystead.core.names import KeyReference
from keystead.core.ports import View
from keystead.service.commands import kms as c
from keystead.service.entry import OK, Entry, encode
from keystead.service.recovery import INTERRUPTED, resolve, unfinished
from keystead.service.results.kms import KeyDescription
from keystead.testing.installation import REGION, Installation


def _intent(request: str) -> bytes:
    return encode(Entry(v=1, stage="intent", request=request, action="kms:DisableKey"))


def _outcome(request: str) -> bytes:
    return encode(Entry(v=1, stage="outcome", request=request, outcome=OK))


@pytest.mark.parametrize(
    ("entries", "open_requests"),
    [
        ([], []),
        ([_intent("a"), _outcome("a")], []),
        ([_intent("a"), _intent("b"), _intent("c"), _outcome("b")], ["a", "c"]),
        ([_outcome("a")], []),  # its intent is in an older part of the log
        ([encode(Entry(v=1, request="a", outcome=OK))], []),
        ([encode(Entry(v=1, request="a", detail='"stage":"intent"'))], []),
        ([encode(Entry(v=1, request="a", stage="else"))], []),
        ([b'notice "stage":', b"\xff", _intent("a")], ["a"]),
    ],
)
def test_intents_without_an_outcome_are_found_in_order(
    entries: list[bytes], open_requests: list[str]
) -> None:
    """Only an outcome with the same request id closes an intent; other entries are passed over."""
    assert [entry.request for entry in unfinished(entries)] == open_requests


@pytest.mark.parametrize("committed", [True, False])
def test_the_store_says_how_an_interrupted_change_ended(committed: bool) -> None:
    """A process that stops before or after the commit: the missing outcome says which, and guesses nothing."""
    house = Installation()
    gate = house.gate("w0")
    made = house.ask(gate, c.CreateKey()).outcome()
    assert isinstance(made, KeyDescription)
    command = c.DisableKey(KeyReference(made.key.id))
    caller = house.caller("crashed")
    gate.intend(caller, command)
    house.logs["w0"].commit()
    if committed:
        gate.perform(caller, command)  # and the process is killed here

    house.clock.time += 10
    with house.store.view() as view:
        intents = unfinished(house.audit.entries(house.logs["w0"]))
        (outcome,) = resolve(intents, view, house.clock.now())
        assert _state(view, made.key.id) is (State.DISABLED if committed else State.ENABLED)
    assert (outcome.stage, outcome.request, outcome.action) == ("outcome", "crashed", "kms:DisableKey")
    assert outcome.outcome == (OK if committed else INTERRUPTED)
    assert ("nothing was changed" in outcome.detail) is not committed
    assert outcome.subject == made.key.id
    assert outcome.time == house.clock.now() * 1e6
    assert not unfinished([encode(intents[0]), encode(outcome)])


def _state(view: View, key_id: str) -> State:
    key = view.key(REGION, key_id)
    assert key is not None
    return key.state
