"""Identity providers: trusted, changed and trusted no more, with the keys of a real issuer."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typing_extensions import override

from keystead.core.errors import KeysteadError
from keystead.core.principal import Provider, provider_arn
from keystead.service.actions.providers import MOST_AUDIENCES, MOST_PROVIDERS
from keystead.service.commands import providers as p
from keystead.testing.installation import ACCOUNT
from keystead.testing.issuer import KEYS, WELL_KNOWN, Issuer
from keystead.testing.service import JOBS, ServiceBench

FETCH = [WELL_KNOWN, KEYS]
FOR = ("keystead",)


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


@pytest.fixture
def issuer(bench: ServiceBench) -> Iterator[Issuer]:
    """An issuer on loopback."""
    with Issuer(now=bench.house.clock.now) as issuer:
        yield issuer


def create(bench: ServiceBench, issuer: Issuer, *audiences: str) -> Provider:
    """Trust an issuer."""
    made = bench.do(p.CreateProvider(issuer.url, audiences or FOR, issuer.authority)).provider
    assert isinstance(made, Provider)
    issuer.requests.clear()
    return made


def stored(bench: ServiceBench, issuer: Issuer) -> Provider | None:
    """The provider as it is stored."""
    with bench.house.store.view() as view:
        return view.provider(provider_arn(ACCOUNT, issuer.url))


def kids(provider: Provider | None) -> list[str]:
    """The names of the keys that are kept of an issuer."""
    assert provider is not None
    return [key["kid"] for key in json.loads(provider.keys)["keys"]]


def test_an_issuer_is_trusted_with_its_keys(bench: ServiceBench, issuer: Issuer) -> None:
    """They are there when the first token comes, and the record says whom is trusted."""
    made = bench.do(p.CreateProvider(issuer.url, ("keystead", "vault"), issuer.authority)).provider
    now = bench.house.clock.now()
    assert issuer.requests == FETCH
    assert made == Provider(
        arn=f"arn:aws:iam::{ACCOUNT}:oidc-provider/localhost:{issuer.port}",
        account=ACCOUNT,
        url=issuer.url,
        audiences=("keystead", "vault"),
        created=now,
        authorities=issuer.authority,
        keys=made.keys,
        fetched=now,
    )
    assert json.loads(made.keys) == {"keys": [issuer.signer.jwk]}
    assert stored(bench, issuer) == made
    intent, outcome = bench.records[-2:]
    assert (intent.stage, intent.subject) == ("intent", issuer.url)
    assert (outcome.action, outcome.subject, outcome.outcome) == (
        "keystead:CreateProvider",
        made.arn,
        "Success",
    )


def test_an_issuer_that_cannot_be_asked_is_not_trusted(bench: ServiceBench, issuer: Issuer) -> None:
    """With the reason, be it the address, the certificate or what is published."""
    new = p.CreateProvider(issuer.url, FOR, issuer.authority)
    assert "its certificate does not prove" in bench.refusal(p.CreateProvider(issuer.url, FOR))
    issuer.discovery = {"issuer": "https://issuer.example"}
    assert "not that of this issuer" in bench.refusal(new)
    issuer.stop()
    assert bench.refusal(new) == (
        f"ProviderUnreachable: The keys of {issuer.url} cannot be fetched: it cannot be reached."
    )
    told = "InvalidRequest: The URL of an identity provider is https://HOST"
    assert bench.refusal(p.CreateProvider("http://issuer.example", FOR)).startswith(told)
    assert bench.refusal(p.CreateProvider(issuer.url, FOR, "x")).endswith("certificates in PEM.")
    assert stored(bench, issuer) is None


def test_only_the_first_account_trusts_issuers_on_this_machine(bench: ServiceBench, issuer: Issuer) -> None:
    """Whoever has another account cannot have the server ask what else listens here."""
    with bench.house.store.transact("another") as tx:
        tx.put_setting("account", "999988887777")
    told = bench.refusal(p.CreateProvider(issuer.url, FOR, issuer.authority))
    assert told == "AccessDenied: Only a principal of the installation's first account may do that."
    assert issuer.requests == []


def test_an_issuer_is_trusted_once(bench: ServiceBench, issuer: Issuer) -> None:
    """The one that is there stays as it is, and nobody is asked."""
    made = create(bench, issuer)
    assert bench.refusal(p.CreateProvider(issuer.url, ("other",), issuer.authority)) == (
        f"AlreadyExists: The identity provider {made.arn} already exists."
    )
    assert stored(bench, issuer) == made
    assert issuer.requests == []


@pytest.mark.parametrize(
    "audiences",
    [
        (),
        ("",),
        ("a", "a"),
        ("x" * 256,),
        ("a\n",),
        ("\ud800",),
        tuple(map(str, range(MOST_AUDIENCES + 1))),
    ],
)
def test_audiences_that_a_provider_may_not_have(
    bench: ServiceBench, issuer: Issuer, audiences: tuple[str, ...]
) -> None:
    """None, an empty one, one twice, or more than a list that anybody reads; nobody is asked."""
    told = "InvalidRequest: An identity provider has 1 to 100 audiences"
    assert bench.refusal(p.CreateProvider(issuer.url, audiences, issuer.authority)).startswith(told)
    assert issuer.requests == []
    made = create(bench, issuer)
    assert bench.refusal(p.UpdateProvider(issuer.url, audiences)).startswith(told)
    assert stored(bench, issuer) == made


def test_what_is_too_long_is_refused(bench: ServiceBench, issuer: Issuer) -> None:
    """Before anything is done with it."""
    told = "InvalidRequest: The URL of an identity provider has at most 255 characters."
    long = "https://issuer.example/" + "x" * 233
    for command in (p.CreateProvider(long, FOR), p.DescribeProvider(long), p.DeleteProvider(long)):
        assert bench.refusal(command) == told
    told = "InvalidRequest: The authorities may have 65,536 characters."
    assert bench.refusal(p.CreateProvider(issuer.url, FOR, "x" * 65_537)) == told
    create(bench, issuer)
    assert bench.refusal(p.UpdateProvider(issuer.url, None, "x" * 65_537)) == told


def test_an_account_has_a_hundred_providers(bench: ServiceBench, issuer: Issuer) -> None:
    """And no more."""
    made = create(bench, issuer)
    with bench.house.store.transact("many") as tx:
        for number in range(MOST_PROVIDERS - 1):
            tx.put_provider(replace(made, arn=provider_arn(ACCOUNT, f"https://{number}.example")))
    with Issuer(now=bench.house.clock.now) as other:
        new = p.CreateProvider(other.url, FOR, other.authority)
        assert bench.refusal(new).startswith("LimitExceeded: The account has 100 identity providers")
        bench.do(p.DeleteProvider("https://0.example"))
        bench.do(new)


def test_audiences_are_changed_although_the_issuer_is_down(bench: ServiceBench, issuer: Issuer) -> None:
    """To trust fewer tokens needs nobody's help; the keys stay."""
    made = create(bench, issuer, "keystead", "vault")
    issuer.stop()
    bench.house.clock.time += 5
    changed = bench.do(p.UpdateProvider(issuer.url, ("vault",))).provider
    assert changed == stored(bench, issuer) == replace(made, audiences=("vault",))


