"""Tokens of a real issuer, and of those who would like to be one."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.errors import InvalidIdentityToken, InvalidRequest, KeysteadError, ProviderUnreachable
from keystead.core.ports import IdentityTokens
from keystead.core.principal import Provider, provider_arn
from keystead.federation import Issuers
from keystead.federation.issuers import MOST_ISSUERS, PAUSE_SECONDS
from keystead.federation.keys import ALGORITHMS
from keystead.testing.audit import TurnedClock
from keystead.testing.issuer import KEYS, WELL_KNOWN, Issuer, Signer, base64, compact

ACCOUNT = "111122223333"
NOT_SIGNED = "InvalidIdentityToken: The token is not signed by a key that its issuer has published for it."
TAKEN = (
    f"InvalidIdentityToken: The token is not signed with an algorithm that is taken: {', '.join(ALGORITHMS)}."
)
FETCH = [WELL_KNOWN, KEYS]


class Room:
    """One issuer on loopback, an account that trusts it, and one process that checks its tokens."""

    def __init__(self, issuer: Issuer, clock: TurnedClock) -> None:
        self.issuer = issuer
        self.clock = clock
        self.issuers: IdentityTokens = Issuers(clock)
        self.provider = Provider(
            arn=provider_arn(ACCOUNT, issuer.url),
            account=ACCOUNT,
            url=issuer.url,
            audiences=("keystead",),
            created=clock.now(),
            authorities=issuer.authority,
        )

    def store_keys(self) -> None:
        """Fetch the keys and keep them with the provider, as its creation does."""
        keys = self.issuers.fetch(self.issuer.url, self.issuer.authority)
        self.provider = replace(self.provider, keys=keys, fetched=self.clock.now())
        self.issuer.requests.clear()

    def verify(self, token: str) -> dict[str, str | tuple[str, ...]]:
        """The claims of a token."""
        return dict(self.issuers.verify(self.provider, token))

    def refusal(self, token: str) -> str:
        """The code and the text with which it is refused."""
        with pytest.raises(KeysteadError) as refused:
            self.verify(token)
        return f"{refused.value.code}: {refused.value}"

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.time += seconds


@pytest.fixture
def room() -> Iterator[Room]:
    """An issuer whose keys the provider has."""
    clock = TurnedClock()
    with Issuer(now=clock.now) as issuer:
        room = Room(issuer, clock)
        room.store_keys()
        yield room


# --- right tokens ----------------------------------------------------------------------------------------


def test_a_token_is_what_it_says(room: Room) -> None:
    """Its claims come back, and with the stored keys nobody is asked for anything."""
    token = room.issuer.token(sub="repo:example/app", groups=["a", "b"], run=7, nested={"a": 1})
    now = int(room.clock.now())
    assert room.verify(token) == {
        "iss": room.issuer.url,
        "sub": "repo:example/app",
        "aud": "keystead",
        "iat": str(now),
        "exp": str(now + 300),
        "groups": ("a", "b"),
        "run": "7",
    }
    assert room.issuers.issuer(token) == room.issuer.url
    assert room.issuer.requests == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_is_taken(room: Room, algorithm: str) -> None:
    """By its own kind of key."""
    room.issuer.rotate(algorithm)
    room.store_keys()
    assert room.verify(room.issuer.token())["sub"] == "app"
    assert room.issuer.requests == []


def test_the_issuer_of_a_token_is_not_proven(room: Room) -> None:
    """It is told whoever has signed it, to find the provider; only a token must it be."""
    assert room.issuers.issuer(Signer("RS256").token({"iss": "https://elsewhere.example"})) == (
        "https://elsewhere.example"
    )
    for text in ("", "a.b.c", compact({"alg": "none"}, {"iss": "a"}) + "."):
        with pytest.raises(InvalidIdentityToken):
            room.issuers.issuer(text)


# --- forged tokens ---------------------------------------------------------------------------------------


def test_a_token_without_a_signature_is_refused(room: Room) -> None:
    """Whether it says so itself (``none``) or not."""
    claims = room.issuer.claims()
    for algorithm in ("none", "None", "NONE"):
        header = {"alg": algorithm, "kid": room.issuer.signer.kid}
        assert (
            room.refusal(compact(header, claims) + ".")
            == "InvalidIdentityToken: The token is not a signed JWT."
        )
        assert room.refusal(compact(header, claims) + ".AAAA") == TAKEN
    honest = {"alg": "ES256", "kid": room.issuer.signer.kid}
    assert room.refusal(compact(honest, claims) + ".AAAA") == NOT_SIGNED


def test_a_public_key_is_no_shared_secret(room: Room) -> None:
    """Key confusion: what everybody can read, used as the secret of HMAC, signs nothing."""
    signer = room.issuer.rotate("RS256")
    room.store_keys()
    certificate = x509.load_pem_x509_certificate(room.issuer.authority.encode()).public_key()
    pem = certificate.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (json.dumps(signer.jwk).encode(), signer.jwk["n"].encode(), pem):
        message = compact({"alg": "HS256", "kid": signer.kid}, room.issuer.claims())
        code = hmac.HMAC(secret, hashes.SHA256())
        code.update(message.encode())
        assert room.refusal(f"{message}.{base64(code.finalize())}") == TAKEN


def test_a_shared_secret_that_an_issuer_publishes_signs_nothing(room: Room) -> None:
    """Everybody has it."""
    room.issuer.published.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64(b"k" * 32)})
    room.store_keys()
    message = compact({"alg": "HS256", "kid": "shared"}, room.issuer.claims())
    code = hmac.HMAC(b"k" * 32, hashes.SHA256())
    code.update(message.encode())
    assert room.refusal(f"{message}.{base64(code.finalize())}") == TAKEN


@pytest.mark.parametrize(
    ("own", "claimed"),
    [("RS256", "PS256"), ("RS256", "RS512"), ("ES256", "RS256"), ("ES256", "ES384"), ("EdDSA", "ES256")],
)
def test_a_key_signs_by_its_own_algorithm(room: Room, own: str, claimed: str) -> None:
    """A token that names another is not signed by it, although the key is known."""
    signer = room.issuer.rotate(own)
    room.store_keys()
    room.clock.time += PAUSE_SECONDS
    assert room.refusal(signer.token(room.issuer.claims(), alg=claimed)) == NOT_SIGNED


def test_another_key_under_the_same_name_signs_nothing(room: Room) -> None:
    """The name is no proof, and the issuer is not even asked."""
    forged = Signer("ES256", room.issuer.signer.kid).token(room.issuer.claims())
    assert room.refusal(forged) == NOT_SIGNED
    assert room.issuer.requests == []


def test_a_token_brings_no_keys_of_its_own(room: Room) -> None:
    """Whatever its header says of keys: the forger's is not taken, and nobody is asked where it says."""
    with Issuer(secure=False) as forger:
        for header in (
            {"jwk": forger.signer.jwk},
            {"jku": forger.origin + KEYS},
            {"x5u": forger.origin + KEYS},
            {"x5c": [base64(b"certificate")]},
        ):
            forged = forger.signer.token(room.issuer.claims(), **header)
            assert room.refusal(forged) == NOT_SIGNED
            named = forger.signer.token(room.issuer.claims(), kid=room.issuer.signer.kid, **header)
            assert room.refusal(named) == NOT_SIGNED
            genuine = room.issuer.signer.token(room.issuer.claims(), **header)
            assert room.verify(genuine)["sub"] == "app"
        assert forger.requests == []


