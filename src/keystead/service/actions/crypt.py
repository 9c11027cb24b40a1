"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes: the hot actions.

A symmetric key's ciphertext is a blob that names its key, so Decrypt needs no key id; naming one anyway pins it, and
another key's blob is then refused (`IncorrectKey`). What an RSA key has encrypted carries nothing but itself, so
there the key and the algorithm must be named. Every way in which a ciphertext can fail to open is the same
`InvalidCiphertext`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from keystead.core import blob
from keystead.core.context import canonical
from keystead.core.errors import AccessDenied, DryRun, InvalidRequest, NotFound
from keystead.core.names import KeyReference
from keystead.core.spec import SYMMETRIC
from keystead.crypto import keypair
from keystead.service.action import Later
from keystead.service.commands import kms as c
from keystead.service.results.kms import DataKey, DataKeyPair, Decrypted, Encrypted, RandomBytes, ReEncrypted

if TYPE_CHECKING:
    from keystead.service.gate import Visit
    from keystead.service.openkey import OpenKey

R = TypeVar("R")

WOULD_SUCCEED = "The request would have succeeded, but the DryRun option is set."


def encrypt(command: c.Encrypt, visit: "Visit") -> Encrypted | Later:
    """Seal a plaintext under the current version of a key."""
    visit.entry.dry_run |= command.dry_run
    context = canonical(command.context)
    key = visit.use(command.key, "kms:Encrypt", context=command.context, tokens=command.tokens)
    key.check(command.algorithm)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)

    def sealed(data: bytes) -> Encrypted:
        visit.used(context, data, key.version)
        return Encrypted(key.arn, data, command.algorithm)

    return key.encrypting(command.algorithm, command.plaintext, context, sealed)


def decrypt(command: c.Decrypt, visit: "Visit") -> Decrypted | Later:
    """Open a ciphertext with the version that sealed it."""
    visit.entry.dry_run |= command.dry_run
    context = canonical(command.context)
    if command.ciphertext is None:
        if command.key is None:
            raise InvalidRequest("KeyId is required when the ciphertext is left out.")
        visit.use(command.key, "kms:Decrypt", context=command.context, tokens=command.tokens)
        raise DryRun(WOULD_SUCCEED)
    source = Source(command.ciphertext, command.key, command.algorithm, command.context, command.tokens)
    key = source.use("kms:Decrypt", visit)
    visit.used(context, command.ciphertext, source.version or key.version)

    def opened(found: tuple[bytes, str]) -> Decrypted:
        if command.dry_run:
            raise DryRun(WOULD_SUCCEED)
        plaintext, material_id = found
        return Decrypted(key.arn, plaintext, material_id, command.algorithm)

    return source.opening(key, context, opened)


def re_encrypt(command: c.ReEncrypt, visit: "Visit") -> ReEncrypted | Later:
    """Move a ciphertext under another key or context; the plaintext stays inside."""
    visit.entry.dry_run |= command.dry_run
    source_context, context = canonical(command.source_context), canonical(command.context)
    if command.ciphertext is None:
        if command.source is None:
            raise InvalidRequest("SourceKeyId is required when the ciphertext is left out.")
        visit.use(command.source, "kms:ReEncryptFrom", context=command.source_context, tokens=command.tokens)
        visit.moves()
        visit.use(command.key, "kms:ReEncryptTo", context=command.context, tokens=command.tokens)
        raise DryRun(WOULD_SUCCEED)
    source = Source(
        command.ciphertext, command.source, command.source_algorithm, command.source_context, command.tokens
    )
    key = source.use("kms:ReEncryptFrom", visit)
    visit.entry.version = source.version or key.version
    visit.moves()
    destination = visit.use(command.key, "kms:ReEncryptTo", context=command.context, tokens=command.tokens)
    destination.check(command.algorithm)

    def opened(found: tuple[bytes, str]) -> ReEncrypted | Later:
        if command.dry_run:
            raise DryRun(WOULD_SUCCEED)
        plaintext, source_material = found

        def sealed(data: bytes) -> ReEncrypted:
            visit.used(context, data, destination.version)
            return ReEncrypted(
                destination.arn,
                key.arn,
                data,
                destination.shown_material,
                source_material,
                command.algorithm,
                command.source_algorithm,
            )

        return destination.encrypting(command.algorithm, plaintext, context, sealed)

    return source.opening(key, source_context, opened)


