"""Checks a bundle of evidence from Keystead's audit: run ``python3 check.py --key VERIFIER-KEY`` where it was unpacked.

It needs Python 3.9 or newer and the package `cryptography`, and nothing of Keystead. What it proves: each event was in
the audit log that the bundle says, at that place, when the log's checkpoint was signed with the verifier key, or with
one that this key's owner has said replaces it. Take the key from somebody you trust, not from the bundle.

An event that the bundle lists as unproven is only claimed. It exits with 0 when all is well, 1 when something is wrong,
and 3 when there are such events and it was not told ``--allow-unproven``.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
LEAF, NODE = b"\x00", b"\x01"
CHECKED = ("events.jsonl", "proofs.jsonl", "disclosed.json")
UNPROVEN = 3


class Wrong(Exception):
    """Something does not check out; the text says what."""


def check(folder: Path, vkey: str) -> "tuple[int, dict[str, str]]":
    """Check a bundle: how many events are proven, and which are not, with the reason; or raises `Wrong`."""
    # (1) The files are those of the manifest.
    manifest = files_hold(folder)
    events, proofs = named(folder / "events.jsonl"), named(folder / "proofs.jsonl")
    unproven = {each["event"]: each["why"] for each in manifest["unproven"]}
    # (2) Events, proofs and manifest speak of the same: each event has its proof or is listed, and no other is.
    if len(events) != manifest["events"]:
        raise Wrong(f"there are {len(events)} events, and {manifest['events']} by the manifest")
    for name in {**proofs, **unproven}:
        if name not in events:
            raise Wrong(
                f"there is no event {name}, but the bundle has a proof of it or a reason why it has none"
            )
        if name in proofs and name in unproven:
            raise Wrong(f"the event {name} is listed as unproven, and has a proof")
    # (3) What is disclosed is what was committed to.
    for commitment, of in json.loads((folder / "disclosed.json").read_text(encoding="utf-8")).items():
        made_of = bytes.fromhex(of["salt"]) + of["member"].encode() + b"\0" + of["value"].encode()
        if commitment != f"sha256:{hashlib.sha256(made_of).hexdigest()}":
            raise Wrong(f"{of['value']!r} is not what {commitment} is a commitment to")
    # (4) Each event is what its proof proves.
    for name, event in events.items():
        if name in unproven:
            continue
        if name not in proofs:
            raise Wrong(f"there is no proof of {name}")
        if {**proof_holds(proofs[name], vkey), "event": name} != event:
            raise Wrong(f"the event {name} is not what was written")
    return len(events) - len(unproven), unproven


def files_hold(folder: Path) -> "dict[str, Any]":
    """The manifest, whose files are there as it says."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name in CHECKED:
        if name not in manifest["files"]:
            raise Wrong(f"the manifest does not name {name}")
    for name, digest in manifest["files"].items():
        if Path(name).name != name:
            raise Wrong(f"the manifest names {name!r}, which is no file of a bundle")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Wrong(f"{name} is not the file that the manifest names")
    return manifest


