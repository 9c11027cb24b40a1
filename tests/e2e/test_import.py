"""Imported key material with boto3: wrapped by `cryptography`, as an owner does it, in every way and for every key.

The server never sees what these tests keep: they compare what the key does with what the material does here.
"""

import hmac
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

pytestmark = pytest.mark.e2e

FOREVER: Final = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
HASHES: Final = {"SHA_1": hashes.SHA1, "SHA_256": hashes.SHA256}
DIRECT: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
HYBRID: Final = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
SIZES: Final = ("RSA_2048", "RSA_3072", "RSA_4096")


class Refused:
    """An error that a call must end in."""

    def __init__(self, call: Callable[..., Any], **members: Any) -> None:
        with pytest.raises(ClientError) as caught:
            call(**members)
        error = caught.value.response["Error"]
        self.code, self.message = error["Code"], error.get("Message", "")


def wrap(public_key: bytes, algorithm: str, material: bytes) -> bytes:
    """Material, wrapped the way that was agreed on."""
    public: Any = serialization.load_der_public_key(public_key)
    hash_ = HASHES["SHA_1" if algorithm.endswith("SHA_1") else "SHA_256"]
    oaep = padding.OAEP(padding.MGF1(hash_()), hash_(), None)
    if algorithm in DIRECT:
        return bytes(public.encrypt(material, oaep))
    kek = os.urandom(32)
    return bytes(public.encrypt(kek, oaep)) + aes_key_wrap_with_padding(kek, material)


def bring(
    kms: Any,
    key: str,
    material: bytes,
    algorithm: str = "RSAES_OAEP_SHA_256",
    size: str = "RSA_2048",
    **members: Any,
) -> Any:
    """Ask for parameters, wrap, and import."""
    offer = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=size)
    return kms.import_key_material(
        KeyId=key,
        ImportToken=offer["ImportToken"],
        EncryptedKeyMaterial=wrap(offer["PublicKey"], algorithm, material),
        **(members or FOREVER),
    )


def external(kms: Any, **members: Any) -> str:
    """A key that waits for its material."""
    return str(kms.create_key(Origin="EXTERNAL", **members)["KeyMetadata"]["KeyId"])


def described(kms: Any, key: str) -> dict[str, Any]:
    """The key's metadata."""
    found: dict[str, Any] = kms.describe_key(KeyId=key)["KeyMetadata"]
    return found


