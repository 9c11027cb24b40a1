"""oauth2-mock-server, unmodified, as an issuer over HTTPS with a certificate of the test's own authority."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

NODE = Path(__file__).parent / "e2e" / "node"


class MockServer:
    """The issuer in a process of its own; skipped, and not silently, where it is not installed."""

    def __init__(self, certificate: Path, key: Path) -> None:
        program = shutil.which("node")
        if program is None or not (NODE / "node_modules" / "oauth2-mock-server").is_dir():
            pytest.skip("NOT TESTED: oauth2-mock-server is not installed (npm ci in tests/e2e/node)")
        self._process = subprocess.Popen(
            [program, "issuer.mjs", str(key), str(certificate)],
            cwd=NODE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._line()

    def generate(self, algorithm: str) -> str:
        """A new key, published beside the others; its id."""
        return self._ask(generate=algorithm)

    def token(self, *, kid: str | None = None, **claims: object) -> str:
        """A token for an hour by that key (its first if none is named), with these claims beside its own."""
        return self._ask(**({"kid": kid} if kid else {}), claims=claims)

    def stop(self) -> None:
        """Be down."""
        self._process.kill()
        self._process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask(self, **asked: Any) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the issuer has ended"
        return line
