"""From what the store says to a decision: random accounts, against plain loops over the same rows.

`keystead.core.policy.decide` is compared with its specification elsewhere. Here it is what is asked: whether the gate
and the desk put together all that the store has about somebody, and see each change of it, though they remember the
rest. And it is what comes after that: grants, which the gate and the desk each look for in their own way.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Final, NamedTuple

import pytest

from keystead.core.declaration import Declaration, Kind
from keystead.core.grant import Grant
from keystead.core.key import Key
from keystead.core.names import KeyReference
from keystead.core.policy import builtin
from keystead.core.ports import Transaction
from keystead.core.principal import INSTALLATION, AccessKey, Principal, Session, policy_arn, secret_binding
from keystead.crypto.secret import Secret
from keystead.service import granttoken
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.entry import OK, Entry
from keystead.service.workingset import HeldCredential, NotLoaded, Presented
from keystead.testing.installation import REGION
from keystead.testing.service import ServiceBench

pytestmark = pytest.mark.usefixtures("untraced")


def of_core(name: str) -> ModuleType:
    """A module beside the policy's own tests: test folders are not packages."""
    path = Path(__file__).parents[1] / "core" / "policy" / f"{name}.py"
    found = util.spec_from_file_location(f"stored_{name}", path)
    assert found is not None
    assert found.loader is not None
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


spec, generate = of_core("spec"), of_core("generate")
HERE, THERE, OTHER = generate.HERE, generate.THERE, "777788889999"
NOTHING: dict[str, Any] = {"Statement": []}
NAMES = ("p0", "p1", "p2", "p3")  # of policies, which need not be there
GROUPS = ("g0", "g1", "g2")
BUILT_IN = (builtin.KEY_USER, builtin.AUDITOR)
STEPS = 15
ACCESS_KEY = "ASIAIOSFODNN7EXAMPLE"
OPERATIONS = (  # that grants are for; all of them are asked for here
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
)
GRANTEES = (
    generate.ALICE,
    generate.CAROL,
    generate.ROLE,
    generate.SESSION,
    generate.SESSION.replace("/one", "/two"),
    generate.ROOT,
    generate.ROOT_THERE,
)
CONTEXTS: tuple[dict[str, str], ...] = (  # of requests, and what grants demand of them
    {"app": "a"},
    {"app": "payroll"},
    {"app": "A"},
    {"App": "a"},
    {"stage": "b"},
    {"app": "a", "stage": "b"},
    {"app": "a", "App": "payroll"},
)
ELSEWHERE = "eu-west-1"
MARKER_KEY: Final = b"marker"  # of an `Installation`
OUTCOMES = (
    OK,
    "DryRun",
    "InvalidArn",
)  # the last of a grant to a user who does not exist, once it is decided
REFUSALS = ("AccessDenied", "InvalidGrantToken")


class Asked(NamedTuple):
    """A request that was decided: the actions that it took, each with its encryption context, until one was denied."""

    entry: Entry
    actions: tuple[tuple[str, dict[str, str]], ...]
    tokens: tuple[str, ...] = ()
    wanted: dict[str, Any] | None = None  # the grant that is to be made
    retired: str = ""  # the id of the grant that is to be retired


