"""The pages say what the commands do: what they tell people to type is typed, and help texts are compared."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keystead.observe.metrics import METRICS, Reason

PAGES = (
    "README.md",
    "docs/guides/getting-started.md",
    "docs/guides/audit.md",
    "docs/guides/audit-query.md",
    "docs/guides/bring-your-own-key.md",
    "docs/guides/external-key-store.md",
    "docs/guides/identities.md",
    "docs/guides/multi-region.md",
    "docs/guides/policy-as-code.md",
    "docs/guides/sts.md",
)
BLOCK = re.compile(r"^<!-- tested -->\n```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: str, place: Path) -> str:
    """One shell script of all blocks of a page that are marked; Python blocks are programs beside it."""
    parts = ["set -euo pipefail"]
    for number, (language, text) in enumerate(BLOCK.findall(page)):
        if language == "python":
            program = place / f"block{number}.py"
            program.write_text(text)
            parts.append(f"python {program.name}")
        else:
            parts.append(text)
    return "\n".join(parts)


@pytest.mark.e2e
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_to_type_works(
    *, page: str, checkout: Path, dev: Any, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """Each marked block of a page succeeds, one after the other, against a live server."""
    (tmp_path / "keystead.env").write_bytes(dev.env_file.read_bytes())
    text = (checkout / page).read_text()
    assert BLOCK.search(text)
    done = subprocess.run(
        ["bash", "-c", script(text, tmp_path)],  # noqa: S607 - whichever shell there is
        cwd=tmp_path,
        env={
            **clean_environment,
            "PATH": f"{Path(sys.executable).parent}:{clean_environment['PATH']}",
            "HOME": str(tmp_path),
            "DATA": str(dev.data),
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_marked_or_starts_the_server(page: str, checkout: Path) -> None:
    """No block with commands escapes the test, but those that set up or serve in the foreground."""
    text = BLOCK.sub("", (checkout / page).read_text())
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    left = [block for language, block in blocks if language in ("", "sh", "python")]
    commands = [line for block in left for line in block.splitlines() if line]
    set_up = r"make (demo|test)\b.*|\. \.venv/bin/activate|keystead dev --env-file keystead\.env"
    assert [line for line in commands if not re.fullmatch(set_up, line)] == []


def test_the_page_of_the_command_line_is_what_the_commands_say(checkout: Path) -> None:
    """Help texts, examples and all; `python tools/command_line.py` draws the page anew."""
    drawn = subprocess.run(
        [sys.executable, "tools/command_line.py"], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout
    assert (checkout / "docs" / "reference" / "command-line.md").read_text() == drawn


def test_operators_find_every_metric_and_reason(checkout: Path) -> None:
    """Each metric has its row in the guide, with its labels, and each reason for red is named."""
    page = (checkout / "docs" / "guides" / "operations.md").read_text()
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {labels} |" in page
    assert set(re.findall(r"^\| `(keystead_\w+)`", page, flags=re.MULTILINE)) == {m.name for m in METRICS}
    assert [reason.label for reason in Reason if reason and f"`{reason.label}`" not in page] == []


def test_operators_find_every_variable_of_the_seal(checkout: Path) -> None:
    """The variables that open seal slots are in the guide and in the reference."""
    sources = (checkout / "src" / "keystead" / "custody" / "seals").glob("*.py")
    variables = {name for path in sources for name in re.findall(r'"(KEYSTEAD_\w+)"', path.read_text())}
    assert len(variables) == 4
    for page in ("guides/operations.md", "reference/configuration.md"):
        text = (checkout / "docs" / page).read_text()
        assert [name for name in variables if f"`{name}`" not in text] == []
