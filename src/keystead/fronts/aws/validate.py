"""Parsing a request's body and holding it against AWS's model, in AWS's words.

`parse` answers whether it is JSON of the right types; `validate` whether the values are allowed. AWS reports
every broken constraint at once, by the member's path:

    2 validation errors detected: Value 'x' at 'limit' failed to satisfy constraint: Member must have value
    less than or equal to 1000; Value null at 'keyId' failed to satisfy constraint: Member must not be null

A sensitive member's value is left out. A good request, which is nearly every one, is only asked yes or no by
checks made once for each operation; the words are looked for when a check has said no.

What the model does not say (which members go together, narrower limits) is the service's own to check.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from operator import attrgetter
from sys import maxsize
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from keystead.core.errors import InvalidRequest
from keystead.fronts.aws.errors import SerializationError
from keystead.fronts.aws.shapes import Blob, Input, Number, Operation, Rule, Structure, Text

_MOST_FAILURES: Final = 50  # are said; a body of many small wrong things must not make a large answer
_MOST_SHOWN: Final = 1024  # characters of a value are said back

Check = Callable[[Any], bool]


def parse(operation: Operation[Input], body: bytes) -> Input:
    """The operation's input, of type ``operation.input``. An empty body is one without members.

    Unknown members are ignored, and one that is null is as if absent. A body that is not JSON or has a
    wrong type somewhere is a `SerializationError`; its text says where, never what.
    """
    if not body:
        return operation.input()
    try:
        return operation.decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise SerializationError(str(error)) from None
    except (UnicodeDecodeError, RecursionError):
        raise SerializationError("The body is not UTF-8, or is nested too deeply.") from None


def validate(operation: Operation[Input], request: Input) -> None:
    """Raise `InvalidRequest` unless every member is what AWS's model allows."""
    values, checks = _compiled(operation.input)
    for value, (required, check) in zip(values(request), checks, strict=True):
        if value is None:
            if required:
                raise _refusal(request)
        elif not check(value):
            raise _refusal(request)


# --- yes or no -------------------------------------------------------------------------------------------


@cache
def _compiled(
    structure: type[Structure],
) -> tuple[Callable[[Structure], tuple[Any, ...]], tuple[tuple[bool, Check], ...]]:
    """How to take a structure's constrained members, and for each whether it is required and its check."""
    names: list[str] = []
    checks: list[tuple[bool, Check]] = []
    for name, kind in _members(structure):
        check, required = _check(kind), name in structure.required
        if check is not None or required:
            names.append(name)
            checks.append((required, check or _anything))
    if len(names) == 1:
        alone = attrgetter(*names)
        return (lambda request: (alone(request),)), tuple(checks)
    return (attrgetter(*names) if names else lambda _: ()), tuple(checks)


def _anything(_: object) -> bool:
    """The check of a member that must only be there."""
    return True


def _check(kind: object) -> Check | None:
    """The check of one type; None if it allows whatever decodes to it."""
    bare, rule = _ruled(kind)
    if isinstance(bare, type) and issubclass(bare, Structure):
        return _structure_check(bare)
    element = _check(get_args(bare)[0]) if get_origin(bare) is list else None
    if element is not None:
        return _list_check(rule, element)
    return _scalar_check(rule) if rule else None


def _scalar_check(rule: Rule) -> Check:
    """The check of a string, bytes, an integer, or a list whose elements are free."""
    low, high = _bounds(rule)
    if isinstance(rule, Number):
        return lambda value: low <= value <= high
    if isinstance(rule, Text) and rule.enum:
        return frozenset(rule.enum).__contains__
    if isinstance(rule, Text) and rule.pattern:
        matches = _pattern(rule.pattern)
        return lambda value: low <= len(value) <= high and matches(value) is not None
    return lambda value: low <= len(value) <= high


def _list_check(rule: Rule | None, element: Check) -> Check:
    """The check of a list and all its elements."""
    low, high = _bounds(rule)
    return lambda values: low <= len(values) <= high and all(map(element, values))


def _structure_check(structure: type[Structure]) -> Check:
    """The check of a nested structure."""
    values, checks = _compiled(structure)

    def check(nested: Structure) -> bool:
        return all(
            (not required) if value is None else good(value)
            for value, (required, good) in zip(values(nested), checks, strict=True)
        )

    return check


# --- in words --------------------------------------------------------------------------------------------


