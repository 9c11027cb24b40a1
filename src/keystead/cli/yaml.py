r"""YAML as this command line reads it: JSON's values in YAML's clothes, which every JSON text is as well.

YAML has surprises that matter where policies are written: ``no`` would be false, ``2026-01-31`` a date and
``012345678901``, an account, a number in base eight; of two members with one name the later would win, and a few lines
of aliases can stand for gigabytes. Here the first three are texts, and the others are refused, as are tags. What is
not quoted is ``null``, ``true``, ``false`` or a number only if JSON would say so.

    >>> load("account: 012345678901\nenabled: no\nkeys: [1, true]", "accounts.yaml")
    {'account': '012345678901', 'enabled': 'no', 'keys': [1, True]}
"""

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from keystead.core.errors import InvalidRequest

MOST_BYTES: Final = 1 << 20
DEEPEST: Final = 50

_JSON: Final = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def called(path: Path) -> str:
    """What to call a file."""
    return "standard input" if str(path) == "-" else str(path)


def read(path: Path) -> tuple[str, str]:
    """The text of a file and what to call it; `-` is standard input. Raises `InvalidRequest` if it cannot be read."""
    name = called(path)
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{name}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise InvalidRequest(f"{name} is larger than {MOST_BYTES} bytes")
    try:
        return data.decode(), name
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} is not UTF-8") from None


def load_file(path: Path) -> Any:  # noqa: ANN401 - whatever the document has
    """The value of the document in a file."""
    return load(*read(path))


def load(text: str, where: str) -> Any:  # noqa: ANN401 - whatever the document has
    """The value of a document; raises `InvalidRequest` with ``where``, the line and what is wrong there."""
    building = _Building(where)
    with suppress(
        ValueError, RecursionError
    ):  # as JSON, since YAML takes neither its tabs nor its surrogates
        return json.loads(text, object_pairs_hook=building.members, parse_constant=_no_constant)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            building.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InvalidRequest(f"{where}{f' line {mark.line + 1}' if mark else ''}: {error.problem}") from None
    except yaml.YAMLError:  # a character that no YAML has
        raise InvalidRequest(f"{where} has a character that YAML does not take") from None
    return building.value


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)


class _Building:
    """A document's value, as far as its events have come."""

    def __init__(self, where: str) -> None:
        self.value: Any = None
        self._where = where
        self._documents = 0
        self._open: list[dict[str, Any] | list[Any]] = []
        self._names: list[str | None] = []  # of each open collection: the member whose value is next

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The members of an object in JSON."""
        found = dict[str, Any]()
        for name, value in pairs:
            if name in found:
                raise InvalidRequest(f"{self._where}: {name[:100]} is there twice")
            found[name] = value
        return found

    def take(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "there must be one document only")
        elif isinstance(event, CollectionEndEvent):
            self._open.pop()
            self._names.pop()
        elif isinstance(event, NodeEvent):
            self._node(event)

    def _node(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, "aliases are not taken: write it out")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, "tags are not taken")
        if isinstance(event, CollectionStartEvent):
            if len(self._open) >= DEEPEST:
                self._refuse(event, f"it is more than {DEEPEST} levels deep")
            value: Any = {} if isinstance(event, MappingStartEvent) else []
            self._put(event, value)
            self._open.append(value)
            self._names.append(None)
        else:
            self._put(event, event)

    def _put(self, event: NodeEvent, value: Any) -> None:  # noqa: ANN401 - a value, or an event that is a text
        within = self._open[-1] if self._open else None
        if isinstance(within, dict) and self._names[-1] is None:
            if not isinstance(event, ScalarEvent):
                self._refuse(event, "a name must be a text")
            if event.value in within:
                self._refuse(event, f"{event.value[:100]} is there twice")
            self._names[-1] = event.value
            return
        if isinstance(value, ScalarEvent):
            value = _scalar(value)
        if isinstance(within, dict):
            within[self._names[-1] or ""] = value
            self._names[-1] = None
        elif isinstance(within, list):
            within.append(value)
        else:
            self.value = value

    def _refuse(self, event: Event, why: str) -> NoReturn:
        mark = event.start_mark
        raise InvalidRequest(f"{self._where}{f' line {mark.line + 1}' if mark else ''}: {why}")


def _scalar(event: ScalarEvent) -> Any:  # noqa: ANN401 - a JSON value
    text: str = event.value
    if event.style:  # in quotes, or a block
        return text
    if text in ("", "~"):
        return None
    return json.loads(text) if _JSON.fullmatch(text) else text
