"""Fetches the keys of identity providers anew, once an hour.

So that a key which an issuer has withdrawn stops counting, and a new one is known before a token comes with it. The job
has a thread of its own, since it waits for other machines; what it has fetched it hands to the gate, on the gate's
thread (`At`), like anyone. The keys that were there stay while an issuer cannot be asked.

An issuer that does not answer is left alone for a while that doubles from one look to the next, an hour at most.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock, IdentityTokens, Random
from keystead.core.principal import Provider
from keystead.observe.log import Log
from keystead.service.caller import Caller
from keystead.service.commands.providers import RefreshProvider
from keystead.service.gate import Gate
from keystead.service.results import Result

T = TypeVar("T")

At = Callable[[Callable[[], T]], T]
"""Does something on the gate's thread and returns what came of it."""

MAX_AGE: Final = 3600.0  # seconds that fetched keys are taken for fresh
SHORTEST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
MOST_SHARED: Final = 1000  # issuers whose keys are remembered during one look


class _Pause(NamedTuple):
    """How long an issuer is left alone, and until when."""

    seconds: float
    until: float


class Issuers:
    """See the module. ``stale`` looks for the providers whose keys were fetched before a time.

    ``caller`` makes the jobs' caller for one request: its id, the Region, the account.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        stale: Callable[[float], Iterable[Provider]],
        tokens: IdentityTokens,
        caller: Callable[[str, str, str], Caller],
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._gate = gate
        self._stale = stale
        self._tokens = tokens
        self._caller = caller
        self._clock = clock
        self._random = random
        self._log = log
        self._pauses: dict[tuple[str, str], _Pause] = {}

    def run_once(self, at: At[Result]) -> int:
        """Refresh what is stale; returns how many providers have fresh keys now."""
        done = 0
        pauses, shared = self._pauses, dict[tuple[str, str], str]()
        self._pauses = {}  # those of providers that are gone, or fresh again, are not kept
        try:
            for provider in self._stale(self._clock.now() - MAX_AGE):
                name = provider.url, provider.authorities
                if name in self._pauses:  # another account's, in this look
                    continue
                pause = pauses.get(name)
                if pause is not None and self._clock.monotonic() < pause.until:
                    self._pauses[name] = pause
                    continue
                try:
                    if name not in shared:
                        if len(shared) >= MOST_SHARED:
                            shared.clear()
                        shared[name] = self._tokens.fetch(*name)
                    self._keep(provider, shared[name], at)
                    done += 1
                except KeysteadError as error:
                    self._leave_alone(name, pause, error)
        except KeysteadError as error:
            self._log.warning(
                "jobs cannot see which identity providers are due and will look again", code=error.code
            )
        return done

    def _keep(self, provider: Provider, keys: str, at: At[Result]) -> None:
        caller = self._caller(f"job-{self._random(12).hex()}", "", provider.account)
        command = RefreshProvider(provider.url, keys, provider.fetched)
        at(lambda: self._gate.ask(caller, command).outcome())

    def _leave_alone(self, name: tuple[str, str], pause: _Pause | None, error: KeysteadError) -> None:
        seconds = SHORTEST_PAUSE if pause is None else min(pause.seconds * 2, LONGEST_PAUSE)
        self._pauses[name] = _Pause(seconds, self._clock.monotonic() + seconds)
        self._log.warning(
            "the keys of an identity provider were not refreshed: the old ones count, and it will be asked again",
            component=name[0],
            code=error.code,
            reason=str(error),
        )
