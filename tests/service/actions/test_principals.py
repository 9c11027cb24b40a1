"""Principals of four kinds: made, changed, revoked, removed, and in force when the call returns."""

import re
from base64 import b32decode
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.declaration import Declaration, Kind
from keystead.core.policy.builtin import ADMINISTRATOR, AUDITOR, KEY_USER
from keystead.core.principal import (
    Principal,
    Session,
    mfa_binding,
    policy_arn,
    principal_arn,
    role_arn,
    user_arn,
)
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.identities import lives
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import JOBS, ServiceBench

ALLOW = '{"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}'
TRUST = (
    '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, '
    '"Action": "sts:AssumeRole"}}'
)
CAROL = user_arn(ACCOUNT, "carol")
THERE_IS_NONE = f"NotFound: There is no principal {CAROL}. List them with: keystead principal list"


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


def signed_as(bench: ServiceBench, name: str, access_key_id: str) -> Caller:
    """A caller that signed with that access key."""
    caller = bench.caller(name)
    caller.access_key = access_key_id
    return caller


def test_a_user_is_made_changed_and_removed(bench: ServiceBench) -> None:
    """Each step is in force at once, and its record names the user."""
    made = bench.do(i.CreatePrincipal("carol")).principal
    assert (made.arn, made.account, made.name, made.policy) == (CAROL, ACCOUNT, "carol", "")
    assert (made.created, made.enabled) == (bench.house.clock.now(), True)
    record = bench.records[-1]
    assert (record.action, record.subject, record.outcome) == ("keystead:CreatePrincipal", CAROL, "Success")

    assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")
    bench.do(i.PutPrincipalPolicy("carol", ALLOW))
    assert bench.records[-1].subject == CAROL
    bench.do(c.CreateKey(), "carol")
    bench.do(i.PutPrincipalPolicy("carol", ""))
    assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")

    access_key = bench.do(i.CreateAccessKey("carol")).access_key
    caller = signed_as(bench, "carol", access_key.id)
    bench.do(i.DeletePrincipal("carol"))
    assert bench.refusal(c.CreateKey(), caller).startswith("UnknownCredentials")
    assert bench.refusal(i.ListAccessKeys("carol")) == THERE_IS_NONE
    with bench.house.store.view() as view:
        assert view.access_key(access_key.id) is None


def test_a_user_may_be_made_with_its_policy(bench: ServiceBench) -> None:
    """And then may what it says."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    bench.do(c.CreateKey(), "carol")


@pytest.mark.parametrize("name", ["a", "A+=,.@_-9", "n" * 64])
def test_names_that_a_user_may_have(bench: ServiceBench, name: str) -> None:
    """Those that AWS allows."""
    assert bench.do(i.CreatePrincipal(name)).principal.arn == user_arn(ACCOUNT, name)


@pytest.mark.parametrize("name", ["", "n" * 65, "a/b", "a b", "*", "ü", "a\n", "a:b"])
def test_names_that_a_user_may_not_have(bench: ServiceBench, name: str) -> None:
    """Nothing that means something in an ARN or a policy."""
    told = "InvalidRequest: A user's name is 1 to 64 letters, digits and the characters + = , . @ _ -"
    assert bench.refusal(i.CreatePrincipal(name)) == told


def test_a_name_is_taken_once(bench: ServiceBench) -> None:
    """The one who has it stays as it is."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    assert bench.refusal(i.CreatePrincipal("carol")) == "AlreadyExists: The user carol already exists."
    bench.do(c.CreateKey(), "carol")


