"""The embedded store: one SQLite file, for every process on one machine.

    sqlite:///var/lib/keystead/keystead.db

**Durable.** The file is in WAL mode with ``synchronous=FULL``: a transaction is on the disk's medium when
`Sqlite.transact` returns. **One writer.** ``BEGIN IMMEDIATE`` takes the write lock before the first look,
so what a transaction has read still holds when it writes; others wait, for a bounded time. Readers never wait
for a writer: each has the snapshot of its first look. **Seen at once.** `Sqlite.pulse` differs from the last
one once any other connection, of this process or another, has committed.

Statements are built with SQLAlchemy once, when this module is imported, and say nothing but the upsert in
SQLite's own dialect. Whatever goes wrong below is translated here, where it happens: a `_Session` is the one
thing that talks to the database.

SQLite's locks belong to a process, and a connection must not cross a fork. Connections are therefore kept
by process id: close the store before forking, and if that is forgotten, the child opens its own and
leaves the parent's alone.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    QueuePool,
    Row,
    Select,
    Table,
    TextClause,
    bindparam,
    create_engine,
    delete,
    event,
    exc,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from typing_extensions import override

from keystead.core.declaration import Declaration, declaration_ref
from keystead.core.declaration import Kind as DeclarationKind
from keystead.core.errors import (
    AlreadyExists,
    ConfigError,
    DataDamaged,
    InvalidRequest,
    KeysteadError,
    NotFound,
    StoreUnavailable,
)
from keystead.core.grant import Grant, sessions_of
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, Version, key_ref
from keystead.core.keystore import KeyStore
from keystead.core.ports import Change, Store, Transaction, View
from keystead.core.principal import INSTALLATION, AccessKey, Account, Principal, Provider
from keystead.core.seal import SealSlot
from keystead.core.subject import PREFIX, Subject
from keystead.store.schema import migration, rows, tables

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that a transaction waits for the others of its process, and then for other processes."""
READERS = 16
"""Views that may be open in one process at once; further ones wait, as long as a writer would."""
KEPT_CHANGES = 100_000
"""Rows of the change feed that are kept: who was away for longer starts from an empty cache."""
PRUNE_EVERY = 1_000
"""The feed is pruned when its number passes a multiple of this."""
ERASED = "erased:"
"""What the commitment of an erased subject begins with: as long as `PREFIX`, and before it in the order."""
CHECKED_BYTES = 64 * 1024 * 1024
"""Up to this size (some 30 ms) the whole file is checked whenever it is opened."""


def connect(url: str, *, create: bool = False, now: Callable[[], float] = time.time) -> Store:
    """Open the store in the file that ``url`` names, its schema brought up to date."""
    path = _path(url)
    if create:
        _create(path)
    _prepare(path, create=create)
    return Sqlite(path, now=now)


def migrate(url: str) -> tuple[str, str]:
    """Bring the schema up to date; returns the revisions before and after."""
    return _prepare(_path(url), create=False)


# --- statements ------------------------------------------------------------------------------------------


def _by(table: Table, *columns: str) -> list[Any]:
    """The conditions that these columns equal the parameters of their names."""
    return [table.c[name] == bindparam(name) for name in columns]


def _put(table: Table) -> Executable:
    """Insert a row, or replace the one with its primary key."""
    statement = upsert(table)
    own = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.c if column.name not in own}
    return statement.on_conflict_do_update(index_elements=own, set_=rest)


def _page(query: Select[Any], *order: Any) -> Select[Any]:  # noqa: ANN401 - a column of any type
    """A page of a list: what comes after ``after`` in the order of the last of these columns."""
    return query.where(order[-1] > bindparam("after")).order_by(*order).limit(bindparam("limit"))


