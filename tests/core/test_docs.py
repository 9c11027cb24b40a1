"""The pages of the ciphertext blob and of the policy language say what the code does."""

import json
import re
from pathlib import Path

import pytest

from keystead.core import blob, context, policy
from keystead.core.errors import MalformedPolicy
from keystead.core.policy import parse_identity_policy, parse_key_policy


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
    """The example is taken, and has every element that the table explains."""
    (example,) = re.findall(r"```json\n(.+?)```", language, flags=re.DOTALL)
    assert [s.label for s in parse_key_policy(example).statements] == [
        "Owners",
        "No decryption by the report job",
    ]
    document = json.loads(example)
    rows = re.findall(r"^\| `(\w+)` \| [a-zO`\"]", language, flags=re.MULTILINE)
    assert {*rows} >= {*document, *document["Statement"][0]}


@pytest.mark.parametrize("element", ["Condition", "NotAction", "NotResource", "NotPrincipal"])
def test_what_the_page_says_is_not_known_is_refused(language: str, element: str) -> None:
    """With the name of the element, as it says."""
    assert f"`{element}`" in language
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", element: "x"}
    with pytest.raises(MalformedPolicy, match=f"not supported here: {element}"):
        parse_identity_policy(json.dumps({"Statement": statement}))


def test_the_page_of_the_language_has_the_limits_in_force(language: str) -> None:
    """The numbers on the page are those of the code."""
    assert f"up to {policy.MAX_SID} printable characters" in language
    assert f"may have {policy.MAX_BYTES:,} bytes" in language
    assert [version for version in policy.VERSIONS if f"`{version}`" not in language] == []
