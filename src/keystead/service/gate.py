"""The gate: the one way to use a key.

Every front and every job asks here. The order never changes:

1. find the key the caller named,
2. decide by policy,
3. check the key's state and usage,
4. run the action,
5. append the audit entry, of a refusal as well,
6. make it durable (`settle`),
7. check once more that nothing the answer rests on has changed, and only then let it leave.

Hot commands go through `handle`, on the worker's own thread; what one of them leaves for later is done by `work` on
another. The others go through `intend` (an intent
entry, which must be durable before anything changes), `perform` on another thread, and `record`. `ask` does
all of it at once for callers that may block, such as the jobs.

`settle` is the promise "no answer without its record": the server calls it for all answers of one turn of
its loop, and writes none of them before it has returned.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, Final, NoReturn

from keystead.core.context import digest
from keystead.core.errors import (
    AccessDenied,
    AuditUnavailable,
    DataDamaged,
    DryRun,
    IncorrectKey,
    KeysteadError,
    Kind,
    NotFound,
    StoreUnavailable,
)
from keystead.core.grant import including
from keystead.core.key import Event, State
from keystead.core.ledger import AccountLogs, Retention
from keystead.core.names import KeyReference
from keystead.core.policy import Document, Question, Ruling, decide
from keystead.core.ports import (
    AuditLog,
    Clock,
    Custodian,
    ExternalKeys,
    IdentityTokens,
    Journal,
    Outside,
    Random,
    Records,
    Store,
    Usage,
    View,
)
from keystead.core.principal import root_arn
from keystead.core.spec import ENCRYPT_DECRYPT
from keystead.core.subject import SOURCE, SOURCE_IDENTITY
from keystead.service import granttoken
from keystead.service.action import Action, Later, Mode
from keystead.service.actions import ACTIONS
from keystead.service.actions.crypt import WOULD_SUCCEED
from keystead.service.caller import ANONYMOUS, Caller
from keystead.service.circumstances import Circumstances
from keystead.service.commands import Command
from keystead.service.desk import Desk, asked_by, by_grant, denied, note, refused_key, unknown_key
from keystead.service.entry import OK, Entry, encode, used
from keystead.service.guesses import Guesses
from keystead.service.linking import Peer
from keystead.service.openkey import OpenKey
from keystead.service.quotas import Quotas
from keystead.service.records import NoRecords
from keystead.service.results import Result
from keystead.service.sessiontoken import SessionTokens
from keystead.service.subjects import MOST as MOST_SUBJECTS
from keystead.service.subjects import Named, Subjects
from keystead.service.unattended import NoAccountLogs, NoRetention
from keystead.service.workingset import HeldKey, NotLoaded, Wanted, WorkingSet

RULINGS_KEPT: Final = 4096  # remembered decisions for one key or identity
MOST_TRIES: Final = 8  # of one question, by `ask`: more means that what it rests on changes all the time
DETAIL_CHARACTERS: Final = 1000
STRANGERS_AT_ONCE: Final = 60
"""Values of strangers that are kept at once, and then one more each second; of others the audit has no values."""
UNKEPT_SECONDS: Final = 60.0  # until it is tried again to keep a value


class InternalError(KeysteadError):
    """A bug of ours; its text stays inside. The cause, if any, is for who reports faults to the operator."""

    kind, code = Kind.UNAVAILABLE, "Internal"


class Answer:
    """The result or the error of one request, and what it rests on.

    It may leave only once `Gate.settle` has returned without naming it.
    """

    __slots__ = ("entry", "error", "later", "refs", "result")

    def __init__(self, entry: Entry, refs: list[str]) -> None:
        self.entry = entry
        self.refs = refs
        self.result: Result | None = None
        self.error: KeysteadError | None = None
        self.later: Later | None = None  # what is still to be done (`Gate.work`)

    def outcome(self) -> Result:
        """The result; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        assert self.result is not None  # noqa: S101 - an answer has one or the other
        return self.result


