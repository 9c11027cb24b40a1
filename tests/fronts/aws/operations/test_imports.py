"""Imports as AWS writes them: which expiration is meant, and what is shown of a material."""

import json
from typing import Any

import msgspec
import pytest

from keystead.core.errors import InvalidRequest
from keystead.core.key import Key, Origin, State
from keystead.core.names import KeyReference
from keystead.fronts.aws import model
from keystead.fronts.aws.operations import ROWS
from keystead.service.commands import kms as c
from keystead.service.results import kms as r

KEY_ID = "12345678-1234-1234-1234-123456789012"
CONTRADICTION = (
    "The parameter ValidTo cannot be specified for a key with an expiration model of "
    "KEY_MATERIAL_DOES_NOT_EXPIRE"
)
ARN = f"arn:aws:kms:eu-central-1:111122223333:key/{KEY_ID}"


def key(spec: str = "SYMMETRIC_DEFAULT") -> Key:
    """An imported key."""
    return Key(
        id=KEY_ID,
        account="111122223333",
        region="eu-central-1",
        spec=spec,
        usage="ENCRYPT_DECRYPT",
        state=State.ENABLED,
        created=1.0,
        policy="{}",
        origin=Origin.EXTERNAL,
    )


def taken(**members: Any) -> c.ImportKeyMaterial:
    """The command of a request."""
    request = model.ImportKeyMaterialRequest(
        KeyId=KEY_ID, ImportToken=b"t", EncryptedKeyMaterial=b"m", **members
    )
    command = ROWS["ImportKeyMaterial"].command(request)
    assert isinstance(command, c.ImportKeyMaterial)
    return command


def test_material_expires_unless_it_is_said_that_it_does_not() -> None:
    """So an end must be given, or the expiration model that has none."""
    assert taken(ValidTo=5.0).valid_to == 5.0
    assert taken(ValidTo=5.0, ExpirationModel="KEY_MATERIAL_EXPIRES").valid_to == 5.0
    assert taken(ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE").valid_to is None


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"),
        (
            {"ExpirationModel": "KEY_MATERIAL_EXPIRES"},
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        ),
        (
            {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "ValidTo": 5.0},
            CONTRADICTION,
        ),
    ],
)
def test_an_expiration_that_contradicts_itself_is_refused(members: dict[str, Any], told: str) -> None:
    """In AWS's words, before any key is looked at."""
    with pytest.raises(InvalidRequest) as refused:
        taken(**members)
    assert str(refused.value) == told


def test_every_member_of_a_request_arrives() -> None:
    """What is not given is None, and a description may be given empty."""
    command = taken(
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        ImportType="EXISTING_KEY_MATERIAL",
        KeyMaterialDescription="",
        KeyMaterialId="0" * 64,
    )
    assert msgspec.structs.astuple(command) == (
        *(KeyReference(KEY_ID), b"t", b"m", None),
        *("EXISTING_KEY_MATERIAL", "", "0" * 64),
    )
    command = taken(ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert (command.kind, command.description, command.material_id) == (None, None, None)


def test_parameters_are_asked_for_and_given() -> None:
    """The key by its ARN, blobs in base64, the end as a number."""
    row = ROWS["GetParametersForImport"]
    request = model.GetParametersForImportRequest(
        KeyId=KEY_ID, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_3072"
    )
    command = row.command(request)
    assert isinstance(command, c.GetParametersForImport)
    assert (command.algorithm, command.wrapping_spec) == ("RSAES_OAEP_SHA_256", "RSA_3072")
    assert json.loads(row.write(r.ImportParameters(key(), b"token", b"public", 7.5))) == {
        "KeyId": ARN,
        "ImportToken": "dG9rZW4=",
        "PublicKey": "cHVibGlj",
        "ParametersValidTo": 7.5,
    }


@pytest.mark.parametrize("operation", ["ImportKeyMaterial", "DeleteImportedKeyMaterial"])
def test_only_symmetric_keys_show_which_material_it_was(operation: str) -> None:
    """By its id; where there was none, and for other specs, the member is absent."""
    write = ROWS[operation].write
    assert json.loads(write(r.Imported(key(), "ab" * 32))) == {"KeyId": ARN, "KeyMaterialId": "ab" * 32}
    assert json.loads(write(r.Imported(key(), ""))) == {"KeyId": ARN}
    assert json.loads(write(r.Imported(key("HMAC_256"), "ab" * 32))) == {"KeyId": ARN}


def test_a_material_to_be_deleted_may_be_named() -> None:
    """The current one is meant otherwise."""
    for material_id in (None, "0" * 64):
        request = model.DeleteImportedKeyMaterialRequest(KeyId=KEY_ID, KeyMaterialId=material_id)
        command = ROWS["DeleteImportedKeyMaterial"].command(request)
        assert isinstance(command, c.DeleteImportedKeyMaterial)
        assert command.material_id == material_id
