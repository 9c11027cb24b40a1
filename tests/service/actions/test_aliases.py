"""Aliases: names that lead to keys, and who may point them where."""

import json

import pytest

from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn

ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/"
APP = KeyReference("alias/app", is_alias=True)


@pytest.fixture
def bench() -> ServiceBench:
    """An installation."""
    return ServiceBench()


def may(bench: ServiceBench, name: str, action: str, *resources: str) -> None:
    """A user with one permission on some resources."""
    listed = ", ".join(f'"{resource}"' for resource in resources)
    bench.house.user(
        name, f'{{"Statement": {{"Effect": "Allow", "Action": "{action}", "Resource": [{listed}]}}}}'
    )


def targets(bench: ServiceBench) -> dict[str, str]:
    """Each alias with its key's id."""
    return {alias.name: alias.key_id for alias in bench.do(c.ListAliases()).aliases}


def test_an_alias_is_made_moved_and_deleted(bench: ServiceBench) -> None:
    """The record names the alias and the key; moving changes the date of the last change only."""
    key, other = bench.key(), bench.key()
    made = bench.house.clock.now()
    bench.do(c.CreateAlias("alias/app", key))
    record = bench.records[-1]
    assert (record.action, record.subject, record.key) == ("kms:CreateAlias", ARN + "app", key_arn(key))
    assert record.outcome == "Success"

    bench.house.clock.time += 5
    bench.do(c.UpdateAlias("alias/app", other))
    record = bench.records[-1]
    assert (record.action, record.subject, record.key) == ("kms:UpdateAlias", ARN + "app", key_arn(other))
    (alias,) = bench.do(c.ListAliases()).aliases
    assert (alias.arn, alias.key_id) == (ARN + "app", other.name)
    assert (alias.created, alias.updated) == (made, made + 5)

    bench.do(c.DeleteAlias("alias/app"))
    record = bench.records[-1]
    assert (record.action, record.subject, record.key) == ("kms:DeleteAlias", ARN + "app", key_arn(other))
    assert targets(bench) == {}
    assert bench.refusal(c.Encrypt(APP, b"x")) == f"NotFound: Alias {ARN}app is not found."


@pytest.mark.parametrize("name", ["alias/a", "alias/a-b/c_d", "alias/" + "n" * 250, "alias/awsome"])
def test_names_that_are_allowed(bench: ServiceBench, name: str) -> None:
    """Letters, digits, slash, underscore and dash."""
    key = bench.key()
    bench.do(c.CreateAlias(name, key))
    assert targets(bench) == {name: key.name}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "app",
            (
                'InvalidRequest: Alias must start with the prefix "alias/". Please see '
                "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
            ),
        ),
        ("alias/aws/s3", "Reserved: "),
        ("alias/x:y", "InvalidAliasName: alias/x:y contains invalid characters for an alias"),
        ("alias/", "InvalidAliasName: alias/ contains invalid characters for an alias"),
        ("alias/ü", "InvalidAliasName: alias/ü contains invalid characters for an alias"),
        ("alias/a\n", "InvalidAliasName: alias/a\n contains invalid characters for an alias"),
    ],
)
def test_names_that_are_not(bench: ServiceBench, name: str, told: str) -> None:
    """They are refused in AWS's words by every operation that takes one."""
    key = bench.key()
    for command in (c.CreateAlias(name, key), c.UpdateAlias(name, key), c.DeleteAlias(name)):
        assert bench.refusal(command) == told
    assert targets(bench) == {}


def test_a_name_is_taken_once(bench: ServiceBench) -> None:
    """Within a region; another region has its own."""
    key, other = bench.key(), bench.key()
    far = bench.key(region="us-east-1")
    bench.do(c.CreateAlias("alias/app", key))
    told = f"AlreadyExists: An alias with the name {ARN}app already exists"
    for target in (key, other):
        assert bench.refusal(c.CreateAlias("alias/app", target)) == told
    bench.do(c.CreateAlias("alias/app", far), region="us-east-1")
    assert targets(bench) == {"alias/app": key.name}


def test_an_alias_that_is_not_there_is_neither_moved_nor_deleted(bench: ServiceBench) -> None:
    """It is named with its ARN."""
    key = bench.key()
    for command in (c.UpdateAlias("alias/none", key), c.DeleteAlias("alias/none")):
        assert bench.refusal(command) == f"NotFound: Alias {ARN}none is not found."
        assert bench.records[-1].subject == ARN + "none"


