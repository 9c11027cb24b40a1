"""Who may ask: principals and their access keys.

A principal is a user, or a part of the service itself (the jobs), with an ARN, so that AWS policies name
it unchanged. An *identity policy* says what it may do wherever a key's own policy leaves that to the
account.
"""

import re
from dataclasses import dataclass
from typing import Final

from keystead.core.key import binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One identity. ``policy`` is an identity policy's JSON text; empty allows nothing."""

    arn: str
    account: str
    name: str
    created: float
    policy: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A long-term credential of a principal; ``protected`` is its secret, wrapped by the custodian."""

    id: str
    principal: str  # ARN
    protected: str
    created: float
    enabled: bool = True


def user_arn(account: str, name: str) -> str:
    """The ARN of a user."""
    return f"arn:aws:iam::{account}:user/{name}"


def root_arn(account: str) -> str:
    """The ARN that stands for the whole account in key policies."""
    return f"arn:aws:iam::{account}:root"


def service_arn(account: str, name: str) -> str:
    """The ARN of a part of the service itself, such as the jobs."""
    return f"arn:aws:iam::{account}:service/{name}"


_PRINCIPAL: Final = re.compile(
    r"arn:aws:iam::[0-9]{12}:(?:root|(?:user|role|service)/[\x21-\x7e]{1,512})"
    r"|arn:aws:sts::[0-9]{12}:(?:assumed-role|federated-user)/[A-Za-z0-9_+=,.@/-]{1,128}"
)


def is_principal_arn(text: str) -> bool:
    """Whether a text is the ARN of an account's root, a user, a role or a session."""
    return _PRINCIPAL.fullmatch(text) is not None


def secret_binding(access_key_id: str) -> bytes:
    """What ties an access key's wrapped secret to its id (see `keystead.core.key.binding`)."""
    return binding("access-key", access_key_id)
