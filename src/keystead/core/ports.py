"""What the service needs from outside, as small ports.

An adapter is done when it passes the contract tests in ``keystead.testing.contracts``. Adapters
translate whatever happens inside them into :mod:`keystead.core.errors` at their edge, and never
decide who may do what: that is the gate's part.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from keystead.core.declaration import Declaration
from keystead.core.declaration import Kind as DeclarationKind
from keystead.core.grant import Grant
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, Version
from keystead.core.keystore import KeyStore, Problem
from keystead.core.principal import AccessKey, Account, Principal, Provider
from keystead.core.query import Answered, Question
from keystead.core.seal import SealSlot
from keystead.core.spec import SYMMETRIC
from keystead.core.subject import Subject

Random = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""


class Clock(Protocol):
    """Where time comes from, so that tests can stop it, skew it and turn it back."""

    def now(self) -> float:
        """The wall clock, seconds since 1970-01-01T00:00:00Z. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for deadlines and leases."""
        ...


class AuditLog(Protocol):
    """An append-only log with one owner: the process that opened it.

    ``append`` only buffers. What was appended counts once ``commit`` has returned, and then it is on
    disk whatever happens to the process or the power. After a failed ``commit`` nothing appended since
    the last good one counts, the log refuses everything with `AuditUnavailable` at once, and it heals by
    itself when the disk does.
    """

    def append(self, entry: bytes, uses: "Sequence[Used] | None" = None) -> int:
        """Buffer one entry (at most 65,535 bytes) and return its index in the log.

        ``uses`` are the uses of keys that it tells of, from whoever has them at hand; they need not be given.
        Raises `AuditUnavailable` when the log cannot take it.
        """
        ...

    def commit(self) -> None:
        """Make everything appended so far durable, or raise `AuditUnavailable`."""
        ...

    def tend(self) -> None:
        """Housekeeping between requests, about once a second: checkpoint, next segment, healing."""
        ...

    def close(self) -> None:
        """Commit, sign a last checkpoint and let go of the files."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether the next append is expected to succeed."""
        ...

    @property
    def trouble(self) -> str:
        """What the disk refuses at the moment, even while the log still works; empty when nothing."""
        ...


class Cipher(Protocol):
    """One AES-256 key version, ready to use; for one thread at a time."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Nonce, ciphertext and tag, under a fresh nonce."""
        ...

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext, or `InvalidCiphertext`."""
        ...


class KeyPair(Protocol):
    """The private half of one asymmetric key version; safe to use from many threads.

    ``kind`` is AWS's MessageType: RAW, DIGEST or EXTERNAL_MU. An algorithm that is not one of the key's spec is
    the caller's to refuse; a message of the wrong length or form is `InvalidRequest`.
    """

    def sign(self, algorithm: str, kind: str, message: bytes) -> bytes:
        """The signature: DER for ECDSA, the plain bytes for everything else."""
        ...

    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        """RSA-OAEP; `InvalidCiphertext` whatever is wrong."""
        ...

    def agree(self, public_key: bytes) -> bytes:
        """ECDH with a public key in DER (SubjectPublicKeyInfo): the X coordinate. `InvalidRequest` if it is none."""
        ...

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """ML-KEM: 32 bytes, pseudo-random for a ciphertext that is not right; of a wrong length `InvalidCiphertext`."""
        ...


class MacKey(Protocol):
    """One HMAC key version; safe to use from many threads."""

    def mac(self, algorithm: str, message: bytes) -> bytes:
        """The full-length code."""
        ...


@dataclass(frozen=True, slots=True)
class Material:
    """What the custodian says of material it has taken charge of."""

    handle: str  # keep this and the material is kept
    id: str  # 64 hex digits, the same for the same bytes
    public_key: bytes = b""  # of an asymmetric spec: SubjectPublicKeyInfo in DER


@dataclass(frozen=True, slots=True)
class Wrapped:
    """Material on its way in, wrapped for a wrapping key of the custodian's."""

    data: bytes
    algorithm: str  # AWS's WrappingAlgorithm
    handle: str  # of the wrapping key, as `Custodian.generate` gave it
    binding: bytes  # of the wrapping key


