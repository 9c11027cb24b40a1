import hashlib
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from keystead.core.errors import InvalidCiphertext, InvalidRequest
from keystead.crypto.elliptic import EllipticPrivate, EllipticPublic, public
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import check_private, generate, open_private
from keystead.crypto.pkcs8 import dump
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
Der = Callable[[str], tuple[bytes, bytes]]
Recorder = Callable[[str, object], None]
Vectors = Callable[[str], Iterator[dict[str, str]]]

FOLDER = "asymmetric"
SPECS = ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1")
CURVES = {
    "P-256": ("ECC_NIST_P256", ec.SECP256R1(), "ECDSA_SHA_256"),
    "P-384": ("ECC_NIST_P384", ec.SECP384R1(), "ECDSA_SHA_384"),
    "P-521": ("ECC_NIST_P521", ec.SECP521R1(), "ECDSA_SHA_512"),
    "K-256": ("ECC_SECG_P256K1", ec.SECP256K1(), "ECDSA_SHA_256"),
}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _point(spec: str, x: str, y: str) -> bytes:
    """A SubjectPublicKeyInfo with these coordinates, whether or not they are a point of the curve."""
    _, model = generate(spec)
    size = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66, "ECC_SECG_P256K1": 32}[spec]
    return model[: -2 * size] + int(x, 16).to_bytes(size, "big") + int(y, 16).to_bytes(size, "big")


def test_nist_ecdsa_verification(vectors: Vectors, record_property: Recorder) -> None:
    """NIST's answers for right signatures and for ones with another message, key, R or S; also of the digest."""
    right = wrong = 0
    for row in vectors(f"{FOLDER}/ECDSA/FIPS_186-3/SigVer.rsp"):
        if row["section"] not in {"P-256,SHA-256", "P-384,SHA-384", "P-521,SHA-512"} or "R" not in row:
            continue
        spec, _, algorithm = CURVES[row["section"][:5]]
        message = bytes.fromhex(row["Msg"])
        signature = encode_dss_signature(int(row["R"], 16), int(row["S"], 16))
        digest = hashlib.new("sha" + algorithm[-3:], message).digest()
        try:
            key = PublicKey(spec, _point(spec, row["Qx"], row["Qy"]))
        except ValueError:
            verified = False
        else:
            verified = key.verify(algorithm, "RAW", message, signature)
            assert key.verify(algorithm, "DIGEST", digest, signature) == verified
        assert verified == row["Result"].startswith("P"), row
        right, wrong = right + verified, wrong + (not verified)
    record_property("vectors", right + wrong)
    assert right >= 9
    assert wrong >= 30


def test_published_secp256k1_signatures(vectors: Vectors, record_property: Recorder) -> None:
    """Signatures on secp256k1 with SHA-256."""
    count = 0
    for row in vectors(f"{FOLDER}/ECDSA/SECP256K1/SigGen.txt"):
        if row["section"] == "K-256,SHA-256" and "R" in row:
            key = PublicKey("ECC_SECG_P256K1", _point("ECC_SECG_P256K1", row["Qx"], row["Qy"]))
            signature = encode_dss_signature(int(row["R"], 16), int(row["S"], 16))
            assert key.verify("ECDSA_SHA_256", "RAW", bytes.fromhex(row["Msg"]), signature)
            assert not key.verify("ECDSA_SHA_256", "RAW", bytes.fromhex(row["Msg"]) + b"\0", signature)
            count += 1
    record_property("vectors", count)
    assert count >= 200


