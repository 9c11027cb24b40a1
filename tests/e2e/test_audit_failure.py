"""When the audit cannot be written: 503 at once, nothing happens, health is red, and it heals by itself.

A full disk is a real one: a small file system under the audit logs that is filled up. A file system on which
files are open for writing cannot be remounted read-only, so a read-only one is mounted over them: what is open
can be written, nothing new can be made. A permission is lost by a service that is not root's equal. A disk that
refuses every write is made by the kernel's limit on a process's files (RLIMIT_FSIZE); one that fails, is slow or
hangs by strace, which has the kernel's calls fail or wait. Torn writes at a power cut are tested in `tests/audit`
on a simulated disk, for no process can survive a real one.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PROMPTLY = 1.0  # seconds in which a request must be refused
NOTICES = ["keystead:AuditStopped", "keystead:AuditResumed"]


@pytest.fixture
def small_disk(own_service: Any) -> Iterator[Path]:
    """A file system of 200 MiB for the audit logs alone: two processes' segments, and their tiles."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root: a full disk is NOT tested here")
    own_service.workers = 1
    disk: Path = own_service.data.parent / "disk"
    audit: Path = own_service.audit
    for folder in (disk, own_service.data, audit):
        folder.mkdir(mode=0o700)
    made = mount("-t", "tmpfs", "-o", "size=200m,mode=700", "keystead-test", str(disk))
    if made.returncode != 0:
        pytest.skip(f"mounting is not allowed here, a full disk is NOT tested: {made.stderr.strip()}")
    try:
        (disk / "audit").mkdir(mode=0o700)
        assert mount("--bind", str(disk / "audit"), str(audit)).returncode == 0
        yield disk
    finally:
        if own_service.process is not None and own_service.process.poll() is None:
            own_service.kill()
        for folder in (audit, disk):
            subprocess.run(["umount", "--lazy", str(folder)], check=False)  # noqa: S607 - the system's own


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the system's own."""
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - the system's own


class Outage:
    """What must be true of a service whose audit cannot be written, and afterwards."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.sign = service.signer()
        self.key = service.call("CreateKey")["KeyMetadata"]["KeyId"]
        self.encrypt = self.sign("Encrypt", {"KeyId": self.key, "Plaintext": "eA=="})
        self.children = set(service.children())
        self.refused: list[str] = []

    def is_on(self) -> None:
        """Everything is refused at once, also on connections that are old, and readiness says why."""
        service = self.service
        create = self.sign("CreateKey", {"Description": "while nothing could be recorded"})
        look = self.sign("DescribeKey", {"KeyId": self.key})
        who = service.signer(service="sts")("GetCallerIdentity")
        unsigned = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        wires = [service.wire() for _ in range(8)]  # so that every worker has met it
        for wire in wires:
            with wire:
                for request in (self.encrypt, create, look, unsigned, who):
                    began = time.monotonic()
                    reply = wire.ask(request)
                    assert time.monotonic() - began < PROMPTLY
                    if request is who:
                        assert (reply.status, reply.error) == (503, "ServiceUnavailable"), reply
                        assert b"AuditUnavailable" in reply.body
                        self.refused.append(reply.request)
                        continue
                    assert (reply.status, reply.error) == (503, "ServiceUnavailableException"), reply
                    assert "AuditUnavailable" in reply.value["message"]
                    assert set(reply.value) == {"__type", "message"}
                    self.refused.append(reply.request)
        assert service.until(self.reasons, PROMPTLY) == {"audit-unavailable"}
        assert service.look("/healthz").status == 200  # restarting would not help

    def reasons(self) -> set[str]:
        """Why the service is not ready, by its processes; empty while it is."""
        ready = self.service.look("/readyz")
        states = ready.value["processes"].values()
        return (
            {state["reason"] for state in states if state["state"] == "red"} if ready.status == 503 else set()
        )

    def is_coming(self) -> None:
        """All is answered, and there is a warning; the metric has it too."""
        service = self.service
        service.call("Encrypt", {"KeyId": self.key, "Plaintext": "eA=="})
        service.until(lambda: "w0: audit-degraded" in service.look("/readyz").value["warnings"])
        assert service.ready()
        sample = 'keystead_process_health{process="w0",reason="audit-degraded"} 3'
        assert sample in service.look("/metrics").body.decode().splitlines()
        service.call("Encrypt", {"KeyId": self.key, "Plaintext": "eA=="})

    def is_over(self) -> None:
        """It heals without a restart, and nothing that was refused has happened or is on record."""
        service = self.service
        service.until(service.ready)
        assert set(service.children()) == self.children
        service.call("Encrypt", {"KeyId": self.key, "Plaintext": "eA=="})
        keys = service.call("ListKeys")["Keys"]
        described = [service.call("DescribeKey", {"KeyId": key["KeyId"]})["KeyMetadata"] for key in keys]
        assert "while nothing could be recorded" not in {key["Description"] for key in described}
        assert service.stop() == 0
        service.verify()
        recorded = {record.get("request") for record in service.records()}
        assert not recorded & set(self.refused)

    def notices(self) -> list[str]:
        """What the log says about itself, in order."""
        actions = [record["action"] for record in self.service.records()]
        return [action for action in actions if action in NOTICES]


def test_a_full_disk_stops_everything_and_is_recorded(own_service: Any, small_disk: Path) -> None:
    """On a full disk the log goes on in what it had reserved, says that it stops, and then nothing leaves."""
    service = own_service
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        top_up(file)
        outage.is_coming()
        answered = use_up(service, outage.encrypt, lambda: top_up(file))
        outage.is_on()
        top_up(file)
        outage.is_on()
    filler.unlink()
    outage.is_over()
    # The stop and the return stand among the other records, and whatever was answered does too.
    assert outage.notices() == NOTICES
    encrypted = [r for r in service.records() if r["action"] == "kms:Encrypt" and r["outcome"] == "Success"]
    assert len(encrypted) >= answered + 1
    said = service.said()
    assert "a process works, and something is wrong" in said
    assert "a process cannot do its work" in said
    assert "No space left on device" in said


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A read-only file system over a folder of the log."""
    assert mount("--bind", str(folder), str(folder)).returncode == 0
    assert mount("-o", "remount,bind,ro", str(folder)).returncode == 0
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - the system's own