def named(path: Path) -> "dict[str, dict[str, Any]]":
    """The lines of a file by the event that each is about, of which there is one each."""
    found: dict[str, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").split("\n"):
        if text:
            line = json.loads(text)
            if line["event"] in found:
                raise Wrong(f"{path.name} has {line['event']} twice")
            found[line["event"]] = line
    return found


def proof_holds(proof: "dict[str, Any]", vkey: str) -> "dict[str, Any]":
    """The entry that a proof proves."""
    entry = proof["entry"].encode()
    text, signatures = note_parts(proof["checkpoint"])
    origin, size, root = text.split("\n")[:3]
    # (1) The checkpoint is signed, by the key that is known or one that came after it.
    name, key = read_vkey(vkey)
    if origin not in (name, f"{name}/{origin.rpartition('/')[2]}"):
        raise Wrong(f"the checkpoint is of {origin}, the key of {name}")
    if not any(signed(text, signatures, origin, each) for each in keys_after(key, proof["keys"])):
        raise Wrong(f"the checkpoint of {proof['event']} is not signed by the key")
    # (2) The event is named as it stands in the log.
    if proof["event"] != f"{origin}/{int(proof['index'])}":
        raise Wrong(f"the proof of {proof['event']} is of another place")
    # (3) The entry's hash leads to the root (RFC 9162, section 2.1.3.2).
    if climb(entry, proof["index"], int(size), proof["hashes"]) != base64.b64decode(root):
        raise Wrong(f"the entry of {proof['event']} is not under the signed root")
    found: dict[str, Any] = json.loads(entry)
    return found


def climb(entry: bytes, index: int, size: int, hashes: "list[str]") -> bytes:
    """The root that an entry and the hashes beside its way lead to."""
    if not 0 <= index < size:
        raise Wrong("the entry is beyond the log's end")
    node = hashlib.sha256(LEAF + entry).digest()
    last = size - 1
    for text in hashes:
        other = base64.b64decode(text)
        if last == 0:
            raise Wrong("the proof has too many hashes")
        if index & 1 or index == last:
            node = hashlib.sha256(NODE + other + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(NODE + node + other).digest()
        index, last = index >> 1, last >> 1
    if last:
        raise Wrong("the proof has too few hashes")
    return node


def keys_after(key: bytes, statements: "list[str]") -> "list[bytes]":
    """A key and those that followed it, each by a statement that both keys have signed."""
    found = [key]
    for statement in statements:
        text, signatures = note_parts(statement)
        lines = text.split("\n")
        (old_name, old), (new_name, new) = read_vkey(lines[4]), read_vkey(lines[5])
        if old != found[-1] or lines[0] != "keystead audit key v1":
            continue
        if signed(text, signatures, old_name, old) and signed(text, signatures, new_name, new):
            found.append(new)
    return found


def note_parts(note: str) -> "tuple[str, list[str]]":
    """A signed note's text and its signature lines (C2SP signed-note)."""
    text, gap, tail = note.rpartition("\n\n")
    if not gap:
        raise Wrong("there is no signed note where one should be")
    return text + "\n", tail.splitlines()


def signed(text: str, signatures: "list[str]", name: str, key: bytes) -> bool:
    """Whether a key has signed a text under that name."""
    key_id = hashlib.sha256(name.encode() + b"\n" + ED25519 + key).digest()[:4]
    for line in signatures:
        dash, signer, encoded = [*line.split(" "), "", "", ""][:3]
        data = base64.b64decode(encoded)
        if dash == "\u2014" and signer == name and data[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(data[4:], text.encode())
            except InvalidSignature:
                return False
            return True
    return False


def read_vkey(vkey: str) -> "tuple[str, bytes]":
    """The name and the key in a verifier key."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    data = base64.b64decode(encoded)
    if hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex() != key_id or data[:1] != ED25519:
        raise Wrong("the verifier key is not whole")
    return name, data[1:]


def main(arguments: "list[str] | None" = None) -> int:
    """Check the bundle beside this file, and say how it is."""
    parser = argparse.ArgumentParser(description="Check a bundle of evidence from Keystead's audit.")
    parser.add_argument("--key", required=True, help="the verifier key, or a file that holds it")
    parser.add_argument("--folder", default=str(Path(__file__).resolve().parent), help="where the bundle is")
    parser.add_argument("--allow-unproven", action="store_true", help="pass although events have no proof")
    given = parser.parse_args(arguments)
    vkey = Path(given.key).read_text(encoding="utf-8") if Path(given.key).is_file() else given.key
    try:
        count, unproven = check(Path(given.folder), vkey)
    except (Wrong, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        say(f"WRONG: {error}")
        return 1
    refused = bool(unproven) and not given.allow_unproven
    if refused:
        say(
            f"UNPROVEN: {len(unproven)} of {count + len(unproven)} events have no proof: nobody can tell whether"
        )
        say("they were ever written. Whoever takes them on trust says --allow-unproven.")
        say(f"The other {count} events are in their logs as the bundle has them")
    else:
        say(f"OK: {count} events are in their logs as the bundle has them")
    for name, why in unproven.items():
        say(f"not proven: {name}: {why}")
    return UNPROVEN if refused else 0


def say(text: str) -> None:
    """Write a line; what a bundle says cannot make two of it."""
    sys.stdout.write("".join(each if each.isprintable() else "?" for each in text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
