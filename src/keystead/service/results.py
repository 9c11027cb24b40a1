"""What actions give back; fronts write it in their protocol's form.

Results may hold plaintext, so like commands they have no `repr`.
"""

import msgspec
from typing_extensions import override

from keystead.core.key import Alias, Key, Rotation, Version
from keystead.core.principal import AccessKey, Principal


class Result(msgspec.Struct, gc=False):
    """What an action gives back."""

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Done(Result, gc=False):
    """It happened, and there is nothing to say about it."""


class Encrypted(Result, gc=False):
    """A blob and the ARN of the key that sealed it."""

    key: str
    blob: bytes


class Decrypted(Result, gc=False):
    """A plaintext, and what opened it."""

    key: str
    plaintext: bytes
    material_id: str


class ReEncrypted(Result, gc=False):
    """A new blob; both keys by ARN, both materials by id."""

    key: str
    source_key: str
    blob: bytes
    material_id: str
    source_material_id: str


class DataKey(Result, gc=False):
    """A sealed data key, and in the clear where it was asked for."""

    key: str
    blob: bytes
    material_id: str
    plaintext: bytes | None = None


class RandomBytes(Result, gc=False):
    """Random bytes."""

    data: bytes


class KeyDescription(Result):
    """A key with the material id of its current version."""

    key: Key
    material_id: str


class KeyPage(Result):
    """Some keys; ``marker`` is empty on the last page."""

    keys: list[Key]
    marker: str


class AliasPage(Result):
    """Some aliases."""

    aliases: list[Alias]
    marker: str


class TagPage(Result):
    """Some tags."""

    tags: list[tuple[str, str]]
    marker: str


class RotationPage(Result):
    """Some versions of a key, of which ``current`` is in use."""

    key: Key
    versions: list[Version]
    marker: str


class RotationStatus(Result):
    """A key's rotation settings are members of the key itself."""

    key: Key


class Rotated(Result):
    """A key after its rotation."""

    key: Key
    rotation: Rotation


class DeletionScheduled(Result):
    """A key after its deletion was scheduled or cancelled."""

    key: Key
    window_days: int = 0


class Policy(Result):
    """A policy's text."""

    text: str


class PrincipalPage(Result):
    """Some principals."""

    principals: list[Principal]
    marker: str


class PrincipalDescription(Result):
    """One principal."""

    principal: Principal


class NewAccessKey(Result):
    """An access key with its secret, which is given out this once."""

    access_key: AccessKey
    secret: str


class AccessKeyList(Result):
    """A principal's access keys."""

    access_keys: list[AccessKey]
