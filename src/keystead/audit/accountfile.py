"""An account's entries in a file, and the proof that these are all: to be checked with the verifier key alone.

The file is lines of JSON. The first says whose it is and has, for each log, the signed account head (`accounts`) and
the checkpoint that it is as of. Then come the account's entries, each with its log and index, and the hashes of its
tree:

    {"format":"keystead-account-log-v1","account":"111122223333","keys":[],"logs":[{"log":"w0","head":...}]}
    {"log":"w0","index":5,"entry":"{...}"}
    {"log":"w0","leaves":"<base64>"}
    {"log":"w0","disclosed":{"sha256:...":{"member":"source","value":"192.0.2.7","salt":"<hex>"}}}

The last is there where entries hold commitments (`keystead.core.subject`) whose values were kept when it was fetched.
The hashes prove nothing that the head does not, but by them the first entry is found that is not what the head signs.
A file of heads alone has only the first line. ``docs/formats/audit-account-heads.md`` describes all members.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from keystead.audit import logkeys, prune
from keystead.audit.accounts import Head, Seen, leaf_of, name, read_head
from keystead.audit.checkpoint import read_checkpoint
from keystead.audit.prune import NOTHING, Pruned
from keystead.core import subject
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH, Frontier, InvalidProof, verify_consistency
from keystead.crypto.note import InvalidNote, Keyring, NoteVerifier

FORMAT: Final = "keystead-account-log-v1"


class _Log(msgspec.Struct, forbid_unknown_fields=True):
    log: str
    entries: int
    head: str
    checkpoint: str
    since: list[str] = []
    since_entries: int = 0  # of the older head that ``since`` leads on from
    pruned: str = ""


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["keystead-account-log-v1"]
    account: str
    keys: list[str]
    logs: list[_Log]
    complete: bool = True  # whether the entries follow


class _Disclosed(msgspec.Struct, forbid_unknown_fields=True):
    member: str
    value: str
    salt: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    log: str
    index: int = -1
    entry: str | None = None
    leaves: str = ""
    disclosed: dict[str, _Disclosed] | None = None


class Wrong(Exception):
    """A file is not what the heads sign. ``record`` is the index, in the log, of the first entry that is not."""

    def __init__(self, log: str, record: int, problem: str) -> None:
        super().__init__(f"{log}: {problem}" if log else problem)
        self.log = log
        self.record = record
        self.problem = problem


class Checked(NamedTuple):
    """What a file proves of one log."""

    origin: str
    account: str
    entries: int  # of the account, all of them
    size: int  # of the log
    shown: int  # entries that are in the file
    pruned: int  # entries of which only the hash is left
    since: int  # entries of the older head that it goes on from


def check(read: Callable[[], Iterable[bytes]], vkey: str, seen: Seen, since: bytes = b"") -> list[Checked]:
    """Check a file with a verifier key of the instance's; raises `Wrong`, or `InvalidNote` for a key that is none.

    ``read`` gives the file's lines, twice. ``since`` is the first line of an older file, which this one must go on
    from. (1) Each head's signature, and that its checkpoint is the log's. (2) That no log which the heads name is
    missing. (3) That the hashes in the file make the heads' roots. (4) Each entry against its hash. (5) The older file.
    """
    known = NoteVerifier.from_vkey(vkey)
    header = _header(read())
    statements = [note.encode() for note in header.keys]
    try:
        ring, whole = logkeys.follow(known, statements), logkeys.around(known, statements)
    except InvalidNote as error:
        raise Wrong("", 0, f"its statements about keys do not hold: {error}") from None
    older = _older(since, header.account, whole) if since else {}
    heads = {part.log: _signed(part, header.account, ring) for part in header.logs}
    for part in header.logs:
        for log in heads[part.log].logs:
            if log not in heads:
                raise Wrong(
                    log, 0, f"the head of {part.log} says that there is this log, which is missing here"
                )
    for log in older.keys() - heads.keys():
        raise Wrong(log, 0, "the older file has this log, which is missing here")
    leaves = _leaves(read(), heads) if header.complete else {}
    rows = _entries(read(), heads, header.account, seen) if header.complete else {}
    told = []
    for part in header.logs:
        log, head = part.log, heads[part.log]
        gone = 0
        if header.complete:
            gone = _compare(log, rows[log], leaves[log], _pruned(part, ring, head))
        before = older.get(log)
        if before is not None:
            _go_on(log, before, head, part, leaves.get(log))
        told.append(
            Checked(
                head.origin,
                header.account,
                head.entries,
                head.size,
                len(rows.get(log, ())) - gone,
                gone,
                0 if before is None else before.entries,
            )
        )
    return told


def heads_of(line: bytes) -> list[bytes]:
    """The heads in the first line of a file, unchecked; raises `Wrong`."""
    return [part.head.encode() for part in _header([line]).logs]


def _header(lines: Iterable[bytes]) -> _Header:
    try:
        header = msgspec.json.decode(next(iter(lines), b""), type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Wrong("", 0, f"it does not begin as an account's file: {error}") from None
    if len({part.log for part in header.logs}) < len(header.logs):
        raise Wrong("", 0, "it has a log twice")
    return header


def _signed(part: _Log, account: str, ring: Keyring) -> Head:
    """(1) A head, whose signature is good, as of a checkpoint whose signature is good."""
    origin = f"{ring.name}/{part.log}"
    try:
        head = read_head(part.head.encode(), ring.named(name(origin, account)))
        signed = read_checkpoint(part.checkpoint.encode(), ring.named(origin))
    except InvalidNote as error:
        raise Wrong(part.log, 0, f"its head or its checkpoint does not hold: {error}") from None
    if (signed.origin, signed.size, signed.root) != (origin, head.size, head.log_root):
        raise Wrong(part.log, 0, "its head is not as of its checkpoint")
    return head


def _older(data: bytes, account: str, ring: Keyring) -> dict[str, Head]:
    """The heads of an older file, by log."""
    header = _header([data])
    if header.account != account:
        raise Wrong("", 0, f"the older file is of the account {header.account}")
    heads = {}
    for part in header.logs:
        try:
            verifier = ring.named(name(f"{ring.name}/{part.log}", account))
            heads[part.log] = read_head(part.head.encode(), verifier)
        except InvalidNote as error:
            raise Wrong(part.log, 0, f"the older head does not hold: {error}") from None
    return heads


def _pruned(part: _Log, ring: Keyring, head: Head) -> Pruned:
    """What the log's signer says is gone."""
    if not part.pruned:
        return NOTHING
    try:
        return prune.read(part.pruned.encode(), ring.named(head.origin))
    except InvalidNote as error:
        raise Wrong(part.log, 0, f"its statement of what was pruned does not hold: {error}") from None


