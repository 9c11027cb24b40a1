"""The working set: the keys, aliases and credentials that this process has in use.

The hot path never asks the store. It asks the working set, which is filled on demand and kept at the
newest epoch by the store's change feed (`WorkingSet.catch_up`). What is not there raises `NotLoaded`; the
server loads it on another thread and tries the request again. Start-up time and memory do not grow with
the number of keys that exist, only with those in use, up to a bound.

That something does not exist is remembered as well, and forgotten the moment the feed says that it does.
Only one thread may use a working set, but `load` may be called from any.
"""

from base64 import b64decode
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from typing_extensions import override

from keystead.core import blob
from keystead.core.errors import DataDamaged, InvalidKeyState, KeysteadError
from keystead.core.grant import Grant
from keystead.core.key import TRANSITIONS, Event, Key, State, key_ref, version_binding
from keystead.core.keystore import Connection, KeyStore, credential_binding
from keystead.core.names import KeyReference
from keystead.core.policy import Document, Ruling, parse_key_policy
from keystead.core.ports import Cipher, Custodian, KeyPair, MacKey, Store, View
from keystead.core.principal import Session, secret_binding
from keystead.core.spec import SPECS, SYMMETRIC, algorithms
from keystead.crypto.publickey import PublicKey
from keystead.crypto.secret import Secret
from keystead.service.accounts import open_account
from keystead.service.caller import Identity
from keystead.service.identities import identify, lives, rests_on
from keystead.service.subjects import Named, Subjects

CHANGES_AT_ONCE: Final = 10_000  # more than that, and starting afresh is cheaper
VERSIONS_OF_ONE_KEY: Final = 10_240  # older versions held for one key
NAMES_OF_ONE_KEY: Final = 10_000  # tags or aliases: more than the quotas let anybody make
GRANTEES_OF_ONE_KEY: Final = 1_024  # principals whose grants on one key are held
GRANTS_OF_ONE_GRANTEE: Final = 10_000  # that count, of one principal on one key
_OF_CREDENTIALS: Final = ("principal", "declaration", "access-key")  # changes that credentials may rest on
_NEVER: Final = 2**63  # microseconds
_NONE: Final = Secret(b"")


class Held:
    """Something in the working set; ``used`` gives it a second chance when room is needed."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = True


class Bounded(dict[object, Held]):
    """A map that keeps at most ``limit`` values; the oldest that nobody used since goes first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def keep(self, name: object, held: Held) -> None:
        """Add or replace a value."""
        self.pop(name, None)
        while len(self) >= self.limit:
            oldest = next(iter(self))
            candidate = self.pop(oldest)
            if candidate.used:  # a second chance, at the end of the queue
                candidate.used = False
                self[oldest] = candidate
        self[name] = held


class Absent(Held):
    """The knowledge that something does not exist, or counts for nothing because of what the change feed calls so."""

    __slots__ = ("refs",)

    def __init__(self, *refs: str) -> None:
        super().__init__()
        self.refs = refs


class Material(Held):
    """One version of a key, ready to use. Which of the tools is there depends on the key's spec."""

    __slots__ = ("cipher", "mac", "material_id", "pair", "public")

    # An action that the gate let through uses the tool that its usage has, so each is declared as if it were there.
    cipher: Cipher
    pair: KeyPair
    public: PublicKey
    mac: MacKey

    def __init__(self, material_id: str) -> None:
        super().__init__()
        self.material_id = material_id


class HeldGrants(Held):
    """The grants that one principal has on one key."""

    __slots__ = ("grants",)

    def __init__(self, grants: tuple[Grant, ...]) -> None:
        super().__init__()
        self.grants = grants


