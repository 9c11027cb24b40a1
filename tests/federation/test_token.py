"""Tokens taken apart, and their claims checked; all but the signature."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import ExpiredIdentityToken, InvalidIdentityToken
from keystead.core.principal import Provider
from keystead.federation import token as tokens
from keystead.federation.keys import ALGORITHMS
from keystead.federation.token import LEEWAY, MOST_CHARACTERS
from keystead.testing.issuer import Signer, base64, compact

SIGNER = Signer("ES256")
NOW = 1_000_000.0
URL = "https://issuer.example/tenant"
CLAIMS = {"iss": URL, "aud": "keystead", "sub": "app", "exp": NOW + 300}
PROVIDER = Provider(
    arn="arn:aws:iam::111122223333:oidc-provider/issuer.example/tenant",
    account="111122223333",
    url=URL,
    audiences=("keystead", "vault"),
    created=NOW,
)
NO_JWT = "The token is not a signed JWT."
ENCODED = compact({"alg": "ES256"}, CLAIMS)


def check(now: float = NOW, /, **claims: object) -> None:
    """Check a token with these claims instead of the usual ones (None: without)."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    tokens.check(tokens.read(SIGNER.token(said)), PROVIDER, now)


def refusal(now: float = NOW, /, **claims: object) -> str:
    """Why such a token is refused."""
    with pytest.raises(InvalidIdentityToken) as refused:
        check(now, **claims)
    return str(refused.value)


def test_a_token_is_taken_apart() -> None:
    """Into what it says, what is signed, and the signature."""
    text = SIGNER.token(CLAIMS)
    token = tokens.read(text)
    assert (token.algorithm, token.kid, token.claims) == ("ES256", SIGNER.kid, CLAIMS)
    assert text == f"{token.message.decode()}.{base64(token.signature)}"
    assert len(token.signature) == 64
    assert tokens.issuer(token) == URL
    assert tokens.read(SIGNER.token(CLAIMS, kid=None)).kid is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        ENCODED,
        ENCODED + ".",
        ENCODED + ".A",
        ENCODED + ".AB",
        ENCODED + ".AA==",
        ENCODED + ".AAA\n",
        " " + ENCODED + ".AAAA",
        ".." + ENCODED,
        compact(b"[]", CLAIMS) + ".AAAA",
        compact({"alg": "ES256"}, b'"app"') + ".AAAA",
        compact({"alg": "ES256"}, b'{"sub": "a", "sub": "b"}') + ".AAAA",
        compact(b'{"alg": "ES256", "alg": "ES256"}', CLAIMS) + ".AAAA",
        compact({"alg": "ES256"}, b"\xff") + ".AAAA",
        compact({"alg": "ES256", "kid": 7}, CLAIMS) + ".AAAA",
        json.dumps({"payload": base64(b"{}"), "signatures": []}),
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    """Three parts in base64url, the first two JSON objects with each member once, and nothing else."""
    with pytest.raises(InvalidIdentityToken, match=re.escape(NO_JWT)):
        tokens.read(text)


