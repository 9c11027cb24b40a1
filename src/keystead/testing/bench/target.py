"""What is measured: a server that the benchmark has started, and how its answers are read and checked."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from keystead.testing.bench.load import Address, Request, Sample
from keystead.testing.bench.processes import Server

OPERATIONS: Final = ("Encrypt", "Decrypt", "GenerateDataKey")
PLAINTEXT_BYTES: Final = 32


class Answer(NamedTuple):
    """What an answer holds; empty where it holds none."""

    ciphertext: bytes = b""
    plaintext: bytes = b""


class Target(Protocol):
    """A server under test, with one key, that does the three operations."""

    name: str
    version: str
    address: Address
    server: Server

    def requests(self, operation: str, plaintexts: Sequence[bytes]) -> list[Request]:
        """Requests ready to be sent, one for each plaintext (a data key needs none and ignores it).

        They may expire after five minutes.
        """
        ...

    def read(self, body: bytes) -> Answer:
        """What a good answer's body says."""
        ...

    def decrypt(self, ciphertexts: Sequence[bytes]) -> list[bytes]:
        """Ask the server itself to open these, one by one."""
        ...

    def stop(self) -> None:
        """Stop the server."""
        ...


def wrong(target: Target, operation: str, samples: Sequence[Sample]) -> int:
    """How many of these answers are not what they should be.

    A plaintext must be the one that was encrypted; a ciphertext must open, on the same server, to the
    plaintext that it was made from or came with.
    """
    answers = [target.read(sample.body) for sample in samples]
    if operation == "Decrypt":
        return sum(a.plaintext != s.request.expected for a, s in zip(answers, samples, strict=True))
    opened = target.decrypt([answer.ciphertext for answer in answers])
    if operation == "Encrypt":
        return sum(o != s.request.expected for o, s in zip(opened, samples, strict=True))
    return sum(o != a.plaintext or len(o) != PLAINTEXT_BYTES for o, a in zip(opened, answers, strict=True))
