"""What the operations' rows have in common: how a key is named, a page asked for, a key described."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from keystead.core.errors import InvalidRequest
from keystead.core.key import Key, Origin, State, Version, key_arn
from keystead.core.keystore import Connection
from keystead.core.names import KeyReference
from keystead.core.spec import SYMMETRIC, algorithms
from keystead.fronts.aws import model, names
from keystead.service.commands import Command
from keystead.service.results import Result
from keystead.service.results import kms as r

Write = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: its input to a command, and its result to an answer."""

    command: Callable[[Any], Command]
    write: Write


encode: Final = msgspec.json.Encoder().encode


# --- inputs ----------------------------------------------------------------------------------------------


def key(text: str | None) -> KeyReference:
    """A required key; that it is there has been validated."""
    return names.key_reference(text or "")


def optional_key(text: str | None) -> KeyReference | None:
    """A key that may be left out."""
    return None if text is None else names.key_reference(text)


def no_recipient(taken: Any) -> None:  # noqa: ANN401 - several of the model's structures
    """Refuse an attestation document: answers for enclaves are not made."""
    if taken.Recipient is not None:
        raise InvalidRequest(
            "Recipient: the attestation document cannot be verified, as no attestation is configured here."
        )


def tags(given: list[model.Tag] | None) -> tuple[tuple[str, str], ...]:
    """Tags as names and values."""
    return tuple((tag.TagKey or "", tag.TagValue or "") for tag in given or ())


def tokens(taken: Any) -> tuple[str, ...]:  # noqa: ANN401 - many of the model's structures
    """Grant tokens."""
    return tuple(taken.GrantTokens or ())


def page(limit: int | None, default: int, most: int) -> int:
    """A list's page size: AWS's own ranges are narrower than its model's."""
    if limit is None:
        return default
    if limit > most:
        raise InvalidRequest(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value less than or equal to {most}"
        )
    return limit


# --- answers ---------------------------------------------------------------------------------------------


def done(_: Result) -> bytes:
    """An operation without output: an empty body, as AWS sends."""
    return b""


def metadata(result: r.KeyDescription) -> model.KeyMetadataType:
    """Everything that is said of a key."""
    key, material = result.key, result.material
    named = algorithms(key.spec, key.usage)
    imported = key.origin is Origin.EXTERNAL and material is not None and bool(material.handle)
    state = key.state.value
    if (
        result.key_store
        and result.key_store.connection is not Connection.CONNECTED
        and key.state is State.ENABLED
    ):
        state = "Unavailable"
    return model.KeyMetadataType(
        AWSAccountId=key.account,
        Arn=key.arn,
        CloudHsmClusterId=(result.key_store.cluster or None) if result.key_store else None,
        CreationDate=key.created,
        CurrentKeyMaterialId=(result.material_id or None)
        if key.spec == SYMMETRIC and not key.key_store
        else None,
        CustomerMasterKeySpec=key.spec,
        CustomKeyStoreId=key.key_store or None,
        DeletionDate=key.deletion_date,
        Description=key.description,
        Enabled=key.state is State.ENABLED,
        EncapsulationAlgorithms=list(named) if key.usage == "ENCAPSULATE_DECAPSULATE" else None,
        EncryptionAlgorithms=list(named) if key.usage == "ENCRYPT_DECRYPT" else None,
        ExpirationModel=expiration_model(material) if imported and material else None,
        KeyAgreementAlgorithms=list(named) if key.usage == "KEY_AGREEMENT" else None,
        KeyId=key.id,
        KeyManager="CUSTOMER",
        KeySpec=key.spec,
        KeyState=state,
        KeyUsage=key.usage,
        MacAlgorithms=list(named) if key.usage == "GENERATE_VERIFY_MAC" else None,
        MultiRegion=key.multi_region,
        MultiRegionConfiguration=_multi_region(key) if key.multi_region else None,
        Origin=key.origin.value,
        PendingDeletionWindowInDays=key.deletion_window_days,
        SigningAlgorithms=list(named) if key.usage == "SIGN_VERIFY" else None,
        ValidTo=material.valid_to if imported and material else None,
        XksKeyConfiguration=model.XksKeyConfigurationType(Id=key.outer_key) if key.outer_key else None,
    )


def expiration_model(material: Version) -> str:
    """Whether imported material expires."""
    return "KEY_MATERIAL_DOES_NOT_EXPIRE" if material.valid_to is None else "KEY_MATERIAL_EXPIRES"


def _multi_region(key: Key) -> model.MultiRegionConfiguration:
    """The members of a multi-Region key: every one is listed, itself included."""
    primary, *replicas = (
        model.MultiRegionKey(Arn=key_arn(region, key.account, key.id), Region=region)
        for region in key.members
    )
    return model.MultiRegionConfiguration(
        MultiRegionKeyType="PRIMARY" if key.primary else "REPLICA", PrimaryKey=primary, ReplicaKeys=replicas
    )
