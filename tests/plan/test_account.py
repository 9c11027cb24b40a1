"""Whole accounts: what is applied is there, what is applied next replaces it, and what was there comes back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.errors import AccessDenied, AlreadyExists, InvalidRequest, TooLarge
from keystead.core.names import KeyReference
from keystead.plan import carry as carrying
from keystead.plan.carry import Stopped, carry
from keystead.plan.compare import Plan, Verb, compare
from keystead.plan.documents import Directory, Document
from keystead.plan.drift import drift
from keystead.plan.present import look, record, things_of
from keystead.plan.reading import read
from keystead.plan.things import State, kind_of, shown
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT, REGION

NAMES = ("alpha", "beta", "gamma")
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
TAGS = st.dictionaries(
    st.sampled_from(["team", "own", "Größe"]), st.sampled_from(["", "x", "y z"]), max_size=2
)

Raw = dict[str, Any]


def policy(actions: list[str], effect: str = "Allow", **more: Any) -> Raw:
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": actions, "Resource": "*", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def declare(documents: list[Raw], region: str = REGION) -> State:
    """What these documents declare."""
    files = {
        f"{number}.yaml": [Document(file=f"{number}.yaml", value=value)]
        for number, value in enumerate(documents)
    }
    return read(Directory(documents=files), region).state


def planned(api: Any, state: State) -> Plan:
    """What it takes to come to a state."""
    known = record(api)
    regions = {REGION, *(name.split("/")[1] for name in (*state, *known.keys) if kind_of(name) == "key")}
    return compare(state, look(api, regions), known)


def applied(api: Any, state: State, **more: Any) -> int:
    """The number of the revision after which the account is in a state."""
    return carry(planned(api, state), api, lambda _step, _request: None, **more)


def is_now(api: Any, like: State) -> State:
    """What there is of what may have been declared, but for the administrator."""
    regions = {REGION, *(name.split("/")[1] for name in like if kind_of(name) == "key")}
    found = look(api, regions).things
    return {name: shown(thing) for name, thing in found.items() if name != "user/admin"}


def expected(state: State) -> State:
    """The same of what is declared."""
    return {name: shown(thing) for name, thing in state.items() if kind_of(name) != "required-tags"}


def all_keys(api: Any) -> set[tuple[str, str]]:
    """The keys that there are, by Region and id."""
    return {
        (region, key["key_id"])
        for region in (REGION, "eu-west-1")
        for key in api("ListKeyStates", region=region)["keys"]
    }


# --- random accounts -------------------------------------------------------------------------------------

_use = st.lists(st.sampled_from(["kms:Encrypt", "kms:Decrypt", "kms:Sign"]), min_size=1, max_size=2)
_maybe_policy = st.none() | _use.map(policy)
_trust = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}],
}


@st.composite
def accounts(draw: st.DrawFn) -> State:
    """An account as somebody may declare it. What a key is for ever depends on its name."""
    documents: list[Raw] = []

    def some(names: tuple[str, ...] = NAMES) -> list[str]:
        return draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []

    policies = some()
    documents += [{"kind": "policy", "name": name, "policy": policy(draw(_use))} for name in policies]
    groups = some()
    documents += [
        {"kind": "group", "name": name, "policy": draw(_maybe_policy), "attached": some(tuple(policies))}
        for name in groups
    ]
    for kind in ("user", "service-account", "role"):
        for name in some():
            one: Raw = {
                "kind": kind,
                "name": name,
                "policy": draw(_maybe_policy),
                "attached": [*some(tuple(policies)), *draw(st.sampled_from([[], ["KeysteadAuditor"]]))],
                "boundary": draw(st.sampled_from(["", *policies])),
                "tags": draw(TAGS),
                "enabled": draw(st.booleans()),
            }
            if kind == "role":
                one |= {"trust": _trust, "session_seconds": draw(st.sampled_from([3600, 7200]))}
            else:
                one["groups"] = some(tuple(groups))
            documents.append(one)
    for name in some():
        documents.append(
            {"kind": "guardrail", "name": name, "policy": policy([f"kms:Cancel{name}*"], "Deny")}
        )
    templates = some()
    for name in templates:
        documents.append(
            {
                "kind": "template",
                "name": name,
                "alias": f"{name}/<<name>>",
                "description": draw(st.sampled_from(["", "of <<name>> for <<team>>"])),
                "tags": draw(st.sampled_from([{}, {"team": "<<team>>"}])),
                "rotation_days": draw(st.sampled_from([None, 100])),
                "parameters": {"team": "*"},
            }
        )
    for name in some(tuple(templates)):
        documents.append(
            {
                "kind": "key",
                "template": name,
                "name": name,
                "parameters": {"team": draw(st.sampled_from("ab"))},
            }
        )
    for name in some():
        documents.append(
            {
                "kind": "key",
                "name": name,
                "region": "eu-west-1" if name == "beta" else REGION,
                "multi_region": name == "alpha",
                "description": draw(st.sampled_from(["", "d"])),
                "tags": draw(TAGS),
                "enabled": draw(st.booleans()),
                "policy": draw(
                    st.sampled_from([None, policy(["kms:*"], Principal={"AWS": ROOT}, Sid="Account")])
                ),
                **(
                    {"spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC"}
                    if name == "gamma"
                    else {"rotation_days": 90}
                ),
            }
        )
    return declare(documents)


@given(accounts(), accounts())
@settings(max_examples=25)
def test_an_account_becomes_what_is_declared_and_goes_back(
    make_api: Callable[[], Any], a: State, b: State
) -> None:
    """Applied, it is that and nothing is left to do; B after A is exactly B, and then A is A again."""
    api = make_api()
    both = {**a, **b}
    for number, state in enumerate((a, b), 1):
        assert applied(api, state) == number
        assert is_now(api, both) == expected(state)
        again = planned(api, state)
        assert (again.steps, again.refused, again.recorded) == ((), (), True)
        assert not drift(look(api, {REGION, "eu-west-1"}), record(api)).found
    keys = all_keys(api)
    back = things_of(api("DescribeRevision", number=1))
    assert applied(api, back) == 3
    assert is_now(api, both) == expected(a)
    assert all_keys(api) == keys  # a key whose alias had gone has it back: nothing was made twice


@given(accounts(), st.data())
@settings(max_examples=15)
def test_an_apply_that_stops_anywhere_is_finished_by_the_next(
    make_api: Callable[[], Any], state: State, data: st.DataObject
) -> None:
    """Whichever request fails: what is done stays, and the next plan is the rest, without making anything twice."""
    api = make_api()
    plan = planned(api, state)
    total = sum(len(step.requests) for step in plan.steps)
    if not total:
        return
    failing = data.draw(st.integers(1, total))
    asked = 0

    def breaking(operation: str, **arguments: Any) -> Raw:
        nonlocal asked
        if operation not in ("PutRevision", "CloseRevision"):
            asked += 1
            if asked == failing:
                raise ConnectionError("cut")
        answer: Raw = api(operation, **arguments)
        return answer

    with pytest.raises(Stopped) as stopped:
        carry(plan, breaking, lambda _step, _request: None)
    told = stopped.value
    assert len(told.done) + 1 + len(told.left) == len(plan.steps)
    assert told.revision == 1
    assert record(api).finished == 0
    rest = planned(api, state)
    assert {step.thing for step in rest.steps} == {told.at.thing, *(step.thing for step in told.left)}
    applied(api, state)
    assert is_now(api, state) == expected(state)
    keys = sum(kind_of(name) == "key" for name in state)
    assert len(all_keys(api)) == keys


# --- one thing after the other ---------------------------------------------------------------------------


def test_what_was_never_declared_is_left_alone(api: Any) -> None:
    """A user that somebody made by hand is listed, and neither a step nor drift."""
    api.bench.do(i.CreatePrincipal("byhand"))
    key = api("CreateKey")["key_id"]
    applied(api, declare([{"kind": "group", "name": "g"}]))
    applied(api, {})
    found = drift(look(api, [REGION]), record(api))
    assert found.unmanaged == (f"key/{REGION}/{key}", "user/admin", "user/byhand")
    assert not found.found
    assert "user/byhand" in look(api, [REGION]).things


def test_what_is_there_already_as_declared_is_only_recorded(api: Any) -> None:
    """To adopt an account needs no step, but a revision: from then on it is managed."""
    api.bench.do(i.CreatePrincipal("byhand"))
    state = declare([{"kind": "user", "name": "byhand"}])
    plan = planned(api, state)
    assert (plan.steps, plan.recorded) == ((), False)
    applied(api, state)
    assert planned(api, state).recorded
    assert [step.verb for step in planned(api, {}).steps] == [Verb.DELETE]


def test_drift_is_told_with_what_has_become_of_it(api: Any) -> None:
    """Changed by hand, deleted by hand, and a plan brings both back."""
    state = declare(
        [
            {"kind": "user", "name": "a", "tags": {"t": "1"}},
            {"kind": "user", "name": "b"},
            {"kind": "key", "name": "k", "description": "d"},
        ]
    )
    applied(api, state)
    api("UpdatePrincipal", name="a", tags={"t": "2"})
    api("DeletePrincipal", name="b")
    (key,) = api("ListKeyStates")["keys"]
    api("DisableKey", key_id=key["key_id"])
    found = drift(look(api, [REGION]), record(api))
    told = {each.thing: each.diff for each in found.drifted}
    assert {'-    "t": "1"', '+    "t": "2"'} <= set(told["user/a"])
    assert [each.thing for each in found.drifted if each.now is None] == ["user/b"]
    assert '+  "enabled": false,' in told[f"key/{REGION}/k"]
    assert found.found
    applied(api, state)
    assert not drift(look(api, [REGION]), record(api)).found


def test_a_key_that_is_declared_without_its_template_is_no_drift(api: Any) -> None:
    """Where a key came from does not bind it; one that waits for its deletion has drifted, and stays so."""
    template = {"kind": "template", "name": "t"}
    applied(api, declare([template, {"kind": "key", "name": "k", "template": "t"}]))
    state = declare([template, {"kind": "key", "name": "k"}])
    applied(api, state)
    assert planned(api, state).steps == ()
    assert not drift(look(api, [REGION]), record(api)).found


def test_keys_that_lack_required_tags_are_drift(api: Any) -> None:
    """Also those that nobody declared: somebody made them before the tags were required."""
    api("CreateKey")
    second = api("CreateKey", tags={"team": "sales"})["key_id"]
    api("CreateAlias", name="alias/two", key_id=second)
    api("CreateKey", tags={"team": "risk"})
    applied(api, declare([{"kind": "required-tags", "tags": {"team": ["risk", "payments"]}}]))
    found = drift(look(api, [REGION]), record(api))
    assert [text.split(": ")[1] for text in sorted(found.untagged)][-1].startswith(
        "has the tag team with the value"
    )
    assert len(found.untagged) == 2
    assert (
        f"key/{REGION}/two: has the tag team with the value 'sales', which is not payments or risk"
        in found.untagged
    )
    assert found.found


def test_required_tags_are_enforced_by_the_server(api: Any) -> None:
    """To make a key, to change a tag and to take it away: each is refused to the administrator as well."""
    applied(
        api,
        declare(
            [
                {
                    "kind": "required-tags",
                    "tags": {
                        "team": {"values": ["a*"], "only": {"specs": ["SYMMETRIC_DEFAULT"]}},
                        "own": "?*@z",
                    },
                }
            ]
        ),
    )
    fine = {"team": "ab", "own": "me@z"}
    for tags in (
        {},
        {"own": "me@z"},
        {**fine, "team": "b"},
        {**fine, "own": "@z"},
        {"TEAM": "ab", "own": "me@z"},
    ):
        with pytest.raises(AccessDenied, match="kms:CreateKey"):
            api("CreateKey", tags=tags)
    key_id = api("CreateKey", tags=fine)["key_id"]
    for tags in ({"team": "b"}, {"own": ""}):
        with pytest.raises(AccessDenied, match="kms:TagResource"):
            api("TagResource", key_id=key_id, tags=tags)
    api("TagResource", key_id=key_id, tags={"team": "ac", "more": "x"})
    for name in ("team", "own"):
        with pytest.raises(AccessDenied, match="kms:UntagResource"):
            api("UntagResource", key_id=key_id, names=["more", name])
    api("UntagResource", key_id=key_id, names=["more"])
    api("CreateKey", spec="HMAC_256", usage="GENERATE_VERIFY_MAC", tags={"own": "me@z"})


def test_keys_that_one_may_not_see_are_counted(api: Any) -> None:
    """A plan that did not look at everything says so."""
    key_id = api("CreateKey")["key_id"]
    hide = {"Effect": "Deny", "Principal": "*", "Action": "kms:DescribeKey", "Resource": "*"}
    hiding = policy(["kms:*"], Principal={"AWS": ROOT})
    hiding["Statement"].append(hide)
    api("PutKeyPolicy", key_id=key_id, policy=json.dumps(hiding))
    assert planned(api, {}).left_out == 1
    assert drift(look(api, [REGION]), record(api)).left_out == 1


def test_what_cannot_be_done_is_refused_before_anything_is(api: Any) -> None:
    """A key's spec, usage and Regions are for ever, as is where it came from; and what is disabled does not rotate."""
    keys = [{"kind": "key", "name": name} for name in ("a", "b", "c", "d")]
    keys[3]["enabled"] = False  # type: ignore[assignment]  # JSON's values
    applied(api, declare(keys))
    (gone,) = [key for key in api("ListKeyStates")["keys"] if key["aliases"] == ["alias/c"]]
    api.bench.do(c.ScheduleKeyDeletion(KeyReference(gone["key_id"])))
    state = declare(
        [
            {"kind": "template", "name": "t"},
            {"kind": "key", "name": "a", "spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC"},
            {"kind": "key", "name": "b", "template": "t"},
            {"kind": "key", "name": "c"},
            {"kind": "key", "name": "d", "enabled": False, "rotation_days": 100},
        ]
    )
    plan = planned(api, state)
    told = [text.partition(": ")[2] for text in plan.refused]
    assert told[0].startswith("a key's spec is for ever: it is SYMMETRIC_DEFAULT and cannot become HMAC_256.")
    assert "was not made from the template t." in told[1]
    assert "is going to be deleted. Keep it with aws kms cancel-key-deletion" in told[2]
    assert told[3].startswith("the rotation of a disabled key cannot be changed.")
    asked = len(api.asked)
    with pytest.raises(InvalidRequest, match="There is something that cannot be done"):
        carry(plan, api, lambda _step, _request: None)
    assert len(api.asked) == asked
    assert drift(look(api, [REGION]), record(api)).drifted[0].thing == f"key/{REGION}/c"


