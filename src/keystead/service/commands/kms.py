"""AWS KMS's operations, and those that jobs and linked servers add to them."""

from collections.abc import Mapping

from typing_extensions import override

from keystead.core.key import Origin
from keystead.core.keystore import Kind
from keystead.core.names import KeyReference
from keystead.core.spec import SYMMETRIC
from keystead.service.commands import Command
from keystead.service.linking import MemberNews, MoveNews

Context = Mapping[str, str]
Tokens = tuple[str, ...]
"""Grant tokens. A grant is in force everywhere at once, so they add nothing; one that is not ours is refused."""


# Cryptographic operations.


class Encrypt(Command, frozen=True, gc=False):
    """Encrypt up to 4,096 bytes."""

    key: KeyReference
    plaintext: bytes
    context: Context | None = None
    dry_run: bool = False
    algorithm: str = SYMMETRIC
    tokens: Tokens = ()


class Decrypt(Command, frozen=True, gc=False):
    """Open a ciphertext. A blob of a symmetric key names its key, so ``key`` is optional, and must then be that one.

    A dry run may come without a ciphertext.
    """

    ciphertext: bytes | None
    key: KeyReference | None = None
    context: Context | None = None
    dry_run: bool = False
    algorithm: str = SYMMETRIC
    tokens: Tokens = ()


class ReEncrypt(Command, frozen=True, gc=False):
    """Open a ciphertext and seal it under another key or context, without giving out the plaintext."""

    ciphertext: bytes | None
    key: KeyReference
    source: KeyReference | None = None
    context: Context | None = None
    source_context: Context | None = None
    dry_run: bool = False
    algorithm: str = SYMMETRIC
    source_algorithm: str = SYMMETRIC
    tokens: Tokens = ()


class GenerateDataKey(Command, frozen=True, gc=False):
    """A fresh data key in the clear and sealed."""

    key: KeyReference
    length: int  # bytes
    context: Context | None = None
    dry_run: bool = False
    tokens: Tokens = ()


class GenerateDataKeyWithoutPlaintext(Command, frozen=True, gc=False):
    """A fresh data key, sealed only."""

    key: KeyReference
    length: int  # bytes
    context: Context | None = None
    dry_run: bool = False
    tokens: Tokens = ()


class GenerateDataKeyPair(Command, frozen=True, gc=False):
    """A fresh key pair: the public key in the clear, the private key in the clear and sealed."""

    key: KeyReference
    spec: str
    context: Context | None = None
    dry_run: bool = False
    tokens: Tokens = ()


class GenerateDataKeyPairWithoutPlaintext(Command, frozen=True, gc=False):
    """A fresh key pair: the public key in the clear, the private key sealed only."""

    key: KeyReference
    spec: str
    context: Context | None = None
    dry_run: bool = False
    tokens: Tokens = ()


class GenerateRandom(Command, frozen=True, gc=False):
    """Random bytes."""

    length: int


class Sign(Command, frozen=True, gc=False):
    """Sign a message, or its digest; ``kind`` is AWS's MessageType."""

    key: KeyReference
    message: bytes
    algorithm: str
    kind: str = "RAW"
    dry_run: bool = False
    tokens: Tokens = ()


class Verify(Command, frozen=True, gc=False):
    """Check a signature: it is right, or the answer is an error."""

    key: KeyReference
    message: bytes
    signature: bytes
    algorithm: str
    kind: str = "RAW"
    dry_run: bool = False
    tokens: Tokens = ()


class GenerateMac(Command, frozen=True, gc=False):
    """Make the authentication code of a message."""

    key: KeyReference
    message: bytes
    algorithm: str
    dry_run: bool = False
    tokens: Tokens = ()


class VerifyMac(Command, frozen=True, gc=False):
    """Check an authentication code: it is right, or the answer is an error."""

    key: KeyReference
    message: bytes
    mac: bytes
    algorithm: str
    dry_run: bool = False
    tokens: Tokens = ()


class DeriveSharedSecret(Command, frozen=True, gc=False):
    """Agree on a secret with the holder of another key pair (ECDH); ``public_key`` in DER."""

    key: KeyReference
    public_key: bytes
    algorithm: str = "ECDH"
    dry_run: bool = False
    tokens: Tokens = ()


class Encapsulate(Command, frozen=True, gc=False):
    """A fresh secret, in the clear and encapsulated for a key (ML-KEM)."""

    key: KeyReference
    algorithm: str = "ML_KEM"
    dry_run: bool = False
    tokens: Tokens = ()


class Decapsulate(Command, frozen=True, gc=False):
    """The secret that was encapsulated for a key."""

    key: KeyReference
    ciphertext: bytes
    algorithm: str = "ML_KEM"
    dry_run: bool = False
    tokens: Tokens = ()


class GetPublicKey(Command, frozen=True, gc=False):
    """The public half of a key."""

    key: KeyReference
    tokens: Tokens = ()


# Keys.


class CreateKey(Command, frozen=True, gc=False):
    """Make a key. ``policy`` None means the default one."""

    spec: str = SYMMETRIC
    usage: str | None = None
    description: str = ""
    policy: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    bypass_lockout_check: bool = False
    origin: Origin = Origin.AWS_KMS
    multi_region: bool = False
    key_store: str = ""  # the id of a custom key store
    outer_key: str = ""  # the id of the key behind its XKS proxy


class DescribeKey(Command, frozen=True, gc=False):
    """Look at a key."""

    key: KeyReference
    tokens: Tokens = ()


class GetKeyLastUsage(Command, frozen=True, gc=False):
    """When a key was last used, by the audit."""

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


# Imported material.