class HeldKey(Held):
    """One key with its compiled policy and its current version, if it has material."""

    __slots__ = (
        "algorithms",
        "aliases",
        "arn",
        "cipher",
        "expires",
        "grants",
        "header",
        "key",
        "key_store",
        "mac",
        "material_id",
        "older",
        "pair",
        "policy",
        "public",
        "rulings",
        "secret",
        "slow",
        "tags",
        "usable",
        "version",
    )

    cipher: Cipher
    pair: KeyPair
    public: PublicKey
    mac: MacKey

    def __init__(
        self, key: Key, policy: Document, current: Material | None, outside: "HeldKeyStore | None" = None
    ) -> None:
        super().__init__()
        self.key = key
        self.key_store = None if outside is None else outside.key_store
        self.secret = _NONE if outside is None else outside.secret  # of the key store's credential
        self.arn = key.arn
        self.policy = policy
        self.version = key.current_version
        self.algorithms = algorithms(key.spec, key.usage)
        self.slow = SPECS[key.spec].slow
        self.usable = current is not None and (key.state, Event.USE) in TRANSITIONS
        self.expires = int(key.expires * 1e6) if key.expires is not None else _NEVER
        self.material_id = ""
        if current is not None:
            self.material_id = current.material_id
            for tool in ("cipher", "pair", "public", "mac"):
                if hasattr(current, tool):
                    setattr(self, tool, getattr(current, tool))
        if outside is not None:
            self.material_id = ""  # ours is only half of such a key
            self.usable = self.usable and outside.key_store.connection is Connection.CONNECTED
        self.header = blob.header(key.id, key.current_version, external=outside is not None)
        self.older = Bounded(VERSIONS_OF_ONE_KEY)  # version number -> Material
        self.grants = Bounded(GRANTEES_OF_ONE_KEY)  # principal -> HeldGrants
        self.rulings: dict[tuple[Identity, str], Ruling] = {}
        self.tags: list[tuple[str, str]] = []  # for the conditions of policies, as are the aliases
        self.aliases: list[str] = []

    def refusal(self) -> KeysteadError:
        """The error for using a key that cannot be used."""
        if self.key_store is not None and (self.key.state, Event.USE) in TRANSITIONS:
            return InvalidKeyState(
                f"{self.arn} is unavailable: its custom key store is not connected. Connect the key store and try "
                "again."
            )
        return self.key.refusal(Event.USE)


class HeldKeyStore(NamedTuple):
    """The external key store that a key is in, with the secret of its credential."""

    key_store: KeyStore
    secret: Secret


class HeldAlias(Held):
    """Where an alias points."""

    __slots__ = ("key_id",)

    def __init__(self, key_id: str) -> None:
        super().__init__()
        self.key_id = key_id


class HeldCommitment(Held):
    """What entries hold instead of a value; ``kept`` says whether anybody can tell the value by it."""

    __slots__ = ("commitment", "kept")

    def __init__(self, commitment: str, *, kept: bool) -> None:
        super().__init__()
        self.commitment = commitment
        self.kept = kept


class HeldCommitments(Held):
    """Some of these, in the order in which they were wanted."""

    __slots__ = ("each",)

    def __init__(self, each: tuple[HeldCommitment, ...]) -> None:
        super().__init__()
        self.each = each


class HeldCredential(Held):
    """An enabled access key of an enabled principal, or the credentials of a session, with the secret."""

    __slots__ = ("access_key_id", "identity", "proof", "secret", "token")

    def __init__(
        self, access_key_id: str, secret: Secret, identity: Identity, token: Secret | None = None
    ) -> None:
        super().__init__()
        self.access_key_id = access_key_id
        self.secret = secret
        self.identity = identity
        self.token = token  # of a session
        self.proof: object = None  # a front's own form of this credential

    @override
    def __repr__(self) -> str:
        return f"<HeldCredential {self.access_key_id}>"


