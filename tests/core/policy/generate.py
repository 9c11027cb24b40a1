"""Random policies and questions, made so that matches are frequent, and a way to make a finding small."""

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

HERE, THERE = "111122223333", "444455556666"
ROOT, ROOT_THERE = f"arn:aws:iam::{HERE}:root", f"arn:aws:iam::{THERE}:root"
ALICE, CAROL = f"arn:aws:iam::{HERE}:user/alice", f"arn:aws:iam::{THERE}:user/carol"
ROLE = f"arn:aws:iam::{HERE}:role/app"
SESSION = f"arn:aws:sts::{HERE}:assumed-role/app/one"
CALLERS = [(ALICE, HERE, ""), (CAROL, THERE, ""), (SESSION, HERE, ROLE), (ROOT, HERE, "")]
KEY = f"arn:aws:kms:eu-central-1:{HERE}:key/1234abcd"
ALIAS = f"arn:aws:kms:eu-central-1:{HERE}:alias/alice"
ACTIONS = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom"]
ACTION_TEXTS = [*ACTIONS, "*", "kms:*", "KMS:?ncrypt", "*crypt*", "kms:*crypt", "kms:Sign"]
RESOURCE_TEXTS = [
    "*",
    "*",
    KEY,
    ALIAS,
    f"{KEY[:-4]}????",
    f"arn:aws:kms:*:{HERE}:key/*",
    f"arn:aws:kms:eu-central-1:{HERE}:alias/${{aws:username}}",
    f"arn:aws:kms:eu-central-1:{HERE}:key/${{aws:PrincipalTag/team, '1234abcd'}}",
    f"arn:aws:kms:eu-central-1:{HERE}:*/${{aws:PrincipalTag/team}}*",
]
WHO = [ALICE, CAROL, ROLE, SESSION, ROOT, HERE, THERE, ROOT_THERE, "*"]

STRINGS = [
    "a",
    "b",
    "B",
    "a*",
    "?",
    "",
    "payroll",
    "${aws:username}",
    "${aws:username, 'a'}*",
    "x${*}y",
    "ali*",
    "*",
]
NUMBERS = ["1", "1.0", "7", "30", "-2", 7, 30.5, "0800"]
DATES = ["2026-01-31T08:00:00Z", "2026-01-31", "2026", "2026-01", "1769846400", "2026-01-31T09:00+01:00"]
ARNS = [
    ALICE,
    ROLE,
    f"arn:aws:iam::{HERE}:user/*",
    "arn:aws:iam::*:*",
    "arn:*:*:*:*:*",
    f"arn:aws:iam::{HERE}:user/${{aws:username}}",
    "${aws:PrincipalArn}",
    f"arn:aws:s*:{HERE}:user/alice:",
]
NETWORKS = ["203.0.113.0/24", "203.0.113.5", "2001:db8::/32", "0.0.0.0/0"]
BINARIES = ["YQ==", "cGF5cm9sbA=="]
BOOLS = ["true", "false", True, False, "TRUE"]

OPERATORS: dict[str, list[Any]] = {
    **dict.fromkeys(("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"), STRINGS),
    **dict.fromkeys(("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"), STRINGS),
    **{
        f"{kind}{how}": values
        for kind, values in (("Numeric", NUMBERS), ("Date", DATES))
        for how in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    },
    "Bool": BOOLS,
    "BinaryEquals": BINARIES,
    **dict.fromkeys(("IpAddress", "NotIpAddress"), NETWORKS),
    **dict.fromkeys(("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"), ARNS),
}
KEYS = [
    "kms:EncryptionContext:app",
    "kms:encryptioncontext:APP",
    "aws:username",
    "aws:TagKeys",
    "aws:PrincipalArn",
    "aws:SourceIp",
    "aws:CurrentTime",
    "kms:RotationPeriodInDays",
    "aws:SecureTransport",
]
CONTEXTS: dict[str, list[Any]] = {
    "kms:EncryptionContext:app": ["a", "b", "payroll", "", "A*", "alice", ("a", "payroll"), ("", "b")],
    "aws:username": ["alice", "a", "x*y"],
    "aws:TagKeys": [(), ("a",), ("a", "b"), ("B",), ("",), "a"],
    "aws:PrincipalArn": [ALICE, ROLE, CAROL, "no:arn", f"{ALICE}:more"],
    "aws:SourceIp": ["203.0.113.5", "::ffff:203.0.113.5", "198.51.100.1", "2001:db8::1", "nowhere"],
    "aws:CurrentTime": ["2026-01-31T08:00:00Z", "2026-01-31T07:59:59.5Z", "2025-12-31T23:59:59Z", "later"],
    "kms:RotationPeriodInDays": ["7", "30", "365", "1e3", "0800"],
    "aws:SecureTransport": ["true", "false"],
    "aws:PrincipalTag/team": ["1234abcd", "ali", "*"],
}


