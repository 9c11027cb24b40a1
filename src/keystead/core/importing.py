"""Bringing one's own key: the parameters under which material is accepted, once.

Whoever imports first asks for a public key to wrap the material under and a token. What is kept meanwhile is
an `ImportOffer`: it is for one principal and one key, is good for 24 hours, and is gone once it was used.

The token names the offer by 128 unpredictable bits, so it needs no other proof:

    offset  bytes  what
    0       4      magic "KSI" and the format's version, 1
    4       16     the offer's id
    20      8      when it ends, Unix milliseconds, big-endian: it tells an old token from a wrong one
                   when the offer is long gone
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from keystead.core.errors import InvalidImportToken, UnsupportedOperation
from keystead.core.key import binding
from keystead.core.spec import RSA_BITS, SPECS

OFFER_SECONDS: Final = 86_400.0
MOST_VALID_SECONDS: Final = 365 * 86_400.0  # how far ahead the end of material may be

_MAGIC: Final = b"KSI\x01"
_TOKEN_BYTES: Final = 28

_OAEP: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_AES_WRAP: Final = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOffer:
    """What GetParametersForImport has given out and ImportKeyMaterial will take back."""

    id: str  # 32 hex digits; the token holds it
    region: str
    key_id: str
    principal: str  # the ARN of who asked
    algorithm: str  # AWS's WrappingAlgorithm
    wrapping_spec: str  # RSA_2048, RSA_3072 or RSA_4096
    handle: str  # the custodian's, of the private wrapping key
    valid_to: float


class NamedOffer(NamedTuple):
    """The offer that a token names."""

    id: str
    valid_to: float


def offer_binding(offer_id: str) -> bytes:
    """What ties the wrapping key of an offer to it (see `keystead.core.key.binding`)."""
    return binding("import-offer", offer_id)


def make_token(offer: ImportOffer) -> bytes:
    """The token of an offer."""
    return _MAGIC + bytes.fromhex(offer.id) + int(offer.valid_to * 1000).to_bytes(8, "big")


def read_token(token: bytes) -> NamedOffer:
    """The offer that a token names, whether it is there still or not; raises `InvalidImportToken`."""
    if len(token) != _TOKEN_BYTES or not token.startswith(_MAGIC):
        raise InvalidImportToken("The import token is not one that this service gave out.")
    return NamedOffer(token[4:20].hex(), int.from_bytes(token[20:], "big") / 1000)


def check_wrapping(spec: str, algorithm: str, wrapping_spec: str) -> None:
    """Refuse a way of wrapping that AWS KMS does not have for material of that spec ("Select a wrapping algorithm")."""
    if wrapping_spec not in RSA_BITS:
        raise UnsupportedOperation(f"WrappingKeySpec {wrapping_spec} is not supported in this Region.")
    if algorithm not in _OAEP + _AES_WRAP:  # PKCS #1 v1.5: AWS has retired it in 2023; SM2: China only
        raise UnsupportedOperation(f"WrappingAlgorithm {algorithm} is not supported.")
    if algorithm not in _algorithms(spec):
        raise UnsupportedOperation(
            f"WrappingAlgorithm {algorithm} is not supported for key material of KeySpec {spec}."
        )
    if algorithm in _OAEP and wrapping_spec in _TOO_SHORT.get(spec, ()):
        raise UnsupportedOperation(
            f"WrappingAlgorithm {algorithm} with WrappingKeySpec {wrapping_spec} is not supported for key "
            f"material of KeySpec {spec}."
        )


def _algorithms(spec: str) -> tuple[str, ...]:
    if spec in RSA_BITS:
        return _AES_WRAP
    return _OAEP + _AES_WRAP if SPECS[spec].asymmetric else _OAEP


# A private key in PKCS #8 that is longer than what one OAEP ciphertext can hold.
_TOO_SHORT: Final[Mapping[str, tuple[str, ...]]] = {"ECC_NIST_P521": ("RSA_2048",)}
