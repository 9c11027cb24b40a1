"""RSA keys: signatures (PKCS #1 v1.5 and PSS) and encryption (OAEP), all of RFC 8017.

PSS's salt is as long as the hash, and its mask generator uses the same hash; so does OAEP's, whose label is
empty. Of what goes wrong in opening OAEP nothing is told (Manger, CRYPTO 2001).
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from typing_extensions import override

from keystead.core.errors import InvalidCiphertext, InvalidRequest
from keystead.core.spec import RSA_BITS
from keystead.crypto.halves import PrivateHalf, PublicHalf
from keystead.crypto.message import hash_of, hashing
from keystead.crypto.pkcs8 import dump, dump_public, load, load_public, reload

_EXPONENT = 65537


class RsaPrivate(PrivateHalf):
    """Signs and decrypts."""

    __slots__ = ("_key",)

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    @property
    @override
    def public_key(self) -> bytes:
        return dump_public(self._key.public_key())

    @override
    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        return self._key.sign(message, _signing(algorithm), hashing(algorithm, kind, message))

    @override
    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        try:
            return self._key.decrypt(ciphertext, _oaep(algorithm))
        except ValueError:
            raise InvalidCiphertext from None


class RsaPublic(PublicHalf):
    """Verifies and encrypts."""

    __slots__ = ("_key", "_spec")

    def __init__(self, spec: str, key: rsa.RSAPublicKey) -> None:
        self._spec = spec
        self._key = key

    @override
    def verify(self, algorithm: str, kind: str, message: bytes, signature: bytes) -> bool:
        digest = hashing(algorithm, kind, message)
        try:
            self._key.verify(signature, message, _signing(algorithm), digest)
        except InvalidSignature:
            return False
        return True

    @override
    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        limit = self._key.key_size // 8 - 2 * hash_of(algorithm).digest_size - 2  # RFC 8017 section 7.1.1
        if len(plaintext) > limit:
            raise InvalidRequest(
                f"Algorithm {algorithm} and key spec {self._spec} cannot encrypt data larger than {limit} bytes."
            )
        return self._key.encrypt(plaintext, _oaep(algorithm))


def generate(spec: str) -> bytes:
    """A new private key."""
    return dump(rsa.generate_private_key(_EXPONENT, RSA_BITS[spec]))


def check(spec: str, der: bytes) -> bytes:
    """The one form of a stranger's private key.

    FIPS 186-5 appendix A.1.1 bounds the exponent and the primes. A key may be written with its primes in either
    order and with one of several private exponents; the larger prime first and the smallest exponent is how we
    keep it.
    """
    # (1) Cheap tests first: those for primes take long, and for a huge key very long.
    loaded = load(der)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise InvalidCiphertext
    numbers, bits = loaded.private_numbers(), RSA_BITS[spec]
    public = numbers.public_numbers
    p, q = max(numbers.p, numbers.q), min(numbers.p, numbers.q)
    if (
        public.n.bit_length() != bits
        or p.bit_length() != bits // 2
        or q.bit_length() != bits // 2
        or not _EXPONENT <= public.e < 1 << 256
    ):
        raise InvalidCiphertext
    # (2) The primes are primes, and all numbers belong together.
    try:
        numbers.private_key()
    except ValueError:
        raise InvalidCiphertext from None
    # (3) Our form.
    d = rsa.rsa_recover_private_exponent(public.e, p, q)
    key = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key(unsafe_skip_rsa_key_validation=True)
    return dump(key)


def private(spec: str, der: bytes) -> RsaPrivate:
    """The private half of what `generate` or `check` gave."""
    key = reload(der)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != RSA_BITS[spec]:
        raise InvalidCiphertext
    return RsaPrivate(key)


def public(spec: str, der: bytes) -> RsaPublic:
    """The public half; `ValueError` if it is not one of that spec."""
    key = load_public(der)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != RSA_BITS[spec]:
        raise ValueError("no RSA public key of that size")
    return RsaPublic(spec, key)


def _signing(algorithm: str) -> padding.AsymmetricPadding:
    if algorithm.startswith("RSASSA_PSS_"):
        return padding.PSS(padding.MGF1(hash_of(algorithm)), padding.PSS.DIGEST_LENGTH)
    return padding.PKCS1v15()


def _oaep(algorithm: str) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hash_of(algorithm)), hash_of(algorithm), label=None)