def some(random: Random, values: list[Any]) -> Any:
    """One of the values, or a list of a few."""
    if random.random() < 0.6:
        return random.choice(values)
    return random.sample(values, random.randint(1, min(3, len(values))))


def condition(random: Random) -> dict[str, Any]:
    """A few operators with a key or two each."""
    found: dict[str, Any] = {}
    for _ in range(random.choice((1, 1, 2))):
        if random.random() < 0.1:
            found["Null"] = {random.choice(KEYS): random.choice(BOOLS)}
            continue
        name = random.choice(list(OPERATORS))
        values = OPERATORS[name]
        whole = random.choice(("", "", "", "ForAllValues:", "ForAnyValue:")) + name
        whole += random.choice(("", "", "IfExists"))
        found.setdefault(whole, {})[random.choice(KEYS)] = some(random, values)
    return found


def statement(random: Random, *, of_key: bool = False, effect: str = "") -> dict[str, Any]:
    """A statement that matches more often than not."""
    found: dict[str, Any] = {"Effect": effect or random.choice(("Allow",) * 6 + ("Deny",))}
    if random.random() < 0.1:
        found["NotAction"] = some(random, ACTION_TEXTS)
    else:
        found["Action"] = "kms:*" if random.random() < 0.4 else some(random, ACTION_TEXTS)
    if random.random() < 0.1:
        found["NotResource"] = some(random, RESOURCE_TEXTS)
    else:
        found["Resource"] = "*" if random.random() < 0.4 else some(random, RESOURCE_TEXTS)
    if random.random() < 0.5:
        found["Condition"] = condition(random)
    if of_key:
        if found["Effect"] == "Deny" and random.random() < 0.3:
            found["NotPrincipal"] = {"AWS": random.sample(WHO[:-1], random.randint(2, 5))}
        elif random.random() < 0.15:
            found["Principal"] = "*"
        else:
            found["Principal"] = {"AWS": some(random, WHO)}
    return found


def document(random: Random, *, of_key: bool = False, effect: str = "") -> dict[str, Any]:
    """A policy of a few statements."""
    statements = [statement(random, of_key=of_key, effect=effect) for _ in range(random.choice((1, 2, 3, 4)))]
    found: dict[str, Any] = {"Statement": statements if random.random() < 0.9 else statements[0]}
    if random.random() < 0.85:
        found["Version"] = random.choice(("2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17"))
    if found.get("Version") != "2012-10-17":  # where it is no variable, and so no ARN
        found = json.loads(json.dumps(found).replace("${aws:PrincipalArn}", ALICE))
    return found


def policies(random: Random) -> dict[str, Any]:
    """All the policies that have a say about some questions."""

    def maybe(chance: float, **of: Any) -> dict[str, Any] | None:
        return document(random, **of) if random.random() < chance else None

    return {
        "key": maybe(0.85, of_key=True),
        "identity": [document(random) for _ in range(random.choice((0, 1, 1, 2)))],
        "boundary": maybe(0.25),
        "session": [document(random) for _ in range(random.choice((0, 0, 0, 1, 2)))],
        "guardrails": [document(random, effect="Deny") for _ in range(random.choice((0, 0, 0, 0, 1)))],
    }


def request(random: Random) -> dict[str, Any]:
    """Who asks for what, with which values."""
    principal, account, session_of = random.choice(CALLERS)
    return {
        "principal": principal,
        "account": account,
        "session_of": session_of,
        "action": random.choice(ACTIONS),
        "resource": random.choice((KEY, KEY, KEY, ALIAS, "*")),
        "key_account": random.choice((HERE, HERE, HERE, THERE)),
        "context": {
            name: random.choice(values) for name, values in CONTEXTS.items() if random.random() < 0.6
        },
    }


def smaller(value: Any) -> Iterator[Any]:
    """The same value with one thing less, at every place where something can be left out."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield {k: v for k, v in value.items() if k != name}
            for less in smaller(member):
                yield {**value, name: less}
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield value[:at] + value[at + 1 :]
            for less in smaller(member):
                yield [*value[:at], less, *value[at + 1 :]]
    elif isinstance(value, tuple) and len(value) > 1:
        yield value[:1]


def shrink(case: dict[str, Any], fails: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The smallest case that still fails; one that cannot be asked at all does not count."""

    def still(candidate: dict[str, Any]) -> bool:
        try:
            return fails(copy.deepcopy(candidate))
        except Exception:  # noqa: BLE001 - something that is needed was left out
            return False

    while True:
        for candidate in smaller(case):
            if still(candidate):
                case = candidate
                break
        else:
            return case
