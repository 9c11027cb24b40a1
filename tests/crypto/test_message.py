import pytest
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from keystead.core.errors import InvalidRequest
from keystead.core.spec import SIGN_VERIFY, SPECS
from keystead.crypto.message import hash_of, hashing


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("RSAES_OAEP_SHA_1", "sha1"),
        ("HMAC_SHA_224", "sha224"),
        ("ECDSA_SHA_256", "sha256"),
        ("RSASSA_PSS_SHA_384", "sha384"),
        ("RSASSA_PKCS1_V1_5_SHA_512", "sha512"),
    ],
)
def test_an_algorithm_ends_with_its_hash(algorithm: str, name: str) -> None:
    """The hash is in the name."""
    assert hash_of(algorithm).name == name


def test_a_message_is_hashed_and_a_digest_is_not() -> None:
    """RAW goes through the hash, DIGEST is told to be past it."""
    assert not isinstance(hashing("ECDSA_SHA_256", "RAW", b"any length"), Prehashed)
    assert isinstance(hashing("ECDSA_SHA_256", "DIGEST", bytes(32)), Prehashed)


@pytest.mark.parametrize(
    "algorithm",
    sorted(
        algorithm
        for spec in SPECS
        if spec.startswith(("RSA", "ECC_NIST_P", "ECC_SECG"))
        for algorithm in SPECS[spec].usages[SIGN_VERIFY]
    ),
)
@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_digest_has_the_hash_s_length(algorithm: str, wrong: int) -> None:
    """Anything else is refused with AWS's words."""
    with pytest.raises(InvalidRequest, match=rf"^Digest is invalid length for algorithm {algorithm}\.$"):
        hashing(algorithm, "DIGEST", bytes(hash_of(algorithm).digest_size + wrong))


def test_a_type_that_the_algorithm_does_not_have_is_refused() -> None:
    """EXTERNAL_MU is ML-DSA's alone, and the text names both."""
    with pytest.raises(
        InvalidRequest, match=r"^MessageType EXTERNAL_MU is not compatible with algorithm ECDSA_SHA_256\.$"
    ):
        hashing("ECDSA_SHA_256", "EXTERNAL_MU", bytes(64))
