"""Statements, and how the first of many that holds is found without asking each.

Most conditions look at one value of the request only. What all of a policy's conditions on one key come to is then a
matter of that value: it is worked out once for a value and remembered as a row of bits, one for each statement. So a
policy that tells twenty applications apart by one key takes the value of that key once and looks at one row.

What is remembered is bounded for all policies of the process together, and the oldest goes first.
"""

import functools
import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from keystead.core.policy.conditions import Condition, Test
from keystead.core.policy.wildcards import Get, Matcher, Value

K = TypeVar("K")
V = TypeVar("V")


class Effect(StrEnum):
    """What a statement does when it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement, compiled."""

    label: str  # the Sid, or #index from 0
    effect: Effect
    principals: frozenset[str] = frozenset()  # ARNs, account numbers, services' names or "*"
    all_but: bool = False  # the principals are those of a NotPrincipal
    actions: re.Pattern[str]
    not_actions: bool = False
    resources: Matcher | None = None  # None: every one, or it takes `open_resources` to tell
    within: str = ""  # a text that is in all `resources`, so that most others are told apart by it alone
    open_resources: Callable[[str, Get], bool] | None = None
    open_keys: frozenset[str] = frozenset()  # the condition keys that those need
    conditions: tuple[Condition, ...] = ()
    tests: tuple[Test, ...] = ()  # of the conditions
    keys: frozenset[str] = frozenset()  # the condition keys that it needs, in lower case
    fixed: bool = True  # it needs none
    misnamed: tuple[str, ...] = ()  # actions that it means to deny, and that there are not

    def about(self, action: str) -> bool:
        """Whether it speaks of an action."""
        return (self.actions.fullmatch(action) is not None) is not self.not_actions


