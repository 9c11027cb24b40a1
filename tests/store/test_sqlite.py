"""The store in a SQLite file keeps the contract, and is what its own page says besides."""

import itertools
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection
from typing_extensions import override

from keystead.core.declaration import Kind as DeclarationKind
from keystead.core.errors import (
    ConfigError,
    DataDamaged,
    InvalidRequest,
    KeysteadError,
    StoreUnavailable,
)
from keystead.core.grant import Grant
from keystead.core.key import Origin, State
from keystead.core.ports import Change, Store, Transaction, View
from keystead.core.principal import INSTALLATION, AccessKey, Account, Principal, user_arn
from keystead.core.subject import Subject
from keystead.store import connect, migrate, sqlite
from keystead.store.memory import Memory
from keystead.store.schema import migration
from keystead.store.schema.tables import REVISION
from keystead.store.sqlite import Sqlite
from keystead.testing.contracts.store import (
    ACCOUNT,
    LIMITS,
    OPERATORS,
    OTHER_REGION,
    POLICY,
    READERS,
    REGION,
    WRITES,
    StoreContract,
    a_declaration,
    a_grant,
    a_key,
    a_key_store,
    a_principal,
    a_provider,
    a_slot,
    a_version,
    an_access_key,
    an_account,
    an_alias,
    an_offer,
    everything,
    furnish,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of a test lies, in a directory that is not there yet."""
    return tmp_path / "data" / "keystead.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty store."""
    store = connect(f"sqlite://{path}", create=True, now=lambda: 1_700_000_000.5)
    yield store
    store.close()


def put(store: Store, colour: str, request: str = "r") -> None:
    """A small transaction."""
    with store.transact(request) as t:
        t.put_setting("colour", colour)


def colour(store: Store) -> str | None:
    """What the last small transaction put."""
    with store.view() as view:
        return view.setting("colour")


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs a program, with pipes to talk through."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestSqlite(StoreContract):
    """The contract, kept by the store in a file."""

    @pytest.fixture
    def store(self, store: Store) -> Store:
        """An empty store in a new file."""
        return store


# --- opening ---------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_reopening(path: Path, store: Store) -> None:
    """Every record, the epoch and the change feed outlive the store object."""
    furnish(store)
    with store.view() as view:
        before = everything(view)
    store.close()

    with closing(connect(f"sqlite://{path}")) as again, again.view() as view:
        assert everything(view) == before


def test_nobody_else_may_read_the_files(path: Path, store: Store) -> None:
    """The directory is 0700 and every file in it 0600, whatever the umask says."""
    furnish(store)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["keystead.db", "keystead.db-wal", "keystead.db-shm"], 0o600)


def test_a_file_that_others_may_read_is_closed_to_them(path: Path, store: Store) -> None:
    """A copy that came back with a wider mode gets the right one when it is opened."""
    store.close()
    path.chmod(0o644)

    connect(f"sqlite://{path}").close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_not_made_by_connecting(path: Path) -> None:
    """A mistyped path or a volume that is not mounted is refused, with the cure, and leaves nothing."""
    for act in (connect, migrate):
        with pytest.raises(ConfigError, match="keystead init"):
            act(f"sqlite://{path}")

    assert not path.parent.exists()


def test_creating_what_exists_opens_it(path: Path, store: Store) -> None:
    """`create` makes what is missing and touches nothing that is there."""
    put(store, "red")

    with closing(connect(f"sqlite://{path}", create=True)) as again:
        assert colour(again) == "red"


def test_a_creation_that_was_cut_off_can_be_finished(path: Path) -> None:
    """An empty file is refused unless creation is asked for: then it becomes a store."""
    path.parent.mkdir()
    path.touch(mode=0o600)

    with pytest.raises(DataDamaged, match="empty"):
        connect(f"sqlite://{path}")

    with closing(connect(f"sqlite://{path}", create=True)) as store:
        put(store, "red")
        assert colour(store) == "red"


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite://data/keystead.db", "sqlite:///data/"])
def test_a_url_names_a_file_by_its_full_path(url: str) -> None:
    """A relative path would depend on where the server was started."""
    with pytest.raises(ConfigError, match="sqlite:///absolute/path"):
        connect(url, create=True)


def test_a_path_is_taken_to_the_letter(tmp_path: Path) -> None:
    """Characters that mean something in a URL mean themselves here."""
    path = tmp_path / "a b?mode=memory#%41" / "keystead.db"

    with closing(connect(f"sqlite://{path}", create=True)) as store:
        put(store, "red")

    assert path.stat().st_size > 0
    with closing(connect(f"sqlite://{path}")) as store:
        assert colour(store) == "red"


def test_a_directory_that_cannot_be_made_is_a_setting_to_change(tmp_path: Path) -> None:
    """What the file system refuses is said with the path, as a `ConfigError`."""
    (tmp_path / "file").touch()

    for path in ("file/keystead.db", "file/data/keystead.db"):
        with pytest.raises(ConfigError, match="Not a directory"):
            connect(f"sqlite://{tmp_path}/{path}", create=True)
    with pytest.raises(ConfigError, match="Not a directory"):
        connect(f"sqlite://{tmp_path}/file/keystead.db")


