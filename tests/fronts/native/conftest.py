"""The native API before a gate, asked one request after the other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import pytest

from keystead.core.errors import KeysteadError
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.front import Asked
from keystead.fronts.native.front import Native
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import REGION, Installation


@dataclass
class Posted:
    """A request as a front sees it (`keystead.fronts.front.Inquiry`)."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str = "192.0.2.1"
    secure: bool = False


class Told(NamedTuple):
    """An answer."""

    status: int
    value: dict[str, Any]


class Office:
    """The front with a gate behind it. ``office(operation, **members)`` asks as the admin."""

    def __init__(self, house: Installation, regions: tuple[str, ...] = ()) -> None:
        self.house = house
        self.gate = house.gate(regions=regions)
        self.front = Native(
            credentials=Credentials(self.gate, house.clock),
            clock=house.clock,
            help_url="https://keystead.example/errors/",
            regions=regions,
        )
        self._numbers = count(1)

    def post(self, operation: str, body: bytes) -> Posted:
        """A signed request."""
        access_key_id, secret = self.house.admin
        target = f"/v1/{operation}"
        headers = sign(
            "POST",
            "localhost",
            target,
            {"Content-Type": "application/json"},
            body,
            credentials=Credential(access_key_id, Secret(secret.encode())),
            region=REGION,
            service="keystead",
            now=self.house.clock.now(),
        )
        return Posted(
            b"POST",
            target.encode(),
            {name.encode(): value.encode() for name, value in headers.items()},
            body,
        )

    def __call__(self, operation: str, **members: Any) -> Told:
        """The answer, as the control plane would come to it."""
        request, posted = f"r-{next(self._numbers)}", self.post(operation, json.dumps(members).encode())
        try:
            self.gate.working.catch_up()
            asked = self._read(posted, request)
            body = asked.write(self.gate.ask(asked.caller, asked.command).outcome())
            return Told(200, json.loads(body))
        except KeysteadError as error:
            status, body = self.front.write_error(error, request)
            return Told(status, json.loads(body))

    def _read(self, posted: Posted, request: str) -> Asked:
        """What the front understands, once the working set holds what it needs."""
        while True:
            try:
                return self.front.read(posted, request)
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))


@pytest.fixture
def house() -> Installation:
    """An installation with an admin."""
    return Installation()


@pytest.fixture
def office(house: Installation) -> Office:
    """Asks anything, for every Region, and is told how it ended."""
    return Office(house)


@pytest.fixture
def served(house: Installation) -> Office:
    """The same, of a service that serves two Regions."""
    return Office(house, (REGION, "eu-west-1"))


@pytest.fixture
def call(office: Office) -> Callable[..., dict[str, Any]]:
    """Asks what must succeed, and is told the answer."""

    def ask(operation: str, **members: Any) -> dict[str, Any]:
        told = office(operation, **members)
        assert told.status == 200, told
        return told.value

    return ask
