"""Measure what a decision by policy costs: `python tools/policy_speed.py`.

Each policy has twenty statements. The values for their conditions come from a mapping or, in the lines that say
"request", from the `Circumstances` of a request, which are made anew for each decision as the gate makes them. The
best of many short loops and their median are shown, in CPU time, so that what else the machine does counts little.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from itertools import cycle, islice
from statistics import median
from typing import Any, Final, NamedTuple

from keystead.core.key import Key, Origin, State
from keystead.core.policy import Question, decide, default_key_policy, parse_identity_policy, parse_key_policy
from keystead.core.policy.wildcards import Value
from keystead.service.caller import Caller, Identity
from keystead.service.circumstances import Circumstances
from keystead.service.entry import Entry

ACCOUNT: Final = "111122223333"
BEFORE_KEY: Final = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/"
KEY: Final = f"{BEFORE_KEY}1234abcd"
ME: Final = f"arn:aws:iam::{ACCOUNT}:user/app"
STATEMENTS, LOOPS, ROUNDS = 20, 500, 80
CONDITIONS: Final = {
    "StringEquals": {"kms:EncryptionContext:app": "payroll"},
    "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
}
CONTEXT: Final = {"app": "payroll", "owner": "app"}
TAGS: Final = tuple((f"t{number}", "yes") for number in range(STATEMENTS))
VALUES: Final[Mapping[str, Value]] = {
    "kms:encryptioncontext:app": "payroll",
    "kms:encryptioncontext:owner": "app",
    "aws:sourceip": "203.0.113.5",
    "aws:principalarn": ME,
    "aws:username": "app",
    "aws:principaltag/team": "1234",
    **{f"aws:resourcetag/{name}": value for name, value in TAGS},
}


class Case(NamedTuple):
    """Questions that are asked by turns, and how each is decided."""

    questions: Sequence[Question]
    explanation: str


def twenty(last: dict[str, Any], **others: Any) -> str:  # noqa: ANN401 - members of a JSON object
    """A policy of twenty statements; ``{}`` in the others' texts is their number. The last one decides."""
    common = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    text = json.dumps({**common, **others})
    statements = [json.loads(text.replace("{}", str(number))) for number in range(STATEMENTS - 1)]
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements, {**common, **last}]})


def question(key_policy: str, identity_policy: str = "") -> Question:
    """May the application decrypt?"""
    return Question(
        principal=ME,
        account=ACCOUNT,
        identity_policy=parse_identity_policy(identity_policy),
        action="kms:Decrypt",
        resource=KEY,
        key_policy=parse_key_policy(key_policy),
        key_account=ACCOUNT,
        context=VALUES,
    )


def about(asked: Question, resource: str, values: Mapping[str, Value] = VALUES) -> Question:
    """The same question about another key, or with other values."""
    return Question(
        principal=asked.principal,
        account=asked.account,
        identity_policy=asked.identity_policy,
        action=asked.action,
        resource=resource,
        key_policy=asked.key_policy,
        key_account=asked.key_account,
        context=values,
    )


def requested(asked: Question) -> Question:
    """The same question by a request."""
    identity = Identity(ME, ACCOUNT, asked.identity_policy, tags=(("team", "1234"),))
    caller = Caller(identity, "r", "eu-central-1", source="203.0.113.5")
    entry = Entry(time=1_769_846_401_500_000)
    key = Key(
        id="1234abcd",
        account=ACCOUNT,
        region="eu-central-1",
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        state=State.ENABLED,
        created=0,
        policy="",
        origin=Origin.AWS_KMS,
    )
    again = about(asked, asked.resource)
    again.context = lambda: Circumstances(
        caller=caller,
        entry=entry,
        action="kms:Decrypt",
        key=key,
        context=CONTEXT,
        tags=lambda: TAGS,
        aliases=tuple,
    )
    return again


ROOT, OTHER = default_key_policy(ACCOUNT), f"arn:aws:iam::{ACCOUNT}:user/u{{}}"
MANY: Final = [f"arn:aws:iam::{ACCOUNT}:user/u{{}}-{number}" for number in range(STATEMENTS)]
MINE: Final = {"Principal": {"AWS": ME}}
BY_KEY: Final = "allowed by key-policy #19"
BY_IDENTITY: Final = "allowed by key-policy Enable IAM User Permissions, identity-policy #19"


def conditional(operator: str, key: str, others: str, last: str) -> Question:
    """Twenty statements with a condition each; that of the last one holds."""
    condition = {operator: {key.replace("{}", str(STATEMENTS - 1)): last}}
    return question(twenty({**MINE, "Condition": condition}, **MINE, Condition={operator: {key: others}}))