def test_a_policy_that_is_none_is_refused(bench: ServiceBench) -> None:
    """With what is wrong, when it is put and when a user is made."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    told = "MalformedPolicy: The policy is not valid JSON."
    assert bench.refusal(i.PutPrincipalPolicy("carol", "{")) == told
    assert bench.refusal(i.CreatePrincipal("dave", "{")) == told
    bench.do(c.CreateKey(), "carol")
    assert [p.name for p in bench.do(i.ListPrincipals()).principals] == ["jobs", "admin", "carol", "mallory"]


def test_nobody_removes_themselves(bench: ServiceBench) -> None:
    """Or an installation could be left without an administrator."""
    told = "InvalidRequest: You cannot delete the principal you are signed in as: use another one."
    assert bench.refusal(i.DeletePrincipal("admin")) == told
    assert bench.refusal(i.DeletePrincipal("carol")) == THERE_IS_NONE


def test_the_services_own_parts_are_no_users(bench: ServiceBench) -> None:
    """They are listed and cannot be reached by name."""
    assert JOBS in [p.arn for p in bench.do(i.ListPrincipals()).principals]
    assert bench.refusal(i.DeletePrincipal("jobs")).startswith("NotFound")


def test_principals_are_paged(bench: ServiceBench) -> None:
    """In the order of their ARNs."""
    first = bench.do(i.ListPrincipals(2))
    last = bench.do(i.ListPrincipals(2, first.marker))
    assert [[p.name for p in page.principals] for page in (first, last)] == [["jobs", "admin"], ["mallory"]]
    assert last.marker == ""


def test_who_may_not_is_told_which_user_it_was_about(bench: ServiceBench) -> None:
    """Every operation asks its own permission on the user's ARN."""
    access_key = bench.do(i.CreateAccessKey("admin")).access_key
    admin = user_arn(ACCOUNT, "admin")
    for update in (i.RevokePrincipal, i.ForeseeRevocation, i.DescribePrincipal, i.EnableMfa, i.DisableMfa):
        told = bench.refusal(update("admin"), "mallory")
        assert f"perform: keystead:{update.__name__} on resource: {admin} because" in told
    for command in (
        i.CreatePrincipal("admin"),
        i.PutPrincipalPolicy("admin", ""),
        i.DeletePrincipal("admin"),
        i.CreateAccessKey("admin"),
        i.ListAccessKeys("admin"),
        i.SetAccessKeyStatus(access_key.id, enabled=False),
        i.DeleteAccessKey(access_key.id),
    ):
        told = bench.refusal(command, "mallory")
        assert f"perform: keystead:{type(command).__name__} on resource: {admin} because" in told
        assert bench.records[-1].subject in (admin, f"{admin} {access_key.id}")
    told = bench.refusal(i.ListPrincipals(), "mallory")
    assert "perform: keystead:ListPrincipals on resource: * because" in told


# --- kinds and parts ---------------------------------------------------------------------------------------


def may(*actions: str, resource: str = "*") -> str:
    """An identity policy."""
    listed = ", ".join(f'"{action}"' for action in actions)
    return f'{{"Statement": {{"Effect": "Allow", "Action": [{listed}], "Resource": "{resource}"}}}}'


def make(bench: ServiceBench, kind: str, name: str) -> Principal:
    """A principal of some kind."""
    made = bench.do(i.CreatePrincipal(name, kind=kind, trust=TRUST if kind == "role" else ""))
    assert isinstance(made.principal, Principal)
    return made.principal


def kept(bench: ServiceBench, arn: str) -> Principal:
    """A principal as it is stored."""
    with bench.house.store.view() as view:
        found = view.principal(arn)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["user", "service-account", "role", "group"])
def test_each_kind_is_made_found_and_removed(bench: ServiceBench, kind: str) -> None:
    """Under an ARN of its own kind, so that one name may be had once by each."""
    make(bench, "user" if kind == "group" else "group", "x")
    made = make(bench, kind, "x")
    assert (made.arn, made.kind) == (principal_arn(ACCOUNT, kind, "x"), kind)
    assert bench.do(i.DescribePrincipal("x", kind)).principal == made
    assert [p.arn for p in bench.do(i.ListPrincipals(kind=kind)).principals if p.name == "x"] == [made.arn]
    called = kind.replace("-", " ")
    told = bench.refusal(i.CreatePrincipal("x", kind=kind, trust=TRUST if kind == "role" else ""))
    assert told == f"AlreadyExists: The {called} x already exists."
    bench.do(i.DeletePrincipal("x", kind))
    assert bench.refusal(i.DescribePrincipal("x", kind)).startswith("NotFound")


@pytest.mark.parametrize("kind", ["", "service", "root", "User"])
def test_there_are_no_other_kinds(bench: ServiceBench, kind: str) -> None:
    """The service's own parts cannot be made, changed or removed by anybody."""
    told = "InvalidRequest: A principal is of kind user, service-account, role or group."
    for command in (
        i.CreatePrincipal("x", kind=kind),
        i.UpdatePrincipal("x", kind, enabled=False),
        i.DescribePrincipal("x", kind),
        i.DeletePrincipal("jobs", kind),
        i.RevokePrincipal("jobs", kind),
    ):
        assert bench.refusal(command) == told
    assert kind == "" or bench.refusal(i.ListPrincipals(kind=kind)) == told


