"""Known answers of NIST and the RFCs, replayed through the service: import the key, then use it as a caller would.

The files come with `cryptography-vectors`. Each test records how many cases it replayed (`make test` prints the sum)
and asserts that there are as many as there should be, so that a file that was renamed or a parser that finds nothing
is no success.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import shake_256
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from keystead.core.errors import (
    InvalidCiphertext,
    InvalidRequest,
    KeysteadError,
    MacMismatch,
    SignatureMismatch,
)
from keystead.core.key import Origin
from keystead.core.names import KeyReference
from keystead.core.spec import HMAC_BYTES, SPECS
from keystead.crypto.importing import wrap_for
from keystead.service.commands import kms as c
from keystead.testing.service import ServiceBench

Recorder = Callable[[str, object], None]
VECTORS = Path(cryptography_vectors.__file__).parent
WRAPPING = "RSA_AES_KEY_WRAP_SHA_256"
Curves = dict[str, tuple[str, ec.EllipticCurve, str]]
CURVES: Curves = {
    "P-256": ("ECC_NIST_P256", ec.SECP256R1(), "SHA-256"),
    "P-384": ("ECC_NIST_P384", ec.SECP384R1(), "SHA-384"),
    "P-521": ("ECC_NIST_P521", ec.SECP521R1(), "SHA-512"),
}


@pytest.fixture(scope="module")
def bench() -> ServiceBench:
    """One installation."""
    return ServiceBench()


def bring(bench: ServiceBench, spec: str, usage: str, material: bytes) -> KeyReference:
    """A key with that material, imported as its owner would."""
    key = bench.key(c.CreateKey(spec=spec, usage=usage, origin=Origin.EXTERNAL))
    algorithm = WRAPPING if SPECS[spec].asymmetric else "RSAES_OAEP_SHA_256"
    offer = bench.do(c.GetParametersForImport(key, algorithm, "RSA_2048"))
    wrapped = wrap_for("RSA_2048", offer.public_key, algorithm, material)
    bench.do(c.ImportKeyMaterial(key, offer.token, wrapped))
    return key


def pkcs8(key: PrivateKeyTypes) -> bytes:
    """A private key as it is imported."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def cases(path: str, ends: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The cases of a NIST response file: the section's name, and the values up to the one that ends a case."""
    section, values = "", dict[str, str]()
    for line in (VECTORS / path).read_text().splitlines():
        if match := re.fullmatch(r"\[(.+)\]", line.strip()):
            section, values = match[1], {}
        elif match := re.fullmatch(r"(\w+)\s*=\s*(.*)", line.strip()):
            values[match[1]] = match[2]
            if match[1] == ends:
                yield section, dict(values)


def integer(text: str) -> int:
    """A number in hex."""
    return int(text, 16)


@pytest.mark.parametrize("bits", ["224", "256", "384", "512"])
def test_hmac(bench: ServiceBench, record_property: Recorder, bits: str) -> None:
    """RFC 4231. A key that is shorter than the spec's is padded with zeros, which HMAC does itself (RFC 2104)."""
    spec, algorithm, replayed = f"HMAC_{bits}", f"HMAC_SHA_{bits}", 0
    for _, case in cases(f"HMAC/rfc-4231-sha{bits}.txt", "MD"):
        material, code = bytes.fromhex(case["Key"]), bytes.fromhex(case["MD"])
        if len(material) > HMAC_BYTES[spec] or len(code) * 8 != int(bits):
            continue
        key = bring(bench, spec, "GENERATE_VERIFY_MAC", material.ljust(HMAC_BYTES[spec], b"\0"))
        message = bytes.fromhex(case["Msg"])
        assert bench.do(c.GenerateMac(key, message, algorithm)).mac == code
        bench.do(c.VerifyMac(key, message, code, algorithm))
        with pytest.raises(MacMismatch):
            bench.do(c.VerifyMac(key, message, code[:-1], algorithm))
        replayed += 1
    record_property("vectors", replayed)
    assert replayed >= 4


