"""Checks tokens, with the keys that are stored and, when those do not do, with fresh ones.

An issuer changes its keys from time to time, and publishes a new one before it signs with it. A token with a key that
is not known is the sign to look, but anybody can send such a token. So each process asks an issuer at most once in
`PAUSE_SECONDS`, and whoever comes while it is being asked waits for the same answer. The keys that were there stay good
while an issuer is down or answers nonsense.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from keystead.core.errors import InvalidIdentityToken, ProviderUnreachable
from keystead.core.ports import Clock
from keystead.core.principal import Provider
from keystead.federation import discovery, keys
from keystead.federation import token as tokens
from keystead.federation.keys import IssuerKey
from keystead.federation.token import Token

PAUSE_SECONDS: Final = 10.0
MOST_ISSUERS: Final = 256  # whose keys are kept at hand

Keys = tuple[IssuerKey, ...]


class _Issuer:
    """What a process has found out about an issuer by itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked: float | None = None  # on the monotonic clock
        self.failure = ""  # of the last time
        self.keys: Keys = ()
        self.fetched = 0.0  # when it had these keys


class Issuers:
    """Implements `keystead.core.ports.IdentityTokens`. One for each process.

    ``seconds`` is how long an issuer may take to tell its keys, in all.
    """

    def __init__(self, clock: Clock, *, seconds: float = 3.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._issuers: OrderedDict[tuple[str, str], _Issuer] = OrderedDict()
        self._read: Callable[[str], Keys] = lru_cache(MOST_ISSUERS)(keys.read)

    def issuer(self, token: str) -> str:
        """Who a token claims has signed it."""
        return tokens.issuer(tokens.read(token))

    def verify(self, provider: Provider, token: str) -> Mapping[str, str | tuple[str, ...]]:
        """The claims of a token, once it is found to be this provider's."""
        read = tokens.read(token)
        tokens.check(read, provider, self._clock.now())
        # Two accounts that trust the same issuer by the same authorities may share what it says.
        issuer = self._issuer(provider.url, provider.authorities)
        suiting = _suiting(self._known(provider, issuer), read)
        if not _signed(suiting, read):
            if suiting and read.kid is not None:  # the key that it names is known, and has not signed it
                raise _not_signed()
            if not _signed(_suiting(self._fresh(provider, issuer), read), read):
                raise _not_signed()
        return tokens.simple(read.claims)

    def fetch(self, url: str, authorities: str) -> str:
        """An issuer's key set, as JSON text."""
        return discovery.fetch(url, authorities, self._clock, self._seconds)

    def _issuer(self, url: str, authorities: str) -> _Issuer:
        name = url, authorities
        with self._lock:
            issuer = self._issuers.setdefault(name, _Issuer())
            self._issuers.move_to_end(name)
            if len(self._issuers) > MOST_ISSUERS:
                self._issuers.popitem(last=False)
            return issuer

    def _known(self, provider: Provider, issuer: _Issuer) -> Keys:
        """The newest keys that are at hand: the provider's, or those that were fetched since."""
        if issuer.keys and issuer.fetched >= provider.fetched:
            return issuer.keys
        try:
            return self._read(provider.keys)
        except ValueError:  # there are none yet, or none that this version can use
            return ()

    def _fresh(self, provider: Provider, issuer: _Issuer) -> Keys:
        """The keys that the issuer has now, or had a moment ago."""
        with issuer.lock:
            now = self._clock.monotonic()
            if issuer.asked is None or now - issuer.asked >= PAUSE_SECONDS:
                issuer.asked, issuer.failure = now, ""
                try:
                    issuer.keys = keys.read(self.fetch(provider.url, provider.authorities))
                except ProviderUnreachable as error:
                    issuer.failure = str(error)
                else:
                    issuer.fetched = self._clock.now()
                    return issuer.keys
            if issuer.failure:
                raise ProviderUnreachable(issuer.failure)
            return self._known(provider, issuer)


def _suiting(known: Keys, token: Token) -> Keys:
    return tuple(key for key in known if key.suits(token.algorithm, token.kid))


def _signed(suiting: Keys, token: Token) -> bool:
    return any(key.signed(token.algorithm, token.message, token.signature) for key in suiting)


def _not_signed() -> InvalidIdentityToken:
    return InvalidIdentityToken("The token is not signed by a key that its issuer has published for it.")
