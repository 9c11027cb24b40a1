"""Texts of a policy that stand for other texts: wildcards, and variables that the request fills in.

``*`` is any characters, also none; ``?`` is exactly one. In a document of version 2012-10-17 a text may hold
variables: ``${aws:username}`` becomes the value of that condition key, ``${aws:PrincipalTag/team, 'none'}`` has
a default for requests without it, and ``${*}``, ``${?}``, ``${$}`` are the characters themselves. What a variable
becomes is taken literally: an asterisk in somebody's tag is an asterisk.

A variable without a value makes its text match nothing (IAM user guide, "Policy variables with no value").
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from typing import Final, NamedTuple

Value = str | tuple[str, ...]
"""What a condition key has: one text, or any number of them if the key is of the kind that has several."""

Get = Callable[[str], Value | None]
"""Gives the value of a condition key, named in lower case; None if the request has no such key."""

Matcher = Callable[[str], object]
"""Whether a text fits: true or false, or what counts as such."""

_KEPT: Final = 256  # expressions compiled for one text with variables


class Live(NamedTuple):
    """A piece of a text in which asterisks and question marks are wildcards."""

    text: str


class Literal(NamedTuple):
    """A piece of a text that means itself."""

    text: str


class Variable(NamedTuple):
    """A place that the request fills in. ``key`` is in lower case."""

    key: str
    default: str | None
    name: str  # of the key as it was written


Piece = Live | Literal | Variable


class Template(NamedTuple):
    """A text of a policy, taken apart."""

    pieces: tuple[Piece, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The condition keys that its variables need."""
        return frozenset(piece.key for piece in self.pieces if isinstance(piece, Variable))

    def filled(self, get: Get) -> "Template | None":
        """The text with values in the places of its variables; None if one of them has none."""
        pieces: list[Piece] = []
        for piece in self.pieces:
            if isinstance(piece, Variable):
                value = get(piece.key)
                if not isinstance(value, str):  # of several values, none is the one that is meant
                    value = piece.default
                if value is None:
                    return None
                pieces.append(Literal(value))
            else:
                pieces.append(piece)
        return Template(tuple(pieces))

    def spelled(self) -> str:
        """The text where asterisks and question marks are nothing special; it must have no variables."""
        return "".join(piece.text for piece in self.pieces if not isinstance(piece, Variable))

    def split(self) -> "list[Template]":
        """Its parts between colons, at most six; colons that variables bring do not count."""
        parts: list[list[Piece]] = [[]]
        for piece in self.pieces:
            if isinstance(piece, Variable):
                parts[-1].append(piece)
                continue
            first, *others = piece.text.split(":", 6 - len(parts))
            parts[-1].append(type(piece)(first))
            parts += [[type(piece)(other)] for other in others]
        return [Template(tuple(part)) for part in parts]


# Blanks around the name are taken off afterwards: an expression that did it as well would try every way to share out a
# long row of them.
_VARIABLE: Final = re.compile(r"\$\{(?:([*?$])|([^,'{}]+)(?:,\s*'([^']*)'\s*)?)\}")


def template(text: str, *, variables: bool) -> Template:
    """A text of a policy taken apart; raises `ValueError` for a ``${`` that does not begin a variable."""
    if not variables or "${" not in text:
        return Template((Live(text),))
    pieces: list[Piece] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        found = _VARIABLE.match(text, start)
        if found is None:
            raise ValueError(text)
        pieces.append(Live(text[at:start]))
        sign, written, default = found.groups()
        name = (written or "").strip()
        if not sign and not name:
            raise ValueError(text)
        pieces.append(Literal(sign) if sign else Variable(name.lower(), default, name))
        at = found.end()
    pieces.append(Live(text[at:]))
    return Template(tuple(pieces))


