import copy
import hashlib
import json
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.hashes import SHAKE128, XOFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.aead import NONCE_BYTES, XAES256GCM

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "xaes-256-gcm.json").read_text())

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=24, max_size=24)


def reference(key: bytes, nonce: bytes) -> AESGCM:
    """The same subkey by the other road: SP 800-108r1 as OpenSSL implements it."""
    fixed = b"X\x00" + nonce[:12]
    kdf = KBKDFCMAC(
        algorithm=AES256,
        mode=Mode.CounterMode,
        length=32,
        rlen=2,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=fixed,
    )
    return AESGCM(kdf.derive(key))


@pytest.mark.parametrize("vector", VECTORS["single"], ids=["msb-0", "msb-1"])
def test_published_vectors_come_out(vector: dict[str, str]) -> None:
    """Both single vectors of the specification seal to its bytes and open again."""
    key, nonce, plaintext, aad, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext", "aad", "ciphertext")
    )

    assert XAES256GCM(key).seal(nonce, plaintext, aad) == ciphertext
    assert XAES256GCM(key).open(nonce, ciphertext, aad) == plaintext
    assert AESGCM(bytes.fromhex(vector["subkey"])).encrypt(nonce[12:], plaintext, aad) == ciphertext


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_accumulated_vectors_come_out(count: int) -> None:
    """Random inputs from the specification's SHAKE-128 stream give its digest of all ciphertexts."""
    stream = XOFHash(SHAKE128(digest_size=sys.maxsize))
    digest = hashlib.shake_128()
    for _ in range(count):
        key, nonce = stream.squeeze(32), stream.squeeze(24)
        plaintext = squeeze_vector(stream)
        aad = squeeze_vector(stream)
        xaes = XAES256GCM(key)
        ciphertext = xaes.seal(nonce, plaintext, aad)
        assert xaes.open(nonce, ciphertext, aad) == plaintext
        digest.update(ciphertext)

    assert digest.hexdigest(32) == VECTORS["accumulated"][str(count)]


def squeeze_vector(stream: XOFHash) -> bytes:
    """A vector of TLS's presentation language: its length, then that many bytes."""
    length = stream.squeeze(1)[0]
    return stream.squeeze(length) if length else b""


@given(keys, nonces, st.binary(max_size=100), st.binary(max_size=100))
def test_it_agrees_with_an_independent_derivation(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes
) -> None:
    """Any key and nonce give what OpenSSL's own SP 800-108 derivation and AES-GCM give."""
    sealed = XAES256GCM(key).seal(nonce, plaintext, aad)

    assert sealed == reference(key, nonce).encrypt(nonce[12:], plaintext, aad)


@given(st.data(), keys, nonces, st.binary(max_size=50), st.binary(max_size=50))
def test_a_changed_bit_does_not_open(
    data: st.DataObject, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes
) -> None:
    """One bit changed anywhere in nonce, ciphertext, tag or associated data: nothing opens."""
    xaes = XAES256GCM(key)
    whole = bytearray(nonce + xaes.seal(nonce, plaintext, aad) + aad)
    end = len(whole) - len(aad)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidCiphertext):
        xaes.open(bytes(whole[:24]), bytes(whole[24:end]), bytes(whole[end:]))


@pytest.mark.parametrize("length", range(16))
def test_less_than_a_tag_does_not_open(length: int) -> None:
    """Data shorter than a tag is an invalid ciphertext like any other."""
    with pytest.raises(InvalidCiphertext):
        XAES256GCM(bytes(32)).open(bytes(24), bytes(length), b"")


@pytest.mark.parametrize("length", [0, 12, 23, 25])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    """A short nonce is never padded and a long one never cut, in neither direction."""
    xaes = XAES256GCM(bytes(32))

    with pytest.raises(ValueError, match="24 bytes"):
        xaes.seal(bytes(length), b"", b"")
    with pytest.raises(InvalidCiphertext):
        xaes.open(bytes(length), bytes(16), b"")


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    """There is one key size, so a short key is a mistake and not a weaker choice."""
    with pytest.raises(ValueError, match="32 bytes"):
        XAES256GCM(bytes(length))


def test_it_may_be_made_in_one_thread_and_used_in_others() -> None:
    """The working set is filled by a pool's threads and used on the loop: the context follows."""
    made: list[XAES256GCM] = []
    results: list[Any] = []

    def use(nonce: bytes) -> None:
        results.append(made[0].open(nonce, made[0].seal(nonce, b"text", b"aad"), b"aad"))

    for thread in (
        threading.Thread(target=lambda: made.append(XAES256GCM(bytes(32)))),
        *(threading.Thread(target=use, args=(bytes([n]) * NONCE_BYTES,)) for n in range(8)),
    ):
        thread.start()
        thread.join()

    assert results == [b"text"] * 8


def test_it_shows_no_key_and_is_never_copied() -> None:
    """Neither repr, pickle nor copy gets at the key."""
    key = bytes(range(32))
    xaes = XAES256GCM(key)

    assert "\\x01\\x02\\x03" not in repr(xaes)
    assert not hasattr(xaes, "__dict__")
    for take in (pickle.dumps, copy.copy, copy.deepcopy, XAES256GCM.__reduce__):
        with pytest.raises(TypeError, match="never copied"):
            take(xaes)
