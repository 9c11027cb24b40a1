"""HMAC (FIPS 198-1): a code that only who has the key can make or check.

A code is compared whole and in constant time. A shortened one is wrong, however well it begins.
"""

import hmac

from cryptography.hazmat.primitives.hmac import HMAC
from typing_extensions import override

from keystead.core import ports
from keystead.crypto.message import hash_of
from keystead.crypto.secret import NeverCopied, Secret


class MacKey(NeverCopied):
    """One HMAC key version (`keystead.core.ports.MacKey`); safe to use from many threads."""

    __slots__ = ("_material",)

    def __init__(self, material: Secret) -> None:
        self._material = material

    def mac(self, algorithm: str, message: bytes) -> bytes:
        """The full-length code."""
        code = HMAC(self._material.reveal(), hash_of(algorithm))
        code.update(message)
        return code.finalize()

    @override
    def __repr__(self) -> str:
        return "<MacKey>"


def verify(key: ports.MacKey, algorithm: str, message: bytes, code: bytes) -> bool:
    """Whether ``code`` is the message's, whole."""
    return hmac.compare_digest(key.mac(algorithm, message), code)
