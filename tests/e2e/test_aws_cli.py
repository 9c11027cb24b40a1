"""The AWS command line, unmodified, walks through the life of a key with the settings that `dev` wrote."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


class Aws:
    """`aws kms ...` in an environment that knows nothing but the service's own settings."""

    def __init__(self, service: Any, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            **service.settings,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        program = Path(sys.executable).with_name("aws")
        return subprocess.run(
            [sys.executable, str(program), "kms", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str) -> Any:
        """Run a command that must succeed; returns what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *arguments: str) -> str:
        """Run a command that must fail; returns the error's name."""
        done = self.run(*arguments)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr.partition("(")[2].partition(")")[0]


@pytest.fixture
def aws(service: Any, tmp_path: Path) -> Aws:
    """The AWS command line."""
    return Aws(service, tmp_path)


def test_the_command_line_uses_a_key(aws: Aws, tmp_path: Path) -> None:
    """create-key, create-alias, encrypt and decrypt a file, generate-data-key, list-keys."""
    made = aws("create-key", "--description", "by hand", "--tags", "TagKey=team,TagValue=a")["KeyMetadata"]
    assert (made["Description"], made["KeyState"]) == ("by hand", "Enabled")
    key = made["KeyId"]
    aws("create-alias", "--alias-name", "alias/by-hand", "--target-key-id", key)
    plaintext = bytes(range(256))
    (tmp_path / "secret.bin").write_bytes(plaintext)
    context = ("--encryption-context", "purpose=test,tenant=a")
    sealed = aws("encrypt", "--key-id", "alias/by-hand", "--plaintext", "fileb://secret.bin", *context)
    assert sealed["KeyId"] == made["Arn"]
    (tmp_path / "sealed.bin").write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    opened = aws("decrypt", "--ciphertext-blob", "fileb://sealed.bin", *context)
    assert base64.b64decode(opened["Plaintext"]) == plaintext
    assert aws.refused("decrypt", "--ciphertext-blob", "fileb://sealed.bin") == "InvalidCiphertextException"
    data_key = aws("generate-data-key", "--key-id", key, "--key-spec", "AES_256")
    assert len(base64.b64decode(data_key["Plaintext"])) == 32
    assert key in {entry["KeyId"] for entry in aws("list-keys")["Keys"]}
    assert aws("list-resource-tags", "--key-id", key)["Tags"] == [{"TagKey": "team", "TagValue": "a"}]


def test_the_command_line_changes_a_key(aws: Aws, service: Any) -> None:
    """Tags, rotation, disabling, and a deletion that is scheduled and cancelled."""
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
    aws("tag-resource", "--key-id", key, "--tags", "TagKey=stage,TagValue=test")
    assert aws("list-resource-tags", "--key-id", key)["Tags"] == [{"TagKey": "stage", "TagValue": "test"}]
    aws("untag-resource", "--key-id", key, "--tag-keys", "stage")
    assert service.call("ListResourceTags", {"KeyId": key})["Tags"] == []
    aws("rotate-key-on-demand", "--key-id", key)
    assert len(aws("list-key-rotations", "--key-id", key)["Rotations"]) == 1
    scheduled = aws("schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")
    assert (scheduled["KeyState"], scheduled["PendingWindowInDays"]) == ("PendingDeletion", 7)
    assert aws.refused("encrypt", "--key-id", key, "--plaintext", "eA==") == "KMSInvalidStateException"
    aws("cancel-key-deletion", "--key-id", key)
    assert aws.refused("encrypt", "--key-id", key, "--plaintext", "eA==") == "DisabledException"
    aws("enable-key", "--key-id", key)
    described = aws("describe-key", "--key-id", key)["KeyMetadata"]
    assert (described["KeyState"], described["Enabled"]) == ("Enabled", True)