def test_new_authorities_need_the_keys_anew(bench: ServiceBench, issuer: Issuer) -> None:
    """What they do not vouch for is not taken over."""
    made = create(bench, issuer)
    bench.house.clock.time += 5
    with Issuer() as other:
        told = bench.refusal(p.UpdateProvider(issuer.url, None, other.authority))
        assert "its certificate does not prove that it is the one" in told
        assert stored(bench, issuer) == made
        both = issuer.authority + other.authority
    issuer.rotate()
    changed = bench.do(p.UpdateProvider(issuer.url, ("vault",), both)).provider
    assert changed == stored(bench, issuer)
    assert (changed.authorities, changed.audiences, changed.fetched) == (
        both,
        ("vault",),
        bench.house.clock.now(),
    )
    assert kids(changed) == [issuer.signer.kid]


def test_a_change_of_nothing_fetches_the_keys(bench: ServiceBench, issuer: Issuer) -> None:
    """For when an issuer has withdrawn a key and nobody wants to wait for the job."""
    made = create(bench, issuer)
    issuer.rotate()
    bench.house.clock.time += 5
    changed = bench.do(p.UpdateProvider(issuer.url)).provider
    assert kids(changed) == [issuer.signer.kid]
    assert (changed.audiences, changed.created, changed.fetched) == (
        made.audiences,
        made.created,
        bench.house.clock.now(),
    )


def test_keys_that_other_authorities_vouched_for_are_not_kept(bench: ServiceBench) -> None:
    """If the authorities are changed while an issuer is being asked, its answer is not theirs."""

    class Meanwhile(Issuer):
        """An issuer that is asked while somebody changes who may vouch for it."""

        @override
        def answer(self, path: str) -> tuple[int, bytes]:
            """The keys, after the change."""
            made = stored(bench, self)
            if made is not None and made.authorities:
                with bench.house.store.transact("meanwhile") as tx:
                    tx.put_provider(replace(made, authorities=""))
            return super().answer(path)

    with Meanwhile() as issuer:
        made = create(bench, issuer)
        issuer.rotate()
        bench.house.clock.time += 5
        changed = bench.do(p.UpdateProvider(issuer.url)).provider
        assert issuer.requests == FETCH
        assert changed == stored(bench, issuer) == replace(made, authorities="")


