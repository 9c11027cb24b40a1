"""Seal slots of an installation: more than one way to open the root key, so that losing one loses nothing.

These work on the data directory, also while the service runs, and leave their record in an audit log of their
own (``operator``). Whoever may do this has opened the root key with a slot's secret.
"""

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from keystead import store
from keystead.app.installation import Installation
from keystead.config import Config
from keystead.core.errors import ConfigError, KeysteadError, SealError
from keystead.core.ports import Clock, Random
from keystead.core.seal import SealSlot
from keystead.custody import seal
from keystead.custody.seals import SecretSource
from keystead.service.entry import OK, Entry, encode

LOG: Final = "operator"
ADD, REMOVE = "keystead:AddSealSlot", "keystead:RemoveSealSlot"


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What the store says of the seal."""

    instance: str
    slots: list[SealSlot]


def slots(config: Config) -> list[SealSlot]:
    """The slots there are; none of them holds a secret in the clear."""
    return _read(config).slots


def add(
    config: Config,
    kind: str,
    opening: SecretSource,
    new: SecretSource,
    clock: Clock,
    random: Random,
    **options: str | int,
) -> SealSlot:
    """Add a slot of that ``kind``. ``opening`` has the secret of one that is there, ``new`` the new slot's."""
    sealed = _read(config)
    root = seal.open_any(sealed.slots, opening, instance=sealed.instance)
    slot = seal.create(kind, root, new, random, instance=sealed.instance, **options)
    _change(config, opening, clock, random, ADD, slot)
    return slot


def remove(config: Config, slot_id: str, secrets: SecretSource, clock: Clock, random: Random) -> SealSlot:
    """Remove a slot, once another one has been opened: the last way in cannot go by mistake."""
    sealed = _read(config)
    gone = next((slot for slot in sealed.slots if slot.id == slot_id), None)
    if gone is None:
        raise ConfigError(f"there is no seal slot {slot_id}: list them with `keystead seal list`")
    others = [slot for slot in sealed.slots if slot is not gone]
    if not others:
        raise SealError("this is the last seal slot: add another before you remove it")
    seal.open_any(others, secrets, instance=sealed.instance)
    _change(config, secrets, clock, random, REMOVE, gone)
    return gone


def _read(config: Config) -> _Sealed:
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        instance, found = view.setting("instance"), view.seal_slots()
    if instance is None:
        raise ConfigError(f"{config.data} holds no installation: run `keystead init --data {config.data}`")
    return _Sealed(instance, found)


def _change(
    config: Config, secrets: SecretSource, clock: Clock, random: Random, action: str, slot: SealSlot
) -> None:
    """Store the change between its intent and its outcome, as the gate does."""
    installation = Installation.open(config, secrets, clock, random)
    request = f"seal-{random(12).hex()}"
    entry = Entry(
        account=installation.account,
        action=action,
        auth="local",
        principal=f"local:uid={os.getuid()}",
        request=request,
        stage="intent",
        subject=f"{slot.kind} {slot.id}",
        time=int(clock.now() * 1e6),
        v=1,
    )
    with closing(installation.log(LOG)) as log, closing(store.connect(config.store)) as opened:
        installation.finish(log, opened)
        log.append(encode(entry))
        log.commit()
        entry.stage = "outcome"
        try:
            with opened.transact(request) as tx:
                if action == ADD:
                    tx.put_seal_slot(slot)
                else:
                    tx.delete_seal_slot(slot.id)
            entry.outcome = OK
        except KeysteadError as error:
            entry.outcome = error.code
            raise
        finally:
            entry.time = int(clock.now() * 1e6)
            log.append(encode(entry))
            log.commit()