def test_ecdh(bench: ServiceBench, record_property: Recorder) -> None:
    """NIST KAS validity tests: the shared secret, also with a leading zero; public keys that are no points."""
    path = "asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax"
    sections = dict(zip(("EC", "ED", "EE"), CURVES, strict=True))
    agreed = refused = 0
    for section, case in cases(path, "Result"):
        name = sections.get(section.split(" ")[0])
        result = int(case["Result"].split("(")[1].split()[0])
        if name is None or "dsIUT" not in case or result not in (0, 1, 2, 13):
            continue
        spec, curve, _ = CURVES[name]
        peer = point(curve, integer(case["QsCAVSx"]), integer(case["QsCAVSy"]))
        material = pkcs8(ec.derive_private_key(integer(case["dsIUT"]), curve))
        key = bring(bench, spec, "KEY_AGREEMENT", material)
        if result in (0, 13):
            secret = bench.do(c.DeriveSharedSecret(key, peer)).secret
            assert secret == integer(case["Z"]).to_bytes((curve.key_size + 7) // 8, "big")
            agreed += 1
        else:
            with pytest.raises(InvalidRequest):
                bench.do(c.DeriveSharedSecret(key, peer))
            refused += 1
    record_property("vectors", agreed + refused)
    assert (agreed, refused) >= (50, 10)


def point(curve: ec.EllipticCurve, x: int, y: int) -> bytes:
    """The SubjectPublicKeyInfo of a point, whether it is on the curve or not."""
    good = ec.derive_private_key(1, curve).public_key()
    der = good.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    size = (curve.key_size + 7) // 8
    return der[: -2 * size] + x.to_bytes(size, "big") + y.to_bytes(size, "big")


@pytest.mark.parametrize(
    ("path", "curves", "count"),
    [
        ("FIPS_186-3/SigGen.txt", CURVES, 45),
        ("SECP256K1/SigGen.txt", {"K-256": ("ECC_SECG_P256K1", ec.SECP256K1(), "SHA-256")}, 225),
    ],
    ids=["NIST", "secp256k1"],
)
def test_ecdsa(bench: ServiceBench, record_property: Recorder, path: str, curves: Curves, count: int) -> None:
    """NIST FIPS 186-3 signature generation, and secp256k1 in its form: signatures verify, with parts exchanged not."""
    replayed = 0
    for section, case in cases(f"asymmetric/ECDSA/{path}", "S"):
        name, digest = section.split(",")
        if name not in curves or curves[name][2] != digest:
            continue
        spec, curve, _ = curves[name]
        (algorithm,) = SPECS[spec].usages["SIGN_VERIFY"]
        key = bring(bench, spec, "SIGN_VERIFY", pkcs8(ec.derive_private_key(integer(case["d"]), curve)))
        message, r, s = bytes.fromhex(case["Msg"]), integer(case["R"]), integer(case["S"])
        bench.do(c.Verify(key, message, encode_dss_signature(r, s), algorithm))
        bench.do(c.Verify(key, message, bench.do(c.Sign(key, message, algorithm)).signature, algorithm))
        for wrong in (
            encode_dss_signature(s, r),
            encode_dss_signature(r, s) + b"\0",
            b"0\x06\x02\x01\0\x02\x01\0",
        ):
            with pytest.raises(SignatureMismatch):
                bench.do(c.Verify(key, message, wrong, algorithm))
        replayed += 1
    record_property("vectors", replayed)
    assert replayed == count


def test_rsa_signatures(bench: ServiceBench, record_property: Recorder) -> None:
    """NIST FIPS 186-3 signature verification: what is right verifies, what was changed does not."""
    keys: dict[tuple[int, int], KeyReference] = {}
    verified = refused = 0
    for section, case in cases("asymmetric/RSA/FIPS_186-2/SigVer15_186-3.rsp", "Result"):
        bits, digest = int(section.split(" = ")[1]), case["SHAAlg"].removeprefix("SHA")
        p, q, e, d = (integer(case[name]) for name in "pqed")
        # Smaller exponents are not taken, and of some cases the fault is in the key: it cannot be imported.
        if (
            bits not in (2048, 3072, 4096)
            or digest not in ("256", "384", "512")
            or e < 65537
            or e * d % (p - 1) != 1
        ):
            continue
        if (p * q, e) not in keys:
            keys[p * q, e] = bring(bench, f"RSA_{bits}", "SIGN_VERIFY", pkcs8(private(p, q, e, d)))
        message, signature = bytes.fromhex(case["Msg"]), bytes.fromhex(case["S"])
        command = c.Verify(keys[p * q, e], message, signature, f"RSASSA_PKCS1_V1_5_SHA_{digest}")
        if case["Result"].startswith("P"):
            bench.do(command)
            verified += 1
        else:
            with pytest.raises(SignatureMismatch):
                bench.do(command)
            refused += 1
    record_property("vectors", verified + refused)
    assert (verified, refused) == (9, 36)


def test_rsa_pss(bench: ServiceBench, record_property: Recorder) -> None:
    """NIST's PSS signatures have a salt of ten bytes, AWS's one as long as the hash: all are refused, ours are not."""
    keys: dict[tuple[int, int], KeyReference] = {}
    replayed = 0
    for section, case in cases("asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp", "Result"):
        bits, digest = int(section.split(" = ")[1]), case["SHAAlg"].removeprefix("SHA")
        p, q, e, d = (integer(case[name]) for name in "pqed")
        if bits < 2048 or digest not in ("256", "384", "512") or e < 65537 or e * d % (p - 1) != 1:
            continue
        if (p * q, e) not in keys:
            keys[p * q, e] = bring(bench, f"RSA_{bits}", "SIGN_VERIFY", pkcs8(private(p, q, e, d)))
        key, algorithm = keys[p * q, e], f"RSASSA_PSS_SHA_{digest}"
        message, signature = bytes.fromhex(case["Msg"]), bytes.fromhex(case["S"])
        with pytest.raises(SignatureMismatch):
            bench.do(c.Verify(key, message, signature, algorithm))
        ours = bench.do(c.Sign(key, message, algorithm)).signature
        bench.do(c.Verify(key, message, ours, algorithm))
        replayed += 1
    record_property("vectors", replayed)
    assert replayed == 45


def private(p: int, q: int, e: int, d: int) -> rsa.RSAPrivateKey:
    """An RSA key by its numbers."""
    return rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(e, p * q),
    ).private_key()


