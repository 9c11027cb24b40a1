import copy
import pickle
from collections.abc import Callable

import pytest

from keystead.core.errors import InvalidKeyUsage
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.keypair import FAMILIES
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]

PRIVATE: dict[str, Callable[[PrivateHalf], object]] = {
    "sign": lambda half: half.sign("ECDSA_SHA_256", "RAW", b"secret"),
    "decrypt": lambda half: half.decrypt("RSAES_OAEP_SHA_256", b"secret"),
    "agree": lambda half: half.agree(b"secret"),
    "decapsulate": lambda half: half.decapsulate(b"secret"),
    "public_key": lambda half: half.public_key,
}
PUBLIC: dict[str, Callable[[PublicHalf | PublicKey], object]] = {
    "verify": lambda half: half.verify("ECDSA_SHA_256", "RAW", b"secret", b"secret"),
    "encrypt": lambda half: half.encrypt("RSAES_OAEP_SHA_256", b"secret"),
    "encapsulate": lambda half: half.encapsulate(),
}


@pytest.mark.parametrize("operation", PRIVATE.values(), ids=PRIVATE)
def test_a_private_half_refuses_what_no_family_gave_it(operation: Callable[[PrivateHalf], object]) -> None:
    """The refusal shows lengths, never bytes."""
    with pytest.raises(InvalidKeyUsage) as caught:
        operation(PrivateHalf())
    assert "secret" not in str(caught.value).replace("agree on secrets", "")


@pytest.mark.parametrize("operation", PUBLIC.values(), ids=PUBLIC)
def test_a_public_half_refuses_what_no_family_gave_it(
    operation: Callable[[PublicHalf | PublicKey], object],
) -> None:
    """The refusal shows lengths, never bytes."""
    with pytest.raises(InvalidKeyUsage) as caught:
        operation(PublicHalf())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "operations"),
    [
        ("RSA_2048", ["agree", "decapsulate", "encapsulate"]),
        ("ECC_NIST_P256", ["decrypt", "decapsulate", "encrypt", "encapsulate"]),
        ("ECC_NIST_EDWARDS25519", ["decrypt", "agree", "decapsulate", "encrypt", "encapsulate"]),
        ("ML_DSA_44", ["decrypt", "agree", "decapsulate", "encrypt", "encapsulate"]),
        ("ML_KEM_512", ["sign", "decrypt", "agree", "verify", "encrypt"]),
        ("ML_KEM_768", ["sign", "decrypt", "agree", "verify", "encrypt"]),
    ],
)
def test_a_key_does_only_what_its_family_does(pair: Both, spec: str, operations: list[str]) -> None:
    """No operation of one kind of key falls through to another's."""
    private, public = pair(spec)
    for name in operations:
        with pytest.raises(InvalidKeyUsage):
            PRIVATE[name](private) if name in PRIVATE else PUBLIC[name](public)


@pytest.mark.parametrize("spec", [spec for spec in FAMILIES if spec not in {"RSA_3072", "RSA_4096"}])
def test_a_private_half_is_neither_shown_nor_copied(pair: Both, spec: str) -> None:
    """Its text is its class's name, and copying and pickling are refused."""
    private, _ = pair(spec)

    assert repr(private) == f"<{type(private).__name__}>"
    for take_apart in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never copied"):
            take_apart(private)