def test_many_processes_may_create_one_store_at_once(path: Path) -> None:
    """Whoever is first lays the tables; the others wait, and all of them open the same store."""
    program = """if True:
        import sys
        from keystead.store import connect
        sys.stdin.readline()
        store = connect(f"sqlite://{sys.argv[1]}", create=True)
        with store.transact(sys.argv[2]) as t:
            t.put_setting(sys.argv[2], "was here")
        store.close()
    """
    children = [python(program, path, number) for number in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [(child.communicate()[0], child.returncode) for child in children] == [("", 0)] * 4

    with closing(connect(f"sqlite://{path}")) as store, store.view() as view:
        assert [view.setting(str(number)) for number in range(4)] == ["was here"] * 4


# --- durability ------------------------------------------------------------------------------------------


def test_every_connection_writes_through(path: Path, store: Store) -> None:
    """WAL, `synchronous=FULL`, foreign keys and secure deletion are in force where transactions run."""
    put(store, "red")
    assert isinstance(store, Sqlite)
    asked = ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout"]
    for engine in (store._here().writer, store._here().readers):
        with engine.connect() as connection:
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
        assert found == ["wal", 2, 1, 1, 5000]


def test_a_killed_writer_loses_nothing_that_it_acknowledged(path: Path, store: Store) -> None:
    """Killed at any moment, a process leaves all that `transact` returned for, and nothing by halves."""
    program = """if True:
        import sys
        from keystead.store import connect
        store = connect(f"sqlite://{sys.argv[1]}")
        for number in range(1_000_000):
            with store.transact(f"{sys.argv[2]}-{number}") as t:
                t.put_setting(f"{sys.argv[2]}-a", str(number))
                t.put_setting(f"{sys.argv[2]}-b", str(number))
            print(number, flush=True)
    """
    for kill in range(5):
        child = python(program, path, kill)
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(1 + 7 * kill)]
        child.send_signal(signal.SIGKILL)
        seen += [int(line) for line in child.stdout.read().splitlines()]
        child.communicate()

        with closing(connect(f"sqlite://{path}")) as again, again.view() as view:
            a, b = (view.setting(f"{kill}-{half}") for half in "ab")
            assert a == b
            assert a is not None
            assert int(a) in (seen[-1], seen[-1] + 1)
            assert view.changed_by(f"{kill}-{seen[-1]}")


def test_erased_handles_leave_the_files(path: Path, store: Store) -> None:
    """Once versions are erased, their handles are in no file any more, free pages and log included."""
    handles = [f"handle-{number}-".encode() + b"x" * 200 for number in range(1, 50)]
    with store.transact("r") as t:
        t.put_key(a_key())
        for number, handle in enumerate(handles, start=1):
            t.add_version(a_version(number=number, handle=handle.decode()))
    with store.transact("r") as t:
        t.erase_versions(REGION, "k1")

    held = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert [name for name, data in held.items() if any(handle in data for handle in handles)] == []


def replace_handle(t: Transaction, handle: str) -> None:
    """Material is deleted: its version keeps its row."""
    t.put_version(a_version(handle=handle))


@pytest.mark.parametrize(
    ("make", "erase"),
    [
        (lambda t, handle: t.add_version(a_version(handle=handle)), lambda t: replace_handle(t, "")),
        (lambda t, handle: t.add_version(a_version(handle=handle)), lambda t: replace_handle(t, "other")),
        (
            lambda t, handle: t.put_import_offer(replace(an_offer(), handle=handle)),
            lambda t: t.delete_import_offer("o1"),
        ),
        (
            lambda t, handle: t.put_import_offer(replace(an_offer(), handle=handle)),
            lambda t: t.delete_import_offers(1e9),
        ),
    ],
    ids=["emptied", "replaced", "offer used", "offer ended"],
)
def test_a_handle_that_goes_leaves_the_files(
    path: Path,
    store: Store,
    make: Callable[[Transaction, str], object],
    erase: Callable[[Transaction], object],
) -> None:
    """Deleted imported material, and the private key of an import, are in no file any more."""
    handle = "handle-" + "x" * 200
    with store.transact("r") as t:
        t.put_key(a_key())
        make(t, handle)
    assert any(handle.encode() in file.read_bytes() for file in path.parent.iterdir())
    with store.transact("r") as t:
        erase(t)
        t.put_setting("colour", "red")

    held = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert [name for name, data in held.items() if handle.encode() in data] == []


@pytest.mark.parametrize("seed", range(3))
def test_an_erased_subject_leaves_the_files(path: Path, store: Store, seed: int) -> None:
    """Of thousands of subjects that came in any order, no value and no salt of those that went is in any file."""
    lot = random.Random(seed)  # noqa: S311 - a test's choices must repeat
    subjects = [
        Subject(
            commitment=f"sha256:{lot.randbytes(32).hex()}",
            lookup=lot.randbytes(32).hex(),
            member="source",
            value=f"value-{lot.randbytes(5).hex()}-{'x' * lot.randrange(40)}",
            salt=lot.randbytes(16).hex(),
            created=7.0,
        )
        for _ in range(4000)
    ]
    gone: list[Subject] = []
    left: list[Subject] = []
    for start in range(0, len(subjects), 500):
        with store.transact("r") as t:
            for each in subjects[start : start + 500]:
                t.add_subject(each)
        left += subjects[start : start + 500]
        lot.shuffle(left)
        with store.transact("r") as t:
            for each in left[:150]:
                t.erase_subject(each.commitment)
        gone, left = gone + left[:150], left[150:]

    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [each for each in gone if each.value.encode() in held or each.salt.encode() in held] == []
    assert all(each.value.encode() in held and each.salt.encode() in held for each in left)
    with store.view() as v:
        assert [v.subject(each.lookup) for each in left] == left


def test_only_an_erasure_cuts_the_log(path: Path, store: Store) -> None:
    """A version that keeps its handle, or had none, is an ordinary write: the log is left to grow."""
    furnish(store)
    store.pulse()  # SQLite removes the log with the last connection
    with store.transact("r") as t:
        replace_handle(t, "")
    log = path.with_name("keystead.db-wal")
    assert log.stat().st_size == 0

    for handle in ("anew", "anew"):
        with store.transact("r") as t:
            replace_handle(t, handle)
        assert log.stat().st_size > 0


def test_an_open_view_does_not_hold_an_erasure_up(store: Store) -> None:
    """The handles are gone from the tables at once; cutting the log is left to a later checkpoint."""
    furnish(store)
    with store.view() as view:
        assert view.version(REGION, "k1", 1) == a_version()
        with store.transact("r") as t:
            t.erase_versions(REGION, "k1")

        with store.view() as later:
            assert later.version(REGION, "k1", 1) == a_version(handle="")


# --- processes -------------------------------------------------------------------------------------------


