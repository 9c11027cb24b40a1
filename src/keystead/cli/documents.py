"""A directory of declarations: its YAML, JSON and PEM files, with the line that each member is on.

YAML is read as `keystead.cli.yaml` reads it, without its surprises; a file may hold several documents.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import yaml

from keystead.cli.yaml import load, read
from keystead.core.errors import InvalidRequest
from keystead.plan.documents import Directory, Document, Undeclarable
from keystead.plan.documents import Path as Place

MOST_FILES: Final = 10_000
_SUFFIXES: Final = (".json", ".pem", ".yaml", ".yml")
_BETWEEN: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def directory(root: Path) -> Directory:
    """All files of a directory and of those in it, but for hidden ones; raises `Undeclarable`."""
    if not root.is_dir():
        raise Undeclarable([f"{root} is not a directory"])
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if len(files) > MOST_FILES:
        raise Undeclarable([f"{root} has more than {MOST_FILES} files"])
    documents: dict[str, list[Document]] = {}
    texts, problems = {}, []
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            text, _ = read(path)
            if path.suffix == ".pem":
                texts[name] = text
            else:
                documents[name] = list(_documents(text, name, several=path.suffix != ".json"))
        except InvalidRequest as error:
            problems.append(str(error))
    if problems:
        raise Undeclarable(problems)
    return Directory(documents=documents, texts=texts)


def _documents(text: str, name: str, *, several: bool) -> Iterator[Document]:
    starts = [0, *(found.start() for found in _BETWEEN.finditer(text) if several)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        # So many empty lines before it that whatever is said of it has the line of the file.
        part = "\n" * text.count("\n", 0, start) + _BETWEEN.sub("", text[start:end], 1)
        value, lines = load(part, name), _lines(part)
        if value is not None:
            yield Document(file=name, value=value, lines=lines)


def _lines(text: str) -> dict[Place, int]:
    """The lines of the document's members; none where only JSON's own reader understands it."""
    found: dict[Place, int] = {}
    with suppress(yaml.YAMLError):
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _locate(root, (), root.start_mark.line + 1, found)
    return found


def _locate(node: yaml.Node, place: Place, line: int, found: dict[Place, int]) -> None:
    found[place] = line
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _locate(value, (*place, name.value), name.start_mark.line + 1, found)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _locate(value, (*place, number), value.start_mark.line + 1, found)
