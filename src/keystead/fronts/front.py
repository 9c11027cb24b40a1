"""What every front does: bytes to a command, a result to bytes, and who is asking.

A front knows one protocol. It authenticates a request and builds one command and one caller; it never
decides and never touches keys. The worker carries them to the gate and the answer back.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from keystead.core.errors import KeysteadError
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.entry import Entry
from keystead.service.results import Result


class Inquiry(Protocol):
    """The request as a front sees it (`keystead.server.listener.Exchange` is one)."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]  # names in lower case
    body: bytes

    @property
    def peer(self) -> str:
        """The client's IP address."""
        ...

    @property
    def secure(self) -> bool:
        """Whether it came over TLS that ends here."""
        ...


class Asked(msgspec.Struct, gc=False):
    """A request that was understood: who asks for what, and how to write the result."""

    operation: str  # for the metrics
    caller: Caller
    command: Command
    write: Callable[[Result], bytes]


class Front(Protocol):
    """One protocol."""

    def read(self, inquiry: Inquiry, request: str) -> Asked:
        """Authenticate and understand a request; raises `KeysteadError`, or `NotLoaded` to be asked again."""
        ...

    def describe(self, inquiry: Inquiry, request: str) -> Entry:
        """What can be recorded of a request that `read` refused. Nothing in it is proven."""
        ...

    def write_error(self, error: KeysteadError, request: str) -> tuple[int, bytes]:
        """The status and body that tell of an error of a request."""
        ...

    def head(self, request: str, body: bytes) -> bytes:
        """The header lines of every answer."""
        ...
