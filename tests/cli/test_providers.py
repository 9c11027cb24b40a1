"""Commands about identity providers, asked of a running service that trusts a real issuer."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead.testing.issuer import Issuer

pytestmark = pytest.mark.e2e


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer on loopback."""
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def ca(issuer: Issuer, tmp_path: Path) -> str:
    """A file of who vouches for it."""
    file = tmp_path / "ca.pem"
    file.write_text(issuer.authority)
    return str(file)


@pytest.fixture
def ask(dev: Any, keystead: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a command with the service's settings."""

    def run(*arguments: str) -> Any:
        return keystead("provider", *arguments, **dev.settings)

    return run


def test_the_life_of_a_provider(ask: Callable[..., Any], issuer: Issuer, ca: str) -> None:
    """Trusted, shown, changed, asked for its keys, and trusted no more."""
    name = f":oidc-provider/localhost:{issuer.port}"
    made = ask("create", issuer.url, "--audience", "keystead", "--audience", "vault", "--ca", ca)
    assert (made.code, made.err) == (0, "")
    assert made.out.startswith("Made arn:aws:iam::")
    assert made.out.endswith(f"{name} with 1 key\n")

    shown = ask("show", issuer.url).out.splitlines()
    assert shown[0].endswith(name)
    assert shown[1:6] == [
        f"  issuer       {issuer.url}",
        "  audience     keystead",
        "  audience     vault",
        "  authorities  its own",
        f"  key          EC   {issuer.signer.kid}",
    ]
    assert f"{issuer.url}  for keystead, vault  1 key " in ask("list").out

    new = issuer.rotate(keep=True)
    assert ask("update", issuer.url).out.endswith(f"{name} is in force with 2 keys\n")
    told = json.loads(ask("update", issuer.url, "--audience", "only", "--json").out)
    assert told["audiences"] == ["only"]
    assert new.kid in [key["kid"] for key in told["keys"]]
    assert json.loads(ask("show", issuer.url, "--json").out) == told
    assert [each["url"] for each in json.loads(ask("list", "--json").out)] == [issuer.url]
    assert ask("update", issuer.url, "--ca", ca).code == 0

    assert ask("delete", issuer.url, "--yes").out == f"Deleted {issuer.url}\n"
    assert ask("list").out == ""


def test_an_issuer_that_cannot_be_trusted_is_one_sentence(ask: Callable[..., Any], issuer: Issuer) -> None:
    """With what is wrong, and an exit code."""
    code, out, err = ask("create", issuer.url, "--audience", "keystead")
    assert (code, out) == (1, "")
    assert err.startswith(
        f"keystead: ProviderUnreachable: The keys of {issuer.url} cannot be fetched: its certif"
    )
    assert err.count("\n") == 1
    code, _, err = ask("show", issuer.url)
    assert (code, err.partition(": There is")[0]) == (1, "keystead: NotFound")


def test_the_systems_authorities_may_count_again(ask: Callable[..., Any], issuer: Issuer, ca: str) -> None:
    """Which do not know this issuer's certificate, so that nothing is changed."""
    made = json.loads(ask("create", issuer.url, "--audience", "keystead", "--ca", ca, "--json").out)
    assert made["authorities"] == issuer.authority
    told = ask("update", issuer.url, "--system-ca")
    assert (told.code, "ProviderUnreachable" in told.err) == (1, True)
    assert json.loads(ask("show", issuer.url, "--json").out) == made
    assert ask("delete", issuer.url, "--yes").code == 0


def test_a_command_that_is_used_wrongly_is_refused(
    ask: Callable[..., Any], issuer: Issuer, ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked."""
    assert ask("update", issuer.url, "--ca", ca, "--system-ca").code == 2
    assert ask("create", issuer.url).code == 2
    missing = ask("create", issuer.url, "--audience", "a", "--ca", str(tmp_path / "missing.pem"))
    assert (missing.code, "cannot be read as a PEM file" in missing.err) == (2, True)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert ask("delete", issuer.url).code == 1  # nobody is there to say yes
    assert issuer.requests == []
