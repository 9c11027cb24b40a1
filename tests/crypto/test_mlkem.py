from collections.abc import Callable, Iterator

import pytest

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import open_private
from keystead.crypto.publickey import PublicKey

Both = Callable[[str], tuple[PrivateHalf, PublicKey]]
Der = Callable[[str], tuple[bytes, bytes]]
LENGTHS = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}  # FIPS 203 table 3


@pytest.mark.parametrize("spec", ["ML_KEM_768", "ML_KEM_1024"])
def test_nist_known_answers(
    der: Der,
    vectors: Callable[[str], Iterator[dict[str, str]]],
    record_property: Callable[[str, object], None],
    spec: str,
) -> None:
    """Seeds give NIST's public keys; right ciphertexts its secrets, wrong ones its pseudo-random ones."""
    private, public = der(spec)
    count = 0
    for row in vectors(f"asymmetric/MLKEM/kat_{spec.replace('ML_KEM', 'MLKEM')}.rsp"):
        d, z, pk, ct, wrong_ct = (bytes.fromhex(row[name]) for name in ("d", "z", "pk", "ct", "ct_n"))
        key = open_private(spec, private[:-64] + d + z)
        assert key.public_key == public[: -len(pk)] + pk
        assert key.decapsulate(ct).hex() == row["ss"]
        assert key.decapsulate(wrong_ct).hex() == row["ss_n"]
        count += 1
    record_property("vectors", count)
    assert count >= 1000


@pytest.mark.parametrize("spec", LENGTHS)
def test_each_secret_is_fresh(pair: Both, spec: str) -> None:
    """Encapsulating twice gives two secrets of 32 bytes in two ciphertexts of the standard's length."""
    private, public = pair(spec)
    one, other = public.encapsulate(), public.encapsulate()

    assert {len(secret) for secret, _ in (one, other)} == {32}
    assert {len(ciphertext) for _, ciphertext in (one, other)} == {LENGTHS[spec]}
    assert one[0] != other[0]
    assert [private.decapsulate(ciphertext) for _, ciphertext in (one, other)] == [one[0], other[0]]


@pytest.mark.parametrize("spec", LENGTHS)
def test_only_a_wrong_length_is_an_error(pair: Both, spec: str) -> None:
    """Any bytes of the right length give a secret, always the same for the same bytes."""
    private, _ = pair(spec)
    length = LENGTHS[spec]

    assert private.decapsulate(bytes(length)) == private.decapsulate(bytes(length))
    assert private.decapsulate(bytes(length)) != private.decapsulate(b"\1" + bytes(length - 1))
    for wrong in (0, 1, length - 1, length + 1, *(set(LENGTHS.values()) - {length})):
        with pytest.raises(InvalidCiphertext) as caught:
            private.decapsulate(bytes(wrong))
        assert str(caught.value) == ""
