"""Making and opening an installation, on a real store and real logs."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keystead import store
from keystead.app.installation import (
    Founded,
    Installation,
    SystemClock,
    exists,
    found,
    local_secrets,
    system_random,
)
from keystead.app.offline import read_audit, verify_audit
from keystead.config import Config, Link
from keystead.core.errors import ConfigError, DataDamaged, InvalidCiphertext, SealError
from keystead.core.key import State
from keystead.core.names import KeyReference
from keystead.core.ports import Transaction
from keystead.core.principal import service_arn, user_arn
from keystead.crypto.secret import Secret
from keystead.crypto.transfer import TransferKeys
from keystead.service.caller import Caller, identity_of
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.entry import Entry, decode, encode
from keystead.service.linking import Peer
from keystead.service.results.identity import NewAccount
from keystead.service.results.kms import KeyDescription
from keystead.testing.contracts.store import a_grant, a_key

PASSPHRASE = "correct horse battery staple"
SECRETS = local_secrets({"KEYSTEAD_PASSPHRASE": PASSPHRASE})
CLOCK = SystemClock()
CHEAP = {"memory_kib": 19_456, "iterations": 2, "lanes": 1}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Where an installation may be made."""
    return Config(data=tmp_path / "data", workers=1)


@pytest.fixture
def founded(config: Config) -> Founded:
    """A new installation, sealed by a passphrase."""
    return found(config, "passphrase", SECRETS, CLOCK, system_random, **CHEAP)


@pytest.fixture
def installation(config: Config, founded: Founded) -> Installation:
    """The same, opened."""
    return Installation.open(config, SECRETS, CLOCK, system_random)


def change(config: Config, work: Callable[[Transaction], None]) -> None:
    """Change the store behind the service's back."""
    with closing(store.connect(config.store)) as opened, opened.transact("test") as tx:
        work(tx)


def admin(installation: Installation, request: str = "request") -> Caller:
    """The admin as a caller."""
    with closing(store.connect(installation.config.store)) as opened, opened.view() as view:
        principal = view.principal(user_arn(installation.account, "admin"))
    assert principal is not None
    return Caller(identity_of(principal), request=request, region="eu-central-1", auth="internal")


def entries(config: Config, slot: str) -> list[Entry]:
    """What is in a process's log."""
    return [decode(entry) for entry in read_audit(config.audit / slot)]


def test_a_new_installation_tells_what_its_owner_must_know(config: Config, founded: Founded) -> None:
    """Instance, account, access key and the audit's public key, which also lies beside the logs."""
    assert len(founded.account) == 12
    assert founded.vkey.startswith(f"keystead-{founded.instance}+")
    assert (config.data / "audit.vkey").read_text() == founded.vkey + "\n"
    assert founded.slot.kind == "passphrase"
    assert founded.secret_access_key not in repr(founded)


def test_its_making_is_the_first_record(config: Config, founded: Founded) -> None:
    """The log begins with who was made the admin, and checks out."""
    (first,) = entries(config, "control")
    assert first.action == "keystead:Init"
    assert first.subject == f"{user_arn(founded.account, 'admin')} {founded.access_key_id}"
    assert verify_audit(config.audit, founded.vkey).records == 1


def test_an_installation_is_for_its_owner(config: Config, founded: Founded) -> None:
    """Nobody else may enter the data directory."""
    assert stat.S_IMODE(config.data.stat().st_mode) == 0o700


def test_an_installation_is_never_replaced(config: Config, founded: Founded) -> None:
    """Making one where there is one is refused, and the one that is there still opens."""
    with pytest.raises(ConfigError, match="holds an installation already"):
        found(config, "passphrase", SECRETS, CLOCK, system_random, **CHEAP)
    assert Installation.open(config, SECRETS, CLOCK, system_random).instance == founded.instance


def test_half_an_installation_is_none(config: Config) -> None:
    """Where the secret was missing nothing counts as made, and it can be tried again."""
    assert not exists(config)
    with pytest.raises(SealError, match="KEYSTEAD_PASSPHRASE"):
        found(config, "passphrase", local_secrets({}), CLOCK, system_random, **CHEAP)
    assert not exists(config)
    with pytest.raises(ConfigError, match="holds no installation"):
        Installation.open(config, SECRETS, CLOCK, system_random)
    found(config, "passphrase", SECRETS, CLOCK, system_random, **CHEAP)
    assert exists(config)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is a setting that is wrong, not a bug."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        found(Config(data=tmp_path / "file" / "data"), "passphrase", SECRETS, CLOCK, system_random)


def test_opening_needs_the_seals_secret(config: Config, founded: Founded) -> None:
    """Another passphrase does not open it, and the error names the slot."""
    with pytest.raises(SealError, match=rf"slot {founded.slot.id} \(passphrase\): wrong secret"):
        Installation.open(
            config, local_secrets({"KEYSTEAD_PASSPHRASE": "something else"}), CLOCK, system_random
        )


