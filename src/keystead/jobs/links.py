"""Tells linked servers of the replicas in their Regions, and asks them which are no more.

The job has a thread of its own, since it waits for other machines, and two linked servers may ask each other at the
same moment. It decides nothing: what is to be told, and what an answer means, it asks of the gate, on the gate's
thread (`At`).

A server that does not answer is left alone for a while that doubles from one look to the next, five minutes at most.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTP_PORT, HTTPS_PORT
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from keystead.core.errors import InvalidCiphertext, KeysteadError
from keystead.core.names import KeyReference
from keystead.core.ports import Clock, Custodian, Random
from keystead.crypto import links
from keystead.crypto.keywrap import from_text
from keystead.crypto.links import NONCE_BYTES, Claim
from keystead.crypto.transfer import TransferIdentity
from keystead.network.deadline import Deadline
from keystead.network.http import Target, Unreachable, ask
from keystead.observe.log import Log
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.gate import Gate
from keystead.service.linking import AT_ONCE, VERSIONS_AT_ONCE, Member
from keystead.service.results import Result
from keystead.service.results.kms import Telling, TellingMove

T = TypeVar("T")

At = Callable[[Callable[[], T]], T]
"""Does something on the gate's thread and returns what came of it."""

DEADLINE_SECONDS: Final = 5.0
ANSWER_BYTES: Final = 65_536
LONGEST_PAUSE: Final = 300.0


class NoAnswer(Exception):
    """The other server cannot be reached, refuses, or says what it has not signed. The text is for the operator."""


class Refused(NoAnswer):
    """It answers that it does not do this."""


class _Signed(msgspec.Struct):
    answer: str
    signature: str


class _Told(msgspec.Struct):
    versions: int
    gone: bool


class _Moved(msgspec.Struct):
    moved: bool


class _Gone(msgspec.Struct):
    gone: list[str]


