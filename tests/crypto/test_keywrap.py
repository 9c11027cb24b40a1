import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.keywrap import binding, from_text, to_text, unwrap, wrap
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "keystead-sealing-v1.json").read_text())[
    "wrapped"
]

KEK = Secret(bytes(range(32)))

keys = st.binary(min_size=32, max_size=32).map(Secret)
parts = st.lists(st.binary(max_size=8))


@given(keys, st.binary(max_size=100), st.binary(max_size=100))
def test_what_was_wrapped_is_unwrapped(kek: Secret, material: bytes, aad: bytes) -> None:
    """The same key and associated data give the material back."""
    assert unwrap(kek, wrap(kek, Secret(material), aad, system_random), aad) == Secret(material)


def test_the_form_does_not_change() -> None:
    """What version 1 wrapped once opens for ever, and is wrapped to the same bytes."""
    kek, nonce, material, aad, wrapped = (
        bytes.fromhex(VECTOR[name]) for name in ("kek", "nonce", "material", "aad", "wrapped")
    )

    assert wrap(Secret(kek), Secret(material), aad, lambda _: nonce) == wrapped
    assert unwrap(Secret(kek), wrapped, aad).reveal() == material


@given(st.data(), st.binary(max_size=40))
def test_a_changed_bit_does_not_unwrap(data: st.DataObject, material: bytes) -> None:
    """One bit changed anywhere, the version included, and nothing opens."""
    wrapped = bytearray(wrap(KEK, Secret(material), b"aad", system_random))
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidCiphertext):
        unwrap(KEK, bytes(wrapped), b"aad")


def test_another_key_another_purpose_and_a_cut_do_not_unwrap() -> None:
    """Wrong key, wrong associated data and every truncation fail alike, without a word."""
    wrapped = wrap(KEK, Secret(b"material"), b"aad", system_random)

    attempts = [
        (Secret(bytes(32)), wrapped, b"aad"),
        (KEK, wrapped, b"other"),
        (KEK, wrapped + b"\0", b"aad"),
    ]
    attempts += [(KEK, wrapped[:length], b"aad") for length in range(len(wrapped))]
    for attempt in attempts:
        with pytest.raises(InvalidCiphertext) as caught:
            unwrap(*attempt)
        assert str(caught.value) == ""


@given(parts, parts)
def test_a_binding_is_unambiguous(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts give the same bytes only if they are the same list."""
    assert (binding(*one) == binding(*other)) == (one == other)


def test_a_binding_takes_text() -> None:
    """Text is its UTF-8."""
    assert binding("é", b"x") == binding("é".encode(), b"x") == b"\0\0\0\2\xc3\xa9\0\0\0\1x"


@given(st.binary(max_size=50))
def test_text_gives_the_bytes_back(data: bytes) -> None:
    """base64url there and back."""
    assert from_text(to_text(data)) == data


@pytest.mark.parametrize("text", ["A", "AA", "AB==", "A A=", "AA==\n", "A+==", "é", "AAAA=", "====", "AAA*A"])
def test_only_one_text_stands_for_the_bytes(text: str) -> None:
    """Text that is no base64url, or not the one form of it, is invalid."""
    with pytest.raises(InvalidCiphertext):
        from_text(text)
