"""An action is a row: what a command needs, and the function that does it.

Four modes say where an action may run.

* ``HOT`` never blocks and never asks the store. It runs on the worker's own loop and gets a `Visit`,
  which opens keys from the working set.
  What would keep the loop from other requests (RSA, a key behind a network) it returns as `Later`, to be done
  on another thread.
* ``READ`` and ``WRITE`` ask the store, so they run on another thread and get a `Desk`, which is one
  transaction. A ``WRITE`` is preceded by an intent entry in the audit.
* ``SLOW`` is a ``READ`` that may have to wait for somebody else's server. It must not keep those waiting who ask the
  store only, so it runs beside slow cryptography.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class Mode(Enum):
    """Where an action may run."""

    HOT = auto()
    READ = auto()
    WRITE = auto()
    SLOW = auto()


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table in `keystead.service.actions`.

    ``name`` is the action in policies and in the audit, such as ``kms:Encrypt``. ``run`` takes the command
    and the `Visit` or `Desk`, and returns a result or raises a `KeysteadError`.

    ``before`` is the first part of a WRITE that takes too long to be done while all other changes wait: it gets a
    `Desk` that cannot write, and what it returns is the second part's ``desk.prepared``. Nothing that it has
    checked need hold any more by then, so the second part checks again.
    """

    name: str
    mode: Mode
    run: Callable[[Any, Any], Any]
    before: Callable[[Any, Any], Any] | None = None


class Later:
    """What a hot action returns instead of a result: work for another thread.

    ``then`` makes the result of what ``work`` has made, or leaves more for later; it runs on the loop's thread again,
    since ciphers and the working set are that thread's.
    """

    __slots__ = ("then", "work")

    def __init__(self, work: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        self.work = work
        self.then = then
