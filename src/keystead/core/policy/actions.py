"""The actions that policies speak of, and what each of them is for.

Whether somebody may use keys *and* decide who may use them is a question about classes of actions, so every action
has exactly one. A new action without a class fails a test by name: whoever adds it says here what it amounts to.

The names are those that are decided about. `ReEncrypt` is two of them, and no ``kms:ReEncrypt`` is ever asked for.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from keystead.core.grant import CONTEXTUAL


class Class(StrEnum):
    """What an action amounts to."""

    USE = "use"  # cryptography with a key
    MANAGE = "manage"  # a key's life, names, tags and material
    POLICY_WRITE = "policy-write"  # says who may use a key
    IDENTITY_WRITE = "identity-write"  # says who somebody is, and what their own policies allow
    READ = "read"  # shows, and changes nothing
    OPERATE = "operate"  # keeps the service going, without a key in hand
    SESSION = "session"  # becomes somebody for a while, as far as a trust policy lets
    RECORDS = "records"  # says how long the audit is kept
    SERVICE = "service"  # the service's own: its jobs and its links to other installations


_CLASSES: Final[Mapping[Class, tuple[str, ...]]] = {
    Class.USE: (
        "kms:Decapsulate",
        "kms:Decrypt",
        "kms:DeriveSharedSecret",
        "kms:Encapsulate",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyPair",
        "kms:GenerateDataKeyPairWithoutPlaintext",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:GenerateMac",
        "kms:GenerateRandom",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:Sign",
        "kms:Verify",
        "kms:VerifyMac",
    ),
    # A key that is created has its policy from the request, but it has not protected anything yet.
    Class.MANAGE: (
        "keystead:EnsureKey",
        "kms:CancelKeyDeletion",
        "kms:CreateAlias",
        "kms:CreateCustomKeyStore",
        "kms:CreateKey",
        "kms:DeleteAlias",
        "kms:DeleteCustomKeyStore",
        "kms:DeleteImportedKeyMaterial",
        "kms:DisableKey",
        "kms:DisableKeyRotation",
        "kms:EnableKey",
        "kms:EnableKeyRotation",
        "kms:GetParametersForImport",
        "kms:ImportKeyMaterial",
        "kms:RotateKeyOnDemand",
        "kms:ScheduleKeyDeletion",
        "kms:TagResource",
        "kms:UntagResource",
        "kms:UpdateAlias",
        "kms:UpdateCustomKeyStore",
        "kms:UpdateKeyDescription",
        "kms:UpdatePrimaryRegion",
    ),
    # A grant is a permission like one in a key policy. A replica is the same material under a policy of the request's.
    # A template says what the policies of keys are, also of those that were made from it; to ensure one is to manage.
    Class.POLICY_WRITE: (
        "keystead:DeleteTemplate",
        "keystead:PutTemplate",
        "kms:CreateGrant",
        "kms:PutKeyPolicy",
        "kms:ReplicateKey",
        "kms:RetireGrant",
        "kms:RevokeGrant",
    ),
    # An access key made for somebody else is that somebody's permissions.
    Class.IDENTITY_WRITE: (
        "keystead:CreateAccessKey",
        "keystead:CreateAccount",
        "keystead:CreatePrincipal",
        "keystead:CreateProvider",
        "keystead:DeleteAccessKey",
        "keystead:DeleteGuardrail",
        "keystead:DeletePolicy",
        "keystead:DeletePrincipal",
        "keystead:DeleteProvider",
        "keystead:DisableMfa",
        "keystead:EnableMfa",
        "keystead:PutGuardrail",
        "keystead:PutPolicy",
        "keystead:PutPrincipalPolicy",
        "keystead:PutRevision",
        "keystead:RevokePrincipal",
        "keystead:SetAccessKeyStatus",
        "keystead:SetPrincipalStatus",
        "keystead:TagPrincipal",
        "keystead:UpdatePrincipal",
        "keystead:UpdateProvider",
    ),
    Class.READ: (
        "keystead:DescribeGuardrail",
        "keystead:DescribePolicy",
        "keystead:DescribePrincipal",
        "keystead:DescribeProvider",
        "keystead:ExplainDecision",
        "keystead:ProveConsistency",
        "keystead:ProveEvent",
        "keystead:ForeseeRevocation",
        "keystead:ListAccessKeys",
        "keystead:ListAccountEntries",
        "keystead:ListAccountHeads",
        "keystead:ListAccounts",
        "keystead:ListCheckpoints",
        "keystead:ListGuardrails",
        "keystead:ListPolicies",
        "keystead:DescribeRevision",
        "keystead:DescribeTemplate",
        "keystead:ListKeyStates",
        "keystead:ListLegalHolds",
        "keystead:PlanPruning",
        "keystead:ListPrincipals",
        "keystead:ListProviders",
        "keystead:ListRevisions",
        "keystead:ListTemplates",
        "keystead:QueryAudit",
        "kms:DescribeCustomKeyStores",
        "kms:DescribeKey",
        "kms:GetKeyLastUsage",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:GetPublicKey",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:ListKeyPolicies",
        "kms:ListKeyRotations",
        "kms:ListKeys",
        "kms:ListResourceTags",
        "kms:ListRetirableGrants",
    ),
    Class.OPERATE: ("kms:ConnectCustomKeyStore", "kms:DisconnectCustomKeyStore"),
    Class.SESSION: (
        "sts:AssumeRole",
        "sts:AssumeRoleWithWebIdentity",
        "sts:GetCallerIdentity",
        "sts:GetSessionToken",
        "sts:SetSourceIdentity",
        "sts:TagSession",
    ),
    # Whoever could end a hold or remove records should neither use keys nor be the one whom they tell of.
    Class.RECORDS: (
        "keystead:LiftLegalHold",
        "keystead:PruneAudit",
        "keystead:PutLegalHold",
        "keystead:RedactSubject",
    ),
    Class.SERVICE: (
        "keystead:DestroyKey",
        "keystead:ExpireKeyMaterial",
        "keystead:LinkMember",
        "keystead:LinkMove",
        "keystead:LinkStates",
        "keystead:MemberTold",
        "keystead:MoveTold",
        "keystead:RefreshProvider",
        "keystead:RotateKey",
        "keystead:TellMember",
        "keystead:TellMove",
    ),
}

ACTIONS: Final[Mapping[str, Class]] = {name: which for which, names in _CLASSES.items() for name in names}
"""Every action with its class."""

_NEVER_ASKED: Final = frozenset(
    {
        "kms:SynchronizeMultiRegionKey",
        "sts:AssumeRoleWithSAML",
        "sts:AssumeRoot",
        "sts:DecodeAuthorizationMessage",
        "sts:GetAccessKeyInfo",
        "sts:GetDelegatedAccessToken",
        "sts:GetFederationToken",
        "sts:GetServiceBearerToken",
        "sts:GetWebIdentityToken",
        "sts:SetContext",
        "sts:TagGetWebIdentityToken",
    }
)
"""AWS's actions for what nobody can do here (the service authorization reference, AWS KMS and AWS STS).