def test_an_issuer_is_trusted_no_more(bench: ServiceBench, issuer: Issuer) -> None:
    """It is gone when the call returns, and may be trusted again."""
    made = create(bench, issuer)
    bench.do(p.DeleteProvider(issuer.url))
    assert bench.records[-1].subject == made.arn
    assert stored(bench, issuer) is None
    told = f"NotFound: There is no identity provider {made.arn}. List them with: keystead provider list"
    for command in (
        p.DescribeProvider(issuer.url),
        p.DeleteProvider(issuer.url),
        p.UpdateProvider(issuer.url),
    ):
        assert bench.refusal(command) == told
    create(bench, issuer)


def test_providers_are_shown(bench: ServiceBench, issuer: Issuer) -> None:
    """One, or all in the order of their names, in pages."""
    made = create(bench, issuer)
    assert bench.do(p.DescribeProvider(issuer.url)).provider == made
    with bench.house.store.transact("more") as tx:
        tx.put_provider(replace(made, arn=provider_arn(ACCOUNT, "https://z.example")))
        tx.put_provider(
            replace(made, arn=provider_arn("999988887777", "https://a.example"), account="999988887777")
        )
    first = bench.do(p.ListProviders(1))
    assert [each.arn for each in first.providers] == [made.arn]
    second = bench.do(p.ListProviders(1, first.marker))
    assert [each.arn.partition("/")[2] for each in second.providers] == ["z.example"]
    assert second.marker == ""


def test_who_may_not_learns_nothing(bench: ServiceBench, issuer: Issuer) -> None:
    """Whether an issuer is trusted or not, the answer is the same, and nobody is asked for keys."""
    made = create(bench, issuer)
    other = p.CreateProvider("https://other.example", FOR)
    for command, action in (
        (p.CreateProvider(issuer.url, FOR), "CreateProvider"),
        (other, "CreateProvider"),
        (p.UpdateProvider(issuer.url), "UpdateProvider"),
        (p.DescribeProvider(issuer.url), "DescribeProvider"),
        (p.DeleteProvider(issuer.url), "DeleteProvider"),
        (p.ListProviders(), "ListProviders"),
        (p.RefreshProvider(issuer.url, "{}", made.fetched), "RefreshProvider"),
    ):
        assert bench.refusal(command, "mallory").startswith("AccessDenied: User: ")
        assert bench.records[-1].action == f"keystead:{action}"
    assert stored(bench, issuer) == made
    assert issuer.requests == []


def test_the_jobs_keep_fresh_keys(bench: ServiceBench, issuer: Issuer) -> None:
    """Of what is as it was when they looked, and of nothing else."""
    made = create(bench, issuer)
    bench.house.clock.time += 5
    bench.do(p.RefreshProvider(issuer.url, "fresh", made.fetched), JOBS)
    record = bench.records[-1]
    assert (record.action, record.subject, record.outcome) == (
        "keystead:RefreshProvider",
        made.arn,
        "Success",
    )
    kept = replace(made, keys="fresh", fetched=bench.house.clock.now())
    assert stored(bench, issuer) == kept
    bench.do(p.RefreshProvider(issuer.url, "late", made.fetched), JOBS)
    assert stored(bench, issuer) == kept
    bench.do(p.DeleteProvider(issuer.url))
    bench.do(p.RefreshProvider(issuer.url, "late", kept.fetched), JOBS)
    assert stored(bench, issuer) is None


def test_what_an_intent_says_is_about_whom() -> None:
    """All that is known before anything is looked up."""
    url = "https://issuer.example"
    assert (
        p.CreateProvider(url, FOR).about == p.UpdateProvider(url).about == p.DeleteProvider(url).about == url
    )
    assert p.RefreshProvider(url, "{}", 0.0).about == url


def test_a_token_is_taken_once_its_issuer_is_trusted(bench: ServiceBench, issuer: Issuer) -> None:
    """The stored provider is all that the check needs."""
    made = create(bench, issuer)
    tokens = bench.gate._tokens
    assert tokens.verify(made, issuer.token())["sub"] == "app"
    with pytest.raises(KeysteadError):
        tokens.verify(made, issuer.token(aud="other"))
    assert issuer.requests == []
