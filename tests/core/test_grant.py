"""What a grant allows, and what may be granted by virtue of one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.grant import (
    CONTEXTUAL,
    Grant,
    holder_of,
    including,
    operations_of,
    permitting,
    sessions_of,
)
from keystead.core.principal import principal_arn, role_arn, root_arn, session_arn, user_arn
from keystead.core.spec import SPECS

ALICE = user_arn("111122223333", "alice")
GRANT = Grant(
    id="ab" * 32,
    region="eu-central-1",
    key_id="k1",
    grantee=ALICE,
    operations=("Decrypt", "DescribeKey", "CreateGrant"),
    issuer=root_arn("111122223333"),
    created=1.5,
)

contexts = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyX"), max_size=3)
operations = st.lists(st.sampled_from(["Encrypt", "Decrypt", "DescribeKey", "CreateGrant"]), min_size=1)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """A grant with one kind of constraint or none."""
    constraint = draw(st.sampled_from(["context_equals", "context_subset"]))
    changes: dict[str, Any] = {"operations": tuple(draw(operations)), constraint: draw(contexts)}
    return replace(GRANT, **changes)


def test_it_allows_its_operations_and_no_other() -> None:
    """Names are exact."""
    assert GRANT.permits("Decrypt", None)
    assert GRANT.permits("Decrypt", {"any": "context"})
    for other in ("Encrypt", "decrypt", "", "kms:Decrypt", "*"):
        assert not GRANT.permits(other, None)


@pytest.mark.parametrize(
    ("context", "equals", "subset"),
    [
        ({"a": "1", "b": "2"}, True, True),
        ({"b": "2", "a": "1"}, True, True),
        ({"a": "1", "b": "2", "c": "3"}, False, True),
        ({"a": "1"}, False, False),
        ({"A": "1", "b": "2"}, False, False),
        ({"a": "1", "b": "Two"}, False, False),
        ({}, False, False),
        (None, False, False),
    ],
)
def test_a_constraint_speaks_of_the_context(
    context: Mapping[str, str] | None, equals: bool, subset: bool
) -> None:
    """Equals is the same map, Subset at least these pairs, letter by letter."""
    pairs = {"a": "1", "b": "2"}
    assert replace(GRANT, context_equals=pairs).permits("Decrypt", context) is equals
    assert replace(GRANT, context_subset=pairs).permits("Decrypt", context) is subset
    assert replace(GRANT, context_equals=pairs).constrained
    assert replace(GRANT, context_subset=pairs).constrained
    assert not GRANT.constrained


def test_what_has_no_context_is_not_constrained() -> None:
    """DescribeKey and CreateGrant stand beside a constraint, and it does not apply to them."""
    grant = replace(GRANT, context_equals={"a": "1"})
    assert grant.permits("DescribeKey", None)
    assert grant.permits("CreateGrant", None)


def test_a_grant_for_requests_of_a_resource_allows_nobody_here() -> None:
    """No request comes on behalf of an AWS resource."""
    grant = replace(GRANT, source_arn="arn:aws:s3:eu-central-1:111122223333:bucket")
    assert not any(grant.permits(operation, None) for operation in grant.operations)


def test_the_first_grant_that_permits_is_the_one_that_decided() -> None:
    """Actions are named as in policies; without such a grant there is none."""
    other = replace(GRANT, id="cd" * 32, operations=("Encrypt",))
    assert permitting([other, GRANT], "kms:Decrypt", None) is GRANT
    assert permitting([other, GRANT], "kms:Encrypt", None) is other
    assert permitting([other, GRANT], "kms:Sign", None) is None
    assert permitting([], "kms:Sign", None) is None


def test_the_first_grant_that_would_permit_under_some_context_is_found() -> None:
    """Its constraint does not count; that it is for requests of a resource does."""
    bound = replace(GRANT, context_equals={"a": "1"})
    for_resource = replace(bound, source_arn="arn:aws:s3:eu-central-1:111122223333:bucket")
    assert permitting([for_resource, bound], "kms:Decrypt", None) is None
    assert including([for_resource, bound, GRANT], "kms:Decrypt") is bound
    assert including([for_resource, bound], "kms:Sign") is None


@given(grants(), grants(), contexts)
def test_what_is_within_another_grant_never_allows_more(
    one: Grant, other: Grant, context: dict[str, str]
) -> None:
    """Whatever the constraints: each use that the inner one allows, the outer one allows too."""
    if one.within(other):
        for operation in one.operations:
            assert not one.permits(operation, context) or other.permits(operation, context)


@given(grants())
def test_a_grant_is_within_itself_and_within_one_without_constraint(grant: Grant) -> None:
    """As strict is strict enough."""
    assert grant.within(grant)
    assert grant.within(replace(grant, context_equals={}, context_subset={}))
    assert not grant.within(replace(grant, operations=("Sign",)))


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ({"context_equals": {"a": "1", "b": "2"}}, {"context_subset": {"a": "1"}}, True),
        ({"context_subset": {"a": "1", "b": "2"}}, {"context_subset": {"a": "1"}}, True),
        ({"context_subset": {"a": "1"}}, {"context_subset": {"a": "1", "b": "2"}}, False),
        ({"context_subset": {"a": "1"}}, {"context_equals": {"a": "1"}}, False),
        ({"context_equals": {"a": "2"}}, {"context_equals": {"a": "1"}}, False),
        ({"operations": ("DescribeKey",)}, {"context_subset": {"a": "1"}}, False),
        ({"operations": ("Decrypt", "Encrypt")}, {}, False),
        ({"operations": ("Decrypt",)}, {}, True),
    ],
)
def test_as_strict_or_stricter(inner: dict[str, Any], outer: dict[str, Any], within: bool) -> None:
    """A constraint is passed on with whatever is passed on, even where it would not apply."""
    assert replace(GRANT, **inner).within(replace(GRANT, **outer)) is within


def test_parameters_are_what_was_asked_for() -> None:
    """Id, date and issuer are not, and the order of operations says nothing; everything else counts."""
    same = replace(GRANT, id="cd" * 32, created=9.0, issuer="x", operations=GRANT.operations[::-1])
    assert same.parameters == GRANT.parameters
    for changes in (
        {"name": "n"},
        {"region": "eu-west-1"},
        {"key_id": "k2"},
        {"operations": ("Decrypt",)},
        {"grantee": "x"},
        {"retiring": "x"},
        {"grantee_service": "x"},
        {"retiring_service": "x"},
        {"context_equals": {"a": "1"}},
        {"context_subset": {"a": "1"}},
        {"source_arn": "x"},
    ):
        assert replace(GRANT, **changes).parameters != GRANT.parameters


@pytest.mark.parametrize(
    ("spec", "usage", "only"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", CONTEXTUAL),
        (
            "RSA_2048",
            "ENCRYPT_DECRYPT",
            {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"},
        ),
        ("RSA_2048", "SIGN_VERIFY", {"Sign", "Verify", "GetPublicKey"}),
        ("ECC_NIST_P256", "SIGN_VERIFY", {"Sign", "Verify", "GetPublicKey"}),
        ("ECC_NIST_P256", "KEY_AGREEMENT", {"DeriveSharedSecret", "GetPublicKey"}),
        ("ML_DSA_44", "SIGN_VERIFY", {"Sign", "Verify", "GetPublicKey"}),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", {"Encapsulate", "Decapsulate", "GetPublicKey"}),
        ("HMAC_256", "GENERATE_VERIFY_MAC", {"GenerateMac", "VerifyMac"}),
    ],
)
def test_operations_suit_the_key(spec: str, usage: str, only: set[str]) -> None:
    """What the key cannot do is not granted; three operations suit all keys."""
    assert operations_of(spec, usage) == {"CreateGrant", "RetireGrant", "DescribeKey"} | only


def test_every_key_has_operations_to_grant() -> None:
    """No spec and usage is forgotten."""
    for spec, row in SPECS.items():
        for usage in row.usages:
            assert len(operations_of(spec, usage)) > 4


@pytest.mark.parametrize(
    ("arn", "holder"),
    [
        (ALICE, ALICE),
        (role_arn("111122223333", "deploy"), role_arn("111122223333", "deploy")),
        (
            principal_arn("111122223333", "service-account", "ci"),
            "arn:aws:iam::111122223333:service-account/ci",
        ),
        (session_arn("111122223333", "deploy", "ci-7"), role_arn("111122223333", "deploy")),
        ("arn:aws:sts::111122223333:assumed-role/deploy", role_arn("111122223333", "deploy")),
        (root_arn("111122223333"), ""),
        ("arn:aws:sts::111122223333:federated-user/alice", ""),
    ],
)
def test_whose_existence_an_arn_depends_on(arn: str, holder: str) -> None:
    """A session is nobody without its role; an account's root is the account, and there are no federated users."""
    assert holder_of(arn) == holder


def test_only_a_role_has_sessions_of_its_own() -> None:
    """What they begin with ends where the role's name does, so that it is not that of another role."""
    account = "111122223333"
    sessions = sessions_of(role_arn(account, "a"))
    assert session_arn(account, "a", "ci-7").startswith(sessions)
    assert not session_arn(account, "ab", "ci-7").startswith(sessions)
    for other in (
        ALICE,
        root_arn(account),
        user_arn(account, "x:role/a"),
        session_arn(account, "a", "b"),
        "a",
        "",
    ):
        assert sessions_of(other) == ""
