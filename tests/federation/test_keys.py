"""Key sets, and what each key may check."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.federation.keys import ALGORITHMS, MOST_BYTES, MOST_KEYS, read, write
from keystead.testing.issuer import Signer, base64

SIGNERS = {algorithm: Signer(algorithm) for algorithm in ALGORITHMS}
MESSAGE = b"header.claims"


def key_set(*keys: Any) -> str:
    """The text of a set."""
    return json.dumps({"keys": list(keys)})


def test_who_has_no_issuer_does_not_wait_for_the_library() -> None:
    """Every start of a service imports this room."""
    code = "import sys, keystead.federation; print('joserfc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_algorithms_are_those_that_are_asymmetric() -> None:
    """Neither none nor HMAC, nor a curve that nobody asked for, ever counts."""
    assert sorted(ALGORITHMS) == sorted(
        [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)] + ["EdDSA"]
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_checks_its_own_signatures_and_no_others(algorithm: str) -> None:
    """A signature of the message counts; of another message, by another key, or cut short it does not."""
    signer = SIGNERS[algorithm]
    (key,) = read(key_set(signer.jwk))
    signature = signer.sign(MESSAGE)

    assert key.signed(algorithm, MESSAGE, signature)
    assert not key.signed(algorithm, MESSAGE + b"?", signature)
    assert not key.signed(algorithm, MESSAGE, signature[:-1])
    assert not key.signed(algorithm, MESSAGE, b"")
    assert not key.signed(algorithm, MESSAGE, bytes(len(signature)))
    assert not key.signed(algorithm, MESSAGE, Signer(algorithm).sign(MESSAGE))


def test_a_key_suits_its_own_algorithm_only() -> None:
    """One that says which is for that one; the others for all of their kind and curve."""
    for own, signer in SIGNERS.items():
        (key,) = read(key_set(signer.jwk))
        assert [name for name in ALGORITHMS if key.suits(name, None)] == [own]
        (any_use,) = read(key_set({name: value for name, value in signer.jwk.items() if name != "alg"}))
        kind = ALGORITHMS[own]
        assert [name for name in ALGORITHMS if any_use.suits(name, None)] == [
            name for name, other in ALGORITHMS.items() if other == kind
        ]


def test_a_key_suits_its_own_name_only() -> None:
    """A token that names a key wants that one; a key without a name has none that could be wanted."""
    signer = SIGNERS["ES256"]
    (key,) = read(key_set(signer.jwk))
    assert key.suits("ES256", signer.kid)
    assert not key.suits("ES256", "another")
    (nameless,) = read(key_set({name: value for name, value in signer.jwk.items() if name != "kid"}))
    assert nameless.suits("ES256", None)
    assert not nameless.suits("ES256", signer.kid)


EC, RSA, OKP = (SIGNERS[name].jwk for name in ("ES256", "RS256", "EdDSA"))
WEAK = Signer("RS256", bits=1024).jwk
SHARED = {"kty": "oct", "k": base64(b"k" * 32)}


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(SHARED, id="a shared secret"),
        pytest.param({**SHARED, "alg": "HS256"}, id="a shared secret for HMAC"),
        pytest.param({**RSA, "use": "enc"}, id="for encryption"),
        pytest.param({**RSA, "key_ops": ["encrypt"]}, id="for other operations"),
        pytest.param({**RSA, "key_ops": "verify"}, id="operations that are no list"),
        pytest.param(WEAK, id="RSA of 1024 bits"),
        pytest.param({**RSA, "n": base64(b"\xff" * 1025)}, id="RSA of 8200 bits"),
        pytest.param({**RSA, "e": base64(b"\1")}, id="an exponent of one"),
        pytest.param({**RSA, "n": RSA["n"] + "="}, id="padding"),
        pytest.param({**RSA, "n": 7}, id="a number in the place of a text"),
        pytest.param({name: RSA[name] for name in RSA if name != "e"}, id="without exponent"),
        pytest.param({name: RSA[name] for name in RSA if name != "n"}, id="without modulus"),
        pytest.param({**RSA, "crv": "P-256"}, id="RSA with a curve"),
        pytest.param({**EC, "crv": "secp256k1"}, id="another curve"),
        pytest.param({**EC, "crv": "P-384"}, id="a curve that it is not on"),
        pytest.param({**EC, "y": EC["x"]}, id="a point that is on no curve"),
        pytest.param({name: EC[name] for name in EC if name != "y"}, id="half a point"),
        pytest.param({**OKP, "crv": "X25519"}, id="for key agreement"),
        pytest.param({**OKP, "x": "AA"}, id="too short"),
        pytest.param({**EC, "kty": "RSA"}, id="of another kind than it says"),
        pytest.param({}, id="nothing"),
        pytest.param("key", id="a text"),
        pytest.param(None, id="null"),
    ],
)
def test_a_key_that_checks_nothing_is_as_though_it_were_not_there(key: Any) -> None:
    """It does no harm to those beside it, and a set of such keys only is none."""
    (found,) = read(key_set(key, EC))
    assert found.members["kid"] == EC["kid"]
    with pytest.raises(ValueError, match="no key that can be used"):
        read(key_set(key))


def test_only_the_public_part_of_a_key_is_kept() -> None:
    """What an issuer has published by mistake, and what it says of certificates, goes no further."""
    text = write(read(key_set({**EC, "d": "secret", "x5u": "https://elsewhere.example"}, SHARED)))
    assert json.loads(text) == {"keys": [EC]}
    assert write(read(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its key set is not JSON as it must be"),
        ("{", "its key set is not JSON as it must be"),
        ("[]", "it is not an object"),
        ('{"keys": [], "keys": []}', "a member stands twice"),
        ("{}", "has no list of keys"),
        ('{"keys": {}}', "has no list of keys"),
        ('{"keys": []}', "no key that can be used"),
        (key_set(*[EC] * (MOST_KEYS + 1)), "more than 100 keys"),
        (key_set(EC) + " " * MOST_BYTES, "larger than 262,144 bytes"),
        (key_set({**EC, "kid": "\ud800"}), "cannot be read"),
    ],
)
def test_what_is_no_key_set_is_refused(text: str, reason: str) -> None:
    """With the reason, in words that hold nothing of it."""
    with pytest.raises(ValueError, match=reason):
        read(text)


def test_a_set_may_have_a_hundred_keys() -> None:
    """As many as the limit says."""
    assert len(read(key_set(*[EC] * MOST_KEYS))) == MOST_KEYS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda each: st.lists(each, max_size=3)
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "kid", "alg", "use", "key_ops", "n", "e", "x", "y"]),
            JSON
            | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", RSA["n"], "AQAB", EC["x"]]),
        ),
        max_size=3,
    )
)
def test_nothing_else_is_raised(keys: list[dict[str, Any]]) -> None:
    """Whatever an issuer publishes, it is some keys or a `ValueError`."""
    try:
        found = read(json.dumps({"keys": keys}))
    except ValueError:
        return
    assert 0 < len(found) <= len(keys)
