from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.crypto.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_WIDTH,
    Frontier,
    InvalidProof,
    TileReader,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    partial_width,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The leaves, roots and proofs of Certificate Transparency's own Merkle tree tests.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION_0_OF_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CONSISTENCY_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def mth(leaves: list[bytes]) -> bytes:
    """The tree's root, word for word as in RFC 6962 section 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def leaves_of(size: int) -> list[bytes]:
    """Different leaf hashes."""
    return [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


class Tree:
    """A tree with its tiles in a dictionary."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.frontier = Frontier()
        self.tiles: dict[tuple[int, int], bytes] = {}
        for leaf in leaves:
            for level, index, data in self.frontier.append(leaf):
                self.tiles[level, index] = data
        for level, index, data in self.frontier.partial():
            self.tiles[level, index] = data

    @property
    def read(self) -> TileReader:
        """A reader that insists on the width that the tree has."""

        def read(level: int, index: int, width: int) -> bytes:
            data = self.tiles[level, index]
            assert 0 < width * HASH_BYTES <= len(data)
            return data[: width * HASH_BYTES]

        return read


BIG = Tree(leaves_of(70_000))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    """Known answers: the roots of the first entries."""
    tree = Frontier()
    for entry in ENTRIES[:size]:
        tree.append(leaf_hash(entry))

    assert tree.root().hex() == ROOTS[size]


def test_proofs_are_those_of_certificate_transparency() -> None:
    """Known answers: an inclusion and a consistency proof."""
    read = Tree([leaf_hash(entry) for entry in ENTRIES]).read

    assert [node.hex() for node in inclusion_proof(0, 8, read)] == INCLUSION_0_OF_8
    assert [node.hex() for node in consistency_proof(6, 8, read)] == CONSISTENCY_6_TO_8


@given(st.integers(0, 600))
def test_the_root_is_the_one_that_the_rfc_defines(size: int) -> None:
    """Root over a row of hashes and root of a frontier, against the recursive definition."""
    leaves = leaves_of(size)
    tree = Tree(leaves)

    assert root_of(leaves) == mth(leaves)
    assert tree.frontier.root() == mth(leaves)
    assert Frontier.at(size, tree.read).root() == mth(leaves)


def test_tiles_are_those_of_the_specification() -> None:
    """70,000 entries: 273 full tiles and one of 112, one full and one of 17, one of 1 (C2SP's example)."""
    widths = {
        (level, index): len(data) // HASH_BYTES
        for (level, index), data in BIG.tiles.items()
        if len(data) < TILE_WIDTH * HASH_BYTES
    }

    assert widths == {(0, 273): 112, (1, 1): 17, (2, 0): 1}
    assert sum(level == 0 for level, _ in BIG.tiles) == 274
    assert [partial_width(70_000, level, index) for level, index in ((0, 272), (0, 273), (0, 274))] == [
        256,
        112,
        0,
    ]
    assert BIG.tiles[1, 0][:HASH_BYTES] == mth(leaves_of(256))


def test_a_stored_frontier_grows_as_the_first_one_did() -> None:
    """A tree that was read back from tiles goes on to the same root."""
    again = Frontier.at(70_000, BIG.read)
    first = Tree(leaves_of(70_000)).frontier
    for leaf in leaves_of(300):
        assert again.append(leaf) == first.append(leaf)

    assert again.root() == first.root()


@given(st.data())
def test_an_entry_is_proven_to_be_in_the_log(data: st.DataObject) -> None:
    """Every proof that is made verifies, and for nothing else: not another leaf, place, size or root."""
    size = data.draw(st.one_of(st.integers(1, 70), st.integers(1, 70_000)))
    index = data.draw(st.integers(0, size - 1))
    root = Frontier.at(size, BIG.read).root()
    leaf = leaf_hash(index.to_bytes(4, "big"))

    proof = inclusion_proof(index, size, BIG.read)

    verify_inclusion(leaf, index, size, proof, root)
    for wrong in (
        (leaf_hash(b"other"), index, size, proof, root),
        (leaf, (index + 1) % size if size > 1 else 1, size, proof, root),
        (leaf, index, size, proof[:-1] if proof else [root], root),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, proof, EMPTY_ROOT),
        (leaf, size, size, proof, root),
    ):
        with pytest.raises(InvalidProof):
            verify_inclusion(*wrong)


@pytest.mark.parametrize("new", range(2, 20))
def test_every_small_log_is_proven_to_begin_with_every_smaller_one(new: int) -> None:
    """All pairs of sizes below 20, so that every way through a small tree is walked."""
    new_root = Frontier.at(new, BIG.read).root()
    for old in range(1, new):
        old_root = Frontier.at(old, BIG.read).root()
        verify_consistency(old, new, consistency_proof(old, new, BIG.read), old_root, new_root)


@given(st.data())
def test_a_log_is_proven_to_begin_with_an_older_one(data: st.DataObject) -> None:
    """Every proof that is made verifies, and for no other roots."""
    new = data.draw(st.one_of(st.integers(0, 70), st.integers(0, 70_000)))
    old = data.draw(st.integers(0, new))
    new_root = Frontier.at(new, BIG.read).root() if new else EMPTY_ROOT
    old_root = Frontier.at(old, BIG.read).root() if old else EMPTY_ROOT

    proof = consistency_proof(old, new, BIG.read)

    verify_consistency(old, new, proof, old_root, new_root)
    with pytest.raises(InvalidProof):
        verify_consistency(old, new, proof, leaf_hash(b"other"), new_root)
    with pytest.raises(InvalidProof):
        verify_consistency(old, new, [*proof, new_root], old_root, new_root)
    if 0 < old < new:
        with pytest.raises(InvalidProof):
            verify_consistency(old, new, proof, old_root, leaf_hash(b"other"))
        with pytest.raises(InvalidProof):
            verify_consistency(old, new, proof[:-1], old_root, new_root)
        with pytest.raises(InvalidProof):
            verify_consistency(old, new, [], old_root, new_root)


def test_what_is_not_there_has_no_proof() -> None:
    """Indexes and sizes beyond the log are refused before any tile is read."""
    with pytest.raises(ValueError, match="entry 8 is not in a log of 8"):
        inclusion_proof(8, 8, BIG.read)
    with pytest.raises(ValueError, match="a log of 3 does not begin with one of 4"):
        consistency_proof(4, 3, BIG.read)
    with pytest.raises(InvalidProof, match="cannot begin"):
        verify_consistency(4, 3, [], EMPTY_ROOT, EMPTY_ROOT)


def test_the_last_entry_of_an_uneven_log_is_proved() -> None:
    """It stands alone on its level, so its path skips the levels where it has no neighbour."""
    leaves = [leaf_hash(bytes([number])) for number in range(3)]
    pair = node_hash(leaves[0], leaves[1])
    verify_inclusion(leaves[2], 2, 3, [pair], node_hash(pair, leaves[2]))
