"""Templates and the keys of templates, how keys are, and revisions."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from keystead.core.names import KeyReference
from keystead.core.ports import Transaction
from keystead.core.template import template_arn
from keystead.custody.software import SoftwareCustodian
from keystead.service.actions import ACTIONS, declared
from keystead.service.commands import declared as d
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.store.memory import Memory
from keystead.testing.installation import ACCOUNT, REGION, Installation
from keystead.testing.service import ServiceBench

ROOT_MAY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
WEB = {
    "alias": "app/<<name>>",
    "description": "Key of <<name>>",
    "parameters": {"team": ["payments", "risk"]},
    "policy": ROOT_MAY,
    "rotation_days": 180,
    "tags": {"team": "<<team>>"},
}
ENSURE_ONLY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "keystead:EnsureKey",
            "Resource": template_arn(ACCOUNT, "web"),
        },
    }
)
ENSURE = d.EnsureKey("web", "checkout", (("team", "payments"),))


def deny(action: str, **condition: Any) -> str:
    """A policy that denies something."""
    statement: dict[str, Any] = {"Sid": "No", "Effect": "Deny", "Action": action, "Resource": "*"}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with a template, and a developer who may have its keys made and nothing else."""
    bench = ServiceBench()
    bench.house.user("dev", ENSURE_ONLY)
    bench.do(d.PutTemplate("web", json.dumps(WEB)))
    return bench


def state_of(bench: ServiceBench, key_id: str) -> Any:
    """A key with all that is told of it."""
    (found,) = [each for each in bench.do(d.ListKeyStates()).keys if each.key.id == key_id]
    return found


# --- templates -------------------------------------------------------------------------------------------


def test_a_template_is_kept_in_one_form(bench: ServiceBench) -> None:
    """It is put, looked at, listed, replaced and removed, and its record names it."""
    told = bench.do(d.DescribeTemplate("web")).template
    assert json.loads(told.text)["usage"] == "ENCRYPT_DECRYPT"
    assert (told.name, told.created, told.updated) == ("web", 1_000_000.0, 1_000_000.0)
    bench.house.clock.time += 5
    again = bench.do(d.PutTemplate("web", "{}")).template
    assert (again.created, again.updated) == (1_000_000.0, 1_000_005.0)
    assert bench.records[-1].subject == template_arn(ACCOUNT, "web")
    bench.do(d.PutTemplate("api", "{}"))
    first = bench.do(d.ListTemplates(1))
    last = bench.do(d.ListTemplates(1, first.marker))
    assert [each.name for page in (first, last) for each in page.templates] == ["api", "web"]
    assert last.marker == ""
    bench.do(d.DeleteTemplate("web"))
    none = "NotFound: There is no template web. List them with: keystead template list"
    assert bench.refusal(d.DescribeTemplate("web")) == none
    assert bench.refusal(d.DeleteTemplate("web")) == none
    assert bench.refusal(ENSURE) == none


def test_what_is_no_template_is_refused(bench: ServiceBench) -> None:
    """A name that means something in an ARN, and a text that could never be used."""
    assert bench.refusal(d.PutTemplate("a/b", "{}")).startswith("InvalidRequest: A template's name is")
    assert bench.refusal(d.PutTemplate("a", '{"spec": 1}')).startswith("InvalidRequest: The template's spec")


@pytest.mark.parametrize(
    "command",
    [
        d.PutTemplate("web", "{}"),
        d.DeleteTemplate("web"),
        d.DescribeTemplate("web"),
        d.ListTemplates(),
        d.EnsureKey("web", "x"),
        d.ListKeyStates(),
        d.PutRevision(0, "{}"),
        d.CloseRevision(1, finished=True),
        d.DescribeRevision(),
        d.ListRevisions(),
    ],
    ids=lambda command: type(command).__name__,
)
def test_each_operation_asks_a_permission(bench: ServiceBench, command: Any) -> None:
    """Who has none is told which it would be."""
    bench.house.user("mallory")
    told = bench.refusal(command, "mallory")
    assert f"is not authorized to perform: {ACTIONS[type(command)].name} on" in told


# --- keys of templates -----------------------------------------------------------------------------------


