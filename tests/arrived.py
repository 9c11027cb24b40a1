"""A request as a front sees it, without a connection behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass
class Arrived:
    """`keystead.fronts.front.Inquiry`; the names of headers are in lower case."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str = "192.0.2.1"
    secure: bool = True

    @classmethod
    def sent(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes, *, secure: bool = False
    ) -> Self:
        """As a client writes it."""
        named = {name.lower().encode(): value.encode() for name, value in headers.items()}
        return cls(method.encode(), target.encode(), named, body, secure=secure)
