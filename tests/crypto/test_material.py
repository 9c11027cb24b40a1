import hmac
from collections.abc import Callable

import pytest

from keystead.core.errors import CustodyUnavailable, InvalidCiphertext
from keystead.core.spec import HMAC_BYTES, SPECS, SYMMETRIC
from keystead.crypto.material import checked, fresh, identify
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret

Der = Callable[[str], tuple[bytes, bytes]]
LENGTHS = {SYMMETRIC: 32} | dict(HMAC_BYTES)


@pytest.mark.parametrize("spec", LENGTHS)
def test_plain_material_is_drawn_and_checked_by_its_length(spec: str) -> None:
    """As many bytes as the spec has, from the source that was handed in; no others pass."""
    material = fresh(spec, lambda count: b"\7" * count)

    assert material.secret.reveal() == b"\7" * LENGTHS[spec]
    assert material.public_key == b""
    assert checked(spec, b"\7" * LENGTHS[spec]) == material
    for length in {0, 1, 256, *LENGTHS.values()} - {LENGTHS[spec]}:
        with pytest.raises(InvalidCiphertext):
            checked(spec, bytes(length))


def test_a_poor_source_makes_no_key() -> None:
    """An HMAC key is never short because its source was."""
    with pytest.raises(CustodyUnavailable, match="63 bytes instead of 64"):
        fresh("HMAC_512", lambda count: bytes(count - 1))


@pytest.mark.parametrize("spec", [spec for spec in SPECS if SPECS[spec].asymmetric and "RSA" not in spec])
def test_asymmetric_material_brings_its_public_key(spec: str) -> None:
    """What was made passes as what a stranger brings."""
    material = fresh(spec, system_random)

    assert material.public_key
    assert checked(spec, material.secret.reveal()) == material


def test_an_id_tells_material_and_spec(der: Der) -> None:
    """HKDF with the spec in the label; that of symmetric keys is as it always was."""
    material = bytes(range(32))
    extracted = hmac.digest(bytes(32), material, "sha256")

    def expected(label: bytes) -> str:
        return hmac.digest(extracted, label + b"\x01", "sha256").hex()

    assert identify(SYMMETRIC, Secret(material)) == expected(b"keystead material id v1")
    assert identify("HMAC_256", Secret(material)) == expected(b"keystead material id v1 HMAC_256")
    private, _ = der("ECC_NIST_P256")
    assert identify("ECC_NIST_P256", Secret(private)) == identify("ECC_NIST_P256", Secret(bytes(private)))