class Visit:
    """One caller at the gate for one hot command: opens keys and keeps what the record needs."""

    __slots__ = ("_command", "_gate", "caller", "entry", "random", "refs")

    def __init__(self, gate: "Gate", caller: Caller, entry: Entry, command: Command | None = None) -> None:
        self._command = command
        self._gate = gate
        self.caller = caller
        self.entry = entry
        self.random = gate.random
        self.refs = [caller.access_key, *caller.identity.refs]

    def use(
        self,
        reference: KeyReference,
        action: str,
        usage: str | None = ENCRYPT_DECRYPT,
        *,
        context: Mapping[str, str] | None = None,
        tokens: tuple[str, ...] = (),
        expected: str = "",
        any_account: bool = False,
    ) -> OpenKey:
        """Open the key that ``reference`` names, for ``action``; raises what the caller is told.

        ``context`` is the encryption context as far as there is one, ``expected`` the id that the key must have,
        and ``usage`` None stands for any. With ``any_account`` an id without an account names a key of any, as the one
        in a ciphertext does.
        """
        caller, entry, working = self.caller, self.entry, self._gate.working
        identity = caller.identity
        account = reference.account or identity.account
        if tokens:
            self._gate.check_tokens(tokens)
        # (1) find it.
        if reference.region and reference.region != caller.region:
            raise NotFound(f"Invalid arn {reference.region}")
        key_id = reference.name
        if reference.is_alias:
            arn = entry.subject = f"arn:aws:kms:{caller.region}:{account}:{key_id}"
            self.refs.append(arn)
            target = working.alias(reference, account, caller.region)
            if target is None:
                raise unknown_key(caller, action, account, arn)
            key_id = target
        self.refs.append(f"{caller.region}/{key_id}")  # as `key_ref` has it
        held = working.key(caller.region, key_id)
        if held is None or (held.key.account != account and not any_account):
            entry.key = f"arn:aws:kms:{caller.region}:{account}:key/{key_id}"
            raise unknown_key(caller, action, account, entry.key)
        entry.key, entry.version = held.arn, held.version
        # (2) decide.
        ruling = held.rulings.get((identity, action)) or self._decide(held, action, reference, context)
        if ruling.source == "none":  # neither allowed nor denied: a grant may allow it
            ruling = self._by_grant(held, action, reference, context) or ruling
        note(entry, ruling)
        if not ruling.allowed:
            raise self._refusal(held, action, reference, context, ruling)
        # (3) its state, then its usage.
        if expected and key_id != expected:
            raise IncorrectKey(
                "The key ID in the request does not identify a CMK that can perform this operation."
            )
        if held.key_store is not None:
            self.refs.append(held.key_store.ref)
        if not held.usable:
            raise held.refusal()
        if held.expires <= entry.time:  # the job that writes it down may come a little later
            raise replace(held.key, state=State.PENDING_IMPORT).refusal(Event.USE)
        if usage is not None and held.key.usage != usage:
            raise held.key.wrong_usage(action)
        if held.key_store is None:
            return OpenKey(held, working)
        outside = Outside(
            key_store=held.key_store,
            secret=held.secret.reveal(),
            outer_key=held.key.outer_key,
            key_arn=held.arn,
            principal=identity.arn,
            action=action,
            request=caller.request,
        )
        return OpenKey(held, working, self._gate.external, outside)

    def allow(self, action: str) -> None:
        """Decide an action that involves no key."""
        identity = self.caller.identity
        ruling = identity.rulings.get((action, "*"))
        if ruling is None:
            ruling = decide(self._question(action, "*"))
            if ruling.cacheable:
                identity.rulings[action, "*"] = ruling
        note(self.entry, ruling)
        if not ruling.allowed:
            raise denied(self.caller, action, "*", ruling.reason)

    def moves(self) -> None:
        """Note that the key opened so far is the one a ciphertext comes from; the next is where it goes."""
        entry = self.entry
        entry.from_key, entry.from_version = entry.key, entry.version
        entry.key, entry.version = "", 0

    def used(self, context: bytes, blob: bytes, version: int) -> None:
        """Note what was sealed or opened: the context, the blob and the key version."""
        entry = self.entry
        entry.version = version
        entry.ciphertext = sha256(blob).hexdigest()
        if context:
            entry.context = digest(context)

    def _by_grant(
        self, held: HeldKey, action: str, reference: KeyReference, context: Mapping[str, str] | None
    ) -> Ruling | None:
        """What a grant allows the caller, or its account and that the caller."""
        grants, identity = self._gate.working.grants, self.caller.identity
        for grantee in dict.fromkeys((identity.arn, identity.principal)):  # a session, then its role
            ruling = by_grant(grants(held, grantee), action, context)
            if ruling is not None:
                return ruling
        ruling = by_grant(grants(held, root_arn(identity.account)), action, context)
        if ruling is None or not decide(self._about(held, action, reference, context, None)).allowed:
            return None
        return ruling

    def _refusal(
        self,
        held: HeldKey,
        action: str,
        reference: KeyReference,
        context: Mapping[str, str] | None,
        ruling: Ruling,
    ) -> AccessDenied:
        """The refusal; the record names the grant that would have allowed it under another context, if one would."""
        grants, identity = self._gate.working.grants, self.caller.identity
        account = root_arn(identity.account)
        names = (identity.arn, identity.principal, account) if ruling.source == "none" else ()
        for grantee in dict.fromkeys(names):
            grant = including(grants(held, grantee), action)
            if grant is not None and (
                grantee != account or decide(self._about(held, action, reference, context, None)).allowed
            ):
                self.entry.missing = f"grant {grant.id}: encryption context"
                break
        return refused_key(self.caller, action, reference, held.arn, ruling)

    def _decide(
        self, held: HeldKey, action: str, reference: KeyReference, context: Mapping[str, str] | None
    ) -> Ruling:
        ruling = decide(self._about(held, action, reference, context, held.policy))
        if not ruling.cacheable:  # a condition had a part in it, so it is this request's alone
            return ruling
        if len(held.rulings) >= RULINGS_KEPT:
            held.rulings.clear()
        held.rulings[self.caller.identity, action] = ruling
        return ruling

    def _about(
        self,
        held: HeldKey,
        action: str,
        reference: KeyReference,
        context: Mapping[str, str] | None,
        policy: Document | None,
    ) -> Question:
        """The question whether the caller may do ``action`` to a key, with all that conditions ask of it."""
        question = self._question(action, held.arn, policy, held.key.account)
        question.context = lambda: Circumstances(
            caller=self.caller,
            entry=self.entry,
            action=action,
            command=self._command,
            key=held.key,
            alias=reference.name if reference.is_alias else "",
            context=context,
            tags=lambda: held.tags,
            aliases=lambda: held.aliases,
        )
        return question

    def _question(
        self, action: str, resource: str, key_policy: Document | None = None, key_account: str = ""
    ) -> Question:
        context = partial(
            Circumstances, caller=self.caller, entry=self.entry, action=action, command=self._command
        )
        return asked_by(self.caller.identity, action, resource, context, key_policy, key_account)


