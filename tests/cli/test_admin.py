"""Commands that ask a running service: status, principal, access-key."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:List*", "Resource": "*"}]}'
)


@pytest.fixture
def ask(dev: Any, keystead: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a command with the service's settings."""

    def run(*arguments: str, **more: str) -> Any:
        return keystead(*arguments, **{**dev.settings, **more})

    return run


@pytest.fixture
def value(ask: Callable[..., Any]) -> Callable[..., Any]:
    """The JSON that a command prints; it must succeed."""

    def run(*arguments: str, **more: str) -> Any:
        code, out, err = ask(*arguments, "--json", **more)
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.mark.e2e
def test_status_tells_people_and_programs(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """Every process is told with its state, and how requests ended."""
    told = value("status")
    assert told["ready"] is True
    assert list(told["processes"]) == ["w0", "control"]
    assert told["processes"]["w0"]["restarts"] == 0
    assert {"ok", "denied", "internal"} <= told["requests"].keys()
    code, out, _ = ask("status")
    assert code == 0
    assert out.startswith("Keystead ")
    assert "\n  w0         green " in out


@pytest.mark.e2e
def test_the_life_of_a_user(ask: Callable[..., Any], value: Callable[..., Any], tmp_path: Path) -> None:
    """A user is made, listed, given another policy and deleted."""
    (tmp_path / "policy.json").write_text(POLICY)
    made = value("principal", "create", "billing", "--policy", str(tmp_path / "policy.json"))
    assert made["arn"].endswith(":user/billing")
    assert json.loads(made["policy"]) == json.loads(POLICY)
    assert ask("principal", "put-policy", "billing", POLICY.replace("List", "Describe")).code == 0
    listed = {one["name"]: one for one in value("principal", "list")}
    assert "kms:Describe*" in listed["billing"]["policy"]
    assert made["arn"] in ask("principal", "list").out
    assert ask("principal", "delete", "billing", "--yes").out == "Deleted billing\n"
    assert "billing" not in {one["name"] for one in value("principal", "list")}


@pytest.mark.e2e
def test_the_life_of_an_access_key(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """Its secret is shown when it is made and never again; disabled, it is refused."""
    made = value("principal", "create", "reader", "--access-key")["access_key"]
    assert "secret_access_key" not in json.dumps(value("access-key", "list", "reader"))
    assert made["secret_access_key"] not in ask("access-key", "list", "reader").out
    own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    denied = ask("principal", "list", **own)
    assert (denied.code, denied.out) == (1, "")
    assert denied.err.startswith("keystead: AccessDenied: ")
    assert ask("access-key", "disable", made["access_key_id"]).code == 0
    assert ask("principal", "list", **own).err.startswith("keystead: UnknownCredentials: ")
    assert "disabled" in ask("access-key", "list", "reader").out
    assert ask("access-key", "enable", made["access_key_id"]).code == 0
    assert ask("principal", "list", **own).err.startswith("keystead: AccessDenied: ")
    assert ask("access-key", "delete", made["access_key_id"], "--yes").code == 0
    assert value("access-key", "list", "reader") == []
    assert "AWS_SECRET_ACCESS_KEY=" in ask("access-key", "create", "reader").out


@pytest.mark.e2e
def test_refusals_are_told_with_their_code(ask: Callable[..., Any]) -> None:
    """A name that is taken, a user that is not there, a policy that is none: one sentence and exit code 1."""
    for arguments, code in (
        (("principal", "create", "admin"), "AlreadyExists"),
        (("principal", "create", "no spaces"), "InvalidRequest"),
        (("access-key", "list", "nobody"), "NotFound"),
        (("principal", "put-policy", "admin", "{}"), "MalformedPolicy"),
    ):
        ended = ask(*arguments)
        assert (ended.code, ended.out) == (1, ""), arguments
        assert ended.err.startswith(f"keystead: {code}: ")


@pytest.mark.e2e
def test_a_wrong_secret_is_told_and_not_repeated(ask: Callable[..., Any]) -> None:
    """The refusal of a signature does not show what it was made with."""
    ended = ask("principal", "list", AWS_SECRET_ACCESS_KEY="not-the-secret")
    assert ended.code == 1
    assert ended.err.startswith("keystead: InvalidSignature: ")
    assert "not-the-secret" not in ended.err


def test_without_credentials_nothing_is_asked(keystead: Callable[..., Any]) -> None:
    """Credentials that are not set are named."""
    ended = keystead("principal", "list")
    assert ended.code == 78
    assert "AWS_ACCESS_KEY_ID" in ended.err


@pytest.mark.parametrize("command", ["status", "principal list"])
def test_a_service_that_does_not_answer(command: str, keystead: Callable[..., Any]) -> None:
    """Exit code 3, and where it was looked for."""
    ended = keystead(
        *command.split(),
        "--control-url",
        "http://127.0.0.1:1",
        AWS_ACCESS_KEY_ID="AKIANOBODY0000000000",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    assert ended.code == 3
    assert "http://127.0.0.1:1 does not answer" in ended.err


def test_an_address_that_is_none(keystead: Callable[..., Any]) -> None:
    """A control URL without a scheme is told as a setting that is wrong."""
    assert keystead("status", "--control-url", "localhost").code == 78


class _Red(http.server.BaseHTTPRequestHandler):
    """Answers as a control plane does whose worker is red, or as something else."""

    ready = b'{"ready": false, "processes": {"w0": {"state": "red", "reason": "audit-unavailable"}}}'

    def do_GET(self) -> None:
        """Answer."""
        body = self.ready if self.path == "/readyz" else b'{"version": "0"}'
        self.send_response(503 if self.path == "/readyz" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[tuple[str, type[_Red]]]:
    """A server at an address, and how it answers."""

    class Handler(_Red):
        pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler
        server.shutdown()
        thread.join()


def test_status_of_a_red_service(other: tuple[str, type[_Red]], keystead: Callable[..., Any]) -> None:
    """A process that cannot work is told with its reason, and the exit code is 1."""
    ended = keystead("status", "--control-url", other[0])
    assert ended.code == 1
    assert "NOT READY" in ended.out
    assert "red" in ended.out
    assert "audit-unavailable" in ended.out


def test_status_of_something_else(other: tuple[str, type[_Red]], keystead: Callable[..., Any]) -> None:
    """Whatever answers otherwise than a control plane is not taken for one."""
    other[1].ready = b"<html>"
    ended = keystead("status", "--control-url", other[0])
    assert ended.code == 3
    assert "not as a Keystead control plane does" in ended.err
