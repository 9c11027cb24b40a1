"""The composition root: the one place that knows which store, custodian and log there are.

`found` makes a new installation. `Installation.open` opens one: the store, the seal, the custodian, the keys
that the service needs for itself. It is done once, in the supervisor; the processes inherit the result by
fork and make their own connections and logs (`Installation.post`).

    installation = Installation.open(config, secrets, clock, random)
    post = installation.post("w0")

**What an installation is.** An id; a root key under one or more seal slots; a key-encryption key per account
under the root; and, wrapped under the service's own account, the key that signs audit checkpoints and the
key that makes pagination markers. All of it is stored in one transaction, or none.
"""

import os
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from typing_extensions import override

from keystead import custody, store
from keystead.app import auditkeys
from keystead.app.auditkeys import SERVICE_ACCOUNT, VKEY_FILE, LogKeys
from keystead.app.forgetting import secret_variables
from keystead.app.ledger import Ledger, ledger
from keystead.app.pinning import FLAG, Pins, refusal, told
from keystead.audit.disk import LocalDisk
from keystead.audit.log import Event, Log, Notice
from keystead.audit.pins import Loss
from keystead.audit.search import Search
from keystead.audit.usage import Index, Usages
from keystead.audit.usagebook import SqliteBooks
from keystead.config import DATABASE, Config
from keystead.core.errors import AuditUnavailable, ConfigError, DataDamaged
from keystead.core.key import binding
from keystead.core.ports import Clock, Custodian, Random, Records, Store, View
from keystead.core.principal import (
    AccessKey,
    Account,
    Principal,
    Provider,
    secret_binding,
    service_arn,
    user_arn,
)
from keystead.core.seal import SealSlot
from keystead.crypto.random import startup_health_test, system_random
from keystead.crypto.transfer import TransferIdentity
from keystead.custody import seal
from keystead.custody.seals import SecretSource
from keystead.custody.xks import Client, trust
from keystead.federation.issuers import Issuers
from keystead.fronts.links import POLICY as LINK_POLICY
from keystead.jobs.links import Correspondent, Neighbour
from keystead.jobs.links import Post as LinkPost
from keystead.service.actions.principals import forget_grants, new_credentials
from keystead.service.caller import Caller, identity_of
from keystead.service.due import Due, due, stale
from keystead.service.entry import OK, Entry, begins, encode, moment, of_request, uses
from keystead.service.frames import Settings
from keystead.service.gate import Gate
from keystead.service.linking import Member, Peer, made, moving, untold
from keystead.service.quotas import Quotas
from keystead.service.recovery import STAGE, resolve, unfinished

__all__ = [
    "Founded",
    "Installation",
    "Post",
    "SecretSource",
    "SystemClock",
    "exists",
    "found",
    "local_secrets",
    "migrate",
    "system_random",
]

JOBS: Final = "jobs"
ADMIN: Final = "admin"
FIRST: Final = "main"  # the name of the first account
LINK: Final = "link-"  # and the name of the link: whom a linked server is here
CONTROL: Final = "control"
ACCEPT_LOSS: Final = "keystead:AcceptAuditLoss"
ARCHIVE: Final = "archive"  # the directory of what the reader derives from the audit

_ADMIN_POLICY: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "Administrator", "Effect": "Allow", "Action": "*", '
    '"Resource": "*"}]}'
)
_JOBS_POLICY: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "Jobs", "Effect": "Allow", "Action": '
    '["keystead:DestroyKey", "keystead:RotateKey", "keystead:ExpireKeyMaterial", "keystead:TellMember", '
    '"keystead:MemberTold", "keystead:TellMove", "keystead:MoveTold", "keystead:RefreshProvider", '
    '"keystead:PruneAudit"], "Resource": "*"}]}'
)
_MARKER_KEY: Final = binding("marker-key")
_PAUSE_SECONDS: Final = 0.0002  # of what is done beside the requests, for those to go on
# Entries searched for changes that a crash has interrupted. One waits ten seconds for the store at most, in
# which a busy worker writes 200,000 others; to look through so many takes a fifth of a second.
_LOOK_BACK: Final = 262_144


