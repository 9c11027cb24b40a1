"""Commands that make and serve installations: dev, init, serve, migrate."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.config import load

PASSPHRASE = "correct horse battery staple"


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def dev_arguments(dev: Any, **changes: str) -> list[str]:
    """What starts another service like the running one, with changes."""
    options = {"port": "0", "control_port": "0", "data": str(dev.data), **changes}
    return [
        "dev",
        *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)),
    ]


@pytest.mark.e2e
class TestDev:
    """`keystead dev`, while it runs."""

    def test_the_settings_are_written_for_their_owner_only(self, dev: Any) -> None:
        """The file of settings, which holds a secret, may be read by its owner alone, and so may all data."""
        assert mode(dev.env_file) == 0o600
        assert mode(dev.data) == 0o700
        assert [path.name for path in dev.data.rglob("*") if mode(path) & 0o077] == []

    def test_the_settings_are_those_that_tools_read(self, dev: Any) -> None:
        """There is everything that AWS tools and our own need, with the ports that were free."""
        assert list(dev.settings) == [
            "AWS_ENDPOINT_URL_KMS",
            "AWS_ENDPOINT_URL_STS",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "KEYSTEAD_CONTROL_URL",
        ]
        assert not dev.settings["AWS_ENDPOINT_URL_KMS"].endswith(":0")
        assert not dev.settings["KEYSTEAD_CONTROL_URL"].endswith(":0")

    def test_a_secret_that_is_in_a_file_is_not_printed(self, dev: Any) -> None:
        """With a file of settings, what is printed names the file, and can be pasted."""
        dev.until(lambda: f"\n. {dev.env_file}\n" in dev.said())
        assert dev.settings["AWS_SECRET_ACCESS_KEY"] not in dev.said()

    def test_the_service_answers_once_the_settings_are_there(
        self, dev: Any, keystead: Callable[..., Any]
    ) -> None:
        """Nobody who waits for the file meets a service that is not ready."""
        assert keystead("status", KEYSTEAD_CONTROL_URL=dev.settings["KEYSTEAD_CONTROL_URL"]).code == 0

    def test_the_key_file_is_warned_about(self, dev: Any) -> None:
        """Sealing by a file beside the data is for development, and every start says so."""
        assert "sealed by a key file" in dev.said()

    def test_a_second_service_on_the_same_data_is_refused(
        self, dev: Any, keystead: Callable[..., Any]
    ) -> None:
        """It is told which process has the directory."""
        ended = keystead(*dev_arguments(dev))
        assert ended.code == 78
        assert f"is in use by another keystead (process {dev.process.pid})" in ended.err

    @pytest.mark.parametrize(
        ("option", "name"), [("port", "AWS_ENDPOINT_URL_KMS"), ("control_port", "KEYSTEAD_CONTROL_URL")]
    )
    def test_a_second_service_on_a_taken_port_is_refused(
        self, *, dev: Any, option: str, name: str, tmp_path: Path, keystead: Callable[..., Any]
    ) -> None:
        """Two services never share a port, although the workers of one do."""
        taken = {option: dev.settings[name].rpartition(":")[2]}
        ended = keystead(*dev_arguments(dev, data=str(tmp_path / "data"), **taken))
        assert ended.code == 78
        assert "cannot listen on 127.0.0.1:" in ended.err


@pytest.mark.e2e
def test_without_a_file_the_settings_are_printed(tmp_path: Path, clean_environment: dict[str, str]) -> None:
    """What is printed can be pasted into a shell, the admin's secret included."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "keystead",
            "dev",
            "--port",
            "0",
            "--control-port",
            "0",
            "--data",
            str(tmp_path / "d"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        process.terminate()
    assert process.returncode == 0
    assert [line.partition("=")[0] for line in lines if line.startswith("export ")] == [
        "export AWS_ENDPOINT_URL_KMS",
        "export AWS_ENDPOINT_URL_STS",
        "export AWS_ACCESS_KEY_ID",
        "export AWS_SECRET_ACCESS_KEY",
        "export AWS_REGION",
        "export AWS_DEFAULT_REGION",
        "export KEYSTEAD_CONTROL_URL",
    ]


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dev_stops_in_order_and_goes_on_later(number: signal.Signals, tmp_path: Path, make_dev: Any) -> None:
    """SIGTERM and Ctrl-C end it with 0; the next start finds the same account and access key."""
    first = make_dev(tmp_path)
    assert first.stop(number) == 0
    assert "Traceback" not in first.said()
    second = make_dev(tmp_path)
    assert second.settings["AWS_SECRET_ACCESS_KEY"] == first.settings["AWS_SECRET_ACCESS_KEY"]
    assert second.stop() == 0


@pytest.mark.e2e
def test_the_process_that_waits_leaves_nothing_behind(tmp_path: Path, make_dev: Any) -> None:
    """Whoever announces the service is no child that the supervisor would have to reap."""
    running = make_dev(tmp_path)
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    running.stop()
    assert len(children) == 2, "a worker and the control process"


def test_dev_replaces_no_file_but_its_own(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """A mistyped --env-file costs nobody a file, and one that cannot be written is told at once."""
    mine = tmp_path / "profile"
    mine.write_text("export EDITOR=ed\n")
    ended = keystead("dev", "--data", str(tmp_path / "data"), "--env-file", str(mine))
    assert (ended.code, mine.read_text()) == (78, "export EDITOR=ed\n")
    ended = keystead("dev", "--data", str(tmp_path / "data"), "--env-file", str(tmp_path / "no" / "env"))
    assert ended.code == 78
    assert not (tmp_path / "data").exists()


def init(keystead: Callable[..., Any], data: Path, *more: str, **environment: str) -> Any:
    """Make an installation; a passphrase is given."""
    return keystead("init", "--data", str(data), *more, KEYSTEAD_PASSPHRASE=PASSPHRASE, **environment)


def test_init_tells_what_must_be_kept(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """The admin's secret and the audit's public key are printed; the passphrase is not."""
    ended = init(keystead, tmp_path / "data")
    assert ended.code == 0
    assert "AWS_SECRET_ACCESS_KEY=" in ended.out
    assert (tmp_path / "data" / "audit.vkey").read_text() in ended.out
    assert PASSPHRASE not in ended.out + ended.err


def test_init_writes_a_configuration_that_can_be_served(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """The file parses to what was asked for, whatever characters the directory's name has."""
    data = tmp_path / 'a "quoted" \\ name'
    ended = init(keystead, data, "--listen", "[::1]:7000", "--control", "127.0.0.1:7001", "--json")
    config = load(Path(json.loads(ended.out)["config"]))
    assert (config.data, str(config.listen), str(config.control)) == (data, "[::1]:7000", "127.0.0.1:7001")


def test_init_takes_the_regions_that_are_served(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """A client's mistake makes no keys elsewhere; what is no region's name is refused before anything is made."""
    assert load(Path(json.loads(init(keystead, tmp_path / "one", "--json").out)["config"])).regions == (
        "eu-central-1",
    )
    made = init(keystead, tmp_path / "two", "--region", "eu-west-1", "--region", "us-east-1", "--json")
    told = json.loads(made.out)
    assert told["regions"] == ["eu-west-1", "us-east-1"]
    assert load(Path(told["config"])).regions == ("eu-west-1", "us-east-1")
    refused = init(keystead, tmp_path / "three", "--region", "Mars 1")
    assert (refused.code, "'Mars 1'" in refused.err) == (2, True)
    assert not (tmp_path / "three").exists()


def test_secrets_are_written_nowhere(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """Neither the passphrase nor the admin's secret is in any file of the installation."""
    secret = json.loads(init(keystead, tmp_path / "data", "--json").out)["secret_access_key"]
    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert [data for data in files if secret.encode() in data or PASSPHRASE.encode() in data] == []


def test_init_takes_an_account_and_link_show_tells_of_it(
    tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """What another installation must know is one line, the same each time; as JSON with the account."""
    made = init(keystead, tmp_path / "data", "--account", "012345678901", "--json")
    path = json.loads(made.out)["config"]
    shown = [
        keystead("link", "show", "--config", path, *more, KEYSTEAD_PASSPHRASE=PASSPHRASE).out
        for more in ((), ("--json",))
    ]
    assert shown[0].startswith("keystead-transfer-1:")
    assert json.loads(shown[1]) == {"account": "012345678901", "identity": shown[0].strip()}


@pytest.mark.parametrize("account", ["1", "0123456789012", "01234567890x", "\u0660" * 12])
def test_init_refuses_what_is_no_account(account: str, tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """An account is 12 digits, and nothing is made with another."""
    ended = keystead("init", "--data", str(tmp_path / "data"), "--account", account)
    assert (ended.code, "12 digits" in ended.err) == (2, True)
    assert not (tmp_path / "data").exists()


def test_init_refuses_a_second_time(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """An installation is never replaced, nor is a configuration that somebody wrote."""
    init(keystead, tmp_path / "data")
    again = init(keystead, tmp_path / "data")
    assert again.code == 78
    assert "holds an installation already" in again.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "keystead.toml").write_text("mine")
    assert init(keystead, tmp_path / "other").code == 78
    assert (tmp_path / "other" / "keystead.toml").read_text() == "mine"


def test_an_init_that_failed_can_be_repeated(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """Without a passphrase nothing is made, and the next try succeeds."""
    ended = keystead("init", "--data", str(tmp_path / "data"))
    assert ended.code == 78
    assert "KEYSTEAD_PASSPHRASE" in ended.err
    assert init(keystead, tmp_path / "data").code == 0


def test_init_with_a_key_file(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """--seal file makes the key file where it is told to, for its owner only."""
    ended = keystead(
        "init", "--data", str(tmp_path / "data"), "--seal", "file", "--seal-file", str(tmp_path / "usb.key")
    )
    assert ended.code == 0
    assert mode(tmp_path / "usb.key") == 0o600
    assert (tmp_path / "usb.key").read_bytes().hex() not in ended.out


def test_init_with_a_key_in_the_environment(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """--seal env takes the key from a variable, refuses without, and never shows it."""
    arguments = (
        "init",
        "--data",
        str(tmp_path / "data"),
        "--seal",
        "env",
        "--seal-variable",
        "KEYSTEAD_TEST_KEY",
    )
    assert "KEYSTEAD_TEST_KEY is not set" in keystead(*arguments).err
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    ended = keystead(*arguments, KEYSTEAD_TEST_KEY=key)
    assert ended.code == 0
    assert key not in ended.out


def test_options_of_another_kind_of_seal_are_refused(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """A key file is not taken in silence when the passphrase would be what opens."""
    assert init(keystead, tmp_path / "data", "--seal-file", str(tmp_path / "key")).code == 2
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "typed", [[PASSPHRASE, PASSPHRASE], [PASSPHRASE, "another one"]], ids=["same", "other"]
)
def test_init_asks_a_person_twice(typed: list[str], tmp_path: Path) -> None:
    """On a terminal a new passphrase is asked for twice, hidden; two that differ make nothing."""
    child, terminal = pty.fork()
    if child == 0:  # no cover: another process
        os.execv(sys.executable, [sys.executable, "-m", "keystead", "init", "--data", str(tmp_path / "data")])  # noqa: S606 - our own program
    said, answers = b"", list(typed)
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        said += part
        if answers and part.rstrip().endswith(b":"):  # later output may pause after a colon too
            os.write(terminal, answers.pop(0).encode() + b"\n")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    assert code == (0 if typed[0] == typed[1] else 78), said
    assert not answers
    assert PASSPHRASE.encode() not in said


@pytest.mark.parametrize("secret", ["", "wrong passphrase"])
def test_serve_refuses_without_the_right_secret(
    secret: str, tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """A missing and a wrong passphrase end the start with 78, the slot's name and the cure."""
    path = json.loads(init(keystead, tmp_path / "data", "--json").out)["config"]
    ended = keystead("serve", "--config", path, **({"KEYSTEAD_PASSPHRASE": secret} if secret else {}))
    assert ended.code == 78
    assert "(passphrase): " in ended.err
    assert ("give the one that the slot was made with" if secret else "set KEYSTEAD_PASSPHRASE") in ended.err
    assert not secret or secret not in ended.err


def test_serve_says_what_is_wrong_with_its_configuration(
    tmp_path: Path, keystead: Callable[..., Any]
) -> None:
    """A file that is not there, a setting that does not exist, and data that is not there are told."""
    path = tmp_path / "keystead.toml"
    assert "cannot be read" in keystead("serve", "--config", str(path)).err
    path.write_text('data = "data"\nsped = 9')
    assert "no setting 'sped'" in keystead("serve", "--config", str(path)).err
    path.write_text('data = "data"')
    ended = keystead("serve", "--config", str(path))
    assert (ended.code, ended.out) == (78, "")
    assert not (tmp_path / "data").exists(), "a mistyped path must not become an empty installation"


@pytest.mark.e2e
def test_serve_runs_an_installation_until_it_is_told_to_stop(
    tmp_path: Path, keystead: Callable[..., Any], clean_environment: dict[str, str]
) -> None:
    """What `init` made is served, with the passphrase from a file; SIGTERM ends it with 0."""
    told = json.loads(
        init(keystead, tmp_path / "data", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--json").out
    )
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "keystead", "serve", "--config", told["config"]],
            stderr=output,
            env={**clean_environment, "KEYSTEAD_PASSPHRASE_FILE": str(secret)},
        )
    deadline = time.monotonic() + 30
    while (
        'process="control"' not in log.read_text() and time.monotonic() < deadline and process.poll() is None
    ):
        time.sleep(0.02)
    process.terminate()
    assert process.wait(30) == 0, log.read_text()
    assert PASSPHRASE not in log.read_text()
    assert "stopped" in log.read_text()


def test_migrate_says_where_the_schema_is(tmp_path: Path, keystead: Callable[..., Any]) -> None:
    """An installation of this version needs nothing."""
    path = json.loads(init(keystead, tmp_path / "data", "--json").out)["config"]
    ended = keystead("migrate", "--config", path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("the schema is at ")