def test_one_kind_is_listed_in_pages(bench: ServiceBench) -> None:
    """None of another kind comes between, and the last page ends it."""
    for name in ("a", "b", "c"):
        make(bench, "role", name)
        make(bench, "service-account", name)
    found, marker = [], ""
    while True:
        page = bench.do(i.ListPrincipals(2, marker, "role"))
        found += [p.arn for p in page.principals]
        marker = page.marker
        if not marker:
            break
    assert found == [role_arn(ACCOUNT, name) for name in ("a", "b", "c")]


def test_a_principal_is_made_with_all_its_parts(bench: ServiceBench) -> None:
    """Policies and groups may be given by name or ARN, and each counts once."""
    bench.do(i.PutPolicy("reader", may("kms:List*")))
    bench.do(i.PutPolicy("limit", may("kms:*")))
    make(bench, "group", "operators")
    group, reader = principal_arn(ACCOUNT, "group", "operators"), policy_arn(ACCOUNT, "reader")
    made = bench.do(
        i.CreatePrincipal(
            "carol",
            ALLOW,
            "service-account",
            attached=("reader", reader, AUDITOR),
            groups=("operators", group),
            boundary="limit",
            tags=(("team", "payroll"),),
        )
    ).principal
    assert (made.attached, made.groups) == ((reader, AUDITOR), (group,))
    assert (made.boundary, made.tags) == (policy_arn(ACCOUNT, "limit"), (("team", "payroll"),))
    assert kept(bench, made.arn) == made
    assert bench.do(i.DescribePrincipal("operators", "group")).members == (made.arn,)


def test_what_is_not_given_stays(bench: ServiceBench) -> None:
    """An update changes the parts that it names, and empty ones are taken away."""
    make(bench, "group", "operators")
    bench.do(
        i.CreatePrincipal("carol", ALLOW, attached=(AUDITOR,), groups=("operators",), tags=(("a", "b"),))
    )
    before = kept(bench, CAROL)
    bench.do(i.UpdatePrincipal("carol", tags=(("c", "d"),)))
    assert kept(bench, CAROL).tags == (("c", "d"),)
    bench.do(i.UpdatePrincipal("carol", attached=(), groups=()))
    after = kept(bench, CAROL)
    assert (after.attached, after.groups, after.policy) == ((), (), before.policy)
    bench.do(i.UpdatePrincipal("carol", enabled=False))
    assert not kept(bench, CAROL).enabled
    assert bench.refusal(i.UpdatePrincipal("carol")) == "InvalidRequest: Say what is to be changed."
    assert bench.refusal(i.UpdatePrincipal("dave", enabled=True)).startswith("NotFound")


def test_what_a_group_or_an_attached_policy_gives_is_in_force_at_once(bench: ServiceBench) -> None:
    """And gone at once when it is taken away, on each way that it was given."""
    bench.do(i.PutPolicy("makers", may("kms:CreateKey")))
    bench.do(i.CreatePrincipal("makers", kind="group", attached=("makers",)))
    bench.do(i.CreatePrincipal("carol"))
    for give, take in (
        (i.UpdatePrincipal("carol", attached=("makers",)), i.UpdatePrincipal("carol", attached=())),
        (i.UpdatePrincipal("carol", groups=("makers",)), i.UpdatePrincipal("carol", groups=())),
        (
            i.UpdatePrincipal("carol", groups=("makers",)),
            i.UpdatePrincipal("makers", "group", attached=()),
        ),
    ):
        assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")
        bench.do(give)
        bench.do(c.CreateKey(), "carol")
        bench.do(take)
    assert bench.refusal(c.CreateKey(), "carol").startswith("AccessDenied")


FOREIGN = "arn:aws:iam::999988887777:policy/theirs"


