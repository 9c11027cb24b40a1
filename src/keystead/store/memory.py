"""A store in memory, for tests and for trying things out: it keeps every promise but surviving the process.

A transaction works on its own copy of the tables, and the copy takes the place of the old ones in one step
when the transaction commits. So a view is simply the tables as they were when it was opened, and undoing is
forgetting.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import TypeVar

from typing_extensions import override

from keystead.core.declaration import Declaration, declaration_ref
from keystead.core.declaration import Kind as DeclarationKind
from keystead.core.errors import (
    AlreadyExists,
    ConfigError,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
)
from keystead.core.grant import Grant, sessions_of
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, State, Version, key_ref
from keystead.core.keystore import KeyStore
from keystead.core.ports import Change, Store, Transaction, View
from keystead.core.principal import INSTALLATION, AccessKey, Account, Principal, Provider
from keystead.core.seal import SealSlot
from keystead.core.subject import Subject

T = TypeVar("T")
Name = TypeVar("Name", str, int)


def connect(url: str, *, create: bool = False, now: Callable[[], float] = time.time) -> Store:
    """A new, empty store: in memory there is nothing older to find, so ``create`` goes without saying."""
    del create, now
    if url != "memory:":
        raise ConfigError(f"{url}: a store in memory has no name; write memory:")
    return Memory()


def migrate(url: str) -> tuple[str, str]:
    """A store in memory has no schema, so there is none to bring up to date."""
    connect(url)
    return "", ""


@dataclass(frozen=True, slots=True)
class _Tables:
    """Everything stored, each table by its primary key. Never changed once it can be seen."""

    keys: dict[tuple[str, str], Key] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], Version] = field(default_factory=dict)
    aliases: dict[tuple[str, str, str], Alias] = field(default_factory=dict)
    tags: dict[tuple[str, str, str], str] = field(default_factory=dict)
    grants: dict[tuple[str, str, str], Grant] = field(default_factory=dict)
    import_offers: dict[str, ImportOffer] = field(default_factory=dict)
    key_stores: dict[str, KeyStore] = field(default_factory=dict)
    principals: dict[str, Principal] = field(default_factory=dict)
    access_keys: dict[str, AccessKey] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    declarations: dict[tuple[str, DeclarationKind, str], Declaration] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    account_keys: dict[str, str] = field(default_factory=dict)
    seal_slots: dict[str, SealSlot] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def copy(self) -> "_Tables":
        """The same rows, free to be changed."""
        return _Tables(
            dict(self.keys),
            dict(self.versions),
            dict(self.aliases),
            dict(self.tags),
            dict(self.grants),
            dict(self.import_offers),
            dict(self.key_stores),
            dict(self.principals),
            dict(self.access_keys),
            dict(self.accounts),
            dict(self.declarations),
            dict(self.providers),
            dict(self.account_keys),
            dict(self.seal_slots),
            dict(self.settings),
            dict(self.subjects),
            list(self.changes),
        )


class _View(View):
    """The port's `View` on tables that stand still."""

    def __init__(self, tables: _Tables) -> None:
        self._rows: _Tables | None = tables

    def end(self) -> None:
        """The block is over: let nobody use this any more."""
        self._rows = None

    @property
    def _tables(self) -> _Tables:
        if self._rows is None:
            raise StoreUnavailable("a view or transaction was used after its block had ended")
        return self._rows

    @override
    def key(self, region: str, key_id: str) -> Key | None:
        return self._tables.keys.get((region, key_id))

    @override
    def keys(self, account: str, region: str, after: str, limit: int) -> list[Key]:
        found = (
            key
            for key in self._tables.keys.values()
            if key.account == account and key.region == region and key.state is not State.DESTROYED
        )
        return _page(found, lambda key: key.id, after, limit)

    @override
    def keys_to_destroy(self, now: float, limit: int) -> list[Key]:
        return self._due(
            lambda key: key.state is State.PENDING_DELETION, lambda key: key.deletion_date, now, limit
        )

    @override
    def keys_to_rotate(self, now: float, limit: int) -> list[Key]:
        return self._due(
            lambda key: key.state is State.ENABLED and key.rotation_period_days is not None,
            lambda key: key.next_rotation,
            now,
            limit,
        )

    @override
    def keys_to_expire(self, now: float, limit: int) -> list[Key]:
        return self._due(lambda key: key.state is not State.DESTROYED, lambda key: key.expires, now, limit)

    def _due(
        self, wanted: Callable[[Key], bool], date: Callable[[Key], float | None], now: float, limit: int
    ) -> list[Key]:
        """The wanted keys whose date has come, oldest date first."""
        found = [
            (due, key.region, key.id, key)
            for key in self._tables.keys.values()
            if wanted(key) and (due := date(key)) is not None and due <= now
        ]
        return [key for *_, key in sorted(found, key=lambda row: row[:3])[:limit]]

    @override
    def keys_in_store(self, key_store_id: str, after: str, limit: int) -> list[Key]:
        found = (
            key
            for key in self._tables.keys.values()
            if key_store_id and key.key_store == key_store_id and key.state is not State.DESTROYED
        )
        return _page(found, lambda key: key.id, after, limit)

    @override
    def version(self, region: str, key_id: str, number: int) -> Version | None:
        return self._tables.versions.get((region, key_id, number))

    @override
    def versions(self, region: str, key_id: str, after: int, limit: int) -> list[Version]:
        return _page(self._versions_of(region, key_id), lambda version: version.number, after, limit)

    @override
    def last_version(self, region: str, key_id: str) -> Version | None:
        return max(self._versions_of(region, key_id), key=lambda version: version.number, default=None)

    def _versions_of(self, region: str, key_id: str) -> list[Version]:
        """A key's versions, in any order."""
        return [
            version
            for version in self._tables.versions.values()
            if version.region == region and version.key_id == key_id
        ]

    @override
    def alias(self, account: str, region: str, name: str) -> Alias | None:
        return self._tables.aliases.get((account, region, name))

    @override
    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[Alias]:
        found = (
            alias
            for alias in self._tables.aliases.values()
            if alias.account == account and alias.region == region and key_id in (None, alias.key_id)
        )
        return _page(found, lambda alias: alias.name, after, limit)

    @override
    def tags(self, region: str, key_id: str, after: str, limit: int) -> list[tuple[str, str]]:
        found = (
            (name, value) for (*owner, name), value in self._tables.tags.items() if owner == [region, key_id]
        )
        return _page(found, lambda tag: tag[0], after, limit)

    @override
    def grant(self, region: str, key_id: str, grant_id: str) -> Grant | None:
        found = self._tables.grants.get((region, key_id, grant_id))
        return None if found is None else _own_grant(found)

    @override
    def grants(self, region: str, key_id: str, grantee: str | None, after: str, limit: int) -> list[Grant]:
        found = (
            _own_grant(grant)
            for grant in self._tables.grants.values()
            if grant.region == region
            and grant.key_id == key_id
            and (grantee is None or (grantee and grantee in (grant.grantee, grant.grantee_service)))
        )
        return _page(found, lambda grant: grant.id, after, limit)

    @override
    def count_grants(self, region: str, key_id: str) -> int:
        return sum(place[:2] == (region, key_id) for place in self._tables.grants)

    @override
    def grants_to(self, principal: str, limit: int) -> list[Grant]:
        return self._naming(principal, lambda grant: grant.grantee, limit)

    @override
    def grants_retired_by(self, principal: str, limit: int) -> list[Grant]:
        return self._naming(principal, lambda grant: grant.retiring, limit)

    def _naming(self, principal: str, named: Callable[[Grant], str], limit: int) -> list[Grant]:
        """The first of the grants that name a principal, then of those that name a session of it."""
        sessions = sessions_of(principal)
        found = sorted(
            (arn != principal, arn, place)
            for place, grant in self._tables.grants.items()
            if (arn := named(grant)) == principal or (sessions != "" and arn.startswith(sessions))
        )
        return [_own_grant(self._tables.grants[place]) for *_, place in found[:limit]]

    @override
    def retirable_grants(self, retiring: str, region: str, after: str, limit: int) -> list[Grant]:
        found = (
            _own_grant(grant)
            for grant in self._tables.grants.values()
            if grant.region == region and retiring and retiring in (grant.retiring, grant.retiring_service)
        )
        return _page(found, lambda grant: grant.id, after, limit)

    @override
    def import_offer(self, offer_id: str) -> ImportOffer | None:
        return self._tables.import_offers.get(offer_id)

    @override
    def key_store(self, key_store_id: str) -> KeyStore | None:
        return self._tables.key_stores.get(key_store_id)

    @override
    def key_stores(self, account: str, region: str, after: str, limit: int) -> list[KeyStore]:
        found = (
            key_store
            for key_store in self._tables.key_stores.values()
            if key_store.account == account and key_store.region == region
        )
        return _page(found, lambda key_store: key_store.id, after, limit)

    @override
    def principal(self, arn: str) -> Principal | None:
        return self._tables.principals.get(arn)

    @override
    def principals(self, account: str, after: str, limit: int) -> list[Principal]:
        found = (principal for principal in self._tables.principals.values() if principal.account == account)
        return _page(found, lambda principal: principal.arn, after, limit)

    @override
    def members(self, group: str, after: str, limit: int) -> list[Principal]:
        found = (principal for principal in self._tables.principals.values() if group in principal.groups)
        return _page(found, lambda principal: principal.arn, after, limit)

    @override
    def principals_under(self, policy: str, limit: int) -> list[Principal]:
        found = (
            principal
            for principal in self._tables.principals.values()
            if policy and policy in (*principal.attached, principal.boundary)
        )
        return _page(found, lambda principal: principal.arn, "", limit)

    @override
    def access_key(self, access_key_id: str) -> AccessKey | None:
        return self._tables.access_keys.get(access_key_id)

    @override
    def access_keys(self, principal: str) -> list[AccessKey]:
        found = [key for key in self._tables.access_keys.values() if key.principal == principal]
        return sorted(found, key=lambda key: key.id)

    @override
    def account(self, account_id: str) -> Account | None:
        return self._tables.accounts.get(account_id)

    @override
    def accounts(self, after: str, limit: int) -> list[Account]:
        found = (account for account in self._tables.accounts.values() if account.id != INSTALLATION)
        return _page(found, lambda account: account.id, after, limit)

    @override
    def declaration(self, account: str, kind: DeclarationKind, name: str) -> Declaration | None:
        return self._tables.declarations.get((account, kind, name))

    @override
    def declarations(self, account: str, kind: DeclarationKind, after: str, limit: int) -> list[Declaration]:
        found = (
            declaration
            for declaration in self._tables.declarations.values()
            if declaration.account == account and declaration.kind is kind
        )
        return _page(found, lambda declaration: declaration.name, after, limit)

    @override
    def provider(self, arn: str) -> Provider | None:
        return self._tables.providers.get(arn)

    @override
    def providers(self, account: str, after: str, limit: int) -> list[Provider]:
        found = (provider for provider in self._tables.providers.values() if provider.account == account)
        return _page(found, lambda provider: provider.arn, after, limit)

    @override
    def account_keys(self) -> dict[str, str]:
        return dict(sorted(self._tables.account_keys.items()))

    @override
    def seal_slots(self) -> list[SealSlot]:
        return [_own(slot) for _, slot in sorted(self._tables.seal_slots.items())]

    @override
    def setting(self, name: str) -> str | None:
        return self._tables.settings.get(name)

    @override
    def subject(self, lookup: str) -> Subject | None:
        return next((each for each in self._tables.subjects.values() if each.lookup == lookup), None)

    @override
    def subject_of(self, commitment: str) -> Subject | None:
        return self._tables.subjects.get(commitment)

    @override
    def subjects(self, member: str, after: str, limit: int) -> list[Subject]:
        found = (each for each in self._tables.subjects.values() if each.member == member)
        return _page(found, lambda each: each.commitment, after, limit)

    @override
    def room_for_subjects(self, most: int) -> bool:
        return len(self._tables.subjects) < most

    @override
    def newest_change(self) -> int:
        return self._tables.changes[-1].seq if self._tables.changes else 0

    @override
    def changes(self, since: int, limit: int) -> list[Change] | None:
        feed = self._tables.changes
        oldest = feed[0].seq if feed else 1
        # A number from the future is one from before a restore: what it stands for is not in this store.
        if since < oldest - 1 or since > self.newest_change():
            return None
        start = since - oldest + 1
        return feed[start : start + limit]

    @override
    def changed_by(self, request: str) -> bool:
        return any(change.request == request for change in self._tables.changes)


