"""Custody: key material is made and used here, and never leaves in the clear.

Three keys stand on each other. *Material* is what a customer's key version is: 32 bytes that seal data. It is
stored wrapped under its account's *key-encryption key*, and that under the *root key* of the installation,
which is stored under one or more seal slots (:mod:`keystead.custody.seal`). So a stolen database holds no
key, destroying one account's key-encryption key destroys all its material at once, and a new root or a new
passphrase means wrapping a few short strings again and not a million.

A place that holds material is one module here, named after its scheme: `connect("software:")` imports
``keystead.custody.software``. A new one needs a ``connect`` function, a test class over
`keystead.testing.contracts.custody.CustodyContract`, and a page in the documentation; no table is edited, and
what it depends on is imported only when somebody names it.
"""

import pkgutil
from importlib import import_module

from keystead.core.errors import ConfigError
from keystead.core.ports import Custodian, Random
from keystead.crypto.secret import Secret

# Rooms beside the custodians: how the root key is opened, and the keys around whose ciphertexts another wraps its own.
_NO_SCHEMES = frozenset({"seal", "seals", "xks"})


def schemes() -> list[str]:
    """The custodians there are, by name."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - _NO_SCHEMES)


def connect(url: str, *, root: Secret, random: Random) -> Custodian:
    """The custodian that ``url`` names; ``root`` is the opened root key of the installation."""
    scheme, colon, address = url.partition(":")
    if not colon or scheme not in schemes():
        names = ", ".join(f"{name}:" for name in schemes())
        raise ConfigError(f"there is no custody {url!r}: use one of {names}")
    custodian: Custodian = import_module(f"{__name__}.{scheme}").connect(address, root=root, random=random)
    return custodian