def test_two_processes_see_each_others_commits(path: Path, store: Store) -> None:
    """The pulse differs as soon as the other's `transact` has returned, and the feed says what changed."""
    program = """if True:
        import sys
        from keystead.store import connect
        store = connect(f"sqlite://{sys.argv[1]}")
        pulse = store.pulse()
        print("ready", flush=True)
        for line in sys.stdin:
            with store.view() as view:
                change = view.changes(view.newest_change() - 1, 9)[0]
            print(store.pulse() != pulse, change.kind, change.ref, change.request, flush=True)
            with store.transact("answer") as t:
                t.put_setting("answer", line.strip())
            pulse = store.pulse()
            print("answered", flush=True)
    """
    child = python(program, path)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for number in range(5):
        put(store, str(number), f"request-{number}")
        pulse = store.pulse()
        child.stdin.write(f"{number}\n")
        child.stdin.flush()

        assert child.stdout.readline() == f"True setting colour request-{number}\n"
        assert child.stdout.readline() == "answered\n"
        assert store.pulse() != pulse
        with store.view() as view:
            assert view.setting("answer") == str(number)
            assert view.changes(view.newest_change() - 1, 9) == [
                Change(2 * number + 2, "setting", "answer", "answer")
            ]
    child.communicate()
    assert child.returncode == 0


def test_a_fork_gets_connections_of_its_own(store: Store) -> None:
    """A child may use the store that it inherited open, and neither disturbs the other."""
    put(store, "red")
    pulse = store.pulse()
    with store.view() as open_view:
        assert open_view.setting("colour") == "red"
        child = os.fork()
        if child == 0:
            # Nothing may escape into a second run of the test session.
            try:
                answers = [colour(store), store.pulse() > 0]
                put(store, "blue", "child")
                store.close()
                os._exit(0 if answers == ["red", True] else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert open_view.setting("colour") == "red"
    assert store.pulse() != pulse
    assert colour(store) == "blue"
    put(store, "green")
    assert colour(store) == "green"


def test_a_store_closed_before_a_fork_stays_closed_in_the_child(store: Store) -> None:
    """Closing is for good, in whichever process it is looked at."""
    store.close()
    child = os.fork()
    if child == 0:
        try:
            store.pulse()
        except StoreUnavailable:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- the pulse -------------------------------------------------------------------------------------------


def test_the_pulse_is_for_one_thread(store: Store) -> None:
    """Another thread than the first is refused: a number means something on its own connection only."""
    store.pulse()
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoreUnavailable, match="thread"):
        pool.submit(store.pulse).result()


def test_feeling_the_pulse_holds_nothing_up(path: Path, store: Store) -> None:
    """Between two beats no snapshot stays open, which would keep the log from ever being cut."""
    store.pulse()
    put(store, "red")
    store.pulse()

    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert path.with_name("keystead.db-wal").stat().st_size == 0


