"""AWS STS's operations: who somebody is, and temporary credentials."""

from typing_extensions import override

from keystead.service.commands import Command

Pairs = tuple[tuple[str, str], ...]


class GetCallerIdentity(Command, frozen=True, gc=False):
    """Who is asking."""


class AssumeRole(Command, frozen=True, gc=False):
    """Credentials for a session of a role, which its trust policy must leave to the caller."""

    role: str  # ARN
    session_name: str
    seconds: int | None = None
    policy: str = ""  # limits the session; JSON
    policies: tuple[str, ...] = ()  # ARNs of policies that limit it as well
    tags: Pairs = ()
    transitive: tuple[str, ...] = ()  # names of tags that go on to the next session of a chain
    external_id: str = ""
    source_identity: str = ""

    @property
    @override
    def about(self) -> str:
        return self.role


class AssumeRoleWithMfa(AssumeRole, frozen=True, gc=False):
    """The same, by somebody who shows a one-time password. That it is used up is a change."""

    serial: str = ""  # names the device; without one the code is none
    code: str = ""


class GetSessionToken(Command, frozen=True, gc=False):
    """Temporary credentials of the caller's own."""

    seconds: int | None = None


class GetSessionTokenWithMfa(GetSessionToken, frozen=True, gc=False):
    """The same, by somebody who shows a one-time password. That it is used up is a change."""

    serial: str = ""
    code: str = ""

    @property
    @override
    def about(self) -> str:
        return self.serial


class AssumeRoleWithWebIdentity(Command, frozen=True, gc=False):
    """Credentials for a session of a role, for somebody whom an identity provider vouches for.

    The caller has no credentials of ours: the token says who it is.
    """

    role: str
    session_name: str
    token: str
    seconds: int | None = None
    policy: str = ""
    policies: tuple[str, ...] = ()
