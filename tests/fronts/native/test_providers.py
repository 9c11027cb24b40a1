"""What the native API says of identity providers, and how much it takes."""

from dataclasses import replace

import msgspec
import pytest

from keystead.core.principal import Provider
from keystead.fronts.native.providers import ROWS
from keystead.service.commands import Command
from keystead.service.commands import providers as p
from keystead.service.results.providers import ProviderDescription, ProviderPage

URL = "https://issuer.example"
PROVIDER = Provider(
    arn="arn:aws:iam::111122223333:oidc-provider/issuer.example",
    account="111122223333",
    url=URL,
    audiences=("a", "b"),
    created=1.0,
    keys='{"keys": [{"kty": "EC", "kid": "k1", "crv": "P-256"}, {"kty": "RSA", "n": "AQAB"}]}',
    fetched=2.0,
)


def command(name: str, body: str) -> Command:
    """What is asked of the gate."""
    row = ROWS[name]
    return row.command(msgspec.json.decode(body, type=row.takes))


def test_what_is_asked() -> None:
    """What is left out of a change stays as it is."""
    assert command("CreateProvider", f'{{"url": "{URL}", "audiences": ["a"]}}') == p.CreateProvider(
        URL, ("a",)
    )
    assert command("CreateProvider", f'{{"url": "{URL}", "audiences": ["a"], "authorities": "x"}}') == (
        p.CreateProvider(URL, ("a",), "x")
    )
    assert command("UpdateProvider", f'{{"url": "{URL}"}}') == p.UpdateProvider(URL, None, None)
    assert command("UpdateProvider", f'{{"url": "{URL}", "audiences": ["b"]}}') == p.UpdateProvider(
        URL, ("b",)
    )
    assert command("UpdateProvider", f'{{"url": "{URL}", "authorities": ""}}') == p.UpdateProvider(
        URL, None, ""
    )
    assert command("DescribeProvider", f'{{"url": "{URL}"}}') == p.DescribeProvider(URL)
    assert command("DeleteProvider", f'{{"url": "{URL}"}}') == p.DeleteProvider(URL)
    assert command("ListProviders", '{"limit": 5, "marker": "m"}') == p.ListProviders(5, "m")


def test_what_is_said_of_a_provider() -> None:
    """Its keys by name and kind; one whose keys were never fetched has none."""
    said = ROWS["DescribeProvider"].answer(ProviderDescription(PROVIDER))
    assert said == {
        "arn": PROVIDER.arn,
        "url": URL,
        "audiences": ["a", "b"],
        "created": 1.0,
        "authorities": "",
        "keys": [{"kid": "k1", "kty": "EC"}, {"kid": "", "kty": "RSA"}],
        "fetched": 2.0,
    }
    page = ROWS["ListProviders"].answer(ProviderPage([PROVIDER], "more"))
    assert page == {"providers": [said], "marker": "more"}
    keyless = ProviderDescription(replace(PROVIDER, keys=""))
    assert ROWS["DescribeProvider"].answer(keyless)["keys"] == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"url": "{"x" * 256}", "audiences": ["a"]}}',
        f'{{"url": "{URL}", "audiences": ["{"x" * 256}"]}}',
        f'{{"url": "{URL}", "audiences": [{", ".join(["1"] * 101)}]}}',
        f'{{"url": "{URL}", "audiences": ["a"], "authorities": "{"x" * 65_537}"}}',
        f'{{"url": "{URL}", "audiences": "a"}}',
        f'{{"url": "{URL}"}}',
        f'{{"url": "{URL}", "audiences": ["a"], "keys": "{{}}"}}',
    ],
)
def test_what_is_too_much_is_not_read(body: str) -> None:
    """Nor what nobody may give, such as keys."""
    with pytest.raises(msgspec.ValidationError):
        command("CreateProvider", body)


def test_jobs_work_has_no_operation() -> None:
    """Keys come from the issuer alone."""
    assert "RefreshProvider" not in ROWS