class SystemClock:
    """The machine's own clocks (`keystead.core.ports.Clock`)."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


@dataclass(frozen=True, slots=True)
class Founded:
    """A new installation: what its owner must write down, given out this once."""

    instance: str
    account: str
    vkey: str  # the public key that audit checkpoints are verified with
    access_key_id: str
    secret_access_key: str
    slot: SealSlot

    @override
    def __repr__(self) -> str:
        return f"<Founded {self.instance}>"


def exists(config: Config) -> bool:
    """Whether ``config.data`` holds an installation; the beginnings of one do not count."""
    if not (config.data / DATABASE).exists():
        return False
    with closing(store.connect(config.store)) as opened, opened.view() as view:
        return view.setting("instance") is not None


def found(
    config: Config,
    kind: str,
    secrets: SecretSource,
    clock: Clock,
    random: Random,
    *,
    account: str | int = "",
    **options: str | int,
) -> Founded:
    """Make a new installation in ``config.data``, sealed by one slot of that ``kind``.

    Its account is drawn by lot unless it is given, as it must be where installations are to be linked. Raises
    `ConfigError` if there is one already, and `SealError` when the slot's secret is missing.
    """
    startup_health_test(random)
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the directory {config.data} cannot be made ({error.strerror}): choose another"
        ) from None
    opened = store.connect(config.store, create=True, now=clock.now)
    try:
        with opened.view() as view:
            if view.setting("instance") is not None:
                raise ConfigError(f"{config.data} holds an installation already: choose another directory")
        # (1) The keys of the service itself.
        instance = random(8).hex()
        account = str(account) or f"{int.from_bytes(random(8), 'big') % 10**12:012d}"
        root = seal.new_root(random)
        custodian = custody.connect("software:", root=root, random=random)
        account_keys = {name: custodian.enroll(name) for name in (SERVICE_ACCOUNT, account)}
        for name, wrapped in account_keys.items():
            custodian.admit(name, wrapped)
        signing_key, marker_key = random(32), random(32)
        vkey = auditkeys.signer(instance, signing_key).vkey
        # (2) Its first people.
        now = clock.now()
        admin = Principal(
            arn=user_arn(account, ADMIN), account=account, name=ADMIN, created=now, policy=_ADMIN_POLICY
        )
        jobs = Principal(
            arn=service_arn(account, JOBS), account=account, name=JOBS, created=now, policy=_JOBS_POLICY
        )
        access_key, secret = _access_key(custodian, admin, now, random)
        # (3) The slot last: it may leave a file behind, and everything that can fail should fail before.
        slot = seal.create(kind, root, secrets, random, instance=instance, **options)
        with opened.transact("init") as tx:
            tx.put_setting("instance", instance)
            tx.put_setting("account", account)
            tx.put_setting("audit-vkey", vkey)
            protected = custodian.protect(SERVICE_ACCOUNT, signing_key, auditkeys.LABEL)
            tx.put_setting(auditkeys.KEY, protected)
            tx.put_setting("marker-key", custodian.protect(SERVICE_ACCOUNT, marker_key, _MARKER_KEY))
            for name, wrapped in account_keys.items():
                tx.put_account_key(name, wrapped)
            tx.put_account(Account(id=account, name=FIRST, created=now))
            tx.put_seal_slot(slot)
            tx.put_principal(admin)
            tx.put_principal(jobs)
            tx.put_access_key(access_key)
    finally:
        opened.close()
    (config.data / VKEY_FILE).write_text(vkey + "\n")
    # (4) The first record of all.
    installation = Installation.open(config, secrets, clock, random)
    log = installation.log(CONTROL)
    log.append(
        encode(
            Entry(
                account=account,
                action="keystead:Init",
                outcome=OK,
                subject=f"{admin.arn} {access_key.id}",
                time=int(now * 1e6),
                v=1,
            )
        )
    )
    log.close()
    with closing(store.connect(config.store, now=clock.now)) as opened:
        installation.pins().keep(opened)
    return Founded(instance, account, vkey, access_key.id, secret, slot)


@dataclass(slots=True)
class Installation:
    """An opened installation: keys and settings, but no connection, so that it may be forked."""

    config: Config
    instance: str
    account: str
    vkey: str
    custodian: Custodian
    clock: Clock
    random: Random
    warnings: list[str]  # what the operator is told at every start
    _log_keys: Mapping[str, str | None]  # as the store has them
    _marker_key: bytes
    _proxies: ssl.SSLContext  # how XKS proxies are told from others
    peers: tuple[Peer, ...] = ()
    secret_variables: tuple[str, ...] = ()  # of the environment; what is in them is not needed any more

    @override
    def __repr__(self) -> str:
        return f"<Installation {self.instance}>"

    @classmethod
    def open(cls, config: Config, secrets: SecretSource, clock: Clock, random: Random) -> Self:
        """Open the store and the seal; raises `ConfigError`, `SealError` or `DataDamaged` with the cure."""
        startup_health_test(random)
        names = ("instance", "account", "audit-vkey", "audit-signing-key", "marker-key")
        with closing(store.connect(config.store, now=clock.now)) as opened, opened.view() as view:
            settings = {name: view.setting(name) for name in names}
            log_keys = {name: view.setting(name) for name in auditkeys.SETTINGS}
            slots, account_keys = view.seal_slots(), view.account_keys()
        if settings["instance"] is None:
            raise ConfigError(
                f"{config.data} holds no installation: run `keystead init --data {config.data}`"
            )
        missing = [name for name, value in settings.items() if value is None]
        if missing or not account_keys:
            what = ", ".join(missing) or "account keys"
            raise DataDamaged(f"the store in {config.data} has lost its {what}: restore it from a backup")
        _renew_jobs(config, account_keys, clock)
        instance = settings["instance"]
        root = seal.open_any(slots, secrets, instance=instance)
        custodian = custody.connect("software:", root=root, random=random)
        for account, wrapped in account_keys.items():
            custodian.admit(account, wrapped)

        for link in config.links:
            if TransferIdentity.from_text(link.identity).text == custodian.transfer_identity:
                raise ConfigError(f"the link {link.name!r} leads to this installation: give its own identity")

        def own(name: str, label: bytes) -> bytes:
            return custodian.reveal(SERVICE_ACCOUNT, settings[name] or "", label)

        LogKeys(config, instance, custodian, clock, log_keys)  # raises when they do not open
        auditkeys.show(config, log_keys)
        return cls(
            config=config,
            instance=instance,
            account=settings["account"] or "",
            vkey=settings["audit-vkey"] or "",
            custodian=custodian,
            clock=clock,
            random=random,
            warnings=seal.warnings(slots),
            _log_keys=log_keys,
            _marker_key=own("marker-key", _MARKER_KEY),
            _proxies=trust(config.xks.ca),
            peers=tuple(
                Peer(
                    link.name,
                    service_arn(settings["account"] or "", f"{LINK}{link.name}"),
                    link.regions,
                    link.identity,
                )
                for link in config.links
            ),
            secret_variables=secret_variables(slots),
        )

    def log(self, slot: str, helper: Executor | None = None) -> Log:
        """The audit log of one process; recovers what a crash has left. ``helper`` has two threads."""
        keys = self.log_keys()
        return Log.open(
            self.config.audit / slot,
            origin=f"{self.origin}/{slot}",
            signer=keys().signers[0],
            keys=keys,
            disk=LocalDisk(),
            clock=self.clock,
            random=self.random,
            notice=self._notice,
            executor=helper,
        )

    @property
    def origin(self) -> str:
        """What the logs' origins begin with."""
        return f"keystead-{self.instance}"

    def log_keys(self) -> LogKeys:
        """What tells, now and later, which keys sign the checkpoints; for one thread."""
        return LogKeys(self.config, self.instance, self.custodian, self.clock, self._log_keys)

    def pins(self) -> Pins:
        """What the logs are held against; for one thread."""
        return Pins(self.config, self.origin, self.log_keys())

    def settle_audit(self, *, accept_loss: bool) -> list[Loss]:
        """Hold the logs against their pins before any is opened; returns what was lost and is accepted, on record.

        Raises `DataDamaged` for a loss that is not accepted, and `ConfigError` where there is none to accept: what
        stands in a unit file for good would accept the next one too.
        """
        pins = self.pins()
        with closing(store.connect(self.config.store, now=self.clock.now)) as opened:
            losses = pins.losses(opened)
            if losses and not accept_loss:
                raise refusal(losses)
            if accept_loss and not losses:
                raise ConfigError(f"nothing of the audit is missing: start without {FLAG}")
            if losses:
                # The record first: a crash in between leaves a start that is refused again.
                with closing(self.log(CONTROL)) as log:
                    log.append(
                        encode(
                            Entry(
                                account=self.account,
                                action=ACCEPT_LOSS,
                                auth="local",
                                detail=told(losses),
                                outcome=OK,
                                principal=f"local:uid={os.getuid()}",
                                subject=" ".join(loss.log for loss in losses),
                                time=int(self.clock.now() * 1e6),
                                v=1,
                            )
                        )
                    )
                pins.forget(opened, losses)
        return losses

    def settle_links(self) -> None:
        """Make the principals of linked servers those of the configuration.

        Before anything is served, and on record when something changes.
        """
        wanted = {peer.principal: f"{LINK}{peer.name}" for peer in self.peers}
        with closing(store.connect(self.config.store, now=self.clock.now)) as opened:
            with opened.view() as view:
                links = {
                    each.arn
                    for each in self._principals(view)
                    if each.name.startswith(LINK) and each.arn == service_arn(self.account, each.name)
                }
            if links == wanted.keys():
                return
            with opened.transact("links") as tx:
                for arn in links - wanted.keys():
                    forget_grants(tx, arn)
                    tx.delete_principal(arn)
                for arn in wanted.keys() - links:
                    name = wanted[arn]
                    tx.put_principal(
                        Principal(
                            arn=arn,
                            account=self.account,
                            name=name,
                            created=self.clock.now(),
                            policy=LINK_POLICY,
                        )
                    )
        with closing(self.log(CONTROL)) as log:
            log.append(
                encode(
                    Entry(
                        account=self.account,
                        action="keystead:Link",
                        outcome=OK,
                        subject=" ".join(sorted(links ^ wanted.keys())),
                        time=int(self.clock.now() * 1e6),
                        v=1,
                    )
                )
            )

    def _principals(self, view: View) -> Iterator[Principal]:
        after = ""
        while page := view.principals(self.account, after, 100):
            yield from page
            after = page[-1].arn

    def correspondents(self) -> list[Neighbour]:
        """The linked servers, as the job that writes to them knows them."""
        return [
            Neighbour(
                link.name,
                link.regions,
                Correspondent(
                    LinkPost(link.url, trust(link.ca), self.clock),
                    link.identity,
                    custodian=self.custodian,
                    clock=self.clock,
                    random=self.random,
                ).ask,
            )
            for link in self.config.links
        ]

    def finish(self, log: Log, opened: Store) -> None:
        """Append the outcomes of changes that a crash has interrupted, as the store tells them."""
        intents = unfinished(log.entries(log.size - _LOOK_BACK, log.size, STAGE))
        if intents:
            with opened.view() as view:
                for outcome in resolve(intents, view, self.clock.now()):
                    log.append(encode(outcome))
            log.commit()

    def finish_others(self, slots: Collection[str]) -> None:
        """Do the same in the logs that no process of these names will own, while the store still remembers.

        There are such logs when there were more workers once. One that is in use is looked after by its user.
        """
        for name in self._other_logs(slots):
            with (
                suppress(AuditUnavailable),
                closing(self.log(name)) as log,
                closing(store.connect(self.config.store, now=self.clock.now)) as opened,
            ):
                self.finish(log, opened)

    def usage(self) -> Usages:
        """What the audit logs say of the use of keys."""
        return Usages(
            self.config.audit,
            disk=LocalDisk(),
            books=SqliteBooks(),
            find=uses,
            moment=moment,
            origin=self.origin,
        )

    def journal(self) -> Search:
        """What looks up the entries of a request in the audit logs."""
        return Search(
            self.config.audit,
            disk=LocalDisk(),
            clock=self.clock,
            origin=self.origin,
            of_request=of_request,
            begins=begins,
            moment=moment,
        )

    def reader(self) -> Settings:
        """What the process is told that answers questions about the audit."""
        return Settings(
            audit=self.config.audit.absolute(),
            archive=self.config.data.absolute() / ARCHIVE,
            origin=f"keystead-{self.instance}",
            json_log=self.config.log == "json",
            sinks=self.config.sinks,
        )

    def post(
        self,
        slot: str,
        notice: Callable[[str, str], None] = lambda _, __: None,
        warn: Callable[[str], None] | None = None,
        records: Records | None = None,
    ) -> "Post":
        """What the process of that name works with. Made on the thread that will use the gate.

        ``notice`` hears, on any thread, of a key store whose proxy answers no more ("open"), or again ("closed").
        ``warn`` hears, on any thread too, of an index of the audit that cannot be kept.
        """
        opened = store.connect(self.config.store, now=self.clock.now)
        if losses := self.pins().losses(
            opened, [slot]
        ):  # something was done to it since the service was started
            opened.close()
            raise refusal(losses)
        log = self.log(slot, ThreadPoolExecutor(2, thread_name_prefix="audit"))
        self.finish(log, opened)
        limits = self.config.limits
        external = Client(
            self._proxies,
            self.clock,
            self.random,
            seconds=self.config.xks.deadline_ms / 1000,
            port=self.config.xks.port,
            notice=lambda key_store, state: notice(key_store, state.value),
        )
        attended = None
        if slot == CONTROL:
            attended = ledger(self.config, self.origin, self.log_keys(), opened)
        gate = Gate(
            store=opened,
            custodian=self.custodian,
            external=external,
            audit=log,
            clock=self.clock,
            random=self.random,
            quotas=Quotas(
                aliases_per_key=limits.aliases_per_key,
                tags_per_key=limits.tags_per_key,
                grants_per_key=limits.grants_per_key,
                rotations_on_demand=limits.rotations_on_demand,
                access_keys_per_principal=limits.access_keys_per_principal,
                custom_key_stores=limits.custom_key_stores,
            ),
            marker_key=self._marker_key,
            keys_held=limits.keys_held,
            regions=self.config.regions,
            peers=self.peers,
            usage=self.usage(),
            tokens=Issuers(self.clock),
            journal=self.journal(),
            records=records,
            account_logs=attended.trees if attended else None,
            retention=attended.pruner if attended else None,
            redactable=self.config.redactable,
        )
        keeper = ThreadPoolExecutor(1, thread_name_prefix="usage")
        log.follow(self._index(slot, keeper, warn))
        indexes = []
        if slot == CONTROL:  # somebody must keep the indexes of logs that no process owns any more
            slots = [CONTROL, *(f"w{number}" for number in range(self.config.workers))]
            indexes = [self._index(name, None, warn) for name in self._other_logs(slots)]
        for index in indexes:
            keeper.submit(index.catch_up)
        return Post(self, gate, opened, log, keeper, indexes, external, attended)

    def _other_logs(self, slots: Collection[str]) -> list[str]:
        """The logs that are there besides those of these names."""
        audit = self.config.audit
        names = sorted(path.name for path in audit.iterdir() if path.is_dir()) if audit.is_dir() else []
        return [name for name in names if name not in slots]

    def _index(self, slot: str, keeper: Executor | None, warn: Callable[[str], None] | None) -> Index:
        return Index(
            self.config.audit / slot,
            disk=LocalDisk(),
            books=SqliteBooks(),
            find=uses,
            clock=self.clock,
            executor=keeper,
            pause=partial(time.sleep, _PAUSE_SECONDS),
            notice=warn,
        )

    def admin_access_key(self) -> tuple[str, str]:
        """The admin's first enabled access key with its secret, for `keystead dev` to print again."""
        opened = store.connect(self.config.store, now=self.clock.now)
        with closing(opened), opened.view() as view:
            keys = [key for key in view.access_keys(user_arn(self.account, ADMIN)) if key.enabled]
        if not keys:
            raise ConfigError(
                "the admin has no enabled access key: make one with `keystead access-key create`"
            )
        secret = self.custodian.reveal(self.account, keys[0].protected, secret_binding(keys[0].id))
        return keys[0].id, secret.decode()

    def _notice(self, notice: Notice) -> bytes:
        """The log's own records: what it recovered, when it stopped and when it went on."""
        return encode(
            Entry(
                action=f"keystead:Audit{notice.event.capitalize()}",
                outcome=AuditUnavailable.code if notice.event is Event.STOPPED else OK,
                detail=(
                    notice.reason
                    if notice.event is Event.REKEYED
                    else f"{notice.reason} "
                    f"(dropped {notice.dropped_bytes} bytes, refused {notice.refused} records)"
                ),
                time=int(self.clock.now() * 1e6),
                v=1,
            )
        )