def test_a_pulse_that_cannot_be_felt_is_unavailable(path: Path) -> None:
    """Without its file the store says so, and says it again the next time."""
    store = Sqlite(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            store.pulse()


# --- waiting ---------------------------------------------------------------------------------------------


def test_a_writer_waits_for_another_process_for_a_bounded_time(path: Path, store: Store) -> None:
    """As long as another process holds the write lock, writing is unavailable and reading is not."""
    put(store, "red")
    impatient = Sqlite(path, patience=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, closing(impatient):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process"):
            impatient.transact("r").__enter__()
        assert colour(impatient) == "red"

        other.execute("ROLLBACK")
        put(impatient, "blue")
        assert colour(impatient) == "blue"


def test_a_writer_waits_for_its_own_process_for_a_bounded_time(path: Path, store: Store) -> None:
    """A transaction inside another one cannot work, and says so instead of hanging."""
    with closing(Sqlite(path, patience=0.05)) as impatient:
        with impatient.transact("outer"), pytest.raises(StoreUnavailable, match="taken too long"):
            impatient.transact("inner").__enter__()
        put(impatient, "red")


def test_views_are_bounded(path: Path, store: Store) -> None:
    """More views than there are connections wait, and not for ever."""
    with closing(Sqlite(path, patience=0.05)) as impatient:
        views = [impatient.view() for _ in range(sqlite.READERS)]
        for view in views:
            view.__enter__()
        with pytest.raises(StoreUnavailable):
            impatient.view().__enter__()
        for view in views:
            view.__exit__(None, None, None)

        assert colour(impatient) is None


# --- failures --------------------------------------------------------------------------------------------


def limit_pages(store: Store, pages: int) -> None:
    """Let the database grow to so many pages and no further: what a full disk is to SQLite."""
    assert isinstance(store, Sqlite)
    with store._here().writer.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_undoes_the_transaction_and_heals(store: Store) -> None:
    """The write is unavailable, nothing of its transaction stays, and with room it works again."""
    put(store, "red")
    limit_pages(store, 1)

    def overfill() -> None:
        with store.transact("full") as t:
            t.put_setting("size", "small")
            t.put_setting("large", "x" * 1_000_000)

    with pytest.raises(StoreUnavailable, match="disk is full"):
        overfill()

    with store.view() as view:
        assert view.setting("size") is None
        assert not view.changed_by("full")
    limit_pages(store, 1_000_000)
    put(store, "blue")
    assert colour(store) == "blue"


def test_a_transaction_that_failed_cannot_go_on(store: Store) -> None:
    """Swallowing the failure commits nothing: SQLite may have undone the first half already."""
    put(store, "red")
    limit_pages(store, 1)

    def go_on() -> None:
        with store.transact("full") as t:
            t.put_setting("size", "small")
            for size in (1_000_000, 1):
                with pytest.raises(StoreUnavailable):
                    t.put_setting("large", "x" * size)

    with pytest.raises(StoreUnavailable, match="disk is full"):
        go_on()

    with store.view() as view:
        assert view.setting("size") is None
        assert not view.changed_by("full")


def test_an_error_tells_no_value(store: Store) -> None:
    """Neither the text of an error nor what hangs on it holds what was being written."""
    limit_pages(store, 1)

    with pytest.raises(StoreUnavailable) as raised, store.transact("r") as t:
        t.put_setting("name", "a-secret-value" * 100_000)

    error: BaseException | None = raised.value
    while error is not None:
        assert "a-secret-value" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("changes", [{"rotation_period_days": 2**63}, {"created": float("nan")}])
def test_a_value_that_sqlite_cannot_hold_is_refused(store: Store, changes: dict[str, Any]) -> None:
    """It is the caller's mistake, and the transaction may go on."""
    with store.transact("r") as t:
        with pytest.raises(InvalidRequest):
            t.put_key(a_key(**changes))
        t.put_key(a_key())

    with store.view() as view:
        assert view.key(REGION, "k1") == a_key()


# --- damage ----------------------------------------------------------------------------------------------


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Write into the file behind the store's back."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def damage_middle(path: Path) -> None:
    """Garbage in every page but the first."""
    overwrite(path, 4096, b"\xa5" * (path.stat().st_size - 4096))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"this is not a database" * 1000),
    "header": lambda path: overwrite(path, 0, bytes(100)),
    "pages": damage_middle,
    "cut": lambda path: os.truncate(path, 3 * 4096),
    "emptied": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_refused_at_start(
    path: Path, store: Store, damage: Callable[[Path], object]
) -> None:
    """The error names the file and the cure, and the file is left as it is for whoever looks into it."""
    furnish(store)
    store.close()
    damage(path)
    before = path.read_bytes()

    for act in (connect, migrate):
        with pytest.raises(DataDamaged, match="backup") as raised:
            act(f"sqlite://{path}")
        assert str(path) in str(raised.value)
    assert path.read_bytes() == before


def test_damage_in_a_large_file_is_found_when_it_is_read(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is too large to check at start opens, and its damage is reported where it is met."""
    with store.transact("r") as t:
        for number in range(200):
            t.put_key(a_key(f"k{number:03}", policy="x" * 1000))
    store.close()
    size = path.stat().st_size
    overwrite(path, size // 2, b"\xa5" * (size // 2))
    monkeypatch.setattr(sqlite, "CHECKED_BYTES", 0)

    with closing(connect(f"sqlite://{path}")) as opened, opened.view() as view:
        with pytest.raises(DataDamaged, match="backup"):
            view.keys(ACCOUNT, REGION, "", 1000)
        with pytest.raises(DataDamaged, match="backup"):
            view.newest_change()


ROW_DAMAGE: dict[str, tuple[str, Callable[[View], object]]] = {
    "state": ("UPDATE keys SET state = 'Secretive'", lambda view: view.key(REGION, "k1")),
    "type": ("UPDATE keys SET policy = x'536563726574697665'", lambda view: view.key(REGION, "k1")),
    "members": ("UPDATE keys SET members = '{}'", lambda view: view.key(REGION, "k1")),
    "operations": ("UPDATE grants SET operations = '[7]'", lambda view: view.grant(REGION, "k1", "g1")),
    "context": (
        "UPDATE grants SET context_subset = '[\"Secretive\"]'",
        lambda view: view.grants(REGION, "k1", None, "", 9),
    ),
    "connection": ("UPDATE key_stores SET connection = 'Secretive'", lambda view: view.key_store("cks-1")),
    "offer": ("UPDATE import_offers SET handle = x'00'", lambda view: view.import_offer("o1")),
    "reason": ("UPDATE versions SET rotation = 'Secretive'", lambda view: view.versions(REGION, "k1", 0, 9)),
    "json": ("UPDATE seal_slots SET parameters = 'Secretive'", lambda view: view.seal_slots()),
    "object": ("UPDATE seal_slots SET parameters = '[1]'", lambda view: view.seal_slots()),
    "blob": ("UPDATE seal_slots SET parameters = 7", lambda view: view.seal_slots()),
    "text": ("UPDATE settings SET value = CAST(x'ff' AS TEXT)", lambda view: view.setting("colour")),
    "attached": ("UPDATE principals SET attached = '{}'", lambda view: view.principal(a_principal().arn)),
    "groups": ("UPDATE principals SET groups = 'Secretive'", lambda view: view.members(OPERATORS, "", 9)),
    "pairs": (
        "UPDATE principals SET tags = '[[\"Secretive\"]]'",
        lambda view: view.principals_under(READERS, 9),
    ),
    "session": ("UPDATE principals SET session_seconds = 'x'", lambda view: view.principals(ACCOUNT, "", 9)),
    "account": ("UPDATE accounts SET created = 'Secretive'", lambda view: view.account(ACCOUNT)),
    "declaration": (
        "UPDATE declarations SET updated = 'Secretive'",
        lambda view: view.declaration(ACCOUNT, POLICY, "readers"),
    ),
    "audiences": (
        "UPDATE providers SET audiences = '\"Secretive\"'",
        lambda view: view.providers(ACCOUNT, "", 9),
    ),
    "table": ("DROP TABLE tags", lambda view: view.tags(REGION, "k1", "", 9)),
}


@pytest.mark.parametrize(("edit", "ask"), ROW_DAMAGE.values(), ids=ROW_DAMAGE.keys())
def test_a_row_that_does_not_read_is_damage(
    path: Path, store: Store, edit: str, ask: Callable[[View], object]
) -> None:
    """A row that was edited into nonsense is reported by its name, without what stands in it."""
    furnish(store)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(edit)

    with store.view() as view, pytest.raises(DataDamaged, match="backup") as raised:
        ask(view)

    assert "Secretive" not in str(raised.value)


def test_damage_is_named_by_the_whole_name_of_its_row(path: Path, store: Store) -> None:
    """A version of which key, in which Region: enough to find the row."""
    furnish(store)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE versions SET rotation = 'Secretive'")

    with store.view() as view, pytest.raises(DataDamaged, match=f"Version '{REGION}/k1/1'"):
        view.version(REGION, "k1", 1)


# --- the schema ------------------------------------------------------------------------------------------


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    """A file with tables that are not ours is not laid out, whatever was asked."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE albums (title TEXT)")

    with pytest.raises(DataDamaged, match="not made by Keystead"):
        connect(f"sqlite://{path}", create=True)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("albums",)]


def test_a_newer_schema_is_refused(path: Path, store: Store) -> None:
    """An older version of the program does not touch what a newer one wrote, and names the cure."""
    furnish(store)
    store.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")

    for act in (connect, migrate):
        with pytest.raises(ConfigError, match=r"revision 9999.*backup"):
            act(f"sqlite://{path}")


def test_a_lost_revision_is_damage(path: Path, store: Store) -> None:
    """Without knowing what the tables are, nothing may be done to them."""
    store.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM alembic_version")

    with pytest.raises(DataDamaged, match="revision"):
        connect(f"sqlite://{path}")


def test_migrating_says_what_it_did(path: Path, store: Store) -> None:
    """On a store that is up to date, nothing: and the rows are still there."""
    furnish(store)
    with store.view() as view:
        before = everything(view)

    assert migrate(f"sqlite://{path}") == (REVISION, REVISION)

    with store.view() as view:
        assert everything(view) == before


