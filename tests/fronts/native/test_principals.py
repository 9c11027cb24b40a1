"""What the native API takes and says of principals and access keys."""

from collections.abc import Callable
from typing import Any

import pytest

from keystead.core.errors import AuditUnavailable
from keystead.core.policy.builtin import AUDITOR
from keystead.core.principal import principal_arn, user_arn
from keystead.fronts.native.principals import ROWS
from keystead.service.commands import identity as i
from keystead.testing.installation import ACCOUNT, EVERYTHING, Installation

CAROL = user_arn(ACCOUNT, "carol")
TRUST = (
    '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, '
    '"Action": "sts:AssumeRole"}}'
)


def newest(house: Installation) -> int:
    """The number of the newest change."""
    with house.store.view() as view:
        return view.newest_change()


def test_all_that_is_said_of_a_principal(house: Installation, call: Callable[..., Any]) -> None:
    """The same when it is made, changed, described and listed; never the secret of its one-time passwords."""
    call("CreatePrincipal", name="operators", kind="group")
    made = call(
        "CreatePrincipal",
        name="carol",
        policy=EVERYTHING,
        attached=[AUDITOR],
        groups=["operators"],
        boundary=AUDITOR,
        tags={"team": "payroll"},
    )
    now = house.clock.now()
    epoch = made.pop("sessions_from")
    assert 0 < epoch <= newest(house)
    assert made == {
        "arn": CAROL,
        "kind": "user",
        "name": "carol",
        "created": now,
        "enabled": True,
        "policy": EVERYTHING,
        "attached": [AUDITOR],
        "groups": [principal_arn(ACCOUNT, "group", "operators")],
        "boundary": AUDITOR,
        "tags": {"team": "payroll"},
        "trust": "",
        "session_seconds": 3600,
        "mfa": False,
    }
    enrolled = call("EnableMfa", name="carol")
    assert enrolled.keys() == {"principal", "serial", "secret", "uri"}
    changed = call(
        "UpdatePrincipal",
        name="carol",
        attached=[],
        groups=[],
        boundary="",
        tags={},
        policy="",
        enabled=False,
    )
    assert changed.items() >= {"attached": [], "groups": [], "boundary": "", "tags": {}, "policy": ""}.items()
    assert (changed["enabled"], changed["mfa"]) == (False, True)
    assert call("DescribePrincipal", name="carol") == {**changed, "members": []}
    assert changed in call("ListPrincipals", kind="user")["principals"]
    assert call("DisableMfa", name="carol") == {}
    assert call("DescribePrincipal", name="carol")["mfa"] is False


def test_a_change_leaves_what_it_does_not_name() -> None:
    """A member that is left out is None, which is not the same as empty."""
    row = ROWS["UpdatePrincipal"]
    assert row.command(row.takes(name="x")) == i.UpdatePrincipal("x")
    assert row.command(row.takes(name="x", tags={}, enabled=True)) == i.UpdatePrincipal(
        "x", tags=(), enabled=True
    )
    everything = {
        "kind": "role",
        "policy": "p",
        "attached": ("a",),
        "groups": ("g",),
        "boundary": "b",
        "trust": "t",
        "session_seconds": 7200,
    }
    assert row.command(row.takes(name="x", **everything)) == i.UpdatePrincipal("x", **everything)  # type: ignore[arg-type]  # a table


def test_a_role_is_made_with_its_trust(call: Callable[..., Any]) -> None:
    """And the length of its sessions."""
    made = call("CreatePrincipal", name="deploy", kind="role", trust=TRUST, session_seconds=7200)
    assert (made["trust"], made["session_seconds"]) == (TRUST, 7200)
    assert call("PutPrincipalPolicy", name="deploy", kind="role", policy=EVERYTHING) == {}
    assert call("DeletePrincipal", name="deploy", kind="role") == {}


def test_a_group_is_described_with_its_members(call: Callable[..., Any]) -> None:
    """By their ARNs."""
    call("CreatePrincipal", name="operators", kind="group")
    call("CreatePrincipal", name="carol", groups=["operators"])
    assert call("DescribePrincipal", name="operators", kind="group")["members"] == [CAROL]


def test_what_was_revoked_is_told(house: Installation, call: Callable[..., Any]) -> None:
    """The access keys by id, the grants by number; what would be is told in the same form."""
    call("CreatePrincipal", name="carol")
    key = call("CreateAccessKey", name="carol")["access_key_id"]
    house.audit.later(60)
    foreseen = call("ForeseeRevocation", name="carol")
    assert (foreseen["enabled"], foreseen["access_keys"], foreseen["grants"]) == (True, [key], 0)
    assert call("RevokePrincipal", name="carol", disable=True) == {
        "principal": CAROL,
        "enabled": False,
        "sessions_from": newest(house) - 1,  # both changes of this one belong to it
        "access_keys": [key],
        "grants": 0,
    }


def test_access_keys_are_told_with_their_last_use(
    house: Installation, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing was signed, and since when that would be known; nothing of that where the logs cannot be read."""
    call("CreatePrincipal", name="carol", kind="service-account")
    made = call("CreateAccessKey", name="carol", kind="service-account")
    secret = made.pop("secret_access_key")
    (listed,) = call("ListAccessKeys", name="carol", kind="service-account")["access_keys"]
    assert secret not in str(listed)
    since = house.usage.last_of_access_key(made["access_key_id"]).since
    assert listed == {**made, "last_used": None, "tracked_since": since}

    def unavailable(_: str) -> None:
        raise AuditUnavailable

    monkeypatch.setattr(house.usage, "last_of_access_key", unavailable)
    (listed,) = call("ListAccessKeys", name="carol", kind="service-account")["access_keys"]
    assert (listed["last_used"], listed["tracked_since"]) == (None, None)


def test_a_kind_that_is_none_is_refused(office: Callable[..., Any]) -> None:
    """With those that there are."""
    told = office("DescribePrincipal", name="jobs", kind="service")
    assert (told.status, told.value["code"]) == (400, "InvalidRequest")
    assert "user, service-account, role or group" in told.value["detail"]
