"""What stands before the first process: the lock, the ports, the warnings, and how a child's end is told."""

import io
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keystead.app import service
from keystead.app.installation import Installation, SystemClock, found, local_secrets, system_random
from keystead.config import DATABASE, Address, Config
from keystead.core.errors import AuditUnavailable, ConfigError, DataDamaged, SealError
from keystead.observe.log import Log
from keystead.observe.metrics import Cell, Reason, Slots, State
from keystead.server.processes import EX_CONFIG, EX_SOFTWARE


class Stopped(Exception):
    """Raised where the first process would be forked."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation that would listen on free ports."""
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    free = Address("127.0.0.1", 0)
    config = Config(data=tmp_path / "data", listen=free, control=free, workers=2)
    secrets = local_secrets({})
    found(config, "file", secrets, SystemClock(), system_random, path=str(tmp_path / "root.key"))
    yield Installation.open(config, secrets, SystemClock(), system_random)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)  # cannot be raised again
    resource.setrlimit(resource.RLIMIT_CORE, (min(limit[0], most) if limit[0] >= 0 else most, most))


@pytest.fixture
def said() -> io.StringIO:
    """What the log wrote."""
    return io.StringIO()


def begin(
    installation: Installation, said: io.StringIO, ready: Callable[[int, int], None] | None = None
) -> None:
    """Run the service up to its first fork."""

    def stop(data: int, control: int) -> None:
        if ready is not None:
            ready(data, control)
        raise Stopped

    service.run(installation, Log(said, "text", lambda: 0.0), stop)


def test_ports_are_bound_before_anybody_is_told(installation: Installation, said: io.StringIO) -> None:
    """Connections that are made when `ready` is called are accepted, on both planes."""

    def ready(data: int, control: int) -> None:
        assert data != control
        for port in (data, control):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()

    with pytest.raises(Stopped):
        begin(installation, said, ready)


def test_the_operator_is_warned_at_every_start(installation: Installation, said: io.StringIO) -> None:
    """Of a key file always; of plain HTTP only where others can listen."""
    with pytest.raises(Stopped):
        begin(installation, said)
    assert "sealed by a key file" in said.getvalue()
    assert "plain HTTP" not in said.getvalue()
    installation.config = replace(installation.config, listen=Address("0.0.0.0", 0))
    with pytest.raises(Stopped):
        begin(installation, said)
    assert "plain HTTP" in said.getvalue()


