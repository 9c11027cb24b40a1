"""Who is asking: what a front has established about the sender of one request."""

import msgspec

from keystead.core.policy import Document, Ruling, parse_identity_policy
from keystead.core.principal import Principal


class Identity:
    """One principal as the working set holds it; replaced by a new object whenever it changes.

    Compared by identity, so a decision that is remembered for it is forgotten with it.
    """

    __slots__ = ("account", "arn", "policy", "rulings")

    def __init__(self, arn: str, account: str, policy: Document) -> None:
        self.arn = arn
        self.account = account
        self.policy = policy
        self.rulings: dict[tuple[str, str], Ruling] = {}  # (action, resource) where no key is involved


class Caller(msgspec.Struct):
    """An authenticated caller and the envelope of its request."""

    identity: Identity
    request: str  # the request id the answer carries
    region: str  # the region the caller addresses
    access_key: str = ""
    auth: str = ""  # how it proved who it is: "sigv4", "internal"
    source: str = ""  # network address
    trace: str = ""  # W3C trace id, or empty
    secure: bool = False  # whether it came over TLS that ends here


def identity_of(principal: Principal) -> Identity:
    """The identity of a stored principal."""
    return Identity(principal.arn, principal.account, parse_identity_policy(principal.policy))