def test_a_changed_token_is_refused(room: Room) -> None:
    """Be it one character of what it says."""
    header, claims, signature = room.issuer.token(sub="app").split(".")
    other = base64(json.dumps(room.issuer.claims(sub="apq")).encode())
    assert room.refusal(f"{header}.{other}.{signature}") == NOT_SIGNED
    assert room.verify(f"{header}.{claims}.{signature}")["sub"] == "app"


def test_a_weak_key_signs_nothing(room: Room) -> None:
    """Whoever takes the trouble could have its private half."""
    weak = Signer("RS256", bits=1024)
    room.issuer.published.append(weak.jwk)
    room.store_keys()
    assert room.refusal(weak.token(room.issuer.claims())) == NOT_SIGNED


def test_a_token_of_another_issuer_is_refused(room: Room) -> None:
    """Be it as good as its own provider would find it."""
    with Issuer(now=room.clock.now) as other:
        assert "issuer (iss) is not the identity provider's" in room.refusal(other.token())
        assert room.refusal(other.token(iss=room.issuer.url)) == NOT_SIGNED


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (
            {"aud": "other"},
            "InvalidIdentityToken: The token is for none of the identity provider's audiences (aud).",
        ),
        ({"exp": 999_999}, "ExpiredIdentityToken: The token's time is over (exp)."),
        ({"exp": None}, "InvalidIdentityToken: The token does not say when it is over (exp)."),
        ({"nbf": 1_000_061}, "InvalidIdentityToken: The token is not valid yet (nbf, iat)."),
        ({"sub": None}, "InvalidIdentityToken: The token does not say whom it is about (sub)."),
    ],
)
def test_claims_count_although_the_signature_is_right(
    room: Room, claims: dict[str, object], told: str
) -> None:
    """And what is refused for them is refused before anybody is asked for a key."""
    assert room.refusal(room.issuer.token(**claims)) == told
    room.issuer.rotate()
    assert room.refusal(room.issuer.token(**claims)) == told
    assert room.issuer.requests == []