def test_an_opened_installation_shows_no_secret(installation: Installation) -> None:
    """Its repr is its name."""
    assert repr(installation) == f"<Installation {installation.instance}>"


@pytest.mark.parametrize("name", ["account", "audit-vkey", "audit-signing-key", "marker-key"])
def test_a_store_that_lost_a_setting_is_refused(name: str, config: Config, founded: Founded) -> None:
    """What is missing is named, with the cure, before anything is served."""
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        kept = view.setting(name)
    assert kept
    with closing(sqlite3.connect(config.data / "keystead.db")) as database:
        database.execute("DELETE FROM settings WHERE name = ?", (name,))
        database.commit()
    with pytest.raises(DataDamaged, match=f"lost its {name}: restore it from a backup"):
        Installation.open(config, SECRETS, CLOCK, system_random)


def test_a_key_of_the_service_that_was_changed_is_refused(config: Config, founded: Founded) -> None:
    """Wrapped keys are bound to what they are for: one in another's place does not open."""
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        other = view.setting("marker-key")
    change(config, lambda tx: tx.put_setting("audit-signing-key", other or ""))
    with pytest.raises((InvalidCiphertext, DataDamaged)):
        Installation.open(config, SECRETS, CLOCK, system_random)


def test_a_key_file_is_warned_about_at_every_start(tmp_path: Path, config: Config) -> None:
    """The slot's warning is there each time it is opened; a passphrase has none."""
    secrets = local_secrets({})
    found(config, "file", secrets, CLOCK, system_random, path=str(tmp_path / "root.key"))
    for _ in range(2):
        (warning,) = Installation.open(config, secrets, CLOCK, system_random).warnings
        assert "sealed by a key file" in warning


def test_a_passphrase_is_not_warned_about(installation: Installation) -> None:
    """Nothing to say."""
    assert installation.warnings == []


def test_the_admins_access_key_can_be_shown_again(founded: Founded, installation: Installation) -> None:
    """For `keystead dev`: the same id and secret; without an enabled one the cure is told."""
    assert installation.admin_access_key() == (founded.access_key_id, founded.secret_access_key)
    change(installation.config, lambda tx: tx.delete_access_key(founded.access_key_id))
    with pytest.raises(ConfigError, match="keystead access-key create"):
        installation.admin_access_key()


def test_a_post_answers_through_its_gate_and_its_log(installation: Installation) -> None:
    """What a process does is in its own log, which checks out after it has closed."""
    post = installation.post("w0")
    answer = post.gate.ask(admin(installation), c.CreateKey())
    assert answer.error is None
    post.close()
    intent, outcome = entries(installation.config, "w0")
    assert (intent.action, intent.stage) == ("kms:CreateKey", "intent")
    assert (outcome.action, outcome.stage, outcome.outcome) == ("kms:CreateKey", "outcome", "Success")
    assert verify_audit(installation.config.audit, installation.vkey).records == 3


def test_a_post_finishes_what_a_crash_has_interrupted(installation: Installation) -> None:
    """An intent that the store does not know of gets its outcome: interrupted."""
    log = installation.log("w0")
    log.append(encode(Entry(action="kms:CreateKey", request="lost", stage="intent", v=1)))
    log.close()
    installation.post("w0").close()
    outcome = entries(installation.config, "w0")[-1]
    assert (outcome.request, outcome.stage, outcome.outcome) == ("lost", "outcome", "Interrupted")


def test_logs_that_no_process_owns_any_more_are_finished_as_well(installation: Installation) -> None:
    """When there are fewer workers than before a crash, the logs of the others get their outcomes too."""
    post = installation.post("w0")
    post.gate.perform(admin(installation, "made"), c.CreateKey())
    post.close()
    with closing(installation.log("w7")) as log:
        for request in ("made", "lost"):
            log.append(encode(Entry(action="kms:CreateKey", request=request, stage="intent", v=1)))
    with closing(installation.log("w8")) as used:
        installation.finish_others(["w0", "control"])  # one that is in use is left to its user
        assert used.size == 0

    outcomes = [entry for entry in entries(installation.config, "w7") if entry.stage == "outcome"]

    assert [(entry.request, entry.outcome) for entry in outcomes] == [
        ("made", "Success"),
        ("lost", "Interrupted"),
    ]


def test_jobs_ask_as_a_principal_of_their_own(installation: Installation) -> None:
    """Planned work has an identity with a policy; without it the store is damaged."""
    post = installation.post("control")
    caller = post.jobs("job-1", "eu-central-1")
    assert caller.identity.arn == f"arn:aws:iam::{installation.account}:service/jobs"
    assert post.due(10) == []
    change(installation.config, lambda tx: tx.delete_principal(caller.identity.arn))
    with pytest.raises(DataDamaged, match="jobs' principal"):
        post.jobs("job-2", "eu-central-1")
    post.close()


