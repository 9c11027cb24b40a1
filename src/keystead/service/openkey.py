"""An open key: the proof that the gate has let somebody use it.

Only ``gate.py`` makes one (a test reads the sources for that), after policy and state allowed it. An
action that holds an `OpenKey` may use the key and cannot get at its bytes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from keystead.core.blob import Blob, outer_aad
from keystead.core.errors import InvalidCiphertext, InvalidKeyUsage, InvalidRequest
from keystead.core.key import Origin
from keystead.core.ports import ExternalKeys, KeyPair, MacKey, Outside
from keystead.core.spec import SYMMETRIC
from keystead.crypto.publickey import PublicKey
from keystead.service.action import Later

if TYPE_CHECKING:
    from keystead.service.workingset import HeldKey, WorkingSet

T = TypeVar("T")
R = TypeVar("R")

_NO_CONTEXT: Final = "An encryption context cannot be used with an asymmetric KMS key."


class OpenKey:
    """One key, for one request."""

    __slots__ = ("_external", "_held", "_outside", "_working")

    def __init__(
        self,
        held: "HeldKey",
        working: "WorkingSet",
        external: ExternalKeys | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._held = held
        self._working = working
        self._external = external  # both are there for a key in an external key store
        self._outside = outside

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return self._held.arn

    @property
    def spec(self) -> str:
        """The key's spec."""
        return self._held.key.spec

    @property
    def usage(self) -> str:
        """The key's usage."""
        return self._held.key.usage

    @property
    def origin(self) -> Origin:
        """Where the key's material comes from."""
        return self._held.key.origin

    @property
    def version(self) -> int:
        """The version that `seal` uses."""
        return self._held.version

    @property
    def material_id(self) -> str:
        """The material id of that version."""
        return self._held.material_id

    @property
    def shown_material(self) -> str:
        """The same as answers show it: only symmetric keys have material ids there."""
        return self._held.material_id if self._held.key.spec == SYMMETRIC else ""

    def check(self, algorithm: str) -> None:
        """Refuse an algorithm that the key's spec and usage do not have."""
        if algorithm not in self._held.algorithms:
            raise InvalidKeyUsage(f"Algorithm {algorithm} is incompatible with key spec {self.spec}.")

    def do(self, work: Callable[[], T], then: Callable[[T], R]) -> R | Later:
        """Do something with the key and go on with what comes of it: now, or later if that is slow."""
        return Later(work, then) if self._held.slow else then(work())

    # A symmetric key. Of one in an external key store, these are the inner half.

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """A ciphertext blob under the current version; ``context`` is canonical."""
        held = self._held
        return held.header + held.cipher.seal(plaintext, held.header + context)

    def open(self, blob: Blob, context: bytes) -> tuple[bytes, str]:
        """The plaintext of a blob of this key and the id of the material that made it.

        Raises `InvalidCiphertext`, for a version that never was as for a damaged blob.
        """
        held = self._held
        aad = blob.header + context
        if blob.version == held.version:
            return held.cipher.open(blob.sealed, aad), held.material_id
        # A member in another Region may have been told before this one that a version is current.
        newest = (
            held.version + 1 if held.key.multi_region and held.key.origin is Origin.AWS_KMS else held.version
        )
        if not 0 < blob.version <= newest:
            raise InvalidCiphertext
        material = self._working.material(held, blob.version)
        if material is None:
            raise InvalidCiphertext
        return material.cipher.open(blob.sealed, aad), material.material_id

    def sealing(self, plaintext: bytes, context: bytes, then: Callable[[bytes], R]) -> R | Later:
        """Go on with a ciphertext blob: at once, or when the key's outer half has done its part."""
        external, outside = self._external, self._outside
        if external is None or outside is None:
            return then(self.seal(plaintext, context))
        header = self._held.header
        inner = self._held.cipher.seal(plaintext, header + context)
        aad = outer_aad(header, context)
        return Later(lambda: header + external.seal(outside, inner, aad), then)

    def opening(self, blob: Blob, context: bytes, then: Callable[[tuple[bytes, str]], R]) -> R | Later:
        """Go on with the plaintext of a blob and the id of the material that made it."""
        external, outside = self._external, self._outside
        if blob.external != (outside is not None):
            raise InvalidCiphertext
        if external is None or outside is None:
            return then(self.open(blob, context))
        if blob.version != self._held.version:  # such a key is never rotated
            raise InvalidCiphertext
        aad = outer_aad(blob.header, context)

        def opened(inner: bytes) -> R:
            # Here, on the loop's thread again, because the cipher is that thread's.
            return then((self._held.cipher.open(inner, blob.header + context), self._held.material_id))

        return Later(lambda: external.open(outside, blob.sealed, aad), opened)

    # A key that encrypts, whatever its spec.

    def encrypting(
        self, algorithm: str, plaintext: bytes, context: bytes, then: Callable[[bytes], R]
    ) -> R | Later:
        """Go on with a ciphertext: a blob under a symmetric key, or an RSA key's own."""
        if algorithm == SYMMETRIC:
            return self.sealing(plaintext, context, then)
        return self.do(lambda: self.encrypt(algorithm, plaintext, context), then)

    def decrypting(
        self, algorithm: str, ciphertext: bytes, context: bytes, then: Callable[[tuple[bytes, str]], R]
    ) -> R | Later:
        """Go on with the plaintext of an RSA key's ciphertext, and no material id."""
        return self.do(lambda: self.decrypt(algorithm, ciphertext, context), then)

    def encrypt(self, algorithm: str, plaintext: bytes, context: bytes) -> bytes:
        """An RSA key's own ciphertext."""
        if context:
            raise InvalidRequest(_NO_CONTEXT)
        return self._held.public.encrypt(algorithm, plaintext)

    def decrypt(self, algorithm: str, ciphertext: bytes, context: bytes) -> tuple[bytes, str]:
        """The plaintext of an RSA key's ciphertext, and no material id: such a key has one version."""
        if context:
            raise InvalidRequest(_NO_CONTEXT)
        return self._held.pair.decrypt(algorithm, ciphertext), ""

    # A key of another spec. The gate has checked the usage, and `check` the algorithm.

    @property
    def pair(self) -> KeyPair:
        """The private half of an asymmetric key."""
        return self._held.pair

    @property
    def public(self) -> PublicKey:
        """The public half of an asymmetric key."""
        return self._held.public

    @property
    def mac(self) -> MacKey:
        """An HMAC key."""
        return self._held.mac
