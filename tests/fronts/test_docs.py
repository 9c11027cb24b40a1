"""The pages of the two APIs say what the code does; the native API's examples are carried out."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keystead.core import errors
from keystead.core.subject import SOURCE
from keystead.fronts.aws.model import OPERATIONS
from keystead.fronts.aws.operations import ROWS as AWS_ROWS
from keystead.fronts.native.front import ROWS, STATUS
from keystead.service.commands.kms import ListKeys
from keystead.testing.installation import Installation
from keystead.testing.issuer import Issuer

EXAMPLE_SOURCE = "192.0.2.7"
EXAMPLE_KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
EXAMPLE_ID = "AKIAIOSFODNN7EXAMPLE"
EXAMPLE_ISSUER = "https://token.example.com"
EXAMPLE_INSTANCE = "keystead-1f2e3d4c5b6a7988"
OTHER_SECTIONS = {"Errors", "Not signed"}


@pytest.fixture(scope="module")
def aws_page(checkout: Path) -> str:
    """The page of AWS's operations."""
    return (checkout / "docs/reference/aws-kms.md").read_text()


@pytest.fixture(scope="module")
def native_sections(checkout: Path) -> dict[str, str]:
    """The sections of the native API's page, in order."""
    text = (checkout / "docs/reference/native-api.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_of_aws_operations_is_what_the_code_says(checkout: Path, aws_page: str) -> None:
    """`make pages` draws it anew."""
    drawn = subprocess.run(
        [sys.executable, "tools/aws_operations.py"], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout
    assert aws_page == drawn


def test_every_operation_of_aws_stands_on_its_page_once(aws_page: str) -> None:
    """With what it takes and what it may fail with."""
    built = re.findall(r"^### (\w+)$", aws_page, flags=re.MULTILINE)
    assert built == list(AWS_ROWS)
    assert sorted(built) == sorted(OPERATIONS)
    assert aws_page.count("\nErrors: ") == len(OPERATIONS)
    assert f"All of AWS's {len(OPERATIONS)} operations" in aws_page


def test_every_native_operation_has_its_section(native_sections: dict[str, str]) -> None:
    """And no section is about one that does not exist."""
    assert native_sections.keys() - OTHER_SECTIONS == ROWS.keys()


def test_the_table_of_statuses_is_the_codes(native_sections: dict[str, str]) -> None:
    """Each kind of error stands beside its status."""
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)`", native_sections["Errors"], flags=re.MULTILINE)
    assert {kind: int(status) for status, kind in rows} == {str(k): int(s) for k, s in STATUS.items()}


def test_errors_named_for_an_operation_exist(native_sections: dict[str, str]) -> None:
    """Whoever looks one up finds it."""
    codes = {value.code for value in vars(errors).values() if hasattr(value, "code")}
    for name in ROWS:
        (line,) = re.findall(r"Errors: (.+)\.$", native_sections[name], flags=re.MULTILINE)
        named = re.findall(r"`(\w+)`", line)
        assert named, name
        assert set(named) <= codes, name


@pytest.fixture
def issuer_url() -> Iterator[str]:
    """An issuer in the place of the page's."""
    with Issuer(secure=False) as issuer:
        yield issuer.url


def test_the_examples_of_the_native_api_are_true(native_sections: dict[str, str], issuer_url: str) -> None:
    """Each request of the page is carried out in the page's order, and its answer looks like the page's."""
    house = Installation()
    gate = house.gate(redactable=frozenset({SOURCE}))
    seen = house.caller("r-seen")
    seen.source = EXAMPLE_SOURCE
    gate.ask(seen, ListKeys()).outcome()
    access_key_id, key_id = EXAMPLE_ID, EXAMPLE_KEY
    for number, name in enumerate(each for each in native_sections if each in ROWS):
        request, told = re.findall(r"```json\n(.*?)```", native_sections[name], flags=re.DOTALL)
        row = ROWS[name]
        for example, true in (
            (EXAMPLE_ID, access_key_id),
            (EXAMPLE_ISSUER, issuer_url),
            (EXAMPLE_KEY, key_id),
            (EXAMPLE_INSTANCE, house.audit.signer.name),
        ):
            request = request.replace(example, true)
        command = row.command(msgspec.json.decode(request, type=row.takes))
        told_here = gate.ask(house.caller(f"r-{number}"), command).outcome()
        answer = json.loads(msgspec.json.encode(row.answer(told_here)))
        access_key_id = answer.get("access_key_id", access_key_id)
        key_id = answer.get("key_id", key_id)

        assert form(answer) == form(json.loads(told)), name


def form(value: Any) -> Any:
    """A value's members and types, without what they are."""
    if isinstance(value, dict):
        return {name: form(member) for name, member in value.items()}
    if isinstance(value, list):
        return [form(element) for element in value]
    return type(value)
