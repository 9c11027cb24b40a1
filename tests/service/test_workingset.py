"""What a process has in use: bounded, never older than the feed says, and never a guess."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from keystead.core.errors import DataDamaged
from keystead.core.key import key_ref
from keystead.core.names import KeyReference
from keystead.core.principal import Principal, Session, role_arn, session_arn, user_arn
from keystead.crypto.secret import Secret
from keystead.service import workingset as w
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.results.kms import Encrypted, KeyDescription
from keystead.service.workingset import Absent, Bounded, Held, NotLoaded, Presented, Wanted, WorkingSet
from keystead.store.memory import Memory
from keystead.testing.installation import ACCOUNT, REGION, Installation

ALIAS = KeyReference("alias/a", is_alias=True)
ALIAS_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/a"
ALICE = user_arn(ACCOUNT, "alice")


class Scene:
    """An installation, the gate of another process, and a working set to look at."""

    def __init__(self, store: Memory | None = None) -> None:
        self.house = Installation(store)
        self.other = self.house.gate("other")
        self.working = self.fresh()

    def fresh(self, *, keys: int = 100, materials: int = 100) -> WorkingSet:
        """A working set that holds nothing yet."""
        return WorkingSet(self.house.store, self.house.custodian, keys=keys, materials=materials)

    def does(self, command: Command) -> object:
        """Another process carries out a command."""
        return self.house.ask(self.other, command).outcome()

    def key(self) -> str:
        """A new key's id."""
        result = self.does(c.CreateKey())
        assert isinstance(result, KeyDescription)
        return result.key.id

    def load(self, wanted: Wanted) -> None:
        """Load and admit at once."""
        self.working.admit(self.working.load(wanted))

    def enable(self, *, enabled: bool) -> None:
        """Enable or disable alice in the store."""
        with self.house.store.transact(f"alice-{enabled}") as tx:
            principal = tx.principal(ALICE)
            assert principal is not None
            tx.put_principal(replace(principal, enabled=enabled))


# --- the bound -------------------------------------------------------------------------------------------


def test_the_oldest_unused_value_goes_first() -> None:
    """What was used since it came to its place gets a second chance, once."""
    bounded = Bounded(2)
    bounded.keep("a", Held())
    bounded.keep("b", Held())
    bounded["b"].used = False
    bounded.keep("c", Held())
    assert list(bounded) == ["a", "c"]  # a was used, b was not
    bounded.keep("d", Held())
    assert list(bounded) == ["c", "d"]  # and the chance was only one


def test_a_value_that_is_kept_again_replaces_itself() -> None:
    """Keeping a name twice does not push others out."""
    bounded = Bounded(2)
    for name in ("a", "b", "a", "b"):
        bounded.keep(name, Held())
    assert set(bounded) == {"a", "b"}


def test_memory_does_not_grow_with_the_keys_that_exist() -> None:
    """More keys, aliases and strangers than the bound: only so many are held, each still loads."""
    scene = Scene()
    scene.working = scene.fresh(keys=3)
    for _ in range(5):
        scene.load(Wanted("key", scene.key(), region=REGION))
    for number in range(5):
        scene.load(Wanted("access-key", f"AKIA{number}"))
        scene.load(Wanted("alias", f"alias/{number}", account=ACCOUNT, region=REGION))
    held = (scene.working._keys, scene.working._credentials, scene.working._aliases)
    assert [len(each) for each in held] == [3, 3, 3]


def test_older_versions_are_bounded_as_well() -> None:
    """Past the limit all older versions are let go of, and are loaded again when they are asked for."""
    scene = Scene()
    key_id = scene.key()
    absent = scene.key() + "x"
    for _ in range(3):
        scene.does(c.RotateKeyOnDemand(KeyReference(key_id)))
    scene.working = scene.fresh(materials=2)
    scene.load(Wanted("key", absent, region=REGION))
    scene.load(Wanted("key", key_id, region=REGION))
    held = scene.working.key(REGION, key_id)
    assert held is not None
    assert held.version == 4
    for number in (1, 2):
        scene.load(Wanted("version", key_id, number, region=REGION))
        assert scene.working.material(held, number) is not None
    scene.load(Wanted("version", key_id, 3, region=REGION))
    assert not held.older
    with pytest.raises(NotLoaded):
        scene.working.material(held, 3)
    scene.load(Wanted("version", key_id, 3, region=REGION))
    assert scene.working.material(held, 3) is not None