@pytest.mark.parametrize(
    ("path", "algorithm"),
    [
        ("pkcs-1v2-1d2-vec/oaep-vect.txt", "RSAES_OAEP_SHA_1"),
        ("oaep-custom/oaep-sha256-sha256.txt", "RSAES_OAEP_SHA_256"),
    ],
)
def test_rsa_encryption(bench: ServiceBench, record_property: Recorder, path: str, algorithm: str) -> None:
    """RSA Laboratories' OAEP vectors, and those that `cryptography` derived from them for SHA-256."""
    values: dict[str, int] = {}
    key: KeyReference | None = None
    replayed, message = 0, b""
    for label, text in labelled(path):
        if label in ("Modulus", "Exponent", "Public exponent", "Prime 1", "Prime 2"):
            values[label] = integer(text)
            key = None
        elif label == "Message":
            message = bytes.fromhex(text)
        elif label == "Encryption" and values["Modulus"].bit_length() in (2048, 3072, 4096):
            if key is None:
                p, q, e = values["Prime 1"], values["Prime 2"], values["Public exponent"]
                if e < 65537:
                    continue
                spec = f"RSA_{values['Modulus'].bit_length()}"
                key = bring(
                    bench,
                    spec,
                    "ENCRYPT_DECRYPT",
                    pkcs8(private(p, q, e, rsa.rsa_recover_private_exponent(e, p, q))),
                )
            ciphertext = bytes.fromhex(text)
            assert bench.do(c.Decrypt(ciphertext, key, algorithm=algorithm)).plaintext == message
            changed = bytes([*ciphertext[:-1], ciphertext[-1] ^ 1])
            with pytest.raises(InvalidCiphertext):
                bench.do(c.Decrypt(changed, key, algorithm=algorithm))
            replayed += 1
    record_property("vectors", replayed)
    assert replayed >= 6


def labelled(path: str) -> Iterator[tuple[str, str]]:
    """The values of RSA Laboratories' files: a comment with the label, then hex on one or more lines."""
    label, lines = "", list[str]()
    for line in [*(VECTORS / "asymmetric/RSA" / path).read_text().splitlines(), "#"]:
        if line.startswith("#"):
            if label and lines:
                yield label, "".join(lines)
            label, lines = line.strip("# :\r"), []
        else:
            lines.append(line.strip().replace(" ", ""))


