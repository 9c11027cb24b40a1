"""Key material on its way in, wrapped for an RSA key of ours with one of AWS's wrapping algorithms.

    RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256
        the material itself, encrypted with RSA-OAEP; for what is short enough
    RSA_AES_KEY_WRAP_SHA_1, RSA_AES_KEY_WRAP_SHA_256
        an AES key encrypted with RSA-OAEP (as long as the modulus), then the material wrapped under that key
        with AES-KWP (RFC 5649)

``RSAES_PKCS1_V1_5`` is refused: its padding can be told right from wrong by who only sees errors or times
(Bleichenbacher, CRYPTO 1998), and AWS KMS has retired it.
"""

from typing import Final

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from keystead.core.errors import InvalidCiphertext, UnsupportedOperation
from keystead.core.ports import KeyPair
from keystead.core.spec import RSA_BITS
from keystead.crypto.publickey import PublicKey
from keystead.crypto.random import system_random

_AES_KEY_BYTES = 32
_DIRECT: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_HYBRID: Final = {
    "RSA_AES_KEY_WRAP_SHA_1": "RSAES_OAEP_SHA_1",
    "RSA_AES_KEY_WRAP_SHA_256": "RSAES_OAEP_SHA_256",
}


def unwrap_material(wrapping: KeyPair, spec: str, algorithm: str, data: bytes) -> bytes:
    """The material; ``spec`` is the wrapping key's. `InvalidCiphertext` whatever is wrong with ``data``."""
    if algorithm in _DIRECT:
        return wrapping.decrypt(algorithm, data)
    if algorithm not in _HYBRID:
        raise UnsupportedOperation(f"WrappingAlgorithm {algorithm} is not supported.")
    modulus_bytes = RSA_BITS[spec] // 8
    kek = wrapping.decrypt(_HYBRID[algorithm], data[:modulus_bytes])
    try:
        return aes_key_unwrap_with_padding(kek, data[modulus_bytes:])
    except (InvalidUnwrap, ValueError):  # the latter if the key is none of AES's
        raise InvalidCiphertext from None


def wrap_for(spec: str, public_key: bytes, algorithm: str, material: bytes) -> bytes:
    """What the owner of material does before sending it: wrap it for the public half of a wrapping key."""
    wrapping = PublicKey(spec, public_key)
    if algorithm in _DIRECT:
        return wrapping.encrypt(algorithm, material)
    kek = system_random(_AES_KEY_BYTES)
    return wrapping.encrypt(_HYBRID[algorithm], kek) + aes_key_wrap_with_padding(kek, material)
