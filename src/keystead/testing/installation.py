"""A whole installation in memory: store, custodian, audit logs on a disk that can fail, and a stopped clock.

house = Installation()
gate = house.gate("w0")
caller = house.caller("alice", policy=...)
gate.ask(caller, CreateKey())

Every gate is as in another process: it has a working set and a log of its own, and shares the store.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from keystead.audit.accounts import AccountTrees
from keystead.audit.log import Log
from keystead.audit.retention import Pruner
from keystead.audit.search import Search
from keystead.audit.usage import Index, Usages
from keystead.core.ports import ExternalKeys, Store
from keystead.core.principal import AccessKey, Account, Principal, secret_binding, service_arn, user_arn
from keystead.core.retention import Durations
from keystead.crypto.secret import Secret
from keystead.custody.software import SoftwareCustodian
from keystead.custody.xks import Client, trust
from keystead.federation.issuers import Issuers
from keystead.service.action import Mode
from keystead.service.actions.principals import new_credentials
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.concerns import aged, seen
from keystead.service.entry import Entry, begins, decode, moment, of_request, uses
from keystead.service.gate import Answer, Gate
from keystead.service.identities import identify
from keystead.service.linking import Peer
from keystead.service.quotas import Quotas
from keystead.service.subjects import MOST as MOST_SUBJECTS
from keystead.service.workingset import NotLoaded
from keystead.store.memory import Memory
from keystead.testing.audit import AuditBench, TurnedClock
from keystead.testing.records import Located, MemoryRecords
from keystead.testing.usage import MemoryBooks

ACCOUNT: Final = "111122223333"
REGION: Final = "eu-central-1"
ENOUGH: Final = 32  # tries of one question
EVERYTHING: Final = """{
    "Version": "2012-10-17",
    "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]
}"""


class Installation:
    """See the module. ``admin`` is the access key id and secret of a user who may do everything."""

    def __init__(
        self,
        store: Store | None = None,
        seed: int = 0,
        external: ExternalKeys | None = None,
        root: bytes = bytes(32),
        durations: Durations | None = None,
    ) -> None:
        self.audit = AuditBench(seed, segment_bytes=1 << 20)
        self.store = store or Memory()
        self.random = random.Random(seed).randbytes  # noqa: S311 - a test's choices must repeat
        self.custodian = SoftwareCustodian(Secret(root), self.random)
        # An installation without proxies of its own trusts the system's authorities, so it finds nobody.
        self.external = external or Client(trust(None), self.clock, self.random)
        self.logs: dict[str, Log] = {}
        self.books = MemoryBooks()
        self.usage = Usages(
            self.audit.root,
            disk=self.audit.disk,
            books=self.books,
            find=uses,
            moment=moment,
            origin=self.audit.signer.name,
        )
        self.trees = AccountTrees(
            self.audit.root,
            disk=self.audit.disk,
            origin=self.audit.signer.name,
            sign=self._sign,
            verifier=lambda: self.audit.signer.verifier,
            seen=seen,
            accounts=self._accounts,
        )
        self.pruner = Pruner(
            self.audit.root,
            disk=self.audit.disk,
            origin=self.audit.signer.name,
            sign=self._sign,
            verifier=lambda: self.audit.signer.verifier,
            aged=aged,
            settled=self._settled,
            durations=durations or Durations(),
        )
        wrapped = self.custodian.enroll(ACCOUNT)
        self.custodian.admit(ACCOUNT, wrapped)
        with self.store.transact("init") as tx:
            tx.put_setting("account", ACCOUNT)
            tx.put_account(Account(id=ACCOUNT, name="main", created=self.clock.now()))
            tx.put_account_key(ACCOUNT, wrapped)
            tx.put_principal(
                Principal(
                    arn=service_arn(ACCOUNT, "jobs"),
                    account=ACCOUNT,
                    name="jobs",
                    created=self.clock.now(),
                    policy=EVERYTHING,
                )
            )
        self.admin = self.user("admin", EVERYTHING)

    @property
    def clock(self) -> TurnedClock:
        """The one clock."""
        return self.audit.clock

    def gate(
        self,
        slot: str = "w0",
        *,
        quotas: Quotas | None = None,
        regions: tuple[str, ...] = (),
        peers: tuple[Peer, ...] = (),
        redactable: frozenset[str] = frozenset(),
        most_subjects: int = MOST_SUBJECTS,
    ) -> Gate:
        """A process's own gate."""
        log = self.logs[slot] = self.audit.open(slot)
        log.follow(
            Index(
                self.audit.root / slot,
                disk=self.audit.disk,
                books=self.books,
                find=uses,
                clock=self.clock,
            )
        )
        return Gate(
            store=self.store,
            custodian=self.custodian,
            external=self.external,
            audit=log,
            usage=self.usage,
            tokens=Issuers(self.clock),
            journal=Search(
                self.audit.root,
                disk=self.audit.disk,
                clock=self.clock,
                origin=self.audit.signer.name,
                of_request=of_request,
                begins=begins,
                moment=moment,
            ),
            account_logs=self.trees,
            retention=self.pruner,
            records=MemoryRecords(self._located, self.audit.signer.name),
            clock=self.clock,
            random=self.random,
            quotas=quotas or Quotas(),
            marker_key=b"marker",
            regions=regions,
            peers=peers,
            redactable=redactable,
            most_subjects=most_subjects,
        )

    def _sign(self, name: str, text: str) -> bytes:
        return self.audit.signer.named(name).sign(text)

    def _accounts(self) -> list[str]:
        with self.store.view() as view:
            return [account.id for account in view.accounts("", 1000)]

    def _settled(self, log: Path) -> int:
        book = self.books.open(log)
        return 0 if book is None else book.place().position

    def _located(self) -> Iterator[Located]:
        """Every entry of every process, with where it stands."""
        for slot, log in self.logs.items():
            yield from ((slot, index, entry) for index, entry in enumerate(log.entries(0, log.size)))

    def user(self, name: str, policy: str = "") -> tuple[str, str]:
        """A new user; the id and the secret of its access key."""
        access_key_id, secret = new_credentials(self.random)
        protected = self.custodian.protect(ACCOUNT, secret.encode(), secret_binding(access_key_id))
        arn = user_arn(ACCOUNT, name)
        with self.store.transact(f"user-{name}") as tx:
            tx.put_principal(
                Principal(arn=arn, account=ACCOUNT, name=name, created=self.clock.now(), policy=policy)
            )
            tx.put_access_key(
                AccessKey(id=access_key_id, principal=arn, protected=protected, created=self.clock.now())
            )
        return access_key_id, secret

    def caller(self, request: str, *, arn: str = "", region: str = REGION) -> Caller:
        """A caller as a front would make one; the admin unless told otherwise."""
        with self.store.view() as view:
            principal = view.principal(arn or user_arn(ACCOUNT, "admin"))
            if principal is None:
                raise LookupError(arn)
            identity = identify(view, principal)
        return Caller(identity, request=request, region=region, auth="internal")

    def ask(self, gate: Gate, command: Command, caller: Caller | None = None) -> Answer:
        """Everything a server does for one command: load, run, record, settle, and again while it is withheld."""
        caller = caller or self.caller(f"ask-{self.random(8).hex()}")
        if gate.action(command).mode is not Mode.HOT:
            return gate.ask(caller, command)
        for _ in range(ENOUGH):
            try:
                answer = gate.handle(caller, command)
                while answer.later is not None:
                    gate.work(answer)()
            except NotLoaded as missing:
                gate.working.admit(gate.working.load(missing.wanted))
            else:
                if not gate.settle([answer]):
                    return answer
        raise LookupError("it is never loaded, or withheld again and again")

    def entries(self, slot: str = "w0") -> Sequence[Entry]:
        """What is durable in a process's log, without the log's own notices."""
        return [decode(entry) for entry in self.audit.entries(self.logs[slot])]
