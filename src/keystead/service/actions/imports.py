"""Imported key material: a key that waits for its owner's bytes, gets them, and may lose them again.

It goes in four steps (AWS KMS developer guide, "Importing key material"): a key of origin EXTERNAL is made without
material; GetParametersForImport gives out a wrapping key and a token; the owner wraps; ImportKeyMaterial unwraps,
which only custody sees.

What has once been a key's material stays its material: after it was deleted or has expired only the same bytes are
taken again, or old ciphertexts could never be opened. A symmetric key may get more: the next one waits as *pending*
until RotateKeyOnDemand makes it the current one. A key may be used while all that it ever rotated to is there.

    version of material   number              handle   rotation
    the first             1                   there    FIRST
    current, or older     <= current          there    FIRST, ON_DEMAND
    deleted or expired    <= current          empty    FIRST, ON_DEMAND: the key is PendingImport
    pending               > current           there    PENDING
    pending once          any                 empty    PENDING: it never was the key's, and is nothing now

A replica has the numbers and the material of its primary, and imports each by itself.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple, cast

from keystead.core import importing
from keystead.core.errors import (
    ExpiredImportToken,
    IncorrectKeyMaterial,
    InvalidImportToken,
    InvalidKeyState,
    InvalidRequest,
    KeysteadError,
    UnsupportedOperation,
)
from keystead.core.importing import ImportOffer
from keystead.core.key import Event, Key, Origin, Rotation, State, Version, version_binding
from keystead.core.ports import Material, View, Wrapped
from keystead.core.spec import SYMMETRIC
from keystead.service import members
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import Imported, ImportParameters

NEW: Final = "NEW_KEY_MATERIAL"
EXISTING: Final = "EXISTING_KEY_MATERIAL"
AT_ONCE: Final = 100


# --- the offer -------------------------------------------------------------------------------------------


class NewOffer(NamedTuple):
    """What `prepare_parameters` has ready: the offer's id and its wrapping key."""

    id: str
    wrapping: Material


def prepare_parameters(command: c.GetParametersForImport, desk: Desk) -> NewOffer:
    """Make the wrapping key, which takes up to seconds."""
    key = _asked(command, desk)
    offer_id = desk.random(16).hex()
    wrapping = desk.custodian.generate(key.account, importing.offer_binding(offer_id), command.wrapping_spec)
    return NewOffer(offer_id, wrapping)


def get_parameters_for_import(command: c.GetParametersForImport, desk: Desk) -> ImportParameters:
    """Give out a wrapping key and a token; what was given out before stays good."""
    key = _asked(command, desk)
    new = cast("NewOffer", desk.prepared)
    offer = ImportOffer(
        id=new.id,
        region=key.region,
        key_id=key.id,
        principal=desk.caller.identity.arn,
        algorithm=command.algorithm,
        wrapping_spec=command.wrapping_spec,
        handle=new.wrapping.handle,
        valid_to=desk.now + importing.OFFER_SECONDS,
    )
    desk.tx.delete_import_offers(desk.now)
    desk.tx.put_import_offer(offer)
    return ImportParameters(key, importing.make_token(offer), new.wrapping.public_key, offer.valid_to)


def _asked(command: c.GetParametersForImport, desk: Desk) -> Key:
    key = _external(desk.key(command.key, Event.READ, "kms:GetParametersForImport"), Event.IMPORT)
    importing.check_wrapping(key.spec, command.algorithm, command.wrapping_spec)
    return key


# --- the import ------------------------------------------------------------------------------------------


class Taken(NamedTuple):
    """Material that custody has taken charge of, and the number it was taken for."""

    number: int
    material: Material


def take_material(command: c.ImportKeyMaterial, desk: Desk) -> Taken:
    """Unwrap the material and have custody keep it, which takes a while for RSA."""
    key, offer = _offered(command, desk)
    # Which material it is shows only once it is unwrapped, and what custody keeps is bound to a number: so it is
    # taken for the likeliest number first, and once more if it turns out to be another's.
    known = _known(desk, key)
    likely = known[-1].number if known and _kind(command, key, known) == EXISTING else _next(desk, key)
    material = _take(command, desk, key, offer, likely)
    return _taken_for(command, desk, key, offer, Taken(likely, material))