@pytest.mark.parametrize(
    ("kind", "parts", "told"),
    [
        (
            "user",
            {"attached": ("nothing",)},
            f"NotFound: There is no policy {policy_arn(ACCOUNT, 'nothing')}",
        ),
        ("user", {"attached": (FOREIGN,)}, f"NotFound: There is no policy {FOREIGN} in this account"),
        ("user", {"attached": (CAROL,)}, "NotFound: There is no policy"),
        ("user", {"boundary": "nothing"}, "NotFound: There is no policy"),
        ("user", {"attached": tuple(f"p{n}" for n in range(21))}, "LimitExceeded: At most 20 policies"),
        ("user", {"groups": ("nobody",)}, "NotFound: There is no group"),
        ("user", {"groups": (CAROL,)}, "NotFound: There is no group"),
        ("user", {"groups": tuple(f"g{n}" for n in range(11))}, "LimitExceeded: A principal can be in 10"),
        ("role", {"groups": ("g",)}, "InvalidRequest: A role is in no groups"),
        ("group", {"groups": ("g",)}, "InvalidRequest: A group is in no groups"),
        ("group", {"boundary": AUDITOR}, "InvalidRequest: A group has no permission boundary"),
        ("user", {"trust": TRUST}, "InvalidRequest: Only a role has a trust policy"),
        ("role", {"trust": ""}, "InvalidRequest: A role has a trust policy, which says who may assume it"),
        ("role", {"trust": ALLOW}, "MalformedPolicy"),
        ("user", {"session_seconds": 7200}, "InvalidRequest: Only a role says how long"),
        ("role", {"session_seconds": 3599}, "InvalidRequest: A session lasts from 3600 to 43200 seconds"),
        ("role", {"session_seconds": 43_201}, "InvalidRequest: A session lasts from 3600 to 43200 seconds"),
        ("user", {"tags": (("aws:x", ""),)}, "InvalidTag: Tags beginning with aws: are reserved"),
        ("user", {"tags": (("Team", "1"), ("team", "2"))}, "InvalidTag: Duplicate tag keys"),
        ("user", {"tags": (("n" * 129, ""),)}, "InvalidTag: A tag has 1 to 128 characters"),
        ("user", {"tags": (("", "x"),)}, "InvalidTag: A tag has 1 to 128 characters"),
        ("user", {"tags": (("n", "v" * 257),)}, "InvalidTag: A tag has 1 to 128 characters"),
        ("user", {"tags": tuple((f"n{n}", "") for n in range(51))}, "InvalidTag: Too many tags"),
        ("user", {"policy": "{"}, "MalformedPolicy"),
    ],
)
def test_parts_that_are_not_in_order_are_refused(
    bench: ServiceBench, kind: str, parts: dict[str, object], told: str
) -> None:
    """When a principal is made as when it is changed, and nothing of it is kept."""
    trust = {"trust": TRUST} if kind == "role" else {}
    with bench.house.store.transact("theirs") as tx:
        tx.put_declaration(
            Declaration(
                account="999988887777", kind=Kind.POLICY, name="theirs", text=ALLOW, created=1.0, updated=1.0
            )
        )
    assert bench.refusal(i.CreatePrincipal("x", **{"kind": kind, **trust, **parts})).startswith(told)  # type: ignore[arg-type]  # a table of cases
    before = make(bench, kind, "y")
    assert bench.refusal(i.UpdatePrincipal("y", kind, **parts)).startswith(told)  # type: ignore[arg-type]  # as above
    assert kept(bench, before.arn) == before


def test_the_largest_parts_are_taken(bench: ServiceBench) -> None:
    """Limits are the last that is allowed."""
    tags = (*((f"n{n}", "") for n in range(49)), ("n" * 128, "v" * 256))
    for n in range(20):
        bench.do(i.PutPolicy(f"p{n}", ALLOW))
    for n in range(10):
        make(bench, "group", f"g{n}")
    bench.do(
        i.CreatePrincipal(
            "carol",
            attached=tuple(f"p{n}" for n in range(20)),
            groups=tuple(f"g{n}" for n in range(10)),
            tags=tags,
        )
    )
    for seconds in (3600, 43_200):
        bench.do(i.CreatePrincipal(f"r{seconds}", kind="role", trust=TRUST, session_seconds=seconds))
    bench.do(i.UpdatePrincipal("r3600", "role", session_seconds=7200, trust=TRUST))
    assert kept(bench, role_arn(ACCOUNT, "r3600")).session_seconds == 7200