def old_store(path: Path, *statements: str, revision: str = "0001") -> None:
    """A file as an older version laid and left it, the first of all unless told otherwise, with these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = sqlite._engine(path, "BEGIN IMMEDIATE", size=1, patience=1, foreign_keys=False)
    with engine.connect() as connection:
        migration.upgrade(connection, migration.EMPTY, revision)
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.commit()
    engine.dispose()


OLD_KEY = "INSERT INTO keys VALUES ({}, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', {})"
OLD_ROWS = (
    OLD_KEY.format(
        "'k1', '111111111111', 'eu-central-1'", "'Enabled', 1.0, 'first', '{}', 2, NULL, 90, 9.0, 1"
    ),
    OLD_KEY.format(
        "'k2', '111111111111', 'us-east-1'", "'PendingDeletion', 2.0, '', '{}', 1, 7.0, NULL, NULL, 0"
    ),
    "INSERT INTO versions VALUES ('k1', 1, 'h1', 'm1', 1.0, 'FIRST')",
    "INSERT INTO versions VALUES ('k1', 2, 'h2', 'm2', 3.0, 'ON_DEMAND')",
    "INSERT INTO versions VALUES ('k2', 1, 'h3', 'm3', 2.0, 'FIRST')",
    "INSERT INTO aliases VALUES ('111111111111', 'eu-central-1', 'alias/a', 'k1', 1.0, 1.5)",
    "INSERT INTO tags VALUES ('k2', 'team', 'red')",
    "INSERT INTO principals VALUES ('arn:aws:iam::111111111111:user/alice', '111111111111', 'alice', 1.0, '', 1)",
    "INSERT INTO access_keys VALUES ('AK1', 'arn:aws:iam::111111111111:user/alice', 'wrapped', 1.0, 1)",
    "INSERT INTO settings VALUES ('colour', 'red')",
    "INSERT INTO changes VALUES (41, 'key', 'k1', 'old', 1.0)",
)


# As the second version left them: the tables of keys are today's.
IDENTITY_ROWS = (
    "INSERT INTO principals VALUES ('arn:aws:iam::111111111111:user/alice', '111111111111', 'alice', 1.0, '{}', 0)",
    "INSERT INTO principals VALUES ('arn:aws:iam::111111111111:user/bob', '111111111111', 'bob', 2.0, '', 1)",
    "INSERT INTO access_keys VALUES ('AK1', 'arn:aws:iam::111111111111:user/alice', 'wrapped', 1.0, 0)",
    "INSERT INTO access_keys VALUES ('AK2', 'arn:aws:iam::111111111111:user/bob', 'wrapped too', 2.0, 1)",
    "INSERT INTO settings VALUES ('account', '111111111111')",
    "INSERT INTO account_keys VALUES ('000000000000', 'own')",
    "INSERT INTO account_keys VALUES ('111111111111', 'kek')",
    "INSERT INTO changes VALUES (41, 'access-key', 'AK2', 'old', 1.0)",
)
OLD_STORES = [("0001", OLD_ROWS), ("0002", IDENTITY_ROWS)]


def test_a_store_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    """Every key, version, alias, tag and person is there afterwards, and the epoch goes on from where it was."""
    old_store(path, *OLD_ROWS)
    assert migrate(f"sqlite://{path}") == ("0001", REVISION)

    with closing(connect(f"sqlite://{path}")) as store, store.view() as view:
        first, second = view.key("eu-central-1", "k1"), view.key("us-east-1", "k2")
        assert first is not None
        assert second is not None
        assert (first.description, first.current_version, first.rotations_on_demand) == ("first", 2, 1)
        assert (first.origin, first.members, first.expires, first.key_store) == (Origin.AWS_KMS, (), None, "")
        assert (second.state, second.deletion_date) == (State.PENDING_DELETION, 7.0)
        assert view.key("us-east-1", "k1") is None
        versions = view.versions("eu-central-1", "k1", 0, 9)
        assert [(v.number, v.handle, v.material_id, v.rotated) for v in versions] == [
            (1, "h1", "m1", None),
            (2, "h2", "m2", 3.0),
        ]
        assert [v.handle for v in view.versions("us-east-1", "k2", 0, 9)] == ["h3"]
        alias = view.alias("111111111111", "eu-central-1", "alias/a")
        assert alias is not None
        assert (alias.key_id, alias.updated) == ("k1", 1.5)
        assert view.tags("us-east-1", "k2", "", 9) == [("team", "red")]
        assert view.access_key("AK1") is not None
        assert view.setting("colour") == "red"
        assert view.newest_change() == 41
        assert view.changes(40, 9) == [Change(41, "key", "eu-central-1/k1", "old")]
    with closing(connect(f"sqlite://{path}")) as store:
        with store.transact("new") as tx:
            tx.put_setting("colour", "blue")
        with store.view() as view:
            assert view.newest_change() == 42


def test_a_store_of_the_second_version_is_brought_up_to_date(path: Path) -> None:
    """Everybody is there with what they had, in no group and under no policy; the first account is called main."""
    old_store(path, *IDENTITY_ROWS, revision="0002")
    assert migrate(f"sqlite://{path}") == ("0002", REVISION)

    alice = Principal(
        arn=user_arn(ACCOUNT, "alice"), account=ACCOUNT, name="alice", created=1.0, policy="{}", enabled=False
    )
    bob = Principal(arn=user_arn(ACCOUNT, "bob"), account=ACCOUNT, name="bob", created=2.0)
    with closing(connect(f"sqlite://{path}")) as store:
        with store.view() as view:
            assert view.principals(ACCOUNT, "", 9) == [alice, bob]
            assert view.access_keys(alice.arn) == [
                AccessKey(id="AK1", principal=alice.arn, protected="wrapped", created=1.0, enabled=False)
            ]
            assert view.access_key("AK2") == AccessKey(
                id="AK2", principal=bob.arn, protected="wrapped too", created=2.0
            )
            assert view.accounts("", 9) == [Account(id=ACCOUNT, name="main", created=0.0)]
            assert view.account(INSTALLATION) is None
            assert view.account_keys() == {INSTALLATION: "own", ACCOUNT: "kek"}
            assert view.changes(40, 9) == [Change(41, "access-key", "AK2", "old")]
        with store.transact("new") as tx:
            tx.delete_principal(alice.arn)
            tx.put_principal(replace(bob, groups=(OPERATORS,)))
        with store.view() as view:
            assert [principal.name for principal in view.members(OPERATORS, "", 9)] == ["bob"]
            assert view.access_key("AK1") is None
            assert view.newest_change() == 44


@pytest.mark.parametrize(("revision", "statements"), OLD_STORES)
def test_an_upgrade_that_fails_half_way_leaves_the_old_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, revision: str, statements: tuple[str, ...]
) -> None:
    """It is one transaction: what was there is there, at the old revision, and the next try succeeds."""
    old_store(path, *statements, revision=revision)
    with closing(sqlite3.connect(path)) as other:
        before = list(other.iterdump())

    def half_way(connection: Connection, current: str) -> None:
        migration.upgrade(connection, current)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_upgrade", half_way)
        with pytest.raises(KeyboardInterrupt):
            migrate(f"sqlite://{path}")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]
        assert list(other.iterdump()) == before
    assert migrate(f"sqlite://{path}") == (revision, REVISION)


@pytest.mark.parametrize(
    ("revision", "statements", "loss"),
    [
        ("0001", OLD_ROWS, "DELETE FROM keys WHERE id = 'k1'"),
        ("0001", OLD_ROWS, "DELETE FROM principals"),
        ("0002", IDENTITY_ROWS, "DELETE FROM principals WHERE name = 'alice'"),
    ],
)
def test_an_upgrade_that_leaves_references_dangling_is_refused(
    path: Path, revision: str, statements: tuple[str, ...], loss: str
) -> None:
    """Foreign keys are off while tables are rebuilt, so they are checked before the commit."""
    old_store(path, *statements, loss, revision=revision)
    with pytest.raises(DataDamaged, match="nothing was changed"):
        migrate(f"sqlite://{path}")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]


def test_who_waited_for_an_upgrade_finds_it_done(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes that both saw an old schema upgrade it once: the second looks again under the lock."""
    with closing(sqlite3.connect(path)) as other:
        script = "".join(other.iterdump())
    store.close()
    path.unlink()
    path.touch(mode=0o600)

    # Between looking and taking the lock, somebody else lays the tables.
    def lay_first(path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA journal_mode=WAL")
            other.executescript(script)

    monkeypatch.setattr(sqlite, "_set_wal", lay_first)

    with closing(connect(f"sqlite://{path}", create=True)) as opened:
        put(opened, "red")
        assert colour(opened) == "red"


def test_a_file_system_without_shared_memory_is_refused(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite cannot use a WAL (a network file system), the store does not open."""
    # A database in memory is one that has no WAL, too.
    monkeypatch.setattr(sqlite, "_open", lambda *_: sqlite3.connect(":memory:"))

    with pytest.raises(ConfigError, match="local disk"):
        sqlite._set_wal(path)


def test_a_file_that_is_locked_while_it_gets_its_mode_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Putting a restored copy into WAL mode needs it alone, and does not wait for ever."""
    path.parent.mkdir()
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable):
            sqlite._set_wal(path)


def test_a_store_that_is_up_to_date_opens_without_alembic(path: Path, store: Store) -> None:
    """Neither a new store nor one at today's revision pays for importing the migrations' machinery."""
    program = """if True:
        import sys
        from keystead.store import connect
        connect(f"sqlite://{sys.argv[1]}").close()
        connect(f"sqlite://{sys.argv[1]}.new", create=True).close()
        print("alembic" in sys.modules)
    """
    assert python(program, path).communicate()[0] == "False\n"


# --- growth ----------------------------------------------------------------------------------------------


def test_old_changes_are_forgotten(path: Path, store: Store) -> None:
    """The feed keeps the newest; a reader who is further behind is told so. Numbers never come back."""
    with closing(Sqlite(path, kept_changes=10, prune_every=5)) as pruned:
        for number in range(1, 25):
            put(pruned, str(number), f"r{number}")
        with pruned.transact("idle"):
            pass

        with pruned.view() as view:
            assert view.newest_change() == 24
            assert view.changes(9, 99) is None
            assert [change.seq for change in view.changes(10, 99) or []] == list(range(11, 25))
            assert not view.changed_by("r10")
            assert view.changed_by("r11")


def test_changes_carry_their_time(path: Path, store: Store) -> None:
    """For people who look into the file: when each change was made, by the clock that was handed in."""
    put(store, "red")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT at FROM changes").fetchall() == [(1_700_000_000.5,)]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (sqlite.KEYS, "keys_listed"),
        (sqlite.KEYS_TO_DESTROY, "keys_to_destroy"),
        (sqlite.KEYS_TO_ROTATE, "keys_to_rotate"),
        (sqlite.KEYS_TO_EXPIRE, "keys_to_expire"),
        (sqlite.KEYS_IN_STORE, "keys_in_store"),
        (sqlite.KEY, "sqlite_autoindex_keys_1"),
        (sqlite.VERSION, "sqlite_autoindex_versions_1"),
        (sqlite.VERSIONS, "sqlite_autoindex_versions_1"),
        (sqlite.LAST_VERSION, "sqlite_autoindex_versions_1"),
        (sqlite.ALIASES, "sqlite_autoindex_aliases_1"),
        (sqlite.ALIASES_OF_KEY, "aliases_of_key"),
        (sqlite.TAGS, "sqlite_autoindex_tags_1"),
        (sqlite.GRANT, "sqlite_autoindex_grants_1"),
        (sqlite.GRANTS, "sqlite_autoindex_grants_1"),
        (sqlite.COUNT_GRANTS, "sqlite_autoindex_grants_1"),
        (sqlite.GRANTS_TO, "grants_of_principal"),
        (sqlite.GRANTS_TO_SESSIONS, "grants_of_principal"),
        (sqlite.GRANTS_RETIRED_BY, "grants_retired_by_principal"),
        (sqlite.GRANTS_RETIRED_BY_SESSIONS, "grants_retired_by_principal"),
        (sqlite.GRANTS_OF_PRINCIPAL, "grants_of_principal"),
        (sqlite.GRANTS_OF_SERVICE, "grants_of_service"),
        (sqlite.RETIRED_BY_PRINCIPAL, "grants_retired_by_principal"),
        (sqlite.RETIRED_BY_SERVICE, "grants_retired_by_service"),
        (sqlite.ENDED_OFFERS, "import_offers_by_end"),
        (sqlite.KEY_STORES, "key_stores_listed"),
        (sqlite.PRINCIPALS, "principals_of_account"),
        (sqlite.UNLINK_PRINCIPAL, "principal_links_of_principal"),
        (sqlite.ACCESS_KEYS, "access_keys_of_principal"),
        (sqlite.ACCOUNTS, "sqlite_autoindex_accounts_1"),
        (sqlite.DECLARATION, "sqlite_autoindex_declarations_1"),
        (sqlite.DECLARATIONS, "sqlite_autoindex_declarations_1"),
        (sqlite.PROVIDERS, "providers_of_account"),
        (sqlite.CHANGES, "INTEGER PRIMARY KEY"),
        (sqlite.CHANGED_BY, "changes_of_request"),
    ],
)
def test_a_list_is_read_along_its_index(path: Path, store: Store, statement: Any, index: str) -> None:
    """A page costs what is in it, with a million keys as with ten: no scan and no sorting."""
    steps = plan(path, statement)
    assert len(steps) == 1
    assert steps[0].startswith("SEARCH")
    assert index in steps[0]