def test_a_token_is_as_long_as_aws_takes_it() -> None:
    """And no character longer."""
    room = MOST_CHARACTERS - len(SIGNER.token(CLAIMS)) - 200
    text = SIGNER.token(CLAIMS | {"pad": "x" * (room * 3 // 4)})
    assert MOST_CHARACTERS - 400 < len(text) <= MOST_CHARACTERS
    tokens.read(text)
    with pytest.raises(InvalidIdentityToken, match="more than 20,000 characters"):
        tokens.read("x" * (MOST_CHARACTERS + 1))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", "HS256", "HS512", "es256", "ES256K", "Ed448", "A128GCM", 7, None, []]
)
def test_other_algorithms_are_refused(algorithm: Any) -> None:
    """Above all none, and those in which whoever can check a signature could have made it."""
    with pytest.raises(InvalidIdentityToken, match=f"an algorithm that is taken: {', '.join(ALGORITHMS)}"):
        tokens.read(compact({"alg": algorithm}, CLAIMS) + ".AAAA")


def test_a_token_without_an_algorithm_is_refused() -> None:
    """It says nothing of how it could be checked."""
    with pytest.raises(InvalidIdentityToken, match="an algorithm that is taken"):
        tokens.read(compact({"typ": "JWT"}, CLAIMS) + ".AAAA")


@pytest.mark.parametrize("critical", [["exp"], ["b64"], [], None])
def test_critical_headers_are_refused(critical: Any) -> None:
    """What must be understood is not, whatever it is."""
    header = {"alg": "ES256", "crit": critical, "b64": False}
    with pytest.raises(InvalidIdentityToken, match="critical header"):
        tokens.read(compact(header, CLAIMS) + ".AAAA")


@pytest.mark.parametrize("issuer", [None, "", 7, ["https://issuer.example/tenant"]])
def test_a_token_says_who_its_issuer_is(issuer: Any) -> None:
    """Or no provider can be found for it."""
    assert refusal(iss=issuer) == "The token does not say who its issuer is (iss)."


@pytest.mark.parametrize(
    "issuer",
    [
        f"{URL}/",
        "https://issuer.example",
        "HTTPS://issuer.example/tenant",
        "http://issuer.example/tenant",
        f" {URL}",
    ],
)
def test_the_issuer_is_the_providers_to_the_letter(issuer: str) -> None:
    """A slash more is another issuer."""
    assert refusal(iss=issuer) == "The token's issuer (iss) is not the identity provider's, to the letter."


def test_the_token_is_for_one_of_the_audiences() -> None:
    """As a text, or alone in a list."""
    check(aud="vault")
    check(aud=["keystead"])
    none = "The token is for none of the identity provider's audiences (aud)."
    for audience in ("other", "Keystead", "", [], ["other"], ["other", "another"]):
        assert refusal(aud=audience) == none


@pytest.mark.parametrize("audience", [None, 7, {"keystead": True}, ["keystead", 7], True])
def test_an_audience_is_a_text_or_several(audience: Any) -> None:
    """Anything else is nobody."""
    assert refusal(aud=audience) == "The token does not say whom it is for (aud)."


def test_of_several_audiences_one_is_the_authorized_party() -> None:
    """Or a token for somebody else could be used here as well (OpenID Connect Core, section 3.1.3.7)."""
    several = ["keystead", "other"]
    check(aud=several, azp="keystead")
    check(aud=several, azp="vault")
    for party in (None, "other", 7):
        assert refusal(aud=several, azp=party).endswith("must be its authorized party (azp).")
    check(aud=["keystead"], azp="other")  # whom it was given to; for a condition to say whether that counts


@pytest.mark.parametrize("subject", [None, "", 7, ["app"]])
def test_a_token_is_about_somebody(subject: Any) -> None:
    """A condition on the subject must have something to look at."""
    assert refusal(sub=subject) == "The token does not say whom it is about (sub)."


def test_a_token_is_over_when_it_says_so() -> None:
    """To the second: there is no leeway."""
    check(NOW + 299.9)
    for late in (300.0, 301.0, 1e9):
        with pytest.raises(ExpiredIdentityToken, match="time is over"):
            check(NOW + late)


def test_a_token_without_an_end_is_refused() -> None:
    """It would be valid for ever."""
    assert refusal(exp=None) == "The token does not say when it is over (exp)."


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_the_issuers_clock_may_be_a_minute_ahead(name: str) -> None:
    """Not more: a token from tomorrow is not valid today."""
    check(**{name: NOW + LEEWAY})
    check(**{name: 0})
    check(**{name: None})
    assert refusal(**{name: NOW + LEEWAY + 1}) == "The token is not valid yet (nbf, iat)."


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1000300", True, [], {}])
def test_a_time_is_a_number(name: str, value: Any) -> None:
    """Not a text of digits, nor true."""
    assert refusal(**{name: value}) == f"The token has a time that is none ({name})."


def test_a_time_that_is_null_is_none() -> None:
    """It is not the same as none at all."""
    text = SIGNER.token(json.dumps(CLAIMS | {"nbf": None}).encode())
    with pytest.raises(InvalidIdentityToken, match=r"a time that is none \(nbf\)"):
        tokens.check(tokens.read(text), PROVIDER, NOW)


def test_the_claims_that_conditions_can_ask_about() -> None:
    """Texts, numbers, booleans and lists of texts; what is nested is left out."""
    assert tokens.simple(
        {
            "sub": "app",
            "groups": ["a", "b"],
            "none": [],
            "mixed": ["a", 1],
            "admin": True,
            "guest": False,
            "run": 12,
            "share": 0.5,
            "address": {"city": "Bern"},
            "nothing": None,
        }
    ) == {
        "sub": "app",
        "groups": ("a", "b"),
        "none": (),
        "admin": "true",
        "guest": "false",
        "run": "12",
        "share": "0.5",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
)


@given(
    st.text()
    | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda parts: ".".join(map(base64, parts)))
    | st.tuples(
        st.dictionaries(
            st.sampled_from(["alg", "kid", "crit", "typ"]), JSON | st.sampled_from(["ES256", "none"])
        ),
        st.dictionaries(
            st.sampled_from(["iss", "aud", "azp", "sub", "exp", "nbf", "iat"]),
            JSON | st.sampled_from([URL, "keystead", NOW + 1]),
        ),
        st.binary(),
    ).map(lambda parts: f"{compact(parts[0], parts[1])}.{base64(parts[2])}")
)
def test_nothing_else_is_raised(text: str) -> None:
    """Whatever is sent, it is a token or one of our own refusals."""
    try:
        token = tokens.read(text)
        tokens.check(token, PROVIDER, NOW)
    except (InvalidIdentityToken, ExpiredIdentityToken):
        return
    assert tokens.simple(token.claims)["iss"] == URL
