"""Other people's tools for transparency logs take ours for what they are: aics-tlog verifies, aics-witness witnesses.

Both need Python 3.12 or newer and are installed into an environment of their own, outside this project's. Where there
is no such Python, or no registry, the tests are skipped, and say so.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.audit.disk import LocalDisk
from keystead.audit.log import Log
from keystead.audit.proof import prove, prove_consistency
from keystead.audit.verify import verify
from keystead.audit.witness import Submission
from keystead.crypto.note import CosignatureVerifier, NoteSigner
from keystead.jobs.witnesses import Carrier, Found, submit
from keystead.testing.audit import TurnedClock

pytestmark = pytest.mark.long

PACKAGES = ("aics-tlog==0.2.1", "aics-witness==0.1.0")
SIGNER = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"k"))
SIZE = 70_000  # three levels of tiles
VERIFY = """
import base64, json, sys
from pathlib import Path
import aics_tlog as a
from aics_tlog.verified import audit_tiles

asked = json.load(sys.stdin)
note = a.parse_note(asked["note"])
key = a.parse_vkey(asked["vkey"])
witnesses = [a.parse_vkey(each) for each in asked["witnesses"]]
result = a.verify_checkpoint(note, key, witnesses, quorum=len(witnesses))
assert result.ok, result
signed = a.parse_checkpoint(note.text)
report = audit_tiles(a.HttpTileReader([Path(asked["directory"]).as_uri() + "/"]), signed.size, signed.root)
entry, hashes = asked["entry"].encode(), [base64.b64decode(each) for each in asked["inclusion"]]
old = a.parse_checkpoint(a.parse_note(asked["old"]).text)
path = [base64.b64decode(each) for each in asked["consistency"]]
print(json.dumps({
    "size": report.size,
    "bundles": report.bundles,
    "included": a.verify_leaf_inclusion(entry, asked["index"], signed.size, hashes, signed.root),
    "not_included": a.verify_leaf_inclusion(entry + b"x", asked["index"], signed.size, hashes, signed.root),
    "consistent": a.verify_consistency(old.size, signed.size, old.root, signed.root, path),
}))
"""


def newer_python() -> str:
    """A Python of at least 3.12; empty if there is none."""
    named = [shutil.which(f"python3.{minor}") or "" for minor in range(20, 11, -1)]
    for place in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        named += [str(each) for each in sorted(place.glob("*3.1[2-9]*/bin/python3"), reverse=True)]
    for each in filter(None, named):
        check = "import sys; sys.exit(sys.version_info < (3, 12))"
        if subprocess.run([each, "-c", check], check=False, capture_output=True).returncode == 0:
            return each
    return ""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has their packages."""
    python = newer_python()
    if not python:
        pytest.skip("NOT TESTED against aics-tlog and aics-witness: there is no Python 3.12 or newer here")
    place = tmp_path_factory.mktemp("theirs")
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(
            f"NOT TESTED against {' and '.join(PACKAGES)}: they cannot be installed: {done.stderr[-300:]}"
        )
    return place / "bin"


