"""A real service for tests that use it as people's tools do: processes, sockets, disk."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

START_SECONDS = 30


@dataclass
class Service:
    """One `keystead dev`, which can be killed and started again on its data."""

    data: Path
    workers: int = 2
    extra_environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.data.parent / f"{self.data.name}.env"

    @property
    def log_file(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def start(self) -> None:
        """Start and wait until it answers."""
        self.env_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "keystead", "dev", "--port", "0", "--control-port", "0"),
                    *("--data", str(self.data), "--env-file", str(self.env_file)),
                    *("--workers", str(self.workers)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.extra_environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.env_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service did not start:\n{self.log_file.read_text()}")
            time.sleep(0.02)
        self.settings = dict(
            shlex.split(line.removeprefix("export "))[0].split("=", 1)
            for line in self.env_file.read_text().splitlines()
            if line.startswith("export ")
        )

    def stop(self) -> int:
        """Stop in order; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def children(self) -> list[int]:
        """The process ids of the supervisor's children."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def client(self, **options: Any) -> Any:
        """A boto3 client as the admin, without retries, so that every answer is seen."""
        credentials = {
            "aws_access_key_id": self.settings["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.settings["AWS_SECRET_ACCESS_KEY"],
        }
        config = Config(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=5)
        return boto3.client(
            "kms",
            endpoint_url=self.settings["AWS_ENDPOINT_URL_KMS"],
            region_name=options.pop("region_name", self.settings["AWS_REGION"]),
            config=config,
            **{**credentials, **options},
        )

    @property
    def port(self) -> int:
        """The data plane's port."""
        return int(self.settings["AWS_ENDPOINT_URL_KMS"].rpartition(":")[2])

    @property
    def control_url(self) -> str:
        """The control plane's address."""
        return self.settings["KEYSTEAD_CONTROL_URL"]

    def keystead(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line with the admin's settings."""
        return subprocess.run(
            [sys.executable, "-m", "keystead", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **self.settings},
            **options,
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service with two workers, shared by a module's tests."""
    running = Service(tmp_path_factory.mktemp("service") / "data")
    running.start()
    yield running
    assert running.stop() == 0, running.log_file.read_text()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, not started yet, that may be killed."""
    own = Service(tmp_path / "data")
    yield own
    if own.process is not None and own.process.poll() is None:
        own.kill()


@pytest.fixture
def kms(service: Service) -> Any:
    """A boto3 client as the admin."""
    return service.client()