@dataclass(frozen=True, slots=True)
class Presented:
    """Session credentials that somebody has presented: a token of ours, and what was in it."""

    session: Session
    secret: Secret = field(compare=False)
    token: Secret = field(compare=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is missing: ``kind`` is key, version, grants, alias, access-key, session or subjects."""

    kind: str
    ref: str  # the key's id, the alias's name, the access key's id
    number: int = 0
    account: str = ""  # of an alias
    region: str = ""  # of a key, with its versions and grants, or an alias
    principal: str = ""  # the grantee
    presented: Presented | None = None  # of a session
    subjects: tuple[Named, ...] = ()
    stranger: bool = False  # the subjects are of somebody who has not proven who it is


class NotLoaded(Exception):
    """The working set lacks something that the store may have."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted.kind)
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `WorkingSet.load` found, and the epoch it was true at."""

    wanted: Wanted
    epoch: int
    found: Held


class WorkingSet:
    """See the module. ``epoch`` is the newest change that everything held here has taken in."""

    def __init__(
        self,
        store: Store,
        custodian: Custodian,
        *,
        keys: int = 100_000,
        materials: int = 50_000,
        subjects: Subjects | None = None,
    ) -> None:
        self.epoch = 0
        self._subjects = subjects
        self._commitments = Bounded(keys)  # (member, value) -> HeldCommitment
        self._commitment_of: dict[str, Named] = {}  # the reverse, of all that is held and perhaps more
        self.unkept = False  # whether commitments are held that nobody can tell a value by
        self._store = store
        self._custodian = custodian
        self._keys = Bounded(keys)
        self._aliases = Bounded(keys)
        self._credentials = Bounded(keys)  # those that the store has
        self._sessions = Bounded(keys)
        self._materials_limit = materials
        self._materials_held = 0  # at most this many older versions are held
        self._pulse = store.pulse()
        with store.view() as view:
            self.epoch = view.newest_change()
        self._recent: deque[tuple[int, str]] = deque()  # changes taken in, by number
        self._recent_from = self.epoch  # all after this one are there

    # What is held. Each raises `NotLoaded` when the store has to be asked.

    def key(self, region: str, key_id: str) -> HeldKey | None:
        """The key, or None when there is none (any more)."""
        held = self._keys.get(f"{region}/{key_id}")  # as `key_ref` has it
        if held is None:
            raise NotLoaded(Wanted("key", key_id, region=region))
        held.used = True
        return held if type(held) is HeldKey else None

    def material(self, held: HeldKey, number: int) -> Material | None:
        """A version of a key other than its current one, or None when there is none."""
        material = held.older.get(number)
        if material is None:
            raise NotLoaded(Wanted("version", held.key.id, number, region=held.key.region))
        material.used = True
        return material if type(material) is Material else None

    def grants(self, held: HeldKey, principal: str) -> tuple[Grant, ...]:
        """The grants of a principal on a key."""
        found = held.grants.get(principal)
        if found is None:
            raise NotLoaded(Wanted("grants", held.key.id, region=held.key.region, principal=principal))
        found.used = True
        return found.grants if type(found) is HeldGrants else ()

    def alias(self, reference: KeyReference, account: str, region: str) -> str | None:
        """The id of the key an alias points at."""
        arn = f"arn:aws:kms:{region}:{account}:{reference.name}"
        held = self._aliases.get(arn)
        if held is None:
            raise NotLoaded(Wanted("alias", reference.name, account=account, region=region))
        held.used = True
        return held.key_id if type(held) is HeldAlias else None

    def credential(self, access_key_id: str) -> HeldCredential | None:
        """The long-term credential behind an access key id, or None when there is no enabled one."""
        held = self._credentials.get(access_key_id)
        if held is None:
            raise NotLoaded(Wanted("access-key", access_key_id))
        held.used = True
        return held if type(held) is HeldCredential else None

    def session(self, access_key_id: str) -> HeldCredential | None:
        """The credentials of a session, or None when it counts no more.

        They are kept apart: anybody may have the store asked for an access key, and that it has none of that name says
        nothing about a session.
        """
        held = self._sessions.get(access_key_id)
        if held is None:
            raise NotLoaded(Wanted("session", access_key_id))
        held.used = True
        return held if type(held) is HeldCredential else None

    def commitment(self, named: Named) -> str | None:
        """What entries hold instead of a value; None when that is not known here."""
        held = self._commitments.get(named)
        if type(held) is not HeldCommitment:
            return None
        held.used = True
        return held.commitment

    # Filling it.

    def load(self, wanted: Wanted) -> Loaded:
        """Fetch what is wanted from the store; safe on any thread."""
        if wanted.subjects and self._subjects is not None:
            epoch, found_ones = self._subjects.keep(wanted.subjects, stranger=wanted.stranger)
            held = tuple(HeldCommitment(each.commitment, kept=each.kept) for each in found_ones)
            return Loaded(wanted, epoch, HeldCommitments(held))
        with self._store.view() as view:
            epoch = view.newest_change()
            if wanted.kind == "key":
                found = self._load_key(view, wanted.region, wanted.ref)
            elif wanted.kind == "version":
                key = view.key(wanted.region, wanted.ref)
                found = Absent() if key is None else self._load_version(view, key, wanted.number)
            elif wanted.kind == "grants":
                grants = view.grants(wanted.region, wanted.ref, wanted.principal, "", GRANTS_OF_ONE_GRANTEE)
                found = HeldGrants(tuple(grants))
            elif wanted.kind == "alias":
                alias = view.alias(wanted.account, wanted.region, wanted.ref)
                found = Absent() if alias is None else HeldAlias(alias.key_id)
            elif wanted.presented is not None:
                found = self._load_session(view, wanted.presented)
            else:
                found = self._load_credential(view, wanted.ref)
        return Loaded(wanted, epoch, found)

    def admit(self, loaded: Loaded) -> None:
        """Take in what `load` found, unless that has changed since: then it is asked for again."""
        if loaded.epoch < self.epoch:
            changed = self.changed_since(loaded.epoch)
            if changed is None or not changed.isdisjoint(_refs(loaded)):
                return
        wanted = loaded.wanted
        if isinstance(loaded.found, HeldCommitments):
            self._admit_commitments(wanted, loaded.found)
        elif wanted.kind == "key":
            self._keys.keep(key_ref(wanted.region, wanted.ref), loaded.found)
        elif wanted.kind in ("version", "grants"):
            self._admit_part(wanted, loaded.found)
        elif wanted.kind == "alias":
            self._aliases.keep(f"arn:aws:kms:{wanted.region}:{wanted.account}:{wanted.ref}", loaded.found)
        elif wanted.kind == "session":
            self._sessions.keep(wanted.ref, loaded.found)
        else:
            self._credentials.keep(wanted.ref, loaded.found)

    def catch_up(self) -> None:
        """Take in what has changed elsewhere, up to now.

        This is the check before an answer leaves. It costs one `Store.pulse` while nothing changes.
        """
        pulse = self._store.pulse()
        if pulse == self._pulse:
            return
        with self._store.view() as view:
            changes = view.changes(self.epoch, CHANGES_AT_ONCE)
            newest = view.newest_change()
        self._pulse = pulse
        if changes is None or len(changes) == CHANGES_AT_ONCE:
            self._forget_everything()
            self._recent.clear()
            self._recent_from = newest
        else:
            self._forget_who({change.ref for change in changes if change.kind in _OF_CREDENTIALS})
            for change in changes:
                self._forget(change.kind, change.ref)
                if len(self._recent) == CHANGES_AT_ONCE:
                    self._recent_from = self._recent.popleft()[0]
                self._recent.append((change.seq, change.ref))
        self.epoch = newest

    def changed_since(self, epoch: int) -> frozenset[str] | None:
        """What has changed after ``epoch``, as far as `catch_up` has gone; None: it could be anything."""
        # A number from the future was given out before a restore: what it stands for is not in this store.
        if not self._recent_from <= epoch <= self.epoch:
            return None
        newer = takewhile(lambda change: change[0] > epoch, reversed(self._recent))
        return frozenset(ref for _, ref in newer)

    def _load_key(self, view: View, region: str, key_id: str) -> Held:
        key = view.key(region, key_id)
        if key is None or key.state is State.DESTROYED:
            return Absent()
        policy = parse_key_policy(key.policy)
        current = self._load_version(view, key, key.current_version)
        if isinstance(current, Material):
            outside = self._load_key_store(view, key) if key.key_store else None
            held = HeldKey(key, policy, current, outside)
            _name(view, held)
            return held
        if (key.state, Event.USE) in TRANSITIONS:
            raise DataDamaged(
                f"Key {key.id} has no version {key.current_version}: restore the data from a backup."
            )
        held = HeldKey(key, policy, None)
        _name(view, held)
        return held

    def _load_key_store(self, view: View, key: Key) -> HeldKeyStore:
        key_store = view.key_store(key.key_store)
        if key_store is None:
            raise DataDamaged(f"Key {key.id} has lost its custom key store: restore the data from a backup.")
        secret = self._custodian.reveal(
            key_store.account, key_store.protected, credential_binding(key_store.id)
        )
        return HeldKeyStore(key_store, Secret(secret))

    def _load_version(self, view: View, key: Key, number: int) -> Held:
        version = view.version(key.region, key.id, number)
        if version is None or not version.handle:
            return Absent()
        open_account(self._custodian, view, key.account)
        material = Material(version.material_id)
        place = key.account, version.handle, version_binding(key.id, number)
        if key.spec == SYMMETRIC:
            material.cipher = self._custodian.cipher(*place)
        elif SPECS[key.spec].asymmetric:
            material.pair = self._custodian.key_pair(*place, key.spec)
            material.public = PublicKey(key.spec, b64decode(version.public_key))
        else:
            material.mac = self._custodian.mac_key(*place)
        return material

    def _load_credential(self, view: View, access_key_id: str) -> Held:
        access_key = view.access_key(access_key_id)
        if access_key is None or not access_key.enabled:
            return Absent()
        principal = view.principal(access_key.principal)
        if principal is None or not principal.enabled:
            return Absent(access_key.principal)
        open_account(self._custodian, view, principal.account)
        secret = self._custodian.reveal(
            principal.account, access_key.protected, secret_binding(access_key_id)
        )
        return HeldCredential(access_key_id, Secret(secret), identify(view, principal))

    def _load_session(self, view: View, presented: Presented) -> Held:
        session = presented.session
        principal = view.principal(session.principal)
        # Whether it is over is looked at each time that it is used.
        if principal is None or not lives(view, session, session.issued):
            return Absent(*rests_on(session))
        identity = identify(view, principal, session)
        return HeldCredential(session.access_key, presented.secret, identity, presented.token)

    def _admit_part(self, wanted: Wanted, found: Held) -> None:
        held = self._keys.get(key_ref(wanted.region, wanted.ref))
        if not isinstance(held, HeldKey):  # evicted meanwhile: the next try loads the key first
            return
        if wanted.kind == "grants":
            held.grants.keep(wanted.principal, found)
            return
        held.older.keep(wanted.number, found)
        self._materials_held += 1
        if self._materials_held > self._materials_limit:  # rare: make room for all at once
            self._materials_held = 0
            for other in self._keys.values():
                if isinstance(other, HeldKey):
                    other.older.clear()

    def _admit_commitments(self, wanted: Wanted, found: HeldCommitments) -> None:
        if len(self._commitment_of) >= 2 * self._commitments.limit:  # of many that are not held any more
            self._forget_commitments()
        for named, held in zip(wanted.subjects, found.each, strict=True):
            self._commitments.keep(named, held)
            self._commitment_of[held.commitment] = named
            self.unkept = self.unkept or not held.kept

    def forget_unkept(self) -> None:
        """Forget the commitments that nobody can tell a value by: perhaps there is one now that can be kept."""
        self.unkept = False
        gone = [
            named
            for named, held in self._commitments.items()
            if isinstance(held, HeldCommitment) and not held.kept
        ]
        for named in gone:
            del self._commitments[named]

    def _forget_commitments(self) -> None:
        self._commitments.clear()
        self._commitment_of.clear()

    def _forget(self, kind: str, ref: str) -> None:
        if kind == "key":
            self._keys.pop(ref, None)
        elif kind == "grants":
            held = self._keys.get(ref)
            if isinstance(held, HeldKey):
                held.grants.clear()
        elif kind == "key-store":
            inside = [
                name
                for name, held in self._keys.items()
                if isinstance(held, HeldKey) and held.key.key_store == ref
            ]
            for name in inside:
                del self._keys[name]
        elif kind == "alias":
            self._aliases.pop(ref, None)
        elif kind == "access-key":
            self._credentials.pop(ref, None)
        elif kind == "subject":
            self._commitments.pop(self._commitment_of.pop(ref, None), None)

    def _forget_who(self, refs: set[str]) -> None:
        """Forget all credentials that rest on any of these; all are looked at once, however many changes there are."""
        for credentials in (self._credentials, self._sessions) if refs else ():
            gone = [name for name, held in credentials.items() if not refs.isdisjoint(_rests_on(held))]
            for name in gone:
                del credentials[name]

    def _forget_everything(self) -> None:
        for held in (self._keys, self._aliases, self._credentials, self._sessions):
            held.clear()
        self._forget_commitments()


def _name(view: View, held: HeldKey) -> None:
    """Give a key what it is called by others. A change of that is one of the key in the change feed."""
    key = held.key
    held.tags = view.tags(key.region, key.id, "", NAMES_OF_ONE_KEY)
    aliases = view.aliases(key.account, key.region, key.id, "", NAMES_OF_ONE_KEY)
    held.aliases = [alias.name for alias in aliases]


def _refs(loaded: Loaded) -> tuple[str, ...]:
    """The names under which the change feed would tell of what was loaded."""
    wanted, found = loaded.wanted, loaded.found
    if isinstance(found, HeldCommitments):
        return tuple(held.commitment for held in found.each)
    if wanted.kind == "alias":
        return (f"arn:aws:kms:{wanted.region}:{wanted.account}:{wanted.ref}",)
    if wanted.region:  # a key, a version, the grants of a key
        ref = key_ref(wanted.region, wanted.ref)
        return (ref, found.key.key_store) if isinstance(found, HeldKey) else (ref,)
    return (wanted.ref, *_rests_on(found))


def _rests_on(held: Held) -> tuple[str, ...]:
    """What a credential, or the lack of one, depends on, as the change feed names it."""
    if isinstance(held, HeldCredential):
        return held.identity.refs
    return held.refs if isinstance(held, Absent) else ()
