"""One tree for each account beside each log: proof that the account's list of its own entries is complete.

A log's tree proves things about the whole log, so whoever wants to know that nothing of theirs is missing would have to
read everything of everybody. So there is one more tree for each account in each log. Its leaves are the entries that
concern the account, in the order of the log, each with its index there and as far as the account may see it:

    leaf = SHA-256(0x00 || index, 8 bytes || entry as the account may see it)

The signed *account head* says how many leaves there are up to which size of the log:

    keystead-example/w0/account/111122223333
    73                                             entries of the account
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=   their root
    log 20852163 Xajj7h2fB2MPA3j2jxq2ICsUYapGGPo4dkMgIAUqom0=
    logs control w0 w1                             which logs there are

Whoever has all the entries makes the root from them: none is missing, changed, added or in another place. A head that
somebody kept is the beginning of every later one (consistency proof), so nothing is taken back. That the head itself
leaves nothing out, `check` finds, for whoever may read the whole log.

The trees are derived from the log, outside of the requests' way: `AccountTrees.update` reads what the checkpoint covers
since it last did. They lie in ``account/<id>/`` of the log's directory, in the form of the log's own tiles, with the
indexes in ``tile/index``; only a bundle that all trees have taken in may be pruned, so they need never be made again.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from keystead.audit import checkpoint, prune
from keystead.audit.checkpoint import Checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.reading import covered
from keystead.audit.recovery import signed_checkpoint
from keystead.audit.tiles import FOLDER as TILES
from keystead.audit.tiles import Shelf, read_file, tile_path, tile_reader
from keystead.audit.usage import is_log
from keystead.core.disk import Disk
from keystead.core.errors import AuditUnavailable, DataDamaged, InvalidRequest, NotFound
from keystead.core.ledger import Row, Section
from keystead.crypto.merkle import (
    HASH_BYTES,
    TILE_WIDTH,
    Frontier,
    consistency_proof,
    leaf_hash,
    partial_width,
)
from keystead.crypto.note import InvalidNote, Verifier, read_note

T = TypeVar("T")

FOLDER: Final = "account"
INDEX: Final = "index"
_POSITION: Final = "position"
_INDEX_BYTES: Final = 8
_LINES: Final = 5
_TEMPORARY: Final = "tmp"
_ENTRIES_AT_ONCE: Final = 65_536
_ATTEMPTS: Final = 5
MOST_BEHIND: Final = 262_144  # entries that one question reads

Seen = Callable[[bytes], Sequence[tuple[str, bytes]]]
"""Whom an entry concerns: each account, and the entry as far as that account may see it."""

Sign = Callable[[str, str], bytes]
"""``(name, text)`` to the note."""


class Head(NamedTuple):
    """What an account head says."""

    origin: str  # of the log
    account: str
    entries: int  # of the account
    root: bytes
    size: int  # of the log
    log_root: bytes
    logs: tuple[str, ...]

    def text(self) -> str:
        """The note text, ready to sign as `name`."""
        return (
            f"{name(self.origin, self.account)}\n{self.entries}\n{_encoded(self.root)}\n"
            f"log {self.size} {_encoded(self.log_root)}\nlogs {' '.join(self.logs)}\n"
        )


def name(origin: str, account: str) -> str:
    """What a head is signed as."""
    return f"{origin}/{FOLDER}/{account}"


def read_head(note: bytes, verifier: Verifier) -> Head:
    """The head in a note; ``verifier`` goes by the head's name. Raises `InvalidNote` for anything else."""
    return _parse(verifier.verify(note), verifier.name)


def leaf_of(index: int, seen: bytes) -> bytes:
    """The hash of an entry in the tree of an account that sees it so."""
    return leaf_hash(index.to_bytes(_INDEX_BYTES, "big") + seen)