@pytest.mark.parametrize(
    ("action", "new", "change"),
    [
        ("PutPrincipalPolicy", {"policy": ALLOW}, {"policy": ""}),
        ("PutPrincipalPolicy", {"attached": (AUDITOR,)}, {"attached": ()}),
        ("PutPrincipalPolicy", {"groups": ("operators",)}, {"groups": ()}),
        ("PutPrincipalPolicy", {"boundary": KEY_USER}, {"boundary": ""}),
        ("PutPrincipalPolicy", {"kind": "role", "trust": TRUST}, {"trust": TRUST}),
        ("PutPrincipalPolicy", {"kind": "role", "trust": TRUST}, {"session_seconds": 7200}),
        ("TagPrincipal", {"tags": (("a", "b"),)}, {"tags": ()}),
        ("SetPrincipalStatus", {}, {"enabled": False}),
    ],
)
def test_each_part_has_its_own_permission(
    bench: ServiceBench, action: str, new: dict[str, object], change: dict[str, object]
) -> None:
    """Somebody with every other one may not touch it, and somebody with this one may touch nothing else."""
    make(bench, "group", "operators")
    kind = str(new.get("kind", "user"))
    others = {"PutPrincipalPolicy", "TagPrincipal", "SetPrincipalStatus", "CreatePrincipal"} - {action}
    bench.house.user("others", may(*(f"keystead:{other}" for other in others)))
    bench.house.user("one", may(f"keystead:{action}"))
    told = f"perform: keystead:{action} on resource: {principal_arn(ACCOUNT, kind, 'x')} because"
    if new:
        assert told in bench.refusal(i.CreatePrincipal("x", **new), "others")  # type: ignore[arg-type]  # a table
    bench.do(i.CreatePrincipal("x", **new))  # type: ignore[arg-type]  # as above
    assert told in bench.refusal(i.UpdatePrincipal("x", kind, **change), "others")  # type: ignore[arg-type]  # as above
    bench.do(i.UpdatePrincipal("x", kind, **change), "one")  # type: ignore[arg-type]  # as above
    assert "keystead:CreatePrincipal" in bench.refusal(i.CreatePrincipal("y"), "one")


def test_an_update_of_several_parts_needs_all_their_permissions(bench: ServiceBench) -> None:
    """And is done as a whole or not at all."""
    make(bench, "user", "carol")
    bench.house.user("tagger", may("keystead:TagPrincipal"))
    told = bench.refusal(i.UpdatePrincipal("carol", policy=ALLOW, tags=(("a", "b"),)), "tagger")
    assert "perform: keystead:PutPrincipalPolicy" in told
    assert kept(bench, CAROL).tags == ()


def test_a_policy_may_ask_for_the_tags_of_a_new_principal(bench: ServiceBench) -> None:
    """``aws:RequestTag`` is what the request gives, and nothing where it leaves the tags as they are."""
    condition = '"Condition": {"StringEquals": {"aws:RequestTag/team": "payroll"}}'
    statement = f'{{"Effect": "Allow", "Action": "keystead:*", "Resource": "*", {condition}}}'
    bench.house.user("lead", f'{{"Statement": {statement}}}')
    bench.do(i.CreatePrincipal("carol", tags=(("team", "payroll"),)), "lead")
    for command in (
        i.CreatePrincipal("dave"),
        i.CreatePrincipal("dave", tags=(("team", "x"),)),
        i.UpdatePrincipal("carol", enabled=False),
    ):
        assert bench.refusal(command, "lead").startswith("AccessDenied")


# --- removal and revocation --------------------------------------------------------------------------------


def test_a_group_with_members_stays(bench: ServiceBench) -> None:
    """The refusal names one of them and how to take it out; an empty group goes."""
    make(bench, "group", "operators")
    bench.do(i.CreatePrincipal("carol", groups=("operators",)))
    told = bench.refusal(i.DeletePrincipal("operators", "group"))
    assert told.startswith(f"InvalidRequest: The group operators still has members, such as {CAROL}")
    assert "--leave operators" in told
    bench.do(i.UpdatePrincipal("carol", groups=()))
    bench.do(i.DeletePrincipal("operators", "group"))


def grant(bench: ServiceBench, grantee: str, retiring: str = "") -> str:
    """A grant on a new key; its id."""
    command = c.CreateGrant(bench.key(), grantee=grantee, operations=("Decrypt",), retiring=retiring)
    return str(bench.do(command).grant_id)


def test_a_role_goes_with_what_it_was_granted(bench: ServiceBench) -> None:
    """A role that is made anew under the name finds nothing."""
    role = make(bench, "role", "deploy").arn
    grant(bench, role)
    bench.do(i.DeletePrincipal("deploy", "role"))
    make(bench, "role", "deploy")
    with bench.house.store.view() as view:
        assert view.grants_to(role, 10) == []


