"""Signatures, codes, key agreement and RSA: what they give, what they refuse, and what is written down."""

from hashlib import sha256
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keystead.core.names import KeyReference
from keystead.core.spec import SPECS
from keystead.crypto.publickey import PublicKey
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench, key_arn

MESSAGE = b"pay 100 to the bearer"
PLAINTEXT = b"a plaintext of a customer"
WOULD_SUCCEED = "DryRun: The request would have succeeded, but the DryRun option is set."
SIGNING = [(name, "SIGN_VERIFY") for name, spec in SPECS.items() if "SIGN_VERIFY" in spec.usages]
QUICK = [(name, usage) for name, usage in SIGNING if name not in ("RSA_3072", "RSA_4096")]
MAC = [(name, "GENERATE_VERIFY_MAC") for name in SPECS if name.startswith("HMAC")]
AGREEMENT = [(name, "KEY_AGREEMENT") for name, spec in SPECS.items() if "KEY_AGREEMENT" in spec.usages]
KEMS = [(name, "ENCAPSULATE_DECAPSULATE") for name in SPECS if name.startswith("ML_KEM")]


@pytest.fixture(scope="module")
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing. Keys are dear: the tests share it."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


_made: dict[tuple[str, str], KeyReference] = {}


def key_of(bench: ServiceBench, spec: str, usage: str) -> KeyReference:
    """A key of that spec and usage, made once."""
    if (spec, usage) not in _made:
        _made[spec, usage] = bench.key(c.CreateKey(spec=spec, usage=usage))
    return _made[spec, usage]


def kind_for(algorithm: str) -> tuple[str, bytes]:
    """A message of a kind that the algorithm takes."""
    if algorithm == "ED25519_PH_SHA_512":
        digest = hashes.Hash(hashes.SHA512())
        digest.update(MESSAGE)
        return "DIGEST", digest.finalize()
    return "RAW", MESSAGE


# --- signatures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "usage"), QUICK)
def test_what_was_signed_verifies_here_and_by_the_public_key_alone(
    bench: ServiceBench, spec: str, usage: str
) -> None:
    """Every algorithm of every signing spec; the public key is all that is needed to check it elsewhere."""
    key = key_of(bench, spec, usage)
    public: r.PublicKey = bench.do(c.GetPublicKey(key))
    for algorithm in SPECS[spec].usages[usage]:
        kind, message = kind_for(algorithm)
        signed: r.Signed = bench.do(c.Sign(key, message, algorithm, kind))
        assert (signed.key, signed.algorithm) == (key_arn(key), algorithm)
        assert PublicKey(spec, public.public_key).verify(algorithm, kind, message, signed.signature)
        verified = bench.do(c.Verify(key, message, signed.signature, algorithm, kind))
        assert (verified.key, verified.algorithm) == (key_arn(key), algorithm)


@pytest.mark.parametrize(("spec", "usage"), QUICK)
def test_a_signature_of_something_else_is_an_error_without_words(
    bench: ServiceBench, spec: str, usage: str
) -> None:
    """Another message, a changed signature and an empty one: there is no result that says no."""
    key = key_of(bench, spec, usage)
    algorithm = SPECS[spec].usages[usage][0]
    signature = bench.do(c.Sign(key, MESSAGE, algorithm)).signature
    changed = bytes([*signature[:-1], signature[-1] ^ 1])
    for message, given in ((MESSAGE + b"0", signature), (MESSAGE, changed), (MESSAGE, b"\x00")):
        assert bench.refusal(c.Verify(key, message, given, algorithm)) == "SignatureMismatch: "


