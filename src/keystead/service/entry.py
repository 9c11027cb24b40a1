"""The audit entry: what is written down about one request, as canonical JSON.

Members stand in the order of their names, without spaces, and empty ones are left out, so an entry has
one form. It says who, what, with which key and version, how it was decided and how it ended. It never
holds plaintext, key bytes, tokens or a digest of a plaintext: a digest of a short secret is the secret.
A ciphertext's digest is safe, since every ciphertext holds a fresh nonce.

``docs/formats/audit-entry.md`` describes each member. ``stage`` is ``intent`` for the entry that precedes
a change, and absent otherwise; an intent and its outcome carry the same ``request``.
"""

from typing import Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from keystead.core.ports import Used
from keystead.core.principal import role_arn

OK = "Success"

CRYPTOGRAPHIC: Final = frozenset(
    f"kms:{operation}"
    for operation in (
        "Decapsulate",
        "Decrypt",
        "DeriveSharedSecret",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "ReEncrypt",
        "Sign",
        "Verify",
        "VerifyMac",
    )
)
"""The actions that use a key; to look at one, its public half included, is not to use it."""

_TEMPORARY: Final = "ASIA"  # what the ids of temporary credentials begin with
_LASTING: Final = "arn:aws:iam::"  # what the ARN of a principal begins with, other than a session's


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One record; the fields are in alphabetical order, which makes the encoding canonical."""

    access_key: str = ""
    account: str = ""
    action: str = ""  # "kms:Encrypt"
    algorithm: str = ""  # of a use, where the key has more than one
    auth: str = ""
    ciphertext: str = ""  # SHA-256 of the ciphertext blob given out or taken in, hex
    client_request: str = ""  # the client's own id for the request
    context: str = ""  # SHA-256 of the canonical encryption context, hex
    decided_by: str = ""  # key-policy, identity-policy, grant, none
    decision: str = ""  # Allow, Deny
    detail: str = ""  # of a failure or a recovery
    dry_run: bool = False
    epoch: int = 0  # the newest change the decision knew of
    from_key: str = ""  # ReEncrypt: the key the ciphertext came from
    from_version: int = 0
    key: str = ""  # ARN, of what the caller asked for if there is no such key
    matched: tuple[str, ...] = ()  # the statements and grants that decided, with their policies' versions
    missing: str = ""  # of a denial because nothing allows: the smallest thing that it lacked
    outcome: str = ""  # Success, or an error code; an intent has none yet
    principal: str = ""  # ARN
    region: str = ""
    request: str = ""
    source: str = ""
    source_identity: str = ""  # who began the session, as far as it was said then
    stage: str = ""
    statement: str = ""  # the policy statement that decided, or the id of the grant
    subject: str = ""  # what else it was about: an alias, a principal
    time: int = 0  # microseconds since 1970
    trace: str = ""
    v: int = 0  # the version of this form, 1; zero only in a value that nobody has filled in
    version: int = 0  # of the key's material


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
_decoder = msgspec.json.Decoder(Entry)


def decode(data: bytes) -> Entry:
    """An entry from its bytes; raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(data)


class _Use(msgspec.Struct, gc=False):
    """The members of an entry that say who used what; reading only these is half the work."""

    access_key: str = ""
    action: str = ""
    from_key: str = ""
    from_version: int = 0
    key: str = ""
    outcome: str = ""
    principal: str = ""
    region: str = ""
    request: str = ""
    time: int = 0
    version: int = 0


_read_use = msgspec.json.Decoder(_Use).decode


def uses(data: bytes) -> tuple[Used, ...]:
    """What an entry says was done, by whom; nothing for a failure, an intent or what nobody has asked for.

    A cryptographic operation tells of the key it used, ReEncrypt of two. Everything else uses no key. Of temporary
    credentials and of sessions there is no end, so they are told of as what they belong to.
    """
    try:
        return used(_read_use(data))
    except msgspec.DecodeError:
        return ()


def used(entry: Entry | _Use) -> tuple[Used, ...]:
    """The same of an entry that need not be read."""
    principal = entry.principal
    if entry.outcome != OK or not principal:
        return ()
    action, access_key = entry.action, entry.access_key
    if access_key.startswith(_TEMPORARY):
        access_key = ""
    if not principal.startswith(_LASTING):
        principal = _lasting(principal)
    time, request, region = entry.time, entry.request, entry.region
    if action not in CRYPTOGRAPHIC:
        return ((("", 0, principal, access_key, action), time, request, region),)
    use = ((entry.key, entry.version, principal, access_key, action), time, request, region)
    if not entry.from_key or (entry.from_key, entry.from_version) == (entry.key, entry.version):
        return (use,)
    source = ((entry.from_key, entry.from_version, principal, None, action), time, request, region)
    return (use, source)


def _lasting(principal: str) -> str:
    """The role whose session it is; everybody else stays who it is."""
    head, found, name = principal.partition(":assumed-role/")
    if not found:
        return principal
    return role_arn(head.rpartition(":")[2], name.partition("/")[0])


def of_request(data: bytes, request: str) -> bool:
    """Whether an entry is of that request."""
    try:
        return _read_use(data).request == request
    except msgspec.DecodeError:
        return False


def begins(data: bytes) -> bool:
    """Whether an entry is the first that its request leaves: all but the outcome of a change are."""
    try:
        return decode(data).stage != "outcome"
    except msgspec.DecodeError:
        return True


def moment(data: bytes) -> float:
    """When an entry was made, in Unix seconds; 0 for what is none."""
    try:
        return _read_use(data).time / 1e6
    except msgspec.DecodeError:
        return 0.0


def event_id(event: str) -> str:
    """The id of an entry for those who expect a UUID: of the name ``keystead:<origin of the log>/<index>``."""
    return str(uuid5(NAMESPACE_URL, f"keystead:{event}"))
