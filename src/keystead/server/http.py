"""What a request may look like on the wire, and what is said when it does not.

The rules here are stricter than RFC 9112 asks for, because two parsers that read one byte stream
differently are how request smuggling works. Nothing that could be read in two ways is read at all:
a transfer coding, a second `Content-Length`, a second `Authorization`, a folded line. The grammar of
the request line and of the header lines is left to llhttp (through httptools); this module adds the
rules that llhttp does not have.

A refused request becomes a `Problem`. The application is told, so that it can be recorded and answered
in the client's own protocol, and then the connection closes: after a request that was not understood,
nobody knows where the next one would begin.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final


class ProblemKind(StrEnum):
    """In what way a request was not acceptable."""

    BAD_REQUEST = "bad-request"
    HEADERS_TOO_LARGE = "headers-too-large"
    BODY_TOO_LARGE = "body-too-large"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused; `text` never quotes the request, which may hold a secret."""

    kind: ProblemKind
    status: int
    text: str


class RefusedError(Exception):
    """Raised inside the listener when a request is refused; it never leaves the listener."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def _bad(text: str) -> Problem:
    return Problem(ProblemKind.BAD_REQUEST, 400, text)


MALFORMED: Final = _bad("The request is not well-formed HTTP.")
REPEATED_HEADER: Final = _bad("A header that may be given once is given twice.")
BAD_LENGTH: Final = _bad("The Content-Length is not a decimal number.")
NO_HOST: Final = _bad("An HTTP/1.1 request needs a Host header.")
HEAD_TOO_LARGE: Final = Problem(ProblemKind.HEADERS_TOO_LARGE, 431, "The request head is too large.")
TOO_MANY_HEADERS: Final = Problem(
    ProblemKind.HEADERS_TOO_LARGE, 431, "The request has too many header lines."
)
BODY_TOO_LARGE: Final = Problem(ProblemKind.BODY_TOO_LARGE, 413, "The request body is too large.")
HEAD_TOO_SLOW: Final = Problem(ProblemKind.TIMEOUT, 408, "The request head did not arrive in time.")
BODY_TOO_SLOW: Final = Problem(ProblemKind.TIMEOUT, 408, "The request body did not arrive in time.")
TRUNCATED: Final = Problem(ProblemKind.TRUNCATED, 400, "The connection ended inside the request.")
UNKNOWN_METHOD: Final = Problem(ProblemKind.UNSUPPORTED, 501, "The request method is not supported.")
UNKNOWN_VERSION: Final = Problem(ProblemKind.UNSUPPORTED, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
TRANSFER_CODING: Final = Problem(
    ProblemKind.UNSUPPORTED, 501, "Transfer codings are not supported: send a Content-Length."
)
EXPECTATION: Final = Problem(ProblemKind.UNSUPPORTED, 417, "The only expectation known is 100-continue.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of the listener. A deadline is kept to within a quarter of the smallest one."""

    connections: int = 10_000  # at once, in one process; one more is answered 503
    pipelined_requests: int = 64  # of one connection, taken and not yet answered
    head_bytes: int = 16 * 1024
    header_lines: int = 64
    body_bytes: int = 128 * 1024
    write_buffer_bytes: int = 256 * 1024  # unsent, after which a connection is read no further
    backlog_connections: int = 1024
    head_seconds: float = 10.0  # from the first byte of a request to the end of its head
    body_seconds: float = 10.0  # from the end of the head to the end of the body
    idle_seconds: float = 75.0  # between requests
    write_seconds: float = 30.0  # for a client that reads nothing
    linger_seconds: float = 2.0  # for a client to read the last answer before the connection goes
    handshake_seconds: float = 10.0  # for TLS
    drain_grace_seconds: float = 0.25  # in which an idle connection may still ask, while draining

    @property
    def sweep_seconds(self) -> float:
        """How often deadlines are looked at."""
        return min(
            1.0,
            min(
                self.head_seconds,
                self.body_seconds,
                self.idle_seconds,
                self.write_seconds,
                self.linger_seconds,
            )
            / 4,
        )


STATUS_LINES: Final[dict[int, bytes]] = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
OVERLOADED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

# Two of one of these and nobody can say which one the signature, the length or the target is.
_ONCE: Final = frozenset(
    (b"host", b"authorization", b"content-length", b"content-type", b"transfer-encoding", b"expect")
)

_CONTINUATION: Final = b"100-continue"
_MAX_DIGITS: Final = 18  # of a body's length


def join_repeated(head: bytes) -> dict[bytes, bytes]:
    """The headers of a well-formed head in which some name occurs more than once.

    Lists are joined in order as RFC 9110 section 5.3 has it; what may be given once is refused.
    """
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:-2]:
        raw, _, value = line.partition(b":")
        name, value = raw.lower(), value.strip(b" \t")
        if name not in headers:
            headers[name] = value
        elif name in _ONCE or name.startswith(b"x-amz-"):
            raise RefusedError(REPEATED_HEADER)
        else:
            headers[name] += b", " + value
    return headers


def body_length(headers: dict[bytes, bytes], limit: int) -> int:
    """How many bytes of body follow the head; refuses what is not plainly a number within the limit."""
    text = headers.get(b"content-length")
    if text is None:
        return 0
    if not text.isdigit():
        raise RefusedError(BAD_LENGTH)
    # The number of digits is looked at first: int() takes quadratic time on a long string.
    if len(text) > _MAX_DIGITS or (length := int(text)) > limit:
        raise RefusedError(BODY_TOO_LARGE)
    return length


def judge(head: bytes, headers: dict[bytes, bytes]) -> bytes | None:
    """Refuse what could be read in two ways or cannot be served; say whether the connection stays open.

    The answer is the header line that says so in the reply (empty in HTTP/1.1, where it goes without
    saying), or None to close.
    """
    end_of_line = head.find(b"\r\n")
    modern = head.endswith(b" HTTP/1.1", 0, end_of_line)
    if not modern and not head.endswith(b" HTTP/1.0", 0, end_of_line):
        raise RefusedError(UNKNOWN_VERSION)
    if b"transfer-encoding" in headers:
        raise RefusedError(TRANSFER_CODING)
    if modern and b"host" not in headers:
        raise RefusedError(NO_HOST)
    if headers.get(b"expect", _CONTINUATION).lower() != _CONTINUATION:
        raise RefusedError(EXPECTATION)
    wish = headers.get(b"connection")
    options = () if wish is None else [option.strip() for option in wish.lower().split(b",")]
    if b"close" in options:
        return None
    if modern:
        return b""
    return b"Connection: keep-alive\r\n" if b"keep-alive" in options else None


def require_plausible(start: bytes) -> None:
    """Refuse the beginning of a head that can never become a good one, instead of waiting for its end.

    A TLS greeting on a plain port and lines that end in a bare newline are what this meets in practice.
    """
    if not start[:1].isupper() or start.count(b"\n") != start.count(b"\r\n"):
        raise RefusedError(MALFORMED)


def names_a_method(head: bytes) -> bool:
    """Whether the request line begins with what could be a method, if not one that llhttp knows."""
    method, space, _ = head.partition(b" ")
    return bool(space) and method.isalpha() and method.isupper()


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status
