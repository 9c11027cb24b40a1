"""Asymmetric keys of every spec: made, taken in, and opened.

A private key at rest is PKCS #8 in DER, one form for each spec, so that the same key is the same bytes:

    RSA_*                     RFC 8017 RSAPrivateKey, larger prime first, smallest private exponent
    ECC_NIST_P*, ECC_SECG_*   RFC 5915 ECPrivateKey with the public point, named curve
    ECC_NIST_EDWARDS25519     RFC 8410, 32-byte seed
    ML_DSA_*                  RFC 9881, 32-byte seed
    ML_KEM_768, ML_KEM_1024   RFC 9935, 64-byte seed
    ML_KEM_512                RFC 9935, expanded key (docs/adr/0010)

A public key is SubjectPublicKeyInfo in DER. Keys are drawn by the library that makes them, from the operating
system's generator. The families are modules beside this one with the functions of
`keystead.crypto.halves.Family`.

    >>> private, public = generate("ECC_NIST_P256")
    >>> signature = open_private("ECC_NIST_P256", private).sign("ECDSA_SHA_256", "RAW", b"text")
"""

from collections.abc import Mapping
from typing import Final

from keystead.crypto import edwards, elliptic, mldsa, mlkem, mlkem512, rsa
from keystead.crypto.halves import Family, PrivateHalf

FAMILIES: Final[Mapping[str, Family]] = {
    "RSA_2048": rsa,
    "RSA_3072": rsa,
    "RSA_4096": rsa,
    "ECC_NIST_P256": elliptic,
    "ECC_NIST_P384": elliptic,
    "ECC_NIST_P521": elliptic,
    "ECC_SECG_P256K1": elliptic,
    "ECC_NIST_EDWARDS25519": edwards,
    "ML_DSA_44": mldsa,
    "ML_DSA_65": mldsa,
    "ML_DSA_87": mldsa,
    "ML_KEM_512": mlkem512,
    "ML_KEM_768": mlkem,
    "ML_KEM_1024": mlkem,
}


def generate(spec: str) -> tuple[bytes, bytes]:
    """A new key: its private half (PKCS #8) and its public half (SubjectPublicKeyInfo), both DER."""
    der = FAMILIES[spec].generate(spec)
    return der, open_private(spec, der).public_key


def check_private(spec: str, der: bytes) -> tuple[bytes, bytes]:
    """Both halves of a stranger's key, in our form; `InvalidCiphertext` if it is not a sound one of that spec."""
    canonical = FAMILIES[spec].check(spec, der)
    return canonical, open_private(spec, canonical).public_key


def open_private(spec: str, der: bytes) -> PrivateHalf:
    """A private half that `generate` or `check_private` gave, ready to use; from many threads if need be.

    It is not checked again: hand in only what has been authenticated since.
    """
    return FAMILIES[spec].private(spec, der)