# --- what is not there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "look"),
    [
        (Wanted("key", "k", region=REGION), lambda working: working.key(REGION, "k")),
        (
            Wanted("alias", "alias/a", account=ACCOUNT, region=REGION),
            lambda s: s.alias(ALIAS, ACCOUNT, REGION),
        ),
        (Wanted("access-key", "AKIA"), lambda working: working.credential("AKIA")),
    ],
)
def test_what_is_not_there_is_asked_for_once(wanted: Wanted, look: Callable[[WorkingSet], object]) -> None:
    """The first look raises what is wanted; after the load it is known that there is none."""
    scene = Scene()
    with pytest.raises(NotLoaded) as missing:
        look(scene.working)
    assert missing.value.wanted == wanted
    scene.load(wanted)
    assert look(scene.working) is None


def test_that_an_alias_does_not_exist_is_forgotten_when_it_does() -> None:
    """An alias made elsewhere works after the next catching up."""
    scene = Scene()
    wanted = Wanted("alias", "alias/a", account=ACCOUNT, region=REGION)
    scene.load(wanted)
    key_id = scene.key()
    scene.does(c.CreateAlias("alias/a", KeyReference(key_id)))
    scene.working.catch_up()
    with pytest.raises(NotLoaded):
        scene.working.alias(ALIAS, ACCOUNT, REGION)
    scene.load(wanted)
    assert scene.working.alias(ALIAS, ACCOUNT, REGION) == key_id


def test_a_version_without_material_is_absent() -> None:
    """A number that was never used is known not to exist, and is not loaded again."""
    scene = Scene()
    key_id = scene.key()
    scene.load(Wanted("key", key_id, region=REGION))
    held = scene.working.key(REGION, key_id)
    assert held is not None
    scene.load(Wanted("version", key_id, 7, region=REGION))
    assert scene.working.material(held, 7) is None


def test_a_version_of_a_key_that_was_evicted_is_dropped() -> None:
    """There is nowhere to put it; the next try loads the key first."""
    scene = Scene()
    key_id = scene.key()
    loaded = scene.working.load(Wanted("version", key_id, 1, region=REGION))
    scene.working.admit(loaded)
    with pytest.raises(NotLoaded):
        scene.working.key(REGION, key_id)


def test_a_key_without_its_current_version_is_damage() -> None:
    """Half-restored data says what is missing and what to do."""
    scene = Scene()
    key_id = scene.key()
    with scene.house.store.transact("damage") as tx:
        key = tx.key(REGION, key_id)
        assert key is not None
        tx.put_key(replace(key, current_version=9))
    with pytest.raises(DataDamaged, match=f"{key_id} has no version 9: restore"):
        scene.working.load(Wanted("key", key_id, region=REGION))


# --- credentials -----------------------------------------------------------------------------------------


def test_a_credential_has_its_secret_and_does_not_show_it() -> None:
    """The secret is the one given out, and is not in the repr."""
    scene = Scene()
    access_key_id, secret = scene.house.user("alice")
    scene.load(Wanted("access-key", access_key_id))
    credential = scene.working.credential(access_key_id)
    assert credential is not None
    assert (credential.secret.reveal().decode(), credential.identity.arn) == (secret, ALICE)
    assert repr(credential) == f"<HeldCredential {access_key_id}>"


def test_a_disabled_principal_has_no_credential_until_it_is_enabled() -> None:
    """Disabling takes effect with the feed, and so does enabling: the absence is not remembered for ever."""
    scene = Scene()
    access_key_id, _ = scene.house.user("alice")
    scene.load(Wanted("access-key", access_key_id))
    for enabled in (False, True, False):
        scene.enable(enabled=enabled)
        scene.working.catch_up()
        with pytest.raises(NotLoaded):
            scene.working.credential(access_key_id)
        scene.load(Wanted("access-key", access_key_id))
        assert (scene.working.credential(access_key_id) is not None) is enabled


def test_a_change_of_one_principal_leaves_the_others_alone() -> None:
    """Only what hangs on the principal is forgotten."""
    scene = Scene()
    scene.house.user("alice")
    admin = scene.house.admin[0]
    scene.load(Wanted("access-key", admin))
    scene.load(Wanted("access-key", "AKIANOBODY"))
    scene.enable(enabled=False)
    scene.working.catch_up()
    assert scene.working.credential(admin) is not None
    assert scene.working.credential("AKIANOBODY") is None