def test_a_critical_header_is_refused(room: Room) -> None:
    """Although the signature is right."""
    told = "InvalidIdentityToken: The token has a critical header that is not known here."
    assert room.refusal(room.issuer.signer.token(room.issuer.claims(), crit=["exp"], exp=1)) == told


# --- new keys --------------------------------------------------------------------------------------------


def test_a_new_key_is_found(room: Room) -> None:
    """A token with a key that is not known makes it known, once."""
    room.issuer.rotate("RS256")
    assert room.verify(room.issuer.token())["sub"] == "app"
    assert room.issuer.requests == FETCH
    assert room.verify(room.issuer.token(sub="other"))["sub"] == "other"
    assert room.issuer.requests == FETCH


def test_a_key_that_is_withdrawn_goes_with_the_next_set(room: Room) -> None:
    """The fetched set stands in the place of the old one; it is not added to it."""
    old = room.issuer.signer
    room.issuer.rotate()
    assert room.verify(old.token(room.issuer.claims()))
    room.verify(room.issuer.token())
    assert room.refusal(old.token(room.issuer.claims())) == NOT_SIGNED


def test_a_token_that_names_no_key_is_checked_with_all(room: Room) -> None:
    """And with fresh ones if none of them has signed it."""
    assert room.verify(room.issuer.signer.token(room.issuer.claims(), kid=None))
    assert room.issuer.requests == []
    room.issuer.rotate(keep=True)
    assert room.verify(room.issuer.signer.token(room.issuer.claims(), kid=None))
    assert room.issuer.requests == FETCH
    assert room.refusal(Signer("ES256").token(room.issuer.claims(), kid=None)) == NOT_SIGNED


def test_a_provider_without_keys_gets_them(room: Room) -> None:
    """Also one whose stored keys this version cannot read."""
    for keys in ("", "nonsense"):
        room.provider = replace(room.provider, keys=keys, fetched=0.0)
        room.issuers = Issuers(room.clock)
        assert room.verify(room.issuer.token())
        assert room.issuer.requests == FETCH
        room.issuer.requests.clear()


def test_strangers_cannot_have_an_issuer_asked_again_and_again(room: Room) -> None:
    """Tokens with made-up keys: once in ten seconds, whatever they name."""
    for number in range(20):
        forged = Signer("ES256", f"made-up-{number}").token(room.issuer.claims())
        assert room.refusal(forged) == NOT_SIGNED
    assert room.issuer.requests == FETCH
    room.wait(PAUSE_SECONDS - 0.1)
    room.issuer.rotate()
    assert room.refusal(room.issuer.token()) == NOT_SIGNED
    room.wait(0.1)
    assert room.verify(room.issuer.token())
    assert room.issuer.requests == FETCH * 2


def test_a_changed_provider_is_the_same_issuer(room: Room) -> None:
    """It does not let an issuer be asked more often, and what was fetched counts for it as well."""
    room.issuer.rotate()
    room.verify(room.issuer.token())
    room.provider = replace(room.provider, audiences=("other",))
    assert room.verify(room.issuer.token(aud="other"))
    assert "for none of" in room.refusal(room.issuer.token())
    assert room.issuer.requests == FETCH


def test_other_authorities_are_another_issuer(room: Room) -> None:
    """What was fetched with one trust is not believed with another."""
    room.issuer.rotate()
    room.verify(room.issuer.token())
    with Issuer() as other:
        room.provider = replace(room.provider, authorities=other.authority)
        assert room.refusal(room.issuer.token()).startswith("ProviderUnreachable")


def test_keys_that_were_stored_later_count(room: Room) -> None:
    """Each process takes what the job has fetched for all."""
    room.issuer.rotate()
    room.verify(room.issuer.token())
    room.wait(1.0)
    withdrawn = room.issuer.signer
    room.issuer.rotate()
    room.store_keys()
    assert room.verify(room.issuer.token())
    assert room.refusal(withdrawn.token(room.issuer.claims())) == NOT_SIGNED


