import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keystead.crypto.note import InvalidNote, NoteSigner, NoteVerifier

# The example of the signed-note specification.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n"
    "\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXm"
    "RKuwHjG1Yu72IneyaQM=\n"
).encode()
SIGNER = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def test_the_specification_s_example_verifies() -> None:
    """Known answer: the note and the verifier key of C2SP signed-note."""
    verifier = NoteVerifier.from_vkey(VKEY)

    assert verifier.verify(NOTE) == "This is an example message.\n"
    assert verifier.vkey == VKEY
    assert verifier.name == "example.com/foo"


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.just("\n")).map(lambda text: text + "\n")
)
def test_what_is_signed_verifies(text: str) -> None:
    """Any text comes back from its note, also with empty lines in it."""
    note = SIGNER.sign(text)

    assert NoteVerifier.from_vkey(SIGNER.vkey).verify(note) == text


@given(st.data())
def test_a_changed_note_does_not_verify(data: st.DataObject) -> None:
    """No single byte of a note can be changed, removed or added."""
    note = SIGNER.sign("keystead-test/w0\n7\nroot\n")
    place = data.draw(st.integers(0, len(note) - 1))
    byte = data.draw(st.binary(max_size=2).filter(lambda new: new != note[place : place + 1]))

    changed = note[:place] + byte + note[place + 1 :]

    with pytest.raises(InvalidNote):
        SIGNER.verifier.verify(changed)


def test_one_key_has_many_names() -> None:
    """A key under another name signs for that name only."""
    signer = SIGNER.named("keystead-test/w0")
    note = signer.sign("text\n")

    assert SIGNER.verifier.named("keystead-test/w0").verify(note) == "text\n"
    assert signer.name == "keystead-test/w0"
    with pytest.raises(InvalidNote, match="not signed by"):
        SIGNER.verifier.verify(note)


def test_signatures_of_strangers_are_passed_over() -> None:
    """A witness may add its line; what it says does not matter, but it must be a signature line."""
    note = SIGNER.sign("text\n")
    witness = NoteSigner("witness.example", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"w"))
    other = witness.sign("text\n").decode().split("\n\n")[1].encode()

    assert SIGNER.verifier.verify(note + other) == "text\n"
    assert SIGNER.verifier.verify(note.replace(b"\n\n", b"\n\n" + other)) == "text\n"
    with pytest.raises(InvalidNote, match="malformed signature line"):
        SIGNER.verifier.verify(note + b"and a word of mine\n")


def test_a_good_signature_does_not_excuse_a_bad_one() -> None:
    """Two lines of the same key: one that fails is enough to reject the note."""
    note = SIGNER.sign("text\n")
    bad = SIGNER.sign("other\n").decode().split("\n\n")[1].encode()

    with pytest.raises(InvalidNote, match="does not fit"):
        SIGNER.verifier.verify(note + bad)


@pytest.mark.parametrize(
    ("note", "problem"),
    [
        (b"\xff\n\n", "not UTF-8"),
        (b"a\tb\n\n", "control characters"),
        (b"text\n", "no signatures"),
        (b"text\n\n\xe2\x80\x94 name AAAAAAAA", "no signatures"),
        (b"text\n\n\xe2\x80\x94 name\n", "malformed"),
        (b"text\n\n\xe2\x80\x94 name ????\n", "malformed"),
        (b"text\n\n\xe2\x80\x94 name AAAA\n", "malformed"),
        ("text\n\n\u2014 name \u00e9AAAAAAA\n".encode(), "malformed"),
        (NOTE.replace(b"yaQM=", b"yaQN="), "malformed"),
        (b"text\n\n- name AAAAAAAA\n", "malformed"),
        (b"x" * (2 << 20), "too long"),
    ],
)
def test_malformed_notes_are_refused(note: bytes, problem: str) -> None:
    """What is no note is said to be none, and why."""
    with pytest.raises(InvalidNote, match=problem):
        SIGNER.verifier.verify(note)


@pytest.mark.parametrize("text", ["no newline", "tab\there\n", "bell\x07\n"])
def test_only_texts_of_notes_are_signed(text: str) -> None:
    """A text that would not come back from its note is refused before it is signed."""
    with pytest.raises(InvalidNote, match="ends in a newline"):
        SIGNER.sign(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\n"])
def test_names_that_no_key_may_have(name: str) -> None:
    """Names are not empty and hold no spaces and no plus."""
    with pytest.raises(InvalidNote, match="cannot name a key"):
        SIGNER.named(name)


@pytest.mark.parametrize(
    ("vkey", "problem"),
    [
        ("example.com/foo", "name\\+hash\\+base64"),
        ("example.com/foo+530d903a+????", "name\\+hash\\+base64"),
        ("example.com/foo+530d903a+\u00e9", "name\\+hash\\+base64"),
        ("example.com/foo+530d903a+" + base64.b64encode(b"\x02" + bytes(32)).decode(), "not an Ed25519 key"),
        ("example.com/foo+530d903a+" + base64.b64encode(b"\x01" + bytes(31)).decode(), "not an Ed25519 key"),
        (VKEY.replace("530d903a", "530d903b"), "damaged"),
        (VKEY.replace("foo", "fop"), "damaged"),
    ],
)
def test_malformed_verifier_keys_are_refused(vkey: str, problem: str) -> None:
    """A verifier key with a slip in it is not taken for another key."""
    with pytest.raises(InvalidNote, match=problem):
        NoteVerifier.from_vkey(vkey)
