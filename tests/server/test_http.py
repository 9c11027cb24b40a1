"""The rules of a request's wire form, as plain calls; `test_listener` has them on real connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.server import http
from keystead.server.http import Limits, RefusedError


@given(st.integers(min_value=0, max_value=100))
def test_a_length_within_the_limit_is_read(length: int) -> None:
    """A plain decimal number is the length, with zeros before it or not."""
    assert http.body_length({b"content-length": b"%d" % length}, 100) == length
    assert http.body_length({b"content-length": b"%05d" % length}, 100) == length


def test_no_length_means_no_body() -> None:
    """A request without a length ends with its head."""
    assert http.body_length({}, 100) == 0


@pytest.mark.parametrize("text", [b"", b"+5", b"-5", b"0x5", b"5 5", b"5,5", b"5.0", b"1_0", b"\xd9\xa5"])
def test_anything_but_digits_is_no_length(text: bytes) -> None:
    """What another parser might read as another number is refused, whatever llhttp let through."""
    with pytest.raises(RefusedError) as refused:
        http.body_length({b"content-length": text}, 100)
    assert refused.value.problem is http.BAD_LENGTH


@pytest.mark.parametrize("text", [b"101", b"9" * 18, b"9" * 19, b"0" * 18 + b"5", b"9" * 5000])
def test_a_length_over_the_limit_is_refused(text: bytes) -> None:
    """Also one that is so long that only its digits are counted."""
    with pytest.raises(RefusedError) as refused:
        http.body_length({b"content-length": text}, 100)
    assert refused.value.problem is http.BODY_TOO_LARGE


def test_repeated_lists_are_joined_in_order() -> None:
    """RFC 9110 section 5.3: lines of one name are one list."""
    head = b"GET / HTTP/1.1\r\nAccept: a\r\nHost: k \r\naccept:b\r\nACCEPT:\t c\r\n\r\n"
    assert http.join_repeated(head) == {b"accept": b"a, b, c", b"host": b"k"}


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r", b"X\r\n"])
def test_a_plausible_start_is_waited_for(start: bytes) -> None:
    """The beginning of a good head passes, wherever it is cut."""
    assert http.require_plausible(start) is None  # type: ignore[func-returns-value]  # that is the point


@pytest.mark.parametrize("start", [b"\x16\x03", b"get", b"GET /\n", b"GET / HTTP/1.1\r\nHost: k\n", b"{"])
def test_a_hopeless_start_is_refused_at_once(start: bytes) -> None:
    """Nobody waits ten seconds for the end of what cannot become a head."""
    with pytest.raises(RefusedError) as refused:
        http.require_plausible(start)
    assert refused.value.problem is http.MALFORMED


def test_deadlines_are_looked_at_often_enough() -> None:
    """Four times within the smallest one, and once a second at least."""
    assert Limits().sweep_seconds == 0.5
    assert Limits(head_seconds=0.2).sweep_seconds == pytest.approx(0.05)
    assert Limits(linger_seconds=60).sweep_seconds == 1.0


def test_a_problem_never_quotes_the_request() -> None:
    """The texts are constants, each with a status of an error."""
    problems = [value for value in vars(http).values() if isinstance(value, http.Problem)]
    assert len({problem.text for problem in problems}) == len(problems) == 14
    assert all(400 <= problem.status < 600 for problem in problems)
