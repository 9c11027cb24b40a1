"""Signatures, authentication codes, key agreement and public keys."""

from collections.abc import Mapping
from typing import Any, Final

from keystead.core.spec import algorithms
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, encode, key, no_recipient, tokens
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _sign(taken: model.SignRequest) -> Command:
    return c.Sign(
        key(taken.KeyId),
        taken.Message or b"",
        taken.SigningAlgorithm or "",
        taken.MessageType or "RAW",
        taken.DryRun or False,
        tokens(taken),
    )


def _verify(taken: model.VerifyRequest) -> Command:
    return c.Verify(
        key(taken.KeyId),
        taken.Message or b"",
        taken.Signature or b"",
        taken.SigningAlgorithm or "",
        taken.MessageType or "RAW",
        taken.DryRun or False,
        tokens(taken),
    )


def _generate_mac(taken: model.GenerateMacRequest) -> Command:
    return c.GenerateMac(
        key(taken.KeyId), taken.Message or b"", taken.MacAlgorithm or "", taken.DryRun or False, tokens(taken)
    )


def _verify_mac(taken: model.VerifyMacRequest) -> Command:
    return c.VerifyMac(
        key(taken.KeyId),
        taken.Message or b"",
        taken.Mac or b"",
        taken.MacAlgorithm or "",
        taken.DryRun or False,
        tokens(taken),
    )


def _derive(taken: model.DeriveSharedSecretRequest) -> Command:
    no_recipient(taken)
    return c.DeriveSharedSecret(
        key(taken.KeyId),
        taken.PublicKey or b"",
        taken.KeyAgreementAlgorithm or "",
        taken.DryRun or False,
        tokens(taken),
    )


def _encapsulate(taken: model.EncapsulateRequest) -> Command:
    return c.Encapsulate(
        key(taken.KeyId), taken.EncapsulationAlgorithm or "", taken.DryRun or False, tokens(taken)
    )


def _decapsulate(taken: model.DecapsulateRequest) -> Command:
    return c.Decapsulate(
        key(taken.KeyId),
        taken.SharedSecretCiphertextBlob or b"",
        taken.EncapsulationAlgorithm or "",
        taken.DryRun or False,
        tokens(taken),
    )


def _signed(result: r.Signed) -> bytes:
    return encode(
        model.SignResponse(KeyId=result.key, Signature=result.signature, SigningAlgorithm=result.algorithm)
    )


def _verified(result: r.Verified) -> bytes:
    return encode(
        model.VerifyResponse(KeyId=result.key, SignatureValid=True, SigningAlgorithm=result.algorithm)
    )


def _coded(result: r.Coded) -> bytes:
    return encode(model.GenerateMacResponse(KeyId=result.key, Mac=result.mac, MacAlgorithm=result.algorithm))


def _mac_verified(result: r.Verified) -> bytes:
    return encode(model.VerifyMacResponse(KeyId=result.key, MacAlgorithm=result.algorithm, MacValid=True))


def _derived(result: r.Derived) -> bytes:
    return encode(
        model.DeriveSharedSecretResponse(
            KeyAgreementAlgorithm=result.algorithm,
            KeyId=result.key,
            KeyOrigin=result.origin.value,
            SharedSecret=result.secret,
        )
    )


def _encapsulated(result: r.Encapsulated) -> bytes:
    return encode(
        model.EncapsulateResponse(
            EncapsulationAlgorithm=result.algorithm,
            KeyId=result.key,
            SharedSecret=result.secret,
            SharedSecretCiphertextBlob=result.ciphertext,
        )
    )


def _decapsulated(result: r.Decapsulated) -> bytes:
    return encode(
        model.DecapsulateResponse(
            EncapsulationAlgorithm=result.algorithm, KeyId=result.key, SharedSecret=result.secret
        )
    )


def _public_key(result: r.PublicKey) -> bytes:
    named: dict[str, Any] = {_MEMBER_OF[result.usage]: list(algorithms(result.spec, result.usage))}
    return encode(
        model.GetPublicKeyResponse(
            CustomerMasterKeySpec=result.spec,
            KeyId=result.key,
            KeySpec=result.spec,
            KeyUsage=result.usage,
            PublicKey=result.public_key,
            **named,
        )
    )


_MEMBER_OF: Final[Mapping[str, str]] = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
    "ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms",
}

ROWS: Final[Mapping[str, Row]] = {
    "Sign": Row(_sign, _signed),
    "Verify": Row(_verify, _verified),
    "GenerateMac": Row(_generate_mac, _coded),
    "VerifyMac": Row(_verify_mac, _mac_verified),
    "DeriveSharedSecret": Row(_derive, _derived),
    "Encapsulate": Row(_encapsulate, _encapsulated),
    "Decapsulate": Row(_decapsulate, _decapsulated),
    "GetPublicKey": Row(lambda t: c.GetPublicKey(key(t.KeyId), tokens(t)), _public_key),
}
