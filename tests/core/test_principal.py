from hypothesis import given
from hypothesis import strategies as st

from keystead.core.key import binding
from keystead.core.principal import (
    AccessKey,
    Principal,
    root_arn,
    secret_binding,
    service_arn,
    user_arn,
)

ACCOUNT = "111122223333"


def test_arns_are_awss() -> None:
    """AWS policies name principals unchanged, so their ARNs have AWS's form."""
    assert user_arn(ACCOUNT, "team/alice") == "arn:aws:iam::111122223333:user/team/alice"
    assert root_arn(ACCOUNT) == "arn:aws:iam::111122223333:root"
    assert service_arn(ACCOUNT, "jobs") == "arn:aws:iam::111122223333:service/jobs"


def test_a_new_principal_is_enabled_and_allowed_nothing() -> None:
    """Without a policy of its own a principal may do only what key policies say."""
    alice = Principal(arn=user_arn(ACCOUNT, "alice"), account=ACCOUNT, name="alice", created=1.0)
    assert (alice.policy, alice.enabled) == ("", True)
    assert AccessKey(id="AKIA1", principal=alice.arn, protected="...", created=1.0).enabled


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_secret_is_bound_to_its_access_key(one: str, other: str) -> None:
    """The wrapped secret of one access key opens for no other, nor as anything but a secret."""
    assert (secret_binding(one) == secret_binding(other)) == (one == other)
    assert secret_binding(one) != binding("key-version", one)
