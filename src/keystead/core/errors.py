"""The one error family: everything a caller may be told.

An error has a *kind*, which says what a program should do about it, and a *code*, which is stable for
ever: programs match on it, dashboards count it, and each has a section in ``docs/reference/errors.md``.
Any other exception is a bug and is answered without detail, because a stranger's text may hold a secret.

Fronts translate these into their protocol's errors in one table each; nothing else does.
"""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What class of failure this is, and so what the caller should do."""

    INVALID = "invalid"  # the request is wrong: change it
    DENIED = "denied"  # the caller may not: change who asks, or the policy
    NOT_FOUND = "not-found"  # there is no such thing, or the caller may not know of it
    CONFLICT = "conflict"  # the thing's state does not allow it: change the state first
    LIMIT = "limit"  # a quota is reached: ask for less, or raise it
    UNAVAILABLE = "unavailable"  # nothing happened: try again later


class KeysteadError(Exception):
    """A failure the caller is told about; its text never holds plaintext, key bytes or tokens."""

    kind: ClassVar[Kind]
    code: ClassVar[str]


class InvalidRequest(KeysteadError):
    """A value is missing, malformed, too long, or does not go with another."""

    kind, code = Kind.INVALID, "InvalidRequest"


class InvalidTag(KeysteadError):
    """A tag is reserved, given twice, or one too many."""

    kind, code = Kind.INVALID, "InvalidTag"


class InvalidMarker(KeysteadError):
    """A pagination marker that this service did not make for this list and caller."""

    kind, code = Kind.INVALID, "InvalidMarker"


class InvalidArn(KeysteadError):
    """An ARN that is not well formed or names what cannot exist here."""

    kind, code = Kind.INVALID, "InvalidArn"


class InvalidAliasName(KeysteadError):
    """An alias name with characters that no alias may have."""

    kind, code = Kind.INVALID, "InvalidAliasName"


class InvalidCiphertext(KeysteadError):
    """A ciphertext that is damaged, was not made here, or has another encryption context.

    It carries no message on purpose: which of the three it was would help an attacker.
    """

    kind, code = Kind.INVALID, "InvalidCiphertext"


class IncorrectKey(KeysteadError):
    """The ciphertext was made by another key than the one the caller named."""

    kind, code = Kind.INVALID, "IncorrectKey"


class SignatureMismatch(KeysteadError):
    """The signature is not the one of this message by this key and algorithm.

    It carries no message, as in AWS KMS.
    """

    kind, code = Kind.INVALID, "SignatureMismatch"


class MacMismatch(KeysteadError):
    """The code is not the one of this message by this key and algorithm.

    It carries no message, as in AWS KMS.
    """

    kind, code = Kind.INVALID, "MacMismatch"


class InvalidGrantToken(KeysteadError):
    """A grant token that this service did not give out."""

    kind, code = Kind.INVALID, "InvalidGrantToken"


class PolicyTooLarge(KeysteadError):
    """A session's policies and tags that do not fit into its token."""

    kind, code = Kind.INVALID, "PolicyTooLarge"


class InvalidGrantId(KeysteadError):
    """A grant id that is not in the form of one, or not one of that key."""

    kind, code = Kind.INVALID, "InvalidGrantId"


class InvalidImportToken(KeysteadError):
    """The import token is not one for this key and caller, or was used already."""

    kind, code = Kind.INVALID, "InvalidImportToken"


class ExpiredImportToken(KeysteadError):
    """The import token is older than 24 hours."""

    kind, code = Kind.INVALID, "ExpiredImportToken"


class IncorrectKeyMaterial(KeysteadError):
    """The material is not the one that was imported before, and must be."""

    kind, code = Kind.INVALID, "IncorrectKeyMaterial"


class InvalidKeyUsage(KeysteadError):
    """The key's usage, spec or algorithm list does not include what was asked."""

    kind, code = Kind.INVALID, "InvalidKeyUsage"