@pytest.mark.parametrize("spec", SPECS)
def test_a_signature_in_any_other_form_is_wrong(pair: Both, spec: str) -> None:
    """Raw R and S, trailing bytes, padded or negative numbers, zero, numbers beyond the order, long lengths."""
    private, key = pair(spec)
    algorithm = next(algorithm for name, _, algorithm in CURVES.values() if name == spec)
    signature = private.sign(algorithm, "RAW", b"text")
    r, s = decode_dss_signature(signature)
    size = (len(key.der) - 20) // 2

    def integer(value: bytes) -> bytes:
        return b"\x02" + bytes([len(value)]) + value

    def sequence(*parts: bytes) -> bytes:
        body = b"".join(parts)
        return b"\x30" + (bytes([len(body)]) if len(body) < 128 else b"\x81" + bytes([len(body)])) + body

    def natural(value: int) -> bytes:
        return integer(value.to_bytes(value.bit_length() // 8 + 1, "big"))

    assert key.verify(algorithm, "RAW", b"text", sequence(natural(r), natural(s)))
    for wrong in (
        r.to_bytes(size + 4, "big") + s.to_bytes(size + 4, "big"),
        signature + b"\0",
        signature[:-1],
        signature[1:],
        b"\x31" + signature[1:],
        sequence(natural(r)),
        sequence(natural(r), natural(s), natural(s)),
        sequence(natural(s), natural(r)),
        sequence(integer(b"\0\0" + r.to_bytes(size, "big").lstrip(b"\0")), natural(s)),
        sequence(integer(b"\0"), natural(s)),
        sequence(natural(r), integer(b"\0")),
        sequence(natural(r + (1 << 520)), natural(s)),
        sequence(natural(r), natural(s) + b"\0"),
        b"\x30\x80" + natural(r) + natural(s) + b"\0\0",
        b"\x30\x84\x7f\xff\xff\xff" + natural(r) + natural(s),
        b"",
    ):
        assert not key.verify(algorithm, "RAW", b"text", wrong), wrong.hex()


# --- ECDH ------------------------------------------------------------------------------------------------

CORRECT, ZERO_NIBBLE, Z_CHANGED, BAD_X, BAD_Y = "P (0", "P (13", "F (8", "F (1 ", "F (2 "


@pytest.mark.parametrize("role", ["init", "resp"])
def test_nist_key_agreement(vectors: Vectors, record_property: Recorder, role: str) -> None:
    """NIST's shared secrets, leading zeros and all, and its public keys that are not on the curve."""
    seen = dict.fromkeys((CORRECT, ZERO_NIBBLE, Z_CHANGED, BAD_X, BAD_Y), 0)
    curves = {"EC - SHA256": "P-256", "ED - SHA384": "P-384", "EE - SHA512": "P-521"}
    for row in vectors(f"{FOLDER}/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax"):
        outcome = next((start for start in seen if row.get("Result", "").startswith(start)), None)
        if row["section"] not in curves or outcome is None:
            continue
        spec, curve, _ = CURVES[curves[row["section"]]]
        ours = EllipticPrivate(ec.derive_private_key(int(row["dsIUT"], 16), curve))
        theirs = _point(spec, row["QsCAVSx"], row["QsCAVSy"])
        if outcome in {BAD_X, BAD_Y}:
            with pytest.raises(InvalidRequest) as caught:
                ours.agree(theirs)
            assert str(caught.value) == ""
        else:
            assert (ours.agree(theirs) == bytes.fromhex(row["Z"])) == (outcome != Z_CHANGED)
        seen[outcome] += 1
    record_property("vectors", sum(seen.values()))
    assert min(seen.values()) >= 3, seen


def test_nist_public_keys(vectors: Vectors, record_property: Recorder) -> None:
    """Points that are on the curve are keys, points beside it and out of range are none."""
    right = wrong = 0
    for row in vectors(f"{FOLDER}/ECDSA/FIPS_186-3/PKV.rsp"):
        if row["section"] not in CURVES or "Qx" not in row:
            continue
        spec = CURVES[row["section"]][0]
        try:
            der = _point(spec, row["Qx"], row["Qy"])
        except OverflowError:  # longer than the field's elements are
            assert row["Result"].startswith("F")
            continue
        if row["Result"].startswith("P"):
            assert isinstance(public(spec, der), EllipticPublic)
            right += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                public(spec, der)
            wrong += 1
    record_property("vectors", right + wrong)
    assert right >= 9
    assert wrong >= 9


@pytest.mark.parametrize("spec", SPECS[:3])
def test_what_is_no_public_key_of_the_curve_agrees_on_nothing(pair: Both, der: Der, spec: str) -> None:
    """Another curve's, another algorithm's, a cut one, the point at infinity: refused without a word."""
    private, key = pair(spec)
    others = [der(other)[1] for other in (*SPECS, "ECC_NIST_EDWARDS25519", "RSA_2048") if other != spec]

    for wrong in (
        *others,
        b"",
        key.der[:-1],
        key.der + b"\0",
        key.der[:26] + b"\x03\x02\x00\x00",
        der(spec)[0],
    ):
        with pytest.raises(InvalidRequest) as caught:
            private.agree(wrong)
        assert str(caught.value) == ""


# --- a stranger's key ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_however_a_key_is_written_it_is_kept_in_one_form(der: Der, spec: str) -> None:
    """A PKCS #8 key without its public point gets it back."""
    private, _ = der(spec)
    key = load_der_private_key(private, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with_point = bytes.fromhex("a1") + _length(len(point) + 3 + (len(point) > 126)) + b"\x03"
    with_point += _length(len(point) + 1) + b"\0" + point
    assert private.endswith(with_point)
    size = (key.key_size + 7) // 8
    inner = b"\x30" + _length(size + 5) + b"\x02\x01\x01\x04" + bytes([size])
    inner += key.private_numbers().private_value.to_bytes(size, "big")
    curve = private[private.index(b"\x06\x07\x2a\x86\x48") : private.index(b"\x02\x01\x01")]
    curve = curve[: curve.rindex(b"\x04")]
    algorithm = b"\x30" + bytes([len(curve)]) + curve
    body = b"\x02\x01\x00" + algorithm + b"\x04" + _length(len(inner)) + inner
    short = b"\x30" + _length(len(body)) + body

    assert len(short) < len(private)
    assert check_private(spec, short) == der(spec)


def _length(count: int) -> bytes:
    return bytes([count]) if count < 128 else b"\x81" + bytes([count])


def test_a_scalar_out_of_range_is_refused(der: Der) -> None:
    """Zero, the order, and beyond."""
    private, _ = der("ECC_NIST_P256")
    at = private.index(b"\x02\x01\x01\x04\x20") + 5
    for scalar in (0, P256_ORDER, P256_ORDER + 1, (1 << 256) - 1):
        with pytest.raises(InvalidCiphertext):
            check_private("ECC_NIST_P256", private[:at] + scalar.to_bytes(32, "big") + private[at + 32 :])


def test_a_public_point_of_another_key_is_refused(der: Der) -> None:
    """What a key says of its public half must be true."""
    private, public_key = der("ECC_NIST_P256")
    _, other = generate("ECC_NIST_P256")

    with pytest.raises(InvalidCiphertext):
        check_private("ECC_NIST_P256", private.replace(public_key[-65:], other[-65:]))


def test_sec1_is_not_read(der: Der) -> None:
    """The older form without an algorithm is no PKCS #8."""
    key = load_der_private_key(der("ECC_NIST_P256")[0], None)

    with pytest.raises(InvalidCiphertext):
        check_private(
            "ECC_NIST_P256", key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )


def test_an_unknown_curve_is_refused() -> None:
    """A curve that we have no spec for, whether as a private, public or other side's key."""
    key = ec.generate_private_key(ec.SECP224R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(InvalidCiphertext):
        check_private("ECC_NIST_P256", dump(key))
    with pytest.raises(InvalidRequest):
        open_private("ECC_NIST_P256", generate("ECC_NIST_P256")[0]).agree(spki)
