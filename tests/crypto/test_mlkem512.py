import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.core.errors import InvalidCiphertext, UnsupportedOperation
from keystead.crypto.keypair import check_private, generate, open_private
from keystead.crypto.publickey import PublicKey

Der = Callable[[str], tuple[bytes, bytes]]
SPEC = "ML_KEM_512"
EXPANDED, PUBLIC = 1632, 800


def test_nist_known_answers(
    der: Der,
    vectors: Callable[[str], Iterator[dict[str, str]]],
    record_property: Callable[[str, object], None],
) -> None:
    """Right ciphertexts give NIST's secrets, wrong ones its pseudo-random ones, and the public key is inside."""
    private, public = der(SPEC)
    count = 0
    for row in vectors("asymmetric/MLKEM/kat_MLKEM_512.rsp"):
        key = open_private(SPEC, private[:-EXPANDED] + bytes.fromhex(row["sk"]))
        assert key.public_key == public[:-PUBLIC] + bytes.fromhex(row["pk"])
        assert key.decapsulate(bytes.fromhex(row["ct"])).hex() == row["ss"]
        assert key.decapsulate(bytes.fromhex(row["ct_n"])).hex() == row["ss_n"]
        count += 1
    record_property("vectors", count)
    assert count >= 1000


def test_the_library_agrees_with_cryptography_where_both_can() -> None:
    """ML-KEM-768 both ways: keys of the one, secrets of the other."""
    import_module("pqcrypto.kem")
    theirs: Any = import_module("pqcrypto.kem.ml_kem_768")
    ours = MLKEM768PrivateKey.generate()
    public, secret_key = theirs.keygen()
    for _ in range(20):
        ciphertext, secret = theirs.encaps(ours.public_key().public_bytes_raw())
        assert ours.decapsulate(ciphertext) == secret
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
        assert theirs.decaps(secret_key, ciphertext) == secret


def test_the_public_form_is_the_standard_s(der: Der) -> None:
    """RFC 9935: as `cryptography` writes ML-KEM-768, with the algorithm and the lengths of ML-KEM-512."""
    model = MLKEM768PrivateKey.generate().public_key()
    info = model.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    head = bytearray(info[: -len(model.public_bytes_raw())])
    shorter = len(model.public_bytes_raw()) - PUBLIC

    head[2:4] = (int.from_bytes(head[2:4], "big") - shorter).to_bytes(2, "big")
    head[-3:-1] = (int.from_bytes(head[-3:-1], "big") - shorter).to_bytes(2, "big")
    head[head.index(bytes.fromhex("60864801650304")) + 8] = 1

    assert der(SPEC)[1][:-PUBLIC] == bytes(head)


def test_the_private_form_is_the_standard_s(der: Der) -> None:
    """PKCS #8 with an OCTET STRING in an OCTET STRING, each as long as it says."""
    private, public = der(SPEC)

    assert private[:4] == b"\x30\x82" + (len(private) - 4).to_bytes(2, "big")
    assert private[4:7] == b"\x02\x01\x00"
    assert private[7:20] == public[4:17]
    assert private[20:24] == b"\x04\x82" + (len(private) - 24).to_bytes(2, "big")
    assert private[24:28] == b"\x04\x82" + (len(private) - 28).to_bytes(2, "big")
    assert len(private) - 28 == EXPANDED


def test_a_key_whose_parts_do_not_belong_together_is_refused(der: Der) -> None:
    """A change of its hash, its public key or its secret is found; one of ``z`` makes another sound key."""
    private, _ = der(SPEC)
    start = len(private) - EXPANDED
    for at in (0, 767, 768, 1567, 1568, 1599):
        damaged = bytearray(private)
        damaged[start + at] ^= 1
        with pytest.raises(InvalidCiphertext):
            check_private(SPEC, bytes(damaged))


def test_a_public_key_out_of_range_is_refused(der: Der) -> None:
    """FIPS 203 section 7.2: coefficients are below q, also in the key that a private key holds."""
    private, _ = der(SPEC)
    at = len(private) - EXPANDED + 768

    with pytest.raises(InvalidCiphertext):
        check_private(SPEC, private[:at] + b"\xff\xff\xff" + private[at + 3 :])


def test_without_the_library_everything_says_what_is_missing(
    der: Der, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making, opening and using are refused with the package's name and how to install it."""
    private, public = der(SPEC)
    missing: dict[str, ModuleType | None] = dict.fromkeys(
        name for name in sys.modules if name.split(".")[0] == "pqcrypto"
    )
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)  # as Python marks what cannot be imported

    attempts: list[Callable[[], object]] = [
        lambda: generate(SPEC),
        lambda: open_private(SPEC, private),
        lambda: check_private(SPEC, private),
        lambda: PublicKey(SPEC, public),
    ]
    for attempt in attempts:
        with pytest.raises(UnsupportedOperation, match=r"pip install 'keystead\[ml-kem-512\]'"):
            attempt()
