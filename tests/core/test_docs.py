"""The pages of the ciphertext blob and of the policy language say what the code does."""

import json
import re
from pathlib import Path

import pytest

from keystead.core import blob, context, policy
from keystead.core.policy import keys, parse_identity_policy, parse_key_policy
from keystead.core.policy.conditions import OPERATORS


def test_the_example_of_the_blobs_page_is_a_golden_file(checkout: Path) -> None:
    """Header, nonce, commitment, ciphertext and tag on the page are those of the file it names."""
    page = (checkout / "docs" / "formats" / "ciphertext-blob-v1.md").read_text()
    (example,) = re.findall(r"```text\n(header .+?)```", page, flags=re.DOTALL)
    shown = "".join(
        re.findall(r"\b(?:[0-9a-f]{2})+\b(?!\w)", re.sub(r"^[a-z]+", "", example, flags=re.MULTILINE))
    )
    golden = json.loads((checkout / "tests" / "vectors" / "blob-v1" / "context.json").read_text())
    assert shown == golden["blob"]


def test_the_blobs_page_has_the_limits_in_force(checkout: Path) -> None:
    """The numbers on the page are those of the code."""
    page = (checkout / "docs" / "formats" / "ciphertext-blob-v1.md").read_text()
    overhead = len(blob.header("1" * 36, 1)) + blob.SEALED_BYTES
    assert f"{overhead} bytes longer" in page
    assert f"{4096 + overhead:,} bytes" in page
    assert f"{blob.SEALED_BYTES + 10} + *n* bytes" in page
    assert f"{context.MAX_BYTES:,} bytes together" in page


@pytest.fixture
def language(checkout: Path) -> str:
    """The page of the policy language."""
    return (checkout / "docs" / "reference" / "policy-language.md").read_text()


def test_the_policy_on_the_page_is_one(language: str) -> None:
    """The example is taken, and the table has every element that there is."""
    (example,) = re.findall(r"```json\n(.+?)```", language, flags=re.DOTALL)
    assert [s.label for s in parse_key_policy(example).statements] == [
        "Owners",
        "Only payroll data, and only from the office",
    ]
    document = json.loads(example)
    rows = re.findall(r"^\| `(\w+)` \|", language, flags=re.MULTILINE)
    elements = {f"Not{name}" for name in ("Action", "Principal", "Resource")}
    assert {*rows} >= {*document, *document["Statement"][1]} | elements


def test_the_page_has_every_operator(language: str) -> None:
    """No more and no fewer than the evaluator knows."""
    table = language[language.index("| Operator |") : language.index("| Form |")]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted([*OPERATORS, "Null"])


def test_the_page_has_every_condition_key(language: str) -> None:
    """No more and no fewer than a policy may use."""
    table = language[language.index("## Condition keys") : language.index("## How it is decided")]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(named) == sorted([*keys.KMS, *keys.AWS, *keys.KEYSTEAD, *keys.FAMILIES])


def test_the_office_hours_of_the_page_are_conditions(language: str) -> None:
    """The example can be put as it stands."""
    (hours,) = re.findall(r'"NumericGreaterThanEquals".+?(?=```)', language, flags=re.DOTALL)
    statement = f'{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{{hours}}}}}'
    (parsed,) = parse_identity_policy(f'{{"Statement": {statement}}}').statements
    assert len(parsed.conditions) == 3


def test_the_page_of_the_language_has_the_limits_in_force(language: str) -> None:
    """The numbers on the page are those of the code."""
    assert f"up to {policy.MAX_SID} printable characters" in language
    assert f"may have {policy.MAX_BYTES:,} bytes" in language
    assert [version for version in policy.VERSIONS if f"`{version}`" not in language] == []
