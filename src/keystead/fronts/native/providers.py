"""Identity providers."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.core.principal import Provider
from keystead.fronts.native.row import Page, Row, done
from keystead.service.commands import providers as p
from keystead.service.results import providers as rp

# What is written into the audit must have a bound; the actions say what is right.
_Url = Annotated[str, msgspec.Meta(max_length=255)]
_Audiences = Annotated[list[Annotated[str, msgspec.Meta(max_length=255)]], msgspec.Meta(max_length=100)]
_Authorities = Annotated[str, msgspec.Meta(max_length=65_536)]


class _New(msgspec.Struct, forbid_unknown_fields=True):
    url: _Url
    audiences: _Audiences
    authorities: _Authorities = ""


class _Changes(msgspec.Struct, forbid_unknown_fields=True):
    url: _Url
    audiences: _Audiences | None = None
    authorities: _Authorities | None = None


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    url: _Url


class _Key(msgspec.Struct):
    kty: str
    kid: str = ""


class _KeySet(msgspec.Struct):
    keys: list[_Key]


def _provider(provider: Provider) -> dict[str, object]:
    known = msgspec.json.decode(provider.keys, type=_KeySet).keys if provider.keys else []
    return {
        "arn": provider.arn,
        "url": provider.url,
        "audiences": list(provider.audiences),
        "created": provider.created,
        "authorities": provider.authorities,
        "keys": [{"kid": key.kid, "kty": key.kty} for key in known],
        "fetched": provider.fetched,
    }


def _update(taken: _Changes) -> p.UpdateProvider:
    audiences = None if taken.audiences is None else tuple(taken.audiences)
    return p.UpdateProvider(taken.url, audiences, taken.authorities)


def _page(page: rp.ProviderPage) -> dict[str, object]:
    return {"providers": [_provider(each) for each in page.providers], "marker": page.marker}


ROWS: Final[Mapping[str, Row]] = {
    "CreateProvider": Row(
        _New,
        lambda t: p.CreateProvider(t.url, tuple(t.audiences), t.authorities),
        lambda result: _provider(result.provider),
    ),
    "UpdateProvider": Row(_Changes, _update, lambda result: _provider(result.provider)),
    "DescribeProvider": Row(
        _Named, lambda t: p.DescribeProvider(t.url), lambda result: _provider(result.provider)
    ),
    "ListProviders": Row(Page, lambda t: p.ListProviders(t.limit, t.marker), _page),
    "DeleteProvider": Row(_Named, lambda t: p.DeleteProvider(t.url), done),
}
