"""Identity providers: which issuers an account trusts, and the keys that they have published.

An issuer is asked for its keys when it is added: one that cannot be asked now could not be asked when a token comes,
and a mistyped URL is found at once. That is done before the transaction, since it takes as long as the issuer does.
Later a job fetches them once an hour (`refresh_provider`).

Removing an audience needs nobody else's help: only new authorities, or a change of nothing, ask the issuer again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple, cast

from keystead.core.address import leads_here
from keystead.core.errors import AlreadyExists, InvalidRequest, LimitExceeded, NotFound
from keystead.core.principal import Provider, provider_arn
from keystead.service.action import Action, Mode
from keystead.service.actions.guardrails import check_first_account
from keystead.service.commands import Command
from keystead.service.commands import providers as p
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.providers import ProviderDescription, ProviderPage

MOST_PROVIDERS: Final = 100  # of one account (AWS IAM, "IAM and AWS STS quotas")
MOST_AUDIENCES: Final = 100  # of one provider (as above)
AUDIENCE_CHARACTERS: Final = 255
URL_CHARACTERS: Final = 255
AUTHORITY_CHARACTERS: Final = 65_536


def prepare_provider(command: p.CreateProvider, desk: Desk) -> str:
    """See that there is room for it and that the issuer publishes keys; returns those."""
    _check_new(command, desk)
    return desk.tokens.fetch(command.url, command.authorities)


def create_provider(command: p.CreateProvider, desk: Desk) -> ProviderDescription:
    """Trust an issuer."""
    provider = Provider(
        arn=_check_new(command, desk),
        account=desk.account,
        url=command.url,
        audiences=command.audiences,
        created=desk.now,
        authorities=command.authorities,
        keys=cast("str", desk.prepared),
        fetched=desk.now,
    )
    desk.tx.put_provider(provider)
    return ProviderDescription(provider)


class Fetched(NamedTuple):
    """An issuer's keys, and by whose word they are its."""

    keys: str
    authorities: str


def prepare_update(command: p.UpdateProvider, desk: Desk) -> Fetched | None:
    """Fetch the keys where that is needed."""
    old, new = _changed(command, desk)
    if new.authorities == old.authorities and new.audiences != old.audiences:
        return None
    return Fetched(desk.tokens.fetch(new.url, new.authorities), new.authorities)


def update_provider(command: p.UpdateProvider, desk: Desk) -> ProviderDescription:
    """Change which tokens of an issuer are taken, or who may vouch for its server; in force when it returns."""
    _, provider = _changed(command, desk)
    fetched = cast("Fetched | None", desk.prepared)
    # While the issuer was being asked, another change may have come.
    if fetched is not None and fetched.authorities == provider.authorities:
        provider = replace(provider, keys=fetched.keys, fetched=desk.now)
    desk.tx.put_provider(provider)
    return ProviderDescription(provider)


def describe_provider(command: p.DescribeProvider, desk: Desk) -> ProviderDescription:
    """One provider."""
    return ProviderDescription(_existing(desk, _allowed(desk, "keystead:DescribeProvider", command.url)))


def list_providers(command: p.ListProviders, desk: Desk) -> ProviderPage:
    """The account's providers in the order of their ARNs."""
    desk.allow("keystead:ListProviders")
    providers, marker = desk.page(
        "providers",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.providers(desk.account, after, count),
        lambda provider: provider.arn,
    )
    return ProviderPage(providers, marker)


def delete_provider(command: p.DeleteProvider, desk: Desk) -> Done:
    """Trust an issuer no more. Sessions that it has vouched for last until they end or are revoked."""
    provider = _existing(desk, _allowed(desk, "keystead:DeleteProvider", command.url))
    desk.tx.delete_provider(provider.arn)
    return Done()


def refresh_provider(command: p.RefreshProvider, desk: Desk) -> Done:
    """Keep fresh keys, for the job that has fetched them."""
    provider = desk.tx.provider(_allowed(desk, "keystead:RefreshProvider", command.url))
    # It may be gone by now, or its keys may have been fetched by other authorities' word.
    if provider is not None and provider.fetched == command.seen:
        desk.tx.put_provider(replace(provider, keys=command.keys, fetched=desk.now))
    return Done()


ACTIONS: Final[Mapping[type[Command], Action]] = {
    p.CreateProvider: Action("keystead:CreateProvider", Mode.WRITE, create_provider, before=prepare_provider),
    p.UpdateProvider: Action("keystead:UpdateProvider", Mode.WRITE, update_provider, before=prepare_update),
    p.DescribeProvider: Action("keystead:DescribeProvider", Mode.READ, describe_provider),
    p.ListProviders: Action("keystead:ListProviders", Mode.READ, list_providers),
    p.DeleteProvider: Action("keystead:DeleteProvider", Mode.WRITE, delete_provider),
    p.RefreshProvider: Action("keystead:RefreshProvider", Mode.WRITE, refresh_provider),
}


def _check_new(command: p.CreateProvider, desk: Desk) -> str:
    """The ARN of a provider that may be added."""
    arn = _allowed(desk, "keystead:CreateProvider", command.url)
    _check_audiences(command.audiences)
    _check_authorities(command.authorities)
    if leads_here(command.url):  # what else listens on this machine is not every account's to knock at
        check_first_account(desk)
    if desk.tx.provider(arn) is not None:
        raise AlreadyExists(f"The identity provider {arn} already exists.")
    if len(desk.tx.providers(desk.account, "", MOST_PROVIDERS)) == MOST_PROVIDERS:
        raise LimitExceeded(
            f"The account has {MOST_PROVIDERS} identity providers: the quota is reached. Delete one first."
        )
    return arn


def _changed(command: p.UpdateProvider, desk: Desk) -> tuple[Provider, Provider]:
    """A provider as it is, and as it is to be."""
    old = new = _existing(desk, _allowed(desk, "keystead:UpdateProvider", command.url))
    if command.audiences is not None:
        _check_audiences(command.audiences)
        new = replace(new, audiences=command.audiences)
    if command.authorities is not None:
        _check_authorities(command.authorities)
        new = replace(new, authorities=command.authorities)
    return old, new


def _check_audiences(audiences: tuple[str, ...]) -> None:
    right = all(0 < len(audience) <= AUDIENCE_CHARACTERS and audience.isprintable() for audience in audiences)
    if not right or not 0 < len(set(audiences)) == len(audiences) <= MOST_AUDIENCES:
        raise InvalidRequest(
            f"An identity provider has 1 to {MOST_AUDIENCES} audiences, each once and of 1 to {AUDIENCE_CHARACTERS} "
            "characters: a token must be for one of them (aud)."
        )


def _check_authorities(authorities: str) -> None:
    if len(authorities) > AUTHORITY_CHARACTERS:
        raise InvalidRequest(f"The authorities may have {AUTHORITY_CHARACTERS:,} characters.")


def _allowed(desk: Desk, action: str, url: str) -> str:
    """The ARN of the provider with that URL, once the caller may do ``action`` to it."""
    if len(url) > URL_CHARACTERS:
        raise InvalidRequest(f"The URL of an identity provider has at most {URL_CHARACTERS} characters.")
    arn = provider_arn(desk.account, url)
    desk.entry.subject = arn
    desk.allow(action, arn)
    return arn


def _existing(desk: Desk, arn: str) -> Provider:
    provider = desk.tx.provider(arn)
    if provider is None:
        raise NotFound(f"There is no identity provider {arn}. List them with: keystead provider list")
    return provider
