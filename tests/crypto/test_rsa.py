from collections.abc import Callable, Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from keystead.core.errors import InvalidCiphertext, InvalidRequest
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import check_private
from keystead.crypto.message import hash_of
from keystead.crypto.pkcs8 import dump, dump_public
from keystead.crypto.publickey import PublicKey
from keystead.crypto.rsa import RsaPrivate, RsaPublic

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
Der = Callable[[str], tuple[bytes, bytes]]
Record = dict[str, str]
Recorder = Callable[[str, object], None]
Vectors = Callable[[str], Iterator[Record]]

FOLDER = "asymmetric/RSA"


@pytest.mark.parametrize(
    ("algorithm", "spec", "limit"),
    [
        ("RSAES_OAEP_SHA_1", "RSA_2048", 214),
        ("RSAES_OAEP_SHA_256", "RSA_2048", 190),
        ("RSAES_OAEP_SHA_1", "RSA_3072", 342),
        ("RSAES_OAEP_SHA_256", "RSA_3072", 318),
        ("RSAES_OAEP_SHA_1", "RSA_4096", 470),
        ("RSAES_OAEP_SHA_256", "RSA_4096", 446),
    ],
)
def test_oaep_takes_what_fits_and_says_how_much_that_is(
    pair: Both, algorithm: str, spec: str, limit: int
) -> None:
    """The limits that AWS documents, and its words for one byte more."""
    private, public = pair(spec)

    assert private.decrypt(algorithm, public.encrypt(algorithm, bytes(limit))) == bytes(limit)
    assert private.decrypt(algorithm, public.encrypt(algorithm, b"")) == b""
    with pytest.raises(InvalidRequest) as caught:
        public.encrypt(algorithm, bytes(limit + 1))
    assert (
        str(caught.value)
        == f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {limit} bytes."
    )


def test_whatever_is_wrong_with_a_ciphertext_it_is_told_alike(pair: Both) -> None:
    """Another algorithm's, a changed, a short, a long one, and a number beyond the modulus."""
    private, public = pair("RSA_2048")
    sealed = public.encrypt("RSAES_OAEP_SHA_256", b"text")

    for algorithm, wrong in [
        ("RSAES_OAEP_SHA_1", sealed),
        ("RSAES_OAEP_SHA_256", sealed[:-1]),
        ("RSAES_OAEP_SHA_256", sealed + b"\0"),
        ("RSAES_OAEP_SHA_256", b"\xff" * 256),
        ("RSAES_OAEP_SHA_256", bytes([sealed[0] ^ 1]) + sealed[1:]),
    ]:
        with pytest.raises(InvalidCiphertext) as caught:
            private.decrypt(algorithm, wrong)
        assert str(caught.value) == ""


def _rows(vectors: Vectors, path: str) -> Iterator[tuple[Record, RsaPublic | None, str]]:
    for row in vectors(path):
        if row.get("SHAAlg") not in {"SHA256", "SHA384", "SHA512"} or "S" not in row:
            continue
        try:
            key = RSAPublicNumbers(int(row["e"], 16), int(row["n"], 16)).public_key()
        except ValueError:  # "Public Key e changed" to an even one
            yield row, None, row["SHAAlg"][3:]
            continue
        yield row, RsaPublic("RSA_2048", key), row["SHAAlg"][3:]


def test_nist_pkcs1_v1_5_verification(vectors: Vectors, record_property: Recorder) -> None:
    """NIST's answers for signatures that are right, and wrong in message, key, signature, padding or format."""
    right = wrong = 0
    for row, key, bits in _rows(vectors, f"{FOLDER}/FIPS_186-2/SigVer15_186-3.rsp"):
        verified = key is not None and key.verify(
            f"RSASSA_PKCS1_V1_5_SHA_{bits}", "RAW", bytes.fromhex(row["Msg"]), bytes.fromhex(row["S"])
        )
        assert verified == row["Result"].startswith("P"), row["Result"]
        right, wrong = right + verified, wrong + (not verified)
    record_property("vectors", right + wrong)
    assert right >= 45
    assert wrong >= 180


def test_nist_pss_with_a_salt_of_another_length(vectors: Vectors, record_property: Recorder) -> None:
    """NIST's signatures have ten bytes of salt: right ones as PSS goes, and none of ours."""
    right = 0
    for row, key, bits in _rows(vectors, f"{FOLDER}/FIPS_186-2/SigVerPSS_186-3.rsp"):
        algorithm, message, signature = (
            f"RSASSA_PSS_SHA_{bits}",
            bytes.fromhex(row["Msg"]),
            bytes.fromhex(row["S"]),
        )
        if key is None:
            assert not row["Result"].startswith("P")
            continue
        assert not key.verify(algorithm, "RAW", message, signature)
        digest = hash_of(algorithm)
        try:
            key._key.verify(signature, message, padding.PSS(padding.MGF1(digest), 10), digest)
        except InvalidSignature:
            assert not row["Result"].startswith("P")
        else:
            right += 1
    record_property("vectors", right)
    assert right >= 45


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_pss_is_what_cryptography_calls_it(pair: Both, bits: int) -> None:
    """Salt as long as the hash, mask generator with the same hash; in both directions."""
    private, public = pair("RSA_2048")
    algorithm = f"RSASSA_PSS_SHA_{bits}"
    digest = hash_of(algorithm)
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
    assert isinstance(private, RsaPrivate)

    private._key.public_key().verify(private.sign(algorithm, "RAW", b"text"), b"text", scheme, digest)

    assert public.verify(algorithm, "RAW", b"text", private._key.sign(b"text", scheme, digest))
    other = padding.PSS(padding.MGF1(digest), digest.digest_size - 1)
    assert not public.verify(algorithm, "RAW", b"text", private._key.sign(b"text", other, digest))