# --- issuers that are out of order -----------------------------------------------------------------------


@pytest.mark.parametrize("keys", [b"nonsense", b'{"keys": []}'])
def test_old_keys_stay_while_an_issuer_publishes_nonsense(room: Room, keys: bytes) -> None:
    """A set that cannot be used replaces nothing."""
    known = room.issuer.signer
    room.issuer.rotate()
    room.issuer.keys = keys
    assert room.refusal(room.issuer.token()).startswith("ProviderUnreachable: The keys of https://localhost")
    assert room.verify(known.token(room.issuer.claims()))


def test_old_keys_stay_while_an_issuer_is_down(room: Room) -> None:
    """Those that are known need nobody; those that are not are an outage, until it is over."""
    known = room.issuer.signer
    room.issuer.stop()
    assert room.verify(known.token(room.issuer.claims()))
    room.issuer.rotate()
    told = room.refusal(room.issuer.token())
    assert told.endswith("cannot be fetched: it cannot be reached.")
    room.issuer.start()
    assert room.refusal(room.issuer.token()) == told  # it is not asked again so soon
    room.wait(PAUSE_SECONDS)
    assert room.verify(room.issuer.token())
    room.issuer.stop()
    room.wait(PAUSE_SECONDS)
    assert room.verify(room.issuer.token())


def test_those_who_come_while_an_issuer_is_asked_wait_for_the_same_answer(room: Room) -> None:
    """One question, whoever many need it."""
    room.issuer.rotate()
    room.issuer.delay = 0.1
    token, found = room.issuer.token(), []

    def ask() -> None:
        found.append(room.verify(token)["sub"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["app"] * 8
    assert room.issuer.requests == FETCH


def test_a_slow_issuer_holds_nobody_longer_than_the_deadline(room: Room) -> None:
    """And once only: who comes after it is refused at once."""
    room.issuer.drip = 0.05
    issuers = Issuers(_Ticking(room.clock), seconds=0.2)
    room.issuers = issuers
    room.issuer.rotate()
    told = room.refusal(room.issuer.token())
    assert told.endswith("it has not answered within 0.2 seconds.")
    asked = list(room.issuer.requests)
    assert room.refusal(room.issuer.token()) == told
    assert room.issuer.requests == asked


class _Ticking:
    """A wall clock that stands still, with a monotonic one that goes on."""

    def __init__(self, clock: TurnedClock) -> None:
        self.now = clock.now
        self.monotonic = time.monotonic


def test_a_url_that_is_none_is_not_asked(room: Room) -> None:
    """Whoever adds a provider hears it."""
    with pytest.raises(InvalidRequest):
        room.issuers.fetch("http://issuer.example", "")
    with pytest.raises(ProviderUnreachable):
        room.issuers.fetch(room.issuer.url, "")


def test_what_is_kept_of_issuers_is_bounded(room: Room) -> None:
    """The one that was not needed for longest goes, and is asked when it is needed again."""
    known = room.issuer.signer
    room.issuer.rotate()
    room.verify(room.issuer.token())
    for number in range(MOST_ISSUERS):
        url = f"https://{number}.example"
        room.issuers.verify(replace(room.provider, url=url), known.token(room.issuer.claims(iss=url)))
    assert room.issuer.requests == FETCH
    room.verify(room.issuer.token())
    assert room.issuer.requests == FETCH * 2


# --- anything --------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "crit", "typ", "jwk"]), JSON | st.sampled_from([*ALGORITHMS])
    ),
    st.dictionaries(st.sampled_from(["iss", "aud", "azp", "sub", "exp", "nbf", "iat", "x"]), JSON),
    st.sampled_from(["right", "empty", "cut", "other"]),
)
def test_only_a_right_token_is_taken(
    room: Room, header: dict[str, Any], claims: dict[str, Any], signature: str
) -> None:
    """Whatever is put in its header or its claims, it is refused in our own words or was signed so by the issuer."""
    signer = room.issuer.signer
    token = signer.token(room.issuer.claims() | claims, **header)
    body, _, proof = token.rpartition(".")
    spoilt = {"right": proof, "empty": "", "cut": proof[:-4], "other": base64(bytes(64))}[signature]
    try:
        taken = room.verify(f"{body}.{spoilt}")
    except KeysteadError as error:
        assert error.code in ("InvalidIdentityToken", "ExpiredIdentityToken")  # noqa: PT017 - a refusal is right as well
        return
    assert signature == "right"
    assert (taken["iss"], taken["sub"]) == (room.issuer.url, claims.get("sub", "app"))
