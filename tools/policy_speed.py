"""Measure what a decision by policy costs: `python tools/policy_speed.py`.

The best of many short loops is shown, so that what else the machine does counts little.
"""

import json
import time
from typing import Any

from keystead.core.policy import Question, decide, default_key_policy, parse_identity_policy, parse_key_policy

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd"
ME = f"arn:aws:iam::{ACCOUNT}:user/app"
STATEMENTS, LOOPS, ROUNDS = 20, 2000, 20
CONDITIONS = {
    "StringEquals": {"kms:EncryptionContext:app": "payroll"},
    "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
}
VALUES = {"kms:encryptioncontext:app": "payroll", "aws:sourceip": "203.0.113.5"}


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


ROOT, OTHER = default_key_policy(ACCOUNT), f"arn:aws:iam::{ACCOUNT}:user/u{{}}"
MANY = [f"arn:aws:iam::{ACCOUNT}:user/u{{}}-{number}" for number in range(20)]
MINE = {"Principal": {"AWS": ME}}
CASES = {
    "key policy, others named": question(twenty(MINE, Principal={"AWS": OTHER})),
    "key policy, 380 others named": question(twenty(MINE, Principal={"AWS": MANY})),
    "key policy, two conditions": question(
        twenty({**MINE, "Condition": CONDITIONS}, Principal={"AWS": OTHER})
    ),
    "key policy, 19 conditions that fail": question(
        twenty(MINE, **MINE, Condition={"StringEquals": {"kms:EncryptionContext:app": "{}"}})
    ),
    "key policy denies": question(
        twenty({"Principal": "*", "Effect": "Deny"}, Principal={"AWS": OTHER}),
    ),
    "key policy, nobody allows": question(twenty({"Principal": {"AWS": f"{ME}2"}}, Principal={"AWS": OTHER})),
    "account, identity policy, other actions": question(ROOT, twenty({}, Action="kms:Sign{}")),
    "account, identity policy, other keys": question(ROOT, twenty({}, Resource=f"{KEY}{{}}")),
    "account, identity policy, other wildcards": question(
        ROOT, twenty({}, Resource="arn:aws:kms:*:1:key/{}*")
    ),
}


def main() -> None:
    """Print a line for each case."""
    for name, asked in CASES.items():
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(LOOPS):
                decide(asked)
            best = min(best, (time.perf_counter() - start) / LOOPS)
        print(f"{best * 1e6:5.2f} us  {name}: {decide(asked).explain()}")


if __name__ == "__main__":
    main()
