"""Software custody: material in this process, stored as self-contained wrapped handles.

A handle *is* the material, wrapped under the account's key-encryption key with its account and binding as
associated data: there is nothing else to keep, back up or look up, and a handle that was moved to another
key, version or account does not open. Two consequences. The store's durability is the material's. And
`destroy` has nothing to erase: the material is gone when the store has forgotten the handle.

    software:          purpose "key material": 32 bytes of a key version, under the account's key
    software-secret:   purpose "secret": the service's own, under the account's key
    software-account:  purpose "account key": an account's key-encryption key, under the root

Each is the base64url of what :mod:`keystead.crypto.keywrap` makes, authenticated with purpose, account and
binding.

One can never be opened as another, whatever its prefix says.
"""

from keystead.core.errors import ConfigError, CustodyUnavailable, DataDamaged, InvalidCiphertext
from keystead.core.ports import Random
from keystead.crypto.committing import CommittingCipher
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.keywrap import binding as bind
from keystead.crypto.keywrap import from_text, to_text, unwrap, wrap
from keystead.crypto.random import exactly
from keystead.crypto.secret import NeverCopied, Secret

MATERIAL_BYTES = 32

_MATERIAL, _SECRET, _ACCOUNT = "software:", "software-secret:", "software-account:"
_PURPOSES = {_MATERIAL: "key material", _SECRET: "secret", _ACCOUNT: "account key"}


def connect(address: str, *, root: Secret, random: Random) -> "SoftwareCustodian":
    """The custodian behind ``software:``, which has no address."""
    if address:
        raise ConfigError(f"software custody takes no address: write 'software:', not 'software:{address}'")
    return SoftwareCustodian(root, random)


class SoftwareCustodian(NeverCopied):
    """Implements `keystead.core.ports.Custodian` with keys in memory.

    Safe from many threads: each call makes its own cipher contexts, and the only thing they share is a
    dictionary of admitted accounts, whose single reads and writes are atomic.
    """

    __slots__ = ("_keks", "_random", "_root")

    def __init__(self, root: Secret, random: Random) -> None:
        self._root = root
        self._random = random
        self._keks: dict[str, Secret] = {}

    # --- key material --------------------------------------------------------------------------------

    def generate(self, account: str, binding: bytes) -> tuple[str, str]:
        """Create AES-256 material; return its handle and its material id."""
        kek = self._kek(account)
        material = Secret(exactly(self._random, MATERIAL_BYTES))
        return self._wrap(_MATERIAL, kek, material, account, binding), material_id(material)

    def cipher(self, account: str, handle: str, binding: bytes) -> CommittingCipher:
        """The key behind ``handle``."""
        return CommittingCipher(
            self._unwrap(_MATERIAL, self._kek(account), handle, account, binding), self._random
        )

    def destroy(self, account: str, handle: str) -> None:
        """Erase the material: it is the handle, so what remains is to make sure that the handle is ours.

        A handle of another custodian is refused, because answering "erased" would leave its material alive.
        """
        self._kek(account)
        if not handle.startswith(_MATERIAL):
            raise DataDamaged(f"a handle of account {account} is not of software custody: {_CURE}")

    # --- secrets of the service's own ----------------------------------------------------------------

    def protect(self, account: str, secret: bytes, binding: bytes) -> str:
        """Wrap a secret so that it may be stored."""
        return self._wrap(_SECRET, self._kek(account), Secret(secret), account, binding)

    def reveal(self, account: str, protected: str, binding: bytes) -> bytes:
        """The secret that `protect` wrapped."""
        return self._unwrap(_SECRET, self._kek(account), protected, account, binding).reveal()

    # --- accounts ------------------------------------------------------------------------------------

    def enroll(self, account: str) -> str:
        """A new key-encryption key for an account, wrapped under the root; not in use before `admit`."""
        return self._wrap(_ACCOUNT, self._root, Secret(exactly(self._random, MATERIAL_BYTES)), account, b"")

    def admit(self, account: str, wrapped: str) -> None:
        """Open an account's stored key-encryption key for use."""
        self._keks[account] = self._unwrap(_ACCOUNT, self._root, wrapped, account, b"")

    def knows(self, account: str) -> bool:
        """Whether the account's key-encryption key has been admitted."""
        return account in self._keks

    # --- what they share -----------------------------------------------------------------------------

    def _kek(self, account: str) -> Secret:
        try:
            return self._keks[account]
        except KeyError:
            raise CustodyUnavailable(
                f"the key-encryption key of account {account} has not been admitted: "
                "admit the one in the store, or enroll the account"
            ) from None

    def _wrap(self, prefix: str, kek: Secret, secret: Secret, account: str, binding: bytes) -> str:
        return prefix + to_text(wrap(kek, secret, bind(_PURPOSES[prefix], account, binding), self._random))

    def _unwrap(self, prefix: str, kek: Secret, text: str, account: str, binding: bytes) -> Secret:
        try:
            if not text.startswith(prefix):
                raise InvalidCiphertext
            return unwrap(kek, from_text(text[len(prefix) :]), bind(_PURPOSES[prefix], account, binding))
        except InvalidCiphertext:
            raise DataDamaged(
                f"stored {_PURPOSES[prefix]} of account {account} does not open: {_CURE}"
            ) from None


def material_id(material: Secret) -> str:
    """64 hex digits that tell equal material from different, and nothing else about it."""
    return hkdf_sha256(material.reveal(), b"keystead material id v1", 32).hex()


_CURE = "the row was damaged, moved, or written under another root key; restore it from a backup"