class Memory:
    """Bounds what many dictionaries hold together: each entry that is one too many pushes out the oldest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._order: deque[tuple[dict[Any, Any], object]] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def keep(self, where: dict[K, V], key: K, value: V) -> V:
        """Put an entry in its dictionary."""
        where[key] = value
        self._order.append((where, key))
        if len(self._order) > self.most:
            oldest, name = self._order.popleft()
            oldest.pop(name, None)
        return value


LONGEST: Final = 256
"""Characters of a value that something is remembered for; encryption contexts may have longer ones."""

VALUES: Final = Memory(65_536)
"""Which statements hold for a value."""


class _Row(NamedTuple):
    """Something that a statement asks: one of its conditions, or what its resources are with their variables."""

    bit: int  # of the statement
    holds: Callable[[str, Get], bool]
    equal: frozenset[str] | None = None  # see `Condition`
    of_text: Matcher | None = None


class _Asked(NamedTuple):
    """What something that a statement asks depends on."""

    resource: bool
    keys: tuple[str, ...]


class _Column:
    """What several statements ask of the same values: for these, the statements that are left, as bits."""

    __slots__ = (
        "_absent",
        "_everything",
        "_exact",
        "_key",
        "_keys",
        "_known",
        "_of_resource",
        "_others",
        "_rows",
        "_texts",
        "bit",
    )

    def __init__(self, bit: int, asked: _Asked, rows: Sequence[_Row], everything: int) -> None:
        self.bit = bit  # among the columns
        self._rows = rows
        self._everything = everything
        self._others = everything & ~functools.reduce(operator.or_, (row.bit for row in rows))
        self._of_resource = asked.resource
        self._keys = asked.keys
        self._key = "" if asked.resource or len(asked.keys) > 1 else asked.keys[0]
        self._absent = self._worked_out(_NOTHING.get, "")
        self._known: dict[str | tuple[Value | None, ...], int] = {}
        self._texts = [(row.bit, row.of_text) for row in rows if row.of_text is not None]
        # Where there are only lists of texts, all texts that count are known at once.
        self._exact = all(row.equal is not None for row in rows)
        if self._exact:
            wanted = frozenset[str]().union(*(row.equal or () for row in rows))
            self._known = {value: self._of_text(value) for value in wanted}

    def left(self, get: Get, resource: str) -> int:
        """The statements that the values leave."""
        if self._key:
            value = get(self._key)
            if value is None:
                return self._absent
            if not isinstance(value, str):
                return self._worked_out(get, resource)
            found = self._known.get(value)
            if found is not None:
                return found
            if self._exact:
                return self._others
            all_texts = len(self._texts) == len(self._rows)
            left = self._of_text(value) if all_texts else self._worked_out(get, resource)
            return left if len(value) > LONGEST else VALUES.keep(self._known, value, left)
        values = (resource if self._of_resource else None, *map(get, self._keys))
        found = self._known.get(values)
        if found is not None:
            return found
        left = self._worked_out(get, resource)
        if any(
            value is not None and (not isinstance(value, str) or len(value) > LONGEST) for value in values
        ):
            return left
        return VALUES.keep(self._known, values, left)

    def _of_text(self, value: str) -> int:
        left = self._everything
        for bit, fits in self._texts:
            if not fits(value):
                left &= ~bit
        return left

    def _worked_out(self, get: Get, resource: str) -> int:
        left = self._everything
        for row in self._rows:
            if left & row.bit and not row.holds(resource, get):
                left &= ~row.bit
        return left


_NOTHING: Final[dict[str, Value]] = {}


class _Step(NamedTuple):
    """What one statement takes to hold."""

    statement: Statement
    columns: tuple[_Column, ...]
    open_resources: Callable[[str, Get], bool] | None  # unless they are in a column
    tests: tuple[Test, ...]  # of the conditions that are in no column


class Ordered:
    """Some statements of a document in its order, to find the first that holds. There is at least one."""

    __slots__ = ("_everything", "_shared", "_steps", "fixed", "statements")

    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self.statements = statements
        self.fixed = statements[0] if statements[0].fixed else None
        """The first statement if it holds anyway, so that nothing has to be looked for."""
        self._everything = (1 << len(statements)) - 1
        self._steps: tuple[_Step, ...] = ()
        self._shared = False  # whether several ask of the same values

    def first(self, get: Get, resource: str, left_out: int = 0) -> Statement | None:
        """The first statement of which conditions and variables hold; those of ``left_out``, as bits, do not count."""
        steps = self._steps or self._planned()
        if not self._shared and not left_out:
            return _first_of(steps, get, resource)
        left, seen = self._everything & ~left_out, 0
        while left:
            bit = left & -left
            statement, columns, open_covers, tests = steps[bit.bit_length() - 1]
            # (1) what it asks of the same values as others: each is looked at once for all.
            for column in columns:
                if not column.bit & seen:
                    seen |= column.bit
                    left &= column.left(get, resource)
                    if not left & bit:
                        break
            else:
                # (2) what only this statement asks.
                if open_covers is None or open_covers(resource, get):
                    for test in tests:
                        if not test(get):
                            break
                    else:
                        return statement
                left ^= bit
        return None

    def _planned(self) -> tuple[_Step, ...]:
        found: dict[_Asked, list[_Row]] = {}
        for index, statement in enumerate(self.statements):
            bit = 1 << index
            if (open_covers := statement.open_resources) is not None:
                asked = _Asked(resource=True, keys=tuple(sorted(statement.open_keys)))
                found.setdefault(asked, []).append(_Row(bit, open_covers))
            for each in statement.conditions:
                if each.by_value:
                    row = _Row(bit, _whatever_resource(each.test), each.equal, each.of_text)
                    found.setdefault(_of(each), []).append(row)
        columns = {
            asked: _Column(1 << number, asked, rows, self._everything)
            for number, (asked, rows) in enumerate(found.items())
            if len({row.bit for row in rows}) > 1
        }
        self._shared = bool(columns)
        self._steps = steps = tuple(_step(statement, columns) for statement in self.statements)
        return steps


def _first_of(steps: Iterable[_Step], get: Get, resource: str) -> Statement | None:
    """The first that holds of those that share nothing.

    The loop over the tests stands in `Ordered` too: a call for each statement would cost as much as its tests.
    """
    for statement, _, open_covers, tests in steps:
        if open_covers is None or open_covers(resource, get):
            for test in tests:
                if not test(get):
                    break
            else:
                return statement
    return None


def _of(each: Condition) -> _Asked:
    return _Asked(resource=False, keys=tuple(sorted(each.keys)))


def _whatever_resource(test: Test) -> Callable[[str, Get], bool]:
    return lambda _resource, get: test(get)


def _step(statement: Statement, columns: dict[_Asked, _Column]) -> _Step:
    concerned = list[_Column]()
    open_covers = statement.open_resources
    column = columns.get(_Asked(resource=True, keys=tuple(sorted(statement.open_keys))))
    if column is not None:
        concerned.append(column)
        open_covers = None
    tests = []
    for each in statement.conditions:
        column = columns.get(_of(each)) if each.by_value else None
        if column is None:
            tests.append(each.test)
        elif column not in concerned:
            concerned.append(column)
    return _Step(statement, tuple(concerned), open_covers, tuple(tests))