@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.long)])
def test_ed25519(bench: ServiceBench, record_property: Recorder, every: int) -> None:
    """The 1,024 signatures of the authors of Ed25519 (RFC 8032, section 7.1): they are deterministic."""
    replayed = 0
    lines = (VECTORS / "asymmetric/Ed25519/sign.input").read_text().splitlines()
    for line in lines[::every]:
        secret, _, message, signed, _ = (bytes.fromhex(part) for part in line.split(":"))
        key = bring(
            bench,
            "ECC_NIST_EDWARDS25519",
            "SIGN_VERIFY",
            pkcs8(ed25519.Ed25519PrivateKey.from_private_bytes(secret[:32])),
        )
        assert bench.do(c.Sign(key, message, "ED25519_SHA_512")).signature == signed[:64]
        bench.do(c.Verify(key, message, signed[:64], "ED25519_SHA_512"))
        with pytest.raises(SignatureMismatch):
            bench.do(c.Verify(key, message + b"\0", signed[:64], "ED25519_SHA_512"))
        replayed += 1
    record_property("vectors", replayed)
    assert replayed == 1024 // every


ML_DSA: dict[str, Any] = {
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
}
ML_KEM: dict[str, Any] = {"ML_KEM_768": mlkem.MLKEM768PrivateKey, "ML_KEM_1024": mlkem.MLKEM1024PrivateKey}


@pytest.mark.parametrize("spec", ML_DSA)
def test_ml_dsa(bench: ServiceBench, record_property: Recorder, spec: str) -> None:
    """NIST's known answers of FIPS 204. Their contexts are not AWS's, so their messages enter as EXTERNAL_MU."""
    replayed = 0
    for _, case in cases(f"asymmetric/MLDSA/kat_{spec.replace('ML_', 'ML')}_det_pure.rsp", "ctx"):
        seed, public, message, context = (bytes.fromhex(case[name]) for name in ("xi", "pk", "msg", "ctx"))
        key = bring(bench, spec, "SIGN_VERIFY", pkcs8(ML_DSA[spec].from_seed_bytes(seed)))
        framed = shake_256(public).digest(64) + bytes([0, len(context)]) + context + message
        mu = shake_256(framed).digest(64)
        signature = bytes.fromhex(case["sm"])[: int(case["smlen"]) - len(message)]
        bench.do(c.Verify(key, mu, signature, "ML_DSA_SHAKE_256", "EXTERNAL_MU"))
        with pytest.raises(SignatureMismatch):
            bench.do(c.Verify(key, mu[::-1], signature, "ML_DSA_SHAKE_256", "EXTERNAL_MU"))
        replayed += 1
    record_property("vectors", replayed)
    assert replayed == 100


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("spec", ML_KEM)
def test_ml_kem(bench: ServiceBench, record_property: Recorder, spec: str, every: int) -> None:
    """NIST's known answers of FIPS 203: right ciphertexts give the secret, wrong ones the pseudo-random one."""
    replayed = 0
    for number, (_, case) in enumerate(cases(f"asymmetric/MLKEM/kat_{spec.replace('ML_', 'ML')}.rsp", "ss")):
        if number % every:
            continue
        seed = bytes.fromhex(case["d"] + case["z"])
        key = bring(bench, spec, "ENCAPSULATE_DECAPSULATE", pkcs8(ML_KEM[spec].from_seed_bytes(seed)))
        for sent, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            opened = bench.do(c.Decapsulate(key, bytes.fromhex(case[sent])))
            assert opened.secret == bytes.fromhex(case[secret])
            replayed += 1
    record_property("vectors", replayed)
    assert replayed == 2000 // every


@pytest.mark.parametrize(
    ("spec", "usage", "what"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", bytes(31)),
        ("HMAC_256", "GENERATE_VERIFY_MAC", bytes(31)),
        ("RSA_2048", "SIGN_VERIFY", b"not DER at all"),
        ("RSA_2048", "SIGN_VERIFY", pkcs8(ec.generate_private_key(ec.SECP256R1()))),
        ("ECC_NIST_P256", "SIGN_VERIFY", pkcs8(ec.generate_private_key(ec.SECP384R1()))),
        ("ECC_NIST_P256", "SIGN_VERIFY", pkcs8(ed25519.Ed25519PrivateKey.generate())),
    ],
    ids=["short", "short code", "no DER", "a curve", "another curve", "another kind"],
)
def test_material_of_another_kind_is_refused(bench: ServiceBench, spec: str, usage: str, what: bytes) -> None:
    """Before anything is kept: a length, a curve or a kind that the key's spec does not have."""
    with pytest.raises(KeysteadError) as told:
        bring(bench, spec, usage, what)
    assert type(told.value) is InvalidCiphertext