@pytest.mark.parametrize("statement", [sqlite.MEMBERS, sqlite.PRINCIPALS_UNDER])
def test_linked_principals_are_read_along_their_links(path: Path, store: Store, statement: Any) -> None:
    """First the links of the group or policy, in order, then each principal by its name: none of the others."""
    links, principals = plan(path, statement)
    assert links.startswith("SEARCH principal_links USING COVERING INDEX sqlite_autoindex_principal_links_1")
    assert "kind=? AND ref=?" in links
    assert principals == "SEARCH principals USING INDEX sqlite_autoindex_principals_1 (arn=?)"


def test_links_are_no_more_than_what_principals_say(path: Path, store: Store) -> None:
    """Putting a principal again, or another form of it, leaves nothing behind; deleting it leaves nothing at all."""

    def links() -> list[tuple[str, str, str]]:
        with closing(sqlite3.connect(path)) as other:
            return other.execute("SELECT kind, ref, principal FROM principal_links ORDER BY 1, 2").fetchall()

    alice = a_principal(attached=(READERS, READERS, LIMITS), groups=(OPERATORS, OPERATORS))
    for _ in range(2):
        with store.transact("r") as t:
            t.put_principal(alice)
        assert links() == [
            ("group", OPERATORS, alice.arn),
            ("policy", LIMITS, alice.arn),
            ("policy", READERS, alice.arn),
        ]
    with store.transact("r") as t:
        t.put_principal(replace(alice, attached=(), groups=()))
    assert links() == [("policy", LIMITS, alice.arn)]
    with store.transact("r") as t:
        t.delete_principal(alice.arn)
    assert links() == []


