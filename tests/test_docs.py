"""The documentation says what the code does: codes, decisions, capabilities, tasks and links are compared."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.core import errors
from keystead.fronts.aws.errors import ROWS

STATES = {"works", "partly", "in work", "not yet"}
CAPABILITIES = 132


def error_codes() -> dict[str, errors.Kind]:
    """Every error that a caller may be told, with its kind."""
    return {
        error.code: error.kind
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.KeysteadError) and error is not errors.KeysteadError
    }


def sections(page: Path) -> dict[str, str]:
    """The second-level sections of a page: heading and text."""
    parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)
    return {title.strip(): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def adr_pages(checkout: Path) -> list[Path]:
    """The records of decisions, by number."""
    return sorted((checkout / "docs" / "adr").glob("[0-9]*.md"))


def capability_rows(checkout: Path) -> list[list[str]]:
    """The cells of each row of the list of capabilities."""
    lines = (checkout / "docs" / "capabilities.md").read_text().splitlines()
    rows = [line for line in lines if re.match(r"\| [A-Z]{2}\d+ \|", line)]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_error_code_has_a_section_and_no_other(checkout: Path) -> None:
    """Whoever looks an error code up finds it, and no section is about a code that does not exist."""
    assert sorted(sections(checkout / "docs" / "reference" / "errors.md")) == sorted(error_codes())


def test_every_error_section_says_kind_and_cure(checkout: Path) -> None:
    """A section states the kind that the code has, and what to do."""
    pages = sections(checkout / "docs" / "reference" / "errors.md")
    for code, kind in error_codes().items():
        assert f"Kind `{kind}`" in pages[code], code
        assert "**What to do:**" in pages[code], code


def test_error_sections_say_what_aws_clients_see(checkout: Path) -> None:
    """A section names the type that the AWS front writes, its status unless it is 400, and its silence."""
    pages = sections(checkout / "docs" / "reference" / "errors.md")
    for error, row in ROWS.items():
        if error.code in error_codes():
            text = pages[error.code].split("\n\n")[1].replace("\n", " ")
            assert f"AWS: `{row.type}`" in text, error.code
            assert re.findall(r"status (\d+)", text) == ([] if row.status == 400 else [str(row.status.value)])
            assert ("without a message" in text) == row.silent, error.code


def test_every_kind_of_error_is_explained(checkout: Path) -> None:
    """The table of kinds has a row for each kind."""
    text = (checkout / "docs" / "reference" / "errors.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE) == [str(kind) for kind in errors.Kind]


def test_the_page_of_key_states_is_the_table(checkout: Path) -> None:
    """The page shows the transitions that the code makes; `make pages` draws it anew."""
    drawn = subprocess.run(
        [sys.executable, "tools/key_states.py"], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout
    assert (checkout / "docs" / "reference" / "key-states.md").read_text() == drawn


def test_decisions_are_numbered_and_listed(checkout: Path) -> None:
    """The list of decisions links every record, and their numbers have no gap."""
    pages = adr_pages(checkout)
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    index = (checkout / "docs" / "adr" / "index.md").read_text()
    assert re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", index) == [page.name for page in pages]


def test_every_decision_says_what_it_costs(checkout: Path) -> None:
    """A record has a context, alternatives, a decision, and at least one bad consequence."""
    for page in adr_pages(checkout):
        text = page.read_text()
        assert re.match(rf"# {int(page.name[:4])}\. .+\n\nStatus: \w+", text), page.name
        assert list(sections(page)) == ["Context", "Decision", "Considered", "Consequences"], page.name
        assert re.search(r"^Bad:\n\n- ", text, flags=re.MULTILINE), page.name


def test_capabilities_are_all_there_with_an_honest_state(checkout: Path) -> None:
    """Every row has one of four states; what works or partly works says what shows it."""
    rows = capability_rows(checkout)
    assert len({row[0] for row in rows}) == len(rows) == CAPABILITIES
    for name, _, state, proof in rows:
        assert state in STATES, name
        assert bool(proof) == (state in {"works", "partly"}), name


def test_what_shows_a_capability_exists(checkout: Path) -> None:
    """A file that is named as proof is in the checkout."""
    for name, _, _, proof in capability_rows(checkout):
        for path in re.findall(r"`((?:tests|docs|src)/[\w./-]+)", proof):
            assert (checkout / path).exists(), f"{name}: {path}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_pages_outside_the_book_link_to_what_exists(checkout: Path, page: str) -> None:
    """Links in `docs/` are checked by mkdocs; those of these pages are checked here."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (checkout / page).read_text())
    assert [link for link in links if not (checkout / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_tasks_named_in_the_pages_exist(checkout: Path, page: str) -> None:
    """Every `make` command that a page tells people to run is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (checkout / page).read_text(), flags=re.MULTILINE))
    assert named, page
    assert named - targets == set()


def test_changelog_fragments_have_a_type_that_is_rendered(checkout: Path) -> None:
    """A fragment with a mistyped name would be left out of the release notes without a word."""
    kinds = "security|removed|deprecated|added|changed|fixed"
    fragments = [path.name for path in (checkout / "changelog.d").iterdir() if path.name != ".gitignore"]
    assert [name for name in fragments if not re.fullmatch(rf"\+?[\w-]+\.(?:{kinds})\.md", name)] == []
