"""What AWS KMS's operations give back, and those that jobs and linked servers add to them."""

from keystead.core.grant import Grant
from keystead.core.key import Alias, Key, Origin, Rotation, Version
from keystead.core.keystore import KeyStore
from keystead.core.ports import Use
from keystead.core.spec import SYMMETRIC
from keystead.service.linking import MemberNews, MoveNews
from keystead.service.results import Result


class Encrypted(Result, gc=False):
    """A blob and the ARN of the key that sealed it."""

    key: str
    blob: bytes
    algorithm: str = SYMMETRIC


class Decrypted(Result, gc=False):
    """A plaintext, and what opened it; the material id is empty for an asymmetric key."""

    key: str
    plaintext: bytes
    material_id: str
    algorithm: str = SYMMETRIC


class ReEncrypted(Result, gc=False):
    """A new blob; both keys by ARN, both materials by id."""

    key: str
    source_key: str
    blob: bytes
    material_id: str
    source_material_id: str
    algorithm: str = SYMMETRIC
    source_algorithm: str = SYMMETRIC


class DataKey(Result, gc=False):
    """A sealed data key, and in the clear where it was asked for."""

    key: str
    blob: bytes
    material_id: str
    plaintext: bytes | None = None


class DataKeyPair(Result, gc=False):
    """A key pair: DER (SubjectPublicKeyInfo, PKCS #8), the private key sealed, and in the clear where asked for."""

    key: str
    spec: str
    public_key: bytes
    blob: bytes
    material_id: str
    private_key: bytes | None = None


class RandomBytes(Result, gc=False):
    """Random bytes."""

    data: bytes


class Signed(Result, gc=False):
    """A signature."""

    key: str
    signature: bytes
    algorithm: str


class Verified(Result, gc=False):
    """The signature or code is right: there is no result that says otherwise."""

    key: str
    algorithm: str


class Coded(Result, gc=False):
    """A message authentication code."""

    key: str
    mac: bytes
    algorithm: str


class Derived(Result, gc=False):
    """A shared secret, and where the key that derived it comes from."""

    key: str
    secret: bytes
    algorithm: str
    origin: Origin


class Encapsulated(Result, gc=False):
    """A shared secret and the ciphertext that carries it."""

    key: str
    secret: bytes
    ciphertext: bytes
    algorithm: str


class Decapsulated(Result, gc=False):
    """The shared secret that a ciphertext carried."""

    key: str
    secret: bytes
    algorithm: str


class PublicKey(Result):
    """The public half of a key, in DER (SubjectPublicKeyInfo)."""

    key: str
    public_key: bytes
    spec: str
    usage: str


class KeyDescription(Result):
    """A key with what stands elsewhere: its current material, and what is shown of a custom key store."""

    key: Key
    material: Version | None
    key_store: KeyStore | None = None

    @property
    def material_id(self) -> str:
        """The material id of the current version; empty if there has never been one."""
        return "" if self.material is None else self.material.material_id


class Replica(Result):
    """A replica key as it was made, with its policy and tags."""

    description: KeyDescription
    policy: str
    tags: list[tuple[str, str]]


class LastUsage(Result):
    """A key's last use, if there was one since ``tracked_since``: when the log or the key began."""

    key: Key
    last: Use | None
    tracked_since: float


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
    """Some versions of a key.

    ``awaits_replicas``: its pending material has not been imported into all replicas yet.
    """

    key: Key
    versions: list[Version]
    marker: str
    awaits_replicas: bool = False


class RotationStatus(Result):
    """A key's rotation settings are members of the key itself.

    ``running_since``: when the rotation that is under way was asked for.
    """

    key: Key
    running_since: float | None = None


class Rotated(Result):
    """A key after its rotation."""

    key: Key
    rotation: Rotation


class DeletionScheduled(Result):
    """A key after its deletion was scheduled or cancelled."""

    key: Key
    window_days: int = 0


class ImportParameters(Result):
    """What material is to be wrapped under, and brought with."""

    key: Key
    token: bytes
    public_key: bytes
    valid_to: float


class Imported(Result):
    """A key and the material that was brought or taken away."""

    key: Key
    material_id: str


class Granted(Result):
    """A grant and a token for it."""

    grant_id: str
    token: str


class GrantPage(Result):
    """Some grants, each with the ARN of its key."""

    grants: list[tuple[str, Grant]]
    marker: str


class KeyStoreCreated(Result):
    """The id of a new custom key store."""

    key_store_id: str


class KeyStorePage(Result):
    """Some custom key stores."""

    key_stores: list[KeyStore]
    marker: str


class Policy(Result):
    """A policy's text."""

    text: str


class Acknowledged(Result, gc=False):
    """What a member on this server has: all versions up to one, or nothing, because it is no more."""

    versions: int
    gone: bool = False


class GoneMembers(Result, gc=False):
    """The ids of the members, of those that were asked about, that are no more."""

    key_ids: list[str]


class Telling(Result, gc=False):
    """What a linked server is to be told of a member; ``told`` is the digest of it."""

    news: MemberNews
    told: str


class Moved(Result, gc=False):
    """Whether the member on this server is the primary now."""

    moved: bool


class TellingMove(Result, gc=False):
    """What a linked server is to be told of a move."""

    news: MoveNews