def import_key_material(command: c.ImportKeyMaterial, desk: Desk) -> Imported:
    """Bring a key its material; the token is used up if that succeeds."""
    key, offer = _offered(command, desk)
    number, material = _taken_for(command, desk, key, offer, cast("Taken", desk.prepared))
    version = desk.tx.version(key.region, key.id, number)
    if version is None:
        _drop_expired_pending(desk, key)
        version = Version(
            region=key.region,
            key_id=key.id,
            number=number,
            handle=material.handle,
            material_id=material.id,
            created=desk.now,
            rotation=Rotation.FIRST if number == 1 else Rotation.PENDING,
            public_key=b64encode(material.public_key).decode(),
            valid_to=command.valid_to,
            description=command.description or "",
        )
        if is_replica(key):  # its primary's, and like that one
            like = next(known for known in _known(desk, key) if known.number == number)
            version = replace(version, rotation=like.rotation, rotated=like.rotated)
        desk.tx.add_version(version)
    else:
        # The same bytes are there under the old handle still, and may be in use: the new one is one too many.
        if version.handle:
            desk.destroy(key.account, material.handle)
        version = replace(
            version,
            handle=version.handle or material.handle,
            material_id=material.id,  # another's, where the number was only pending once, before the primary moved
            valid_to=command.valid_to,
            description=version.description if command.description is None else command.description,
        )
        desk.tx.put_version(version)
    desk.entry.version = number
    desk.destroy(key.account, offer.handle)
    desk.tx.delete_import_offer(offer.id)
    desk.tx.delete_import_offers(desk.now)
    return Imported(_settled(desk, key), material.id)


def _offered(command: c.ImportKeyMaterial, desk: Desk) -> tuple[Key, ImportOffer]:
    """The key and the offer, once the request is in order and the token is good."""
    if command.valid_to is not None and command.valid_to <= desk.now:
        raise InvalidRequest("ValidTo must be in the future")
    if command.valid_to is not None and command.valid_to > desk.now + importing.MOST_VALID_SECONDS:
        raise InvalidRequest("ValidTo must be at most 365 days in the future")
    if command.kind == NEW and command.material_id is not None:
        raise InvalidRequest(f"KeyMaterialId cannot be specified with an ImportType of {NEW}")
    # (1) The key.
    key = _external(desk.key(command.key, Event.READ, "kms:ImportKeyMaterial"), Event.IMPORT)
    if key.spec != SYMMETRIC and not command.kind == command.description == command.material_id is None:
        raise UnsupportedOperation(
            "ImportType, KeyMaterialDescription and KeyMaterialId can be specified for symmetric encryption "
            "keys only."
        )
    if command.kind == NEW and is_replica(key):
        raise UnsupportedOperation(
            f"New key material cannot be imported into {key.arn}, which is a multi-Region replica key."
        )
    # (2) The token.
    named = importing.read_token(command.token)
    offer = desk.tx.import_offer(named.id)
    if offer is None:
        if named.valid_to <= desk.now:
            raise ExpiredImportToken(_EXPIRED)
        raise InvalidImportToken(
            "The import token is not one that this service gave out, or was used already."
        )
    if (offer.region, offer.key_id, offer.principal) != (key.region, key.id, desk.caller.identity.arn):
        raise InvalidImportToken("The import token is for another key or another principal.")
    if offer.valid_to <= desk.now:
        raise ExpiredImportToken(_EXPIRED)
    return key, offer


def _take(command: c.ImportKeyMaterial, desk: Desk, key: Key, offer: ImportOffer, number: int) -> Material:
    wrapped = Wrapped(command.material, offer.algorithm, offer.handle, importing.offer_binding(offer.id))
    return desk.custodian.take(key.account, version_binding(key.id, number), key.spec, wrapped)