def test_a_start_on_audit_logs_that_are_gone_is_refused(
    installation: Installation, said: io.StringIO
) -> None:
    """Before anything is opened; where it is accepted, the operator is warned of what it was."""
    shutil.rmtree(installation.config.audit)
    with pytest.raises(
        DataDamaged, match="log control: it has no checkpoint, or is not there; it had 1 records"
    ):
        begin(installation, said)
    assert not installation.config.audit.exists()

    def stop(_data: int, _control: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        service.run(installation, Log(said, "text", lambda: 0.0), stop, accept_audit_loss=True)
    assert "the loss of an audit log was accepted" in said.getvalue()
    with pytest.raises(Stopped):
        begin(installation, said)


def test_a_store_that_pins_cannot_be_written_to_is_a_warning(
    installation: Installation, said: io.StringIO
) -> None:
    """What is pinned is older then, and as good."""
    (installation.config.data / DATABASE).rename(installation.config.data / "away")
    service._pin(installation, Log(said, "text", lambda: 0.0))
    assert "the audit logs cannot be pinned" in said.getvalue()


def test_keys_are_not_dumped(installation: Installation, said: io.StringIO) -> None:
    """Core dumps are off from the start on: a limit of one byte also keeps them from programs that collect them."""
    with pytest.raises(Stopped):
        begin(installation, said)
    assert resource.getrlimit(resource.RLIMIT_CORE) in {(1, 1), (0, 0)}  # where it was 0 already


def test_a_start_that_failed_holds_nothing(installation: Installation, said: io.StringIO) -> None:
    """Lock and ports are free again: the same start can be tried at once."""
    ports: list[int] = []
    with pytest.raises(Stopped):
        begin(installation, said, lambda data, control: ports.extend((data, control)))
    installation.config = replace(installation.config, listen=Address("127.0.0.1", ports[0]))
    with pytest.raises(Stopped):
        begin(installation, said)


def test_data_that_another_service_has_is_refused(installation: Installation, said: io.StringIO) -> None:
    """Who has it is told, as long as that process lives."""
    hold = (
        "import sys; from pathlib import Path; from keystead.app.service import _sole_owner\n"
        "file = _sole_owner(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(installation.config.data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=rf"in use by another keystead \(process {other.pid}\)"):
            begin(installation, said)
        other.kill()
    with pytest.raises(Stopped):
        begin(installation, said)


def test_children_do_not_keep_the_data_from_the_next_supervisor(tmp_path: Path) -> None:
    """The lock goes with its owner, even if a child that it forked lives on."""
    with service._sole_owner(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                service._sole_owner(tmp_path)
            except ConfigError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0, "the child does not own what its parent does"
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_data_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A missing directory is told as a setting that is wrong."""
    with pytest.raises(ConfigError, match="cannot be written"):
        service._sole_owner(tmp_path / "nothing")


@pytest.mark.parametrize("shared", [False, True], ids=["port", "port shared by workers"])
def test_a_port_that_is_taken_is_refused(*, shared: bool) -> None:
    """Also when the other one would let its port be shared, as workers do among themselves."""
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Address("127.0.0.1", other.getsockname()[1])
        with pytest.raises(ConfigError, match=f"cannot listen on {taken} .*: stop what listens there"):
            service._bind(taken, 2)


def test_workers_share_their_own_port() -> None:
    """All sockets of one service are bound to one port."""
    sockets = service._bind(Address("127.0.0.1", 0), 3)
    try:
        assert len({sock.getsockname() for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_an_address_that_is_none_is_refused() -> None:
    """A host that cannot be resolved is told as a setting that is wrong."""
    with pytest.raises(ConfigError, match=r"cannot listen on no-such-host\.invalid:1"):
        service._bind(Address("no-such-host.invalid", 1), 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("why"), EX_CONFIG),
        (DataDamaged("why"), EX_CONFIG),
        (SealError("why"), EX_CONFIG),
        (AuditUnavailable("why"), EX_SOFTWARE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_childs_end_tells_whether_to_try_again(error: Exception, code: int, said: io.StringIO) -> None:
    """What only an operator can mend stops the service; the rest is tried again. Either is told."""

    def fail() -> int:
        raise error

    assert service._tell(Log(said, "text", lambda: 0.0), fail) == code
    assert 'reason="why"' in said.getvalue()
    assert service._tell(Log(said, "text", lambda: 0.0), lambda: 0) == 0


def test_a_child_that_ended_is_red_and_counted() -> None:
    """Its last word of itself does not stand."""
    slots = Slots(["w0", "control"], [])
    slots.declare(0, State.GREEN)
    service._ended(slots, 0)
    assert slots.health(0) == (State.RED, Reason.NOT_RUNNING)
    assert slots.read(0, Cell.RESTARTS) == 1


def test_the_control_plane_starts_after_the_workers() -> None:
    """It waits until all have said something, but not for ever for one that says nothing."""

    class Clock:
        time = 0.0

        def now(self) -> float:
            return 0.0

        def monotonic(self) -> float:
            self.time += 0.3
            return self.time

    slots, clock = Slots(["w0", "control"], []), Clock()
    service._let_workers_start(slots, 1, clock)
    waited = clock.time
    slots.declare(0, State.RED)
    service._let_workers_start(slots, 1, clock)
    assert waited > service.START_SECONDS
    assert clock.time - waited < service.START_SECONDS


def test_nothing_is_left_open(installation: Installation) -> None:
    """A process's connections and log close without a word."""
    with closing(installation.post("w0")) as post:
        assert post.gate.healthy
