"""What no policy lets anybody do: close the last way in, or get around a permission boundary."""

import json
from typing import Any

import pytest

from keystead.core.policy.builtin import ADMINISTRATOR, AUDITOR
from keystead.core.principal import policy_arn, user_arn
from keystead.service import safeguards
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT, EVERYTHING
from keystead.testing.service import ServiceBench

ADMIN = user_arn(ACCOUNT, "admin")
CLOSED = "InvalidRequest: After this nobody in the account could change policies any more"


def policy(*statements: dict[str, Any]) -> str:
    """A policy of these statements, on everything unless they say otherwise."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Resource": "*", **each} for each in statements],
        }
    )


MENDS = policy({"Action": "keystead:*"})


@pytest.fixture
def bench() -> ServiceBench:
    """An installation whose only way in is its admin."""
    return ServiceBench()


# --- the last way in ---------------------------------------------------------------------------------------

ONLY_KEY = "the admin's access key"
STRIPPING: list[Command] = [
    i.PutPrincipalPolicy("admin", ""),
    i.PutPrincipalPolicy("admin", policy({"Action": "kms:*"})),
    i.UpdatePrincipal("admin", boundary=AUDITOR),
    i.SetAccessKeyStatus(ONLY_KEY, enabled=False),
    i.DeleteAccessKey(ONLY_KEY),
    i.PutGuardrail("g", policy({"Effect": "Deny", "Action": "keystead:PutPrincipalPolicy"})),
]


def meant(bench: ServiceBench, command: Command) -> Command:
    """The command with the admin's access key."""
    if isinstance(command, i.SetAccessKeyStatus):
        return i.SetAccessKeyStatus(bench.house.admin[0], command.enabled)
    return i.DeleteAccessKey(bench.house.admin[0]) if isinstance(command, i.DeleteAccessKey) else command


@pytest.mark.parametrize("command", STRIPPING, ids=lambda command: type(command).__name__)
def test_what_closes_the_last_way_in_is_refused_with_the_cure(bench: ServiceBench, command: Command) -> None:
    """By whichever means, and the admin goes on as before."""
    told = bench.refusal(meant(bench, command))
    assert told.startswith(CLOSED)
    assert f"--attach {ADMINISTRATOR} --access-key" in told
    bench.do(i.CreatePrincipal("carol", EVERYTHING))


@pytest.mark.parametrize("command", STRIPPING[:5], ids=lambda command: type(command).__name__)
@pytest.mark.parametrize("kind", ["user", "service-account"])
def test_with_another_way_in_it_is_done(bench: ServiceBench, command: Command, kind: str) -> None:
    """A user or service account that is enabled, has an enabled access key and may put policies is one."""
    bench.do(i.CreatePrincipal("second", kind=kind, attached=(ADMINISTRATOR,)))
    bench.do(i.CreateAccessKey("second", kind))
    bench.do(meant(bench, command))


@pytest.mark.parametrize(
    "lacks", ["an access key", "an enabled one", "being enabled", "the permission", "being a user"]
)
def test_who_lacks_something_is_no_way_in(bench: ServiceBench, lacks: str) -> None:
    """Neither a role nor a group, nor a user without all that it takes."""
    kind = "group" if lacks == "being a user" else "user"
    bench.do(i.CreatePrincipal("second", "" if lacks == "the permission" else EVERYTHING, kind))
    if kind == "user" and lacks != "an access key":
        made = bench.do(i.CreateAccessKey("second")).access_key
        if lacks == "an enabled one":
            bench.do(i.SetAccessKeyStatus(made.id, enabled=False))
    if lacks == "being enabled":
        bench.do(i.UpdatePrincipal("second", enabled=False))
    assert bench.refusal(i.PutPrincipalPolicy("admin", "")).startswith(CLOSED)