class Custodian(Protocol):
    """Holds key material and uses it; material in the clear never crosses this line.

    Safe to call from many threads. `CustodyUnavailable` means nothing happened and the caller may
    try again; every other error is final. A *handle* names material; the store keeps it. ``binding``
    says which account, key, version and purpose the material is for: a handle opens under no other.
    """

    def generate(self, account: str, binding: bytes, spec: str = SYMMETRIC) -> Material:
        """Create material of a key spec. It is as durable as its handle."""
        ...

    def take(self, account: str, binding: bytes, spec: str, wrapped: Wrapped) -> Material:
        """Take charge of material that was made elsewhere.

        Raises `InvalidCiphertext` if it does not unwrap, or is not material of that spec.
        """
        ...

    def cipher(self, account: str, handle: str, binding: bytes) -> Cipher:
        """The symmetric key behind ``handle``; raises `DataDamaged` when the handle does not open."""
        ...

    def key_pair(self, account: str, handle: str, binding: bytes, spec: str) -> KeyPair:
        """The private key behind ``handle``."""
        ...

    def mac_key(self, account: str, handle: str, binding: bytes) -> MacKey:
        """The HMAC key behind ``handle``."""
        ...

    def destroy(self, account: str, handle: str) -> None:
        """Erase the material. Erasing what is already gone succeeds."""
        ...

    @property
    def transfer_identity(self) -> str:
        """Whom other custodians seal material for, and whose signature they check: public keys as one text."""
        ...

    def send(
        self, account: str, handle: str, binding: bytes, spec: str, recipient: str, about: bytes
    ) -> bytes:
        """Material for another custodian (its ``transfer_identity``), or for this one in another Region.

        Only ``recipient`` opens it, and only as what ``about`` says it is.
        """
        ...

    def vouch(self, statement: bytes) -> bytes:
        """The signature, by ``transfer_identity``, of what this installation says to another one."""
        ...

    def receive(
        self, account: str, binding: bytes, spec: str, message: bytes, sender: str, about: bytes
    ) -> Material:
        """Take charge of what ``sender`` has sent here; `InvalidCiphertext` if it is not that, or not of that spec."""
        ...

    def protect(self, account: str, secret: bytes, binding: bytes) -> str:
        """Wrap a secret of the service's own (an access key's, the log's) so that it may be stored."""
        ...

    def reveal(self, account: str, protected: str, binding: bytes) -> bytes:
        """The secret that `protect` wrapped under the same account and binding."""
        ...

    def enroll(self, account: str) -> str:
        """A new key-encryption key for an account, wrapped under the root: store it, then `admit` it."""
        ...

    def admit(self, account: str, wrapped: str) -> None:
        """Open an account's stored key-encryption key for use; raises `DataDamaged` if it does not open."""
        ...

    def knows(self, account: str) -> bool:
        """Whether the account's key-encryption key has been admitted."""
        ...


Used = tuple[tuple[str, int, str, str | None, str], int, str, str]
"""What an entry tells of: (key ARN, version, principal, access key, action), microseconds, request, region.

The key is empty where none was used. The access key is empty where there is none that lasts, and None in what tells of
one more key of a request whose caller is told of already.
"""


@dataclass(frozen=True, slots=True)
class Use:
    """One successful request, as the audit log has it."""

    action: str  # "kms:Decrypt"
    time: float  # Unix seconds
    request: str
    event: str  # names the entry: the log's origin and the index, such as "keystead-1234/w0/567"
    region: str = ""  # that the caller addressed


@dataclass(frozen=True, slots=True)
class LastUse:
    """The last use, if there was one; ``since`` is the time of the first entry of all, 0 when there is none."""

    since: float
    use: Use | None


@dataclass(frozen=True, slots=True)
class Activity:
    """How often a principal has done one thing, and when."""

    action: str
    count: int  # of successful requests
    first: float  # Unix seconds
    last: Use


