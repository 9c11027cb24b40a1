"""`securesystemslib`, with which TUF and in-toto sign, uses a key by its AWS signer, unmodified."""

from typing import Any

import pytest
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import AWSSigner, Signer  # type: ignore[attr-defined]  # it has no list of what it exports

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def settings(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signer knows nothing but the environment."""
    for name, value in service.settings.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        ("ECC_NIST_P256", "ecdsa-sha2-nistp256"),
        ("ECC_NIST_P384", "ecdsa-sha2-nistp384"),
        ("RSA_2048", "rsassa-pss-sha256"),
        ("RSA_2048", "rsa-pkcs1v15-sha512"),
    ],
)
def test_metadata_is_signed_here_and_verified_there(kms: Any, spec: str, scheme: str) -> None:
    """The public key is imported once; then signatures are made here and checked with nothing but that key."""
    key = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    uri, public = AWSSigner.import_(key, scheme)
    assert public.scheme == scheme
    signer = Signer.from_priv_key_uri(uri, public)
    signature = signer.sign(b"targets metadata")
    public.verify_signature(signature, b"targets metadata")
    with pytest.raises(UnverifiedSignatureError):
        public.verify_signature(signature, b"other metadata")