def test_a_key_is_made_once_and_then_left_alone(bench: ServiceBench) -> None:
    """Who may ensure keys of a template needs no other permission, and asking again changes nothing."""
    made = bench.do(ENSURE, "dev")
    assert (made.created, made.changed, made.alias) == (True, (), "alias/app/checkout")
    found = state_of(bench, made.key.id)
    assert (found.tags, found.template) == ([("team", "payments")], "web")
    assert [alias.name for alias in found.aliases] == ["alias/app/checkout"]
    assert (found.key.description, found.key.rotation_period_days) == ("Key of checkout", 180)
    assert json.loads(found.key.policy) == ROOT_MAY
    epoch = bench.records[-1].epoch
    again = bench.do(ENSURE, "dev")
    assert (again.key, again.created, again.changed) == (found.key, False, ())
    assert bench.records[-1].epoch <= epoch + 1
    assert bench.refusal(c.CreateKey(), "dev").startswith("AccessDenied")


def test_the_record_of_an_ensured_key_is_about_the_whole(bench: ServiceBench) -> None:
    """It says which permission let it be, the template, the alias and the key; the intent says what was asked."""
    made = bench.do(ENSURE, "dev")
    intent, outcome = bench.records[-2:]
    assert (intent.stage, intent.subject) == ("intent", "web checkout")
    assert (outcome.action, outcome.decision) == ("keystead:EnsureKey", "Allow")
    assert (outcome.decided_by, outcome.statement) == ("identity-policy", "#0")
    assert outcome.key == made.key.arn
    assert outcome.subject == f"{template_arn(ACCOUNT, 'web')} alias/app/checkout"


def test_a_key_that_differs_is_corrected(bench: ServiceBench) -> None:
    """Description, tags, rotation and policy are brought back, and it is said which."""
    made = bench.do(ENSURE, "dev").key
    reference = KeyReference(made.id)
    bench.do(c.UpdateKeyDescription(reference, "mine"))
    bench.do(c.TagResource(reference, (("team", "risk"), ("own", "x"))))
    bench.do(c.DisableKeyRotation(reference))
    bench.do(c.PutKeyPolicy(reference, json.dumps({**ROOT_MAY, "Id": "other"})))
    told = bench.do(ENSURE, "dev")
    assert told.changed == ("description", "tags", "rotation_days", "policy")
    assert state_of(bench, made.id).key == told.key
    assert state_of(bench, made.id).tags == [("team", "payments")]
    assert (told.key.description, told.key.rotation_period_days) == ("Key of checkout", 180)
    assert told.key.policy == made.policy
    assert bench.do(ENSURE, "dev").changed == ()


def test_a_new_form_of_a_template_reaches_its_keys_when_they_are_ensured(bench: ServiceBench) -> None:
    """What the template no longer has goes: rotation, tags and a policy of its own."""
    bench.do(ENSURE)
    bench.do(d.PutTemplate("web", json.dumps({"alias": "app/<<name>>", "parameters": {"team": "*"}})))
    told = bench.do(ENSURE, "dev")
    assert told.changed == ("description", "tags", "rotation_days", "policy")
    found = state_of(bench, told.key.id)
    assert (found.tags, found.key.rotation_period_days, found.key.description) == ([], None, "")
    bench.do(
        d.PutTemplate(
            "web",
            json.dumps(
                {
                    "alias": "app/<<name>>",
                    "parameters": {"team": "*"},
                    "spec": "HMAC_256",
                    "usage": "GENERATE_VERIFY_MAC",
                }
            ),
        )
    )
    assert bench.refusal(ENSURE, "dev").startswith(
        "AlreadyExists: alias/app/checkout leads to a key whose spec is SYMMETRIC_DEFAULT, which cannot be changed"
    )


def test_a_key_that_was_not_made_from_the_template_stays_as_it_is(bench: ServiceBench) -> None:
    """Whoever may ensure keys reaches no other key through an alias, nor one of another template."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/app/checkout", key))
    told = "AlreadyExists: alias/app/checkout leads to a key that was not made from the template web."
    assert bench.refusal(ENSURE, "dev").startswith(told)
    bench.do(d.PutTemplate("other", '{"alias": "other/<<name>>"}'))
    made = bench.do(d.EnsureKey("other", "x")).key
    bench.do(c.UpdateAlias("alias/app/checkout", KeyReference(made.id)))
    assert bench.refusal(ENSURE, "dev").startswith(told)
    assert state_of(bench, key.name).template == ""


@pytest.mark.parametrize(
    ("action", "condition"),
    [
        ("kms:CreateKey", {}),
        ("kms:TagResource", {}),
        ("kms:CreateAlias", {}),
        ("kms:EnableKeyRotation", {}),
        ("kms:CreateKey", {"StringNotEquals": {"aws:RequestTag/team": "risk"}}),
        ("kms:CreateKey", {"Null": {"aws:RequestTag/owner": "true"}}),
        ("kms:CreateKey", {"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}),
    ],
)
def test_a_guardrail_holds_for_keys_of_templates(
    bench: ServiceBench, action: str, condition: dict[str, Any]
) -> None:
    """The template's tags are those of the request; whoever asks, nothing is made against a guardrail."""
    bench.do(i.PutGuardrail("no", deny(action, **condition)))
    told = bench.refusal(ENSURE, "dev")
    assert told.startswith("AccessDenied")
    assert action in told
    assert bench.do(d.ListKeyStates()).keys == []


