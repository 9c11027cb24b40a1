"""JSON objects and base64url, and what only looks like them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.federation.strict import read_base64, read_object
from keystead.testing.issuer import base64


def test_an_object_is_read() -> None:
    """With whatever JSON has."""
    assert read_object('{"a": [1, -2.5, true, null, {"ü": "\\ud83d\\ude00"}]}'.encode()) == {
        "a": [1, -2.5, True, None, {"ü": "\N{GRINNING FACE}"}]
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": 1} ,',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": ["a"]}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """A member that stands twice, a number that is none, half a character, or nested so that no reader can follow."""
    with pytest.raises(ValueError, match=r"."):
        read_object(data)


@given(st.binary())
def test_bytes_come_back_from_base64(data: bytes) -> None:
    """Whatever they are."""
    assert read_base64(base64(data)) == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "AA==", "AB", "A+==", "A/A", "AA A", "A\n", "ü", "AA.A"])
def test_other_spellings_are_refused(text: str) -> None:
    """Padding, the other alphabet, spaces, and bits at the end that stand for nothing."""
    with pytest.raises(ValueError, match=r"."):
        read_base64(text)


@given(st.binary() | st.text().map(lambda text: json.dumps({"a": text}).encode()))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Any bytes are an object or a `ValueError`, and an object can be written down again."""
    try:
        found = read_object(data)
    except ValueError:
        return
    assert read_object(json.dumps(found, ensure_ascii=False).encode()) == found
