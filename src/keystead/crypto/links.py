"""How linked installations prove to each other what they say: signed requests and signed answers.

Each knows the other's `TransferIdentity` from its configuration. A request is signed over both identities, the
time, a nonce, the operation and the digest of its body:

    Authorization: Keystead-Link sender=<hex>,time=<microseconds>,nonce=<hex>,signature=<base64url>

and the answer over both identities, the nonce of its request and the digest of its body. So neither depends on
the network between them: an answer that somebody else made up is no answer. ``docs/formats/link.md`` describes it.
"""

import re
from hashlib import sha256
from typing import Final, NamedTuple

from keystead.core.errors import InvalidCiphertext
from keystead.crypto.keywrap import binding, from_text, to_text
from keystead.crypto.transfer import TransferIdentity

SCHEME: Final = "Keystead-Link "
NONCE_BYTES: Final = 16

_HEADER: Final = re.compile(
    r"sender=([0-9a-f]{64}),time=([0-9]{1,17}),nonce=([0-9a-f]{32}),signature=([A-Za-z0-9_=-]{1,128})"
)


class Claim(NamedTuple):
    """What the header of a request says of it. Nothing in it is proven before `proves`."""

    sender: str  # `fingerprint` of the identity
    time: int  # microseconds since 1970
    nonce: str
    signature: bytes = b""

    def header(self, signature: bytes) -> str:
        """The value of the header."""
        return (
            f"{SCHEME}sender={self.sender},time={self.time},nonce={self.nonce},signature={to_text(signature)}"
        )

    def statement(self, recipient: TransferIdentity, operation: str, body: bytes) -> bytes:
        """What the sender of the request signs."""
        return binding(
            "request",
            self.sender,
            fingerprint(recipient),
            str(self.time),
            self.nonce,
            operation,
            sha256(body).digest(),
        )

    def answer(self, recipient: TransferIdentity, body: bytes) -> bytes:
        """What the recipient of the request signs when it answers."""
        return binding("answer", fingerprint(recipient), self.sender, self.nonce, sha256(body).digest())

    def proves(
        self, sender: TransferIdentity, recipient: TransferIdentity, operation: str, body: bytes
    ) -> bool:
        """Whether the signature is the sender's, of this request to this recipient."""
        return sender.said(self.statement(recipient, operation, body), self.signature)


def fingerprint(identity: TransferIdentity) -> str:
    """A short name of an identity: 64 hex digits."""
    return sha256(identity.raw).hexdigest()


def read(header: str) -> Claim | None:
    """What a header says, or None if it is not one of this scheme, or not a whole one."""
    found = _HEADER.fullmatch(header.removeprefix(SCHEME))
    if found is None or not header.startswith(SCHEME):
        return None
    try:
        signature = from_text(found[4])
    except InvalidCiphertext:
        return None
    return Claim(found[1], int(found[2]), found[3], signature)
