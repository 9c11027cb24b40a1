"""A server that answers as a test tells it, over real sockets, and a target made of it."""

import socketserver
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from typing_extensions import override

from keystead.testing.bench.load import Address, Request
from keystead.testing.bench.processes import Server
from keystead.testing.bench.target import Answer

Reply = Callable[[int, bytes], Sequence[bytes] | None]
"""What to send, in pieces, for the request of this number with this body; None to hang up."""


def post(body: bytes, expected: bytes = b"") -> Request:
    """A request as HTTP has it."""
    return Request(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body), expected)


class FakeServer:
    """Answers requests, counting them from zero."""

    def __init__(self, answer: Reply) -> None:
        self.asked: list[bytes] = []
        lock = threading.Lock()
        asked = self.asked

        class Handler(socketserver.StreamRequestHandler):
            # Whatever is written is sent at once, so that a test can cut an answer where it likes.
            disable_nagle_algorithm = True

            @override
            def handle(self) -> None:
                # The load's end cuts connections with answers under way.
                with suppress(ConnectionError):
                    self.talk()

            def talk(self) -> None:
                while self.rfile.readline():
                    length = 0
                    while (line := self.rfile.readline().strip()) != b"":
                        if line.startswith(b"content-length"):
                            length = int(line.split(b":")[1])
                    body = self.rfile.read(length)
                    with lock:
                        number = len(asked)
                        asked.append(body)
                    pieces = answer(number, body)
                    if pieces is None:
                        return
                    for piece in pieces:
                        self.wfile.write(piece)

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Threads(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mirror:
    """A target whose cipher writes bytes backwards, and whose processor time is a sleeping process's."""

    def __init__(self, name: str, address: Address, log: Path) -> None:
        self.name = name
        self.version = "1"
        self.address = address
        self.server = Server([sys.executable, "-c", "import time; time.sleep(120)"], log)

    def requests(self, operation: str, plaintexts: Sequence[bytes]) -> list[Request]:
        """The body says what to do with what."""
        return [
            post(
                operation.encode()
                + b" "
                + b64encode(text[::-1] if operation == "Decrypt" else text or bytes(32)),
                text,
            )
            for text in plaintexts
        ]

    def read(self, body: bytes) -> Answer:
        """The ciphertext and the plaintext, in words."""
        ciphertext, plaintext = body.split(b" ")
        return Answer(b64decode(ciphertext), b64decode(plaintext))

    def decrypt(self, ciphertexts: Sequence[bytes]) -> list[bytes]:
        """Read backwards."""
        return [ciphertext[::-1] for ciphertext in ciphertexts]

    def stop(self) -> None:
        """Stop the process."""
        self.server.stop()


def mirrored(_: int, body: bytes) -> list[bytes]:
    """How a mirror's server answers."""
    operation, text = body.split(b" ")
    value = b64decode(text)
    words = {
        b"Encrypt": (value[::-1], b""),
        b"Decrypt": (b"", value[::-1]),
        b"GenerateDataKey": (bytes(range(32))[::-1], bytes(range(32))),
    }[operation]
    answer = b" ".join(map(b64encode, words))
    return [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)]


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], FakeServer]]:
    """Starts servers that answer as they are told."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(FakeServer(answer))


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    """Starts targets; they do everything right unless another way to answer is given."""
    with ExitStack() as stack:

        def start(name: str, answer: Reply = mirrored) -> Mirror:
            server = stack.enter_context(FakeServer(answer))
            target = Mirror(name, server.address, tmp_path / f"{name}.log")
            stack.callback(target.stop)
            return target

        yield start
