"""Material on its way between Regions: for one recipient, from one sender, as one thing only."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from keystead.core.errors import ConfigError, InvalidCiphertext
from keystead.crypto.secret import Secret
from keystead.crypto.transfer import PREFIX, TransferIdentity, TransferKeys

OURS, THEIRS, STRANGER = (TransferKeys(Secret(bytes([n]) * 32)) for n in range(3))
ABOUT = b"version 1 of key k, from a to b"


@given(st.binary(max_size=4000), st.binary(max_size=200))
def test_what_was_sent_arrives(material: bytes, about: bytes) -> None:
    """The recipient gets the sender's bytes."""
    message = OURS.send(Secret(material), THEIRS.identity, about)
    assert THEIRS.receive(message, OURS.identity, about) == Secret(material)


def test_a_server_sends_to_itself_in_the_same_way() -> None:
    """Between two Regions of one server sender and recipient are the same."""
    message = OURS.send(Secret(b"material"), OURS.identity, ABOUT)
    assert OURS.receive(message, OURS.identity, ABOUT).reveal() == b"material"


def test_only_the_recipient_opens_it() -> None:
    """Not a third one, and not even the sender."""
    message = OURS.send(Secret(b"material"), THEIRS.identity, ABOUT)
    for keys in (STRANGER, OURS):
        with pytest.raises(InvalidCiphertext):
            keys.receive(message, OURS.identity, ABOUT)


def test_only_the_sender_that_is_expected_is_believed() -> None:
    """Anybody can seal for a public key; nobody else can sign."""
    message = STRANGER.send(Secret(b"material"), THEIRS.identity, ABOUT)
    with pytest.raises(InvalidCiphertext):
        THEIRS.receive(message, OURS.identity, ABOUT)


def test_it_opens_only_as_what_it_was_sent_as() -> None:
    """Another key, version or Region is another context."""
    message = OURS.send(Secret(b"material"), THEIRS.identity, ABOUT)
    with pytest.raises(InvalidCiphertext):
        THEIRS.receive(message, OURS.identity, ABOUT + b"c")


def test_every_changed_bit_and_every_cut_is_noticed() -> None:
    """Version, signature, encapsulated key, ciphertext and tag."""
    message = OURS.send(Secret(b"material"), THEIRS.identity, ABOUT)
    changed = [message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :] for at in range(len(message))]
    for damaged in [*changed, b"", message[:1], message[:65], message[:-1], message + b"\0"]:
        with pytest.raises(InvalidCiphertext):
            THEIRS.receive(damaged, OURS.identity, ABOUT)


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(1136)])
def test_a_signed_message_that_is_no_hpke_is_refused(sealed: bytes) -> None:
    """A pinned sender that sends nonsense gets the same answer as everybody else."""

    class Nonsense(TransferIdentity):
        __slots__ = ()

        @override
        def seal(self, secret: Secret, context: bytes) -> bytes:
            return sealed

    message = OURS.send(Secret(b""), Nonsense(THEIRS.identity.raw), ABOUT)
    with pytest.raises(InvalidCiphertext):
        THEIRS.receive(message, OURS.identity, ABOUT)


def test_two_messages_are_never_the_same() -> None:
    """Each has an encapsulated key of its own."""
    first, second = (OURS.send(Secret(b"material"), THEIRS.identity, ABOUT) for _ in range(2))
    assert first != second


def test_the_keys_are_the_root_keys() -> None:
    """The same root makes the same identity, another root another one."""
    assert TransferKeys(Secret(bytes(32))).identity == OURS.identity
    assert OURS.identity != THEIRS.identity
    assert OURS.identity != OURS.identity.text
    assert len({OURS.identity, TransferKeys(Secret(bytes(32))).identity, THEIRS.identity}) == 2


def test_an_identity_is_one_line_of_text() -> None:
    """What is printed is what is read."""
    text = OURS.identity.text
    assert text.startswith(PREFIX)
    assert text.isprintable()
    assert TransferIdentity.from_text(text) == OURS.identity


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", PREFIX, PREFIX + "AAAA", OURS.identity.text[:-4], OURS.identity.text[:-1], PREFIX + "~"],
)
def test_a_text_that_is_no_identity_is_refused_with_the_cure(text: str) -> None:
    """The message says what to copy from where."""
    with pytest.raises(ConfigError, match="copy it whole"):
        TransferIdentity.from_text(text)


def test_the_private_halves_are_never_copied() -> None:
    """As all key material."""
    with pytest.raises(TypeError):
        pickle.dumps(OURS)
