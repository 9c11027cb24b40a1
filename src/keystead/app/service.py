"""The running service: which processes there are and what each of them does.

    supervisor ── w0, w1, ...   data plane workers, one per core
              └── control       health, metrics, administration, jobs

The supervisor opens the installation once, then forks: the children inherit the open seal and the listening
sockets, and open their own store connections and audit logs. It has none itself.
"""

import fcntl
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from keystead import __version__, store
from keystead.app import witnessing
from keystead.app.forgetting import forget
from keystead.app.installation import CONTROL, Installation, Post
from keystead.app.pinning import Watch
from keystead.config import AUDIT, Address
from keystead.core.address import is_loopback
from keystead.core.errors import ConfigError, DataDamaged, KeysteadError, SealError
from keystead.core.ports import Clock
from keystead.federation import Issuers as Tokens
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import Json11
from keystead.fronts.aws.operations import ROWS
from keystead.fronts.aws.sts.front import Sts, speaks
from keystead.fronts.aws.sts.operations import ROWS as STS_ROWS
from keystead.fronts.links import ROWS as LINK_ROWS
from keystead.fronts.links import LinkFront
from keystead.fronts.native.front import ROWS as NATIVE_ROWS
from keystead.fronts.native.front import Native
from keystead.fronts.witness import WitnessFront
from keystead.jobs.issuers import Issuers
from keystead.jobs.ledger import Bookkeeper
from keystead.jobs.links import Links
from keystead.jobs.runner import Runner
from keystead.jobs.witnesses import Witnesses
from keystead.observe.log import Log
from keystead.observe.metrics import Cell, Reason, Slots, State
from keystead.server import processes
from keystead.server.http import Limits
from keystead.server.listener import Listener
from keystead.server.processes import EX_CONFIG, EX_SOFTWARE, bind
from keystead.server.supervisor import ChildSpec, Supervisor, Timing
from keystead.server.tls import Certificates
from keystead.server.worker import UNKNOWN, Worker

HELP_URL: Final = "docs/reference/errors.md"  # of this project: there is no site yet that a link could go to
LOCK_FILE: Final = "lock"
START_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.005
POOL_THREADS = 4  # of one worker, for what asks the store
SLOW_THREADS = 8  # of one worker, for slow cryptography and for keys behind a network


def run(
    installation: Installation,
    log: Log,
    ready: Callable[[int, int], None],
    *,
    accept_audit_loss: bool = False,
) -> int:
    """Serve until a signal says stop; returns the exit code.

    ``ready`` is called with the data plane's and the control plane's ports once they are bound: connections
    made from then on are answered. With ``accept_audit_loss``, logs that do not have what they had are put on record
    instead of refused.
    """
    config = installation.config
    certificates = None
    if config.tls is not None:
        certificates = Certificates(config.tls.certificate, config.tls.key, config.tls.client_ca)
    # A core dump of a process that holds keys would hold them too. No file has room in one byte, and to Linux exactly
    # that limit says that a program which collects dumps gets none either; 0 would let it have them (core(5)).
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if most == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    forget(installation.secret_variables)
    for warning in installation.warnings:
        log.warning(warning)
    if certificates is None and not is_loopback(config.listen.host):
        log.warning(
            "the data plane speaks plain HTTP on a network address: plaintexts can be read on the way. Set "
            "[tls], or put a TLS proxy in front",
            address=str(config.listen),
        )
    with ExitStack() as held:
        held.enter_context(_sole_owner(config.data))
        sockets = [held.enter_context(sock) for sock in _bind(config.listen, config.workers)]
        (control_socket,) = [held.enter_context(sock) for sock in _bind(config.control, 1)]
        children = _children(installation, sockets, control_socket, certificates, log)
        witnessing.check(installation)
        for loss in installation.settle_audit(accept_loss=accept_audit_loss):
            log.warning("the loss of an audit log was accepted", log=loss.log, reason=loss.why)
        _pin(installation, log)
        installation.settle_links()
        installation.finish_others([child.name for child in children])
        ready(sockets[0].getsockname()[1], control_socket.getsockname()[1])
        timing = Timing(drain_seconds=config.limits.drain_seconds + 2.0)
        code = Supervisor(children, log, timing).run()
        _pin(installation, log)
        return code


def _pin(installation: Installation, log: Log) -> None:
    """Pin what the audit logs have, before the processes begin and after they have ended."""
    try:
        with closing(store.connect(installation.config.store, now=installation.clock.now)) as opened:
            Watch(installation.pins(), opened, log).look()
    except KeysteadError as error:  # there is no store to write to: what the pins say is older, and as good
        log.warning("the audit logs cannot be pinned", code=error.code, reason=str(error))