@dataclass(frozen=True, slots=True)
class Post:
    """One process's own gate, with the connections behind it."""

    installation: Installation
    gate: Gate
    store: Store
    log: Log
    _keeper: Executor  # of the usage index
    _indexes: Sequence[Index]  # of other logs
    _external: Client
    ledger: Ledger | None  # in the control process

    def jobs(self, request: str, region: str, account: str = "") -> Caller:
        """The caller that scheduled jobs ask as, in the first account or another: a job reaches into no other."""
        with self.store.view() as view:
            principal = view.principal(service_arn(account or self.installation.account, JOBS))
        if principal is None:
            raise DataDamaged("the jobs' principal is missing from the store: restore it from a backup")
        return Caller(identity_of(principal), request=request, region=region, auth="internal")

    def due(self, limit: int) -> list[Due]:
        """What is due now."""
        return due(self.store, self.installation.clock.now(), limit)

    def stale(self, before: float) -> Iterator[Provider]:
        """The identity providers whose keys were fetched before that time."""
        return stale(self.store, before)

    def untold(self, regions: tuple[str, ...]) -> list[Member]:
        """The members in Regions of linked servers of which there is something to tell."""
        return untold(self.store, self.installation.account, regions)

    def moving(self, regions: tuple[str, ...]) -> list[Member]:
        """The members in such Regions that are to be primaries."""
        return moving(self.store, self.installation.account, regions)

    def made(self, region: str) -> list[Member]:
        """The members in such a Region that have been acknowledged."""
        return made(self.store, self.installation.account, region)

    def close(self) -> None:
        """Sign a last checkpoint and let go of everything."""
        for index in self._indexes:
            index.stop()
        if self.ledger is not None:
            self.ledger.trees.stop()
        self.log.close()
        self._keeper.shutdown(wait=False, cancel_futures=True)
        self.store.close()
        self._external.close()


