"""Who is asking."""

import pytest

from keystead.core.errors import MalformedPolicy
from keystead.core.principal import Principal
from keystead.service.caller import Caller, identity_of

PRINCIPAL = Principal(
    arn="arn:aws:iam::111122223333:user/alice",
    account="111122223333",
    name="alice",
    created=0.0,
    policy='{"Statement": {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}}',
)


def test_an_identity_has_its_policy_compiled() -> None:
    """Parsed once, and nothing decided yet."""
    identity = identity_of(PRINCIPAL)
    assert (identity.arn, identity.account) == (PRINCIPAL.arn, PRINCIPAL.account)
    assert [s.label for s in identity.policy.statements] == ["#0"]
    assert identity.rulings == {}


def test_two_identities_are_never_the_same() -> None:
    """So that what was decided for one is not remembered for the next, made after a change."""
    one, other = identity_of(PRINCIPAL), identity_of(PRINCIPAL)
    assert one != other
    assert len({one, other}) == 2


def test_a_stored_policy_that_is_none_makes_no_identity() -> None:
    """Nobody is let in by half a policy."""
    broken = Principal(arn="a", account="1", name="a", created=0.0, policy="{")
    with pytest.raises(MalformedPolicy):
        identity_of(broken)


def test_a_caller_needs_little() -> None:
    """The jobs have no access key, address or trace."""
    caller = Caller(identity_of(PRINCIPAL), "r-1", "eu-central-1")
    assert (caller.access_key, caller.auth, caller.source, caller.trace) == ("", "", "", "")
