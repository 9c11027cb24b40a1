"""The native API's rows before a gate, without signatures."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from keystead.fronts.native.front import ROWS
from keystead.testing.installation import Installation


@pytest.fixture
def house() -> Installation:
    """An installation with an admin."""
    return Installation()


@pytest.fixture
def call(house: Installation) -> Callable[..., Any]:
    """Asks one operation as the admin, or as whoever has the ARN ``who``, and reads its answer's JSON."""
    gate, numbers = house.gate(), count()

    def ask(operation: str, who: str = "", **members: Any) -> Any:
        row = ROWS[operation]
        taken = msgspec.json.decode(json.dumps(members), type=row.takes)
        caller = house.caller(f"r-{next(numbers)}", arn=who)
        answer = gate.ask(caller, row.command(taken)).outcome()
        return json.loads(msgspec.json.encode(row.answer(answer)))

    return ask
