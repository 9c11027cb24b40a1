"""Grants: permissions on one key for one principal, made by whoever may, without touching its policy.

A grant allows; it never denies, and an explicit deny in any policy is stronger. It may be constrained to
encryption contexts, and it ends when it is revoked by the key's side or retired by the grantee's.
AWS KMS developer guide, "Grants in AWS KMS".

    >>> grant.permits("Decrypt", {"app": "payroll", "stage": "test"})
    True
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keystead.core.principal import role_arn, session_arn
from keystead.core.spec import (
    ENCAPSULATE_DECAPSULATE,
    ENCRYPT_DECRYPT,
    GENERATE_VERIFY_MAC,
    KEY_AGREEMENT,
    SIGN_VERIFY,
    SPECS,
    SYMMETRIC,
)

CONTEXTUAL: Final = frozenset(
    {
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    }
)
"""The operations that have an encryption context, which a constraint can speak of."""

_ROLE: Final = re.compile(r"arn:aws:iam::(?P<account>[^:]*):role/(?P<name>.+)", re.DOTALL)
_OF_ALL: Final = frozenset({"CreateGrant", "RetireGrant", "DescribeKey"})
_OF_USAGE: Final[Mapping[str, frozenset[str]]] = {
    SIGN_VERIFY: frozenset({"Sign", "Verify"}),
    GENERATE_VERIFY_MAC: frozenset({"GenerateMac", "VerifyMac"}),
    KEY_AGREEMENT: frozenset({"DeriveSharedSecret"}),
    ENCAPSULATE_DECAPSULATE: frozenset({"Encapsulate", "Decapsulate"}),
    ENCRYPT_DECRYPT: frozenset({"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"}),
}


def operations_of(spec: str, usage: str) -> frozenset[str]:
    """The operations that a grant on a key of that spec and usage may include (AWS's "Grant operations")."""
    found = _OF_ALL | _OF_USAGE[usage]
    if spec == SYMMETRIC:
        return found | CONTEXTUAL
    return found | {"GetPublicKey"} if SPECS[spec].asymmetric else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One grant. Times are Unix seconds."""

    id: str  # 64 hex digits
    region: str
    key_id: str
    grantee: str  # an ARN; empty if it is a service
    operations: tuple[str, ...]  # AWS's GrantOperation, such as "Decrypt"
    issuer: str  # the root ARN of the account it was issued in
    created: float
    name: str = ""
    retiring: str = ""  # the principal that may retire it, by ARN
    grantee_service: str = ""  # a service principal, such as "backup.example.com"
    retiring_service: str = ""
    context_equals: Mapping[str, str] = field(default_factory=dict)  # empty: no such constraint
    context_subset: Mapping[str, str] = field(default_factory=dict)
    source_arn: str = ""

    @property
    def constrained(self) -> bool:
        """Whether it demands anything of the encryption context."""
        return bool(self.context_equals or self.context_subset)

    def includes(self, operation: str) -> bool:
        """Whether it allows its grantee that operation under some encryption context, if there is one."""
        return operation in self.operations and not self.source_arn  # no request here comes from a resource

    def permits(self, operation: str, context: Mapping[str, str] | None) -> bool:
        """Whether it allows its grantee that operation under that encryption context."""
        if not self.includes(operation):
            return False
        if operation not in CONTEXTUAL or not self.constrained:
            return True
        given = context or {}
        if self.context_equals and given != self.context_equals:
            return False
        return self.context_subset.items() <= given.items()

    def within(self, other: "Grant") -> bool:
        """Whether it gives no more than the other one does: fewer operations or the same, as strict or stricter."""
        if not set(self.operations) <= set(other.operations):
            return False
        if other.context_equals and self.context_equals != other.context_equals:
            return False
        demanded = {**self.context_subset, **self.context_equals}
        return other.context_subset.items() <= demanded.items()

    @property
    def parameters(self) -> tuple[object, ...]:
        """What it was asked for with; the order of the operations does not count."""
        return (
            self.region,
            self.key_id,
            self.name,
            frozenset(self.operations),
            self.grantee,
            self.retiring,
            self.grantee_service,
            self.retiring_service,
            dict(self.context_equals),
            dict(self.context_subset),
            self.source_arn,
        )


def holder_of(arn: str) -> str:
    """The principal that an ARN in a grant stands and falls with: of a session its role.

    Empty for an account's root, and for a federated user, whom nobody here ever becomes.
    """
    account, resource = arn.split(":", 5)[4:]
    kind, _, name = resource.partition("/")
    if kind == "assumed-role":
        return role_arn(account, name.partition("/")[0])
    return "" if kind in ("root", "federated-user") else arn


def sessions_of(principal: str) -> str:
    """What the ARNs of a role's sessions begin with, and no others; empty for whatever is no role."""
    role = _ROLE.fullmatch(principal)
    return "" if role is None else session_arn(role["account"], role["name"], "")


def permitting(grants: Iterable[Grant], action: str, context: Mapping[str, str] | None) -> Grant | None:
    """The first of these grants that permits an action such as ``kms:Decrypt``."""
    operation = action.removeprefix("kms:")
    return next((grant for grant in grants if grant.permits(operation, context)), None)


def including(grants: Iterable[Grant], action: str) -> Grant | None:
    """The first of these grants that permits an action under some encryption context, if there is one."""
    operation = action.removeprefix("kms:")
    return next((grant for grant in grants if grant.includes(operation)), None)
