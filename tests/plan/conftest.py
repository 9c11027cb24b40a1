"""A whole account behind the native API's rows, in this process."""

import json
from typing import Any

import msgspec
import pytest

from keystead.fronts.native.front import ROWS
from keystead.testing.service import ServiceBench


class Api:
    """``ask(operation, **arguments)``, as the command line has it; keeps the names of what it was asked."""

    def __init__(self, bench: ServiceBench | None = None, who: str = "admin", region: str = "") -> None:
        self.bench = bench or ServiceBench()
        self.asked: list[str] = []
        self._who = who
        self._region = region

    def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        row = ROWS[operation]
        taken = msgspec.json.decode(json.dumps(arguments), type=row.takes)
        where = {"region": arguments["region"]} if arguments.get("region") else {}
        answer = self.bench.do(row.command(taken), self._who, **where)
        self.asked.append(operation)
        told: dict[str, Any] = json.loads(msgspec.json.encode(row.answer(answer)))
        return told


@pytest.fixture(scope="session")
def make_api() -> type[Api]:
    """Makes accounts, one for each example."""
    return Api


@pytest.fixture
def api() -> Api:
    """The account of an administrator, with nothing declared yet."""
    return Api()
