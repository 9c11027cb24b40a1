"""What entries hold instead of what tells of people."""

from hashlib import sha256

from keystead.core.subject import Subject, commitment, lookup


def test_a_commitment_is_made_as_the_format_says() -> None:
    """Whoever has the salt, the member and the value makes the same text with nothing but SHA-256."""
    made_of = bytes(16) + b"source" + b"\x00" + "Zoë".encode()
    assert commitment(bytes(16), "source", "Zoë") == f"sha256:{sha256(made_of).hexdigest()}"


def test_commitments_differ_by_all_that_they_are_made_of() -> None:
    """By the salt, by the member, by the value, and by where one ends and the other begins."""
    made = {
        commitment(bytes(16), "source", "a"),
        commitment(b"\x01" * 16, "source", "a"),
        commitment(bytes(16), "source_identity", "a"),
        commitment(bytes(16), "source", "b"),
        commitment(bytes(16), "sourc", "ea"),
    }
    assert len(made) == 5


def test_a_subject_is_found_by_its_value_with_the_key_alone() -> None:
    """With another key, member or value another text is looked for."""
    assert lookup(b"k", "source", "a") == lookup(b"k", "source", "a")
    assert len({lookup(b"k", "source", "a"), lookup(b"l", "source", "a"), lookup(b"k", "s", "a")}) == 3


def test_a_subject_does_not_show_what_it_is() -> None:
    """Neither value nor salt is in the text that a log or a traceback would have."""
    shown = repr(
        Subject(commitment="c", lookup="l", member="source", value="192.0.2.7", salt="5a17", created=1.0)
    )
    assert "192.0.2.7" not in shown
    assert "5a17" not in shown
