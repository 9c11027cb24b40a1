"""Conditions: one operator, one key of the request, and the values that are wanted.

A condition becomes one function of the request's values, once, when its policy is parsed. How it decides
(IAM user guide, "Condition operators" and "Multivalued context keys"):

* several wanted values: one of them is enough; with a negated operator (``StringNotEquals``, ...) none may match;
* the request has no such key: false, with a negated operator true, with ``...IfExists`` true;
* ``ForAllValues:`` each of the request's values must pass; true if there are none;
* ``ForAnyValue:`` one of the request's values must pass; false if there are none;
* several values in the request and neither of the two: AWS leaves open what happens. Here the condition of an
  Allow must hold for each of the values, that of a Deny for any of them, so that a second value opens nothing.
"""

import binascii
import operator
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

from keystead.core.policy.wildcards import (
    Get,
    Live,
    Matcher,
    Template,
    Variable,
    matcher,
    template,
    varying,
)

Test = Callable[[Get], bool]
"""Whether a condition holds for a request."""

Match = Callable[[str, Get], bool]
"""Whether one value of the request is, by the positive form of an operator, one of the wanted values."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it was written, and compiled."""

    operator: str
    key: str
    wanted: tuple[str, ...]
    test: Test
    keys: frozenset[str]  # the condition keys it needs, in lower case
    by_value: bool = (
        False  # the values of its keys are such as come again, so that the outcome may be remembered
    )
    equal: frozenset[str] | None = (
        None  # of a text: the ones with which it holds, if that is all there is to it
    )
    of_text: Matcher | None = (
        None  # the same by something that tells, without a word about missing or several
    )

    @property
    def text(self) -> str:
        """The condition in one line."""
        return f"{self.operator} {self.key}: {' or '.join(self.wanted)}"


class Unreadable(ValueError):
    """A wanted value that the operator cannot compare with; its text says what it takes."""


def condition(name: str, key: str, values: Sequence[str], *, variables: bool, deny: bool) -> Condition | None:
    """The condition of an operator's full name; None if there is no such operator.

    Raises `Unreadable` for a wanted value that the operator does not take.
    """
    quantifier, colon, rest = name.rpartition(":")
    if quantifier not in ("", "ForAllValues", "ForAnyValue") or (colon and not quantifier):
        return None
    folded = key.lower()
    if rest == "Null":
        if quantifier:
            return None
        keys = frozenset({folded})
        return Condition(name, key, tuple(values), _null(folded, values), keys, _by_value(rest, keys))
    base = rest.removesuffix("IfExists")
    found = OPERATORS.get(base)
    if found is None:
        return None
    compile_values, negated = found
    templates = [
        _template(value, variables=variables and base.startswith(("String", "Arn"))) for value in values
    ]
    match = compile_values(templates)
    if_exists = rest != base
    equal: frozenset[str] | None = None
    of_text: Matcher | None = None
    if quantifier == "ForAllValues":
        test = _for_all(folded, match, negated=negated)
    elif quantifier == "ForAnyValue":
        test = _for_any(folded, match, negated=negated, missing=if_exists)
    else:
        missing, every = negated or if_exists, any if deny else all
        test = _plain(folded, match, negated=negated, missing=missing, every=every)
        if base in _ALONE and not any(each.keys for each in templates):
            of_text, equal = _ALONE[base](templates)
            test = _alone(folded, of_text, otherwise=test)
    keys = frozenset({folded}).union(*(each.keys for each in templates))
    return Condition(name, key, tuple(values), test, keys, _by_value(base, keys), equal, of_text)


_EVER_NEW: Final = frozenset(
    {"aws:currenttime", "aws:epochtime", "aws:multifactorauthage", "aws:tokenissuetime"}
)


def _by_value(base: str, keys: frozenset[str]) -> bool:
    """Whether it is worth while to remember what a condition comes to: times and numbers hardly come again."""
    return keys.isdisjoint(_EVER_NEW) and not base.startswith(("Numeric", "Date"))


# --- how many of the request's values --------------------------------------------------------------------


def _plain(
    key: str, match: Match, *, negated: bool, missing: bool, every: Callable[[Sequence[bool]], bool]
) -> Test:
    def test(get: Get) -> bool:
        value = get(key)
        if not value and not isinstance(value, str):
            return missing
        if isinstance(value, str):
            return match(value, get) is not negated
        return every([match(each, get) is not negated for each in value])

    return test


def _alone(key: str, of_text: Matcher, *, otherwise: Test) -> Test:
    """The same as `_plain` with a shorter way for the commonest conditions."""

    def test(get: Get) -> bool:
        value = get(key)
        return bool(of_text(value)) if isinstance(value, str) else otherwise(get)

    return test