def _beginning(column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """The conditions that a name begins as ``first`` does: a range, so that it is found along an index."""
    return [column >= bindparam("first"), column < bindparam("beyond")]


def _due(condition: TextClause, date: ColumnElement[Any], *more: ColumnElement[bool]) -> Select[Any]:
    """The keys of an index whose date has come, oldest date first."""
    query = select(tables.keys).where(condition, date <= bindparam("now"), *more)
    return query.order_by(date, _k.region, _k.id).limit(bindparam("limit"))


_k, _v, _a, _p, _c = tables.keys.c, tables.versions.c, tables.aliases.c, tables.principals.c, tables.changes.c
_g, _o, _s = tables.grants.c, tables.import_offers.c, tables.key_stores.c
_l = tables.principal_links.c

KEY = select(tables.keys).where(*_by(tables.keys, "region", "id"))
KEYS = _page(select(tables.keys).where(*_by(tables.keys, "account", "region"), tables.NOT_DESTROYED), _k.id)
KEYS_TO_DESTROY = _due(tables.PENDING_DELETION, _k.deletion_date)
KEYS_TO_ROTATE = _due(tables.ROTATED_BY_ITSELF, _k.next_rotation, _k.rotation_period_days.is_not(None))
KEYS_TO_EXPIRE = _due(tables.EXPIRING, _k.expires)
KEYS_IN_STORE = _page(select(tables.keys).where(*_by(tables.keys, "key_store"), tables.IN_STORE), _k.id)
VERSION = select(tables.versions).where(*_by(tables.versions, "region", "key_id", "number"))
EVERY_VERSION = select(tables.versions).where(*_by(tables.versions, "region", "key_id")).order_by(_v.number)
VERSIONS = EVERY_VERSION.where(_v.number > bindparam("after")).limit(bindparam("limit"))
LAST_VERSION = EVERY_VERSION.order_by(None).order_by(_v.number.desc()).limit(1)
ALIAS = select(tables.aliases).where(*_by(tables.aliases, "account", "region", "name"))
ALIASES = _page(select(tables.aliases).where(*_by(tables.aliases, "account", "region")), _a.name)
ALIASES_OF_KEY = _page(
    select(tables.aliases).where(*_by(tables.aliases, "key_id", "account", "region")), _a.name
)
TAGS = _page(
    select(tables.tags.c.name, tables.tags.c.value).where(*_by(tables.tags, "region", "key_id")),
    tables.tags.c.name,
)
GRANT = select(tables.grants).where(*_by(tables.grants, "region", "key_id", "id"))
GRANTS = _page(select(tables.grants).where(*_by(tables.grants, "region", "key_id")), _g.id)
# Whoever is named is a principal or a service. Each is looked up along its own index; asked for both at once,
# the database would have to sort. None is found twice: the second does not repeat what the first has.
GRANTS_OF_PRINCIPAL = GRANTS.where(tables.FOR_PRINCIPAL, _g.grantee == bindparam("named"))
GRANTS_OF_SERVICE = GRANTS.where(
    tables.FOR_SERVICE, _g.grantee_service == bindparam("named"), _g.grantee != bindparam("named")
)
COUNT_GRANTS = select(func.count()).select_from(tables.grants).where(*_by(tables.grants, "region", "key_id"))
_GRANTS_TO = select(tables.grants).where(tables.FOR_PRINCIPAL).limit(bindparam("limit"))
GRANTS_TO = _GRANTS_TO.where(_g.grantee == bindparam("named")).order_by(_g.region, _g.key_id, _g.id)
GRANTS_TO_SESSIONS = _GRANTS_TO.where(*_beginning(_g.grantee)).order_by(
    _g.grantee, _g.region, _g.key_id, _g.id
)
_RETIRED = select(tables.grants).where(tables.RETIRED_BY_PRINCIPAL).limit(bindparam("limit"))
GRANTS_RETIRED_BY = _RETIRED.where(_g.retiring == bindparam("named")).order_by(_g.region, _g.id)
GRANTS_RETIRED_BY_SESSIONS = _RETIRED.where(*_beginning(_g.retiring)).order_by(_g.retiring, _g.region, _g.id)
_RETIRABLE = _page(select(tables.grants).where(*_by(tables.grants, "region")), _g.id)
RETIRED_BY_PRINCIPAL = _RETIRABLE.where(tables.RETIRED_BY_PRINCIPAL, _g.retiring == bindparam("named"))
RETIRED_BY_SERVICE = _RETIRABLE.where(
    tables.RETIRED_BY_SERVICE, _g.retiring_service == bindparam("named"), _g.retiring != bindparam("named")
)
IMPORT_OFFER = select(tables.import_offers).where(*_by(tables.import_offers, "id"))
ENDED_OFFERS = select(_o.id).where(_o.valid_to < bindparam("before")).order_by(_o.valid_to, _o.id)
KEY_STORE = select(tables.key_stores).where(*_by(tables.key_stores, "id"))
KEY_STORES = _page(select(tables.key_stores).where(*_by(tables.key_stores, "account", "region")), _s.id)
PRINCIPAL = select(tables.principals).where(*_by(tables.principals, "arn"))
PRINCIPALS = _page(select(tables.principals).where(*_by(tables.principals, "account")), _p.arn)
# Ordered by the link's column and not by the principal's, which is the same: so the links are walked in order.
_LINKED = select(tables.principals).join(tables.principal_links).where(*_by(tables.principal_links, "ref"))
MEMBERS = _page(_LINKED.where(_l.kind == tables.GROUP_LINK), _l.principal)
PRINCIPALS_UNDER = (
    _LINKED.where(_l.kind == tables.POLICY_LINK).order_by(_l.principal).limit(bindparam("limit"))
)
ACCESS_KEY = select(tables.access_keys).where(*_by(tables.access_keys, "id"))
ACCESS_KEYS = (
    select(tables.access_keys).where(*_by(tables.access_keys, "principal")).order_by(tables.access_keys.c.id)
)
ACCOUNT = select(tables.accounts).where(*_by(tables.accounts, "id"))
ACCOUNTS = _page(select(tables.accounts).where(tables.accounts.c.id != INSTALLATION), tables.accounts.c.id)
DECLARATION = select(tables.declarations).where(*_by(tables.declarations, "account", "kind", "name"))
DECLARATIONS = _page(
    select(tables.declarations).where(*_by(tables.declarations, "account", "kind")),
    tables.declarations.c.name,
)
PROVIDER = select(tables.providers).where(*_by(tables.providers, "arn"))
PROVIDERS = _page(select(tables.providers).where(*_by(tables.providers, "account")), tables.providers.c.arn)
ACCOUNT_KEYS = select(tables.account_keys.c.account, tables.account_keys.c.wrapped).order_by(
    tables.account_keys.c.account
)
SEAL_SLOTS = select(tables.seal_slots).order_by(tables.seal_slots.c.id)
SETTING = select(tables.settings.c.value).where(*_by(tables.settings, "name"))
# What was erased is below this in the order of commitments, and is not there any more.
_SUBJECTS = select(tables.subjects).where(tables.subjects.c.commitment >= PREFIX)
SUBJECT = _SUBJECTS.where(*_by(tables.subjects, "lookup"))
SUBJECT_OF = _SUBJECTS.where(*_by(tables.subjects, "commitment"))
SUBJECTS = _page(_SUBJECTS.where(*_by(tables.subjects, "member")), tables.subjects.c.commitment)
ROWS_OF_SUBJECTS: Select[Any] = select(func.coalesce(func.max(literal_column("rowid")), 0)).select_from(
    tables.subjects
)
COUNT_SUBJECTS = (
    select(func.count()).select_from(tables.subjects).where(tables.subjects.c.commitment >= PREFIX)
)
NEWEST_CHANGE = select(func.coalesce(func.max(_c.seq), 0))
OLDEST_CHANGE = select(func.coalesce(func.min(_c.seq), 1))
CHANGES = (
    select(_c.seq, _c.kind, _c.ref, _c.request)
    .where(_c.seq > bindparam("since"))
    .order_by(_c.seq)
    .limit(bindparam("limit"))
)
CHANGED_BY = select(_c.seq).where(*_by(tables.changes, "request")).limit(1)

PUT_KEY = _put(tables.keys)
# Not `_put`: a number is used once, and what it names is never replaced.
ADD_VERSION = upsert(tables.versions).on_conflict_do_nothing()
# A parameter that is called like a column would be taken for a value to set.
ERASE_VERSIONS = (
    update(tables.versions)
    .where(_v.region == bindparam("of_region"), _v.key_id == bindparam("of_key"), _v.handle != "")
    .values(handle="")
)
PUT_VERSION = _put(tables.versions)
PUT_ALIAS = _put(tables.aliases)
DELETE_ALIAS = delete(tables.aliases).where(*_by(tables.aliases, "account", "region", "name"))
PUT_TAG = _put(tables.tags)
DELETE_TAG = delete(tables.tags).where(*_by(tables.tags, "region", "key_id", "name"))
PUT_GRANT = _put(tables.grants)
DELETE_GRANT = delete(tables.grants).where(*_by(tables.grants, "region", "key_id", "id"))
PUT_IMPORT_OFFER = _put(tables.import_offers)
DELETE_IMPORT_OFFER = delete(tables.import_offers).where(*_by(tables.import_offers, "id"))
PUT_KEY_STORE = _put(tables.key_stores)
DELETE_KEY_STORE = delete(tables.key_stores).where(*_by(tables.key_stores, "id"))
PUT_PRINCIPAL = _put(tables.principals)
DELETE_PRINCIPAL = delete(tables.principals).where(*_by(tables.principals, "arn"))
LINK_PRINCIPAL = insert(tables.principal_links)
UNLINK_PRINCIPAL = delete(tables.principal_links).where(*_by(tables.principal_links, "principal"))
PUT_ACCESS_KEY = _put(tables.access_keys)
DELETE_ACCESS_KEY = delete(tables.access_keys).where(*_by(tables.access_keys, "id"))
PUT_ACCOUNT = _put(tables.accounts)
PUT_DECLARATION = _put(tables.declarations)
DELETE_DECLARATION = delete(tables.declarations).where(*_by(tables.declarations, "account", "kind", "name"))
PUT_PROVIDER = _put(tables.providers)
DELETE_PROVIDER = delete(tables.providers).where(*_by(tables.providers, "arn"))
PUT_ACCOUNT_KEY = _put(tables.account_keys)
PUT_SEAL_SLOT = _put(tables.seal_slots)
DELETE_SEAL_SLOT = delete(tables.seal_slots).where(*_by(tables.seal_slots, "id"))
PUT_SETTING = _put(tables.settings)
ADD_SUBJECT = upsert(tables.subjects).on_conflict_do_nothing()
ERASE_SUBJECT = (
    update(tables.subjects)
    .where(tables.subjects.c.commitment == bindparam("of_commitment"))
    .values({name: bindparam(f"new_{name}") for name in ("commitment", "lookup", "value", "salt")})
)
APPEND_CHANGE = insert(tables.changes)
PRUNE_CHANGES = delete(tables.changes).where(_c.seq <= bindparam("last"))


# --- the edge --------------------------------------------------------------------------------------------

# What the world can do to us. Any other exception, SQLAlchemy's included, would be a mistake of ours.
_FAILURES = (exc.DBAPIError, exc.TimeoutError, sqlite3.Error, UnicodeEncodeError, OverflowError)

# SQLite's primary result codes (https://www.sqlite.org/rescode.html). SQLITE_ERROR is among the damage: these
# statements are correct for this schema, so it is the schema in the file that is not what it says it is.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_CAUSES = {
    sqlite3.SQLITE_BUSY: "another process has been writing for too long",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_READONLY: "the file may not be written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}


def _translated(error: Exception, path: Path) -> KeysteadError:
    """What the caller is told. SQLite's own words stay here: they may quote a value."""
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidRequest("a text that is not Unicode or a number of more than 64 bits cannot be stored")
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailable(f"{path}: this process's other transactions have taken too long")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    code: int = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    name: str = getattr(cause, "sqlite_errorname", type(cause).__name__)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound("what this refers to does not exist, or no longer")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return InvalidRequest("a value that the store cannot hold")
    if primary in _DAMAGE or name == "OperationalError":  # without a code: text that is not UTF-8
        return DataDamaged(f"{path} is damaged ({name}): restore it from a backup")
    return StoreUnavailable(f"{path}: {_CAUSES.get(primary, 'the database does not answer')} ({name})")


class _Session:
    """One open database transaction, and the edge: whatever it raises is Keystead's own."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._path = path
        self._failure: KeysteadError | None = None
        try:
            self._connection = engine.connect()
        except _FAILURES as error:
            raise _translated(error, path) from None

    def begin(self) -> None:
        """Begin, waiting for the write lock if that is what the engine's transactions take."""
        self._guarded(self._connection.begin)

    def rows(self, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """What a query finds."""
        return self._guarded(lambda: self._connection.execute(statement, parameters).fetchall())

    def write(self, statement: Executable, parameters: Mapping[str, Any]) -> int:
        """How many rows a statement wrote."""
        return self._guarded(lambda: self._connection.execute(statement, parameters).rowcount)

    def apply(self, work: Callable[[Connection], T]) -> T:
        """The answer of a function that works on the connection."""
        return self._guarded(lambda: work(self._connection))

    def commit(self) -> None:
        """Make it durable."""
        self._guarded(self._connection.commit)

    def end(self) -> None:
        """Undo what was not committed, and let nobody use this any more."""
        self._failure = StoreUnavailable("a view or transaction was used after its block had ended")
        self._connection.close()

    def _guarded(self, work: Callable[[], T]) -> T:
        """Do it, translating what it raises."""
        # After some failures (disk full, input/output) SQLite has rolled back by itself, and the next
        # statement would be a transaction of its own: a session that failed stays failed.
        if self._failure is not None:
            raise self._failure
        try:
            return work()
        except _FAILURES as error:
            translated = _translated(error, self._path)
        if isinstance(translated, StoreUnavailable | DataDamaged):
            self._failure = translated
        raise translated


@contextmanager
def _session(engine: Engine, path: Path) -> Iterator[_Session]:
    """A session that is over when the block is; what was not committed is undone."""
    session = _Session(engine, path)
    try:
        session.begin()
        yield session
    finally:
        session.end()


# --- what is asked of the database -----------------------------------------------------------------------


def _place(account: str, kind: DeclarationKind, name: str) -> dict[str, str]:
    """Where a declaration is, as parameters."""
    return {"account": account, "kind": kind.value, "name": name}


class _View(View):
    """The port's `View` on a session."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def _one(
        self, kind: type[rows.Record], statement: Executable, /, **parameters: object
    ) -> rows.Record | None:
        """The record that a query finds, if any."""
        found = self._session.rows(statement, parameters)
        return rows.record(kind, found[0]) if found else None

    def _all(
        self, kind: type[rows.Record], statement: Executable, /, **parameters: object
    ) -> list[rows.Record]:
        """The records that a query finds."""
        return [rows.record(kind, row) for row in self._session.rows(statement, parameters)]

    @override
    def key(self, region: str, key_id: str) -> Key | None:
        return self._one(Key, KEY, region=region, id=key_id)

    @override
    def keys(self, account: str, region: str, after: str, limit: int) -> list[Key]:
        return self._all(Key, KEYS, account=account, region=region, after=after, limit=limit)

    @override
    def keys_to_destroy(self, now: float, limit: int) -> list[Key]:
        return self._all(Key, KEYS_TO_DESTROY, now=now, limit=limit)

    @override
    def keys_to_rotate(self, now: float, limit: int) -> list[Key]:
        return self._all(Key, KEYS_TO_ROTATE, now=now, limit=limit)

    @override
    def keys_to_expire(self, now: float, limit: int) -> list[Key]:
        return self._all(Key, KEYS_TO_EXPIRE, now=now, limit=limit)

    @override
    def keys_in_store(self, key_store_id: str, after: str, limit: int) -> list[Key]:
        return self._all(Key, KEYS_IN_STORE, key_store=key_store_id, after=after, limit=limit)

    @override
    def version(self, region: str, key_id: str, number: int) -> Version | None:
        return self._one(Version, VERSION, region=region, key_id=key_id, number=number)

    @override
    def versions(self, region: str, key_id: str, after: int, limit: int) -> list[Version]:
        return self._all(Version, VERSIONS, region=region, key_id=key_id, after=after, limit=limit)

    @override
    def last_version(self, region: str, key_id: str) -> Version | None:
        return self._one(Version, LAST_VERSION, region=region, key_id=key_id)

    @override
    def alias(self, account: str, region: str, name: str) -> Alias | None:
        return self._one(Alias, ALIAS, account=account, region=region, name=name)

    @override
    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[Alias]:
        place = {"account": account, "region": region, "after": after, "limit": limit}
        if key_id is None:
            return self._all(Alias, ALIASES, **place)
        return self._all(Alias, ALIASES_OF_KEY, key_id=key_id, **place)

    @override
    def tags(self, region: str, key_id: str, after: str, limit: int) -> list[tuple[str, str]]:
        place = {"region": region, "key_id": key_id, "after": after, "limit": limit}
        return [(tag.name, tag.value) for tag in self._session.rows(TAGS, place)]

    @override
    def grant(self, region: str, key_id: str, grant_id: str) -> Grant | None:
        return self._one(Grant, GRANT, region=region, key_id=key_id, id=grant_id)

    @override
    def grants(self, region: str, key_id: str, grantee: str | None, after: str, limit: int) -> list[Grant]:
        place = {"region": region, "key_id": key_id, "after": after}
        if grantee is None:
            return self._all(Grant, GRANTS, limit=limit, **place)
        return self._either(GRANTS_OF_PRINCIPAL, GRANTS_OF_SERVICE, limit, named=grantee, **place)

    @override
    def count_grants(self, region: str, key_id: str) -> int:
        return int(self._session.rows(COUNT_GRANTS, {"region": region, "key_id": key_id})[0][0])

    @override
    def grants_to(self, principal: str, limit: int) -> list[Grant]:
        return self._naming(GRANTS_TO, GRANTS_TO_SESSIONS, principal, limit)

    @override
    def grants_retired_by(self, principal: str, limit: int) -> list[Grant]:
        return self._naming(GRANTS_RETIRED_BY, GRANTS_RETIRED_BY_SESSIONS, principal, limit)

    def _naming(self, own: Executable, sessions: Executable, principal: str, limit: int) -> list[Grant]:
        """The first of the grants that name a principal, then of those that name a session of it."""
        found = self._all(Grant, own, named=principal, limit=limit)
        first = sessions_of(principal)
        if first and len(found) < limit:
            beyond = f"{first[:-1]}{chr(ord(first[-1]) + 1)}"  # what begins so is before this, byte by byte
            found += self._all(Grant, sessions, first=first, beyond=beyond, limit=limit - len(found))
        return found

    @override
    def retirable_grants(self, retiring: str, region: str, after: str, limit: int) -> list[Grant]:
        place = {"named": retiring, "region": region, "after": after}
        return self._either(RETIRED_BY_PRINCIPAL, RETIRED_BY_SERVICE, limit, **place)

    def _either(
        self, principal: Executable, service: Executable, limit: int, **parameters: object
    ) -> list[Grant]:
        """A page of the grants that one of two queries finds."""
        found = [
            grant
            for query in (principal, service)
            for grant in self._all(Grant, query, limit=limit, **parameters)
        ]
        return sorted(found, key=lambda grant: grant.id)[:limit]

    @override
    def import_offer(self, offer_id: str) -> ImportOffer | None:
        return self._one(ImportOffer, IMPORT_OFFER, id=offer_id)

    @override
    def key_store(self, key_store_id: str) -> KeyStore | None:
        return self._one(KeyStore, KEY_STORE, id=key_store_id)

    @override
    def key_stores(self, account: str, region: str, after: str, limit: int) -> list[KeyStore]:
        return self._all(KeyStore, KEY_STORES, account=account, region=region, after=after, limit=limit)

    @override
    def principal(self, arn: str) -> Principal | None:
        return self._one(Principal, PRINCIPAL, arn=arn)

    @override
    def principals(self, account: str, after: str, limit: int) -> list[Principal]:
        return self._all(Principal, PRINCIPALS, account=account, after=after, limit=limit)

    @override
    def members(self, group: str, after: str, limit: int) -> list[Principal]:
        return self._all(Principal, MEMBERS, ref=group, after=after, limit=limit)

    @override
    def principals_under(self, policy: str, limit: int) -> list[Principal]:
        return self._all(Principal, PRINCIPALS_UNDER, ref=policy, limit=limit)

    @override
    def access_key(self, access_key_id: str) -> AccessKey | None:
        return self._one(AccessKey, ACCESS_KEY, id=access_key_id)

    @override
    def access_keys(self, principal: str) -> list[AccessKey]:
        return self._all(AccessKey, ACCESS_KEYS, principal=principal)

    @override
    def account(self, account_id: str) -> Account | None:
        return self._one(Account, ACCOUNT, id=account_id)

    @override
    def accounts(self, after: str, limit: int) -> list[Account]:
        return self._all(Account, ACCOUNTS, after=after, limit=limit)

    @override
    def declaration(self, account: str, kind: DeclarationKind, name: str) -> Declaration | None:
        return self._one(Declaration, DECLARATION, **_place(account, kind, name))

    @override
    def declarations(self, account: str, kind: DeclarationKind, after: str, limit: int) -> list[Declaration]:
        place = {"account": account, "kind": kind.value}
        return self._all(Declaration, DECLARATIONS, after=after, limit=limit, **place)

    @override
    def provider(self, arn: str) -> Provider | None:
        return self._one(Provider, PROVIDER, arn=arn)

    @override
    def providers(self, account: str, after: str, limit: int) -> list[Provider]:
        return self._all(Provider, PROVIDERS, account=account, after=after, limit=limit)

    @override
    def account_keys(self) -> dict[str, str]:
        return {row.account: row.wrapped for row in self._session.rows(ACCOUNT_KEYS, {})}

    @override
    def seal_slots(self) -> list[SealSlot]:
        return self._all(SealSlot, SEAL_SLOTS)

    @override
    def setting(self, name: str) -> str | None:
        found = self._session.rows(SETTING, {"name": name})
        return str(found[0][0]) if found else None

    @override
    def subject(self, lookup: str) -> Subject | None:
        return self._one(Subject, SUBJECT, lookup=lookup)

    @override
    def subject_of(self, commitment: str) -> Subject | None:
        return self._one(Subject, SUBJECT_OF, commitment=commitment)

    @override
    def subjects(self, member: str, after: str, limit: int) -> list[Subject]:
        return self._all(Subject, SUBJECTS, member=member, after=after, limit=limit)

    @override
    def room_for_subjects(self, most: int) -> bool:
        # The first number is at hand; to count takes a hundredth of a second for a million.
        return any(self._session.rows(count, {})[0][0] < most for count in (ROWS_OF_SUBJECTS, COUNT_SUBJECTS))

    @override
    def newest_change(self) -> int:
        return int(self._session.rows(NEWEST_CHANGE, {})[0][0])

    @override
    def changes(self, since: int, limit: int) -> list[Change] | None:
        oldest = int(self._session.rows(OLDEST_CHANGE, {})[0][0])
        # A number from the future is one from before a restore: what it stands for is not in this store.
        if since < oldest - 1 or since > self.newest_change():
            return None
        return self._all(Change, CHANGES, since=since, limit=limit)

    @override
    def changed_by(self, request: str) -> bool:
        return bool(self._session.rows(CHANGED_BY, {"request": request}))


class _Transaction(_View, Transaction):
    """The port's `Transaction` on a session that holds the write lock."""

    def __init__(self, session: _Session, request: str, now: float) -> None:
        super().__init__(session)
        self._request = request
        self._now = now
        self._changed: set[tuple[str, str]] = set()
        self.erased = False

    def prune(self, kept: int, every: int) -> None:
        """Now and then, drop the changes that are too old to keep."""
        if self._changed:
            newest = self.newest_change()
            if newest // every > (newest - len(self._changed)) // every:
                self._session.write(PRUNE_CHANGES, {"last": newest - kept})

    def _write(self, kind: str, ref: str, statement: Executable, parameters: Mapping[str, Any]) -> int:
        """Run a write; if it wrote anything, say so in the change feed, once for each thing."""
        written = self._session.write(statement, parameters)
        if written and (kind, ref) not in self._changed:
            change = {"kind": kind, "ref": ref, "request": self._request, "at": self._now}
            self._session.write(APPEND_CHANGE, change)
            self._changed.add((kind, ref))
        return written

    @override
    def put_key(self, key: Key) -> None:
        self._write("key", key.ref, PUT_KEY, rows.row(key))

    @override
    def add_version(self, version: Version) -> None:
        ref = key_ref(version.region, version.key_id)
        if not self._write("key", ref, ADD_VERSION, rows.row(version)):
            raise AlreadyExists(f"version {version.number} of key {version.key_id} exists already")

    @override
    def put_version(self, version: Version) -> None:
        old = self.version(version.region, version.key_id, version.number)
        if old is None:
            raise NotFound(f"version {version.number} of key {version.key_id} does not exist")
        self._write("key", key_ref(version.region, version.key_id), PUT_VERSION, rows.row(version))
        self.erased = self.erased or old.handle not in ("", version.handle)

    @override
    def erase_versions(self, region: str, key_id: str) -> list[Version]:
        found = self._all(Version, EVERY_VERSION, region=region, key_id=key_id)
        place = {"of_region": region, "of_key": key_id}
        self.erased = bool(self._write("key", key_ref(region, key_id), ERASE_VERSIONS, place)) or self.erased
        return found

    @override
    def put_alias(self, alias: Alias) -> None:
        self._write("alias", alias.arn, PUT_ALIAS, rows.row(alias))

    @override
    def delete_alias(self, account: str, region: str, name: str) -> None:
        gone = self.alias(account, region, name)
        if gone is not None:
            place = {"account": account, "region": region, "name": name}
            self._write("alias", gone.arn, DELETE_ALIAS, place)

    @override
    def put_tag(self, region: str, key_id: str, name: str, value: str) -> None:
        tag = {"region": region, "key_id": key_id, "name": name, "value": value}
        self._write("key", key_ref(region, key_id), PUT_TAG, tag)

    @override
    def delete_tag(self, region: str, key_id: str, name: str) -> None:
        place = {"region": region, "key_id": key_id, "name": name}
        self._write("key", key_ref(region, key_id), DELETE_TAG, place)

    @override
    def put_grant(self, grant: Grant) -> None:
        self._write("grants", key_ref(grant.region, grant.key_id), PUT_GRANT, rows.row(grant))

    @override
    def delete_grant(self, region: str, key_id: str, grant_id: str) -> None:
        place = {"region": region, "key_id": key_id, "id": grant_id}
        self._write("grants", key_ref(region, key_id), DELETE_GRANT, place)

    @override
    def put_import_offer(self, offer: ImportOffer) -> None:
        self._write("import-offer", offer.id, PUT_IMPORT_OFFER, rows.row(offer))

    @override
    def delete_import_offer(self, offer_id: str) -> None:
        # What was imported under the offer's private key can be read from the wire with it.
        gone = self._write("import-offer", offer_id, DELETE_IMPORT_OFFER, {"id": offer_id})
        self.erased = bool(gone) or self.erased

    @override
    def delete_import_offers(self, before: float) -> None:
        for offer in self._session.rows(ENDED_OFFERS, {"before": before}):
            self.delete_import_offer(offer.id)

    @override
    def put_key_store(self, key_store: KeyStore) -> None:
        self._write("key-store", key_store.ref, PUT_KEY_STORE, rows.row(key_store))

    @override
    def delete_key_store(self, key_store_id: str) -> None:
        self._write("key-store", key_store_id, DELETE_KEY_STORE, {"id": key_store_id})

    @override
    def put_principal(self, principal: Principal) -> None:
        self._write("principal", principal.arn, PUT_PRINCIPAL, rows.row(principal))
        self._session.write(UNLINK_PRINCIPAL, {"principal": principal.arn})
        for link in rows.links(principal):
            self._session.write(LINK_PRINCIPAL, link)

    @override
    def delete_principal(self, arn: str) -> None:
        # One by one and not by a cascade: each access key has its own line in the change feed.
        for access_key in self.access_keys(arn):
            self.delete_access_key(access_key.id)
        self._session.write(UNLINK_PRINCIPAL, {"principal": arn})
        self._write("principal", arn, DELETE_PRINCIPAL, {"arn": arn})

    @override
    def put_access_key(self, access_key: AccessKey) -> None:
        self._write("access-key", access_key.id, PUT_ACCESS_KEY, rows.row(access_key))

    @override
    def delete_access_key(self, access_key_id: str) -> None:
        self._write("access-key", access_key_id, DELETE_ACCESS_KEY, {"id": access_key_id})

    @override
    def put_account(self, account: Account) -> None:
        self._write("account", account.id, PUT_ACCOUNT, rows.row(account))

    @override
    def put_declaration(self, declaration: Declaration) -> None:
        ref = declaration_ref(declaration.account, declaration.kind, declaration.name)
        self._write("declaration", ref, PUT_DECLARATION, rows.row(declaration))

    @override
    def delete_declaration(self, account: str, kind: DeclarationKind, name: str) -> None:
        ref = declaration_ref(account, kind, name)
        self._write("declaration", ref, DELETE_DECLARATION, _place(account, kind, name))

    @override
    def put_provider(self, provider: Provider) -> None:
        self._write("provider", provider.arn, PUT_PROVIDER, rows.row(provider))

    @override
    def delete_provider(self, arn: str) -> None:
        self._write("provider", arn, DELETE_PROVIDER, {"arn": arn})

    @override
    def put_account_key(self, account: str, wrapped: str) -> None:
        self._write("account-key", account, PUT_ACCOUNT_KEY, {"account": account, "wrapped": wrapped})

    @override
    def put_seal_slot(self, slot: SealSlot) -> None:
        self._write("seal-slot", slot.id, PUT_SEAL_SLOT, rows.row(slot))

    @override
    def delete_seal_slot(self, slot_id: str) -> None:
        if [slot.id for slot in self.seal_slots()] == [slot_id]:
            raise InvalidRequest(f"{slot_id} is the last seal slot: without it nothing opens the root key")
        self._write("seal-slot", slot_id, DELETE_SEAL_SLOT, {"id": slot_id})

    @override
    def put_setting(self, name: str, value: str) -> None:
        self._write("setting", name, PUT_SETTING, {"name": name, "value": value})

    @override
    def put_mark(self, name: str, value: str) -> None:
        self._session.write(PUT_SETTING, {"name": name, "value": value})

    @override
    def add_subject(self, subject: Subject) -> None:
        if not self._write("new-subject", subject.commitment, ADD_SUBJECT, rows.row(subject)):
            raise AlreadyExists("there is such a subject already")

    @override
    def erase_subject(self, commitment: str) -> None:
        found = self.subject_of(commitment)
        if found is None:
            return
        # Nothing can be told of it without the salt, which goes; but two rows that are erased must differ.
        left = sha256(f"{found.salt} {commitment}".encode()).hexdigest()
        new = {
            "of_commitment": commitment,
            "new_commitment": f"{ERASED}{left}",
            "new_lookup": left,
            "new_value": "-" * len(found.value.encode()),
            "new_salt": "-" * len(found.salt),
        }
        self._write("subject", commitment, ERASE_SUBJECT, new)
        self.erased = True


# --- the store -------------------------------------------------------------------------------------------


class _Connections:
    """The connections of one process: one that writes, a pool that reads, one that feels the pulse."""

    def __init__(self, path: Path, patience: float) -> None:
        # The pool of one is also the queue of this process's writers: they wait for each other there, in
        # turn, instead of polling SQLite's lock against each other.
        self.writer = _engine(path, "BEGIN IMMEDIATE", size=1, patience=patience)
        self.readers = _engine(path, "BEGIN", size=READERS, patience=patience)
        self.pulse: sqlite3.Cursor | None = None
        self.pulse_thread = 0

    def close(self) -> None:
        """Close what is not in use; what is in use closes when its block ends."""
        self.writer.dispose()
        self.readers.dispose()
        if self.pulse is not None:
            self.pulse.connection.close()


class Sqlite(Store):
    """The port's `Store` in a file that `connect` has prepared."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        patience: float = PATIENCE,
        kept_changes: int = KEPT_CHANGES,
        prune_every: int = PRUNE_EVERY,
    ) -> None:
        self._path = path
        self._now = now
        self._patience = patience
        self._kept_changes = kept_changes
        self._prune_every = prune_every
        self._closed = False
        # By process id, and never taken out in a child: letting go of a parent's connection would close it.
        self._connections: dict[int, _Connections] = {}

    @override
    @contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        writer = self._here().writer
        with _session(writer, self._path) as session:
            transaction = _Transaction(session, request, self._now())
            yield transaction
            transaction.prune(self._kept_changes, self._prune_every)
            session.commit()
        if transaction.erased:
            _empty_wal(writer)

    @override
    @contextmanager
    def view(self) -> Iterator[View]:
        with _session(self._here().readers, self._path) as session:
            yield _View(session)

    @override
    def pulse(self) -> int:
        # This runs before every answer leaves, so it goes around SQLAlchemy: a cursor of the driver, whose
        # statement stays prepared, answers in about 2 us where a pooled connection takes 50. The connection
        # does nothing else, because a connection does not notice its own commits.
        here = self._here()
        try:
            if here.pulse is None:
                here.pulse_thread = threading.get_ident()
                here.pulse = _open(self._path, self._patience).cursor()
            elif here.pulse_thread != threading.get_ident():
                raise StoreUnavailable("the store's pulse is for the thread that first felt it")
            number: int = here.pulse.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise _translated(error, self._path) from None
        return number

    @override
    def close(self) -> None:
        self._closed = True
        mine = self._connections.pop(os.getpid(), None)
        if mine is not None:
            mine.close()

    def _here(self) -> _Connections:
        """This process's connections."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store has been closed")
        pid = os.getpid()
        try:
            return self._connections[pid]
        except KeyError:
            # Two threads may both get here; `setdefault` lets one of them win, and nothing is open yet.
            return self._connections.setdefault(pid, _Connections(self._path, self._patience))


def _open(path: Path, patience: float, *, foreign_keys: bool = True) -> sqlite3.Connection:
    """A connection of the driver, set up. It never makes a file: that is `_create`'s part."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,  # transactions begin where we say, as we say
        check_same_thread=False,  # a pool hands a connection to one thread after another
    )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    connection.execute("PRAGMA secure_delete=ON")  # erased handles do not linger in free pages
    return connection


def _engine(path: Path, begin: str, *, size: int, patience: float, foreign_keys: bool = True) -> Engine:
    """A pool of connections whose transactions begin in that way."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: _open(path, patience, foreign_keys=foreign_keys),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience,
        pool_reset_on_return=None,  # sessions end their transactions themselves
        hide_parameters=True,  # no value gets into an exception's text
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _empty_wal(writer: Engine) -> None:
    """Move the write-ahead log into the file and cut it, because it still holds what was just erased.

    The erasure itself is durable already, so this only tries: open views keep the log until the next
    checkpoint, and a failure here shows again in the next transaction.
    """
    with contextlib.suppress(exc.SQLAlchemyError, sqlite3.Error):
        connection = writer.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=0")  # views may be open for long: do not wait for them
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.invalidate()  # instead of remembering how patient it was


# --- opening ---------------------------------------------------------------------------------------------


def _path(url: str) -> Path:
    """The file that a URL names. What follows ``sqlite://`` is the path to the letter, nothing is decoded."""
    path = url.removeprefix("sqlite://")
    if not path.startswith("/") or path.endswith("/"):
        raise ConfigError(f"{url} does not name a file: write sqlite:///absolute/path/keystead.db")
    return Path(path)


def _create(path: Path) -> None:
    """Make the file, and its directory, for nobody but us; does nothing when it exists."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Exclusively: closing a descriptor of a file that SQLite has open in this process would drop its
        # locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the file's name is as durable as what will be in it
        finally:
            os.close(directory)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from None


def _prepare(path: Path, *, create: bool) -> tuple[str, str]:
    """Check the file and bring its schema up to date; returns the revisions before and after."""
    # (1) The file is there, and nobody else's to read.
    try:
        status = path.stat()
        if status.st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no store at {path}: is its volume mounted? `keystead init` makes a new one"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be used: {error.strerror}") from None
    # A migration may put a table in another's place. With foreign keys in force, dropping the old one would
    # delete the rows that refer to it; they are checked before the commit instead.
    engine = _engine(path, "BEGIN", size=1, patience=PATIENCE, foreign_keys=False)
    upgrader = _engine(path, "BEGIN IMMEDIATE", size=1, patience=PATIENCE, foreign_keys=False)
    try:
        # (2) It is a whole database; and which revision? No lock is taken for that.
        with _session(engine, path) as session:
            if status.st_size <= CHECKED_BYTES:
                session.apply(lambda connection: _check(connection, path))
            before = session.apply(migration.revision)
        if before == migration.EMPTY and not create:
            raise DataDamaged(
                f"{path} is empty: restore it from a backup, or remove it and run `keystead init`"
            )
        # (3) WAL belongs to the file, so this changes nothing but a new one and a restored copy.
        _set_wal(path)
        if before == tables.REVISION:
            return before, before
        # (4) Upgrade, serial with everybody else: who waited finds it done.
        with _session(upgrader, path) as session:
            current = session.apply(migration.revision)
            if current != tables.REVISION:
                session.apply(lambda connection: _upgrade(connection, current))
                session.commit()
        return before, tables.REVISION
    finally:
        engine.dispose()
        upgrader.dispose()


def _check(connection: Connection, path: Path) -> None:
    """Read every page; raises `DataDamaged` when one does not fit the others."""
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
        raise DataDamaged(f"{path} is damaged: restore it from a backup")


def _upgrade(connection: Connection, current: str) -> None:
    """Lay the tables in an empty file, or walk from the revision it is at; no reference is left dangling."""
    if current == migration.EMPTY:
        migration.create(connection)
    else:
        migration.upgrade(connection, current)
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if dangling:
        raise DataDamaged(
            f"table {dangling[0][0]} refers to rows that are not there: nothing was changed, restore a backup"
        )


def _set_wal(path: Path) -> None:
    """Put the file into WAL mode, in which it stays."""
    try:
        with contextlib.closing(_open(path, PATIENCE)) as connection:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    except sqlite3.Error as error:
        raise _translated(error, path) from None
    if mode != "wal":
        raise ConfigError(f"{path} is on a file system without shared memory: put it on a local disk")