@pytest.mark.parametrize(
    "command", [lambda name: i.SetAccessKeyStatus(name, enabled=False), i.DeleteAccessKey]
)
def test_a_disabled_or_deleted_access_key_is_absent(command: Callable[[str], Command]) -> None:
    """The credential goes with the feed."""
    scene = Scene()
    access_key_id, _ = scene.house.user("alice")
    scene.load(Wanted("access-key", access_key_id))
    scene.does(command(access_key_id))
    scene.working.catch_up()
    scene.load(Wanted("access-key", access_key_id))
    assert scene.working.credential(access_key_id) is None


TRUST = '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}}'
SESSION = Session(
    access_key="ASIAIOSFODNN7EXAMPLE",
    arn=session_arn(ACCOUNT, "deploy", "ci"),
    principal=role_arn(ACCOUNT, "deploy"),
    user_id="AROA:ci",
    issued=1.0,
    expires=2.0,
)


def opened(scene: Scene) -> tuple[Session, Wanted]:
    """A session of deploy that alice has opened by way of first, and how it is presented."""
    access_key_id, _ = scene.house.user("alice")
    with scene.house.store.transact("roles") as tx:
        for name in ("deploy", "first"):
            arn = role_arn(ACCOUNT, name)
            tx.put_principal(Principal(arn=arn, account=ACCOUNT, name=name, created=1.0, trust=TRUST))
    session = replace(SESSION, openers=(ALICE, role_arn(ACCOUNT, "first")), opened_with=access_key_id)
    presented = Presented(session, Secret(b"s" * 40), Secret(b"token"))
    return session, Wanted("session", session.access_key, presented=presented)


@pytest.mark.parametrize("what", ["user", "role", "access key"])
def test_a_session_is_forgotten_with_whatever_opened_it(what: str) -> None:
    """Its absence too, once that is enabled again; and it stays in hand while others change."""
    scene = Scene()
    session, wanted = opened(scene)
    scene.working.catch_up()
    scene.load(wanted)
    held = scene.working.session(session.access_key)
    assert held is not None
    scene.house.user("bob")
    scene.does(c.CreateKey())
    scene.working.catch_up()
    assert scene.working.session(session.access_key) is held
    for enabled in (False, True):
        if what == "access key":
            scene.does(i.SetAccessKeyStatus(session.opened_with, enabled=enabled))
        elif what == "role":
            scene.does(i.UpdatePrincipal("first", "role", enabled=enabled))
        else:
            scene.enable(enabled=enabled)
        scene.working.catch_up()
        with pytest.raises(NotLoaded):
            scene.working.session(session.access_key)
        scene.load(wanted)
        assert (scene.working.session(session.access_key) is not None) is enabled


@pytest.mark.parametrize("what", ["user", "access key"])
def test_a_session_that_was_loaded_before_a_revocation_is_not_admitted(what: str) -> None:
    """The feed has told of it meanwhile."""
    scene = Scene()
    session, wanted = opened(scene)
    scene.working.catch_up()
    loaded = scene.working.load(wanted)
    if what == "user":
        scene.does(i.RevokePrincipal("alice"))
    else:
        scene.does(i.DeleteAccessKey(session.opened_with))
    scene.working.catch_up()
    scene.working.admit(loaded)
    with pytest.raises(NotLoaded):
        scene.working.session(session.access_key)


# --- the feed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["key", "version", "alias", "credential", "disabled"])
def test_a_load_that_is_out_of_date_is_not_admitted(kind: str) -> None:
    """What changed between the load and now is asked for again, whatever it was."""
    scene = Scene()
    key_id = scene.key()
    access_key_id, _ = scene.house.user("alice")
    scene.does(c.CreateAlias("alias/a", KeyReference(key_id)))
    if kind == "disabled":
        scene.enable(enabled=False)
    wanted, change = {
        "key": (Wanted("key", key_id, region=REGION), c.DisableKey(KeyReference(key_id))),
        "version": (Wanted("version", key_id, 1, region=REGION), c.DisableKey(KeyReference(key_id))),
        "alias": (Wanted("alias", "alias/a", account=ACCOUNT, region=REGION), c.DeleteAlias("alias/a")),
        "credential": (Wanted("access-key", access_key_id), i.PutPrincipalPolicy("alice", "")),
        "disabled": (Wanted("access-key", access_key_id), i.PutPrincipalPolicy("alice", "")),
    }[kind]
    scene.working.catch_up()
    if kind == "version":
        scene.load(Wanted("key", key_id, region=REGION))
    loaded = scene.working.load(wanted)
    scene.does(change)
    scene.working.catch_up()
    scene.working.admit(loaded)
    assert not scene.working._keys
    assert not scene.working._aliases
    assert not scene.working._credentials