def _refusal(request: Structure) -> InvalidRequest:
    """The error that says all that is wrong."""
    failures = list(islice(_structure_failures("", request), _MOST_FAILURES))
    count = f"{len(failures)} validation error{'s' if len(failures) > 1 else ''} detected"
    return InvalidRequest(f"{count}: {'; '.join(failures)}")


def _structure_failures(path: str, structure: Structure) -> Iterator[str]:
    """What is wrong with a structure's members, in the model's order."""
    for name, kind in _members(type(structure)):
        value = getattr(structure, name)
        where = f"{path}{name[0].lower()}{name[1:]}"
        if value is not None:
            yield from _failures(where, kind, value)
        elif name in structure.required:
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"


def _failures(path: str, kind: object, value: object) -> Iterator[str]:
    """What is wrong with one value."""
    if isinstance(value, Structure):
        yield from _structure_failures(f"{path}.", value)
        return
    bare, rule = _ruled(kind)
    for demand, satisfied in _demands(rule):
        if not satisfied(value):
            yield f"Value{_shown(rule, value)} at '{path}' failed to satisfy constraint: {demand}"
    if not isinstance(value, list):
        return
    (element,) = get_args(bare)
    if isinstance(element, type) and issubclass(element, Structure):
        for index, nested in enumerate(value, start=1):
            yield from _structure_failures(f"{path}.{index}.member.", nested)
    else:
        # Of a list of plain values AWS says the list and all that each element must be.
        demands = list(_demands(_ruled(element)[1]))
        if not all(satisfied(item) for item in value for _, satisfied in demands):
            each = ", ".join(demand for demand, _ in demands)
            yield (
                f"Value{_shown(rule, value)} at '{path}' failed to satisfy constraint: "
                f"Member must satisfy constraint: [{each}]"
            )


def _demands(rule: Rule | None) -> Iterator[tuple[str, Check]]:
    """What a rule demands, each in AWS's words with its check."""
    if rule is None:
        return
    low, high = rule.min, rule.max
    measure, of = ("value", int) if isinstance(rule, Number) else ("length", len)
    if high is not None:
        yield f"Member must have {measure} less than or equal to {high}", lambda value: of(value) <= high
    if low is not None:
        yield f"Member must have {measure} greater than or equal to {low}", lambda value: of(value) >= low
    if isinstance(rule, Text) and rule.pattern:
        matches = _pattern(rule.pattern)
        yield (
            f"Member must satisfy regular expression pattern: {rule.pattern}",
            lambda value: matches(value) is not None,
        )
    if isinstance(rule, Text) and rule.enum:
        allowed = rule.enum
        yield f"Member must satisfy enum value set: [{', '.join(allowed)}]", lambda value: value in allowed


def _shown(rule: Rule | None, value: object) -> str:
    """A value as AWS says it back (it is written in Java): not at all if it is sensitive."""
    if isinstance(rule, Text | Blob) and rule.sensitive:
        return ""
    if isinstance(value, bytes):
        return f" 'java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]'"
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return f" '{text}'" if len(text) <= _MOST_SHOWN else f" '{text[:_MOST_SHOWN]}...'"


# --- reading the model -----------------------------------------------------------------------------------


@cache
def _members(structure: type[Structure]) -> tuple[tuple[str, Any], ...]:
    """A structure's members, each with its type but without the None that stands for absence."""
    return tuple((field.name, get_args(field.type)[0]) for field in msgspec.structs.fields(structure))


def _ruled(kind: object) -> tuple[object, Rule | None]:
    """A type and the rule it is annotated with."""
    if get_origin(kind) is Annotated:
        bare, rule = get_args(kind)
        return bare, rule
    return kind, None


def _bounds(rule: Rule | None) -> tuple[int, int]:
    """The least and the most, where a bound that is not given never bites."""
    low, high = (rule.min, rule.max) if rule else (None, None)
    return (-maxsize if low is None else low), (maxsize if high is None else high)


@cache
def _pattern(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """A pattern that the whole string must match; AWS's character classes are ASCII, unless they are Unicode's own."""
    if r"\p{" in pattern:
        for name, members in _PROPERTIES.items():
            pattern = pattern.replace(name, members)
        pattern = f"(?u:{pattern})"
    return re.compile(pattern, re.ASCII).fullmatch


# Unicode's letters, numbers and separators, within a class that has the underscore as well.
_PROPERTIES: Final = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
