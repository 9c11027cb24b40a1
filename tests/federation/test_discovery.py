"""Where an issuer's keys are, and where they cannot be."""

import json

import pytest

from keystead.core.errors import InvalidRequest, KeysteadError, ProviderUnreachable
from keystead.federation import discovery
from keystead.federation.discovery import WELL_KNOWN, fetch, parse, trust
from keystead.network.http import Target, Unreachable
from keystead.testing.audit import TurnedClock
from keystead.testing.issuer import KEYS, Issuer


def refusal(issuer: Issuer, url: str = "") -> str:
    """Why its keys cannot be fetched."""
    with pytest.raises(ProviderUnreachable) as refused:
        fetch(url or issuer.url, issuer.authority, TurnedClock(), 5.0)
    before, _, reason = str(refused.value).partition(" cannot be fetched: ")
    assert before == f"The keys of {url or issuer.url}"
    return reason


@pytest.mark.parametrize("path", ["", "/", "/realms/main", "/realms/main/"])
@pytest.mark.parametrize("secure", [True, False])
def test_keys_are_found_by_the_issuers_url(path: str, secure: bool) -> None:
    """Whether or not it has a path, or a slash at its end, which is part of its name."""
    with Issuer(path=path, secure=secure) as issuer:
        keys = fetch(issuer.url, issuer.authority, TurnedClock(), 5.0)
        assert json.loads(keys) == {"keys": [issuer.signer.jwk]}
        assert issuer.requests == [path.rstrip("/") + WELL_KNOWN, KEYS]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://issuer.example", Target(True, "issuer.example", 443, "/")),
        ("https://issuer.example/", Target(True, "issuer.example", 443, "/")),
        ("https://issuer.example:8443/a/b", Target(True, "issuer.example", 8443, "/a/b")),
        ("https://issuer.example/a_b,c=d+e@f-g", Target(True, "issuer.example", 443, "/a_b,c=d+e@f-g")),
        ("http://localhost:8080", Target(False, "localhost", 8080, "/")),
        ("http://127.0.0.1", Target(False, "127.0.0.1", 80, "/")),
    ],
)
def test_urls_of_issuers(url: str, target: Target) -> None:
    """https, and http on this machine."""
    assert parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example",
        "http://issuer.example",
        "http://10.0.0.1",
        "http://localhost.example",
        "HTTPS://issuer.example",
        "ftp://localhost",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@issuer.example",
        "https://user:password@issuer.example",
        "https://issuer.example?tenant=1",
        "https://issuer.example/a?b",
        "https://issuer.example/#top",
        "https://issuer.example:0",
        "https://issuer.example:65536",
        "https://issuer.example:",
        "https://issuer.example/a b",
        "https://issuer.example/a\r\nHost: b",
        "https://issuer.example/*",
        "https://issuer.example/~a",
        "https://issuer.example/a%20b",
        "https://[2001:db8::1]",
        "https://issuer.exämple",
        "https://issuer.example\n",
        "https://issuer.example/" + "a" * 233,
    ],
)
def test_what_is_no_url_of_an_issuer_is_refused(url: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(InvalidRequest, match="The URL of an identity provider is https://HOST"):
        fetch(url, "", TurnedClock(), 5.0)


def test_an_issuer_has_at_most_255_characters() -> None:
    """As in AWS."""
    parse("https://issuer.example/" + "a" * 232)


@pytest.mark.parametrize(
    "authorities", ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ü"]
)
def test_authorities_are_certificates(authorities: str) -> None:
    """Others would let nobody prove anything."""
    with pytest.raises(InvalidRequest, match="certificates in PEM"):
        trust(authorities)


def test_the_document_is_this_issuers() -> None:
    """To the letter; one that is somebody else's would bring somebody else's keys."""
    with Issuer() as issuer:
        for other in (issuer.url + "/", issuer.url.upper(), "https://issuer.example", None, 7, [issuer.url]):
            issuer.discovery = {"issuer": other}
            assert refusal(issuer) == "its discovery document is not that of this issuer, to the letter."
        assert refusal(issuer, issuer.url + "/").startswith(
            "its discovery document is not that of this issuer"
        )
        assert KEYS not in issuer.requests


@pytest.mark.parametrize("document", [b"nonsense", b"[]", b'{"issuer": "a", "issuer": "b"}', b"\xff"])
def test_the_document_is_an_object(document: bytes) -> None:
    """With each member once."""
    with Issuer() as issuer:
        issuer.discovery = document
        assert refusal(issuer) == "its discovery document is not a JSON object."


@pytest.mark.parametrize(
    "where", [None, 7, "", "/keys", "ftp://localhost/keys", "https://localhost/keys#top", "https://a b/"]
)
def test_the_document_says_where_the_keys_are(where: object) -> None:
    """With a URL that can be asked."""
    with Issuer() as issuer:
        issuer.discovery = {"jwks_uri": where}
        assert refusal(issuer) == "its discovery document does not say where its keys are (jwks_uri)."


def test_keys_may_be_elsewhere() -> None:
    """On another port or host, and with a query."""
    with Issuer() as issuer, Issuer(secure=False) as elsewhere:
        issuer.discovery = {"jwks_uri": elsewhere.origin + KEYS}
        keys = fetch(issuer.url, issuer.authority, TurnedClock(), 5.0)
        assert json.loads(keys) == {"keys": [elsewhere.signer.jwk]}
        issuer.discovery = {"jwks_uri": f"{elsewhere.origin}{KEYS}?policy=main"}
        assert refusal(issuer) == "it answers with status 404."
        assert elsewhere.requests == [KEYS, f"{KEYS}?policy=main"]


@pytest.mark.parametrize(
    "where",
    [
        "http://issuer.example/keys",
        "http://localhost/keys",
        "https://localhost/keys",
        "https://127.0.0.9:8901/keys",
    ],
)
def test_an_issuer_elsewhere_sends_nobody_here(where: str) -> None:
    """Neither to what listens on this machine only, nor anywhere without TLS."""
    with pytest.raises(Unreachable, match=r"where they cannot be \(jwks_uri\)"):
        discovery._key_set({"jwks_uri": where}, parse("https://issuer.example"))
    there = discovery._key_set({"jwks_uri": "https://keys.example/all?x=1"}, parse("https://issuer.example"))
    assert there == Target(True, "keys.example", 443, "/all?x=1")
    there = discovery._key_set({"jwks_uri": "https://[2001:db8::1]:8443"}, parse("https://issuer.example"))
    assert there == Target(True, "2001:db8::1", 8443, "/")
    with pytest.raises(Unreachable, match=r"where they cannot be \(jwks_uri\)"):
        discovery._key_set({"jwks_uri": "https://[::1]/keys"}, parse("https://issuer.example"))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (b"nonsense", "its key set is not JSON as it must be (it cannot be read)."),
        (b"\xff", "its key set is not UTF-8."),
        (b"{}", "its key set has no list of keys."),
        (b'{"keys": []}', "its key set has no key that can be used here."),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "its key set has no key that can be used here."),
        (b" " * 262_145, "its answer is larger than 262,144 bytes."),
    ],
)
def test_the_keys_are_a_set_that_can_be_used(keys: bytes, reason: str) -> None:
    """Or there is no reason to trust such an issuer."""
    with Issuer() as issuer:
        issuer.keys = keys
        assert refusal(issuer) == reason


def test_an_issuer_that_is_not_there_is_said_to_be_so() -> None:
    """By name."""
    issuer = Issuer()
    issuer.start()
    issuer.stop()
    assert refusal(issuer) == "it cannot be reached."


def test_the_errors_tell_what_to_do() -> None:
    """Whether to try again, or to ask otherwise."""
    kinds: dict[type[KeysteadError], str] = {InvalidRequest: "invalid", ProviderUnreachable: "unavailable"}
    assert {error: error.kind.value for error in kinds} == kinds