def test_a_way_in_may_need_a_one_time_password_and_come_from_here(bench: ServiceBench) -> None:
    """Conditions are looked at as if somebody had shown one now, from where the request comes."""
    condition = {
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
        "IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
    }
    caller = bench.caller()
    caller.source = "192.0.2.7"
    bench.do(i.CreatePrincipal("second", policy({"Action": "keystead:*", "Condition": condition})))
    bench.do(i.CreateAccessKey("second"))
    assert bench.refusal(i.PutPrincipalPolicy("admin", "")).startswith(CLOSED)
    bench.do(i.PutPrincipalPolicy("admin", ""), caller)


def test_who_may_put_everybodys_policy_but_its_own_is_a_way_in(bench: ServiceBench) -> None:
    """It can mend what is amiss with the others."""
    not_own = {
        "Effect": "Deny",
        "Action": "keystead:PutPrincipalPolicy",
        "Resource": user_arn(ACCOUNT, "second"),
    }
    bench.do(i.CreatePrincipal("second", policy({"Action": "keystead:*"}, not_own)))
    bench.do(i.CreateAccessKey("second"))
    bench.do(i.PutPrincipalPolicy("admin", ""))


@pytest.mark.parametrize("by", ["policy", "group", "membership", "member's group deleted"])
def test_a_way_in_by_group_or_policy_is_kept_as_well(bench: ServiceBench, by: str) -> None:
    """A change that only touches what it rests on is refused too."""
    bench.do(i.PutPolicy("admins", EVERYTHING))
    bench.do(i.CreatePrincipal("admins", EVERYTHING if by != "policy" else "", "group"))
    bench.do(i.CreatePrincipal("second", groups=("admins",), attached=("admins",) if by == "policy" else ()))
    bench.do(i.CreateAccessKey("second"))
    only = bench.caller("second")
    bench.do(i.PutPrincipalPolicy("admin", ""), only)
    command: Command = {
        "policy": i.PutPolicy("admins", policy({"Action": "kms:*"})),
        "group": i.PutPrincipalPolicy("admins", "", "group"),
        "membership": i.UpdatePrincipal("second", groups=()),
        "member's group deleted": i.UpdatePrincipal("admins", "group", enabled=False),
    }[by]
    assert bench.refusal(command, only).startswith(CLOSED)


def test_an_account_that_has_no_way_in_can_still_be_changed(bench: ServiceBench) -> None:
    """There is nothing left to keep."""
    bench.house.user("tagger", policy({"Action": "keystead:TagPrincipal"}))
    with bench.house.store.transact("by-hand") as tx:
        tx.delete_principal(ADMIN)
    bench.do(i.UpdatePrincipal("tagger", tags=(("a", "b"),)), "tagger")