@contextlib.contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """A folder of the log that its owner may not enter."""
    folder.chmod(0)
    try:
        yield
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("obstacle", "says"), [(read_only, "Read-only file system"), (forbidden, "Permission denied")]
)
def test_where_nothing_new_can_be_made_the_log_ends_with_its_reserve(
    own_service: Any, obstacle: Callable[[Path], contextlib.AbstractContextManager[None]], says: str
) -> None:
    """The service warns while it lives on what is open, then refuses at once, and heals with the disk."""
    if os.geteuid() == 0:
        own_service.prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    elif obstacle is read_only:
        pytest.skip("mounting needs root: a read-only file system is NOT tested here")
    service = own_service
    service.workers = 1
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    with obstacle(service.audit / "w0"):
        outage.is_coming()
        answered = use_up(service, outage.encrypt, lambda: None)
        outage.is_on()
    outage.is_over()
    assert outage.notices() == NOTICES
    encrypted = [r for r in service.records() if r["action"] == "kms:Encrypt" and r["outcome"] == "Success"]
    assert len(encrypted) >= answered + 1
    assert says in service.said()


@contextlib.contextmanager
def spoiled(pids: list[int], how: str) -> Iterator[None]:
    """While it lasts, the kernel's calls of some processes fail or wait as strace's ``inject`` says."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace: a failing, slow or hanging disk is NOT tested here")
    calls = how.partition(":")[0]
    command = [strace, "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={how}"]
    for pid in pids:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr is not None
            for _ in pids:
                line = tracer.stderr.readline()
                if "attached" not in line:
                    pytest.skip(f"strace may not trace, a failing or slow disk is NOT tested here: {line}")
            yield
        finally:
            tracer.terminate()


@pytest.mark.parametrize(
    "how",
    ["pwrite64,fdatasync:error=EIO", "fdatasync:error=EIO", "pwrite64:error=EROFS", "pwrite64:error=EACCES"],
)
def test_a_disk_that_fails_stops_everything(own_service: Any, how: str) -> None:
    """Whatever call fails and how, also when the bytes were written and only the sync was refused."""
    service = own_service
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    with spoiled(sorted(outage.children), how):
        outage.is_on()
    outage.is_over()
    assert outage.notices()[-1:] == ["keystead:AuditResumed"]


def test_a_slow_disk_makes_answers_late_and_nothing_else(own_service: Any) -> None:
    """Each sync takes a third of a second: requests that wait together share one, and health is green."""
    service = own_service
    service.workers = 1
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    with spoiled([service.child("w0")], "fdatasync:delay_enter=300000"):
        with service.wire() as wire:
            began = time.monotonic()
            wire.send(outage.encrypt * 200)
            assert {wire.reply().status for _ in range(200)} == {200}
            assert time.monotonic() - began < 10  # 200 syncs would take a minute
        ready = service.look("/readyz").value
        assert ready["processes"]["w0"] == {"state": "green", "reason": "none"}
    outage.is_over()
    assert outage.notices() == []


def test_a_disk_that_hangs_is_told_and_what_hangs_is_ended(own_service: Any) -> None:
    """No answer leaves; readiness is red within seconds, and the process is replaced: clients get an end."""
    service = own_service
    service.workers = 1
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    hanging = service.child("w0")
    with service.wire() as wire:
        # As with a real one, what is killed inside such a call ends when the call does.
        with spoiled([hanging], "fdatasync:delay_enter=60000000"):
            wire.send(outage.encrypt)
            service.until(lambda: outage.reasons() == {"not-answering"}, 6)
            assert service.look("/healthz").status == 200
            service.until(lambda: "gives no sign of life" in service.said())
        with pytest.raises(ConnectionError):
            wire.reply()
    service.until(service.ready)
    assert hanging not in service.children()
    outage.children = set(service.children())
    outage.is_over()


def use_up(service: Any, request: bytes, meanwhile: Callable[[], None]) -> int:
    """Use a key until the log has no room for another record; returns how often it had."""
    answered = 0
    with service.wire() as wire:
        for _ in range(3_000):
            meanwhile()
            wire.send(request * 60)
            errors = [wire.reply().error for _ in range(60)]
            answered += errors.count("")
            if answered % 60:
                assert set(errors) <= {"", "ServiceUnavailableException"}
                return answered
            if "" not in errors:
                assert set(errors) == {"ServiceUnavailableException"}
                return answered
    pytest.fail("the log always had room")


def top_up(file: Any) -> None:
    """Take every byte that is left on the disk."""
    for size in (1 << 20, 4096):
        try:
            while True:
                file.write(bytes(size))
        except OSError:
            continue


def test_a_store_on_a_full_disk_takes_no_change_and_keys_go_on(own_service: Any, small_disk: Path) -> None:
    """When only the store has no room, changes are refused at once and not made; uses have their reserve."""
    service = own_service
    service.data = small_disk / "installation"  # all of it on the small disk
    service.start()
    outage = Outage(service)
    create = outage.sign("CreateKey", {"Description": "while nothing could be stored"})
    with (small_disk / "filler").open("wb", buffering=0) as file, service.wire() as wire:
        replies: list[Any] = []
        while not replies or not replies[-1].error:  # the write-ahead log may have room for a few
            assert len(replies) < 100
            top_up(file)
            began = time.monotonic()
            replies.append(wire.ask(create))
            assert time.monotonic() - began < PROMPTLY
        reply = replies[-1]
        assert (reply.status, reply.error) == (503, "DependencyTimeoutException")
        assert "StoreUnavailable" in reply.value["message"]
        assert wire.ask(outage.encrypt).status == 200
        told = service.look("/readyz")
        assert told.status == 200
        assert "w0: store-refuses-changes" in told.value["warnings"]
        metrics = service.look("/metrics").body.decode()
        assert 'keystead_store_refusals_total{process="w0"} 1' in metrics.splitlines()
        service.until(
            lambda: (
                f'keystead_disk_free_bytes{{path="{service.data}"}} 0\n'
                in service.look("/metrics").body.decode()
            )
        )
        assert f"{service.data}: less than 256 MiB are free" in service.look("/readyz").value["warnings"]
        (small_disk / "filler").unlink()
    made = len(service.call("ListKeys")["Keys"])
    service.call("CreateKey", {"Description": "afterwards"})
    assert len(service.call("ListKeys")["Keys"]) == made + 1
    service.until(lambda: service.look("/readyz").value["processes"]["w0"]["state"] == "green")
    assert service.stop() == 0
    service.verify()
    (record,) = [
        r for r in service.records() if r.get("request") == reply.request and r["stage"] == "outcome"
    ]
    assert record["outcome"] == "StoreUnavailable"


def test_a_disk_that_refuses_every_write_stops_everything(own_service: Any) -> None:
    """When no byte can be written the refusals are as prompt, and all is well when it can again."""
    service = own_service
    service.start()
    service.until(service.ready)
    outage = Outage(service)
    for _ in range(2):
        for child in outage.children:
            resource.prlimit(child, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        outage.is_on()
        for child in outage.children:
            resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        service.until(service.ready)
    outage.is_over()
    assert "keystead:AuditResumed" in outage.notices()


def test_the_control_plane_is_refused_as_well(own_service: Any) -> None:
    """Administration that cannot be recorded is refused with our own code, and is not done."""
    service = own_service
    service.start()
    service.until(service.ready)
    sign = service.signer(service="keystead")
    control = service.child("control")
    service.administer("ListPrincipals")  # the access key is known from now on
    resource.prlimit(control, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    with service.control_wire() as wire:
        for request in (
            sign("CreatePrincipal", {"name": "nobody"}),
            sign("ListPrincipals"),
            sign("Nonsense"),
        ):
            reply = wire.ask(request)
            assert (reply.status, reply.error) == (503, "AuditUnavailable")
    service.until(lambda: not service.ready(), PROMPTLY)
    key = service.call("CreateKey")["KeyMetadata"]["KeyId"]  # the data plane has a log of its own
    assert service.call("DescribeKey", {"KeyId": key})["KeyMetadata"]["Enabled"]
    resource.prlimit(control, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    service.until(service.ready)
    assert "nobody" not in {p["name"] for p in service.administer("ListPrincipals")["principals"]}
    assert service.stop() == 0
    service.verify()
