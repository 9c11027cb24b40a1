"""Pagination markers that were not given out for this list are refused."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidMarker
from keystead.service import marker

SECRET = b"marker secret"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(place=TEXT, last=TEXT)
def test_a_marker_leads_on_in_its_own_list(place: str, last: str) -> None:
    """What was given out is read back, and is plain ASCII."""
    text = marker.make(SECRET, place, last)
    assert text.isascii()
    assert marker.read(SECRET, place, text) == last


def test_no_marker_is_the_beginning() -> None:
    """A list starts with an empty marker."""
    assert marker.read(SECRET, "keys", "") == ""


@pytest.mark.parametrize(
    "text",
    [
        marker.make(b"another secret", "keys", "k1"),  # forged
        marker.make(SECRET, "aliases", "k1"),  # moved to another list
        urlsafe_b64encode(bytes(16) + b"k1").decode(),  # without a tag
        marker.make(SECRET, "keys", "k1")[:-4],  # cut off
        marker.make(SECRET, "keys", "k1")[:8],
        urlsafe_b64encode(bytes(16) + b"\xff").decode(),  # no text
        "garbage",
        "é",
        "\ud800",
        "=",
        "AAAA",
    ],
)
def test_any_other_marker_is_refused(text: str) -> None:
    """Forged, moved, cut and garbage markers are all the same error."""
    with pytest.raises(InvalidMarker):
        marker.read(SECRET, "keys", text)


def test_one_flipped_bit_is_noticed() -> None:
    """Every bit of a marker counts."""
    text = marker.make(SECRET, "keys", "k1").encode()
    for place in range(20):
        changed = (
            text[:place] + bytes([ord("A") if text[place] != ord("A") else ord("B")]) + text[place + 1 :]
        )
        with pytest.raises(InvalidMarker):
            marker.read(SECRET, "keys", changed.decode())