class UnsupportedOperation(KeysteadError):
    """The operation exists but not for this key, or not in this installation."""

    kind, code = Kind.INVALID, "UnsupportedOperation"


class MalformedPolicy(KeysteadError):
    """A policy that is not valid JSON, not a valid policy, or would lock everybody out."""

    kind, code = Kind.INVALID, "MalformedPolicy"


class DryRun(KeysteadError):
    """The request would have succeeded; nothing was done because it asked for a dry run."""

    kind, code = Kind.INVALID, "DryRun"


class AccessDenied(KeysteadError):
    """No policy allows it, or one denies it."""

    kind, code = Kind.DENIED, "AccessDenied"


class NotAuthenticated(KeysteadError):
    """The request carries no credentials where they are needed."""

    kind, code = Kind.DENIED, "NotAuthenticated"


class IncompleteSignature(KeysteadError):
    """The credentials are there but not in a form that can be checked."""

    kind, code = Kind.DENIED, "IncompleteSignature"


class InvalidSignature(KeysteadError):
    """The signature, its date or its scope does not match the request."""

    kind, code = Kind.DENIED, "InvalidSignature"


class UnknownCredentials(KeysteadError):
    """The access key does not exist or is disabled, or the session token is not valid."""

    kind, code = Kind.DENIED, "UnknownCredentials"


class ExpiredToken(KeysteadError):
    """A session token whose session is over."""

    kind, code = Kind.DENIED, "ExpiredToken"


class InvalidIdentityToken(KeysteadError):
    """A token that its issuer did not sign, that is not for here, or that is none; the text says which."""

    kind, code = Kind.INVALID, "InvalidIdentityToken"


class ExpiredIdentityToken(KeysteadError):
    """An issuer's token whose time is over."""

    kind, code = Kind.INVALID, "ExpiredIdentityToken"


class ProviderUnreachable(KeysteadError):
    """An identity provider's keys are needed and cannot be fetched; the text says why."""

    kind, code = Kind.UNAVAILABLE, "ProviderUnreachable"


class NotFound(KeysteadError):
    """No such key, alias or principal, as far as this caller may know."""

    kind, code = Kind.NOT_FOUND, "NotFound"


class Reserved(KeysteadError):
    """A name that callers may not take or change."""

    kind, code = Kind.DENIED, "Reserved"


class AlreadyExists(KeysteadError):
    """The name is taken."""

    kind, code = Kind.CONFLICT, "AlreadyExists"


class HeldBack(KeysteadError):
    """A legal hold keeps what was to go."""

    kind, code = Kind.CONFLICT, "HeldBack"


class KeyDisabled(KeysteadError):
    """The key is disabled."""

    kind, code = Kind.CONFLICT, "KeyDisabled"


class InvalidKeyState(KeysteadError):
    """The key's state does not allow what was asked."""

    kind, code = Kind.CONFLICT, "InvalidKeyState"


class RotationInProgress(KeysteadError):
    """The key is being rotated already."""

    kind, code = Kind.CONFLICT, "RotationInProgress"


class KeyUnavailable(KeysteadError):
    """The key cannot be reached for a reason that its owner must mend."""

    kind, code = Kind.UNAVAILABLE, "KeyUnavailable"


class KeyStoreNotFound(KeysteadError):
    """There is no such custom key store in this account and Region."""

    kind, code = Kind.NOT_FOUND, "KeyStoreNotFound"


class KeyStoreNameInUse(KeysteadError):
    """Another custom key store has that name."""

    kind, code = Kind.CONFLICT, "KeyStoreNameInUse"


class KeyStoreInvalidState(KeysteadError):
    """The custom key store is connected, or is not, and must be otherwise for this."""

    kind, code = Kind.CONFLICT, "KeyStoreInvalidState"


class KeyStoreHasKeys(KeysteadError):
    """The custom key store holds keys, so it cannot be removed."""

    kind, code = Kind.CONFLICT, "KeyStoreHasKeys"