def test_a_digest_is_signed_as_it_is(bench: ServiceBench) -> None:
    """A digest that the caller made gives a signature of the message itself, and must have the right length."""
    key = key_of(bench, "ECC_NIST_P256", "SIGN_VERIFY")
    digest = sha256(MESSAGE).digest()
    signature = bench.do(c.Sign(key, digest, "ECDSA_SHA_256", "DIGEST")).signature
    bench.do(c.Verify(key, MESSAGE, signature, "ECDSA_SHA_256"))
    for command in (
        c.Sign(key, digest[1:], "ECDSA_SHA_256", "DIGEST"),
        c.Verify(key, digest[1:], signature, "ECDSA_SHA_256", "DIGEST"),
    ):
        assert bench.refusal(command) == (
            "InvalidRequest: Digest is invalid length for algorithm ECDSA_SHA_256."
        )


def test_a_use_names_its_algorithm_in_the_record_and_nothing_secret(bench: ServiceBench) -> None:
    """Who signed with which key and algorithm is on record; message and signature are not."""
    key = key_of(bench, "ECC_NIST_P256", "SIGN_VERIFY")
    bench.do(c.Sign(key, MESSAGE, "ECDSA_SHA_256"))
    record = bench.records[-1]
    assert (record.action, record.outcome, record.algorithm) == ("kms:Sign", "Success", "ECDSA_SHA_256")
    assert (record.key, record.version) == (key_arn(key), 1)
    assert (record.ciphertext, record.detail) == ("", "")


# --- codes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "usage"), MAC)
def test_a_code_verifies_whole_and_not_in_part(bench: ServiceBench, spec: str, usage: str) -> None:
    """The code has the length of its hash; a part of it, or one bit off, is an error without words."""
    key = key_of(bench, spec, usage)
    (algorithm,) = SPECS[spec].usages[usage]
    coded: r.Coded = bench.do(c.GenerateMac(key, MESSAGE, algorithm))
    assert len(coded.mac) * 8 == int(spec.removeprefix("HMAC_"))
    assert bench.do(c.VerifyMac(key, MESSAGE, coded.mac, algorithm)).key == key_arn(key)
    changed = bytes([coded.mac[0] ^ 1, *coded.mac[1:]])
    for message, given in ((MESSAGE, coded.mac[:-1]), (MESSAGE, changed), (b"other", coded.mac)):
        assert bench.refusal(c.VerifyMac(key, message, given, algorithm)) == "MacMismatch: "


# --- secrets shared with others --------------------------------------------------------------------------

_CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
}


@pytest.mark.parametrize(("spec", "usage"), AGREEMENT)
def test_both_sides_agree_on_one_secret(bench: ServiceBench, spec: str, usage: str) -> None:
    """What we derive from their public key is what they derive from ours."""
    key = key_of(bench, spec, usage)
    theirs = ec.generate_private_key(_CURVES[spec])
    spki = theirs.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    derived: r.Derived = bench.do(c.DeriveSharedSecret(key, spki))
    ours = serialization.load_der_public_key(bench.do(c.GetPublicKey(key)).public_key)
    assert isinstance(ours, ec.EllipticCurvePublicKey)
    assert derived.secret == theirs.exchange(ec.ECDH(), ours)
    assert (derived.key, derived.origin, derived.algorithm) == (key_arn(key), "AWS_KMS", "ECDH")


def test_what_is_no_public_key_of_the_curve_is_refused_without_words(bench: ServiceBench) -> None:
    """Neither rubbish nor a point of another curve; AWS says no more either."""
    key = key_of(bench, "ECC_NIST_P256", "KEY_AGREEMENT")
    other = bench.do(c.GetPublicKey(key_of(bench, "ECC_NIST_P384", "KEY_AGREEMENT"))).public_key
    for public_key in (b"rubbish", other):
        assert bench.refusal(c.DeriveSharedSecret(key, public_key)) == "InvalidRequest: "


