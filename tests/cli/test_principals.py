"""`keystead principal`, `role`, `group` and `revoke`: what people see of who there is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.core.policy.builtin import AUDITOR, KEY_USER

pytestmark = pytest.mark.e2e

POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:List*", "Resource": "*"}]}'
)
TRUST = (
    '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, '
    '"Action": "sts:AssumeRole"}}'
)


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
    assert ask("principal", "delete", "billing").err.endswith("stopped\n")
    assert ask("principal", "delete", "billing", "--yes").out == "Deleted billing\n"
    assert "billing" not in {one["name"] for one in value("principal", "list")}


def test_a_principal_is_made_and_changed_in_all_its_parts(
    ask: Callable[..., Any], value: Callable[..., Any]
) -> None:
    """Lists are changed by what to add and what to take away, by name or ARN; all else stays."""
    value("policy", "put", "readers", POLICY)
    value("group", "create", "operators", "--attach", AUDITOR)
    value("group", "create", "others")
    made = value(
        *("principal", "create", "alice", "--attach", "readers", "--group", "operators"),
        *("--boundary", KEY_USER, "--tag", "team=payroll", "--tag", "site=a=b"),
    )
    assert made["tags"] == {"team": "payroll", "site": "a=b"}
    assert [arn.rpartition("/")[2] for arn in (*made["attached"], *made["groups"])] == [
        "readers",
        "operators",
    ]
    shown = ask("principal", "show", "alice").out
    for part in ("policy/readers", "group/operators", KEY_USER, "team=payroll", "one-time passwords no"):
        assert part in shown
    assert made["arn"] in ask("group", "show", "operators").out

    changed = value(
        *("principal", "update", "alice", "--attach", KEY_USER, "--detach", "readers", "--join", "others"),
        *("--leave", made["groups"][0], "--no-boundary", "--untag", "site", "--tag", "team=x", "--disable"),
    )
    assert (changed["attached"], changed["boundary"], changed["tags"]) == ([KEY_USER], "", {"team": "x"})
    assert [arn.rpartition("/")[2] for arn in changed["groups"]] == ["others"]
    assert changed["enabled"] is False
    (listed,) = [line for line in ask("principal", "list").out.splitlines() if "user/alice" in line]
    assert listed.endswith("KeysteadKeyUser, others  disabled")
    assert ask(
        "principal", "update", "alice", "--boundary", KEY_USER, "--policy", POLICY, "--enable"
    ).out == (f"Changed {made['arn']}\n")
    now = value("principal", "show", "alice")
    assert (now["boundary"], now["policy"], now["enabled"], now["tags"]) == (
        KEY_USER,
        POLICY,
        True,
        {"team": "x"},
    )
    assert value("principal", "tag", "alice", "a=b", "--remove", "team") == {"a": "b"}
    assert ask("principal", "tag", "alice", "c=d").out == "a=b\nc=d\n"
    assert ask("principal", "update", "alice").err.startswith("keystead: InvalidRequest: Say what")
    for wrong in ("novalue", "a=1", "a=2"):
        given = ("a=1", wrong) if wrong != "novalue" else (wrong,)
        ended = ask("principal", "tag", "alice", *given)
        assert (ended.code, "is not NAME=VALUE" in ended.err) == (
            (2, True) if len(set(given)) < 3 else (0, False)
        )
    assert ask("group", "delete", "others", "--yes").err.startswith(
        "keystead: InvalidRequest: The group others"
    )
    assert ask("policy", "delete", "readers", "--yes").code == 0


def test_the_life_of_a_role(ask: Callable[..., Any], value: Callable[..., Any], tmp_path: Path) -> None:
    """It has a trust policy from the start, and says how long its sessions may last."""
    assert ask("role", "create", "deploy").code == 2
    (tmp_path / "trust.json").write_text(TRUST)
    made = value(
        *("role", "create", "deploy", "--trust", str(tmp_path / "trust.json")),
        *("--session-seconds", "7200", "--attach", AUDITOR),
    )
    assert (made["kind"], made["trust"], made["session_seconds"]) == ("role", TRUST, 7200)
    shown = ask("role", "show", "deploy").out
    assert "up to 7,200 seconds" in shown
    assert "  trust:\n    {" in shown
    assert value("role", "update", "deploy", "--session-seconds", "3600")["session_seconds"] == 3600
    assert [one["name"] for one in value("role", "list")] == ["deploy"]
    assert ask("role", "put-policy", "deploy", POLICY).out == "The policy of deploy is in force\n"
    assert ask("role", "delete", "deploy", "--yes").code == 0
    assert value("role", "list") == []


def test_a_trust_policy_that_takes_anybody_is_warned_of(ask: Callable[..., Any]) -> None:
    """When it is put, with what lint says of it; it is put nevertheless, and one that is in order says nothing."""
    provider = {"Federated": "arn:aws:iam::111122223333:oidc-provider/token.example.com"}
    statement = {"Effect": "Allow", "Principal": provider, "Action": "sts:AssumeRoleWithWebIdentity"}
    condition = {"StringEquals": {"token.example.com:sub": "repo:example/app"}}
    anybody = json.dumps({"Version": "2012-10-17", "Statement": statement})
    one = json.dumps({"Version": "2012-10-17", "Statement": {**statement, "Condition": condition}})
    warning = (
        "warning: the trust policy of web #0: error PL017: it trusts every token of token.example.com. "
        "Add a condition on the token's subject, such as token.example.com:sub.\n"
    )
    foreseen = ask("--dry-run", "role", "create", "web", "--trust", anybody)
    assert (foreseen.code, foreseen.err) == (0, warning)
    made = ask("role", "create", "web", "--trust", anybody, "--json")
    assert (made.code, made.err) == (0, warning)
    assert json.loads(made.out)["trust"] == anybody
    assert ask("role", "update", "web", "--trust", one).err == ""
    assert ask("role", "update", "web", "--trust", anybody).err == warning
    assert ask("role", "update", "web", "--session-seconds", "3600").err == ""
    refused = ask("role", "update", "web", "--trust", "{}")
    assert (refused.code, refused.err.startswith("keystead: MalformedPolicy: ")) == (1, True)
    assert ask("role", "delete", "web", "--yes").code == 0


def test_somebody_is_revoked(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """What would stop is told first; a dry run says it and ends, and without --yes somebody must agree."""
    made = value("principal", "create", "mallory", "--policy", POLICY, "--access-key")
    key = made["access_key"]["access_key_id"]
    lost = f"every session, 1 access key ({key}) and 0 grants"
    assert ask("revoke", "principal", "mallory", "--dry-run").out == f"Would end {lost}\n"
    assert value("revoke", "principal", "mallory", "--dry-run")["access_keys"] == [key]
    asked = ask("revoke", "principal", "mallory", "--disable")
    assert asked.code == 1
    assert f"Revoke {made['arn']}? This ends {lost}, and disable it." in asked.err
    assert value("access-key", "list", "mallory")[0]["enabled"] is True
    done = ask("revoke", "principal", "mallory", "--disable", "--yes")
    assert done.out == f"Revoked {made['arn']}: it has lost {lost}\n"
    assert value("access-key", "list", "mallory")[0]["enabled"] is False
    assert value("principal", "show", "mallory")["enabled"] is False
    again = value("revoke", "principal", "mallory", "--yes")
    assert again["access_keys"] == []
    assert ask("revoke", "principal", "admin", "--yes").err.startswith("keystead: InvalidRequest: You cannot")


def test_one_time_passwords_come_and_go(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """Their secret is shown once, in three forms that people need."""
    value("principal", "create", "totp")
    told = ask("principal", "mfa", "enable", "totp").out
    assert "otpauth://totp/Keystead:totp@" in told
    assert ":mfa/totp" in told
    assert "one-time passwords yes" in ask("principal", "show", "totp").out
    assert ask("principal", "mfa", "enable", "totp").err.startswith("keystead: AlreadyExists: ")
    assert ask("principal", "mfa", "disable", "totp").err.endswith("stopped\n")
    assert ask("principal", "mfa", "disable", "totp", "--yes").code == 0
    assert value("principal", "mfa", "enable", "totp")["secret"] not in told


def test_a_dry_run_looks_at_what_there_is_and_changes_nothing(
    ask: Callable[..., Any], value: Callable[..., Any]
) -> None:
    """What a change is made from is really read; the change itself is only asked about."""
    value("principal", "create", "dry", "--attach", AUDITOR)
    ended = ask("--dry-run", "principal", "update", "dry", "--detach", AUDITOR)
    assert ended.code == 0
    assert value("principal", "show", "dry")["attached"] == [AUDITOR]