class Gate:
    """See the module. One per process; all but `perform` and `ask` belong to the thread that made it."""

    def __init__(
        self,
        *,
        store: Store,
        custodian: Custodian,
        external: ExternalKeys,
        audit: AuditLog,
        clock: Clock,
        random: Random,
        quotas: Quotas,
        usage: Usage,
        tokens: IdentityTokens,
        journal: Journal,
        marker_key: bytes,
        keys_held: int = 100_000,
        regions: tuple[str, ...] = (),
        peers: tuple[Peer, ...] = (),
        records: Records | None = None,
        account_logs: AccountLogs | None = None,
        retention: Retention | None = None,
        redactable: frozenset[str] = frozenset(),
        most_subjects: int = MOST_SUBJECTS,
    ) -> None:
        self._subjects = Subjects(store, random=random, clock=clock, key=marker_key, most=most_subjects)
        self.working = WorkingSet(store, custodian, keys=keys_held, subjects=self._subjects)
        self._redactable = redactable  # members of entries
        self._redacts = bool(redactable)
        self._redacts_source = SOURCE in redactable
        self._redacts_identity = SOURCE_IDENTITY in redactable
        self._strangers = float(STRANGERS_AT_ONCE)  # of which a value may be kept now
        self._strangers_counted = self._retried = clock.monotonic()
        self.external = external
        self.random = random
        self._store = store
        self._custodian = custodian
        self._audit = audit
        self._clock = clock
        self._quotas = quotas
        self._regions = regions  # that are served here; none: any
        self._peers = peers
        self._usage = usage
        self._tokens = tokens
        self._journal = journal
        self._records = records or NoRecords()
        self._account_logs = account_logs or NoAccountLogs()
        self._retention = retention or NoRetention()
        self._guesses = Guesses()
        self._marker_key = marker_key
        self._asking = threading.Lock()
        self._owed: list[bytes] = []  # records of changes that were made while the log failed

    def action(self, command: Command) -> Action:
        """The row of a command."""
        return ACTIONS[type(command)]

    def handle(self, caller: Caller, command: Command) -> Answer:
        """Run a hot command and append its record, unless work is left for later: then that comes first.

        Raises `NotLoaded` when the working set must be filled first (nothing has happened then), and
        `AuditUnavailable` when the log takes nothing.
        """
        action = ACTIONS[type(command)]
        if self._redacts:
            self.introduce(caller)
        entry = self._entry(caller, action.name)
        visit = Visit(self, caller, entry, command)
        answer = Answer(entry, visit.refs)
        self._go(answer, action.run, command, visit)
        return answer

    def work(self, answer: Answer) -> Callable[[], None]:
        """Do what a hot action has left for later; any thread. What it returns must be called on the loop's.

        After that there is either a record of the answer, or `Answer.later` again.
        """
        later, answer.later = answer.later, None
        assert later is not None  # noqa: S101 - the caller has looked
        try:
            made = later.work()
        except Exception as error:  # noqa: BLE001 - it is sorted out where the others are
            return partial(self._go, answer, _raise, error)
        return partial(self._go, answer, later.then, made)

    def _go(self, answer: Answer, step: Callable[..., Result | Later], *given: Any) -> None:  # noqa: ANN401 - the step's own
        """Take the next step of a hot action; append the record if it was the last."""
        try:
            result = step(*given)
            if isinstance(result, Later):
                answer.later = result
                return
            if answer.entry.dry_run:
                raise DryRun(WOULD_SUCCEED)
            answer.result = result
            answer.entry.outcome = OK
        except NotLoaded:
            raise
        except KeysteadError as error:
            _failed(answer, error)
        except Exception as error:  # noqa: BLE001 - a bug must still be recorded and answered
            _bug(answer, error)
        self._audit.append(encode(answer.entry), used(answer.entry))

    def abandon(self, answer: Answer, error: KeysteadError) -> Answer:
        """Refuse to do what a hot action has left for later, and append the record of that."""
        answer.later = None
        _failed(answer, error)
        self._audit.append(encode(answer.entry))
        return answer

    def session_tokens(self) -> SessionTokens:
        """What makes and reads the tokens of sessions; a new one, for one thread."""
        return SessionTokens(self._marker_key)

    def check_tokens(self, tokens: Sequence[str]) -> None:
        """Refuse grant tokens that were not given out here."""
        for token in tokens:
            granttoken.read(self._marker_key, token)

    def intend(self, caller: Caller, command: Command) -> Answer:
        """Append the intent of a change. It must be durable before `perform` is called.

        Raises `NotLoaded` as `introduce` does; nothing has happened then.
        """
        self.introduce(caller)
        entry = self._entry(caller, self.action(command).name)
        entry.stage = "intent"
        entry.subject = command.about
        self._audit.append(encode(entry))
        return Answer(entry, [])

    def introduce(self, caller: Caller) -> None:
        """Have ready what entries hold instead of what tells of people, if they do; before `perform`.

        Raises `NotLoaded` when the working set must be filled first.
        """
        if not self._redacts or caller.written is not None:
            return
        session = caller.identity.session
        source, identity = caller.source, "" if session is None else session.source_identity
        missing: tuple[Named, ...] = ()
        if source and self._redacts_source:
            named = SOURCE, source
            source = self.working.commitment(named) or ""
            missing = () if source else (named,)
        if identity and self._redacts_identity:
            named = SOURCE_IDENTITY, identity
            identity = self.working.commitment(named) or ""
            missing = missing if identity else (*missing, named)
        if missing:
            stranger = caller.auth == ANONYMOUS
            if not stranger or self._takes_stranger():
                raise NotLoaded(Wanted("subjects", "", subjects=missing, stranger=stranger))
            source = source or self._subjects.unkept(*missing[0])
        caller.written = source, identity

    def perform(self, caller: Caller, command: Command) -> Answer:
        """Run a READ, SLOW or WRITE command in a transaction of its own; any thread. `record` comes next.

        The caller has been introduced. If not, what entries hold of it is nothing that anybody can tell it by.
        """
        action = ACTIONS[type(command)]
        entry = self._entry(caller, action.name)
        answer = Answer(entry, [caller.access_key, *caller.identity.refs])
        prepared = None
        try:
            if action.before is not None:
                with self._store.view() as view:
                    prepared = action.before(command, self._desk(caller, view, entry, command=command))
            with (
                self._store.transact(caller.request)
                if action.mode is Mode.WRITE
                else self._store.view() as tx
            ):
                entry.epoch = tx.newest_change()
                desk = self._desk(caller, tx, entry, prepared, command)
                answer.refs = desk.refs
                answer.result = action.run(command, desk)
                if entry.dry_run and action.mode is Mode.WRITE:  # the exception undoes all that was written
                    raise DryRun(WOULD_SUCCEED)
            entry.outcome = OK
        except KeysteadError as error:
            answer.result = None  # a commit that failed takes the result with it
            _failed(answer, error)
        except Exception as error:  # noqa: BLE001 - a bug must still be recorded and answered
            answer.result = None
            _bug(answer, error)
        if action.mode is Mode.WRITE:
            entry.stage = "outcome"
            answer.refs = []  # it was decided and done in one serial transaction: nothing to check again
        return answer

    def record(self, answer: Answer) -> None:
        """Append the record of what `perform` did.

        If the log fails now, a change has been made whose outcome is not written yet, only its intent: the
        record is kept and appended as soon as the log takes it (`tend`).
        """
        try:
            self._audit.append(encode(answer.entry))
        except AuditUnavailable:
            self._owe([answer])
            raise

    def refuse(self, entry: Entry, error: KeysteadError, *, patient: bool = False) -> Answer:
        """Append the record of a request that never became a command: malformed or not authenticated.

        Whoever is ``patient`` may be told `NotLoaded`, and comes again with the same entry.
        """
        if self._redacts_source and entry.source:
            named = SOURCE, entry.source
            known = self.working.commitment(named)
            if known is None and patient and self._takes_stranger():
                raise NotLoaded(Wanted("subjects", "", subjects=(named,), stranger=True))
            entry.source = known or self._subjects.unkept(*named)
        entry.time = int(self._clock.now() * 1e6)
        entry.epoch = self.working.epoch
        entry.v = 1
        answer = Answer(entry, [entry.access_key])
        _failed(answer, error)
        self._audit.append(encode(entry))
        return answer

    def settle(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Make all records durable; returns the answers that may *not* leave and must be asked again.

        Raises `AuditUnavailable` or `StoreUnavailable`: then none of them may leave.
        """
        try:
            self._audit.commit()
        except AuditUnavailable:
            self._owe(answers)
            raise
        self.working.catch_up()
        epoch = self.working.epoch
        return [a for a in answers if a.entry.epoch != epoch and self._stale(a)]

    def tend(self) -> None:
        """Housekeeping, about once a second: the log's own, then the records that are still owed."""
        self._audit.tend()
        if self.working.unkept and self._clock.monotonic() - self._retried >= UNKEPT_SECONDS:
            self._retried = self._clock.monotonic()
            self.working.forget_unkept()
        if self._owed and self._audit.healthy:
            owed, self._owed = self._owed, []
            try:
                for record in owed:
                    self._audit.append(record)
                self._audit.commit()
            except AuditUnavailable:
                self._owed = owed

    @property
    def healthy(self) -> bool:
        """Whether the log is expected to take the next record."""
        return self._audit.healthy

    @property
    def trouble(self) -> str:
        """What the log's disk refuses, even while the log still works; empty when nothing."""
        return self._audit.trouble

    def ask(self, caller: Caller, command: Command) -> Answer:
        """All of it at once, for a caller that may block and for READ, SLOW and WRITE commands only."""
        with self._asking:
            self._introduced(caller)
            if self.action(command).mode is Mode.WRITE:
                self.intend(caller, command)
                self._audit.commit()
            for _ in range(MOST_TRIES):
                answer = self.perform(caller, command)
                self.record(answer)
                try:
                    withheld = self.settle([answer])
                except StoreUnavailable:
                    if answer.refs:
                        raise
                    withheld = ()  # a change is done and on record, and rests on nothing
                if not withheld:
                    return answer
                # It was a READ, and something it rests on has changed since: what is true now?
            raise StoreUnavailable("What this request needs keeps changing: try again later.")

    def _introduced(self, caller: Caller) -> None:
        """Introduce somebody, loading what that takes; whoever is redacted in between is as if not introduced."""
        try:
            self.introduce(caller)
        except NotLoaded as missing:
            self.working.admit(self.working.load(missing.wanted))
            with suppress(NotLoaded):
                self.introduce(caller)

    def _takes_stranger(self) -> bool:
        """Whether one more value may be kept of somebody who has not proven who it is."""
        now = self._clock.monotonic()
        self._strangers = min(STRANGERS_AT_ONCE, self._strangers + now - self._strangers_counted)
        self._strangers_counted = now
        if self._strangers < 1:
            return False
        self._strangers -= 1
        return True

    def _stale(self, answer: Answer) -> bool:
        """Whether something that the answer rests on has changed since it was decided."""
        if not answer.refs:
            return False
        changed = self.working.changed_since(answer.entry.epoch)
        return changed is None or not changed.isdisjoint(answer.refs)

    def _owe(self, answers: Sequence[Answer]) -> None:
        self._owed += [encode(a.entry) for a in answers if a.entry.stage == "outcome"]

    def _entry(self, caller: Caller, action: str) -> Entry:
        identity = caller.identity
        session = identity.session
        source, source_identity = caller.source, "" if session is None else session.source_identity
        if self._redacts:
            source, source_identity = caller.written or self._unwritten(source, source_identity)
        return Entry(
            access_key=caller.access_key,
            account=identity.account,
            action=action,
            auth=caller.auth,
            client_request=caller.client_request,
            dry_run=caller.dry_run,
            epoch=self.working.epoch,
            principal=identity.arn,
            region=caller.region,
            request=caller.request,
            source=source,
            source_identity=source_identity,
            time=int(self._clock.now() * 1e6),
            trace=caller.trace,
            v=1,
        )

    def _unwritten(self, source: str, identity: str) -> tuple[str, str]:
        """What is written of somebody who was not introduced."""
        if source and self._redacts_source:
            source = self._subjects.unkept(SOURCE, source)
        if identity and self._redacts_identity:
            identity = self._subjects.unkept(SOURCE_IDENTITY, identity)
        return source, identity

    def _desk(
        self,
        caller: Caller,
        tx: View,
        entry: Entry,
        prepared: object = None,
        command: Command | None = None,
    ) -> Desk:
        return Desk(
            caller=caller,
            tx=tx,  # type: ignore[arg-type]  # what may not write does not write
            prepared=prepared,
            command=command,
            entry=entry,
            now=self._clock.now(),
            custodian=self._custodian,
            external=self.external,
            random=self.random,
            quotas=self._quotas,
            regions=self._regions,
            peers=self._peers,
            usage=self._usage,
            tokens=self._tokens,
            journal=self._journal,
            records=self._records,
            account_logs=self._account_logs,
            retention=self._retention,
            redactable=self._redactable,
            guesses=self._guesses,
            marker_key=self._marker_key,
        )


def _raise(error: Exception) -> NoReturn:
    raise error


def _failed(answer: Answer, error: KeysteadError) -> None:
    # The trace and the errors behind it hold the frames they went through, and those hold plaintexts, and the
    # answer itself: a cycle that would stay until the garbage collector comes by.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    answer.error = error
    answer.entry.outcome = error.code
    if isinstance(error, InternalError | DataDamaged):  # what only the operator can mend
        answer.entry.detail = str(error)[:DETAIL_CHARACTERS]


def _bug(answer: Answer, error: Exception) -> None:
    internal = InternalError(type(error).__name__)
    _failed(answer, internal)
    internal.__cause__ = error  # who reports it to the operator lets go of it