Policies that come from AWS deny them by name, and rightly: there is nothing that such a denial lets through.
"""

_SERVICES: Final = ("keystead:", "kms:", "sts:")
_BY_NAME: Final = {name.lower(): name for name in sorted(ACTIONS)}
_KNOWN: Final = _BY_NAME.keys() | {name.lower() for name in _NEVER_ASKED}
_LONGEST_NAME: Final = 100
_NEAR: Final = 3


def misnamed(text: str) -> bool:
    """Whether a policy's text names an action, without wildcards, that a service here would have and has not."""
    folded = text.lower()
    if not folded.startswith(_SERVICES) or "*" in text or "?" in text:
        return False
    # Outside ASCII there is more than one letter whose small form is a k, and a policy's pattern knows none of them.
    return not text.isascii() or folded not in _KNOWN


def near(text: str) -> tuple[str, ...]:
    """The actions that a wrong name is most like: those that begin with it, or else those that look like it."""
    folded = text[:_LONGEST_NAME].lower()
    begun = [name for small, name in _BY_NAME.items() if small.startswith(folded) and folded not in _SERVICES]
    alike = begun or [_BY_NAME[small] for small in get_close_matches(folded, _BY_NAME, _NEAR, 0.75)]
    return tuple(alike[:_NEAR])


