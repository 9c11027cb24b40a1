"""Two real servers, one the other's witness: cosigned, verified, and a copy that went its own way found out."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystead.app import witnessing
from keystead.app.installation import Installation, SystemClock, local_secrets
from keystead.config import Config
from keystead.crypto.random import system_random

pytestmark = pytest.mark.e2e


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Pair:
    """A server whose logs another one witnesses."""

    def __init__(self, make: Callable[[Path], Any], folder: Path) -> None:
        self.log, self.witness = (make(folder / name / "data") for name in ("log", "witness"))
        for service in (self.log, self.witness):
            service.data.parent.mkdir()
            service.workers = 1
            service.found()
        self.key = (self.log.data / "audit.vkey").read_text().strip()
        config = Config(data=self.witness.data)
        opened = Installation.open(config, local_secrets({}), SystemClock(), system_random)
        self.witness_key = witnessing.signer(opened).verifier.vkey
        self.witness.serve(more=f"[witness]\nlogs = {json.dumps([self.key])}")
        self.serve()

    def serve(self) -> None:
        """Start the server that is witnessed."""
        self.log.serve(
            more=f"""
            [[witness_by]]
            name = "other"
            url = "{self.witness.control_url}"
            vkey = "{self.witness_key}"
            seconds = 1
            """
        )

    def work(self, number: int) -> None:
        """Some requests."""
        for _ in range(number):
            self.log.client().list_keys()

    def verify(self, *more: str) -> Ended:
        """Verify the logs as an auditor does, with the witness's key."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "keystead", "verify", str(self.log.audit)),
                *("--key", self.key, "--witness", self.witness_key, *more),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def told(self) -> dict[str, Any]:
        """What the server says of its witness."""
        ready = self.log.look("/readyz")
        assert ready.status == 200  # a witness is a warning, never a red light
        told: dict[str, Any] = ready.value["witnesses"]["other"]
        return told

    def seen(self) -> int:
        """Up to where the witness has seen the worker's log, as the file beside the log says."""
        path = self.log.audit / "w0/cosigned/other"
        return int(path.read_bytes().split(b"\n")[1]) if path.exists() else -1


@pytest.fixture
def pair(own_service: Any, tmp_path: Path) -> Iterator[Pair]:
    """Both, running."""
    watched = Pair(type(own_service), tmp_path)
    yield watched
    for service in (watched.log, watched.witness):
        if service.process.poll() is None:
            service.kill()


def test_a_log_is_cosigned_and_a_fork_of_it_is_found_out(pair: Pair, tmp_path: Path) -> None:
    """A restored copy that goes on by itself is refused by the witness, and verification says which log and where."""
    pair.work(5)
    first = pair.log.until(lambda: pair.seen() if pair.seen() >= 5 else 0)
    pair.log.until(lambda: pair.verify().code == 0)
    assert "cosigned by keystead-" in pair.verify().out
    assert pair.told()["state"] == "green"
    assert pair.verify("--ask", pair.witness.control_url).code == 0
    pair.log.stop()
    copy = tmp_path / "copy"
    shutil.copytree(pair.log.data, copy)
    agreed = pair.seen()

    # It goes on, and is seen; then the copy takes its place.
    pair.serve()
    pair.work(20)
    pair.log.until(lambda: pair.seen() >= agreed + 20)
    pair.log.stop()
    kept = tmp_path / "kept"
    kept.write_bytes((pair.log.audit / "w0/cosigned/other").read_bytes())
    large = pair.seen()
    shutil.rmtree(pair.log.data)
    shutil.copytree(copy, pair.log.data)
    pair.serve()
    pair.work(3)

    pair.log.until(lambda: "rolled back" in pair.told()["trouble"])
    ended = pair.verify("--ask", pair.witness.control_url)
    assert ended.code == 4
    assert "the log was rolled back" in ended.err
    pair.work(large - agreed + 5)
    pair.log.until(lambda: "forked" in pair.told()["trouble"])
    ended = pair.log.until(
        lambda: _damaged(pair.verify("--ask", pair.witness.control_url, "--json"), "forked")
    )
    damage = {one["origin"].rpartition("/")[2]: one for one in json.loads(ended.out)["damage"]}
    assert damage["w0"]["record"] == agreed
    assert f"between record {agreed} and there" in damage["w0"]["problem"]
    ended = pair.verify("--since", str(kept))
    assert ended.code == 4
    assert (
        f"its first {large} records are not those of the one that was kept: the log was forked" in ended.err
    )
    assert "shows two histories" in pair.witness.said()
    metrics = pair.log.look("/metrics").body.decode()
    assert 'keystead_witness_lag_entries{witness="other",log="w0"}' in metrics
    assert first <= agreed
    digest = sha256(kept.read_bytes().split(b"\n")[0]).hexdigest()
    assert pair.witness.look(f"/{digest}/checkpoint").body.split(b"\n")[1] == b"%d" % large


def _damaged(ended: Ended, word: str) -> Ended | None:
    return ended if ended.code == 4 and word in ended.out else None


def test_a_witness_forgets_nothing_when_it_is_killed(pair: Pair) -> None:
    """Killed at any moment, it knows at least what it has said; a log whose witness is away goes on."""
    for _ in range(3):
        before = pair.seen()
        pair.work(5)
        pair.log.until(lambda: pair.seen() > before)  # noqa: B023 - it is used up in the same round
        pair.witness.kill()
        pair.work(2)
        pair.log.until(lambda: pair.told()["state"] == "yellow")
        assert "cannot be reached" in pair.told()["trouble"]
        pair.witness.serve(more=f"[witness]\nlogs = {json.dumps([pair.key])}")
    now = pair.seen()
    pair.work(1)
    pair.log.until(lambda: pair.seen() > now)
    assert pair.verify("--ask", pair.witness.control_url).code == 0


def test_a_log_whose_key_was_replaced_is_witnessed_on(pair: Pair) -> None:
    """While both keys sign, the witness knows one of them; then it must be told the new one."""
    pair.work(3)
    pair.log.until(lambda: pair.seen() >= 3)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "keystead", "audit", "rotate-key", "--json"),
            *("--config", str(pair.log.config_file)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    before = pair.seen()
    pair.work(3)
    pair.log.until(lambda: pair.seen() >= before + 4)  # with the record of the new key
    new = json.loads(done.stdout)["new"]
    assert json.loads(done.stdout)["old"] == pair.key
    text = (pair.log.audit / "w0/cosigned/other").read_text()
    assert text.count("\u2014") == 3
    pair.log.until(lambda: pair.verify().code == 0)
    pair.key = new
    assert pair.verify().code == 0