def _for_all(key: str, match: Match, *, negated: bool) -> Test:
    def test(get: Get) -> bool:
        values = _several(get(key))
        return all(match(value, get) is not negated for value in values)

    return test


def _for_any(key: str, match: Match, *, negated: bool, missing: bool) -> Test:
    def test(get: Get) -> bool:
        found = get(key)
        if not found and not isinstance(found, str):
            return missing
        return any(match(value, get) is not negated for value in _several(found))

    return test


def _several(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The values for a set operator. Empty texts alone are no values (IAM user guide, "ForAllValues")."""
    values = (value,) if isinstance(value, str) else value or ()
    return values if any(values) else ()


def _null(key: str, values: Sequence[str]) -> Test:
    wanted = {_truth(value) for value in values}

    def test(get: Get) -> bool:
        value = get(key)
        return (value is None or value == ()) in wanted

    return test


# --- one of the request's values -------------------------------------------------------------------------


def _strings(templates: Sequence[Template]) -> Match:
    fixed = frozenset(each.spelled() for each in templates if not each.keys)
    filled = [varying(each, wildcards=False) for each in templates if each.keys]
    if not filled:
        return lambda value, _: value in fixed
    return lambda value, get: value in fixed or any(same(value, get) for same in filled)


def _strings_ignoring_case(templates: Sequence[Template]) -> Match:
    fixed = frozenset(each.spelled().casefold() for each in templates if not each.keys)
    open_ = [each for each in templates if each.keys]

    def match(value: str, get: Get) -> bool:
        folded = value.casefold()
        if folded in fixed:
            return True
        filled = (each.filled(get) for each in open_)
        return any(each is not None and each.spelled().casefold() == folded for each in filled)

    return match


def _like(templates: Sequence[Template]) -> Match:
    fixed = matcher([each for each in templates if not each.keys])
    filled = [varying(each, wildcards=True) for each in templates if each.keys]
    if fixed is None:
        return lambda _value, _get: True
    if not filled:
        return lambda value, _: bool(fixed(value))
    return lambda value, get: bool(fixed(value)) or any(fits(value, get) for fits in filled)


def _arns(templates: Sequence[Template]) -> Match:
    """Each of the six parts of an ARN is compared with its own part, so no asterisk reaches over a colon."""
    tests = [_arn(each) for each in templates]
    if len(tests) == 1:
        return tests[0]
    return lambda value, get: any(fits(value, get) for fits in tests)


def _arn(each: Template) -> Match:
    meant = [piece for piece in each.pieces if isinstance(piece, Variable) or piece.text]
    if len(meant) == 1 and isinstance(meant[0], Variable):  # the whole ARN is the request's
        same = varying(each, wildcards=False)
        return lambda value, get: value.count(":") >= _COLONS and same(value, get)
    parts = each.split()
    if len(parts) != _COLONS + 1 or parts[0] != Template((Live("arn"),)):
        raise Unreadable("must be an ARN, of six parts with colons between, or one variable")
    # Parts that are an asterisk need no test.
    tests = [(place, test) for place, test in enumerate(map(_part, parts)) if test is not None]

    def match(value: str, get: Get) -> bool:
        found = value.split(":", _COLONS)
        if len(found) <= _COLONS:
            return False
        for place, test in tests:  # noqa: SIM110 - to make a generator takes longer than the tests
            if not test(found[place], get):
                return False
        return True

    return match


def _part(part: Template) -> Match | None:
    if part.keys:
        return varying(part, wildcards=True)
    test = matcher([part])
    return None if test is None else lambda value, _: bool(test(value))


_COLONS: Final = 5  # in an ARN, before the part that names the resource


def _numbers(compare: Callable[[Decimal, Decimal], bool]) -> "Compile":
    return _ordered(compare, number, "must be a number")


def _dates(compare: Callable[[Decimal, Decimal], bool]) -> "Compile":
    return _ordered(compare, instant, "must be a date such as 2026-01-31T08:00:00Z, or seconds since 1970")


def _ordered(
    compare: Callable[[Decimal, Decimal], bool], read: Callable[[str], Decimal | None], must: str
) -> "Compile":
    def compile_values(templates: Sequence[Template]) -> Match:
        wanted = []
        for each in templates:
            limit = read(each.spelled())
            if limit is None:
                raise Unreadable(must)
            wanted.append(limit)

        def match(value: str, _get: Get) -> bool:
            found = read(value)
            return found is not None and any(compare(found, limit) for limit in wanted)

        return match

    return compile_values


_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)


def number(text: str) -> Decimal | None:
    """The number that a text is, if it is one."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(?:Z|([+-])(\d\d):(\d\d)))?)?)?",
    re.ASCII,
)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_HOURS: Final = 23
_MINUTES: Final = 59  # and seconds


