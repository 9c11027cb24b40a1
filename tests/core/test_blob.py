import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given
from hypothesis import strategies as st

from keystead.core.blob import SEALED_BYTES, Blob, Outer, header, outer_aad, parse, unpack_outer
from keystead.core.context import canonical
from keystead.core.errors import InvalidCiphertext
from keystead.crypto.committing import OVERHEAD_BYTES, CommittingCipher
from keystead.crypto.secret import Secret

GOLDEN = sorted((Path(__file__).parent.parent / "vectors" / "blob-v1").glob("*.json"))

EXTERNAL = sorted((Path(__file__).parent.parent / "vectors" / "blob-v1-external").glob("*.json"))

key_ids = st.text(st.characters(codec="ascii"), max_size=255)
versions = st.integers(0, 2**32 - 1)
sealed = st.binary(min_size=SEALED_BYTES, max_size=SEALED_BYTES + 40)


def golden(path: Path) -> dict[str, Any]:
    """One golden file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def cipher(vector: dict[str, Any]) -> CommittingCipher:
    """The cipher of a golden file, whose nonce is the file's."""
    nonce = bytes.fromhex(vector["nonce"])
    return CommittingCipher(Secret(bytes.fromhex(vector["material"])), lambda count: nonce[:count])


@given(key_ids, versions, sealed)
def test_a_blob_comes_apart_as_it_was_put_together(key_id: str, version: int, data: bytes) -> None:
    """The key and its version can be read by anybody, and the header is what stood before the nonce."""
    head = header(key_id, version)
    assert parse(head + data) == Blob(key_id, version, head, data)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=150).map(b"KSB\x01\x01".__add__)))
@example(b"")
@example(b"KSB\x01\x01")
def test_any_bytes_are_a_blob_or_refused(data: bytes) -> None:
    """Nothing that a stranger sends does anything else, and no byte of a blob is passed over."""
    try:
        found = parse(data)
    except InvalidCiphertext as error:
        assert str(error) == ""  # noqa: PT017 - it must be silent, whichever of the reasons it was
        return
    assert header(found.key_id, found.version) == found.header
    assert found.header + found.sealed == data
    assert len(found.sealed) >= SEALED_BYTES


@pytest.mark.parametrize("key_id", ["", "1234abcd-12ab-34cd-56ef-1234567890ab", "x" * 255])
def test_a_blob_that_was_cut_short_is_refused(key_id: str) -> None:
    """A blob that ends anywhere before the end of an empty plaintext's tag cannot be one."""
    whole = header(key_id, 1) + bytes(SEALED_BYTES)
    assert parse(whole).key_id == key_id
    for size in range(len(whole)):
        with pytest.raises(InvalidCiphertext):
            parse(whole[:size])


@pytest.mark.parametrize("at", range(5))
def test_another_magic_version_or_algorithm_is_refused(at: int) -> None:
    """The first five bytes have one value each; a later form will have another."""
    whole = bytearray(header("1234abcd", 1) + bytes(SEALED_BYTES))
    for change in (1, 0x20, 0x80):
        whole[at] ^= change
        with pytest.raises(InvalidCiphertext):
            parse(bytes(whole))
        whole[at] ^= change


def test_a_key_id_beyond_ascii_is_refused() -> None:
    """Key ids are ASCII, so bytes that are not can only be damage, even where they are good UTF-8."""
    name = "schlüssel".encode()
    with pytest.raises(InvalidCiphertext):
        parse(b"KSB\x01\x01" + bytes([len(name)]) + name + bytes(4) + bytes(SEALED_BYTES))
    with pytest.raises(UnicodeEncodeError):
        header("schlüssel", 1)


def test_what_the_format_adds_is_what_the_cipher_adds() -> None:
    """The least that follows a header is what sealing an empty plaintext gives."""
    assert SEALED_BYTES == OVERHEAD_BYTES == 72


def test_the_bytes_of_a_header_are_fixed() -> None:
    """Magic, format, algorithm, length, key id, version: as the page of the format says."""
    assert header("1234abcd", 0x01020304) == b"KSB" + b"\x01" + b"\x01" + b"\x08" + b"1234abcd" + b"\1\2\3\4"