def test_what_a_guardrail_asks_for_may_come_from_the_template(bench: ServiceBench) -> None:
    """A required tag that the template gives is there."""
    bench.do(
        i.PutGuardrail("team", deny("kms:CreateKey", StringNotEquals={"aws:RequestTag/team": "payments"}))
    )
    assert bench.do(ENSURE, "dev").created
    assert bench.refusal(d.EnsureKey("web", "x", (("team", "risk"),)), "dev").startswith("AccessDenied")


def test_denials_of_the_callers_own_hold_as_well(bench: ServiceBench) -> None:
    """A Deny in its policy, and a boundary that does not have the action."""
    both = json.loads(ENSURE_ONLY)
    both["Statement"] = [both["Statement"], json.loads(deny("kms:CreateKey"))["Statement"][0]]
    bench.house.user("denied", json.dumps(both))
    assert "kms:CreateKey" in bench.refusal(ENSURE, "denied")
    bench.do(i.PutPolicy("narrow", ENSURE_ONLY))
    bench.do(i.CreatePrincipal("bounded", ENSURE_ONLY, boundary="narrow"))
    assert "kms:CreateKey" in bench.refusal(ENSURE, "bounded")


def test_a_key_policy_keeps_the_template_out(bench: ServiceBench) -> None:
    """What the key's own policy denies is not corrected behind its back."""
    made = bench.do(ENSURE).key
    closed = {
        **ROOT_MAY,
        "Statement": [
            *ROOT_MAY["Statement"],
            {
                "Sid": "Shut",
                "Effect": "Deny",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/dev"},
                "Action": "kms:PutKeyPolicy",
                "Resource": "*",
            },
        ],
    }
    bench.do(c.PutKeyPolicy(KeyReference(made.id), json.dumps(closed)))
    assert "kms:PutKeyPolicy" in bench.refusal(ENSURE, "dev")
    assert bench.do(ENSURE).changed == ("policy",)


def test_two_at_once_make_one_key(bench: ServiceBench) -> None:
    """Eight processes ask for the same key at the same time: one makes it, and all have it."""
    benches = [ServiceBench(bench.house, f"w{number}") for number in range(1, 9)]
    with ThreadPoolExecutor(len(benches)) as pool:
        told = list(pool.map(lambda each: each.do(ENSURE, "dev"), benches))
    assert [each.created for each in told].count(True) == 1
    assert len({each.key.id for each in told}) == 1
    assert len(bench.do(d.ListKeyStates()).keys) == 1