def generate_data_key(command: c.GenerateDataKey, visit: "Visit") -> DataKey | Later:
    """A fresh data key, in the clear and sealed."""
    return _data_key(command, "kms:GenerateDataKey", visit, with_plaintext=True)


def generate_data_key_without_plaintext(
    command: c.GenerateDataKeyWithoutPlaintext, visit: "Visit"
) -> DataKey | Later:
    """A fresh data key, sealed only."""
    return _data_key(command, "kms:GenerateDataKeyWithoutPlaintext", visit, with_plaintext=False)


def generate_data_key_pair(command: c.GenerateDataKeyPair, visit: "Visit") -> Later:
    """A fresh key pair, its private key in the clear and sealed."""
    return _data_key_pair(command, "kms:GenerateDataKeyPair", visit, with_plaintext=True)


def generate_data_key_pair_without_plaintext(
    command: c.GenerateDataKeyPairWithoutPlaintext, visit: "Visit"
) -> Later:
    """A fresh key pair, its private key sealed only."""
    return _data_key_pair(command, "kms:GenerateDataKeyPairWithoutPlaintext", visit, with_plaintext=False)


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
) -> DataKey | Later:
    visit.entry.dry_run |= command.dry_run
    context = canonical(command.context)
    key = visit.use(command.key, action, context=command.context, tokens=command.tokens)
    key.check(SYMMETRIC)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    plaintext = visit.random(command.length)

    def sealed(data: bytes) -> DataKey:
        visit.used(context, data, key.version)
        return DataKey(key.arn, data, key.material_id, plaintext if with_plaintext else None)

    return key.sealing(plaintext, context, sealed)


def _data_key_pair(
    command: c.GenerateDataKeyPair | c.GenerateDataKeyPairWithoutPlaintext,
    action: str,
    visit: "Visit",
    *,
    with_plaintext: bool,
) -> Later:
    visit.entry.dry_run |= command.dry_run
    context = canonical(command.context)
    key = visit.use(command.key, action, context=command.context, tokens=command.tokens)
    key.check(SYMMETRIC)
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    visit.entry.algorithm = command.spec

    def generated(pair: tuple[bytes, bytes]) -> DataKeyPair | Later:
        private, public = pair

        def sealed(data: bytes) -> DataKeyPair:
            visit.used(context, data, key.version)
            return DataKeyPair(
                key.arn, command.spec, public, data, key.material_id, private if with_plaintext else None
            )

        return key.sealing(private, context, sealed)

    return Later(lambda: keypair.generate(command.spec), generated)


class Source:
    """A ciphertext that is to be opened, and what the caller said of it."""

    __slots__ = ("_algorithm", "_blob", "_ciphertext", "_context", "_named", "_tokens", "version")

    def __init__(
        self,
        ciphertext: bytes,
        named: KeyReference | None,
        algorithm: str,
        context: c.Context | None,
        tokens: c.Tokens,
    ) -> None:
        self._ciphertext = ciphertext
        self._named = named
        self._algorithm = algorithm
        self._context = context
        self._tokens = tokens
        self._blob = blob.parse(ciphertext) if algorithm == SYMMETRIC else None
        self.version = 0 if self._blob is None else self._blob.version

    def use(self, action: str, visit: "Visit") -> "OpenKey":
        """The key that made it, opened; it must be the one that the caller named, if any was."""
        parsed, named = self._blob, self._named
        if named is not None:
            expected = "" if parsed is None else parsed.key_id
            key = visit.use(named, action, context=self._context, tokens=self._tokens, expected=expected)
            key.check(self._algorithm)
            return key
        if parsed is None:
            raise InvalidRequest("KeyId is required to decrypt with an asymmetric KMS key.")
        try:
            made_it = KeyReference(parsed.key_id)
            return visit.use(made_it, action, context=self._context, tokens=self._tokens, any_account=True)
        except (NotFound, AccessDenied):
            # Whether the blob's key is unknown or forbidden is not for a stranger to know.
            raise AccessDenied(
                "The ciphertext refers to a customer master key that does not exist, does not exist in this "
                "region, or you are not allowed to access."
            ) from None

    def opening(self, key: "OpenKey", context: bytes, then: Callable[[tuple[bytes, str]], R]) -> R | Later:
        """Go on with the plaintext and the id of the material that sealed it."""
        if self._blob is not None:
            return key.opening(self._blob, context, then)
        return key.decrypting(self._algorithm, self._ciphertext, context, then)
