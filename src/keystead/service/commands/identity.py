"""Who there is, and what they may do: principals, access keys, policies, guardrails, accounts.

A principal is named by its kind and its name. Policies and groups are named by their names or their ARNs.
"""

from keystead.core.principal import HOUR, USER
from keystead.service.commands import Command

# Principals.


class CreatePrincipal(Command, frozen=True, gc=False):
    """Make a principal; ``policy`` is its identity policy, empty for none."""

    name: str
    policy: str = ""
    kind: str = USER
    attached: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    boundary: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    trust: str = ""
    session_seconds: int = HOUR


class UpdatePrincipal(Command, frozen=True, gc=False):
    """Change parts of a principal; what is None stays as it is."""

    name: str
    kind: str = USER
    policy: str | None = None
    attached: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    boundary: str | None = None
    tags: tuple[tuple[str, str], ...] | None = None
    trust: str | None = None
    session_seconds: int | None = None
    enabled: bool | None = None


class PutPrincipalPolicy(Command, frozen=True, gc=False):
    """Replace a principal's identity policy; empty removes it."""

    name: str
    policy: str
    kind: str = USER


class DescribePrincipal(Command, frozen=True, gc=False):
    """One principal."""

    name: str
    kind: str = USER


class DeletePrincipal(Command, frozen=True, gc=False):
    """Remove a principal, its access keys and what it was granted; in force when it returns."""

    name: str
    kind: str = USER


class ListPrincipals(Command, frozen=True, gc=False):
    """The account's principals, of one kind if it is given."""

    limit: int = 100
    marker: str = ""
    kind: str = ""


class RevokePrincipal(Command, frozen=True, gc=False):
    """End every session, access key and grant of a principal, and disable it as well if that is said."""

    name: str
    kind: str = USER
    disable: bool = False


class ForeseeRevocation(Command, frozen=True, gc=False):
    """What it would end to revoke a principal."""

    name: str
    kind: str = USER


class EnableMfa(Command, frozen=True, gc=False):
    """Give a user one-time passwords; their secret is given out once."""

    name: str


class DisableMfa(Command, frozen=True, gc=False):
    """Take a user's one-time passwords away."""

    name: str


# Access keys.


class CreateAccessKey(Command, frozen=True, gc=False):
    """A new access key for a user or a service account; its secret is given out once."""

    name: str
    kind: str = USER


class SetAccessKeyStatus(Command, frozen=True, gc=False):
    """Enable or disable an access key."""

    access_key_id: str
    enabled: bool


class DeleteAccessKey(Command, frozen=True, gc=False):
    """Remove an access key."""

    access_key_id: str


class ListAccessKeys(Command, frozen=True, gc=False):
    """The access keys of a user or a service account, without their secrets, and when they were last used."""

    name: str
    kind: str = USER


# Policies that are attached by name.


class PutPolicy(Command, frozen=True, gc=False):
    """Make a policy, or replace its text wherever it is attached."""

    name: str
    text: str


class DescribePolicy(Command, frozen=True, gc=False):
    """One policy of the account, or one that is built in."""

    name: str


class DeletePolicy(Command, frozen=True, gc=False):
    """Remove a policy that is attached to nobody."""

    name: str


class ListPolicies(Command, frozen=True, gc=False):
    """The account's policies and those that are built in."""

    limit: int = 100
    marker: str = ""


# Guardrails. The scope is the account's, or the whole installation's.


class PutGuardrail(Command, frozen=True, gc=False):
    """Make a guardrail, or replace its text."""

    name: str
    text: str
    scope: str = "account"


class DescribeGuardrail(Command, frozen=True, gc=False):
    """One guardrail."""

    name: str
    scope: str = "account"


class DeleteGuardrail(Command, frozen=True, gc=False):
    """Remove a guardrail."""

    name: str
    scope: str = "account"


class ListGuardrails(Command, frozen=True, gc=False):
    """The guardrails of one scope."""

    scope: str = "account"
    limit: int = 100
    marker: str = ""


# Accounts.


class CreateAccount(Command, frozen=True, gc=False):
    """A new account with its first administrator, whose access key is given out once."""

    name: str


class ListAccounts(Command, frozen=True, gc=False):
    """The accounts of the installation."""

    limit: int = 100
    marker: str = ""
