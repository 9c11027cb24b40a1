"""How commands ask a running service, and what they say when that fails."""

from collections.abc import Callable
from typing import Any

import pytest

from keystead.cli.client import Refused


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


@pytest.mark.e2e
def test_a_denial_says_how_to_find_out_why(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """The command that it names can be typed by whoever may, with the id of the request that was refused."""
    made = value("principal", "create", "nobody", "--access-key")["access_key"]
    own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    first, second = ask("principal", "list", **own).err.splitlines()
    assert first.startswith("keystead: AccessDenied: ")
    title, _, command = second.partition(": keystead ")
    assert title == "Why"
    assert ask(*command.split()).out.startswith("keystead:ListPrincipals was denied: AccessDenied\n")
    assert "keystead:ExplainDecision" in ask("policy", "explain", "--help").out
    assert ask("principal", "delete", "nobody", "--yes").code == 0


@pytest.mark.parametrize(
    ("body", "notes"),
    [
        ({"code": "AccessDenied", "detail": "no", "request": "r-1"}, ["Why: keystead policy explain r-1"]),
        ({"code": "AccessDenied", "detail": "no"}, []),
        ({"code": "NotFound", "detail": "no", "request": "r-1"}, []),
    ],
)
def test_only_what_was_decided_is_explained(body: dict[str, Any], notes: list[str]) -> None:
    """And only where the answer says which request it was; the sentence itself stays the service's own."""
    refused = Refused(403, body)
    assert str(refused) == "no"
    assert getattr(refused, "__notes__", []) == notes
