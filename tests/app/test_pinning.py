"""A start on audit logs that are not what they were is refused, unless that is meant; on real stores and logs."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from keystead import store
from keystead.app.installation import (
    ACCEPT_LOSS,
    CONTROL,
    Installation,
    SystemClock,
    found,
    local_secrets,
    system_random,
)
from keystead.app.offline import read_audit
from keystead.app.pinning import SETTING, Watch
from keystead.audit.pins import Loss, Pin, decode
from keystead.config import Config
from keystead.core.errors import ConfigError, DataDamaged
from keystead.core.ports import Store
from keystead.observe.log import Log
from keystead.service.entry import Entry, encode
from keystead.service.entry import decode as entry_of

SECRETS = local_secrets({})
CLOCK = SystemClock()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A new installation."""
    config = Config(data=tmp_path / "data", workers=1)
    found(config, "file", SECRETS, CLOCK, system_random, path=str(tmp_path / "root.key"))
    return Installation.open(config, SECRETS, CLOCK, system_random)


@pytest.fixture
def opened(installation: Installation) -> Iterator[Store]:
    """Its store."""
    with closing(store.connect(installation.config.store)) as opened:
        yield opened


def pins(opened: Store) -> dict[str, Pin]:
    """What is pinned."""
    with opened.view() as view:
        return decode(view.setting(SETTING) or "{}")


def write(installation: Installation, slot: str, count: int = 1, action: str = "kms:Test") -> None:
    """Entries in a log, and a checkpoint over them."""
    with closing(installation.log(slot)) as log:
        for _ in range(count):
            log.append(encode(Entry(action=action, v=1)))


def keep(installation: Installation, opened: Store) -> list[Loss]:
    """Pin what is new."""
    return installation.pins().keep(opened)


def set_back(installation: Installation, opened: Store, slot: str = "w0") -> None:
    """A log that is an older copy of itself."""
    folder = installation.config.audit / slot
    write(installation, slot, 3)
    shutil.copytree(folder, folder.parent.parent / "older")
    write(installation, slot, 400)
    assert keep(installation, opened) == []
    shutil.rmtree(folder)
    (folder.parent.parent / "older").rename(folder)


def removed(installation: Installation, opened: Store) -> None:
    """A log that is gone."""
    write(installation, "w0", 403)
    assert keep(installation, opened) == []
    shutil.rmtree(installation.config.audit / "w0")


def replaced(installation: Installation, opened: Store) -> None:
    """A log in whose place a longer one was put, with other entries."""
    removed(installation, opened)
    write(installation, "w0", 500, "kms:Other")


WAYS: dict[str, tuple[Callable[[Installation, Store], None], str]] = {
    "removed": (removed, "log w0: it has no checkpoint, or is not there; it had 403 records"),
    "set back": (set_back, "log w0: it has 3 records under its checkpoint, and had 403"),
    "replaced": (replaced, "log w0: its first 403 records are not those that it had"),
}


def test_a_new_installation_s_first_log_is_pinned(opened: Store) -> None:
    """From the first entry on."""
    assert [(log, pin.size) for log, pin in pins(opened).items()] == [(CONTROL, 1)]


def test_an_older_installation_is_pinned_at_its_next_start(installation: Installation, opened: Store) -> None:
    """One of which nothing was pinned yet starts as it is."""
    with opened.transact("test") as tx:
        tx.put_mark(SETTING, "{}")
    assert installation.settle_audit(accept_loss=False) == []
    assert keep(installation, opened) == []
    assert list(pins(opened)) == [CONTROL]


