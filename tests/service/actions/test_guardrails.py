"""Guardrails: they deny everybody, at once, and never lock their maker out."""

import json
from typing import Any

import pytest

from keystead.core.principal import INSTALLATION, user_arn
from keystead.service.caller import Caller
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench

ADMIN = user_arn(ACCOUNT, "admin")


def deny(*actions: str, **more: Any) -> str:
    """A guardrail."""
    statement = {"Sid": "No", "Effect": "Deny", "Action": list(actions), "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin, and a second account."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


@pytest.fixture
def other(bench: ServiceBench) -> Caller:
    """The administrator of a second account."""
    made = bench.do(i.CreateAccount("second"))
    return bench.caller(made.administrator.arn)


def test_a_guardrail_is_in_force_when_it_returns_and_gone_when_it_is_removed(bench: ServiceBench) -> None:
    """For the administrator as for everybody, in processes that have the caller in use; the record names it."""
    elsewhere = ServiceBench(bench.house, "w1")
    key = bench.key()
    elsewhere.do(c.Encrypt(key, b"x"))
    caller = elsewhere.caller()
    made = bench.do(i.PutGuardrail("no-use", deny("kms:Encrypt"))).guardrail
    assert (made.account, made.name, made.created) == (ACCOUNT, "no-use", bench.house.clock.now())
    assert bench.records[-1].subject == f"arn:aws:iam::{ACCOUNT}:guardrail/no-use"
    told = elsewhere.refusal(c.Encrypt(key, b"x"))
    assert told.endswith("with an explicit deny in a service control policy")
    record = elsewhere.records[-1]
    assert (record.decided_by, record.statement) == ("guardrail", "No")
    assert f"{ACCOUNT}/no-use" in json.dumps(record.matched, default=str)
    # Who was let in before it was put is not let out with an answer after it.
    assert not elsewhere.answer(c.ListKeys(), caller).error
    bench.do(i.DeleteGuardrail("no-use"))
    elsewhere.do(c.Encrypt(key, b"x"))


def test_a_guardrail_that_names_no_action_is_refused(bench: ServiceBench) -> None:
    """Everybody would rely on it; with a wildcard it is put, and denies what was meant."""
    told = bench.refusal(i.PutGuardrail("no-move", deny("kms:Sign", "kms:ReEncrypt")))
    assert told == (
        "MalformedPolicy: Statement No would never deny kms:ReEncrypt: no action is called that. "
        "Did you mean kms:ReEncryptFrom or kms:ReEncryptTo?"
    )
    key = bench.key()
    bench.do(i.PutGuardrail("no-seal", deny("kms:Encryp?")))
    assert bench.refusal(c.Encrypt(key, b"x")).startswith("AccessDenied: ")


def test_a_guardrail_is_replaced_described_and_listed(bench: ServiceBench) -> None:
    """By name, in pages."""
    for name in ("b", "a", "c"):
        bench.do(i.PutGuardrail(name, deny("kms:Sign")))
    bench.house.audit.later(60)
    new = bench.do(i.PutGuardrail("b", deny("kms:Verify"))).guardrail
    assert new.updated == new.created + 60
    assert bench.do(i.DescribeGuardrail("b")).guardrail == new
    first = bench.do(i.ListGuardrails(limit=2))
    last = bench.do(i.ListGuardrails(limit=2, marker=first.marker))
    assert [g.name for g in (*first.guardrails, *last.guardrails)] == ["a", "b", "c"]
    assert last.marker == ""
    for command in (i.DescribeGuardrail("x"), i.DeleteGuardrail("x")):
        told = f"NotFound: There is no guardrail arn:aws:iam::{ACCOUNT}:guardrail/x. List them with: keystead"
        assert bench.refusal(command).startswith(told)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("", deny("kms:Sign"), "InvalidRequest: A guardrail's name is 1 to 64"),
        ("a/b", deny("kms:Sign"), "InvalidRequest: A guardrail's name is 1 to 64"),
        ("g", "", "MalformedPolicy"),
        ("g", deny("kms:Sign", Effect="Allow"), "MalformedPolicy: Statement 0 (No): Effect must be Deny"),
    ],
)
def test_what_is_no_guardrail_is_refused(bench: ServiceBench, name: str, text: str, told: str) -> None:
    """It gives nothing, and its name means nothing in an ARN."""
    assert bench.refusal(i.PutGuardrail(name, text)).startswith(told)