def test_a_load_that_nothing_has_touched_is_admitted() -> None:
    """Changes of other things since do not matter."""
    scene = Scene()
    key_id = scene.key()
    scene.working.catch_up()
    loaded = scene.working.load(Wanted("key", key_id, region=REGION))
    scene.key()
    scene.working.catch_up()
    scene.working.admit(loaded)
    assert scene.working.key(REGION, key_id) is not None


def test_what_changed_since_is_known_exactly() -> None:
    """By reference, only what came after, and everything when it is too long ago or yet to come."""
    scene = Scene()
    begin = scene.working.epoch
    earlier, key_id = scene.key(), scene.key()
    scene.working.catch_up()
    middle = scene.working.epoch
    scene.does(c.CreateAlias("alias/a", KeyReference(key_id)))
    assert scene.working.changed_since(middle) == frozenset()  # not taken in yet
    scene.working.catch_up()
    after = frozenset({key_ref(REGION, key_id), ALIAS_ARN})  # the key has another name
    assert scene.working.changed_since(begin) == after | {key_ref(REGION, earlier)}
    assert scene.working.changed_since(middle) == after
    assert scene.working.changed_since(scene.working.epoch) == frozenset()
    assert scene.working.changed_since(begin - 1) is None
    assert scene.working.changed_since(scene.working.epoch + 1) is None


def test_changes_of_other_kinds_are_taken_in_without_effect() -> None:
    """A setting of the installation moves the epoch and forgets nothing."""
    scene = Scene()
    key_id = scene.key()
    scene.working.catch_up()
    scene.load(Wanted("key", key_id, region=REGION))
    with scene.house.store.transact("setting") as tx:
        tx.put_setting("name", "value")
    before = scene.working.epoch
    scene.working.catch_up()
    assert scene.working.epoch == before + 1
    assert scene.working.key(REGION, key_id) is not None


@pytest.mark.parametrize("limit", ["store", "process"])
def test_more_changes_than_can_be_followed_forget_everything(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the store no longer has them or they are too many: nothing held is trusted any more."""
    scene = Scene(Memory(kept_changes=3) if limit == "store" else None)
    monkeypatch.setattr(w, "CHANGES_AT_ONCE", 5)
    key_id = scene.key()
    scene.working.catch_up()
    before = scene.working.epoch
    scene.load(Wanted("key", key_id, region=REGION))
    scene.load(Wanted("key", "none", region=REGION))
    loaded = scene.working.load(Wanted("key", key_id, region=REGION))
    for _ in range(6):
        scene.key()
    scene.working.catch_up()
    for name in (key_id, "none"):
        with pytest.raises(NotLoaded):
            scene.working.key(REGION, name)
    assert scene.working.changed_since(before) is None
    scene.working.admit(loaded)  # from before: it could have changed
    with pytest.raises(NotLoaded):
        scene.working.key(REGION, key_id)


def test_the_memory_of_changes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are let go of, and then anything may have changed since."""
    monkeypatch.setattr(w, "CHANGES_AT_ONCE", 3)
    scene = Scene()
    begin = scene.working.epoch
    keys = []
    for _ in range(4):
        keys.append(scene.key())
        scene.working.catch_up()
    assert scene.working.changed_since(begin) is None
    assert scene.working.changed_since(begin + 1) == frozenset(key_ref(REGION, key_id) for key_id in keys[1:])


def test_a_rotated_key_opens_old_blobs_and_makes_new_ones() -> None:
    """After the feed told of a rotation the new version seals, and the old one is loaded when needed."""
    scene = Scene()
    gate = scene.house.gate("w0")
    key = KeyReference(scene.key())
    old = scene.house.ask(gate, c.Encrypt(key, b"x")).outcome()
    scene.does(c.RotateKeyOnDemand(key))
    new = scene.house.ask(gate, c.Encrypt(key, b"x"))
    assert isinstance(old, Encrypted)
    assert new.entry.version == 2
    opened = scene.house.ask(gate, c.Decrypt(old.blob))
    assert opened.error is None
    assert opened.entry.version == 1
    assert isinstance(gate.working.key(REGION, key.name), w.HeldKey)
    assert not isinstance(gate.working.key(REGION, key.name), Absent)