OTHER_WILDCARDS: Final = question(ROOT, twenty({}, Resource="arn:aws:kms:*:1:key/{}*"))
OTHER_BEGINNINGS: Final = question(ROOT, twenty({}, Resource="arn:aws:kms:eu-central-1:1:key/{}*"))
LIKE: Final = conditional("StringLike", "kms:EncryptionContext:app", "app{}-*", "pay*")
VARIABLE: Final = "${aws:username}"
FIRST_ADDRESS: Final = ip_address("203.0.0.0")
WITH_CONDITIONS: Final = {
    "two conditions": question(twenty({**MINE, "Condition": CONDITIONS}, Principal={"AWS": OTHER})),
    "20 StringEquals": conditional("StringEquals", "kms:EncryptionContext:app", "{}", "payroll"),
    "20 StringLike": LIKE,
    "20 IpAddress": conditional("IpAddress", "aws:SourceIp", "10.{}.0.0/16", "203.0.0.0/8"),
    "20 ArnLike": conditional(
        "ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/r{}-*", "arn:aws:iam::*:user/a*"
    ),
    "20 different tags": conditional("StringEquals", "aws:ResourceTag/t{}", "no", "yes"),
    "one statement with a variable": question(
        twenty(
            {**MINE, "Condition": {"StringEquals": {"kms:EncryptionContext:owner": VARIABLE}}},
            Principal={"AWS": OTHER},
        )
    ),
    "20 StringEquals with a variable": conditional(
        "StringEquals", "kms:EncryptionContext:owner", f"{VARIABLE}-{{}}", VARIABLE
    ),
    "20 StringLike with a variable": conditional(
        "StringLike", "kms:EncryptionContext:owner", f"{VARIABLE}-{{}}*", f"{VARIABLE}*"
    ),
}
RESOURCE_VARIABLES: Final = question(
    ROOT,
    twenty(
        {"Resource": f"{BEFORE_KEY}${{aws:PrincipalTag/team}}*"},
        Resource=f"{BEFORE_KEY}${{aws:PrincipalTag/team}}-{{}}*",
    ),
)


def by_turns(asked: Question, keys: int) -> Case:
    """The question about so many keys, one after another."""
    return Case([about(asked, f"{BEFORE_KEY}{number:08}") for number in range(keys)], BY_IDENTITY)


def by_values(name: str, values: Callable[[int], Mapping[str, Value]]) -> Case:
    """A question by as many requests as have other values, one after another."""
    asked = WITH_CONDITIONS[name]
    return Case([about(asked, KEY, values(number)) for number in range(100_000)], BY_KEY)


CASES: Final[Mapping[str, Case]] = {
    "key policy, others named": Case([question(twenty(MINE, Principal={"AWS": OTHER}))], BY_KEY),
    "key policy, 380 others named": Case([question(twenty(MINE, Principal={"AWS": MANY}))], BY_KEY),
    "key policy denies": Case(
        [question(twenty({"Principal": "*", "Effect": "Deny"}, Principal={"AWS": OTHER}))],
        "denied by key-policy #19",
    ),
    "key policy, nobody allows": Case(
        [question(twenty({"Principal": {"AWS": f"{ME}2"}}, Principal={"AWS": OTHER}))],
        "denied: key-policy statement #0: another principal",
    ),
    "identity policy, other actions": Case([question(ROOT, twenty({}, Action="kms:Sign{}"))], BY_IDENTITY),
    "identity policy, other keys": Case([question(ROOT, twenty({}, Resource=f"{KEY}{{}}"))], BY_IDENTITY),
    "identity policy, other wildcards": Case([OTHER_WILDCARDS], BY_IDENTITY),
    "identity policy, other wildcards, 20,000 keys": by_turns(OTHER_WILDCARDS, 20_000),
    "identity policy, other wildcards, 100,000 keys": by_turns(OTHER_WILDCARDS, 100_000),
    "identity policy, other beginnings, 100,000 keys": by_turns(OTHER_BEGINNINGS, 100_000),
    **{f"key policy, {name}": Case([asked], BY_KEY) for name, asked in WITH_CONDITIONS.items()},
    "key policy, 20 StringLike, 100,000 values": by_values(
        "20 StringLike", lambda number: {"kms:encryptioncontext:app": f"payment {number}"}
    ),
    "key policy, 20 IpAddress, 100,000 addresses": by_values(
        "20 IpAddress", lambda number: {"aws:sourceip": str(FIRST_ADDRESS + number)}
    ),
    "key policy, 20 ArnLike, 100,000 principals": by_values(
        "20 ArnLike", lambda number: {"aws:principalarn": f"{ME}{number}"}
    ),
    "key policy, 20 StringLike with a variable, 100,000 users": by_values(
        "20 StringLike with a variable",
        lambda number: {"aws:username": f"u{number}", "kms:encryptioncontext:owner": f"u{number}"},
    ),
    "identity policy, 20 resources with a variable": Case([RESOURCE_VARIABLES], BY_IDENTITY),
    **{
        f"key policy, {name}, request": Case([requested(asked)], BY_KEY)
        for name, asked in WITH_CONDITIONS.items()
    },
    "identity policy, 20 resources with a variable, request": Case(
        [requested(RESOURCE_VARIABLES)], BY_IDENTITY
    ),
}


def main(loops: int = LOOPS, rounds: int = ROUNDS) -> None:
    """Print a line for each case: the best and the median of the loops, and how the last question is decided."""
    for name, case in CASES.items():
        by_turns = cycle(case.questions)
        took = []
        for _ in range(max(rounds, 2 * len(case.questions) // loops)):
            asked = list(islice(by_turns, loops))
            start = time.thread_time()
            for each in asked:
                decide(each)
            took.append((time.thread_time() - start) / loops * 1e6)
        # The first time nothing is known yet, and so it is with every loop of the first turn.
        later = took[len(took) // 2 :]
        print(f"{min(later):6.2f} {median(later):6.2f} us  {name}: {decide(case.questions[-1]).explain()}")


if __name__ == "__main__":
    main()
