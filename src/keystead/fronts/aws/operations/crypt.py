"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from keystead.core.errors import InvalidRequest, UnsupportedOperation
from keystead.core.spec import DATA_KEY_BYTES, SPECS, SYMMETRIC
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, encode, key, no_recipient, optional_key, tokens
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _encrypt(taken: model.EncryptRequest) -> Command:
    return c.Encrypt(
        key(taken.KeyId),
        taken.Plaintext or b"",
        taken.EncryptionContext,
        taken.DryRun or False,
        taken.EncryptionAlgorithm or SYMMETRIC,
        tokens(taken),
    )


def _decrypt(taken: model.DecryptRequest) -> Command:
    no_recipient(taken)
    _blob_needed(taken, taken.CiphertextBlob)
    return c.Decrypt(
        taken.CiphertextBlob,
        optional_key(taken.KeyId),
        taken.EncryptionContext,
        taken.DryRun or False,
        taken.EncryptionAlgorithm or SYMMETRIC,
        tokens(taken),
    )


def _re_encrypt(taken: model.ReEncryptRequest) -> Command:
    _blob_needed(taken, taken.CiphertextBlob)
    return c.ReEncrypt(
        taken.CiphertextBlob,
        key(taken.DestinationKeyId),
        optional_key(taken.SourceKeyId),
        taken.DestinationEncryptionContext,
        taken.SourceEncryptionContext,
        taken.DryRun or False,
        taken.DestinationEncryptionAlgorithm or SYMMETRIC,
        taken.SourceEncryptionAlgorithm or SYMMETRIC,
        tokens(taken),
    )


def _blob_needed(taken: Any, blob: bytes | None) -> None:  # noqa: ANN401 - two of the model's structures
    """The ciphertext may be left out only of a dry run that says so (AWS: DryRunModifiers)."""
    if blob is None and not (taken.DryRun and "IGNORE_CIPHERTEXT" in (taken.DryRunModifiers or ())):
        raise InvalidRequest(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
            "Member must not be null"
        )


def _length(taken: Any) -> int:  # noqa: ANN401 - two of the model's structures
    if (taken.KeySpec is None) == (taken.NumberOfBytes is None):
        raise InvalidRequest("Please specify either number of bytes or key spec.")
    length: int = taken.NumberOfBytes or DATA_KEY_BYTES[taken.KeySpec]
    return length


def _data_key(taken: model.GenerateDataKeyRequest) -> Command:
    no_recipient(taken)
    return c.GenerateDataKey(
        key(taken.KeyId), _length(taken), taken.EncryptionContext, taken.DryRun or False, tokens(taken)
    )


def _data_key_without_plaintext(taken: model.GenerateDataKeyWithoutPlaintextRequest) -> Command:
    return c.GenerateDataKeyWithoutPlaintext(
        key(taken.KeyId), _length(taken), taken.EncryptionContext, taken.DryRun or False, tokens(taken)
    )


def _random(taken: model.GenerateRandomRequest) -> Command:
    no_recipient(taken)
    if taken.CustomKeyStoreId is not None:
        raise UnsupportedOperation(
            "Random bytes come from key stores of type AWS_CLOUDHSM only, and this installation has none."
        )
    if taken.NumberOfBytes is None:
        raise InvalidRequest("NumberOfBytes is required.")
    return c.GenerateRandom(taken.NumberOfBytes)


def _pair(taken: model.GenerateDataKeyPairRequest) -> Command:
    no_recipient(taken)
    return c.GenerateDataKeyPair(
        key(taken.KeyId), _pair_spec(taken), taken.EncryptionContext, taken.DryRun or False, tokens(taken)
    )


def _pair_without_plaintext(taken: model.GenerateDataKeyPairWithoutPlaintextRequest) -> Command:
    return c.GenerateDataKeyPairWithoutPlaintext(
        key(taken.KeyId), _pair_spec(taken), taken.EncryptionContext, taken.DryRun or False, tokens(taken)
    )


def _pair_spec(taken: Any) -> str:  # noqa: ANN401 - two of the model's structures
    spec: str = taken.KeyPairSpec
    if spec not in SPECS:  # SM2
        raise UnsupportedOperation(f"KeyPairSpec {spec} is not supported in this Region.")
    return spec


# An answer of the four operations that applications wait for is put together by hand: it takes a third of the time.


def _encrypted(result: r.Encrypted) -> bytes:
    return b'{"CiphertextBlob":"%b","EncryptionAlgorithm":"%b","KeyId":"%b"}' % (
        b64encode(result.blob),
        result.algorithm.encode(),
        result.key.encode(),
    )


def _decrypted(result: r.Decrypted) -> bytes:
    material = b'"KeyMaterialId":"%b",' % result.material_id.encode() if result.material_id else b""
    return b'{"EncryptionAlgorithm":"%b","KeyId":"%b",%b"Plaintext":"%b"}' % (
        result.algorithm.encode(),
        result.key.encode(),
        material,
        b64encode(result.plaintext),
    )


def _new_data_key(result: r.DataKey) -> bytes:
    tail = b"" if result.plaintext is None else b',"Plaintext":"%b"' % b64encode(result.plaintext)
    material = b',"KeyMaterialId":"%b"' % result.material_id.encode() if result.material_id else b""
    return b'{"CiphertextBlob":"%b","KeyId":"%b"%b%b}' % (
        b64encode(result.blob),
        result.key.encode(),
        material,
        tail,
    )


def _re_encrypted(result: r.ReEncrypted) -> bytes:
    return encode(
        model.ReEncryptResponse(
            CiphertextBlob=result.blob,
            DestinationEncryptionAlgorithm=result.algorithm,
            DestinationKeyMaterialId=result.material_id or None,
            KeyId=result.key,
            SourceEncryptionAlgorithm=result.source_algorithm,
            SourceKeyId=result.source_key,
            SourceKeyMaterialId=result.source_material_id or None,
        )
    )


def _new_pair(result: r.DataKeyPair) -> bytes:
    return encode(
        model.GenerateDataKeyPairResponse(
            KeyId=result.key,
            KeyMaterialId=result.material_id or None,
            KeyPairSpec=result.spec,
            PrivateKeyCiphertextBlob=result.blob,
            PrivateKeyPlaintext=result.private_key,
            PublicKey=result.public_key,
        )
    )


def _random_bytes(result: r.RandomBytes) -> bytes:
    return encode(model.GenerateRandomResponse(Plaintext=result.data))


ROWS: Final[Mapping[str, Row]] = {
    "Encrypt": Row(_encrypt, _encrypted),
    "Decrypt": Row(_decrypt, _decrypted),
    "ReEncrypt": Row(_re_encrypt, _re_encrypted),
    "GenerateDataKey": Row(_data_key, _new_data_key),
    "GenerateDataKeyWithoutPlaintext": Row(_data_key_without_plaintext, _new_data_key),
    "GenerateDataKeyPair": Row(_pair, _new_pair),
    "GenerateDataKeyPairWithoutPlaintext": Row(_pair_without_plaintext, _new_pair),
    "GenerateRandom": Row(_random, _random_bytes),
}
