"""What linked servers ask of each other, by the native API's address and with a signature of its own.

    POST /v1/LinkMember HTTP/1.1
    Content-Type: application/json
    Authorization: Keystead-Link sender=...,time=...,nonce=...,signature=...

`keystead.crypto.links` says what is signed. Only the operations here can be asked in this way, and only in this
way. An answer is ``{"answer": "<JSON>", "signature": "..."}``, signed too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from keystead.core.errors import (
    InvalidRequest,
    InvalidSignature,
    NotAuthenticated,
    NotFound,
    UnknownCredentials,
)
from keystead.core.policy import parse_identity_policy
from keystead.core.ports import Clock, Custodian
from keystead.crypto import links
from keystead.crypto.keywrap import to_text
from keystead.crypto.links import Claim
from keystead.crypto.transfer import TransferIdentity
from keystead.fronts.front import Asked, Inquiry
from keystead.service.caller import Caller, Identity
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.linking import AT_ONCE, MemberNews, MoveNews, Peer
from keystead.service.results import Result

WINDOW_SECONDS: Final = 300

POLICY: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "Link", "Effect": "Allow", "Action": '
    '["keystead:LinkMember", "keystead:LinkMove", "keystead:LinkStates"], "Resource": "*"}]}'
)
"""What a linked server's principal may do, and no more."""

_Name = Annotated[str, msgspec.Meta(max_length=64)]


class _States(msgspec.Struct, forbid_unknown_fields=True):
    region: _Name
    key_ids: Annotated[list[_Name], msgspec.Meta(max_length=AT_ONCE)]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: what it takes, the command that makes of it and the time, and the answer."""

    takes: type[MemberNews | MoveNews | _States]
    command: Callable[[Any, int], Command]
    answer: Callable[[Any], Mapping[str, object]]


ROWS: Final[Mapping[str, Row]] = {
    "LinkMember": Row(
        MemberNews, c.LinkMember, lambda result: {"versions": result.versions, "gone": result.gone}
    ),
    "LinkMove": Row(MoveNews, c.LinkMove, lambda result: {"moved": result.moved}),
    "LinkStates": Row(
        _States,
        lambda taken, _: c.LinkStates(taken.region, tuple(taken.key_ids)),
        lambda result: {"gone": result.key_ids},
    ),
}

_DECODERS: Final = {name: msgspec.json.Decoder(row.takes) for name, row in ROWS.items()}
_encode: Final = msgspec.json.Encoder().encode


class LinkFront:
    """Reads the requests of linked servers, for `keystead.fronts.native.Native`."""

    def __init__(self, peers: Sequence[Peer], *, account: str, custodian: Custodian, clock: Clock) -> None:
        self._account = account
        self._custodian = custodian
        self._clock = clock
        self._here = TransferIdentity.from_text(custodian.transfer_identity)
        self._policy = parse_identity_policy(POLICY)
        identities = ((TransferIdentity.from_text(peer.identity), peer) for peer in peers)
        self._peers = {links.fingerprint(identity): (identity, peer) for identity, peer in identities}

    def read(self, inquiry: Inquiry, name: str, request: str) -> Asked:
        """Authenticate and understand one request."""
        row = ROWS.get(name)
        if row is None or inquiry.method != b"POST":
            raise NotFound("There is no such operation between linked servers.")
        claim, peer = self._authenticated(inquiry, name)
        try:
            taken = _DECODERS[name].decode(inquiry.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body does not fit {name}: {type(error).__name__}") from None
        caller = Caller(
            Identity(peer.principal, self._account, self._policy),
            request,
            taken.region,
            auth="link",
            source=inquiry.peer,
            secure=inquiry.secure,
        )

        def write(result: Result) -> bytes:
            answer = _encode(row.answer(result))
            signature = self._custodian.vouch(claim.answer(self._here, answer))
            return _encode({"answer": answer.decode(), "signature": to_text(signature)})

        return Asked(name, caller, row.command(taken, claim.time), write)

    def _authenticated(self, inquiry: Inquiry, name: str) -> tuple[Claim, Peer]:
        claim = links.read(inquiry.headers[b"authorization"].decode("latin-1"))
        if claim is None:
            raise NotAuthenticated("The header is not that of a linked server's request.")
        identity, peer = self._peers.get(claim.sender, (None, None))
        if identity is None or peer is None:
            raise UnknownCredentials("The sender is none of the servers that are linked here.")
        if not claim.proves(identity, self._here, name, inquiry.body):
            raise InvalidSignature("The signature is not the sender's, of this request to this server.")
        if abs(self._clock.now() - claim.time / 1e6) > WINDOW_SECONDS:
            raise InvalidSignature("The request was not sent within five minutes of now: compare the clocks.")
        return claim, peer