@pytest.mark.parametrize(("lose", "why"), WAYS.values(), ids=WAYS.keys())
def test_a_loss_is_refused_until_it_is_accepted_on_record(
    lose: Callable[[Installation, Store], None], why: str, installation: Installation, opened: Store
) -> None:
    """It is refused again and again, by each process too; accepted, it is on record, and what is there counts."""
    lose(installation, opened)
    before = pins(opened)
    for _ in range(2):
        with pytest.raises(DataDamaged, match="Restore what is missing") as refused:
            installation.settle_audit(accept_loss=False)
        assert why in str(refused.value)
        assert "--accept-audit-loss" in str(refused.value)
    with pytest.raises(DataDamaged, match="log w0"):
        installation.post("w0")
    assert (keep(installation, opened), pins(opened)) == ([Loss("w0", why.removeprefix("log w0: "))], before)

    assert [loss.log for loss in installation.settle_audit(accept_loss=True)] == ["w0"]
    *_, accepted = (entry_of(entry) for entry in read_audit(installation.config.audit / CONTROL))
    assert (accepted.action, accepted.outcome, accepted.subject) == (ACCEPT_LOSS, "Success", "w0")
    assert accepted.detail == why
    assert accepted.principal.startswith("local:uid=")
    assert keep(installation, opened) == []
    assert installation.settle_audit(accept_loss=False) == []
    installation.post("w0").close()
    with pytest.raises(ConfigError, match="nothing of the audit is missing: start without"):
        installation.settle_audit(accept_loss=True)


def test_all_logs_may_be_gone(installation: Installation, opened: Store) -> None:
    """The log that has the record of it begins anew with that."""
    write(installation, "w0")
    keep(installation, opened)
    shutil.rmtree(installation.config.audit)
    with pytest.raises(DataDamaged, match=r"log control: .*; log w0: "):
        installation.settle_audit(accept_loss=False)
    installation.settle_audit(accept_loss=True)
    (only,) = read_audit(installation.config.audit / CONTROL)
    assert entry_of(only).subject == "control w0"


def test_an_older_store_is_met_by_longer_logs(installation: Installation, opened: Store) -> None:
    """A restored store has older pins, which logs that have gone on satisfy."""
    write(installation, "w0", 3)
    keep(installation, opened)
    write(installation, "w0", 600)
    assert installation.settle_audit(accept_loss=False) == []


def test_pins_that_others_have_changed_meanwhile_stay(installation: Installation, opened: Store) -> None:
    """Nobody pins on the ground of what is not in the store any more."""
    write(installation, "w0")

    class Slow:
        """The store; between its view and its transaction another process pins."""

        view = staticmethod(opened.view)

        @staticmethod
        def transact(request: str) -> object:
            keep(installation, opened)
            write(installation, "w0")
            keep(installation, opened)
            return opened.transact(request)

    installation.pins().keep(cast("Any", Slow()))
    assert pins(opened)["w0"].size == 2


def test_the_operator_is_told_once_of_each_loss(installation: Installation, opened: Store) -> None:
    """While the service runs the loss is an error in its log, and a store that fails is a warning, once."""
    said = io.StringIO()
    watch = Watch(installation.pins(), opened, Log(said, "text", lambda: 0.0))
    removed(installation, opened)
    watch.look()
    watch.look()
    assert said.getvalue().count("an audit log does not have what it had") == 1
    assert "403 records" in said.getvalue()

    with opened.transact("test") as tx:
        tx.put_mark(SETTING, "?")
    watch.look()
    watch.look()
    assert said.getvalue().count("cannot be pinned") == 1

    # Nor does a directory that cannot be read end anything.
    audit = installation.config.audit
    with opened.transact("test") as tx:
        tx.put_mark(SETTING, "{}")
    audit.rename(audit.with_name("away"))
    audit.symlink_to(audit)
    Watch(installation.pins(), opened, Log(said, "text", lambda: 0.0)).look()
    assert "Too many levels of symbolic links" in said.getvalue()
    audit.unlink()
    audit.with_name("away").rename(audit)
    with opened.transact("test") as tx:
        tx.put_mark(SETTING, "{}")
    watch.look()
    assert list(pins(opened)) == [CONTROL]