def test_a_second_account_has_jobs_of_its_own_and_lasts(
    config: Config, founded: Founded, installation: Installation
) -> None:
    """It stands beside the first, its jobs ask as its own principal, and the next start knows it and renews them."""
    post = installation.post("control")
    made = post.gate.ask(admin(installation), i.CreateAccount("second")).outcome()
    assert isinstance(made, NewAccount)
    second = made.account.id
    arn = service_arn(second, "jobs")
    assert post.jobs("job-1", "eu-central-1", second).identity.arn == arn
    with post.store.view() as view:
        names = {account.id: account.name for account in view.accounts("", 10)}
        jobs = view.principal(arn)
    assert names == {founded.account: "main", second: "second"}
    post.close()
    assert jobs is not None
    change(config, lambda tx: tx.put_principal(replace(jobs, policy="")))
    again = Installation.open(config, SECRETS, installation.clock, system_random)
    assert again.custodian.knows(second)
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        assert view.principal(arn) == jobs


def test_the_jobs_of_an_older_installation_learn_what_is_new(
    config: Config, founded: Founded, installation: Installation
) -> None:
    """Their policy is the service's own and is brought up to date when the installation is opened."""
    arn = service_arn(founded.account, "jobs")
    with closing(store.connect(config.store)) as opened:
        with opened.view() as view:
            jobs = view.principal(arn)
        assert jobs is not None
        with opened.transact("older") as tx:
            tx.put_principal(replace(jobs, policy=""))
    Installation.open(config, SECRETS, installation.clock, system_random)
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        assert view.principal(arn) == jobs


def test_processes_see_each_others_changes(installation: Installation) -> None:
    """A key that one process makes and disables is so in the next answer of another."""
    one, two = installation.post("w0"), installation.post("w1")
    caller = admin(installation)
    made = one.gate.ask(caller, c.CreateKey()).outcome()
    assert isinstance(made, KeyDescription)
    reference = KeyReference(made.key.id)
    assert two.gate.ask(caller, c.DescribeKey(reference)).error is None
    assert one.gate.ask(caller, c.DisableKey(reference)).error is None
    seen = two.gate.ask(caller, c.DescribeKey(reference)).outcome()
    assert isinstance(seen, KeyDescription)
    assert seen.key.state is State.DISABLED
    one.close()
    two.close()


def linked(config: Config, identity: str) -> Config:
    """The configuration with a link."""
    link = Link(name="other", regions=("us-east-1",), url="https://127.0.0.1:9", identity=identity)
    return replace(config, regions=("eu-central-1",), links=(link,))


def people(config: Config, account: str) -> set[str]:
    """Who there is."""
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        return {principal.name for principal in view.principals(account, "", 100)}


def test_the_account_may_be_given(tmp_path: Path) -> None:
    """Installations that are to be linked have the same."""
    config = Config(data=tmp_path / "data")
    made = found(config, "passphrase", SECRETS, CLOCK, system_random, account="012345678901", **CHEAP)
    assert made.account == "012345678901"


def test_a_linked_server_is_a_principal_while_it_is_linked(config: Config, founded: Founded) -> None:
    """It is made, and unmade, as the configuration says, once and on record."""
    identity = TransferKeys(Secret(bytes(32))).identity.text
    opened = Installation.open(linked(config, identity), SECRETS, CLOCK, system_random)
    for _ in range(2):
        opened.settle_links()
        assert people(config, founded.account) == {"admin", "jobs", "link-other"}
    (peer,) = opened.peers
    arn = service_arn(founded.account, "link-other")
    assert peer == Peer("other", arn, ("us-east-1",), identity)
    (neighbour,) = opened.correspondents()
    assert (neighbour.name, neighbour.regions) == ("other", ("us-east-1",))
    with closing(store.connect(config.store)) as connected:
        with connected.transact("grant") as tx:
            tx.put_key(a_key())
            tx.put_grant(a_grant(grantee=arn))
        Installation.open(config, SECRETS, CLOCK, system_random).settle_links()
        with connected.view() as view:
            assert view.grants_to(arn, 1) == []
    assert people(config, founded.account) == {"admin", "jobs"}
    made, unmade = (entry for entry in entries(config, "control") if entry.action == "keystead:Link")
    assert made.subject == unmade.subject == arn


def test_a_link_to_itself(config: Config, founded: Founded, installation: Installation) -> None:
    """Its own identity is not another's, and a text that is none is refused with what it must be."""
    for identity, told in (
        (installation.custodian.transfer_identity, "leads to this installation"),
        ("keystead-transfer-1:x", "copy it whole"),
    ):
        with pytest.raises(ConfigError, match=told):
            Installation.open(linked(config, identity), SECRETS, CLOCK, system_random)
