"""The policies that every account has: roles that keep apart who uses keys and who decides about them.

They are attached by their ARNs like an account's own policies, and their texts come with the release. Each of the
four ordinary ones *denies* one side: the user of keys may write no policy and no identity, and the other three may
not use a key. Since an explicit Deny beats key policies and grants, nothing that its holder or anybody else writes
into a key's policy brings the two together again in one principal, nor does to attach several of them. A test proves
it from the table of actions. ``docs/guides/policies.md`` says what two principals together still can do.

`ADMINISTRATOR` is the exception: it is everything, and the first administrator of an installation has it.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from keystead.core.policy.actions import USES, WRITES, Class, of

PREFIX: Final = "arn:aws:iam::aws:policy/"

ADMINISTRATOR: Final = f"{PREFIX}KeysteadAdministrator"
KEY_ADMINISTRATOR: Final = f"{PREFIX}KeysteadKeyAdministrator"
KEY_USER: Final = f"{PREFIX}KeysteadKeyUser"
AUDITOR: Final = f"{PREFIX}KeysteadAuditor"
OPERATOR: Final = f"{PREFIX}KeysteadOperator"


class BuiltIn(NamedTuple):
    """A policy that comes with the service. ``text`` is its JSON."""

    description: str
    text: str


def _statement(sid: str, effect: str, actions: Collection[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": effect, "Action": sorted(actions), "Resource": "*"}


def _text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


_NO_USE: Final = _statement("NoUse", "Deny", USES)
_OF_KEYS: Final = frozenset(name for name in of(Class.READ) if name.startswith("kms:")) | {
    "keystead:DescribeTemplate",
    "keystead:ListKeyStates",
    "keystead:ListTemplates",
}

BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    ADMINISTRATOR: BuiltIn(
        "Everything. For the first administrator, and for emergencies.",
        _text({"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}),
    ),
    KEY_ADMINISTRATOR: BuiltIn(
        "Makes, changes and deletes keys and says by their policies who may use them. Uses none and grants nothing.",
        _text(
            # It may end grants, but making one would be a way to a key that no policy shows.
            _statement(
                "Manage",
                "Allow",
                (of(Class.MANAGE, Class.OPERATE, Class.POLICY_WRITE) | _OF_KEYS) - {"kms:CreateGrant"},
            ),
            _NO_USE,
        ),
    ),
    KEY_USER: BuiltIn(
        "Uses the keys whose policies leave that to the account. Changes none, nor who may do what.",
        _text(
            _statement(
                "Use",
                "Allow",
                USES | {"kms:DescribeKey", "kms:GetPublicKey", "kms:ListAliases", "kms:ListKeys"},
            ),
            _statement("NoWriting", "Deny", WRITES),
        ),
    ),
    AUDITOR: BuiltIn(
        "Reads what there is: keys, policies, grants, principals. Changes and uses nothing.",
        _text(_statement("Read", "Allow", of(Class.READ)), _NO_USE),
    ),
    OPERATOR: BuiltIn(
        "Keeps the service going: connections to external key stores. Sees, changes and uses no key.",
        _text(_statement("Operate", "Allow", of(Class.OPERATE) | {"kms:DescribeCustomKeyStores"}), _NO_USE),
    ),
}
"""Each built-in policy by its ARN."""
