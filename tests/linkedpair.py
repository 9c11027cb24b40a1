"""Two installations in memory that are linked, without a network between them.

pair = Linked()
key = pair.here.bench.key(CreateKey(multi_region=True))
pair.here.bench.do(ReplicateKey(key, THERE))
pair.here.tell()                             # the job of the first server, once
pair.there.bench.do(DescribeKey(key), region=THERE)

Requests go through everything but sockets: signed, read by the other's front, asked of its gate, and answered with a
signature. What went over the wire is kept, so that a test can send it again.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, TypeVar

from arrived import Arrived
from keystead.core.errors import KeysteadError
from keystead.core.principal import Principal, service_arn
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.links import POLICY, LinkFront
from keystead.fronts.native.front import Native
from keystead.jobs.links import Correspondent, Links, Neighbour, NoAnswer
from keystead.observe.log import Log
from keystead.service.linking import Peer, made, moving, untold
from keystead.testing.installation import ACCOUNT, REGION, Installation
from keystead.testing.service import JOBS, ServiceBench

T = TypeVar("T")

HERE: Final = REGION
ALSO_HERE: Final = "eu-west-1"
THERE: Final = "us-east-1"
ALSO_THERE: Final = "us-west-2"
LINK: Final = service_arn(ACCOUNT, "link-other")


class Sent(NamedTuple):
    """One request as it went over the wire."""

    target: str
    body: bytes
    authorization: str


def at(work: Callable[[], T]) -> T:
    """`keystead.jobs.links.At` where there is one thread only."""
    return work()


@dataclass(slots=True)
class Side:
    """One of the two servers."""

    house: Installation
    regions: tuple[str, ...]
    peers: tuple[Peer, ...] = ()
    bench: ServiceBench = field(init=False)
    front: Native = field(init=False)
    links: Links = field(init=False)
    neighbour: Neighbour = field(init=False)
    correspondent: Correspondent = field(init=False)
    sent: list[Sent] = field(default_factory=list)
    away: bool = False  # it answers nothing
    said: io.StringIO = field(default_factory=io.StringIO)

    @property
    def identity(self) -> str:
        """Its own."""
        return self.house.custodian.transfer_identity

    def meet(self, other: "Side") -> None:
        """Link it to the other one."""
        house = self.house
        with house.store.transact("link") as tx:
            tx.put_principal(
                Principal(arn=LINK, account=ACCOUNT, name="link-other", created=0.0, policy=POLICY)
            )
        peer = Peer("other", LINK, other.regions, other.identity)
        self.peers = (peer,)
        self.bench = ServiceBench(house, regions=self.regions, peers=(peer,))
        links = LinkFront((peer,), account=ACCOUNT, custodian=house.custodian, clock=house.clock)
        self.front = Native(
            credentials=Credentials(self.bench.gate, house.clock),
            clock=house.clock,
            help_url="errors.md",
            links=links,
        )
        self.correspondent = Correspondent(
            partial(self._post, other),
            other.identity,
            custodian=house.custodian,
            clock=house.clock,
            random=house.random,
        )
        self.neighbour = Neighbour("other", other.regions, self.correspondent.ask)
        self.links = Links(
            [self.neighbour],
            gate=self.bench.gate,
            untold=partial(untold, house.store, ACCOUNT),
            moving=partial(moving, house.store, ACCOUNT),
            made=partial(made, house.store, ACCOUNT),
            caller=lambda request, region: house.caller(request, arn=JOBS, region=region),
            clock=house.clock,
            random=house.random,
            log=Log(self.said, "json", house.clock.now),
        )

    def _post(self, other: "Side", target: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        self.sent.append(Sent(target, body, authorization))
        return other.take(self.sent[-1])

    def take(self, sent: Sent) -> tuple[int, bytes]:
        """What it answers to a request, as a control plane does."""
        if self.away:
            raise NoAnswer("it cannot be reached")
        request = ""
        headers = {b"authorization": sent.authorization.encode()}
        arrived = Arrived(b"POST", sent.target.encode(), headers, sent.body)
        try:
            request = f"link-{self.house.random(8).hex()}"
            asked = self.front.read(arrived, request)
            return 200, asked.write(self.bench.gate.ask(asked.caller, asked.command).outcome())
        except KeysteadError as error:
            return self.front.write_error(error, request)

    def tell(self) -> None:
        """One look of the job."""
        self.links.run_once(at)


class Linked:
    """Both; each serves two Regions."""

    def __init__(self) -> None:
        self.here = Side(Installation(root=b"1" * 32), (HERE, ALSO_HERE))
        self.there = Side(Installation(seed=1, root=b"2" * 32), (THERE, ALSO_THERE))
        self.here.meet(self.there)
        self.there.meet(self.here)

    def later(self, seconds: float) -> None:
        """Let time pass for both."""
        for side in (self.here, self.there):
            side.house.audit.later(seconds)