class Meanwhile(Memory):
    """A store in which something happens between the preparation of a change and the change."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], object] | None = None

    @override
    @contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        then, self.then = self.then, None
        if then is not None:
            then()
        with super().transact(request) as tx:
            yield tx


class Eraser(SoftwareCustodian):
    """A custodian that says what it has erased."""

    erased: ClassVar[list[str]] = []

    @override
    def destroy(self, account: str, handle: str) -> None:
        self.erased.append(handle)
        super().destroy(account, handle)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> tuple[ServiceBench, Meanwhile, ServiceBench]:
    """A process that is overtaken, its store, and the process that overtakes it."""
    monkeypatch.setattr("keystead.testing.installation.SoftwareCustodian", Eraser)
    Eraser.erased.clear()
    store = Meanwhile()
    bench = ServiceBench(Installation(store))
    bench.house.user("dev", ENSURE_ONLY)
    bench.do(d.PutTemplate("web", json.dumps(WEB)))
    return bench, store, ServiceBench(bench.house, "w1")


def test_material_for_a_key_that_somebody_else_has_made_is_erased(
    busy: tuple[ServiceBench, Meanwhile, ServiceBench],
) -> None:
    """The one who comes second has prepared material, which nobody will ever use."""
    bench, store, other = busy
    made: list[str] = []
    store.then = lambda: made.append(other.do(ENSURE).key.id)
    told = bench.do(ENSURE, "dev")
    assert (told.created, [told.key.id]) == (False, made)
    with store.view() as view:
        version = view.version(REGION, told.key.id, 1)
    assert version is not None
    assert len(Eraser.erased) == 1
    assert Eraser.erased != [version.handle]


def test_an_alias_that_goes_meanwhile_is_made_again(
    busy: tuple[ServiceBench, Meanwhile, ServiceBench],
) -> None:
    """Nothing was prepared for a key that was there a moment ago: it is prepared in time."""
    bench, store, other = busy
    first = bench.do(ENSURE).key
    store.then = lambda: other.do(c.DeleteAlias("alias/app/checkout"))
    told = bench.do(ENSURE, "dev")
    assert told.created
    assert told.key.id != first.id
    assert bench.do(c.Encrypt(KeyReference(told.key.id), b"x")).blob


def test_a_key_that_is_going_to_be_deleted_is_not_ensured(bench: ServiceBench) -> None:
    """It cannot be corrected, and it is said why."""
    made = bench.do(ENSURE).key
    bench.do(c.ScheduleKeyDeletion(KeyReference(made.id)))
    assert bench.refusal(ENSURE, "dev").startswith("InvalidKeyState")


# --- how keys are ----------------------------------------------------------------------------------------


def test_keys_are_told_with_all_that_can_be_declared(bench: ServiceBench) -> None:
    """Page by page in one Region, with tags and aliases."""
    ids = sorted(bench.key(c.CreateKey(tags=(("n", str(number)),))).name for number in range(3))
    bench.key(region="eu-west-1")
    bench.do(c.CreateAlias("alias/a", KeyReference(ids[0])))
    first = bench.do(d.ListKeyStates(2))
    last = bench.do(d.ListKeyStates(2, first.marker))
    assert [each.key.id for page in (first, last) for each in page.keys] == ids
    assert (first.account, first.region, first.left_out, last.marker) == (ACCOUNT, REGION, 0, "")
    assert [alias.name for alias in first.keys[0].aliases] == ["alias/a"]
    assert [name for name, _ in first.keys[0].tags] == ["n"]


@pytest.mark.parametrize(
    "action", ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"]
)
def test_keys_that_one_may_not_see_are_left_out_and_counted(bench: ServiceBench, action: str) -> None:
    """Each part of what is told has its permission, on that key, and one that is missing is enough."""
    seen, hidden = bench.key(), bench.key()
    statement = {"Sid": "Hide", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"}
    bench.do(
        c.PutKeyPolicy(hidden, json.dumps({**ROOT_MAY, "Statement": [*ROOT_MAY["Statement"], statement]}))
    )
    page = bench.do(d.ListKeyStates())
    assert ([each.key.id for each in page.keys], page.left_out) == ([seen.name], 1)
    record = bench.records[-1]
    assert (record.decision, record.action, record.key) == ("Allow", "keystead:ListKeyStates", "")


def test_a_grant_may_show_a_part_of_a_key_and_that_is_not_enough(bench: ServiceBench) -> None:
    """DescribeKey comes from a grant; without the rest the key stays out."""
    key = bench.key()
    allow = json.dumps(
        {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": [
                        "keystead:ListKeyStates",
                        "kms:GetKeyPolicy",
                        "kms:GetKeyRotationStatus",
                        "kms:ListResourceTags",
                    ],
                    "Resource": "*",
                }
            ]
        }
    )
    bench.house.user("viewer", allow)
    assert bench.do(d.ListKeyStates(), "viewer").left_out == 1
    bench.do(c.CreateGrant(key, ("DescribeKey",), grantee=f"arn:aws:iam::{ACCOUNT}:user/viewer"))
    assert bench.do(d.ListKeyStates(), "viewer").left_out == 0


# --- revisions -------------------------------------------------------------------------------------------


def test_a_revision_is_begun_and_closed(bench: ServiceBench) -> None:
    """It says by whom, when and why, keeps the state in one form, and remembers keys from one to the next."""
    none = bench.do(d.DescribeRevision())
    assert (none.revision.number, none.state, none.account) == (0, "{}", ACCOUNT)
    begun = bench.do(d.PutRevision(0, '{"b": 1, "a": "ü"}', "CHG-1")).revision
    assert (begun.number, begun.comment, begun.finished, begun.closed) == (1, "CHG-1", False, 0.0)
    assert begun.by == f"arn:aws:iam::{ACCOUNT}:user/admin"
    bench.house.clock.time += 5
    closed = bench.do(d.CloseRevision(1, finished=True, keys=(("key/x", "id-1"),))).revision
    assert (closed.finished, closed.closed, closed.keys) == (True, 1_000_005.0, {"key/x": "id-1"})
    bench.do(d.PutRevision(1, "{}"))
    bench.do(d.CloseRevision(2, finished=False, keys=(("key/y", "id-2"),)))
    assert bench.do(d.DescribeRevision()).revision.keys == {"key/x": "id-1", "key/y": "id-2"}
    assert bench.do(d.DescribeRevision(1)).state == '{"a":"ü","b":1}'
    first = bench.do(d.ListRevisions(1))
    last = bench.do(d.ListRevisions(1, first.marker))
    assert [each.number for page in (first, last) for each in page.revisions] == [1, 2]
    assert last.marker == ""


def test_who_planned_from_an_older_revision_is_refused(bench: ServiceBench) -> None:
    """Two who apply at once do not mix: the second is told to plan again, or to wait."""
    bench.do(d.PutRevision(0, "{}"))
    told = bench.refusal(d.PutRevision(0, "{}"))
    assert told.startswith(f"AlreadyExists: arn:aws:iam::{ACCOUNT}:user/admin is applying revision 1 since 0")
    assert bench.refusal(d.PutRevision(1, "{}")).startswith("AlreadyExists")
    bench.do(d.CloseRevision(1, finished=True))
    assert bench.refusal(d.PutRevision(0, "{}")).startswith(
        "AlreadyExists: The newest revision is 1 and not 0: somebody has applied since you planned."
    )
    assert bench.do(d.PutRevision(1, "{}")).revision.number == 2


def test_an_open_revision_can_be_taken_over_and_is_abandoned_in_time(bench: ServiceBench) -> None:
    """Whoever began it may never come back."""
    bench.do(d.PutRevision(0, "{}"))
    bench.do(d.PutRevision(1, "{}", take_over=True))
    bench.house.clock.time += declared.ABANDONED_SECONDS
    assert bench.do(d.PutRevision(2, "{}")).revision.number == 3
    assert bench.refusal(d.CloseRevision(2, finished=True)) == "NotFound: Revision 2 is not the newest."


def test_a_revision_is_closed_in_one_way(bench: ServiceBench) -> None:
    """The same again changes nothing, and the opposite is refused."""
    assert bench.refusal(d.CloseRevision(1, finished=True)) == "NotFound: Revision 1 is not the newest."
    bench.do(d.PutRevision(0, "{}"))
    closed = bench.do(d.CloseRevision(1, finished=True)).revision
    bench.house.clock.time += 5
    assert bench.do(d.CloseRevision(1, finished=True)).revision == closed
    assert bench.refusal(d.CloseRevision(1, finished=False)) == "AlreadyExists: Revision 1 is closed already."


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (d.PutRevision(0, "{"), "InvalidRequest: A revision's state must be JSON."),
        (d.PutRevision(0, "[" * 100_000), "InvalidRequest: A revision's state must be JSON."),
        (d.PutRevision(0, "[]"), "InvalidRequest: A revision's state must be a JSON object."),
        (
            d.PutRevision(0, "{}", "x" * 501),
            "InvalidRequest: A comment has at most 500 printable characters.",
        ),
        (d.PutRevision(0, "{}", "a\nb"), "InvalidRequest: A comment has at most 500 printable characters."),
        (d.PutRevision(0, json.dumps({"a": "x" * 1_000_000})), "TooLarge: The state has 1000008 bytes"),
        (d.DescribeRevision(7), "NotFound: There is no revision 7. List them with: keystead revision list"),
    ],
)
def test_what_is_no_revision_is_refused(bench: ServiceBench, command: Any, told: str) -> None:
    """With what is wrong."""
    assert bench.refusal(command).startswith(told)


def test_old_revisions_go(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are kept as the module says."""
    monkeypatch.setattr(declared, "KEPT", 3)
    for number in range(5):
        bench.do(d.PutRevision(number, "{}"))
        bench.do(d.CloseRevision(number + 1, finished=True))
    assert [each.number for each in bench.do(d.ListRevisions()).revisions] == [3, 4, 5]
    assert bench.refusal(d.DescribeRevision(2)).startswith("NotFound")
