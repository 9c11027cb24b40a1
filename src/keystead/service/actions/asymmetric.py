"""Signatures, authentication codes and key agreement: the hot actions of keys that do not encrypt.

Verify and VerifyMac never answer "no": what does not verify is an error, so a caller cannot overlook it (AWS KMS).
A dry run does all of it and gives out nothing, so it fails exactly where the real request would.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from keystead.core.errors import DryRun, MacMismatch, SignatureMismatch, UnsupportedOperation
from keystead.core.spec import ENCAPSULATE_DECAPSULATE, GENERATE_VERIFY_MAC, KEY_AGREEMENT, SIGN_VERIFY, SPECS
from keystead.crypto import mac
from keystead.service.action import Later
from keystead.service.actions.crypt import WOULD_SUCCEED
from keystead.service.commands import kms as c
from keystead.service.results import Result
from keystead.service.results.kms import (
    Coded,
    Decapsulated,
    Derived,
    Encapsulated,
    PublicKey,
    Signed,
    Verified,
)

if TYPE_CHECKING:
    from keystead.service.gate import Visit
    from keystead.service.openkey import OpenKey

T = TypeVar("T")
Use = c.Sign | c.Verify | c.GenerateMac | c.VerifyMac | c.DeriveSharedSecret | c.Encapsulate | c.Decapsulate


def sign(command: c.Sign, visit: "Visit") -> Result | Later:
    """Sign a message or its digest."""
    key = _use(command, "kms:Sign", SIGN_VERIFY, visit)
    return _finish(
        command,
        key,
        lambda: key.pair.sign(command.algorithm, command.kind, command.message),
        lambda signature: Signed(key.arn, signature, command.algorithm),
    )


def verify(command: c.Verify, visit: "Visit") -> Result | Later:
    """Check a signature."""
    key = _use(command, "kms:Verify", SIGN_VERIFY, visit)

    def verified(right: bool) -> Verified:  # noqa: FBT001 - what `PublicKey.verify` returns
        if not right:
            raise SignatureMismatch
        return Verified(key.arn, command.algorithm)

    return _finish(
        command,
        key,
        lambda: key.public.verify(command.algorithm, command.kind, command.message, command.signature),
        verified,
    )


def generate_mac(command: c.GenerateMac, visit: "Visit") -> Result | Later:
    """Make the authentication code of a message."""
    key = _use(command, "kms:GenerateMac", GENERATE_VERIFY_MAC, visit)
    return _finish(
        command,
        key,
        lambda: key.mac.mac(command.algorithm, command.message),
        lambda code: Coded(key.arn, code, command.algorithm),
    )


def verify_mac(command: c.VerifyMac, visit: "Visit") -> Result | Later:
    """Check an authentication code; a part of it is not it."""
    key = _use(command, "kms:VerifyMac", GENERATE_VERIFY_MAC, visit)

    def verified(right: bool) -> Verified:  # noqa: FBT001 - what `mac.verify` returns
        if not right:
            raise MacMismatch
        return Verified(key.arn, command.algorithm)

    return _finish(
        command,
        key,
        lambda: mac.verify(key.mac, command.algorithm, command.message, command.mac),
        verified,
    )


def derive_shared_secret(command: c.DeriveSharedSecret, visit: "Visit") -> Result | Later:
    """Agree on a secret with the holder of another key pair."""
    key = _use(command, "kms:DeriveSharedSecret", KEY_AGREEMENT, visit)
    return _finish(
        command,
        key,
        lambda: key.pair.agree(command.public_key),
        lambda secret: Derived(key.arn, secret, command.algorithm, key.origin),
    )


def encapsulate(command: c.Encapsulate, visit: "Visit") -> Result | Later:
    """A fresh secret, in the clear and encapsulated."""
    key = _use(command, "kms:Encapsulate", ENCAPSULATE_DECAPSULATE, visit)
    return _finish(
        command,
        key,
        key.public.encapsulate,
        lambda made: Encapsulated(key.arn, made[0], made[1], command.algorithm),
    )


def decapsulate(command: c.Decapsulate, visit: "Visit") -> Result | Later:
    """The secret that a ciphertext carries; of a wrong ciphertext, one that nobody knows (FIPS 203)."""
    key = _use(command, "kms:Decapsulate", ENCAPSULATE_DECAPSULATE, visit)
    return _finish(
        command,
        key,
        lambda: key.pair.decapsulate(command.ciphertext),
        lambda secret: Decapsulated(key.arn, secret, command.algorithm),
    )


def get_public_key(command: c.GetPublicKey, visit: "Visit") -> PublicKey:
    """The public half of a key."""
    key = visit.use(command.key, "kms:GetPublicKey", None, tokens=command.tokens)
    if not SPECS[key.spec].asymmetric:
        raise UnsupportedOperation(f"{key.arn} key spec is {key.spec} which is not valid for GetPublicKey.")
    return PublicKey(key.arn, key.public.der, key.spec, key.usage)


def _use(command: Use, action: str, usage: str, visit: "Visit") -> "OpenKey":
    """The key, opened for that, and the algorithm checked and noted."""
    visit.entry.dry_run |= command.dry_run
    key = visit.use(command.key, action, usage, tokens=command.tokens)
    key.check(command.algorithm)
    visit.entry.algorithm = command.algorithm
    return key


def _finish(
    command: Use, key: "OpenKey", work: Callable[[], T], done: Callable[[T], Result]
) -> Result | Later:
    """Do the work now or later; of a dry run nothing is given out but that it would have succeeded."""

    def finished(made: T) -> Result:
        result = done(made)
        if command.dry_run:
            raise DryRun(WOULD_SUCCEED)
        return result

    return key.do(work, finished)
