"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes: the hot actions.

A ciphertext names its own key, so Decrypt needs no key id; naming one anyway pins it, and another key's
blob is then refused (`IncorrectKey`). Every way in which a blob can fail to open is the same
`InvalidCiphertext`.
"""

from typing import TYPE_CHECKING

from keystead.core import blob
from keystead.core.context import canonical
from keystead.core.errors import AccessDenied, DryRun, IncorrectKey, InvalidRequest, NotFound
from keystead.core.names import KeyReference
from keystead.service import commands as c
from keystead.service.results import DataKey, Decrypted, Encrypted, RandomBytes, ReEncrypted

if TYPE_CHECKING:
    from keystead.service.gate import Visit
    from keystead.service.openkey import OpenKey

WOULD_SUCCEED = "The request would have succeeded, but the DryRun option is set."


def encrypt(command: c.Encrypt, visit: "Visit") -> Encrypted:
    """Seal a plaintext under the current version of a key."""
    visit.entry.dry_run = command.dry_run
    context = canonical(command.context)
    key = visit.use(command.key, "kms:Encrypt")
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    sealed = key.seal(command.plaintext, context)
    visit.used(context, sealed, key.version)
    return Encrypted(key.arn, sealed)


def decrypt(command: c.Decrypt, visit: "Visit") -> Decrypted:
    """Open a blob with the version that sealed it."""
    visit.entry.dry_run = command.dry_run
    context = canonical(command.context)
    if command.ciphertext is None:
        if command.key is None:
            raise InvalidRequest("KeyId is required when the ciphertext is left out.")
        visit.use(command.key, "kms:Decrypt")
        raise DryRun(WOULD_SUCCEED)
    parsed = blob.parse(command.ciphertext)
    key = _opener(parsed, command.key, "kms:Decrypt", visit)
    visit.used(context, command.ciphertext, parsed.version)
    plaintext, material_id = key.open(parsed, context)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    return Decrypted(key.arn, plaintext, material_id)


def re_encrypt(command: c.ReEncrypt, visit: "Visit") -> ReEncrypted:
    """Move a blob under another key or context; the plaintext stays inside."""
    visit.entry.dry_run = command.dry_run
    source_context, context = canonical(command.source_context), canonical(command.context)
    if command.ciphertext is None:
        if command.source is None:
            raise InvalidRequest("SourceKeyId is required when the ciphertext is left out.")
        visit.use(command.source, "kms:ReEncryptFrom")
        visit.moves()
        visit.use(command.key, "kms:ReEncryptTo")
        raise DryRun(WOULD_SUCCEED)
    parsed = blob.parse(command.ciphertext)
    source = _opener(parsed, command.source, "kms:ReEncryptFrom", visit)
    visit.entry.version = parsed.version
    visit.moves()
    destination = visit.use(command.key, "kms:ReEncryptTo")
    plaintext, source_material = source.open(parsed, source_context)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    sealed = destination.seal(plaintext, context)
    visit.used(context, sealed, destination.version)
    return ReEncrypted(destination.arn, source.arn, sealed, destination.material_id, source_material)


def generate_data_key(command: c.GenerateDataKey, visit: "Visit") -> DataKey:
    """A fresh data key, in the clear and sealed."""
    return _data_key(command, "kms:GenerateDataKey", visit, with_plaintext=True)


def generate_data_key_without_plaintext(
    command: c.GenerateDataKeyWithoutPlaintext, visit: "Visit"
) -> DataKey:
    """A fresh data key, sealed only."""
    return _data_key(command, "kms:GenerateDataKeyWithoutPlaintext", visit, with_plaintext=False)


def generate_random(command: c.GenerateRandom, visit: "Visit") -> RandomBytes:
    """Bytes from the system's generator."""
    visit.allow("kms:GenerateRandom")
    return RandomBytes(visit.random(command.length))


def _data_key(
    command: c.GenerateDataKey | c.GenerateDataKeyWithoutPlaintext,
    action: str,
    visit: "Visit",
    *,
    with_plaintext: bool,
) -> DataKey:
    visit.entry.dry_run = command.dry_run
    context = canonical(command.context)
    key = visit.use(command.key, action)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    plaintext = visit.random(command.length)
    sealed = key.seal(plaintext, context)
    visit.used(context, sealed, key.version)
    return DataKey(key.arn, sealed, key.material_id, plaintext if with_plaintext else None)


def _opener(parsed: blob.Blob, named: KeyReference | None, action: str, visit: "Visit") -> "OpenKey":
    """The key that made a blob, opened; it must be the one that the caller named, if any was."""
    reference = KeyReference(parsed.key_id)
    if named is not None:
        key = visit.use(named, action)
        if visit.refs[-1] != parsed.key_id:
            raise IncorrectKey(
                "The key ID in the request does not identify a CMK that can perform this operation."
            )
        return key
    try:
        return visit.use(reference, action)
    except (NotFound, AccessDenied):
        # Whether the blob's key is unknown or forbidden is not for a stranger to know.
        raise AccessDenied(
            "The ciphertext refers to a customer master key that does not exist, does not exist in this "
            "region, or you are not allowed to access."
        ) from None