def test_a_key_that_was_made_and_not_named_is_found_again(api: Any) -> None:
    """The apply stopped between the two: the next one names that key, and no other one like it."""
    api("CreateKey", description="d")
    api.bench.house.clock.time += 10
    state = declare([{"kind": "key", "name": "k", "description": "d", "enabled": False}])

    def cut(operation: str, **arguments: Any) -> Raw:
        if operation == "CreateAlias":
            raise ConnectionError("cut")
        answer: Raw = api(operation, **arguments)
        return answer

    with pytest.raises(Stopped):
        carry(planned(api, state), cut, lambda _step, _request: None)
    (step,) = planned(api, state).steps
    assert [request.operation for request in step.requests] == ["CreateAlias", "DisableKey"]
    assert step.diff[1:4] == ["+{", '+  "description": "d",', '+  "enabled": false,']
    applied(api, state)
    (named,) = [key for key in api("ListKeyStates")["keys"] if key["aliases"]]
    assert (named["created"], named["state"], len(all_keys(api))) == (1_000_010.0, "Disabled", 2)


def test_of_two_keys_that_are_alike_each_has_its_own(api: Any) -> None:
    """The one that was made and not named becomes one of them, and not both."""
    state = declare([{"kind": "key", "name": name} for name in ("a", "b")])

    def cut(operation: str, **arguments: Any) -> Raw:
        if operation == "CreateAlias":
            raise ConnectionError("cut")
        answer: Raw = api(operation, **arguments)
        return answer

    with pytest.raises(Stopped):
        carry(planned(api, state), cut, lambda _step, _request: None)
    applied(api, state)
    assert [key["aliases"] for key in sorted(api("ListKeyStates")["keys"], key=str)] != [
        ["alias/a", "alias/b"]
    ]
    assert sorted(alias for key in api("ListKeyStates")["keys"] for alias in key["aliases"]) == [
        "alias/a",
        "alias/b",
    ]
    assert len(all_keys(api)) == 2