def of(*classes: Class) -> frozenset[str]:
    """The actions of these classes."""
    return frozenset().union(*(_CLASSES[which] for which in classes))


USES: Final = of(Class.USE)
WRITES: Final = of(Class.POLICY_WRITE, Class.IDENTITY_WRITE)
"""What nobody should have together with a use: then they could allow themselves anything, and do it."""

_CONTEXTUAL: Final = frozenset(f"kms:{operation}" for operation in CONTEXTUAL)
_GRANTING: Final = frozenset({"kms:CreateGrant", "kms:RetireGrant"})  # of a grant that may have a constraint

_TAGGING: Final = frozenset(
    {
        "keystead:CreatePrincipal",
        "keystead:EnsureKey",
        "keystead:TagPrincipal",
        "keystead:UpdatePrincipal",
        "kms:CreateKey",
        "kms:ReplicateKey",
        "kms:TagResource",
        "sts:AssumeRole",
        "sts:AssumeRoleWithWebIdentity",
        "sts:TagSession",
    }
)

HAVE: Final[Mapping[str, frozenset[str]]] = {
    "aws:requesttag/": _TAGGING,
    "aws:tagkeys": _TAGGING | {"kms:UntagResource"},
    "kms:bypasspolicylockoutsafetycheck": frozenset(
        {"kms:CreateKey", "kms:PutKeyPolicy", "kms:ReplicateKey"}
    ),
    "kms:datakeypairspec": frozenset({"kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext"}),
    "kms:encryptionalgorithm": _CONTEXTUAL,
    "kms:encryptioncontext:": _CONTEXTUAL | _GRANTING,
    "kms:encryptioncontextkeys": _CONTEXTUAL | _GRANTING,
    "kms:expirationmodel": frozenset({"kms:ImportKeyMaterial"}),
    "kms:grantconstrainttype": _GRANTING,
    "kms:granteeprincipal": frozenset({"kms:CreateGrant"}),
    "kms:grantoperations": frozenset({"kms:CreateGrant"}),
    "kms:keyagreementalgorithm": frozenset({"kms:DeriveSharedSecret"}),
    "kms:macalgorithm": frozenset({"kms:GenerateMac", "kms:VerifyMac"}),
    "kms:messagetype": frozenset({"kms:Sign", "kms:Verify"}),
    "kms:reencryptonsamekey": frozenset({"kms:ReEncryptFrom", "kms:ReEncryptTo"}),
    "kms:replicaregion": frozenset({"kms:ReplicateKey"}),
    "kms:retiringprincipal": frozenset({"kms:CreateGrant"}),
    "kms:rotationperiodindays": frozenset({"kms:EnableKeyRotation"}),
    "kms:schedulekeydeletionpendingwindowindays": frozenset({"kms:ScheduleKeyDeletion"}),
    "kms:signingalgorithm": frozenset({"kms:Sign", "kms:Verify"}),
    "kms:validto": frozenset({"kms:ImportKeyMaterial"}),
    "kms:wrappingalgorithm": frozenset({"kms:GetParametersForImport"}),
    "kms:wrappingkeyspec": frozenset({"kms:GetParametersForImport"}),
}
"""The condition keys, and beginnings of some, that only these actions have a value for; in lower case."""


def having(key: str) -> frozenset[str] | None:
    """The actions whose requests can have that condition key; None if all can."""
    folded = key.lower()
    for name, actions in HAVE.items():
        if folded == name or (name[-1] in ":/" and folded.startswith(name)):
            return actions
    return None
