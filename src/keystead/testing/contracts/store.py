"""What every store promises (`keystead.core.ports.Store`), as tests."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from keystead.core.errors import AlreadyExists, InvalidRequest, NotFound, StoreUnavailable
from keystead.core.key import Alias, Key, Rotation, State, Version
from keystead.core.ports import Change, Store, Transaction, View
from keystead.core.principal import AccessKey, Principal, user_arn
from keystead.core.seal import SealSlot

ACCOUNT, OTHER_ACCOUNT, REGION = "111111111111", "222222222222", "eu-central-1"

# In the order of their code points, which is not the order of any dictionary.
NAMES = ["0", "A", "Z", "a", "z", "~", "\u00e9", "\uffee", "\U0001f511"]


def a_key(key_id: str = "k1", **changes: Any) -> Key:  # noqa: ANN401 - the fields have various types
    """An ordinary key."""
    key = Key(
        id=key_id,
        account=ACCOUNT,
        region=REGION,
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        state=State.ENABLED,
        created=1_700_000_000.25,
        policy='{"Statement": []}',
    )
    return replace(key, **changes)


def a_version(key_id: str = "k1", number: int = 1, handle: str = "handle") -> Version:
    """An ordinary version."""
    return Version(
        key_id=key_id,
        number=number,
        handle=handle,
        material_id=f"{number:064x}",
        created=1_700_000_000.5,
        rotation=Rotation.FIRST if number == 1 else Rotation.ON_DEMAND,
    )


def an_alias(
    name: str = "alias/a", key_id: str = "k1", account: str = ACCOUNT, region: str = REGION
) -> Alias:
    """An ordinary alias."""
    return Alias(account=account, region=region, name=name, key_id=key_id, created=1.5, updated=2.5)


def a_principal(name: str = "alice", account: str = ACCOUNT) -> Principal:
    """An ordinary user."""
    return Principal(arn=user_arn(account, name), account=account, name=name, created=1.5)


def an_access_key(key_id: str = "AKIA1", name: str = "alice") -> AccessKey:
    """An ordinary access key."""
    return AccessKey(id=key_id, principal=user_arn(ACCOUNT, name), protected="wrapped", created=1.5)


def a_slot(slot_id: str = "s1") -> SealSlot:
    """An ordinary seal slot."""
    return SealSlot(
        id=slot_id, kind="passphrase", parameters={"salt": "c2FsdA==", "passes": 3}, wrapped="d3JhcA=="
    )


# Every write there is, on a furnished store: what it does, and the changes that it appends. In this order
# they can all be made in one transaction.
WRITES: dict[str, tuple[Callable[[Transaction], object], list[tuple[str, str]]]] = {
    "put_key": (lambda t: t.put_key(a_key()), [("key", "k1")]),
    "add_version": (lambda t: t.add_version(a_version(number=2)), [("key", "k1")]),
    "erase_versions": (lambda t: t.erase_versions("k1"), [("key", "k1")]),
    "put_alias": (lambda t: t.put_alias(an_alias()), [("alias", an_alias().arn)]),
    "delete_alias": (lambda t: t.delete_alias(ACCOUNT, REGION, "alias/a"), [("alias", an_alias().arn)]),
    "put_tag": (lambda t: t.put_tag("k1", "team", "blue"), [("key", "k1")]),
    "delete_tag": (lambda t: t.delete_tag("k1", "team"), [("key", "k1")]),
    "put_principal": (lambda t: t.put_principal(a_principal()), [("principal", a_principal().arn)]),
    "delete_access_key": (lambda t: t.delete_access_key("AKIA1"), [("access-key", "AKIA1")]),
    "put_access_key": (lambda t: t.put_access_key(an_access_key()), [("access-key", "AKIA1")]),
    "put_account_key": (lambda t: t.put_account_key(ACCOUNT, "kek"), [("account-key", ACCOUNT)]),
    "put_seal_slot": (lambda t: t.put_seal_slot(a_slot("s3")), [("seal-slot", "s3")]),
    "delete_seal_slot": (lambda t: t.delete_seal_slot("s1"), [("seal-slot", "s1")]),
    "put_setting": (lambda t: t.put_setting("colour", "blue"), [("setting", "colour")]),
    "delete_principal": (
        lambda t: t.delete_principal(a_principal().arn),
        [("access-key", "AKIA1"), ("principal", a_principal().arn)],
    ),
}

# Writes that find nothing to do.
IDLE: dict[str, Callable[[Transaction], object]] = {
    "erase_versions": lambda t: t.erase_versions("nothing"),
    "delete_alias": lambda t: t.delete_alias(ACCOUNT, REGION, "alias/nothing"),
    "delete_tag": lambda t: t.delete_tag("k1", "nothing"),
    "delete_principal": lambda t: t.delete_principal("nothing"),
    "delete_access_key": lambda t: t.delete_access_key("nothing"),
    "delete_seal_slot": lambda t: t.delete_seal_slot("nothing"),
}

# Everything that may be asked of a view.
QUESTIONS: dict[str, Callable[[View], object]] = {
    "key": lambda v: v.key("k1"),
    "keys": lambda v: v.keys(ACCOUNT, REGION, "", 10),
    "keys_to_destroy": lambda v: v.keys_to_destroy(1e12, 10),
    "keys_to_rotate": lambda v: v.keys_to_rotate(1e12, 10),
    "version": lambda v: v.version("k1", 1),
    "versions": lambda v: v.versions("k1", 0, 10),
    "alias": lambda v: v.alias(ACCOUNT, REGION, "alias/a"),
    "aliases": lambda v: v.aliases(ACCOUNT, REGION, None, "", 10),
    "tags": lambda v: v.tags("k1", "", 10),
    "principal": lambda v: v.principal(a_principal().arn),
    "principals": lambda v: v.principals(ACCOUNT, "", 10),
    "access_key": lambda v: v.access_key("AKIA1"),
    "access_keys": lambda v: v.access_keys(a_principal().arn),
    "account_keys": lambda v: v.account_keys(),
    "seal_slots": lambda v: v.seal_slots(),
    "setting": lambda v: v.setting("colour"),
    "newest_change": lambda v: v.newest_change(),
    "changes": lambda v: v.changes(0, 100),
    "changed_by": lambda v: v.changed_by("furnish"),
}


def furnish(store: Store) -> None:
    """Put one of everything into the store."""
    with store.transact("furnish") as t:
        t.put_key(a_key())
        t.add_version(a_version())
        t.put_alias(an_alias())
        t.put_tag("k1", "team", "red")
        t.put_principal(a_principal())
        t.put_access_key(an_access_key())
        t.put_account_key(ACCOUNT, "wrapped")
        t.put_seal_slot(a_slot("s1"))
        t.put_seal_slot(a_slot("s2"))
        t.put_setting("colour", "red")


def everything(view: View) -> dict[str, object]:
    """The answers to all questions."""
    return {name: ask(view) for name, ask in QUESTIONS.items()}


class StoreContract:
    """Inherit it and define the fixture ``store``: an empty store, closed afterwards."""

    @pytest.fixture
    def furnished(self, store: Store) -> Store:
        """The store with one of everything in it."""
        furnish(store)
        return store

    # --- what is put in comes out -----------------------------------------------------------------------

    def test_an_empty_store_knows_nothing(self, store: Store) -> None:
        """What is not there is None or an empty list, never an error."""
        with store.view() as view:
            answers = everything(view)

        assert [name for name, answer in answers.items() if answer not in (None, [], {}, 0, False)] == []

    @pytest.mark.parametrize(
        "key",
        [
            a_key(),
            a_key(description="d\u00e9j\u00e0 \U0001f511\n'\"", policy=' { "Id" : 1 }\t'),
            a_key(state=State.PENDING_DELETION, deletion_date=1_700_000_000.125),
            a_key(rotation_period_days=90, next_rotation=1.75, rotations_on_demand=3, current_version=7),
            a_key(state=State.DESTROYED),
        ],
    )
    def test_a_key_comes_back_to_the_letter(self, store: Store, key: Key) -> None:
        """Every field of a key is kept, fractions of seconds and the policy's white space included."""
        with store.transact("r") as t:
            t.put_key(a_key(description="older"))
        with store.transact("r") as t:
            t.put_key(key)

            assert t.key("k1") == key
        with store.view() as view:
            assert view.key("k1") == key

    def test_each_record_comes_back_as_it_was_last_put(self, furnished: Store) -> None:
        """Putting what exists replaces it, with all its fields."""
        version, slot = a_version(number=2), replace(a_slot("s1"), kind="env", parameters={"variable": "X"})
        alias = replace(an_alias(key_id="k2"), updated=3.5)
        principal = replace(a_principal(), policy="{}", enabled=False)
        access_key = replace(an_access_key(), protected="anew", enabled=False)

        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            t.add_version(version)
            t.put_alias(alias)
            t.put_tag("k1", "team", "green")
            t.put_principal(principal)
            t.put_access_key(access_key)
            t.put_account_key(ACCOUNT, "anew")
            t.put_seal_slot(slot)
            t.put_setting("colour", "green")

        with furnished.view() as view:
            assert view.version("k1", 1) == a_version()
            assert view.version("k1", 2) == version
            assert view.alias(ACCOUNT, REGION, "alias/a") == alias
            assert view.tags("k1", "", 9) == [("team", "green")]
            assert view.principal(principal.arn) == principal
            assert view.access_key("AKIA1") == access_key
            assert view.access_keys(principal.arn) == [access_key]
            assert view.account_keys() == {ACCOUNT: "anew"}
            assert view.seal_slots() == [slot, a_slot("s2")]
            assert view.setting("colour") == "green"

    def test_what_is_handed_out_is_the_readers_own(self, furnished: Store) -> None:
        """A reader who changes a slot's parameters changes nothing in the store."""
        slot = a_slot("s1")
        with furnished.transact("r") as t:
            t.put_seal_slot(slot)
            slot.parameters["passes"] = 1
            t.seal_slots()[0].parameters["passes"] = 1

        with furnished.view() as view:
            assert view.seal_slots()[0] == a_slot("s1")

    def test_text_that_is_not_unicode_is_refused(self, furnished: Store) -> None:
        """Half a surrogate pair, which JSON can carry, is the caller's mistake, not the store's failure."""
        half = "\ud83d"
        writes: list[Callable[[Transaction], object]] = [
            lambda t: t.put_key(a_key(description=half)),
            lambda t: t.add_version(a_version(number=2, handle=half)),
            lambda t: t.put_alias(an_alias(f"alias/{half}")),
            lambda t: t.put_tag("k1", "team", half),
            lambda t: t.put_principal(replace(a_principal(), policy=half)),
            lambda t: t.put_access_key(replace(an_access_key(), protected=half)),
            lambda t: t.put_setting("colour", half),
        ]
        with furnished.view() as view:
            before = everything(view)
        for write in writes:
            with furnished.transact("r") as t, pytest.raises(InvalidRequest):
                write(t)

        with furnished.view() as view:
            assert everything(view) == before

    # --- lists ------------------------------------------------------------------------------------------

    def test_lists_come_in_pages_ordered_by_name(self, store: Store) -> None:
        """Names are ordered by code point, a page begins after the last one, and nothing is skipped."""
        with store.transact("r") as t:
            for name in reversed(NAMES):
                t.put_key(a_key(name))
                t.put_alias(an_alias(name, key_id=name))
                t.put_principal(a_principal(name))
                t.put_account_key(name, name)
                t.put_seal_slot(a_slot(name))
            for name in reversed(NAMES):
                t.put_access_key(an_access_key(name, name=NAMES[0]))
                t.put_tag(NAMES[0], name, name)
            for number in (3, 1, 2):
                t.add_version(a_version(NAMES[0], number))

        def pages(
            read: Callable[[Any, int], list[Any]], name: Callable[[Any], Any], start: object
        ) -> list[Any]:
            found, after = [], start
            while page := read(after, 2):
                assert len(page) <= 2
                found += [name(row) for row in page]
                after = found[-1]
            return found

        with store.view() as v:
            arns = [user_arn(ACCOUNT, name) for name in NAMES]
            assert pages(lambda a, n: v.keys(ACCOUNT, REGION, a, n), lambda k: k.id, "") == NAMES
            assert pages(lambda a, n: v.aliases(ACCOUNT, REGION, None, a, n), lambda x: x.name, "") == NAMES
            assert pages(lambda a, n: v.tags(NAMES[0], a, n), lambda tag: tag[0], "") == NAMES
            assert pages(lambda a, n: v.principals(ACCOUNT, a, n), lambda p: p.arn, "") == arns
            assert pages(lambda a, n: v.versions(NAMES[0], a, n), lambda x: x.number, 0) == [1, 2, 3]
            assert [key.id for key in v.access_keys(arns[0])] == NAMES
            assert list(v.account_keys()) == NAMES
            assert [slot.id for slot in v.seal_slots()] == NAMES

    def test_lists_keep_to_their_owner(self, furnished: Store) -> None:
        """Another account's, region's, key's or principal's things are not in a list."""
        with furnished.transact("r") as t:
            t.put_key(a_key("k2", account=OTHER_ACCOUNT))
            t.put_key(a_key("k3", region="us-east-1"))
            t.put_alias(an_alias("alias/b", key_id="k2", account=OTHER_ACCOUNT))
            t.put_alias(an_alias("alias/c", key_id="k3", region="us-east-1"))
            t.add_version(a_version("k2"))
            t.put_tag("k2", "team", "blue")
            t.put_principal(a_principal("bob", account=OTHER_ACCOUNT))
            t.put_principal(a_principal("carol"))
            t.put_access_key(an_access_key("AKIA2", name="carol"))

        with furnished.view() as v:
            assert v.keys(ACCOUNT, REGION, "", 9) == [a_key()]
            assert v.aliases(ACCOUNT, REGION, None, "", 9) == [an_alias()]
            assert v.versions("k1", 0, 9) == [a_version()]
            assert v.tags("k1", "", 9) == [("team", "red")]
            assert v.principals(ACCOUNT, "", 9) == [a_principal(), a_principal("carol")]
            assert v.access_keys(a_principal().arn) == [an_access_key()]
            assert v.alias(OTHER_ACCOUNT, REGION, "alias/a") is None

    def test_the_aliases_of_one_key(self, furnished: Store) -> None:
        """Asked for one key's aliases, the store gives those in their order and no others."""
        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            for name, key_id in (("alias/c", "k1"), ("alias/b", "k2"), ("alias/d", "k1")):
                t.put_alias(an_alias(name, key_id=key_id))

        with furnished.view() as v:
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k1", "", 2)] == ["alias/a", "alias/c"]
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k1", "alias/c", 2)] == ["alias/d"]
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k2", "", 9)] == ["alias/b"]
            assert v.aliases(ACCOUNT, REGION, "nothing", "", 9) == []
            assert v.aliases(OTHER_ACCOUNT, REGION, "k1", "", 9) == []

    def test_a_destroyed_key_stays_as_a_tombstone(self, furnished: Store) -> None:
        """Its row is found by id for ever, so that the id is never used again, but no list shows it."""
        gone = a_key(state=State.DESTROYED, deletion_date=5.0, rotation_period_days=90, next_rotation=5.0)
        with furnished.transact("r") as t:
            t.put_key(gone)

        with furnished.view() as v:
            assert v.key("k1") == gone
            assert v.keys(ACCOUNT, REGION, "", 9) == []
            assert v.keys_to_destroy(9.0, 9) == []
            assert v.keys_to_rotate(9.0, 9) == []

    def test_keys_whose_deletion_is_due(self, store: Store) -> None:
        """Only keys pending deletion whose date has come, oldest date first, whatever the account."""
        pending = State.PENDING_DELETION
        with store.transact("r") as t:
            t.put_key(a_key("b", state=pending, deletion_date=20.0))
            t.put_key(a_key("a", state=pending, deletion_date=20.0, account=OTHER_ACCOUNT))
            t.put_key(a_key("c", state=pending, deletion_date=10.0))
            t.put_key(a_key("d", state=pending, deletion_date=20.5))
            t.put_key(a_key("e", state=pending))
            t.put_key(a_key("f", state=State.DISABLED, deletion_date=10.0))

        with store.view() as v:
            assert [key.id for key in v.keys_to_destroy(20.0, 9)] == ["c", "a", "b"]
            assert [key.id for key in v.keys_to_destroy(20.0, 2)] == ["c", "a"]
            assert v.keys_to_destroy(9.0, 9) == []

    def test_keys_whose_rotation_is_due(self, store: Store) -> None:
        """Only enabled keys with automatic rotation whose date has come, oldest date first."""
        on = {"rotation_period_days": 90}
        with store.transact("r") as t:
            t.put_key(a_key("b", next_rotation=20.0, **on))
            t.put_key(a_key("a", next_rotation=20.0, **on))
            t.put_key(a_key("c", next_rotation=10.0, **on))
            t.put_key(a_key("d", next_rotation=20.5, **on))
            t.put_key(a_key("e", next_rotation=10.0))
            t.put_key(a_key("f", **on))
            t.put_key(a_key("g", next_rotation=10.0, state=State.DISABLED, **on))

        with store.view() as v:
            assert [key.id for key in v.keys_to_rotate(20.0, 9)] == ["c", "a", "b"]
            assert [key.id for key in v.keys_to_rotate(20.0, 1)] == ["c"]

    # --- what may not be --------------------------------------------------------------------------------

    def test_a_version_number_is_never_used_twice(self, furnished: Store) -> None:
        """Not with other material, not after it was erased; and the transaction may go on."""
        with furnished.transact("r") as t:
            t.erase_versions("k1")
            with pytest.raises(AlreadyExists):
                t.add_version(a_version(handle="other"))
            t.add_version(a_version(number=2))

        with furnished.view() as v:
            assert [(x.number, x.handle) for x in v.versions("k1", 0, 9)] == [(1, ""), (2, "handle")]

    def test_erasing_forgets_every_handle(self, furnished: Store) -> None:
        """The versions are returned as they were, so that the custodian can destroy what they name."""
        with furnished.transact("r") as t:
            t.add_version(a_version(number=2, handle="second"))
        with furnished.transact("r") as t:
            assert t.erase_versions("k1") == [a_version(), a_version(number=2, handle="second")]

        with furnished.transact("r2") as t:
            erased = [a_version(handle=""), a_version(number=2, handle="")]
            assert t.versions("k1", 0, 9) == erased
            assert t.erase_versions("k1") == erased
        with furnished.view() as v:
            assert not v.changed_by("r2")

    def test_the_last_seal_slot_cannot_go(self, furnished: Store) -> None:
        """Without a slot nothing opens the root key, so the last one stays."""
        with furnished.transact("r") as t:
            t.delete_seal_slot("s1")
            with pytest.raises(InvalidRequest):
                t.delete_seal_slot("s2")

        with furnished.view() as v:
            assert v.seal_slots() == [a_slot("s2")]

    def test_nothing_refers_to_what_is_not_there(self, furnished: Store) -> None:
        """A version, alias, tag or access key of nothing is refused, and the transaction may go on."""
        writes: list[Callable[[Transaction], object]] = [
            lambda t: t.add_version(a_version("nothing")),
            lambda t: t.put_alias(an_alias(key_id="nothing")),
            lambda t: t.put_tag("nothing", "team", "red"),
            lambda t: t.put_access_key(an_access_key("AKIA2", name="nobody")),
        ]
        with furnished.transact("r") as t:
            for write in writes:
                with pytest.raises(NotFound):
                    write(t)
            t.put_tag("k1", "team", "blue")

        with furnished.view() as v:
            assert v.tags("k1", "", 9) == [("team", "blue")]
            assert [change.ref for change in v.changes(0, 99) or [] if change.request == "r"] == ["k1"]

    def test_a_principal_goes_with_its_access_keys(self, furnished: Store) -> None:
        """No credential outlives whom it stood for, and nobody else's goes with it."""
        with furnished.transact("r") as t:
            t.put_access_key(an_access_key("AKIA0"))
            t.put_principal(a_principal("bob"))
            t.put_access_key(an_access_key("AKIA9", name="bob"))
            t.delete_principal(a_principal().arn)

        with furnished.view() as v:
            assert v.principal(a_principal().arn) is None
            assert v.access_keys(a_principal().arn) == []
            assert [v.access_key(each) for each in ("AKIA0", "AKIA1")] == [None, None]
            assert v.access_key("AKIA9") == an_access_key("AKIA9", name="bob")

    # --- transactions -----------------------------------------------------------------------------------

    def test_an_exception_undoes_all_of_it(self, furnished: Store) -> None:
        """After an exception inside, of whatever class, nothing is different: rows, epoch, change feed."""

        class Surprise(BaseException):
            pass

        with furnished.view() as view:
            before = everything(view)

        def fail(error: BaseException) -> None:
            with furnished.transact("undone") as t:
                for write, _ in WRITES.values():
                    write(t)
                raise error

        for error in (ValueError("x"), NotFound("x"), Surprise()):
            with pytest.raises(type(error)) as raised:
                fail(error)
            assert raised.value is error

        with furnished.view() as view:
            assert everything(view) == before
            assert not view.changed_by("undone")

    def test_a_transaction_reads_what_it_wrote(self, furnished: Store) -> None:
        """Inside it the new is there already, epoch included; outside it is not, until the block ends."""
        with furnished.transact("r") as t:
            epoch = t.newest_change()
            t.put_setting("colour", "blue")

            assert t.setting("colour") == "blue"
            assert t.newest_change() == epoch + 1
            assert t.changed_by("r")
            with furnished.view() as view:
                assert view.setting("colour") == "red"
                assert view.newest_change() == epoch
        with furnished.view() as view:
            assert view.setting("colour") == "blue"

    def test_a_view_stands_still(self, furnished: Store) -> None:
        """Once it has been asked something, a view does not see what is committed after."""
        with furnished.view() as view:
            before = everything(view)
            with furnished.transact("r") as t:
                for write, _ in WRITES.values():
                    write(t)

            assert everything(view) == before
        with furnished.view() as view:
            assert everything(view) != before

    @pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
    def test_a_view_ends_with_its_block(self, furnished: Store, ask: Callable[[View], object]) -> None:
        """Used after its block it raises, instead of reading something from another moment."""
        with furnished.view() as view:
            ask(view)

        with pytest.raises(StoreUnavailable):
            ask(view)

    @pytest.mark.parametrize("write", [write for write, _ in WRITES.values()], ids=WRITES.keys())
    def test_a_transaction_ends_with_its_block(
        self, furnished: Store, write: Callable[[Transaction], object]
    ) -> None:
        """Used after its block it raises, and nothing is written."""
        with furnished.transact("r") as t:
            pass
        with furnished.view() as view:
            before = everything(view)

        with pytest.raises(StoreUnavailable):
            write(t)

        with furnished.view() as view:
            assert everything(view) == before

    def test_writers_are_serial(self, store: Store) -> None:
        """What a transaction has read still holds when it writes: no increment of many threads is lost."""

        def increment(number: int) -> None:
            with store.transact(f"r{number}") as t:
                t.put_setting("count", str(int(t.setting("count") or "0") + 1))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(increment, range(64)))

        with store.view() as view:
            assert view.setting("count") == "64"
            assert view.newest_change() == 64

    def test_views_do_not_wait_for_a_writer(self, furnished: Store) -> None:
        """Many threads read while a transaction is open, each the state before it."""
        with furnished.transact("r") as t:
            t.put_setting("colour", "blue")

            def read(_: int) -> str | None:
                with furnished.view() as view:
                    return view.setting("colour")

            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(read, range(64))) == {"red"}

    # --- the change feed --------------------------------------------------------------------------------

    @pytest.mark.parametrize(("write", "expected"), WRITES.values(), ids=WRITES.keys())
    def test_every_write_appends_its_change(
        self, furnished: Store, write: Callable[[Transaction], object], expected: list[tuple[str, str]]
    ) -> None:
        """The change comes with the write and says what changed and whose request it was; once, not twice."""
        with furnished.view() as view:
            epoch = view.newest_change()
        with furnished.transact("the-request") as t:
            write(t)
            if write is not WRITES["add_version"][0]:  # the one write that cannot be repeated
                write(t)

        with furnished.view() as view:
            assert view.changes(epoch, 100) == [
                Change(epoch + number, kind, ref, "the-request")
                for number, (kind, ref) in enumerate(expected, start=1)
            ]
            assert view.newest_change() == epoch + len(expected)
            assert view.changed_by("the-request")

    @pytest.mark.parametrize("write", IDLE.values(), ids=IDLE.keys())
    def test_what_changes_nothing_appends_nothing(
        self, furnished: Store, write: Callable[[Transaction], object]
    ) -> None:
        """Removing what is not there succeeds, and no epoch passes for it."""
        with furnished.view() as view:
            epoch = view.newest_change()
        with furnished.transact("idle") as t:
            write(t)

        with furnished.view() as view:
            assert view.newest_change() == epoch
            assert not view.changed_by("idle")

    def test_the_feed_comes_in_pages(self, store: Store) -> None:
        """Changes are numbered in the order of their commits and read from any number on."""
        for number in range(1, 6):
            with store.transact(f"r{number}") as t:
                t.put_setting(f"s{number}", "x")
        feed = [Change(number, "setting", f"s{number}", f"r{number}") for number in range(1, 6)]

        with store.view() as view:
            assert view.changes(0, 9) == feed
            assert view.changes(1, 2) == feed[1:3]
            assert view.changes(5, 9) == []

    def test_a_number_from_the_future_is_not_kept(self, store: Store) -> None:
        """A reader who remembers more than the store does (it was restored) starts from an empty cache."""
        with store.view() as view:
            assert view.changes(0, 9) == []
            assert view.changes(1, 9) is None

    # --- the pulse --------------------------------------------------------------------------------------

    def test_the_pulse_differs_after_a_commit(self, store: Store) -> None:
        """Whichever thread commits; and it stays the same as long as nobody does."""
        pulses = [store.pulse()]

        def write() -> None:
            with store.transact("r") as t:
                t.put_setting("colour", "blue")

        write()
        pulses.append(store.pulse())
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        pulses.append(store.pulse())

        assert len(set(pulses)) == 3
        with store.view() as view:
            view.setting("colour")
        assert store.pulse() == pulses[-1]

    def test_the_pulse_differs_when_the_block_has_ended_and_not_before(self, store: Store) -> None:
        """What is not committed has no pulse, and what is undone never gets one."""

        def undo() -> None:
            with store.transact("r") as t:
                t.put_setting("colour", "blue")
                assert store.pulse() == before
                raise ValueError("undo")

        before = store.pulse()
        with pytest.raises(ValueError, match="undo"):
            undo()
        assert store.pulse() == before

        with store.transact("r") as t:
            t.put_setting("colour", "blue")
            assert store.pulse() == before
        assert store.pulse() != before

    # --- the end ----------------------------------------------------------------------------------------

    def test_a_closed_store_refuses(self, furnished: Store) -> None:
        """After `close`, which may be repeated, every way in says that the store is unavailable."""
        furnished.pulse()
        furnished.close()
        furnished.close()

        with pytest.raises(StoreUnavailable):
            furnished.view().__enter__()
        with pytest.raises(StoreUnavailable):
            furnished.transact("r").__enter__()
        with pytest.raises(StoreUnavailable):
            furnished.pulse()