def _taken_for(command: c.ImportKeyMaterial, desk: Desk, key: Key, offer: ImportOffer, taken: Taken) -> Taken:
    """The material under the number that it has by now; raises what keeps the key from taking it."""
    try:
        number = _place(command, desk, key, taken.material.id)
    except KeysteadError:
        desk.destroy(key.account, taken.material.handle)
        raise
    if number == taken.number:
        return taken
    desk.destroy(key.account, taken.material.handle)
    return Taken(number, _take(command, desk, key, offer, number))


def _place(command: c.ImportKeyMaterial, desk: Desk, key: Key, material_id: str) -> int:
    """The version number of that material: the one it has, or the next one."""
    known = _known(desk, key)
    same = next((version for version in known if version.material_id == material_id), None)
    if command.material_id not in (None, material_id):
        raise IncorrectKeyMaterial(
            f"The key material (id: {material_id}) is not the one that was named (id: {command.material_id})."
        )
    if _kind(command, key, known) == EXISTING:
        if same is None:
            raise IncorrectKeyMaterial(f"The key material has not been imported into {key.arn} before.")
        return same.number
    waiting = pending(desk, key)
    if waiting is not None and waiting.material_id != material_id:
        raise InvalidKeyState(
            f"New key material (id: {material_id}) cannot be imported into KMS key {key.arn}, because another "
            f"key material (id: {waiting.material_id}) is pending rotation."
        )
    if same is not None:
        raise IncorrectKeyMaterial(
            f"The key material (id: {material_id}) has been imported into {key.arn} before: it is not new."
        )
    return _next(desk, key)


def _kind(command: c.ImportKeyMaterial, key: Key, known: list[Version]) -> str:
    if command.kind is not None:
        return command.kind
    return EXISTING if known or is_replica(key) else NEW


def _next(desk: Desk, key: Key) -> int:
    last = desk.tx.last_version(key.region, key.id)
    return 1 if last is None else last.number + 1


# --- the loss --------------------------------------------------------------------------------------------


def delete_imported_key_material(command: c.DeleteImportedKeyMaterial, desk: Desk) -> Imported:
    """Take a key the material that is named, or its current one; taking what is gone already succeeds."""
    key = _external(desk.key(command.key, Event.READ, "kms:DeleteImportedKeyMaterial"), Event.LOSE)
    if command.material_id is None:
        version = desk.tx.version(key.region, key.id, key.current_version)
    else:
        wanted = (v for v in materials(desk, key) if v.material_id == command.material_id)
        version = next(wanted, None)
        if version is None:
            raise UnsupportedOperation(
                f"Key material (id: {command.material_id}) is not associated with the key: {key.arn}."
            )
    if version is None:
        return Imported(key, "")
    desk.entry.version = version.number
    if version.handle:
        _lose(desk, key, version)
        key = _settled(desk, key)
    return Imported(key, version.material_id)


def expire_key_material(command: c.ExpireKeyMaterial, desk: Desk) -> Done:
    """Take a key the material that has expired."""
    key = desk.key(command.key, Event.LOSE, "keystead:ExpireKeyMaterial", by_key_policy=False)
    ended = [version for version in _versions(desk.tx, key) if expired(version, desk.now)]
    if not ended:
        raise InvalidKeyState(f"{key.arn} has no key material that has expired.")
    for version in ended:
        desk.entry.version = version.number
        _lose(desk, key, version)
    _settled(desk, key)
    desk.tx.delete_import_offers(desk.now)
    return Done()


def _lose(desk: Desk, key: Key, version: Version) -> None:
    """Destroy a version's material; its row stays, so that the same bytes can come back to it."""
    # Before the commit on purpose, as in `destroy_key`: the other order could leave material behind for ever.
    desk.destroy(key.account, version.handle)
    desk.tx.put_version(replace(version, handle="", valid_to=None))
    if version.rotation is Rotation.PENDING and key.primary:  # with it goes what replicas have of it
        for replica in members.others(desk.tx, key):
            theirs = desk.tx.version(replica.region, replica.id, version.number)
            if theirs is not None and theirs.handle:
                _lose(desk, replica, theirs)