class _Transaction(_View, Transaction):
    """The port's `Transaction` on tables of its own."""

    def __init__(self, tables: _Tables, request: str) -> None:
        super().__init__(tables)
        self._request = request
        self._changed: set[tuple[str, str]] = set()

    def _wrote(self, kind: str, ref: str) -> None:
        """Say in the change feed that this was written, once for each thing."""
        if (kind, ref) not in self._changed:
            self._changed.add((kind, ref))
            self._tables.changes.append(Change(self.newest_change() + 1, kind, ref, self._request))

    def _need_key(self, region: str, key_id: str) -> None:
        if (region, key_id) not in self._tables.keys:
            raise NotFound("what this refers to does not exist, or no longer")

    @override
    def put_key(self, key: Key) -> None:
        _storable(astuple(key))
        self._tables.keys[key.region, key.id] = key
        self._wrote("key", key.ref)

    @override
    def add_version(self, version: Version) -> None:
        _storable(astuple(version))
        name = (version.region, version.key_id, version.number)
        if name in self._tables.versions:
            raise AlreadyExists(f"version {version.number} of key {version.key_id} exists already")
        self._need_key(version.region, version.key_id)
        self._tables.versions[name] = version
        self._wrote("key", key_ref(version.region, version.key_id))

    @override
    def put_version(self, version: Version) -> None:
        _storable(astuple(version))
        name = (version.region, version.key_id, version.number)
        if name not in self._tables.versions:
            raise NotFound(f"version {version.number} of key {version.key_id} does not exist")
        self._tables.versions[name] = version
        self._wrote("key", key_ref(version.region, version.key_id))

    @override
    def erase_versions(self, region: str, key_id: str) -> list[Version]:
        found = sorted(self._versions_of(region, key_id), key=lambda version: version.number)
        for version in found:
            if version.handle:
                self._tables.versions[region, key_id, version.number] = replace(version, handle="")
                self._wrote("key", key_ref(region, key_id))
        return found

    @override
    def put_alias(self, alias: Alias) -> None:
        _storable(astuple(alias))
        self._need_key(alias.region, alias.key_id)
        self._tables.aliases[alias.account, alias.region, alias.name] = alias
        self._wrote("alias", alias.arn)

    @override
    def delete_alias(self, account: str, region: str, name: str) -> None:
        gone = self._tables.aliases.pop((account, region, name), None)
        if gone is not None:
            self._wrote("alias", gone.arn)

    @override
    def put_tag(self, region: str, key_id: str, name: str, value: str) -> None:
        _storable((name, value))
        self._need_key(region, key_id)
        self._tables.tags[region, key_id, name] = value
        self._wrote("key", key_ref(region, key_id))

    @override
    def delete_tag(self, region: str, key_id: str, name: str) -> None:
        if self._tables.tags.pop((region, key_id, name), None) is not None:
            self._wrote("key", key_ref(region, key_id))

    @override
    def put_grant(self, grant: Grant) -> None:
        _storable(astuple(grant))
        self._need_key(grant.region, grant.key_id)
        self._tables.grants[grant.region, grant.key_id, grant.id] = _own_grant(grant)
        self._wrote("grants", key_ref(grant.region, grant.key_id))

    @override
    def delete_grant(self, region: str, key_id: str, grant_id: str) -> None:
        if self._tables.grants.pop((region, key_id, grant_id), None) is not None:
            self._wrote("grants", key_ref(region, key_id))

    @override
    def put_import_offer(self, offer: ImportOffer) -> None:
        _storable(astuple(offer))
        self._tables.import_offers[offer.id] = offer
        self._wrote("import-offer", offer.id)

    @override
    def delete_import_offer(self, offer_id: str) -> None:
        if self._tables.import_offers.pop(offer_id, None) is not None:
            self._wrote("import-offer", offer_id)

    @override
    def delete_import_offers(self, before: float) -> None:
        old = [
            (offer.valid_to, offer.id)
            for offer in self._tables.import_offers.values()
            if offer.valid_to < before
        ]
        for _, offer_id in sorted(old):
            self.delete_import_offer(offer_id)

    @override
    def put_key_store(self, key_store: KeyStore) -> None:
        _storable(astuple(key_store))
        self._tables.key_stores[key_store.id] = key_store
        self._wrote("key-store", key_store.ref)

    @override
    def delete_key_store(self, key_store_id: str) -> None:
        gone = self._tables.key_stores.pop(key_store_id, None)
        if gone is not None:
            self._wrote("key-store", gone.ref)

    @override
    def put_principal(self, principal: Principal) -> None:
        _storable(astuple(principal))
        self._tables.principals[principal.arn] = principal
        self._wrote("principal", principal.arn)

    @override
    def delete_principal(self, arn: str) -> None:
        for access_key in self.access_keys(arn):
            self.delete_access_key(access_key.id)
        if self._tables.principals.pop(arn, None) is not None:
            self._wrote("principal", arn)

    @override
    def put_access_key(self, access_key: AccessKey) -> None:
        _storable(astuple(access_key))
        if access_key.principal not in self._tables.principals:
            raise NotFound("what this refers to does not exist, or no longer")
        self._tables.access_keys[access_key.id] = access_key
        self._wrote("access-key", access_key.id)

    @override
    def delete_access_key(self, access_key_id: str) -> None:
        if self._tables.access_keys.pop(access_key_id, None) is not None:
            self._wrote("access-key", access_key_id)

    @override
    def put_account(self, account: Account) -> None:
        _storable(astuple(account))
        self._tables.accounts[account.id] = account
        self._wrote("account", account.id)

    @override
    def put_declaration(self, declaration: Declaration) -> None:
        _storable(astuple(declaration))
        place = (declaration.account, declaration.kind, declaration.name)
        self._tables.declarations[place] = declaration
        self._wrote("declaration", declaration_ref(*place))

    @override
    def delete_declaration(self, account: str, kind: DeclarationKind, name: str) -> None:
        if self._tables.declarations.pop((account, kind, name), None) is not None:
            self._wrote("declaration", declaration_ref(account, kind, name))

    @override
    def put_provider(self, provider: Provider) -> None:
        _storable(astuple(provider))
        self._tables.providers[provider.arn] = provider
        self._wrote("provider", provider.arn)

    @override
    def delete_provider(self, arn: str) -> None:
        if self._tables.providers.pop(arn, None) is not None:
            self._wrote("provider", arn)

    @override
    def put_account_key(self, account: str, wrapped: str) -> None:
        self._tables.account_keys[account] = wrapped
        self._wrote("account-key", account)

    @override
    def put_seal_slot(self, slot: SealSlot) -> None:
        _storable(astuple(slot))
        self._tables.seal_slots[slot.id] = _own(slot)
        self._wrote("seal-slot", slot.id)

    @override
    def delete_seal_slot(self, slot_id: str) -> None:
        if list(self._tables.seal_slots) == [slot_id]:
            raise InvalidRequest(f"{slot_id} is the last seal slot: without it nothing opens the root key")
        if self._tables.seal_slots.pop(slot_id, None) is not None:
            self._wrote("seal-slot", slot_id)

    @override
    def put_setting(self, name: str, value: str) -> None:
        _storable((name, value))
        self._tables.settings[name] = value
        self._wrote("setting", name)

    @override
    def put_mark(self, name: str, value: str) -> None:
        _storable((name, value))
        self._tables.settings[name] = value

    @override
    def add_subject(self, subject: Subject) -> None:
        _storable(astuple(subject))
        if self.subject_of(subject.commitment) or self.subject(subject.lookup):
            raise AlreadyExists("there is such a subject already")
        self._tables.subjects[subject.commitment] = subject
        self._wrote("new-subject", subject.commitment)

    @override
    def erase_subject(self, commitment: str) -> None:
        if self._tables.subjects.pop(commitment, None) is not None:
            self._wrote("subject", commitment)


