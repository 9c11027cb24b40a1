"""Imported key material."""

from collections.abc import Mapping
from typing import Final

from keystead.core.errors import InvalidRequest
from keystead.core.spec import SYMMETRIC
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, encode, key
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _import(taken: model.ImportKeyMaterialRequest) -> Command:
    expires = taken.ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE"  # and so it does unless that is said
    if expires and taken.ValidTo is None:
        raise InvalidRequest("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
    if not expires and taken.ValidTo is not None:
        raise InvalidRequest(
            "The parameter ValidTo cannot be specified for a key with an expiration model of "
            "KEY_MATERIAL_DOES_NOT_EXPIRE"
        )
    return c.ImportKeyMaterial(
        key(taken.KeyId),
        token=taken.ImportToken or b"",
        material=taken.EncryptedKeyMaterial or b"",
        valid_to=taken.ValidTo,
        kind=taken.ImportType,
        description=taken.KeyMaterialDescription,
        material_id=taken.KeyMaterialId,
    )


def _parameters(result: r.ImportParameters) -> bytes:
    return encode(
        model.GetParametersForImportResponse(
            ImportToken=result.token,
            KeyId=result.key.arn,
            ParametersValidTo=result.valid_to,
            PublicKey=result.public_key,
        )
    )


def _material_id(result: r.Imported) -> str | None:
    """Only the materials of symmetric keys are shown by id."""
    return (result.material_id or None) if result.key.spec == SYMMETRIC else None


def _imported(result: r.Imported) -> bytes:
    return encode(model.ImportKeyMaterialResponse(KeyId=result.key.arn, KeyMaterialId=_material_id(result)))


def _deleted(result: r.Imported) -> bytes:
    return encode(
        model.DeleteImportedKeyMaterialResponse(KeyId=result.key.arn, KeyMaterialId=_material_id(result))
    )


ROWS: Final[Mapping[str, Row]] = {
    "GetParametersForImport": Row(
        lambda t: c.GetParametersForImport(key(t.KeyId), t.WrappingAlgorithm, t.WrappingKeySpec), _parameters
    ),
    "ImportKeyMaterial": Row(_import, _imported),
    "DeleteImportedKeyMaterial": Row(
        lambda t: c.DeleteImportedKeyMaterial(key(t.KeyId), t.KeyMaterialId), _deleted
    ),
}
