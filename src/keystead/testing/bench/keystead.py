"""Keystead under test: `keystead dev` in a process of its own, with everything on."""

import json
import shlex
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from keystead import __version__
from keystead.testing.bench.load import Address, Request, ask
from keystead.testing.bench.processes import BenchmarkError, Server, await_port, free_port
from keystead.testing.bench.target import PLAINTEXT_BYTES, Answer

START_SECONDS: Final = 30.0
OK: Final = 200
_LOOK_SECONDS: Final = 0.001

Sign = Callable[[Mapping[str, str], str, str, bytes], bytes]
"""Makes a whole request, signed now: of the settings `keystead dev` printed, a host, an operation, a body."""


class Keystead:
    """A service with one key (`keystead.testing.bench.target.Target`).

    ``command`` is how to start `keystead dev`; ``directory`` is for its data and must exist. ``sinks`` are tables of a
    configuration: with them the data that `keystead dev` has made is served by `keystead serve`.
    """

    name = "Keystead"
    version = __version__

    def __init__(
        self, command: Sequence[str], directory: Path, sign: Sign, *, workers: int, sinks: str = ""
    ) -> None:
        self._port, self._control_port = free_port(), free_port()
        self._env_file = directory / "env"
        self._log = directory / "log"
        self._command = (
            *command,
            *("--data", str(directory / "data"), "--env-file", str(self._env_file)),
            *("--port", str(self._port), "--control-port", str(self._control_port)),
            *("--workers", str(workers)),
        )
        self._sign = sign
        self.address: Address = ("127.0.0.1", self._port)
        self.server = Server(self._command, self._log)
        try:
            self.settings = self._read_settings()
            self._key = str(self._ask("CreateKey", {})["KeyMetadata"]["KeyId"])
            if sinks:
                self.stop()
                self._command = _served(directory, self._port, self._control_port, workers, sinks)
                self.start()
        except BaseException:
            self.server.stop()
            raise

    def requests(self, operation: str, plaintexts: Sequence[bytes]) -> list[Request]:
        """Signed now, and so good for five minutes."""
        if operation == "GenerateDataKey":
            return [self._request(operation, {"KeyId": self._key, "NumberOfBytes": PLAINTEXT_BYTES})] * len(
                plaintexts
            )
        sealing = [
            self._request("Encrypt", {"KeyId": self._key, "Plaintext": b64encode(text).decode()}, text)
            for text in plaintexts
        ]
        if operation == "Encrypt":
            return sealing
        blobs = [self.read(body).ciphertext for body in self._bodies(sealing)]
        return [
            self._request(operation, {"CiphertextBlob": b64encode(blob).decode()}, text)
            for blob, text in zip(blobs, plaintexts, strict=True)
        ]

    def read(self, body: bytes) -> Answer:
        """What an answer's JSON holds."""
        value = json.loads(body)
        return Answer(b64decode(value.get("CiphertextBlob", "")), b64decode(value.get("Plaintext", "")))

    def decrypt(self, ciphertexts: Sequence[bytes]) -> list[bytes]:
        """Open ciphertexts by Decrypt."""
        return [self.read(body).plaintext for body in self._bodies(self.opening(ciphertexts))]

    def opening(self, ciphertexts: Sequence[bytes]) -> list[Request]:
        """The requests to open these, signed now."""
        return [
            self._request("Decrypt", {"CiphertextBlob": b64encode(blob).decode()}) for blob in ciphertexts
        ]

    def stop(self) -> None:
        """Stop the service; raises `BenchmarkError` if it did not end well."""
        code = self.server.stop()
        if code:
            raise BenchmarkError(f"the service ended with {code}:\n{self._log.read_text()[-2000:]}")

    def start(self) -> None:
        """Start the service that was stopped; returns when it takes connections."""
        self.server = Server(self._command, self._log)
        await_port(self._port, self.server)

    def start_seconds(self) -> float:
        """Stop the service and start it again: the time from fork and exec to the first good answer.

        The answer is that to an Encrypt with the key that is there, signed beforehand.
        """
        self.stop()
        requests = self.requests("Encrypt", [bytes(PLAINTEXT_BYTES)])
        start = time.perf_counter()
        self.server = Server(self._command, self._log)
        while True:
            self.server.require_alive()
            with suppress(OSError):
                ((status, _),) = ask(self.address, requests)
                if status == OK:
                    return time.perf_counter() - start
            if time.perf_counter() - start > START_SECONDS:
                raise BenchmarkError(f"the service gave no good answer within {START_SECONDS:.0f} s")
            time.sleep(_LOOK_SECONDS)

    def behind(self) -> dict[str, int]:
        """How many entries of the audit each sink has not taken yet, as readiness says it."""
        request = Request(f"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:{self._control_port}\r\n\r\n".encode())
        ((_, body),) = ask(("127.0.0.1", self._control_port), [request])
        sinks: dict[str, dict[str, Any]] = json.loads(body)["reader"]["sinks"]
        if broken := {name: sink["trouble"] for name, sink in sinks.items() if sink["trouble"]}:
            raise BenchmarkError(f"sinks are in trouble: {broken}")
        return {name: int(sink["lag_entries"]) for name, sink in sinks.items()}

    def _read_settings(self) -> dict[str, str]:
        """What `keystead dev` exports once it answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self._env_file.exists():
            self.server.require_alive()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the service did not start within {START_SECONDS:.0f} s")
            time.sleep(0.02)
        exports = [shlex.split(line) for line in self._env_file.read_text().splitlines()]
        return dict(words[1].split("=", 1) for words in exports if words[:1] == ["export"])

    def _request(self, operation: str, value: Mapping[str, Any], expected: bytes = b"") -> Request:
        host = f"{self.address[0]}:{self.address[1]}"
        body = json.dumps(value).encode()
        return Request(self._sign(self.settings, host, operation, body), expected)

    def _ask(self, operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
        (body,) = self._bodies([self._request(operation, value)])
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _bodies(self, requests: Sequence[Request]) -> list[bytes]:
        bodies = []
        for status, body in ask(self.address, requests):
            if status != OK:
                raise BenchmarkError(f"the service answered {status}: {body.decode(errors='replace')[:500]}")
            bodies.append(body)
        return bodies


def _served(directory: Path, port: int, control_port: int, workers: int, sinks: str) -> tuple[str, ...]:
    """How to serve the same data with a configuration that has more in it."""
    config = directory / "keystead.toml"
    config.write_text(
        f"data = {json.dumps(str(directory / 'data'))}\n"
        f'[listen]\naddress = "127.0.0.1:{port}"\nworkers = {workers}\n'
        f'[control]\naddress = "127.0.0.1:{control_port}"\n{sinks}'
    )
    return (sys.executable, "-m", "keystead", "serve", "--config", str(config))