def test_sessions_of_an_earlier_principal_of_the_same_name_stay_over(bench: ServiceBench) -> None:
    """A session that began before the role was made anew is none of its sessions; one that begins now is."""
    old = make(bench, "role", "deploy")
    before = session(old, bench.house.clock.now(), newest(bench))
    assert counts(bench, before)
    bench.do(i.DeletePrincipal("deploy", "role"))
    bench.house.audit.later(9)
    new = make(bench, "role", "deploy")
    assert not counts(bench, before)
    assert counts(bench, session(new, bench.house.clock.now(), newest(bench)))


def newest(bench: ServiceBench) -> int:
    """The number of the newest change."""
    with bench.house.store.view() as view:
        return view.newest_change()


def counts(bench: ServiceBench, session: Session) -> bool:
    """Whether a session is good now."""
    with bench.house.store.view() as view:
        return lives(view, session, bench.house.clock.now())


def session(principal: Principal, issued: float, epoch: int) -> Session:
    """A session that lasts an hour, opened when this was the newest change."""
    return Session(
        access_key="ASIAX",
        arn=principal.arn,
        principal=principal.arn,
        user_id="x",
        issued=issued,
        epoch=epoch,
        expires=issued + 3600,
    )


@pytest.mark.parametrize("disable", [False, True])
@pytest.mark.parametrize("kind", ["user", "service-account", "role"])
def test_to_revoke_is_to_end_sessions_keys_and_grants_in_one_change(
    bench: ServiceBench, kind: str, disable: bool
) -> None:
    """What others were granted and it may only retire stays; it is foreseen without a change."""
    arn = make(bench, kind, "x").arn
    make(bench, "user", "carol")
    keys = () if kind == "role" else tuple(bench.do(i.CreateAccessKey("x", kind)).access_key.id for _ in "12")
    if keys:
        bench.do(i.SetAccessKeyStatus(keys[0], enabled=False))
    mine, theirs = {grant(bench, arn), grant(bench, arn)}, grant(bench, CAROL, retiring=arn)
    bench.house.audit.later(60)
    now = bench.house.clock.now()
    running = session(kept(bench, arn), now, newest(bench))
    with bench.house.store.view() as view:
        epoch = view.newest_change()

    before = kept(bench, arn)
    foreseen = bench.do(i.ForeseeRevocation("x", kind))
    assert foreseen.principal == kept(bench, arn) == before
    done = bench.do(i.RevokePrincipal("x", kind, disable))
    assert (done.access_keys, done.grants) == (foreseen.access_keys, foreseen.grants) == (keys[1:], len(mine))

    after = kept(bench, arn)
    assert after.enabled is not disable
    assert epoch < after.sessions_from <= newest(bench)
    assert not counts(bench, running)
    assert counts(bench, session(after, now, newest(bench))) is not disable
    with bench.house.store.view() as view:
        assert [key.enabled for key in view.access_keys(arn)] == [False] * len(keys)
        assert view.grants_to(arn, 10) == []
        assert [each.id for each in view.grants_to(CAROL, 10)] == [theirs]
        changes = view.changes(epoch, 100)
    assert changes is not None
    assert len({change.request for change in changes}) == 1


