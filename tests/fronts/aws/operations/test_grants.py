"""Grants as AWS writes them: what is asked, and what an entry of a list has and leaves out."""

import json
from dataclasses import replace
from typing import Any

import pytest

from keystead.core.errors import InvalidRequest, NotFound
from keystead.core.grant import Grant
from keystead.core.names import KeyReference
from keystead.core.principal import root_arn, user_arn
from keystead.fronts.aws import model
from keystead.fronts.aws.operations import ROWS
from keystead.service.results import Done
from keystead.service.results import kms as r

KEY_ID = "12345678-1234-1234-1234-123456789012"
ARN = f"arn:aws:kms:eu-central-1:111122223333:key/{KEY_ID}"
BY_ARN = KeyReference(KEY_ID, account="111122223333", region="eu-central-1")
ALICE, ROOT = user_arn("111122223333", "alice"), root_arn("111122223333")
GRANT = Grant(
    id="ab" * 32,
    region="eu-central-1",
    key_id=KEY_ID,
    grantee=ALICE,
    operations=("Decrypt", "DescribeKey"),
    issuer=ROOT,
    created=1.5,
)


def asked(taken: Any) -> Any:
    """The command, by its members, as nothing of one is shown when it is printed."""
    operation = type(taken).__name__.removesuffix("Request")
    command = ROWS[operation].command(taken)
    return {name: getattr(command, name) for name in command.__struct_fields__}


def listed(*grants: Grant, marker: str = "", operation: str = "ListGrants") -> dict[str, Any]:
    """The answer."""
    answer: dict[str, Any] = json.loads(
        ROWS[operation].write(r.GrantPage([(ARN, grant) for grant in grants], marker))
    )
    return answer


def test_what_create_grant_takes() -> None:
    """Every member has its place, and those that are left out say so."""
    everything = model.CreateGrantRequest(
        KeyId=ARN,
        GranteePrincipal=ALICE,
        RetiringPrincipal=ROOT,
        Operations=["Decrypt", "Encrypt"],
        Constraints=model.GrantConstraints(
            EncryptionContextSubset={"a": "1"}, EncryptionContextEquals={"b": "2"}, SourceArn="arn:source"
        ),
        GrantTokens=["t"],
        Name="n",
        DryRun=True,
        GranteeServicePrincipal="a.example.com",
        RetiringServicePrincipal="b.example.com",
    )
    assert asked(everything) == {
        "key": BY_ARN,
        "operations": ("Decrypt", "Encrypt"),
        "grantee": ALICE,
        "retiring": ROOT,
        "grantee_service": "a.example.com",
        "retiring_service": "b.example.com",
        "context_equals": {"b": "2"},
        "context_subset": {"a": "1"},
        "source_arn": "arn:source",
        "name": "n",
        "tokens": ("t",),
        "dry_run": True,
    }
    least = asked(model.CreateGrantRequest(KeyId=KEY_ID, GranteePrincipal=ALICE, Operations=["Decrypt"]))
    assert least == {
        "key": KeyReference(KEY_ID),
        "operations": ("Decrypt",),
        "grantee": ALICE,
        **dict.fromkeys(("retiring", "grantee_service", "retiring_service", "source_arn", "name"), ""),
        "context_equals": None,
        "context_subset": None,
        "tokens": (),
        "dry_run": False,
    }


def test_what_the_lists_take() -> None:
    """A filter of principals is one or the other; pages are 50 unless told otherwise, and 100 at most."""
    assert asked(model.ListGrantsRequest(KeyId=KEY_ID, GrantId="g", GranteePrincipal=ALICE, Limit=100)) == {
        "key": KeyReference(KEY_ID),
        "grant_id": "g",
        "grantee": ALICE,
        "grantee_service": "",
        "limit": 100,
        "marker": "",
    }
    assert asked(model.ListGrantsRequest(KeyId=KEY_ID, GranteeServicePrincipal="a.b.c", Marker="m")) == {
        "key": KeyReference(KEY_ID),
        "grant_id": "",
        "grantee": "",
        "grantee_service": "a.b.c",
        "limit": 50,
        "marker": "m",
    }
    assert asked(model.ListRetirableGrantsRequest(RetiringPrincipal=ALICE)) == {
        "retiring": ALICE,
        "retiring_service": "",
        "limit": 50,
        "marker": "",
    }
    assert asked(model.ListRetirableGrantsRequest(RetiringServicePrincipal="a.b.c", Limit=1, Marker="m")) == {
        "retiring": "",
        "retiring_service": "a.b.c",
        "limit": 1,
        "marker": "m",
    }
    for request in (
        model.ListGrantsRequest(KeyId=KEY_ID, Limit=101),
        model.ListRetirableGrantsRequest(RetiringPrincipal=ALICE, Limit=101),
        model.ListGrantsRequest(KeyId=KEY_ID, GranteePrincipal=ALICE, GranteeServicePrincipal="a.b.c"),
        model.ListRetirableGrantsRequest(RetiringPrincipal=ALICE, RetiringServicePrincipal="a.b.c"),
    ):
        with pytest.raises(InvalidRequest):
            asked(request)