class Usage(Protocol):
    """What the audit logs say of who used what. Exact: a use that was answered is in it. Any thread.

    Only what succeeded counts. What a session of a role does is the role's, and what temporary credentials of a user
    do is the user's. All raise `AuditUnavailable` when the logs cannot be read, or not in a bounded time.
    """

    def last(self, key_arn: str) -> LastUse:
        """The newest cryptographic operation with a key."""
        ...

    def last_of_access_key(self, access_key_id: str) -> LastUse:
        """The newest request that a long-term access key has signed, whatever it asked."""
        ...

    def last_of_principal(self, arn: str) -> LastUse:
        """The newest request of a principal, whatever it asked."""
        ...

    def uses_of_principal(self, arn: str) -> list[Activity]:
        """What a principal has done, by action."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search of the audit logs has brought: the events' names and their entries, the newest first."""

    entries: tuple[tuple[str, bytes], ...]
    missing: str = ""  # why there may be more, in words; empty when there is not

    @property
    def complete(self) -> bool:
        """Whether these are all."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in its log: the entry, and the text that verifiers read."""

    entry: bytes
    text: str


class Journal(Protocol):
    """Looks entries up in the audit logs of every process, what was committed just now included. Any thread."""

    def find(self, request: str) -> Found:
        """The entries of one request; returns after a bounded time, with what it has found until then."""
        ...

    def prove(self, event: str) -> "Proof | None":
        """A proof that an event is in its log; None while no checkpoint covers it, which takes a second or so.

        Raises `NotFound` for what is no event, or one whose entry was pruned, and `DataDamaged`.
        """
        ...

    def prove_consistency(self, checkpoint: str) -> str:
        """A proof that a log begins with what that checkpoint signed; whoever checks it finds out whether it does.

        Raises `InvalidRequest` for what is no checkpoint, `NotFound`, and `DataDamaged`, also if the log is shorter.
        """
        ...

    def checkpoints(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The statements about the logs' keys, and the newest checkpoints of all logs, as notes."""
        ...


class Records(Protocol):
    """Answers questions about everything that was ever written down. Any thread.

    What was committed before a question is asked is in its answer. Raises `QueryUnavailable` when there is no answer
    in ``seconds``; nothing else is held up by that.
    """

    def ask(self, question: Question, seconds: float) -> Answered:
        """The answer to one question."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change feed: ``kind`` and ``ref`` say what changed, ``request`` who caused it.

    Kinds: ``key`` (ref: Region/key id), ``grants`` (of a key; the same ref), ``key-store`` (ref: its id),
    ``import-offer`` (ref: its id), ``alias`` (ref: alias ARN), ``principal`` (ref: ARN), ``access-key``
    (ref: its id), ``account`` (ref: its id), ``declaration`` (ref: `declaration_ref`), ``provider`` (ref: ARN),
    ``account-key`` (ref: account), ``seal-slot`` (ref: its id), ``setting`` (ref: its name), ``new-subject``
    and, when it is erased, ``subject`` (ref: its commitment, never the value).
    """

    seq: int
    kind: str
    ref: str
    request: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A key behind an XKS proxy, and for whom and why it is used: what the proxy is told of a request."""

    key_store: KeyStore
    secret: bytes = field(repr=False)  # of the proxy credential
    outer_key: str
    key_arn: str
    principal: str
    action: str  # "kms:Decrypt"
    request: str


class ExternalKeys(Protocol):
    """Keys behind XKS proxies (AWS KMS External Key Store Proxy API 1.0.3).

    Every call blocks, but for a bounded time, and may be made from any thread. `CustodyUnavailable` when a proxy is
    slow, down, overloaded or answers nonsense: nothing has happened, and the same may be asked again. What the proxy
    refuses because of the key, the credential or the principal is `InvalidKeyState`.
    """

    def diagnose(self, key_store: KeyStore, secret: bytes, operation: str, request: str) -> Problem | None:
        """GetHealthStatus: what keeps the key store from being connected, if anything does; raises nothing.

        ``operation`` is the one that it is asked for, such as ``CreateCustomKeyStore``.
        """
        ...

    def check_key(self, asked: Outside) -> None:
        """GetKeyMetadata: returns if the key is an enabled AES-256 key that encrypts and decrypts.

        Raises `XksKeyNotFound`, `XksKeyInvalidConfiguration`, `KeyStoreInvalidState` where the proxy does not take
        the credential or the path, or what is said above.
        """
        ...

    def seal(self, asked: Outside, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt; what comes back is a packed `keystead.core.blob.Outer`."""
        ...

    def open(self, asked: Outside, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt what `seal` made; raises `InvalidCiphertext` for anything that is not that."""
        ...


class IdentityTokens(Protocol):
    """Tokens of OpenID Connect issuers (JWS in compact form, RFC 7515 and RFC 7519). Any thread.

    `verify` asks the issuer only for keys that are not known yet, for a bounded time and seldom.
    """

    def issuer(self, token: str) -> str:
        """The ``iss`` that a token claims, unverified, to find its provider; `InvalidIdentityToken` if it is no JWT."""
        ...

    def verify(self, provider: Provider, token: str) -> Mapping[str, str | tuple[str, ...]]:
        """The claims of a token that this provider's issuer signed, for one of its audiences, and valid now.

        Numbers and booleans are given as JSON writes them, lists of strings as tuples; anything else is left out.
        Raises `InvalidIdentityToken`, `ExpiredIdentityToken`, or `ProviderUnreachable` where the issuer had to be
        asked for its keys.
        """
        ...

    def fetch(self, url: str, authorities: str) -> str:
        """The JSON Web Key Set that an issuer publishes, checked, as JSON text.

        Raises `InvalidRequest` for a URL or authorities (PEM) that cannot be those of an issuer, and
        `ProviderUnreachable`, which says what is wrong.
        """
        ...


class View(Protocol):
    """One consistent look at what is stored. Lists come in order of their names, after ``after``."""

    def key(self, region: str, key_id: str) -> Key | None:
        """The key, destroyed ones (tombstones) included."""
        ...

    def keys(self, account: str, region: str, after: str, limit: int) -> list[Key]:
        """Keys by id, without destroyed ones."""
        ...

    def keys_to_destroy(self, now: float, limit: int) -> list[Key]:
        """Keys pending deletion whose date has passed, oldest date first."""
        ...

    def keys_to_rotate(self, now: float, limit: int) -> list[Key]:
        """Enabled keys with automatic rotation whose date has passed, oldest date first."""
        ...

    def keys_to_expire(self, now: float, limit: int) -> list[Key]:
        """Keys with imported material that has expired, oldest date first."""
        ...

    def keys_in_store(self, key_store_id: str, after: str, limit: int) -> list[Key]:
        """The keys of a custom key store by id, without destroyed ones."""
        ...

    def version(self, region: str, key_id: str, number: int) -> Version | None:
        """One version of a key's material."""
        ...

    def versions(self, region: str, key_id: str, after: int, limit: int) -> list[Version]:
        """Versions by number."""
        ...

    def last_version(self, region: str, key_id: str) -> Version | None:
        """The version with the highest number, which may be pending."""
        ...

    def alias(self, account: str, region: str, name: str) -> Alias | None:
        """The alias of that name (``alias/...``)."""
        ...

    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[Alias]:
        """Aliases by name, of one key or of all."""
        ...

    def tags(self, region: str, key_id: str, after: str, limit: int) -> list[tuple[str, str]]:
        """A key's tags by name."""
        ...

    def grant(self, region: str, key_id: str, grant_id: str) -> Grant | None:
        """One grant of a key."""
        ...

    def grants(self, region: str, key_id: str, grantee: str | None, after: str, limit: int) -> list[Grant]:
        """A key's grants by id: all, or those whose grantee (principal or service) is the one named."""
        ...

    def count_grants(self, region: str, key_id: str) -> int:
        """How many grants a key has."""
        ...

    def grants_to(self, principal: str, limit: int) -> list[Grant]:
        """The first of the grants that a principal has, on whatever keys; then, of a role, those of its sessions."""
        ...

    def grants_retired_by(self, principal: str, limit: int) -> list[Grant]:
        """The first of the grants in all Regions that a principal may retire; then, of a role, its sessions."""
        ...

    def retirable_grants(self, retiring: str, region: str, after: str, limit: int) -> list[Grant]:
        """The grants in a Region that a principal (or service) may retire, by id."""
        ...

    def import_offer(self, offer_id: str) -> ImportOffer | None:
        """What was given out for an import and has not been used."""
        ...

    def key_store(self, key_store_id: str) -> KeyStore | None:
        """The custom key store with that id."""
        ...

    def key_stores(self, account: str, region: str, after: str, limit: int) -> list[KeyStore]:
        """Custom key stores by id."""
        ...

    def principal(self, arn: str) -> Principal | None:
        """The principal with that ARN."""
        ...

    def principals(self, account: str, after: str, limit: int) -> list[Principal]:
        """Principals by ARN."""
        ...

    def members(self, group: str, after: str, limit: int) -> list[Principal]:
        """The principals that are in a group (its ARN), by ARN."""
        ...

    def principals_under(self, policy: str, limit: int) -> list[Principal]:
        """The first of the principals that a policy (its ARN) is attached to, or is the boundary of, by ARN."""
        ...

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The access key with that id."""
        ...

    def access_keys(self, principal: str) -> list[AccessKey]:
        """A principal's access keys by id."""
        ...

    def account(self, account_id: str) -> Account | None:
        """The account with that id."""
        ...

    def accounts(self, after: str, limit: int) -> list[Account]:
        """Accounts by id, without the installation's own."""
        ...

    def declaration(self, account: str, kind: DeclarationKind, name: str) -> Declaration | None:
        """The declaration of that name."""
        ...

    def declarations(self, account: str, kind: DeclarationKind, after: str, limit: int) -> list[Declaration]:
        """An account's declarations of one kind by name."""
        ...

    def provider(self, arn: str) -> Provider | None:
        """The identity provider with that ARN."""
        ...

    def providers(self, account: str, after: str, limit: int) -> list[Provider]:
        """An account's identity providers by ARN."""
        ...

    def account_keys(self) -> dict[str, str]:
        """Every account's wrapped key-encryption key, by account."""
        ...

    def seal_slots(self) -> list[SealSlot]:
        """The seal slots by id."""
        ...

    def setting(self, name: str) -> str | None:
        """A setting of the installation, such as its id."""
        ...

    def subject(self, lookup: str) -> Subject | None:
        """The subject of the audit that is found by that."""
        ...

    def subject_of(self, commitment: str) -> Subject | None:
        """The subject with that commitment; None once it is redacted."""
        ...

    def subjects(self, member: str, after: str, limit: int) -> list[Subject]:
        """The subjects of one member of the audit's entries, by commitment."""
        ...

    def room_for_subjects(self, most: int) -> bool:
        """Whether there are fewer subjects than that."""
        ...

    def newest_change(self) -> int:
        """The epoch: the number of the newest change, 0 when there was none."""
        ...

    def changes(self, since: int, limit: int) -> list[Change] | None:
        """Changes after number ``since``, in order; None when some of them are no longer kept."""
        ...

    def changed_by(self, request: str) -> bool:
        """Whether the transaction of that request was committed."""
        ...


class Transaction(View, Protocol):
    """A view that may also write. Every write appends a `Change` in the same transaction."""

    def put_key(self, key: Key) -> None:
        """Store a new key or the new form of one."""
        ...

    def add_version(self, version: Version) -> None:
        """Store a new version; a number that was used before raises `AlreadyExists`."""
        ...

    def put_version(self, version: Version) -> None:
        """Store the new form of a version that exists; the old handle is erased like those of `erase_versions`."""
        ...

    def erase_versions(self, region: str, key_id: str) -> list[Version]:
        """Forget the handles of all versions and return what they were."""
        ...

    def put_alias(self, alias: Alias) -> None:
        """Store a new alias or point an old one elsewhere."""
        ...

    def delete_alias(self, account: str, region: str, name: str) -> None:
        """Remove an alias; removing what is not there succeeds."""
        ...

    def put_tag(self, region: str, key_id: str, name: str, value: str) -> None:
        """Set a tag."""
        ...

    def delete_tag(self, region: str, key_id: str, name: str) -> None:
        """Remove a tag; removing what is not there succeeds."""
        ...

    def put_grant(self, grant: Grant) -> None:
        """Store a new grant."""
        ...

    def delete_grant(self, region: str, key_id: str, grant_id: str) -> None:
        """Remove a grant; removing what is not there succeeds."""
        ...

    def put_import_offer(self, offer: ImportOffer) -> None:
        """Store a new offer."""
        ...

    def delete_import_offer(self, offer_id: str) -> None:
        """Remove an offer; removing what is not there succeeds."""
        ...

    def delete_import_offers(self, before: float) -> None:
        """Remove the offers that were valid until before that time."""
        ...

    def put_key_store(self, key_store: KeyStore) -> None:
        """Store a new custom key store or the new form of one."""
        ...

    def delete_key_store(self, key_store_id: str) -> None:
        """Remove a custom key store; removing what is not there succeeds."""
        ...

    def put_principal(self, principal: Principal) -> None:
        """Store a new principal or the new form of one."""
        ...

    def delete_principal(self, arn: str) -> None:
        """Remove a principal and its access keys."""
        ...

    def put_access_key(self, access_key: AccessKey) -> None:
        """Store a new access key or the new form of one."""
        ...

    def delete_access_key(self, access_key_id: str) -> None:
        """Remove an access key; removing what is not there succeeds."""
        ...

    def put_account(self, account: Account) -> None:
        """Store a new account or the new form of one."""
        ...

    def put_declaration(self, declaration: Declaration) -> None:
        """Store a new declaration or the new form of one."""
        ...

    def delete_declaration(self, account: str, kind: DeclarationKind, name: str) -> None:
        """Remove a declaration; removing what is not there succeeds."""
        ...

    def put_provider(self, provider: Provider) -> None:
        """Store a new identity provider or the new form of one."""
        ...

    def delete_provider(self, arn: str) -> None:
        """Remove an identity provider; removing what is not there succeeds."""
        ...

    def put_account_key(self, account: str, wrapped: str) -> None:
        """Store an account's wrapped key-encryption key."""
        ...

    def put_seal_slot(self, slot: SealSlot) -> None:
        """Store a seal slot."""
        ...

    def delete_seal_slot(self, slot_id: str) -> None:
        """Remove a seal slot; the last one cannot go (`InvalidRequest`)."""
        ...

    def put_setting(self, name: str, value: str) -> None:
        """Store a setting of the installation."""
        ...

    def put_mark(self, name: str, value: str) -> None:
        """Store a setting that is only read at a start: the change feed does not tell of it, so no epoch passes."""
        ...

    def add_subject(self, subject: Subject) -> None:
        """Store a new subject; one with that commitment or lookup that is there already raises `AlreadyExists`."""
        ...

    def erase_subject(self, commitment: str) -> None:
        """Erase a subject's value and salt like the handles of `erase_versions`; doing it again succeeds."""
        ...


class Store(Protocol):
    """Where everything but the audit log is kept. Safe to call from many threads.

    Writes are durable and visible to every process once `transact` has returned without an exception.
    Failures of any kind are `StoreUnavailable` (nothing happened) or `DataDamaged`.
    """

    def transact(self, request: str) -> AbstractContextManager[Transaction]:
        """One write transaction, serial with all others; an exception inside undoes all of it."""
        ...

    def view(self) -> AbstractContextManager[View]:
        """One consistent read."""
        ...

    def pulse(self) -> int:
        """A number that differs from the last one when another connection may have committed.

        A few microseconds, for the thread that first called it only: the check before an answer leaves.
        """
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...