def _drop_expired_pending(desk: Desk, key: Key) -> None:
    """Material that expired before the key rotated to it makes room for other."""
    last = desk.tx.last_version(key.region, key.id)
    if last is not None and last.rotation is Rotation.PENDING and expired(last, desk.now):
        _lose(desk, key, last)


def _external(key: Key, event: Event) -> Key:
    """The key, if imports are for it: AWS looks at its origin before its state."""
    if key.origin is not Origin.EXTERNAL:
        raise key.wrong_origin()
    key.after(event)
    return key


# --- what a key has --------------------------------------------------------------------------------------


def materials(desk: Desk, key: Key, after: int = 0) -> Iterator[Version]:
    """The versions that are a key's, by number: without what was pending once and is no longer there."""
    for version in _versions(desk.tx, key, after):
        if version.rotation is not Rotation.PENDING or (version.handle and not expired(version, desk.now)):
            yield version


def _versions(view: View, key: Key, after: int = 0) -> Iterator[Version]:
    while found := view.versions(key.region, key.id, after, AT_ONCE):
        yield from found
        after = found[-1].number


def expired(version: Version, now: float) -> bool:
    """Whether a version has material that has expired, and the job has not come by yet."""
    return bool(version.handle) and version.valid_to is not None and version.valid_to <= now


def pending(desk: Desk, key: Key) -> Version | None:
    """The material that waits for the key's rotation."""
    last = desk.tx.last_version(key.region, key.id)
    if last is None or last.rotation is not Rotation.PENDING or not last.handle or expired(last, desk.now):
        return None
    return last


def complete(desk: Desk, key: Key) -> bool:
    """Whether everything that a key has rotated to is there."""
    versions = [version for version in _known(desk, key) if version.rotation is not Rotation.PENDING]
    return bool(versions) and all(version.handle for version in versions)


def _known(desk: Desk, key: Key) -> list[Version]:
    """The materials that may be imported into a key again: its own and, of a replica, its primary's as well."""
    found = {version.number: version for version in materials(desk, key)}
    primary = _primary_of(desk, key)
    if primary is not None:
        for version in materials(desk, primary):
            missing = replace(version, region=key.region, handle="", valid_to=None, description="")
            found.setdefault(version.number, missing)
    return [found[number] for number in sorted(found)]


def _primary_of(desk: Desk, key: Key) -> Key | None:
    """The primary of a replica, if it is kept here."""
    return desk.tx.key(key.members[0], key.id) if is_replica(key) else None


def awaited(desk: Desk, key: Key, waiting: Version) -> list[Key]:
    """The replicas of a primary that lack the material which waits for its rotation."""
    found = []
    for replica in members.others(desk.tx, key):
        theirs = pending(desk, replica)
        if theirs is None or theirs.number != waiting.number:
            found.append(replica)
    return found


def is_replica(key: Key) -> bool:
    """Whether a key is a replica of another Region's."""
    return key.multi_region and not key.primary


def _settled(desk: Desk, key: Key) -> Key:
    """Store the key as it is with the materials that it has now: its current one, its state, its expiry."""
    primary = _primary_of(desk, key)
    current = max(key.current_version, 1) if primary is None else primary.current_version
    if not complete(desk, key):
        key = key.after(Event.LOSE)
    elif key.state is State.PENDING_IMPORT:
        key = key.after(Event.IMPORT)
    return desk.save(replace(key, current_version=current, expires=earliest_expiry(desk, key)))


def earliest_expiry(desk: Desk, key: Key) -> float | None:
    """When the first of the materials expires that a key cannot do without."""
    needed = (v for v in materials(desk, key) if v.rotation is not Rotation.PENDING and v.handle)
    return min((v.valid_to for v in needed if v.valid_to is not None), default=None)


_EXPIRED: Final = "The import token has expired: ask for another with GetParametersForImport."
