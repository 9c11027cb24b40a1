"""Checks a bundle of evidence from Keystead's audit: run ``python3 check.py --key VERIFIER-KEY`` where it was unpacked.

It needs Python 3.9 or newer and the package `cryptography`, and nothing of Keystead. What it proves: each event was in
the audit log that the bundle says, at that place, when the log's checkpoint was signed with the verifier key, or with
one that this key's owner has said replaces it. Take the key from somebody you trust, not from the bundle.
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


class Wrong(Exception):
    """Something does not check out; the text says what."""


def check(folder: Path, vkey: str) -> int:
    """Check everything in a bundle; returns how many events are proven, or raises `Wrong`."""
    # (1) The files are those of the manifest.
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, digest in manifest["files"].items():
        if Path(name).name != name:
            raise Wrong(f"the manifest names {name!r}, which is no file of a bundle")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Wrong(f"{name} is not the file that the manifest names")
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    proofs = [json.loads(line) for line in (folder / "proofs.jsonl").read_text(encoding="utf-8").splitlines()]
    proven = {proof["event"]: proof_holds(proof, vkey) for proof in proofs}
    unproven = {each["event"] for each in manifest["unproven"]}
    # (2) What is disclosed is what was committed to.
    for commitment, of in json.loads((folder / "disclosed.json").read_text(encoding="utf-8")).items():
        made_of = bytes.fromhex(of["salt"]) + of["member"].encode() + b"\0" + of["value"].encode()
        if commitment != f"sha256:{hashlib.sha256(made_of).hexdigest()}":
            raise Wrong(f"{of['value']!r} is not what {commitment} is a commitment to")
    # (3) Each event is what its proof proves.
    for event in events:
        name = event.pop("event")
        if name in unproven:
            continue
        if name not in proven:
            raise Wrong(f"there is no proof of {name}")
        if event != proven[name]:
            raise Wrong(f"the event {name} is not what was written")
    return len(proven)


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
    if proof["event"] != f"{origin}/{proof['index']}":
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
    given = parser.parse_args(arguments)
    vkey = Path(given.key).read_text(encoding="utf-8") if Path(given.key).is_file() else given.key
    try:
        count = check(Path(given.folder), vkey)
    except (Wrong, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        sys.stdout.write(f"WRONG: {error}\n")
        return 1
    manifest = json.loads((Path(given.folder) / "manifest.json").read_text(encoding="utf-8"))
    sys.stdout.write(f"OK: {count} events are in their logs as the bundle has them\n")
    for each in manifest["unproven"]:
        sys.stdout.write(f"not proven: {each['event']}: {each['why']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
