"""Software custody: material in this process, stored as self-contained wrapped handles.

A handle *is* the material, wrapped under the account's key-encryption key with its account and binding as
associated data: there is nothing else to keep, back up or look up, and a handle that was moved to another
key, version or account does not open. Two consequences. The store's durability is the material's. And
`destroy` has nothing to erase: the material is gone when the store has forgotten the handle.

    software:          purpose "key material": 32 bytes of a symmetric key version, under the account's key
    software:<spec>:   the same for every other spec, in the form of :mod:`keystead.crypto.material`
    software-secret:   purpose "secret": the service's own, under the account's key
    software-account:  purpose "account key": an account's key-encryption key, under the root

Each is the base64url of what :mod:`keystead.crypto.keywrap` makes, authenticated with purpose, account,
binding and, in the second form, the spec. One can never be opened as another, whatever its prefix says.
"""

from keystead.core.errors import ConfigError, CustodyUnavailable, DataDamaged, InvalidCiphertext
from keystead.core.ports import Material, Random, Wrapped
from keystead.core.spec import HMAC_BYTES, RSA_BITS, SYMMETRIC
from keystead.crypto.committing import CommittingCipher
from keystead.crypto.halves import PrivateHalf
from keystead.crypto.importing import unwrap_material
from keystead.crypto.keypair import open_private
from keystead.crypto.keywrap import binding as bind
from keystead.crypto.keywrap import from_text, to_text, unwrap, wrap
from keystead.crypto.mac import MacKey
from keystead.crypto.material import KeyMaterial, checked, fresh, identify
from keystead.crypto.random import exactly
from keystead.crypto.secret import NeverCopied, Secret
from keystead.crypto.transfer import TransferIdentity, TransferKeys

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

    __slots__ = ("_keks", "_random", "_root", "_transfer")

    def __init__(self, root: Secret, random: Random) -> None:
        self._root = root
        self._random = random
        self._keks: dict[str, Secret] = {}
        self._transfer = TransferKeys(root)

    # --- key material --------------------------------------------------------------------------------

    def generate(self, account: str, binding: bytes, spec: str = SYMMETRIC) -> Material:
        """Create material of a key spec; an RSA key may take a second."""
        self._kek(account)
        return self._keep(account, binding, spec, fresh(spec, self._random))

    def take(self, account: str, binding: bytes, spec: str, wrapped: Wrapped) -> Material:
        """Take charge of material that was made elsewhere."""
        self._kek(account)
        wrapping_spec = _spec_of(wrapped.handle)
        if wrapping_spec not in RSA_BITS:
            raise self._damage(_MATERIAL, account)
        wrapping = self.key_pair(account, wrapped.handle, wrapped.binding, wrapping_spec)
        material = unwrap_material(wrapping, wrapping_spec, wrapped.algorithm, wrapped.data)
        return self._keep(account, binding, spec, checked(spec, material))

    def cipher(self, account: str, handle: str, binding: bytes) -> CommittingCipher:
        """The symmetric key behind ``handle``."""
        return CommittingCipher(self._material(account, handle, binding, SYMMETRIC), self._random)

    def key_pair(self, account: str, handle: str, binding: bytes, spec: str) -> PrivateHalf:
        """The private key behind ``handle``."""
        return open_private(spec, self._material(account, handle, binding, spec).reveal())

    def mac_key(self, account: str, handle: str, binding: bytes) -> MacKey:
        """The HMAC key behind ``handle``."""
        spec = _spec_of(handle)
        if spec not in HMAC_BYTES:
            self._kek(account)
            raise self._damage(_MATERIAL, account)
        return MacKey(self._material(account, handle, binding, spec))

    def destroy(self, account: str, handle: str) -> None:
        """Erase the material: it is the handle, so what remains is to make sure that the handle is ours.

        A handle of another custodian is refused, because answering "erased" would leave its material alive.
        """
        self._kek(account)
        if not handle.startswith(_MATERIAL):
            raise DataDamaged(f"a handle of account {account} is not of software custody: {_CURE}")

    # --- material between Regions --------------------------------------------------------------------

    @property
    def transfer_identity(self) -> str:
        """The public halves of the keys that are made from the root key for this."""
        return self._transfer.identity.text

    def send(
        self, account: str, handle: str, binding: bytes, spec: str, recipient: str, about: bytes
    ) -> bytes:
        """Material sealed for ``recipient`` and signed (:mod:`keystead.crypto.transfer`)."""
        material = self._material(account, handle, binding, spec)
        return self._transfer.send(material, TransferIdentity.from_text(recipient), about)

    def vouch(self, statement: bytes) -> bytes:
        """Signed with the key that signs messages, under a label of its own."""
        return self._transfer.vouch(statement)

    def receive(
        self, account: str, binding: bytes, spec: str, message: bytes, sender: str, about: bytes
    ) -> Material:
        """What ``sender`` has sealed and signed, under a handle of its own here."""
        secret = self._transfer.receive(message, TransferIdentity.from_text(sender), about)
        return self._keep(account, binding, spec, checked(spec, secret.reveal()))

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

    def _keep(self, account: str, binding: bytes, spec: str, material: KeyMaterial) -> Material:
        more = () if spec == SYMMETRIC else (spec,)
        wrapped = self._wrap(_MATERIAL, self._kek(account), material.secret, account, binding, *more)
        handle = ":".join((_MATERIAL[:-1], *more, wrapped.removeprefix(_MATERIAL)))
        return Material(handle, identify(spec, material.secret), material.public_key)

    def _material(self, account: str, handle: str, binding: bytes, spec: str) -> Secret:
        kek = self._kek(account)
        if _spec_of(handle) != spec:
            raise self._damage(_MATERIAL, account)
        more = () if spec == SYMMETRIC else (spec,)
        return self._unwrap(_MATERIAL, kek, _MATERIAL + handle.rpartition(":")[2], account, binding, *more)

    def _wrap(
        self, prefix: str, kek: Secret, secret: Secret, account: str, binding: bytes, *more: str
    ) -> str:
        aad = bind(_PURPOSES[prefix], account, binding, *more)
        return prefix + to_text(wrap(kek, secret, aad, self._random))

    def _unwrap(
        self, prefix: str, kek: Secret, text: str, account: str, binding: bytes, *more: str
    ) -> Secret:
        try:
            if not text.startswith(prefix):
                raise InvalidCiphertext
            return unwrap(
                kek, from_text(text[len(prefix) :]), bind(_PURPOSES[prefix], account, binding, *more)
            )
        except InvalidCiphertext:
            raise self._damage(prefix, account) from None

    def _damage(self, prefix: str, account: str) -> DataDamaged:
        return DataDamaged(f"stored {_PURPOSES[prefix]} of account {account} does not open: {_CURE}")


def _spec_of(handle: str) -> str:
    """The spec that a handle says it is of; what it says is checked when it is opened. "" if it is no handle."""
    match handle.split(":"):
        case ["software", _]:
            return SYMMETRIC
        case ["software", spec, _] if spec != SYMMETRIC:
            return spec
    return ""


_CURE = "the row was damaged, moved, or written under another root key; restore it from a backup"
