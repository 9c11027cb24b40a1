"""Witnessing in an installation: its key, the logs that it knows, its own witnesses, and asking one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from keystead.app import witnessing
from keystead.app.installation import Installation, SystemClock, found, local_secrets
from keystead.audit.witness import Book
from keystead.config import Config, WitnessedBy
from keystead.core.errors import AuditDamaged, AuditUnavailable, ConfigError, InvalidRequest
from keystead.crypto.random import system_random
from keystead.jobs.witnesses import NoAnswer


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A new installation, with one log."""
    config, secrets = Config(data=tmp_path / "data"), local_secrets({})
    found(config, "file", secrets, SystemClock(), system_random, path=str(tmp_path / "root.key"))
    return Installation.open(config, secrets, SystemClock(), system_random)


@pytest.fixture
def serve() -> Iterator[Callable[[Book], str]]:
    """Puts a witness on the network; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(book: Book) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                said = book.consider(body)
                status = {"cosigned": 200, "unknown-log": 404, "stale": 409, "inconsistent": 422}[
                    said.verdict
                ]
                self.send_response(status)
                self.send_header("content-type", "text/x.tlog.size" if status == 409 else "text/plain")
                self.end_headers()
                self.wfile.write(said.text.encode())

            @override
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_key_of_a_witness_is_made_once(installation: Installation) -> None:
    """It is named after the installation, stays the same, and is not the audit's."""
    vkey = witnessing.signer(installation).verifier.vkey
    assert vkey.startswith(f"keystead-{installation.instance}/witness+")
    assert witnessing.signer(installation).verifier.vkey == vkey
    assert installation.vkey.rpartition("+")[2] not in vkey


def test_an_installation_is_a_witness_only_if_it_is_told_to(installation: Installation) -> None:
    """Without logs to witness it has no book; with them one, which another process cannot have too."""
    assert witnessing.book(installation) is None
    installation.config = replace(installation.config, witnessed=(installation.vkey,))
    book = witnessing.book(installation)
    assert book is not None
    with pytest.raises(AuditUnavailable):
        witnessing.book(installation)
    book.close()


@pytest.mark.parametrize("setting", ["witness.logs", "witness_by.vkey"])
def test_a_key_that_is_none_is_refused_at_the_start(installation: Installation, setting: str) -> None:
    """And the setting is named."""
    witness = WitnessedBy(
        name="other", url="http://127.0.0.1:1", vkey=witnessing.signer(installation).verifier.vkey
    )
    installation.config = replace(installation.config, witnessed=(installation.vkey,), witnesses=(witness,))
    witnessing.check(installation)
    (watcher,) = witnessing.watchers(installation)
    assert (watcher.name, watcher.seconds, watcher.submission.logs()) == ("other", 10.0, ["control"])
    if setting == "witness.logs":
        installation.config = replace(installation.config, witnessed=(witness.vkey,))
    else:
        installation.config = replace(
            installation.config, witnesses=(replace(witness, vkey=installation.vkey),)
        )
    with pytest.raises(ConfigError, match=setting):
        witnessing.check(installation)


def test_a_witness_is_asked_what_it_has_seen(
    installation: Installation, serve: Callable[[Book], str]
) -> None:
    """Nothing against a log that goes on; against one that was cut, which and where; nothing is written."""
    installation.config = replace(installation.config, witnessed=(installation.vkey,))
    book = witnessing.book(installation)
    assert book is not None
    url, audit = serve(book), installation.config.audit
    vkey = witnessing.signer(installation).verifier.vkey
    with closing(installation.log("control")) as log:
        log.append(b"entry")
    witnessing.ask(audit, vkey, url, None)
    witnessing.ask(audit / "control", vkey, url, None)
    assert not (audit / "control" / "cosigned").exists()
    with closing(installation.log("control")) as log:
        log.append(b"another")
    kept = {path: path.read_bytes() for path in (audit / "control").rglob("*") if path.is_file()}
    with closing(installation.log("control")) as log:
        log.append(b"last")
    witnessing.ask(audit, vkey, url, None)
    for path in sorted((audit / "control").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path, data in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    with pytest.raises(AuditDamaged, match="the log was rolled back") as caught:
        witnessing.ask(audit, vkey, url, None)

    ((origin, record, file, _),) = caught.value.damage
    assert (origin, record, file) == (f"{installation.origin}/control", 3, "checkpoint")
    with pytest.raises(InvalidRequest):
        witnessing.ask(audit, installation.vkey, url, None)
    with pytest.raises(NoAnswer):
        witnessing.ask(audit, vkey, "http://127.0.0.1:1", None)
    book.close()


def test_a_witness_that_does_not_know_the_log_says_nothing(
    installation: Installation, serve: Callable[[Book], str], tmp_path: Path
) -> None:
    """Whoever asks must not take that for a good sign."""
    other = Config(data=tmp_path / "other")
    path = str(tmp_path / "other.key")
    founded = found(other, "file", local_secrets({}), SystemClock(), system_random, path=path)
    installation.config = replace(installation.config, witnessed=(founded.vkey,))
    book = witnessing.book(installation)
    assert book is not None
    vkey = witnessing.signer(installation).verifier.vkey
    with pytest.raises(NoAnswer, match="does not know the log control"):
        witnessing.ask(installation.config.audit, vkey, serve(book), None)
    book.close()
