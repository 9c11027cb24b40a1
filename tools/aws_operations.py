"""Draw docs/reference/aws-kms.md from AWS's model and our rows, and print it.

Which operations there are, what they take and within which bounds is botocore's to say; which of them are
built is `keystead.fronts.aws.json11.ROWS`. `NOTES` says where we differ. `make pages` writes the page; a test
compares it.
"""

from collections.abc import Iterator
from typing import Any, Final

from botocore.loaders import Loader
from botocore.model import ServiceModel

from keystead.core.spec import DATA_KEY_BYTES, SPECS
from keystead.fronts.aws.operations import ROWS
from keystead.service.actions.keys import WINDOW_DAYS
from keystead.service.actions.rotation import PERIOD_DAYS
from keystead.service.quotas import Quotas

AWS: Any = ServiceModel(Loader().load_service_model("kms", "service-2"))

HEAD: Final = """\
# AWS KMS operations

<!-- Drawn by tools/aws_operations.py from AWS's model and our rows: change those, then run `make pages`. -->

The data plane speaks AWS KMS's JSON 1.1 protocol, signed with Signature Version 4 for the service `kms`.
Requests are held against AWS's own model: names, types, required members and bounds below are AWS's, and so
are the errors that tell of them. [Error codes](errors.md) says which of our errors AWS clients see as which
type.

All of AWS's {all} operations are here. `tests/e2e/test_every_operation.py` sees each of them work, and provokes each
error that AWS documents for it or says why it cannot be had there. `tests/e2e/test_key_states.py` asks for each
operation that names a key in each state of a key, and holds the answer against AWS's table; what the transient states
`Creating` and `Updating` allow is held against [our own](key-states.md).

"""

SPECS_TEXT: Final = ", ".join(f"`{name}`" for name in SPECS)
LENGTHS: Final = ", ".join(f"`{name}` {length} bytes" for name, length in DATA_KEY_BYTES.items())
QUOTAS: Final = Quotas()

TOKENS: Final = "checked; a [grant](policy-language.md#grants) is in force at once and needs none"
NO_ATTESTATION: Final = "refused: `ValidationException`, as no attestation is configured"
NOTES: Final = {
    "EncryptionAlgorithm": "default `SYMMETRIC_DEFAULT`",
    "SourceEncryptionAlgorithm": "default `SYMMETRIC_DEFAULT`",
    "DestinationEncryptionAlgorithm": "default `SYMMETRIC_DEFAULT`",
    "GenerateRandom.CustomKeyStoreId": "refused: `UnsupportedOperationException`",
    "GrantTokens": TOKENS,
    "CreateGrant.Constraints": "of the context: one of Equals and Subset, up to 8 pairs, symmetric keys only",
    "CreateGrant.GranteePrincipal": "this or `GranteeServicePrincipal`; must exist, if its account is here",
    "CreateGrant.RetiringPrincipal": "must exist, if its account is here",
    "CreateGrant.GranteeServicePrincipal": "kept and listed; allows nothing, as nobody here is a service",
    "CreateGrant.Operations": "those that the key's spec and usage have",
    "ListGrants.Limit": "up to 100, default 50",
    "ListRetirableGrants.Limit": "up to 100, default 50",
    "ListRetirableGrants.RetiringPrincipal": "this or `RetiringServicePrincipal`; of the caller's account",
    "RetireGrant.GrantToken": "this, or `KeyId` and `GrantId`",
    "Recipient": NO_ATTESTATION,
    "CreateKey.CustomKeyStoreId": "of an external key store that is connected",
    "CreateKey.XksKeyId": "with `Origin` `EXTERNAL_KEY_STORE`",
    "CreateKey.Origin": "`AWS_KMS` (the default), `EXTERNAL`, `EXTERNAL_KEY_STORE`",
    "CreateKey.KeySpec": f"{SPECS_TEXT}; the first is the default",
    "KeyPairSpec": "all but `SM2`",
    "WrappingAlgorithm": "not `RSAES_PKCS1_V1_5` and `SM2PKE`, which AWS has given up as well",
    "CreateKey.CustomerMasterKeySpec": "the older name of KeySpec",
    "CreateKey.KeyUsage": "needed for all specs but `SYMMETRIC_DEFAULT`",
    "CreateKey.Tags": f"up to {QUOTAS.tags_per_key} on a key",
    "TagResource.Tags": f"up to {QUOTAS.tags_per_key} on a key",
    "KeySpec": LENGTHS,
    "PolicyName": "only `default`, which is the default",
    "Policy": "up to 32,768 bytes",
    "PendingWindowInDays": f"{WINDOW_DAYS[0]} to {WINDOW_DAYS[-1]}, default 30",
    "RotationPeriodInDays": f"{PERIOD_DAYS[0]} to {PERIOD_DAYS[-1]}, default 365",
    "EncryptionContext": "names and values up to 8,192 bytes together",
    "ListKeys.ResourceOwners": "must include `SELF`: keys are not shared between accounts",
    "ListKeys.Limit": "default 100",
    "ListKeyRotations.Limit": "default 100",
    "ListAliases.Limit": "up to 100, default 50",
    "ListResourceTags.Limit": "up to 50, default 50",
    "ListKeyPolicies.Limit": "without effect: there is one policy",
    "ListKeyPolicies.Marker": "without effect: there is one policy",
    "CreateAlias.AliasName": "`alias/` and letters, digits, `/`, `_`, `-`; not `alias/aws/`",
    "UpdateAlias.AliasName": "`alias/` and letters, digits, `/`, `_`, `-`; not `alias/aws/`",
}
"""By member, by the end of its name, or by operation and member."""