def test_of_very_many_principals_so_many_are_asked_about(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who is beyond them is not found, unless it is the one that asks."""
    monkeypatch.setattr(safeguards, "LOOKED_AT", 3)
    monkeypatch.setattr(safeguards, "_PAGE", 2)
    for number in range(4):
        bench.do(i.CreatePrincipal(f"b{number}"))
    bench.do(i.CreatePrincipal("last", EVERYTHING))
    bench.do(i.CreateAccessKey("last"))
    assert bench.refusal(i.PutPrincipalPolicy("admin", "")).startswith(CLOSED)
    bench.do(i.PutPrincipalPolicy("admin", ""), "last")


# --- boundaries --------------------------------------------------------------------------------------------


@pytest.fixture
def bounded(bench: ServiceBench) -> ServiceBench:
    """A lead who may do everything with principals and policies, within a boundary that is a policy like others."""
    bench.do(i.PutPolicy("limit", policy({"Action": ["keystead:*", "kms:List*"]})))
    bench.do(i.PutPolicy("wide", EVERYTHING))
    bench.do(i.CreatePrincipal("lead", EVERYTHING, boundary="limit"))
    bench.do(i.CreatePrincipal("free"))
    bench.do(i.CreatePrincipal("theirs", boundary="limit"))
    return bench


@pytest.mark.parametrize(
    "command",
    [
        i.UpdatePrincipal("lead", boundary=""),
        i.UpdatePrincipal("lead", boundary="wide"),
        i.UpdatePrincipal("free", policy=EVERYTHING),
        i.PutPrincipalPolicy("free", EVERYTHING),
        i.UpdatePrincipal("theirs", boundary="wide"),
        i.UpdatePrincipal("free", boundary="limit"),
        i.CreatePrincipal("puppet", EVERYTHING),
        i.CreatePrincipal("puppet", EVERYTHING, boundary="wide"),
        i.CreatePrincipal("puppets", EVERYTHING, "group"),
        i.CreateAccessKey("free"),
        i.EnableMfa("free"),
        i.DisableMfa("free"),
        i.DeletePrincipal("free"),
        i.RevokePrincipal("free"),
    ],
    ids=lambda command: f"{type(command).__name__}-{command.name}",
)
def test_who_has_a_boundary_makes_and_changes_only_who_has_it_too(
    bounded: ServiceBench, command: Command
) -> None:
    """So nobody without it can be made, used or freed by somebody who has it, whatever its policies allow."""
    told = f"AccessDenied: You have the permission boundary {policy_arn(ACCOUNT, 'limit')}"
    assert bounded.refusal(command, "lead").startswith(told)


def test_who_has_a_boundary_enables_no_access_key_of_somebody_without_it(bounded: ServiceBench) -> None:
    """It may know the secret of one that was disabled for just that reason; its own and its equals' it may change."""
    told = f"AccessDenied: You have the permission boundary {policy_arn(ACCOUNT, 'limit')}"
    made = bounded.do(i.CreateAccessKey("free")).access_key.id
    bounded.do(i.SetAccessKeyStatus(made, enabled=False))
    for command in (i.SetAccessKeyStatus(made, enabled=True), i.DeleteAccessKey(made)):
        assert bounded.refusal(command, "lead").startswith(told)
    theirs = bounded.do(i.CreateAccessKey("theirs"), "lead").access_key.id
    bounded.do(i.SetAccessKeyStatus(theirs, enabled=False), "lead")
    bounded.do(i.DeleteAccessKey(theirs), "lead")


def test_under_the_same_boundary_everything_goes(bounded: ServiceBench) -> None:
    """What it makes is bounded as it is itself."""
    bounded.do(i.CreatePrincipal("mine", EVERYTHING, boundary="limit"), "lead")
    bounded.do(i.UpdatePrincipal("mine", tags=(("a", "b"),)), "lead")
    bounded.do(i.PutPrincipalPolicy("theirs", EVERYTHING), "lead")
    bounded.do(i.CreateAccessKey("mine"), "lead")
    bounded.do(i.PutPrincipalPolicy("lead", EVERYTHING), "lead")
    bounded.do(c.ListKeys(), "mine")
    assert bounded.refusal(c.CreateKey(), "mine").startswith("AccessDenied")
    bounded.do(i.DeletePrincipal("mine"), "lead")


def test_nobody_rewrites_its_own_boundary(bounded: ServiceBench) -> None:
    """Not under its name, nor under its ARN; other policies it may write, and somebody else may write this one."""
    own = policy_arn(ACCOUNT, "limit")
    for name in ("limit", own):
        told = bounded.refusal(i.PutPolicy(name, EVERYTHING), "lead")
        assert told == f"AccessDenied: {own} is your permission boundary: somebody without it must change it."
        assert "still attached" in bounded.refusal(i.DeletePolicy(name), "lead")
    bounded.do(i.PutPolicy("other", EVERYTHING), "lead")
    bounded.do(i.PutPolicy("limit", policy({"Action": "kms:*"})))
    assert bounded.refusal(i.ListPolicies(), "lead").startswith("AccessDenied")