def test_a_key_is_not_declared_under_two_names(api: Any) -> None:
    """Or one plan would undo what the other has done."""
    applied(api, declare([{"kind": "key", "name": "a"}]))
    (key,) = api("ListKeyStates")["keys"]
    api("CreateAlias", name="alias/b", key_id=key["key_id"])
    (told,) = planned(api, declare([{"kind": "key", "name": name} for name in ("a", "b")])).refused
    assert told.startswith(f"key/{REGION}/b: it is the same key as key/{REGION}/a, {key['key_id']}.")


def test_each_part_of_a_key_is_changed_by_its_own_request(api: Any) -> None:
    """Tags that differ and tags that go, state, description, rotation and policy; one of a template is ensured."""
    template = {"kind": "template", "name": "t", "parameters": {"p": "*"}, "description": "<<p>>"}
    of_template = {"kind": "key", "name": "k", "template": "t", "parameters": {"p": "x"}}
    plain = {"kind": "key", "name": "l", "tags": {"a": "1", "b": "1"}, "enabled": False}
    applied(api, declare([template, of_template, plain]))
    other = policy(["kms:*"], Principal={"AWS": ROOT})
    changed = {"tags": {"a": "2"}, "enabled": True, "description": "d", "rotation_days": 90, "policy": other}
    found = planned(api, declare([template, {**of_template, "parameters": {"p": "y"}}, {**plain, **changed}]))
    told = {step.thing.rpartition("/")[2]: [each.operation for each in step.requests] for step in found.steps}
    assert told == {
        "k": ["EnsureKey"],
        "l": [
            "EnableKey",
            "UpdateKeyDescription",
            "TagResource",
            "UntagResource",
            "EnableKeyRotation",
            "PutKeyPolicy",
        ],
    }
    carry(found, api, lambda _step, _request: None)
    off = planned(api, declare([template, {**of_template, "enabled": False}, plain]))
    told = {step.thing.rpartition("/")[2]: [each.operation for each in step.requests] for step in off.steps}
    assert told["k"] == ["EnsureKey", "DisableKey"]
    assert told["l"][-3:] == ["DisableKeyRotation", "DisableKey", "PutKeyPolicy"]
    carry(off, api, lambda _step, _request: None)
    assert planned(api, off.declared).steps == ()