def test_many_grants_are_ended(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and the number is told; beforehand it is counted to a bound."""
    monkeypatch.setattr("keystead.service.actions.principals.AT_ONCE", 2)
    make(bench, "user", "carol")
    for _ in range(5):
        grant(bench, CAROL)
    assert bench.do(i.ForeseeRevocation("carol")).grants == 2
    assert bench.do(i.RevokePrincipal("carol")).grants == 5


def test_an_access_key_that_was_revoked_signs_nothing(bench: ServiceBench) -> None:
    """Nor does it while the principal stays enabled; a new key does."""
    bench.do(i.CreatePrincipal("carol", ALLOW))
    caller = bench.caller("carol")
    caller.access_key = bench.do(i.CreateAccessKey("carol")).access_key.id
    bench.do(c.CreateKey(), caller)
    bench.do(i.RevokePrincipal("carol"))
    assert bench.refusal(c.CreateKey(), caller).startswith("UnknownCredentials")
    bench.do(i.UpdatePrincipal("carol", enabled=True))
    assert bench.refusal(c.CreateKey(), caller).startswith("UnknownCredentials")
    caller.access_key = bench.do(i.CreateAccessKey("carol")).access_key.id
    bench.do(c.CreateKey(), caller)


def test_nobody_disables_or_revokes_themselves(bench: ServiceBench) -> None:
    """A session of a role counts as the role."""
    told = "InvalidRequest: You cannot {} the principal you are signed in as: use another one."
    assert bench.refusal(i.UpdatePrincipal("admin", enabled=False)) == told.format("disable")
    assert bench.refusal(i.RevokePrincipal("admin")) == told.format("revoke")
    assert bench.do(i.ForeseeRevocation("admin")).access_keys == (bench.house.admin[0],)
    make(bench, "group", "operators")
    for command in (i.RevokePrincipal("operators", "group"), i.ForeseeRevocation("operators", "group")):
        assert bench.refusal(command).startswith("InvalidRequest: A group has no credentials")


# --- one-time passwords ------------------------------------------------------------------------------------


def test_the_secret_of_one_time_passwords_is_given_out_once(bench: ServiceBench) -> None:
    """In base32 and as a URI for apps; it is kept wrapped, for this user only."""
    make(bench, "user", "carol")
    made = bench.do(i.EnableMfa("carol"))
    secret = b32decode(made.secret + "=" * (-len(made.secret) % 8))
    assert len(secret) == 20
    uri = urlsplit(made.uri)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", f"/Keystead:carol@{ACCOUNT}")
    assert parse_qs(uri.query) == {
        "secret": [made.secret],
        "issuer": ["Keystead"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }
    assert made.serial == f"arn:aws:iam::{ACCOUNT}:mfa/carol"
    stored = kept(bench, CAROL)
    assert made.secret not in stored.mfa
    assert bench.house.custodian.reveal(ACCOUNT, stored.mfa, mfa_binding(CAROL)) == secret
    assert bench.refusal(i.EnableMfa("carol")).startswith("AlreadyExists: The user carol has one-time")
    bench.do(i.DisableMfa("carol"))
    assert kept(bench, CAROL).mfa == ""
    assert bench.do(i.EnableMfa("carol")).secret != made.secret
    for command in (i.EnableMfa("dave"), i.DisableMfa("dave")):
        assert bench.refusal(command).startswith("NotFound")


# --- anything at all ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["admin", "carol", "x", "operators", ADMINISTRATOR, "reader", "", "a/b"])
COMMANDS = st.one_of(
    st.builds(
        i.CreatePrincipal,
        NAMES,
        st.sampled_from(["", ALLOW, "{"]),
        st.sampled_from(["user", "service-account", "role", "group"]),
        st.tuples() | st.tuples(NAMES),
        st.tuples() | st.tuples(NAMES),
        st.just("") | NAMES,
        trust=st.sampled_from(["", TRUST]),
    ),
    st.builds(
        i.UpdatePrincipal,
        NAMES,
        st.sampled_from(["user", "role", "group"]),
        policy=st.none() | st.sampled_from(["", ALLOW]),
        attached=st.none() | st.tuples() | st.tuples(NAMES),
        groups=st.none() | st.tuples() | st.tuples(NAMES),
        boundary=st.none() | st.just("") | NAMES,
        enabled=st.none() | st.booleans(),
    ),
    st.builds(i.DeletePrincipal, NAMES, st.sampled_from(["user", "role", "group"])),
    st.builds(i.RevokePrincipal, NAMES, st.just("user"), st.booleans()),
    st.builds(i.PutPolicy, NAMES, st.just(ALLOW)),
    st.builds(i.DeletePolicy, NAMES),
)


@given(st.lists(COMMANDS, max_size=12))
def test_whatever_is_done_the_administrator_is_left_and_no_reference_dangles(commands: list[Command]) -> None:
    """Each command is done or refused; groups and policies that are named exist, and the way in stays open."""
    bench = ServiceBench()
    for command in commands:
        answer = bench.answer(command)
        assert answer.error is None or answer.error.code not in {"Internal", "UnknownCredentials"}
    bench.do(i.PutPrincipalPolicy("admin", may("*")))
    with bench.house.store.view() as view:
        for principal in view.principals(ACCOUNT, "", 1000):
            for arn in (*principal.attached, principal.boundary):
                name = arn.partition(f"::{ACCOUNT}:policy/")[2]
                assert not name or view.declaration(ACCOUNT, Kind.POLICY, name) is not None
            for group in principal.groups:
                assert view.principal(group) is not None
            assert re.fullmatch(r"[\w+=,.@-]{1,64}", principal.name)