def test_an_alias_leads_to_a_key_of_its_account(bench: ServiceBench) -> None:
    """Not to another alias, and not into another account whatever that allows."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    foreign = KeyReference(key.name, account="999988887777", region=REGION)
    for target, told in [
        (APP, "InvalidRequest: Aliases must refer to keys. Not aliases"),
        (foreign, "InvalidRequest: An alias and its key must be in the same account"),
    ]:
        assert bench.refusal(c.CreateAlias("alias/new", target)) == told
        assert bench.refusal(c.UpdateAlias("alias/app", target)) == told
    assert targets(bench) == {"alias/app": key.name}


def test_only_the_new_targets_state_matters(bench: ServiceBench) -> None:
    """An alias is moved and deleted off a key that is pending deletion, and not pointed at one."""
    going, staying = bench.key(), bench.key()
    for number in range(2):
        bench.do(c.CreateAlias(f"alias/going{number}", going))
    bench.do(c.ScheduleKeyDeletion(going))

    told = f"InvalidKeyState: {key_arn(going)} is pending deletion."
    assert bench.refusal(c.CreateAlias("alias/new", going)) == told
    bench.do(c.UpdateAlias("alias/going0", staying))
    assert bench.refusal(c.UpdateAlias("alias/going0", going)) == told
    bench.do(c.DeleteAlias("alias/going1"))
    assert targets(bench) == {"alias/going0": staying.name}


def test_the_alias_and_each_key_are_permissions_of_their_own(bench: ServiceBench) -> None:
    """Whoever lacks one of them is told which."""
    key, other = bench.key(), bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    alias = ARN + "app"
    may(bench, "no-alias", "kms:*", key_arn(key), key_arn(other))
    may(bench, "no-key", "kms:*", alias, ARN + "new")
    may(bench, "old-key", "kms:*", alias, key_arn(key))
    may(bench, "all", "kms:*", alias, key_arn(key), key_arn(other))
    for who, command, action, missing in [
        ("no-alias", c.CreateAlias("alias/new", key), "kms:CreateAlias", ARN + "new"),
        ("no-key", c.CreateAlias("alias/new", key), "kms:CreateAlias", key_arn(key)),
        ("no-alias", c.UpdateAlias("alias/app", other), "kms:UpdateAlias", alias),
        ("no-key", c.UpdateAlias("alias/app", other), "kms:UpdateAlias", key_arn(key)),
        ("old-key", c.UpdateAlias("alias/app", other), "kms:UpdateAlias", key_arn(other)),
        ("no-alias", c.DeleteAlias("alias/app"), "kms:DeleteAlias", alias),
        ("no-key", c.DeleteAlias("alias/app"), "kms:DeleteAlias", key_arn(key)),
    ]:
        assert f"is not authorized to perform: {action} on resource: {missing} because" in bench.refusal(
            command, who
        )
    assert targets(bench) == {"alias/app": key.name}
    bench.do(c.UpdateAlias("alias/app", other), "all")


def test_a_key_has_room_for_so_many_aliases(bench: ServiceBench) -> None:
    """Making and moving one are refused beyond the quota; moving it to where it is, is not."""
    key, other = bench.key(), bench.key()
    tight = ServiceBench(bench.house, "w1", quotas=Quotas(aliases_per_key=2))
    for number in range(2):
        tight.do(c.CreateAlias(f"alias/a{number}", key))
    tight.do(c.CreateAlias("alias/b", other))
    told = "LimitExceeded: The key has 2 aliases: the quota is reached. Delete one first."
    assert tight.refusal(c.CreateAlias("alias/c", key)) == told
    assert tight.refusal(c.UpdateAlias("alias/b", key)) == told
    tight.do(c.UpdateAlias("alias/a0", key))
    tight.do(c.DeleteAlias("alias/a0"))
    tight.do(c.UpdateAlias("alias/b", key))


def test_aliases_are_listed(bench: ServiceBench) -> None:
    """All of the region in the order of their names, or those of one key, page by page."""
    key, other = bench.key(), bench.key()
    for name, target in [("c", key), ("a", key), ("b", other), ("d", key)]:
        bench.do(c.CreateAlias(f"alias/{name}", target))
    bench.do(c.CreateAlias("alias/far", bench.key(region="us-east-1")), region="us-east-1")
    for of, expected in [(None, [["a", "b"], ["c", "d"]]), (key, [["a", "c"], ["d"]]), (other, [["b"]])]:
        pages, marker = [], ""
        for _ in expected:
            page = bench.do(c.ListAliases(of, 2, marker))
            pages.append([alias.name.removeprefix("alias/") for alias in page.aliases])
            marker = page.marker
        assert (pages, marker) == (expected, "")


def test_who_may_not_list_aliases(bench: ServiceBench) -> None:
    """Is told so."""
    bench.house.user("mallory")
    assert "perform: kms:ListAliases on resource: * because" in bench.refusal(c.ListAliases(), "mallory")


def test_policies_may_ask_for_the_aliases_of_a_key_that_is_used(bench: ServiceBench) -> None:
    """A Deny by an alias holds for its key from the moment that it has it, and no longer, in every process."""
    asks = {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/secret*"}}
    deny = {"Effect": "Deny", "Action": "kms:Encrypt", "Resource": "*", "Condition": asks}
    allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    bench.house.user("alice", json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]}))
    other = ServiceBench(bench.house, "w1")
    first, second = bench.key(), bench.key()

    def held() -> list[bool]:
        """Which of the two keys alice may use."""
        answers = [other.answer(c.Encrypt(key, b"x"), "alice") for key in (first, second)]
        return [answer.error is None for answer in answers]

    bench.do(c.CreateAlias("alias/open", first))
    assert held() == [True, True]
    bench.do(c.CreateAlias("alias/secret-1", first))
    assert held() == [False, True]
    bench.do(c.UpdateAlias("alias/secret-1", second))
    assert held() == [True, False]
    bench.do(c.DeleteAlias("alias/secret-1"))
    assert held() == [True, True]
    bench.do(c.CreateAlias("alias/secret-2", first))
    late = other.handle(other.caller("alice"), c.Encrypt(second, b"x"))
    bench.do(c.UpdateAlias("alias/secret-2", second))
    assert other.gate.settle([late]) == [late]  # what was decided before does not leave after