def test_rotation_is_switched_on_and_off(api: Any) -> None:
    """As the key is declared from one time to the next."""
    for days in (100, 200, None):
        applied(api, declare([{"kind": "key", "name": "k", "rotation_days": days}]))
        assert [key["rotation_days"] for key in api("ListKeyStates")["keys"]] == [days]


def test_what_is_left_by_hand_is_told(api: Any) -> None:
    """A key that is no longer declared stays, without its alias."""
    applied(api, declare([{"kind": "key", "name": "a/b"}]))
    (key,) = api("ListKeyStates")["keys"]
    plan = planned(api, {})
    (told,) = plan.by_hand
    assert told.startswith(f"key/{REGION}/a/b: the key {key['key_id']} stays, since keys are never deleted")
    assert told.endswith(f"aws kms schedule-key-deletion --region {REGION} --key-id {key['key_id']}")
    assert plan.summary == "0 to create, 0 to change, 1 to delete"
    applied(api, {})
    (key,) = api("ListKeyStates")["keys"]
    assert (key["aliases"], key["state"]) == ([], "Enabled")


def test_two_who_apply_at_once_do_not_mix(api: Any) -> None:
    """The second is refused before its first step; one that stopped does not keep anybody waiting."""
    one, other = planned(api, declare([{"kind": "group", "name": "a"}])), planned(api, {})
    met: list[str] = []

    def meanwhile(_step: Any, _request: Any) -> None:
        with pytest.raises(AlreadyExists, match="is applying revision 1 since 0 seconds"):
            carry(other, api, lambda _step, _request: None)
        met.append("refused")

    carry(one, api, meanwhile, comment="CHG-1")
    assert met == ["refused"]
    with pytest.raises(AlreadyExists, match="Plan again"):
        carry(other, api, lambda _step, _request: None)
    assert api("DescribeRevision")["comment"] == "CHG-1"