def _oaep(path: str) -> Iterator[tuple[rsa.RSAPrivateKey, bytes, bytes]]:
    """Key, message and ciphertext of each example in RSA's own format: a name in a comment, then hex lines."""
    text = (Path(cryptography_vectors.__file__).parent / path).read_text()
    fields: dict[str, str] = {}
    key: rsa.RSAPrivateKey | None = None
    name = ""
    for line in [*text.splitlines(), "# end:"]:
        if not line.startswith("#"):
            fields[name] = fields.get(name, "") + line.replace(" ", "").strip()
            continue
        if name == "coefficient":
            e, d, p, q, n = (
                int(fields[part], 16)
                for part in ("public exponent", "exponent", "prime 1", "prime 2", "modulus")
            )
            key = RSAPrivateNumbers(
                p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), RSAPublicNumbers(e, n)
            ).private_key()
        if name == "encryption" and key:
            yield key, bytes.fromhex(fields["message"]), bytes.fromhex(fields["encryption"])
        name = line.strip("# :").lower()
        fields[name] = ""


@pytest.mark.parametrize(
    ("algorithm", "path"),
    [
        ("RSAES_OAEP_SHA_1", f"{FOLDER}/pkcs-1v2-1d2-vec/oaep-vect.txt"),
        ("RSAES_OAEP_SHA_256", f"{FOLDER}/oaep-custom/oaep-sha256-sha256.txt"),
    ],
)
def test_published_oaep_ciphertexts_open(algorithm: str, path: str, record_property: Recorder) -> None:
    """RSA's own vectors, and those made of them for SHA-256, with keys of ten sizes."""
    count = 0
    for key, message, ciphertext in _oaep(path):
        assert RsaPrivate(key).decrypt(algorithm, ciphertext) == message
        count += 1
    record_property("vectors", count)
    assert count >= 30


@pytest.mark.parametrize("path", ["oaep-sha256-sha1", "oaep-sha1-sha256", "oaep-sha512-sha256"])
def test_oaep_with_other_hashes_does_not_open(path: str) -> None:
    """The label's hash and the mask generator's are the algorithm's, both."""
    count = 0
    for key, _, ciphertext in _oaep(f"{FOLDER}/oaep-custom/{path}.txt"):
        for algorithm in ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"):
            with pytest.raises(InvalidCiphertext):
                RsaPrivate(key).decrypt(algorithm, ciphertext)
            count += 1
    assert count >= 60


# --- a stranger's key ------------------------------------------------------------------------------------


def _numbers(der: bytes) -> RSAPrivateNumbers:
    key = load_der_private_key(der, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.private_numbers()


def test_however_a_key_is_written_it_is_kept_in_one_form(der: Der) -> None:
    """The primes swapped, and the private exponent of Euler's function instead of Carmichael's: the same bytes."""
    private, public = der("RSA_2048")
    n = _numbers(private)
    phi = (n.p - 1) * (n.q - 1)
    d = pow(n.public_numbers.e, -1, phi)
    for p, q, exponent in ((n.q, n.p, n.d), (n.p, n.q, d), (n.q, n.p, d)):
        other = RSAPrivateNumbers(
            p, q, exponent, exponent % (p - 1), exponent % (q - 1), pow(q, -1, p), n.public_numbers
        )

        assert check_private("RSA_2048", dump(other.private_key())) == check_private("RSA_2048", private)
    assert check_private("RSA_2048", private)[1] == public


def test_a_key_of_a_size_between_or_with_a_small_exponent_is_refused() -> None:
    """Exactly the spec's modulus, and an exponent from 65,537."""
    for exponent, bits in ((3, 2048), (65537, 2056), (65537, 2040)):
        with pytest.raises(InvalidCiphertext):
            check_private("RSA_2048", dump(rsa.generate_private_key(exponent, bits)))


def test_a_key_whose_numbers_do_not_belong_together_is_refused(der: Der) -> None:
    """A composite in a prime's place, or another private exponent."""
    n = _numbers(der("RSA_2048")[0])
    composite = n.p - 2 if (n.p - 2) % 3 == 0 else n.p + 2 if (n.p + 2) % 3 == 0 else n.p + 4
    forged = RSAPrivateNumbers(
        composite, n.q, n.d, n.dmp1, n.dmq1, n.iqmp, RSAPublicNumbers(65537, composite * n.q)
    )
    shifted = RSAPrivateNumbers(n.p, n.q, n.d + 2, n.dmp1, n.dmq1, n.iqmp, n.public_numbers)

    for numbers in (forged, shifted):
        key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
        with pytest.raises(InvalidCiphertext):
            check_private("RSA_2048", dump(key))


def test_only_plain_pkcs8_is_read(der: Der) -> None:
    """PKCS #1, an encrypted key, the public half, and what is no DER at all."""
    private, public = der("RSA_2048")
    key = load_der_private_key(private, None)
    pkcs1 = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    encrypted = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    for wrong in (pkcs1, encrypted, pem, public, b"", b"\x30", b"\x30\x80", b"\x30\x05\x02\x01\x00\x30\x00"):
        with pytest.raises(InvalidCiphertext):
            check_private("RSA_2048", wrong)


def test_a_public_key_says_its_own_size(pair: Both) -> None:
    """The public half of the private object is the one that was stored."""
    private, public = pair("RSA_3072")
    assert isinstance(private, RsaPrivate)

    assert dump_public(private._key.public_key()) == public.der == private.public_key
