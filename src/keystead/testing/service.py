"""A gate of an `Installation`, and somebody who asks it anything and gets the answer at once.

bench = ServiceBench()
key = bench.key()
sealed = bench.do(Encrypt(key, b"plaintext"))
bench.refusal(Encrypt(key, b"plaintext"), who="mallory")   # "AccessDenied: User: ... is not authorized ..."
bench.records[-1].outcome                                  # "AccessDenied"

It does what a server does with one request: fill the working set as far as it takes, hot commands through
`Gate.handle` and `Gate.settle`, the others through `Gate.ask`, and again when the answer may not leave.
"""

from itertools import count
from typing import Any

from keystead.core.names import KeyReference
from keystead.core.principal import service_arn, user_arn
from keystead.service.action import Mode
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands.kms import CreateKey
from keystead.service.entry import Entry
from keystead.service.gate import Answer, Gate
from keystead.service.linking import Peer
from keystead.service.quotas import Quotas
from keystead.service.subjects import MOST as MOST_SUBJECTS
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, REGION, Installation

_requests = count(1)


class ServiceBench:
    """See the module. Several benches of one house are as several processes of one installation."""

    def __init__(
        self,
        house: Installation | None = None,
        slot: str = "w0",
        *,
        quotas: Quotas | None = None,
        regions: tuple[str, ...] = (),
        peers: tuple[Peer, ...] = (),
        redactable: frozenset[str] = frozenset(),
        most_subjects: int = MOST_SUBJECTS,
    ) -> None:
        self.house = house or Installation()
        self.slot = slot
        self.gate: Gate = self.house.gate(
            slot,
            quotas=quotas,
            regions=regions,
            peers=peers,
            redactable=redactable,
            most_subjects=most_subjects,
        )

    def caller(self, who: str = "admin", region: str = REGION) -> Caller:
        """A user of the account by name, or any principal by ARN; every caller has a request id of its own."""
        arn = who if who.startswith("arn:") else user_arn(ACCOUNT, who)
        return self.house.caller(f"r-{next(_requests)}", arn=arn, region=region)

    def answer(self, command: Command, who: str | Caller = "admin", region: str = REGION) -> Answer:
        """The answer, once it may leave."""
        caller = self.caller(who, region) if isinstance(who, str) else who
        if self.gate.action(command).mode is not Mode.HOT:
            return self.gate.ask(caller, command)
        while True:
            answer = self.handle(caller, command)
            if not self.gate.settle([answer]):
                return answer

    def handle(self, caller: Caller, command: Command) -> Answer:
        """The answer to a hot command before it is settled."""
        while True:
            try:
                answer = self.gate.handle(caller, command)
                while answer.later is not None:
                    self.gate.work(answer)()
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))
            else:
                return answer

    def do(self, command: Command, who: str | Caller = "admin", region: str = REGION) -> Any:  # noqa: ANN401 - each command has its own result
        """The result; raises the error if there is one."""
        return self.answer(command, who, region).outcome()

    def refusal(self, command: Command, who: str | Caller = "admin", region: str = REGION) -> str:
        """The error's code and text; it must be the record's outcome as well."""
        answer = self.answer(command, who, region)
        assert answer.error is not None, f"{command} was not refused"
        assert answer.result is None
        assert self.records[-1].outcome == answer.error.code
        return f"{answer.error.code}: {answer.error}"

    def key(self, command: CreateKey | None = None, region: str = REGION) -> KeyReference:
        """A new key, named by its id."""
        return KeyReference(self.do(command or CreateKey(), region=region).key.id)

    @property
    def records(self) -> list[Entry]:
        """What is durable in this gate's log."""
        return list(self.house.entries(self.slot))


JOBS = service_arn(ACCOUNT, "jobs")


def key_arn(key: KeyReference, region: str = REGION) -> str:
    """The ARN of a key of the account."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key.name}"