def test_an_attempt_that_could_not_even_be_closed_is_taken_over(api: Any) -> None:
    """Its author is gone with the connection; what it had begun is managed all the same."""
    plan = planned(api, declare([{"kind": "group", "name": "a"}, {"kind": "group", "name": "b"}]))

    def cut(operation: str, **arguments: Any) -> Raw:
        if api.asked[-1:] == ["CreatePrincipal"]:
            raise ConnectionError("cut")
        answer: Raw = api(operation, **arguments)
        return answer

    with pytest.raises(Stopped, match="cut"):
        carry(plan, cut, lambda _step, _request: None)
    known = record(api)
    assert (known.newest, known.finished, known.managed) == (1, 0, frozenset({"group/a", "group/b"}))
    assert known.begun
    rest = planned(api, {})
    assert [step.thing for step in rest.steps] == ["group/a"]
    with pytest.raises(AlreadyExists, match="take over"):
        carry(rest, api, lambda _step, _request: None)
    assert carry(rest, api, lambda _step, _request: None, take_over=True) == 2


def test_a_state_that_is_too_large_is_refused_before_anything_is_done(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its size and what to do."""
    monkeypatch.setattr(carrying, "STATE_BYTES", 50)
    plan = planned(api, declare([{"kind": "group", "name": "a"}]))
    asked = len(api.asked)
    with pytest.raises(TooLarge, match=r"has \d+ bytes as a revision, and one may have 50: keep keys"):
        carry(plan, api, lambda _step, _request: None)
    assert len(api.asked) == asked