def expression(pieces: Sequence[Piece]) -> str:
    """The regular expression for a wildcard text without variables, without backtracking.

    Between two asterisks the first place where the text fits is always good enough, and the atomic group tells
    the engine never to look for a second. Plain ``.*`` would try them all: a policy of twenty asterisks could
    keep a process busy for years.
    """
    between = [""]  # the expressions between the asterisks
    for piece in pieces:
        if isinstance(piece, Live):
            first, *others = (re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", piece.text))
            between[-1] += first
            between += others
        else:
            between[-1] += re.escape(piece[0])
    first, *rest = between
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last


def pattern(templates: Iterable[Template], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """One pattern that matches whatever any of the texts matches."""
    return re.compile("|".join(f"(?:{expression(t.pieces)})" for t in templates), flags | re.DOTALL)


def needle(each: Template) -> str:
    """A text that is in all texts which one without variables matches, and in few others.

    It is the longest one if need be, but rather one that comes after an asterisk: names begin alike.
    """
    parts: list[str] = []
    for piece in each.pieces:
        parts += re.split(r"[*?]", piece.text) if isinstance(piece, Live) else [piece[0]]
    later = max(parts[1:], key=len, default="")
    return later if len(later) >= _TELLING else max(parts, key=len)


_TELLING: Final = 4  # characters


def matcher(templates: Sequence[Template]) -> Matcher | None:
    """What tells whether a text is matched by any of these, which have no variables; None if all texts are."""
    exact: set[str] = set()
    prefixes: list[str] = []
    others: list[Template] = []
    for each in templates:
        live = "".join(piece.text for piece in each.pieces if isinstance(piece, Live))
        text = each.spelled()
        if text and not text.strip("*") and text == live:
            return None
        if not ("*" in live or "?" in live):
            exact.add(text)
        elif live == text and text.endswith("*") and not ("*" in text[:-1] or "?" in text[:-1]):
            prefixes.append(text[:-1])
        else:
            others.append(each)
    begun = tuple(prefixes)
    # The first two are called without a step into Python.
    if not others and not begun:
        return frozenset(exact).__contains__
    if not others and not exact:
        return methodcaller("startswith", begun)
    if not others:
        return lambda text: text in exact or text.startswith(begun)
    fits = pattern(others).fullmatch
    if not begun and not exact:
        return fits
    return lambda text: text in exact or text.startswith(begun) or fits(text) is not None


def varying(each: Template, *, wildcards: bool) -> Callable[[str, Get], bool]:
    """What tells whether a text is matched by one with variables, once these are filled in.

    Nothing is compiled or remembered for what a variable becomes, unless there are question marks: a policy may be
    asked by thousands, each with another name.
    """
    parts = _between_asterisks(each) if wildcards else [each]
    if parts is None:
        return _expressed(each)
    first, *others = parts
    variables = [piece for piece in first.pieces if isinstance(piece, Variable)]
    # The two commonest forms: one variable in a text, and the same with an asterisk at the end.
    ends = bool(others)
    if len(variables) == 1 and (not ends or [other.pieces for other in others] == [(Literal(""),)]):
        place = first.pieces.index(variables[0])
        before, after = (Template(p).spelled() for p in (first.pieces[:place], first.pieces[place + 1 :]))
        return _around(before, variables[0], after, begins=ends)

    def fits(text: str, get: Get) -> bool:
        found = []
        for part in parts:
            filled = part.filled(get)
            if filled is None:
                return False
            found.append(filled.spelled())
        return _in_turn(found, text)

    return fits


def _between_asterisks(each: Template) -> list[Template] | None:
    """The parts of a text between its asterisks, in which nothing is special; None if there are question marks."""
    parts: list[list[Piece]] = [[]]
    for piece in each.pieces:
        if not isinstance(piece, Live):
            parts[-1].append(piece)
            continue
        if "?" in piece.text:
            return None
        first, *others = re.split(r"\*+", piece.text)
        parts[-1].append(Literal(first))
        parts += [[Literal(other)] for other in others]
    return [Template(tuple(part)) for part in parts]


def _around(before: str, variable: Variable, after: str, *, begins: bool) -> Callable[[str, Get], bool]:
    """What tells whether a text is, or begins with, these two and between them what the variable becomes."""
    key, default = variable.key, variable.default

    def fits(text: str, get: Get) -> bool:
        if not text.startswith(before):
            return False
        value = get(key)
        if not isinstance(value, str):
            if default is None:
                return False
            value = default
        whole = before + value + after
        return text.startswith(whole) if begins else text == whole

    return fits


def _in_turn(parts: Sequence[str], text: str) -> bool:
    """Whether a text has these parts one after another, the first at its beginning and the last at its end."""
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    if not text.startswith(first):
        return False
    # The first place where a part fits is always good enough.
    at = len(first)
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - len(last) >= at and text.endswith(last)


def _expressed(each: Template) -> Callable[[str, Get], bool]:
    """What tells whether a text with variables and question marks matches, by an expression for what it becomes."""
    compiled: OrderedDict[Template, re.Pattern[str]] = OrderedDict()

    def fits(text: str, get: Get) -> bool:
        filled = each.filled(get)
        if filled is None:
            return False
        found = compiled.get(filled)
        if found is None:
            found = compiled[filled] = pattern([filled])
            if len(compiled) > _KEPT:
                compiled.popitem(last=False)
        return found.fullmatch(text) is not None

    return fits