def plan(path: Path, statement: Any) -> list[str]:
    """The steps in which SQLite would carry a statement out."""
    compiled = statement.compile(dialect=sqlite._engine(path, "BEGIN", size=1, patience=1).dialect)
    with closing(sqlite3.connect(path)) as other:
        steps = other.execute(f"EXPLAIN QUERY PLAN {compiled}", [1] * len(compiled.positiontup)).fetchall()
    return [step[3] for step in steps]


# --- against the store in memory -------------------------------------------------------------------------

KEY_IDS = st.sampled_from(["k1", "k2", "k3"])
TEXTS = st.sampled_from(["a", "b", "\u00e9", ""])
USERS = st.sampled_from(["alice", "bob"])
DATES = st.none() | st.integers(1, 5).map(float)


def call(name: str, *arguments: Any) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """A write by its name, with arguments drawn from these."""
    return st.tuples(st.just(name), st.tuples(*arguments))


REGIONS = st.sampled_from([REGION, OTHER_REGION])
ACCOUNTS = st.sampled_from([ACCOUNT, INSTALLATION])
DECLARATION_KINDS = st.sampled_from(DeclarationKind)
REFS = st.lists(TEXTS, max_size=3).map(tuple)
NAMED = st.sampled_from(["", "bob", "backup.example.com"])


def grants(region: str, key_id: str, text: str, named: tuple[str, str, str, str]) -> Grant:
    """A grant whose id no other key has."""
    grantee, service, retiring, retiring_service = named
    return a_grant(
        f"{region}-{key_id}-{text}",
        key_id,
        region=region,
        grantee=grantee,
        grantee_service=service,
        retiring=retiring,
        retiring_service=retiring_service,
    )


CALLS = st.one_of(
    call(
        "put_key",
        st.builds(
            a_key,
            KEY_IDS,
            state=st.sampled_from(State),
            region=REGIONS,
            description=TEXTS,
            deletion_date=DATES,
            rotation_period_days=st.none() | st.just(90),
            next_rotation=DATES,
            expires=DATES,
            members=st.just(()) | st.just((REGION, OTHER_REGION)),
            key_store=TEXTS,
        ),
    ),
    call("add_version", st.builds(a_version, KEY_IDS, st.integers(1, 3), TEXTS, REGIONS)),
    call("put_version", st.builds(a_version, KEY_IDS, st.integers(1, 3), TEXTS, REGIONS)),
    call("erase_versions", REGIONS, KEY_IDS),
    call("put_grant", st.builds(grants, REGIONS, KEY_IDS, TEXTS, st.tuples(NAMED, NAMED, NAMED, NAMED))),
    st.tuples(REGIONS, KEY_IDS, TEXTS).map(
        lambda place: ("delete_grant", (place[0], place[1], "-".join(place)))
    ),
    call("put_import_offer", st.builds(an_offer, TEXTS, st.integers(1, 5).map(float))),
    call("delete_import_offer", TEXTS),
    call("delete_import_offers", st.integers(1, 5).map(float)),
    call("put_key_store", st.builds(a_key_store, TEXTS, region=REGIONS)),
    call("delete_key_store", TEXTS),
    call("put_alias", st.builds(an_alias, TEXTS, KEY_IDS, region=REGIONS)),
    call("delete_alias", st.just(ACCOUNT), st.just(REGION), TEXTS),
    call("put_tag", REGIONS, KEY_IDS, TEXTS, TEXTS),
    call("delete_tag", REGIONS, KEY_IDS, TEXTS),
    call(
        "put_principal",
        st.builds(
            a_principal,
            USERS,
            attached=REFS,
            groups=REFS,
            boundary=TEXTS,
            tags=st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
            mfa_step=st.integers(0, 3),
        ),
    ),
    call("delete_principal", USERS.map(lambda name: a_principal(name).arn)),
    call("put_access_key", st.builds(an_access_key, TEXTS, USERS)),
    call("delete_access_key", TEXTS),
    call("put_account", st.builds(an_account, ACCOUNTS, TEXTS)),
    call("put_declaration", st.builds(a_declaration, TEXTS, DECLARATION_KINDS, ACCOUNTS, TEXTS)),
    call("delete_declaration", ACCOUNTS, DECLARATION_KINDS, TEXTS),
    call("put_provider", st.builds(a_provider, TEXTS, keys=TEXTS, audiences=REFS)),
    call("delete_provider", TEXTS.map(lambda name: a_provider(name).arn)),
    call("put_account_key", TEXTS, TEXTS),
    call("put_seal_slot", st.builds(a_slot, TEXTS)),
    call("delete_seal_slot", TEXTS),
    call("put_setting", TEXTS, TEXTS),
)


