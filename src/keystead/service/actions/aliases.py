"""Aliases: names that can be pointed elsewhere.

Creating, moving and deleting one takes permission on the alias *and* on each key involved (AWS KMS
developer guide, "Controlling access to aliases").
"""

import re
from dataclasses import replace
from typing import Final

from keystead.core.errors import (
    AlreadyExists,
    InvalidAliasName,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Reserved,
)
from keystead.core.key import Alias, Event, Key
from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import AliasPage

_NAME: Final = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}")


def create_alias(command: c.CreateAlias, desk: Desk) -> Done:
    """Name a key."""
    name = _checked(command.name)
    desk.entry.subject = desk.alias_arn(name)
    desk.allow("kms:CreateAlias", desk.alias_arn(name))
    key = desk.key(_target(command.key, desk), Event.CONFIGURE, "kms:CreateAlias")
    if desk.alias_of(name) is not None:
        raise AlreadyExists(f"An alias with the name {desk.alias_arn(name)} already exists")
    _room(desk, key.id)
    desk.tx.put_alias(
        Alias(
            account=key.account,
            region=key.region,
            name=name,
            key_id=key.id,
            created=desk.now,
            updated=desk.now,
        )
    )
    _renamed(desk, key)
    return Done()


def update_alias(command: c.UpdateAlias, desk: Desk) -> Done:
    """Point a name at another key. Only the new target's state matters."""
    name = _checked(command.name)
    desk.entry.subject = desk.alias_arn(name)
    desk.allow("kms:UpdateAlias", desk.alias_arn(name))
    alias = _existing(desk, name)
    old = desk.key(KeyReference(alias.key_id), Event.READ, "kms:UpdateAlias")
    key = desk.key(_target(command.key, desk), Event.CONFIGURE, "kms:UpdateAlias")
    if key.id != alias.key_id:
        _room(desk, key.id)
    desk.tx.put_alias(replace(alias, key_id=key.id, updated=desk.now))
    _renamed(desk, old)
    _renamed(desk, key)
    return Done()


def delete_alias(command: c.DeleteAlias, desk: Desk) -> Done:
    """Remove a name; the key stays."""
    name = _checked(command.name)
    desk.entry.subject = desk.alias_arn(name)
    desk.allow("kms:DeleteAlias", desk.alias_arn(name))
    alias = _existing(desk, name)
    key = desk.key(KeyReference(alias.key_id), Event.READ, "kms:DeleteAlias")
    desk.tx.delete_alias(alias.account, alias.region, alias.name)
    _renamed(desk, key)
    return Done()


def list_aliases(command: c.ListAliases, desk: Desk) -> AliasPage:
    """The account's aliases in the caller's region, of one key or of all."""
    desk.allow("kms:ListAliases")
    key_id = None
    if command.key is not None:
        key_id = desk.key(command.key, Event.READ, "kms:ListAliases").id
    aliases, marker = desk.page(
        f"aliases {key_id or '*'}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.aliases(desk.account, desk.region, key_id, after, count),
        lambda alias: alias.name,
    )
    return AliasPage(aliases, marker)


def _renamed(desk: Desk, key: Key) -> None:
    """Have the change feed tell of the key as well: policies may ask what it is called (``kms:ResourceAliases``)."""
    desk.tx.put_key(key)


def _checked(name: str) -> str:
    if not name.startswith("alias/"):
        raise InvalidRequest(
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if name.startswith("alias/aws/"):
        raise Reserved("")  # AWS says no more either
    if not _NAME.fullmatch(name):
        raise InvalidAliasName(f"{name} contains invalid characters for an alias")
    return name


def _target(reference: KeyReference, desk: Desk) -> KeyReference:
    if reference.is_alias:
        raise InvalidRequest("Aliases must refer to keys. Not aliases")
    if reference.account not in ("", desk.account):
        # Whatever a foreign key's policy allows: a name in this account never leads into another one.
        raise InvalidRequest("An alias and its key must be in the same account")
    return reference


def _existing(desk: Desk, name: str) -> Alias:
    alias = desk.alias_of(name)
    if alias is None:
        raise NotFound(f"Alias {desk.alias_arn(name)} is not found.")
    return alias


def _room(desk: Desk, key_id: str) -> None:
    quota = desk.quotas.aliases_per_key
    if len(desk.tx.aliases(desk.account, desk.region, key_id, "", quota)) >= quota:
        raise LimitExceeded(f"The key has {quota} aliases: the quota is reached. Delete one first.")