class Post:
    """Carries a request to a linked server's control plane, and the answer back."""

    def __init__(self, url: str, trust: ssl.SSLContext, clock: Clock) -> None:
        address = urlsplit(url)
        secure = address.scheme == "https"
        port = address.port or (HTTPS_PORT if secure else HTTP_PORT)
        self._target = Target(secure, address.hostname or "", port, "")
        self._trust = trust
        self._clock = clock

    def __call__(self, target: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        """The status and the body of the answer; raises `NoAnswer`."""
        try:
            answer = ask(
                self._target._replace(path=target),
                self._trust,
                Deadline(self._clock, DEADLINE_SECONDS),
                ANSWER_BYTES,
                body=body,
                headers={"Content-Type": "application/json", "Authorization": authorization},
            )
        except Unreachable as error:
            raise NoAnswer(str(error)) from None
        return answer.status, answer.body


class Correspondent:
    """Speaks to one linked server. ``post`` is a `Post`, or carries requests in another way."""

    def __init__(
        self,
        post: Callable[[str, bytes, str], tuple[int, bytes]],
        identity: str,
        *,
        custodian: Custodian,
        clock: Clock,
        random: Random,
    ) -> None:
        self._post = post
        self._custodian = custodian
        self._clock = clock
        self._random = random
        self._there = TransferIdentity.from_text(identity)
        self._here = TransferIdentity.from_text(custodian.transfer_identity)
        self._last = 0

    def ask(self, operation: str, body: bytes, kind: type[T]) -> T:
        """The answer to one request, once its signature has been checked; raises `NoAnswer`."""
        self._last = max(int(self._clock.now() * 1e6), self._last + 1)
        claim = Claim(links.fingerprint(self._here), self._last, self._random(NONCE_BYTES).hex())
        signature = self._custodian.vouch(claim.statement(self._there, operation, body))
        status, answer = self._post(f"/v1/{operation}", body, claim.header(signature))
        if status != HTTPStatus.OK:
            raise Refused(_refusal(status, answer))
        try:
            signed = msgspec.json.decode(answer, type=_Signed)
            words = signed.answer.encode()
            if self._there.said(claim.answer(self._there, words), from_text(signed.signature)):
                return msgspec.json.decode(words, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError, InvalidCiphertext):
            raise NoAnswer("it answers something else than a linked server does") from None
        raise NoAnswer("its answer is not signed with the identity that the configuration has")


def _refusal(status: int, answer: bytes) -> str:
    try:
        code = msgspec.json.decode(answer, type=dict[str, str]).get("code", "")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        code = ""
    return f"it refuses with status {status} {code[:64]}".rstrip()


@dataclass(slots=True)
class Neighbour:
    """A linked server, and how long it is left alone."""

    name: str
    regions: tuple[str, ...]
    ask: Callable[[str, bytes, type], object]  # `Correspondent.ask`
    pause: float = 0.0
    until: float = field(default=0.0)


class Links:
    """See the module. ``untold`` and ``made`` look into the store (`keystead.service.linking`)."""

    def __init__(
        self,
        neighbours: Sequence[Neighbour],
        *,
        gate: Gate,
        untold: Callable[[tuple[str, ...]], list[Member]],
        moving: Callable[[tuple[str, ...]], list[Member]],
        made: Callable[[str], list[Member]],
        caller: Callable[[str, str], Caller],
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._neighbours = neighbours
        self._gate = gate
        self._untold = untold
        self._moving = moving
        self._made = made
        self._caller = caller
        self._clock = clock
        self._random = random
        self._log = log

    def run_once(self, at: At[Result]) -> None:
        """Tell and ask each linked server what there is to tell and to ask."""
        for neighbour in self._neighbours:
            if self._clock.monotonic() < neighbour.until:
                continue
            try:
                self._ask_states(neighbour, at)
                self._tell(neighbour, at)
            except NoAnswer as error:
                neighbour.pause = min(max(1.0, neighbour.pause * 2), LONGEST_PAUSE)
                neighbour.until = self._clock.monotonic() + neighbour.pause
                self._log.warning(
                    "a linked server does not do its part and will be asked again",
                    component=neighbour.name,
                    reason=str(error),
                )
            except KeysteadError as error:
                self._log.warning(
                    "a linked server was not told and will be told again",
                    component=neighbour.name,
                    code=error.code,
                )
            else:
                neighbour.pause = 0.0

    def _ask_states(self, neighbour: Neighbour, at: At[Result]) -> None:
        for region in neighbour.regions:
            made = self._made(region)
            for start in range(0, len(made), AT_ONCE):
                some = {member.key_id: member for member in made[start : start + AT_ONCE]}
                body = msgspec.json.encode({"region": region, "key_ids": list(some)})
                answer: _Gone = neighbour.ask("LinkStates", body, _Gone)  # type: ignore[assignment]  # as asked
                for key_id in answer.gone:
                    if key_id in some:
                        self._note(some[key_id], at, gone=True)

    def _tell(self, neighbour: Neighbour, at: At[Result]) -> None:
        """Tell all there is to tell, so often that what one answer makes possible is told as well."""
        failed: Refused | None = None
        for member in self._moving(neighbour.regions):
            try:
                self._tell_move(neighbour, member, at)
            except Refused as error:  # one member that is refused does not hold up the others
                failed = error
        for _ in range(2):  # the second time of rotations that the first has finished
            for member in self._untold(neighbour.regions):
                try:
                    self._tell_member(neighbour, member, at)
                except Refused as error:  # as above
                    failed = error
        if failed is not None:
            raise failed

    def _tell_member(self, neighbour: Neighbour, member: Member, at: At[Result]) -> None:
        before = -1
        while True:
            telling = self._ask(c.TellMember(KeyReference(member.key_id), member.region), member, at)
            assert isinstance(telling, Telling)  # noqa: S101 - it is what the command's action returns
            body = msgspec.json.encode(telling.news)
            answer: _Told = neighbour.ask("LinkMember", body, _Told)  # type: ignore[assignment]  # as asked
            told = telling.told if answer.versions >= telling.news.current_version else ""
            self._note(member, at, versions=answer.versions, told=told, gone=answer.gone)
            if answer.gone or len(telling.news.versions) < VERSIONS_AT_ONCE or answer.versions <= before:
                return  # all is told, or it does not go on
            before = answer.versions

    def _tell_move(self, neighbour: Neighbour, member: Member, at: At[Result]) -> None:
        key = KeyReference(member.key_id)
        telling = self._ask(c.TellMove(key, member.region), member, at)
        assert isinstance(telling, TellingMove)  # noqa: S101 - as above
        body = msgspec.json.encode(telling.news)
        answer: _Moved = neighbour.ask("LinkMove", body, _Moved)  # type: ignore[assignment]  # as asked
        self._ask(c.MoveTold(key, member.region, answer.moved), member, at)

    def _note(
        self, member: Member, at: At[Result], *, versions: int = 0, told: str = "", gone: bool = False
    ) -> None:
        key = KeyReference(member.key_id)
        self._ask(c.MemberTold(key, member.region, versions, told, gone), member, at)

    def _ask(self, command: Command, member: Member, at: At[Result]) -> Result:
        caller = self._caller(f"job-{self._random(12).hex()}", member.primary)
        return at(lambda: self._gate.ask(caller, command).outcome())
