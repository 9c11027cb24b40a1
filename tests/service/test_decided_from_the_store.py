"""From what the store says to a decision: random accounts, against plain loops over the same rows.

`keystead.core.policy.decide` is compared with its specification elsewhere. Here it is what is asked: whether the gate
and the desk put together all that the store has about somebody, and see each change of it, though they remember the
rest.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from keystead.core.declaration import Declaration, Kind
from keystead.core.key import Key
from keystead.core.names import KeyReference
from keystead.core.policy import builtin
from keystead.core.ports import Transaction
from keystead.core.principal import INSTALLATION, AccessKey, Principal, Session, policy_arn, secret_binding
from keystead.crypto.secret import Secret
from keystead.service.caller import Caller
from keystead.service.commands import kms as c
from keystead.service.entry import Entry
from keystead.service.workingset import HeldCredential, NotLoaded, Presented
from keystead.testing.installation import REGION
from keystead.testing.service import ServiceBench


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


class World:
    """Rows that were drawn at random, in the store and as plain values beside it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.bench = ServiceBench()
        self.key = self.bench.key()
        self.arn, self.account, self.role = random.choice(
            [each for each in generate.CALLERS if each[0] != generate.ROOT]
        )
        self.principal = self.role or self.arn
        self.kind = "role" if self.role else "user"
        self.policies: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self.guardrails: dict[tuple[str, str], Any] = {}
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

    def entries(self, source: str, app: str, *, secure: bool) -> Iterator[tuple[str, Entry]]:
        """What is decided at the gate, twice, and at the desk."""
        gate = self.bench.gate
        gate.working.catch_up()
        reference = KeyReference(self.key.name, account=HERE, region=REGION)
        held = self.credential()

        def caller() -> Caller:
            request = f"r-{self.random.random()}"
            return Caller(held.identity, request, REGION, access_key=ACCESS_KEY, source=source, secure=secure)

        encrypt = c.Encrypt(reference, b"x", {"app": app} if app else {})
        for _ in range(2):
            yield "kms:Encrypt", self.bench.handle(caller(), encrypt).entry
        yield "kms:DescribeKey", gate.perform(caller(), c.DescribeKey(reference)).entry


@pytest.mark.parametrize("seed", range(int(os.environ.get("KEYSTEAD_WORLDS", "60"))))
def test_gate_and_desk_ask_with_all_that_the_store_says(seed: int) -> None:
    """After each of many changes, by somebody whose credential and earlier decisions are remembered."""
    random = Random(seed)  # noqa: S311 - cases that can be had again, not secrets
    world = World(random)
    for step in range(STEPS):
        source, app = random.choice(("203.0.113.5", "198.51.100.1")), random.choice(("", "a", "payroll"))
        secure = random.random() < 0.5
        for action, entry in world.entries(source, app, secure=secure):
            context = {
                "aws:PrincipalArn": world.principal,
                "aws:SourceIp": source,
                "aws:SecureTransport": "true" if secure else "false",
                "aws:CurrentTime": datetime.fromtimestamp(entry.time // 1_000_000, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            }
            if world.own["team"]:
                context["aws:PrincipalTag/team"] = world.own["team"]
            if not world.role:
                context["aws:username"] = world.principal.rpartition("/")[2]
            if app and action == "kms:Encrypt":
                context["kms:EncryptionContext:app"] = app
            expected = spec.decided(world.question(action, context))
            assert (entry.decision == "Allow", entry.decided_by) == expected, (seed, step, action)
        world.change()