def instant(text: str) -> Decimal | None:
    """The seconds since 1970 of a date in the form of W3C's NOTE-datetime, or of such a number itself.

    Four digits alone are a year.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return number(text)
    written = zip(found.groups()[:6], _FILL, strict=True)
    year, month, day, hour, minute, second = (int(part or fill) for part, fill in written)
    fraction, sign, off_hours, off_minutes = found.groups()[6:]
    away = int(off_hours or 0) * 60 + int(off_minutes or 0)
    if hour > _HOURS or max(minute, second, int(off_minutes or 0)) > _MINUTES:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    minutes = days * 1440 + hour * 60 + minute + (away if sign == "-" else -away)
    return minutes * 60 + second + Decimal(fraction or 0)


_FILL: Final = (1, 1, 1, 0, 0, 0)


def _bools(templates: Sequence[Template]) -> Match:
    wanted = {"true" if _truth(each.spelled()) else "false" for each in templates}
    return lambda value, _: value.lower() in wanted


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Unreadable("must be true or false")
    return text.lower() == "true"


def _binaries(templates: Sequence[Template]) -> Match:
    try:
        wanted = frozenset(b64decode(each.spelled(), validate=True) for each in templates)
    except (binascii.Error, ValueError):
        raise Unreadable("must be base64") from None
    return lambda value, _: value.encode(errors="surrogatepass") in wanted


def _addresses(templates: Sequence[Template]) -> Match:
    try:
        networks = [ip_network(each.spelled(), strict=False) for each in templates]
    except ValueError:
        raise Unreadable("must be an IP address or a network such as 203.0.113.0/24") from None
    wanted = [(net.version, int(net.network_address), int(net.netmask)) for net in networks]

    def match(value: str, _get: Get) -> bool:
        version, number_ = _address(value)
        for v, network, mask in wanted:  # noqa: SIM110 - to make a generator takes longer than the tests
            if number_ & mask == network and version == v:
                return True
        return False

    return match


@lru_cache(maxsize=1024)
def _address(text: str) -> tuple[int, int]:
    """The family and the number of an address; a family that does not exist if it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return 0, 0
    # A listener for both families shows an IPv4 peer as ::ffff:203.0.113.5.
    found = getattr(found, "ipv4_mapped", None) or found
    return found.version, int(found)


def _template(value: str, *, variables: bool) -> Template:
    if not variables:
        return Template((Live(value),))
    try:
        return template(value, variables=True)
    except ValueError:
        raise Unreadable("has a ${ that does not begin a policy variable") from None


Compile = Callable[[Sequence[Template]], Match]


def _equal(templates: Sequence[Template]) -> tuple[Matcher, frozenset[str] | None]:
    wanted = frozenset(each.spelled() for each in templates)
    return wanted.__contains__, wanted


def _unequal(templates: Sequence[Template]) -> tuple[Matcher, frozenset[str] | None]:
    wanted = frozenset(each.spelled() for each in templates)
    return (lambda value: value not in wanted), None


def _alike(templates: Sequence[Template]) -> tuple[Matcher, frozenset[str] | None]:
    return matcher(templates) or (lambda _: True), None


_ALONE: Final = {"StringEquals": _equal, "StringNotEquals": _unequal, "StringLike": _alike}
"""The operators that have, without variables, a short way for a single text."""

OPERATORS: Final[dict[str, tuple[Compile, bool]]] = {
    "StringEquals": (_strings, False),
    "StringNotEquals": (_strings, True),
    "StringEqualsIgnoreCase": (_strings_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_strings_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "NumericEquals": (_numbers(operator.eq), False),
    "NumericNotEquals": (_numbers(operator.eq), True),
    "NumericLessThan": (_numbers(operator.lt), False),
    "NumericLessThanEquals": (_numbers(operator.le), False),
    "NumericGreaterThan": (_numbers(operator.gt), False),
    "NumericGreaterThanEquals": (_numbers(operator.ge), False),
    "DateEquals": (_dates(operator.eq), False),
    "DateNotEquals": (_dates(operator.eq), True),
    "DateLessThan": (_dates(operator.lt), False),
    "DateLessThanEquals": (_dates(operator.le), False),
    "DateGreaterThan": (_dates(operator.gt), False),
    "DateGreaterThanEquals": (_dates(operator.ge), False),
    "Bool": (_bools, False),
    "BinaryEquals": (_binaries, False),
    "IpAddress": (_addresses, False),
    "NotIpAddress": (_addresses, True),
    "ArnEquals": (_arns, False),
    "ArnNotEquals": (_arns, True),
    "ArnLike": (_arns, False),
    "ArnNotLike": (_arns, True),
}
"""Each operator: how it compares, and whether it is the negated form. ``Null`` stands apart."""