def test_there_are_golden_files() -> None:
    """The tests below run over files, so there must be some."""
    assert {path.stem for path in GOLDEN} >= {"empty", "no-context", "context", "unicode-context", "data-key"}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_blob_that_was_ever_made_opens_for_ever(path: Path) -> None:
    """A blob from a golden file names its key and gives its plaintext under its context."""
    vector = golden(path)
    blob = parse(bytes.fromhex(vector["blob"]))
    assert (blob.key_id, blob.version) == (vector["key_id"], vector["version"])
    opened = cipher(vector).open(blob.sealed, blob.header + canonical(vector["context"]))
    assert opened == bytes.fromhex(vector["plaintext"])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_same_is_still_sealed_to_the_same_bytes(path: Path) -> None:
    """With the golden file's nonce, sealing gives the golden file's blob: the format has not moved."""
    vector = golden(path)
    head = header(vector["key_id"], vector["version"])
    data = bytes.fromhex(vector["plaintext"])
    made = head + cipher(vector).seal(data, head + canonical(vector["context"]))
    assert made.hex() == vector["blob"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_blob_with_one_bit_changed_does_not_open(path: Path) -> None:
    """Every byte of a blob is authenticated or names another key; none may be changed."""
    vector = golden(path)
    whole = bytes.fromhex(vector["blob"])
    opening, context = cipher(vector), canonical(vector["context"])

    def opened(data: bytes, context: bytes) -> bytes:
        blob = parse(data)
        return opening.open(blob.sealed, blob.header + context)

    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(InvalidCiphertext):
            opened(changed, context)
    for other in ({}, {"tenant": "8"}, {**vector["context"], "more": ""}):
        if other != vector["context"]:
            with pytest.raises(InvalidCiphertext):
                opened(whole, canonical(other))


def test_a_blob_shows_nothing_but_what_is_in_the_clear() -> None:
    """A parsed blob has the key id, the version and bytes that are sealed."""
    assert set(asdict(parse(header("a", 1) + bytes(SEALED_BYTES)))) == {
        "key_id",
        "version",
        "header",
        "sealed",
    }


# Keys in external key stores.


outers = st.builds(
    Outer,
    iv=st.binary(min_size=12, max_size=12) | st.binary(min_size=16, max_size=16),
    metadata=st.binary(max_size=20),
    tag=st.binary(min_size=16, max_size=16),
    ciphertext=st.binary(min_size=SEALED_BYTES, max_size=SEALED_BYTES + 40),
)


@given(key_ids, versions, outers)
def test_a_blob_of_an_external_key_comes_apart_as_it_was_put_together(
    key_id: str, version: int, outer: Outer
) -> None:
    """It says of itself that a key outside is needed too, and holds all that this key's proxy gave out."""
    head = header(key_id, version, external=True)
    found = parse(head + outer.pack())
    assert (found.key_id, found.version, found.header, found.external) == (key_id, version, head, True)
    assert unpack_outer(found.sealed) == outer
    assert not parse(header(key_id, version) + outer.pack()).external


@given(st.binary(max_size=80))
@example(b"")
@example(bytes([12, 21]) + bytes(60))
@example(bytes([13, 0]) + bytes(60))
@example(bytes([12, 0]) + bytes(27))
def test_any_bytes_are_an_outer_half_or_refused(data: bytes) -> None:
    """Nothing else happens, and no byte is passed over."""
    try:
        found = unpack_outer(data)
    except InvalidCiphertext as error:
        assert str(error) == ""  # noqa: PT017 - it must be silent
        return
    assert found.pack() == data


def test_a_blob_of_an_external_key_that_was_cut_short_is_refused() -> None:
    """Whatever its lengths say: what the proxy sealed has never less than an empty plaintext's bytes."""
    whole = (
        header("1234abcd", 1, external=True) + Outer(bytes(12), b"", bytes(16), bytes(SEALED_BYTES)).pack()
    )
    assert parse(whole).external
    for size in range(len(whole)):
        with pytest.raises(InvalidCiphertext):
            parse(whole[:size])


def opened_outside(vector: dict[str, Any], data: bytes, context: dict[str, str]) -> bytes:
    """What the key manager of a golden file and then our own half make of a blob."""
    blob = parse(data)
    outer = unpack_outer(blob.sealed)
    aad = sha256(blob.header + canonical(context)).digest()
    bound = len(aad).to_bytes(2, "big") + aad + bytes([len(outer.metadata)]) + outer.metadata
    gcm = AESGCM(bytes.fromhex(vector["outer_key"]))
    inner = gcm.decrypt(outer.iv, outer.ciphertext + outer.tag, bound)
    return cipher(vector).open(inner, blob.header + canonical(context))


@pytest.mark.parametrize("path", EXTERNAL, ids=lambda path: path.stem)
def test_a_blob_of_an_external_key_opens_for_ever(path: Path) -> None:
    """With both halves, and what the page of the format says; the same is still made of them."""
    vector = golden(path)
    whole, context = bytes.fromhex(vector["blob"]), vector["context"]
    assert opened_outside(vector, whole, context) == bytes.fromhex(vector["plaintext"])

    head = header(vector["key_id"], vector["version"], external=True)
    inner = cipher(vector).seal(bytes.fromhex(vector["plaintext"]), head + canonical(context))
    iv, metadata = bytes.fromhex(vector["iv"]), bytes.fromhex(vector["metadata"])
    aad = outer_aad(head, canonical(context))
    bound = len(aad).to_bytes(2, "big") + aad + bytes([len(metadata)]) + metadata
    made = AESGCM(bytes.fromhex(vector["outer_key"])).encrypt(iv, inner, bound)
    assert head + Outer(iv, metadata, made[-16:], made[:-16]).pack() == whole


def test_there_are_golden_files_of_external_keys() -> None:
    """The test above runs over files, so there must be some."""
    assert {path.stem for path in EXTERNAL} >= {"context", "plain"}