def _children(
    installation: Installation,
    sockets: Sequence[socket.socket],
    control_socket: socket.socket,
    certificates: Certificates | None,
    log: Log,
) -> list[ChildSpec]:
    """The processes: a worker for each socket, and the control plane."""
    names = [f"w{number}" for number in range(len(sockets))]
    # Some operations have one name in two APIs, and are counted under it.
    operations = dict.fromkeys((*ROWS, *STS_ROWS, *NATIVE_ROWS, *LINK_ROWS, UNKNOWN))
    slots = Slots([*names, CONTROL], list(operations))
    works = [
        partial(_work, installation, name, slot, sock, slots, certificates, log)
        for slot, (name, sock) in enumerate(zip(names, sockets, strict=True))
    ]
    control = partial(_control, installation, control_socket, slots, len(names), log)
    return [
        ChildSpec(
            name=name,
            run=partial(_tell, log, run_child),
            sockets=[sock],
            pulse=partial(slots.pulse, slot),
            on_end=partial(_ended, slots, slot),
        )
        for slot, (name, run_child, sock) in enumerate(
            zip(slots.processes, [*works, control], [*sockets, control_socket], strict=True)
        )
    ]


def _sole_owner(data: Path) -> TextIO:
    """A lock on the data directory, held until the file is closed or this process ends.

    A POSIX lock, which children do not inherit: when a supervisor was killed, the next one need not wait for
    workers of the old one that are still finishing. Each audit log has a lock of its own.
    """
    try:
        file = (data / LOCK_FILE).open("a+")
    except OSError as error:
        raise ConfigError(f"{data} cannot be written ({error.strerror}): make it this user's") from None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise ConfigError(
            f"{data} is in use by another keystead (process {owner}): stop that one, or choose another directory"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _bind(wanted: Address, n: int) -> list[socket.socket]:
    """The listening sockets, or a `ConfigError` with the cure."""
    try:
        # Workers share their port, and the kernel would let another service of the same user share it as
        # well, unseen, and answer half of the requests. A socket that does not ask for that finds out.
        for family, kind, _, _, where in socket.getaddrinfo(
            wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[:1]:
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        return bind(wanted.host, wanted.port, n)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {wanted} ({error.strerror}): stop what listens there, or choose another address"
        ) from None


def _work(
    installation: Installation,
    name: str,
    slot: int,
    sock: socket.socket,
    slots: Slots,
    certificates: Certificates | None,
    log: Log,
) -> int:
    """One data plane worker, in its own process."""
    config = installation.config
    pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="store")
    slow_pool = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow")
    cells = slots.cells(slot)
    closing: list[Callable[[], None]] = []
    listeners: list[Listener] = []

    def start() -> Listener:
        post = installation.post(name, partial(_tell_of_proxy, log), log.warning)
        gate = post.gate
        credentials = Credentials(gate, installation.clock)
        json11 = Json11(credentials=credentials, clock=installation.clock, regions=config.regions)
        sts = Sts(credentials=credentials, clock=installation.clock)
        worker = Worker(
            gate=gate,
            choose=lambda inquiry: sts if speaks(inquiry) else json11,
            pool=pool,
            slow_pool=slow_pool,
            random=installation.random,
            slots=slots,
            slot=slot,
            on_fault=fault,
            on_health=partial(_tell_of_health, log, name),
        )
        closing.extend([worker.close, post.close])
        limits = Limits(body_bytes=config.limits.body_bytes, connections=config.limits.connections)
        context = None if certificates is None else certificates.context
        listener = Listener(
            worker, limits, context, now=installation.clock.now, on_fault=partial(fault, request="")
        )
        listeners.append(listener)
        return listener

    def fault(error: BaseException, request: str) -> None:
        cells[Cell.FAULTS] += 1
        log.fault("a request met a bug", error, request=request)

    def beat() -> None:
        slots.beat(slot)
        for listener in listeners:
            cells[Cell.CONNECTIONS] = listener.connections
            cells[Cell.CONNECTIONS_OPEN] = len(listener.open)
            cells[Cell.REFUSED] = listener.refused

    def reload() -> None:
        if certificates is not None:
            try:
                certificates.reload()
            except ConfigError as error:
                log.error("the certificate was not reloaded, the old one stays", error=str(error))

    def stop() -> None:
        for close in closing:
            close()

    return processes.serve(
        start,
        sock,
        beat=beat,
        drain_seconds=float(config.limits.drain_seconds),
        on_reload=reload,
        on_stop=stop,
    )


