"""What can be asked: one frozen value per operation, already parsed and within its limits.

Fronts translate their protocol into these; the gate runs the action of that type. A command holds
plaintext at times, so it never appears in a log, an error or the audit (`repr` is empty).
"""

from collections.abc import Mapping

import msgspec
from typing_extensions import override

from keystead.core.names import KeyReference


class Command(msgspec.Struct, frozen=True, gc=False):
    """Something asked of the gate."""

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def about(self) -> str:
        """What it is about, as the caller named it: all that an intent can say, before anything is looked up."""
        key: KeyReference | None = getattr(self, "key", None)
        names = [getattr(self, member, "") for member in ("name", "access_key_id")]
        return " ".join(filter(None, [key.name if key is not None else "", *names]))


Context = Mapping[str, str]


# Cryptographic operations.


class Encrypt(Command, frozen=True, gc=False):
    """Encrypt up to 4,096 bytes."""

    key: KeyReference
    plaintext: bytes
    context: Context | None = None
    dry_run: bool = False


class Decrypt(Command, frozen=True, gc=False):
    """Open a blob; ``key`` is optional, and must then be the blob's. A dry run may come without a blob."""

    ciphertext: bytes | None
    key: KeyReference | None = None
    context: Context | None = None
    dry_run: bool = False


class ReEncrypt(Command, frozen=True, gc=False):
    """Open a blob and seal it under another key or context, without giving out the plaintext."""

    ciphertext: bytes | None
    key: KeyReference
    source: KeyReference | None = None
    context: Context | None = None
    source_context: Context | None = None
    dry_run: bool = False


class GenerateDataKey(Command, frozen=True, gc=False):
    """A fresh data key in the clear and sealed."""

    key: KeyReference
    length: int  # bytes
    context: Context | None = None
    dry_run: bool = False


class GenerateDataKeyWithoutPlaintext(Command, frozen=True, gc=False):
    """A fresh data key, sealed only."""

    key: KeyReference
    length: int  # bytes
    context: Context | None = None
    dry_run: bool = False


class GenerateRandom(Command, frozen=True, gc=False):
    """Random bytes."""

    length: int


# Keys.


class CreateKey(Command, frozen=True, gc=False):
    """Make a key. ``policy`` None means the default one."""

    spec: str = "SYMMETRIC_DEFAULT"
    usage: str | None = None
    description: str = ""
    policy: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    bypass_lockout_check: bool = False


class DescribeKey(Command, frozen=True, gc=False):
    """Look at a key."""

    key: KeyReference


class ListKeys(Command, frozen=True, gc=False):
    """The account's keys in the caller's region."""

    limit: int = 100
    marker: str = ""


class EnableKey(Command, frozen=True, gc=False):
    """Let a disabled key be used again."""

    key: KeyReference


class DisableKey(Command, frozen=True, gc=False):
    """Stop all use of a key."""

    key: KeyReference


class ScheduleKeyDeletion(Command, frozen=True, gc=False):
    """Destroy a key after a window, during which it cannot be used and the deletion can be cancelled."""

    key: KeyReference
    window_days: int = 30


class CancelKeyDeletion(Command, frozen=True, gc=False):
    """Keep a key after all; it comes back disabled."""

    key: KeyReference


class DestroyKey(Command, frozen=True, gc=False):
    """Carry out a deletion whose window has ended. Asked by the deletion job."""

    key: KeyReference


class UpdateKeyDescription(Command, frozen=True, gc=False):
    """Replace a key's description."""

    key: KeyReference
    description: str


# Rotation.


class EnableKeyRotation(Command, frozen=True, gc=False):
    """Rotate a key by itself every so many days."""

    key: KeyReference
    period_days: int = 365


class DisableKeyRotation(Command, frozen=True, gc=False):
    """Stop automatic rotation."""

    key: KeyReference


class GetKeyRotationStatus(Command, frozen=True, gc=False):
    """Whether and when a key rotates."""

    key: KeyReference


class RotateKeyOnDemand(Command, frozen=True, gc=False):
    """Rotate a key now."""

    key: KeyReference


class RotateKeyAutomatically(Command, frozen=True, gc=False):
    """Rotate a key whose date has come. Asked by the rotation job."""

    key: KeyReference


class ListKeyRotations(Command, frozen=True, gc=False):
    """The rotations of a key; with ``all_material`` the first version too."""

    key: KeyReference
    all_material: bool = False
    limit: int = 100
    marker: str = ""


# Aliases.


class CreateAlias(Command, frozen=True, gc=False):
    """Name a key."""

    name: str
    key: KeyReference


class UpdateAlias(Command, frozen=True, gc=False):
    """Point a name at another key."""

    name: str
    key: KeyReference


class DeleteAlias(Command, frozen=True, gc=False):
    """Remove a name."""

    name: str


class ListAliases(Command, frozen=True, gc=False):
    """The account's aliases in the caller's region, of one key or of all."""

    key: KeyReference | None = None
    limit: int = 50
    marker: str = ""


# Tags.


class TagResource(Command, frozen=True, gc=False):
    """Set tags on a key."""

    key: KeyReference
    tags: tuple[tuple[str, str], ...]


class UntagResource(Command, frozen=True, gc=False):
    """Remove tags from a key."""

    key: KeyReference
    names: tuple[str, ...]


class ListResourceTags(Command, frozen=True, gc=False):
    """A key's tags."""

    key: KeyReference
    limit: int = 50
    marker: str = ""


# Key policies.


class GetKeyPolicy(Command, frozen=True, gc=False):
    """A key's policy, to the letter as it was put."""

    key: KeyReference


class PutKeyPolicy(Command, frozen=True, gc=False):
    """Replace a key's policy."""

    key: KeyReference
    policy: str
    bypass_lockout_check: bool = False


class ListKeyPolicies(Command, frozen=True, gc=False):
    """The names of a key's policies: always ``default``."""

    key: KeyReference


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