def answers(view: View) -> dict[str, object]:
    """Everything that may be asked of the small world above, in pages of two."""
    found: dict[str, object] = {"epoch": view.newest_change(), "feed": view.changes(0, 1000)}
    for text in ("", "a", "b", "k1", "k2"):
        found[f"after {text}"] = (
            view.keys(ACCOUNT, REGION, text, 2),
            view.aliases(ACCOUNT, REGION, None, text, 2),
            view.aliases(ACCOUNT, REGION, "k1", text, 2),
            view.principals(ACCOUNT, text, 2),
            view.tags(REGION, "k1", text, 2),
            view.setting(text),
            view.keys_in_store(text, "", 2),
            view.keys_in_store("a", text, 2),
            view.import_offer(text),
            view.key_store(text),
            view.key_stores(ACCOUNT, REGION, text, 2),
            view.members(text, "", 1),
            view.members(text, a_principal("alice").arn, 2),
            view.principals_under(text, 1),
            view.principals_under(text, 2),
            view.accounts(text, 2),
            view.provider(a_provider(text).arn),
            view.providers(ACCOUNT, a_provider(text).arn, 2),
            [view.declaration(ACCOUNT, kind, text) for kind in DeclarationKind],
            [view.declarations(INSTALLATION, kind, text, 2) for kind in DeclarationKind],
        )
    for date in (1.0, 3.0, 5.0):
        found[f"due at {date}"] = (
            view.keys_to_destroy(date, 2),
            view.keys_to_rotate(date, 2),
            view.keys_to_expire(date, 2),
        )
    for place in itertools.product((REGION, OTHER_REGION), ("k1", "k2", "k3")):
        found["/".join(place)] = (
            view.key(*place),
            view.versions(*place, 0, 9),
            view.last_version(*place),
            view.tags(*place, "", 9),
            [view.grants(*place, named, "", 2) for named in (None, "", "bob", "backup.example.com")],
            view.count_grants(*place),
        )
    for named in ("", "bob", "backup.example.com"):
        first = view.retirable_grants(named, REGION, "", 2)
        more = [view.retirable_grants(named, REGION, grant.id, 2) for grant in first]
        found[f"retired by {named}"] = (first, more)
        found[f"granted to {named}"] = view.grants_to(named or "nobody", 3)
        anywhere = view.grants_retired_by(named or "nobody", 999)
        found[f"retired anywhere by {named}"] = sorted(grant.id for grant in anywhere)
    for name in ("alice", "bob"):
        arn = a_principal(name).arn
        found[name] = (view.principal(arn), view.access_keys(arn))
    found["accounts"] = [view.account(account) for account in (ACCOUNT, INSTALLATION)]
    return found | {"account keys": view.account_keys(), "slots": view.seal_slots()}


class Undo(Exception):
    """Ends a transaction that is to be undone."""


class TwoStores(RuleBasedStateMachine):
    """The same transactions on the store in memory and on the one in a file."""

    directory: Path
    count = 0

    @initialize()
    def open(self) -> None:
        """Two empty stores."""
        type(self).count += 1
        self.path = self.directory / f"{self.count}.db"
        self.memory: Store = Memory()
        self.file: Store = connect(f"sqlite://{self.path}", create=True)

    @rule(calls=st.lists(CALLS, max_size=8), undo=st.booleans())
    def transact(self, calls: list[tuple[str, tuple[Any, ...]]], undo: bool) -> None:
        """One transaction; both must answer each call alike."""
        outcomes: list[list[object]] = []
        for store in (self.memory, self.file):
            outcome: list[object] = []
            try:
                with store.transact("request") as t:
                    outcome += [self.one(t, name, arguments) for name, arguments in calls]
                    outcome.append(answers(t))
                    if undo:
                        raise Undo
            except Undo:
                outcome.append("undone")
            outcomes.append(outcome)
        assert outcomes[0] == outcomes[1]

    @staticmethod
    def one(t: Transaction, name: str, arguments: tuple[Any, ...]) -> object:
        """What a call returns, or the class of what it raises."""
        try:
            return getattr(t, name)(*arguments)
        except KeysteadError as error:
            return type(error)

    @rule()
    def reopen(self) -> None:
        """The file is closed and opened again."""
        self.file.close()
        self.file = connect(f"sqlite://{self.path}")

    @invariant()
    def same(self) -> None:
        """Both stores give the same answers."""
        if hasattr(self, "file"):
            with self.memory.view() as one, self.file.view() as two:
                assert answers(one) == answers(two)

    @override
    def teardown(self) -> None:
        """Close both."""
        if hasattr(self, "file"):
            self.file.close()
            self.path.unlink()


def test_the_file_does_what_memory_does(tmp_path: Path) -> None:
    """On random histories of transactions, undone ones among them, the two stores cannot be told apart."""
    TwoStores.directory = tmp_path
    run_state_machine_as_test(TwoStores, settings=settings(stateful_step_count=12))


def test_no_write_goes_untested() -> None:
    """The contract's table names every write that the port has."""
    verbs = ("put_", "add_", "erase_", "delete_")
    assert set(WRITES) == {name for name in dir(Transaction) if name.startswith(verbs)}
