"""What is said of principals, access keys, policies, guardrails and accounts."""

from keystead.core.declaration import Declaration
from keystead.core.ports import LastUse
from keystead.core.principal import AccessKey, Account, Principal
from keystead.service.results import Result


class PrincipalPage(Result):
    """Some principals."""

    principals: list[Principal]
    marker: str


class PrincipalDescription(Result):
    """One principal; of a group the first of its members as well."""

    principal: Principal
    members: tuple[str, ...] = ()  # ARNs


class Revoked(Result):
    """What was revoked, or would be."""

    principal: Principal  # as it is now
    access_keys: tuple[str, ...]  # that were enabled
    grants: int


class NewMfa(Result):
    """The secret of a user's one-time passwords, given out this once: in base32, and as a URI for apps."""

    principal: Principal
    serial: str  # how AWS's tools name what makes the passwords
    secret: str
    uri: str


class NewAccessKey(Result):
    """An access key with its secret, which is given out this once."""

    access_key: AccessKey
    secret: str


class AccessKeyList(Result):
    """A principal's access keys, and when each was last used; None where the logs cannot say it now."""

    access_keys: list[AccessKey]
    uses: list[LastUse | None]


class PolicyText(Result):
    """A policy that is attached by name. A built-in one has a description and no dates."""

    arn: str
    name: str
    text: str
    built_in: bool
    description: str = ""
    created: float = 0.0
    updated: float = 0.0
    attached_to: tuple[str, ...] = ()  # the first of them; in descriptions only


class PolicyPage(Result):
    """Some policies."""

    policies: list[PolicyText]
    marker: str


class GuardrailText(Result):
    """One guardrail."""

    guardrail: Declaration


class GuardrailPage(Result):
    """Some guardrails."""

    guardrails: list[Declaration]
    marker: str


class NewAccount(Result):
    """An account with its first administrator's access key, whose secret is given out this once."""

    account: Account
    administrator: Principal
    access_key: AccessKey
    secret: str


class AccountPage(Result):
    """Some accounts."""

    accounts: list[Account]
    marker: str