class GetParametersForImport(Command, frozen=True, gc=False):
    """A public key to wrap material under, and the token to bring it with."""

    key: KeyReference
    algorithm: str
    wrapping_spec: str


class ImportKeyMaterial(Command, frozen=True, gc=False):
    """Bring a key its material. ``valid_to`` None: it does not expire. ``kind`` is AWS's ImportType."""

    key: KeyReference
    token: bytes
    material: bytes
    valid_to: float | None = None
    kind: str | None = None
    description: str | None = None
    material_id: str | None = None


class DeleteImportedKeyMaterial(Command, frozen=True, gc=False):
    """Take a key its material away; the current one, or the one of that id."""

    key: KeyReference
    material_id: str | None = None


class ExpireKeyMaterial(Command, frozen=True, gc=False):
    """Take a key the material that has expired. Asked by the expiry job."""

    key: KeyReference


# Multi-Region keys.


class ReplicateKey(Command, frozen=True, gc=False):
    """Make a replica of a multi-Region primary key in another Region."""

    key: KeyReference
    region: str
    policy: str | None = None
    bypass_lockout_check: bool = False
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()


class UpdatePrimaryRegion(Command, frozen=True, gc=False):
    """Make a replica the primary, and the primary a replica."""

    key: KeyReference
    region: str


class LinkMember(Command, frozen=True, gc=False):
    """A linked server tells of a replica here of one of its primaries, and of what that is like now."""

    news: MemberNews
    sent: int  # microseconds; what was sent before is never taken after it

    @property
    @override
    def about(self) -> str:
        """The member's place."""
        return f"{self.news.region}/{self.news.key_id}"


class LinkStates(Command, frozen=True, gc=False):
    """A linked server asks which of the replicas of its primaries are no more."""

    region: str
    key_ids: tuple[str, ...]


class LinkMove(Command, frozen=True, gc=False):
    """A linked server makes a replica here the primary."""

    news: MoveNews
    sent: int

    @property
    @override
    def about(self) -> str:
        """The new primary's place."""
        return f"{self.news.region}/{self.news.key_id}"


class TellMove(Command, frozen=True, gc=False):
    """What a linked server is to be told of a replica there that is to be the primary."""

    key: KeyReference
    region: str


class MoveTold(Command, frozen=True, gc=False):
    """Whether a linked server has made a replica the primary, or refuses to."""

    key: KeyReference
    region: str
    moved: bool


class TellMember(Command, frozen=True, gc=False):
    """What a linked server is to be told of a replica in one of its Regions."""

    key: KeyReference
    region: str


class MemberTold(Command, frozen=True, gc=False):
    """What a linked server has acknowledged of a replica, or that the replica is no more."""

    key: KeyReference
    region: str
    versions: int = 0
    told: str = ""
    gone: bool = False


# Grants.


class CreateGrant(Command, frozen=True, gc=False):
    """Give a principal permissions on a key. A context constraint is None where there is none."""

    key: KeyReference
    operations: tuple[str, ...]
    grantee: str = ""
    retiring: str = ""
    grantee_service: str = ""
    retiring_service: str = ""
    context_equals: Context | None = None
    context_subset: Context | None = None
    source_arn: str = ""
    name: str = ""
    tokens: Tokens = ()
    dry_run: bool = False


class ListGrants(Command, frozen=True, gc=False):
    """A key's grants: all, one, or those of a grantee."""

    key: KeyReference
    grant_id: str = ""
    grantee: str = ""
    grantee_service: str = ""
    limit: int = 50
    marker: str = ""


class ListRetirableGrants(Command, frozen=True, gc=False):
    """The grants that a principal may retire, in the caller's account and Region."""

    retiring: str = ""
    retiring_service: str = ""
    limit: int = 50
    marker: str = ""


class RevokeGrant(Command, frozen=True, gc=False):
    """End a grant, for the key's side."""

    key: KeyReference
    grant_id: str
    dry_run: bool = False


class RetireGrant(Command, frozen=True, gc=False):
    """End a grant, for the grantee's side: by its token, or by key and id."""

    token: str = ""
    key: KeyReference | None = None
    grant_id: str = ""
    dry_run: bool = False


# Custom key stores.


class CreateCustomKeyStore(Command, frozen=True, gc=False):
    """Register an external key store or an HSM cluster; empty members were not given."""

    name: str
    kind: Kind = Kind.AWS_CLOUDHSM
    cluster: str = ""
    trust_anchor: str = ""
    password: str = ""
    endpoint: str = ""
    path: str = ""
    connectivity: str = ""
    vpc_service: str = ""
    vpc_owner: str = ""
    access_key_id: str = ""
    secret: str = ""


class UpdateCustomKeyStore(Command, frozen=True, gc=False):
    """Change a disconnected key store; empty members stay as they are."""

    key_store_id: str
    new_name: str = ""
    cluster: str = ""
    password: str = ""
    endpoint: str = ""
    path: str = ""
    connectivity: str = ""
    vpc_service: str = ""
    vpc_owner: str = ""
    access_key_id: str = ""
    secret: str = ""


class DescribeCustomKeyStores(Command, frozen=True, gc=False):
    """The key stores of the account and Region: all, or the one of that id or name."""

    key_store_id: str = ""
    key_store_name: str = ""
    limit: int = 100
    marker: str = ""


class ConnectCustomKeyStore(Command, frozen=True, gc=False):
    """Let the keys of a key store be used."""

    key_store_id: str


class DisconnectCustomKeyStore(Command, frozen=True, gc=False):
    """Stop all use of the keys of a key store."""

    key_store_id: str


class DeleteCustomKeyStore(Command, frozen=True, gc=False):
    """Forget a key store that is disconnected and has no keys."""

    key_store_id: str


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
