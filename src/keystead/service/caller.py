"""Who is asking: what a front has established about the sender of one request."""

from typing import Final

import msgspec

from keystead.core.policy import Document, Ruling, parse_identity_policy
from keystead.core.principal import Principal, Session

ANONYMOUS: Final = "anonymous"
"""How somebody without credentials of ours proves who it is: not at all, until the action has looked."""


class Identity:
    """One principal, or a session of one, as the working set holds it; replaced by a new object whenever it changes.

    Compared by identity, so a decision that is remembered for it is forgotten with it.
    """

    __slots__ = (
        "account",
        "arn",
        "boundary",
        "guardrails",
        "more",
        "policy",
        "principal",
        "refs",
        "rulings",
        "session",
        "session_policies",
        "tags",
        "user_id",
    )

    def __init__(
        self,
        arn: str,
        account: str,
        policy: Document,
        *,
        principal: str = "",
        more: tuple[Document, ...] = (),
        boundary: Document | None = None,
        session_policies: tuple[Document, ...] = (),
        guardrails: tuple[Document, ...] = (),
        refs: tuple[str, ...] = (),
        tags: tuple[tuple[str, str], ...] = (),
        user_id: str = "",
        session: Session | None = None,
    ) -> None:
        self.arn = arn
        self.account = account
        self.policy = policy
        self.principal = principal or arn  # of a session: whose it is
        self.more = more  # policies that are attached, and those of its groups
        self.boundary = boundary
        self.session_policies = session_policies
        self.guardrails = guardrails
        self.refs = refs or (arn,)  # what all this rests on, as the change feed names it
        self.tags = tags
        self.user_id = user_id
        self.session = session
        self.rulings: dict[tuple[str, str], Ruling] = {}  # (action, resource) where no key is involved

    @property
    def session_of(self) -> str:
        """The role whose session it is; empty for all others, and for sessions of users, who stay who they are."""
        return self.principal if self.principal != self.arn else ""


class Caller(msgspec.Struct):
    """An authenticated caller and the envelope of its request."""

    identity: Identity
    request: str  # the request id the answer carries
    region: str  # the region the caller addresses
    access_key: str = ""
    auth: str = ""  # how it proved who it is: "sigv4", "link", "internal", "anonymous"
    source: str = ""  # network address
    trace: str = ""  # W3C trace id, or empty
    secure: bool = False  # whether it came over TLS that ends here
    agent: str = ""  # what the client calls itself
    ticket: str = ""  # the change that it is asked for
    client_request: str = ""  # what the client calls its request
    dry_run: bool = False  # whether all is to be done but for its effect
    written: tuple[str, str] | None = (
        None  # source and source identity as entries have them (`Gate.introduce`)
    )


def identity_of(principal: Principal) -> Identity:
    """The identity of a principal that has no policy but its own, such as a part of the service."""
    return Identity(principal.arn, principal.account, parse_identity_policy(principal.policy))
