"""Policies with names of their own, and those that are built in."""

from dataclasses import replace

import pytest

from keystead.core.policy.builtin import ADMINISTRATOR, AUDITOR, BUILT_IN
from keystead.core.principal import policy_arn, user_arn
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench

MAKE = '{"Statement": {"Effect": "Allow", "Action": "kms:ListAliases", "Resource": "*"}}'
LIST = MAKE.replace("ListAliases", "ListKeys")
MAKERS = policy_arn(ACCOUNT, "makers")


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


def test_a_policy_is_made_replaced_and_removed(bench: ServiceBench) -> None:
    """Under a name or its ARN; each record names it."""
    made = bench.do(i.PutPolicy("makers", MAKE))
    assert (made.arn, made.name, made.text, made.built_in) == (MAKERS, "makers", MAKE, False)
    assert made.created == made.updated == bench.house.clock.now()
    assert bench.records[-1].subject == MAKERS
    bench.house.audit.later(60)
    new = bench.do(i.PutPolicy(MAKERS, LIST))
    assert (new.created, new.updated, new.text) == (made.created, bench.house.clock.now(), LIST)
    assert bench.do(i.DescribePolicy("makers")) == new
    bench.do(i.DeletePolicy("makers"))
    told = f"NotFound: There is no policy {MAKERS}. List them with: keystead policy list"
    assert bench.refusal(i.DescribePolicy(MAKERS)) == bench.refusal(i.DeletePolicy("makers")) == told


def test_a_new_text_is_in_force_wherever_it_is_attached(bench: ServiceBench) -> None:
    """Directly, through a group, and as a boundary."""
    bench.do(i.PutPolicy("makers", MAKE))
    bench.do(i.CreatePrincipal("group", kind="group", attached=("makers",)))
    bench.do(i.CreatePrincipal("direct", attached=("makers",)))
    bench.do(i.CreatePrincipal("member", groups=("group",)))
    bench.do(i.CreatePrincipal("bounded", MAKE.replace("kms:ListAliases", "*"), boundary="makers"))
    for text, allowed, denied in (
        (MAKE, c.ListAliases(), c.ListKeys()),
        (LIST, c.ListKeys(), c.ListAliases()),
    ):
        bench.do(i.PutPolicy("makers", text))
        for who in ("direct", "member", "bounded"):
            bench.do(allowed, who)
            assert bench.refusal(denied, who).startswith("AccessDenied")


def test_a_policy_that_somebody_has_stays(bench: ServiceBench) -> None:
    """Attached to a user or a group, or as a boundary; the refusal names one, and the description all of them."""
    bench.do(i.PutPolicy("makers", MAKE))
    for command in (
        i.CreatePrincipal("x", attached=("makers",)),
        i.CreatePrincipal("x", kind="group", attached=("makers",)),
        i.CreatePrincipal("x", boundary="makers"),
    ):
        arn = bench.do(command).principal.arn
        assert bench.do(i.DescribePolicy("makers")).attached_to == (arn,)
        told = bench.refusal(i.DeletePolicy("makers"))
        assert told.startswith(f"InvalidRequest: The policy makers is still attached to {arn}")
        bench.do(i.DeletePrincipal("x", command.kind))
    bench.do(i.DeletePolicy("makers"))


@pytest.mark.parametrize("name", ["", "n" * 65, "a/b", "a b", "*", "ü", "a\n"])
def test_names_that_a_policy_may_not_have(bench: ServiceBench, name: str) -> None:
    """Nothing that means something in an ARN or a policy."""
    told = "InvalidRequest: A policy's name is 1 to 64 letters, digits and the characters + = , . @ _ -"
    assert bench.refusal(i.PutPolicy(name, MAKE)) == told


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_text_that_is_no_policy_is_refused(bench: ServiceBench, text: str) -> None:
    """The one before stays."""
    bench.do(i.PutPolicy("makers", MAKE))
    assert bench.refusal(i.PutPolicy("makers", text)).split(":")[0] in {"InvalidRequest", "MalformedPolicy"}
    assert bench.do(i.DescribePolicy("makers")).text == MAKE


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:iam::999988887777:policy/makers", user_arn(ACCOUNT, "makers"), "arn:aws:iam::aws:policy/x"],
)
def test_what_is_not_the_accounts_own_is_out_of_reach(bench: ServiceBench, arn: str) -> None:
    """Another account's policies are as unknown as those that are not there."""
    bench.do(i.PutPolicy("makers", MAKE))
    told = f"InvalidRequest: {arn} is not the ARN of a policy of this account."
    assert bench.refusal(i.PutPolicy(arn, MAKE)) == bench.refusal(i.DeletePolicy(arn)) == told
    assert bench.refusal(i.DescribePolicy(arn)).startswith("NotFound")


def test_built_in_policies_are_shown_and_never_changed(bench: ServiceBench) -> None:
    """To everybody with the principals of their own account that have them."""
    bench.do(i.CreatePrincipal("carol", attached=(AUDITOR,)))
    with bench.house.store.transact("elsewhere") as tx:
        carol = tx.principal(user_arn(ACCOUNT, "carol"))
        assert carol is not None
        tx.put_principal(replace(carol, arn=user_arn("999988887777", "eve"), account="999988887777"))
    shown = bench.do(i.DescribePolicy(AUDITOR))
    assert (shown.text, shown.built_in, shown.description) == (
        BUILT_IN[AUDITOR].text,
        True,
        BUILT_IN[AUDITOR].description,
    )
    assert shown.attached_to == (user_arn(ACCOUNT, "carol"),)
    for command in (i.PutPolicy(AUDITOR, MAKE), i.DeletePolicy(AUDITOR)):
        assert bench.refusal(command) == f"Reserved: {AUDITOR} is built in: make a policy of your own."


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_policies_are_listed_with_the_built_in_ones_last(bench: ServiceBench, limit: int) -> None:
    """In the order of their ARNs, in pages of any size, each once."""
    for name in ("b", "a", "c"):
        bench.do(i.PutPolicy(name, MAKE))
    arns, marker = [], ""
    while True:
        page = bench.do(i.ListPolicies(limit, marker))
        assert len(page.policies) <= limit
        arns += [policy.arn for policy in page.policies]
        marker = page.marker
        if not marker:
            break
    assert arns == [*(policy_arn(ACCOUNT, name) for name in "abc"), *sorted(BUILT_IN)]
    assert ADMINISTRATOR in arns


def test_each_operation_asks_its_own_permission(bench: ServiceBench) -> None:
    """On the policy's ARN."""
    bench.do(i.PutPolicy("makers", MAKE))
    for command in (i.PutPolicy("makers", MAKE), i.DescribePolicy("makers"), i.DeletePolicy("makers")):
        told = bench.refusal(command, "mallory")
        assert f"perform: keystead:{type(command).__name__} on resource: {MAKERS} because" in told
    assert "keystead:ListPolicies on resource: *" in bench.refusal(i.ListPolicies(), "mallory")
