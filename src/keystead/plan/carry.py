"""Carrying a plan out: one request after the other, between the beginning and the end of a revision.

The revision is begun before anything is changed, so that whoever planned from an older one is refused before and not
after the damage. If a request fails, the revision is closed as one that was not finished, and what has been done stays:
the next plan is the rest.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from keystead.core.errors import InvalidRequest, TooLarge
from keystead.plan.compare import MADE, Plan, Request, Step
from keystead.plan.present import FORM, Ask
from keystead.plan.things import KEY, State, kind_of

STATE_BYTES: Final = 1_000_000
"""What a revision holds; the server has the same bound."""

Tell = Callable[[Step, Request], None]


class Stopped(Exception):
    """A request failed. ``done`` steps are in force as a whole, and those ``left`` have not begun."""

    def __init__(
        self,
        error: Exception,
        at: Step,
        request: Request,
        *,
        done: Sequence[Step],
        left: Sequence[Step],
        revision: int,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.at = at
        self.request = request
        self.done = done
        self.left = left
        self.revision = revision


def carry(plan: Plan, ask: Ask, tell: Tell, *, comment: str = "", take_over: bool = False) -> int:
    """Make the account what the plan says, and return the number of the revision; ``tell`` is told of each request.

    Raises `Stopped` when a request fails, and whatever the server says when it does not begin the revision.
    """
    if plan.refused:
        raise InvalidRequest("\n  ".join(["There is something that cannot be done:", *plan.refused]))
    state = state_of(plan.declared)
    begun = ask("PutRevision", expected=plan.base, state=state, comment=comment, take_over=take_over)
    number: int = begun["number"]
    keys = dict(plan.keys)
    finished = False
    try:
        for place, step in enumerate(plan.steps):
            made = ""
            for request in step.requests:
                tell(step, request)
                arguments = {
                    name: made if value == MADE else value for name, value in request.arguments.items()
                }
                try:
                    answer = ask(request.operation, **arguments)
                except Exception as error:
                    done, left = plan.steps[:place], plan.steps[place + 1 :]
                    raise Stopped(error, step, request, done=done, left=left, revision=number) from error
                made = answer.get("key_id", made)
            if kind_of(step.thing) == KEY and made:
                keys[step.thing] = made
        finished = True
    finally:
        if finished:
            ask("CloseRevision", number=number, finished=True, keys=keys)
        else:
            with suppress(Exception):  # what went wrong is on its way already, and may be why this fails too
                ask("CloseRevision", number=number, finished=False, keys=keys)
    return number


def state_of(declared: State) -> dict[str, Any]:
    """What a revision holds of what is declared; raises `TooLarge`."""
    state = {"form": FORM, "things": declared}
    size = len(json.dumps(state, separators=(",", ":")))
    if size > STATE_BYTES:
        raise TooLarge(
            f"What is declared has {size} bytes as a revision, and one may have {STATE_BYTES}: keep keys that are made "
            "by the thousand out of the directory, and have them ensured from a template."
        )
    return state
