"""What is said of identity providers."""

from keystead.core.principal import Provider
from keystead.service.results import Result


class ProviderDescription(Result):
    """One provider."""

    provider: Provider


class ProviderPage(Result):
    """Some providers."""

    providers: list[Provider]
    marker: str
