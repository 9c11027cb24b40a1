"""Bringing one's own key: the parameters under which material is accepted, once.

Whoever imports first asks for a public key to wrap the material under and a token. What is kept meanwhile is
an `ImportOffer`: it is for one principal and one key, is good for 24 hours, and is gone once it was used.
"""

from dataclasses import dataclass
from typing import Final

from keystead.core.key import binding

OFFER_SECONDS: Final = 86_400.0


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


def offer_binding(offer_id: str) -> bytes:
    """What ties the wrapping key of an offer to it (see `keystead.core.key.binding`)."""
    return binding("import-offer", offer_id)
