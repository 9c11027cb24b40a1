"""A seal slot that a key in an environment variable opens, for platforms that inject secrets that way.

The variable (``KEYSTEAD_SEAL_KEY`` unless the slot says another) holds 32 random bytes in base64, such as
``openssl rand -base64 32`` prints. It is a key and not a passphrase: it goes through no slow derivation, so
text of any other length, and bytes that nobody drew at random, are refused.
"""

import re
from base64 import b64decode
from binascii import Error

from keystead.core.errors import SealError
from keystead.core.ports import Random
from keystead.crypto.secret import Secret
from keystead.custody.seals import KEY_BYTES, Parameters, SecretSource, text

WARNING = ""
MAY_ASK = False
OPTIONS = frozenset({"variable"})

VARIABLE = "KEYSTEAD_SEAL_KEY"

# 32 bytes drawn at random have 30 different values on average and fewer than 16 once in 10^16 times; a
# placeholder such as zeros, "changeme" repeated, or a few letters has fewer.
FEWEST_VALUES = 16

_HOW = "set it to 32 random bytes in base64, as `openssl rand -base64 32` prints"


def new(secrets: SecretSource, random: Random, options: Parameters) -> tuple[dict[str, str | int], Secret]:  # noqa: ARG001 -- the operator made this key, so no randomness is needed
    """The name of the variable, from the option ``variable``, and the key that it holds already."""
    parameters: dict[str, str | int] = {"variable": VARIABLE, **options}
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text(parameters, "variable")):
        raise SealError(
            "the option 'variable' is not the name of an environment variable: use letters, digits and _"
        )
    return parameters, key(parameters, secrets)


def key(parameters: Parameters, secrets: SecretSource) -> Secret:
    """The 32 bytes that the variable holds."""
    name = text(parameters, "variable")
    if not secrets.environment.get(name):
        raise SealError(f"missing secret: {name} is not set; {_HOW}")
    try:
        value = Secret(b64decode(secrets.environment[name], validate=True))
    except (Error, ValueError):
        raise SealError(f"wrong secret: {name} is not base64; {_HOW}") from None
    if len(value.reveal()) != KEY_BYTES:
        raise SealError(f"wrong secret: {name} does not hold exactly {KEY_BYTES} bytes; {_HOW}")
    if len(set(value.reveal())) < FEWEST_VALUES:
        raise SealError(f"wrong secret: the bytes in {name} are not random; {_HOW}")
    return value
