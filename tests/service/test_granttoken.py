"""Grant tokens name a grant, and nobody else can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidGrantToken
from keystead.service import granttoken, marker
from keystead.service.granttoken import Named

SECRET = b"secret"
NAMED = Named("eu-central-1", "1234abcd-12ab-34cd-56ef-1234567890ab", "ab" * 32)
TOKEN = granttoken.make(SECRET, NAMED, b"12345678")
TOLD = "The grant token is not one that this service gave out."


def test_a_token_names_its_grant_and_each_is_another() -> None:
    """All tokens of one grant do, and within AWS's bounds of length."""
    other = granttoken.make(SECRET, NAMED, b"87654321")
    assert other != TOKEN
    assert granttoken.read(SECRET, TOKEN) == granttoken.read(SECRET, other) == NAMED
    assert 1 <= len(TOKEN) <= 8192


@pytest.mark.parametrize(
    "token",
    ["", "rubbish", "a", "====", "Ä" * 40, "\ud800", TOKEN[:-1], TOKEN[:-4], "AAAA" + TOKEN, TOKEN + "AAAA"],
)
def test_garbage_is_refused(token: str) -> None:
    """In one way, whatever is wrong."""
    with pytest.raises(InvalidGrantToken, match=TOLD):
        granttoken.read(SECRET, token)


@given(st.integers(min_value=0, max_value=len(TOKEN) - 1), st.characters(max_codepoint=0x250))
def test_no_character_of_a_token_can_be_another(place: int, other: str) -> None:
    """Not even one that a decoder of base64 would pass over."""
    for changed in (TOKEN[:place] + other + TOKEN[place + 1 :], TOKEN[:place] + other + TOKEN[place:]):
        if changed != TOKEN:
            with pytest.raises(InvalidGrantToken):
                granttoken.read(SECRET, changed)


def test_a_token_of_another_installation_or_a_marker_is_none() -> None:
    """Both are made with a secret of the installation, and for different ends."""
    with pytest.raises(InvalidGrantToken):
        granttoken.read(b"other", TOKEN)
    for place in ("grants k1 * 111122223333 eu-central-1", "grant token 111122223333 eu-central-1"):
        with pytest.raises(InvalidGrantToken):
            granttoken.read(SECRET, marker.make(SECRET, place, "12345678" + "/".join(NAMED)))