def _lines(lines: Iterable[bytes], heads: dict[str, Head]) -> Iterator[_Line]:
    for number, data in enumerate(lines):
        if number:
            try:
                line = msgspec.json.decode(data, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Wrong("", 0, f"line {number + 1} is not one of an account's file: {error}") from None
            if line.log not in heads:
                raise Wrong(line.log, 0, f"line {number + 1} is of a log that has no head here")
            if line.disclosed is None:
                yield line
                continue
            for commitment, made_of in line.disclosed.items():
                _check_disclosed(line.log, commitment, made_of)


def _check_disclosed(log: str, commitment: str, made_of: _Disclosed) -> None:
    """That a value is what an entry is committed to."""
    try:
        salt = bytes.fromhex(made_of.salt)
    except ValueError:
        salt = b""
    if subject.commitment(salt, made_of.member, made_of.value) != commitment:
        raise Wrong(log, 0, f"the value beside the commitment {commitment} is not what was committed to")


def _leaves(lines: Iterable[bytes], heads: dict[str, Head]) -> dict[str, list[bytes]]:
    """(3) The hashes of each tree, once they make the head's root."""
    leaves: dict[str, list[bytes]] = {log: [] for log in heads}
    for line in _lines(lines, heads):
        if line.leaves:
            try:
                data = base64.b64decode(line.leaves, validate=True)
            except ValueError:
                data = b""
            leaves[line.log] += [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    for log, head in heads.items():
        if _root(leaves[log]) != head.root or len(leaves[log]) != head.entries:
            raise Wrong(
                log,
                0,
                f"its {len(leaves[log])} hashes are not those of the {head.entries} entries that the head signs",
            )
    return leaves


def _root(leaves: Iterable[bytes]) -> bytes:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def _entries(
    lines: Iterable[bytes], heads: dict[str, Head], account: str, seen: Seen
) -> dict[str, list[tuple[int, bytes]]]:
    """The entries of each log, as index and hash; no hash where the entry was pruned."""
    rows: dict[str, list[tuple[int, bytes]]] = {log: [] for log in heads}
    for line in _lines(lines, heads):
        if line.leaves:
            continue
        if not 0 <= line.index < heads[line.log].size:
            raise Wrong(line.log, max(0, line.index), f"there is no entry {line.index} under the head")
        leaf = b""
        if line.entry is not None:
            entry = line.entry.encode()
            if dict(seen(entry)).get(account) != entry:
                raise Wrong(
                    line.log, line.index, f"the entry {line.index} does not concern the account {account}"
                )
            leaf = leaf_of(line.index, entry)
        rows[line.log].append((line.index, leaf))
    return rows


def _compare(log: str, rows: list[tuple[int, bytes]], leaves: list[bytes], pruned: Pruned) -> int:
    """(4) Each entry against its hash; returns how many were pruned."""
    gone = 0
    for place, (index, leaf) in enumerate(rows):
        due = leaves[place] if place < len(leaves) else None
        if not leaf:
            if index // TILE_WIDTH not in pruned:
                raise Wrong(
                    log, index, f"the entry {index} is left out, and no statement says that it was pruned"
                )
            gone += 1
        elif leaf != due:
            raise _named(log, rows, leaves, place)
    if len(rows) < len(leaves):
        last = rows[-1][0] if rows else -1
        raise Wrong(log, last + 1, f"{len(leaves) - len(rows)} entries after the entry {last} are missing")
    return gone


def _named(log: str, rows: list[tuple[int, bytes]], leaves: list[bytes], place: int) -> Wrong:
    """What is wrong with the first entry that does not have the hash of its place."""
    index, leaf = rows[place]
    following = rows[place + 1][1] if place + 1 < len(rows) else None
    later = leaves[place + 1] if place + 1 < len(leaves) else None
    if leaf == later and following != leaves[place]:
        return Wrong(log, index, f"an entry is missing before the entry {index}")
    if leaf in leaves:
        return Wrong(log, index, f"the entry {index} stands in another place than it should")
    if place >= len(leaves) or following == leaves[place]:
        return Wrong(log, index, f"the entry {index} was added: the head does not sign it")
    return Wrong(log, index, f"the entry {index} was changed: its hash is not the one that the head signs")


def _go_on(log: str, before: Head, head: Head, part: _Log, leaves: list[bytes] | None) -> None:
    """(5) That an older head is the beginning of this one."""
    try:
        if before.size > head.size or before.entries > head.entries:
            raise InvalidProof(f"it has {head.entries} entries, the older one {before.entries}")
        if leaves is not None:
            if _root(leaves[: before.entries]) != before.root:
                raise InvalidProof(f"its first {before.entries} entries are not those of the older one")
            return
        if part.since_entries != before.entries:
            raise InvalidProof(f"it leads on from {part.since_entries} entries, not from {before.entries}")
        proof = [base64.b64decode(node, validate=True) for node in part.since]
        verify_consistency(before.entries, head.entries, proof, before.root, head.root)
    except ValueError as error:  # `InvalidProof` is one, and so is what is not base64
        raise Wrong(log, 0, f"the account's list was taken back: {error}") from None
