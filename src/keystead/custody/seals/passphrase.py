"""A seal slot that a passphrase opens, through Argon2id.

The passphrase is taken from ``KEYSTEAD_PASSPHRASE``, else from the file that ``KEYSTEAD_PASSPHRASE_FILE``
names (a mounted secret or a systemd credential; one line end after it is not part of it), else a person is
asked. It is compared as Unicode in form NFC (RFC 8265), because keyboards write the same letter differently.
"""

import unicodedata
from dataclasses import asdict

from keystead.core.errors import ConfigError, SealError
from keystead.core.ports import Random
from keystead.crypto.kdf import Argon2Parameters, argon2id
from keystead.crypto.random import exactly
from keystead.crypto.secret import Secret
from keystead.custody.seals import RESTORE, Parameters, SecretSource, number, text

WARNING = ""
MAY_ASK = True
OPTIONS = frozenset({"memory_kib", "iterations", "lanes"})

VARIABLE, FILE_VARIABLE = "KEYSTEAD_PASSPHRASE", "KEYSTEAD_PASSPHRASE_FILE"
SALT_BYTES = 16  # RFC 9106 section 3.1 recommends it
SHORTEST = 8  # NIST SP 800-63B section 5.1.1; a new slot's only, an old one opens as it is

_HOW = f"set {VARIABLE}, or {FILE_VARIABLE} to the name of a file that holds it, or start from a terminal"


def new(secrets: SecretSource, random: Random, options: Parameters) -> tuple[dict[str, str | int], Secret]:
    """Salt and costs of a new slot, and its key."""
    parameters = {**_DEFAULTS, **options}
    costs = _costs(parameters)  # refused before a person has typed anything
    passphrase = _passphrase(secrets, new=True)
    if len(passphrase.reveal()) < SHORTEST:
        raise SealError(f"the passphrase is too short: choose one of at least {SHORTEST} characters")
    salt = exactly(random, SALT_BYTES)
    parameters["salt"] = salt.hex()
    return parameters, Secret(argon2id(passphrase.reveal(), salt, costs))


def key(parameters: Parameters, secrets: SecretSource) -> Secret:
    """The key that the passphrase gives with the slot's salt and costs."""
    costs = _costs(parameters)
    try:
        salt = bytes.fromhex(text(parameters, "salt"))
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise SealError(f"damaged: parameter 'salt' is not {SALT_BYTES} bytes in hexadecimal; {RESTORE}")
    return Secret(argon2id(_passphrase(secrets, new=False).reveal(), salt, costs))


def _costs(parameters: Parameters) -> Argon2Parameters:
    memory_kib, iterations, lanes = (
        number(parameters, name) for name in ("memory_kib", "iterations", "lanes")
    )
    try:
        return Argon2Parameters(memory_kib=memory_kib, iterations=iterations, lanes=lanes)
    except ConfigError as error:
        raise SealError(f"refused: {error}; if the slot is an old one, {RESTORE}") from None


def _passphrase(secrets: SecretSource, *, new: bool) -> Secret:
    if VARIABLE in secrets.environment:
        return _normal(secrets.environment[VARIABLE])
    if FILE_VARIABLE in secrets.environment:
        data = secrets.read(secrets.environment[FILE_VARIABLE])
        return _normal(data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape"))
    if secrets.ask is None:
        raise SealError(f"missing secret: {_HOW}")
    typed = _normal(secrets.ask("New passphrase: " if new else "Passphrase: "))
    if new and _normal(secrets.ask("The same again: ")) != typed:
        raise SealError("the two passphrases differ: try again")
    return typed


def _normal(passphrase: str) -> Secret:
    # Bytes that are no UTF-8 come from the environment and from files as surrogates, and go out as they were.
    encoded = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    if not encoded:
        raise SealError(f"missing secret: the passphrase is empty; {_HOW}")
    return Secret(encoded)


_DEFAULTS: Parameters = asdict(Argon2Parameters())