class World:
    """Rows that were drawn at random, in the store and as plain values beside it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.bench = ServiceBench()
        self.key = self.bench.key()
        self.other_key = self.bench.key()
        with self.write() as tx:
            key: Key = tx.key(REGION, self.key.name)
            tx.put_key(replace(key, region=ELSEWHERE))
        self.arn, self.account, self.role = random.choice(
            [each for each in generate.CALLERS if each[0] != generate.ROOT]
        )
        self.principal = self.role or self.arn
        self.kind = "role" if self.role else "user"
        self.policies: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self.guardrails: dict[tuple[str, str], Any] = {}
        self.grants: dict[str, dict[str, Any]] = {}  # that there are, by id
        self.issued: dict[str, str] = {}  # token: the id of the grant, which may be gone
        self.key_policy: Any = None
        self.own: dict[str, Any] = {}
        self.presented = self.session()
        for name in NAMES:
            self.draw_policy(name)
        for group in GROUPS:
            self.draw_group(group)
        self.draw_key_policy()
        self.draw_principal()
        self.draw_guardrail()
        for _ in range(random.choice((1, 2, 3, 4))):
            self.draw_grant()
        self.make_access_key()

    # --- rows ---

    def document(self, **of: Any) -> Any:
        """A policy that may be about the key there is."""
        text = json.dumps(generate.document(self.random, **of))
        name = self.key.name
        return json.loads(text.replace("1234abcd", name).replace("key/1234????", f"key/{name[:-4]}????"))

    def maybe(self, chance: float) -> Any:
        """A policy, or none."""
        return self.document() if self.random.random() < chance else None

    def some_names(self) -> list[str]:
        """Policies to attach, of the account's and the built-in ones."""
        named = [policy_arn(self.account, name) for name in NAMES]
        return self.random.sample([*named, *BUILT_IN], self.random.choice((0, 1, 1, 2)))

    def session(self) -> Presented | None:
        """The caller's session, of a role."""
        if not self.role:
            return None
        now = self.bench.house.clock.now()
        self.limits = [self.document() for _ in range(self.random.choice((0, 0, 1)))]
        self.named_limits = self.some_names() if self.random.random() < 0.4 else []
        session = Session(
            access_key=ACCESS_KEY,
            arn=self.arn,
            principal=self.role,
            user_id="AROA:one",
            issued=now,
            expires=now + 900,
            policies=tuple(map(json.dumps, self.limits)),
            attached=tuple(self.named_limits),
        )
        return Presented(session, Secret(b"s" * 40), Secret(b"token"))

    def write(self) -> Any:
        """A transaction of another process."""
        return self.bench.house.store.transact(f"t-{self.random.random()}")

    def declare(self, tx: Transaction, account: str, kind: Kind, name: str, document: Any) -> None:
        """Keep a declaration, or remove it."""
        if document is None:
            tx.delete_declaration(account, kind, name)
            return
        text = json.dumps(document)
        tx.put_declaration(
            Declaration(account=account, kind=kind, name=name, text=text, created=1.0, updated=1.0)
        )

    # --- changes ---

    def draw_policy(self, name: str) -> None:
        """A policy is made, changed or removed."""
        self.policies[name] = self.maybe(0.7)
        with self.write() as tx:
            self.declare(tx, self.account, Kind.POLICY, name, self.policies[name])
            self.declare(
                tx, OTHER, Kind.POLICY, name, self.document()
            )  # one of the same name is nobody's here

    def draw_group(self, name: str) -> None:
        """A group is made, changed, disabled or removed."""
        arn = f"arn:aws:iam::{self.account}:group/{name}"
        group = self.groups[name] = {
            "policy": self.maybe(0.7),
            "attached": self.some_names(),
            "enabled": self.random.random() < 0.8,
            "there": self.random.random() < 0.8,
        }
        with self.write() as tx:
            if not group["there"]:
                tx.delete_principal(arn)
                return
            tx.put_principal(
                Principal(
                    arn=arn,
                    account=self.account,
                    name=name,
                    created=1.0,
                    policy=json.dumps(group["policy"]) if group["policy"] else "",
                    attached=tuple(group["attached"]),
                    enabled=group["enabled"],
                )
            )

    def draw_guardrail(self) -> None:
        """A guardrail is put somewhere, also where it limits others."""
        scope = self.random.choice((INSTALLATION, self.account, OTHER))
        name = self.random.choice(("a", "b"))
        document = self.document(effect="Deny") if self.random.random() < 0.5 else None
        self.guardrails[scope, name] = document
        with self.write() as tx:
            self.declare(tx, scope, Kind.GUARDRAIL, name, document)

    def draw_key_policy(self) -> None:
        """The key gets another policy."""
        self.key_policy = self.document(of_key=True)
        with self.write() as tx:
            key: Key = tx.key(REGION, self.key.name)
            tx.put_key(replace(key, policy=json.dumps(self.key_policy)))

    def draw_principal(self) -> None:
        """The caller gets other policies, groups, another boundary, other tags."""
        own = self.own = {
            "policy": self.maybe(0.6),
            "attached": self.some_names(),
            "groups": [] if self.role else self.random.sample(GROUPS, self.random.choice((0, 1, 2, 3))),
            "boundary": self.random.choice((*NAMES, "", "", "", "")),
            "team": self.random.choice(("", self.key.name, "ali")),
        }
        with self.write() as tx:
            tx.put_principal(
                Principal(
                    arn=self.principal,
                    account=self.account,
                    name=self.principal.rpartition("/")[2],
                    created=1.0,
                    policy=json.dumps(own["policy"]) if own["policy"] else "",
                    attached=tuple(own["attached"]),
                    groups=tuple(f"arn:aws:iam::{self.account}:group/{name}" for name in own["groups"]),
                    boundary=policy_arn(self.account, own["boundary"]) if own["boundary"] else "",
                    tags=(("team", own["team"]),) if own["team"] else (),
                )
            )

    def some_grant(self) -> dict[str, Any]:
        """A grant on the key, as the specification takes it; the caller has it more often than not."""
        random = self.random
        mine = (self.principal, self.arn, f"arn:aws:iam::{self.account}:root")

        def somebody() -> Any:
            return random.choice(mine if random.random() < 0.7 else GRANTEES)

        constraint = random.choice(("equals", "subset", "subset", "", "", ""))
        operations = random.sample(OPERATIONS, random.randint(1, 6))
        if constraint and not set(operations) & set(spec.CRYPTOGRAPHIC):
            operations.append("Encrypt")
        return {
            "id": f"{random.getrandbits(256):064x}",
            "key": f"arn:aws:kms:{REGION}:{HERE}:key/{self.key.name}",
            "grantee": somebody(),
            "retiring": somebody() if random.random() < 0.3 else "",
            "issuer": generate.ROOT,
            "operations": operations,
            "equals": random.choice(CONTEXTS) if constraint == "equals" else {},
            "subset": random.choice(CONTEXTS) if constraint == "subset" else {},
            "resource": f"arn:aws:s3:{REGION}:{HERE}:bucket" if random.random() < 0.05 else "",
        }

    def draw_grant(self) -> None:
        """A grant is made, now and then on another key: one of the same id in another Region, or one beside it."""
        grant = self.some_grant()
        here, beside = (REGION, self.key.name), (REGION, self.other_key.name)
        region, key_id = self.random.choice((*(here,) * 18, beside, (ELSEWHERE, self.key.name)))
        grant["key"] = f"arn:aws:kms:{region}:{HERE}:key/{key_id}"
        self.grants[grant["id"]] = grant
        named = granttoken.Named(region, key_id, grant["id"])
        self.issued[granttoken.make(MARKER_KEY, named, self.random.randbytes(8))] = grant["id"]
        with self.write() as tx:
            tx.put_grant(
                Grant(
                    id=grant["id"],
                    region=region,
                    key_id=key_id,
                    grantee=grant["grantee"],
                    operations=tuple(grant["operations"]),
                    issuer=grant["issuer"],
                    created=1.0,
                    retiring=grant["retiring"],
                    context_equals=grant["equals"],
                    context_subset=grant["subset"],
                    source_arn=grant["resource"],
                )
            )

    def end_grant(self) -> None:
        """A grant is retired or revoked."""
        if self.grants:
            grant = self.grants.pop(self.random.choice(list(self.grants)))
            region, _, resource = grant["key"].split(":", 3)[3].split(":")
            with self.write() as tx:
                tx.delete_grant(region, resource.removeprefix("key/"), grant["id"])

    def make_access_key(self) -> None:
        """What the caller signs with, if it is no session."""
        custodian = self.bench.house.custodian
        with self.write() as tx:
            if not custodian.knows(self.account):
                wrapped = custodian.enroll(self.account)
                custodian.admit(self.account, wrapped)
                tx.put_account_key(self.account, wrapped)
            protected = custodian.protect(self.account, b"s" * 40, secret_binding(ACCESS_KEY))
            tx.put_access_key(
                AccessKey(id=ACCESS_KEY, principal=self.principal, protected=protected, created=1.0)
            )

    def change(self) -> None:
        """Something is changed, more often than not something that the caller has."""
        attached = [*self.own["attached"], *(self.named_limits if self.role else ())]
        for group in self.own["groups"]:
            attached += self.groups[group]["attached"]
        mine = [arn.rpartition("/")[2] for arn in attached if arn not in BUILT_IN] or list(NAMES)
        self.random.choice(
            (
                lambda: self.draw_policy(self.random.choice(mine)),
                lambda: self.draw_policy(self.random.choice(NAMES)),
                lambda: self.draw_group(self.random.choice(self.own["groups"] or GROUPS)),
                lambda: self.draw_group(self.random.choice(self.own["groups"] or GROUPS)),
                self.draw_guardrail,
                self.draw_key_policy,
                self.draw_principal,
                self.draw_grant,
                self.draw_grant,
                self.end_grant,
                self.end_grant,
            )
        )()

    # --- what the rows say, plainly ---

    def named(self, arns: list[str]) -> list[Any]:
        """The policies of these ARNs; one that is not there says nothing."""
        found = []
        for arn in arns:
            if arn in builtin.BUILT_IN:
                found.append(json.loads(builtin.BUILT_IN[arn].text))
            else:
                found.append(self.policies[arn.rpartition("/")[2]] or NOTHING)
        return found

    def question(self, action: str, context: dict[str, Any]) -> dict[str, Any]:
        """The question as the specification takes it."""
        own = self.own
        identity = [own["policy"] or NOTHING, *self.named(own["attached"])]
        for name in own["groups"]:
            group = self.groups[name]
            if group["there"] and group["enabled"]:
                identity += [group["policy"] or NOTHING, *self.named(group["attached"])]
        limits = [*self.limits, *self.named(self.named_limits)] if self.role else []
        rails = [
            d for (scope, _), d in self.guardrails.items() if d and scope in (INSTALLATION, self.account)
        ]
        return {
            "principal": self.arn,
            "account": self.account,
            "session_of": self.role,
            "action": action,
            "resource": f"arn:aws:kms:{REGION}:{HERE}:key/{self.key.name}",
            "key_account": HERE,
            "context": context,
            "key": self.key_policy,
            "identity": identity,
            "boundary": (self.policies[own["boundary"]] or NOTHING) if own["boundary"] else None,
            "session": limits,
            "guardrails": rails,
        }

    # --- asking ---

    def credential(self) -> HeldCredential:
        """The caller's credential as this process holds it."""
        working = self.bench.gate.working
        for _ in range(2):
            try:
                held = working.session(ACCESS_KEY) if self.role else working.credential(ACCESS_KEY)
            except NotLoaded as missing:
                working.admit(working.load(replace(missing.wanted, presented=self.presented)))
            else:
                assert held is not None
                return held
        raise LookupError(ACCESS_KEY)

    def some_tokens(self) -> tuple[str, ...]:
        """Grant tokens: of grants that are there or were, whoever has them, and sometimes one that nobody was given."""
        if self.random.random() < 0.7:
            return ()
        found = self.random.sample(list(self.issued), 1)
        if self.random.random() < 0.15:
            named = granttoken.Named(REGION, self.key.name, self.random.choice(list(self.issued.values())))
            found.append(granttoken.make(b"another", named, bytes(8)))
        return tuple(found)

    def some_wanted(self) -> dict[str, Any]:
        """A grant to be made; often one that there is with something changed, perhaps to give more."""
        wanted = self.some_grant()
        if self.grants and self.random.random() < 0.7:
            like = self.random.choice(list(self.grants.values()))
            few = self.random.randint(1, len(like["operations"]))
            wanted["operations"] = self.random.sample(like["operations"], few)
            if self.random.random() < 0.5 or not set(wanted["operations"]) & set(spec.CRYPTOGRAPHIC):
                wanted.update(equals={}, subset={})
            if self.random.random() < 0.7 and set(wanted["operations"]) & set(spec.CRYPTOGRAPHIC):
                wanted.update(equals=like["equals"], subset=like["subset"])
        return wanted

    def asked(self, source: str, *, secure: bool) -> Iterator[Asked]:
        """What is decided at the gate, twice, and at the desk."""
        gate, random = self.bench.gate, self.random
        gate.working.catch_up()
        reference = KeyReference(self.key.name, account=HERE, region=REGION)
        held = self.credential()

        def caller() -> Caller:
            request = f"r-{random.random()}"
            return Caller(held.identity, request, REGION, access_key=ACCESS_KEY, source=source, secure=secure)

        def context() -> dict[str, str]:
            return random.choice(({}, *CONTEXTS))

        given, before, tokens = context(), context(), self.some_tokens()
        hot: tuple[tuple[Command, tuple[tuple[str, dict[str, str]], ...]], ...] = (
            (c.Encrypt(reference, b"x", given, tokens=tokens), (("kms:Encrypt", given),)),
            (
                c.Decrypt(None, reference, given, dry_run=True, tokens=tokens),
                (("kms:Decrypt", given),),
            ),
            (c.GenerateDataKey(reference, 32, given, tokens=tokens), (("kms:GenerateDataKey", given),)),
            (
                c.ReEncrypt(None, reference, reference, given, before, dry_run=True, tokens=tokens),
                (("kms:ReEncryptFrom", before), ("kms:ReEncryptTo", given)),
            ),
        )
        for command, actions in random.sample(hot, 2):
            for _ in range(2):
                yield Asked(self.bench.handle(caller(), command).entry, actions, tokens)

        tokens = self.some_tokens()
        describe = c.DescribeKey(reference, tokens=tokens)
        yield Asked(gate.perform(caller(), describe).entry, (("kms:DescribeKey", {}),), tokens)

        wanted, tokens = self.some_wanted(), self.some_tokens()
        create = c.CreateGrant(
            key=reference,
            grantee=wanted["grantee"],
            operations=tuple(wanted["operations"]),
            context_equals=wanted["equals"],
            context_subset=wanted["subset"],
            retiring=wanted["retiring"],
            tokens=tokens,
            dry_run=True,
        )
        yield Asked(gate.perform(caller(), create).entry, (("kms:CreateGrant", {}),), tokens, wanted)

        there = [
            grant["id"] for grant in self.grants.values() if grant["key"].endswith(f":key/{self.key.name}")
        ]
        there = [name for name in there if f":{REGION}:" in self.grants[name]["key"]]
        if there:
            retired = random.choice(there)
            by_token = next(token for token, name in self.issued.items() if name == retired)
            retire = random.choice(
                (
                    c.RetireGrant(token=by_token, dry_run=True),
                    c.RetireGrant(key=reference, grant_id=retired, dry_run=True),
                )
            )
            entry = gate.perform(caller(), retire).entry
            yield Asked(entry, (("kms:RetireGrant", {}),), retired=retired)

    def expected(self, asked: Asked, values: dict[str, Any]) -> tuple[bool, str, list[str]]:
        """What the specification says about all of it: the last action, or the first that is denied."""
        found: tuple[bool, str, list[str]] = False, "", []
        for action, given in asked.actions:
            constraint = self.grants[asked.retired] if asked.retired else asked.wanted or {}
            pairs = given or constraint.get("equals") or constraint.get("subset") or {}
            of_context = {f"kms:EncryptionContext:{name}": value for name, value in pairs.items()}
            question = {
                **self.question(action, {**values, **of_context}),
                "given": given,
                "grants": list(self.grants.values()),
                "tokens": asked.tokens,
                "issued": self.issued,
                "wanted": asked.wanted,
            }
            if asked.retired:
                found = spec.may_retire(question, self.grants[asked.retired])
            else:
                found = spec.decided_with_grants(question)
            if not found[0]:
                break
        return found


