"""What is told of declared policies: each by itself, and what each principal holds together."""

import json
from typing import Any

from keystead.plan.linting import findings, live
from keystead.plan.present import look
from keystead.testing.installation import ACCOUNT, REGION

AUDITOR = "arn:aws:iam::aws:policy/KeysteadAuditor"
USER = {"attached": [], "boundary": "", "enabled": True, "groups": [], "policy": None, "tags": {}}
GROUP = {"attached": [], "enabled": True, "policy": None, "tags": {}}


def policy(*actions: str, effect: str = "Allow", resource: str = "arn:aws:kms:*:*:key/k") -> dict[str, Any]:
    """A policy that lint has nothing to say about."""
    statement = {"Sid": "One", "Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def told(**state: Any) -> list[tuple[str, str]]:
    """The findings about things, by their names with the first underscore for the slash."""
    things = {name.replace("_", "/", 1): thing for name, thing in state.items()}
    return [(each.policy, each.code) for each in findings(things)]


def test_each_policy_is_looked_at_as_what_it_is() -> None:
    """Identity, key and trust policies and guardrails, under the names of their things."""
    everybody = json.loads(json.dumps(policy("kms:*", resource="*")))
    everybody["Statement"][0]["Principal"] = "*"
    anybody = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "One",
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/token.example.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
            }
        ],
    }
    role = {name: value for name, value in USER.items() if name != "groups"}
    found = told(
        policy_p={"policy": policy("kms:Encript")},
        guardrail_g={"policy": policy("kms:Encript", effect="Deny", resource="*")},
        role_r={**role, "session_seconds": 3600, "trust": anybody},
        key_r={"policy": everybody},
        template_t={"policy": everybody},
    )
    assert ("policy/p", "PL005") in found
    assert ("guardrail/g", "PL005") in found
    assert ("role/r (trust)", "PL017") in found
    assert ("key/r", "PL003") in found
    assert not [name for name, _ in found if name == "template/t"]


def test_what_one_holds_together_is_put_together() -> None:
    """Use from its own policy and policy writing from its group's: neither is wrong by itself."""
    state: dict[str, Any] = {
        "policy_write": {"policy": policy("kms:PutKeyPolicy")},
        "group_g": {**GROUP, "attached": ["write"]},
        "user_u": {**USER, "groups": ["g"], "policy": policy("kms:Decrypt")},
    }
    assert told(**state) == [("user/u", "PL013")]
    assert told(**{**state, "user_u": {**state["user_u"], "groups": []}}) == []
    own = {**GROUP, "policy": policy("kms:PutKeyPolicy")}
    assert told(**{**state, "group_g": own}) == [("user/u", "PL013")]


def test_what_limits_it_is_counted_too() -> None:
    """A boundary, a guardrail or a built-in policy with a denial keeps the two apart."""
    both = {**USER, "policy": policy("kms:Decrypt"), "attached": ["write"]}
    state: dict[str, Any] = {"policy_write": {"policy": policy("kms:PutKeyPolicy")}, "user_u": both}
    assert told(**state) == [("user/u", "PL013")]
    assert told(**{**state, "user_u": {**both, "attached": ["write", AUDITOR]}}) == []
    narrow = {"policy": policy("kms:Decrypt", resource="*")}
    assert told(**{**state, "policy_b": narrow, "user_u": {**both, "boundary": "b"}}) == []
    guard = {"policy": policy("kms:Decrypt", effect="Deny", resource="*")}
    assert told(**state, guardrail_g=guard) == []


def test_what_is_managed_elsewhere_is_not_guessed_at() -> None:
    """Policies and groups that another directory declares are left out."""
    elsewhere = "arn:aws:iam::111122223333:policy/elsewhere"
    group = "arn:aws:iam::111122223333:group/elsewhere"
    assert told(user_u={**USER, "attached": [elsewhere], "boundary": elsewhere, "groups": [group]}) == []


def test_what_is_live_is_found_whether_or_not_it_was_declared(api: Any) -> None:
    """Principals by all that they hold, in groups and attached too; trust policies, guardrails and named policies."""
    decrypt, write = json.dumps(policy("kms:Decrypt")), json.dumps(policy("kms:PutKeyPolicy"))
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com"},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }
    api("PutPolicy", name="write", text=write)
    api("PutPolicy", name="typo", text=json.dumps(policy("kms:Encript")))
    api("PutGuardrail", name="typo", text=json.dumps(policy("kms:Decyrp*", effect="Deny")))
    api("CreatePrincipal", kind="group", name="writers", attached=["write"])
    api("CreatePrincipal", kind="user", name="mallory", policy=decrypt, groups=["writers"])
    api("CreatePrincipal", kind="service-account", name="both", policy=decrypt, attached=["write"])
    api("CreatePrincipal", kind="user", name="bounded", policy=decrypt, attached=["write"], boundary="write")
    api("CreatePrincipal", kind="user", name="reader", policy=decrypt)
    api("CreatePrincipal", kind="role", name="web", trust=json.dumps({"Statement": trust}))
    found = {(each.policy, each.code) for each in findings(live(look(api, [REGION])))}
    assert {each for each in found if not each[0].startswith("user/admin")} == {
        ("user/mallory", "PL013"),
        ("service-account/both", "PL013"),
        ("policy/typo", "PL005"),
        ("guardrail/typo", "PL005"),
        ("role/web (trust)", "PL015"),
        ("role/web (trust)", "PL017"),
    }
    assert ("user/admin", "PL013") in found


def test_keys_are_looked_at_once_and_without_an_alias_too(api: Any) -> None:
    """Under the first alias, or the id; a policy that a key has unasked is no finding."""
    everybody = policy("kms:Decrypt", resource="*")
    everybody["Statement"][0]["Principal"] = "*"
    root = policy("kms:*", resource="*")
    root["Statement"][0] |= {"Sid": "Root", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    text = json.dumps({**root, "Statement": [*root["Statement"], *everybody["Statement"]]})
    named, bare = (api("CreateKey", policy=text, region=REGION)["key_id"] for _ in range(2))
    api("CreateKey", region=REGION)
    for alias in ("alias/one", "alias/two"):
        api("CreateAlias", name=alias, key_id=named, region=REGION)
    found = {(each.policy, each.code) for each in findings(live(look(api, [REGION])))}
    assert {each for each in found if each[0].startswith("key/")} == {
        (f"key/{REGION}/one", "PL003"),
        (f"key/{REGION}/{bare}", "PL003"),
    }