class _Tree:
    """An account's tree as it lies beside a log, and what is added in memory."""

    def __init__(self, disk: Disk, directory: Path, account: str) -> None:
        self._disk = disk
        self._log = directory
        self.directory = directory / FOLDER / account
        self.account = account
        self.frontier = Frontier()
        self.size = 0  # of the log: as far as it was taken in
        self._indexes: list[bytes] = []  # of the begun tile
        self._full: dict[str, bytes] = {}  # tiles that are not on the disk yet
        self._present: list[str] = []
        self.exists = False
        try:
            text = disk.read(self.directory / checkpoint.FILE).rpartition(b"\n\n")[0].decode() + "\n"
        except FileNotFoundError:
            return
        try:
            head = _parse(text, text.partition("\n")[0])
        except InvalidNote as error:
            raise Damaged(0, f"{FOLDER}/{account}/{checkpoint.FILE}", str(error)) from None
        self.exists = True
        self.size = head.size
        self.frontier = Frontier.at(head.entries, tile_reader(disk, self.directory))
        if self.frontier.root() != head.root:
            file = f"{FOLDER}/{account}/{TILES}"
            raise Damaged(0, file, "the tree of this account does not lead to its head's root")
        self._indexes = self.indexes(head.entries // TILE_WIDTH, head.entries % TILE_WIDTH)
        self._present = [name for name, _ in self._partial()]

    def head(self, origin: str, size: int, log_root: bytes, logs: tuple[str, ...]) -> Head:
        """What can be signed of it, when the log has that size."""
        frontier = self.frontier
        return Head(origin, self.account, frontier.size, frontier.root(), size, log_root, logs)

    def take(self, index: int, seen: bytes) -> None:
        """Add a leaf."""
        self._indexes.append(index.to_bytes(_INDEX_BYTES, "big"))
        full = self.frontier.append(leaf_of(index, seen))
        if full:  # the first of them is of level 0
            self._full[tile_path(INDEX, full[0][1])] = b"".join(self._indexes)
            self._indexes = []
            self._full.update({tile_path(level, number): data for level, number, data in full})

    def publish(self, note: bytes) -> None:
        """Put the tree and its head on the disk."""
        for folder in (self._log / FOLDER, self.directory):
            self._disk.mkdir(folder)
            self._disk.sync(folder.parent)
        partial = self._partial()
        Shelf(self._disk, self.directory, self._present).publish(list(self._full.items()), partial, note)
        names = {name for name, _ in partial}
        for old in self._present:
            if old not in names:
                with suppress(OSError):  # it only takes up room
                    self._disk.remove(self.directory / old)

    def indexes(self, tile: int, width: int) -> list[bytes]:
        """The first indexes in a tile on the disk, in their form there."""
        if not width:
            return []
        data = read_file(self._disk, self.directory, INDEX, tile, width)[1]
        if len(data) < width * _INDEX_BYTES:
            raise Damaged(0, f"{FOLDER}/{self.account}/{tile_path(INDEX, tile, width)}", "it is too short")
        return [data[at : at + _INDEX_BYTES] for at in range(0, width * _INDEX_BYTES, _INDEX_BYTES)]

    def read(self, level: int, index: int, width: int) -> bytes:
        """A tile, from memory or the disk (`keystead.crypto.merkle.TileReader`)."""
        begun = self.frontier.levels[level] if level < len(self.frontier.levels) else []
        data = self._full.get(tile_path(level, index))
        if index == self.frontier.size // TILE_WIDTH ** (level + 1):
            data = b"".join(begun)
        if data is None:
            return tile_reader(self._disk, self.directory)(level, index, width)
        return data[: width * HASH_BYTES]

    def leaves(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        """Some leaves with their indexes in the log."""
        found: list[tuple[int, bytes]] = []
        last = min(self.frontier.size, first + limit)
        while first < last:
            tile, place = divmod(first, TILE_WIDTH)
            width = partial_width(self.frontier.size, 0, tile)
            hashes = self.read(0, tile, width)
            if tile == self.frontier.size // TILE_WIDTH:
                indexes = self._indexes
            elif (data := self._full.get(tile_path(INDEX, tile))) is not None:
                indexes = [data[at : at + _INDEX_BYTES] for at in range(0, len(data), _INDEX_BYTES)]
            else:
                indexes = self.indexes(tile, width)
            for at in range(place, min(width, place + last - first)):
                leaf = hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]
                found.append((int.from_bytes(indexes[at], "big"), leaf))
            first = (tile + 1) * TILE_WIDTH
        return found

    def _partial(self) -> list[tuple[str, bytes]]:
        tiles = [
            (tile_path(level, number, len(data) // HASH_BYTES), data)
            for level, number, data in self.frontier.partial()
        ]
        if self._indexes:
            number = self.frontier.size // TILE_WIDTH
            tiles.append((tile_path(INDEX, number, len(self._indexes)), b"".join(self._indexes)))
        return tiles


class AccountTrees:
    """Keeps and reads the trees of all accounts in all logs of a directory.

    ``accounts`` tells which there are; nobody else gets a tree, whatever ARNs are asked for. ``origin`` is what the
    logs' origins begin with, and what ``verifier`` returns goes by that name. `update` is for one thread; the others
    are for any.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk,
        origin: str,
        sign: Sign,
        verifier: Callable[[], Verifier],
        seen: Seen,
        accounts: Callable[[], Iterable[str]],
        at_once: int = _ENTRIES_AT_ONCE,
    ) -> None:
        self._root = root
        self._disk = disk
        self._origin = origin
        self._sign = sign
        self._verifier = verifier
        self._seen = seen
        self._accounts = accounts
        self._at_once = at_once
        self._stopping = False

    def logs(self) -> list[str]:
        """The logs that there are."""
        return [log for log in self._disk.names(self._root) if is_log(self._disk, self._root / log)]

    def update(self) -> int:
        """Take in what checkpoints cover; returns how many entries that was, in all logs.

        Raises `DataDamaged` when a log or a tree is not what it should be.
        """
        accounts = sorted(self._accounts())
        taken = 0
        for log in self.logs():
            try:
                taken += self._update(log, accounts)
            except Damaged as damage:
                raise DataDamaged(f"{self._root / log / damage.file}: {damage.problem}") from None
        return taken

    def stop(self) -> None:
        """Let an update end early, where it can go on later; any thread."""
        self._stopping = True

    def sections(self, account: str, since: Mapping[str, int]) -> list[Section]:
        """An account's heads in all logs, as of their newest checkpoints; with proofs since the counts, by log."""
        return [
            self._steadily(log, partial(self._section, log, account, since.get(log, 0)))
            for log in self.logs()
        ]

    def rows(self, log: str, account: str, first: int, limit: int) -> list[Row]:
        """Some of an account's leaves, with what it may see of the entries."""
        if log not in self.logs():
            raise NotFound(f"There is no audit log {log}.")
        return self._steadily(log, partial(self._rows, log, account, first, limit))

    # --- keeping them --------------------------------------------------------------------------------------

    def _update(self, log: str, accounts: Sequence[str]) -> int:
        """Bring one log's trees up to its checkpoint, some entries at a time."""
        directory = self._root / log
        signed = signed_checkpoint(self._disk, directory, self._verifier().named(f"{self._origin}/{log}"))
        if signed is None:
            return 0
        taken = position = taken_in(self._disk, directory)
        if position:
            # A new tree begins where the log does, since an account may be asked for before it is made. It appears
            # only when it is as far as the others.
            folder = directory / FOLDER
            new = [each for each in accounts if checkpoint.FILE not in self._disk.names(folder / each)]
            if new:
                self._take(signed, 0, position, new)
        while position < signed.size and not self._stopping:
            stop = min(signed.size, position + self._at_once)
            self._take(signed, position, stop, accounts)
            _write(self._disk, directory / FOLDER / _POSITION, str(stop).encode())
            position = stop
        return position - taken

    def _take(self, signed: Checkpoint, start: int, stop: int, accounts: Sequence[str]) -> None:
        """Bring trees from one place in the log to another, and sign their heads there."""
        log = signed.origin.rpartition("/")[2]
        directory = self._root / log
        trees: dict[str, _Tree] = {}
        if start == 0:  # every account has a head, be it of nothing
            trees = {account: _Tree(self._disk, directory, account) for account in accounts}
        wanted = frozenset(accounts)
        for index, entry in entries(self._disk, directory, start, stop, signed.size):
            for account, seen in self._seen(entry):
                if account in wanted:
                    tree = trees.get(account)
                    if tree is None:
                        tree = trees[account] = _Tree(self._disk, directory, account)
                    if (
                        index >= tree.size
                    ):  # what a crash has interrupted may have left it ahead of the others
                        tree.take(index, seen)
        read = tile_reader(self._disk, directory)

        def beginning(level: int, index: int, width: int) -> bytes:
            return read(level, index, partial_width(signed.size, level, index))[: width * HASH_BYTES]

        root = Frontier.at(stop, beginning).root()
        logs = tuple(self.logs())
        for account, tree in trees.items():
            if not tree.exists or tree.size < stop:
                head = tree.head(signed.origin, stop, root, logs)
                tree.publish(self._sign(name(signed.origin, account), head.text()))

    # --- reading them --------------------------------------------------------------------------------------

    def _steadily(self, log: str, look: Callable[[], T]) -> T:
        """Look, and look again when an update has overtaken it."""
        attempt = 1
        while True:
            try:
                return look()
            except (Damaged, InvalidNote, OSError) as error:
                if attempt == _ATTEMPTS:
                    raise AuditUnavailable(f"the audit log {log} cannot be read: {error}") from None
                attempt += 1

    def _fresh(self, log: str, account: str) -> tuple[_Tree, Checkpoint, bytes]:
        """An account's tree up to the newest checkpoint, in memory, and the checkpoint."""
        directory = self._root / log
        position = taken_in(self._disk, directory)
        tree = _Tree(self._disk, directory, account)
        note = self._disk.read(directory / checkpoint.FILE)
        signed = checkpoint.read_checkpoint(note, self._verifier().named(f"{self._origin}/{log}"))
        start = max(position, tree.size) if tree.exists else 0
        if signed.size - start > MOST_BEHIND:
            raise AuditUnavailable(
                f"the accounts' entries are still being read from the audit log {log} "
                f"({start:,} of {signed.size:,}): try again later"
            )
        for index, entry in entries(self._disk, directory, start, signed.size, signed.size, account.encode()):
            for whom, seen in self._seen(entry):
                if whom == account:
                    tree.take(index, seen)
        return tree, signed, note

    def _section(self, log: str, account: str, since: int) -> Section:
        directory = self._root / log
        tree, signed, note = self._fresh(log, account)
        head = tree.head(signed.origin, signed.size, signed.root, tuple(self.logs()))
        if since > head.entries:
            raise InvalidRequest(f"The log {log} has {head.entries} entries of the account, not {since}.")
        proof = consistency_proof(since, head.entries, tree.read)
        signature = self._sign(name(head.origin, account), head.text())
        try:
            pruned = self._disk.read(directory / prune.FILE)
        except FileNotFoundError:
            pruned = b""
        return Section(log, head.entries, signature, note, tuple(proof), pruned)

    def _rows(self, log: str, account: str, first: int, limit: int) -> list[Row]:
        directory = self._root / log
        tree, signed, _ = self._fresh(log, account)
        rows: list[Row] = []
        bundle, frames = -1, None
        for index, leaf in tree.leaves(first, limit):
            number, place = divmod(index, TILE_WIDTH)
            if number != bundle:
                bundle, width = number, partial_width(signed.size, 0, number)
                frames = prune.kept(self._disk, directory, number, width)
            seen = None if frames is None else dict(self._seen(frames[place][2:])).get(account)
            rows.append(Row(index, leaf, seen))
        return rows


def taken_in(disk: Disk, directory: Path) -> int:
    """How many of a log's entries are in the trees of all accounts."""
    try:
        return int(disk.read(directory / FOLDER / _POSITION))
    except FileNotFoundError:
        return 0
    except ValueError:
        raise Damaged(0, f"{FOLDER}/{_POSITION}", "it is not a number") from None


def entries(
    disk: Disk, directory: Path, start: int, stop: int, size: int, holding: bytes = b""
) -> Iterator[tuple[int, bytes]]:
    """Entries that hold some bytes, with their indexes, of a log whose checkpoint covers ``size``.

    Those that were pruned are passed over.
    """
    for bundle in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
        frames = prune.kept(disk, directory, bundle, partial_width(size, 0, bundle))
        for index, frame in enumerate(frames or (), bundle * TILE_WIDTH):
            if start <= index < stop and holding in frame:
                yield index, frame[2:]


def named(disk: Disk, directory: Path, verifier: Verifier) -> set[str]:
    """The logs that the account heads beside a log say there are; ``verifier`` goes by the log's origin.

    A head that cannot be read, or is not signed, says nothing here: `check` tells what is wrong with it.
    """
    logs: set[str] = set()
    with suppress(OSError):
        for account in disk.names(directory / FOLDER):
            with suppress(FileNotFoundError, NotADirectoryError, InvalidNote):
                note = disk.read(directory / FOLDER / account / checkpoint.FILE)
                logs.update(read_head(note, verifier.named(name(verifier.name, account))).logs)
    return logs


def check(disk: Disk, directory: Path, verifier: Verifier, seen: Seen, kept: Iterable[bytes] = ()) -> int:
    """Make every account's tree of a log anew and compare; returns how many heads were checked.

    ``verifier`` goes by the log's origin, and the log itself must have been verified. ``kept`` are further heads to
    check, such as accounts have been given. Raises `Damaged` for the first entry that is in one and not in the other.
    The log may be in use meanwhile.
    """
    given = tuple(kept)
    while True:
        pruned = prune.stated(disk, directory)
        try:
            return _check(disk, directory, verifier, seen, given, pruned)
        except Damaged:
            if prune.stated(disk, directory) == pruned:
                raise


def _check(
    disk: Disk, directory: Path, verifier: Verifier, seen: Seen, kept: Iterable[bytes], pruned: prune.Pruned
) -> int:
    trials: dict[str, _Trial] = {}
    for account in disk.names(directory / FOLDER):
        file = f"{FOLDER}/{account}/{checkpoint.FILE}"
        try:
            head, tree = _steady_tree(disk, directory, account, verifier)
        except (FileNotFoundError, NotADirectoryError):
            continue  # one that is being made, or no tree
        except InvalidNote as error:
            raise Damaged(0, file, str(error)) from None
        trials[account] = _Trial(file, pruned, head, tree)
    count = len(trials)
    for note in kept:
        try:
            called = read_note(note)[0].partition("\n")[0]
            head = read_head(note, verifier.named(called))
        except InvalidNote as error:
            raise Damaged(0, "an account's head", str(error)) from None
        if head.origin == verifier.name:
            count += 1
            trials.setdefault(head.account, _Trial("an account's head", pruned)).pending.append(head)
    size = max((head.size for trial in trials.values() for head in trial.pending), default=0)
    for index, entry in entries(disk, directory, 0, size, covered(disk, directory)):
        for account, view in seen(entry):
            if account in trials:
                trials[account].meet(index, leaf_of(index, view))
    for trial in trials.values():
        trial.end()
    return count


def _steady_tree(disk: Disk, directory: Path, account: str, verifier: Verifier) -> tuple[Head, _Tree]:
    """A stored head and its tree; read again when an update has overtaken the look."""
    path = directory / FOLDER / account / checkpoint.FILE
    attempt = 1
    while True:
        note = disk.read(path)
        head = read_head(note, verifier.named(name(verifier.name, account)))
        try:
            tree = _Tree(disk, directory, account)
        except Damaged:
            if attempt == _ATTEMPTS or disk.read(path) == note:
                raise
        else:
            if disk.read(path) == note or attempt == _ATTEMPTS:
                return head, tree
        attempt += 1


class _Trial:
    """Compares one account's heads and stored tree with what the log has."""

    def __init__(
        self, file: str, pruned: prune.Pruned, head: Head | None = None, tree: _Tree | None = None
    ) -> None:
        self._file = file
        self._pruned = pruned
        self._size = 0 if head is None else head.size
        self._stored = iter(()) if tree is None else _all_leaves(tree)
        self._next = next(self._stored, None)
        self._truth = Frontier()
        self.pending: list[Head] = [] if head is None else [head]

    def meet(self, index: int, leaf: bytes) -> None:
        """The log has an entry that concerns the account."""
        self._skip(index)
        if index < self._size:
            if self._next is None or self._next[0] != index:
                raise Damaged(index, self._file, "this entry is not in the account's tree")
            if self._next[1] != leaf:
                raise Damaged(index, self._file, "the account's tree has another entry in this place")
            self._next = next(self._stored, None)
        self._grow(index, leaf)

    def end(self) -> None:
        """The log has no more."""
        self._skip(None)
        self._settle(None)

    def _skip(self, until: int | None) -> None:
        """Of what was pruned nobody can say any more whom it concerned: there the stored tree is all there is."""
        while self._next is not None and (until is None or self._next[0] < until):
            index, leaf = self._next
            if index // TILE_WIDTH not in self._pruned:
                raise Damaged(index, self._file, "the account's tree has an entry that does not concern it")
            self._grow(index, leaf)
            self._next = next(self._stored, None)

    def _grow(self, index: int, leaf: bytes) -> None:
        self._settle(index)
        self._truth.append(leaf)

    def _settle(self, until: int | None) -> None:
        """Check the heads of sizes that are reached."""
        for head in [head for head in self.pending if until is None or head.size <= until]:
            self.pending.remove(head)
            if (head.entries, head.root) != (self._truth.size, self._truth.root()):
                problem = (
                    f"the head signs {head.entries} entries of the account {head.account} before this one, whose root "
                    f"is not that of the {self._truth.size} which the log has"
                )
                raise Damaged(head.size, self._file, problem)


def _all_leaves(tree: _Tree) -> Iterator[tuple[int, bytes]]:
    for first in range(0, tree.frontier.size, TILE_WIDTH):
        yield from tree.leaves(first, TILE_WIDTH)


def _write(disk: Disk, path: Path, data: bytes) -> None:
    """A small file, all of it or none."""
    temporary = path.parent / _TEMPORARY
    file = disk.create(temporary)
    try:
        file.write(data, 0)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync(path.parent)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _parse(text: str, expected: str) -> Head:
    """A head from its text."""
    lines = text.split("\n")
    origin, slash, account = expected.rpartition(f"/{FOLDER}/")
    try:
        if len(lines) != _LINES + 1 or lines[0] != expected or not slash or lines[5]:
            raise ValueError
        log, size, log_root = lines[3].split(" ")
        word, *logs = lines[4].split(" ")
        head = Head(
            origin,
            account,
            int(lines[1]),
            base64.b64decode(lines[2], validate=True),
            int(size),
            base64.b64decode(log_root, validate=True),
            tuple(logs),
        )
        if head.text() != text or (log, word) != ("log", "logs") or len(head.root) != HASH_BYTES:
            raise ValueError
    except ValueError:
        message = f"it is not the head of {expected}"
        raise InvalidNote(message) from None
    return head