def compare(cases: int, seed: int) -> None:
    """Ask about so many requests, of as many worlds as it takes."""
    decided: Counter[str] = Counter()
    while decided.total() < cases:
        seed += 1
        random = Random(seed)  # noqa: S311 - cases that can be had again, not secrets
        world = World(random)
        for step in range(STEPS):
            source, secure = random.choice(("203.0.113.5", "198.51.100.1")), random.random() < 0.5
            for asked in world.asked(source, secure=secure):
                entry = asked.entry
                values = {
                    "aws:PrincipalArn": world.principal,
                    "aws:SourceIp": source,
                    "aws:SecureTransport": "true" if secure else "false",
                    "aws:CurrentTime": datetime.fromtimestamp(entry.time // 1_000_000, UTC).strftime(
                        "%Y-%m-%dT%H:%M:%SZ"
                    ),
                }
                if world.own["team"]:
                    values["aws:PrincipalTag/team"] = world.own["team"]
                if not world.role:
                    values["aws:username"] = world.principal.rpartition("/")[2]
                allowed, kind, grants = world.expected(asked, values)
                found = entry.decision == "Allow", entry.decided_by
                assert found == (allowed, kind), (seed, step, asked)
                if kind == "grant":
                    assert entry.statement in grants, (seed, step, asked)
                assert entry.outcome in (OUTCOMES if allowed else REFUSALS), (seed, step, asked)
                if not kind:
                    assert entry.outcome == "InvalidGrantToken", (seed, step, asked)
                decided[kind] += 1
            world.change()
    # If grants hardly ever decided, the rest would agree without meaning anything for them.
    assert decided["grant"] > cases / 20, decided
    assert decided["none"] > cases / 20, decided


@pytest.mark.parametrize("part", range(4))
def test_gate_and_desk_ask_with_all_that_the_store_says(part: int) -> None:
    """After each of many changes, by somebody whose credential and earlier decisions are remembered."""
    compare(1_500, int(os.environ.get("KEYSTEAD_SEED", "20260131")) + 1000 * part)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_gate_and_desk_agree_with_the_rows_a_hundred_thousand_times(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    """The same, for minutes and with new rows each time; the seed is told with a disagreement."""
    seed = int(os.environ.get("KEYSTEAD_SEED", "0")) or int.from_bytes(os.urandom(4))
    record_property("seed", seed)
    compare(12_500, seed + 100_000 * part)