class Memory(Store):
    """The port's `Store` in this process's memory; a child process has a copy that goes its own way."""

    def __init__(self, *, patience: float = 5.0, kept_changes: int = 100_000) -> None:
        self._patience = patience
        self._kept_changes = kept_changes
        self._tables: _Tables | None = _Tables()
        self._commits = 0
        self._writing = threading.Lock()

    @override
    @contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        if not self._writing.acquire(timeout=self._patience):
            raise StoreUnavailable("this process's other transactions have taken too long")
        try:
            tables = self._current().copy()
            transaction = _Transaction(tables, request)
            try:
                yield transaction
            finally:
                transaction.end()
            self._current()  # it may have been closed meanwhile
            del tables.changes[: -self._kept_changes]
            self._tables = tables
            self._commits += 1
        finally:
            self._writing.release()

    @override
    @contextmanager
    def view(self) -> Iterator[View]:
        view = _View(self._current())
        try:
            yield view
        finally:
            view.end()

    @override
    def pulse(self) -> int:
        self._current()
        return self._commits

    @override
    def close(self) -> None:
        self._tables = None

    def _current(self) -> _Tables:
        """What is committed."""
        if self._tables is None:
            raise StoreUnavailable("the store has been closed")
        return self._tables


def _page(rows: Iterable[T], name: Callable[[T], Name], after: Name, limit: int) -> list[T]:
    """The rows that come after ``after`` in the order of their names."""
    return sorted((row for row in rows if name(row) > after), key=name)[:limit]


def _own(slot: SealSlot) -> SealSlot:
    """The slot with parameters that nobody else can change."""
    return replace(slot, parameters=dict(slot.parameters))


def _own_grant(grant: Grant) -> Grant:
    """The grant with contexts that nobody else can change."""
    return replace(
        grant, context_equals=dict(grant.context_equals), context_subset=dict(grant.context_subset)
    )


def _storable(values: Iterable[object]) -> None:
    """Refuse what a file could not hold either."""
    for value in values:
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InvalidRequest(
                    "a text that is not Unicode or a number of more than 64 bits cannot be stored"
                ) from None
        elif isinstance(value, Mapping):
            _storable(value.keys())
            _storable(value.values())
        elif isinstance(value, tuple):
            _storable(value)
