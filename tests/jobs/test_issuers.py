"""The keys of identity providers are fetched anew, and issuers that do not answer are left alone."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from keystead.core.errors import StoreUnavailable
from keystead.core.principal import Account, Provider, provider_arn, service_arn
from keystead.federation import Issuers as Tokens
from keystead.jobs.issuers import LONGEST_PAUSE, MAX_AGE, SHORTEST_PAUSE, Issuers
from keystead.observe.log import Log
from keystead.service.commands import providers as p
from keystead.service.due import stale
from keystead.service.results import Result
from keystead.testing.installation import ACCOUNT, Installation
from keystead.testing.issuer import KEYS, WELL_KNOWN, Issuer

JOBS = service_arn(ACCOUNT, "jobs")
FETCH = [WELL_KNOWN, KEYS]
OTHER = "999988887777"


class Bench:
    """An installation with its job, and one issuer that it trusts."""

    def __init__(self, issuer: Issuer, house: Installation) -> None:
        self.house = house
        self.issuer = issuer
        self.gate = house.gate("control")
        self.said = io.StringIO()
        self.outage: StoreUnavailable | None = None
        self.job = Issuers(
            gate=self.gate,
            stale=self.look,
            tokens=Tokens(house.clock),
            caller=lambda request, region, account: house.caller(
                request, arn=service_arn(account, "jobs"), region=region
            ),
            clock=house.clock,
            random=house.random,
            log=Log(self.said, "json", house.clock.now),
        )
        new = p.CreateProvider(issuer.url, ("keystead",), issuer.authority)
        self.gate.ask(house.caller("r-0"), new).outcome()
        issuer.requests.clear()

    def look(self, before: float) -> Iterator[Provider]:
        """What is stale."""
        if self.outage is not None:
            raise self.outage
        return stale(self.house.store, before)

    def run(self) -> int:
        """One look of the job."""

        def at(work: Callable[[], Result]) -> Result:
            return work()

        return self.job.run_once(at)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.house.clock.time += seconds

    def put(self, provider: Provider) -> None:
        """Store a provider as it is."""
        with self.house.store.transact(f"put-{self.house.random(8).hex()}") as tx:
            tx.put_provider(provider)

    def provider(self, account: str = ACCOUNT) -> Provider:
        """The provider as it is stored."""
        with self.house.store.view() as view:
            found = view.provider(provider_arn(account, self.issuer.url))
        assert found is not None
        return found

    @property
    def kids(self) -> list[str]:
        """The names of the keys that are stored."""
        return [key["kid"] for key in json.loads(self.provider().keys)["keys"]]

    @property
    def lines(self) -> list[dict[str, str]]:
        """What the operator is told."""
        return [json.loads(line) for line in self.said.getvalue().splitlines()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """An issuer that has been asked just now."""
    house = Installation()
    with Issuer(now=house.clock.now) as issuer:
        yield Bench(issuer, house)


def test_keys_are_fetched_once_an_hour(bench: Bench) -> None:
    """Not before, and with a record like anybody's change."""
    old = bench.issuer.signer.kid
    bench.issuer.rotate()
    bench.wait(MAX_AGE)
    assert (bench.run(), bench.kids, bench.issuer.requests) == (0, [old], [])
    bench.wait(1)
    assert (bench.run(), bench.kids, bench.issuer.requests) == (1, [bench.issuer.signer.kid], FETCH)
    assert bench.provider().fetched == bench.house.clock.now()
    intent, outcome = bench.house.entries("control")[-2:]
    assert (intent.stage, intent.principal, intent.subject) == ("intent", JOBS, bench.issuer.url)
    assert (outcome.action, outcome.outcome) == ("keystead:RefreshProvider", "Success")
    assert (bench.run(), bench.issuer.requests, bench.lines) == (0, FETCH, [])


def test_an_issuer_that_several_accounts_trust_is_asked_once(bench: Bench) -> None:
    """Each of them has its fresh keys."""
    with bench.house.store.transact("account") as tx:
        tx.put_account(Account(id=OTHER, name="other", created=0.0))
        jobs = tx.principal(JOBS)
        assert jobs is not None
        tx.put_principal(replace(jobs, arn=service_arn(OTHER, "jobs"), account=OTHER))
    mine = bench.provider()
    bench.put(replace(mine, arn=provider_arn(OTHER, mine.url), account=OTHER))
    bench.wait(MAX_AGE + 1)
    assert (bench.run(), bench.issuer.requests) == (2, FETCH)
    assert bench.provider(OTHER).fetched == bench.provider().fetched == bench.house.clock.now()


def test_what_is_remembered_during_one_look_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then an issuer may be asked twice."""
    monkeypatch.setattr("keystead.jobs.issuers.MOST_SHARED", 1)
    with Issuer(now=bench.house.clock.now) as other:
        mine = bench.provider()
        theirs = replace(mine, arn=mine.arn + "/y", url=other.url, authorities=other.authority)
        bench.put(theirs)
        bench.put(replace(mine, arn=mine.arn + "/z"))
        bench.wait(MAX_AGE + 1)
        assert (bench.run(), bench.issuer.requests, other.requests) == (3, FETCH * 2, FETCH)


def test_old_keys_stay_while_an_issuer_does_not_answer(bench: Bench) -> None:
    """The operator hears of it, and it is left alone longer and longer."""
    before = bench.provider()
    bench.issuer.status = 500
    bench.wait(MAX_AGE + 1)
    assert bench.run() == 0
    assert bench.provider() == before
    (line,) = bench.lines
    assert line["level"] == "warning"
    assert (line["component"], line["code"]) == (bench.issuer.url, "ProviderUnreachable")
    assert line["reason"].endswith("it answers with status 500.")
    pause = SHORTEST_PAUSE
    for number in range(2, 10):
        bench.wait(pause - 1)
        bench.run()
        assert len(bench.lines) == number - 1
        bench.wait(1)
        bench.run()
        assert len(bench.lines) == number
        pause = min(pause * 2, LONGEST_PAUSE)
    assert pause == LONGEST_PAUSE
    bench.issuer.status = 200
    bench.wait(pause)
    assert bench.run() == 1
    assert bench.job._pauses == {}


def test_an_issuer_that_does_not_answer_holds_up_no_other(bench: Bench) -> None:
    """And is asked once, whoever many accounts trust it."""
    mine = bench.provider()
    with Issuer() as dead:
        url = dead.url
    for name in ("a", "b"):
        bench.put(replace(mine, arn=provider_arn(ACCOUNT, f"https://{name}.example"), url=url))
    bench.wait(MAX_AGE + 1)
    assert bench.run() == 1
    assert [line["component"] for line in bench.lines] == [url]


def test_a_store_that_cannot_be_read_is_looked_at_again(bench: Bench) -> None:
    """With a line for the operator."""
    bench.wait(MAX_AGE + 1)
    bench.outage = StoreUnavailable("for a while")
    assert bench.run() == 0
    assert [line["code"] for line in bench.lines] == ["StoreUnavailable"]
    bench.outage = None
    assert bench.run() == 1
