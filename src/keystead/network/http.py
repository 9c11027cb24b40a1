"""One HTTP request over a connection of its own, within one deadline.

Redirects are not followed: what is asked for is where it is said to be, and a redirect could lead anywhere.
"""

import http.client
import ssl
from collections.abc import Mapping
from contextlib import closing
from email.message import Message
from typing import Final, NamedTuple

from keystead.network.deadline import Deadline, NoAddress, Timed, connect

_AGENT: Final = "keystead"


class Unreachable(Exception):
    """There is no answer, or none that makes sense; the text says what is wrong and holds nothing that was sent."""


class Target(NamedTuple):
    """Where something is asked for."""

    secure: bool
    host: str  # an IPv6 address without its brackets
    port: int
    path: str

    @property
    def authority(self) -> str:
        """How it stands in the request's ``Host``."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Answer(NamedTuple):
    """What a server has answered, whole."""

    status: int
    headers: Message
    body: bytes


def ask(
    target: Target,
    context: ssl.SSLContext,
    deadline: Deadline,
    most_bytes: int,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to a GET, or to a POST if there is a ``body``; raises `Unreachable`.

    ``context`` says who may prove to be a server that is asked over TLS.
    """
    said = {
        "Host": target.authority,
        "Accept-Encoding": "identity",
        "User-Agent": _AGENT,
        "Connection": "close",
        **(headers or {}),
    }
    if body is not None:
        said["Content-Length"] = str(len(body))
    method = "GET" if body is None else "POST"
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    request = f"{method} {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")
    secured = context if target.secure else None
    try:
        with closing(connect(target.host, target.port, secured, deadline)) as connection:
            connection.settimeout(deadline.left())
            connection.sendall(request)
            with http.client.HTTPResponse(Timed(connection, deadline), method=method) as answer:  # type: ignore[arg-type]  # all that it calls is `makefile`
                answer.begin()
                document = answer.read(most_bytes + 1)
                if len(document) > most_bytes:
                    raise Unreachable(f"its answer is larger than {most_bytes:,} bytes")
                if answer.length:  # fewer bytes have come than were announced
                    raise Unreachable("its answer breaks off")
                return Answer(answer.status, answer.headers, document)
    except TimeoutError:
        raise Unreachable(f"it has not answered within {deadline.seconds:g} seconds") from None
    except NoAddress as error:
        raise Unreachable(str(error)) from None
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"its certificate does not prove that it is the one ({error.verify_message})"
        ) from None
    except ssl.SSLError:
        raise Unreachable("no TLS connection can be made with it") from None
    except (http.client.HTTPException, ValueError):  # the latter of a length or a name that cannot be one
        raise Unreachable("it does not answer as a web server does") from None
    except OSError:
        raise Unreachable("it cannot be reached") from None
