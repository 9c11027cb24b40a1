"""The port of sinks: what delivers events to a receiver, and how it says that it could not."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from keystead.bridges.renderings.facts import Event

FORM_TYPES: Final = {"cef": "text/plain; charset=utf-8"}
"""Media types of the renderings that are no JSON."""

Notice = Callable[[str], None]
"""Hears of something that an operator should know, in a sentence."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """An event that is ready to leave."""

    about: Event
    body: bytes  # the rendering: one line


class Retry(Exception):
    """The receiver could not take it now: nothing of it counts, and it will be asked again.

    The text goes into status and logs, so it must hold nothing secret. ``after`` is how many seconds the receiver asked
    to be left alone for.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Rejected(Exception):
    """The receiver has looked at it and will never take it.

    ``whole`` says that nothing of the batch was taken, so that smaller ones can find out which event it is about.
    Otherwise some were taken and the receiver does not say which were not, and must not be sent them again.
    """

    def __init__(self, reason: str, *, whole: bool = True) -> None:
        super().__init__(reason)
        self.whole = whole


class Sink(Protocol):
    """Delivers events to one receiver. For one thread."""

    @property
    def overlap(self) -> int:
        """How many delivered events a receiver that dies may still lose; 0 where its acknowledgement is reliable."""
        ...

    def remember(self, messages: Sequence[Message]) -> None:
        """Take the last events that were delivered before this sink was opened, at most ``overlap`` of them."""
        ...

    def deliver(self, messages: Sequence[Message]) -> None:
        """Return when the receiver has all of them, in this order; raise `Retry` or `Rejected`.

        Comes to an end within a bounded time whatever the receiver does.
        """
        ...

    def close(self) -> None:
        """Let go of the receiver; never raises."""
        ...
