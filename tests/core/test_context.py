from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.context import MAX_BYTES, canonical, digest
from keystead.core.errors import InvalidRequest

texts = st.text(st.characters(codec="utf-8"), max_size=8)
contexts = st.dictionaries(texts, texts, max_size=5)


def parsed(data: bytes) -> dict[str, str]:
    """The context back from its bytes, read as the docstring of the module says."""
    count, rest, found = int.from_bytes(data[:2], "big"), data[2:], []
    for _ in range(2 * count):
        size = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + size].decode())
        rest = rest[4 + size :]
    assert rest == b""
    return dict(zip(found[::2], found[1::2], strict=True))


@given(contexts, st.data())
def test_the_order_of_a_map_does_not_matter(context: dict[str, str], data: st.DataObject) -> None:
    """A client may list the pairs in any order when it decrypts."""
    shuffled = data.draw(st.permutations(list(context.items())))
    assert canonical(dict(shuffled)) == canonical(context)


@given(contexts, contexts)
def test_two_contexts_never_have_the_same_bytes(one: dict[str, str], other: dict[str, str]) -> None:
    """Only the very same names and values open what was bound to them."""
    assert (canonical(one) == canonical(other)) == (one == other)


@given(contexts)
def test_the_bytes_say_the_whole_context(context: dict[str, str]) -> None:
    """Nothing is left out: the map can be read back, and so no two maps meet."""
    assert parsed(canonical(context)) == context


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_where_a_name_ends_is_part_of_it(text: str, one: int, other: int) -> None:
    """A letter that moves from the name to the value makes another context."""
    first, second = {text[:one]: text[one:]}, {text[:other]: text[other:]}
    assert (canonical(first) == canonical(second)) == (first == second)


def test_an_empty_context_is_none() -> None:
    """As in AWS KMS, an empty map and no map are the same."""
    assert canonical({}) == canonical(None) == b""
    assert canonical({"": ""}) != b""


def test_the_bytes_of_a_context_are_fixed() -> None:
    """Stored ciphertexts are bound to these very bytes: sorted by UTF-8, each with its length."""
    assert canonical({"tenant": "7", "a": "é"}) == (
        b"\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02\xc3\xa9\x00\x00\x00\x06tenant\x00\x00\x00\x017"
    )


def test_pairs_stand_in_the_order_of_their_bytes() -> None:
    """UTF-8 sorts as code points do, also beyond the first plane."""
    assert list(parsed(canonical({"\U0001f511": "", "\uffff": "", "z": "", "Z": ""}))) == [
        "Z",
        "z",
        "\uffff",
        "\U0001f511",
    ]


@pytest.mark.parametrize(
    "context",
    [
        {"n" * 4096: "v" * 4096},
        {"n": "v" * (MAX_BYTES - 1)},
        {"é" * 2048: "é" * 2048},
        {f"{i:04}": "v" * 60 for i in range(128)},
    ],
)
def test_names_and_values_of_8192_bytes_are_taken_and_one_more_is_not(context: dict[str, str]) -> None:
    """The limit counts the bytes of names and values together, and nothing else."""
    assert parsed(canonical(context)) == context
    name, value = context.popitem()
    with pytest.raises(InvalidRequest, match="names and values may be 8192 bytes together"):
        canonical({**context, name: value + "!"})


def test_the_digest_is_sha_256_of_the_bytes_and_empty_for_none() -> None:
    """The record of a request without a context says nothing rather than a digest of nothing."""
    data = canonical({"tenant": "7"})
    assert digest(data) == sha256(data).hexdigest()
    assert digest(canonical(None)) == ""


@pytest.mark.parametrize("context", [{"\ud800": ""}, {"tenant": "\udfff"}])
def test_a_context_that_is_not_unicode_is_refused(context: dict[str, str]) -> None:
    """Half a surrogate pair has no UTF-8, so nothing could be bound to it."""
    with pytest.raises(InvalidRequest, match="not Unicode"):
        canonical(context)
