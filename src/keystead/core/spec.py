"""Key specs, usages and algorithms: what a key is for is fixed when it is made.

Names are AWS KMS's, and so is the table: a spec allows one or two usages, and each usage its algorithms.
A key never does anything that is not in its row, so a key that signs cannot be made to decrypt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keystead.core.errors import InvalidRequest, UnsupportedOperation

SYMMETRIC: Final = "SYMMETRIC_DEFAULT"

ENCRYPT_DECRYPT: Final = "ENCRYPT_DECRYPT"
SIGN_VERIFY: Final = "SIGN_VERIFY"
GENERATE_VERIFY_MAC: Final = "GENERATE_VERIFY_MAC"
KEY_AGREEMENT: Final = "KEY_AGREEMENT"
ENCAPSULATE_DECAPSULATE: Final = "ENCAPSULATE_DECAPSULATE"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a key spec allows.

    ``slow`` says that its private operations take so long (more than about a tenth of a millisecond) that they
    must not be done where other requests wait.
    """

    usages: Mapping[str, tuple[str, ...]]  # usage: its algorithms
    slow: bool = False

    @property
    def asymmetric(self) -> bool:
        """Whether it has a public key."""
        return not self.usages.keys() <= {GENERATE_VERIFY_MAC} and "SYMMETRIC_DEFAULT" not in self.usages.get(
            ENCRYPT_DECRYPT, ()
        )


_RSA: Final = Spec(
    {
        ENCRYPT_DECRYPT: ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"),
        SIGN_VERIFY: (
            "RSASSA_PKCS1_V1_5_SHA_256",
            "RSASSA_PKCS1_V1_5_SHA_384",
            "RSASSA_PKCS1_V1_5_SHA_512",
            "RSASSA_PSS_SHA_256",
            "RSASSA_PSS_SHA_384",
            "RSASSA_PSS_SHA_512",
        ),
    },
    slow=True,
)
_ML_DSA: Final = Spec({SIGN_VERIFY: ("ML_DSA_SHAKE_256",)}, slow=True)
_ML_KEM: Final = Spec({ENCAPSULATE_DECAPSULATE: ("ML_KEM",)})

SPECS: Final[Mapping[str, Spec]] = {
    SYMMETRIC: Spec({ENCRYPT_DECRYPT: ("SYMMETRIC_DEFAULT",)}),
    "RSA_2048": _RSA,
    "RSA_3072": _RSA,
    "RSA_4096": _RSA,
    "ECC_NIST_P256": Spec({SIGN_VERIFY: ("ECDSA_SHA_256",), KEY_AGREEMENT: ("ECDH",)}),
    "ECC_NIST_P384": Spec({SIGN_VERIFY: ("ECDSA_SHA_384",), KEY_AGREEMENT: ("ECDH",)}, slow=True),
    "ECC_NIST_P521": Spec({SIGN_VERIFY: ("ECDSA_SHA_512",), KEY_AGREEMENT: ("ECDH",)}, slow=True),
    "ECC_SECG_P256K1": Spec({SIGN_VERIFY: ("ECDSA_SHA_256",)}, slow=True),
    "ECC_NIST_EDWARDS25519": Spec({SIGN_VERIFY: ("ED25519_SHA_512", "ED25519_PH_SHA_512")}),
    "HMAC_224": Spec({GENERATE_VERIFY_MAC: ("HMAC_SHA_224",)}),
    "HMAC_256": Spec({GENERATE_VERIFY_MAC: ("HMAC_SHA_256",)}),
    "HMAC_384": Spec({GENERATE_VERIFY_MAC: ("HMAC_SHA_384",)}),
    "HMAC_512": Spec({GENERATE_VERIFY_MAC: ("HMAC_SHA_512",)}),
    "ML_DSA_44": _ML_DSA,
    "ML_DSA_65": _ML_DSA,
    "ML_DSA_87": _ML_DSA,
    "ML_KEM_512": _ML_KEM,
    "ML_KEM_768": _ML_KEM,
    "ML_KEM_1024": _ML_KEM,
}

HMAC_BYTES: Final[Mapping[str, int]] = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
"""The length of an HMAC key's material (AWS KMS developer guide, "Importing HMAC key material")."""

DATA_KEY_BYTES: Final[Mapping[str, int]] = {"AES_256": 32, "AES_128": 16}
"""The length of a data key by AWS's ``DataKeySpec``."""

RSA_BITS: Final[Mapping[str, int]] = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}


def choose(spec: str, usage: str | None) -> tuple[str, str]:
    """The spec and usage of a new key, or why that pair cannot be."""
    if spec not in SPECS:
        raise UnsupportedOperation(f"KeySpec {spec} is not supported in this Region.")  # SM2: China only
    if usage is None:
        if spec != SYMMETRIC:
            raise InvalidRequest(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
            )
        return spec, ENCRYPT_DECRYPT
    if usage not in SPECS[spec].usages:
        raise InvalidRequest(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    return spec, usage


def algorithms(spec: str, usage: str) -> tuple[str, ...]:
    """The algorithms of a key of that spec and usage."""
    return SPECS[spec].usages[usage]
