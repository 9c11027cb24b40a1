import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.errors import DataDamaged, InvalidCiphertext
from keystead.core.spec import ENCRYPT_DECRYPT, SIGN_VERIFY, SPECS
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import FAMILIES, check_private, generate, open_private
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
Der = Callable[[str], tuple[bytes, bytes]]

SIGNING = [(spec, algorithm) for spec in SPECS for algorithm in SPECS[spec].usages.get(SIGN_VERIFY, ())]
WITH_DIGEST = [
    (spec, algorithm) for spec, algorithm in SIGNING if spec.startswith(("RSA", "ECC_NIST_P", "ECC_S"))
]


def test_every_asymmetric_spec_has_a_family() -> None:
    """The table of families and the table of specs name the same."""
    assert set(FAMILIES) == {spec for spec in SPECS if SPECS[spec].asymmetric}


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_key_of_ours_passes_as_a_stranger_s_unchanged(der: Der, spec: str) -> None:
    """What we make is already in the one form that we keep."""
    private, public = der(spec)

    assert check_private(spec, private) == (private, public)
    assert open_private(spec, private).public_key == public


@pytest.mark.parametrize("spec", [spec for spec in FAMILIES if spec not in {"RSA_3072", "RSA_4096"}])
def test_no_two_keys_are_the_same(der: Der, spec: str) -> None:
    """Each key is drawn anew."""
    other, public = generate(spec)

    assert other != der(spec)[0]
    assert public != der(spec)[1]


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_key_is_of_its_spec_only(der: Der, spec: str) -> None:
    """Both halves of every spec are refused as every other."""
    private, public = der(spec)
    for other in set(FAMILIES) - {spec}:
        with pytest.raises(InvalidCiphertext):
            check_private(other, private)
        with pytest.raises(DataDamaged, match=other):
            PublicKey(other, public)
        if spec != "ML_KEM_512":  # `cryptography` does not read those at all
            with pytest.raises(InvalidCiphertext):
                open_private(other, private)


@pytest.mark.parametrize("spec", [spec for spec in FAMILIES if spec not in {"RSA_3072", "RSA_4096"}])
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_key_is_refused_or_another(der: Der, spec: str, data: st.DataObject) -> None:
    """A cut or changed private key raises nothing but `InvalidCiphertext`, or is a sound key in our form."""
    private, _ = der(spec)
    at = data.draw(st.integers(0, len(private) - 1))
    damaged = data.draw(
        st.sampled_from(
            [private[:at], private[:at] + bytes([private[at] ^ 0x10]) + private[at + 1 :], private + b"\0"]
        )
    )

    try:
        canonical, other = check_private(spec, damaged)
    except InvalidCiphertext as error:
        assert str(error) == ""  # noqa: PT017 -- whether it raises depends on where the change is
    else:
        assert check_private(spec, canonical) == (canonical, other)


@pytest.mark.parametrize(("spec", "algorithm"), SIGNING)
def test_a_signature_verifies_as_what_it_is(pair: Both, spec: str, algorithm: str) -> None:
    """Its own message, key and algorithm, and nothing else."""
    private, public = pair(spec)
    kind, message, other = "RAW", b"", b"x"
    if "_PH_" in algorithm:
        kind, message, other = "DIGEST", bytes(64), bytes(63) + b"x"

    signature = private.sign(algorithm, kind, message)

    assert public.verify(algorithm, kind, message, signature)
    assert not public.verify(algorithm, kind, other, signature)
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), signature[:-1] + b"\0\0"):
        assert not public.verify(algorithm, kind, message, wrong)
    for rival in SPECS[spec].usages[SIGN_VERIFY]:
        if rival != algorithm and "ED25519" not in rival:
            assert not public.verify(rival, kind, message, signature)


@pytest.mark.parametrize(("spec", "algorithm"), WITH_DIGEST)
def test_a_digest_is_not_hashed_again(pair: Both, spec: str, algorithm: str) -> None:
    """A signature of a digest is one of the message that the digest was made of, and the other way round."""
    private, public = pair(spec)
    digest = hashlib.new("sha" + algorithm[-3:], b"text").digest()

    assert public.verify(algorithm, "RAW", b"text", private.sign(algorithm, "DIGEST", digest))
    assert public.verify(algorithm, "DIGEST", digest, private.sign(algorithm, "RAW", b"text"))
    assert not public.verify(algorithm, "RAW", digest, private.sign(algorithm, "DIGEST", digest))


