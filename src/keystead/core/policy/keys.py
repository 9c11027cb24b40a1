"""The condition keys: what a policy may ask of a request.

Names are the same in upper and lower case. A key that is not listed here is refused when a policy is put: a
condition on something that is never there would hold never or always, and its author would not notice.

The ``kms:`` keys are those of AWS's service authorization reference. Of the ``aws:`` keys those have a meaning
here that speak of the principal, the request or the resource, not of AWS's own networks and organizations. The
``sts:`` keys are those of requests for a role's session.
"""

from typing import Final

KMS: Final = (
    "kms:BypassPolicyLockoutSafetyCheck",
    "kms:CallerAccount",
    "kms:CustomerMasterKeySpec",
    "kms:CustomerMasterKeyUsage",
    "kms:DataKeyPairSpec",
    "kms:EncryptionAlgorithm",
    "kms:EncryptionContextKeys",
    "kms:ExpirationModel",
    "kms:GrantConstraintType",
    "kms:GrantIsForAWSResource",
    "kms:GrantOperations",
    "kms:GranteePrincipal",
    "kms:KeyAgreementAlgorithm",
    "kms:KeyOrigin",
    "kms:KeySpec",
    "kms:KeyUsage",
    "kms:MacAlgorithm",
    "kms:MessageType",
    "kms:MultiRegion",
    "kms:MultiRegionKeyType",
    "kms:PrimaryRegion",
    "kms:ReEncryptOnSameKey",
    "kms:RecipientAttestation:ImageSha384",
    "kms:ReplicaRegion",
    "kms:RequestAlias",
    "kms:ResourceAliases",
    "kms:RetiringPrincipal",
    "kms:RotationPeriodInDays",
    "kms:ScheduleKeyDeletionPendingWindowInDays",
    "kms:SigningAlgorithm",
    "kms:ValidTo",
    "kms:ViaService",
    "kms:WrappingAlgorithm",
    "kms:WrappingKeySpec",
)

AWS: Final = (
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:FederatedProvider",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalServiceName",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIdentity",
    "aws:SourceIp",
    "aws:TagKeys",
    "aws:TokenIssueTime",
    "aws:UserAgent",
    "aws:ViaAWSService",
    "aws:userid",
    "aws:username",
)

STS: Final = ("sts:ExternalId", "sts:RoleSessionName", "sts:SourceIdentity", "sts:TransitiveTagKeys")

KEYSTEAD: Final = ("keystead:ChangeTicket", "keystead:DayOfWeek", "keystead:TimeOfDay")

FAMILIES: Final = (
    "aws:PrincipalTag/",
    "aws:RequestTag/",
    "aws:ResourceTag/",
    "kms:EncryptionContext:",
    "kms:RecipientAttestation:NitroTPMPCR",
    "kms:RecipientAttestation:PCR",
)
"""The beginnings of keys whose names end in something of the request's or the key's."""

UNFILLED: Final = (
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:PrincipalServiceName",
    "aws:SourceAccount",
    "aws:SourceArn",
    "kms:RecipientAttestation:ImageSha384",
    "kms:RecipientAttestation:NitroTPMPCR",
    "kms:RecipientAttestation:PCR",
    "kms:ViaService",
)
"""The keys, and beginnings of keys, that no request has a value for yet."""

_NAMES: Final = frozenset(name.lower() for name in (*KMS, *AWS, *STS, *KEYSTEAD))
_BEGINNINGS: Final = tuple(family.lower() for family in FAMILIES)


def filled(name: str) -> bool:
    """Whether requests can have a value for that condition key."""
    return not name.lower().startswith(tuple(key.lower() for key in UNFILLED))


def known(name: str) -> bool:
    """Whether there is a condition key of that name."""
    folded = name.lower()
    return folded in _NAMES or (folded.startswith(_BEGINNINGS) and folded not in _BEGINNINGS)
