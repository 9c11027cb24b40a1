"""Who may ask: accounts, principals, their access keys and their sessions.

A principal has an ARN, so that AWS policies name it unchanged. There are six kinds::

    arn:aws:iam::111122223333:user/alice                a person
    arn:aws:iam::111122223333:service-account/billing   a program that has access keys of its own
    arn:aws:iam::111122223333:role/deploy               whoever its trust policy lets assume it
    arn:aws:iam::111122223333:group/operators           not one who asks: what its members may do
    arn:aws:iam::111122223333:service/jobs              a part of the service itself
    arn:aws:sts::111122223333:assumed-role/deploy/ci-7  a session of the role (`Session`)

An *identity policy* says what a principal may do wherever a key's own policy leaves that to the account. It has one
of its own, those attached to it by name, and those of its groups. A *permission boundary* limits them all.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from keystead.core.key import binding

USER: Final = "user"
SERVICE_ACCOUNT: Final = "service-account"
ROLE: Final = "role"
GROUP: Final = "group"
SERVICE: Final = "service"

KINDS: Final = (USER, SERVICE_ACCOUNT, ROLE, GROUP)
"""The kinds that people make; those of kind `SERVICE` the installation makes for itself."""

HOUR: Final = 3600

INSTALLATION: Final = "000000000000"
"""The account of the service itself. What limits it limits every account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Owns keys and principals; ``id`` has twelve digits."""

    id: str
    name: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One identity. ``policy`` is an identity policy's JSON text; empty allows nothing."""

    arn: str
    account: str
    name: str
    created: float
    policy: str = ""
    enabled: bool = True
    attached: tuple[str, ...] = ()  # ARNs of policies, the account's or built in
    groups: tuple[str, ...] = ()  # ARNs; of a user or a service account
    boundary: str = ""  # the ARN of a policy
    tags: tuple[tuple[str, str], ...] = ()
    trust: str = ""  # of a role: the policy that says who may assume it
    session_seconds: int = HOUR  # of a role: how long a session may last
    sessions_from: int = 0  # the number of a change: sessions that were opened before it are revoked
    mfa: str = field(default="", repr=False)  # the secret of its one-time passwords, wrapped by the custodian
    mfa_step: int = 0  # of the newest one-time password that was used: none counts twice

    @property
    def kind(self) -> str:
        """USER, SERVICE_ACCOUNT, ROLE, GROUP or SERVICE."""
        return self.arn.split(":", 5)[5].partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A long-term credential of a principal; ``protected`` is its secret, wrapped by the custodian."""

    id: str
    principal: str  # ARN
    protected: str
    created: float
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Temporary credentials: of a role that was assumed, or of a user (AWS STS). Nothing of it is stored.

    It ends by itself, or when its principal is disabled, deleted, or its sessions are revoked. It ends as well when
    that happens to one of its openers, or when the access key that began the chain is disabled or deleted.
    """

    access_key: str  # ASIA...
    arn: str  # of the session; a user's is the user's own
    principal: str  # the ARN of the role or user
    user_id: str  # aws:userid
    issued: float  # Unix seconds
    expires: float
    epoch: int = 0  # the newest change that was known when it was opened
    policies: tuple[str, ...] = ()  # JSON texts: what limits this session
    attached: tuple[str, ...] = ()  # ARNs of policies that limit it as well
    tags: tuple[tuple[str, str], ...] = ()  # beside the principal's; of two with one name these count
    transitive: tuple[str, ...] = ()  # names of tags that go on to the next session of a chain
    source_identity: str = ""
    provider: str = ""  # the ARN of the identity provider that vouched
    mfa: float = 0.0  # when a one-time password was shown; 0: none was
    openers: tuple[
        str, ...
    ] = ()  # ARNs of users and roles, each once: who began the chain, and the roles since
    opened_with: str = ""  # the access key that began the chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An OpenID Connect issuer that an account trusts to say who somebody is."""

    arn: str
    account: str
    url: str  # the issuer, to the letter as tokens have it
    audiences: tuple[str, ...]  # a token must be for one of these
    created: float
    authorities: str = ""  # PEM: whose certificates count for its server; the system's otherwise
    keys: str = ""  # the newest JSON Web Key Set (RFC 7517) that was fetched
    fetched: float = 0.0  # when


def user_arn(account: str, name: str) -> str:
    """The ARN of a user."""
    return principal_arn(account, USER, name)


def role_arn(account: str, name: str) -> str:
    """The ARN of a role."""
    return principal_arn(account, ROLE, name)


def root_arn(account: str) -> str:
    """The ARN that stands for the whole account in key policies."""
    return f"arn:aws:iam::{account}:root"


def service_arn(account: str, name: str) -> str:
    """The ARN of a part of the service itself, such as the jobs."""
    return principal_arn(account, SERVICE, name)


def principal_arn(account: str, kind: str, name: str) -> str:
    """The ARN of a principal of that kind."""
    return f"arn:aws:iam::{account}:{kind}/{name}"


def session_arn(account: str, role: str, name: str) -> str:
    """The ARN of a session of a role."""
    return f"arn:aws:sts::{account}:assumed-role/{role}/{name}"


def policy_arn(account: str, name: str) -> str:
    """The ARN of a policy that is attached by name."""
    return f"arn:aws:iam::{account}:policy/{name}"


def provider_arn(account: str, url: str) -> str:
    """The ARN of an identity provider: of its issuer without the scheme (AWS IAM, "OIDC provider")."""
    return f"arn:aws:iam::{account}:oidc-provider/{issuer_name(url)}"


def issuer_name(url: str) -> str:
    """An issuer without the scheme: what the condition keys for its tokens begin with."""
    return url.partition("://")[2]


_PRINCIPAL: Final = re.compile(
    r"arn:aws:iam::[0-9]{12}:(?:root|(?:user|role|service|service-account)/[\x21-\x7e]{1,512})"
    r"|arn:aws:sts::[0-9]{12}:(?:assumed-role|federated-user)/[A-Za-z0-9_+=,.@/-]{1,128}"
)


def is_principal_arn(text: str) -> bool:
    """Whether a text is the ARN of an account's root, a user, a role or a session."""
    return _PRINCIPAL.fullmatch(text) is not None


def secret_binding(access_key_id: str) -> bytes:
    """What ties an access key's wrapped secret to its id (see `keystead.core.key.binding`)."""
    return binding("access-key", access_key_id)


def mfa_binding(arn: str) -> bytes:
    """What ties the wrapped secret of a principal's one-time passwords to it."""
    return binding("mfa", arn)