def local_secrets(environment: Mapping[str, str], ask: Callable[[str], str] | None = None) -> SecretSource:
    """Where a server's secrets come from: its environment, this machine's files, and a person if one is there."""
    return seal.LocalSecrets(environment, ask)


def migrate(config: Config) -> tuple[str, str]:
    """Bring the store's schema up to this version; returns its revisions before and after."""
    return store.migrate(config.store)


def _renew_jobs(config: Config, accounts: Iterable[str], clock: Clock) -> None:
    """Let the jobs do what this version's jobs do: an installation that an older one made knows fewer of them."""
    with closing(store.connect(config.store, now=clock.now)) as opened:
        with opened.view() as view:
            found = [view.principal(service_arn(account, JOBS)) for account in accounts]
        renewed = [
            replace(jobs, policy=_JOBS_POLICY)
            for jobs in found
            if jobs is not None and jobs.policy != _JOBS_POLICY
        ]
        if renewed:
            with opened.transact("renew-jobs") as tx:
                for jobs in renewed:
                    tx.put_principal(jobs)


def _access_key(
    custodian: Custodian, principal: Principal, now: float, random: Random
) -> tuple[AccessKey, str]:
    access_key_id, secret = new_credentials(random)
    protected = custodian.protect(principal.account, secret.encode(), secret_binding(access_key_id))
    return AccessKey(id=access_key_id, principal=principal.arn, protected=protected, created=now), secret