TAIL: Final = f"""
## Quotas

| What | How many | Setting |
| --- | --- | --- |
| aliases of a key | {QUOTAS.aliases_per_key} | `limits.aliases_per_key` |
| tags of a key | {QUOTAS.tags_per_key} | `limits.tags_per_key` |
| grants of a key | {QUOTAS.grants_per_key:,} | `limits.grants_per_key` |
| custom key stores of an account in a Region | {QUOTAS.custom_key_stores} | `limits.custom_key_stores` |
| on-demand rotations over the life of a key | {QUOTAS.rotations_on_demand} | `limits.rotations_on_demand` |

There is no quota of keys and none of requests. A worker answers `ThrottlingException` when too many requests
wait for the store; cryptographic operations do not wait for it.
"""


def note(operation: str, member: str) -> str:
    """What must be said of a member beside what AWS says."""
    endings = (text for name, text in NOTES.items() if member.endswith(name))
    return NOTES.get(f"{operation}.{member}") or NOTES.get(member) or next(endings, "")


def bounds(shape: Any) -> str:  # noqa: ANN401 - botocore's shapes have no common type with members
    """AWS's bounds of a value, in words."""
    unit = {"string": "characters", "blob": "bytes", "list": "elements", "map": "pairs"}.get(
        shape.type_name, ""
    )
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if high is None:
        return ""
    return f"{low or 0:,} to {high:,} {unit}".rstrip()


def members(operation: str) -> Iterator[str]:
    """One row for each member that an operation takes."""
    shape = AWS.operation_model(operation).input_shape
    for name, value in shape.members.items() if shape else ():
        needed = "required" if name in shape.required_members else ""
        yield f"| `{name}` | {value.type_name} | {needed} | {bounds(value)} | {note(operation, name)} |"


def errors(operation: str) -> str:
    """The errors that AWS documents, without its exceptions' last word."""
    shapes = AWS.operation_model(operation).error_shapes
    return ", ".join(f"`{shape.name.removesuffix('Exception')}`" for shape in shapes)


def page() -> Iterator[str]:
    """The whole page, in lines."""
    yield HEAD.format(all=len(AWS.operation_names))
    yield "## Operations\n\n"
    for name in ROWS:
        yield f"### {name}\n\n"
        rows = list(members(name))
        if rows:
            yield "| Member | Type | | AWS's bounds | Here |\n| --- | --- | --- | --- | --- |\n"
        for row in rows:
            yield row.replace("|  |", "| |").replace("|  |", "| |") + "\n"
        yield f"\nErrors: {errors(name)}.\n\n"
    yield TAIL


if __name__ == "__main__":
    print("".join(page()), end="")
