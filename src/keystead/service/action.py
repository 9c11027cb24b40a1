"""An action is a row: what a command needs, and the function that does it.

Three modes say where an action may run.

* ``HOT`` never blocks and never asks the store. It runs on the worker's own loop and gets a `Visit`,
  which opens keys from the working set.
* ``READ`` and ``WRITE`` ask the store, so they run on another thread and get a `Desk`, which is one
  transaction. A ``WRITE`` is preceded by an intent entry in the audit.
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


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table in `keystead.service.actions`.

    ``name`` is the action in policies and in the audit, such as ``kms:Encrypt``. ``run`` takes the command
    and the `Visit` or `Desk`, and returns a result or raises a `KeysteadError`.
    """

    name: str
    mode: Mode
    run: Callable[[Any, Any], Any]
