import copy
import hmac
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.aead import XAES256GCM
from keystead.crypto.committing import KEY_WRAP, OVERHEAD_BYTES, CommittingCipher
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "keystead-sealing-v1.json").read_text())[
    "sealed"
]

materials = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=24, max_size=24)


def hkdf(material: bytes, info: bytes) -> bytes:
    """RFC 5869 with one block of output, written out."""
    return hmac.digest(hmac.digest(bytes(32), material, "sha256"), info + b"\x01", "sha256")


def subkey(key: bytes, nonce: bytes) -> bytes:
    """XAES-256-GCM's derived key, by OpenSSL's SP 800-108 derivation."""
    return KBKDFCMAC(
        algorithm=AES256,
        mode=Mode.CounterMode,
        length=32,
        rlen=2,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=b"X\x00" + nonce[:12],
    ).derive(key)


def reference_seal(material: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """The module's docstring, done step by step with other means."""
    commitment = hmac.digest(hkdf(material, b"keystead data commitment v1"), nonce, "sha256")
    gcm = AESGCM(subkey(hkdf(material, b"keystead data encryption v1"), nonce))
    return nonce + commitment + gcm.encrypt(nonce[12:], plaintext, commitment + aad)


@given(materials, st.binary(max_size=200), st.binary(max_size=200))
def test_what_was_sealed_opens(material: bytes, plaintext: bytes, aad: bytes) -> None:
    """The plaintext comes back, and the overhead is what the format says."""
    cipher = CommittingCipher(Secret(material), system_random)

    sealed = cipher.seal(plaintext, aad)

    assert cipher.open(sealed, aad) == plaintext
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES


@given(materials, nonces, st.binary(max_size=100), st.binary(max_size=100))
def test_it_does_what_its_docstring_says(material: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
    """An implementation of the construction from other building blocks gives the same bytes."""
    sealed = CommittingCipher(Secret(material), lambda _: nonce).seal(plaintext, aad)

    assert sealed == reference_seal(material, nonce, plaintext, aad)


def test_the_form_does_not_change() -> None:
    """What was sealed once opens for ever, and is sealed to the same bytes."""
    material, nonce, plaintext, aad, sealed = (
        bytes.fromhex(VECTOR[name]) for name in ("material", "nonce", "plaintext", "aad", "sealed")
    )
    cipher = CommittingCipher(Secret(material), lambda _: nonce)

    assert cipher.seal(plaintext, aad) == sealed
    assert cipher.open(sealed, aad) == plaintext


@given(st.data(), st.binary(max_size=40), st.binary(max_size=40))
def test_a_changed_bit_does_not_open(data: st.DataObject, plaintext: bytes, aad: bytes) -> None:
    """One bit changed anywhere in what was sealed or in its associated data, and nothing opens."""
    cipher = CommittingCipher(Secret(bytes(32)), system_random)
    whole = bytearray(cipher.seal(plaintext, aad) + aad)
    end = len(whole) - len(aad)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidCiphertext):
        cipher.open(bytes(whole[:end]), bytes(whole[end:]))


def test_all_failures_look_alike() -> None:
    """Cut, lengthened, of another key or another context: the same error, without a message or a cause."""
    cipher, other = (CommittingCipher(Secret(bytes([n]) * 32), system_random) for n in (1, 2))
    sealed = cipher.seal(b"plaintext", b"context")

    attempts = [(cipher, sealed[:length], b"context") for length in range(len(sealed))]
    attempts += [
        (cipher, sealed + b"\0", b"context"),
        (other, sealed, b"context"),
        (cipher, sealed, b"context2"),
    ]
    for holder, data, aad in attempts:
        with pytest.raises(InvalidCiphertext) as caught:
            holder.open(data, aad)
        assert str(caught.value) == ""
        assert caught.value.__cause__ is None


def test_the_boundary_to_the_associated_data_holds() -> None:
    """Bytes moved between the commitment's end and the context's start do not open."""
    cipher = CommittingCipher(Secret(bytes(32)), system_random)
    sealed = cipher.seal(b"", b"ab")

    for data, aad in [(sealed, b"a"), (sealed, b""), (sealed[:24] + sealed[25:], sealed[55:56] + b"ab")]:
        with pytest.raises(InvalidCiphertext):
            cipher.open(data, aad)


def test_purposes_are_apart() -> None:
    """The same bytes used as a data key and as a wrapping key are two keys."""
    data, wrapping = (
        CommittingCipher(Secret(bytes(32)), system_random),
        CommittingCipher(Secret(bytes(32)), system_random, KEY_WRAP),
    )

    for one, other in [(data, wrapping), (wrapping, data)]:
        with pytest.raises(InvalidCiphertext):
            other.open(one.seal(b"text", b""), b"")


def test_each_message_has_a_fresh_nonce() -> None:
    """The same plaintext twice gives nothing in common, and each nonce is asked from the source."""
    asked = []

    def source(count: int) -> bytes:
        asked.append(count)
        return system_random(count)

    cipher = CommittingCipher(Secret(bytes(32)), source)
    one, other = cipher.seal(b"text", b""), cipher.seal(b"text", b"")

    assert asked == [24, 24]
    assert one[:24] != other[:24]
    assert one[24:56] != other[24:56]


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_material_of_another_length_is_refused(length: int) -> None:
    """HKDF would take any length; a key version has one."""
    with pytest.raises(ValueError, match="32 bytes"):
        CommittingCipher(Secret(bytes(length)), system_random)


def test_a_short_nonce_seals_nothing() -> None:
    """A source that gives too little stops the seal instead of weakening it."""
    with pytest.raises(ValueError, match="24 bytes"):
        CommittingCipher(Secret(bytes(32)), lambda _: bytes(12)).seal(b"text", b"")


def test_it_may_be_made_in_one_thread_and_used_in_another() -> None:
    """A pool's thread opens the key, the loop's thread uses it."""
    made: list[CommittingCipher] = []
    thread = threading.Thread(target=lambda: made.append(CommittingCipher(Secret(bytes(32)), system_random)))
    thread.start()
    thread.join()

    assert made[0].open(made[0].seal(b"text", b""), b"") == b"text"


def test_it_shows_no_key_and_is_never_copied() -> None:
    """Neither repr, pickle nor copy gets at the material."""
    cipher = CommittingCipher(Secret(bytes(range(32))), system_random)

    assert "\\x01\\x02\\x03" not in repr(cipher)
    assert not hasattr(cipher, "__dict__")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never copied"):
            take(cipher)


# --- why there is a commitment ------------------------------------------------------------------------------


def multiply(one: int, other: int) -> int:
    """The product in GCM's field (SP 800-38D section 6.3), where bit 0 is the most significant."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= one * (other >> bit & 1)
        one = (one >> 1) ^ ((0xE1 << 120) * (one & 1))
    return product


def power(value: int, exponent: int) -> int:
    """By squaring; the field's one is its most significant bit."""
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, value)
        value = multiply(value, value)
        exponent >>= 1
    return result


