"""Identity providers: issuers whose tokens an account takes."""

from typing_extensions import override

from keystead.service.commands import Command


class _OfProvider(Command, frozen=True, gc=False):
    """Something asked about the provider with that URL."""

    url: str

    @property
    @override
    def about(self) -> str:
        return self.url


class CreateProvider(_OfProvider, frozen=True, gc=False):
    """Trust an issuer; ``authorities`` (PEM) are those whose certificates count for its server, empty the system's."""

    audiences: tuple[str, ...]
    authorities: str = ""


class UpdateProvider(_OfProvider, frozen=True, gc=False):
    """Change what is not None. With new authorities, or with nothing to change, its keys are fetched anew."""

    audiences: tuple[str, ...] | None = None
    authorities: str | None = None


class DescribeProvider(_OfProvider, frozen=True, gc=False):
    """One provider."""


class DeleteProvider(_OfProvider, frozen=True, gc=False):
    """Trust an issuer no more; in force when it returns."""


class ListProviders(Command, frozen=True, gc=False):
    """The account's providers."""

    limit: int = 100
    marker: str = ""


class RefreshProvider(_OfProvider, frozen=True, gc=False):
    """Keep the keys that a job has fetched, unless others were fetched since it looked (``seen``)."""

    keys: str
    seen: float
