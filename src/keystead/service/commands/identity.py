"""Principals and what they may do."""

from keystead.service.commands import Command

# Principals (Keystead's own).


class CreatePrincipal(Command, frozen=True, gc=False):
    """Make a user; ``policy`` is its identity policy, empty for none."""

    name: str
    policy: str = ""


class PutPrincipalPolicy(Command, frozen=True, gc=False):
    """Replace a user's identity policy; empty removes it."""

    name: str
    policy: str


class DeletePrincipal(Command, frozen=True, gc=False):
    """Remove a user and its access keys; in force when it returns."""

    name: str


class ListPrincipals(Command, frozen=True, gc=False):
    """The account's users."""

    limit: int = 100
    marker: str = ""


class CreateAccessKey(Command, frozen=True, gc=False):
    """A new access key for a user; its secret is given out once."""

    name: str


class SetAccessKeyStatus(Command, frozen=True, gc=False):
    """Enable or disable an access key."""

    access_key_id: str
    enabled: bool


class DeleteAccessKey(Command, frozen=True, gc=False):
    """Remove an access key."""

    access_key_id: str


class ListAccessKeys(Command, frozen=True, gc=False):
    """A user's access keys, without their secrets."""

    name: str