def test_what_ends_a_grant() -> None:
    """Revoked by key and id, retired by token or by key and id."""
    assert asked(model.RevokeGrantRequest(KeyId=ARN, GrantId="g", DryRun=True)) == {
        "key": BY_ARN,
        "grant_id": "g",
        "dry_run": True,
    }
    assert asked(model.RetireGrantRequest(GrantToken="t")) == {
        "token": "t",
        "key": None,
        "grant_id": "",
        "dry_run": False,
    }
    assert asked(model.RetireGrantRequest(KeyId=ARN, GrantId="g", DryRun=True)) == {
        "token": "",
        "key": BY_ARN,
        "grant_id": "g",
        "dry_run": True,
    }
    for request in (
        model.RevokeGrantRequest(KeyId="fake", GrantId="g"),
        model.RetireGrantRequest(KeyId="fake", GrantId="g"),
        model.ListGrantsRequest(KeyId="fake"),
        model.CreateGrantRequest(KeyId="fake", GranteePrincipal=ALICE, Operations=["Decrypt"]),
    ):
        with pytest.raises(NotFound, match="Invalid keyId 'fake'"):
            asked(request)


def test_what_is_made_and_what_is_ended() -> None:
    """An id and a token; nothing at all."""
    made = json.loads(ROWS["CreateGrant"].write(r.Granted(GRANT.id, "token")))
    assert made == {"GrantId": GRANT.id, "GrantToken": "token"}
    for operation in ("RevokeGrant", "RetireGrant"):
        assert ROWS[operation].write(Done()) == b""


@pytest.mark.parametrize("operation", ["ListGrants", "ListRetirableGrants"])
def test_an_entry_says_no_more_than_there_is(operation: str) -> None:
    """The key by its ARN, the date as a number, and Truncated always."""
    entry = {
        "CreationDate": 1.5,
        "GrantId": GRANT.id,
        "GranteePrincipal": ALICE,
        "IssuingAccount": ROOT,
        "KeyId": ARN,
        "Operations": ["Decrypt", "DescribeKey"],
    }
    assert listed(GRANT, operation=operation) == {"Grants": [entry], "Truncated": False}
    assert listed(operation=operation) == {"Grants": [], "Truncated": False}
    answer = listed(replace(GRANT, name="n"), GRANT, marker="m", operation=operation)
    assert answer == {"Grants": [{**entry, "Name": "n"}, entry], "NextMarker": "m", "Truncated": True}


def test_an_entry_says_all_that_there_is() -> None:
    """Constraints by their kind, services beside principals."""
    (entry,) = listed(
        replace(
            GRANT,
            grantee="",
            grantee_service="a.example.com",
            retiring_service="b.example.com",
            context_subset={"a": "1"},
            source_arn="arn:source",
        )
    )["Grants"]
    assert "GranteePrincipal" not in entry
    assert "RetiringPrincipal" not in entry
    assert entry["GranteeServicePrincipal"] == "a.example.com"
    assert entry["RetiringServicePrincipal"] == "b.example.com"
    assert entry["Constraints"] == {"EncryptionContextSubset": {"a": "1"}, "SourceArn": "arn:source"}
    (entry,) = listed(replace(GRANT, retiring=ROOT, context_equals={"a": "1"}))["Grants"]
    assert entry["RetiringPrincipal"] == ROOT
    assert entry["Constraints"] == {"EncryptionContextEquals": {"a": "1"}}
