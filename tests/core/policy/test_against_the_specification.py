"""The compiled evaluator against the plain specification, on many random policies and questions."""

import json
import os
from collections.abc import Callable
from importlib import util
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from keystead.core.policy import (
    Question,
    decide,
    folded,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
)

pytestmark = pytest.mark.usefixtures("untraced")


def beside(name: str) -> ModuleType:
    """A module from the file beside this one: test folders are not packages."""
    found = util.spec_from_file_location(f"policy_{name}", Path(__file__).with_name(f"{name}.py"))
    assert found is not None
    assert found.loader is not None
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


spec, generate = beside("spec"), beside("generate")
QUESTIONS = 40  # about the same policies, since to parse them takes longest


def parsed(policies: dict[str, Any]) -> dict[str, Any]:
    """The members of a `Question` that are policies."""
    first, *others = [parse_identity_policy(json.dumps(p)) for p in policies["identity"]] or [
        parse_identity_policy("")
    ]
    boundary, key = policies["boundary"], policies["key"]
    return {
        "identity_policy": first,
        "more_identity_policies": tuple(others),
        "key_policy": None if key is None else parse_key_policy(json.dumps(key)),
        "boundary": None if boundary is None else parse_identity_policy(json.dumps(boundary)),
        "session_policies": tuple(parse_identity_policy(json.dumps(p)) for p in policies["session"]),
        "guardrails": tuple(parse_guardrail(json.dumps(p)) for p in policies["guardrails"]),
    }


def asked(request: dict[str, Any], documents: dict[str, Any]) -> Question:
    """The compiled side's form of a question."""
    members = {name: value for name, value in request.items() if name != "context"}
    return Question(**members, **documents, context=folded(request["context"]))


def differs(request: dict[str, Any], policies: dict[str, Any], documents: dict[str, Any]) -> bool:
    """Whether the two sides disagree, or the compiled one is not consistent with itself."""
    question = asked(request, documents)
    ruling = decide(question)
    if (ruling.allowed, ruling.source) != spec.decided({**request, **policies}):
        return True
    if ruling.cacheable:  # then nothing in the request's values matters
        question.context = None
        if decide(question) != ruling:
            return True
    # What was missing is told of denials by silence, and only of them.
    return (ruling.missing is None) is not (ruling.allowed or bool(ruling.statement))


def compare(cases: int, seed: int) -> None:
    """Ask so many questions; a disagreement is made small and shown."""
    random = Random(seed)  # noqa: S311 - cases that can be had again, not secrets
    allowed = 0
    for _ in range(cases // QUESTIONS):
        policies = generate.policies(random)
        documents = parsed(policies)
        for _ in range(QUESTIONS):
            request = generate.request(random)
            allowed += decide(asked(request, documents)).allowed
            if differs(request, policies, documents):

                def fails(case: dict[str, Any]) -> bool:
                    return differs(case["request"], case["policies"], parsed(case["policies"]))

                case = generate.shrink({"request": request, "policies": policies}, fails)
                ruling = decide(asked(case["request"], parsed(case["policies"])))
                expected = spec.decided({**case["request"], **case["policies"]})
                pytest.fail(
                    f"seed {seed}\n{json.dumps(case, indent=1)}\n{ruling}\nthe specification says {expected}"
                )
    # Policies that deny everything would agree without meaning anything.
    assert 0.1 < allowed / cases < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_random_policies_mean_what_the_plain_specification_says(seed: int) -> None:
    """100,000 random questions have the answers that plain loops come to."""
    compare(25_000, int(os.environ.get("KEYSTEAD_SEED", "20260131")) + seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_a_million_random_policies_mean_what_the_plain_specification_says(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    """The same, for minutes and with new policies each time; the seed is told with a disagreement."""
    seed = int(os.environ.get("KEYSTEAD_SEED", "0")) or int.from_bytes(os.urandom(4))
    record_property("seed", seed)
    compare(125_000, seed + part)


def test_a_disagreement_is_made_small() -> None:
    """Whatever is not needed for a disagreement is left out of what is shown."""
    random = Random(5)  # noqa: S311 - a case like any other
    policies = generate.policies(random)
    while policies["key"] is None or "Deny" not in json.dumps(policies["key"]):
        policies = generate.policies(random)

    def fails(case: dict[str, Any]) -> bool:
        return any(s["Effect"] == "Deny" for s in spec.listed(case["policies"]["key"]["Statement"]))

    case = generate.shrink({"request": generate.request(random), "policies": policies}, fails)
    left = case["policies"]["key"]["Statement"]
    assert case == {"policies": {"key": {"Statement": left}}}
    assert spec.listed(left) == [{"Effect": "Deny"}]