def salamander(keys: tuple[bytes, bytes], nonce: bytes, aad: bytes) -> bytes:
    """Two blocks of ciphertext and a tag that AES-256-GCM accepts under both keys, with 32 bytes of aad.

    The tag is A1*H^5 + A2*H^4 + C1*H^3 + C2*H^2 + lengths*H + AES(nonce || 1). With C1 free, equal tags
    under both keys are one linear equation for C2.
    """
    blocks = [Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update for key in keys]  # noqa: S305 -- GHASH's key is a bare block
    first, second = (int.from_bytes(block(bytes(16)), "big") for block in blocks)
    c1 = int.from_bytes(b"any bytes at all", "big")
    fixed = [(int.from_bytes(aad[:16], "big"), 5), (int.from_bytes(aad[16:], "big"), 4), (c1, 3)]
    fixed.append(((256 << 64) | 256, 1))

    def without_c2(h: int, block: Callable[[bytes], bytes]) -> int:
        total = int.from_bytes(block(nonce + b"\0\0\0\x01"), "big")
        for value, exponent in fixed:
            total ^= multiply(value, power(h, exponent))
        return total

    tags = without_c2(first, blocks[0]), without_c2(second, blocks[1])
    c2 = multiply(tags[0] ^ tags[1], power(power(first, 2) ^ power(second, 2), 2**128 - 2))
    tag = tags[0] ^ multiply(c2, power(first, 2))
    return b"".join(part.to_bytes(16, "big") for part in (c1, c2, tag))


@given(materials, materials.filter(any), nonces)
def test_a_salamander_opens_under_one_key_only(owner: bytes, difference: bytes, nonce: bytes) -> None:
    """A ciphertext made to open under two keys does so in bare XAES-256-GCM; here one refuses it."""
    stranger = bytes(a ^ b for a, b in zip(owner, difference, strict=True))
    keys = [hkdf(material, b"keystead data encryption v1") for material in (owner, stranger)]
    commitment = hmac.digest(hkdf(owner, b"keystead data commitment v1"), nonce, "sha256")
    forged = salamander((subkey(keys[0], nonce), subkey(keys[1], nonce)), nonce[12:], commitment)

    plaintexts = [XAES256GCM(key).open(nonce, forged, commitment) for key in keys]
    assert plaintexts[0] != plaintexts[1]

    sealed = nonce + commitment + forged
    assert CommittingCipher(Secret(owner), system_random).open(sealed, b"") == plaintexts[0]
    with pytest.raises(InvalidCiphertext):
        CommittingCipher(Secret(stranger), system_random).open(sealed, b"")
