"""A proxy, and a client that trusts it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead.app.installation import SystemClock
from keystead.core.keystore import KeyStore, Kind
from keystead.core.ports import Clock, Outside
from keystead.crypto.random import system_random
from keystead.custody.xks import Client, trust
from keystead.custody.xks.breaker import State
from keystead.testing.xksproxy import Proxy

ACCOUNT, REGION = "111122223333", "eu-central-1"


class Room:
    """One proxy and its client."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.told: list[tuple[str, str]] = []
        self.clients: list[Client] = []
        self.client = self.another()

    def another(self, *, seconds: float = 2.0, clock: Clock | None = None) -> Client:
        """One more client."""

        def notice(key_store: str, state: State) -> None:
            self.told.append((key_store, state.value))

        client = Client(
            trust(self.proxy.authority),
            clock or SystemClock(),
            system_random,
            seconds=seconds,
            port=self.proxy.port,
            notice=notice,
        )
        self.clients.append(client)
        return client

    def close(self) -> None:
        """Let go of all connections."""
        for client in self.clients:
            client.close()

    def key_store(self, **other: str) -> KeyStore:
        """The proxy as a key store."""
        members: dict[str, Any] = {
            "id": "cks-0123456789abcdef0",
            "endpoint": self.proxy.endpoint,
            "path": self.proxy.path,
            "access_key_id": self.proxy.access_key_id,
            **other,
        }
        return KeyStore(
            account=ACCOUNT, region=REGION, name="ours", kind=Kind.EXTERNAL_KEY_STORE, created=0.0, **members
        )

    def asked(self, outer_key: str = "orders", action: str = "kms:Encrypt", **other: str) -> Outside:
        """Somebody asks for a key."""
        return Outside(
            key_store=self.key_store(**other),
            secret=self.proxy.secret.encode(),
            outer_key=outer_key,
            key_arn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd",
            principal=f"arn:aws:iam::{ACCOUNT}:user/alice",
            action=action,
            request="r-1",
        )

    def diagnose(self, client: Client | None = None, secret: str = "", **other: str) -> str:
        """What keeps the key store from being connected; empty if nothing does."""
        told = (secret or self.proxy.secret).encode()
        problem = (client or self.client).diagnose(
            self.key_store(**other), told, "ConnectCustomKeyStore", "r-1"
        )
        return "" if problem is None else problem.value


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Proxy]]:
    """Makes proxies and stops them at the end."""
    made: list[Proxy] = []

    def make() -> Proxy:
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), keys=["orders"])
        proxy.start()
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture
def room(proxies: Callable[[], Proxy]) -> Iterator[Room]:
    """A proxy of the test's own."""
    made = Room(proxies())
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_room(proxies: Callable[[], Proxy]) -> Iterator[Room]:
    """A proxy for many examples."""
    made = Room(proxies())
    yield made
    made.close()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A file for an authority's certificate."""
    return tmp_path / "authority.pem"
