"""The Merkle tree of RFC 6962, cut into tiles, with the proofs that make a log tamper-evident.

A log's entries are the leaves of one binary hash tree. Whoever holds the 32-byte root of the first ``n``
entries can be shown, with about ``log2(n)`` hashes, that an entry is in the log (*inclusion*) and that a
longer log begins with exactly those ``n`` entries (*consistency*): nothing was edited, cut or re-ordered.

The tree is stored as C2SP tlog-tiles: tile ``n`` of level ``l`` is 256 hashes, each the root of ``256**l``
leaves, so a tile's own root is one hash of the tile above. Everything here is pure: a *reader* hands in
tiles, nothing is fetched.

    >>> tree = Frontier()
    >>> for entry in (b"a", b"b", b"c"):
    ...     tree.append(leaf_hash(entry))
    >>> tree.root() == node_hash(node_hash(leaf_hash(b"a"), leaf_hash(b"b")), leaf_hash(b"c"))
    True
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
TILE_WIDTH = 256
TILE_HEIGHT = 8  # a tile is a subtree of this height
EMPTY_ROOT = sha256(b"").digest()

TileReader = Callable[[int, int, int], bytes]
"""``(level, index, width)`` to the tile's hashes, ``32 * width`` bytes."""


class InvalidProof(ValueError):
    """The proof does not lead to the root: the entry or the older log is not part of this one."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry. Its prefix differs from a node's, so no node can pass for an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over neighbouring subtree roots; only the last of them may be of an incomplete subtree.

    RFC 6962 section 2.1 splits at the largest power of two below the size. Pairing from the left, level
    by level, and carrying an odd last one up, gives the same tree without recursion.
    """
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        pairs = iter(row)
        above = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
        if len(row) % 2:
            above.append(row[-1])
        row = above
    return row[0]


class Frontier:
    """The right edge of a growing tree: the hashes of the tiles that are not full yet, level by level."""

    __slots__ = ("levels", "size")

    def __init__(self) -> None:
        """An empty tree."""
        self.size = 0
        self.levels: list[list[bytes]] = [[]]

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add one leaf hash; returns the tiles that it completes, as ``(level, index, hashes)``."""
        self.size += 1
        row = self.levels[0]
        row.append(leaf)
        if len(row) < TILE_WIDTH:
            return []
        full = []
        level, span = 0, TILE_WIDTH
        while True:
            full.append((level, self.size // span - 1, b"".join(row)))
            root = root_of(row)
            row.clear()
            level, span = level + 1, span * TILE_WIDTH
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(root)
            if len(row) < TILE_WIDTH:
                return full

    def partial(self) -> list[tuple[int, int, bytes]]:
        """The tiles that are begun but not full, as ``(level, index, hashes)``."""
        return [
            (level, self.size // TILE_WIDTH ** (level + 1), b"".join(row))
            for level, row in enumerate(self.levels)
            if row
        ]

    def root(self) -> bytes:
        """The root over everything appended."""
        carried: list[bytes] = []
        for row in self.levels:
            if row or carried:
                carried = [root_of(row + carried)]
        return carried[0] if carried else EMPTY_ROOT

    @classmethod
    def at(cls, size: int, read: TileReader) -> "Frontier":
        """The frontier of a stored tree of ``size`` leaves, from its partial tiles."""
        tree = cls()
        tree.size = size
        tree.levels = []
        rest = size
        while True:
            width = rest % TILE_WIDTH
            tile = read(len(tree.levels), rest // TILE_WIDTH, width) if width else b""
            tree.levels.append([tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)])
            rest //= TILE_WIDTH
            if not rest:
                return tree


def partial_width(size: int, level: int, index: int) -> int:
    """How many hashes tile ``index`` of ``level`` holds in a tree of ``size`` leaves, 0 to 256."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def range_root(start: int, stop: int, size: int, read: TileReader) -> bytes:
    """The root of the leaves ``start`` to ``stop`` in a tree of ``size`` leaves.

    ``start`` must be a multiple of a power of two that is at least ``stop - start``, as it is for every
    node of the tree.
    """
    roots = []
    while start < stop:
        # The largest complete subtree that begins here; a tile level holds every eighth height.
        height = (stop - start).bit_length() - 1
        level, inner = divmod(height, TILE_HEIGHT)
        first = start >> (TILE_HEIGHT * level)
        index, offset = divmod(first, TILE_WIDTH)
        tile = read(level, index, partial_width(size, level, index))
        count = 1 << inner
        roots.append(
            root_of([tile[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(offset, offset + count)])
        )
        start += 1 << height
    # From the right: each complete subtree is the left neighbour of all that is right of it.
    root = roots.pop()
    while roots:
        root = node_hash(roots.pop(), root)
    return root


def inclusion_proof(index: int, size: int, read: TileReader) -> list[bytes]:
    """The hashes that lead from entry ``index`` to the root of the first ``size`` (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        message = f"entry {index} is not in a log of {size}"
        raise ValueError(message)
    proof = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(range_root(middle, stop, size, read))
            stop = middle
        else:
            proof.append(range_root(start, middle, size, read))
            start = middle
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise `InvalidProof` unless ``leaf`` is entry ``index`` of the log (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        message = f"entry {index} is not in a log of {size}"
        raise InvalidProof(message)
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            message = "the proof is too long"
            raise InvalidProof(message)
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last or result != root:
        message = f"entry {index} does not lead to the root of the log of {size}"
        raise InvalidProof(message)


def consistency_proof(old: int, new: int, read: TileReader) -> list[bytes]:
    """The hashes that show the first ``old`` entries to be the beginning of ``new`` (RFC 9162, 2.1.4.1)."""
    if not 0 <= old <= new:
        message = f"a log of {new} does not begin with one of {old}"
        raise ValueError(message)
    if old in {0, new}:
        return []
    proof = []
    start, stop = 0, new
    while old != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            proof.append(range_root(middle, stop, new, read))
            stop = middle
        else:
            proof.append(range_root(start, middle, new, read))
            start = middle
    if start:  # otherwise the verifier holds this hash already: it is the old root
        proof.append(range_root(start, stop, new, read))
    return proof[::-1]


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raise `InvalidProof` unless the new log begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        message = f"a log of {new} cannot begin with one of {old}"
        raise InvalidProof(message)
    if old in {0, new}:
        known = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != known:
            message = f"the root of the first {old} entries is another"
            raise InvalidProof(message)
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        message = "the proof is empty"
        raise InvalidProof(message)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            message = "the proof is too long"
            raise InvalidProof(message)
        if node & 1 or node == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        node, last = node >> 1, last >> 1
    if last or before != old_root or after != new_root:
        message = f"the log of {new} does not begin with the log of {old}"
        raise InvalidProof(message)


def _split(size: int) -> int:
    """The largest power of two below ``size`` (RFC 6962 section 2.1)."""
    return 1 << ((size - 1).bit_length() - 1)
