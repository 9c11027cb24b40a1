"""A seal slot that a file with 32 random bytes opens: convenient, and no better than the file's disk.

The file is made with the slot, readable by its owner only, and refused when anybody else could read it. If
it has moved (a restored backup, another mount), ``KEYSTEAD_SEAL_FILE`` says where it is now.
"""

from pathlib import Path

from keystead.core.errors import SealError
from keystead.core.ports import Random
from keystead.crypto.random import exactly
from keystead.crypto.secret import Secret
from keystead.custody.seals import KEY_BYTES, Parameters, SecretSource, text

WARNING = (
    "the root key is sealed by a key file on this machine: whoever can read this disk or its backups can "
    "open every key. Use it for development, or keep the file on another medium; otherwise add a passphrase "
    "slot and remove this one"
)
MAY_ASK = False
OPTIONS = frozenset({"path"})

VARIABLE = "KEYSTEAD_SEAL_FILE"


def new(secrets: SecretSource, random: Random, options: Parameters) -> tuple[dict[str, str | int], Secret]:
    """A new key file at the option ``path``, which must be absolute, and its key."""
    path = options.get("path")
    # The store keeps text, so a name that is not UTF-8 would not come back as it was.
    if (
        not isinstance(path, str)
        or not Path(path).is_absolute()
        or path.encode(errors="replace").decode() != path
    ):
        raise SealError("a file slot needs an absolute 'path', in UTF-8, for its key file")
    key = Secret(exactly(random, KEY_BYTES))
    secrets.create_private(path, key.reveal())
    return {"path": path}, key


def key(parameters: Parameters, secrets: SecretSource) -> Secret:
    """The file's 32 bytes."""
    path = secrets.environment.get(VARIABLE) or text(parameters, "path")
    data = Secret(secrets.read_private(path))
    if len(data.reveal()) != KEY_BYTES:
        raise SealError(f"wrong secret: {path} has not {KEY_BYTES} bytes; restore the file from a backup")
    return data
