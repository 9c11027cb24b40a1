"""A directory's files become documents that know their lines."""

from pathlib import Path

import pytest

from keystead.cli import documents
from keystead.cli.documents import directory
from keystead.plan.documents import Undeclarable


def test_files_are_read_with_their_lines(tmp_path: Path) -> None:
    """YAML and JSON, several documents in one file, files below, certificates; nothing hidden, nothing else."""
    (tmp_path / "a.yaml").write_text(
        "# first\nkind: user\nname: a\n---\nkind: user\ntags:\n  x: '1'\n  y: [2]\n"
    )
    (tmp_path / "b.json").write_text('{\n\t"kind": "user",\n  "name": "b\\/c"}')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.yml").write_text("--- {kind: user}\n---\n---\n# nothing\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN")
    (tmp_path / "notes.txt").write_text("kind: user")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.yaml").write_text("kind: user")
    (tmp_path / "e.yaml").mkdir()
    found = directory(tmp_path)
    assert {name: len(several) for name, several in found.documents.items()} == {
        "a.yaml": 2,
        "b.json": 1,
        "sub/c.yml": 1,
    }
    first, second = found.documents["a.yaml"]
    assert (first.place(), first.place("name")) == ("a.yaml:2", "a.yaml:3")
    assert (second.place("tags"), second.place("tags", "y", 0)) == ("a.yaml:6", "a.yaml:8")
    assert second.value == {"kind": "user", "tags": {"x": "1", "y": [2]}}
    (json_one,) = found.documents["b.json"]
    assert (json_one.value["name"], json_one.place("name")) == ("b/c", "b.json")  # a tab: no line is known
    assert found.documents["sub/c.yml"][0].value == {"kind": "user"}
    assert found.texts == {"ca.pem": "-----BEGIN"}


def test_all_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With file and line, also of the second document."""
    (tmp_path / "a.yaml").write_text("kind: user\n---\nname: a\nname: b\n")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    with pytest.raises(Undeclarable) as caught:
        directory(tmp_path)
    first, second, third = caught.value.problems
    assert first == "a.yaml line 4: name is there twice"
    assert second.startswith("b.json line 1")
    assert third.endswith("c.yaml is not UTF-8")


def test_a_directory_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a file, nor more of it than can be meant."""
    with pytest.raises(Undeclarable, match="is not a directory"):
        directory(tmp_path / "none")
    monkeypatch.setattr(documents, "MOST_FILES", 1)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(Undeclarable, match="has more than 1 files"):
        directory(tmp_path)
    (tmp_path / "b.yaml").unlink()
    assert directory(tmp_path).documents == {"a.yaml": []}
