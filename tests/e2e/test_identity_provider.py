"""An issuer that is somebody else's program, trusted by a running service, and its tokens checked."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from keystead.app.installation import SystemClock
from keystead.config import DATABASE
from keystead.core.errors import InvalidIdentityToken, ProviderUnreachable
from keystead.core.principal import Provider
from keystead.federation import Issuers
from keystead.testing.issuer import Issuer
from mockserver import MockServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def issuer(authority: Any) -> Iterator[MockServer]:
    """The issuer, with a certificate of the test's authority."""
    with MockServer(*authority.issue("issuer")) as issuer:
        yield issuer


def test_its_tokens_are_checked_with_its_keys(issuer: MockServer, authority: Any) -> None:
    """Also with a key that it has since the provider was made; and not any more when it is down."""
    issuers, pem = Issuers(SystemClock()), authority.file.read_text()
    provider = Provider(
        arn="arn:aws:iam::111122223333:oidc-provider/issuer",
        account="111122223333",
        url=issuer.url,
        audiences=("keystead",),
        created=0.0,
        authorities=pem,
        keys=issuers.fetch(issuer.url, pem),
        fetched=1.0,
    )
    token = issuer.token(sub="app", aud="keystead", groups=["a", "b"])
    assert issuers.issuer(token) == issuer.url
    claims = issuers.verify(provider, token)
    assert (claims["sub"], claims["aud"], claims["groups"]) == ("app", "keystead", ("a", "b"))

    new = issuer.generate("ES256")
    assert issuers.verify(provider, issuer.token(kid=new, sub="app", aud="keystead"))["sub"] == "app"

    with pytest.raises(InvalidIdentityToken, match=r"for none of the identity provider's audiences"):
        issuers.verify(provider, issuer.token(sub="app", aud="other"))
    with pytest.raises(InvalidIdentityToken, match="is not the identity provider's, to the letter"):
        issuers.verify(provider, issuer.token(sub="app", aud="keystead", iss=f"{issuer.url}/"))
    with pytest.raises(ProviderUnreachable, match="its certificate does not prove"):
        issuers.fetch(issuer.url, "")

    newest = issuer.token(kid=issuer.generate("EdDSA"), sub="app", aud="keystead")
    issuer.stop()
    assert issuers.verify(provider, token)["sub"] == "app"
    with pytest.raises(ProviderUnreachable, match="it cannot be reached"):
        Issuers(SystemClock()).verify(replace(provider, fetched=0.0), newest)


def test_it_is_trusted_by_a_running_service(service: Any, issuer: MockServer, authority: Any) -> None:
    """With the command that people use, and a record of who has done it."""
    done = service.keystead(
        "provider", "create", issuer.url, "--audience", "keystead", "--ca", str(authority.file), "--json"
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["url"], [key["kty"] for key in made["keys"]]) == (issuer.url, ["RSA"])

    def told() -> list[tuple[str, str]]:
        of_creation = [each for each in service.records() if each.get("action") == "keystead:CreateProvider"]
        return [(each["stage"], each["subject"]) for each in of_creation]

    service.until(lambda: told() == [("intent", issuer.url), ("outcome", made["arn"])])
    assert service.keystead("provider", "delete", issuer.url, "--yes").returncode == 0


def test_a_running_service_keeps_the_keys_fresh(own_service: Any) -> None:
    """Keys that are older than an hour are fetched anew by the jobs, and the record says so."""
    own_service.serve(jobs_seconds=1)
    with Issuer(secure=False) as issuer:
        own_service.administer("CreateProvider", url=issuer.url, audiences=["keystead"])
        new = issuer.rotate()
        with closing(sqlite3.connect(own_service.data / DATABASE)) as store, store:
            store.execute("UPDATE providers SET fetched = 1.0")

        def kids() -> list[str]:
            return [key["kid"] for key in own_service.administer("DescribeProvider", url=issuer.url)["keys"]]

        own_service.until(lambda: kids() == [new.kid])
    assert own_service.stop() == 0
    (refreshed,) = [
        each
        for each in own_service.records()
        if (each.get("action"), each.get("stage")) == ("keystead:RefreshProvider", "outcome")
    ]
    assert (refreshed["outcome"], refreshed["principal"].rpartition(":")[2]) == ("Success", "service/jobs")