class ClusterNotFound(KeysteadError):
    """There is no such HSM cluster."""

    kind, code = Kind.NOT_FOUND, "ClusterNotFound"


class XksUriInUse(KeysteadError):
    """Another custom key store has that proxy address."""

    kind, code = Kind.CONFLICT, "XksUriInUse"


class XksUriUnreachable(KeysteadError):
    """The XKS proxy cannot be reached at that address."""

    kind, code = Kind.INVALID, "XksUriUnreachable"


class XksIncorrectCredential(KeysteadError):
    """The XKS proxy does not accept the credential."""

    kind, code = Kind.INVALID, "XksIncorrectCredential"


class XksInvalidConfiguration(KeysteadError):
    """The address and connectivity of the XKS proxy do not go together."""

    kind, code = Kind.INVALID, "XksInvalidConfiguration"


class XksInvalidResponse(KeysteadError):
    """The XKS proxy answered something that the XKS API does not have."""

    kind, code = Kind.CONFLICT, "XksInvalidResponse"


class XksKeyInUse(KeysteadError):
    """Another key of this custom key store has that external key."""

    kind, code = Kind.CONFLICT, "XksKeyInUse"


class XksKeyInvalidConfiguration(KeysteadError):
    """The external key is not an enabled AES-256 key that encrypts and decrypts."""

    kind, code = Kind.INVALID, "XksKeyInvalidConfiguration"


class XksKeyNotFound(KeysteadError):
    """The XKS proxy knows no such external key."""

    kind, code = Kind.NOT_FOUND, "XksKeyNotFound"


class LimitExceeded(KeysteadError):
    """A quota is reached."""

    kind, code = Kind.LIMIT, "LimitExceeded"


class TooLarge(KeysteadError):
    """A request or value over the size that is accepted."""

    kind, code = Kind.LIMIT, "TooLarge"


class Throttled(KeysteadError):
    """Too many requests at once: slow down and try again."""

    kind, code = Kind.LIMIT, "Throttled"


class AuditUnavailable(KeysteadError):
    """The audit log cannot be written, so nothing may be answered."""

    kind, code = Kind.UNAVAILABLE, "AuditUnavailable"


class StoreUnavailable(KeysteadError):
    """The store cannot be read or written, or did not answer in time."""

    kind, code = Kind.UNAVAILABLE, "StoreUnavailable"


class CustodyUnavailable(KeysteadError):
    """The place that holds the key material cannot be reached; nothing happened."""

    kind, code = Kind.UNAVAILABLE, "CustodyUnavailable"


class QueryUnavailable(KeysteadError):
    """The process that answers questions about the audit is not there, or found no answer in time."""

    kind, code = Kind.UNAVAILABLE, "QueryUnavailable"


class ShuttingDown(KeysteadError):
    """The server is draining and takes no new work."""

    kind, code = Kind.UNAVAILABLE, "ShuttingDown"


class SealError(KeysteadError):
    """No seal slot opened; the message names the slots and the cure."""

    kind, code = Kind.DENIED, "SealError"


class DataDamaged(KeysteadError):
    """Stored data does not check out; the message names the file or row and the cure."""

    kind, code = Kind.UNAVAILABLE, "DataDamaged"


class AuditDamaged(KeysteadError):
    """An audit log does not check out: a record, a hash, a signature or the order of records.

    ``damage`` lists, for each log, the first thing wrong: ``(log, record index, file, problem)``.
    """

    kind, code = Kind.CONFLICT, "AuditDamaged"

    def __init__(self, message: str, damage: tuple[tuple[str, int, str, str], ...] = ()) -> None:
        super().__init__(message)
        self.damage = damage


class ConfigError(KeysteadError):
    """A setting is missing or wrong; the message names it and the cure."""

    kind, code = Kind.INVALID, "ConfigError"
