"""What policies reach at most: never less than what is allowed."""

import json
from importlib import util
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.policy import (
    Document,
    Question,
    decide,
    folded,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
)
from keystead.core.policy.actions import ACTIONS
from keystead.core.policy.reach import Held, always_denies, reach, reaches


def beside(name: str) -> ModuleType:
    """A module from the file beside this one: test folders are not packages."""
    found = util.spec_from_file_location(f"policy_{name}", Path(__file__).with_name(f"{name}.py"))
    assert found is not None
    assert found.loader is not None
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


generate = beside("generate")
ALICE = "arn:aws:iam::111122223333:user/alice"
SOME = ("kms:Decrypt", "kms:Encrypt", "kms:PutKeyPolicy")


def statement(
    effect: str = "Allow", action: Any = "kms:Decrypt", resource: str = "*", **more: Any
) -> dict[str, Any]:
    """A statement of a policy that names nobody."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def identity(*statements: dict[str, Any]) -> Document:
    """An identity policy."""
    return parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}))


def of_key(*statements: dict[str, Any]) -> Document:
    """A key policy whose statements name one user unless they say otherwise."""
    whole = [{"Principal": {"AWS": ALICE}, **each} for each in statements]
    return parse_key_policy(json.dumps({"Version": "2012-10-17", "Statement": whole}))


CONDITION: dict[str, Any] = {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}


@pytest.mark.parametrize(
    ("statements", "reached"),
    [
        ([statement()], {"kms:Decrypt"}),
        ([statement(**CONDITION)], {"kms:Decrypt"}),
        ([statement(resource="arn:aws:kms:*:*:key/1")], {"kms:Decrypt"}),
        ([statement(action="kms:*crypt")], {"kms:Decrypt", "kms:Encrypt"}),
        ([statement(action="*"), statement("Deny", "kms:*crypt")], {"kms:PutKeyPolicy"}),
        ([statement(), statement("Deny", **CONDITION)], {"kms:Decrypt"}),
        ([statement(), statement("Deny", resource="arn:aws:kms:*:*:key/1")], {"kms:Decrypt"}),
        ([statement(), statement("Deny", resource="arn:aws:kms:*:*:key/${aws:username}")], {"kms:Decrypt"}),
        ([statement("Deny")], set()),
        ([{"Effect": "Allow", "NotAction": "kms:*crypt", "Resource": "*"}], {"kms:PutKeyPolicy"}),
    ],
)
def test_an_allow_counts_whatever_it_asks_and_a_deny_only_if_it_asks_nothing(
    statements: list[dict[str, Any]], reached: set[str]
) -> None:
    """The reach is never too small: conditions and resources of an Allow are taken to hold, of a Deny not to."""
    assert reaches(identity(*statements), SOME) == reached


def test_a_deny_in_a_key_policy_counts_if_it_is_for_everybody() -> None:
    """One for somebody, or for all but somebody, leaves others who are allowed."""
    deny = statement("Deny")
    assert reaches(of_key(statement(), {**deny, "Principal": "*"}), SOME) == set()
    assert reaches(of_key(statement(), {**deny, "Principal": {"AWS": "111122223333"}}), SOME) == {
        "kms:Decrypt"
    }
    spared = {"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": ALICE}}
    document = parse_key_policy(json.dumps({"Statement": [{**statement(), "Principal": "*"}, spared]}))
    assert reaches(document, SOME) == {"kms:Decrypt"}
    assert not always_denies(document.statements[1])


def test_what_limits_an_identity_limits_what_its_own_policies_reach() -> None:
    """A boundary and session policies are ceilings, of several session policies one is enough, all may deny."""
    both = identity(statement(action=["kms:Decrypt", "kms:Encrypt"]))
    decrypt, encrypt = identity(statement()), identity(statement(action="kms:Encrypt"))
    denies = parse_guardrail(json.dumps({"Statement": statement("Deny", "kms:Encrypt")}))

    assert reach(Held(identity=(decrypt, encrypt)), SOME) == {"kms:Decrypt", "kms:Encrypt"}
    assert reach(Held(identity=(both,), boundary=decrypt), SOME) == {"kms:Decrypt"}
    assert reach(Held(identity=(both,), sessions=(decrypt, encrypt)), SOME) == {"kms:Decrypt", "kms:Encrypt"}
    assert reach(Held(identity=(both,), boundary=decrypt, sessions=(encrypt,)), SOME) == set()
    assert reach(Held(identity=(both,), guardrails=(denies,)), SOME) == {"kms:Decrypt"}
    everything = identity(statement(action="*"), statement("Deny", "kms:Encrypt"))
    assert reach(Held(identity=(both,), boundary=everything), SOME) == {"kms:Decrypt"}


def test_what_a_key_policy_gives_by_name_is_limited_by_denials_only() -> None:
    """A boundary that is silent takes nothing from a user whom a key policy names; a Deny anywhere does."""
    names = of_key(statement(action=["kms:Decrypt", "kms:Encrypt"]))
    silent, denies = (
        identity(statement(action="kms:PutKeyPolicy")),
        identity(statement("Deny", "kms:Encrypt")),
    )

    assert reach(Held(boundary=silent, key_policies=(names,)), SOME) == {"kms:Decrypt", "kms:Encrypt"}
    assert reach(Held(identity=(denies,), key_policies=(names,)), SOME) == {"kms:Decrypt"}


def test_all_actions_are_looked_at_unless_they_are_named() -> None:
    """Without a list, the reach is over the whole table."""
    everything = identity(statement(action="*"))
    assert reaches(everything) == reach(Held(identity=(everything,))) == set(ACTIONS)


@given(st.randoms(use_true_random=False))
def test_what_is_allowed_is_reached(random: Random) -> None:
    """Whatever policies and request there are: an action that the evaluator allows is in the reach."""
    policies = generate.policies(random)
    held = [parse_identity_policy(json.dumps(policy)) for policy in policies["identity"]]
    boundary, key = policies["boundary"], policies["key"]
    documents = Held(
        identity=tuple(held),
        boundary=None if boundary is None else parse_identity_policy(json.dumps(boundary)),
        sessions=tuple(parse_identity_policy(json.dumps(policy)) for policy in policies["session"]),
        guardrails=tuple(parse_guardrail(json.dumps(policy)) for policy in policies["guardrails"]),
        key_policies=() if key is None else (parse_key_policy(json.dumps(key)),),
    )
    reached = reach(documents)
    for _ in range(10):
        request = generate.request(random)
        question = Question(
            **{name: value for name, value in request.items() if name != "context"},
            identity_policy=held[0] if held else Document(),
            more_identity_policies=tuple(held[1:]),
            key_policy=documents.key_policies[0] if documents.key_policies else None,
            boundary=documents.boundary,
            session_policies=documents.sessions,
            guardrails=documents.guardrails,
            context=folded(request["context"]),
        )
        assert not decide(question).allowed or request["action"] in reached
