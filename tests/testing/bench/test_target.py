"""Answers are checked for real: a wrong one is seen."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from keystead.testing.bench.load import Request, Sample
from keystead.testing.bench.target import wrong

Mirrors = Callable[..., Any]

TEXT = bytes(range(32))


@pytest.mark.parametrize(
    ("operation", "right", "false"),
    [
        ("Encrypt", (TEXT[::-1], b""), (TEXT, b"")),
        ("Decrypt", (b"", TEXT), (b"", TEXT[::-1])),
        ("GenerateDataKey", (TEXT[::-1], TEXT), (TEXT, TEXT)),
        ("GenerateDataKey", (TEXT[::-1], TEXT), (b"short", b"trohs")),
    ],
)
def test_a_wrong_answer_is_seen(
    mirrors: Mirrors, operation: str, right: tuple[bytes, bytes], false: tuple[bytes, bytes]
) -> None:
    """Of two answers one is wrong: a plaintext that is another, or a ciphertext that opens to another."""
    target = mirrors("Mirror")
    request = Request(b"", TEXT)
    samples = [Sample(request, b" ".join(map(b64encode, words))) for words in (right, false)]
    assert wrong(target, operation, samples[:1]) == 0
    assert wrong(target, operation, samples) == 1