@pytest.mark.parametrize(("spec", "usage"), KEMS)
def test_an_encapsulated_secret_comes_out_again(bench: ServiceBench, spec: str, usage: str) -> None:
    """A ciphertext that was changed gives another secret, and one of another length is none (FIPS 203)."""
    key = key_of(bench, spec, usage)
    made: r.Encapsulated = bench.do(c.Encapsulate(key))
    opened: r.Decapsulated = bench.do(c.Decapsulate(key, made.ciphertext))
    assert (opened.secret, len(opened.secret), opened.key) == (made.secret, 32, key_arn(key))
    changed = bytes([made.ciphertext[0] ^ 1, *made.ciphertext[1:]])
    assert bench.do(c.Decapsulate(key, changed)).secret != made.secret
    assert bench.refusal(c.Decapsulate(key, made.ciphertext[:-1])) == "InvalidCiphertext: "


# --- RSA encryption --------------------------------------------------------------------------------------


@pytest.fixture
def rsa(bench: ServiceBench) -> KeyReference:
    """An RSA key that encrypts."""
    return key_of(bench, "RSA_2048", "ENCRYPT_DECRYPT")


@pytest.mark.parametrize(("algorithm", "longest"), [("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)])
def test_an_rsa_key_encrypts_what_fits(
    bench: ServiceBench, rsa: KeyReference, algorithm: str, longest: int
) -> None:
    """The longest plaintext comes back; one byte more is refused in AWS's words."""
    plaintext = bytes(longest)
    sealed: r.Encrypted = bench.do(c.Encrypt(rsa, plaintext, algorithm=algorithm))
    opened: r.Decrypted = bench.do(c.Decrypt(sealed.blob, rsa, algorithm=algorithm))
    assert (opened.plaintext, opened.material_id, opened.algorithm) == (plaintext, "", algorithm)
    assert sealed.algorithm == algorithm
    assert bench.refusal(c.Encrypt(rsa, bytes(longest + 1), algorithm=algorithm)) == (
        f"InvalidRequest: Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than "
        f"{longest} bytes."
    )


def test_an_rsa_ciphertext_needs_its_key_and_algorithm_named(bench: ServiceBench, rsa: KeyReference) -> None:
    """It carries neither: without the key it is refused, and by another algorithm it does not open."""
    blob = bench.do(c.Encrypt(rsa, PLAINTEXT, algorithm="RSAES_OAEP_SHA_256")).blob
    assert bench.refusal(c.Decrypt(blob, algorithm="RSAES_OAEP_SHA_256")) == (
        "InvalidRequest: KeyId is required to decrypt with an asymmetric KMS key."
    )
    assert bench.refusal(c.Decrypt(blob, rsa)) == "InvalidCiphertext: "
    assert bench.refusal(c.Decrypt(blob, rsa, algorithm="RSAES_OAEP_SHA_1")) == "InvalidCiphertext: "
    assert bench.refusal(c.Decrypt(blob[1:], rsa, algorithm="RSAES_OAEP_SHA_256")) == "InvalidCiphertext: "


def test_an_rsa_key_takes_no_context(bench: ServiceBench, rsa: KeyReference) -> None:
    """A context could not be bound to the ciphertext, so it is not taken as if it were."""
    refused = "InvalidRequest: An encryption context cannot be used with an asymmetric KMS key."
    encrypt = c.Encrypt(rsa, PLAINTEXT, {"tenant": "acme"}, algorithm="RSAES_OAEP_SHA_256")
    assert bench.refusal(encrypt) == refused
    decrypt = c.Decrypt(bytes(256), rsa, {"tenant": "acme"}, algorithm="RSAES_OAEP_SHA_256")
    assert bench.refusal(decrypt) == refused


@pytest.mark.parametrize(("source", "destination"), list(product(("symmetric", "rsa"), repeat=2)))
def test_reencrypt_moves_between_all_kinds_of_keys(
    bench: ServiceBench, rsa: KeyReference, source: str, destination: str
) -> None:
    """From and to symmetric and RSA keys; what has no material id shows none."""
    symmetric = key_of(bench, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    keys = {"symmetric": (symmetric, "SYMMETRIC_DEFAULT"), "rsa": (rsa, "RSAES_OAEP_SHA_256")}
    (from_key, from_algorithm), (to_key, to_algorithm) = keys[source], keys[destination]
    blob = bench.do(c.Encrypt(from_key, PLAINTEXT, algorithm=from_algorithm)).blob
    moved: r.ReEncrypted = bench.do(
        c.ReEncrypt(blob, to_key, from_key, algorithm=to_algorithm, source_algorithm=from_algorithm)
    )
    record = bench.records[-1]
    assert (record.from_key, record.key) == (key_arn(from_key), key_arn(to_key))
    assert (bool(moved.source_material_id), bool(moved.material_id)) == (
        source == "symmetric",
        destination == "symmetric",
    )
    assert bench.do(c.Decrypt(moved.blob, to_key, algorithm=to_algorithm)).plaintext == PLAINTEXT


# --- pairs of data keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_KEM_768"])
def test_a_pair_comes_with_its_private_half_sealed(bench: ServiceBench, spec: str) -> None:
    """The sealed private key opens to the one in the clear, under the same context only, and fits the public one."""
    key = key_of(bench, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    context = {"tenant": "acme"}
    pair: r.DataKeyPair = bench.do(c.GenerateDataKeyPair(key, spec, context))
    assert (pair.key, pair.spec) == (key_arn(key), spec)
    assert bench.do(c.Decrypt(pair.blob, context=context)).plaintext == pair.private_key
    assert bench.refusal(c.Decrypt(pair.blob)) == "InvalidCiphertext: "
    assert pair.private_key is not None
    loaded: Any = serialization.load_der_private_key(pair.private_key, None)
    assert (
        loaded.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        == pair.public_key
    )
    sealed: r.DataKeyPair = bench.do(c.GenerateDataKeyPairWithoutPlaintext(key, spec, context))
    assert sealed.private_key is None
    opened: Any = serialization.load_der_private_key(
        bench.do(c.Decrypt(sealed.blob, context=context)).plaintext, None
    )
    assert type(opened) is type(loaded)


# --- what they refuse ------------------------------------------------------------------------------------


def uses(key: KeyReference, *, dry_run: bool = False) -> list[tuple[str, str, Command]]:
    """One command of each action with the usage it needs."""
    return [
        ("kms:Sign", "SIGN_VERIFY", c.Sign(key, MESSAGE, "ECDSA_SHA_256", dry_run=dry_run)),
        ("kms:Verify", "SIGN_VERIFY", c.Verify(key, MESSAGE, b"x", "ECDSA_SHA_256", dry_run=dry_run)),
        (
            "kms:GenerateMac",
            "GENERATE_VERIFY_MAC",
            c.GenerateMac(key, MESSAGE, "HMAC_SHA_256", dry_run=dry_run),
        ),
        (
            "kms:VerifyMac",
            "GENERATE_VERIFY_MAC",
            c.VerifyMac(key, MESSAGE, b"x", "HMAC_SHA_256", dry_run=dry_run),
        ),
        ("kms:DeriveSharedSecret", "KEY_AGREEMENT", c.DeriveSharedSecret(key, b"x", dry_run=dry_run)),
        ("kms:Encapsulate", "ENCAPSULATE_DECAPSULATE", c.Encapsulate(key, dry_run=dry_run)),
        ("kms:Decapsulate", "ENCAPSULATE_DECAPSULATE", c.Decapsulate(key, b"x", dry_run=dry_run)),
    ]


@pytest.mark.parametrize("index", range(7))
def test_who_may_not_is_told_so_and_recorded(bench: ServiceBench, index: int) -> None:
    """Permission is looked at before anything else of the key."""
    key = key_of(bench, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    action, _, command = uses(key)[index]
    assert bench.refusal(command, "mallory") == (
        f"AccessDenied: User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform: {action} on "
        f"resource: {key_arn(key)} because no identity-based policy allows the {action} action"
    )


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ],
)
def test_a_key_does_only_what_its_usage_says(bench: ServiceBench, spec: str, usage: str) -> None:
    """Every action against a key of every usage: all but its own are refused in AWS's words."""
    key = key_of(bench, spec, usage)
    sealed = c.Encrypt(key, PLAINTEXT, algorithm=SPECS[spec].usages[usage][0])
    for action, needed, command in [*uses(key), ("kms:Encrypt", "ENCRYPT_DECRYPT", sealed)]:
        if usage != needed:
            assert bench.refusal(command) == (
                f"InvalidKeyUsage: {key_arn(key)} key usage is {usage} which is not valid for "
                f"{action.removeprefix('kms:')}."
            )


def test_an_algorithm_of_another_spec_is_refused(bench: ServiceBench) -> None:
    """The right usage with an algorithm that the spec does not have."""
    refused = "InvalidKeyUsage: Algorithm {} is incompatible with key spec {}."
    for spec, command in (
        ("ECC_NIST_P256", c.Sign(key_of(bench, "ECC_NIST_P256", "SIGN_VERIFY"), MESSAGE, "ECDSA_SHA_384")),
        (
            "HMAC_256",
            c.GenerateMac(key_of(bench, "HMAC_256", "GENERATE_VERIFY_MAC"), MESSAGE, "HMAC_SHA_224"),
        ),
        ("RSA_2048", c.Encrypt(key_of(bench, "RSA_2048", "ENCRYPT_DECRYPT"), PLAINTEXT)),
    ):
        assert bench.refusal(command) == refused.format(getattr(command, "algorithm"), spec)  # noqa: B009 - of three types
    key = key_of(bench, "RSA_2048", "ENCRYPT_DECRYPT")
    for of_data_keys in (c.GenerateDataKey(key, 32), c.GenerateDataKeyPair(key, "RSA_2048")):
        assert bench.refusal(of_data_keys) == refused.format("SYMMETRIC_DEFAULT", "RSA_2048")


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "HMAC_256"])
def test_what_has_no_public_key_says_so(bench: ServiceBench, spec: str) -> None:
    """A symmetric key and an HMAC key have nothing that may be shown."""
    (usage,) = SPECS[spec].usages
    key = key_of(bench, spec, usage)
    assert bench.refusal(c.GetPublicKey(key)) == (
        f"UnsupportedOperation: {key_arn(key)} key spec is {spec} which is not valid for GetPublicKey."
    )


def test_a_disabled_key_does_nothing_of_all_this(bench: ServiceBench) -> None:
    """Not even its public key is given out (AWS KMS, "Key states")."""
    key = bench.key(c.CreateKey(spec="ECC_NIST_P256", usage="SIGN_VERIFY"))
    bench.do(c.DisableKey(key))
    for command in (c.Sign(key, MESSAGE, "ECDSA_SHA_256"), c.GetPublicKey(key)):
        assert bench.refusal(command) == f"KeyDisabled: {key_arn(key)} is disabled."


def test_a_dry_run_fails_where_the_real_one_would_and_gives_nothing(bench: ServiceBench) -> None:
    """It is recorded as one; a signature that is wrong is wrong in a dry run too."""
    key = key_of(bench, "ECC_NIST_P256", "SIGN_VERIFY")
    signature = bench.do(c.Sign(key, MESSAGE, "ECDSA_SHA_256")).signature
    assert bench.refusal(c.Sign(key, MESSAGE, "ECDSA_SHA_256", dry_run=True)) == WOULD_SUCCEED
    assert bench.records[-1].dry_run
    assert bench.refusal(c.Verify(key, MESSAGE, signature, "ECDSA_SHA_256", dry_run=True)) == WOULD_SUCCEED
    assert bench.refusal(c.Verify(key, b"other", signature, "ECDSA_SHA_256", dry_run=True)) == (
        "SignatureMismatch: "
    )
    symmetric = key_of(bench, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert bench.refusal(c.GenerateDataKeyPair(symmetric, "RSA_2048", dry_run=True)) == WOULD_SUCCEED
