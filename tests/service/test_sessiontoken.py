"""Tokens carry whole sessions, to nobody else and from nobody else."""

import json
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import PolicyTooLarge
from keystead.core.principal import Session
from keystead.crypto.aead import XAES256GCM
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.random import system_random
from keystead.service.sessiontoken import MAX_BYTES, MAX_CHARACTERS, SessionTokens

SECRET = b"s" * 40
KEY = b"the installation's"

texts = st.text(max_size=20)
sessions = st.builds(
    Session,
    access_key=texts,
    arn=texts,
    principal=texts,
    user_id=texts,
    issued=st.floats(allow_nan=False, allow_infinity=False),
    expires=st.floats(allow_nan=False, allow_infinity=False),
    policies=st.lists(texts, max_size=3).map(tuple),
    attached=st.lists(texts, max_size=3).map(tuple),
    tags=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    transitive=st.lists(texts, max_size=3).map(tuple),
    source_identity=texts,
    provider=texts,
    mfa=st.floats(allow_nan=False, allow_infinity=False),
    openers=st.lists(texts, max_size=3).map(tuple),
    opened_with=texts,
)
PLAIN = Session(
    access_key="ASIA", arn="arn", principal="p", user_id="u", issued=1.0, expires=2.0, policies=("{}",)
)


@given(session=sessions)
def test_a_token_holds_all_of_a_session(session: Session) -> None:
    """In every process that has the key, and nothing of it can be read in the token."""
    token = SessionTokens(KEY).make(session, SECRET, system_random)
    found = SessionTokens(KEY).read(token.encode())
    assert found is not None
    assert (found[0], found[1].reveal()) == (session, SECRET)
    assert SECRET not in urlsafe_b64decode(token)


def test_a_token_from_before_sessions_had_openers_still_opens() -> None:
    """What it does not say is empty."""
    old = {name: value for name, value in asdict(PLAIN).items() if not name.startswith("opene")}
    nonce = system_random(24)
    purpose = b"keystead session token v1"
    sealed = XAES256GCM(hkdf_sha256(KEY, purpose, 32)).seal(
        nonce, SECRET + zlib.compress(json.dumps(old).encode()), purpose
    )
    found = SessionTokens(KEY).read(urlsafe_b64encode(b"\x01" + nonce + sealed))
    assert found is not None
    assert found[0] == PLAIN
    assert (found[0].openers, found[0].opened_with) == ((), "")


def test_no_two_tokens_are_the_same() -> None:
    """Of the same session neither."""
    tokens = SessionTokens(KEY)
    assert tokens.make(PLAIN, SECRET, system_random) != tokens.make(PLAIN, SECRET, system_random)


@given(data=st.data())
def test_a_token_that_was_changed_is_none(data: st.DataObject) -> None:
    """In whatever bit, or cut off, or longer."""
    token = SessionTokens(KEY).make(PLAIN, SECRET, system_random).encode()
    raw = bytearray(urlsafe_b64decode(token))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    assert SessionTokens(KEY).read(urlsafe_b64encode(raw)) is None
    cut = data.draw(st.integers(0, len(token) - 1))
    assert SessionTokens(KEY).read(token[:cut]) is None
    assert SessionTokens(KEY).read(token + token[:cut] + b"=") is None


@given(junk=st.binary(max_size=200))
def test_what_is_no_token_is_none(junk: bytes) -> None:
    """Whatever it is."""
    assert SessionTokens(KEY).read(junk) is None
    assert SessionTokens(KEY).read(urlsafe_b64encode(junk)) is None


def test_a_token_of_another_installation_is_none() -> None:
    """Each has a key of its own."""
    token = SessionTokens(b"another's").make(PLAIN, SECRET, system_random)
    assert SessionTokens(KEY).read(token.encode()) is None


def test_a_token_has_one_spelling() -> None:
    """What stands for the same bytes in another alphabet, or with junk between, is not the same token."""
    token = SessionTokens(KEY).make(PLAIN, SECRET, system_random)
    while "-" not in token or "_" not in token:
        token = SessionTokens(KEY).make(PLAIN, SECRET, system_random)
    for other in (token.replace("-", "+").replace("_", "/"), token[:8] + "\n" + token[8:], token + "\n"):
        assert SessionTokens(KEY).read(other.encode()) is None


def test_a_long_token_is_not_looked_at() -> None:
    """It is longer than any of ours."""
    assert SessionTokens(KEY).read(b"A" * (MAX_CHARACTERS + 1)) is None


@pytest.mark.parametrize(
    "policy",
    ["a" * MAX_BYTES, system_random(MAX_CHARACTERS).hex()],
    ids=["larger than may be packed", "packed it is still too long"],
)
def test_a_session_that_does_not_fit(policy: str) -> None:
    """It is refused before a client has a token that no request could carry."""
    session = Session(
        access_key="ASIA", arn="arn", principal="p", user_id="u", issued=1.0, expires=2.0, policies=(policy,)
    )
    with pytest.raises(PolicyTooLarge, match="too large together"):
        SessionTokens(KEY).make(session, SECRET, system_random)


def test_the_page_of_the_format_is_true(checkout: Path) -> None:
    """It has every member of a session in its order, and a token can be read by what it says."""
    page = (checkout / "docs" / "formats" / "session-token.md").read_text()
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, flags=re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert named == [field.name for field in fields(Session)]
    assert all(f"{limit:,}" in page for limit in (MAX_BYTES, MAX_CHARACTERS))

    (purpose,) = re.findall(r'^purpose = "(.+)"$', page, flags=re.MULTILINE)
    raw = urlsafe_b64decode(SessionTokens(KEY).make(PLAIN, SECRET, system_random))
    assert raw[0] == 1
    aead = XAES256GCM(hkdf_sha256(KEY, purpose.encode(), 32))
    plain = aead.open(raw[1:25], raw[25:], purpose.encode())
    assert plain[:40] == SECRET
    assert json.loads(zlib.decompress(plain[40:])) == json.loads(json.dumps(asdict(PLAIN)))
