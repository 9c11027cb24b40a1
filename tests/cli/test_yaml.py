"""YAML as the command line reads it: JSON's values, and nothing that surprises."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from keystead.cli.yaml import DEEPEST, MOST_BYTES, load, load_file, read
from keystead.core.errors import InvalidRequest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

TEXTS = st.recursive(
    st.text(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4) | st.dictionaries(st.text(), inner, min_size=1, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no\nb: yes\nc: on", {"a": "no", "b": "yes", "c": "on"}),
        ("a: 2026-01-31", {"a": "2026-01-31"}),
        ("a: 012345678901\nb: 111122223333", {"a": "012345678901", "b": 111122223333}),
        ("a: 1:30\nb: 0x10\nc: 1_000\nd: .5", {"a": "1:30", "b": "0x10", "c": "1_000", "d": ".5"}),
        ("a: true\nb: null\nc: ~\nd:\ne: -1.5e3", {"a": True, "b": None, "c": None, "d": None, "e": -1500.0}),
        ("a: 'true'\nb: \"1\"\nc: |\n  x\n  y", {"a": "true", "b": "1", "c": "x\ny"}),
        ("1: a\ntrue: b\n<<: c", {"1": "a", "true": "b", "<<": "c"}),
        ("- a\n- [b, {c: d}]\n- {}\n- []", ["a", ["b", {"c": "d"}], {}, []]),
        ("&here a: &there b", {"a": "b"}),
        ("", None),
        ("# nothing", None),
        ("just a text", "just a text"),
        ('{"a": NaN}', {"a": "NaN"}),
        ('{\n\t"tabs": "\\ud83d\\ude00"\n}', {"tabs": "\U0001f600"}),
    ],
)
def test_values_are_those_that_json_has(text: str, value: Any) -> None:
    """What is not quoted is a number, true, false or null only if JSON would say so; JSON itself is read as JSON."""
    assert load(text, "x") == value


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: 1\nb: 2\na: 3", "x line 3: a is there twice"),
        ('{"a": {"b": 1, "b": 2}}', "x: b is there twice"),
        ("a: &b 1\nc: *b", "x line 2: aliases are not taken: write it out"),
        ("a: !!python/object:os.system x", "x line 1: tags are not taken"),
        ("a: !mine {}", "x line 1: tags are not taken"),
        ("? [a]\n: b", "x line 1: a name must be a text"),
        ("a: 1\n---\nb: 2", "x line 2: there must be one document only"),
        ("a: [1", "x line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c", "x line 1: mapping values are not allowed here"),
        ("a: \x07", "x has a character that YAML does not take"),
        ("[" * (DEEPEST + 1), f"x line 1: it is more than {DEEPEST} levels deep"),
        ("[" * 100_000, f"x line 1: it is more than {DEEPEST} levels deep"),
    ],
)
def test_what_could_surprise_is_refused_with_its_line(text: str, refusal: str) -> None:
    """Nothing is guessed, and no document stands for more than it says."""
    with pytest.raises(InvalidRequest) as refused:
        load(text, "x")
    assert str(refused.value) == refusal


@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """Every JSON text has the value that it has for a JSON reader."""
    assert load(json.dumps(value), "x") == value


@given(TEXTS)
def test_what_a_yaml_writer_quotes_is_read_back(value: Any) -> None:
    """Texts in quotes are those texts, at any depth, on any number of lines."""
    assert load(pyyaml.safe_dump({"value": value}, default_style='"'), "x") == {"value": value}


@given(st.text())
def test_no_text_fails_in_another_way(text: str) -> None:
    """Whatever a file has, it is a value or a refusal."""
    assert outcome(text)[0] in "x["


def outcome(text: str) -> str:
    """The value as a list in JSON, or the refusal."""
    try:
        return json.dumps([load(text, "x")])
    except InvalidRequest as refused:
        return str(refused)


def test_a_file_or_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minus sign is standard input."""
    (tmp_path / "a.yaml").write_text("a: ä", encoding="utf-8")
    assert load_file(tmp_path / "a.yaml") == {"a": "ä"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b: 2")))
    assert read(Path("-")) == ("b: 2", "standard input")


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (None, ": No such file or directory"),
        (b"\xff", " is not UTF-8"),
        (b" " * (MOST_BYTES + 1), f" is larger than {MOST_BYTES} bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, refusal: str, tmp_path: Path) -> None:
    """It is missing, is no text, or is larger than any policy can be."""
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        load_file(path)
    assert str(refused.value) == f"{path}{refusal}"
