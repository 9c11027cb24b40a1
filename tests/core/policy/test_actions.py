"""Every action has a class, and every condition key that few actions have is known."""

from pathlib import Path

import pytest

from keystead.core.grant import CONTEXTUAL
from keystead.core.policy import actions, keys
from keystead.core.policy.actions import ACTIONS, HAVE, USES, WRITES, Class, having, misnamed, near, of
from keystead.service import actions as service

TWICE = {"kms:ReEncrypt": {"kms:ReEncryptFrom", "kms:ReEncryptTo"}}


def asked() -> set[str]:
    """What the service decides about, by the names of its rows."""
    found = set[str]()
    for row in service.ACTIONS.values():
        found |= TWICE.get(row.name, {row.name})
    return found


def test_every_action_of_the_service_has_a_class() -> None:
    """A new action without a class is named here: nobody may forget to say what it amounts to."""
    assert sorted(asked() - set(ACTIONS)) == []


def test_no_class_has_an_action_that_nothing_decides_about(checkout: Path) -> None:
    """An action that is gone, or misspelt, is not in the table either."""
    sources = (checkout / "src" / "keystead").rglob("*.py")
    text = "\n".join(path.read_text() for path in sources if "core/policy" not in str(path))
    assert [name for name in ACTIONS if f'"{name}"' not in text] == []


def test_every_action_has_one_class() -> None:
    """The classes share no action, and together they are the table."""
    assert sum(len(of(which)) for which in Class) == len(ACTIONS) == len(of(*Class))


def test_a_grant_of_any_operation_but_two_is_a_use() -> None:
    """What a grant may allow is a use, or else harmless: reading, and granting, which is writing."""
    assert {"kms:Decrypt", "kms:Sign", "kms:GenerateMac", "kms:Decapsulate"} <= USES
    assert {"kms:CreateGrant", "kms:PutKeyPolicy", "kms:ReplicateKey", "keystead:CreateAccessKey"} <= WRITES
    assert not USES & WRITES


def test_condition_keys_of_few_actions_exist() -> None:
    """The table names condition keys that policies may have, and actions that there are."""
    assert [name for name in HAVE if not keys.known(name + "x" if name[-1] in ":/" else name)] == []
    assert [action for actions in HAVE.values() for action in actions if action not in ACTIONS] == []


@pytest.mark.parametrize(
    ("key", "actions"),
    [
        ("kms:MessageType", {"kms:Sign", "kms:Verify"}),
        (
            "kms:EncryptionContext:team",
            {f"kms:{operation}" for operation in (*CONTEXTUAL, "CreateGrant", "RetireGrant")},
        ),
        ("kms:ValidTo", {"kms:ImportKeyMaterial"}),
        ("aws:SourceIp", None),
        ("kms:EncryptionContextKeysOfMine", None),
    ],
)
def test_which_actions_have_a_condition_key(key: str, actions: set[str] | None) -> None:
    """Keys are found in any case, and those with a name in them by their beginning; others are everybody's."""
    assert having(key) == actions
    assert having(key.upper()) == actions


def test_tags_of_a_request_are_those_of_commands_with_tags() -> None:
    """Whatever has tags to give is among the actions that have their condition keys."""
    tagging = {row.name for command, row in service.ACTIONS.items() if hasattr(command, "tags")}
    assert {"kms:CreateKey", "kms:TagResource"} <= tagging
    assert tagging <= HAVE["aws:requesttag/"] < HAVE["aws:tagkeys"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("kms:Decrypt", False),
        ("KMS:decrypt", False),
        ("kms:ReEncrypt", True),
        ("keystead:PutKeyPolicy", True),
        ("sts:AssumeRoles", True),
        ("kms:", True),
        ("\N{KELVIN SIGN}ms:Decrypt", True),
        ("kms:ReEncrypt*", False),
        ("kms:Decyrp?", False),
        ("kms:SynchronizeMultiRegionKey", False),
        ("sts:GetFederationToken", False),
        ("s3:GetObjects", False),
        ("Decrypt", False),
    ],
)
def test_which_names_are_wrong(text: str, wrong: bool) -> None:
    """Of the services that are here, without wildcards, and neither an action here nor one that only AWS has."""
    assert misnamed(text) is wrong


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kms:reencrypt", ("kms:ReEncryptFrom", "kms:ReEncryptTo")),
        ("kms:Decyrpt", ("kms:Decrypt", "kms:Encrypt")),
        ("kms:", ()),
        ("sts:Nothing", ()),
        ("kms:" + "x" * 30_000, ()),
    ],
)
def test_what_a_wrong_name_may_have_meant(text: str, found: tuple[str, ...]) -> None:
    """Those that it begins, or those that look like it; never many."""
    assert near(text) == found


def test_what_only_aws_has_is_no_action_here() -> None:
    """As soon as one of them can be asked for, it is taken off that list."""
    assert not actions._NEVER_ASKED & ACTIONS.keys()
