"""Terraform's AWS provider, unmodified: what it has declared is there, stays as it is, and goes."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DECLARED = Path(__file__).parent / "terraform" / "main.tf"
MIRROR = Path(os.environ.get("KEYSTEAD_TEST_TERRAFORM_PLUGINS", "/opt/tf-plugins"))


class Terraform:
    """Terraform in a directory of its own."""

    def __init__(self, program: str, folder: Path, environment: dict[str, str]) -> None:
        self.program = program
        self.folder = folder
        self.environment = environment

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command that ends with one of these exit codes; returns what it said."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def terraform(service: Any, tmp_path: Path) -> Terraform:
    """Terraform with the provider from a mirror; skipped, and not silently, where either is missing."""
    program = shutil.which("terraform") or shutil.which("tofu")
    if program is None or not list(MIRROR.glob("**/terraform-provider-aws*")):
        pytest.skip(
            f"NOT TESTED: Terraform's AWS provider (terraform on the PATH and a provider mirror in {MIRROR}, "
            "or where KEYSTEAD_TEST_TERRAFORM_PLUGINS says)"
        )
    shutil.copy(DECLARED, tmp_path)
    account = service.client().create_key()["KeyMetadata"]["AWSAccountId"]
    environment = {
        **os.environ,
        **service.settings,
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_VAR_endpoint": service.settings["AWS_ENDPOINT_URL_KMS"],
        "TF_VAR_grantee": f"arn:aws:iam::{account}:user/admin",
    }
    terraform = Terraform(program, tmp_path, environment)
    terraform.run("init", "-input=false", "-no-color", f"-plugin-dir={MIRROR}")
    return terraform


def test_what_is_declared_is_made_stays_and_goes(terraform: Terraform, kms: Any) -> None:
    """Apply; then a plan finds nothing to do; a change is applied in place; destroy leaves nothing usable."""
    terraform.run("apply", "-auto-approve", "-input=false", "-no-color")
    outputs = json.loads(terraform.run("output", "-json"))
    assert outputs["found"]["value"]
    assert outputs["opened"]["value"]
    assert outputs["public_key"]["value"].startswith("-----BEGIN PUBLIC KEY-----")
    assert "No changes" in terraform.run("plan", "-detailed-exitcode", "-input=false", "-no-color")

    declared = terraform.folder / DECLARED.name
    text = (
        declared.read_text().replace("application data", "data of the application").replace("gold", "silver")
    )
    declared.write_text(text.replace("rotation_period_in_days = 180", "rotation_period_in_days = 365"))
    changed = terraform.run("apply", "-auto-approve", "-input=false", "-no-color")
    assert "0 added, 1 changed, 0 destroyed" in changed
    assert "No changes" in terraform.run("plan", "-detailed-exitcode", "-input=false", "-no-color")

    state = json.loads(terraform.run("show", "-json"))
    resources = state["values"]["root_module"]["resources"]
    keys = [r["values"]["arn"] for r in resources if r["type"] in {"aws_kms_key", "aws_kms_external_key"}]
    assert len(set(keys)) >= 6
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color")
    states = {kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in keys}
    assert states <= {"PendingDeletion", "PendingReplicaDeletion"}
    assert [a for a in kms.list_aliases()["Aliases"] if a["AliasName"] == "alias/app"] == []
