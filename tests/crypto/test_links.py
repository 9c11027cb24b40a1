"""What linked installations sign: whose it is, whom it is for, and what it says."""

import pytest

from keystead.crypto import links
from keystead.crypto.links import Claim
from keystead.crypto.secret import Secret
from keystead.crypto.transfer import TransferKeys

OURS, THEIRS, OTHERS = (TransferKeys(Secret(bytes([number]) * 32)) for number in (1, 2, 3))
CLAIM = Claim(links.fingerprint(OURS.identity), 1_700_000_000_000_000, "ab" * 16)


def signed(operation: str = "LinkMember", body: bytes = b"{}") -> Claim:
    """A claim with its signature, as it is read from a header."""
    signature = OURS.vouch(CLAIM.statement(THEIRS.identity, operation, body))
    claim = links.read(CLAIM.header(signature))
    assert claim is not None
    return claim


def test_a_header_goes_round() -> None:
    """What is written is read, with the signature."""
    claim = signed()
    assert claim[:3] == CLAIM[:3]
    assert claim.proves(OURS.identity, THEIRS.identity, "LinkMember", b"{}")


def test_a_signature_is_for_one_request_to_one_recipient() -> None:
    """Another sender, recipient, operation, body, time or nonce is another statement."""
    claim = signed()
    assert not claim.proves(OTHERS.identity, THEIRS.identity, "LinkMember", b"{}")
    assert not claim.proves(OURS.identity, OTHERS.identity, "LinkMember", b"{}")
    assert not claim.proves(OURS.identity, THEIRS.identity, "LinkMove", b"{}")
    assert not claim.proves(OURS.identity, THEIRS.identity, "LinkMember", b"{} ")
    for changed in (claim._replace(time=1), claim._replace(nonce="00" * 16)):
        assert not changed.proves(OURS.identity, THEIRS.identity, "LinkMember", b"{}")


def test_an_answer_is_to_one_request() -> None:
    """An answer is signed for its nonce, and is no request."""
    answer = CLAIM.answer(THEIRS.identity, b"{}")
    signature = THEIRS.vouch(answer)
    assert THEIRS.identity.said(answer, signature)
    assert not THEIRS.identity.said(CLAIM._replace(nonce="00" * 16).answer(THEIRS.identity, b"{}"), signature)
    assert not THEIRS.identity.said(CLAIM.statement(THEIRS.identity, "", b"{}"), signature)
    assert not THEIRS.identity.verify(signature, answer)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Keystead-Link",
        CLAIM.header(b"x")[1:],
        CLAIM.header(b"x") + ",",
        CLAIM.header(b"x")[:-1],
    ],
)
def test_other_headers_are_none(header: str) -> None:
    """Nothing else is read."""
    assert links.read(header) is None