@pytest.mark.parametrize("action", ["keystead:PutGuardrail", "keystead:DeleteGuardrail", "keystead:*", "*"])
@pytest.mark.parametrize("scope", ["account", "installation"])
def test_nobody_locks_themselves_out_of_a_guardrail(bench: ServiceBench, scope: str, action: str) -> None:
    """The refusal names the statement; one that spares its maker is taken, and holds for all others."""
    told = bench.refusal(i.PutGuardrail("g", deny(action), scope))
    assert told.startswith("InvalidRequest: Under this guardrail you could not change or remove it")
    assert "its statement No denies you keystead:" in told
    assert bench.do(i.ListGuardrails(scope)).guardrails == []
    sparing = deny(action, Condition={"ArnNotEquals": {"aws:PrincipalArn": ADMIN}})
    bench.do(i.PutGuardrail("g", sparing, scope))
    bench.house.user("carol", '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')
    if action != "keystead:DeleteGuardrail":
        assert bench.refusal(i.PutGuardrail("h", sparing), "carol").startswith("AccessDenied")
    assert bench.do(i.DeleteGuardrail("g", scope)) is not None


def test_a_guardrail_of_the_installation_holds_in_every_account(bench: ServiceBench, other: Caller) -> None:
    """It is made from the first account only; the others see it and cannot change it."""
    text = deny("kms:CreateKey")
    first_only = "AccessDenied: Only a principal of the installation's first account may do that."
    assert bench.refusal(i.PutGuardrail("g", text, "installation"), other) == first_only
    made = bench.do(i.PutGuardrail("g", text, "installation")).guardrail
    assert made.account == INSTALLATION
    for who in ("admin", other):
        assert bench.refusal(c.CreateKey(), who).startswith("AccessDenied")
        assert bench.do(i.ListGuardrails("installation"), who).guardrails == [made]
    assert bench.refusal(i.DeleteGuardrail("g", "installation"), other) == first_only
    bench.do(i.DeleteGuardrail("g", "installation"))
    bench.do(c.CreateKey(), other)


def test_a_guardrail_of_an_account_holds_there_only(bench: ServiceBench, other: Caller) -> None:
    """And is no other account's to see."""
    bench.do(i.PutGuardrail("g", deny("kms:CreateKey")), other)
    bench.do(c.CreateKey())
    assert bench.refusal(c.CreateKey(), other).startswith("AccessDenied")
    assert bench.do(i.ListGuardrails()).guardrails == []
    assert bench.refusal(i.DescribeGuardrail("g")).startswith("NotFound")


def test_there_are_two_scopes(bench: ServiceBench) -> None:
    """Anything else is refused."""
    told = "InvalidRequest: The scope of a guardrail is account or installation."
    for command in (
        i.PutGuardrail("g", deny("kms:Sign"), "x"),
        i.DescribeGuardrail("g", "x"),
        i.DeleteGuardrail("g", ""),
        i.ListGuardrails("x"),
    ):
        assert bench.refusal(command) == told


def test_each_operation_asks_its_own_permission(bench: ServiceBench) -> None:
    """On the guardrail's ARN."""
    for scope, account in (("account", ACCOUNT), ("installation", INSTALLATION)):
        for command in (
            i.PutGuardrail("g", deny("kms:Sign"), scope),
            i.DescribeGuardrail("g", scope),
            i.DeleteGuardrail("g", scope),
        ):
            told = bench.refusal(command, "mallory")
            arn = f"arn:aws:iam::{account}:guardrail/g"
            assert f"perform: keystead:{type(command).__name__} on resource: {arn} because" in told
    assert "keystead:ListGuardrails on resource: *" in bench.refusal(i.ListGuardrails(), "mallory")