# --- the openssl command line ----------------------------------------------------------------------------

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="there is no openssl command")


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run openssl and return what happened."""
    return subprocess.run([OPENSSL or "openssl", *arguments], capture_output=True, check=False)


@needs_openssl
@pytest.mark.parametrize(("spec", "algorithm"), [*WITH_DIGEST, ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512")])
def test_openssl_verifies_our_signatures(tmp_path: Path, pair: Both, spec: str, algorithm: str) -> None:
    """PSS with a salt as long as the hash, ECDSA in DER, the public key in SubjectPublicKeyInfo."""
    private, public = pair(spec)
    key, message, signature = (tmp_path / name for name in ("key", "message", "signature"))
    key.write_bytes(public.der)
    signature.write_bytes(private.sign(algorithm, "RAW", b"text"))
    command: list[str | Path] = [
        "dgst",
        f"-sha{algorithm[-3:]}",
        "-keyform",
        "DER",
        "-verify",
        key,
        "-signature",
        signature,
    ]
    if "PSS" in algorithm:
        command += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
    if "ED25519" in algorithm:
        command = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key, "-sigfile", signature]
        command += ["-rawin", "-in"]

    results = []
    for text in (b"text", b"test"):
        message.write_bytes(text)
        results.append(openssl(*command, message).returncode)

    assert results == [0, 1]


@needs_openssl
@pytest.mark.parametrize("spec", [spec for spec in FAMILIES if spec.startswith(("RSA", "ECC"))])
def test_openssl_reads_our_private_keys(tmp_path: Path, der: Der, spec: str) -> None:
    """They are PKCS #8, sound in its eyes, and have our public half."""
    private, public = der(spec)
    key, out = tmp_path / "key", tmp_path / "public"
    key.write_bytes(private)

    assert openssl("pkey", "-inform", "DER", "-in", key, "-check", "-noout").returncode == 0
    openssl("pkey", "-inform", "DER", "-in", key, "-pubout", "-outform", "DER", "-out", out)
    assert out.read_bytes() == public


@needs_openssl
@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
@pytest.mark.parametrize("algorithm", SPECS["RSA_2048"].usages[ENCRYPT_DECRYPT])
def test_openssl_encrypts_for_us(tmp_path: Path, pair: Both, spec: str, algorithm: str) -> None:
    """OAEP's hash and its mask generator's are the same, and the label is empty."""
    private, public = pair(spec)
    key, text, out = (tmp_path / name for name in ("key", "text", "out"))
    key.write_bytes(public.der)
    text.write_bytes(b"text")
    options = ["-pkeyopt", "rsa_padding_mode:oaep"]
    for option in ("rsa_oaep_md", "rsa_mgf1_md"):
        options += ["-pkeyopt", f"{option}:sha{algorithm.rpartition('_')[2]}"]

    openssl(
        "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", key, "-in", text, "-out", out, *options
    )

    assert private.decrypt(algorithm, out.read_bytes()) == b"text"


@needs_openssl
@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_openssl_agrees_with_us(tmp_path: Path, der: Der, spec: str) -> None:
    """The raw X coordinate, as openssl derives it."""
    ours, theirs = der(spec), generate(spec)
    key, peer, out = (tmp_path / name for name in ("key", "peer", "out"))
    key.write_bytes(theirs[0])
    peer.write_bytes(ours[1])

    command: list[str | Path] = [
        "pkeyutl",
        "-derive",
        "-keyform",
        "DER",
        "-inkey",
        key,
        "-peerform",
        "DER",
        "-peerkey",
        peer,
    ]
    openssl(*command, "-out", out)

    assert open_private(spec, ours[0]).agree(theirs[1]) == out.read_bytes()


@pytest.mark.parametrize("spec", [spec for spec in FAMILIES if spec != "ML_KEM_512"])
def test_others_read_our_public_keys(der: Der, spec: str) -> None:
    """SubjectPublicKeyInfo in DER."""
    load_der_public_key(der(spec)[1])