def pkcs8(private: Any) -> bytes:
    """A private key as it is imported."""
    return bytes(
        private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def spki(private: Any) -> bytes:
    """Its public half."""
    return bytes(
        private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", DIRECT)
def test_a_symmetric_key_in_every_way_of_wrapping(kms: Any, algorithm: str, size: str) -> None:
    """Before the import it says and does nothing; after it, the same material in another key opens nothing of it."""
    key = external(kms)
    waiting = described(kms, key)
    assert (waiting["KeyState"], waiting["Enabled"]) == ("PendingImport", False)
    assert not {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} & waiting.keys()
    offer = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=size)
    assert offer["KeyId"] == waiting["Arn"]
    public: Any = serialization.load_der_public_key(offer["PublicKey"])
    assert public.key_size == int(size.removeprefix("RSA_"))
    day = datetime.now(UTC) + timedelta(days=1)
    assert abs(offer["ParametersValidTo"] - day) < timedelta(minutes=5)
    done = kms.import_key_material(
        KeyId=key,
        ImportToken=offer["ImportToken"],
        EncryptedKeyMaterial=wrap(offer["PublicKey"], algorithm, os.urandom(32)),
        **FOREVER,
    )
    assert done["KeyId"] == waiting["Arn"]
    ready = described(kms, key)
    assert (ready["KeyState"], ready["CurrentKeyMaterialId"]) == ("Enabled", done["KeyMaterialId"])
    assert ready["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=sealed)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"x", done["KeyMaterialId"])


@pytest.mark.parametrize("bits", [224, 256, 384, 512])
@pytest.mark.parametrize("algorithm", DIRECT)
def test_an_hmac_key_makes_the_codes_of_its_material(kms: Any, algorithm: str, bits: int) -> None:
    """The same that Python's hmac makes; no material id is shown."""
    key = external(kms, KeySpec=f"HMAC_{bits}", KeyUsage="GENERATE_VERIFY_MAC")
    material = os.urandom(bits // 8)
    assert "KeyMaterialId" not in bring(kms, key, material, algorithm)
    made = kms.generate_mac(KeyId=key, Message=b"message", MacAlgorithm=f"HMAC_SHA_{bits}")["Mac"]
    assert made == hmac.digest(material, b"message", f"sha{bits}")
    assert "CurrentKeyMaterialId" not in described(kms, key)


@pytest.mark.parametrize("algorithm", HYBRID)
@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_an_rsa_key_is_the_owners(kms: Any, algorithm: str, bits: int) -> None:
    """Its public key is equal, and what it signs and decrypts the owner's key verifies and has encrypted."""
    private = rsa.generate_private_key(65537, bits)
    signing = external(kms, KeySpec=f"RSA_{bits}", KeyUsage="SIGN_VERIFY")
    bring(kms, signing, pkcs8(private), algorithm, "RSA_3072")
    assert kms.get_public_key(KeyId=signing)["PublicKey"] == spki(private)
    signature = kms.sign(KeyId=signing, Message=b"m", SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")[
        "Signature"
    ]
    private.public_key().verify(signature, b"m", padding.PKCS1v15(), hashes.SHA256())
    opening = external(kms, KeySpec=f"RSA_{bits}", KeyUsage="ENCRYPT_DECRYPT")
    bring(kms, opening, pkcs8(private), algorithm)
    sealed = private.public_key().encrypt(
        b"x", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    )
    opened = kms.decrypt(KeyId=opening, CiphertextBlob=sealed, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    assert opened["Plaintext"] == b"x"


CURVES: Final[dict[str, tuple[ec.EllipticCurve, str, hashes.HashAlgorithm]]] = {
    "ECC_NIST_P256": (ec.SECP256R1(), "ECDSA_SHA_256", hashes.SHA256()),
    "ECC_NIST_P384": (ec.SECP384R1(), "ECDSA_SHA_384", hashes.SHA384()),
    "ECC_NIST_P521": (ec.SECP521R1(), "ECDSA_SHA_512", hashes.SHA512()),
    "ECC_SECG_P256K1": (ec.SECP256K1(), "ECDSA_SHA_256", hashes.SHA256()),
}


@pytest.mark.parametrize("algorithm", DIRECT + HYBRID)
@pytest.mark.parametrize("spec", CURVES)
def test_an_elliptic_key_is_the_owners(kms: Any, algorithm: str, spec: str) -> None:
    """Straight under RSA where it fits, or under AES; P-521 does not fit into 2,048 bits."""
    curve, signing, hash_ = CURVES[spec]
    private = ec.generate_private_key(curve)
    key = external(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    size = "RSA_2048"
    if spec == "ECC_NIST_P521" and algorithm in DIRECT:
        refused = Refused(
            kms.get_parameters_for_import, KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=size
        )
        assert refused.code == "UnsupportedOperationException"
        size = "RSA_4096"
    bring(kms, key, pkcs8(private), algorithm, size)
    assert kms.get_public_key(KeyId=key)["PublicKey"] == spki(private)
    signature = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm=signing)["Signature"]
    assert utils.decode_dss_signature(signature)
    private.public_key().verify(signature, b"m", ec.ECDSA(hash_))


def test_an_agreement_key_is_the_owners(kms: Any) -> None:
    """Both sides come to the same secret."""
    private, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    key = external(kms, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    bring(kms, key, pkcs8(private))
    agreed = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=spki(other))
    assert agreed["SharedSecret"] == other.exchange(ec.ECDH(), private.public_key())
    assert agreed["KeyOrigin"] == "EXTERNAL"


def test_an_edwards_key_is_the_owners(kms: Any) -> None:
    """Ed25519, straight under RSA."""
    private = ed25519.Ed25519PrivateKey.generate()
    key = external(kms, KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")
    bring(kms, key, pkcs8(private))
    signed = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="ED25519_SHA_512")
    private.public_key().verify(signed["Signature"], b"m")


def test_what_was_retired_or_does_not_fit_is_refused(kms: Any) -> None:
    """PKCS #1 v1.5, SM2, RSA keys straight under RSA, short keys under AES."""
    symmetric = external(kms)
    private = external(kms, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    for key, algorithm in (
        (symmetric, "RSAES_PKCS1_V1_5"),
        (symmetric, "SM2PKE"),
        (symmetric, HYBRID[0]),
        (private, DIRECT[0]),
        (private, DIRECT[1]),
    ):
        refused = Refused(
            kms.get_parameters_for_import, KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048"
        )
        assert (refused.code, algorithm in refused.message) == ("UnsupportedOperationException", True)


def test_what_is_not_the_material_is_refused(kms: Any) -> None:
    """A wrong wrapping and a wrong length say nothing more; a key of another curve is not that of this key."""
    key = external(kms)
    offer = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=DIRECT[1], WrappingKeySpec="RSA_2048")
    whole = {"KeyId": key, "ImportToken": offer["ImportToken"], **FOREVER}
    for material in (
        b"x" * 256,
        wrap(offer["PublicKey"], DIRECT[1], bytes(16)),
        wrap(offer["PublicKey"], DIRECT[0], bytes(32)),
    ):
        refused = Refused(kms.import_key_material, EncryptedKeyMaterial=material, **whole)
        assert (refused.code, refused.message) == ("InvalidCiphertextException", "")
    elliptic = external(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    other = pkcs8(ec.generate_private_key(ec.SECP384R1()))
    assert Refused(bring, kms=kms, key=elliptic, material=other).code == "InvalidCiphertextException"
    assert Refused(
        bring, kms=kms, key=key, material=bytes(32), ExpirationModel="KEY_MATERIAL_EXPIRES"
    ).message == ("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")


def test_a_material_is_taken_away_and_comes_back(kms: Any) -> None:
    """PendingImport without an expiration model; CurrentKeyMaterialId stays; other material is refused."""
    key, material = external(kms), os.urandom(32)
    done = bring(kms, key, material)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    deleted = kms.delete_imported_key_material(KeyId=key)
    assert (deleted["KeyId"], deleted["KeyMaterialId"]) == (done["KeyId"], done["KeyMaterialId"])
    gone = described(kms, key)
    assert (gone["KeyState"], gone["CurrentKeyMaterialId"]) == ("PendingImport", done["KeyMaterialId"])
    assert not {"ExpirationModel", "ValidTo"} & gone.keys()
    refused = Refused(kms.decrypt, CiphertextBlob=sealed)
    assert (refused.code, refused.message) == (
        "KMSInvalidStateException",
        f"{gone['Arn']} is pending import.",
    )
    assert Refused(bring, kms=kms, key=key, material=os.urandom(32)).code == "IncorrectKeyMaterialException"
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
    bring(kms, key, material, ValidTo=end)
    back = described(kms, key)
    assert (back["KeyState"], back["ExpirationModel"], back["ValidTo"]) == (
        "Enabled",
        "KEY_MATERIAL_EXPIRES",
        end,
    )
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"


def test_imported_material_rotates(kms: Any) -> None:
    """New material waits, is listed as such, becomes the current one, and the old one still decrypts."""
    key = external(kms)
    first = bring(kms, key, os.urandom(32))["KeyMaterialId"]
    arn = described(kms, key)["Arn"]
    refused = Refused(kms.rotate_key_on_demand, KeyId=key)
    assert (refused.code, refused.message) == (
        "KMSInvalidStateException",
        f"No available key material pending rotation for the key: {arn}.",
    )
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    new = {**FOREVER, "ImportType": "NEW_KEY_MATERIAL", "KeyMaterialDescription": "next"}
    second = bring(kms, key, os.urandom(32), **new)["KeyMaterialId"]
    third = Refused(bring, kms=kms, key=key, material=os.urandom(32), **new)
    assert third.code == "KMSInvalidStateException"
    assert f"because another key material (id: {second}) is pending rotation." in third.message
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
    listing = {"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    states = [entry["KeyMaterialState"] for entry in kms.list_key_rotations(**listing)["Rotations"]]
    assert states == ["CURRENT", "PENDING_ROTATION"]
    assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == arn
    old, current = kms.list_key_rotations(**listing)["Rotations"]
    assert (old["KeyMaterialState"], old["KeyMaterialId"], "RotationDate" in old) == (
        "NON_CURRENT",
        first,
        False,
    )
    assert (current["KeyMaterialState"], current["RotationType"]) == ("CURRENT", "ON_DEMAND")
    assert (current["KeyMaterialDescription"], current["ImportState"]) == ("next", "IMPORTED")
    assert described(kms, key)["CurrentKeyMaterialId"] == second
    assert kms.decrypt(CiphertextBlob=sealed)["KeyMaterialId"] == first
    kms.delete_imported_key_material(KeyId=key, KeyMaterialId=first)
    assert described(kms, key)["KeyState"] == "PendingImport"


def test_a_token_is_good_once_and_for_its_key(kms: Any) -> None:
    """Used, or for another key, it is InvalidImportTokenException."""
    key, other, material = external(kms), external(kms), os.urandom(32)
    offer = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=DIRECT[1], WrappingKeySpec="RSA_2048")
    whole = {
        "ImportToken": offer["ImportToken"],
        "EncryptedKeyMaterial": wrap(offer["PublicKey"], DIRECT[1], material),
        **FOREVER,
    }
    assert Refused(kms.import_key_material, KeyId=other, **whole).code == "InvalidImportTokenException"
    kms.import_key_material(KeyId=key, **whole)
    assert Refused(kms.import_key_material, KeyId=key, **whole).code == "InvalidImportTokenException"


def test_what_expires_is_erased_by_the_running_service(own_service: Any) -> None:
    """The key is useless at once; then the job takes the material, out of every file, and that is on record."""
    own_service.serve(jobs_seconds=1)
    kms = own_service.client()
    key, material = external(kms), os.urandom(32)
    bring(kms, key, material, ValidTo=datetime.now(UTC) + timedelta(seconds=6))
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with closing(sqlite3.connect(own_service.data / "keystead.db")) as database:
        (handle,) = database.execute("SELECT handle FROM versions WHERE key_id = ?", (key,)).fetchone()
    assert handle
    own_service.until(lambda: described(kms, key)["KeyState"] == "PendingImport")
    assert Refused(kms.decrypt, CiphertextBlob=sealed).code == "KMSInvalidStateException"

    def erased() -> bool:
        files = [path.read_bytes() for path in own_service.data.glob("keystead.db*")]
        return not any(handle.encode() in data for data in files)

    own_service.until(erased)
    bring(kms, key, material)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    assert own_service.stop() == 0
    own_service.verify()
    records = [record for record in own_service.records() if record["action"] == "keystead:ExpireKeyMaterial"]
    assert [record["stage"] for record in records] == ["intent", "outcome"]
    assert (records[1]["outcome"], records[1]["principal"].rpartition("/")[2]) == ("Success", "jobs")
