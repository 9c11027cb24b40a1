from keystead.core.names import KeyReference


def test_a_reference_is_to_the_callers_own_key_unless_it_says_more() -> None:
    """A bare name is a key id in the caller's own account and region."""
    reference = KeyReference("1234abcd")
    assert (reference.name, reference.is_alias, reference.account, reference.region) == (
        "1234abcd",
        False,
        "",
        "",
    )


def test_a_reference_keeps_what_an_arn_said() -> None:
    """Account, region and whether it is an alias belong to the name: two that differ in one are not equal."""
    full = KeyReference("alias/a", is_alias=True, account="111122223333", region="eu-central-1")
    assert full == KeyReference("alias/a", True, "111122223333", "eu-central-1")
    assert full != KeyReference("alias/a", True, "111122223333", "eu-west-1")
    assert full != KeyReference("alias/a", True, "444455556666", "eu-central-1")
    assert full != KeyReference("alias/a", False, "111122223333", "eu-central-1")