class Grown:
    """A log on the real disk, signed at several sizes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = TurnedClock()
        self.log = Log.open(
            root / "w0",
            origin="keystead-test/w0",
            signer=SIGNER,
            disk=LocalDisk(),
            clock=self.clock,
            random=os.urandom,
            notice=lambda notice: f"notice {notice.event}".encode(),
            segment_bytes=1 << 20,
        )

    def grow(self, size: int) -> bytes:
        """Records up to a size, and its checkpoint."""
        while self.log.size < size:
            for index in range(self.log.size, min(size, self.log.size + 500)):
                self.log.append(b'{"record":%d}' % index)
            self.log.commit()
            if self.log.size % 20_000 == 0:
                self.publish()
        self.publish()
        return (self.root / "w0/checkpoint").read_bytes()

    def publish(self) -> None:
        """Have the log sign what it holds."""
        self.clock.time += 2
        self.log.tend()


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[Grown]:
    """Such a log."""
    made = Grown(tmp_path / "audit")
    yield made
    made.log.close()


def verified(theirs: Path, grown: Grown, old: bytes, witnesses: list[str]) -> Any:
    """What their verifier says of the tiles, the checkpoint and two proofs."""
    disk, index = LocalDisk(), 12_345
    inclusion = prove(disk, grown.root, f"keystead-test/w0/{index}")
    consistency = prove_consistency(disk, grown.root, old)
    asked = {
        "note": inclusion.checkpoint,
        "vkey": SIGNER.named("keystead-test/w0").vkey,
        "witnesses": witnesses,
        "directory": str(grown.root / "w0"),
        "entry": inclusion.entry,
        "index": index,
        "inclusion": inclusion.hashes,
        "old": old.decode(),
        "consistency": consistency.hashes,
    }
    done = subprocess.run(
        [str(theirs / "python"), "-c", VERIFY],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_independent_verifier_accepts_tiles_checkpoint_and_proofs(theirs: Path, grown: Grown) -> None:
    """Every tile and bundle up to the signed root, an entry, and an older checkpoint; a changed entry it does not."""
    old = grown.grow(30_001)
    grown.grow(SIZE)
    assert verified(theirs, grown, old, []) == {
        "size": SIZE,
        "bundles": -(-SIZE // 256),
        "included": True,
        "not_included": False,
        "consistent": True,
    }
    bundle = grown.root / "w0/tile/entries/017"
    bundle.write_bytes(bundle.read_bytes().replace(b'"record":4400', b'"record":4401'))
    with pytest.raises(AssertionError, match="entries"):
        verified(theirs, grown, old, [])


def test_an_independent_witness_cosigns_and_refuses_a_fork(
    theirs: Path, grown: Grown, tmp_path: Path
) -> None:
    """Its cosignatures are taken by our verifier and by theirs; of another history it will not have any."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    config = ["--config", str(tmp_path / "witness.json")]
    program = str(theirs / "aics-witness")
    options = ["--name", "witness.example/w1", "--listen", f"127.0.0.1:{port}"]
    said = subprocess.run(
        [program, "init", *config, *options], check=True, capture_output=True, text=True
    ).stdout
    (vkey,) = [word for word in said.split() if word.startswith("witness.example/w1+")]
    own = SIGNER.named("keystead-test/w0").vkey
    subprocess.run([program, "add-log", *config, "--origin", "keystead-test/w0", "--vkey", own], check=True)
    with subprocess.Popen([program, "serve", *config], stderr=subprocess.DEVNULL) as running:
        try:
            _until_there(port)
            post = Carrier(f"http://127.0.0.1:{port}", ssl.create_default_context(), TurnedClock())
            verifier = CosignatureVerifier.from_vkey(vkey)
            submission = Submission(grown.root, "w1", verifier, LocalDisk())
            old = b""
            for size in (3, 300, 20_000):
                old = grown.grow(size)
                assert submit(submission, "w0", post).found is Found.COSIGNED
            assert verify(grown.root, SIGNER.vkey, witnesses=[vkey]).logs[0].cosigned[0].size == 20_000
            told = verified(theirs, grown, old, [vkey])
            assert (told["size"], told["consistent"]) == (20_000, True)

            forked = Grown(tmp_path / "forked")
            forked.log.append(b"another beginning")
            forked.grow(20_000)
            other = Submission(forked.root, "w1", verifier, LocalDisk())
            assert submit(other, "w0", post).found is Found.FORKED
            forked.grow(20_010)
            assert submit(other, "w0", post).found is Found.FORKED
            forked.log.close()
            shorter = Grown(tmp_path / "shorter")
            shorter.grow(300)
            assert submit(Submission(shorter.root, "w1", verifier, LocalDisk()), "w0", post).found is (
                Found.ROLLED_BACK
            )
            shorter.log.close()
        finally:
            running.terminate()


def _until_there(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("their witness did not start")