def _control(installation: Installation, sock: socket.socket, slots: Slots, slot: int, log: Log) -> int:
    """The control plane, in its own process. Its libraries are imported here: no worker needs them."""
    _let_workers_start(slots, slot, installation.clock)
    from keystead.server import control  # noqa: PLC0415 - see above
    from keystead.server.reader import ReaderProcess  # noqa: PLC0415 - as above
    from keystead.server.space import Space  # noqa: PLC0415 - as above

    config = installation.config
    reader = ReaderProcess(installation.reader(), log=log)

    def close(post: Post) -> None:
        post.close()
        reader.close()

    def make_office() -> control.Office:
        post = installation.post(CONTROL, partial(_tell_of_proxy, log), log.warning, reader)
        gate = post.gate
        runner = Runner(
            gate=gate,
            look=post.due,
            caller=post.jobs,
            random=installation.random,
            log=log,
        )
        links = Links(
            installation.correspondents(),
            gate=gate,
            untold=post.untold,
            moving=post.moving,
            made=post.made,
            caller=post.jobs,
            clock=installation.clock,
            random=installation.random,
            log=log,
        )
        issuers = Issuers(
            gate=gate,
            stale=post.stale,
            tokens=Tokens(installation.clock),
            caller=post.jobs,
            clock=installation.clock,
            random=installation.random,
            log=log,
        )
        attended = post.ledger
        assert attended is not None  # noqa: S101 - the control process has it
        bookkeeper = Bookkeeper(
            gate=gate,
            update=attended.trees.update,
            renew=attended.pruner.renew,
            removes=config.durations.shortest > 0,
            caller=post.jobs,
            clock=installation.clock,
            random=installation.random,
            log=log,
        )
        book, watchers = witnessing.book(installation), witnessing.watchers(installation)
        front = LinkFront(
            installation.peers,
            account=installation.account,
            custodian=installation.custodian,
            clock=installation.clock,
        )
        return control.Office(
            gate=gate,
            front=Native(
                credentials=Credentials(gate, installation.clock),
                clock=installation.clock,
                help_url=HELP_URL,
                links=front,
                regions=config.regions,
            ),
            runner=runner,
            random=installation.random,
            slots=slots,
            slot=slot,
            log=log,
            close=partial(close, post),
            reader=reader.status,
            links=links if config.links else None,
            issuers=issuers,
            bookkeeper=bookkeeper,
            pin=Watch(installation.pins(), post.store, log).look,
            witness=None if book is None else WitnessFront(book, log),
            witnesses=Witnesses(watchers, installation.clock, log) if watchers else None,
            on_health=partial(_tell_of_health, log, CONTROL),
        )

    return control.run(
        make_office,
        sock,
        slots=slots,
        slot=slot,
        version=__version__,
        jobs_seconds=config.jobs_seconds,
        log=log,
        space=Space([config.data, config.data / AUDIT]),
    )


def _tell_of_health(log: Log, process: str, state: State, reason: Reason, trouble: str) -> None:
    """Say that a process cannot do its work, or that something is wrong, or that all is well again."""
    fields = {"process": process, "state": state.name.lower(), "reason": reason.label}
    if trouble:
        fields["error"] = trouble
    if state is State.RED:
        log.error("a process cannot do its work", **fields)
    elif state is State.YELLOW:
        log.warning("a process works, and something is wrong", **fields)
    else:
        log.info("a process can do its work", **fields)


def _tell_of_proxy(log: Log, key_store: str, state: str) -> None:
    """Say that a key store's proxy answers no more, or again."""
    if state == "closed":
        log.info("an external key store's proxy answers again", component=key_store, state=state)
    else:
        log.warning("an external key store's proxy does not answer", component=key_store, state=state)


def _let_workers_start(slots: Slots, workers: int, clock: Clock) -> None:
    """Leave the processor to the workers until they answer, for a second at most: they are what clients wait for."""
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline:
        if all(slots.health(slot)[0] is not State.UNKNOWN for slot in range(workers)):
            return
        time.sleep(LOOK_SECONDS)


def _tell(log: Log, run_child: Callable[[], int]) -> int:
    """Run a child that ends with a telling exit code and a message, rather than a traceback."""
    try:
        return run_child()
    except (ConfigError, DataDamaged, SealError) as error:
        log.error("the process cannot start", code=error.code, reason=str(error))
        return EX_CONFIG
    except KeysteadError as error:
        log.error("the process ended and will be tried again", code=error.code, reason=str(error))
        return EX_SOFTWARE


def _ended(slots: Slots, slot: int) -> None:
    slots.declare(slot, State.RED, Reason.NOT_RUNNING)
    slots.write(slot, Cell.RESTARTS, slots.read(slot, Cell.RESTARTS) + 1)
